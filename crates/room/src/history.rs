//! What was said, for those who come later: bounded, and as it is after edits and removals.

use crate::common::Person;
use crate::message::message;
use crate::room::Room;
use althing_model::{EndpointId, SessionId};
use althing_xmpp::{Element, ns};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Of how many messages the author is known, and so may change or remove them; more than newcomers
/// are told.
const MAX_AUTHORS: usize = 1_000;

/// How many people's reactions to one message are kept.
const MAX_REACTIONS: usize = 64;

/// The last messages with a body, bounded by number and bytes.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct History {
    messages: VecDeque<Remembered>,
    bytes: usize,
    /// Who wrote which message, oldest first.
    authors: VecDeque<(String, Person)>,
}

/// Something said.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Said {
    pub(crate) nick: EndpointId,
    pub(crate) author: Person,
    pub(crate) id: String,
    pub(crate) millis: u64,
    pub(crate) display_name: Option<String>,
    /// Where the display name is from: `token`, `guest` or `visitor`.
    pub(crate) source: NameSource,
    pub(crate) children: Vec<Element>,
}

/// Where a display name is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum NameSource {
    Token,
    Guest,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Remembered {
    said: Said,
    /// The id of its last edit: some clients refer to that one.
    edit: Option<String>,
    /// The last reactions of each who reacted.
    reactions: Vec<Said>,
}

impl Said {
    fn bytes(&self) -> usize {
        let children: usize = self.children.iter().map(|c| c.to_xml().len()).sum();
        children + self.id.len() + self.display_name.as_ref().map_or(0, String::len)
    }

    fn stanza(&self, room: &Room, form: usize) -> Element {
        let names = &room.settings.names;
        let from = names.occupant_of(form, &self.nick);
        let mut stanza = message(from, &self.id, &self.children);
        if let Some(name) = &self.display_name {
            let source = match self.source {
                NameSource::Token => "token",
                NameSource::Guest => "guest",
            };
            stanza.push(
                Element::new("display-name", ns::DISPLAY_NAME)
                    .with_attr("source", source)
                    .with_text(name.as_str()),
            );
        }
        stanza.push(
            Element::new("delay", ns::DELAY)
                .with_attr("from", names.bare(form).to_string())
                .with_attr("stamp", rfc3339(self.millis)),
        );
        stanza
    }
}

impl Remembered {
    fn is(&self, id: &str) -> bool {
        self.said.id == id || self.edit.as_deref() == Some(id)
    }

    fn bytes(&self) -> usize {
        self.said.bytes() + self.reactions.iter().map(Said::bytes).sum::<usize>()
    }
}

impl History {
    /// Who wrote the message of this id: whoever used it first.
    pub(crate) fn author_of(&self, id: &str) -> Option<&Person> {
        let written = self.authors.iter().find(|(other, _)| other == id);
        written.map(|(_, author)| author)
    }

    /// Takes note that somebody uses this id.
    pub(crate) fn sign(&mut self, id: &str, author: &Person) {
        if self.author_of(id).is_some() {
            return;
        }
        self.authors.push_back((id.to_owned(), author.clone()));
        if self.authors.len() > MAX_AUTHORS {
            self.authors.pop_front();
        }
    }

    pub(crate) fn push(&mut self, said: Said, max_messages: usize, max_bytes: usize) {
        let remembered = Remembered {
            said,
            edit: None,
            reactions: Vec::new(),
        };
        self.bytes += remembered.bytes();
        self.messages.push_back(remembered);
        self.trim(max_messages, max_bytes);
    }

    fn trim(&mut self, max_messages: usize, max_bytes: usize) {
        while self.messages.len() > max_messages || self.bytes > max_bytes {
            let Some(oldest) = self.messages.pop_front() else {
                break;
            };
            self.bytes -= oldest.bytes();
        }
    }

    /// Removes a message; of `author` alone, if one is named.
    pub(crate) fn remove(&mut self, id: &str, author: Option<&Person>) {
        let mut freed = 0;
        self.messages.retain(|m| {
            let hit = m.is(id) && author.is_none_or(|author| m.said.author == *author);
            freed += if hit { m.bytes() } else { 0 };
            !hit
        });
        self.bytes -= freed;
    }

    /// Puts other words in the place of a message; it keeps its place, time and id.
    pub(crate) fn replace(&mut self, id: &str, edit: &Said, max_messages: usize, max_bytes: usize) {
        let found = self
            .messages
            .iter_mut()
            .find(|m| m.is(id) && m.said.author == edit.author);
        if let Some(remembered) = found {
            self.bytes -= remembered.bytes();
            let words = edit
                .children
                .iter()
                .filter(|c| !c.is("replace", ns::CORRECT));
            remembered.said.children = words.cloned().collect();
            remembered.edit = Some(edit.id.clone());
            self.bytes += remembered.bytes();
            self.trim(max_messages, max_bytes);
        }
    }

    /// Keeps what somebody makes of a message, in place of what it made of it before.
    pub(crate) fn react(&mut self, id: &str, said: Said, max_messages: usize, max_bytes: usize) {
        let Some(remembered) = self.messages.iter_mut().find(|m| m.is(id)) else {
            return;
        };
        self.bytes -= remembered.bytes();
        let reactions = &mut remembered.reactions;
        reactions.retain(|other| other.author != said.author);
        let withdrawn = said
            .children
            .iter()
            .filter(|c| c.is("reactions", ns::REACTIONS))
            .all(|c| c.children().next().is_none());
        if !withdrawn && reactions.len() < MAX_REACTIONS {
            reactions.push(said);
        }
        self.bytes += remembered.bytes();
        self.trim(max_messages, max_bytes);
    }
}

impl Room {
    pub(crate) fn tell_history(&mut self, session: &SessionId, form: usize) {
        let texts: Vec<String> = self
            .history
            .messages
            .iter()
            .flat_map(|m| std::iter::once(&m.said).chain(&m.reactions))
            .map(|said| said.stanza(self, form).to_xml())
            .collect();
        for text in texts {
            self.send_text(vec![session.clone()], text.into());
        }
    }
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
