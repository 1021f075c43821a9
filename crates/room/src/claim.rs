//! Whether a token opens a room (protocol 1 §8.4).

use crate::gate::Refusal;
use crate::room::Settings;
use althing_model::{Identity, RoomClaim};
use althing_xmpp::Jid;
use percent_encoding::percent_decode_str;
use regex::RegexBuilder;

/// The longest pattern that is read, in bytes.
const MAX_PATTERN: usize = 1_024;
/// How large a pattern may become in memory, in bytes.
const MAX_COMPILED: usize = 256 * 1024;

/// Whether the holder of a token, or a guest without one, may be in the room at `main`.
pub(crate) fn check(
    main: &Jid,
    settings: &Settings,
    identity: Option<&Identity>,
) -> Result<(), Refusal> {
    match identity {
        Some(identity) => check_token(main, &settings.domain, identity),
        None if settings.preset.no_guests => Err(Refusal::TokenRequired),
        None => Ok(()),
    }
}

fn check_token(main: &Jid, domain: &str, identity: &Identity) -> Result<(), Refusal> {
    let name = main.node().unwrap_or_default();
    let tenant = tenant(main, domain);
    match &identity.rooms {
        RoomClaim::Any => {}
        RoomClaim::Named(claim) if is_named(claim, name, tenant) => {}
        RoomClaim::Named(_) if identity.tenant.is_some() => return Err(Refusal::TokenMismatch),
        RoomClaim::Named(_) => return Err(Refusal::RoomMismatch),
        RoomClaim::Pattern(pattern) if fits(pattern, name) => {}
        RoomClaim::Pattern(_) => return Err(Refusal::PatternMismatch),
    }
    match &identity.tenant {
        Some(sub) if !is_for(sub, tenant, domain) => Err(Refusal::TokenMismatch),
        _ => Ok(()),
    }
}

/// `muc.<tenant>.<domain>`.
fn tenant<'a>(main: &'a Jid, domain: &str) -> Option<&'a str> {
    let service = main.domain().strip_suffix(domain)?.strip_suffix('.')?;
    service.split_once('.').map(|(_, tenant)| tenant)
}

fn is_named(claim: &str, name: &str, tenant: Option<&str>) -> bool {
    let decoded = decoded(name);
    let is_name = |claim: &str| claim == name || Some(claim) == decoded.as_deref();
    let tenanted = claim
        .strip_prefix('[')
        .and_then(|rest| rest.split_once(']'))
        .is_some_and(|(of, room)| Some(of) == tenant && is_name(room));
    tenanted || is_name(claim)
}

/// A pattern may match anywhere in the name, as expressions do; `^` and `$` anchor it.
fn fits(pattern: &str, name: &str) -> bool {
    if pattern.len() > MAX_PATTERN {
        return false;
    }
    let built = RegexBuilder::new(pattern)
        .size_limit(MAX_COMPILED)
        .dfa_size_limit(MAX_COMPILED)
        .build();
    built.is_ok_and(|expression| {
        expression.is_match(name)
            || decoded(name).is_some_and(|decoded| expression.is_match(&decoded))
    })
}

/// Whether `sub` is the tenant, or the domain where there is none; tenants are written into
/// addresses in lower case and without dots.
fn is_for(sub: &str, tenant: Option<&str>, domain: &str) -> bool {
    sub == "*"
        || match tenant {
            Some(tenant) => sub.to_lowercase().replace('.', "_") == tenant,
            None => sub.eq_ignore_ascii_case(domain),
        }
}

/// A room name as people write it: `%20` is a space. `None` for one that was not encoded.
fn decoded(name: &str) -> Option<String> {
    if !name.contains('%') {
        return None;
    }
    let decoded = percent_decode_str(name).decode_utf8().ok()?;
    Some(decoded.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(room: &str, rooms: RoomClaim, sub: Option<&str>) -> Result<(), Refusal> {
        let identity = Identity {
            rooms,
            tenant: sub.map(str::to_owned),
            ..Identity::default()
        };
        let room = Jid::parse(room).unwrap();
        check_token(&room, "meet.jitsi", &identity)
    }

    #[test]
    fn rooms_by_name_tenant_and_pattern() {
        let named = |claim: &str| RoomClaim::Named(claim.into());
        let pattern = |claim: &str| RoomClaim::Pattern(claim.into());
        let plain = "my%20room@muc.meet.jitsi";
        let tenanted = "room@muc.school_de.meet.jitsi";
        for (room, rooms, sub, outcome) in [
            (plain, RoomClaim::Any, None, Ok(())),
            (plain, named("my%20room"), None, Ok(())),
            (plain, named("my room"), None, Ok(())),
            (plain, named("room"), None, Err(Refusal::RoomMismatch)),
            (plain, named("room"), Some("*"), Err(Refusal::TokenMismatch)),
            (plain, named("my room"), Some("meet.jitsi"), Ok(())),
            (
                plain,
                RoomClaim::Any,
                Some("school"),
                Err(Refusal::TokenMismatch),
            ),
            (tenanted, named("room"), None, Ok(())),
            (tenanted, named("[school_de]room"), None, Ok(())),
            (
                tenanted,
                named("[other]room"),
                None,
                Err(Refusal::RoomMismatch),
            ),
            (tenanted, named("room"), Some("School.de"), Ok(())),
            (
                tenanted,
                named("room"),
                Some("meet.jitsi"),
                Err(Refusal::TokenMismatch),
            ),
            (plain, pattern("^my.*room$"), None, Ok(())),
            (plain, pattern("^my room$"), None, Ok(())),
            (plain, pattern("^room"), None, Err(Refusal::PatternMismatch)),
            (plain, pattern("(((("), None, Err(Refusal::PatternMismatch)),
            (
                plain,
                pattern("((a{1000}){1000}){1000}|my"),
                None,
                Err(Refusal::PatternMismatch),
            ),
            (
                plain,
                pattern(&"m|".repeat(2_000)),
                None,
                Err(Refusal::PatternMismatch),
            ),
        ] {
            assert_eq!(
                checked(room, rooms.clone(), sub),
                outcome,
                "{room} {rooms:?} {sub:?}"
            );
        }
    }

    #[test]
    fn odd_escapes_are_names_too() {
        assert_eq!(decoded("%d0%b9").as_deref(), Some("й"));
        assert_eq!(decoded("%zz").as_deref(), Some("%zz"));
        assert_eq!(decoded("%ff"), None);
    }
}
