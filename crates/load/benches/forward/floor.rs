//! The floor: nothing but AES-128-GCM in place and batched sends of the same packets. What comes in
//! is not decrypted, nothing is remembered, nobody is asked, nothing is told.
//!
//! It is this program started once more, `forward floor RECEIVERS FIRST PORT MODE`, and it prints
//! its port.

use crate::engine::SERVER;
use crate::wire::address;
use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use nix::errno::Errno;
use nix::sys::socket::{
    ControlMessage, MsgFlags, MultiHeaders, SockaddrIn, recv, sendmmsg, sendmsg, setsockopt,
    sockopt,
};
use std::io::IoSlice;
use std::net::{SocketAddrV4, UdpSocket};
use std::os::fd::AsRawFd;

const TAG: usize = 16;
const HEADER: usize = 20;
/// Packets sealed and sent together: as many as were waiting, up to this.
const BURST: usize = 16;
/// Datagrams in one send call.
const BATCH: usize = 64;

struct Receiver {
    key: LessSafeKey,
    address: SockaddrIn,
    /// Sealed packets, side by side.
    buffer: Vec<u8>,
}

impl Receiver {
    fn new(number: usize, port: u16) -> Self {
        let mut key = [0x5a; 16];
        key[..8].copy_from_slice(&number.to_be_bytes());
        Self {
            key: LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &key).unwrap()),
            address: SockaddrIn::from(SocketAddrV4::new(address(number), port)),
            buffer: Vec::with_capacity(BURST * 2048),
        }
    }

    /// Header as it is, payload sealed where it lies, tag behind it.
    fn seal(&mut self, packet: &[u8], index: u64) {
        let start = self.buffer.len();
        self.buffer.extend_from_slice(packet);
        let (text, _) = self.buffer[start..].split_at_mut(packet.len() - TAG);
        let (header, text) = text.split_at_mut(HEADER);
        let mut nonce = [0; 12];
        nonce[4..].copy_from_slice(&index.to_be_bytes());
        let nonce = Nonce::assume_unique_for_key(nonce);
        let aad = Aad::from(&*header);
        let tag = self.key.seal_in_place_separate_tag(nonce, aad, text);
        let end = self.buffer.len();
        self.buffer[end - TAG..].copy_from_slice(tag.unwrap().as_ref());
    }
}

pub(crate) fn run(mut words: impl Iterator<Item = String>) -> ! {
    let mut number = || words.next().unwrap().parse::<usize>().unwrap();
    let (count, first, port, gso) = (number(), number(), number(), number() == 1);
    let port = u16::try_from(port).unwrap();
    let socket = UdpSocket::bind((SERVER, 0)).unwrap();
    setsockopt(&socket, sockopt::SndBufForce, &(12 << 20)).ok();
    println!("{}", socket.local_addr().unwrap().port());
    let mut receivers: Vec<Receiver> = (first..first + count)
        .map(|number| Receiver::new(number, port))
        .collect();
    let mut packets = vec![[0; 2048]; BURST];
    let mut index = 0;
    loop {
        // What is here, at least one.
        let mut lengths = [0; BURST];
        let mut taken = 0;
        let mut flags = MsgFlags::empty();
        while taken < BURST {
            match recv(socket.as_raw_fd(), &mut packets[taken], flags) {
                Ok(length) => lengths[taken] = length,
                Err(_) => break,
            }
            taken += 1;
            flags = MsgFlags::MSG_DONTWAIT;
        }
        for receiver in &mut receivers {
            receiver.buffer.clear();
            for (packet, length) in packets.iter().zip(lengths).take(taken) {
                index += 1;
                receiver.seal(&packet[..length], index);
            }
        }
        if gso {
            send_runs(&socket, &receivers, lengths[0]);
        } else {
            for packet in 0..taken {
                send_singly(&socket, &receivers, packet * lengths[0], lengths[packet]);
            }
        }
    }
}

/// A receiver's packets in one call, which the kernel cuts up (GSO).
fn send_runs(socket: &UdpSocket, receivers: &[Receiver], length: usize) {
    let segment = u16::try_from(length).unwrap();
    for receiver in receivers {
        sendmsg(
            socket.as_raw_fd(),
            &[IoSlice::new(&receiver.buffer)],
            &[ControlMessage::UdpGsoSegments(&segment)],
            MsgFlags::empty(),
            Some(&receiver.address),
        )
        .unwrap();
    }
}

/// One packet of each receiver, many receivers in one call.
fn send_singly(socket: &UdpSocket, receivers: &[Receiver], at: usize, length: usize) {
    for batch in receivers.chunks(BATCH) {
        let slices: Vec<[IoSlice<'_>; 1]> = batch
            .iter()
            .map(|receiver| [IoSlice::new(&receiver.buffer[at..at + length])])
            .collect();
        let addresses: Vec<Option<SockaddrIn>> = batch.iter().map(|r| Some(r.address)).collect();
        let mut headers = MultiHeaders::preallocate(batch.len(), None);
        let sent = sendmmsg(
            socket.as_raw_fd(),
            &mut headers,
            &slices,
            &addresses,
            [],
            MsgFlags::empty(),
        );
        assert!(
            matches!(sent, Ok(_) | Err(Errno::EINTR)),
            "{:?}",
            sent.err()
        );
    }
}
