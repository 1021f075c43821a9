//! An audio hall, against clients that know nothing of it: what they show reaches nobody.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod program;

use althing_client::{Client, ClientSettings, VideoSettings};
use program::{Program, until};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(15);

#[tokio::test(flavor = "multi_thread")]
async fn a_picture_sent_all_the_same_reaches_nobody_and_voices_go_on() {
    let program = Program::start_with(&["--media-mode", "audio"]);
    let listener = Client::join(program.client("hall", "Li")).await.unwrap();
    let speaker = Client::join(ClientSettings {
        send_audio: true,
        ..program.client("hall", "Sp")
    })
    .await
    .unwrap();
    until("heard", LIMIT, || listener.stats().audio.received > 20).await;

    // Its request is refused, and it sends pictures all the same.
    speaker
        .show(VideoSettings::single(180, 200_000, 15))
        .await
        .unwrap();
    until("pictures are sent", LIMIT, || {
        speaker.stats().video.sent > 100
    })
    .await;
    let heard = listener.stats().audio.received;
    until("heard all the while", LIMIT, || {
        listener.stats().audio.received > heard + 50
    })
    .await;
    assert_eq!(listener.stats().video.received, 0);
    let dropped = || {
        let metrics = program.admin_get("/metrics");
        let mut lines = metrics.lines();
        let line = lines.find(|line| line.contains(r#"reason="unknown_ssrc""#));
        line.and_then(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok())
    };
    until("they are dropped and counted", LIMIT, || {
        dropped().is_some_and(|count| count > 100.0)
    })
    .await;
    for client in [listener, speaker] {
        client.leave().await;
    }
}
