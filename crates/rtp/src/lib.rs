//! Borrowed views and in-place rewrites of RTP, RTCP and codec descriptors.
//!
//! ```text
//!   datagram ─► RtpPacket (a view) ─► HeaderTemplate (written once) ─► patched per receiver
//!            └► rtcp::Compound (items borrowed one by one)
//! ```
//!
//! Nothing here allocates per packet, reads a clock or panics on what a peer sends. What cannot be
//! read is an [`RtpError`]; codec descriptors are read only as far as forwarding needs them.

#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::cast_possible_truncation
    )
)]

mod bits;
mod error;
mod header;
mod keyframe;
mod packet;
mod template;

pub mod av1;
pub mod dependency;
#[doc(hidden)]
pub mod fuzzing;
pub mod h264;
pub mod rtcp;
pub mod rtx;
pub mod seq;
pub mod vp8;
pub mod vp9;

pub use error::RtpError;
pub use header::RtpHeader;
pub use keyframe::is_keyframe;
pub use packet::{Extensions, RtpPacket};
pub use template::{ExtensionRules, HeaderTemplate};
