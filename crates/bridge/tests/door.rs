//! Garbage at the UDP door: it is counted, nobody is answered, and nobody else notices.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use althing_control::BridgeReply;
use althing_model::{Entropy, MediaKind, SeededEntropy};
use serde_json::Value;
use support::*;
use tokio::net::UdpSocket;

async fn meeting(fixture: &mut Fixture) -> (Peer, Peer) {
    let ann = Peer::join_and_connect(fixture, allocate("c1", "ann00001"), 1).await;
    let bob = Peer::join_and_connect(fixture, allocate("c1", "bob00002"), 2).await;
    let mut change = update("c1", "ann00001");
    change.sources = Some(vec![source("ann00001", MediaKind::Audio, 1001, None)]);
    assert_eq!(fixture.update(change).await, BridgeReply::Done);
    (ann, bob)
}

fn dropped(stats: &Value, reason: &str) -> u64 {
    stats["packets_dropped"][reason].as_u64().unwrap()
}

#[tokio::test]
async fn strangers_change_nothing() {
    let mut fixture = Fixture::start(1).await;
    let (mut ann, mut bob) = meeting(&mut fixture).await;
    let stranger = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let door = ann.bridge_address();
    let mut entropy = SeededEntropy::new(3);
    for round in 0..300_usize {
        let mut noise: Vec<u8> = (0..=round * 4).map(|_| entropy.next_u64() as u8).collect();
        // Every class of first byte, STUN's cookie now and then.
        noise[0] = [0, 22, 0x80, 0x90, 255][round % 5];
        if round % 10 == 0 && noise.len() > 8 {
            noise[1] = 1;
            noise[4..8].copy_from_slice(&[0x21, 0x12, 0xa4, 0x42]);
        }
        stranger.send_to(&noise, door).await.unwrap();
    }
    let stats = fixture
        .stats_until(|stats| dropped(stats, "unknown_address") >= 300)
        .await;
    assert_eq!(stats["endpoints"], 2);

    ann.send_rtp(&audio_header(1001, 1, 20), &[5; 60]).await;
    bob.next_rtp(1001).await;
    // Not one byte came back.
    let answer = stranger.try_recv(&mut [0; 100]);
    assert_eq!(answer.unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    fixture.shutdown().await;
}

#[tokio::test]
async fn a_check_with_a_wrong_password_opens_no_path() {
    let mut fixture = Fixture::start(1).await;
    let (ann, _bob) = meeting(&mut fixture).await;
    let stranger = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let name = format!("{}:abcd", ann.allocated.transport.ufrag);
    let padded = name.len().next_multiple_of(4);
    let mut stun = vec![0, 1];
    let length = u16::try_from(4 + padded + 24).unwrap();
    stun.extend_from_slice(&length.to_be_bytes());
    stun.extend_from_slice(&[0x21, 0x12, 0xa4, 0x42]);
    stun.extend_from_slice(&[7; 12]);
    stun.extend_from_slice(&[0, 6]);
    stun.extend_from_slice(&u16::try_from(name.len()).unwrap().to_be_bytes());
    stun.extend_from_slice(name.as_bytes());
    stun.resize(20 + 4 + padded, 0);
    // MESSAGE-INTEGRITY of nobody's password.
    stun.extend_from_slice(&[0, 8, 0, 20]);
    stun.extend_from_slice(&[0x5a; 20]);
    let before = fixture.debug("c1").await["endpoints"]["ann00001"]["paths"].clone();
    stranger.send_to(&stun, ann.bridge_address()).await.unwrap();
    fixture
        .stats_until(|stats| dropped(stats, "stun_refused") + dropped(stats, "stun_malformed") == 1)
        .await;
    let detail = fixture.debug("c1").await;
    assert_eq!(detail["endpoints"]["ann00001"]["paths"], before);
    let answer = stranger.try_recv(&mut [0; 100]);
    assert_eq!(answer.unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    fixture.shutdown().await;
}

#[tokio::test]
async fn replayed_and_forged_media_is_dropped() {
    let mut fixture = Fixture::start(1).await;
    let (mut ann, mut bob) = meeting(&mut fixture).await;
    let packet = ann.send_rtp(&audio_header(1001, 1, 20), &[5; 60]).await;
    bob.next_rtp(1001).await;
    for _ in 0..5 {
        ann.send_raw(&packet).await;
    }
    fixture
        .stats_until(|stats| dropped(stats, "replayed") == 5)
        .await;
    let mut forged = ann.seal(&audio_header(1001, 2, 20), &[6; 60]);
    *forged.last_mut().unwrap() ^= 1;
    ann.send_raw(&forged).await;
    fixture
        .stats_until(|stats| dropped(stats, "forged") == 1)
        .await;

    ann.send_rtp(&audio_header(1001, 3, 20), &[8; 60]).await;
    let packet = bob.next_rtp(1001).await;
    assert!(packet.ends_with(&[8; 60]));
    assert!(bob.received.is_empty());
    fixture.shutdown().await;
}

#[tokio::test]
async fn media_before_keys_is_dropped() {
    let mut fixture = Fixture::start(1).await;
    let (mut ann, mut bob) = meeting(&mut fixture).await;
    let early = Peer::join(&fixture, allocate("c1", "cat00003"), 3).await;
    let mut rtp = audio_header(4001, 1, 20);
    rtp.resize(100, 9);
    early.send_raw(&rtp).await;
    fixture
        .stats_until(|stats| dropped(stats, "unknown_address") == 1)
        .await;
    ann.send_rtp(&audio_header(1001, 1, 20), &[5; 60]).await;
    bob.next_rtp(1001).await;
    fixture.shutdown().await;
}
