//! A headless occupant: signalling session plus media, without a browser.
//!
//! ```text
//!   Client ──► occupant task   XMPP over WebSocket: conference, room, Jingle
//!                  │ offer
//!                  ├──► media task     ICE, DTLS, SRTP; generated packets out, checked packets in
//!                  └──► channel task   bridge channel: constraints out, source maps in
//! ```
//!
//! It sends generated Opus and VP8 in which every packet names its sender, its number and the time
//! (see `packets.rs`), so that a receiver counts loss, mixing and delay exactly. Used by tests, by
//! `althing load` and later by `althing doctor`. It is no player: nothing is encoded or decoded.

mod call;
mod channel;
mod client;
mod error;
mod media;
mod occupant;
mod packets;
mod settings;
mod stats;
mod stream;
mod tls;

pub use client::Client;
pub use error::Error;
pub use settings::{ClientSettings, SignallingMode};
pub use stats::{ClientStats, KindStats};
pub use url::Url;
