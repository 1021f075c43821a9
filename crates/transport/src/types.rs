use crate::{Certificate, Fingerprint, Path, SrtpProfile};
use althing_model::{Entropy, Secret};
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// What one side's connectivity checks are signed with (RFC 8445 §5.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IceCredentials {
    /// The user name fragment; it must be unique among the endpoints of a process.
    pub ufrag: String,
    /// The password.
    pub password: Secret,
}

impl IceCredentials {
    /// New credentials: 60 random bits of fragment, 130 of password.
    #[must_use]
    pub fn generate(entropy: &mut dyn Entropy) -> Self {
        Self {
            ufrag: entropy.token(12),
            password: Secret::new(entropy.token(26)),
        }
    }
}

/// Who opens the DTLS handshake (RFC 8842).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DtlsRole {
    /// Waits: `setup=passive`.
    Server,
    /// Begins: `setup=active`.
    Client,
}

/// Our side of an endpoint.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What we signal.
    pub credentials: IceCredentials,
    /// What we prove ourselves with.
    pub certificate: Arc<Certificate>,
    /// Whether we nominate the path.
    pub controlling: bool,
    /// Who opens the handshake.
    pub dtls: DtlsRole,
    /// 64 random bits that settle an argument about `controlling` (RFC 8445 §7.3.1.1).
    pub tie_breaker: u64,
}

/// The other side of an endpoint, as signalled.
#[derive(Clone)]
pub struct RemoteParameters {
    /// What its checks are signed with.
    pub credentials: IceCredentials,
    /// Its certificate must match one of these.
    pub fingerprints: Vec<Fingerprint>,
    /// Where it may be reached by UDP; may be empty, since its own checks tell. At most
    /// [`MAX_REMOTE_CANDIDATES`](crate::MAX_REMOTE_CANDIDATES) are used.
    pub candidates: Vec<SocketAddr>,
}

/// Addresses are personal data and do not print.
impl fmt::Debug for RemoteParameters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteParameters")
            .field("credentials", &self.credentials)
            .field("fingerprints", &self.fingerprints)
            .field("candidates", &self.candidates.len())
            .finish()
    }
}

/// What became of a datagram. Whatever the variant, drain [`Transport::poll`](crate::Transport::poll).
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub enum Received<'a> {
    /// STUN or DTLS, consumed here.
    Handled,
    /// A decrypted RTP packet, in the datagram's own memory.
    Rtp(&'a mut [u8]),
    /// A decrypted compound RTCP packet, in the datagram's own memory.
    Rtcp(&'a mut [u8]),
    /// Nothing was done with it, and nothing answered.
    Dropped(DropReason),
}

macro_rules! drop_reasons {
    ($($(#[$doc:meta])* $name:ident = $label:literal,)*) => {
        /// Why a datagram was dropped.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum DropReason { $($(#[$doc])* $name,)* }

        impl DropReason {
            /// Every reason, in order.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// A label for metrics.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $label,)* }
            }
        }
    };
}

drop_reasons! {
    /// Neither STUN, DTLS, RTP nor RTCP.
    Unclassified = "unclassified",
    /// Not STUN on a path that no verified check has opened.
    UnknownPath = "unknown_path",
    /// STUN that cannot be read, or that is of no use here.
    StunMalformed = "stun_malformed",
    /// STUN with a wrong user name or integrity, or an answer to no question of ours.
    StunRefused = "stun_refused",
    /// A verified check from one path too many.
    TooManyPaths = "too_many_paths",
    /// DTLS that came before the path was chosen, and more of it than is kept.
    DtlsTooEarly = "dtls_too_early",
    /// RTP or RTCP before the handshake gave keys.
    NoKeys = "no_keys",
    /// RTP or RTCP whose own header makes no sense.
    Malformed = "malformed",
    /// RTP or RTCP that was not sealed with the other side's key.
    Forged = "forged",
    /// RTP or RTCP seen before, or too old to tell.
    Replayed = "replayed",
    /// More sources than one endpoint may have.
    TooManySources = "too_many_sources",
    /// The endpoint has failed or was closed.
    Closed = "closed",
}

/// How often each [`DropReason`] occurred.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DropCounters([u64; DropReason::ALL.len()]);

impl DropCounters {
    /// How often `reason` occurred.
    #[must_use]
    pub const fn get(&self, reason: DropReason) -> u64 {
        self.0[reason as usize]
    }

    /// All of them.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    pub(crate) const fn count(&mut self, reason: DropReason) {
        self.0[reason as usize] += 1;
    }
}

/// What a transport wants done.
#[derive(Debug, PartialEq, Eq)]
pub enum Output {
    /// Send this datagram: STUN or DTLS. Media is sent by whoever sealed it.
    Transmit {
        /// From where to where.
        path: Path,
        /// The datagram.
        payload: Vec<u8>,
    },
    /// Something to know.
    Event(Event),
}

/// What happened in a transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A check with valid integrity came by this path: datagrams on it belong to this endpoint.
    /// May come again for the same path.
    PathVerified(Path),
    /// Media now goes by this path.
    PathSelected(Path),
    /// Keys are in place: media can be sealed and opened.
    Connected {
        /// What it is sealed with.
        profile: SrtpProfile,
    },
    /// It is over, and why.
    Failed(FailureReason),
    /// The other side closed it.
    Closed,
}

/// Why a transport failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailureReason {
    /// No path worked within 30 s of knowing the other side.
    Ice,
    /// No check was answered for 30 s (RFC 7675).
    Consent,
    /// The other side speaks DTLS that we cannot or will not follow.
    Dtls,
    /// The handshake was not done in 30 s.
    DtlsTimeout,
    /// The other side's certificate is not the one that was signalled.
    Fingerprint,
}

impl FailureReason {
    /// A label for metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ice => "ice",
            Self::Consent => "consent",
            Self::Dtls => "dtls",
            Self::DtlsTimeout => "dtls_timeout",
            Self::Fingerprint => "fingerprint",
        }
    }
}

/// Numbers about one transport; cheap to take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stats {
    /// The path media goes by.
    pub path: Option<Path>,
    /// Round trip of the latest answered check on that path.
    pub rtt: Option<Duration>,
    /// What media is sealed with.
    pub profile: Option<SrtpProfile>,
    /// Datagrams dropped, by reason.
    pub drops: DropCounters,
}

/// Why a transport could not be set up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The crypto library would not make one.
    #[error("no certificate could be made")]
    Certificate,
    /// What was signalled is no fingerprint.
    #[error("not a certificate fingerprint: {reason}")]
    Fingerprint {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// No fingerprint was signalled, so nobody could be recognised.
    #[error("no certificate fingerprint was given")]
    NoFingerprint,
    /// ICE credentials outside RFC 8445 §5.3 (4 to 256 and 22 to 256 characters).
    #[error("not ICE credentials: the {part} has {length} characters")]
    Credentials {
        /// `fragment` or `password`.
        part: &'static str,
        /// How long it is.
        length: usize,
    },
    /// Other credentials or fingerprints than before; that takes a new transport.
    #[error("the other side's parameters are already set to something else")]
    RemoteChanged,
    /// The transport has failed or was closed.
    #[error("the transport is closed")]
    Closed,
}

/// Why a packet could not be sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum SealError {
    /// There are no keys yet, or no longer.
    #[error("there are no keys")]
    NotConnected,
    /// Fewer than [`SRTP_OVERHEAD`](crate::SRTP_OVERHEAD) bytes follow the plaintext.
    #[error("no room for the tag behind the packet")]
    NoRoom,
    /// The lengths or the fixed header make no sense.
    #[error("not a packet")]
    Malformed,
    /// This sequence number was sealed before, or is too old to tell: sealing another text under
    /// it would give the key away.
    #[error("sequence number already used")]
    SequenceUsed,
    /// More sources than one endpoint may have.
    #[error("too many sources")]
    TooManySources,
    /// The key has sealed as much as it may (2^31 RTCP packets).
    #[error("the key is used up")]
    KeyUsedUp,
}
