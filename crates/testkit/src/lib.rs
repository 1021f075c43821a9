//! For tests only: virtual time and a network that loses, doubles, delays and damages on demand,
//! always the same way for the same seed. It opens no socket and never waits, but for the [`Relay`],
//! which does the same to what real programs send.
//!
//! ```text
//!   send(now, to, bytes) ──▶ Network ──▶ receive(later) ──▶ (to, bytes)
//! ```

mod network;
mod relay;

pub use network::{Network, Weather};
pub use relay::{End, Passed, Relay, Traffic};

use std::time::Instant;

/// Where a virtual clock begins: some instant, which only ever serves as an origin. Tests add to
/// it and never look at the real clock again.
#[must_use]
pub fn epoch() -> Instant {
    Instant::now()
}
