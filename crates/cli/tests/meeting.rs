//! Headless occupants meet in the real program.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod program;

use althing_client::{Client, ClientSettings, SignallingMode};
use althing_xmpp::{Element, ns};
use program::{Program, until};
use serde_json::Value;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(15);

fn sender(settings: ClientSettings) -> ClientSettings {
    ClientSettings {
        send_audio: true,
        send_video: true,
        ..settings
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_occupants_hear_and_see_each_other() {
    let program = Program::start();
    let ada = Client::join(sender(program.client("standup", "Ada")))
        .await
        .unwrap();
    let bo = Client::join(sender(program.client("standup", "Bo")))
        .await
        .unwrap();
    for client in [&ada, &bo] {
        until("hearing the other", LIMIT, || {
            client.stats().audio.received > 100
        })
        .await;
        until("seeing the other", LIMIT, || {
            client.stats().video.received > 100
        })
        .await;
        let stats = client.stats();
        assert_eq!(
            (stats.audio.lost, stats.audio.wrong, stats.audio.duplicates),
            (0, 0, 0),
            "{stats:?}"
        );
        assert_eq!(
            (stats.video.lost, stats.video.wrong, stats.video.duplicates),
            (0, 0, 0),
            "{stats:?}"
        );
        assert_eq!(stats.others, 1);
        assert!(stats.channel_open);
    }
    ada.leave().await;
    until("the leaver is gone", Duration::from_secs(2), || {
        bo.stats().others == 0
    })
    .await;
    bo.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_way_of_signalling_sources_carries_the_same_media() {
    let program = Program::start();
    let mut clients = Vec::new();
    for (name, mode) in [
        ("Rewriting", SignallingMode::Rewriting),
        ("Json", SignallingMode::Json),
        ("Xml", SignallingMode::Xml),
    ] {
        let settings = ClientSettings {
            mode,
            ..sender(program.client("modes", name))
        };
        clients.push((name, Client::join(settings).await.unwrap()));
    }
    for (name, client) in &clients {
        until(&format!("{name} hears two"), LIMIT, || {
            client.stats().audio.senders == 2
        })
        .await;
        until(&format!("{name} sees two"), LIMIT, || {
            client.stats().video.senders == 2
        })
        .await;
    }
    // A late joiner gets everybody.
    let late = Client::join(program.client("modes", "Late")).await.unwrap();
    until("the late one hears three", LIMIT, || {
        late.stats().audio.senders == 3
    })
    .await;
    until("the late one sees three", LIMIT, || {
        late.stats().video.senders == 3
    })
    .await;
    clients.push(("Late", late));
    // Before anybody leaves: what is on its way then may arrive behind the word of the leaving.
    for (name, client) in &clients {
        let stats = client.stats();
        assert_eq!(
            (stats.audio.wrong, stats.video.wrong),
            (0, 0),
            "{name}: {stats:?}"
        );
    }
    for (_, client) in clients {
        client.leave().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_rooms_do_not_mix() {
    let program = Program::start();
    let mut pairs = Vec::new();
    for room in 0..10 {
        let room = format!("room-{room}");
        let audio = |name: &str| ClientSettings {
            send_audio: true,
            ..program.client(&room, name)
        };
        let first = Client::join(audio("first")).await.unwrap();
        let second = Client::join(audio("second")).await.unwrap();
        pairs.push([first, second]);
    }
    for client in pairs.iter().flatten() {
        until("hearing the other", LIMIT, || {
            client.stats().audio.received > 50
        })
        .await;
    }
    for client in pairs.iter().flatten() {
        let stats = client.stats();
        assert_eq!(
            (stats.others, stats.audio.senders, stats.audio.wrong),
            (1, 1, 0),
            "{stats:?}"
        );
    }
    for client in pairs.into_iter().flatten() {
        client.leave().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_killed_in_mid_call_is_gone_for_the_others() {
    let program = Program::start();
    let ada = Client::join(sender(program.client("killed", "Ada")))
        .await
        .unwrap();
    // A whole process, so that it can be killed without a goodbye.
    let mut victim = std::process::Command::new(env!("CARGO_BIN_EXE_althing"))
        .args(["load", "--url", program.url.as_str(), "--room", "killed"])
        .args([
            "--occupants",
            "1",
            "--seconds",
            "60",
            "--speakers",
            "1",
            "--json",
        ])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    until("the victim is heard", LIMIT, || {
        ada.stats().audio.received > 50
    })
    .await;
    victim.kill().unwrap();
    victim.wait().unwrap();
    // Its socket is closed by its kernel: an immediate leave.
    until("the victim is gone", Duration::from_secs(2), || {
        ada.stats().others == 0
    })
    .await;
    until("its endpoint is gone", Duration::from_secs(70), || {
        program.metrics()["althing_bridge_endpoints"] <= 1.0
    })
    .await;
    ada.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_meeting_on_two_media_threads_is_one_meeting() {
    let program = Program::start_with(&["--media-workers", "2", "--media-split-above", "1"]);
    let mut clients = Vec::new();
    for name in ["Ada", "Bo", "Cy", "Di"] {
        let settings = sender(program.client("large", name));
        clients.push((name, Client::join(settings).await.unwrap()));
    }
    for (name, client) in &clients {
        until(&format!("{name} hears three"), LIMIT, || {
            client.stats().audio.senders == 3
        })
        .await;
        until(&format!("{name} sees three"), LIMIT, || {
            client.stats().video.senders == 3
        })
        .await;
    }
    let metrics = program.metrics();
    assert_eq!(metrics["althing_bridge_conferences"], 1.0);
    assert!(metrics["althing_bridge_relayed_packets_total"] > 100.0);
    for (name, client) in &clients {
        let stats = client.stats();
        for kind in [&stats.audio, &stats.video] {
            assert_eq!((kind.wrong, kind.duplicates), (0, 0), "{name}: {stats:?}");
        }
    }
    for (left, (name, client)) in clients.into_iter().enumerate() {
        until(&format!("{name} knows who is gone"), LIMIT, || {
            client.stats().others == 3 - left
        })
        .await;
        client.leave().await;
    }
}

/// What the bridge says of an endpoint's sources: whether they are encrypted end to end.
fn encrypted(program: &Program, endpoint: &str) -> Vec<bool> {
    let get = |path: &str| -> Value {
        let answer = program.admin_get(path);
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        serde_json::from_str(body).unwrap()
    };
    let conference = get("/debug")[0]["conference"].as_str().unwrap().to_owned();
    let detail = get(&format!("/debug/{conference}"));
    let sources = detail["endpoints"][endpoint]["media"]["sources"].as_array();
    let sources = sources.into_iter().flatten();
    sources.filter_map(|s| s["encrypted"].as_bool()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_says_that_its_media_are_encrypted_is_believed_by_the_bridge_and_still_seen() {
    let program = Program::start();
    let ada = Client::join(sender(program.client("sealed", "Ada")))
        .await
        .unwrap();
    let bo = Client::join(program.client("sealed", "Bo")).await.unwrap();
    until("seen", LIMIT, || bo.stats().video.received > 50).await;
    assert_eq!(encrypted(&program, ada.endpoint()), [false, false]);
    for enabled in [true, false] {
        let property = Element::new("jitsi_participant_e2ee.enabled", ns::CLIENT)
            .with_text(enabled.to_string());
        let presence = Element::new("presence", ns::CLIENT)
            .with_attr("to", ada.address())
            .with_child(property);
        ada.send(presence).await.unwrap();
        until("the bridge knows", LIMIT, || {
            encrypted(&program, ada.endpoint()) == [enabled, enabled]
        })
        .await;
        let before = bo.stats();
        until("heard and seen as before", LIMIT, || {
            let now = bo.stats();
            now.video.received > before.video.received + 50
                && now.audio.received > before.audio.received + 50
        })
        .await;
    }
    let stats = bo.stats();
    assert_eq!((stats.video.wrong, stats.audio.wrong), (0, 0), "{stats:?}");
}
