//! What a fuzzer drives: the whole way of media through one worker, from the datagram on, with
//! several clients in one conference. The clients are transports as well: they check, shake hands
//! and seal as browsers do, so nothing is let in by a side door, and whatever reaches them must open.

mod network;

use self::network::Air;
use crate::channel::Channels;
use crate::counters::Count;
use crate::limits::{Ceilings, EndpointLimits};
use crate::stress::Measures;
use crate::worker::{Command, Peer, Shared, State, owner};
use althing_bus::InProcess;
use althing_colibri::{ClientMessage, VideoConstraints};
use althing_control::{
    Allocate, Allocated, BridgeReply, BridgeRequest, RemoteTransport, SlotMode, Update,
};
use althing_forwarding::{EndpointKey, fuzzing as media};
use althing_model::{
    ConferenceId, EndpointId, FeedbackSources, MediaKinds, NodeId, Role, SeededEntropy, Ssrc,
};
use althing_rtp::rtcp::TransportCcRecorder;
use althing_transport::{
    Certificate, DtlsRole, Fingerprint, IceCredentials, Path, RemoteParameters, Settings,
    Transport, Via,
};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

const SEATS: usize = 4;
const MAX_OPERATIONS: usize = 512;
/// Rounds after which what is said back and forth has come to rest, or never does.
const MAX_ROUNDS: usize = 16;

/// How far an input came.
#[derive(Debug, Default)]
struct Reached {
    connected: usize,
    rtp: usize,
    rtcp: usize,
}

/// One at the other end.
struct Client {
    transport: Transport,
    /// As the worker sees it.
    path: Path,
    sequence: u16,
    arrivals: TransportCcRecorder,
    /// The newest number of each SSRC it got.
    heard: BTreeMap<u32, u16>,
}

struct World {
    state: State,
    now: Instant,
    began: Instant,
    air: Arc<Air>,
    clients: [Option<Client>; SEATS],
    entropy: SeededEntropy,
    next_port: u16,
    last_number: u64,
    reached: Reached,
    _poll: mio::Poll,
}

/// Plays the bytes as a meeting over the network: who comes and goes, what they send, what the network
/// does to it, time.
///
/// # Panics
/// When the worker breaks a promise, which is a bug here.
pub fn operations(data: &[u8]) {
    run(data);
}

fn run(data: &[u8]) -> Reached {
    let mut world = World::new();
    let mut rest = data;
    for _ in 0..MAX_OPERATIONS {
        let Some((&[operation, who, a, b], after)) = rest.split_first_chunk::<4>() else {
            break;
        };
        rest = after;
        world.operate(operation, usize::from(who) % SEATS, a, b, &mut rest);
        world.exchange();
    }
    world.end()
}

/// The worker's, and the one that all clients share: made once.
fn certificate(index: usize) -> Arc<Certificate> {
    static MADE: OnceLock<[Arc<Certificate>; 2]> = OnceLock::new();
    let make = || Certificate::generate().expect("the crypto library makes certificates");
    Arc::clone(&MADE.get_or_init(|| [make(), make()])[index])
}

/// One that is at home here.
fn conference() -> ConferenceId {
    let names = (0..).map(|n| ConferenceId::new(format!("c{n}")).expect("an id"));
    let mut at_home = names.filter(|id| owner(id, 2) == 0);
    at_home.next().expect("one in two is")
}

fn name(seat: usize) -> EndpointId {
    EndpointId::new(format!("e{seat}")).expect("an id")
}

fn all() -> ClientMessage {
    ClientMessage::ReceiverVideoConstraints(VideoConstraints {
        last_n: Some(-1),
        ..VideoConstraints::default()
    })
}

const fn back(path: Path) -> Path {
    Path {
        via: path.via,
        local: path.remote,
        remote: path.local,
    }
}

impl World {
    fn new() -> Self {
        // Only an origin for virtual time: nothing reads the clock again.
        let now = Instant::now();
        let poll = mio::Poll::new().expect("the system has epoll");
        let waker = Arc::new(mio::Waker::new(poll.registry(), mio::Token(0)).expect("and eventfd"));
        let (spare, spare_out) = crossbeam_channel::bounded(1);
        // Another worker, which takes nothing off its rings: they are soon full.
        let peers = [0, 1].map(|_| Peer {
            ring: crossbeam_channel::bounded(2).0,
            checks: crossbeam_channel::bounded(2).0,
            waker: Arc::clone(&waker),
            spare: spare.clone(),
        });
        let limits = EndpointLimits::default();
        let shared = Arc::new(Shared {
            node: NodeId::new("n1").expect("an id"),
            candidates: Vec::new(),
            certificate: certificate(0),
            bus: Arc::new(InProcess::new()),
            channels: Arc::new(Channels::default()),
            peers: peers.into(),
            forwarding: althing_forwarding::Settings::default(),
            ceilings: Ceilings::new(&limits),
            limits,
            patience: crate::settings::Patience::default(),
            gone: tokio::sync::mpsc::channel(1).0,
        });
        let air = Arc::new(Air::default());
        let wire = Arc::clone(&air);
        Self {
            state: State::new(0, shared, wire, Box::new(SeededEntropy::new(1)), spare_out),
            now,
            began: now,
            air,
            clients: [const { None }; SEATS],
            entropy: SeededEntropy::new(2),
            next_port: 20_000,
            last_number: 0,
            reached: Reached::default(),
            _poll: poll,
        }
    }

    fn operate(&mut self, operation: u8, seat: usize, a: u8, b: u8, rest: &mut &[u8]) {
        match operation % 17 {
            0 => self.join(seat, a, b),
            1 => self.leave(seat, a),
            2 => self.update(seat, |update| {
                update.sources = Some(media::sources(seat, a, b));
            }),
            3 => self.update(seat, |update| {
                update.redundant_audio = Some(a & 1 == 0);
                update.e2ee = (a & 6 == 6).then_some(a & 8 == 0);
                update.initial_last_n = (b & 1 == 0).then(|| i32::from(b) - 2);
                update.may_send = (b & 3 == 3).then_some(MediaKinds {
                    audio: b & 4 == 0,
                    video: b & 8 == 0,
                    ..MediaKinds::ALL
                });
            }),
            4 => self.told(seat, a),
            5 => {
                let text = take(rest, usize::from(a) << 8 | usize::from(b));
                if let Ok(Ok(message)) = std::str::from_utf8(text).map(ClientMessage::parse) {
                    self.at_core(seat, |core, now, key| {
                        core.handle_message(now, key, message);
                    });
                }
            }
            6 | 7 => {
                let burst = if b & 0x80 == 0 { 1 } else { 1 + (a >> 2 & 15) };
                for _ in 0..burst {
                    if let Some(number) = self.number(seat, 1 + u16::from(a >> 6)) {
                        self.send_rtp(seat, media::media(seat, a, b, number), b);
                    }
                }
            }
            8 => {
                let body = take(rest, usize::from(b % 16));
                if let Some(number) = self.number(seat, 1 + u16::from(a >> 6)) {
                    self.send_rtp(seat, media::layered(seat, a, number, body), 0);
                }
            }
            9 => {
                let packet = take(rest, usize::from(a)).to_vec();
                self.send_rtp(seat, packet, b);
            }
            10 => {
                let packet = take(rest, usize::from(a)).to_vec();
                self.send_rtcp(seat, packet);
            }
            11 => {
                // Bytes of anybody, by a path that is known or not.
                let mut datagram = take(rest, usize::from(a)).to_vec();
                let path = match &self.clients[seat] {
                    Some(client) if b & 1 == 0 => client.path,
                    _ => path(u16::from(b)),
                };
                self.deliver(path, &mut datagram);
            }
            12 => self.report(seat, a),
            13 => self.ask(seat, a, b),
            14 => {
                let measures = Measures {
                    probing: a & 1 == 0,
                    last_n: (a & 2 != 0).then_some(u32::from(b) % 4),
                    max_height: (a & 4 != 0).then_some(u32::from(b) * 8),
                    admits: a & 8 == 0,
                };
                self.command(Command::Shed(measures));
            }
            15 => self.command(Command::Survey),
            _ => self.pass(Duration::from_millis(u64::from(a) * (1 + u64::from(b)))),
        }
    }

    /// Allocated, told of, checked, shaken hands with; or some of that.
    fn join(&mut self, seat: usize, a: u8, b: u8) {
        let request = BridgeRequest::Allocate(Allocate {
            conference: conference(),
            endpoint: name(seat),
            role: if a == 255 {
                Role::Visitor
            } else {
                Role::Participant
            },
            may_send: MediaKinds::ALL,
            receives_audio: a & 1 == 0,
            receives_video: a & 2 == 0,
            transport_cc: a & 4 == 0,
            e2ee: a & 0x38 == 0x38,
            slots: if b & 1 == 0 {
                SlotMode::Rewriting
            } else {
                SlotMode::Plain
            },
            feedback: FeedbackSources {
                audio: Ssrc(1),
                video: Ssrc(2),
            },
            events_to: "focus.n1".to_owned(),
        });
        self.clients[seat] = None;
        let Some(BridgeReply::Allocated(allocated)) = self.request(request) else {
            return;
        };
        let port = self.next_port;
        self.next_port = 20_000 + (port - 20_000 + 1) % 40_000;
        let client = self.client(seat, &allocated, path(port));
        self.clients[seat] = Some(client);
        if a & 0x40 != 0 {
            return;
        }
        for _ in 0..30 {
            self.exchange();
            let Some(client) = &self.clients[seat] else {
                return;
            };
            if client.transport.is_connected() {
                self.reached.connected += 1;
                break;
            }
            self.pass(Duration::from_millis(20));
        }
        if b & 2 == 0 {
            self.told(seat, 0);
        }
    }

    fn client(&mut self, seat: usize, allocated: &Allocated, path: Path) -> Client {
        let credentials = IceCredentials::generate(&mut self.entropy);
        let settings = Settings {
            credentials: credentials.clone(),
            certificate: certificate(1),
            controlling: false,
            dtls: DtlsRole::Client,
            tie_breaker: 7,
        };
        let mut transport = Transport::new(settings, self.now);
        transport.add_local(path.remote);
        let theirs = &allocated.transport;
        let fingerprint =
            Fingerprint::parse(&theirs.fingerprint.algorithm, &theirs.fingerprint.value)
                .expect("a bridge tells a fingerprint that can be read");
        let remote = RemoteParameters {
            credentials: IceCredentials {
                ufrag: theirs.ufrag.clone(),
                password: theirs.password.clone(),
            },
            fingerprints: vec![fingerprint],
            candidates: vec![path.local],
        };
        let set = transport.set_remote(self.now, remote);
        set.expect("what a bridge tells is sound");
        let ours = certificate(1).fingerprint();
        let mut update = Update::new(conference(), name(seat));
        update.transport = Some(RemoteTransport {
            ufrag: credentials.ufrag,
            password: credentials.password,
            fingerprints: vec![althing_control::Fingerprint {
                algorithm: ours.algorithm.to_string(),
                value: ours.to_string(),
            }],
            candidates: Vec::new(),
        });
        self.request(BridgeRequest::Update(update));
        Client {
            transport,
            path,
            sequence: 0,
            arrivals: TransportCcRecorder::new(),
            heard: BTreeMap::new(),
        }
    }

    fn leave(&mut self, seat: usize, a: u8) {
        let request = match a % 4 {
            0 => BridgeRequest::ExpireConference {
                conference: conference(),
            },
            _ => BridgeRequest::Expire {
                conference: conference(),
                endpoint: name(seat),
            },
        };
        self.request(request);
        if a & 4 == 0 {
            self.clients[seat] = None;
        }
    }

    /// Something happens at the bridge channel.
    fn told(&mut self, seat: usize, a: u8) {
        self.at_core(seat, |core, now, key| {
            if a & 1 == 0 {
                core.channel_opened(now, key);
                core.handle_message(now, key, all());
            } else {
                core.channel_closed(now, key);
            }
        });
    }

    fn at_core(
        &mut self,
        seat: usize,
        work: impl FnOnce(&mut althing_forwarding::Conference, Instant, EndpointKey),
    ) {
        let Some(&slot) = self.state.by_id.get(&conference()) else {
            return;
        };
        let conference = &mut self.state.conferences[slot];
        let Some(&endpoint) = conference.by_id.get(&name(seat)) else {
            return;
        };
        let key = self.state.endpoints[endpoint].key;
        work(&mut conference.core, self.now, key);
        self.state.touch_conference(slot);
        self.finish();
    }

    fn update(&mut self, seat: usize, change: impl FnOnce(&mut Update)) {
        let mut update = Update::new(conference(), name(seat));
        change(&mut update);
        self.request(BridgeRequest::Update(update));
    }

    fn request(&mut self, request: BridgeRequest) -> Option<BridgeReply> {
        let (reply, mut answer) = oneshot::channel();
        self.last_number += 1;
        self.command(Command::Control {
            request: Box::new(request),
            number: self.last_number,
            reply,
        });
        answer.try_recv().ok()
    }

    fn command(&mut self, command: Command) {
        let _ = self.state.handle_command(self.now, command);
        self.finish();
    }

    fn deliver(&mut self, path: Path, datagram: &mut [u8]) {
        self.state.handle_datagram(self.now, path, datagram);
        self.finish();
    }

    fn finish(&mut self) {
        self.state.finish_batch(self.now);
        assert_eq!(self.state.counters.get(Count::Panics), 0);
    }

    /// Everybody goes: nothing is left of anybody.
    fn end(mut self) -> Reached {
        for seat in 0..SEATS {
            self.leave(seat, 1);
        }
        assert_eq!(self.state.endpoints.len(), 0);
        assert_eq!(self.state.addresses.len(), 0);
        assert_eq!(self.state.by_ufrag.len(), 0);
        self.leave(0, 0);
        assert_eq!(self.state.conferences.len(), 0);
        self.reached
    }
}

const fn path(port: u16) -> Path {
    const fn address(last: u8, port: u16) -> SocketAddr {
        let ip = std::net::Ipv4Addr::new(192, 0, 2, last);
        SocketAddr::new(std::net::IpAddr::V4(ip), port)
    }
    Path {
        via: Via::Udp,
        local: address(1, 10_000),
        remote: address(2, port),
    }
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> &'a [u8] {
    let (taken, after) = rest.split_at(length.min(rest.len()));
    *rest = after;
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_clients_hear_and_see_each_other_through_every_lock() {
        let joins = [[0, 0, 0, 0], [0, 1, 0, 1], [0, 2, 0, 0]];
        let sources = [[2, 0, 3, 0], [2, 1, 3, 0]];
        let mut input: Vec<u8> = [joins.concat(), sources.concat()].concat();
        for _ in 0..40 {
            for operation in [
                [6, 0, 0, 16],
                [6, 1, 1, 0],
                [16, 0, 20, 0],
                [12, 2, 1, 0],
                [13, 2, 0, 1],
            ] {
                input.extend(operation);
            }
        }
        let reached = run(&input);
        assert_eq!(reached.connected, 3);
        assert!(reached.rtp > 30, "{reached:?}");
        assert!(reached.rtcp > 0, "{reached:?}");
    }
}
