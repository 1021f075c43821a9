//! Frame numbers inside packets, made continuous across what an SSRC carries in turn.
//!
//! A decoder's frame buffer refuses frames that are numbered before one it has decoded, keyframes
//! included, however new their timestamps (seen with Chromium 156). So when another source comes
//! onto an SSRC, its picture ids (VP8, VP9), its TL0PICIDX and its frame numbers (dependency
//! descriptor) go on where the last source's ended.

use althing_model::profile::Codec;
use althing_rtp::HeaderTemplate;

/// Payload bytes that may change: both descriptors have their numbers within these.
pub(crate) const PREFIX: usize = 6;
const PICTURES: u16 = 0x7fff;
const TEMPLATES: u8 = 0x3f;

/// Where one packet says which frame it belongs to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct FrameIds {
    /// Offset in the payload, and value, of a 15-bit picture id. The 7-bit form is not rewritten:
    /// browsers do not use it.
    pub(crate) picture: Option<(u8, u16)>,
    /// The picture id here is another than in the payload: a view has closed them up.
    pub(crate) moved: bool,
    /// Offset in the payload, and value.
    pub(crate) tl0: Option<(u8, u8)>,
    /// The dependency descriptor's template id, and its frame number.
    pub(crate) frame: Option<(u8, u16)>,
    /// The template id offset of the structure that the descriptor brings, and how many templates
    /// it has.
    pub(crate) structure: Option<(u8, u8)>,
}

impl FrameIds {
    /// A packet without any.
    pub(crate) const NONE: Self = Self {
        picture: None,
        moved: false,
        tl0: None,
        frame: None,
        structure: None,
    };

    /// Reads the numbers of a packet (RFC 7741 §4.2, RFC 9628 §4.2, AV1 RTP §A.8.2).
    pub(crate) fn of(codec: Codec, payload: &[u8], descriptor: Option<&[u8]>) -> Self {
        let mut ids = match codec {
            Codec::Vp8 => Self::vp8(payload),
            Codec::Vp9 => Self::vp9(payload),
            Codec::Opus | Codec::TelephoneEvent | Codec::Av1 | Codec::H264 => Self::default(),
        };
        if let Some(&[first, high, low, ..]) = descriptor {
            ids.frame = Some((first & 0x3f, u16::from_be_bytes([high, low])));
        }
        ids
    }

    fn vp8(payload: &[u8]) -> Self {
        let (Some(&first), Some(&extension)) = (payload.first(), payload.get(1)) else {
            return Self::default();
        };
        if first & 0x80 == 0 {
            return Self::default();
        }
        let mut at = 2;
        let picture = (extension & 0x80 != 0)
            .then(|| picture(payload, &mut at))
            .flatten();
        let tl0 = (extension & 0x40 != 0)
            .then(|| payload.get(at).map(|&value| (at as u8, value)))
            .flatten();
        Self {
            picture,
            tl0,
            ..Self::NONE
        }
    }

    fn vp9(payload: &[u8]) -> Self {
        let Some(&first) = payload.first() else {
            return Self::default();
        };
        let mut at = 1;
        let picture = (first & 0x80 != 0)
            .then(|| picture(payload, &mut at))
            .flatten();
        // Layer indices, and TL0PICIDX behind them unless in flexible mode.
        let tl0 = (first & 0x20 != 0 && first & 0x10 == 0)
            .then(|| payload.get(at + 1).map(|&value| (at as u8 + 1, value)))
            .flatten();
        Self {
            picture,
            tl0,
            ..Self::NONE
        }
    }
}

/// Reads a picture id at `at` and moves past it.
fn picture(payload: &[u8], at: &mut usize) -> Option<(u8, u16)> {
    let start = *at;
    let high = *payload.get(start)?;
    if high & 0x80 == 0 {
        *at += 1;
        return None;
    }
    *at += 2;
    let low = *payload.get(start + 1)?;
    // Descriptors begin with a few bytes at most.
    Some((start as u8, u16::from_be_bytes([high & 0x7f, low])))
}

/// What is added to the numbers of what is now on an SSRC.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct FrameShift {
    picture: u16,
    tl0: u8,
    frame: u16,
    template: u8,
}

impl FrameShift {
    pub(crate) const NONE: Self = Self {
        picture: 0,
        tl0: 0,
        frame: 0,
        template: 0,
    };

    /// The same, for picture ids that are lower by so much.
    pub(crate) const fn with_pictures_lowered(self, by: u16) -> Self {
        Self {
            picture: self.picture.wrapping_add(by) & PICTURES,
            ..self
        }
    }

    /// Writes the changed beginning of the payload; returns how many bytes it replaces, 0 when
    /// nothing changes.
    #[inline]
    pub(crate) fn prefix(&self, ids: &FrameIds, payload: &[u8], out: &mut [u8; PREFIX]) -> usize {
        if self.picture == 0 && self.tl0 == 0 && !ids.moved {
            return 0;
        }
        let length = payload.len().min(PREFIX);
        out[..length].copy_from_slice(&payload[..length]);
        if let Some((at, value)) = ids.picture {
            let value = (value.wrapping_add(self.picture) & PICTURES) | 0x8000;
            out[usize::from(at)..][..2].copy_from_slice(&value.to_be_bytes());
        }
        if let Some((at, value)) = ids.tl0 {
            out[usize::from(at)] = value.wrapping_add(self.tl0);
        }
        length
    }

    /// Whether descriptors change at all.
    pub(crate) const fn renumbers_frames(&self) -> bool {
        self.frame != 0 || self.template != 0
    }

    /// Writes into a header whose descriptor stands at `at` what the receiver is to see there.
    pub(crate) fn write(&self, ids: &FrameIds, at: usize, header: &mut HeaderTemplate) {
        if let Some((template, frame)) = ids.frame {
            header.set_descriptor(
                at,
                template.wrapping_add(self.template),
                frame.wrapping_add(self.frame),
                ids.structure
                    .map(|(offset, _)| offset.wrapping_add(self.template)),
            );
        }
    }
}

/// The last numbers sent on an SSRC.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct LastFrame {
    picture: Option<u16>,
    tl0: Option<u8>,
    frame: Option<u16>,
    /// One past the last template id of the structure last sent.
    template: Option<u8>,
}

impl LastFrame {
    /// Nothing was sent yet.
    pub(crate) const NONE: Self = Self {
        picture: None,
        tl0: None,
        frame: None,
        template: None,
    };

    /// Something else begins with this packet: what makes its numbers go on from here.
    pub(crate) fn shift(&self, ids: FrameIds) -> FrameShift {
        let mut shift = FrameShift::NONE;
        if let (Some(last), Some((_, new))) = (self.picture, ids.picture) {
            shift.picture = last.wrapping_add(1).wrapping_sub(new) & PICTURES;
        }
        if let (Some(last), Some((_, new))) = (self.tl0, ids.tl0) {
            shift.tl0 = last.wrapping_add(1).wrapping_sub(new);
        }
        if let (Some(last), Some((_, new))) = (self.frame, ids.frame) {
            shift.frame = last.wrapping_add(1).wrapping_sub(new);
        }
        if let (Some(end), Some((offset, _))) = (self.template, ids.structure) {
            shift.template = end.wrapping_sub(offset) & TEMPLATES;
        }
        shift
    }

    /// The newest packet so far was sent.
    #[inline]
    pub(crate) fn sent(&mut self, ids: &FrameIds, shift: &FrameShift) {
        if let Some((_, value)) = ids.picture {
            self.picture = Some(value.wrapping_add(shift.picture) & PICTURES);
        }
        if let Some((_, value)) = ids.tl0 {
            self.tl0 = Some(value.wrapping_add(shift.tl0));
        }
        if let Some((_, frame)) = ids.frame {
            self.frame = Some(frame.wrapping_add(shift.frame));
        }
        if let Some((offset, count)) = ids.structure {
            let end = offset.wrapping_add(shift.template).wrapping_add(count);
            self.template = Some(end & TEMPLATES);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// VP8 with a 15-bit picture id and TL0PICIDX.
    fn vp8(picture: u16, tl0: u8) -> Vec<u8> {
        let [high, low] = (picture | 0x8000).to_be_bytes();
        vec![0x90, 0xe0, high, low, tl0, 0x20, 0x10, 0x02]
    }

    fn rewritten(shift: &FrameShift, payload: &[u8]) -> Vec<u8> {
        let mut prefix = [0; PREFIX];
        let ids = FrameIds::of(Codec::Vp8, payload, None);
        let replaced = shift.prefix(&ids, payload, &mut prefix);
        [&prefix[..replaced], &payload[replaced..]].concat()
    }

    #[test]
    fn the_next_source_goes_on_where_the_last_one_ended() {
        let mut last = LastFrame::NONE;
        let shift = last.shift(FrameIds::of(Codec::Vp8, &vp8(0x7ffe, 254), None));
        for (picture, tl0) in [(0x7ffe, 254), (0x7fff, 255)] {
            let payload = vp8(picture, tl0);
            assert_eq!(
                rewritten(&shift, &payload),
                payload,
                "the first source is left alone"
            );
            last.sent(&FrameIds::of(Codec::Vp8, &payload, None), &shift);
        }
        let other = vp8(77, 9);
        let shift = last.shift(FrameIds::of(Codec::Vp8, &other, None));
        assert_eq!(rewritten(&shift, &other), vp8(0, 0));
        assert_eq!(rewritten(&shift, &vp8(78, 10)), vp8(1, 1));
    }

    #[test]
    fn vp9_numbers_are_found_with_and_without_flexible_mode() {
        let flexible = [0b1011_0000, 0x92, 0x34, 0x10];
        let ids = FrameIds::of(Codec::Vp9, &flexible, None);
        assert_eq!((ids.picture, ids.tl0), (Some((1, 0x1234)), None));
        let plain = [0b1010_0000, 0x92, 0x34, 0x10, 7];
        let ids = FrameIds::of(Codec::Vp9, &plain, None);
        assert_eq!((ids.picture, ids.tl0), (Some((1, 0x1234)), Some((4, 7))));
    }

    #[test]
    fn truncated_descriptors_have_no_numbers() {
        let whole = vp8(5, 5);
        for codec in [Codec::Vp8, Codec::Vp9] {
            for length in 0..whole.len() {
                let ids = FrameIds::of(codec, &whole[..length], Some(&[0; 2]));
                assert_eq!(ids.frame, None);
                let shift = FrameShift {
                    picture: 3,
                    tl0: 3,
                    ..FrameShift::NONE
                };
                let mut prefix = [0; PREFIX];
                assert!(shift.prefix(&ids, &whole[..length], &mut prefix) <= length);
            }
        }
    }

    #[test]
    fn frame_numbers_and_templates_of_a_descriptor_go_on_too() {
        let mut last = LastFrame::NONE;
        let ids = |frame: u16, structure| FrameIds {
            structure,
            ..FrameIds::of(
                Codec::Av1,
                &[],
                Some(&[&[0x80][..], &frame.to_be_bytes()].concat()),
            )
        };
        last.sent(&ids(65_535, Some((0, 9))), &FrameShift::NONE);
        let shift = last.shift(ids(40, Some((0, 5))));
        assert_eq!((shift.frame, shift.template), (0u16.wrapping_sub(40), 9));
        last.sent(&ids(40, Some((0, 5))), &shift);
        assert_eq!((last.frame, last.template), (Some(0), Some(14)));
        last.sent(&ids(41, None), &shift);
        assert_eq!((last.frame, last.template), (Some(1), Some(14)));
    }
}
