//! One screen into a room of a hundred: what its keyframes do to those who speak.
//!
//! The media thread is played by a clock that only moves with work: each packet taken in and each
//! packet handed out costs what the benches say, and what arrives meanwhile waits. Delay is from
//! a voice's arrival to its last copy.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use althing_colibri::ClientMessage;
use althing_forwarding::{Conference, EndpointKey, EndpointSettings, PacketSink, Settings};
use althing_forwarding::{Output, SlotMode};
use althing_model::{EndpointId, MediaKinds, Role, Ssrc, VideoType};
use althing_rtp::RtpPacket;
use althing_rtp::rtcp::TransportCcRecorder;
use common::{FEEDBACK, opus, packet, source};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

const PEOPLE: u32 = 100;
/// Who speak; the first of them shares its screen as well.
const SPEAKERS: u32 = 3;
const SCREEN: u32 = 90_000;

/// Taking a packet in: decryption and the look-ups.
const IN: Duration = Duration::from_micros(2);
/// Handing a packet out: encryption and its share of a batch.
const OUT: Duration = Duration::from_nanos(1500);
/// Choosing for one receiver.
const CHOICE: Duration = Duration::from_micros(10);

#[derive(Default)]
struct Sink {
    packets: u32,
    screen: u64,
    /// Transport-wide numbers and when they came, by receiver, not reported yet.
    numbers: BTreeMap<EndpointKey, Vec<(u16, Duration)>>,
    /// Since the start.
    now: Duration,
    keyframe_wanted: bool,
}

impl PacketSink for Sink {
    fn rtp(&mut self, to: EndpointKey, header: &[u8], payload: [&[u8]; 2]) {
        let size = header.len() + payload[0].len() + payload[1].len();
        self.packets += 1;
        self.screen += u64::from(size > 500);
        let bytes = [header, payload[0], payload[1]].concat();
        let packet = RtpPacket::parse(&bytes).unwrap();
        if let Some(&[high, low]) = packet.extension(5) {
            let numbers = self.numbers.entry(to).or_default();
            numbers.push((u16::from_be_bytes([high, low]), self.now));
        }
    }
    fn rtcp(&mut self, _: EndpointKey, packet: &[u8]) {
        self.packets += 1;
        for item in althing_rtp::rtcp::Compound::new(packet) {
            self.keyframe_wanted |= matches!(item, Ok(althing_rtp::rtcp::Rtcp::Pli { .. }));
        }
    }
}

/// Something that comes from the network.
enum Arrival {
    Voice(usize, Vec<u8>),
    Screen(Vec<u8>),
    Feedback(usize),
}

struct Meeting {
    conference: Conference,
    keys: Vec<EndpointKey>,
    recorders: Vec<TransportCcRecorder>,
    sink: Sink,
    start: Instant,
    /// Up to when the thread has work.
    busy: Instant,
    delays: Vec<Duration>,
    longest: Duration,
}

impl Meeting {
    fn new() -> Self {
        let start = althing_testkit::epoch();
        let mut conference = Conference::new(Settings::default(), FEEDBACK, 7);
        let wants = r#"{"colibriClass":"ReceiverVideoConstraints","lastN":25,"onStageSources":["e0-v1"],"defaultConstraints":{"maxHeight":0},"constraints":{"e0-v1":{"maxHeight":2160}}}"#;
        let mut keys = Vec::new();
        for i in 0..PEOPLE {
            let id = format!("e{i}");
            let key = conference.add_endpoint(
                start,
                EndpointSettings {
                    id: EndpointId::new(id.clone()).unwrap(),
                    role: Role::Participant,
                    may_send: MediaKinds::ALL,
                    receives_audio: true,
                    receives_video: true,
                    slots: SlotMode::Rewriting,
                },
            );
            conference.set_transport_cc(start, key, true);
            conference.connected(start, key, true);
            conference.channel_opened(start, key);
            if i != 0 {
                let message = ClientMessage::parse(wants).unwrap();
                conference.handle_message(start, key, message);
            }
            if i < SPEAKERS {
                let mut sources = vec![source(&id, "a0", 1000 * (i + 1))];
                if i == 0 {
                    let mut screen = source(&id, "v1", SCREEN);
                    screen.video_type = VideoType::Desktop;
                    sources.push(screen);
                }
                conference.set_sources(start, key, sources);
            }
            keys.push(key);
        }
        let mut meeting = Self {
            conference,
            recorders: keys.iter().map(|_| TransportCcRecorder::new()).collect(),
            keys,
            sink: Sink::default(),
            start,
            busy: start,
            delays: Vec::new(),
            longest: Duration::ZERO,
        };
        meeting.serve(start);
        meeting
    }

    /// Does one thing, and everything that is due by then; when it is done.
    fn work(&mut self, at: Instant, cost: Duration, f: impl FnOnce(&mut Self, Instant)) -> Instant {
        let now = at.max(self.busy);
        let before = self.conference.counters().allocations;
        self.sink.packets = 0;
        self.sink.now = now - self.start;
        f(self, now);
        while let Some(Output::Message { json, .. }) = self.conference.poll() {
            drop(json);
        }
        let choices = self.conference.counters().allocations - before;
        let took = cost + OUT * self.sink.packets + CHOICE * u32::try_from(choices).unwrap();
        self.longest = self.longest.max(took);
        self.busy = now + took;
        self.busy
    }

    /// Everything that is due up to `until`.
    fn serve(&mut self, until: Instant) {
        while let Some(due) = self.conference.next_timeout().filter(|at| *at <= until) {
            self.work(due, Duration::ZERO, |m, now| {
                m.conference.handle_timeout(now, &mut m.sink);
            });
        }
    }

    fn arrive(&mut self, at: Instant, arrival: Arrival) {
        self.serve(at);
        match arrival {
            Arrival::Voice(who, bytes) => {
                let done = self.work(at, IN, |m, now| {
                    m.conference
                        .handle_rtp(now, m.keys[who], &bytes, &mut m.sink);
                });
                self.delays.push(done - at);
            }
            Arrival::Screen(bytes) => {
                self.work(at, IN, |m, now| {
                    m.conference.handle_rtp(now, m.keys[0], &bytes, &mut m.sink);
                });
            }
            Arrival::Feedback(who) => {
                let recorder = &mut self.recorders[who];
                let numbers = self.sink.numbers.remove(&self.keys[who]);
                for (number, at) in numbers.unwrap_or_default() {
                    recorder.record(number, at);
                }
                let mut bytes = Vec::new();
                if recorder.is_pending() {
                    recorder.build(&mut bytes, Ssrc(9), Ssrc(9));
                    self.work(at, IN, |m, now| {
                        m.conference
                            .handle_rtcp(now, m.keys[who], &bytes, &mut m.sink);
                    });
                }
            }
        }
    }
}

/// A packet of a screen in 1080p.
fn screen(sequence: u16, timestamp: u32, key: bool, first: bool) -> Vec<u8> {
    let mut payload = vec![7; 1100];
    payload[..4].copy_from_slice(&[if first { 0x90 } else { 0x80 }, 0x80, 0x80, 1]);
    payload[4] = (timestamp / 18_000) as u8;
    payload[5] = u8::from(!(key && first));
    if first {
        payload[8..15].copy_from_slice(&[0x9d, 1, 0x2a, 0x80, 7, 0x38, 4]);
    }
    packet(100, SCREEN, sequence, timestamp, &[], &payload)
}

/// Runs ten seconds; with a screen of five frames a second, of which every tenth is a keyframe of
/// 250 kB whose packets come so far apart. Returns the delays of the voices, sorted.
fn ten_seconds(screen_spacing: Option<Duration>) -> (Vec<Duration>, Meeting) {
    let mut m = Meeting::new();
    let mut arrivals: BTreeMap<Duration, Vec<Arrival>> = BTreeMap::new();
    let mut add = |at: Duration, a: Arrival| arrivals.entry(at).or_default().push(a);
    let ms = Duration::from_millis;
    for tick in 0..500u16 {
        for who in 0..SPEAKERS {
            let at = ms(20) * u32::from(tick) + Duration::from_micros(u64::from(777 * who));
            let bytes = opus(1000 * (who + 1), tick, u32::from(tick) * 960, 20);
            add(at, Arrival::Voice(who as usize, bytes));
        }
    }
    for tick in 0..200u32 {
        for who in 1..PEOPLE {
            let at = ms(50) * tick + Duration::from_micros(u64::from(491 * who));
            add(at, Arrival::Feedback(who as usize));
        }
    }
    let mut sequence = 0u16;
    for frame in 0..50u32 {
        let key = frame.is_multiple_of(10);
        let packets = if key { 230 } else { 12 };
        for i in 0..packets {
            sequence = sequence.wrapping_add(1);
            if let Some(spacing) = screen_spacing {
                let at = ms(500) + ms(200) * frame + spacing * i;
                add(
                    at,
                    Arrival::Screen(screen(sequence, frame * 18_000, key, i == 0)),
                );
            }
        }
    }
    for (at, list) in arrivals {
        for arrival in list {
            let at = m.start + at;
            m.arrive(at, arrival);
        }
    }
    let mut delays = std::mem::take(&mut m.delays);
    delays.sort_unstable();
    (delays, m)
}

#[test]
fn a_screen_for_a_hundred_does_not_delay_those_who_speak() {
    let p99 = |delays: &[Duration]| delays[delays.len() * 99 / 100];
    let ms = Duration::from_millis;
    let (quiet, _) = ten_seconds(None);
    // As a browser sends at 20 Mbit/s, and from the same building at 200.
    for (spacing, most) in [(440, ms(5)), (44, ms(20))] {
        let (delays, m) = ten_seconds(Some(Duration::from_micros(spacing)));
        assert_eq!(delays.len(), 1500);
        // Every receiver but the owner had the screen, keyframes and all.
        let sent = u64::from(PEOPLE - 1) * (5 * 230 + 45 * 12);
        assert!(m.sink.screen >= sent * 95 / 100, "{}/{sent}", m.sink.screen);
        assert_eq!(m.conference.allocated().suspended_sources, 0);
        let (alone, beside) = (p99(&quiet), p99(&delays));
        let worst = *delays.last().unwrap();
        println!(
            "p99 {alone:?} alone, {beside:?} beside the screen, at worst {worst:?}; longest stretch of work {:?}",
            m.longest
        );
        assert!(beside < alone + ms(2), "{beside:?}");
        assert!(worst < most, "{worst:?}");
        assert!(m.longest < ms(5), "{:?}", m.longest);
    }
}
