//! The VP9 payload descriptor (RFC 9628 §4.2).

use crate::RtpError;

/// The most spatial layers a scalability structure can name.
const MAX_SPATIAL: usize = 8;

/// One packet's descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vp9 {
    /// PictureID and whether it has 15 bits.
    pub picture_id: Option<(u16, bool)>,
    /// P: predicted from an earlier picture.
    pub inter_predicted: bool,
    /// B: first packet of a frame.
    pub start_of_frame: bool,
    /// E: last packet of a frame.
    pub end_of_frame: bool,
    /// Z: no upper spatial layer refers to this frame.
    pub not_a_reference: bool,
    /// F: flexible mode.
    pub flexible: bool,
    /// Layer indices, if present.
    pub layer: Option<Vp9Layer>,
    /// TL0PICIDX, in non-flexible mode.
    pub tl0_index: Option<u8>,
    /// The scalability structure, if present.
    pub structure: Option<Vp9Structure>,
    /// This packet begins a keyframe.
    pub keyframe_start: bool,
    /// Where the VP9 frame data begins.
    pub payload_offset: usize,
}

/// Layer indices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vp9Layer {
    /// Temporal layer (TID), 0 to 7.
    pub temporal_id: u8,
    /// U: one may switch up here.
    pub switching_point: bool,
    /// Spatial layer (SID), 0 to 7.
    pub spatial_id: u8,
    /// D: depends on the spatial layer below.
    pub inter_layer: bool,
}

/// A scalability structure; its picture group is read over, not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vp9Structure {
    /// Spatial layers, 1 to 8.
    pub spatial_layers: u8,
    /// Width and height per spatial layer, if given.
    pub resolutions: Option<[(u16, u16); MAX_SPATIAL]>,
    /// Pictures in the group; 0 when none is described.
    pub group_size: u8,
}

impl Vp9 {
    /// Reads the descriptor of an RTP payload.
    ///
    /// # Errors
    /// [`RtpError`] when the payload ends within it or lists too many references.
    pub fn parse(payload: &[u8]) -> Result<Self, RtpError> {
        let mut rest = payload;
        let b0 = byte(&mut rest)?;
        let flag = |mask: u8| b0 & mask != 0;
        let (inter_predicted, flexible) = (flag(0x40), flag(0x10));
        let start_of_frame = flag(0x08);
        let mut picture_id = None;
        if flag(0x80) {
            let high = byte(&mut rest)?;
            picture_id = Some(if high & 0x80 != 0 {
                (u16::from_be_bytes([high & 0x7f, byte(&mut rest)?]), true)
            } else {
                (u16::from(high), false)
            });
        }
        let (mut layer, mut tl0_index) = (None, None);
        if flag(0x20) {
            let b = byte(&mut rest)?;
            layer = Some(Vp9Layer {
                temporal_id: b >> 5,
                switching_point: b & 0x10 != 0,
                spatial_id: b >> 1 & 0x07,
                inter_layer: b & 1 != 0,
            });
            if !flexible {
                tl0_index = Some(byte(&mut rest)?);
            }
        }
        if flexible && inter_predicted {
            let mut references = 0u8;
            while byte(&mut rest)? & 1 != 0 {
                references = references.saturating_add(1);
                if references == 3 {
                    return Err(RtpError::Invalid("VP9 reference list"));
                }
            }
        }
        let structure = if flag(0x02) {
            Some(structure(&mut rest)?)
        } else {
            None
        };
        let base = layer.is_none_or(|l| l.spatial_id == 0 || !l.inter_layer);
        Ok(Self {
            picture_id,
            inter_predicted,
            start_of_frame,
            end_of_frame: flag(0x04),
            not_a_reference: flag(0x01),
            flexible,
            layer,
            tl0_index,
            structure,
            keyframe_start: !inter_predicted && start_of_frame && base,
            payload_offset: payload.len().saturating_sub(rest.len()),
        })
    }
}

fn structure(rest: &mut &[u8]) -> Result<Vp9Structure, RtpError> {
    let b = byte(rest)?;
    let spatial_layers = (b >> 5).saturating_add(1);
    let mut resolutions = None;
    if b & 0x10 != 0 {
        let mut list = [(0, 0); MAX_SPATIAL];
        for slot in list.iter_mut().take(usize::from(spatial_layers)) {
            let [w0, w1, h0, h1] = [byte(rest)?, byte(rest)?, byte(rest)?, byte(rest)?];
            *slot = (u16::from_be_bytes([w0, w1]), u16::from_be_bytes([h0, h1]));
        }
        resolutions = Some(list);
    }
    let mut group_size = 0;
    if b & 0x08 != 0 {
        group_size = byte(rest)?;
        for _ in 0..group_size {
            let references = byte(rest)? >> 2 & 0x03;
            for _ in 0..references {
                byte(rest)?;
            }
        }
    }
    Ok(Vp9Structure {
        spatial_layers,
        resolutions,
        group_size,
    })
}

fn byte(rest: &mut &[u8]) -> Result<u8, RtpError> {
    let (first, after) = rest
        .split_first()
        .ok_or(RtpError::Truncated("VP9 descriptor"))?;
    *rest = after;
    Ok(*first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_keyframe_with_a_structure() {
        // I, L, B, V; PictureID 0x0102; TID 0 U SID 0; TL0 9; 2 layers with sizes and a group of 1.
        let payload = [
            0b1010_1010,
            0x81,
            0x02,
            0b0001_0000,
            9,
            0b0011_1000,
            0x01,
            0x40,
            0x00,
            0xb4,
            0x02,
            0x80,
            0x01,
            0x68,
            0x01,
            0b0000_0100,
            0x01,
            0xaa,
        ];
        let d = Vp9::parse(&payload).unwrap();
        assert!(d.keyframe_start && !d.inter_predicted);
        assert_eq!(d.picture_id, Some((0x0102, true)));
        assert_eq!(d.tl0_index, Some(9));
        let s = d.structure.unwrap();
        assert_eq!((s.spatial_layers, s.group_size), (2, 1));
        assert_eq!(&s.resolutions.unwrap()[..2], [(320, 180), (640, 360)]);
        assert_eq!(d.payload_offset, payload.len() - 1);
    }

    #[test]
    fn an_upper_layer_of_a_keyframe_begins_none() {
        // L, B; SID 1 with inter-layer dependency.
        let d = Vp9::parse(&[0b0010_1000, 0b0000_0011, 4]).unwrap();
        assert!(!d.keyframe_start);
        assert_eq!(d.layer.map(|l| l.spatial_id), Some(1));
    }

    #[test]
    fn a_predicted_frame_begins_none() {
        assert!(!Vp9::parse(&[0b0100_1000]).unwrap().keyframe_start);
    }

    #[test]
    fn flexible_references_are_read_over_and_bounded() {
        let d = Vp9::parse(&[0b0101_1000, 0x03, 0x05, 0x02, 0xff]).unwrap();
        assert_eq!(d.payload_offset, 4);
        assert!(Vp9::parse(&[0b0101_1000, 0x03, 0x05, 0x03, 0x02]).is_err());
    }
}
