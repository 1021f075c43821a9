use crate::channel::{Channel, Channels, PASSWORD_LENGTH, socket};
use crate::drain::Drain;
use crate::watch::Figures;
use crate::worker::WorkerHandle;
use althing_model::{NodeId, Secret};
use axum::Router;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use tokio_util::task::TaskTracker;

/// The largest frame a socket takes in before it is closed; messages may have a quarter of it, so
/// that one somewhat too long costs only itself.
const MAX_FRAME_BYTES: usize = 256 * 1024;

/// What each socket reads at once, and how much gathers before it is written, in bytes. The library
/// holds as much for as long as a channel is open, by every participant; its own is 128 KiB each.
const READ_BUFFER: usize = 1024;
const WRITE_BUFFER: usize = 2 * 1024;

/// What every socket of this bridge needs.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) node: NodeId,
    pub(crate) channels: Arc<Channels>,
    pub(crate) workers: Vec<WorkerHandle>,
    pub(crate) tasks: TaskTracker,
    /// What one endpoint may say in the long run.
    pub(crate) messages_per_second: u32,
    pub(crate) drain: Drain,
    /// How everything is, a second old at most.
    pub(crate) figures: Mutex<Figures>,
}

impl Service {
    pub(crate) fn figures(&self) -> Figures {
        let figures = self.figures.lock();
        figures.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether a worker takes newcomers.
    pub(crate) fn admits(&self, worker: usize) -> bool {
        let figures = self.figures.lock();
        let figures = figures.unwrap_or_else(PoisonError::into_inner);
        // Of one that was not looked at yet, nothing speaks against it.
        let refuses = figures.workers.get(worker).is_some_and(|w| w.refuses);
        self.workers[worker].is_alive() && !refuses
    }

    pub(crate) fn set_figures(&self, figures: Figures) {
        *self.figures.lock().unwrap_or_else(PoisonError::into_inner) = figures;
    }
}

/// `/colibri-ws/<node>/<conference>/<endpoint>?pwd=<password>`; all else below it is not found,
/// so that it never falls through to a room of that name.
pub(crate) fn router(service: Arc<Service>) -> Router {
    Router::new()
        .route("/colibri-ws/{*rest}", get(upgrade))
        .route("/colibri-ws", any(StatusCode::NOT_FOUND))
        .route("/colibri-ws/", any(StatusCode::NOT_FOUND))
        .with_state(service)
}

async fn upgrade(
    State(service): State<Arc<Service>>,
    Path(rest): Path<String>,
    RawQuery(query): RawQuery,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let channel = match find(&service, &rest, query.as_deref()) {
        Ok(channel) => channel,
        Err(refusal) => {
            service
                .channels
                .counters
                .refused
                .fetch_add(1, Ordering::Relaxed);
            return refusal.into_response();
        }
    };
    match upgrade {
        Ok(upgrade) => upgrade
            .max_frame_size(MAX_FRAME_BYTES)
            .max_message_size(MAX_FRAME_BYTES)
            .read_buffer_size(READ_BUFFER)
            .write_buffer_size(WRITE_BUFFER)
            .on_upgrade(move |websocket| {
                let tasks = service.tasks.clone();
                tasks.track_future(socket::run(websocket, channel, service))
            }),
        Err(rejection) => rejection.into_response(),
    }
}

/// Unknown conference, unknown endpoint and wrong password are one answer, and take one time.
fn find(
    service: &Service,
    rest: &str,
    query: Option<&str>,
) -> Result<Arc<Channel>, (StatusCode, &'static str)> {
    const NOT_FOUND: (StatusCode, &str) = (StatusCode::NOT_FOUND, "not found");
    const FORBIDDEN: (StatusCode, &str) = (StatusCode::FORBIDDEN, "forbidden");
    let mut pieces = rest.split('/');
    let (Some(node), Some(conference), Some(endpoint), None) =
        (pieces.next(), pieces.next(), pieces.next(), pieces.next())
    else {
        return Err(NOT_FOUND);
    };
    if node != service.node.as_str() {
        return Err(NOT_FOUND);
    }
    let given = query
        .and_then(|query| query.strip_prefix("pwd="))
        .unwrap_or_default();
    match service.channels.find(conference, endpoint) {
        Some(channel) if channel.password.matches(given) => Ok(channel),
        Some(_) => Err(FORBIDDEN),
        None => {
            let nobody = Secret::new("-".repeat(PASSWORD_LENGTH));
            std::hint::black_box(nobody.matches(given));
            Err(FORBIDDEN)
        }
    }
}
