//! An audio hall of the real program, against a client that knows nothing of halls.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod program;

use althing_client::{Client, ClientSettings, VideoSettings};
use program::{Program, until};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(15);

#[tokio::test(flavor = "multi_thread")]
async fn who_wants_to_show_a_picture_is_asked_for_none_and_goes_on_being_heard() {
    let program = Program::start_with(&["--media-mode", "audio"]);
    let listener = Client::join(program.client("hall", "Li")).await.unwrap();
    let speaker = Client::join(ClientSettings {
        send_audio: true,
        ..program.client("hall", "Sp")
    })
    .await
    .unwrap();
    until("heard", LIMIT, || listener.stats().audio.received > 20).await;

    // Refused; packets that come all the same are `forwarding`'s to drop, and tested there.
    let picture = VideoSettings::single(180, 200_000, 15);
    speaker.show(picture).await.unwrap();
    let heard = listener.stats().audio.received;
    until("heard all the while", LIMIT, || {
        listener.stats().audio.received > heard + 100
    })
    .await;
    assert_eq!(speaker.stats().video.sent, 0);
    assert_eq!(listener.stats().video.received, 0);
    for client in [listener, speaker] {
        client.leave().await;
    }
}
