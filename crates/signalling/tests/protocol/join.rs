use crate::harness::{DOMAIN, House, ROOM};
use althing_xmpp::ns;

/// Protocol 1 §25.2, stanza by stanza.
#[tokio::test]
async fn a_browser_reaches_joined() {
    let house = House::start().await;
    let mut client = house.client().await;
    assert_eq!(client.jid.domain(), DOMAIN);
    assert!(client.nick.bytes().all(|b| b.is_ascii_hexdigit()));

    let services = client
        .ask(
            "get",
            Some(DOMAIN),
            r#"<services xmlns="urn:xmpp:extdisco:2"/>"#,
        )
        .await;
    assert_eq!(services.attr("type"), Some("result"));
    assert_eq!(services.attr("from"), Some(DOMAIN));
    let disco = client
        .ask(
            "get",
            Some(DOMAIN),
            r#"<query xmlns="http://jabber.org/protocol/disco#info"/>"#,
        )
        .await;
    let query = disco.child("query", ns::DISCO_INFO).unwrap();
    let features = query.to_xml();
    assert!(features.contains("urn:xmpp:ping"), "{features}");
    // No component is advertised that is not there.
    for component in query
        .children()
        .filter(|i| i.attr("category") == Some("component"))
    {
        let answer = client
            .ask(
                "get",
                component.attr("name"),
                r#"<query xmlns="http://jabber.org/protocol/disco#info"/>"#,
            )
            .await;
        assert_eq!(
            answer.attr("type"),
            Some("result"),
            "{}",
            component.to_xml()
        );
    }

    let ready = client.request_conference(ROOM).await;
    assert_eq!(ready.attr("from"), Some("focus.meet.jitsi"));
    let conference = ready.child("conference", ns::FOCUS).unwrap();
    assert_eq!(conference.attr("ready"), Some("true"));
    assert_eq!(conference.attr("room"), Some(ROOM));
    assert_eq!(conference.attr("focusjid"), Some("focus@auth.meet.jitsi"));

    let heard = client.join(ROOM).await;
    assert_eq!(heard.len(), 3);
    assert_eq!(heard[0].attr("from"), Some("demo@muc.meet.jitsi/focus"));
    let item = |i: usize| {
        heard[i]
            .child("x", ns::MUC_USER)
            .unwrap()
            .child("item", ns::MUC_USER)
            .unwrap()
    };
    assert_eq!(item(0).attr("jid"), Some("focus@auth.meet.jitsi/focus"));
    assert_eq!(
        heard[1].attr("from"),
        Some(format!("{ROOM}/{}", client.nick).as_str())
    );
    assert_eq!(item(1).attr("jid"), Some(client.jid.as_str()));
    assert_eq!(item(1).attr("role"), Some("moderator"));

    let room = client
        .ask(
            "get",
            Some(ROOM),
            r#"<query xmlns="http://jabber.org/protocol/disco#info"/>"#,
        )
        .await;
    assert!(room.to_xml().contains("muc#roominfo_meetingId"));
    let pong = client
        .ask("get", Some(DOMAIN), r#"<ping xmlns="urn:xmpp:ping"/>"#)
        .await;
    assert_eq!(pong.attr("type"), Some("result"));
    let unknown = client
        .ask(
            "get",
            Some("nothing.meet.jitsi"),
            r#"<query xmlns="http://jabber.org/protocol/disco#info"/>"#,
        )
        .await;
    assert_eq!(unknown.attr("type"), Some("error"));
}

/// Protocol 1 §25.3: nothing unasked between binding and joining, strict answers.
#[tokio::test]
async fn gst_meet_reaches_joined_with_its_own_defaults() {
    let house = House::start().await;
    // Two `?`, as it writes them when there is a token.
    let mut socket = house
        .socket("/xmpp-websocket?room=demo?room=demo&token=x")
        .await;
    let jid = socket.log_in().await;
    let nick = jid.node().unwrap().split('-').next().unwrap().to_owned();
    socket
        .send(format!(r#"<iq xmlns="jabber:client" from="{jid}" to="{DOMAIN}" id="i1" type="get"><query xmlns="http://jabber.org/protocol/disco#info"/></iq>"#))
        .await;
    let disco = socket.expect().await;
    assert_eq!((disco.name(), disco.attr("id")), ("iq", Some("i1")));
    let query = disco.child("query", ns::DISCO_INFO).unwrap();
    let identity = query.child_named("identity").unwrap();
    assert!(!identity.attr("category").unwrap().is_empty());
    assert!(!identity.attr("type").unwrap().is_empty());
    assert!(
        query
            .children()
            .any(|c| c.attr("var") == Some("http://jabber.org/protocol/disco#info"))
    );
    socket
        .send(format!(r#"<iq xmlns="jabber:client" to="{DOMAIN}" id="i2" type="get"><services xmlns="urn:xmpp:extdisco:2"/></iq>"#))
        .await;
    assert_eq!(socket.expect().await.attr("id"), Some("i2"));
    let room = "demo@conference.meet.jitsi";
    socket
        .send(format!(r#"<iq xmlns="jabber:client" to="focus@auth.meet.jitsi/focus" id="i3" type="set"><conference xmlns="http://jitsi.org/protocol/focus" room="{room}" machine-uid="u"><property name="stereo" value="false"/></conference></iq>"#))
        .await;
    let ready = socket.expect().await;
    assert_eq!(ready.attr("from"), Some("focus@auth.meet.jitsi/focus"));
    assert_eq!(
        ready.child("conference", ns::FOCUS).unwrap().attr("ready"),
        Some("true")
    );
    // A browser is in the same room under the other name.
    let (mut browser, _) = house.joined(ROOM).await;
    socket
        .send(format!(r#"<presence xmlns="jabber:client" to="{room}/{nick}"><x xmlns="http://jabber.org/protocol/muc"/><audiomuted>false</audiomuted><videomuted>false</videomuted><jitsi_participant_codecType>vp8</jitsi_participant_codecType></presence>"#))
        .await;
    let mut heard = Vec::new();
    loop {
        let presence = socket.expect().await;
        assert!(presence.attr("from").unwrap().starts_with(room));
        let own = presence.to_xml().contains(r#"code="110""#);
        heard.push(presence);
        if own {
            break;
        }
    }
    assert_eq!(heard.len(), 3);
    let newcomer = format!("{ROOM}/{nick}");
    browser
        .until(|e| e.name() == "presence" && e.attr("from") == Some(&newcomer))
        .await;
    // It just drops the socket: gone at once for the others.
    drop(socket);
    let gone = browser
        .until(|e| e.attr("type") == Some("unavailable"))
        .await;
    assert_eq!(gone.attr("from"), Some(format!("{ROOM}/{nick}").as_str()));
}

#[tokio::test]
async fn rooms_are_made_by_asking_for_them() {
    let house = House::start().await;
    let mut client = house.client().await;
    let join = client.join_stanza(ROOM);
    client.send(join).await;
    let refused = client.expect().await;
    assert_eq!(refused.attr("type"), Some("error"));
    assert_eq!(
        refused.attr("from"),
        Some(format!("{ROOM}/{}", client.nick).as_str())
    );
    let error = refused.child("error", ns::CLIENT).unwrap();
    assert_eq!(error.attr("type"), Some("cancel"));
    assert_eq!(error.children().next().unwrap().name(), "not-allowed");
    assert_eq!(
        error.child_named("text").unwrap().text(),
        "Room creation is restricted"
    );
    // What clients do then works.
    client.request_conference(ROOM).await;
    client.join(ROOM).await;

    for room in ["demo@elsewhere.example", "muc.meet.jitsi", "a b", ""] {
        let payload =
            format!(r#"<conference xmlns="http://jitsi.org/protocol/focus" room="{room}"/>"#);
        let reply = client.ask("set", Some("focus.meet.jitsi"), &payload).await;
        assert_eq!(reply.attr("type"), Some("error"), "{room}");
        assert!(reply.to_xml().contains("bad-request"), "{room}");
    }
}

#[tokio::test]
async fn conferences_are_also_asked_for_over_http() {
    let house = House::start().await;
    let (status, head, body) = house
        .http("POST", "/conference-request/v1?room=demo", r#"{"room":"demo@muc.meet.jitsi","machineUid":"u1","properties":{"rtcstatsEnabled":false}}"#)
        .await;
    assert_eq!(status, 200);
    assert!(head.contains("access-control-allow-origin: *"), "{head}");
    for part in [
        r#""ready":true"#,
        r#""focusJid":"focus@auth.meet.jitsi""#,
        r#""machineUid":"u1""#,
        r#""properties":{"authentication":"false","media":"all","visitors-supported":"false"}"#,
    ] {
        assert!(body.contains(part), "{part} is missing in {body}");
    }
    assert_eq!(house.metric("rooms"), 1);
    let mut client = house.client().await;
    client.join(ROOM).await;
    let (status, head, _) = house.http("OPTIONS", "/conference-request/v1", "").await;
    assert_eq!(status, 204);
    assert!(
        head.contains("access-control-allow-methods: POST"),
        "{head}"
    );
    for body in ["", "[]", "{", r#"{"room":7}"#, r#"{"room":"x@y"}"#] {
        let (status, ..) = house.http("POST", "/conference-request/v1", body).await;
        assert_eq!(status, 400, "{body}");
    }
}

#[tokio::test]
async fn tenants_have_rooms_of_their_own() {
    let house = House::start().await;
    let room = "demo@muc.acme.meet.jitsi";
    let (mut inside, heard) = house.joined(room).await;
    assert_eq!(
        heard[0].attr("from"),
        Some("demo@muc.acme.meet.jitsi/focus")
    );
    let (_outside, heard) = house.joined(ROOM).await;
    assert_eq!(heard.len(), 3, "nobody else is there");
    house.until_metric("rooms", 2).await;
    // The tenant's own address of the door.
    let mut socket = house.socket("/acme/xmpp-websocket").await;
    socket.log_in().await;
    let pong = inside
        .ask("get", None, r#"<ping xmlns="urn:xmpp:ping"/>"#)
        .await;
    assert_eq!(pong.attr("type"), Some("result"));
}

#[tokio::test]
async fn ten_rooms_do_not_mix() {
    let house = House::start().await;
    let mut pairs = Vec::new();
    for n in 0..10 {
        let room = format!("room{n}@muc.meet.jitsi");
        let (first, _) = house.joined(&room).await;
        let (second, _) = house.joined(&room).await;
        pairs.push((room, first, second));
    }
    for (n, (room, first, _)) in pairs.iter_mut().enumerate() {
        let text = format!(
            r#"<message xmlns="jabber:client" type="groupchat" to="{room}" id="m"><body>said in {n}</body></message>"#
        );
        first.send(text).await;
    }
    for (n, (room, first, second)) in pairs.iter_mut().enumerate() {
        for client in [first, second] {
            // Whatever is heard on the way is of this room.
            let message = loop {
                let element = client.expect().await;
                assert!(element.attr("from").unwrap().starts_with(room.as_str()));
                if element.child_named("body").is_some() {
                    break element;
                }
            };
            assert_eq!(
                message.child_named("body").unwrap().text(),
                format!("said in {n}")
            );
        }
    }
}
