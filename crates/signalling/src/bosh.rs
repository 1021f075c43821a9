//! BOSH: HTTP requests on one side, a session like that of a WebSocket on the other, and between
//! them a task that puts the requests in order.
//!
//! ```text
//!   POST /http-bind ──Request──▶ task: Binding ──elements──▶ Source ┐
//!        ◀──────── answer ───────      ▲                            ├ session
//!                                      └────────frames──── Sink ◀───┘
//! ```
//!
//! **And when full?** Requests that find eight others waiting are refused: clients have two. While
//! elements wait for the session, no further request is taken. Frames wait for a request, and then
//! the session's own queue fills up, which ends it.

use crate::authenticator::Hello;
use crate::clock::OsEntropy;
use crate::door::{ANY_ORIGIN, NotAdmitted, admit};
use crate::metrics::Reason;
use crate::wire::{Connection, Sink, Source};
use crate::{Shared, handshake};
use althing_model::{ClientInfo, Entropy as _, Secret};
use althing_xmpp::bosh::{Binding, BindingSettings, Body, Condition, Output, terminate};
use althing_xmpp::{Element, Limits};
use axum::extract::rejection::BytesRejection;
use axum::extract::{Extension, RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tracing::Instrument;

/// The longest a request is held; what stock clients ask for.
const WAIT: Duration = Duration::from_secs(60);
/// How long a client may stay away between requests.
const INACTIVITY: Duration = Duration::from_secs(60);
/// Requests of one session that wait to be taken.
const REQUESTS: usize = 8;
/// Frames that wait for a request beside those in the session's own queue.
const FRAMES: usize = 64;
/// Elements that wait for the session.
const ELEMENTS: usize = 16;
/// Letters and digits of either half of a session id: one finds the session, the other is compared
/// in constant time.
const HALF: usize = 20;

#[derive(Debug)]
struct Request {
    body: Body,
    bytes: usize,
    answer: oneshot::Sender<String>,
}

/// All BOSH sessions of this node by the first half of their ids.
#[derive(Debug, Default)]
pub(crate) struct Bindings {
    entries: Mutex<HashMap<String, (Secret, mpsc::Sender<Request>)>>,
}

impl Bindings {
    fn insert(&self, requests: mpsc::Sender<Request>) -> (String, String) {
        let (handle, secret) = (OsEntropy.token(HALF), OsEntropy.token(HALF));
        let sid = format!("{handle}{secret}");
        self.entries
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(handle.clone(), (Secret::new(secret), requests));
        (handle, sid)
    }

    fn find(&self, sid: &str) -> Option<mpsc::Sender<Request>> {
        let (handle, secret) = sid.split_at_checked(HALF)?;
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let (expected, requests) = entries.get(handle)?;
        expected.matches(secret).then(|| requests.clone())
    }

    fn remove(&self, handle: &str) {
        self.entries
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(handle);
    }
}

/// One request of a client; the content type does not matter, since a page that is left sends its
/// last one as `text/plain`.
pub(crate) async fn request(
    State(shared): State<Arc<Shared>>,
    Extension(info): Extension<ClientInfo>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let refuse = |condition| {
        shared.metrics.refuse(Reason::Bosh);
        answer(terminate(Some(condition)))
    };
    let body = match body {
        Ok(body) => body,
        Err(rejection) => {
            shared.metrics.refuse(Reason::Bosh);
            return (rejection.status(), [ANY_ORIGIN]).into_response();
        }
    };
    let limits = Limits {
        bytes: shared.settings.max_frame_bytes,
        ..Limits::default()
    };
    let read = std::str::from_utf8(&body)
        .map_err(|_| Condition::BadRequest)
        .and_then(|text| Body::parse(text, &limits));
    let parsed = match read {
        Ok(parsed) => parsed,
        Err(condition) => return refuse(condition),
    };
    let bytes = body.len();
    let requests = match &parsed.sid {
        Some(sid) => match shared.bindings.find(sid) {
            Some(requests) => requests,
            None => return refuse(Condition::ItemNotFound),
        },
        None => {
            let hello = Hello::read(query.as_deref(), &headers);
            match create(&shared, info, hello, &parsed) {
                Ok(requests) => requests,
                Err(Refusal::Door(refusal)) => return refusal.into_response(),
                Err(Refusal::Body(condition)) => return refuse(condition),
            }
        }
    };
    let (sender, receiver) = oneshot::channel();
    let request = Request {
        body: parsed,
        bytes,
        answer: sender,
    };
    match requests.try_send(request) {
        Ok(()) => {}
        Err(mpsc::error::TrySendError::Full(_)) => return refuse(Condition::PolicyViolation),
        Err(mpsc::error::TrySendError::Closed(_)) => return refuse(Condition::ItemNotFound),
    }
    match receiver.await {
        Ok(body) => answer(body),
        Err(_) => refuse(Condition::ItemNotFound),
    }
}

fn answer(body: String) -> Response {
    let headers = [
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static("text/xml; charset=utf-8"),
        ),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        ANY_ORIGIN,
    ];
    (StatusCode::OK, headers, body).into_response()
}

enum Refusal {
    Door(NotAdmitted),
    Body(Condition),
}

fn create(
    shared: &Arc<Shared>,
    info: ClientInfo,
    hello: Hello,
    first: &Body,
) -> Result<mpsc::Sender<Request>, Refusal> {
    let (visit, held) = admit(shared, &info).map_err(Refusal::Door)?;
    let (requests, inbox) = mpsc::channel(REQUESTS);
    let (elements, source) = mpsc::channel(ELEMENTS);
    let (sink, frames) = mpsc::channel(FRAMES);
    let (handle, sid) = shared.bindings.insert(requests.clone());
    let settings = BindingSettings {
        wait: WAIT,
        inactivity: INACTIVITY,
        domain: shared.settings.domain.clone(),
    };
    let binding = match Binding::new(settings, sid, first) {
        Ok(binding) => binding,
        Err(condition) => {
            shared.bindings.remove(&handle);
            return Err(Refusal::Body(condition));
        }
    };
    let connection = Connection {
        source: Source::Bosh(source),
        sink: Sink::Bosh(sink),
        visit,
        held,
    };
    let session = handshake::run(Arc::clone(shared), info, hello, connection);
    let span = tracing::info_span!("session");
    shared.session_tasks.spawn(session.instrument(span));
    let task = Task {
        binding,
        inbox,
        frames,
        elements: Some(elements),
        waiting: VecDeque::new(),
    };
    let shared = Arc::clone(shared);
    shared.session_tasks.clone().spawn(async move {
        task.run().await;
        shared.bindings.remove(&handle);
    });
    Ok(requests)
}

struct Task {
    binding: Binding<oneshot::Sender<String>>,
    inbox: mpsc::Receiver<Request>,
    frames: mpsc::Receiver<String>,
    /// To the session, until the client says that nothing comes any more.
    elements: Option<mpsc::Sender<(Element, usize)>>,
    waiting: VecDeque<(Element, usize)>,
}

enum Wake {
    Request(Option<Request>),
    Frame(Option<String>),
    Taken,
    Dropped(usize),
    Timer,
}

impl Task {
    async fn run(mut self) {
        while !self.binding.is_ended() {
            let wake = self.wait().await;
            let now = Instant::now().into_std();
            let mut bytes = 0;
            match wake {
                Wake::Request(Some(request)) => {
                    bytes = request.bytes;
                    self.binding.request(now, request.answer, request.body);
                }
                Wake::Frame(Some(frame)) => {
                    self.binding.send(frame);
                    while self.binding.wants() {
                        match self.frames.try_recv() {
                            Ok(frame) => self.binding.send(frame),
                            Err(_) => break,
                        }
                    }
                    self.binding.flush(now);
                }
                // The session has ended; so has the table that requests come from.
                Wake::Frame(None) | Wake::Request(None) => self.binding.end(now),
                Wake::Taken => {}
                Wake::Dropped(index) => self.binding.dropped(now, index),
                Wake::Timer => self.binding.handle_timeout(now),
            }
            self.carry_out(bytes);
        }
        // What the client said last still reaches the session, which then finds the end.
        if let Some(elements) = self.elements.take() {
            for element in self.waiting {
                if elements.send(element).await.is_err() {
                    break;
                }
            }
        }
    }

    async fn wait(&mut self) -> Wake {
        let timeout = self.binding.next_timeout();
        let timer = async {
            match timeout {
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        let wants = self.binding.wants();
        let idle = self.waiting.is_empty();
        let elements = self.elements.clone();
        let room = async {
            match &elements {
                Some(elements) => elements.reserve().await.ok(),
                None => std::future::pending().await,
            }
        };
        let dropped = poll_fn(|cx| {
            for (index, ticket) in self.binding.held_mut().enumerate() {
                if ticket.poll_closed(cx).is_ready() {
                    return Poll::Ready(index);
                }
            }
            Poll::Pending
        });
        tokio::select! {
            request = self.inbox.recv(), if idle => Wake::Request(request),
            frame = self.frames.recv(), if wants => Wake::Frame(frame),
            permit = room, if !idle => {
                match permit {
                    Some(permit) => {
                        if let Some(element) = self.waiting.pop_front() {
                            permit.send(element);
                        }
                    }
                    // The session reads no more.
                    None => self.waiting.clear(),
                }
                Wake::Taken
            }
            index = dropped => Wake::Dropped(index),
            () = timer => Wake::Timer,
        }
    }

    fn carry_out(&mut self, bytes: usize) {
        // Counted once for each request, by its first element.
        let mut bytes = bytes;
        while let Some(output) = self.binding.poll() {
            match output {
                Output::Open(element) | Output::Element(element) => {
                    self.waiting
                        .push_back((element, std::mem::take(&mut bytes)));
                }
                // A client that has gone meanwhile asks again and is told the same.
                Output::Answer { ticket, body } => drop(ticket.send(body)),
                Output::Ended => {}
            }
        }
    }
}
