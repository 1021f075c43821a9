use crate::{
    DropReason, Error, Output, Path, Received, RemoteParameters, SealError, Settings, SrtpProfile,
    Stats,
};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// One WebRTC endpoint: ICE, DTLS and SRTP.
#[derive(Debug)]
pub struct Transport {
    outputs: VecDeque<Output>,
    last_activity: Instant,
    _settings: Settings,
}

impl Transport {
    /// A transport that knows only its own side.
    #[must_use]
    pub fn new(settings: Settings, now: Instant) -> Self {
        Self {
            outputs: VecDeque::new(),
            last_activity: now,
            _settings: settings,
        }
    }

    /// Tells it the other side.
    ///
    /// # Errors
    /// [`Error`] when the parameters make no sense or contradict earlier ones.
    pub fn set_remote(&mut self, _now: Instant, _remote: RemoteParameters) -> Result<(), Error> {
        Err(Error::Closed)
    }

    /// An address of ours to be reached at by UDP.
    pub fn add_local(&mut self, _address: SocketAddr) {}

    /// Takes in a datagram.
    pub fn handle_datagram<'a>(
        &mut self,
        _now: Instant,
        _path: Path,
        _datagram: &'a mut [u8],
    ) -> Received<'a> {
        Received::Dropped(DropReason::Closed)
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, _now: Instant) {}

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Instant> {
        None
    }

    /// What is to be done; call it until `None` after anything else.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Ends it: tells the other side by DTLS and drops the keys.
    pub fn close(&mut self, _now: Instant) {}

    /// The path media goes by.
    #[must_use]
    pub fn path(&self) -> Option<Path> {
        None
    }

    /// Whether media can be sealed and has a path to go by.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        false
    }

    /// When something authenticated last arrived; the time of birth before that.
    #[must_use]
    pub fn last_activity(&self) -> Instant {
        self.last_activity
    }

    /// Round trip of the latest answered check on the media path.
    #[must_use]
    pub fn rtt(&self) -> Option<Duration> {
        None
    }

    /// What media is sealed with.
    #[must_use]
    pub fn profile(&self) -> Option<SrtpProfile> {
        None
    }

    /// Numbers about it.
    #[must_use]
    pub fn stats(&self) -> Stats {
        Stats {
            path: None,
            rtt: None,
            profile: None,
            drops: crate::DropCounters::default(),
        }
    }

    /// Seals an RTP packet in place; returns its length on the wire.
    ///
    /// `buffer` holds `header_len` bytes of header (extensions included), payload up to
    /// `plain_len`, and at least [`SRTP_OVERHEAD`](crate::SRTP_OVERHEAD) spare bytes.
    ///
    /// # Errors
    /// [`SealError`]; the buffer is then unchanged.
    pub fn seal_rtp(
        &mut self,
        _buffer: &mut [u8],
        _header_len: usize,
        _plain_len: usize,
    ) -> Result<usize, SealError> {
        Err(SealError::NotConnected)
    }

    /// Seals a compound RTCP packet in place; returns its length on the wire.
    ///
    /// # Errors
    /// [`SealError`]; the buffer is then unchanged.
    pub fn seal_rtcp(&mut self, _buffer: &mut [u8], _plain_len: usize) -> Result<usize, SealError> {
        Err(SealError::NotConnected)
    }
}
