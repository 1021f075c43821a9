//! Which packet goes to whom, rewritten how: one conference, without I/O.
//!
//! ```text
//!   decrypted RTP, RTCP ─┐                          ┌─► PacketSink: rewritten packets per receiver
//!   bridge channel JSON ─┼─►     Conference        ─┤
//!   timers, joins, ... ──┘  (one thread owns it)    └─► poll(): bridge channel messages
//!
//!   source ── incoming, one per encoding (duplicates, gaps, reports, history)
//!      │
//!      └── views: an encoding at a layer ──► outlets of receivers (slot SSRC, sequence, timestamp)
//! ```
//!
//! After every call that changes something, drain [`Conference::poll`] and ask
//! [`Conference::next_timeout`] again. What is refused, and counted: packets of SSRCs and payload
//! types that were not signalled, media that a role or [`althing_model::MediaKinds`] forbids,
//! messages beyond a sender's rate.
//!
//! A packet costs one hash lookup, and then a step for each receiver that wants it; other
//! receivers, other sources and other slots cost nothing.

mod again;
mod allocation;
mod allocator;
mod audience;
mod audio;
mod bucket;
mod closed_up;
mod conference;
mod congestion;
mod dominance;
mod endpoint;
mod feedback;
mod frame_ids;
mod hash;
mod headers;
mod hearing;
mod history;
mod incoming;
mod ingress;
mod keyframes;
mod layers;
mod loudest;
mod media;
mod membership;
mod messages;
mod missing;
mod outlet;
mod pacing;
mod pauses;
mod picture;
mod placing;
mod rates;
mod reader;
mod red;
mod relay;
mod reports;
mod setbacks;
mod settings;
mod silence;
mod slots;
mod source;
mod speakers;
mod telling;
mod timers;
mod video;
mod view;
mod wishes;

#[doc(hidden)]
pub mod fuzzing;

pub use conference::Conference;
pub use picture::{
    Activity, EndpointPicture, LayerPicture, SlotPicture, SourcePicture, WantedPicture,
};
pub use relay::{Link, Links, RelayMessage, RemoteSettings};
pub use settings::{
    Allocated, ConferenceCounters, EndpointCounters, EndpointKey, EndpointSettings, Hearing,
    Limits, Loudest, Output, PacketSink, Settings, SlotMode,
};
