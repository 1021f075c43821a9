/// Where random numbers come from: an argument, so that a core can be replayed.
///
/// Shells hand in the operating system's generator; tests a [`SeededEntropy`].
pub trait Entropy {
    /// The next 64 random bits.
    fn next_u64(&mut self) -> u64;

    /// Lower-case letters and digits, 5 bits each; `length` of them.
    fn token(&mut self, length: usize) -> String {
        const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
        let mut out = String::with_capacity(length);
        while out.len() < length {
            let mut bits = self.next_u64();
            for _ in 0..12 {
                if out.len() == length {
                    break;
                }
                out.push(char::from(ALPHABET[(bits & 31) as usize]));
                bits >>= 5;
            }
        }
        out
    }

    /// A version 4 UUID in its usual text form (RFC 9562 §5.4).
    fn uuid(&mut self) -> String {
        let high = (self.next_u64() & !0xf000) | 0x4000;
        let low = (self.next_u64() & !(0b11 << 62)) | (0b10 << 62);
        format!(
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            high >> 32,
            (high >> 16) & 0xffff,
            high & 0xffff,
            low >> 48,
            low & 0xffff_ffff_ffff
        )
    }

    /// A random SSRC, never zero.
    fn ssrc(&mut self) -> crate::Ssrc {
        loop {
            let candidate = (self.next_u64() >> 32) as u32;
            if candidate != 0 {
                return crate::Ssrc(candidate);
            }
        }
    }
}

/// A reproducible source of numbers for tests and load generators (SplitMix64). Never for secrets.
#[derive(Debug, Clone)]
pub struct SeededEntropy(u64);

impl SeededEntropy {
    /// The same seed gives the same numbers.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }
}

impl Entropy for SeededEntropy {
    fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuid_has_version_and_variant_bits() {
        let mut entropy = SeededEntropy::new(7);
        for _ in 0..50 {
            let id = entropy.uuid();
            assert_eq!(id.len(), 36);
            assert_eq!(&id[14..15], "4");
            assert!(matches!(&id[19..20], "8" | "9" | "a" | "b"), "{id}");
            assert!(
                id[..8]
                    .bytes()
                    .all(|b| b.is_ascii_hexdigit() && !b.is_ascii_uppercase())
            );
        }
    }

    #[test]
    fn token_has_the_length_asked_for() {
        let mut entropy = SeededEntropy::new(1);
        for length in [0, 1, 12, 13, 24, 40] {
            assert_eq!(entropy.token(length).len(), length);
        }
    }
}
