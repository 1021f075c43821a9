//! The meeting's metadata (protocol 4 §18): a small JSON document that every client keeps a copy
//! of. It is sent whole: to a newcomer before its own presence, to everybody at every change.

use crate::event::{Actor, Deed};
use crate::meeting::{Action, Component, Meeting};
use crate::occupant::Occupant;
use crate::room::{Room, Sender};
use althing_model::{Entropy, Now, SessionId};
use althing_xmpp::{Element, ns};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::sync::Arc;

/// How long the document may grow, in bytes of JSON.
const MAX_BYTES: usize = 32 * 1024;
/// How many entries it may have.
const MAX_ENTRIES: usize = 64;

/// How much of an entry's name is told when a moderator writes it.
const MAX_KEY_TOLD: usize = 100;

/// What only the server writes.
const SERVER_KEYS: [&str; 14] = [
    "allownersEnabled",
    "asyncTranscription",
    "audioTranslationRequests",
    "conferencePresetsServiceEnabled",
    "dialinEnabled",
    "lobbyEnabled",
    crate::common::MEDIA,
    "moderators",
    "participants",
    "participantsSoftLimit",
    "services",
    "transcriberType",
    "transcription",
    "visitorsEnabled",
];

/// What the entry on recording says, and the feature that is needed to say otherwise.
const FEATURES_OF_RECORDING: [(&str, &str); 2] = [
    ("isRecordingRequested", "recording"),
    ("isTranscribingEnabled", "transcription"),
];

/// Which media newcomers leave off until they switch them on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct StartMuted {
    /// The microphone.
    #[serde(default)]
    pub audio: bool,
    /// The camera.
    #[serde(default)]
    pub video: bool,
}

/// The document.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Metadata {
    entries: Map<String, Value>,
    /// Written out, by the room address it names.
    #[serde(skip)]
    written: BTreeMap<String, Arc<str>>,
}

impl Metadata {
    /// Whether an entry that is an object says `true` under this name.
    pub(crate) fn flag(&self, key: &str, name: &str) -> bool {
        self.entries
            .get(key)
            .and_then(|entry| entry.get(name))
            .is_some_and(|value| value == &Value::Bool(true))
    }

    /// What newcomers leave off.
    pub(crate) fn start_muted(&self) -> StartMuted {
        StartMuted {
            audio: self.flag("startMuted", "audio"),
            video: self.flag("startMuted", "video"),
        }
    }

    /// Writes an entry, `Null` takes it out; whether that changed anything. The caller tells
    /// everybody by [`Meeting::push_metadata`].
    pub(crate) fn set(&mut self, key: &str, value: Value) -> bool {
        if self.entries.get(key).unwrap_or(&Value::Null) == &value {
            return false;
        }
        if value.is_null() {
            self.entries.remove(key);
        } else {
            self.entries.insert(key.to_owned(), value);
        }
        self.written.clear();
        true
    }

    /// Writes an entry that a moderator could have written.
    pub(crate) fn preset(&mut self, key: &str, value: &Value) {
        if !SERVER_KEYS.contains(&key) && self.has_room_for(key, value) {
            self.set(key, value.clone());
        }
    }

    pub(crate) fn set_start_muted(&mut self, muted: StartMuted) -> bool {
        let value = if muted == StartMuted::default() && !self.entries.contains_key("startMuted") {
            Value::Null
        } else {
            serde_json::json!({ "audio": muted.audio, "video": muted.video })
        };
        self.set("startMuted", value)
    }

    /// Whether a moderator has the features for what it would change (protocol 4 §§3.3, 18).
    fn lets(&self, moderator: &Occupant, write: &Write) -> bool {
        let before = self.entries.get(&write.key).unwrap_or(&Value::Null);
        let changes = |flag: &str| before.get(flag) != write.data.get(flag);
        write.key != "recording"
            || FEATURES_OF_RECORDING
                .iter()
                .all(|(flag, feature)| !changes(flag) || moderator.is_allowed(feature))
    }

    /// Whether there is room for an entry of this length beside the others.
    fn has_room_for(&self, key: &str, value: &Value) -> bool {
        let others: usize = self
            .entries
            .iter()
            .filter(|(other, _)| *other != key)
            .map(|(other, value)| other.len() + value.to_string().len())
            .sum();
        let count = self.entries.len() + usize::from(!self.entries.contains_key(key));
        count <= MAX_ENTRIES && others + key.len() + value.to_string().len() <= MAX_BYTES
    }

    /// Nobody is in the room of this address any more.
    pub(crate) fn forget(&mut self, room: &str) {
        self.written.remove(room);
    }

    /// How many addresses it is written out for.
    #[cfg(test)]
    pub(crate) fn written(&self) -> usize {
        self.written.len()
    }

    /// The message that carries the document, for those who know the room by this address; none
    /// while there is nothing in it.
    pub(crate) fn message(&mut self, domain: &str, room: &str) -> Option<Arc<str>> {
        if self.entries.is_empty() {
            return None;
        }
        let Self { entries, written } = self;
        let text = written.entry(room.to_owned()).or_insert_with(|| {
            let json = serde_json::json!({ "type": "room_metadata", "metadata": entries });
            let from = Component::Metadata.address(domain);
            crate::component::message(&from, &json, Some(room))
                .to_xml()
                .into()
        });
        Some(Arc::clone(text))
    }
}

/// `{"key":…,"data":…}` of a client.
#[derive(Deserialize)]
struct Write {
    key: String,
    #[serde(default)]
    data: Value,
}

impl Meeting {
    /// A write to `metadata.<domain>`; silence to those who may not.
    pub(crate) fn metadata_message(
        &mut self,
        now: Now,
        sender: &Sender,
        stanza: &Element,
        entropy: &mut dyn Entropy,
    ) {
        let Some(write) = stanza
            .child("room_metadata", ns::JITMEET)
            .and_then(|payload| serde_json::from_str::<Write>(&payload.text()).ok())
        else {
            return;
        };
        let Some((place, id)) = self.whereabouts(&sender.session) else {
            return;
        };
        let occupant = self.room(&place).and_then(|room| room.occupants.get(&id));
        let before = &self.common.metadata;
        let permitted = occupant.is_some_and(|o| o.is_moderator() && before.lets(o, &write))
            && !SERVER_KEYS.contains(&write.key.as_str());
        if !permitted {
            return self.deny(Action::Metadata);
        }
        if !self.common.metadata.has_room_for(&write.key, &write.data) {
            return;
        }
        if self.common.metadata.set(&write.key, write.data) {
            let key = write.key.chars().take(MAX_KEY_TOLD).collect();
            self.done(place, Actor::Occupant(id), Deed::MetadataChanged { key });
            self.push_metadata(now, entropy);
        }
    }

    /// Tells everybody the document as it is now.
    pub(crate) fn push_metadata(&mut self, now: Now, entropy: &mut dyn Entropy) {
        for place in self.places() {
            self.in_room(&place, now, entropy, |room, turn| {
                let domain = room.settings.domain.clone();
                room.broadcast(None, |room, form| {
                    let address = room.settings.names.bare(form).to_string();
                    let message = turn.common.metadata.message(&domain, &address);
                    // The last entry may just have been taken out.
                    message.unwrap_or_else(|| empty(&domain, &address))
                });
            });
        }
    }
}

fn empty(domain: &str, room: &str) -> Arc<str> {
    let json = serde_json::json!({ "type": "room_metadata", "metadata": {} });
    crate::component::message(&Component::Metadata.address(domain), &json, Some(room))
        .to_xml()
        .into()
}

impl Room {
    /// What a newcomer is told first of all.
    pub(crate) fn tell_metadata(
        &mut self,
        metadata: &mut Metadata,
        session: &SessionId,
        form: usize,
    ) {
        let address = self.settings.names.bare(form).to_string();
        if let Some(text) = metadata.message(&self.settings.domain, &address) {
            self.send_text(vec![session.clone()], text);
        }
    }
}
