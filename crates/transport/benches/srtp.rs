//! Nanoseconds and allocations to seal and open one packet, the lookup of its source included.
//!
//! Method: a packet of 100 or 1,200 bytes of payload behind 24 bytes of header; 50 sources in
//! turn, as one receiver of a meeting has them; keys kept. Look at the fastest sample of an idle
//! machine. Allocations must be zero.

use althing_transport::{SRTP_OVERHEAD, SrtpProfile, Transport, fuzzing};
use divan::{AllocProfiler, Bencher, black_box};

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

const PROFILES: [SrtpProfile; 3] = [
    SrtpProfile::AeadAes128Gcm,
    SrtpProfile::AeadAes256Gcm,
    SrtpProfile::Aes128CmSha1_80,
];
const HEADER: usize = 24;
const SOURCES: u32 = 50;
/// Packets sealed beforehand for the opening side, and then opened once each.
const PREPARED: u32 = 20_000;

fn main() {
    divan::main();
}

/// The next packet of the next source.
fn write_header(buffer: &mut [u8], number: u32) {
    let sequence = (number / SOURCES) as u16;
    buffer[..HEADER].copy_from_slice(&[
        0x90, 100, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0xbe, 0xde, 0, 2, 0x10, 1, 0x51, 1, 2, 0, 0, 0,
    ]);
    buffer[2..4].copy_from_slice(&sequence.to_be_bytes());
    buffer[8..12].copy_from_slice(&(number % SOURCES + 0x1234_5678).to_be_bytes());
}

fn seal(transport: &mut Transport, buffer: &mut [u8], number: u32) -> usize {
    write_header(buffer, number);
    let plain = buffer.len() - SRTP_OVERHEAD;
    transport
        .seal_rtp(buffer, HEADER, plain)
        .expect("each number is sealed once")
}

fn bench_seal(bencher: Bencher<'_, '_>, profile: SrtpProfile, payload: usize) {
    let (mut transport, _, _) = fuzzing::connected(profile);
    let mut buffer = vec![7; HEADER + payload + SRTP_OVERHEAD];
    // The first packet of each source makes its entry; that is not what is measured.
    let mut number = SOURCES;
    for first in 0..number {
        seal(&mut transport, &mut buffer, first);
    }
    bencher.bench_local(|| {
        let length = seal(&mut transport, black_box(&mut buffer), number);
        number += 1;
        black_box(length)
    });
}

fn bench_open(bencher: Bencher<'_, '_>, profile: SrtpProfile, payload: usize) {
    let (mut ours, mut theirs, path) = fuzzing::connected(profile);
    let now = ours.last_activity();
    let mut number = SOURCES;
    for first in 0..number {
        let mut packet = vec![7; HEADER + payload + SRTP_OVERHEAD];
        let length = seal(&mut theirs, &mut packet, first);
        let _ = ours.handle_datagram(now, path, &mut packet[..length]);
    }
    let mut prepared = Vec::new();
    bencher
        .with_inputs(|| {
            if prepared.is_empty() {
                prepared = (number..number + PREPARED)
                    .map(|number| {
                        let mut buffer = vec![7; HEADER + payload + SRTP_OVERHEAD];
                        let length = seal(&mut theirs, &mut buffer, number);
                        buffer.truncate(length);
                        buffer
                    })
                    .rev()
                    .collect();
                number += PREPARED;
            }
            prepared.pop().expect("just filled")
        })
        .bench_local_refs(|packet| {
            let received = ours.handle_datagram(now, path, packet);
            assert!(matches!(
                black_box(received),
                althing_transport::Received::Rtp(_)
            ));
        });
}

#[divan::bench(args = PROFILES)]
fn seal_100(bencher: Bencher<'_, '_>, profile: &SrtpProfile) {
    bench_seal(bencher, *profile, 100);
}

#[divan::bench(args = PROFILES)]
fn seal_1200(bencher: Bencher<'_, '_>, profile: &SrtpProfile) {
    bench_seal(bencher, *profile, 1200);
}

#[divan::bench(args = PROFILES)]
fn open_100(bencher: Bencher<'_, '_>, profile: &SrtpProfile) {
    bench_open(bencher, *profile, 100);
}

#[divan::bench(args = PROFILES)]
fn open_1200(bencher: Bencher<'_, '_>, profile: &SrtpProfile) {
    bench_open(bencher, *profile, 1200);
}

/// What a stranger's bytes cost before anything is known about them.
#[divan::bench]
fn binding_ufrag_of_a_check(bencher: Bencher<'_, '_>) {
    let mut check = vec![0, 1, 0, 28, 0x21, 0x12, 0xa4, 0x42];
    check.extend([7; 12]);
    check.extend([0, 6, 0, 17]);
    check.extend(b"abcdefghijkl:wxyz\0\0\0");
    check.extend([0, 0x25, 0, 0]);
    assert!(althing_transport::binding_ufrag(&check).is_some());
    bencher.bench_local(|| althing_transport::binding_ufrag(black_box(&check)).is_some());
}
