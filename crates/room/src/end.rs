//! Ending a meeting for all (protocol 4 §16).

use crate::event::{Actor, Deed};
use crate::meeting::{Action, Meeting};
use crate::room::Sender;
use althing_model::{Entropy, Now};
use althing_xmpp::Element;

/// What everybody reads whose meeting a moderator ended.
pub(crate) const REASON: &str = "The meeting has been terminated";

impl Meeting {
    /// The order to `endconference.<domain>`; silence to those who may not.
    pub(crate) fn end_message(
        &mut self,
        now: Now,
        sender: &Sender,
        stanza: &Element,
        entropy: &mut dyn Entropy,
    ) {
        if stanza.child_named("end_conference").is_none() {
            return;
        }
        let Some(moderates) = self.moderates(&sender.session) else {
            return;
        };
        if !moderates {
            return self.deny(Action::End);
        }
        if let Some((place, id)) = self.whereabouts(&sender.session) {
            self.done(place, Actor::Occupant(id), Deed::Ended);
        }
        self.destroy(now, REASON, None, entropy);
    }
}
