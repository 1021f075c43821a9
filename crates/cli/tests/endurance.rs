//! Many occupants, many times: nothing is lost, nothing is left behind.
//!
//! `SLOW_TESTS=1` (set by `script/test --all`) runs the full lengths: 60 s rounds of 50 occupants,
//! 500 joins and leaves. Without it the same is done in less time.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod program;

use althing_client::Client;
use althing_load::{LoadSettings, Report, run};
use program::{Program, until};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// What must be back at its start when everybody has left.
const COUNTS: &[&str] = &[
    "althing_bridge_conferences",
    "althing_bridge_endpoints",
    "althing_signalling_occupants",
    "althing_signalling_rooms",
    "althing_signalling_sessions",
    "althing_signalling_tasks",
];

fn slow() -> bool {
    std::env::var_os("SLOW_TESTS").is_some()
}

/// The counts of a server that nobody has used yet.
fn counts(program: &Program) -> Vec<f64> {
    let metrics = program.metrics();
    COUNTS
        .iter()
        .map(|name| {
            *metrics
                .get(*name)
                .unwrap_or_else(|| panic!("no metric {name}"))
        })
        .collect()
}

async fn back_at(program: &Program, start: &[f64]) {
    until(
        &format!("{COUNTS:?} are back at {start:?}"),
        Duration::from_secs(60),
        || counts(program) == start,
    )
    .await;
}

/// Resident memory once it has stopped falling, in kB: the allocator gives pages back a second after
/// they are free.
async fn settled_kb(program: &Program) -> u64 {
    let mut least = u64::MAX;
    let end = tokio::time::Instant::now() + Duration::from_secs(5);
    until("five seconds of looking", Duration::from_secs(10), || {
        let _ = program.metrics();
        least = least.min(program.resident_kb());
        tokio::time::Instant::now() >= end
    })
    .await;
    least
}

async fn round(program: &Program, stay: Duration) -> Report {
    let settings = LoadSettings {
        room: "fifty".to_owned(),
        occupants: 50,
        stay,
        cameras: 1,
        ..LoadSettings::new(program.url.clone())
    };
    let report = run(&settings, &CancellationToken::new(), |_| {}).await;
    assert_eq!(report.first_failure, None);
    assert_eq!(
        (report.joined, report.connected, report.channels_open),
        (50, 50, 50),
        "{}",
        report.to_text()
    );
    for kind in [&report.audio, &report.video] {
        assert_eq!(
            (kind.packets.lost, kind.packets.wrong),
            (0, 0),
            "{}",
            report.to_text()
        );
    }
    // A speaker hears the two others, everybody else all three; likewise the one camera.
    assert_eq!(
        (report.audio.fewest_senders, report.video.fewest_senders),
        (2, 0),
        "{}",
        report.to_text()
    );
    assert_eq!(report.audio.packets.senders, 3 * 2 + 47 * 3);
    assert_eq!(report.video.packets.senders, 49);
    report
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_occupants_hear_the_speakers_and_leave_nothing_behind() {
    let program = Program::start();
    let status = std::fs::read_to_string(format!("/proc/{}/status", program.pid())).unwrap();
    assert!(
        status.contains("THP_enabled:\t0"),
        "no huge pages: {status}"
    );
    let stay = Duration::from_secs(if slow() { 60 } else { 8 });
    let start = counts(&program);
    let descriptors = program.descriptors();
    let mut resident = [0; 2];
    for resident in &mut resident {
        round(&program, stay).await;
        back_at(&program, &start).await;
        *resident = settled_kb(&program).await;
    }
    let [first, second] = resident;
    eprintln!("resident after each round: {first} kB, {second} kB");
    assert!(
        second * 10 <= first * 11,
        "resident memory grew from {first} kB to {second} kB"
    );
    until("descriptors are closed", Duration::from_secs(10), || {
        program.descriptors() <= descriptors + 1
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn joining_and_leaving_leaves_nothing_behind() {
    let program = Program::start();
    let start = counts(&program);
    let host = Client::join(program.client("revolving", "host"))
        .await
        .unwrap();
    let cycles = if slow() { 500 } else { 60 };
    let cycle = |number: usize| {
        let settings = althing_client::ClientSettings {
            send_audio: true,
            send_video: true,
            ..program.client("revolving", &format!("guest {number}"))
        };
        async move {
            let guest = Client::join(settings).await.unwrap();
            until("media connects", Duration::from_secs(10), || {
                guest.stats().connected_after.is_some()
            })
            .await;
            guest.leave().await;
        }
    };
    // The first tenth warms up: caches, pools, the host's slots.
    for number in 0..cycles / 10 {
        cycle(number).await;
    }
    let (resident, descriptors) = (settled_kb(&program).await, program.descriptors());
    for number in cycles / 10..cycles {
        cycle(number).await;
    }
    until("only the host is left", Duration::from_secs(10), || {
        host.stats().others == 0
    })
    .await;
    let now = settled_kb(&program).await;
    eprintln!("resident after the first tenth: {resident} kB, at the end: {now} kB");
    assert!(
        now * 10 <= resident * 11,
        "resident memory grew from {resident} kB to {now} kB"
    );
    until("descriptors are closed", Duration::from_secs(10), || {
        program.descriptors() <= descriptors + 1
    })
    .await;
    host.leave().await;
    back_at(&program, &start).await;
}
