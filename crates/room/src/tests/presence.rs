//! Coming in, being there, going out.

use super::*;

#[test]
fn a_newcomer_hears_others_then_itself_then_the_subject() {
    let mut house = House::new(settings());
    house.join(1);
    house.quiet();
    house.join(2);
    let heard = house.inbox(2);
    let from: Vec<_> = heard.iter().map(|e| e.attr("from").unwrap()).collect();
    assert_eq!(
        from,
        [
            &format!("{ROOM}/focus"),
            &format!("{ROOM}/00000001"),
            &format!("{ROOM}/00000002"),
            ROOM
        ]
    );
    assert_eq!(
        item(&heard[0]).attr("jid"),
        Some("focus@auth.meet.jitsi/focus")
    );
    assert_eq!(item(&heard[0]).attr("affiliation"), Some("owner"));
    assert_eq!(
        item(&heard[1]).attr("jid"),
        Some("00000001-u@meet.jitsi/r1")
    );
    assert_eq!(item(&heard[1]).attr("role"), Some("moderator"));
    assert_eq!(codes(&heard[1]), [""; 0]);
    assert_eq!(item(&heard[2]).attr("role"), Some("participant"));
    assert_eq!(codes(&heard[2]), ["100", "110"]);
    assert_eq!(
        heard[3].to_xml(),
        format!(
            r#"<message xmlns="jabber:client" type="groupchat" from="{ROOM}"><subject/></message>"#
        )
    );
    let others = house.inbox(1);
    assert_eq!(others.len(), 1);
    assert_eq!(codes(&others[0]), [""; 0]);
}

#[test]
fn what_only_the_server_may_say_is_taken_out_of_presences() {
    let mut house = House::new(settings());
    house.join(1);
    let own = house.inbox(1).remove(1);
    assert!(own.child("x", ns::MUC).is_none());
    assert!(own.child_named("identity").is_none());
    assert_eq!(own.children().filter(|c| c.name() == "x").count(), 1);
    assert!(own.child_named("SourceInfo").is_some());
    assert_eq!(own.attr("type"), None);
    // The first occupant moderates from its first presence on, and learns what that permits.
    assert_eq!(item(&own).attr("role"), Some("moderator"));
    assert!(own.child("permissions", ns::JITMEET).is_some());
}

#[test]
fn a_presence_change_is_rendered_twice_in_a_large_room() {
    let mut house = House::new(settings());
    for number in 1..=200 {
        house.join(number);
    }
    house.quiet();
    let before = house.meeting.presence_renders();
    house.stanza(
        5,
        &format!(
            r#"<presence to="{ROOM}/{}"><SourceInfo>new</SourceInfo></presence>"#,
            nick(5)
        ),
    );
    assert_eq!(house.meeting.presence_renders() - before, 2);
    for number in 1..=200 {
        let heard = house.inbox(number);
        assert_eq!(heard.len(), 1, "{number}");
        assert_eq!(codes(&heard[0]).is_empty(), number != 5);
        // A full replacement: what is not repeated is gone.
        assert!(heard[0].child("nick", ns::NICK).is_none());
    }
}

#[test]
fn each_client_sees_the_address_form_it_used() {
    let mut house = House::new(settings());
    house.join(1);
    house.join_as(2, OTHER_FORM, &nick(2));
    let first = house.inbox(1);
    assert!(
        first
            .iter()
            .all(|e| e.attr("from").unwrap().starts_with(ROOM))
    );
    let second = house.inbox(2);
    assert_eq!(second.len(), 4);
    assert!(
        second
            .iter()
            .all(|e| e.attr("from").unwrap().starts_with(OTHER_FORM))
    );
    house.stanza(
        1,
        &format!(r#"<message type="groupchat" to="{ROOM}" id="a"><body>x</body></message>"#),
    );
    assert_eq!(
        house.inbox(2)[0].attr("from"),
        Some(format!("{OTHER_FORM}/00000001").as_str())
    );
}

#[test]
fn one_with_a_very_long_presence_does_not_keep_newcomers_out() {
    let mut house = House::new(settings());
    house.join(1);
    house.join(2);
    house.quiet();
    // Short as it comes in, long as it would go out.
    let name = "&amp;".repeat(7_000);
    let presence = format!(
        r#"<presence to="{ROOM}/{}"><nick xmlns="http://jabber.org/protocol/nick">{name}</nick></presence>"#,
        nick(1)
    );
    house.stanza(1, &presence);
    let refused = house.inbox(1).pop().unwrap();
    assert_eq!(
        condition(&refused),
        ("modify".into(), "policy-violation".into())
    );
    assert!(house.inbox(2).is_empty() && house.events.is_empty());
    house.join(3);
    let welcome: usize = house.inbox(3).iter().map(|e| e.to_xml().len()).sum();
    assert!(welcome < 10_000, "{welcome}");
}

#[test]
fn joins_are_refused_in_the_forms_clients_know() {
    let mut house = House::new(Settings {
        max_occupants: 1,
        ..settings()
    });
    house.join(1);
    let refused = |house: &mut House, number: u64, nick: &str| {
        house.join_as(number, ROOM, nick);
        let error = house.inbox(number).pop().unwrap();
        assert_eq!(error.attr("from"), Some(format!("{ROOM}/{nick}").as_str()));
        assert!(error.child("x", ns::MUC).is_some());
        let (kind, condition) = condition(&error);
        format!("{kind}/{condition}")
    };
    assert_eq!(refused(&mut house, 2, "a-b"), "cancel/not-allowed");
    assert_eq!(refused(&mut house, 2, "focus"), "cancel/conflict");
    assert_eq!(refused(&mut house, 2, "jvb"), "cancel/conflict");
    assert_eq!(refused(&mut house, 2, &nick(1)), "cancel/conflict");
    assert_eq!(
        refused(&mut house, 2, &nick(2)),
        "cancel/service-unavailable"
    );
    assert_eq!(refused(&mut house, 1, "other"), "cancel/not-allowed");
    house.stanza(3, &format!(r#"<presence to="{ROOM}/{}"/>"#, nick(3)));
    let error = house.inbox(3).pop().unwrap();
    assert_eq!(condition(&error).1, "item-not-found");
    assert_eq!(house.meeting.occupant_count(), 1);
}

#[test]
fn the_same_person_replaces_its_former_session() {
    let mut house = House::new(settings());
    house.join(1);
    house.quiet();
    let stanza = parse(
        &format!(
            r#"<presence xmlns="jabber:client" to="{ROOM}/{}"><x xmlns="http://jabber.org/protocol/muc"/></presence>"#,
            nick(1)
        ),
        &Limits::default(),
    )
    .unwrap();
    house.input(Input::Stanza {
        sender: Sender {
            session: session(9),
            jid: Jid::parse("00000001-u@meet.jitsi/new").unwrap(),
            ..sender(1)
        },
        stanza,
    });
    assert_eq!(codes(&house.inbox(1)[0]), ["110"]);
    assert!(
        house.meeting.main.by_session.contains_key(&session(9))
            && !house.meeting.main.by_session.contains_key(&session(1))
    );
    assert!(matches!(
        house.events.as_slice(),
        [
            RoomEvent::OccupantLeft {
                reason: LeaveReason::Replaced,
                ..
            },
            RoomEvent::OccupantJoined(_)
        ]
    ));
}

#[test]
fn a_restored_room_goes_on() {
    let mut house = House::new(settings());
    house.join(1);
    house.join(2);
    house.stanza(
        1,
        &format!(
            r#"<message type="groupchat" to="{ROOM}" id="m1"><body>a &lt; b</body></message>"#
        ),
    );
    let text = serde_json::to_string(&house.meeting.snapshot(house.now)).unwrap();
    house.meeting = Meeting::restore(serde_json::from_str(&text).unwrap(), house.now).unwrap();
    assert_eq!(
        serde_json::to_string(&house.meeting.snapshot(house.now)).unwrap(),
        text
    );
    house.quiet();
    house.join(3);
    let heard = house.inbox(3);
    assert_eq!(heard.len(), 6);
    assert_eq!(heard[4].child_named("body").unwrap().text(), "a < b");
    assert_eq!(house.inbox(1).len(), 1);
}

#[test]
fn presence_facts_reach_the_focus() {
    let mut house = House::new(settings());
    house.join(1);
    let RoomEvent::OccupantJoined(info) = &house.events[0] else {
        panic!("{:?}", house.events);
    };
    assert_eq!(info.presence.caps.as_ref().unwrap().ver, "v1");
    assert_eq!(info.role, Role::Moderator);
    assert_eq!(info.may_send, MediaKinds::ALL);
    assert_eq!(info.room.to_string(), ROOM);
    house.events.clear();
    house.stanza(
        1,
        &format!(
            r#"<presence to="{ROOM}/{}"><features><feature var="f"/></features></presence>"#,
            nick(1)
        ),
    );
    assert!(
        matches!(&house.events[..], [RoomEvent::PresenceChanged { presence, .. }] if presence.features.contains("f"))
    );
}
