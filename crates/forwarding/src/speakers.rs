//! Who speaks: the detector of Volfin and Cohen on three time scales, as the stock bridge
//! parameterises it (protocol 5 §7.5).

use smallvec::SmallVec;
use std::time::{Duration, Instant};

/// Between two decisions.
pub(crate) const INTERVAL: Duration = Duration::from_millis(300);
/// Decisions stop after this long without a level.
pub(crate) const IDLE: Duration = Duration::from_secs(15);
/// Former speakers that are listed.
pub(crate) const RECENT: usize = 10;
/// A level from which a frame counts as speech on the middle time scale.
pub(crate) const LOUD: u8 = 80;

const LEVELS: usize = 50;
const BLOCK: usize = 5;
const IDLE_STEP: Duration = Duration::from_millis(40);
const MIN_WINDOW: u16 = 750;
const FLOOR: f64 = 1e-10;

/// One endpoint's recent levels, 0 (silent) to 127.
#[derive(Debug)]
pub(crate) struct Speaker {
    /// Newest first; one entry per audio packet.
    levels: [u8; LEVELS],
    /// The noise floor; 0 while unknown.
    min: u8,
    next_min: u8,
    window: u16,
    last: Option<Instant>,
}

impl Default for Speaker {
    fn default() -> Self {
        Self {
            levels: [0; LEVELS],
            min: 0,
            next_min: 0,
            window: 0,
            last: None,
        }
    }
}

/// Likelihoods on the three time scales.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Scores {
    immediate: f64,
    medium: f64,
    long: f64,
}

impl Speaker {
    /// A packet of this level arrived.
    pub(crate) fn heard(&mut self, level: u8, now: Instant) {
        self.decay(now);
        self.shift(level);
        self.last = Some(now);
        self.track_floor(level);
    }

    pub(crate) const fn has_spoken(&self) -> bool {
        self.last.is_some()
    }

    /// Silence takes the place of packets that do not come.
    fn decay(&mut self, now: Instant) {
        let Some(last) = self.last else { return };
        let idle = now.saturating_duration_since(last);
        let steps = (idle.as_millis() / IDLE_STEP.as_millis()) as u32;
        for _ in 0..steps.min(LEVELS as u32) {
            self.shift(0);
        }
        self.last = last.checked_add(IDLE_STEP * steps).or(Some(now));
    }

    fn shift(&mut self, level: u8) {
        self.levels.copy_within(..LEVELS - 1, 1);
        self.levels[0] = level;
    }

    fn track_floor(&mut self, level: u8) {
        if level == 0 {
            return;
        }
        if self.min == 0 || level < self.min {
            self.min = level;
            self.next_min = 0;
            self.window = 0;
            return;
        }
        if self.next_min == 0 || level < self.next_min {
            self.next_min = level;
        }
        self.window += 1;
        if self.window >= MIN_WINDOW {
            let product = f64::from(self.min) * f64::from(self.next_min);
            self.min = product.sqrt() as u8;
            self.next_min = 0;
            self.window = 0;
        }
    }

    /// Immediate, medium and long counts of the newest block.
    fn counts(&self) -> (u8, u8, u8) {
        let floor = self.min.saturating_add(10);
        let immediate = |level: u8| if level < floor { 0 } else { level / 10 };
        let mut mediums = [0u8; LEVELS / BLOCK];
        for (medium, block) in mediums.iter_mut().zip(self.levels.chunks(BLOCK)) {
            *medium = block.iter().filter(|l| immediate(**l) > 7).count() as u8;
        }
        let long = mediums.iter().filter(|m| **m > 4).count() as u8;
        (immediate(self.levels[0]), mediums[0], long)
    }

    fn scores(&self) -> Scores {
        let (immediate, medium, long) = self.counts();
        Scores {
            immediate: score(immediate, 13, 0.78),
            medium: score(medium, 5, 24.0),
            long: score(long, 10, 47.0),
        }
    }
}

/// Speech (binomial with p = ½) against noise (exponential with rate `lambda`).
fn score(v: u8, n: u8, lambda: f64) -> f64 {
    let ln_binomial: f64 = (1..=v)
        .map(|i| (f64::from(n + 1 - i) / f64::from(i)).ln())
        .sum();
    let value = ln_binomial + f64::from(n) * 0.5_f64.ln() - lambda.ln() + lambda * f64::from(v);
    value.max(FLOOR)
}

/// The dominant speaker from now on, given all who may be; `None` only if there are none.
pub(crate) fn decide<'a>(
    dominant: Option<usize>,
    speakers: impl Iterator<Item = (usize, &'a mut Speaker)>,
    now: Instant,
) -> Option<usize> {
    let mut scored: SmallVec<[(usize, Scores); 64]> = speakers
        .filter(|(_, s)| s.has_spoken())
        .map(|(k, s)| {
            s.decay(now);
            (k, s.scores())
        })
        .collect();
    let incumbent = dominant
        .and_then(|d| scored.iter().position(|(k, _)| *k == d))
        .unwrap_or(0);
    if scored.is_empty() {
        return None;
    }
    let (held_by, held) = scored.remove(incumbent);
    let mut winner: Option<(usize, f64)> = None;
    for (key, s) in scored {
        let c1 = (s.immediate / held.immediate).ln();
        let c2 = (s.medium / held.medium).ln();
        let c3 = (s.long / held.long).ln();
        let eligible = c1 > 3.0 && c2 > 2.0 && c3 > 0.0;
        if eligible && winner.is_none_or(|(_, best)| c2 > best) {
            winner = Some((key, c2));
        }
    }
    Some(winner.map_or(held_by, |(key, _)| key))
}

#[cfg(test)]
mod tests;
