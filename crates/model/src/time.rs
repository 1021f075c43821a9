use std::time::{Duration, Instant};

/// The time of an event, as handed to a core that needs a calendar as well as a stopwatch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// For durations and timers.
    pub monotonic: Instant,
    /// Milliseconds since 1970, for what is shown or stored.
    pub unix_millis: u64,
}

impl Now {
    /// The same clock `by` later.
    #[must_use]
    pub fn after(self, by: Duration) -> Self {
        Self {
            monotonic: self.monotonic + by,
            unix_millis: self.unix_millis + u64::try_from(by.as_millis()).unwrap_or(u64::MAX),
        }
    }
}
