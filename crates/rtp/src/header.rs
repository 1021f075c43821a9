use crate::RtpError;
use crate::packet::{ONE_BYTE, TWO_BYTE};
use althing_model::Ssrc;

/// The fields of an RTP header to be written: for senders, and for tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RtpHeader {
    /// The marker bit.
    pub marker: bool,
    /// 0 to 127; the top bit is ignored.
    pub payload_type: u8,
    /// The sequence number.
    pub sequence: u16,
    /// In units of the payload type's clock.
    pub timestamp: u32,
    /// The synchronisation source.
    pub ssrc: Ssrc,
}

impl RtpHeader {
    /// Writes the header with these extensions (`(id, value)`, ids 1 to 255, values up to 255
    /// bytes) to the start of `out`; returns its length. The one-byte form of RFC 8285 is used
    /// where it can be.
    ///
    /// # Errors
    /// [`RtpError::NoRoom`] when `out` is too small, [`RtpError::Invalid`] for an id or value that
    /// fits neither form.
    pub fn write(&self, extensions: &[(u8, &[u8])], out: &mut [u8]) -> Result<usize, RtpError> {
        let mut w = Writer { out, at: 0 };
        let has_extensions = !extensions.is_empty();
        w.put(&[
            0x80 | u8::from(has_extensions) << 4,
            (self.payload_type & 0x7f) | u8::from(self.marker) << 7,
        ])?;
        w.put(&self.sequence.to_be_bytes())?;
        w.put(&self.timestamp.to_be_bytes())?;
        w.put(&self.ssrc.0.to_be_bytes())?;
        if has_extensions {
            let two_byte = extensions
                .iter()
                .any(|(id, v)| *id > 14 || v.is_empty() || v.len() > 16);
            let profile = if two_byte { TWO_BYTE } else { ONE_BYTE };
            w.put(&profile.to_be_bytes())?;
            let length_at = w.at;
            w.put(&[0, 0])?;
            for (id, value) in extensions {
                w.extension(two_byte, *id, value)?;
            }
            let words = w.pad(length_at.saturating_add(2))?;
            w.patch(length_at, &words.to_be_bytes())?;
        }
        Ok(w.at)
    }
}

/// Appends to a caller's buffer.
pub(crate) struct Writer<'a> {
    pub(crate) out: &'a mut [u8],
    pub(crate) at: usize,
}

impl Writer<'_> {
    pub(crate) fn put(&mut self, bytes: &[u8]) -> Result<(), RtpError> {
        let end = self.at.saturating_add(bytes.len());
        self.out
            .get_mut(self.at..end)
            .ok_or(RtpError::NoRoom)?
            .copy_from_slice(bytes);
        self.at = end;
        Ok(())
    }

    pub(crate) fn patch(&mut self, at: usize, bytes: &[u8]) -> Result<(), RtpError> {
        self.out
            .get_mut(at..at.saturating_add(bytes.len()))
            .ok_or(RtpError::NoRoom)?
            .copy_from_slice(bytes);
        Ok(())
    }

    /// One header extension element.
    pub(crate) fn extension(
        &mut self,
        two_byte: bool,
        id: u8,
        value: &[u8],
    ) -> Result<(), RtpError> {
        const TOO_LONG: RtpError = RtpError::Invalid("header extension");
        let length = u8::try_from(value.len()).map_err(|_| TOO_LONG)?;
        if id == 0 {
            return Err(TOO_LONG);
        }
        if two_byte {
            self.put(&[id, length])?;
        } else {
            self.put(&[id << 4 | (length.wrapping_sub(1) & 0x0f)])?;
        }
        self.put(value)
    }

    /// Fills with zeros up to a multiple of 4 counted from `start`; the number of words since.
    pub(crate) fn pad(&mut self, start: usize) -> Result<u16, RtpError> {
        let length = self.at.saturating_sub(start);
        let words = length.div_ceil(4);
        let zeros = words.saturating_mul(4).saturating_sub(length);
        self.put([0u8; 3].get(..zeros).unwrap_or_default())?;
        u16::try_from(words).map_err(|_| RtpError::NoRoom)
    }
}
