//! Delays counted in buckets, for each occupant and for each second of a run.
//!
//! A histogram of the general kind takes a hundred kilobytes and more; a thousand occupants have
//! two each. These take three.

use althing_model::MediaKind;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Buckets of each power of two: 3 % of error at most.
const STEPS: usize = 32;
/// Up to 2^26 µs, a good minute; longer ones count as that.
const LONGEST: u64 = (1 << 26) - 1;
const BUCKETS: usize = STEPS * 22;

/// How many delays there were of which length. Lengths are kept to 3 %, up to 67 s.
#[derive(Clone)]
pub struct Delays {
    counts: Box<[u32]>,
    total: u64,
    longest: u64,
}

impl Default for Delays {
    fn default() -> Self {
        Self {
            counts: vec![0; BUCKETS].into_boxed_slice(),
            total: 0,
            longest: 0,
        }
    }
}

impl fmt::Debug for Delays {
    /// Without the buckets: hundreds of zeros help nobody.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delays")
            .field("count", &self.total)
            .field("median", &self.at(0.5))
            .field("longest", &self.longest())
            .finish_non_exhaustive()
    }
}

const fn bucket(micros: u64) -> usize {
    if micros < STEPS as u64 {
        return micros as usize;
    }
    let shift = micros.ilog2() as usize - STEPS.ilog2() as usize;
    shift * STEPS + (micros >> shift) as usize
}

/// The longest delay that falls into a bucket, in microseconds.
const fn upper(bucket: usize) -> u64 {
    if bucket < STEPS * 2 {
        return bucket as u64;
    }
    let shift = bucket / STEPS - 1;
    (((bucket - shift * STEPS) as u64 + 1) << shift) - 1
}

impl Delays {
    /// One more.
    pub fn record(&mut self, delay: Duration) {
        self.record_micros(u64::try_from(delay.as_micros()).unwrap_or(LONGEST));
    }

    pub(crate) fn record_micros(&mut self, micros: u64) {
        let micros = micros.min(LONGEST);
        let count = &mut self.counts[bucket(micros)];
        *count = count.saturating_add(1);
        self.total += 1;
        self.longest = self.longest.max(micros);
    }

    /// Adds another's.
    pub fn add(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count = count.saturating_add(*more);
        }
        self.total += other.total;
        self.longest = self.longest.max(other.longest);
    }

    /// Those that came after `earlier`, a copy of this one from before.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let counts: Box<[u32]> = self
            .counts
            .iter()
            .zip(&earlier.counts)
            .map(|(now, then)| now.saturating_sub(*then))
            .collect();
        let longest = counts.iter().rposition(|count| *count > 0).map_or(0, upper);
        Self {
            total: self.total.saturating_sub(earlier.total),
            longest: longest.min(self.longest),
            counts,
        }
    }

    /// How many there were.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.total
    }

    /// The longest; zero of none.
    #[must_use]
    pub const fn longest(&self) -> Duration {
        Duration::from_micros(self.longest)
    }

    /// A share of `quantile` (0 to 1) of them took this long at most; zero of none.
    #[must_use]
    pub fn at(&self, quantile: f64) -> Duration {
        let wanted = ((self.total as f64 * quantile).ceil() as u64).clamp(1, self.total.max(1));
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += u64::from(*count);
            if seen >= wanted {
                return Duration::from_micros(upper(bucket).min(self.longest));
            }
        }
        Duration::ZERO
    }
}

/// One second of everybody's reception.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Second {
    /// Seconds since 1970.
    pub at: u64,
    /// Microphones.
    pub audio: KindSecond,
    /// Cameras and screens.
    pub video: KindSecond,
}

/// One kind of media in one second, all occupants of a hub together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct KindSecond {
    /// Packets received, retransmissions not counted.
    pub packets: u64,
    /// Half of them took this long at most.
    pub p50: Duration,
    /// All but a hundredth did.
    pub p99: Duration,
    /// All did.
    pub longest: Duration,
}

impl KindSecond {
    fn of(delays: &Delays) -> Self {
        Self {
            packets: delays.count(),
            p50: delays.at(0.5),
            p99: delays.at(0.99),
            longest: delays.longest(),
        }
    }
}

/// Delays of one second, not summed up yet.
#[derive(Debug, Default, Clone)]
pub(crate) struct SecondDelays {
    audio: Delays,
    video: Delays,
}

impl SecondDelays {
    pub(crate) fn record(&mut self, kind: MediaKind, micros: u64) {
        match kind {
            MediaKind::Audio => self.audio.record_micros(micros),
            MediaKind::Video => self.video.record_micros(micros),
        }
    }

    fn add(&mut self, other: &Self) {
        self.audio.add(&other.audio);
        self.video.add(&other.video);
    }

    fn sum(&self, at: u64) -> Second {
        Second {
            at,
            audio: KindSecond::of(&self.audio),
            video: KindSecond::of(&self.video),
        }
    }
}

/// A second is summed up for good when it is this many behind: media threads tell of it a little
/// over a second late at most.
const OPEN_SECONDS: u64 = 4;

/// What happened in which second. Shared by the media threads of a hub.
#[derive(Debug, Clone, Default)]
pub(crate) struct Timeline(Arc<Mutex<Seconds>>);

#[derive(Debug, Default)]
struct Seconds {
    open: BTreeMap<u64, SecondDelays>,
    closed: Vec<Second>,
}

impl Timeline {
    pub(crate) fn add(&self, at: u64, delays: &SecondDelays) {
        let mut seconds = self.0.lock().expect("no holder of the timeline panics");
        seconds.open.entry(at).or_default().add(delays);
        while let Some(entry) = seconds.open.first_entry() {
            if *entry.key() + OPEN_SECONDS > at {
                break;
            }
            let (at, delays) = entry.remove_entry();
            seconds.closed.push(delays.sum(at));
        }
    }

    pub(crate) fn seconds(&self) -> Vec<Second> {
        let seconds = self.0.lock().expect("no holder of the timeline panics");
        let open = seconds.open.iter().map(|(at, delays)| delays.sum(*at));
        seconds.closed.iter().copied().chain(open).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_falls_into_a_bucket_that_is_three_percent_wide() {
        let mut before = 0;
        for micros in (0..5_000)
            .chain((5_000..LONGEST).step_by(997))
            .chain([LONGEST])
        {
            let bucket = bucket(micros);
            assert!(bucket >= before && bucket < BUCKETS, "{micros}: {bucket}");
            before = bucket;
            let upper = upper(bucket);
            assert!(upper >= micros, "{micros} in {bucket} up to {upper}");
            assert!(
                (upper - micros) as f64 <= micros as f64 / 31.0,
                "{micros}: {upper}"
            );
        }
    }

    #[test]
    fn quantiles_are_of_what_was_recorded() {
        let mut delays = Delays::default();
        for millis in 1..=100 {
            delays.record(Duration::from_millis(millis));
        }
        let near = |found: Duration, millis: u64| {
            let found = found.as_micros() as f64;
            (found / (millis as f64 * 1e3) - 1.0).abs() < 0.035
        };
        assert!(near(delays.at(0.5), 50), "{:?}", delays.at(0.5));
        assert!(near(delays.at(0.99), 99), "{:?}", delays.at(0.99));
        assert_eq!(delays.longest(), Duration::from_millis(100));
        assert_eq!(delays.at(1.0), Duration::from_millis(100));
        assert_eq!(Delays::default().at(0.99), Duration::ZERO);
    }

    #[test]
    fn what_came_since_leaves_out_what_was_before() {
        let mut delays = Delays::default();
        delays.record(Duration::from_secs(1));
        let before = delays.clone();
        delays.record(Duration::from_millis(1));
        let since = delays.since(&before);
        assert_eq!(since.count(), 1);
        assert!(since.longest() < Duration::from_millis(2), "{since:?}");
        assert!(since.at(0.99) < Duration::from_millis(2), "{since:?}");
    }

    #[test]
    fn seconds_of_several_threads_are_one() {
        let timeline = Timeline::default();
        let mut delays = SecondDelays::default();
        delays.record(MediaKind::Audio, 1_000);
        for at in 100..110 {
            timeline.add(at, &delays);
            timeline.add(at, &delays);
        }
        let seconds = timeline.seconds();
        assert_eq!(seconds.len(), 10);
        assert!(seconds.iter().all(|s| s.audio.packets == 2), "{seconds:?}");
        assert_eq!(seconds[0].at, 100);
    }
}
