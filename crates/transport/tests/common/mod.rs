//! Two transports, or one and something else, on a virtual network.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "shared by several test programs, each of which uses a part and may panic"
)]

use althing_model::{Entropy, SeededEntropy};
use althing_testkit::{Network, Weather, epoch};
use althing_transport::{
    Certificate, DtlsRole, Event, IceCredentials, Output, Path, Received, RemoteParameters,
    SRTP_OVERHEAD, Settings, SrtpProfile, Transport, Via,
};
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// Certificates cost time to make; two are enough.
pub fn certificate(index: usize) -> Arc<Certificate> {
    static MADE: OnceLock<[Arc<Certificate>; 2]> = OnceLock::new();
    let make = || Certificate::generate().unwrap();
    Arc::clone(&MADE.get_or_init(|| [make(), make()])[index])
}

pub fn credentials(seed: u64) -> IceCredentials {
    IceCredentials::generate(&mut SeededEntropy::new(seed))
}

pub fn settings(index: usize) -> Settings {
    Settings {
        credentials: credentials(index as u64 + 1),
        certificate: certificate(index),
        controlling: index == 0,
        dtls: [DtlsRole::Server, DtlsRole::Client][index],
        tie_breaker: 77 + index as u64,
    }
}

pub fn parameters(of: usize, candidates: Vec<SocketAddr>) -> RemoteParameters {
    RemoteParameters {
        credentials: credentials(of as u64 + 1),
        fingerprints: vec![certificate(of).fingerprint()],
        candidates,
    }
}

/// The bridge is side 0: controlling, DTLS server, learns its address. The client is side 1.
pub const BRIDGE: usize = 0;
pub const CLIENT: usize = 1;

pub struct Side {
    pub transport: Transport,
    pub events: Vec<Event>,
    pub rtp: Vec<Vec<u8>>,
    pub rtcp: Vec<Vec<u8>>,
    /// Datagrams this side sent, with where they went.
    pub sent: Vec<(Path, Vec<u8>)>,
}

impl Side {
    pub fn new(transport: Transport) -> Self {
        Self {
            transport,
            events: Vec::new(),
            rtp: Vec::new(),
            rtcp: Vec::new(),
            sent: Vec::new(),
        }
    }

    pub fn profile(&self) -> Option<SrtpProfile> {
        self.events.iter().find_map(|event| match event {
            Event::Connected { profile } => Some(*profile),
            _ => None,
        })
    }

    pub fn has_failed(&self) -> bool {
        self.events.iter().any(|e| matches!(e, Event::Failed(_)))
    }
}

pub struct Pair {
    pub sides: [Side; 2],
    pub network: Network<(usize, Path)>,
    pub start: Instant,
    pub now: Instant,
    /// The client's address as the bridge sees it, if it is not its own.
    pub translated: Option<SocketAddr>,
    client: SocketAddr,
    /// The bridge's real address and the one the world knows it by, if it is behind DNAT.
    pub forwarded: Option<(SocketAddr, SocketAddr)>,
    /// Calls of `handle_timeout`, to see that timers are sparse.
    pub wakeups: u64,
}

pub fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

impl Pair {
    pub fn new(weather: Weather, seed: u64) -> Self {
        Self::with(settings(BRIDGE), settings(CLIENT), weather, seed)
    }

    pub fn with(bridge: Settings, client: Settings, weather: Weather, seed: u64) -> Self {
        let start = epoch();
        Self {
            sides: [bridge, client].map(|s| Side::new(Transport::new(s, start))),
            network: Network::new(weather, seed),
            start,
            now: start,
            translated: None,
            client: address("0.0.0.0:0"),
            forwarded: None,
            wakeups: 0,
        }
    }

    /// Signals both ways at once: the client knows the bridge's address, the bridge nothing.
    pub fn signal(&mut self, bridge: &str, client: &str) {
        self.signal_client(bridge, client);
        self.signal_bridge();
    }

    pub fn signal_client(&mut self, bridge: &str, client: &str) {
        self.client = address(client);
        let transport = &mut self.sides[CLIENT].transport;
        transport.add_local(self.client);
        let remote = parameters(BRIDGE, vec![address(bridge)]);
        transport.set_remote(self.now, remote).unwrap();
    }

    pub fn signal_bridge(&mut self) {
        let remote = parameters(CLIENT, Vec::new());
        let transport = &mut self.sides[BRIDGE].transport;
        transport.set_remote(self.now, remote).unwrap();
    }

    pub fn connected(weather: Weather, seed: u64) -> Self {
        let mut pair = Self::new(weather, seed);
        pair.signal("192.0.2.1:10000", "198.51.100.7:5000");
        pair.run_until(Duration::from_secs(20), Self::both_connected);
        assert!(pair.both_connected());
        pair
    }

    pub fn both_connected(&self) -> bool {
        self.sides.iter().all(|s| s.transport.is_connected())
    }

    pub fn elapsed(&self) -> Duration {
        self.now - self.start
    }

    /// Lets virtual time pass until `done`, or until `limit` has passed.
    pub fn run_until(&mut self, limit: Duration, done: impl Fn(&Self) -> bool) {
        let end = self.now + limit;
        loop {
            self.drain();
            if done(self) {
                return;
            }
            let timers = self.sides.iter().filter_map(|s| s.transport.next_timeout());
            let next = timers.chain(self.network.next_arrival()).min();
            let Some(next) = next.filter(|next| *next <= end) else {
                self.now = end;
                return;
            };
            self.now = self.now.max(next);
            while let Some(((to, path), datagram)) = self.network.receive(self.now) {
                self.deliver(to, path, datagram);
                self.drain();
            }
            for side in &mut self.sides {
                if side.transport.next_timeout().is_some_and(|t| t <= self.now) {
                    side.transport.handle_timeout(self.now);
                    self.wakeups += 1;
                    let next = side.transport.next_timeout();
                    assert!(
                        next.is_none_or(|t| t > self.now),
                        "a timer that never rests"
                    );
                }
            }
        }
    }

    pub fn run(&mut self, time: Duration) {
        self.run_until(time, |_| false);
    }

    fn deliver(&mut self, to: usize, path: Path, mut datagram: Vec<u8>) {
        let side = &mut self.sides[to];
        match side
            .transport
            .handle_datagram(self.now, path, &mut datagram)
        {
            Received::Rtp(packet) => side.rtp.push(packet.to_vec()),
            Received::Rtcp(packet) => side.rtcp.push(packet.to_vec()),
            Received::Handled | Received::Dropped(_) => {}
        }
    }

    pub fn drain(&mut self) {
        for from in 0..2 {
            while let Some(output) = self.sides[from].transport.poll() {
                match output {
                    Output::Transmit { path, payload } => {
                        self.sides[from].sent.push((path, payload.clone()));
                        self.send(from, path, payload);
                    }
                    Output::Event(event) => self.sides[from].events.push(event),
                }
            }
        }
    }

    fn send(&mut self, from: usize, path: Path, payload: Vec<u8>) {
        let mut arriving = reverse(path);
        if let Some(public) = self.translated {
            match from {
                CLIENT => arriving.remote = public,
                // The old mapping is gone; the new one leads to the client's own address.
                _ if path.remote != public => return,
                _ => arriving.local = self.client,
            }
        }
        if let Some((real, public)) = self.forwarded {
            match from {
                CLIENT => arriving.local = real,
                _ => arriving.remote = public,
            }
        }
        self.network.send(self.now, (1 - from, arriving), payload);
    }

    /// Seals and sends an RTP packet by the selected path.
    pub fn send_rtp(&mut self, from: usize, sequence: u16, ssrc: u32, payload: &[u8]) {
        let mut packet = rtp(sequence, ssrc, payload);
        let plain = packet.len();
        packet.resize(plain + SRTP_OVERHEAD, 0);
        let transport = &mut self.sides[from].transport;
        let length = transport.seal_rtp(&mut packet, 12, plain).unwrap();
        packet.truncate(length);
        let path = transport.path().unwrap();
        self.send(from, path, packet);
    }

    pub fn send_rtcp(&mut self, from: usize, mut packet: Vec<u8>) {
        let plain = packet.len();
        packet.resize(plain + SRTP_OVERHEAD, 0);
        let transport = &mut self.sides[from].transport;
        let length = transport.seal_rtcp(&mut packet, plain).unwrap();
        packet.truncate(length);
        let path = transport.path().unwrap();
        self.send(from, path, packet);
    }
}

pub fn reverse(path: Path) -> Path {
    Path {
        via: path.via,
        local: path.remote,
        remote: path.local,
    }
}

pub fn udp(local: &str, remote: &str) -> Path {
    Path {
        via: Via::Udp,
        local: address(local),
        remote: address(remote),
    }
}

pub fn rtp(sequence: u16, ssrc: u32, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x80, 111];
    packet.extend_from_slice(&sequence.to_be_bytes());
    packet.extend_from_slice(&[0, 0, 0, 9]);
    packet.extend_from_slice(&ssrc.to_be_bytes());
    packet.extend_from_slice(payload);
    packet
}

/// An empty receiver report.
pub fn rtcp(ssrc: u32) -> Vec<u8> {
    let mut packet = vec![0x80, 201, 0, 1];
    packet.extend_from_slice(&ssrc.to_be_bytes());
    packet
}

pub fn noise(entropy: &mut dyn Entropy, length: usize) -> Vec<u8> {
    (0..length).map(|_| entropy.next_u64() as u8).collect()
}
