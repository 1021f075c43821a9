//! One worker without thread and sockets, in virtual time.

use super::control::Next;
use super::*;
use crate::channel::Channels;
use crate::counters::Count;
use crate::net::Wire;
use althing_bus::{Bus, InProcess, Subscription};
use althing_control::{Allocate, BridgeEvent, EndpointState, SlotMode, decode};
use althing_model::{EndpointId, FeedbackSources, MediaKinds, NodeId, Role, SeededEntropy, Ssrc};
use althing_transport::{Certificate, Via};
use futures_util::FutureExt;
use quinn_udp::Transmit;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

#[derive(Debug)]
struct Nowhere;

impl Wire for Nowhere {
    fn max_segments(&self, _: SocketAddr) -> usize {
        1
    }
    fn send(&self, _: SocketAddr, _: &Transmit<'_>) -> io::Result<()> {
        Ok(())
    }
}

struct Bench {
    state: State,
    channels: Arc<Channels>,
    events: Subscription,
    now: Instant,
    // The rings of all workers, ours first.
    rings: Vec<Receiver<Handover>>,
    _poll: mio::Poll,
}

impl Bench {
    /// Worker 0 of `workers`.
    fn new(workers: usize) -> Self {
        let bus = Arc::new(InProcess::new());
        let events = bus.subscribe("focus.n1");
        let channels = Arc::new(Channels::default());
        let poll = mio::Poll::new().unwrap();
        let waker = Arc::new(mio::Waker::new(poll.registry(), mio::Token(0)).unwrap());
        let (spare, spare_out) = crossbeam_channel::bounded(4);
        let mut rings = Vec::new();
        let peers = (0..workers)
            .map(|_| {
                let (ring, out) = crossbeam_channel::bounded(2);
                rings.push(out);
                Peer {
                    ring,
                    waker: waker.clone(),
                    spare: spare.clone(),
                }
            })
            .collect();
        let shared = Arc::new(Shared {
            node: NodeId::new("n1").unwrap(),
            candidates: Vec::new(),
            certificate: Certificate::generate().unwrap(),
            bus,
            channels: channels.clone(),
            peers,
        });
        let entropy = Box::new(SeededEntropy::new(1));
        Self {
            state: State::new(0, shared, Arc::new(Nowhere), entropy, spare_out),
            channels,
            events,
            now: Instant::now(),
            rings,
            _poll: poll,
        }
    }

    fn command(&mut self, command: Command) {
        assert_eq!(self.state.handle_command(self.now, command), Next::GoOn);
        self.state.finish_batch(self.now);
    }

    fn request(&mut self, request: BridgeRequest) -> BridgeReply {
        let (reply, answer) = oneshot::channel();
        self.command(Command::Control {
            request: Box::new(request),
            reply,
        });
        answer.now_or_never().unwrap().unwrap()
    }

    fn allocate(&mut self, conference: &str, endpoint: &str) -> Box<althing_control::Allocated> {
        let request = BridgeRequest::Allocate(Allocate {
            conference: ConferenceId::new(conference).unwrap(),
            endpoint: EndpointId::new(endpoint).unwrap(),
            role: Role::Participant,
            may_send: MediaKinds::ALL,
            receives_audio: true,
            receives_video: true,
            slots: SlotMode::Plain,
            feedback: FeedbackSources {
                audio: Ssrc(1),
                video: Ssrc(2),
            },
            events_to: "focus.n1".to_owned(),
        });
        match self.request(request) {
            BridgeReply::Allocated(allocated) => allocated,
            other => panic!("{other:?}"),
        }
    }

    /// Lets time pass, timer by timer.
    fn pass(&mut self, duration: Duration) {
        let end = self.now + duration;
        while let Some(next) = self.state.next_timeout().filter(|next| *next <= end) {
            self.now = self.now.max(next);
            self.state.handle_timeouts(self.now);
            self.state.finish_batch(self.now);
        }
        self.now = end;
    }

    fn datagram(&mut self, path: Path, data: &[u8]) {
        self.state
            .handle_datagram(self.now, path, &mut data.to_vec());
        self.state.finish_batch(self.now);
    }

    fn event(&mut self) -> Option<(String, EndpointState)> {
        let delivery = self.events.next().now_or_never()??;
        let BridgeEvent::EndpointState {
            endpoint, state, ..
        } = decode(&delivery.payload).unwrap();
        Some((endpoint.to_string(), state))
    }

    fn count(&self, count: Count) -> u64 {
        self.state.counters.get(count)
    }

    #[track_caller]
    fn assert_empty(&self) {
        assert_eq!(self.state.endpoints.len(), 0);
        assert_eq!(self.state.conferences.len(), 0);
        assert_eq!(self.state.by_id.len(), 0);
        assert_eq!(self.state.by_ufrag.len(), 0);
        assert_eq!(self.state.addresses.len(), 0);
        for count in [
            Count::Endpoints,
            Count::Conferences,
            Count::EndpointsInactive,
            Count::LargestConference,
        ] {
            assert_eq!(self.count(count), 0, "{count:?}");
        }
    }
}

fn path(port: u16) -> Path {
    Path {
        via: Via::Udp,
        local: "192.0.2.1:10000".parse().unwrap(),
        remote: SocketAddr::new("198.51.100.1".parse().unwrap(), port),
    }
}

/// A Binding request (RFC 8489) whose user name begins with `ufrag`, without integrity.
fn check(ufrag: &str) -> Vec<u8> {
    let name = format!("{ufrag}:theirs");
    let padded = name.len().next_multiple_of(4);
    let mut stun = vec![0, 1];
    stun.extend_from_slice(&u16::try_from(padded + 4).unwrap().to_be_bytes());
    stun.extend_from_slice(&[0x21, 0x12, 0xa4, 0x42]);
    stun.extend_from_slice(&[9; 12]);
    stun.extend_from_slice(&[0, 6]);
    stun.extend_from_slice(&u16::try_from(name.len()).unwrap().to_be_bytes());
    stun.extend_from_slice(name.as_bytes());
    stun.resize(20 + 4 + padded, 0);
    stun
}

#[test]
fn a_silent_endpoint_is_told_of_then_expired_and_its_conference_follows() {
    let mut bench = Bench::new(1);
    let allocated = bench.allocate("c1", "ann00001");
    assert!(allocated.transport.ufrag.starts_with('a'));
    bench.pass(Duration::from_millis(14_900));
    assert_eq!(bench.count(Count::EndpointsInactive), 0);
    bench.pass(Duration::from_millis(200));
    assert_eq!(bench.count(Count::EndpointsInactive), 1);
    assert_eq!(bench.count(Count::EndpointsDisconnected), 1);
    assert!(bench.channels.find("c1", "ann00001").is_some());
    bench.pass(Duration::from_secs(44));
    assert_eq!(bench.state.endpoints.len(), 1);
    bench.pass(Duration::from_secs(1));
    assert_eq!(
        bench.event(),
        Some(("ann00001".to_owned(), EndpointState::Expired))
    );
    assert_eq!(bench.state.endpoints.len(), 0);
    assert!(bench.channels.find("c1", "ann00001").is_none());
    assert_eq!(bench.state.conferences.len(), 1);
    bench.pass(Duration::from_secs(21));
    bench.assert_empty();
    bench.pass(Duration::from_secs(600));
    assert_eq!(bench.state.next_timeout(), None);
}

#[test]
fn a_conference_waits_a_while_for_somebody_to_come_back() {
    let mut bench = Bench::new(1);
    bench.allocate("c1", "ann00001");
    let expire = || BridgeRequest::Expire {
        conference: ConferenceId::new("c1").unwrap(),
        endpoint: EndpointId::new("ann00001").unwrap(),
    };
    assert_eq!(bench.request(expire()), BridgeReply::Done);
    bench.pass(Duration::from_secs(19));
    bench.allocate("c1", "ann00001");
    bench.pass(Duration::from_secs(19));
    assert_eq!(bench.count(Count::ConferencesCreated), 1);
    assert_eq!(bench.request(expire()), BridgeReply::Done);
    bench.pass(Duration::from_secs(21));
    bench.assert_empty();
}

#[test]
fn many_comings_and_goings_leave_nothing_behind() {
    let mut bench = Bench::new(1);
    for round in 0..200 {
        let conference = format!("c{}", round % 7);
        bench.allocate(&conference, &format!("ep{}", round % 11));
        if round % 3 == 0 {
            bench.request(BridgeRequest::ExpireConference {
                conference: ConferenceId::new(conference).unwrap(),
            });
        }
        bench.pass(Duration::from_millis(100));
    }
    bench.pass(Duration::from_secs(120));
    bench.assert_empty();
    assert_eq!(
        bench.count(Count::ConferencesCreated),
        bench.count(Count::ConferencesEnded)
    );
    assert_eq!(bench.state.next_timeout(), None);
}

#[test]
fn a_bug_in_one_conference_ends_that_one_only() {
    let mut bench = Bench::new(1);
    bench.allocate("c1", "ann00001");
    bench.allocate("c2", "bob00002");
    bench.command(Command::Panic(ConferenceId::new("c1").unwrap()));
    assert_eq!(bench.count(Count::Panics), 1);
    assert_eq!(bench.count(Count::Conferences), 1);
    assert_eq!(bench.count(Count::Endpoints), 1);
    assert!(bench.channels.find("c1", "ann00001").is_none());
    assert!(bench.channels.find("c2", "bob00002").is_some());
    assert_eq!(
        bench.event(),
        Some(("ann00001".to_owned(), EndpointState::Expired))
    );
    // And the room can begin again.
    bench.allocate("c1", "ann00001");
    assert_eq!(bench.count(Count::Endpoints), 2);
}

#[test]
fn strangers_are_counted_and_never_answered() {
    let mut bench = Bench::new(1);
    let allocated = bench.allocate("c1", "ann00001");
    let sent = bench.state.queue.counters.packets;
    bench.datagram(path(4000), &[0x80, 111, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1]);
    bench.datagram(path(4000), &[0x16, 0xfe, 0xfd]);
    bench.datagram(path(4000), b"GET / HTTP/1.1");
    bench.datagram(path(4000), &[]);
    assert_eq!(bench.count(Count::DroppedUnknownAddress), 4);
    bench.datagram(path(4000), &check("aunknown"));
    assert_eq!(bench.count(Count::DroppedUnknownUfrag), 1);
    bench.datagram(path(0), &check(&allocated.transport.ufrag));
    assert_eq!(bench.count(Count::DroppedUnroutable), 1);
    // The right fragment without its password: the transport refuses it.
    bench.datagram(path(4000), &check(&allocated.transport.ufrag));
    assert_eq!(bench.count(Count::PacketsReceived), 7);
    assert_eq!(bench.state.queue.counters.packets, sent);
    assert_eq!(bench.state.addresses.len(), 0);
}

#[test]
fn checks_for_another_worker_are_handed_over_while_its_ring_has_room() {
    let mut bench = Bench::new(3);
    let stun = check("b234567890");
    for _ in 0..3 {
        bench.datagram(path(4000), &stun);
    }
    assert_eq!(bench.count(Count::Handovers), 2);
    assert_eq!(bench.count(Count::HandoversDropped), 1);
    let Ok(Handover::Datagram { from: 0, data, .. }) = bench.rings[1].try_recv() else {
        panic!("no datagram for worker 1");
    };
    assert_eq!(data, stun);
    // A letter beyond the workers there are.
    bench.datagram(path(4000), &check("d234567890"));
    assert_eq!(bench.count(Count::DroppedUnknownUfrag), 1);
}

#[test]
fn routes_of_other_workers_are_learnt_and_forgotten() {
    let mut bench = Bench::new(2);
    let rtp = [0x80, 111, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1];
    let now = bench.now;
    let route = Handover::Route {
        path: path(4000),
        owner: 1,
    };
    bench.state.handle_handover(now, route);
    bench.datagram(path(4000), &rtp);
    assert_eq!(bench.count(Count::Handovers), 1);
    // A datagram handed over to us by mistake is not passed on again.
    let stray = Handover::Datagram {
        from: 1,
        path: path(5000),
        data: rtp.to_vec(),
    };
    bench.state.handle_handover(now, stray);
    assert_eq!(bench.count(Count::DroppedUnknownAddress), 1);
    let told: Vec<Handover> = bench.rings[1].try_iter().collect();
    assert!(
        matches!(
            told[..],
            [
                Handover::Datagram { .. },
                Handover::Unroute { owner: 0, .. }
            ]
        ),
        "{told:?}"
    );
    let unroute = Handover::Unroute {
        path: path(4000),
        owner: 1,
    };
    bench.state.handle_handover(now, unroute);
    bench.datagram(path(4000), &rtp);
    assert_eq!(bench.count(Count::DroppedUnknownAddress), 2);
}
