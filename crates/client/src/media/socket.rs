use althing_transport::{Path, Via};
use std::io;
use std::net::{IpAddr, SocketAddr};
use tokio::net::UdpSocket;

/// One unconnected UDP socket that knows which local address each remote one is reached from: ICE
/// names paths by both ends, and a wildcard socket does not say.
#[derive(Debug)]
pub(crate) struct Socket {
    socket: UdpSocket,
    /// Remote address to our own address on the way there.
    routes: Vec<(IpAddr, SocketAddr)>,
}

impl Socket {
    /// Takes the family of the first candidate that has a route.
    pub(crate) fn bind(candidates: &[SocketAddr]) -> io::Result<Self> {
        let mut routes: Vec<(IpAddr, IpAddr)> = Vec::new();
        for candidate in candidates {
            // Connecting a UDP socket sends nothing; it asks the kernel for the route.
            let any: SocketAddr = if candidate.is_ipv4() {
                ([0; 4], 0).into()
            } else {
                ([0u16; 8], 0).into()
            };
            let probe = std::net::UdpSocket::bind(any)
                .and_then(|probe| probe.connect(candidate).and_then(|()| probe.local_addr()));
            if let Ok(local) = probe {
                let same_family = routes
                    .first()
                    .is_none_or(|(remote, _)| remote.is_ipv4() == candidate.is_ipv4());
                if same_family {
                    routes.push((candidate.ip(), local.ip()));
                }
            }
        }
        let Some((first, _)) = routes.first() else {
            return Err(io::Error::new(
                io::ErrorKind::AddrNotAvailable,
                "none of the offered candidates can be reached from here",
            ));
        };
        let any: SocketAddr = if first.is_ipv4() {
            ([0; 4], 0).into()
        } else {
            ([0u16; 8], 0).into()
        };
        let socket = std::net::UdpSocket::bind(any)?;
        socket.set_nonblocking(true)?;
        let port = socket.local_addr()?.port();
        Ok(Self {
            socket: UdpSocket::from_std(socket)?,
            routes: routes
                .into_iter()
                .map(|(remote, local)| (remote, SocketAddr::new(local, port)))
                .collect(),
        })
    }

    /// Our own addresses, each once.
    pub(crate) fn locals(&self) -> Vec<SocketAddr> {
        let mut locals: Vec<SocketAddr> = self.routes.iter().map(|(_, local)| *local).collect();
        locals.sort_unstable();
        locals.dedup();
        locals
    }

    fn path(&self, remote: SocketAddr) -> Option<Path> {
        let (_, local) = self.routes.iter().find(|(ip, _)| *ip == remote.ip())?;
        Some(Path {
            via: Via::Udp,
            local: *local,
            remote,
        })
    }

    /// The next datagram from an address we know the way to.
    pub(crate) async fn receive(&self, buffer: &mut [u8]) -> io::Result<(usize, Path)> {
        loop {
            let (length, remote) = self.socket.recv_from(buffer).await?;
            if let Some(path) = self.path(remote) {
                return Ok((length, path));
            }
        }
    }

    /// Another datagram, if one is waiting.
    pub(crate) fn try_receive(&self, buffer: &mut [u8]) -> Option<(usize, Path)> {
        let (length, remote) = self.socket.try_recv_from(buffer).ok()?;
        Some((length, self.path(remote)?))
    }

    /// A datagram that cannot be sent is lost, as on any network.
    pub(crate) fn send(&self, payload: &[u8], to: SocketAddr) {
        if let Err(error) = self.socket.try_send_to(payload, to) {
            tracing::trace!(%error, "datagram not sent");
        }
    }
}
