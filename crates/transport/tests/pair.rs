//! Our transport with itself: connecting, media, weather, moving, ending.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use althing_testkit::Weather;
use althing_transport::{
    DatagramKind, DropReason, DtlsRole, Error, Event, FailureReason, Fingerprint, IceCredentials,
    Path, SealError, SrtpProfile, classify,
};
use common::*;
use std::collections::HashSet;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn two_sides_connect_within_a_few_round_trips() {
    for (bridge, client) in [
        ("192.0.2.1:10000", "198.51.100.7:5000"),
        ("[2001:db8::1]:10000", "[2001:db8::7]:5000"),
        ("127.0.0.1:10000", "127.0.0.1:5000"),
    ] {
        let mut pair = Pair::new(Weather::FAIR, 1);
        pair.signal(bridge, client);
        pair.run_until(10 * SECOND, Pair::both_connected);
        assert!(pair.both_connected());
        // 20 ms each: check and answer, two flights each way; and a timer or two.
        assert!(
            pair.elapsed() < Duration::from_millis(200),
            "{:?}",
            pair.elapsed()
        );
        for (side, path) in pair
            .sides
            .iter()
            .zip([udp(bridge, client), udp(client, bridge)])
        {
            assert_eq!(side.profile(), Some(SrtpProfile::AeadAes256Gcm));
            assert_eq!(side.transport.path(), Some(path));
            let verified = side
                .events
                .iter()
                .position(|e| *e == Event::PathVerified(path));
            let selected = side
                .events
                .iter()
                .position(|e| *e == Event::PathSelected(path));
            assert!(verified.unwrap() < selected.unwrap());
        }
        let rtt = pair.sides[BRIDGE].transport.rtt();
        assert_eq!(rtt, Some(Duration::from_millis(20)));
        assert_eq!(pair.sides[BRIDGE].transport.stats().drops.total(), 0);
    }
}

#[test]
fn a_bridge_behind_dnat_and_a_client_behind_nat_connect() {
    let mut pair = Pair::new(Weather::FAIR, 1);
    let public = "203.0.113.1:443";
    pair.forwarded = Some((address("10.0.0.5:10000"), address(public)));
    pair.translated = Some(address("203.0.113.99:40000"));
    pair.signal(public, "192.168.1.7:5000");
    pair.run_until(10 * SECOND, Pair::both_connected);
    assert!(pair.both_connected());
    assert!(
        pair.elapsed() < Duration::from_millis(200),
        "{:?}",
        pair.elapsed()
    );
    let [bridge, client] = &pair.sides;
    let path = udp("10.0.0.5:10000", "203.0.113.99:40000");
    assert_eq!(bridge.transport.path(), Some(path));
    assert_eq!(
        client.transport.path(),
        Some(udp("192.168.1.7:5000", public))
    );
    pair.run(60 * SECOND);
    assert!(pair.both_connected());
}

#[test]
fn the_bridge_may_be_the_dtls_client_too() {
    let mut roles = [settings(BRIDGE), settings(CLIENT)];
    roles[0].dtls = DtlsRole::Client;
    roles[1].dtls = DtlsRole::Server;
    let [bridge, client] = roles;
    let mut pair = Pair::with(bridge, client, Weather::FAIR, 1);
    pair.signal("192.0.2.1:10000", "198.51.100.7:5000");
    pair.run_until(10 * SECOND, Pair::both_connected);
    assert!(pair.both_connected());
}

#[test]
fn checks_that_come_before_signalling_cost_no_time() {
    let mut pair = Pair::new(Weather::FAIR, 1);
    pair.signal_client("192.0.2.1:10000", "198.51.100.7:5000");
    pair.run(Duration::from_millis(1_300));
    let path = udp("192.0.2.1:10000", "198.51.100.7:5000");
    assert!(
        pair.sides[BRIDGE]
            .events
            .contains(&Event::PathVerified(path))
    );
    let answers = pair.sides[BRIDGE].sent.len();
    assert!(
        answers > 0,
        "checks are answered before the other side is known"
    );
    pair.signal_bridge();
    let signalled = pair.now;
    pair.run_until(10 * SECOND, Pair::both_connected);
    assert!(pair.both_connected());
    assert!(
        pair.now - signalled < Duration::from_millis(200),
        "{:?}",
        pair.now - signalled
    );
}

#[test]
fn roles_in_conflict_are_settled() {
    for bridge_wins in [true, false] {
        let mut both = [settings(BRIDGE), settings(CLIENT)];
        both[1].controlling = true;
        both[0].tie_breaker = if bridge_wins { 9 } else { 3 };
        both[1].tie_breaker = 5;
        let [bridge, client] = both;
        let mut pair = Pair::with(bridge, client, Weather::FAIR, 1);
        pair.signal("192.0.2.1:10000", "198.51.100.7:5000");
        pair.run_until(10 * SECOND, Pair::both_connected);
        assert!(pair.both_connected(), "bridge wins: {bridge_wins}");
        assert!(pair.elapsed() < SECOND, "{:?}", pair.elapsed());
    }
}

#[test]
fn media_goes_both_ways() {
    let mut pair = Pair::connected(Weather::FAIR, 3);
    for number in 0..50u16 {
        pair.send_rtp(
            CLIENT,
            65_500u16.wrapping_add(number),
            1111,
            &[number as u8; 100],
        );
        pair.send_rtp(BRIDGE, number, 2222, &[number as u8; 900]);
    }
    pair.send_rtcp(CLIENT, rtcp(1111));
    pair.send_rtcp(BRIDGE, rtcp(2222));
    pair.run(SECOND / 10);
    let [bridge, client] = &pair.sides;
    let expected = |start: u16, ssrc, length| -> Vec<Vec<u8>> {
        (0..50u16)
            .map(|n| rtp(start.wrapping_add(n), ssrc, &vec![n as u8; length]))
            .collect()
    };
    assert_eq!(bridge.rtp, expected(65_500, 1111, 100));
    assert_eq!(client.rtp, expected(0, 2222, 900));
    assert_eq!(bridge.rtcp, [rtcp(1111)]);
    assert_eq!(client.rtcp, [rtcp(2222)]);
}

#[test]
fn loss_and_disorder_only_delay_it() {
    let weather = Weather {
        corrupted: 0,
        ..Weather::FOUL
    };
    for seed in 0..40 {
        let mut pair = Pair::new(weather, seed);
        pair.signal("192.0.2.1:10000", "198.51.100.7:5000");
        pair.run_until(15 * SECOND, Pair::both_connected);
        assert!(pair.both_connected(), "seed {seed}");
        pair.run(40 * SECOND);
        assert!(pair.both_connected(), "seed {seed}, later");
    }
}

#[test]
fn damage_never_gets_through() {
    let mut connected = 0;
    for seed in 0..40 {
        let mut pair = Pair::new(Weather::FOUL, seed);
        pair.signal("192.0.2.1:10000", "198.51.100.7:5000");
        pair.run_until(40 * SECOND, |p| {
            p.both_connected() || p.sides.iter().any(Side::has_failed)
        });
        if !pair.both_connected() {
            // The handshake is not authenticated until its end: damage may be fatal to it.
            continue;
        }
        connected += 1;
        let mut sent = HashSet::new();
        for number in 0..400u16 {
            let sequence = 65_400u16.wrapping_add(number);
            pair.send_rtp(CLIENT, sequence, 5, &number.to_be_bytes());
            sent.insert(rtp(sequence, 5, &number.to_be_bytes()));
            pair.run(Duration::from_millis(2));
        }
        pair.run(SECOND);
        let bridge = &pair.sides[BRIDGE];
        assert!(bridge.rtp.len() > 300, "seed {seed}: {}", bridge.rtp.len());
        let heard: HashSet<_> = bridge.rtp.iter().cloned().collect();
        assert_eq!(heard.len(), bridge.rtp.len(), "nothing twice");
        assert!(heard.is_subset(&sent));
        let drops = bridge.transport.stats().drops;
        assert!(drops.get(DropReason::Replayed) > 0 && drops.get(DropReason::Forged) > 0);
    }
    assert!(connected >= 20, "{connected} of 40");
}

#[test]
fn timers_are_sparse_once_connected() {
    let mut pair = Pair::connected(Weather::FAIR, 1);
    pair.run(10 * SECOND);
    pair.wakeups = 0;
    pair.run(300 * SECOND);
    assert!(pair.both_connected());
    assert!(
        pair.wakeups < 2 * 300,
        "{} wakeups in 300 s for two",
        pair.wakeups
    );
}

#[test]
fn a_client_that_moves_takes_its_media_along() {
    let new = udp("192.0.2.1:10000", "203.0.113.9:6000");
    for sends_media in [true, false] {
        let mut pair = Pair::connected(Weather::FAIR, 1);
        pair.run(5 * SECOND);
        // A NAT rebinds: the client notices nothing, its datagrams come from elsewhere.
        pair.translated = Some(new.remote);
        let moved = pair.now;
        let mut sequence = 0;
        while pair.sides[BRIDGE].transport.path() != Some(new) {
            pair.run(SECOND / 50);
            sequence += 1;
            if sends_media {
                pair.send_rtp(CLIENT, sequence, 5, &[1; 40]);
            }
            assert!(pair.now - moved < 60 * SECOND, "media: {sends_media}");
        }
        let took = pair.now - moved;
        let limit = if sends_media { 4 } else { 30 };
        assert!(took < limit * SECOND, "media: {sends_media}, {took:?}");
        pair.run(60 * SECOND);
        let bridge = &pair.sides[BRIDGE];
        assert!(bridge.events.contains(&Event::PathVerified(new)));
        assert_eq!(bridge.events.last(), Some(&Event::PathSelected(new)));
        assert!(pair.both_connected());
    }
}

#[test]
fn stragglers_on_another_path_do_not_move_media() {
    let mut pair = Pair::connected(Weather::FAIR, 1);
    pair.send_rtp(CLIENT, 1, 5, &[1; 40]);
    let selected = pair.sides[BRIDGE].transport.path();
    pair.run(SECOND / 10);
    pair.translated = Some(address("203.0.113.9:6000"));
    pair.send_rtp(CLIENT, 2, 5, &[1; 40]);
    pair.run(Duration::from_millis(11));
    let bridge = &pair.sides[BRIDGE];
    assert_eq!(bridge.rtp.len(), 1, "no check has opened that path");
    assert_eq!(
        bridge.transport.stats().drops.get(DropReason::UnknownPath),
        1
    );
    assert_eq!(bridge.transport.path(), selected);
}

#[test]
fn silence_ends_it_after_thirty_seconds() {
    let mut pair = Pair::connected(Weather::FAIR, 1);
    let dead = Weather {
        lost: 1000,
        ..Weather::FAIR
    };
    pair.network.set_weather(dead);
    let before = pair.now;
    pair.run_until(60 * SECOND, |p| p.sides.iter().all(Side::has_failed));
    let waited = pair.now - before;
    assert!(waited > 25 * SECOND && waited < 31 * SECOND, "{waited:?}");
    for side in &mut pair.sides {
        assert_eq!(
            side.events.last(),
            Some(&Event::Failed(FailureReason::Consent))
        );
        assert_eq!(side.transport.next_timeout(), None);
        assert!(!side.transport.is_connected());
        let mut packet = rtp(1, 1, &[0; 40]);
        let sealed = side.transport.seal_rtp(&mut packet, 12, 16);
        assert_eq!(sealed, Err(SealError::NotConnected));
    }
}

#[test]
fn nobody_there_ends_it_after_thirty_seconds() {
    let mut pair = Pair::new(Weather::FAIR, 1);
    pair.signal_client("192.0.2.1:10000", "198.51.100.7:5000");
    let dead = Weather {
        lost: 1000,
        ..Weather::FAIR
    };
    pair.network.set_weather(dead);
    pair.run_until(60 * SECOND, |p| p.sides[CLIENT].has_failed());
    assert_eq!(pair.elapsed(), 30 * SECOND);
    assert_eq!(
        pair.sides[CLIENT].events,
        [Event::Failed(FailureReason::Ice)]
    );
}

#[test]
fn the_wrong_certificate_ends_it() {
    let mut pair = Pair::new(Weather::FAIR, 1);
    pair.signal_client("192.0.2.1:10000", "198.51.100.7:5000");
    let mut remote = parameters(CLIENT, Vec::new());
    remote.fingerprints = vec![
        Fingerprint::parse("sha-1", &["11"; 20].join(":")).unwrap(),
        certificate(BRIDGE).fingerprint(),
    ];
    let transport = &mut pair.sides[BRIDGE].transport;
    transport.set_remote(pair.start, remote).unwrap();
    pair.run_until(10 * SECOND, |p| p.sides[BRIDGE].has_failed());
    let bridge = &pair.sides[BRIDGE];
    assert_eq!(
        bridge.events.last(),
        Some(&Event::Failed(FailureReason::Fingerprint))
    );
    assert!(bridge.profile().is_none());
}

#[test]
fn no_handshake_in_thirty_seconds_ends_it() {
    let mut both = [settings(BRIDGE), settings(CLIENT)];
    // Both wait for the other to begin.
    both[1].dtls = DtlsRole::Server;
    let [bridge, client] = both;
    let mut pair = Pair::with(bridge, client, Weather::FAIR, 1);
    pair.signal("192.0.2.1:10000", "198.51.100.7:5000");
    pair.run_until(60 * SECOND, |p| p.sides.iter().all(Side::has_failed));
    for side in &pair.sides {
        assert_eq!(
            side.events.last(),
            Some(&Event::Failed(FailureReason::DtlsTimeout))
        );
    }
    assert!(pair.elapsed() < 31 * SECOND);
}

#[test]
fn a_goodbye_is_heard() {
    let mut pair = Pair::connected(Weather::FAIR, 1);
    let now = pair.now;
    pair.sides[CLIENT].transport.close(now);
    pair.run_until(SECOND, |p| p.sides[BRIDGE].events.contains(&Event::Closed));
    assert_eq!(pair.sides[BRIDGE].events.last(), Some(&Event::Closed));
    assert!(!pair.sides[BRIDGE].transport.is_connected());
    assert_eq!(pair.sides[CLIENT].transport.next_timeout(), None);
}

#[test]
fn a_goodbye_is_heard_late_too_and_from_either_side() {
    for (from, to) in [(CLIENT, BRIDGE), (BRIDGE, CLIENT)] {
        let mut pair = Pair::connected(Weather::FAIR, 1);
        pair.run(600 * SECOND);
        let now = pair.now;
        pair.sides[from].transport.close(now);
        pair.run_until(SECOND, |p| p.sides[to].events.contains(&Event::Closed));
        assert_eq!(pair.sides[to].events.last(), Some(&Event::Closed));
    }
}

/// Throws away what is under way.
fn lose(pair: &mut Pair) -> usize {
    let mut lost = 0;
    while let Some(at) = pair.network.next_arrival() {
        while pair.network.receive(at).is_some() {
            lost += 1;
        }
    }
    lost
}

#[test]
fn the_end_of_the_handshake_is_repeated_until_it_comes() {
    let mut pair = Pair::new(Weather::FAIR, 1);
    pair.signal("192.0.2.1:10000", "198.51.100.7:5000");
    for _ in 0..5 {
        pair.run_until(20 * SECOND, |p| p.sides[BRIDGE].transport.is_connected());
        assert!(lose(&mut pair) > 0);
        // Until the client asks again, and the bridge has answered.
        let answers = |p: &Pair| dtls(&p.sides[BRIDGE].sent).count();
        let before = answers(&pair);
        pair.run_until(20 * SECOND, |p| answers(p) > before);
        assert!(answers(&pair) > before);
        assert!(!pair.sides[CLIENT].transport.is_connected());
    }
    pair.run_until(20 * SECOND, Pair::both_connected);
    assert!(pair.both_connected());
    pair.send_rtp(CLIENT, 1, 5, b"heard");
    pair.send_rtp(BRIDGE, 1, 6, b"heard");
    pair.run(SECOND);
    assert!(pair.sides.iter().all(|side| side.rtp.len() == 1));
}

fn dtls(sent: &[(Path, Vec<u8>)]) -> impl Iterator<Item = &Vec<u8>> {
    let datagrams = sent.iter().map(|(_, datagram)| datagram);
    datagrams.filter(|datagram| classify(datagram) == DatagramKind::Dtls)
}

#[test]
fn whoever_floods_a_connected_side_gets_few_answers() {
    let mut pair = Pair::connected(Weather::FAIR, 1);
    let flight: Vec<Vec<u8>> = dtls(&pair.sides[CLIENT].sent).cloned().collect();
    let before = dtls(&pair.sides[BRIDGE].sent).count();
    let path = pair.sides[BRIDGE].transport.path().unwrap();
    for _ in 0..1_000 {
        for datagram in &flight {
            let now = pair.now;
            let bridge = &mut pair.sides[BRIDGE].transport;
            let _ = bridge.handle_datagram(now, path, &mut datagram.clone());
        }
        pair.run(Duration::from_millis(1));
    }
    let answers = dtls(&pair.sides[BRIDGE].sent).count() - before;
    assert!((1..=60).contains(&answers), "{answers} in a second");
    assert!(pair.both_connected());
}

#[test]
fn parameters_are_checked_and_refusal_changes_nothing() {
    let mut pair = Pair::new(Weather::FAIR, 1);
    let now = pair.now;
    let transport = &mut pair.sides[BRIDGE].transport;
    let good = parameters(CLIENT, Vec::new());

    let mut bad = good.clone();
    bad.fingerprints.clear();
    assert_eq!(transport.set_remote(now, bad), Err(Error::NoFingerprint));
    // The agent would panic on a user name of more than 128 bytes.
    for (ufrag, password) in [
        ("abc".to_owned(), "p".repeat(22)),
        ("a".repeat(120), "p".repeat(22)),
        ("ab:cd".to_owned(), "p".repeat(22)),
        ("abcd".to_owned(), "p".repeat(21)),
        ("abcd".to_owned(), "p".repeat(257)),
    ] {
        let mut bad = good.clone();
        bad.credentials = IceCredentials {
            ufrag,
            password: althing_model::Secret::new(password),
        };
        let refused = transport.set_remote(now, bad);
        assert!(
            matches!(refused, Err(Error::Credentials { .. })),
            "{refused:?}"
        );
    }
    assert_eq!(transport.next_timeout(), None);
    assert_eq!(transport.set_remote(now, good.clone()), Ok(()));
    assert_eq!(
        transport.set_remote(now, good.clone()),
        Ok(()),
        "again is no change"
    );
    let mut other = good.clone();
    other.credentials.ufrag = "other".into();
    assert_eq!(transport.set_remote(now, other), Err(Error::RemoteChanged));
    let mut other = good;
    other.fingerprints = vec![certificate(BRIDGE).fingerprint()];
    assert_eq!(transport.set_remote(now, other), Err(Error::RemoteChanged));

    // The longest fragment that is taken works, too.
    let mut pair = Pair::new(Weather::FAIR, 1);
    let mut long = parameters(CLIENT, vec![address("192.0.2.9:9")]);
    long.credentials.ufrag = "a".repeat(115);
    let transport = &mut pair.sides[BRIDGE].transport;
    transport.add_local(address("192.0.2.1:10000"));
    transport.set_remote(now, long).unwrap();
    pair.run(SECOND);
    assert!(!pair.sides[BRIDGE].sent.is_empty());
}

#[test]
fn a_client_cannot_have_a_whole_network_checked() {
    let mut pair = Pair::new(Weather::FAIR, 1);
    let crowds = [
        "224.0.0.251:5353",
        "[ff02::fb]:5353",
        "[::ffff:224.0.0.1]:9",
        "255.255.255.255:9",
        "0.0.0.0:9",
        "[::]:9",
        "192.0.2.9:0",
    ];
    let transport = &mut pair.sides[BRIDGE].transport;
    transport.add_local(address("192.0.2.1:10000"));
    transport.add_local(address("[2001:db8::1]:10000"));
    let remote = parameters(CLIENT, crowds.map(address).to_vec());
    transport.set_remote(pair.start, remote).unwrap();
    pair.run(SECOND);
    assert!(pair.sides[BRIDGE].sent.is_empty());
}

#[test]
fn nothing_prints_a_secret_or_an_address() {
    let mut pair = Pair::connected(Weather::FAIR, 1);
    pair.run(SECOND);
    let mut text = format!(
        "{:?}",
        parameters(CLIENT, vec![address("198.51.100.7:5000")])
    );
    text += &format!("{:?}", settings(BRIDGE));
    for side in &pair.sides {
        text += &format!("{:?} {:?}", side.transport, side.events);
    }
    for secret in [
        credentials(1).password.expose(),
        credentials(2).password.expose(),
        "198.51.100.7",
        "192.0.2.1",
    ] {
        assert!(!text.contains(secret), "{text}");
    }
}
