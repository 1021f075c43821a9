//! The bridge channel: one WebSocket per endpoint, for JSON beside the media (protocol 3).
//!
//! ```text
//!   socket task ── ClientMessage, at most 50 waiting ──► worker of the conference
//!   socket task ◄── Outbox, state-like messages merged ── worker
//! ```
//!
//! A socket is not an endpoint: it may come late, go, and come back with the same URL and
//! password for as long as the endpoint lives.

mod outbox;
mod router;
mod socket;

pub(crate) use outbox::{CloseReason, Outbox};
pub(crate) use router::{Service, router};

use crate::worker::EndpointRef;
use althing_model::{ConferenceId, EndpointId, Secret};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How many messages of one endpoint may wait for its worker; more are dropped (protocol 3 §3).
const MAX_WAITING: usize = 50;

/// Length of a channel password; five random bits each.
pub(crate) const PASSWORD_LENGTH: usize = 26;

/// Every endpoint's channel, found by the path of its URL.
#[derive(Debug, Default)]
pub(crate) struct Channels {
    map: Mutex<HashMap<ConferenceId, HashMap<EndpointId, Arc<Channel>>>>,
    pub(crate) counters: ChannelCounters,
}

/// What the sockets count.
#[derive(Debug, Default)]
pub(crate) struct ChannelCounters {
    /// Open now.
    pub(crate) sockets: AtomicU64,
    pub(crate) opened: AtomicU64,
    pub(crate) replaced: AtomicU64,
    /// 403 and 404.
    pub(crate) refused: AtomicU64,
    pub(crate) received: AtomicU64,
    pub(crate) sent: AtomicU64,
    /// Not a message, or too long.
    pub(crate) malformed: AtomicU64,
    /// Too many, or no room at the worker.
    pub(crate) overflowed: AtomicU64,
    pub(crate) closed_too_slow: AtomicU64,
    pub(crate) closed_idle: AtomicU64,
}

/// Where an endpoint's messages go in and out, whichever socket it has at the time.
#[derive(Debug)]
pub(crate) struct Channel {
    pub(crate) password: Secret,
    pub(crate) worker: usize,
    pub(crate) endpoint: EndpointRef,
    current: Mutex<Current>,
    waiting: AtomicUsize,
}

#[derive(Debug, Default)]
struct Current {
    // Counts sockets: what an earlier one says or does no longer matters.
    generation: u64,
    outbox: Option<Arc<Outbox>>,
    // The worker has taken note of this socket; before that it would be told a part of the state.
    greeted: bool,
    ended: bool,
}

/// One waiting message; dropped when the worker is done with it.
#[derive(Debug)]
pub(crate) struct Ticket(Arc<Channel>);

impl Channels {
    pub(crate) fn insert(
        &self,
        conference: ConferenceId,
        endpoint: EndpointId,
        channel: Arc<Channel>,
    ) {
        self.lock()
            .entry(conference)
            .or_default()
            .insert(endpoint, channel);
    }

    /// Forgets `channel`, unless a newer one stands in its place.
    pub(crate) fn remove(
        &self,
        conference: &ConferenceId,
        endpoint: &EndpointId,
        channel: &Arc<Channel>,
    ) {
        let mut map = self.lock();
        let Some(endpoints) = map.get_mut(conference) else {
            return;
        };
        if endpoints
            .get(endpoint)
            .is_some_and(|known| Arc::ptr_eq(known, channel))
        {
            endpoints.remove(endpoint);
        }
        if endpoints.is_empty() {
            map.remove(conference);
        }
    }

    pub(crate) fn find(&self, conference: &str, endpoint: &str) -> Option<Arc<Channel>> {
        self.lock().get(conference)?.get(endpoint).cloned()
    }

    /// Ends all that are left, should their worker have died without doing so.
    pub(crate) fn end_all(&self) {
        let map = std::mem::take(&mut *self.lock());
        for channel in map.values().flat_map(HashMap::values) {
            channel.end();
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ConferenceId, HashMap<EndpointId, Arc<Channel>>>> {
        self.map.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Channel {
    pub(crate) fn new(password: Secret, worker: usize, endpoint: EndpointRef) -> Self {
        Self {
            password,
            worker,
            endpoint,
            current: Mutex::default(),
            waiting: AtomicUsize::new(0),
        }
    }

    /// A new socket takes the place of an older one; `None` when the endpoint is gone.
    fn connect(&self) -> Option<Connected> {
        let outbox = Arc::new(Outbox::new());
        let mut current = self.lock();
        if current.ended {
            return None;
        }
        current.generation += 1;
        current.greeted = false;
        let replaced = current.outbox.replace(outbox.clone());
        let generation = current.generation;
        drop(current);
        if let Some(older) = &replaced {
            older.close(CloseReason::Replaced);
        }
        Some(Connected {
            generation,
            outbox,
            replaced: replaced.is_some(),
        })
    }

    /// The socket is gone; says whether it was still the current one.
    fn disconnect(&self, generation: u64) -> bool {
        let mut current = self.lock();
        let is_current = current.generation == generation && current.outbox.is_some();
        if is_current {
            current.outbox = None;
            current.greeted = false;
        }
        is_current
    }

    /// From here on the socket hears what the worker says; `false` if it was replaced meanwhile.
    pub(crate) fn greet(&self, generation: u64) -> bool {
        let mut current = self.lock();
        let is_current = current.generation == generation && current.outbox.is_some();
        if is_current {
            current.greeted = true;
        }
        is_current
    }

    pub(crate) fn is_current(&self, generation: u64) -> bool {
        self.lock().generation == generation
    }

    pub(crate) fn has_socket(&self) -> bool {
        self.lock().outbox.is_some()
    }

    /// Sends by the current socket; without one the message is void, since a new socket is told
    /// the whole state.
    pub(crate) fn send(&self, json: Arc<str>) {
        let current = self.lock();
        if let (true, Some(outbox)) = (current.greeted, &current.outbox) {
            outbox.push(json);
        }
    }

    /// The endpoint is gone: closes the socket, and no other will be accepted.
    pub(crate) fn end(&self) {
        let mut current = self.lock();
        current.ended = true;
        let outbox = current.outbox.take();
        drop(current);
        if let Some(outbox) = outbox {
            outbox.close(CloseReason::EndpointClosed);
        }
    }

    /// A place in the queue to the worker, if there is one left.
    fn ticket(self: &Arc<Self>) -> Option<Ticket> {
        if self.waiting.fetch_add(1, Ordering::Relaxed) < MAX_WAITING {
            Some(Ticket(self.clone()))
        } else {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            None
        }
    }

    fn lock(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Connected {
    generation: u64,
    outbox: Arc<Outbox>,
    replaced: bool,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    fn channel() -> Arc<Channel> {
        let endpoint = EndpointRef {
            slot: 0,
            generation: 1,
        };
        Arc::new(Channel::new(Secret::new("x"), 0, endpoint))
    }

    #[test]
    fn a_late_close_of_a_replaced_socket_changes_nothing() {
        let channel = channel();
        let first = channel.connect().unwrap();
        assert!(channel.greet(first.generation));
        let second = channel.connect().unwrap();
        assert!(!first.replaced && second.replaced);
        assert_eq!(
            first.outbox.ended().now_or_never(),
            Some(CloseReason::Replaced)
        );
        assert!(!channel.greet(first.generation));
        assert!(channel.greet(second.generation));
        assert!(!channel.disconnect(first.generation));
        channel.send("x".into());
        assert_eq!(
            second.outbox.take(9).now_or_never(),
            Some(Ok(vec!["x".into()]))
        );
        assert!(channel.disconnect(second.generation));
        assert!(!channel.has_socket());
    }

    #[test]
    fn a_socket_hears_nothing_before_its_greeting() {
        let channel = channel();
        let socket = channel.connect().unwrap();
        channel.send("early".into());
        assert_eq!(socket.outbox.take(9).now_or_never(), None);
    }

    #[test]
    fn an_ended_channel_accepts_no_socket() {
        let channel = channel();
        let socket = channel.connect().unwrap();
        channel.end();
        assert_eq!(
            socket.outbox.ended().now_or_never(),
            Some(CloseReason::EndpointClosed)
        );
        assert!(channel.connect().is_none());
    }

    #[test]
    fn only_so_many_messages_wait() {
        let channel = channel();
        let tickets: Vec<Ticket> = (0..MAX_WAITING)
            .map(|_| channel.ticket().unwrap())
            .collect();
        assert!(channel.ticket().is_none());
        drop(tickets);
        assert!(channel.ticket().is_some());
    }
}
