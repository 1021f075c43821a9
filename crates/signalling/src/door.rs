//! The HTTP side: handshakes, the keep-alive answer, the conference request.

use crate::addresses::Visit;
use crate::authenticator::Hello;
use crate::directory::{self, Asker, NoRoom};
use crate::metrics::{Held, Reason};
use crate::wire::{Connection, WRITE_BUFFER};
use crate::{Shared, bosh, handshake, services};
use althing_model::ClientInfo;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{DefaultBodyLimit, Extension, RawQuery, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;
use tracing::Instrument;

/// What each socket reads at once, in bytes. The library holds as much and twice [`WRITE_BUFFER`] for as
/// long as a session lasts; its own 128 KiB each would be 2.5 GB for 10,000.
const READ_BUFFER: usize = 1024;
/// The longest body of a conference request, in bytes.
const MAX_REQUEST: usize = 64 * 1024;

pub(crate) fn router(shared: &Arc<Shared>) -> Router {
    let websockets = || get(websocket).options(preflight);
    let bindings = || {
        post(bosh::request)
            .get(keep_alive)
            .options(preflight)
            .layer(DefaultBodyLimit::max(shared.settings.max_frame_bytes))
    };
    Router::new()
        .route(
            "/conference-request/v1",
            post(conference_request)
                .options(preflight)
                .layer(DefaultBodyLimit::max(MAX_REQUEST)),
        )
        .route("/xmpp-websocket", websockets())
        .route("/{tenant}/xmpp-websocket", websockets())
        .route("/http-bind", bindings())
        .route("/{tenant}/http-bind", bindings())
        .with_state(Arc::clone(shared))
}

/// Pages of other origins embed meetings, and carry no credentials of ours.
pub(crate) const ANY_ORIGIN: (HeaderName, HeaderValue) = (
    header::ACCESS_CONTROL_ALLOW_ORIGIN,
    HeaderValue::from_static("*"),
);

async fn websocket(
    State(shared): State<Arc<Shared>>,
    Extension(info): Extension<ClientInfo>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let upgrade = match upgrade {
        Ok(upgrade) => upgrade.protocols(["xmpp"]),
        Err(_) if !headers.contains_key(header::UPGRADE) => {
            return keep_alive().await;
        }
        Err(rejection) => return rejection.into_response(),
    };
    if upgrade.selected_protocol().is_none() {
        shared.metrics.refuse(Reason::Subprotocol);
        let text = "the WebSocket subprotocol xmpp is required\n";
        return (StatusCode::BAD_REQUEST, text).into_response();
    }
    let (visit, held) = match admit(&shared, &info) {
        Ok(admitted) => admitted,
        Err(refusal) => return refusal.into_response(),
    };
    let hello = Hello::read(query.as_deref(), &headers);
    // Longer frames than a session takes are read a little way on, so that it can say so.
    let max = shared.settings.max_frame_bytes.saturating_mul(2);
    let tasks = shared.session_tasks.clone();
    let span = tracing::info_span!("session");
    upgrade
        .max_message_size(max)
        .max_frame_size(max)
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(WRITE_BUFFER)
        .on_upgrade(move |socket| {
            let connection = Connection::websocket(socket, visit, held);
            let session = handshake::run(shared, info, hello, connection);
            tasks.track_future(session.instrument(span))
        })
}

/// Why a client does not get in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NotAdmitted {
    status: StatusCode,
    text: &'static str,
}

impl IntoResponse for NotAdmitted {
    fn into_response(self) -> Response {
        (self.status, [ANY_ORIGIN], self.text).into_response()
    }
}

/// One more client, if there is room for it.
pub(crate) fn admit(shared: &Shared, info: &ClientInfo) -> Result<(Visit, Held), NotAdmitted> {
    let held = Held::new(&shared.metrics.sessions);
    let too_many = usize::try_from(shared.metrics.sessions.get())
        .is_ok_and(|sessions| sessions > shared.settings.max_sessions);
    if too_many || shared.stop_sessions.is_cancelled() {
        shared.metrics.refuse(Reason::Sessions);
        return Err(NotAdmitted {
            status: StatusCode::SERVICE_UNAVAILABLE,
            text: "no more sessions\n",
        });
    }
    let visit = shared.addresses.visit(info.address).map_err(|reason| {
        shared.metrics.refuse(reason);
        NotAdmitted {
            status: StatusCode::TOO_MANY_REQUESTS,
            text: "no more sessions of this address\n",
        }
    })?;
    Ok((visit, held))
}

/// What clients fetch now and then to keep a proxy's session alive; only the status counts.
async fn keep_alive() -> Response {
    (StatusCode::OK, [ANY_ORIGIN], "").into_response()
}

/// What pages of other origins may send; a plain fetch of the keep-alive address asks for nothing.
async fn preflight() -> Response {
    (
        StatusCode::NO_CONTENT,
        [
            ANY_ORIGIN,
            (
                header::ACCESS_CONTROL_ALLOW_METHODS,
                HeaderValue::from_static("POST, GET, OPTIONS"),
            ),
            (
                header::ACCESS_CONTROL_ALLOW_HEADERS,
                HeaderValue::from_static("Content-Type, Authorization"),
            ),
            (
                header::ACCESS_CONTROL_MAX_AGE,
                HeaderValue::from_static("86400"),
            ),
        ],
    )
        .into_response()
}

/// Protocol 1 §12.5.
async fn conference_request(
    State(shared): State<Arc<Shared>>,
    Extension(info): Extension<ClientInfo>,
    body: Bytes,
) -> Response {
    let refuse = |status: StatusCode, text: &'static str| {
        shared.metrics.refuse(Reason::Request);
        (status, [ANY_ORIGIN], text).into_response()
    };
    let Ok(wanted) = serde_json::from_slice::<serde_json::Value>(&body) else {
        return refuse(StatusCode::BAD_REQUEST, "the body is not JSON\n");
    };
    let room = wanted.get("room").and_then(serde_json::Value::as_str);
    let request = match services::conference_request(room, &shared.settings.domain) {
        Ok(request) => request,
        Err(text) => return refuse(StatusCode::BAD_REQUEST, text),
    };
    let asker = Asker {
        address: info.address,
        authenticated: false,
    };
    match directory::request_room(&shared, request.target, asker).await {
        Ok(made) => {
            let properties: BTreeMap<_, _> = services::properties(made.media).collect();
            let mut answer = serde_json::json!({
                "room": request.room,
                "ready": true,
                "focusJid": shared.focus_jid.bare().as_str(),
                "properties": properties,
            });
            if let Some(machine) = wanted.get("machineUid").filter(|m| m.is_string()) {
                answer["machineUid"] = machine.clone();
            }
            ([ANY_ORIGIN], Json(answer)).into_response()
        }
        Err(NoRoom::TooMany) => refuse(
            StatusCode::SERVICE_UNAVAILABLE,
            "no more rooms on this server\n",
        ),
        Err(why @ (NoRoom::Draining | NoRoom::Overloaded)) => {
            refuse(StatusCode::SERVICE_UNAVAILABLE, services::refusal_text(why))
        }
        Err(NoRoom::NotAuthorized) => {
            refuse(StatusCode::FORBIDDEN, "the meeting waits for its host\n")
        }
        Err(NoRoom::Unknown) => refuse(StatusCode::NOT_FOUND, "no such room\n"),
    }
}
