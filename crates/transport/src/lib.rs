//! One WebRTC endpoint: ICE, DTLS and SRTP; datagrams in, datagrams and RTP out.
//!
//! ```text
//!                    ┌──────────────────────── Transport ─────────────────────────┐
//!   datagram, Path   │ 0–3    STUN ─▶ stun (integrity) ─▶ ice ─▶ path             │
//!  ────────────────▶ │ 20–63  DTLS ─▶ dtls ─▶ fingerprint ─▶ keys                 │
//!  handle_datagram   │ 128+   RTP, RTCP ─▶ srtp ─▶ opened where it lies           │ ─▶ Received
//!                    │                                                            │
//!  handle_timeout ─▶ │ checks, consent, flights                                   │ ─▶ poll: Output
//!                    │ seal_rtp, seal_rtcp ─▶ srtp ─▶ sealed where it lies        │
//!                    └────────────────────────────────────────────────────────────┘
//! ```
//!
//! It opens no socket, reads no clock and starts no thread: time, randomness and bytes are
//! arguments. It is a full ICE agent of one component (BUNDLE, rtcp-mux), so that a stock client
//! gets the checks and the nomination it waits for.
//!
//! What it refuses, always without an answer:
//! - a STUN message that is not signed with a password of this endpoint, so that the shell may
//!   bind an address to it on [`Event::PathVerified`], and on nothing else;
//! - anything but STUN from a path that has not been verified so;
//! - a handshake with a certificate that was not signalled;
//! - RTP and RTCP that is forged, or that was seen before;
//! - sealing one sequence number twice: under AES-GCM that would give the key away, so that
//!   retransmissions take the way of RFC 4588;
//! - more addresses, sources or early datagrams than its bounds say.
//!
//! What it does not do: data channels, TURN as a client, ICE restart (a restart takes a new
//! transport), DTLS 1.3 (there the client would choose the SRTP profile).
//!
//! No allocation is made per RTP packet; `benches/srtp.rs` counts them.

mod certificate;
mod demux;
mod dtls;
#[doc(hidden)]
pub mod fuzzing;
mod goodbye;
mod ice;
#[doc(hidden)]
pub mod offering;
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
