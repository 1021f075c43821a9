//! What a headless occupant sent, heard and saw.

use crate::packets::{Marker, Sender};
use althing_model::MediaKind;
use hdrhistogram::Histogram;
use serde::Serialize;
use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

/// Delays are kept up to a minute, to three digits.
const LONGEST_DELAY_MICROS: u64 = 60_000_000;

/// Counts of one kind of media.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct KindStats {
    /// Packets sent.
    pub sent: u64,
    /// Packets received for the first time, retransmissions included.
    pub received: u64,
    /// Packets missing between the first and the last heard of each sender.
    pub lost: u64,
    /// Received again.
    pub duplicates: u64,
    /// Of the received, those that came as retransmissions.
    pub recovered: u64,
    /// Received with changed bytes, under the wrong sender, or with our own media.
    pub wrong: u64,
    /// Media of clients that are not ours, and so cannot be checked.
    pub foreign: u64,
    /// How many senders were heard.
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
            duplicates: self.duplicates + other.duplicates,
            recovered: self.recovered + other.recovered,
            wrong: self.wrong + other.wrong,
            foreign: self.foreign + other.foreign,
            senders: self.senders + other.senders,
        }
    }
}

/// Everything measured by one occupant.
#[derive(Clone)]
pub struct ClientStats {
    /// From the first byte to being in the room.
    pub joined_after: Duration,
    /// From the first byte to keys for media; `None` while alone or not yet connected.
    pub connected_after: Option<Duration>,
    /// Microphones.
    pub audio: KindStats,
    /// Cameras.
    pub video: KindStats,
    /// From a sender's generator to this receiver's socket, in microseconds.
    pub audio_delay: Histogram<u64>,
    /// Likewise.
    pub video_delay: Histogram<u64>,
    /// Messages received on the bridge channel.
    pub channel_messages: u64,
    /// Whether the bridge channel is open.
    pub channel_open: bool,
    /// Other occupants now in the room, the focus not counted.
    pub others: usize,
}

impl fmt::Debug for ClientStats {
    /// Without the histograms: thousands of buckets help nobody.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientStats")
            .field("joined_after", &self.joined_after)
            .field("connected_after", &self.connected_after)
            .field("audio", &self.audio)
            .field("video", &self.video)
            .field("channel_messages", &self.channel_messages)
            .field("channel_open", &self.channel_open)
            .field("others", &self.others)
            .finish_non_exhaustive()
    }
}

/// One sender's packets as they arrive: 64 sequence numbers of history tell late from doubled.
#[derive(Debug, Clone, Copy)]
struct Heard {
    first: u32,
    highest: u32,
    window: u64,
    received: u64,
}

enum Arrival {
    New,
    Duplicate,
}

impl Heard {
    const fn new(sequence: u32) -> Self {
        Self {
            first: sequence,
            highest: sequence,
            window: 1,
            received: 1,
        }
    }

    fn arrive(&mut self, sequence: u32) -> Arrival {
        if sequence > self.highest {
            let ahead = sequence - self.highest;
            self.window = if ahead < 64 {
                (self.window << ahead) | 1
            } else {
                1
            };
            self.highest = sequence;
        } else {
            let behind = self.highest - sequence;
            if behind >= 64 || sequence < self.first || self.window & (1 << behind) != 0 {
                return Arrival::Duplicate;
            }
            self.window |= 1 << behind;
        }
        self.received += 1;
        Arrival::New
    }

    fn lost(&self) -> u64 {
        (u64::from(self.highest - self.first) + 1).saturating_sub(self.received)
    }
}

/// Where arrivals are judged. One for each occupant.
#[derive(Debug)]
pub(crate) struct Recorder {
    own: Sender,
    heard: HashMap<(MediaKind, Sender), Heard>,
    pub(crate) audio: KindStats,
    pub(crate) video: KindStats,
    audio_delay: Histogram<u64>,
    video_delay: Histogram<u64>,
    pub(crate) connected_after: Option<Duration>,
    pub(crate) channel_messages: u64,
    pub(crate) channel_open: bool,
    pub(crate) others: usize,
}

impl Recorder {
    pub(crate) fn new(own: Sender) -> Self {
        let histogram = || {
            Histogram::new_with_bounds(1, LONGEST_DELAY_MICROS, 3).expect("the bounds are in order")
        };
        Self {
            own,
            heard: HashMap::new(),
            audio: KindStats::default(),
            video: KindStats::default(),
            audio_delay: histogram(),
            video_delay: histogram(),
            connected_after: None,
            channel_messages: 0,
            channel_open: false,
            others: 0,
        }
    }

    pub(crate) fn kind(&mut self, kind: MediaKind) -> &mut KindStats {
        match kind {
            MediaKind::Audio => &mut self.audio,
            MediaKind::Video => &mut self.video,
        }
    }

    /// A packet of ours arrived. `owner` is whose source signalling says it is, if it says.
    pub(crate) fn arrived(
        &mut self,
        marker: &Marker,
        owner: Option<Sender>,
        now_micros: u64,
        repaired: bool,
    ) {
        if marker.sender == self.own || owner.is_some_and(|owner| owner != marker.sender) {
            self.kind(marker.kind).wrong += 1;
            return;
        }
        let arrival = match self.heard.entry((marker.kind, marker.sender)) {
            std::collections::hash_map::Entry::Occupied(mut known) => {
                known.get_mut().arrive(marker.sequence)
            }
            std::collections::hash_map::Entry::Vacant(new) => {
                new.insert(Heard::new(marker.sequence));
                Arrival::New
            }
        };
        match arrival {
            Arrival::Duplicate => self.kind(marker.kind).duplicates += 1,
            Arrival::New => {
                let kind = self.kind(marker.kind);
                kind.received += 1;
                kind.recovered += u64::from(repaired);
                let delay = now_micros
                    .saturating_sub(marker.sent_micros)
                    .clamp(1, LONGEST_DELAY_MICROS);
                let histogram = match marker.kind {
                    MediaKind::Audio => &mut self.audio_delay,
                    MediaKind::Video => &mut self.video_delay,
                };
                histogram.saturating_record(delay);
            }
        }
    }

    /// Forgets a sender that left: what it did not send is not lost.
    pub(crate) fn snapshot(&self, joined_after: Duration) -> ClientStats {
        let mut audio = self.audio;
        let mut video = self.video;
        for ((kind, _), heard) in &self.heard {
            let stats = match kind {
                MediaKind::Audio => &mut audio,
                MediaKind::Video => &mut video,
            };
            stats.lost += heard.lost();
            stats.senders += 1;
        }
        ClientStats {
            joined_after,
            connected_after: self.connected_after,
            audio,
            video,
            audio_delay: self.audio_delay.clone(),
            video_delay: self.video_delay.clone(),
            channel_messages: self.channel_messages,
            channel_open: self.channel_open,
            others: self.others,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packets::sender;

    fn check(sequences: &[u32], received: u64, lost: u64, duplicates: u64) {
        let mut recorder = Recorder::new(sender("me"));
        for sequence in sequences {
            let marker = Marker {
                kind: MediaKind::Audio,
                sender: sender("other"),
                sequence: *sequence,
                sent_micros: 1000,
            };
            recorder.arrived(&marker, None, 3000, false);
        }
        let stats = recorder.snapshot(Duration::ZERO).audio;
        assert_eq!(
            (stats.received, stats.lost, stats.duplicates),
            (received, lost, duplicates),
            "{sequences:?}"
        );
    }

    #[test]
    fn loss_is_what_is_missing_between_first_and_last() {
        check(&[5, 6, 7], 3, 0, 0);
        check(&[5, 7], 2, 1, 0);
        check(&[5, 7, 6], 3, 0, 0);
        check(&[5, 6, 6], 2, 0, 1);
        check(&[5, 205], 2, 199, 0);
    }

    #[test]
    fn hearing_oneself_or_somebody_under_a_wrong_name_is_wrong() {
        let mut recorder = Recorder::new(sender("me"));
        let mut marker = Marker {
            kind: MediaKind::Video,
            sender: sender("me"),
            sequence: 1,
            sent_micros: 0,
        };
        recorder.arrived(&marker, None, 1, false);
        marker.sender = sender("ann");
        recorder.arrived(&marker, Some(sender("bob")), 1, false);
        let stats = recorder.snapshot(Duration::ZERO);
        assert_eq!((stats.video.wrong, stats.video.received), (2, 0));
    }
}
