//! Every scenario of `althing load`, small, against the real program; and the command itself.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod program;

use althing_load::{LoadSettings, Report, Scenario, run};
use program::Program;
use std::process::{Command, Output};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// A scenario with few people and little time.
fn small(program: &Program, scenario: Scenario, occupants: usize, millis: u64) -> LoadSettings {
    let mut settings = LoadSettings::of(scenario, program.url.clone(), 2);
    settings.metrics = Some(program.metrics_url());
    settings.room = scenario.name().to_owned();
    settings.joins_per_second = 100.0;
    settings.stay = Duration::from_millis(millis);
    settings.occupants = occupants;
    settings.speakers = settings.speakers.min(occupants);
    settings.cameras = settings.cameras.min(occupants);
    settings
}

async fn kept(settings: &LoadSettings) -> Report {
    let report = run(settings, &CancellationToken::new(), |_| {}).await;
    let broken: Vec<_> = report.promises.iter().filter(|p| !p.kept).collect();
    assert!(
        broken.is_empty() && report.kept && !report.promises.is_empty(),
        "{broken:?}\n{}",
        report.to_text()
    );
    assert_eq!(report.scenario, settings.scenario.name());
    report
}

#[tokio::test(flavor = "multi_thread")]
async fn a_star_is_seen_and_heard_by_all_of_itself() {
    let program = Program::start();
    let report = kept(&small(&program, Scenario::Star, 4, 1_500)).await;
    assert_eq!(report.audio.packets.senders, 4 * 3);
    assert_eq!(report.video.packets.senders, 4 * 3);
    assert!(report.pictures.frames_by_height[&360] > 100, "{report:?}");
    let server = report.server.unwrap();
    assert!(server.delivered_packets > 500, "{server:?}");
    assert!(server.cpu_seconds_per_delivered_packet < 1e-3, "{server:?}");
    assert!(server.memory_bytes > 1_000_000 && server.bytes_sent > 100_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hall_hears_its_speakers() {
    let program = Program::start();
    let mut settings = small(&program, Scenario::Hall, 20, 1_500);
    // Other tests run beside this one.
    settings.limits.audio_p99 = None;
    let report = kept(&settings).await;
    assert_eq!(report.audio.fewest_senders, 2);
    assert_eq!(report.video.packets.sent, 0);
    assert!(report.audio.delay.p99_seconds > 0.0);
    let seconds: u64 = report.timeline.iter().map(|m| m.audio_packets).sum();
    let received = report.audio.packets.received;
    assert!(seconds * 4 >= received * 3, "{seconds} of {received}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_is_weathered_with_media_and_without() {
    let program = Program::start();
    let mut settings = small(&program, Scenario::Storm, 20, 500);
    let report = kept(&settings).await;
    assert_eq!(report.joined, 20);
    settings.media = false;
    settings.room = "quiet".to_owned();
    let report = kept(&settings).await;
    assert_eq!((report.connected, report.audio.packets.received), (0, 0));
    assert!(report.stanzas > 20 * 20, "{}", report.stanzas);
}

#[tokio::test(flavor = "multi_thread")]
async fn thumbnails_are_the_lowest_encoding_of_everybody() {
    let program = Program::start();
    let report = kept(&small(&program, Scenario::Thumbnails, 5, 1_500)).await;
    assert_eq!(report.video.packets.senders, 5 * 4);
    let heights: Vec<_> = report.pictures.frames_by_height.keys().collect();
    assert_eq!(heights, [&180]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_share_is_seen_by_everybody() {
    let program = Program::start();
    let mut settings = small(&program, Scenario::Share, 8, 4_000);
    settings.limits.audio_p99_rise = None;
    // Its promise is held on a machine of its own.
    settings.limits.share_within = Some(Duration::from_secs(4));
    let share = settings.share.as_mut().unwrap();
    share.at = 0.2;
    let report = kept(&settings).await;
    let share = report.share.unwrap();
    assert_eq!((share.viewers, share.seen), (7, 7));
    assert!(share.shown.max_seconds > 0.0 && share.audio_before.p99_seconds > 0.0);
    assert!(report.pictures.frames_by_height[&1080] > 7, "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_watched_by_people_who_change_their_minds() {
    let program = Program::start();
    let mut settings = small(&program, Scenario::Stream, 7, 2_500);
    settings.change_every = Some(Duration::from_secs(1));
    settings.keyframes_every = Some(Duration::from_secs(1));
    settings.limits.frozen = None;
    // Which of the heights come is a matter of the server's allocation, tested there.
    settings.limits.every_height = false;
    let report = kept(&settings).await;
    assert_eq!(report.video.packets.senders, 6);
    assert!(report.pictures.keyframes > 6, "{:?}", report.pictures);
}

#[tokio::test(flavor = "multi_thread")]
async fn rooms_go_on_while_people_drop_out_and_come_back() {
    let program = Program::start();
    let mut settings = small(&program, Scenario::Rooms, 4, 3_000);
    settings.rooms = 2;
    settings.break_every = Some(Duration::from_secs(1));
    settings.limits.share_within = Some(Duration::from_secs(4));
    let report = kept(&settings).await;
    let back = report.back.unwrap();
    assert!(back.count >= 2 && back.max_seconds > 0.0, "{back:?}");
    assert_eq!(report.joined, 8);
    assert!(report.joins > 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn tiny_rooms_come_and_go() {
    let program = Program::start();
    let mut settings = small(&program, Scenario::Tiny, 3, 3_000);
    settings.rooms = 3;
    settings.room_lasts = Some(Duration::from_secs(1));
    let report = kept(&settings).await;
    assert!(report.joins >= 9 + 6, "{}", report.joins);
    assert_eq!(report.joined, 9);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_bad_network_loses_is_asked_for_again() {
    let program = Program::start();
    let mut settings = small(&program, Scenario::Star, 3, 3_000);
    settings.downlink.loss = 0.05;
    settings.downlink.delay = Duration::from_millis(20);
    settings.downlink.jitter = Duration::from_millis(10);
    settings.limits.lost_video = None;
    // A lost check or handshake is repeated, and that takes a while.
    settings.join_timeout = Duration::from_secs(30);
    let report = kept(&settings).await;
    assert!(report.audio.packets.lost > 0, "{}", report.to_text());
    assert!(report.nacked > 0 && report.video.packets.recovered > 0);
    assert!(report.video.loss_ratio < report.audio.loss_ratio / 2.0);
    assert!(report.audio.delay.p50_seconds >= 0.02);
}

fn command(program: &Program, flags: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_althing"))
        .args(["load", "--url", program.url.as_str(), "--seconds", "1"])
        .args(flags)
        .output()
        .unwrap()
}

#[test]
fn the_command_prints_promises_and_json_and_its_exit_code_says_whether_they_were_kept() {
    let program = Program::start();
    let metrics = program.metrics_url();
    let flags = ["--occupants", "3", "--json", "--metrics", metrics.as_str()];
    let output = command(&program, &flags);
    let (text, progress) = (
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    );
    assert!(output.status.success(), "{text}\n{progress}");
    assert!(text.contains("kept   no sound is lost"), "{text}");
    assert!(
        progress.contains("joining") && !progress.contains('\r'),
        "{progress}"
    );
    let json: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!(
        (json["kept"].as_bool(), json["joined"].as_u64()),
        (Some(true), Some(3))
    );
    assert!(json["server"]["cpu_seconds"].is_f64(), "{json}");

    let output = command(&program, &["--occupants", "2", "--domain", "elsewhere"]);
    let (text, error) = (
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    );
    assert_eq!(output.status.code(), Some(1), "{text}\n{error}");
    assert!(text.contains("BROKEN everybody joins: 0 of 2"), "{text}");
    assert!(error.contains("promise"), "{error}");
}
