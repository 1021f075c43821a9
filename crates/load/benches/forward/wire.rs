//! The generator's one socket. Everybody has an address of their own in 10.78.0.0/16, which the
//! namespace routes to itself, and all share a port: so one call takes in what arrived for all.

use nix::errno::Errno;
use nix::libc::{in_addr, in_pktinfo};
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, MultiHeaders, SockaddrIn, recvmmsg, sendmsg,
    setsockopt, sockopt,
};
use std::io::{IoSlice, IoSliceMut};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::os::fd::AsRawFd;

/// Datagrams in one receive call.
const BATCH: usize = 64;
const DATAGRAM: usize = 2048;
/// What arrives while the other side of a shared machine has it all for a quarter of a second.
const BUFFER_BYTES: usize = 128 * 1024 * 1024;

pub(crate) struct Wire {
    socket: UdpSocket,
    pub(crate) port: u16,
    buffers: Vec<[u8; DATAGRAM]>,
    /// Datagrams that the kernel had no room for, since the socket was made.
    pub(crate) overflow: u64,
}

/// One datagram as it came.
pub(crate) struct Arrival<'a> {
    /// Whose it is: the last two bytes of its destination.
    pub(crate) to: usize,
    pub(crate) from: SocketAddr,
    /// Nanoseconds since 1970, by the kernel, when it was put into the socket.
    pub(crate) at: u64,
    pub(crate) data: &'a mut [u8],
}

/// The address of one peer.
pub(crate) fn address(peer: usize) -> Ipv4Addr {
    let [high, low] = u16::try_from(peer).expect("65,536 peers").to_be_bytes();
    Ipv4Addr::new(10, 78, high, low)
}

impl Wire {
    pub(crate) fn new() -> Self {
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        // Beyond the system's limit where we may; else up to it.
        setsockopt(&socket, sockopt::RcvBufForce, &BUFFER_BYTES).ok();
        if setsockopt(&socket, sockopt::SndBufForce, &BUFFER_BYTES).is_err() {
            setsockopt(&socket, sockopt::RcvBuf, &BUFFER_BYTES).unwrap();
        }
        setsockopt(&socket, sockopt::ReceiveTimestampns, &true).unwrap();
        setsockopt(&socket, sockopt::Ipv4PacketInfo, &true).unwrap();
        setsockopt(&socket, sockopt::RxqOvfl, &1).unwrap();
        Self {
            port: socket.local_addr().unwrap().port(),
            socket,
            buffers: vec![[0; DATAGRAM]; BATCH],
            overflow: 0,
        }
    }

    /// Hands over what has arrived, one batch; returns how many there were.
    pub(crate) fn receive(&mut self, mut each: impl FnMut(Arrival<'_>)) -> usize {
        let metas = Self::batch(&self.socket, &mut self.buffers, &mut self.overflow);
        for ((to, at, from, length), buffer) in metas.iter().zip(&mut self.buffers) {
            each(Arrival {
                to: *to,
                from: SocketAddr::V4(*from),
                at: *at,
                data: &mut buffer[..*length],
            });
        }
        metas.len()
    }

    /// Receives into the buffers: for each datagram whose it is, when it came, from where, its length.
    fn batch(
        socket: &UdpSocket,
        buffers: &mut [[u8; DATAGRAM]],
        overflow: &mut u64,
    ) -> Vec<(usize, u64, SocketAddrV4, usize)> {
        // Made anew: the kernel shortens the room for control messages in them at every call.
        let space = nix::cmsg_space!(in_pktinfo, nix::libc::timespec, u32);
        let mut headers = MultiHeaders::<SockaddrIn>::preallocate(BATCH, Some(space));
        let mut slices: Vec<[IoSliceMut<'_>; 1]> = buffers
            .iter_mut()
            .map(|buffer| [IoSliceMut::new(buffer)])
            .collect();
        let arrived = recvmmsg(
            socket.as_raw_fd(),
            &mut headers,
            slices.iter_mut(),
            MsgFlags::MSG_DONTWAIT,
            None,
        );
        let arrived = match arrived {
            Ok(arrived) => arrived,
            Err(Errno::EAGAIN | Errno::EINTR | Errno::ECONNREFUSED) => return Vec::new(),
            Err(error) => panic!("the generator's socket: {error}"),
        };
        let mut metas = Vec::with_capacity(BATCH);
        for message in arrived {
            let (mut to, mut at) = (usize::MAX, 0);
            for control in message.cmsgs().expect("room for what was asked for") {
                match control {
                    ControlMessageOwned::Ipv4PacketInfo(info) => {
                        let [_, _, high, low] = info.ipi_addr.s_addr.to_ne_bytes();
                        to = usize::from(u16::from_be_bytes([high, low]));
                    }
                    ControlMessageOwned::ScmTimestampns(time) => {
                        at = u64::try_from(time.tv_sec()).unwrap() * 1_000_000_000
                            + u64::try_from(time.tv_nsec()).unwrap();
                    }
                    ControlMessageOwned::RxqOvfl(drops) => {
                        *overflow = (*overflow).max(u64::from(drops));
                    }
                    _ => {}
                }
            }
            let from = message.address.expect("UDP has a sender");
            metas.push((to, at, SocketAddrV4::from(from), message.bytes));
        }
        metas
    }

    /// Sends as peer `from`; `segment` bytes each when there are several in `data`.
    pub(crate) fn send(&self, from: usize, to: SocketAddr, data: &[u8], segment: Option<u16>) {
        let SocketAddr::V4(to) = to else { return };
        let info = in_pktinfo {
            ipi_ifindex: 0,
            ipi_spec_dst: in_addr {
                s_addr: u32::from_ne_bytes(address(from).octets()),
            },
            ipi_addr: in_addr { s_addr: 0 },
        };
        let mut controls = vec![ControlMessage::Ipv4PacketInfo(&info)];
        if let Some(segment) = &segment {
            controls.push(ControlMessage::UdpGsoSegments(segment));
        }
        let sent = sendmsg(
            self.socket.as_raw_fd(),
            &[IoSlice::new(data)],
            &controls,
            MsgFlags::MSG_DONTWAIT,
            Some(&SockaddrIn::from(to)),
        );
        if let Err(error) = sent
            && !matches!(error, Errno::ECONNREFUSED)
        {
            panic!("the generator cannot send: {error}");
        }
    }
}
