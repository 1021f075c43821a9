use althing_model::{SourceName, Ssrc};
use althing_xmpp::jingle::{FoldError, JingleError};
use althing_xmpp::stanza::Condition;
use serde::{Deserialize, Serialize};

/// Why a request to a bridge has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum BridgeFailure {
    /// Nobody there; nothing was done.
    #[error("no bridge answers")]
    NoResponder,
    /// No answer in time; it may have been done all the same.
    #[error("the bridge did not answer in time")]
    Deadline,
    /// Too busy; nothing was done.
    #[error("the bridge is overloaded")]
    Overloaded,
    /// The answer makes no sense.
    #[error("the bridge's answer cannot be read")]
    Malformed,
}

/// Why a focus could not be read back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A snapshot written by a newer version.
    #[error("focus snapshot has version {0}, which this node does not read")]
    SnapshotVersion(u32),
}

/// Why an occupant's request is refused (protocol 2 §7). The text goes to the client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error(transparent)]
    Unreadable(#[from] JingleError),
    #[error(transparent)]
    Fold(#[from] FoldError),
    #[error("unknown session")]
    UnknownSession,
    #[error("session ended")]
    SessionEnded,
    #[error("session has been replaced")]
    Replaced,
    #[error("jingle session no longer active")]
    NoLongerActive,
    #[error("unsupported 'action'")]
    Unsupported,
    #[error("the session was accepted before")]
    AcceptedBefore,
    #[error("the session is not accepted yet")]
    NotAccepted,
    #[error("missing transport")]
    MissingTransport,
    #[error("sources not allowed for visitors")]
    Visitor,
    #[error("sending {0} is not allowed")]
    MayNotSend(SourceName),
    #[error("SSRC is already used: {0}")]
    SsrcUsed(Ssrc),
    #[error("MSID is already used: {0}")]
    MsidUsed(String),
    #[error("MSID is longer than 256 bytes")]
    MsidLength,
    #[error("SSRC limit ({0}) exceeded")]
    SsrcLimit(usize),
    #[error("ssrc-group limit ({0}) exceeded")]
    GroupLimit(usize),
    #[error("source {0} belongs to another endpoint")]
    ForeignName(SourceName),
    #[error("source {0} is there already")]
    NameUsed(SourceName),
    #[error("SSRC {0} is not yours")]
    NotOwned(Ssrc),
    #[error("source group does not exist")]
    NoSuchGroup,
    #[error("{0} is not a currently active session")]
    StaleBridgeSession(String),
    #[error("rate-limited")]
    RateLimited,
    #[error("in-place ICE restart is disabled")]
    NoIceRestart,
    #[error("too many requests at once")]
    TooMany,
    #[error("the bridge refused: {0}")]
    Bridge(&'static str),
}

impl Refusal {
    pub(crate) const fn condition(&self) -> Condition {
        match self {
            Self::SessionEnded | Self::Replaced => Condition::Gone,
            Self::NoLongerActive | Self::StaleBridgeSession(_) => Condition::ItemNotFound,
            Self::Unsupported | Self::NoIceRestart => Condition::FeatureNotImplemented,
            Self::Visitor | Self::MayNotSend(_) => Condition::Forbidden,
            Self::RateLimited | Self::TooMany => Condition::ResourceConstraint,
            Self::Unreadable(_)
            | Self::Fold(_)
            | Self::UnknownSession
            | Self::AcceptedBefore
            | Self::NotAccepted
            | Self::MissingTransport
            | Self::SsrcUsed(_)
            | Self::MsidUsed(_)
            | Self::MsidLength
            | Self::SsrcLimit(_)
            | Self::GroupLimit(_)
            | Self::ForeignName(_)
            | Self::NameUsed(_)
            | Self::NotOwned(_)
            | Self::NoSuchGroup
            | Self::Bridge(_) => Condition::BadRequest,
        }
    }
}
