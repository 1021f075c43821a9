//! Who negotiates: offers and answers, the map of sources, what the bridge is asked for.
//!
//! One focus belongs to one room and lives as its occupant `focus`. It refuses sockets, clocks and
//! the bus: what it wants of a bridge it says as a numbered [`Output::Bridge`], and the answer comes
//! back under that number.
//!
//! ```text
//!   room ── Input::Room(event) ──►┌───────┐── Output::Bridge ─────► bridge (by the shell, over the bus)
//!   occupants ── Input::Iq ──────►│ Focus │── Output::ToOccupant ─► room, which writes the addresses
//!   bridge ── Input::Bridge ─────►└───────┘── Output::Presence ───► room
//! ```
//!
//! Each member goes round this circle (protocol 2 §20), one request at a time:
//!
//! ```text
//!   Idle ──two are here──► Allocating ──► Pending (offered) ──accept──► Active
//!    ▲                       │   ▲                                       │
//!    └── alone for 20 s      ▼   └───────── restart, bridge lost ◄───────┤
//!                         Waiting                                        └──► Ended
//! ```

mod caps;
mod error;
mod focus;
mod invite;
mod jingle;
mod member;
mod mute;
mod record;
mod signal;
mod sources;

#[doc(hidden)]
pub mod fuzzing;
#[cfg(test)]
mod tests;

pub use error::{BridgeFailure, Error};
pub use focus::{Focus, Input, Limits, Output, Settings, Snapshot};
