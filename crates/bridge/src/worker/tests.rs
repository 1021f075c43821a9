//! One worker without thread and sockets, in virtual time.

mod parts;
mod paths;
mod protection;

use super::control::Next;
use super::*;
use crate::channel::Channels;
use crate::counters::Count;
use crate::directory::Gone;
use crate::limits::{Ceilings, EndpointLimits};
use crate::net::Wire;
use althing_bus::{Bus, InProcess, Subscription};
use althing_control::{Allocate, BridgeEvent, EndpointState, decode};
use althing_model::{
    EndpointId, Entropy, FeedbackSources, MediaKinds, NodeId, Role, SeededEntropy, Ssrc,
};
use althing_transport::{Certificate, Event, FailureReason, SrtpProfile, Via};
use futures_util::FutureExt;
use quinn_udp::Transmit;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

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
    // Likewise for checks.
    checks: Vec<Receiver<Handover>>,
    gone: mpsc::Receiver<Gone>,
    last_number: u64,
    _poll: mio::Poll,
}

impl Bench {
    /// Worker 0 of `workers`.
    fn new(workers: usize) -> Self {
        Self::with_room(workers, MAX_GONE)
    }

    /// The same, and the directory has room for so many reports.
    fn with_room(workers: usize, room: usize) -> Self {
        let bus = Arc::new(InProcess::new());
        let events = bus.subscribe("focus.n1");
        let channels = Arc::new(Channels::default());
        let (gone_sender, gone) = mpsc::channel(room);
        let poll = mio::Poll::new().unwrap();
        let waker = Arc::new(mio::Waker::new(poll.registry(), mio::Token(0)).unwrap());
        let (spare, spare_out) = crossbeam_channel::bounded(4);
        let (mut rings, mut checks) = (Vec::new(), Vec::new());
        let peers = (0..workers)
            .map(|_| {
                let (ring, out) = crossbeam_channel::bounded(2);
                rings.push(out);
                let (check, out) = crossbeam_channel::bounded(2);
                checks.push(out);
                Peer {
                    ring,
                    checks: check,
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
            forwarding: althing_forwarding::Settings::default(),
            limits: EndpointLimits::default(),
            patience: crate::settings::Patience::default(),
            ceilings: Ceilings::new(&EndpointLimits::default()),
            gone: gone_sender,
        });
        let entropy = Box::new(SeededEntropy::new(1));
        Self {
            state: State::new(0, shared, Arc::new(Nowhere), entropy, spare_out),
            channels,
            events,
            now: Instant::now(),
            rings,
            checks,
            gone,
            last_number: 0,
            _poll: poll,
        }
    }

    fn command(&mut self, command: Command) {
        assert_eq!(self.state.handle_command(self.now, command), Next::GoOn);
        self.finish_batch();
    }

    /// Whatever happened in the batch, the counts kept are those that counting gives.
    #[track_caller]
    fn finish_batch(&mut self) {
        self.state.finish_batch(self.now);
        let state = &self.state;
        assert_eq!(state.census, state.count_all());
        let sizes = state.conferences.iter().map(|(_, c)| c.size());
        let homes = state.conferences.iter().filter(|(_, c)| c.is_home);
        for (count, there_are) in [
            (Count::Endpoints, state.endpoints.len()),
            (Count::Conferences, homes.count()),
            (Count::LargestConference, sizes.max().unwrap_or(0)),
        ] {
            assert_eq!(self.count(count), there_are as u64, "{count:?}");
        }
    }

    fn request(&mut self, request: BridgeRequest) -> BridgeReply {
        let (reply, answer) = oneshot::channel();
        self.last_number += 1;
        self.command(Command::Control {
            request: Box::new(request),
            number: self.last_number,
            reply,
        });
        answer.now_or_never().unwrap().unwrap()
    }

    fn allocate(&mut self, conference: &str, endpoint: &str) -> Box<althing_control::Allocated> {
        match self.request(wanted(conference, endpoint)) {
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
            self.finish_batch();
        }
        self.now = end;
    }

    fn datagram(&mut self, path: Path, data: &[u8]) {
        self.state
            .handle_datagram(self.now, path, &mut data.to_vec());
        self.finish_batch();
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
            Count::EndpointsConnected,
            Count::EndpointsInactive,
            Count::LargestConference,
        ] {
            assert_eq!(self.count(count), 0, "{count:?}");
        }
    }
}

/// An endpoint as clients want one, told of at our own focus.
fn wanted(conference: &str, endpoint: &str) -> BridgeRequest {
    BridgeRequest::Allocate(Allocate {
        events_to: "focus.n1".to_owned(),
        ..crate::support::allocate(conference, endpoint)
    })
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
    assert!(bench.gone.try_recv().is_ok());
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
        Some(("ann00001".to_owned(), EndpointState::Lost))
    );
    // The directory hears of it.
    let conference = ConferenceId::new("c1").unwrap();
    let endpoint = EndpointId::new("ann00001").unwrap();
    let left = Gone::Endpoint {
        conference: conference.clone(),
        endpoint,
        number: 1,
    };
    assert_eq!(bench.gone.try_recv(), Ok(left));
    let part = Gone::Part {
        conference,
        worker: 0,
    };
    assert_eq!(bench.gone.try_recv(), Ok(part));
    assert!(bench.gone.try_recv().is_err());
    // And the room can begin again.
    bench.allocate("c1", "ann00001");
    assert_eq!(bench.count(Count::Endpoints), 2);
}

#[test]
fn what_the_directory_has_no_room_for_is_said_again() {
    let mut bench = Bench::with_room(1, 2);
    let ids = ["ann00001", "bob00002", "cyd00003", "dan00004"];
    for id in ids {
        bench.allocate("c1", id);
    }
    bench.pass(Duration::from_secs(61));
    assert_eq!(bench.state.endpoints.len(), 0);
    let mut heard = Vec::new();
    while let Ok(Gone::Endpoint { number, .. }) = bench.gone.try_recv() {
        heard.push(number);
        bench.pass(Duration::from_millis(10));
    }
    heard.sort_unstable();
    assert_eq!(heard, [1, 2, 3, 4]);
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
fn counts_are_kept_through_every_change() {
    let mut bench = Bench::new(1);
    let mut random = SeededEntropy::new(7);
    let mut seen = [0; 3];
    for _ in 0..3000 {
        let mut pick = |n: u64| random.next_u64() % n;
        let (conference, endpoint) = (pick(5), pick(9));
        let conference = ConferenceId::new(format!("c{conference}")).unwrap();
        let endpoint = EndpointId::new(format!("ep{endpoint}")).unwrap();
        match pick(20) {
            0..=9 => drop(bench.allocate(conference.as_str(), endpoint.as_str())),
            10..=13 => {
                bench.request(BridgeRequest::Expire {
                    conference,
                    endpoint,
                });
            }
            14 => drop(bench.request(BridgeRequest::ExpireConference { conference })),
            15 => bench.command(Command::Panic(conference)),
            what => {
                let slots: Vec<usize> = bench.state.endpoints.iter().map(|(s, _)| s).collect();
                let (now, state) = (bench.now, &mut bench.state);
                if let Some(slot) = slots.get(pick(20) as usize) {
                    let event = match what {
                        16 | 17 => Event::Connected {
                            profile: SrtpProfile::AeadAes128Gcm,
                        },
                        18 => Event::Failed(FailureReason::Ice),
                        _ => Event::Closed,
                    };
                    state.transport_event(now, *slot, event);
                    state.touch_endpoint(*slot);
                }
            }
        }
        bench.pass(Duration::from_millis(1500));
        for (seen, count) in seen.iter_mut().zip([
            Count::EndpointsConnected,
            Count::EndpointsInactive,
            Count::LargestConference,
        ]) {
            *seen = bench.count(count).max(*seen);
        }
    }
    assert!(seen.iter().all(|most| *most >= 3), "{seen:?}");
    bench.pass(Duration::from_secs(120));
    bench.assert_empty();
}

#[test]
fn an_empty_worker_keeps_no_buffers_and_no_tables() {
    let mut bench = Bench::new(1);
    for endpoint in 0..200 {
        bench.allocate("c1", &format!("ep{endpoint}"));
    }
    bench.state.queue.push(path(4000), &[0; 1200]);
    bench.finish_batch();
    assert!(bench.state.queue.capacity() >= 1200);
    bench.request(BridgeRequest::ExpireConference {
        conference: ConferenceId::new("c1").unwrap(),
    });
    let state = &bench.state;
    assert_eq!(state.queue.capacity(), 0);
    assert_eq!(state.endpoints.capacity(), 0);
    assert_eq!(state.conferences.capacity(), 0);
    assert_eq!(state.by_ufrag.capacity(), 0);
    assert_eq!(state.next_timeout(), None);
    // And it begins again.
    bench.allocate("c1", "ann00001");
    bench.pass(Duration::from_secs(120));
    bench.assert_empty();
}

#[test]
fn checks_for_another_worker_are_handed_over_while_its_ring_has_room() {
    let mut bench = Bench::new(3);
    let stun = check("b234567890");
    for _ in 0..3 {
        bench.datagram(path(4000), &stun);
    }
    assert_eq!(bench.count(Count::Handovers), 2);
    assert_eq!(bench.count(Count::HandoverChecksDropped), 1);
    assert_eq!(bench.count(Count::HandoversDropped), 0);
    let Ok(Handover::Datagram { from: 0, data, .. }) = bench.checks[1].try_recv() else {
        panic!("no datagram for worker 1");
    };
    assert_eq!(data, stun);
    // A letter beyond the workers there are.
    bench.datagram(path(4000), &check("d234567890"));
    assert_eq!(bench.count(Count::DroppedUnknownUfrag), 1);
}

#[test]
fn a_flood_of_forged_checks_loses_nothing_of_those_who_are_connected() {
    let mut bench = Bench::new(2);
    let now = bench.now;
    bench.state.handle_handover(
        now,
        Handover::Route {
            path: path(4000),
            owner: 1,
        },
    );
    let rtp = [0x80, 111, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1];
    // Whoever is connected sends checks, too, to show that they still want media.
    let real = [rtp.to_vec(), check("b234567890")];
    for round in 0..100 {
        for port in 5000..5100 {
            let forged = check(&format!("bforged{round}"));
            bench.datagram(path(port), &forged);
        }
        for datagram in &real {
            bench.datagram(path(4000), datagram);
        }
        let arrived: Vec<Vec<u8>> = bench.rings[1]
            .try_iter()
            .map(|message| match message {
                Handover::Datagram { path: at, data, .. } if at == path(4000) => data,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(arrived, real);
    }
    assert_eq!(bench.count(Count::HandoversDropped), 0);
    assert_eq!(bench.count(Count::HandoverChecksDropped), 100 * 100 - 2);
    assert_eq!(bench.checks[1].len(), 2);
}

#[test]
fn a_claimed_path_is_not_passed_on_again() {
    let mut bench = Bench::new(3);
    let stray = Handover::Datagram {
        from: 1,
        path: path(5000),
        data: check("c234567890"),
    };
    bench.state.handle_handover(bench.now, stray);
    assert_eq!(bench.count(Count::DroppedUnknownAddress), 1);
    assert!(
        bench
            .checks
            .iter()
            .chain(&bench.rings)
            .all(Receiver::is_empty)
    );
}

#[test]
fn buffers_that_a_sender_made_large_are_not_kept() {
    let mut bench = Bench::new(2);
    for (length, kept) in [(1200, 1), (60_000, 1), (1500, 2)] {
        let stray = Handover::Datagram {
            from: 1,
            path: path(5000),
            data: vec![0x80; length],
        };
        bench.state.handle_handover(bench.now, stray);
        assert_eq!(bench.state.shared.peers[1].spare.len(), kept, "{length}");
    }
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
