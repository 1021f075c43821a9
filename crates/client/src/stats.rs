//! What a headless occupant sent, heard and saw.

use crate::measure::Delays;
use crate::packets::{self, Marker, Sender, Source};
use althing_model::MediaKind;
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

/// Counts of one kind of media.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct KindStats {
    /// Packets sent.
    pub sent: u64,
    /// Packets received for the first time, retransmissions included.
    pub received: u64,
    /// Gaps left in the numbers of what was sent to us.
    pub lost: u64,
    /// Packets of senders that the server did not pass on, between the first and the last that it
    /// did. For audio: layers of a picture are left out on purpose.
    pub withheld: u64,
    /// Received again, other than as a retransmission.
    pub duplicates: u64,
    /// Of the received, those that came as retransmissions.
    pub recovered: u64,
    /// Received with changed bytes, under the wrong sender, or with our own media.
    pub wrong: u64,
    /// Received within a second of the message that puts them right: a browser may play them under
    /// the wrong name for as long.
    pub early: u64,
    /// Media of clients that are not ours, and so cannot be checked.
    pub foreign: u64,
    /// How many sources were heard or seen.
    pub senders: u64,
}

impl KindStats {
    /// Sums two.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            sent: self.sent + other.sent,
            received: self.received + other.received,
            lost: self.lost + other.lost,
            withheld: self.withheld + other.withheld,
            duplicates: self.duplicates + other.duplicates,
            recovered: self.recovered + other.recovered,
            wrong: self.wrong + other.wrong,
            early: self.early + other.early,
            foreign: self.foreign + other.foreign,
            senders: self.senders + other.senders,
        }
    }
}

/// What decoders would have made of the video received.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VideoStats {
    /// Frames that could be shown.
    pub frames: u64,
    /// Of these, keyframes.
    pub keyframes: u64,
    /// Changes to another encoding.
    pub switches: u64,
    /// Frames of which packets were lost.
    pub incomplete: u64,
    /// Whole frames that refer to one that is not there.
    pub undecodable: u64,
    /// Times the server did what no loss explains: numbers or times that do not follow, a frame cut
    /// short, a switch without a keyframe.
    pub violations: u64,
    /// Times the picture stood still for three times as long as usual, and 150 ms more at least.
    pub freezes: u64,
    /// How long it stood still in all.
    pub frozen: Duration,
    /// How long at the longest.
    pub longest_freeze: Duration,
    /// Frames by height, in pixels.
    pub heights: BTreeMap<u16, u64>,
}

impl VideoStats {
    /// Adds another's.
    pub fn add(&mut self, other: &Self) {
        self.frames += other.frames;
        self.keyframes += other.keyframes;
        self.switches += other.switches;
        self.incomplete += other.incomplete;
        self.undecodable += other.undecodable;
        self.violations += other.violations;
        self.freezes += other.freezes;
        self.frozen += other.frozen;
        self.longest_freeze = self.longest_freeze.max(other.longest_freeze);
        for (height, frames) in &other.heights {
            *self.heights.entry(*height).or_insert(0) += frames;
        }
    }
}

/// When a picture was shown for the first time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FirstPicture {
    /// Whose.
    pub endpoint: String,
    /// Which of its pictures: 0 for the camera, 1 for a screen beside it.
    pub number: u8,
    /// Microseconds since 1970.
    pub at_micros: u64,
}

/// Everything measured by one occupant.
#[derive(Debug, Clone)]
pub struct ClientStats {
    /// From the first byte to being in the room.
    pub joined_after: Duration,
    /// From the first byte to keys for media; `None` while alone or not yet connected.
    pub connected_after: Option<Duration>,
    /// From the first byte to the first packet of somebody's voice.
    pub heard_after: Option<Duration>,
    /// From the first byte to the first picture.
    pub seen_after: Option<Duration>,
    /// Microphones.
    pub audio: KindStats,
    /// Cameras and screens.
    pub video: KindStats,
    /// From a sender's generator to the arrival at this receiver's socket; retransmissions are not
    /// in it.
    pub audio_delay: Delays,
    /// Likewise.
    pub video_delay: Delays,
    /// What decoders would have made of the video.
    pub pictures: VideoStats,
    /// When each source was shown first; 256 at most.
    pub first_pictures: Vec<FirstPicture>,
    /// RTP packets received, probes and retransmissions included.
    pub packets: u64,
    /// Bytes of their payloads.
    pub bytes: u64,
    /// Padding, and retransmissions of what was there: how a server tries for more bandwidth.
    pub probes: u64,
    /// Packets asked for again.
    pub nacked: u64,
    /// Keyframes asked for.
    pub keyframes_asked: u64,
    /// Keyframe requests that reached us.
    pub keyframes_requested: u64,
    /// Stanzas received.
    pub stanzas: u64,
    /// Bytes of them.
    pub stanza_bytes: u64,
    /// Messages received on the bridge channel.
    pub channel_messages: u64,
    /// Whether the bridge channel is open.
    pub channel_open: bool,
    /// Packets of sound that we did not make in time, and left out.
    pub left_out: u64,
    /// Requests of ours that the server refused.
    pub refused: u64,
    /// The session ended without our doing.
    pub cut_off: bool,
    /// Other occupants now in the room, the focus not counted.
    pub others: usize,
}

/// One sender's packets by the numbers it gave them.
#[derive(Debug, Clone, Copy)]
struct Heard {
    first: u32,
    highest: u32,
    received: u64,
}

impl Heard {
    fn withheld(&self) -> u64 {
        (u64::from(self.highest.wrapping_sub(self.first)) + 1).saturating_sub(self.received)
    }
}

/// More are not kept apart.
const MOST_FIRST_PICTURES: usize = 256;

/// Where arrivals are counted. One for each occupant.
#[derive(Debug)]
pub(crate) struct Recorder {
    own: Sender,
    started_micros: u64,
    heard: HashMap<(Sender, Source), Heard>,
    shown: HashMap<(Sender, Source), u64>,
    pub(crate) audio: KindStats,
    pub(crate) video: KindStats,
    audio_delay: Delays,
    video_delay: Delays,
    first_audio: Option<u64>,
    first_picture: Option<u64>,
    pub(crate) pictures: VideoStats,
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
    pub(crate) probes: u64,
    pub(crate) nacked: u64,
    pub(crate) keyframes_asked: u64,
    pub(crate) keyframes_requested: u64,
    pub(crate) stanzas: u64,
    pub(crate) stanza_bytes: u64,
    pub(crate) connected_after: Option<Duration>,
    pub(crate) channel_messages: u64,
    pub(crate) channel_open: bool,
    pub(crate) left_out: u64,
    pub(crate) refused: u64,
    pub(crate) cut_off: bool,
    pub(crate) others: usize,
}

impl Recorder {
    /// `started_micros` is when joining began, since 1970.
    pub(crate) fn new(own: Sender, started_micros: u64) -> Self {
        Self {
            own,
            started_micros,
            heard: HashMap::new(),
            shown: HashMap::new(),
            audio: KindStats::default(),
            video: KindStats::default(),
            audio_delay: Delays::default(),
            video_delay: Delays::default(),
            first_audio: None,
            first_picture: None,
            pictures: VideoStats::default(),
            packets: 0,
            bytes: 0,
            probes: 0,
            nacked: 0,
            keyframes_asked: 0,
            keyframes_requested: 0,
            stanzas: 0,
            stanza_bytes: 0,
            connected_after: None,
            channel_messages: 0,
            channel_open: false,
            left_out: 0,
            refused: 0,
            cut_off: false,
            others: 0,
        }
    }

    pub(crate) const fn kind(&mut self, kind: MediaKind) -> &mut KindStats {
        match kind {
            MediaKind::Audio => &mut self.audio,
            MediaKind::Video => &mut self.video,
        }
    }

    /// A packet of one of ours arrived for the first time, on the slot where it belongs.
    pub(crate) fn arrived(
        &mut self,
        kind: MediaKind,
        marker: &Marker,
        now_micros: u64,
        repaired: bool,
    ) {
        if marker.sender == self.own {
            self.kind(kind).wrong += 1;
            return;
        }
        if kind == MediaKind::Audio {
            self.first_audio.get_or_insert(now_micros);
        }
        let heard = self
            .heard
            .entry((marker.sender, marker.source))
            .or_insert(Heard {
                first: marker.sequence,
                highest: marker.sequence,
                received: 0,
            });
        heard.received += 1;
        heard.highest = heard.highest.max(marker.sequence);
        let kind_stats = self.kind(kind);
        kind_stats.received += 1;
        kind_stats.recovered += u64::from(repaired);
        if !repaired {
            let delay = now_micros.saturating_sub(marker.sent_micros);
            match kind {
                MediaKind::Audio => self.audio_delay.record_micros(delay),
                MediaKind::Video => self.video_delay.record_micros(delay),
            }
        }
    }

    /// A frame of the packet's source could be shown.
    pub(crate) fn shown(&mut self, marker: &Marker, now_micros: u64) {
        self.first_picture.get_or_insert(now_micros);
        if self.shown.len() < MOST_FIRST_PICTURES {
            self.shown
                .entry((marker.sender, marker.source))
                .or_insert(now_micros);
        }
    }

    pub(crate) const fn has_heard(&self) -> bool {
        self.first_audio.is_some()
    }

    pub(crate) fn snapshot(&self, joined_after: Duration) -> ClientStats {
        let mut audio = self.audio;
        let mut video = self.video;
        for ((_, source), heard) in &self.heard {
            if *source == Source::Audio {
                audio.senders += 1;
                audio.withheld += heard.withheld();
            } else {
                video.senders += 1;
            }
        }
        audio.withheld = audio.withheld.saturating_sub(audio.lost);
        let since = |at: u64| Duration::from_micros(at.saturating_sub(self.started_micros));
        ClientStats {
            joined_after,
            connected_after: self.connected_after,
            heard_after: self.first_audio.map(since),
            seen_after: self.first_picture.map(since),
            audio,
            video,
            audio_delay: self.audio_delay.clone(),
            video_delay: self.video_delay.clone(),
            pictures: self.pictures.clone(),
            first_pictures: self.first_pictures(),
            packets: self.packets,
            bytes: self.bytes,
            probes: self.probes,
            nacked: self.nacked,
            keyframes_asked: self.keyframes_asked,
            keyframes_requested: self.keyframes_requested,
            stanzas: self.stanzas,
            stanza_bytes: self.stanza_bytes,
            channel_messages: self.channel_messages,
            channel_open: self.channel_open,
            left_out: self.left_out,
            refused: self.refused,
            cut_off: self.cut_off,
            others: self.others,
        }
    }

    fn first_pictures(&self) -> Vec<FirstPicture> {
        let shown = self.shown.iter();
        shown
            .filter_map(|((sender, source), at)| match source {
                Source::Audio => None,
                Source::Video(number) => Some(FirstPicture {
                    endpoint: packets::endpoint(*sender),
                    number: *number,
                    at_micros: *at,
                }),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packets::sender;

    fn marker(from: &str, sequence: u32) -> Marker {
        Marker {
            source: Source::Audio,
            sender: sender(from),
            sequence,
            sent_micros: 1_000,
        }
    }

    #[test]
    fn what_the_server_did_not_pass_on_is_withheld() {
        let mut recorder = Recorder::new(sender("me"), 500);
        for sequence in [5, 6, 9] {
            recorder.arrived(MediaKind::Audio, &marker("ann", sequence), 3_000, false);
        }
        recorder.audio.lost = 1;
        let stats = recorder.snapshot(Duration::ZERO);
        assert_eq!((stats.audio.received, stats.audio.withheld), (3, 1));
        assert_eq!(stats.heard_after, Some(Duration::from_micros(2_500)));
        assert_eq!(stats.audio_delay.longest(), Duration::from_micros(2_000));
    }

    #[test]
    fn hearing_oneself_is_wrong() {
        let mut recorder = Recorder::new(sender("me"), 0);
        recorder.arrived(MediaKind::Audio, &marker("me", 1), 1, false);
        let stats = recorder.snapshot(Duration::ZERO);
        assert_eq!((stats.audio.wrong, stats.audio.received), (1, 0));
    }
}
