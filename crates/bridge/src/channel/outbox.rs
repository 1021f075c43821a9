//! What waits to be written to one bridge-channel socket.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// **And when full?** State-like messages replace their older version, so they never fill it. If
/// all the same this many messages or bytes wait, the reader is too slow to follow: the socket is
/// closed and the client, coming back, is told the whole state. Dropping single messages would
/// leave it with a wrong picture.
const MAX_MESSAGES: usize = 512;
const MAX_BYTES: usize = 2 * 1024 * 1024;

/// Why we close a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CloseReason {
    /// A newer socket of the same endpoint took over.
    Replaced,
    /// The endpoint is gone.
    EndpointClosed,
    /// The reader cannot follow.
    TooSlow,
    /// No frame for the idle time-out.
    Idle,
    /// The worker has no room for its messages.
    Unavailable,
}

impl CloseReason {
    /// Close code (RFC 6455 §7.4.1) and text; a client tries again after all but 1001 when it is
    /// alone (protocol 3 §8.2).
    pub(crate) const fn frame(self) -> (u16, &'static str) {
        match self {
            Self::Replaced => (1000, "replaced"),
            Self::EndpointClosed => (1001, "endpoint closed"),
            Self::TooSlow => (1008, "too slow"),
            Self::Idle => (1000, "idle"),
            Self::Unavailable => (1013, "try again later"),
        }
    }
}

/// The queue of one socket: a worker pushes, the socket's task takes.
#[derive(Debug)]
pub(crate) struct Outbox {
    state: Mutex<State>,
    changed: Notify,
    ended: CancellationToken,
}

#[derive(Debug, Default)]
struct State {
    messages: VecDeque<(Option<Key>, Arc<str>)>,
    bytes: usize,
    closed: Option<CloseReason>,
}

/// Messages that tell a state: of two with the same key only the newer matters.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Key {
    ForwardedSources,
    DominantSpeaker,
    ConnectionStats,
    SenderSourceConstraints(Box<str>),
}

impl Outbox {
    pub(crate) fn new() -> Self {
        Self {
            state: Mutex::default(),
            changed: Notify::new(),
            ended: CancellationToken::new(),
        }
    }

    /// Queues a message; the older version of the same state goes.
    pub(crate) fn push(&self, json: Arc<str>) {
        let mut state = self.lock();
        if state.closed.is_some() {
            return;
        }
        let key = key(&json);
        if let Some(key) = &key {
            let older = state
                .messages
                .iter()
                .position(|(other, _)| other.as_ref() == Some(key));
            if let Some((_, older)) = older.and_then(|index| state.messages.remove(index)) {
                state.bytes -= older.len();
            }
        }
        if state.messages.len() >= MAX_MESSAGES || state.bytes + json.len() > MAX_BYTES {
            state.close(CloseReason::TooSlow);
            self.ended.cancel();
        } else {
            state.bytes += json.len();
            state.messages.push_back((key, json));
        }
        drop(state);
        self.changed.notify_one();
    }

    /// Ends the socket; the first reason stands. What still waits is not sent.
    pub(crate) fn close(&self, reason: CloseReason) {
        self.lock().close(reason);
        self.changed.notify_one();
        self.ended.cancel();
    }

    /// Waits for the end, also while a reader that does not read holds up the writing.
    pub(crate) async fn ended(&self) -> CloseReason {
        self.ended.cancelled().await;
        self.lock().closed.unwrap_or(CloseReason::EndpointClosed)
    }

    /// Waits for messages, at most `limit` at once, or for the end.
    pub(crate) async fn take(&self, limit: usize) -> Result<Vec<Arc<str>>, CloseReason> {
        loop {
            {
                let mut state = self.lock();
                if let Some(reason) = state.closed {
                    return Err(reason);
                }
                if !state.messages.is_empty() {
                    let count = state.messages.len().min(limit);
                    let taken: Vec<Arc<str>> = state
                        .messages
                        .drain(..count)
                        .map(|(_, json)| json)
                        .collect();
                    state.bytes -= taken.iter().map(|json| json.len()).sum::<usize>();
                    return Ok(taken);
                }
            }
            self.changed.notified().await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A queue is whole after each line above, so a poisoned one is good.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn close(&mut self, reason: CloseReason) {
        if self.closed.is_none() {
            self.closed = Some(reason);
            self.messages = VecDeque::new();
            self.bytes = 0;
        }
    }
}

/// Reads the class from the first member, where our own writer puts it; anything written otherwise
/// is simply not coalesced.
fn key(json: &str) -> Option<Key> {
    let rest = json.strip_prefix(r#"{"colibriClass":""#)?;
    let (class, rest) = rest.split_once('"')?;
    Some(match class {
        "ForwardedSources" => Key::ForwardedSources,
        "DominantSpeakerEndpointChangeEvent" => Key::DominantSpeaker,
        "ConnectionStats" => Key::ConnectionStats,
        "SenderSourceConstraints" => {
            let (_, rest) = rest.split_once(r#""sourceName":""#)?;
            let (source, _) = rest.split_once('"')?;
            Key::SenderSourceConstraints(source.into())
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    fn waiting(outbox: &Outbox) -> Vec<String> {
        let taken = outbox.take(usize::MAX).now_or_never().unwrap().unwrap();
        taken.iter().map(|json| json.to_string()).collect()
    }

    #[test]
    fn state_replaces_state_and_nothing_else_does() {
        let outbox = Outbox::new();
        let messages = [
            r#"{"colibriClass":"ForwardedSources","forwardedSources":[]}"#,
            r#"{"colibriClass":"VideoSourcesMap","mappedSources":[1]}"#,
            r#"{"colibriClass":"SenderSourceConstraints","sourceName":"a-v0","maxHeight":0}"#,
            r#"{"colibriClass":"SenderSourceConstraints","sourceName":"a-v1","maxHeight":0}"#,
            r#"{"colibriClass":"VideoSourcesMap","mappedSources":[2]}"#,
            r#"{"colibriClass":"SenderSourceConstraints","sourceName":"a-v0","maxHeight":720}"#,
            r#"{"colibriClass":"EndpointMessage","to":"","from":"a","msgPayload":{}}"#,
            r#"{"colibriClass":"EndpointMessage","to":"","from":"a","msgPayload":{}}"#,
            r#"{"colibriClass":"ForwardedSources","forwardedSources":["b-v0"]}"#,
        ];
        for message in messages {
            outbox.push(message.into());
        }
        let expected: Vec<&str> = [1, 3, 4, 5, 6, 7, 8].map(|i: usize| messages[i]).into();
        assert_eq!(waiting(&outbox), expected);
    }

    #[test]
    fn a_reader_too_slow_is_closed_rather_than_left_with_gaps() {
        let outbox = Outbox::new();
        for _ in 0..MAX_MESSAGES {
            outbox.push(r#"{"colibriClass":"EndpointMessage"}"#.into());
        }
        outbox.push(r#"{"colibriClass":"EndpointMessage"}"#.into());
        let end = outbox.take(1).now_or_never().unwrap();
        assert_eq!(end, Err(CloseReason::TooSlow));

        let outbox = Outbox::new();
        outbox.push("x".repeat(MAX_BYTES).into());
        assert_eq!(waiting(&outbox).len(), 1);
        outbox.push("x".repeat(MAX_BYTES).into());
        outbox.push("x".into());
        let end = outbox.take(1).now_or_never().unwrap();
        assert_eq!(end, Err(CloseReason::TooSlow));
    }

    #[test]
    fn the_first_reason_to_close_stands() {
        let outbox = Outbox::new();
        outbox.push("x".into());
        outbox.close(CloseReason::Replaced);
        outbox.close(CloseReason::EndpointClosed);
        assert_eq!(
            outbox.take(1).now_or_never().unwrap(),
            Err(CloseReason::Replaced)
        );
    }

    #[tokio::test]
    async fn a_waiting_reader_is_woken() {
        let outbox = Outbox::new();
        let (taken, ()) = tokio::join!(outbox.take(10), async { outbox.push("x".into()) });
        assert_eq!(taken, Ok(vec!["x".into()]));
    }
}
