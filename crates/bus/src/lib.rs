//! Control messages between nodes: subjects, bytes, deadlines. What the bytes mean is not known
//! here.
//!
//! ```text
//!   publish ──► every subscription of the subject, or nobody
//!   request ──► the oldest subscription of the subject ──► one reply, or an error by the deadline
//! ```
//!
//! **And when full?** A subscription holds [`CAPACITY`] deliveries. A `publish` to a full one is
//! lost for that subscriber, counted and warned about; whoever publishes must be able to live with
//! that, as it must with a network. A `request` to a full one fails at once with
//! [`BusError::Overloaded`]: the caller knows that nothing was done and may try again. Nobody ever
//! waits for room.

mod in_process;

pub use in_process::InProcess;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use std::fmt::Debug;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// How many deliveries a subscription holds that its owner has not taken yet.
pub const CAPACITY: usize = 1024;

/// The largest payload, in bytes; the default limit of the brokers that may stand behind a [`Bus`].
pub const MAX_PAYLOAD: usize = 1024 * 1024;

/// Carries control messages between nodes, or within one.
pub trait Bus: Debug + Send + Sync + 'static {
    /// Tells every subscriber of `subject`; may be lost.
    fn publish(&self, subject: &str, payload: Bytes);

    /// Asks a subscriber of `subject` and waits for its reply, at most until `deadline` from now.
    /// The message is handed over when this is called, not when the future is first polled, so
    /// requests keep the order of the calls.
    ///
    /// # Errors
    /// [`BusError`], by what is known about whether the request was carried out.
    fn request(
        &self,
        subject: &str,
        payload: Bytes,
        deadline: Duration,
    ) -> BoxFuture<'static, Result<Bytes, BusError>>;

    /// Receives what is sent to `subject` from now on, until the [`Subscription`] is dropped.
    fn subscribe(&self, subject: &str) -> Subscription;
}

/// Why a request has no reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BusError {
    /// Nobody listens on the subject, or the listener dropped the request unanswered.
    #[error("nobody answers on this subject")]
    NoResponder,
    /// No reply in time; whether the request was carried out is not known.
    #[error("no reply before the deadline")]
    Deadline,
    /// The listener's queue is full; nothing was done.
    #[error("the responder is overloaded")]
    Overloaded,
    /// More than [`MAX_PAYLOAD`] bytes; nothing was sent.
    #[error("payload exceeds {MAX_PAYLOAD} bytes")]
    TooLarge,
}

/// What arrived on a subject.
#[derive(Debug)]
pub struct Delivery {
    /// The bytes as they were sent.
    pub payload: Bytes,
    /// Where the answer goes, if one is waited for.
    pub reply: Option<Reply>,
}

/// The way back to a requester. Dropped unused, it tells the requester [`BusError::NoResponder`].
#[derive(Debug)]
pub struct Reply(oneshot::Sender<Bytes>);

impl Reply {
    /// Answers; nothing happens if the requester has given up.
    pub fn send(self, payload: Bytes) {
        // A requester whose deadline passed has dropped its end: there is nobody left to tell.
        self.0.send(payload).ok();
    }
}

/// One listener on one subject; dropping it ends the subscription.
#[derive(Debug)]
pub struct Subscription {
    deliveries: mpsc::Receiver<Delivery>,
    // Runs when the subscription is dropped.
    _end: in_process::End,
}

impl Subscription {
    /// The next delivery in order of sending; `None` once the bus is gone and all were taken.
    pub async fn next(&mut self) -> Option<Delivery> {
        self.deliveries.recv().await
    }
}

#[cfg(test)]
mod tests;
