//! A receiver behind a link that narrows: what reaches it, and what does not.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test may panic, and these print a table"
)]

mod common;

use althing_forwarding::EndpointKey;
use althing_forwarding::SlotMode::Plain;
use althing_model::{Encoding, MediaKind, SourceDescription, Ssrc, VideoType};
use althing_rtp::RtpPacket;
use althing_rtp::rtcp::{self, Compound, Rtcp, TransportCcRecorder};
use common::*;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

const MICROPHONE: u32 = 100;
/// The camera's encodings are on 200, 202 and 204, their retransmissions one above.
const CAMERA: u32 = 200;
/// Smaller side, wider side, and bytes of a frame: 150, 500 and 1,500 kbit/s.
const LAYERS: [(u16, u16, usize); 3] = [(180, 320, 625), (360, 640, 2083), (720, 1280, 6250)];
const STEP: Duration = Duration::from_millis(1);
const ONE_WAY: Duration = Duration::from_millis(30);

struct Link {
    /// In bit/s, by the seconds since the start.
    capacity: fn(f64) -> f64,
    /// How long a packet waits at most.
    queue: Duration,
    /// Of a thousand, how many vanish.
    lost: u64,
}

/// A packet on its way to Bob.
struct Underway {
    entered: Duration,
    bytes: Vec<u8>,
}

/// One second of what happened.
#[derive(Debug, Default, Clone, Copy)]
struct Second {
    audio_sent: u32,
    /// Handed to the link.
    audio_left: u32,
    audio_arrived: u32,
    video_bytes: usize,
    /// The greatest, in milliseconds.
    queue: f64,
    estimate: u64,
}

struct Call {
    room: Room,
    ann: EndpointKey,
    bob: EndpointKey,
    link: Link,
    start: Instant,
    queue: VecDeque<Underway>,
    waiting: usize,
    busy_until: Duration,
    arriving: VecDeque<(Duration, Vec<u8>)>,
    returning: VecDeque<(Duration, Vec<u8>)>,
    recorder: TransportCcRecorder,
    seconds: Vec<Second>,
    audio: u16,
    sequences: [u16; 3],
    pictures: u16,
    wants_key: bool,
    /// What Bob has of the camera, by sequence number in 64 bits.
    seen: BTreeSet<u64>,
    highest: u64,
    asked: BTreeMap<u64, Duration>,
    dice: u64,
}

impl Call {
    fn new(link: Link) -> Self {
        let mut room = Room::new();
        let ann = room.join("ann", Plain);
        let bob = room.join("bob", Plain);
        room.conference.set_transport_cc(room.now, bob, true);
        let mut sources = vec![source("ann", "a0", MICROPHONE)];
        let name = name("ann-v0");
        sources.push(SourceDescription {
            kind: MediaKind::Video,
            video_type: VideoType::Camera,
            msid: String::new(),
            encodings: (0..3)
                .map(|e| Encoding {
                    primary: Ssrc(CAMERA + 2 * e),
                    rtx: Some(Ssrc(CAMERA + 2 * e + 1)),
                })
                .collect(),
            name,
        });
        room.conference.set_sources(room.now, ann, sources);
        room.say(
            bob,
            r#"{"colibriClass":"ReceiverVideoConstraints","lastN":-1,"onStageSources":["ann-v0"],
               "defaultConstraints":{"maxHeight":720}}"#,
        );
        let start = room.now;
        Self {
            room,
            ann,
            bob,
            link,
            start,
            queue: VecDeque::new(),
            waiting: 0,
            busy_until: Duration::ZERO,
            arriving: VecDeque::new(),
            returning: VecDeque::new(),
            recorder: TransportCcRecorder::new(),
            seconds: Vec::new(),
            audio: 0,
            sequences: [1000, 2000, 3000],
            pictures: 0,
            wants_key: true,
            seen: BTreeSet::new(),
            highest: 0,
            asked: BTreeMap::new(),
            dice: 1,
        }
    }

    fn now(&self) -> Duration {
        self.room.now - self.start
    }

    fn second(&mut self) -> &mut Second {
        let at = self.now().as_secs() as usize;
        if self.seconds.len() <= at {
            self.seconds.resize(at + 1, Second::default());
        }
        &mut self.seconds[at]
    }

    fn run(&mut self, seconds: u64) {
        while self.now() < Duration::from_secs(seconds) {
            let ms = self.now().as_millis() as u64;
            if ms.is_multiple_of(20) {
                self.audio += 1;
                self.second().audio_sent += 1;
                let before = self.second().audio_left;
                let n = self.audio;
                let payload = [0; 100];
                let packet = packet(
                    111,
                    MICROPHONE,
                    n,
                    u32::from(n) * 960,
                    &[(1, &[30])],
                    &payload,
                );
                self.room.rtp(self.ann, &packet);
                self.enter_link();
                let left = self.second().audio_left - before;
                assert_eq!(left, 1, "at {ms} ms an audio packet did not leave at once");
            }
            if ms.is_multiple_of(33) {
                self.frame();
            }
            self.room.pass(STEP);
            self.enter_link();
            self.serve_link();
            self.receive();
            if ms.is_multiple_of(100) {
                self.report();
            }
            let counters = self.room.conference.endpoint_counters(self.bob).unwrap();
            self.second().estimate = counters.estimate.unwrap_or(0);
        }
    }

    /// One picture in three sizes.
    fn frame(&mut self) {
        let key = std::mem::take(&mut self.wants_key);
        self.pictures = (self.pictures + 1) & 0x7fff;
        let [high, low] = self.pictures.to_be_bytes();
        let timestamp = self.now().as_millis() as u32 * 90;
        for (encoding, (height, width, size)) in LAYERS.into_iter().enumerate() {
            let size = if key { 3 * size } else { size };
            let count = size.div_ceil(1100);
            for i in 0..count {
                let mut payload = vec![0; size / count];
                let first = [if i == 0 { 0x90 } else { 0x80 }, 0x80, 0x80 | high, low];
                payload[..4].copy_from_slice(&first);
                if i == 0 {
                    payload[4] = u8::from(!key);
                    payload[7..10].copy_from_slice(&[0x9d, 0x01, 0x2a]);
                    payload[10..12].copy_from_slice(&width.to_le_bytes());
                    payload[12..14].copy_from_slice(&height.to_le_bytes());
                }
                self.sequences[encoding] = self.sequences[encoding].wrapping_add(1);
                let ssrc = CAMERA + 2 * encoding as u32;
                let sequence = self.sequences[encoding];
                let mut bytes = packet(100, ssrc, sequence, timestamp, &[], &payload);
                if i + 1 < count {
                    bytes[1] &= 0x7f;
                }
                self.room.rtp(self.ann, &bytes);
            }
        }
    }

    fn enter_link(&mut self) {
        for (to, _) in self.room.plis() {
            self.wants_key |= to == self.ann;
        }
        let now = self.now();
        let capacity = (self.link.capacity)(now.as_secs_f64());
        let most = (capacity * self.link.queue.as_secs_f64() / 8.0) as usize;
        for sent in self.room.sent_to(self.bob) {
            if sent.rtp().ssrc().0 == MICROPHONE {
                self.second().audio_left += 1;
            } else {
                self.second().video_bytes += sent.bytes.len();
            }
            self.dice = self
                .dice
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            if self.waiting + sent.bytes.len() > most.max(3000)
                || self.dice >> 33 & 1023 < self.link.lost
            {
                continue;
            }
            self.waiting += sent.bytes.len();
            self.queue.push_back(Underway {
                entered: now,
                bytes: sent.bytes,
            });
        }
    }

    fn serve_link(&mut self) {
        let now = self.now();
        let capacity = (self.link.capacity)(now.as_secs_f64());
        if capacity <= 0.0 {
            self.busy_until = now;
            return;
        }
        while let Some(first) = self.queue.front() {
            let begun = self.busy_until.max(first.entered);
            let takes = Duration::from_secs_f64(first.bytes.len() as f64 * 8.0 / capacity);
            if begun + takes > now {
                break;
            }
            self.busy_until = begun + takes;
            let first = self.queue.pop_front().unwrap();
            self.waiting -= first.bytes.len();
            self.arriving
                .push_back((self.busy_until + ONE_WAY, first.bytes));
        }
        let wait = self.waiting as f64 * 8e3 / capacity;
        let second = self.second();
        second.queue = second.queue.max(wait);
    }

    fn receive(&mut self) {
        let now = self.now();
        while let Some((at, _)) = self.arriving.front()
            && *at <= now
        {
            let (at, bytes) = self.arriving.pop_front().unwrap();
            let packet = RtpPacket::parse(&bytes).unwrap();
            let [high, low] = packet.extension(5).map_or([0, 0], |n| [n[0], n[1]]);
            if [high, low] != [0, 0] || packet.extension(5).is_some() {
                self.recorder.record(u16::from_be_bytes([high, low]), at);
            }
            match packet.ssrc().0 {
                MICROPHONE => self.second().audio_arrived += 1,
                CAMERA => self.see(packet.sequence()),
                ssrc if ssrc == CAMERA + 1 => {
                    if let Some((original, _)) = althing_rtp::rtx::unwrap(packet.payload()) {
                        let number = althing_rtp::seq::extend(self.highest, original);
                        self.seen.insert(number);
                    }
                }
                _ => {}
            }
        }
        while let Some((at, _)) = self.returning.front()
            && *at <= now
        {
            let (_, bytes) = self.returning.pop_front().unwrap();
            for item in Compound::new(&bytes) {
                assert!(!matches!(item.unwrap(), Rtcp::Other { .. }));
            }
            self.room.rtcp(self.bob, &bytes);
        }
    }

    fn see(&mut self, sequence: u16) {
        if self.highest == 0 {
            self.highest = u64::from(sequence) + 0x1_0000;
        }
        let number = althing_rtp::seq::extend(self.highest, sequence);
        self.highest = self.highest.max(number);
        self.seen.insert(number);
    }

    /// Feedback, and a request for what is missing of the last second.
    fn report(&mut self) {
        let now = self.now();
        let due = now + ONE_WAY;
        while self.recorder.is_pending() {
            let mut bytes = Vec::new();
            self.recorder.build(&mut bytes, Ssrc(9), Ssrc(CAMERA));
            self.returning.push_back((due, bytes));
        }
        let missing: Vec<u64> = (self.highest.saturating_sub(100)..self.highest)
            .filter(|n| !self.seen.contains(n))
            .filter(|n| {
                self.asked
                    .get(n)
                    .is_none_or(|at| now - *at > Duration::from_millis(200))
            })
            .collect();
        if !missing.is_empty() && self.highest > 0 {
            let numbers: Vec<u16> = missing.iter().map(|n| *n as u16).collect();
            self.asked.extend(missing.iter().map(|n| (*n, now)));
            let mut bytes = Vec::new();
            rtcp::nack(&mut bytes, Ssrc(9), Ssrc(CAMERA), &numbers);
            self.returning.push_back((due, bytes));
        }
    }

    fn between(&self, from: usize, to: usize) -> &[Second] {
        &self.seconds[from..to]
    }

    fn video_rate(&self, from: usize, to: usize) -> usize {
        let bytes: usize = self.between(from, to).iter().map(|s| s.video_bytes).sum();
        bytes * 8 / (to - from)
    }

    /// Audio that the link lost, of a thousand.
    fn audio_lost(&self, from: usize, to: usize) -> u32 {
        let seconds = self.between(from, to);
        let sent: u32 = seconds.iter().map(|s| s.audio_sent).sum();
        let arrived: u32 = seconds.iter().map(|s| s.audio_arrived).sum();
        1000 * sent.saturating_sub(arrived) / sent
    }

    fn print(&self) {
        println!("second  link kbit/s  estimate  video  audio lost  queue ms");
        for (at, s) in self.seconds.iter().enumerate() {
            println!(
                "{at:>6} {:>12.0} {:>9} {:>6} {:>11} {:>9.0}",
                (self.link.capacity)(at as f64) / 1e3,
                s.estimate / 1000,
                s.video_bytes * 8 / 1000,
                s.audio_sent.saturating_sub(s.audio_arrived),
                s.queue,
            );
        }
    }
}

#[test]
fn a_collapsing_link_costs_video_and_no_audio() {
    let mut call = Call::new(Link {
        capacity: |t| match t {
            t if t < 10.0 => 4e6,
            t if t < 25.0 => 300e3,
            t if t < 40.0 => 80e3,
            _ => 4e6,
        },
        queue: Duration::from_millis(400),
        lost: 0,
    });
    call.run(70);
    call.print();
    assert!(call.video_rate(5, 10) > 1_400_000, "all there is");
    let thin = call.video_rate(13, 25);
    assert!(
        (50_000..260_000).contains(&thin),
        "the smallest layer: {thin}"
    );
    assert!(call.video_rate(30, 40) < 30_000, "nothing but probes");
    assert!(call.video_rate(60, 70) > 1_400_000, "all there is, again");
    assert!(call.audio_lost(13, 25) <= 10, "{}", call.audio_lost(13, 25));
    assert!(call.audio_lost(29, 40) <= 10, "{}", call.audio_lost(29, 40));
    assert_eq!(call.audio_lost(45, 69), 0);
    let left: u32 = call.seconds.iter().map(|s| s.audio_left).sum();
    assert_eq!(left, u32::from(call.audio), "all audio left the bridge");
    // The path is not kept full by what it loses.
    assert!(call.between(13, 25).iter().all(|s| s.queue < 200.0));
    assert!(call.between(27, 40).iter().all(|s| s.queue < 100.0));
    assert!(call.seconds[44].estimate > 1_600_000, "found again in time");
}

#[test]
fn random_loss_is_repaired_and_costs_no_layer() {
    let mut call = Call::new(Link {
        capacity: |_| 4e6,
        queue: Duration::from_millis(300),
        lost: 51,
    });
    call.run(40);
    call.print();
    assert!(call.video_rate(10, 40) > 1_500_000);
    let oldest = call.highest - 1000;
    let missing = (oldest..call.highest - 100)
        .filter(|n| !call.seen.contains(n))
        .count();
    assert!(missing <= 2, "{missing} of the last 900 never came");
    let padding = call.room.conference.counters().padding;
    assert!(padding < 200_000, "{padding}");
}

#[test]
fn a_link_that_is_gone_for_a_while_is_used_again_at_once() {
    let mut call = Call::new(Link {
        capacity: |t| if (15.0..25.0).contains(&t) { 0.0 } else { 4e6 },
        queue: Duration::from_millis(300),
        lost: 0,
    });
    call.run(40);
    call.print();
    assert!(call.video_rate(20, 25) < 100_000, "nobody would get it");
    assert!(call.seconds[27].estimate > 1_600_000);
    assert!(call.video_rate(28, 40) > 1_400_000);
}
