//! What happens in rooms, told on the bus for whoever keeps a log or calls others: who did what to
//! whom, with what is known of them.

use crate::{Shared, clock};
use althing_control::rooms::{
    Departure, Happening, NOTICES, RoomActor, RoomMedium, RoomName, RoomNotice, RoomPerson,
};
use althing_model::{EndpointId, Identity, SessionId};
use althing_room::{Actor, Deed, LeaveReason, Medium, OccupantInfo, Place, RoomEvent};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

/// How many of those who knocked are remembered until they are answered.
const MAX_KNOCKS: usize = 2_000;

/// The number of the next notice. Held while one is published, so that they arrive in the order of
/// their numbers.
#[derive(Debug, Default)]
pub(crate) struct Numbers(Mutex<u64>);

/// Tells what happens in one meeting.
#[derive(Debug)]
pub(crate) struct Teller {
    shared: Arc<Shared>,
    room: RoomName,
    meeting: String,
    /// When the first one came.
    started: Option<u64>,
    /// Who is in, by nickname and room.
    people: BTreeMap<(EndpointId, Place), Present>,
    /// Who asked to be let in.
    knocks: HashMap<EndpointId, RoomPerson>,
}

#[derive(Debug)]
struct Present {
    person: RoomPerson,
    since: u64,
}

impl Teller {
    pub(crate) fn new(shared: &Arc<Shared>, room: RoomName, meeting: &str) -> Self {
        Self {
            shared: Arc::clone(shared),
            room,
            meeting: meeting.to_owned(),
            started: None,
            people: BTreeMap::new(),
            knocks: HashMap::new(),
        }
    }

    /// Something happened in a room of the meeting.
    pub(crate) fn event(&mut self, place: &Place, event: &RoomEvent) {
        match event {
            RoomEvent::OccupantJoined(info) => self.joined(place, info),
            RoomEvent::PresenceChanged { id, presence } => {
                if let Some(present) = self.people.get_mut(&(id.clone(), place.clone())) {
                    present.person.name.clone_from(&presence.name);
                }
            }
            RoomEvent::OccupantLeft { id, reason, .. } => {
                if let Some(present) = self.people.remove(&(id.clone(), place.clone())) {
                    self.left(place, present, departure(reason));
                }
            }
            RoomEvent::RoleChanged { id, role } => {
                let whom = self.person(place, id);
                self.tell(place, Happening::RoleChanged { whom, role: *role });
            }
            RoomEvent::LockChanged { by, locked } => {
                let by = self.moderator(place, by);
                self.tell(place, Happening::LockSwitched { on: *locked, by });
            }
            RoomEvent::LobbyChanged { by, open } => {
                let by = self.moderator(place, by);
                self.tell(place, Happening::LobbySwitched { on: *open, by });
            }
            RoomEvent::LobbyKnock { id, name, identity } => {
                let who = stranger(id, name.clone(), identity.as_deref());
                if self.knocks.len() >= MAX_KNOCKS {
                    self.knocks.clear();
                }
                self.knocks.insert(id.clone(), who.clone());
                self.tell(place, Happening::LobbyKnock { who });
            }
            RoomEvent::LobbyAdmitted { id, name, by } => {
                let (whom, by) = (self.knocker(id, name), self.moderator(place, by));
                self.tell(place, Happening::LobbyAdmitted { whom, by });
            }
            RoomEvent::LobbyDenied { id, name, by } => {
                let (whom, by) = (self.knocker(id, name), self.moderator(place, by));
                self.tell(place, Happening::LobbyDenied { whom, by });
            }
            RoomEvent::Done { by, deed } => {
                let happening = self.deed(place, by, deed);
                self.tell(place, happening);
            }
            RoomEvent::ForwardedChanged { .. } => {}
        }
    }

    fn joined(&mut self, place: &Place, info: &OccupantInfo) {
        let since = clock::now().unix_millis;
        if self.started.is_none() {
            self.started = Some(since);
            self.tell(&Place::Main, Happening::RoomStarted);
        }
        let name = info.presence.name.clone();
        let mut person = stranger(&info.id, name, info.identity.as_deref());
        person.session = Some(session(&info.session));
        let (who, role) = (person.clone(), info.role);
        let key = (info.id.clone(), place.clone());
        self.people.insert(key, Present { person, since });
        self.tell(place, Happening::Joined { who, role });
    }

    fn left(&self, place: &Place, present: Present, reason: Departure) {
        let now = clock::now().unix_millis;
        let happening = Happening::Left {
            who: present.person,
            reason,
            seconds: now.saturating_sub(present.since) / 1000,
        };
        self.tell(place, happening);
    }

    fn deed(&self, place: &Place, by: &Actor, deed: &Deed) -> Happening {
        let whom = |id: &EndpointId| self.person(place, id);
        let by = match by {
            Actor::Occupant(id) => self.moderator(place, id),
            Actor::Server(key) => RoomActor::Key(key.clone()),
        };
        match deed {
            Deed::Kicked { id, reason } => Happening::Kicked {
                whom: whom(id),
                by,
                reason: reason.clone(),
            },
            Deed::Muted { id, medium } => Happening::Muted {
                whom: whom(id),
                by,
                media: media(*medium),
            },
            Deed::Granted { id } => Happening::Granted { whom: whom(id), by },
            Deed::Revoked { id } => Happening::Revoked { whom: whom(id), by },
            Deed::ModerationSwitched { medium, on } => Happening::ModerationSwitched {
                media: media(*medium),
                on: *on,
                by,
            },
            Deed::Approved { id, medium } => Happening::Approved {
                whom: whom(id),
                media: media(*medium),
                by,
            },
            Deed::Rejected { id, medium } => Happening::Rejected {
                whom: whom(id),
                media: media(*medium),
                by,
            },
            Deed::BreakoutMade { room, name } => Happening::BreakoutMade {
                id: room.clone(),
                name: name.clone(),
                by,
            },
            Deed::BreakoutRenamed { room, name } => Happening::BreakoutRenamed {
                id: room.clone(),
                name: name.clone(),
                by,
            },
            Deed::BreakoutGone { room } => Happening::BreakoutGone {
                id: room.clone(),
                by,
            },
            Deed::Moved { id, to } => Happening::Moved {
                whom: whom(id),
                to: to.clone(),
                by,
            },
            Deed::SubjectChanged => Happening::SubjectChanged { by },
            Deed::MessageRemoved => Happening::MessageRemoved { by },
            Deed::MetadataChanged { key } => Happening::MetadataChanged {
                key: key.clone(),
                by,
            },
            Deed::Ended => Happening::EndedForAll { by },
        }
    }

    /// Somebody in this room, or else in another of the meeting.
    fn person(&self, place: &Place, id: &EndpointId) -> RoomPerson {
        let here = self.people.get(&(id.clone(), place.clone()));
        let elsewhere = || {
            let first = (id.clone(), Place::Main);
            let mut others = self.people.range(first..);
            let (_, present) = others.next().filter(|((other, _), _)| other == id)?;
            Some(present)
        };
        here.or_else(elsewhere)
            .map_or_else(|| stranger(id, None, None), |p| p.person.clone())
    }

    fn moderator(&self, place: &Place, id: &EndpointId) -> RoomActor {
        RoomActor::Moderator(self.person(place, id))
    }

    fn knocker(&mut self, id: &EndpointId, name: &Option<String>) -> RoomPerson {
        let known = self.knocks.remove(id);
        known.unwrap_or_else(|| stranger(id, name.clone(), None))
    }

    fn tell(&self, place: &Place, what: Happening) {
        let mut notice = RoomNotice {
            node: self.shared.settings.node.clone(),
            number: 0,
            at_millis: clock::now().unix_millis,
            meeting: self.meeting.clone(),
            room: self.room.clone(),
            breakout: match place {
                Place::Main => None,
                Place::Breakout(id) => Some(id.clone()),
            },
            what,
        };
        let numbers = &self.shared.notices.0;
        let mut last = numbers.lock().unwrap_or_else(PoisonError::into_inner);
        *last += 1;
        notice.number = *last;
        self.shared
            .bus
            .publish(NOTICES, althing_control::encode(&notice).into());
    }
}

/// However a meeting ends, also by a fault of ours, whoever was in it is told to have left.
impl Drop for Teller {
    fn drop(&mut self) {
        for ((_, place), present) in std::mem::take(&mut self.people) {
            self.left(&place, present, Departure::RoomEnded);
        }
        if let Some(started) = self.started {
            let seconds = clock::now().unix_millis.saturating_sub(started) / 1000;
            self.tell(&Place::Main, Happening::RoomEnded { seconds });
        }
    }
}

fn stranger(id: &EndpointId, name: Option<String>, identity: Option<&Identity>) -> RoomPerson {
    RoomPerson {
        occupant: id.clone(),
        session: None,
        user: identity.and_then(Identity::id).map(str::to_owned),
        name,
    }
}

pub(crate) fn session(id: &SessionId) -> String {
    id.to_string()
}

pub(crate) const fn media(medium: Medium) -> RoomMedium {
    match medium {
        Medium::Audio => RoomMedium::Audio,
        Medium::Video => RoomMedium::Video,
        Medium::Desktop => RoomMedium::Desktop,
    }
}

fn departure(reason: &LeaveReason) -> Departure {
    match reason {
        LeaveReason::Left(Some(why)) if why == "switch_room" => Departure::Replaced,
        LeaveReason::Left(_) => Departure::Left,
        LeaveReason::Disconnected => Departure::Disconnected,
        LeaveReason::Kicked => Departure::Kicked,
        LeaveReason::Replaced => Departure::Replaced,
        LeaveReason::Destroyed => Departure::RoomEnded,
    }
}
