//! Crowds, leaving, and the end.

use crate::harness::{House, ROOM};
use futures_util::StreamExt;
use std::time::Duration;

#[tokio::test]
async fn two_hundred_join_one_room_and_leave_nothing_behind() {
    let house = House::start().await;
    let tasks = house.metric("tasks");
    let mut crowd = Vec::new();
    for n in 0..200 {
        let (client, heard) = house.joined(ROOM).await;
        // The focus, those before, itself, the subject.
        assert_eq!(heard.len(), n + 3);
        crowd.push(client);
    }
    house.until_metric("occupants", 200).await;
    assert_eq!(house.metric("sessions"), 200);
    assert_eq!(house.metric("tasks"), tasks + 201);
    // Half of them drop their sockets, half say goodbye.
    let polite = crowd.split_off(100);
    drop(crowd);
    house.until_metric("occupants", 100).await;
    for mut client in polite {
        client
            .send(r#"<presence xmlns="jabber:client" type="unavailable"/>"#)
            .await;
        client
            .send(r#"<close xmlns="urn:ietf:params:xml:ns:xmpp-framing"/>"#)
            .await;
        while client.socket.frame().await.is_some() {}
    }
    for name in ["occupants", "rooms", "sessions"] {
        house.until_metric(name, 0).await;
    }
    house.until_metric("tasks", tasks).await;
    assert_eq!(house.metric("queue_overflows_total"), 0);
}

#[tokio::test]
async fn who_leaves_hears_of_it_and_may_come_back() {
    let house = House::start().await;
    let (mut client, _) = house.joined(ROOM).await;
    for _ in 0..50 {
        client
            .send(format!(
                r#"<presence xmlns="jabber:client" type="unavailable" to="{ROOM}/{}"/>"#,
                client.nick
            ))
            .await;
        let own = client
            .until(|e| e.attr("type") == Some("unavailable"))
            .await;
        assert!(own.to_xml().contains(r#"code="110""#));
        client.request_conference(ROOM).await;
        client.join(ROOM).await;
    }
    house.until_metric("rooms", 1).await;
    assert_eq!(house.metric("occupants"), 1);
}

#[tokio::test]
async fn only_who_says_nothing_is_pinged() {
    let house = House::start().await;
    let (mut client, _) = house.joined(ROOM).await;
    tokio::time::pause();
    for _ in 0..6 {
        tokio::time::sleep(Duration::from_secs(10)).await;
        client
            .send(r#"<iq xmlns="jabber:client" type="get" id="alive"><ping xmlns="urn:xmpp:ping"/></iq>"#)
            .await;
        client.until(|e| e.attr("id") == Some("alive")).await;
    }
    assert_eq!(client.socket.pings, 0);
    let quiet = tokio::time::timeout(Duration::from_secs(13), client.socket.ws.next());
    let ping = quiet.await.expect("a ping in time").unwrap().unwrap();
    assert!(ping.is_ping(), "{ping:?}");
}

#[tokio::test]
async fn a_silent_client_is_gone_after_half_a_minute() {
    let house = House::start().await;
    let (mut witness, _) = house.joined(ROOM).await;
    let (silent, _) = house.joined(ROOM).await;
    witness
        .until(|e| e.attr("from").is_some_and(|f| f.ends_with(&silent.nick)))
        .await;
    // It neither reads nor writes: the pings of the server go unanswered. The witness answers
    // them by reading; the clock jumps whenever all wait.
    tokio::time::pause();
    let gone = witness
        .until(|e| e.attr("type") == Some("unavailable"))
        .await;
    assert!(gone.attr("from").unwrap().ends_with(&silent.nick));
    tokio::time::resume();
    drop(silent);
}

#[tokio::test]
async fn shutdown_tells_everybody_and_ends_all_tasks() {
    let house = House::start().await;
    let (mut first, _) = house.joined(ROOM).await;
    let (mut second, _) = house.joined("other@muc.meet.jitsi").await;
    let farewell = async {
        for client in [&mut first, &mut second] {
            let mut heard = String::new();
            while let Some(frame) = client.socket.frame().await {
                heard.push_str(&frame);
            }
            assert!(heard.contains("system-shutdown"), "{heard}");
            assert!(heard.ends_with(r#"<close xmlns="urn:ietf:params:xml:ns:xmpp-framing" />"#));
        }
    };
    tokio::join!(house.signalling.shutdown(), farewell);
    for name in ["sessions", "rooms", "occupants", "tasks"] {
        assert_eq!(house.metric(name), 0, "{name}");
    }
}

#[tokio::test]
async fn there_is_an_end_to_what_one_server_takes() {
    let house = House::start_with(|settings| {
        settings.max_sessions = 2;
        settings.max_rooms = 1;
        settings.max_occupants = 1;
    })
    .await;
    let (_first, _) = house.joined(ROOM).await;
    let mut second = house.client().await;
    let payload =
        r#"<conference xmlns="http://jitsi.org/protocol/focus" room="two@muc.meet.jitsi"/>"#;
    let reply = second.ask("set", Some("focus.meet.jitsi"), payload).await;
    assert!(reply.to_xml().contains("resource-constraint"));
    let join = second.join_stanza(ROOM);
    second.send(join).await;
    let full = second.expect().await;
    assert!(full.to_xml().contains("service-unavailable"));
    let (status, ..) = house.upgrade("/xmpp-websocket").await;
    assert_eq!(status, 503);
}

/// Nobody joins them: without a limit of its own one client would use up the whole server's.
#[tokio::test]
async fn one_address_cannot_make_room_after_room() {
    let house = House::start_with(|settings| {
        settings.room_burst = 3;
        settings.rooms_per_second = 1;
    })
    .await;
    let mut made = 0;
    for n in 0..10 {
        let body = format!(r#"{{"room":"r{n}@muc.meet.jitsi"}}"#);
        let (status, ..) = house.http("POST", "/conference-request/v1", &body).await;
        assert!(matches!(status, 200 | 503), "{status}");
        made += i64::from(status == 200);
    }
    assert!((3..10).contains(&made), "{made}");
    house.until_metric("rooms", made).await;
    // A room that is there already is nobody's to refuse.
    let (status, ..) = house
        .http(
            "POST",
            "/conference-request/v1",
            r#"{"room":"r0@muc.meet.jitsi"}"#,
        )
        .await;
    assert_eq!(status, 200);
}

/// It is not the number of rooms a session has ever been in that counts.
#[tokio::test]
async fn one_session_may_go_through_many_rooms() {
    let house = House::start().await;
    let (mut host, _) = house.joined("r0@muc.meet.jitsi").await;
    let mut guests = Vec::new();
    for n in 1..20 {
        // Somebody else keeps each room open.
        let room = format!("r{n}@muc.meet.jitsi");
        guests.push(house.joined(&room).await.0);
        host.join(&room).await;
        let nick = host.nick.clone();
        host.send(format!(
            r#"<presence xmlns="jabber:client" type="unavailable" to="{room}/{nick}"/>"#
        ))
        .await;
        host.until(|e| e.attr("type") == Some("unavailable")).await;
    }
}

/// It joins a room where much is said and takes nothing of it.
#[tokio::test]
async fn a_client_that_does_not_read_is_closed_and_counted() {
    let house = House::start_with(|settings| {
        settings.stanzas_per_second = 100_000;
        settings.bytes_per_second = 1 << 30;
        settings.address_bytes_per_second = 1 << 30;
    })
    .await;
    let (mut talker, _) = house.joined(ROOM).await;
    let (deaf, _) = house.joined(ROOM).await;
    house.until_metric("occupants", 2).await;
    let body = "x".repeat(8_000);
    let mut said = 0;
    // More than the queue and the buffers of both kernels hold; the talker hears itself.
    while house.metric("occupants") == 2 {
        said += 1;
        assert!(said < 20_000, "it is never closed");
        talker
            .send(format!(
                r#"<message xmlns="jabber:client" type="groupchat" to="{ROOM}" id="m{said}"><body>{body}</body></message>"#
            ))
            .await;
        talker.until(|e| e.name() == "message").await;
    }
    assert_eq!(house.metric("queue_overflows_total"), 1);
    let gone = talker
        .until(|e| e.attr("type") == Some("unavailable"))
        .await;
    assert!(gone.attr("from").unwrap().ends_with(&deaf.nick));
    house.until_metric("sessions", 1).await;
    drop(deaf);
}
