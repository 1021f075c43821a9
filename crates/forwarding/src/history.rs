//! The last second of a video source's packets, kept once for all receivers.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

const MAX_PACKETS: usize = 1024;
const MAX_AGE: Duration = Duration::from_secs(1);
/// Where the ring begins, and how far it may grow: a second of 16 Mbit/s.
const FIRST_BYTES: usize = 64 * 1024;
const MAX_BYTES: usize = 2 * 1024 * 1024;

#[derive(Debug, Clone, Copy)]
struct Entry {
    number: u64,
    at: Instant,
    start: usize,
    header: usize,
    payload: usize,
}

impl Entry {
    const fn len(&self) -> usize {
        self.header + self.payload
    }
}

/// A packet found again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kept<'a> {
    pub(crate) header: &'a [u8],
    pub(crate) payload: &'a [u8],
    /// When it was forwarded first.
    pub(crate) at: Instant,
}

/// A ring of bytes, and the packets in it in order of arrival. Slots are found by number modulo
/// their count, so that a lookup does not walk.
#[derive(Debug, Default)]
pub(crate) struct History {
    bytes: Vec<u8>,
    /// Oldest first.
    order: VecDeque<Entry>,
    /// By number modulo [`MAX_PACKETS`].
    index: Vec<Option<Entry>>,
    /// Where the next packet goes.
    head: usize,
}

impl History {
    pub(crate) fn clear(&mut self) {
        // A sender can restart with every other packet: the cost is that of what was kept.
        while !self.order.is_empty() {
            self.forget_oldest();
        }
        self.head = 0;
    }

    /// Keeps a packet. Allocates only while the ring still grows to the source's rate.
    pub(crate) fn push(&mut self, number: u64, header: &[u8], payload: &[u8], now: Instant) {
        let len = header.len() + payload.len();
        if self.index.is_empty() {
            self.index.resize(MAX_PACKETS, None);
            self.bytes.resize(FIRST_BYTES, 0);
        }
        if len > FIRST_BYTES {
            return;
        }
        while self
            .order
            .front()
            .is_some_and(|e| self.order.len() >= MAX_PACKETS || now.duration_since(e.at) > MAX_AGE)
        {
            self.forget_oldest();
        }
        let start = loop {
            let start = self.room(len);
            let wraps = start < self.head;
            // Behind the head lie the oldest packets; they go first when the ring wraps.
            let in_the_way = |e: &&Entry| {
                (wraps && e.start >= self.head)
                    || (start < e.start + e.len() && e.start < start + len)
            };
            let Some(oldest) = self.order.front().filter(in_the_way) else {
                break start;
            };
            let young = now.duration_since(oldest.at) < MAX_AGE;
            if young && self.bytes.len() < MAX_BYTES {
                self.grow();
            } else {
                self.forget_oldest();
            }
        };
        let entry = Entry {
            number,
            at: now,
            start,
            header: header.len(),
            payload: payload.len(),
        };
        self.bytes[start..start + header.len()].copy_from_slice(header);
        self.bytes[start + header.len()..start + len].copy_from_slice(payload);
        self.head = start + len;
        self.order.push_back(entry);
        self.index[slot(number)] = Some(entry);
    }

    pub(crate) fn get(&self, number: u64) -> Option<Kept<'_>> {
        let entry = (*self.index.get(slot(number))?).filter(|e| e.number == number)?;
        let packet = self.bytes.get(entry.start..entry.start + entry.len())?;
        let (header, payload) = packet.split_at_checked(entry.header)?;
        Some(Kept {
            header,
            payload,
            at: entry.at,
        })
    }

    /// Where a packet of this length goes: after the last one, or at the beginning.
    fn room(&self, len: usize) -> usize {
        if self.head + len <= self.bytes.len() {
            self.head
        } else {
            0
        }
    }

    fn forget_oldest(&mut self) {
        if let Some(entry) = self.order.pop_front() {
            let place = &mut self.index[slot(entry.number)];
            if place.is_some_and(|e| e.number == entry.number) {
                *place = None;
            }
        }
    }

    /// Twice the bytes, with the packets laid out anew in order.
    fn grow(&mut self) {
        let mut bytes = Vec::with_capacity(self.bytes.len() * 2);
        for entry in &mut self.order {
            let start = bytes.len();
            bytes.extend_from_slice(&self.bytes[entry.start..entry.start + entry.len()]);
            entry.start = start;
            if let Some(e) = &mut self.index[slot(entry.number)]
                && e.number == entry.number
            {
                e.start = start;
            }
        }
        self.head = bytes.len();
        bytes.resize(self.bytes.len() * 2, 0);
        self.bytes = bytes;
    }
}

const fn slot(number: u64) -> usize {
    (number % MAX_PACKETS as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(number: u64, len: usize) -> Vec<u8> {
        (0..len).map(|i| (number as usize * 7 + i) as u8).collect()
    }

    #[test]
    fn packets_of_the_last_second_are_found_whole() {
        let start = althing_testkit::epoch();
        let mut h = History::default();
        // 800 packets a second of changing size, for five seconds: the ring grows and wraps.
        for n in 0..4000u64 {
            let now = start + Duration::from_micros(1250 * n);
            h.push(
                n,
                &[n as u8; 20],
                &payload(n, 100 + (n as usize * 37) % 1100),
                now,
            );
        }
        for n in 0..4000u64 {
            let kept = h.get(n);
            if n >= 3250 {
                let kept = kept.expect("a packet of the last second");
                assert_eq!(kept.header, [n as u8; 20]);
                assert_eq!(kept.payload, payload(n, 100 + (n as usize * 37) % 1100));
            } else if n < 2976 {
                assert_eq!(kept, None, "{n}");
            }
        }
        assert!(h.bytes.len() <= MAX_BYTES);
    }

    #[test]
    fn a_flood_is_bounded() {
        let now = althing_testkit::epoch();
        let mut h = History::default();
        for n in 0..20_000u64 {
            h.push(n, &[0; 12], &payload(n, 1400), now);
        }
        assert_eq!(h.order.len(), MAX_PACKETS);
        assert_eq!(h.bytes.len(), MAX_BYTES);
        assert_eq!(h.get(19_999).unwrap().payload, payload(19_999, 1400));
    }

    #[test]
    fn a_full_ring_keeps_whole_packets_only() {
        let now = althing_testkit::epoch();
        let mut h = History::default();
        let len = |n: u64| 1000 + (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 52) as usize % 3000;
        for n in 0..20_000u64 {
            h.push(n, &[3; 12], &payload(n, len(n)), now);
            let mut found = 0;
            for old in n.saturating_sub(MAX_PACKETS as u64)..=n {
                // Looking at all each time would take long; a few of every age do.
                if (old + n) % 97 != 0 && old != n {
                    continue;
                }
                if let Some(kept) = h.get(old) {
                    assert_eq!(kept.payload, payload(old, len(old)), "{old} at {n}");
                    found += 1;
                }
            }
            assert!(found > 0);
        }
        assert_eq!(h.bytes.len(), MAX_BYTES);
    }
}
