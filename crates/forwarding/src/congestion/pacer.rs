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
/// Retransmissions keep to the estimate, with everything else that is sent: a path that has become
/// too narrow would else be kept full by what it loses. What may be saved up of it, and owed, in
/// time at that rate.
const SAVED: Duration = Duration::from_millis(250);
const OWED: Duration = Duration::from_millis(500);
/// How many may wait. More come within 50 ms only at more than 100 Mbit/s.
const MAX_WAITING: usize = 512;

/// A budget in bytes, and what waits for it.
#[derive(Debug)]
pub(crate) struct Pacer<T> {
    /// Bytes a second.
    rate: u64,
    level: i64,
    /// What retransmissions may take, in bytes.
    credit: i64,
    filled: Option<Instant>,
    /// What the rate stands for, found once for each estimate.
    bounds: Bounds,
    waiting: VecDeque<(T, u32)>,
    bytes: u64,
    /// Bytes a second that let everything waiting leave in time.
    drain: u64,
    drained: Option<Instant>,
}

/// In bytes.
#[derive(Debug, Clone, Copy, Default)]
struct Bounds {
    /// The highest level, and the lowest.
    most: i64,
    least: i64,
    /// Of what retransmissions may take.
    saved: i64,
    owed: i64,
}

impl Bounds {
    fn at(rate: u64) -> Self {
        let again = rate * FACTOR_OF / FACTOR;
        Self {
            most: in_time(rate, TICK).max(BURST),
            least: -in_time(rate, DEBT),
            saved: in_time(again, SAVED).max(BURST),
            owed: -in_time(again, OWED),
        }
    }
}

impl<T> Default for Pacer<T> {
    fn default() -> Self {
        Self {
            rate: 0,
            level: BURST,
            credit: BURST,
            filled: None,
            bounds: Bounds::default(),
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
    pub(crate) fn set_estimate(&mut self, rate: u64) {
        let rate = rate / 8 * FACTOR / FACTOR_OF;
        if self.rate != rate {
            self.rate = rate;
            self.bounds = Bounds::at(rate);
        }
    }

    /// Whether a packet of `size` bytes may leave now; if so it is taken from the budget.
    #[inline]
    pub(crate) fn admits(&mut self, now: Instant, size: usize) -> bool {
        if self.rate == 0 {
            return true;
        }
        let is_full = |at| now.saturating_duration_since(at) < TICK;
        if self.level <= 0 || !self.filled.is_some_and(is_full) {
            self.fill(now);
        }
        if !self.waiting.is_empty() || self.level <= 0 {
            return false;
        }
        self.level -= size as i64;
        self.credit -= size as i64;
        true
    }

    /// Something left that does not wait: audio, a retransmission, padding.
    pub(crate) fn spend(&mut self, size: usize) {
        if self.rate != 0 {
            self.level = (self.level - size as i64).max(self.bounds.least);
            self.credit -= size as i64;
        }
    }

    /// Whether so much is being sent that retransmissions are left out.
    pub(crate) fn is_exhausted(&mut self, now: Instant) -> bool {
        if self.rate == 0 {
            return false;
        }
        self.fill(now);
        self.credit <= 0
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
        let due = in_time(self.drain, since).max(self.level).max(0);
        due.cast_unsigned()
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
        let since = now.saturating_duration_since(before);
        if since.is_zero() {
            return;
        }
        let Bounds {
            most, saved, owed, ..
        } = self.bounds;
        let gained = in_time(self.rate, since);
        self.level = self.level.saturating_add(gained).min(most);
        let again = self.rate * FACTOR_OF / FACTOR;
        let gained = in_time(again, since);
        let credit = self.credit.max(owed).saturating_add(gained);
        self.credit = credit.min(saved);
    }
}

/// Bytes at a rate (bytes a second); of more than a minute, those of a minute: nothing here counts
/// further.
fn in_time(rate: u64, time: Duration) -> i64 {
    let micros = time.as_secs().min(60) * 1_000_000 + u64::from(time.subsec_micros());
    let bytes = rate.saturating_mul(micros) / 1_000_000;
    i64::try_from(bytes).unwrap_or(i64::MAX)
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
    fn retransmissions_keep_to_the_estimate_with_everything_else() {
        let start = althing_testkit::epoch();
        let mut p = pacer(start);
        // A second of 1.6 of 2 Mbit/s leaves room for all, and something was saved.
        let again = |p: &mut Pacer<u32>, now| {
            (0..1000)
                .take_while(|_| {
                    let goes = !p.is_exhausted(now);
                    if goes {
                        p.spend(1000);
                    }
                    goes
                })
                .count()
        };
        for i in 0..100 {
            p.spend(2000);
            assert!(!p.is_exhausted(start + ms(10 * i)));
        }
        let now = start + ms(1000);
        let saved = again(&mut p, now);
        assert!((40..=65).contains(&saved), "a quarter of a second: {saved}");
        assert_eq!(again(&mut p, now), 0);
        // 250 kB a second; 200 are taken by video.
        let mut sent = 0;
        for i in 1..=100 {
            p.spend(2000);
            sent += again(&mut p, now + ms(10 * i));
        }
        assert!((45..=55).contains(&sent), "{sent}");
        // Far too much was sent: nothing for a while, but not for ever.
        p.spend(1_000_000);
        assert_eq!(again(&mut p, now + ms(1400)), 0);
        assert!(again(&mut p, now + ms(2100)) > 0);
    }
}
