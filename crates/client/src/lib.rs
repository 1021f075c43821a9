//! A headless occupant: signalling session plus media, without a browser.
//!
//! ```text
//!   Client ──► occupant task   XMPP over WebSocket: conference, room, Jingle
//!                  │ offer
//!                  ├──► Hub: Media     ICE, DTLS, SRTP; generated packets out, checked packets in
//!                  └──► channel task   bridge channel: constraints out, source maps in
//! ```
//!
//! It sends generated Opus and VP8 (simulcast and temporal layers included) in which every packet
//! names its sender, its number and the time (see `packets.rs`), so that a receiver counts loss,
//! mixing and delay exactly, and knows which pictures a browser could have shown. Thousands of
//! occupants share the few threads of a [`Hub`]. Used by tests, by `althing load` and later by
//! `althing doctor`. It is no player: nothing is encoded or decoded.

mod call;
mod channel;
mod client;
mod error;
mod hub;
mod measure;
mod media;
mod occupant;
mod packets;
mod settings;
mod stats;
mod stream;
mod tls;

pub use client::{Brief, Client};
pub use error::Error;
pub use hub::{Hub, HubCounts, Network};
pub use measure::{Delays, KindSecond, Second};
pub use media::{Excess, Flood, Whose};
pub use settings::{ClientSettings, EncodingSettings, SignallingMode, VideoSettings, Watch};
pub use stats::{ClientStats, FirstPicture, KindStats, VideoStats};
pub use url::Url;
