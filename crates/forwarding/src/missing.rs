//! Which packets of a source to ask its sender for again (protocol 5 §8.2).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

const MAX_GAP: u64 = 100;
const MAX_TRIES: u8 = 10;
const GIVE_UP: Duration = Duration::from_secs(1);
const MAX_MISSING: usize = 500;

/// Between two requests for the same packet.
pub(crate) fn interval(rtt: Option<Duration>) -> Duration {
    rtt.unwrap_or(Duration::from_millis(100))
        .clamp(Duration::from_millis(20), Duration::from_millis(150))
}

#[derive(Debug)]
struct Gap {
    number: u64,
    tries: u8,
    since: Instant,
    next_at: Instant,
}

/// The gaps of one stream.
#[derive(Debug, Default)]
pub(crate) struct Missing {
    gaps: VecDeque<Gap>,
    /// Nothing is due before; no time when nothing was ever missing.
    next_at: Option<Instant>,
}

impl Missing {
    /// A new highest packet arrived after `previous`.
    pub(crate) fn advanced(&mut self, previous: u64, number: u64, now: Instant) {
        let gap = number.saturating_sub(previous).saturating_sub(1);
        if gap >= MAX_GAP || self.gaps.len() + gap as usize > MAX_MISSING {
            self.gaps.clear();
            return;
        }
        if gap > 0 {
            self.next_at = Some(now);
        }
        self.gaps.extend((previous + 1..number).map(|number| Gap {
            number,
            tries: 0,
            since: now,
            next_at: now,
        }));
    }

    /// A packet arrived out of order.
    pub(crate) fn filled(&mut self, number: u64) {
        if let Ok(at) = self.gaps.binary_search_by_key(&number, |g| g.number) {
            self.gaps.remove(at);
        }
    }

    /// Nothing before this packet is needed any more.
    pub(crate) fn purge_before(&mut self, number: u64) {
        while self.gaps.front().is_some_and(|g| g.number < number) {
            self.gaps.pop_front();
        }
    }

    pub(crate) fn clear(&mut self) {
        self.gaps.clear();
    }

    /// Collects what is to be asked for now.
    pub(crate) fn due(&mut self, now: Instant, interval: Duration, out: &mut Vec<u16>) {
        if self.next_at.is_none_or(|at| now < at) {
            return;
        }
        let mut next: Option<Instant> = None;
        self.gaps.retain_mut(|gap| {
            if now < gap.next_at {
                next = Some(next.map_or(gap.next_at, |at| at.min(gap.next_at)));
                return true;
            }
            if gap.tries == MAX_TRIES || now.saturating_duration_since(gap.since) >= GIVE_UP {
                return false;
            }
            gap.tries += 1;
            gap.next_at = now + interval;
            next = Some(next.map_or(gap.next_at, |at| at.min(gap.next_at)));
            out.push(althing_rtp::seq::truncate(gap.number));
            true
        });
        self.next_at = next;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.gaps.is_empty()
    }

    /// When to look for what is due, perhaps too early; nothing while nothing is missing.
    pub(crate) fn next_at(&self) -> Option<Instant> {
        self.next_at.filter(|_| !self.gaps.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(m: &mut Missing, now: Instant) -> Vec<u16> {
        let mut out = Vec::new();
        m.due(now, Duration::from_millis(50), &mut out);
        out
    }

    #[test]
    fn asks_at_once_and_then_each_interval_up_to_a_second() {
        let start = althing_testkit::epoch();
        let mut m = Missing::default();
        m.advanced(10, 13, start);
        assert_eq!(due(&mut m, start), [11, 12]);
        assert_eq!(due(&mut m, start + Duration::from_millis(49)), [0u16; 0]);
        m.filled(11);
        assert_eq!(due(&mut m, start + Duration::from_millis(50)), [12]);
        let mut tries = 2;
        for i in 2..40 {
            tries += due(&mut m, start + Duration::from_millis(50 * i)).len();
        }
        assert_eq!(tries, 10);
        assert_eq!(m.next_at(), None);
    }

    #[test]
    fn a_great_gap_is_no_gap() {
        let start = althing_testkit::epoch();
        let mut m = Missing::default();
        m.advanced(10, 12, start);
        m.advanced(12, 113, start);
        assert_eq!(m.next_at(), None);
        m.advanced(113, 213, start);
        assert_eq!(due(&mut m, start).len(), 99);
    }

    #[test]
    fn a_keyframe_makes_older_packets_needless() {
        let start = althing_testkit::epoch();
        let mut m = Missing::default();
        m.advanced(10, 15, start);
        m.purge_before(14);
        assert_eq!(due(&mut m, start), [14]);
    }
}
