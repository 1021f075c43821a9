use crate::RtpError;

/// Reads bits from the top down.
pub(crate) struct BitReader<'a> {
    bytes: &'a [u8],
    /// Bits already taken.
    at: usize,
    what: &'static str,
}

impl<'a> BitReader<'a> {
    pub(crate) const fn new(bytes: &'a [u8], what: &'static str) -> Self {
        Self { bytes, at: 0, what }
    }

    pub(crate) fn flag(&mut self) -> Result<bool, RtpError> {
        let byte = self
            .bytes
            .get(self.at / 8)
            .ok_or(RtpError::Truncated(self.what))?;
        let bit = byte.wrapping_shl(u32::try_from(self.at % 8).unwrap_or(0)) & 0x80;
        self.at = self.at.saturating_add(1);
        Ok(bit != 0)
    }

    /// Up to 32 bits.
    pub(crate) fn bits(&mut self, count: u32) -> Result<u32, RtpError> {
        let mut value = 0u32;
        for _ in 0..count {
            value = value.wrapping_shl(1) | u32::from(self.flag()?);
        }
        Ok(value)
    }

    /// Up to 8 bits.
    pub(crate) fn small(&mut self, count: u32) -> Result<u8, RtpError> {
        let value = self.bits(count.min(8))?;
        Ok(u8::try_from(value).unwrap_or(u8::MAX))
    }

    /// `ns(n)`: a number below `n` in as few bits as that takes.
    pub(crate) fn non_symmetric(&mut self, n: u32) -> Result<u32, RtpError> {
        let width = 32u32.saturating_sub(n.leading_zeros());
        let m = 1u32.wrapping_shl(width).wrapping_sub(n);
        let value = self.bits(width.saturating_sub(1))?;
        if value < m {
            return Ok(value);
        }
        let last = u32::from(self.flag()?);
        Ok((value.wrapping_shl(1) | last).wrapping_sub(m))
    }
}
