use std::time::{Duration, Instant};

/// A token bucket: so many a second, with a burst.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bucket {
    per_second: u32,
    burst: u32,
    /// When the bucket would have been empty, were it filling ever since.
    empty_at: Option<Instant>,
}

impl Bucket {
    pub(crate) const fn new(per_second: u32, burst: u32) -> Self {
        Self {
            per_second,
            burst,
            empty_at: None,
        }
    }

    /// Takes one token, if there is one.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        self.take_many(1, now)
    }

    /// Takes so many at once, or none.
    pub(crate) fn take_many(&mut self, count: u32, now: Instant) -> bool {
        let token = Duration::from_secs(1) / self.per_second;
        let (cost, full) = (token * count, token * self.burst);
        let level = self
            .empty_at
            .map_or(full, |e| now.saturating_duration_since(e).min(full));
        let Some(rest) = level.checked_sub(cost) else {
            return false;
        };
        self.empty_at = now.checked_sub(rest).or(Some(now));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_then_the_rate() {
        let start = althing_testkit::epoch();
        let mut bucket = Bucket::new(100, 200);
        assert_eq!((0..500).filter(|_| bucket.take(start)).count(), 200);
        let later = start + Duration::from_millis(500);
        assert_eq!((0..500).filter(|_| bucket.take(later)).count(), 50);
    }
}
