//! Entry points for fuzzers.

use crate::{
    Conference, EndpointKey, EndpointSettings, Limits, Link, Links, Loudest, Output, PacketSink,
    RelayMessage, RemoteSettings, Settings, SlotMode,
};
use althing_colibri::{ClientMessage, EndpointMessage, VideoConstraints};
use althing_model::{
    Encoding, EndpointId, FeedbackSources, MediaKinds, Role, SourceDescription, SourceName, Ssrc,
    VideoType,
};
use althing_rtp::rtcp::TransportCcRecorder;
use althing_rtp::{RtpHeader, RtpPacket};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// Checks what every receiver must be able to rely on.
#[derive(Default)]
struct Receivers {
    /// By receiver and SSRC: sequence numbers seen, to find one used twice.
    seen: BTreeMap<(EndpointKey, u32), BTreeMap<u16, Vec<u8>>>,
    packets: usize,
    /// What each would report of what it was sent.
    arrivals: BTreeMap<EndpointKey, TransportCcRecorder>,
    /// Since the beginning, and how much later packets arrive than they were sent.
    now: Duration,
    delay: Duration,
    /// Every packet of which the number has these bits is lost.
    lost: u16,
    /// Endpoints of other parts.
    remote: BTreeSet<EndpointKey>,
}

impl PacketSink for Receivers {
    fn rtp(&mut self, to: EndpointKey, header: &[u8], payload: [&[u8]; 2]) {
        assert!(!self.remote.contains(&to), "its own part serves it");
        let whole = [header, payload[0], payload[1]].concat();
        let packet = RtpPacket::parse(&whole).expect("what leaves is RTP");
        if let Some(&[high, low]) = packet.extension(5) {
            let number = u16::from_be_bytes([high, low]);
            if self.lost == 0 || number & self.lost != self.lost {
                let arrivals = self.arrivals.entry(to).or_default();
                arrivals.record(number, self.now + self.delay);
            }
        }
        let stream = self.seen.entry((to, packet.ssrc().0)).or_default();
        let sequence = packet.sequence();
        if let Some(before) = stream.insert(sequence, whole.clone()) {
            assert_eq!(before, whole, "a nonce was used for two packets");
        }
        self.packets += 1;
        // Sequence numbers come round again after 65,536 packets.
        if self.packets.is_multiple_of(20_000) {
            self.seen.clear();
        }
    }

    fn rtcp(&mut self, to: EndpointKey, packet: &[u8]) {
        assert!(!self.remote.contains(&to), "its own part tells it");
        for item in althing_rtp::rtcp::Compound::new(packet) {
            item.expect("what leaves is RTCP");
        }
    }

    fn relay_rtp(&mut self, from: EndpointKey, to: Links, packet: &[u8]) {
        assert!(!self.remote.contains(&from) && !to.is_empty());
        RtpPacket::parse(packet).expect("what crosses is RTP");
    }

    fn relay_rtcp(&mut self, from: EndpointKey, to: Links, packet: &[u8]) {
        assert!(!self.remote.contains(&from) && !to.is_empty());
        self.rtcp(from, packet);
    }
}

/// Plays the bytes as a meeting: joins, leaves, sources, messages, packets, time.
///
/// # Panics
/// When the conference breaks a promise, which is a bug here.
pub fn operations(data: &[u8]) {
    #[expect(
        clippy::disallowed_methods,
        reason = "an Instant cannot be made from a number; nothing depends on which one this is"
    )]
    let mut now = Instant::now();
    let feedback = FeedbackSources {
        audio: Ssrc(1),
        video: Ssrc(2),
    };
    // So that a few can be too many.
    let settings = Settings {
        loudest: Some(Loudest { above: 1, count: 1 }),
        audio_slots: 3,
        ..Settings::default()
    };
    let mut conference = Conference::new(settings, feedback, 1);
    let mut sink = Receivers::default();
    let mut keys: [Option<EndpointKey>; 6] = [None; 6];
    let mut sequences = [0u16; 6];
    let mut rest = data;
    while let Some((&[operation, who, a, b], after)) = rest.split_first_chunk::<4>() {
        rest = after;
        let seat = usize::from(who) % keys.len();
        let key = keys[seat];
        match (operation % 18, key) {
            (0, _) => {
                let id = EndpointId::new(format!("e{seat}")).expect("a valid id");
                keys[seat] = Some(conference.add_endpoint(
                    now,
                    EndpointSettings {
                        id,
                        role: if a == 255 {
                            Role::Visitor
                        } else {
                            Role::Participant
                        },
                        may_send: MediaKinds::ALL,
                        receives_audio: a & 1 == 0,
                        receives_video: a & 2 == 0,
                        slots: if b & 1 == 0 {
                            SlotMode::Rewriting
                        } else {
                            SlotMode::Plain
                        },
                    },
                ));
            }
            (1, Some(key)) => {
                conference.remove_endpoint(now, key);
                if a & 1 == 0 {
                    keys[seat] = None;
                }
            }
            (2, Some(key)) => conference.set_sources(now, key, sources(seat, a, b)),
            (3, Some(key)) => {
                conference.connected(now, key, a & 1 == 0);
                if b & 1 == 0 {
                    conference.channel_opened(now, key);
                    let all = r#"{"colibriClass":"ReceiverVideoConstraints","lastN":-1}"#;
                    if let Ok(message) = ClientMessage::parse(all) {
                        conference.handle_message(now, key, message);
                    }
                } else {
                    conference.channel_closed(now, key);
                }
            }
            (14, Some(key)) => {
                sequences[seat] = sequences[seat].wrapping_add(1 + u16::from(a >> 6));
                let length = usize::from(b % 16).min(rest.len());
                let (body, after) = rest.split_at(length);
                rest = after;
                let packet = layered(seat, a, sequences[seat], body);
                conference.handle_rtp(now, key, &packet, &mut sink);
            }
            (4 | 5, Some(key)) => {
                sequences[seat] = sequences[seat].wrapping_add(u16::from(a >> 6));
                let burst = if b & 0x80 == 0 { 1 } else { 1 + (a >> 2 & 15) };
                for _ in 0..burst {
                    sequences[seat] = sequences[seat].wrapping_add(1);
                    let packet = media(seat, a, b, sequences[seat]);
                    conference.handle_rtp(now, key, &packet, &mut sink);
                }
            }
            (6, Some(key)) => {
                let (packet, after) = rest.split_at(rest.len().min(usize::from(a)));
                rest = after;
                conference.handle_rtp(now, key, packet, &mut sink);
            }
            (7, Some(key)) => {
                let (packet, after) = rest.split_at(rest.len().min(usize::from(a)));
                rest = after;
                conference.handle_rtcp(now, key, packet, &mut sink);
            }
            (8, Some(key)) => {
                let length = (usize::from(a) << 8 | usize::from(b)).min(rest.len());
                let (text, after) = rest.split_at(length);
                rest = after;
                if let Ok(Ok(message)) = std::str::from_utf8(text).map(ClientMessage::parse) {
                    conference.handle_message(now, key, message);
                }
            }
            (9, Some(key)) if b > 250 => conference.set_e2ee(now, key, a & 1 == 0),
            (9, Some(key)) if b & 1 == 0 => conference.set_last_n(now, key, i32::from(a) - 2),
            (9, Some(_)) => {
                let limits = Limits {
                    last_n: (b & 2 != 0).then_some(u32::from(a) % 4),
                    max_height: (b & 4 != 0).then_some(u32::from(a) * 8),
                    without_probing: b & 8 != 0,
                };
                conference.set_limits(now, limits);
                assert!(conference.allocated().endpoints_oversending <= keys.len());
            }
            (15, _) => {
                let link = Link::new(usize::from(a) % 3).expect("three links");
                match b % 8 {
                    0 => conference.remove_link(now, link),
                    1 => conference.say_again(now, link),
                    2 | 3 => conference.add_link(now, link),
                    _ => {
                        let settings = RemoteSettings {
                            id: EndpointId::new(format!("e{seat}")).expect("a valid id"),
                            link,
                            role: Role::Participant,
                            may_send: MediaKinds::ALL,
                        };
                        let key = conference.add_remote(now, settings);
                        sink.remote.insert(key);
                        keys[seat] = Some(key);
                    }
                }
            }
            (16 | 17, Some(key)) => {
                let from = Link::new(usize::from(a) % 3).expect("three links");
                let message = relayed(seat, a, b);
                conference.handle_relay(now, from, key, message, &mut sink);
            }
            (10, Some(key)) => answer(&mut conference, now, key, a, b, &mut sink),
            (12, Some(key)) => {
                conference.set_transport_cc(now, key, a & 3 != 0);
                conference.set_redundant_audio(now, key, a & 4 != 0);
                let all = VideoConstraints {
                    last_n: Some(-1),
                    ..VideoConstraints::default()
                };
                let wants = ClientMessage::ReceiverVideoConstraints(all);
                conference.handle_message(now, key, wants);
                sink.delay = Duration::from_millis(u64::from(b));
                sink.lost = u16::from(a >> 2);
            }
            (13, Some(key)) => {
                // The path fills, or empties.
                sink.delay = match b {
                    0..128 => sink.delay + Duration::from_millis(u64::from(b)),
                    _ => sink
                        .delay
                        .saturating_sub(Duration::from_millis(u64::from(b - 128))),
                };
                report(&mut conference, now, key, a, &mut sink);
            }
            _ => {
                let by = Duration::from_millis(u64::from(a));
                (now, sink.now) = (now + by, sink.now + by);
                if conference.next_timeout().is_some_and(|at| at <= now) {
                    conference.handle_timeout(now, &mut sink);
                }
            }
        }
        while let Some(output) = conference.poll() {
            match output {
                Output::Message { to, json } => {
                    assert!(!sink.remote.contains(&to), "its own part tells it");
                    althing_colibri::BridgeMessage::parse(&json).expect("what leaves can be read");
                }
                Output::Relay { to, .. } => {
                    assert!(!to.is_empty() && to.iter().all(|link| link.number() < 3));
                }
            }
        }
    }
    for key in keys.into_iter().flatten() {
        conference.remove_endpoint(now, key);
    }
    while conference.poll().is_some() {}
    assert_eq!(conference.endpoint_count(), 0);
}

/// What another part says of who sits in `seat`, be it its to say or not.
fn relayed(seat: usize, a: u8, b: u8) -> RelayMessage {
    let source = SourceName::new(format!("e{seat}-v{}", b & 1)).expect("a valid name");
    match a >> 2 & 7 {
        0 => RelayMessage::Active(b & 1 == 0),
        1 => RelayMessage::VideoType {
            source,
            video_type: VideoType::Desktop,
        },
        2 => RelayMessage::Keyframe {
            ssrc: Ssrc(0x100 * (seat as u32 + 1) + u32::from(b)),
        },
        3 => {
            let to = if b & 1 == 0 { "" } else { "e1" };
            let message = EndpointMessage::new(to, serde_json::Value::Null);
            RelayMessage::Message(Box::new(message))
        }
        4 => RelayMessage::Stats(Box::default()),
        _ => RelayMessage::Wanted {
            source,
            height: [-1, 0, 180, 720][usize::from(b >> 1 & 3)],
        },
    }
}

/// Sources of who sits in `seat`: how many, and what they are like.
#[must_use]
pub fn sources(seat: usize, a: u8, b: u8) -> Vec<SourceDescription> {
    (0..a % 4)
        .filter_map(|i| {
            let kind = if i == 0 { 'a' } else { 'v' };
            let name = SourceName::new(format!("e{seat}-{kind}{i}")).ok()?;
            let primary = 0x100 * (seat as u32 + 1) + u32::from(i) * 4 + u32::from(b & 1) * 0x1000;
            Some(SourceDescription {
                kind: name.kind(),
                name,
                video_type: VideoType::Camera,
                msid: String::new(),
                encodings: (0..if b & 2 == 0 || i == 0 { 1 } else { 3 })
                    .map(|encoding| Encoding {
                        primary: Ssrc(primary + 0x40 * encoding),
                        rtx: (i > 0).then_some(Ssrc(primary + 0x40 * encoding + 1)),
                    })
                    .collect(),
            })
        })
        .collect()
}

/// A packet of sound or picture of one of those sources.
#[must_use]
pub fn media(seat: usize, a: u8, b: u8, sequence: u16) -> Vec<u8> {
    let video = a & 1 == 1;
    let mut bytes = vec![0; 64];
    let header = RtpHeader {
        marker: true,
        payload_type: match (video, b & 0x41) {
            (true, _) => 100,
            (false, 0x41) => 112,
            (false, _) => 111,
        },
        sequence,
        timestamp: u32::from(sequence) * 3000,
        ssrc: Ssrc(0x100 * (seat as u32 + 1) + u32::from(video) * 4 + u32::from(b & 1) * 0x1000),
    };
    let extensions: &[(u8, &[u8])] = &[(1, &[b & 0x7f]), (5, &[a, b])];
    let length = header.write(extensions, &mut bytes).unwrap_or(0);
    bytes.truncate(length);
    bytes.extend_from_slice(&[0x10, u8::from(b & 6 != 0), a, b]);
    if video && b & 0x80 != 0 {
        // So great that some have to wait.
        bytes.resize(1200, a);
    }
    bytes
}

/// A receiver reports what came, at times twice or not at all.
fn report(
    conference: &mut Conference,
    now: Instant,
    key: EndpointKey,
    how: u8,
    sink: &mut Receivers,
) {
    let mut packets = Vec::new();
    if let Some(arrivals) = sink.arrivals.get_mut(&key) {
        while arrivals.is_pending() {
            let mut packet = Vec::new();
            arrivals.build(&mut packet, Ssrc(7), Ssrc(8));
            packets.push(packet);
        }
    }
    if how & 1 == 1 {
        packets.reverse();
    }
    for packet in packets {
        for _ in 0..usize::from(how >> 1 & 3) {
            conference.handle_rtcp(now, key, &packet, sink);
        }
    }
}

/// Video of any codec and encoding, with `body` in places where its layers are told.
#[must_use]
pub fn layered(seat: usize, a: u8, sequence: u16, body: &[u8]) -> Vec<u8> {
    let (encoding, codec) = (u32::from(a & 3) % 3, a >> 2 & 7);
    let header = RtpHeader {
        marker: a & 0x20 != 0,
        payload_type: [100, 100, 101, 101, 41, 41, 107, 100][usize::from(codec)],
        sequence,
        timestamp: u32::from(sequence / 3) * 3000,
        ssrc: Ssrc(0x100 * (seat as u32 + 1) + 4 + 0x40 * encoding),
    };
    let raw: [u8; 6] = std::array::from_fn(|i| body.get(i).copied().unwrap_or(0));
    let [x, y, z, ..] = raw;
    let [high, low] = (sequence / 3 + u16::from(x & 1)).to_be_bytes();
    let payload = match codec {
        0 | 1 => vec![
            0x90,
            0xe0,
            high | 0x80,
            low,
            y,
            z & 0xe0,
            x >> 6,
            0,
            0,
            0x9d,
            1,
            0x2a,
            y,
            0,
            z,
            0,
        ],
        2 => vec![0xa8 | x & 0x57, high | 0x80, low, y, z, 0xaa, 0xaa],
        _ => body.to_vec(),
    };
    let number = [0x80 | x & 0x43, high, low];
    // Two templates, one decode target, no chains; or what comes, on top of it.
    let structure = [&number[..], &[0x80, 0x00, 0x07, 0xb8, 0x00]].concat();
    let descriptor: Vec<u8> = match y % 4 {
        0 => structure,
        1 => [&number[..], body].concat(),
        _ => number.to_vec(),
    };
    let extensions: &[(u8, &[u8])] = match codec {
        4 | 6 | 7 => &[(11, &descriptor)],
        _ => &[],
    };
    let mut bytes = vec![0; 100];
    let length = header.write(extensions, &mut bytes).unwrap_or(0);
    bytes.truncate(length);
    bytes.extend_from_slice(&payload);
    bytes
}

/// A receiver asks for packets and keyframes on SSRCs that it may have.
fn answer(
    conference: &mut Conference,
    now: Instant,
    key: EndpointKey,
    a: u8,
    b: u8,
    sink: &mut Receivers,
) {
    let known: Vec<(u32, u16)> = sink
        .seen
        .iter()
        .filter(|((to, _), _)| *to == key)
        .filter_map(|((_, ssrc), packets)| Some((*ssrc, *packets.keys().next_back()?)))
        .collect();
    let Some(&(ssrc, last)) = known.get(usize::from(a) % known.len().max(1)) else {
        return;
    };
    let missing = [last.wrapping_sub(u16::from(b)), last];
    let mut packet = Vec::new();
    althing_rtp::rtcp::nack(&mut packet, Ssrc(7), Ssrc(ssrc), &missing);
    althing_rtp::rtcp::pli(&mut packet, Ssrc(7), Ssrc(ssrc));
    conference.handle_rtcp(now, key, &packet, sink);
}
