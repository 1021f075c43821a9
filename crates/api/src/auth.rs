//! Who may ask: whoever has one of the keys.

use crate::Key;
use axum::http::{HeaderMap, header};

/// The name of the key that a request came with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Caller(pub(crate) String);

/// Whose request this is. Every key is compared, each in constant time, so that the time taken tells
/// nothing of them but their lengths.
pub(crate) fn caller(keys: &[Key], headers: &HeaderMap) -> Option<Caller> {
    let given = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, given) = given.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    let given = given.trim();
    let mut found = None;
    for key in keys {
        if key.secret.matches(given) {
            found = Some(key);
        }
    }
    found.map(|key| Caller(key.name.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use althing_model::Secret;

    #[test]
    fn each_key_has_a_name_and_nothing_else_is_one() {
        let keys =
            [("ops", "first-secret-key"), ("portal", "other-secret-key")].map(|(n, s)| Key {
                name: n.into(),
                secret: Secret::new(s),
            });
        let name = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, value.parse().unwrap());
            caller(&keys, &headers).map(|caller| caller.0)
        };
        assert_eq!(name("Bearer first-secret-key").as_deref(), Some("ops"));
        assert_eq!(name("bearer other-secret-key").as_deref(), Some("portal"));
        for wrong in [
            "",
            "Bearer",
            "Bearer ",
            "Bearer first-secret-ke",
            "Bearer first-secret-keyy",
            "Basic first-secret-key",
            "first-secret-key",
        ] {
            assert_eq!(name(wrong), None, "{wrong}");
        }
        assert_eq!(caller(&keys, &HeaderMap::new()), None);
    }
}
