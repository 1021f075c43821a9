//! The loss-based half of the estimate: which rate, and which loss that the path has of itself,
//! explain best what was lost of late.
//!
//! A path that loses at random loses as much however little is sent; one that is full loses what
//! is beyond its rate. Each candidate rate is tried with the path's own loss that suits it best,
//! and the likeliest pair wins; where several explain equally well, the greatest rate.

use crate::congestion::sent::PacketResult;
use crate::congestion::{MAX_RATE, MIN_RATE};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

const OBSERVATION: Duration = Duration::from_millis(250);
const OBSERVATIONS: usize = 15;
const REQUIRED: usize = 3;
/// For each observation that came after.
const AGEING: f64 = 0.9;
/// Relative to the present rate.
const CANDIDATES: [f64; 3] = [1.02, 1.0, 0.95];
const NEWTON_STEP: f64 = 0.75;
const FIRST_INHERENT: f64 = 0.01;
const MIN_INHERENT: f64 = 0.001;
/// A path's own loss is at most this, and more at low rates: 100 kbit/s divided by the rate.
const MAX_INHERENT: f64 = 0.05;
const INHERENT_BALANCE: f64 = 100_000.0;
/// Preference for greater rates, while less is lost than [`TOLERATED`].
const LINEAR_BIAS: f64 = 0.0002;
const LOGARITHMIC_BIAS: f64 = 0.02;
const TOLERATED: f64 = 0.2;
const BIAS_SLOPE: f64 = 0.002;
/// After a decrease the rate does not grow for a time that doubles.
const HOLD: (Duration, Duration) = (Duration::from_millis(300), Duration::from_secs(60));
const GROWTH_WINDOW: Duration = Duration::from_millis(300);
const GROWTH: f64 = 1.3;
/// Of what arrives; the smaller where that is near the rate held.
const ABOVE_ACKED: (f64, f64) = (1.5, 1.2);
const NEAR_HELD: f64 = 1.3;

/// Which half of the estimate decides.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum LossState {
    /// Loss does not limit.
    #[default]
    DelayDecides,
    /// Loss limits; the rate is being tried upwards.
    Growing,
    /// Loss limits, and took from the rate last.
    Falling,
}

/// A quarter of a second's sending.
#[derive(Debug, Clone, Copy, Default)]
struct Observation {
    /// In kilobytes.
    sent: f64,
    lost: f64,
    /// In bit/s.
    rate: f64,
}

#[derive(Debug)]
pub(crate) struct LossBased {
    observations: VecDeque<Observation>,
    sent: u64,
    lost: u64,
    /// Where the observation being made begins, and its last packet.
    span: Option<(Instant, Instant)>,
    rate: f64,
    inherent: f64,
    state: LossState,
    held: Option<(Instant, f64)>,
    hold: Duration,
    window: Option<(Instant, f64)>,
}

impl LossBased {
    pub(crate) fn new(rate: u64) -> Self {
        Self {
            observations: VecDeque::new(),
            sent: 0,
            lost: 0,
            span: None,
            rate: rate as f64,
            inherent: FIRST_INHERENT,
            state: LossState::DelayDecides,
            held: None,
            hold: HOLD.0,
            window: None,
        }
    }

    pub(crate) const fn state(&self) -> LossState {
        self.state
    }

    /// What is known of the path no longer holds.
    pub(crate) fn reset(&mut self, rate: u64) {
        *self = Self::new(rate);
    }

    /// Takes in a feedback. Rates are bit/s: what arrives (nothing while too little is sent for
    /// that to mean anything), and what the delay allows. Returns what both halves allow.
    pub(crate) fn feedback(
        &mut self,
        now: Instant,
        results: &[PacketResult],
        acked: Option<u64>,
        delay: u64,
    ) -> u64 {
        self.count(results);
        if self.observe() {
            self.estimate(now, acked, delay as f64);
        }
        if self.state == LossState::DelayDecides {
            return delay;
        }
        delay.min(self.rate as u64)
    }

    fn count(&mut self, results: &[PacketResult]) {
        for result in results {
            let size = u64::from(result.size);
            if result.late {
                // It was counted as sent, and as lost; it is only no longer lost.
                if self.lost >= size {
                    self.lost -= size;
                } else if let Some(last) = self.observations.back_mut() {
                    last.lost = (last.lost - size as f64 / 1e3).max(0.0);
                }
                continue;
            }
            self.sent += size;
            self.lost += if result.arrival.is_none() { size } else { 0 };
            let (start, last) = self.span.get_or_insert((result.sent_at, result.sent_at));
            *start = (*start).min(result.sent_at);
            *last = (*last).max(result.sent_at);
        }
    }

    /// Whether an observation was completed.
    fn observe(&mut self) -> bool {
        let Some((start, last)) = self.span else {
            return false;
        };
        let span = last.saturating_duration_since(start);
        if span < OBSERVATION {
            return false;
        }
        if self.observations.len() == OBSERVATIONS {
            self.observations.pop_front();
        }
        self.observations.push_back(Observation {
            sent: self.sent as f64 / 1e3,
            lost: self.lost as f64 / 1e3,
            rate: self.sent as f64 * 8.0 / span.as_secs_f64(),
        });
        (self.sent, self.lost) = (0, 0);
        self.span = Some((last, last));
        true
    }

    fn estimate(&mut self, now: Instant, acked: Option<u64>, delay: f64) {
        if self.observations.len() < REQUIRED {
            self.rate = delay;
            return;
        }
        if self.state == LossState::DelayDecides && self.observations.iter().all(|o| o.lost <= 0.0)
        {
            // Without loss the greatest rate is the likeliest, and the path has none of its own.
            self.rate = delay.max(MIN_RATE as f64);
            self.inherent = MIN_INHERENT;
            return;
        }
        let loss = self.average_loss();
        let before = self.rate;
        let (mut rate, inherent) = self.best(acked, delay, loss);
        if loss > inherent {
            rate = rate.min(before);
        }
        if self.state != LossState::DelayDecides {
            rate = self.restrained(now, rate, acked);
        }
        // What arrives needs no proof.
        let proven = acked.map_or(MIN_RATE as f64, |a| a as f64);
        rate = rate.max(proven).min(delay).max(MIN_RATE as f64);
        self.inherent = inherent;
        self.rate = rate;
        self.settle(now, before, delay);
    }

    fn settle(&mut self, now: Instant, before: f64, delay: f64) {
        if self.rate >= delay {
            self.state = LossState::DelayDecides;
            self.hold = HOLD.0;
            self.held = None;
            self.window = None;
        } else if self.rate < before {
            self.state = LossState::Falling;
            self.held = Some((now + self.hold, self.rate));
            self.hold = (self.hold * 2).min(HOLD.1);
            self.window = None;
        } else if self.rate > before || self.state == LossState::DelayDecides {
            self.state = LossState::Growing;
        }
    }

    /// Growth is slow after loss.
    fn restrained(&mut self, now: Instant, rate: f64, acked: Option<u64>) -> f64 {
        if rate <= self.rate {
            return rate;
        }
        let held = self.held.map(|(until, rate)| (now < until, rate));
        if let Some((true, held)) = held {
            return rate.min(held.max(self.rate));
        }
        let (start, base) = *self.window.get_or_insert((now, self.rate));
        let base = if now.saturating_duration_since(start) >= GROWTH_WINDOW {
            self.window = Some((now, self.rate));
            self.rate
        } else {
            base
        };
        let mut limit = base * GROWTH;
        if let Some(acked) = acked.map(|a| a as f64) {
            let near = held.is_some_and(|(_, held)| acked < held * NEAR_HELD);
            let factor = if near { ABOVE_ACKED.1 } else { ABOVE_ACKED.0 };
            limit = limit.min(acked * factor);
        }
        rate.min(limit.max(self.rate))
    }

    /// The likeliest rate, and the loss of the path itself with it.
    fn best(&self, acked: Option<u64>, delay: f64, loss: f64) -> (f64, f64) {
        let ceiling = if loss > MAX_INHERENT {
            INHERENT_BALANCE / (loss - MAX_INHERENT)
        } else {
            MAX_RATE as f64
        };
        let candidates = CANDIDATES
            .into_iter()
            .map(|c| c * self.rate)
            .chain(acked.map(|a| a as f64))
            .chain((delay > self.rate).then_some(delay));
        let mut best: Option<(f64, f64, f64)> = None;
        for rate in candidates {
            let rate = rate.min(ceiling).max(MIN_RATE as f64);
            let inherent = self.suited_inherent(rate);
            let likelihood = self.likelihood(rate, inherent, loss);
            if best.is_none_or(|(b, ..)| likelihood > b) {
                best = Some((likelihood, rate, inherent));
            }
        }
        best.map_or((self.rate, self.inherent), |(_, rate, inherent)| {
            (rate, inherent)
        })
    }

    /// Of bytes, newer ones weighing more.
    fn average_loss(&self) -> f64 {
        let (lost, sent) = self.weighted().fold((0.0, 0.0), |(lost, sent), (w, o)| {
            (lost + w * o.lost, sent + w * o.sent)
        });
        if sent > 0.0 { lost / sent } else { 0.0 }
    }

    fn weighted(&self) -> impl Iterator<Item = (f64, &Observation)> {
        let mut weight = 1.0 / AGEING;
        self.observations.iter().rev().map(move |o| {
            weight *= AGEING;
            (weight, o)
        })
    }

    /// One step of Newton's method from the present inherent loss.
    fn suited_inherent(&self, rate: f64) -> f64 {
        let from = feasible(self.inherent, rate);
        let (mut first, mut second) = (0.0, 0.0);
        for (weight, o) in self.weighted() {
            let q = loss_probability(from, rate, o.rate);
            let arrived = o.sent - o.lost;
            first += weight * (o.lost / q - arrived / (1.0 - q));
            second -= weight * (o.lost / (q * q) + arrived / ((1.0 - q) * (1.0 - q)));
        }
        if second < 0.0 {
            feasible(from - NEWTON_STEP * first / second, rate)
        } else {
            from
        }
    }

    fn likelihood(&self, rate: f64, inherent: f64, loss: f64) -> f64 {
        let kbps = rate / 1e3;
        let tolerance = (TOLERATED - loss) / (BIAS_SLOPE + (TOLERATED - loss).abs());
        let bias = tolerance * (LINEAR_BIAS * kbps + LOGARITHMIC_BIAS * kbps.ln_1p());
        self.weighted()
            .map(|(weight, o)| {
                let q = loss_probability(inherent, rate, o.rate);
                let arrived = o.sent - o.lost;
                weight * (o.lost * q.ln() + arrived * (1.0 - q).ln() + bias * o.sent)
            })
            .sum()
    }
}

fn feasible(inherent: f64, rate: f64) -> f64 {
    let most = (MAX_INHERENT + INHERENT_BALANCE / rate.max(1.0)).min(1.0);
    inherent.clamp(MIN_INHERENT, most)
}

/// That a packet is lost on a path of this rate and inherent loss, when so much is sent.
fn loss_probability(inherent: f64, rate: f64, sent: f64) -> f64 {
    let beyond = if sent > rate {
        (sent - rate) / sent
    } else {
        0.0
    };
    (inherent + (1.0 - inherent) * beyond).clamp(1e-6, 1.0 - 1e-6)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Path {
        loss: LossBased,
        start: Instant,
        number: u64,
        bytes: f64,
    }

    impl Path {
        fn new(rate: u64) -> Self {
            Self {
                loss: LossBased::new(rate),
                start: althing_testkit::epoch(),
                number: 0,
                bytes: 0.0,
            }
        }

        /// A tenth of a second at `sent` bit/s in packets of 1,000 bytes; every `nth` is lost.
        fn step(&mut self, sent: u64, nth: u64, acked: u64, delay: u64) -> u64 {
            let end = self.bytes + sent as f64 / 80.0;
            let mut results = Vec::new();
            while self.bytes < end {
                self.bytes += 1000.0;
                self.number += 1;
                let part = 1.0 - (end - self.bytes) / (sent as f64 / 80.0);
                results.push(PacketResult {
                    number: self.number,
                    sent_at: self.start + Duration::from_secs_f64(0.1 * part.clamp(0.0, 1.0)),
                    arrival: (nth == 0 || !self.number.is_multiple_of(nth)).then_some(0),
                    size: 1000,
                    cluster: 0,
                    late: false,
                });
            }
            self.start += Duration::from_millis(100);
            self.loss.feedback(self.start, &results, Some(acked), delay)
        }

        fn run(&mut self, steps: u32, sent: u64, nth: u64, acked: u64, delay: u64) -> u64 {
            (0..steps)
                .map(|_| self.step(sent, nth, acked, delay))
                .last()
                .unwrap_or(0)
        }
    }

    #[test]
    fn without_loss_the_delay_decides() {
        let mut path = Path::new(2_500_000);
        assert_eq!(path.run(50, 1_000_000, 0, 1_000_000, 1_400_000), 1_400_000);
        assert_eq!(path.loss.state(), LossState::DelayDecides);
    }

    #[test]
    fn little_random_loss_is_the_paths_own() {
        let mut path = Path::new(1_000_000);
        // Two in a hundred.
        let rate = path.run(100, 1_000_000, 50, 980_000, 1_200_000);
        assert!(rate >= 1_150_000, "{rate}");
        assert!(
            (0.01..0.04).contains(&path.loss.inherent),
            "{}",
            path.loss.inherent
        );
    }

    #[test]
    fn what_is_lost_beyond_the_rate_lowers_it_to_what_arrives() {
        let mut path = Path::new(2_000_000);
        // A third is lost of 1.5 Mbit/s: a megabit gets through.
        let rate = path.run(100, 1_500_000, 3, 1_000_000, 2_000_000);
        assert!((1_000_000..1_100_000).contains(&rate), "{rate}");
        assert_ne!(path.loss.state(), LossState::DelayDecides);
    }

    #[test]
    fn after_a_fall_it_holds_and_then_grows_again() {
        let mut path = Path::new(2_000_000);
        let low = path.run(50, 1_500_000, 3, 1_000_000, 2_000_000);
        let mut rate = low;
        for _ in 0..100 {
            rate = path.step(rate, 0, rate, 2_000_000);
        }
        assert_eq!(rate, 2_000_000);
        assert_eq!(path.loss.state(), LossState::DelayDecides);
    }

    #[test]
    fn a_late_packet_is_not_lost() {
        let mut path = Path::new(1_000_000);
        path.step(800_000, 0, 800_000, 1_000_000);
        let mut result = PacketResult {
            number: 9000,
            sent_at: path.start,
            arrival: None,
            size: 1000,
            cluster: 0,
            late: false,
        };
        let before = path.loss.sent;
        path.loss.count(&[result]);
        assert_eq!((path.loss.lost, path.loss.sent - before), (1000, 1000));
        result.late = true;
        result.arrival = Some(1);
        path.loss.count(&[result]);
        assert_eq!((path.loss.lost, path.loss.sent - before), (0, 1000));
    }

    #[test]
    fn the_probability_of_loss() {
        let q = |inherent, rate, sent| loss_probability(inherent, rate, sent);
        assert!((q(0.1, 1e6, 5e5) - 0.1).abs() < 1e-9);
        assert!((q(0.0, 1e6, 2e6) - 0.5).abs() < 1e-9);
        assert!((q(0.1, 1e6, 2e6) - 0.55).abs() < 1e-9);
        assert!((feasible(0.5, 1e6) - 0.15).abs() < 1e-9);
        assert!((feasible(0.0, 1e6) - MIN_INHERENT).abs() < 1e-9);
    }
}
