//! Receivers of layered video: whatever they are to have, what they get can be decoded.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod receiver;
mod sender;
mod swept;
mod vectors;

use crate::layers::LayerId;
use crate::{Conference, EndpointKey, EndpointSettings, PacketSink, Settings, SlotMode};
use althing_colibri::ClientMessage;
use althing_model::{
    Encoding, EndpointId, Entropy, FeedbackSources, MediaKinds, Role, SeededEntropy,
    SourceDescription, SourceName, Ssrc, VideoType,
};
use althing_rtp::RtpPacket;
use althing_rtp::rtcp::{self, Compound, Rtcp, SenderInfo};
use receiver::Receiver;
use sender::{FrameId, Kind, Packet, Sender, read_trailer};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

const FEEDBACK: FeedbackSources = FeedbackSources {
    audio: Ssrc(1),
    video: Ssrc(2),
};
/// Courses of each kind; hundreds have been run.
const SEEDS: u64 = 8;
const FRAME: Duration = Duration::from_micros(33_333);

#[derive(Default)]
struct Sink {
    rtp: Vec<(EndpointKey, Vec<u8>)>,
    rtcp: Vec<(EndpointKey, Vec<u8>)>,
}

impl PacketSink for Sink {
    fn rtp(&mut self, to: EndpointKey, header: &[u8], payload: [&[u8]; 2]) {
        self.rtp
            .push((to, [header, payload[0], payload[1]].concat()));
    }
    fn rtcp(&mut self, to: EndpointKey, packet: &[u8]) {
        self.rtcp.push((to, packet.to_vec()));
    }
}

/// One sender with a camera, and receivers whose targets the test sets.
struct Stage {
    conference: Conference,
    sink: Sink,
    now: Instant,
    ann: EndpointKey,
    bobs: Vec<EndpointKey>,
    receivers: Vec<Receiver>,
    sender: Sender,
    source: usize,
    keyframes_asked: usize,
    nacked: usize,
    /// Decides what is lost between the bridge and the receivers.
    downlink: Option<SeededEntropy>,
    dropped: Vec<(usize, (FrameId, u8))>,
}

impl Stage {
    fn new(kind: Kind, encodings: usize, receivers: usize, seed: u64) -> Self {
        let now = althing_testkit::epoch();
        let mut conference = Conference::new(Settings::default(), FEEDBACK, seed);
        let mut join = |id: &str| {
            let key = conference.add_endpoint(
                now,
                EndpointSettings {
                    id: EndpointId::new(id).unwrap(),
                    role: Role::Participant,
                    may_send: MediaKinds::ALL,
                    receives_audio: true,
                    receives_video: true,
                    slots: SlotMode::Rewriting,
                },
            );
            conference.connected(now, key, true);
            conference.channel_opened(now, key);
            key
        };
        let ann = join("ann");
        let bobs: Vec<_> = (0..receivers).map(|i| join(&format!("bob{i}"))).collect();
        let name = SourceName::new("ann-v0").unwrap();
        conference.set_sources(
            now,
            ann,
            vec![SourceDescription {
                kind: name.kind(),
                name: name.clone(),
                video_type: VideoType::Camera,
                msid: String::new(),
                encodings: (0..encodings as u8)
                    .map(|e| Encoding {
                        primary: Ssrc(Sender::ssrc(e)),
                        rtx: Some(Ssrc(Sender::ssrc(e) + 1)),
                    })
                    .collect(),
            }],
        );
        let want = r#"{"colibriClass":"ReceiverVideoConstraints","lastN":-1}"#;
        for bob in &bobs {
            conference.handle_message(now, *bob, ClientMessage::parse(want).unwrap());
        }
        while conference.poll().is_some() {}
        let source = conference.names[&name];
        let mut stage = Self {
            conference,
            sink: Sink::default(),
            now: now + Duration::from_secs(1),
            ann,
            receivers: bobs.iter().map(|_| Receiver::default()).collect(),
            bobs,
            sender: Sender::new(kind, encodings, seed),
            source,
            keyframes_asked: 0,
            nacked: 0,
            downlink: None,
            dropped: Vec::new(),
        };
        for bob in 0..receivers {
            stage.target(bob, None);
        }
        stage
    }

    fn target(&mut self, bob: usize, target: Option<LayerId>) {
        self.conference.enter(self.now);
        let index = self.bobs[bob].index();
        self.conference.set_target(index, self.source, target);
    }

    /// One packet arrives at the bridge.
    fn arrives(&mut self, packet: &[u8]) {
        self.conference
            .handle_rtp(self.now, self.ann, packet, &mut self.sink);
        self.collect();
    }

    fn collect(&mut self) {
        for (to, bytes) in std::mem::take(&mut self.sink.rtp) {
            let bob = self.bobs.iter().position(|b| *b == to).unwrap();
            let packet = RtpPacket::parse(&bytes).unwrap();
            let kind = self.sender.kind;
            if packet.payload_type() == kind.payload_type() {
                if let Some(entropy) = &mut self.downlink
                    && entropy.next_u64().is_multiple_of(50)
                {
                    self.dropped.push((bob, read_trailer(packet.payload())));
                    continue;
                }
                self.receivers[bob].media(kind, &packet);
            } else {
                self.receivers[bob].retransmission(kind, &packet);
            }
        }
        for (to, bytes) in std::mem::take(&mut self.sink.rtcp) {
            for item in Compound::new(&bytes) {
                match item.unwrap() {
                    Rtcp::Pli { media, .. } => {
                        assert_eq!((to, media.0), (self.ann, Sender::ssrc(0)));
                        self.keyframes_asked += 1;
                        self.sender.ask_key();
                    }
                    Rtcp::Nack(nack) => self.nacked += nack.sequences().count(),
                    _ => {}
                }
            }
        }
    }

    /// Sender reports of all encodings, of this moment.
    fn report(&mut self) {
        for encoding in 0..self.conference.sources[self.source].encodings.len() as u8 {
            let ticks = self.sender.tick * 3000;
            let info = SenderInfo {
                ssrc: Ssrc(Sender::ssrc(encoding)),
                ntp: (u64::from(ticks) << 32) / 90_000 + (77 << 32),
                rtp_timestamp: self.sender.timestamp(encoding, ticks),
                packets: 0,
                octets: 0,
            };
            let mut bytes = Vec::new();
            rtcp::sender_report(&mut bytes, &info, &[]);
            self.conference
                .handle_rtcp(self.now, self.ann, &bytes, &mut self.sink);
        }
        self.sink.rtcp.clear();
    }

    /// One frame time, in which everything arrives.
    fn frame(&mut self) {
        self.now += FRAME;
        for packet in self.sender.pictures() {
            self.arrives(&packet.bytes);
        }
    }

    fn frames(&mut self, count: usize) {
        for _ in 0..count {
            self.frame();
        }
    }

    /// What a receiver got during these frames, by encoding, spatial and temporal layer.
    fn gets(&mut self, bob: usize, count: usize) -> BTreeSet<(u8, u8, u8)> {
        let before = self.receivers[bob].frames().len();
        self.frames(count);
        self.receivers[bob].frames()[before..]
            .iter()
            .map(|id| (id.0, id.2, self.sender.frames[id].temporal))
            .collect()
    }

    /// Packets that reached receivers.
    fn arrived(&self) -> usize {
        self.receivers.iter().map(Receiver::len).sum()
    }

    fn asks_for_missing(&mut self, bob: usize) {
        let missing = self.receivers[bob].missing();
        if missing.is_empty() {
            return;
        }
        let outlet = &self.conference.endpoints[self.bobs[bob].index()];
        let outlet = &outlet.outlets[outlet.outlet_of[&self.source]];
        let mut bytes = Vec::new();
        let last: Vec<u16> = missing.into_iter().rev().take(100).rev().collect();
        rtcp::nack(&mut bytes, Ssrc(9), outlet.ssrc, &last);
        self.conference
            .handle_rtcp(self.now, self.bobs[bob], &bytes, &mut self.sink);
        self.collect();
    }
}

const fn layer(encoding: u8, spatial: u8, temporal: u8) -> LayerId {
    LayerId {
        encoding,
        spatial,
        temporal,
    }
}

fn random_target(entropy: &mut SeededEntropy, kind: Kind, encodings: usize) -> Option<LayerId> {
    let r = entropy.next_u64();
    (!r.is_multiple_of(9)).then(|| {
        layer(
            (r >> 8) as u8 % encodings as u8,
            (r >> 16) as u8 % kind.spatial(),
            (r >> 24) as u8 % 3,
        )
    })
}

const KINDS: [(Kind, usize); 9] = [
    (Kind::Vp8 { temporal: true }, 1),
    (Kind::Vp8 { temporal: true }, 3),
    (Kind::Vp8 { temporal: false }, 3),
    (Kind::H264, 3),
    (Kind::Vp9 { key: false }, 1),
    (Kind::Vp9 { key: true }, 1),
    (Kind::Av1 { key: false }, 1),
    (Kind::Av1 { key: true }, 1),
    (Kind::Av1Temporal, 3),
];

#[test]
fn on_a_path_that_loses_nothing_every_receiver_gets_a_whole_stream() {
    for (kind, encodings) in KINDS {
        for seed in 0..SEEDS {
            let mut entropy = SeededEntropy::new(seed ^ 0x5eed);
            let mut stage = Stage::new(kind, encodings, 3, seed);
            for step in 0..400 {
                if entropy.next_u64().is_multiple_of(17) {
                    let bob = entropy.next_u64() as usize % 3;
                    stage.target(bob, random_target(&mut entropy, kind, encodings));
                }
                if seed % 2 == 0 && step % 29 == 5 {
                    stage.report();
                }
                stage.frame();
            }
            for receiver in &stage.receivers {
                receiver.check_whole(&stage.sender);
            }
            assert!(stage.arrived() > 200, "{kind:?} {encodings} {seed}");
        }
    }
}

/// Targets are reached, and everything up to them comes.
fn reaches(kind: Kind, encodings: usize, from: Option<LayerId>, to: LayerId) {
    let mut stage = Stage::new(kind, encodings, 1, 11);
    stage.target(0, from);
    stage.frames(40);
    stage.target(0, Some(to));
    stage.frames(40);
    let expected: BTreeSet<(u8, u8, u8)> = (0..=to.spatial)
        .flat_map(|s| (0..=to.temporal).map(move |t| (to.encoding, s, t)))
        .filter(|(_, s, _)| {
            let lower = matches!(kind, Kind::Vp9 { key: false } | Kind::Av1 { key: false });
            lower || *s == to.spatial
        })
        .collect();
    assert_eq!(
        stage.gets(0, 16),
        expected,
        "{kind:?} from {from:?} to {to:?}"
    );
    stage.receivers[0].check_whole(&stage.sender);
}

#[test]
fn every_target_is_reached_from_every_other() {
    for (kind, encodings) in KINDS {
        let temporal = match kind {
            Kind::H264 | Kind::Vp8 { temporal: false } => 1,
            _ => 3,
        };
        let all: Vec<LayerId> = (0..encodings as u8)
            .flat_map(|e| (0..kind.spatial()).map(move |s| (e, s)))
            .flat_map(|(e, s)| (0..temporal).map(move |t| layer(e, s, t)))
            .collect();
        for to in &all {
            reaches(kind, encodings, None, *to);
            for from in &all {
                reaches(kind, encodings, Some(*from), *to);
            }
        }
    }
}

/// Packets are lost for good, come late, come twice and change places.
fn rough(kind: Kind, encodings: usize, seed: u64) {
    let mut entropy = SeededEntropy::new(seed ^ 0xbad);
    let mut stage = Stage::new(kind, encodings, 3, seed);
    stage.downlink = Some(SeededEntropy::new(seed ^ 0xd0));
    let mut late: Vec<(u32, Packet)> = Vec::new();
    let mut lost: BTreeSet<(FrameId, u8)> = BTreeSet::new();
    let id = |p: &Packet| read_trailer(RtpPacket::parse(&p.bytes).unwrap().payload());
    for step in 0..400u32 {
        if entropy.next_u64().is_multiple_of(17) {
            let bob = entropy.next_u64() as usize % 3;
            stage.target(bob, random_target(&mut entropy, kind, encodings));
        }
        if step % 29 == 5 {
            stage.report();
        }
        stage.now += FRAME;
        let mut packets = stage.sender.pictures();
        if entropy.next_u64().is_multiple_of(9) && packets.len() > 2 {
            let at = entropy.next_u64() as usize % (packets.len() - 1);
            lost.insert(id(&packets[at]));
            packets.swap(at, at + 1);
        }
        for packet in packets {
            match entropy.next_u64() % 60 {
                0 => {
                    lost.insert(id(&packet));
                }
                1 => {
                    lost.insert(id(&packet));
                    late.push((step + 1 + (entropy.next_u64() % 6) as u32, packet));
                }
                2 => {
                    stage.arrives(&packet.bytes);
                    stage.arrives(&packet.bytes);
                }
                _ => stage.arrives(&packet.bytes),
            }
        }
        late.retain(|(at, packet)| {
            if *at <= step {
                stage.arrives(&packet.bytes);
            }
            *at > step
        });
        for bob in 0..3 {
            stage.asks_for_missing(bob);
        }
    }
    // What was lost last is still asked for.
    for _ in 0..3 {
        stage.now += FRAME;
        for bob in 0..3 {
            stage.asks_for_missing(bob);
        }
    }
    let mut unrepaired = 0;
    for (bob, receiver) in stage.receivers.iter().enumerate() {
        let mut lost = lost.clone();
        for (_, packet) in stage.dropped.iter().filter(|(b, _)| *b == bob) {
            // The last one before a pause: there was nothing behind it to tell that it is missing.
            if !receiver.has_packet(*packet) {
                unrepaired += 1;
                lost.insert(*packet);
            }
        }
        receiver.check(&stage.sender, &lost);
    }
    assert!(stage.arrived() > 200, "{kind:?} {encodings} {seed}");
    assert!(stage.nacked > 0);
    assert!(unrepaired * 10 <= stage.dropped.len(), "{unrepaired}");
}

#[test]
fn on_a_rough_path_gaps_are_losses_and_what_is_referred_to_was_sent() {
    for (kind, encodings) in KINDS {
        for seed in 0..SEEDS {
            rough(kind, encodings, seed);
        }
    }
}
