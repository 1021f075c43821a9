//! What a fuzzer drives: an endpoint in one of several states, and operations that reach the code
//! behind each lock. Bytes alone would never get past an HMAC, so some operations sign or seal
//! them as the other side would.
//!
//! The first byte chooses the state, then come operations: a kind, a length, that many bytes.

use crate::srtp::{Side, Srtp};
use crate::{
    Certificate, DropReason, DtlsRole, IceCredentials, Output, Path, Received, RemoteParameters,
    Settings, SrtpProfile, Transport, Via, stun,
};
use althing_model::SeededEntropy;
use is::stun::StunMessage;
use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

const MAX_OPERATIONS: usize = 64;
const MATERIAL: [u8; 88] = [0x5a; 88];

/// Runs one input; panics only if there is a bug.
pub fn datagram(data: &[u8]) {
    run(data);
}

/// Two transports with keys of this profile and no handshake, for benchmarks; and the path by
/// which the first hears the second.
#[must_use]
pub fn connected(profile: SrtpProfile) -> (Transport, Transport, Path) {
    let mut world = World::new(2);
    world.install_keys(profile);
    if let Some(keys) = world.keys.take() {
        world.theirs.install_keys(keys);
    }
    (world.ours, world.theirs, path(PORT))
}

/// How far an input got.
#[derive(Debug, Default)]
struct Reached {
    handled: usize,
    rtp: usize,
    rtcp: usize,
    dropped: Vec<DropReason>,
    connected: bool,
}

fn run(data: &[u8]) -> Reached {
    let mut reached = Reached::default();
    let Some((state, mut rest)) = data.split_first() else {
        return reached;
    };
    let mut world = World::new(*state);
    for _ in 0..MAX_OPERATIONS {
        let Some(([kind, length], tail)) = rest.split_first_chunk::<2>() else {
            break;
        };
        // Long enough for several DTLS records in one datagram.
        let length = usize::from(*length) * (1 + usize::from(kind >> 6));
        let (bytes, tail) = tail.split_at(length.min(tail.len()));
        rest = tail;
        world.operate(kind & 7, bytes, &mut reached);
    }
    reached.connected = world.ours.is_connected();
    reached
}

/// The endpoint under test, and what stands in for the other side.
struct World {
    now: Instant,
    ours: Transport,
    theirs: Transport,
    /// What the other side has sent and the fuzzer has not delivered.
    under_way: VecDeque<Vec<u8>>,
    /// Our checks' transaction ids, for answers that are taken seriously.
    last_check: Vec<u8>,
    keys: Option<Srtp>,
    records: u8,
}

fn certificate(index: usize) -> Arc<Certificate> {
    static MADE: OnceLock<[Arc<Certificate>; 2]> = OnceLock::new();
    let make = || Certificate::generate().expect("the crypto library makes certificates");
    Arc::clone(&MADE.get_or_init(|| [make(), make()])[index])
}

fn settings(index: usize, dtls: DtlsRole) -> Settings {
    Settings {
        credentials: IceCredentials::generate(&mut SeededEntropy::new(index as u64)),
        certificate: certificate(index),
        controlling: index == 0,
        dtls,
        tie_breaker: index as u64,
    }
}

const fn path(port: u16) -> Path {
    const fn address(last: u8, port: u16) -> SocketAddr {
        SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(192, 0, 2, last)), port)
    }
    Path {
        via: Via::Udp,
        local: address(1, 10_000),
        remote: address(2, port),
    }
}

const PORT: u16 = 5000;

impl World {
    fn new(state: u8) -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "only an origin for virtual time; nothing reads the clock again"
        )]
        let now = Instant::now();
        let (ours, theirs) = match state & 0x80 {
            0 => (DtlsRole::Server, DtlsRole::Client),
            _ => (DtlsRole::Client, DtlsRole::Server),
        };
        let mut world = Self {
            now,
            ours: Transport::new(settings(0, ours), now),
            theirs: Transport::new(settings(1, theirs), now),
            under_way: VecDeque::new(),
            last_check: Vec::new(),
            keys: None,
            records: 0,
        };
        world.theirs.add_local(path(PORT).remote);
        let known = vec![path(PORT).local];
        world.set_remote(false, 0, known);
        match state & 7 {
            0 => {}
            1 => world.set_remote(true, 1, Vec::new()),
            2 => world.find_path(),
            number => {
                world.find_path();
                world.install_keys(SrtpProfile::ALL[usize::from(number) % 3]);
            }
        }
        world
    }

    fn set_remote(&mut self, ours: bool, of: usize, candidates: Vec<SocketAddr>) {
        let remote = RemoteParameters {
            credentials: settings(of, DtlsRole::Server).credentials,
            fingerprints: vec![certificate(of).fingerprint()],
            candidates,
        };
        let transport = if ours {
            &mut self.ours
        } else {
            &mut self.theirs
        };
        transport
            .set_remote(self.now, remote)
            .expect("the parameters are sound");
        self.exchange();
    }

    /// Genuine checks and answers until a path is chosen; the handshake stays for the fuzzer.
    fn find_path(&mut self) {
        self.set_remote(true, 1, Vec::new());
        for _ in 0..20 {
            if self.ours.path().is_some() {
                return;
            }
            self.deliver_genuine(&[], &mut Reached::default());
            self.pass(Duration::from_millis(20));
        }
    }

    fn install_keys(&mut self, profile: SrtpProfile) {
        let material = match profile {
            SrtpProfile::AeadAes256Gcm => &MATERIAL[..],
            SrtpProfile::AeadAes128Gcm => &MATERIAL[..56],
            SrtpProfile::Aes128CmSha1_80 => &MATERIAL[..60],
        };
        let make = |side| Srtp::new(profile, material, side).expect("the length fits the profile");
        self.ours.install_keys(make(Side::Server));
        self.keys = Some(make(Side::Client));
    }

    fn operate(&mut self, kind: u8, bytes: &[u8], reached: &mut Reached) {
        match kind {
            0 => self.deliver(PORT, bytes.to_vec(), reached),
            1 => self.request(bytes, reached),
            2 => self.answer(bytes, reached),
            3 => self.record(bytes, reached),
            4 => self.media(bytes, reached),
            5 => self.report(bytes, reached),
            6 => self.deliver_genuine(bytes, reached),
            _ => {
                let millis = bytes.iter().map(|byte| u64::from(*byte)).sum();
                self.pass(Duration::from_millis(millis));
            }
        }
        self.exchange();
    }

    fn deliver(&mut self, port: u16, mut datagram: Vec<u8>, reached: &mut Reached) {
        match self
            .ours
            .handle_datagram(self.now, path(port), &mut datagram)
        {
            Received::Handled => reached.handled += 1,
            Received::Rtp(_) => reached.rtp += 1,
            Received::Rtcp(_) => reached.rtcp += 1,
            Received::Dropped(reason) => reached.dropped.push(reason),
        }
    }

    /// A check signed with our password; the attributes are the fuzzer's, and so is the port it
    /// comes from.
    fn request(&mut self, bytes: &[u8], reached: &mut Reached) {
        let ours = settings(0, DtlsRole::Server).credentials;
        let theirs = settings(1, DtlsRole::Server).credentials;
        let user = format!("{}:{}", ours.ufrag, theirs.ufrag);
        let mut attributes = attribute(stun::USERNAME, user.as_bytes());
        attributes.extend(attribute(0x0024, &[1, 2, 3, 4]));
        attributes.extend(attribute(0x8029, &[9; 8]));
        attributes.extend_from_slice(&bytes[..bytes.len() / 4 * 4]);
        let message = signed([0, 1], &[7; 12], &attributes, ours.password.expose());
        let port = PORT + u16::from(bytes.first().copied().unwrap_or(0));
        self.deliver(port, message, reached);
    }

    /// An answer to our last check, signed with their password.
    fn answer(&mut self, bytes: &[u8], reached: &mut Reached) {
        let theirs = settings(1, DtlsRole::Server).credentials;
        let id = self.last_check.get(8..20).unwrap_or(&[0; 12]).to_vec();
        let class = [1, 0x01 | (bytes.len() as u8 & 0x10)];
        let mut attributes = attribute(0x0020, &[0, 1, 0x32, 0x9a, 0xe1, 0x12, 0xa6, 0x40]);
        attributes.extend_from_slice(&bytes[..bytes.len() / 4 * 4]);
        let message = signed(class, &id, &attributes, theirs.password.expose());
        self.deliver(PORT, message, reached);
    }

    /// A DTLS record with a header that is right; the first byte chooses type and epoch.
    fn record(&mut self, bytes: &[u8], reached: &mut Reached) {
        let (choice, body) = bytes.split_first().unwrap_or((&0, &[]));
        self.records = self.records.wrapping_add(1);
        let mut record = vec![20 + choice % 6, 0xfe, 0xfd, 0, choice >> 7];
        record.extend([0, 0, 0, 0, 0, self.records]);
        record.extend((body.len() as u16).to_be_bytes());
        record.extend_from_slice(body);
        self.deliver(PORT, record, reached);
    }

    /// A packet sealed with their key: opened, or refused for a reason other than forgery.
    fn media(&mut self, bytes: &[u8], reached: &mut Reached) {
        let mut packet = vec![0x80, 111, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        for (to, from) in packet[2..].iter_mut().zip(bytes) {
            *to = *from;
        }
        packet.extend_from_slice(bytes);
        let plain = packet.len();
        packet.resize(plain + crate::SRTP_OVERHEAD, 0);
        let Some(Ok(length)) = self
            .keys
            .as_mut()
            .map(|keys| keys.seal_rtp(&mut packet, 12, plain))
        else {
            return;
        };
        packet.truncate(length);
        self.deliver(PORT, packet, reached);
    }

    fn report(&mut self, bytes: &[u8], reached: &mut Reached) {
        let mut packet = vec![0x80, 200, 0, 0, 0, 0, 0, 1];
        packet.extend_from_slice(bytes);
        let plain = packet.len();
        packet.resize(plain + crate::SRTP_OVERHEAD, 0);
        let Some(Ok(length)) = self
            .keys
            .as_mut()
            .map(|keys| keys.seal_rtcp(&mut packet, plain))
        else {
            return;
        };
        packet.truncate(length);
        self.deliver(PORT, packet, reached);
    }

    /// The next genuine datagram of the other side, changed in one byte if there are bytes.
    fn deliver_genuine(&mut self, bytes: &[u8], reached: &mut Reached) {
        let Some(mut datagram) = self.under_way.pop_front() else {
            return;
        };
        if let [high, low, change, ..] = bytes {
            let position = usize::from(u16::from_be_bytes([*high, *low])) % datagram.len();
            datagram[position] ^= change;
        }
        self.deliver(PORT, datagram, reached);
        self.exchange();
    }

    /// What we send reaches the other side at once; what it sends waits for the fuzzer.
    fn exchange(&mut self) {
        while let Some(output) = self.ours.poll() {
            if let Output::Transmit { path, mut payload } = output {
                if StunMessage::parse(&payload).is_ok_and(|m| m.is_binding_request()) {
                    self.last_check = payload.clone();
                }
                let back = Path {
                    via: path.via,
                    local: path.remote,
                    remote: path.local,
                };
                if path.remote.port() == PORT {
                    let _ = self.theirs.handle_datagram(self.now, back, &mut payload);
                }
            }
        }
        while let Some(output) = self.theirs.poll() {
            if let Output::Transmit { payload, .. } = output {
                self.under_way.push_back(payload);
                self.under_way.truncate(64);
            }
        }
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        for _ in 0..200 {
            let timers = [self.ours.next_timeout(), self.theirs.next_timeout()];
            let Some(next) = timers.into_iter().flatten().min().filter(|at| *at <= end) else {
                break;
            };
            self.now = self.now.max(next);
            self.ours.handle_timeout(self.now);
            self.theirs.handle_timeout(self.now);
            let rests = self.ours.next_timeout().is_none_or(|at| at > self.now);
            assert!(rests, "a timer that never rests");
            self.exchange();
        }
        self.now = end;
    }
}

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let mut out = kind.to_be_bytes().to_vec();
    out.extend((value.len() as u16).to_be_bytes());
    out.extend_from_slice(value);
    out.resize(out.len().next_multiple_of(4), 0);
    out
}

fn signed(class: [u8; 2], id: &[u8], attributes: &[u8], password: &str) -> Vec<u8> {
    let mut message = class.to_vec();
    message.extend((attributes.len() as u16 + 24).to_be_bytes());
    message.extend(stun::MAGIC_COOKIE);
    message.extend_from_slice(id);
    message.extend_from_slice(attributes);
    let integrity = stun::hmac_sha1(password.as_bytes(), &[&message]);
    message.extend(attribute(stun::MESSAGE_INTEGRITY, &integrity));
    message
}

#[cfg(test)]
mod tests {
    use super::*;
    use althing_model::Entropy;

    fn reached(state: u8, operations: &[(u8, &[u8])]) -> Reached {
        let mut input = vec![state];
        for (kind, bytes) in operations {
            input.extend([*kind, bytes.len() as u8]);
            input.extend_from_slice(bytes);
        }
        run(&input)
    }

    #[test]
    fn every_state_and_operation_gets_behind_its_lock() {
        let check = reached(0, &[(1, &[])]);
        assert_eq!(check.handled, 1, "{check:?}");
        let check = reached(1, &[(1, &[0, 0x99, 0, 4, 1, 2, 3, 4]), (2, &[])]);
        assert_eq!((check.handled, check.dropped.len()), (2, 0), "{check:?}");
        let genuine: Vec<(u8, &[u8])> = vec![(6, &[]); 30];
        for state in [0x02, 0x82] {
            assert!(
                reached(state, &genuine).connected,
                "{state:#x}: a whole handshake"
            );
        }
        let damaged: Vec<(u8, &[u8])> = vec![(6, &[0, 40, 1]); 30];
        assert!(!reached(2, &damaged).connected);
        let record = reached(2, &[(3, &[2, 1, 0, 0, 0]), (3, &[0x82; 60])]);
        assert_eq!(record.handled, 2, "{record:?}");
        for state in [3, 4, 5] {
            let first: &[u8] = &[0, 1, 0, 0, 0, 0, 0, 0, 0, 9];
            let media = reached(
                state,
                &[(4, first), (4, first), (5, &[1; 20]), (0, &[0x80; 60])],
            );
            assert_eq!((media.rtp, media.rtcp), (1, 1), "{media:?}");
            assert_eq!(media.dropped, [DropReason::Forged], "{media:?}");
        }
    }

    #[test]
    fn random_inputs_do_no_harm() {
        let mut entropy = SeededEntropy::new(11);
        for _ in 0..1500 {
            let length = entropy.next_u64() % 600;
            let input: Vec<u8> = (0..length).map(|_| entropy.next_u64() as u8).collect();
            datagram(&input);
        }
    }
}
