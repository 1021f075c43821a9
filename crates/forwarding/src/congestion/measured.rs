//! What a probe measured: how fast its packets were sent, and how fast they arrived.

use crate::congestion::probing::Cluster;
use crate::congestion::sent::PacketResult;
use std::time::{Duration, Instant};

/// Of a probe's packets and bytes, how many must have arrived.
const ENOUGH: f64 = 0.8;
/// Arriving so much faster than sent is the work of the path, not its rate.
const MAX_RATIO: f64 = 2.0;
/// Below this part of the rate sent, the link was full; then a little less than what arrived.
const FULL: f64 = 0.9;
const LESS: f64 = 0.95;
const LONGEST: Duration = Duration::from_secs(1);
/// Sent within this is one burst of the timer.
const BURST: Duration = Duration::from_millis(1);
/// Probes under way at once.
const KEPT: usize = 4;

/// One probe's packets. Packets leave in bursts, so the last burst sent and the first that arrived
/// are left out: between their edges lie whole intervals.
#[derive(Debug, Clone, Copy)]
struct Measured {
    cluster: Cluster,
    packets: u32,
    bytes: u64,
    first_sent: Instant,
    first_bytes: u64,
    first_arrival: i64,
    last_sent: Instant,
    last_bytes: u64,
    last_arrival: i64,
    done: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Measurements {
    kept: [Option<Measured>; KEPT],
    begun: Vec<Cluster>,
}

impl Measurements {
    /// The packets of this probe are about to be sent.
    pub(crate) fn begin(&mut self, cluster: Cluster) {
        if self.begun.len() == KEPT {
            self.begun.remove(0);
        }
        self.begun.push(cluster);
    }

    /// The rate that a probe in these results measured, in bit/s.
    pub(crate) fn feedback(&mut self, results: &[PacketResult]) -> Option<u64> {
        let mut touched = false;
        for result in results {
            if result.cluster != 0
                && let Some(arrival) = result.arrival
            {
                self.packet(result, arrival);
                touched = true;
            }
        }
        if !touched {
            return None;
        }
        let mut best = None;
        for measured in self.kept.iter_mut().flatten().filter(|m| !m.done) {
            if let Some(rate) = measured.rate() {
                measured.done = true;
                best = best.max(Some(rate));
            }
        }
        best
    }

    fn packet(&mut self, result: &PacketResult, arrival: i64) {
        let Some(&cluster) = self.begun.iter().find(|c| c.id == result.cluster) else {
            return;
        };
        let slot = &mut self.kept[usize::from(cluster.id) % KEPT];
        let size = u64::from(result.size);
        let measured = match slot {
            Some(m) if m.cluster.id == cluster.id => m,
            _ => slot.insert(Measured {
                cluster,
                packets: 0,
                bytes: 0,
                first_sent: result.sent_at,
                first_bytes: 0,
                first_arrival: arrival,
                last_sent: result.sent_at,
                last_bytes: 0,
                last_arrival: arrival,
                done: false,
            }),
        };
        measured.packets += 1;
        measured.bytes += size;
        measured.last_arrival = measured.last_arrival.max(arrival);
        let sent = result.sent_at;
        if sent.saturating_duration_since(measured.first_sent) < BURST {
            measured.first_bytes += size;
            measured.first_arrival = measured.first_arrival.max(arrival);
        }
        if sent.saturating_duration_since(measured.last_sent) < BURST {
            measured.last_bytes += size;
        } else {
            measured.last_sent = sent;
            measured.last_bytes = size;
        }
    }
}

impl Measured {
    fn rate(&self) -> Option<u64> {
        let enough = f64::from(self.packets) >= ENOUGH * f64::from(self.cluster.min_packets)
            && self.bytes as f64 >= ENOUGH * self.cluster.min_bytes as f64;
        if !enough {
            return None;
        }
        let sent_for = self.last_sent.saturating_duration_since(self.first_sent);
        let received_for =
            Duration::from_micros(u64::try_from(self.last_arrival - self.first_arrival).ok()?);
        if sent_for < BURST || received_for.is_zero() || sent_for.max(received_for) > LONGEST {
            return None;
        }
        let rate = |bytes: u64, time: Duration| bytes as f64 * 8.0 / time.as_secs_f64();
        let sent = rate(self.bytes - self.last_bytes, sent_for);
        let received = rate(self.bytes - self.first_bytes, received_for);
        if received > MAX_RATIO * sent {
            return None;
        }
        let rate = if received < FULL * sent {
            LESS * received
        } else {
            received.min(sent)
        };
        Some(rate as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLUSTER: Cluster = Cluster {
        id: 3,
        rate: 4_800_000,
        min_packets: 5,
        min_bytes: 9_000,
    };

    /// Four bursts of three packets, 5 ms apart; arrivals in microseconds by packet.
    fn results(start: Instant, arrival: impl Fn(u64) -> Option<i64>) -> Vec<PacketResult> {
        (0..12)
            .map(|i| PacketResult {
                number: i + 1,
                sent_at: start + Duration::from_millis(5 * (i / 3)),
                arrival: arrival(i),
                size: 1000,
                cluster: 3,
                late: false,
            })
            .collect()
    }

    fn measure(arrival: impl Fn(u64) -> Option<i64>) -> Option<u64> {
        let mut m = Measurements::default();
        m.begin(CLUSTER);
        m.feedback(&results(althing_testkit::epoch(), arrival))
    }

    #[test]
    fn a_free_link_gives_the_rate_sent() {
        // 24 kbit each 5 ms.
        assert_eq!(measure(|i| Some(5_000 * (i as i64 / 3))), Some(4_800_000));
    }

    #[test]
    fn a_full_link_gives_a_little_less_than_it_carries() {
        // A packet each 4 ms: 2 Mbit/s.
        assert_eq!(measure(|i| Some(4_000 * i as i64)), Some(1_900_000));
    }

    #[test]
    fn too_few_packets_and_impossible_speeds_say_nothing() {
        assert_eq!(measure(|i| (i < 3).then_some(i as i64 * 1000)), None);
        assert_eq!(measure(|i| Some(1_000 * (i as i64 / 3))), None);
        let mut unknown = Measurements::default();
        let all = results(althing_testkit::epoch(), |i| Some(i as i64 * 1000));
        assert_eq!(unknown.feedback(&all), None);
    }

    #[test]
    fn a_probe_is_measured_once() {
        let mut m = Measurements::default();
        m.begin(CLUSTER);
        let all = results(althing_testkit::epoch(), |i| Some(5_000 * (i as i64 / 3)));
        assert!(m.feedback(&all[..6]).is_none(), "half is not enough");
        assert!(m.feedback(&all[6..]).is_some());
        assert!(m.feedback(&all[11..]).is_none());
    }
}
