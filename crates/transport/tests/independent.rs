//! Against an independent implementation of ICE, DTLS and SRTP, in virtual time, both ways round.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use althing_model::Secret;
use althing_testkit::{Network, Weather, epoch};
use althing_transport::{
    DtlsRole, Event, Fingerprint, IceCredentials, Output, Path, Received, RemoteParameters,
    SRTP_OVERHEAD, Settings, SrtpProfile, Transport, Via,
};
use common::*;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use str0m::media::{MediaKind, Mid};
use str0m::net::{Protocol, Receive};
use str0m::rtp::{RawPacket, Ssrc};
use str0m::{Candidate, IceCreds, Input, Rtc, RtcConfig};

const OURS: &str = "192.0.2.1:10000";
const THEIRS: &str = "198.51.100.7:5000";
const OUR_SSRC: u32 = 0x1111;
const THEIR_SSRC: u32 = 0x2222;

struct Mixed {
    ours: Transport,
    theirs: Rtc,
    network: Network<Path>,
    now: Instant,
    their_timeout: Instant,
    events: Vec<Event>,
    /// What each side heard, by sequence number.
    we_heard: BTreeMap<u16, Vec<u8>>,
    they_heard: BTreeMap<u16, Vec<u8>>,
    reports: usize,
    their_reports: usize,
}

impl Mixed {
    fn new(bridge: bool) -> Self {
        let now = epoch();
        let mid: Mid = "0".into();
        let mut theirs = RtcConfig::new()
            .set_rtp_mode(true)
            .enable_raw_packets(true)
            .build(now);
        theirs.add_local_candidate(Candidate::host(address(THEIRS), "udp").unwrap());
        let mut api = theirs.direct_api();
        let creds = api.local_ice_credentials();
        let their_fingerprint = api.local_dtls_fingerprint().to_string();
        api.set_ice_controlling(!bridge);
        let own = credentials(1);
        api.set_remote_ice_credentials(IceCreds {
            ufrag: own.ufrag.clone(),
            pass: own.password.expose().to_owned(),
        });
        let certificate = certificate(0);
        let fingerprint = format!("sha-256 {}", certificate.fingerprint());
        api.set_remote_fingerprint(fingerprint.parse().unwrap());
        api.start_dtls(bridge).unwrap();
        api.declare_media(mid, MediaKind::Audio);
        api.declare_stream_tx(Ssrc::from(THEIR_SSRC), None, mid, None);
        api.expect_stream_rx(Ssrc::from(OUR_SSRC), None, mid, None);

        let settings = Settings {
            credentials: own,
            certificate,
            controlling: bridge,
            dtls: if bridge {
                DtlsRole::Server
            } else {
                DtlsRole::Client
            },
            tie_breaker: 7,
        };
        let mut ours = Transport::new(settings, now);
        // Whoever plays the client knows where the other is.
        let mut candidates = Vec::new();
        if bridge {
            theirs.add_remote_candidate(Candidate::host(address(OURS), "udp").unwrap());
        } else {
            ours.add_local(address(OURS));
            candidates.push(address(THEIRS));
        }
        let (algorithm, value) = their_fingerprint.split_once(' ').unwrap();
        let remote = RemoteParameters {
            credentials: IceCredentials {
                ufrag: creds.ufrag,
                password: Secret::new(creds.pass),
            },
            fingerprints: vec![Fingerprint::parse(algorithm, value).unwrap()],
            candidates,
        };
        ours.set_remote(now, remote).unwrap();
        Self {
            ours,
            theirs,
            network: Network::new(Weather::FAIR, 5),
            now,
            their_timeout: now,
            events: Vec::new(),
            we_heard: BTreeMap::new(),
            they_heard: BTreeMap::new(),
            reports: 0,
            their_reports: 0,
        }
    }

    fn drain(&mut self) {
        while let Some(output) = self.ours.poll() {
            match output {
                Output::Transmit { path, payload } => {
                    self.network.send(self.now, reverse(path), payload);
                }
                Output::Event(event) => self.events.push(event),
            }
        }
        loop {
            match self.theirs.poll_output().unwrap() {
                str0m::Output::Timeout(at) => {
                    self.their_timeout = at;
                    return;
                }
                str0m::Output::Transmit(transmit) => {
                    let path = Path {
                        via: Via::Udp,
                        local: transmit.destination,
                        remote: transmit.source,
                    };
                    self.network
                        .send(self.now, path, transmit.contents.to_vec());
                }
                str0m::Output::Event(str0m::Event::RtpPacket(packet)) => {
                    assert_eq!(packet.header.ssrc, Ssrc::from(OUR_SSRC));
                    self.they_heard
                        .insert(packet.header.sequence_number, packet.payload.to_vec());
                }
                str0m::Output::Event(str0m::Event::RawPacket(packet)) => {
                    if matches!(*packet, RawPacket::RtcpRx(_)) {
                        self.their_reports += 1;
                    }
                }
                str0m::Output::Event(_) => {}
            }
        }
    }

    fn run_until(&mut self, limit: Duration, done: impl Fn(&Self) -> bool) {
        let end = self.now + limit;
        loop {
            self.drain();
            if done(self) || self.now >= end {
                return;
            }
            let timers = [self.ours.next_timeout(), self.network.next_arrival()];
            let next = timers
                .into_iter()
                .flatten()
                .chain([self.their_timeout, end]);
            self.now = next.min().unwrap().max(self.now);
            while let Some((path, datagram)) = self.network.receive(self.now) {
                self.deliver(path, datagram);
                self.drain();
            }
            if self.ours.next_timeout().is_some_and(|at| at <= self.now) {
                self.ours.handle_timeout(self.now);
            }
            if self.their_timeout <= self.now {
                self.theirs.handle_input(Input::Timeout(self.now)).unwrap();
            }
        }
    }

    fn deliver(&mut self, path: Path, mut datagram: Vec<u8>) {
        if path.local == address(THEIRS) {
            let contents = datagram.as_slice().try_into().unwrap();
            let receive = Receive {
                proto: Protocol::Udp,
                source: path.remote,
                destination: path.local,
                contents,
            };
            self.theirs
                .handle_input(Input::Receive(self.now, receive))
                .unwrap();
            return;
        }
        match self.ours.handle_datagram(self.now, path, &mut datagram) {
            Received::Rtp(packet) => {
                let sequence = u16::from_be_bytes([packet[2], packet[3]]);
                let header = 12
                    + if packet[0] & 0x10 == 0 {
                        0
                    } else {
                        4 + 4 * usize::from(u16::from_be_bytes([packet[14], packet[15]]))
                    };
                self.we_heard.insert(sequence, packet[header..].to_vec());
            }
            Received::Rtcp(_) => self.reports += 1,
            Received::Handled => {}
            Received::Dropped(reason) => panic!("dropped: {reason:?}"),
        }
    }

    fn send_ours(&mut self, sequence: u16, payload: &[u8]) {
        let mut packet = rtp(sequence, OUR_SSRC, payload);
        let plain = packet.len();
        packet.resize(plain + SRTP_OVERHEAD, 0);
        let length = self.ours.seal_rtp(&mut packet, 12, plain).unwrap();
        packet.truncate(length);
        let path = reverse(self.ours.path().unwrap());
        self.network.send(self.now, path, packet);
    }

    fn send_report(&mut self) {
        let mut packet = rtcp(OUR_SSRC);
        let plain = packet.len();
        packet.resize(plain + SRTP_OVERHEAD, 0);
        let length = self.ours.seal_rtcp(&mut packet, plain).unwrap();
        packet.truncate(length);
        let path = reverse(self.ours.path().unwrap());
        self.network.send(self.now, path, packet);
    }

    fn send_theirs(&mut self, sequence: u64, payload: &[u8]) {
        let write = str0m::rtp::RtpWrite::new(
            111.into(),
            sequence.into(),
            sequence as u32 * 960,
            self.now,
            payload,
        );
        let mut api = self.theirs.direct_api();
        let stream = api.stream_tx(&Ssrc::from(THEIR_SSRC)).unwrap();
        stream.write_rtp(write);
        self.drain();
        self.theirs.handle_input(Input::Timeout(self.now)).unwrap();
        self.drain();
    }
}

#[test]
fn it_connects_and_exchanges_media_in_either_role() {
    for bridge in [true, false] {
        let mut mixed = Mixed::new(bridge);
        let start = mixed.now;
        mixed.run_until(Duration::from_secs(10), |m| {
            m.ours.is_connected() && m.theirs.is_connected()
        });
        assert!(mixed.ours.is_connected() && mixed.theirs.is_connected());
        let took = mixed.now - start;
        assert!(
            took < Duration::from_millis(500),
            "{took:?}, bridge: {bridge}"
        );
        assert_eq!(mixed.ours.profile(), Some(SrtpProfile::AeadAes256Gcm));
        let theirs: SocketAddr = address(THEIRS);
        assert_eq!(mixed.ours.path().unwrap().remote, theirs);

        // Across the edge of the sequence numbers, so that both count the rollover alike.
        for number in 0..300u16 {
            let sequence = 65_400u16.wrapping_add(number);
            mixed.send_ours(sequence, &[number as u8; 77]);
            mixed.send_theirs(65_400 + u64::from(number), &[number as u8; 55]);
            mixed.run_until(Duration::from_millis(20), |_| false);
        }
        mixed.run_until(Duration::from_secs(5), |_| false);
        assert_eq!(mixed.we_heard.len(), 300, "bridge: {bridge}");
        assert_eq!(mixed.they_heard.len(), 300, "bridge: {bridge}");
        for number in 0..300u16 {
            let sequence = 65_400u16.wrapping_add(number);
            assert_eq!(mixed.we_heard[&sequence], [number as u8; 55]);
            assert_eq!(mixed.they_heard[&sequence], [number as u8; 77]);
        }
        assert!(mixed.reports > 0, "their RTCP opens");

        for _ in 0..5 {
            mixed.send_report();
        }
        mixed.run_until(Duration::from_secs(60), |_| false);
        assert_eq!(mixed.their_reports, 5, "our RTCP opens");
        assert!(mixed.ours.is_connected(), "consent holds");
        assert!(mixed.theirs.is_alive());
        assert!(!mixed.events.iter().any(|e| matches!(e, Event::Failed(_))));
    }
}
