//! The operator's view; served on the admin listener only.

use crate::channel::Service;
use crate::counters::Count;
use crate::metrics::{DROPS, totals};
use crate::worker::{Command, WorkerHandle, owner};
use althing_model::ConferenceId;
use althing_transport::DropReason;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use tokio::time::timeout;

/// A worker that does not answer for this long is stuck.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);

#[derive(Debug, Clone)]
struct Admin {
    service: Arc<Service>,
    started: Instant,
    reachable: bool,
}

pub(crate) fn router(service: Arc<Service>, started: Instant, reachable: bool) -> Router {
    Router::new()
        .route("/about/health", get(health))
        .route("/about/version", get(version))
        .route("/colibri/stats", get(stats))
        .route("/debug", get(conferences))
        .route("/debug/{conference}", get(conference))
        .with_state(Admin {
            service,
            started,
            reachable,
        })
}

/// Healthy means: there is an address to offer, and every worker lives and answers.
async fn health(State(admin): State<Admin>) -> Response {
    if !admin.reachable {
        return unhealthy("no address to offer to clients");
    }
    for worker in &admin.service.workers {
        if ask(worker, None).await.is_none() {
            return unhealthy("a media worker does not answer");
        }
    }
    (StatusCode::OK, "OK").into_response()
}

fn unhealthy(reason: &'static str) -> Response {
    (StatusCode::INTERNAL_SERVER_ERROR, reason).into_response()
}

async fn version() -> Json<Value> {
    Json(json!({
        "name": "Althing",
        "version": env!("CARGO_PKG_VERSION"),
        "os": std::env::consts::OS,
    }))
}

/// The names Jitsi's operators and their dashboards know (protocol 5 §19.2), as far as we can
/// answer them truthfully, and our own drop reasons.
async fn stats(State(admin): State<Admin>) -> Json<Value> {
    let service = &admin.service;
    let totals = totals(service);
    let get = |count| totals.get(count);
    let channels = &service.channels.counters;
    let mut dropped = Map::new();
    for (reason, count) in DROPS {
        dropped.insert((*reason).to_owned(), get(*count).into());
    }
    for reason in DropReason::ALL {
        dropped.insert(reason.as_str().to_owned(), totals.drops(*reason).into());
    }
    Json(json!({
        "conferences": get(Count::Conferences),
        "largest_conference": get(Count::LargestConference),
        "endpoints": get(Count::Endpoints),
        "participants": get(Count::Endpoints),
        "local_endpoints": get(Count::Endpoints),
        "local_active_endpoints": get(Count::Endpoints) - get(Count::EndpointsInactive),
        "inactive_endpoints": get(Count::EndpointsInactive),
        "endpoints_disconnected": get(Count::EndpointsDisconnected),
        "endpoints_reconnected": get(Count::EndpointsReconnected),
        "total_conferences_created": get(Count::ConferencesCreated),
        "total_conferences_completed": get(Count::ConferencesEnded),
        "total_participants": get(Count::EndpointsCreated),
        "total_packets_received": get(Count::PacketsReceived),
        "total_packets_sent": get(Count::PacketsSent),
        "total_bytes_received": get(Count::BytesReceived),
        "total_bytes_sent": get(Count::BytesSent),
        "total_ice_failed": get(Count::TransportsFailedIce),
        "dtls_failed_endpoints": get(Count::TransportsFailedDtls),
        "total_colibri_web_socket_messages_received": channels.received.load(Ordering::Relaxed),
        "total_colibri_web_socket_messages_sent": channels.sent.load(Ordering::Relaxed),
        "colibri_web_sockets": channels.sockets.load(Ordering::Relaxed),
        "packets_dropped": dropped,
        "relay_id": service.node,
        "threads": service.workers.iter().filter(|worker| worker.is_alive()).count(),
        "uptime_seconds": admin.started.elapsed().as_secs(),
        "version": env!("CARGO_PKG_VERSION"),
    }))
}

async fn conferences(State(admin): State<Admin>) -> Json<Value> {
    let mut all = Vec::new();
    for worker in &admin.service.workers {
        if let Some(Value::Array(list)) = ask(worker, None).await {
            all.extend(list);
        }
    }
    Json(Value::Array(all))
}

async fn conference(State(admin): State<Admin>, Path(id): Path<String>) -> Response {
    let Ok(id) = ConferenceId::new(id) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let workers = &admin.service.workers;
    let worker = &workers[owner(&id, workers.len())];
    match ask(worker, Some(id)).await {
        Some(Value::Null) => StatusCode::NOT_FOUND.into_response(),
        Some(detail) => Json(detail).into_response(),
        None => unhealthy("the media worker does not answer"),
    }
}

/// Asks a worker for its picture; `None` when it is dead or stuck.
async fn ask(worker: &WorkerHandle, conference: Option<ConferenceId>) -> Option<Value> {
    let (reply, answer) = oneshot::channel();
    worker.send(Command::Debug { conference, reply }).ok()?;
    timeout(ANSWER_WITHIN, answer).await.ok()?.ok()
}
