//! Floods that only somebody who knows more than a stranger can send: forged checks for a known
//! endpoint, and handshakes without end. Two endpoints go on beside them.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use althing_model::MediaKind;
use support::*;
use tokio::net::UdpSocket;

/// Dropped so far for this reason.
fn dropped(fixture: &Fixture, reason: &str) -> u64 {
    let page = fixture.metrics();
    let name = format!("bridge_packets_dropped_total{{reason=\"{reason}\"}} ");
    let value = page.lines().find_map(|line| line.strip_prefix(&name));
    value
        .unwrap_or_else(|| panic!("no {name}"))
        .parse()
        .unwrap()
}

fn addresses(fixture: &Fixture) -> u64 {
    let page = fixture.metrics();
    let value = page
        .lines()
        .find_map(|l| l.strip_prefix("bridge_addresses "));
    value.unwrap().parse().unwrap()
}

/// One packet of ann's voice arrives at bob.
async fn speak(ann: &mut Peer, bob: &mut Peer, sequence: u16) {
    ann.send_rtp(&audio_header(1001, sequence, 20), &[5; 60])
        .await;
    let heard = bob.next_rtp(1001).await;
    assert!(heard.ends_with(&[5; 60]));
}

async fn pair(fixture: &mut Fixture) -> (Peer, Peer) {
    let mut ann = Peer::join_and_connect(fixture, allocate("c1", "ann00001"), 1).await;
    let mut bob = Peer::join_and_connect(fixture, allocate("c1", "bob00002"), 2).await;
    let mut change = update("c1", "ann00001");
    change.sources = Some(vec![source("ann00001", MediaKind::Audio, 1001, None)]);
    fixture.update(change).await;
    speak(&mut ann, &mut bob, 1).await;
    (ann, bob)
}

/// A Binding request (RFC 8489) for `ufrag`, with an integrity that nobody made.
fn forged_check(ufrag: &str, number: u32) -> Vec<u8> {
    let name = format!("{ufrag}:abcd");
    let padding = name.len().next_multiple_of(4) - name.len();
    let mut message = vec![0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42];
    message.extend([7; 8]);
    message.extend(number.to_be_bytes());
    message.extend([0, 6, 0, u8::try_from(name.len()).unwrap()]);
    message.extend(name.as_bytes());
    message.extend(vec![0; padding]);
    message.extend([0, 8, 0, 20]);
    message.extend([9; 20]);
    let length = u16::try_from(message.len() - 20).unwrap();
    message[2..4].copy_from_slice(&length.to_be_bytes());
    message
}

/// A ClientHello (RFC 6347 §4.2.2) in a record and a fragment of its own.
fn hello(number: u32) -> Vec<u8> {
    let mut hello = vec![22, 254, 253, 0, 0, 0, 0];
    hello.extend(number.to_be_bytes());
    hello.extend([0, 54, 1, 0, 0, 42, 0, 0, 0, 0, 0, 0, 0, 42, 254, 253]);
    hello.extend(number.to_be_bytes());
    hello.extend([3; 28]);
    hello.extend([0, 0, 0, 2, 0xc0, 0x2b, 1, 0]);
    hello
}

#[tokio::test]
async fn forged_checks_for_an_endpoint_open_no_path_and_are_not_answered() {
    let mut fixture = Fixture::start(1).await;
    let (mut ann, mut bob) = pair(&mut fixture).await;
    let before = (dropped(&fixture, "stun_refused"), addresses(&fixture));
    let ufrag = ann.allocated.transport.ufrag.clone();
    let mut strangers = Vec::new();
    for _ in 0..20 {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.connect(ann.bridge_address()).await.unwrap();
        strangers.push(socket);
    }
    for round in 0..40_u32 {
        for (number, stranger) in (0..).zip(&strangers) {
            let check = forged_check(&ufrag, round * 100 + number);
            stranger.send(&check).await.unwrap();
        }
        speak(&mut ann, &mut bob, 2 + u16::try_from(round).unwrap()).await;
    }
    // Refused, or, being more than one endpoint may cost, not even looked at.
    let counted = |fixture: &Fixture| {
        dropped(fixture, "stun_refused") + dropped(fixture, "over_check_rate") - before.0
    };
    fixture.stats_until(|_| counted(&fixture) >= 800).await;
    assert!(dropped(&fixture, "over_check_rate") > 0);
    assert_eq!(addresses(&fixture), before.1);
    for stranger in &strangers {
        assert!(stranger.try_recv(&mut [0; 1_500]).is_err(), "answered");
    }
    speak(&mut ann, &mut bob, 100).await;
    fixture.shutdown().await;
}

#[tokio::test]
async fn handshakes_without_end_hold_up_nobody_else() {
    let mut fixture = Fixture::start(1).await;
    let (mut ann, mut bob) = pair(&mut fixture).await;
    // Connected, and begins anew with each datagram, on a path that is verified.
    let mallory = Peer::join_and_connect(&mut fixture, allocate("c1", "mal00003"), 3).await;
    let before = fixture.stats().await["total_packets_received"].as_u64();
    for number in 0..2_000 {
        mallory.send_raw(&hello(number)).await;
        if number % 100 == 0 {
            let sequence = 2 + u16::try_from(number / 100).unwrap();
            speak(&mut ann, &mut bob, sequence).await;
        }
    }
    fixture
        .stats_until(|stats| stats["total_packets_received"].as_u64() >= before.map(|n| n + 2_000))
        .await;
    speak(&mut ann, &mut bob, 100).await;
    let now = fixture.debug("c1").await;
    assert_eq!(now["endpoints"].as_object().unwrap().len(), 3);
    fixture.shutdown().await;
}
