//! Generated media that proves itself: every packet carries who sent it, which one it is and when.
//!
//! ```text
//!   audio:  TOC │ marker │ filler
//!   video:  VP8 payload descriptor │ frame tag [start code, size] │ marker │ filler
//!   marker: "ALTH" │ kind │ sender (8) │ sequence u32 │ sent at, µs since 1970, u64
//! ```
//!
//! The filler follows from the sequence number, so a receiver notices a single changed byte.

use althing_model::MediaKind;

const MAGIC: [u8; 4] = *b"ALTH";
const MARKER: usize = 4 + 1 + 8 + 4 + 8;
/// Descriptor with a 15-bit picture id, TL0PICIDX and TID/KEYIDX (RFC 7741 §4.2).
const VP8_DESCRIPTOR: usize = 6;
const VP8_KEYFRAME_HEADER: usize = 10;
const VP8_FRAME_TAG: usize = 3;

/// Who sent a packet, in eight bytes: the endpoint id, cut or padded with zeros.
pub(crate) type Sender = [u8; 8];

/// The eight bytes of an endpoint id.
pub(crate) fn sender(endpoint: &str) -> Sender {
    let mut out = [0; 8];
    for (to, from) in out.iter_mut().zip(endpoint.bytes()) {
        *to = from;
    }
    out
}

/// What a generated packet says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Marker {
    pub(crate) kind: MediaKind,
    pub(crate) sender: Sender,
    pub(crate) sequence: u32,
    pub(crate) sent_micros: u64,
}

impl Marker {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&MAGIC);
        out.push(match self.kind {
            MediaKind::Audio => 0,
            MediaKind::Video => 1,
        });
        out.extend_from_slice(&self.sender);
        out.extend_from_slice(&self.sequence.to_be_bytes());
        out.extend_from_slice(&self.sent_micros.to_be_bytes());
    }
}

fn filler(sequence: u32, index: usize) -> u8 {
    (sequence as usize).wrapping_mul(31).wrapping_add(index) as u8
}

/// Fills `out` with an Opus-shaped payload of `size` bytes.
pub(crate) fn write_audio(out: &mut Vec<u8>, marker: &Marker, size: usize) {
    out.clear();
    // TOC of a 20 ms full-band CELT frame, mono, one frame (RFC 6716 §3.1).
    out.push(0xf8);
    marker.write(out);
    pad(out, marker.sequence, size);
}

/// Where a video packet stands in its frame, and in what frame.
#[derive(Debug, Clone, Copy)]
pub(crate) struct VideoPosition {
    pub(crate) first: bool,
    pub(crate) keyframe: bool,
    pub(crate) picture_id: u16,
    pub(crate) tl0_picture_index: u8,
}

/// Fills `out` with a VP8 payload of `size` bytes, 640x360.
pub(crate) fn write_video(
    out: &mut Vec<u8>,
    marker: &Marker,
    position: VideoPosition,
    size: usize,
) {
    out.clear();
    out.push(0x80 | if position.first { 0x10 } else { 0 });
    out.push(0x80 | 0x40 | 0x20);
    out.extend_from_slice(&(0x8000 | (position.picture_id & 0x7fff)).to_be_bytes());
    out.push(position.tl0_picture_index);
    out.push(0);
    debug_assert_eq!(out.len(), VP8_DESCRIPTOR);
    if position.first {
        // Frame tag: inverse key frame flag, version 0, shown, an arbitrary partition size.
        out.extend_from_slice(&[if position.keyframe { 0x10 } else { 0x11 }, 0x02, 0x00]);
        if position.keyframe {
            out.extend_from_slice(&[0x9d, 0x01, 0x2a]);
            out.extend_from_slice(&640u16.to_le_bytes());
            out.extend_from_slice(&360u16.to_le_bytes());
        }
    }
    marker.write(out);
    pad(out, marker.sequence, size);
}

fn pad(out: &mut Vec<u8>, sequence: u32, size: usize) {
    let start = out.len();
    for index in start..size {
        out.push(filler(sequence, index));
    }
}

/// Why a payload is not one of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// No marker: sent by somebody else's client, for instance a browser.
    Foreign,
    /// A marker, but what follows it was changed on the way.
    Corrupt,
}

/// Reads the marker of a payload and checks what follows it.
pub(crate) fn read(kind: MediaKind, payload: &[u8]) -> Result<Marker, Unreadable> {
    let offset = match kind {
        MediaKind::Audio => 1,
        MediaKind::Video => video_offset(payload).ok_or(Unreadable::Foreign)?,
    };
    let marker = payload
        .get(offset..offset + MARKER)
        .ok_or(Unreadable::Foreign)?;
    let (magic, rest) = marker.split_at(4);
    if magic != MAGIC {
        return Err(Unreadable::Foreign);
    }
    let mut sender = [0; 8];
    sender.copy_from_slice(&rest[1..9]);
    let mut sequence = [0; 4];
    sequence.copy_from_slice(&rest[9..13]);
    let mut sent = [0; 8];
    sent.copy_from_slice(&rest[13..21]);
    let found = Marker {
        kind: if rest[0] == 0 {
            MediaKind::Audio
        } else {
            MediaKind::Video
        },
        sender,
        sequence: u32::from_be_bytes(sequence),
        sent_micros: u64::from_be_bytes(sent),
    };
    let whole = payload
        .iter()
        .enumerate()
        .skip(offset + MARKER)
        .all(|(index, byte)| *byte == filler(found.sequence, index));
    if whole && found.kind == kind {
        Ok(found)
    } else {
        Err(Unreadable::Corrupt)
    }
}

fn video_offset(payload: &[u8]) -> Option<usize> {
    let first = *payload.first()?;
    if first & 0x80 == 0 {
        return None;
    }
    let tag = *payload.get(VP8_DESCRIPTOR)?;
    Some(match (first & 0x10 != 0, tag & 1 == 0) {
        (false, _) => VP8_DESCRIPTOR,
        (true, true) => VP8_DESCRIPTOR + VP8_KEYFRAME_HEADER,
        (true, false) => VP8_DESCRIPTOR + VP8_FRAME_TAG,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marker(kind: MediaKind) -> Marker {
        Marker {
            kind,
            sender: sender("ab12cd34"),
            sequence: 70_000,
            sent_micros: 1_700_000_000_000_000,
        }
    }

    #[test]
    fn audio_reads_back() {
        let mut payload = Vec::new();
        write_audio(&mut payload, &marker(MediaKind::Audio), 80);
        assert_eq!(payload.len(), 80);
        assert_eq!(
            read(MediaKind::Audio, &payload),
            Ok(marker(MediaKind::Audio))
        );
    }

    #[test]
    fn video_reads_back_wherever_it_stands_in_a_frame() {
        for (first, keyframe) in [(true, true), (true, false), (false, true), (false, false)] {
            let position = VideoPosition {
                first,
                keyframe,
                picture_id: 0x1234,
                tl0_picture_index: 9,
            };
            let mut payload = Vec::new();
            write_video(&mut payload, &marker(MediaKind::Video), position, 1100);
            assert_eq!(payload.len(), 1100);
            assert_eq!(
                read(MediaKind::Video, &payload),
                Ok(marker(MediaKind::Video))
            );
        }
    }

    #[test]
    fn one_changed_byte_is_noticed() {
        let mut payload = Vec::new();
        write_audio(&mut payload, &marker(MediaKind::Audio), 80);
        payload[79] ^= 1;
        assert_eq!(read(MediaKind::Audio, &payload), Err(Unreadable::Corrupt));
    }

    #[test]
    fn somebody_elses_media_is_foreign() {
        assert_eq!(
            read(MediaKind::Audio, &[0xf8; 60]),
            Err(Unreadable::Foreign)
        );
        assert_eq!(read(MediaKind::Video, &[]), Err(Unreadable::Foreign));
        assert_eq!(read(MediaKind::Video, &[0x10; 3]), Err(Unreadable::Foreign));
    }
}
