//! How much each layer of an encoding sends, measured over a second.

use std::time::{Duration, Instant};

const BUCKET: Duration = Duration::from_millis(50);
const BUCKETS: usize = 20;

/// Bytes by layer, in integer buckets.
#[derive(Debug, Default)]
pub(crate) struct Rates {
    layers: usize,
    /// One row of layers per bucket.
    bytes: Vec<u32>,
    sums: Vec<u64>,
    last: Vec<Option<Instant>>,
    /// Which row is being filled, and since when.
    row: usize,
    since: Option<Instant>,
    first: Option<Instant>,
}

impl Rates {
    /// Starts anew with so many layers.
    pub(crate) fn reset(&mut self, layers: usize) {
        *self = Self {
            layers,
            bytes: vec![0; layers * BUCKETS],
            sums: vec![0; layers],
            last: vec![None; layers],
            ..Self::default()
        };
    }

    /// Forgets what is older than a second.
    pub(crate) fn advance(&mut self, now: Instant) {
        let since = *self.since.get_or_insert(now);
        let passed = now.saturating_duration_since(since).as_millis() / BUCKET.as_millis();
        if passed == 0 {
            return;
        }
        for _ in 0..passed.min(BUCKETS as u128) {
            self.row = (self.row + 1) % BUCKETS;
            let row = &mut self.bytes[self.row * self.layers..][..self.layers];
            for (bytes, sum) in row.iter_mut().zip(&mut self.sums) {
                *sum -= u64::from(std::mem::take(bytes));
            }
        }
        self.since = Some(since + BUCKET * u32::try_from(passed).unwrap_or(u32::MAX));
    }

    /// Counts bytes for the layers that `of` names.
    pub(crate) fn add(&mut self, bytes: usize, now: Instant, of: impl Fn(usize) -> bool) {
        self.advance(now);
        self.first.get_or_insert(now);
        let row = &mut self.bytes[self.row * self.layers..][..self.layers];
        for (layer, cell) in row.iter_mut().enumerate() {
            if of(layer) {
                *cell += bytes as u32;
                self.sums[layer] += bytes as u64;
                self.last[layer] = Some(now);
            }
        }
    }

    /// Bits per second of a layer; of less than a second when no more has passed since the first
    /// packet.
    pub(crate) fn bitrate(&self, layer: usize, now: Instant) -> u64 {
        let since = self
            .first
            .map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        let millis = since.as_millis().clamp(500, 1000) as u64;
        self.sums.get(layer).map_or(0, |sum| sum * 8000 / millis)
    }

    /// When any layer last had a packet.
    pub(crate) fn newest(&self) -> Option<Instant> {
        self.last.iter().flatten().max().copied()
    }

    /// When the layer last had a packet.
    pub(crate) fn last(&self, layer: usize) -> Option<Instant> {
        *self.last.get(layer)?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_is_remembered() {
        let start = althing_testkit::epoch();
        let ms = |n| start + Duration::from_millis(n);
        let mut rates = Rates::default();
        rates.reset(2);
        // 1,000 bytes each 10 ms; every other packet in the lower layer too.
        for i in 0..300u64 {
            rates.add(1000, ms(10 * i), |layer| layer == 1 || i % 2 == 0);
        }
        let (lower, upper) = (rates.bitrate(0, ms(2990)), rates.bitrate(1, ms(2990)));
        assert!((760_000..=800_000).contains(&upper), "{upper}");
        assert!((380_000..=400_000).contains(&lower), "{lower}");
        assert_eq!(rates.last(0), Some(ms(2980)));
        rates.advance(ms(3500));
        assert!(rates.bitrate(1, ms(3500)) < upper * 6 / 10);
        rates.advance(ms(9000));
        assert_eq!(rates.bitrate(1, ms(9000)), 0);
    }

    #[test]
    fn the_first_second_counts_for_what_it_is() {
        let start = althing_testkit::epoch();
        let mut rates = Rates::default();
        rates.reset(1);
        for i in 0..50u64 {
            rates.add(1000, start + Duration::from_millis(10 * i), |_| true);
        }
        assert_eq!(
            rates.bitrate(0, start + Duration::from_millis(500)),
            800_000
        );
    }
}
