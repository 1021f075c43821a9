//! The AV1 aggregation header (AV1 RTP payload specification 1.0 §4.4).

use crate::RtpError;

/// One packet's aggregation header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Av1 {
    /// Z: begins with the continuation of an OBU.
    pub continues: bool,
    /// Y: ends within an OBU.
    pub continued: bool,
    /// W: OBU elements in the packet, 0 for «each has its length».
    pub elements: u8,
    /// N: first packet of a coded video sequence, that is, of a keyframe.
    pub new_sequence: bool,
}

impl Av1 {
    /// Reads the first byte of an RTP payload.
    ///
    /// # Errors
    /// [`RtpError::Truncated`] when there is none.
    pub fn parse(payload: &[u8]) -> Result<Self, RtpError> {
        let b = payload
            .first()
            .ok_or(RtpError::Truncated("AV1 aggregation header"))?;
        Ok(Self {
            continues: b & 0x80 != 0,
            continued: b & 0x40 != 0,
            elements: b >> 4 & 0x03,
            new_sequence: b & 0x08 != 0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_n_bit_begins_a_keyframe() {
        assert!(Av1::parse(&[0b0001_1000]).unwrap().new_sequence);
        assert!(!Av1::parse(&[0b1001_0000]).unwrap().new_sequence);
        assert!(Av1::parse(&[]).is_err());
    }
}
