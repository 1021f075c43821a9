//! A generated camera or screen: which frames of which encodings there are, and in which packets.

use crate::VideoSettings;
use crate::packets::{Ids, LEAST_VIDEO, Picture};
use althing_model::{Encoding, Ssrc};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// What browsers make of an MTU of 1,200.
const LARGEST_PAYLOAD: usize = 1_100;
/// Retransmissions can go back this far.
const HISTORY: usize = 1_024;
/// As libwebrtc: no two keyframes closer than this, however many ask.
const KEYFRAMES_APART: Duration = Duration::from_millis(300);
/// More than a second of anything sensible has.
const MOST_WAITING: usize = 4_096;
const CLOCK: u128 = 90_000;

/// One packet, as good as written: its bytes follow from this.
#[derive(Debug, Clone, Copy)]
pub(super) struct Planned {
    pub(super) camera: u8,
    pub(super) sequence: u16,
    pub(super) timestamp: u32,
    /// Of the payload, in bytes.
    pub(super) size: u16,
    /// Which packet of the encoding this is.
    pub(super) number: u32,
    pub(super) picture: Picture,
    pub(super) ids: Ids,
    /// Zero until it has been sent.
    pub(super) sent_micros: u64,
}

/// One encoding under way.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) encoding: Encoding,
    height: u16,
    bitrate: u32,
    active: bool,
    keyframe_due: bool,
    last_keyframe: Option<Instant>,
    sequence: u16,
    first_timestamp: u32,
    picture_id: u16,
    tl0_index: u8,
    frame: u32,
    /// Place in the pattern of temporal layers.
    place: u32,
    base_frame: u32,
    middle_frame: u32,
    number: u32,
    pub(super) packets: u32,
    pub(super) octets: u32,
    pub(super) rtx_sequence: u16,
    history: VecDeque<Planned>,
}

impl Stream {
    pub(super) const fn is_active(&self) -> bool {
        self.active
    }

    /// What was sent under a sequence number.
    pub(super) fn sent(&self, sequence: u16) -> Option<Planned> {
        let newest = self.history.back()?.sequence;
        let behind = usize::from(newest.wrapping_sub(sequence));
        let index = self.history.len().checked_sub(behind + 1)?;
        self.history.get(index).copied()
    }

    pub(super) fn note_sent(&mut self, planned: Planned) {
        if self.history.len() == HISTORY {
            self.history.pop_front();
        }
        self.history.push_back(planned);
        self.packets = self.packets.wrapping_add(1);
        self.octets = self.octets.wrapping_add(planned.size.into());
    }

    /// The RTP time of an instant.
    pub(super) fn timestamp(&self, since_start: Duration) -> u32 {
        let ticks = since_start.as_micros() * CLOCK / 1_000_000;
        self.first_timestamp.wrapping_add(ticks as u32)
    }
}

/// Temporal layer, and whether only base frames are needed, by place in the pattern.
const fn pattern(layers: u8, place: u32) -> (u8, bool) {
    match layers {
        0 | 1 => (0, false),
        2 => ((place % 2) as u8, place % 2 == 1),
        _ => match place % 4 {
            0 => (0, false),
            2 => (1, true),
            1 => (2, true),
            _ => (2, false),
        },
    }
}

/// A camera or a screen.
#[derive(Debug)]
pub(super) struct Camera {
    pub(super) number: u8,
    settings: VideoSettings,
    period: Duration,
    pub(super) streams: Vec<Stream>,
    /// Packets that the pacer has not sent yet.
    pub(super) waiting: VecDeque<Planned>,
    started: Instant,
    next_frame: Instant,
    wanted: i32,
}

impl Camera {
    pub(super) fn new(
        number: u8,
        settings: VideoSettings,
        encodings: &[Encoding],
        now: Instant,
    ) -> Self {
        let streams = encodings
            .iter()
            .zip(&settings.encodings)
            .map(|(encoding, wanted)| Stream {
                encoding: *encoding,
                height: wanted.height,
                bitrate: wanted.bitrate,
                active: false,
                keyframe_due: true,
                last_keyframe: None,
                sequence: (encoding.primary.0 & 0x7fff) as u16,
                first_timestamp: encoding.primary.0,
                picture_id: (encoding.primary.0 >> 16) as u16 & 0x7fff,
                tl0_index: (encoding.primary.0 >> 8) as u8,
                frame: 0,
                place: 0,
                base_frame: 0,
                middle_frame: 0,
                number: 0,
                packets: 0,
                octets: 0,
                rtx_sequence: 0,
                history: VecDeque::new(),
            })
            .collect();
        Self {
            number,
            period: Duration::from_secs(1) / settings.frame_rate.clamp(1, 60),
            settings,
            streams,
            waiting: VecDeque::new(),
            started: now,
            next_frame: now,
            wanted: 0,
        }
    }

    /// How much of it anybody wants: pixels, −1 for all, 0 for nothing. As browsers do, an encoding
    /// is sent when it is no higher than that, and the lowest always; of a screen, all are.
    pub(super) fn want(&mut self, height: i32, now: Instant) {
        let was_idle = !self.is_active();
        self.wanted = height;
        for (index, stream) in self.streams.iter_mut().enumerate() {
            let fits = height < 0
                || i32::from(stream.height) <= height
                || index == 0
                || self.settings.is_screen;
            let active = height != 0 && fits;
            if active && !stream.active {
                stream.keyframe_due = true;
                // Whoever turned it on is not made to wait for those who asked before.
                stream.last_keyframe = None;
            }
            stream.active = active;
        }
        if was_idle {
            // It resumes from now, not from when it stopped.
            self.next_frame = self.next_frame.max(now);
        }
    }

    pub(super) fn is_active(&self) -> bool {
        self.streams.iter().any(|s| s.active)
    }

    /// What it sends now, in bit/s.
    pub(super) fn bitrate(&self) -> u64 {
        let active = self.streams.iter().filter(|s| s.active);
        active.map(|s| u64::from(s.bitrate)).sum()
    }

    pub(super) fn next_at(&self) -> Option<Instant> {
        self.is_active().then_some(self.next_frame)
    }

    /// Somebody cannot show what comes: all encodings begin anew, as with libvpx.
    pub(super) fn request_keyframe(&mut self) {
        for stream in self.streams.iter_mut().filter(|s| s.active) {
            stream.keyframe_due = true;
        }
    }

    pub(super) fn owns(&self, ssrc: Ssrc) -> bool {
        self.streams.iter().any(|s| s.encoding.primary == ssrc)
    }

    pub(super) const fn started(&self) -> Instant {
        self.started
    }

    /// Plans the packets of the frame that is due, low encodings first. Frames are left out while
    /// too many packets wait.
    pub(super) fn frame(&mut self, now: Instant) {
        if !self.is_active() || self.next_frame > now {
            return;
        }
        let captured = self.next_frame;
        // Frames that nobody had the time to send are not made up for.
        self.next_frame = (captured + self.period).max(now.checked_sub(self.period).unwrap_or(now));
        if self.waiting.len() > MOST_WAITING {
            return;
        }
        let since_start = captured.saturating_duration_since(self.started);
        let (camera, layers, weight) = (
            self.number,
            self.settings.temporal_layers,
            self.settings.keyframe_weight.max(1),
        );
        let rate = self.settings.frame_rate.clamp(1, 60);
        for (index, stream) in self.streams.iter_mut().enumerate() {
            if !stream.active {
                continue;
            }
            let keyframe = stream.keyframe_due
                && stream
                    .last_keyframe
                    .is_none_or(|last| now.saturating_duration_since(last) >= KEYFRAMES_APART);
            if keyframe {
                stream.keyframe_due = false;
                stream.last_keyframe = Some(now);
                stream.place = 0;
            }
            let (temporal, base_only) = pattern(layers, stream.place);
            stream.frame = stream.frame.wrapping_add(1);
            let refers_to = match temporal {
                _ if keyframe => stream.frame,
                0 => stream.base_frame,
                _ if base_only => stream.base_frame,
                _ => stream.middle_frame,
            };
            if temporal == 0 {
                stream.base_frame = stream.frame;
                stream.tl0_index = stream.tl0_index.wrapping_add(1);
            }
            if temporal == 1 {
                stream.middle_frame = stream.frame;
            }
            stream.place = stream.place.wrapping_add(1);
            stream.picture_id = (stream.picture_id + 1) & 0x7fff;
            let weight = if keyframe { weight } else { 1 };
            let size = (stream.bitrate / 8 / rate * weight) as usize;
            let packets = size.div_ceil(LARGEST_PAYLOAD).max(1);
            let each = (size / packets).clamp(LEAST_VIDEO, LARGEST_PAYLOAD);
            for packet in 0..packets {
                self.waiting.push_back(Planned {
                    camera,
                    sequence: stream.sequence,
                    timestamp: stream.timestamp(since_start),
                    size: each as u16,
                    number: stream.number,
                    picture: Picture {
                        encoding: index as u8,
                        temporal,
                        height: stream.height,
                        frame: stream.frame,
                        refers_to,
                        packet: packet as u16,
                        packets: packets as u16,
                    },
                    ids: Ids {
                        picture_id: stream.picture_id,
                        tl0_index: stream.tl0_index,
                        layer_sync: base_only || keyframe,
                    },
                    sent_micros: 0,
                });
                stream.sequence = stream.sequence.wrapping_add(1);
                stream.number = stream.number.wrapping_add(1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn camera(settings: VideoSettings, now: Instant) -> Camera {
        let encodings: Vec<Encoding> = (1..=settings.encodings.len() as u32)
            .map(|n| Encoding {
                primary: Ssrc(n * 1000),
                rtx: Some(Ssrc(n * 1000 + 1)),
            })
            .collect();
        Camera::new(0, settings, &encodings, now)
    }

    /// The packets of so many milliseconds.
    fn run(camera: &mut Camera, from: Instant, millis: u64) -> Vec<Planned> {
        let mut out = Vec::new();
        for milli in 0..millis {
            camera.frame(from + Duration::from_millis(milli));
            out.extend(camera.waiting.drain(..));
        }
        out
    }

    #[test]
    fn nothing_is_sent_until_somebody_wants_it() {
        let now = Instant::now();
        let mut camera = camera(VideoSettings::simulcast(), now);
        assert!(run(&mut camera, now, 500).is_empty());
        assert_eq!(camera.next_at(), None);
    }

    #[test]
    fn a_height_takes_the_encodings_that_fit_and_the_lowest_always() {
        let now = Instant::now();
        let mut camera = camera(VideoSettings::simulcast(), now);
        for (height, encodings) in [
            (90, 1),
            (180, 1),
            (360, 2),
            (719, 2),
            (720, 3),
            (-1, 3),
            (0, 0),
        ] {
            camera.want(height, now);
            let active = camera.streams.iter().filter(|s| s.active).count();
            assert_eq!(active, encodings, "{height}");
        }
    }

    #[test]
    fn rates_are_the_ones_asked_for() {
        let now = Instant::now();
        let mut camera = camera(VideoSettings::simulcast(), now);
        camera.want(-1, now);
        let packets = run(&mut camera, now, 10_000);
        for (index, encoding) in VideoSettings::simulcast().encodings.iter().enumerate() {
            let of: Vec<_> = packets
                .iter()
                .filter(|p| p.picture.encoding == index as u8)
                .collect();
            let bits: u64 = of.iter().map(|p| u64::from(p.size) * 8).sum();
            let wanted = u64::from(encoding.bitrate) * 10;
            assert!(
                bits.abs_diff(wanted) * 20 < wanted,
                "{index}: {bits} of {wanted}"
            );
            // Gapless, one keyframe at the start, three temporal layers of 4 : 2 : 1 shares.
            assert!(
                of.windows(2)
                    .all(|w| w[1].sequence == w[0].sequence.wrapping_add(1))
            );
            let firsts: Vec<_> = of.iter().filter(|p| p.picture.packet == 0).collect();
            assert_eq!(firsts.iter().filter(|p| p.picture.is_keyframe()).count(), 1);
            assert_eq!(firsts.len(), 300);
            let top = firsts.iter().filter(|p| p.picture.temporal == 2).count();
            assert_eq!(top, 150);
        }
    }

    #[test]
    fn a_keyframe_request_is_answered_at_once_but_not_twice_in_300_ms() {
        let now = Instant::now();
        let mut camera = camera(VideoSettings::single(360, 400_000, 20), now);
        camera.want(360, now);
        let keyframes = |packets: &[Planned]| {
            let first = packets.iter().filter(|p| p.picture.packet == 0);
            first.filter(|p| p.picture.is_keyframe()).count()
        };
        assert_eq!(keyframes(&run(&mut camera, now, 100)), 1);
        camera.request_keyframe();
        let at = now + Duration::from_millis(100);
        assert_eq!(keyframes(&run(&mut camera, at, 150)), 0);
        let at = at + Duration::from_millis(150);
        assert_eq!(keyframes(&run(&mut camera, at, 200)), 1);
    }

    #[test]
    fn every_frame_refers_to_one_of_its_own_layer_or_below() {
        let now = Instant::now();
        let mut camera = camera(VideoSettings::simulcast(), now);
        camera.want(180, now);
        let packets = run(&mut camera, now, 2_000);
        let firsts: Vec<Picture> = packets
            .iter()
            .map(|p| p.picture)
            .filter(|p| p.packet == 0)
            .collect();
        for picture in firsts.iter().skip(1) {
            let to = firsts.iter().find(|p| p.frame == picture.refers_to);
            let to = to.expect("it was sent");
            assert!(to.temporal < picture.temporal || (to.temporal, picture.temporal) == (0, 0));
        }
    }

    #[test]
    fn what_was_sent_is_found_again() {
        let now = Instant::now();
        let mut camera = camera(VideoSettings::single(360, 400_000, 20), now);
        camera.want(360, now);
        let packets = run(&mut camera, now, 60_000);
        for planned in &packets {
            camera.streams[0].note_sent(*planned);
        }
        let last = packets[packets.len() - 1];
        let found = |back: u16| camera.streams[0].sent(last.sequence.wrapping_sub(back));
        assert_eq!(found(0).unwrap().number, last.number);
        assert_eq!(found(1_023).unwrap().number, last.number - 1_023);
        assert!(found(1_024).is_none());
        assert!(
            camera.streams[0]
                .sent(last.sequence.wrapping_add(1))
                .is_none()
        );
    }
}
