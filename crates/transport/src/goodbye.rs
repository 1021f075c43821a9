//! Hearing the other side's goodbye long after its handshake, without all that the handshake took.
//!
//! The DTLS library keeps 13 kB for each connection and gives no keys away. It takes its cipher
//! suites from outside, though: those here note the key that the other side seals with, when its
//! Finished is opened. What hears a goodbye is then that key, not a connection.

use dimpl::CryptoError;
use dimpl::crypto::{
    Aad, Buf, Cipher, Dtls12CipherSuite, HashAlgorithm, Nonce, SupportedDtls12CipherSuite, TmpBuf,
    aws_lc_rs,
};
use std::cell::Cell;
use std::fmt;
use std::sync::LazyLock;

const ALERT: u8 = 21;
/// The epoch of all that is sealed; there is no second handshake.
const SEALED: [u8; 2] = [0, 1];
const CLOSE_NOTIFY: u8 = 0;

thread_local! {
    /// What was noted last. The library runs on the thread that calls it.
    static NOTED: Cell<Option<TheirKey>> = const { Cell::new(None) };
}

/// The library's cipher suites, each of which notes keys.
pub(crate) fn suites() -> &'static [&'static dyn SupportedDtls12CipherSuite] {
    static SUITES: LazyLock<Vec<&'static dyn SupportedDtls12CipherSuite>> = LazyLock::new(|| {
        let known = aws_lc_rs::default_provider().cipher_suites.iter();
        // Kept until the process ends, as the library asks for; there are five.
        known
            .map(|suite| Box::leak(Box::new(Noting(*suite))) as &dyn SupportedDtls12CipherSuite)
            .collect()
    });
    &SUITES
}

/// Takes what was noted on this thread since the last time.
pub(crate) fn noted() -> Option<TheirKey> {
    NOTED.take()
}

#[derive(Debug)]
struct Noting(&'static dyn SupportedDtls12CipherSuite);

impl SupportedDtls12CipherSuite for Noting {
    fn suite(&self) -> Dtls12CipherSuite {
        self.0.suite()
    }

    fn hash_algorithm(&self) -> HashAlgorithm {
        self.0.hash_algorithm()
    }

    fn key_lengths(&self) -> (usize, usize, usize) {
        self.0.key_lengths()
    }

    fn explicit_nonce_len(&self) -> usize {
        self.0.explicit_nonce_len()
    }

    fn tag_len(&self) -> usize {
        self.0.tag_len()
    }

    fn min_protected_fragment_len(&self) -> usize {
        self.0.min_protected_fragment_len()
    }

    fn create_cipher(&self, key: &[u8]) -> Result<Box<dyn Cipher>, CryptoError> {
        Ok(Box::new(NotingCipher {
            inner: self.0.create_cipher(key)?,
            suite: self.0,
            key: Some(key.into()),
        }))
    }
}

/// One direction. Its key goes with the first record that it opens: so the one that seals ours is
/// never noted.
struct NotingCipher {
    inner: Box<dyn Cipher>,
    suite: &'static dyn SupportedDtls12CipherSuite,
    key: Option<Box<[u8]>>,
}

impl fmt::Debug for NotingCipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NotingCipher").finish_non_exhaustive()
    }
}

impl Cipher for NotingCipher {
    fn encrypt(&mut self, text: &mut Buf, aad: Aad, nonce: Nonce) -> Result<(), CryptoError> {
        self.inner.encrypt(text, aad, nonce)
    }

    fn decrypt(
        &mut self,
        text: &mut TmpBuf<'_>,
        aad: Aad,
        nonce: Nonce,
    ) -> Result<(), CryptoError> {
        self.inner.decrypt(text, aad.clone(), nonce)?;
        if let Some(key) = self.key.take() {
            let salt = match self.suite.explicit_nonce_len() {
                0 => number(nonce.0, &aad),
                _ => nonce.0,
            };
            NOTED.set(Some(TheirKey {
                suite: self.suite,
                key,
                salt,
                aad,
            }));
        }
        Ok(())
    }
}

/// A nonce with the record's epoch and number, which its additional data begin with, put in or
/// taken out (RFC 7905 §2).
fn number(mut nonce: [u8; 12], aad: &Aad) -> [u8; 12] {
    for (byte, with) in nonce.iter_mut().skip(4).zip(aad.0.iter()) {
        *byte ^= with;
    }
    nonce
}

/// The key that the other side's records are sealed with.
pub(crate) struct TheirKey {
    suite: &'static dyn SupportedDtls12CipherSuite,
    key: Box<[u8]>,
    /// What all nonces begin with, or are made of.
    salt: [u8; 12],
    /// Of some record: the library's type, to be filled anew.
    aad: Aad,
}

impl fmt::Debug for TheirKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TheirKey").finish_non_exhaustive()
    }
}

impl TheirKey {
    /// Whether a record is the other side's goodbye, sealed by it.
    pub(crate) fn is_goodbye(&self, record: &Record<'_>) -> bool {
        record.kind == ALERT
            && record.epoch() == SEALED
            && matches!(self.open(record).as_deref(), Some([_, CLOSE_NOTIFY]))
    }

    fn open(&self, record: &Record<'_>) -> Option<Vec<u8>> {
        let overhead = self.suite.min_protected_fragment_len();
        let length = u16::try_from(record.body.len().checked_sub(overhead)?).ok()?;
        let mut aad = self.aad.clone();
        let about = record.number.into_iter().chain([record.kind]);
        let about = about.chain(record.version).chain(length.to_be_bytes());
        for (byte, with) in aad.0.iter_mut().zip(about) {
            *byte = with;
        }
        let explicit = self.suite.explicit_nonce_len();
        let (explicit, sealed) = record.body.split_at_checked(explicit)?;
        let nonce = if explicit.is_empty() {
            number(self.salt, &aad)
        } else {
            let mut nonce = self.salt;
            let at = nonce.len().checked_sub(explicit.len())?;
            nonce.get_mut(at..)?.copy_from_slice(explicit);
            nonce
        };
        let mut text = sealed.to_vec();
        let mut buffer = TmpBuf::new(&mut text);
        let mut cipher = self.suite.create_cipher(&self.key).ok()?;
        cipher.decrypt(&mut buffer, aad, Nonce(nonce)).ok()?;
        let length = buffer.len();
        text.truncate(length);
        Some(text)
    }
}

/// A record as it stands in a datagram (RFC 6347 §4.1).
pub(crate) struct Record<'a> {
    pub(crate) kind: u8,
    version: [u8; 2],
    /// Epoch and number.
    number: [u8; 8],
    body: &'a [u8],
}

impl<'a> Record<'a> {
    /// The first record of a datagram, and what follows it.
    fn split(datagram: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let ([kind, version @ ..], rest) = datagram.split_first_chunk::<3>()?;
        let (number, rest) = rest.split_first_chunk::<8>()?;
        let (length, rest) = rest.split_first_chunk::<2>()?;
        let (body, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        let record = Self {
            kind: *kind,
            version: *version,
            number: *number,
            body,
        };
        Some((record, rest))
    }

    /// All of a datagram, up to where it makes no sense.
    pub(crate) fn all(mut datagram: &'a [u8]) -> impl Iterator<Item = Self> {
        std::iter::from_fn(move || {
            let (record, rest) = Self::split(datagram)?;
            datagram = rest;
            Some(record)
        })
    }

    const fn epoch(&self) -> [u8; 2] {
        let [high, low, ..] = self.number;
        [high, low]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dimpl::{Config, Dtls, Output};
    use std::sync::Arc;
    use std::time::Instant;

    /// A side that knows one cipher suite alone.
    fn side(suite: usize, active: bool, now: Instant) -> Dtls {
        let provider = dimpl::crypto::CryptoProvider {
            cipher_suites: &suites()[suite..=suite],
            ..aws_lc_rs::default_provider()
        };
        let config = Config::builder().with_crypto_provider(provider).build();
        let certificate = dimpl::certificate::generate_self_signed_certificate().unwrap();
        let mut side = Dtls::new_12(Arc::new(config.unwrap()), certificate, now);
        side.set_active(active);
        side.handle_timeout(now).unwrap();
        side
    }

    fn sent(side: &mut Dtls) -> Vec<Vec<u8>> {
        let mut buffer = [0; 2048];
        let mut sent = Vec::new();
        loop {
            match side.poll_output(&mut buffer) {
                Output::Packet(datagram) => sent.push(datagram.to_vec()),
                Output::Timeout(_) => return sent,
                _ => {}
            }
        }
    }

    #[test]
    fn a_goodbye_is_told_from_all_else_under_every_suite() {
        let now = althing_testkit::epoch();
        // The last takes keys that were shared before, and no certificates.
        for suite in 0..suites().len() - 1 {
            let mut sides = [side(suite, true, now), side(suite, false, now)];
            let mut keys = [None, None];
            for turn in 0..8 {
                let (from, to) = (turn % 2, 1 - turn % 2);
                for datagram in sent(&mut sides[from]) {
                    sides[to].handle_packet(&datagram).unwrap();
                    keys[to] = noted().or_else(|| keys[to].take());
                }
            }
            for (from, to) in [(0, 1), (1, 0)] {
                let [theirs, own] = [to, from].map(|side| keys[side].as_ref().unwrap());
                sides[from].send_application_data(&[1, 0]).unwrap();
                let data = sent(&mut sides[from]);
                sides[from].close().unwrap();
                let goodbye = sent(&mut sides[from]).concat();
                let heard = |key: &TheirKey, datagram: &[u8]| {
                    Record::all(datagram).any(|record| key.is_goodbye(&record))
                };
                assert!(heard(theirs, &goodbye), "suite {suite}, from {from}");
                assert!(!heard(own, &goodbye), "our own, come back");
                assert!(!heard(theirs, &data.concat()));
                for at in 0..goodbye.len() {
                    let mut damaged = goodbye.clone();
                    damaged[at] ^= 1;
                    assert!(!heard(theirs, &damaged), "byte {at}");
                    assert!(!heard(theirs, &goodbye[..at]), "{at} bytes");
                }
            }
        }
    }
}
