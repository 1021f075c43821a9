//! What all rooms of one meeting share: standings, the lock, the policy.

use crate::metadata::StartMuted;
use crate::occupant::{Affiliation, Features};
use crate::room::{Sender, Settings};
use althing_model::{EndpointId, Entropy, Identity, Now, Secret, TokenStanding};
use althing_xmpp::Jid;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The metadata's entry that says what a room is for, if not for everything.
pub(crate) const MEDIA: &str = "media";
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

/// What somebody was given in this meeting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Standing {
    pub(crate) affiliation: Affiliation,
    /// What it may do, by grace of the moderator who made it one; `None` when nobody did.
    pub(crate) features: Option<Arc<Features>>,
}

/// What a meeting's rooms share.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Common {
    pub(crate) moderators: Moderators,
    /// Lasting standings; who is absent has none.
    #[serde(with = "standings")]
    standings: BTreeMap<Person, Standing>,
    /// Who has been let into the main room, and may therefore come into breakouts.
    admitted: BTreeSet<Person>,
    /// Must be said by whoever is not yet a member.
    pub(crate) password: Option<Secret>,
    /// The lobby is on.
    pub(crate) members_only: bool,
    /// Wrong passwords of late.
    pub(crate) attempts: crate::gate::Attempts,
    pub(crate) metadata: crate::metadata::Metadata,
    /// Newcomers leave their microphone off from when so many are there, until a moderator says
    /// otherwise.
    #[serde(default)]
    start_muted_above: Option<usize>,
    /// The metadata changed by themselves, and not everybody knows.
    #[serde(default)]
    pub(crate) untold: bool,
}

mod standings {
    use super::{BTreeMap, Person, Standing};
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(
        map: &BTreeMap<Person, Standing>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.collect_seq(map.iter())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<BTreeMap<Person, Standing>, D::Error> {
        Vec::<(Person, Standing)>::deserialize(from).map(|list| list.into_iter().collect())
    }
}

impl Common {
    pub(crate) fn new(settings: &Settings) -> Self {
        let mut common = Self {
            moderators: settings.moderators,
            standings: BTreeMap::new(),
            admitted: BTreeSet::new(),
            password: settings.preset.password.clone(),
            members_only: settings.preset.lobby,
            attempts: crate::gate::Attempts::default(),
            metadata: crate::metadata::Metadata::default(),
            start_muted_above: settings.preset.start_muted_above,
            untold: false,
        };
        settings.preset.write(&mut common.metadata);
        if !settings.media.has_video() {
            let media = settings.media.as_str();
            common.metadata.set(MEDIA, media.into());
        }
        common
    }

    /// Somebody comes into a room, as one of so many.
    pub(crate) fn newcomer(&mut self, occupants: usize) {
        if self
            .start_muted_above
            .is_some_and(|above| occupants > above)
        {
            self.start_muted_above = None;
            let muted = StartMuted {
                audio: true,
                ..self.metadata.start_muted()
            };
            self.untold |= self.metadata.set_start_muted(muted);
        }
    }

    /// The standing somebody has been given, or has by policy and token.
    pub(crate) fn standing(&self, person: &Person, identity: Option<&Identity>) -> Affiliation {
        if let Some(given) = self.standings.get(person) {
            return given.affiliation;
        }
        match (identity.map(|i| i.standing), self.moderators) {
            (Some(TokenStanding::Owner), _) => Affiliation::Owner,
            (Some(TokenStanding::Member), _) => Affiliation::Member,
            (Some(TokenStanding::Unsaid) | None, Moderators::Everyone)
            | (Some(TokenStanding::Unsaid), Moderators::Authenticated) => Affiliation::Owner,
            (Some(TokenStanding::Unsaid), Moderators::First) => Affiliation::Member,
            (None, Moderators::First | Moderators::Authenticated) => Affiliation::None,
        }
    }

    /// What somebody may do by grace of the moderator who made it one.
    pub(crate) fn granted(&self, person: &Person) -> Option<Arc<Features>> {
        self.standings.get(person)?.features.clone()
    }

    /// Whether a moderator took somebody's standing away.
    pub(crate) fn is_demoted(&self, person: &Person) -> bool {
        self.standings
            .get(person)
            .is_some_and(|given| given.affiliation == Affiliation::None)
    }

    /// Whether a standing was given to this person in this meeting.
    pub(crate) fn has_standing(&self, person: &Person) -> bool {
        self.standings.contains_key(person)
    }

    pub(crate) fn give(&mut self, person: Person, affiliation: Affiliation) {
        let features = self
            .granted(&person)
            .filter(|_| affiliation == Affiliation::Owner);
        self.give_with(person, affiliation, features);
    }

    /// What a moderator gives another, with what it may do from now on.
    pub(crate) fn give_with(
        &mut self,
        person: Person,
        affiliation: Affiliation,
        features: Option<Arc<Features>>,
    ) {
        if self.standings.len() < MAX_STANDINGS || self.standings.contains_key(&person) {
            let standing = Standing {
                affiliation,
                features,
            };
            self.standings.insert(person, standing);
        }
    }

    pub(crate) fn take_away(&mut self, person: &Person) {
        self.standings.remove(person);
        self.admitted.remove(person);
    }

    /// Somebody is in the main room.
    pub(crate) fn admit(&mut self, person: Person) {
        if self.admitted.len() < MAX_STANDINGS {
            self.admitted.insert(person);
        }
    }

    /// Whether neither lobby nor password holds this person up: a moderator let it in, or its token
    /// makes it a host.
    pub(crate) fn passes(&self, person: &Person, identity: Option<&Identity>) -> bool {
        let given = self.standings.get(person).map(|given| given.affiliation);
        let by_token = identity.is_some_and(|identity| match identity.standing {
            TokenStanding::Owner => true,
            TokenStanding::Unsaid => self.moderators == Moderators::Authenticated,
            TokenStanding::Member => false,
        });
        let excepted = identity.is_some_and(|identity| identity.lobby_bypass);
        excepted || given.map_or(by_token, |given| given != Affiliation::None)
    }

    /// Whether nobody has come in yet, and this person would moderate: nobody could let it in.
    pub(crate) fn is_first_host(&self, person: &Person, identity: Option<&Identity>) -> bool {
        let would_moderate = match self.moderators {
            Moderators::First => identity.is_none_or(|i| i.standing != TokenStanding::Member),
            Moderators::Authenticated | Moderators::Everyone => {
                self.standing(person, identity) == Affiliation::Owner
            }
        };
        would_moderate && self.is_untouched()
    }

    /// Whether nobody has come in yet.
    pub(crate) fn is_untouched(&self) -> bool {
        self.admitted.is_empty()
    }

    /// Makes somebody a member who has no better standing of its own.
    pub(crate) fn give_membership(&mut self, person: Person, identity: Option<&Identity>) {
        let standing = match self.standing(&person, identity) {
            Affiliation::None => Affiliation::Member,
            // What it has by policy alone is given to it, or it would have to ask once more.
            standing => standing,
        };
        if !self.is_given(&person, standing) {
            self.give(person, standing);
        }
    }

    fn is_given(&self, person: &Person, affiliation: Affiliation) -> bool {
        let given = self.standings.get(person);
        given.is_some_and(|given| given.affiliation == affiliation)
    }

    pub(crate) fn was_admitted(&self, person: &Person) -> bool {
        self.admitted.contains(person)
    }
}

/// One input being worked on: what every room may read and change meanwhile.
pub(crate) struct Turn<'a> {
    pub(crate) now: Now,
    /// Milliseconds since the meeting was made.
    pub(crate) at: u64,
    /// A moderator is in another room of the meeting, or on the way between two.
    pub(crate) moderated_elsewhere: bool,
    /// The sender moderates another room of the meeting, under this nickname.
    pub(crate) moderates_as: Option<EndpointId>,
    pub(crate) common: &'a mut Common,
    pub(crate) entropy: &'a mut dyn Entropy,
}
