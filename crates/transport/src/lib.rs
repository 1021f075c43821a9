//! One WebRTC endpoint: ICE, DTLS and SRTP; datagrams in, datagrams and RTP out.

mod certificate;
mod demux;
mod dtls;
#[doc(hidden)]
pub mod fuzzing;
mod ice;
mod path;
mod srtp;
mod stun;
mod transport;
mod types;

pub use certificate::{Certificate, Fingerprint, HashAlgorithm};
pub use demux::{DatagramKind, binding_ufrag, classify};
pub use path::{Path, Via};
pub use srtp::SrtpProfile;
pub use transport::Transport;
pub use types::{
    DropCounters, DropReason, DtlsRole, Error, Event, FailureReason, IceCredentials, Output,
    Received, RemoteParameters, SealError, Settings, Stats,
};

use std::time::Duration;

/// Room to leave behind a plaintext that is to be sealed, in bytes; no profile needs more.
pub const SRTP_OVERHEAD: usize = 24;

/// How many signalled addresses of the other side are tried.
pub const MAX_REMOTE_CANDIDATES: usize = 16;

/// How long a DTLS handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(30);
