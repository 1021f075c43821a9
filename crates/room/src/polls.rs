//! Polls (protocol 4 §13).

use crate::event::RoomEvent;
use crate::meeting::{Meeting, Place};
use crate::room::Sender;
use althing_model::{Entropy, Now};
use althing_xmpp::Element;

impl Meeting {
    /// A command to `polls.<domain>`.
    pub(crate) fn polls_message(
        &mut self,
        _now: Now,
        _sender: &Sender,
        _stanza: &Element,
        _entropy: &mut dyn Entropy,
    ) {
    }

    /// What follows here from what happened in a room.
    pub(crate) fn polls_event(
        &mut self,
        _now: Now,
        _place: &Place,
        _event: &RoomEvent,
        _entropy: &mut dyn Entropy,
    ) {
    }
}
