//! One large meeting on one worker or on several: a thread each with a socket of its own, and rings
//! between them as in the running bridge. Receivers are sockets that nobody reads, so that what is
//! measured is what leaves.

use super::{FEEDBACK, Kind, Speaker, join, number, timeouts};
use crate::channel::Channels;
use crate::directory::{Member, PartCommand, link};
use crate::limits::{Ceilings, EndpointLimits};
use crate::net::bind_all;
use crate::worker::control::Next;
use crate::worker::{Command, Handover, MAX_HANDOVERS, PacketKind, Peer, Shared, State, owner};
use althing_bus::InProcess;
use althing_model::{ConferenceId, NodeId, SeededEntropy};
use althing_transport::{Certificate, Path, SrtpProfile, Transport, fuzzing};
use crossbeam_channel::Receiver;
use nix::time::{ClockId, clock_gettime};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

/// Packets that arrive together.
const TOGETHER: usize = 10;
/// Packets from others that a worker handles before it sends.
const TURN: usize = 256;

/// No packet takes this long, however busy the machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a run took.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// From the first packet that arrives to the last that leaves.
    pub wall: Duration,
    /// Processor time of each worker's thread.
    pub busy: Vec<Duration>,
    /// Packets that left each worker.
    pub sent: Vec<u64>,
}

/// One worker, and its receivers.
struct Side {
    state: State,
    now: Instant,
    spacing: Duration,
    ring: Receiver<Handover>,
    /// Where the speaker's datagrams come from, at its worker.
    path: Path,
    local: SocketAddr,
    sockets: Vec<UdpSocket>,
    _poll: mio::Poll,
}

/// See the module.
pub struct Crowd {
    sides: Vec<Side>,
    speaker: Speaker,
}

impl std::fmt::Debug for Crowd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Crowd")
            .field("workers", &self.sides.len())
            .finish_non_exhaustive()
    }
}

impl Crowd {
    /// The speaker on the first worker, the receivers spread evenly over all of them.
    ///
    /// # Panics
    /// When there are no sockets, or a worker does not do what it is told.
    #[must_use]
    pub fn new(kind: Kind, receivers: usize, workers: usize) -> Self {
        let (ours, theirs, path) = fuzzing::connected(SrtpProfile::AeadAes128Gcm);
        let mut sides = sides(ours.last_activity(), path, kind.spacing(), workers);
        let id = at_home(workers);
        let mut transport = Some(ours);
        let mut members = Vec::new();
        for index in 0..=receivers {
            let transport = transport.take().unwrap_or_else(|| {
                let (ours, _, _) = fuzzing::connected(SrtpProfile::AeadAes128Gcm);
                ours
            });
            // The speaker at home, the others everywhere.
            let worker = index.saturating_sub(1) % workers;
            members.push(sides[worker].join(&id, worker, index, transport));
            if index == 0 {
                open(&mut sides, &id, &members[0]);
            }
        }
        for (worker, side) in sides.iter_mut().enumerate() {
            let others = members[1..].iter().filter(|m| m.link != link(worker));
            for member in others {
                side.tell(&id, PartCommand::Joined(member.clone()));
            }
        }
        let speaker = Speaker::new(theirs, kind);
        let mut crowd = Self { sides, speaker };
        crowd.settle();
        crowd
    }

    /// What workers say to each other arrives.
    fn settle(&mut self) {
        for _ in 0..100 {
            for side in &mut self.sides {
                side.now += Duration::from_millis(20);
                timeouts(&mut side.state, side.now);
                while let Ok(handover) = side.ring.try_recv() {
                    side.state.handle_handover(side.now, handover);
                }
                side.state.finish_batch(side.now);
            }
        }
    }

    /// So many packets of the speaker arrive, ten at a time and as fast as they are dealt with.
    ///
    /// # Panics
    /// When there are more of them than a ring holds.
    pub fn run(&mut self, packets: usize) -> Outcome {
        assert!(packets < MAX_HANDOVERS, "none is lost on the way");
        let datagrams: Vec<Vec<u8>> = (0..packets).map(|_| self.speaker.datagram()).collect();
        let before: Vec<u64> = self.sides.iter().map(Side::packets_sent).collect();
        let start = Barrier::new(self.sides.len() + 1);
        let mut busy = Vec::new();
        let mut wall = Duration::ZERO;
        std::thread::scope(|scope| {
            let mut sides = self.sides.iter_mut();
            let first = sides.next().expect("there is a worker");
            let start = &start;
            let mut threads = vec![scope.spawn(move || {
                start.wait();
                first.arrive(datagrams)
            })];
            threads.extend(sides.map(|side| {
                scope.spawn(move || {
                    start.wait();
                    side.relay(packets)
                })
            }));
            start.wait();
            let began = Instant::now();
            busy.extend(
                threads
                    .into_iter()
                    .map(|thread| thread.join().expect("no worker panics")),
            );
            wall = began.elapsed();
        });
        let sent = self.sides.iter().zip(before);
        Outcome {
            wall,
            busy,
            sent: sent
                .map(|(side, before)| side.packets_sent() - before)
                .collect(),
        }
    }
}

impl Side {
    /// Somebody comes who is sent packets by a path of their own, to a socket that nobody reads.
    fn join(
        &mut self,
        id: &ConferenceId,
        worker: usize,
        index: usize,
        transport: Transport,
    ) -> Member {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("there are sockets");
        let remote = socket.local_addr().expect("it is bound");
        self.sockets.push(socket);
        let path = Path {
            local: self.local,
            remote,
            ..self.path
        };
        let arrives_by = (index == 0).then_some(self.path);
        let endpoint = (index, transport, path);
        let (request, sources) = join(&mut self.state, self.now, id, endpoint, arrives_by);
        Member {
            sources,
            ..Member::new(&request, worker, number(index))
        }
    }

    fn tell(&mut self, conference: &ConferenceId, command: PartCommand) {
        let command = Command::Part {
            conference: conference.clone(),
            command: Box::new(command),
        };
        assert_eq!(self.state.handle_command(self.now, command), Next::GoOn);
        self.state.finish_batch(self.now);
    }

    /// The speaker's packets arrive. Returns what that took of the processor.
    fn arrive(&mut self, mut datagrams: Vec<Vec<u8>>) -> Duration {
        let began = thread_time();
        for together in datagrams.chunks_mut(TOGETHER) {
            self.now += self.spacing * TOGETHER as u32;
            timeouts(&mut self.state, self.now);
            for datagram in together {
                self.state.handle_datagram(self.now, self.path, datagram);
            }
            while let Ok(handover) = self.ring.try_recv() {
                self.state.handle_handover(self.now, handover);
            }
            self.state.finish_batch(self.now);
        }
        thread_time().saturating_sub(began)
    }

    /// The same packets come by the ring.
    fn relay(&mut self, packets: usize) -> Duration {
        let began = thread_time();
        let mut left = packets;
        while left > 0 {
            let first = self
                .ring
                .recv_timeout(PATIENCE)
                .expect("every packet crosses");
            let next = std::iter::once(first);
            let mut turn = next.chain(self.ring.try_iter()).take(TURN);
            turn.try_for_each(|handover| {
                if let Handover::Packet {
                    kind: PacketKind::Rtp,
                    ..
                } = handover
                {
                    self.now += self.spacing;
                    left -= 1;
                }
                self.state.handle_handover(self.now, handover);
                (left > 0).then_some(())
            });
            timeouts(&mut self.state, self.now);
            self.state.finish_batch(self.now);
        }
        thread_time().saturating_sub(began)
    }

    const fn packets_sent(&self) -> u64 {
        self.state.queue.counters.packets
    }
}

/// Workers with sockets and rings, and nobody in them.
fn sides(now: Instant, path: Path, spacing: Duration, workers: usize) -> Vec<Side> {
    let localhost = IpAddr::from(Ipv4Addr::LOCALHOST);
    let sockets = bind_all(0, &[localhost], workers).expect("there is a port");
    let mut rings = Vec::new();
    let mut spares = Vec::new();
    let mut polls = Vec::new();
    let mut peers = Vec::new();
    for _ in 0..workers {
        let poll = mio::Poll::new().expect("the system has epoll");
        let waker = mio::Waker::new(poll.registry(), mio::Token(0)).expect("and eventfd");
        let (ring, ring_out) = crossbeam_channel::bounded(MAX_HANDOVERS);
        let (checks, _) = crossbeam_channel::bounded(1);
        let (spare, spare_out) = crossbeam_channel::bounded(MAX_HANDOVERS);
        peers.push(Peer {
            ring,
            checks,
            waker: Arc::new(waker),
            spare,
        });
        rings.push(ring_out);
        spares.push(spare_out);
        polls.push(poll);
    }
    let shared = Arc::new(Shared {
        node: NodeId::new("n1").expect("an id"),
        candidates: Vec::new(),
        certificate: Certificate::generate().expect("the crypto library makes certificates"),
        bus: Arc::new(InProcess::new()),
        channels: Arc::new(Channels::default()),
        peers,
        limits: EndpointLimits::default(),
        patience: crate::settings::Patience::default(),
        ceilings: Ceilings::new(&EndpointLimits::default()),
        forwarding: althing_forwarding::Settings::default(),
        gone: tokio::sync::mpsc::channel(1).0,
    });
    let parts = sockets.into_iter().zip(rings).zip(spares).zip(polls);
    let sides = parts
        .enumerate()
        .map(|(index, (((sockets, ring), spare), poll))| {
            let local = sockets[0].bound;
            let entropy = Box::new(SeededEntropy::new(index as u64 + 1));
            Side {
                state: State::new(index, shared.clone(), Arc::new(sockets), entropy, spare),
                now,
                spacing,
                ring,
                path,
                local,
                sockets: Vec::new(),
                _poll: poll,
            }
        });
    sides.collect()
}

/// Every worker has a part, and knows of the speaker: who came first comes first.
fn open(sides: &mut [Side], id: &ConferenceId, speaker: &Member) {
    let workers = sides.len();
    for (worker, side) in sides.iter_mut().enumerate() {
        let open = PartCommand::Open {
            feedback: FEEDBACK,
            links: (0..workers).filter(|w| *w != worker).map(link).collect(),
            members: (worker > 0).then(|| speaker.clone()).into_iter().collect(),
        };
        side.tell(id, open);
    }
}

/// A conference whose home is the first worker.
fn at_home(workers: usize) -> ConferenceId {
    let mut names = (0..).map(|n| ConferenceId::new(format!("c{n}")).expect("an id"));
    let found = names.find(|id| owner(id, workers) == 0);
    found.expect("among all names is one")
}

/// What this thread has had of the processor.
fn thread_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)
        .expect("Linux counts it")
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_packet_leaves_once_for_everybody_however_many_workers_there_are() {
        for workers in [1, 2, 3] {
            let mut crowd = Crowd::new(Kind::Video, 12, workers);
            crowd.run(200);
            let outcome = crowd.run(500);
            assert_eq!((outcome.busy.len(), outcome.sent.len()), (workers, workers));
            let sent: u64 = outcome.sent.iter().sum();
            // The speaker is told of its arrivals besides.
            assert!((6000..6200).contains(&sent), "{outcome:?}");
            let each = 6000 / workers as u64;
            assert!(outcome.sent.iter().all(|sent| *sent >= each), "{outcome:?}");
        }
    }
}
