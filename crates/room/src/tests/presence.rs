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
        max_occupants: 2,
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
    house.join(5);
    assert_eq!(
        refused(&mut house, 2, &nick(2)),
        "cancel/service-unavailable"
    );
    assert_eq!(refused(&mut house, 1, "other"), "cancel/not-allowed");
    house.stanza(3, &format!(r#"<presence to="{ROOM}/{}"/>"#, nick(3)));
    let error = house.inbox(3).pop().unwrap();
    assert_eq!(condition(&error).1, "item-not-found");
    assert_eq!(house.meeting.occupant_count(), 2);
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

#[test]
fn the_focus_learns_who_encrypts_end_to_end() {
    let mut house = House::new(settings());
    house.join(1);
    for (property, told) in [
        (
            "<jitsi_participant_e2ee.enabled>true</jitsi_participant_e2ee.enabled>",
            Some(true),
        ),
        // The same again, with a namespace, is nothing new.
        (
            "<jitsi_participant_e2ee.enabled xmlns='x'> true </jitsi_participant_e2ee.enabled>",
            None,
        ),
        (
            "<jitsi_participant_e2ee.enabled>false</jitsi_participant_e2ee.enabled>",
            Some(false),
        ),
        (
            "<jitsi_participant_e2ee.enabled>1</jitsi_participant_e2ee.enabled>",
            None,
        ),
        ("<e2ee.enabled>true</e2ee.enabled>", None),
    ] {
        house.events.clear();
        let caps = r#"<c xmlns="http://jabber.org/protocol/caps" hash="sha-1" node="n" ver="v1"/>"#;
        house.stanza(
            1,
            &format!(
                r#"<presence to="{ROOM}/{}">{caps}{property}</presence>"#,
                nick(1)
            ),
        );
        let heard = house.events.iter().find_map(|event| match event {
            RoomEvent::PresenceChanged { presence, .. } => Some(presence.e2ee),
            _ => None,
        });
        assert_eq!(heard, told, "{property}");
    }
}

#[test]
fn tokens_say_who_somebody_is_and_clients_do_not() {
    let mut house = House::new(settings());
    house.join(1);
    let user = [("id", "42"), ("name", "Ann <A>"), ("email", "a@x")];
    let identity = Identity {
        user: user.map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
        group: Some("acme".into()),
        features: Some(BTreeMap::from([("name-readonly".to_owned(), true)])),
        ..Identity::default()
    };
    house.identities.insert(2, Arc::new(identity));
    house.quiet();
    house.join(2);
    house.stanza(
        2,
        &format!(
            r#"<presence to="{ROOM}/{}"><nick xmlns="http://jabber.org/protocol/nick">Boss</nick><nick>Boss</nick><identity xmlns="x"><user><id>1</id></user></identity></presence>"#,
            nick(2)
        ),
    );
    let own = house.inbox(2).into_iter();
    let own = own.filter(|e| e.attr("from") == Some(&*format!("{ROOM}/{}", nick(2))));
    for presence in house.inbox(1).into_iter().chain(own) {
        let given: Vec<_> = presence
            .children()
            .filter(|c| c.name() == "identity")
            .collect();
        assert_eq!(
            given[0].to_xml(),
            r#"<identity xmlns="jabber:client"><user><email>a@x</email><id>42</id><name>Ann &lt;A&gt;</name></user><group>acme</group></identity>"#
        );
        assert_eq!(given.len(), 1);
        let names = presence.children().filter(|c| c.name() == "nick");
        assert_eq!(names.map(Element::text).collect::<Vec<_>>(), ["Ann <A>"]);
    }
    // Who has no token is nobody in particular, whatever it says.
    house.quiet();
    house.join(3);
    assert!(house.inbox(1)[0].child_named("identity").is_none());
}

#[test]
fn what_the_server_says_is_taken_out_and_what_apps_say_is_not() {
    let mut house = House::new(settings());
    house.join(1);
    house.join(2);
    house.quiet();
    let dropped = [
        r#"<identity><user/></identity>"#,
        r#"<permissions xmlns="http://jitsi.org/jitmeet"><p name="recording" val="true"/></permissions>"#,
        r#"<permissions/>"#,
        r#"<x xmlns="http://jabber.org/protocol/muc#user"><item role="moderator"/></x>"#,
        r#"<x xmlns="vcard-temp:x:update"/>"#,
        r#"<delay xmlns="urn:xmpp:delay" stamp="2000-01-01T00:00:00Z"/>"#,
        r#"<jibri-recording-status xmlns="http://jitsi.org/protocol/jibri" status="on"/>"#,
        r#"<jibri-sip-call-state state="on"/>"#,
        r#"<etherpad xmlns="http://jitsi.org/jitmeet/etherpad">doc</etherpad>"#,
        r#"<conference-properties xmlns="http://jitsi.org/protocol/focus"/>"#,
        r#"<bridgeNotAvailable xmlns="http://jitsi.org/protocol/focus"/>"#,
        r#"<transcription-status status="ON"/>"#,
        r#"<bot type="poltergeist"/>"#,
        r#"<session_id>s</session_id>"#,
        r#"<mode>file</mode>"#,
        r#"<live-stream-view-url>u</live-stream-view-url>"#,
        r#"<flip_device/>"#,
        r#"<ignore xmlns="http://jitsi.org/jitmeet/"/>"#,
    ];
    let kept = [
        r#"<jitsi_participant_raisedHand>1760000000123</jitsi_participant_raisedHand>"#,
        r#"<follow-me tileViewEnabled="false"/>"#,
        r#"<shared-video state="start" time="1.5">u</shared-video>"#,
        r#"<mute-reactions startReactionsMuted="true"/>"#,
        r#"<startmuted xmlns="http://jitsi.org/jitmeet/start-muted" audio="true" video="false"/>"#,
        r#"<call-control phone="1" pin="2"/>"#,
        r#"<jitsi_participant_e2ee.idKey.ed25519>k</jitsi_participant_e2ee.idKey.ed25519>"#,
        r#"<anything xmlns="of:an:app"><at/></anything>"#,
    ];
    house.stanza(
        2,
        &format!(
            r#"<presence to="{ROOM}/{}">{}{}</presence>"#,
            nick(2),
            dropped.concat(),
            kept.concat()
        ),
    );
    let heard = house.inbox(1).remove(0);
    let children: Vec<_> = heard.children().collect();
    let (theirs, ours) = children.split_at(kept.len());
    for (child, text) in theirs.iter().zip(kept) {
        let expected = if text.contains("xmlns") {
            text.to_owned()
        } else {
            let end = text.find([' ', '>', '/']).unwrap();
            format!("{} xmlns=\"jabber:client\"{}", &text[..end], &text[end..])
        };
        assert_eq!(child.to_xml(), expected);
    }
    assert_eq!(ours.len(), 1);
    assert_eq!(ours[0].attr("role"), None);
    assert!(ours[0].is("x", ns::MUC_USER));
    assert_eq!(item(&heard).attr("role"), Some("participant"));
}

#[test]
fn who_changes_its_presence_too_fast_is_shown_a_little_later() {
    let mut house = House::new(settings());
    house.join(1);
    house.join(2);
    house.quiet();
    let change = |house: &mut House, n: u64| {
        house.stanza(
            2,
            &format!(
                r#"<presence to="{ROOM}/{}"><SourceInfo>{n}</SourceInfo></presence>"#,
                nick(2)
            ),
        );
    };
    for n in 0..500 {
        change(&mut house, n);
    }
    let shown = house.inbox(1);
    assert_eq!(shown.len(), 40);
    assert_eq!(house.inbox(2).len(), 40);
    // Newcomers see it as it is.
    house.join(3);
    let theirs = house.inbox(3);
    let theirs = theirs
        .iter()
        .find(|e| e.attr("from").unwrap().ends_with(&nick(2)));
    assert_eq!(
        theirs.unwrap().child_named("SourceInfo").unwrap().text(),
        "499"
    );
    house.quiet();
    let text = serde_json::to_string(&house.meeting.snapshot(house.now)).unwrap();
    house.meeting = Meeting::restore(serde_json::from_str(&text).unwrap(), house.now).unwrap();
    house.pass(50);
    let shown = house.inbox(1);
    assert_eq!(shown.len(), 1);
    assert_eq!(shown[0].child_named("SourceInfo").unwrap().text(), "499");
    assert_eq!(house.meeting.next_timeout(), None);
    house.pass(10_000);
    change(&mut house, 500);
    assert_eq!(house.inbox(1).len(), 1);
    // Nothing is due of who left.
    for n in 0..100 {
        change(&mut house, n);
    }
    assert!(house.meeting.next_timeout().is_some());
    house.input(Input::SessionEnded {
        session: session(2),
    });
    assert_eq!(house.meeting.next_timeout(), None);
}

#[test]
fn guests_are_let_in_after_a_host() {
    let mut house = House::new(Settings {
        hosts_only: true,
        ..settings()
    });
    house.join(1);
    let refused = house.inbox(1).remove(0);
    // Just what makes stock clients ask for the conference again.
    assert_eq!(condition(&refused), ("cancel".into(), "not-allowed".into()));
    let error = refused.child("error", ns::CLIENT).unwrap();
    assert_eq!(
        error.child_named("text").unwrap().text(),
        "Room creation is restricted"
    );
    assert_eq!(refused.attr("from"), Some(&*format!("{ROOM}/{}", nick(1))));
    assert_eq!(house.meeting.occupant_count(), 0);
    house.identities.insert(2, Arc::new(Identity::default()));
    house.join(2);
    house.join(1);
    assert_eq!(house.meeting.occupant_count(), 2);
    // Once open, it stays so.
    house.input(Input::SessionEnded {
        session: session(2),
    });
    house.join(3);
    assert_eq!(house.meeting.occupant_count(), 2);
}
