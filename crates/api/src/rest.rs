//! The REST interface: each operation of the document is one function here.

use crate::auth::{self, Caller};
use crate::error::{Code, Error};
use crate::metrics::Metrics;
use crate::plans::{self, Plans, Shown, Wanted};
use crate::{Key, audit, clock, document};
use althing_bus::{Bus, BusError};
use althing_control::rooms::{
    RoomMedium, RoomName, RoomOccupant, RoomReply, RoomRequest, RoomSummary, rooms_subject,
};
use althing_model::{EndpointId, NodeId, Role};
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Extension, Path, Query, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, delete, get, post, put};
use axum::{Json, Router};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Where all of it is.
const BASE: &str = "/api/v1";
/// The longest body of a request, in bytes.
const MAX_BODY: usize = 64 * 1024;
/// How long rooms may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// How many rooms one answer lists, unless fewer are asked for.
const PAGE: usize = 100;

/// What every request needs.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) node: NodeId,
    pub(crate) keys: Vec<Key>,
    pub(crate) bus: Arc<dyn Bus>,
    pub(crate) plans: Plans,
    pub(crate) audit: Option<audit::WeakSender>,
    pub(crate) stop: CancellationToken,
    pub(crate) metrics: Metrics,
}

type Here = State<Arc<Shared>>;
type Asked<T> = Result<Query<T>, QueryRejection>;
type Body = Result<Bytes, BytesRejection>;

/// Every route, as the document has them.
pub(crate) fn router(shared: Arc<Shared>) -> Router {
    let mut router = Router::new();
    for (path, operation) in document::operations() {
        let handler = handler(operation).expect("every operation of the document has a function");
        router = router.route(&format!("{BASE}{path}"), handler);
    }
    router
        .route(&format!("{BASE}/{{*rest}}"), axum::routing::any(nowhere))
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(middleware::from_fn_with_state(Arc::clone(&shared), guard))
        .with_state(shared)
}

fn handler(operation: &str) -> Option<MethodRouter<Arc<Shared>>> {
    Some(match operation {
        "document" => get(openapi),
        "listRooms" => get(list_rooms),
        "showRoom" => get(show_room),
        "endRoom" => delete(end_room),
        "removeOccupant" => delete(remove_occupant),
        "muteOccupant" => post(mute_occupant),
        "listPlannedRooms" => get(list_planned),
        "showPlannedRoom" => get(show_planned),
        "planRoom" => put(plan_room),
        "forgetPlannedRoom" => delete(forget_planned),
        _ => return None,
    })
}

/// Nobody without a key comes further, except to the document.
async fn guard(State(shared): Here, mut request: Request, next: Next) -> Response {
    let open = request.uri().path() == format!("{BASE}/openapi.json");
    let mut response = match auth::caller(&shared.keys, request.headers()) {
        Some(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        None if open => next.run(request).await,
        None => {
            let text = "a key is needed: Authorization: Bearer …";
            Error::new(Code::Unauthorized, text).into_response()
        }
    };
    let code = response.extensions().get::<Code>().copied();
    shared.metrics.answered(code.map_or("ok", Code::as_str));
    // Answers have names of people in them.
    let private = HeaderValue::from_static("no-store");
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, private);
    response
}

async fn nowhere() -> Error {
    let text = "there is no such operation; /api/v1/openapi.json has all of them";
    Error::new(Code::NoSuchOperation, text)
}

async fn wrong_method() -> Error {
    let text = "there is no such operation on this path; /api/v1/openapi.json has all of them";
    Error::new(Code::WrongMethod, text)
}

async fn openapi() -> Response {
    let json = HeaderValue::from_static("application/json");
    ([(header::CONTENT_TYPE, json)], document::TEXT).into_response()
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    after: Option<String>,
    limit: Option<usize>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Which {
    tenant: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WhichAndWhy {
    tenant: Option<String>,
    reason: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Mute {
    media: RoomMedium,
}

fn query<T>(asked: Asked<T>) -> Result<T, Error> {
    match asked {
        Ok(Query(asked)) => Ok(asked),
        Err(rejection) => Err(Error::invalid(rejection.body_text())),
    }
}

fn path<T>(path: Result<Path<T>, PathRejection>) -> Result<T, Error> {
    match path {
        Ok(Path(path)) => Ok(path),
        Err(rejection) => Err(Error::invalid(rejection.body_text())),
    }
}

fn body<T: DeserializeOwned>(body: Body) -> Result<T, Error> {
    let bytes = body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            Error::new(Code::TooLarge, "a request's body has 64 KiB at most")
        }
        _ => Error::invalid("the body could not be read"),
    })?;
    serde_json::from_slice(&bytes).map_err(|error| Error::invalid(format!("the body: {error}")))
}

fn occupant_id(text: String) -> Result<EndpointId, Error> {
    // What is no id is nobody's.
    EndpointId::new(text).map_err(|_| no_occupant())
}

fn no_room() -> Error {
    Error::new(Code::NoSuchRoom, "nobody is in a room of this name")
}

fn no_occupant() -> Error {
    Error::new(Code::NoSuchOccupant, "nobody of this id is in the room")
}

impl Shared {
    /// Asks the rooms.
    async fn ask(&self, request: RoomRequest) -> Result<RoomReply, Error> {
        let busy = || Error::new(Code::Busy, "the rooms are busy; try again");
        let payload = althing_control::encode(&request).into();
        let subject = rooms_subject(&self.node);
        let answer = self.bus.request(&subject, payload, PATIENCE).await;
        let bytes = answer.map_err(|error| match error {
            BusError::TooLarge => Error::new(Code::Failed, "the answer is too long"),
            _ => busy(),
        })?;
        match althing_control::decode(&bytes) {
            Ok(RoomReply::NoRoom) => Err(no_room()),
            Ok(RoomReply::NoOccupant) => Err(no_occupant()),
            Ok(RoomReply::Busy) => Err(busy()),
            Ok(reply) => Ok(reply),
            Err(error) => {
                tracing::warn!(%error, "an answer about rooms cannot be read");
                Err(Error::new(Code::Failed, "the rooms cannot be understood"))
            }
        }
    }

    /// Has the rooms do something.
    async fn order(&self, request: RoomRequest) -> Result<StatusCode, Error> {
        self.ask(request).await.map(|_| StatusCode::NO_CONTENT)
    }

    /// Writes down what a key did that is no room's business.
    fn note(&self, event: &str, room: &RoomName, caller: &Caller) {
        let audit = self.audit.as_ref().and_then(audit::WeakSender::sender);
        let Some(audit) = audit else { return };
        let now = clock::now_millis();
        let line = json!({
            "at": clock::written(now),
            "event": event,
            "room": room,
            "by": { "key": caller.0 },
        });
        let what: Map<String, Value> = line.as_object().cloned().unwrap_or_default();
        audit.line(now, &what);
    }

    /// Does what waits for a disk where it may.
    async fn stored<T: Send + 'static>(
        &self,
        deed: impl FnOnce(&Plans) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        if self.stop.is_cancelled() {
            return Err(Error::new(Code::Busy, "the server is about to end"));
        }
        let plans = self.plans.clone();
        let done = tokio::task::spawn_blocking(move || deed(&plans)).await;
        done.unwrap_or_else(|_| Err(Error::new(Code::Failed, "it could not be stored")))
    }
}

#[derive(Debug, Serialize)]
struct Room {
    #[serde(flatten)]
    name: RoomName,
    meeting: String,
    made_at: String,
    occupant_count: usize,
    has_password: bool,
    lobby: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    occupants: Option<Vec<Occupant>>,
}

#[derive(Debug, Serialize)]
struct Occupant {
    id: EndpointId,
    role: Role,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    breakout: Option<String>,
}

impl Room {
    fn of(room: RoomSummary, occupants: Option<Vec<RoomOccupant>>) -> Self {
        Self {
            name: room.room,
            meeting: room.meeting,
            made_at: clock::written(room.made_millis),
            occupant_count: room.occupants,
            has_password: room.locked,
            lobby: room.lobby,
            occupants: occupants.map(|all| all.into_iter().map(Occupant::of).collect()),
        }
    }
}

impl Occupant {
    fn of(occupant: RoomOccupant) -> Self {
        Self {
            id: occupant.who.occupant,
            role: occupant.role,
            name: occupant.who.name,
            user: occupant.who.user,
            session: occupant.who.session,
            breakout: occupant.breakout,
        }
    }
}

#[derive(Debug, Serialize)]
struct Rooms {
    rooms: Vec<Room>,
    /// What to ask for next.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

async fn list_rooms(State(shared): Here, asked: Asked<Page>) -> Result<Json<Rooms>, Error> {
    let asked = query(asked)?;
    let limit = asked.limit.unwrap_or(PAGE);
    if !(1..=PAGE).contains(&limit) {
        return Err(Error::invalid(format!("limit is 1 to {PAGE}")));
    }
    let after = asked.after.as_deref().map(after).transpose()?;
    let reply = shared.ask(RoomRequest::List { after, limit }).await?;
    let RoomReply::Rooms { rooms, last } = reply else {
        return Err(Error::new(
            Code::Failed,
            "the rooms answered something else",
        ));
    };
    let rooms = rooms.into_iter().map(|room| Room::of(room, None)).collect();
    let next = last.map(|room| format!("{}/{}", room.tenant.unwrap_or_default(), room.name));
    Ok(Json(Rooms { rooms, next }))
}

/// The room that the next page begins after.
fn after(text: &str) -> Result<RoomName, Error> {
    let (tenant, name) = text
        .split_once('/')
        .ok_or_else(|| Error::invalid("after is what next was in the answer before"))?;
    Ok(RoomName {
        tenant: Some(tenant.to_owned()).filter(|tenant| !tenant.is_empty()),
        name: name.to_owned(),
    })
}

async fn show_room(
    State(shared): Here,
    name: Result<Path<String>, PathRejection>,
    asked: Asked<Which>,
) -> Result<Json<Room>, Error> {
    let room = plans::room_name(&path(name)?, query(asked)?.tenant.as_deref())?;
    match shared.ask(RoomRequest::Show { room }).await? {
        RoomReply::Room { room, occupants } => Ok(Json(Room::of(room, Some(occupants)))),
        _ => Err(Error::new(
            Code::Failed,
            "the rooms answered something else",
        )),
    }
}

async fn end_room(
    State(shared): Here,
    Extension(Caller(by)): Extension<Caller>,
    name: Result<Path<String>, PathRejection>,
    asked: Asked<WhichAndWhy>,
) -> Result<StatusCode, Error> {
    let asked = query(asked)?;
    let room = plans::room_name(&path(name)?, asked.tenant.as_deref())?;
    let reason = asked.reason;
    shared.order(RoomRequest::End { room, reason, by }).await
}

async fn remove_occupant(
    State(shared): Here,
    Extension(Caller(by)): Extension<Caller>,
    names: Result<Path<(String, String)>, PathRejection>,
    asked: Asked<WhichAndWhy>,
) -> Result<StatusCode, Error> {
    let ((room, occupant), asked) = (path(names)?, query(asked)?);
    let request = RoomRequest::Remove {
        room: plans::room_name(&room, asked.tenant.as_deref())?,
        occupant: occupant_id(occupant)?,
        reason: asked.reason,
        by,
    };
    shared.order(request).await
}

async fn mute_occupant(
    State(shared): Here,
    Extension(Caller(by)): Extension<Caller>,
    names: Result<Path<(String, String)>, PathRejection>,
    asked: Asked<Which>,
    given: Body,
) -> Result<StatusCode, Error> {
    let ((room, occupant), asked) = (path(names)?, query(asked)?);
    let Mute { media } = body(given)?;
    let request = RoomRequest::Mute {
        room: plans::room_name(&room, asked.tenant.as_deref())?,
        occupant: occupant_id(occupant)?,
        media,
        by,
    };
    shared.order(request).await
}

#[derive(Debug, Serialize)]
struct Planned {
    planned_rooms: Vec<Shown>,
}

async fn list_planned(State(shared): Here) -> Json<Planned> {
    let all = shared.plans.all().into_iter();
    Json(Planned {
        planned_rooms: all.map(|(room, plan)| Shown::of(room, plan)).collect(),
    })
}

fn not_planned() -> Error {
    Error::new(Code::NotPlanned, "no room of this name is planned")
}

async fn show_planned(
    State(shared): Here,
    name: Result<Path<String>, PathRejection>,
    asked: Asked<Which>,
) -> Result<Json<Shown>, Error> {
    let room = plans::room_name(&path(name)?, query(asked)?.tenant.as_deref())?;
    let plan = shared.plans.find(&room).ok_or_else(not_planned)?;
    Ok(Json(Shown::of(room, plan)))
}

async fn plan_room(
    State(shared): Here,
    Extension(caller): Extension<Caller>,
    name: Result<Path<String>, PathRejection>,
    asked: Asked<Which>,
    given: Body,
) -> Result<(StatusCode, Json<Shown>), Error> {
    let room = plans::room_name(&path(name)?, query(asked)?.tenant.as_deref())?;
    let plan = body::<Wanted>(given)?.checked(clock::now_millis())?;
    let (name, kept) = (room.clone(), plan.clone());
    let is_new = shared.stored(move |plans| plans.put(name, kept)).await?;
    shared.note("planned", &room, &caller);
    let status = if is_new {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    Ok((status, Json(Shown::of(room, plan))))
}

async fn forget_planned(
    State(shared): Here,
    Extension(caller): Extension<Caller>,
    name: Result<Path<String>, PathRejection>,
    asked: Asked<Which>,
) -> Result<StatusCode, Error> {
    let room = plans::room_name(&path(name)?, query(asked)?.tenant.as_deref())?;
    let gone = room.clone();
    if !shared.stored(move |plans| plans.remove(&gone)).await? {
        return Err(not_planned());
    }
    shared.note("plan_forgotten", &room, &caller);
    Ok(StatusCode::NO_CONTENT)
}

#[cfg(test)]
mod tests;
