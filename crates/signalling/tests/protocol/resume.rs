//! Sessions that outlive their connections (protocol 1 §10).

use crate::harness::{House, ROOM, Socket, groupchat};
use althing_model::{Identity, Secret};
use althing_signalling::{Authenticator, Credentials, LoginRefused};
use althing_xmpp::{Element, ns};
use futures_util::SinkExt;
use futures_util::future::BoxFuture;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

#[track_caller]
fn assert_resumed(answer: &Element, id: &str, handled: u32) {
    assert_eq!(
        answer.to_xml(),
        format!(r#"<resumed xmlns="urn:xmpp:sm:3" h="{handled}" previd="{id}"/>"#)
    );
}

#[track_caller]
fn assert_not_found(answer: &Element) {
    assert_eq!(
        answer.to_xml(),
        r#"<failed xmlns="urn:xmpp:sm:3"><item-not-found xmlns="urn:ietf:params:xml:ns:xmpp-stanzas"/></failed>"#
    );
}

fn is_message(element: &Element) -> bool {
    element.name() == "message" && element.child_named("body").is_some()
}

fn is_gone(element: &Element, nick: &str) -> bool {
    element.attr("type") == Some("unavailable")
        && element
            .attr("from")
            .is_some_and(|from| from.ends_with(nick))
}

/// All text frames until the socket is closed.
async fn rest(mut socket: Socket) -> String {
    let mut heard = String::new();
    while let Some(frame) = socket.frame().await {
        heard.push_str(&frame);
    }
    heard
}

#[tokio::test]
async fn a_cut_connection_is_gone_on_with_and_nothing_is_lost() {
    let house = House::start().await;
    let (mut witness, _) = house.joined(ROOM).await;
    let mut ada = house.managed(ROOM).await;
    ada.say("before").await;
    ada.until(|e| e.attr("id") == Some("before")).await;
    // Cut: no close frame, no goodbye.
    let cut = std::mem::replace(
        &mut ada.client.socket,
        house.socket("/xmpp-websocket").await,
    );
    drop(cut);
    house.until_metric("hibernating", 1).await;
    for n in 0..20 {
        witness.send(groupchat(&format!("missed{n}"))).await;
        witness
            .until(|e| e.attr("id") == Some(&format!("missed{n}")))
            .await;
    }
    let query = format!("room=demo&previd={}", ada.id);
    let (socket, answer) = house.resume(&query, &ada.id, ada.heard).await;
    assert_resumed(&answer, &ada.id, ada.sent);
    ada.on(socket);
    for n in 0..20 {
        let message = ada.until(is_message).await;
        assert_eq!(message.attr("id"), Some(format!("missed{n}").as_str()));
    }
    assert_eq!(house.metric("hibernating"), 0);
    assert_eq!(house.metric("resumed_total"), 1);
    // The same occupant, of whom nobody noticed anything.
    ada.say("after").await;
    let after = loop {
        let heard = witness.expect().await;
        assert!(!is_gone(&heard, &ada.client.nick), "{}", heard.to_xml());
        if heard.attr("id") == Some("after") {
            break heard;
        }
    };
    assert!(after.attr("from").unwrap().ends_with(&ada.client.nick));
    // And again.
    ada.until(|e| e.attr("id") == Some("after")).await;
    let (socket, answer) = house.resume("", &ada.id, ada.heard).await;
    assert_resumed(&answer, &ada.id, ada.sent);
    ada.on(socket);
    ada.say("once more").await;
    ada.until(|e| e.attr("id") == Some("once more")).await;
}

#[tokio::test]
async fn what_a_client_did_not_get_is_sent_again_in_order() {
    let house = House::start().await;
    let mut ada = house.managed(ROOM).await;
    for n in 0..4 {
        ada.say(&format!("m{n}")).await;
    }
    for n in 0..4 {
        ada.until(|e| e.attr("id") == Some(&format!("m{n}"))).await;
    }
    // The last three are said not to have arrived.
    let (socket, answer) = house.resume("", &ada.id, ada.heard - 3).await;
    assert_resumed(&answer, &ada.id, ada.sent);
    ada.on(socket);
    ada.heard -= 3;
    for n in 1..4 {
        assert_eq!(
            ada.expect().await.attr("id"),
            Some(format!("m{n}").as_str())
        );
    }
    // Answers to what the client sends again come, too.
    ada.say("next").await;
    assert_eq!(ada.expect().await.attr("id"), Some("next"));
}

#[tokio::test]
async fn a_new_connection_wins_over_one_that_seems_open() {
    let house = House::start().await;
    let (mut witness, _) = house.joined(ROOM).await;
    let mut ada = house.managed(ROOM).await;
    let query = format!("previd={}", ada.id);
    let (socket, answer) = house.resume(&query, &ada.id, ada.heard).await;
    assert_resumed(&answer, &ada.id, ada.sent);
    let old = ada.on(socket);
    let heard = rest(old).await;
    assert!(!heard.contains("error"), "silently: {heard}");
    // Several at once: the last one has it, and everything else is as it was.
    let mut sockets = Vec::new();
    for _ in 0..3 {
        let mut socket = house.socket(&format!("/xmpp-websocket?{query}")).await;
        socket.authenticate().await;
        sockets.push(socket);
    }
    let resume = format!(
        r#"<resume xmlns="urn:xmpp:sm:3" h="{}" previd="{}"/>"#,
        ada.heard, ada.id
    );
    for socket in &mut sockets {
        socket.send(resume.clone()).await;
    }
    house.until_metric("resumed_total", 4).await;
    house.until_metric("sessions", 2).await;
    let mut alive = 0;
    for mut socket in sockets {
        match socket.frame().await {
            Some(frame) => assert!(frame.contains("<resumed "), "{frame}"),
            None => continue,
        }
        if socket
            .ws
            .send(Message::text(groupchat("alive")))
            .await
            .is_err()
        {
            continue;
        }
        while let Some(frame) = socket.frame().await {
            if frame.contains("alive") {
                alive += 1;
                break;
            }
        }
    }
    assert_eq!(alive, 1);
    let heard = witness.until(|e| e.attr("id") == Some("alive")).await;
    assert!(heard.attr("from").unwrap().ends_with(&ada.client.nick));
}

#[tokio::test]
async fn what_cannot_be_gone_on_with_is_not_found_and_the_client_may_bind() {
    let house = House::start().await;
    let ada = house.managed(ROOM).await;
    let mut wrong = ada.id.clone();
    wrong.pop();
    wrong.push(if ada.id.ends_with('a') { 'b' } else { 'a' });
    for id in ["x", "-", "", &ada.id[..17], &wrong, "%00", "../../x"] {
        let (mut socket, answer) = house.resume(&format!("previd={id}"), id, 0).await;
        assert_not_found(&answer);
        assert_ne!(socket.bind().await.bare_str(), ada.client.jid.bare_str());
    }
    assert_eq!(house.metric(r#"refused_total{reason="Resume"}"#), 7);
    // Whoever says goodbye, or is shown out, does not come back.
    for (farewell, said) in [
        (
            r#"<close xmlns="urn:ietf:params:xml:ns:xmpp-framing"/>"#,
            "<close ",
        ),
        ("no XML", "not-well-formed"),
        (
            r#"<a xmlns="urn:xmpp:sm:3" h="1000"/>"#,
            "handled-count-too-high",
        ),
        (
            r#"<a xmlns="urn:xmpp:sm:3" h="4294967295"/>"#,
            "handled-count-too-high",
        ),
    ] {
        let mut client = house.managed(ROOM).await;
        client.client.send(farewell).await;
        let heard = rest(client.client.socket).await;
        assert!(heard.contains(said), "{heard}");
        let (_, answer) = house.resume("", &client.id, client.heard).await;
        assert_not_found(&answer);
    }
    house.until_metric("occupants", 1).await;
}

#[tokio::test]
async fn who_has_more_than_was_sent_cannot_go_on() {
    let house = House::start().await;
    let ada = house.managed(ROOM).await;
    let (socket, answer) = house.resume("", &ada.id, ada.heard + 1_000).await;
    assert!(answer.to_xml().contains("handled-count-too-high"));
    assert!(rest(socket).await.contains("<close "));
    for name in ["occupants", "hibernating", "sessions"] {
        house.until_metric(name, 0).await;
    }
}

async fn seconds_until_gone(how: impl AsyncFnOnce(Socket)) -> f64 {
    let house = House::start().await;
    let (mut witness, _) = house.joined(ROOM).await;
    let ada = house.managed(ROOM).await;
    let nick = ada.client.nick.clone();
    witness
        .until(|e| e.attr("from").is_some_and(|f| f.ends_with(&nick)))
        .await;
    how(ada.client.socket).await;
    // The server has noticed before the clock is let go.
    house.until_metric("hibernating", 1).await;
    tokio::time::pause();
    let started = Instant::now();
    witness.until(|e| is_gone(e, &nick)).await;
    started.elapsed().as_secs_f64()
}

#[tokio::test]
async fn a_lost_client_is_gone_after_a_minute() {
    let seconds = Box::pin(seconds_until_gone(async |socket| drop(socket))).await;
    assert!((59.0..61.0).contains(&seconds), "{seconds}");
}

#[tokio::test]
async fn a_page_that_is_left_is_gone_within_two_seconds() {
    let seconds = Box::pin(seconds_until_gone(async |mut socket: Socket| {
        let close = CloseFrame {
            code: CloseCode::Away,
            reason: "".into(),
        };
        socket.ws.send(Message::Close(Some(close))).await.unwrap();
    }))
    .await;
    assert!((1.0..2.0).contains(&seconds), "{seconds}");
}

/// A silent connection was lost when the client was last heard of, not when that was noticed.
#[tokio::test]
async fn a_silent_client_is_gone_a_minute_after_its_last_word() {
    let house = House::start().await;
    let (mut witness, _) = house.joined(ROOM).await;
    let ada = house.managed(ROOM).await;
    let nick = ada.client.nick.clone();
    witness
        .until(|e| e.attr("from").is_some_and(|f| f.ends_with(&nick)))
        .await;
    tokio::time::pause();
    let started = Instant::now();
    witness.until(|e| is_gone(e, &nick)).await;
    let seconds = started.elapsed().as_secs_f64();
    assert!((59.0..61.0).contains(&seconds), "{seconds}");
    drop(ada);
}

#[tokio::test]
async fn the_server_asks_after_every_five_and_says_what_it_has() {
    let house = House::start().await;
    let mut ada = house.managed(ROOM).await;
    let mut asked = 0;
    for n in 0..20 {
        ada.sent += 1;
        ada.client.send(groupchat(&format!("m{n}"))).await;
        loop {
            let element = ada.client.expect().await;
            if element.is("r", ns::SM) {
                asked += 1;
                let heard = ada.heard;
                ada.client
                    .send(format!(r#"<a xmlns="urn:xmpp:sm:3" h="{heard}"/>"#))
                    .await;
                continue;
            }
            ada.heard += 1;
            break;
        }
    }
    assert!((3..=5).contains(&asked), "{asked}");
    ada.client.send(r#"<r xmlns="urn:xmpp:sm:3"/>"#).await;
    let told = loop {
        let element = ada.client.expect().await;
        if element.is("a", ns::SM) {
            break element;
        }
    };
    assert_eq!(told.attr("h"), Some(ada.sent.to_string().as_str()));
}

#[tokio::test]
async fn waiting_sessions_are_bounded_and_end_with_the_server() {
    let house = House::start_with(|settings| settings.hibernating_per_address = 2).await;
    let mut crowd = Vec::new();
    for _ in 0..5 {
        crowd.push(house.managed(ROOM).await);
    }
    house.until_metric("occupants", 5).await;
    drop(crowd);
    house.until_metric("occupants", 2).await;
    assert_eq!(house.metric("hibernating"), 2);
    assert_eq!(house.metric(r#"refused_total{reason="Hibernating"}"#), 3);
    house.signalling.shutdown().await;
    for name in ["hibernating", "sessions", "occupants", "tasks"] {
        assert_eq!(house.metric(name), 0, "{name}");
    }
}

#[tokio::test]
async fn a_waiting_session_keeps_so_much_and_no_more() {
    let house = House::start_with(|settings| {
        settings.stanzas_per_second = 1_000_000;
        settings.bytes_per_second = 1 << 30;
    })
    .await;
    let (mut talker, _) = house.joined(ROOM).await;
    let ada = house.managed(ROOM).await;
    drop(ada.client.socket);
    house.until_metric("hibernating", 1).await;
    let mut said = 0;
    'talking: loop {
        said += 1;
        assert!(said < 5_000, "it is kept for ever");
        talker.send(groupchat(&format!("m{said}"))).await;
        loop {
            let heard = talker.expect().await;
            if is_gone(&heard, &ada.client.nick) {
                break 'talking;
            }
            if is_message(&heard) {
                break;
            }
        }
    }
    assert!(said > 4_000, "{said}");
    assert_eq!(house.metric("queue_overflows_total"), 1);
    let (_, answer) = house.resume("", &ada.id, ada.heard).await;
    assert_not_found(&answer);
}

#[tokio::test]
async fn who_begins_anew_by_the_old_name_replaces_the_old_session() {
    let house = House::start().await;
    let (_witness, _) = house.joined(ROOM).await;
    let ada = house.managed(ROOM).await;
    drop(ada.client.socket);
    house.until_metric("hibernating", 1).await;
    let mut socket = house
        .socket(&format!("/xmpp-websocket?previd={}", ada.id))
        .await;
    socket.authenticate().await;
    let jid = socket.bind().await;
    assert_eq!(jid.bare_str(), ada.client.jid.bare_str());
    assert_ne!(jid, ada.client.jid);
    house.until_metric("hibernating", 0).await;
    house.until_metric("occupants", 1).await;
}

/// Knows the tokens `ada`, `ada-again` and `eve`, and takes guests.
#[derive(Debug)]
struct Tokens;

impl Authenticator for Tokens {
    fn authenticate(
        &self,
        credentials: Credentials,
    ) -> BoxFuture<'static, Result<Option<Identity>, LoginRefused>> {
        let token = credentials.token.as_ref().map(Secret::expose);
        let id = match token {
            None => None,
            Some("ada" | "ada-again") => Some("ada"),
            Some("eve") => Some("eve"),
            Some("slow") => return Box::pin(std::future::pending()),
            Some(_) => {
                let text = "Invalid token <1>".to_owned();
                return Box::pin(std::future::ready(Err(LoginRefused { text })));
            }
        };
        let identity = id.map(|id| Identity {
            user: [("id".to_owned(), id.to_owned())].into(),
            ..Identity::default()
        });
        Box::pin(std::future::ready(Ok(identity)))
    }
}

async fn house_of_tokens() -> House {
    House::start_with(|settings| settings.authenticator = Arc::new(Tokens)).await
}

#[tokio::test]
async fn a_session_is_gone_on_with_by_the_same_person_alone() {
    let house = house_of_tokens().await;
    // With and without the name of the session in the URL, and as one client writes URLs.
    for (token, goes_on) in [
        ("token=ada-again", true),
        ("room=x?room=x&token=ada", true),
        ("token=eve", false),
        ("room=x", false),
    ] {
        for named in [true, false] {
            let mut socket = house.socket("/xmpp-websocket?token=ada").await;
            let jid = socket.log_in().await;
            socket
                .send(r#"<enable xmlns="urn:xmpp:sm:3" resume="true"/>"#)
                .await;
            let id = socket.expect().await.attr("id").unwrap().to_owned();
            let query = match named {
                true => format!("{token}&previd={id}"),
                false => token.to_owned(),
            };
            let (mut again, answer) = house.resume(&query, &id, 0).await;
            if goes_on {
                assert_resumed(&answer, &id, 0);
            } else {
                assert_not_found(&answer);
                assert_ne!(again.bind().await.bare_str(), jid.bare_str());
            }
        }
    }
}

#[tokio::test]
async fn a_refused_token_is_told_and_the_client_may_try_again() {
    let house = house_of_tokens().await;
    for path in [
        "/xmpp-websocket?token=wrong",
        "/acme/xmpp-websocket?room=x?room=x&token=wrong",
    ] {
        let mut socket = house.socket(path).await;
        socket.open().await;
        socket.frame().await.unwrap();
        for _ in 0..2 {
            socket
                .send(r#"<auth xmlns="urn:ietf:params:xml:ns:xmpp-sasl" mechanism="ANONYMOUS"/>"#)
                .await;
            assert_eq!(
                socket.frame().await.unwrap(),
                "<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><not-allowed/><text>Invalid token &lt;1&gt;</text></failure>"
            );
        }
    }
    assert_eq!(house.metric(r#"refused_total{reason="Token"}"#), 4);
    // Whoever checks tokens takes for ever.
    let mut socket = house.socket("/xmpp-websocket?token=slow").await;
    socket.open().await;
    socket.frame().await.unwrap();
    tokio::time::pause();
    let started = Instant::now();
    socket
        .send(r#"<auth xmlns="urn:ietf:params:xml:ns:xmpp-sasl" mechanism="ANONYMOUS"/>"#)
        .await;
    let failure = socket.frame().await.unwrap();
    assert!(failure.contains("temporary-auth-failure"), "{failure}");
    assert!(started.elapsed() < Duration::from_secs(12));
}
