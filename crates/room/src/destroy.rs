//! The end of a room, and of the whole meeting, while people are in (protocol 4 §16).

use crate::common::Turn;
use crate::event::{LeaveReason, RoomEvent};
use crate::meeting::Meeting;
use crate::render::{muc_user, status};
use crate::room::Room;
use althing_model::{Entropy, Now};
use althing_xmpp::{Element, Jid, ns};

impl Meeting {
    /// Ends the meeting: everybody in any of its rooms, and in its lobby, is told why, and where to
    /// go instead if there is such a place.
    pub(crate) fn destroy(
        &mut self,
        now: Now,
        reason: &str,
        alternative: Option<&Jid>,
        entropy: &mut dyn Entropy,
    ) {
        for place in self.places() {
            self.in_room(&place, now, entropy, |room, turn| {
                room.destroy(turn, reason, alternative);
            });
        }
        self.lobby_destroy(now, reason, entropy);
        // Nobody is left to whom anything that happened would matter.
        self.happened.clear();
        self.finish();
    }
}

impl Room {
    /// Takes everybody out; each is told by a presence of its own, and of no other's.
    pub(crate) fn destroy(
        &mut self,
        _turn: &mut Turn<'_>,
        reason: &str,
        alternative: Option<&Jid>,
    ) {
        self.pending.clear();
        self.by_session.clear();
        for (id, gone) in std::mem::take(&mut self.occupants) {
            let item = Element::new("item", ns::MUC_USER)
                .with_attr("affiliation", "none")
                .with_attr("role", "none");
            let mut destroy = Element::new("destroy", ns::MUC_USER);
            if let Some(alternative) = alternative {
                destroy.set_attr("jid", alternative.to_string());
            }
            destroy.push(Element::new("reason", ns::MUC_USER).with_text(reason));
            let mut x = muc_user(item, &[status::SELF]);
            x.push(destroy);
            let presence = Element::new("presence", ns::CLIENT)
                .with_attr("type", "unavailable")
                .with_attr("from", self.settings.names.occupant_of(gone.form, &id))
                .with_attr("to", gone.jid.to_string())
                .with_child(x);
            self.send(&gone.session, &presence);
            self.emit(RoomEvent::OccupantLeft {
                id,
                session: gone.session,
                reason: LeaveReason::Destroyed,
            });
        }
    }
}
