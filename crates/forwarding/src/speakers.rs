//! Who speaks: the detector of Volfin and Cohen on three time scales, as the stock bridge
//! parameterises it (protocol 5 §7.5).

use smallvec::SmallVec;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

/// Between two decisions.
pub(crate) const INTERVAL: Duration = Duration::from_millis(300);
/// Decisions stop after this long without audio.
pub(crate) const IDLE: Duration = Duration::from_secs(15);
/// Former speakers that are listed.
pub(crate) const RECENT: usize = 10;
/// A level from which a frame counts as speech on the middle time scale.
pub(crate) const LOUD: u8 = 80;

const LEVELS: usize = 50;
const BLOCK: usize = 5;
const IDLE_STEP: Duration = Duration::from_millis(40);
const MIN_WINDOW: u16 = 750;
/// A frame is noise below this much above the floor, in dB.
const ABOVE_FLOOR: u8 = 10;
/// The least score.
const LEAST: f64 = 1e-10;
/// After this long without a level nothing is left of a speaker's history.
const FADED: Duration = Duration::from_millis(IDLE_STEP.as_millis() as u64 * LEVELS as u64);
/// A speaker who has been silent for this long is no candidate any more.
const FORGOTTEN: Duration = Duration::from_secs(3600);

/// The noise floor of a microphone.
#[derive(Debug, Default)]
pub(crate) struct Floor {
    /// 0 while unknown.
    min: u8,
    next_min: u8,
    window: u16,
}

impl Floor {
    /// Learns from a level. Digital silence says nothing of the microphone.
    pub(crate) fn heard(&mut self, level: u8) {
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

    pub(crate) const fn is_noise(&self, level: u8) -> bool {
        level < self.min.saturating_add(ABOVE_FLOOR)
    }
}

/// One endpoint's recent levels, 0 (silent) to 127.
#[derive(Debug)]
pub(crate) struct Speaker {
    /// Newest first; one entry per audio packet.
    levels: [u8; LEVELS],
    floor: Floor,
    heard_at: Option<Instant>,
    /// Up to when `levels` tell the story.
    last: Option<Instant>,
}

impl Default for Speaker {
    fn default() -> Self {
        Self {
            levels: [0; LEVELS],
            floor: Floor::default(),
            heard_at: None,
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
        self.heard_at = Some(now);
        self.floor.heard(level);
    }

    /// Whether it was heard from within this time.
    fn spoke_within(&self, span: Duration, now: Instant) -> bool {
        self.heard_at
            .is_some_and(|at| now.saturating_duration_since(at) < span)
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

    /// Immediate, medium and long counts of the newest block.
    fn counts(&self) -> (u8, u8, u8) {
        let immediate = |level: u8| {
            if self.floor.is_noise(level) {
                0
            } else {
                level / 10
            }
        };
        let mut mediums = [0u8; LEVELS / BLOCK];
        for (medium, block) in mediums.iter_mut().zip(self.levels.chunks(BLOCK)) {
            *medium = block.iter().filter(|l| immediate(**l) > 7).count() as u8;
        }
        let long = mediums.iter().filter(|m| **m > 4).count() as u8;
        (immediate(self.levels[0]), mediums[0], long)
    }

    fn scores(&self) -> Scores {
        let (immediate, medium, long) = self.counts();
        let [immediates, mediums, longs] = &*SCORES;
        Scores {
            immediate: immediates[usize::from(immediate)],
            medium: mediums[usize::from(medium)],
            long: longs[usize::from(long)],
        }
    }
}

/// The scores of all counts on the three time scales: what would otherwise be logarithms for each
/// speaker thrice a second.
static SCORES: LazyLock<[[f64; 13]; 3]> = LazyLock::new(|| {
    [(13, 0.78), (5, 24.0), (10, 47.0)].map(|(n, lambda)| {
        std::array::from_fn(|v| match u8::try_from(v) {
            Ok(v) if v <= n => score(v, n, lambda),
            _ => LEAST,
        })
    })
});

/// Speech (binomial with p = ½) against noise (exponential with rate `lambda`).
fn score(v: u8, n: u8, lambda: f64) -> f64 {
    let ln_binomial: f64 = (1..=v)
        .map(|i| (f64::from(n + 1 - i) / f64::from(i)).ln())
        .sum();
    let value = ln_binomial + f64::from(n) * 0.5_f64.ln() - lambda.ln() + lambda * f64::from(v);
    value.max(LEAST)
}

/// The dominant speaker from now on, given all who may be; `None` only if there are none.
pub(crate) fn decide<'a>(
    dominant: Option<usize>,
    speakers: impl Iterator<Item = (usize, &'a mut Speaker)>,
    now: Instant,
) -> Option<usize> {
    let mut scored: SmallVec<[(usize, Scores); 64]> = speakers
        .filter(|(k, s)| {
            // Who has faded cannot win, and need not be looked at.
            let span = if dominant.is_none() { FORGOTTEN } else { FADED };
            Some(*k) == dominant || s.spoke_within(span, now)
        })
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
