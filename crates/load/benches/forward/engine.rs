//! The generator: one thread that sends for those who speak, and counts for those who hear.
//!
//! It wakes when something is to be sent, at least once a millisecond, and takes in whatever has
//! arrived. The kernel says when that was, so that a server is not charged with our sleep, and
//! need not wake us for each datagram. Headers are read in the clear; one packet in some is
//! decrypted, which shows that it is whole, and when it left.

use crate::flow::{Flow, sent_at};
use crate::wire::{Arrival, Wire, address};
use althing_model::Ssrc;
use althing_rtp::RtpPacket;
use althing_rtp::rtcp::{self, Compound, ReportBlock, Rtcp, TransportCcRecorder};
use althing_transport::{
    DatagramKind, Event, Output, Path, Received, RemoteParameters, SRTP_OVERHEAD, Settings,
    SrtpProfile, Transport, Via, classify, offering,
};
use hdrhistogram::Histogram;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

pub(crate) const PROFILE: SrtpProfile = SrtpProfile::AeadAes128Gcm;
/// One packet in so many is decrypted. A prime, so that every place in a picture has its turn.
const SAMPLE: u16 = 17;
const TICK: Duration = Duration::from_millis(1);
const FEEDBACK: Duration = Duration::from_millis(100);
const REPORT: Duration = Duration::from_secs(1);

/// What the numbers in the headers of a peer's packets mean.
#[derive(Debug, Clone)]
pub(crate) struct Agreed {
    /// The transport-cc header extension.
    pub(crate) transport_cc: Option<u8>,
    /// The payload types that are media; others are retransmissions.
    pub(crate) media: Vec<u8>,
}

/// Who a peer is towards its server.
pub(crate) struct Peer {
    group: usize,
    transport: Option<Transport>,
    path: Option<Path>,
    pub(crate) connected: Option<Instant>,
    /// Its server has ended the connection, or it failed.
    gone: bool,
    ssrc: Ssrc,
    agreed: Agreed,
    arrivals: TransportCcRecorder,
    streams: Vec<Stream>,
    feedback_at: Instant,
    report_at: Instant,
}

/// One SSRC as heard by one peer.
struct Stream {
    ssrc: u32,
    highest: u32,
    window: u64,
}

/// One meeting at one server.
pub(crate) struct Group {
    pub(crate) running: bool,
    pub(crate) sent: u64,
    pub(crate) received: u64,
    pub(crate) doubled: u64,
    /// Retransmissions and padding.
    pub(crate) repaired: u64,
    pub(crate) unreadable: u64,
    pub(crate) delays: Histogram<u64>,
}

impl Group {
    fn new() -> Self {
        Self {
            running: false,
            sent: 0,
            received: 0,
            doubled: 0,
            repaired: 0,
            unreadable: 0,
            delays: Histogram::new_with_bounds(1, 60_000_000_000, 3).unwrap(),
        }
    }
}

pub(crate) struct Engine {
    wire: Wire,
    peers: Vec<Peer>,
    pub(crate) groups: Vec<Group>,
    flows: Vec<Flow>,
    unix_epoch: u64,
    swept: Instant,
    scratch: Vec<u8>,
    opened: Vec<u8>,
}

/// The engine, shared by its thread and by whoever sets it up.
#[derive(Clone)]
pub(crate) struct Generator(Arc<Mutex<Engine>>);

impl Generator {
    /// Starts the thread; it ends with the process.
    pub(crate) fn start() -> Self {
        let now = Instant::now();
        let engine = Arc::new(Mutex::new(Engine {
            wire: Wire::new(),
            peers: Vec::new(),
            groups: Vec::new(),
            flows: Vec::new(),
            unix_epoch: crate::flow::unix_nanos(),
            swept: now,
            scratch: Vec::new(),
            opened: Vec::new(),
        }));
        let shared = Arc::clone(&engine);
        std::thread::Builder::new()
            .name("generator".to_owned())
            .spawn(move || {
                loop {
                    let wake = shared.lock().unwrap().tick();
                    let pause = wake.saturating_duration_since(Instant::now());
                    if !pause.is_zero() {
                        std::thread::sleep(pause);
                    }
                }
            })
            .unwrap();
        Self(engine)
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Engine> {
        self.0.lock().expect("the generator does not panic")
    }
}

impl Engine {
    pub(crate) fn add_group(&mut self) -> usize {
        self.groups.push(Group::new());
        self.groups.len() - 1
    }

    /// A new peer without a transport; returns its number and address.
    pub(crate) fn add_peer(&mut self, group: usize, ssrc: Ssrc) -> (usize, SocketAddr) {
        // 10.78.0.0 itself stays free.
        if self.peers.is_empty() {
            let nobody = Peer::new(usize::MAX, Ssrc(0));
            self.peers.push(nobody);
        }
        let number = self.peers.len();
        self.peers.push(Peer::new(group, ssrc));
        (number, SocketAddr::from((address(number), self.wire.port)))
    }

    /// Gives a peer its transport. Its first check goes out when the other side is known.
    pub(crate) fn connect(
        &mut self,
        peer: usize,
        settings: Settings,
        remote: RemoteParameters,
        agreed: Agreed,
    ) {
        let now = Instant::now();
        let mut transport = Transport::new(settings, now);
        transport.add_local(SocketAddr::from((address(peer), self.wire.port)));
        transport.set_remote(now, remote).unwrap();
        self.peers[peer].transport = Some(transport);
        self.peers[peer].agreed = agreed;
        self.drain(peer);
    }

    /// Gives a peer that needs no transport, since the floor has none, its way out.
    pub(crate) fn bare(&mut self, peer: usize, remote: SocketAddr) {
        self.peers[peer].path = Some(Path {
            via: Via::Udp,
            local: SocketAddr::from((address(peer), self.wire.port)),
            remote,
        });
    }

    pub(crate) fn add_flow(&mut self, flow: Flow) {
        self.flows.push(flow);
    }

    /// Lets go of everybody in a group.
    pub(crate) fn retire(&mut self, group: usize) {
        self.flows.retain(|flow| flow.group != group);
        for peer in self.peers.iter_mut().filter(|peer| peer.group == group) {
            *peer = Peer::new(usize::MAX, Ssrc(0));
        }
    }

    pub(crate) fn peer(&self, peer: usize) -> &Peer {
        &self.peers[peer]
    }

    /// Whether everybody in a group still has a connection, or never had one.
    pub(crate) fn is_whole(&self, group: usize) -> bool {
        let mut members = self.peers.iter().filter(|peer| peer.group == group);
        !members.any(|peer| peer.gone)
    }

    pub(crate) fn overflow(&self) -> u64 {
        self.wire.overflow
    }

    /// Starts or stops the sources of a group, those of a kind of phase apart from each other.
    pub(crate) fn run(&mut self, group: usize, running: bool) {
        self.groups[group].running = running;
        let now = Instant::now();
        let mut flows: Vec<&mut Flow> =
            self.flows.iter_mut().filter(|f| f.group == group).collect();
        let count = u32::try_from(flows.len()).unwrap().max(1);
        for (index, flow) in flows.iter_mut().enumerate() {
            flow.next_at = now + flow.pattern.spacing / count * u32::try_from(index).unwrap();
        }
    }

    /// Forgets what a group has counted.
    pub(crate) fn reset(&mut self, group: usize) {
        let running = self.groups[group].running;
        self.groups[group] = Group::new();
        self.groups[group].running = running;
    }

    /// Sends what is due, takes in what came; returns when to be called again.
    fn tick(&mut self) -> Instant {
        let now = Instant::now();
        self.send_due(now);
        while self.receive() > 0 {}
        if now - self.swept >= Duration::from_millis(5) {
            self.swept = now;
            for peer in 0..self.peers.len() {
                self.sweep(peer, now);
            }
        }
        let due = self
            .flows
            .iter()
            .filter(|flow| self.groups[flow.group].running)
            .map(|flow| flow.next_at);
        due.min().map_or(now + TICK, |due| due.min(now + TICK))
    }

    fn send_due(&mut self, now: Instant) {
        for index in 0..self.flows.len() {
            let group = self.flows[index].group;
            while self.groups[group].running && self.flows[index].next_at <= now {
                self.burst(index, now);
                let flow = &mut self.flows[index];
                flow.next_at += flow.pattern.spacing;
            }
        }
    }

    fn burst(&mut self, index: usize, now: Instant) {
        let flow = &mut self.flows[index];
        let peer = &mut self.peers[flow.peer];
        let Some(path) = peer.path else { return };
        self.scratch.clear();
        let mut segment = None;
        for _ in 0..flow.pattern.burst {
            let start = self.scratch.len();
            let (header, plain) = flow.packet(now, &mut self.scratch);
            let length = match &mut peer.transport {
                Some(transport) => {
                    self.scratch.resize(start + plain + SRTP_OVERHEAD, 0);
                    let room = &mut self.scratch[start..];
                    transport.seal_rtp(room, header, plain).unwrap()
                }
                None => flow.pattern.datagram,
            };
            self.scratch.truncate(start + length);
            segment = Some(u16::try_from(length).unwrap());
        }
        self.groups[flow.group].sent += flow.pattern.burst as u64;
        let segment = segment.filter(|_| flow.pattern.burst > 1);
        self.wire
            .send(flow.peer, path.remote, &self.scratch, segment);
    }

    fn receive(&mut self) -> usize {
        let Self {
            wire,
            peers,
            groups,
            flows,
            opened,
            unix_epoch,
            ..
        } = self;
        let mut talk = Vec::new();
        let port = wire.port;
        let count = wire.receive(|arrival| {
            let Some(peer) = peers.get_mut(arrival.to) else {
                return;
            };
            let Some(group) = groups.get_mut(peer.group) else {
                return;
            };
            if classify(arrival.data) == DatagramKind::Rtp {
                let since = Duration::from_nanos(arrival.at.saturating_sub(*unix_epoch));
                let floor = peer.transport.is_none();
                let sent = peer.rtp(group, &arrival, since, port, opened);
                if floor && let Some((ssrc, sequence)) = sent {
                    let flow = flows
                        .iter()
                        .find(|f| f.ssrc.0 == ssrc && f.group == peer.group);
                    if let Some(flow) = flow {
                        group.delay(flow.sent_at(sequence), arrival.at);
                    }
                }
            } else {
                talk.push((arrival.to, arrival.from, arrival.data.to_vec()));
            }
        });
        for (peer, from, mut data) in talk {
            self.talk(peer, from, &mut data);
        }
        count
    }

    /// STUN, DTLS and RTCP.
    fn talk(&mut self, peer: usize, remote: SocketAddr, data: &mut [u8]) {
        let local = SocketAddr::from((address(peer), self.wire.port));
        let Some(transport) = &mut self.peers[peer].transport else {
            return;
        };
        let path = Path {
            via: Via::Udp,
            local,
            remote,
        };
        if let Received::Rtcp(packet) = transport.handle_datagram(Instant::now(), path, data) {
            for item in Compound::new(packet).flatten() {
                let wanted = |ssrc: Ssrc| match &item {
                    Rtcp::Pli { media, .. } => *media == ssrc,
                    Rtcp::Fir(fir) => fir.entries().any(|(entry, _)| entry == ssrc),
                    _ => false,
                };
                for flow in self.flows.iter_mut().filter(|flow| flow.peer == peer) {
                    flow.keyframe_due |= wanted(flow.ssrc);
                }
            }
        }
        self.drain(peer);
    }

    fn drain(&mut self, number: usize) {
        let peer = &mut self.peers[number];
        let Some(transport) = &mut peer.transport else {
            return;
        };
        while let Some(output) = transport.poll() {
            match output {
                Output::Transmit { path, mut payload } => {
                    offering::narrow(PROFILE, &mut payload);
                    self.wire.send(number, path.remote, &payload, None);
                }
                Output::Event(Event::Connected { profile }) => {
                    assert_eq!(
                        profile, PROFILE,
                        "the cipher that everybody is measured with"
                    );
                    peer.connected = Some(Instant::now());
                }
                Output::Event(event @ (Event::Failed(_) | Event::Closed)) => {
                    eprintln!("  peer {number} is cut off: {event:?}");
                    peer.gone = true;
                }
                Output::Event(_) => {}
            }
        }
        peer.path = transport.path();
    }

    /// Timers, feedback and reports of one peer.
    fn sweep(&mut self, number: usize, now: Instant) {
        let peer = &mut self.peers[number];
        let Some(transport) = &mut peer.transport else {
            return;
        };
        if transport.next_timeout().is_some_and(|at| at <= now) {
            transport.handle_timeout(now);
            self.drain(number);
        }
        let peer = &mut self.peers[number];
        if peer.connected.is_none() {
            return;
        }
        self.scratch.clear();
        if now >= peer.report_at {
            peer.report_at = now + REPORT;
            let running = |flow: &&Flow| flow.peer == number && self.groups[flow.group].running;
            for flow in self.flows.iter().filter(running) {
                flow.report(now, &mut self.scratch);
            }
            let blocks: Vec<ReportBlock> = peer.streams.iter().map(Stream::report).collect();
            rtcp::receiver_report(&mut self.scratch, peer.ssrc, &blocks);
        }
        if now >= peer.feedback_at {
            peer.feedback_at = now + FEEDBACK;
            let media = peer.streams.first().map_or(Ssrc(0), |s| Ssrc(s.ssrc));
            while peer.arrivals.is_pending() {
                peer.arrivals.build(&mut self.scratch, peer.ssrc, media);
            }
        }
        let plain = self.scratch.len();
        if plain == 0 {
            return;
        }
        self.scratch.resize(plain + SRTP_OVERHEAD, 0);
        let transport = peer.transport.as_mut().expect("looked at above");
        if let (Ok(length), Some(path)) = (transport.seal_rtcp(&mut self.scratch, plain), peer.path)
        {
            self.wire
                .send(number, path.remote, &self.scratch[..length], None);
        }
    }
}

impl Group {
    fn delay(&mut self, sent: u64, arrived: u64) {
        self.delays
            .saturating_record(arrived.saturating_sub(sent).max(1));
    }
}

impl Peer {
    fn new(group: usize, ssrc: Ssrc) -> Self {
        // Everybody's reports at another time, as in life.
        let now = Instant::now();
        let apart = Duration::from_millis(u64::from(ssrc.0 % 1000));
        Self {
            group,
            transport: None,
            path: None,
            connected: None,
            gone: false,
            ssrc,
            agreed: Agreed {
                transport_cc: None,
                media: vec![100, 111],
            },
            arrivals: TransportCcRecorder::new(),
            streams: Vec::new(),
            feedback_at: now + apart / 10,
            report_at: now + apart,
        }
    }

    /// Counts a packet; returns its SSRC and sequence number if it is new.
    fn rtp(
        &mut self,
        group: &mut Group,
        arrival: &Arrival<'_>,
        since: Duration,
        port: u16,
        opened: &mut Vec<u8>,
    ) -> Option<(u32, u16)> {
        let Ok(packet) = RtpPacket::parse(arrival.data) else {
            group.unreadable += 1;
            return None;
        };
        if let Some(number) = self.agreed.transport_cc.and_then(|id| packet.extension(id))
            && let Some(number) = number.first_chunk()
        {
            self.arrivals.record(u16::from_be_bytes(*number), since);
        }
        // The generator pads nothing: what is padded are the server's probes.
        let padded = arrival.data[0] & 0x20 != 0;
        if padded || !self.agreed.media.contains(&packet.payload_type()) {
            group.repaired += 1;
            return None;
        }
        let (ssrc, sequence) = (packet.ssrc().0, packet.sequence());
        let stream = match self.streams.iter_mut().find(|s| s.ssrc == ssrc) {
            Some(stream) => stream,
            None => {
                self.streams.push(Stream::new(ssrc, sequence));
                self.streams.last_mut().expect("just pushed")
            }
        };
        if !stream.arrive(sequence) {
            group.doubled += 1;
            return None;
        }
        group.received += 1;
        if sequence % SAMPLE == 0
            && let Some(transport) = &mut self.transport
        {
            opened.clear();
            opened.extend_from_slice(arrival.data);
            let path = Path {
                via: Via::Udp,
                local: SocketAddr::from((address(arrival.to), port)),
                remote: arrival.from,
            };
            match transport.handle_datagram(Instant::now(), path, opened) {
                Received::Rtp(plain) => match sent_at(plain) {
                    Some(sent) => group.delay(sent, arrival.at),
                    None => group.unreadable += 1,
                },
                _ => group.unreadable += 1,
            }
        }
        Some((ssrc, sequence))
    }
}

impl Stream {
    fn new(ssrc: u32, sequence: u16) -> Self {
        Self {
            ssrc,
            highest: (u32::from(sequence) | 0x1_0000) - 1,
            window: 0,
        }
    }

    /// Whether it was not here before.
    fn arrive(&mut self, sequence: u16) -> bool {
        let ahead = sequence.wrapping_sub(self.highest as u16);
        if ahead != 0 && ahead < 0x8000 {
            self.highest += u32::from(ahead);
            self.window = self.window.checked_shl(u32::from(ahead)).unwrap_or(0) | 1;
            return true;
        }
        let bit = 1u64.checked_shl(u32::from(ahead.wrapping_neg()));
        let new = bit.is_some_and(|bit| self.window & bit == 0);
        self.window |= bit.unwrap_or(0);
        new
    }

    fn report(&self) -> ReportBlock {
        ReportBlock {
            ssrc: Ssrc(self.ssrc),
            fraction_lost: 0,
            cumulative_lost: 0,
            highest_sequence: self.highest,
            jitter: 20,
            last_sr: 0,
            delay_since_last_sr: 0,
        }
    }
}

/// Where every server under measure listens.
pub(crate) const SERVER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
