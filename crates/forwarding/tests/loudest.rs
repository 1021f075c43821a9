//! Large conferences: the loudest are forwarded, and nobody notices.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use althing_forwarding::SlotMode::{self, Plain, Rewriting};
use althing_forwarding::{EndpointKey, Hearing, Loudest, Settings};
use common::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

const QUIET: u8 = 87;
const VOICE: u8 = 30;

/// A hall: many microphones, each frame of 20 ms with a level of its own. The first is dominant until
/// somebody speaks, and so is always heard.
struct Hall {
    room: Room,
    speakers: Vec<EndpointKey>,
    frame: u16,
}

/// What a receiver got: from whom, which of its packets, under which SSRC and numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Heard {
    from: u16,
    frame: u16,
    ssrc: u32,
    sequence: u16,
    timestamp: u32,
}

impl Hall {
    fn new(speakers: u32) -> Self {
        Self::with(speakers, Settings::default())
    }

    fn with(speakers: u32, settings: Settings) -> Self {
        let mut hall = Self {
            room: Room::with(settings),
            speakers: Vec::new(),
            frame: 0,
        };
        for i in 0..speakers {
            let key = hall.room.join(&format!("s{i}"), Rewriting);
            hall.room.signal(key, 10_000 + 10 * i, &["a0"]);
            hall.speakers.push(key);
        }
        hall
    }

    fn listener(&mut self, id: &str, slots: SlotMode) -> EndpointKey {
        self.room.join(id, slots)
    }

    fn sends(&mut self, speaker: usize, level: u8) {
        let ssrc = 10_000 + 10 * speaker as u32;
        let payload = [(speaker as u16).to_be_bytes(), self.frame.to_be_bytes()].concat();
        let time = 960 * u32::from(self.frame);
        let packet = packet(111, ssrc, self.frame, time, &[(1, &[level])], &payload);
        self.room.rtp(self.speakers[speaker], &packet);
    }

    /// One frame of everybody; those named have these levels (−dBov), or lose the packet.
    fn frame(&mut self, named: &[(usize, Option<u8>)]) {
        self.frame += 1;
        for speaker in 0..self.speakers.len() {
            let level = named.iter().find(|(s, _)| *s == speaker);
            if let Some(level) = level.map_or(Some(QUIET), |(_, l)| *l) {
                self.sends(speaker, level);
            }
        }
        self.room.pass_ms(20);
    }

    /// So long that slots are open, ranking is on and floors are known.
    fn settle(&mut self) {
        for _ in 0..250 {
            self.frame(&[]);
        }
        assert!(self.room.conference.forwards_loudest_only());
        self.room.sent();
    }

    fn heard(&mut self) -> BTreeMap<EndpointKey, Vec<Heard>> {
        let mut by: BTreeMap<EndpointKey, Vec<Heard>> = BTreeMap::new();
        for sent in self.room.sent() {
            let packet = sent.rtp();
            let p = packet.payload();
            by.entry(sent.to).or_default().push(Heard {
                from: u16::from_be_bytes([p[0], p[1]]),
                frame: u16::from_be_bytes([p[2], p[3]]),
                ssrc: packet.ssrc().0,
                sequence: packet.sequence(),
                timestamp: packet.timestamp(),
            });
        }
        by
    }
}

/// The frames of `from` among these.
fn frames_of(heard: &[Heard], from: u16) -> Vec<u16> {
    let of = heard.iter().filter(|h| h.from == from);
    of.map(|h| h.frame).collect()
}

#[test]
fn a_tap_hears_the_source_that_ranks_last_and_the_others_do_not() {
    let mut hall = Hall::new(30);
    let bob = hall.listener("bob", Rewriting);
    let plain = hall.listener("plain", Plain);
    let tap = hall.listener("tap", Plain);
    hall.room
        .conference
        .set_hearing(hall.room.now, tap, Hearing::All);
    hall.room.drain();
    hall.settle();
    let start = hall.frame + 1;
    for _ in 0..100 {
        // Three voices, and everybody else with a room's noise; the last is the softest.
        hall.frame(&[
            (1, Some(VOICE)),
            (2, Some(VOICE)),
            (3, Some(VOICE)),
            (29, Some(100)),
        ]);
    }
    let all: Vec<u16> = (start..start + 100).collect();
    let heard = hall.heard();
    assert_eq!(frames_of(&heard[&tap], 29), all);
    assert_eq!(heard[&tap].len(), 3000);
    for listener in [bob, plain] {
        for speaker in 1..=3 {
            // The first words come with what preceded them.
            assert!(frames_of(&heard[&listener], speaker).ends_with(&all));
        }
        assert_eq!(frames_of(&heard[&listener], 29), [0u16; 0]);
        let others = heard[&listener].iter().filter(|h| h.from != 0);
        assert!(others.count() <= 306);
    }
}

#[test]
fn the_first_syllable_arrives_whole_and_without_a_gap() {
    let mut hall = Hall::new(30);
    let bob = hall.listener("bob", Rewriting);
    hall.settle();
    let talk = |hall: &mut Hall, level: u8, frames: usize| {
        for _ in 0..frames {
            hall.frame(&[(7, Some(level))]);
        }
    };
    talk(&mut hall, VOICE, 10);
    for _ in 0..50 {
        hall.frame(&[(0, Some(VOICE))]);
    }
    // A pause of five seconds; then a word that begins softly.
    talk(&mut hall, QUIET, 200);
    hall.room.sent();
    let onset = hall.frame + 1;
    talk(&mut hall, 80, 1);
    talk(&mut hall, 55, 1);
    talk(&mut hall, VOICE, 20);
    let heard = hall.heard().remove(&bob).unwrap();
    let heard: Vec<Heard> = heard.into_iter().filter(|h| h.from == 7).collect();
    let frames: Vec<u16> = (onset - 1..onset + 22).collect();
    // One quiet frame and the soft one come before the first that is voice for sure.
    assert_eq!(frames_of(&heard, 7), frames);
    assert!(
        heard
            .windows(2)
            .all(|w| w[1].sequence == w[0].sequence.wrapping_add(1))
    );
    assert!(
        heard
            .windows(2)
            .all(|w| w[1].timestamp == w[0].timestamp.wrapping_add(960))
    );
}

#[test]
fn a_pause_is_seen_in_the_timestamps_alone() {
    let mut hall = Hall::new(30);
    let bob = hall.listener("bob", Rewriting);
    hall.settle();
    let mut heard = Vec::new();
    for _ in 0..3 {
        for frame in 0..400 {
            let speaker = usize::from(frame < 15) * 7;
            let level = if frame < 65 { VOICE } else { QUIET };
            hall.frame(&[(speaker, Some(level))]);
        }
        heard.extend(hall.heard().remove(&bob).unwrap());
    }
    heard.retain(|h| h.from == 7);
    assert!(heard.len() < 3 * 200, "pauses are left out");
    for pair in heard.windows(2) {
        let frames = pair[1].frame - pair[0].frame;
        assert_eq!(pair[1].sequence, pair[0].sequence.wrapping_add(1));
        assert_eq!(
            pair[1].timestamp - pair[0].timestamp,
            960 * u32::from(frames)
        );
    }
    assert!(heard.windows(2).any(|w| w[1].frame - w[0].frame > 100));
}

#[test]
fn a_new_slot_carries_its_first_packets_whoever_is_on_it() {
    let mut hall = Hall::new(15);
    hall.settle();
    let bob = hall.listener("bob", Rewriting);
    for _ in 0..60 {
        // Even from those who send nothing but silence.
        hall.frame(&[(3, Some(127)), (4, Some(127))]);
    }
    let heard = hall.heard();
    for speaker in 1..15 {
        assert_eq!(frames_of(&heard[&bob], speaker).len(), 5, "{speaker}");
    }
    let others = heard.iter().filter(|(to, _)| **to != bob);
    let all_dominant = |list: &Vec<Heard>| list.iter().all(|h| h.from == 0);
    assert!(
        others.map(|(_, list)| list).all(all_dominant),
        "nobody else is bothered"
    );
    // Later voices follow without a gap.
    let last = *heard[&bob].iter().rfind(|h| h.from == 3).unwrap();
    for _ in 0..10 {
        hall.frame(&[(3, Some(VOICE))]);
    }
    let heard = hall.heard().remove(&bob).unwrap();
    let first = heard.iter().find(|h| h.from == 3).unwrap();
    assert_eq!(
        (first.ssrc, first.sequence),
        (last.ssrc, last.sequence.wrapping_add(1))
    );
}

#[test]
fn what_a_receiver_asks_for_by_name_it_hears_however_soft() {
    let mut hall = Hall::new(30);
    let bob = hall.listener("bob", Rewriting);
    hall.settle();
    hall.room.say(
        bob,
        r#"{"colibriClass":"ReceiverAudioSubscription","all":true,"include":["s29-a0"],"exclude":["s1-a0"]}"#,
    );
    let start = hall.frame + 1;
    for _ in 0..100 {
        hall.frame(&[(1, Some(VOICE)), (2, Some(VOICE))]);
    }
    let heard = hall.heard().remove(&bob).unwrap();
    assert_eq!(frames_of(&heard, 1), [0u16; 0]);
    assert!(frames_of(&heard, 2).len() >= 100);
    // It had no slot, and a new one is not used before the client has added it.
    assert_eq!(
        frames_of(&heard, 29),
        (start + 20..start + 100).collect::<Vec<_>>()
    );
    let of: Vec<_> = heard.iter().filter(|h| h.from == 29).collect();
    assert!(
        of.windows(2)
            .all(|w| w[1].sequence == w[0].sequence.wrapping_add(1))
    );
    // No longer: its last packet is followed by the next that is loud enough.
    hall.room.say(
        bob,
        r#"{"colibriClass":"ReceiverAudioSubscription","all":true,"include":[],"exclude":[]}"#,
    );
    for frame in 0..100 {
        hall.frame(&[(29, Some(if frame < 50 { QUIET } else { VOICE }))]);
    }
    let after = hall.heard().remove(&bob).unwrap();
    let next = after.iter().find(|h| h.from == 29).unwrap();
    assert!(next.frame >= start + 148);
    assert_eq!(next.sequence, of.last().unwrap().sequence.wrapping_add(1));
    let elapsed = u32::from(next.frame - of.last().unwrap().frame);
    assert_eq!(next.timestamp, of.last().unwrap().timestamp + 960 * elapsed);
}

#[test]
fn few_slots_serve_many_voices_from_their_first_packet() {
    let mut hall = Hall::new(60);
    let bob = hall.listener("bob", Rewriting);
    let told = audio_map(&hall.room.heard(bob));
    assert_eq!(told.len(), 20, "of sixty sources");
    hall.settle();
    let ssrcs: std::collections::BTreeSet<u32> = told.values().copied().collect();
    for speaker in 0..60usize {
        hall.room.heard(bob);
        hall.room.sent();
        let onset = hall.frame + 1;
        for _ in 0..30 {
            hall.frame(&[(speaker, Some(VOICE))]);
        }
        let frames = frames_of(&hall.heard()[&bob], speaker as u16);
        assert!(
            frames.ends_with(&(onset..onset + 30).collect::<Vec<_>>()),
            "{speaker}"
        );
        // Whoever had no slot has one now, and no new SSRC was needed.
        for ssrc in audio_map(&hall.room.heard(bob)).values() {
            assert!(ssrcs.contains(ssrc));
        }
    }
}

#[test]
fn the_dominant_speaker_is_heard_whoever_else_is_loud() {
    let mut hall = Hall::new(30);
    let bob = hall.listener("bob", Rewriting);
    hall.settle();
    for _ in 0..100 {
        hall.frame(&[(9, Some(VOICE))]);
    }
    assert_eq!(
        hall.room.conference.dominant_speaker().unwrap().as_str(),
        "s9"
    );
    hall.room.sent();
    let start = hall.frame + 1;
    for _ in 0..100 {
        // Softer than three others, but the floor has not changed hands.
        hall.frame(&[(9, Some(45)), (1, Some(20)), (2, Some(20)), (3, Some(20))]);
    }
    assert_eq!(
        hall.room.conference.dominant_speaker().unwrap().as_str(),
        "s9"
    );
    let heard = hall.heard().remove(&bob).unwrap();
    assert_eq!(
        frames_of(&heard, 9),
        (start..start + 100).collect::<Vec<_>>()
    );
}

#[test]
fn sender_reports_of_those_not_heard_stay_here() {
    let mut hall = Hall::new(30);
    let bob = hall.listener("bob", Plain);
    hall.settle();
    for _ in 0..20 {
        hall.frame(&[(7, Some(VOICE))]);
    }
    hall.room.sink.rtcp.clear();
    for speaker in 1..30u32 {
        let info = althing_rtp::rtcp::SenderInfo {
            ssrc: althing_model::Ssrc(10_000 + 10 * speaker),
            ntp: 1 << 40,
            rtp_timestamp: 0,
            packets: 1,
            octets: 1,
        };
        let mut report = Vec::new();
        althing_rtp::rtcp::sender_report(&mut report, &info, &[]);
        let key = hall.speakers[speaker as usize];
        hall.room.rtcp(key, &report);
    }
    let to_bob = hall.room.sink.rtcp.iter().filter(|s| s.to == bob).count();
    assert_eq!(to_bob, 1);
}

#[test]
fn vector_3_silence_is_closed_up_without_ranking_too() {
    let mut settings = Settings::default();
    settings.loudest = None;
    let mut hall = Hall::with(1, settings);
    let bob = hall.listener("bob", Plain);
    for _ in 0..10 {
        hall.frame(&[]);
    }
    hall.room.sent();
    let start = hall.frame + 1;
    for level in [127, 127, 127, 127, 127, 30] {
        hall.frame(&[(0, Some(level))]);
    }
    let heard = hall.heard().remove(&bob).unwrap();
    assert_eq!(frames_of(&heard, 0), [0, 1, 2, 5].map(|i| start + i));
    let first = heard[0].sequence;
    let numbers: Vec<u16> = heard
        .iter()
        .map(|h| h.sequence.wrapping_sub(first))
        .collect();
    assert_eq!(numbers, [0, 1, 2, 3]);
}

/// What one speaker does for some frames.
#[derive(Debug, Clone, Copy)]
struct Deed {
    speaker: usize,
    level: u8,
    frames: u16,
    /// One of so many packets is lost on its way to us.
    loss: u16,
}

fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    let levels = prop::sample::select(vec![127u8, 100, QUIET, 70, 50, 40, VOICE, 20]);
    let deed =
        (0usize..14, levels, 1u16..80, 2u16..40).prop_map(|(speaker, level, frames, loss)| Deed {
            speaker,
            level,
            frames,
            loss,
        });
    prop::collection::vec(deed, 1..60)
}

/// By receiver and SSRC: what came last on it.
type Streams = BTreeMap<(EndpointKey, u32), Heard>;

fn check(streams: &mut Streams, heard: BTreeMap<EndpointKey, Vec<Heard>>, lost: &[Vec<u16>]) {
    for (to, list) in heard {
        for h in list {
            let Some(before) = streams.insert((to, h.ssrc), h) else {
                continue;
            };
            let step = h.sequence.wrapping_sub(before.sequence);
            assert!(
                (1..0x8000).contains(&step),
                "a number twice, or back: {before:?} {h:?}"
            );
            if before.from != h.from {
                assert_eq!(step, 1, "a new mapping continues without a gap");
                continue;
            }
            let missing = lost[usize::from(h.from)]
                .iter()
                .filter(|f| (before.frame..h.frame).contains(f))
                .count();
            assert!(
                usize::from(step - 1) <= missing,
                "{before:?} {h:?} {missing}"
            );
            let time = h.timestamp.wrapping_sub(before.timestamp);
            assert!((960..1 << 31).contains(&time));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn no_gap_but_losses_and_no_number_twice(deeds in deeds()) {
        let mut settings = Settings::default();
        settings.loudest = Some(Loudest { above: 3, count: 2 });
        settings.audio_slots = 6;
        let mut hall = Hall::with(14, settings);
        hall.listener("bob", Rewriting);
        hall.listener("plain", Plain);
        let tap = hall.listener("tap", Plain);
        hall.room.conference.set_hearing(hall.room.now, tap, Hearing::All);
        let picky = hall.listener("picky", Rewriting);
        hall.room.drain();
        hall.room.pass_ms(500);
        let mut levels = [QUIET; 14];
        let mut lost = vec![Vec::new(); 14];
        let mut streams = Streams::new();
        for (at, deed) in deeds.into_iter().enumerate() {
            levels[deed.speaker] = deed.level;
            if at % 5 == 0 {
                let wish = format!(
                    r#"{{"colibriClass":"ReceiverAudioSubscription","all":true,"include":["s{}-a0"],"exclude":[]}}"#,
                    deed.speaker
                );
                hall.room.say(picky, &wish);
            }
            for _ in 0..deed.frames {
                let frame = hall.frame + 1;
                let mut named: Vec<(usize, Option<u8>)> =
                    levels.iter().copied().map(Some).enumerate().collect();
                if frame.is_multiple_of(deed.loss) {
                    named[deed.speaker].1 = None;
                    lost[deed.speaker].push(frame);
                }
                hall.frame(&named);
                let heard = hall.heard();
                // A tap hears everything that sounds.
                let taps = heard.get(&tap).map_or(0, Vec::len);
                let sounding = named.iter().filter(|(_, l)| l.is_some_and(|l| l < 127)).count();
                prop_assert!(taps >= sounding);
                check(&mut streams, heard, &lost);
            }
        }
    }
}
