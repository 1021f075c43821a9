use crate::channel::Channel;
use crate::limits::Spent;
use crate::net::Spot;
use crate::settings::Patience;
use crate::worker::EndpointRef;
use althing_forwarding::EndpointKey;
use althing_model::{ConferenceId, EndpointId};
use althing_transport::{FailureReason, Path, Transport};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A conference without endpoints is kept this long for somebody to come back.
pub(super) const EMPTY_CONFERENCE_LIFE: Duration = Duration::from_secs(20);
/// A client that has no bridge channel so long after it connected has lost its way to one (protocol
/// 5 §15): it is counted, and goes on without.
pub(super) const CHANNEL_WITHIN: Duration = Duration::from_secs(30);
/// More paths than this are not bound; a client has a handful.
pub(super) const MAX_PATHS: usize = 32;

/// One endpoint: its transport, and what the worker needs to route to and from it.
#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) id: EndpointId,
    pub(super) reference: EndpointRef,
    /// As all workers know it.
    pub(super) number: u64,
    /// Slot of its conference, and its key there.
    pub(super) conference: usize,
    pub(super) key: EndpointKey,
    pub(super) transport: Transport,
    /// The path media leaves by, as last told by the transport.
    pub(super) path: Option<Path>,
    pub(super) paths: Vec<BoundPath>,
    pub(super) ufrag: Box<str>,
    pub(super) channel: Arc<Channel>,
    pub(super) events_to: Box<str>,
    pub(super) created: Instant,
    pub(super) connected: bool,
    pub(super) active: bool,
    pub(super) failed: Option<FailureReason>,
    pub(super) rtt: Option<Duration>,
    pub(super) spot: Spot,
    pub(super) traffic: Traffic,
    /// What it has used of its ceilings.
    pub(super) spent: Spent,
    pub(super) patience: Patience,
    /// When it should have a bridge channel.
    pub(super) channel_due: Option<Instant>,
    /// Was asked for anew, because its keys have sealed enough sources.
    pub(super) worn_out: bool,
    /// On the list of those to be looked at before the batch ends.
    pub(super) touched: bool,
    /// The timer it counts on.
    pub(super) scheduled: Option<Instant>,
}

/// A path that leads to an endpoint.
#[derive(Debug, Clone, Copy)]
pub(super) struct BoundPath {
    pub(super) path: Path,
    /// The worker its datagrams arrive at, when that is another one.
    pub(super) arrives_at: Option<usize>,
}

/// What went through one endpoint, in datagrams and bytes on the wire.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Traffic {
    pub(super) packets_received: u64,
    pub(super) bytes_received: u64,
    pub(super) packets_sent: u64,
    pub(super) bytes_sent: u64,
    pub(super) not_sealed: u64,
    /// Dropped, because it sends more than it may.
    pub(super) over: u64,
}

/// What an endpoint's silence means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Vitality {
    Active,
    Inactive,
    Expired,
}

impl Endpoint {
    /// Judges by the last authenticated packet.
    pub(super) fn vitality(&self, now: Instant) -> Vitality {
        let last = self.transport.last_activity();
        let silence = now.saturating_duration_since(last);
        if silence >= self.patience.expire_after {
            Vitality::Expired
        } else if silence >= self.inactive_after(last) {
            Vitality::Inactive
        } else {
            Vitality::Active
        }
    }

    /// When to look at it again: for its transport, or because its silence will mean more.
    pub(super) fn next_timeout(&self) -> Instant {
        let last = self.transport.last_activity();
        let silence = if self.active {
            last + self.inactive_after(last)
        } else {
            last + self.patience.expire_after
        };
        [self.transport.next_timeout(), self.channel_due]
            .into_iter()
            .flatten()
            .fold(silence, Instant::min)
    }

    fn inactive_after(&self, last: Instant) -> Duration {
        if last > self.created {
            self.patience.inactive_after
        } else {
            self.patience.first_activity_within
        }
    }
}

/// One conference, or the part of it that is here: its core, and where its endpoints are.
#[derive(Debug)]
pub(super) struct Conference {
    pub(super) id: ConferenceId,
    pub(super) generation: u64,
    pub(super) core: althing_forwarding::Conference,
    /// Endpoint slots by the index of their key: one step from a receiver to its transport.
    pub(super) members: Vec<Option<usize>>,
    pub(super) by_id: HashMap<EndpointId, usize>,
    /// It is the part that the conference is counted by, and the last to end.
    pub(super) is_home: bool,
    /// How many endpoints other parts have.
    pub(super) remotes: usize,
    /// The numbers of all endpoints, by the index of their key.
    pub(super) numbers: Vec<Option<(EndpointKey, u64)>>,
    pub(super) created: Instant,
    pub(super) empty_since: Option<Instant>,
    /// How many endpoints it has, as last counted.
    pub(super) counted_size: usize,
    pub(super) counted: althing_forwarding::ConferenceCounters,
    pub(super) touched: bool,
    pub(super) scheduled: Option<Instant>,
}

impl Conference {
    pub(super) fn enter(&mut self, id: EndpointId, key: EndpointKey, slot: usize) {
        if self.members.len() <= key.index() {
            self.members.resize(key.index() + 1, None);
        }
        self.members[key.index()] = Some(slot);
        self.by_id.insert(id, slot);
        self.empty_since = None;
    }

    pub(super) fn leave(&mut self, now: Instant, id: &EndpointId, key: EndpointKey, slot: usize) {
        if let Some(member) = self.members.get_mut(key.index())
            && *member == Some(slot)
        {
            *member = None;
        }
        self.by_id.remove(id);
        self.forget_number(key);
        self.note_empty(now);
    }

    /// A part that is not the home ends when it is told to.
    pub(super) fn note_empty(&mut self, now: Instant) {
        if self.is_home && self.by_id.is_empty() && self.remotes == 0 {
            self.empty_since = Some(now);
        }
    }

    /// What the core has counted. Who speaks is counted at the home alone: each part finds it out.
    pub(super) fn counts(&self) -> althing_forwarding::ConferenceCounters {
        let mut counters = self.core.counters();
        if !self.is_home {
            counters.dominant_speaker_changes = 0;
        }
        counters
    }

    /// How many endpoints the whole conference has, as it is counted: at its home.
    pub(super) fn size(&self) -> usize {
        if self.is_home {
            self.by_id.len() + self.remotes
        } else {
            0
        }
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        let end = self.empty_since.map(|since| since + EMPTY_CONFERENCE_LIFE);
        [self.core.next_timeout(), end].into_iter().flatten().min()
    }
}
