//! The configuration form.

use super::*;

#[test]
fn locking_is_refused_rather_than_pretended() {
    let mut house = House::new(settings());
    house.join(1);
    house.join(2);
    house.quiet();
    let set = |fields: &str| {
        format!(
            r#"<iq type="set" id="o" to="{ROOM}"><query xmlns="http://jabber.org/protocol/muc#owner"><x xmlns="jabber:x:data" type="submit">{fields}</x></query></iq>"#
        )
    };
    let whois = r#"<field var="muc#roomconfig_whois"><value>anyone</value></field>"#;
    house.stanza(2, &set(whois));
    assert_eq!(condition(&house.inbox(2)[0]).1, "forbidden");
    house.stanza(
        1,
        &set(r#"<field var="muc#roomconfig_roomsecret"><value>x</value></field>"#),
    );
    assert_eq!(condition(&house.inbox(1)[0]).1, "feature-not-implemented");
    house.stanza(1, &set(whois));
    let heard = house.inbox(1);
    assert_eq!(heard[0].attr("type"), Some("result"));
    assert_eq!(codes(&heard[1]), ["104"]);
    house.stanza(1, &format!(r#"<iq type="get" id="o" to="{ROOM}"><query xmlns="http://jabber.org/protocol/muc#owner"/></iq>"#));
    let form = house.inbox(1).remove(0).to_xml();
    assert!(
        form.contains("muc#roomconfig_whois") && !form.contains("roomsecret"),
        "{form}"
    );
}
