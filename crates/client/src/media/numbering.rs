//! The numbers of one arriving stream: what is missing, what to ask for again, what to report.

use althing_model::Ssrc;
use althing_rtp::rtcp::ReportBlock;
use althing_rtp::seq::{self, Extender};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// A gap gets this long to close by itself.
const PATIENCE: Duration = Duration::from_millis(10);
const ASK_AGAIN: Duration = Duration::from_millis(100);
const MOST_ASKED: u8 = 10;
/// What is still missing after this is lost.
const GIVE_UP: Duration = Duration::from_secs(1);
/// More are not waited for; the oldest are lost.
const MOST_MISSING: usize = 1_000;

/// How a packet stands to those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arrival {
    /// It was not there yet.
    New,
    /// It was there, or had been given up.
    Repeated,
}

#[derive(Debug, Clone, Copy)]
struct Missing {
    since: Instant,
    asked: u8,
    ask_at: Instant,
}

/// Sequence numbers, clock and sender reports of one SSRC.
#[derive(Debug, Default)]
pub(super) struct Numbering {
    extender: Extender,
    missing: BTreeMap<u64, Missing>,
    received: u64,
    lost: u64,
    first: u64,
    last_report: Option<(u32, Instant)>,
    reported: (u64, u64),
    transit: Option<i64>,
    /// In timestamp units, times 16 (RFC 3550 §A.8).
    jitter: i64,
}

impl Numbering {
    /// One more packet of the stream.
    pub(super) fn arrive(&mut self, sequence: u16, now: Instant) -> (u64, Arrival) {
        let Some(highest) = self.extender.highest() else {
            let number = self.extender.extend(sequence);
            self.first = number;
            self.received = 1;
            return (number, Arrival::New);
        };
        let number = self.extender.extend(sequence);
        if number <= highest {
            if self.missing.remove(&number).is_none() {
                return (number, Arrival::Repeated);
            }
            self.received += 1;
            return (number, Arrival::New);
        }
        let missing = Missing {
            since: now,
            asked: 0,
            ask_at: now + PATIENCE,
        };
        // A gap that long is not waited for, and not worth a map.
        let waited = number.saturating_sub(MOST_MISSING as u64).max(highest + 1);
        self.lost += waited - (highest + 1);
        self.missing.extend((waited..number).map(|n| (n, missing)));
        while self.missing.len() > MOST_MISSING {
            self.missing.pop_first();
            self.lost += 1;
        }
        self.received += 1;
        (number, Arrival::New)
    }

    /// The least number that may still come: everything below is here or lost.
    pub(super) fn settled(&self) -> u64 {
        let after = self.extender.highest().map_or(0, |highest| highest + 1);
        self.missing.keys().next().copied().unwrap_or(after)
    }

    /// Gives up what has been missing for too long; whether anything was.
    pub(super) fn give_up(&mut self, now: Instant) -> bool {
        let before = self.missing.len();
        self.missing
            .retain(|_, m| now.saturating_duration_since(m.since) < GIVE_UP);
        let gone = before - self.missing.len();
        self.lost += gone as u64;
        gone > 0
    }

    /// Appends what is to be asked for now, in order.
    pub(super) fn ask(&mut self, now: Instant, out: &mut Vec<u16>) {
        for (number, missing) in &mut self.missing {
            if missing.ask_at <= now && missing.asked < MOST_ASKED {
                missing.asked += 1;
                missing.ask_at = now + ASK_AGAIN;
                out.push(seq::truncate(*number));
            }
        }
    }

    /// When something is to be asked for, or given up.
    pub(super) fn next_at(&self, asks: bool) -> Option<Instant> {
        let times = self.missing.values().map(|m| {
            let end = m.since + GIVE_UP;
            if asks && m.asked < MOST_ASKED {
                end.min(m.ask_at)
            } else {
                end
            }
        });
        times.min()
    }

    /// Lost for good, or not here yet.
    pub(super) fn lost(&self) -> u64 {
        self.lost + self.missing.len() as u64
    }

    pub(super) const fn received(&self) -> u64 {
        self.received
    }

    /// Keeps the jitter, with the arrival in units of the stream's clock.
    pub(super) const fn clock(&mut self, timestamp: u32, arrival: i64) {
        let transit = arrival - timestamp as i64;
        if let Some(last) = self.transit {
            let difference = (transit - last).abs();
            // A jump is a new clock, not jitter.
            if difference < 90_000 * 5 {
                self.jitter += difference - ((self.jitter + 8) >> 4);
            }
        }
        self.transit = Some(transit);
    }

    pub(super) const fn sender_report(&mut self, ntp_middle: u32, now: Instant) {
        self.last_report = Some((ntp_middle, now));
    }

    /// A report block, if anything came since the last one.
    pub(super) fn block(&mut self, ssrc: Ssrc, now: Instant) -> Option<ReportBlock> {
        let highest = self.extender.highest()?;
        let (received_before, expected_before) = self.reported;
        if self.received == received_before {
            return None;
        }
        let expected = highest + 1 - self.first;
        self.reported = (self.received, expected);
        let expected_now = expected.saturating_sub(expected_before);
        let received_now = self.received.saturating_sub(received_before);
        let lost_now = expected_now.saturating_sub(received_now);
        let (last_sr, delay) = self.last_report.map_or((0, 0), |(middle, at)| {
            let since = now.saturating_duration_since(at).as_micros();
            (middle, (since * 65_536 / 1_000_000) as u32)
        });
        Some(ReportBlock {
            ssrc,
            fraction_lost: (lost_now * 256 / expected_now.max(1)).min(255) as u8,
            cumulative_lost: i32::try_from(expected.saturating_sub(self.received))
                .unwrap_or(i32::MAX),
            // The extender begins in the second cycle.
            highest_sequence: highest.saturating_sub(0x1_0000) as u32,
            jitter: u32::try_from(self.jitter >> 4).unwrap_or(0),
            last_sr,
            delay_since_last_sr: delay,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Received and lost after these numbers, one each millisecond.
    fn check(sequences: &[u16], received: u64, lost: u64, repeated: usize) {
        let start = Instant::now();
        let mut numbering = Numbering::default();
        let arrivals = sequences.iter().zip(0..).map(|(sequence, milli)| {
            let (_, arrival) = numbering.arrive(*sequence, start + Duration::from_millis(milli));
            arrival
        });
        let repeats = arrivals.filter(|a| *a == Arrival::Repeated).count();
        assert_eq!(
            (numbering.received(), numbering.lost(), repeats),
            (received, lost, repeated),
            "{sequences:?}"
        );
    }

    #[test]
    fn loss_is_what_is_missing_between_first_and_last() {
        check(&[5, 6, 7], 3, 0, 0);
        check(&[5, 7], 2, 1, 0);
        check(&[5, 7, 6], 3, 0, 0);
        check(&[5, 6, 6], 2, 0, 1);
        check(&[5, 205], 2, 199, 0);
        check(&[5, 5000], 2, 4994, 0);
        check(&[0xffff, 0, 1], 3, 0, 0);
        check(&[5, 4], 1, 0, 1);
    }

    #[test]
    fn what_is_missing_is_asked_for_again_and_given_up_in_the_end() {
        let start = Instant::now();
        let at = |milli| start + Duration::from_millis(milli);
        let mut numbering = Numbering::default();
        numbering.arrive(10, at(0));
        numbering.arrive(13, at(1));
        assert_eq!(numbering.next_at(true), Some(at(11)));
        assert_eq!(numbering.next_at(false), Some(at(1001)));
        let mut asked = Vec::new();
        for milli in 0..1000 {
            numbering.ask(at(milli), &mut asked);
        }
        assert_eq!(asked.len(), 20, "{asked:?}");
        assert_eq!(asked[..2], [11, 12]);
        assert_eq!(seq::truncate(numbering.settled()), 11);
        numbering.arrive(11, at(1000));
        assert_eq!(seq::truncate(numbering.settled()), 12);
        assert!(numbering.give_up(at(1001)));
        assert_eq!(
            (seq::truncate(numbering.settled()), numbering.lost()),
            (14, 1)
        );
        assert_eq!(numbering.arrive(12, at(1100)).1, Arrival::Repeated);
    }

    #[test]
    fn a_block_reports_what_came_since_the_last() {
        let start = Instant::now();
        let mut numbering = Numbering::default();
        for sequence in [1, 2, 3, 5] {
            numbering.arrive(sequence, start);
        }
        numbering.sender_report(77, start);
        let block = numbering
            .block(Ssrc(9), start + Duration::from_millis(500))
            .unwrap();
        assert_eq!((block.fraction_lost, block.cumulative_lost), (51, 1));
        assert_eq!((block.highest_sequence, block.last_sr), (5, 77));
        assert_eq!(block.delay_since_last_sr, 32_768);
        assert!(numbering.block(Ssrc(9), start).is_none());
    }
}
