//! The delay-based half of the estimate: groups, their trend, and the rate that follows.

use crate::congestion::aimd::Aimd;
use crate::congestion::groups::Groups;
use crate::congestion::sent::PacketResult;
use crate::congestion::trendline::{Trendline, Usage};
use std::time::{Duration, Instant};

/// After a silence of this the path is looked at anew.
const SILENCE: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(crate) struct DelayBased {
    groups: Groups,
    trend: Trendline,
    pub(crate) aimd: Aimd,
    last: Option<Instant>,
    before: Usage,
    /// The rate before the last decrease.
    pub(crate) fell_from: Option<u64>,
}

/// What the delay says now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Delay {
    /// In bit/s.
    pub(crate) rate: u64,
    pub(crate) usage: Usage,
    /// A queue that was too long has gone.
    pub(crate) recovered: bool,
}

impl DelayBased {
    pub(crate) fn new(rate: u64) -> Self {
        Self {
            groups: Groups::default(),
            trend: Trendline::default(),
            aimd: Aimd::new(rate),
            last: None,
            before: Usage::Normal,
            fell_from: None,
        }
    }

    /// The path is not what it was; the rate stays.
    pub(crate) fn begin_anew(&mut self) {
        self.groups = Groups::default();
        self.trend = Trendline::default();
        self.before = Usage::Normal;
    }

    /// One feedback; `probe` is a rate just measured.
    pub(crate) fn feedback(
        &mut self,
        now: Instant,
        results: &[PacketResult],
        acked: Option<u64>,
        probe: Option<u64>,
    ) -> Delay {
        if self
            .last
            .is_some_and(|at| now.saturating_duration_since(at) > SILENCE)
        {
            self.begin_anew();
        }
        let mut recovered = false;
        let mut overused = false;
        for result in results {
            let Some(arrival) = result.arrival else {
                continue;
            };
            self.last = Some(now);
            let Some(delta) = self.groups.packet(result.sent_at, arrival, now) else {
                continue;
            };
            self.trend
                .update(delta.sent, delta.arrived, arrival as f64 / 1e3);
            let usage = self.trend.usage();
            recovered |= self.before == Usage::Under && usage == Usage::Normal;
            overused |= usage == Usage::Over;
            self.before = usage;
        }
        // A queue that grew for a moment within this feedback grew.
        let usage = if overused {
            Usage::Over
        } else {
            self.trend.usage()
        };
        match (usage, acked, probe) {
            (Usage::Over, Some(acked), _) => {
                if self.aimd.may_reduce(now, acked) {
                    let before = self.aimd.rate();
                    self.aimd.update(now, usage, Some(acked));
                    if self.aimd.rate() < before {
                        self.fell_from = Some(before);
                    }
                }
            }
            (Usage::Over, None, _) => {
                if self.aimd.may_reduce(now, u64::MAX) {
                    self.aimd.halve(now);
                }
            }
            (_, _, Some(probe)) => self.aimd.probed(now, probe),
            (..) => self.aimd.update(now, usage, acked),
        }
        Delay {
            rate: self.aimd.rate(),
            usage,
            recovered,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(start: Instant, sent: u64, arrival: i64) -> PacketResult {
        PacketResult {
            number: 1,
            sent_at: start + Duration::from_millis(sent),
            arrival: Some(arrival * 1000),
            size: 1200,
            cluster: 0,
            late: false,
        }
    }

    /// Packets every 10 ms, feedback every 50 ms; `late` by how much each takes longer.
    fn run(delay: &mut DelayBased, start: Instant, late: impl Fn(u64) -> i64) -> Vec<Delay> {
        (0..60)
            .map(|i| {
                let results: Vec<_> = (5 * i..5 * i + 5)
                    .map(|n| packet(start, 10 * n, 10 * n as i64 + late(n)))
                    .collect();
                let now = start + Duration::from_millis(50 * i + 100);
                delay.feedback(now, &results, Some(960_000), None)
            })
            .collect()
    }

    #[test]
    fn the_rate_follows_the_queue() {
        let start = althing_testkit::epoch();
        let mut delay = DelayBased::new(1_000_000);
        let calm = run(&mut delay, start, |_| 20);
        assert!(calm.iter().all(|d| d.usage == Usage::Normal));
        assert!(calm.last().unwrap().rate > 1_200_000);
        let mut delay = DelayBased::new(1_000_000);
        let grows = run(&mut delay, start, |n| 20 + n as i64);
        let first = grows.iter().position(|d| d.usage == Usage::Over).unwrap();
        assert!(first < 8, "a window of groups, and a little: {first}");
        assert_eq!(grows[first].rate, 811_000);
        assert!(delay.fell_from.is_some());
    }

    #[test]
    fn a_silence_forgets_the_queue() {
        let start = althing_testkit::epoch();
        let mut delay = DelayBased::new(1_000_000);
        run(&mut delay, start, |n| 20 + n as i64);
        let later = start + Duration::from_secs(10);
        let calm = run(&mut delay, later, |_| 500);
        assert!(calm.iter().all(|d| d.usage == Usage::Normal));
    }

    #[test]
    fn a_probe_replaces_the_rate_unless_the_queue_grows() {
        let start = althing_testkit::epoch();
        let mut delay = DelayBased::new(1_000_000);
        let d = delay.feedback(start, &[packet(start, 0, 1)], None, Some(4_000_000));
        assert_eq!(d.rate, 4_000_000);
    }
}
