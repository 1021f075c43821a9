//! What all rooms of one meeting share: standings, the lock, the policy.

use crate::occupant::Affiliation;
use crate::room::Sender;
use althing_model::{Entropy, Identity, Now, Secret, TokenStanding};
use althing_xmpp::Jid;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How many standings one meeting remembers; beyond it, new members are not remembered.
const MAX_STANDINGS: usize = 20_000;

/// Who becomes a moderator (protocol 1 §20.2). What a token says of its holder goes before all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Moderators {
    /// Whoever comes first; when no moderator is left, whoever has been there longest.
    #[default]
    First,
    /// Everybody with an accepted token; nobody is elected.
    Authenticated,
    /// Everybody.
    Everyone,
}

/// A person as far as the meeting can tell: by the id in its token, or by its bare address, which
/// a guest keeps as long as its session lives.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Person {
    Token(String),
    Address(Jid),
}

impl Person {
    pub(crate) fn of(jid: &Jid, identity: Option<&Identity>) -> Self {
        match identity.and_then(Identity::id) {
            Some(id) => Self::Token(id.to_owned()),
            None => Self::Address(jid.bare()),
        }
    }

    pub(crate) fn of_sender(sender: &Sender) -> Self {
        Self::of(&sender.jid, sender.identity.as_deref())
    }
}

/// What a meeting's rooms share.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Common {
    pub(crate) moderators: Moderators,
    /// Lasting standings; who is absent has none.
    #[serde(with = "standings")]
    standings: BTreeMap<Person, Affiliation>,
    /// Must be said by whoever is not yet a member.
    pub(crate) password: Option<Secret>,
    /// The lobby is on.
    pub(crate) members_only: bool,
    pub(crate) metadata: crate::metadata::Metadata,
}

mod standings {
    use super::{Affiliation, BTreeMap, Person};
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(
        map: &BTreeMap<Person, Affiliation>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.collect_seq(map.iter())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<BTreeMap<Person, Affiliation>, D::Error> {
        Vec::<(Person, Affiliation)>::deserialize(from).map(|list| list.into_iter().collect())
    }
}

impl Common {
    pub(crate) fn new(moderators: Moderators) -> Self {
        Self {
            moderators,
            standings: BTreeMap::new(),
            password: None,
            members_only: false,
            metadata: crate::metadata::Metadata::default(),
        }
    }

    /// The standing somebody has been given, or has by policy and token.
    pub(crate) fn standing(&self, person: &Person, identity: Option<&Identity>) -> Affiliation {
        let given = self.standings.get(person).copied();
        match (given, identity.map(|i| i.standing)) {
            (Some(given), _) => given,
            (None, _) if self.moderators == Moderators::Everyone => Affiliation::Owner,
            (None, Some(TokenStanding::Owner)) => Affiliation::Owner,
            (None, Some(TokenStanding::Unsaid)) if self.moderators == Moderators::Authenticated => {
                Affiliation::Owner
            }
            (None, Some(_)) => Affiliation::Member,
            (None, None) => Affiliation::None,
        }
    }

    /// Whether a standing was given to this person in this meeting.
    pub(crate) fn has_standing(&self, person: &Person) -> bool {
        self.standings.contains_key(person)
    }

    pub(crate) fn give(&mut self, person: Person, affiliation: Affiliation) {
        if self.standings.len() < MAX_STANDINGS || self.standings.contains_key(&person) {
            self.standings.insert(person, affiliation);
        }
    }

    pub(crate) fn take_away(&mut self, person: &Person) {
        self.standings.remove(person);
    }
}

/// One input being worked on: what every room may read and change meanwhile.
pub(crate) struct Turn<'a> {
    pub(crate) now: Now,
    pub(crate) common: &'a mut Common,
    pub(crate) entropy: &'a mut dyn Entropy,
}
