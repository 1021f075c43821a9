//! One SSRC towards one receiver: what is mapped to it, and how numbers are rewritten.
//!
//! Whatever is mapped to it, a receiver sees one stream: sequence numbers without gaps of our
//! making, timestamps that never go back. An outlet outlives its mappings, and its numbers go on:
//! the pair of SSRC and sequence number is a nonce of the encryption below.

use crate::audience::Class;
use crate::frame_ids::{FrameIds, FrameShift, LastFrame};
use crate::keyframes::Requester;
use crate::layers::LayerId;
use crate::view::ViewKey;
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
    /// Its sequence number in 64 bits, closed up over packets left out.
    pub(crate) number: u64,
    pub(crate) timestamp: u32,
    /// A receiver may begin here.
    pub(crate) starts: bool,
    /// What the numbers are those of.
    pub(crate) view: ViewKey,
    /// Which frame it belongs to.
    pub(crate) ids: FrameIds,
}

/// A stretch of what was sent: which view it came from, and how its numbers became ours.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Segment {
    pub(crate) view: ViewKey,
    /// The view's number that it begins with, and ours for that.
    first: u64,
    first_sequence: u64,
    pub(crate) timestamp_offset: u32,
    pub(crate) shift: FrameShift,
}

impl Segment {
    const fn sequence(&self, number: u64) -> u64 {
        number
            .wrapping_sub(self.first)
            .wrapping_add(self.first_sequence)
    }

    const fn number(&self, sequence: u64) -> u64 {
        sequence
            .wrapping_sub(self.first_sequence)
            .wrapping_add(self.first)
    }
}

/// A packet that was sent, as its view numbers it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Past {
    pub(crate) segment: Segment,
    pub(crate) number: u64,
    /// Ours, in 64 bits.
    pub(crate) sequence: u64,
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
    /// What the receiver is to have of the source; nothing while it is suspended.
    pub(crate) target: Option<LayerId>,
    /// What is being sent, once something is.
    segment: Option<Segment>,
    /// What was sent before that of the same source, the last first.
    past: Vec<Segment>,
    /// How far timestamps are ahead of what the source's clock says.
    ahead: u32,
    last_frame: LastFrame,
    last_sequence: u64,
    last_timestamp: u32,
    last_sent: Option<Instant>,
    pub(crate) packets: u32,
    pub(crate) octets: u32,
    rtx_sequence: u16,
    resent: Vec<Resent>,
    /// The last sender reports forwarded: middle bits of their time, and when.
    reports: Option<Box<Reports>>,
}

/// Kept apart: most outlets wait idle, and never have any.
type Reports = [Option<(u32, Instant)>; 2];

#[derive(Debug, Clone, Copy, Default)]
struct Resent {
    number: u64,
    at: Option<Instant>,
    times: u8,
}

/// How many packets' retransmissions are remembered; as many as the history holds.
const RESENT: usize = 1024;
const MAX_RESENDS: u8 = 10;
/// Stretches remembered, for packets that are asked for after a switch.
const PAST: usize = 2;
/// Between the timestamps of two frames that are of the same time: a millisecond.
const SHORTEST_STEP: i32 = 90;

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
            target: None,
            segment: None,
            past: Vec::new(),
            ahead: 0,
            last_frame: LastFrame::NONE,
            last_sequence: start as u64 | 0x1_0000,
            last_timestamp: 0,
            last_sent: None,
            packets: 0,
            octets: 0,
            rtx_sequence: start,
            resent: Vec::new(),
            reports: None,
        }
    }

    const fn clock_rate(&self) -> u32 {
        match self.kind {
            MediaKind::Audio => 48_000,
            MediaKind::Video => 90_000,
        }
    }

    /// Decides on one packet and gives it its numbers. Unless the stream goes on, it begins here if
    /// it can.
    #[inline]
    pub(crate) fn accept(&mut self, n: &Numbers, now: Instant) -> Verdict {
        let goes_on = matches!(
            (&self.gate, &self.segment),
            (Gate::Open, Some(segment)) if segment.view == n.view
        );
        if !goes_on && let Some(refused) = self.try_begin(n, now) {
            return refused;
        }
        let Some(segment) = &self.segment else {
            return Verdict::Drop;
        };
        if n.number < segment.first {
            return Verdict::Drop;
        }
        if n.starts {
            self.requester.satisfied();
        }
        let sequence = segment.sequence(n.number);
        let timestamp = n.timestamp.wrapping_add(segment.timestamp_offset);
        if sequence > self.last_sequence {
            self.last_sequence = sequence;
            self.last_timestamp = timestamp;
            self.last_sent = Some(now);
            self.last_frame.sent(&n.ids, &segment.shift);
        }
        Verdict::Send {
            sequence: seq::truncate(sequence),
            timestamp,
        }
    }

    /// Begins with this packet, or says why not.
    #[cold]
    fn try_begin(&mut self, n: &Numbers, now: Instant) -> Option<Verdict> {
        if !self.may_begin(now) {
            return Some(Verdict::Drop);
        }
        if !n.starts {
            self.gate = Gate::Waiting;
            return Some(Verdict::NeedsKeyframe);
        }
        self.begin(n, None, now);
        None
    }

    /// Whether the receiver can take the beginning of a stream.
    pub(crate) fn may_begin(&self, now: Instant) -> bool {
        match self.gate {
            Gate::Unannounced => false,
            Gate::Held(until) => now >= until,
            Gate::Waiting | Gate::Open => true,
        }
    }

    /// From this packet on something else is sent, which no number here is related to. `aligned` is
    /// the packet's timestamp as it would have been in the stretch before, if that can be told.
    pub(crate) fn begin(&mut self, n: &Numbers, aligned: Option<u32>, now: Instant) {
        self.gate = Gate::Open;
        self.requester.satisfied();
        let timestamp_offset = match self.last_sent {
            None => 0,
            Some(at) => self
                .next_timestamp(aligned, at, now)
                .wrapping_sub(n.timestamp),
        };
        self.push(Segment {
            view: n.view,
            first: n.number,
            first_sequence: self.last_sequence + 1,
            timestamp_offset,
            shift: self.last_frame.shift(n.ids),
        });
    }

    fn next_timestamp(&mut self, aligned: Option<u32>, last_sent: Instant, now: Instant) -> u32 {
        let elapsed = now.saturating_duration_since(last_sent).as_secs_f64();
        let frame = match self.kind {
            MediaKind::Audio => 960,
            MediaKind::Video => 3000,
        };
        // Wraps after half a day of pause, as timestamps do.
        let elapsed = (elapsed * f64::from(self.clock_rate())) as u64 as u32;
        if let (Some(aligned), Some(segment)) = (aligned, &self.segment) {
            let wanted = aligned
                .wrapping_add(segment.timestamp_offset)
                .wrapping_sub(self.ahead);
            let step = seq::timestamp_distance(self.last_timestamp, wanted);
            // A clock that is off by more than a second is none.
            let off = seq::timestamp_distance(elapsed, step.cast_unsigned());
            if off.unsigned_abs() < self.clock_rate() {
                let step = step.max(SHORTEST_STEP).cast_unsigned();
                let timestamp = self.last_timestamp.wrapping_add(step);
                self.ahead = timestamp.wrapping_sub(wanted);
                return timestamp;
            }
        }
        self.ahead = 0;
        self.last_timestamp.wrapping_add(elapsed.max(frame))
    }

    /// From this packet on another view of the same encoding is sent. `before` is the packet in the
    /// view so far, whether or not it belongs to it; losses before it keep their places.
    pub(crate) fn go_on(&mut self, n: &Numbers, before: (u64, u16)) {
        let Some(segment) = self.segment else { return };
        let (number, pictures_lowered) = before;
        self.push(Segment {
            view: n.view,
            first: n.number,
            first_sequence: segment.sequence(number),
            shift: segment.shift.with_pictures_lowered(pictures_lowered),
            ..segment
        });
    }

    fn push(&mut self, segment: Segment) {
        if let Some(before) = self.segment.replace(segment) {
            self.past.truncate(PAST - 1);
            self.past.insert(0, before);
        }
    }

    /// The view being sent from, if any.
    pub(crate) fn view(&self) -> Option<ViewKey> {
        let open = self.gate == Gate::Open;
        self.segment.filter(|_| open).map(|s| s.view)
    }

    /// The stretch being sent, or sent last.
    pub(crate) const fn segment(&self) -> Option<Segment> {
        self.segment
    }

    /// How frame numbers inside the packets are rewritten.
    #[inline]
    pub(crate) fn shift(&self) -> FrameShift {
        self.segment.map_or(FrameShift::NONE, |s| s.shift)
    }

    /// A timestamp of the view as this receiver sees it.
    pub(crate) fn timestamp(&self, of_source: u32) -> u32 {
        let offset = self.segment.map_or(0, |s| s.timestamp_offset);
        of_source.wrapping_add(offset)
    }

    pub(crate) fn count(&mut self, payload: usize) {
        self.packets = self.packets.wrapping_add(1);
        self.octets = self.octets.wrapping_add(payload as u32);
    }

    /// What was sent, or would have been, under a sequence number; nothing if that cannot be.
    pub(crate) fn past(&self, sequence: u16) -> Option<Past> {
        let sequence = seq::extend(self.last_sequence, sequence);
        if sequence > self.last_sequence {
            return None;
        }
        let mut next = None;
        let segments = self.segment.iter().chain(&self.past);
        for segment in segments {
            if sequence >= segment.first_sequence {
                let number = segment.number(sequence);
                return (next.is_none_or(|n| sequence < n)).then_some(Past {
                    segment: *segment,
                    number,
                    sequence,
                });
            }
            next = Some(segment.first_sequence);
        }
        None
    }

    /// Whether to send a packet again now; see [`Self::resent`].
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
        !too_soon && entry.times < MAX_RESENDS
    }

    /// Notes that a packet, which [`Self::may_resend`] was asked about, is sent again.
    pub(crate) fn resent(&mut self, number: u64, now: Instant) {
        let entry = self.resent.get_mut((number % RESENT as u64) as usize);
        if let Some(entry) = entry.filter(|entry| entry.number == number) {
            entry.at = Some(now);
            entry.times += 1;
        }
    }

    /// The next number on the retransmission SSRC.
    pub(crate) const fn next_rtx(&mut self) -> u16 {
        self.rtx_sequence = self.rtx_sequence.wrapping_add(1);
        self.rtx_sequence
    }

    pub(crate) fn report_sent(&mut self, ntp_middle: u32, now: Instant) {
        let reports = self.reports.get_or_insert_default();
        **reports = [Some((ntp_middle, now)), reports[0]];
    }

    /// The round trip time from a report block about this SSRC (RFC 3550 §6.4.1).
    pub(crate) fn round_trip(&self, last_sr: u32, delay: u32, now: Instant) -> Option<Duration> {
        let reports = self.reports.as_deref()?;
        let (_, at) = reports
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
        self.forget_segments();
        self.target = None;
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
        self.target = None;
        self.changed = false;
        self.resent = Vec::new();
        self.forget_segments();
    }

    /// What was sent came from a source that is not here any more.
    fn forget_segments(&mut self) {
        self.segment = None;
        self.past.clear();
        self.ahead = 0;
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
        if let Some(segment) = &mut self.segment {
            segment.first_sequence = segment.sequence(next).wrapping_add(shift);
            segment.first = next;
        }
    }

    /// The newest sequence number given out.
    pub(crate) const fn last_sequence(&self) -> u64 {
        self.last_sequence
    }

    /// These numbers were given out and never left: the next keyframe goes on where they began.
    pub(crate) fn withdraw(&mut self, sequences: &[u64]) {
        while sequences.contains(&self.last_sequence) {
            self.last_sequence -= 1;
        }
        self.resume();
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
