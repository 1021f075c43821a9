//! The rate that the delay allows: it grows while the queue does not, and falls below what arrives
//! when it does.

use crate::congestion::capacity::Capacity;
use crate::congestion::trendline::Usage;
use crate::congestion::{MAX_RATE, MIN_RATE};
use std::time::{Duration, Instant};

/// Of what arrives, after overuse.
const DECREASE: f64 = 0.85;
const DECREASE_MORE: f64 = 5_000.0;
/// A second, while the link's capacity is not known.
const INCREASE: f64 = 1.08;
const MIN_INCREASE: f64 = 1_000.0;
/// A second, near the link's capacity: at least this, in bit/s.
const MIN_GENTLE: f64 = 4_000.0;
/// How much more than what arrives the rate may become.
const ABOVE_ACKED: (f64, f64) = (1.5, 10_000.0);
pub(crate) const FIRST_RTT: Duration = Duration::from_millis(200);
const PACKET_BITS: f64 = 1_200.0 * 8.0;
const FRAMES: f64 = 30.0;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Hold,
    Increase,
}

#[derive(Debug)]
pub(crate) struct Aimd {
    rate: f64,
    mode: Mode,
    capacity: Capacity,
    rtt: Duration,
    ceiling: f64,
    changed: Option<Instant>,
    decreased: Option<Instant>,
}

impl Aimd {
    pub(crate) fn new(rate: u64) -> Self {
        Self {
            rate: rate as f64,
            mode: Mode::Hold,
            capacity: Capacity::default(),
            rtt: FIRST_RTT,
            ceiling: MAX_RATE as f64,
            changed: None,
            decreased: None,
        }
    }

    /// In bit/s.
    pub(crate) const fn rate(&self) -> u64 {
        self.rate as u64
    }

    pub(crate) const fn set_rtt(&mut self, rtt: Duration) {
        self.rtt = rtt;
    }

    /// It does not grow of itself beyond this (bit/s).
    pub(crate) fn set_ceiling(&mut self, rate: u64) {
        self.ceiling = rate as f64;
    }

    /// Somebody knows better: a probe, or an outage.
    pub(crate) fn set_rate(&mut self, now: Instant, rate: u64) {
        self.rate = clamp(rate as f64);
        self.changed = Some(now);
    }

    pub(crate) fn probed(&mut self, now: Instant, rate: u64) {
        self.capacity.probed(rate);
        self.set_rate(now, rate);
    }

    /// Whether another decrease makes sense: the last has had the time to show, or missed by far.
    pub(crate) fn may_reduce(&self, now: Instant, acked: u64) -> bool {
        let pause = self
            .rtt
            .clamp(Duration::from_millis(10), Duration::from_millis(200));
        self.decreased
            .is_none_or(|at| now.saturating_duration_since(at) >= pause)
            || (acked as f64) < 0.5 * self.rate
    }

    /// Overuse before anything is known of what arrives.
    pub(crate) fn halve(&mut self, now: Instant) {
        self.rate = clamp(self.rate / 2.0);
        self.mode = Mode::Hold;
        self.changed = Some(now);
        self.decreased = Some(now);
    }

    /// One step; `acked` is what arrives, in bit/s.
    pub(crate) fn update(&mut self, now: Instant, usage: Usage, acked: Option<u64>) {
        match usage {
            Usage::Over => self.decrease(now, acked),
            // The queue empties: that is not yet room.
            Usage::Under => self.mode = Mode::Hold,
            Usage::Normal if self.mode == Mode::Hold => {
                self.mode = Mode::Increase;
                self.changed = Some(now);
            }
            Usage::Normal => self.increase(now, acked),
        }
    }

    fn increase(&mut self, now: Instant, acked: Option<u64>) {
        if let Some(acked) = acked
            && self.capacity.refutes(acked)
            && !self.capacity.is_above(acked)
        {
            self.capacity.reset();
        }
        let since = self
            .changed
            .map_or(0.0, |at| now.saturating_duration_since(at).as_secs_f64())
            .min(1.0);
        self.changed = Some(now);
        let step = if self.capacity.estimate().is_some() {
            self.gentle() * since
        } else {
            (self.rate * (INCREASE.powf(since) - 1.0)).max(MIN_INCREASE * since)
        };
        let proven = acked.map_or(f64::INFINITY, |a| ABOVE_ACKED.0 * a as f64 + ABOVE_ACKED.1);
        // What arrives has been of use to somebody.
        let useful = self.ceiling.max(acked.unwrap_or(0) as f64);
        let limit = proven.min(useful);
        // What is above the limit already, by a probe, stays.
        self.rate = clamp((self.rate + step).min(limit).max(self.rate));
    }

    /// Near the capacity: one packet more for each time it takes to notice, in bit/s per second.
    fn gentle(&self) -> f64 {
        let frame = self.rate / FRAMES;
        let packet = frame / (frame / PACKET_BITS).ceil().max(1.0);
        let response = self.rtt + Duration::from_millis(100);
        (packet / response.as_secs_f64()).max(MIN_GENTLE)
    }

    fn decrease(&mut self, now: Instant, acked: Option<u64>) {
        let acked = acked.map_or(self.rate, |a| a as f64);
        let mut rate = acked * DECREASE;
        if rate > DECREASE_MORE {
            rate -= DECREASE_MORE;
        }
        if rate > self.rate
            && let Some(capacity) = self.capacity.estimate()
        {
            rate = capacity as f64 * DECREASE;
        }
        if rate < self.rate {
            self.rate = clamp(rate);
        }
        let acked = acked as u64;
        if self.capacity.refutes(acked) && self.capacity.is_above(acked) {
            self.capacity.reset();
        }
        self.capacity.overused(acked);
        self.mode = Mode::Hold;
        self.changed = Some(now);
        self.decreased = Some(now);
    }
}

fn clamp(rate: f64) -> f64 {
    rate.clamp(MIN_RATE as f64, MAX_RATE as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(start: Instant, ms: u64) -> Instant {
        start + Duration::from_millis(ms)
    }

    #[test]
    fn eight_per_cent_a_second_while_the_link_is_unknown() {
        let start = althing_testkit::epoch();
        let mut a = Aimd::new(1_000_000);
        for i in 0..=100 {
            a.update(at(start, i * 100), Usage::Normal, Some(1_000_000));
        }
        // The first call only leaves the hold, and 1.5 x what arrives + 10 kbit/s is the end.
        assert_eq!(a.rate(), 1_510_000);
        a.set_ceiling(1_520_000);
        a.update(at(start, 11_000), Usage::Normal, Some(1_500_000));
        assert_eq!(a.rate(), 1_520_000, "nobody wants more");
        let mut a = Aimd::new(1_000_000);
        for i in 0..=10 {
            a.update(at(start, i * 100), Usage::Normal, Some(1_000_000));
        }
        assert!(a.rate().abs_diff(1_080_000) < 10, "{}", a.rate());
    }

    #[test]
    fn overuse_goes_below_what_arrives() {
        let start = althing_testkit::epoch();
        let mut a = Aimd::new(2_000_000);
        a.update(start, Usage::Over, Some(1_000_000));
        assert_eq!(a.rate(), 845_000);
        assert!(!a.may_reduce(at(start, 150), 845_000));
        assert!(a.may_reduce(at(start, 150), 400_000), "it missed by far");
        assert!(a.may_reduce(at(start, 200), 845_000));
    }

    #[test]
    fn near_the_capacity_it_grows_by_a_packet_per_response() {
        let start = althing_testkit::epoch();
        let mut a = Aimd::new(1_200_000);
        a.update(start, Usage::Over, Some(1_000_000));
        let before = a.rate();
        a.update(at(start, 0), Usage::Normal, Some(990_000));
        a.update(at(start, 1000), Usage::Normal, Some(990_000));
        // 845 kbit/s in frames of 28 kbit, three packets each, over 300 ms.
        let expected = 845_000.0 / 30.0 / 3.0 / 0.3;
        assert_eq!(a.rate() - before, expected as u64);
    }

    #[test]
    fn much_more_than_the_capacity_is_another_link() {
        let start = althing_testkit::epoch();
        let mut a = Aimd::new(1_200_000);
        a.update(start, Usage::Over, Some(1_000_000));
        assert!(a.capacity.estimate().is_some());
        a.update(at(start, 100), Usage::Normal, Some(1_000_000));
        a.update(at(start, 200), Usage::Normal, Some(2_000_000));
        assert_eq!(a.capacity.estimate(), None);
    }

    #[test]
    fn a_probe_counts_at_once_and_the_bounds_hold() {
        let start = althing_testkit::epoch();
        let mut a = Aimd::new(1_000_000);
        a.probed(start, 5_000_000);
        assert_eq!(a.rate(), 5_000_000);
        a.probed(start, 500_000_000);
        assert_eq!(a.rate(), MAX_RATE);
        a.update(start, Usage::Over, Some(1));
        assert_eq!(a.rate(), MIN_RATE);
        a.set_rate(start, 3_000_000);
        a.update(at(start, 0), Usage::Normal, Some(100_000));
        a.update(at(start, 1000), Usage::Normal, Some(100_000));
        assert_eq!(a.rate(), 3_000_000, "what a probe gave stays");
    }
}
