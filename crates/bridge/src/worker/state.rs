use crate::channel::Channels;
use crate::counters::{Count, Counters};
use crate::directory::Gone;
use crate::limits::{Ceilings, EndpointLimits};
use crate::net::{SendQueue, Wire};
use crate::settings::Patience;
use crate::stress::Measures;
use crate::worker::address::{Addresses, IN_USE, Owner};
use crate::worker::census::Census;
use crate::worker::endpoint::{BoundPath, Conference, Endpoint, MAX_PATHS, Vitality};
use crate::worker::handover::{Found, Rings};
use crate::worker::outbox::Outbox;
use crate::worker::sink::Sink;
use crate::worker::timers::{Timer, Timers};
use crate::worker::{Handover, Peer, Survey};
use althing_bus::Bus;
use althing_control::{BridgeEvent, Candidate, EndpointState};
use althing_forwarding::EndpointKey;
use althing_model::{ConferenceId, Entropy, NodeId};
use althing_transport::{Certificate, Event, FailureReason, Output, Path, Received};
use slab::Slab;
use std::collections::{HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What all workers of a bridge have in common; none of it is touched per packet.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) node: NodeId,
    pub(crate) candidates: Vec<Candidate>,
    pub(crate) certificate: Arc<Certificate>,
    pub(crate) bus: Arc<dyn Bus>,
    pub(crate) channels: Arc<Channels>,
    pub(crate) peers: Vec<Peer>,
    /// What conferences begin with.
    pub(crate) forwarding: althing_forwarding::Settings,
    pub(crate) limits: EndpointLimits,
    pub(crate) patience: Patience,
    pub(crate) ceilings: Ceilings,
    /// What workers do unasked.
    pub(crate) gone: tokio::sync::mpsc::Sender<Gone>,
}

/// Everything one worker knows, without its sockets.
pub(crate) struct State {
    pub(super) index: usize,
    pub(super) shared: Arc<Shared>,
    pub(super) entropy: Box<dyn Entropy + Send>,
    pub(super) counters: Counters,
    pub(super) queue: SendQueue,
    pub(super) endpoints: Slab<Endpoint>,
    pub(super) conferences: Slab<Conference>,
    pub(super) by_id: HashMap<ConferenceId, usize>,
    pub(super) by_ufrag: HashMap<Box<str>, usize>,
    pub(super) addresses: Addresses,
    pub(super) timers: Timers,
    pub(super) census: Census,
    touched_endpoints: Vec<usize>,
    touched_conferences: Vec<usize>,
    // Never used twice, for endpoints and conferences alike.
    pub(super) last_generation: u64,
    pub(super) rings: Rings,
    /// Where the endpoints of a conference with several parts are, by their numbers: conference
    /// slot and key. Local ones are among them.
    pub(super) numbers: HashMap<u64, (usize, EndpointKey)>,
    /// What waits for other workers.
    pub(super) outboxes: Vec<Outbox>,
    pub(super) outboxes_due: Option<Instant>,
    /// What the directory is to hear of, as soon as it has room.
    pub(super) gone: VecDeque<Gone>,
    /// What is left off now, because there is too much to do.
    pub(super) measures: Measures,
    /// What was seen when everybody was looked at, until somebody takes it.
    pub(super) surveyed: Option<Survey>,
    // Work not counted yet, less than a microsecond.
    pub(super) worked: Duration,
    // Has given back what the last conferences made it grow to.
    resting: bool,
}

impl State {
    pub(crate) fn new(
        index: usize,
        shared: Arc<Shared>,
        wire: Arc<dyn Wire>,
        entropy: Box<dyn Entropy + Send>,
        spare: crossbeam_channel::Receiver<Vec<u8>>,
    ) -> Self {
        Self {
            index,
            entropy,
            counters: Counters::default(),
            queue: SendQueue::new(wire),
            endpoints: Slab::new(),
            conferences: Slab::new(),
            by_id: HashMap::new(),
            by_ufrag: HashMap::new(),
            addresses: Addresses::default(),
            timers: Timers::default(),
            census: Census::default(),
            touched_endpoints: Vec::new(),
            touched_conferences: Vec::new(),
            last_generation: 0,
            numbers: HashMap::new(),
            outboxes: shared.peers.iter().map(|_| Outbox::default()).collect(),
            outboxes_due: None,
            gone: VecDeque::new(),
            rings: Rings::new(index, shared.clone(), spare),
            measures: Measures::NONE,
            surveyed: None,
            worked: Duration::ZERO,
            shared,
            resting: true,
        }
    }

    /// A datagram from one of our own sockets.
    pub(super) fn handle_datagram(&mut self, now: Instant, path: Path, data: &mut [u8]) {
        self.counters.one(Count::PacketsReceived);
        self.counters.add(Count::BytesReceived, data.len() as u64);
        if path.remote.port() == 0 {
            self.counters.one(Count::DroppedUnroutable);
            return;
        }
        match self.find_owner(&path, data) {
            Ok(Found::Here(slot)) => self.deliver(now, slot, path, data),
            Ok(Found::Proved(worker)) => self.hand_over(worker, path, data),
            Ok(Found::Claimed(worker)) => self.hand_over_check(worker, path, data),
            Err(reason) => self.counters.one(reason),
        }
    }

    pub(super) fn deliver(&mut self, now: Instant, slot: usize, path: Path, data: &mut [u8]) {
        let Some(endpoint) = self.endpoints.get(slot) else {
            return;
        };
        let conference = endpoint.conference;
        self.guarded(now, conference, |state| {
            state.deliver_unguarded(now, slot, path, data);
        });
    }

    fn deliver_unguarded(&mut self, now: Instant, slot: usize, path: Path, data: &mut [u8]) {
        let endpoint = &mut self.endpoints[slot];
        endpoint.traffic.packets_received += 1;
        endpoint.traffic.bytes_received += data.len() as u64;
        let age = now.saturating_duration_since(endpoint.created);
        let paths = &endpoint.paths;
        let is_proved = || paths.iter().any(|bound| bound.path == path);
        let ceilings = &self.shared.ceilings;
        if let Err(over) = endpoint.spent.admits(ceilings, age, data, is_proved) {
            self.over(slot, over);
            return;
        }
        let endpoint = &mut self.endpoints[slot];
        let (conference, key) = (endpoint.conference, endpoint.key);
        let is_check = data.first().is_some_and(|first| *first < 4);
        let received = endpoint.transport.handle_datagram(now, path, data);
        if !endpoint.touched {
            endpoint.touched = true;
            self.touched_endpoints.push(slot);
        }
        match received {
            Received::Dropped(reason) => {
                self.counters.dropped(reason);
                return;
            }
            Received::Handled => {
                // It has proved the path once more, and somebody else may have it by now.
                if is_check && endpoint.transport.knows(path) {
                    self.bind(now, slot, path);
                }
                return;
            }
            Received::Rtp(_) | Received::Rtcp(_) => {}
        }
        let (core, mut sink) = split(
            &mut self.conferences[conference],
            &mut self.endpoints,
            &mut self.queue,
            &mut self.counters,
            &mut self.rings,
        );
        match received {
            Received::Rtp(packet) => {
                sink.counters.one(Count::RtpReceived);
                core.handle_rtp(now, key, packet, &mut sink);
            }
            Received::Rtcp(packet) => {
                sink.counters.one(Count::RtcpReceived);
                core.handle_rtcp(now, key, packet, &mut sink);
            }
            Received::Handled | Received::Dropped(_) => return,
        }
        self.touch_conference(conference);
    }

    /// An endpoint sends more than it may.
    #[cold]
    fn over(&mut self, slot: usize, reason: Count) {
        self.counters.one(reason);
        let endpoint = &mut self.endpoints[slot];
        endpoint.traffic.over += 1;
        // Once each: what it does afterwards is counted.
        if endpoint.traffic.over == 1 {
            tracing::warn!(endpoint = %endpoint.id, ?reason, "endpoint sends more than it may");
        }
    }

    /// Everything whose time has come.
    pub(super) fn handle_timeouts(&mut self, now: Instant) {
        while let Some((at, timer)) = self.timers.pop_due(now) {
            match timer {
                Timer::Endpoint { slot, generation } => {
                    let due = self.endpoints.get_mut(slot).filter(|e| {
                        e.reference.generation == generation && e.scheduled == Some(at)
                    });
                    if let Some(endpoint) = due {
                        endpoint.scheduled = None;
                        let conference = endpoint.conference;
                        self.guarded(now, conference, |state| state.endpoint_due(now, slot));
                    }
                }
                Timer::Conference { slot, generation } => {
                    let due = self
                        .conferences
                        .get_mut(slot)
                        .filter(|c| c.generation == generation && c.scheduled == Some(at));
                    if let Some(conference) = due {
                        conference.scheduled = None;
                        self.guarded(now, slot, |state| state.conference_due(now, slot));
                    }
                }
            }
        }
    }

    fn endpoint_due(&mut self, now: Instant, slot: usize) {
        let endpoint = &mut self.endpoints[slot];
        if endpoint
            .transport
            .next_timeout()
            .is_some_and(|at| at <= now)
        {
            endpoint.transport.handle_timeout(now);
        }
        match endpoint.vitality(now) {
            Vitality::Expired => {
                tracing::info!(endpoint = %endpoint.id, "endpoint expired without a sign of life");
                self.counters.one(Count::EndpointsExpired);
                self.publish(slot, EndpointState::Expired);
                self.report_gone(slot);
                self.remove_endpoint(now, slot);
                return;
            }
            Vitality::Inactive if endpoint.active => self.set_active(now, slot, false),
            Vitality::Inactive | Vitality::Active => {}
        }
        let endpoint = &mut self.endpoints[slot];
        if endpoint.channel_due.is_some_and(|at| at <= now) {
            endpoint.channel_due = None;
            if !endpoint.channel.has_socket() {
                self.counters.one(Count::EndpointsWithoutChannel);
                tracing::info!(endpoint = %endpoint.id, "endpoint has no bridge channel");
            }
        }
        self.touch_endpoint(slot);
    }

    pub(super) fn conference_due(&mut self, now: Instant, slot: usize) {
        let conference = &mut self.conferences[slot];
        let is_over = conference
            .empty_since
            .is_some_and(|since| now >= since + super::endpoint::EMPTY_CONFERENCE_LIFE);
        if is_over {
            self.end_conference(now, slot);
            return;
        }
        if conference.core.next_timeout().is_some_and(|at| at <= now) {
            let (core, mut sink) = split(
                conference,
                &mut self.endpoints,
                &mut self.queue,
                &mut self.counters,
                &mut self.rings,
            );
            core.handle_timeout(now, &mut sink);
        }
        self.touch_conference(slot);
    }

    fn set_active(&mut self, now: Instant, slot: usize, active: bool) {
        let endpoint = &mut self.endpoints[slot];
        self.census.set_active(endpoint, active);
        let (conference, key) = (endpoint.conference, endpoint.key);
        tracing::debug!(endpoint = %endpoint.id, active, "endpoint activity changed");
        self.counters.one(if active {
            Count::EndpointsReconnected
        } else {
            Count::EndpointsDisconnected
        });
        self.conferences[conference]
            .core
            .set_active(now, key, active);
        self.touch_conference(conference);
        self.publish_census();
    }

    pub(super) fn touch_endpoint(&mut self, slot: usize) {
        if let Some(endpoint) = self.endpoints.get_mut(slot)
            && !endpoint.touched
        {
            endpoint.touched = true;
            self.touched_endpoints.push(slot);
        }
    }

    pub(super) fn touch_conference(&mut self, slot: usize) {
        if let Some(conference) = self.conferences.get_mut(slot)
            && !conference.touched
        {
            conference.touched = true;
            self.touched_conferences.push(slot);
        }
    }

    /// Ends a batch: takes out what transports and conferences want done, and sends it all.
    /// Messages go into their channels before the packets they announce leave.
    pub(crate) fn finish_batch(&mut self, now: Instant) {
        loop {
            if let Some(slot) = self.touched_endpoints.pop() {
                self.drain_endpoint(now, slot);
            } else if let Some(slot) = self.touched_conferences.pop() {
                if self.conferences.get(slot).is_some_and(|c| c.touched) {
                    self.guarded(now, slot, |state| state.drain_conference(slot));
                }
            } else {
                break;
            }
        }
        self.flush_outboxes(now);
        // Before our own sending: they can begin meanwhile.
        self.rings.wake_all();
        self.queue.flush();
        if !self.conferences.is_empty() {
            self.resting = false;
        } else if !self.resting && self.endpoints.is_empty() {
            self.rest();
        }
    }

    /// Nobody is here: buffers and tables go back to where they began, however large the last
    /// conferences were. What timers are left are nobody's.
    fn rest(&mut self) {
        self.resting = true;
        self.queue.release();
        self.endpoints = Slab::new();
        self.conferences = Slab::new();
        self.by_id = HashMap::new();
        self.by_ufrag = HashMap::new();
        self.addresses.shrink();
        self.timers = Timers::default();
        self.touched_endpoints = Vec::new();
        self.touched_conferences = Vec::new();
        self.numbers = HashMap::new();
        self.rings.release();
    }

    /// When the next timer is due.
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        [self.timers.next(), self.outboxes_due]
            .into_iter()
            .flatten()
            .min()
    }

    pub(super) fn drain_endpoint(&mut self, now: Instant, slot: usize) {
        let Some(endpoint) = self.endpoints.get(slot).filter(|e| e.touched) else {
            return;
        };
        let conference = endpoint.conference;
        self.guarded(now, conference, |state| {
            state.endpoints[slot].touched = false;
            while let Some(output) = state.endpoints[slot].transport.poll() {
                match output {
                    Output::Transmit { path, payload } => state.queue.push(path, &payload),
                    Output::Event(event) => state.transport_event(now, slot, event),
                }
            }
            state.after_endpoint(now, slot);
        });
    }

    fn after_endpoint(&mut self, now: Instant, slot: usize) {
        let endpoint = &mut self.endpoints[slot];
        endpoint.path = endpoint.transport.path();
        let rtt = endpoint.transport.rtt();
        if rtt != endpoint.rtt {
            endpoint.rtt = rtt;
            if let Some(rtt) = rtt {
                let core = &mut self.conferences[endpoint.conference].core;
                core.set_rtt(endpoint.key, rtt);
            }
        }
        if !endpoint.worn_out && endpoint.transport.is_worn_out() {
            endpoint.worn_out = true;
            tracing::info!(endpoint = %endpoint.id, "endpoint has had so many sources that it needs new keys");
            self.counters.one(Count::EndpointsWornOut);
            self.publish(slot, EndpointState::WornOut);
        }
        let endpoint = &mut self.endpoints[slot];
        let is_back = !endpoint.active && endpoint.vitality(now) == Vitality::Active;
        if is_back {
            self.set_active(now, slot, true);
        }
        let endpoint = &mut self.endpoints[slot];
        let wanted = endpoint.next_timeout();
        let timer = Timer::Endpoint {
            slot,
            generation: endpoint.reference.generation,
        };
        self.timers
            .schedule(&mut endpoint.scheduled, Some(wanted), timer);
    }

    fn drain_conference(&mut self, slot: usize) {
        self.conferences[slot].touched = false;
        while let Some(output) = self.conferences[slot].core.poll() {
            let conference = &self.conferences[slot];
            match output {
                althing_forwarding::Output::Message { to, json } => {
                    let slot = conference.members.get(to.index()).copied().flatten();
                    let endpoint = slot.and_then(|slot| self.endpoints.get(slot));
                    if let Some(endpoint) = endpoint.filter(|e| e.key == to) {
                        endpoint.channel.send(json);
                    }
                }
                althing_forwarding::Output::Relay { to, about, message } => {
                    self.say(slot, to, about, &message);
                }
            }
        }
        let conference = &mut self.conferences[slot];
        let counts = conference.counts();
        let before = std::mem::replace(&mut conference.counted, counts);
        self.counters.take_over(&before, &conference.counted);
        let wanted = conference.next_timeout();
        let timer = Timer::Conference {
            slot,
            generation: conference.generation,
        };
        self.timers
            .schedule(&mut conference.scheduled, wanted, timer);
    }

    pub(super) fn transport_event(&mut self, now: Instant, slot: usize, event: Event) {
        let endpoint = &mut self.endpoints[slot];
        match event {
            Event::PathVerified(path) => self.bind(now, slot, path),
            Event::PathSelected(path) => endpoint.path = Some(path),
            Event::Connected { profile } => {
                tracing::info!(endpoint = %endpoint.id, ?profile, "endpoint connected");
                self.census.set_connected(endpoint, true);
                endpoint.path = endpoint.transport.path();
                endpoint.channel_due = Some(now + super::endpoint::CHANNEL_WITHIN);
                self.counters.one(Count::TransportsConnected);
                self.connected(now, slot, true);
                self.publish(slot, EndpointState::Connected);
            }
            Event::Failed(reason) => self.failed(now, slot, reason),
            Event::Closed => {
                self.census.set_connected(endpoint, false);
                self.connected(now, slot, false);
            }
        }
    }

    fn failed(&mut self, now: Instant, slot: usize, reason: FailureReason) {
        let endpoint = &mut self.endpoints[slot];
        tracing::info!(endpoint = %endpoint.id, reason = reason.as_str(), "endpoint failed");
        endpoint.failed = Some(reason);
        self.census.set_connected(endpoint, false);
        self.counters.failed(reason);
        self.connected(now, slot, false);
        self.publish(slot, EndpointState::Failed);
    }

    fn connected(&mut self, now: Instant, slot: usize, connected: bool) {
        let endpoint = &self.endpoints[slot];
        let conference = endpoint.conference;
        let core = &mut self.conferences[conference].core;
        core.connected(now, endpoint.key, connected);
        self.touch_conference(conference);
        self.publish_census();
    }

    /// Whether an endpoint of ours sends and receives by this path.
    pub(super) fn is_in_use(&self, now: Instant, path: Path) -> bool {
        let Some(Owner::Here(slot)) = self.addresses.get(&path) else {
            return false;
        };
        let is_in_use = |e: &Endpoint| {
            let silence = now.saturating_duration_since(e.transport.last_activity());
            e.path == Some(path) && silence < IN_USE
        };
        self.endpoints.get(slot).is_some_and(is_in_use)
    }

    /// A check with valid integrity came by this path: what comes by it now is this endpoint's,
    /// unless somebody else is using it.
    fn bind(&mut self, now: Instant, slot: usize, path: Path) {
        let before = self.addresses.get(&path);
        let owner = Owner::Here(slot);
        if before == Some(owner)
            || self.is_in_use(now, path)
            || self.addresses.is_claimed(&path, now)
            || !self.addresses.insert(path, owner)
        {
            return;
        }
        // A client that comes back from the same port before its old endpoint is gone.
        if let Some(Owner::Here(other)) = before
            && let Some(other) = self.endpoints.get_mut(other)
        {
            other.paths.retain(|bound| bound.path != path);
        }
        let endpoint = &mut self.endpoints[slot];
        // Another worker may have had it meanwhile.
        endpoint.paths.retain(|bound| bound.path != path);
        if endpoint.paths.len() == MAX_PATHS {
            let selected = endpoint.path;
            let oldest = endpoint
                .paths
                .iter()
                .position(|bound| Some(bound.path) != selected)
                .unwrap_or(0);
            let bound = endpoint.paths.remove(oldest);
            self.unbind(slot, bound);
        }
        self.endpoints[slot].paths.push(BoundPath {
            path,
            arrives_at: None,
        });
    }

    pub(super) fn unbind(&mut self, slot: usize, bound: BoundPath) {
        self.addresses.remove(&bound.path, Owner::Here(slot));
        if let Some(worker) = bound.arrives_at {
            let owner = self.index;
            let path = bound.path;
            self.tell_peer(worker, Handover::Unroute { path, owner });
        }
    }

    pub(super) fn publish(&self, slot: usize, state: EndpointState) {
        let endpoint = &self.endpoints[slot];
        let event = BridgeEvent::EndpointState {
            conference: self.conferences[endpoint.conference].id.clone(),
            endpoint: endpoint.id.clone(),
            state,
        };
        let payload = althing_control::encode(&event).into();
        self.shared.bus.publish(&endpoint.events_to, payload);
    }

    pub(super) const fn next_generation(&mut self) -> u64 {
        self.last_generation += 1;
        self.last_generation
    }

    /// Runs work for one conference. A panic is a bug of ours: it ends that conference, is
    /// counted, and nobody else notices.
    pub(super) fn guarded<R>(
        &mut self,
        now: Instant,
        conference: usize,
        work: impl FnOnce(&mut Self) -> R,
    ) -> Option<R> {
        match catch_unwind(AssertUnwindSafe(|| work(self))) {
            Ok(result) => Some(result),
            Err(_) => {
                self.counters.one(Count::Panics);
                let id = self.conferences.get(conference).map(|c| c.id.as_str());
                tracing::error!(conference = id, "a bug ended a conference");
                self.abandon_conference(now, conference);
                None
            }
        }
    }
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State")
            .field("index", &self.index)
            .field("conferences", &self.conferences.len())
            .field("endpoints", &self.endpoints.len())
            .finish_non_exhaustive()
    }
}

/// A conference's core, and the sink for what it forwards.
pub(super) fn split<'a>(
    conference: &'a mut Conference,
    endpoints: &'a mut Slab<Endpoint>,
    queue: &'a mut SendQueue,
    counters: &'a mut Counters,
    rings: &'a mut Rings,
) -> (&'a mut althing_forwarding::Conference, Sink<'a>) {
    let sink = Sink {
        members: &conference.members,
        endpoints,
        queue,
        counters,
        numbers: &conference.numbers,
        rings,
    };
    (&mut conference.core, sink)
}
