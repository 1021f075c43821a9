//! Bodies of the fuzz targets; they live here so that they always compile.

use crate::claims::Rules;
use crate::document;
use crate::key::LocalKey;
use crate::token::Token;
use serde_json::{Map, Value};

/// A token as a stranger sends it, and claims as a signed one might have them.
pub fn token(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok(token) = Token::read(&text) {
        // Only algorithms of ours come through, and what is signed is what was sent.
        assert!(!token.algorithm.name().is_empty());
        assert!(text.as_bytes().starts_with(token.signed));
        claims(&token.claims);
    }
    if let Ok(Value::Object(map)) = serde_json::from_slice(data) {
        claims(&map);
    }
}

/// What a key server answers, and a PEM file.
pub fn keys(data: &[u8]) {
    for key in document::keys(data).into_iter().flatten() {
        for algorithm in ["RS256", "ES256"].map(str::parse).into_iter().flatten() {
            assert!(!key.material.verifies(algorithm, b"a.b", b"no signature"));
        }
    }
    drop(document::pem("kid", data));
    drop(LocalKey::pem(
        &String::from_utf8_lossy(data),
        Vec::new(),
        None,
    ));
}

fn claims(claims: &Map<String, Value>) {
    let strict = Rules {
        require_exp: true,
        verify_domain: true,
        ..Rules::default()
    };
    let loose = Rules {
        require_room: false,
        ..Rules::default()
    };
    let now = 1_800_000_000;
    let by_strict = strict.identity(claims, now);
    let by_loose = loose.identity(claims, now);
    if let Ok(identity) = &by_strict {
        assert!(by_loose.is_ok(), "less is asked, and it is refused");
        assert!(identity.tenant.is_some(), "nobody may skip the domain");
    }
    for identity in [by_strict, by_loose].into_iter().flatten() {
        for (name, value) in &identity.user {
            assert!(name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_'));
            assert!(!value.contains(['\0', '\u{1f}', '\u{fffe}']));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn arbitrary_bytes_break_no_promise(data in proptest::collection::vec(any::<u8>(), 0..200)) {
            super::token(&data);
            super::keys(&data);
        }
    }
}
