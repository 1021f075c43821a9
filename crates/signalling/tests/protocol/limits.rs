//! What clients of one address may do, and how much of it is refused.

use crate::harness::{House, ROOM};

/// A school behind one address: nobody is refused by the limits as they are shipped.
#[tokio::test]
async fn five_hundred_join_from_one_address_within_a_minute() {
    let house = House::start().await;
    let started = tokio::time::Instant::now();
    let (_host, _) = house.joined(ROOM).await;
    let mut joined = 1;
    while joined < 500 {
        // As many sockets as a test may have open.
        let mut crowd = Vec::new();
        for _ in 0..100 {
            crowd.push(house.joined(ROOM).await.0);
            joined += 1;
        }
        drop(crowd);
        house.until_metric("occupants", 1).await;
    }
    assert!(started.elapsed().as_secs() < 60);
}

#[tokio::test]
async fn connections_and_joins_of_one_address_are_bounded_and_counted() {
    let house = House::start_with(|settings| {
        settings.sessions_per_address = 2;
        settings.join_burst = 2;
        settings.joins_per_second = 1;
    })
    .await;
    let (_first, _) = house.joined(ROOM).await;
    let (mut second, _) = house.joined(ROOM).await;
    for path in ["/xmpp-websocket", "/acme/xmpp-websocket"] {
        let (status, ..) = house.upgrade(path).await;
        assert_eq!(status, 429, "{path}");
    }
    let create = r#"<body xmlns="http://jabber.org/protocol/httpbind" rid="1" to="meet.jitsi"/>"#;
    let (status, ..) = house.http("POST", "/http-bind", create).await;
    assert_eq!(status, 429);
    assert_eq!(
        house.metric(r#"refused_total{reason="AddressSessions"}"#),
        3
    );
    // A plain GET takes no place.
    let (status, ..) = house.http("GET", "/xmpp-websocket", "").await;
    assert_eq!(status, 200);
    let other = "other@muc.meet.jitsi";
    second.request_conference(other).await;
    let join = second.join_stanza(other);
    second.send(join).await;
    let refused = second.until(|e| e.attr("type") == Some("error")).await;
    assert!(refused.to_xml().contains("resource-constraint"));
    assert_eq!(house.metric(r#"refused_total{reason="JoinRate"}"#), 1);
    drop(second);
    house.until_metric("sessions", 1).await;
    let _third = house.client().await;
}

#[tokio::test]
async fn a_hasty_session_is_read_more_slowly_and_counted() {
    let house = House::start_with(|settings| {
        settings.stanza_burst = 50;
        settings.stanzas_per_second = 1_000;
        settings.byte_burst = 20_000;
        settings.bytes_per_second = 1_000_000;
    })
    .await;
    let (mut client, _) = house.joined(ROOM).await;
    tokio::time::pause();
    for _ in 0..100 {
        client
            .ask("get", None, r#"<ping xmlns="urn:xmpp:ping"/>"#)
            .await;
    }
    let padding = "x".repeat(30_000);
    let long = format!(r#"<ping xmlns="urn:xmpp:ping">{padding}</ping>"#);
    client.ask("get", None, &long).await;
    for reason in ["SessionStanzas", "SessionBytes"] {
        let name = format!(r#"refused_total{{reason="{reason}"}}"#);
        assert!(house.metric(&name) > 0, "{reason}");
    }
}
