//! The way of one media packet: from its sender to everybody who wants it.

use crate::conference::{Conference, Payload};
use crate::frame_ids::{FrameIds, PREFIX};
use crate::ingress::Arrival;
use crate::keyframes::Requests;
use crate::outlet::{Numbers, Verdict};
use crate::settings::{EndpointKey, PacketSink};
use crate::timers::Timer;
use althing_model::profile::extension;
use althing_model::{MediaKind, Ssrc};
use althing_rtp::{ExtensionRules, HeaderTemplate, RtpPacket, is_keyframe, rtcp, rtx};
use std::time::{Duration, Instant};

/// What of a sender's header extensions receivers see. Video orientation joins them once it is
/// offered.
pub(crate) const KEPT: &[u8] = &[extension::AUDIO_LEVEL, extension::DEPENDENCY_DESCRIPTOR];

/// How long arrivals wait to be reported together.
const FEEDBACK_INTERVAL: Duration = Duration::from_millis(50);
/// Receiver reports.
pub(crate) const REPORT_INTERVAL: Duration = Duration::from_millis(500);

/// A packet as its source sent it first, be it by retransmission.
pub(crate) struct Original<'a> {
    pub(crate) packet: RtpPacket<'a>,
    pub(crate) payload: Payload,
    sequence: u16,
    pub(crate) body: &'a [u8],
    pub(crate) source: usize,
    recovered: bool,
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
        let Ok(packet) = RtpPacket::parse(packet) else {
            self.counters.malformed += 1;
            return;
        };
        self.record_arrival(index, &packet, now);
        let Some(original) = self.identify(index, packet) else {
            return;
        };
        self.forward(index, &original, now, sink);
    }

    /// Notes the transport-wide number, whatever the packet is.
    fn record_arrival(&mut self, index: usize, packet: &RtpPacket<'_>, now: Instant) {
        let Some(&[high, low]) = packet.extension(extension::TRANSPORT_CC) else {
            return;
        };
        let since = now.saturating_duration_since(self.origin.unwrap_or(now));
        let endpoint = &mut self.endpoints[index];
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
        // Until layers are chosen, a simulcast source is its first encoding.
        if route.encoding != 0 {
            self.counters.other_encoding += 1;
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
            recovered: route.is_rtx,
        })
    }

    fn forward(
        &mut self,
        index: usize,
        original: &Original<'_>,
        now: Instant,
        sink: &mut impl PacketSink,
    ) {
        let packet = &original.packet;
        let source = &mut self.sources[original.source];
        let ingress = &mut source.ingress[0];
        let arrival = ingress.arrived(
            original.sequence,
            packet.timestamp(),
            original.recovered,
            now,
        );
        let (number, mut previous) = match arrival {
            Arrival::Stale => {
                self.counters.duplicate += 1;
                return;
            }
            Arrival::Restart { number } => {
                source.restart();
                (number, None)
            }
            Arrival::Fresh { number, previous } => (number, previous),
        };
        if source.ingress[0].wants_report() {
            self.reporting.push((original.source, 0));
            self.timers.arm(Timer::Reports, now + REPORT_INTERVAL);
        }
        if source.interrupted {
            source.restart();
            // What was refused is not missing.
            previous = None;
        }
        if source.kind == MediaKind::Audio {
            self.forward_audio(index, original, number, now, sink);
            return;
        }
        let descriptor = packet.extension(extension::DEPENDENCY_DESCRIPTOR);
        let is_padding = original.body.is_empty();
        let starts = !is_padding && is_keyframe(original.payload.codec, original.body, descriptor);
        match previous {
            Some(previous) => source.missing.advanced(previous, number, now),
            None => source.missing.filled(number),
        }
        if starts {
            source.missing.purge_before(number);
        }
        if !source.missing.is_empty() {
            if !source.listed_missing {
                source.listed_missing = true;
                self.missing.push(original.source);
            }
            if previous.is_some_and(|p| number > p + 1) {
                self.ask_owner(original.source, now, sink);
            }
        }
        self.fan_out(original, number, starts, now, sink);
    }

    /// Rewrites the header for each subscriber; the payload is shared.
    fn fan_out(
        &mut self,
        original: &Original<'_>,
        number: u64,
        starts: bool,
        now: Instant,
        sink: &mut impl PacketSink,
    ) {
        let source = &mut self.sources[original.source];
        if original.body.is_empty() {
            // Padding alone, sent to probe the path.
            source.hidden.hide(number);
            self.counters.hidden += 1;
            return;
        }
        let Some(number) = source.hidden.number(number) else {
            self.counters.duplicate += 1;
            return;
        };
        if source.subscribers.is_empty() {
            return;
        }
        let rules = ExtensionRules {
            keep: KEPT,
            transport_cc: self
                .settings
                .transport_cc
                .then_some(extension::TRANSPORT_CC),
        };
        let mut header = HeaderTemplate::new(&original.packet, rules);
        header.set_payload_type(original.payload.number);
        source
            .history
            .push(number, header.bytes(), original.body, now);
        let ids = FrameIds::of(
            original.payload.codec,
            original.body,
            original.packet.extension(extension::DEPENDENCY_DESCRIPTOR),
        );
        let numbers = Numbers {
            number,
            timestamp: original.packet.timestamp(),
            starts,
            epoch: source.epoch,
            ids,
        };
        // Whether the shared header carries somebody's rewritten frame number.
        let mut renumbered = false;
        let mut prefix = [0; PREFIX];
        let size = (header.bytes().len() + original.body.len()) as u64;
        let may_ask = source.requests.ready(now);
        let mut asks = false;
        for subscriber in &source.subscribers {
            let endpoint = &mut self.endpoints[subscriber.endpoint];
            let outlet = &mut endpoint.outlets[subscriber.outlet];
            match outlet.accept(numbers, now) {
                Verdict::Send {
                    sequence,
                    timestamp,
                } => {
                    header.set_ssrc(outlet.ssrc);
                    header.set_sequence(sequence);
                    header.set_timestamp(timestamp);
                    if header.has_transport_cc() {
                        endpoint.transport_cc = endpoint.transport_cc.wrapping_add(1);
                        header.set_transport_cc(endpoint.transport_cc);
                    }
                    if let Some(frame) = outlet.frames.frame_number(ids)
                        && (renumbered || outlet.frames.renumbers_frames())
                    {
                        header.set_frame_number(extension::DEPENDENCY_DESCRIPTOR, frame);
                        renumbered = true;
                    }
                    let replaced = outlet.frames.prefix(ids, original.body, &mut prefix);
                    outlet.count(original.body.len());
                    endpoint.counters.rtp_sent += 1;
                    endpoint.counters.rtp_sent_bytes += size;
                    self.counters.rtp_sent += 1;
                    let payload = [&prefix[..replaced], &original.body[replaced..]];
                    sink.rtp(endpoint.key, header.bytes(), payload);
                }
                Verdict::NeedsKeyframe => {
                    if may_ask && outlet.requester.may_ask(now) {
                        outlet.requester.asked(now);
                        asks = true;
                    }
                }
                Verdict::Drop => {}
            }
        }
        if asks && source.requests.request(now) || source.requests.due(now) {
            self.ask_keyframe(original.source, sink);
        }
    }

    /// Sends one picture loss indication to the source's owner.
    pub(crate) fn ask_keyframe(&mut self, source: usize, sink: &mut impl PacketSink) {
        let source = &self.sources[source];
        let Some(encoding) = source.encodings.first() else {
            return;
        };
        self.counters.keyframe_requests += 1;
        self.scratch.clear();
        rtcp::pli(&mut self.scratch, self.feedback.video, encoding.primary);
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
        let Some(&(outlet, false)) = endpoint.by_ssrc.get(&media.0) else {
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
