//! For measuring: handshakes that offer one SRTP profile alone, so that whatever server is measured
//! seals with the same cipher as the next. The DTLS library offers all it knows, in an order that
//! ends at AES-256-GCM wherever the server chooses; so the list is changed on the wire, and in all
//! that is signed and hashed of the handshake.

use crate::{Certificate, Error, SrtpProfile};
use dimpl::crypto::{
    Buf, HashAlgorithm, HashContext, HashProvider, KeyProvider, SignatureAlgorithm, SigningKey,
    aws_lc_rs,
};
use dimpl::{CryptoError, crypto::CryptoProvider};
use std::sync::Arc;

/// The extension's body as the library writes it: AES-256-GCM, AES-128-GCM, CM; no MKI.
const ALL: [u8; 9] = [0, 6, 0, 8, 0, 7, 0, 1, 0];

/// One profile three times is as long.
const fn only(profile: SrtpProfile) -> [u8; 9] {
    let id = match profile {
        SrtpProfile::AeadAes256Gcm => 8,
        SrtpProfile::AeadAes128Gcm => 7,
        SrtpProfile::Aes128CmSha1_80 => 1,
    };
    [0, 6, 0, id, 0, id, 0, id, 0]
}

/// A certificate whose owner offers `profile` alone as a DTLS client, as long as
/// [`narrow`] is called on every DTLS datagram that it sends.
///
/// # Errors
/// [`Error::Certificate`] when the crypto library refuses.
pub fn certificate(profile: SrtpProfile) -> Result<Arc<Certificate>, Error> {
    let inner = aws_lc_rs::default_provider();
    // Kept until the process ends, as the library asks for; a program makes one.
    let hashes: &'static Hashes = Box::leak(Box::new(Hashes(inner.hash_provider, profile)));
    let keys: &'static Keys = Box::leak(Box::new(Keys(inner.key_provider, profile)));
    Certificate::with_provider(CryptoProvider {
        hash_provider: hashes,
        key_provider: keys,
        ..inner
    })
}

/// Changes the offer in a datagram that is about to leave; others stay as they are.
pub fn narrow(profile: SrtpProfile, datagram: &mut [u8]) {
    if let Some(at) = datagram.windows(ALL.len()).position(|w| w == ALL)
        && let Some(offer) = datagram.get_mut(at..at + ALL.len())
    {
        offer.copy_from_slice(&only(profile));
    }
}

fn narrowed(profile: SrtpProfile, data: &[u8]) -> Vec<u8> {
    let mut data = data.to_vec();
    narrow(profile, &mut data);
    data
}

#[derive(Debug)]
struct Hashes(&'static dyn HashProvider, SrtpProfile);

impl HashProvider for Hashes {
    fn create_hash(&self, algorithm: HashAlgorithm) -> Box<dyn HashContext> {
        Box::new(Hash(self.0.create_hash(algorithm), self.1))
    }
}

#[derive(Debug)]
struct Hash(Box<dyn HashContext>, SrtpProfile);

impl HashContext for Hash {
    fn update(&mut self, data: &[u8]) {
        self.0.update(&narrowed(self.1, data));
    }

    fn clone_and_finalize(&self, out: &mut Buf) {
        self.0.clone_and_finalize(out);
    }
}

#[derive(Debug)]
struct Keys(&'static dyn KeyProvider, SrtpProfile);

impl KeyProvider for Keys {
    fn load_private_key(&self, key: &[u8]) -> Result<Box<dyn SigningKey>, CryptoError> {
        let key = self.0.load_private_key(key)?;
        Ok(Box::new(Key(key, self.1)))
    }
}

#[derive(Debug)]
struct Key(Box<dyn SigningKey>, SrtpProfile);

impl SigningKey for Key {
    fn sign(&mut self, data: &[u8], hash: HashAlgorithm, out: &mut Buf) -> Result<(), CryptoError> {
        self.0.sign(&narrowed(self.1, data), hash, out)
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        self.0.algorithm()
    }

    fn hash_algorithm(&self) -> HashAlgorithm {
        self.0.hash_algorithm()
    }

    fn supported_hash_algorithms(&self) -> &[HashAlgorithm] {
        self.0.supported_hash_algorithms()
    }
}
