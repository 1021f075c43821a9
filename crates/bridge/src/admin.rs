//! The operator's view; served on the admin listener only.

use crate::channel::Service;
use crate::stats;
use crate::worker::{Command, WorkerHandle, owner};
use althing_model::ConferenceId;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use std::sync::Arc;
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
        .route("/stats", get(stats))
        .route("/colibri/drain", get(drain))
        .route("/colibri/drain/enable", post(enable_drain))
        .route("/colibri/drain/disable", post(disable_drain))
        .route("/debug", get(conferences))
        .route("/debug/{conference}", get(conference))
        .with_state(Admin {
            service,
            started,
            reachable,
        })
}

/// Healthy means: there is an address to offer, and every worker lives and answers. It stays so
/// while the server drains: whoever restarts what is not healthy would end meetings that go on.
async fn health(State(admin): State<Admin>) -> Response {
    if !admin.reachable {
        return unhealthy("no address to offer to clients");
    }
    for worker in &admin.service.workers {
        if !worker.is_alive() {
            return unhealthy("a media worker has ended for good: restart the program");
        }
        if ask(worker, None).await.is_none() {
            return unhealthy("a media worker does not answer");
        }
    }
    let text = if admin.service.drain.is_on() {
        "OK, draining"
    } else {
        "OK"
    };
    (StatusCode::OK, text).into_response()
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

async fn stats(State(admin): State<Admin>) -> Json<Value> {
    Json(stats::stats(&admin.service, admin.started, admin.reachable))
}

/// As a Videobridge answers: `{"drain":true}`.
async fn drain(State(admin): State<Admin>) -> Json<Value> {
    Json(json!({ "drain": admin.service.drain.is_on() }))
}

async fn enable_drain(State(admin): State<Admin>) -> Json<Value> {
    Json(json!({ "drain": admin.service.drain.ask(true) }))
}

/// A drain that the end of the program began cannot be taken back.
async fn disable_drain(State(admin): State<Admin>) -> Response {
    let on = admin.service.drain.ask(false);
    let status = if on {
        StatusCode::CONFLICT
    } else {
        StatusCode::OK
    };
    (status, Json(json!({ "drain": on }))).into_response()
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
    let home = owner(&id, workers.len());
    let mut detail = match ask(&workers[home], Some(id.clone())).await {
        Some(Value::Null) => return StatusCode::NOT_FOUND.into_response(),
        Some(detail) => detail,
        None => return unhealthy("the media worker does not answer"),
    };
    for (index, worker) in workers.iter().enumerate().filter(|(i, _)| *i != home) {
        if let Some(part @ Value::Object(_)) = ask(worker, Some(id.clone())).await {
            merge(&mut detail, index, part);
        }
    }
    Json(detail).into_response()
}

/// Endpoints of all parts stand together, each with its worker; what else is known of a part that is
/// not the home stands under `parts`.
fn merge(detail: &mut Value, worker: usize, mut part: Value) {
    if let (Value::Object(theirs), Some(all)) = (
        part["endpoints"].take(),
        detail["endpoints"].as_object_mut(),
    ) {
        all.extend(theirs);
    }
    let known = ["counters", "dominant_speaker", "loudest_only", "left_off"];
    let known = known.map(|name| (name.to_owned(), part[name].take()));
    detail["parts"][worker.to_string()] = Value::Object(known.into_iter().collect());
}

/// Asks a worker for its picture; `None` when it is dead or stuck.
async fn ask(worker: &WorkerHandle, conference: Option<ConferenceId>) -> Option<Value> {
    let (reply, answer) = oneshot::channel();
    worker.send(Command::Debug { conference, reply }).ok()?;
    timeout(ANSWER_WITHIN, answer).await.ok()?.ok()
}
