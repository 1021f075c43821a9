//! Datagrams to many receivers in one call: a packet that goes to fifty would else enter the kernel
//! fifty times.

use rustix::net::addr::SocketAddrArg;
use rustix::net::{MMsgHdr, SendAncillaryBuffer, SendFlags, SocketAddrAny, sendmmsg};
use smallvec::SmallVec;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::fd::AsFd;

/// As many in one call: what they need stands on the stack, about 8 kB.
pub(crate) const TOGETHER: usize = 32;

/// Where one goes, and what is in it.
pub(crate) type Datagram<'a> = (SocketAddr, &'a [u8]);

type Few<T> = SmallVec<[T; TOGETHER]>;

/// Sends them from where the socket is bound; returns how many left, in order.
///
/// # Errors
/// What the system says of the first.
pub(crate) fn send(socket: impl AsFd, datagrams: &[Datagram<'_>]) -> io::Result<usize> {
    let datagrams = &datagrams[..datagrams.len().min(TOGETHER)];
    let addresses: Few<SocketAddrAny> = datagrams.iter().map(|(to, _)| to.as_any()).collect();
    let contents: Few<[IoSlice<'_>; 1]> = datagrams
        .iter()
        .map(|(_, contents)| [IoSlice::new(contents)])
        .collect();
    let mut controls: Few<SendAncillaryBuffer<'_, '_, '_>> =
        datagrams.iter().map(|_| Default::default()).collect();
    let mut messages: Few<MMsgHdr<'_>> = addresses
        .iter()
        .zip(&contents)
        .zip(&mut controls)
        .map(|((to, contents), control)| MMsgHdr::new_with_addr(to, contents, control))
        .collect();
    Ok(sendmmsg(socket, &mut messages, SendFlags::empty())?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;

    #[test]
    fn each_receiver_gets_its_own() {
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        let receivers: Vec<UdpSocket> = (0..TOGETHER + 2)
            .map(|_| UdpSocket::bind("127.0.0.1:0").unwrap())
            .collect();
        let contents: Vec<[u8; 2]> = (0..receivers.len()).map(|i| [i as u8, 7]).collect();
        let datagrams: Vec<Datagram<'_>> = receivers
            .iter()
            .zip(&contents)
            .map(|(r, c)| (r.local_addr().unwrap(), &c[..]))
            .collect();
        assert_eq!(send(&sender, &datagrams).unwrap(), TOGETHER);
        assert_eq!(send(&sender, &datagrams[TOGETHER..]).unwrap(), 2);
        for (receiver, expected) in receivers.iter().zip(contents) {
            let mut buffer = [0; 8];
            let (length, from) = receiver.recv_from(&mut buffer).unwrap();
            assert_eq!(buffer[..length], expected);
            assert_eq!(from, sender.local_addr().unwrap());
        }
    }

    #[test]
    fn one_that_is_refused_ends_the_call() {
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
        let to = receiver.local_addr().unwrap();
        let large = vec![0; 70_000];
        let (small, large) = ((to, &[1][..]), (to, &large[..]));
        assert_eq!(send(&sender, &[small, large, small]).unwrap(), 1);
        let error = send(&sender, &[large, small]).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(nix::libc::EMSGSIZE));
    }
}
