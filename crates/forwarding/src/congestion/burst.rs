//! A probe being sent: how much of it is due.

use crate::congestion::pacer::TICK;
use crate::congestion::probing::Cluster;
use std::time::{Duration, Instant};

/// At least this long, so that its ends do not matter.
const LENGTH: Duration = Duration::from_millis(15);
/// One that cannot be sent in this is given up.
const LONGEST: Duration = Duration::from_millis(200);

#[derive(Debug, Clone, Copy)]
pub(crate) struct Burst {
    pub(crate) cluster: Cluster,
    since: Instant,
    bytes: u64,
    packets: u32,
}

impl Burst {
    pub(crate) const fn new(cluster: Cluster, now: Instant) -> Self {
        Self {
            cluster,
            since: now,
            bytes: 0,
            packets: 0,
        }
    }

    /// A packet left as part of it, be it padding or not.
    pub(crate) fn sent(&mut self, now: Instant, size: usize) {
        self.packets += 1;
        self.bytes += size as u64;
        if now <= self.since {
            // What leaves first is not measured; what it has too much must not be missing later.
            self.bytes = self.bytes.min(self.until(now));
        }
    }

    /// How many bytes there should be by the next tick.
    fn until(&self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(self.since) + TICK;
        let bytes = u128::from(self.cluster.rate) * since.as_micros() / 8_000_000;
        u64::try_from(bytes).unwrap_or(u64::MAX)
    }

    /// How many bytes of padding are due, so that the rate holds until the next tick.
    pub(crate) fn due(&self, now: Instant) -> u64 {
        self.until(now).saturating_sub(self.bytes)
    }

    pub(crate) fn is_over(&self, now: Instant) -> bool {
        let since = now.saturating_duration_since(self.since);
        let sent = self.bytes >= self.cluster.min_bytes && self.packets >= self.cluster.min_packets;
        sent && since >= LENGTH || since > LONGEST
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_holds_from_tick_to_tick() {
        let start = althing_testkit::epoch();
        let cluster = Cluster {
            id: 1,
            rate: 1_600_000,
            min_packets: 5,
            min_bytes: 3000,
        };
        let mut burst = Burst::new(cluster, start);
        let mut at = Vec::new();
        for tick in 0.. {
            let now = start + TICK * tick;
            if burst.is_over(now) {
                break;
            }
            at.push(burst.due(now));
            while burst.due(now) > 0 {
                burst.sent(now, 500);
            }
        }
        assert_eq!(at, [1000, 1000, 1000], "15 ms");
        assert!(burst.bytes >= 3000);
        let mut burst = Burst::new(cluster, start);
        burst.sent(start, 9000);
        assert_eq!(burst.due(start + TICK), 1000, "it began with a frame");
    }

    #[test]
    fn one_that_cannot_be_sent_ends() {
        let start = althing_testkit::epoch();
        let cluster = Cluster {
            id: 1,
            rate: 1_600_000,
            min_packets: 5,
            min_bytes: 3000,
        };
        let burst = Burst::new(cluster, start);
        assert!(!burst.is_over(start + LONGEST));
        assert!(burst.is_over(start + LONGEST + TICK));
    }
}
