//! The pages that are ours: the web client, its configuration, health and metrics.

use crate::assets::{self, Asset, INDEX};
use crate::client_config::ClientConfig;
use crate::headers;
use crate::place::{self, Place, Seat};
use crate::settings::{Health, Rooms};
use althing_model::{ClientInfo, Origin};
use althing_telemetry::Registry;
use axum::Extension;
use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Path, Request, State};
use axum::http::header::{self, HeaderName, HeaderValue};
use axum::http::{Method, Response, StatusCode};
use axum::response::{Html, IntoResponse as _};
use axum::routing::get;
use serde_json::{Value, json};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Where the index page takes its configuration.
const PLACEHOLDER: &str = "<!--althing:config-->";

/// What the pages are made of.
#[derive(Debug)]
pub(crate) struct Site {
    pub client: ClientConfig,
    pub assets: &'static [Asset],
    pub registry: Arc<Registry>,
    /// Cancelled when the server begins to stop.
    pub stopping: CancellationToken,
    pub health: Arc<dyn Health>,
    pub rooms: Arc<dyn Rooms>,
    pub body_limit: usize,
}

impl Site {
    /// The public pages around `inner`, which has the first word on its own routes.
    pub(crate) fn public(self: &Arc<Self>, inner: Router) -> Router {
        Router::new()
            .route("/health", get(health))
            .route("/config.js", get(config_js))
            .route("/{tenant}/config.js", get(tenant_config_js))
            .route("/interface_config.js", get(interface_config_js))
            .fallback(fallback)
            .with_state(Arc::clone(self))
            .merge(inner)
            .layer(DefaultBodyLimit::max(self.body_limit))
    }

    /// The pages of the admin listener.
    pub(crate) fn admin(self: &Arc<Self>, inner: Router) -> Router {
        Router::new()
            .route("/health", get(health_in_full))
            .route("/metrics", get(metrics))
            .fallback(|| async { StatusCode::NOT_FOUND })
            .with_state(Arc::clone(self))
            .merge(inner)
            .layer(DefaultBodyLimit::max(self.body_limit))
    }

    /// The page of the web client, be it a room's or not.
    fn page(&self, origin: &Origin, seat: Option<&Seat>) -> Response<Body> {
        let Some(index) = assets::find(self.assets, INDEX) else {
            return missing_client();
        };
        let template = String::from_utf8_lossy(index.identity);
        let media = seat.and_then(|s| self.rooms.media(s.tenant.as_deref(), &s.room));
        let block = self.client.index_block(origin, media);
        let html = template.replacen(PLACEHOLDER, &block, 1);
        let mut answer = Html(html).into_response();
        headers::page(answer.headers_mut(), origin);
        answer
    }
}

/// Said plainly, since whoever built this should know at once what is left to do.
fn missing_client() -> Response<Body> {
    let text = "<!doctype html><html lang=\"en\"><title>Althing: web client missing</title>\
        <h1>The web client is missing</h1>\
        <p>This server runs, but it was built without the web client, so there is no page to meet \
        in. Jitsi clients can connect.</p>\
        <p>To build it, run <code>script/build-web</code> in the source folder and build the \
        server again, or run <code>script/server</code>, which does both.</p>\n";
    (
        StatusCode::SERVICE_UNAVAILABLE,
        [(header::CACHE_CONTROL, "no-store")],
        Html(text),
    )
        .into_response()
}

/// For load balancers, anywhere: 200 while people may be sent here, 503 otherwise. Those who are
/// here already stay.
async fn health(State(site): State<Arc<Site>>) -> Response<Body> {
    let status = if site.stopping.is_cancelled() {
        "stopping"
    } else if site.health.draining().is_some() {
        "draining"
    } else {
        "ok"
    };
    tell_health(&json!({ "status": status }), status == "ok")
}

/// For the operator: the same, and what is waited for.
async fn health_in_full(State(site): State<Arc<Site>>) -> Response<Body> {
    if site.stopping.is_cancelled() {
        return tell_health(&json!({ "status": "stopping" }), false);
    }
    match site.health.draining() {
        None => tell_health(&json!({ "status": "ok" }), true),
        Some(draining) => {
            let waits = json!({
                "status": "draining",
                "rooms": draining.rooms,
                "occupants": draining.occupants,
                "seconds_left": draining.time_left.map(|left| left.as_secs()),
            });
            tell_health(&waits, false)
        }
    }
}

fn tell_health(health: &Value, is_well: bool) -> Response<Body> {
    let status = if is_well {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (
        status,
        [
            (header::CONTENT_TYPE, "application/json"),
            (header::CACHE_CONTROL, "no-store"),
        ],
        format!("{health}\n"),
    )
        .into_response()
}

async fn metrics(State(site): State<Arc<Site>>) -> Response<Body> {
    (
        [(header::CONTENT_TYPE, althing_telemetry::CONTENT_TYPE)],
        althing_telemetry::encode(&site.registry),
    )
        .into_response()
}

/// A script that pages of other origins may load too (embedding, mobile apps' web views); it
/// depends on the address it was asked by, so nothing may keep it.
fn script(text: String) -> Response<Body> {
    const ALLOW_ORIGIN: HeaderName = header::ACCESS_CONTROL_ALLOW_ORIGIN;
    (
        [
            (
                header::CONTENT_TYPE,
                HeaderValue::from_static("text/javascript; charset=utf-8"),
            ),
            (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
            (ALLOW_ORIGIN, HeaderValue::from_static("*")),
        ],
        text,
    )
        .into_response()
}

async fn config_js(
    State(site): State<Arc<Site>>,
    Extension(client): Extension<ClientInfo>,
) -> Response<Body> {
    script(site.client.config_js(&client.origin, None))
}

async fn tenant_config_js(
    State(site): State<Arc<Site>>,
    Extension(client): Extension<ClientInfo>,
    Path(tenant): Path<String>,
) -> Response<Body> {
    match place::tenant_segment(&tenant) {
        Some(tenant) => script(site.client.config_js(&client.origin, Some(&tenant))),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn interface_config_js() -> Response<Body> {
    script(ClientConfig::interface_config_js())
}

/// Files of the web client, pages of rooms, and what is neither.
async fn fallback(
    State(site): State<Arc<Site>>,
    Extension(client): Extension<ClientInfo>,
    request: Request,
) -> Response<Body> {
    let path = request.uri().path();
    let file = path
        .strip_prefix('/')
        .filter(|path| *path != INDEX)
        .and_then(|path| assets::find(site.assets, path));
    let place = match file {
        Some(_) => Place::Page,
        None => place::classify(path, |first| assets::is_folder(site.assets, first)),
    };
    if place == Place::Nothing {
        return StatusCode::NOT_FOUND.into_response();
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return (
            StatusCode::METHOD_NOT_ALLOWED,
            [(header::ALLOW, "GET,HEAD")],
        )
            .into_response();
    }
    match (file, place) {
        (Some(file), _) => file.answer(request.headers()),
        (None, Place::Page) => site.page(&client.origin, None),
        (None, Place::Room(seat)) => site.page(&client.origin, Some(&seat)),
        (None, Place::Redirect(to)) => redirect(&to, request.uri().query()),
        (None, Place::Nothing) => StatusCode::NOT_FOUND.into_response(),
    }
}

fn redirect(path: &str, query: Option<&str>) -> Response<Body> {
    let target = query.map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"));
    match HeaderValue::try_from(target) {
        Ok(target) => {
            (StatusCode::PERMANENT_REDIRECT, [(header::LOCATION, target)]).into_response()
        }
        Err(_) => StatusCode::NOT_FOUND.into_response(),
    }
}

#[cfg(test)]
mod tests;
