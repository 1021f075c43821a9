//! The way of one media packet: from its sender to everybody who wants it.

use crate::conference::{Conference, Payload};
use crate::ingress::Arrival;
use crate::keyframes::Requests;
use crate::relay::RelayMessage;
use crate::settings::{EndpointKey, PacketSink};
use crate::timers::Timer;
use althing_model::profile::extension;
use althing_model::{MediaKind, Ssrc};
use althing_rtp::{RtpPacket, rtcp, rtx};
use std::time::{Duration, Instant};

/// How long arrivals wait to be reported together.
const FEEDBACK_INTERVAL: Duration = Duration::from_millis(50);
/// Receiver reports.
pub(crate) const REPORT_INTERVAL: Duration = Duration::from_millis(500);

/// A packet counts for so many bytes at least, or many small ones would pass: Opus makes 400 in a
/// second at most.
const LEAST_AUDIO: u32 = 300;

/// A packet as its source sent it first, be it by retransmission.
pub(crate) struct Original<'a> {
    pub(crate) packet: RtpPacket<'a>,
    pub(crate) payload: Payload,
    pub(crate) sequence: u16,
    pub(crate) body: &'a [u8],
    pub(crate) source: usize,
    pub(crate) encoding: usize,
    pub(crate) recovered: bool,
}

impl Conference {
    /// A decrypted RTP packet of the endpoint.
    pub fn handle_rtp(
        &mut self,
        now: Instant,
        key: EndpointKey,
        packet: &[u8],
        sink: &mut impl PacketSink,
    ) {
        self.enter(now);
        let Some(index) = self.index(key) else { return };
        self.counters.rtp_received += 1;
        let counters = &mut self.endpoints[index].counters;
        counters.rtp_received += 1;
        counters.rtp_received_bytes += packet.len() as u64;
        let whole = packet;
        let Ok(packet) = RtpPacket::parse(packet) else {
            self.counters.malformed += 1;
            return;
        };
        self.record_arrival(index, &packet, now);
        let Some(original) = self.identify(index, packet) else {
            return;
        };
        if original.payload.kind == MediaKind::Audio && !self.may_voice(index, whole.len(), now) {
            self.counters.over_audio += 1;
            return;
        }
        let Some((number, previous)) = self.take_in(&original, now) else {
            return;
        };
        if !self.links.is_empty() {
            self.relay_rtp(original.source, whole, sink);
        }
        match original.payload.kind {
            MediaKind::Audio => self.forward_audio(index, &original, number, now, sink),
            MediaKind::Video => self.forward_video(&original, number, previous, now, sink),
        }
    }

    /// Whether that much audio may come from the endpoint. What another part passes on was measured
    /// there.
    fn may_voice(&mut self, index: usize, bytes: usize, now: Instant) -> bool {
        let endpoint = &mut self.endpoints[index];
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX).max(LEAST_AUDIO);
        endpoint.is_remote() || endpoint.voicing.take_many(bytes, now)
    }

    /// Notes the transport-wide number, whatever the packet is.
    fn record_arrival(&mut self, index: usize, packet: &RtpPacket<'_>, now: Instant) {
        let Some(&[high, low]) = packet.extension(extension::TRANSPORT_CC) else {
            return;
        };
        let since = now.saturating_duration_since(self.origin.unwrap_or(now));
        let endpoint = &mut self.endpoints[index];
        if endpoint.is_remote() {
            return;
        }
        if !endpoint.recorder.is_pending() {
            self.recorded.push(index);
            self.timers.arm(Timer::Feedback, now + FEEDBACK_INTERVAL);
        }
        endpoint
            .recorder
            .record(u16::from_be_bytes([high, low]), since);
        endpoint.recorded_ssrc = packet.ssrc();
    }

    /// Finds the source, if the packet may be from it; unwraps a retransmission.
    fn identify<'a>(&mut self, index: usize, packet: RtpPacket<'a>) -> Option<Original<'a>> {
        let Some(payload) = self.payloads[usize::from(packet.payload_type() & 0x7f)] else {
            self.counters.unknown_payload_type += 1;
            return None;
        };
        let endpoint = &self.endpoints[index];
        let Some(&route) = endpoint.routes.get(&packet.ssrc().0) else {
            self.counters.unknown_ssrc += 1;
            return None;
        };
        let source = &mut self.sources[route.source];
        if payload.kind != source.kind || payload.is_rtx != route.is_rtx {
            self.counters.unknown_payload_type += 1;
            return None;
        }
        if !endpoint.may_send(source.kind, source.signalled_type) {
            self.counters.forbidden += 1;
            source.interrupted = true;
            return None;
        }
        let (sequence, body) = if route.is_rtx {
            // Nothing is in it if it is padding sent to probe the path.
            rtx::unwrap(packet.payload())?
        } else {
            (packet.sequence(), packet.payload())
        };
        Some(Original {
            packet,
            payload,
            sequence,
            body,
            source: route.source,
            encoding: route.encoding,
            recovered: route.is_rtx,
        })
    }

    /// Its number, and the highest before it if it advances that; nothing for a packet seen before.
    fn take_in(&mut self, original: &Original<'_>, now: Instant) -> Option<(u64, Option<u64>)> {
        let packet = &original.packet;
        let encoding = original.encoding;
        let source = &mut self.sources[original.source];
        let incoming = &mut source.incoming[encoding];
        let arrival = incoming.ingress.arrived(
            original.sequence,
            packet.timestamp(),
            original.recovered,
            now,
        );
        let (number, mut previous) = match arrival {
            Arrival::Stale => {
                self.counters.duplicate += 1;
                return None;
            }
            Arrival::Restart { number } => {
                source.restart_encoding(encoding);
                (number, None)
            }
            Arrival::Fresh { number, previous } => (number, previous),
        };
        let incoming = &mut source.incoming[encoding];
        if source.link.is_none() && incoming.ingress.wants_report() {
            self.reporting.push((original.source, encoding));
            self.timers.arm(Timer::Reports, now + REPORT_INTERVAL);
        }
        if source.interrupted {
            source.restart();
            // What was refused is not missing.
            previous = None;
        } else if incoming.changes_codec(original.payload.codec) && !original.body.is_empty() {
            if !incoming.ingress.is_highest(number) {
                self.counters.duplicate += 1;
                return None;
            }
            source.restart_encoding(encoding);
            previous = None;
        }
        Some((number, previous))
    }

    /// Sends one picture loss indication to the source's owner, or has its own part do so.
    pub(crate) fn ask_keyframe(&mut self, source: usize, sink: &mut impl PacketSink) {
        let source = &self.sources[source];
        let Some(encoding) = source.encodings.first() else {
            return;
        };
        let ssrc = encoding.primary;
        if source.link.is_some() {
            let owner = source.owner;
            self.relay_to_owner(owner, RelayMessage::Keyframe { ssrc });
            return;
        }
        self.counters.keyframe_requests += 1;
        self.scratch.clear();
        rtcp::pli(&mut self.scratch, self.feedback.video, ssrc);
        sink.rtcp(source.owner, &self.scratch);
    }

    /// A receiver asked for a keyframe on one of its SSRCs.
    pub(crate) fn keyframe_wanted(
        &mut self,
        index: usize,
        media: Ssrc,
        now: Instant,
        sink: &mut impl PacketSink,
    ) {
        let endpoint = &mut self.endpoints[index];
        let Some(outlet) = endpoint.media_outlet(media) else {
            return;
        };
        let outlet = &mut endpoint.outlets[outlet];
        let (Some(source), true, true) = (
            outlet.source,
            outlet.subscribed,
            outlet.requester.may_ask(now),
        ) else {
            return;
        };
        if outlet.kind != MediaKind::Video {
            return;
        }
        outlet.requester.asked(now);
        if Requests::request(&mut self.sources[source].requests, now) {
            self.ask_keyframe(source, sink);
        }
    }
}
