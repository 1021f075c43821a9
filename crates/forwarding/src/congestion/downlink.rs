//! The way to one receiver: what it was sent, what that says of its path, and what waits.

use crate::bucket::Bucket;
use crate::congestion::burst::Burst;
use crate::congestion::pacer::Pacer;
use crate::congestion::{Estimator, FIRST_RATE, PacketResult, SentPackets};
use crate::frame_ids::PREFIX;
use crate::view::ViewKey;
use althing_rtp::rtcp::TransportCc;
use smallvec::SmallVec;
use std::time::{Duration, Instant};

/// Between two looks at the estimate.
pub(crate) const ESTIMATION: Duration = Duration::from_millis(25);
/// Whoever has wanted no video for this long is not estimated any more.
const IDLE: Duration = Duration::from_secs(30);
const STATS: Duration = Duration::from_secs(10);
const AUDIO_WINDOW: Duration = Duration::from_secs(1);

/// A packet that waits: rewritten for its receiver but for the transport-wide number. Its payload
/// is in the history that the source keeps for all.
#[derive(Debug, Clone)]
pub(crate) struct Waiting {
    pub(crate) header: SmallVec<[u8; 64]>,
    /// Where the transport-wide number stands in the header; 0 for nowhere.
    pub(crate) number_at: u16,
    pub(crate) prefix: [u8; PREFIX],
    pub(crate) replaced: u8,
    pub(crate) source: u32,
    pub(crate) outlet: u32,
    pub(crate) view: ViewKey,
    /// In the history.
    pub(crate) kept: u64,
    /// In 64 bits, as sent.
    pub(crate) sequence: u64,
}

/// What a look at the estimate asks of the conference.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Due {
    /// The client is to be told this estimate (bit/s).
    pub(crate) told: Option<u64>,
    /// Padding is to be sent.
    pub(crate) probe: bool,
    /// Nothing is left to be looked at.
    pub(crate) idle: bool,
}

/// What one receiver is sent besides video.
#[derive(Debug, Default)]
struct Audio {
    bytes: u64,
    counted: u64,
    since: Option<Instant>,
    /// In bit/s.
    rate: u64,
}

#[derive(Debug)]
pub(crate) struct Downlink {
    /// The client takes part in transport-wide congestion control.
    negotiated: bool,
    /// Packets are being numbered: it is sent video, or was a moment ago.
    numbering: bool,
    sent: SentPackets,
    estimator: Option<Box<Estimator>>,
    pub(crate) pacer: Pacer<Waiting>,
    pub(crate) burst: Option<Burst>,
    feedback: Bucket,
    goal: u64,
    audio: Audio,
    wanted: Option<Instant>,
    told: Option<Instant>,
    /// It is in the conference's list of those with something to pace.
    pub(crate) listed: bool,
    /// What tests say that the path carries.
    #[cfg(test)]
    pub(crate) assumed: Option<u64>,
    /// Numbers of padding on the bridge's own SSRC. Without gaps: receivers ask for what is missing.
    pub(crate) padding: u16,
    /// Counts the packets that were sent again as padding.
    pub(crate) padded: u64,
}

impl Downlink {
    pub(crate) fn new() -> Self {
        Self {
            negotiated: false,
            numbering: false,
            sent: SentPackets::default(),
            estimator: None,
            pacer: Pacer::default(),
            burst: None,
            // Browsers report twenty times a second at most.
            feedback: Bucket::new(100, 100),
            goal: 0,
            audio: Audio::default(),
            wanted: None,
            told: None,
            listed: false,
            #[cfg(test)]
            assumed: None,
            padding: 0,
            padded: 0,
        }
    }

    pub(crate) const fn set_negotiated(&mut self, negotiated: bool) {
        self.negotiated = negotiated;
        if !negotiated {
            self.numbering = false;
        }
    }

    /// Whether its packets carry transport-wide numbers now.
    pub(crate) const fn numbers(&self) -> bool {
        self.numbering
    }

    /// It is about to be sent video: from now on its packets are numbered, audio too. Whether that
    /// begins now.
    pub(crate) const fn begin(&mut self) -> bool {
        !std::mem::replace(&mut self.numbering, self.negotiated) && self.numbering
    }

    /// Numbers a packet of `size` bytes that is leaving.
    pub(crate) fn number(&mut self, now: Instant, size: usize) -> u16 {
        if let Some(burst) = &mut self.burst {
            burst.sent(now, size);
        }
        self.sent.record(now, size)
    }

    pub(crate) fn audio_sent(&mut self, size: usize) {
        self.audio.bytes += size as u64;
        self.pacer.spend(size);
    }

    /// What video may take, in bit/s; nothing for no limit.
    pub(crate) fn budget(&self) -> Option<u64> {
        #[cfg(test)]
        if self.assumed.is_some() {
            return self.assumed;
        }
        let estimator = self.estimator.as_deref()?;
        Some(estimator.rate().saturating_sub(self.audio.rate))
    }

    /// Whether the path is known to carry less than every path is thought to at first.
    pub(crate) fn is_narrow(&self) -> bool {
        #[cfg(test)]
        if let Some(rate) = self.assumed {
            return rate < FIRST_RATE;
        }
        self.estimate().is_some_and(|rate| rate < FIRST_RATE)
    }

    /// What the receiver's path carries, in bit/s, once anything is known of it.
    pub(crate) fn estimate(&self) -> Option<u64> {
        self.estimator.as_deref().map(Estimator::rate)
    }

    /// What arrives of what it is sent, in bit/s.
    pub(crate) fn acknowledged(&self) -> Option<u64> {
        self.estimator.as_deref().and_then(Estimator::acked)
    }

    /// Takes in a feedback; `results` is scratch. Returns how many numbers of it were unknown.
    pub(crate) fn feedback(
        &mut self,
        now: Instant,
        feedback: &TransportCc<'_>,
        results: &mut Vec<PacketResult>,
    ) -> u64 {
        if !self.negotiated || self.sent.packets() == 0 || !self.feedback.take(now) {
            return 0;
        }
        results.clear();
        let useless = self
            .sent
            .acknowledge(now, feedback.reference, feedback.statuses(), results);
        if self.estimator.is_none() {
            if results.iter().all(|r| r.arrival.is_none()) {
                return useless.unmatched;
            }
            let mut estimator = Box::new(Estimator::new(now));
            estimator.set_goal(now, self.goal);
            self.estimator = Some(estimator);
        }
        if let Some(estimator) = &mut self.estimator {
            estimator.feedback(now, results, self.sent.packets());
            self.pacer.set_estimate(estimator.rate());
        }
        useless.unmatched
    }

    /// To be called each [`ESTIMATION`] while something is numbered; `wanted` is what video could
    /// use (bit/s), if the receiver wants any.
    pub(crate) fn tick(&mut self, now: Instant, wanted: Option<u64>) -> Due {
        let mut due = Due::default();
        if wanted.is_some() || self.wanted.is_none() {
            self.wanted = Some(now);
        }
        self.measure_audio(now);
        let idle = self
            .wanted
            .is_some_and(|at| now.saturating_duration_since(at) > IDLE);
        if idle || !self.numbering {
            self.numbering = false;
            self.wanted = None;
            due.idle = true;
        }
        let goal = wanted.map_or(0, |video| video.saturating_add(self.audio.rate));
        let goal_changed = std::mem::replace(&mut self.goal, goal) != goal;
        let Some(estimator) = &mut self.estimator else {
            return due;
        };
        if goal_changed {
            estimator.set_goal(now, goal);
        }
        estimator.tick(now, self.sent.bytes(), self.sent.packets());
        self.pacer.set_estimate(estimator.rate());
        let told_long_ago = self
            .told
            .is_none_or(|at| now.saturating_duration_since(at) >= STATS);
        if told_long_ago {
            self.told = Some(now);
            due.told = Some(estimator.rate());
        }
        due.probe = self.numbering && self.burst.is_none() && estimator.has_probe();
        due
    }

    fn measure_audio(&mut self, now: Instant) {
        let since = *self.audio.since.get_or_insert(now);
        let span = now.saturating_duration_since(since);
        if span < AUDIO_WINDOW {
            return;
        }
        let bits = (self.audio.bytes - self.audio.counted) as f64 * 8.0;
        self.audio.counted = self.audio.bytes;
        self.audio.since = Some(now);
        self.audio.rate = (bits / span.as_secs_f64()) as u64;
    }

    /// Begins the probe that waits, if none is being sent; whether there is one.
    pub(crate) fn begin_probe(&mut self, now: Instant) -> bool {
        if self.burst.is_none()
            && let Some(cluster) = self.estimator.as_mut().and_then(|e| e.poll_probe())
        {
            self.burst = Some(Burst::new(cluster, now));
            self.sent.cluster = cluster.id;
        }
        self.burst.is_some()
    }

    /// Ends the probe being sent, if it is over.
    pub(crate) fn end_probe(&mut self, now: Instant) {
        if self.burst.is_some_and(|b| b.is_over(now)) {
            self.burst = None;
            self.sent.cluster = 0;
        }
    }
}
