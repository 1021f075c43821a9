use super::json;
use super::media::MediaDescription;
use super::sources::RawSources;
use super::transport::Transport;
use super::update::Terminate;
use super::xml;
use crate::element::Element;
use crate::ns;
use crate::stanza::Condition;
use althing_model::MediaKind;
use althing_model::profile::RED;

/// A Jingle request, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Jingle {
    /// The session it is about.
    pub sid: String,
    /// As told; neither focus nor client relies on it.
    pub initiator: Option<String>,
    /// The allocation it is about, if it says.
    pub bridge_session: Option<BridgeSession>,
    /// What is asked.
    pub body: Body,
}

/// What a Jingle request asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// An offer.
    SessionInitiate(RemoteOffer),
    /// The answer to an offer.
    SessionAccept(Accept),
    /// The answer to a replaced transport; treated like a session-accept.
    TransportAccept(Accept),
    /// Sources come.
    SourceAdd(RawSources),
    /// Sources go; matched by SSRC alone.
    SourceRemove(RawSources),
    /// Candidates or an in-place ICE restart; `None` when the transport is missing.
    TransportInfo(Option<Transport>),
    /// Something happened.
    SessionInfo {
        /// `<ice-state>` of old clients.
        ice_state: Option<String>,
    },
    /// The session ends.
    SessionTerminate(Terminate),
    /// Our transport-replace is refused.
    TransportReject,
    /// An action of XEP-0166 that nothing here answers.
    Unsupported(String),
}

/// A session-accept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Accept {
    /// Sources of all contents.
    pub sources: RawSources,
    /// The first transport of any content.
    pub transport: Option<Transport>,
    /// Where the receiver's last-n starts.
    pub initial_last_n: Option<i32>,
    /// Redundant audio is among what is accepted.
    pub redundant_audio: bool,
}

/// A session-initiate, as a client reads it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RemoteOffer {
    /// Audio, if offered.
    pub audio: Option<MediaDescription>,
    /// Video, if offered.
    pub video: Option<MediaDescription>,
    /// The first transport of any content.
    pub transport: Option<Transport>,
    /// Sources in XML and JSON.
    pub sources: RawSources,
}

/// A `<bridge-session>`: names one allocation of a conference on a bridge.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BridgeSession {
    /// The allocation.
    pub id: String,
    /// Where the bridge is.
    pub region: Option<String>,
    /// The client asks for a new session.
    pub restart: bool,
    /// The client asks for new ICE credentials in place.
    pub ice_restart: bool,
}

/// Why a Jingle request cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JingleError {
    /// No `<jingle>` there.
    #[error("missing 'jingle'")]
    Missing,
    /// No `action`, or none that XEP-0166 or Jitsi knows.
    #[error("missing 'action'")]
    Action,
    /// No `sid`.
    #[error("missing 'sid'")]
    Sid,
    /// An SSRC that is none.
    #[error("invalid SSRC: {0}")]
    Ssrc(String),
    /// Sources in a content that is neither audio nor video.
    #[error("unknown media type {0:?}")]
    Media(String),
    /// A `<json-message>` that does not follow the grammar.
    #[error("invalid json-message")]
    Json,
}

impl JingleError {
    /// The condition to refuse the request with.
    #[must_use]
    pub const fn condition(&self) -> Condition {
        Condition::BadRequest
    }

    pub(super) fn invalid_ssrc(text: &str) -> Self {
        Self::Ssrc(text.chars().take(40).collect())
    }

    pub(super) fn unknown_media(text: &str) -> Self {
        Self::Media(text.chars().take(40).collect())
    }
}

fn jingle_of(element: &Element) -> Option<&Element> {
    if element.is("jingle", ns::JINGLE) {
        Some(element)
    } else {
        element.child("jingle", ns::JINGLE)
    }
}

/// The session a request is about, even when the rest of it cannot be read.
#[must_use]
pub fn sid_of(element: &Element) -> Option<&str> {
    jingle_of(element)?.attr("sid")
}

impl Jingle {
    /// Reads a `<jingle>`, or the one inside an `<iq>`.
    ///
    /// # Errors
    /// [`JingleError`] tells the first thing wrong; its text can be sent to the client.
    pub fn parse(element: &Element) -> Result<Self, JingleError> {
        let jingle = jingle_of(element).ok_or(JingleError::Missing)?;
        let action = jingle.attr("action").ok_or(JingleError::Action)?;
        let sid = jingle.attr("sid").ok_or(JingleError::Sid)?;
        let body = match action {
            "session-initiate" => Body::SessionInitiate(RemoteOffer::read(jingle)?),
            "session-accept" => Body::SessionAccept(Accept::read(jingle)?),
            "transport-accept" => Body::TransportAccept(Accept::read(jingle)?),
            "source-add" | "addsource" => Body::SourceAdd(read_sources(jingle)?),
            "source-remove" | "removesource" => Body::SourceRemove(read_sources(jingle)?),
            "transport-info" => Body::TransportInfo(Transport::first_of(jingle)),
            "session-info" => Body::SessionInfo {
                ice_state: jingle.child("ice-state", ns::FOCUS).map(Element::text),
            },
            "session-terminate" => Body::SessionTerminate(Terminate::read(jingle)),
            "transport-reject" => Body::TransportReject,
            "content-accept" | "content-add" | "content-modify" | "content-reject"
            | "content-remove" | "description-info" | "security-info" | "transport-replace" => {
                Body::Unsupported(action.to_owned())
            }
            _ => return Err(JingleError::Action),
        };
        Ok(Self {
            sid: sid.to_owned(),
            initiator: jingle.attr("initiator").map(str::to_owned),
            bridge_session: jingle
                .child("bridge-session", ns::FOCUS)
                .map(BridgeSession::read),
            body,
        })
    }
}

fn read_sources(jingle: &Element) -> Result<RawSources, JingleError> {
    let mut out = RawSources::default();
    xml::read(jingle, &mut out)?;
    for message in jingle
        .children()
        .filter(|c| c.is("json-message", ns::JITMEET))
    {
        json::read(&message.text(), &mut out)?;
    }
    Ok(out)
}

impl Accept {
    fn read(jingle: &Element) -> Result<Self, JingleError> {
        Ok(Self {
            sources: read_sources(jingle)?,
            transport: Transport::first_of(jingle),
            initial_last_n: xml::contents(jingle)
                .filter(|c| xml::media_of(c) == Ok(MediaKind::Video))
                .find_map(|c| c.child("initial-last-n", ns::COLIBRI2))
                .and_then(|c| c.attr("value"))
                .and_then(|v| v.parse().ok()),
            redundant_audio: xml::contents(jingle)
                .filter(|c| xml::media_of(c) == Ok(MediaKind::Audio))
                .filter_map(|c| c.child("description", ns::JINGLE_RTP))
                .flat_map(|d| MediaDescription::read(d, MediaKind::Audio).payload_types)
                .any(|p| p.id == RED.number && p.name.eq_ignore_ascii_case(RED.name)),
        })
    }
}

impl RemoteOffer {
    fn read(jingle: &Element) -> Result<Self, JingleError> {
        let mut out = Self {
            sources: read_sources(jingle)?,
            transport: Transport::first_of(jingle),
            ..Self::default()
        };
        for content in xml::contents(jingle) {
            let Some(description) = content.child("description", ns::JINGLE_RTP) else {
                continue;
            };
            match xml::media_of(content) {
                Ok(MediaKind::Audio) => {
                    out.audio = Some(MediaDescription::read(description, MediaKind::Audio));
                }
                Ok(MediaKind::Video) => {
                    out.video = Some(MediaDescription::read(description, MediaKind::Video));
                }
                // A data content.
                Err(_) => {}
            }
        }
        Ok(out)
    }
}

impl BridgeSession {
    /// As told to a client.
    #[must_use]
    pub fn new(id: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            ..Self::default()
        }
    }

    /// As an element.
    #[must_use]
    pub fn to_element(&self) -> Element {
        let flag = |set: bool| set.then_some("true");
        Element::new("bridge-session", ns::FOCUS)
            .with_attr("id", self.id.as_str())
            .with_attr_opt("region", self.region.as_deref())
            .with_attr_opt("restart", flag(self.restart))
            .with_attr_opt("ice-restart", flag(self.ice_restart))
    }

    fn read(element: &Element) -> Self {
        let flag = |key: &str| element.attr(key) == Some("true");
        Self {
            id: element.attr("id").unwrap_or_default().to_owned(),
            region: element.attr("region").map(str::to_owned),
            restart: flag("restart"),
            ice_restart: flag("ice-restart"),
        }
    }
}
