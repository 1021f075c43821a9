//! One SSRC towards one receiver: what is mapped to it, and how numbers are rewritten.
//!
//! Whatever is mapped to it, a receiver sees one stream: sequence numbers without gaps of our
//! making, timestamps that never go back. An outlet outlives its mappings, and its numbers go on:
//! the pair of SSRC and sequence number is a nonce of the encryption below.

use crate::audience::Class;
use crate::frame_ids::{FrameIds, FrameShift};
use crate::keyframes::Requester;
use althing_model::{MediaKind, SourceName, Ssrc};
use althing_rtp::seq;
use std::time::{Duration, Instant};

/// What stands between a mapping and its first packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gate {
    /// The receiver does not know of the mapping yet.
    Unannounced,
    /// It was told of a brand-new SSRC; packets wait until then.
    Held(Instant),
    /// The next packet that can begin a stream opens it.
    Waiting,
    /// Packets pass.
    Open,
}

/// What to do with a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Send it with these numbers.
    Send { sequence: u16, timestamp: u32 },
    /// It cannot begin the stream: a keyframe is needed.
    NeedsKeyframe,
    /// Not for this receiver.
    Drop,
}

/// The numbers of one arriving packet, the same for all receivers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Numbers {
    /// Its sequence number in 64 bits, closed up over hidden packets.
    pub(crate) number: u64,
    pub(crate) timestamp: u32,
    /// A receiver may begin here.
    pub(crate) starts: bool,
    /// Grows when numbers before lose their meaning.
    pub(crate) epoch: u32,
    /// Which frame it belongs to.
    pub(crate) ids: FrameIds,
}

#[derive(Debug)]
pub(crate) struct Outlet {
    pub(crate) kind: MediaKind,
    pub(crate) ssrc: Ssrc,
    pub(crate) rtx: Option<Ssrc>,
    /// The source on it, by slab index.
    pub(crate) source: Option<usize>,
    /// The last source on it, which a client may still show under this SSRC.
    pub(crate) name: SourceName,
    /// Its source's packets come here.
    pub(crate) subscribed: bool,
    /// The receiver has been told of the SSRC at least once.
    pub(crate) known: bool,
    /// The mapping is to be announced.
    pub(crate) changed: bool,
    /// When the receiver was told of the SSRC first; before that, when it was made.
    pub(crate) known_since: Instant,
    pub(crate) touched: u64,
    /// By which numbers audio comes here.
    pub(crate) class: Class,
    pub(crate) gate: Gate,
    pub(crate) requester: Requester,
    epoch: u32,
    /// First number of this mapping that was sent.
    first: u64,
    sequence_offset: u64,
    timestamp_offset: u32,
    /// How frame numbers inside the packets are rewritten.
    pub(crate) frames: FrameShift,
    last_sequence: u64,
    last_timestamp: u32,
    last_sent: Option<Instant>,
    pub(crate) packets: u32,
    pub(crate) octets: u32,
    rtx_sequence: u16,
    resent: Vec<Resent>,
    /// The last sender reports forwarded: middle bits of their time, and when.
    reports: [Option<(u32, Instant)>; 2],
}

#[derive(Debug, Clone, Copy, Default)]
struct Resent {
    number: u64,
    at: Option<Instant>,
    times: u8,
}

/// How many packets' retransmissions are remembered; as many as the history holds.
const RESENT: usize = 1024;
const MAX_RESENDS: u8 = 10;

impl Outlet {
    /// `start` is where its sequence numbers begin.
    pub(crate) const fn new(
        kind: MediaKind,
        ssrc: Ssrc,
        rtx: Option<Ssrc>,
        name: SourceName,
        start: u16,
        now: Instant,
    ) -> Self {
        Self {
            kind,
            ssrc,
            rtx,
            source: None,
            name,
            subscribed: false,
            known: false,
            changed: false,
            known_since: now,
            touched: 0,
            class: Class::Fresh,
            gate: Gate::Unannounced,
            requester: Requester::NEW,
            epoch: 0,
            first: 0,
            sequence_offset: 0,
            timestamp_offset: 0,
            frames: FrameShift::NONE,
            last_sequence: start as u64 | 0x1_0000,
            last_timestamp: 0,
            last_sent: None,
            packets: 0,
            octets: 0,
            rtx_sequence: start,
            resent: Vec::new(),
            reports: [None; 2],
        }
    }

    const fn clock_rate(&self) -> u32 {
        match self.kind {
            MediaKind::Audio => 48_000,
            MediaKind::Video => 90_000,
        }
    }

    /// Decides on one packet and gives it its numbers.
    pub(crate) fn accept(&mut self, n: Numbers, now: Instant) -> Verdict {
        match self.gate {
            Gate::Open if self.epoch == n.epoch => {
                if n.number < self.first {
                    return Verdict::Drop;
                }
                if n.starts {
                    self.requester.satisfied();
                }
            }
            Gate::Unannounced => return Verdict::Drop,
            Gate::Held(until) if now < until => return Verdict::Drop,
            Gate::Held(_) | Gate::Waiting | Gate::Open => {
                if !n.starts {
                    self.gate = Gate::Waiting;
                    return Verdict::NeedsKeyframe;
                }
                self.start(n, now);
            }
        }
        let sequence = n.number.wrapping_add(self.sequence_offset);
        let timestamp = n.timestamp.wrapping_add(self.timestamp_offset);
        if sequence > self.last_sequence {
            self.last_sequence = sequence;
            self.last_timestamp = timestamp;
            self.last_sent = Some(now);
            self.frames.sent(n.ids);
        }
        Verdict::Send {
            sequence: seq::truncate(sequence),
            timestamp,
        }
    }

    fn start(&mut self, n: Numbers, now: Instant) {
        self.gate = Gate::Open;
        self.epoch = n.epoch;
        self.requester.satisfied();
        self.first = n.number;
        self.frames.begin(n.ids);
        self.sequence_offset = (self.last_sequence + 1).wrapping_sub(n.number);
        if let Some(at) = self.last_sent {
            let elapsed = now.saturating_duration_since(at).as_secs_f64();
            let frame = match self.kind {
                MediaKind::Audio => 960,
                MediaKind::Video => 3000,
            };
            // Wraps after half a day of pause, as timestamps do.
            let step = ((elapsed * f64::from(self.clock_rate())) as u64 as u32).max(frame);
            let timestamp = self.last_timestamp.wrapping_add(step);
            self.timestamp_offset = timestamp.wrapping_sub(n.timestamp);
        }
    }

    /// Whether packets of this epoch have been sent, so that reports about them make sense.
    pub(crate) fn carries(&self, epoch: u32) -> bool {
        self.gate == Gate::Open && self.epoch == epoch
    }

    /// A timestamp of the source as this receiver sees it.
    pub(crate) const fn timestamp(&self, of_source: u32) -> u32 {
        of_source.wrapping_add(self.timestamp_offset)
    }

    pub(crate) fn count(&mut self, payload: usize) {
        self.packets = self.packets.wrapping_add(1);
        self.octets = self.octets.wrapping_add(payload as u32);
    }

    /// The source's number of a packet the receiver misses; nothing if it cannot have missed it.
    pub(crate) fn source_number(&self, sequence: u16) -> Option<u64> {
        let sent = seq::extend(self.last_sequence, sequence);
        let number = sent.wrapping_sub(self.sequence_offset);
        (self.gate == Gate::Open && sent <= self.last_sequence && number >= self.first)
            .then_some(number)
    }

    /// Whether to send a packet again now.
    pub(crate) fn may_resend(&mut self, number: u64, rtt: Option<Duration>, now: Instant) -> bool {
        if self.resent.is_empty() {
            self.resent.resize(RESENT, Resent::default());
        }
        // Without a round trip time nobody can ask twice sensibly within this.
        let rtt = rtt.unwrap_or(Duration::from_millis(20));
        let pause = rtt
            .mul_f32(0.9)
            .min(rtt.saturating_sub(Duration::from_millis(5)));
        let entry = &mut self.resent[(number % RESENT as u64) as usize];
        if entry.number != number {
            *entry = Resent {
                number,
                ..Resent::default()
            };
        }
        let too_soon = entry
            .at
            .is_some_and(|at| now.saturating_duration_since(at) < pause);
        if too_soon || entry.times == MAX_RESENDS {
            return false;
        }
        entry.at = Some(now);
        entry.times += 1;
        true
    }

    /// The next number on the retransmission SSRC.
    pub(crate) const fn next_rtx(&mut self) -> u16 {
        self.rtx_sequence = self.rtx_sequence.wrapping_add(1);
        self.rtx_sequence
    }

    pub(crate) fn report_sent(&mut self, ntp_middle: u32, now: Instant) {
        self.reports = [Some((ntp_middle, now)), self.reports[0]];
    }

    /// The round trip time from a report block about this SSRC (RFC 3550 §6.4.1).
    pub(crate) fn round_trip(&self, last_sr: u32, delay: u32, now: Instant) -> Option<Duration> {
        let (_, at) = self
            .reports
            .iter()
            .flatten()
            .find(|(middle, _)| *middle == last_sr && last_sr != 0)?;
        let delay = Duration::from_secs_f64(f64::from(delay) / 65_536.0);
        now.saturating_duration_since(*at)
            .checked_sub(delay)
            .filter(|rtt| *rtt < Duration::from_secs(7))
    }

    /// Maps another source, or the same one anew: its next packet is a start.
    pub(crate) fn map(&mut self, source: usize, name: SourceName) {
        self.source = Some(source);
        self.name = name;
        self.changed = true;
        self.gate = Gate::Unannounced;
        self.requester.satisfied();
    }

    /// The source is gone; the numbers stay, since they go on with the next one.
    pub(crate) fn unmap(&mut self) {
        self.source = None;
        self.subscribed = false;
        self.changed = false;
        self.resent = Vec::new();
    }

    /// The last sequence numbers used, of media and of retransmissions.
    pub(crate) const fn last_numbers(&self) -> (u16, u16) {
        (seq::truncate(self.last_sequence), self.rtx_sequence)
    }

    /// Retransmissions begin after this number.
    pub(crate) const fn continue_rtx(&mut self, last: u16) {
        self.rtx_sequence = last;
    }

    /// The receiver is about to learn of the mapping.
    pub(crate) fn announced(&mut self, hold: Duration, now: Instant) {
        self.changed = false;
        let known = std::mem::replace(&mut self.known, true);
        if !known {
            self.known_since = now;
        }
        if self.gate == Gate::Unannounced {
            self.gate = if known {
                Gate::Waiting
            } else {
                Gate::Held(now + hold)
            };
        }
    }

    /// The source's packets come by other numbers from now on: by `shift` less, and from `next` on.
    pub(crate) const fn renumber(&mut self, shift: u64, next: u64) {
        self.sequence_offset = self.sequence_offset.wrapping_add(shift);
        self.first = next;
    }

    /// Packets resume after a pause: as with a new mapping, but the receiver knows it.
    pub(crate) fn resume(&mut self) {
        if self.gate == Gate::Open {
            self.gate = Gate::Waiting;
        }
    }
}

#[cfg(test)]
mod tests;
