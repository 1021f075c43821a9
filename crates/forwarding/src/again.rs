//! A packet that was sent, made once more out of the one shared history of its encoding.

use crate::conference::{Conference, Payload};
use crate::frame_ids::PREFIX;
use crate::headers::{self, Headers};
use crate::outlet::Past;
use crate::reader::Unread;
use crate::settings::PacketSink;
use crate::source::Source;
use althing_model::profile::extension;
use althing_rtp::{HeaderTemplate, RtpPacket, rtx};
use std::time::Instant;

/// What one receiver is sent again in the long run because it asks, in bytes a second; two seconds'
/// worth may go at once. More than the greatest estimate: it is for those who are not estimated.
pub(crate) const REPAIRS: u32 = 25_000_000 / 8;
/// A packet counts for so many bytes at least, or very many small ones would pass.
const LEAST_REPAIR: u32 = 500;

/// As it was sent, but for its SSRC, its sequence number and what is numbered per transport.
#[derive(Debug)]
pub(crate) struct Again<'a> {
    pub(crate) header: HeaderTemplate,
    pub(crate) payload: Payload,
    pub(crate) body: &'a [u8],
    /// The first `replaced` bytes of this stand for as many of the body.
    pub(crate) prefix: [u8; PREFIX],
    pub(crate) replaced: usize,
}

/// Why a packet is sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    /// The receiver misses it.
    Asked,
    /// As padding, to probe the path.
    Padding,
}

impl Conference {
    /// Sends a packet again, always on the retransmission SSRC: the same SSRC and number under
    /// another header would break the cipher's nonce. Returns its size.
    pub(crate) fn send_again(
        &mut self,
        index: usize,
        outlet: usize,
        sequence: u16,
        why: Why,
        now: Instant,
        sink: &mut impl PacketSink,
    ) -> Option<usize> {
        let endpoint = &mut self.endpoints[index];
        let outlet = &mut endpoint.outlets[outlet];
        let (Some(source), Some(rtx_ssrc), true) = (outlet.source, outlet.rtx, outlet.subscribed)
        else {
            return None;
        };
        let past = outlet.past(sequence)?;
        let numbered = endpoint.downlink.numbers();
        let again = self.sources[source].again(past, &self.payloads, numbered)?;
        let rtx_type = again.payload.rtx?;
        let mut header = again.header;
        header.set_payload_type(rtx_type);
        header.set_ssrc(rtx_ssrc);
        let size = header.bytes().len() + 2 + again.body.len();
        if why == Why::Asked {
            let cost = u32::try_from(size).unwrap_or(u32::MAX).max(LEAST_REPAIR);
            if !outlet.may_resend(past.sequence, endpoint.rtt, now) {
                return None;
            }
            if !endpoint.repairs.take_many(cost, now) {
                self.counters.over_repairs += 1;
                return None;
            }
            outlet.resent(past.sequence, now);
        }
        header.set_sequence(outlet.next_rtx());
        if header.has_transport_cc() {
            header.set_transport_cc(endpoint.downlink.number(now, size));
            endpoint.downlink.pacer.spend(size);
        }
        // The original sequence number, then the payload as it was sent.
        let mut prefix = [0; 2 + PREFIX];
        prefix[..2].copy_from_slice(&rtx::prefix(sequence));
        prefix[2..].copy_from_slice(&again.prefix);
        endpoint.counters.rtp_sent += 1;
        endpoint.counters.rtp_sent_bytes += size as u64;
        self.counters.rtp_sent += 1;
        match why {
            Why::Asked => {
                endpoint.counters.retransmitted += 1;
                self.counters.retransmitted += 1;
            }
            Why::Padding => self.counters.padding += size as u64,
        }
        let payload = [&prefix[..2 + again.replaced], &again.body[again.replaced..]];
        sink.rtp(endpoint.key, header.bytes(), payload);
        Some(size)
    }
}

impl Source {
    /// Makes a packet again; nothing if it is not kept, or was never part of what was sent.
    pub(crate) fn again(
        &self,
        past: Past,
        payloads: &[Option<Payload>; 128],
        numbered: bool,
    ) -> Option<Again<'_>> {
        let segment = past.segment;
        let incoming = self.incoming.get(usize::from(segment.view.encoding))?;
        let view = incoming.view_of(segment.view)?;
        let number = view.numbers.original(past.number)?;
        let kept = incoming.history.get(number)?;
        let mut header = headers::rewrite(kept.header, numbered)?;
        let payload = payloads[usize::from(header.payload_type() & 0x7f)]?;
        let descriptor = RtpPacket::parse(kept.header)
            .ok()?
            .extension(extension::DEPENDENCY_DESCRIPTOR);
        let unread = Unread {
            codec: payload.codec,
            number,
            timestamp: header.timestamp(),
            marker: header.marker(),
            body: kept.payload,
            descriptor,
            newest: false,
            encrypted: self.encrypted,
        };
        let facts = incoming.reader.reread(&unread);
        let top = incoming.reader.top_spatial;
        // What was lost on the way may have kept a number that it turned out not to need.
        if !view.contains(&facts, top) {
            return None;
        }
        let seen = view.seen(past.number, &facts, top);
        if let (Some(active), Some(before)) = (view.active_targets(&facts), unread.descriptor) {
            let (bytes, length) = incoming.reader.describe(number, before, active)?;
            let packet = RtpPacket::parse(kept.header).ok()?;
            let described = Headers::describing(&packet, payload.number, &bytes[..length]);
            header = headers::rewrite(described.plain().bytes(), numbered)?;
        }
        header.set_timestamp(header.timestamp().wrapping_add(segment.timestamp_offset));
        header.set_marker(seen.marker);
        if segment.shift.renumbers_frames()
            && let Some((at, _)) = header.locate(extension::DEPENDENCY_DESCRIPTOR)
        {
            segment.shift.write(&seen.ids, at, &mut header);
        }
        let mut prefix = [0; PREFIX];
        let replaced = segment.shift.prefix(&seen.ids, kept.payload, &mut prefix);
        Some(Again {
            header,
            payload,
            body: kept.payload,
            prefix,
            replaced,
        })
    }
}
