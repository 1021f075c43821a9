//! Generated media that proves itself: every packet carries who sent it, which one it is and when.
//!
//! ```text
//!   audio:  TOC │ marker │ filler
//!   video:  VP8 payload descriptor │ frame tag [start code, size] │ marker │ picture │ filler
//!   marker: "ALTH" │ source │ sender (8) │ sequence u32 │ sent at, µs since 1970, u64
//!   picture: encoding │ temporal layer │ height u16 │ frame u32 │ refers to u32 │ packet u16 │ of u16
//! ```
//!
//! The filler follows from the sequence number, so a receiver notices a single changed byte. A
//! video packet says which frame it belongs to and which earlier frame a decoder needs for it, so
//! that a receiver knows what a browser could have shown without any picture being coded.

use althing_rtp::vp8::Vp8;

const MAGIC: [u8; 4] = *b"ALTH";
const MARKER: usize = 4 + 1 + 8 + 4 + 8;
const PICTURE: usize = 1 + 1 + 2 + 4 + 4 + 2 + 2;
/// Descriptor with a 15-bit picture id, TL0PICIDX and TID/KEYIDX (RFC 7741 §4.2).
const VP8_DESCRIPTOR: usize = 6;
const VP8_KEYFRAME_HEADER: usize = 10;
const VP8_FRAME_TAG: usize = 3;

/// The least that holds a marker, in bytes.
pub(crate) const LEAST_AUDIO: usize = 1 + MARKER;
/// Likewise for the first packet of a keyframe.
pub(crate) const LEAST_VIDEO: usize = VP8_DESCRIPTOR + VP8_KEYFRAME_HEADER + MARKER + PICTURE;

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

/// The endpoint id again.
pub(crate) fn endpoint(sender: Sender) -> String {
    let bytes: Vec<u8> = sender.into_iter().take_while(|b| *b != 0).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Which of a sender's sources: its microphone, or a picture by its number (`v0`, `v1`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Source {
    Audio,
    Video(u8),
}

impl Source {
    const fn to_byte(self) -> u8 {
        match self {
            Self::Audio => 0,
            Self::Video(number) => number.saturating_add(1),
        }
    }

    const fn from_byte(byte: u8) -> Self {
        match byte.checked_sub(1) {
            None => Self::Audio,
            Some(number) => Self::Video(number),
        }
    }
}

/// What a generated packet says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Marker {
    pub(crate) source: Source,
    pub(crate) sender: Sender,
    pub(crate) sequence: u32,
    pub(crate) sent_micros: u64,
}

/// Where a video packet stands in its frame, and the frame in its encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Picture {
    pub(crate) encoding: u8,
    pub(crate) temporal: u8,
    pub(crate) height: u16,
    /// Counts the frames of the encoding.
    pub(crate) frame: u32,
    /// The frame a decoder must have for this one; itself for a keyframe.
    pub(crate) refers_to: u32,
    pub(crate) packet: u16,
    pub(crate) packets: u16,
}

impl Picture {
    pub(crate) const fn is_keyframe(&self) -> bool {
        self.frame == self.refers_to
    }

    pub(crate) const fn is_last(&self) -> bool {
        self.packet + 1 == self.packets
    }
}

/// What the payload descriptor is to say; the server may rewrite it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ids {
    pub(crate) picture_id: u16,
    pub(crate) tl0_index: u8,
    /// The frame refers to the base layer only (Y).
    pub(crate) layer_sync: bool,
}

/// The filler: byte after byte counting up, from a start that follows from the sequence number.
const RAMP: [u8; 2048] = {
    let mut ramp = [0; 2048];
    let mut index = 0;
    while index < ramp.len() {
        ramp[index] = index as u8;
        index += 1;
    }
    ramp
};

/// The filler of the bytes from `start` to `end` of a payload; `end` is at most 1,792.
fn filler(sequence: u32, start: usize, end: usize) -> &'static [u8] {
    let first = ((sequence as usize).wrapping_mul(31).wrapping_add(start)) & 0xff;
    &RAMP[first..][..end.saturating_sub(start)]
}

fn write_marker(out: &mut Vec<u8>, marker: &Marker) {
    out.extend_from_slice(&MAGIC);
    out.push(marker.source.to_byte());
    out.extend_from_slice(&marker.sender);
    out.extend_from_slice(&marker.sequence.to_be_bytes());
    out.extend_from_slice(&marker.sent_micros.to_be_bytes());
}

fn pad(out: &mut Vec<u8>, sequence: u32, start: usize, size: usize) {
    let written = out.len() - start;
    out.extend_from_slice(filler(sequence, written, size.max(written)));
}

/// Appends an Opus-shaped payload of `size` bytes.
pub(crate) fn write_audio(out: &mut Vec<u8>, marker: &Marker, size: usize) {
    let start = out.len();
    // TOC of a 20 ms full-band CELT frame, mono, one frame (RFC 6716 §3.1).
    out.push(0xf8);
    write_marker(out, marker);
    pad(out, marker.sequence, start, size);
}

/// Appends a VP8-shaped payload of `size` bytes, 16:9.
pub(crate) fn write_video(
    out: &mut Vec<u8>,
    marker: &Marker,
    picture: &Picture,
    ids: Ids,
    size: usize,
) {
    let start = out.len();
    let first = picture.packet == 0;
    out.push(0x80 | if first { 0x10 } else { 0 });
    out.push(0x80 | 0x40 | 0x20);
    out.extend_from_slice(&(0x8000 | (ids.picture_id & 0x7fff)).to_be_bytes());
    out.push(ids.tl0_index);
    out.push((picture.temporal << 6) | (u8::from(ids.layer_sync) << 5));
    if first {
        // Frame tag: inverse key frame flag, version 0, shown, an arbitrary partition size.
        let tag = if picture.is_keyframe() { 0x10 } else { 0x11 };
        out.extend_from_slice(&[tag, 0x02, 0x00]);
        if picture.is_keyframe() {
            out.extend_from_slice(&[0x9d, 0x01, 0x2a]);
            out.extend_from_slice(&(picture.height / 9 * 16).to_le_bytes());
            out.extend_from_slice(&picture.height.to_le_bytes());
        }
    }
    write_marker(out, marker);
    out.extend_from_slice(&[picture.encoding, picture.temporal]);
    out.extend_from_slice(&picture.height.to_be_bytes());
    out.extend_from_slice(&picture.frame.to_be_bytes());
    out.extend_from_slice(&picture.refers_to.to_be_bytes());
    out.extend_from_slice(&picture.packet.to_be_bytes());
    out.extend_from_slice(&picture.packets.to_be_bytes());
    pad(out, marker.sequence, start, size);
}

/// Why a payload is not one of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// No marker: sent by somebody else's client, for instance a browser.
    Foreign,
    /// A marker, but what follows it was changed on the way.
    Corrupt,
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N], Unreadable> {
    let (first, rest) = bytes.split_first_chunk::<N>().ok_or(Unreadable::Corrupt)?;
    *bytes = rest;
    Ok(*first)
}

fn read_marker(bytes: &mut &[u8]) -> Result<Marker, Unreadable> {
    let magic: [u8; 4] = take(bytes).map_err(|_| Unreadable::Foreign)?;
    if magic != MAGIC {
        return Err(Unreadable::Foreign);
    }
    let [source] = take(bytes)?;
    Ok(Marker {
        source: Source::from_byte(source),
        sender: take(bytes)?,
        sequence: u32::from_be_bytes(take(bytes)?),
        sent_micros: u64::from_be_bytes(take(bytes)?),
    })
}

fn check_filler(marker: &Marker, payload: &[u8], rest: &[u8]) -> Result<(), Unreadable> {
    let start = payload.len() - rest.len();
    if payload.len() <= RAMP.len() - 256 && rest == filler(marker.sequence, start, payload.len()) {
        Ok(())
    } else {
        Err(Unreadable::Corrupt)
    }
}

/// Reads an audio payload.
pub(crate) fn read_audio(payload: &[u8]) -> Result<Marker, Unreadable> {
    let mut rest = payload.get(1..).ok_or(Unreadable::Foreign)?;
    let marker = read_marker(&mut rest)?;
    if marker.source != Source::Audio {
        return Err(Unreadable::Corrupt);
    }
    check_filler(&marker, payload, rest)?;
    Ok(marker)
}

/// A video payload as it arrived: what the sender wrote, and the descriptor that the server wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct VideoPacket {
    pub(crate) marker: Marker,
    pub(crate) picture: Picture,
    pub(crate) ids: Ids,
    /// Whether the descriptor agrees with what the sender wrote.
    pub(crate) consistent: bool,
}

/// Reads a video payload.
pub(crate) fn read_video(payload: &[u8]) -> Result<VideoPacket, Unreadable> {
    let descriptor = Vp8::parse(payload).map_err(|_| Unreadable::Foreign)?;
    let header = match (descriptor.start_of_partition, descriptor.keyframe_start) {
        (false, _) => 0,
        (true, true) => VP8_KEYFRAME_HEADER,
        (true, false) => VP8_FRAME_TAG,
    };
    let mut rest = payload
        .get(descriptor.payload_offset + header..)
        .ok_or(Unreadable::Foreign)?;
    let marker = read_marker(&mut rest)?;
    if marker.source == Source::Audio {
        return Err(Unreadable::Corrupt);
    }
    let [encoding, temporal] = take(&mut rest)?;
    let picture = Picture {
        encoding,
        temporal,
        height: u16::from_be_bytes(take(&mut rest)?),
        frame: u32::from_be_bytes(take(&mut rest)?),
        refers_to: u32::from_be_bytes(take(&mut rest)?),
        packet: u16::from_be_bytes(take(&mut rest)?),
        packets: u16::from_be_bytes(take(&mut rest)?),
    };
    check_filler(&marker, payload, rest)?;
    let first = picture.packet == 0;
    let (Some((picture_id, _)), Some(tl0_index)) = (descriptor.picture_id, descriptor.tl0_index)
    else {
        return Err(Unreadable::Corrupt);
    };
    Ok(VideoPacket {
        marker,
        picture,
        ids: Ids {
            picture_id,
            tl0_index,
            layer_sync: descriptor.layer_sync,
        },
        consistent: descriptor.temporal_id == Some(temporal)
            && descriptor.start_of_partition == first
            && descriptor.keyframe_start == (first && picture.is_keyframe()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marker(source: Source) -> Marker {
        Marker {
            source,
            sender: sender("ab12cd34"),
            sequence: 70_000,
            sent_micros: 1_700_000_000_000_000,
        }
    }

    const IDS: Ids = Ids {
        picture_id: 0x1234,
        tl0_index: 9,
        layer_sync: true,
    };

    #[test]
    fn audio_reads_back() {
        for size in [LEAST_AUDIO, 80, 300] {
            let mut payload = Vec::new();
            write_audio(&mut payload, &marker(Source::Audio), size);
            assert_eq!(payload.len(), size);
            assert_eq!(read_audio(&payload), Ok(marker(Source::Audio)));
        }
        assert_eq!(endpoint(sender("ab12cd34")), "ab12cd34");
        assert_eq!(endpoint(sender("short")), "short");
    }

    #[test]
    fn video_reads_back_wherever_it_stands_in_a_frame() {
        for (packet, refers_to) in [(0, 77), (0, 76), (1, 77), (2, 70)] {
            for size in [LEAST_VIDEO, 1100] {
                let picture = Picture {
                    encoding: 2,
                    temporal: 1,
                    height: 720,
                    frame: 77,
                    refers_to,
                    packet,
                    packets: 3,
                };
                let mut payload = vec![1, 2, 3];
                write_video(&mut payload, &marker(Source::Video(1)), &picture, IDS, size);
                let payload = payload.split_off(3);
                assert_eq!(payload.len(), size);
                assert_eq!(
                    read_video(&payload),
                    Ok(VideoPacket {
                        marker: marker(Source::Video(1)),
                        picture,
                        ids: IDS,
                        consistent: true,
                    })
                );
            }
        }
    }

    #[test]
    fn one_changed_byte_is_noticed() {
        let mut payload = Vec::new();
        write_audio(&mut payload, &marker(Source::Audio), 80);
        payload[79] ^= 1;
        assert_eq!(read_audio(&payload), Err(Unreadable::Corrupt));
    }

    #[test]
    fn somebody_elses_media_is_foreign() {
        assert_eq!(read_audio(&[0xf8; 60]), Err(Unreadable::Foreign));
        assert_eq!(read_audio(&[]), Err(Unreadable::Foreign));
        assert_eq!(read_video(&[]), Err(Unreadable::Foreign));
        assert_eq!(read_video(&[0x10; 3]), Err(Unreadable::Foreign));
        assert_eq!(read_video(&[0x10; 1700]), Err(Unreadable::Foreign));
    }
}
