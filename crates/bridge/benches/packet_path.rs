//! What one arriving packet costs a worker: find its endpoint, open it, decide, rewrite and seal it
//! for each receiver in the send buffer. The kernel is not asked.
//!
//! An item is a forwarded packet. `script/bench packet-path` divides, repeats and keeps the result;
//! docs/develop/benchmarks.md has the method.

use althing_bridge::bench::{Kind, Meeting};
use divan::counter::ItemsCount;
use divan::{AllocProfiler, Bencher};

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

const RECEIVERS: [usize; 3] = [1, 10, 50];

fn main() {
    divan::main();
}

#[divan::bench(args = RECEIVERS, sample_count = 1000)]
fn audio(bencher: Bencher<'_, '_>, receivers: usize) {
    bench(bencher, Kind::Audio, receivers);
}

#[divan::bench(args = RECEIVERS, sample_count = 1000)]
fn video(bencher: Bencher<'_, '_>, receivers: usize) {
    bench(bencher, Kind::Video, receivers);
}

fn bench(bencher: Bencher<'_, '_>, kind: Kind, receivers: usize) {
    let (mut meeting, mut speaker) = Meeting::new(kind, receivers);
    bencher
        .counter(ItemsCount::new(receivers))
        .with_inputs(|| speaker.datagram())
        .bench_local_refs(|datagram| meeting.step(datagram));
}
