//! What is said, to all and to one.

use super::*;

#[test]
fn group_chat_is_echoed_kept_and_replayed() {
    let mut house = House::new(settings());
    house.join(1);
    house.join(2);
    house.quiet();
    house.stanza(
        2,
        &format!(r#"<message type="groupchat" to="{ROOM}"><body>hi</body><nick xmlns="http://jabber.org/protocol/nick">fake</nick></message>"#),
    );
    let echo = house.inbox(2);
    let first = house.inbox(1);
    assert_eq!(echo.len(), 1);
    assert_eq!(echo[0].to_xml(), first[0].to_xml());
    assert!(echo[0].attr("id").is_some_and(|id| !id.is_empty()));
    assert!(echo[0].child("nick", ns::NICK).is_none());
    for _ in 0..25 {
        house.stanza(
            1,
            &format!(r#"<message type="groupchat" to="{ROOM}" id="x"><body>more</body></message>"#),
        );
    }
    house.stanza(
        1,
        &format!(r#"<message type="groupchat" to="{ROOM}" id="j"><json-message xmlns="http://jitsi.org/jitmeet">{{"type":"a"}}</json-message></message>"#),
    );
    assert!(
        house
            .inbox(2)
            .last()
            .unwrap()
            .child_named("json-message")
            .is_some()
    );
    house.join(3);
    let heard = house.inbox(3);
    let history: Vec<_> = heard
        .iter()
        .filter(|e| e.child("delay", ns::DELAY).is_some())
        .collect();
    assert_eq!(history.len(), 20);
    assert!(
        history
            .iter()
            .all(|m| m.child_named("json-message").is_none())
    );
    let delay = history[0].child("delay", ns::DELAY).unwrap();
    assert_eq!(delay.attr("from"), Some(ROOM));
    assert_eq!(delay.attr("stamp"), Some("2026-01-01T00:00:00Z"));
    assert_eq!(
        history[0].child_named("display-name").unwrap().text(),
        "Ada"
    );
}

#[test]
fn retracted_messages_are_not_replayed_and_only_their_author_retracts() {
    let mut house = House::new(settings());
    house.join(1);
    house.join(2);
    house.stanza(
        1,
        &format!(r#"<message type="groupchat" to="{ROOM}" id="m1"><body>oops</body></message>"#),
    );
    let retract = format!(
        r#"<message type="groupchat" to="{ROOM}" id="m2"><retract xmlns="urn:xmpp:message-retract:1" id="m1"/><body>gone</body><store xmlns="urn:xmpp:hints"/></message>"#
    );
    let replayed = |house: &mut House, number: u64| {
        house.join(number);
        house
            .inbox(number)
            .iter()
            .filter(|e| e.child("delay", ns::DELAY).is_some())
            .count()
    };
    house.stanza(2, &retract);
    assert_eq!(replayed(&mut house, 3), 1);
    house.stanza(1, &retract);
    assert_eq!(replayed(&mut house, 4), 0);
}

#[test]
fn only_moderators_set_the_subject() {
    let mut house = House::new(settings());
    house.join(1);
    house.join(2);
    house.quiet();
    let subject = format!(
        r#"<message type="groupchat" to="{ROOM}" id="s"><subject>News</subject></message>"#
    );
    house.stanza(2, &subject);
    assert_eq!(
        condition(&house.inbox(2)[0]),
        ("auth".into(), "forbidden".into())
    );
    house.stanza(1, &subject);
    assert_eq!(
        house.inbox(2)[0].attr("from"),
        Some(format!("{ROOM}/00000001").as_str())
    );
    house.join(3);
    assert_eq!(
        house
            .inbox(3)
            .last()
            .unwrap()
            .child_named("subject")
            .unwrap()
            .text(),
        "News"
    );
}

#[test]
fn private_messages_reach_one() {
    let mut house = House::new(settings());
    for number in 1..=3 {
        house.join(number);
    }
    house.quiet();
    house.stanza(
        1,
        &format!(
            r#"<message type="chat" to="{ROOM}/{}" id="p"><body>psst</body></message>"#,
            nick(2)
        ),
    );
    let heard = house.inbox(2);
    assert_eq!(
        heard[0].attr("from"),
        Some(format!("{ROOM}/00000001").as_str())
    );
    assert!(heard[0].child("x", ns::MUC_USER).is_some());
    assert!(house.inbox(1).is_empty() && house.inbox(3).is_empty());
    house.stanza(
        1,
        &format!(r#"<message type="chat" to="{ROOM}/nobody"><body>psst</body></message>"#),
    );
    assert_eq!(condition(&house.inbox(1)[0]).1, "item-not-found");
    house.stanza(
        9,
        &format!(
            r#"<message type="chat" to="{ROOM}/{}"><body>psst</body></message>"#,
            nick(2)
        ),
    );
    assert_eq!(condition(&house.inbox(9)[0]).1, "not-acceptable");
}
