//! Reading a packet, writing its template, patching it for a receiver.
//!
//! `cargo bench -p althing-rtp`

use althing_model::Ssrc;
use althing_rtp::{ExtensionRules, HeaderTemplate, RtpHeader, RtpPacket};
use divan::{Bencher, black_box};

#[global_allocator]
static ALLOCATIONS: divan::AllocProfiler = divan::AllocProfiler::system();

const RULES: ExtensionRules = ExtensionRules {
    keep: &[1, 11],
    transport_cc: Some(5),
};

fn main() {
    divan::main();
}

fn packet() -> Vec<u8> {
    let header = RtpHeader {
        marker: true,
        payload_type: 100,
        sequence: 1,
        timestamp: 2,
        ssrc: Ssrc(3),
    };
    let mut bytes = vec![0; 1200];
    let extensions: &[(u8, &[u8])] = &[(3, &[1, 2, 3]), (5, &[0, 0]), (11, &[1, 2, 3])];
    header.write(extensions, &mut bytes).expect("there is room");
    bytes
}

#[divan::bench]
fn parse(bencher: Bencher<'_, '_>) {
    let bytes = packet();
    bencher.bench_local(|| RtpPacket::parse(black_box(&bytes)));
}

#[divan::bench]
fn template(bencher: Bencher<'_, '_>) {
    let bytes = packet();
    let packet = RtpPacket::parse(&bytes).expect("our own packet");
    bencher.bench_local(|| HeaderTemplate::new(black_box(&packet), RULES));
}

#[divan::bench]
fn patch(bencher: Bencher<'_, '_>) {
    let bytes = packet();
    let packet = RtpPacket::parse(&bytes).expect("our own packet");
    let mut template = HeaderTemplate::new(&packet, RULES);
    bencher.bench_local(|| {
        template.set_ssrc(black_box(Ssrc(4)));
        template.set_sequence(black_box(5));
        template.set_timestamp(black_box(6));
        template.set_transport_cc(black_box(7));
        black_box(template.bytes());
    });
}
