//! As much of H.264 over RTP (RFC 6184) as finding keyframes takes.

const IDR: u8 = 5;
const SPS: u8 = 7;
const STAP_A: u8 = 24;
const FU_A: u8 = 28;

/// What of a keyframe a payload holds the beginning of: alone, within a STAP-A, or as the first
/// fragment of an FU-A.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct KeyUnits {
    /// A slice of an IDR picture.
    pub idr: bool,
    /// A sequence parameter set, which goes before it.
    pub parameters: bool,
}

impl KeyUnits {
    /// Looks at the units of a payload.
    #[must_use]
    pub fn find(payload: &[u8]) -> Self {
        let one = |nal: u8| Self {
            idr: nal & 0x1f == IDR,
            parameters: nal & 0x1f == SPS,
        };
        match payload {
            [first, rest @ ..] if first & 0x1f == STAP_A => {
                stap_a(rest).map(one).fold(Self::default(), |a, b| Self {
                    idr: a.idr || b.idr,
                    parameters: a.parameters || b.parameters,
                })
            }
            [first, header, ..] if first & 0x1f == FU_A => {
                if header & 0x80 == 0 {
                    Self::default()
                } else {
                    one(*header)
                }
            }
            [first, ..] => one(*first),
            [] => Self::default(),
        }
    }
}

/// Whether this payload holds the beginning of an IDR picture or a sequence parameter set.
#[must_use]
pub fn is_keyframe_start(payload: &[u8]) -> bool {
    let found = KeyUnits::find(payload);
    found.idr || found.parameters
}

/// The first byte of each unit of an aggregate.
fn stap_a(mut rest: &[u8]) -> impl Iterator<Item = u8> + '_ {
    std::iter::from_fn(move || {
        let (length, after) = rest.split_first_chunk::<2>()?;
        let (unit, after) = after.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        rest = after;
        unit.first().copied()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keyframes_are_found_in_each_packaging() {
        for (payload, expected, what) in [
            (&[0x65, 0x88][..], true, "an IDR alone"),
            (&[0x67, 0x42], true, "an SPS alone"),
            (&[0x68, 0xce], false, "a PPS alone"),
            (&[0x41, 0x9a], false, "a slice"),
            (
                &[0x78, 0, 2, 0x67, 0x42, 0, 1, 0x68],
                true,
                "STAP-A of SPS and PPS",
            ),
            (
                &[0x78, 0, 1, 0x06, 0, 2, 0x65, 1],
                true,
                "STAP-A with an IDR second",
            ),
            (&[0x78, 0, 1, 0x41], false, "STAP-A of a slice"),
            (&[0x78, 0, 9, 0x67], false, "a STAP-A cut short"),
            (&[0x78, 0, 0], false, "an empty unit"),
            (&[0x7c, 0x85, 0x88], true, "FU-A, first fragment of an IDR"),
            (&[0x7c, 0x05, 0x88], false, "FU-A, later fragment"),
            (&[0x7c, 0x81, 0x88], false, "FU-A of a slice"),
            (&[0x7c], false, "an FU-A cut short"),
            (&[], false, "nothing"),
        ] {
            assert_eq!(is_keyframe_start(payload), expected, "{what}");
        }
    }
}
