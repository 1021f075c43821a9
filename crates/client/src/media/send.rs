use super::{Sending, unix_micros};
use crate::packets::{self, Marker, VideoPosition};
use althing_model::profile::extension;
use althing_model::{MediaKind, Ssrc};
use althing_rtp::rtcp::{self, Compound, Rtcp, SenderInfo};
use althing_rtp::{RtpHeader, RtpPacket};
use std::time::{Duration, Instant};

/// 20 ms of Opus.
const AUDIO_PERIOD: Duration = Duration::from_millis(20);
const AUDIO_PAYLOAD: usize = 80;
/// 15 frames a second of 3 packets: about 400 kbit/s.
const FRAME_PERIOD: Duration = Duration::from_nanos(66_666_667);
const PACKETS_PER_FRAME: usize = 3;
const VIDEO_PAYLOAD: usize = 1100;
const REPORT_PERIOD: Duration = Duration::from_secs(1);
/// Retransmissions can go back this far.
const HISTORY: usize = 512;

#[derive(Debug)]
struct Stream {
    ssrc: Ssrc,
    rtp_sequence: u16,
    timestamp: u32,
    marker_sequence: u32,
    next_at: Instant,
    packets: u32,
    octets: u32,
}

impl Stream {
    fn new(ssrc: Ssrc, now: Instant) -> Self {
        Self {
            ssrc,
            rtp_sequence: 0,
            timestamp: ssrc.0,
            marker_sequence: 0,
            next_at: now,
            packets: 0,
            octets: 0,
        }
    }
}

/// Makes the packets an occupant sends, on time.
#[derive(Debug)]
pub(crate) struct Generator {
    sending: Sending,
    audio: Option<Stream>,
    video: Option<Stream>,
    video_wanted: bool,
    keyframe_due: bool,
    keyframe: bool,
    in_frame: usize,
    picture_id: u16,
    rtx_sequence: u16,
    history: Vec<Option<(u16, Vec<u8>)>>,
    report_at: Option<Instant>,
    packet: Vec<u8>,
    payload: Vec<u8>,
    report: Vec<u8>,
    transport_cc: u16,
}

impl Generator {
    pub(crate) fn new(sending: Sending) -> Self {
        Self {
            sending,
            audio: None,
            video: None,
            video_wanted: false,
            keyframe_due: true,
            keyframe: true,
            in_frame: 0,
            picture_id: 0,
            rtx_sequence: 0,
            history: vec![None; HISTORY],
            report_at: None,
            packet: Vec::with_capacity(1500),
            payload: Vec::with_capacity(1500),
            report: Vec::with_capacity(256),
            transport_cc: 0,
        }
    }

    /// The transport is up: media flows from now on.
    pub(crate) fn start(&mut self, now: Instant) {
        self.audio = self.sending.audio.map(|ssrc| Stream::new(ssrc, now));
        self.video = self.sending.video.map(|(ssrc, _)| Stream::new(ssrc, now));
        self.report_at = Some(now + REPORT_PERIOD);
    }

    pub(crate) fn want_video(&mut self, wanted: bool) {
        if wanted && !self.video_wanted {
            self.keyframe_due = true;
        }
        self.video_wanted = wanted;
    }

    pub(crate) fn next_at(&self) -> Option<Instant> {
        let video = self
            .video
            .as_ref()
            .filter(|_| self.video_wanted)
            .map(|v| v.next_at);
        [
            self.audio.as_ref().map(|a| a.next_at),
            video,
            self.report_at,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// The next packet that is due: its kind, its bytes, the length of its header.
    pub(crate) fn next_packet(&mut self, now: Instant) -> Option<(MediaKind, &[u8], usize)> {
        if self.audio.as_ref().is_some_and(|a| a.next_at <= now) {
            return Some(self.audio_packet());
        }
        let due = self.video_wanted && self.video.as_ref().is_some_and(|v| v.next_at <= now);
        due.then(|| self.video_packet(now))
    }

    fn audio_packet(&mut self) -> (MediaKind, &[u8], usize) {
        let stream = self.audio.as_mut().expect("checked by the caller");
        let marker = Marker {
            kind: MediaKind::Audio,
            sender: self.sending.sender,
            sequence: stream.marker_sequence,
            sent_micros: unix_micros(),
        };
        packets::write_audio(&mut self.payload, &marker, AUDIO_PAYLOAD);
        stream.next_at += AUDIO_PERIOD;
        let header = RtpHeader {
            marker: false,
            payload_type: 111,
            sequence: stream.rtp_sequence,
            timestamp: stream.timestamp,
            ssrc: stream.ssrc,
        };
        stream.timestamp = stream.timestamp.wrapping_add(960);
        advance(stream, self.payload.len());
        // Voice, at -30 dBov.
        let length = self.assemble(&header, Some(0x80 | 30));
        (MediaKind::Audio, &self.packet, length)
    }

    fn video_packet(&mut self, now: Instant) -> (MediaKind, &[u8], usize) {
        let stream = self.video.as_mut().expect("checked by the caller");
        if self.in_frame == 0 {
            self.keyframe = std::mem::take(&mut self.keyframe_due);
            // A sender that was paused resumes from now, not from when it stopped.
            stream.next_at = stream
                .next_at
                .max(now.checked_sub(FRAME_PERIOD).unwrap_or(now));
        }
        let position = VideoPosition {
            first: self.in_frame == 0,
            keyframe: self.keyframe,
            picture_id: self.picture_id,
            tl0_picture_index: self.picture_id as u8,
        };
        let marker = Marker {
            kind: MediaKind::Video,
            sender: self.sending.sender,
            sequence: stream.marker_sequence,
            sent_micros: unix_micros(),
        };
        packets::write_video(&mut self.payload, &marker, position, VIDEO_PAYLOAD);
        self.in_frame += 1;
        let last = self.in_frame == PACKETS_PER_FRAME;
        let header = RtpHeader {
            marker: last,
            payload_type: 100,
            sequence: stream.rtp_sequence,
            timestamp: stream.timestamp,
            ssrc: stream.ssrc,
        };
        if last {
            self.in_frame = 0;
            self.picture_id = (self.picture_id + 1) & 0x7fff;
            stream.timestamp = stream.timestamp.wrapping_add(6000);
            stream.next_at += FRAME_PERIOD;
        }
        advance(stream, self.payload.len());
        let length = self.assemble(&header, None);
        let slot = usize::from(header.sequence) % HISTORY;
        self.history[slot] = Some((header.sequence, self.packet.clone()));
        (MediaKind::Video, &self.packet, length)
    }

    fn assemble(&mut self, header: &RtpHeader, level: Option<u8>) -> usize {
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
        self.packet.clear();
        self.packet.resize(64, 0);
        let length = header
            .write(extensions, &mut self.packet)
            .expect("64 bytes hold two short extensions");
        self.packet.truncate(length);
        self.packet.extend_from_slice(&self.payload);
        length
    }

    /// Reads feedback; returns the video sequence numbers asked for again.
    pub(crate) fn rtcp(&mut self, packet: &[u8]) -> Vec<u16> {
        let Some((video, _)) = self.sending.video else {
            return Vec::new();
        };
        let mut wanted = Vec::new();
        for item in Compound::new(packet).flatten() {
            match item {
                Rtcp::Pli { media, .. } if media == video => self.keyframe_due = true,
                Rtcp::Fir(fir) if fir.entries().any(|(ssrc, _)| ssrc == video) => {
                    self.keyframe_due = true
                }
                Rtcp::Nack(nack) if nack.media == video => wanted.extend(nack.sequences()),
                _ => {}
            }
        }
        wanted
    }

    /// Writes the retransmission of a video packet (RFC 4588) into `out`; returns its header length.
    pub(crate) fn retransmission(&mut self, sequence: u16, out: &mut Vec<u8>) -> Option<usize> {
        let (_, rtx) = self.sending.video?;
        let (kept, original) = self.history[usize::from(sequence) % HISTORY].as_ref()?;
        if *kept != sequence {
            return None;
        }
        let original = RtpPacket::parse(original).ok()?;
        self.rtx_sequence = self.rtx_sequence.wrapping_add(1);
        self.transport_cc = self.transport_cc.wrapping_add(1);
        let header = RtpHeader {
            marker: original.marker(),
            payload_type: 96,
            sequence: self.rtx_sequence,
            timestamp: original.timestamp(),
            ssrc: rtx,
        };
        out.clear();
        out.resize(64, 0);
        let number = self.transport_cc.to_be_bytes();
        let length = header
            .write(&[(extension::TRANSPORT_CC, &number)], out)
            .ok()?;
        out.truncate(length);
        out.extend_from_slice(&sequence.to_be_bytes());
        out.extend_from_slice(original.payload());
        Some(length)
    }

    /// Sender reports of what is being sent, once a second.
    pub(crate) fn report(&mut self, now: Instant) -> Option<&[u8]> {
        if self.report_at? > now {
            return None;
        }
        self.report_at = Some(now + REPORT_PERIOD);
        self.report.clear();
        let micros = unix_micros();
        // NTP counts from 1900, in units of 2^-32 s (RFC 5905 §6).
        let ntp = ((micros / 1_000_000 + 2_208_988_800) << 32)
            | (((micros % 1_000_000) << 32) / 1_000_000);
        let video = self.video.as_ref().filter(|_| self.video_wanted);
        for stream in [self.audio.as_ref(), video]
            .into_iter()
            .flatten()
            .filter(|s| s.packets > 0)
        {
            let info = SenderInfo {
                ssrc: stream.ssrc,
                ntp,
                rtp_timestamp: stream.timestamp,
                packets: stream.packets,
                octets: stream.octets,
            };
            rtcp::sender_report(&mut self.report, &info, &[]);
        }
        (!self.report.is_empty()).then_some(&self.report)
    }
}

fn advance(stream: &mut Stream, octets: usize) {
    stream.rtp_sequence = stream.rtp_sequence.wrapping_add(1);
    stream.marker_sequence += 1;
    stream.packets = stream.packets.wrapping_add(1);
    stream.octets = stream.octets.wrapping_add(octets as u32);
}
