//! The lobby (protocol 4 §9): where those wait who are not yet let in.

use crate::event::RoomEvent;
use crate::meeting::{Meeting, Place};
use crate::room::Sender;
use althing_model::{Entropy, Now, SessionId};
use althing_xmpp::{Element, Jid};
use serde::{Deserialize, Serialize};

/// Who waits, and which moderators watch.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Lobby {}

impl Meeting {
    /// A stanza to the lobby room or to somebody in it.
    pub(crate) fn lobby_stanza(
        &mut self,
        _now: Now,
        _sender: &Sender,
        _to: &Jid,
        _stanza: &Element,
        _entropy: &mut dyn Entropy,
    ) {
    }

    /// What a lobby makes of what happened in a room of the meeting.
    pub(crate) fn lobby_event(
        &mut self,
        _now: Now,
        _place: &Place,
        _event: &RoomEvent,
        _entropy: &mut dyn Entropy,
    ) {
    }

    /// A session is gone, or leaves wherever it is.
    pub(crate) fn lobby_leave(
        &mut self,
        _now: Now,
        _session: &SessionId,
        _entropy: &mut dyn Entropy,
    ) {
    }
}
