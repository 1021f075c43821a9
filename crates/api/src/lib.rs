//! The server's interface for other programs: REST, webhooks, and the audit log.
//!
//! ```text
//!   rooms ══ RoomNotice ══► feed ──► audit log      audit/2026-11.jsonl, written and synced in groups
//!     ▲        (bus)          └────► one queue for each webhook ──► POST, signed, tried again
//!     ║
//!     ╚═ RoomRequest ══ REST ◄── Authorization: Bearer …      planned rooms ──► Storage
//! ```
//!
//! It knows neither XML nor sockets: what happens in rooms arrives on the bus, and what is to be kept
//! goes to a [`Storage`] that it is handed.
//!
//! **And when full?** The bus holds 1,024 notices that the feed has not taken; the feed only sorts,
//! and waits for nobody. The audit log's queue holds 16,384 lines more. What finds one of them full is
//! lost, counted (`althing_api_notices_lost_total`, `althing_api_audit_lost_total`), said in the log,
//! and written into the audit log itself as a line `{"event":"lost","count":…}`, so that whoever reads
//! it knows of the gap. A webhook's queue holds 1,024; what comes after is lost for it, and counted.

mod audit;
mod auth;
mod clock;
mod document;
mod error;
mod feed;
mod metrics;
mod plans;
mod rest;
mod storage;
mod webhook;

pub use plans::Plans;
pub use storage::Storage;

use crate::audit::Journal;
use crate::metrics::Metrics;
use crate::webhook::Hook;
use althing_bus::Bus;
use althing_control::rooms::{Happening, NOTICES};
use althing_model::{NodeId, Secret};
use althing_telemetry::Registry;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long what is under way may take at the end: notices sorted, lines written, what waits for
/// webhooks delivered.
const SHUTDOWN_PATIENCE: Duration = Duration::from_millis(400);
/// How long after that until what still waits is given up.
const GIVE_UP_PATIENCE: Duration = Duration::from_millis(100);

/// Every event a webhook may ask for.
pub const EVENTS: &[&str] = &Happening::NAMES;
/// What a webhook is told that asks for nothing in particular.
pub const USUAL_EVENTS: &[&str] = &[
    "room_started",
    "room_ended",
    "joined",
    "left",
    "lobby_knock",
];

/// What the interface is told when it starts.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The node whose rooms are asked about.
    pub node: NodeId,
    /// Who may ask; without any there is no REST interface.
    pub keys: Vec<Key>,
    /// Who is told what happens.
    pub webhooks: Vec<Webhook>,
    /// What is kept of it.
    pub audit: Audit,
}

/// A key of the REST interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Stands in the audit log for whoever used it.
    pub name: String,
    /// What comes after `Bearer`.
    pub secret: Secret,
}

/// Who is told what happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    /// Where it is posted to.
    pub url: String,
    /// What it is signed with.
    pub secret: Secret,
    /// Which events, of [`EVENTS`].
    pub events: Vec<String>,
}

/// What is kept of what happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audit {
    /// Nothing.
    Off,
    /// What moderators and keys did.
    Moderation,
    /// That, and who was there from when to when.
    Attendance,
}

/// Why the interface did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address that is none.
    #[error("{0:?} is no address that a webhook can be posted to")]
    Url(String),
    /// The client for webhooks cannot be made.
    #[error("webhooks cannot be posted: {0}")]
    Client(String),
    /// The planned rooms cannot be read.
    #[error("the planned rooms cannot be read: {0}")]
    Storage(#[from] std::io::Error),
}

/// The running interface.
#[derive(Debug)]
pub struct Api {
    rest: Option<Arc<rest::Shared>>,
    plans: Plans,
    tasks: TaskTracker,
    /// No more is waited for: the feed takes what is there and ends.
    stop: CancellationToken,
    /// What still waits is given up.
    give_up: CancellationToken,
}

impl Api {
    /// Listens to what happens from now on, so start it before the rooms; on a tokio runtime.
    ///
    /// # Errors
    /// [`StartError`]; nothing then runs.
    pub fn start(
        settings: Settings,
        bus: Arc<dyn Bus>,
        storage: Arc<dyn Storage>,
        registry: &mut Registry,
    ) -> Result<Self, StartError> {
        let metrics = Metrics::register(registry);
        let (stop, give_up) = (CancellationToken::new(), CancellationToken::new());
        let tasks = TaskTracker::new();
        let plans = Plans::load(Arc::clone(&storage))?;
        let hooks = webhook::prepare(&settings.webhooks)?;
        let audit = (settings.audit != Audit::Off).then(|| {
            let (sender, lines) = audit::queue(&metrics);
            let journal = Journal::new(storage, metrics.clone());
            tasks.spawn_blocking(move || journal.run(lines));
            sender
        });
        let weak = audit.as_ref().map(audit::Sender::downgrade);
        let feed = feed::Feed {
            audit,
            attendance: settings.audit == Audit::Attendance,
            hooks: hooks
                .into_iter()
                .map(|hook: Hook| hook.start(&tasks, &stop, &give_up, &metrics))
                .collect(),
            metrics: metrics.clone(),
        };
        let notices = bus.subscribe(NOTICES);
        tasks.spawn(feed.run(notices, stop.clone()));
        let rest = (!settings.keys.is_empty()).then(|| {
            Arc::new(rest::Shared {
                node: settings.node,
                keys: settings.keys,
                bus,
                plans: plans.clone(),
                audit: weak,
                stop: stop.clone(),
                metrics,
            })
        });
        Ok(Self {
            rest,
            plans,
            tasks,
            stop,
            give_up,
        })
    }

    /// The routes below `/api/v1/`; none without a key.
    pub fn router(&self) -> axum::Router {
        self.rest
            .as_ref()
            .map_or_else(axum::Router::new, |shared| rest::router(Arc::clone(shared)))
    }

    /// The rooms planned beforehand.
    pub fn plans(&self) -> Plans {
        self.plans.clone()
    }

    /// Takes what the rooms have told, writes it down, and delivers what it can, at most about
    /// half a second; to be called once the rooms have ended.
    pub async fn shutdown(&self) {
        self.tasks.close();
        self.stop.cancel();
        let done = tokio::time::timeout(SHUTDOWN_PATIENCE, self.tasks.wait()).await;
        if done.is_err() {
            self.give_up.cancel();
            let done = tokio::time::timeout(GIVE_UP_PATIENCE, self.tasks.wait()).await;
            if done.is_err() {
                tracing::warn!(left = self.tasks.len(), "tasks did not end in time");
            }
        }
    }
}

#[cfg(test)]
mod tests;
