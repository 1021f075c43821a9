//! Who moderates, and what only moderators may do.

use super::*;
use althing_model::TokenStanding;

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

fn identity(standing: TokenStanding, features: Option<&[(&str, bool)]>) -> Arc<Identity> {
    let named = |(name, allowed): &(&str, bool)| ((*name).to_owned(), *allowed);
    Arc::new(Identity {
        user: BTreeMap::from([
            ("id".to_owned(), format!("{standing:?}")),
            ("name".to_owned(), "Ann & Co".to_owned()),
        ]),
        standing,
        features: features.map(|list| list.iter().map(named).collect()),
        ..Identity::default()
    })
}

fn house_of(moderators: Moderators) -> House {
    House::new(Settings {
        moderators,
        ..settings()
    })
}

fn affiliate(house: &mut House, from: u64, room: &str, items: &[(u64, &str)]) -> Element {
    let items: String = items
        .iter()
        .map(|(whom, affiliation)| {
            let jid = sender(*whom).jid.bare();
            format!(r#"<item affiliation="{affiliation}" jid="{jid}"/>"#)
        })
        .collect();
    admin(house, from, room, &items)
}

/// Sends items; the answer. What else is heard stays in the inboxes.
fn admin(house: &mut House, from: u64, room: &str, items: &str) -> Element {
    house.stanza(
        from,
        &format!(r#"<iq type="set" id="a" to="{room}"><query xmlns="http://jabber.org/protocol/muc#admin">{items}</query></iq>"#),
    );
    let inbox = house.inboxes.entry(from).or_default();
    let answer = inbox.iter().position(|e| e.name() == "iq").unwrap();
    inbox.remove(answer)
}

fn occupant(house: &House, number: u64) -> (crate::Affiliation, Role) {
    let occupant = &house.meeting.main.occupants[&*nick(number)];
    (occupant.affiliation, occupant.role)
}

fn roles(house: &House, numbers: &[u64]) -> String {
    let letter = |number: &u64| match occupant(house, *number).1 {
        Role::Moderator => 'm',
        Role::Participant => 'p',
        Role::Visitor => 'v',
    };
    numbers.iter().map(letter).collect()
}

fn leave(house: &mut House, number: u64, room: &str, status: &str) {
    house.stanza(
        number,
        &format!(
            r#"<presence type="unavailable" to="{room}/{}"><status>{status}</status></presence>"#,
            nick(number)
        ),
    );
}

/// A breakout made by somebody: its address.
fn breakout(house: &mut House, by: u64) -> String {
    house.stanza(
        by,
        r#"<message to="breakout.meet.jitsi"><breakout_rooms type="features/breakout-rooms/add" subject="B"/></message>"#,
    );
    let made = house.others.iter().rev().find_map(|output| match output {
        Output::BreakoutMade { id } => Some(id.clone()),
        _ => None,
    });
    format!("{}@breakout.meet.jitsi", made.unwrap())
}

/// What the last presence of somebody's own told it that it may do.
fn permissions(heard: &[Element]) -> Option<BTreeMap<String, bool>> {
    let own = heard
        .iter()
        .rev()
        .find(|e| e.name() == "presence" && codes(e).contains(&"110"))
        .unwrap();
    let told = own.child("permissions", ns::JITMEET)?;
    let entry = |p: &Element| {
        let allowed = p.attr("val").unwrap() == "true";
        (p.attr("name").unwrap().to_owned(), allowed)
    };
    Some(told.children().map(entry).collect())
}

#[test]
fn policy_and_token_say_who_moderates() {
    use TokenStanding::{Member, Owner, Unsaid};
    // Who comes second, after somebody who moderates by the policy or not at all.
    let cases = [
        (Moderators::First, None, "none", 'p'),
        (Moderators::First, Some(Unsaid), "member", 'p'),
        (Moderators::First, Some(Owner), "owner", 'm'),
        (Moderators::First, Some(Member), "member", 'p'),
        (Moderators::Authenticated, None, "none", 'p'),
        (Moderators::Authenticated, Some(Unsaid), "owner", 'm'),
        (Moderators::Authenticated, Some(Owner), "owner", 'm'),
        (Moderators::Authenticated, Some(Member), "member", 'p'),
        (Moderators::Everyone, None, "owner", 'm'),
        (Moderators::Everyone, Some(Unsaid), "owner", 'm'),
        (Moderators::Everyone, Some(Owner), "owner", 'm'),
        (Moderators::Everyone, Some(Member), "member", 'p'),
    ];
    for (policy, token, affiliation, role) in cases {
        let mut house = house_of(policy);
        house.join(1);
        let first = if policy == Moderators::Authenticated {
            'p'
        } else {
            'm'
        };
        assert_eq!(roles(&house, &[1]), first.to_string());
        if let Some(token) = token {
            house.identities.insert(2, identity(token, None));
        }
        house.join(2);
        assert_eq!(
            roles(&house, &[2]),
            role.to_string(),
            "{policy:?} {token:?}"
        );
        let own = house.inbox(2);
        let own = own
            .iter()
            .find(|e| e.attr("from").unwrap().ends_with(&nick(2)))
            .unwrap();
        assert_eq!(
            item(own).attr("affiliation"),
            Some(affiliation),
            "{policy:?} {token:?}"
        );
    }
}

#[test]
fn elections_pass_over_those_whose_token_says_no() {
    let mut house = house_of(Moderators::First);
    house
        .identities
        .insert(1, identity(TokenStanding::Member, None));
    house.join(1);
    assert_eq!(roles(&house, &[1]), "p");
    house.join(2);
    house.join(3);
    assert_eq!(roles(&house, &[1, 2, 3]), "pmp");
    leave(&mut house, 2, ROOM, "bye");
    assert_eq!(roles(&house, &[1, 3]), "pm");
    leave(&mut house, 3, ROOM, "bye");
    assert_eq!(roles(&house, &[1]), "p");
}

#[test]
fn a_moderator_grants_and_revokes_and_all_are_told() {
    let mut house = house_of(Moderators::First);
    for number in 1..=3 {
        house.join(number);
    }
    house.quiet();
    let answer = affiliate(&mut house, 1, ROOM, &[(2, "owner")]);
    assert_eq!(answer.attr("type"), Some("result"));
    assert_eq!(roles(&house, &[1, 2, 3]), "mmp");
    let heard = house.inbox(2);
    assert_eq!(codes(&heard[0]), ["110"]);
    assert_eq!(item(&heard[0]).attr("affiliation"), Some("owner"));
    assert!(permissions(&heard).unwrap()["recording"]);
    assert_eq!(item(&house.inbox(3)[0]).attr("role"), Some("moderator"));
    // The one who was granted it takes it from who granted it; and gives it up.
    affiliate(&mut house, 2, ROOM, &[(1, "none")]);
    assert_eq!(roles(&house, &[1, 2, 3]), "pmp");
    house.quiet();
    affiliate(&mut house, 2, ROOM, &[(3, "owner"), (2, "member")]);
    assert_eq!(roles(&house, &[1, 2, 3]), "ppm");
    assert!(permissions(&house.inbox(2)).is_none());
    assert!(house.denied().is_empty());
    assert_eq!(occupant(&house, 2).0, crate::Affiliation::Member);
    let role_changes = house.events.iter();
    let role_changes = role_changes.filter(|e| matches!(e, RoomEvent::RoleChanged { .. }));
    assert_eq!(role_changes.count(), 2);
}

#[test]
fn standings_are_kept_for_who_comes_again() {
    let mut house = house_of(Moderators::Authenticated);
    house
        .identities
        .insert(1, identity(TokenStanding::Owner, None));
    house
        .identities
        .insert(4, identity(TokenStanding::Unsaid, None));
    for number in [1, 2, 3, 4] {
        house.join(number);
    }
    assert_eq!(roles(&house, &[1, 2, 3, 4]), "mppm");
    affiliate(
        &mut house,
        1,
        ROOM,
        &[(2, "owner"), (3, "member"), (4, "none")],
    );
    for number in [2, 3, 4] {
        leave(&mut house, number, ROOM, "bye");
    }
    // The same token in another session is the same person.
    let token = house.identities.remove(&4).unwrap();
    house.identities.insert(5, token);
    for number in [2, 3, 5] {
        house.join(number);
    }
    assert_eq!(roles(&house, &[1, 2, 3, 5]), "mmpp");
    assert_eq!(occupant(&house, 3).0, crate::Affiliation::Member);
    assert_eq!(occupant(&house, 5).0, crate::Affiliation::None);
}

#[test]
fn members_may_be_named_before_they_come_and_owners_may_not() {
    let mut house = house_of(Moderators::First);
    house.join(1);
    affiliate(
        &mut house,
        1,
        ROOM,
        &[(2, "member"), (3, "owner"), (4, "none")],
    );
    for number in [2, 3, 4] {
        house.join(number);
    }
    assert_eq!(occupant(&house, 2).0, crate::Affiliation::Member);
    assert_eq!(roles(&house, &[2, 3, 4]), "ppp");
}

#[test]
fn who_may_not_changes_nothing() {
    let mut house = house_of(Moderators::First);
    for number in 1..=3 {
        house.join(number);
    }
    house.quiet();
    let before = serde_json::to_string(&house.meeting.snapshot(house.now)).unwrap();
    let jid = |number| sender(number).jid.bare().to_string();
    let kick = format!(r#"<item nick="{}" role="none"/>"#, nick(1));
    let grant = format!(r#"<item affiliation="owner" jid="{}"/>"#, jid(2));
    let revoke = format!(r#"<item affiliation="none" jid="{}"/>"#, jid(1));
    let member = format!(r#"<item affiliation="member" jid="{}"/>"#, jid(3));
    let focus = r#"<item nick="focus" role="none"/>"#;
    let focus_jid = r#"<item affiliation="none" jid="focus@auth.meet.jitsi"/>"#;
    let nobody = r#"<item nick="nobody" role="none"/>"#;
    let outcast = format!(r#"<item affiliation="outcast" jid="{}"/>"#, jid(3));
    let full = format!(r#"<item affiliation="owner" jid="{}"/>"#, sender(3).jid);
    let both = format!(
        r#"<item affiliation="owner" role="none" jid="{}"/>"#,
        jid(3)
    );
    let hidden = format!("{member}{focus}");
    let cases: &[(u64, &str, &str, Option<Action>)] = &[
        (2, &kick, "auth/forbidden", Some(Action::Kick)),
        (2, &grant, "auth/forbidden", Some(Action::Grant)),
        (2, &revoke, "auth/forbidden", Some(Action::Revoke)),
        (2, &member, "auth/forbidden", Some(Action::Revoke)),
        (2, focus, "auth/forbidden", Some(Action::Kick)),
        (2, "", "auth/forbidden", Some(Action::Grant)),
        (9, &kick, "auth/forbidden", Some(Action::Kick)),
        (9, &grant, "auth/forbidden", Some(Action::Grant)),
        (1, focus, "cancel/not-allowed", Some(Action::Kick)),
        (1, focus_jid, "cancel/not-allowed", Some(Action::Revoke)),
        (1, &hidden, "cancel/not-allowed", Some(Action::Kick)),
        (1, nobody, "cancel/item-not-found", None),
        (1, &outcast, "cancel/feature-not-implemented", None),
        (1, &full, "modify/jid-malformed", None),
        (1, &both, "modify/bad-request", None),
        (1, "", "modify/bad-request", None),
    ];
    for (who, items, expected, denied) in cases {
        let answer = admin(&mut house, *who, ROOM, items);
        let (kind, condition) = condition(&answer);
        assert_eq!(format!("{kind}/{condition}"), *expected, "{who} {items}");
        assert_eq!(house.denied(), Vec::from_iter(*denied), "{who} {items}");
        assert!(house.inboxes.values().all(Vec::is_empty), "{who} {items}");
        let after = serde_json::to_string(&house.meeting.snapshot(house.now)).unwrap();
        assert_eq!(after, before, "{who} {items}");
    }
}

#[test]
fn where_everybody_moderates_nobody_is_demoted() {
    let mut house = house_of(Moderators::Everyone);
    house.join(1);
    house.join(2);
    house.quiet();
    for items in [
        &[(2, "none")][..],
        &[(2, "member")],
        &[(2, "outcast")],
        &[(1, "owner"), (2, "none")],
    ] {
        let answer = affiliate(&mut house, 1, ROOM, items);
        assert_eq!(condition(&answer), ("auth".into(), "forbidden".into()));
        assert_eq!(house.denied(), [Action::Revoke]);
        assert_eq!(roles(&house, &[1, 2]), "mm");
    }
    let answer = affiliate(&mut house, 1, ROOM, &[(2, "owner")]);
    assert_eq!(answer.attr("type"), Some("result"));
}

#[test]
fn roles_follow_people_into_breakouts() {
    let mut house = house_of(Moderators::First);
    for number in 1..=4 {
        house.join(number);
    }
    let group = breakout(&mut house, 1);
    for number in [2, 3] {
        leave(&mut house, number, ROOM, "switch_room");
        house.join_as(number, &group, &nick(number));
    }
    let role = |house: &House, number: u64| {
        let places = house.meeting.places();
        let mut rooms = places.iter().filter_map(|place| house.meeting.room(place));
        rooms
            .find_map(|room| room.occupants.get(&*nick(number)))
            .map(|occupant| occupant.role)
    };
    assert_eq!(role(&house, 2), Some(Role::Participant));
    house.quiet();
    // Given in the main room to somebody in a breakout, who is told there.
    affiliate(&mut house, 1, ROOM, &[(2, "owner")]);
    assert_eq!(role(&house, 2), Some(Role::Moderator));
    let own = house.inbox(2).remove(0);
    assert_eq!(own.attr("from"), Some(&*format!("{group}/{}", nick(2))));
    assert_eq!(codes(&own), ["110"]);
    // And the other way round.
    affiliate(&mut house, 2, &group, &[(4, "owner"), (1, "none")]);
    assert_eq!(roles(&house, &[1, 4]), "pm");
    // It comes back as what it is.
    leave(&mut house, 2, &group, "switch_room");
    house.join(2);
    assert_eq!(roles(&house, &[1, 2, 4]), "pmm");
    // Who moderates the main room removes from breakouts; who does not, does not.
    house.quiet();
    let kick = format!(r#"<item nick="{}" role="none"/>"#, nick(3));
    let refused = admin(&mut house, 1, &group, &kick);
    assert_eq!(condition(&refused), ("auth".into(), "forbidden".into()));
    assert_eq!(house.denied(), [Action::Kick]);
    assert!(house.inbox(3).is_empty());
    let answer = admin(&mut house, 2, &group, &kick);
    assert_eq!(answer.attr("type"), Some("result"));
    let victim = house.inbox(3).remove(0);
    assert_eq!(codes(&victim), ["307", "110"]);
    assert_eq!(role(&house, 3), None);
}

#[test]
fn a_moderator_on_the_way_to_a_breakout_stays_the_only_one() {
    let mut house = house_of(Moderators::First);
    for number in 1..=3 {
        house.join(number);
    }
    let group = breakout(&mut house, 1);
    leave(&mut house, 1, ROOM, "switch_room");
    assert_eq!(roles(&house, &[2, 3]), "pp");
    house.join(4);
    house.join_as(1, &group, &nick(1));
    house.pass(10_000);
    assert_eq!(roles(&house, &[2, 3, 4]), "ppp");
    // Gone from the breakout for good, somebody else is elected in the main room.
    house.input(Input::SessionEnded {
        session: session(1),
    });
    assert_eq!(roles(&house, &[2, 3, 4]), "mpp");
    // One who says so and does not arrive is not waited for.
    leave(&mut house, 2, ROOM, "switch_room");
    assert_eq!(roles(&house, &[3, 4]), "pp");
    house.pass(4_999);
    assert_eq!(roles(&house, &[3, 4]), "pp");
    house.pass(1);
    assert_eq!(roles(&house, &[3, 4]), "mp");
}

#[test]
fn who_comes_back_by_a_new_session_passes_nothing_on() {
    let mut house = house_of(Moderators::First);
    house.join(1);
    house.join(2);
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
    assert_eq!(roles(&house, &[1, 2]), "mp");
}

#[test]
fn who_gives_moderation_up_is_not_elected_while_there_are_others() {
    let mut house = house_of(Moderators::First);
    house.join(1);
    affiliate(&mut house, 1, ROOM, &[(1, "none")]);
    assert_eq!(roles(&house, &[1]), "p");
    house.join(2);
    assert_eq!(roles(&house, &[1, 2]), "pm");
    affiliate(&mut house, 2, ROOM, &[(2, "none")]);
    assert_eq!(roles(&house, &[1, 2]), "pp");
    house.join(3);
    leave(&mut house, 3, ROOM, "bye");
    // Nobody else is there: the one who came first.
    assert_eq!(roles(&house, &[1, 2]), "mp");
}

#[test]
fn permissions_are_told_to_whom_the_token_says_nothing() {
    let mut house = house_of(Moderators::Authenticated);
    house
        .identities
        .insert(1, identity(TokenStanding::Owner, None));
    let narrow = identity(TokenStanding::Owner, Some(&[("recording", false)]));
    let narrow = Arc::new(Identity {
        user: BTreeMap::from([("id".to_owned(), "narrow".to_owned())]),
        ..(*narrow).clone()
    });
    house.identities.insert(2, narrow);
    let member = identity(TokenStanding::Member, Some(&[("flip", true)]));
    house.identities.insert(3, member);
    for number in 1..=4 {
        house.join(number);
    }
    let names = permissions(&house.inbox(1)).unwrap();
    for name in [
        "recording",
        "livestreaming",
        "send-groupchat",
        "send-private-message",
    ] {
        assert!(names[name]);
    }
    assert!(!names.contains_key("file-upload"));
    for number in [2, 3, 4] {
        assert_eq!(permissions(&house.inbox(number)), None, "{number}");
    }
    // The promoted inherit what their promoter may do, until they are demoted.
    affiliate(&mut house, 2, ROOM, &[(4, "owner"), (3, "owner")]);
    let narrow = BTreeMap::from([("recording".to_owned(), false)]);
    assert_eq!(permissions(&house.inbox(4)), Some(narrow.clone()));
    assert_eq!(permissions(&house.inbox(3)), Some(narrow));
    let may = |house: &House, number: u64, feature: &str| {
        house.meeting.main.occupants[&*nick(number)].is_allowed(feature)
    };
    assert!(!may(&house, 4, "recording") && !may(&house, 2, "recording"));
    assert!(may(&house, 1, "recording"));
    // A moderator gains nothing by being appointed again.
    affiliate(&mut house, 1, ROOM, &[(4, "owner")]);
    assert!(!may(&house, 4, "recording"));
    affiliate(&mut house, 1, ROOM, &[(3, "none"), (4, "none")]);
    let of_token = BTreeMap::from([("flip".to_owned(), true)]);
    assert_eq!(permissions(&house.inbox(3)), Some(of_token));
    assert_eq!(permissions(&house.inbox(4)), None);
    affiliate(&mut house, 1, ROOM, &[(4, "owner")]);
    assert!(may(&house, 4, "recording"));
}

#[test]
fn recording_needs_the_feature_and_dialling_too() {
    let jibri =
        r#"<jibri xmlns="http://jitsi.org/protocol/jibri" action="start" recording_mode="file"/>"#;
    let stream = r#"<jibri xmlns="http://jitsi.org/protocol/jibri" action="start" recording_mode="stream" streamid="k"/>"#;
    let dial = r#"<dial xmlns="urn:xmpp:rayo:1" to="+49" from="f"/>"#;
    let mut house = house_of(Moderators::Authenticated);
    house
        .identities
        .insert(1, identity(TokenStanding::Owner, None));
    let streams = identity(TokenStanding::Owner, Some(&[("livestreaming", true)]));
    let streams = Arc::new(Identity {
        user: BTreeMap::from([("id".to_owned(), "streams".to_owned())]),
        ..(*streams).clone()
    });
    house.identities.insert(2, streams);
    for number in 1..=3 {
        house.join(number);
    }
    // Those who do not moderate are refused by the focus, which is asked.
    let cases: &[(u64, &str, Option<Action>)] = &[
        (1, jibri, None),
        (1, stream, None),
        (1, dial, None),
        (2, jibri, Some(Action::Record)),
        (2, stream, None),
        (2, dial, Some(Action::Dial)),
        (3, jibri, None),
        (3, stream, None),
        (3, dial, Some(Action::Dial)),
    ];
    for (who, payload, denied) in cases {
        house.quiet();
        house.to_focus.clear();
        house.stanza(
            *who,
            &format!(r#"<iq type="set" id="j" to="{ROOM}/focus">{payload}</iq>"#),
        );
        assert_eq!(house.denied(), Vec::from_iter(*denied), "{who} {payload}");
        assert_eq!(house.to_focus.len(), usize::from(denied.is_none()));
        if denied.is_some() {
            let answer = house.inbox(*who).remove(0);
            assert_eq!(condition(&answer), ("auth".into(), "forbidden".into()));
        }
    }
}

#[test]
fn nobody_outside_the_room_has_anybody_muted() {
    let mut house = house_of(Moderators::First);
    house.join(1);
    house.quiet();
    let mute = format!(
        r#"<iq type="set" id="m" to="{ROOM}/focus"><mute xmlns="http://jitsi.org/jitmeet/audio" jid="{ROOM}/{}">true</mute></iq>"#,
        nick(1)
    );
    house.stanza(9, &mute);
    assert_eq!(
        condition(&house.inbox(9)[0]),
        ("cancel".into(), "item-not-found".into())
    );
    assert_eq!(house.denied(), [Action::Mute]);
    assert!(house.to_focus.is_empty());
}
