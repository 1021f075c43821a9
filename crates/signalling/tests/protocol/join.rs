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
    let features = disco.child("query", ns::DISCO_INFO).unwrap().to_xml();
    assert!(features.contains("urn:xmpp:ping"), "{features}");
    // No component is advertised that is not there.
    assert!(!features.contains("component"), "{features}");

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
            Some("lobby.meet.jitsi"),
            r#"<query xmlns="http://jabber.org/protocol/disco#info"/>"#,
        )
        .await;
    assert_eq!(unknown.attr("type"), Some("error"));
}
