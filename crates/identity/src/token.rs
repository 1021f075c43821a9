//! A token's outside: three parts in base64url, a small header, a signature over the first two
//! (RFC 7515 §3.1, compact serialisation). Nothing in here is believed yet.

use crate::algorithm::Algorithm;
use crate::error::TokenError;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::{Map, Value};

/// Longer tokens are refused unread: those of login servers have 2 KiB, and a request line ends at
/// about this length anyway.
pub(crate) const MAX_TOKEN_BYTES: usize = 8 * 1024;
/// The longest name of a key.
pub(crate) const MAX_KID_BYTES: usize = 256;

/// A token that is well-formed, and no more.
#[derive(Debug)]
pub(crate) struct Token<'a> {
    pub(crate) algorithm: Algorithm,
    pub(crate) kid: Option<String>,
    /// What is signed: header and claims as they were sent.
    pub(crate) signed: &'a [u8],
    pub(crate) signature: Vec<u8>,
    /// The claims, for after the signature has been checked.
    pub(crate) claims: Map<String, Value>,
}

/// Read into a structure rather than a map, since it refuses a name that stands there twice.
#[derive(Deserialize)]
struct Header {
    typ: Option<String>,
    alg: Option<String>,
    kid: Option<String>,
    crit: Option<Value>,
}

impl<'a> Token<'a> {
    pub(crate) fn read(text: &'a str) -> Result<Self, TokenError> {
        if text.len() > MAX_TOKEN_BYTES {
            return Err(TokenError::TooLong);
        }
        let (signed, signature) = text.rsplit_once('.').ok_or(TokenError::Format)?;
        let (header, claims) = signed.split_once('.').ok_or(TokenError::Format)?;
        let header: Header = json(header)?;
        if !header
            .typ
            .is_some_and(|typ| typ.eq_ignore_ascii_case("JWT"))
        {
            return Err(TokenError::Type);
        }
        // Extensions that must be understood; we understand none.
        if header.crit.is_some() {
            return Err(TokenError::Format);
        }
        let algorithm = header
            .alg
            .ok_or(TokenError::AlgorithmMissing)?
            .parse()
            .map_err(|_| TokenError::Algorithm)?;
        if header.kid.as_ref().is_some_and(|k| k.len() > MAX_KID_BYTES) {
            return Err(TokenError::Key);
        }
        Ok(Self {
            algorithm,
            kid: header.kid,
            signed: signed.as_bytes(),
            signature: decode(signature)?,
            claims: json(claims)?,
        })
    }
}

fn decode(part: &str) -> Result<Vec<u8>, TokenError> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenError::Format)
}

fn json<T: for<'de> Deserialize<'de>>(part: &str) -> Result<T, TokenError> {
    serde_json::from_slice(&decode(part)?).map_err(|_| TokenError::Format)
}

/// Header and claims as they are signed.
pub(crate) fn unsigned(header: &Value, claims: &Value) -> String {
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}", encode(header), encode(claims))
}

/// The whole token.
pub(crate) fn signed(unsigned: &str, signature: &[u8]) -> String {
    format!("{unsigned}.{}", URL_SAFE_NO_PAD.encode(signature))
}
