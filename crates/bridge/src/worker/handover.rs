//! What arrives at one worker and belongs to another.
//!
//! Two rings lead to each worker. Datagrams of proved paths, and what workers tell each other about
//! paths, share one; checks that only claim to be the worker's, by the first letter of the fragment
//! in them, have another, much shorter one, since anybody on the internet can make them. **And when
//! full?** A check is dropped and counted: a client that has yet to connect sends it again within
//! half a second, and who is connected does not notice, because their checks come by proved paths.

use crate::counters::{Count, Counters};
use crate::worker::address::Owner;
use crate::worker::{Handover, PacketKind, Shared, State, ufrag_owner};
use althing_transport::{Path, binding_ufrag};
use std::sync::Arc;
use std::time::Instant;

/// Buffers that are kept to be used again hold this much at most.
const MAX_SPARE_BYTES: usize = 4096;

/// Whose a datagram is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// The endpoint's in this slot of ours.
    Here(usize),
    /// Another worker's, who has proved its path.
    Proved(usize),
    /// Another worker's, as the datagram itself says.
    Claimed(usize),
}

/// The ways to other workers.
#[derive(Debug)]
pub(super) struct Rings {
    index: usize,
    shared: Arc<Shared>,
    // Buffers that come back from others.
    spare: crossbeam_channel::Receiver<Vec<u8>>,
    // Those that have something new on their rings, one bit each.
    to_wake: u64,
}

impl Rings {
    pub(super) const fn new(
        index: usize,
        shared: Arc<Shared>,
        spare: crossbeam_channel::Receiver<Vec<u8>>,
    ) -> Self {
        Self {
            index,
            shared,
            spare,
            to_wake: 0,
        }
    }

    /// Before the batch ends, the worker is woken.
    pub(super) const fn wake(&mut self, worker: usize) {
        self.to_wake |= 1 << worker;
    }

    pub(super) fn wake_all(&mut self) {
        while self.to_wake != 0 {
            let peer = self.to_wake.trailing_zeros() as usize;
            self.to_wake &= self.to_wake - 1;
            // See `WorkerHandle::wake`.
            self.shared.peers[peer].waker.wake().ok();
        }
    }

    fn copy(&self, data: &[u8]) -> Vec<u8> {
        let mut buffer = self.spare.try_recv().unwrap_or_default();
        buffer.clear();
        buffer.extend_from_slice(data);
        buffer
    }

    /// Puts something on a worker's ring; `false` when it is full.
    fn tell(&mut self, worker: usize, message: Handover, counters: &mut Counters) -> bool {
        let told = self.shared.peers[worker].ring.try_send(message).is_ok();
        if told {
            self.wake(worker);
        } else {
            counters.one(Count::HandoversDropped);
        }
        told
    }

    /// Puts an endpoint's packet on a worker's ring; lost when that is full.
    pub(super) fn relay(
        &mut self,
        worker: usize,
        number: u64,
        kind: PacketKind,
        packet: &[u8],
        counters: &mut Counters,
    ) {
        let packet = Handover::Packet {
            from: self.index,
            number,
            kind,
            data: self.copy(packet),
        };
        if self.tell(worker, packet, counters) {
            counters.one(Count::Relayed);
        }
    }

    /// Gives back the buffers that wait to be used again.
    pub(super) fn release(&self) {
        while self.spare.try_recv().is_ok() {}
    }
}

impl State {
    /// Something from another worker.
    pub(super) fn handle_handover(&mut self, now: Instant, handover: Handover) {
        match handover {
            Handover::Datagram {
                from,
                path,
                mut data,
            } => {
                self.handed_over(now, from, path, &mut data);
                self.give_back(from, data);
            }
            Handover::Route { path, owner } => {
                if !self.is_in_use(now, path) {
                    self.addresses.learn(path, owner, now);
                }
            }
            Handover::Unroute { path, owner } => {
                self.addresses.remove(&path, Owner::Worker(owner));
            }
            Handover::Packet {
                from,
                number,
                kind,
                data,
            } => {
                self.handle_packet(now, number, kind, &data);
                self.give_back(from, data);
            }
            Handover::Relay {
                from,
                number,
                message,
            } => self.handle_relay(now, from, number, message),
            Handover::Listening { from, conference } => {
                self.handle_listening(now, from, &conference);
            }
        }
    }

    /// Lets the worker that filled a buffer use it again. Not one that holds more than any network
    /// carries at once: thousands are kept, and a sender chooses how much is in them.
    fn give_back(&self, worker: usize, buffer: Vec<u8>) {
        if buffer.capacity() <= MAX_SPARE_BYTES {
            // No room means that it has buffers enough.
            self.shared.peers[worker].spare.try_send(buffer).ok();
        }
    }

    fn handed_over(&mut self, now: Instant, from: usize, path: Path, data: &mut [u8]) {
        let is_check = binding_ufrag(data).is_some();
        match self.find_owner(&path, data) {
            Ok(Found::Here(slot)) => {
                self.deliver(now, slot, path, data);
                if is_check {
                    // The check may have proved the path. Said again with every later check, so
                    // that a lost message heals.
                    self.drain_endpoint(now, slot);
                    self.route_at(from, slot, path);
                }
            }
            Ok(Found::Proved(_) | Found::Claimed(_)) => {
                self.counters.one(Count::DroppedUnknownAddress);
            }
            Err(reason) => {
                self.counters.one(reason);
                if !is_check {
                    let owner = self.index;
                    self.tell_peer(from, Handover::Unroute { path, owner });
                }
            }
        }
    }

    /// A first check is known by the fragment in it, all else by the path it came on. Whoever is
    /// neither gets no answer.
    pub(super) fn find_owner(&self, path: &Path, data: &[u8]) -> Result<Found, Count> {
        // Only STUN begins with 0 to 3: nothing else is searched for a fragment.
        if data.first().is_some_and(|first| *first < 4)
            && let Some(ufrag) = binding_ufrag(data)
        {
            if let Some(slot) = self.by_ufrag.get(ufrag) {
                return Ok(Found::Here(*slot));
            }
            let worker = ufrag_owner(ufrag, self.shared.peers.len())
                .filter(|worker| *worker != self.index)
                .ok_or(Count::DroppedUnknownUfrag)?;
            let is_proved = self.addresses.get(path) == Some(Owner::Worker(worker));
            return Ok(if is_proved {
                Found::Proved(worker)
            } else {
                Found::Claimed(worker)
            });
        }
        match self.addresses.get(path) {
            Some(Owner::Here(slot)) => Ok(Found::Here(slot)),
            Some(Owner::Worker(worker)) => Ok(Found::Proved(worker)),
            None => Err(Count::DroppedUnknownAddress),
        }
    }

    /// Passes on a datagram of a path that the other worker has proved to be its own.
    pub(super) fn hand_over(&mut self, worker: usize, path: Path, data: &[u8]) {
        let datagram = self.copy(path, data);
        if self.tell_peer(worker, datagram) {
            self.counters.one(Count::Handovers);
        }
    }

    /// Passes on a check of which only the fragment says whose it is.
    pub(super) fn hand_over_check(&mut self, worker: usize, path: Path, data: &[u8]) {
        let checks = &self.shared.peers[worker].checks;
        // Before the copy: while a flood lasts, most find no room.
        let has_room = !checks.is_full() && {
            let check = self.copy(path, data);
            self.shared.peers[worker].checks.try_send(check).is_ok()
        };
        if has_room {
            self.rings.wake(worker);
            self.counters.one(Count::Handovers);
        } else {
            self.counters.one(Count::HandoverChecksDropped);
        }
    }

    fn copy(&self, path: Path, data: &[u8]) -> Handover {
        Handover::Datagram {
            from: self.index,
            path,
            data: self.rings.copy(data),
        }
    }

    /// Puts something on another worker's ring; `false` when it is full.
    pub(super) fn tell_peer(&mut self, worker: usize, message: Handover) -> bool {
        self.rings.tell(worker, message, &mut self.counters)
    }

    /// Tells the worker where a proved path arrives whose it is.
    fn route_at(&mut self, worker: usize, slot: usize, path: Path) {
        let Some(endpoint) = self.endpoints.get_mut(slot) else {
            return;
        };
        let Some(bound) = endpoint.paths.iter_mut().find(|bound| bound.path == path) else {
            return;
        };
        bound.arrives_at = Some(worker);
        let owner = self.index;
        self.tell_peer(worker, Handover::Route { path, owner });
    }
}
