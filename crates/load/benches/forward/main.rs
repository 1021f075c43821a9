//! Forwarding measured: the same packets, cipher and receivers at Althing, at Janus's videoroom and
//! at a floor that does nothing but encrypt and send. Started by `script/bench forward`, inside a
//! network namespace of its own; docs/develop/benchmarks.md says how to read it.
//!
//! ```text
//!   forward ALTHING [--janus PROGRAM --janus-folder FOLDER] [--shapes video,frames,…]
//!           [--rounds 5] [--seconds 3]
//! ```
//!
//! ```text
//!            core 1                              core 0
//!   generator ── sealed packets ──────────► Althing | Janus | floor
//!   (engine, wire, flow) ◄── to each receiver, counted and timed ──┘
//! ```
//!
//! All sides of a shape are set up first; then their rounds take turns. The last line of what it
//! prints is JSON: every round of every side, which benches/forward/report.mjs makes figures of.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a measuring program: it may stop where it stands, prints, and reads the clock"
)]

mod althing;
mod engine;
mod floor;
mod flow;
mod janus;
mod shapes;
#[path = "../support/mod.rs"]
mod support;
mod wire;

use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::Pid;
use shapes::Bench;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Keeps this process on the second processor, or lets it go.
pub(crate) fn pin(pinned: bool) {
    let mut set = CpuSet::new();
    if pinned {
        set.set(1).unwrap();
    } else {
        (0..64).for_each(|cpu| set.set(cpu).unwrap());
    }
    // The thread that calls, and the generator's by its own call.
    for task in std::fs::read_dir("/proc/self/task").unwrap().flatten() {
        let id = task.file_name().to_string_lossy().parse().unwrap();
        sched_setaffinity(Pid::from_raw(id), &set).unwrap();
    }
}

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1).filter(|word| word != "--bench");
    let mut program = None;
    let mut bench = Bench {
        rounds: 5,
        window: Duration::from_secs(3),
        ..Bench::default()
    };
    let mut wanted: Vec<String> = shapes::NAMES
        .iter()
        .map(|name| (*name).to_owned())
        .collect();
    while let Some(word) = words.next() {
        let mut value = || words.next().expect("a value");
        match word.as_str() {
            "floor" => floor::run(words),
            "--janus" => bench.janus = Some(PathBuf::from(value())),
            "--janus-folder" => bench.janus_folder = PathBuf::from(value()),
            "--shapes" => wanted = value().split(',').map(str::to_owned).collect(),
            "--rounds" => bench.rounds = value().parse().expect("a number"),
            "--seconds" => {
                bench.window = Duration::from_secs_f64(value().parse().expect("a number"))
            }
            path => program = Some(PathBuf::from(path)),
        }
    }
    bench.althing = program.expect("the program to measure");
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, most, most).unwrap();
    assert!(
        std::thread::available_parallelism().map_or(1, |n| n.get()) >= 2,
        "this takes two processors: one for the server, one for the generator"
    );
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let local = tokio::task::LocalSet::new();
    let wanted_rounds = bench.rounds;
    let found = local.block_on(&runtime, bench.run(&wanted));
    println!("{found}");
    let complete = |side: &serde_json::Value| {
        let rounds = side["rounds"].as_array();
        rounds.is_some_and(|rounds| rounds.len() >= wanted_rounds)
    };
    let shapes = found["shapes"].as_object().unwrap();
    let mut sides = shapes
        .values()
        .flat_map(|shape| shape.as_object().unwrap().values());
    if !sides.all(complete) {
        eprintln!("too many rounds were void: is the machine doing something else?");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
