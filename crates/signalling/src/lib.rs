//! The XMPP door: WebSocket and BOSH sessions, the directory of rooms, and one task for each room with its
//! focus.
//!
//! ```text
//!   browser ══ws══► session task ──Input (names its SessionId)──► room task ── Room ⇄ Focus
//!                        ▲                                            │           │
//!                        └────────── stanzas by SessionId ◄───────────┘           └──► Bus ──► bridge
//! ```
//!
//! Sessions and rooms exchange plain values that name sessions and never hold them, so that a room
//! may one day live on another node than its occupant's socket.
//!
//! **And when full?** A room's queue (1,024 inputs) makes its senders wait, and they stop reading
//! their sockets. A session's queue (4,096 frames, 16 MiB) makes nobody wait: a client that does not take
//! its frames is closed and counted. So no two queues wait for each other.

mod addresses;
mod admission;
mod authenticator;
mod bosh;
mod bucket;
mod clock;
mod directory;
mod door;
mod handshake;
mod makers;
mod metrics;
mod notices;
mod reader;
mod requests;
mod resume;
mod room_task;
mod rules;
mod services;
mod session;
mod sessions;
mod wire;

pub use crate::authenticator::{Authenticator, Credentials, LoginRefused};
pub use crate::rules::{Plans, RoomRule};

use crate::addresses::Addresses;
use crate::admission::Admission;
use crate::authenticator::Everybody;
use crate::directory::{Directory, RoomKey};
use crate::metrics::Metrics;
use crate::notices::Numbers;
use crate::resume::Resumable;
use crate::rules::NoPlans;
use crate::sessions::Sessions;
use althing_bus::Bus;
use althing_control::rooms::RoomName;
use althing_model::{MediaMode, NodeId};
pub use althing_room::{Moderators, Preset, StartMuted};
use althing_telemetry::Registry;
use althing_xmpp::Jid;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long sessions, and then rooms, may take to end.
const SHUTDOWN_PATIENCE: Duration = Duration::from_millis(800);

/// What the door is told when it starts.
#[derive(Debug, Clone)]
pub struct Settings {
    /// This node.
    pub node: NodeId,
    /// The bridge that conferences are held on.
    pub bridge: NodeId,
    /// The XMPP domain, for instance `meet.jitsi`; it never follows the Host header.
    pub domain: String,
    /// What the focus says its version is.
    pub version: String,
    /// Sessions at once; further ones are answered 503.
    pub max_sessions: usize,
    /// Rooms at once; further ones are refused.
    pub max_rooms: usize,
    /// Occupants of one room.
    pub max_occupants: usize,
    /// The longest frame of a client, in bytes.
    pub max_frame_bytes: usize,
    /// Decides who may log in; by default everybody may, as a guest.
    pub authenticator: Arc<dyn Authenticator>,
    /// How long a session waits for a client that has lost its connection and manages its stream.
    pub resume_time: Duration,
    /// Sessions that wait so at once; further ones end when their connections do.
    pub max_hibernating: usize,
    /// Those of them whose clients came from one address (IPv6: one /64, here and below).
    pub hibernating_per_address: usize,
    /// Connections that clients of one address may have at once.
    pub sessions_per_address: usize,
    /// Connections that clients of one address may open per second in the long run.
    pub connections_per_second: u32,
    /// Connections that clients of one address may open at once.
    pub connection_burst: u32,
    /// Joins that clients of one address may make per second in the long run.
    pub joins_per_second: u32,
    /// Joins that clients of one address may make at once.
    pub join_burst: u32,
    /// Joins that one session may make per second in the long run.
    pub session_joins_per_second: u32,
    /// Joins that one session may make at once.
    pub session_join_burst: u32,
    /// Stanzas a client may send per second in the long run; a faster one is read more slowly. Those
    /// for everybody in a room count as several.
    pub stanzas_per_second: u32,
    /// Stanzas a client may send at once.
    pub stanza_burst: u32,
    /// Bytes a client may send per second in the long run; a faster one is read more slowly.
    pub bytes_per_second: u32,
    /// Bytes a client may send at once.
    pub byte_burst: u32,
    /// Stanzas that all clients of one address may send per second in the long run.
    pub address_stanzas_per_second: u32,
    /// Stanzas that all clients of one address may send at once.
    pub address_stanza_burst: u32,
    /// Bytes that all clients of one address may send per second in the long run.
    pub address_bytes_per_second: u32,
    /// Bytes that all clients of one address may send at once.
    pub address_byte_burst: u32,
    /// Rooms that clients of one address may make per second in the long run; one that nobody joins
    /// lasts 15 s.
    pub rooms_per_second: u32,
    /// Rooms that clients of one address may make at once.
    pub room_burst: u32,
    /// Who becomes a moderator.
    pub moderators: Moderators,
    /// Rooms are opened by those with an accepted token; guests wait for one of them.
    pub hosts_only: bool,
    /// What of media rooms are for, unless their rule or plan says otherwise.
    pub media: MediaMode,
    /// Whether clients that can are offered redundant audio (RFC 2198).
    pub redundant_audio: bool,
    /// What rooms begin with, by their names; the first that fits holds.
    pub presets: Vec<RoomRule>,
    /// Rooms planned beforehand, which go before the rules of their names.
    pub plans: Arc<dyn Plans>,
    /// Nobody asks to be let in from a lobby without a name.
    pub name_required: bool,
    /// SSRCs one occupant may signal.
    pub max_ssrcs: usize,
    /// SSRC groups one occupant may signal.
    pub max_ssrc_groups: usize,
}

impl Settings {
    /// The defaults for a node that is its own bridge.
    #[must_use]
    pub fn new(node: NodeId, domain: impl Into<String>) -> Self {
        Self {
            bridge: node.clone(),
            node,
            domain: domain.into(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            max_sessions: 20_000,
            max_rooms: 10_000,
            max_occupants: 1_000,
            max_frame_bytes: 256 * 1024,
            authenticator: Arc::new(Everybody),
            // What clients are told, and reckon with.
            resume_time: Duration::from_secs(60),
            // A quarter of all sessions: more than lose their connections at once where not
            // everything does, and each keeps no more than what is said in its rooms for a minute.
            max_hibernating: 5_000,
            hibernating_per_address: 2_000,
            // A university behind one address.
            sessions_per_address: 5_000,
            // Everybody comes back at once after a break of the line, three times over.
            connections_per_second: 50,
            connection_burst: 5_000,
            joins_per_second: 50,
            join_burst: 2_000,
            // Breakout rooms, back and forth; every join is told to everybody.
            session_joins_per_second: 1,
            session_join_burst: 100,
            stanzas_per_second: 100,
            stanza_burst: 1_000,
            // The longest stanza more than once a second, and what a large room's start takes.
            bytes_per_second: 400 * 1024,
            byte_burst: 4 * 1024 * 1024,
            // A thousand people who all talk and type at once.
            address_stanzas_per_second: 10_000,
            address_stanza_burst: 100_000,
            address_bytes_per_second: 20 * 1024 * 1024,
            address_byte_burst: 200 * 1024 * 1024,
            // A school behind one address, all lessons beginning at eight.
            rooms_per_second: 20,
            room_burst: 1_000,
            moderators: Moderators::First,
            hosts_only: false,
            presets: Vec::new(),
            plans: Arc::new(NoPlans),
            name_required: true,
            max_ssrcs: 20,
            max_ssrc_groups: 20,
            media: MediaMode::All,
            redundant_audio: true,
        }
    }
}

/// Why the door did not open.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// The domain is not one.
    #[error("{0:?} is not an XMPP domain")]
    Domain(String),
}

/// What every task of this crate knows.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) settings: Settings,
    pub(crate) focus_jid: Jid,
    pub(crate) bus: Arc<dyn Bus>,
    pub(crate) metrics: Metrics,
    pub(crate) notices: Numbers,
    pub(crate) sessions: Sessions,
    pub(crate) resumable: Resumable,
    pub(crate) addresses: Addresses,
    pub(crate) admission: Admission,
    pub(crate) bindings: bosh::Bindings,
    pub(crate) directory: Directory,
    pub(crate) session_tasks: TaskTracker,
    pub(crate) room_tasks: TaskTracker,
    pub(crate) stop_sessions: CancellationToken,
    pub(crate) stop_rooms: CancellationToken,
}

/// How much goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Census {
    /// Rooms that are open, breakout rooms not counted.
    pub rooms: u64,
    /// People in them.
    pub occupants: u64,
}

/// The running door. Clones are one door.
#[derive(Debug, Clone)]
pub struct Signalling {
    shared: Arc<Shared>,
}

impl Signalling {
    /// Starts listening on the bus for what bridges say; must be called inside a tokio runtime.
    ///
    /// # Errors
    /// [`StartError`] when the settings make no sense.
    pub fn start(
        settings: Settings,
        bus: Arc<dyn Bus>,
        registry: &mut Registry,
    ) -> Result<Self, StartError> {
        let focus_jid = Jid::from_parts(
            Some("focus"),
            &format!("auth.{}", settings.domain),
            Some("focus"),
        )
        .map_err(|_| StartError::Domain(settings.domain.clone()))?;
        let session_tasks = TaskTracker::new();
        let room_tasks = TaskTracker::new();
        let metrics = Metrics::register(registry, &session_tasks, &room_tasks);
        let events = bus.subscribe(&althing_control::focus_subject(&settings.node));
        let requests = bus.subscribe(&althing_control::rooms::rooms_subject(&settings.node));
        let bridges = bus.subscribe(althing_control::BRIDGES);
        let shared = Arc::new(Shared {
            focus_jid,
            bus,
            metrics,
            notices: Numbers::default(),
            sessions: Sessions::default(),
            resumable: Resumable::default(),
            addresses: Addresses::new(&settings),
            admission: Admission::default(),
            bindings: bosh::Bindings::default(),
            directory: Directory::new(&settings),
            session_tasks,
            room_tasks,
            stop_sessions: CancellationToken::new(),
            stop_rooms: CancellationToken::new(),
            settings,
        });
        shared
            .room_tasks
            .spawn(directory::bridge_events(Arc::clone(&shared), events));
        shared
            .room_tasks
            .spawn(requests::serve(Arc::clone(&shared), requests));
        shared
            .room_tasks
            .spawn(admission::listen(Arc::clone(&shared), bridges));
        Ok(Self { shared })
    }

    /// The public routes: `/xmpp-websocket`, `/http-bind`, both below a tenant too, and
    /// `/conference-request/v1`. Requests carry an `Extension<ClientInfo>`.
    pub fn router(&self) -> axum::Router {
        door::router(&self.shared)
    }

    /// What of media a room is for, be it open, or yet to be made.
    #[must_use]
    pub fn media_of(&self, room: &RoomName) -> MediaMode {
        let (settings, directory) = (&self.shared.settings, &self.shared.directory);
        let Some(key) = RoomKey::of_name(room, &settings.domain) else {
            return settings.media;
        };
        let open = directory.find(&key).map(|handle| handle.media);
        open.unwrap_or_else(|| {
            settings.media_of(&settings.beginning(&key, clock::now().unix_millis))
        })
    }

    /// Rooms that are open now, and the people in them.
    #[must_use]
    pub fn census(&self) -> Census {
        let number = |gauge: i64| u64::try_from(gauge).unwrap_or(0);
        Census {
            rooms: self.shared.directory.rooms() as u64,
            occupants: number(self.shared.metrics.occupants.get()),
        }
    }

    /// Waits until no room is open; at once when there is none. One that somebody asked for and
    /// nobody came into ends by itself.
    pub async fn no_rooms(&self) {
        self.shared.directory.no_rooms().await;
    }

    /// Tells every client that the server goes down, lets rooms end, and waits for all tasks, at
    /// most about 1.6 s.
    pub async fn shutdown(&self) {
        let shared = &self.shared;
        for (stop, tasks, what) in [
            (&shared.stop_sessions, &shared.session_tasks, "sessions"),
            (&shared.stop_rooms, &shared.room_tasks, "rooms"),
        ] {
            tasks.close();
            stop.cancel();
            if tokio::time::timeout(SHUTDOWN_PATIENCE, tasks.wait())
                .await
                .is_err()
            {
                tracing::warn!(what, left = tasks.len(), "tasks did not end in time");
            }
        }
    }
}
