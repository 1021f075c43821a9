//! Watches the workers: once a second it reads what they have counted, says how stressed they are,
//! and tells each what to leave off. Nothing of it runs on a media thread.

use crate::channel::Service;
use crate::counters::{Count, Counters};
use crate::metrics::totals;
use crate::net::{Inodes, lost};
use crate::stress::{Ladder, Load, Measures};
use crate::worker::{Command, Survey};
use althing_bus::Bus;
use althing_control::{BRIDGES, BridgeStatus};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

/// How often the workers are looked at.
const READ_EVERY: Duration = Duration::from_secs(1);
/// How often that is said, and large crowds are looked at one by one, in readings.
const TELL_EVERY: u32 = 5;
/// So many endpoints may be looked at with every reading: a tenth of a millisecond.
const SURVEYED_AT_ONCE: u64 = 500;
/// Rates are those of so many readings.
const READINGS: usize = 5;

/// What is known of the bridge as a whole, a second old at most.
#[derive(Debug, Clone, Default)]
pub(crate) struct Figures {
    pub(crate) workers: Vec<Pressure>,
    pub(crate) rates: Rates,
    pub(crate) loss: Loss,
    pub(crate) survey: Survey,
}

/// The part of the packets that is lost, as streams report it, over a few seconds; nothing where
/// nobody reports.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Loss {
    /// On the way from clients to us.
    pub(crate) incoming: Option<f64>,
    /// On the way from us to clients.
    pub(crate) outgoing: Option<f64>,
}

impl Loss {
    /// Both ways.
    pub(crate) fn overall(self) -> Option<f64> {
        match (self.incoming, self.outgoing) {
            (Some(incoming), Some(outgoing)) => Some(f64::midpoint(incoming, outgoing)),
            (incoming, outgoing) => incoming.or(outgoing),
        }
    }
}

/// How one worker is.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Pressure {
    /// 1 is the limit of what is done well.
    pub(crate) stress: f64,
    /// How many steps of [`Ladder`] are taken.
    pub(crate) step: usize,
    /// Newcomers are refused.
    pub(crate) refuses: bool,
    /// Datagrams that did not fit into its sockets.
    pub(crate) lost: u64,
}

/// Per second, over a few seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Rates {
    pub(crate) packets_received: f64,
    pub(crate) packets_sent: f64,
    pub(crate) bits_received: f64,
    pub(crate) bits_sent: f64,
}

impl Figures {
    /// That of the busiest worker.
    pub(crate) fn stress(&self) -> f64 {
        self.workers.iter().map(|w| w.stress).fold(0.0, f64::max)
    }

    /// No worker takes newcomers.
    pub(crate) fn is_overloaded(&self) -> bool {
        !self.workers.is_empty() && self.workers.iter().all(|worker| worker.refuses)
    }

    pub(crate) fn lost(&self) -> u64 {
        self.workers.iter().map(|worker| worker.lost).sum()
    }
}

/// Whether workers leave things off, or only say how they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shedding {
    On,
    Off,
}

/// Watches until `stop`.
pub(crate) async fn watch(
    service: Arc<Service>,
    bus: Arc<dyn Bus>,
    sockets: Vec<Inodes>,
    shedding: Shedding,
    stop: CancellationToken,
) {
    let mut watcher = Watcher::new(service.clone(), bus, shedding, Instant::now());
    let sockets = Arc::new(sockets);
    let mut drain = service.drain.changes();
    let mut ticks = interval(READ_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {
                let sockets = sockets.clone();
                // Without its answer the figures are those of a second ago.
                let lost = tokio::task::spawn_blocking(move || lost(&sockets)).await;
                watcher.read(Instant::now(), &lost.unwrap_or_default());
            }
            changed = drain.changed() => {
                if changed.is_err() {
                    return;
                }
            }
        }
        watcher.tell();
    }
}

struct Watcher {
    service: Arc<Service>,
    bus: Arc<dyn Bus>,
    shedding: Shedding,
    workers: Vec<Worker>,
    readings: VecDeque<(Instant, Counters)>,
    figures: Figures,
    // Readings since it was last said how we are.
    untold: u32,
    told: Option<(bool, bool)>,
}

struct Worker {
    ladder: Ladder,
    before: Counters,
    busy_before: Duration,
    lost_before: u64,
    read_at: Instant,
    measures: Measures,
}

impl Watcher {
    fn new(service: Arc<Service>, bus: Arc<dyn Bus>, shedding: Shedding, now: Instant) -> Self {
        let workers = service.workers.iter().map(|_| Worker {
            ladder: Ladder::default(),
            before: Counters::default(),
            busy_before: Duration::ZERO,
            lost_before: 0,
            read_at: now,
            measures: Measures::NONE,
        });
        Self {
            workers: workers.collect(),
            service,
            bus,
            shedding,
            readings: VecDeque::with_capacity(READINGS + 1),
            figures: Figures::default(),
            // The first time at once.
            untold: TELL_EVERY - 1,
            told: None,
        }
    }

    /// Reads what was counted, and changes what is left off.
    fn read(&mut self, now: Instant, lost: &[u64]) {
        self.untold += 1;
        self.figures.workers.clear();
        for (index, worker) in self.workers.iter_mut().enumerate() {
            let handle = &self.service.workers[index];
            let counters = handle.counters.read();
            let lost = lost.get(index).copied().unwrap_or(worker.lost_before);
            // What it has been working on since the last turn's end, should that take longer.
            let busy = Duration::from_micros(counters.get(Count::BusyMicroseconds))
                + handle.pulse.working_for(now);
            let load = Load::of(
                &counters.since(&worker.before),
                busy.saturating_sub(worker.busy_before),
                lost.saturating_sub(worker.lost_before),
                now.saturating_duration_since(worker.read_at),
            );
            let pictures = handle.survey().most_pictures;
            worker.ladder.handle_load(now, load, pictures);
            (worker.before, worker.busy_before) = (counters, busy);
            (worker.lost_before, worker.read_at) = (lost, now);
            if self.shedding == Shedding::On {
                worker.shed(index, handle);
            }
            self.figures.workers.push(Pressure {
                stress: worker.ladder.stress(),
                step: worker.step(),
                refuses: !worker.measures.admits,
                lost,
            });
        }
        self.rate(now);
        for (worker, state) in self.service.workers.iter().zip(&self.workers) {
            let endpoints = state.before.get(Count::Endpoints);
            if endpoints <= SURVEYED_AT_ONCE || self.untold.is_multiple_of(TELL_EVERY) {
                // One that has no room for it is asked again in a while.
                worker.send(Command::Survey).ok();
            }
        }
        self.figures.survey = Survey::default();
        for worker in &self.service.workers {
            self.figures.survey.merge(&worker.survey());
        }
        self.service.set_figures(self.figures.clone());
    }

    fn rate(&mut self, now: Instant) {
        let totals = totals(&self.service);
        self.readings.push_back((now, totals));
        if self.readings.len() > READINGS + 1 {
            self.readings.pop_front();
        }
        let (Some((from, first)), Some((to, last))) = (self.readings.front(), self.readings.back())
        else {
            return;
        };
        let seconds = to.saturating_duration_since(*from).as_secs_f64();
        if seconds == 0.0 {
            return;
        }
        let counted = last.since(first);
        let per_second = |count, times: f64| counted.get(count) as f64 * times / seconds;
        self.figures.rates = Rates {
            packets_received: per_second(Count::PacketsReceived, 1.0),
            packets_sent: per_second(Count::PacketsSent, 1.0),
            bits_received: per_second(Count::BytesReceived, 8.0),
            bits_sent: per_second(Count::BytesSent, 8.0),
        };
        let part = |lost, reports| match counted.get(reports) {
            0 => None,
            reports => Some(counted.get(lost) as f64 / (256.0 * reports as f64)),
        };
        self.figures.loss = Loss {
            incoming: part(Count::LossIn, Count::LossReportsIn),
            outgoing: part(Count::LossOut, Count::LossReportsOut),
        };
    }

    /// Says how we are, if it is time to or if somebody is refused since, or no longer.
    fn tell(&mut self) {
        let flags = (self.service.drain.is_on(), self.figures.is_overloaded());
        if self.told == Some(flags) && self.untold < TELL_EVERY {
            return;
        }
        match (self.told.is_some_and(|(_, before)| before), flags.1) {
            (false, true) => tracing::warn!("media is overloaded, newcomers are refused"),
            (true, false) => tracing::info!("newcomers are admitted again"),
            _ => {}
        }
        self.untold = 0;
        self.told = Some(flags);
        let totals = totals(&self.service);
        let status = BridgeStatus {
            node: self.service.node.clone(),
            stress: self.figures.stress(),
            drain: flags.0,
            overloaded: flags.1,
            conferences: totals.get(Count::Conferences),
            endpoints: totals.get(Count::Endpoints),
        };
        self.bus
            .publish(BRIDGES, althing_control::encode(&status).into());
    }
}

impl Worker {
    const fn step(&self) -> usize {
        self.ladder.step()
    }

    /// Tells the worker what to leave off, if that has changed.
    fn shed(&mut self, index: usize, handle: &crate::worker::WorkerHandle) {
        let wanted = self.ladder.measures();
        if wanted == self.measures {
            return;
        }
        // One that has no room for it is told in a second.
        if handle.send(Command::Shed(wanted)).is_err() {
            return;
        }
        self.measures = wanted;
        tracing::warn!(
            worker = index,
            stress = self.ladder.stress(),
            probing = wanted.probing,
            last_n = wanted.last_n,
            max_height = wanted.max_height,
            newcomers = wanted.admits,
            "load of a media thread changes what it leaves off"
        );
    }
}

/// Since when a media thread has been working, for others to read.
#[derive(Debug)]
pub(crate) struct Pulse {
    born: Instant,
    // Microseconds since `born`, one more; 0 while it waits.
    working_since: std::sync::atomic::AtomicU64,
}

impl Pulse {
    pub(crate) const fn new(born: Instant) -> Self {
        Self {
            born,
            working_since: std::sync::atomic::AtomicU64::new(0),
        }
    }

    /// A turn begins.
    pub(crate) fn begin(&self, now: Instant) {
        let since = now.saturating_duration_since(self.born).as_micros() as u64;
        self.working_since.store(since + 1, Ordering::Relaxed);
    }

    /// The turn is over.
    pub(crate) fn end(&self) {
        self.working_since.store(0, Ordering::Relaxed);
    }

    /// How long the present turn has taken, if there is one.
    pub(crate) fn working_for(&self, now: Instant) -> Duration {
        match self.working_since.load(Ordering::Relaxed).checked_sub(1) {
            Some(since) => now
                .saturating_duration_since(self.born)
                .saturating_sub(Duration::from_micros(since)),
            None => Duration::ZERO,
        }
    }
}

#[cfg(test)]
mod tests;
