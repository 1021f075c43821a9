//! What takes a walk over all endpoints to know: asked for every few seconds, and left where
//! others may read it.

use crate::worker::State;
use std::time::Duration;

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
    /// The most video sources in one conference.
    pub(crate) most_video: u32,
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
        self.most_video = self.most_video.max(other.most_video);
    }

    /// The average of the round trip times known.
    pub(crate) fn average_rtt(&self) -> Option<Duration> {
        let count = u32::try_from(self.rtts).ok().filter(|count| *count > 0)?;
        Some(self.rtt / count)
    }
}

impl State {
    /// Looks at everybody.
    pub(super) fn survey(&self) -> Survey {
        let mut survey = Survey::default();
        for (_, conference) in &self.conferences {
            let size = conference.by_id.len();
            survey.sizes[SIZE_STEPS.partition_point(|end| *end < size)] += 1;
            survey.endpoints += size as u64;
            let mut video = 0;
            for slot in conference.by_id.values() {
                let Some(endpoint) = self.endpoints.get(*slot) else {
                    continue;
                };
                video += endpoint.video_sources;
                if let Some(rtt) = endpoint.rtt {
                    survey.rtt += rtt;
                    survey.rtts += 1;
                }
                if endpoint.connected && !endpoint.channel.has_socket() {
                    survey.without_channel += 1;
                }
            }
            survey.most_video = survey.most_video.max(video);
        }
        survey
    }
}
