//! The lobby: who waits, who sees whom, who lets in.

use super::settings::{form, is_in, lock};
use super::*;
use althing_model::{Secret, TokenStanding};
use std::time::Duration;

const LOBBY: &str = "my%20room@lobby.meet.jitsi";

fn open(house: &mut House, by: u64) {
    house.stanza(
        by,
        &form(&[("membersonly", "true"), ("passwordprotectedroom", "0")]),
    );
}

fn knock(house: &mut House, number: u64) {
    let nick = nick(number);
    house.stanza(
        number,
        &format!(
            r#"<presence to="{LOBBY}/{nick}"><x xmlns="http://jabber.org/protocol/muc"/><nick xmlns="http://jabber.org/protocol/nick">Guest {number}</nick></presence>"#
        ),
    );
}

fn invite(house: &mut House, by: u64, guests: &[u64]) {
    let invites: String = guests
        .iter()
        .map(|guest| format!(r#"<invite to="{}"/>"#, sender(*guest).jid))
        .collect();
    house.stanza(
        by,
        &format!(
            r#"<message to="{ROOM}" id="k1"><x xmlns="http://jabber.org/protocol/muc#user">{invites}</x></message>"#
        ),
    );
}

fn deny(house: &mut House, by: u64, nicks: &[String]) {
    let items: String = nicks
        .iter()
        .map(|nick| format!(r#"<item nick="{nick}" role="none"/>"#))
        .collect();
    house.stanza(
        by,
        &format!(
            r#"<iq type="set" id="k" to="{LOBBY}"><query xmlns="http://jabber.org/protocol/muc#admin">{items}</query></iq>"#
        ),
    );
}

fn leave_main(house: &mut House, number: u64) {
    house.stanza(
        number,
        &format!(
            r#"<presence type="unavailable" to="{ROOM}/{}"/>"#,
            nick(number)
        ),
    );
}

/// Occupant 1 moderates, 2 is a guest, both in the room; the lobby is on and 1 watches it.
fn house() -> House {
    let mut house = House::new(settings());
    house.join(1);
    house.join(2);
    open(&mut house, 1);
    knock(&mut house, 1);
    house.quiet();
    house
}

fn from(stanza: &Element) -> &str {
    stanza.attr("from").unwrap_or_default()
}

fn at_lobby(number: u64) -> String {
    format!("{LOBBY}/{}", nick(number))
}

fn notice(heard: &[Element]) -> serde_json::Value {
    let message = heard
        .iter()
        .find_map(|m| m.child("json-message", ns::JITMEET));
    serde_json::from_str(&message.expect("a notice").text()).unwrap()
}

fn hears_nothing(house: &mut House, number: u64) {
    let heard = house.inbox(number);
    assert!(heard.is_empty(), "{number} hears {heard:?}");
}

#[test]
fn a_moderator_switches_it_on_and_everybody_hears_of_it() {
    let mut house = House::new(settings());
    house.join(1);
    house.join(2);
    house.quiet();
    open(&mut house, 2);
    assert_eq!(condition(&house.inbox(2)[0]).1, "forbidden");
    assert_eq!(house.denied(), [Action::Configure]);
    house.quiet();
    open(&mut house, 1);
    let heard = house.inbox(2);
    assert_eq!(codes(&heard[0]), ["104"]);
    let notice_ = notice(&heard);
    assert_eq!(notice_["event"], "LOBBY-ENABLED");
    assert_eq!(notice_["value"], true);
    let message = heard
        .iter()
        .find(|m| m.to_xml().contains("lobby-notify"))
        .unwrap();
    assert_eq!(from(message), format!("{ROOM}/{}", nick(1)));
    assert_eq!(message.attr("type"), Some("groupchat"));
    assert!(
        heard
            .iter()
            .any(|m| m.to_xml().contains("\"lobbyEnabled\":true"))
    );
    // Whoever is in stays in, and may come back.
    let own = heard
        .iter()
        .rfind(|m| m.name() == "presence" && codes(m).contains(&"110"));
    assert_eq!(item(own.unwrap()).attr("affiliation"), Some("member"));
    leave_main(&mut house, 2);
    house.join(2);
    assert!(is_in(&house, 2));
    house.inbox(2);
    house.stanza(2, &format!(r#"<iq type="get" id="d" to="{ROOM}"><query xmlns="http://jabber.org/protocol/disco#info"/></iq>"#));
    let info = house.inbox(2).remove(0).to_xml();
    assert_eq!(info.matches("muc_membersonly").count(), 1);
    assert!(info.contains(LOBBY) && !info.contains("muc_open"));
}

#[test]
fn who_knocks_is_seen_by_moderators_alone() {
    let mut house = house();
    house.join(3);
    let refused = house.inbox(3).remove(0);
    assert_eq!(
        condition(&refused),
        ("auth".into(), "registration-required".into())
    );
    let error = refused.child("error", ns::CLIENT).unwrap();
    assert_eq!(error.attr("code"), Some("407"));
    assert_eq!(error.child("lobbyroom", ns::JITMEET).unwrap().text(), LOBBY);
    assert_eq!(error.child("lobbyroom", ns::CLIENT).unwrap().text(), LOBBY);

    for guest in [3, 4] {
        knock(&mut house, guest);
        let heard = house.inbox(guest);
        assert_eq!(from(&heard[0]), at_lobby(guest));
        assert_eq!(codes(&heard[0]), ["100", "110"]);
        assert!(heard[1].child("subject", ns::CLIENT).is_some());
        assert_eq!(heard.len(), 2);
        let seen = house.inbox(1);
        assert_eq!(seen.len(), 1);
        assert_eq!(from(&seen[0]), at_lobby(guest));
        assert_eq!(item(&seen[0]).attr("jid"), Some(sender(guest).jid.as_str()));
        assert_eq!(item(&seen[0]).attr("role"), Some("participant"));
    }
    let knocks = house
        .events
        .iter()
        .filter(|e| matches!(e, RoomEvent::LobbyKnock { .. }));
    assert_eq!(knocks.count(), 2);
    // A second presence tells the address; a change of name is refused.
    house.stanza(3, &format!(r#"<presence to="{}"><email>a@b.example</email><nick xmlns="http://jabber.org/protocol/nick">Bob</nick></presence>"#, at_lobby(3)));
    assert!(house.inbox(1)[0].to_xml().contains("a@b.example"));
    assert_eq!(codes(&house.inbox(3)[0]), ["100", "110"]);
    house.stanza(3, &format!(r#"<presence to="{LOBBY}/other"/>"#));
    assert_eq!(condition(&house.inbox(3)[0]).1, "not-allowed");
    hears_nothing(&mut house, 2);
    hears_nothing(&mut house, 4);
    // A moderator who comes later sees all; those who wait do not see it.
    house.stanza(1, &format!(r#"<iq type="set" id="g" to="{ROOM}"><query xmlns="http://jabber.org/protocol/muc#admin"><item affiliation="owner" jid="{}"/></query></iq>"#, sender(2).jid.bare()));
    house.quiet();
    knock(&mut house, 2);
    let heard = house.inbox(2);
    let seen: Vec<&str> = heard[..heard.len() - 1].iter().map(from).collect();
    assert_eq!(seen, [at_lobby(1), at_lobby(3), at_lobby(4), at_lobby(2)]);
    assert_eq!(house.inbox(1).len(), 1);
    hears_nothing(&mut house, 3);
    hears_nothing(&mut house, 4);
    assert!(
        !house
            .events
            .iter()
            .any(|e| matches!(e, RoomEvent::LobbyKnock { .. }))
    );
    // Nor do they see it, or one another, go.
    house.stanza(
        2,
        &format!(r#"<presence type="unavailable" to="{}"/>"#, at_lobby(2)),
    );
    house.input(Input::SessionEnded {
        session: session(4),
    });
    assert_eq!(house.inbox(1).len(), 2);
    hears_nothing(&mut house, 3);
}

#[test]
fn a_moderator_lets_in_one_or_many() {
    let mut house = house();
    for guest in [3, 4, 5] {
        knock(&mut house, guest);
    }
    house.quiet();
    // Not a guest in the room, not those who wait, not strangers.
    for (number, refusal, denied) in [
        (2, "forbidden", vec![Action::Admit]),
        (3, "not-acceptable", vec![]),
        (9, "not-acceptable", vec![]),
    ] {
        invite(&mut house, number, &[3, 4]);
        assert_eq!(condition(&house.inbox(number)[0]).1, refusal);
        assert_eq!(house.denied(), denied);
        hears_nothing(&mut house, 1);
        house.join(3);
        assert!(!is_in(&house, 3));
        house.quiet();
    }
    invite(&mut house, 1, &[3, 4]);
    for guest in [3, 4] {
        let heard = house.inbox(guest);
        let invitation = heard.iter().find(|m| m.name() == "message").unwrap();
        assert_eq!(from(invitation), ROOM);
        let invite = invitation
            .child("x", ns::MUC_USER)
            .unwrap()
            .children()
            .next()
            .unwrap();
        assert_eq!(invite.name(), "invite");
        assert_eq!(invite.attr("from"), Some(sender(1).jid.as_str()));
        // Mirrored: its standing in the lobby is that of the room.
        assert_eq!(item(&heard[0]).attr("affiliation"), Some("member"));
        house.join(guest);
        assert!(is_in(&house, guest));
    }
    let notice = notice(&house.inbox(2));
    assert_eq!(notice["event"], "LOBBY-ACCESS-GRANTED");
    assert_eq!(notice["value"], at_lobby(3));
    assert_eq!(notice["name"], "Guest 3");
    house.join(5);
    assert!(!is_in(&house, 5));
    let admitted = house
        .events
        .iter()
        .filter(|e| matches!(e, RoomEvent::LobbyAdmitted { .. }));
    assert_eq!(admitted.count(), 2);
}

#[test]
fn a_moderator_in_a_breakout_lets_in_too() {
    let mut house = house();
    house.stanza(1, r#"<message to="breakout.meet.jitsi"><breakout_rooms xmlns="http://jitsi.org/jitmeet" type="features/breakout-rooms/add" subject="A"/></message>"#);
    let made = house.others.iter().find_map(|output| match output {
        Output::BreakoutMade { id } => Some(id.clone()),
        _ => None,
    });
    let breakout = format!("{}@breakout.meet.jitsi", made.unwrap());
    knock(&mut house, 3);
    house.join_as(3, &breakout, &nick(3));
    assert_eq!(condition(house.inbox(3).last().unwrap()).1, "not-allowed");
    house.join_as(1, &breakout, &nick(1));
    house.quiet();
    invite(&mut house, 1, &[3]);
    house.join(3);
    assert!(is_in(&house, 3));
}

#[test]
fn sending_away_is_for_moderators() {
    let mut house = house();
    for guest in [3, 4] {
        knock(&mut house, guest);
    }
    house.quiet();
    for number in [2, 3, 9] {
        deny(&mut house, number, &[nick(4)]);
        assert_eq!(condition(&house.inbox(number)[0]).1, "forbidden");
        assert!(house.meeting.lobby.get(&nick(4)).is_some());
    }
    // All or nothing, and no moderator.
    deny(&mut house, 1, &[nick(4), "nobody".into()]);
    assert_eq!(condition(&house.inbox(1)[0]).1, "item-not-found");
    deny(&mut house, 1, &[nick(4), nick(1)]);
    assert_eq!(condition(&house.inbox(1)[0]).1, "not-allowed");
    hears_nothing(&mut house, 4);
    deny(&mut house, 1, &[nick(4)]);
    let heard = house.inbox(4);
    assert_eq!(codes(&heard[0]), ["307", "110"]);
    let actor = item(&heard[0]).child("actor", ns::MUC_USER).unwrap();
    assert_eq!(actor.attr("nick"), Some(nick(1).as_str()));
    assert_eq!(codes(&house.inbox(1)[1]), ["307"]);
    assert_eq!(notice(&house.inbox(2))["event"], "LOBBY-ACCESS-DENIED");
    hears_nothing(&mut house, 3);
    house.join(4);
    assert!(!is_in(&house, 4));
    assert!(
        house
            .events
            .iter()
            .any(|e| matches!(e, RoomEvent::LobbyDenied { .. }))
    );
}

#[test]
fn chat_is_between_moderators_and_those_who_wait() {
    let mut house = house();
    for guest in [3, 4] {
        knock(&mut house, guest);
    }
    house.quiet();
    let private = |to: u64| {
        format!(
            r#"<message type="chat" to="{}"><json-message xmlns="http://jitsi.org/jitmeet">{{"type":"LOBBY_CHAT_MESSAGE","message":"hi"}}</json-message><delay xmlns="urn:xmpp:delay"/></message>"#,
            at_lobby(to)
        )
    };
    for (author, reader) in [(3, 1), (1, 3)] {
        house.stanza(author, &private(reader));
        let heard = house.inbox(reader).remove(0);
        assert_eq!(from(&heard), at_lobby(author));
        assert!(heard.child("json-message", ns::JITMEET).is_some());
        assert!(heard.child("delay", ns::DELAY).is_none());
        hears_nothing(&mut house, author);
    }
    // Whoever is there and whoever is not are answered alike.
    let mut answers = Vec::new();
    for nobody in [4, 8] {
        house.stanza(3, &private(nobody));
        answers.push(condition(&house.inbox(3)[0]));
    }
    assert_eq!(answers[0], answers[1]);
    hears_nothing(&mut house, 4);
    for (author, hearers) in [(3, vec![1, 3]), (1, vec![1, 3, 4])] {
        house.stanza(
            author,
            &format!(r#"<message type="groupchat" to="{LOBBY}"><body>hello</body></message>"#),
        );
        for number in [1, 2, 3, 4] {
            assert_eq!(
                !house.inbox(number).is_empty(),
                hearers.contains(&number),
                "{author} {number}"
            );
        }
    }
    house.stanza(2, &private(3));
    assert_eq!(condition(&house.inbox(2)[0]).1, "not-acceptable");
    hears_nothing(&mut house, 3);
}

#[test]
fn those_who_need_not_wait() {
    let identity = |standing, lobby_bypass| {
        Arc::new(Identity {
            standing,
            lobby_bypass,
            ..Identity::default()
        })
    };
    let mut house = house();
    house
        .identities
        .insert(3, identity(TokenStanding::Owner, false));
    house
        .identities
        .insert(4, identity(TokenStanding::Member, true));
    house
        .identities
        .insert(5, identity(TokenStanding::Unsaid, false));
    for (number, comes_in) in [(3, true), (4, true), (5, false), (6, false)] {
        house.join(number);
        assert_eq!(is_in(&house, number), comes_in, "{number}");
    }
    // The password lets in and makes a member; a wrong one leaves it at the lobby.
    lock(&mut house, 1, "pw");
    house.quiet();
    for (password, comes_in) in [("wrong", false), ("pw", true)] {
        house.stanza(6, &format!(r#"<presence to="{ROOM}/{}"><x xmlns="http://jabber.org/protocol/muc"><password>{password}</password></x></presence>"#, nick(6)));
        assert_eq!(is_in(&house, 6), comes_in);
        if !comes_in {
            assert_eq!(condition(&house.inbox(6)[0]).1, "registration-required");
        }
    }
    lock(&mut house, 1, "other");
    leave_main(&mut house, 6);
    house.join(6);
    assert!(is_in(&house, 6));
    // Whoever is kicked knocks again.
    house.stanza(1, &format!(r#"<iq type="set" id="k" to="{ROOM}"><query xmlns="http://jabber.org/protocol/muc#admin"><item nick="{}" role="none"/></query></iq>"#, nick(6)));
    house.join(6);
    assert!(!is_in(&house, 6));
}

#[test]
fn switched_off_it_sends_everybody_to_the_room() {
    let mut house = house();
    knock(&mut house, 3);
    house.quiet();
    house.stanza(1, &form(&[("membersonly", "false")]));
    let heard = house.inbox(3).remove(0);
    assert_eq!(heard.attr("type"), Some("unavailable"));
    let destroy = heard
        .child("x", ns::MUC_USER)
        .unwrap()
        .child("destroy", ns::MUC_USER);
    assert_eq!(destroy.unwrap().attr("jid"), Some(ROOM));
    assert_eq!(notice(&house.inbox(2))["value"], false);
    house.join(3);
    assert!(is_in(&house, 3));
    house.quiet();
    // The text on which clients try the room itself.
    knock(&mut house, 4);
    let refused = house.inbox(4).remove(0);
    assert_eq!(condition(&refused), ("cancel".into(), "not-allowed".into()));
    assert!(refused.to_xml().contains(">Room creation is restricted<"));
}

#[test]
fn the_end_of_the_meeting_is_the_end_of_waiting() {
    for by_hand in [true, false] {
        let mut house = house();
        knock(&mut house, 3);
        house.quiet();
        if by_hand {
            house.input(Input::Destroy {
                reason: "over".into(),
                alternative: None,
            });
        } else {
            house.input(Input::SessionEnded {
                session: session(1),
            });
            house.input(Input::SessionEnded {
                session: session(2),
            });
            house.input(Input::FocusEnded { place: Place::Main });
        }
        let heard = house.inbox(3);
        let destroy = heard[0]
            .child("x", ns::MUC_USER)
            .unwrap()
            .child("destroy", ns::MUC_USER);
        assert_eq!(destroy.unwrap().attr("jid"), None);
        assert!(house.others.contains(&Output::End));
    }
}

#[test]
fn who_moderates_no_longer_watches_no_longer() {
    let mut house = house();
    knock(&mut house, 3);
    house.quiet();
    house.stanza(1, &format!(r#"<iq type="set" id="g" to="{ROOM}"><query xmlns="http://jabber.org/protocol/muc#admin"><item affiliation="owner" jid="{}"/></query></iq>"#, sender(2).jid.bare()));
    house.stanza(1, &format!(r#"<iq type="set" id="g" to="{ROOM}"><query xmlns="http://jabber.org/protocol/muc#admin"><item affiliation="member" jid="{}"/></query></iq>"#, sender(1).jid.bare()));
    assert!(house.meeting.lobby.get(&nick(1)).is_none());
    house.quiet();
    knock(&mut house, 4);
    hears_nothing(&mut house, 1);
    hears_nothing(&mut house, 3);
    // A member of the meeting does not wait for it, and is shown nobody.
    knock(&mut house, 1);
    assert_eq!(condition(&house.inbox(1)[0]).1, "not-allowed");
}

#[test]
fn names_are_asked_for_where_they_are_required() {
    let mut settings = settings();
    settings.name_required = true;
    settings.preset.lobby = true;
    let mut house = House::new(settings);
    // The first is a host, and there is nobody whom it could ask.
    house.join(1);
    assert!(is_in(&house, 1));
    for room in [ROOM, LOBBY] {
        house.stanza(3, &format!(r#"<presence to="{room}/{}"><x xmlns="http://jabber.org/protocol/muc"/></presence>"#, nick(3)));
        let refused = house.inbox(3).remove(0);
        assert_eq!(
            condition(&refused),
            ("modify".into(), "not-acceptable".into())
        );
        let error = refused.child("error", ns::CLIENT).unwrap();
        assert_eq!(
            error
                .child("displayname-required", ns::JITMEET)
                .unwrap()
                .attr("lobby"),
            Some("true")
        );
    }
    knock(&mut house, 3);
    assert_eq!(house.inbox(3).len(), 2);
}

#[test]
fn with_a_preset_lobby_guests_wait_for_the_first_host() {
    let mut settings = settings();
    settings.preset.lobby = true;
    settings.preset.password = Some(Secret::new("pw"));
    settings.moderators = Moderators::Authenticated;
    let mut house = House::new(settings);
    house.join(3);
    assert!(!is_in(&house, 3));
    knock(&mut house, 3);
    house.quiet();
    // The focus gives up, the guest does not.
    house.input(Input::FocusEnded { place: Place::Main });
    assert!(house.others.is_empty());
    hears_nothing(&mut house, 3);
    house.identities.insert(1, Arc::new(Identity::default()));
    house.join(1);
    assert!(is_in(&house, 1));
    knock(&mut house, 1);
    assert!(house.inbox(1).iter().any(|m| from(m) == at_lobby(3)));
    invite(&mut house, 1, &[3]);
    house.join(3);
    assert!(is_in(&house, 3));
}

#[test]
fn a_meeting_that_nobody_waits_for_ends() {
    let mut settings = settings();
    settings.preset.lobby = true;
    settings.moderators = Moderators::Authenticated;
    let mut house = House::new(settings);
    knock(&mut house, 3);
    house.input(Input::FocusEnded { place: Place::Main });
    house.input(Input::SessionEnded {
        session: session(3),
    });
    assert!(house.others.contains(&Output::End));
}

#[test]
fn a_lobby_holds_so_many() {
    let mut house = house();
    for number in 10..510 {
        knock(&mut house, number);
    }
    house.quiet();
    knock(&mut house, 600);
    assert_eq!(
        condition(&house.inbox(600)[0]),
        ("wait".into(), "resource-constraint".into())
    );
    // A moderator always gets in.
    house.stanza(
        1,
        &format!(r#"<presence type="unavailable" to="{}"/>"#, at_lobby(1)),
    );
    house.inbox(1);
    knock(&mut house, 1);
    assert_eq!(house.inbox(1).len(), 502);
}

#[test]
fn a_restored_meeting_has_its_lobby() {
    let mut house = house();
    knock(&mut house, 3);
    let snapshot = serde_json::to_string(&house.meeting.snapshot(house.now)).unwrap();
    let snapshot = serde_json::from_str(&snapshot).unwrap();
    house.now.monotonic += Duration::from_secs(5);
    house.meeting = Meeting::restore(snapshot, house.now).unwrap();
    house.quiet();
    house.join(4);
    assert_eq!(condition(&house.inbox(4)[0]).1, "registration-required");
    invite(&mut house, 1, &[3]);
    assert!(
        house
            .inbox(3)
            .iter()
            .any(|m| m.to_xml().contains("<invite"))
    );
    house.join(3);
    assert!(is_in(&house, 3));
}
