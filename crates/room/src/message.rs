//! Messages: to everybody and to one (protocol 4 §11).

use crate::address::FOCUS;
use crate::common::Turn;
use crate::event::Deed;
use crate::history::{NameSource, Said};
use crate::meeting::Action;
use crate::occupant::Occupant;
use crate::polls::Command as PollCommand;
use crate::room::{Room, Sender};
use althing_model::{EndpointId, SessionId};
use althing_xmpp::stanza::{Condition, ErrorType, error_reply};
use althing_xmpp::{Element, Jid, ns};
use serde_json::Value;
use std::sync::Arc;

/// How long a message may be, in bytes. Everybody in the room gets it: a few very long ones would
/// fill the queues of those who read slowly, and end their sessions.
const MAX_BYTES: usize = 64 * 1024;
/// How long the id of a message may be that others refer to, in bytes.
const MAX_ID: usize = 256;
/// How many letters the reason of a removal may have.
const MAX_REASON: usize = 1_000;

/// What only components, and the server itself, say as JSON (protocol 4 §§1.2, 25).
const NOT_FOR_CLIENTS: [&str; 11] = [
    "audio-translation",
    "av_moderation",
    "breakout_rooms",
    "file-sharing",
    "lobby-notify",
    "polls",
    "room_metadata",
    "speakerstats",
    "system_chat_message",
    "time_restricted",
    "visitors",
];

/// The namespaces of what refers to a message that was said before.
const REFERRING: [&str; 5] = [
    ns::RETRACT,
    ns::CORRECT,
    ns::REACTIONS,
    ns::FASTEN,
    ns::MODERATE,
];

type Refused = (Condition, ErrorType, &'static str);

const FOREIGN: Refused = (
    Condition::NotAllowed,
    ErrorType::Cancel,
    "somebody else wrote this message",
);
const UNKNOWN: Refused = (
    Condition::ItemNotFound,
    ErrorType::Cancel,
    "this message is not known any more",
);

/// What a group message is about.
enum Matter<'a> {
    /// A new subject.
    Subject(String),
    /// The author takes back what it wrote.
    Retract(&'a str),
    /// A moderator takes back what somebody wrote.
    Moderate(&'a str, Option<String>),
    /// The author writes otherwise what it wrote.
    Replace(&'a str),
    /// Reactions to a message.
    React(&'a str),
    /// Words.
    Body,
    /// What programs tell each other.
    Other,
}

impl<'a> Matter<'a> {
    fn of(stanza: &'a Element) -> Self {
        let referred = |name, ns| stanza.child(name, ns).and_then(|e| e.attr("id"));
        let moderated = stanza
            .child("apply-to", ns::FASTEN)
            .and_then(|to| Some((to.attr("id")?, to.child("moderated", ns::MODERATE)?)));
        if let Some((id, moderated)) = moderated {
            let reason = moderated.child("reason", ns::MODERATE).map(Element::text);
            return Self::Moderate(id, reason);
        }
        if let Some(id) = referred("retract", ns::RETRACT) {
            return Self::Retract(id);
        }
        if let Some(id) = referred("replace", ns::CORRECT) {
            return Self::Replace(id);
        }
        if let Some(id) = referred("reactions", ns::REACTIONS) {
            return Self::React(id);
        }
        if stanza.child("body", ns::CLIENT).is_some() {
            return Self::Body;
        }
        match stanza.child("subject", ns::CLIENT) {
            Some(subject) => Self::Subject(subject.text()),
            None => Self::Other,
        }
    }

    /// Whether this is the element that makes it what it is.
    fn refers_by(&self, child: &Element) -> bool {
        let (name, ns, id) = match *self {
            Self::Retract(id) => ("retract", ns::RETRACT, id),
            Self::Replace(id) => ("replace", ns::CORRECT, id),
            Self::React(id) => ("reactions", ns::REACTIONS, id),
            Self::Moderate(..) | Self::Subject(_) | Self::Body | Self::Other => return false,
        };
        child.is(name, ns) && child.attr("id") == Some(id)
    }

    /// Whether people read it as something said.
    const fn is_said(&self) -> bool {
        matches!(self, Self::Body | Self::Replace(_) | Self::React(_))
    }
}

impl Room {
    pub(crate) fn message(
        &mut self,
        turn: &mut Turn<'_>,
        sender: &Sender,
        to: &Jid,
        stanza: &Element,
    ) {
        let kind = stanza.attr("type").unwrap_or("normal");
        if kind == "error" {
            return;
        }
        let Some(author) = self.occupant_of(&sender.session).map(|o| o.id.clone()) else {
            let refusal = (
                Condition::NotAcceptable,
                ErrorType::Cancel,
                "not in the room",
            );
            return self.refuse_message(sender, stanza, refusal);
        };
        if to.resource() == Some(FOCUS) {
            return;
        }
        if stanza.to_xml().len() > MAX_BYTES {
            let refusal = (
                Condition::PolicyViolation,
                ErrorType::Modify,
                "a message has 64 KiB at most",
            );
            return self.refuse_message(sender, stanza, refusal);
        }
        match (to.resource(), kind) {
            (None, "groupchat") => {
                if let Err((denied, refusal)) = self.group_chat(turn, &author, stanza) {
                    self.deny_message(denied, sender, stanza, refusal);
                }
            }
            (None, _) => {
                let refusal = (
                    Condition::FeatureNotImplemented,
                    ErrorType::Cancel,
                    "invitations are not supported",
                );
                self.refuse_message(sender, stanza, refusal);
            }
            (Some(_), "groupchat") => {
                let refusal = (
                    Condition::BadRequest,
                    ErrorType::Modify,
                    "group chat goes to the room",
                );
                self.refuse_message(sender, stanza, refusal);
            }
            (Some(nick), _) => {
                if let Err((denied, refusal)) = self.private_message(&author, nick, stanza) {
                    self.deny_message(denied, sender, stanza, refusal);
                }
            }
        }
    }

    fn deny_message(
        &mut self,
        denied: Option<Action>,
        sender: &Sender,
        stanza: &Element,
        refusal: Refused,
    ) {
        if let Some(action) = denied {
            self.deny(action);
        }
        self.refuse_message(sender, stanza, refusal);
    }

    fn refuse_message(
        &mut self,
        sender: &Sender,
        stanza: &Element,
        (condition, kind, text): Refused,
    ) {
        let reply = error_reply(stanza, condition, kind, Some(text), None);
        self.send(&sender.session, &reply);
    }

    fn group_chat(
        &mut self,
        turn: &mut Turn<'_>,
        author: &EndpointId,
        stanza: &Element,
    ) -> Result<(), (Option<Action>, Refused)> {
        let Some(occupant) = self.occupants.get(author) else {
            return Ok(());
        };
        let matter = Matter::of(stanza);
        let restricted = turn
            .common
            .metadata
            .flag("permissions", "groupChatRestricted");
        self.check_group_chat(occupant, &matter, restricted)?;
        // Each receiver would invent an id of its own, and reactions to it would find nothing.
        let id = match stanza.attr("id") {
            Some(id) if id.len() > MAX_ID => {
                let refused = (
                    Condition::PolicyViolation,
                    ErrorType::Modify,
                    "the id of a message has 256 bytes at most",
                );
                return Err((None, refused));
            }
            Some(id) => id.to_owned(),
            None => turn.entropy.token(16),
        };
        if let Matter::Moderate(message, reason) = matter {
            self.moderate(author, &id, message, reason);
            self.done(author, Deed::MessageRemoved);
            return Ok(());
        }
        let mut said = Said {
            nick: author.clone(),
            author: occupant.person(),
            id,
            millis: turn.now.unix_millis,
            display_name: occupant.display_name(),
            source: if occupant.identity.is_some() {
                NameSource::Token
            } else {
                NameSource::Guest
            },
            children: relayed(stanza, &matter),
        };
        if said.children.is_empty() && stanza.children().next().is_some() {
            // Nothing is left of it that a client may say.
            return Ok(());
        }
        let json = said.children.iter_mut().find(|c| is_json(c));
        let is_json = json.is_some();
        let mut poll = None;
        if let Some(json) = json {
            let metadata = &turn.common.metadata;
            let restricted = metadata.flag("permissions", "pollCreationRestricted");
            let command = PollCommand::in_chat(&json.text());
            poll = command
                .map(|command| self.poll_in_chat(author, command, restricted))
                .transpose()
                .map_err(|text| (None, (Condition::NotAllowed, ErrorType::Cancel, text)))?;
            if let Some(poll) = &poll {
                // Who asks, and who votes, is not for clients to say.
                *json = poll.element();
            }
        }
        let names = self.settings.names.clone();
        self.broadcast(None, |_, form| {
            let from = names.occupant_of(form, author);
            Arc::from(message(from, &said.id, &said.children).to_xml())
        });
        if let Some(poll) = poll {
            self.tell_poll(&poll, false);
        }
        if matches!(matter, Matter::Subject(_)) {
            self.done(author, Deed::SubjectChanged);
        }
        self.remember(matter, said, is_json);
        Ok(())
    }

    fn check_group_chat(
        &self,
        occupant: &Occupant,
        matter: &Matter<'_>,
        restricted: bool,
    ) -> Result<(), (Option<Action>, Refused)> {
        let forbidden = |action, text| {
            let refused = (Condition::Forbidden, ErrorType::Auth, text);
            Err((Some(action), refused))
        };
        if occupant.is_visitor() {
            return forbidden(Action::Chat, "visitors may not write");
        }
        if matter.is_said() && !occupant.is_allowed_unless(restricted, "send-groupchat") {
            let refused = (
                Condition::NotAllowed,
                ErrorType::Cancel,
                "you may not write to all here",
            );
            return Err((Some(Action::Chat), refused));
        }
        match matter {
            Matter::Subject(_) if !occupant.is_moderator() => {
                forbidden(Action::Subject, "only moderators may change the subject")
            }
            Matter::Moderate(..) if !occupant.is_moderator() => {
                forbidden(Action::Retract, "only moderators may remove messages")
            }
            Matter::Moderate(id, _) if self.history.author_of(id).is_none() => Err((None, UNKNOWN)),
            Matter::Retract(id) | Matter::Replace(id) => match self.history.author_of(id) {
                Some(author) if *author == occupant.person() => Ok(()),
                Some(_) => Err((Some(Action::Retract), FOREIGN)),
                None => Err((None, UNKNOWN)),
            },
            _ => Ok(()),
        }
    }

    /// What newcomers will be told of it.
    fn remember(&mut self, matter: Matter<'_>, said: Said, json: bool) {
        let (most, bytes) = (self.settings.history_messages, self.settings.history_bytes);
        let history = &mut self.history;
        match matter {
            Matter::Subject(subject) => self.subject = Some(subject),
            Matter::Retract(id) => history.remove(id, Some(&said.author)),
            Matter::Replace(id) => {
                history.sign(&said.id, &said.author);
                history.replace(id, &said, most, bytes);
            }
            Matter::React(id) => history.react(id, said, most, bytes),
            Matter::Body => {
                history.sign(&said.id, &said.author);
                let unwanted = |c: &Element| c.is("no-store", ns::HINTS);
                if !json && !said.children.iter().any(unwanted) {
                    history.push(said, most, bytes);
                }
            }
            Matter::Moderate(..) | Matter::Other => {}
        }
    }

    /// A moderator's removal of a message is told by the room itself.
    fn moderate(&mut self, by: &EndpointId, id: &str, message: &str, reason: Option<String>) {
        let reason = reason.filter(|reason| !reason.is_empty()).map(|reason| {
            let short: String = reason.chars().take(MAX_REASON).collect();
            Element::new("reason", ns::MODERATE).with_text(short)
        });
        let names = self.settings.names.clone();
        self.broadcast(None, |_, form| {
            let moderated = Element::new("moderated", ns::MODERATE)
                .with_attr("by", names.occupant_of(form, by))
                .with_child(Element::new("retract", ns::RETRACT).with_attr("id", message))
                .with_children(reason.clone());
            let children = [
                Element::new("apply-to", ns::FASTEN)
                    .with_attr("id", message)
                    .with_child(moderated),
                Element::new("no-store", ns::HINTS),
            ];
            let from = names.bare(form).to_string();
            Arc::from(self::message(from, id, &children).to_xml())
        });
        self.history.remove(message, None);
    }

    fn private_message(
        &mut self,
        author: &EndpointId,
        nick: &str,
        stanza: &Element,
    ) -> Result<(), (Option<Action>, Refused)> {
        let Some(occupant) = self.occupants.get(author) else {
            return Ok(());
        };
        let matter = Matter::of(stanza);
        if matter.is_said()
            && !occupant.is_allowed_unless(occupant.is_visitor(), "send-private-message")
        {
            let refused = (
                Condition::NotAllowed,
                ErrorType::Cancel,
                "you may not write to one here",
            );
            return Err((Some(Action::Chat), refused));
        }
        let Some(recipient) = self.occupants.get(nick) else {
            let refused = (
                Condition::ItemNotFound,
                ErrorType::Cancel,
                "no such occupant",
            );
            return Err((None, refused));
        };
        let mut message = Element::new("message", ns::CLIENT)
            .with_attr("type", stanza.attr("type").unwrap_or("normal"))
            .with_attr(
                "from",
                self.settings.names.occupant_of(recipient.form, author),
            )
            .with_attr("to", recipient.jid.to_string())
            .with_children(relayed(stanza, &matter));
        if let Some(id) = stanza.attr("id") {
            message.set_attr("id", id);
        }
        if message.children().next().is_none() && stanza.children().next().is_some() {
            return Ok(());
        }
        message.push(Element::new("x", ns::MUC_USER));
        let session = recipient.session.clone();
        self.send(&session, &message);
        Ok(())
    }

    pub(crate) fn tell_subject(&mut self, session: &SessionId, form: usize) {
        let subject =
            Element::new("subject", ns::CLIENT).with_text(self.subject.clone().unwrap_or_default());
        let stanza = Element::new("message", ns::CLIENT)
            .with_attr("type", "groupchat")
            .with_attr("from", self.settings.names.bare(form).to_string())
            .with_child(subject);
        self.send(session, &stanza);
    }
}

/// The children of a client's message that others get. Clients go by the names of most elements
/// whatever the namespace; and any `<subject>` is the room's new one to them.
fn relayed(stanza: &Element, matter: &Matter<'_>) -> Vec<Element> {
    let only_json = stanza.children().filter(|child| is_json(child)).count() == 1;
    let subject = stanza.attr("type") == Some("groupchat") && matches!(matter, Matter::Subject(_));
    stanza
        .children()
        .filter(|child| match child.name() {
            // Some clients know what refers to a message by its namespace alone.
            _ if REFERRING.contains(&child.ns()) => matter.refers_by(child),
            "nick" | "delay" | "display-name" | "x" | "error" | "settings-error" => false,
            "subject" => subject && child.ns() == ns::CLIENT,
            "body" => child.ns() == ns::CLIENT,
            // Without a `<moderated>` that was acted upon, nothing a client may say.
            "apply-to" | "moderated" => false,
            // What was not looked at when deciding who may say it.
            "retract" | "replace" | "reactions" => matter.refers_by(child),
            "json-message" => only_json && is_for_clients(child),
            _ => true,
        })
        .cloned()
        .collect()
}

/// What of a message in a lobby others get: words, and what programs tell each other.
pub(crate) fn relayed_in_lobby(stanza: &Element) -> Vec<Element> {
    relayed(stanza, &Matter::Other)
}

/// Clients go by the name alone.
fn is_json(child: &Element) -> bool {
    child.name() == "json-message"
}

/// Whether a JSON message is an object of a type that clients may send. Clients read all the text in
/// it, that of elements too, so there are to be none.
fn is_for_clients(message: &Element) -> bool {
    if message.children().next().is_some() {
        return false;
    }
    let Ok(Value::Object(object)) = serde_json::from_str(&as_clients_read(&message.text())) else {
        return false;
    };
    let kind = object.get("type").and_then(Value::as_str);
    kind.is_some_and(|kind| !NOT_FOR_CLIENTS.contains(&kind))
}

/// The text of a JSON message as clients read it: they undo these first.
pub(crate) fn as_clients_read(text: &str) -> String {
    text.replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&#39;", "'")
        .replace("&amp;", "&")
}

pub(crate) fn message(from: String, id: &str, children: &[Element]) -> Element {
    let mut message = Element::new("message", ns::CLIENT)
        .with_attr("type", "groupchat")
        .with_attr("from", from)
        .with_attr("id", id);
    for child in children {
        message.push(child.clone());
    }
    message
}
