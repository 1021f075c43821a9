//! Bodies of the fuzz targets; they live here so that they always compile.

use crate::claims::Rules;
use crate::document;
use crate::key::LocalKey;
use crate::token::Token;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

/// A token as a stranger sends it; or, of two lines, what its header and its claims are before they
/// are put into base64url, which random bytes seldom are.
pub fn token(data: &[u8]) {
    read(&String::from_utf8_lossy(data));
    let mut lines = data.splitn(2, |byte| *byte == b'\n');
    let mut part = || URL_SAFE_NO_PAD.encode(lines.next().unwrap_or_default());
    read(&format!("{}.{}.AAAA", part(), part()));
}

fn read(text: &str) {
    if let Ok(token) = Token::read(text) {
        // Only algorithms of ours come through, and what is signed is what was sent.
        assert!(!token.algorithm.name().is_empty());
        assert!(text.as_bytes().starts_with(token.signed));
        claims(&token.claims);
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

    #[test]
    fn samples_and_what_is_left_of_them_break_no_promise() {
        for sample in [
            include_str!("../../../fixtures/identity/jitsi.txt"),
            include_str!("../../../fixtures/identity/login-server.txt"),
            include_str!("../../../fixtures/identity/jwks.json"),
        ] {
            for cut in 0..sample.len() {
                let mut data = sample.as_bytes().to_vec();
                data.remove(cut);
                super::token(&data);
                if cut % 16 == 0 {
                    super::keys(&data);
                }
            }
            super::token(sample.as_bytes());
            super::keys(sample.as_bytes());
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_break_no_promise(data in proptest::collection::vec(any::<u8>(), 0..200)) {
            super::token(&data);
            super::keys(&data);
        }
    }
}
