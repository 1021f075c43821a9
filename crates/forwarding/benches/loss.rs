//! One arriving packet while every tenth of every sender's is lost for good: what asking for the
//! missing ones costs, and that a sender's loss does not cost more the more others lose. And one
//! of a sender that leaves out as much as still counts as loss.
//!
//! `cargo bench -p althing-forwarding --bench loss`
#![allow(clippy::unwrap_used, reason = "a bench may panic")]

use althing_forwarding::{
    Conference, EndpointKey, EndpointSettings, PacketSink, Settings, SlotMode,
};
use althing_model::{
    Encoding, EndpointId, FeedbackSources, MediaKinds, Role, SourceDescription, SourceName, Ssrc,
    VideoType,
};
use althing_rtp::RtpHeader;
use divan::{Bencher, black_box};
use std::time::{Duration, Instant};

#[global_allocator]
static ALLOCATIONS: divan::AllocProfiler = divan::AllocProfiler::system();

/// Of each sender: 200 packets a second.
const SPACING: Duration = Duration::from_millis(5);

fn main() {
    divan::main();
}

struct Null;

impl PacketSink for Null {
    fn rtp(&mut self, _: EndpointKey, header: &[u8], payload: [&[u8]; 2]) {
        black_box((header, payload));
    }
    fn rtcp(&mut self, _: EndpointKey, packet: &[u8]) {
        black_box(packet);
    }
}

struct Meeting {
    conference: Conference,
    senders: Vec<EndpointKey>,
    now: Instant,
    step: u32,
    /// The sequence number of a turn.
    number: fn(u32) -> u32,
}

impl Meeting {
    fn new(senders: usize, number: fn(u32) -> u32) -> Self {
        let feedback = FeedbackSources {
            audio: Ssrc(1),
            video: Ssrc(2),
        };
        let mut conference = Conference::new(Settings::default(), feedback, 1);
        let now = althing_testkit::epoch();
        let senders = (0..senders)
            .map(|i| {
                let id = format!("e{i}");
                let settings = EndpointSettings {
                    id: EndpointId::new(id.clone()).unwrap(),
                    role: Role::Participant,
                    may_send: MediaKinds::ALL,
                    receives_audio: true,
                    receives_video: false,
                    slots: SlotMode::Rewriting,
                };
                let key = conference.add_endpoint(now, settings);
                conference.connected(now, key, true);
                let name = SourceName::new(format!("{id}-v0")).unwrap();
                let source = SourceDescription {
                    kind: name.kind(),
                    name,
                    video_type: VideoType::Camera,
                    msid: String::new(),
                    encodings: vec![Encoding {
                        primary: Ssrc(1000 + i as u32),
                        rtx: None,
                    }],
                };
                conference.set_sources(now, key, vec![source]);
                key
            })
            .collect();
        let mut meeting = Self {
            conference,
            senders,
            now,
            step: 0,
            number,
        };
        for _ in 0..100_000 {
            meeting.step();
        }
        meeting
    }

    fn step(&mut self) {
        let count = self.senders.len() as u32;
        let (sender, turn) = (self.step % count, self.step / count);
        self.step += 1;
        self.now += SPACING / count;
        let sequence = (self.number)(turn) as u16;
        let mut packet = [7; 100];
        let header = RtpHeader {
            marker: false,
            payload_type: 100,
            sequence,
            timestamp: turn * 450,
            ssrc: Ssrc(1000 + sender),
        };
        let length = header.write(&[], &mut packet).unwrap();
        packet[length..length + 2].copy_from_slice(&[0x10, 1]);
        let due = self.conference.next_timeout();
        if due.is_some_and(|at| at <= self.now) {
            self.conference.handle_timeout(self.now, &mut Null);
        }
        let sender = self.senders[sender as usize];
        self.conference
            .handle_rtp(self.now, sender, &packet, &mut Null);
    }
}

#[divan::bench(args = [1, 10, 50], sample_count = 300, sample_size = 100)]
fn senders(bencher: Bencher<'_, '_>, senders: usize) {
    // Nine arrive, then one does not.
    let mut meeting = Meeting::new(senders, |turn| turn + turn / 9);
    bencher.bench_local(|| meeting.step());
}

#[divan::bench(sample_count = 300, sample_size = 100)]
fn jumps(bencher: Bencher<'_, '_>) {
    let mut meeting = Meeting::new(1, |turn| turn * 3000);
    bencher.bench_local(|| meeting.step());
}
