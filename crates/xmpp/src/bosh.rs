//! BOSH (XEP-0124, XEP-0206) without a socket: what order requests are taken in, which of them is
//! held, and what each is answered.
//!
//! ```text
//!   request rid ──▶ window ──in order──▶ Open, Element … for the session
//!        │             │
//!        │             └─ repeated ──▶ the same answer again
//!        └──▶ held (one at most) ──a frame, a newer request, `wait`──▶ answer, kept for repeats
//! ```
//!
//! A ticket `T` is whatever the shell answers a request by. The session behind it is the one that
//! WebSocket clients have; its frames go back through [`Binding::send`].

#[cfg(test)]
mod tests;

use crate::element::{Element, Limits, escape_attribute, parse};
use crate::framing;
use crate::ns;
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

/// Requests a client may have open at once.
const REQUESTS: u64 = 2;
/// Answers kept for requests that are repeated: as many as a client may have missed, and one.
const ANSWERS: usize = 3;
/// The highest request id (XEP-0124 §7).
const MAX_RID: u64 = (1 << 53) - 1;
/// One answer carries so many bytes and then the frame that goes beyond.
const ANSWER_BYTES: usize = 256 * 1024;

wire_names! {
    /// Why a session ended (XEP-0124 §17.2).
    Condition {
        /// The body cannot be read.
        BadRequest = "bad-request",
        /// Not our domain.
        HostUnknown = "host-unknown",
        /// `to` is missing.
        ImproperAddressing = "improper-addressing",
        /// Our fault.
        InternalServerError = "internal-server-error",
        /// No such session, or a request outside its window.
        ItemNotFound = "item-not-found",
        /// Too much at once.
        PolicyViolation = "policy-violation",
        /// The stream ended; its error is enclosed.
        RemoteStreamError = "remote-stream-error",
        /// We are going down.
        SystemShutdown = "system-shutdown",
    }
}

/// One request's `<body/>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body {
    /// Of which session; `None` asks for a new one.
    pub sid: Option<String>,
    /// Its place in the order.
    pub rid: u64,
    /// The domain a stream is opened to.
    pub to: Option<String>,
    /// How long the client would wait for an answer, in seconds.
    pub wait: Option<u64>,
    /// How many requests may be held.
    pub hold: Option<u64>,
    /// The session ends with what this encloses.
    pub terminate: bool,
    /// The stream begins anew, as after logging in.
    pub restart: bool,
    /// What it encloses.
    pub payload: Vec<Element>,
}

impl Body {
    /// Reads one.
    ///
    /// # Errors
    /// [`Condition::BadRequest`] or [`Condition::PolicyViolation`] to end the session with.
    pub fn parse(text: &str, limits: &Limits) -> Result<Self, Condition> {
        if text.len() > limits.bytes {
            return Err(Condition::PolicyViolation);
        }
        let body = parse(text.trim(), limits).map_err(|_| Condition::BadRequest)?;
        if !body.is("body", ns::HTTPBIND) {
            return Err(Condition::BadRequest);
        }
        let number = |name: &str| match body.attr(name) {
            None => Ok(None),
            Some(text) => text
                .parse::<u64>()
                .map(Some)
                .map_err(|_| Condition::BadRequest),
        };
        let rid = number("rid")?
            .filter(|rid| *rid <= MAX_RID)
            .ok_or(Condition::BadRequest)?;
        Ok(Self {
            sid: body.attr("sid").map(str::to_owned),
            rid,
            to: body.attr("to").map(str::to_owned),
            wait: number("wait")?,
            hold: number("hold")?,
            terminate: body.attr("type") == Some("terminate"),
            restart: matches!(body.attr("{urn:xmpp:xbosh}restart"), Some("true" | "1")),
            payload: body.children().cloned().collect(),
        })
    }
}

/// The answer that ends a session, or says that there is none.
#[must_use]
pub fn terminate(condition: Option<Condition>) -> String {
    let mut out = String::new();
    write_body(&mut out, &terminal(condition), &[]);
    out
}

fn terminal(condition: Option<Condition>) -> String {
    match condition {
        None => r#" type="terminate""#.to_owned(),
        Some(condition) => format!(r#" type="terminate" condition="{}""#, condition.as_str()),
    }
}

fn write_body(out: &mut String, attributes: &str, frames: &[String]) {
    out.push_str(r#"<body xmlns="http://jabber.org/protocol/httpbind""#);
    out.push_str(attributes);
    if frames.is_empty() {
        out.push_str("/>");
        return;
    }
    out.push('>');
    for frame in frames {
        out.push_str(frame);
    }
    out.push_str("</body>");
}

/// How sessions are bound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BindingSettings {
    /// The longest a request is held.
    pub wait: Duration,
    /// Without a request for so long, the session ends.
    pub inactivity: Duration,
    /// The domain, as `from`.
    pub domain: String,
}

/// What the shell does next.
#[derive(Debug, PartialEq, Eq)]
pub enum Output<T> {
    /// The stream begins, or begins anew: an opening element for the session.
    Open(Element),
    /// From the client, for the session.
    Element(Element),
    /// Answer a request.
    Answer {
        /// Which.
        ticket: T,
        /// By this body.
        body: String,
    },
    /// Nothing comes from the client any more.
    Ended,
}

#[derive(Debug)]
struct Held<T> {
    rid: u64,
    ticket: T,
    since: Instant,
}

/// One session's requests and answers.
#[derive(Debug)]
pub struct Binding<T> {
    settings: BindingSettings,
    sid: String,
    domain: String,
    wait: Duration,
    hold: usize,
    expected: u64,
    opened: bool,
    early: BTreeMap<u64, (T, Body)>,
    held: VecDeque<Held<T>>,
    answers: VecDeque<(u64, String)>,
    pending: Vec<String>,
    pending_bytes: usize,
    /// Id of the stream, until the first answer has told it.
    greeting: Option<Option<String>>,
    stream_error: bool,
    idle_since: Option<Instant>,
    ended: bool,
    outputs: VecDeque<Output<T>>,
}

impl<T> Binding<T> {
    /// A session that `first` asks for, which is then handed to [`Binding::request`] as well.
    ///
    /// # Errors
    /// [`Condition`] when it asks for nothing sensible.
    pub fn new(settings: BindingSettings, sid: String, first: &Body) -> Result<Self, Condition> {
        let domain = first.to.clone().ok_or(Condition::ImproperAddressing)?;
        let wait = first.wait.map_or(settings.wait, Duration::from_secs);
        Ok(Self {
            wait: wait.clamp(Duration::from_secs(1), settings.wait),
            // Who holds nothing polls.
            hold: usize::from(first.hold != Some(0)),
            settings,
            sid,
            domain,
            expected: first.rid,
            opened: false,
            early: BTreeMap::new(),
            held: VecDeque::new(),
            answers: VecDeque::new(),
            pending: Vec::new(),
            pending_bytes: 0,
            greeting: Some(None),
            stream_error: false,
            idle_since: None,
            ended: false,
            outputs: VecDeque::new(),
        })
    }

    /// Takes one request.
    pub fn request(&mut self, now: Instant, ticket: T, body: Body) {
        if self.ended {
            return self.answer_now(ticket, terminate(Some(Condition::ItemNotFound)));
        }
        if body.rid < self.expected {
            return self.repeated(now, ticket, body.rid);
        }
        if body.rid > self.expected.saturating_add(REQUESTS) {
            self.answer_now(ticket, terminate(Some(Condition::ItemNotFound)));
            return self.end_with(now, Some(Condition::ItemNotFound));
        }
        if let Some((older, _)) = self.early.insert(body.rid, (ticket, body)) {
            self.answer_now(older, empty());
        }
        while let Some((ticket, body)) = self.early.remove(&self.expected) {
            self.take(now, ticket, body);
        }
    }

    /// Takes one frame of the session; [`Binding::flush`] when no more are there.
    pub fn send(&mut self, frame: String) {
        if frame.starts_with("<open ") {
            if let Some(id @ None) = &mut self.greeting {
                *id = parse(&frame, &Limits::trusted())
                    .ok()
                    .and_then(|open| open.attr("id").map(str::to_owned));
            }
        } else if frame != framing::CLOSE {
            self.stream_error |= frame.starts_with("<stream:error");
            self.pending_bytes = self.pending_bytes.saturating_add(frame.len());
            self.pending.push(frame);
        }
    }

    /// Answers a held request with what is there.
    pub fn flush(&mut self, now: Instant) {
        if !self.pending.is_empty() && !self.held.is_empty() && !self.stream_error {
            self.answer_oldest(now);
        }
    }

    /// Whether frames are of use now: a request waits, and its answer is not long yet.
    #[must_use]
    pub fn wants(&self) -> bool {
        !self.ended && !self.held.is_empty() && self.pending_bytes < ANSWER_BYTES
    }

    /// The session has ended from our side; no frames come after this.
    pub fn end(&mut self, now: Instant) {
        let condition = self.stream_error.then_some(Condition::RemoteStreamError);
        self.end_with(now, condition);
    }

    /// The client let go of a held request, as when its page is closed. Should it ask again, the
    /// answer is an empty one.
    pub fn dropped(&mut self, now: Instant, index: usize) {
        if let Some(held) = self.held.remove(index) {
            self.remember(held.rid, empty());
            self.note_idle(now);
        }
    }

    /// The tickets of held requests, oldest first.
    pub fn held_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.held.iter_mut().map(|held| &mut held.ticket)
    }

    /// When [`Binding::handle_timeout`] is due.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Instant> {
        if self.ended {
            return None;
        }
        match (self.held.front(), self.idle_since) {
            (Some(held), _) => held.since.checked_add(self.wait),
            (None, Some(since)) => since.checked_add(self.settings.inactivity),
            (None, None) => None,
        }
    }

    /// Answers who has waited long enough, and ends a session that nobody asks for.
    pub fn handle_timeout(&mut self, now: Instant) {
        while self.next_timeout().is_some_and(|at| at <= now) {
            if self.held.is_empty() {
                self.end_with(now, None);
            } else {
                self.answer_oldest(now);
            }
        }
    }

    /// What is to be done next; call until `None`.
    pub fn poll(&mut self) -> Option<Output<T>> {
        self.outputs.pop_front()
    }

    /// Whether the session is over.
    #[must_use]
    pub const fn is_ended(&self) -> bool {
        self.ended
    }

    fn repeated(&mut self, now: Instant, ticket: T, rid: u64) {
        if let Some(held) = self.held.iter_mut().find(|held| held.rid == rid) {
            // The newer connection is the one that is still there.
            let older = std::mem::replace(&mut held.ticket, ticket);
            return self.answer_now(older, empty());
        }
        let known = self.answers.iter().find(|(known, _)| *known == rid);
        if let Some((_, body)) = known {
            let body = body.clone();
            return self.answer_now(ticket, body);
        }
        self.answer_now(ticket, terminate(Some(Condition::ItemNotFound)));
        self.end_with(now, Some(Condition::ItemNotFound));
    }

    fn take(&mut self, now: Instant, ticket: T, body: Body) {
        let first = !std::mem::replace(&mut self.opened, true);
        self.expected = self.expected.saturating_add(1);
        self.idle_since = None;
        self.held.push_back(Held {
            rid: body.rid,
            ticket,
            since: now,
        });
        if first || body.restart {
            let to = body.to.as_deref().unwrap_or(&self.domain);
            let open = Element::new("open", ns::FRAMING)
                .with_attr("to", to)
                .with_attr("version", "1.0");
            self.outputs.push_back(Output::Open(open));
        }
        for element in body.payload {
            self.outputs.push_back(Output::Element(element));
        }
        if body.terminate {
            return self.end_with(now, None);
        }
        // The first one is answered when the session has said its features.
        while self.held.len() > self.hold && self.greeting.is_none() {
            self.answer_oldest(now);
        }
        self.flush(now);
    }

    fn answer_oldest(&mut self, now: Instant) {
        let Some(held) = self.held.pop_front() else {
            return;
        };
        let frames = std::mem::take(&mut self.pending);
        self.pending_bytes = 0;
        let mut body = String::new();
        let attributes = self.greet();
        write_body(&mut body, &attributes, &frames);
        self.remember(held.rid, body.clone());
        self.answer_now(held.ticket, body);
        self.note_idle(now);
        // Where nothing is held, whoever asked meanwhile is not either.
        while self.held.len() > self.hold {
            self.answer_oldest(now);
        }
    }

    /// The attributes of the first answer, and none later.
    fn greet(&mut self) -> String {
        let Some(authid) = self.greeting.take() else {
            return String::new();
        };
        let mut out = String::from(
            r#" xmlns:xmpp="urn:xmpp:xbosh" xmlns:stream="http://etherx.jabber.org/streams" xmpp:version="1.0" xmpp:restartlogic="true" ver="1.6" secure="true" polling="5""#,
        );
        for (name, value) in [
            ("sid", self.sid.as_str()),
            ("from", &self.settings.domain),
            ("authid", authid.as_deref().unwrap_or_default()),
            ("wait", &self.wait.as_secs().to_string()),
            ("hold", &self.hold.to_string()),
            ("requests", &REQUESTS.to_string()),
            (
                "inactivity",
                &self.settings.inactivity.as_secs().to_string(),
            ),
        ] {
            out.push(' ');
            out.push_str(name);
            out.push_str("=\"");
            escape_attribute(value, &mut out);
            out.push('"');
        }
        out
    }

    fn end_with(&mut self, now: Instant, condition: Option<Condition>) {
        if self.ended {
            return;
        }
        self.ended = true;
        let mut frames = std::mem::take(&mut self.pending);
        while let Some(held) = self.held.pop_front() {
            let mut body = String::new();
            write_body(&mut body, &terminal(condition), &frames);
            frames.clear();
            self.answer_now(held.ticket, body);
        }
        for (ticket, _) in std::mem::take(&mut self.early).into_values() {
            self.answer_now(ticket, terminate(condition));
        }
        self.note_idle(now);
        self.outputs.push_back(Output::Ended);
    }

    fn remember(&mut self, rid: u64, body: String) {
        if self.answers.len() >= ANSWERS {
            self.answers.pop_front();
        }
        self.answers.push_back((rid, body));
    }

    fn note_idle(&mut self, now: Instant) {
        if self.held.is_empty() {
            self.idle_since = Some(now);
        }
    }

    fn answer_now(&mut self, ticket: T, body: String) {
        self.outputs.push_back(Output::Answer { ticket, body });
    }
}

fn empty() -> String {
    let mut out = String::new();
    write_body(&mut out, "", &[]);
    out
}
