//! What a worker counts: plain numbers in its own memory, copied to where others may read them
//! after each batch.

use althing_transport::{DropReason, FailureReason};
use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counts {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Everything counted once per worker.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Count { $($(#[$doc])* $name,)* }
        const COUNTS: usize = [$(Count::$name),*].len();
    };
}

counts! {
    /// Datagrams that arrived, whatever became of them.
    PacketsReceived,
    BytesReceived,
    PacketsSent,
    BytesSent,
    /// Decrypted RTP and RTCP handed to a conference.
    RtpReceived,
    RtcpReceived,
    /// RTP and RTCP sealed for a receiver.
    RtpSent,
    RtcpSent,
    /// Datagrams from an address nobody has proved to own.
    DroppedUnknownAddress,
    /// Binding requests for no endpoint of ours.
    DroppedUnknownUfrag,
    /// Datagrams without a usable source or destination address.
    DroppedUnroutable,
    /// Media for a receiver that has no path.
    DroppedNoPath,
    /// Media that could not be sealed.
    DroppedUnsealed,
    SendWouldBlock,
    SendNoBuffers,
    SendTooLarge,
    SendUnreachable,
    SendOther,
    ReceiveErrors,
    /// Datagrams that arrived at another worker than their conference's.
    Handovers,
    /// Those the other worker had no room for.
    HandoversDropped,
    /// Checks of unproved paths the other worker had no room for.
    HandoverChecksDropped,
    ConferencesCreated,
    ConferencesEnded,
    EndpointsCreated,
    EndpointsExpired,
    EndpointsDisconnected,
    EndpointsReconnected,
    TransportsConnected,
    TransportsFailedIce,
    TransportsFailedDtls,
    Panics,
    KeyframeRequestsSent,
    NacksSent,
    Retransmissions,
    // From here on: how many there are now.
    Conferences,
    Endpoints,
    EndpointsConnected,
    EndpointsInactive,
    /// Entries of the address table, those for other workers included.
    Addresses,
    LargestConference,
}

const DROPS: usize = DropReason::ALL.len();

/// The counts of one worker.
#[derive(Debug, Clone)]
pub(crate) struct Counters {
    counts: [u64; COUNTS],
    drops: [u64; DROPS],
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            counts: [0; COUNTS],
            drops: [0; DROPS],
        }
    }
}

impl Counters {
    pub(crate) const fn add(&mut self, count: Count, by: u64) {
        self.counts[count as usize] += by;
    }

    pub(crate) const fn one(&mut self, count: Count) {
        self.add(count, 1);
    }

    pub(crate) const fn set(&mut self, count: Count, value: u64) {
        self.counts[count as usize] = value;
    }

    pub(crate) const fn get(&self, count: Count) -> u64 {
        self.counts[count as usize]
    }

    pub(crate) const fn dropped(&mut self, reason: DropReason) {
        self.drops[reason as usize] += 1;
    }

    pub(crate) const fn drops(&self, reason: DropReason) -> u64 {
        self.drops[reason as usize]
    }

    pub(crate) const fn failed(&mut self, reason: FailureReason) {
        self.one(match reason {
            FailureReason::Ice | FailureReason::Consent => Count::TransportsFailedIce,
            FailureReason::Dtls | FailureReason::DtlsTimeout | FailureReason::Fingerprint => {
                Count::TransportsFailedDtls
            }
        });
    }

    /// Adds another worker's.
    pub(crate) fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
        for (mine, theirs) in self.drops.iter_mut().zip(&other.drops) {
            *mine += theirs;
        }
        let largest = Count::LargestConference as usize;
        self.counts[largest] =
            (self.counts[largest] - other.counts[largest]).max(other.counts[largest]);
    }
}

/// Where a worker's counts can be read by others, one batch old at most.
#[derive(Debug)]
pub(crate) struct SharedCounters {
    counts: [AtomicU64; COUNTS],
    drops: [AtomicU64; DROPS],
}

impl SharedCounters {
    pub(crate) const fn new() -> Self {
        Self {
            counts: [const { AtomicU64::new(0) }; COUNTS],
            drops: [const { AtomicU64::new(0) }; DROPS],
        }
    }

    pub(crate) fn publish(&self, counters: &Counters) {
        for (shared, value) in self.counts.iter().zip(&counters.counts) {
            shared.store(*value, Ordering::Relaxed);
        }
        for (shared, value) in self.drops.iter().zip(&counters.drops) {
            shared.store(*value, Ordering::Relaxed);
        }
    }

    pub(crate) fn read(&self) -> Counters {
        Counters {
            counts: std::array::from_fn(|i| self.counts[i].load(Ordering::Relaxed)),
            drops: std::array::from_fn(|i| self.drops[i].load(Ordering::Relaxed)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_add_up_but_the_largest_conference_is_one() {
        let (mut one, mut two) = (Counters::default(), Counters::default());
        one.add(Count::PacketsSent, 3);
        one.set(Count::LargestConference, 7);
        two.add(Count::PacketsSent, 4);
        two.set(Count::LargestConference, 5);
        two.dropped(DropReason::Replayed);
        let shared = SharedCounters::new();
        shared.publish(&two);
        one.merge(&shared.read());
        assert_eq!(one.get(Count::PacketsSent), 7);
        assert_eq!(one.get(Count::LargestConference), 7);
        assert_eq!(one.drops(DropReason::Replayed), 1);
    }
}
