use crate::net::Socket;
use althing_transport::{DatagramKind, Path, Via, classify};
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

    /// Hands out the datagrams of the last batch in order of arrival, and with each, how many RTP
    /// packets follow in the batch. One whose destination the kernel did not tell goes to `lost`.
    pub(crate) fn each(
        &mut self,
        bound: SocketAddr,
        mut datagram: impl FnMut(Path, &mut [u8], usize),
        mut lost: impl FnMut(),
    ) {
        let mut following = self.rtp_packets();
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
                following -= usize::from(classify(data) == DatagramKind::Rtp);
                datagram(path, data, following);
            }
        }
    }

    fn rtp_packets(&self) -> usize {
        let buffers = self.storage.chunks_exact(MAX_DATAGRAM);
        let filled = buffers.zip(&self.meta).take(self.filled);
        filled
            .flat_map(|(buffer, meta)| {
                buffer[..meta.len.min(MAX_DATAGRAM)].chunks(meta.stride.max(1))
            })
            .filter(|data| classify(data) == DatagramKind::Rtp)
            .count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::socket::bind_all;
    use std::net::{IpAddr, Ipv4Addr, UdpSocket};

    #[test]
    fn each_datagram_comes_with_how_much_rtp_follows() {
        let localhost = IpAddr::from(Ipv4Addr::LOCALHOST);
        let sockets = bind_all(0, &[localhost], 1).unwrap().remove(0);
        let sender = UdpSocket::bind((localhost, 0)).unwrap();
        let media = [0x80, 100, 0, 1];
        let report = [0x80, 201, 0, 1];
        let check = [0, 1, 0, 0];
        let sent = [media, report, media, check];
        for datagram in sent {
            sender.send_to(&datagram, sockets[0].bound).unwrap();
        }
        let mut buffers = ReceiveBuffers::new();
        let mut seen = Vec::new();
        while seen.len() < sent.len() {
            match buffers.receive(&sockets[0]) {
                Ok(_) => buffers.each(
                    sockets[0].bound,
                    |_, data, following| seen.push((data.to_vec(), following)),
                    || unreachable!("the kernel tells it, or the socket is bound to it"),
                ),
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
            }
        }
        let expected = sent.map(|d| d.to_vec()).into_iter().zip([1, 1, 0, 0]);
        assert_eq!(seen, expected.collect::<Vec<_>>());
    }
}
