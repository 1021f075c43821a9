//! What an occupant sends, packet by packet, when it is due.

use super::camera::{Camera, Planned};
use super::unix_micros;
use crate::VideoSettings;
use crate::packets::{self, LEAST_AUDIO, Marker, Sender, Source};
use althing_model::profile::extension;
use althing_model::{Encoding, MediaKind, Ssrc};
use althing_rtp::RtpHeader;
use althing_rtp::rtcp::{self, SenderInfo};
use std::time::{Duration, Instant};

/// 20 ms of Opus.
const AUDIO_PERIOD: Duration = Duration::from_millis(20);
const REPORT_PERIOD: Duration = Duration::from_secs(1);
const OPUS: u8 = 111;
const VP8: u8 = 100;
const VP8_RTX: u8 = 96;
/// The pacer of a browser: this many times the rate of what is sent, in bursts of 5 ms.
const PACING: u64 = 5;
const PACING_DIVISOR: u64 = 2;
const SLOWEST_PACE: u64 = 1_000_000;
const BURST: Duration = Duration::from_millis(5);

/// What an occupant is to send.
#[derive(Debug, Clone)]
pub(crate) struct Sending {
    pub(crate) sender: Sender,
    /// The SSRC and the bitrate of the payload.
    pub(crate) audio: Option<(Ssrc, u32)>,
    pub(crate) videos: Vec<Video>,
}

/// One camera or screen.
#[derive(Debug, Clone)]
pub(crate) struct Video {
    /// 0 for `v0`.
    pub(crate) number: u8,
    pub(crate) settings: VideoSettings,
    pub(crate) encodings: Vec<Encoding>,
}

#[derive(Debug)]
struct Microphone {
    ssrc: Ssrc,
    size: usize,
    number: u32,
    /// Where its clock stands, in packets: what was left out passed on it all the same.
    clock: u32,
    next_at: Instant,
    octets: u32,
}

impl Microphone {
    fn timestamp(&self) -> u32 {
        self.ssrc.0.wrapping_add(self.clock.wrapping_mul(960))
    }
}

/// Makes the packets an occupant sends, on time.
#[derive(Debug)]
pub(crate) struct Generator {
    sending: Sending,
    /// `None` until the transport is up.
    started: Option<Instant>,
    microphone: Option<Microphone>,
    cameras: Vec<Camera>,
    /// Heights wanted of sources before they exist.
    wanted: Vec<(u8, i32)>,
    /// Whose turn it is with the pacer.
    turn: usize,
    pace_at: Instant,
    report_at: Option<Instant>,
    transport_cc: u16,
    pub(crate) keyframes_asked: u64,
    /// Packets of sound that were not made in time.
    pub(crate) left_out: u64,
}

impl Generator {
    pub(crate) fn new(sending: Sending, now: Instant) -> Self {
        Self {
            sending,
            started: None,
            microphone: None,
            cameras: Vec::new(),
            wanted: Vec::new(),
            turn: 0,
            pace_at: now,
            report_at: None,
            transport_cc: 0,
            keyframes_asked: 0,
            left_out: 0,
        }
    }

    /// The transport is up: media flows from now on.
    pub(crate) fn start(&mut self, now: Instant) {
        if self.started.is_some() {
            return;
        }
        self.started = Some(now);
        self.microphone = self.sending.audio.map(|(ssrc, bitrate)| Microphone {
            ssrc,
            size: (bitrate as usize / 8 / 50).clamp(LEAST_AUDIO, 1_200),
            number: 0,
            clock: 0,
            next_at: now,
            octets: 0,
        });
        for video in std::mem::take(&mut self.sending.videos) {
            self.begin(video, now);
        }
        self.report_at = Some(now + REPORT_PERIOD);
    }

    /// One more camera or screen.
    pub(crate) fn add(&mut self, video: Video, now: Instant) {
        if self.started.is_some() {
            self.begin(video, now);
        } else {
            self.sending.videos.push(video);
        }
    }

    fn begin(&mut self, video: Video, now: Instant) {
        let mut camera = Camera::new(video.number, video.settings, &video.encodings, now);
        if let Some((_, height)) = self.wanted.iter().find(|(n, _)| *n == video.number) {
            camera.want(*height, now);
        }
        self.cameras.push(camera);
    }

    /// How much of one of our pictures anybody wants; see [`Camera::want`].
    pub(crate) fn want(&mut self, number: u8, height: i32, now: Instant) {
        self.wanted.retain(|(n, _)| *n != number);
        self.wanted.push((number, height));
        if let Some(camera) = self.cameras.iter_mut().find(|c| c.number == number) {
            camera.want(height, now);
        }
    }

    pub(crate) fn next_at(&self) -> Option<Instant> {
        let microphone = self.microphone.as_ref().map(|m| m.next_at);
        let waits = self.cameras.iter().any(|c| !c.waiting.is_empty());
        let paced = waits.then_some(self.pace_at);
        let frames = self.cameras.iter().filter_map(Camera::next_at);
        frames
            .chain(microphone)
            .chain(paced)
            .chain(self.report_at)
            .min()
    }

    /// Writes the next packet that is due into `out`: its kind, and the length of its header.
    pub(crate) fn next_packet(
        &mut self,
        now: Instant,
        out: &mut Vec<u8>,
    ) -> Option<(MediaKind, usize)> {
        if let Some(header) = self.audio_packet(now, out) {
            return Some((MediaKind::Audio, header));
        }
        for camera in &mut self.cameras {
            camera.frame(now);
        }
        if self.pace_at > now + BURST {
            return None;
        }
        let mut planned = self.next_planned()?;
        let rate: u64 = self.cameras.iter().map(Camera::bitrate).sum();
        let rate = (rate * PACING / PACING_DIVISOR).max(SLOWEST_PACE);
        let takes = Duration::from_secs_f64(f64::from(planned.size) * 8.0 / rate as f64);
        self.pace_at = self.pace_at.max(now) + takes;
        planned.sent_micros = unix_micros();
        let camera = self
            .cameras
            .iter_mut()
            .find(|c| c.number == planned.camera)?;
        let stream = camera
            .streams
            .get_mut(usize::from(planned.picture.encoding))?;
        stream.note_sent(planned);
        let ssrc = stream.encoding.primary;
        let header = self.write(&planned, VP8, planned.sequence, ssrc, None, out);
        Some((MediaKind::Video, header))
    }

    /// The cameras take turns: a large frame of a screen does not hold up a face.
    fn next_planned(&mut self) -> Option<Planned> {
        for _ in 0..self.cameras.len() {
            self.turn = (self.turn + 1) % self.cameras.len();
            if let Some(planned) = self.cameras[self.turn].waiting.pop_front() {
                return Some(planned);
            }
        }
        None
    }

    fn audio_packet(&mut self, now: Instant, out: &mut Vec<u8>) -> Option<usize> {
        let microphone = self.microphone.as_mut().filter(|m| m.next_at <= now)?;
        // A generator that could not keep up leaves out what is long past. It was never sent, so
        // that it has no number: it is not lost.
        while now.saturating_duration_since(microphone.next_at) > Duration::from_secs(1) {
            microphone.next_at += AUDIO_PERIOD;
            microphone.clock = microphone.clock.wrapping_add(1);
            self.left_out += 1;
        }
        let marker = Marker {
            source: Source::Audio,
            sender: self.sending.sender,
            sequence: microphone.number,
            sent_micros: unix_micros(),
        };
        let header = RtpHeader {
            marker: false,
            payload_type: OPUS,
            sequence: microphone.number as u16,
            timestamp: microphone.timestamp(),
            ssrc: microphone.ssrc,
        };
        let size = microphone.size;
        microphone.next_at += AUDIO_PERIOD;
        microphone.number = microphone.number.wrapping_add(1);
        microphone.clock = microphone.clock.wrapping_add(1);
        microphone.octets = microphone.octets.wrapping_add(size as u32);
        // Voice, at -30 dBov.
        let length = self.write_header(&header, Some(0x80 | 30), out);
        packets::write_audio(out, &marker, size);
        Some(length)
    }

    fn write_header(&mut self, header: &RtpHeader, level: Option<u8>, out: &mut Vec<u8>) -> usize {
        self.transport_cc = self.transport_cc.wrapping_add(1);
        let number = self.transport_cc.to_be_bytes();
        let level = level.map(|level| [level]);
        let mut extensions: [(u8, &[u8]); 2] = [(extension::TRANSPORT_CC, &number); 2];
        let extensions = match &level {
            Some(level) => {
                extensions[1] = (extension::AUDIO_LEVEL, level);
                &extensions[..]
            }
            None => &extensions[..1],
        };
        out.clear();
        out.resize(64, 0);
        let length = header
            .write(extensions, out)
            .expect("64 bytes hold two short extensions");
        out.truncate(length);
        length
    }

    fn write(
        &mut self,
        planned: &Planned,
        payload_type: u8,
        sequence: u16,
        ssrc: Ssrc,
        original: Option<u16>,
        out: &mut Vec<u8>,
    ) -> usize {
        let header = RtpHeader {
            marker: planned.picture.is_last(),
            payload_type,
            sequence,
            timestamp: planned.timestamp,
            ssrc,
        };
        let length = self.write_header(&header, None, out);
        if let Some(original) = original {
            out.extend_from_slice(&original.to_be_bytes());
        }
        let marker = Marker {
            source: Source::Video(planned.camera),
            sender: self.sending.sender,
            sequence: planned.number,
            sent_micros: planned.sent_micros,
        };
        let size = planned.size.into();
        packets::write_video(out, &marker, &planned.picture, planned.ids, size);
        length
    }

    /// Somebody cannot show what we send under this SSRC.
    pub(crate) fn keyframe_requested(&mut self, ssrc: Ssrc) {
        if let Some(camera) = self.cameras.iter_mut().find(|c| c.owns(ssrc)) {
            self.keyframes_asked += 1;
            camera.request_keyframe();
        }
    }

    /// Writes the retransmission of a video packet (RFC 4588) into `out`; returns its header length.
    pub(crate) fn retransmission(
        &mut self,
        ssrc: Ssrc,
        sequence: u16,
        out: &mut Vec<u8>,
    ) -> Option<usize> {
        let stream = self
            .cameras
            .iter_mut()
            .flat_map(|c| &mut c.streams)
            .find(|s| s.encoding.primary == ssrc)?;
        let planned = stream.sent(sequence)?;
        let rtx = stream.encoding.rtx?;
        stream.rtx_sequence = stream.rtx_sequence.wrapping_add(1);
        let number = stream.rtx_sequence;
        Some(self.write(&planned, VP8_RTX, number, rtx, Some(sequence), out))
    }

    /// Appends sender reports of what is being sent, once a second; says whether it was time.
    pub(crate) fn report(&mut self, now: Instant, out: &mut Vec<u8>) -> bool {
        let (Some(at), Some(started)) = (self.report_at, self.started) else {
            return false;
        };
        if at > now {
            return false;
        }
        self.report_at = Some(now + REPORT_PERIOD);
        let micros = unix_micros();
        // NTP counts from 1900, in units of 2^-32 s (RFC 5905 §6).
        let ntp = ((micros / 1_000_000 + 2_208_988_800) << 32)
            | (((micros % 1_000_000) << 32) / 1_000_000);
        if let Some(microphone) = self.microphone.as_ref().filter(|m| m.number > 0) {
            let since = now.saturating_duration_since(started).as_micros() * 48 / 1_000;
            let info = SenderInfo {
                ssrc: microphone.ssrc,
                ntp,
                rtp_timestamp: microphone.ssrc.0.wrapping_add(since as u32),
                packets: microphone.number,
                octets: microphone.octets,
            };
            rtcp::sender_report(out, &info, &[]);
        }
        for camera in &self.cameras {
            let since = now.saturating_duration_since(camera.started());
            for stream in camera
                .streams
                .iter()
                .filter(|s| s.is_active() && s.packets > 0)
            {
                let info = SenderInfo {
                    ssrc: stream.encoding.primary,
                    ntp,
                    rtp_timestamp: stream.timestamp(since),
                    packets: stream.packets,
                    octets: stream.octets,
                };
                rtcp::sender_report(out, &info, &[]);
            }
        }
        true
    }

    /// What it sends now, in bit/s of payload.
    #[cfg(test)]
    fn bitrate(&self) -> u64 {
        self.cameras.iter().map(Camera::bitrate).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use althing_rtp::RtpPacket;

    fn generator(now: Instant) -> Generator {
        let encoding = |n| Encoding {
            primary: Ssrc(n),
            rtx: Some(Ssrc(n + 1)),
        };
        let sending = Sending {
            sender: packets::sender("ab12cd34"),
            audio: Some((Ssrc(7), 32_000)),
            videos: vec![Video {
                number: 0,
                settings: VideoSettings::simulcast(),
                encodings: vec![encoding(10), encoding(20), encoding(30)],
            }],
        };
        Generator::new(sending, now)
    }

    /// Everything sent in so many milliseconds, with the millisecond.
    fn run(generator: &mut Generator, start: Instant, millis: u64) -> Vec<(u64, Vec<u8>)> {
        let mut sent = Vec::new();
        let mut out = Vec::new();
        for milli in 0..millis {
            let now = start + Duration::from_millis(milli);
            while generator.next_packet(now, &mut out).is_some() {
                sent.push((milli, out.clone()));
            }
        }
        sent
    }

    #[test]
    fn fifty_audio_packets_a_second_and_no_video_that_nobody_wants() {
        let now = Instant::now();
        let mut generator = generator(now);
        assert!(run(&mut generator, now, 100).is_empty(), "not connected");
        generator.start(now);
        let sent = run(&mut generator, now, 1_000);
        assert_eq!(sent.len(), 50);
        let packet = RtpPacket::parse(&sent[9].1).unwrap();
        assert_eq!((packet.payload_type(), packet.sequence()), (OPUS, 9));
        assert_eq!(packet.payload().len(), 80);
    }

    #[test]
    fn sound_that_was_not_made_in_time_is_left_out_and_not_lost() {
        let now = Instant::now();
        let mut generator = generator(now);
        generator.start(now);
        let before = run(&mut generator, now, 1_000);
        let last = RtpPacket::parse(&before[49].1).unwrap();
        // It stands still for three seconds, and makes up for one.
        let after = run(&mut generator, now + Duration::from_secs(4), 1);
        assert_eq!((after.len(), generator.left_out), (51, 100));
        let next = RtpPacket::parse(&after[0].1).unwrap();
        assert_eq!(next.sequence(), last.sequence() + 1);
        assert_eq!(next.timestamp(), last.timestamp().wrapping_add(101 * 960));
    }

    #[test]
    fn video_is_paced_and_a_keyframe_does_not_leave_at_once() {
        let now = Instant::now();
        let mut generator = generator(now);
        generator.want(0, 720, now);
        generator.start(now);
        assert_eq!(generator.bitrate(), 2_200_000);
        let sent = run(&mut generator, now, 2_000);
        let video = sent.iter().filter(|(_, packet)| packet[1] & 0x7f == VP8);
        let mut by_milli = std::collections::BTreeMap::new();
        for (milli, _) in video {
            *by_milli.entry(*milli).or_insert(0_u32) += 1;
        }
        // 5.5 Mbit/s are 0.63 packets of 1,100 bytes a millisecond; 5 ms of them may go together.
        assert!(by_milli.values().all(|n| *n <= 9), "{by_milli:?}");
    }

    #[test]
    fn a_retransmission_is_what_was_sent() {
        let now = Instant::now();
        let mut generator = generator(now);
        generator.want(0, 180, now);
        generator.start(now);
        let sent = run(&mut generator, now, 500);
        let video: Vec<_> = sent
            .iter()
            .map(|(_, p)| p)
            .filter(|p| p[1] & 0x7f == VP8)
            .collect();
        let original = RtpPacket::parse(video[3]).unwrap();
        let mut out = Vec::new();
        let sequence = original.sequence();
        generator
            .retransmission(Ssrc(10), sequence, &mut out)
            .unwrap();
        let again = RtpPacket::parse(&out).unwrap();
        assert_eq!((again.payload_type(), again.ssrc()), (VP8_RTX, Ssrc(11)));
        assert_eq!(again.timestamp(), original.timestamp());
        let (number, payload) = althing_rtp::rtx::unwrap(again.payload()).unwrap();
        assert_eq!((number, payload), (sequence, original.payload()));
        assert!(
            generator
                .retransmission(Ssrc(99), sequence, &mut out)
                .is_none()
        );
    }
}
