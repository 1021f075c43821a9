//! Polls (protocol 4 §13): one store per room, spoken to in either dialect. Clients of 2026 write to
//! the component; those of 2025 write JSON to everybody in the room.

use crate::event::RoomEvent;
use crate::meeting::{Action, Component, Meeting, Place};
use crate::message::as_clients_read;
use crate::occupant::Occupant;
use crate::room::{Room, Sender};
use althing_model::{EndpointId, Entropy, Now, SessionId};
use althing_xmpp::stanza::{Condition, ErrorType, error_reply};
use althing_xmpp::{Element, ns};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;

/// How many polls one room keeps.
const MAX_POLLS: usize = 128;
/// How long the JSON of a command may be, in bytes.
const MAX_BYTES: usize = 1024;
/// How many people's votes one poll keeps.
const MAX_VOTES: usize = 2_000;
/// How long all that a newcomer is told of a room's polls may be, in bytes of JSON or nearly so: a
/// name stands beside every answer that somebody chose, so one vote may be as long as a poll.
const MAX_TOLD: usize = 512 * 1024;
/// What a poll, an answer or a voter takes beside the words in it.
const FRAME: usize = 64;

/// The polls of one room.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Polls {
    polls: Vec<Poll>,
    /// Who has shown that it speaks the dialect of 2025.
    old_dialect: BTreeSet<EndpointId>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Poll {
    id: String,
    creator: EndpointId,
    creator_name: String,
    question: String,
    answers: Vec<String>,
    votes: Vec<Vote>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Vote {
    id: EndpointId,
    name: String,
    answers: Vec<bool>,
}

/// What a client asks for, in either dialect; what it says of itself is not believed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command {
    New {
        id: String,
        question: String,
        answers: Vec<String>,
    },
    Answer {
        id: String,
        answers: Vec<bool>,
    },
    /// Nothing that could be done.
    Senseless,
}

/// The names of commands in both dialects, and of what the server tells newcomers in the older one.
const NEW: &str = "new-poll";
const ANSWER: &str = "answer-poll";
const OLD: &str = "old-polls";

impl Command {
    /// Reads `{"command":…}` of the component's dialect, or `{"type":…}` of the older one.
    fn read(text: &str) -> Option<Self> {
        if text.len() > MAX_BYTES {
            return None;
        }
        let json: Value = serde_json::from_str(text).ok()?;
        let name = json.get("command").or_else(|| json.get("type"))?.as_str()?;
        Self::of(name, &json)
    }

    /// What a client of 2025 writes to everybody: `None` if it is about no poll, [`Command::Senseless`]
    /// if clients would take it for a command that it is not.
    pub(crate) fn in_chat(text: &str) -> Option<Self> {
        let read = as_clients_read(text);
        let json: Value = serde_json::from_str(&read).ok()?;
        let name = json.get("type")?.as_str()?;
        if name != NEW && name != ANSWER {
            return (name == OLD).then_some(Self::Senseless);
        }
        let command = Self::of(name, &json).filter(|_| read.len() <= MAX_BYTES);
        Some(command.unwrap_or(Self::Senseless))
    }

    fn of(name: &str, json: &Value) -> Option<Self> {
        let text_of = |key: &str| json.get(key).and_then(Value::as_str).map(str::to_owned);
        let id = text_of("pollId").filter(|id| !id.is_empty())?;
        let answers = json.get("answers")?.as_array()?;
        match name {
            NEW => {
                let answers: Option<Vec<String>> = answers
                    .iter()
                    .map(|a| a.as_str().or_else(|| a.get("name")?.as_str()))
                    .map(|a| a.map(str::to_owned))
                    .collect();
                Some(Self::New {
                    id,
                    question: text_of("question")?,
                    answers: answers.filter(|a| !a.is_empty())?,
                })
            }
            ANSWER => {
                let answers: Option<Vec<bool>> = answers.iter().map(Value::as_bool).collect();
                Some(Self::Answer {
                    id,
                    answers: answers?,
                })
            }
            _ => None,
        }
    }
}

/// What has changed, for those who are told of it.
pub(crate) enum Change {
    New(Poll),
    Answer { poll: String, vote: Vote },
}

impl Change {
    fn for_component(&self) -> Value {
        match self {
            Self::New(poll) => json!({
                "type": "polls", "command": "new-poll", "pollId": poll.id,
                "senderId": poll.creator, "senderName": poll.creator_name, "question": poll.question,
                "answers": poll.answers.iter().map(|a| json!({ "name": a })).collect::<Vec<_>>(),
            }),
            Self::Answer { poll, vote } => json!({
                "type": "polls", "command": "answer-poll", "pollId": poll,
                "senderId": vote.id, "senderName": vote.name, "answers": vote.answers,
            }),
        }
    }

    fn in_old_dialect(&self) -> Value {
        match self {
            Self::New(poll) => json!({
                "type": "new-poll", "pollId": poll.id, "senderId": poll.creator,
                "senderName": poll.creator_name, "question": poll.question,
                "answers": poll.answers,
            }),
            Self::Answer { poll, vote } => json!({
                "type": "answer-poll", "pollId": poll, "voterId": vote.id,
                "voterName": vote.name, "answers": vote.answers,
            }),
        }
    }

    /// For clients of the older dialect.
    pub(crate) fn element(&self) -> Element {
        crate::component::payload(&self.in_old_dialect(), None)
    }

    const fn author(&self) -> &EndpointId {
        match self {
            Self::New(poll) => &poll.creator,
            Self::Answer { vote, .. } => &vote.id,
        }
    }
}

impl Poll {
    fn bytes(&self) -> usize {
        let answers: usize = self.answers.iter().map(|a| FRAME + a.len()).sum();
        let votes: usize = self.votes.iter().map(Vote::bytes).sum();
        FRAME + self.id.len() + self.creator_name.len() + self.question.len() + answers + votes
    }
}

impl Vote {
    fn bytes(&self) -> usize {
        let chosen = self.answers.iter().filter(|chosen| **chosen).count();
        FRAME + self.answers.len() + chosen * (FRAME + self.name.len())
    }
}

impl Polls {
    fn take(&mut self, by: &Occupant, command: Command) -> Result<Change, &'static str> {
        let name = by.display_name().unwrap_or_default();
        match command {
            Command::New {
                id,
                question,
                answers,
            } => {
                if self.polls.iter().any(|p| p.id == id) {
                    return Err("there is a poll of this id");
                }
                if self.polls.len() >= MAX_POLLS {
                    return Err("this room has as many polls as it may");
                }
                let poll = Poll {
                    id,
                    creator: by.id.clone(),
                    creator_name: name,
                    question,
                    answers,
                    votes: Vec::new(),
                };
                if self.bytes() + poll.bytes() > MAX_TOLD {
                    return Err("this room has as many polls as it may");
                }
                self.polls.push(poll.clone());
                Ok(Change::New(poll))
            }
            Command::Answer { id, answers } => {
                let so_far = self.bytes();
                let poll = self.polls.iter_mut().find(|p| p.id == id);
                let poll = poll.ok_or("no such poll")?;
                if poll.answers.len() != answers.len() {
                    return Err("a vote says yes or no to each answer");
                }
                let vote = Vote {
                    id: by.id.clone(),
                    name,
                    answers,
                };
                // Who votes again has thought better of it.
                let before = poll.votes.iter().position(|v| v.id == by.id);
                let freed = before.map_or(0, |index| poll.votes[index].bytes());
                if so_far - freed + vote.bytes() > MAX_TOLD {
                    return Err("this room has as many votes as it may");
                }
                match before {
                    Some(index) => poll.votes[index] = vote.clone(),
                    None if poll.votes.len() >= MAX_VOTES => {
                        return Err("this poll has as many votes as it may");
                    }
                    None => poll.votes.push(vote.clone()),
                }
                Ok(Change::Answer { poll: id, vote })
            }
            Command::Senseless => Err("not a command for polls"),
        }
    }

    /// How long [`Polls::so_far`] is, or a little less.
    fn bytes(&self) -> usize {
        self.polls.iter().map(Poll::bytes).sum()
    }

    /// Everything so far, for a newcomer.
    fn so_far(&self) -> Value {
        let polls: Vec<Value> = self
            .polls
            .iter()
            .map(|poll| {
                let answers: Vec<Value> = poll
                    .answers
                    .iter()
                    .enumerate()
                    .map(|(index, name)| {
                        let voters: Vec<Value> = poll
                            .votes
                            .iter()
                            .filter(|v| v.answers.get(index) == Some(&true))
                            .map(|v| json!({ "id": v.id, "name": v.name }))
                            .collect();
                        json!({ "name": name, "voters": voters })
                    })
                    .collect();
                json!({
                    "pollId": poll.id, "senderId": poll.creator, "senderName": poll.creator_name,
                    "question": poll.question, "answers": answers,
                })
            })
            .collect();
        json!({ "type": "polls", "command": "old-polls", "polls": polls })
    }
}

impl Meeting {
    /// A command to `polls.<domain>`.
    pub(crate) fn polls_message(
        &mut self,
        now: Now,
        sender: &Sender,
        stanza: &Element,
        entropy: &mut dyn Entropy,
    ) {
        let Some((place, id)) = self.whereabouts(&sender.session) else {
            return;
        };
        let Some(text) = stanza.child("json-message", ns::JITMEET).map(Element::text) else {
            return;
        };
        let restricted = self
            .common
            .metadata
            .flag("permissions", "pollCreationRestricted");
        self.in_room(&place, now, entropy, |room, _| {
            let outcome = match Command::read(&text) {
                None => Err("not a command for polls"),
                Some(command) => room.poll(&id, command, restricted),
            };
            match outcome {
                Ok(change) => {
                    room.polls.old_dialect.remove(&id);
                    room.tell_poll(&change, true);
                }
                Err(text) => {
                    let kind = ErrorType::Cancel;
                    let condition = Condition::NotAllowed;
                    let refusal = error_reply(stanza, condition, kind, Some(text), None);
                    room.send(&sender.session, &refusal);
                }
            }
        });
    }

    /// Newcomers learn of the polls there are.
    pub(crate) fn polls_event(
        &mut self,
        now: Now,
        place: &Place,
        event: &RoomEvent,
        entropy: &mut dyn Entropy,
    ) {
        self.in_room(place, now, entropy, |room, _| match event {
            RoomEvent::OccupantJoined(info) if !room.polls.polls.is_empty() => {
                let json = room.polls.so_far();
                let text = room.polls_text(&json);
                room.send_text(vec![info.session.clone()], text);
            }
            RoomEvent::OccupantLeft { id, .. } => {
                room.polls.old_dialect.remove(id);
            }
            _ => {}
        });
    }
}

impl Room {
    /// A poll command that a client of 2025 writes to everybody; they are to be told of it by
    /// [`Room::tell_poll`].
    pub(crate) fn poll_in_chat(
        &mut self,
        author: &EndpointId,
        command: Command,
        restricted: bool,
    ) -> Result<Change, &'static str> {
        let change = self.poll(author, command, restricted)?;
        self.polls.old_dialect.insert(author.clone());
        Ok(change)
    }

    fn poll(
        &mut self,
        by: &EndpointId,
        command: Command,
        restricted: bool,
    ) -> Result<Change, &'static str> {
        let occupant = self.occupants.get(by).ok_or("not in the room")?;
        // What cannot be read may have been meant to be one.
        let creates = !matches!(command, Command::Answer { .. });
        if occupant.is_visitor()
            || (creates && !occupant.is_allowed_unless(restricted, "create-polls"))
        {
            self.deny(Action::Poll);
            return Err("polls are made by moderators here");
        }
        self.polls.take(occupant, command)
    }

    /// Tells everybody of a change in its dialect; those of the older one only if they have not
    /// been told by its author.
    pub(crate) fn tell_poll(&mut self, change: &Change, old_dialect_too: bool) {
        let speaks = |room: &Self, old: bool| -> Vec<SessionId> {
            room.occupants
                .values()
                .filter(|o| room.polls.old_dialect.contains(&o.id) == old)
                .map(|o| o.session.clone())
                .collect()
        };
        let to = speaks(self, false);
        let text = self.polls_text(&change.for_component());
        self.send_text(to, text);
        if !old_dialect_too {
            return;
        }
        for form in 0..self.settings.names.count() {
            let to: Vec<SessionId> = self
                .occupants
                .values()
                .filter(|o| o.form == form && self.polls.old_dialect.contains(&o.id))
                .map(|o| o.session.clone())
                .collect();
            let from = self.settings.names.occupant_of(form, change.author());
            let mut message = crate::component::message(&from, &change.in_old_dialect(), None);
            message.set_attr("type", "groupchat");
            self.send_text(to, message.to_xml().into());
        }
    }

    fn polls_text(&self, json: &Value) -> Arc<str> {
        let from = Component::Polls.address(&self.settings.domain);
        crate::component::message(&from, json, None).to_xml().into()
    }
}

#[cfg(test)]
mod tests {
    use super::Command;

    #[test]
    fn commands_are_read_in_both_dialects() {
        let answers = vec!["Yes".to_owned(), "No".to_owned()];
        let poll = Some(Command::New {
            id: "p".into(),
            question: "Q".into(),
            answers,
        });
        let vote = Some(Command::Answer {
            id: "p".into(),
            answers: vec![true, false],
        });
        for (text, command) in [
            (
                r#"{"type":"polls","command":"new-poll","pollId":"p","question":"Q","answers":[{"name":"Yes"},{"name":"No"}]}"#,
                poll,
            ),
            (
                r#"{"type":"answer-poll","pollId":"p","voterId":"x","answers":[true,false]}"#,
                vote,
            ),
            (
                r#"{"type":"new-poll","pollId":"","question":"Q","answers":["Yes"]}"#,
                None,
            ),
            (
                r#"{"type":"new-poll","pollId":"p","question":"Q","answers":[]}"#,
                None,
            ),
            (
                r#"{"type":"new-poll","pollId":"p","question":"Q","answers":[1]}"#,
                None,
            ),
            (
                r#"{"type":"answer-poll","pollId":"p","answers":["yes"]}"#,
                None,
            ),
            (r#"{"type":"hello"}"#, None),
            ("[", None),
        ] {
            assert_eq!(Command::read(text), command, "{text}");
        }
        let long = format!(
            r#"{{"type":"new-poll","pollId":"p","question":"{}","answers":["a"]}}"#,
            "q".repeat(1024)
        );
        assert_eq!(Command::read(&long), None);
    }
}
