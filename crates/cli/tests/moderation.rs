//! AV moderation holds where packets are forwarded, whatever a client does.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod program;

use althing_client::{Client, ClientSettings};
use althing_xmpp::{Element, ns};
use program::{Program, until};
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(15);

fn moderation(what: [(&'static str, String); 2]) -> Element {
    let mut command = Element::new("av_moderation", ns::CLIENT);
    for (name, value) in what {
        command.set_attr(name, value);
    }
    Element::new("message", ns::CLIENT)
        .with_attr("to", "avmoderation.meet.jitsi")
        .with_child(command)
}

fn audio() -> (&'static str, String) {
    ("mediaType", "audio".to_owned())
}

/// Waits until a hundred packets in a row have reached nobody; what had been heard by then.
async fn silence(why: &str, speaker: &Client, heard: impl Fn() -> (u64, u64)) -> (u64, u64) {
    let mut last = (heard(), speaker.stats().audio.sent);
    until(why, LIMIT, || {
        let now = (heard(), speaker.stats().audio.sent);
        if now.0 != last.0 {
            last = now;
        }
        now.1 >= last.1 + 100
    })
    .await;
    last.0
}

#[tokio::test(flavor = "multi_thread")]
async fn who_ignores_the_mute_is_heard_by_nobody_until_approved() {
    let program = Program::start();
    // The first in the room moderates it.
    let moderator = Client::join(program.client("assembly", "Mo"))
        .await
        .unwrap();
    let listener = Client::join(program.client("assembly", "Li"))
        .await
        .unwrap();
    let deaf = Client::join(ClientSettings {
        send_audio: true,
        ..program.client("assembly", "De")
    })
    .await
    .unwrap();
    let heard = || {
        (
            moderator.stats().audio.received,
            listener.stats().audio.received,
        )
    };
    until("both hear", LIMIT, || heard().0 > 50 && heard().1 > 50).await;

    let enable = moderation([("enable", "true".to_owned()), audio()]);
    moderator.send(enable).await.unwrap();
    // This client knows nothing of muting: it goes on. What is on its way may still arrive.
    let silent = silence("muted", &deaf, heard).await;

    let approve = moderation([("jidToWhitelist", deaf.address().to_owned()), audio()]);
    let asked = Instant::now();
    moderator.send(approve).await.unwrap();
    until("heard again", LIMIT, || {
        heard().0 > silent.0 && heard().1 > silent.1
    })
    .await;
    assert!(
        asked.elapsed() < Duration::from_secs(1),
        "{:?}",
        asked.elapsed()
    );

    // Approval is taken back as well.
    let reject = moderation([("jidToBlacklist", deaf.address().to_owned()), audio()]);
    moderator.send(reject).await.unwrap();
    let silent = silence("rejected", &deaf, heard).await;
    // A guest changes none of it.
    let approve = moderation([("jidToWhitelist", deaf.address().to_owned()), audio()]);
    deaf.send(approve).await.unwrap();
    until("it was denied", LIMIT, || {
        program.metrics().get("althing_signalling_denied_total") == Some(&1.0)
    })
    .await;
    assert_eq!(silence("denied", &deaf, heard).await, silent);
    for client in [moderator, listener, deaf] {
        client.leave().await;
    }
}
