//! Sender and receiver reports, and goodbyes.

use super::take_u32;
use crate::RtpError;
use althing_model::Ssrc;

const BLOCK: usize = 24;

/// What a sender says of its own stream (RFC 3550 §6.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SenderInfo {
    /// Whose report.
    pub ssrc: Ssrc,
    /// Wall clock, NTP 32.32.
    pub ntp: u64,
    /// The RTP timestamp of the same instant.
    pub rtp_timestamp: u32,
    /// Packets sent so far.
    pub packets: u32,
    /// Payload bytes sent so far.
    pub octets: u32,
}

impl SenderInfo {
    /// The middle 32 bits of the NTP time, as they come back in `last_sr`.
    #[must_use]
    pub const fn ntp_middle(&self) -> u32 {
        #[expect(clippy::cast_possible_truncation, reason = "the middle bits are meant")]
        {
            (self.ntp >> 16) as u32
        }
    }
}

/// What a receiver says of one stream (RFC 3550 §6.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReportBlock {
    /// Whose stream.
    pub ssrc: Ssrc,
    /// Lost since the last report, in 1/256.
    pub fraction_lost: u8,
    /// Lost in all, 24 bit signed.
    pub cumulative_lost: i32,
    /// Highest sequence number, with its cycles above.
    pub highest_sequence: u32,
    /// Interarrival jitter, in timestamp units.
    pub jitter: u32,
    /// The middle bits of the last sender report's NTP time; 0 for none.
    pub last_sr: u32,
    /// Delay since that report, in 1/65,536 s.
    pub delay_since_last_sr: u32,
}

impl ReportBlock {
    fn parse(bytes: &[u8; BLOCK]) -> Self {
        let [
            s0,
            s1,
            s2,
            s3,
            fraction_lost,
            l0,
            l1,
            l2,
            h0,
            h1,
            h2,
            h3,
            j0,
            j1,
            j2,
            j3,
            r0,
            r1,
            r2,
            r3,
            d0,
            d1,
            d2,
            d3,
        ] = *bytes;
        Self {
            ssrc: Ssrc(u32::from_be_bytes([s0, s1, s2, s3])),
            fraction_lost,
            // Shifted up and down again for the sign.
            cumulative_lost: i32::from_be_bytes([l0, l1, l2, 0]) >> 8,
            highest_sequence: u32::from_be_bytes([h0, h1, h2, h3]),
            jitter: u32::from_be_bytes([j0, j1, j2, j3]),
            last_sr: u32::from_be_bytes([r0, r1, r2, r3]),
            delay_since_last_sr: u32::from_be_bytes([d0, d1, d2, d3]),
        }
    }

    pub(super) fn to_bytes(self) -> [u8; BLOCK] {
        let [s0, s1, s2, s3] = self.ssrc.0.to_be_bytes();
        let lost = self.cumulative_lost.clamp(-0x80_0000, 0x7f_ffff);
        let [_, l0, l1, l2] = lost.to_be_bytes();
        let [h0, h1, h2, h3] = self.highest_sequence.to_be_bytes();
        let [j0, j1, j2, j3] = self.jitter.to_be_bytes();
        let [r0, r1, r2, r3] = self.last_sr.to_be_bytes();
        let [d0, d1, d2, d3] = self.delay_since_last_sr.to_be_bytes();
        [
            s0,
            s1,
            s2,
            s3,
            self.fraction_lost,
            l0,
            l1,
            l2,
            h0,
            h1,
            h2,
            h3,
            j0,
            j1,
            j2,
            j3,
            r0,
            r1,
            r2,
            r3,
            d0,
            d1,
            d2,
            d3,
        ]
    }
}

/// Iterates report blocks.
#[derive(Debug, Clone, Copy)]
pub struct ReportBlocks<'a> {
    rest: &'a [u8],
}

impl<'a> ReportBlocks<'a> {
    fn parse(count: u8, bytes: &'a [u8]) -> Result<Self, RtpError> {
        let length = usize::from(count).saturating_mul(BLOCK);
        let rest = bytes
            .get(..length)
            .ok_or(RtpError::Truncated("RTCP report blocks"))?;
        Ok(Self { rest })
    }
}

impl Iterator for ReportBlocks<'_> {
    type Item = ReportBlock;

    fn next(&mut self) -> Option<ReportBlock> {
        let (block, rest) = self.rest.split_first_chunk::<BLOCK>()?;
        self.rest = rest;
        Some(ReportBlock::parse(block))
    }
}

/// A sender report.
#[derive(Debug, Clone, Copy)]
pub struct SenderReport<'a> {
    /// About its own stream.
    pub info: SenderInfo,
    /// About the streams it receives.
    pub blocks: ReportBlocks<'a>,
}

impl<'a> SenderReport<'a> {
    pub(super) fn parse(count: u8, body: &'a [u8]) -> Result<Self, RtpError> {
        let (ssrc, rest) = take_u32(body)?;
        let (seconds, rest) = take_u32(rest)?;
        let (fraction, rest) = take_u32(rest)?;
        let (rtp_timestamp, rest) = take_u32(rest)?;
        let (packets, rest) = take_u32(rest)?;
        let (octets, rest) = take_u32(rest)?;
        Ok(Self {
            info: SenderInfo {
                ssrc: Ssrc(ssrc),
                ntp: u64::from(seconds) << 32 | u64::from(fraction),
                rtp_timestamp,
                packets,
                octets,
            },
            blocks: ReportBlocks::parse(count, rest)?,
        })
    }
}

/// A receiver report.
#[derive(Debug, Clone, Copy)]
pub struct ReceiverReport<'a> {
    /// Who reports.
    pub sender: Ssrc,
    /// About the streams it receives.
    pub blocks: ReportBlocks<'a>,
}

impl<'a> ReceiverReport<'a> {
    pub(super) fn parse(count: u8, body: &'a [u8]) -> Result<Self, RtpError> {
        let (sender, rest) = take_u32(body)?;
        Ok(Self {
            sender: Ssrc(sender),
            blocks: ReportBlocks::parse(count, rest)?,
        })
    }
}

/// A goodbye.
#[derive(Debug, Clone, Copy)]
pub struct Bye<'a> {
    ssrcs: &'a [u8],
}

impl<'a> Bye<'a> {
    pub(super) fn parse(count: u8, body: &'a [u8]) -> Result<Self, RtpError> {
        let ssrcs = body
            .get(..usize::from(count).saturating_mul(4))
            .ok_or(RtpError::Truncated("RTCP BYE"))?;
        Ok(Self { ssrcs })
    }

    /// Which streams end.
    pub fn ssrcs(&self) -> impl Iterator<Item = Ssrc> + 'a {
        self.ssrcs
            .as_chunks::<4>()
            .0
            .iter()
            .map(|b| Ssrc(u32::from_be_bytes(*b)))
    }
}
