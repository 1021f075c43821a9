//! Who speaks, what everybody is told of it, and the keyframe that a change of speaker calls for.

use crate::conference::Conference;
use crate::settings::PacketSink;
use crate::speakers;
use crate::timers::Timer;
use althing_colibri::BridgeMessage;
use althing_model::{MediaKind, VideoType};
use std::time::{Duration, Instant};

/// A keyframe on the way to those who have just put the speaker on stage comes this much later than
/// their wish for it.
const EARLY_MARGIN: Duration = Duration::from_millis(10);

impl Conference {
    /// An audio packet of the endpoint had this level, 0 (silent) to 127, if it told one.
    pub(crate) fn heard(&mut self, index: usize, level: Option<u8>, now: Instant) {
        if let Some(level) = level {
            self.endpoints[index].speaker.heard(level, now);
        }
        self.last_audio = Some(now);
        if !self.timers.is_armed(Timer::Speakers) {
            self.timers.arm(Timer::Speakers, now + speakers::INTERVAL);
        }
    }

    pub(crate) fn find_dominant(&mut self, now: Instant) {
        let audio_comes = self
            .last_audio
            .is_some_and(|at| now.saturating_duration_since(at) < speakers::IDLE);
        if audio_comes {
            self.timers.arm(Timer::Speakers, now + speakers::INTERVAL);
        }
        let candidates = self
            .endpoints
            .iter_mut()
            .filter(|(_, e)| !e.is_visitor())
            .map(|(i, e)| (i, &mut e.speaker));
        // After the dominant speaker has left, whoever was before: the same in every part, where the
        // first of all would be anybody.
        let held_by = self.dominant.or_else(|| self.recent.first().copied());
        let winner = speakers::decide(held_by, candidates, now);
        if winner.is_none() || winner == self.dominant {
            return;
        }
        let before = std::mem::replace(&mut self.dominant, winner);
        self.recent.retain(|i| Some(*i) != winner);
        if let Some(before) = before {
            self.recent.insert(0, before);
            self.recent.truncate(speakers::RECENT);
        }
        if let Some(index) = winner {
            self.speeches += 1;
            self.endpoints[index].spoke = self.speeches;
            self.order.retain(|i| *i != index);
            self.order.insert(0, index);
        }
        self.counters.dominant_speaker_changes += 1;
        self.tell_dominant();
        self.mark_who_must_choose();
        if let Some(index) = winner {
            self.expect_stage(index, now);
        }
    }

    /// Clients put the new speaker on stage as soon as they hear of it. The speaker is asked for a
    /// keyframe at once, so that it arrives when they have switched (protocol 5 §7.6).
    fn expect_stage(&mut self, index: usize, now: Instant) {
        if self.endpoints.len() <= 2 {
            return;
        }
        let is_camera = |source: usize| {
            let s = &self.sources[source];
            s.kind == MediaKind::Video && s.video_type == VideoType::Camera
        };
        let own = &self.endpoints[index];
        let Some(camera) = own.sources.iter().copied().find(|s| is_camera(*s)) else {
            return;
        };
        let mut watched = false;
        let mut slowest = Duration::ZERO;
        for (_, receiver) in self.endpoints.iter().filter(|(i, _)| *i != index) {
            slowest = slowest.max(receiver.rtt.unwrap_or_default());
            watched = watched
                || receiver
                    .wishes
                    .on_stage
                    .iter()
                    .any(|name| self.names.get(name).is_some_and(|s| is_camera(*s)));
        }
        if !watched {
            self.counters.preemptive_keyframes_suppressed += 1;
            return;
        }
        let delay = (slowest + EARLY_MARGIN).saturating_sub(own.rtt.unwrap_or_default());
        self.preemptive = Some(camera);
        self.timers.arm(Timer::Preemptive, now + delay);
    }

    pub(crate) fn ask_early(&mut self, now: Instant, sink: &mut impl PacketSink) {
        let Some(camera) = self.preemptive.take() else {
            return;
        };
        if self.sources[camera].requests.request(now) {
            self.counters.preemptive_keyframes += 1;
            self.ask_keyframe(camera, sink);
        }
    }

    pub(crate) fn dominant_message(&self) -> Option<BridgeMessage> {
        let id = |i: usize| self.endpoints[i].id.clone();
        Some(BridgeMessage::DominantSpeakerEndpointChangeEvent {
            dominant_speaker: id(self.dominant?),
            previous_speakers: self.recent.iter().map(|i| id(*i)).collect(),
            silence: false,
        })
    }

    pub(crate) fn tell_dominant(&mut self) {
        if let Some(message) = self.dominant_message() {
            self.broadcast(&message, |_, _| true);
        }
    }
}
