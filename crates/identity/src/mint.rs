//! Tokens of our own making.

use crate::claims::Rules;
use crate::key::LocalKey;
use crate::token;
use serde_json::{Map, Value, json};
use std::time::Duration;

/// What a minted token says.
#[derive(Debug, Clone, Default)]
pub struct Claims {
    /// The room it opens; `*` is every room.
    pub room: String,
    /// The holder's name, as others see it.
    pub name: Option<String>,
    /// An id that stays the same over several tokens.
    pub user_id: Option<String>,
    /// The holder's address.
    pub email: Option<String>,
    /// Whether the holder is a moderator; otherwise is none, whatever the policy.
    pub moderator: bool,
    /// Seconds since 1970.
    pub issued_at: u64,
    /// How long it is good for, from then on.
    pub lifetime: Duration,
}

/// Why no token was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MintError {
    /// Only public keys, or none.
    #[error("no key can sign tokens")]
    NoKey,
    /// The library refused.
    #[error("the key does not sign")]
    Refused,
}

impl Claims {
    pub(crate) fn sign(&self, key: &LocalKey, rules: &Rules) -> Result<String, MintError> {
        let mut header = Map::new();
        header.insert("alg".to_owned(), key.algorithm().name().into());
        header.insert("typ".to_owned(), "JWT".into());
        if let Some(kid) = &key.kid {
            header.insert("kid".to_owned(), kid.as_str().into());
        }
        let unsigned = token::unsigned(&Value::Object(header), &self.body(rules));
        let signature = key.sign(unsigned.as_bytes()).ok_or(MintError::Refused)?;
        Ok(token::signed(&unsigned, &signature))
    }

    fn body(&self, rules: &Rules) -> Value {
        let mut user = Map::new();
        for (name, value) in [
            ("id", &self.user_id),
            ("name", &self.name),
            ("email", &self.email),
        ] {
            if let Some(value) = value {
                user.insert(name.to_owned(), value.as_str().into());
            }
        }
        let affiliation = if self.moderator { "owner" } else { "member" };
        user.insert("affiliation".to_owned(), affiliation.into());
        user.insert("moderator".to_owned(), self.moderator.into());
        json!({
            "iss": first(&rules.issuers),
            "aud": first(&rules.audiences),
            // Whatever the domain is called.
            "sub": "*",
            "room": self.room,
            "iat": self.issued_at,
            "nbf": self.issued_at,
            "exp": self.issued_at.saturating_add(self.lifetime.as_secs()),
            "context": { "user": user },
        })
    }
}

/// The first name that is accepted.
fn first(accepted: &[String]) -> &str {
    accepted
        .iter()
        .map(String::as_str)
        .find(|name| *name != "*")
        .unwrap_or("althing")
}
