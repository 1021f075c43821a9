//! Presence to an occupant address: join, update, leave.

use crate::common::Turn;
use crate::event::{Caps, LeaveReason, PresenceFacts, RoomEvent};
use crate::gate::Refusal;
use crate::room::{Room, Sender};
use althing_xmpp::{Element, Jid, ns};
use std::collections::BTreeSet;

/// How many feature names of one presence are read.
const MAX_FEATURES: usize = 64;

/// How many bytes of a presence are shown to others. Clients with end-to-end encryption come to some
/// 3 KiB; a newcomer is told everybody's at once, so a few very long ones would keep all others out.
const MAX_BYTES: usize = 32 * 1024;

impl Room {
    pub(crate) fn presence(
        &mut self,
        turn: &mut Turn<'_>,
        sender: &Sender,
        to: &Jid,
        form: usize,
        stanza: &Element,
    ) {
        match stanza.attr("type") {
            None => self.available(turn, sender, to, form, stanza),
            Some("unavailable") => {
                let status = status_text(stanza);
                self.leave_session(turn, &sender.session, LeaveReason::Left(status));
            }
            // Errors and subscriptions mean nothing to a room.
            Some(_) => {}
        }
    }

    fn available(
        &mut self,
        turn: &mut Turn<'_>,
        sender: &Sender,
        to: &Jid,
        form: usize,
        stanza: &Element,
    ) {
        let joining = stanza.child("x", ns::MUC).is_some();
        let nick = to.resource().unwrap_or_default();
        let bytes: usize = relayed(stanza).iter().map(|e| e.to_xml().len()).sum();
        if bytes > MAX_BYTES {
            return self.refuse(sender, stanza, &Refusal::TooLong);
        }
        match self.occupant_of(&sender.session) {
            Some(occupant) if occupant.id.as_str() != nick => {
                self.refuse(sender, stanza, &Refusal::NickChange);
            }
            Some(occupant) => {
                let id = occupant.id.clone();
                self.update(&id, stanza);
                if joining {
                    // It lost track of the room: tell everything again.
                    self.welcome(turn, &id);
                }
            }
            None if joining => self.join(turn, sender, nick, form, stanza),
            None => self.refuse(sender, stanza, &Refusal::NotJoined),
        }
    }

    fn update(&mut self, id: &althing_model::EndpointId, stanza: &Element) {
        let Some(occupant) = self.occupants.get_mut(id) else {
            return;
        };
        occupant.payload = relayed(stanza);
        let facts = facts(&occupant.payload);
        let changed = occupant.facts != facts;
        if changed {
            occupant.facts = facts.clone();
        }
        self.announce(id);
        if changed {
            self.emit(RoomEvent::PresenceChanged {
                id: id.clone(),
                presence: facts,
            });
        }
    }
}

pub(crate) fn status_text(stanza: &Element) -> Option<String> {
    stanza
        .child("status", ns::CLIENT)
        .map(Element::text)
        .filter(|text| !text.is_empty())
}

/// The children of a client's presence that others get to see (protocol 1 §14): what only the
/// server may say is taken out.
pub(crate) fn relayed(stanza: &Element) -> Vec<Element> {
    stanza
        .children()
        .filter(|child| {
            let servers_own = child.ns() == ns::MUC
                || child.ns() == ns::MUC_USER
                || child.name() == "identity"
                || child.is("permissions", ns::JITMEET)
                || child.name() == "flip_device";
            !servers_own
        })
        .cloned()
        .collect()
}

pub(crate) fn facts(payload: &[Element]) -> PresenceFacts {
    let caps = payload.iter().find(|e| e.is("c", ns::CAPS)).and_then(|c| {
        Some(Caps {
            node: c.attr("node")?.to_owned(),
            ver: c.attr("ver")?.to_owned(),
            hash: c.attr("hash").unwrap_or_default().to_owned(),
        })
    });
    let features: BTreeSet<String> = payload
        .iter()
        .filter(|e| e.name() == "features")
        .flat_map(Element::children)
        .filter(|e| e.name() == "feature")
        .filter_map(|e| e.attr("var").map(str::to_owned))
        .take(MAX_FEATURES)
        .collect();
    PresenceFacts { caps, features }
}
