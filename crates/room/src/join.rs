//! Coming in and going out: the welcome, farewells.

use crate::common::{Person, Turn};
use crate::event::{LeaveReason, OccupantInfo, RoomEvent};
use crate::metadata::StartMuted;
use crate::occupant::{Affiliation, Occupant, Pace, Shown};
use crate::presence::{facts, shown};
use crate::render::{muc_user, status};
use crate::room::{Room, Sender};
use althing_model::{EndpointId, MediaKinds, Role, SessionId};
use althing_xmpp::{Element, ns};
use std::collections::VecDeque;
use std::sync::Arc;

impl Room {
    pub(crate) fn join(
        &mut self,
        turn: &mut Turn<'_>,
        sender: &Sender,
        nick: &str,
        form: usize,
        stanza: &Element,
    ) {
        let id = match self.check_join(turn, sender, nick, stanza) {
            Ok(id) => id,
            Err(why) => return self.refuse(sender, stanza, &why),
        };
        if let Some(same_person) = self.occupants.get(&id).map(|o| o.session.clone()) {
            self.leave_session(&same_person, LeaveReason::Replaced);
        }
        turn.common.newcomer(self.occupants.len() + 1);
        let payload = shown(stanza, sender.identity.as_deref());
        let affiliation = self.first_standing(turn, sender);
        let role = if affiliation == Affiliation::Owner {
            Role::Moderator
        } else {
            Role::Participant
        };
        let occupant = Occupant {
            id: id.clone(),
            session: sender.session.clone(),
            jid: sender.jid.clone(),
            form,
            order: self.arrivals,
            affiliation,
            role,
            may_send: self.may_send(role),
            forwarded: self.moderation.forwarded(&id, role == Role::Moderator),
            origin: sender.origin.clone(),
            identity: sender.identity.clone(),
            facts: facts(&payload),
            granted: turn.common.granted(&Person::of_sender(sender)),
            misled: false,
            pace: Pace::new(),
            shown: Shown::new(&payload),
            asked: VecDeque::new(),
            rendered: Vec::new(),
        };
        self.arrivals += 1;
        let info = OccupantInfo {
            id: id.clone(),
            session: sender.session.clone(),
            jid: sender.jid.clone(),
            room: self.settings.names.bare(form).clone(),
            origin: sender.origin.clone(),
            role,
            may_send: occupant.may_send,
            forwarded: occupant.forwarded,
            start_muted: if role == Role::Moderator {
                StartMuted::default()
            } else {
                turn.common.metadata.start_muted()
            },
            presence: occupant.facts.clone(),
            identity: sender.identity.clone(),
        };
        self.by_session.insert(sender.session.clone(), id.clone());
        self.occupants.insert(id.clone(), occupant);
        if self.occupants.len() == 2 && self.started_millis.is_none() {
            self.started_millis = Some(turn.now.unix_millis);
        }
        self.announce_to_others(&id);
        self.welcome(turn, &id);
        self.emit(RoomEvent::OccupantJoined(Box::new(info)));
    }

    pub(crate) fn may_send(&self, role: Role) -> MediaKinds {
        match role {
            Role::Moderator | Role::Participant => self.settings.media.permits(),
            Role::Visitor => MediaKinds::NONE,
        }
    }

    /// Everything a newcomer is told, in the order of protocol 1 §13.3. The first presence from
    /// its own address means "joined" to stock clients, so it comes after all others.
    pub(crate) fn welcome(&mut self, turn: &mut Turn<'_>, id: &EndpointId) {
        let Some(newcomer) = self.occupants.get(id) else {
            return;
        };
        let (session, form) = (newcomer.session.clone(), newcomer.form);
        self.tell_metadata(&mut turn.common.metadata, &session, form);
        let focus = self.rendered_focus(form);
        self.send_text(vec![session.clone()], focus);
        let others: Vec<EndpointId> = self
            .occupants
            .keys()
            .filter(|other| *other != id)
            .cloned()
            .collect();
        for other in &others {
            if let Some(text) = self.rendered(other, form) {
                self.send_text(vec![session.clone()], text);
            }
        }
        if let Some(own) = self.rendered_own(id, &[status::NON_ANONYMOUS, status::SELF]) {
            self.send_text(vec![session.clone()], own);
        }
        self.tell_history(&session, form);
        self.tell_subject(&session, form);
    }

    /// Takes the occupant of a session out, if it is in.
    pub(crate) fn leave_session(&mut self, session: &SessionId, reason: LeaveReason) {
        let Some(id) = self.by_session.get(session).cloned() else {
            return;
        };
        let farewell = match &reason {
            LeaveReason::Left(Some(text)) => Farewell {
                status_text: Some(text.clone()),
                ..Farewell::default()
            },
            _ => Farewell::default(),
        };
        self.remove(&id, &farewell, reason);
    }

    pub(crate) fn remove(&mut self, id: &EndpointId, farewell: &Farewell, reason: LeaveReason) {
        let Some(gone) = self.occupants.remove(id) else {
            return;
        };
        self.by_session.remove(&gone.session);
        if let Some(due) = gone.pace.due {
            self.due.remove(&(due, id.clone()));
        }
        let names = self.settings.names.clone();
        self.broadcast(None, |_, form| {
            let from = names.occupant_of(form, id);
            Arc::from(farewell.presence(&gone, from, false).to_xml())
        });
        // A session that is gone hears nothing; one replaced or leaving gets its own copy.
        if reason != LeaveReason::Disconnected {
            let from = names.occupant_of(gone.form, id);
            let own = farewell.presence(&gone, from, true);
            self.send(&gone.session, &own);
        }
        self.forget_requests_of(&gone);
        self.emit(RoomEvent::OccupantLeft {
            id: id.clone(),
            session: gone.session.clone(),
            reason,
        });
    }
}

/// What the last presence of an occupant says beside the fact.
#[derive(Debug, Default)]
pub(crate) struct Farewell {
    pub(crate) status_text: Option<String>,
    pub(crate) codes: Vec<u16>,
    pub(crate) actor: Option<EndpointId>,
    pub(crate) reason: Option<String>,
}

impl Farewell {
    fn presence(&self, gone: &Occupant, from: String, own: bool) -> Element {
        let kicked = self.codes.contains(&status::KICKED);
        let affiliation = if kicked {
            Affiliation::None
        } else {
            gone.affiliation
        };
        let mut item = Element::new("item", ns::MUC_USER)
            .with_attr("affiliation", affiliation.as_str())
            .with_attr("role", "none")
            .with_attr("jid", gone.jid.to_string());
        if let Some(actor) = &self.actor {
            item.push(Element::new("actor", ns::MUC_USER).with_attr("nick", actor.as_str()));
        }
        if let Some(reason) = &self.reason {
            item.push(Element::new("reason", ns::MUC_USER).with_text(reason.clone()));
        }
        let mut codes = self.codes.clone();
        let mut presence = Element::new("presence", ns::CLIENT)
            .with_attr("type", "unavailable")
            .with_attr("from", from);
        if own {
            presence.set_attr("to", gone.jid.to_string());
            codes.push(status::SELF);
        }
        if let Some(text) = &self.status_text {
            presence.push(Element::new("status", ns::CLIENT).with_text(text.clone()));
        }
        presence.push(muc_user(item, &codes));
        presence
    }
}
