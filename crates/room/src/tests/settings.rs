//! The configuration form, the password, who is kept out, and what a room begins with.

use super::*;
use crate::StartMuted;
use althing_model::{RoomClaim, Secret, TokenStanding};
use std::time::Duration;

pub(super) fn form(fields: &[(&str, &str)]) -> String {
    let fields: String = fields
        .iter()
        .map(|(name, value)| {
            format!(r#"<field var="muc#roomconfig_{name}"><value>{value}</value></field>"#)
        })
        .collect();
    format!(
        r#"<iq type="set" id="o" to="{ROOM}"><query xmlns="http://jabber.org/protocol/muc#owner"><x xmlns="jabber:x:data" type="submit">{fields}</x></query></iq>"#
    )
}

pub(super) fn lock(house: &mut House, by: u64, password: &str) {
    house.stanza(
        by,
        &form(&[
            ("roomsecret", password),
            (
                "passwordprotectedroom",
                if password.is_empty() { "0" } else { "1" },
            ),
            ("whois", "anyone"),
        ]),
    );
}

fn join_with(house: &mut House, number: u64, password: &str) {
    let nick = nick(number);
    house.stanza(
        number,
        &format!(
            r#"<presence to="{ROOM}/{nick}"><x xmlns="http://jabber.org/protocol/muc"><password>{password}</password></x><nick xmlns="http://jabber.org/protocol/nick">Bob</nick></presence>"#
        ),
    );
}

pub(super) fn is_in(house: &House, number: u64) -> bool {
    house.meeting.main.by_session.contains_key(&session(number))
}

fn information(house: &mut House, asker: u64) -> String {
    house.inbox(asker);
    house.stanza(asker, &format!(r#"<iq type="get" id="d" to="{ROOM}"><query xmlns="http://jabber.org/protocol/disco#info"/></iq>"#));
    house.inbox(asker).remove(0).to_xml()
}

fn refusal(house: &mut House, number: u64) -> (String, String) {
    let heard = house.inbox(number);
    assert_eq!(heard.len(), 1, "{heard:?}");
    condition(&heard[0])
}

fn is(refusal: &(String, String), kind: &str, condition: &str) -> bool {
    (refusal.0.as_str(), refusal.1.as_str()) == (kind, condition)
}

#[test]
fn only_moderators_configure() {
    let mut house = House::new(settings());
    house.join(1);
    house.join(2);
    house.quiet();
    house.stanza(2, &form(&[("roomsecret", "x")]));
    assert!(is(&refusal(&mut house, 2), "auth", "forbidden"));
    assert_eq!(house.denied(), [Action::Configure]);
    assert!(house.inbox(1).is_empty() && house.events.is_empty());
    house.stanza(9, &form(&[("membersonly", "1")]));
    assert!(is(&refusal(&mut house, 9), "auth", "forbidden"));
    assert!(house.meeting.common.password.is_none() && !house.meeting.common.members_only);
    house.stanza(1, &form(&[("membersonly", "perhaps"), ("roomsecret", "x")]));
    assert!(is(&refusal(&mut house, 1), "modify", "bad-request"));
    house.stanza(1, &form(&[("roomsecret", &"x".repeat(257))]));
    assert!(is(&refusal(&mut house, 1), "modify", "bad-request"));
    assert!(house.meeting.common.password.is_none());
    house.stanza(1, &form(&[("whois", "moderators")]));
    let heard = house.inbox(1);
    assert_eq!(heard[0].attr("type"), Some("result"));
    assert_eq!(codes(&heard[1]), ["104"]);
}

#[test]
fn the_form_has_what_clients_look_for_and_never_the_password() {
    let mut house = House::new(settings());
    house.join(1);
    lock(&mut house, 1, "hunter2");
    house.quiet();
    house.stanza(1, &format!(r#"<iq type="get" id="o" to="{ROOM}"><query xmlns="http://jabber.org/protocol/muc#owner"/></iq>"#));
    let form = house.inbox(1).remove(0).to_xml();
    for field in [
        "muc#roomconfig_roomsecret",
        "muc#roomconfig_passwordprotectedroom",
        "muc#roomconfig_membersonly",
        "muc#roomconfig_whois",
        "muc#roominfo_meetingId",
    ] {
        assert!(form.contains(field), "{field} in {form}");
    }
    assert!(!form.contains("hunter2"), "{form}");
    let debug = format!("{:?} {:?}", house.meeting, sender(1));
    assert!(
        !debug.contains("hunter2") && !debug.contains("192.0.2"),
        "{debug}"
    );
}

#[test]
fn a_password_is_set_asked_and_taken_away() {
    let mut house = House::new(settings());
    house.join(1);
    house.join(2);
    house.quiet();
    assert_eq!(
        information(&mut house, 2).matches("muc_unsecured").count(),
        1
    );
    lock(&mut house, 1, "pw");
    for number in [1, 2] {
        let heard = house.inbox(number);
        assert_eq!(codes(heard.last().unwrap()), ["104"]);
    }
    assert_eq!(
        house.events,
        [RoomEvent::LockChanged {
            by: EndpointId::new(nick(1)).unwrap(),
            locked: true
        }]
    );
    let info = information(&mut house, 2);
    assert_eq!(info.matches("muc_passwordprotected").count(), 1, "{info}");
    assert!(!info.contains("muc_unsecured"));

    house.quiet();
    house.join(3);
    assert!(is(&refusal(&mut house, 3), "auth", "not-authorized"));
    join_with(&mut house, 3, "wrong");
    assert!(is(&refusal(&mut house, 3), "auth", "not-authorized"));
    assert!(!is_in(&house, 3) && house.inbox(1).is_empty());
    join_with(&mut house, 3, "pw");
    assert!(is_in(&house, 3));

    // Locked, and not a word of the password: it stays.
    house.stanza(
        1,
        &form(&[("passwordprotectedroom", "1"), ("membersonly", "false")]),
    );
    house.stanza(
        1,
        &form(&[("roomsecret", ""), ("passwordprotectedroom", "true")]),
    );
    house.join(4);
    assert!(!is_in(&house, 4));
    // Who was in comes back without it, from a breakout room for instance.
    house.stanza(
        2,
        &format!(r#"<presence type="unavailable" to="{ROOM}/{}"/>"#, nick(2)),
    );
    house.join(2);
    assert!(is_in(&house, 2));
    lock(&mut house, 1, "");
    house.join(4);
    assert!(is_in(&house, 4));
    assert!(information(&mut house, 4).contains("muc_unsecured"));
}

#[test]
fn a_host_is_not_asked_for_the_password() {
    let mut settings = settings();
    settings.preset.password = Some(Secret::new("pw"));
    let mut house = House::new(settings);
    let token = |standing| {
        Arc::new(Identity {
            standing,
            ..Identity::default()
        })
    };
    house.identities.insert(2, token(TokenStanding::Owner));
    house.identities.insert(3, token(TokenStanding::Member));
    for (number, comes_in) in [(1, false), (2, true), (3, false)] {
        house.join(number);
        assert_eq!(is_in(&house, number), comes_in, "{number}");
    }
    // Kicked is forgotten: the next time it has to say it again.
    join_with(&mut house, 1, "pw");
    assert!(is_in(&house, 1));
    house.stanza(2, &format!(r#"<iq type="set" id="k" to="{ROOM}"><query xmlns="http://jabber.org/protocol/muc#admin"><item nick="{}" role="none"/></query></iq>"#, nick(1)));
    house.join(1);
    assert!(!is_in(&house, 1));
}

/// Sessions from 100 on come from another network.
fn try_password(house: &mut House, number: u64, network: u8, password: &str) {
    let text = format!(
        r#"<presence xmlns="jabber:client" to="{ROOM}/{}"><x xmlns="http://jabber.org/protocol/muc"><password>{password}</password></x></presence>"#,
        nick(number)
    );
    house.input(Input::Stanza {
        sender: Sender {
            network: Network([192, 0, 2, network].into()),
            ..sender(number)
        },
        stanza: parse(&text, &Limits::default()).unwrap(),
    });
}

#[test]
fn too_many_wrong_passwords_are_not_looked_at_and_lock_nobody_else_out() {
    let mut house = House::new(settings());
    house.join(1);
    lock(&mut house, 1, "pw");
    for _ in 0..5 {
        try_password(&mut house, 2, 7, "guess");
        assert!(is(&refusal(&mut house, 2), "auth", "not-authorized"));
    }
    try_password(&mut house, 2, 7, "pw");
    let heard = house.inbox(2);
    assert_eq!(
        condition(&heard[0]),
        ("wait".into(), "resource-constraint".into())
    );
    assert!(heard[0].to_xml().contains("too many wrong passwords"));
    assert!(!is_in(&house, 2));
    // Another person in the same network, and one elsewhere.
    try_password(&mut house, 3, 7, "pw");
    assert!(is_in(&house, 3));
    // A network that tries by ever new sessions.
    for number in 10..45 {
        try_password(&mut house, number, 7, "guess");
        assert!(is(&refusal(&mut house, number), "auth", "not-authorized"));
    }
    try_password(&mut house, 50, 7, "pw");
    assert!(is(&refusal(&mut house, 50), "wait", "resource-constraint"));
    try_password(&mut house, 51, 8, "pw");
    assert!(is_in(&house, 51));
    // Members are not asked, whatever others in their network do.
    house.stanza(
        3,
        &format!(r#"<presence type="unavailable" to="{ROOM}/{}"/>"#, nick(3)),
    );
    house.inbox(3);
    house.join(3);
    assert!(is_in(&house, 3));
    // Time heals.
    house.now.monotonic += Duration::from_secs(60);
    try_password(&mut house, 2, 7, "pw");
    assert!(is_in(&house, 2));
}

#[test]
fn a_token_opens_its_rooms_only() {
    let claim = |rooms, tenant: Option<&str>| {
        Arc::new(Identity {
            rooms,
            tenant: tenant.map(str::to_owned),
            standing: TokenStanding::Owner,
            ..Identity::default()
        })
    };
    let named = |name: &str| RoomClaim::Named(name.into());
    for (identity, child) in [
        (claim(named("other"), None), Some("room-mismatch")),
        (
            claim(RoomClaim::Pattern("^other".into()), None),
            Some("room-name-does-not-match"),
        ),
        (
            claim(named("other"), Some("*")),
            Some("Room and token mismatched"),
        ),
        (
            claim(named("my room"), Some("other")),
            Some("Room and token mismatched"),
        ),
        (claim(named("my%20room"), Some("meet.jitsi")), None),
        (claim(RoomClaim::Pattern("^my".into()), None), None),
        (claim(RoomClaim::Any, None), None),
    ] {
        let mut house = House::new(settings());
        house.identities.insert(1, identity);
        house.join(1);
        assert_eq!(is_in(&house, 1), child.is_none(), "{child:?}");
        let heard = house.inbox(1);
        if let Some(child) = child {
            assert_eq!(
                condition(&heard[0]),
                ("cancel".into(), "not-allowed".into())
            );
            assert!(heard[0].to_xml().contains(child), "{}", heard[0].to_xml());
        }
    }
}

#[test]
fn a_room_may_be_closed_to_guests() {
    let mut settings = settings();
    settings.preset.no_guests = true;
    let mut house = House::new(settings);
    house.join(1);
    let refused = house.inbox(1).remove(0);
    assert_eq!(condition(&refused), ("cancel".into(), "not-allowed".into()));
    let error = refused.child("error", ns::CLIENT).unwrap();
    assert!(
        error
            .child("authentication-required", ns::JITMEET)
            .is_some()
    );
    house.identities.insert(2, Arc::new(Identity::default()));
    house.join(2);
    assert!(is_in(&house, 2));
}

#[test]
fn checks_come_in_order() {
    let mut settings = settings();
    settings.max_occupants = 2;
    let mut house = House::new(settings);
    house.join(1);
    lock(&mut house, 1, "pw");
    join_with(&mut house, 2, "pw");
    house.quiet();
    // A name that is no name before a full room, a full room before the password.
    house.join_as(3, ROOM, "a b");
    assert!(is(&refusal(&mut house, 3), "cancel", "not-allowed"));
    house.join(3);
    assert!(is(&refusal(&mut house, 3), "cancel", "service-unavailable"));
    // The same person comes in again although there is no room for another.
    house.join(1);
    assert!(is_in(&house, 1));
    house.stanza(
        2,
        &format!(r#"<presence type="unavailable" to="{ROOM}/{}"/>"#, nick(2)),
    );
    // The password before the nickname of another.
    house.join_as(3, ROOM, &nick(1));
    assert!(is(&refusal(&mut house, 3), "auth", "not-authorized"));
}

#[test]
fn a_room_begins_with_its_preset() {
    let mut settings = settings();
    settings.preset = Preset {
        password: None,
        lobby: false,
        subject: Some("Board".into()),
        start_muted: StartMuted {
            audio: true,
            video: false,
        },
        metadata: serde_json::from_str(
            r#"{"permissions":{"groupChatRestricted":true},"lobbyEnabled":true}"#,
        )
        .unwrap(),
        start_muted_above: None,
        no_guests: false,
        max_duration: Some(Duration::from_secs(3600)),
    };
    let mut house = House::new(settings);
    house.join(1);
    let heard = house.inbox(1);
    let metadata = heard[0].to_xml();
    assert!(metadata.contains("groupChatRestricted"), "{metadata}");
    assert!(metadata.contains("startMuted") && !metadata.contains("lobbyEnabled"));
    let subject = heard.iter().find_map(|m| m.child("subject", ns::CLIENT));
    assert_eq!(subject.unwrap().text(), "Board");

    let limit = heard
        .iter()
        .find(|m| m.to_xml().contains("time_restricted"));
    let limit = limit.unwrap();
    assert_eq!(limit.attr("from"), Some(ROOM));
    let text = limit.child("json-message", ns::JITMEET).unwrap().text();
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (&json["durationSeconds"], &json["elapsedSeconds"]),
        (&3600.into(), &0.into())
    );

    house.now.monotonic += Duration::from_secs(600);
    house.join(2);
    let heard = house.inbox(2);
    assert!(
        heard
            .iter()
            .any(|m| m.to_xml().contains("\"elapsedSeconds\":600"))
    );
    house.quiet();

    for (seconds, elapsed) in [
        (3300, "\"elapsedSeconds\":3300"),
        (3540, "\"elapsedSeconds\":3540"),
    ] {
        let due = house.meeting.next_timeout().unwrap();
        let since = due.duration_since(house.now.monotonic)
            + Duration::from_secs(if seconds == 3300 { 600 } else { 3300 });
        assert_eq!(since.as_secs(), seconds);
        house.now.monotonic = due;
        house.input(Input::Timer);
        for number in [1, 2] {
            assert!(house.inbox(number)[0].to_xml().contains(elapsed));
        }
    }
    // A restored meeting ends when it would have.
    let snapshot = serde_json::to_string(&house.meeting.snapshot(house.now)).unwrap();
    let snapshot = serde_json::from_str(&snapshot).unwrap();
    house.meeting = Meeting::restore(snapshot, house.now).unwrap();
    house.now.monotonic = house.meeting.next_timeout().unwrap();
    house.input(Input::Timer);
    for number in [1, 2] {
        let heard = house.inbox(number);
        let text = heard[0].to_xml();
        assert!(
            text.contains("<destroy>") && text.contains("longest time"),
            "{text}"
        );
    }
    assert!(house.others.contains(&Output::End));
    assert_eq!(house.meeting.occupant_count(), 0);
}

#[test]
fn an_audio_hall_says_so_and_permits_microphones_alone() {
    let mut settings = settings();
    settings.media = MediaMode::Audio;
    let mut house = House::new(settings);
    house.join(1);
    let metadata = house.inbox(1)[0].to_xml();
    assert!(metadata.contains(r#""media":"audio""#), "{metadata}");
    let joined = house.events.iter().find_map(|event| match event {
        RoomEvent::OccupantJoined(info) => Some(info.may_send),
        _ => None,
    });
    let microphones = MediaKinds {
        audio: true,
        ..MediaKinds::NONE
    };
    assert_eq!(joined, Some(microphones));
}

#[test]
fn from_some_size_on_newcomers_start_muted_until_a_moderator_says_otherwise() {
    let mut settings = settings();
    settings.preset.start_muted_above = Some(2);
    let mut house = House::new(settings);
    let muted = |house: &House, number: u64| {
        let joined = house.events.iter().find_map(|event| match event {
            RoomEvent::OccupantJoined(info) if info.id.as_str() == nick(number) => {
                Some(info.start_muted)
            }
            _ => None,
        });
        joined.unwrap().audio
    };
    house.join(1);
    house.join(2);
    house.inbox(1);
    assert!(!muted(&house, 2));
    house.join(3);
    assert!(muted(&house, 3));
    let told = house
        .inbox(1)
        .iter()
        .any(|m| m.to_xml().contains("startMuted"));
    assert!(told, "those who are there see the policy");
    let off = r#"{"key":"startMuted","data":{"audio":false,"video":false}}"#;
    house.stanza(
        1,
        &format!(r#"<message to="metadata.meet.jitsi"><room_metadata xmlns="http://jitsi.org/jitmeet" room="{ROOM}">{off}</room_metadata></message>"#),
    );
    house.join(4);
    assert!(!muted(&house, 4));
}
