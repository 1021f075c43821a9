//! Packets that no honest client sends, for tests of what a server puts up with.

use althing_model::Ssrc;
use althing_rtp::{RtpHeader, rtcp};
use std::time::{Duration, Instant};

/// How often some of a flood are sent.
const STEP: Duration = Duration::from_millis(5);
/// Floods at once; more are not begun.
pub(super) const MOST: usize = 8;
/// What fits into a datagram with all that is around it.
const MOST_PAYLOAD: usize = 1_200;

/// What there is too much of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Excess {
    /// RTP that says it is somebody's.
    Rtp {
        /// As a receiver would need it to know the codec.
        payload_type: u8,
        /// Under which SSRCs.
        whose: Whose,
        /// Of payload, 1,200 at most.
        bytes: usize,
    },
    /// Receiver reports about nothing.
    Rtcp,
    /// Connectivity checks that nobody signed.
    Checks,
}

/// SSRCs of a flood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// The occupant's own microphone's, which is signalled; its true packets are no use afterwards.
    Own,
    /// So many that nobody signalled, in turn.
    Nobodys(u32),
}

/// So many packets of one kind, beside what the occupant sends otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flood {
    /// Of what.
    pub excess: Excess,
    /// In all.
    pub packets: u32,
    /// At this rate, as far as the thread keeps up.
    pub per_second: u32,
}

/// A packet of a flood, as it is to leave.
pub(super) enum Packet {
    /// With the length of its header.
    Rtp(usize),
    Rtcp,
    /// As it is.
    Plain,
}

/// A flood under way.
#[derive(Debug)]
pub(super) struct Flooding {
    flood: Flood,
    began: Instant,
    sent: u32,
    next_at: Instant,
}

impl Flooding {
    pub(super) const fn new(flood: Flood, now: Instant) -> Self {
        Self {
            flood,
            began: now,
            sent: 0,
            next_at: now,
        }
    }

    pub(super) const fn is_over(&self) -> bool {
        self.sent >= self.flood.packets
    }

    pub(super) const fn next_at(&self) -> Instant {
        self.next_at
    }

    /// How many are due.
    pub(super) fn due(&mut self, now: Instant) -> u32 {
        if now < self.next_at {
            return 0;
        }
        self.next_at = now + STEP;
        let passed = now.saturating_duration_since(self.began) + STEP;
        let by_now = (passed.as_secs_f64() * f64::from(self.flood.per_second)) as u32;
        by_now.min(self.flood.packets).saturating_sub(self.sent)
    }

    /// Writes the next one into `out`; `own` is the microphone's SSRC, and that feedback comes from.
    pub(super) fn write(&mut self, own: Ssrc, out: &mut Vec<u8>) -> Packet {
        let number = self.sent;
        self.sent += 1;
        out.clear();
        match self.flood.excess {
            Excess::Rtp {
                payload_type,
                whose,
                bytes,
            } => {
                let (ssrc, sequence) = match whose {
                    // Far ahead of what it has sent.
                    Whose::Own => (own, (number as u16).wrapping_add(0x4000)),
                    Whose::Nobodys(count) => {
                        let count = count.max(1);
                        let ssrc = Ssrc(own.0.wrapping_add(1 + number % count));
                        (ssrc, (number / count) as u16)
                    }
                };
                let header = RtpHeader {
                    marker: false,
                    payload_type,
                    sequence,
                    timestamp: number.wrapping_mul(960),
                    ssrc,
                };
                out.resize(12, 0);
                let length = header.write(&[], out).expect("twelve bytes hold a header");
                out.resize(length + bytes.min(MOST_PAYLOAD), 0x55);
                Packet::Rtp(length)
            }
            Excess::Rtcp => {
                rtcp::receiver_report(out, own, &[]);
                Packet::Rtcp
            }
            Excess::Checks => {
                // A Binding request (RFC 8489 §5) of nobody, without an attribute.
                out.extend_from_slice(&[0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42]);
                out.extend_from_slice(&[0; 8]);
                out.extend_from_slice(&number.to_be_bytes());
                Packet::Plain
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_has_its_rate_and_its_end() {
        let start = Instant::now();
        let mut flooding = Flooding::new(
            Flood {
                excess: Excess::Rtcp,
                packets: 1_000,
                per_second: 2_000,
            },
            start,
        );
        let mut out = Vec::new();
        for milli in 0..=600 {
            let now = start + Duration::from_millis(milli);
            for _ in 0..flooding.due(now) {
                flooding.write(Ssrc(1), &mut out);
            }
            let fair = (milli + 5) * 2;
            assert!(u64::from(flooding.sent) <= fair, "{milli} ms");
            assert!(u64::from(flooding.sent) + 20 >= fair.min(1_000));
        }
        assert!(flooding.is_over() && flooding.due(start + Duration::from_secs(9)) == 0);
    }

    #[test]
    fn its_packets_can_be_read() {
        let flooding = |excess| {
            let flood = Flood {
                excess,
                packets: 1,
                per_second: 1,
            };
            let mut out = Vec::new();
            Flooding::new(flood, Instant::now()).write(Ssrc(7), &mut out);
            out
        };
        let rtp = flooding(Excess::Rtp {
            payload_type: 100,
            whose: Whose::Nobodys(1),
            bytes: 5_000,
        });
        let packet = althing_rtp::RtpPacket::parse(&rtp).unwrap();
        assert_eq!(
            (packet.payload_type(), packet.payload().len()),
            (100, 1_200)
        );
        assert_eq!(rtcp::Compound::new(&flooding(Excess::Rtcp)).count(), 1);
        assert_eq!(flooding(Excess::Checks).len(), 20);
    }
}
