//! Keys: a shared secret, a public key, a private key. Each knows the algorithms it is good for.

use crate::algorithm::{Algorithm, Family};
use althing_model::Secret;
use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair as RsaKeyPair;
use aws_lc_rs::signature::{self as lc, EcdsaKeyPair, KeyPair as _, UnparsedPublicKey};
use aws_lc_rs::{digest, hmac, rsa};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{self, SectionKind};
use std::fmt;
use url::Url;

/// A key as it is configured.
#[derive(Debug, Clone)]
pub struct KeySettings {
    /// The only algorithms it is good for; empty is the usual one of its kind (HS256, RS256, ES256).
    pub algorithms: Vec<Algorithm>,
    /// The `kid` a token must ask for it by; `None` does not ask. Fetched keys have their own.
    pub kid: Option<String>,
    /// The key, or where it is.
    pub source: KeySource,
}

/// A key, or where it is.
#[derive(Debug, Clone)]
pub enum KeySource {
    /// A shared secret.
    Secret(Secret),
    /// A public key, a certificate, or a private key, in PEM.
    Pem(Secret),
    /// A JWKS document, or a JSON object of certificates by `kid`.
    Jwks(Url),
    /// An ASAP key server: below it lies `<sha256 of kid in hex>.pem` for each key.
    KeyServer(Url),
}

/// Why a key cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// A secret of no characters.
    #[error("the secret is empty")]
    EmptySecret,
    /// Nothing of use in the PEM.
    #[error("no public key, certificate or private key in PEM form was found")]
    NoPem,
    /// The library does not take it.
    #[error("the key cannot be read: it must be RSA of 2048 to 8192 bits, or EC on P-256")]
    Unreadable,
    /// An algorithm for another kind of key.
    #[error("{algorithm} is not for {kind}")]
    Unfit {
        /// What was asked for.
        algorithm: Algorithm,
        /// What the key is.
        kind: &'static str,
    },
    /// Keys that a stranger on the way could replace.
    #[error("{0} must be https, or http on this machine")]
    Insecure(String),
    /// No client for fetching keys could be made.
    #[error("cannot fetch keys: {0}")]
    Client(String),
}

/// What checks a signature: a shared secret, or a public key.
#[derive(Clone)]
pub(crate) enum Material {
    Secret(Secret),
    Rsa(Box<[u8]>),
    Ec(Box<[u8]>),
}

impl fmt::Debug for Material {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind())
    }
}

impl Material {
    pub(crate) fn secret(secret: Secret) -> Result<Self, KeyError> {
        if secret.expose().is_empty() {
            Err(KeyError::EmptySecret)
        } else {
            Ok(Self::Secret(secret))
        }
    }

    /// A public key in X.509 or PKCS #1 form.
    pub(crate) fn public(der: &[u8]) -> Result<Self, KeyError> {
        if let Ok(key) = rsa::PublicKey::from_der(der) {
            let bits = rsa_bits(key.as_ref());
            return if (2048..=8192).contains(&bits) {
                Ok(Self::Rsa(key.as_ref().into()))
            } else {
                Err(KeyError::Unreadable)
            };
        }
        lc::ParsedPublicKey::new(&lc::ECDSA_P256_SHA256_FIXED, der)
            .map(|_| Self::Ec(der.into()))
            .map_err(|_| KeyError::Unreadable)
    }

    pub(crate) fn rsa(n: &[u8], e: &[u8]) -> Result<Self, KeyError> {
        let components = rsa::PublicKeyComponents {
            n: without_leading_zeros(n),
            e: without_leading_zeros(e),
        };
        let der: PublicKeyX509Der<'_> = components.as_der().map_err(|_| KeyError::Unreadable)?;
        Self::public(der.as_ref())
    }

    /// A point on P-256 by its coordinates, 32 bytes each.
    pub(crate) fn p256(x: &[u8], y: &[u8]) -> Result<Self, KeyError> {
        if x.len() != 32 || y.len() != 32 {
            return Err(KeyError::Unreadable);
        }
        Self::public(&[&[4], x, y].concat())
    }

    pub(crate) fn certificate(der: &[u8]) -> Result<Self, KeyError> {
        let der = CertificateDer::from(der);
        let certificate =
            webpki::EndEntityCert::try_from(&der).map_err(|_| KeyError::Unreadable)?;
        Self::public(&certificate.subject_public_key_info())
    }

    pub(crate) fn family(&self) -> Family {
        match self {
            Self::Secret(_) => Family::Hmac,
            Self::Rsa(_) => Family::Rsa,
            Self::Ec(_) => Family::Ec,
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Secret(_) => "a shared secret",
            Self::Rsa(_) => "an RSA key",
            Self::Ec(_) => "an EC key",
        }
    }

    /// Whether the signature is this key's. A key of another kind than the algorithm's never is:
    /// a public key is no secret that an HMAC could be made with.
    pub(crate) fn verifies(&self, algorithm: Algorithm, signed: &[u8], signature: &[u8]) -> bool {
        let public = |how: &'static dyn lc::VerificationAlgorithm, key: &[u8]| {
            UnparsedPublicKey::new(how, key)
                .verify(signed, signature)
                .is_ok()
        };
        match (self, algorithm) {
            (Self::Secret(secret), Algorithm::Hs256 | Algorithm::Hs384 | Algorithm::Hs512) => {
                // Compares in constant time.
                hmac::verify(&hmac_key(algorithm, secret), signed, signature).is_ok()
            }
            (Self::Rsa(key), Algorithm::Rs256) => public(&lc::RSA_PKCS1_2048_8192_SHA256, key),
            (Self::Rsa(key), Algorithm::Rs384) => public(&lc::RSA_PKCS1_2048_8192_SHA384, key),
            (Self::Rsa(key), Algorithm::Rs512) => public(&lc::RSA_PKCS1_2048_8192_SHA512, key),
            (Self::Ec(key), Algorithm::Es256) => public(&lc::ECDSA_P256_SHA256_FIXED, key),
            _ => false,
        }
    }
}

fn without_leading_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.get(zeros..).unwrap_or_default()
}

fn rsa_bits(der: &[u8]) -> u32 {
    lc::RsaParameters::public_modulus_len(der).unwrap_or(0)
}

fn hmac_key(algorithm: Algorithm, secret: &Secret) -> hmac::Key {
    let how = match algorithm {
        Algorithm::Hs384 => hmac::HMAC_SHA384,
        Algorithm::Hs512 => hmac::HMAC_SHA512,
        _ => hmac::HMAC_SHA256,
    };
    hmac::Key::new(how, secret.expose().as_bytes())
}

/// What makes signatures.
enum Signing {
    Rsa(Box<RsaKeyPair>),
    Ec(Box<EcdsaKeyPair>),
}

/// A key that is here, in contrast to one that has to be fetched.
pub(crate) struct LocalKey {
    pub(crate) algorithms: Vec<Algorithm>,
    pub(crate) kid: Option<String>,
    pub(crate) material: Material,
    signing: Option<Signing>,
}

impl fmt::Debug for LocalKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalKey")
            .field("algorithms", &self.algorithms)
            .field("material", &self.material)
            .finish_non_exhaustive()
    }
}

impl LocalKey {
    pub(crate) fn secret(
        secret: Secret,
        algorithms: Vec<Algorithm>,
        kid: Option<String>,
    ) -> Result<Self, KeyError> {
        Self::new(Material::secret(secret)?, None, algorithms, kid)
    }

    /// The first key of a PEM text; with a private key also one to sign with.
    pub(crate) fn pem(
        text: &str,
        algorithms: Vec<Algorithm>,
        kid: Option<String>,
    ) -> Result<Self, KeyError> {
        let (material, signing) = read_pem(text.as_bytes())?;
        Self::new(material, signing, algorithms, kid)
    }

    fn new(
        material: Material,
        signing: Option<Signing>,
        mut algorithms: Vec<Algorithm>,
        kid: Option<String>,
    ) -> Result<Self, KeyError> {
        if algorithms.is_empty() {
            algorithms.push(material.family().usual());
        }
        if let Some(algorithm) = algorithms
            .iter()
            .find(|algorithm| algorithm.family() != material.family())
        {
            return Err(KeyError::Unfit {
                algorithm: *algorithm,
                kind: material.kind(),
            });
        }
        Ok(Self {
            algorithms,
            kid,
            material,
            signing,
        })
    }

    pub(crate) fn can_sign(&self) -> bool {
        self.signing.is_some() || matches!(self.material, Material::Secret(_))
    }

    /// The algorithm it signs with.
    pub(crate) fn algorithm(&self) -> Algorithm {
        self.algorithms
            .first()
            .copied()
            .unwrap_or_else(|| self.material.family().usual())
    }

    /// A signature by [`Self::algorithm`]; `None` when the key cannot make any.
    pub(crate) fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        let random = SystemRandom::new();
        match (&self.signing, &self.material) {
            (Some(Signing::Rsa(key)), _) => {
                let how: &'static dyn lc::RsaEncoding = match self.algorithm() {
                    Algorithm::Rs384 => &lc::RSA_PKCS1_SHA384,
                    Algorithm::Rs512 => &lc::RSA_PKCS1_SHA512,
                    _ => &lc::RSA_PKCS1_SHA256,
                };
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(how, &random, message, &mut signature).ok()?;
                Some(signature)
            }
            (Some(Signing::Ec(key)), _) => Some(key.sign(&random, message).ok()?.as_ref().to_vec()),
            (None, Material::Secret(secret)) => {
                let key = hmac_key(self.algorithm(), secret);
                Some(hmac::sign(&key, message).as_ref().to_vec())
            }
            (None, _) => None,
        }
    }
}

fn read_pem(mut text: &[u8]) -> Result<(Material, Option<Signing>), KeyError> {
    while let Ok(Some((kind, der))) = pem::from_buf(&mut text) {
        return match kind {
            SectionKind::PublicKey => Ok((Material::public(&der)?, None)),
            SectionKind::Certificate => Ok((Material::certificate(&der)?, None)),
            SectionKind::RsaPrivateKey | SectionKind::PrivateKey | SectionKind::EcPrivateKey => {
                private(&der)
            }
            // `openssl ecparam` puts the curve's name before the key.
            _ => continue,
        };
    }
    Err(KeyError::NoPem)
}

/// Only a public key or certificate, as key servers give out.
pub(crate) fn public_pem(mut text: &[u8]) -> Result<Material, KeyError> {
    while let Ok(Some((kind, der))) = pem::from_buf(&mut text) {
        match kind {
            SectionKind::PublicKey => return Material::public(&der),
            SectionKind::Certificate => return Material::certificate(&der),
            _ => {}
        }
    }
    Err(KeyError::NoPem)
}

fn private(der: &[u8]) -> Result<(Material, Option<Signing>), KeyError> {
    if let Ok(pair) = RsaKeyPair::from_pkcs8(der).or_else(|_| RsaKeyPair::from_der(der)) {
        let material = Material::public(pair.public_key().as_ref())?;
        return Ok((material, Some(Signing::Rsa(Box::new(pair)))));
    }
    let pair = EcdsaKeyPair::from_private_key_der(&lc::ECDSA_P256_SHA256_FIXED_SIGNING, der)
        .map_err(|_| KeyError::Unreadable)?;
    let material = Material::public(pair.public_key().as_ref())?;
    Ok((material, Some(Signing::Ec(Box::new(pair)))))
}

/// The lower-case hexadecimal SHA-256 of a text.
pub(crate) fn sha256_hex(text: &str) -> String {
    digest::digest(&digest::SHA256, text.as_bytes())
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
