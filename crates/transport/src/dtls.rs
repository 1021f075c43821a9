use crate::srtp::{Side, Srtp, SrtpProfile};
use crate::{Certificate, DtlsRole, FailureReason, Fingerprint};
use std::fmt;
use std::time::Instant;

/// What a handshake led to.
#[derive(Debug)]
pub(crate) enum DtlsOutput {
    Transmit(Vec<u8>),
    Keys(Box<Srtp>),
    Closed,
}

/// A DTLS 1.2 connection that ends at the keys: 1.2, because there the server chooses the SRTP
/// profile and takes AES-GCM (measured: FOUNDATIONS §1).
pub(crate) struct Dtls {
    inner: dimpl::Dtls,
    role: DtlsRole,
    fingerprints: Vec<Fingerprint>,
    recognised: bool,
    buffer: Vec<u8>,
    timeout: Option<Instant>,
}

/// One record of the usual size; it grows when asked to.
const BUFFER: usize = 1200;
/// No record is longer than that.
const MAX_BUFFER: usize = 1 << 16;

impl fmt::Debug for Dtls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dtls")
            .field("role", &self.role)
            .field("recognised", &self.recognised)
            .finish_non_exhaustive()
    }
}

impl Dtls {
    pub(crate) fn new(
        certificate: &Certificate,
        role: DtlsRole,
        fingerprints: Vec<Fingerprint>,
        now: Instant,
    ) -> Self {
        let mut inner = dimpl::Dtls::new_12(certificate.config(), certificate.pair(), now);
        inner.set_active(role == DtlsRole::Client);
        Self {
            inner,
            role,
            fingerprints,
            recognised: false,
            buffer: vec![0; BUFFER],
            timeout: None,
        }
    }

    /// Takes in a datagram of DTLS records, or only the time.
    pub(crate) fn handle(
        &mut self,
        now: Instant,
        datagram: Option<&[u8]>,
        out: &mut Vec<DtlsOutput>,
    ) -> Result<(), FailureReason> {
        self.inner.handle_timeout(now).map_err(failure)?;
        self.drain(out)?;
        if let Some(datagram) = datagram {
            self.inner.handle_packet(datagram).map_err(failure)?;
            self.drain(out)?;
        }
        Ok(())
    }

    /// Says goodbye.
    pub(crate) fn close(&mut self, out: &mut Vec<DtlsOutput>) {
        if self.inner.close().is_ok() {
            // Whatever goes wrong now, it is over anyway.
            let _ = self.drain(out);
        }
    }

    pub(crate) const fn next_timeout(&self) -> Option<Instant> {
        self.timeout
    }

    fn drain(&mut self, out: &mut Vec<DtlsOutput>) -> Result<(), FailureReason> {
        loop {
            match self.inner.poll_output(&mut self.buffer) {
                dimpl::Output::Packet(record) => out.push(DtlsOutput::Transmit(record.to_vec())),
                dimpl::Output::BufferTooSmall { needed } => {
                    if needed > MAX_BUFFER {
                        return Err(FailureReason::Dtls);
                    }
                    self.buffer.resize(needed, 0);
                }
                dimpl::Output::PeerCert(der) => {
                    self.recognised = self.fingerprints.iter().any(|f| f.matches(der));
                    if !self.recognised {
                        return Err(FailureReason::Fingerprint);
                    }
                }
                dimpl::Output::KeyingMaterial(material, profile) => {
                    if !self.recognised {
                        return Err(FailureReason::Fingerprint);
                    }
                    let ours = match self.role {
                        DtlsRole::Client => Side::Client,
                        DtlsRole::Server => Side::Server,
                    };
                    let keys = SrtpProfile::from_dtls(profile)
                        .and_then(|profile| Srtp::new(profile, &material, ours))
                        .ok_or(FailureReason::Dtls)?;
                    out.push(DtlsOutput::Keys(Box::new(keys)));
                }
                dimpl::Output::CloseNotify => out.push(DtlsOutput::Closed),
                dimpl::Output::Timeout(at) => {
                    self.timeout = Some(at);
                    return Ok(());
                }
                // Nothing is sent inside of DTLS: there are no data channels.
                _ => {}
            }
        }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "used with map_err")]
fn failure(error: dimpl::Error) -> FailureReason {
    tracing::debug!(%error, "DTLS failed");
    match error {
        dimpl::Error::Timeout(_) => FailureReason::DtlsTimeout,
        _ => FailureReason::Dtls,
    }
}
