//! Sockets, and which occupant has which address.

use althing_transport::{Path, Via};
use nix::sys::socket::{setsockopt, sockopt};
use quinn_udp::{BATCH_SIZE, RecvMeta, Transmit, UdpSockRef, UdpSocketState};
use std::collections::HashSet;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex};

/// Asked for; only a privileged process gets it whole.
const BUFFER_BYTES: usize = 8 * 1024 * 1024;
/// Room that one occupant should have, in bytes as the kernel counts them: some 25 packets.
const BUFFER_EACH: usize = 25_000;
const FEWEST_TOGETHER: usize = 8;
const MOST_TOGETHER: usize = 256;
/// What one receive call may put into one buffer: the kernel joins datagrams of one sender.
const MAX_DATAGRAM: usize = 64 * 1024;

/// A socket of ours.
#[derive(Debug)]
pub(super) struct Socket {
    pub(super) io: mio::net::UdpSocket,
    state: UdpSocketState,
    pub(super) port: u16,
}

impl Socket {
    /// Opens one on a free port of every address.
    fn open(ipv4: bool) -> io::Result<Self> {
        let any: SocketAddr = if ipv4 {
            (Ipv4Addr::UNSPECIFIED, 0).into()
        } else {
            ([0_u16; 8], 0).into()
        };
        let socket = UdpSocket::bind(any)?;
        socket.set_nonblocking(true)?;
        let io = mio::net::UdpSocket::from_std(socket);
        let state = UdpSocketState::new(UdpSockRef::from(&io))?;
        if setsockopt(&io, sockopt::RcvBufForce, &BUFFER_BYTES).is_err() {
            let _ = state.set_recv_buffer_size(UdpSockRef::from(&io), BUFFER_BYTES);
        }
        let _ = state.set_send_buffer_size(UdpSockRef::from(&io), BUFFER_BYTES);
        let port = io.local_addr()?.port();
        Ok(Self { io, state, port })
    }

    /// How many occupants may share its buffer.
    fn room(&self) -> usize {
        let bytes = self.state.recv_buffer_size(UdpSockRef::from(&self.io));
        (bytes.unwrap_or(0) / BUFFER_EACH).clamp(FEWEST_TOGETHER, MOST_TOGETHER)
    }

    pub(super) fn send(&self, path: Path, datagram: &[u8]) -> io::Result<()> {
        let transmit = Transmit {
            destination: path.remote,
            ecn: None,
            contents: datagram,
            segment_size: None,
            src_ip: Some(path.local.ip()),
        };
        self.state.try_send(UdpSockRef::from(&self.io), &transmit)
    }
}

/// The buffers a thread receives into, kept for its life (2 MiB, touched as needed).
pub(super) struct Buffers {
    storage: Vec<u8>,
    meta: [RecvMeta; BATCH_SIZE],
}

impl Buffers {
    pub(super) fn new() -> Self {
        Self {
            storage: vec![0; MAX_DATAGRAM * BATCH_SIZE],
            meta: [RecvMeta::default(); BATCH_SIZE],
        }
    }

    /// Hands out what has arrived, with the time the kernel saw it in microseconds since 1970;
    /// whether there may be more.
    pub(super) fn receive(
        &mut self,
        socket: &Socket,
        mut datagram: impl FnMut(Option<IpAddr>, SocketAddr, Option<u64>, &mut [u8]),
    ) -> io::Result<bool> {
        let mut chunks = self.storage.chunks_exact_mut(MAX_DATAGRAM);
        let mut slices: [IoSliceMut<'_>; BATCH_SIZE] = std::array::from_fn(|_| {
            IoSliceMut::new(chunks.next().expect("storage holds BATCH_SIZE buffers"))
        });
        let reference = UdpSockRef::from(&socket.io);
        let filled = socket.state.recv(reference, &mut slices, &mut self.meta)?;
        let buffers = self.storage.chunks_exact_mut(MAX_DATAGRAM);
        for (buffer, meta) in buffers.zip(&self.meta).take(filled) {
            let at = meta.timestamp.map(|t| t.as_micros() as u64);
            for data in buffer[..meta.len.min(MAX_DATAGRAM)].chunks_mut(meta.stride.max(1)) {
                datagram(meta.dst_ip, meta.addr, at, data);
            }
        }
        Ok(filled == BATCH_SIZE)
    }
}

/// By which socket and from which address an occupant sends.
pub(super) struct Place {
    pub(super) socket: Arc<Socket>,
    /// Other occupants send by it too, from other addresses.
    pub(super) shared: bool,
    /// Remote address to our own on the way there. Of a shared socket: ours alone.
    pub(super) routes: Vec<(IpAddr, SocketAddr)>,
    _shared: Option<Arc<()>>,
}

impl Place {
    /// Our own addresses, each once.
    pub(super) fn locals(&self) -> Vec<SocketAddr> {
        let mut locals: Vec<SocketAddr> = self.routes.iter().map(|(_, local)| *local).collect();
        locals.sort_unstable();
        locals.dedup();
        locals
    }

    /// The path on which something from `remote` arrived.
    pub(super) fn path(&self, remote: SocketAddr) -> Option<Path> {
        let (_, local) = self.routes.iter().find(|(ip, _)| *ip == remote.ip())?;
        Some(Path {
            via: Via::Udp,
            local: *local,
            remote,
        })
    }
}

/// A socket that occupants of one thread share.
#[derive(Debug)]
struct Shared {
    thread: usize,
    socket: Arc<Socket>,
    room: usize,
    /// Counts its occupants.
    occupants: Arc<()>,
}

/// All sockets of a hub.
#[derive(Debug)]
pub(super) struct Places {
    shared: Mutex<(Vec<Shared>, u32)>,
    ports: Mutex<HashSet<u16>>,
}

impl Places {
    pub(super) fn new() -> Self {
        Self {
            // The first few addresses are in common use for other things.
            shared: Mutex::new((Vec::new(), u32::from(Ipv4Addr::new(127, 1, 0, 1)))),
            ports: Mutex::new(HashSet::new()),
        }
    }

    /// A place from which `candidates` can be reached: those of the family of the first that can.
    pub(super) fn find(&self, candidates: &[SocketAddr], thread: usize) -> io::Result<Place> {
        let mut routes: Vec<(IpAddr, IpAddr)> = Vec::new();
        for candidate in candidates {
            // Connecting a UDP socket sends nothing; it asks the kernel for the route.
            let any: SocketAddr = if candidate.is_ipv4() {
                ([0; 4], 0).into()
            } else {
                ([0_u16; 8], 0).into()
            };
            let probe = UdpSocket::bind(any)
                .and_then(|probe| probe.connect(candidate).and_then(|()| probe.local_addr()));
            if let Ok(local) = probe {
                let first = routes.first();
                if first.is_none_or(|(remote, _)| remote.is_ipv4() == candidate.is_ipv4()) {
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
        let ipv4 = first.is_ipv4();
        // What is reached from its own address is this machine.
        if ipv4 && routes.iter().all(|(remote, local)| remote == local) {
            return self.shared(
                routes.into_iter().map(|(remote, _)| remote).collect(),
                thread,
            );
        }
        let socket = Socket::open(ipv4)?;
        self.note_port(socket.port);
        let port = socket.port;
        Ok(Place {
            socket: Arc::new(socket),
            shared: false,
            routes: routes
                .into_iter()
                .map(|(remote, local)| (remote, SocketAddr::new(local, port)))
                .collect(),
            _shared: None,
        })
    }

    fn note_port(&self, port: u16) {
        let mut ports = self.ports.lock().expect("no holder of the ports panics");
        ports.insert(port);
    }

    fn shared(&self, remotes: Vec<IpAddr>, thread: usize) -> io::Result<Place> {
        let mut guard = self.shared.lock().expect("no holder of the sockets panics");
        let (sockets, next) = &mut *guard;
        let own = IpAddr::from(Ipv4Addr::from(*next));
        // Round and round in 127.1.0.1 to 127.254.255.254, without the ends of a range.
        *next = match *next {
            n if n >= u32::from(Ipv4Addr::new(127, 254, 255, 254)) => {
                u32::from(Ipv4Addr::new(127, 1, 0, 1))
            }
            n => n + 1,
        };
        let has_room =
            |s: &&Shared| s.thread == thread && Arc::strong_count(&s.occupants) <= s.room;
        let shared = match sockets.iter().find(has_room) {
            Some(shared) => shared,
            None => {
                let socket = Socket::open(true)?;
                self.note_port(socket.port);
                sockets.push(Shared {
                    thread,
                    room: socket.room(),
                    socket: Arc::new(socket),
                    occupants: Arc::default(),
                });
                sockets.last().expect("just pushed")
            }
        };
        let local = SocketAddr::new(own, shared.socket.port);
        Ok(Place {
            socket: Arc::clone(&shared.socket),
            shared: true,
            routes: remotes.into_iter().map(|remote| (remote, local)).collect(),
            _shared: Some(Arc::clone(&shared.occupants)),
        })
    }

    /// Datagrams that the kernel dropped since our buffers were full, as far as it says.
    pub(super) fn overflowed(&self) -> u64 {
        let ports = self.ports.lock().expect("no holder of the ports panics");
        ["/proc/self/net/udp", "/proc/self/net/udp6"]
            .iter()
            .filter_map(|file| std::fs::read_to_string(file).ok())
            .flat_map(|table| {
                let rows: Vec<u64> = table
                    .lines()
                    .skip(1)
                    .filter_map(|line| drops(line, &ports))
                    .collect();
                rows
            })
            .sum()
    }
}

/// The last column of a row of `/proc/net/udp`, if the row is of one of our ports.
fn drops(row: &str, ports: &HashSet<u16>) -> Option<u64> {
    let mut columns = row.split_whitespace();
    let local = columns.nth(1)?;
    let port = u16::from_str_radix(local.rsplit_once(':')?.1, 16).ok()?;
    ports
        .contains(&port)
        .then(|| columns.next_back()?.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn occupants_of_a_server_on_this_machine_share_a_socket_under_addresses_of_their_own() {
        let places = Places::new();
        let server: SocketAddr = ([127, 0, 0, 1], 10_000).into();
        let (one, two) = (
            places.find(&[server], 0).unwrap(),
            places.find(&[server], 0).unwrap(),
        );
        assert!(one.shared && two.shared);
        assert_eq!(one.socket.port, two.socket.port);
        assert_ne!(one.locals(), two.locals());
        assert!(one.locals()[0].ip().is_loopback());
        assert_eq!(one.path(server).unwrap().local, one.locals()[0]);
        // Threads do not.
        let other = places.find(&[server], 1).unwrap();
        assert_ne!(other.socket.port, one.socket.port);
    }

    #[test]
    fn a_datagram_from_a_shared_socket_has_its_own_sender_and_comes_back_to_it() {
        let places = Places::new();
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = server.local_addr().unwrap();
        let place = places.find(&[address], 0).unwrap();
        let path = place.path(address).unwrap();
        place.socket.send(path, b"hello").unwrap();
        let mut buffer = [0; 16];
        let (length, from) = server.recv_from(&mut buffer).unwrap();
        assert_eq!((length, from), (5, path.local));
        server.send_to(b"back", from).unwrap();
        let mut buffers = Buffers::new();
        let mut got = Vec::new();
        buffers
            .receive(&place.socket, |to, remote, at, data| {
                got.push((to, remote, at.is_some(), data.to_vec()));
            })
            .unwrap();
        assert_eq!(
            got,
            [(Some(path.local.ip()), address, true, b"back".to_vec())]
        );
    }

    #[test]
    fn no_candidate_is_an_error() {
        assert!(Places::new().find(&[], 0).is_err());
    }

    #[test]
    fn drops_are_read_of_our_ports_only() {
        let row = "  213: 00000000:2710 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 25371 2 0000000000000000 42";
        assert_eq!(drops(row, &HashSet::from([10_000])), Some(42));
        assert_eq!(drops(row, &HashSet::from([10_001])), None);
    }
}
