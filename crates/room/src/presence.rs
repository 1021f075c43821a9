//! Presence to an occupant address: join, update, leave.

use crate::common::Turn;
use crate::event::{Caps, LeaveReason, PresenceFacts, RoomEvent};
use crate::gate::Refusal;
use crate::occupant::{Occupant, Shown};
use crate::room::{Room, Sender};
use althing_model::{EndpointId, Identity};
use althing_xmpp::{Element, Jid, ns};
use std::collections::BTreeSet;

/// How many feature names of one presence are read.
const MAX_FEATURES: usize = 64;

/// How many bytes of a presence are shown to others. Clients with end-to-end encryption come to some
/// 3 KiB; a newcomer is told everybody's at once, so a few very long ones would keep all others out.
const MAX_BYTES: usize = 32 * 1024;

/// How many letters somebody's last words may have.
const MAX_STATUS: usize = 1_000;

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
                self.leave_session(&sender.session, LeaveReason::Left(status));
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
        let payload = shown(stanza, sender.identity.as_deref());
        let bytes: usize = payload.iter().map(|e| e.to_xml().len()).sum();
        if bytes > MAX_BYTES {
            return self.refuse(sender, stanza, &Refusal::TooLong);
        }
        match self.occupant_of(&sender.session) {
            Some(occupant) if occupant.id.as_str() != nick => {
                self.refuse(sender, stanza, &Refusal::NickChange);
            }
            Some(occupant) => {
                let id = occupant.id.clone();
                let told = self.update(turn, &id, &payload);
                if joining && told {
                    // It lost track of the room: tell everything again.
                    self.welcome(turn, &id);
                }
            }
            None if joining => self.join(turn, sender, nick, form, stanza),
            None => self.refuse(sender, stanza, &Refusal::NotJoined),
        }
    }

    /// Takes a new presence; whether others were told of it at once. Who changes it faster than
    /// they need to know is shown to them as it is a little later.
    fn update(&mut self, turn: &Turn<'_>, id: &EndpointId, payload: &[Element]) -> bool {
        let Some(occupant) = self.occupants.get_mut(id) else {
            return false;
        };
        occupant.shown = Shown::new(payload);
        occupant.rendered.clear();
        let facts = facts(payload);
        let changed = occupant.facts != facts;
        if changed {
            occupant.facts = facts.clone();
        }
        let now = match (occupant.pace.due, occupant.pace.take(turn.at)) {
            (Some(_), _) => false,
            (None, Ok(())) => true,
            (None, Err(due)) => {
                occupant.pace.due = Some(due);
                self.due.insert((due, id.clone()));
                false
            }
        };
        if now {
            self.announce(id);
        }
        if changed {
            self.emit(RoomEvent::PresenceChanged {
                id: id.clone(),
                presence: facts,
            });
        }
        now
    }

    /// When the next presence is due that had to wait, in milliseconds since the meeting was made.
    pub(crate) fn next_timeout(&self) -> Option<u64> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Tells of the presences that had to wait.
    pub(crate) fn timer(&mut self, turn: &Turn<'_>) {
        while let Some((at, id)) = self.due.pop_first() {
            if at > turn.at {
                self.due.insert((at, id));
                return;
            }
            if let Some(occupant) = self.occupants.get_mut(&id) {
                occupant.pace.due = None;
                occupant.pace.take(turn.at).ok();
            }
            self.announce(&id);
        }
    }
}

pub(crate) fn status_text(stanza: &Element) -> Option<String> {
    last_words(&stanza.child("status", ns::CLIENT)?.text())
}

/// What of somebody's last words others are told.
pub(crate) fn last_words(text: &str) -> Option<String> {
    let words: String = text.chars().take(MAX_STATUS).collect();
    Some(words).filter(|words| !words.is_empty())
}

/// The property by which a client says that what it sends is encrypted end to end (protocol 1 §14.3);
/// like all of them it has no namespace to speak of.
const E2EE_PROPERTY: &str = "jitsi_participant_e2ee.enabled";

/// How many characters of a name others are told.
pub(crate) const MAX_NAME: usize = 200;

/// What only the server, its focus or its recorders say (protocol 4 §25). Clients go by these names
/// whatever the namespace, so it is not looked at here either.
const NOT_FOR_CLIENTS: [&str; 19] = [
    "bot",
    "bridgeNotAvailable",
    "conference-properties",
    "delay",
    "destroy",
    "error",
    "etherpad",
    "flip_device",
    "identity",
    "ignore",
    "jibri-recording-status",
    "jibri-sip-call-state",
    "live-stream-view-url",
    "mode",
    "permissions",
    "session_id",
    "transcription-status",
    "versions",
    "x",
];

/// The children of a client's presence that others get to see (protocol 1 §14), under the name its
/// token binds it to.
pub(crate) fn shown(stanza: &Element, identity: Option<&Identity>) -> Vec<Element> {
    let name = Occupant::fixed_name(identity);
    let nick = name.map(|name| Element::new("nick", ns::NICK).with_text(name));
    stanza
        .children()
        .filter(|child| !NOT_FOR_CLIENTS.contains(&child.name()))
        .filter(|child| name.is_none() || child.name() != "nick")
        .cloned()
        .chain(nick)
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
    let name = payload
        .iter()
        .find(|e| e.is("nick", ns::NICK))
        .map(|e| e.text().trim().chars().take(MAX_NAME).collect::<String>())
        .filter(|name| !name.is_empty());
    let e2ee = payload
        .iter()
        .any(|e| e.name() == E2EE_PROPERTY && e.text().trim() == "true");
    PresenceFacts {
        caps,
        features,
        name,
        e2ee,
    }
}
