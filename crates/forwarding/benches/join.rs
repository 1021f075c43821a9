//! What a join costs the media thread of a conference of 50 and of 500 receivers, 25 of whom have a
//! microphone and a camera: everything until nobody has anything to be told, and the leaving. And
//! what an idle endpoint takes of memory: the bytes that `alloc` prints for `idle_memory`.
//!
//! `cargo bench -p althing-forwarding --bench join`
#![allow(clippy::unwrap_used, reason = "a bench may panic")]

mod support;

use althing_colibri::ClientMessage;
use althing_forwarding::{Conference, EndpointKey, Limits};
use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use std::time::{Duration, Instant};
use support::{Null, conference, full, member};

#[global_allocator]
static ALLOCATIONS: divan::AllocProfiler = divan::AllocProfiler::system();

const RECEIVERS: [usize; 2] = [50, 500];
const SENDERS: usize = 25;

fn main() {
    divan::main();
}

struct Meeting {
    conference: Conference,
    now: Instant,
    /// As the app sends it: what is on the screen, and nothing else.
    wishes: String,
}

impl Meeting {
    fn new(receivers: usize, senders: usize, suffixes: &[&str]) -> Self {
        let visible: Vec<String> = (0..20)
            .map(|i| format!(r#""e{i}-v0":{{"maxHeight":180}}"#))
            .collect();
        let mut meeting = Self {
            conference: conference(),
            now: althing_testkit::epoch(),
            wishes: format!(
                r#"{{"colibriClass":"ReceiverVideoConstraints","lastN":-1,"defaultConstraints":{{"maxHeight":0}},"constraints":{{{}}}}}"#,
                visible.join(",")
            ),
        };
        for i in 0..receivers {
            let suffixes = if i < senders { suffixes } else { &[] };
            meeting.join(&format!("e{i}"), i as u32, suffixes);
            meeting.pass(20);
        }
        meeting.pass(2000);
        meeting
    }

    fn join(&mut self, id: &str, number: u32, suffixes: &[&str]) -> EndpointKey {
        let key = self.conference.add_endpoint(self.now, member(id));
        let sources = suffixes
            .iter()
            .zip(0..)
            .map(|(suffix, i)| full(id, suffix, 1000 + 100 * number + 10 * i))
            .collect();
        self.conference.set_sources(self.now, key, sources);
        self.drain();
        self.conference.connected(self.now, key, true);
        self.drain();
        self.conference.channel_opened(self.now, key);
        self.drain();
        let message = ClientMessage::parse(&self.wishes).unwrap();
        self.conference.handle_message(self.now, key, message);
        self.drain();
        key
    }

    fn leave(&mut self, key: EndpointKey) {
        self.conference.remove_endpoint(self.now, key);
        self.drain();
    }

    fn drain(&mut self) {
        loop {
            while let Some(output) = self.conference.poll() {
                black_box(&output);
            }
            if self
                .conference
                .next_timeout()
                .is_none_or(|at| at > self.now)
            {
                return;
            }
            self.conference
                .handle_timeout(self.now, &mut Null::default());
        }
    }

    fn pass(&mut self, ms: u64) {
        let end = self.now + Duration::from_millis(ms);
        while let Some(at) = self.conference.next_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.drain();
        }
        self.now = end;
    }
}

/// Somebody who only watches and listens.
#[divan::bench(args = RECEIVERS)]
fn listener_joins_and_leaves(bencher: Bencher<'_, '_>, receivers: usize) {
    let mut meeting = Meeting::new(receivers, SENDERS, &["a0", "v0"]);
    bencher.bench_local(|| {
        let key = meeting.join("new", 9000, &[]);
        meeting.leave(key);
        meeting.pass(50);
    });
}

/// Somebody with a microphone and a camera, of whom everybody is told.
#[divan::bench(args = RECEIVERS)]
fn sender_joins_and_leaves(bencher: Bencher<'_, '_>, receivers: usize) {
    let mut meeting = Meeting::new(receivers, SENDERS, &["a0", "v0"]);
    bencher.bench_local(|| {
        let key = meeting.join("new", 9000, &["a0", "v0"]);
        meeting.leave(key);
        meeting.pass(50);
    });
}

/// As many microphones as people, so that most have no slot.
#[divan::bench(args = RECEIVERS)]
fn microphone_joins_a_hall_and_leaves(bencher: Bencher<'_, '_>, receivers: usize) {
    let mut meeting = Meeting::new(receivers, receivers, &["a0"]);
    bencher.bench_local(|| {
        let key = meeting.join("new", 9000, &["a0"]);
        meeting.leave(key);
        meeting.pass(50);
    });
}

/// A limit for all receivers comes or goes: each finds anew what it wants, and its layers. Items
/// are receivers.
#[divan::bench(args = RECEIVERS)]
fn everybody_chooses_anew(bencher: Bencher<'_, '_>, receivers: usize) {
    let mut meeting = Meeting::new(receivers, SENDERS, &["a0", "v0"]);
    let mut limits = Limits::default();
    bencher.counter(ItemsCount::new(receivers)).bench_local(|| {
        limits.max_height = limits.max_height.xor(Some(90));
        meeting.conference.set_limits(meeting.now, limits);
        meeting.drain();
    });
}

/// One more listener in a hall of 200 microphones: see the bytes allocated.
#[divan::bench(sample_count = 20, sample_size = 1)]
fn idle_memory(bencher: Bencher<'_, '_>) {
    let mut meeting = Meeting::new(200, 200, &["a0"]);
    let mut number = 9000;
    bencher.bench_local(|| {
        number += 1;
        meeting.join(&format!("new{number}"), number, &[])
    });
}
