//! What goes back and forth between the worker and its clients.

use super::{MAX_ROUNDS, SEATS, World, back};
use crate::net::Wire;
use althing_model::Ssrc;
use althing_rtp::RtpPacket;
use althing_rtp::rtcp::{Compound, nack, pli};
use althing_transport::{DropReason, Output, Received, SRTP_OVERHEAD};
use quinn_udp::Transmit;
use std::io;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Keeps what the worker sends.
#[derive(Debug, Default)]
pub(super) struct Air(Mutex<Vec<(SocketAddr, Vec<u8>)>>);

impl Air {
    pub(super) fn take(&self) -> Vec<(SocketAddr, Vec<u8>)> {
        let mut sent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut sent)
    }
}

impl Wire for Air {
    fn max_segments(&self, _: SocketAddr) -> usize {
        64
    }

    fn send(&self, _: SocketAddr, transmit: &Transmit<'_>) -> io::Result<()> {
        let size = transmit.segment_size.unwrap_or(transmit.contents.len());
        let mut sent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for datagram in transmit.contents.chunks(size.max(1)) {
            sent.push((transmit.destination, datagram.to_vec()));
        }
        Ok(())
    }
}

impl World {
    pub(super) fn number(&mut self, seat: usize, step: u16) -> Option<u16> {
        let client = self.clients[seat].as_mut()?;
        client.sequence = client.sequence.wrapping_add(step);
        Some(client.sequence)
    }

    /// Seals and sends it; `how` may change a byte on the way, or send it twice.
    pub(super) fn send_rtp(&mut self, seat: usize, mut packet: Vec<u8>, how: u8) {
        let Some(client) = &mut self.clients[seat] else {
            return;
        };
        let Ok(parsed) = RtpPacket::parse(&packet) else {
            return;
        };
        let header = parsed.header().len();
        let plain = packet.len();
        packet.resize(plain + SRTP_OVERHEAD, 0);
        let Ok(length) = client.transport.seal_rtp(&mut packet, header, plain) else {
            return;
        };
        packet.truncate(length);
        if how & 0x7c == 0x7c {
            let place = usize::from(how) % length;
            packet[place] ^= 1;
        }
        let path = client.path;
        if how & 0x7c == 0x78 {
            self.deliver(path, &mut packet.clone());
        }
        self.deliver(path, &mut packet);
    }

    pub(super) fn send_rtcp(&mut self, seat: usize, mut packet: Vec<u8>) {
        let Some(client) = &mut self.clients[seat] else {
            return;
        };
        let plain = packet.len();
        packet.resize(plain + SRTP_OVERHEAD, 0);
        let Ok(length) = client.transport.seal_rtcp(&mut packet, plain) else {
            return;
        };
        packet.truncate(length);
        let path = client.path;
        self.deliver(path, &mut packet);
    }

    /// Tells what arrived, at times twice or not at all.
    pub(super) fn report(&mut self, seat: usize, how: u8) {
        let Some(client) = &mut self.clients[seat] else {
            return;
        };
        let mut packets = Vec::new();
        while client.arrivals.is_pending() {
            let mut packet = Vec::new();
            client.arrivals.build(&mut packet, Ssrc(7), Ssrc(8));
            packets.push(packet);
        }
        for packet in packets {
            for _ in 0..usize::from(how & 3) {
                self.send_rtcp(seat, packet.clone());
            }
        }
    }

    /// Asks for packets and keyframes of what it got.
    pub(super) fn ask(&mut self, seat: usize, a: u8, b: u8) {
        let Some(client) = &self.clients[seat] else {
            return;
        };
        let place = usize::from(a) % client.heard.len().max(1);
        let Some((&ssrc, &last)) = client.heard.iter().nth(place) else {
            return;
        };
        let mut packet = Vec::new();
        let missing = [last.wrapping_sub(u16::from(b)), last];
        nack(&mut packet, Ssrc(7), Ssrc(ssrc), &missing);
        pli(&mut packet, Ssrc(7), Ssrc(ssrc));
        self.send_rtcp(seat, packet);
    }

    /// What the worker sent arrives, what clients have to say to it goes back, until all is quiet.
    pub(super) fn exchange(&mut self) {
        for _ in 0..MAX_ROUNDS {
            let sent = self.air.take();
            let mut quiet = sent.is_empty();
            for (to, mut datagram) in sent {
                self.arrive(to, &mut datagram);
            }
            for seat in 0..SEATS {
                while let Some(client) = &mut self.clients[seat]
                    && let Some(output) = client.transport.poll()
                {
                    if let Output::Transmit { path, mut payload } = output {
                        quiet = false;
                        self.deliver(back(path), &mut payload);
                    }
                }
            }
            if quiet {
                return;
            }
        }
    }

    fn arrive(&mut self, to: SocketAddr, datagram: &mut [u8]) {
        let clients = self.clients.iter_mut().flatten();
        let Some(client) = clients.into_iter().find(|c| c.path.remote == to) else {
            return;
        };
        let path = back(client.path);
        match client.transport.handle_datagram(self.now, path, datagram) {
            Received::Rtp(packet) => {
                self.reached.rtp += 1;
                let packet = RtpPacket::parse(packet).expect("what is forwarded is RTP");
                client.heard.insert(packet.ssrc().0, packet.sequence());
                if let Some(&[high, low]) = packet.extension(5) {
                    let number = u16::from_be_bytes([high, low]);
                    client.arrivals.record(number, self.now - self.began);
                }
            }
            Received::Rtcp(packet) => {
                self.reached.rtcp += 1;
                for item in Compound::new(packet) {
                    item.expect("what is sent is RTCP");
                }
            }
            Received::Dropped(
                reason @ (DropReason::Forged
                | DropReason::Replayed
                | DropReason::Malformed
                | DropReason::Unclassified),
            ) => panic!(
                "a client could not open what it was sent: {}",
                reason.as_str()
            ),
            Received::Handled | Received::Dropped(_) => {}
        }
    }

    pub(super) fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        for _ in 0..300 {
            let clients = self.clients.iter().flatten();
            let timers = clients.filter_map(|client| client.transport.next_timeout());
            let next = timers.chain(self.state.next_timeout()).min();
            let Some(next) = next.filter(|at| *at <= end) else {
                break;
            };
            self.now = self.now.max(next);
            self.state.handle_timeouts(self.now);
            self.finish();
            for client in self.clients.iter_mut().flatten() {
                if client
                    .transport
                    .next_timeout()
                    .is_some_and(|at| at <= self.now)
                {
                    client.transport.handle_timeout(self.now);
                }
            }
            self.exchange();
        }
        self.now = end;
    }
}
