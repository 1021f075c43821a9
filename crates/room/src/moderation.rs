//! AV moderation (protocol 4 §7): who may unmute.

use crate::event::RoomEvent;
use crate::meeting::{Meeting, Place};
use crate::room::Sender;
use althing_model::{Entropy, Now};
use althing_xmpp::Element;
use serde::{Deserialize, Serialize};

/// What is moderated.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct AvModeration {}

impl Meeting {
    /// A command to `avmoderation.<domain>`.
    pub(crate) fn av_moderation_message(
        &mut self,
        _now: Now,
        _sender: &Sender,
        _stanza: &Element,
        _entropy: &mut dyn Entropy,
    ) {
    }

    /// What follows here from what happened in a room.
    pub(crate) fn av_moderation_event(
        &mut self,
        _now: Now,
        _place: &Place,
        _event: &RoomEvent,
        _entropy: &mut dyn Entropy,
    ) {
    }
}
