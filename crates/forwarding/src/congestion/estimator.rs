//! How much one receiver's path carries: what delay, loss and probes say, put together.

use crate::congestion::alr::Alr;
use crate::congestion::delay::DelayBased;
use crate::congestion::loss::{LossBased, LossState};
use crate::congestion::measured::Measurements;
use crate::congestion::probing::{Cluster, Limit, Probing};
use crate::congestion::sent::PacketResult;
use crate::congestion::throughput::Throughput;
use crate::congestion::trendline::Usage;
use crate::congestion::{FIRST_RATE, MAX_RATE, MIN_RATE};
use std::time::{Duration, Instant};

/// Packets go out and nothing is heard for this: the path is gone.
const SILENCE: Duration = Duration::from_secs(1);
const SILENT_STEP: Duration = Duration::from_millis(500);
const SILENT_FACTOR: f64 = 0.8;

/// Nothing is heard of what is sent.
#[derive(Debug, Clone, Copy)]
struct Outage {
    /// The rate when it began.
    before: u64,
    reduced: Instant,
}

/// The estimate for one receiver. Time is an argument; nothing is sent from here.
#[derive(Debug)]
pub(crate) struct Estimator {
    delay: DelayBased,
    loss: LossBased,
    throughput: Throughput,
    alr: Alr,
    probing: Probing,
    measurements: Measurements,
    rate: u64,
    rtt: Option<Duration>,
    heard: Instant,
    /// Packets sent when it was heard of last.
    heard_of: u64,
    outage: Option<Outage>,
}

impl Estimator {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            delay: DelayBased::new(FIRST_RATE),
            loss: LossBased::new(FIRST_RATE),
            throughput: Throughput::default(),
            alr: Alr::default(),
            probing: Probing::default(),
            measurements: Measurements::default(),
            rate: FIRST_RATE,
            rtt: None,
            heard: now,
            heard_of: 0,
            outage: None,
        }
    }

    /// In bit/s, headers included.
    pub(crate) const fn rate(&self) -> u64 {
        self.rate
    }

    /// What arrives, in bit/s.
    pub(crate) fn acked(&self) -> Option<u64> {
        self.throughput.rate()
    }

    /// What could be used, in bit/s: nothing is probed beyond it and a quarter.
    pub(crate) fn set_goal(&mut self, now: Instant, goal: u64) {
        self.probing.set_goal(now, goal);
        let ceiling = self.probing.ceiling().unwrap_or(MAX_RATE);
        self.delay.aimd.set_ceiling(ceiling);
    }

    /// Takes in what a feedback said, in sending order; `packets` were sent so far.
    pub(crate) fn feedback(&mut self, now: Instant, results: &[PacketResult], packets: u64) {
        let mut lag: Option<Duration> = None;
        for result in results.iter().filter(|r| r.arrival.is_some()) {
            let since = now.saturating_duration_since(result.sent_at);
            lag = Some(lag.map_or(since, |l| l.min(since)));
        }
        let Some(lag) = lag else {
            // Losses alone say nothing of when they happened; the next arrival does.
            return;
        };
        self.rtt = Some(lag);
        self.delay.aimd.set_rtt(lag);
        self.heard = now;
        self.heard_of = packets;
        if let Some(outage) = self.outage.take() {
            self.resume(now, results, outage);
            return;
        }
        self.throughput.add(results);
        let acked = self.throughput.rate();
        let probe = self.measurements.feedback(results);
        let delay = self.delay.feedback(now, results, acked, probe);
        let useful = acked.filter(|_| self.alr.since().is_none());
        let both = self.loss.feedback(now, results, useful, delay.rate);
        self.rate = both.clamp(MIN_RATE, MAX_RATE);
        let limit = match (delay.usage, self.loss.state()) {
            (Usage::Over, _) | (_, LossState::Falling) => Limit::Full,
            (_, LossState::Growing) => Limit::Recovering,
            (_, LossState::DelayDecides) => Limit::None,
        };
        self.probing.estimated(now, self.rate, limit);
        if let Some(before) = self.delay.fell_from.take() {
            self.probing.fell(now, before);
        }
        if delay.recovered {
            self.probing
                .recovered(now, (self.alr.since(), self.alr.ended));
        }
    }

    /// The path is back: what was lost meanwhile says nothing of its rate.
    fn resume(&mut self, now: Instant, results: &[PacketResult], outage: Outage) {
        self.throughput = Throughput::default();
        self.throughput.add(results);
        self.delay.begin_anew();
        self.loss.reset(self.rate);
        self.probing.estimated(now, self.rate, Limit::None);
        self.probing.recover(now, outage.before);
    }

    /// To be called every 25 ms or so; `bytes` and `packets` were sent so far.
    pub(crate) fn tick(&mut self, now: Instant, bytes: u64, packets: u64) {
        self.alr.update(now, self.rate, bytes);
        self.look_for_outage(now, packets);
        self.probing
            .tick(now, self.alr.since().is_some() && self.outage.is_none());
    }

    fn look_for_outage(&mut self, now: Instant, packets: u64) {
        if packets == self.heard_of {
            // Nothing is under way; silence is no sign.
            self.heard = now;
            return;
        }
        let silence = SILENCE.max(self.rtt.unwrap_or_default() * 3);
        if now.saturating_duration_since(self.heard) < silence {
            return;
        }
        let outage = self.outage.get_or_insert(Outage {
            before: self.rate,
            reduced: self.heard,
        });
        if now.saturating_duration_since(outage.reduced) >= SILENT_STEP {
            outage.reduced = now;
            let rate = (self.rate as f64 * SILENT_FACTOR) as u64;
            self.rate = rate.max(MIN_RATE);
            self.delay.aimd.set_rate(now, self.rate);
        }
    }

    /// The next probe to be sent.
    pub(crate) fn poll_probe(&mut self) -> Option<Cluster> {
        let cluster = self.probing.poll()?;
        self.measurements.begin(cluster);
        Some(cluster)
    }

    /// Whether a probe waits to be sent.
    pub(crate) fn has_probe(&self) -> bool {
        self.probing.has_pending()
    }
}

#[cfg(test)]
mod tests;
