//! What all occupants measured, those who left included.

use crate::KindReport;
use crate::report::{DelayReport, ratio};
use althing_client::{ClientStats, Delays, KindStats, VideoStats};
use std::time::Duration;

/// What an occupant should have heard and seen.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Expected {
    /// How long it was there.
    pub(super) there: Duration,
    pub(super) speakers: u64,
    pub(super) cameras: u64,
}

/// Sums over occupants.
#[derive(Debug, Default)]
pub(super) struct Sum {
    audio: KindStats,
    video: KindStats,
    pub(super) audio_delay: Delays,
    pub(super) video_delay: Delays,
    pub(super) pictures: VideoStats,
    pub(super) watched: Duration,
    pub(super) joined_after: Vec<Duration>,
    pub(super) connected_after: Vec<Duration>,
    pub(super) probes: u64,
    pub(super) nacked: u64,
    pub(super) left_out: u64,
    pub(super) stanzas: u64,
    pub(super) stanza_bytes: u64,
    pub(super) unheard: u64,
    pub(super) unseen: u64,
    pub(super) cut_off: usize,
    fewest: Option<(u64, u64)>,
}

impl Sum {
    pub(super) fn absorb(&mut self, stats: &ClientStats, expected: Expected) {
        self.audio = self.audio.plus(stats.audio);
        self.video = self.video.plus(stats.video);
        self.audio_delay.add(&stats.audio_delay);
        self.video_delay.add(&stats.video_delay);
        self.pictures.add(&stats.pictures);
        let seen_for = (stats.joined_after + expected.there)
            .saturating_sub(stats.seen_after.unwrap_or(Duration::MAX));
        let pictures = u32::try_from(stats.video.senders).unwrap_or(u32::MAX);
        self.watched += seen_for.saturating_mul(pictures);
        self.joined_after.push(stats.joined_after);
        self.connected_after.extend(stats.connected_after);
        self.probes += stats.probes;
        self.nacked += stats.nacked;
        self.left_out += stats.left_out;
        self.stanzas += stats.stanzas;
        self.stanza_bytes += stats.stanza_bytes;
        self.unheard += expected.speakers.saturating_sub(stats.audio.senders);
        self.unseen += expected.cameras.saturating_sub(stats.video.senders);
        self.cut_off += usize::from(stats.cut_off);
        let (audio, video) = self.fewest.unwrap_or((u64::MAX, u64::MAX));
        self.fewest = Some((
            audio.min(stats.audio.senders),
            video.min(stats.video.senders),
        ));
    }

    pub(super) fn fewest_speakers(&self) -> u64 {
        self.fewest.map_or(0, |(audio, _)| audio)
    }

    pub(super) fn fewest_cameras(&self) -> u64 {
        self.fewest.map_or(0, |(_, video)| video)
    }

    /// `joining` are the delays until everybody was in.
    pub(super) fn audio(&self, fewest_senders: u64, joining: &Delays) -> KindReport {
        kind(self.audio, &self.audio_delay, fewest_senders, joining)
    }

    pub(super) fn video(&self, fewest_senders: u64, joining: &Delays) -> KindReport {
        kind(self.video, &self.video_delay, fewest_senders, joining)
    }
}

fn kind(packets: KindStats, delays: &Delays, fewest_senders: u64, joining: &Delays) -> KindReport {
    let expected = packets.received + packets.lost;
    KindReport {
        packets,
        loss_ratio: ratio(packets.lost as f64, expected as f64),
        fewest_senders,
        delay: DelayReport::of(&delays.since(joining)),
        delay_joining: DelayReport::of(joining),
    }
}
