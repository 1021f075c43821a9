//! Whatever happens in a meeting, what every receiver can rely on.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use althing_colibri::BridgeMessage;
use althing_forwarding::EndpointKey;
use althing_forwarding::SlotMode::{Plain, Rewriting};
use common::*;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

const SEATS: usize = 4;

#[derive(Debug, Clone, Copy)]
enum Step {
    Join(usize, bool),
    Leave(usize),
    Signal(usize, bool, bool, bool),
    Channel(usize, bool),
    Want(usize, i32, usize),
    /// Packets of a sender, some lost on their way to us.
    Media(usize, u8, bool),
    Pass(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let seat = 0..SEATS;
    let step = prop_oneof![
        1 => (seat.clone(), any::<bool>()).prop_map(|(s, p)| Step::Join(s, p)),
        1 => seat.clone().prop_map(Step::Leave),
        2 => (seat.clone(), any::<bool>(), any::<bool>(), any::<bool>())
            .prop_map(|(s, a, v, other)| Step::Signal(s, a, v, other)),
        1 => (seat.clone(), any::<bool>()).prop_map(|(s, up)| Step::Channel(s, up)),
        2 => (seat.clone(), -1..3, seat.clone()).prop_map(|(s, n, t)| Step::Want(s, n, t)),
        10 => (seat, any::<u8>(), any::<bool>()).prop_map(|(s, l, k)| Step::Media(s, l, k)),
        4 => (1u64..700).prop_map(Step::Pass),
    ];
    prop::collection::vec(step, 1..150)
}

#[derive(Default)]
struct Stream {
    /// Highest extended sequence number and its timestamp.
    last: Option<(u16, u32)>,
    /// Who sent the packets, to see that no mapping mixes two.
    owner: Option<char>,
}

/// One meeting being checked.
struct Meeting {
    room: Room,
    keys: [Option<EndpointKey>; SEATS],
    ssrcs: [u32; SEATS],
    sequence: u16,
    /// By receiver: who is on which SSRC, as it was told.
    told: BTreeMap<EndpointKey, BTreeMap<u32, char>>,
    streams: BTreeMap<(EndpointKey, u32), Stream>,
    plain: BTreeSet<EndpointKey>,
}

impl Meeting {
    fn new() -> Self {
        let mut m = Self {
            room: Room::new(),
            keys: [None; SEATS],
            ssrcs: [0; SEATS],
            sequence: 0,
            told: BTreeMap::new(),
            streams: BTreeMap::new(),
            plain: BTreeSet::new(),
        };
        for seat in 0..SEATS {
            m.step(Step::Join(seat, seat == 3));
            m.step(Step::Channel(seat, true));
            m.step(Step::Want(seat, -1, 0));
            m.step(Step::Signal(seat, true, true, false));
        }
        m.step(Step::Pass(500));
        m
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Join(seat, plain) => {
                let mode = if plain { Plain } else { Rewriting };
                let key = self.room.add(&format!("e{seat}"), mode);
                if plain {
                    self.plain.insert(key);
                }
                self.keys[seat] = Some(key);
            }
            Step::Leave(seat) => {
                if let Some(key) = self.keys[seat].take() {
                    self.room.leave(key);
                }
            }
            Step::Signal(seat, audio, video, other) => {
                let base = 1000 * (seat as u32 + 1) + if other { 500 } else { 0 };
                if let Some(key) = self.keys[seat] {
                    let mut sources = Vec::new();
                    if audio {
                        sources.push(source(&format!("e{seat}"), "a0", base));
                    }
                    if video {
                        sources.push(source(&format!("e{seat}"), "v0", base + 2));
                    }
                    self.room
                        .conference
                        .set_sources(self.room.now, key, sources);
                    self.room.drain();
                    self.ssrcs[seat] = base;
                }
            }
            Step::Channel(seat, up) => {
                if let Some(key) = self.keys[seat] {
                    if up {
                        self.room.conference.channel_opened(self.room.now, key);
                    } else {
                        self.room.conference.channel_closed(self.room.now, key);
                    }
                    self.room.drain();
                }
            }
            Step::Want(seat, last_n, stage) => {
                if let Some(key) = self.keys[seat] {
                    self.room.say(key, &format!(r#"{{"colibriClass":"ReceiverVideoConstraints","lastN":{last_n},"onStageSources":["e{stage}-v0"]}}"#));
                }
            }
            Step::Media(seat, loss, key_first) => self.media(seat, loss, key_first),
            Step::Pass(ms) => self.room.pass_ms(ms),
        }
        self.hear();
        self.check();
    }

    /// Five packets of each kind; `loss` says which never arrive, and two change places.
    fn media(&mut self, seat: usize, loss: u8, key_first: bool) {
        let Some(key) = self.keys[seat] else { return };
        let base = self.ssrcs[seat];
        let mark = |mut bytes: Vec<u8>| {
            bytes.push(seat as u8);
            bytes
        };
        let mut batch = Vec::new();
        for i in 0..5u8 {
            self.sequence = self.sequence.wrapping_add(1);
            let (s, t) = (self.sequence, u32::from(self.sequence));
            if loss >> i & 1 == 0 {
                batch.push(mark(opus(base, s, t * 960, 30)));
                batch.push(mark(vp8(base + 2, s, t * 3000, key_first && i == 0)));
            }
        }
        if batch.len() > 5 {
            batch.swap(3, 5);
        }
        for packet in batch {
            self.room.rtp(key, &packet);
            self.check();
        }
    }

    fn hear(&mut self) {
        for (to, message) in std::mem::take(&mut self.room.messages) {
            let told = self.told.entry(to).or_default();
            let owner = |id: &althing_model::EndpointId| id.as_str().chars().nth(1).unwrap();
            match message {
                BridgeMessage::VideoSourcesMap { mapped_sources } => {
                    told.extend(mapped_sources.iter().map(|s| (s.ssrc.0, owner(&s.owner))));
                }
                BridgeMessage::AudioSourcesMap { mapped_sources } => {
                    told.extend(mapped_sources.iter().map(|s| (s.ssrc.0, owner(&s.owner))));
                }
                _ => {}
            }
        }
    }

    fn check(&mut self) {
        // Maps are handed out by poll, so before the packets of the next call.
        self.hear();
        for sent in self.room.sent() {
            let packet = sent.rtp();
            let seat = usize::from(*packet.payload().last().unwrap());
            let owner = char::from(b'0' + seat as u8);
            assert_ne!(self.keys[seat], Some(sent.to), "somebody hears itself");
            let ssrc = packet.ssrc().0;
            if !self.plain.contains(&sent.to) {
                let told = self.told.get(&sent.to).and_then(|t| t.get(&ssrc));
                assert_eq!(told, Some(&owner), "not announced, or not as this");
            }
            let stream = self.streams.entry((sent.to, ssrc)).or_default();
            let (sequence, timestamp) = (packet.sequence(), packet.timestamp());
            if let Some((last, last_timestamp)) = stream.last {
                let step = althing_rtp::seq::distance(last, sequence);
                assert_ne!(step, 0, "a number twice");
                // Two changed places at most; five lost in a row per burst at most.
                if stream.owner != Some(owner) {
                    assert_eq!(step, 1, "a new mapping continues without a gap");
                }
                if step > 0 {
                    let time = althing_rtp::seq::timestamp_distance(last_timestamp, timestamp);
                    assert!(time > 0, "time went back by {time}");
                } else {
                    assert!(step >= -5, "late by {step}");
                    continue;
                }
            }
            stream.last = Some((sequence, timestamp));
            stream.owner = Some(owner);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn every_receiver_sees_continuous_streams_it_was_told_of(steps in steps()) {
        let mut meeting = Meeting::new();
        for step in steps {
            meeting.step(step);
        }
    }

    #[test]
    fn no_operations_panic(data in prop::collection::vec(any::<u8>(), 0..4000)) {
        althing_forwarding::fuzzing::operations(&data);
    }

    /// As above, but mostly joins, sources and media.
    #[test]
    fn no_meeting_panics(
        operations in prop::collection::vec(
            (prop::sample::select(vec![0u8, 1, 2, 3, 4, 4, 4, 4, 5, 9, 10, 10, 11]), 0u8..6, any::<u8>(), any::<u8>()),
            0..600,
        ),
    ) {
        let bytes: Vec<u8> = operations.iter().flat_map(|(o, w, a, b)| [*o, *w, *a, *b]).collect();
        althing_forwarding::fuzzing::operations(&bytes);
    }

    /// Two who send, two who see them and report; nobody leaves, so that paths become known.
    #[test]
    fn no_feedback_panics(
        operations in prop::collection::vec(
            (prop::sample::select(vec![4u8, 4, 4, 4, 5, 5, 10, 11, 11, 12, 13, 13]), 0u8..2, any::<u8>(), any::<u8>()),
            300..900,
        ),
    ) {
        let seats = [0u8, 1].into_iter();
        let begin = seats.flat_map(|seat| {
            [[0, seat, 0, seat], [3, seat, 0, 0], [2, seat, 3, 0], [12, seat, 1, 0]]
        });
        let begin: Vec<u8> = begin.chain([[11, 0, 255, 0], [11, 0, 255, 0]]).flatten().collect();
        let operations = operations.iter().flat_map(|(o, w, a, b)| match o {
            // Time goes by in steps that feedback comes in.
            11 => [*o, *w, *a & 63, *b],
            _ => [*o, *w, *a, *b],
        });
        let bytes: Vec<u8> = begin.into_iter().chain(operations).collect();
        althing_forwarding::fuzzing::operations(&bytes);
    }

    #[test]
    fn no_order_panics(
        operations in prop::collection::vec((0u8..15, 0u8..6, any::<u8>(), any::<u8>()), 0..600),
    ) {
        let bytes: Vec<u8> = operations.iter().flat_map(|(o, w, a, b)| [*o, *w, *a, *b]).collect();
        althing_forwarding::fuzzing::operations(&bytes);
    }

    /// Three who see each other, of whom one sends layered video of all kinds, and changes in between.
    #[test]
    fn no_layered_video_panics(
        codec in 0u8..8,
        operations in prop::collection::vec(
            (
                prop::sample::select(vec![2u8, 3, 14, 14, 14, 14, 14, 14, 14, 14, 14, 14, 14, 9, 10, 11, 11]),
                any::<u8>(), any::<u8>(), prop::collection::vec(any::<u8>(), 15),
            ),
            0..300,
        ),
    ) {
        let mut bytes = Vec::new();
        for seat in 0..3 {
            bytes.extend([0, seat, 0, 0, 3, seat, 0, 0, 2, seat, 2, 2]);
        }
        bytes.extend([11, 0, 255, 0, 11, 0, 255, 0]);
        for (operation, a, b, body) in operations {
            match operation {
                // One more source or one less, now and then.
                2 if b > 200 => bytes.extend([2, 0, 2 | a & 1, 2]),
                2 => {}
                3 => bytes.extend([3, 1, a & 1, 0]),
                14 => {
                    // A sender seldom changes its codec.
                    let of_one = (a & !0x1c) | codec << 2;
                    bytes.extend([14, 0, if b > 250 { a } else { of_one }, 15]);
                    bytes.extend(body);
                }
                10 => bytes.extend([10, 1, a, b & 15]),
                _ => bytes.extend([operation, 1, a, b]),
            }
        }
        althing_forwarding::fuzzing::operations(&bytes);
    }
}
