//! One client session from its first frame to its last, without a socket.
//!
//! ```text
//!  Opening ──open──▶ Greeted ──auth──▶ Deciding ──ok──▶ Accepted ──open──▶ Restarted ──bind──▶ Bound
//!                       ▲                  │ no                             │     ▲
//!                       └──────────────────┘                         resume ▼     │ refused
//!  any of them ──close, error──▶ Closed                                   Resuming
//! ```
//!
//! The shell hands every text frame to [`Session::handle_frame`], then drains [`Session::poll`].
//! It answers [`Output::Authenticate`] by [`Session::authenticated`]. Stanzas for the client go
//! from the shell to its socket without passing here; where the client manages its stream
//! (XEP-0198), the shell keeps them in [`crate::sm::Unacknowledged`], and this session counts those
//! that arrive. On [`Output::Resume`] the shell either gives the connection to the session that is
//! asked for and drops this one, or calls [`Session::resume_refused`]. Nothing here knows the time: a
//! shell that gives a client so long to log in closes it by [`Session::end`].

#[cfg(test)]
mod tests;

use crate::element::{Element, Limits, parse};
use crate::framing::{self, SaslCondition, StreamCondition};
use crate::jid::Jid;
use crate::ns;
use crate::sm;
use crate::stanza::{self, Condition, IqType, Kind};
use althing_model::Entropy;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Login attempts before the stream ends.
const MAX_LOGIN_ATTEMPTS: u8 = 5;

/// What a session needs to know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionSettings {
    /// The domain clients open a stream to and get addresses in.
    pub domain: String,
    /// The longest frame, in bytes; 256 KiB by default.
    pub max_frame_bytes: usize,
    /// Whether stream management (XEP-0198) is offered; not by default.
    pub stream_management: bool,
}

impl SessionSettings {
    /// With the usual limits.
    #[must_use]
    pub fn new(domain: impl Into<String>) -> Self {
        Self {
            domain: domain.into(),
            max_frame_bytes: Limits::default().bytes,
            stream_management: false,
        }
    }
}

/// What the session wants done, in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Output {
    /// Send this text frame.
    Frame(String),
    /// Decide, and call [`Session::authenticated`].
    Authenticate(AuthRequest),
    /// The client has its address; stanzas follow.
    Bound {
        /// Its full address.
        jid: Jid,
    },
    /// A stanza from the client: `from` is its full address, ids are its own.
    Stanza(Element),
    /// Send this stanza, an answer of the session itself; it counts like all others.
    Answer(String),
    /// The client wants its stream managed: answer by [`sm::enabled`] and keep what is sent after.
    Enable {
        /// Whether it also wants to resume it.
        resume: bool,
    },
    /// The client has so many stanzas.
    Acknowledged(u32),
    /// The client wants to go on with an earlier session instead of binding.
    Resume {
        /// The id it was given.
        previous: String,
        /// How many stanzas it has.
        handled: u32,
    },
    /// Close the socket after the frames before this.
    Close(CloseReason),
}

/// How a client asks to be let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum AuthRequest {
    /// SASL ANONYMOUS; a token, if any, came with the HTTP request.
    Anonymous,
}

/// A login the shell allows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuthSuccess {
    /// Local part of the client's address; a random UUID when absent, whose first eight characters
    /// clients use as their nickname.
    pub node: Option<String>,
}

/// A login the shell refuses. The client may try again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthFailure {
    /// [`SaslCondition::NotAllowed`] makes the main client show `text`.
    pub condition: SaslCondition,
    /// Shown to the person, when the condition allows.
    pub text: Option<String>,
}

/// Why a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum CloseReason {
    /// The client said so.
    Client,
    /// We sent a stream error.
    Error(StreamCondition),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum State {
    Opening,
    Greeted,
    Deciding,
    Accepted { node: String },
    Restarted { node: String },
    Resuming { node: String },
    Bound { jid: Jid, managed: bool },
    Closed,
}

/// A client session. Plain data: it can be written out and read back.
#[derive(Debug, Serialize, Deserialize)]
pub struct Session {
    settings: SessionSettings,
    state: State,
    attempts: u8,
    received: u32,
    outputs: VecDeque<Output>,
}

impl Session {
    /// Before the first frame.
    #[must_use]
    pub const fn new(settings: SessionSettings) -> Self {
        Self {
            settings,
            state: State::Opening,
            attempts: 0,
            received: 0,
            outputs: VecDeque::new(),
        }
    }

    /// Takes one text frame.
    pub fn handle_frame(&mut self, frame: &str, entropy: &mut dyn Entropy) {
        if self.state == State::Closed {
            return;
        }
        let limits = Limits {
            bytes: self.settings.max_frame_bytes,
            ..Limits::default()
        };
        match parse(frame, &limits) {
            Ok(element) => self.handle_element(element, entropy),
            Err(error) => self.fail(StreamCondition::of(&error), entropy),
        }
    }

    /// The shell's answer to [`Output::Resume`] when there is nothing to go on with: the client may
    /// bind instead. Ignored when nothing was asked.
    pub fn resume_refused(&mut self) {
        if let State::Resuming { node } = &self.state {
            let node = node.clone();
            self.frame(sm::failed(Condition::ItemNotFound));
            self.state = State::Restarted { node };
        }
    }

    /// The shell's answer to [`Output::Authenticate`]; ignored when nothing was asked.
    pub fn authenticated(
        &mut self,
        decision: Result<AuthSuccess, AuthFailure>,
        entropy: &mut dyn Entropy,
    ) {
        if self.state != State::Deciding {
            return;
        }
        match decision {
            Ok(success) => {
                let node = success.node.unwrap_or_else(|| entropy.uuid());
                self.frame(framing::SUCCESS);
                self.state = State::Accepted { node };
            }
            Err(failure) => self.refuse_login(failure.condition, failure.text.as_deref()),
        }
    }

    /// Ends the session from our side with a stream error, after which the client does not resume.
    pub fn end(&mut self, condition: StreamCondition, entropy: &mut dyn Entropy) {
        if self.state != State::Closed {
            self.fail(condition, entropy);
        }
    }

    /// What is to be done next; call until `None`.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// The client's full address once it is bound and until it is closed.
    #[must_use]
    pub const fn jid(&self) -> Option<&Jid> {
        match &self.state {
            State::Bound { jid, .. } => Some(jid),
            _ => None,
        }
    }

    /// The local part the client has logged in by, as soon as it has.
    #[must_use]
    pub fn node(&self) -> Option<&str> {
        match &self.state {
            State::Accepted { node } | State::Restarted { node } | State::Resuming { node } => {
                Some(node)
            }
            State::Bound { jid, .. } => jid.node(),
            State::Opening | State::Greeted | State::Deciding | State::Closed => None,
        }
    }

    /// Whether the session is over.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.state == State::Closed
    }

    /// Stanzas received since the stream is managed, or else since binding, modulo 2³².
    #[must_use]
    pub const fn received(&self) -> u32 {
        self.received
    }

    /// Takes one element that did not come as a frame of its own, as with BOSH.
    pub fn handle_element(&mut self, element: Element, entropy: &mut dyn Entropy) {
        if self.state == State::Closed {
            return;
        }
        if framing::is_close(&element) {
            self.frame(framing::CLOSE);
            self.close(CloseReason::Client);
            return;
        }
        match self.state.clone() {
            State::Opening => self.open(&element, None, entropy),
            State::Greeted => self.login(&element, entropy),
            // Nobody pipelines past a login, or past a resumption.
            State::Deciding | State::Resuming { .. } => {
                self.fail(StreamCondition::NotAuthorized, entropy);
            }
            State::Accepted { node } => self.open(&element, Some(node), entropy),
            State::Restarted { node } => self.bind(&element, &node, entropy),
            State::Bound { jid, managed } => self.bound(element, &jid, managed, entropy),
            State::Closed => {}
        }
    }

    fn open(&mut self, element: &Element, node: Option<String>, entropy: &mut dyn Entropy) {
        if !framing::is_open(element) {
            let condition = match Kind::of(element) {
                Some(_) => StreamCondition::NotAuthorized,
                None if element.name() == "open" => StreamCondition::InvalidNamespace,
                None => StreamCondition::UnsupportedStanzaType,
            };
            return self.fail(condition, entropy);
        }
        match element.attr("to") {
            None => return self.fail(StreamCondition::ImproperAddressing, entropy),
            Some(to) if !to.eq_ignore_ascii_case(&self.settings.domain) => {
                return self.fail(StreamCondition::HostUnknown, entropy);
            }
            Some(_) => {}
        }
        if element.attr("version") != Some("1.0") {
            return self.fail(StreamCondition::UnsupportedVersion, entropy);
        }
        self.frame(framing::open_frame(
            &self.settings.domain,
            &entropy.token(24),
        ));
        match node {
            None => {
                self.frame(framing::features_before_auth(&["ANONYMOUS"]));
                self.state = State::Greeted;
            }
            Some(node) => {
                self.frame(framing::features_after_auth(
                    self.settings.stream_management,
                ));
                self.state = State::Restarted { node };
            }
        }
    }

    fn login(&mut self, element: &Element, entropy: &mut dyn Entropy) {
        if element.is("auth", ns::SASL) {
            if element.attr("mechanism") == Some("ANONYMOUS") {
                self.state = State::Deciding;
                self.outputs
                    .push_back(Output::Authenticate(AuthRequest::Anonymous));
            } else {
                self.attempt_failed(SaslCondition::InvalidMechanism, entropy);
            }
        } else if element.is("abort", ns::SASL) {
            self.attempt_failed(SaslCondition::Aborted, entropy);
        } else {
            self.misplaced(element, entropy);
        }
    }

    fn attempt_failed(&mut self, condition: SaslCondition, entropy: &mut dyn Entropy) {
        self.refuse_login(condition, None);
        if self.attempts >= MAX_LOGIN_ATTEMPTS {
            self.fail(StreamCondition::PolicyViolation, entropy);
        }
    }

    /// The socket stays open: the client closes it, or tries again.
    fn refuse_login(&mut self, condition: SaslCondition, text: Option<&str>) {
        self.attempts = self.attempts.saturating_add(1);
        self.frame(framing::sasl_failure(condition, text));
        self.state = State::Greeted;
        if self.attempts > MAX_LOGIN_ATTEMPTS {
            self.frame(framing::stream_error(StreamCondition::PolicyViolation));
            self.frame(framing::CLOSE);
            self.close(CloseReason::Error(StreamCondition::PolicyViolation));
        }
    }

    fn bind(&mut self, element: &Element, node: &str, entropy: &mut dyn Entropy) {
        if element.ns() == ns::SM {
            return self.resume(element, node, entropy);
        }
        let asks_to_bind = IqType::of(element) == Some(IqType::Set)
            && stanza::payload(element).is_some_and(|p| p.is("bind", ns::BIND));
        if !asks_to_bind {
            return self.misplaced(element, entropy);
        }
        if element.attr("id").is_none() {
            let refusal = stanza::refuse(element, Condition::BadRequest, None);
            return self.frame(refusal.to_xml());
        }
        // A resource the client asks for is not used: it must not be guessable, and none asks.
        let resource = entropy.token(12);
        match Jid::from_parts(Some(node), &self.settings.domain, Some(&resource)) {
            Ok(jid) => {
                let bind = Element::new("bind", ns::BIND)
                    .with_child(Element::new("jid", ns::BIND).with_text(jid.as_str()));
                let mut reply = stanza::result_reply(element).with_child(bind);
                reply.remove_attr("from");
                reply.remove_attr("to");
                self.frame(reply.to_xml());
                self.received = 0;
                self.state = State::Bound {
                    jid: jid.clone(),
                    managed: false,
                };
                self.outputs.push_back(Output::Bound { jid });
            }
            Err(_) => self.fail(StreamCondition::InternalServerError, entropy),
        }
    }

    fn bound(&mut self, element: Element, jid: &Jid, managed: bool, entropy: &mut dyn Entropy) {
        if Kind::of(&element).is_some() {
            self.stanza(element, jid, entropy);
        } else if element.ns() == ns::SM {
            self.manage(&element, jid, managed, entropy);
        } else {
            self.misplaced(&element, entropy);
        }
    }

    fn stanza(&mut self, mut element: Element, jid: &Jid, entropy: &mut dyn Entropy) {
        self.received = self.received.wrapping_add(1);
        // The domain may be spelled in another case.
        if let Some(from) = element.attr("from")
            && from != jid.as_str()
            && Jid::parse(from).as_ref() != Ok(jid)
        {
            return self.fail(StreamCondition::InvalidFrom, entropy);
        }
        element.set_attr("from", jid.as_str());
        if Kind::of(&element) == Some(Kind::Iq)
            && let Some(refusal) = refuse_iq(&element)
        {
            return self.answer(&refusal);
        }
        if let Some(Err(_)) = element.attr("to").map(Jid::parse) {
            // An answer or an error is not answered.
            if !matches!(element.attr("type"), Some("error" | "result")) {
                self.answer(&stanza::refuse(&element, Condition::JidMalformed, None));
            }
            return;
        }
        self.outputs.push_back(Output::Stanza(element));
    }

    /// Stream management instead of binding: only resuming makes sense.
    fn resume(&mut self, element: &Element, node: &str, entropy: &mut dyn Entropy) {
        match element.name() {
            "resume" if self.settings.stream_management => {
                let handled = element.attr("h").and_then(|h| h.parse().ok());
                match (element.attr("previd"), handled) {
                    (Some(previous), Some(handled)) => {
                        self.outputs.push_back(Output::Resume {
                            previous: previous.to_owned(),
                            handled,
                        });
                        self.state = State::Resuming {
                            node: node.to_owned(),
                        };
                    }
                    _ => self.frame(sm::failed(Condition::BadRequest)),
                }
            }
            "enable" if self.settings.stream_management => {
                self.frame(sm::failed(Condition::UnexpectedRequest));
            }
            "enable" | "resume" => self.frame(sm::failed(Condition::FeatureNotImplemented)),
            _ => self.misplaced(element, entropy),
        }
    }

    /// Stream management of a bound session.
    fn manage(&mut self, element: &Element, jid: &Jid, managed: bool, entropy: &mut dyn Entropy) {
        match element.name() {
            "enable" | "resume" if !self.settings.stream_management => {
                self.frame(sm::failed(Condition::FeatureNotImplemented));
            }
            "enable" if !managed => {
                let resume = matches!(element.attr("resume"), Some("true" | "1"));
                self.received = 0;
                self.state = State::Bound {
                    jid: jid.clone(),
                    managed: true,
                };
                self.outputs.push_back(Output::Enable { resume });
            }
            "enable" | "resume" => self.frame(sm::failed(Condition::UnexpectedRequest)),
            "r" if managed => self.frame(sm::acknowledgement(self.received)),
            "a" if managed => match element.attr("h").and_then(|h| h.parse().ok()) {
                Some(handled) => self.outputs.push_back(Output::Acknowledged(handled)),
                None => self.fail(StreamCondition::BadFormat, entropy),
            },
            _ => self.misplaced(element, entropy),
        }
    }

    /// An element that has no place in this state.
    fn misplaced(&mut self, element: &Element, entropy: &mut dyn Entropy) {
        let bound = matches!(self.state, State::Bound { .. });
        let condition = if Kind::of(element).is_some() && !bound {
            StreamCondition::NotAuthorized
        } else if matches!(
            element.name(),
            "iq" | "message" | "presence" | "open" | "close"
        ) && element.ns() != ns::FRAMING
        {
            StreamCondition::InvalidNamespace
        } else if framing::is_open(element) {
            StreamCondition::BadFormat
        } else {
            StreamCondition::UnsupportedStanzaType
        };
        self.fail(condition, entropy);
    }

    fn fail(&mut self, condition: StreamCondition, entropy: &mut dyn Entropy) {
        if self.state == State::Opening {
            // The first frame a client sees must be an opening one.
            self.frame(framing::open_frame(
                &self.settings.domain,
                &entropy.token(24),
            ));
        }
        self.frame(framing::stream_error(condition));
        self.frame(framing::CLOSE);
        self.close(CloseReason::Error(condition));
    }

    /// Ends the session of a client that acknowledges what it was never sent.
    pub fn handled_too_many(&mut self, error: sm::HandledTooMany) {
        if self.state != State::Closed {
            self.frame(framing::handled_too_many(error.handled, error.sent));
            self.frame(framing::CLOSE);
            self.close(CloseReason::Error(StreamCondition::UndefinedCondition));
        }
    }

    fn close(&mut self, reason: CloseReason) {
        self.state = State::Closed;
        self.outputs.push_back(Output::Close(reason));
    }

    fn answer(&mut self, stanza: &Element) {
        self.outputs.push_back(Output::Answer(stanza.to_xml()));
    }

    fn frame(&mut self, frame: impl Into<String>) {
        self.outputs.push_back(Output::Frame(frame.into()));
    }
}

/// The refusal of an `<iq>` that cannot be handled at all.
fn refuse_iq(iq: &Element) -> Option<Element> {
    let kind = IqType::of(iq);
    let bad = iq.attr("id").is_none_or(str::is_empty)
        || match kind {
            None => true,
            Some(kind) => kind.is_request() && iq.children().count() != 1,
        };
    if bad {
        return Some(stanza::refuse(iq, Condition::BadRequest, None));
    }
    let binds_again =
        kind == Some(IqType::Set) && stanza::payload(iq).is_some_and(|p| p.is("bind", ns::BIND));
    binds_again.then(|| stanza::refuse(iq, Condition::NotAllowed, None))
}
