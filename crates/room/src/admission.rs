//! What moderators do with the lobby: switching it, letting in, sending away (protocol 4 §§9.1, 9.3,
//! 9.5).

use crate::common::Person;
use crate::event::RoomEvent;
use crate::meeting::{Action, Meeting, Place};
use crate::occupant::Affiliation;
use crate::render::{muc_user, status};
use crate::room::{Room, Sender};
use althing_model::{EndpointId, Entropy, Now, SessionId};
use althing_xmpp::stanza::{Condition, ErrorType, error_reply, result_reply};
use althing_xmpp::{Element, Jid, ns};
use serde_json::{Value, json};
use std::sync::Arc;

/// How many people one request may let in or send away.
const MAX_ITEMS: usize = 1024;
/// How many letters the reason of a removal may have.
const MAX_REASON: usize = 1_000;

impl Meeting {
    /// What the lobby makes of what happened in a room of the meeting.
    pub(crate) fn lobby_event(
        &mut self,
        now: Now,
        place: &Place,
        event: &RoomEvent,
        entropy: &mut dyn Entropy,
    ) {
        match event {
            RoomEvent::LobbyChanged { by, open } => {
                if *open {
                    self.make_members(now, entropy);
                } else {
                    let main = self.address().clone();
                    self.lobby_close("Lobby room closed.", Some(&main));
                }
                let value = Value::Bool(*open);
                self.notify_lobby(now, place, by, "LOBBY-ENABLED", &value, None, entropy);
                if self.common.metadata.set("lobbyEnabled", value) {
                    self.push_metadata(now, entropy);
                }
            }
            RoomEvent::RoleChanged { .. } | RoomEvent::OccupantLeft { .. } => {
                self.check_watchers();
            }
            _ => {}
        }
    }

    /// Whoever is in when the lobby opens is in for good, also after losing its connection.
    fn make_members(&mut self, now: Now, entropy: &mut dyn Entropy) {
        for place in self.places() {
            self.in_room(&place, now, entropy, |room, turn| {
                let strangers: Vec<EndpointId> = room
                    .occupants
                    .values()
                    .filter(|occupant| occupant.affiliation == Affiliation::None)
                    .map(|occupant| occupant.id.clone())
                    .collect();
                for id in strangers {
                    room.set_standing(turn, &id, Affiliation::Member);
                }
                for occupant in room.occupants.values() {
                    let identity = occupant.identity.as_deref();
                    turn.common.give_membership(occupant.person(), identity);
                }
            });
        }
    }

    /// Tells everybody in the room of a moderator what it did, in its name: clients believe only
    /// moderators.
    #[expect(clippy::too_many_arguments, reason = "a message has these parts")]
    fn notify_lobby(
        &mut self,
        now: Now,
        place: &Place,
        by: &EndpointId,
        event: &str,
        value: &Value,
        name: Option<&str>,
        entropy: &mut dyn Entropy,
    ) {
        let mut json = json!({ "type": "lobby-notify", "event": event, "value": value });
        if let Some(name) = name {
            json["name"] = Value::from(name);
        }
        self.in_room(place, now, entropy, |room, _| {
            let names = room.settings.names.clone();
            room.broadcast(None, |_, form| {
                let from = names.occupant_of(form, by);
                let message =
                    crate::component::message(&from, &json, None).with_attr("type", "groupchat");
                Arc::from(message.to_xml())
            });
        });
    }

    /// Whether a stanza to a room invites people in from the lobby; if so it is dealt with.
    pub(crate) fn lobby_invitation(
        &mut self,
        now: Now,
        sender: &Sender,
        to: &Jid,
        stanza: &Element,
        entropy: &mut dyn Entropy,
    ) -> bool {
        let is_to_room = stanza.name() == "message" && !to.is_full();
        let kind = stanza.attr("type");
        let is_fit = is_to_room && kind != Some("error") && kind != Some("groupchat");
        let Some(x) = stanza.child("x", ns::MUC_USER).filter(|_| is_fit) else {
            return false;
        };
        let invited: Vec<Jid> = x
            .children()
            .filter(|child| child.is("invite", ns::MUC_USER))
            .take(MAX_ITEMS)
            .filter_map(|invite| Jid::parse(invite.attr("to")?).ok())
            .collect();
        if invited.is_empty() {
            return false;
        }
        let mut stanza = stanza.clone();
        stanza.set_attr("from", sender.jid.to_string());
        let refuse =
            |condition, kind, text| error_reply(&stanza, condition, kind, Some(text), None);
        let Some((place, actor)) = self.whereabouts(&sender.session) else {
            let (condition, kind) = (Condition::NotAcceptable, ErrorType::Cancel);
            let reply = refuse(condition, kind, "not in the room");
            self.reply(sender, &reply);
            return true;
        };
        if self.moderates_as(&sender.session).is_none() {
            self.deny(Action::Admit);
            let (condition, kind) = (Condition::Forbidden, ErrorType::Auth);
            let reply = refuse(condition, kind, "only moderators let people in");
            self.reply(sender, &reply);
            return true;
        }
        for jid in invited {
            self.let_in(now, sender, &place, &actor, &jid, entropy);
        }
        true
    }

    fn let_in(
        &mut self,
        now: Now,
        sender: &Sender,
        place: &Place,
        actor: &EndpointId,
        jid: &Jid,
        entropy: &mut dyn Entropy,
    ) {
        let waiting = self.lobby.waiting_at(jid);
        if waiting.is_empty() && self.common.members_only && jid.domain() == self.settings.domain {
            // It lost its connection a moment ago, and may come back for a while.
            let person = Person::Address(jid.bare());
            self.common.give_membership(person, None);
        }
        for id in waiting {
            let Some((_, caller)) = self.lobby.get(id.as_str()) else {
                continue;
            };
            let (session, full, name) = (caller.session.clone(), caller.jid.clone(), caller.name());
            let (person, identity) = (caller.person(), caller.identity.clone());
            self.common.give_membership(person, identity.as_deref());
            self.show_caller(&id);
            self.invite(sender, session, &full);
            let value = Value::from(self.caller_address(&id));
            let event = "LOBBY-ACCESS-GRANTED";
            self.notify_lobby(now, place, actor, event, &value, name.as_deref(), entropy);
            self.happen(RoomEvent::LobbyAdmitted {
                id,
                name,
                by: actor.clone(),
            });
        }
    }

    /// On this a client joins the main room.
    fn invite(&mut self, sender: &Sender, session: SessionId, jid: &Jid) {
        let invite = Element::new("invite", ns::MUC_USER)
            .with_attr("from", sender.jid.to_string())
            .with_child(Element::new("reason", ns::MUC_USER));
        let message = Element::new("message", ns::CLIENT)
            .with_attr("from", self.address().to_string())
            .with_attr("to", jid.to_string())
            .with_child(Element::new("x", ns::MUC_USER).with_child(invite));
        self.send_lobby(vec![session], message.to_xml());
    }

    /// Sending away: a kick in the lobby. All items are checked before the first is done.
    pub(crate) fn lobby_admin(
        &mut self,
        now: Now,
        sender: &Sender,
        actor: &EndpointId,
        stanza: &Element,
        query: &Element,
        entropy: &mut dyn Entropy,
    ) {
        let refuse = |condition, kind, text| error_reply(stanza, condition, kind, Some(text), None);
        let Some((place, id)) = self.whereabouts(&sender.session).filter(|_| {
            let caller = self.lobby.get(actor.as_str());
            caller.is_some_and(|(_, caller)| caller.watches)
        }) else {
            self.deny(Action::Admit);
            let (condition, kind) = (Condition::Forbidden, ErrorType::Auth);
            let reply = refuse(condition, kind, "only moderators may do that");
            return self.reply(sender, &reply);
        };
        let mut sent_away = Vec::new();
        for item in query.children().filter(|c| c.is("item", ns::MUC_ADMIN)) {
            let caller = self.lobby.get(item.attr("nick").unwrap_or_default());
            let (condition, text) = match (item.attr("role"), caller) {
                _ if sent_away.len() >= MAX_ITEMS => {
                    (Condition::BadRequest, "a request has 1024 items at most")
                }
                (Some("none"), Some((id, caller))) if !caller.watches => {
                    let reason = item.child("reason", ns::MUC_ADMIN).map(Element::text);
                    let reason = reason
                        .map(|reason| reason.chars().take(MAX_REASON).collect::<String>())
                        .filter(|reason| !reason.is_empty());
                    sent_away.push((id.clone(), caller.name(), reason));
                    continue;
                }
                (Some("none"), Some(_)) => (Condition::NotAllowed, "a moderator does not wait"),
                (Some("none"), None) => (Condition::ItemNotFound, "nobody of that name waits"),
                _ => (
                    Condition::FeatureNotImplemented,
                    "standings are given in the main room",
                ),
            };
            let reply = refuse(condition, ErrorType::Cancel, text);
            return self.reply(sender, &reply);
        }
        self.reply(sender, &result_reply(stanza));
        for (waiting, name, reason) in sent_away {
            self.lobby_remove(&waiting, Some((actor, reason)), true);
            let value = Value::from(self.caller_address(&waiting));
            let event = "LOBBY-ACCESS-DENIED";
            self.notify_lobby(now, &place, &id, event, &value, name.as_deref(), entropy);
            self.happen(RoomEvent::LobbyDenied {
                id: waiting,
                name,
                by: id.clone(),
            });
        }
        self.end_if_nobody_waits();
    }

    /// The meeting is over: those who wait or watch are told why.
    pub(crate) fn lobby_destroy(&mut self, _now: Now, reason: &str, _entropy: &mut dyn Entropy) {
        self.lobby_close(reason, None);
    }

    /// There is no lobby any more; with an address those who waited go there at once, without one
    /// the meeting is over for them.
    pub(crate) fn lobby_close(&mut self, reason: &str, alternative: Option<&Jid>) {
        for (id, gone) in self.lobby.take_all() {
            let item = Element::new("item", ns::MUC_USER)
                .with_attr("affiliation", "none")
                .with_attr("role", "none");
            let destroy = Element::new("destroy", ns::MUC_USER)
                .with_attr_opt("jid", alternative.map(Jid::as_str))
                .with_child(Element::new("reason", ns::MUC_USER).with_text(reason));
            let mut x = muc_user(item, &[status::SELF]);
            x.push(destroy);
            let presence = Element::new("presence", ns::CLIENT)
                .with_attr("type", "unavailable")
                .with_attr("from", self.caller_address(&id))
                .with_attr("to", gone.jid.to_string())
                .with_child(x);
            self.send_lobby(vec![gone.session], presence.to_xml());
        }
    }

    /// Whether people wait for a first host, for whose sake an empty meeting goes on.
    pub(crate) fn awaits_first_host(&self) -> bool {
        self.common.is_untouched() && self.lobby.anybody_waits()
    }

    /// Ends a meeting that went on only for those who waited.
    pub(crate) fn end_if_nobody_waits(&mut self) {
        if self.focuses.is_empty() && self.common.is_untouched() && !self.lobby.anybody_waits() {
            self.finish();
        }
    }
}

impl Room {
    /// What the room's information says of lobby and password (protocol 1 §15.1).
    pub(crate) fn lock_features(&self, common: &crate::common::Common) -> [&'static str; 2] {
        let main = self.breakout_of.is_none();
        [
            if main && common.password.is_some() {
                "muc_passwordprotected"
            } else {
                "muc_unsecured"
            },
            if main && common.members_only {
                "muc_membersonly"
            } else {
                "muc_open"
            },
        ]
    }
}
