//! A room of endpoints around one conference, with a clock that only the test moves.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "each test file uses its part, and a test may panic"
)]

use althing_colibri::{BridgeMessage, ClientMessage};
use althing_forwarding::{
    Conference, EndpointKey, EndpointSettings, Link, Links, Output, PacketSink, RelayMessage,
    RemoteSettings, Settings, SlotMode,
};
use althing_model::{
    Encoding, EndpointId, FeedbackSources, MediaKind, MediaKinds, Role, SourceDescription,
    SourceName, Ssrc, VideoType,
};
use althing_rtp::rtcp::{Compound, Rtcp};
use althing_rtp::{RtpHeader, RtpPacket};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

pub const FEEDBACK: FeedbackSources = FeedbackSources {
    audio: Ssrc(0xa0a0),
    video: Ssrc(0xb0b0),
};

/// A packet that left the conference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    pub to: EndpointKey,
    pub bytes: Vec<u8>,
}

impl Sent {
    pub fn rtp(&self) -> RtpPacket<'_> {
        RtpPacket::parse(&self.bytes).unwrap()
    }
}

#[derive(Debug, Default)]
pub struct Sink {
    pub rtp: Vec<Sent>,
    pub rtcp: Vec<Sent>,
    /// For other parts: RTP, or not.
    pub relayed: Vec<(Links, bool, Sent)>,
}

impl PacketSink for Sink {
    fn rtp(&mut self, to: EndpointKey, header: &[u8], payload: [&[u8]; 2]) {
        let bytes = [header, payload[0], payload[1]].concat();
        self.rtp.push(Sent { to, bytes });
    }
    fn rtcp(&mut self, to: EndpointKey, packet: &[u8]) {
        self.rtcp.push(Sent {
            to,
            bytes: packet.to_vec(),
        });
    }
    fn relay_rtp(&mut self, from: EndpointKey, to: Links, packet: &[u8]) {
        let bytes = packet.to_vec();
        self.relayed.push((to, true, Sent { to: from, bytes }));
    }
    fn relay_rtcp(&mut self, from: EndpointKey, to: Links, packet: &[u8]) {
        let bytes = packet.to_vec();
        self.relayed.push((to, false, Sent { to: from, bytes }));
    }
}

pub struct Room {
    pub conference: Conference,
    pub now: Instant,
    pub sink: Sink,
    pub messages: Vec<(EndpointKey, BridgeMessage)>,
    /// For other parts.
    pub relays: Vec<(Links, EndpointKey, RelayMessage)>,
    ids: BTreeMap<EndpointKey, String>,
}

impl Room {
    pub fn new() -> Self {
        Self::with(Settings::default())
    }

    pub fn with(settings: Settings) -> Self {
        Self {
            conference: Conference::new(settings, FEEDBACK, 7),
            now: althing_testkit::epoch(),
            sink: Sink::default(),
            messages: Vec::new(),
            relays: Vec::new(),
            ids: BTreeMap::new(),
        }
    }

    pub fn add(&mut self, id: &str, slots: SlotMode) -> EndpointKey {
        self.add_with(id, slots, Role::Participant, MediaKinds::ALL)
    }

    pub fn add_with(
        &mut self,
        id: &str,
        slots: SlotMode,
        role: Role,
        may_send: MediaKinds,
    ) -> EndpointKey {
        let key = self.conference.add_endpoint(
            self.now,
            EndpointSettings {
                id: EndpointId::new(id).unwrap(),
                role,
                may_send,
                receives_audio: true,
                receives_video: true,
                slots,
            },
        );
        self.ids.insert(key, id.to_owned());
        self.conference.connected(self.now, key, true);
        self.drain();
        key
    }

    /// Added, connected, with an open channel.
    pub fn join(&mut self, id: &str, slots: SlotMode) -> EndpointKey {
        let key = self.add(id, slots);
        self.conference.channel_opened(self.now, key);
        self.drain();
        key
    }

    /// An endpoint of the part behind this link.
    pub fn join_remote(&mut self, id: &str, link: Link) -> EndpointKey {
        let settings = RemoteSettings {
            id: EndpointId::new(id).unwrap(),
            link,
            role: Role::Participant,
            may_send: MediaKinds::ALL,
        };
        let key = self.conference.add_remote(self.now, settings);
        self.ids.insert(key, id.to_owned());
        self.drain();
        key
    }

    pub fn id(&self, key: EndpointKey) -> &str {
        &self.ids[&key]
    }

    pub fn leave(&mut self, key: EndpointKey) {
        self.conference.remove_endpoint(self.now, key);
        self.drain();
    }

    /// Signals sources: `a0` on SSRC `base`, `v0` on `base + 1` with RTX on `base + 2`, and so on.
    pub fn signal(&mut self, key: EndpointKey, base: u32, names: &[&str]) {
        let id = self.ids[&key].clone();
        let sources = names
            .iter()
            .enumerate()
            .map(|(i, n)| source(&id, n, base + 2 * i as u32))
            .collect();
        self.conference.set_sources(self.now, key, sources);
        self.drain();
    }

    pub fn say(&mut self, key: EndpointKey, json: &str) {
        let message = ClientMessage::parse(json).unwrap();
        self.conference.handle_message(self.now, key, message);
        self.drain();
    }

    pub fn drain(&mut self) {
        loop {
            while let Some(output) = self.conference.poll() {
                match output {
                    Output::Message { to, json } => {
                        let message = BridgeMessage::parse(&json).unwrap();
                        self.messages.push((to, message));
                    }
                    Output::Relay { to, about, message } => self.relays.push((to, about, message)),
                }
            }
            // What concerns many is done in turns.
            if self
                .conference
                .next_timeout()
                .is_none_or(|at| at > self.now)
            {
                return;
            }
            self.conference.handle_timeout(self.now, &mut self.sink);
        }
    }

    /// Lets time pass, serving every timer on its way.
    pub fn pass(&mut self, by: Duration) {
        let end = self.now + by;
        while let Some(at) = self.conference.next_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.conference.handle_timeout(self.now, &mut self.sink);
            self.drain();
        }
        self.now = end;
    }

    pub fn pass_ms(&mut self, ms: u64) {
        self.pass(Duration::from_millis(ms));
    }

    pub fn rtp(&mut self, from: EndpointKey, packet: &[u8]) {
        self.conference
            .handle_rtp(self.now, from, packet, &mut self.sink);
        self.drain();
    }

    pub fn rtcp(&mut self, from: EndpointKey, packet: &[u8]) {
        self.conference
            .handle_rtcp(self.now, from, packet, &mut self.sink);
        self.drain();
    }

    /// RTP that left since the last call.
    pub fn sent(&mut self) -> Vec<Sent> {
        std::mem::take(&mut self.sink.rtp)
    }

    pub fn sent_to(&mut self, key: EndpointKey) -> Vec<Sent> {
        let mut all = self.sent();
        all.retain(|s| s.to == key);
        all
    }

    /// Keyframe requests that left since the last call, by media SSRC.
    pub fn plis(&mut self) -> Vec<(EndpointKey, u32)> {
        let mut found = Vec::new();
        for sent in std::mem::take(&mut self.sink.rtcp) {
            for item in Compound::new(&sent.bytes) {
                if let Rtcp::Pli { media, .. } = item.unwrap() {
                    found.push((sent.to, media.0));
                }
            }
        }
        found
    }

    /// Messages to `key` since the last call for it.
    pub fn heard(&mut self, key: EndpointKey) -> Vec<BridgeMessage> {
        let (own, others) = std::mem::take(&mut self.messages)
            .into_iter()
            .partition(|(to, _)| *to == key);
        self.messages = others;
        own.into_iter().map(|(_, m)| m).collect()
    }
}

pub fn name(name: &str) -> SourceName {
    SourceName::new(name).unwrap()
}

pub fn source(id: &str, suffix: &str, ssrc: u32) -> SourceDescription {
    let name = name(&format!("{id}-{suffix}"));
    let kind = name.kind();
    SourceDescription {
        kind,
        video_type: VideoType::Camera,
        msid: String::new(),
        encodings: vec![Encoding {
            primary: Ssrc(ssrc),
            rtx: (kind == MediaKind::Video).then_some(Ssrc(ssrc + 1)),
        }],
        name,
    }
}

/// A VP8 packet; `key` begins a keyframe.
pub fn vp8(ssrc: u32, sequence: u16, timestamp: u32, key: bool) -> Vec<u8> {
    let frame_tag = u8::from(!key);
    let payload = [
        0x90, 0x80, 0x80, 0x01, 0x00, frame_tag, 0, 0, 0x9d, 0x01, 0x2a, 64, 1, 180, 0,
    ];
    // A 15-bit picture id, then the frame.
    let payload = [&payload[..4], &payload[5..], &sequence.to_be_bytes()].concat();
    packet(100, ssrc, sequence, timestamp, &[], &payload)
}

/// An Opus packet of this level (−dBov).
pub fn opus(ssrc: u32, sequence: u16, timestamp: u32, level: u8) -> Vec<u8> {
    packet(
        111,
        ssrc,
        sequence,
        timestamp,
        &[(1, &[level])],
        &sequence.to_be_bytes(),
    )
}

pub fn packet(
    payload_type: u8,
    ssrc: u32,
    sequence: u16,
    timestamp: u32,
    extensions: &[(u8, &[u8])],
    payload: &[u8],
) -> Vec<u8> {
    let mut bytes = vec![0; 200];
    let header = RtpHeader {
        marker: true,
        payload_type,
        sequence,
        timestamp,
        ssrc: Ssrc(ssrc),
    };
    let length = header.write(extensions, &mut bytes).unwrap();
    bytes.truncate(length);
    bytes.extend_from_slice(payload);
    bytes
}

pub const WANT_ALL: &str = r#"{"colibriClass":"ReceiverVideoConstraints","lastN":-1}"#;

/// The video map in these messages: source name to SSRC and RTX SSRC.
pub fn video_map(messages: &[BridgeMessage]) -> BTreeMap<String, (u32, u32)> {
    messages
        .iter()
        .filter_map(|m| match m {
            BridgeMessage::VideoSourcesMap { mapped_sources } => Some(mapped_sources),
            _ => None,
        })
        .flatten()
        .map(|s| (s.source.to_string(), (s.ssrc.0, s.rtx.0)))
        .collect()
}

pub fn audio_map(messages: &[BridgeMessage]) -> BTreeMap<String, u32> {
    messages
        .iter()
        .filter_map(|m| match m {
            BridgeMessage::AudioSourcesMap { mapped_sources } => Some(mapped_sources),
            _ => None,
        })
        .flatten()
        .map(|s| (s.source.to_string(), s.ssrc.0))
        .collect()
}

/// The last set of forwarded sources in these messages.
pub fn forwarded(messages: &[BridgeMessage]) -> Option<Vec<String>> {
    messages.iter().rev().find_map(|m| match m {
        BridgeMessage::ForwardedSources { sources } => {
            Some(sources.iter().map(ToString::to_string).collect())
        }
        _ => None,
    })
}

/// What these messages say of the heights wanted, in order.
pub fn wanted(messages: &[BridgeMessage]) -> Vec<(String, i32)> {
    messages
        .iter()
        .filter_map(|m| match m {
            BridgeMessage::SenderSourceConstraints {
                source_name,
                max_height,
            } => Some((source_name.to_string(), *max_height)),
            _ => None,
        })
        .collect()
}
