//! Speaker statistics (protocol 4 §21.1).

use crate::event::RoomEvent;
use crate::meeting::{Meeting, Place};
use crate::room::Sender;
use althing_model::{Entropy, Now};
use althing_xmpp::Element;

impl Meeting {
    /// A report to `speakerstats.<domain>`.
    pub(crate) fn speaker_message(
        &mut self,
        _now: Now,
        _sender: &Sender,
        _stanza: &Element,
        _entropy: &mut dyn Entropy,
    ) {
    }

    /// What follows here from what happened in a room.
    pub(crate) fn speaker_event(
        &mut self,
        _now: Now,
        _place: &Place,
        _event: &RoomEvent,
        _entropy: &mut dyn Entropy,
    ) {
    }
}
