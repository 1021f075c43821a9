//! Transport-wide congestion control feedback (draft-holmer-rmcat-transport-wide-cc-extensions-01).

use super::build::{begin, finish};
use super::kind;
use crate::{RtpError, seq};
use althing_model::Ssrc;
use std::collections::VecDeque;
use std::time::Duration;

/// The unit of the reference time.
pub const REFERENCE_UNIT: Duration = Duration::from_millis(64);
/// Ticks of 250 µs in one reference unit.
const TICKS_PER_REFERENCE: i64 = 256;
const TICK_MICROS: i64 = 250;

const NOT_RECEIVED: u8 = 0;
const SMALL: u8 = 1;
const LARGE: u8 = 2;

/// A feedback packet as received.
#[derive(Debug, Clone, Copy)]
pub struct TransportCc<'a> {
    /// Who reports.
    pub sender: Ssrc,
    /// One of the streams of the transport.
    pub media: Ssrc,
    /// The first number reported on.
    pub base: u16,
    /// How many numbers are reported on.
    pub count: u16,
    /// Time base of the deltas, in [`REFERENCE_UNIT`]s, 24 bit signed.
    pub reference: i32,
    /// Counts feedback packets.
    pub feedback_count: u8,
    body: &'a [u8],
}

/// One reported packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransportCcStatus {
    /// Its transport-wide number.
    pub sequence: u16,
    /// When it arrived, in microseconds on the reporter's clock; nothing if it did not.
    pub arrival_micros: Option<i64>,
}

impl<'a> TransportCc<'a> {
    pub(super) fn parse(sender: Ssrc, media: Ssrc, fci: &'a [u8]) -> Result<Self, RtpError> {
        let (head, body) = fci
            .split_first_chunk::<8>()
            .ok_or(RtpError::Truncated("transport-cc feedback"))?;
        let [b0, b1, c0, c1, r0, r1, r2, feedback_count] = *head;
        Ok(Self {
            sender,
            media,
            base: u16::from_be_bytes([b0, b1]),
            count: u16::from_be_bytes([c0, c1]),
            reference: i32::from_be_bytes([r0, r1, r2, 0]) >> 8,
            feedback_count,
            body,
        })
    }

    /// Every packet reported on, in order; ends early if the feedback is cut short.
    #[must_use]
    pub fn statuses(&self) -> PacketStatuses<'a> {
        let mut left = usize::from(self.count);
        let (pairs, _) = self.body.as_chunks::<2>();
        let mut used = 0usize;
        for pair in pairs {
            if left == 0 {
                break;
            }
            used = used.saturating_add(2);
            left = left.saturating_sub(Chunk::parse(*pair).len());
        }
        let (chunks, deltas) = self.body.split_at_checked(used).unwrap_or_default();
        PacketStatuses {
            chunks,
            deltas,
            chunk: Chunk::Run {
                symbol: NOT_RECEIVED,
                left: 0,
            },
            sequence: self.base,
            left: self.count,
            ticks: i64::from(self.reference).saturating_mul(TICKS_PER_REFERENCE),
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Chunk {
    Run { symbol: u8, left: u16 },
    OneBit { bits: u16, left: u8 },
    TwoBit { bits: u16, left: u8 },
}

impl Chunk {
    const fn parse(pair: [u8; 2]) -> Self {
        let word = u16::from_be_bytes(pair);
        match word >> 14 {
            0b10 => Self::OneBit {
                bits: word << 2,
                left: 14,
            },
            0b11 => Self::TwoBit {
                bits: word << 2,
                left: 7,
            },
            _ => Self::Run {
                symbol: (word >> 13 & 3) as u8,
                left: word & 0x1fff,
            },
        }
    }

    fn len(self) -> usize {
        match self {
            Self::Run { left, .. } => usize::from(left),
            Self::OneBit { left, .. } | Self::TwoBit { left, .. } => usize::from(left),
        }
    }

    fn next(&mut self) -> Option<u8> {
        match self {
            Self::Run { symbol, left } => {
                *left = left.checked_sub(1)?;
                Some(*symbol)
            }
            Self::OneBit { bits, left } => {
                *left = left.checked_sub(1)?;
                let symbol = u8::from(*bits & 0x8000 != 0);
                *bits <<= 1;
                Some(symbol)
            }
            Self::TwoBit { bits, left } => {
                *left = left.checked_sub(1)?;
                let symbol = u8::from(*bits & 0x8000 != 0) << 1 | u8::from(*bits & 0x4000 != 0);
                *bits <<= 2;
                Some(symbol)
            }
        }
    }
}

/// Iterates the packets of one feedback.
#[derive(Debug, Clone)]
pub struct PacketStatuses<'a> {
    chunks: &'a [u8],
    deltas: &'a [u8],
    chunk: Chunk,
    sequence: u16,
    left: u16,
    ticks: i64,
}

impl Iterator for PacketStatuses<'_> {
    type Item = TransportCcStatus;

    fn next(&mut self) -> Option<TransportCcStatus> {
        self.left = self.left.checked_sub(1)?;
        let symbol = loop {
            if let Some(symbol) = self.chunk.next() {
                break symbol;
            }
            let (pair, rest) = self.chunks.split_first_chunk::<2>()?;
            self.chunks = rest;
            self.chunk = Chunk::parse(*pair);
        };
        let delta = match symbol {
            SMALL => {
                let (&delta, rest) = self.deltas.split_first()?;
                self.deltas = rest;
                Some(i64::from(delta))
            }
            LARGE => {
                let (delta, rest) = self.deltas.split_first_chunk::<2>()?;
                self.deltas = rest;
                Some(i64::from(i16::from_be_bytes(*delta)))
            }
            _ => None,
        };
        let sequence = self.sequence;
        self.sequence = sequence.wrapping_add(1);
        Some(TransportCcStatus {
            sequence,
            arrival_micros: delta.map(|d| {
                self.ticks = self.ticks.saturating_add(d);
                self.ticks.saturating_mul(TICK_MICROS)
            }),
        })
    }
}

/// Remembers arrivals of one sender's transport until they are reported.
#[derive(Debug, Clone, Default)]
pub struct TransportCcRecorder {
    /// The number that the next feedback begins with.
    base: u64,
    /// Arrival in ticks, from `base` on; the last is always there.
    arrivals: VecDeque<Option<i64>>,
    started: bool,
    feedback_count: u8,
}

/// The most numbers one feedback reports on: with two bytes each it stays below a datagram.
const MAX_STATUSES: usize = 400;
/// A jump of more than this starts anew: the numbers between were never ours to report.
const MAX_JUMP: u64 = 3000;
/// A packet late by no more than this is still reported, as the first of the next feedback.
const MAX_LATE: u64 = 64;

impl TransportCcRecorder {
    /// Nothing recorded.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A packet with this transport-wide number arrived, `at` after any fixed instant.
    pub fn record(&mut self, sequence: u16, at: Duration) {
        let ticks = i64::try_from(at.as_micros())
            .unwrap_or(i64::MAX)
            .saturating_div(TICK_MICROS);
        if !self.started {
            self.started = true;
            self.base = u64::from(sequence) | 0x1_0000;
        }
        let pending = u64::try_from(self.arrivals.len()).unwrap_or(u64::MAX);
        let next = self.base.saturating_add(pending);
        let number = seq::extend(next, sequence);
        if let Some(late) = self.base.checked_sub(number).filter(|l| *l > 0) {
            if late <= MAX_LATE && pending <= MAX_JUMP {
                for _ in 1..late {
                    self.arrivals.push_front(None);
                }
                self.arrivals.push_front(Some(ticks));
                self.base = number;
            }
            return;
        }
        if number > next.saturating_add(MAX_JUMP) || pending > MAX_JUMP {
            self.arrivals.clear();
            self.base = number;
        }
        let index = usize::try_from(number.saturating_sub(self.base)).unwrap_or(usize::MAX);
        while self.arrivals.len() <= index {
            self.arrivals.push_back(None);
        }
        if let Some(slot) = self.arrivals.get_mut(index).filter(|s| s.is_none()) {
            *slot = Some(ticks);
        }
    }

    /// Whether there is anything to report.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        !self.arrivals.is_empty()
    }

    /// Appends one feedback packet on the oldest arrivals and forgets them; false when there was
    /// nothing to report. Call again while [`is_pending`](Self::is_pending): deltas that do not
    /// fit, or too many packets, need several.
    pub fn build(&mut self, out: &mut Vec<u8>, sender: Ssrc, media: Ssrc) -> bool {
        let Some(first) = self.arrivals.iter().find_map(|a| *a) else {
            self.arrivals.clear();
            return false;
        };
        let reference = first.div_euclid(TICKS_PER_REFERENCE);
        let mut symbols = [NOT_RECEIVED; MAX_STATUSES];
        let mut count = 0usize;
        let mut before = reference.saturating_mul(TICKS_PER_REFERENCE);
        for (symbol, arrival) in symbols.iter_mut().zip(&self.arrivals) {
            if let Some(ticks) = *arrival {
                let delta = ticks.saturating_sub(before);
                *symbol = match delta {
                    0..=255 => SMALL,
                    d if i16::try_from(d).is_ok() => LARGE,
                    // The rest gets a feedback, and so a reference time, of its own.
                    _ => break,
                };
                before = ticks;
            }
            count = count.saturating_add(1);
        }
        let symbols = symbols.get(..count).unwrap_or_default();

        let start = begin(out, 15, kind::TRANSPORT_FEEDBACK);
        out.extend_from_slice(&sender.0.to_be_bytes());
        out.extend_from_slice(&media.0.to_be_bytes());
        out.extend_from_slice(&seq::truncate(self.base).to_be_bytes());
        out.extend_from_slice(&u16::try_from(count).unwrap_or(0).to_be_bytes());
        #[expect(clippy::cast_possible_truncation, reason = "the low 24 bits are meant")]
        let [_, r0, r1, r2] = (reference as i32).to_be_bytes();
        out.extend_from_slice(&[r0, r1, r2, self.feedback_count]);
        self.feedback_count = self.feedback_count.wrapping_add(1);
        write_chunks(out, symbols);
        let mut before = reference.saturating_mul(TICKS_PER_REFERENCE);
        for (symbol, arrival) in symbols.iter().zip(self.arrivals.drain(..count)) {
            let Some(ticks) = arrival else { continue };
            let delta = i16::try_from(ticks.saturating_sub(before)).unwrap_or(0);
            before = ticks;
            match *symbol {
                SMALL => out.push(u8::try_from(delta).unwrap_or(0)),
                _ => out.extend_from_slice(&delta.to_be_bytes()),
            }
        }
        finish(out, start);
        self.base = self
            .base
            .saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
        true
    }
}

fn write_chunks(out: &mut Vec<u8>, mut symbols: &[u8]) {
    while let Some(&first) = symbols.first() {
        let run = symbols.iter().take_while(|s| **s == first).count();
        let (word, used) = if run >= 7 || run == symbols.len() {
            let run = run.min(0x1fff);
            let length = u16::try_from(run).unwrap_or(0);
            (u16::from(first) << 13 | length, run)
        } else if symbols.iter().take(14).all(|s| *s != LARGE) {
            (0x8000 | pack(symbols, 14, 1), 14)
        } else {
            (0xc000 | pack(symbols, 7, 2), 7)
        };
        out.extend_from_slice(&word.to_be_bytes());
        symbols = symbols.get(used..).unwrap_or_default();
    }
}

/// `n` symbols of `bits` bits each, the first on top.
fn pack(symbols: &[u8], n: usize, bits: u32) -> u16 {
    (0..n).fold(0u16, |word, i| {
        let symbol = symbols.get(i).copied().unwrap_or(NOT_RECEIVED);
        word.wrapping_shl(bits) | u16::from(symbol)
    })
}
