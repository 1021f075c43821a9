//! What key servers answer: many keys in one JSON document, or one in PEM.

use crate::algorithm::Algorithm;
use crate::key::{Material, public_pem};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

/// More keys than any login server has at once.
const MAX_KEYS: usize = 1_000;

/// A key of somebody else's, by the name tokens use.
#[derive(Debug, Clone)]
pub(crate) struct PublishedKey {
    pub(crate) kid: String,
    /// The one algorithm it is for, when its publisher says so.
    pub(crate) only: Option<Algorithm>,
    pub(crate) material: Material,
}

/// Why a document cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DocumentError {
    #[error("it is neither a JWKS document nor an object of certificates")]
    Shape,
    #[error("it has more than {MAX_KEYS} keys")]
    TooMany,
    #[error("it has no key that could be used")]
    NoKey,
}

/// A JWKS document (RFC 7517 §5), or `{kid: certificate}`. Keys of other kinds are passed over,
/// symmetric ones too: a published secret is none.
pub(crate) fn keys(text: &[u8]) -> Result<Vec<PublishedKey>, DocumentError> {
    let Ok(Value::Object(document)) = serde_json::from_slice(text) else {
        return Err(DocumentError::Shape);
    };
    let found: Vec<PublishedKey> = match document.get("keys") {
        Some(Value::Array(keys)) if keys.len() > MAX_KEYS => return Err(DocumentError::TooMany),
        Some(Value::Array(keys)) => keys
            .iter()
            .filter_map(Value::as_object)
            .filter_map(jwk)
            .collect(),
        Some(_) => return Err(DocumentError::Shape),
        None if document.len() > MAX_KEYS => return Err(DocumentError::TooMany),
        None => document.iter().filter_map(certificate).collect(),
    };
    if found.is_empty() {
        return Err(DocumentError::NoKey);
    }
    Ok(found)
}

/// The one key of a PEM document.
pub(crate) fn pem(kid: &str, text: &[u8]) -> Result<Vec<PublishedKey>, DocumentError> {
    let material = public_pem(text).map_err(|_| DocumentError::NoKey)?;
    Ok(vec![PublishedKey {
        kid: kid.to_owned(),
        only: None,
        material,
    }])
}

fn certificate((kid, value): (&String, &Value)) -> Option<PublishedKey> {
    Some(PublishedKey {
        kid: kid.clone(),
        only: None,
        material: public_pem(value.as_str()?.as_bytes()).ok()?,
    })
}

fn jwk(jwk: &Map<String, Value>) -> Option<PublishedKey> {
    let text = |name: &str| jwk.get(name).and_then(Value::as_str);
    let bytes = |name: &str| {
        URL_SAFE_NO_PAD
            .decode(text(name)?.trim_end_matches('='))
            .ok()
    };
    // Keys for encryption stand in the same document.
    if text("use").is_some_and(|purpose| purpose != "sig") {
        return None;
    }
    let only = match jwk.get("alg") {
        None => None,
        Some(name) => Some(name.as_str()?.parse::<Algorithm>().ok()?),
    };
    let material = match text("kty")? {
        "RSA" => Material::rsa(&bytes("n")?, &bytes("e")?).ok()?,
        "EC" if text("crv") == Some("P-256") => Material::p256(&bytes("x")?, &bytes("y")?).ok()?,
        _ => return None,
    };
    Some(PublishedKey {
        kid: text("kid")?.to_owned(),
        only,
        material,
    })
}
