//! Strangers and liars: whatever arrives, nothing panics, nothing is answered that should not be,
//! and the reason given is the right one.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use althing_model::{Entropy, SeededEntropy};
use althing_testkit::Weather;
use althing_transport::{DropReason, Output, Path, Received, Transport, Via, binding_ufrag};
use common::*;
use std::time::Duration;

const BRIDGE_ADDRESS: &str = "192.0.2.1:10000";
const CLIENT_ADDRESS: &str = "198.51.100.7:5000";

fn home() -> Path {
    udp(BRIDGE_ADDRESS, CLIENT_ADDRESS)
}

fn elsewhere(port: u16) -> Path {
    let mut path = home();
    path.remote.set_port(port);
    path
}

/// A bridge that knows its client, and the client's first check.
fn awaiting() -> (Pair, Vec<u8>) {
    let mut pair = Pair::new(Weather::FAIR, 1);
    pair.signal(BRIDGE_ADDRESS, CLIENT_ADDRESS);
    pair.drain();
    let (_, check) = pair.sides[CLIENT].sent[0].clone();
    (pair, check)
}

fn drop_reason(
    transport: &mut Transport,
    pair_now: std::time::Instant,
    path: Path,
    datagram: &[u8],
) -> Option<DropReason> {
    let mut copy = datagram.to_vec();
    match transport.handle_datagram(pair_now, path, &mut copy) {
        Received::Dropped(reason) => Some(reason),
        Received::Handled | Received::Rtp(_) | Received::Rtcp(_) => None,
    }
}

fn is_silent(transport: &mut Transport) -> bool {
    transport.poll().is_none()
}

#[test]
fn a_check_changed_in_any_byte_is_not_answered() {
    let (mut pair, check) = awaiting();
    assert_eq!(binding_ufrag(&check), Some(credentials(1).ufrag.as_str()));
    let now = pair.now;
    let bridge = &mut pair.sides[BRIDGE].transport;
    // The last eight bytes are the FINGERPRINT attribute, which only tells STUN from other
    // things and is not signed.
    for position in 0..check.len() - 8 {
        for bit in [0x01, 0x80] {
            let mut changed = check.clone();
            changed[position] ^= bit;
            let reason = drop_reason(bridge, now, home(), &changed);
            assert!(reason.is_some(), "byte {position}");
            assert!(is_silent(bridge), "byte {position}");
        }
    }
    for end in 0..check.len() {
        assert!(drop_reason(bridge, now, home(), &check[..end]).is_some());
        assert!(is_silent(bridge));
    }
    let drops = bridge.stats().drops;
    assert!(drops.get(DropReason::StunRefused) > 0);
    assert!(drops.get(DropReason::StunMalformed) > 0);
    assert_eq!(drop_reason(bridge, now, home(), &check), None);
    assert!(!is_silent(bridge), "the genuine one is answered");
}

#[test]
fn a_check_for_somebody_else_is_not_answered() {
    let (_, check) = awaiting();
    let mut settings = settings(BRIDGE);
    settings.credentials = credentials(99);
    let mut other = Pair::with(settings, common::settings(CLIENT), Weather::FAIR, 1);
    let now = other.now;
    let bridge = &mut other.sides[BRIDGE].transport;
    assert_eq!(
        drop_reason(bridge, now, home(), &check),
        Some(DropReason::StunRefused)
    );
    assert!(is_silent(bridge));
}

#[test]
fn an_answer_to_no_question_is_refused() {
    let mut pair = Pair::connected(Weather::FAIR, 1);
    let now = pair.now;
    let (_, answer) = pair.sides[CLIENT]
        .sent
        .iter()
        .find(|(_, datagram)| datagram[..2] == [1, 1])
        .cloned()
        .unwrap();
    pair.run(Duration::from_secs(60));
    let now = pair.now.max(now);
    let bridge = &mut pair.sides[BRIDGE].transport;
    assert_eq!(
        drop_reason(bridge, now, home(), &answer),
        Some(DropReason::StunRefused)
    );
}

#[test]
fn nothing_but_a_check_is_taken_from_an_unknown_path() {
    for pair in [awaiting().0, Pair::connected(Weather::FAIR, 1)] {
        let mut pair = pair;
        let now = pair.now;
        let bridge = &mut pair.sides[BRIDGE].transport;
        for (datagram, reason) in [
            (rtp(1, 1, &[0; 60]), DropReason::UnknownPath),
            (rtcp(1), DropReason::UnknownPath),
            (vec![22; 60], DropReason::UnknownPath),
            (vec![70; 60], DropReason::Unclassified),
            (vec![], DropReason::Unclassified),
            (vec![0; 60], DropReason::Unclassified),
        ] {
            assert_eq!(
                drop_reason(bridge, now, elsewhere(4444), &datagram),
                Some(reason)
            );
            assert!(is_silent(bridge));
        }
    }
}

#[test]
fn a_path_is_carrier_and_both_addresses() {
    let mut pair = Pair::connected(Weather::FAIR, 1);
    let now = pair.now;
    let mut packet = rtp(1, 1, &[0; 60]);
    packet.resize(100, 0);
    let length = pair.sides[CLIENT]
        .transport
        .seal_rtp(&mut packet, 12, 72)
        .unwrap();
    packet.truncate(length);
    let bridge = &mut pair.sides[BRIDGE].transport;
    let mut other_carrier = home();
    other_carrier.via = Via::Turn;
    let mut other_local = home();
    other_local.local.set_port(10_001);
    for path in [other_carrier, other_local, elsewhere(1)] {
        assert_eq!(
            drop_reason(bridge, now, path, &packet),
            Some(DropReason::UnknownPath)
        );
    }
    assert_eq!(drop_reason(bridge, now, home(), &packet), None);
    assert_eq!(
        drop_reason(bridge, now, home(), &packet),
        Some(DropReason::Replayed)
    );
}

#[test]
fn media_before_keys_is_dropped_and_early_dtls_is_kept_within_bounds() {
    let (mut pair, check) = awaiting();
    let now = pair.now;
    let bridge = &mut pair.sides[BRIDGE].transport;
    assert_eq!(drop_reason(bridge, now, home(), &check), None);
    assert_eq!(
        drop_reason(bridge, now, home(), &rtp(1, 1, &[0; 60])),
        Some(DropReason::NoKeys)
    );
    assert_eq!(
        drop_reason(bridge, now, home(), &rtcp(1)),
        Some(DropReason::NoKeys)
    );
    for _ in 0..8 {
        assert_eq!(drop_reason(bridge, now, home(), &[22; 200]), None);
    }
    assert_eq!(
        drop_reason(bridge, now, home(), &[22; 200]),
        Some(DropReason::DtlsTooEarly)
    );
    // It connects all the same: what was kept was noise.
    pair.run_until(Duration::from_secs(10), Pair::both_connected);
    assert!(pair.both_connected());
}

#[test]
fn a_hello_that_comes_before_the_path_is_chosen_is_used() {
    // A client that controls chooses first, and may say hello before we have chosen.
    let mut both = [settings(BRIDGE), settings(CLIENT)];
    both[0].controlling = false;
    both[1].controlling = true;
    let [bridge, client] = both;
    let mut pair = Pair::with(bridge, client, Weather::FAIR, 1);
    pair.signal(BRIDGE_ADDRESS, CLIENT_ADDRESS);
    let hellos = |p: &Pair| {
        let sent = p.sides[CLIENT].sent.iter();
        sent.filter(|(_, datagram)| datagram[0] == 22).count()
    };
    pair.run_until(Duration::from_secs(5), |p| hellos(p) > 0);
    let hello = pair.sides[CLIENT].sent.last().unwrap().1.clone();
    let now = pair.now;
    let bridge = &mut pair.sides[BRIDGE].transport;
    assert_eq!(bridge.path(), None);
    assert_eq!(drop_reason(bridge, now, home(), &hello), None);
    pair.network.set_weather(Weather {
        lost: 1000,
        ..Weather::FAIR
    });
    pair.run_until(Duration::from_secs(5), |p| hellos(p) > 1);
    pair.network.set_weather(Weather::FAIR);
    pair.run_until(Duration::from_secs(5), Pair::both_connected);
    assert!(pair.both_connected());
}

#[test]
fn what_is_not_sealed_for_us_is_refused_by_the_right_name() {
    let mut pair = Pair::connected(Weather::FAIR, 1);
    let now = pair.now;
    let bridge = &mut pair.sides[BRIDGE].transport;
    let mut bad_extension = rtp(1, 1, &[0; 8]);
    bad_extension[0] |= 0x10;
    bad_extension[14..16].copy_from_slice(&[0xff, 0xff]);
    for (datagram, reason) in [
        (rtp(1, 1, &[0; 60]), DropReason::Forged),
        (rtp(1, 1, &[]), DropReason::Malformed),
        (vec![0x80, 111], DropReason::Malformed),
        (bad_extension, DropReason::Malformed),
        (rtcp(1), DropReason::Malformed),
        (vec![0x80, 200], DropReason::Malformed),
        ([rtcp(1), vec![0x80; 20]].concat(), DropReason::Forged),
        // The E bit says that it is not encrypted.
        ([rtcp(1), vec![0; 20]].concat(), DropReason::Malformed),
    ] {
        assert_eq!(
            drop_reason(bridge, now, home(), &datagram),
            Some(reason),
            "{datagram:02x?}"
        );
    }
    assert!(bridge.is_connected());
}

#[test]
fn noise_changes_nothing() {
    let mut entropy = SeededEntropy::new(3);
    let mut pair = Pair::connected(Weather::FAIR, 1);
    for round in 0..20_000 {
        let length = (entropy.next_u64() % 200) as usize;
        let mut datagram = noise(&mut entropy, length);
        // Half of it looks like something.
        if let Some(first) = datagram.first_mut()
            && round % 2 == 0
        {
            *first = [0, 1, 0x80, 0x90, 0x81][round / 2 % 5];
        }
        if round % 3 == 0 && datagram.len() > 8 {
            datagram[4..8].copy_from_slice(&[0x21, 0x12, 0xa4, 0x42]);
        }
        let now = pair.now;
        let bridge = &mut pair.sides[BRIDGE].transport;
        if datagram
            .first()
            .is_some_and(|first| (20..64).contains(first))
        {
            continue;
        }
        assert!(drop_reason(bridge, now, home(), &datagram).is_some());
        assert!(is_silent(bridge));
    }
    pair.send_rtp(CLIENT, 1, 1, b"still here");
    pair.run(Duration::from_secs(1));
    assert_eq!(pair.sides[BRIDGE].rtp.len(), 1);
}

#[test]
fn dtls_noise_after_the_handshake_does_not_stop_media() {
    let mut entropy = SeededEntropy::new(4);
    let mut pair = Pair::connected(Weather::FAIR, 1);
    for _ in 0..5_000 {
        let now = pair.now;
        let length = (entropy.next_u64() % 120) as usize;
        let body = noise(&mut entropy, length);
        let mut record = vec![20 + (entropy.next_u64() % 5) as u8, 0xfe, 0xfd, 0];
        record.push((entropy.next_u64() % 2) as u8);
        record.extend(noise(&mut entropy, 6));
        record.extend((body.len() as u16).to_be_bytes());
        record.extend(body);
        let bridge = &mut pair.sides[BRIDGE].transport;
        let _ = bridge.handle_datagram(now, home(), &mut record);
        while let Some(output) = bridge.poll() {
            assert!(matches!(output, Output::Transmit { .. }), "{output:?}");
        }
    }
    pair.send_rtp(CLIENT, 1, 1, b"still here");
    pair.run(Duration::from_secs(60));
    assert_eq!(pair.sides[BRIDGE].rtp.len(), 1);
    assert!(pair.both_connected());
}

#[test]
fn a_goodbye_in_the_clear_is_not_believed() {
    let mut pair = Pair::connected(Weather::FAIR, 1);
    for epoch in [0, 1] {
        for sequence in [0u8, 1, 5, 200] {
            // Warnings and fatal alerts, a close first of all.
            for alert in [[1, 0], [2, 0], [2, 40], [2, 80]] {
                let mut record = vec![21, 0xfe, 0xfd, 0, epoch, 0, 0, 0, 0, 0, sequence, 0, 2];
                record.extend(alert);
                let now = pair.now;
                let bridge = &mut pair.sides[BRIDGE].transport;
                let _ = bridge.handle_datagram(now, home(), &mut record);
                while let Some(output) = bridge.poll() {
                    assert!(matches!(output, Output::Transmit { .. }), "{output:?}");
                }
            }
        }
    }
    pair.send_rtp(CLIENT, 1, 1, b"still here");
    pair.run(Duration::from_secs(1));
    assert_eq!(pair.sides[BRIDGE].rtp.len(), 1);
    assert!(pair.both_connected());
}

#[test]
fn one_who_knows_the_password_learns_bounds() {
    // A genuine client whose every check comes from another port.
    let (mut pair, check) = awaiting();
    let now = pair.now;
    let bridge = &mut pair.sides[BRIDGE].transport;
    let mut taken = 0;
    for port in 1..2_000 {
        match drop_reason(bridge, now, elsewhere(port), &check) {
            None => taken += 1,
            Some(reason) => assert_eq!(reason, DropReason::TooManyPaths),
        }
    }
    assert_eq!(taken, 16, "in a burst");
    let mut later = now;
    for port in 2_000..10_000 {
        later += Duration::from_millis(2_500);
        if drop_reason(bridge, later, elsewhere(port), &check).is_none() {
            taken += 1;
        }
        while bridge.poll().is_some() {}
        if port > 2_010 && bridge.next_timeout().is_none() {
            break;
        }
    }
    assert!(taken <= 512, "{taken}");
}

#[test]
fn after_the_end_everything_is_dropped() {
    let mut pair = Pair::connected(Weather::FAIR, 1);
    let now = pair.now;
    let (_, check) = pair.sides[CLIENT].sent[0].clone();
    let bridge = &mut pair.sides[BRIDGE].transport;
    bridge.close(now);
    while bridge.poll().is_some() {}
    for datagram in [check, rtp(1, 1, &[0; 60]), rtcp(1), vec![22; 60]] {
        assert_eq!(
            drop_reason(bridge, now, home(), &datagram),
            Some(DropReason::Closed)
        );
        assert!(is_silent(bridge));
    }
    bridge.handle_timeout(now + Duration::from_secs(99));
    assert_eq!(bridge.next_timeout(), None);
    assert!(is_silent(bridge));
    assert_eq!(bridge.path(), None);
}
