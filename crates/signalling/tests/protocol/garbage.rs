//! What no client sends, and others must not notice.

use crate::harness::{DOMAIN, House, ROOM};
use futures_util::SinkExt;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::{Error, Message};

/// Sends `frame` on a bound session and returns all that comes back before the socket closes.
async fn after(house: &House, frame: Message) -> String {
    let mut client = house.client().await;
    client.socket.ws.send(frame).await.ok();
    let mut heard = String::new();
    while let Some(frame) = client.socket.frame().await {
        heard.push_str(&frame);
    }
    heard
}

#[tokio::test]
async fn broken_frames_end_their_own_session_with_a_reason() {
    let house = House::start().await;
    let (mut witness, _) = house.joined(ROOM).await;
    let padding = "x".repeat(300_000);
    for (frame, condition) in [
        (
            Message::text("<presence xmlns='jabber:client'"),
            "not-well-formed",
        ),
        (Message::text("not XML at all"), "not-well-formed"),
        (Message::text("<!DOCTYPE x><x/>"), "not-well-formed"),
        (
            Message::text("<message xmlns='jabber:client'><!-- x --></message>"),
            "restricted-xml",
        ),
        (
            Message::text(format!(
                "<message xmlns='jabber:client'><body>{padding}</body></message>"
            )),
            "policy-violation",
        ),
        (
            Message::text(format!(
                "<message xmlns='jabber:client'>{}</message>",
                "x".repeat(1 << 20)
            )),
            "policy-violation",
        ),
        (Message::binary(vec![1, 2, 3]), "bad-format"),
        (
            Message::text(
                "<iq xmlns='jabber:client' from='other@meet.jitsi/x' type='get' id='1'/>",
            ),
            "invalid-from",
        ),
        (
            Message::text(
                "<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='meet.jitsi' version='1.0'/>",
            ),
            "bad-format",
        ),
    ] {
        let heard = after(&house, frame).await;
        assert!(
            heard.contains(&format!("<{condition} ")),
            "{condition}: {heard}"
        );
        assert!(
            heard.ends_with(r#"<close xmlns="urn:ietf:params:xml:ns:xmpp-framing" />"#),
            "{heard}"
        );
    }
    let pong = witness
        .ask("get", Some(DOMAIN), r#"<ping xmlns="urn:xmpp:ping"/>"#)
        .await;
    assert_eq!(pong.attr("type"), Some("result"));
    house.until_metric("sessions", 1).await;
}

#[tokio::test]
async fn stanzas_before_login_are_refused() {
    let house = House::start().await;
    for frame in [
        r#"<presence xmlns="jabber:client" to="demo@muc.meet.jitsi/x"/>"#,
        r#"<iq xmlns="jabber:client" type="set" id="1"><bind xmlns="urn:ietf:params:xml:ns:xmpp-bind"/></iq>"#,
    ] {
        let mut socket = house.socket("/xmpp-websocket").await;
        socket.send(frame).await;
        let first = socket.frame().await.unwrap();
        assert!(first.starts_with("<open "), "{first}");
        assert!(socket.frame().await.unwrap().contains("not-authorized"));
    }
    let mut socket = house.socket("/xmpp-websocket").await;
    socket
        .send(r#"<open xmlns="urn:ietf:params:xml:ns:xmpp-framing" to="other.example" version="1.0"/>"#)
        .await;
    assert!(socket.frame().await.unwrap().starts_with("<open "));
    assert!(socket.frame().await.unwrap().contains("host-unknown"));
}

#[tokio::test]
async fn the_handshake_needs_the_subprotocol_and_a_plain_get_does_not() {
    let house = House::start().await;
    let refused = connect_async(house.url("/xmpp-websocket")).await;
    let Err(Error::Http(response)) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(response.status(), 400);
    for path in ["/xmpp-websocket", "/acme/xmpp-websocket?room=x"] {
        let (status, head, _) = house.http("GET", path, "").await;
        assert_eq!(status, 200, "{path}");
        assert!(
            !head.to_ascii_lowercase().contains("x-jitsi-shard"),
            "{head}"
        );
    }
    assert_eq!(house.metric("sessions"), 0);
}

#[tokio::test]
async fn stanzas_to_nowhere_are_answered_or_dropped() {
    let house = House::start().await;
    let (mut client, _) = house.joined(ROOM).await;
    for to in [
        "elsewhere.example",
        "somebody@meet.jitsi",
        "lobby.meet.jitsi",
        "auth.meet.jitsi",
        "x@muc.a.b.meet.jitsi",
        "meet.jitsi",
        "muc.meet.jitsi",
        "focus.meet.jitsi",
    ] {
        let reply = client.ask("get", Some(to), r#"<what xmlns="ever"/>"#).await;
        assert_eq!(reply.attr("type"), Some("error"), "{to}");
        assert_eq!(reply.attr("from"), Some(to));
        assert!(reply.to_xml().contains("service-unavailable"), "{to}");
    }
    let reply = client
        .ask(
            "get",
            Some("none@muc.meet.jitsi"),
            r#"<query xmlns="http://jabber.org/protocol/disco#info"/>"#,
        )
        .await;
    assert!(reply.to_xml().contains("item-not-found"));
    client
        .send(r#"<message xmlns="jabber:client" to="a@b"><body>x</body></message>"#)
        .await;
    client.send(r#"<presence xmlns="jabber:client"/>"#).await;
    let pong = client
        .ask("get", Some(DOMAIN), r#"<ping xmlns="urn:xmpp:ping"/>"#)
        .await;
    assert_eq!(pong.attr("type"), Some("result"));
}
