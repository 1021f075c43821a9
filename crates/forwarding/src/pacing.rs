//! Packets that wait, and padding that probes: what leaves on the pacing tick.

use crate::again::Why;
use crate::conference::Conference;
use crate::congestion::{Full, TICK, Waiting};
use crate::endpoint::Endpoint;
use crate::settings::PacketSink;
use crate::timers::Timer;
use crate::view::ViewKey;
use althing_model::profile::extension;
use althing_model::{MediaKind, Ssrc};
use althing_rtp::{HeaderTemplate, RtpHeader, seq};
use std::time::Instant;

/// Padding packets of one tick.
const MAX_PADDING: usize = 64;
/// Padding of one packet, its own length byte included.
const PADDING: usize = 255;
/// The payload type of padding: VP8's, which every client was offered.
const PADDING_TYPE: u8 = 100;
/// Padding that a recent packet is sent for, which is about as long.
const WORTH_A_PACKET: usize = 500;
/// How many of the newest packets are sent again in turn.
const RECENT: u64 = 8;
const ZEROS: [u8; PADDING] = [0; PADDING];

/// A packet that may not leave yet, as the fan-out sees it.
pub(crate) struct Held<'a> {
    pub(crate) source: usize,
    pub(crate) view: ViewKey,
    pub(crate) outlet: usize,
    /// In the source's history.
    pub(crate) kept: u64,
    pub(crate) sequence: u16,
    pub(crate) header: &'a HeaderTemplate,
    /// What replaces the beginning of the payload.
    pub(crate) prefix: &'a [u8],
    pub(crate) size: usize,
}

impl Endpoint {
    /// Lets a packet wait for the next tick. When no more can wait, whatever waits of the source is
    /// dropped, and the receiver can go on with nothing but a keyframe.
    pub(crate) fn hold(&mut self, held: &Held<'_>, now: Instant) -> Result<(), Full> {
        let outlet = &mut self.outlets[held.outlet];
        let header = held.header.bytes();
        let mut waiting = Waiting {
            header: header.into(),
            number_at: held.header.transport_cc_at().unwrap_or(0) as u16,
            prefix: Default::default(),
            replaced: held.prefix.len() as u8,
            source: held.source as u32,
            outlet: held.outlet as u32,
            view: held.view,
            kept: held.kept,
            sequence: seq::extend(outlet.last_sequence(), held.sequence),
        };
        waiting.prefix[..held.prefix.len()].copy_from_slice(held.prefix);
        let sequence = waiting.sequence;
        if self.downlink.pacer.push(now, waiting, held.size).is_ok() {
            return Ok(());
        }
        let mut dropped = vec![sequence];
        self.downlink.pacer.discard(|w| {
            let same = w.outlet as usize == held.outlet;
            if same {
                dropped.push(w.sequence);
            }
            same
        });
        self.counters.paced_out += dropped.len() as u64;
        outlet.withdraw(&dropped);
        Err(Full)
    }
}

impl Conference {
    /// Sends what waits and may go, and padding for the probes under way.
    pub(crate) fn pace(&mut self, now: Instant, sink: &mut impl PacketSink) {
        let mut paced = std::mem::take(&mut self.paced);
        paced.retain(|&index| {
            let Some(endpoint) = self.endpoints.get_mut(index) else {
                return false;
            };
            if !endpoint.connected {
                endpoint.downlink.pacer.discard(|_| true);
                endpoint.downlink.burst = None;
                endpoint.downlink.listed = false;
                return false;
            }
            let probes = endpoint.downlink.begin_probe(now);
            self.let_go(index, now, sink);
            if probes {
                self.pad(index, now, sink);
            }
            let downlink = &mut self.endpoints[index].downlink;
            downlink.end_probe(now);
            downlink.listed = !downlink.pacer.is_idle() || downlink.burst.is_some();
            downlink.listed
        });
        self.paced = paced;
        if !self.paced.is_empty() {
            self.timers.arm(Timer::Pacing, now + TICK);
        }
    }

    /// Sends what waits for the receiver, as far as its budget goes.
    fn let_go(&mut self, index: usize, now: Instant, sink: &mut impl PacketSink) {
        let endpoint = &mut self.endpoints[index];
        if endpoint.downlink.pacer.is_idle() {
            return;
        }
        let mut allowance = endpoint.downlink.pacer.allowance(now);
        while let Some(mut waiting) = endpoint.downlink.pacer.pop(&mut allowance) {
            let kept = self
                .sources
                .get(waiting.source as usize)
                .and_then(|s| s.incoming.get(usize::from(waiting.view.encoding)))
                .filter(|i| i.generation == waiting.view.generation)
                .and_then(|i| i.history.get(waiting.kept));
            let Some(kept) = kept else {
                // Its source is gone, or sends more in 50 ms than is kept in a second.
                endpoint.counters.paced_out += 1;
                continue;
            };
            let replaced = usize::from(waiting.replaced).min(kept.payload.len());
            let size = waiting.header.len() + kept.payload.len();
            let at = usize::from(waiting.number_at);
            if at > 0 {
                let number = endpoint.downlink.number(now, size);
                waiting.header[at..at + 2].copy_from_slice(&number.to_be_bytes());
            }
            endpoint.counters.rtp_sent += 1;
            endpoint.counters.rtp_sent_bytes += size as u64;
            self.counters.rtp_sent += 1;
            sink.rtp(
                endpoint.key,
                &waiting.header,
                [&waiting.prefix[..replaced], &kept.payload[replaced..]],
            );
        }
    }

    /// Sends the padding that the receiver's probe is short of.
    fn pad(&mut self, index: usize, now: Instant, sink: &mut impl PacketSink) {
        for _ in 0..MAX_PADDING {
            let endpoint = &mut self.endpoints[index];
            let Some(burst) = endpoint.downlink.burst.filter(|b| b.due(now) > 0) else {
                return;
            };
            let due = burst.due(now) as usize;
            if due >= WORTH_A_PACKET && self.pad_with_packet(index, now, sink) {
                continue;
            }
            let ssrc = self.feedback.video;
            let endpoint = &mut self.endpoints[index];
            let size = endpoint.send_padding(ssrc, due, now, sink);
            self.counters.rtp_sent += 1;
            self.counters.padding += size as u64;
        }
    }

    /// Sends a recent packet again, which may be of use; whether there was one.
    fn pad_with_packet(&mut self, index: usize, now: Instant, sink: &mut impl PacketSink) -> bool {
        let endpoint = &mut self.endpoints[index];
        if !endpoint.downlink.pacer.is_idle() {
            return false;
        }
        let outlet = endpoint.outlets.iter().position(|o| {
            o.kind == MediaKind::Video && o.subscribed && o.rtx.is_some() && o.view().is_some()
        });
        let Some(outlet) = outlet else { return false };
        let back = endpoint.downlink.padded % RECENT;
        endpoint.downlink.padded += 1;
        let last = endpoint.outlets[outlet].last_sequence();
        let sequence = seq::truncate(last.saturating_sub(back));
        self.send_again(index, outlet, sequence, Why::Padding, now, sink)
            .is_some()
    }
}

impl Endpoint {
    /// One packet of padding alone, on the bridge's own SSRC; returns its size.
    fn send_padding(
        &mut self,
        ssrc: Ssrc,
        due: usize,
        now: Instant,
        sink: &mut impl PacketSink,
    ) -> usize {
        self.downlink.padding = self.downlink.padding.wrapping_add(1);
        let sequence = self.downlink.padding;
        let header = RtpHeader {
            marker: false,
            payload_type: PADDING_TYPE,
            sequence,
            timestamp: u32::from(sequence).wrapping_mul(3000),
            ssrc,
        };
        let mut bytes = [0; 32];
        let Ok(length) = header.write(&[(extension::TRANSPORT_CC, &[0, 0])], &mut bytes) else {
            return 0;
        };
        let padding = due.saturating_sub(length).clamp(1, PADDING);
        let size = length + padding;
        let number = self.downlink.number(now, size);
        let Ok(length) = header.write(
            &[(extension::TRANSPORT_CC, &number.to_be_bytes())],
            &mut bytes,
        ) else {
            return 0;
        };
        bytes[0] |= 0x20;
        self.downlink.pacer.spend(size);
        self.counters.rtp_sent += 1;
        self.counters.rtp_sent_bytes += size as u64;
        sink.rtp(
            self.key,
            &bytes[..length],
            [&ZEROS[..padding - 1], &[padding as u8]],
        );
        size
    }
}

#[cfg(test)]
mod tests;
