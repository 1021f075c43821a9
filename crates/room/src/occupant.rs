use crate::common::Person;
use crate::event::PresenceFacts;
use crate::presence::MAX_NAME;
use althing_model::{EndpointId, Identity, MediaKinds, Origin, Role, SessionId};
use althing_xmpp::{Element, Jid};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// What somebody may do, by name (protocol 4 §3.3).
pub(crate) type Features = BTreeMap<String, bool>;

/// A lasting standing in the room (XEP-0045 §5.2), as far as the house uses it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Affiliation {
    /// Moderates, and may make others moderate.
    Owner,
    /// Admitted by name.
    Member,
    /// Nothing in particular.
    None,
}

impl Affiliation {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Member => "member",
            Self::None => "none",
        }
    }
}

pub(crate) const fn role_name(role: Role) -> &'static str {
    match role {
        Role::Moderator => "moderator",
        Role::Participant => "participant",
        Role::Visitor => "visitor",
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Occupant {
    pub(crate) id: EndpointId,
    pub(crate) session: SessionId,
    pub(crate) jid: Jid,
    /// Index into the room's names: the form this occupant built its addresses with.
    pub(crate) form: usize,
    /// Arrival number; who came first is elected first.
    pub(crate) order: u64,
    pub(crate) affiliation: Affiliation,
    pub(crate) role: Role,
    pub(crate) may_send: MediaKinds,
    /// What of that reaches others now.
    pub(crate) forwarded: MediaKinds,
    pub(crate) origin: Origin,
    /// Who it is by its token.
    pub(crate) identity: Option<Arc<Identity>>,
    /// What of its last presence is relayed.
    pub(crate) shown: Shown,
    pub(crate) facts: PresenceFacts,
    /// What it may do by grace of the moderator who made it one.
    pub(crate) granted: Option<Arc<Features>>,
    /// Its client was told of other features than its token's, and is to hear of those again.
    pub(crate) misled: bool,
    /// What it may still say in presences before it has to wait.
    pub(crate) pace: Pace,
    /// Its own unanswered requests to others, oldest first.
    pub(crate) asked: VecDeque<u64>,
    /// The broadcast copy of its presence, per address form; made on first use.
    #[serde(skip)]
    pub(crate) rendered: Vec<Option<Arc<str>>>,
}

/// What an occupant says in its presence, as it is relayed: written out, since nobody reads it
/// again, and a tree of it takes ten times the memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Shown {
    /// The children, as they stand inside a presence.
    pub(crate) xml: Box<str>,
    /// The display name among them, as far as it is repeated elsewhere.
    name: Option<Box<str>>,
}

impl Shown {
    pub(crate) fn new(children: &[Element]) -> Self {
        let mut xml = String::new();
        for child in children {
            child.write_inside(&mut xml, althing_xmpp::ns::CLIENT);
        }
        let name = children
            .iter()
            .find(|e| e.is("nick", althing_xmpp::ns::NICK))
            .map(|e| e.text().chars().take(MAX_NAME).collect::<String>())
            .filter(|name| !name.is_empty());
        Self {
            xml: xml.into(),
            name: name.map(Into::into),
        }
    }
}

impl Occupant {
    pub(crate) fn person(&self) -> Person {
        Person::of(&self.jid, self.identity.as_deref())
    }

    pub(crate) const fn is_moderator(&self) -> bool {
        matches!(self.role, Role::Moderator)
    }

    pub(crate) const fn is_visitor(&self) -> bool {
        matches!(self.role, Role::Visitor)
    }

    /// What it may do, if that was said at all; else its role decides.
    pub(crate) fn features(&self) -> Option<&Features> {
        self.granted
            .as_deref()
            .or_else(|| self.identity.as_deref()?.features.as_ref())
    }

    /// Whether it may use a feature that is for moderators (protocol 4 §3.3).
    pub(crate) fn is_allowed(&self, feature: &str) -> bool {
        match self.features() {
            Some(features) => features.get(feature) == Some(&true),
            None => self.is_moderator(),
        }
    }

    /// Whether it may use a feature that is for everybody, unless the room restricts it to
    /// moderators and those who were expressly given it.
    pub(crate) fn is_allowed_unless(&self, restricted: bool, feature: &str) -> bool {
        let said = self.features().and_then(|features| features.get(feature));
        match said {
            Some(said) => *said,
            None => !restricted || self.is_moderator(),
        }
    }

    /// The name of its token, where that may not be changed.
    pub(crate) fn fixed_name(identity: Option<&Identity>) -> Option<&str> {
        let features = identity?.features.as_ref()?;
        let fixed = features.get("name-readonly") == Some(&true);
        identity?.name().filter(|_| fixed)
    }

    /// The display name of its presence, if it has one.
    pub(crate) fn display_name(&self) -> Option<String> {
        self.shown.name.as_deref().map(str::to_owned)
    }
}

/// A token bucket for presences: full at first, refilled steadily.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Pace {
    /// When it is full again, in milliseconds since the meeting was made.
    full_at: u64,
    /// A change that others are still to be told of, then.
    pub(crate) due: Option<u64>,
}

impl Pace {
    /// What one presence takes: 20 per second in the long run.
    const COST: u64 = 50;
    /// What may be taken at once: 40 presences.
    const DEPTH: u64 = 2_000;

    pub(crate) const fn new() -> Self {
        Self {
            full_at: 0,
            due: None,
        }
    }

    /// Takes one presence's worth; otherwise when there will be enough.
    pub(crate) fn take(&mut self, at: u64) -> Result<(), u64> {
        let full_at = self.full_at.max(at) + Self::COST;
        let affordable_at = full_at.saturating_sub(Self::DEPTH);
        if affordable_at > at {
            return Err(affordable_at);
        }
        self.full_at = full_at;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Pace;

    #[test]
    fn forty_at_once_and_twenty_a_second() {
        let mut pace = Pace::new();
        let taken = (0..100).filter(|_| pace.take(1_000).is_ok()).count();
        assert_eq!(taken, 40);
        assert_eq!(pace.take(1_000), Err(1_050));
        let later = (1_001..=2_000).filter(|at| pace.take(*at).is_ok()).count();
        assert_eq!(later, 20);
        assert_eq!((0..100).filter(|_| pace.take(60_000).is_ok()).count(), 40);
    }
}
