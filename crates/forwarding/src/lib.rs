//! Which packet goes to whom, rewritten how: one conference, without I/O.
//!
//! ```text
//!   decrypted RTP, RTCP ─┐                          ┌─► PacketSink: rewritten packets per receiver
//!   bridge channel JSON ─┼─►     Conference        ─┤
//!   timers, joins, ... ──┘  (one thread owns it)    └─► poll(): bridge channel messages
//! ```
//!
//! After every call that changes something, drain [`Conference::poll`] and ask
//! [`Conference::next_timeout`] again.
#![expect(
    missing_docs,
    unused_variables,
    clippy::needless_pass_by_ref_mut,
    clippy::needless_pass_by_value,
    reason = "signatures first; bodies follow"
)]

mod api;
pub use api::{
    Conference, ConferenceCounters, EndpointCounters, EndpointKey, EndpointSettings, Output,
    PacketSink, Settings, SlotMode,
};
