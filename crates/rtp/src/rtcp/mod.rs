//! RTCP: a borrowed view of compound packets, and builders that append to a caller's buffer.

mod build;
mod feedback;
mod report;
mod transport_cc;

pub use build::{bye, fir, nack, pli, receiver_report, sdes_cname, sender_report};
pub use feedback::{Fir, Nack, Remb};
pub use report::{Bye, ReceiverReport, ReportBlock, ReportBlocks, SenderInfo, SenderReport};
pub use transport_cc::{
    PacketStatuses, REFERENCE_UNIT, TransportCc, TransportCcRecorder, TransportCcStatus,
};

use crate::RtpError;
use althing_model::Ssrc;

/// Packet types (RFC 3550 §12.1, RFC 4585 §6.1, RFC 3611).
pub(crate) mod kind {
    pub(crate) const SENDER_REPORT: u8 = 200;
    pub(crate) const RECEIVER_REPORT: u8 = 201;
    pub(crate) const SOURCE_DESCRIPTION: u8 = 202;
    pub(crate) const BYE: u8 = 203;
    pub(crate) const TRANSPORT_FEEDBACK: u8 = 205;
    pub(crate) const PAYLOAD_FEEDBACK: u8 = 206;
}

/// One packet of a compound.
#[derive(Debug, Clone, Copy)]
pub enum Rtcp<'a> {
    /// RFC 3550 §6.4.1.
    SenderReport(SenderReport<'a>),
    /// RFC 3550 §6.4.2.
    ReceiverReport(ReceiverReport<'a>),
    /// RFC 3550 §6.5; nothing in it is of use to us.
    SourceDescription,
    /// RFC 3550 §6.6.
    Bye(Bye<'a>),
    /// A generic NACK (RFC 4585 §6.2.1).
    Nack(Nack<'a>),
    /// Transport-wide congestion control feedback, draft 01.
    TransportCc(TransportCc<'a>),
    /// A picture loss indication (RFC 4585 §6.3.1).
    Pli {
        /// Who asks.
        sender: Ssrc,
        /// Whose picture.
        media: Ssrc,
    },
    /// A full intra request (RFC 5104 §4.3.1).
    Fir(Fir<'a>),
    /// A receiver's estimate of its bandwidth.
    Remb(Remb<'a>),
    /// Anything else.
    Other {
        /// The packet type.
        packet_type: u8,
        /// Count or format: the five bits before it.
        format: u8,
    },
}

/// Iterates the packets of a compound; reduced-size compounds (RFC 5506) are welcome. After an
/// error nothing more comes.
#[derive(Debug, Clone)]
pub struct Compound<'a> {
    rest: &'a [u8],
}

impl<'a> Compound<'a> {
    /// A view; nothing is read yet.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    fn read(&mut self) -> Result<Rtcp<'a>, RtpError> {
        const SHORT: RtpError = RtpError::Truncated("RTCP packet");
        let (head, _) = self.rest.split_first_chunk::<4>().ok_or(SHORT)?;
        let [b0, packet_type, l0, l1] = *head;
        if b0 >> 6 != 2 {
            return Err(RtpError::Version);
        }
        let words = usize::from(u16::from_be_bytes([l0, l1])).saturating_add(1);
        let (packet, after) = self
            .rest
            .split_at_checked(words.saturating_mul(4))
            .ok_or(SHORT)?;
        self.rest = after;
        let mut body = packet.get(4..).unwrap_or_default();
        if b0 & 0x20 != 0 {
            let padding = usize::from(*body.last().ok_or(RtpError::Invalid("RTCP padding"))?);
            let kept = body
                .len()
                .checked_sub(padding)
                .filter(|_| padding > 0)
                .ok_or(RtpError::Invalid("RTCP padding"))?;
            body = body.get(..kept).unwrap_or_default();
        }
        parse_one(packet_type, b0 & 0x1f, body)
    }
}

impl<'a> Iterator for Compound<'a> {
    type Item = Result<Rtcp<'a>, RtpError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let item = self.read();
        if item.is_err() {
            self.rest = &[];
        }
        Some(item)
    }
}

fn parse_one(packet_type: u8, format: u8, body: &[u8]) -> Result<Rtcp<'_>, RtpError> {
    let other = Rtcp::Other {
        packet_type,
        format,
    };
    Ok(match (packet_type, format) {
        (kind::SENDER_REPORT, count) => Rtcp::SenderReport(SenderReport::parse(count, body)?),
        (kind::RECEIVER_REPORT, count) => Rtcp::ReceiverReport(ReceiverReport::parse(count, body)?),
        (kind::SOURCE_DESCRIPTION, _) => Rtcp::SourceDescription,
        (kind::BYE, count) => Rtcp::Bye(Bye::parse(count, body)?),
        (kind::TRANSPORT_FEEDBACK | kind::PAYLOAD_FEEDBACK, _) => {
            let (sender, rest) = take_ssrc(body)?;
            let (media, fci) = take_ssrc(rest)?;
            match (packet_type, format) {
                (kind::TRANSPORT_FEEDBACK, 1) => Rtcp::Nack(Nack { sender, media, fci }),
                (kind::TRANSPORT_FEEDBACK, 15) => {
                    Rtcp::TransportCc(TransportCc::parse(sender, media, fci)?)
                }
                (kind::PAYLOAD_FEEDBACK, 1) => Rtcp::Pli { sender, media },
                (kind::PAYLOAD_FEEDBACK, 4) => Rtcp::Fir(Fir { sender, fci }),
                (kind::PAYLOAD_FEEDBACK, 15) => match Remb::parse(sender, fci) {
                    Some(remb) => Rtcp::Remb(remb),
                    None => other,
                },
                _ => other,
            }
        }
        _ => other,
    })
}

/// The four bytes at the start as a number, and what follows.
pub(crate) fn take_u32(bytes: &[u8]) -> Result<(u32, &[u8]), RtpError> {
    let (head, rest) = bytes
        .split_first_chunk::<4>()
        .ok_or(RtpError::Truncated("RTCP body"))?;
    Ok((u32::from_be_bytes(*head), rest))
}

pub(crate) fn take_ssrc(bytes: &[u8]) -> Result<(Ssrc, &[u8]), RtpError> {
    take_u32(bytes).map(|(v, rest)| (Ssrc(v), rest))
}

#[cfg(test)]
mod tests;
