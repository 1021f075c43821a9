//! Messages: to everybody, to one, and what newcomers are told of them.

use crate::address::FOCUS;
use crate::common::Turn;
use crate::room::{Room, Sender};
use althing_model::{EndpointId, SessionId};
use althing_xmpp::stanza::{Condition, ErrorType, error_reply};
use althing_xmpp::{Element, Jid, ns};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::sync::Arc;

/// The last messages with a body, bounded by number and bytes.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct History {
    messages: VecDeque<Remembered>,
    bytes: usize,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Remembered {
    nick: EndpointId,
    /// Who may retract it.
    author: Jid,
    id: String,
    millis: u64,
    display_name: Option<String>,
    children: Vec<Element>,
    bytes: usize,
}

impl History {
    fn push(&mut self, message: Remembered, max_messages: usize, max_bytes: usize) {
        self.bytes += message.bytes;
        self.messages.push_back(message);
        while self.messages.len() > max_messages || self.bytes > max_bytes {
            let Some(oldest) = self.messages.pop_front() else {
                break;
            };
            self.bytes -= oldest.bytes;
        }
    }

    fn retract(&mut self, id: &str, author: &Jid) {
        let mut freed = 0;
        self.messages.retain(|m| {
            let hit = m.id == id && m.author == *author;
            freed += if hit { m.bytes } else { 0 };
            !hit
        });
        self.bytes -= freed;
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
        match (to.resource(), kind) {
            (None, "groupchat") => self.group_chat(turn, &author, sender, stanza),
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
            (Some(FOCUS), _) => {}
            (Some(nick), _) => self.private_message(&author, sender, nick, stanza),
        }
    }

    fn refuse_message(
        &mut self,
        sender: &Sender,
        stanza: &Element,
        (condition, kind, text): (Condition, ErrorType, &str),
    ) {
        let reply = error_reply(stanza, condition, kind, Some(text), None);
        self.send(&sender.session, &reply);
    }

    fn group_chat(
        &mut self,
        turn: &mut Turn<'_>,
        author: &EndpointId,
        sender: &Sender,
        stanza: &Element,
    ) {
        let Some(occupant) = self.occupants.get(author) else {
            return;
        };
        let has_body = stanza.child("body", ns::CLIENT).is_some();
        let subject = stanza
            .child("subject", ns::CLIENT)
            .filter(|_| !has_body)
            .map(Element::text);
        if occupant.is_visitor() {
            let refusal = (
                Condition::Forbidden,
                ErrorType::Auth,
                "visitors may not write",
            );
            return self.refuse_message(sender, stanza, refusal);
        }
        if subject.is_some() && !occupant.is_moderator() {
            let refusal = (
                Condition::Forbidden,
                ErrorType::Auth,
                "only moderators may change the subject",
            );
            return self.refuse_message(sender, stanza, refusal);
        }
        let display_name = occupant.display_name();
        // Each receiver would invent an id of its own, and reactions to it would find nothing.
        let id = match stanza.attr("id") {
            Some(id) => id.to_owned(),
            None => turn.entropy.token(16),
        };
        let children: Vec<Element> = stanza
            .children()
            .filter(|child| {
                let servers_own = child.is("nick", ns::NICK)
                    || child.ns() == ns::DELAY
                    || child.name() == "display-name";
                !servers_own
            })
            .cloned()
            .collect();
        let names = self.settings.names.clone();
        self.broadcast(None, |_, form| {
            let from = names.occupant_of(form, author);
            Arc::from(message(from, &id, &children).to_xml())
        });
        if let Some(subject) = subject {
            self.subject = Some(subject);
            return;
        }
        if let Some(retracted) = children
            .iter()
            .find(|c| c.is("retract", ns::RETRACT))
            .and_then(|c| c.attr("id"))
        {
            self.history.retract(retracted, &sender.jid.bare());
            return;
        }
        let storable = has_body
            && !children
                .iter()
                .any(|c| c.name() == "json-message" || c.is("no-store", ns::HINTS));
        if storable {
            let bytes = children.iter().map(|c| c.to_xml().len()).sum();
            let remembered = Remembered {
                nick: author.clone(),
                author: sender.jid.bare(),
                id,
                millis: turn.now.unix_millis,
                display_name,
                children,
                bytes,
            };
            let Self {
                history, settings, ..
            } = self;
            history.push(
                remembered,
                settings.history_messages,
                settings.history_bytes,
            );
        }
    }

    fn private_message(
        &mut self,
        author: &EndpointId,
        sender: &Sender,
        nick: &str,
        stanza: &Element,
    ) {
        let Some(recipient) = self.occupants.get(nick) else {
            let refusal = (
                Condition::ItemNotFound,
                ErrorType::Cancel,
                "no such occupant",
            );
            return self.refuse_message(sender, stanza, refusal);
        };
        let mut message = stanza.clone();
        message.set_attr(
            "from",
            self.settings.names.occupant_of(recipient.form, author),
        );
        message.set_attr("to", recipient.jid.to_string());
        message.retain(|child| {
            let servers_own = child.is("x", ns::MUC_USER) || child.ns() == ns::DELAY;
            !servers_own
        });
        message.push(Element::new("x", ns::MUC_USER));
        let session = recipient.session.clone();
        self.send(&session, &message);
    }

    pub(crate) fn tell_history(&mut self, session: &SessionId, form: usize) {
        let texts: Vec<String> = self
            .history
            .messages
            .iter()
            .map(|m| {
                let names = &self.settings.names;
                let mut stanza = message(names.occupant_of(form, &m.nick), &m.id, &m.children);
                if let Some(name) = &m.display_name {
                    stanza.push(
                        Element::new("display-name", ns::DISPLAY_NAME)
                            .with_attr("source", "guest")
                            .with_text(name.clone()),
                    );
                }
                stanza.push(
                    Element::new("delay", ns::DELAY)
                        .with_attr("from", names.bare(form).to_string())
                        .with_attr("stamp", rfc3339(m.millis)),
                );
                stanza.to_xml()
            })
            .collect();
        for text in texts {
            self.send_text(vec![session.clone()], text.into());
        }
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

fn message(from: String, id: &str, children: &[Element]) -> Element {
    let mut message = Element::new("message", ns::CLIENT)
        .with_attr("type", "groupchat")
        .with_attr("from", from)
        .with_attr("id", id);
    for child in children {
        message.push(child.clone());
    }
    message
}

/// `2026-01-01T10:00:00Z` (XEP-0082), proleptic Gregorian.
fn rfc3339(millis: u64) -> String {
    let seconds = millis / 1000;
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Days since 0000-03-01, so that the leap day is the last of its year.
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (rest / 3600, rest % 3600 / 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::rfc3339;

    #[test]
    fn stamps_are_calendar_dates() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400_000, "2000-02-29T00:00:00Z"),
            (951_868_799_999, "2000-02-29T23:59:59Z"),
            (1_767_225_600_000, "2026-01-01T00:00:00Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(rfc3339(millis), text);
        }
    }
}
