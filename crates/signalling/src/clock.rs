//! Time and randomness, read here and handed to the cores as arguments.

use althing_model::{Entropy, Now};
use std::time::{SystemTime, UNIX_EPOCH};

/// The time; tokio's clock, so that a test may pause it.
pub(crate) fn now() -> Now {
    let since_1970 = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Now {
        monotonic: tokio::time::Instant::now().into_std(),
        unix_millis: u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX),
    }
}

/// The operating system's random numbers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OsEntropy;

impl Entropy for OsEntropy {
    fn next_u64(&mut self) -> u64 {
        // Without randomness there are no secrets: nothing sensible is left to be done.
        getrandom::u64().expect("the operating system has random numbers")
    }
}
