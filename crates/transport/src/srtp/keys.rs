//! Session keys from master keys (RFC 3711 §4.3; RFC 7714 §11 for the shorter salt).

use aws_lc_rs::cipher::{AES_128, AES_256, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;

/// RFC 3711 §4.3.1.
#[derive(Debug, Clone, Copy)]
#[repr(u8)]
pub(super) enum Label {
    RtpKey = 0,
    RtpAuthentication = 1,
    RtpSalt = 2,
    RtcpKey = 3,
    RtcpAuthentication = 4,
    RtcpSalt = 5,
}

/// AES in counter mode with its key schedule kept.
#[derive(Debug)]
pub(super) struct Counter(EncryptingKey);

impl Counter {
    /// `None` unless the key has 16 or 32 bytes.
    pub(super) fn new(key: &[u8]) -> Option<Self> {
        let algorithm = match key.len() {
            16 => &AES_128,
            32 => &AES_256,
            _ => return None,
        };
        let key = UnboundCipherKey::new(algorithm, key).ok()?;
        EncryptingKey::ctr(key).ok().map(Self)
    }

    /// Adds the key stream that begins with counter block `block`; the same undoes it.
    pub(super) fn apply(&self, block: [u8; 16], data: &mut [u8]) {
        let context = EncryptionContext::Iv128(FixedLength::from(block));
        self.0
            .less_safe_encrypt(data, context)
            .map(drop)
            .expect("counter mode takes any length with a 16-byte counter block");
    }
}

/// A master key and salt of one direction.
pub(super) struct Master {
    prf: Counter,
    salt: [u8; 14],
}

impl Master {
    /// `None` unless the lengths are those of a profile. A 12-byte salt is continued with zeros.
    pub(super) fn new(key: &[u8], salt: &[u8]) -> Option<Self> {
        let mut padded = [0; 14];
        padded.get_mut(..salt.len())?.copy_from_slice(salt);
        Some(Self {
            prf: Counter::new(key)?,
            salt: padded,
        })
    }

    /// A session key, or salt, of the length of `N`. The key derivation rate is zero, so that
    /// the packet index has no part in it.
    pub(super) fn derive<const N: usize>(&self, label: Label) -> [u8; N] {
        let mut block = [0; 16];
        block[..14].copy_from_slice(&self.salt);
        block[7] ^= label as u8;
        let mut out = [0; N];
        self.prf.apply(block, &mut out);
        out
    }
}
