use crate::stun::{self, Class, HmacProvider, Message};
use crate::{DropReason, Error, IceCredentials, Path, RemoteParameters, Settings, Via};
use is::stun::{StunMessage, StunPacket};
use is::{Candidate, IceAgent, IceAgentEvent, IceCreds};
use std::collections::VecDeque;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

/// Local addresses one endpoint is reached at.
const MAX_LOCALS: usize = 8;
/// Verified paths remembered at a time; the oldest must verify itself again.
const MAX_PATHS: usize = 32;
/// Paths that may verify themselves in a burst, one more every [`NEW_PATH_EVERY`], and ever: the
/// agent keeps what it learns of each.
const NEW_PATHS_BURST: u32 = 16;
const NEW_PATH_EVERY: Duration = Duration::from_secs(5);
const NEW_PATHS_EVER: u32 = 512;
/// Our own addresses as the other side sees them; the agent keeps each.
const MAX_MAPPED: usize = 16;
/// Paths whose check waits for the other side to be signalled.
const MAX_EARLY: usize = 8;
/// The agent writes `remote:local` as one string and takes no more than this.
const MAX_USERNAME: usize = 128;
/// How long a path may take to be found, and how long checks may go unanswered (RFC 7675 §5.1).
const PATIENCE: Duration = Duration::from_secs(30);

/// How long the selected path must have been silent before media on another may move it.
const SILENCE: Duration = Duration::from_secs(1);

/// What connectivity checks led to.
#[derive(Debug)]
pub(crate) enum IceOutput {
    Transmit { path: Path, payload: Vec<u8> },
    Verified(Path),
    Selected(Path),
}

/// Why connectivity ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IceFailure {
    NoPath,
    Consent,
}

/// A full ICE agent, guarded: it sees authenticated messages only, and learns a bounded number
/// of addresses.
pub(crate) struct Ice {
    agent: IceAgent,
    local: IceCredentials,
    remote: Option<IceCredentials>,
    controlling: bool,
    locals: Vec<(Via, SocketAddr)>,
    mapped: Vec<SocketAddr>,
    paths: VecDeque<Path>,
    new_paths: Allowance,
    early: Vec<(Path, Vec<u8>)>,
    selected: Option<Path>,
    /// When something authentic last came by the selected path.
    heard: Instant,
    /// When patience ends, once the other side is known.
    deadline: Option<Instant>,
    outputs: VecDeque<IceOutput>,
}

/// The agent would print passwords and addresses.
impl fmt::Debug for Ice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ice")
            .field("controlling", &self.controlling)
            .field("remote_known", &self.remote.is_some())
            .field("selected", &self.selected)
            .field("paths", &self.paths.len())
            .finish_non_exhaustive()
    }
}

impl Ice {
    pub(crate) fn new(settings: &Settings, now: Instant) -> Self {
        let mut agent = IceAgent::with_hmac(creds(&settings.credentials), &HmacProvider);
        agent.set_controlling(settings.controlling);
        agent.set_control_tie_breaker(settings.tie_breaker);
        Self {
            agent,
            local: settings.credentials.clone(),
            remote: None,
            controlling: settings.controlling,
            locals: Vec::new(),
            mapped: Vec::new(),
            paths: VecDeque::new(),
            new_paths: Allowance::new(now),
            early: Vec::new(),
            selected: None,
            heard: now,
            deadline: None,
            outputs: VecDeque::new(),
        }
    }

    /// Checks `remote` without changing anything.
    pub(crate) fn accepts(&self, remote: &IceCredentials) -> Result<(), Error> {
        if self.remote.as_ref().is_some_and(|known| known != remote) {
            return Err(Error::RemoteChanged);
        }
        let refuse = |part, text: &str| {
            Err(Error::Credentials {
                part,
                length: text.len(),
            })
        };
        let printable = |text: &str| text.bytes().all(|b| b.is_ascii_graphic() && b != b':');
        let (ufrag, password) = (&remote.ufrag, remote.password.expose());
        if ufrag.len() < 4
            || ufrag.len() + 1 + self.local.ufrag.len() > MAX_USERNAME
            || !printable(ufrag)
        {
            return refuse("fragment", ufrag);
        }
        if !(22..=256).contains(&password.len()) || !password.bytes().all(|b| b.is_ascii_graphic())
        {
            return refuse("password", password);
        }
        Ok(())
    }

    /// The other side, as [accepted](Self::accepts); checks begin at once.
    pub(crate) fn set_remote(&mut self, now: Instant, remote: &RemoteParameters) {
        if self.remote.is_none() {
            self.agent
                .set_remote_credentials(creds(&remote.credentials));
            self.remote = Some(remote.credentials.clone());
            self.deadline = Some(now + PATIENCE);
        }
        let candidates = remote.candidates.iter().take(crate::MAX_REMOTE_CANDIDATES);
        for address in candidates.filter(|address| is_one_host(address)) {
            if let Ok(candidate) = Candidate::host(*address, Via::Udp.to_protocol()) {
                self.agent.add_remote_candidate(candidate);
            }
        }
        for (path, datagram) in std::mem::take(&mut self.early) {
            if let Ok(message) = StunMessage::parse(&datagram) {
                self.agent.handle_packet(now, packet(path, message));
            }
        }
        self.handle_timeout(now);
    }

    pub(crate) fn add_local(&mut self, via: Via, address: SocketAddr) -> bool {
        if self.locals.contains(&(via, address)) {
            return true;
        }
        if self.locals.len() == MAX_LOCALS {
            return false;
        }
        let Ok(candidate) = Candidate::host(address, via.to_protocol()) else {
            return false;
        };
        self.agent.add_local_candidate(candidate);
        self.locals.push((via, address));
        true
    }

    /// Whether datagrams on this path belong to this endpoint.
    pub(crate) fn knows(&self, path: Path) -> bool {
        self.selected == Some(path) || self.paths.contains(&path)
    }

    /// Authenticated media came by a known path. When the selected one has fallen silent (a NAT
    /// has rebound, a phone has changed networks) our media follows theirs, long before unanswered
    /// checks make the agent choose anew: but only to where an answered check has led.
    pub(crate) fn hear(&mut self, now: Instant, path: Path) {
        if self.selected == Some(path) {
            self.heard = now;
        } else if now.saturating_duration_since(self.heard) > SILENCE
            && self.agent.has_viable_remote_candidate(path.remote)
        {
            self.select(now, path);
        }
    }

    fn select(&mut self, now: Instant, path: Path) {
        self.heard = now;
        if self.selected.replace(path) != Some(path) {
            self.outputs.push_back(IceOutput::Selected(path));
        }
    }

    pub(crate) const fn selected(&self) -> Option<Path> {
        self.selected
    }

    pub(crate) fn rtt(&self) -> Option<Duration> {
        self.agent.nominated_pair_rtt()
    }

    /// Takes in a STUN message.
    pub(crate) fn handle_stun(
        &mut self,
        now: Instant,
        path: Path,
        datagram: &[u8],
    ) -> Result<(), DropReason> {
        let claimed = Message::parse(datagram).ok_or(DropReason::StunMalformed)?;
        let password = match claimed.class {
            Class::Request => {
                let user = claimed.username().and_then(stun::local_part);
                (user == Some(&self.local.ufrag)).then_some(&self.local.password)
            }
            Class::Response => self.remote.as_ref().map(|remote| &remote.password),
        };
        let genuine = password.is_some_and(|secret| claimed.is_signed_with(secret.expose()));
        if !genuine {
            return Err(DropReason::StunRefused);
        }
        let message = StunMessage::parse(datagram).map_err(|_| DropReason::StunMalformed)?;
        if self.selected == Some(path) {
            self.heard = now;
        }
        match claimed.class {
            Class::Request => self.handle_request(now, path, datagram, message),
            Class::Response => self.handle_response(now, path, message),
        }
    }

    fn handle_request(
        &mut self,
        now: Instant,
        path: Path,
        datagram: &[u8],
        message: StunMessage<'_>,
    ) -> Result<(), DropReason> {
        let user = message.split_username();
        if let Some(remote) = &self.remote
            && user.map(|(_, theirs)| theirs) != Some(&remote.ufrag)
        {
            return Err(DropReason::StunRefused);
        }
        self.verify(now, path)?;
        if self.remote.is_none() {
            self.answer_early(path, message);
            self.keep_early(path, datagram);
            return Ok(());
        }
        if !self.agent.handle_packet(now, packet(path, message)) {
            return Err(DropReason::StunRefused);
        }
        self.handle_timeout(now);
        Ok(())
    }

    fn handle_response(
        &mut self,
        now: Instant,
        path: Path,
        message: StunMessage<'_>,
    ) -> Result<(), DropReason> {
        if let Some(mapped) = message.mapped_address()
            && !self.mapped.contains(&mapped)
        {
            if self.mapped.len() == MAX_MAPPED {
                return Err(DropReason::TooManyPaths);
            }
            self.mapped.push(mapped);
        }
        let success = message.is_successful_binding_response();
        if !self.agent.handle_packet(now, packet(path, message)) {
            return Err(DropReason::StunRefused);
        }
        if success {
            self.deadline = Some(now + PATIENCE);
            // An answer to our own check proves the path as well as a check of theirs does; if
            // that is one path too many, the answer itself still counts.
            let _ = self.verify(now, path);
        }
        self.handle_timeout(now);
        Ok(())
    }

    /// Remembers a path by which an authenticated message came.
    fn verify(&mut self, now: Instant, path: Path) -> Result<(), DropReason> {
        if self.paths.contains(&path) {
            return Ok(());
        }
        if !self.new_paths.take(now) || !self.add_local(path.via, path.local) {
            return Err(DropReason::TooManyPaths);
        }
        if self.paths.len() == MAX_PATHS {
            let oldest = self.paths.iter().position(|p| Some(*p) != self.selected);
            self.paths.remove(oldest.unwrap_or(0));
        }
        self.paths.push_back(path);
        self.outputs.push_back(IceOutput::Verified(path));
        Ok(())
    }

    /// A check that comes before the other side is signalled is answered at once (RFC 8445 §7.3):
    /// the answer takes only our password. One that argues about roles waits for the agent.
    fn answer_early(&mut self, path: Path, message: StunMessage<'_>) {
        let conflict = match self.controlling {
            true => message.ice_controlling().is_some(),
            false => message.ice_controlled().is_some(),
        };
        if conflict {
            return;
        }
        let mut payload = vec![0; 128];
        let reply = StunMessage::binding_reply(message.trans_id(), path.remote);
        let password = self.local.password.expose().as_bytes();
        if let Ok(length) = reply.to_bytes(Some(password), &mut payload, stun::hmac_sha1) {
            payload.truncate(length);
            self.outputs
                .push_back(IceOutput::Transmit { path, payload });
        }
    }

    /// Keeps the newest check of each path: it becomes a triggered check once the other side is
    /// known.
    fn keep_early(&mut self, path: Path, datagram: &[u8]) {
        if let Some((_, kept)) = self.early.iter_mut().find(|(known, _)| *known == path) {
            *kept = datagram.to_vec();
        } else if self.early.len() < MAX_EARLY {
            self.early.push((path, datagram.to_vec()));
        }
    }

    /// Sends the checks that are due.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if self.remote.is_none() {
            return;
        }
        self.agent.handle_timeout(now);
        while let Some(event) = self.agent.poll_event() {
            if let IceAgentEvent::NominatedSend {
                proto,
                source,
                destination,
            } = event
            {
                let path = Path {
                    via: Via::from_protocol(proto),
                    local: source,
                    remote: destination,
                };
                self.select(now, path);
            }
        }
        while let Some(transmit) = self.agent.poll_transmit() {
            let path = Path {
                via: Via::from_protocol(transmit.proto),
                local: transmit.source,
                remote: transmit.destination,
            };
            let payload = transmit.contents.into();
            self.outputs
                .push_back(IceOutput::Transmit { path, payload });
        }
    }

    /// Whether patience has ended.
    pub(crate) fn failure(&self, now: Instant) -> Option<IceFailure> {
        let over = self.deadline.is_some_and(|deadline| now >= deadline);
        over.then_some(match self.selected {
            Some(_) => IceFailure::Consent,
            None => IceFailure::NoPath,
        })
    }

    pub(crate) fn next_timeout(&mut self) -> Option<Instant> {
        let deadline = self.deadline?;
        let next = self.agent.poll_timeout();
        Some(next.map_or(deadline, |next| next.min(deadline)))
    }

    pub(crate) fn poll(&mut self) -> Option<IceOutput> {
        self.outputs.pop_front()
    }
}

fn creds(credentials: &IceCredentials) -> IceCreds {
    IceCreds {
        ufrag: credentials.ufrag.clone(),
        pass: credentials.password.expose().to_owned(),
    }
}

const fn packet(path: Path, message: StunMessage<'_>) -> StunPacket<'_> {
    StunPacket {
        proto: path.via.to_protocol(),
        source: path.remote,
        destination: path.local,
        message,
    }
}

/// How many more paths may be learnt.
#[derive(Debug)]
struct Allowance {
    ready: u32,
    left: u32,
    refilled: Instant,
}

impl Allowance {
    const fn new(now: Instant) -> Self {
        Self {
            ready: NEW_PATHS_BURST,
            left: NEW_PATHS_EVER,
            refilled: now,
        }
    }

    fn take(&mut self, now: Instant) -> bool {
        while self.ready < NEW_PATHS_BURST && now >= self.refilled + NEW_PATH_EVERY {
            self.refilled += NEW_PATH_EVERY;
            self.ready += 1;
        }
        if self.ready == NEW_PATHS_BURST {
            self.refilled = now;
        }
        let granted = self.ready > 0 && self.left > 0;
        if granted {
            self.ready -= 1;
            self.left -= 1;
        }
        granted
    }
}

/// Whether checks may be sent there: a client could name addresses that make every machine in our
/// network answer.
fn is_one_host(address: &SocketAddr) -> bool {
    let ip = address.ip().to_canonical();
    let broadcast = IpAddr::V4(Ipv4Addr::BROADCAST);
    address.port() != 0 && !ip.is_unspecified() && !ip.is_multicast() && ip != broadcast
}
