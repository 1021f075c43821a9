//! Numbers of which some are left out, and those behind them closed up.
//!
//! A view leaves out what does not belong to it; what was lost on the way keeps its place, since it
//! may still come. Nothing that has been given a number is ever given another: the pair of SSRC and
//! number is a nonce.

use std::collections::VecDeque;

/// A run of numbers left out.
#[derive(Debug, Clone, Copy)]
struct Run {
    start: u64,
    /// One past its last.
    end: u64,
    /// How many were left out before it.
    before: u64,
}

impl Run {
    const fn through(&self) -> u64 {
        self.before + (self.end - self.start)
    }
}

/// How many runs are remembered, for packets that come late or are asked for again: with a run per
/// frame, some seconds.
const REMEMBERED: usize = 512;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct ClosedUp {
    /// Ascending, apart from each other.
    runs: VecDeque<Run>,
    total: u64,
    /// Nothing is known any more of numbers below.
    floor: u64,
    /// The highest that has been numbered or left out.
    highest: u64,
}

impl ClosedUp {
    /// Leaves out `from..to`, as far as nothing from there on has been numbered.
    pub(crate) fn leave_out(&mut self, from: u64, to: u64) {
        let start = from.max(self.highest + 1);
        if start >= to {
            return;
        }
        self.highest = to - 1;
        let before = self.total;
        self.total += to - start;
        if let Some(last) = self.runs.back_mut()
            && last.end == start
        {
            last.end = to;
            return;
        }
        self.runs.push_back(Run {
            start,
            end: to,
            before,
        });
        if self.runs.len() > REMEMBERED
            && let Some(oldest) = self.runs.pop_front()
        {
            self.floor = oldest.end;
        }
    }

    /// The closed-up form of a number; nothing for one left out, or too old to tell.
    pub(crate) fn number(&mut self, number: u64) -> Option<u64> {
        self.highest = self.highest.max(number);
        self.peek(number)
    }

    /// As [`number`](Self::number), but lower ones may still be left out.
    pub(crate) fn peek(&self, number: u64) -> Option<u64> {
        let Some(last) = self.runs.back() else {
            return Some(number - self.total);
        };
        if number >= last.end {
            return Some(number - self.total);
        }
        if number < self.floor {
            return None;
        }
        let after = self.runs.partition_point(|r| r.start <= number);
        match after.checked_sub(1).and_then(|i| self.runs.get(i)) {
            Some(run) if number < run.end => None,
            Some(run) => Some(number - run.through()),
            None => self.runs.front().map(|run| number - run.before),
        }
    }

    /// The number whose closed-up form this is; nothing if that is too old to tell.
    pub(crate) fn original(&self, closed: u64) -> Option<u64> {
        let after = self.runs.partition_point(|r| r.start - r.before <= closed);
        let original = match after.checked_sub(1).and_then(|i| self.runs.get(i)) {
            Some(run) => closed + run.through(),
            None => closed + self.runs.front().map_or(self.total, |run| run.before),
        };
        (original >= self.floor).then_some(original)
    }

    /// How many are left out so far: what lies between a new number and its closed-up form.
    pub(crate) const fn total(&self) -> u64 {
        self.total
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[test]
    fn what_is_left_out_vanishes_and_what_was_lost_keeps_its_place() {
        let mut c = ClosedUp::default();
        assert_eq!(c.number(100), Some(100));
        c.leave_out(101, 104);
        // 104 is lost.
        assert_eq!(c.number(105), Some(102));
        c.leave_out(106, 107);
        assert_eq!(c.number(107), Some(103));
        assert_eq!(c.number(104), Some(101), "it fits into its gap");
        assert_eq!(c.number(102), None);
        c.leave_out(104, 107);
        assert_eq!(c.number(108), Some(104), "too late to leave out");
        assert_eq!(c.original(101), Some(104));
        assert_eq!(c.original(103), Some(107));
        assert_eq!(c.original(100), Some(100));
    }

    #[test]
    fn memory_is_bounded() {
        let mut c = ClosedUp::default();
        for n in 0..5000 {
            c.leave_out(1 + 2 * n, 2 + 2 * n);
            c.number(2 + 2 * n);
        }
        assert_eq!(c.runs.len(), REMEMBERED);
        assert_eq!(c.number(6), None);
        assert_eq!(c.number(10_001), Some(5001));
        assert_eq!(c.original(3), None);
    }

    proptest! {
        /// Whatever comes in whatever order: one number each, each of one, order kept.
        #[test]
        fn numbers_are_unique_and_ordered(
            steps in prop::collection::vec((0u64..4, any::<bool>(), 0u64..6), 1..400)
        ) {
            let mut c = ClosedUp::default();
            let mut given: BTreeMap<u64, u64> = BTreeMap::new();
            let mut at = 1000;
            for (step, left_out, back) in steps {
                at += step;
                let n = if back == 5 { at - 3 } else { at };
                if left_out {
                    c.leave_out(n, n + 1);
                } else if let Some(closed) = c.number(n) {
                    prop_assert_eq!(c.original(closed), Some(n));
                    if let Some(before) = given.insert(n, closed) {
                        prop_assert_eq!(before, closed);
                    }
                }
            }
            let all: Vec<u64> = given.into_values().collect();
            prop_assert!(all.windows(2).all(|w| w[0] < w[1]));
        }
    }
}
