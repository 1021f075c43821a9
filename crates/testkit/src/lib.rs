//! For tests only: virtual time and a network that loses, doubles, delays and damages on demand,
//! always the same way for the same seed. It opens no socket and never waits.
//!
//! ```text
//!   send(now, to, bytes) ──▶ Network ──▶ receive(later) ──▶ (to, bytes)
//! ```

mod network;

pub use network::{Network, Weather};

use std::time::Instant;

/// Where a virtual clock begins: some instant, which only ever serves as an origin. Tests add to
/// it and never look at the real clock again.
#[must_use]
pub fn epoch() -> Instant {
    Instant::now()
}
