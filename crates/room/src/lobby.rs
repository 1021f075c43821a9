//! The lobby (protocol 4 §9): where those wait who are not yet let in, seen by moderators alone.
//!
//! ```text
//!   knocker ── presence, chat ──► moderators          and never to another knocker
//!   knocker ◄────────── chat ──── moderators          whose presence it does not see
//! ```

use crate::address::RESERVED;
use crate::claim;
use crate::common::Person;
use crate::event::RoomEvent;
use crate::gate::{Refusal, has_name};
use crate::meeting::{Meeting, Output, Place};
use crate::message::relayed_in_lobby;
use crate::occupant::Affiliation;
use crate::presence::shown;
use crate::render::{muc_user, status};
use crate::room::{Network, Sender};
use althing_model::{EndpointId, Entropy, Identity, Now, SessionId};
use althing_xmpp::stanza::{Condition, ErrorType, error_reply, result_reply};
use althing_xmpp::{Element, Jid, ns};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// How many may wait in one lobby, and how many of them from one network.
const MAX_CALLERS: usize = 1_000;
const MAX_CALLERS_OF_NETWORK: usize = 500;
/// How many bytes of a presence moderators are shown.
const MAX_PRESENCE: usize = 8 * 1024;
/// How many characters of a name others are told.
const MAX_NAME: usize = 200;

/// Who waits, and which moderators watch.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Lobby {
    callers: BTreeMap<EndpointId, Caller>,
}

/// Somebody in the lobby.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Caller {
    pub(crate) session: SessionId,
    pub(crate) jid: Jid,
    network: Network,
    pub(crate) identity: Option<Arc<Identity>>,
    /// The children of its presence that are shown.
    payload: Vec<Element>,
    /// A moderator of the meeting, who does not wait.
    pub(crate) watches: bool,
}

impl Caller {
    pub(crate) fn person(&self) -> Person {
        Person::of(&self.jid, self.identity.as_deref())
    }

    pub(crate) fn name(&self) -> Option<String> {
        let name = self.payload.iter().find(|child| child.is("nick", ns::NICK));
        name.map(Element::text)
            .map(|name| name.trim().chars().take(MAX_NAME).collect::<String>())
            .filter(|name| !name.is_empty())
    }
}

impl Lobby {
    pub(crate) fn of_session(&self, session: &SessionId) -> Option<(&EndpointId, &Caller)> {
        self.callers
            .iter()
            .find(|(_, caller)| caller.session == *session)
    }

    pub(crate) fn get(&self, nick: &str) -> Option<(&EndpointId, &Caller)> {
        self.callers.get_key_value(nick)
    }

    /// Who waits under this address, full or bare.
    pub(crate) fn waiting_at(&self, jid: &Jid) -> Vec<EndpointId> {
        let is_at = |caller: &Caller| caller.jid == *jid || caller.jid.bare() == *jid;
        self.callers
            .iter()
            .filter(|(_, caller)| !caller.watches && is_at(caller))
            .map(|(id, _)| id.clone())
            .collect()
    }

    pub(crate) fn anybody_waits(&self) -> bool {
        self.callers.values().any(|caller| !caller.watches)
    }

    pub(crate) fn take(&mut self, id: &EndpointId) -> Option<Caller> {
        self.callers.remove(id)
    }

    pub(crate) fn take_all(&mut self) -> BTreeMap<EndpointId, Caller> {
        std::mem::take(&mut self.callers)
    }

    pub(crate) fn callers(&self) -> impl Iterator<Item = (&EndpointId, &Caller)> {
        self.callers.iter()
    }

    /// The sessions that see a presence of, or hear what is said to all by, somebody in the lobby.
    fn audience(&self, of: &EndpointId) -> Vec<SessionId> {
        self.callers
            .iter()
            .filter(|(id, caller)| caller.watches && *id != of)
            .map(|(_, caller)| caller.session.clone())
            .collect()
    }

    fn may_hold(&self, network: Network) -> bool {
        let waiting = || self.callers.values().filter(|caller| !caller.watches);
        let near = waiting().filter(|caller| caller.network == network);
        waiting().count() < MAX_CALLERS && near.count() < MAX_CALLERS_OF_NETWORK
    }
}

impl Meeting {
    /// A stanza to the lobby room or to somebody in it.
    pub(crate) fn lobby_stanza(
        &mut self,
        now: Now,
        sender: &Sender,
        to: &Jid,
        stanza: &Element,
        entropy: &mut dyn Entropy,
    ) {
        let mut stanza = stanza.clone();
        // Whatever the client wrote there, it is this session that speaks.
        stanza.set_attr("from", sender.jid.to_string());
        match (stanza.name(), stanza.attr("type")) {
            ("presence", None) => {
                if let Err(why) = self.lobby_presence(sender, to, &stanza) {
                    let reply = why.reply(&stanza, self.settings.lobby.as_str());
                    self.reply(sender, &reply);
                }
            }
            ("presence", Some("unavailable")) => self.lobby_go(&sender.session, true),
            ("message", kind) if kind != Some("error") => {
                self.lobby_message(sender, to, &stanza, entropy);
            }
            ("iq", Some("get" | "set")) => self.lobby_iq(now, sender, to, &stanza, entropy),
            _ => {}
        }
    }

    /// Coming in, or saying something else of oneself.
    fn lobby_presence(
        &mut self,
        sender: &Sender,
        to: &Jid,
        stanza: &Element,
    ) -> Result<(), Refusal> {
        if !self.common.members_only {
            return Err(Refusal::NoLobby);
        }
        let nick = to.resource().unwrap_or_default();
        let id = EndpointId::new(nick).map_err(|_| Refusal::Nick)?;
        let payload = shown(stanza, sender.identity.as_deref());
        if payload.iter().map(|e| e.to_xml().len()).sum::<usize>() > MAX_PRESENCE {
            return Err(Refusal::TooLong);
        }
        if let Some((present, _)) = self.lobby.of_session(&sender.session) {
            if *present != id {
                return Err(Refusal::NickChange);
            }
            if let Some(caller) = self.lobby.callers.get_mut(&id) {
                caller.payload = payload;
            }
            self.show_caller(&id);
            return Ok(());
        }
        if stanza.child("x", ns::MUC).is_none() {
            return Err(Refusal::NotJoined);
        }
        let identity = sender.identity.as_deref();
        claim::check(self.address(), &self.settings, identity)?;
        if RESERVED.contains(&nick) {
            return Err(Refusal::Reserved);
        }
        let watches = self.is_host(sender);
        if !watches {
            self.may_knock(sender, stanza)?;
        }
        let replaced = self.lobby.callers.get(&id).map(|c| c.jid.bare());
        if replaced.is_some_and(|replaced| replaced != sender.jid.bare()) {
            return Err(Refusal::Conflict);
        }
        self.lobby_remove(&id, None, true);
        let caller = Caller {
            session: sender.session.clone(),
            jid: sender.jid.clone(),
            network: sender.network,
            identity: sender.identity.clone(),
            payload,
            watches,
        };
        let name = caller.name();
        self.lobby.callers.insert(id.clone(), caller);
        self.welcome_caller(&id);
        if !watches {
            let event = RoomEvent::LobbyKnock {
                id,
                name,
                identity: sender.identity.clone(),
            };
            self.happen(event);
        }
        Ok(())
    }

    fn may_knock(&self, sender: &Sender, stanza: &Element) -> Result<(), Refusal> {
        if self.whereabouts(&sender.session).is_some() {
            return Err(Refusal::AlreadyIn);
        }
        if self.settings.name_required && !has_name(stanza, sender.identity.as_deref()) {
            return Err(Refusal::NameRequired);
        }
        if !self.lobby.may_hold(sender.network) {
            return Err(Refusal::LobbyFull);
        }
        Ok(())
    }

    /// Whether somebody moderates the meeting: in one of its rooms, or between two of them.
    fn is_host(&self, sender: &Sender) -> bool {
        let person = Person::of_sender(sender);
        self.moderates_as(&sender.session).is_some()
            || self.is_host_by_standing(&person, sender.identity.as_deref())
    }

    fn is_host_by_standing(&self, person: &Person, identity: Option<&Identity>) -> bool {
        self.common.was_admitted(person)
            && self.common.standing(person, identity) == Affiliation::Owner
    }

    /// What a newcomer is told: of those it may see, then of itself, which means that it is in.
    fn welcome_caller(&mut self, id: &EndpointId) {
        let Some(newcomer) = self.lobby.callers.get(id) else {
            return;
        };
        let (session, watches) = (newcomer.session.clone(), newcomer.watches);
        if watches {
            let others: Vec<String> = self
                .lobby
                .callers
                .iter()
                .filter(|(other, _)| *other != id)
                .map(|(other, caller)| self.caller_presence(other, caller, &[]).to_xml())
                .collect();
            for xml in others {
                self.send_lobby(vec![session.clone()], xml);
            }
        }
        self.show_caller(id);
        let subject = Element::new("message", ns::CLIENT)
            .with_attr("type", "groupchat")
            .with_attr("from", self.settings.lobby.to_string())
            .with_child(Element::new("subject", ns::CLIENT));
        self.send_lobby(vec![session], subject.to_xml());
    }

    /// Tells those who may see it somebody's presence, and itself.
    pub(crate) fn show_caller(&mut self, id: &EndpointId) {
        let Some(caller) = self.lobby.callers.get(id) else {
            return;
        };
        let shown = self.caller_presence(id, caller, &[]).to_xml();
        let own = self
            .caller_presence(id, caller, &[status::NON_ANONYMOUS, status::SELF])
            .with_attr("to", caller.jid.to_string())
            .to_xml();
        let session = caller.session.clone();
        let audience = self.lobby.audience(id);
        self.send_lobby(audience, shown);
        self.send_lobby(vec![session], own);
    }

    fn caller_presence(&self, id: &EndpointId, caller: &Caller, codes: &[u16]) -> Element {
        let person = caller.person();
        let affiliation = match self.common.standing(&person, caller.identity.as_deref()) {
            Affiliation::Owner if !caller.watches => Affiliation::None,
            affiliation => affiliation,
        };
        let role = if caller.watches {
            "moderator"
        } else {
            "participant"
        };
        let item = Element::new("item", ns::MUC_USER)
            .with_attr("affiliation", affiliation.as_str())
            .with_attr("role", role)
            .with_attr("jid", caller.jid.to_string());
        Element::new("presence", ns::CLIENT)
            .with_attr("from", self.caller_address(id))
            .with_children(caller.payload.iter().cloned())
            .with_child(muc_user(item, codes))
    }

    pub(crate) fn caller_address(&self, id: &EndpointId) -> String {
        format!("{}/{id}", self.settings.lobby)
    }

    /// A session is gone, or leaves wherever it is.
    pub(crate) fn lobby_leave(
        &mut self,
        _now: Now,
        session: &SessionId,
        _entropy: &mut dyn Entropy,
    ) {
        self.lobby_go(session, false);
    }

    /// Somebody leaves the lobby; told of it itself only if it is there to hear it.
    fn lobby_go(&mut self, session: &SessionId, heard: bool) {
        if let Some((id, _)) = self.lobby.of_session(session) {
            let id = id.clone();
            self.lobby_remove(&id, None, heard);
            self.end_if_nobody_waits();
        }
    }

    /// Takes somebody out; `by` is the moderator who sends it away, with a reason perhaps.
    pub(crate) fn lobby_remove(
        &mut self,
        id: &EndpointId,
        by: Option<(&EndpointId, Option<String>)>,
        heard: bool,
    ) {
        let audience = self.lobby.audience(id);
        let Some(gone) = self.lobby.take(id) else {
            return;
        };
        let mut item = Element::new("item", ns::MUC_USER)
            .with_attr("affiliation", "none")
            .with_attr("role", "none")
            .with_attr("jid", gone.jid.to_string());
        let mut codes = Vec::new();
        if let Some((actor, reason)) = by {
            codes.push(status::KICKED);
            item.push(Element::new("actor", ns::MUC_USER).with_attr("nick", actor.as_str()));
            if let Some(reason) = reason {
                item.push(Element::new("reason", ns::MUC_USER).with_text(reason));
            }
        }
        let presence = Element::new("presence", ns::CLIENT)
            .with_attr("type", "unavailable")
            .with_attr("from", self.caller_address(id));
        let shown = presence.clone().with_child(muc_user(item.clone(), &codes));
        self.send_lobby(audience, shown.to_xml());
        if heard {
            codes.push(status::SELF);
            let own = presence
                .with_attr("to", gone.jid.to_string())
                .with_child(muc_user(item, &codes));
            self.send_lobby(vec![gone.session], own.to_xml());
        }
    }

    /// Chat (protocol 4 §9.6): between moderators and those who wait, and among moderators.
    fn lobby_message(
        &mut self,
        sender: &Sender,
        to: &Jid,
        stanza: &Element,
        entropy: &mut dyn Entropy,
    ) {
        let refuse = |condition, kind, text| error_reply(stanza, condition, kind, Some(text), None);
        let Some((id, author)) = self.lobby.of_session(&sender.session) else {
            let reply = refuse(
                Condition::NotAcceptable,
                ErrorType::Cancel,
                "not in the room",
            );
            return self.reply(sender, &reply);
        };
        let (id, watches) = (id.clone(), author.watches);
        let children = relayed_in_lobby(stanza);
        if children.is_empty() && stanza.children().next().is_some() {
            // Nothing is left of it that a client may say.
            return;
        }
        let mut message = Element::new("message", ns::CLIENT)
            .with_attr_opt("type", stanza.attr("type"))
            .with_attr_opt("id", stanza.attr("id"))
            .with_attr("from", self.caller_address(&id))
            .with_children(children);
        match (to.resource(), stanza.attr("type")) {
            (None, Some("groupchat")) => {
                if message.attr("id").is_none() {
                    message.set_attr("id", entropy.token(16));
                }
                let to = self
                    .lobby
                    .callers()
                    .filter(|(other, caller)| watches || caller.watches || **other == id)
                    .map(|(_, caller)| caller.session.clone())
                    .collect();
                self.send_lobby(to, message.to_xml());
            }
            (Some(nick), kind) if kind != Some("groupchat") => {
                // Who waits is told the same of others who wait and of nobody.
                let recipient = self.lobby.callers.get(nick);
                let Some(recipient) = recipient.filter(|r| watches || r.watches) else {
                    let reply = refuse(
                        Condition::ItemNotFound,
                        ErrorType::Cancel,
                        "no such occupant",
                    );
                    return self.reply(sender, &reply);
                };
                message.set_attr("to", recipient.jid.to_string());
                message.push(Element::new("x", ns::MUC_USER));
                let session = recipient.session.clone();
                self.send_lobby(vec![session], message.to_xml());
            }
            _ => {
                let reply = refuse(
                    Condition::BadRequest,
                    ErrorType::Modify,
                    "group chat goes to the room, other messages to somebody in it",
                );
                self.reply(sender, &reply);
            }
        }
    }

    fn lobby_iq(
        &mut self,
        now: Now,
        sender: &Sender,
        to: &Jid,
        stanza: &Element,
        entropy: &mut dyn Entropy,
    ) {
        let get = stanza.attr("type") == Some("get");
        let refuse = |condition, kind, text| error_reply(stanza, condition, kind, text, None);
        let Some((id, _)) = self.lobby.of_session(&sender.session) else {
            let reply = refuse(
                Condition::Forbidden,
                ErrorType::Auth,
                Some("not in the room"),
            );
            return self.reply(sender, &reply);
        };
        let own = to.resource() == Some(id.as_str());
        let id = id.clone();
        let payload = stanza.children().next();
        let reply = match (payload, to.resource()) {
            (Some(p), None) if get && p.is("query", ns::DISCO_INFO) => {
                result_reply(stanza).with_child(self.lobby_information())
            }
            (Some(p), None) if get && p.is("query", ns::DISCO_ITEMS) => {
                result_reply(stanza).with_child(Element::new("query", ns::DISCO_ITEMS))
            }
            (Some(p), resource) if get && p.is("ping", ns::PING) && (own || resource.is_none()) => {
                result_reply(stanza)
            }
            (Some(p), None) if !get && p.is("query", ns::MUC_ADMIN) => {
                return self.lobby_admin(now, sender, &id, stanza, p, entropy);
            }
            _ => refuse(Condition::ServiceUnavailable, ErrorType::Cancel, None),
        };
        self.reply(sender, &reply);
    }

    fn lobby_information(&self) -> Element {
        let name = self.settings.lobby.node().unwrap_or_default().to_owned();
        let mut query = Element::new("query", ns::DISCO_INFO).with_child(
            Element::new("identity", ns::DISCO_INFO)
                .with_attr("category", "conference")
                .with_attr("type", "text")
                .with_attr("name", name),
        );
        for feature in [
            ns::MUC,
            "muc_unsecured",
            "muc_open",
            "muc_nonanonymous",
            "muc_hidden",
        ] {
            query.push(Element::new("feature", ns::DISCO_INFO).with_attr("var", feature));
        }
        query
    }

    pub(crate) fn reply(&mut self, sender: &Sender, reply: &Element) {
        self.send_lobby(vec![sender.session.clone()], reply.to_xml());
    }

    pub(crate) fn send_lobby(&mut self, to: Vec<SessionId>, xml: String) {
        if !to.is_empty() {
            let xml = xml.into();
            self.outputs.push_back(Output::Send { to, xml });
        }
    }

    /// Something happened in the lobby, of which no other part of the meeting makes anything.
    pub(crate) fn happen(&mut self, event: RoomEvent) {
        let place = Place::Main;
        self.outputs.push_back(Output::Event { place, event });
    }

    /// Moderators watch as long as they are some.
    pub(crate) fn check_watchers(&mut self) {
        let former: Vec<EndpointId> = self
            .lobby
            .callers()
            .filter(|(_, caller)| {
                let identity = caller.identity.as_deref();
                caller.watches
                    && self.moderates_as(&caller.session).is_none()
                    && !self.is_host_by_standing(&caller.person(), identity)
            })
            .map(|(id, _)| id.clone())
            .collect();
        for id in former {
            self.lobby_remove(&id, None, true);
        }
    }
}
