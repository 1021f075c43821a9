//! Tokens (JWT): who somebody is, said by whoever has a key, checked here (protocol 1 §8).
//!
//! ```text
//!   token ──► read ──► keys that may be used with its algorithm, and that it names ──► rules ──► Identity
//!             ≤ 8 KiB      │                                                            iss, aud, exp, nbf,
//!                          ├─ secret, PEM: here                                         room, sub
//!                          └─ JWKS, ASAP key server: fetched, kept, bounded
//! ```
//!
//! **A key decides what it is good for, never the token.** Each key has a set of algorithms of its
//! own kind, so `none` is no algorithm, and a public key is no secret of an HMAC.
//!
//! The signatures are checked by aws-lc-rs, which the program has anyway for TLS and media. What a
//! JWT library would add is the splitting of three base64url parts; what it would take away is this
//! binding of algorithms to keys, since such libraries ask for one list per check, and the texts that
//! clients show.
//!
//! Refused: XML, rooms and sessions. What an [`Identity`](althing_model::Identity) may do is theirs.

mod algorithm;
mod claims;
mod document;
mod error;
mod fetch;
pub mod fuzzing;
mod key;
mod mint;
mod remote;
#[cfg(test)]
mod testing;
mod token;
mod verifier;

pub use algorithm::{Algorithm, UnknownAlgorithm};
pub use claims::Rules;
pub use error::TokenError;
pub use key::{KeyError, KeySettings, KeySource};
pub use mint::{Claims, MintError};
pub use verifier::{Settings, SettingsError, Verifier};
