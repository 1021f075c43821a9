use crate::common::Person;
use crate::event::PresenceFacts;
use althing_model::{EndpointId, Identity, MediaKinds, Origin, Role, SessionId};
use althing_xmpp::{Element, Jid};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::sync::Arc;

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
    /// The children of its last presence that are relayed.
    pub(crate) payload: Vec<Element>,
    pub(crate) facts: PresenceFacts,
    /// Its own unanswered requests to others, oldest first.
    pub(crate) asked: VecDeque<u64>,
    /// The broadcast copy of its presence, per address form; made on first use.
    #[serde(skip)]
    pub(crate) rendered: Vec<Option<Arc<str>>>,
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

    /// The display name of its presence, if it has one.
    pub(crate) fn display_name(&self) -> Option<String> {
        self.payload
            .iter()
            .find(|e| e.is("nick", althing_xmpp::ns::NICK))
            .map(Element::text)
            .filter(|name| !name.is_empty())
    }
}
