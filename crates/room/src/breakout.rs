//! Breakout rooms (protocol 4 §10).

use crate::address::RoomNames;
use crate::event::RoomEvent;
use crate::meeting::{Meeting, Place};
use crate::room::{Room, Sender, Settings};
use althing_model::{Entropy, Now};
use althing_xmpp::{Element, Jid};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How long a meeting with breakout rooms lasts when nobody is in any of its rooms, in
/// milliseconds.
pub(crate) const PATIENCE: u64 = 5_000;

/// The breakout rooms of a meeting.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Breakouts {
    rooms: BTreeMap<String, Breakout>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Breakout {
    subject: String,
    /// Made when the first one comes, gone with the last.
    room: Option<Box<Room>>,
}

impl Breakouts {
    pub(crate) fn has(&self, id: &str) -> bool {
        self.rooms.contains_key(id)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rooms.is_empty()
    }

    pub(crate) fn room(&self, id: &str) -> Option<&Room> {
        self.rooms.get(id)?.room.as_deref()
    }

    pub(crate) fn room_mut(&mut self, id: &str) -> Option<&mut Room> {
        self.rooms.get_mut(id)?.room.as_deref_mut()
    }

    /// Those that somebody is in, or expected in.
    pub(crate) fn awake(&self) -> impl Iterator<Item = String> {
        self.rooms
            .iter()
            .filter(|(_, breakout)| breakout.room.is_some())
            .map(|(id, _)| id.clone())
    }

    pub(crate) fn occupant_count(&self) -> usize {
        self.rooms
            .values()
            .filter_map(|breakout| breakout.room.as_deref())
            .map(Room::occupant_count)
            .sum()
    }

    /// Nobody is left in one; its name stays.
    pub(crate) fn sleep(&mut self, id: &str) {
        if let Some(breakout) = self.rooms.get_mut(id) {
            breakout.room = None;
        }
    }

    /// When something of theirs is due, in milliseconds since the meeting was made.
    pub(crate) fn next_timeout(&self) -> Option<u64> {
        None
    }
}

impl Meeting {
    /// Makes the room behind a breakout's name, if it is not there.
    pub(crate) fn wake_breakout(&mut self, now: Now, id: &str, entropy: &mut dyn Entropy) {
        let address = format!("{id}@breakout.{}", self.settings.domain);
        let Some(breakout) = self.breakouts.rooms.get_mut(id) else {
            return;
        };
        if breakout.room.is_some() {
            return;
        }
        let Ok(address) = Jid::parse(&address) else {
            return;
        };
        let settings = Settings {
            names: RoomNames::new(vec![address]),
            ..self.settings.clone()
        };
        let main = self.settings.names.canonical().clone();
        let mut room = Room::new(settings, Some(main), now, entropy);
        room.subject = Some(breakout.subject.clone());
        breakout.room = Some(Box::new(room));
    }

    /// A command to `breakout.<domain>`.
    pub(crate) fn breakout_message(
        &mut self,
        _now: Now,
        _sender: &Sender,
        _stanza: &Element,
        _entropy: &mut dyn Entropy,
    ) {
    }

    /// What the breakout lists make of what happened in a room.
    pub(crate) fn breakout_event(
        &mut self,
        _now: Now,
        _place: &Place,
        _event: &RoomEvent,
        _entropy: &mut dyn Entropy,
    ) {
    }

    /// Sends the lists that are due.
    pub(crate) fn breakout_timer(&mut self, _now: Now, _entropy: &mut dyn Entropy) {}
}
