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
//! Protocol 2 is the authority on every stanza and rule here; §20 draws the state machine.

mod focus;

pub use focus::{BridgeFailure, Error, Focus, Input, Limits, Output, Settings, Snapshot};
