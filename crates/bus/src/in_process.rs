use crate::{Bus, BusError, CAPACITY, Delivery, MAX_PAYLOAD, Reply, Subscription};
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

/// The bus of a node that is alone: delivers the same encoded bytes that a network would.
#[derive(Debug, Clone, Default)]
pub struct InProcess {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    // Held for a few map operations, never across an await.
    subjects: Mutex<HashMap<String, Vec<Subscriber>>>,
    next_id: AtomicU64,
    lost: AtomicU64,
}

#[derive(Debug)]
struct Subscriber {
    id: u64,
    deliveries: mpsc::Sender<Delivery>,
}

/// Takes a subscription off the list when dropped.
#[derive(Debug)]
pub(crate) struct End {
    shared: Weak<Shared>,
    subject: String,
    id: u64,
}

impl InProcess {
    /// A bus without subscribers.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many published messages found a subscriber's queue full, since the start.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.shared.lost.load(Ordering::Relaxed)
    }

    /// Hands a request over and returns where its reply will appear.
    fn ask(&self, subject: &str, payload: Bytes) -> Result<oneshot::Receiver<Bytes>, BusError> {
        if payload.len() > MAX_PAYLOAD {
            return Err(BusError::TooLarge);
        }
        let subjects = self.shared.subjects();
        let subscriber = subjects
            .get(subject)
            .and_then(|list| list.first())
            .ok_or(BusError::NoResponder)?;
        let (sender, receiver) = oneshot::channel();
        let delivery = Delivery {
            payload,
            reply: Some(Reply(sender)),
        };
        match subscriber.deliveries.try_send(delivery) {
            Ok(()) => Ok(receiver),
            Err(TrySendError::Full(_)) => Err(BusError::Overloaded),
            Err(TrySendError::Closed(_)) => Err(BusError::NoResponder),
        }
    }
}

impl Bus for InProcess {
    fn publish(&self, subject: &str, payload: Bytes) {
        if payload.len() > MAX_PAYLOAD {
            tracing::error!(subject, bytes = payload.len(), "control message too large");
            return;
        }
        let subjects = self.shared.subjects();
        for subscriber in subjects.get(subject).into_iter().flatten() {
            let delivery = Delivery {
                payload: payload.clone(),
                reply: None,
            };
            if let Err(TrySendError::Full(_)) = subscriber.deliveries.try_send(delivery) {
                let lost = self.shared.lost.fetch_add(1, Ordering::Relaxed) + 1;
                // The first, then each power of two: a stuck reader must not fill the log.
                if lost.is_power_of_two() {
                    tracing::warn!(subject, lost, "control message lost to a full queue");
                }
            }
        }
    }

    fn request(
        &self,
        subject: &str,
        payload: Bytes,
        deadline: Duration,
    ) -> BoxFuture<'static, Result<Bytes, BusError>> {
        let until = Instant::now() + deadline;
        match self.ask(subject, payload) {
            Err(error) => ready(Err(error)).boxed(),
            Ok(reply) => async move {
                match tokio::time::timeout_at(until, reply).await {
                    Ok(Ok(payload)) if payload.len() > MAX_PAYLOAD => Err(BusError::TooLarge),
                    Ok(Ok(payload)) => Ok(payload),
                    Ok(Err(_)) => Err(BusError::NoResponder),
                    Err(_) => Err(BusError::Deadline),
                }
            }
            .boxed(),
        }
    }

    fn subscribe(&self, subject: &str) -> Subscription {
        let (sender, deliveries) = mpsc::channel(CAPACITY);
        let id = self.shared.next_id.fetch_add(1, Ordering::Relaxed);
        self.shared
            .subjects()
            .entry(subject.to_owned())
            .or_default()
            .push(Subscriber {
                id,
                deliveries: sender,
            });
        Subscription {
            deliveries,
            _end: End {
                shared: Arc::downgrade(&self.shared),
                subject: subject.to_owned(),
                id,
            },
        }
    }
}

impl Shared {
    fn subjects(&self) -> MutexGuard<'_, HashMap<String, Vec<Subscriber>>> {
        // Nothing in here can panic halfway through a change, so a poisoned map is a whole one.
        self.subjects.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for End {
    fn drop(&mut self) {
        let Some(shared) = self.shared.upgrade() else {
            return;
        };
        let mut subjects = shared.subjects();
        if let Some(list) = subjects.get_mut(&self.subject) {
            list.retain(|subscriber| subscriber.id != self.id);
            if list.is_empty() {
                subjects.remove(&self.subject);
            }
        }
    }
}
