//! Tokens and keys for tests.

use crate::key::LocalKey;
use crate::token;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use std::sync::LazyLock;

/// A time to be at.
pub(crate) const NOW: u64 = 1_800_000_000;
pub(crate) const SECRET: &str = "5c1e5a5a0f0f4e0b9d9d1b7e3a3a7c7c";

/// An asymmetric key in every form.
pub(crate) struct Pair {
    pub(crate) private: String,
    pub(crate) public: String,
    pub(crate) certificate: String,
    pub(crate) public_raw: Vec<u8>,
}

impl Pair {
    fn new(key: &rcgen::KeyPair) -> Self {
        let certificate = rcgen::CertificateParams::new(vec!["keys.example".to_owned()])
            .unwrap()
            .self_signed(key)
            .unwrap();
        Self {
            private: key.serialize_pem(),
            public: key.public_key_pem(),
            certificate: certificate.pem(),
            public_raw: key.public_key_raw().to_vec(),
        }
    }

    pub(crate) fn rsa_jwk(&self, kid: &str) -> Value {
        // RSAPublicKey of 2048 bits: SEQUENCE, INTEGER n with a zero before it, INTEGER 65537.
        let (n, e) = (&self.public_raw[9..265], &self.public_raw[267..]);
        assert_eq!(e, [1, 0, 1]);
        let encode = |bytes| URL_SAFE_NO_PAD.encode(bytes);
        json!({ "kty": "RSA", "use": "sig", "alg": "RS256", "kid": kid, "n": encode(n), "e": encode(e) })
    }

    pub(crate) fn ec_jwk(&self, kid: &str) -> Value {
        let encode = |bytes| URL_SAFE_NO_PAD.encode(bytes);
        let (x, y) = (&self.public_raw[1..33], &self.public_raw[33..]);
        json!({ "kty": "EC", "crv": "P-256", "kid": kid, "x": encode(x), "y": encode(y) })
    }
}

pub(crate) static RSA: LazyLock<Pair> = LazyLock::new(rsa);
pub(crate) static OTHER_RSA: LazyLock<Pair> = LazyLock::new(rsa);
pub(crate) static EC: LazyLock<Pair> =
    LazyLock::new(|| Pair::new(&rcgen::KeyPair::generate().unwrap()));

fn rsa() -> Pair {
    Pair::new(&rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap())
}

/// What a token must say by the default rules.
pub(crate) fn claims() -> Value {
    json!({ "iss": "portal", "aud": "jitsi", "room": "Lobby", "exp": NOW + 60 })
}

/// A token signed by a secret or a private PEM.
#[expect(
    clippy::needless_pass_by_value,
    reason = "cases are written where they are used"
)]
pub(crate) fn token(key: &str, header: Value, claims: &Value) -> String {
    let algorithm = header["alg"].as_str().unwrap().parse().unwrap();
    let key = if key.starts_with("-----") {
        LocalKey::pem(key, vec![algorithm], None)
    } else {
        LocalKey::secret(althing_model::Secret::new(key), vec![algorithm], None)
    };
    let unsigned = token::unsigned(&header, claims);
    let signature = key.unwrap().sign(unsigned.as_bytes()).unwrap();
    token::signed(&unsigned, &signature)
}

pub(crate) fn header(algorithm: &str) -> Value {
    json!({ "typ": "JWT", "alg": algorithm })
}

pub(crate) fn named(algorithm: &str, kid: &str) -> Value {
    json!({ "typ": "JWT", "alg": algorithm, "kid": kid })
}
