//! RTCP: what comes from clients is consumed here; of it only sender reports and keyframe requests
//! go on, rewritten.

use crate::again::Why;
use crate::conference::Conference;
use crate::missing;
use crate::settings::{EndpointKey, PacketSink};
use crate::timers::Timer;
use althing_model::MediaKind;
use althing_rtp::rtcp::{self, Compound, Nack, ReportBlock, ReportBlocks, Rtcp, SenderInfo};
use smallvec::SmallVec;
use std::time::{Duration, Instant};

/// Packets of one compound that are looked at.
const MAX_PACKETS: usize = 32;
/// Streams one FIR may name.
const MAX_FIR: usize = 16;
/// Numbers one NACK may name.
const MAX_NACKED: usize = 200;
const MAX_BLOCKS: usize = 31;
/// Repeated requests of several sources wait this long for each other.
const MISSING_PAUSE: Duration = Duration::from_millis(10);

impl Conference {
    /// A decrypted RTCP packet of the endpoint.
    pub fn handle_rtcp(
        &mut self,
        now: Instant,
        key: EndpointKey,
        packet: &[u8],
        sink: &mut impl PacketSink,
    ) {
        self.enter(now);
        let Some(index) = self.index(key) else { return };
        for item in Compound::new(packet).take(MAX_PACKETS) {
            match item {
                Ok(Rtcp::SenderReport(report)) => {
                    self.forward_sender_report(index, &report.info, now, sink);
                    self.measure_round_trip(index, report.blocks, now);
                }
                Ok(Rtcp::ReceiverReport(report)) => {
                    self.measure_round_trip(index, report.blocks, now);
                }
                Ok(Rtcp::Pli { media, .. }) => {
                    if self.may_ask(index, now) {
                        self.keyframe_wanted(index, media, now, sink);
                    }
                }
                Ok(Rtcp::Fir(fir)) => {
                    for (media, _) in fir.entries().take(MAX_FIR) {
                        if self.may_ask(index, now) {
                            self.keyframe_wanted(index, media, now, sink);
                        }
                    }
                }
                Ok(Rtcp::Nack(nack)) => self.retransmit(index, nack, now, sink),
                Ok(Rtcp::TransportCc(f)) => self.transport_feedback(index, &f, now),
                Ok(Rtcp::SourceDescription | Rtcp::Bye(_) | Rtcp::Remb(_) | Rtcp::Other { .. }) => {
                }
                Err(_) => self.counters.malformed += 1,
            }
        }
    }

    /// Whether the endpoint has not asked for too many keyframes.
    fn may_ask(&mut self, index: usize, now: Instant) -> bool {
        let taken = self.endpoints[index].asking.take(now);
        if taken {
            self.counters.keyframe_requests_received += 1;
        } else {
            self.counters.keyframe_requests_refused += 1;
        }
        taken
    }

    /// Lip sync works across the bridge: wall clock kept, timestamp and counts as the receiver sees
    /// them.
    fn forward_sender_report(
        &mut self,
        index: usize,
        info: &SenderInfo,
        now: Instant,
        sink: &mut impl PacketSink,
    ) {
        let endpoint = &self.endpoints[index];
        let Some(&route) = endpoint.routes.get(&info.ssrc.0) else {
            return;
        };
        let source = &mut self.sources[route.source];
        if route.is_rtx || !endpoint.may_send(source.kind, source.signalled_type) {
            return;
        }
        if !source.incoming[route.encoding].sender_report(info, now) {
            return;
        }
        let to = match source.kind {
            MediaKind::Audio => self.links,
            MediaKind::Video => source.relayed,
        };
        let mut passed = !to.is_empty() && source.link.is_none();
        if passed {
            self.scratch.clear();
            rtcp::sender_report(&mut self.scratch, info, &[]);
            sink.relay_rtcp(source.owner, to, &self.scratch);
        }
        let incoming = &source.incoming[route.encoding];
        // Of video, only those who get this encoding.
        let listeners = source.audience.listeners(now);
        for subscriber in listeners.chain(incoming.subscribers()) {
            let receiver = &mut self.endpoints[subscriber.endpoint];
            let outlet = &mut receiver.outlets[subscriber.outlet];
            let carries = outlet.view().is_some_and(|view| {
                usize::from(view.encoding) == route.encoding
                    && view.generation == incoming.generation
            });
            if !carries {
                continue;
            }
            outlet.report_sent(info.ntp_middle(), now);
            let info = SenderInfo {
                ssrc: outlet.ssrc,
                ntp: info.ntp,
                rtp_timestamp: outlet.timestamp(info.rtp_timestamp),
                packets: outlet.packets,
                octets: outlet.octets,
            };
            self.scratch.clear();
            rtcp::sender_report(&mut self.scratch, &info, &[]);
            sink.rtcp(receiver.key, &self.scratch);
            passed = true;
        }
        if passed {
            source.incoming[route.encoding].report_passed(now);
        }
    }

    fn measure_round_trip(&mut self, index: usize, blocks: ReportBlocks<'_>, now: Instant) {
        let endpoint = &mut self.endpoints[index];
        for block in blocks {
            let Some(outlet) = endpoint.media_outlet(block.ssrc) else {
                continue;
            };
            self.counters.loss_reports_out += 1;
            self.counters.loss_out += u64::from(block.fraction_lost);
            let rtt =
                endpoint.outlets[outlet].round_trip(block.last_sr, block.delay_since_last_sr, now);
            if rtt.is_some() {
                endpoint.rtt = rtt;
                endpoint.rtt_measured = true;
            }
        }
    }

    /// Answers a NACK from the source's history, always on the retransmission SSRC: the same SSRC
    /// and number under another header would break the cipher's nonce.
    fn retransmit(
        &mut self,
        index: usize,
        nack: Nack<'_>,
        now: Instant,
        sink: &mut impl PacketSink,
    ) {
        let endpoint = &self.endpoints[index];
        let Some(outlet) = endpoint.media_outlet(nack.media) else {
            return;
        };
        for sequence in nack.sequences().take(MAX_NACKED) {
            if self.endpoints[index].downlink.pacer.is_exhausted(now) {
                break;
            }
            self.send_again(index, outlet, sequence, Why::Asked, now, sink);
        }
    }

    /// Asks senders again for what is missing and due.
    pub(crate) fn ask_for_missing(&mut self, now: Instant, sink: &mut impl PacketSink) {
        let mut listed = std::mem::take(&mut self.missing);
        let mut next: Option<Instant> = None;
        listed.retain(|&(source, encoding)| {
            let at = self.ask_for_due(source, encoding, now, sink);
            match at {
                Some(at) => next = Some(next.map_or(at, |n| n.min(at))),
                None => {
                    if let Some(i) = self.sources[source].incoming.get_mut(encoding) {
                        i.listed_missing = false;
                    }
                }
            }
            at.is_some()
        });
        self.missing = listed;
        if let Some(at) = next {
            self.timers.arm(Timer::Missing, at.max(now + MISSING_PAUSE));
        }
    }

    /// Asks the source's owner alone: it has just left something out.
    pub(crate) fn ask_owner(
        &mut self,
        source: usize,
        encoding: usize,
        now: Instant,
        sink: &mut impl PacketSink,
    ) {
        if let Some(at) = self.ask_for_due(source, encoding, now, sink) {
            self.timers.arm(Timer::Missing, at);
        }
    }

    /// Returns when the next request is due.
    fn ask_for_due(
        &mut self,
        source: usize,
        encoding: usize,
        now: Instant,
        sink: &mut impl PacketSink,
    ) -> Option<Instant> {
        let source = &mut self.sources[source];
        let rtt = self.endpoints[source.owner.index()].rtt;
        let incoming = source.incoming.get_mut(encoding)?;
        self.numbers.clear();
        incoming
            .missing
            .due(now, missing::interval(rtt), &mut self.numbers);
        self.counters.nacked += self.numbers.len() as u64;
        let mut rest = &self.numbers[..];
        while !rest.is_empty() {
            self.scratch.clear();
            let media = incoming.ingress.ssrc;
            let taken = rtcp::nack(&mut self.scratch, self.feedback.video, media, rest);
            sink.rtcp(source.owner, &self.scratch);
            rest = &rest[taken.max(1).min(rest.len())..];
        }
        incoming.missing.next_at()
    }

    /// Reports arrivals to senders (transport-cc).
    pub(crate) fn send_feedback(&mut self, sink: &mut impl PacketSink) {
        let mut recorded = std::mem::take(&mut self.recorded);
        for index in recorded.drain(..) {
            let endpoint = &mut self.endpoints[index];
            while endpoint.recorder.is_pending() {
                self.scratch.clear();
                let built = endpoint.recorder.build(
                    &mut self.scratch,
                    self.feedback.video,
                    endpoint.recorded_ssrc,
                );
                if built {
                    sink.rtcp(endpoint.key, &self.scratch);
                }
            }
        }
        self.recorded = recorded;
    }

    /// Receiver reports on everything that arrived since the last ones.
    pub(crate) fn send_reports(&mut self, now: Instant, sink: &mut impl PacketSink) {
        let mut reporting = std::mem::take(&mut self.reporting);
        reporting.sort_unstable_by_key(|(s, e)| (self.sources[*s].owner, *s, *e));
        let mut at = 0;
        while let Some(&(first, _)) = reporting.get(at) {
            let owner = self.sources[first].owner;
            let mut blocks: SmallVec<[ReportBlock; MAX_BLOCKS]> = SmallVec::new();
            while let Some(&(source, encoding)) = reporting.get(at) {
                let source = &mut self.sources[source];
                if source.owner != owner || blocks.len() == MAX_BLOCKS {
                    break;
                }
                at += 1;
                let incoming = source.incoming.get_mut(encoding);
                blocks.extend(incoming.and_then(|i| i.ingress.report(now)));
            }
            self.counters.loss_reports_in += blocks.len() as u64;
            let losses = blocks.iter().map(|b| u64::from(b.fraction_lost));
            self.counters.loss_in += losses.sum::<u64>();
            if !blocks.is_empty() {
                self.scratch.clear();
                rtcp::receiver_report(&mut self.scratch, self.feedback.video, &blocks);
                sink.rtcp(owner, &self.scratch);
            }
        }
        reporting.clear();
        self.reporting = reporting;
    }
}
