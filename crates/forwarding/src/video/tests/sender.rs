//! A synthetic sender: frames that know what they refer to, in the packaging of each codec.

use althing_model::profile::extension;
use althing_model::{Entropy, SeededEntropy, Ssrc};
use althing_rtp::RtpHeader;
use std::collections::BTreeMap;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// One temporal layer or three, of which some frames refer further back than others.
    Vp8 {
        temporal: bool,
    },
    H264,
    /// Three spatial and three temporal layers; `key` with inter-layer prediction at keyframes only.
    Vp9 {
        key: bool,
    },
    Av1 {
        key: bool,
    },
    /// Temporal layers only, for simulcast.
    Av1Temporal,
}

impl Kind {
    pub(super) const fn payload_type(self) -> u8 {
        match self {
            Self::Vp8 { .. } => 100,
            Self::H264 => 107,
            Self::Vp9 { .. } => 101,
            Self::Av1 { .. } | Self::Av1Temporal => 41,
        }
    }
    pub(super) const fn spatial(self) -> u8 {
        match self {
            Self::Vp9 { .. } | Self::Av1 { .. } => 3,
            Self::Vp8 { .. } | Self::H264 | Self::Av1Temporal => 1,
        }
    }
    const fn has_temporal(self) -> bool {
        !matches!(self, Self::H264 | Self::Vp8 { temporal: false })
    }
    const fn inter_layer(self, key: bool) -> bool {
        key || matches!(self, Self::Vp9 { key: false } | Self::Av1 { key: false })
    }
}

/// Encoding, picture, spatial layer.
pub(super) type FrameId = (u8, u32, u8);

#[derive(Debug, Clone)]
pub(super) struct Frame {
    pub(super) id: FrameId,
    pub(super) temporal: u8,
    pub(super) key: bool,
    pub(super) refs: Vec<FrameId>,
    pub(super) packets: u8,
    /// Capture time, in ticks.
    pub(super) at: u32,
}

#[derive(Debug, Clone)]
pub(super) struct Packet {
    pub(super) bytes: Vec<u8>,
}

#[derive(Debug)]
struct Stream {
    sequence: u16,
    timestamp_base: u32,
    picture: u16,
    tl0: u8,
    frame_number: u16,
    pictures: u32,
    /// Position in the pattern since the last keyframe.
    step: u32,
    /// The last picture of each temporal layer, and the middle one of the cycle before.
    last: [u32; 3],
    wants_key: Option<u32>,
    numbers: BTreeMap<FrameId, u16>,
}

pub(super) struct Sender {
    pub(super) kind: Kind,
    pub(super) frames: BTreeMap<FrameId, Frame>,
    streams: Vec<Stream>,
    entropy: SeededEntropy,
    pub(super) tick: u32,
    /// It answers no request for a keyframe.
    pub(super) refuses_keys: bool,
    /// An encoding that is not sent.
    pub(super) silent: Option<u8>,
    /// Each layer of pictures takes four times what the one below takes.
    pub(super) heavier: bool,
    pub(super) bodies: BTreeMap<(FrameId, u8), Vec<u8>>,
}

impl Sender {
    pub(super) fn new(kind: Kind, encodings: usize, seed: u64) -> Self {
        let mut entropy = SeededEntropy::new(seed);
        let streams = (0..encodings)
            .map(|_| {
                let r = entropy.next_u64();
                Stream {
                    sequence: r as u16,
                    timestamp_base: (r >> 16) as u32,
                    picture: (r >> 48) as u16 & 0x7fff,
                    tl0: (r >> 40) as u8,
                    frame_number: (r >> 32) as u16,
                    pictures: 0,
                    step: 0,
                    last: [0; 3],
                    wants_key: Some(0),
                    numbers: BTreeMap::new(),
                }
            })
            .collect();
        Self {
            kind,
            frames: BTreeMap::new(),
            streams,
            entropy,
            tick: 0,
            refuses_keys: false,
            silent: None,
            heavier: false,
            bodies: BTreeMap::new(),
        }
    }

    pub(super) const fn ssrc(encoding: u8) -> u32 {
        1000 + 10 * encoding as u32
    }

    /// A keyframe of every encoding, each after up to four pictures.
    pub(super) fn ask_key(&mut self) {
        if self.refuses_keys {
            return;
        }
        for stream in &mut self.streams {
            let delay = (self.entropy.next_u64() % 4) as u32;
            stream.wants_key.get_or_insert(delay);
        }
    }

    /// The next picture of this encoding is a keyframe, and none of the others.
    pub(super) fn only_key(&mut self, encoding: u8) {
        for (i, stream) in (0u8..).zip(&mut self.streams) {
            stream.wants_key = (i == encoding).then_some(0);
        }
    }

    pub(super) fn timestamp(&self, encoding: u8, at: u32) -> u32 {
        self.streams[usize::from(encoding)]
            .timestamp_base
            .wrapping_add(at)
    }

    /// The next picture of every encoding, in any order.
    pub(super) fn pictures(&mut self) -> Vec<Packet> {
        self.tick += 1;
        let mut packets = Vec::new();
        let first = self.entropy.next_u64() as usize;
        for i in 0..self.streams.len() {
            let encoding = ((first + i) % self.streams.len()) as u8;
            if self.silent != Some(encoding) {
                packets.extend(self.picture(encoding));
            }
        }
        packets
    }

    fn picture(&mut self, encoding: u8) -> Vec<Packet> {
        let kind = self.kind;
        let at = self.tick * 3000;
        let stream = &mut self.streams[usize::from(encoding)];
        let key = match &mut stream.wants_key {
            Some(0) => {
                stream.wants_key = None;
                stream.step = 0;
                true
            }
            Some(left) => {
                *left -= 1;
                false
            }
            None => false,
        };
        let index = stream.pictures;
        stream.pictures += 1;
        let step = stream.step % 8;
        stream.step += 1;
        let temporal: u8 = if !kind.has_temporal() {
            0
        } else {
            [0, 2, 1, 2, 0, 2, 1, 2][step as usize]
        };
        // Whom it refers to in its own spatial layer: with dependency descriptors, layers nest.
        let nests = matches!(kind, Kind::Av1 { .. } | Kind::Av1Temporal);
        let mut back = Vec::new();
        if !key {
            back.push(stream.last[0]);
            match (temporal, step) {
                (1, 6) if !nests => back.push(stream.last[1]),
                (2, 3 | 7) => back.push(stream.last[1]),
                (2, 5) if !nests => back.push(stream.last[1]),
                _ => {}
            }
        }
        // After a keyframe everything may refer to it.
        if key {
            stream.last = [index; 3];
        } else {
            stream.last[usize::from(temporal)] = index;
        }
        stream.picture = stream.picture.wrapping_add(1) & 0x7fff;
        if temporal == 0 {
            stream.tl0 = stream.tl0.wrapping_add(1);
        }
        let mut out = Vec::new();
        for spatial in 0..kind.spatial() {
            let id = (encoding, index, spatial);
            let mut refs: Vec<FrameId> = back.iter().map(|p| (encoding, *p, spatial)).collect();
            if spatial > 0 && kind.inter_layer(key) {
                refs.push((encoding, index, spatial - 1));
            }
            let above = if self.heavier {
                encoding.max(spatial)
            } else {
                0
            };
            let packets = (1 + (self.entropy.next_u64() % 4) as u8) << (2 * above);
            let frame = Frame {
                id,
                temporal,
                key,
                refs,
                packets,
                at,
            };
            let stream = &mut self.streams[usize::from(encoding)];
            stream.frame_number = stream.frame_number.wrapping_add(1);
            stream.numbers.insert(id, stream.frame_number);
            for part in 0..packets {
                let (packet, body) = Self::packet(kind, stream, &frame, part, step);
                self.bodies.insert((id, part), body);
                out.push(packet);
            }
            self.frames.insert(id, frame);
        }
        out
    }

    fn packet(
        kind: Kind,
        stream: &mut Stream,
        frame: &Frame,
        part: u8,
        step: u32,
    ) -> (Packet, Vec<u8>) {
        let (encoding, _, spatial) = frame.id;
        let (first, last) = (part == 0, part + 1 == frame.packets);
        let mut descriptor = Vec::new();
        let mut payload = Vec::new();
        let mut described = 0;
        let [high, low] = (stream.picture | 0x8000).to_be_bytes();
        match kind {
            Kind::Vp8 { temporal } => {
                // Some frames that refer to the base layer alone say so.
                let sync = !frame.key && matches!(step, 1 | 2);
                let flags = if temporal { 0xe0 } else { 0xc0 };
                payload.extend([0x80 | u8::from(first) << 4, flags, high, low, stream.tl0]);
                if temporal {
                    payload.push(frame.temporal << 6 | u8::from(sync) << 5);
                }
                described = payload.len();
                payload.extend([u8::from(!frame.key), 0, 0, 0x9d, 0x01, 0x2a]);
                // Upright.
                let width = 180u16 << encoding;
                payload.extend(width.to_le_bytes());
                payload.extend((width * 16 / 9).to_le_bytes());
            }
            Kind::H264 => match (frame.key, first) {
                // Parameter sets go before the picture.
                (true, true) => payload.extend([0x78, 0, 2, 0x67, 0x42, 0, 1, 0x68]),
                (true, false) if part == 1 => payload.extend([0x7c, 0x85]),
                (true, false) => payload.extend([0x7c, 0x05]),
                (false, true) => payload.extend([0x7c, 0x81]),
                (false, false) => payload.extend([0x7c, 0x01]),
            },
            Kind::Vp9 { .. } => {
                let inter_layer = spatial > 0 && kind.inter_layer(frame.key);
                let referred = spatial < 2 && kind.inter_layer(frame.key);
                let structure = frame.key && spatial == 0 && first;
                let up = step != 4 || frame.key;
                payload.extend([
                    0x80 | u8::from(!frame.key) << 6
                        | 0x20
                        | u8::from(first) << 3
                        | u8::from(last) << 2
                        | u8::from(structure) << 1
                        | u8::from(!referred),
                    high,
                    low,
                    frame.temporal << 5 | u8::from(up) << 4 | spatial << 1 | u8::from(inter_layer),
                    stream.tl0,
                ]);
                if structure {
                    payload.push(2 << 5 | 0x10);
                    for s in 0..3 {
                        payload.extend((320u16 << s).to_be_bytes());
                        payload.extend((180u16 << s).to_be_bytes());
                    }
                }
            }
            Kind::Av1 { .. } | Kind::Av1Temporal => {
                let number = stream.numbers[&frame.id];
                descriptor = dependency(kind, frame, number, first, last);
                payload.push(u8::from(frame.key && first && spatial == 0) << 3);
            }
        }
        payload.extend(trailer(frame.id, part));
        let body = payload[described..].to_vec();
        let marker = last && spatial + 1 == kind.spatial();
        let header = RtpHeader {
            marker,
            payload_type: kind.payload_type(),
            sequence: stream.sequence,
            timestamp: stream.timestamp_base.wrapping_add(frame.at),
            ssrc: Ssrc(Self::ssrc(encoding)),
        };
        let mut bytes = vec![0; 400];
        let extensions: &[(u8, &[u8])] = if descriptor.is_empty() {
            &[]
        } else {
            &[(extension::DEPENDENCY_DESCRIPTOR, &descriptor)]
        };
        let length = header.write(extensions, &mut bytes).unwrap();
        bytes.truncate(length);
        bytes.extend(payload);
        stream.sequence = stream.sequence.wrapping_add(1);
        (Packet { bytes }, body)
    }
}

/// What says which frame a payload is of.
pub(super) const TRAILER: usize = 7;

fn trailer((encoding, index, spatial): FrameId, part: u8) -> [u8; TRAILER] {
    let [a, b, c, d] = index.to_be_bytes();
    [encoding, a, b, c, d, spatial, part]
}

pub(super) fn read_trailer(payload: &[u8]) -> (FrameId, u8) {
    let [encoding, a, b, c, d, spatial, part] = *payload.last_chunk::<TRAILER>().unwrap();
    ((encoding, u32::from_be_bytes([a, b, c, d]), spatial), part)
}

/// Writes bits from the top down.
#[derive(Default)]
pub(super) struct Bits {
    bytes: Vec<u8>,
    count: usize,
}

impl Bits {
    pub(super) fn put(&mut self, count: u32, value: u32) -> &mut Self {
        for bit in (0..count).rev() {
            if self.count.is_multiple_of(8) {
                self.bytes.push(0);
            }
            let last = self.bytes.last_mut().unwrap();
            *last |= ((value >> bit & 1) as u8) << (7 - self.count % 8);
            self.count += 1;
        }
        self
    }
}

/// Templates in order: of each layer first those of keyframes, if it is of the base rate.
fn templates(spatial: u8) -> Vec<(u8, u8, bool)> {
    (0..spatial)
        .flat_map(|s| [(s, 0, true), (s, 0, false), (s, 1, false), (s, 2, false)])
        .collect()
}

/// 0 not present, 1 discardable, 2 switch, 3 required.
fn indication(kind: Kind, (s, t, key): (u8, u8, bool), (target_s, target_t): (u8, u8)) -> u32 {
    if t > target_t || s > target_s || s != target_s && !kind.inter_layer(key) {
        0
    } else if s < target_s {
        if key && s == 0 { 2 } else { 3 }
    } else if t > 0 && t == target_t {
        1
    } else {
        2
    }
}

fn dependency(kind: Kind, frame: &Frame, number: u16, first: bool, last: bool) -> Vec<u8> {
    let templates = templates(kind.spatial());
    let spatial = frame.id.2;
    let template = templates
        .iter()
        .position(|t| *t == (spatial, frame.temporal, frame.key))
        .unwrap();
    let mut bits = Bits::default();
    bits.put(1, first.into()).put(1, last.into());
    bits.put(6, template as u32).put(16, number.into());
    if frame.key && spatial == 0 && first {
        let targets: Vec<(u8, u8)> = (0..kind.spatial())
            .flat_map(|s| (0..3).map(move |t| (s, t)))
            .collect();
        bits.put(5, 0b10000)
            .put(6, 0)
            .put(5, targets.len() as u32 - 1);
        for (i, t) in templates.iter().enumerate() {
            let next = match templates.get(i + 1) {
                None => 3,
                Some(n) if n.0 > t.0 => 2,
                Some(n) if n.1 > t.1 => 1,
                Some(_) => 0,
            };
            bits.put(2, next);
        }
        for t in &templates {
            for target in &targets {
                bits.put(2, indication(kind, *t, *target));
            }
        }
        for (s, _, key) in &templates {
            if !*key {
                bits.put(1, 1).put(4, 11);
            } else if *s > 0 {
                bits.put(1, 1).put(4, 0);
            }
            bits.put(1, 0);
        }
        // No chains: ns(targets + 1) of 0.
        let n = targets.len() as u32 + 1;
        bits.put(31 - n.leading_zeros(), 0);
        bits.put(1, 1);
        for s in 0..kind.spatial() {
            bits.put(16, (320 << s) - 1).put(16, (180 << s) - 1);
        }
    }
    bits.bytes
}
