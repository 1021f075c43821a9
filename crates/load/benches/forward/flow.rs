//! What is sent: pictures and speech whose last eight bytes say when they left.

use althing_model::Ssrc;
use althing_model::profile::extension;
use althing_rtp::RtpHeader;
use althing_rtp::rtcp::{self, SenderInfo};
use std::time::{Duration, Instant, SystemTime};

/// The tag of AES-GCM.
const TAG: usize = 16;
/// Send times by sequence number, for whoever leaves the sequence number alone.
const TIMES: usize = 4096;

/// How a source sends.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pattern {
    pub(crate) video: bool,
    /// Bytes of a datagram, header and tag included.
    pub(crate) datagram: usize,
    /// Datagrams that leave at once.
    pub(crate) burst: usize,
    /// Between bursts.
    pub(crate) spacing: Duration,
    /// Packets of one picture.
    pub(crate) picture: usize,
}

impl Pattern {
    /// 1,200 bytes, `rate` packets a second one by one, 33 to a picture.
    pub(crate) fn video(rate: u32) -> Self {
        Self {
            video: true,
            datagram: 1200,
            burst: 1,
            spacing: Duration::from_secs(1) / rate,
            picture: 33,
        }
    }

    /// The same rate in pictures of ten packets that leave at once.
    pub(crate) fn frames(rate: u32) -> Self {
        Self {
            burst: 10,
            spacing: Duration::from_secs(10) / rate,
            picture: 10,
            ..Self::video(rate)
        }
    }

    /// Speech: 100 bytes, 50 a second.
    pub(crate) fn audio() -> Self {
        Self {
            video: false,
            datagram: 100,
            burst: 1,
            spacing: Duration::from_millis(20),
            picture: 1,
        }
    }

    pub(crate) fn payload_type(self) -> u8 {
        if self.video { 100 } else { 111 }
    }
}

/// One source that sends.
pub(crate) struct Flow {
    pub(crate) peer: usize,
    pub(crate) group: usize,
    pub(crate) pattern: Pattern,
    pub(crate) ssrc: Ssrc,
    pub(crate) next_at: Instant,
    pub(crate) keyframe_due: bool,
    began: Instant,
    sequence: u16,
    timestamp: u32,
    in_picture: usize,
    keyframe: bool,
    picture_id: u16,
    transport_cc: u16,
    packets: u32,
    octets: u32,
    times: Vec<u64>,
}

pub(crate) fn unix_nanos() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    u64::try_from(since.unwrap().as_nanos()).unwrap()
}

impl Flow {
    pub(crate) fn new(peer: usize, group: usize, pattern: Pattern, ssrc: Ssrc) -> Self {
        let now = Instant::now();
        Self {
            peer,
            group,
            pattern,
            ssrc,
            next_at: now,
            keyframe_due: true,
            began: now,
            sequence: 0,
            timestamp: 0,
            in_picture: 0,
            keyframe: true,
            picture_id: 0,
            transport_cc: 0,
            packets: 0,
            octets: 0,
            times: vec![0; TIMES],
        }
    }

    /// Appends the next packet, with room for what sealing adds; returns the length of its header
    /// and its length without the room.
    pub(crate) fn packet(&mut self, now: Instant, out: &mut Vec<u8>) -> (usize, usize) {
        let start = out.len();
        if self.in_picture == 0 {
            let clock = if self.pattern.video {
                90_000.0
            } else {
                48_000.0
            };
            self.timestamp = ((now - self.began).as_secs_f64() * clock) as u64 as u32;
            self.keyframe = std::mem::take(&mut self.keyframe_due);
        }
        let first = self.in_picture == 0;
        self.in_picture = (self.in_picture + 1) % self.pattern.picture;
        self.transport_cc = self.transport_cc.wrapping_add(1);
        let header = RtpHeader {
            marker: self.pattern.video && self.in_picture == 0,
            payload_type: self.pattern.payload_type(),
            sequence: self.sequence,
            timestamp: self.timestamp,
            ssrc: self.ssrc,
        };
        let number = self.transport_cc.to_be_bytes();
        // Voice, at -30 dBov.
        let speech: &[(u8, &[u8])] = &[
            (extension::TRANSPORT_CC, &number),
            (extension::AUDIO_LEVEL, &[0x80 | 30]),
        ];
        let extensions = if self.pattern.video {
            &speech[..1]
        } else {
            speech
        };
        out.resize(start + self.pattern.datagram + TAG, 0x5a);
        let length = header.write(extensions, &mut out[start..]).unwrap();
        let plain = self.pattern.datagram - TAG;
        let payload = &mut out[start + length..start + plain];
        if self.pattern.video {
            let [high, low] = (0x8000 | self.picture_id).to_be_bytes();
            payload[..6].copy_from_slice(&[
                0x80 | if first { 0x10 } else { 0 },
                0xe0,
                high,
                low,
                self.picture_id as u8,
                0,
            ]);
            if first {
                let inverse = u8::from(!self.keyframe);
                payload[6..9].copy_from_slice(&[0x10 | inverse, 2, 0]);
                // 640x360 (RFC 6386 §9.1).
                payload[9..16].copy_from_slice(&[0x9d, 1, 0x2a, 0x80, 2, 0x68, 1]);
            }
            if self.in_picture == 0 {
                self.picture_id = (self.picture_id + 1) & 0x7fff;
            }
        } else {
            payload[0] = 0xf8;
        }
        let sent = unix_nanos();
        let end = payload.len();
        payload[end - 8..].copy_from_slice(&sent.to_be_bytes());
        self.times[usize::from(self.sequence) % TIMES] = sent;
        self.sequence = self.sequence.wrapping_add(1);
        self.packets = self.packets.wrapping_add(1);
        self.octets = self.octets.wrapping_add(payload.len() as u32);
        (length, plain)
    }

    /// When the packet with this sequence number left.
    pub(crate) fn sent_at(&self, sequence: u16) -> u64 {
        self.times[usize::from(sequence) % TIMES]
    }

    /// Appends a sender report.
    pub(crate) fn report(&self, now: Instant, out: &mut Vec<u8>) {
        let nanos = unix_nanos();
        // NTP counts from 1900, in units of 2^-32 s (RFC 5905 §6).
        let ntp = ((nanos / 1_000_000_000 + 2_208_988_800) << 32)
            | (((nanos % 1_000_000_000) << 32) / 1_000_000_000);
        let clock = if self.pattern.video {
            90_000.0
        } else {
            48_000.0
        };
        let info = SenderInfo {
            ssrc: self.ssrc,
            ntp,
            rtp_timestamp: ((now - self.began).as_secs_f64() * clock) as u64 as u32,
            packets: self.packets,
            octets: self.octets,
        };
        rtcp::sender_report(out, &info, &[]);
    }
}

/// When a payload says that it left.
pub(crate) fn sent_at(payload: &[u8]) -> Option<u64> {
    payload.last_chunk().copied().map(u64::from_be_bytes)
}
