use althing_model::{EndpointId, MediaMode, NodeId, Role, Secret};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The subject on which nodes tell what happens in their rooms.
pub const NOTICES: &str = "rooms.notices";

/// The subject on which a node is asked about its rooms.
#[must_use]
pub fn rooms_subject(node: &NodeId) -> String {
    format!("rooms.{node}")
}

/// A room by its name as people write it, in lower case.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RoomName {
    /// The tenant it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// `my room`.
    pub name: String,
}

/// Something that happened in a room, told to whoever listens on [`NOTICES`]. Told once: a notice
/// that finds a listener's queue full is lost to it, and shows there as a gap in the numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomNotice {
    /// Which node tells it.
    pub node: NodeId,
    /// One more than the node's last one.
    pub number: u64,
    /// When it happened, in milliseconds since 1970.
    pub at_millis: u64,
    /// The meeting's id, a UUID.
    pub meeting: String,
    /// The room.
    pub room: RoomName,
    /// The breakout room, by the local part of its address, if it happened in one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub breakout: Option<String>,
    /// What.
    #[serde(flatten)]
    pub what: Happening,
}

/// Somebody in a room or its lobby, as far as known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomPerson {
    /// The nickname there.
    pub occupant: EndpointId,
    /// The connection it came by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// The id in its token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The display name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// Who did something to others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RoomActor {
    /// A moderator.
    Moderator(RoomPerson),
    /// Whoever runs the server, by the name of its key.
    Key(String),
}

/// How somebody left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Departure {
    /// By its own wish.
    Left,
    /// To another room of the meeting, or replaced by another session of the same person.
    Replaced,
    /// Its connection is gone.
    Disconnected,
    /// Removed.
    Kicked,
    /// The room ended.
    RoomEnded,
}

/// A kind of media.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RoomMedium {
    /// The microphone.
    Audio,
    /// The camera.
    Video,
    /// A shared screen.
    Desktop,
}

/// What happens in rooms.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Happening {
    /// The first one came.
    RoomStarted,
    /// The room is no more.
    RoomEnded {
        /// How long it lasted since its start.
        seconds: u64,
    },
    /// Somebody came in.
    Joined {
        /// Who.
        who: RoomPerson,
        /// As what.
        role: Role,
    },
    /// Somebody is gone.
    Left {
        /// Who.
        who: RoomPerson,
        /// How.
        reason: Departure,
        /// How long it was in.
        seconds: u64,
    },
    /// Somebody's role is another now, for whatever reason.
    RoleChanged {
        /// Whose.
        whom: RoomPerson,
        /// The new one.
        role: Role,
    },
    /// Somebody was made a moderator.
    Granted {
        /// Whom.
        whom: RoomPerson,
        /// By whom.
        by: RoomActor,
    },
    /// Somebody was made a moderator no more.
    Revoked {
        /// Whom.
        whom: RoomPerson,
        /// By whom.
        by: RoomActor,
    },
    /// Somebody was removed.
    Kicked {
        /// Whom.
        whom: RoomPerson,
        /// By whom.
        by: RoomActor,
        /// What it was told.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// Somebody was asked to be muted.
    Muted {
        /// Whom.
        whom: RoomPerson,
        /// By whom.
        by: RoomActor,
        /// What.
        media: RoomMedium,
    },
    /// Somebody waits in the lobby.
    LobbyKnock {
        /// Who.
        who: RoomPerson,
    },
    /// Somebody was let in from the lobby.
    LobbyAdmitted {
        /// Whom.
        whom: RoomPerson,
        /// By whom.
        by: RoomActor,
    },
    /// Somebody was sent away from the lobby.
    LobbyDenied {
        /// Whom.
        whom: RoomPerson,
        /// By whom.
        by: RoomActor,
    },
    /// The lobby was switched.
    LobbySwitched {
        /// Whether newcomers wait there from now on.
        on: bool,
        /// By whom.
        by: RoomActor,
    },
    /// The password was set or taken away.
    LockSwitched {
        /// Whether there is one from now on.
        on: bool,
        /// By whom.
        by: RoomActor,
    },
    /// AV moderation was switched.
    ModerationSwitched {
        /// For what.
        media: RoomMedium,
        /// Whether it is on from now on.
        on: bool,
        /// By whom.
        by: RoomActor,
    },
    /// Somebody may be heard or seen.
    Approved {
        /// Whom.
        whom: RoomPerson,
        /// With what.
        media: RoomMedium,
        /// By whom.
        by: RoomActor,
    },
    /// Somebody may not any more.
    Rejected {
        /// Whom.
        whom: RoomPerson,
        /// With what.
        media: RoomMedium,
        /// By whom.
        by: RoomActor,
    },
    /// A breakout room was made.
    BreakoutMade {
        /// The local part of its address.
        id: String,
        /// What people call it.
        name: String,
        /// By whom.
        by: RoomActor,
    },
    /// A breakout room was given another name.
    BreakoutRenamed {
        /// The local part of its address.
        id: String,
        /// What people call it from now on.
        name: String,
        /// By whom.
        by: RoomActor,
    },
    /// A breakout room was taken away.
    BreakoutGone {
        /// The local part of its address.
        id: String,
        /// By whom.
        by: RoomActor,
    },
    /// Somebody was sent to another room of the meeting.
    Moved {
        /// Whom.
        whom: RoomPerson,
        /// To which breakout room; the main room without.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        to: Option<String>,
        /// By whom.
        by: RoomActor,
    },
    /// The subject was changed.
    SubjectChanged {
        /// By whom.
        by: RoomActor,
    },
    /// Somebody's message was removed.
    MessageRemoved {
        /// By whom.
        by: RoomActor,
    },
    /// The meeting's metadata were changed, for instance who may chat.
    MetadataChanged {
        /// Which entry.
        key: String,
        /// By whom.
        by: RoomActor,
    },
    /// The meeting was ended for all.
    EndedForAll {
        /// By whom.
        by: RoomActor,
    },
}

impl Happening {
    /// Every event by its name on the wire.
    pub const NAMES: [&'static str; 25] = [
        "room_started",
        "room_ended",
        "joined",
        "left",
        "role_changed",
        "granted",
        "revoked",
        "kicked",
        "muted",
        "lobby_knock",
        "lobby_admitted",
        "lobby_denied",
        "lobby_switched",
        "lock_switched",
        "moderation_switched",
        "approved",
        "rejected",
        "breakout_made",
        "breakout_renamed",
        "breakout_gone",
        "moved",
        "subject_changed",
        "message_removed",
        "metadata_changed",
        "ended_for_all",
    ];

    /// Its name on the wire.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::RoomStarted => "room_started",
            Self::RoomEnded { .. } => "room_ended",
            Self::Joined { .. } => "joined",
            Self::Left { .. } => "left",
            Self::RoleChanged { .. } => "role_changed",
            Self::Granted { .. } => "granted",
            Self::Revoked { .. } => "revoked",
            Self::Kicked { .. } => "kicked",
            Self::Muted { .. } => "muted",
            Self::LobbyKnock { .. } => "lobby_knock",
            Self::LobbyAdmitted { .. } => "lobby_admitted",
            Self::LobbyDenied { .. } => "lobby_denied",
            Self::LobbySwitched { .. } => "lobby_switched",
            Self::LockSwitched { .. } => "lock_switched",
            Self::ModerationSwitched { .. } => "moderation_switched",
            Self::Approved { .. } => "approved",
            Self::Rejected { .. } => "rejected",
            Self::BreakoutMade { .. } => "breakout_made",
            Self::BreakoutRenamed { .. } => "breakout_renamed",
            Self::BreakoutGone { .. } => "breakout_gone",
            Self::Moved { .. } => "moved",
            Self::SubjectChanged { .. } => "subject_changed",
            Self::MessageRemoved { .. } => "message_removed",
            Self::MetadataChanged { .. } => "metadata_changed",
            Self::EndedForAll { .. } => "ended_for_all",
        }
    }

    /// Whether somebody did it to others: what an audit log is about.
    #[must_use]
    pub const fn is_moderation(&self) -> bool {
        !matches!(
            self,
            Self::RoomStarted
                | Self::RoomEnded { .. }
                | Self::Joined { .. }
                | Self::Left { .. }
                | Self::RoleChanged { .. }
                | Self::LobbyKnock { .. }
        )
    }
}

/// What a node is asked about its rooms.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RoomRequest {
    /// Which rooms there are. Answered by [`RoomReply::Rooms`].
    List {
        /// Only those after this one.
        after: Option<RoomName>,
        /// How many at most; 100 are given at most.
        limit: usize,
    },
    /// One room with who is in it. Answered by [`RoomReply::Room`].
    Show {
        /// Which.
        room: RoomName,
    },
    /// Ends a room for all. Answered by [`RoomReply::Done`] once it is gone.
    End {
        /// Which.
        room: RoomName,
        /// What people read.
        reason: Option<String>,
        /// The name of the key.
        by: String,
    },
    /// Removes somebody. Answered by [`RoomReply::Done`].
    Remove {
        /// From which room.
        room: RoomName,
        /// Whom.
        occupant: EndpointId,
        /// What it reads.
        reason: Option<String>,
        /// The name of the key.
        by: String,
    },
    /// Asks somebody to be muted. Answered by [`RoomReply::Done`].
    Mute {
        /// In which room.
        room: RoomName,
        /// Whom.
        occupant: EndpointId,
        /// What.
        media: RoomMedium,
        /// The name of the key.
        by: String,
    },
}

/// A node's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RoomReply {
    /// Rooms, by name.
    Rooms {
        /// Those asked for.
        rooms: Vec<RoomSummary>,
        /// There are more, after this one.
        last: Option<RoomName>,
    },
    /// One room.
    Room {
        /// The room.
        room: RoomSummary,
        /// Who is in it; [`MAX_OCCUPANTS`] of them at most.
        occupants: Vec<RoomOccupant>,
    },
    /// It was done.
    Done,
    /// There is no such room.
    NoRoom,
    /// Nobody of that name is in it.
    NoOccupant,
    /// Nothing was done: too much is asked at once.
    Busy,
}

/// How many occupants one answer names, for it to fit on a bus.
pub const MAX_OCCUPANTS: usize = 2_000;

/// A room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomSummary {
    /// Its name.
    #[serde(flatten)]
    pub room: RoomName,
    /// The meeting's id.
    pub meeting: String,
    /// When it was made, in milliseconds since 1970.
    pub made_millis: u64,
    /// How many are in it and its breakout rooms.
    pub occupants: usize,
    /// Whether it asks for a password.
    pub locked: bool,
    /// Whether newcomers wait in the lobby.
    pub lobby: bool,
}

/// Somebody in a room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomOccupant {
    /// Who.
    #[serde(flatten)]
    pub who: RoomPerson,
    /// Its role.
    pub role: Role,
    /// The breakout room it is in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub breakout: Option<String>,
}

/// What a room shall begin with that was planned beforehand; what is not said is as in every room of
/// its name.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RoomPlan {
    /// Must be said by whoever is not let in by a moderator.
    pub password: Option<Secret>,
    /// Newcomers wait until a moderator lets them in.
    pub lobby: Option<bool>,
    /// How many fit in.
    pub max_occupants: Option<usize>,
    /// The name people see.
    pub subject: Option<String>,
    /// Newcomers leave their microphone off.
    pub start_muted_audio: Option<bool>,
    /// Newcomers leave their camera off.
    pub start_muted_video: Option<bool>,
    /// What of media it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media: Option<MediaMode>,
    /// How long it lasts at most.
    pub max_duration: Option<Duration>,
    /// Nobody comes in before, in milliseconds since 1970.
    pub opens_millis: Option<u64>,
    /// The plan holds, and a meeting held by it lasts, until then.
    pub expires_millis: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{decode, encode};

    #[test]
    fn a_notice_reads_as_one_flat_object() {
        let notice = RoomNotice {
            node: NodeId::new("n1").unwrap(),
            number: 7,
            at_millis: 1_000,
            meeting: "m".into(),
            room: RoomName {
                tenant: None,
                name: "my room".into(),
            },
            breakout: None,
            what: Happening::Kicked {
                whom: RoomPerson {
                    occupant: EndpointId::new("ab12").unwrap(),
                    session: None,
                    user: None,
                    name: Some("Ada".into()),
                },
                by: RoomActor::Key("ops".into()),
                reason: None,
            },
        };
        let bytes = encode(&notice);
        assert_eq!(
            std::str::from_utf8(&bytes).unwrap(),
            concat!(
                r#"{"version":1,"body":{"node":"n1","number":7,"at_millis":1000,"meeting":"m","#,
                r#""room":{"name":"my room"},"event":"kicked","#,
                r#""whom":{"occupant":"ab12","name":"Ada"},"by":{"key":"ops"}}}"#
            )
        );
        assert_eq!(decode::<RoomNotice>(&bytes).unwrap(), notice);
        assert!(Happening::NAMES.contains(&notice.what.name()));
    }
}
