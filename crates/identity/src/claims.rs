//! What a token says, once its signature holds (protocol 1 §8.2, protocol 4 §3.1).

use crate::error::TokenError;
use althing_model::{Identity, RoomClaim, TokenStanding};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::time::Duration;

/// What is asked of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// Accepted `iss`; `*` is any.
    pub issuers: Vec<String>,
    /// Accepted `aud`; `*` is any.
    pub audiences: Vec<String>,
    /// How far clocks may differ.
    pub clock_skew: Duration,
    /// Whether `exp` must be there.
    pub require_exp: bool,
    /// Whether `room` must be there.
    pub require_room: bool,
    /// Whether `sub` must be there, and rooms are to look at it.
    pub verify_domain: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            issuers: vec!["*".to_owned()],
            audiences: vec!["*".to_owned()],
            clock_skew: Duration::from_secs(30),
            require_exp: false,
            require_room: true,
            verify_domain: false,
        }
    }
}

impl Rules {
    /// Checks every claim and makes of them who the holder is. `now` is in seconds since 1970.
    pub(crate) fn identity(
        &self,
        claims: &Map<String, Value>,
        now: u64,
    ) -> Result<Identity, TokenError> {
        self.times(claims, now)?;
        let issuer = text(claims, "iss")?.ok_or(TokenError::ClaimMissing("iss"))?;
        if !accepted(&self.issuers, issuer) {
            return Err(TokenError::Claim("iss"));
        }
        self.audience(claims)?;
        let context = match claims.get("context") {
            None | Some(Value::Null) => None,
            Some(Value::Object(context)) => Some(context),
            Some(_) => return Err(TokenError::Claim("context")),
        };
        let rooms = self.rooms(claims, context)?;
        let user = match context.map(|c| c.get("user")) {
            None => loose_user(claims),
            Some(Some(Value::Object(user))) => user_of(user),
            Some(None | Some(Value::Null)) => BTreeMap::new(),
            Some(Some(_)) => return Err(TokenError::Claim("context")),
        };
        let says = |name: &str| user.get(name).is_some_and(|value| value == "true");
        Ok(Identity {
            standing: standing(&user),
            group: context.and_then(|c| c.get("group")).and_then(as_text),
            features: features(context)?,
            rooms,
            tenant: self.tenant(claims)?,
            lobby_bypass: says("lobby_bypass") || says("security_bypass"),
            visitor: user.get("role").is_some_and(|role| role == "visitor"),
            user,
        })
    }

    fn times(&self, claims: &Map<String, Value>, now: u64) -> Result<(), TokenError> {
        let now = now as f64;
        let skew = self.clock_skew.as_secs_f64();
        match time(claims, "exp")? {
            Some(end) if now >= end + skew => return Err(TokenError::Expired),
            None if self.require_exp => return Err(TokenError::ClaimMissing("exp")),
            _ => {}
        }
        match time(claims, "nbf")? {
            Some(begin) if now + skew < begin => Err(TokenError::NotYet),
            _ => Ok(()),
        }
    }

    /// A string, or as login servers do, a list of which one is enough.
    fn audience(&self, claims: &Map<String, Value>) -> Result<(), TokenError> {
        let fits = match claims.get("aud") {
            None | Some(Value::Null) => return Err(TokenError::ClaimMissing("aud")),
            Some(Value::String(one)) => accepted(&self.audiences, one),
            Some(Value::Array(several)) => several
                .iter()
                .filter_map(Value::as_str)
                .any(|one| accepted(&self.audiences, one)),
            Some(_) => false,
        };
        if fits {
            Ok(())
        } else {
            Err(TokenError::Claim("aud"))
        }
    }

    fn rooms(
        &self,
        claims: &Map<String, Value>,
        context: Option<&Map<String, Value>>,
    ) -> Result<RoomClaim, TokenError> {
        let is_pattern = context
            .and_then(|c| c.get("room"))
            .and_then(|room| room.get("regex"))
            .is_some_and(is_true);
        match text(claims, "room")? {
            None if self.require_room => Err(TokenError::ClaimMissing("room")),
            None | Some("*") => Ok(RoomClaim::Any),
            Some("") => Err(TokenError::Claim("room")),
            Some(pattern) if is_pattern => Ok(RoomClaim::Pattern(pattern.to_owned())),
            Some(room) => Ok(RoomClaim::Named(room.to_lowercase())),
        }
    }

    /// Nobody may look at a tenant that was not asked for, and none that was may be left out.
    fn tenant(&self, claims: &Map<String, Value>) -> Result<Option<String>, TokenError> {
        if !self.verify_domain {
            return Ok(None);
        }
        match text(claims, "sub")? {
            None => Err(TokenError::ClaimMissing("sub")),
            Some("") => Err(TokenError::Claim("sub")),
            Some(tenant) => Ok(Some(tenant.to_lowercase())),
        }
    }
}

fn accepted(list: &[String], value: &str) -> bool {
    list.iter().any(|item| item == "*" || item == value)
}

/// A claim that is text, if it is there at all.
fn text<'a>(
    claims: &'a Map<String, Value>,
    name: &'static str,
) -> Result<Option<&'a str>, TokenError> {
    match claims.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(TokenError::Claim(name)),
    }
}

/// Seconds since 1970, with a fraction allowed (RFC 7519 §2, NumericDate).
fn time(claims: &Map<String, Value>, name: &'static str) -> Result<Option<f64>, TokenError> {
    match claims.get(name) {
        None => Ok(None),
        Some(value) => match value.as_f64() {
            Some(time) if time.is_finite() => Ok(Some(time)),
            _ => Err(TokenError::Claim(name)),
        },
    }
}

/// Minters write booleans as booleans and as text.
fn is_true(value: &Value) -> bool {
    value == &Value::Bool(true) || value == "true"
}

fn standing(user: &BTreeMap<String, String>) -> TokenStanding {
    let affiliation = user.get("affiliation").map(String::as_str);
    let moderator = user.get("moderator").map(String::as_str);
    match (affiliation, moderator) {
        (Some("owner" | "moderator" | "teacher"), _) | (_, Some("true")) => TokenStanding::Owner,
        (None, None) => TokenStanding::Unsaid,
        _ => TokenStanding::Member,
    }
}

fn features(
    context: Option<&Map<String, Value>>,
) -> Result<Option<BTreeMap<String, bool>>, TokenError> {
    match context.and_then(|c| c.get("features")) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(features)) => Ok(Some(
            features
                .iter()
                .map(|(name, value)| (name.clone(), is_true(value)))
                .collect(),
        )),
        Some(_) => Err(TokenError::Claim("context")),
    }
}

/// Each key becomes an element, and each value its text, in presences to everybody: what XML cannot
/// carry there is left out.
fn user_of(user: &Map<String, Value>) -> BTreeMap<String, String> {
    user.iter()
        .filter(|(name, _)| is_element_name(name))
        .filter_map(|(name, value)| Some((name.clone(), as_text(value)?)))
        .collect()
}

/// Whoever a token without `context` is of: Jitsi's `user_id`, and what login servers write.
fn loose_user(claims: &Map<String, Value>) -> BTreeMap<String, String> {
    // A login server's `sub` is its user; beside a room it is a tenant or domain.
    let subject = if claims.contains_key("room") {
        None
    } else {
        claims.get("sub")
    };
    let name = claims
        .get("name")
        .or_else(|| claims.get("preferred_username"));
    [
        ("id", claims.get("user_id").or(subject)),
        ("name", name),
        ("email", claims.get("email")),
        ("avatar", claims.get("picture")),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name.to_owned(), as_text(value?)?)))
    .collect()
}

fn as_text(value: &Value) -> Option<String> {
    let text = match value {
        Value::Null => return None,
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    Some(text.chars().filter(|c| is_xml(*c)).collect())
}

/// XML 1.0 §2.2.
fn is_xml(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'..)
}

fn is_element_name(name: &str) -> bool {
    let mut chars = name.chars();
    name.len() <= 64
        && chars
            .next()
            .is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))
}

#[cfg(test)]
mod tests;
