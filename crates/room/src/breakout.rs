//! Breakout rooms (protocol 4 §10): their names, who may make them, who may come in, and the list
//! of who is where that everybody is told.
//!
//! A breakout's name lasts until a moderator takes it away; the room behind it is made when the
//! first one comes and is gone with the last. Who is a moderator of the meeting is one everywhere
//! in it, and nobody is elected in a breakout.

use crate::address::RoomNames;
use crate::common::Person;
use crate::event::{Actor, Deed, LeaveReason, RoomEvent};
use crate::meeting::{Action, Component, Meeting, Output, Place};
use crate::occupant::{Affiliation, Occupant, role_name};
use crate::room::{Room, Sender, Settings};
use althing_model::{Entropy, Now, SessionId};
use althing_xmpp::stanza::{Condition, ErrorType, error_reply};
use althing_xmpp::{Element, Jid, ns};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// How long a meeting with breakout rooms lasts when nobody is in any of its rooms, in
/// milliseconds.
pub(crate) const PATIENCE: u64 = 5_000;
/// How many breakouts a meeting has at most.
const MAX_BREAKOUTS: usize = 100;
/// The longest name of a breakout, in characters; what is longer is cut.
const MAX_SUBJECT: usize = 150;
/// How long changes are gathered before the list is told, in milliseconds.
const GATHER: u64 = 300;
/// The list is as long as the meeting is large and goes to everybody in it, so large meetings
/// gather longer: this many milliseconds for each person.
const GATHER_EACH: u64 = 6;

/// The breakout rooms of a meeting.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Breakouts {
    rooms: BTreeMap<String, Breakout>,
    /// How many have ever been made; clients number the next one's name by it.
    made: u64,
    /// When the list is told, in milliseconds since the meeting was made.
    update_at: Option<u64>,
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

    /// Whether there are, or have been, any.
    pub(crate) const fn used(&self) -> bool {
        self.made > 0
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
    pub(crate) const fn next_timeout(&self) -> Option<u64> {
        self.update_at
    }
}

/// What a moderator wants done.
enum Command {
    Add { subject: String },
    Remove { id: String },
    Rename { id: String, subject: String },
    Move { who: Jid, to: Jid },
}

impl Command {
    fn read(payload: &Element) -> Option<Self> {
        let id = || {
            let jid = Jid::parse(payload.attr("breakoutRoomJid")?).ok()?;
            Some(jid.node()?.to_owned())
        };
        let subject = || {
            let text = payload.attr("subject").unwrap_or_default().trim();
            let printable = text.chars().filter(|c| !c.is_control());
            printable.take(MAX_SUBJECT).collect::<String>()
        };
        let jid = |name| Jid::parse(payload.attr(name)?).ok();
        match payload
            .attr("type")?
            .strip_prefix("features/breakout-rooms/")?
        {
            "add" => Some(Self::Add { subject: subject() }),
            "remove" => Some(Self::Remove { id: id()? }),
            "rename" => Some(Self::Rename {
                id: id()?,
                subject: Some(subject()).filter(|text| !text.is_empty())?,
            }),
            "move-to-room" => Some(Self::Move {
                who: jid("participantJid")?,
                to: jid("roomJid")?.bare(),
            }),
            _ => None,
        }
    }
}

impl Meeting {
    /// Makes the room behind a breakout's name, if it is not there.
    pub(crate) fn wake_breakout(&mut self, now: Now, id: &str, entropy: &mut dyn Entropy) {
        let address = self.breakout_address(id);
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

    pub(crate) fn breakout_address(&self, id: &str) -> String {
        format!(
            "{id}@{}",
            Component::Breakout.address(&self.settings.domain)
        )
    }

    /// What a stanza to a room needs before the room itself sees it; whether it may.
    pub(crate) fn before_stanza(
        &mut self,
        now: Now,
        place: &Place,
        sender: &Sender,
        stanza: &Element,
        entropy: &mut dyn Entropy,
    ) -> bool {
        let inside = self
            .room(place)
            .is_some_and(|room| room.by_session.contains_key(&sender.session));
        let joins = stanza.name() == "presence"
            && stanza.attr("type").is_none()
            && stanza.child("x", ns::MUC).is_some();
        if inside || (matches!(place, Place::Main) && !joins) {
            return true;
        }
        if let Place::Breakout(id) = place {
            if !joins {
                return self.room(place).is_some() || self.refuse_at_closed_door(sender, stanza);
            }
            let person = Person::of_sender(sender);
            let standing = self.common.standing(&person, sender.identity.as_deref());
            let admitted = standing != Affiliation::None || self.common.was_admitted(&person);
            if !admitted || !self.breakouts.has(id) {
                return self.refuse_at_closed_door(sender, stanza);
            }
            self.wake_breakout(now, id, entropy);
        }
        // Clients ask for the conference first; who comes without, or long after, needs one too. And
        // who replaces itself where nobody else is must find the focus that its former self leaves.
        self.focuses.insert(place.clone());
        self.outputs.push_back(Output::FocusWanted {
            place: place.clone(),
        });
        true
    }

    /// Answers a stanza for a breakout that its sender may not enter, or that nobody is in.
    fn refuse_at_closed_door(&mut self, sender: &Sender, stanza: &Element) -> bool {
        let presence = stanza.name() == "presence";
        let wants_answer = match stanza.attr("type") {
            None => true,
            Some(kind) if presence => kind != "error" && kind != "unavailable",
            Some(kind) => kind != "error" && kind != "result",
        };
        if wants_answer {
            let reply = if presence {
                let text = Some("no such breakout room for those who are not in the meeting");
                let (kind, condition) = (ErrorType::Cancel, Condition::NotAllowed);
                error_reply(stanza, condition, kind, text, None)
                    .with_child(Element::new("x", ns::MUC))
            } else {
                let text = Some("nobody is in the room");
                let (kind, condition) = (ErrorType::Cancel, Condition::ItemNotFound);
                error_reply(stanza, condition, kind, text, None)
            };
            self.outputs.push_back(Output::Send {
                to: vec![sender.session.clone()],
                xml: reply.to_xml().into(),
            });
        }
        false
    }

    /// Whether a session moderates the meeting; `None` when it is in none of its rooms.
    pub(crate) fn moderates(&self, session: &SessionId) -> Option<bool> {
        let (place, id) = self.whereabouts(session)?;
        let occupant = self.room(&place)?.occupants.get(&id)?;
        Some(occupant.is_moderator())
    }

    /// The name somebody goes by in a room.
    pub(crate) fn name_of(&self, place: &Place, session: &SessionId) -> Option<String> {
        self.room(place)?.occupant_of(session)?.display_name()
    }

    /// A command to `breakout.<domain>`; silence to those who may not.
    pub(crate) fn breakout_message(
        &mut self,
        now: Now,
        sender: &Sender,
        stanza: &Element,
        entropy: &mut dyn Entropy,
    ) {
        let Some(payload) = stanza.child_named("breakout_rooms") else {
            return;
        };
        let Some(moderates) = self.moderates(&sender.session) else {
            return;
        };
        if !moderates {
            return self.deny(Action::Breakout);
        }
        let actor = self.whereabouts(&sender.session);
        let done = match Command::read(payload) {
            Some(Command::Add { subject }) => self.add_breakout(now, subject, entropy),
            Some(Command::Remove { id }) => {
                // Before it is gone, since who takes it away may be in it.
                if let Some((place, actor)) = actor.clone().filter(|_| self.breakouts.has(&id)) {
                    let deed = Deed::BreakoutGone { room: id.clone() };
                    self.done(place, Actor::Occupant(actor), deed);
                }
                self.remove_breakout(now, &id, entropy);
                None
            }
            Some(Command::Rename { id, subject }) => {
                self.rename_breakout(now, id, subject, entropy)
            }
            Some(Command::Move { who, to }) => self.send_to_room(&who, &to),
            None => None,
        };
        if let (Some(deed), Some((place, actor))) = (done, actor) {
            self.done(place, Actor::Occupant(actor), deed);
        }
    }

    fn add_breakout(
        &mut self,
        now: Now,
        subject: String,
        entropy: &mut dyn Entropy,
    ) -> Option<Deed> {
        if self.breakouts.rooms.len() >= MAX_BREAKOUTS {
            return None;
        }
        self.breakouts.made += 1;
        let subject = if subject.is_empty() {
            format!("Breakout room #{}", self.breakouts.made)
        } else {
            subject
        };
        let id = entropy.uuid();
        let deed = Deed::BreakoutMade {
            room: id.clone(),
            name: subject.clone(),
        };
        let breakout = Breakout {
            subject,
            room: None,
        };
        self.breakouts.rooms.insert(id.clone(), breakout);
        self.outputs.push_back(Output::BreakoutMade { id });
        self.lists_changed(now);
        Some(deed)
    }

    /// Those who are in it return to the main room.
    fn remove_breakout(&mut self, now: Now, id: &str, entropy: &mut dyn Entropy) {
        if !self.breakouts.has(id) {
            return;
        }
        let main = self.settings.names.canonical().clone();
        let place = Place::Breakout(id.to_owned());
        self.in_room(&place, now, entropy, |room, turn| {
            room.destroy(turn, "The breakout room was closed", Some(&main));
        });
        self.breakouts.rooms.remove(id);
        let address = self.breakout_address(id);
        self.speakers.forget(&address);
        self.common.metadata.forget(&address);
        self.outputs
            .push_back(Output::BreakoutGone { id: id.to_owned() });
        self.lists_changed(now);
    }

    fn rename_breakout(
        &mut self,
        now: Now,
        id: String,
        subject: String,
        entropy: &mut dyn Entropy,
    ) -> Option<Deed> {
        let breakout = self.breakouts.rooms.get_mut(&id)?;
        if breakout.subject == subject {
            return None;
        }
        breakout.subject.clone_from(&subject);
        // Clients show a breakout's subject as its name.
        let place = Place::Breakout(id.clone());
        self.in_room(&place, now, entropy, |room, _| {
            room.subject = Some(subject.clone());
            let all: Vec<(SessionId, usize)> = room
                .occupants
                .values()
                .map(|o| (o.session.clone(), o.form))
                .collect();
            for (session, form) in all {
                room.tell_subject(&session, form);
            }
        });
        self.lists_changed(now);
        Some(Deed::BreakoutRenamed {
            room: id,
            name: subject,
        })
    }

    /// Asks one person's client to go to another room of the meeting.
    fn send_to_room(&mut self, who: &Jid, to: &Jid) -> Option<Deed> {
        let (destination, breakout) = if self.settings.names.form_of(to).is_some() {
            (self.settings.names.canonical().to_string(), None)
        } else {
            match to.node() {
                Some(id) if self.breakouts.has(id) && to.as_str() == self.breakout_address(id) => {
                    (to.to_string(), Some(id.to_owned()))
                }
                _ => return None,
            }
        };
        let (id, session) = self.places().iter().find_map(|place| {
            let mut occupants = self.room(place)?.occupants.values();
            let occupant = occupants.find(|o| o.jid == *who)?;
            Some((occupant.id.clone(), occupant.session.clone()))
        })?;
        let json = json!({
            "type": "breakout_rooms",
            "event": "features/breakout-rooms/move-to-room",
            "roomJid": destination,
        });
        self.say(vec![session], &json);
        Some(Deed::Moved { id, to: breakout })
    }

    fn say(&mut self, to: Vec<SessionId>, json: &Value) {
        let from = Component::Breakout.address(&self.settings.domain);
        self.tell(to, &from, json);
    }

    /// What the breakout lists make of what happened in a room.
    pub(crate) fn breakout_event(
        &mut self,
        now: Now,
        place: &Place,
        event: &RoomEvent,
        entropy: &mut dyn Entropy,
    ) {
        match event {
            RoomEvent::OccupantJoined(info) => {
                if *place == Place::Main {
                    let person = Person::of(&info.jid, info.identity.as_deref());
                    self.common.admit(person);
                }
                self.leave_other_rooms(now, place, &info.jid, entropy);
                self.lists_changed(now);
            }
            RoomEvent::OccupantLeft { .. } | RoomEvent::RoleChanged { .. } => {
                self.lists_changed(now);
            }
            _ => {}
        }
    }

    /// Nobody is in two rooms of a meeting: who goes to another has left the former.
    fn leave_other_rooms(&mut self, now: Now, new: &Place, jid: &Jid, entropy: &mut dyn Entropy) {
        for place in self.places().into_iter().filter(|place| place != new) {
            let former: Vec<SessionId> = self
                .room(&place)
                .into_iter()
                .flat_map(|room| room.occupants.values())
                .filter(|occupant| occupant.jid.bare() == jid.bare())
                .map(|occupant| occupant.session.clone())
                .collect();
            for session in former {
                self.in_room(&place, now, entropy, |room, _| {
                    room.leave_session(&session, LeaveReason::Replaced);
                });
            }
        }
    }

    /// The list is told soon, if this is a meeting with breakouts.
    pub(crate) fn lists_changed(&mut self, now: Now) {
        if self.breakouts.used() && self.breakouts.update_at.is_none() {
            let people = u64::try_from(self.occupant_count()).unwrap_or(u64::MAX);
            let wait = GATHER.max(people.saturating_mul(GATHER_EACH));
            self.breakouts.update_at = Some(self.at(now) + wait);
        }
    }

    /// Sends the lists that are due.
    pub(crate) fn breakout_timer(&mut self, now: Now) {
        let at = self.at(now);
        if self.breakouts.update_at.is_none_or(|due| due > at) {
            return;
        }
        self.breakouts.update_at = None;
        let everybody = self
            .places()
            .iter()
            .filter_map(|place| self.room(place))
            .flat_map(|room| room.occupants.values())
            .map(|occupant| occupant.session.clone())
            .collect();
        let list = self.breakout_list();
        self.say(everybody, &list);
    }

    /// Who is where.
    fn breakout_list(&self) -> Value {
        let mut rooms = Map::new();
        let main = self.settings.names.canonical();
        let name = main.node().unwrap_or_default();
        rooms.insert(
            name.to_owned(),
            json!({
                "isMainRoom": true,
                "id": name,
                "jid": main.to_string(),
                "name": name,
                "participants": people(&self.main),
            }),
        );
        for (id, breakout) in &self.breakouts.rooms {
            rooms.insert(
                id.clone(),
                json!({
                    "id": id,
                    "jid": self.breakout_address(id),
                    "name": breakout.subject,
                    "participants": breakout.room.as_deref().map(people).unwrap_or_default(),
                }),
            );
        }
        json!({
            "type": "breakout_rooms",
            "event": "features/breakout-rooms/update",
            "roomCounter": self.breakouts.made,
            "rooms": rooms,
        })
    }
}

/// Who is in a room, by their occupant addresses.
fn people(room: &Room) -> Map<String, Value> {
    let describe = |occupant: &Occupant| {
        let mut person = Map::new();
        person.insert("jid".into(), occupant.jid.to_string().into());
        person.insert("role".into(), role_name(occupant.role).into());
        if let Some(name) = occupant.display_name() {
            person.insert("displayName".into(), name.into());
        }
        (
            room.settings.names.occupant_of(0, &occupant.id),
            person.into(),
        )
    };
    room.occupants.values().map(describe).collect()
}
