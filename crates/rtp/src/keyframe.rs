use crate::dependency::DescriptorHead;
use crate::{av1::Av1, h264, vp8::Vp8, vp9::Vp9};
use althing_model::profile::Codec;

/// Whether this packet begins a keyframe: a receiver that has seen nothing can start with it.
///
/// `descriptor` is the value of the dependency descriptor extension, if the packet has one. Where
/// it is readable it alone decides, since payloads may be encrypted end to end. Audio is always a
/// start.
#[must_use]
pub fn is_keyframe(codec: Codec, payload: &[u8], descriptor: Option<&[u8]>) -> bool {
    if let Codec::Opus | Codec::TelephoneEvent = codec {
        return true;
    }
    if let Some(Ok(head)) = descriptor.map(DescriptorHead::parse) {
        return head.start_of_frame && head.has_structure;
    }
    match codec {
        Codec::Vp8 => Vp8::parse(payload).is_ok_and(|d| d.keyframe_start),
        Codec::Vp9 => Vp9::parse(payload).is_ok_and(|d| d.keyframe_start),
        Codec::H264 => h264::is_keyframe_start(payload),
        Codec::Av1 => Av1::parse(payload).is_ok_and(|d| d.new_sequence),
        Codec::Opus | Codec::TelephoneEvent => true,
    }
}
