//! A hall: fifty open microphones, a hundred and five hundred receivers. What a packet costs that
//! nobody is sent, what one costs that everybody is sent, and what it costs when a voice that has no
//! slot begins to speak.
//!
//! `cargo bench -p althing-forwarding --bench hall`
#![allow(clippy::unwrap_used, reason = "a bench may panic")]

mod support;

use althing_forwarding::{Conference, EndpointKey};
use althing_model::Ssrc;
use althing_rtp::RtpHeader;
use divan::Bencher;
use divan::counter::ItemsCount;
use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};
use support::{Null, catch_up, conference, enter, member, single};

#[global_allocator]
static ALLOCATIONS: divan::AllocProfiler = divan::AllocProfiler::system();

const MICROPHONES: usize = 50;
const RECEIVERS: [usize; 3] = [50, 100, 500];
const QUIET: u8 = 87;
const VOICE: u8 = 30;

fn main() {
    divan::main();
}

struct Hall {
    conference: Conference,
    speakers: Vec<EndpointKey>,
    sink: Null,
    now: Instant,
    sequence: u16,
    packet: Vec<u8>,
}

impl Hall {
    fn new(receivers: usize) -> Self {
        let now = althing_testkit::epoch();
        let mut hall = Self {
            conference: conference(),
            speakers: Vec::new(),
            sink: Null::default(),
            now,
            sequence: 0,
            packet: vec![0; 32],
        };
        for i in 0..MICROPHONES {
            let key = hall.join(&format!("s{i}"));
            let source = single(&format!("s{i}"), "a0", 1000 + i as u32);
            hall.conference.set_sources(now, key, vec![source]);
            hall.speakers.push(key);
        }
        for i in 0..receivers {
            hall.join(&format!("r{i}"));
        }
        let header = RtpHeader {
            marker: false,
            payload_type: 111,
            sequence: 0,
            timestamp: 0,
            ssrc: Ssrc(0),
        };
        let length = header.write(&[(1, &[QUIET])], &mut hall.packet).unwrap();
        hall.packet.truncate(length);
        hall.packet.extend_from_slice(&[7; 80]);
        // Slots open and have carried something, floors are known, the first one is dominant.
        for frame in 0..200 {
            hall.frame(&[(0, if frame < 50 { VOICE } else { QUIET })]);
        }
        assert!(hall.conference.forwards_loudest_only());
        hall
    }

    fn join(&mut self, id: &str) -> EndpointKey {
        let key = enter(&mut self.conference, self.now, member(id));
        while self.conference.poll().is_some() {}
        key
    }

    /// One packet of everybody.
    fn frame(&mut self, named: &[(usize, u8)]) {
        self.begin_frame();
        for speaker in 0..MICROPHONES {
            let level = named.iter().find(|(s, _)| *s == speaker);
            self.send(speaker, level.map_or(QUIET, |(_, l)| *l));
        }
    }

    fn begin_frame(&mut self) {
        self.now += Duration::from_millis(20);
        self.sequence = self.sequence.wrapping_add(1);
        catch_up(&mut self.conference, self.now, &mut self.sink);
    }

    fn send(&mut self, speaker: usize, level: u8) {
        self.packet[2..4].copy_from_slice(&self.sequence.to_be_bytes());
        let timestamp = 960 * u32::from(self.sequence);
        self.packet[4..8].copy_from_slice(&timestamp.to_be_bytes());
        self.packet[8..12].copy_from_slice(&(1000 + speaker as u32).to_be_bytes());
        self.packet[17] = level;
        let key = self.speakers[speaker];
        self.conference
            .handle_rtp(self.now, key, &self.packet, &mut self.sink);
        while self.conference.poll().is_some() {}
    }
}

/// Nobody is sent it: must not grow with the receivers.
#[divan::bench(args = RECEIVERS)]
fn a_packet_nobody_is_sent(bencher: Bencher<'_, '_>, receivers: usize) {
    let mut hall = Hall::new(receivers);
    let before = hall.sink.sent;
    // Time stands still, or the others would come to count as muted.
    bencher.counter(ItemsCount::new(1usize)).bench_local(|| {
        hall.sequence = hall.sequence.wrapping_add(1);
        hall.send(30, QUIET);
    });
    assert_eq!(hall.sink.sent, before);
}

/// Per receiver: must not grow either.
#[divan::bench(args = RECEIVERS)]
fn a_packet_everybody_is_sent(bencher: Bencher<'_, '_>, receivers: usize) {
    let mut hall = Hall::new(receivers);
    let everybody = receivers + MICROPHONES - 1;
    hall.sink.sent = 0;
    hall.frame(&[]);
    assert_eq!(hall.sink.sent, everybody as u64);
    bencher.counter(ItemsCount::new(everybody)).bench_local(|| {
        hall.begin_frame();
        hall.send(0, VOICE);
    });
}

/// A frame of the whole hall: three speak, 47 do not.
#[divan::bench(args = RECEIVERS)]
fn a_frame_of_fifty(bencher: Bencher<'_, '_>, receivers: usize) {
    let mut hall = Hall::new(receivers);
    let speaking = [(0, VOICE), (1, VOICE), (2, VOICE)];
    bencher
        .counter(ItemsCount::new(3 * (receivers + MICROPHONES - 1)))
        .bench_local(|| hall.frame(&speaking));
}

/// A voice that has no slot anywhere: each receiver's slot that was quiet longest is given to it.
#[divan::bench(args = RECEIVERS, sample_size = 1, sample_count = 60)]
fn a_voice_without_a_slot(bencher: Bencher<'_, '_>, receivers: usize) {
    let hall = RefCell::new(Hall::new(receivers));
    let next = Cell::new(MICROPHONES - 1);
    bencher
        .with_inputs(|| {
            let mut hall = hall.borrow_mut();
            // Long enough for the last one to be forgotten.
            for _ in 0..110 {
                hall.frame(&[]);
            }
            hall.begin_frame();
            next.set((next.get() + 1) % MICROPHONES);
            next.get()
        })
        .bench_local_values(|speaker| hall.borrow_mut().send(speaker, VOICE));
}
