//! Sequence numbers of audio without a gap where packets were left out on purpose.
//!
//! Whoever hears a source through silence or ranking sees its packets numbered one after the other,
//! while timestamps tell how long the pause was: to a receiver that is a sender that paused, and
//! nothing to conceal. What the network lost in between two packets that are heard stays a gap. What
//! it lost among left-out packets does not become one, or a pause of a minute would look like a burst
//! of loss.

use std::collections::VecDeque;

/// Pauses that late packets are still told apart in.
const RUNS: usize = 16;
/// Missing packets right before the end of a pause that keep their numbers: they may be on their way.
const OPEN: u64 = 3;

/// Packets left out in a row, whatever was lost among them.
#[derive(Debug, Clone, Copy)]
struct Run {
    first: u64,
    last: u64,
    /// Left out up to and with this run.
    total: u64,
}

/// One numbering of a source.
#[derive(Debug, Default)]
pub(crate) struct Pauses {
    /// Oldest first.
    runs: VecDeque<Run>,
    total: u64,
    /// What lies before the first run has no known number any more.
    forgotten: bool,
    highest: Option<u64>,
    /// The highest was left out.
    pausing: bool,
}

impl Pauses {
    /// Leaves a packet out. False for a late one that a number is kept for: sending it fills a gap.
    pub(crate) fn hide(&mut self, number: u64) -> bool {
        if self.highest.is_some_and(|h| number <= h) {
            return self.run_of(number).is_some();
        }
        self.highest = Some(number);
        match self.runs.back_mut() {
            Some(run) if self.pausing => {
                run.total += number - run.last;
                run.last = number;
                self.total = run.total;
            }
            _ => {
                self.total += 1;
                self.runs.push_back(Run {
                    first: number,
                    last: number,
                    total: self.total,
                });
                if self.runs.len() > RUNS {
                    self.runs.pop_front();
                    self.forgotten = true;
                }
            }
        }
        self.pausing = true;
        true
    }

    /// The number of a packet that goes on; nothing for a late one that was left out, or that is
    /// too late to tell.
    pub(crate) fn number(&mut self, number: u64) -> Option<u64> {
        if self.highest.is_some_and(|h| number <= h) {
            let before = self.runs.partition_point(|r| r.first <= number);
            return match before.checked_sub(1).and_then(|i| self.runs.get(i)) {
                Some(run) => (number > run.last).then(|| number - run.total),
                None => (!self.forgotten).then_some(number),
            };
        }
        if let Some(run) = self.runs.back_mut().filter(|_| self.pausing) {
            let last = run.last.max(number.saturating_sub(OPEN + 1));
            run.total += last - run.last;
            run.last = last;
            self.total = run.total;
        }
        self.highest = Some(number);
        self.pausing = false;
        Some(number - self.total)
    }

    /// Takes the end of the present pause back, from this packet on, so that it can be numbered
    /// after all. False if there is no such pause.
    pub(crate) fn reveal_from(&mut self, number: u64) -> bool {
        let Some(run) = self.runs.back_mut().filter(|_| self.pausing) else {
            return false;
        };
        if number < run.first || number > run.last {
            return false;
        }
        run.total -= run.last - number + 1;
        self.total = run.total;
        self.highest = Some(number - 1);
        if number == run.first {
            self.runs.pop_back();
            self.pausing = false;
        } else {
            run.last = number - 1;
        }
        true
    }

    /// How many packets have been left out.
    pub(crate) const fn hidden(&self) -> u64 {
        self.total
    }

    /// The number that the packet after the highest would have.
    pub(crate) fn next(&self) -> u64 {
        self.highest.map_or(0, |h| h + 1 - self.total)
    }

    fn run_of(&self, number: u64) -> Option<&Run> {
        let before = self.runs.partition_point(|r| r.first <= number);
        let run = self.runs.get(before.checked_sub(1)?)?;
        (number <= run.last).then_some(run)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    #[test]
    fn a_pause_leaves_no_gap_and_a_loss_does() {
        let mut c = Pauses::default();
        assert_eq!(c.number(100), Some(100));
        for n in [101, 102, 105, 106] {
            assert!(c.hide(n));
        }
        assert_eq!(c.number(107), Some(101));
        assert_eq!(
            c.number(109),
            Some(103),
            "108 was lost between two that go on"
        );
        assert_eq!(c.number(108), Some(102), "and finds its place");
        assert_eq!(c.number(103), None, "this one was among those left out");
        assert_eq!(c.number(99), Some(99));
    }

    #[test]
    fn a_loss_at_the_end_of_a_pause_stays_small() {
        let mut c = Pauses::default();
        c.number(100);
        c.hide(101);
        assert_eq!(
            c.number(150),
            Some(104),
            "OPEN of the 48 missing keep their place"
        );
        assert_eq!(c.number(149), Some(103));
        assert_eq!(c.number(146), None);
        assert!(!c.hide(148), "a late one that a number is kept for goes on");
        assert_eq!(c.number(148), Some(102));
    }

    #[test]
    fn the_end_of_a_pause_can_be_taken_back() {
        let mut c = Pauses::default();
        c.number(10);
        for n in 11..=20 {
            c.hide(n);
        }
        assert!(c.reveal_from(19));
        assert_eq!(
            [c.number(19), c.number(20), c.number(21)],
            [11, 12, 13].map(Some)
        );
        assert!(!c.reveal_from(20), "nothing is paused");
        c.hide(22);
        assert!(c.reveal_from(22));
        assert_eq!(c.number(22), Some(14));
    }

    #[test]
    fn memory_is_bounded() {
        let mut c = Pauses::default();
        for n in 1..1000 {
            if n % 2 == 0 {
                c.hide(n);
            } else {
                c.number(n);
            }
        }
        assert_eq!(c.runs.len(), RUNS);
        assert_eq!(c.number(501), None);
    }

    /// What happens to a packet on its way: how far it is held up, whether it is lost, whether it is
    /// to be left out.
    fn packets() -> impl Strategy<Value = Vec<(u8, bool, bool)>> {
        let runs = (any::<bool>(), 1usize..30).prop_flat_map(|(out, n)| {
            prop::collection::vec(
                (
                    prop_oneof![9 => Just(0u8), 1 => 1u8..4],
                    prop::bool::weighted(0.05),
                    Just(out),
                ),
                n,
            )
        });
        prop::collection::vec(runs, 1..12).prop_map(|v| v.concat())
    }

    proptest! {
        #[test]
        fn no_gap_but_losses_and_no_number_twice(packets in packets()) {
            let mut order: Vec<(usize, usize)> = packets
                .iter()
                .enumerate()
                .map(|(i, (late, ..))| (i + usize::from(*late), i))
                .collect();
            order.sort();
            let mut c = Pauses::default();
            let mut seen: BTreeMap<u64, usize> = BTreeMap::new();
            for (_, i) in order {
                let (_, lost, out) = packets[i];
                let number = 0x1_0000 + i as u64;
                if lost || (out && c.hide(number)) {
                    continue;
                }
                if let Some(n) = c.number(number) {
                    prop_assert_eq!(seen.insert(n, i), None, "a number twice");
                }
            }
            // In order of numbers they are in order of sending.
            let sent: Vec<usize> = seen.values().copied().collect();
            prop_assert!(sent.is_sorted());
            // A gap is no greater than what was lost or came too late there.
            let delivered: BTreeSet<usize> = sent.iter().copied().collect();
            for (a, b) in seen.iter().zip(seen.iter().skip(1)) {
                let gap = b.0 - a.0 - 1;
                let missing = (a.1 + 1..*b.1)
                    .filter(|i| packets[*i].1 || packets[*i].0 > 0)
                    .filter(|i| !delivered.contains(i))
                    .count();
                prop_assert!(gap <= missing as u64, "a gap of {gap}, {missing} missing");
            }
        }
    }
}
