//! The sessions of this node by number, for whoever has a frame for one.

use crate::metrics::Metrics;
use althing_xmpp::sm::{Ask, Bounds, Full, HandledTooMany, Unacknowledged};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Instant;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// How many frames wait for one client at most. A newcomer to a room of 1,000 is told of all
/// others at once, and more may join meanwhile.
pub(crate) const OUTBOX: usize = 4096;
/// How many bytes wait for one client at most: those 4,096 frames when each is as long as presences
/// are. Without it a client could have the server keep a gigabyte of answers to itself.
const OUTBOX_BYTES: usize = 16 * 1024 * 1024;

/// What the writing half of a session is told.
#[derive(Debug)]
pub(crate) enum Outgoing {
    /// A frame of the stream itself.
    Frame(String),
    /// A stanza, possibly shared with others.
    Stanza(Arc<str>),
    /// A frame after which stanzas are counted and kept (XEP-0198).
    Enabled(String),
    /// Frames before this were for a connection that is no more.
    Anew,
    /// Nothing comes after this.
    Close,
}

impl Outgoing {
    fn len(&self) -> usize {
        match self {
            Self::Frame(text) | Self::Enabled(text) => text.len(),
            Self::Stanza(text) => text.len(),
            Self::Anew | Self::Close => 0,
        }
    }
}

/// The way to one client.
#[derive(Debug, Clone)]
pub(crate) struct Outbox {
    frames: mpsc::Sender<Outgoing>,
    /// Bytes of what waits; shared texts count for everybody they wait for.
    waiting: Arc<AtomicUsize>,
    /// Cancelled when the client did not take its frames, or is to be let go for another reason.
    pub(crate) overflow: CancellationToken,
    /// Since when the client is not there, while its session waits for it.
    hibernating: Arc<Mutex<Option<Instant>>>,
}

/// What waits for one client, for the writing half of its session.
#[derive(Debug)]
pub(crate) struct Frames {
    frames: mpsc::Receiver<Outgoing>,
    waiting: Arc<AtomicUsize>,
}

impl Frames {
    pub(crate) async fn recv(&mut self) -> Option<Outgoing> {
        let outgoing = self.frames.recv().await?;
        self.waiting.fetch_sub(outgoing.len(), Ordering::Relaxed);
        Some(outgoing)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }
}

impl Outbox {
    pub(crate) fn new() -> (Self, Frames) {
        let (frames, receiver) = mpsc::channel(OUTBOX);
        let waiting = Arc::new(AtomicUsize::new(0));
        let outbox = Self {
            frames,
            waiting: Arc::clone(&waiting),
            overflow: CancellationToken::new(),
            hibernating: Arc::default(),
        };
        let frames = Frames {
            frames: receiver,
            waiting,
        };
        (outbox, frames)
    }

    /// Notes that the client is not there since then, or is again.
    pub(crate) fn hibernate(&self, since: Option<Instant>) {
        *self.hibernating() = since;
    }

    fn hibernating(&self) -> MutexGuard<'_, Option<Instant>> {
        self.hibernating
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands a frame over or, when the queue is full, gives the session up.
    pub(crate) fn push(&self, outgoing: Outgoing, metrics: &Metrics) {
        if self.overflow.is_cancelled() {
            return;
        }
        let bytes = outgoing.len();
        let before = self.waiting.fetch_add(bytes, Ordering::Relaxed);
        // A single frame longer than all is let through: it is the only one.
        let fits = before == 0 || before.saturating_add(bytes) <= OUTBOX_BYTES;
        let full = !fits
            || matches!(
                self.frames.try_send(outgoing),
                Err(mpsc::error::TrySendError::Full(_))
            );
        if full && !self.overflow.is_cancelled() {
            self.overflow.cancel();
            metrics.queue_overflows.inc();
        }
    }
}

/// All sessions of this node.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    outboxes: RwLock<HashMap<u64, Outbox>>,
    next: AtomicU64,
}

impl Sessions {
    pub(crate) fn next_number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn insert(&self, number: u64, outbox: Outbox) {
        self.outboxes
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(number, outbox);
    }

    pub(crate) fn remove(&self, number: u64) {
        self.outboxes
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&number);
    }

    /// Hands one stanza to each of `numbers` that is still there.
    pub(crate) fn deliver(
        &self,
        numbers: impl Iterator<Item = u64>,
        xml: &Arc<str>,
        metrics: &Metrics,
    ) {
        let outboxes = self.outboxes.read().unwrap_or_else(PoisonError::into_inner);
        for outbox in numbers.filter_map(|number| outboxes.get(&number)) {
            outbox.push(Outgoing::Stanza(Arc::clone(xml)), metrics);
        }
    }

    /// Since when the client of a session was not heard of, while the session waits for it to come
    /// back; `None` when it is there, or the session is not.
    pub(crate) fn hibernating_since(&self, number: u64) -> Option<Instant> {
        let outboxes = self.outboxes.read().unwrap_or_else(PoisonError::into_inner);
        *outboxes.get(&number)?.hibernating()
    }

    /// Ends a session that waits for its client; one whose client is there stays. Its rooms are told
    /// by the session itself. Whether it was waiting.
    pub(crate) fn expire(&self, number: u64) -> bool {
        let outboxes = self.outboxes.read().unwrap_or_else(PoisonError::into_inner);
        let Some(outbox) = outboxes.get(&number) else {
            return false;
        };
        // Held while it is ended, so that it does not come back in between.
        let since = outbox.hibernating();
        if since.is_some() {
            outbox.overflow.cancel();
        }
        since.is_some()
    }

    /// Gives sessions up, as if they had not taken their frames.
    pub(crate) fn abandon(&self, numbers: impl Iterator<Item = u64>) {
        let outboxes = self.outboxes.read().unwrap_or_else(PoisonError::into_inner);
        for outbox in numbers.filter_map(|number| outboxes.get(&number)) {
            outbox.overflow.cancel();
        }
    }
}

/// What a client was sent and may not have, once its stream is managed; shared by both halves of
/// its session.
#[derive(Debug, Clone, Default)]
pub(crate) struct Managed(Arc<Mutex<Option<Unacknowledged<Arc<str>>>>>);

impl Managed {
    fn stream(&self) -> MutexGuard<'_, Option<Unacknowledged<Arc<str>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn start(&self) {
        // As much as may wait for a client may also be on its way to it.
        *self.stream() = Some(Unacknowledged::new(Bounds {
            stanzas: OUTBOX,
            bytes: OUTBOX_BYTES,
        }));
    }

    pub(crate) fn is_started(&self) -> bool {
        self.stream().is_some()
    }

    /// Keeps a stanza that is about to be sent.
    pub(crate) fn send(&self, xml: &Arc<str>) -> Result<Ask, Full> {
        match &mut *self.stream() {
            Some(stream) => stream.send(Arc::clone(xml), xml.len()),
            None => Ok(Ask::No),
        }
    }

    pub(crate) fn acknowledge(&self, handled: u32) -> Result<Ask, HandledTooMany> {
        match &mut *self.stream() {
            Some(stream) => stream.acknowledge(handled),
            None => Ok(Ask::No),
        }
    }

    /// What is to be sent again to a client that has so many.
    pub(crate) fn resume(&self, handled: u32) -> Result<Vec<Arc<str>>, HandledTooMany> {
        let mut stream = self.stream();
        let Some(stream) = &mut *stream else {
            return Ok(Vec::new());
        };
        let _: Ask = stream.acknowledge(handled)?;
        stream.reconnected();
        Ok(stream.iter().map(Arc::clone).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stanza(bytes: usize) -> Outgoing {
        Outgoing::Stanza("x".repeat(bytes).into())
    }

    #[tokio::test]
    async fn only_a_session_whose_client_is_away_expires() {
        let sessions = Sessions::default();
        let (outbox, _frames) = Outbox::new();
        sessions.insert(7, outbox.clone());
        assert_eq!(sessions.hibernating_since(7), None);
        assert!(!sessions.expire(7) && !sessions.expire(8));
        assert!(!outbox.overflow.is_cancelled());
        let since = Instant::now();
        outbox.hibernate(Some(since));
        assert_eq!(sessions.hibernating_since(7), Some(since));
        assert!(sessions.expire(7));
        assert!(outbox.overflow.is_cancelled());
    }

    #[tokio::test]
    async fn few_but_long_frames_fill_the_queue_too() {
        let metrics = Metrics::default();
        let (outbox, mut frames) = Outbox::new();
        // What is taken does not count, however much it is in all.
        for _ in 0..100 {
            outbox.push(stanza(1 << 20), &metrics);
            assert!(frames.recv().await.is_some());
        }
        for _ in 0..OUTBOX_BYTES >> 20 {
            outbox.push(stanza(1 << 20), &metrics);
        }
        assert!(!outbox.overflow.is_cancelled());
        outbox.push(stanza(1), &metrics);
        outbox.push(stanza(1), &metrics);
        assert!(outbox.overflow.is_cancelled());
        assert_eq!(metrics.queue_overflows.get(), 1);
    }
}
