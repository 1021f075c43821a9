//! What a worker counts: plain numbers in its own memory, copied to where others may read them
//! after each batch.

use althing_forwarding::ConferenceCounters;
use althing_transport::{DropReason, FailureReason};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

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
    /// Beyond what one endpoint may send: bytes, packets, RTCP, connectivity checks.
    DroppedOverBitrate,
    DroppedOverPackets,
    DroppedOverRtcp,
    DroppedOverChecks,
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
    /// Packets handed to other parts of their conference.
    Relayed,
    /// Those of endpoints that were not known there.
    RelayedUnknown,
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
    /// Bugs that stopped the whole thread, which began anew.
    WorkerRestarts,
    /// Connected for half a minute without a bridge channel.
    EndpointsWithoutChannel,
    /// Asked the focus to be made anew, because their keys have sealed enough sources.
    EndpointsWornOut,
    /// Refused while there was too much to do.
    EndpointsRefused,
    ConferenceMicroseconds,
    KeyframeRequestsSent,
    NacksSent,
    Retransmissions,
    DominantSpeakerChanges,
    ChannelMessagesRefused,
    SourcesRefused,
    MediaMalformed,
    MediaUnknownPayloadType,
    MediaUnknownSsrc,
    MediaForbidden,
    /// Audio beyond what one endpoint may send.
    MediaOverAudio,
    /// Retransmissions beyond what one endpoint may ask for.
    OverRepairs,
    MediaDuplicate,
    MediaOtherEncoding,
    MediaHidden,
    /// Speech of those who were not among the loudest.
    MediaUnranked,
    KeyframeRequestsReceived,
    KeyframeRequestsRefused,
    /// Reports of losses on the way to us and from us, and the losses in them in 1/256 each.
    LossReportsIn,
    LossIn,
    LossReportsOut,
    LossOut,
    Allocations,
    PaddingBytes,
    UnmatchedFeedback,
    PreemptiveKeyframes,
    PreemptiveKeyframesSuppressed,
    /// What the thread has worked, waiting for arrivals not counted.
    BusyMicroseconds,
    /// How long datagrams were on their way through us, all together.
    DelayMicroseconds,
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

/// Upper ends of the steps that delays are sorted into; a last step has all that is longer.
pub(crate) const DELAY_STEPS: [Duration; 11] = [
    Duration::from_micros(50),
    Duration::from_micros(100),
    Duration::from_micros(200),
    Duration::from_micros(500),
    Duration::from_millis(1),
    Duration::from_millis(2),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(20),
    Duration::from_millis(50),
    Duration::from_millis(100),
];
const DELAYS: usize = DELAY_STEPS.len() + 1;
/// Longer than a datagram waits anywhere: the clock was set meanwhile.
const LONGEST_DELAY: Duration = Duration::from_secs(10);

/// One of a conference's counts.
type OfConference = fn(&ConferenceCounters) -> u64;

/// What conferences count for themselves and workers take over.
const OF_CONFERENCES: &[(Count, OfConference)] = &[
    (Count::KeyframeRequestsSent, |c| c.keyframe_requests),
    (Count::NacksSent, |c| c.nacked),
    (Count::Retransmissions, |c| c.retransmitted),
    (Count::DominantSpeakerChanges, |c| {
        c.dominant_speaker_changes
    }),
    (Count::ChannelMessagesRefused, |c| c.messages_dropped),
    (Count::SourcesRefused, |c| c.sources_refused),
    (Count::MediaMalformed, |c| c.malformed),
    (Count::MediaUnknownPayloadType, |c| c.unknown_payload_type),
    (Count::MediaUnknownSsrc, |c| c.unknown_ssrc),
    (Count::MediaForbidden, |c| c.forbidden),
    (Count::MediaOverAudio, |c| c.over_audio),
    (Count::OverRepairs, |c| c.over_repairs),
    (Count::MediaDuplicate, |c| c.duplicate),
    (Count::MediaOtherEncoding, |c| c.other_encoding),
    (Count::MediaHidden, |c| c.hidden),
    (Count::MediaUnranked, |c| c.unranked),
    (Count::KeyframeRequestsReceived, |c| {
        c.keyframe_requests_received
    }),
    (Count::KeyframeRequestsRefused, |c| {
        c.keyframe_requests_refused
    }),
    (Count::LossReportsIn, |c| c.loss_reports_in),
    (Count::LossIn, |c| c.loss_in),
    (Count::LossReportsOut, |c| c.loss_reports_out),
    (Count::LossOut, |c| c.loss_out),
    (Count::Allocations, |c| c.allocations),
    (Count::PaddingBytes, |c| c.padding),
    (Count::UnmatchedFeedback, |c| c.unmatched_feedback),
    (Count::PreemptiveKeyframes, |c| c.preemptive_keyframes),
    (Count::PreemptiveKeyframesSuppressed, |c| {
        c.preemptive_keyframes_suppressed
    }),
];

/// The counts of one worker.
#[derive(Debug, Clone)]
pub(crate) struct Counters {
    counts: [u64; COUNTS],
    drops: [u64; DROPS],
    delays: [u64; DELAYS],
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            counts: [0; COUNTS],
            drops: [0; DROPS],
            delays: [0; DELAYS],
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

    /// So many datagrams were on their way through us for so long.
    pub(crate) fn delayed(&mut self, delay: Duration, datagrams: u64) {
        if delay > LONGEST_DELAY {
            return;
        }
        let step = DELAY_STEPS.partition_point(|end| *end < delay);
        self.delays[step] += datagrams;
        let microseconds = u64::try_from(delay.as_micros()).unwrap_or(u64::MAX);
        self.add(
            Count::DelayMicroseconds,
            microseconds.saturating_mul(datagrams),
        );
    }

    /// How many datagrams fell into each step of [`DELAY_STEPS`], the last beyond them.
    pub(crate) const fn delays(&self) -> &[u64; DELAYS] {
        &self.delays
    }

    /// How many datagrams were measured, and how many of them took longer than `limit`, which is
    /// one of [`DELAY_STEPS`].
    pub(crate) fn later_than(&self, limit: Duration) -> (u64, u64) {
        let step = DELAY_STEPS.partition_point(|end| *end <= limit);
        (self.delays.iter().sum(), self.delays[step..].iter().sum())
    }

    /// Takes over what a conference has counted since `before`.
    pub(crate) fn take_over(&mut self, before: &ConferenceCounters, now: &ConferenceCounters) {
        for (count, of) in OF_CONFERENCES {
            self.add(*count, of(now).saturating_sub(of(before)));
        }
    }

    /// What was counted since an earlier reading of the same counters; what is a number of things
    /// there are now makes no sense in it.
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        fn minus<const N: usize>(now: &[u64; N], before: &[u64; N]) -> [u64; N] {
            std::array::from_fn(|i| now[i].saturating_sub(before[i]))
        }
        Self {
            counts: minus(&self.counts, &earlier.counts),
            drops: minus(&self.drops, &earlier.drops),
            delays: minus(&self.delays, &earlier.delays),
        }
    }

    /// Adds another worker's.
    pub(crate) fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
        for (mine, theirs) in self.drops.iter_mut().zip(&other.drops) {
            *mine += theirs;
        }
        for (mine, theirs) in self.delays.iter_mut().zip(&other.delays) {
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
    delays: [AtomicU64; DELAYS],
}

impl SharedCounters {
    pub(crate) const fn new() -> Self {
        Self {
            counts: [const { AtomicU64::new(0) }; COUNTS],
            drops: [const { AtomicU64::new(0) }; DROPS],
            delays: [const { AtomicU64::new(0) }; DELAYS],
        }
    }

    pub(crate) fn publish(&self, counters: &Counters) {
        for (shared, value) in self.counts.iter().zip(&counters.counts) {
            shared.store(*value, Ordering::Relaxed);
        }
        for (shared, value) in self.drops.iter().zip(&counters.drops) {
            shared.store(*value, Ordering::Relaxed);
        }
        for (shared, value) in self.delays.iter().zip(&counters.delays) {
            shared.store(*value, Ordering::Relaxed);
        }
    }

    pub(crate) fn read(&self) -> Counters {
        Counters {
            counts: std::array::from_fn(|i| self.counts[i].load(Ordering::Relaxed)),
            drops: std::array::from_fn(|i| self.drops[i].load(Ordering::Relaxed)),
            delays: std::array::from_fn(|i| self.delays[i].load(Ordering::Relaxed)),
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

    #[test]
    fn delays_fall_into_the_step_that_ends_with_them() {
        let mut counters = Counters::default();
        let ms = Duration::from_millis;
        for (delay, datagrams) in [(ms(0), 1), (ms(5), 10), (ms(20), 100), (ms(21), 1_000)] {
            counters.delayed(delay, datagrams);
        }
        counters.delayed(Duration::from_secs(3600), 7);
        let steps: Vec<_> = DELAY_STEPS
            .iter()
            .zip(counters.delays())
            .filter(|(_, count)| **count > 0)
            .map(|(end, count)| (end.as_micros(), *count))
            .collect();
        assert_eq!(
            steps,
            [(50, 1), (5_000, 10), (20_000, 100), (50_000, 1_000)]
        );
        assert_eq!(counters.later_than(ms(20)), (1_111, 1_000));
        assert_eq!(counters.later_than(ms(5)), (1_111, 1_100));
        assert_eq!(
            counters.get(Count::DelayMicroseconds),
            10 * 5_000 + 100 * 20_000 + 1_000 * 21_000
        );
    }

    #[test]
    fn what_was_counted_since_is_the_difference() {
        let mut counters = Counters::default();
        counters.add(Count::RtpSent, 5);
        let earlier = counters.clone();
        counters.add(Count::RtpSent, 2);
        counters.delayed(Duration::from_millis(1), 3);
        let since = counters.since(&earlier);
        assert_eq!(since.get(Count::RtpSent), 2);
        assert_eq!(since.later_than(Duration::ZERO), (3, 3));
    }
}
