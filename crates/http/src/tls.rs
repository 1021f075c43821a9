//! HTTPS with a certificate of our own making: browsers warn once, but then give camera and
//! microphone to a page in the local network, which over plain HTTP they never do.

use crate::metrics::Metrics;
use crate::settings::CertificateStore;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};
use time::OffsetDateTime;

/// How long a certificate is good for: less than the 398 days beyond which browsers refuse one.
const LIFETIME: Duration = Duration::from_secs(365 * 24 * 3600);
/// It is replaced when no more than this is left.
const RENEW_BEFORE: Duration = Duration::from_secs(30 * 24 * 3600);

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// It cannot be read or kept.
    #[error("the certificate for HTTPS cannot be kept: {0}")]
    Store(#[from] std::io::Error),
    /// It cannot be made.
    #[error("the certificate for HTTPS cannot be made: {0}")]
    Make(#[from] rcgen::Error),
    /// It, or the TLS set-up around it, is not accepted.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
}

/// A certificate with what it was made for. As a file: two lines of ours, then PEM.
struct Kept {
    expires: SystemTime,
    names: BTreeSet<String>,
    key: Arc<CertifiedKey>,
}

/// The certificate in use; it can be replaced while connections come in.
pub(crate) struct Certificates {
    current: RwLock<Kept>,
    store: Arc<dyn CertificateStore>,
    names: BTreeSet<String>,
    metrics: Metrics,
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates")
            .field("names", &self.names)
            .finish_non_exhaustive()
    }
}

impl Certificates {
    /// Takes the kept certificate if it is still good for `names`, else makes one.
    pub(crate) fn open(
        store: Arc<dyn CertificateStore>,
        names: &[String],
        metrics: Metrics,
        now: SystemTime,
    ) -> Result<Self, CertificateError> {
        let mut names: BTreeSet<String> = names.iter().cloned().collect();
        for local in ["localhost", "127.0.0.1", "::1"] {
            names.insert(local.to_owned());
        }
        let kept = match store.load()?.as_deref().and_then(read) {
            Some(kept) if is_good(&kept, &names, now) => kept,
            _ => make_and_keep(&*store, &names, now)?,
        };
        set_expiry(&metrics, kept.expires);
        Ok(Self {
            current: RwLock::new(kept),
            store,
            names,
            metrics,
        })
    }

    /// Replaces the certificate when it is near its end; to be called now and then.
    pub(crate) fn renew(&self, now: SystemTime) -> Result<(), CertificateError> {
        if is_good(
            &self.current.read().unwrap_or_else(PoisonError::into_inner),
            &self.names,
            now,
        ) {
            return Ok(());
        }
        let fresh = make_and_keep(&*self.store, &self.names, now)?;
        set_expiry(&self.metrics, fresh.expires);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        tracing::info!("certificate for HTTPS renewed");
        Ok(())
    }

    fn current(&self) -> Arc<CertifiedKey> {
        let kept = self.current.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&kept.key)
    }
}

impl ResolvesServerCert for Certificates {
    /// One certificate for every name: who opens us by an address sends none.
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current())
    }
}

/// What a TLS listener needs. HTTP/1.1 only: WebSockets are what it is for.
pub(crate) fn server_config(
    certificates: Arc<Certificates>,
) -> Result<Arc<ServerConfig>, CertificateError> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(certificates);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn set_expiry(metrics: &Metrics, expires: SystemTime) {
    let seconds = unix_seconds(expires);
    metrics
        .certificate_expiry
        .set(i64::try_from(seconds).unwrap_or(i64::MAX));
}

fn unix_seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

fn is_good(kept: &Kept, names: &BTreeSet<String>, now: SystemTime) -> bool {
    // IPv6 addresses come and go daily; a new certificate each time, with its warning, would help
    // nobody.
    let missing = names
        .iter()
        .any(|name| !name.contains(':') && !kept.names.contains(name));
    !missing && kept.expires > now + RENEW_BEFORE
}

fn make_and_keep(
    store: &dyn CertificateStore,
    names: &BTreeSet<String>,
    now: SystemTime,
) -> Result<Kept, CertificateError> {
    let text = make(names, now)?;
    let kept = read(text.as_bytes())
        .ok_or_else(|| rustls::Error::General("a fresh certificate is not understood".into()))?;
    store.save(text.as_bytes())?;
    Ok(kept)
}

fn make(names: &BTreeSet<String>, now: SystemTime) -> Result<String, rcgen::Error> {
    let names: Vec<String> = names.iter().cloned().collect();
    let mut parameters = rcgen::CertificateParams::new(names.clone())?;
    let mut subject = rcgen::DistinguishedName::new();
    subject.push(rcgen::DnType::CommonName, "Althing (self-signed)");
    parameters.distinguished_name = subject;
    // Clients whose clock is a little behind should not find it in the future.
    parameters.not_before = OffsetDateTime::from(now - Duration::from_secs(24 * 3600));
    parameters.not_after = OffsetDateTime::from(now + LIFETIME);
    parameters.key_usages = vec![rcgen::KeyUsagePurpose::DigitalSignature];
    parameters.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    let key = rcgen::KeyPair::generate()?;
    let certificate = parameters.self_signed(&key)?;
    Ok(format!(
        "Made by Althing for itself, and replaced before it expires.\n\
         expires {}\nnames {}\n{}{}",
        unix_seconds(now + LIFETIME),
        names.join(" "),
        certificate.pem(),
        key.serialize_pem(),
    ))
}

/// Reads what [`make`] wrote; `None` when it is anything else, which is then replaced.
fn read(file: &[u8]) -> Option<Kept> {
    let text = std::str::from_utf8(file).ok()?;
    let field = |name: &str| {
        text.lines()
            .take(3)
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))
    };
    let expires = field("expires")?.parse().ok()?;
    let names = field("names")?
        .split_whitespace()
        .map(str::to_owned)
        .collect();
    let chain: Vec<_> = CertificateDer::pem_slice_iter(file)
        .collect::<Result<_, _>>()
        .ok()?;
    let key = PrivateKeyDer::from_pem_slice(file).ok()?;
    let key = CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider()).ok()?;
    Some(Kept {
        expires: SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(expires))?,
        names,
        key: Arc::new(key),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[derive(Debug, Default)]
    struct Memory(Mutex<(Option<Vec<u8>>, usize)>);

    impl CertificateStore for Memory {
        fn load(&self) -> std::io::Result<Option<Vec<u8>>> {
            Ok(self.0.lock().unwrap().0.clone())
        }
        fn save(&self, content: &[u8]) -> std::io::Result<()> {
            let mut kept = self.0.lock().unwrap();
            kept.0 = Some(content.to_vec());
            kept.1 += 1;
            Ok(())
        }
    }

    /// How often a certificate was made after opening with each set of names at each day.
    fn check(openings: &[(&[&str], u64)], made: usize) {
        let store = Arc::new(Memory::default());
        for (names, day) in openings {
            let names: Vec<String> = names.iter().map(|n| (*n).to_owned()).collect();
            let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + day * 86_400);
            Certificates::open(store.clone(), &names, Metrics::default(), now).unwrap();
        }
        assert_eq!(store.0.lock().unwrap().1, made, "{openings:?}");
    }

    #[test]
    fn a_certificate_is_kept_until_it_is_needed_anew() {
        check(
            &[(&["host", "192.0.2.1"], 0), (&["host", "192.0.2.1"], 300)],
            1,
        );
        // Near its end.
        check(&[(&[], 0), (&[], 336)], 2);
        // A new address, but not a new IPv6 address, nor one less.
        check(&[(&["192.0.2.1"], 0), (&["192.0.2.2"], 0)], 2);
        check(
            &[(&["192.0.2.1", "2001:db8::1"], 0), (&["2001:db8::2"], 0)],
            1,
        );
    }

    #[test]
    fn what_is_no_certificate_is_replaced() {
        let store = Arc::new(Memory::default());
        store
            .save(b"expires 99999999999\nnames localhost\ngarbage")
            .unwrap();
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let metrics = Metrics::default();
        Certificates::open(store.clone(), &[], metrics.clone(), now).unwrap();
        assert_eq!(store.0.lock().unwrap().1, 2);
        assert_eq!(
            metrics.certificate_expiry.get(),
            1_700_000_000 + 365 * 86_400
        );
    }

    #[test]
    fn it_is_renewed_while_running() {
        let store = Arc::new(Memory::default());
        let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let certificates = Certificates::open(store, &[], Metrics::default(), start).unwrap();
        let first = certificates.current();
        certificates.renew(start).unwrap();
        assert_eq!(certificates.current().cert, first.cert);
        certificates.renew(start + LIFETIME - RENEW_BEFORE).unwrap();
        assert_ne!(certificates.current().cert, first.cert);
    }
}
