use crate::metadata::StartMuted;
use crate::moderation::Medium;
use althing_model::{EndpointId, Identity, MediaKinds, Origin, Role, SessionId};
use althing_xmpp::Jid;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::Arc;

/// What happens in a room, told once: the only feed of the focus (and later of webhooks, audit log
/// and attendance).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RoomEvent {
    /// Somebody came in; everybody has already been told.
    OccupantJoined(Box<OccupantInfo>),
    /// Somebody's presence was replaced in a part that the focus reads.
    PresenceChanged {
        /// Who.
        id: EndpointId,
        /// What it says now.
        presence: PresenceFacts,
    },
    /// Somebody became, or stopped being, a moderator.
    RoleChanged {
        /// Who.
        id: EndpointId,
        /// The role from now on.
        role: Role,
    },
    /// What of somebody's media reaches others is not what it was (AV moderation). It may go on
    /// signalling its sources.
    ForwardedChanged {
        /// Who.
        id: EndpointId,
        /// What is forwarded from now on.
        forwarded: MediaKinds,
    },
    /// A moderator set or took away the password.
    LockChanged {
        /// Which moderator.
        by: EndpointId,
        /// Whether there is one from now on.
        locked: bool,
    },
    /// A moderator switched the lobby.
    LobbyChanged {
        /// Which moderator.
        by: EndpointId,
        /// Whether newcomers wait there from now on.
        open: bool,
    },
    /// Somebody waits in the lobby to be let in.
    LobbyKnock {
        /// The nickname there.
        id: EndpointId,
        /// The display name, if it gave one.
        name: Option<String>,
        /// Who it is by its token.
        identity: Option<Arc<Identity>>,
    },
    /// Somebody may come in from the lobby.
    LobbyAdmitted {
        /// The nickname in the lobby.
        id: EndpointId,
        /// The display name.
        name: Option<String>,
        /// Which moderator let it in.
        by: EndpointId,
    },
    /// Somebody was sent away from the lobby.
    LobbyDenied {
        /// The nickname in the lobby.
        id: EndpointId,
        /// The display name.
        name: Option<String>,
        /// Which moderator sent it away.
        by: EndpointId,
    },
    /// A moderator did something to others.
    Done {
        /// Who.
        by: Actor,
        /// What.
        deed: Deed,
    },
    /// Somebody is gone; everybody has already been told.
    OccupantLeft {
        /// Who.
        id: EndpointId,
        /// The session it was in by.
        session: SessionId,
        /// How.
        reason: LeaveReason,
    },
}

/// Who did something to others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Actor {
    /// A moderator, by nickname; it may be in another room of the meeting.
    Occupant(EndpointId),
    /// Whoever runs the server, by the name of the key it came with.
    Server(String),
}

/// What moderators do, told once it is done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Deed {
    /// Removed somebody, who leaves after this.
    Kicked {
        /// Whom.
        id: EndpointId,
        /// What it was told.
        reason: Option<String>,
    },
    /// Asked somebody to be muted.
    Muted {
        /// Whom.
        id: EndpointId,
        /// What.
        medium: Medium,
    },
    /// Made somebody a moderator.
    Granted {
        /// Whom.
        id: EndpointId,
    },
    /// Made somebody none.
    Revoked {
        /// Whom.
        id: EndpointId,
    },
    /// Switched AV moderation.
    ModerationSwitched {
        /// For what.
        medium: Medium,
        /// Whether it is on from now on.
        on: bool,
    },
    /// Let somebody be heard or seen.
    Approved {
        /// Whom.
        id: EndpointId,
        /// With what.
        medium: Medium,
    },
    /// Took that back.
    Rejected {
        /// Whom.
        id: EndpointId,
        /// With what.
        medium: Medium,
    },
    /// Made a breakout room.
    BreakoutMade {
        /// The local part of its address.
        room: String,
        /// What people call it.
        name: String,
    },
    /// Gave one another name.
    BreakoutRenamed {
        /// The local part of its address.
        room: String,
        /// What people call it from now on.
        name: String,
    },
    /// Took one away.
    BreakoutGone {
        /// The local part of its address.
        room: String,
    },
    /// Asked somebody's client to go to another room of the meeting.
    Moved {
        /// Whom.
        id: EndpointId,
        /// Where to: the local part of a breakout's address, or the main room.
        to: Option<String>,
    },
    /// Changed the subject.
    SubjectChanged,
    /// Removed a message.
    MessageRemoved,
    /// Wrote metadata, for instance who may chat.
    MetadataChanged {
        /// Which entry.
        key: String,
    },
    /// Ended the meeting for all, who leave after this.
    Ended,
}

/// A newcomer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OccupantInfo {
    /// Nickname, which is also the endpoint id.
    pub id: EndpointId,
    /// The session it came in by.
    pub session: SessionId,
    /// Its full real JID.
    pub jid: Jid,
    /// The bare room JID in the form this occupant uses (`muc.` or `conference.`); addresses inside
    /// stanzas for it are built on this one.
    pub room: Jid,
    /// How its browser reached us; URLs given to it are built on it.
    pub origin: Origin,
    /// Its role on arrival.
    pub role: Role,
    /// What it may send.
    pub may_send: MediaKinds,
    /// What of that reaches others now.
    pub forwarded: MediaKinds,
    /// What it leaves off to begin with.
    pub start_muted: StartMuted,
    /// What its presence says.
    pub presence: PresenceFacts,
    /// Who it is by its token.
    pub identity: Option<Arc<Identity>>,
}

/// The parts of a presence that the server itself reads; everything else is relayed unread.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PresenceFacts {
    /// Entity capabilities (XEP-0115), if announced.
    pub caps: Option<Caps>,
    /// Feature names announced in `<features>` of the presence itself.
    pub features: BTreeSet<String>,
    /// The display name, cut to 200 characters.
    #[serde(default)]
    pub name: Option<String>,
    /// Whether it encrypts its media end to end (protocol 4 §20).
    #[serde(default)]
    pub e2ee: bool,
}

/// Entity capabilities (XEP-0115 §4).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caps {
    /// The client software, an URI.
    pub node: String,
    /// The hash of its features, base64.
    pub ver: String,
    /// The hash algorithm's name, `sha-1`.
    pub hash: String,
}

/// How somebody left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeaveReason {
    /// By its own wish; the text of `<status>`, if any, for instance `switch_room`.
    Left(Option<String>),
    /// Its socket is gone.
    Disconnected,
    /// A moderator removed it.
    Kicked,
    /// The same person came in again by another session, or went to another room of the meeting.
    Replaced,
    /// The room is no more.
    Destroyed,
}
