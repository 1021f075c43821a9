use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

/// What a timer is for; the generation tells a re-used slot from the one that was meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    Endpoint { slot: usize, generation: u64 },
    Conference { slot: usize, generation: u64 },
}

/// When to look at whom. An owner remembers the earliest time it asked for; entries that were
/// overtaken by an earlier one stay in the heap until their time and are then passed over, so
/// nothing is ever searched.
#[derive(Debug, Default)]
pub(super) struct Timers {
    heap: BinaryHeap<Reverse<(Instant, Timer)>>,
}

impl Timers {
    /// Sees to it that `timer` fires at `wanted` at the latest. `scheduled` is its owner's memory.
    pub(super) fn schedule(
        &mut self,
        scheduled: &mut Option<Instant>,
        wanted: Option<Instant>,
        timer: Timer,
    ) {
        let Some(wanted) = wanted else { return };
        if scheduled.is_none_or(|earlier| wanted < earlier) {
            *scheduled = Some(wanted);
            self.heap.push(Reverse((wanted, timer)));
        }
    }

    /// The next entry that is due. It counts only if its owner still has this time in mind.
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<(Instant, Timer)> {
        let Reverse((at, _)) = self.heap.peek()?;
        if *at > now {
            return None;
        }
        self.heap.pop().map(|Reverse(entry)| entry)
    }

    /// When the first entry is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn an_earlier_wish_overtakes_and_a_later_one_adds_nothing() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let timer = Timer::Endpoint {
            slot: 3,
            generation: 1,
        };
        let mut timers = Timers::default();
        let mut scheduled = None;
        for ms in [500, 700, 200, 300] {
            timers.schedule(&mut scheduled, Some(at(ms)), timer);
        }
        assert_eq!(timers.next(), Some(at(200)));
        assert_eq!(scheduled, Some(at(200)));
        assert_eq!(timers.pop_due(at(199)), None);
        assert_eq!(timers.pop_due(at(200)), Some((at(200), timer)));
        // The overtaken one comes at its own time, and its owner has another in mind.
        assert_eq!(timers.pop_due(at(600)), Some((at(500), timer)));
        assert_ne!(scheduled, Some(at(500)));
        assert_eq!(timers.pop_due(at(1000)), None);
        assert_eq!(timers.next(), None);
    }
}
