//! Where everybody is: which worker has which endpoint, and which workers have a part of which
//! conference. Pure: it is told of requests and of what became of them, and says what the other
//! parts are to be told.
//!
//! ```text
//!   request ──► place ──► allocate ──► worker ──► allocated, updated, left ──► the other parts
//! ```
//!
//! Others hear of a change when it has been made, and all parts in the same order; so a part knows
//! of nothing that another does not have, and what was refused was never heard of. Numbers are
//! never used twice: what is said of an endpoint that is gone, or was replaced, finds nobody.

use crate::worker::owner;
use althing_control::{Allocate, Update};
use althing_forwarding::{Link, Links};
use althing_model::{
    ConferenceId, EndpointId, FeedbackSources, MediaKinds, Role, SourceDescription,
};
use std::collections::{BTreeMap, HashMap, VecDeque};

/// What a worker is told of its part of a conference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PartCommand {
    /// Have a part, if there is none yet; with links to these others, and these endpoints of theirs.
    Open {
        feedback: FeedbackSources,
        links: Links,
        members: Vec<Member>,
    },
    /// End it, with everybody in it.
    Close,
    /// Another part has ended.
    Unlink(Link),
    /// An endpoint of another part came, changed, went.
    Joined(Member),
    Changed {
        number: u64,
        change: Change,
    },
    Left(u64),
}

/// An endpoint as other parts know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) id: EndpointId,
    /// Known by this to all workers, and never again given to another.
    pub(crate) number: u64,
    pub(crate) link: Link,
    pub(crate) role: Role,
    pub(crate) may_send: MediaKinds,
    pub(crate) e2ee: bool,
    pub(crate) sources: Vec<SourceDescription>,
}

/// What of an [`Update`] concerns other parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) may_send: Option<MediaKinds>,
    pub(crate) e2ee: Option<bool>,
    pub(crate) sources: Option<Vec<SourceDescription>>,
}

impl Change {
    pub(crate) fn of(update: &Update) -> Self {
        Self {
            may_send: update.may_send,
            e2ee: update.e2ee,
            sources: update.sources.clone(),
        }
    }

    const fn is_empty(&self) -> bool {
        self.may_send.is_none() && self.e2ee.is_none() && self.sources.is_none()
    }
}

/// What a worker did unasked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Gone {
    /// It removed an endpoint.
    Endpoint {
        conference: ConferenceId,
        endpoint: EndpointId,
        number: u64,
    },
    /// A bug ended its part; each endpoint in it was reported before.
    Part {
        conference: ConferenceId,
        worker: usize,
    },
    /// It has ended for good; likewise.
    Worker { worker: usize },
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Directory {
    /// A conference with so many endpoints on its own worker puts newcomers elsewhere; 0 for never.
    split_above: usize,
    /// Endpoints by worker.
    loads: Vec<usize>,
    conferences: HashMap<ConferenceId, Meeting>,
    last_number: u64,
    told: VecDeque<(usize, ConferenceId, PartCommand)>,
}

/// One conference while anybody is in it.
#[derive(Debug)]
struct Meeting {
    /// The worker that has a part as long as anybody is in any.
    home: usize,
    feedback: FeedbackSources,
    /// How many endpoints are where.
    parts: BTreeMap<usize, usize>,
    endpoints: HashMap<EndpointId, Entry>,
}

/// One endpoint id.
#[derive(Debug)]
struct Entry {
    worker: usize,
    /// The number given last.
    newest: u64,
    /// The numbers of requests to make it that were not answered yet.
    pending: Vec<u64>,
    /// As the other parts know it.
    live: Option<Member>,
    /// Made and gone before that was answered.
    gone: Vec<u64>,
}

impl Directory {
    pub(crate) fn new(workers: usize, split_above: usize) -> Self {
        Self {
            split_above,
            loads: vec![0; workers],
            conferences: HashMap::new(),
            last_number: 0,
            told: VecDeque::new(),
        }
    }

    /// Whether a conference can have several parts at all.
    fn splits(&self) -> bool {
        self.split_above > 0 && self.loads.len() > 1
    }

    /// The worker for an endpoint: where it is already, or else the conference's own while there
    /// are few of it, or else the one that has least to do of those that `admit` newcomers.
    pub(crate) fn place(
        &self,
        conference: &ConferenceId,
        endpoint: &EndpointId,
        admits: impl Fn(usize) -> bool,
    ) -> usize {
        if let Some((worker, _)) = self.find(conference, endpoint) {
            return worker;
        }
        let home = self.home(conference);
        let meeting = self.conferences.get(conference);
        let at_home = meeting.map_or(0, |m| m.parts.get(&home).copied().unwrap_or(0));
        if !self.splits() || at_home < self.split_above && admits(home) {
            return home;
        }
        let admitting = (0..self.loads.len()).filter(|worker| admits(*worker));
        // Who has a part already costs no further copy of every packet.
        let has_part = |worker: &usize| meeting.is_some_and(|m| m.parts.contains_key(worker));
        admitting
            .min_by_key(|worker| (self.loads[*worker], !has_part(worker)))
            .unwrap_or(home)
    }

    pub(crate) fn home(&self, conference: &ConferenceId) -> usize {
        owner(conference, self.loads.len())
    }

    /// The worker and the number of an endpoint, be it there or asked for.
    pub(crate) fn find(
        &self,
        conference: &ConferenceId,
        endpoint: &EndpointId,
    ) -> Option<(usize, u64)> {
        let entry = self.conferences.get(conference)?.endpoints.get(endpoint)?;
        Some((entry.worker, entry.newest))
    }

    /// The workers that have a part.
    pub(crate) fn parts(&self, conference: &ConferenceId) -> impl Iterator<Item = usize> {
        let meeting = self.conferences.get(conference);
        meeting.into_iter().flat_map(|m| m.parts.keys().copied())
    }

    /// An endpoint is to be made by this worker. Returns its number.
    pub(crate) fn allocate(&mut self, request: &Allocate, worker: usize) -> u64 {
        let home = self.home(&request.conference);
        self.last_number += 1;
        let meeting = self
            .conferences
            .entry(request.conference.clone())
            .or_insert_with(|| Meeting {
                home,
                feedback: request.feedback,
                parts: BTreeMap::from([(home, 0)]),
                endpoints: HashMap::new(),
            });
        if !meeting.parts.contains_key(&worker) {
            meeting.open(&request.conference, worker, &mut self.told);
        }
        let Meeting {
            parts, endpoints, ..
        } = meeting;
        let entry = endpoints
            .entry(request.endpoint.clone())
            .or_insert_with(|| {
                self.loads[worker] += 1;
                *parts.entry(worker).or_default() += 1;
                Entry {
                    worker,
                    newest: 0,
                    pending: Vec::new(),
                    live: None,
                    gone: Vec::new(),
                }
            });
        entry.newest = self.last_number;
        entry.pending.push(self.last_number);
        self.last_number
    }

    /// What became of it: made, or refused, which leaves everything as it was.
    pub(crate) fn allocated(
        &mut self,
        conference: &ConferenceId,
        endpoint: &EndpointId,
        number: u64,
        made: Option<Member>,
    ) {
        let Some(meeting) = self.conferences.get_mut(conference) else {
            return;
        };
        // Of a conference that ended meanwhile, and began again, it knows nothing.
        let Some(entry) = meeting.endpoints.get_mut(endpoint) else {
            return;
        };
        let Some(at) = entry.pending.iter().position(|n| *n == number) else {
            return;
        };
        entry.pending.remove(at);
        let is_gone = entry.gone.contains(&number);
        let worker = entry.worker;
        if let Some(made) = made {
            let before = entry.live.take();
            if !is_gone {
                entry.live = Some(made.clone());
            }
            let others = meeting.others(worker);
            for other in others {
                let mut tell = |command| self.told.push_back((other, conference.clone(), command));
                if let Some(before) = &before {
                    tell(PartCommand::Left(before.number));
                }
                if !is_gone {
                    tell(PartCommand::Joined(made.clone()));
                }
            }
        }
        self.settle(conference, endpoint);
    }

    /// Its worker has changed an endpoint.
    pub(crate) fn updated(
        &mut self,
        conference: &ConferenceId,
        endpoint: &EndpointId,
        number: u64,
        mut change: Change,
    ) {
        let splits = self.splits();
        let Some(meeting) = self.conferences.get_mut(conference) else {
            return;
        };
        let entry = meeting.endpoints.get_mut(endpoint);
        let Some(entry) = entry.filter(|_| !change.is_empty()) else {
            return;
        };
        let worker = entry.worker;
        // Had the newest been made, it would have been answered before: it is the one before that.
        let Some(live) = entry.live.as_mut().filter(|live| live.number <= number) else {
            return;
        };
        if !splits {
            // Nobody will ever ask for them.
            change.sources = None;
        }
        live.take(change.clone());
        let number = live.number;
        for other in meeting.others(worker) {
            let change = change.clone();
            let command = PartCommand::Changed { number, change };
            self.told.push_back((other, conference.clone(), command));
        }
    }

    /// Its worker has removed an endpoint, asked or not.
    pub(crate) fn left(&mut self, conference: &ConferenceId, endpoint: &EndpointId, number: u64) {
        let Some(meeting) = self.conferences.get_mut(conference) else {
            return;
        };
        let Some(entry) = meeting.endpoints.get_mut(endpoint) else {
            return;
        };
        if entry.pending.contains(&number) {
            entry.gone.push(number);
        }
        // Whichever of this id the worker had until then.
        if let Some(live) = entry.live.take_if(|live| live.number <= number) {
            let worker = entry.worker;
            for other in meeting.others(worker) {
                let command = PartCommand::Left(live.number);
                self.told.push_back((other, conference.clone(), command));
            }
        }
        self.settle(conference, endpoint);
    }

    /// A bug ended a worker's part. If anybody else needs it, it begins anew.
    pub(crate) fn failed(&mut self, conference: &ConferenceId, worker: usize) {
        let Some(meeting) = self.conferences.get_mut(conference) else {
            return;
        };
        if meeting.parts.contains_key(&worker) && meeting.parts.len() > 1 {
            meeting.open(conference, worker, &mut self.told);
        }
    }

    /// The whole conference is being ended by its home.
    pub(crate) fn ended(&mut self, conference: &ConferenceId) {
        let Some(meeting) = self.conferences.remove(conference) else {
            return;
        };
        for (worker, count) in meeting.parts {
            self.loads[worker] -= count;
            if worker != meeting.home {
                let command = PartCommand::Close;
                self.told.push_back((worker, conference.clone(), command));
            }
        }
        // The home has no part of it left to be linked to, and ends anyway.
    }

    /// A worker has died with everybody on it.
    pub(crate) fn worker_died(&mut self, worker: usize) {
        let conferences: Vec<ConferenceId> = self.conferences.keys().cloned().collect();
        for conference in conferences {
            let meeting = &self.conferences[&conference];
            let dead = |(id, entry): (&EndpointId, &Entry)| {
                (entry.worker == worker).then(|| (id.clone(), entry.newest))
            };
            let dead: Vec<_> = meeting.endpoints.iter().filter_map(dead).collect();
            for (endpoint, number) in dead {
                let meeting = self.conferences.get_mut(&conference);
                let entry = meeting.and_then(|m| m.endpoints.get_mut(&endpoint));
                let number = entry.map_or(number, |entry| {
                    entry.pending.clear();
                    entry.live.as_ref().map_or(number, |live| live.number)
                });
                self.left(&conference, &endpoint, number);
            }
        }
    }

    /// What the next worker is to be told; to be done at once, and in order.
    pub(crate) fn poll(&mut self) -> Option<(usize, ConferenceId, PartCommand)> {
        self.told.pop_front()
    }

    /// Forgets whom nobody has or waits for; parts without anybody end, but the home's only when
    /// it has been empty for a while, and by itself.
    fn settle(&mut self, conference: &ConferenceId, endpoint: &EndpointId) {
        let Some(meeting) = self.conferences.get_mut(conference) else {
            return;
        };
        let Some(entry) = meeting.endpoints.get_mut(endpoint) else {
            return;
        };
        if entry.pending.is_empty() {
            entry.gone.clear();
        }
        if !entry.pending.is_empty() || entry.live.is_some() {
            return;
        }
        let worker = entry.worker;
        meeting.endpoints.remove(endpoint);
        self.loads[worker] -= 1;
        let count = meeting.parts.entry(worker).or_default();
        *count -= 1;
        if *count == 0 && worker != meeting.home {
            meeting.parts.remove(&worker);
            let close = PartCommand::Close;
            self.told.push_back((worker, conference.clone(), close));
            for other in meeting.others(worker) {
                let unlink = PartCommand::Unlink(link(worker));
                self.told.push_back((other, conference.clone(), unlink));
            }
        }
        if meeting.endpoints.is_empty() {
            self.conferences.remove(conference);
        }
    }
}

impl Member {
    /// An endpoint that a worker has just made.
    pub(crate) fn new(request: &Allocate, worker: usize, number: u64) -> Self {
        Self {
            id: request.endpoint.clone(),
            number,
            link: link(worker),
            role: request.role,
            may_send: request.may_send,
            e2ee: request.e2ee,
            sources: Vec::new(),
        }
    }

    fn take(&mut self, change: Change) {
        if let Some(may_send) = change.may_send {
            self.may_send = may_send;
        }
        if let Some(e2ee) = change.e2ee {
            self.e2ee = e2ee;
        }
        if let Some(sources) = change.sources {
            self.sources = sources;
        }
    }
}

impl Meeting {
    fn others(&self, worker: usize) -> impl Iterator<Item = usize> + use<> {
        let others: Vec<usize> = self.parts.keys().copied().collect();
        others.into_iter().filter(move |other| *other != worker)
    }

    /// Has the worker open a part, or open it again, with links both ways.
    fn open(
        &mut self,
        conference: &ConferenceId,
        worker: usize,
        told: &mut VecDeque<(usize, ConferenceId, PartCommand)>,
    ) {
        self.parts.entry(worker).or_default();
        let feedback = self.feedback;
        let live = self.endpoints.values().filter(|e| e.worker != worker);
        let members = live.filter_map(|entry| entry.live.clone()).collect();
        let links = self.others(worker).map(link).collect();
        let open = PartCommand::Open {
            feedback,
            links,
            members,
        };
        told.push_back((worker, conference.clone(), open));
        for other in self.others(worker) {
            let open = PartCommand::Open {
                feedback,
                links: Links::from_iter([link(worker)]),
                members: Vec::new(),
            };
            told.push_back((other, conference.clone(), open));
        }
    }
}

/// Parts are known to each other by their workers.
pub(crate) fn link(worker: usize) -> Link {
    Link::new(worker).expect("there are fewer workers than links")
}

#[cfg(test)]
mod tests;
