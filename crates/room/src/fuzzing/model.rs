//! What a meeting may do, judged by what goes in and what comes out alone.

use super::{PASSWORD, PEOPLE, SESSIONS, sender};
use crate::{LeaveReason, Moderators, Output, Place, RoomEvent, Sender, Settings};
use althing_model::{Role, SessionId, TokenStanding};
use althing_xmpp::{Element, Jid, Limits, ns, parse};
use std::collections::{BTreeMap, BTreeSet};

const MAIN: [&str; 2] = ["r@muc.meet.jitsi", "r@conference.meet.jitsi"];
const LOBBY: &str = "r@lobby.meet.jitsi";

/// Why a meeting says something.
#[derive(Debug, Clone, Copy)]
pub(super) enum Deed<'a> {
    /// Somebody sent a stanza.
    Stanza(&'a Sender, &'a Element),
    /// A session is gone, or leaves everything.
    Gone(&'a SessionId),
    /// The clock, the focus, the operator.
    Server,
}

/// One who is in a room.
#[derive(Debug, Clone)]
struct Inside {
    /// The bare address of the room in the form it joined by.
    room: String,
    place: Place,
    nick: String,
    moderator: bool,
}

/// What the input was, kept while its outputs are judged.
#[derive(Debug, Clone, Default)]
struct Cause {
    actor: Option<SessionId>,
    /// The bare address the actor wrote to.
    to: String,
    /// A join of that address.
    joins: bool,
    /// The actor moderated before.
    by_moderator: bool,
    /// Bare addresses that a moderator made moderators with this stanza.
    granted: BTreeSet<String>,
    revoked: BTreeSet<String>,
    kicked: BTreeSet<String>,
    gone: Option<SessionId>,
    /// People whom a moderator lets in with this stanza.
    let_in: BTreeSet<u8>,
    /// The stanza says the password.
    says_password: bool,
}

/// Whether somebody had to ask before it came in.
#[derive(Debug, Default)]
struct Door {
    lobby: bool,
    locked: bool,
    /// People whom a moderator let in, or the password while the lobby was on.
    members: BTreeSet<u8>,
    /// People who have been in the main room, those removed from it not counted.
    admitted: BTreeSet<u8>,
}

#[derive(Debug)]
pub(super) struct Model {
    moderators: Moderators,
    inside: BTreeMap<SessionId, Inside>,
    breakouts: BTreeSet<String>,
    /// People who have been moderators and were not made anything else since.
    owners: BTreeSet<u8>,
    cause: Cause,
    began: bool,
    door: Door,
}

fn person_of_jid(jid: &str) -> Option<u8> {
    person_of_nick(Jid::parse(jid).ok()?.node()?)
}

fn person(session: &SessionId) -> u8 {
    u8::try_from(session.number).expect("a small number") % PEOPLE
}

fn person_of_nick(nick: &str) -> Option<u8> {
    nick.strip_prefix('n')?.parse().ok()
}

impl Model {
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            moderators: settings.moderators,
            door: Door {
                lobby: settings.preset.lobby,
                locked: settings.preset.password.is_some(),
                ..Door::default()
            },
            inside: BTreeMap::new(),
            breakouts: BTreeSet::new(),
            owners: BTreeSet::new(),
            cause: Cause::default(),
            began: false,
        }
    }

    pub(super) fn has_breakout(&self, id: &str) -> bool {
        self.breakouts.contains(id)
    }

    /// Whether anybody was ever in or expected.
    pub(super) const fn began(&self) -> bool {
        self.began
    }

    /// Who is in which room, by its usual address.
    pub(super) fn inside(&self) -> BTreeMap<SessionId, String> {
        let usual = |inside: &Inside| match &inside.place {
            Place::Main => MAIN[0].to_owned(),
            Place::Breakout(_) => inside.room.clone(),
        };
        self.inside
            .iter()
            .map(|(session, inside)| (session.clone(), usual(inside)))
            .collect()
    }

    pub(super) fn is_empty(&self, address: &str) -> bool {
        !self.inside().values().any(|room| room == address)
    }

    /// The room a session is in, by the address it joined.
    pub(super) fn room_of(&self, session: &SessionId) -> Option<String> {
        Some(self.inside.get(session)?.room.clone())
    }

    /// One of those who moderate, by the number of its session.
    pub(super) fn some_moderator(&self, choice: u8) -> Option<u8> {
        let moderators: Vec<&SessionId> = self
            .inside
            .iter()
            .filter(|(_, inside)| inside.moderator)
            .map(|(session, _)| session)
            .collect();
        let chosen = moderators.get(usize::from(choice) % moderators.len().max(1))?;
        u8::try_from(chosen.number).ok()
    }

    fn is_moderator(&self, session: &SessionId) -> bool {
        self.inside.get(session).is_some_and(|i| i.moderator)
    }

    fn is_moderated(&self) -> bool {
        self.inside.values().any(|i| i.moderator)
    }

    /// An input is about to be judged.
    pub(super) fn begin(&mut self, deed: Deed<'_>) {
        self.cause = match deed {
            Deed::Stanza(sender, stanza) => self.cause_of(sender, stanza),
            Deed::Gone(session) => Cause {
                gone: Some(session.clone()),
                ..Cause::default()
            },
            Deed::Server => Cause::default(),
        };
    }

    fn cause_of(&self, sender: &Sender, stanza: &Element) -> Cause {
        let to = stanza.attr("to").and_then(|to| Jid::parse(to).ok());
        let mut cause = Cause {
            actor: Some(sender.session.clone()),
            to: to.map(|to| to.bare().to_string()).unwrap_or_default(),
            joins: stanza.name() == "presence"
                && stanza.attr("type").is_none()
                && stanza.child("x", ns::MUC).is_some(),
            by_moderator: self.is_moderator(&sender.session),
            ..Cause::default()
        };
        let said = stanza
            .child("x", ns::MUC)
            .and_then(|x| x.child("password", ns::MUC));
        cause.says_password = said.is_some_and(|said| said.text() == PASSWORD);
        if !cause.by_moderator {
            return cause;
        }
        let x = stanza.child("x", ns::MUC_USER);
        let invites = x.into_iter().flat_map(Element::children);
        cause.let_in = invites
            .filter_map(|invite| person_of_jid(invite.attr("to")?))
            .collect();
        let query = stanza.child("query", ns::MUC_ADMIN);
        for item in query.into_iter().flat_map(Element::children) {
            let whom = item.attr("jid").unwrap_or_default().to_owned();
            if matches!(item.attr("affiliation"), Some("owner" | "member")) {
                cause.let_in.extend(person_of_jid(&whom));
            }
            match (item.attr("affiliation"), item.attr("role")) {
                (Some("owner"), _) => {
                    cause.granted.insert(whom);
                }
                (Some(_), _) => {
                    cause.revoked.insert(whom);
                }
                (None, Some("none")) => {
                    cause
                        .kicked
                        .insert(item.attr("nick").unwrap_or_default().to_owned());
                }
                (None, _) => {}
            }
        }
        cause
    }

    /// Nobody comes in past lobby and password.
    fn pass_the_door(&mut self, session: &SessionId) {
        let person = person(session);
        let says_password = self.door.locked && self.cause.says_password;
        let standing = sender(person).identity.as_deref().map(|i| i.standing);
        // Nobody is there whom the first one could ask.
        let is_first = self.door.admitted.is_empty()
            && self.moderators != Moderators::Authenticated
            && standing != Some(TokenStanding::Member);
        let passes = says_password || self.needs_not_ask(person);
        assert!(
            !self.door.lobby || passes || is_first,
            "{person} came in past the lobby"
        );
        assert!(
            !self.door.locked || passes || self.door.admitted.contains(&person),
            "{person} came in without the password"
        );
        self.door.admitted.insert(person);
    }

    /// Whether somebody was let in before, or is a host.
    fn needs_not_ask(&self, person: u8) -> bool {
        let standing = sender(person).identity.as_deref().map(|i| i.standing);
        let host = match standing {
            Some(TokenStanding::Owner) => true,
            Some(TokenStanding::Unsaid) => self.moderators == Moderators::Authenticated,
            Some(TokenStanding::Member) | None => false,
        };
        host || self.door.members.contains(&person) || self.owners.contains(&person)
    }

    /// Everything has been said that the input led to.
    pub(super) fn finish(&mut self, ended: bool) {
        // Whoever moderates in one session and was removed in another gets its standing back.
        let granted = std::mem::take(&mut self.cause.granted);
        let granted = granted.iter().filter_map(|jid| person_of_jid(jid));
        let present: BTreeSet<u8> = self.inside.keys().map(person).collect();
        self.owners
            .extend(granted.filter(|who| present.contains(who)));
        let mut let_in = std::mem::take(&mut self.cause.let_in);
        if self.cause.says_password && self.door.locked {
            // A member from now on, also if its nickname was taken.
            let_in.extend(self.cause.actor.as_ref().map(person));
        }
        self.door.members.extend(let_in);
        if let Some(gone) = &self.cause.gone {
            assert!(!self.inside.contains_key(gone), "a ghost of {gone:?}");
        }
        if ended {
            assert!(self.inside.is_empty(), "people in a meeting that is over");
        }
    }

    pub(super) fn output(&mut self, output: &Output) {
        match output {
            Output::Send { to, xml } => {
                assert!(!to.is_empty(), "nobody is sent {xml}");
                let stanza = parse(xml, &Limits::default()).expect("what is sent can be read");
                for session in to {
                    self.may_hear(session, &stanza, xml);
                }
            }
            Output::Event { place, event } => self.event(place, event),
            Output::FocusWanted { .. } => self.began = true,
            Output::BreakoutMade { id } => {
                assert!(self.cause.by_moderator, "a breakout that no moderator made");
                assert!(self.breakouts.insert(id.clone()));
            }
            Output::BreakoutGone { id } => {
                assert!(
                    self.cause.by_moderator,
                    "a breakout that no moderator took away"
                );
                assert!(self.breakouts.remove(id));
            }
            Output::ToFocus { place, from, .. } => {
                let actor = self.cause.actor.as_ref().and_then(|a| self.inside.get(a));
                let actor = actor.expect("the focus hears those who are in");
                assert_eq!((&actor.place, actor.nick.as_str()), (place, from.as_str()));
            }
            Output::Denied(_) => assert!(self.cause.actor.is_some(), "nobody asked"),
            Output::Answer { .. } | Output::End => {}
        }
    }

    fn event(&mut self, place: &Place, event: &RoomEvent) {
        match event {
            RoomEvent::OccupantJoined(info) => {
                let by = self.cause.actor.as_ref();
                assert!(
                    self.cause.joins && by == Some(&info.session),
                    "who joins asked to"
                );
                assert_eq!(
                    info.room.to_string(),
                    self.cause.to,
                    "the room it asked for"
                );
                if let Place::Breakout(id) = place {
                    assert!(self.breakouts.contains(id), "a breakout that is there");
                }
                self.began = true;
                if *place == Place::Main {
                    self.pass_the_door(&info.session);
                } else if self.door.lobby || self.door.locked {
                    let person = person(&info.session);
                    let known = self.door.admitted.contains(&person) || self.needs_not_ask(person);
                    assert!(known, "{person} came by a side door");
                }
                if info.role == Role::Moderator {
                    self.justify(&info.session, place);
                }
                let inside = Inside {
                    room: info.room.to_string(),
                    place: place.clone(),
                    nick: info.id.to_string(),
                    moderator: info.role == Role::Moderator,
                };
                // The former room of one who moves is left right afterwards.
                if let Some(former) = self.inside.insert(info.session.clone(), inside) {
                    assert_ne!(former.place, *place, "in one room twice");
                }
            }
            RoomEvent::OccupantLeft {
                id,
                session,
                reason,
            } => {
                let inside = self.inside.get(session).expect("who leaves is in");
                if inside.place == *place {
                    assert_eq!(inside.nick, id.as_str());
                    self.inside.remove(session);
                } else {
                    assert_eq!(*reason, LeaveReason::Replaced, "left where it was not");
                }
                if *reason == LeaveReason::Kicked {
                    assert!(self.cause.by_moderator, "removed by no moderator");
                    assert!(self.cause.kicked.contains(id.as_str()), "nobody removed it");
                    self.owners.remove(&person(session));
                    self.door.members.remove(&person(session));
                    self.door.admitted.remove(&person(session));
                }
            }
            RoomEvent::LockChanged { locked, .. } => {
                assert!(self.cause.by_moderator, "locked by no moderator");
                self.door.locked = *locked;
            }
            RoomEvent::LobbyChanged { open, .. } => {
                assert!(self.cause.by_moderator, "switched by no moderator");
                self.door.lobby = *open;
                if *open {
                    self.door.members.extend(self.inside.keys().map(person));
                }
            }
            RoomEvent::LobbyKnock { id, .. } => {
                assert!(self.door.lobby, "somebody waits at an open door");
                let actor = self.cause.actor.as_ref().map(person);
                assert_eq!(actor, person_of_nick(id.as_str()));
            }
            RoomEvent::LobbyAdmitted { id, .. } => {
                let let_in =
                    person_of_nick(id.as_str()).is_some_and(|p| self.cause.let_in.contains(&p));
                assert!(self.cause.by_moderator && let_in, "let in by no moderator");
            }
            RoomEvent::LobbyDenied { .. } => {
                assert!(self.cause.by_moderator, "sent away by no moderator");
            }
            RoomEvent::RoleChanged { id, role } => {
                let session = self.session_of(place, id.as_str()).expect("an occupant");
                if *role == Role::Moderator {
                    self.justify(&session, place);
                } else {
                    let bare = format!("n{}@meet.jitsi", person(&session));
                    assert!(self.cause.revoked.contains(&bare), "unmade by no moderator");
                    self.owners.remove(&person(&session));
                }
                if let Some(inside) = self.inside.get_mut(&session) {
                    inside.moderator = *role == Role::Moderator;
                }
            }
            _ => {}
        }
    }

    fn session_of(&self, place: &Place, nick: &str) -> Option<SessionId> {
        self.inside
            .iter()
            .find(|(_, inside)| inside.place == *place && inside.nick == nick)
            .map(|(session, _)| session.clone())
    }

    /// Nobody moderates who is not entitled to, was not made a moderator by one, and was not
    /// elected where there was none.
    fn justify(&mut self, session: &SessionId, place: &Place) {
        let person = person(session);
        let standing = sender(person).identity.as_deref().map(|i| i.standing);
        let entitled = match standing {
            Some(TokenStanding::Owner) => true,
            Some(TokenStanding::Member) => false,
            Some(TokenStanding::Unsaid) => self.moderators != Moderators::First,
            None => self.moderators == Moderators::Everyone,
        };
        let granted = self
            .cause
            .granted
            .contains(&format!("n{person}@meet.jitsi"));
        let elected = self.moderators == Moderators::First
            && *place == Place::Main
            && standing != Some(TokenStanding::Member)
            && !self.is_moderated();
        let was = self.owners.contains(&person);
        assert!(
            entitled || granted || elected || was,
            "{session:?} became a moderator in {place:?} by nothing; {:?}",
            self.inside
        );
        self.owners.insert(person);
    }

    /// Whether this session may hear this: it is in the room that speaks, or is answered.
    fn may_hear(&self, session: &SessionId, stanza: &Element, xml: &str) {
        assert!(session.number < u64::from(SESSIONS));
        let from = stanza.attr("from").and_then(|from| Jid::parse(from).ok());
        let from = from.unwrap_or_else(|| panic!("from nobody: {xml}"));
        let bare = from.bare().to_string();
        let is_actor = self.cause.actor.as_ref() == Some(session);
        if self.cause.gone.as_ref() == Some(session) {
            // Leaving everything, it hears that it left, and nothing else.
            assert_eq!(stanza.attr("type"), Some("unavailable"), "{xml}");
        }
        if bare == LOBBY {
            return self.may_hear_in_lobby(session, &from, stanza, xml);
        }
        if is_actor && bare == self.cause.to {
            return;
        }
        let inside = self.inside.get(session);
        if from.node().is_none() {
            let here = inside.is_some() || (is_actor && self.cause.joins);
            return assert!(here, "{session:?} is in no room, and hears {xml}");
        }
        let invited = stanza
            .child("x", ns::MUC_USER)
            .is_some_and(|x| x.child("invite", ns::MUC_USER).is_some());
        if invited && self.cause.by_moderator {
            // How who waits in the lobby is let in.
            return;
        }
        let inside = inside.unwrap_or_else(|| panic!("{session:?} is in no room, and hears {xml}"));
        let left_for_another = self.cause.joins
            && person(session) == self.cause.actor.as_ref().map_or(PEOPLE, person)
            && stanza.attr("type") == Some("unavailable");
        assert!(
            inside.room == bare || left_for_another,
            "in {} it hears {xml}",
            inside.room
        );
    }

    fn may_hear_in_lobby(&self, session: &SessionId, from: &Jid, stanza: &Element, xml: &str) {
        let answers = stanza.name() == "iq" || stanza.attr("type") == Some("error");
        if answers && self.cause.actor.as_ref() == Some(session) {
            return;
        }
        let Some(speaker) = from.resource().and_then(person_of_nick) else {
            return;
        };
        let moderates = |who: u8| {
            self.owners.contains(&who)
                || (0..SESSIONS).any(|n| n % PEOPLE == who && self.is_moderator(&sender(n).session))
        };
        // Who waits sees nobody, and is spoken to by moderators alone.
        let spoken_to = stanza.name() == "message" && moderates(speaker);
        let hears = speaker == person(session) || moderates(person(session)) || spoken_to;
        assert!(hears, "{session:?} waits, and hears {xml}");
    }
}
