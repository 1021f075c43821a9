//! What takes a walk over all endpoints to know: asked for every few seconds, and left where
//! others may read it.

use crate::worker::State;
use std::time::{Duration, Instant};

/// Upper ends of the sizes that conferences are sorted into; a last step has all that are larger.
pub(crate) const SIZE_STEPS: [usize; 8] = [1, 2, 4, 8, 16, 50, 100, 500];
const SIZES: usize = SIZE_STEPS.len() + 1;

/// One worker's endpoints and conferences, looked at one by one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Survey {
    /// Sum and number of the round trip times known.
    pub(crate) rtt: Duration,
    pub(crate) rtts: u64,
    /// Connected endpoints without a bridge channel.
    pub(crate) without_channel: u64,
    /// Conferences by their sizes, and all endpoints in them.
    pub(crate) sizes: [u64; SIZES],
    pub(crate) endpoints: u64,
    /// The most video that one receiver is sent.
    pub(crate) most_pictures: u32,
    /// Endpoints by what they send.
    pub(crate) sending_audio: u64,
    pub(crate) sending_video: u64,
    pub(crate) receive_only: u64,
    pub(crate) slots: u64,
    pub(crate) slots_used: u64,
    /// Video sent to receivers by its height: up to 180, 360, 720 px, and more.
    pub(crate) pictures: [u64; 4],
    /// Wanted, and not carried by the receiver's path.
    pub(crate) suspended: u64,
    pub(crate) with_suspended: u64,
    pub(crate) oversending: u64,
    /// Receivers with an estimate of their path, and its sum in bit/s.
    pub(crate) estimates: u64,
    pub(crate) estimated: u64,
}

impl Survey {
    /// Adds another worker's.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.rtt += other.rtt;
        self.rtts += other.rtts;
        self.without_channel += other.without_channel;
        for (mine, theirs) in self.sizes.iter_mut().zip(&other.sizes) {
            *mine += theirs;
        }
        self.endpoints += other.endpoints;
        self.most_pictures = self.most_pictures.max(other.most_pictures);
        for (mine, theirs) in [
            (&mut self.sending_audio, other.sending_audio),
            (&mut self.sending_video, other.sending_video),
            (&mut self.receive_only, other.receive_only),
            (&mut self.slots, other.slots),
            (&mut self.slots_used, other.slots_used),
            (&mut self.suspended, other.suspended),
            (&mut self.with_suspended, other.with_suspended),
            (&mut self.oversending, other.oversending),
            (&mut self.estimates, other.estimates),
            (&mut self.estimated, other.estimated),
        ] {
            *mine += theirs;
        }
        for (mine, theirs) in self.pictures.iter_mut().zip(&other.pictures) {
            *mine += theirs;
        }
    }

    /// The average of the round trip times known.
    pub(crate) fn average_rtt(&self) -> Option<Duration> {
        let count = u32::try_from(self.rtts).ok().filter(|count| *count > 0)?;
        Some(self.rtt / count)
    }
}

impl State {
    /// Looks at everybody.
    pub(super) fn survey(&self, now: Instant) -> Survey {
        let mut survey = Survey::default();
        for (_, conference) in &self.conferences {
            if conference.is_home {
                let size = conference.size();
                survey.sizes[SIZE_STEPS.partition_point(|end| *end < size)] += 1;
            }
            survey.endpoints += conference.by_id.len() as u64;
            for slot in conference.by_id.values() {
                let Some(endpoint) = self.endpoints.get(*slot) else {
                    continue;
                };
                if let Some(rtt) = endpoint.rtt {
                    survey.rtt += rtt;
                    survey.rtts += 1;
                }
                if endpoint.connected && !endpoint.channel.has_socket() {
                    survey.without_channel += 1;
                }
            }
            let activity = conference.core.activity(now);
            survey.sending_audio += activity.sending_audio as u64;
            survey.sending_video += activity.sending_video as u64;
            survey.receive_only += activity.receive_only as u64;
            survey.slots += activity.slots as u64;
            survey.slots_used += activity.slots_used as u64;
            for (sum, pictures) in survey.pictures.iter_mut().zip(activity.pictures) {
                *sum += pictures as u64;
            }
            let most = u32::try_from(activity.most_pictures).unwrap_or(u32::MAX);
            survey.most_pictures = survey.most_pictures.max(most);
            survey.estimates += activity.estimates as u64;
            survey.estimated += activity.estimated;
            let allocated = conference.core.allocated();
            survey.suspended += allocated.suspended_sources as u64;
            survey.with_suspended += allocated.endpoints_with_suspended_sources as u64;
            survey.oversending += allocated.endpoints_oversending as u64;
        }
        survey
    }
}
