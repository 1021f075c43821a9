//! Keys of somebody else's, fetched when they are asked for, and kept.
//!
//! ```text
//!   find(kid) ── kept and fresh ───────────────────────────────► keys
//!        └────── stale, or unknown ──► one task fetches ──► kept ──► keys, or the old ones
//!                                       everybody else who asks waits for that task, 5 s at most
//! ```
//!
//! The fetching task belongs to nobody who waits: one that goes away ends nothing. Strangers choose
//! the names of keys, so what is remembered and what is under way at once is bounded.

use crate::algorithm::Algorithm;
use crate::document::{self, PublishedKey};
use crate::fetch::{Fetch, FetchError, Fetched};
use crate::key::{Material, sha256_hex};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;
use url::Url;

/// How long a login waits for a key; a fetch takes no longer either.
const DEADLINE: Duration = Duration::from_secs(5);
/// Fetched anew this long before it ends, as upstream does.
const EARLY: Duration = Duration::from_secs(60);
/// How long keys are good for when their server does not say: many in a document, one in a file.
const DOCUMENT_AGE: Duration = Duration::from_secs(6 * 3600);
const FILE_AGE: Duration = Duration::from_secs(3600);
/// However long their server says: a key that was withdrawn has to go some day.
const MAX_AGE: Duration = Duration::from_secs(24 * 3600);
/// Between two tries, whatever came of the first.
const PAUSE: Duration = Duration::from_secs(30);
/// How long a key is good for after it has gone from its document: tokens signed with it just
/// before are still under way.
const AFTERLIFE: Duration = Duration::from_secs(90 * 60);
/// Tries within the deadline at a key server.
const TRIES: usize = 3;
/// Kept names of a key server, known and unknown.
const MAX_SLOTS: usize = 512;
/// Fetches at once; further names are unknown meanwhile.
const MAX_FLIGHTS: usize = 16;
const MAX_DOCUMENT_BYTES: usize = 1024 * 1024;
const MAX_FILE_BYTES: usize = 64 * 1024;

/// How a server gives out its keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// All in one document.
    Document,
    /// Each in a file of its own.
    Files,
}

/// A server's keys.
#[derive(Debug)]
pub(crate) struct Remote {
    pub(crate) algorithms: Vec<Algorithm>,
    kind: Kind,
    url: Url,
    fetch: Arc<dyn Fetch>,
    tasks: TaskTracker,
    deadline: Duration,
    /// By `kid` for files; the one document has the empty name. Never locked across an await.
    slots: Mutex<HashMap<String, Slot>>,
}

/// What is known of one address.
#[derive(Debug)]
struct Slot {
    keys: Vec<Kept>,
    asked: Option<Instant>,
    stale: Instant,
    /// The fetch under way; it ends when the sender does.
    flight: Option<watch::Receiver<()>>,
}

#[derive(Debug, Clone)]
struct Kept {
    key: PublishedKey,
    /// When it went from its document.
    gone: Option<Instant>,
}

impl Kept {
    fn is_good(&self, now: Instant) -> bool {
        self.gone.is_none_or(|gone| now < gone + AFTERLIFE)
    }
}

impl Slot {
    fn find(&self, kid: &str, algorithm: Algorithm, now: Instant) -> Vec<Material> {
        self.keys
            .iter()
            .filter(|kept| kept.key.kid == kid && kept.is_good(now))
            .filter(|kept| kept.key.only.is_none_or(|only| only == algorithm))
            .filter(|kept| kept.key.material.family() == algorithm.family())
            .map(|kept| kept.key.material.clone())
            .collect()
    }

    /// Whether to ask the server: what is kept is old, or a key is unknown that may be new.
    fn is_due(&self, known: bool, now: Instant) -> bool {
        now >= self.stale || (!known && self.asked.is_none_or(|asked| now >= asked + PAUSE))
    }
}

impl Remote {
    pub(crate) fn new(
        kind: Kind,
        url: Url,
        algorithms: Vec<Algorithm>,
        fetch: Arc<dyn Fetch>,
        tasks: TaskTracker,
    ) -> Self {
        Self {
            algorithms,
            kind,
            url,
            fetch,
            tasks,
            deadline: DEADLINE,
            slots: Mutex::default(),
        }
    }

    #[cfg(test)]
    pub(crate) fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// The keys of that name, after asking their server if need be; none if there are none or it
    /// does not say within the deadline.
    pub(crate) async fn find(self: &Arc<Self>, kid: &str, algorithm: Algorithm) -> Vec<Material> {
        let slot = match self.kind {
            Kind::Document => "",
            Kind::Files => kid,
        };
        let mut flight = {
            let now = Instant::now();
            let mut slots = self.slots();
            let found = slots
                .get(slot)
                .map(|s| s.find(kid, algorithm, now))
                .unwrap_or_default();
            if slots
                .get(slot)
                .is_some_and(|s| !s.is_due(!found.is_empty(), now))
            {
                return found;
            }
            match self.flight(&mut slots, slot, now) {
                Some(flight) => flight,
                None => return found,
            }
        };
        // Ends with an error when the task has let go of its end, which is what is waited for.
        let _ = tokio::time::timeout(self.deadline, flight.changed()).await;
        let now = Instant::now();
        self.slots()
            .get(slot)
            .map(|s| s.find(kid, algorithm, now))
            .unwrap_or_default()
    }

    fn slots(&self) -> MutexGuard<'_, HashMap<String, Slot>> {
        // Nothing in here panics half-way through a change.
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The fetch under way, or a new one if there may be one more.
    fn flight(
        self: &Arc<Self>,
        slots: &mut HashMap<String, Slot>,
        slot: &str,
        now: Instant,
    ) -> Option<watch::Receiver<()>> {
        if let Some(flight) = slots.get(slot).and_then(|s| s.flight.clone()) {
            return Some(flight);
        }
        if slots.values().filter(|s| s.flight.is_some()).count() >= MAX_FLIGHTS {
            return None;
        }
        if slots.len() >= MAX_SLOTS && !slots.contains_key(slot) {
            forget_one(slots)?;
        }
        let (done, flight) = watch::channel(());
        let entry = slots.entry(slot.to_owned()).or_insert_with(|| Slot {
            keys: Vec::new(),
            asked: None,
            stale: now,
            flight: None,
        });
        entry.flight = Some(flight.clone());
        entry.asked = Some(now);
        let (remote, name) = (Arc::clone(self), slot.to_owned());
        self.tasks.spawn(async move {
            remote.refresh(&name).await;
            drop(done);
        });
        Some(flight)
    }

    async fn refresh(&self, name: &str) {
        let outcome = tokio::time::timeout(self.deadline, self.ask(name))
            .await
            .unwrap_or(Err(Failure::Fetch(FetchError::Late)));
        let now = Instant::now();
        let mut slots = self.slots();
        let Some(slot) = slots.get_mut(name) else {
            return;
        };
        slot.flight = None;
        slot.asked = Some(now);
        match outcome {
            Ok(Answer::Keys { keys, age }) => {
                slot.stale = now + age;
                replace(&mut slot.keys, keys, now);
            }
            Ok(Answer::Missing) => {
                slot.stale = now + PAUSE;
                slot.keys.clear();
            }
            Err(failure) => {
                slot.stale = now + PAUSE;
                // What is kept of a server that fails is not kept for ever.
                for kept in &mut slot.keys {
                    kept.gone.get_or_insert(now);
                }
                slot.keys.retain(|kept| kept.is_good(now));
                tracing::warn!(
                    server = self.url.host_str().unwrap_or_default(),
                    error = %failure,
                    "keys of tokens cannot be fetched"
                );
            }
        }
    }

    async fn ask(&self, name: &str) -> Result<Answer, Failure> {
        match self.kind {
            Kind::Document => match self.fetch.get(self.url.clone(), MAX_DOCUMENT_BYTES).await? {
                Fetched::Missing => Err(Failure::Fetch(FetchError::Status(404))),
                Fetched::Document { body, max_age } => Ok(Answer::Keys {
                    keys: document::keys(&body)?,
                    age: age(max_age, DOCUMENT_AGE),
                }),
            },
            Kind::Files => {
                let url = self.file(name)?;
                match self.persistently(&url).await? {
                    Fetched::Missing => Ok(Answer::Missing),
                    Fetched::Document { body, max_age } => Ok(Answer::Keys {
                        keys: document::pem(name, &body)?,
                        age: age(max_age, FILE_AGE),
                    }),
                }
            }
        }
    }

    async fn persistently(&self, url: &Url) -> Result<Fetched, FetchError> {
        let mut tries = 1;
        loop {
            match self.fetch.get(url.clone(), MAX_FILE_BYTES).await {
                Err(_) if tries < TRIES => tries += 1,
                outcome => return outcome,
            }
        }
    }

    /// `<server>/<sha256 of kid>.pem`: whatever stands in a `kid`, the path is ours.
    fn file(&self, kid: &str) -> Result<Url, FetchError> {
        let mut url = self.url.clone();
        url.path_segments_mut()
            .map_err(|()| FetchError::Unreachable)?
            .pop_if_empty()
            .push(&format!("{}.pem", sha256_hex(kid)));
        Ok(url)
    }
}

enum Answer {
    Keys {
        keys: Vec<PublishedKey>,
        age: Duration,
    },
    Missing,
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error(transparent)]
    Document(#[from] document::DocumentError),
}

fn age(said: Option<Duration>, otherwise: Duration) -> Duration {
    said.map_or(otherwise, |age| {
        age.min(MAX_AGE).saturating_sub(EARLY).max(PAUSE)
    })
}

/// New keys, and the old ones that are not among them for a while longer.
fn replace(kept: &mut Vec<Kept>, keys: Vec<PublishedKey>, now: Instant) {
    kept.retain_mut(|old| {
        old.gone.get_or_insert(now);
        old.is_good(now) && !keys.iter().any(|new| new.kid == old.key.kid)
    });
    kept.extend(keys.into_iter().map(|key| Kept { key, gone: None }));
}

/// Makes room: names without a key first, those that were asked for longest ago. `None` when
/// everything is under way.
fn forget_one(slots: &mut HashMap<String, Slot>) -> Option<()> {
    let oldest = slots
        .iter()
        .filter(|(_, slot)| slot.flight.is_none())
        .min_by_key(|(_, slot)| (!slot.keys.is_empty(), slot.asked))
        .map(|(name, _)| name.clone())?;
    slots.remove(&oldest);
    Some(())
}

#[cfg(test)]
mod tests;
