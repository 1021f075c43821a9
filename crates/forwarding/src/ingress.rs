//! One encoding as it arrives: duplicates, restarts, and what goes into receiver reports.

use althing_model::Ssrc;
use althing_rtp::rtcp::{ReportBlock, SenderInfo};
use althing_rtp::seq;
use std::time::Instant;

/// How far back a packet can be told from its duplicate.
const WINDOW: u64 = 1500;
const BITS: usize = 2048;
/// RFC 3550 A.1: a jump by more than this is a restart, if the next packet confirms it.
const MAX_DROPOUT: u64 = 3000;

/// What a packet turns out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// New; `previous` is the highest number before it, when it advances that.
    Fresh { number: u64, previous: Option<u64> },
    /// The sender began anew: numbers before this one mean nothing any more.
    Restart { number: u64 },
    /// Seen before, too old, or beyond belief until confirmed.
    Stale,
}

#[derive(Debug)]
pub(crate) struct Ingress {
    pub(crate) ssrc: Ssrc,
    clock_rate: u32,
    highest: Option<u64>,
    seen: [u64; BITS / 64],
    /// The packet that would confirm a restart.
    suspect: Option<u16>,
    // Since the last restart, for reports.
    base: u64,
    received: u64,
    expected_before: u64,
    received_before: u64,
    jitter: f64,
    transit: Option<(Instant, u32)>,
    sender_report: Option<(u32, Instant)>,
    reported: bool,
}

impl Ingress {
    pub(crate) const fn new(ssrc: Ssrc, clock_rate: u32) -> Self {
        Self {
            ssrc,
            clock_rate,
            highest: None,
            seen: [0; BITS / 64],
            suspect: None,
            base: 0,
            received: 0,
            expected_before: 0,
            received_before: 0,
            jitter: 0.0,
            transit: None,
            sender_report: None,
            reported: false,
        }
    }

    /// The 64-bit form of a number near the stream's position.
    pub(crate) fn extend(&self, sequence: u16) -> u64 {
        match self.highest {
            Some(highest) => seq::extend(highest, sequence),
            None => u64::from(sequence) | 0x1_0000,
        }
    }

    /// Whether no packet of a higher number has arrived.
    pub(crate) fn is_highest(&self, number: u64) -> bool {
        self.highest == Some(number)
    }

    /// A packet arrived, or came back by retransmission (`recovered`).
    pub(crate) fn arrived(
        &mut self,
        sequence: u16,
        timestamp: u32,
        recovered: bool,
        now: Instant,
    ) -> Arrival {
        let number = self.extend(sequence);
        let Some(highest) = self.highest else {
            // A retransmission cannot tell where a stream begins.
            if recovered {
                return Arrival::Stale;
            }
            self.restart(number);
            self.count(number, timestamp, false, now);
            return Arrival::Fresh {
                number,
                previous: None,
            };
        };
        let jumps = number > highest + MAX_DROPOUT || number + WINDOW < highest;
        if jumps {
            if recovered || self.suspect != Some(sequence) {
                if !recovered {
                    self.suspect = Some(sequence.wrapping_add(1));
                }
                return Arrival::Stale;
            }
            self.restart(number);
            self.count(number, timestamp, false, now);
            return Arrival::Restart { number };
        }
        self.suspect = None;
        if number > highest {
            self.forget(highest + 1, number);
            self.highest = Some(number);
        } else if self.is_set(number) {
            return Arrival::Stale;
        }
        self.count(number, timestamp, recovered, now);
        Arrival::Fresh {
            number,
            previous: (number > highest).then_some(highest),
        }
    }

    fn restart(&mut self, number: u64) {
        self.highest = Some(number);
        self.seen = [0; BITS / 64];
        self.suspect = None;
        self.base = number;
        self.received = 0;
        self.expected_before = 0;
        self.received_before = 0;
        self.transit = None;
    }

    fn count(&mut self, number: u64, timestamp: u32, recovered: bool, now: Instant) {
        self.set(number, true);
        self.received += 1;
        if recovered {
            return;
        }
        // RFC 3550 A.8, with the difference of transit times from two arrivals.
        if let Some((at, before)) = self.transit.replace((now, timestamp)) {
            let arrival = now.saturating_duration_since(at).as_secs_f64();
            let sent = f64::from(seq::timestamp_distance(before, timestamp));
            let difference = (arrival * f64::from(self.clock_rate) - sent).abs();
            // A pause or a new timestamp base is no jitter.
            if difference < f64::from(self.clock_rate) {
                self.jitter += (difference - self.jitter) / 16.0;
            }
        }
    }

    /// Unmarks from `n` to `last`, a word at a time: a sender may jump with every packet.
    fn forget(&mut self, mut n: u64, last: u64) {
        if last - n >= BITS as u64 {
            self.seen = [0; BITS / 64];
            return;
        }
        while n <= last {
            if n.is_multiple_of(64) && n + 63 <= last {
                self.seen[(n % BITS as u64) as usize / 64] = 0;
                n += 64;
            } else {
                self.set(n, false);
                n += 1;
            }
        }
    }

    fn set(&mut self, number: u64, seen: bool) {
        let bit = (number % BITS as u64) as usize;
        let mask = 1 << (bit % 64);
        if seen {
            self.seen[bit / 64] |= mask;
        } else {
            self.seen[bit / 64] &= !mask;
        }
    }

    fn is_set(&self, number: u64) -> bool {
        let bit = (number % BITS as u64) as usize;
        self.seen[bit / 64] >> (bit % 64) & 1 == 1
    }

    pub(crate) fn sender_report(&mut self, info: &SenderInfo, now: Instant) {
        self.sender_report = Some((info.ntp_middle(), now));
    }

    /// Marks that there is something to report; true the first time since the last report.
    pub(crate) fn wants_report(&mut self) -> bool {
        !std::mem::replace(&mut self.reported, true)
    }

    /// When the last packet came that was no retransmission.
    pub(crate) fn heard_at(&self) -> Option<Instant> {
        self.transit.map(|(at, _)| at)
    }

    /// A report on what arrived since the last one; nothing if nothing did.
    pub(crate) fn report(&mut self, now: Instant) -> Option<ReportBlock> {
        self.reported = false;
        let highest = self.highest?;
        let expected = highest - self.base + 1;
        let expected_now = expected.saturating_sub(self.expected_before);
        let received_now = self.received - self.received_before;
        if received_now == 0 {
            return None;
        }
        self.expected_before = expected;
        self.received_before = self.received;
        let lost_now = expected_now.saturating_sub(received_now);
        let fraction = (lost_now * 256).checked_div(expected_now).unwrap_or(0);
        let lost = i64::try_from(expected).unwrap_or(i64::MAX)
            - i64::try_from(self.received).unwrap_or(i64::MAX);
        let (last_sr, delay) = self.sender_report.map_or((0, 0), |(middle, at)| {
            let delay = now.saturating_duration_since(at).as_secs_f64() * 65_536.0;
            (middle, delay as u32)
        });
        Some(ReportBlock {
            ssrc: self.ssrc,
            fraction_lost: fraction.min(255) as u8,
            cumulative_lost: i32::try_from(lost.clamp(-0x80_0000, 0x7f_ffff)).unwrap_or(0),
            // Our numbers begin in the second cycle.
            highest_sequence: (highest as u32).wrapping_sub(0x1_0000),
            jitter: self.jitter as u32,
            last_sr,
            delay_since_last_sr: delay,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn stream() -> (Ingress, Instant) {
        (Ingress::new(Ssrc(1), 90_000), althing_testkit::epoch())
    }

    #[test]
    fn duplicates_and_late_packets_are_told_apart() {
        let (mut i, now) = stream();
        let n = |s: u16| u64::from(s) | 0x1_0000;
        assert_eq!(
            i.arrived(10, 0, false, now),
            Arrival::Fresh {
                number: n(10),
                previous: None
            }
        );
        assert_eq!(
            i.arrived(13, 0, false, now),
            Arrival::Fresh {
                number: n(13),
                previous: Some(n(10))
            }
        );
        assert_eq!(i.arrived(10, 0, false, now), Arrival::Stale);
        assert_eq!(
            i.arrived(11, 0, true, now),
            Arrival::Fresh {
                number: n(11),
                previous: None
            }
        );
        assert_eq!(i.arrived(11, 0, false, now), Arrival::Stale);
    }

    #[test]
    fn what_was_jumped_over_may_still_come_once() {
        for start in [0u16, 1, 63, 64] {
            for gap in [1u16, 2, 62, 63, 64, 65, 127, 128, 129, 700, 1400] {
                let (mut i, now) = stream();
                // Every bit of the window has been set before.
                for number in 0..=3000 + start {
                    i.arrived(number, 0, false, now);
                }
                let before = 3000 + start;
                i.arrived(before + gap, 0, false, now);
                for late in 1..gap {
                    let mut again = || i.arrived(before + late, 0, false, now);
                    assert!(
                        matches!(again(), Arrival::Fresh { .. }),
                        "{start} {gap} {late}"
                    );
                    assert_eq!(again(), Arrival::Stale, "{start} {gap} {late}");
                }
                for old in [before, before - 1, before + gap] {
                    assert_eq!(i.arrived(old, 0, false, now), Arrival::Stale);
                }
            }
        }
    }

    #[test]
    fn a_restart_needs_two_packets_in_a_row() {
        let (mut i, now) = stream();
        i.arrived(10, 0, false, now);
        assert_eq!(i.arrived(20_000, 0, false, now), Arrival::Stale);
        assert_eq!(i.arrived(30_000, 0, false, now), Arrival::Stale);
        assert!(matches!(
            i.arrived(30_001, 0, false, now),
            Arrival::Restart { .. }
        ));
        assert!(matches!(
            i.arrived(30_002, 0, false, now),
            Arrival::Fresh {
                previous: Some(_),
                ..
            }
        ));
    }

    #[test]
    fn a_report_counts_loss_since_the_last_one() {
        let (mut i, now) = stream();
        for s in [0u16, 1, 2, 3, 6, 7] {
            i.arrived(s, 0, false, now);
        }
        i.sender_report(
            &SenderInfo {
                ssrc: Ssrc(1),
                ntp: 0x1122_3344_5566_7788,
                rtp_timestamp: 0,
                packets: 6,
                octets: 0,
            },
            now,
        );
        let r = i.report(now + Duration::from_millis(500)).unwrap();
        assert_eq!(r.fraction_lost, 64);
        assert_eq!(r.cumulative_lost, 2);
        assert_eq!(r.highest_sequence, 7);
        assert_eq!(r.last_sr, 0x3344_5566);
        assert_eq!(r.delay_since_last_sr, 32_768);
        assert_eq!(i.report(now), None, "nothing new, nothing to say");
    }
}
