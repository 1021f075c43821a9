//! Sixteen and thirty-two bit numbers that wrap.

/// How far `to` lies after `from`, −32,768 to 32,767.
#[must_use]
pub const fn distance(from: u16, to: u16) -> i16 {
    to.wrapping_sub(from).cast_signed()
}

/// Whether `a` comes after `b`, the shorter way round.
#[must_use]
pub const fn is_newer(a: u16, b: u16) -> bool {
    distance(b, a) > 0
}

/// How far timestamp `to` lies after `from`.
#[must_use]
pub const fn timestamp_distance(from: u32, to: u32) -> i32 {
    to.wrapping_sub(from).cast_signed()
}

/// The 64-bit number nearest to `near` whose low 16 bits are `sequence`; never below zero.
#[must_use]
pub const fn extend(near: u64, sequence: u16) -> u64 {
    #[expect(clippy::cast_possible_truncation, reason = "the low 16 bits are meant")]
    let step = distance(near as u16, sequence);
    match near.checked_add_signed(step as i64) {
        Some(extended) => extended,
        // Only before the first wrap can the number lie below zero; it is then the one above.
        None => sequence as u64,
    }
}

/// The low 16 bits: what goes on the wire.
#[must_use]
pub const fn truncate(extended: u64) -> u16 {
    #[expect(clippy::cast_possible_truncation, reason = "the low 16 bits are meant")]
    {
        extended as u16
    }
}

/// Extends the sequence numbers of one stream to 64 bits, tolerating reordering of up to half the
/// number space.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Extender {
    highest: Option<u64>,
}

impl Extender {
    /// Nothing seen yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { highest: None }
    }

    /// The extended number of a packet. The first starts in the second cycle, so that packets
    /// sent before it have a number too.
    pub fn extend(&mut self, sequence: u16) -> u64 {
        let extended = match self.highest {
            None => u64::from(sequence) | 0x1_0000,
            Some(highest) => extend(highest, sequence),
        };
        if self.highest.is_none_or(|h| extended > h) {
            self.highest = Some(extended);
        }
        extended
    }

    /// The greatest number so far.
    #[must_use]
    pub const fn highest(&self) -> Option<u64> {
        self.highest
    }
}

#[cfg(test)]
mod tests;
