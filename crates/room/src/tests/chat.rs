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

fn say(house: &mut House, from: u64, id: &str, payload: &str) {
    house.stanza(
        from,
        &format!(r#"<message type="groupchat" to="{ROOM}" id="{id}">{payload}</message>"#),
    );
}

fn whisper(house: &mut House, from: u64, to: u64, payload: &str) {
    house.stanza(
        from,
        &format!(
            r#"<message type="chat" to="{ROOM}/{}" id="w">{payload}</message>"#,
            nick(to)
        ),
    );
}

/// What somebody is told on coming in of what was said: bodies, and reactions.
fn replayed(house: &mut House, number: u64) -> Vec<String> {
    house.join(number);
    let heard = house.inbox(number);
    let said = heard
        .iter()
        .filter(|e| e.child("delay", ns::DELAY).is_some());
    said.map(|e| match e.child("reactions", ns::REACTIONS) {
        Some(reactions) => {
            let reaction = reactions.children().next().unwrap();
            format!("{}: {}", reactions.attr("id").unwrap(), reaction.text())
        }
        None => e.child_named("body").unwrap().text(),
    })
    .collect()
}

fn three() -> House {
    let mut house = House::new(settings());
    for number in 1..=3 {
        house.join(number);
    }
    house.quiet();
    house
}

fn refusal(house: &mut House, number: u64) -> String {
    let heard = house.inbox(number);
    assert_eq!(heard.len(), 1, "{heard:?}");
    let text = heard[0]
        .child("error", ns::CLIENT)
        .unwrap()
        .child_named("text");
    assert!(text.is_some_and(|text| !text.text().is_empty()));
    let (kind, condition) = condition(&heard[0]);
    format!("{kind}/{condition}")
}

#[test]
fn authors_edit_and_remove_and_others_do_not() {
    let mut house = three();
    say(&mut house, 2, "m1", "<body>frist</body>");
    say(&mut house, 2, "m2", "<body>second</body>");
    let edit = |id: &str| {
        format!(r#"<replace xmlns="urn:xmpp:message-correct:0" id="{id}"/><body>first</body>"#)
    };
    let retract = |id: &str| {
        format!(r#"<retract xmlns="urn:xmpp:message-retract:1" id="{id}"/><body>removed</body>"#)
    };
    house.quiet();
    for payload in [edit("m1"), retract("m1")] {
        // Not even a moderator in the author's name.
        for who in [1, 3] {
            say(&mut house, who, "x", &payload);
            assert_eq!(refusal(&mut house, who), "cancel/not-allowed");
            assert_eq!(house.denied(), [Action::Retract]);
            assert!(house.inboxes.values().all(Vec::is_empty));
        }
    }
    say(&mut house, 3, "x", &retract("unheard-of"));
    assert_eq!(refusal(&mut house, 3), "cancel/item-not-found");
    // An id used again by somebody else is still that of who used it first.
    say(&mut house, 3, "m1", "<body>mine?</body>");
    house.quiet();
    say(&mut house, 3, "x", &retract("m1"));
    assert_eq!(refusal(&mut house, 3), "cancel/not-allowed");
    // Nor does a second reference go along with an own one.
    say(&mut house, 3, "own", "<body>own</body>");
    house.quiet();
    say(
        &mut house,
        3,
        "x",
        &format!("{}{}", retract("own"), edit("m2")),
    );
    let heard = house.inbox(1).remove(0);
    assert!(heard.child("retract", ns::RETRACT).is_some());
    assert!(heard.child("replace", ns::CORRECT).is_none());
    assert_eq!(replayed(&mut house, 4), ["frist", "second", "mine?"]);
    house.quiet();
    say(&mut house, 2, "e1", &edit("m1"));
    assert!(house.inbox(1)[0].child("replace", ns::CORRECT).is_some());
    assert_eq!(replayed(&mut house, 5), ["first", "second", "mine?"]);
    say(&mut house, 2, "d1", &retract("e1"));
    assert_eq!(replayed(&mut house, 6), ["second", "mine?"]);
}

#[test]
fn moderators_remove_what_others_said_in_the_name_of_the_room() {
    let mut house = three();
    say(&mut house, 2, "m1", "<body>spam</body>");
    house.quiet();
    let remove = |id: &str| {
        format!(
            r#"<apply-to xmlns="urn:xmpp:fasten:0" id="{id}"><moderated xmlns="urn:xmpp:message-moderate:1" by="{ROOM}/nobody"><retract xmlns="urn:xmpp:message-retract:1"/><reason>spam</reason></moderated></apply-to>"#
        )
    };
    for who in [2, 3] {
        say(&mut house, who, "o1", &remove("m1"));
        assert_eq!(refusal(&mut house, who), "auth/forbidden");
        assert_eq!(house.denied(), [Action::Retract]);
        assert!(house.inboxes.values().all(Vec::is_empty));
    }
    say(&mut house, 1, "o1", &remove("m9"));
    assert_eq!(refusal(&mut house, 1), "cancel/item-not-found");
    say(&mut house, 1, "o1", &remove("m1"));
    for number in 1..=3 {
        let heard = house.inbox(number);
        assert_eq!(heard.len(), 1);
        assert_eq!(heard[0].attr("from"), Some(ROOM));
        assert_eq!(heard[0].attr("type"), Some("groupchat"));
        let to = heard[0].child("apply-to", ns::FASTEN).unwrap();
        assert_eq!(to.attr("id"), Some("m1"));
        let moderated = to.child("moderated", ns::MODERATE).unwrap();
        assert_eq!(moderated.attr("by"), Some(&*format!("{ROOM}/00000001")));
        assert!(moderated.child("retract", ns::RETRACT).is_some());
        assert_eq!(
            moderated.child("reason", ns::MODERATE).unwrap().text(),
            "spam"
        );
        assert!(heard[0].child("no-store", ns::HINTS).is_some());
    }
    assert_eq!(replayed(&mut house, 4), [""; 0]);
}

#[test]
fn reactions_and_replies_reach_newcomers_as_they_are_at_last() {
    let mut house = three();
    say(&mut house, 2, "m1", "<body>hi</body>");
    let react = |with: &str| {
        format!(
            r#"<reactions xmlns="urn:xmpp:reactions:0" id="m1">{with}</reactions><store xmlns="urn:xmpp:hints"/>"#
        )
    };
    say(&mut house, 1, "r1", &react("<reaction>A</reaction>"));
    say(&mut house, 3, "r2", &react("<reaction>B</reaction>"));
    say(&mut house, 1, "r3", &react("<reaction>C</reaction>"));
    say(&mut house, 3, "r4", &react(""));
    say(
        &mut house,
        3,
        "m2",
        r#"<reply xmlns="urn:xmpp:reply:0" to="m1"/><body>ho</body>"#,
    );
    house.quiet();
    assert_eq!(replayed(&mut house, 4), ["hi", "m1: C", "ho"]);
    // Reactions take no message's place.
    for n in 0..100 {
        say(
            &mut house,
            1,
            &format!("s{n}"),
            &react(&format!("<reaction>{n}</reaction>")),
        );
    }
    assert_eq!(replayed(&mut house, 5), ["hi", "m1: 99", "ho"]);
}

#[test]
fn who_is_gone_keeps_its_name_in_the_history() {
    let mut house = three();
    house.identities.insert(
        4,
        Arc::new(Identity {
            user: BTreeMap::from([("name".to_owned(), "Ann".to_owned())]),
            ..Identity::default()
        }),
    );
    house.join(4);
    say(&mut house, 3, "a", "<body>guest</body>");
    say(&mut house, 4, "b", "<body>known</body>");
    for number in [3, 4] {
        house.input(Input::SessionEnded {
            session: session(number),
        });
    }
    house.join(5);
    let heard = house.inbox(5);
    let names: Vec<_> = heard
        .iter()
        .filter_map(|e| e.child_named("display-name"))
        .map(|name| (name.attr("source").unwrap(), name.text()))
        .collect();
    assert_eq!(
        names,
        [("guest", "Ada".to_owned()), ("token", "Ada".to_owned())]
    );
}

#[test]
fn a_restricted_chat_is_for_moderators_and_those_it_was_given_to() {
    let mut house = three();
    let features = |allowed| {
        Arc::new(Identity {
            features: Some(BTreeMap::from([
                ("send-groupchat".to_owned(), allowed),
                ("send-private-message".to_owned(), allowed),
            ])),
            ..Identity::default()
        })
    };
    house.identities.insert(4, features(true));
    house.identities.insert(5, features(false));
    house.join(4);
    house.join(5);
    house.quiet();
    let body = "<body>hi</body>";
    let reaction =
        r#"<reactions xmlns="urn:xmpp:reactions:0" id="m1"><reaction>A</reaction></reactions>"#;
    let restrict = |house: &mut House, on: bool| {
        house.stanza(
            1,
            &format!(r#"<message to="metadata.meet.jitsi"><room_metadata xmlns="http://jitsi.org/jitmeet" room="{ROOM}">{{"key":"permissions","data":{{"groupChatRestricted":{on}}}}}</room_metadata></message>"#),
        );
    };
    for (restricted, expected) in [
        (false, [true, true, true, true, false]),
        (true, [true, false, false, true, false]),
        (false, [true, true, true, true, false]),
    ] {
        restrict(&mut house, restricted);
        for payload in [body, reaction] {
            for number in 1..=5 {
                house.quiet();
                say(&mut house, number, "m", payload);
                let own = house.inbox(number);
                let refused = own[0].attr("type") == Some("error");
                if refused {
                    assert_eq!(condition(&own[0]).1, "not-allowed");
                    assert_eq!(house.denied(), [Action::Chat]);
                    assert!(house.inboxes.values().all(Vec::is_empty));
                }
                let index = usize::try_from(number).unwrap() - 1;
                assert_eq!(!refused, expected[index], "{number} {restricted} {payload}");
            }
        }
    }
    house.quiet();
    whisper(&mut house, 5, 2, body);
    assert_eq!(refusal(&mut house, 5), "cancel/not-allowed");
    assert_eq!(house.denied(), [Action::Chat]);
    assert!(house.inbox(2).is_empty());
    // What programs tell each other is not chat.
    whisper(
        &mut house,
        5,
        2,
        r#"<json-message xmlns="http://jitsi.org/jitmeet">{"type":"olm"}</json-message>"#,
    );
    assert_eq!(house.inbox(2).len(), 1);
}

#[test]
fn nobody_speaks_for_components_or_the_server() {
    let mut house = three();
    let json = |text: &str| {
        let text = text.replace('&', "&amp;").replace('<', "&lt;");
        format!(r#"<json-message xmlns="http://jitsi.org/jitmeet">{text}</json-message>"#)
    };
    for text in [
        r#"{"type":"av_moderation","enabled":true}"#,
        r#"{"type":"breakout_rooms"}"#,
        r#"{"type":"room_metadata","metadata":{}}"#,
        r#"{"type":"polls"}"#,
        r#"{"type":"speakerstats"}"#,
        r#"{"type":"file-sharing"}"#,
        r#"{"type":"visitors"}"#,
        r#"{"type":"lobby-notify","event":"LOBBY-ENABLED"}"#,
        r#"{"type":"time_restricted"}"#,
        r#"{"type":"system_chat_message"}"#,
        // As clients read it.
        r#"{&quot;type&quot;:&quot;polls&quot;}"#,
        r#"{"type":"a","type":"polls"}"#,
        r#"{"\u0074ype":"polls"}"#,
        r#"{"type":7}"#,
        r#"["polls"]"#,
        "polls",
        "",
    ] {
        say(&mut house, 1, "j", &json(text));
        whisper(&mut house, 1, 2, &json(text));
        assert!(house.inboxes.values().all(Vec::is_empty), "{text}");
    }
    say(
        &mut house,
        3,
        "j",
        &json(r#"{"type":"endpoint-text","text":"a & b"}"#),
    );
    let heard = house.inbox(2).remove(0);
    assert_eq!(
        heard.child("json-message", ns::JITMEET).unwrap().text(),
        r#"{"type":"endpoint-text","text":"a & b"}"#
    );
    // Any subject is the room's new one to clients, and an invitation comes from the room alone.
    house.quiet();
    for payload in [
        "<body>hi</body><subject>mine</subject>",
        r#"<body>hi</body><subject xmlns="other">mine</subject>"#,
        r#"<body>hi</body><x xmlns="http://jabber.org/protocol/muc#user"><invite from="a"/></x>"#,
        r#"<body>hi</body><delay xmlns="urn:xmpp:delay" stamp="2000-01-01T00:00:00Z"/>"#,
        r#"<body>hi</body><display-name xmlns="http://jitsi.org/protocol/display-name">Ann</display-name>"#,
    ] {
        say(&mut house, 3, "s", payload);
        whisper(&mut house, 3, 2, payload);
        for heard in house.inbox(2) {
            let names: Vec<_> = heard.children().map(Element::name).collect();
            let private = heard.attr("type") == Some("chat");
            assert_eq!(
                names,
                if private {
                    vec!["body", "x"]
                } else {
                    vec!["body"]
                },
                "{payload}"
            );
        }
    }
    house.join(4);
    let subject = house.inbox(4).pop().unwrap();
    assert_eq!(subject.child_named("subject").unwrap().text(), "");
}

#[test]
fn key_exchange_is_relayed_untouched_and_in_order() {
    let mut house = three();
    let keys: Vec<String> = (0..50)
        .map(|n| format!(r#"{{"type":"olm","olm":{{"type":"key-info","data":{{"ciphertext":"{n} é <&> \\u0026 \"", "uuid":{n}}}}}}}"#))
        .collect();
    for key in &keys {
        let text = key.replace('&', "&amp;").replace('<', "&lt;");
        whisper(
            &mut house,
            2,
            3,
            &format!(r#"<json-message xmlns="http://jitsi.org/jitmeet">{text}</json-message>"#),
        );
    }
    let heard: Vec<String> = house
        .inbox(3)
        .iter()
        .map(|e| e.child("json-message", ns::JITMEET).unwrap().text())
        .collect();
    assert_eq!(heard, keys);
    assert!(house.inbox(1).is_empty());
    house.join(4);
    assert!(
        !house
            .inbox(4)
            .iter()
            .any(|e| e.child_named("json-message").is_some())
    );
}

#[test]
fn private_messages_to_the_focus_go_nowhere() {
    let mut house = three();
    for kind in ["chat", "groupchat"] {
        house.stanza(
            2,
            &format!(r#"<message type="{kind}" to="{ROOM}/focus"><body>psst</body></message>"#),
        );
    }
    assert!(house.inboxes.values().all(Vec::is_empty));
    assert!(house.to_focus.is_empty());
}

#[test]
fn very_long_messages_are_refused_to_all_and_to_one() {
    let mut house = three();
    let fits = format!("<body>{}</body>", "x".repeat(60_000));
    let long = format!("<body>{}</body>", "x".repeat(66_000));
    // Short as it comes in, long as it would go out.
    let grows = format!("<body>{}</body>", "&gt;".repeat(20_000));
    for payload in [&long, &grows] {
        say(&mut house, 2, "m", payload);
        assert_eq!(refusal(&mut house, 2), "modify/policy-violation");
        whisper(&mut house, 2, 3, payload);
        assert_eq!(refusal(&mut house, 2), "modify/policy-violation");
    }
    let id = "x".repeat(300);
    say(&mut house, 2, &id, "<body>hi</body>");
    assert_eq!(refusal(&mut house, 2), "modify/policy-violation");
    assert!(house.inboxes.values().all(Vec::is_empty));
    say(&mut house, 2, "m", &fits);
    assert_eq!(house.inbox(3).len(), 1);
    // Newcomers are told no more of it than fits the history.
    for n in 0..10 {
        say(&mut house, 2, &format!("m{n}"), &fits);
    }
    house.join(4);
    let told: usize = house.inbox(4).iter().map(|e| e.to_xml().len()).sum();
    assert!(told < 110_000, "{told}");
}
