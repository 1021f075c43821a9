use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Who somebody is, as a checked token says (protocol 1 §8.2): made by whoever checks tokens, read
/// by rooms. Personal data, so its `Debug` shows the shape alone.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Identity {
    /// `context.user`, every value as text: shown to others in `<identity>`.
    pub user: BTreeMap<String, String>,
    /// `context.group`.
    pub group: Option<String>,
    /// What the token says of the holder's standing.
    pub standing: TokenStanding,
    /// `context.features`: what it may do, if the token says so at all. Without it the role decides.
    pub features: Option<BTreeMap<String, bool>>,
    /// `room`: which rooms it opens.
    pub rooms: RoomClaim,
    /// `sub`: tenant or domain it is for; `None` where nobody looks (domain verification off).
    pub tenant: Option<String>,
    /// `context.user.lobby_bypass` or `security_bypass`.
    pub lobby_bypass: bool,
    /// `context.user.role` is `visitor`.
    pub visitor: bool,
}

/// What a token says of its holder's standing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenStanding {
    /// Nothing: the server's policy decides.
    #[default]
    Unsaid,
    /// `affiliation` owner, moderator or teacher, or `moderator` true.
    Owner,
    /// `affiliation` member or another, or `moderator` false: no moderator, whatever the policy.
    Member,
}

/// Which rooms a token opens.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RoomClaim {
    /// `*`, or no claim where none is asked for.
    #[default]
    Any,
    /// One, by the local part of its address, lower case; or `[tenant]room`.
    Named(String),
    /// Those whose local part matches this regular expression (`context.room.regex`).
    Pattern(String),
}

impl Identity {
    /// `context.user.name`.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.user.get("name").map(String::as_str)
    }

    /// `context.user.id`.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.user.get("id").map(String::as_str)
    }
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity")
            .field("standing", &self.standing)
            .finish_non_exhaustive()
    }
}
