//! The running bridge: an SFU's sockets, threads and bridge channel around two cores that know
//! nothing of them, `transport` (ICE, DTLS, SRTP of one endpoint) and `forwarding` (who gets what
//! in one conference).
//!
//! ```text
//!             clients' UDP                 clients' WebSockets         focus, over the bus
//!                  │ one port                     │                          │
//!   ┌─ worker ─────▼──────┐  ClientMessage ┌──────▼──────┐           ┌───────▼──────┐
//!   │ net ► demux ►       │◄───────────────┤  channel    │           │  control     │
//!   │ transport ►         ├───────────────►│ (tokio)     │           │  (tokio)     │
//!   │ forwarding ► seal   │  outbox        └─────────────┘           └───────┬──────┘
//!   │ (one thread each)   │◄─────────────────── commands ────────────────────┘
//!   └─────────────────────┘
//! ```
//!
//! A worker owns its conferences alone: no lock, and no allocation of ours per packet. It answers
//! no datagram from a stranger but a connectivity check signed with a password that was handed
//! out. What it refuses: rooms, XML, HTTP listeners; it gives routers and takes a bus.

// Tests in here share what those of the finished crate use, which know it by its name.
#[cfg(test)]
extern crate self as althing_bridge;
#[cfg(test)]
#[path = "../tests/support/mod.rs"]
mod support;

mod admin;
mod bridge;
mod candidates;
mod channel;
mod control;
mod counters;
mod directory;
mod drain;
mod entropy;
mod limits;
mod metrics;
mod net;
mod settings;
mod stats;
mod stress;
mod watch;
mod worker;

#[doc(hidden)]
pub mod bench;
#[doc(hidden)]
pub mod fuzzing;

pub use althing_forwarding::{Loudest, Settings as ForwardingSettings};
pub use bridge::{Bridge, StartError};
pub use drain::Drain;
pub use limits::EndpointLimits;
pub use settings::{Advertise, AdvertiseError, MAX_WORKERS, Patience, Settings};
