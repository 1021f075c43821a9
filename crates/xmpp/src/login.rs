//! The client's side of opening a session, without a socket: open, ANONYMOUS, open, bind.

use crate::element::{Element, Limits, ParseError, parse};
use crate::framing::{self, SaslCondition, StreamCondition};
use crate::jid::Jid;
use crate::ns;
use crate::stanza::{self, IqType, StanzaError};

/// The id of the bind request.
const BIND_ID: &str = "_bind_auth_2";

/// A login on its way. Send [`Login::start`]'s frame, then hand every frame that comes to
/// [`Login::handle_frame`] until it is [`Step::Bound`].
#[derive(Debug, Clone)]
pub struct Login {
    domain: String,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Opening,
    Features,
    Success,
    Reopening,
    FeaturesAgain,
    Binding,
}

/// What to do after a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Send this frame.
    Send(String),
    /// Wait for the next one.
    Wait,
    /// Done; this is our address.
    Bound(Jid),
}

/// Why a login failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoginError {
    /// The server's frame cannot be read.
    #[error(transparent)]
    Parse(#[from] ParseError),
    /// The server sent something else than the next step.
    #[error("unexpected <{0}> during login")]
    Unexpected(String),
    /// ANONYMOUS is not offered.
    #[error("the server does not offer ANONYMOUS")]
    NoMechanism,
    /// Login refused.
    #[error("login refused: {condition:?} {text:?}")]
    Refused {
        /// As told; `None` when unknown.
        condition: Option<SaslCondition>,
        /// Words for people.
        text: Option<String>,
    },
    /// The server ended the stream.
    #[error("stream ended: {0:?}")]
    StreamError(Option<StreamCondition>),
    /// Binding refused.
    #[error("binding refused: {0:?}")]
    BindRefused(Option<StanzaError>),
}

impl Login {
    /// A login to `domain`, and the first frame to send.
    #[must_use]
    pub fn start(domain: impl Into<String>) -> (Self, String) {
        let domain = domain.into();
        let open = framing::client_open_frame(&domain);
        let login = Self {
            domain,
            state: State::Opening,
        };
        (login, open)
    }

    /// Takes one text frame.
    ///
    /// # Errors
    /// [`LoginError`] when the login cannot go on.
    pub fn handle_frame(&mut self, frame: &str) -> Result<Step, LoginError> {
        let element = parse(frame, &Limits::default())?;
        if let Some(condition) = read_stream_error(&element) {
            return Err(LoginError::StreamError(condition));
        }
        match self.state {
            State::Opening if framing::is_open(&element) => {
                self.state = State::Features;
                Ok(Step::Wait)
            }
            State::Features if element.is("features", ns::STREAMS) => {
                if !offers_anonymous(&element) {
                    return Err(LoginError::NoMechanism);
                }
                self.state = State::Success;
                let auth = Element::new("auth", ns::SASL).with_attr("mechanism", "ANONYMOUS");
                Ok(Step::Send(auth.to_xml()))
            }
            State::Success if element.is("success", ns::SASL) => {
                self.state = State::Reopening;
                Ok(Step::Send(framing::client_open_frame(&self.domain)))
            }
            State::Success if element.is("failure", ns::SASL) => Err(LoginError::Refused {
                condition: element
                    .children()
                    .find_map(|c| SaslCondition::parse(c.name())),
                text: element.child("text", ns::SASL).map(Element::text),
            }),
            State::Reopening if framing::is_open(&element) => {
                self.state = State::FeaturesAgain;
                Ok(Step::Wait)
            }
            State::FeaturesAgain if element.is("features", ns::STREAMS) => {
                self.state = State::Binding;
                let bind = stanza::iq(IqType::Set, BIND_ID, None, None)
                    .with_child(Element::new("bind", ns::BIND));
                Ok(Step::Send(bind.to_xml()))
            }
            State::Binding if element.attr("id") == Some(BIND_ID) => bound(&element),
            // Some servers send a message before the bind result.
            State::Binding => Ok(Step::Wait),
            _ => Err(LoginError::Unexpected(element.name().to_owned())),
        }
    }
}

fn bound(reply: &Element) -> Result<Step, LoginError> {
    reply
        .child("bind", ns::BIND)
        .and_then(|bind| bind.child("jid", ns::BIND))
        .and_then(|jid| Jid::parse(&jid.text()).ok())
        .map(Step::Bound)
        .ok_or_else(|| LoginError::BindRefused(StanzaError::of(reply)))
}

fn offers_anonymous(features: &Element) -> bool {
    features
        .child("mechanisms", ns::SASL)
        .is_some_and(|m| m.children().any(|c| c.text() == "ANONYMOUS"))
}

/// The condition of a stream error or a close: `None` when the frame is neither, `Some(None)` when
/// no known condition is given.
#[must_use]
pub fn read_stream_error(frame: &Element) -> Option<Option<StreamCondition>> {
    if framing::is_close(frame) {
        return Some(None);
    }
    frame.is("error", ns::STREAMS).then(|| {
        frame
            .children()
            .find_map(|c| StreamCondition::parse(c.name()))
    })
}
