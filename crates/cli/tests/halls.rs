//! An audio hall of the real program, against clients that know nothing of halls.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod program;

use althing_client::{Client, ClientSettings, Excess, Flood, VideoSettings, Whose};
use program::talk::Talk;
use program::{Program, until};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(30);
const VP8: u8 = 100;

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

    let picture = VideoSettings::single(180, 200_000, 15);
    speaker.show(picture).await.unwrap();
    let heard = listener.stats().audio.received;
    until("heard all the while", LIMIT, || {
        listener.stats().audio.received > heard + 100
    })
    .await;
    assert_eq!(speaker.stats().refused, 1);
    assert_eq!(speaker.stats().video.sent, 0);
    assert_eq!(listener.stats().video.received, 0);
    for client in [listener, speaker] {
        client.leave().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn video_that_is_sent_all_the_same_reaches_nobody_and_is_counted() {
    let program = Program::start_with(&["--media-mode", "audio"]);
    let talk = Talk::begin(&program, "hall", false).await;
    let listener = Client::join(program.client("hall", "Li")).await.unwrap();
    for (whose, reason) in [
        (Whose::Nobodys(3), "unknown_ssrc"),
        // Of the microphone, which is signalled and allowed.
        (Whose::Own, "unknown_payload_type"),
    ] {
        let intruder = Client::join(ClientSettings {
            send_audio: whose == Whose::Own,
            ..program.client("hall", "Mal")
        })
        .await
        .unwrap();
        until("connected", LIMIT, || {
            intruder.stats().connected_after.is_some()
        })
        .await;
        let before = program.dropped(reason);
        let excess = Excess::Rtp {
            payload_type: VP8,
            whose,
            bytes: 1_000,
        };
        let (packets, per_second) = (300, 300);
        let flood = Flood {
            excess,
            packets,
            per_second,
        };
        intruder.flood(flood).await.unwrap();
        until("all of it is counted", LIMIT, || {
            program.dropped(reason) >= before + f64::from(packets)
        })
        .await;
        intruder.leave().await;
    }
    for client in talk.clients.iter().chain([&listener]) {
        let video = client.stats().video;
        assert_eq!((video.received, video.foreign, video.wrong), (0, 0, 0));
        assert_eq!(client.stats().audio.foreign, 0);
    }
    talk.goes_on().await;
    listener.leave().await;
    talk.end().await;
}
