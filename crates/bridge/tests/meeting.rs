//! Endpoints meet on a real bridge over loopback sockets.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use althing_control::{BridgeReply, EndpointState, RefusalCode};
use althing_model::MediaKind;
use serde_json::json;
use support::*;

#[tokio::test]
async fn two_endpoints_hear_and_see_each_other() {
    let mut fixture = Fixture::start(1).await;
    let mut ann = Peer::join_and_connect(&mut fixture, allocate("c1", "ann00001"), 1).await;
    let mut bob = Peer::join_and_connect(&mut fixture, allocate("c1", "bob00002"), 2).await;

    let mut change = update("c1", "ann00001");
    change.sources = Some(vec![
        source("ann00001", MediaKind::Audio, 1001, None),
        source("ann00001", MediaKind::Video, 1002, Some(1003)),
    ]);
    assert_eq!(fixture.update(change).await, BridgeReply::Done);

    let mut channel = fixture.channel(&bob.allocated).await;
    assert_eq!(
        next_message(&mut channel).await["colibriClass"],
        "ServerHello"
    );
    send_message(
        &mut channel,
        &json!({
            "colibriClass": "ReceiverVideoConstraints",
            "lastN": -1,
            "defaultConstraints": {"maxHeight": 720},
        })
        .to_string(),
    )
    .await;
    loop {
        let message = message_of(&mut channel, "ForwardedSources").await;
        if message["forwardedSources"] == json!(["ann00001-v0"]) {
            break;
        }
    }

    for sequence in 100..110 {
        let payload = [0xa0 + u8::try_from(sequence - 100).unwrap(); 80];
        ann.send_rtp(&audio_header(1001, sequence, 20), &payload)
            .await;
    }
    for expected in 0..10 {
        let packet = bob.next_rtp(1001).await;
        assert_eq!(packet[1] & 0x7f, 111);
        assert!(packet.ends_with(&[0xa0 + expected; 80]));
    }

    for sequence in 0..3_u16 {
        let header = video_header(
            1002,
            7000 + sequence,
            90_000 + u32::from(sequence) * 3000,
            true,
        );
        ann.send_rtp(&header, &vp8_keyframe(sequence, 1200)).await;
    }
    let mut sequences = Vec::new();
    for _ in 0..3 {
        let packet = bob.next_rtp(1002).await;
        assert_eq!(packet[1] & 0x7f, 100);
        assert_eq!(packet.len(), 12 + 1200);
        sequences.push(u16::from_be_bytes([packet[2], packet[3]]));
    }
    assert_eq!(sequences[1], sequences[0].wrapping_add(1));
    assert_eq!(sequences[2], sequences[0].wrapping_add(2));

    let detail = fixture.debug("c1").await;
    let (ann_view, bob_view) = (
        &detail["endpoints"]["ann00001"],
        &detail["endpoints"]["bob00002"],
    );
    assert!(ann_view["packets_received"].as_u64().unwrap() >= 13);
    assert!(
        bob_view["packets_sent"].as_u64().unwrap() >= 13,
        "{detail:#}"
    );
    assert_eq!(bob_view["path"], json!({"via": "udp", "family": "ipv4"}));
    assert_eq!(bob_view["channel_open"], true);
    fixture.shutdown().await;
}

#[tokio::test]
async fn a_conference_on_another_worker_is_reached_by_handing_over() {
    let mut fixture = Fixture::start(4).await;
    // Four workers, the kernel and the hash decide: among so many peers some packets land wrong.
    let mut peers = Vec::new();
    for n in 0..8_u64 {
        let conference = format!("c{}", n / 2);
        let request = allocate(&conference, &format!("peer{n}"));
        let peer = Peer::join_and_connect(&mut fixture, request, n + 1).await;
        let mut change = update(&conference, &peer.id);
        let ssrc = 1000 + u32::try_from(n).unwrap();
        change.sources = Some(vec![source(&peer.id, MediaKind::Audio, ssrc, None)]);
        assert_eq!(fixture.update(change).await, BridgeReply::Done);
        peers.push((ssrc, peer));
    }
    for pair in peers.chunks_mut(2) {
        let [(_, sender), (_, receiver)] = pair else {
            panic!("peers come in pairs");
        };
        let ssrc = 1000 + u32::from(sender.id.as_bytes()[4] - b'0');
        for sequence in 1..=20 {
            sender
                .send_rtp(&audio_header(ssrc, sequence, 20), &[7; 60])
                .await;
        }
        for _ in 1..=20 {
            receiver.next_rtp(ssrc).await;
        }
    }
    let metrics = fixture.metrics();
    let handovers = metrics
        .lines()
        .find_map(|line| line.strip_prefix("bridge_handovers_total "))
        .unwrap();
    assert!(handovers.parse::<u64>().unwrap() > 0, "{metrics}");
    let stats = fixture.stats().await;
    assert_eq!(stats["conferences"], 4);
    assert_eq!(stats["endpoints"], 8);
    assert_eq!(stats["packets_dropped"]["unknown_address"], 0, "{stats:#}");

    for (_, peer) in &peers {
        let reply = fixture.expire(&peer.conference, &peer.id).await;
        assert_eq!(reply, BridgeReply::Done);
    }
    let gone = fixture.stats_until(|stats| stats["endpoints"] == 0).await;
    assert_eq!(gone["total_participants"], 8);
    fixture.shutdown().await;
}

#[tokio::test]
async fn an_endpoint_that_comes_again_replaces_itself() {
    let mut fixture = Fixture::start(2).await;
    let first = Peer::join_and_connect(&mut fixture, allocate("c1", "ann00001"), 1).await;
    let mut channel = fixture.channel(&first.allocated).await;
    next_message(&mut channel).await;
    let second = Peer::join_and_connect(&mut fixture, allocate("c1", "ann00001"), 2).await;
    assert_eq!(
        close_frame(&mut channel).await,
        (1001, "endpoint closed".to_owned())
    );
    assert_ne!(
        first.allocated.transport.ufrag,
        second.allocated.transport.ufrag
    );
    // The old password opens nothing any more.
    assert_eq!(refusal(&fixture.url(&first.allocated)).await.0, 403);
    assert_eq!(fixture.stats().await["endpoints"], 1);
    fixture.shutdown().await;
}

#[tokio::test]
async fn requests_that_make_no_sense_are_refused_and_change_nothing() {
    let mut fixture = Fixture::start(2).await;
    let refused = |reply| match reply {
        BridgeReply::Refused { code, .. } => code,
        other => panic!("not refused: {other:?}"),
    };
    let unknown = fixture.update(update("c1", "ann00001")).await;
    assert_eq!(refused(unknown), RefusalCode::Unknown);
    assert_eq!(fixture.expire("c1", "ann00001").await, BridgeReply::Done);

    let allocated = fixture.allocate(allocate("c1", "ann00001")).await;
    let unknown = fixture.update(update("c1", "bob00002")).await;
    assert_eq!(refused(unknown), RefusalCode::Unknown);
    let mut change = update("c1", "ann00001");
    change.transport = Some(althing_control::RemoteTransport {
        ufrag: "abcd".to_owned(),
        password: allocated.transport.password,
        fingerprints: vec![althing_control::Fingerprint {
            algorithm: "sha-256".to_owned(),
            value: "not hex".to_owned(),
        }],
        candidates: Vec::new(),
    });
    assert_eq!(refused(fixture.update(change).await), RefusalCode::Invalid);

    let peer = Peer::join_and_connect(&mut fixture, allocate("c1", "cat00003"), 1).await;
    assert!(peer.transport.is_connected());
    fixture.shutdown().await;
}

#[tokio::test]
async fn nothing_is_left_when_the_bridge_has_ended() {
    let threads = || {
        std::fs::read_dir("/proc/self/task")
            .unwrap()
            .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok())
            .filter(|name| name.starts_with("media-"))
            .count()
    };
    let mut fixture = Fixture::start(2).await;
    let peer = Peer::join_and_connect(&mut fixture, allocate("c9", "ann00001"), 1).await;
    let mut channel = fixture.channel(&peer.allocated).await;
    next_message(&mut channel).await;
    assert!(threads() >= 2);
    let port = peer.bridge_address();
    let ended = tokio::join!(fixture.shutdown(), close_frame(&mut channel));
    assert_eq!(ended.1, (1001, "endpoint closed".to_owned()));
    // The port is free again: no socket of ours is left on it.
    drop(std::net::UdpSocket::bind(port).unwrap());
    // Nobody answers on the bus.
    let request = althing_control::encode(&althing_control::BridgeRequest::ExpireConference {
        conference: althing_model::ConferenceId::new("c9").unwrap(),
    });
    let answer = althing_bus::Bus::request(&*ended.0, "bridge.n1", request.into(), PATIENCE).await;
    assert_eq!(answer, Err(althing_bus::BusError::NoResponder));
}

#[tokio::test]
async fn a_client_that_closes_its_transport_is_no_longer_served() {
    let mut fixture = Fixture::start(1).await;
    let mut ann = Peer::join_and_connect(&mut fixture, allocate("c1", "ann00001"), 1).await;
    ann.transport.close(std::time::Instant::now());
    ann.drain().await;
    let gone = |detail: &serde_json::Value| detail["endpoints"]["ann00001"]["connected"] == false;
    let deadline = std::time::Instant::now() + PATIENCE;
    while !gone(&fixture.debug("c1").await) {
        assert!(std::time::Instant::now() < deadline);
        tokio::task::yield_now().await;
    }
    fixture.shutdown().await;
}

#[tokio::test]
async fn states_of_the_transport_are_told_on_the_bus() {
    let mut fixture = Fixture::start(1).await;
    let mut peer = Peer::join(&fixture, allocate("c1", "ann00001"), 1).await;
    peer.connect().await;
    assert_eq!(
        fixture.event().await,
        ("ann00001".to_owned(), EndpointState::Connected)
    );
    fixture.shutdown().await;
}

#[tokio::test]
async fn redundant_and_encrypted_audio_leave_as_the_endpoints_negotiated() {
    let mut fixture = Fixture::start(1).await;
    let mut encrypts = allocate("c1", "ann00001");
    encrypts.e2ee = true;
    let mut ann = Peer::join_and_connect(&mut fixture, encrypts, 1).await;
    let mut bob = Peer::join_and_connect(&mut fixture, allocate("c1", "bob00002"), 2).await;
    let mut cat = Peer::join_and_connect(&mut fixture, allocate("c1", "cat00003"), 3).await;
    let mut change = update("c1", "ann00001");
    change.sources = Some(vec![source("ann00001", MediaKind::Audio, 1001, None)]);
    assert_eq!(fixture.update(change).await, BridgeReply::Done);
    let mut change = update("c1", "bob00002");
    change.redundant_audio = Some(true);
    assert_eq!(fixture.update(change).await, BridgeReply::Done);
    let detail = fixture.debug("c1").await;
    let sources = &detail["endpoints"]["ann00001"]["media"]["sources"];
    assert_eq!(sources[0]["encrypted"], true, "{detail:#}");

    // One frame from before, and the newest one: RFC 2198.
    let body = [0x80 | 111, 0x0f, 0x00, 2, 111, 1, 1, 9, 9, 9];
    let red = |sequence| {
        let mut header = audio_header(1001, sequence, 20);
        header[1] = 112;
        header
    };
    // As long as it is encrypted, nobody reads in it what is new: to the one it goes byte for byte,
    // to the other not at all.
    ann.send_rtp(&red(100), &body).await;
    let packet = bob.next_rtp(1001).await;
    assert_eq!(packet[1] & 0x7f, 112);
    assert!(packet.ends_with(&body));
    let mut change = update("c1", "ann00001");
    change.e2ee = Some(false);
    assert_eq!(fixture.update(change).await, BridgeReply::Done);
    let mut body = body;
    body[9] = 8;
    ann.send_rtp(&red(101), &body).await;
    let packet = bob.next_rtp(1001).await;
    assert!(packet[1] & 0x7f == 112 && packet.ends_with(&body));
    let packet = cat.next_rtp(1001).await;
    assert_eq!(
        (packet[1] & 0x7f, &packet[packet.len() - 3..]),
        (111, &[9, 9, 8][..])
    );
    fixture.shutdown().await;
}
