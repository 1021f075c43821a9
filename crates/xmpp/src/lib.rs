//! The vocabulary of the XMPP door: elements, addresses, stanzas, Jitsi's namespaces, WebSocket
//! framing, the session state machine and Jingle. Used by the server and by the headless client.
//!
//! ```text
//!   text frame ──▶ element ──▶ session ──▶ stanza ──▶ conference, disco, extdisco, muc, jingle
//!   (framing)       (ns)      (login)                 typed readers and writers
//! ```
//!
//! It refuses sockets, clocks and randomness of its own: bytes and numbers come in as arguments.
//! Peers are hostile, so every reader is bounded and nothing here panics on what they send.

#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation
)]
#![cfg_attr(
    test,
    allow(
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        reason = "a test may panic"
    )
)]

#[cfg(test)]
#[macro_use]
mod fixture;
#[macro_use]
mod wire;

pub mod bosh;
pub mod conference;
pub mod disco;
pub mod element;
pub mod extdisco;
pub mod features;
pub mod form;
pub mod framing;
#[doc(hidden)]
pub mod fuzzing;
mod jid;
pub mod jingle;
pub mod login;
pub mod muc;
pub mod ns;
pub mod session;
pub mod sm;
pub mod stanza;

pub use element::{Element, Limits, Node, ParseError, Rendered, parse};
pub use jid::{Jid, JidError};
