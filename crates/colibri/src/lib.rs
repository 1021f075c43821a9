//! Bridge channel messages: the JSON that a client and its bridge exchange beside the signalling
//! (protocol 3 §5).
//!
//! ```text
//!   client ── ClientMessage ──► bridge        one JSON object per text frame,
//!   client ◄── BridgeMessage ── bridge        `colibriClass` says which
//! ```
//!
//! Both directions can be read and written, since the headless client stands on the other side.
//! Reading is lenient where clients differ (unknown fields and classes, null for absent, case of
//! enum values) and strict where a wrong value would do harm (ranges, size). What is refused:
//! more than [`MAX_MESSAGE_BYTES`], anything but an object with a `colibriClass`, a `maxHeight`
//! out of range. A refused message changes nothing.

#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::cast_possible_truncation
    )
)]

mod bridge;
mod client;
mod error;
mod relayed;
mod video_type;

#[doc(hidden)]
pub mod fuzzing;

pub use bridge::{AudioSlot, BridgeMessage, VideoSlot};
pub use client::{AudioSubscription, ClientMessage, Constraint, SourceVideoType, VideoConstraints};
pub use error::ParseError;
pub use relayed::{EndpointMessage, EndpointStats};

/// The longest message read, in bytes of UTF-8.
pub const MAX_MESSAGE_BYTES: usize = 64 * 1024;
