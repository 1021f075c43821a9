//! Who is dominant, as a whole conference finds it, and what follows from it.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use althing_colibri::BridgeMessage;
use althing_forwarding::EndpointKey;
use althing_forwarding::SlotMode::{Plain, Rewriting};
use common::*;
use std::time::Duration;

/// Levels (0 silent to 127) of ann and bob after so many seconds.
type Levels = fn(f64) -> (u8, u8);

/// Who became dominant when, in milliseconds; somebody is from the first packet on.
fn changes(seconds: u64, levels: Levels) -> Vec<(u64, String)> {
    let mut room = Room::new();
    let ann = room.join("ann", Plain);
    let bob = room.join("bob", Plain);
    room.signal(ann, 100, &["a0"]);
    room.signal(bob, 200, &["a0"]);
    let start = room.now;
    let mut changes = Vec::new();
    for frame in 0..seconds * 50 {
        let (a, b) = levels(frame as f64 * 0.02);
        let number = frame as u16;
        for (key, ssrc, level) in [(ann, 100, a), (bob, 200, b)] {
            let time = 960 * u32::from(number);
            room.rtp(key, &opus(ssrc, number, time, 127 - level));
        }
        room.pass_ms(20);
        for message in room.heard(bob) {
            if let BridgeMessage::DominantSpeakerEndpointChangeEvent {
                dominant_speaker, ..
            } = message
            {
                let at = room.now.duration_since(start) - Duration::from_millis(20);
                changes.push((at.as_millis() as u64, dominant_speaker.to_string()));
            }
        }
    }
    changes
}

fn named(changes: &[(u64, String)]) -> Vec<(u64, &str)> {
    changes
        .iter()
        .map(|(at, who)| (*at, who.as_str()))
        .collect()
}

#[test]
fn vector_1_a_new_speaker_takes_over_at_the_tick_after_half_a_second() {
    let found = changes(8, |t| match t {
        t if t < 0.2 => (20, 20),
        t if t < 3.0 => (100, 20),
        _ => (20, 100),
    });
    assert_eq!(named(&found), [(280, "ann"), (3580, "bob")]);
    let quiet = changes(20, |t| match t {
        t if t < 0.2 => (20, 20),
        t if t < 3.0 => (100, 20),
        _ => (20, 75),
    });
    assert_eq!(named(&quiet), [(280, "ann")]);
}

#[test]
fn vector_2_equal_voices_and_constant_tones_change_nothing() {
    let equal = changes(8, |t| if t < 0.2 { (20, 20) } else { (100, 100) });
    assert_eq!(named(&equal), [(280, "ann")]);
    let tone = changes(8, |_| (20, 100));
    assert_eq!(named(&tone), [(280, "ann")]);
}

/// Ann, bob and cat with cameras; cat begins to speak. Returns the room and cat.
fn cat_speaks(stage: Option<&str>) -> (Room, EndpointKey) {
    let mut room = Room::new();
    let keys = ["ann", "bob", "cat"].map(|id| room.join(id, Rewriting));
    for (i, key) in keys.into_iter().enumerate() {
        room.signal(key, 100 * (i as u32 + 1), &["a0", "v0"]);
        room.conference
            .set_rtt(key, Duration::from_millis(40 * (i as u64 + 1)));
    }
    if let Some(stage) = stage {
        let wish = format!(
            r#"{{"colibriClass":"ReceiverVideoConstraints","onStageSources":["{stage}"]}}"#
        );
        room.say(keys[1], &wish);
    }
    let [ann, _, cat] = keys;
    for frame in 0..500u16 {
        let level = if frame < 50 { 107 } else { 30 };
        let time = 960 * u32::from(frame);
        room.rtp(ann, &opus(100, frame, time, 107));
        room.rtp(cat, &opus(300, frame, time, level));
        room.plis();
        room.pass_ms(20);
        let dominant = room.conference.dominant_speaker();
        if dominant.is_some_and(|id| id.as_str() == "cat") {
            return (room, cat);
        }
    }
    panic!("cat never became dominant");
}

#[test]
fn a_new_speaker_is_asked_for_a_keyframe_when_receivers_are_about_to_look() {
    let (mut room, cat) = cat_speaks(Some("ann-v0"));
    let found = room.now;
    // The slowest receiver is bob: 80 ms; cat itself is at 120.
    room.pass_ms(20);
    let asked = room.plis();
    assert_eq!(asked, [(cat, 302)]);
    assert!(room.now.duration_since(found) <= Duration::from_millis(20));
    let counters = room.conference.counters();
    assert_eq!(
        counters.preemptive_keyframes, 2,
        "ann's, at the beginning, and cat's"
    );
}

#[test]
fn nobody_is_asked_when_no_camera_is_on_stage() {
    for stage in [None, Some("nobody-v0")] {
        let (mut room, _) = cat_speaks(stage);
        room.pass_ms(500);
        assert_eq!(room.plis(), []);
        let counters = room.conference.counters();
        assert_eq!(counters.preemptive_keyframes, 0);
        assert!(counters.preemptive_keyframes_suppressed >= 1);
    }
}

#[test]
fn when_the_dominant_speaker_leaves_whoever_spoke_before_comes_back() {
    let mut room = Room::new();
    let keys = ["dan", "eve", "bob", "cyd"].map(|id| room.join(id, Plain));
    for (i, key) in (0u32..).zip(&keys) {
        room.signal(*key, 100 * (i + 1), &["a0"]);
    }
    let mut frame = 0u16;
    let mut seconds = |room: &mut Room, of: u16, speaks: Option<usize>, here: usize| {
        for _ in 0..of * 50 {
            frame += 1;
            for (i, key) in (0u32..).zip(&keys[..here]) {
                let level = if speaks == Some(i as usize) { 27 } else { 107 };
                room.rtp(
                    *key,
                    &opus(100 * (i + 1), frame, 960 * u32::from(frame), level),
                );
            }
            room.pass_ms(20);
        }
        room.conference.dominant_speaker().map(ToString::to_string)
    };
    for (speaker, id) in [(0, "dan"), (1, "eve"), (2, "bob"), (3, "cyd")] {
        let dominant = seconds(&mut room, 3, Some(speaker), 4);
        assert_eq!(dominant.as_deref(), Some(id));
    }
    room.leave(keys[3]);
    let dominant = seconds(&mut room, 3, None, 3);
    assert_eq!(dominant.as_deref(), Some("bob"));
    // And is as easily outdone as ever.
    let dominant = seconds(&mut room, 3, Some(0), 3);
    assert_eq!(dominant.as_deref(), Some("dan"));
}
