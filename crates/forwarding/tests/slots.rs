//! Slots of a rewriting receiver, seen with the eyes of its client, while people come and go.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use althing_colibri::BridgeMessage;
use althing_forwarding::EndpointKey;
use althing_forwarding::SlotMode::{Plain, Rewriting};
use common::*;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// More people than slots.
const SEATS: usize = 70;
const POOL: usize = 50;

#[derive(Debug, Clone, Copy)]
enum Step {
    /// Joins, or sends other sources than before; bits: audio, camera, screen, other SSRCs.
    Send(usize, u8),
    Leave(usize),
    /// The receiver looks at this many seats from this one on, at most so many of them.
    Look(usize, usize, i32),
    Channel(bool),
    Speak(usize),
    Pass(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let seat = 0..SEATS;
    let step = prop_oneof![
        8 => (seat.clone(), 1u8..16).prop_map(|(s, bits)| Step::Send(s, bits)),
        3 => seat.clone().prop_map(Step::Leave),
        3 => (seat.clone(), 0usize..60, -1i32..60).prop_map(|(s, n, last)| Step::Look(s, n, last)),
        1 => any::<bool>().prop_map(Step::Channel),
        3 => seat.prop_map(Step::Speak),
        4 => prop_oneof![3 => 0u64..100, 1 => 500u64..3000].prop_map(Step::Pass),
    ];
    prop::collection::vec(step, 100..400)
}

/// What a client knows of one SSRC.
#[derive(Debug)]
struct Track {
    name: String,
    since: Instant,
}

/// A client as lib-jitsi-meet is one: it takes entries one after the other.
#[derive(Debug, Default)]
struct Client {
    video: BTreeMap<u32, Track>,
    audio: BTreeMap<u32, Track>,
    /// Retransmission SSRCs belong to their slots for ever.
    rtx: BTreeMap<u32, u32>,
    forwarded: Vec<String>,
    remapped: usize,
}

impl Client {
    fn take(&mut self, message: &BridgeMessage, now: Instant) {
        match message {
            BridgeMessage::VideoSourcesMap { mapped_sources } => {
                for s in mapped_sources {
                    self.remapped += map(&mut self.video, s.ssrc.0, s.source.as_str(), now);
                    let rtx = self.rtx.insert(s.ssrc.0, s.rtx.0).unwrap_or(s.rtx.0);
                    assert_eq!(rtx, s.rtx.0, "a slot keeps its retransmission SSRC");
                }
            }
            BridgeMessage::AudioSourcesMap { mapped_sources } => {
                for s in mapped_sources {
                    self.remapped += map(&mut self.audio, s.ssrc.0, s.source.as_str(), now);
                }
            }
            BridgeMessage::ForwardedSources { sources } => {
                self.forwarded = sources.iter().map(ToString::to_string).collect();
            }
            _ => {}
        }
    }

    /// Once everything has been said.
    fn check(&self) {
        assert!(self.video.len() <= POOL, "video slots");
        assert!(self.audio.len() <= POOL, "audio slots");
        for name in &self.forwarded {
            let shown = self.video.values().filter(|t| t.name == *name).count();
            assert_eq!(shown, 1, "{name} is forwarded");
        }
    }
}

/// Takes one entry of a map over; 1 if it renamed a track.
fn map(tracks: &mut BTreeMap<u32, Track>, ssrc: u32, name: &str, now: Instant) -> usize {
    let is_new = !tracks.contains_key(&ssrc);
    let other = tracks.iter().find(|(s, t)| **s != ssrc && t.name == name);
    if let Some((other, _)) = other {
        assert!(
            is_new,
            "{name} comes to {ssrc:x} while {other:x} still shows it"
        );
        // Only then the client clears the track that showed it.
        let other = *other;
        tracks.get_mut(&other).unwrap().name.clear();
    }
    let track = tracks.entry(ssrc).or_insert_with(|| Track {
        name: name.to_owned(),
        since: now,
    });
    if track.name == name {
        return 0;
    }
    let age = now - track.since;
    assert!(
        age >= Duration::from_secs(1),
        "{ssrc:x} was {} for {age:?} only, and becomes {name}",
        track.name
    );
    name.clone_into(&mut track.name);
    1
}

struct Meeting {
    room: Room,
    seats: Vec<Option<EndpointKey>>,
    receiver: EndpointKey,
    client: Client,
    sequence: u16,
    open: bool,
}

impl Meeting {
    fn new() -> Self {
        let mut room = Room::new();
        let receiver = room.join("watcher", Rewriting);
        Self {
            room,
            seats: vec![None; SEATS],
            receiver,
            client: Client::default(),
            sequence: 0,
            open: true,
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Send(seat, bits) => {
                let id = format!("e{seat}");
                let key = *self.seats[seat].get_or_insert_with(|| self.room.add(&id, Plain));
                let base = 100 * (seat as u32 + 1) + if bits & 8 == 0 { 0 } else { 50_000 };
                let sources = ["a0", "v0", "v1"]
                    .iter()
                    .enumerate()
                    .filter(|(i, _)| bits >> i & 1 == 1)
                    .map(|(i, name)| source(&id, name, base + 10 * i as u32))
                    .collect();
                self.room
                    .conference
                    .set_sources(self.room.now, key, sources);
            }
            Step::Leave(seat) => {
                if let Some(key) = self.seats[seat].take() {
                    self.room.leave(key);
                }
            }
            Step::Look(first, count, last_n) => {
                let names: Vec<String> = (first..first + count)
                    .map(|s| format!(r#""e{}-v{}":{{"maxHeight":180}}"#, s % SEATS, s % 2))
                    .collect();
                let message = format!(
                    r#"{{"colibriClass":"ReceiverVideoConstraints","lastN":{last_n},"defaultConstraints":{{"maxHeight":0}},"constraints":{{{}}}}}"#,
                    names.join(",")
                );
                self.room.say(self.receiver, &message);
            }
            Step::Channel(up) => {
                if up && !self.open {
                    self.room
                        .conference
                        .channel_opened(self.room.now, self.receiver);
                } else if !up {
                    self.room
                        .conference
                        .channel_closed(self.room.now, self.receiver);
                }
                self.open = up;
            }
            Step::Speak(seat) => {
                if let Some(key) = self.seats[seat] {
                    self.sequence = self.sequence.wrapping_add(1);
                    for base in [100 * (seat as u32 + 1), 100 * (seat as u32 + 1) + 50_000] {
                        let packet = opus(base, self.sequence, u32::from(self.sequence) * 960, 20);
                        self.room.rtp(key, &packet);
                    }
                }
            }
            Step::Pass(ms) => self.pass(ms),
        }
        self.hear();
    }

    /// Hears every message at its time.
    fn pass(&mut self, ms: u64) {
        let end = self.room.now + Duration::from_millis(ms);
        while let Some(at) = self.room.conference.next_timeout().filter(|at| *at <= end) {
            let by = at.saturating_duration_since(self.room.now);
            self.room.pass(by);
            self.hear();
        }
        self.room.pass(end - self.room.now);
    }

    fn hear(&mut self) {
        self.room.drain();
        for message in self.room.heard(self.receiver) {
            self.client.take(&message, self.room.now);
        }
        self.room.messages.clear();
        self.room.sent();
        self.client.check();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn a_client_never_sees_more_slots_than_the_pool_nor_one_name_twice(steps in steps()) {
        let mut meeting = Meeting::new();
        for step in steps {
            meeting.step(step);
        }
        // When all is quiet, whoever is looked at and there has a slot.
        meeting.step(Step::Channel(true));
        meeting.step(Step::Look(0, 45, -1));
        meeting.step(Step::Pass(2500));
        let there: BTreeSet<String> = meeting.client.forwarded.iter().cloned().collect();
        let shown: BTreeSet<String> =
            meeting.client.video.values().map(|t| t.name.clone()).collect();
        prop_assert!(there.is_subset(&shown));
    }
}

#[test]
fn thousands_of_comings_and_goings_leave_the_client_with_fifty_slots() {
    let mut meeting = Meeting::new();
    for i in 0..4000usize {
        let seat = (i * 31) % SEATS;
        meeting.step(Step::Send(seat, 0b111));
        meeting.step(Step::Look(seat, 25, -1));
        meeting.step(Step::Pass(40));
        meeting.step(Step::Speak(seat));
        meeting.step(Step::Leave((i * 17) % SEATS));
    }
    assert_eq!(meeting.client.video.len(), POOL);
    assert!(meeting.client.audio.len() <= POOL);
    assert!(meeting.client.remapped > 1000, "slots are used again");
}

#[test]
fn a_plain_receiver_is_given_every_source_under_its_own_ssrc() {
    let mut room = Room::new();
    let key = room.join("watcher", Plain);
    room.say(key, WANT_ALL);
    let mut seen = BTreeSet::new();
    for i in 0..1500u32 {
        let sender = room.add("ann", Plain);
        let ssrc = 1000 + 10 * i;
        room.signal(sender, ssrc, &["a0"]);
        for n in 0..3u16 {
            room.pass_ms(20);
            room.rtp(sender, &opus(ssrc, n, u32::from(n) * 960, 30));
        }
        let sent = room.sent_to(key);
        assert_eq!(sent.len(), 3);
        assert!(sent.iter().all(|s| s.rtp().ssrc().0 == ssrc));
        assert!(seen.insert(ssrc), "never another's");
        room.leave(sender);
    }
}
