//! One conference on two workers, over loopback sockets: whatever crosses between endpoints of one
//! worker crosses between those of two.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use althing_control::{BridgeReply, BridgeRequest, EndpointState};
use althing_model::{ConferenceId, MediaKinds};
use althing_rtp::rtcp::{self, Compound, Rtcp};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;
use support::*;

const C: &str = "c1";

/// A bridge of two workers, which puts one endpoint of a conference on its home and further ones
/// where fewest are.
async fn split() -> Fixture {
    Fixture::start_with(|settings| {
        settings.workers = 2;
        settings.split_above = 1;
    })
    .await
}

/// Whether the channel says that this endpoint is there or not, next time it says anything of it.
async fn is_said_active(channel: &mut WebSocket, endpoint: &str) -> bool {
    loop {
        let message = message_of(channel, "EndpointConnectivityStatusChangeEvent").await;
        if message["endpoint"] == endpoint {
            return message["active"] == "true";
        }
    }
}

fn want(height: i32) -> String {
    json!({
        "colibriClass": "ReceiverVideoConstraints",
        "lastN": -1,
        "defaultConstraints": {"maxHeight": height},
    })
    .to_string()
}

/// The worker of each endpoint.
async fn workers(fixture: &Fixture) -> BTreeMap<String, u64> {
    let detail = fixture.debug(C).await;
    let endpoints = detail["endpoints"].as_object().unwrap();
    endpoints
        .iter()
        .map(|(id, endpoint)| (id.clone(), endpoint["worker"].as_u64().unwrap()))
        .collect()
}

async fn constraint(channel: &mut WebSocket, height: i32) {
    loop {
        let message = message_of(channel, "SenderSourceConstraints").await;
        if message["maxHeight"] == height {
            return;
        }
    }
}

/// Sends speech until it arrives: the other part may not have heard of the source before.
async fn speaks(from: &mut Peer, to: &mut Peer, ssrc: u32, numbers: &mut u16) {
    let heard = |to: &Peer| {
        let mut packets = to.received.iter();
        packets.any(|packet| packet[8..12] == ssrc.to_be_bytes())
    };
    to.received.clear();
    while !heard(to) {
        *numbers += 1;
        from.send_rtp(&audio_header(ssrc, *numbers, 20), &[0x5a; 80])
            .await;
        from.drain().await;
        to.take_one().await;
    }
}

/// Frames of `from` reach `to`, which needs keyframes for it.
async fn sees(from: &mut Peer, to: &mut Peer, ssrc: u32) {
    // A packet that no picture can begin with: the receiver lacks a keyframe, and its part asks
    // the sender's, which asks the sender.
    let mut sequence = 100;
    let asked = |peer: &Peer| {
        let packets = peer.rtcp.iter().flat_map(|packet| Compound::new(packet));
        let mut items = packets.filter_map(Result::ok);
        items.any(|item| matches!(item, Rtcp::Pli { media, .. } if media.0 == ssrc))
    };
    while !asked(from) {
        let header = video_header(ssrc, sequence, u32::from(sequence) * 3000, true);
        from.send_rtp(&header, &[0x10, 0x01, 0, 0]).await;
        sequence += 1;
        from.take_one().await;
    }
    for _ in 0..3 {
        let header = video_header(ssrc, sequence, u32::from(sequence) * 3000, true);
        from.send_rtp(&header, &vp8_keyframe(sequence, 1100)).await;
        sequence += 1;
    }
    for _ in 0..3 {
        let packet = to.next_rtp(ssrc).await;
        assert_eq!(packet.len(), 12 + 1100);
    }
    // And when the receiver itself asks.
    from.rtcp.clear();
    let mut pli = Vec::new();
    rtcp::pli(&mut pli, althing_model::Ssrc(7), althing_model::Ssrc(ssrc));
    while !asked(from) {
        to.send_rtcp(&pli).await;
        from.take_one().await;
    }
}

#[tokio::test]
async fn audio_and_video_cross_both_ways_and_keyframes_are_asked_for_across() {
    let mut fixture = split().await;
    let (mut ann, mut ann_channel) = member(&mut fixture, "ann00001", 1001).await;
    let (mut bob, mut bob_channel) = member(&mut fixture, "bob00002", 2001).await;
    let places = workers(&fixture).await;
    assert_ne!(places["ann00001"], places["bob00002"]);

    let mut numbers = 0;
    speaks(&mut ann, &mut bob, 1001, &mut numbers).await;
    speaks(&mut bob, &mut ann, 2001, &mut numbers).await;

    // Nobody has asked for a picture, and none is sent for.
    send_message(&mut bob_channel, &want(360)).await;
    constraint(&mut ann_channel, 360).await;
    send_message(&mut ann_channel, &want(720)).await;
    constraint(&mut bob_channel, 720).await;
    sees(&mut ann, &mut bob, 1002).await;
    sees(&mut bob, &mut ann, 2002).await;
    fixture.shutdown().await;
}

#[tokio::test]
async fn a_sender_hears_the_greatest_height_of_both_workers() {
    let mut fixture = split().await;
    let (_ann, mut ann) = member(&mut fixture, "ann00001", 1001).await;
    let (_bob, bob) = member(&mut fixture, "bob00002", 2001).await;
    let (_cyd, cyd) = member(&mut fixture, "cyd00003", 3001).await;
    let (_dan, dan) = member(&mut fixture, "dan00004", 4001).await;
    let places = workers(&fixture).await;
    let count = |worker| places.values().filter(|w| **w == worker).count();
    assert_eq!((count(0), count(1)), (2, 2));
    let mut watchers = [bob, cyd, dan];
    for (who, height, told) in [
        (0, 180, 180),
        (1, 720, 720),
        (2, 1080, 1080),
        (2, 180, 720),
        (1, 0, 180),
    ] {
        send_message(&mut watchers[who], &want(height)).await;
        constraint(&mut ann, told).await;
    }
    fixture.shutdown().await;
}

#[tokio::test]
async fn messages_cross_once_and_whether_somebody_left_is_known_everywhere() {
    let mut fixture = split().await;
    let (_ann, mut ann) = member(&mut fixture, "ann00001", 1001).await;
    let (_bob, mut bob) = member(&mut fixture, "bob00002", 2001).await;
    let (_cyd, mut cyd) = member(&mut fixture, "cyd00003", 3001).await;
    let (_dan, mut dan) = member(&mut fixture, "dan00004", 4001).await;
    let say = |to: &str, n: u64| {
        json!({"colibriClass": "EndpointMessage", "to": to, "msgPayload": {"n": n}}).to_string()
    };
    send_message(&mut ann, &say("", 1)).await;
    for id in ["bob00002", "cyd00003", "dan00004"] {
        send_message(&mut ann, &say(id, 2)).await;
    }
    // Each is heard once: what comes after the first is the second.
    for channel in [&mut bob, &mut cyd, &mut dan] {
        for n in [1, 2] {
            let message = message_of(channel, "EndpointMessage").await;
            assert_eq!(message["from"], "ann00001");
            assert_eq!(message["msgPayload"]["n"], n);
        }
    }
    let stats = fixture.stats().await;
    assert_eq!(stats["conferences"], 1);
    assert_eq!(stats["endpoints"], 4);
    assert_eq!(stats["largest_conference"], 4);
    assert_eq!(stats["total_conferences_created"], 1);
    let detail = fixture.debug(C).await;
    assert_eq!(detail["endpoints"].as_object().unwrap().len(), 4);
    let away = if detail["worker"] == 0 { "1" } else { "0" };
    assert!(detail["parts"][away]["counters"].is_object(), "{detail:#}");
    let list: Value = serde_json::from_str(&fixture.admin("/debug").await.1).unwrap();
    let list = list.as_array().unwrap();
    assert_eq!(list.len(), 1);
    assert_eq!(list[0]["endpoints"], 4);

    // Everybody of the other worker leaves; its part ends, and the conference goes on.
    let places = workers(&fixture).await;
    let home = detail["worker"].as_u64().unwrap();
    for (id, _) in places.iter().filter(|(_, worker)| **worker != home) {
        assert_eq!(fixture.expire(C, id).await, BridgeReply::Done);
    }
    let gone = |stats: &Value| stats["largest_conference"] == 2 && stats["endpoints"] == 2;
    let stats = fixture.stats_until(gone).await;
    assert_eq!(stats["conferences"], 1);
    let until = std::time::Instant::now() + PATIENCE;
    while !fixture.debug(C).await["parts"].is_null() {
        assert!(std::time::Instant::now() < until, "the part has not ended");
    }
    let end = BridgeRequest::ExpireConference {
        conference: ConferenceId::new(C).unwrap(),
    };
    assert_eq!(fixture.request(&end).await, BridgeReply::Done);
    let stats = fixture.stats().await;
    assert_eq!(
        (&stats["conferences"], &stats["endpoints"]),
        (&json!(0), &json!(0))
    );
    assert_eq!(stats["total_conferences_completed"], 1);
    fixture.shutdown().await;
}

#[tokio::test]
async fn a_whole_conference_ends_on_both_workers() {
    let mut fixture = split().await;
    let mut channels = Vec::new();
    for (i, id) in ["ann00001", "bob00002", "cyd00003"].iter().enumerate() {
        channels.push(member(&mut fixture, id, 1001 + 1000 * i as u32).await);
    }
    let end = BridgeRequest::ExpireConference {
        conference: ConferenceId::new(C).unwrap(),
    };
    assert_eq!(fixture.request(&end).await, BridgeReply::Done);
    for (_, channel) in &mut channels {
        assert_eq!(close_frame(channel).await.0, 1001);
    }
    fixture.stats_until(|stats| stats["endpoints"] == 0).await;
    // The room begins again, and all of it is there.
    member(&mut fixture, "ann00001", 1001).await;
    member(&mut fixture, "bob00002", 2001).await;
    assert_eq!(workers(&fixture).await.len(), 2);
    fixture.shutdown().await;
}

#[tokio::test]
async fn muting_by_a_moderator_reaches_the_other_worker() {
    let mut fixture = split().await;
    let (mut ann, _ann) = member(&mut fixture, "ann00001", 1001).await;
    let (mut bob, _bob) = member(&mut fixture, "bob00002", 2001).await;
    let mut numbers = 0;
    speaks(&mut ann, &mut bob, 1001, &mut numbers).await;
    let mut change = update(C, "ann00001");
    change.may_send = Some(MediaKinds::NONE);
    assert_eq!(fixture.update(change).await, BridgeReply::Done);
    let before = relayed(&fixture);
    for _ in 0..10 {
        numbers += 1;
        ann.send_rtp(&audio_header(1001, numbers, 20), &[0x5a; 80])
            .await;
    }
    let dropped = |stats: &Value| stats["packets_dropped"]["forbidden"] == 10;
    fixture.stats_until(dropped).await;
    assert_eq!(relayed(&fixture), before, "nothing crosses");
    let mut change = update(C, "ann00001");
    change.may_send = Some(MediaKinds::ALL);
    assert_eq!(fixture.update(change).await, BridgeReply::Done);
    speaks(&mut ann, &mut bob, 1001, &mut numbers).await;
    fixture.shutdown().await;
}

fn relayed(fixture: &Fixture) -> u64 {
    let metrics = fixture.metrics();
    let line = metrics
        .lines()
        .find(|line| line.starts_with("bridge_relayed_packets_total"));
    let line = line.unwrap_or_else(|| panic!("{metrics}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn who_comes_back_by_the_same_id_is_one_person_everywhere() {
    let mut fixture = split().await;
    let (mut ann, _ann) = member(&mut fixture, "ann00001", 1001).await;
    let (mut bob, _bob) = member(&mut fixture, "bob00002", 2001).await;
    let mut numbers = 0;
    speaks(&mut ann, &mut bob, 1001, &mut numbers).await;
    let before = workers(&fixture).await;
    let (mut ann, _ann) = member(&mut fixture, "ann00001", 1001).await;
    assert_eq!(workers(&fixture).await, before);
    let mut numbers = 0;
    speaks(&mut ann, &mut bob, 1001, &mut numbers).await;
    speaks(&mut bob, &mut ann, 2001, &mut numbers).await;
    assert_eq!(fixture.stats().await["largest_conference"], 2);
    fixture.shutdown().await;
}

/// Speaks until nobody waits for it any more.
async fn speaks_on(peer: &mut Peer, ssrc: u32, number: &mut u16) -> std::convert::Infallible {
    loop {
        *number += 1;
        let header = audio_header(ssrc, *number, 20);
        peer.send_rtp(&header, &[0x5a; 80]).await;
        peer.take_one().await;
    }
}

#[tokio::test]
async fn who_vanishes_without_a_word_is_missed_on_the_other_worker_too() {
    let mut fixture = Fixture::start_with(|settings| {
        settings.workers = 2;
        settings.split_above = 1;
        settings.patience.inactive_after = Duration::from_millis(500);
        settings.patience.expire_after = Duration::from_secs(2);
    })
    .await;
    let (mut ann, mut ann_channel) = member(&mut fixture, "ann00001", 1001).await;
    let mut number = 0;
    let (bob, bob_channel) = tokio::select! {
        bob = member(&mut fixture, "bob00002", 2001) => bob,
        never = speaks_on(&mut ann, 1001, &mut number) => match never {},
    };
    let places = workers(&fixture).await;
    assert_ne!(places["ann00001"], places["bob00002"]);
    // Bob's socket stays open and says nothing more; Ann speaks on, and is told of it.
    let missed = async {
        let told = async { while is_said_active(&mut ann_channel, "bob00002").await {} };
        let expired = async {
            loop {
                let (who, state) = fixture.event().await;
                if who == "bob00002" {
                    return state;
                }
            }
        };
        tokio::join!(told, expired).1
    };
    let state = tokio::select! {
        state = missed => state,
        never = speaks_on(&mut ann, 1001, &mut number) => match never {},
    };
    assert_eq!(state, EndpointState::Expired);
    // Nothing is left of him anywhere; his socket was there all the time.
    let places = workers(&fixture).await;
    assert_eq!(places.keys().collect::<Vec<_>>(), ["ann00001"]);
    drop((bob, bob_channel));
    fixture.shutdown().await;
}
