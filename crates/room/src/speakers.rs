//! Speaker statistics (protocol 4 §21.1): how long each has been the one heard, and which
//! expressions its client saw, told to newcomers. It is the clients that report; the bridge says
//! nothing of it to rooms.

use crate::event::RoomEvent;
use crate::meeting::{Component, Meeting, Place};
use crate::room::Sender;
use althing_model::{EndpointId, Entropy, Now};
use althing_xmpp::{Element, ns};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, VecDeque};

/// How many speakers of one room are kept, those who left included.
const MAX_SPEAKERS: usize = 1_000;
/// How many expressions of one room are kept; the oldest go first.
const MAX_EXPRESSIONS: usize = 1_000;
/// The longest name of an expression, in bytes; the longest of those known is `surprised`.
const MAX_EXPRESSION: usize = 16;
/// The longest name of a speaker that is kept, in characters.
const MAX_NAME: usize = 100;

/// The statistics of a meeting's rooms, by their addresses.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Speakers {
    rooms: BTreeMap<String, Talk>,
}

/// What was said in one room, and by whom.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Talk {
    /// Who is heard, and since when in milliseconds since the meeting was made.
    dominant: Option<(EndpointId, u64)>,
    speakers: BTreeMap<EndpointId, Speaker>,
    expressions: VecDeque<Expression>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Speaker {
    name: Option<String>,
    millis: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Expression {
    whose: EndpointId,
    face: String,
    /// As the client wrote it, in milliseconds.
    timestamp: u64,
    /// In seconds.
    duration: u64,
}

impl Speakers {
    pub(crate) fn forget(&mut self, room: &str) {
        self.rooms.remove(room);
    }
}

impl Talk {
    /// Whether this speaker has a place in the list, made by giving up one who hardly spoke.
    fn has_place(&mut self, id: &EndpointId) -> bool {
        if self.speakers.contains_key(id) || self.speakers.len() < MAX_SPEAKERS {
            return true;
        }
        let least = self.speakers.iter().min_by_key(|(_, s)| s.millis);
        let Some(least) = least.map(|(id, _)| id.clone()) else {
            return false;
        };
        self.speakers.remove(&least);
        self.expressions.retain(|e| e.whose != least);
        true
    }

    fn speaks(&mut self, at: u64, id: &EndpointId, name: Option<String>) {
        self.stop(at);
        if self.has_place(id) {
            self.speakers.entry(id.clone()).or_default().name = name;
            self.dominant = Some((id.clone(), at));
        }
    }

    fn stop(&mut self, at: u64) {
        if let Some((id, since)) = self.dominant.take()
            && let Some(speaker) = self.speakers.get_mut(&id)
        {
            speaker.millis += at.saturating_sub(since);
        }
    }

    fn is_dominant(&self, id: &EndpointId) -> bool {
        self.dominant
            .as_ref()
            .is_some_and(|(dominant, _)| dominant == id)
    }

    fn looks(&mut self, expression: Expression, name: Option<String>) {
        if !self.has_place(&expression.whose) {
            return;
        }
        let speaker = self.speakers.entry(expression.whose.clone()).or_default();
        speaker.name = name;
        self.expressions.push_back(expression);
        if self.expressions.len() > MAX_EXPRESSIONS {
            self.expressions.pop_front();
        }
    }

    fn users(&self, at: u64) -> Map<String, Value> {
        let mut faces: BTreeMap<&EndpointId, Vec<Value>> = BTreeMap::new();
        for e in &self.expressions {
            faces.entry(&e.whose).or_default().push(json!({
                "faceExpression": e.face,
                "timestamp": e.timestamp,
                "duration": e.duration,
            }));
        }
        let user = |(id, speaker): (&EndpointId, &Speaker)| {
            let speaking = self
                .dominant
                .as_ref()
                .filter(|(dominant, _)| dominant == id);
            let now = speaking.map_or(0, |(_, since)| at.saturating_sub(*since));
            let mut user = Map::new();
            if let Some(name) = &speaker.name {
                user.insert("displayName".into(), name.as_str().into());
            }
            user.insert(
                "totalDominantSpeakerTime".into(),
                (speaker.millis + now).into(),
            );
            let faces = faces.remove(id).unwrap_or_default();
            user.insert("faceLandmarks".into(), faces.into());
            (id.to_string(), user.into())
        };
        self.speakers.iter().map(user).collect()
    }
}

impl Meeting {
    /// A report to `speakerstats.<domain>`: everybody speaks for itself.
    pub(crate) fn speaker_message(&mut self, now: Now, sender: &Sender, stanza: &Element) {
        let Some((place, id)) = self.whereabouts(&sender.session) else {
            return;
        };
        let at = self.at(now);
        let name = self
            .name_of(&place, &sender.session)
            .map(|name| name.chars().take(MAX_NAME).collect());
        let Some(talk) = self.talk(&place) else {
            return;
        };
        if let Some(report) = stanza.child("speakerstats", ns::JITMEET) {
            if report.attr("silence") != Some("true") {
                talk.speaks(at, &id, name);
            } else if talk.is_dominant(&id) {
                talk.stop(at);
            }
        } else if let Some(report) = stanza.child("faceLandmarks", ns::JITMEET) {
            let number = |name| report.attr(name).and_then(|text| text.parse().ok());
            let face = report.attr("faceExpression").unwrap_or_default();
            let known = !face.is_empty()
                && face.len() <= MAX_EXPRESSION
                && face.bytes().all(|b| b.is_ascii_lowercase());
            if known {
                let expression = Expression {
                    whose: id,
                    face: face.to_owned(),
                    timestamp: number("timestamp").unwrap_or(now.unix_millis),
                    duration: number("duration").unwrap_or(0),
                };
                talk.looks(expression, name);
            }
        }
    }

    fn talk(&mut self, place: &Place) -> Option<&mut Talk> {
        let address = self.room(place)?.address().to_string();
        Some(self.speakers.rooms.entry(address).or_default())
    }

    /// What follows here from what happened in a room.
    pub(crate) fn speaker_event(
        &mut self,
        now: Now,
        place: &Place,
        event: &RoomEvent,
        _entropy: &mut dyn Entropy,
    ) {
        let at = self.at(now);
        let Some(address) = self.room(place).map(|room| room.address().to_string()) else {
            return;
        };
        let Some(talk) = self.speakers.rooms.get_mut(&address) else {
            return;
        };
        match event {
            RoomEvent::OccupantJoined(info) if !talk.speakers.is_empty() => {
                let json = json!({ "type": "speakerstats", "users": talk.users(at) });
                let from = Component::SpeakerStats.address(&self.settings.domain);
                self.tell(vec![info.session.clone()], &from, &json);
            }
            RoomEvent::OccupantLeft { id, .. } if talk.is_dominant(id) => talk.stop(at),
            _ => {}
        }
    }
}
