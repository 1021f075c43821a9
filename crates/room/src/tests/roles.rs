//! Who moderates, and what only moderators may do.

use super::*;

#[test]
fn leaving_tells_everybody_and_passes_moderation_on() {
    let mut house = House::new(settings());
    for number in 1..=3 {
        house.join(number);
    }
    house.quiet();
    house.stanza(
        1,
        &format!(r#"<presence type="unavailable" to="{ROOM}/{}"><status>switch_room</status></presence>"#, nick(1)),
    );
    let own = house.inbox(1);
    assert_eq!(own.len(), 1);
    assert_eq!(own[0].attr("type"), Some("unavailable"));
    assert_eq!(codes(&own[0]), ["110"]);
    assert_eq!(item(&own[0]).attr("role"), Some("none"));
    let second = house.inbox(2);
    assert_eq!(
        second[0].child_named("status").unwrap().text(),
        "switch_room"
    );
    assert_eq!(codes(&second[0]), [""; 0]);
    // Then the longest present occupant is announced as the moderator.
    assert_eq!(item(&second[1]).attr("role"), Some("moderator"));
    assert_eq!(item(&second[1]).attr("affiliation"), Some("owner"));
    assert_eq!(codes(&second[1]), ["110"]);
    assert_eq!(
        house.inbox(3)[1].attr("from"),
        Some(format!("{ROOM}/00000002").as_str())
    );
    assert!(matches!(
        &house.events[..],
        [
            RoomEvent::OccupantLeft { reason: LeaveReason::Left(Some(status)), .. },
            RoomEvent::RoleChanged { role: Role::Moderator, .. }
        ] if status == "switch_room"
    ));
    house.quiet();
    house.input(Input::SessionEnded {
        session: session(2),
    });
    assert!(house.inbox(2).is_empty());
    assert_eq!(house.inbox(3).len(), 2);
}

#[test]
fn a_moderator_may_kick_and_others_may_not() {
    let mut house = House::new(settings());
    for number in 1..=3 {
        house.join(number);
    }
    house.quiet();
    let kick = |id: &str, nick: &str| {
        format!(
            r#"<iq type="set" id="{id}" to="{ROOM}"><query xmlns="http://jabber.org/protocol/muc#admin"><item nick="{nick}" role="none"><reason>out</reason></item></query></iq>"#
        )
    };
    house.stanza(2, &kick("k1", &nick(3)));
    assert_eq!(
        condition(&house.inbox(2)[0]),
        ("auth".into(), "forbidden".into())
    );
    house.stanza(1, &kick("k2", &nick(3)));
    let moderator = house.inbox(1);
    assert_eq!(moderator[0].attr("type"), Some("result"));
    assert_eq!(moderator[0].attr("id"), Some("k2"));
    let victim = house.inbox(3);
    assert_eq!(codes(&victim[0]), ["307", "110"]);
    let item = item(&victim[0]);
    assert_eq!(
        item.child_named("actor").unwrap().attr("nick"),
        Some(nick(1).as_str())
    );
    assert_eq!(item.child_named("reason").unwrap().text(), "out");
    assert_eq!(codes(&house.inbox(2)[0]), ["307"]);
    house.stanza(
        1,
        &format!(r#"<iq type="set" id="g" to="{ROOM}"><query xmlns="http://jabber.org/protocol/muc#admin"><item affiliation="owner" jid="00000002-u@meet.jitsi"/></query></iq>"#),
    );
    assert!(house.events.iter().any(|e| matches!(
        e,
        RoomEvent::RoleChanged {
            role: Role::Moderator,
            ..
        }
    )));
}
