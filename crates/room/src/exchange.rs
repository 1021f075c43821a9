//! What a meeting is told, and what it wants done: the two closed lists at its door.

use crate::command::Command;
use crate::event::RoomEvent;
use crate::room::Sender;
use althing_model::{EndpointId, SessionId};
use althing_xmpp::{Element, Jid};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Which room of a meeting. Each has a conference, and a focus, of its own; the lobby has none.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// The room the meeting is named after.
    Main,
    /// A breakout room, by the local part of its address.
    Breakout(String),
}

/// What a meeting is told.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Input {
    /// A stanza addressed to a room of the meeting, to an occupant, or to a component.
    Stanza {
        /// From whom.
        sender: Sender,
        /// The stanza, with its `to`.
        stanza: Element,
    },
    /// A session is gone without a word.
    SessionEnded {
        /// Which one.
        session: SessionId,
    },
    /// A session leaves wherever it is (`<presence type="unavailable"/>` without `to`).
    SessionLeaves {
        /// Which one.
        session: SessionId,
        /// The text of `<status>`.
        status: Option<String>,
    },
    /// Somebody asks for a room's conference (protocol 1 §12); answered by [`Output::Answer`].
    Requested {
        /// Comes back with the answer.
        request: u64,
        /// Which room.
        place: Place,
        /// Whether it has an accepted token.
        authenticated: bool,
    },
    /// The focus occupant's presence from now on: a `<presence>` whose children count.
    FocusPresence {
        /// In which room.
        place: Place,
        /// The presence.
        presence: Element,
    },
    /// An IQ of the focus occupant for an occupant; the room writes the addresses.
    FocusIq {
        /// In which room.
        place: Place,
        /// For whom.
        to: EndpointId,
        /// The IQ with its id and type.
        iq: Element,
    },
    /// The focus of a room has ended: nobody is left there.
    FocusEnded {
        /// In which room.
        place: Place,
    },
    /// The meeting ends now, with everybody told why.
    Destroy {
        /// Shown to people.
        reason: String,
        /// The room they are to join instead.
        alternative: Option<Jid>,
    },
    /// Whoever runs the server does something to the meeting.
    Command {
        /// The name of the key it came with.
        by: String,
        /// What.
        command: Command,
    },
    /// The time asked for by [`crate::Meeting::next_timeout`] has come.
    Timer,
}

/// What a meeting wants done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Output {
    /// One stanza for some sessions, the same bytes for each.
    Send {
        /// For whom.
        to: Vec<SessionId>,
        /// The stanza.
        #[serde(with = "shared_text")]
        xml: Arc<str>,
    },
    /// Something happened.
    Event {
        /// In which room.
        place: Place,
        /// What.
        event: RoomEvent,
    },
    /// An IQ that an occupant sent to `room/focus`, request or answer.
    ToFocus {
        /// In which room.
        place: Place,
        /// Who sent it.
        from: EndpointId,
        /// The IQ.
        stanza: Element,
    },
    /// A room needs a focus now, if it has none; somebody is about to join.
    FocusWanted {
        /// Which room.
        place: Place,
    },
    /// The answer to [`Input::Requested`].
    Answer {
        /// The number of the request.
        request: u64,
        /// What it comes to.
        outcome: Outcome,
    },
    /// From now on this breakout address leads to this meeting.
    BreakoutMade {
        /// The local part of its address.
        id: String,
    },
    /// This breakout address leads nowhere any more.
    BreakoutGone {
        /// The local part of its address.
        id: String,
    },
    /// Somebody tried what it may not.
    Denied(Action),
    /// The meeting is over.
    End,
}

/// What a request for a conference comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Come in.
    Ready,
    /// A guest waits for a host.
    NotAuthorized,
    /// There is no such room.
    NoRoom,
}

/// What not everybody may do; the label of the refusal counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Removing somebody.
    Kick,
    /// Making a moderator.
    Grant,
    /// Unmaking one.
    Revoke,
    /// Configuring the room: password, lobby.
    Configure,
    /// Admitting from, or sending away from, the lobby.
    Admit,
    /// Changing the subject.
    Subject,
    /// Muting another.
    Mute,
    /// Unmuting another.
    Unmute,
    /// Switching AV moderation, approving, rejecting.
    AvModeration,
    /// Breakout commands.
    Breakout,
    /// Ending the meeting for all.
    End,
    /// Writing metadata.
    Metadata,
    /// Making a poll.
    Poll,
    /// Writing to all, or to one.
    Chat,
    /// Removing somebody's message.
    Retract,
    /// Starting or stopping a recording or stream.
    Record,
    /// Calling a telephone or a transcriber in.
    Dial,
}

impl Action {
    /// The value of the counter's label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Kick => "kick",
            Self::Grant => "grant",
            Self::Revoke => "revoke",
            Self::Configure => "configure",
            Self::Admit => "admit",
            Self::Subject => "subject",
            Self::Mute => "mute",
            Self::Unmute => "unmute",
            Self::AvModeration => "av_moderation",
            Self::Breakout => "breakout",
            Self::End => "end",
            Self::Metadata => "metadata",
            Self::Poll => "poll",
            Self::Chat => "chat",
            Self::Retract => "retract",
            Self::Record => "record",
            Self::Dial => "dial",
        }
    }
}

mod shared_text {
    use super::Arc;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(text: &Arc<str>, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(text)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Arc<str>, D::Error> {
        String::deserialize(from).map(Arc::from)
    }
}
