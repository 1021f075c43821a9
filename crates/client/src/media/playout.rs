//! What a decoder would make of one video slot: frames put together in order, and whether each
//! could be shown.

use crate::VideoStats;
use crate::packets::VideoPacket;
use althing_rtp::seq::timestamp_distance;
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

/// Packets waiting for earlier ones.
const MOST_WAITING: usize = 2_000;
/// How many decoded frames are remembered; the patterns refer four back at most.
const MEMORY: usize = 16;
/// How a browser sees a freeze: three times the usual, and 150 ms more than it at least.
const FREEZE_EXTRA: Duration = Duration::from_millis(150);
const USUAL: usize = 30;
/// How clocks may drift apart, per frame.
const DRIFT: Duration = Duration::from_micros(5);
/// Of its patience a browser loses this part with each frame that is in time.
const FORGET: u32 = 500;
const MOST_PATIENT: Duration = Duration::from_secs(1);

/// One packet of the slot, with what of its header matters.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part {
    pub(super) timestamp: u32,
    pub(super) marker: bool,
    pub(super) packet: VideoPacket,
}

#[derive(Debug, Clone, Copy)]
struct Frame {
    first: Part,
    got: u16,
}

/// A decoder without pictures.
#[derive(Debug, Default)]
pub(super) struct Playout {
    waiting: BTreeMap<u64, Option<Part>>,
    last: Option<u64>,
    /// Packets were lost since the last whole frame.
    gap: bool,
    frame: Option<Frame>,
    previous: Option<Part>,
    encoding: Option<u8>,
    decoded: VecDeque<u32>,
    needs_keyframe: bool,
    screen: Screen,
}

/// When frames would be shown: a browser waits as long for a frame as recent ones were late, so that
/// what is repaired in time is no freeze.
#[derive(Debug, Default)]
struct Screen {
    shown_at: Option<Instant>,
    usual: VecDeque<Duration>,
    clock: Option<Clock>,
    /// How late recent frames were.
    patience: Duration,
}

/// Maps timestamps of the sender to times here.
#[derive(Debug)]
struct Clock {
    timestamp: u32,
    /// When the frame of this timestamp would be here if it were as quick as the quickest.
    at: Instant,
}

impl Playout {
    /// Another source is on this slot from now on: it must begin with a keyframe.
    pub(super) fn restart(&mut self) {
        self.encoding = None;
        self.previous = None;
        self.decoded.clear();
        self.screen = Screen::default();
        // The first keyframe comes by itself.
        self.needs_keyframe = false;
    }

    /// The server stopped sending it, or began again: the time between is no freeze.
    pub(super) fn pause(&mut self) {
        self.screen.pause();
    }

    /// Whether a keyframe is to be asked for.
    pub(super) const fn needs_keyframe(&self) -> bool {
        self.needs_keyframe
    }

    /// Takes in a packet, `None` for one of padding; everything below `settled` has come or never
    /// will.
    pub(super) fn arrive(
        &mut self,
        number: u64,
        part: Option<Part>,
        settled: u64,
        now: Instant,
        stats: &mut VideoStats,
    ) {
        if self.last.is_some_and(|last| number <= last) {
            return;
        }
        if self.waiting.is_empty() && number < settled {
            self.part(number, part, now, stats);
            return;
        }
        self.waiting.insert(number, part);
        if self.waiting.len() > MOST_WAITING {
            self.waiting.pop_first();
        }
        self.advance(settled, now, stats);
    }

    /// Plays what is no longer held up.
    pub(super) fn advance(&mut self, settled: u64, now: Instant, stats: &mut VideoStats) {
        while let Some(entry) = self.waiting.first_entry() {
            if *entry.key() >= settled {
                break;
            }
            let (number, part) = entry.remove_entry();
            self.part(number, part, now, stats);
        }
    }

    fn part(&mut self, number: u64, part: Option<Part>, now: Instant, stats: &mut VideoStats) {
        if self.last.is_some_and(|last| number != last + 1) {
            self.gap = true;
            self.drop_frame(stats);
        }
        self.last = Some(number);
        let Some(part) = part else { return };
        if !part.packet.consistent {
            stats.violations += 1;
        }
        let picture = part.packet.picture;
        if picture.packet == 0 {
            // The frame before has no end, though nothing was lost: the server cut it. It may before a
            // keyframe: at a switch, since encodings arrive interleaved, and when a queue was full.
            if self.frame.is_some() && !self.gap {
                if picture.is_keyframe() {
                    self.gap = true;
                } else {
                    stats.violations += 1;
                }
            }
            self.drop_frame(stats);
            self.frame = Some(Frame {
                first: part,
                got: 0,
            });
        }
        let Some(frame) = &mut self.frame else {
            // The middle of a frame whose beginning is not here. At the start of a slot it may have
            // been lost without leaving a gap.
            if !self.gap && self.previous.is_some() {
                stats.violations += 1;
            }
            self.gap = true;
            return;
        };
        let first = frame.first;
        let belongs = (picture.encoding, picture.frame, picture.packet)
            == (
                first.packet.picture.encoding,
                first.packet.picture.frame,
                frame.got,
            )
            && part.timestamp == first.timestamp
            && part.packet.ids.picture_id == first.packet.ids.picture_id;
        if !belongs || part.marker != picture.is_last() {
            if !self.gap {
                stats.violations += 1;
            }
            self.drop_frame(stats);
            return;
        }
        frame.got += 1;
        if picture.is_last() {
            self.frame = None;
            self.whole(first, now, stats);
        }
    }

    fn drop_frame(&mut self, stats: &mut VideoStats) {
        if self.frame.take().is_some() {
            stats.incomplete += 1;
        }
    }

    /// A frame is complete: its numbers must follow, and a decoder must have what it refers to.
    fn whole(&mut self, frame: Part, now: Instant, stats: &mut VideoStats) {
        let picture = frame.packet.picture;
        let gap = std::mem::take(&mut self.gap);
        if let Some(before) = self.previous.replace(frame) {
            let (ids, last) = (frame.packet.ids, before.packet.ids);
            let steps = u8::from(picture.temporal == 0);
            let follows = timestamp_distance(before.timestamp, frame.timestamp) > 0
                && ids.picture_id == (last.picture_id + 1) & 0x7fff
                && ids.tl0_index == last.tl0_index.wrapping_add(steps);
            let forward = timestamp_distance(before.timestamp, frame.timestamp) > 0;
            if (!gap && !follows) || !forward {
                stats.violations += 1;
            }
        }
        let keyframe = picture.is_keyframe();
        let known =
            self.encoding == Some(picture.encoding) && self.decoded.contains(&picture.refers_to);
        if !keyframe && !known {
            stats.undecodable += 1;
            // Nothing was lost, and still it cannot be decoded: the server's choice was wrong.
            if !gap && !self.needs_keyframe {
                stats.violations += 1;
            }
            self.needs_keyframe = true;
            return;
        }
        if keyframe {
            self.decoded.clear();
            self.needs_keyframe = false;
            stats.keyframes += 1;
            if self.encoding.is_some_and(|e| e != picture.encoding) {
                stats.switches += 1;
            }
            self.encoding = Some(picture.encoding);
        }
        if self.decoded.len() == MEMORY {
            self.decoded.pop_front();
        }
        self.decoded.push_back(picture.frame);
        stats.frames += 1;
        *stats.heights.entry(picture.height).or_insert(0) += 1;
        self.screen.show(frame.timestamp, now, stats);
    }
}

impl Screen {
    fn pause(&mut self) {
        self.shown_at = None;
        self.usual.clear();
        self.clock = None;
    }

    /// A frame is complete; it is shown when its time has come, or at once if that is past.
    fn show(&mut self, timestamp: u32, now: Instant, stats: &mut VideoStats) {
        let at = self.due(timestamp, now);
        let Some(before) = self.shown_at.replace(at) else {
            return;
        };
        let gap = at.saturating_duration_since(before);
        if !self.usual.is_empty() {
            let usual = self.usual.iter().sum::<Duration>() / self.usual.len() as u32;
            if gap > (usual * 3).max(usual + FREEZE_EXTRA) {
                stats.freezes += 1;
                stats.frozen += gap;
                stats.longest_freeze = stats.longest_freeze.max(gap);
                return;
            }
        }
        if self.usual.len() == USUAL {
            self.usual.pop_front();
        }
        self.usual.push_back(gap);
    }

    fn due(&mut self, timestamp: u32, now: Instant) -> Instant {
        let Some(clock) = &mut self.clock else {
            self.clock = Some(Clock { timestamp, at: now });
            return now;
        };
        let ticks = timestamp_distance(clock.timestamp, timestamp).max(0);
        clock.timestamp = timestamp;
        // A little slower than the clock says: the quickest frame may be long ago.
        clock.at += Duration::from_micros(ticks.unsigned_abs().into()) * 100 / 9 + DRIFT;
        clock.at = clock.at.min(now);
        let late = now.saturating_duration_since(clock.at);
        let due = (clock.at + self.patience).max(now);
        self.patience = late.max(self.patience - self.patience / FORGET);
        self.patience = self.patience.min(MOST_PATIENT);
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packets::{Ids, Marker, Picture, Source, sender};

    /// Single-packet frames, written as (encoding, frame, refers to).
    fn part(place: u32, encoding: u8, frame: u32, refers_to: u32) -> Part {
        Part {
            timestamp: 3_000 * place,
            marker: true,
            packet: VideoPacket {
                marker: Marker {
                    source: Source::Video(0),
                    sender: sender("a"),
                    sequence: 0,
                    sent_micros: 0,
                },
                picture: Picture {
                    encoding,
                    temporal: 0,
                    height: 180 << encoding,
                    frame,
                    refers_to,
                    packet: 0,
                    packets: 1,
                },
                ids: Ids {
                    picture_id: place as u16,
                    tl0_index: place as u8,
                    layer_sync: false,
                },
                consistent: true,
            },
        }
    }

    /// Plays frames in order, 33 ms apart, those of number `lost` never arriving.
    fn play(frames: &[(u8, u32, u32)], lost: &[u32]) -> (VideoStats, bool) {
        let start = Instant::now();
        let mut stats = VideoStats::default();
        let mut playout = Playout::default();
        for ((encoding, frame, refers_to), place) in frames.iter().zip(0..) {
            if !lost.contains(&place) {
                let now = start + Duration::from_millis(33) * place;
                let number = u64::from(place);
                let part = part(place, *encoding, *frame, *refers_to);
                playout.arrive(number, Some(part), number + 1, now, &mut stats);
            }
        }
        (stats, playout.needs_keyframe())
    }

    #[test]
    fn a_clean_stream_is_shown_whole() {
        let (stats, _) = play(&[(0, 1, 1), (0, 2, 1), (0, 3, 2), (0, 4, 3)], &[]);
        assert_eq!((stats.frames, stats.keyframes, stats.violations), (4, 1, 0));
        assert_eq!(stats.heights[&180], 4);
    }

    #[test]
    fn a_frame_may_be_cut_before_a_keyframe_and_nowhere_else() {
        // The first of two packets, then a keyframe of another encoding, of the same, and none.
        for (encoding, refers_to, violations) in [(1, 3, 0), (0, 3, 0), (0, 1, 2)] {
            let now = Instant::now();
            let mut stats = VideoStats::default();
            let mut playout = Playout::default();
            let whole = part(0, 0, 1, 1);
            let mut cut = part(1, 0, 2, 1);
            (cut.marker, cut.packet.picture.packets) = (false, 2);
            let next = part(2, encoding, 3, refers_to);
            for (number, part) in (0..).zip([whole, cut, next]) {
                playout.arrive(number, Some(part), number + 1, now, &mut stats);
            }
            assert_eq!((stats.frames, stats.incomplete), (2, 1));
            assert_eq!(stats.violations, violations, "{encoding} {refers_to}");
        }
    }

    #[test]
    fn a_switch_at_a_keyframe_is_fine_and_one_elsewhere_is_not() {
        let (stats, _) = play(&[(0, 1, 1), (0, 2, 1), (1, 9, 9), (1, 10, 9)], &[]);
        assert_eq!((stats.frames, stats.switches, stats.violations), (4, 1, 0));
        let (stats, wants) = play(&[(0, 1, 1), (0, 2, 1), (1, 9, 8), (1, 10, 9)], &[]);
        assert_eq!(
            (stats.frames, stats.undecodable, stats.violations),
            (2, 2, 1)
        );
        assert!(wants);
    }

    #[test]
    fn loss_costs_frames_but_is_not_the_servers_fault() {
        let frames = [(0, 1, 1), (0, 2, 1), (0, 3, 2), (0, 4, 3), (0, 5, 5)];
        let (stats, wants) = play(&frames, &[1]);
        assert_eq!(
            (stats.frames, stats.undecodable, stats.violations),
            (2, 2, 0)
        );
        assert!(!wants, "the keyframe at the end mended it");
    }

    #[test]
    fn a_frame_left_out_that_others_need_is_the_servers_fault() {
        let (stats, _) = play(&[(0, 1, 1), (0, 3, 2)], &[]);
        assert_eq!((stats.undecodable, stats.violations), (1, 1));
    }

    #[test]
    fn a_long_gap_is_a_freeze_and_a_pause_is_not() {
        let start = Instant::now();
        let mut stats = VideoStats::default();
        let mut playout = Playout::default();
        let mut at = start;
        for place in 0..40_u32 {
            at += Duration::from_millis(match place {
                20 | 30 => 1_000,
                _ => 33,
            });
            if place == 30 {
                playout.pause();
            }
            let part = part(place, 0, place + 1, place.max(1));
            let number = u64::from(place);
            playout.arrive(number, Some(part), number + 1, at, &mut stats);
        }
        assert_eq!((stats.freezes, stats.frames), (1, 40));
        assert_eq!(stats.frozen, Duration::from_millis(1_000));
    }

    #[test]
    fn who_is_often_late_is_waited_for() {
        let start = Instant::now();
        let mut stats = VideoStats::default();
        let mut screen = Screen::default();
        for place in 0..300_u32 {
            // Every tenth frame has to be repaired, which takes 200 ms; those behind it wait.
            let late = 200_u64.saturating_sub(u64::from(place % 10) * 33) * u64::from(place > 30);
            let at = start + Duration::from_millis(u64::from(place) * 33 + late);
            screen.show(place * 2_970, at, &mut stats);
        }
        assert!(stats.freezes <= 1, "{stats:?}");
    }

    #[test]
    fn packets_out_of_order_are_put_in_order() {
        let start = Instant::now();
        let mut stats = VideoStats::default();
        let mut playout = Playout::default();
        playout.arrive(0, Some(part(0, 0, 1, 1)), 1, start, &mut stats);
        playout.arrive(2, Some(part(2, 0, 3, 2)), 1, start, &mut stats);
        assert_eq!(stats.frames, 1);
        playout.arrive(1, Some(part(1, 0, 2, 1)), 3, start, &mut stats);
        assert_eq!(
            (stats.frames, stats.violations, stats.undecodable),
            (3, 0, 0)
        );
    }
    #[test]
    fn padding_between_frames_is_no_gap() {
        let start = Instant::now();
        let mut stats = VideoStats::default();
        let mut playout = Playout::default();
        playout.arrive(0, Some(part(0, 0, 1, 1)), 1, start, &mut stats);
        playout.arrive(1, None, 2, start, &mut stats);
        playout.arrive(2, Some(part(1, 0, 2, 1)), 3, start, &mut stats);
        assert_eq!((stats.frames, stats.violations), (2, 0));
    }
}
