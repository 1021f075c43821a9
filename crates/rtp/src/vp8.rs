//! The VP8 payload descriptor (RFC 7741 §4.2) and what of the payload header is needed.

use crate::RtpError;

/// One packet's descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vp8 {
    /// First packet of a partition (S).
    pub start_of_partition: bool,
    /// Partition index (PID), 0 to 7.
    pub partition: u8,
    /// No other frame refers to this one (N).
    pub non_reference: bool,
    /// PictureID and whether it has 15 bits.
    pub picture_id: Option<(u16, bool)>,
    /// TL0PICIDX.
    pub tl0_index: Option<u8>,
    /// Temporal layer (TID), 0 to 3.
    pub temporal_id: Option<u8>,
    /// Y: refers to the base layer only.
    pub layer_sync: bool,
    /// KEYIDX, 0 to 31.
    pub key_index: Option<u8>,
    /// This packet begins a keyframe.
    pub keyframe_start: bool,
    /// Width and height, in the packet that begins a keyframe.
    pub resolution: Option<(u16, u16)>,
    /// Where the VP8 payload header begins.
    pub payload_offset: usize,
}

impl Vp8 {
    /// Reads the descriptor of an RTP payload.
    ///
    /// # Errors
    /// [`RtpError::Truncated`] when the payload ends within it.
    pub fn parse(payload: &[u8]) -> Result<Self, RtpError> {
        let mut rest = payload;
        let b0 = byte(&mut rest)?;
        let (mut picture_id, mut tl0_index, mut temporal_id, mut key_index) =
            (None, None, None, None);
        let mut layer_sync = false;
        if b0 & 0x80 != 0 {
            let flags = byte(&mut rest)?;
            if flags & 0x80 != 0 {
                let high = byte(&mut rest)?;
                picture_id = Some(if high & 0x80 != 0 {
                    (u16::from_be_bytes([high & 0x7f, byte(&mut rest)?]), true)
                } else {
                    (u16::from(high), false)
                });
            }
            if flags & 0x40 != 0 {
                tl0_index = Some(byte(&mut rest)?);
            }
            if flags & 0x30 != 0 {
                let b = byte(&mut rest)?;
                if flags & 0x20 != 0 {
                    temporal_id = Some(b >> 6);
                    layer_sync = b & 0x20 != 0;
                }
                if flags & 0x10 != 0 {
                    key_index = Some(b & 0x1f);
                }
            }
        }
        let start_of_partition = b0 & 0x10 != 0;
        let partition = b0 & 0x07;
        let starts_frame = start_of_partition && partition == 0;
        let keyframe_start = starts_frame && rest.first().is_some_and(|b| b & 1 == 0);
        let resolution = match rest {
            // Frame tag, start code, then 14 bits each, little endian, with scaling above.
            [_, _, _, 0x9d, 0x01, 0x2a, w0, w1, h0, h1, ..] if keyframe_start => Some((
                u16::from_le_bytes([*w0, *w1]) & 0x3fff,
                u16::from_le_bytes([*h0, *h1]) & 0x3fff,
            )),
            _ => None,
        };
        Ok(Self {
            start_of_partition,
            partition,
            non_reference: b0 & 0x20 != 0,
            picture_id,
            tl0_index,
            temporal_id,
            layer_sync,
            key_index,
            keyframe_start,
            resolution,
            payload_offset: payload.len().saturating_sub(rest.len()),
        })
    }
}

fn byte(rest: &mut &[u8]) -> Result<u8, RtpError> {
    let (first, after) = rest
        .split_first()
        .ok_or(RtpError::Truncated("VP8 descriptor"))?;
    *rest = after;
    Ok(*first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_keyframe_of_a_browser() {
        // X, S; I, L, T, K; 15-bit PictureID 0x1234; TL0 7; TID 0, Y, KEYIDX 3; 640x360.
        let payload = [
            0x90, 0xf0, 0x92, 0x34, 0x07, 0x23, 0x50, 0x00, 0x00, 0x9d, 0x01, 0x2a, 0x80, 0x02,
            0x68, 0x01,
        ];
        let d = Vp8::parse(&payload).unwrap();
        assert!(d.keyframe_start && d.start_of_partition && d.layer_sync);
        assert_eq!(d.picture_id, Some((0x1234, true)));
        assert_eq!(d.tl0_index, Some(7));
        assert_eq!(d.temporal_id, Some(0));
        assert_eq!(d.key_index, Some(3));
        assert_eq!(d.resolution, Some((640, 360)));
        assert_eq!(d.payload_offset, 6);
    }

    #[test]
    fn later_packets_and_delta_frames_begin_nothing() {
        // Not the start of a partition.
        assert!(!Vp8::parse(&[0x00, 0x50]).unwrap().keyframe_start);
        // The start of another partition.
        assert!(!Vp8::parse(&[0x11, 0x50]).unwrap().keyframe_start);
        // An inter frame.
        assert!(!Vp8::parse(&[0x10, 0x51]).unwrap().keyframe_start);
    }

    #[test]
    fn a_short_picture_id_has_seven_bits() {
        let d = Vp8::parse(&[0x90, 0x80, 0x11, 0x01]).unwrap();
        assert_eq!(d.picture_id, Some((0x11, false)));
    }

    #[test]
    fn every_truncation_is_an_error_not_a_panic() {
        let payload = [0x90, 0xf0, 0x92, 0x34, 0x07, 0x23];
        for n in 0..payload.len() {
            assert!(Vp8::parse(&payload[..n]).is_err(), "{n}");
        }
        assert!(!Vp8::parse(&payload).unwrap().keyframe_start);
    }
}
