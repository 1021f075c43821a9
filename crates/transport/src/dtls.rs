use crate::goodbye::{self, Record, TheirKey};
use crate::srtp::{Side, Srtp, SrtpProfile};
use crate::{Certificate, DtlsRole, FailureReason, Fingerprint};
use std::fmt;
use std::time::{Duration, Instant};

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
    theirs: Option<TheirKey>,
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
            theirs: None,
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
            goodbye::noted();
            let handled = self.inner.handle_packet(datagram);
            self.theirs = goodbye::noted().or_else(|| self.theirs.take());
            handled.map_err(failure)?;
            self.drain(out)?;
        }
        Ok(())
    }

    /// Ends a handshake that has given keys; `flight` is what was sent since.
    pub(crate) fn finish(mut self, flight: Vec<Vec<u8>>) -> Finished {
        let mut sealed = Vec::new();
        // Sealed in advance. If that goes wrong, consent ends it on the other side.
        if self.inner.close().is_ok() && self.drain(&mut sealed).is_err() {
            sealed.clear();
        }
        let goodbye = sealed.into_iter().find_map(|output| match output {
            DtlsOutput::Transmit(record) => Some(record),
            DtlsOutput::Keys(_) | DtlsOutput::Closed => None,
        });
        Finished {
            flight: flight.into_iter().map(Vec::into_boxed_slice).collect(),
            repeated: None,
            goodbye: goodbye.map(Vec::into_boxed_slice),
            theirs: self.theirs,
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

/// The handshake records of a side that misses our last flight.
const CHANGE_CIPHER_SPEC: u8 = 20;
const HANDSHAKE: u8 = 22;
/// A datagram has a few; whoever puts in more is not worth the time.
const MOST_RECORDS: usize = 16;
/// They come as several datagrams, answered together; the next come after 50 ms at the earliest.
const REPEAT_AFTER: Duration = Duration::from_millis(40);

/// What is left of a handshake once there are keys: all that DTLS is needed for from then on.
/// Some 400 bytes, where the connection has 13 kB, and most endpoints are idle most of the time.
#[derive(Debug)]
pub(crate) struct Finished {
    /// Our last flight, if the other side waits for it: it may not have come (RFC 6347 §4.2.4).
    /// Repeated as it was, since whoever has seen it discards it.
    flight: Box<[Box<[u8]>]>,
    repeated: Option<Instant>,
    goodbye: Option<Box<[u8]>>,
    theirs: Option<TheirKey>,
}

/// What a datagram after the handshake asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Afterwards {
    Nothing,
    /// Our last flight again.
    Repeat(Vec<Vec<u8>>),
    Closed,
}

impl Finished {
    /// Takes in a datagram.
    pub(crate) fn handle(&mut self, now: Instant, datagram: &[u8]) -> Afterwards {
        let mut misses_flight = false;
        for record in Record::all(datagram).take(MOST_RECORDS) {
            if self
                .theirs
                .as_ref()
                .is_some_and(|key| key.is_goodbye(&record))
            {
                return Afterwards::Closed;
            }
            misses_flight |= matches!(record.kind, CHANGE_CIPHER_SPEC | HANDSHAKE);
        }
        let rested = self
            .repeated
            .is_none_or(|at| now.saturating_duration_since(at) >= REPEAT_AFTER);
        if !misses_flight || !rested || self.flight.is_empty() {
            return Afterwards::Nothing;
        }
        self.repeated = Some(now);
        Afterwards::Repeat(self.flight.iter().map(|record| record.to_vec()).collect())
    }

    /// Our goodbye.
    pub(crate) fn into_goodbye(self) -> Option<Vec<u8>> {
        self.goodbye.map(Vec::from)
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
