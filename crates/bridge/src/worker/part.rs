//! Conferences that are too large for one worker: a part on each of several.
//!
//! ```text
//!   directory ── who is elsewhere, which parts there are ──► part ──► its core
//!   other parts ── rings: packets, what is said of endpoints ──►       │
//!   other parts ◄── rings ── outboxes ◄── what the core says ──────────┘
//! ```
//!
//! A part knows the endpoints of others as remote ones, under the numbers that the directory gave
//! them; whatever comes by a ring names its endpoint by that. What comes for a number that nobody
//! has is about somebody who left, and is dropped. Packets that a full ring does not take are
//! lost, as on a network.

use crate::counters::Count;
use crate::directory::{Change, Gone, Member, PartCommand, link};
use crate::worker::endpoint::Conference;
use crate::worker::state::split;
use crate::worker::{Handover, PacketKind, State};
use althing_forwarding::{EndpointKey, Link, Links, RelayMessage, RemoteSettings};
use althing_model::{ConferenceId, FeedbackSources};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::error::TrySendError;

/// Until a ring that was full is tried again.
const RETRY: Duration = Duration::from_millis(2);

impl State {
    /// The directory says who is elsewhere.
    pub(super) fn handle_part(&mut self, now: Instant, id: &ConferenceId, command: PartCommand) {
        let slot = self.by_id.get(id).copied();
        match (command, slot) {
            (
                PartCommand::Open {
                    feedback,
                    links,
                    members,
                },
                _,
            ) => self.open_part(now, id, feedback, (links, members)),
            (PartCommand::Close, Some(slot)) => {
                self.guarded(now, slot, |state| state.end_conference(now, slot));
            }
            (PartCommand::Unlink(link), Some(slot)) => {
                self.with_part(now, slot, |part| part.core.remove_link(now, link));
            }
            (PartCommand::Joined(member), Some(slot)) => {
                self.guarded(now, slot, |state| state.join_remote(now, slot, member));
            }
            (PartCommand::Changed { number, change }, Some(slot)) => {
                if let Some((_, key)) = self.numbers.get(&number).copied() {
                    self.with_part(now, slot, |part| part.change(now, key, change));
                }
            }
            (PartCommand::Left(number), Some(slot)) => {
                self.guarded(now, slot, |state| state.leave_remote(now, slot, number));
            }
            // A bug has ended it; it will be opened again with all that holds then.
            (_, None) => {}
        }
    }

    fn open_part(
        &mut self,
        now: Instant,
        id: &ConferenceId,
        feedback: FeedbackSources,
        (links, members): (Links, Vec<Member>),
    ) {
        let slot = match self.by_id.get(id) {
            Some(slot) => *slot,
            None => self.create_conference(now, id, feedback),
        };
        self.with_part(now, slot, |part| {
            for link in links.iter() {
                part.core.add_link(now, link);
            }
        });
        for link in links.iter() {
            // They may have said things before there was anybody to hear them.
            let listening = Handover::Listening {
                from: self.index,
                conference: id.clone(),
            };
            self.outboxes[link.number()].push(listening);
        }
        for member in members {
            self.guarded(now, slot, |state| state.join_remote(now, slot, member));
        }
        self.publish_census();
    }

    /// Another part has an endpoint.
    fn join_remote(&mut self, now: Instant, slot: usize, member: Member) {
        let Some(conference) = self.conferences.get_mut(slot) else {
            return;
        };
        let number = member.number;
        // Told twice: it came while the part was opened anew.
        if self.numbers.contains_key(&number) {
            return;
        }
        let settings = RemoteSettings {
            id: member.id,
            link: member.link,
            role: member.role,
            may_send: member.may_send,
        };
        let key = conference.core.add_remote(now, settings);
        let core = &mut conference.core;
        core.set_e2ee(now, key, member.e2ee);
        core.set_sources(now, key, member.sources);
        conference.enter_remote(key, number);
        self.numbers.insert(number, (slot, key));
        self.census.resized(conference);
        self.touch_conference(slot);
        self.publish_census();
    }

    fn leave_remote(&mut self, now: Instant, slot: usize, number: u64) {
        let Some((_, key)) = self.numbers.remove(&number) else {
            return;
        };
        if let Some(conference) = self.conferences.get_mut(slot) {
            conference.leave_remote(now, key, number);
            self.census.resized(conference);
            conference.core.remove_endpoint(now, key);
            self.touch_conference(slot);
        }
        self.publish_census();
    }

    /// Changes a part's core, if it is still there.
    fn with_part(&mut self, now: Instant, slot: usize, work: impl FnOnce(&mut Conference)) {
        self.guarded(now, slot, |state| {
            if let Some(conference) = state.conferences.get_mut(slot) {
                work(conference);
                state.touch_conference(slot);
            }
        });
    }

    /// A packet of another part's endpoint.
    pub(super) fn handle_packet(
        &mut self,
        now: Instant,
        number: u64,
        kind: PacketKind,
        packet: &[u8],
    ) {
        let Some(&(slot, key)) = self.numbers.get(&number) else {
            self.counters.one(Count::RelayedUnknown);
            return;
        };
        self.guarded(now, slot, |state| {
            let (core, mut sink) = split(
                &mut state.conferences[slot],
                &mut state.endpoints,
                &mut state.queue,
                &mut state.counters,
                &mut state.rings,
            );
            match kind {
                PacketKind::Rtp => core.handle_rtp(now, key, packet, &mut sink),
                PacketKind::Rtcp => core.handle_rtcp(now, key, packet, &mut sink),
            }
            state.touch_conference(slot);
        });
    }

    /// Another part says something about an endpoint.
    pub(super) fn handle_relay(
        &mut self,
        now: Instant,
        from: usize,
        number: u64,
        message: RelayMessage,
    ) {
        let Some(&(slot, key)) = self.numbers.get(&number) else {
            return;
        };
        self.guarded(now, slot, |state| {
            let (core, mut sink) = split(
                &mut state.conferences[slot],
                &mut state.endpoints,
                &mut state.queue,
                &mut state.counters,
                &mut state.rings,
            );
            core.handle_relay(now, link(from), key, message, &mut sink);
            state.touch_conference(slot);
        });
    }

    /// Another part has begun to listen to ours, if we have one.
    pub(super) fn handle_listening(&mut self, now: Instant, from: usize, id: &ConferenceId) {
        if let Some(slot) = self.by_id.get(id).copied() {
            self.with_part(now, slot, |part| part.core.say_again(now, link(from)));
        }
    }

    /// Puts what waits for other workers on their rings, and tells the directory what it is to hear,
    /// as far as there is room.
    pub(super) fn flush_outboxes(&mut self, now: Instant) {
        self.outboxes_due = None;
        while let Some(gone) = self.gone.pop_front() {
            if let Err(TrySendError::Full(gone)) = self.shared.gone.try_send(gone) {
                self.gone.push_front(gone);
                self.outboxes_due = Some(now + RETRY);
                break;
            }
        }
        for (worker, outbox) in self.outboxes.iter_mut().enumerate() {
            if outbox.is_empty() {
                continue;
            }
            if outbox.flush(&self.shared.peers[worker].ring) {
                self.rings.wake(worker);
            }
            if !outbox.is_empty() {
                self.outboxes_due = Some(now + RETRY);
            }
        }
    }

    /// What a core says to other parts.
    pub(super) fn say(
        &mut self,
        slot: usize,
        to: Links,
        about: EndpointKey,
        message: &RelayMessage,
    ) {
        let Some(number) = self.conferences[slot].number(about) else {
            return;
        };
        for link in to.iter() {
            let said = Handover::Relay {
                from: self.index,
                number,
                message: message.clone(),
            };
            let kept = self
                .outboxes
                .get_mut(Link::number(link))
                .is_some_and(|outbox| outbox.push(said));
            if !kept {
                self.counters.one(Count::HandoversDropped);
            }
        }
    }

    /// Tells the directory of an endpoint that was removed unasked.
    pub(super) fn report_gone(&mut self, slot: usize) {
        let endpoint = &self.endpoints[slot];
        let gone = Gone::Endpoint {
            conference: self.conferences[endpoint.conference].id.clone(),
            endpoint: endpoint.id.clone(),
            number: endpoint.number,
        };
        self.gone.push_back(gone);
    }

    /// Nothing that comes by a ring finds this conference any more.
    pub(super) fn forget_numbers(&mut self, conference: &Conference) {
        for (_, number) in conference.numbers.iter().flatten() {
            self.numbers.remove(number);
        }
    }
}

impl Conference {
    fn change(&mut self, now: Instant, key: EndpointKey, change: Change) {
        if let Some(may_send) = change.may_send {
            self.core.set_may_send(now, key, may_send);
        }
        // Before its sources: not one packet of theirs is read otherwise.
        if let Some(e2ee) = change.e2ee {
            self.core.set_e2ee(now, key, e2ee);
        }
        if let Some(sources) = change.sources {
            self.core.set_sources(now, key, sources);
        }
    }

    /// The number of an endpoint, local or not.
    pub(super) fn number(&self, key: EndpointKey) -> Option<u64> {
        let entry = self.numbers.get(key.index()).copied().flatten();
        entry
            .filter(|(own, _)| *own == key)
            .map(|(_, number)| number)
    }

    pub(super) fn set_number(&mut self, key: EndpointKey, number: u64) {
        if self.numbers.len() <= key.index() {
            self.numbers.resize(key.index() + 1, None);
        }
        self.numbers[key.index()] = Some((key, number));
    }

    pub(super) fn forget_number(&mut self, key: EndpointKey) {
        if self.number(key).is_some() {
            self.numbers[key.index()] = None;
        }
    }

    fn enter_remote(&mut self, key: EndpointKey, number: u64) {
        self.set_number(key, number);
        self.remotes += 1;
        self.empty_since = None;
    }

    fn leave_remote(&mut self, now: Instant, key: EndpointKey, number: u64) {
        if self.number(key) == Some(number) {
            self.forget_number(key);
            self.remotes -= 1;
            self.note_empty(now);
        }
    }
}
