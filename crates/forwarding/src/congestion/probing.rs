//! When to find out whether the path carries more than is sent: short bursts of padding, never
//! faster than anybody has use for.

use crate::congestion::{MAX_RATE, MIN_RATE};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Of the first rate known.
const FIRST: [f64; 2] = [3.0, 6.0];
/// Of the estimate, after a probe that found room.
const FURTHER: f64 = 2.0;
const AFTER_LOSS: f64 = 1.5;
/// Of the probe's rate; a result as good as this asks for more.
const GOOD: f64 = 0.7;
const WAIT: Duration = Duration::from_secs(1);
const MIN_PACKETS: u32 = 5;
const LENGTH: Duration = Duration::from_millis(15);
/// Beyond what is wanted: enough to prove the room that an allocation asks for.
const HEADROOM: f64 = 1.25;
/// Of the goal of the last probe; when so much more is wanted, that is probed at once.
const MORE: f64 = 1.2;
/// Of what is wanted; an estimate this great needs no further proof.
const PROVED: f64 = 1.1;
/// Between probes while little is sent; the longer when the last found nothing and half of what is
/// wanted fits already.
const PAUSE: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(15));
/// A fall below this part of what was is looked into once it is over.
const GREAT_FALL: f64 = 0.66;
const FALL_REMEMBERED: Duration = Duration::from_secs(5);
const FALLEN: f64 = 0.85;
const ALR_REMEMBERED: Duration = Duration::from_secs(3);

/// One probe: packets to be sent at `rate`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cluster {
    /// Never 0.
    pub(crate) id: u8,
    /// In bit/s.
    pub(crate) rate: u64,
    pub(crate) min_packets: u32,
    pub(crate) min_bytes: u64,
}

/// What stands against probing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Limit {
    #[default]
    None,
    /// Loss holds the estimate down, but it grows.
    Recovering,
    /// The path is full, or loses.
    Full,
}

#[derive(Debug, Default)]
pub(crate) struct Probing {
    /// What could be used, in bit/s.
    goal: u64,
    estimate: u64,
    limit: Limit,
    begun: bool,
    /// Until when a result may come, and the estimate that asks for more.
    waiting: Option<(Instant, u64)>,
    /// The rate of the last probe, and the goal then.
    probed: u64,
    probed_for: u64,
    last: Option<Instant>,
    /// The estimate when the last probe was sent.
    last_estimate: u64,
    pause: Duration,
    fell: Option<(Instant, u64)>,
    id: u8,
    pending: VecDeque<Cluster>,
}

impl Probing {
    /// What could be used, in bit/s; nothing is probed beyond.
    pub(crate) fn set_goal(&mut self, now: Instant, goal: u64) {
        self.goal = goal.min(MAX_RATE);
        if !self.begun || (self.goal as f64) < MORE * self.probed_for as f64 {
            return;
        }
        // Somebody wants to see more, and should not have to wait for it.
        let good = (GOOD * self.probed as f64) as u64;
        match &mut self.waiting {
            Some((_, asks)) if self.estimate < good => *asks = good,
            Some(_) | None => {
                self.waiting = None;
                self.try_more(now, FURTHER);
            }
        }
    }

    /// Above this (bit/s) the estimate is of no use; nothing while nobody has said.
    pub(crate) fn ceiling(&self) -> Option<u64> {
        (self.goal > 0).then(|| self.most())
    }

    fn most(&self) -> u64 {
        ((self.goal as f64 * HEADROOM) as u64).min(MAX_RATE)
    }

    /// A new estimate (bit/s).
    pub(crate) fn estimated(&mut self, now: Instant, estimate: u64, limit: Limit) {
        self.estimate = estimate;
        self.limit = limit;
        if limit == Limit::Full {
            self.pending.clear();
            self.waiting = None;
            return;
        }
        if !self.begun {
            self.begun = true;
            self.send(now, FIRST.map(|f| (f * estimate as f64) as u64));
        } else if let Some((until, good)) = self.waiting
            && now <= until
            && estimate >= good
        {
            self.waiting = None;
            self.try_more(now, FURTHER);
        }
    }

    /// The delay made the estimate fall from `before` (bit/s).
    pub(crate) fn fell(&mut self, now: Instant, before: u64) {
        if (self.estimate as f64) < GREAT_FALL * before as f64 {
            self.fell = Some((now, before));
        }
    }

    /// The queue that made it fall has gone; `alr` tells since when little is sent, and when that
    /// ended.
    pub(crate) fn recovered(&mut self, now: Instant, alr: (Option<Instant>, Option<Instant>)) {
        let Some((at, before)) = self.fell else {
            return;
        };
        let just_ended = alr
            .1
            .is_some_and(|at| now.saturating_duration_since(at) < ALR_REMEMBERED);
        if now.saturating_duration_since(at) > FALL_REMEMBERED {
            self.fell = None;
        } else if alr.0.is_some() || just_ended {
            self.fell = None;
            self.recover(now, before);
        }
    }

    /// The path was as good as `before` (bit/s), and may be again.
    pub(crate) fn recover(&mut self, now: Instant, before: u64) {
        let rate = FALLEN * before as f64;
        if rate > self.estimate as f64 {
            self.send(now, [rate as u64]);
        }
    }

    /// While little is sent, the estimate grows by probes alone.
    pub(crate) fn tick(&mut self, now: Instant, in_alr: bool) {
        if self.waiting.is_some_and(|(until, _)| now > until) {
            self.waiting = None;
        }
        let due = self
            .last
            .is_none_or(|at| now.saturating_duration_since(at) >= self.pause);
        if self.begun && in_alr && due && self.waiting.is_none() {
            let in_vain = self.last.is_some() && self.estimate <= self.last_estimate;
            let content = self.estimate >= self.goal / 2;
            self.pause = if in_vain && content { PAUSE.1 } else { PAUSE.0 };
            self.try_more(now, FURTHER);
        }
    }

    /// The next probe to be sent.
    pub(crate) fn poll(&mut self) -> Option<Cluster> {
        self.pending.pop_front()
    }

    pub(crate) fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    fn try_more(&mut self, now: Instant, factor: f64) {
        let factor = match self.limit {
            Limit::None => factor,
            Limit::Recovering => AFTER_LOSS,
            Limit::Full => return,
        };
        self.send(now, [(factor * self.estimate as f64) as u64]);
    }

    fn send<const N: usize>(&mut self, now: Instant, rates: [u64; N]) {
        let most = self.most();
        let proved = self.estimate as f64 >= PROVED * self.goal as f64;
        if proved || self.estimate >= MAX_RATE || self.limit == Limit::Full {
            return;
        }
        self.pending.clear();
        let mut good = u64::MAX;
        for rate in rates {
            let capped = rate.min(most).max(MIN_RATE);
            self.id = self.id.checked_add(1).unwrap_or(1);
            self.pending.push_back(Cluster {
                id: self.id,
                rate: capped,
                min_packets: MIN_PACKETS,
                min_bytes: capped * LENGTH.as_millis() as u64 / 8_000,
            });
            self.probed = capped;
            good = if capped < most {
                (GOOD * capped as f64) as u64
            } else {
                u64::MAX
            };
            if capped < rate {
                break;
            }
        }
        self.waiting = Some((now + WAIT, good));
        self.last = Some(now);
        self.probed_for = self.goal;
        self.last_estimate = self.estimate;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(p: &mut Probing) -> Vec<u64> {
        std::iter::from_fn(|| p.poll()).map(|c| c.rate).collect()
    }

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn first_three_and_six_times_then_twice_while_it_goes_well() {
        let start = althing_testkit::epoch();
        let mut p = Probing::default();
        p.set_goal(start, 10_000_000);
        p.estimated(start, 500_000, Limit::None);
        assert_eq!(rates(&mut p), [1_500_000, 3_000_000]);
        p.estimated(start + ms(100), 1_500_000, Limit::None);
        assert_eq!(rates(&mut p), [0u64; 0]);
        p.estimated(start + ms(150), 2_900_000, Limit::None);
        assert_eq!(rates(&mut p), [5_800_000]);
        p.estimated(start + ms(300), 3_000_000, Limit::None);
        assert_eq!(rates(&mut p), [0u64; 0]);
        p.tick(start + ms(1200), false);
        p.estimated(start + ms(1300), 5_800_000, Limit::None);
        assert_eq!(
            rates(&mut p),
            [0u64; 0],
            "a result after a second is another's"
        );
    }

    #[test]
    fn never_beyond_the_goal_and_a_quarter() {
        let start = althing_testkit::epoch();
        let mut p = Probing::default();
        p.estimated(start, 2_500_000, Limit::None);
        assert_eq!(rates(&mut p), [0u64; 0], "nobody wants anything");
        p.set_goal(start, 4_000_000);
        assert_eq!(rates(&mut p), [5_000_000]);
        p.estimated(start + ms(100), 5_000_000, Limit::None);
        assert_eq!(rates(&mut p), [0u64; 0]);
        p.set_goal(start + ms(200), 8_000_000);
        assert_eq!(rates(&mut p), [10_000_000]);
    }

    #[test]
    fn a_full_path_is_left_alone() {
        let start = althing_testkit::epoch();
        let mut p = Probing::default();
        p.set_goal(start, 10_000_000);
        p.estimated(start, 500_000, Limit::None);
        p.estimated(start, 400_000, Limit::Full);
        assert_eq!(rates(&mut p), [0u64; 0]);
        p.tick(start + ms(10_000), true);
        assert_eq!(rates(&mut p), [0u64; 0]);
        p.estimated(start + ms(11_000), 400_000, Limit::Recovering);
        p.tick(start + ms(11_000), true);
        assert_eq!(rates(&mut p), [600_000]);
    }

    #[test]
    fn little_sent_is_probed_every_five_seconds_and_more_rarely_in_vain() {
        let start = althing_testkit::epoch();
        for (goal, pause) in [(10_000_000, 5), (900_000, 15)] {
            let mut p = Probing::default();
            p.set_goal(start, goal);
            p.estimated(start, 500_000, Limit::None);
            rates(&mut p);
            let mut at = Vec::new();
            for i in 0..700 {
                p.tick(start + ms(100 * i), true);
                p.estimated(start + ms(100 * i), 500_000, Limit::None);
                if !rates(&mut p).is_empty() {
                    at.push(i / 10);
                }
            }
            assert_eq!(at[0], 1, "as soon as the first are over");
            let pauses: Vec<_> = at.windows(2).map(|w| w[1] - w[0]).collect();
            assert_eq!(pauses[..3], [pause; 3], "{at:?}");
        }
    }

    #[test]
    fn a_great_fall_is_looked_into_when_the_queue_has_gone() {
        let start = althing_testkit::epoch();
        let mut p = Probing::default();
        p.set_goal(start, 10_000_000);
        p.estimated(start, 4_000_000, Limit::None);
        rates(&mut p);
        p.estimated(start, 1_000_000, Limit::Full);
        p.fell(start, 4_000_000);
        p.estimated(start + ms(500), 1_000_000, Limit::None);
        p.recovered(start + ms(500), (None, None));
        assert_eq!(rates(&mut p), [0u64; 0]);
        p.recovered(start + ms(500), (Some(start), None));
        assert_eq!(rates(&mut p), [3_400_000]);
        p.recovered(start + ms(600), (Some(start), None));
        assert_eq!(rates(&mut p), [0u64; 0]);
    }
}
