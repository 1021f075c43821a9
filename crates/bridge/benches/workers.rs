//! One large meeting on one worker and on two: what leaves per second over real sockets, and what
//! each worker's thread has of the processor for it.
//!
//! `script/bench workers` repeats it and keeps the result; docs/develop/benchmarks.md has the method.

use althing_bridge::bench::{Crowd, Kind, Outcome};
use std::io::{Write, stdout};
use std::time::Duration;

const RECEIVERS: usize = 400;
/// Until slots are open and buffers have their size.
const WARM_UP: usize = 1000;
const PACKETS: usize = 2000;

fn main() -> std::io::Result<()> {
    // What the harness is called with by `cargo bench` and `cargo test` is not for us.
    let is_test = !std::env::args().any(|word| word == "--bench");
    let (receivers, warm_up, packets) = if is_test {
        (20, 50, 100)
    } else {
        (RECEIVERS, WARM_UP, PACKETS)
    };
    let mut out = stdout().lock();
    let mut json = Vec::new();
    for (name, kind) in [("video", Kind::Video), ("audio", Kind::Audio)] {
        let [one, two] = [1, 2].map(|workers| {
            let mut crowd = Crowd::new(kind, receivers, workers);
            crowd.run(warm_up);
            crowd.run(packets)
        });
        let ratio = per_second(&two) / per_second(&one);
        for (label, outcome) in [("one worker", &one), ("two workers", &two)] {
            let busy: Vec<String> = outcome.busy.iter().map(|b| seconds(*b)).collect();
            writeln!(
                out,
                "{name} to {receivers}, {label}: {:.0} packets/s in {} s, busy {} s",
                per_second(outcome),
                seconds(outcome.wall),
                busy.join(" and "),
            )?;
        }
        writeln!(out, "{name} to {receivers}: {ratio:.2} x with two workers")?;
        let busy = |outcome: &Outcome| outcome.busy.iter().sum::<Duration>().as_secs_f64();
        json.extend([
            (format!("{name}_packets_per_second_one"), per_second(&one)),
            (format!("{name}_packets_per_second_two"), per_second(&two)),
            (format!("{name}_ratio"), ratio),
            (format!("{name}_busy_seconds_one"), busy(&one)),
            (
                format!("{name}_busy_seconds_two_first"),
                two.busy[0].as_secs_f64(),
            ),
            (
                format!("{name}_busy_seconds_two_second"),
                two.busy[1].as_secs_f64(),
            ),
        ]);
    }
    let fields: Vec<String> = json
        .iter()
        .map(|(name, value)| format!("\"{name}\":{value:.4}"))
        .collect();
    writeln!(out, "{{{}}}", fields.join(","))
}

fn per_second(outcome: &Outcome) -> f64 {
    outcome.sent.iter().sum::<u64>() as f64 / outcome.wall.as_secs_f64()
}

fn seconds(time: Duration) -> String {
    format!("{:.3}", time.as_secs_f64())
}
