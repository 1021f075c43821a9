use crate::StartError;
use crate::net::together::TOGETHER;
use quinn_udp::{Transmit, UdpSockRef, UdpSocketState};
use socket2::{Domain, Protocol, Type};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Room for a quarter of a second at 400 Mbit/s: a keyframe sent to a large room must fit.
const BUFFER_BYTES: usize = 12 * 1024 * 1024;

/// Enough to live with; below it we say what to raise.
const SMALLEST_QUIET_BUFFER: usize = 2 * 1024 * 1024;

/// How often port 0 is tried again when the port found for one family is taken in the other.
const ATTEMPTS: usize = 16;

/// One worker's UDP socket on one address of the media port.
#[derive(Debug)]
pub(crate) struct Socket {
    pub(crate) io: mio::net::UdpSocket,
    pub(crate) state: UdpSocketState,
    /// The address bound, possibly a wildcard.
    pub(crate) bound: SocketAddr,
}

impl Socket {
    /// Whether a datagram from `local` leaves by this socket.
    pub(crate) fn serves(&self, local: SocketAddr) -> bool {
        self.bound.is_ipv4() == local.is_ipv4()
            && (self.bound.ip().is_unspecified() || self.bound.ip() == local.ip())
    }

    /// How many datagrams may leave in one call: one, where each has to say what address it leaves
    /// from.
    pub(crate) fn max_together(&self) -> usize {
        if self.bound.ip().is_unspecified() {
            1
        } else {
            TOGETHER
        }
    }

    /// Sends one datagram, or a run of equal ones. A socket on one address leaves from there
    /// without being told so each time: control messages cost a single datagram 0.15 µs.
    pub(crate) fn send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let Transmit {
            destination,
            contents,
            ecn,
            ..
        } = *transmit;
        if self.bound.ip().is_unspecified() {
            self.state.try_send(UdpSockRef::from(&self.io), transmit)
        } else if transmit.segment_size.is_none() && ecn.is_none() {
            self.io.send_to(contents, destination).map(drop)
        } else {
            let transmit = Transmit {
                src_ip: None,
                ..*transmit
            };
            self.state.try_send(UdpSockRef::from(&self.io), &transmit)
        }
    }
}

/// Opens every worker's sockets. All share one port, the kernel spreads arrivals by address pair.
///
/// # Errors
/// [`StartError::Bind`] when the port is taken or an address is not ours.
pub(crate) fn bind_all(
    port: u16,
    bind: &[IpAddr],
    workers: usize,
) -> Result<Vec<Vec<Socket>>, StartError> {
    let mut last = None;
    for _ in 0..ATTEMPTS {
        match try_bind_all(port, bind, workers) {
            Err(StartError::Bind { source, .. })
                if port == 0 && source.kind() == io::ErrorKind::AddrInUse =>
            {
                last = Some(source);
            }
            result => return result,
        }
    }
    Err(StartError::Bind {
        address: SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0),
        source: last.unwrap_or_else(|| io::ErrorKind::AddrInUse.into()),
    })
}

fn try_bind_all(
    port: u16,
    bind: &[IpAddr],
    workers: usize,
) -> Result<Vec<Vec<Socket>>, StartError> {
    let wildcards = [
        IpAddr::from(Ipv4Addr::UNSPECIFIED),
        IpAddr::from(Ipv6Addr::UNSPECIFIED),
    ];
    let addresses = if bind.is_empty() { &wildcards } else { bind };
    let mut port = port;
    let mut all: Vec<Vec<Socket>> = (0..workers).map(|_| Vec::new()).collect();
    for ip in addresses {
        let address = SocketAddr::new(*ip, port);
        match claim(address) {
            Ok(()) => {}
            Err(source) if bind.is_empty() && ip.is_ipv6() && has_no_ipv6(&source) => {
                tracing::info!("no IPv6 on this machine, media listens on IPv4 only");
                continue;
            }
            Err(source) => return Err(StartError::Bind { address, source }),
        }
        for sockets in &mut all {
            let address = SocketAddr::new(*ip, port);
            let socket = open(address).map_err(|source| StartError::Bind { address, source })?;
            port = socket.bound.port();
            sockets.push(socket);
        }
    }
    if let Some(socket) = all.first().and_then(|sockets| sockets.first()) {
        warn_of_small_buffers(socket);
    }
    Ok(all)
}

/// With SO_REUSEPORT a second server would silently take half of our packets, so the port is first
/// taken without it: that fails where anybody else has it.
fn claim(address: SocketAddr) -> io::Result<()> {
    let socket = socket2::Socket::new(
        Domain::for_address(address),
        Type::DGRAM,
        Some(Protocol::UDP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())
}

fn has_no_ipv6(error: &io::Error) -> bool {
    use nix::errno::Errno;
    error.kind() == io::ErrorKind::AddrNotAvailable
        || error.raw_os_error() == Some(Errno::EAFNOSUPPORT as i32)
}

fn open(address: SocketAddr) -> io::Result<Socket> {
    let socket = socket2::Socket::new(
        Domain::for_address(address),
        Type::DGRAM,
        Some(Protocol::UDP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    // The kernel caps these silently; see `warn_of_small_buffers`.
    socket.set_recv_buffer_size(BUFFER_BYTES)?;
    socket.set_send_buffer_size(BUFFER_BYTES)?;
    socket.bind(&address.into())?;
    let io = mio::net::UdpSocket::from_std(socket.into());
    let bound = io.local_addr()?;
    let state = UdpSocketState::new(UdpSockRef::from(&io))?;
    Ok(Socket { io, state, bound })
}

fn warn_of_small_buffers(socket: &Socket) {
    let reference = UdpSockRef::from(&socket.io);
    let receive = socket.state.recv_buffer_size(reference).unwrap_or(0);
    let reference = UdpSockRef::from(&socket.io);
    let send = socket.state.send_buffer_size(reference).unwrap_or(0);
    if receive.min(send) < SMALLEST_QUIET_BUFFER {
        tracing::warn!(
            receive_bytes = receive,
            send_bytes = send,
            wanted_bytes = BUFFER_BYTES,
            "media socket buffers are small, large rooms will lose packets: raise the sysctls net.core.rmem_max and net.core.wmem_max"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_workers_share_the_port_found() {
        let localhost = IpAddr::from(Ipv4Addr::LOCALHOST);
        let workers = bind_all(0, &[localhost], 3).unwrap();
        let ports: Vec<u16> = workers.iter().map(|w| w[0].bound.port()).collect();
        assert_eq!(ports.len(), 3);
        assert!(ports[0] != 0 && ports.iter().all(|port| *port == ports[0]));
    }

    #[test]
    fn a_port_in_use_is_refused() {
        let localhost = IpAddr::from(Ipv4Addr::LOCALHOST);
        let first = bind_all(0, &[localhost], 1).unwrap();
        let port = first[0][0].bound.port();
        let error = bind_all(port, &[localhost], 1).unwrap_err();
        assert!(error.to_string().contains(&port.to_string()), "{error}");
    }
}
