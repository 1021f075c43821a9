//! How much really arrives: the robust estimate of the acknowledged rate.

use crate::congestion::sent::PacketResult;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Below this nothing can be said.
const REQUIRED: usize = 10;
const MIN_PACKETS: usize = 20;
const MAX_PACKETS: usize = 500;
/// In microseconds on the receiver's clock.
const MIN_WINDOW: i64 = 1_000_000;
const MAX_WINDOW: i64 = 5_000_000;

/// Sixteen bytes: all of them are looked at with every feedback, for every receiver.
#[derive(Debug, Clone, Copy)]
struct Arrived {
    arrival: i64,
    /// When it was sent, in microseconds since the origin; wraps, which the window is too short for.
    sent: u32,
    size: u32,
}

/// The packets of the last second or more, in order of arrival.
#[derive(Debug, Default)]
pub(crate) struct Throughput {
    window: VecDeque<Arrived>,
    origin: Option<Instant>,
}

impl Throughput {
    pub(crate) fn add(&mut self, results: &[PacketResult]) {
        for result in results {
            let Some(arrival) = result.arrival else {
                continue;
            };
            let origin = *self.origin.get_or_insert(result.sent_at);
            let since = match result.sent_at.checked_duration_since(origin) {
                Some(after) => micros(after),
                None => micros(origin.saturating_duration_since(result.sent_at)).wrapping_neg(),
            };
            self.window.push_back(Arrived {
                arrival,
                sent: since,
                size: result.size,
            });
            let mut at = self.window.len() - 1;
            while at > 0 && self.window[at - 1].arrival > self.window[at].arrival {
                self.window.swap(at - 1, at);
                at -= 1;
            }
        }
        while self.is_too_long() {
            self.window.pop_front();
        }
    }

    fn is_too_long(&self) -> bool {
        let (Some(first), Some(last)) = (self.window.front(), self.window.back()) else {
            return false;
        };
        let span = last.arrival.saturating_sub(first.arrival);
        let count = self.window.len();
        count > MAX_PACKETS || span > MAX_WINDOW || count > MIN_PACKETS && span > MIN_WINDOW
    }

    /// In bit/s; nothing while too little has arrived.
    pub(crate) fn rate(&self) -> Option<u64> {
        if self.window.len() < REQUIRED {
            return None;
        }
        let (first, last) = (self.window.front()?, self.window.back()?);
        let mut total = 0u64;
        let (mut greatest, mut second) = (0, 0);
        let mut before = first.arrival;
        // When they were sent, after or before the first.
        let (mut first_sent, mut last_sent, mut last_sent_size) = (0, i32::MIN, 0);
        for packet in &self.window {
            let gap = packet.arrival - before;
            before = packet.arrival;
            if gap > greatest {
                (greatest, second) = (gap, greatest);
            } else if gap > second {
                second = gap;
            }
            total += u64::from(packet.size);
            let sent = packet.sent.wrapping_sub(first.sent).cast_signed();
            first_sent = first_sent.min(sent);
            if sent >= last_sent {
                last_sent = sent;
                last_sent_size = packet.size;
            }
        }
        // One pause is forgiven: the path may have stood still.
        let received_for = (last.arrival - first.arrival - greatest + second).max(1_000);
        let sent_for = (i64::from(last_sent) - i64::from(first_sent)).max(1_000);
        let received = rate(
            total.saturating_sub(u64::from(first.size)),
            received_for as f64 / 1e6,
        );
        if sent_for > MAX_WINDOW {
            return Some(received);
        }
        let sent = rate(
            total.saturating_sub(u64::from(last_sent_size)),
            sent_for as f64 / 1e6,
        );
        Some(received.min(sent))
    }
}

/// The low bits, which differences are told by.
fn micros(since: Duration) -> u32 {
    let micros = since.as_secs().wrapping_mul(1_000_000);
    micros.wrapping_add(u64::from(since.subsec_micros())) as u32
}

/// In bit/s.
fn rate(bytes: u64, seconds: f64) -> u64 {
    (bytes as f64 * 8.0 / seconds) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn results(start: Instant, packets: impl Iterator<Item = (u64, i64)>) -> Vec<PacketResult> {
        packets
            .enumerate()
            .map(|(i, (sent, arrival))| PacketResult {
                number: i as u64 + 1,
                sent_at: start + Duration::from_micros(sent),
                arrival: Some(arrival),
                size: 1000,
                cluster: 0,
                late: false,
            })
            .collect()
    }

    #[test]
    fn the_slower_of_sending_and_arriving_counts() {
        let start = althing_testkit::epoch();
        let mut t = Throughput::default();
        // 8 kbit each 10 ms sent, each 20 ms received.
        t.add(&results(
            start,
            (0..50).map(|i| (i * 10_000, i as i64 * 20_000)),
        ));
        assert_eq!(t.rate(), Some(400_000));
        let mut t = Throughput::default();
        t.add(&results(
            start,
            (0..50).map(|i| (i * 10_000, i as i64 * 5_000)),
        ));
        assert_eq!(t.rate(), Some(800_000));
    }

    #[test]
    fn nothing_is_said_of_few_packets() {
        let start = althing_testkit::epoch();
        let mut t = Throughput::default();
        t.add(&results(
            start,
            (0..9).map(|i| (i * 10_000, i as i64 * 10_000)),
        ));
        assert_eq!(t.rate(), None);
    }

    #[test]
    fn one_standstill_is_forgiven() {
        let start = althing_testkit::epoch();
        let mut t = Throughput::default();
        t.add(&results(
            start,
            (0..40).map(|i| {
                (
                    i * 10_000,
                    i as i64 * 10_000 + if i >= 20 { 400_000 } else { 0 },
                )
            }),
        ));
        assert_eq!(t.rate(), Some(800_000));
    }

    #[test]
    fn the_window_is_a_second_and_no_more_packets_than_needed() {
        let start = althing_testkit::epoch();
        let mut t = Throughput::default();
        t.add(&results(
            start,
            (0..5000).map(|i| (i * 1_000, i as i64 * 1_000)),
        ));
        assert!(t.window.len() <= MAX_PACKETS);
        let mut t = Throughput::default();
        t.add(&results(
            start,
            (0..400).map(|i| (i * 20_000, i as i64 * 20_000)),
        ));
        let span = t.window.back().unwrap().arrival - t.window.front().unwrap().arrival;
        assert!((980_000..=1_000_000).contains(&span), "{span}");
    }

    #[test]
    fn packets_may_arrive_out_of_order() {
        let start = althing_testkit::epoch();
        let mut t = Throughput::default();
        t.add(&results(
            start,
            (0..50).map(|i| (i * 10_000, (i ^ 1) as i64 * 10_000)),
        ));
        assert_eq!(t.rate(), Some(800_000));
    }
}
