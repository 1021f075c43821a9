//! Lobby, password and presets over a real WebSocket.

use crate::harness::{Client, House, ROOM};
use althing_model::Secret;
use althing_signalling::{Preset, RoomRule, StartMuted};
use althing_xmpp::{Element, ns};
use std::time::Duration;

const LOBBY: &str = "demo@lobby.meet.jitsi";

async fn configure(client: &mut Client, fields: &[(&str, &str)]) -> Element {
    let fields: String = fields
        .iter()
        .map(|(name, value)| {
            format!(r#"<field var="muc#roomconfig_{name}"><value>{value}</value></field>"#)
        })
        .collect();
    let payload = format!(
        r#"<query xmlns="http://jabber.org/protocol/muc#owner"><x xmlns="jabber:x:data" type="submit">{fields}</x></query>"#
    );
    client.ask("set", Some(ROOM), &payload).await
}

async fn knock(client: &mut Client, lobby: &str) -> Element {
    let to = format!("{lobby}/{}", client.nick);
    client
        .send(format!(
            r#"<presence xmlns="jabber:client" to="{to}"><x xmlns="http://jabber.org/protocol/muc"/><nick xmlns="http://jabber.org/protocol/nick">Bob</nick></presence>"#
        ))
        .await;
    client
        .until(|e| e.name() == "presence" && e.attr("from") == Some(to.as_str()))
        .await
}

/// What a join comes to when it is refused.
async fn refused(client: &mut Client, password: &str) -> Element {
    client
        .send(format!(
            r#"<presence xmlns="jabber:client" to="{ROOM}/{}"><x xmlns="http://jabber.org/protocol/muc"><password>{password}</password></x><nick xmlns="http://jabber.org/protocol/nick">Bob</nick></presence>"#,
            client.nick
        ))
        .await;
    let answer = client.until(|e| e.name() == "presence").await;
    assert_eq!(answer.attr("type"), Some("error"), "{}", answer.to_xml());
    answer.child("error", ns::CLIENT).unwrap().clone()
}

fn says(element: &Element, event: &str) -> bool {
    element
        .child("json-message", ns::JITMEET)
        .is_some_and(|json| json.text().contains(event))
}

fn codes(presence: &Element) -> Vec<String> {
    let x = presence.child("x", ns::MUC_USER).unwrap();
    x.children()
        .filter_map(|child| child.attr("code"))
        .map(str::to_owned)
        .collect()
}

async fn guest(house: &House) -> Client {
    let mut client = house.client().await;
    client.request_conference(ROOM).await;
    client
}

#[tokio::test]
async fn knock_approve_deny_and_switch_off() {
    let house = House::start().await;
    let (mut host, _) = house.joined(ROOM).await;
    let set = configure(&mut host, &[("membersonly", "true")]).await;
    assert_eq!(set.attr("type"), Some("result"));
    host.until(|e| says(e, "LOBBY-ENABLED")).await;
    let info = host
        .ask(
            "get",
            Some(ROOM),
            r#"<query xmlns="http://jabber.org/protocol/disco#info"/>"#,
        )
        .await;
    assert!(info.to_xml().contains("muc_membersonly") && info.to_xml().contains(LOBBY));
    knock(&mut host, LOBBY).await;

    let (mut bob, mut eve, mut joe) = (
        guest(&house).await,
        guest(&house).await,
        guest(&house).await,
    );
    for client in [&mut bob, &mut eve, &mut joe] {
        let error = refused(client, "").await;
        assert_eq!(error.attr("type"), Some("auth"));
        assert!(error.child("registration-required", ns::STANZAS).is_some());
        let lobby = error.child("lobbyroom", ns::JITMEET).unwrap().text();
        assert_eq!(codes(&knock(client, &lobby).await), ["100", "110"]);
        // The moderator sees who it is; the other guests hear nothing (read below).
        let from = format!("{LOBBY}/{}", client.nick);
        let seen = host.until(|e| e.attr("from") == Some(from.as_str())).await;
        let item = seen
            .child("x", ns::MUC_USER)
            .unwrap()
            .child("item", ns::MUC_USER);
        assert_eq!(item.unwrap().attr("jid"), Some(client.jid.as_str()));
    }

    // A guest may neither let itself in nor send others away.
    bob.send(format!(r#"<message xmlns="jabber:client" to="{ROOM}" id="i"><x xmlns="http://jabber.org/protocol/muc#user"><invite to="{}"/></x></message>"#, bob.jid)).await;
    let away = |nick: &str| {
        format!(
            r#"<query xmlns="http://jabber.org/protocol/muc#admin"><item nick="{nick}" role="none"/></query>"#
        )
    };
    let denied = bob.ask("set", Some(LOBBY), &away(&eve.nick)).await;
    let error = denied.child("error", ns::CLIENT).unwrap();
    assert!(error.child("forbidden", ns::STANZAS).is_some());

    // Lobby chat.
    host.send(format!(r#"<message xmlns="jabber:client" type="chat" to="{LOBBY}/{}"><json-message xmlns="http://jitsi.org/jitmeet">{{"type":"LOBBY_CHAT_MESSAGE","message":"who?"}}</json-message></message>"#, bob.nick)).await;
    bob.until(|e| says(e, "LOBBY_CHAT_MESSAGE")).await;

    host.send(format!(r#"<message xmlns="jabber:client" to="{ROOM}" id="k"><x xmlns="http://jabber.org/protocol/muc#user"><invite to="{}"/></x></message>"#, bob.jid)).await;
    let invited = bob
        .until(|e| {
            e.name() == "message"
                && e.attr("from") == Some(ROOM)
                && e.child("x", ns::MUC_USER).is_some()
        })
        .await;
    assert!(invited.to_xml().contains("<invite"));
    host.until(|e| says(e, "LOBBY-ACCESS-GRANTED")).await;
    bob.join(ROOM).await;

    let sent = host.ask("set", Some(LOBBY), &away(&eve.nick)).await;
    assert_eq!(sent.attr("type"), Some("result"));
    // The first that Eve hears since she knocked: of Bob and Joe she was told nothing.
    let subject = eve.expect().await;
    assert!(subject.child("subject", ns::CLIENT).is_some());
    let gone = eve.expect().await;
    assert_eq!(gone.attr("type"), Some("unavailable"), "{}", gone.to_xml());
    assert_eq!(codes(&gone), ["307", "110"]);
    let error = refused(&mut eve, "").await;
    assert!(error.child("registration-required", ns::STANZAS).is_some());

    configure(&mut host, &[("membersonly", "0")]).await;
    let closed = joe.until(|e| e.attr("type") == Some("unavailable")).await;
    let destroy = closed
        .child("x", ns::MUC_USER)
        .unwrap()
        .child("destroy", ns::MUC_USER);
    assert_eq!(destroy.unwrap().attr("jid"), Some(ROOM));
    joe.join(ROOM).await;
    let again = knock(&mut eve, LOBBY).await;
    assert!(again.to_xml().contains("Room creation is restricted"));
    eve.join(ROOM).await;
}

#[tokio::test]
async fn a_password_is_asked_for_and_opens_the_lobby_too() {
    let house = House::start().await;
    let (mut host, _) = house.joined(ROOM).await;
    let locked = [
        ("roomsecret", "pw"),
        ("passwordprotectedroom", "1"),
        ("whois", "anyone"),
    ];
    configure(&mut host, &locked).await;
    host.until(|e| e.to_xml().contains(r#"<status code="104"/>"#))
        .await;
    let mut bob = guest(&house).await;
    for wrong in ["", "guess"] {
        let error = refused(&mut bob, wrong).await;
        assert_eq!(error.attr("type"), Some("auth"));
        assert!(error.child("not-authorized", ns::STANZAS).is_some());
    }
    // Kept by a form that turns the lobby on without a word of the password.
    configure(
        &mut host,
        &[("membersonly", "1"), ("passwordprotectedroom", "1")],
    )
    .await;
    let error = refused(&mut bob, "guess").await;
    assert!(error.child("registration-required", ns::STANZAS).is_some());
    bob.send(bob.join_stanza(ROOM).replace(
        r#"<x xmlns="http://jabber.org/protocol/muc"/>"#,
        r#"<x xmlns="http://jabber.org/protocol/muc"><password>pw</password></x>"#,
    ))
    .await;
    bob.until(|e| e.child_named("subject").is_some()).await;

    let mut eve = guest(&house).await;
    for _ in 0..5 {
        refused(&mut eve, "guess").await;
    }
    let error = refused(&mut eve, "pw").await;
    assert_eq!(error.attr("type"), Some("wait"));
    assert!(
        error
            .child("text", ns::STANZAS)
            .unwrap()
            .text()
            .contains("wait a minute")
    );
}

#[tokio::test]
async fn rooms_begin_with_what_their_names_say() {
    let house = House::start_with(|settings| {
        settings.presets = vec![
            RoomRule {
                pattern: "de*".into(),
                max_occupants: Some(2),
                preset: Preset {
                    subject: Some("Board".into()),
                    password: Some(Secret::new("pw")),
                    start_muted: StartMuted {
                        audio: true,
                        video: true,
                    },
                    max_duration: Some(Duration::from_secs(7200)),
                    ..Preset::default()
                },
                ..RoomRule::default()
            },
            RoomRule {
                pattern: "*".into(),
                max_occupants: Some(1),
                ..RoomRule::default()
            },
        ];
    })
    .await;
    let mut inside = Vec::new();
    loop {
        let mut client = guest(&house).await;
        if inside.len() == 2 {
            let error = refused(&mut client, "pw").await;
            assert!(error.child("service-unavailable", ns::STANZAS).is_some());
            break;
        }
        let error = refused(&mut client, "").await;
        assert!(error.child("not-authorized", ns::STANZAS).is_some());
        client
            .send(format!(
                r#"<presence xmlns="jabber:client" to="{ROOM}/{}"><x xmlns="http://jabber.org/protocol/muc"><password>pw</password></x></presence>"#,
                client.nick
            ))
            .await;
        let metadata = client.until(|e| e.to_xml().contains("room_metadata")).await;
        assert!(metadata.to_xml().contains("startMuted"));
        let subject = client.until(|e| e.child_named("subject").is_some()).await;
        assert_eq!(
            subject.child("subject", ns::CLIENT).unwrap().text(),
            "Board"
        );
        let limit = client.until(|e| says(e, "time_restricted")).await;
        assert_eq!(limit.attr("from"), Some(ROOM));
        // It stays while the next one comes.
        inside.push(client);
    }
    let (_first, _) = house.joined("other@muc.meet.jitsi").await;
    let mut second = house.client().await;
    second.request_conference("other@muc.meet.jitsi").await;
    second
        .send(second.join_stanza("other@muc.meet.jitsi"))
        .await;
    let answer = second.until(|e| e.name() == "presence").await;
    assert!(
        answer.to_xml().contains("service-unavailable"),
        "{}",
        answer.to_xml()
    );
}

#[tokio::test]
async fn lobbies_say_what_they_ask_for() {
    for required in [true, false] {
        let house = House::start_with(|settings| settings.name_required = required).await;
        let mut client = house.client().await;
        for (to, node) in [
            ("meet.jitsi", ""),
            ("lobby.meet.jitsi", r#" node="lobbyrooms""#),
        ] {
            let query = format!(r#"<query xmlns="http://jabber.org/protocol/disco#info"{node}/>"#);
            let answer = client.ask("get", Some(to), &query).await.to_xml();
            assert!(answer.contains(r#"type="lobbyrooms""#), "{answer}");
            let feature = "http://jitsi.org/protocol/lobbyrooms#displayname_required";
            assert_eq!(answer.contains(feature), required, "{answer}");
        }
    }
}
