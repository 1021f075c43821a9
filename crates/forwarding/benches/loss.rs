//! One arriving packet, seen by somebody, while every tenth of every sender's is lost for good: what
//! asking for the missing ones costs, and that a sender's loss does not cost more the more others
//! lose. And one of a sender that leaves out as much as still counts as loss.
//!
//! `cargo bench -p althing-forwarding --bench loss`
#![allow(clippy::unwrap_used, reason = "a bench may panic")]

mod support;

use althing_forwarding::{Conference, EndpointKey};
use althing_model::Ssrc;
use althing_rtp::RtpHeader;
use divan::Bencher;
use std::time::{Duration, Instant};
use support::{Null, catch_up, conference, enter, member, single, want_all};

#[global_allocator]
static ALLOCATIONS: divan::AllocProfiler = divan::AllocProfiler::system();

/// Of each sender: 200 packets a second.
const SPACING: Duration = Duration::from_millis(5);
/// A whole VP8 frame without layers (RFC 7741 §4.2, §4.3): descriptor, then a keyframe's header.
const KEYFRAME: [u8; 11] = [0x10, 0x10, 2, 0, 0x9d, 1, 0x2a, 0x40, 1, 0xb4, 0];

fn main() {
    divan::main();
}

struct Meeting {
    conference: Conference,
    senders: Vec<EndpointKey>,
    sink: Null,
    now: Instant,
    step: u32,
    /// The sequence number of a turn.
    number: fn(u32) -> u32,
}

impl Meeting {
    /// Senders, and one who watches them all; of a thousand packets more than `asked` are missing.
    fn new(senders: usize, number: fn(u32) -> u32, asked: u64) -> Self {
        let mut conference = conference();
        let now = althing_testkit::epoch();
        let viewer = enter(&mut conference, now, member("viewer"));
        conference.handle_message(now, viewer, want_all());
        let senders = (0..senders)
            .map(|i| {
                let id = format!("e{i}");
                let mut settings = member(&id);
                settings.receives_video = false;
                let key = conference.add_endpoint(now, settings);
                conference.connected(now, key, true);
                let source = single(&id, "v0", 1000 + i as u32);
                conference.set_sources(now, key, vec![source]);
                key
            })
            .collect();
        let mut meeting = Self {
            conference,
            senders,
            sink: Null::default(),
            now,
            step: 0,
            number,
        };
        for _ in 0..100_000 {
            meeting.step();
        }
        // Everything is seen, and what is missing was asked for.
        meeting.sink.sent = 0;
        let nacked = meeting.conference.counters().nacked;
        for _ in 0..1_000 {
            meeting.step();
        }
        let nacked = meeting.conference.counters().nacked - nacked;
        assert!(meeting.sink.sent >= 990, "{}", meeting.sink.sent);
        assert!(nacked >= asked, "{nacked}");
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
            marker: true,
            payload_type: 100,
            sequence,
            timestamp: turn * 450,
            ssrc: Ssrc(1000 + sender),
        };
        let length = header.write(&[], &mut packet).unwrap();
        packet[length..][..KEYFRAME.len()].copy_from_slice(&KEYFRAME);
        // Before a keyframe nothing is missing: they are at the beginning only.
        packet[length + 1] |= u8::from(turn >= 200);
        catch_up(&mut self.conference, self.now, &mut self.sink);
        let sender = self.senders[sender as usize];
        self.conference
            .handle_rtp(self.now, sender, &packet, &mut self.sink);
        while self.conference.poll().is_some() {}
    }
}

#[divan::bench(args = [1, 10, 50], sample_count = 300, sample_size = 100)]
fn senders(bencher: Bencher<'_, '_>, senders: usize) {
    // Nine arrive, then one does not.
    let mut meeting = Meeting::new(senders, |turn| turn + turn / 9, 100);
    bencher.bench_local(|| meeting.step());
}

#[divan::bench(sample_count = 300, sample_size = 100)]
fn jumps(bencher: Bencher<'_, '_>) {
    let mut meeting = Meeting::new(1, |turn| turn * 3000, 0);
    bencher.bench_local(|| meeting.step());
}
