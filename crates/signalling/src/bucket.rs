//! How much, how fast: for whatever a client may do often, but not without end.

use std::time::Duration;
use tokio::time::Instant;

/// So many at once, so many per second in the long run.
#[derive(Debug)]
pub(crate) struct Bucket {
    interval: Duration,
    burst: Duration,
    /// When all that was taken will have been given back.
    full_at: Instant,
}

impl Bucket {
    pub(crate) fn new(per_second: u32, burst: u32) -> Self {
        let interval = Duration::from_secs(1) / per_second.max(1);
        Self {
            interval,
            burst: interval * burst.max(1),
            full_at: Instant::now(),
        }
    }

    /// Takes `tokens`, there or not; how long to wait until they are, if they are not yet.
    pub(crate) fn take(&mut self, tokens: u32) -> Option<Duration> {
        let now = Instant::now();
        self.full_at = self.full_at.max(now) + self.interval * tokens;
        let ahead = self.full_at - now;
        (ahead > self.burst).then(|| ahead - self.burst)
    }

    /// Takes one token, unless there is none.
    pub(crate) fn try_take(&mut self) -> bool {
        let before = self.full_at;
        let there = self.take(1).is_none();
        if !there {
            self.full_at = before;
        }
        there
    }

    /// Whether nothing is missing, so that a new one would be the same.
    pub(crate) fn is_full(&self) -> bool {
        self.full_at <= Instant::now()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_burst_is_free_and_more_has_to_wait() {
        let mut bucket = Bucket::new(10, 5);
        for n in 0..5 {
            assert_eq!(bucket.take(1), None, "{n}");
        }
        assert!(!bucket.try_take());
        assert_eq!(bucket.take(1), Some(Duration::from_millis(100)));
        assert_eq!(bucket.take(2), Some(Duration::from_millis(300)));
        assert!(!bucket.is_full());
        tokio::time::advance(Duration::from_secs(10)).await;
        assert!(bucket.is_full());
        for n in 0..5 {
            assert!(bucket.try_take(), "{n}");
        }
        assert!(!bucket.try_take());
        tokio::time::advance(Duration::from_millis(100)).await;
        assert!(bucket.try_take());
    }
}
