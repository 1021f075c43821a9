//! Who comes in, and what is said to those who do not (protocol 1 §§8.4, 13.2, 16).
//!
//! A host is never locked out by his own lobby or password: neither asks moderators, members or
//! whoever a token makes an owner. Wrong passwords are counted for each session and each network;
//! who said too many is refused without a look at the next, and nobody else is.

use crate::address::RESERVED;
use crate::claim;
use crate::common::{Person, Turn};
use crate::occupant::Occupant;
use crate::room::{Network, Room, Sender};
use althing_model::{EndpointId, Identity, SessionId};
use althing_xmpp::stanza::{Condition, ErrorType, error_reply};
use althing_xmpp::{Element, ns};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Why a presence was refused (protocol 1 §16; the error types are binding).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    Nick,
    NickChange,
    Reserved,
    Conflict,
    Full,
    NotJoined,
    TooLong,
    /// Nobody without a token comes in.
    TokenRequired,
    /// The token is for another room.
    RoomMismatch,
    /// The token is for rooms of other names.
    PatternMismatch,
    /// The token is for another room, tenant or domain, where domains are verified.
    TokenMismatch,
    /// Nobody enters the lobby without a name.
    NameRequired,
    /// A moderator must let the sender in.
    Lobby,
    Password,
    TooManyPasswords,
    /// A breakout room is entered by way of the main room.
    MainFirst,
    /// There is no lobby: clients try the main room again on exactly this text.
    NoLobby,
    LobbyFull,
    /// Who is in the meeting does not wait for it.
    AlreadyIn,
}

impl Refusal {
    const fn parts(self) -> (ErrorType, Condition, Option<&'static str>) {
        use {Condition as C, ErrorType as T};
        let (kind, condition, text) = match self {
            Self::Nick => (T::Cancel, C::NotAllowed, "Invalid resource"),
            Self::NickChange => (T::Cancel, C::NotAllowed, "a nickname cannot be changed"),
            Self::Reserved => (T::Cancel, C::Conflict, "this nickname is reserved"),
            Self::Conflict => (T::Cancel, C::Conflict, "this nickname is in use"),
            Self::Full => (T::Cancel, C::ServiceUnavailable, "the room is full"),
            Self::NotJoined => (T::Cancel, C::ItemNotFound, "not in the room"),
            Self::TooLong => (
                T::Modify,
                C::PolicyViolation,
                "a presence has 32 KiB at most",
            ),
            Self::TokenRequired => (T::Cancel, C::NotAllowed, "this room is not for guests"),
            Self::RoomMismatch | Self::PatternMismatch => {
                (T::Cancel, C::NotAllowed, "the token is for another room")
            }
            Self::TokenMismatch => (T::Cancel, C::NotAllowed, "Room and token mismatched"),
            Self::NameRequired => return (T::Modify, C::NotAcceptable, None),
            Self::Lobby => return (T::Auth, C::RegistrationRequired, None),
            Self::Password => return (T::Auth, C::NotAuthorized, None),
            Self::TooManyPasswords => (
                T::Wait,
                C::ResourceConstraint,
                "too many wrong passwords; wait a minute and try again",
            ),
            Self::MainFirst => (T::Cancel, C::NotAllowed, "come into the main room first"),
            Self::NoLobby => (T::Cancel, C::NotAllowed, "Room creation is restricted"),
            Self::LobbyFull => (T::Wait, C::ResourceConstraint, "too many people wait"),
            Self::AlreadyIn => (T::Cancel, C::NotAllowed, "already in the meeting"),
        };
        (kind, condition, Some(text))
    }

    /// The error presence; `lobby` is the lobby's address.
    pub(crate) fn reply(self, stanza: &Element, lobby: &str) -> Element {
        let (kind, condition, text) = self.parts();
        let application = match self {
            Self::TokenRequired => Some(Element::new("authentication-required", ns::JITMEET)),
            Self::RoomMismatch => Some(Element::new("room-mismatch", ns::JITMEET)),
            Self::PatternMismatch => Some(Element::new("room-name-does-not-match", ns::JITMEET)),
            Self::NameRequired => {
                Some(Element::new("displayname-required", ns::JITMEET).with_attr("lobby", "true"))
            }
            Self::Lobby => Some(Element::new("lobbyroom", ns::JITMEET).with_text(lobby)),
            _ => None,
        };
        let mut reply = error_reply(stanza, condition, kind, text, application);
        if let Some(error) = reply.child_mut("error", ns::CLIENT) {
            match self {
                Self::Lobby => {
                    error.set_attr("code", "407");
                    // Old clients look for it without its namespace.
                    error.push(Element::new("lobbyroom", ns::CLIENT).with_text(lobby));
                }
                Self::NameRequired => error.set_attr("code", "406"),
                _ => {}
            }
        }
        reply.push(Element::new("x", ns::MUC));
        reply
    }
}

impl Room {
    pub(crate) fn refuse(&mut self, sender: &Sender, stanza: &Element, why: &Refusal) {
        let reply = why.reply(stanza, self.settings.lobby.as_str());
        self.send(&sender.session, &reply);
    }

    /// Everything that keeps somebody out, in the order of protocol 1 §13.2.
    pub(crate) fn check_join(
        &self,
        turn: &mut Turn<'_>,
        sender: &Sender,
        nick: &str,
        stanza: &Element,
    ) -> Result<EndpointId, Refusal> {
        let main = self.breakout_of.as_ref();
        let main = main.unwrap_or_else(|| self.settings.names.canonical());
        claim::check(main, &self.settings, sender.identity.as_deref())?;
        let id = EndpointId::new(nick).map_err(|_| Refusal::Nick)?;
        if RESERVED.contains(&nick) {
            return Err(Refusal::Reserved);
        }
        let holder = self.occupants.get(&id).map(|holder| holder.jid.bare());
        let replaces = holder.as_ref() == Some(&sender.jid.bare());
        if !replaces && self.occupants.len() >= self.settings.max_occupants {
            return Err(Refusal::Full);
        }
        if self.breakout_of.is_some() {
            check_breakout(turn, sender)?;
        } else {
            self.check_lock(turn, sender, stanza)?;
        }
        if holder.is_some() && !replaces {
            return Err(Refusal::Conflict);
        }
        Ok(id)
    }

    /// Lobby and password. Who says the password is let in by either, and is a member from then on.
    fn check_lock(
        &self,
        turn: &mut Turn<'_>,
        sender: &Sender,
        stanza: &Element,
    ) -> Result<(), Refusal> {
        if !turn.common.members_only && turn.common.password.is_none() {
            return Ok(());
        }
        let person = Person::of_sender(sender);
        let identity = sender.identity.as_deref();
        if turn.common.passes(&person, identity) {
            return Ok(());
        }
        if turn.common.members_only && self.settings.name_required && !has_name(stanza, identity) {
            return Err(Refusal::NameRequired);
        }
        if said_password(turn, sender, stanza)? {
            if turn.common.members_only {
                turn.common.give_membership(person, identity);
            }
            return Ok(());
        }
        if turn.common.members_only && !turn.common.is_first_host(&person, identity) {
            return Err(Refusal::Lobby);
        }
        // Who was in the room does not need to say it again on the way back from a breakout.
        if turn.common.password.is_some() && !turn.common.was_admitted(&person) {
            return Err(Refusal::Password);
        }
        Ok(())
    }
}

/// Who may come into a breakout of a locked meeting: whoever was in the main room, or needs not ask.
fn check_breakout(turn: &Turn<'_>, sender: &Sender) -> Result<(), Refusal> {
    let common = &turn.common;
    if !common.members_only && common.password.is_none() {
        return Ok(());
    }
    let person = Person::of_sender(sender);
    let known = common.was_admitted(&person) || common.passes(&person, sender.identity.as_deref());
    if known {
        Ok(())
    } else {
        Err(Refusal::MainFirst)
    }
}

/// Whether a presence says the password, and it is the right one.
fn said_password(turn: &mut Turn<'_>, sender: &Sender, stanza: &Element) -> Result<bool, Refusal> {
    let said = stanza
        .child("x", ns::MUC)
        .and_then(|x| x.child("password", ns::MUC))
        .map(Element::text)
        .filter(|said| !said.is_empty());
    let at = turn.at;
    let (Some(said), Some(password)) = (said, turn.common.password.as_ref()) else {
        return Ok(false);
    };
    let attempts = &mut turn.common.attempts;
    if !attempts.may_try(&sender.session, sender.network, at) {
        return Err(Refusal::TooManyPasswords);
    }
    let right = password.matches(&said);
    if !right {
        attempts.failed(&sender.session, sender.network, at);
    }
    Ok(right)
}

/// Whether a presence names somebody.
pub(crate) fn has_name(stanza: &Element, identity: Option<&Identity>) -> bool {
    let said = stanza.child("nick", ns::NICK).map(Element::text);
    let name = Occupant::fixed_name(identity).map(str::to_owned).or(said);
    name.is_some_and(|name| !name.trim().is_empty())
}

/// How many sources of wrong passwords are remembered; beyond it the one that failed the longest ago
/// is forgotten.
const MAX_SOURCES: usize = 4_096;

/// Wrong passwords of late, by session and by network.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Attempts {
    /// When each source will be as good as new, in milliseconds since the meeting was made.
    #[serde(with = "pairs")]
    full_at: BTreeMap<Source, u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Source {
    Session(SessionId),
    Network(Network),
}

impl Source {
    /// How long one wrong password counts, in milliseconds, and how many may be said at once. A
    /// network is a school at times: everybody there may mistype, and still nobody guesses six digits
    /// within a day.
    const fn limits(&self) -> (u64, u64) {
        match self {
            Self::Session(_) => (10_000, 5),
            Self::Network(_) => (3_000, 40),
        }
    }
}

impl Attempts {
    fn may_try(&self, session: &SessionId, network: Network, at: u64) -> bool {
        [Source::Session(session.clone()), Source::Network(network)]
            .iter()
            .all(|source| {
                let (cost, burst) = source.limits();
                let full_at = self.full_at.get(source).copied().unwrap_or(0).max(at);
                full_at + cost <= at + cost * burst
            })
    }

    fn failed(&mut self, session: &SessionId, network: Network, at: u64) {
        self.full_at.retain(|_, full_at| *full_at > at);
        for source in [Source::Session(session.clone()), Source::Network(network)] {
            let (cost, _) = source.limits();
            if self.full_at.len() >= MAX_SOURCES && !self.full_at.contains_key(&source) {
                let oldest = self.full_at.iter().min_by_key(|(_, full_at)| **full_at);
                if let Some(oldest) = oldest.map(|(source, _)| source.clone()) {
                    self.full_at.remove(&oldest);
                }
            }
            let full_at = self.full_at.entry(source).or_insert(0);
            *full_at = (*full_at).max(at) + cost;
        }
    }
}

mod pairs {
    use super::{BTreeMap, Source};
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(
        map: &BTreeMap<Source, u64>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.collect_seq(map.iter())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<BTreeMap<Source, u64>, D::Error> {
        Vec::<(Source, u64)>::deserialize(from).map(|list| list.into_iter().collect())
    }
}
