//! One arriving packet to 1, 10 and 50 receivers, into a sink that does nothing. Items are
//! forwarded packets: divide by them for time and allocations per forwarded packet.
//!
//! `cargo bench -p althing-forwarding`
#![allow(clippy::unwrap_used, reason = "a bench may panic")]

mod support;

use althing_forwarding::{Conference, EndpointKey, PacketSink};
use althing_model::Ssrc;
use althing_rtp::RtpHeader;
use althing_rtp::rtcp::TransportCcRecorder;
use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use std::time::{Duration, Instant};
use support::{conference, described, enter, member, want_all};

#[global_allocator]
static ALLOCATIONS: divan::AllocProfiler = divan::AllocProfiler::system();

const RECEIVERS: [usize; 3] = [1, 10, 50];

fn main() {
    divan::main();
}

/// Takes packets and looks at them just enough to keep the compiler from dropping them.
#[derive(Default)]
struct Null {
    sent: u64,
    /// What each receiver will report, by its index.
    arrivals: Vec<(EndpointKey, TransportCcRecorder)>,
    now: Duration,
}

impl PacketSink for Null {
    fn rtp(&mut self, to: EndpointKey, header: &[u8], payload: [&[u8]; 2]) {
        black_box((header, payload));
        self.sent += 1;
        if let Some((key, recorder)) = self.arrivals.get_mut(to.index())
            && *key == to
            && let Some(number) = header.get(17..19)
        {
            recorder.record(u16::from_be_bytes([number[0], number[1]]), self.now);
        }
    }
    fn rtcp(&mut self, _: EndpointKey, packet: &[u8]) {
        black_box(packet);
    }
}

struct Meeting {
    conference: Conference,
    sender: EndpointKey,
    sink: Null,
    now: Instant,
    sequence: u16,
    packet: Vec<u8>,
    spacing: Duration,
    report: Vec<u8>,
}

/// What is known of the receivers' paths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Paths {
    /// They do not take part in transport-wide congestion control.
    Unknown,
    /// They do, and say nothing.
    Numbered,
    /// They report every 50 ms; the making of the report is counted too.
    Reported,
}

impl Meeting {
    /// One sender and `receivers` others, all with rewritten slots and all signalling sources of
    /// their own; a packet is sent every `spacing`. `paths` says what is known of their paths.
    fn new(
        receivers: usize,
        suffix: &str,
        payload: &[u8],
        spacing: Duration,
        paths: Paths,
    ) -> Self {
        let mut conference = conference();
        let now = althing_testkit::epoch();
        let mut keys = Vec::new();
        for i in 0..=receivers {
            let id = format!("e{i}");
            let key = enter(&mut conference, now, member(&id));
            conference.set_transport_cc(now, key, paths != Paths::Unknown);
            conference.handle_message(now, key, want_all());
            let sources = ["a0", "v0"]
                .into_iter()
                .zip([1000, 1001])
                .map(|(suffix, n)| {
                    let ssrc = 10 * i as u32 + n * 1000;
                    let rtx = (suffix == "v0").then_some(ssrc + 1);
                    described(&id, suffix, vec![(ssrc, rtx)])
                })
                .collect();
            conference.set_sources(now, key, sources);
            keys.push(key);
        }
        while conference.poll().is_some() {}
        let video = suffix == "v0";
        let mut packet = vec![0; 64];
        let header = RtpHeader {
            marker: false,
            payload_type: if video { 100 } else { 111 },
            sequence: 0,
            timestamp: 0,
            ssrc: Ssrc(if video { 1_001_000 } else { 1_000_000 }),
        };
        let extensions: &[(u8, &[u8])] = if video {
            &[(3, &[1, 2, 3]), (5, &[0, 0])]
        } else {
            &[(1, &[40]), (5, &[0, 0])]
        };
        let length = header.write(extensions, &mut packet).unwrap();
        packet.truncate(length);
        packet.extend_from_slice(payload);
        let mut meeting = Self {
            conference,
            sender: keys[0],
            sink: Null::default(),
            now: now + Duration::from_secs(1),
            sequence: 0,
            packet,
            spacing,
            report: Vec::new(),
        };
        // Opens the slots, and lets the history grow to its size.
        if paths == Paths::Reported {
            let recorders = keys.iter().map(|k| (*k, TransportCcRecorder::new()));
            meeting.sink.arrivals = recorders.collect();
            for _ in 0..20_000 {
                meeting.step();
            }
            // Frames of one packet pass the pacing.
            meeting.sink.sent = 0;
            for _ in 0..1000 {
                meeting.step();
            }
            assert!(
                meeting.sink.sent >= 990 * receivers as u64,
                "{}",
                meeting.sink.sent
            );
            return meeting;
        }
        for _ in 0..3000 {
            meeting.step();
        }
        meeting.sink.sent = 0;
        meeting.step();
        assert_eq!(meeting.sink.sent, receivers as u64);
        meeting
    }

    /// Everybody says what came.
    fn report(&mut self) {
        let mut arrivals = std::mem::take(&mut self.sink.arrivals);
        for (key, recorder) in &mut arrivals {
            while recorder.is_pending() {
                self.report.clear();
                recorder.build(&mut self.report, Ssrc(7), Ssrc(8));
                self.conference
                    .handle_rtcp(self.now, *key, &self.report, &mut self.sink);
            }
        }
        self.sink.arrivals = arrivals;
    }

    fn step(&mut self) {
        self.sequence = self.sequence.wrapping_add(1);
        self.now += self.spacing;
        self.sink.now += self.spacing;
        if self.sequence.is_multiple_of(50) && !self.sink.arrivals.is_empty() {
            self.report();
        }
        let number = self.sequence.to_be_bytes();
        self.packet[2..4].copy_from_slice(&number);
        // The transport-wide number stands last in its block.
        self.packet[22..24].copy_from_slice(&number);
        if self
            .conference
            .next_timeout()
            .is_some_and(|at| at <= self.now)
        {
            self.conference.handle_timeout(self.now, &mut self.sink);
        }
        self.conference
            .handle_rtp(self.now, self.sender, &self.packet, &mut self.sink);
        while self.conference.poll().is_some() {}
    }
}

#[divan::bench(args = RECEIVERS)]
fn audio_100_bytes(bencher: Bencher<'_, '_>, receivers: usize) {
    let mut meeting = Meeting::new(
        receivers,
        "a0",
        &[7; 80],
        Duration::from_millis(20),
        Paths::Unknown,
    );
    bencher
        .counter(ItemsCount::new(receivers))
        .bench_local(|| meeting.step());
}

#[divan::bench(args = RECEIVERS)]
fn video_1200_bytes(bencher: Bencher<'_, '_>, receivers: usize) {
    // Every packet could begin a keyframe, which is the dearer way.
    let mut payload = vec![7; 1180];
    payload[..2].copy_from_slice(&[0x10, 0]);
    let spacing = Duration::from_millis(1);
    let mut meeting = Meeting::new(receivers, "v0", &payload, spacing, Paths::Unknown);
    bencher
        .counter(ItemsCount::new(receivers))
        .bench_local(|| meeting.step());
}

#[divan::bench(args = RECEIVERS)]
fn video_1200_bytes_numbered(bencher: Bencher<'_, '_>, receivers: usize) {
    let mut payload = vec![7; 1180];
    payload[..2].copy_from_slice(&[0x10, 0]);
    let spacing = Duration::from_millis(1);
    let mut meeting = Meeting::new(receivers, "v0", &payload, spacing, Paths::Numbered);
    bencher
        .counter(ItemsCount::new(receivers))
        .bench_local(|| meeting.step());
}

/// With feedback, estimates and pacing.
#[divan::bench(args = RECEIVERS, sample_size = 200)]
fn video_1200_bytes_reported(bencher: Bencher<'_, '_>, receivers: usize) {
    let mut payload = vec![7; 1180];
    payload[..2].copy_from_slice(&[0x10, 0]);
    let spacing = Duration::from_millis(1);
    let mut meeting = Meeting::new(receivers, "v0", &payload, spacing, Paths::Reported);
    bencher
        .counter(ItemsCount::new(receivers))
        .bench_local(|| meeting.step());
}
