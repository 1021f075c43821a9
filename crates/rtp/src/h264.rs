//! As much of H.264 over RTP (RFC 6184) as finding keyframes, and the size of their pictures, takes.

mod sps;

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
                let firsts = stap_a(rest).filter_map(|unit| unit.first().copied());
                firsts.map(one).fold(Self::default(), |a, b| Self {
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

/// Width and height in pixels, where a payload holds a whole sequence parameter set, alone or within
/// a STAP-A. Of several the last counts.
#[must_use]
pub fn resolution(payload: &[u8]) -> Option<(u16, u16)> {
    let one = |unit: &[u8]| match unit {
        [first, rest @ ..] if first & 0x1f == SPS => sps::resolution(rest).ok(),
        _ => None,
    };
    match payload {
        [first, rest @ ..] if first & 0x1f == STAP_A => stap_a(rest).filter_map(one).last(),
        whole => one(whole),
    }
}

/// The units of an aggregate, up to one that is empty or cut short.
fn stap_a(mut rest: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (length, after) = rest.split_first_chunk::<2>()?;
        let (unit, after) = after.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        rest = after;
        Some(unit).filter(|unit| !unit.is_empty())
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

    fn bytes(text: &str) -> Vec<u8> {
        let words = text.split_whitespace();
        words
            .map(|word| u8::from_str_radix(word, 16).unwrap())
            .collect()
    }

    /// What Chromium 156's own encoder (OpenH264) writes, in three profiles.
    #[test]
    fn the_size_stands_in_the_parameter_set_of_a_browser() {
        for (sps, expected) in [
            (
                "67 42 c0 1f 8c 8d 40 28 02 dd 37 01 0d 01 07 84 42 35",
                (1280, 720),
            ),
            (
                "67 42 c0 1e 8c 8d 40 50 17 fc b3 70 10 d0 10 78 44 23 50",
                (640, 360),
            ),
            (
                "67 42 c0 0d 8c 8d 40 a0 cb cf 37 01 0d 01 07 84 42 35",
                (320, 180),
            ),
            (
                "67 42 c0 0d 8c 8d 41 81 4b 3f 37 01 0d 01 07 84 42 35",
                (180, 320),
            ),
            (
                "67 42 c0 1e 8c 8d 40 50 1e d3 70 10 d0 10 78 44 23 50",
                (640, 480),
            ),
            (
                "67 42 c0 1f 8c 8d 40 6c 1e f3 73 70 10 d0 10 78 44 23 50",
                (854, 480),
            ),
            (
                "67 4d 4c 28 8c 8d 40 3c 01 13 f2 cd c0 43 40 41 e1 10 8d 40",
                (1920, 1080),
            ),
            (
                "67 64 0c 28 ac 19 1a 80 78 02 27 e5 9b 80 86 80 83 c2 21 1a 80",
                (1920, 1080),
            ),
            (
                "67 64 0c 0d ac 19 1a 81 41 97 9e 6e 02 1a 02 0f 08 84 6a",
                (320, 180),
            ),
        ] {
            let sps = bytes(sps);
            assert_eq!(resolution(&sps), Some(expected), "{sps:02x?}");
            // Within an aggregate, with its picture parameter set.
            let mut together = vec![0x78, 0, u8::try_from(sps.len()).unwrap()];
            together.extend(&sps);
            together.extend([0, 4, 0x68, 0xce, 0x3c, 0x80]);
            assert_eq!(resolution(&together), Some(expected));
            // Cut short it says nothing, and nothing else is taken for one.
            for length in 0..6 {
                assert_eq!(resolution(&sps[..length]), None);
            }
            let mut other = sps.clone();
            other[0] = 0x65;
            assert_eq!(resolution(&other), None);
        }
    }

    /// Written bit by bit as the standard says.
    #[derive(Default)]
    struct Writer(Vec<bool>);

    impl Writer {
        fn bits(mut self, count: u32, value: u32) -> Self {
            self.0
                .extend((0..count).rev().map(|bit| value >> bit & 1 == 1));
            self
        }

        fn ue(self, value: u32) -> Self {
            let width = 32 - (value + 1).leading_zeros();
            self.bits(width - 1, 0).bits(width, value + 1)
        }

        /// With the stop bit, as a unit: bytes that would look like a start code are told apart.
        fn unit(mut self) -> Vec<u8> {
            self.0.push(true);
            let mut unit = vec![0x67];
            for byte in self.0.chunks(8) {
                let byte = (0..8).fold(0, |b, i| b << 1 | u8::from(byte.get(i) == Some(&true)));
                if byte <= 3 && unit.ends_with(&[0, 0]) {
                    unit.push(3);
                }
                unit.push(byte);
            }
            unit
        }
    }

    fn begun(profile: u32) -> Writer {
        Writer::default().bits(8, profile).bits(16, 0).ue(0)
    }

    #[test]
    fn fields_colours_scaling_lists_and_long_orders_are_read_over() {
        // 4:2:2, ten bits, all scaling lists: one written out, the others ending at once. In the
        // middle of them stand bytes that have to be told from a start code.
        let mut high = begun(122).ue(2).ue(2).ue(2).bits(1, 0).bits(1, 1);
        for list in 0..8 {
            high = high.bits(1, 1);
            if list == 0 {
                for _ in 0..16 {
                    high = high.ue(0);
                }
            } else {
                // A step of -8, after which nothing follows.
                high = high.ue(16);
            }
        }
        // Order type 1 with three offsets; then fields: 40 columns, 15 rows of two.
        high = high
            .ue(0)
            .ue(1)
            .bits(1, 0)
            .ue(0)
            .ue(0)
            .ue(3)
            .ue(0)
            .ue(70_000)
            .ue(1);
        let high = high
            .ue(4)
            .bits(1, 0)
            .ue(39)
            .ue(14)
            .bits(1, 0)
            .bits(1, 0)
            .bits(1, 1);
        let high = high.bits(1, 1).ue(1).ue(2).ue(0).ue(3).bits(1, 0).unit();
        assert_eq!(resolution(&high), Some((640 - 2 * 3, 480 - 2 * 3)));

        // Monochrome is cut by the pixel.
        let grey = begun(100)
            .ue(0)
            .ue(0)
            .ue(0)
            .bits(2, 0)
            .ue(0)
            .ue(2)
            .ue(1)
            .bits(1, 0);
        let grey = grey
            .ue(19)
            .ue(11)
            .bits(2, 3)
            .bits(1, 1)
            .ue(0)
            .ue(1)
            .ue(0)
            .ue(5);
        assert_eq!(resolution(&grey.bits(1, 0).unit()), Some((319, 187)));

        let zeros = begun(66)
            .ue(0)
            .ue(0)
            .ue(1 << 30)
            .ue(1)
            .bits(1, 0)
            .ue(19)
            .ue(11);
        let zeros = zeros.bits(2, 3).bits(2, 0).unit();
        assert!(zeros.windows(3).any(|w| w == [0, 0, 3]), "{zeros:02x?}");
        assert_eq!(resolution(&zeros), Some((320, 192)));
    }

    #[test]
    fn a_hostile_parameter_set_has_no_size() {
        let size =
            |columns: u32, rows: u32| begun(66).ue(0).ue(2).ue(1).bits(1, 0).ue(columns).ue(rows);
        let cut = |cut: u32| size(19, 11).bits(2, 3).bits(1, 1).ue(cut).ue(0).ue(0).ue(0);
        assert_eq!(resolution(&cut(0).bits(1, 0).unit()), Some((320, 192)));
        for (unit, what) in [
            (cut(160).bits(1, 0).unit(), "nothing is left"),
            (
                cut(u32::MAX - 1).bits(1, 0).unit(),
                "cut more than there is",
            ),
            (
                size(u32::MAX - 1, 11).bits(2, 3).bits(2, 0).unit(),
                "wider than can be",
            ),
            (
                size(19, 1024).bits(2, 3).bits(2, 0).unit(),
                "higher than can be",
            ),
            (vec![0x67; 3], "cut short"),
            ([&[0x67][..], &[0; 4096]].concat(), "zeros without end"),
        ] {
            assert_eq!(resolution(&unit), None, "{what}");
        }
    }
}
