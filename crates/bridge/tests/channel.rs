//! The bridge channel over real WebSockets.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use althing_control::BridgeReply;
use serde_json::json;
use support::*;
use tokio_tungstenite::tungstenite::Message;

#[tokio::test]
async fn what_is_not_a_channel_is_not_found_and_what_is_not_yours_is_forbidden() {
    let fixture = Fixture::start(2).await;
    let allocated = fixture.allocate(allocate("c1", "ann00001")).await;
    let base = format!("ws://{}/colibri-ws", fixture.http);
    let password = allocated.channel.password.expose();
    for missing in [
        format!("{base}/n2/c1/ann00001?pwd={password}"),
        format!("{base}/n1/c1?pwd={password}"),
        format!("{base}/n1/c1/ann00001/x?pwd={password}"),
        format!("{base}/n1"),
        format!("{base}/"),
    ] {
        assert_eq!(refusal(&missing).await.0, 404, "{missing}");
    }
    let forbidden = [
        format!("{base}/n1/c1/ann00001?pwd=wrong"),
        format!("{base}/n1/c1/ann00001?pwd={}", "a".repeat(password.len())),
        format!("{base}/n1/c1/ann00001?x=1&pwd={password}"),
        format!("{base}/n1/c1/ann00001"),
        format!("{base}/n1/c1/bob00002?pwd={password}"),
        format!("{base}/n1/c2/ann00001?pwd={password}"),
    ];
    let first = refusal(&forbidden[0]).await;
    assert_eq!(first.0, 403);
    for url in &forbidden {
        assert_eq!(refusal(url).await, first, "{url}");
    }
    let metrics = fixture.metrics();
    assert!(
        metrics.contains("bridge_channel_sockets_refused_total 11\n"),
        "{metrics}"
    );
    fixture.shutdown().await;
}

#[tokio::test]
async fn a_newer_socket_takes_over_and_the_password_stays_good() {
    let fixture = Fixture::start(1).await;
    let allocated = fixture.allocate(allocate("c1", "ann00001")).await;
    let mut first = fixture.channel(&allocated).await;
    assert_eq!(
        next_message(&mut first).await["colibriClass"],
        "ServerHello"
    );
    let mut second = fixture.channel(&allocated).await;
    assert_eq!(close_frame(&mut first).await, (1000, "replaced".to_owned()));
    drop(first);
    assert_eq!(
        next_message(&mut second).await["colibriClass"],
        "ServerHello"
    );
    // The second lives on after the late end of the first.
    send_message(&mut second, r#"{"colibriClass":"ClientHello"}"#).await;
    message_of(&mut second, "ServerHello").await;
    let stats = fixture
        .stats_until(|stats| stats["colibri_web_sockets"] == 1)
        .await;
    assert_eq!(stats["endpoints"], 1);
    fixture.shutdown().await;
}

#[tokio::test]
async fn bad_messages_cost_only_themselves() {
    let fixture = Fixture::start(1).await;
    let allocated = fixture.allocate(allocate("c1", "ann00001")).await;
    let mut channel = fixture.channel(&allocated).await;
    message_of(&mut channel, "ServerHello").await;
    for bad in [
        "",
        "{",
        "[]",
        r#"{"colibriClass":7}"#,
        r#"{"colibriClass":"ReceiverVideoConstraints","lastN":"many"}"#,
        r#"{"colibriClass":"SomethingNew"}"#,
    ] {
        send_message(&mut channel, bad).await;
    }
    let long = format!(r#"{{"colibriClass":"{}"}}"#, "x".repeat(70_000));
    send_message(&mut channel, &long).await;
    use futures_util::SinkExt;
    channel
        .send(Message::binary(vec![0, 159, 146, 150]))
        .await
        .unwrap();
    send_message(&mut channel, r#"{"colibriClass":"ClientHello"}"#).await;
    message_of(&mut channel, "ServerHello").await;
    let metrics = fixture.metrics();
    let dropped = r#"bridge_channel_messages_dropped_total{reason="malformed"} 6"#;
    assert!(metrics.contains(dropped), "{metrics}");
    fixture.shutdown().await;
}

#[tokio::test]
async fn messages_reach_the_others_in_order_and_bear_the_senders_name() {
    let fixture = Fixture::start(1).await;
    let ann = fixture.allocate(allocate("c1", "ann00001")).await;
    let bob = fixture.allocate(allocate("c1", "bob00002")).await;
    let eve = fixture.allocate(allocate("c2", "eve00003")).await;
    let (mut ann, mut bob, mut eve) = (
        fixture.channel(&ann).await,
        fixture.channel(&bob).await,
        fixture.channel(&eve).await,
    );
    for channel in [&mut ann, &mut bob, &mut eve] {
        message_of(channel, "ServerHello").await;
    }
    for n in 0..40 {
        let message = json!({
            "colibriClass": "EndpointMessage",
            "to": "",
            "from": "eve00003",
            "msgPayload": {"n": n},
        });
        send_message(&mut ann, &message.to_string()).await;
    }
    for n in 0..40 {
        let message = message_of(&mut bob, "EndpointMessage").await;
        assert_eq!(message["from"], "ann00001");
        assert_eq!(message["msgPayload"], json!({"n": n}));
    }
    // Eve, in another conference, hears nothing but the answer to her own question.
    send_message(&mut eve, r#"{"colibriClass":"ClientHello"}"#).await;
    loop {
        let message = next_message(&mut eve).await;
        assert_ne!(message["colibriClass"], "EndpointMessage");
        if message["colibriClass"] == "ServerHello" {
            break;
        }
    }
    fixture.shutdown().await;
}

#[tokio::test]
async fn an_expired_endpoint_closes_its_channel() {
    let fixture = Fixture::start(1).await;
    let allocated = fixture.allocate(allocate("c1", "ann00001")).await;
    let mut channel = fixture.channel(&allocated).await;
    message_of(&mut channel, "ServerHello").await;
    assert_eq!(fixture.expire("c1", "ann00001").await, BridgeReply::Done);
    assert_eq!(
        close_frame(&mut channel).await,
        (1001, "endpoint closed".to_owned())
    );
    assert_eq!(refusal(&fixture.url(&allocated)).await.0, 403);
    fixture
        .stats_until(|stats| stats["colibri_web_sockets"] == 0)
        .await;
    fixture.shutdown().await;
}
