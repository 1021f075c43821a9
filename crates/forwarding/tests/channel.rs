//! The bridge channel: the test vectors of protocol 3 §12, and routing.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use althing_colibri::BridgeMessage;
use althing_forwarding::SlotMode::{Plain, Rewriting};
use althing_forwarding::{EndpointKey, Settings};
use althing_model::{MediaKinds, Role, VideoType};
use common::*;

fn constraints(body: &str) -> String {
    format!(r#"{{"colibriClass":"ReceiverVideoConstraints",{body}}}"#)
}

/// Ann sends a camera, Bob watches; nothing has been said yet.
fn two() -> (Room, EndpointKey, EndpointKey) {
    let mut room = Room::new();
    let ann = room.join("ann", Rewriting);
    let bob = room.join("bob", Rewriting);
    room.signal(ann, 100, &["v0"]);
    (room, ann, bob)
}

#[test]
fn vector_1_without_constraints_no_video() {
    let (mut room, ann, bob) = two();
    assert_eq!(wanted(&room.heard(ann)), [("ann-v0".into(), 0)]);
    room.pass_ms(500);
    room.rtp(ann, &vp8(100, 1, 0, true));
    assert_eq!(room.sent_to(bob), []);
}

#[test]
fn vectors_2_to_5_heights_follow_the_constraints() {
    let (mut room, ann, bob) = two();
    room.heard(ann);
    room.heard(bob);
    room.say(bob, &constraints(r#""lastN":-1"#));
    assert_eq!(wanted(&room.heard(ann)), [("ann-v0".into(), 180)]);
    assert_eq!(forwarded(&room.heard(bob)).unwrap(), ["ann-v0"]);

    room.say(
        bob,
        &constraints(r#""constraints":{"ann-v0":{"maxHeight":720}}"#),
    );
    assert_eq!(wanted(&room.heard(ann)), [("ann-v0".into(), 720)]);
    assert_eq!(forwarded(&room.heard(bob)), None, "the set is the same");

    room.say(bob, &constraints(r#""constraints":{}"#));
    assert_eq!(wanted(&room.heard(ann)), [("ann-v0".into(), 180)]);

    room.say(bob, &constraints(r#""lastN":0"#));
    assert_eq!(wanted(&room.heard(ann)), [("ann-v0".into(), 0)]);
    assert_eq!(forwarded(&room.heard(bob)).unwrap(), [""; 0]);
}

#[test]
fn last_n_zero_leaves_audio_alone() {
    let mut room = Room::new();
    let ann = room.join("ann", Plain);
    let bob = room.join("bob", Plain);
    room.signal(ann, 100, &["a0", "v0"]);
    room.say(bob, &constraints(r#""lastN":0"#));
    room.rtp(ann, &opus(100, 1, 0, 30));
    room.rtp(ann, &vp8(102, 1, 0, true));
    let sent = room.sent_to(bob);
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].rtp().ssrc().0, 100);
}

#[test]
fn vector_6_a_switched_off_source_takes_no_place() {
    let mut room = Room::new();
    let ann = room.join("ann", Rewriting);
    let cat = room.join("cat", Rewriting);
    let bob = room.join("bob", Rewriting);
    room.signal(ann, 100, &["v0"]);
    room.signal(cat, 200, &["v0"]);
    room.say(
        bob,
        &constraints(
            r#""lastN":1,"onStageSources":["ann-v0"],"constraints":{"ann-v0":{"maxHeight":-1}}"#,
        ),
    );
    assert_eq!(forwarded(&room.heard(bob)).unwrap(), ["ann-v0"]);
    assert_eq!(wanted(&room.heard(ann)).last().unwrap().1, -1);
    room.say(
        ann,
        r#"{"colibriClass":"SourceVideoTypeMessage","sourceName":"ann-v0","videoType":"none"}"#,
    );
    assert_eq!(forwarded(&room.heard(bob)).unwrap(), ["cat-v0"]);
    assert_eq!(wanted(&room.heard(ann)).last().unwrap().1, 0);
    assert_eq!(wanted(&room.heard(cat)).last().unwrap().1, 180);
}

#[test]
fn vector_8_broadcasts_carry_their_true_sender() {
    let mut room = Room::new();
    let ann = room.join("ann", Rewriting);
    let bob = room.join("bob", Rewriting);
    let cat = room.join("cat", Rewriting);
    for key in [ann, bob, cat] {
        room.heard(key);
    }
    room.say(
        ann,
        r#"{"colibriClass":"EndpointMessage","to":"","from":"evil","msgPayload":{"x":1},"foo":2}"#,
    );
    assert_eq!(room.heard(ann), []);
    for key in [bob, cat] {
        let heard = room.heard(key);
        let [BridgeMessage::EndpointMessage(m)] = &heard[..] else {
            panic!("{heard:?}")
        };
        assert_eq!(m.from.as_ref().unwrap().as_str(), "ann");
        assert_eq!(m.rest["foo"], 2);
        assert_eq!(m.payload().unwrap()["x"], 1);
    }
}

#[test]
fn vector_9_an_unknown_receiver_is_no_harm_and_a_known_one_alone_hears() {
    let mut room = Room::new();
    let ann = room.join("ann", Rewriting);
    let bob = room.join("bob", Rewriting);
    let cat = room.join("cat", Rewriting);
    for key in [ann, bob, cat] {
        room.heard(key);
    }
    room.say(
        ann,
        r#"{"colibriClass":"EndpointMessage","to":"zed","msgPayload":{}}"#,
    );
    assert_eq!(room.conference.counters().messages_dropped, 1);
    room.say(
        ann,
        r#"{"colibriClass":"EndpointMessage","to":"bob","msgPayload":{}}"#,
    );
    assert_eq!(room.heard(bob).len(), 1);
    assert_eq!(room.heard(cat), []);
}

#[test]
fn a_flood_of_messages_is_cut() {
    let mut room = Room::new();
    let ann = room.join("ann", Rewriting);
    let bob = room.join("bob", Rewriting);
    room.heard(bob);
    for _ in 0..1000 {
        room.say(
            ann,
            r#"{"colibriClass":"EndpointMessage","to":"bob","msgPayload":{}}"#,
        );
    }
    assert_eq!(room.heard(bob).len(), 200);
    // What steers its own video is not starved by that.
    room.say(ann, WANT_ALL);
    room.signal(bob, 100, &["v0"]);
    assert_eq!(forwarded(&room.heard(ann)).unwrap(), ["bob-v0"]);
}

#[test]
fn visitors_hear_but_do_not_speak() {
    let mut room = Room::new();
    let ann = room.join("ann", Rewriting);
    let vic = room.add_with("vic", Plain, Role::Visitor, MediaKinds::ALL);
    room.conference.channel_opened(room.now, vic);
    room.drain();
    room.heard(ann);
    room.heard(vic);
    room.say(
        vic,
        r#"{"colibriClass":"EndpointMessage","to":"","msgPayload":{}}"#,
    );
    room.say(vic, r#"{"colibriClass":"EndpointStats","bitrate":{}}"#);
    assert_eq!(room.heard(ann), []);
    room.say(
        ann,
        r#"{"colibriClass":"EndpointMessage","to":"","msgPayload":{}}"#,
    );
    assert_eq!(room.heard(vic).len(), 1);
}

#[test]
fn vector_10_a_type_may_come_before_its_source() {
    let (mut room, ann, bob) = two();
    room.say(bob, WANT_ALL);
    room.say(
        ann,
        r#"{"colibriClass":"SourceVideoTypeMessage","sourceName":"ann-v1","videoType":"desktop"}"#,
    );
    room.heard(bob);
    room.signal(ann, 100, &["v0", "v1"]);
    let heard = room.heard(bob);
    let slot = heard
        .iter()
        .find_map(|m| match m {
            BridgeMessage::VideoSourcesMap { mapped_sources } => {
                mapped_sources.iter().find(|s| s.source == name("ann-v1"))
            }
            _ => None,
        })
        .unwrap();
    assert_eq!(slot.video_type, VideoType::Desktop);
}

#[test]
fn nobody_sets_the_type_of_another_ones_source() {
    let (mut room, _, bob) = two();
    room.say(bob, WANT_ALL);
    room.heard(bob);
    room.say(
        bob,
        r#"{"colibriClass":"SourceVideoTypeMessage","sourceName":"ann-v0","videoType":"none"}"#,
    );
    assert_eq!(forwarded(&room.heard(bob)), None);
    assert_eq!(room.conference.counters().messages_dropped, 1);
}

#[test]
fn vector_13_at_most_fifty_slots() {
    let mut room = Room::new();
    let bob = room.join("bob", Rewriting);
    room.say(bob, WANT_ALL);
    for i in 0..51u32 {
        let key = room.join(&format!("e{i}"), Rewriting);
        room.signal(key, 1000 + 10 * i, &["v0"]);
    }
    let heard = room.heard(bob);
    assert_eq!(video_map(&heard).len(), 50);
    assert_eq!(forwarded(&heard).unwrap().len(), 50);
    room.pass_ms(10_000);
    assert_eq!(room.heard(bob), [], "and no storm of remaps");
}

#[test]
fn vector_14_a_recent_speaker_leaves() {
    let mut room = Room::new();
    let ann = room.join("ann", Rewriting);
    let bob = room.join("bob", Rewriting);
    room.signal(ann, 100, &["a0"]);
    room.signal(bob, 200, &["a0"]);
    speak(&mut room, &[(bob, 200)], &[(ann, 100)], 0);
    speak(&mut room, &[(ann, 100)], &[(bob, 200)], 200);
    assert_eq!(room.conference.dominant_speaker().unwrap().as_str(), "ann");
    let last = dominant(&room.heard(ann)).unwrap();
    assert_eq!(last, ("ann".into(), vec!["bob".to_owned()]));
    room.leave(bob);
    let last = dominant(&room.heard(ann)).unwrap();
    assert_eq!(last, ("ann".into(), vec![]));
}

/// Four seconds in which some are loud and others quiet.
fn speak(room: &mut Room, loud: &[(EndpointKey, u32)], quiet: &[(EndpointKey, u32)], from: u16) {
    for frame in from..from + 200 {
        for (list, level) in [(loud, 27), (quiet, 107)] {
            for &(key, ssrc) in list {
                // The first frames are noise for everybody.
                let level = if frame < 10 { 107 } else { level };
                room.rtp(key, &opus(ssrc, frame, 960 * u32::from(frame), level));
            }
        }
        room.pass_ms(20);
    }
}

fn dominant(messages: &[BridgeMessage]) -> Option<(String, Vec<String>)> {
    messages.iter().rev().find_map(|m| match m {
        BridgeMessage::DominantSpeakerEndpointChangeEvent {
            dominant_speaker,
            previous_speakers,
            ..
        } => Some((
            dominant_speaker.to_string(),
            previous_speakers.iter().map(ToString::to_string).collect(),
        )),
        _ => None,
    })
}

#[test]
fn last_n_follows_speech() {
    let mut room = Room::new();
    let ann = room.join("ann", Rewriting);
    let cat = room.join("cat", Rewriting);
    let bob = room.join("bob", Rewriting);
    room.signal(ann, 100, &["a0", "v0"]);
    room.signal(cat, 200, &["a0", "v0"]);
    room.say(bob, &constraints(r#""lastN":1"#));
    assert_eq!(forwarded(&room.heard(bob)).unwrap(), ["ann-v0"]);
    speak(&mut room, &[(cat, 200)], &[(ann, 100)], 0);
    assert_eq!(forwarded(&room.heard(bob)).unwrap(), ["cat-v0"]);
}

#[test]
fn vector_15_constraints_outlive_the_channel_and_all_is_said_again() {
    let (mut room, ann, bob) = two();
    room.say(
        bob,
        &constraints(r#""constraints":{"ann-v0":{"maxHeight":360}}"#),
    );
    let before = video_map(&room.heard(bob));
    room.conference.channel_closed(room.now, bob);
    room.heard(ann);
    let cat = room.join("cat", Rewriting);
    room.signal(cat, 300, &["a0", "v0"]);
    assert_eq!(wanted(&room.heard(cat)).last().unwrap().1, 180);
    assert_eq!(wanted(&room.heard(ann)), [], "still 360");
    assert_eq!(room.heard(bob), [], "there is no channel");
    room.conference.set_active(room.now, ann, false);
    room.conference.channel_opened(room.now, bob);
    room.drain();
    let heard = room.heard(bob);
    assert!(matches!(heard[0], BridgeMessage::ServerHello { .. }));
    assert_eq!(forwarded(&heard).unwrap(), ["ann-v0", "cat-v0"]);
    let after = video_map(&heard);
    assert_eq!(after["ann-v0"], before["ann-v0"]);
    assert!(after.contains_key("cat-v0"));
    assert!(audio_map(&heard).contains_key("cat-a0"));
    assert!(
        heard.contains(&BridgeMessage::EndpointConnectivityStatusChangeEvent {
            endpoint: althing_model::EndpointId::new("ann").unwrap(),
            active: false,
        })
    );
}

#[test]
fn own_sources_are_told_again_on_a_new_channel() {
    let (mut room, ann, bob) = two();
    room.say(bob, WANT_ALL);
    room.heard(ann);
    room.conference.channel_opened(room.now, ann);
    room.drain();
    assert_eq!(wanted(&room.heard(ann)), [("ann-v0".into(), 180)]);
}

#[test]
fn vector_17_activity_is_told_to_the_others_once() {
    let (mut room, ann, bob) = two();
    room.heard(ann);
    room.heard(bob);
    room.conference.set_active(room.now, ann, false);
    room.conference.set_active(room.now, ann, false);
    room.drain();
    assert_eq!(room.heard(ann), []);
    let heard = room.heard(bob);
    assert_eq!(heard.len(), 1);
    assert!(heard[0].to_json().contains(r#""active":"false""#));
}

#[test]
fn who_went_silent_and_is_removed_may_come_back_by_the_same_name() {
    let (mut room, ann, bob) = two();
    room.conference.set_active(room.now, ann, false);
    room.drain();
    room.heard(bob);
    room.conference.remove_endpoint(room.now, ann);
    room.drain();
    let told = |heard: &[BridgeMessage]| -> Vec<bool> {
        heard
            .iter()
            .filter_map(|message| match message {
                BridgeMessage::EndpointConnectivityStatusChangeEvent { active, .. } => {
                    Some(*active)
                }
                _ => None,
            })
            .collect()
    };
    assert_eq!(told(&room.heard(bob)), [true]);
    let ann = room.join("ann", Rewriting);
    room.conference.remove_endpoint(room.now, ann);
    room.drain();
    assert!(told(&room.heard(bob)).is_empty());
}

#[test]
fn audio_can_be_unsubscribed() {
    let mut room = Room::new();
    let ann = room.join("ann", Plain);
    let bob = room.join("bob", Plain);
    room.signal(ann, 100, &["a0"]);
    room.say(bob, r#"{"colibriClass":"ReceiverAudioSubscription"}"#);
    room.rtp(ann, &opus(100, 1, 0, 30));
    assert_eq!(room.sent_to(bob), []);
    room.say(
        bob,
        r#"{"colibriClass":"ReceiverAudioSubscription","all":false,"include":["ann-a0"]}"#,
    );
    room.rtp(ann, &opus(100, 2, 960, 30));
    assert_eq!(room.sent_to(bob).len(), 1);
    room.say(
        bob,
        r#"{"colibriClass":"ReceiverAudioSubscription","all":true,"exclude":["ann-a0"]}"#,
    );
    room.rtp(ann, &opus(100, 3, 1920, 30));
    assert_eq!(room.sent_to(bob), []);
}

#[test]
fn in_a_large_room_stats_reach_those_who_look() {
    let settings = {
        let mut s = Settings::default();
        s.stats_filter_threshold = 2;
        s
    };
    let mut room = Room::with(settings);
    let ann = room.join("ann", Rewriting);
    let bob = room.join("bob", Rewriting);
    let cat = room.join("cat", Rewriting);
    room.signal(ann, 100, &["v0"]);
    room.say(
        bob,
        &constraints(
            r#""defaultConstraints":{"maxHeight":0},"constraints":{"ann-v0":{"maxHeight":180}}"#,
        ),
    );
    room.heard(bob);
    room.heard(cat);
    room.say(
        ann,
        r#"{"colibriClass":"EndpointStats","connectionQuality":98}"#,
    );
    let heard = room.heard(bob);
    let [BridgeMessage::EndpointStats(stats)] = &heard[..] else {
        panic!("{heard:?}")
    };
    assert_eq!(stats.from.as_ref().unwrap().as_str(), "ann");
    assert_eq!(stats.rest["connectionQuality"], 98);
    assert_eq!(room.heard(cat), []);
}
