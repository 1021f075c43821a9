//! The sessions of this node by number, for whoever has a frame for one.

use crate::metrics::Metrics;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// How many frames wait for one client at most. A newcomer to a room of 1,000 is told of all
/// others at once, and more may join meanwhile.
pub(crate) const OUTBOX: usize = 4096;

/// What the writing half of a session is told.
#[derive(Debug)]
pub(crate) enum Outgoing {
    /// A frame of the stream itself.
    Frame(String),
    /// A stanza, possibly shared with others.
    Stanza(Arc<str>),
    /// Nothing comes after this.
    Close,
}

/// The way to one client.
#[derive(Debug, Clone)]
pub(crate) struct Outbox {
    frames: mpsc::Sender<Outgoing>,
    /// Cancelled when the client did not take its frames.
    pub(crate) overflow: CancellationToken,
}

impl Outbox {
    pub(crate) fn new() -> (Self, mpsc::Receiver<Outgoing>) {
        let (frames, receiver) = mpsc::channel(OUTBOX);
        let outbox = Self {
            frames,
            overflow: CancellationToken::new(),
        };
        (outbox, receiver)
    }

    /// Hands a frame over or, when the queue is full, gives the session up.
    pub(crate) fn push(&self, outgoing: Outgoing, metrics: &Metrics) {
        if matches!(
            self.frames.try_send(outgoing),
            Err(mpsc::error::TrySendError::Full(_))
        ) && !self.overflow.is_cancelled()
        {
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

    /// Gives sessions up, as if they had not taken their frames.
    pub(crate) fn abandon(&self, numbers: impl Iterator<Item = u64>) {
        let outboxes = self.outboxes.read().unwrap_or_else(PoisonError::into_inner);
        for outbox in numbers.filter_map(|number| outboxes.get(&number)) {
            outbox.overflow.cancel();
        }
    }
}
