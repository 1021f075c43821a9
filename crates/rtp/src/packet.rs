use crate::RtpError;
use althing_model::Ssrc;

/// Smallest RTP header, in bytes.
const FIXED: usize = 12;
/// RFC 8285 §4.2.
pub(crate) const ONE_BYTE: u16 = 0xbede;
/// RFC 8285 §4.3, with the application bits cleared.
pub(crate) const TWO_BYTE: u16 = 0x1000;

/// A view of one RTP packet (RFC 3550 §5.1), borrowed from the datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RtpPacket<'a> {
    marker: bool,
    payload_type: u8,
    sequence: u16,
    timestamp: u32,
    ssrc: Ssrc,
    profile: u16,
    extensions: &'a [u8],
    header: &'a [u8],
    payload: &'a [u8],
    padding: u8,
}

impl<'a> RtpPacket<'a> {
    /// Reads the header; the payload is what remains without padding.
    ///
    /// # Errors
    /// [`RtpError`] when a length points past the end, the version is not 2 or the padding count
    /// is impossible.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, RtpError> {
        const SHORT: RtpError = RtpError::Truncated("RTP header");
        let (fixed, mut rest) = bytes.split_first_chunk::<FIXED>().ok_or(SHORT)?;
        let [b0, b1, s0, s1, t0, t1, t2, t3, c0, c1, c2, c3] = *fixed;
        if b0 >> 6 != 2 {
            return Err(RtpError::Version);
        }
        let csrc_bytes = usize::from(b0 & 0x0f).saturating_mul(4);
        rest = rest.get(csrc_bytes..).ok_or(SHORT)?;
        let (mut profile, mut extensions): (u16, &[u8]) = (0, &[]);
        if b0 & 0x10 != 0 {
            let (word, after) = rest.split_first_chunk::<4>().ok_or(SHORT)?;
            let [p0, p1, l0, l1] = *word;
            profile = u16::from_be_bytes([p0, p1]);
            let length = usize::from(u16::from_be_bytes([l0, l1])).saturating_mul(4);
            (extensions, rest) = after
                .split_at_checked(length)
                .ok_or(RtpError::Truncated("RTP header extension"))?;
        }
        let header_len = bytes.len().saturating_sub(rest.len());
        let mut padding = 0;
        if b0 & 0x20 != 0 {
            padding = *rest.last().ok_or(RtpError::Invalid("RTP padding"))?;
            let kept = rest
                .len()
                .checked_sub(usize::from(padding))
                .filter(|_| padding > 0)
                .ok_or(RtpError::Invalid("RTP padding"))?;
            rest = rest.get(..kept).unwrap_or_default();
        }
        Ok(Self {
            marker: b1 & 0x80 != 0,
            payload_type: b1 & 0x7f,
            sequence: u16::from_be_bytes([s0, s1]),
            timestamp: u32::from_be_bytes([t0, t1, t2, t3]),
            ssrc: Ssrc(u32::from_be_bytes([c0, c1, c2, c3])),
            profile,
            extensions,
            header: bytes.get(..header_len).unwrap_or_default(),
            payload: rest,
            padding,
        })
    }

    /// The marker bit.
    #[must_use]
    pub const fn marker(&self) -> bool {
        self.marker
    }

    /// The payload type, 0 to 127.
    #[must_use]
    pub const fn payload_type(&self) -> u8 {
        self.payload_type
    }

    /// The sequence number.
    #[must_use]
    pub const fn sequence(&self) -> u16 {
        self.sequence
    }

    /// The timestamp, in units of the payload type's clock.
    #[must_use]
    pub const fn timestamp(&self) -> u32 {
        self.timestamp
    }

    /// The synchronisation source.
    #[must_use]
    pub const fn ssrc(&self) -> Ssrc {
        self.ssrc
    }

    /// The header's bytes, extensions included.
    #[must_use]
    pub const fn header(&self) -> &'a [u8] {
        self.header
    }

    /// The payload without padding.
    #[must_use]
    pub const fn payload(&self) -> &'a [u8] {
        self.payload
    }

    /// Padding, in bytes; 0 when there is none.
    #[must_use]
    pub const fn padding(&self) -> u8 {
        self.padding
    }

    /// The value of the header extension with this id, in either form of RFC 8285. The first one
    /// counts.
    #[must_use]
    pub fn extension(&self, id: u8) -> Option<&'a [u8]> {
        self.extensions().find(|(i, _)| *i == id).map(|(_, v)| v)
    }

    /// Every header extension in order.
    #[must_use]
    pub const fn extensions(&self) -> Extensions<'a> {
        Extensions {
            profile: self.profile,
            rest: self.extensions,
        }
    }
}

/// Iterates `(id, value)` of a packet's header extensions; stops at the first malformed one.
#[derive(Debug, Clone)]
pub struct Extensions<'a> {
    profile: u16,
    rest: &'a [u8],
}

impl<'a> Iterator for Extensions<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let two_byte = match self.profile {
            ONE_BYTE => false,
            p if p & 0xfff0 == TWO_BYTE => true,
            _ => return None,
        };
        loop {
            let (&first, after) = self.rest.split_first()?;
            if first == 0 {
                self.rest = after;
                continue;
            }
            let (id, length, after) = if two_byte {
                let (&length, after) = after.split_first()?;
                (first, usize::from(length), after)
            } else {
                let id = first >> 4;
                // Id 15 ends a one-byte block (RFC 8285 §4.2).
                if id == 15 {
                    return None;
                }
                (id, usize::from(first & 0x0f).saturating_add(1), after)
            };
            let (value, after) = after.split_at_checked(length)?;
            self.rest = after;
            if id == 0 {
                continue;
            }
            return Some((id, value));
        }
    }
}

#[cfg(test)]
mod tests;
