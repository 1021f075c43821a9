use crate::Error;
use aws_lc_rs::digest;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// How a fingerprint was made (RFC 8122 §5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HashAlgorithm {
    /// `sha-1`: accepted because RFC 8122 allows it.
    Sha1,
    /// `sha-256`: what we send, and what browsers send.
    Sha256,
    /// `sha-384`.
    Sha384,
    /// `sha-512`.
    Sha512,
}

impl HashAlgorithm {
    /// The name as it stands in signalling.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sha1 => "sha-1",
            Self::Sha256 => "sha-256",
            Self::Sha384 => "sha-384",
            Self::Sha512 => "sha-512",
        }
    }

    fn parse(name: &str) -> Option<Self> {
        [Self::Sha1, Self::Sha256, Self::Sha384, Self::Sha512]
            .into_iter()
            .find(|algorithm| algorithm.as_str().eq_ignore_ascii_case(name))
    }

    fn digest(self, data: &[u8]) -> digest::Digest {
        let algorithm = match self {
            Self::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => &digest::SHA256,
            Self::Sha384 => &digest::SHA384,
            Self::Sha512 => &digest::SHA512,
        };
        digest::digest(algorithm, data)
    }

    const fn length(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }
}

impl fmt::Display for HashAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The hash of a certificate, as signalled (RFC 8122 §5). Displays as `AA:BB:…`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Fingerprint {
    /// How it was made.
    pub algorithm: HashAlgorithm,
    value: Box<[u8]>,
}

impl Fingerprint {
    /// Reads the algorithm's name and the colon-separated hex value; either letter case.
    ///
    /// # Errors
    /// [`Error::Fingerprint`] for an unknown algorithm, or a value that is not hex of its length.
    pub fn parse(algorithm: &str, value: &str) -> Result<Self, Error> {
        let refuse = |reason| Error::Fingerprint { reason };
        let algorithm = HashAlgorithm::parse(algorithm.trim())
            .ok_or_else(|| refuse("the algorithm is not one of sha-1, -256, -384, -512"))?;
        let bytes: Option<Box<[u8]>> = value.trim().split(':').map(hex_byte).collect();
        let value = bytes.ok_or_else(|| refuse("the value is not hex pairs joined by colons"))?;
        if value.len() != algorithm.length() {
            return Err(refuse("the value has not the length of its algorithm"));
        }
        Ok(Self { algorithm, value })
    }

    /// Whether this is the fingerprint of the certificate (DER).
    pub(crate) fn matches(&self, certificate: &[u8]) -> bool {
        self.algorithm.digest(certificate).as_ref() == &*self.value
    }
}

fn hex_byte(pair: &str) -> Option<u8> {
    let hex = pair.len() == 2 && pair.bytes().all(|b| b.is_ascii_hexdigit());
    hex.then(|| u8::from_str_radix(pair, 16).ok()).flatten()
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.value.iter().enumerate() {
            if index > 0 {
                f.write_str(":")?;
            }
            write!(f, "{byte:02X}")?;
        }
        Ok(())
    }
}

/// A self-signed certificate (ECDSA P-256) and its key, shared by all endpoints of a process.
pub struct Certificate {
    pair: dimpl::DtlsCertificate,
    fingerprint: Fingerprint,
    config: Arc<dimpl::Config>,
}

impl Certificate {
    /// Makes a new key and a certificate valid for a year from now.
    ///
    /// # Errors
    /// [`Error::Certificate`] when the crypto library refuses.
    pub fn generate() -> Result<Arc<Self>, Error> {
        Self::with_provider(dimpl::crypto::aws_lc_rs::default_provider())
    }

    /// The same with other cryptography, see [`offering`](crate::offering).
    pub(crate) fn with_provider(
        mut provider: dimpl::crypto::CryptoProvider,
    ) -> Result<Arc<Self>, Error> {
        provider.cipher_suites = crate::goodbye::suites();
        let pair = dimpl::certificate::generate_self_signed_certificate()
            .map_err(|_| Error::Certificate)?;
        let algorithm = HashAlgorithm::Sha256;
        let fingerprint = Fingerprint {
            algorithm,
            value: algorithm.digest(&pair.certificate).as_ref().into(),
        };
        let config = dimpl::Config::builder()
            // A cookie proves the address; ICE has already done so.
            .use_server_cookie(false)
            .flight_start_rto(Duration::from_millis(200))
            .flight_retries(8)
            .handshake_timeout(crate::HANDSHAKE_TIMEOUT)
            .with_crypto_provider(provider)
            .build()
            .map_err(|_| Error::Certificate)?;
        Ok(Arc::new(Self {
            pair,
            fingerprint,
            config: Arc::new(config),
        }))
    }

    /// The sha-256 fingerprint to signal.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint.clone()
    }

    pub(crate) fn pair(&self) -> dimpl::DtlsCertificate {
        self.pair.clone()
    }

    pub(crate) fn config(&self) -> Arc<dimpl::Config> {
        Arc::clone(&self.config)
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate")
            .field("fingerprint", &self.fingerprint.to_string())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_reads_back_what_it_prints() {
        let own = Certificate::generate().unwrap().fingerprint();
        let text = own.to_string();
        assert_eq!(text.len(), 32 * 3 - 1);
        assert_eq!(Fingerprint::parse("sha-256", &text).unwrap(), own);
        let lower = text.to_lowercase();
        assert_eq!(Fingerprint::parse("SHA-256", &lower).unwrap(), own);
    }

    #[test]
    fn what_is_no_fingerprint_is_refused() {
        for (algorithm, value) in [
            ("md5", "AA:BB"),
            ("sha-256", "AA:BB"),
            ("sha-1", ""),
            (
                "sha-1",
                "+A:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00",
            ),
        ] {
            assert!(Fingerprint::parse(algorithm, value).is_err(), "{value}");
        }
    }

    #[test]
    fn each_algorithm_matches_its_own_hash() {
        for (algorithm, value) in [
            (
                "sha-1",
                "A9:99:3E:36:47:06:81:6A:BA:3E:25:71:78:50:C2:6C:9C:D0:D8:9D",
            ),
            (
                "sha-256",
                "BA:78:16:BF:8F:01:CF:EA:41:41:40:DE:5D:AE:22:23:\
                 B0:03:61:A3:96:17:7A:9C:B4:10:FF:61:F2:00:15:AD",
            ),
        ] {
            let fingerprint = Fingerprint::parse(algorithm, value).unwrap();
            assert!(fingerprint.matches(b"abc"));
            assert!(!fingerprint.matches(b"abd"));
        }
    }
}
