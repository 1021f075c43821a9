//! Smooths what a receiver is sent: what goes beyond the budget of a few milliseconds waits for
//! the next tick.
//!
//! It does not hold back for long: whatever waits leaves within [`SPREAD`], however low the
//! estimate. To send less is the work of the allocation.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Between two looks at what waits.
pub(crate) const TICK: Duration = Duration::from_millis(5);
/// The longest that anything waits.
pub(crate) const SPREAD: Duration = Duration::from_millis(50);
/// Of the estimate.
const FACTOR: u64 = 5;
const FACTOR_OF: u64 = 2;
/// What may leave at once after a pause, in bytes: eight full packets.
const BURST: i64 = 10_000;
/// The deepest debt, in time at the pacing rate: what need not wait takes from the same budget.
const DEBT: Duration = Duration::from_millis(100);
/// How many may wait. More come within 50 ms only at more than 100 Mbit/s.
const MAX_WAITING: usize = 512;

/// A budget in bytes, and what waits for it.
#[derive(Debug)]
pub(crate) struct Pacer<T> {
    /// Bytes a second.
    rate: u64,
    level: i64,
    filled: Option<Instant>,
    waiting: VecDeque<(T, u32)>,
    bytes: u64,
    /// Bytes a second that let everything waiting leave in time.
    drain: u64,
    drained: Option<Instant>,
}

impl<T> Default for Pacer<T> {
    fn default() -> Self {
        Self {
            rate: 0,
            level: BURST,
            filled: None,
            waiting: VecDeque::new(),
            bytes: 0,
            drain: 0,
            drained: None,
        }
    }
}

/// Nothing more can wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Full;

impl<T> Pacer<T> {
    /// The estimate changed (bit/s); until the first, nothing waits.
    pub(crate) const fn set_estimate(&mut self, rate: u64) {
        self.rate = rate / 8 * FACTOR / FACTOR_OF;
    }

    /// Whether a packet of `size` bytes may leave now; if so it is taken from the budget.
    pub(crate) fn admits(&mut self, now: Instant, size: usize) -> bool {
        if self.rate == 0 {
            return true;
        }
        self.fill(now);
        if !self.waiting.is_empty() || self.level <= 0 {
            return false;
        }
        self.level -= size as i64;
        true
    }

    /// Something left that does not wait: audio, a retransmission, padding.
    pub(crate) fn spend(&mut self, size: usize) {
        if self.rate != 0 {
            let least = -((u128::from(self.rate) * DEBT.as_millis() / 1000) as i64);
            self.level = (self.level - size as i64).max(least);
        }
    }

    /// Whether what was spent is so much that even a retransmission should be left out.
    pub(crate) fn is_exhausted(&mut self, now: Instant) -> bool {
        if self.rate == 0 {
            return false;
        }
        self.fill(now);
        let half = (u128::from(self.rate) * DEBT.as_millis() / 2000) as i64;
        self.level < -half.max(BURST)
    }

    /// Lets a packet wait.
    pub(crate) fn push(&mut self, now: Instant, item: T, size: usize) -> Result<(), Full> {
        if self.waiting.len() == MAX_WAITING {
            return Err(Full);
        }
        if self.waiting.is_empty() {
            self.drain = 0;
            self.drained = Some(now);
        }
        self.waiting.push_back((item, size as u32));
        self.bytes += size as u64;
        let in_time = self.bytes * 1000 / SPREAD.as_millis() as u64;
        self.drain = self.drain.max(in_time).max(self.rate);
        Ok(())
    }

    /// How many bytes of what waits may leave now.
    pub(crate) fn allowance(&mut self, now: Instant) -> u64 {
        self.fill(now);
        let since = self
            .drained
            .replace(now)
            .map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        let due = u128::from(self.drain) * since.as_micros() / 1_000_000;
        let spare = u64::try_from(self.level).unwrap_or(0);
        u64::try_from(due).unwrap_or(u64::MAX).max(spare)
    }

    /// The next of what waits, while the allowance lasts; the packet that uses it up still leaves.
    pub(crate) fn pop(&mut self, allowance: &mut u64) -> Option<T> {
        if *allowance == 0 {
            return None;
        }
        let (item, size) = self.waiting.pop_front()?;
        *allowance = allowance.saturating_sub(u64::from(size));
        self.bytes -= u64::from(size);
        self.spend(size as usize);
        Some(item)
    }

    /// Takes out whatever `drop` says.
    pub(crate) fn discard(&mut self, mut drop: impl FnMut(&T) -> bool) -> usize {
        let before = self.waiting.len();
        let bytes = &mut self.bytes;
        self.waiting.retain(|(item, size)| {
            let goes = drop(item);
            if goes {
                *bytes -= u64::from(*size);
            }
            !goes
        });
        before - self.waiting.len()
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.waiting.is_empty()
    }

    fn fill(&mut self, now: Instant) {
        let Some(before) = self.filled.replace(now) else {
            return;
        };
        let since = now.saturating_duration_since(before).as_micros();
        if since > 0 {
            let tick = u128::from(self.rate) * TICK.as_micros() / 1_000_000;
            let gained = i64::try_from(u128::from(self.rate) * since / 1_000_000);
            let most = i64::try_from(tick).unwrap_or(i64::MAX).max(BURST);
            self.level = self
                .level
                .saturating_add(gained.unwrap_or(i64::MAX))
                .min(most);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    /// 2 Mbit/s, paced at 5: 3,125 bytes a tick.
    fn pacer(now: Instant) -> Pacer<u32> {
        let mut p = Pacer::default();
        p.set_estimate(2_000_000);
        assert!(p.admits(now, 0));
        p
    }

    #[test]
    fn without_an_estimate_nothing_waits() {
        let now = althing_testkit::epoch();
        let mut p = Pacer::<u32>::default();
        assert!((0..10_000).all(|_| p.admits(now, 1200)));
        p.spend(1_000_000);
        assert!(!p.is_exhausted(now));
    }

    #[test]
    fn a_burst_passes_and_more_waits_its_turn() {
        let start = althing_testkit::epoch();
        let mut p = pacer(start);
        let passed = (0..20).filter(|_| p.admits(start, 1000)).count();
        assert_eq!(passed, 10);
        for i in 10..20 {
            p.push(start, i, 1000).unwrap();
        }
        assert!(
            !p.admits(start + ms(4), 100),
            "nothing overtakes what waits"
        );
        // 6,250 bytes in 10 ms.
        let mut allowance = p.allowance(start + ms(10));
        let left: Vec<u32> = std::iter::from_fn(|| p.pop(&mut allowance)).collect();
        assert_eq!(left, [10, 11, 12, 13, 14, 15, 16]);
        assert!(!p.is_idle());
    }

    #[test]
    fn everything_leaves_within_the_spread() {
        let start = althing_testkit::epoch();
        let mut p = Pacer::<u32>::default();
        p.set_estimate(30_000);
        p.admits(start, 10_001);
        for i in 0..300 {
            p.push(start, i, 1000).unwrap();
        }
        let mut most = 0;
        for tick in 1..=10 {
            let mut allowance = p.allowance(start + TICK * tick);
            let left = std::iter::from_fn(|| p.pop(&mut allowance)).count();
            most = most.max(left);
        }
        assert!(p.is_idle());
        assert!((30..=31).contains(&most), "evenly: {most}");
    }

    #[test]
    fn what_waits_is_bounded_and_can_be_thrown_away() {
        let now = althing_testkit::epoch();
        let mut p = pacer(now);
        for i in 0..MAX_WAITING as u32 {
            p.push(now, i, 10).unwrap();
        }
        assert_eq!(p.push(now, 0, 10), Err(Full));
        assert_eq!(p.discard(|i| i % 2 == 0), MAX_WAITING / 2);
        assert_eq!(p.bytes, 10 * MAX_WAITING as u64 / 2);
        assert_eq!(p.discard(|_| true), MAX_WAITING / 2);
        assert!(p.is_idle() && p.bytes == 0);
    }

    #[test]
    fn retransmissions_end_when_they_alone_exceed_the_budget() {
        let start = althing_testkit::epoch();
        let mut p = pacer(start);
        let sent = (0..1000)
            .take_while(|_| {
                let goes = !p.is_exhausted(start);
                p.spend(1000);
                goes
            })
            .count();
        // 10 kB to begin with, and half of a tenth of a second's 62.5 kB on credit.
        assert!((40..=43).contains(&sent), "{sent}");
        assert!(!p.is_exhausted(start + ms(60)));
    }
}
