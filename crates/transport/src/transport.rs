use crate::dtls::{Afterwards, Dtls, DtlsOutput, Finished};
use crate::ice::{Ice, IceFailure, IceOutput};
use crate::srtp::Srtp;
use crate::{
    Certificate, DatagramKind, DropCounters, DropReason, DtlsRole, Error, Event, FailureReason,
    Fingerprint, HANDSHAKE_TIMEOUT, Output, Path, Received, RemoteParameters, SealError, Settings,
    SrtpProfile, Stats, Via, classify,
};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// DTLS datagrams kept until there is a path to answer by, and the size beyond which none is.
const MAX_EARLY_DTLS: usize = 8;
const MAX_DTLS_DATAGRAM: usize = 2048;

/// One WebRTC endpoint: ICE, DTLS and SRTP.
///
/// `handle_*` and `set_*` take the world in; then drain [`poll`](Self::poll) and ask
/// [`next_timeout`](Self::next_timeout). Both are cheap; after RTP and RTCP there is nearly always
/// nothing to poll, and the timeout stays.
#[derive(Debug)]
pub struct Transport {
    certificate: Arc<Certificate>,
    role: DtlsRole,
    fingerprints: Vec<Fingerprint>,
    ice: Ice,
    phase: Phase,
    outputs: VecDeque<Output>,
    timeout: Option<Instant>,
    last_activity: Instant,
    drops: DropCounters,
}

#[derive(Debug)]
enum Phase {
    /// No path yet; what DTLS came meanwhile.
    Searching { early: Vec<Vec<u8>> },
    /// A path, no keys.
    Handshaking { dtls: Box<Dtls>, deadline: Instant },
    /// Keys. What is left of DTLS repeats its last flight and hears a goodbye.
    Connected {
        dtls: Option<Box<Finished>>,
        srtp: Box<Srtp>,
    },
    /// Failed or closed.
    Ended,
}

impl Transport {
    /// A transport that knows only its own side.
    #[must_use]
    pub fn new(settings: Settings, now: Instant) -> Self {
        Self {
            ice: Ice::new(&settings, now),
            certificate: settings.certificate,
            role: settings.dtls,
            fingerprints: Vec::new(),
            phase: Phase::Searching { early: Vec::new() },
            outputs: VecDeque::new(),
            timeout: None,
            last_activity: now,
            drops: DropCounters::default(),
        }
    }

    /// Tells it the other side, once; later calls with the same credentials and fingerprints may
    /// add candidates.
    ///
    /// # Errors
    /// [`Error::NoFingerprint`] or [`Error::Credentials`] when the parameters make no sense,
    /// [`Error::RemoteChanged`] when they contradict earlier ones, [`Error::Closed`] when it is
    /// over. Nothing is changed then.
    pub fn set_remote(&mut self, now: Instant, remote: RemoteParameters) -> Result<(), Error> {
        if matches!(self.phase, Phase::Ended) {
            return Err(Error::Closed);
        }
        if remote.fingerprints.is_empty() {
            return Err(Error::NoFingerprint);
        }
        self.ice.accepts(&remote.credentials)?;
        if !self.fingerprints.is_empty() && self.fingerprints != remote.fingerprints {
            return Err(Error::RemoteChanged);
        }
        self.ice.set_remote(now, &remote);
        self.fingerprints = remote.fingerprints;
        self.advance(now);
        Ok(())
    }

    /// An address of ours to be reached at by UDP, for a side that sends the first check. A side
    /// that waits learns its addresses from the checks that arrive. At most eight are used.
    pub fn add_local(&mut self, address: SocketAddr) {
        self.ice.add_local(Via::Udp, address);
    }

    /// Takes in a datagram. RTP and RTCP are decrypted where they lie; what is dropped may have
    /// been overwritten.
    pub fn handle_datagram<'a>(
        &mut self,
        now: Instant,
        path: Path,
        datagram: &'a mut [u8],
    ) -> Received<'a> {
        let result = match classify(datagram) {
            DatagramKind::Rtp => return self.handle_media(now, path, datagram, Media::Rtp),
            DatagramKind::Rtcp => return self.handle_media(now, path, datagram, Media::Rtcp),
            DatagramKind::Stun => self.handle_stun(now, path, datagram),
            DatagramKind::Dtls => self.handle_dtls(now, path, datagram),
            DatagramKind::Other => Err(DropReason::Unclassified),
        };
        match result {
            Ok(()) => Received::Handled,
            Err(reason) => self.drop_datagram(reason),
        }
    }

    fn handle_media<'a>(
        &mut self,
        now: Instant,
        path: Path,
        datagram: &'a mut [u8],
        media: Media,
    ) -> Received<'a> {
        if !self.ice.knows(path) {
            return self.drop_datagram(self.unless_ended(DropReason::UnknownPath));
        }
        let Phase::Connected { srtp, .. } = &mut self.phase else {
            return self.drop_datagram(self.unless_ended(DropReason::NoKeys));
        };
        let opened = match media {
            Media::Rtp => srtp.open_rtp(datagram),
            Media::Rtcp => srtp.open_rtcp(datagram),
        };
        match opened {
            Ok(length) => {
                self.last_activity = now;
                if self.ice.selected() != Some(path) {
                    self.ice.hear(now, path);
                    self.advance(now);
                } else {
                    self.ice.hear(now, path);
                }
                let plain = &mut datagram[..length];
                match media {
                    Media::Rtp => Received::Rtp(plain),
                    Media::Rtcp => Received::Rtcp(plain),
                }
            }
            Err(reason) => self.drop_datagram(reason),
        }
    }

    fn handle_stun(&mut self, now: Instant, path: Path, datagram: &[u8]) -> Result<(), DropReason> {
        if matches!(self.phase, Phase::Ended) {
            return Err(DropReason::Closed);
        }
        let result = self.ice.handle_stun(now, path, datagram);
        if result.is_ok() {
            self.last_activity = now;
        }
        self.advance(now);
        result
    }

    fn handle_dtls(&mut self, now: Instant, path: Path, datagram: &[u8]) -> Result<(), DropReason> {
        if !self.ice.knows(path) {
            return Err(self.unless_ended(DropReason::UnknownPath));
        }
        match &mut self.phase {
            Phase::Searching { early } => {
                if early.len() == MAX_EARLY_DTLS || datagram.len() > MAX_DTLS_DATAGRAM {
                    return Err(DropReason::DtlsTooEarly);
                }
                early.push(datagram.to_vec());
            }
            Phase::Handshaking { .. } => {
                self.run_dtls(now, Some(datagram));
                self.advance(now);
            }
            Phase::Connected { dtls, .. } => {
                let asked = dtls.as_mut().map(|dtls| dtls.handle(now, datagram));
                match asked {
                    Some(Afterwards::Repeat(flight)) => {
                        flight.into_iter().for_each(|d| self.transmit_dtls(d));
                    }
                    Some(Afterwards::Closed) => {
                        self.event(Event::Closed);
                        self.phase = Phase::Ended;
                    }
                    Some(Afterwards::Nothing) | None => {}
                }
                self.advance(now);
            }
            Phase::Ended => return Err(DropReason::Closed),
        }
        Ok(())
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        if matches!(self.phase, Phase::Ended) {
            return;
        }
        self.ice.handle_timeout(now);
        let dtls_due = match &self.phase {
            Phase::Handshaking { dtls, .. } => dtls.next_timeout().is_some_and(|at| now >= at),
            Phase::Connected { .. } | Phase::Searching { .. } | Phase::Ended => false,
        };
        if dtls_due {
            self.run_dtls(now, None);
        }
        self.advance(now);
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called. Dense (50 ms) while a
    /// path is sought, a few seconds apart afterwards; `None` before the other side is known and
    /// after the end.
    #[must_use]
    pub const fn next_timeout(&self) -> Option<Instant> {
        self.timeout
    }

    /// What is to be done; call it until `None` after anything else.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Ends it: says goodbye by DTLS and drops the keys.
    pub fn close(&mut self, _now: Instant) {
        let phase = std::mem::replace(&mut self.phase, Phase::Ended);
        if let Phase::Connected {
            dtls: Some(dtls), ..
        } = phase
            && let Some(goodbye) = dtls.into_goodbye()
        {
            self.transmit_dtls(goodbye);
        }
        self.timeout = None;
    }

    /// Whether something authenticated has come by this path: datagrams on it may be this
    /// endpoint's.
    #[must_use]
    pub fn knows(&self, path: Path) -> bool {
        !matches!(self.phase, Phase::Ended) && self.ice.knows(path)
    }

    /// The path media goes by.
    #[must_use]
    pub const fn path(&self) -> Option<Path> {
        match self.phase {
            Phase::Ended => None,
            _ => self.ice.selected(),
        }
    }

    /// Whether media can be sealed and has a path to go by.
    #[must_use]
    pub const fn is_connected(&self) -> bool {
        matches!(self.phase, Phase::Connected { .. })
    }

    /// When something authenticated last arrived; the time of birth before that.
    #[must_use]
    pub const fn last_activity(&self) -> Instant {
        self.last_activity
    }

    /// Round trip of the latest answered check on the media path.
    #[must_use]
    pub fn rtt(&self) -> Option<Duration> {
        self.ice.rtt()
    }

    /// What media is sealed with.
    #[must_use]
    pub const fn profile(&self) -> Option<SrtpProfile> {
        match &self.phase {
            Phase::Connected { srtp, .. } => Some(srtp.profile()),
            _ => None,
        }
    }

    /// Whether its keys have sealed almost as many sources as they may in their life, about 90,000:
    /// it should be replaced by another before they refuse new ones.
    #[must_use]
    pub fn is_worn_out(&self) -> bool {
        matches!(&self.phase, Phase::Connected { srtp, .. } if srtp.is_worn_out())
    }

    /// Numbers about it.
    #[must_use]
    pub fn stats(&self) -> Stats {
        Stats {
            path: self.path(),
            rtt: self.rtt(),
            profile: self.profile(),
            drops: self.drops,
        }
    }

    /// Seals an RTP packet in place; returns its length on the wire.
    ///
    /// `buffer` holds `header_len` bytes of header (extensions included), payload up to
    /// `plain_len`, and at least [`SRTP_OVERHEAD`](crate::SRTP_OVERHEAD) spare bytes. A sequence
    /// number can be sealed once per SSRC, and up to 1,024 behind the newest.
    ///
    /// # Errors
    /// [`SealError`]; the buffer is then unchanged.
    pub fn seal_rtp(
        &mut self,
        buffer: &mut [u8],
        header_len: usize,
        plain_len: usize,
    ) -> Result<usize, SealError> {
        match &mut self.phase {
            Phase::Connected { srtp, .. } => srtp.seal_rtp(buffer, header_len, plain_len),
            _ => Err(SealError::NotConnected),
        }
    }

    /// Seals a compound RTCP packet in place; returns its length on the wire. Leave
    /// [`SRTP_OVERHEAD`](crate::SRTP_OVERHEAD) spare bytes behind `plain_len`.
    ///
    /// # Errors
    /// [`SealError`]; the buffer is then unchanged.
    pub fn seal_rtcp(&mut self, buffer: &mut [u8], plain_len: usize) -> Result<usize, SealError> {
        match &mut self.phase {
            Phase::Connected { srtp, .. } => srtp.seal_rtcp(buffer, plain_len),
            _ => Err(SealError::NotConnected),
        }
    }

    /// Carries what ICE found out into outputs and phases, then looks at the clock.
    fn advance(&mut self, now: Instant) {
        while let Some(output) = self.ice.poll() {
            match output {
                IceOutput::Transmit { path, payload } => {
                    self.outputs.push_back(Output::Transmit { path, payload });
                }
                IceOutput::Verified(path) => self.event(Event::PathVerified(path)),
                IceOutput::Selected(path) => {
                    self.event(Event::PathSelected(path));
                    self.begin_handshake(now);
                }
            }
        }
        if let Some(failure) = self.ice.failure(now) {
            self.fail(match failure {
                IceFailure::NoPath => FailureReason::Ice,
                IceFailure::Consent => FailureReason::Consent,
            });
        }
        if let Phase::Handshaking { deadline, .. } = &self.phase
            && now >= *deadline
        {
            self.fail(FailureReason::DtlsTimeout);
        }
        self.timeout = self.soonest();
    }

    fn soonest(&mut self) -> Option<Instant> {
        let (dtls, deadline) = match &self.phase {
            Phase::Ended => return None,
            Phase::Searching { .. } | Phase::Connected { .. } => (None, None),
            Phase::Handshaking { dtls, deadline } => (dtls.next_timeout(), Some(*deadline)),
        };
        let ice = self.ice.next_timeout();
        [ice, dtls, deadline].into_iter().flatten().min()
    }

    fn begin_handshake(&mut self, now: Instant) {
        let Phase::Searching { early } = &mut self.phase else {
            return;
        };
        let early = std::mem::take(early);
        let fingerprints = self.fingerprints.clone();
        let dtls = Dtls::new(&self.certificate, self.role, fingerprints, now);
        self.phase = Phase::Handshaking {
            dtls: Box::new(dtls),
            deadline: now + HANDSHAKE_TIMEOUT,
        };
        self.run_dtls(now, None);
        for datagram in early {
            self.run_dtls(now, Some(&datagram));
        }
    }

    fn run_dtls(&mut self, now: Instant, datagram: Option<&[u8]>) {
        let Phase::Handshaking { dtls, .. } = &mut self.phase else {
            return;
        };
        let mut out = Vec::new();
        let result = dtls.handle(now, datagram, &mut out);
        let mut keys = None;
        let mut flight = Vec::new();
        for output in out {
            match output {
                DtlsOutput::Transmit(payload) => {
                    if keys.is_some() && self.role == DtlsRole::Server {
                        flight.push(payload.clone());
                    }
                    self.transmit_dtls(payload);
                }
                DtlsOutput::Keys(srtp) => keys = Some(srtp),
                DtlsOutput::Closed => {
                    self.event(Event::Closed);
                    self.phase = Phase::Ended;
                }
            }
        }
        match (result, keys) {
            // Whatever came behind the keys: media needs DTLS no more.
            (_, Some(srtp)) => self.connect(srtp, flight),
            (Err(reason), None) => self.fail(reason),
            (Ok(()), None) => {}
        }
    }

    /// `flight` is what the other side may ask for again.
    fn connect(&mut self, srtp: Box<Srtp>, flight: Vec<Vec<u8>>) {
        let profile = srtp.profile();
        let phase = std::mem::replace(&mut self.phase, Phase::Ended);
        if let Phase::Handshaking { dtls, .. } = phase {
            let dtls = Some(Box::new(dtls.finish(flight)));
            self.phase = Phase::Connected { dtls, srtp };
            self.event(Event::Connected { profile });
        }
    }

    /// Keys without a handshake, for the fuzzer.
    pub(crate) fn install_keys(&mut self, srtp: Srtp) {
        self.phase = Phase::Connected {
            dtls: None,
            srtp: Box::new(srtp),
        };
    }

    fn transmit_dtls(&mut self, payload: Vec<u8>) {
        if let Some(path) = self.ice.selected() {
            self.outputs.push_back(Output::Transmit { path, payload });
        }
    }

    fn fail(&mut self, reason: FailureReason) {
        if !matches!(self.phase, Phase::Ended) {
            self.phase = Phase::Ended;
            self.event(Event::Failed(reason));
        }
    }

    fn event(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    const fn unless_ended(&self, reason: DropReason) -> DropReason {
        match self.phase {
            Phase::Ended => DropReason::Closed,
            _ => reason,
        }
    }

    const fn drop_datagram<'a>(&mut self, reason: DropReason) -> Received<'a> {
        self.drops.count(reason);
        Received::Dropped(reason)
    }
}

#[derive(Debug, Clone, Copy)]
enum Media {
    Rtp,
    Rtcp,
}
