//! One multi-user chat room: who is in it, what their presence says, who moderates, what is said.
//! Stanzas in, stanzas out; no sockets, no clock, no randomness of its own.
//!
//! It refuses to know what media are: Jingle and everything else addressed to the `focus` occupant
//! is handed on untouched, and what the focus needs to know it learns from [`RoomEvent`]s.
//!
//! ```text
//!   sessions ── Input::Stanza ──►┌──────┐── Output::Send ─────► sessions (named, never held)
//!   sessions ── SessionEnded ───►│ Room │── Output::Event ────► focus, later webhooks, audit
//!   focus ── FocusPresence/Iq ──►└──────┘── Output::ToFocus ──► focus
//! ```
//!
//! A presence change is rendered once for all who watch (per address form in use, which is one
//! unless stock `gst-meet` defaults are in the room too) and once for the occupant itself, however
//! large the room is. Protocol 1 §§13–18, 20, 22 is the authority on every shape here.

mod address;
mod admin;
mod admission;
mod breakout;
mod claim;
mod command;
mod common;
mod component;
mod destroy;
mod end;
mod event;
mod exchange;
mod gate;
mod history;
mod iq;
mod join;
mod lobby;
mod meeting;
mod message;
mod metadata;
mod moderation;
mod occupant;
mod polls;
mod presence;
mod preset;
mod render;
mod roles;
mod room;
mod settings;
mod speakers;
mod term;

#[doc(hidden)]
pub mod fuzzing;

#[cfg(test)]
mod tests;

pub use address::{FOCUS, RoomNames};
pub use command::{Command, OccupantView};
pub use common::Moderators;
pub use event::{Actor, Caps, Deed, LeaveReason, OccupantInfo, PresenceFacts, RoomEvent};
pub use meeting::{Action, Component, Error, Input, Meeting, Outcome, Output, Place, Snapshot};
pub use metadata::StartMuted;
pub use moderation::Medium;
pub use occupant::Affiliation;
pub use preset::Preset;
pub use room::{Network, Sender, Settings};
