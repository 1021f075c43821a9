//! Builders: each appends one RTCP packet to a buffer that the caller keeps and re-uses.

use super::{ReportBlock, SenderInfo, kind};
use crate::seq;
use althing_model::Ssrc;

/// Begins a packet whose length is filled in by [`finish`].
pub(super) fn begin(out: &mut Vec<u8>, format: u8, packet_type: u8) -> usize {
    let start = out.len();
    out.extend_from_slice(&[0x80 | (format & 0x1f), packet_type, 0, 0]);
    start
}

/// Pads to a whole word and writes the length of the packet begun at `start`.
pub(super) fn finish(out: &mut Vec<u8>, start: usize) {
    while !out.len().saturating_sub(start).is_multiple_of(4) {
        out.push(0);
    }
    let words = (out.len().saturating_sub(start) / 4).saturating_sub(1);
    let words = u16::try_from(words).unwrap_or(u16::MAX).to_be_bytes();
    if let Some(slot) = out
        .get_mut(start.saturating_add(2)..)
        .and_then(|b| b.first_chunk_mut::<2>())
    {
        *slot = words;
    }
}

fn ssrc(out: &mut Vec<u8>, ssrc: Ssrc) {
    out.extend_from_slice(&ssrc.0.to_be_bytes());
}

/// The most blocks one report holds (RFC 3550 §6.4.1); further ones are left out.
const MAX_BLOCKS: usize = 31;

fn blocks(out: &mut Vec<u8>, list: &[ReportBlock]) {
    for block in list.iter().take(MAX_BLOCKS) {
        out.extend_from_slice(&block.to_bytes());
    }
}

fn count(list: &[ReportBlock]) -> u8 {
    u8::try_from(list.len().min(MAX_BLOCKS)).unwrap_or(0)
}

/// A sender report with at most 31 blocks.
pub fn sender_report(out: &mut Vec<u8>, info: &SenderInfo, reports: &[ReportBlock]) {
    let start = begin(out, count(reports), kind::SENDER_REPORT);
    ssrc(out, info.ssrc);
    out.extend_from_slice(&info.ntp.to_be_bytes());
    out.extend_from_slice(&info.rtp_timestamp.to_be_bytes());
    out.extend_from_slice(&info.packets.to_be_bytes());
    out.extend_from_slice(&info.octets.to_be_bytes());
    blocks(out, reports);
    finish(out, start);
}

/// A receiver report with at most 31 blocks.
pub fn receiver_report(out: &mut Vec<u8>, sender: Ssrc, reports: &[ReportBlock]) {
    let start = begin(out, count(reports), kind::RECEIVER_REPORT);
    ssrc(out, sender);
    blocks(out, reports);
    finish(out, start);
}

/// A source description of one chunk with a CNAME, cut to 255 bytes.
pub fn sdes_cname(out: &mut Vec<u8>, source: Ssrc, cname: &str) {
    let start = begin(out, 1, kind::SOURCE_DESCRIPTION);
    ssrc(out, source);
    let text = cname.as_bytes();
    let text = text.get(..255).unwrap_or(text);
    out.push(1);
    out.push(u8::try_from(text.len()).unwrap_or(u8::MAX));
    out.extend_from_slice(text);
    // The list of items ends with a zero; the padding is zeros too.
    out.push(0);
    finish(out, start);
}

/// A goodbye of one source.
pub fn bye(out: &mut Vec<u8>, source: Ssrc) {
    let start = begin(out, 1, kind::BYE);
    ssrc(out, source);
    finish(out, start);
}

/// A picture loss indication.
pub fn pli(out: &mut Vec<u8>, sender: Ssrc, media: Ssrc) {
    let start = begin(out, 1, kind::PAYLOAD_FEEDBACK);
    ssrc(out, sender);
    ssrc(out, media);
    finish(out, start);
}

/// A full intra request; `number` grows by one with each new request for `media`.
pub fn fir(out: &mut Vec<u8>, sender: Ssrc, media: Ssrc, number: u8) {
    let start = begin(out, 4, kind::PAYLOAD_FEEDBACK);
    ssrc(out, sender);
    ssrc(out, Ssrc(0));
    ssrc(out, media);
    out.extend_from_slice(&[number, 0, 0, 0]);
    finish(out, start);
}

/// A generic NACK of these numbers, which are in sending order. Returns how many fitted into one
/// packet of a thousand bytes; the caller sends the others in another.
pub fn nack(out: &mut Vec<u8>, sender: Ssrc, media: Ssrc, missing: &[u16]) -> usize {
    const MAX_PAIRS: usize = 248;
    let start = begin(out, 1, kind::TRANSPORT_FEEDBACK);
    ssrc(out, sender);
    ssrc(out, media);
    let mut taken = 0usize;
    let mut rest = missing;
    for _ in 0..MAX_PAIRS {
        let Some((&first, after)) = rest.split_first() else {
            break;
        };
        let mut mask = 0u16;
        let mut used = 1usize;
        for &next in after {
            match seq::distance(first, next) {
                0 => {}
                bit @ 1..=16 => mask |= 1 << bit.wrapping_sub(1),
                _ => break,
            }
            used = used.saturating_add(1);
        }
        out.extend_from_slice(&first.to_be_bytes());
        out.extend_from_slice(&mask.to_be_bytes());
        taken = taken.saturating_add(used);
        rest = rest.get(used..).unwrap_or_default();
    }
    finish(out, start);
    taken
}
