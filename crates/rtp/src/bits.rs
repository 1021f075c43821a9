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

    /// Bits taken so far.
    pub(crate) const fn position(&self) -> usize {
        self.at
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

    /// `ue(v)` (H.264 §9.1): as many zeros as bits follow the one behind them. No number is longer
    /// than 32 bits.
    pub(crate) fn exp_golomb(&mut self) -> Result<u32, RtpError> {
        let mut zeros = 0u32;
        while !self.flag()? {
            zeros = zeros.saturating_add(1);
            if zeros > 31 {
                return Err(RtpError::Invalid(self.what));
            }
        }
        let rest = self.bits(zeros)?;
        Ok(1u32.wrapping_shl(zeros).wrapping_sub(1).wrapping_add(rest))
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

/// Writes bits from the top down.
pub(crate) struct BitWriter<'a> {
    bytes: &'a mut [u8],
    at: usize,
}

impl<'a> BitWriter<'a> {
    pub(crate) const fn new(bytes: &'a mut [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(crate) fn flag(&mut self, value: bool) -> Result<(), RtpError> {
        let byte = self.bytes.get_mut(self.at / 8).ok_or(RtpError::NoRoom)?;
        let bit = 0x80u8.wrapping_shr(u32::try_from(self.at % 8).unwrap_or(0));
        // The rest of a byte that is begun is cleared.
        *byte = if self.at.is_multiple_of(8) { 0 } else { *byte };
        *byte |= if value { bit } else { 0 };
        self.at = self.at.saturating_add(1);
        Ok(())
    }

    pub(crate) fn bits(&mut self, count: u32, value: u32) -> Result<(), RtpError> {
        for bit in (0..count).rev() {
            self.flag(value.wrapping_shr(bit) & 1 == 1)?;
        }
        Ok(())
    }

    /// Takes over bits `from..to` of what `bytes` holds.
    pub(crate) fn copy(&mut self, bytes: &[u8], from: usize, to: usize) -> Result<(), RtpError> {
        let mut reader = BitReader::new(bytes, "bits");
        reader.at = from;
        while reader.at < to {
            self.flag(reader.flag()?)?;
        }
        Ok(())
    }

    /// The bytes written, whole or begun.
    pub(crate) const fn len(&self) -> usize {
        self.at.div_ceil(8)
    }
}
