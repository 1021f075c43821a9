//! Senders that begin anew, take more than their share, or hurry: nobody else is to notice.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use althing_forwarding::SlotMode::{Plain, Rewriting};
use althing_forwarding::{Link, RelayMessage, Settings};
use althing_model::Ssrc;
use althing_rtp::rtcp::{self, Compound, Rtcp, SenderInfo};
use common::*;
use std::collections::BTreeSet;

const SILENT: u8 = 127;
const VOICE: u8 = 30;

#[test]
fn a_voice_whose_numbers_begin_anew_further_back_is_heard_and_its_silence_is_not() {
    for mode in [Plain, Rewriting] {
        for pauses in [40, 3, 0] {
            let mut room = Room::new();
            let ann = room.join("ann", mode);
            let bob = room.join("bob", mode);
            room.signal(ann, 1000, &["a0"]);
            room.pass_ms(1000);
            let mut n = 30_000;
            let frame = |room: &mut Room, n: &mut u16, level| {
                *n += 1;
                room.rtp(ann, &opus(1000, *n, u32::from(*n) * 960, level));
                room.pass_ms(20);
            };
            for _ in 0..pauses {
                for level in [VOICE, VOICE, SILENT, SILENT, SILENT, SILENT, SILENT] {
                    frame(&mut room, &mut n, level);
                }
            }
            for _ in 0..10 {
                frame(&mut room, &mut n, VOICE);
            }
            room.sent();
            // The first of two is not believed.
            n -= 9_000;
            for _ in 0..51 {
                frame(&mut room, &mut n, VOICE);
            }
            let sent = room.sent_to(bob);
            assert_eq!(sent.len(), 50, "{mode:?}, {pauses} pauses");
            let numbers: Vec<u16> = sent.iter().map(|s| s.rtp().sequence()).collect();
            assert!(
                numbers.windows(2).all(|w| w[1] == w[0].wrapping_add(1)),
                "{numbers:?}"
            );
            for _ in 0..50 {
                frame(&mut room, &mut n, SILENT);
            }
            assert_eq!(room.sent_to(bob).len(), 3, "{mode:?}, {pauses} pauses");
            for _ in 0..5 {
                frame(&mut room, &mut n, VOICE);
            }
            assert_eq!(room.sent_to(bob).len(), 5);
        }
    }
}

#[test]
fn two_sources_that_change_places_are_both_seen() {
    let mut room = Room::new();
    let ann = room.join("ann", Rewriting);
    let bob = room.join("bob", Rewriting);
    room.signal(ann, 1000, &["v0", "v1"]);
    room.say(bob, WANT_ALL);
    room.pass_ms(1000);
    let swapped = vec![source("ann", "v0", 1002), source("ann", "v1", 1000)];
    room.conference.set_sources(room.now, ann, swapped);
    room.drain();
    assert_eq!(room.conference.counters().sources_refused, 0);
    room.sent();
    for ssrc in [1000, 1002] {
        room.rtp(ann, &vp8(ssrc, 500, 0, true));
    }
    assert_eq!(room.sent_to(bob).len(), 2);
}

#[test]
fn a_picture_that_another_part_lacks_is_asked_for_though_nobody_here_looks() {
    let mut room = Room::new();
    let links = [1, 2].map(|n| Link::new(n).unwrap());
    let ann = room.join("ann", Rewriting);
    room.signal(ann, 1000, &["v0"]);
    let tell = |room: &mut Room, link, message| {
        let now = room.now;
        room.conference
            .handle_relay(now, link, ann, message, &mut room.sink);
        room.drain();
    };
    let keyframe = RelayMessage::Keyframe { ssrc: Ssrc(1000) };
    for link in links {
        room.conference.add_link(room.now, link);
        let source = name("ann-v0");
        let wanted = RelayMessage::Wanted {
            source,
            height: 720,
        };
        tell(&mut room, link, wanted);
    }
    room.rtp(ann, &vp8(1000, 1, 0, true));
    tell(&mut room, links[0], keyframe.clone());
    assert_eq!(room.plis(), [(ann, 1000)]);
    // What comes of it may have passed when the other part begins to look.
    room.pass_ms(100);
    room.rtp(ann, &vp8(1000, 2, 3000, true));
    tell(&mut room, links[1], keyframe);
    assert_eq!(room.plis(), []);
    for n in 3..10 {
        room.pass_ms(33);
        room.rtp(ann, &vp8(1000, n, 3000 * u32::from(n), false));
    }
    assert_eq!(room.plis(), [(ann, 1000)]);
}

#[test]
fn an_endpoint_with_many_microphones_is_not_heard_by_all_of_them() {
    let mut room = Room::new();
    let bob = room.join("bob", Rewriting);
    let speakers: Vec<_> = (0..6u32)
        .map(|i| {
            let key = room.join(&format!("s{i}"), Rewriting);
            room.signal(key, 10_000 + 100 * i, &["a0"]);
            (key, 10_000 + 100 * i)
        })
        .collect();
    let mallory = room.join("mallory", Rewriting);
    let names: Vec<String> = (0..20).map(|i| format!("a{i}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    room.signal(mallory, 50_000, &names);
    let mut most = 0;
    for n in 0..300u16 {
        let time = 960 * u32::from(n);
        let mut at_once = BTreeSet::new();
        for i in 0..20 {
            let ssrc = 50_000 + 2 * i;
            let level = if n < 20 { 90 } else { 5 };
            room.rtp(mallory, &opus(ssrc, n, time, level));
        }
        for (key, ssrc) in &speakers {
            room.rtp(*key, &opus(*ssrc, n, time, VOICE));
        }
        for sent in room.sent_to(bob) {
            at_once.insert(sent.rtp().ssrc());
        }
        // By then it matters who is loud, and slots are no longer new.
        if n > 100 {
            most = most.max(at_once.len());
        }
        room.pass_ms(20);
    }
    let dominant = room.conference.dominant_speaker();
    assert_eq!(dominant.map(|id| id.as_str()), Some("mallory"));
    assert!(most <= 7, "{most} at once");
}

#[test]
fn audio_beyond_what_any_codec_needs_goes_to_nobody() {
    let mut room = Room::new();
    let ann = room.join("ann", Plain);
    let mallory = room.join("mallory", Plain);
    let bob = room.join("bob", Plain);
    room.signal(ann, 1000, &["a0", "a1"]);
    room.signal(mallory, 2000, &["a0", "v0"]);
    room.pass_ms(1000);
    let mut bits = [0, 0];
    let mut lost = 0;
    for n in 0..1000u16 {
        let time = 960 * u32::from(n);
        // The best that Opus can do, twice, with as much again for redundancy.
        for ssrc in [1000, 1002] {
            let body = [7; 2 * 1275];
            let loud = packet(111, ssrc, n, time, &[(1, &[VOICE])], &body);
            room.rtp(ann, &loud);
        }
        for i in 0..20u16 {
            let loud = [7; 1300];
            let loud = packet(111, 2000, 20 * n + i, time, &[(1, &[VOICE])], &loud);
            room.rtp(mallory, &loud);
        }
        for sent in room.sent_to(bob) {
            let of = usize::from(sent.rtp().ssrc().0 >= 2000);
            bits[of] += 8 * sent.bytes.len();
            lost += usize::from(of == 0);
        }
        room.pass_ms(20);
    }
    // In twenty seconds.
    assert_eq!(lost, 2000, "of an honest sender's");
    assert!(bits[1] < 22 * 2_500_000, "{bits:?}");
}

#[test]
fn whoever_misses_everything_all_the_time_is_not_sent_it_as_often() {
    let mut room = Room::new();
    let ann = room.join("ann", Plain);
    let mallory = room.join("mallory", Plain);
    room.signal(ann, 100, &["v0"]);
    room.say(mallory, WANT_ALL);
    room.pass_ms(1000);
    let (mut first, mut again) = (0, 0);
    let mut asked = Vec::new();
    // Ten seconds of 10 Mbit/s, of which each packet is asked for ten times.
    for n in 0..10_000u16 {
        let mut camera = vp8(100, n, 3000 * u32::from(n / 33), n == 0);
        camera.resize(1200, 7);
        room.rtp(ann, &camera);
        for sent in room.sent_to(mallory) {
            if sent.rtp().ssrc() == Ssrc(100) {
                first += sent.bytes.len();
                asked.push(sent.rtp().sequence());
            }
        }
        if asked.len() == 500 {
            for _ in 0..10 {
                for few in asked.chunks(100) {
                    let mut nacks = Vec::new();
                    rtcp::nack(&mut nacks, Ssrc(9), Ssrc(100), few);
                    room.rtcp(mallory, &nacks);
                }
                let sent = room.sent_to(mallory);
                again += sent.iter().map(|s| s.bytes.len()).sum::<usize>();
                room.pass_ms(25);
            }
            room.pass_ms(250);
            asked.clear();
        }
    }
    let seconds = 10_000 / 500 / 2;
    let most = (seconds + 2) * 25_000_000 / 8;
    assert!(first > 10_000_000, "{first}");
    assert!(again > first && again < most, "{first} {again} {most}");
}

#[test]
fn how_much_audio_may_come_is_a_setting() {
    let mut settings = Settings::default();
    settings.audio_bits_per_second = 64_000;
    let mut room = Room::with(settings);
    let ann = room.join("ann", Plain);
    let bob = room.join("bob", Plain);
    room.signal(ann, 1000, &["a0"]);
    room.pass_ms(1000);
    let mut heard = 0;
    for n in 0..500u16 {
        let voice = packet(
            111,
            1000,
            n,
            960 * u32::from(n),
            &[(1, &[VOICE])],
            &[7; 300],
        );
        room.rtp(ann, &voice);
        heard += room.sent_to(bob).len();
        room.pass_ms(20);
    }
    // Some 320 bytes each: of ten seconds at 128 kbit/s half passes, and two seconds' worth at once.
    assert!((280..320).contains(&heard), "{heard}");
}

#[test]
fn reports_of_a_sender_are_passed_on_a_few_times_a_second_however_many_there_are() {
    let mut room = Room::new();
    let mallory = room.join("mallory", Plain);
    let receivers = ["bob", "cyd"].map(|id| room.join(id, Plain));
    room.conference.add_link(room.now, Link::new(1).unwrap());
    room.signal(mallory, 1000, &["a0"]);
    let report = |second: u64| SenderInfo {
        ssrc: Ssrc(1000),
        ntp: second << 32,
        rtp_timestamp: 48_000 * second as u32,
        packets: 1,
        octets: 1,
    };
    let passed = |room: &mut Room| {
        let reports = |bytes: &[u8]| {
            let items = Compound::new(bytes).map(Result::unwrap);
            items.filter(|i| matches!(i, Rtcp::SenderReport(_))).count()
        };
        let sent: usize = room.sink.rtcp.iter().map(|s| reports(&s.bytes)).sum();
        let relayed = room.sink.relayed.iter().filter(|(_, rtp, _)| !rtp).count();
        room.sink.rtcp.clear();
        room.sink.relayed.clear();
        (sent, relayed)
    };
    for second in 1..5u64 {
        let sequence = second as u16;
        room.rtp(
            mallory,
            &opus(1000, sequence, 48_000 * sequence as u32, VOICE),
        );
        let mut compound = Vec::new();
        for _ in 0..30 {
            rtcp::sender_report(&mut compound, &report(second), &[]);
        }
        for _ in 0..100 {
            room.rtcp(mallory, &compound);
        }
        assert_eq!(passed(&mut room), (receivers.len(), 1), "{second}");
        room.pass_ms(1000);
    }
}
