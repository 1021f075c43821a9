//! What was sent to one receiver, until it says what arrived.
//!
//! Recording a packet writes eight bytes into a ring. The ring grows only when feedback shows that
//! it is too short, so that nothing is allocated while packets are forwarded.

use althing_rtp::rtcp::{REFERENCE_UNIT, TransportCcStatus};
use althing_rtp::seq;
use std::time::{Duration, Instant};

const FIRST: usize = 256;
/// Two seconds at 20 Mbit/s.
const MAX: usize = 4096;
/// Feedback comes later than this only over paths on which nobody can meet.
const OLDEST: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    Free,
    Sent,
    /// Reported missing; it may still come.
    Lost,
    Received,
}

/// Eight bytes: a packet costs no more.
#[derive(Debug, Clone, Copy, Default)]
struct Entry {
    /// Microseconds since the first packet; wraps after 71 minutes, which nothing here outlives.
    at: u32,
    size: u16,
    state: State,
    cluster: u8,
}

/// What became of one packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PacketResult {
    pub(crate) number: u64,
    pub(crate) sent_at: Instant,
    /// In microseconds on the receiver's clock; nothing if it did not arrive.
    pub(crate) arrival: Option<i64>,
    /// In bytes, header included.
    pub(crate) size: u32,
    /// The probe it was part of; 0 for none.
    pub(crate) cluster: u8,
    /// It had been reported missing before.
    pub(crate) late: bool,
}

/// What a feedback said that was of no use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Useless {
    /// Reported numbers that were never sent, or so long ago that nothing is known of them.
    pub(crate) unmatched: u64,
    /// Reported a second time.
    pub(crate) repeated: u64,
}

/// The packets sent to one receiver under transport-wide numbers.
#[derive(Debug, Default)]
pub(crate) struct SentPackets {
    /// A power of two of them, by number; none before the first packet.
    entries: Vec<Entry>,
    /// The number the next packet gets, less one; numbers begin at 1.
    last: u64,
    origin: Option<Instant>,
    /// All bytes ever recorded.
    bytes: u64,
    /// Reference time of the last feedback, unwrapped.
    reference: Option<i64>,
    /// The probe that packets belong to now; 0 for none.
    pub(crate) cluster: u8,
}

impl SentPackets {
    /// Numbers a packet of `size` bytes. Returns the number to be written into it.
    pub(crate) fn record(&mut self, now: Instant, size: usize) -> u16 {
        if self.entries.is_empty() {
            self.entries.resize(FIRST, Entry::default());
        }
        let origin = *self.origin.get_or_insert(now);
        self.last += 1;
        self.bytes += size as u64;
        let slot = self.slot(self.last);
        self.entries[slot] = Entry {
            at: now.saturating_duration_since(origin).as_micros() as u32,
            size: u16::try_from(size).unwrap_or(u16::MAX),
            state: State::Sent,
            cluster: self.cluster,
        };
        seq::truncate(self.last)
    }

    /// All bytes recorded so far.
    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many packets were recorded so far.
    pub(crate) const fn packets(&self) -> u64 {
        self.last
    }

    /// Takes in a feedback: what is new in it goes to `out`, in sending order.
    pub(crate) fn acknowledge(
        &mut self,
        now: Instant,
        reference: i32,
        statuses: impl Iterator<Item = TransportCcStatus>,
        out: &mut Vec<PacketResult>,
    ) -> Useless {
        let mut useless = Useless::default();
        let Some(origin) = self.origin else {
            useless.unmatched = statuses.take(MAX).count() as u64;
            return useless;
        };
        let offset = self.unwrap_reference(reference);
        let at_now = now.saturating_duration_since(origin).as_micros() as u32;
        let mut forgotten = false;
        for status in statuses.take(MAX) {
            let number = seq::extend(self.last, status.sequence);
            let behind = self.last.wrapping_sub(number);
            if number == 0 || number > self.last || behind >= self.entries.len() as u64 {
                // Only what was once known can have been forgotten.
                forgotten |= number <= self.last && behind < MAX as u64;
                useless.unmatched += u64::from(status.arrival_micros.is_some());
                continue;
            }
            let slot = self.slot(number);
            let entry = &mut self.entries[slot];
            let age = Duration::from_micros(u64::from(at_now.wrapping_sub(entry.at)));
            if entry.state == State::Free || age > OLDEST {
                useless.unmatched += u64::from(status.arrival_micros.is_some());
                continue;
            }
            let late = entry.state == State::Lost;
            if entry.state == State::Received || late && status.arrival_micros.is_none() {
                useless.repeated += u64::from(status.arrival_micros.is_some());
                continue;
            }
            entry.state = match status.arrival_micros {
                Some(_) => State::Received,
                None => State::Lost,
            };
            out.push(PacketResult {
                number,
                sent_at: now.checked_sub(age).unwrap_or(now),
                arrival: status.arrival_micros.map(|a| a.saturating_add(offset)),
                size: u32::from(entry.size),
                cluster: entry.cluster,
                late,
            });
        }
        if forgotten {
            self.grow();
        }
        useless
    }

    /// What to add to arrival times so that they go on over the wrap of the 24-bit reference.
    fn unwrap_reference(&mut self, reference: i32) -> i64 {
        let wrapped = i64::from(reference);
        let unwrapped = match self.reference {
            None => wrapped,
            Some(last) => {
                let step = (wrapped.wrapping_sub(last) << 40) >> 40;
                last.saturating_add(step)
            }
        };
        self.reference = Some(unwrapped);
        (unwrapped - wrapped).saturating_mul(REFERENCE_UNIT.as_micros() as i64)
    }

    fn grow(&mut self) {
        let old = self.entries.len();
        if old == 0 || old >= MAX {
            return;
        }
        let mut entries = vec![Entry::default(); old * 2];
        for number in self.last.saturating_sub(old as u64 - 1).max(1)..=self.last {
            entries[number as usize & (old * 2 - 1)] = self.entries[self.slot(number)];
        }
        self.entries = entries;
    }

    fn slot(&self, number: u64) -> usize {
        number as usize & (self.entries.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    fn status(sequence: u16, arrival_micros: Option<i64>) -> TransportCcStatus {
        TransportCcStatus {
            sequence,
            arrival_micros,
        }
    }

    fn take(
        sent: &mut SentPackets,
        now: Instant,
        statuses: &[(u16, Option<i64>)],
    ) -> (Vec<PacketResult>, Useless) {
        let mut out = Vec::new();
        let useless = sent.acknowledge(
            now,
            0,
            statuses.iter().map(|(s, a)| status(*s, *a)),
            &mut out,
        );
        (out, useless)
    }

    #[test]
    fn an_entry_is_eight_bytes() {
        assert_eq!(size_of::<Entry>(), 8);
    }

    #[test]
    fn feedback_finds_what_was_sent() {
        let start = althing_testkit::epoch();
        let mut sent = SentPackets::default();
        assert_eq!(sent.record(start, 1200), 1);
        sent.cluster = 7;
        assert_eq!(sent.record(start + ms(5), 80), 2);
        let now = start + ms(100);
        let (out, useless) = take(&mut sent, now, &[(1, Some(500)), (2, None), (3, Some(1))]);
        assert_eq!(
            out,
            [
                PacketResult {
                    number: 1,
                    sent_at: start,
                    arrival: Some(500),
                    size: 1200,
                    cluster: 0,
                    late: false,
                },
                PacketResult {
                    number: 2,
                    sent_at: start + ms(5),
                    arrival: None,
                    size: 80,
                    cluster: 7,
                    late: false,
                },
            ]
        );
        assert_eq!(useless.unmatched, 1, "a number that was never sent");
        assert_eq!((sent.bytes(), sent.packets()), (1280, 2));
    }

    #[test]
    fn repeated_feedback_says_nothing_new_but_a_late_arrival_does() {
        let start = althing_testkit::epoch();
        let mut sent = SentPackets::default();
        for _ in 0..3 {
            sent.record(start, 100);
        }
        let first = [(1, Some(1)), (2, None), (3, Some(3))];
        assert_eq!(take(&mut sent, start, &first).0.len(), 3);
        let (again, useless) = take(&mut sent, start, &first);
        assert_eq!((again, useless.repeated), (vec![], 2));
        let (late, _) = take(&mut sent, start, &[(2, Some(9))]);
        assert!(late[0].late && late[0].arrival == Some(9));
    }

    #[test]
    fn numbers_wrap_at_sixteen_bits() {
        let start = althing_testkit::epoch();
        let mut sent = SentPackets::default();
        let mut number = 0;
        for i in 0..70_000u64 {
            number = sent.record(start + Duration::from_micros(i), 1);
        }
        assert_eq!(number, 70_000u64 as u16);
        let (out, useless) = take(
            &mut sent,
            start + ms(100),
            &[(number.wrapping_sub(1), Some(1)), (number, Some(2))],
        );
        let found: Vec<u64> = out.iter().map(|p| p.number).collect();
        assert_eq!(found, [69_999, 70_000]);
        assert_eq!(useless, Useless::default());
        // Across the wrap itself, in feedbacks that change places.
        let mut sent = SentPackets::default();
        for _ in 0..65_540 {
            sent.record(start, 1);
        }
        let (late, _) = take(&mut sent, start, &[(0, Some(5)), (1, Some(6))]);
        let (early, _) = take(&mut sent, start, &[(65_534, Some(3)), (65_535, Some(4))]);
        let found: Vec<u64> = late.iter().chain(&early).map(|p| p.number).collect();
        assert_eq!(found, [65_536, 65_537, 65_534, 65_535]);
    }

    #[test]
    fn arrival_times_go_on_over_the_wrap_of_the_reference() {
        let start = althing_testkit::epoch();
        let mut sent = SentPackets::default();
        sent.record(start, 1);
        sent.record(start, 1);
        let mut out = Vec::new();
        let last = 0x7f_ffff;
        let unit = REFERENCE_UNIT.as_micros() as i64;
        let before = i64::from(last) * unit;
        sent.acknowledge(start, last, [status(1, Some(before))].into_iter(), &mut out);
        let first = -0x80_0000;
        let after = i64::from(first) * unit;
        sent.acknowledge(start, first, [status(2, Some(after))].into_iter(), &mut out);
        let step = out[1].arrival.unwrap() - out[0].arrival.unwrap();
        assert_eq!(step, unit);
    }

    #[test]
    fn the_ring_grows_by_feedback_only_and_not_without_end() {
        let start = althing_testkit::epoch();
        let mut sent = SentPackets::default();
        for _ in 0..20 {
            for _ in 0..2000 {
                sent.record(start, 1);
            }
            let first = seq::truncate(sent.packets() - 1999);
            take(&mut sent, start, &[(first, Some(1))]);
        }
        assert_eq!(sent.entries.len(), 2048);
        let first = seq::truncate(sent.packets() - 1999);
        assert_eq!(take(&mut sent, start, &[(first, Some(1))]).1.repeated, 1);
        for _ in 0..10 {
            for _ in 0..30_000 {
                sent.record(start, 1);
            }
            let first = seq::truncate(sent.packets() - 29_999);
            take(&mut sent, start, &[(first, Some(1))]);
        }
        assert_eq!(
            sent.entries.len(),
            2048,
            "beyond the greatest ring it is lost"
        );
    }
}
