use crate::net::Socket;
use althing_transport::{Path, Via};
use quinn_udp::{BATCH_SIZE, RecvMeta, UdpSockRef};
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::time::Duration;

/// What one receive call may put into one buffer: the kernel may join datagrams of one sender
/// (GRO) up to the largest UDP payload, and drops the rest if they do not fit.
const MAX_DATAGRAM: usize = 64 * 1024;

/// The buffers a worker receives into, kept for its life (2 MiB).
#[derive(Debug)]
pub(crate) struct ReceiveBuffers {
    storage: Vec<u8>,
    meta: [RecvMeta; BATCH_SIZE],
    filled: usize,
}

/// When datagrams arrived at this machine, as times since 1970 where the kernel says so, and how
/// many. Kept for its buffer.
#[derive(Debug, Default)]
pub(crate) struct Arrivals(Vec<(Option<Duration>, u64)>);

impl Arrivals {
    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn drain(&mut self) -> impl Iterator<Item = (Option<Duration>, u64)> {
        self.0.drain(..)
    }
}

impl ReceiveBuffers {
    pub(crate) fn new() -> Self {
        Self {
            storage: vec![0; MAX_DATAGRAM * BATCH_SIZE],
            meta: [RecvMeta::default(); BATCH_SIZE],
            filled: 0,
        }
    }

    /// Takes what has arrived, up to one batch; returns whether the batch was full.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] when there is nothing; others from the socket.
    pub(crate) fn receive(&mut self, socket: &Socket) -> io::Result<bool> {
        self.filled = 0;
        let mut chunks = self.storage.chunks_exact_mut(MAX_DATAGRAM);
        let mut slices: [IoSliceMut<'_>; BATCH_SIZE] = std::array::from_fn(|_| {
            IoSliceMut::new(chunks.next().expect("storage holds BATCH_SIZE buffers"))
        });
        let reference = UdpSockRef::from(&socket.io);
        self.filled = socket.state.recv(reference, &mut slices, &mut self.meta)?;
        Ok(self.filled == BATCH_SIZE)
    }

    /// Notes when the datagrams of the last batch arrived at this machine.
    pub(crate) fn note_arrivals(&self, arrivals: &mut Arrivals) {
        for meta in &self.meta[..self.filled] {
            let datagrams = meta.len.div_ceil(meta.stride.max(1)) as u64;
            arrivals.0.push((meta.timestamp, datagrams));
        }
    }

    /// Hands out the datagrams of the last batch in order of arrival. One whose destination the
    /// kernel did not tell goes to `lost`.
    pub(crate) fn each(
        &mut self,
        bound: SocketAddr,
        mut datagram: impl FnMut(Path, &mut [u8]),
        mut lost: impl FnMut(),
    ) {
        let filled = self.filled;
        self.filled = 0;
        let buffers = self.storage.chunks_exact_mut(MAX_DATAGRAM);
        for (buffer, meta) in buffers.zip(&self.meta).take(filled) {
            let local = match meta.dst_ip {
                Some(ip) => SocketAddr::new(ip, bound.port()),
                None if !bound.ip().is_unspecified() => bound,
                None => {
                    lost();
                    continue;
                }
            };
            let path = Path {
                via: Via::Udp,
                local,
                remote: meta.addr,
            };
            let stride = meta.stride.max(1);
            for data in buffer[..meta.len.min(MAX_DATAGRAM)].chunks_mut(stride) {
                datagram(path, data);
            }
        }
    }
}
