//! NACK, FIR and REMB.

use althing_model::Ssrc;

/// A generic NACK: which sequence numbers of a stream are missing.
#[derive(Debug, Clone, Copy)]
pub struct Nack<'a> {
    /// Who misses them.
    pub sender: Ssrc,
    /// Of which stream.
    pub media: Ssrc,
    pub(super) fci: &'a [u8],
}

impl<'a> Nack<'a> {
    /// The missing numbers, as listed: up to 17 per pair of PID and BLP.
    pub fn sequences(&self) -> impl Iterator<Item = u16> + 'a {
        self.fci.as_chunks::<4>().0.iter().flat_map(|pair| {
            let [p0, p1, b0, b1] = *pair;
            let first = u16::from_be_bytes([p0, p1]);
            let mask = u16::from_be_bytes([b0, b1]);
            std::iter::once(first).chain(
                (0..16u16)
                    .filter(move |bit| mask >> bit & 1 == 1)
                    .map(move |bit| first.wrapping_add(bit).wrapping_add(1)),
            )
        })
    }
}

/// A full intra request; its media SSRCs are in its entries.
#[derive(Debug, Clone, Copy)]
pub struct Fir<'a> {
    /// Who asks.
    pub sender: Ssrc,
    pub(super) fci: &'a [u8],
}

impl<'a> Fir<'a> {
    /// Each stream asked for, with the command's sequence number.
    pub fn entries(&self) -> impl Iterator<Item = (Ssrc, u8)> + 'a {
        self.fci.as_chunks::<8>().0.iter().map(|entry| {
            let [s0, s1, s2, s3, number, _, _, _] = *entry;
            (Ssrc(u32::from_be_bytes([s0, s1, s2, s3])), number)
        })
    }
}

/// Receiver estimated maximum bitrate (draft-alvestrand-rmcat-remb-03).
#[derive(Debug, Clone, Copy)]
pub struct Remb<'a> {
    /// Who estimates.
    pub sender: Ssrc,
    /// In bit/s.
    pub bitrate: u64,
    ssrcs: &'a [u8],
}

impl<'a> Remb<'a> {
    pub(super) fn parse(sender: Ssrc, fci: &'a [u8]) -> Option<Self> {
        let (head, rest) = fci.split_first_chunk::<8>()?;
        let [b'R', b'E', b'M', b'B', count, e, m1, m0] = *head else {
            return None;
        };
        let mantissa = u64::from(e & 3) << 16 | u64::from(m1) << 8 | u64::from(m0);
        Some(Self {
            sender,
            // An exponent beyond 46 cannot be meant.
            bitrate: mantissa
                .checked_shl(u32::from(e >> 2))
                .filter(|_| e >> 2 <= 46)?,
            ssrcs: rest.get(..usize::from(count).saturating_mul(4))?,
        })
    }

    /// The streams it speaks of.
    pub fn ssrcs(&self) -> impl Iterator<Item = Ssrc> + 'a {
        self.ssrcs
            .as_chunks::<4>()
            .0
            .iter()
            .map(|b| Ssrc(u32::from_be_bytes(*b)))
    }
}
