//! A small keyed hash for SSRCs and indices: fast, and not to be steered by whoever chooses SSRCs.

use std::hash::{BuildHasher, Hasher};

/// Keyed by a number drawn from the conference's seed.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Keyed(pub(crate) u64);

impl BuildHasher for Keyed {
    type Hasher = KeyedHasher;
    fn build_hasher(&self) -> KeyedHasher {
        KeyedHasher(self.0)
    }
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct KeyedHasher(u64);

impl KeyedHasher {
    /// One round of a folded multiply.
    fn mix(&mut self, value: u64) {
        let product = u128::from(self.0 ^ value) * 0x9e37_79b9_7f4a_7c15;
        self.0 = (product as u64) ^ ((product >> 64) as u64);
    }
}

impl Hasher for KeyedHasher {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.mix(u64::from_le_bytes(word));
        }
    }
    fn write_u32(&mut self, value: u32) {
        self.mix(u64::from(value));
    }
    fn write_usize(&mut self, value: usize) {
        self.mix(value as u64);
    }
    fn finish(&self) -> u64 {
        self.0
    }
}

/// By SSRC.
pub(crate) type SsrcMap<V> = std::collections::HashMap<u32, V, Keyed>;
/// By slab index.
pub(crate) type IndexMap<V> = std::collections::HashMap<usize, V, Keyed>;
