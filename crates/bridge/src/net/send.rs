//! The way out of a worker: datagrams are written and sealed side by side in kept buffers, and
//! leave when the batch that caused them has been handled.

use crate::net::Socket;
use crate::net::together::{self, Datagram, TOGETHER};
use althing_transport::{Path, SRTP_OVERHEAD};
use nix::errno::Errno;
use quinn_udp::Transmit;
use smallvec::SmallVec;
use std::fmt::Debug;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

/// When this many runs are waiting they leave at once. With fewer than a conference has receivers
/// on a worker, no run would ever grow beyond the first packet.
const MAX_RUNS: usize = 1024;

/// The most bytes in one run: more than a frame of ten packets, after which a call costs little for
/// each. Bounds the memory of a worker's buffers to 32 MiB, whatever the size of its conferences.
const MAX_RUN_BYTES: usize = 16_000;

/// Where datagrams go: the sockets of a worker, or nowhere in a benchmark.
pub(crate) trait Wire: Debug + Send + Sync {
    /// How many equal datagrams may leave in one call.
    fn max_segments(&self, local: SocketAddr) -> usize;
    /// Sends from `local`.
    ///
    /// # Errors
    /// What the system says.
    fn send(&self, local: SocketAddr, transmit: &Transmit<'_>) -> io::Result<()>;
    /// How many datagrams to different receivers may leave in one call.
    fn max_together(&self, _local: SocketAddr) -> usize {
        1
    }
    /// Sends datagrams from `local`, in order, as far as the system takes them: at least the first.
    ///
    /// # Errors
    /// What the system says of the first; the others were not tried then.
    fn send_together(&self, local: SocketAddr, datagrams: &[Datagram<'_>]) -> io::Result<usize> {
        let Some((destination, contents)) = datagrams.first() else {
            return Ok(0);
        };
        let transmit = Transmit {
            destination: *destination,
            ecn: None,
            contents,
            segment_size: None,
            src_ip: Some(local.ip()),
        };
        self.send(local, &transmit).map(|()| 1)
    }
}

impl Wire for Vec<Socket> {
    fn max_segments(&self, local: SocketAddr) -> usize {
        self.iter()
            .find(|socket| socket.serves(local))
            .map_or(1, |socket| socket.state.max_gso_segments())
    }

    fn send(&self, local: SocketAddr, transmit: &Transmit<'_>) -> io::Result<()> {
        match self.iter().find(|socket| socket.serves(local)) {
            Some(socket) => socket.send(transmit),
            None => Err(io::ErrorKind::AddrNotAvailable.into()),
        }
    }

    fn max_together(&self, local: SocketAddr) -> usize {
        let socket = self.iter().find(|socket| socket.serves(local));
        socket.map_or(1, Socket::max_together)
    }

    fn send_together(&self, local: SocketAddr, datagrams: &[Datagram<'_>]) -> io::Result<usize> {
        match self.iter().find(|socket| socket.serves(local)) {
            Some(socket) => together::send(&socket.io, datagrams),
            None => Err(io::ErrorKind::AddrNotAvailable.into()),
        }
    }
}

/// What left, and what did not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct SendCounters {
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
    pub(crate) would_block: u64,
    pub(crate) no_buffers: u64,
    pub(crate) too_large: u64,
    pub(crate) unreachable: u64,
    pub(crate) other: u64,
}

/// A receiver's place in the queue: where its last packet went.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Spot {
    epoch: u64,
    run: usize,
}

/// Datagrams waiting to leave, in runs: consecutive datagrams of one receiver that have the same
/// size (only the last may be shorter) go to the kernel in one call.
#[derive(Debug)]
pub(crate) struct SendQueue {
    wire: Arc<dyn Wire>,
    runs: Vec<Run>,
    used: usize,
    // Tells spots of this round from those of earlier ones.
    epoch: u64,
    pub(crate) counters: SendCounters,
}

#[derive(Debug)]
struct Run {
    path: Option<Path>,
    data: Vec<u8>,
    // Bytes of complete datagrams; what lies behind was being written when something panicked.
    complete: usize,
    plain_len: usize,
    segment: usize,
    segments: usize,
    /// How many may go in one call.
    most: usize,
    open: bool,
}

impl SendQueue {
    pub(crate) fn new(wire: Arc<dyn Wire>) -> Self {
        Self {
            wire,
            runs: Vec::new(),
            used: 0,
            epoch: 1,
            counters: SendCounters::default(),
        }
    }

    /// Queues a datagram that is complete.
    pub(crate) fn push(&mut self, path: Path, datagram: &[u8]) {
        let run = self.start_run(path, false);
        let run = &mut self.runs[run];
        run.data.extend_from_slice(datagram);
        run.finish(datagram.len(), datagram.len());
    }

    /// Queues one RTP packet made of `parts`; `seal` gets it with [`SRTP_OVERHEAD`] bytes of room
    /// behind it and returns the length it sealed. Returns that length.
    ///
    /// # Errors
    /// What `seal` returns; then nothing is sent.
    pub(crate) fn push_rtp<E>(
        &mut self,
        spot: &mut Spot,
        path: Path,
        parts: [&[u8]; 3],
        seal: impl FnOnce(&mut [u8]) -> Result<usize, E>,
    ) -> Result<usize, E> {
        let plain_len = parts.iter().map(|part| part.len()).sum();
        let joins = spot.epoch == self.epoch
            && self
                .runs
                .get(spot.run)
                .is_some_and(|run| run.takes(&path, plain_len));
        if !joins {
            spot.run = self.start_run(path, true);
            spot.epoch = self.epoch;
        }
        self.runs[spot.run].write(parts, plain_len, seal)
    }

    /// Queues one RTCP packet, sealed likewise.
    ///
    /// # Errors
    /// What `seal` returns; then nothing is sent.
    pub(crate) fn push_rtcp<E>(
        &mut self,
        path: Path,
        packet: &[u8],
        seal: impl FnOnce(&mut [u8]) -> Result<usize, E>,
    ) -> Result<usize, E> {
        let run = self.start_run(path, false);
        self.runs[run].write([packet, &[], &[]], packet.len(), seal)
    }

    /// Sends everything queued, in the order of the runs.
    pub(crate) fn flush(&mut self) {
        let mut runs = &self.runs[..self.used];
        while let Some(first) = runs.first() {
            let sent = self.counters.together(&*self.wire, runs);
            if sent == 0 {
                first.send(&*self.wire, &mut self.counters);
            }
            runs = &runs[sent.max(1)..];
        }
        self.used = 0;
        self.epoch += 1;
    }

    /// Gives back the buffers; nothing may be waiting in them.
    pub(crate) fn release(&mut self) {
        debug_assert_eq!(self.used, 0, "flushed before");
        self.runs = Vec::new();
    }

    /// Bytes of memory the buffers hold.
    #[cfg(test)]
    pub(crate) fn capacity(&self) -> usize {
        self.runs.iter().map(|run| run.data.capacity()).sum()
    }

    fn start_run(&mut self, path: Path, open: bool) -> usize {
        if self.used == MAX_RUNS {
            self.flush();
        }
        if self.used == self.runs.len() {
            self.runs.push(Run::new());
        }
        let index = self.used;
        self.used += 1;
        // Found once for a run, not for each packet of a frame.
        let most = if open {
            self.wire.max_segments(path.local)
        } else {
            1
        };
        self.runs[index].begin(path, most);
        index
    }
}

impl Run {
    const fn new() -> Self {
        Self {
            path: None,
            data: Vec::new(),
            complete: 0,
            plain_len: 0,
            segment: 0,
            segments: 0,
            most: 1,
            open: false,
        }
    }

    fn begin(&mut self, path: Path, most: usize) {
        self.path = Some(path);
        self.data.clear();
        self.complete = 0;
        self.plain_len = usize::MAX;
        self.segment = 0;
        self.segments = 0;
        self.most = most;
        self.open = most > 1;
    }

    /// Whether one more datagram may join. The tag is as long for each packet of a receiver, so
    /// equal plaintexts make equal datagrams.
    fn takes(&self, path: &Path, plain_len: usize) -> bool {
        self.open
            && self.segments < self.most
            && plain_len <= self.plain_len
            && self.complete + self.segment <= MAX_RUN_BYTES
            && self.path.as_ref() == Some(path)
    }

    fn write<E>(
        &mut self,
        parts: [&[u8]; 3],
        plain_len: usize,
        seal: impl FnOnce(&mut [u8]) -> Result<usize, E>,
    ) -> Result<usize, E> {
        self.data.truncate(self.complete);
        let start = self.complete;
        for part in parts {
            self.data.extend_from_slice(part);
        }
        self.data.resize(start + plain_len + SRTP_OVERHEAD, 0);
        let sealed = seal(&mut self.data[start..])?;
        self.data.truncate(start + sealed);
        self.finish(plain_len, sealed);
        Ok(sealed)
    }

    fn finish(&mut self, plain_len: usize, sealed: usize) {
        if self.segments == 0 {
            self.plain_len = plain_len;
            self.segment = sealed;
        } else if sealed < self.segment {
            self.open = false;
        }
        self.segments += 1;
        self.complete += sealed;
    }

    /// The one datagram that this is, and where it goes.
    fn single(&self) -> Option<(Path, &[u8])> {
        let path = self.path.filter(|_| self.segments == 1)?;
        Some((path, &self.data[..self.complete]))
    }

    fn send(&self, wire: &dyn Wire, counters: &mut SendCounters) {
        let Some(path) = self.path else { return };
        let contents = &self.data[..self.complete];
        if contents.is_empty() {
            return;
        }
        let transmit = |contents, segment_size| Transmit {
            destination: path.remote,
            ecn: None,
            contents,
            segment_size,
            src_ip: Some(path.local.ip()),
        };
        let together = (self.segments > 1).then_some(self.segment);
        match wire.send(path.local, &transmit(contents, together)) {
            Ok(()) => {
                counters.packets += self.segments as u64;
                counters.bytes += contents.len() as u64;
            }
            // A driver or a path that cannot take runs: the datagrams are good all the same.
            Err(error) if self.segments > 1 && !is_full(&error) => {
                for datagram in contents.chunks(self.segment.max(1)) {
                    match wire.send(path.local, &transmit(datagram, None)) {
                        Ok(()) => {
                            counters.packets += 1;
                            counters.bytes += datagram.len() as u64;
                        }
                        Err(error) => counters.failed(&error, 1),
                    }
                }
            }
            Err(error) => counters.failed(&error, self.segments as u64),
        }
    }
}

fn is_full(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock || errno(error) == Errno::ENOBUFS
}

fn errno(error: &io::Error) -> Errno {
    error
        .raw_os_error()
        .map_or(Errno::UnknownErrno, Errno::from_raw)
}

impl SendCounters {
    pub(crate) const fn errors(&self) -> u64 {
        self.would_block + self.no_buffers + self.too_large + self.unreachable + self.other
    }

    /// Sends the single datagrams that the runs begin with, which leave from one address, in one
    /// call; returns how many left. None if there are no two of them, or the first is refused.
    fn together(&mut self, wire: &dyn Wire, runs: &[Run]) -> usize {
        let Some((path, _)) = runs.first().and_then(Run::single) else {
            return 0;
        };
        let most = wire.max_together(path.local);
        if most < 2 {
            return 0;
        }
        let datagrams: SmallVec<[Datagram<'_>; TOGETHER]> = runs
            .iter()
            .take(most)
            .map_while(Run::single)
            .take_while(|(other, _)| other.local == path.local)
            .map(|(path, contents)| (path.remote, contents))
            .collect();
        if datagrams.len() < 2 {
            return 0;
        }
        let sent = wire.send_together(path.local, &datagrams).unwrap_or(0);
        let bytes = datagrams[..sent].iter().map(|(_, d)| d.len() as u64);
        self.packets += sent as u64;
        self.bytes += bytes.sum::<u64>();
        sent
    }

    fn failed(&mut self, error: &io::Error, packets: u64) {
        let before = self.errors();
        let counter = match errno(error) {
            _ if error.kind() == io::ErrorKind::WouldBlock => &mut self.would_block,
            Errno::ENOBUFS | Errno::ENOMEM => &mut self.no_buffers,
            Errno::EMSGSIZE => &mut self.too_large,
            Errno::ENETUNREACH
            | Errno::EHOSTUNREACH
            | Errno::ECONNREFUSED
            | Errno::ENETDOWN
            | Errno::EHOSTDOWN
            | Errno::EADDRNOTAVAIL => &mut self.unreachable,
            _ => &mut self.other,
        };
        *counter += packets;
        // The first, then each time the count has doubled.
        if before.checked_ilog2() != self.errors().checked_ilog2() {
            tracing::warn!(errors = self.errors(), %error, "media packets could not be sent");
        }
    }
}

#[cfg(test)]
mod tests;
