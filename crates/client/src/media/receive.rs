//! Judges what arrives, slot by slot, and says what is to be reported, asked for again or begun
//! anew.

use super::Mapping;
use super::numbering::{Arrival, Numbering};
use super::playout::{Part, Playout};
use crate::packets::{self, Marker, Sender, Source, Unreadable};
use crate::stats::Recorder;
use althing_model::profile::{extension, payload_type};
use althing_model::{MediaKind, Ssrc};
use althing_rtp::rtcp::{self, ReportBlock, SenderInfo, TransportCcRecorder};
use althing_rtp::{RtpPacket, rtx};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// How often feedback on arrivals is sent; browsers choose 50 to 250 ms.
const FEEDBACK_PERIOD: Duration = Duration::from_millis(100);
const REPORT_PERIOD: Duration = Duration::from_secs(1);
const KEYFRAME_PERIOD: Duration = Duration::from_millis(500);
/// Around a change of a slot's source, packets of both are right: message and media go by
/// different ways.
const CHANGE: Duration = Duration::from_secs(1);
/// More blocks do not go into one report (RFC 3550 §6.4.1).
const BLOCKS: usize = 31;
/// What one RTCP packet of ours holds at most, in bytes.
const MOST_FEEDBACK: usize = 1_100;

#[derive(Debug)]
struct Slot {
    ssrc: Ssrc,
    kind: MediaKind,
    owner: Sender,
    source: Option<Source>,
    name: String,
    before: Option<(Sender, Instant)>,
    /// From a source that is not on this slot yet, as far as we know.
    early: Option<(Sender, u64, Instant)>,
    numbering: Numbering,
    playout: Option<Box<Playout>>,
    keyframe_asked: Option<Instant>,
}

#[derive(Debug, Clone, Copy)]
enum Stream {
    Media(usize),
    Retransmission(usize),
    /// The bridge's own: probes and padding.
    Bridge,
}

/// Judges what arrives.
#[derive(Debug)]
pub(crate) struct Receiver {
    /// What our reports are sent from.
    own: Ssrc,
    streams: HashMap<Ssrc, Stream>,
    slots: Vec<Slot>,
    arrivals: TransportCcRecorder,
    /// Any stream of the other side; feedback must name one.
    last_ssrc: Ssrc,
    feedback_at: Option<Instant>,
    report_at: Option<Instant>,
    repair_at: Option<Instant>,
    numbers: Vec<u16>,
}

impl Receiver {
    pub(crate) fn new(own: Ssrc) -> Self {
        Self {
            own,
            streams: HashMap::new(),
            slots: Vec::new(),
            arrivals: TransportCcRecorder::new(),
            last_ssrc: Ssrc(0),
            feedback_at: None,
            report_at: None,
            repair_at: None,
            numbers: Vec::new(),
        }
    }

    pub(crate) fn map(&mut self, mappings: Vec<Mapping>, now: Instant, recorder: &mut Recorder) {
        for mapping in mappings {
            if mapping.is_bridge {
                self.streams.insert(mapping.ssrc, Stream::Bridge);
                continue;
            }
            let index = match self.streams.get(&mapping.ssrc) {
                Some(Stream::Media(index)) => {
                    self.slots[*index].carry(mapping, now, recorder);
                    continue;
                }
                _ => self.slots.len(),
            };
            self.streams.insert(mapping.ssrc, Stream::Media(index));
            if let Some(rtx) = mapping.rtx {
                self.streams.insert(rtx, Stream::Retransmission(index));
            }
            self.slots.push(Slot {
                ssrc: mapping.ssrc,
                kind: mapping.kind,
                owner: mapping.owner,
                source: mapping.source,
                name: mapping.name,
                before: None,
                early: None,
                numbering: Numbering::default(),
                playout: (mapping.kind == MediaKind::Video).then(Box::default),
                keyframe_asked: None,
            });
        }
    }

    /// The video sources that the bridge sends us now; the others make pauses, not freezes.
    pub(crate) fn forwarded(&mut self, names: &[String]) {
        for slot in &mut self.slots {
            if let Some(playout) = &mut slot.playout
                && !names.contains(&slot.name)
            {
                playout.pause();
            }
        }
    }

    /// A media packet, opened. Times are of its arrival.
    pub(crate) fn rtp(
        &mut self,
        packet: &[u8],
        now: Instant,
        arrived_micros: u64,
        recorder: &mut Recorder,
    ) -> Option<(MediaKind, u64)> {
        let packet = RtpPacket::parse(packet).ok()?;
        recorder.packets += 1;
        recorder.bytes += packet.payload().len() as u64;
        if let Some(&[high, low]) = packet.extension(extension::TRANSPORT_CC) {
            let at = Duration::from_micros(arrived_micros);
            self.arrivals.record(u16::from_be_bytes([high, low]), at);
            self.last_ssrc = packet.ssrc();
            self.feedback_at.get_or_insert(now + FEEDBACK_PERIOD);
        }
        self.report_at.get_or_insert(now + REPORT_PERIOD);
        let (payload, _) = payload_type(packet.payload_type())?;
        let index = match self.streams.get(&packet.ssrc()) {
            Some(Stream::Media(index)) => {
                return self.media(*index, &packet, now, arrived_micros, recorder);
            }
            Some(Stream::Retransmission(index)) => *index,
            Some(Stream::Bridge) => {
                recorder.probes += 1;
                return None;
            }
            None => {
                // Media on an SSRC nobody announced: a browser could not have played it.
                let kind = match payload.clock_rate {
                    90_000 => MediaKind::Video,
                    _ => MediaKind::Audio,
                };
                recorder.kind(kind).wrong += 1;
                return None;
            }
        };
        let Some((sequence, original)) = rtx::unwrap(packet.payload()) else {
            // Padding: a probe.
            recorder.probes += 1;
            return None;
        };
        let slot = self.slots.get_mut(index)?;
        let part = PacketParts {
            sequence,
            timestamp: packet.timestamp(),
            marker: packet.marker(),
            payload: original,
            repaired: true,
        };
        slot.take(&part, now, arrived_micros, recorder)
    }

    fn media(
        &mut self,
        index: usize,
        packet: &RtpPacket<'_>,
        now: Instant,
        arrived_micros: u64,
        recorder: &mut Recorder,
    ) -> Option<(MediaKind, u64)> {
        let slot = self.slots.get_mut(index)?;
        let parts = PacketParts {
            sequence: packet.sequence(),
            timestamp: packet.timestamp(),
            marker: packet.marker(),
            payload: packet.payload(),
            repaired: false,
        };
        let clock = if slot.kind == MediaKind::Audio {
            48
        } else {
            90
        };
        let arrival = (arrived_micros / 1_000 * clock) as i64;
        slot.numbering.clock(packet.timestamp(), arrival);
        let taken = slot.take(&parts, now, arrived_micros, recorder);
        let asks = slot.kind == MediaKind::Video;
        let due = slot.numbering.next_at(asks);
        let keyframe = slot.keyframe_due();
        self.repair_at = [self.repair_at, due, keyframe].into_iter().flatten().min();
        taken
    }

    /// A sender report of the bridge: what our reports refer to.
    pub(crate) fn sender_report(&mut self, info: &SenderInfo, now: Instant) {
        if let Some(Stream::Media(index)) = self.streams.get(&info.ssrc)
            && let Some(slot) = self.slots.get_mut(*index)
        {
            slot.numbering.sender_report(info.ntp_middle(), now);
        }
    }

    /// When [`Self::feedback`] has something to say.
    pub(crate) fn next_at(&self) -> Option<Instant> {
        [self.feedback_at, self.report_at, self.repair_at]
            .into_iter()
            .flatten()
            .min()
    }

    /// Appends RTCP that is due; more than fits a packet comes with the next call.
    pub(crate) fn feedback(&mut self, now: Instant, recorder: &mut Recorder, out: &mut Vec<u8>) {
        if self.report_at.is_some_and(|at| at <= now) {
            self.report_at = None;
            let blocks: Vec<ReportBlock> = self
                .slots
                .iter_mut()
                .filter_map(|slot| slot.numbering.block(slot.ssrc, now))
                .take(BLOCKS)
                .collect();
            rtcp::receiver_report(out, self.own, &blocks);
        }
        if self.repair_at.is_some_and(|at| at <= now) {
            self.repair(now, recorder, out);
        }
        if self.feedback_at.is_some_and(|at| at <= now) {
            self.feedback_at = None;
            while self.arrivals.is_pending() {
                if out.len() > MOST_FEEDBACK {
                    self.feedback_at = Some(now);
                    break;
                }
                self.arrivals.build(out, self.own, self.last_ssrc);
            }
        }
    }

    fn repair(&mut self, now: Instant, recorder: &mut Recorder, out: &mut Vec<u8>) {
        self.repair_at = None;
        for slot in &mut self.slots {
            let video = slot.kind == MediaKind::Video;
            if slot.numbering.give_up(now)
                && let Some(playout) = &mut slot.playout
            {
                playout.advance(slot.numbering.settled(), now, &mut recorder.pictures);
            }
            if video {
                self.numbers.clear();
                slot.numbering.ask(now, &mut self.numbers);
                if !self.numbers.is_empty() {
                    recorder.nacked += self.numbers.len() as u64;
                    rtcp::nack(out, self.own, slot.ssrc, &self.numbers);
                }
                if slot.keyframe_due().is_some_and(|at| at <= now) {
                    slot.keyframe_asked = Some(now);
                    recorder.keyframes_asked += 1;
                    rtcp::pli(out, self.own, slot.ssrc);
                }
            }
            let due = slot.numbering.next_at(video);
            let keyframe = slot.keyframe_due();
            self.repair_at = [self.repair_at, due, keyframe].into_iter().flatten().min();
        }
    }

    /// Asks for a keyframe of every video slot, as a viewer does whose decoder lost its way.
    pub(crate) fn ask_keyframes(&self, recorder: &mut Recorder, out: &mut Vec<u8>) {
        for slot in self.slots.iter().filter(|s| s.kind == MediaKind::Video) {
            if slot.numbering.received() > 0 && out.len() < MOST_FEEDBACK {
                recorder.keyframes_asked += 1;
                rtcp::pli(out, self.own, slot.ssrc);
            }
        }
    }

    /// Lost so far, by kind.
    pub(crate) fn lost(&self) -> (u64, u64) {
        let lost = |kind| {
            let of = self.slots.iter().filter(|s| s.kind == kind);
            of.map(|s| s.numbering.lost()).sum()
        };
        (lost(MediaKind::Audio), lost(MediaKind::Video))
    }
}

/// A packet, or what a retransmission says it was.
#[derive(Debug)]
struct PacketParts<'a> {
    sequence: u16,
    timestamp: u32,
    marker: bool,
    payload: &'a [u8],
    repaired: bool,
}

impl Slot {
    /// Another source is on this slot now, or the same again.
    fn carry(&mut self, mapping: Mapping, now: Instant, recorder: &mut Recorder) {
        if (self.owner, self.source) == (mapping.owner, mapping.source) {
            return;
        }
        self.before = Some((self.owner, now));
        self.owner = mapping.owner;
        self.source = mapping.source;
        self.name = mapping.name;
        if let Some((sender, count, _)) = self.early.take() {
            if sender == self.owner {
                recorder.kind(self.kind).early += count;
            } else {
                recorder.kind(self.kind).wrong += count;
            }
        }
        if let Some(playout) = &mut self.playout {
            playout.restart();
        }
    }

    /// When a keyframe is to be asked for, if one is needed.
    fn keyframe_due(&self) -> Option<Instant> {
        let playout = self.playout.as_ref()?;
        playout.needs_keyframe().then(|| {
            // Never before: at once.
            self.keyframe_asked
                .map_or_else(Instant::now, |last| last + KEYFRAME_PERIOD)
        })
    }

    fn take(
        &mut self,
        packet: &PacketParts<'_>,
        now: Instant,
        arrived_micros: u64,
        recorder: &mut Recorder,
    ) -> Option<(MediaKind, u64)> {
        if packet.payload.is_empty() && packet.repaired {
            recorder.probes += 1;
            return None;
        }
        let (number, arrival) = self.numbering.arrive(packet.sequence, now);
        if packet.payload.is_empty() {
            // Padding has a number like everything else.
            recorder.probes += 1;
            if let Some(playout) = &mut self.playout {
                let settled = self.numbering.settled();
                playout.arrive(number, None, settled, now, &mut recorder.pictures);
            }
            return None;
        }
        if arrival == Arrival::Repeated {
            if packet.repaired {
                recorder.probes += 1;
            } else {
                recorder.kind(self.kind).duplicates += 1;
            }
            return None;
        }
        let read = match self.kind {
            MediaKind::Audio => packets::read_audio(packet.payload).map(|marker| (marker, None)),
            MediaKind::Video => {
                packets::read_video(packet.payload).map(|video| (video.marker, Some(video)))
            }
        };
        let (marker, video) = match read {
            Ok(read) => read,
            Err(Unreadable::Foreign) => {
                recorder.kind(self.kind).foreign += 1;
                return None;
            }
            Err(Unreadable::Corrupt) => {
                recorder.kind(self.kind).wrong += 1;
                return None;
            }
        };
        if !self.is_right(&marker, now, recorder) {
            return None;
        }
        recorder.arrived(self.kind, &marker, arrived_micros, packet.repaired);
        if let (Some(playout), Some(packet_read)) = (&mut self.playout, video) {
            let part = Part {
                timestamp: packet.timestamp,
                marker: packet.marker,
                packet: packet_read,
            };
            let settled = self.numbering.settled();
            let frames = recorder.pictures.frames;
            playout.arrive(number, Some(part), settled, now, &mut recorder.pictures);
            if recorder.pictures.frames > frames {
                recorder.shown(&marker, arrived_micros);
            }
        }
        let delay = arrived_micros.saturating_sub(marker.sent_micros);
        (!packet.repaired).then_some((self.kind, delay))
    }

    /// Whether this slot is the one of the packet's source.
    fn is_right(&mut self, marker: &Marker, now: Instant, recorder: &mut Recorder) -> bool {
        let source = self.source.is_none_or(|source| source == marker.source);
        if marker.sender == self.owner && source {
            return true;
        }
        let just_changed = |at: Instant| now.saturating_duration_since(at) < CHANGE;
        if self
            .before
            .is_some_and(|(sender, at)| sender == marker.sender && just_changed(at))
        {
            recorder.kind(self.kind).early += 1;
            return false;
        }
        // Perhaps the message about a new source is still on its way.
        match &mut self.early {
            Some((sender, count, since)) if *sender == marker.sender && just_changed(*since) => {
                *count += 1;
            }
            early => {
                if let Some((_, count, _)) = early.replace((marker.sender, 1, now)) {
                    recorder.kind(self.kind).wrong += count;
                }
            }
        }
        false
    }
}
