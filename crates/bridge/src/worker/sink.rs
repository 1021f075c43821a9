use crate::counters::{Count, Counters};
use crate::net::SendQueue;
use crate::worker::PacketKind;
use crate::worker::endpoint::Endpoint;
use crate::worker::handover::Rings;
use althing_forwarding::{EndpointKey, Links, PacketSink};
use althing_transport::{Path, SealError};
use slab::Slab;

/// Takes what a conference forwards: each packet is written once, behind the last one for the same
/// receiver, and sealed where it lies.
pub(super) struct Sink<'a> {
    pub(super) members: &'a [Option<usize>],
    pub(super) endpoints: &'a mut Slab<Endpoint>,
    pub(super) queue: &'a mut SendQueue,
    pub(super) counters: &'a mut Counters,
    pub(super) numbers: &'a [Option<(EndpointKey, u64)>],
    pub(super) rings: &'a mut Rings,
}

impl PacketSink for Sink<'_> {
    fn rtp(&mut self, to: EndpointKey, header: &[u8], payload: [&[u8]; 2]) {
        let Some((endpoint, path)) = receiver(self.endpoints, self.members, to, self.counters)
        else {
            return;
        };
        let plain_len = header.len() + payload[0].len() + payload[1].len();
        let transport = &mut endpoint.transport;
        let sealed = self.queue.push_rtp(
            &mut endpoint.spot,
            path,
            [header, payload[0], payload[1]],
            |buffer| transport.seal_rtp(buffer, header.len(), plain_len),
        );
        count(endpoint, self.counters, Count::RtpSent, sealed);
    }

    fn rtcp(&mut self, to: EndpointKey, packet: &[u8]) {
        let Some((endpoint, path)) = receiver(self.endpoints, self.members, to, self.counters)
        else {
            return;
        };
        let transport = &mut endpoint.transport;
        let sealed = self.queue.push_rtcp(path, packet, |buffer| {
            transport.seal_rtcp(buffer, packet.len())
        });
        count(endpoint, self.counters, Count::RtcpSent, sealed);
    }

    fn relay_rtp(&mut self, from: EndpointKey, to: Links, packet: &[u8]) {
        self.relay(from, to, PacketKind::Rtp, packet);
    }

    fn relay_rtcp(&mut self, from: EndpointKey, to: Links, packet: &[u8]) {
        self.relay(from, to, PacketKind::Rtcp, packet);
    }
}

impl Sink<'_> {
    /// Hands a packet to the workers behind these links.
    fn relay(&mut self, from: EndpointKey, to: Links, kind: PacketKind, packet: &[u8]) {
        let entry = self.numbers.get(from.index()).copied().flatten();
        let Some((_, number)) = entry.filter(|(key, _)| *key == from) else {
            return;
        };
        for link in to.iter() {
            self.rings
                .relay(link.number(), number, kind, packet, self.counters);
        }
    }
}

/// The receiver and the path to it; a key of somebody who left names nobody.
fn receiver<'a>(
    endpoints: &'a mut Slab<Endpoint>,
    members: &[Option<usize>],
    to: EndpointKey,
    counters: &mut Counters,
) -> Option<(&'a mut Endpoint, Path)> {
    let slot = members.get(to.index()).copied().flatten()?;
    let endpoint = endpoints.get_mut(slot).filter(|e| e.key == to)?;
    let path = endpoint.path;
    if path.is_none() {
        counters.one(Count::DroppedNoPath);
    }
    path.map(|path| (endpoint, path))
}

fn count(
    endpoint: &mut Endpoint,
    counters: &mut Counters,
    sent: Count,
    sealed: Result<usize, SealError>,
) {
    match sealed {
        Ok(length) => {
            endpoint.traffic.packets_sent += 1;
            endpoint.traffic.bytes_sent += length as u64;
            counters.one(sent);
        }
        Err(_) => {
            endpoint.traffic.not_sealed += 1;
            counters.one(Count::DroppedUnsealed);
        }
    }
}
