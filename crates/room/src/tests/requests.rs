//! IQs to the room, to its focus and between occupants.

use super::*;
use crate::room::Room;

#[test]
fn requests_between_occupants_come_back_under_their_own_id() {
    let mut house = House::new(settings());
    for number in 1..=3 {
        house.join(number);
    }
    house.quiet();
    for asker in [1, 3] {
        house.stanza(
            asker,
            &format!(r#"<iq type="set" id="same" to="{ROOM}/{}"><jingle xmlns="urn:xmpp:jingle:1" sid="x"/></iq>"#, nick(2)),
        );
    }
    let asked = house.inbox(2);
    assert_eq!(asked.len(), 2);
    assert_eq!(asked[0].attr("to"), Some("00000002-u@meet.jitsi/r2"));
    assert_ne!(asked[0].attr("id"), asked[1].attr("id"));
    for request in asked.iter().rev() {
        let (id, from) = (request.attr("id").unwrap(), request.attr("from").unwrap());
        // Somebody else's answer under that id goes nowhere.
        house.stanza(3, &format!(r#"<iq type="result" id="{id}" to="{from}"/>"#));
        assert!(house.inbox(1).is_empty());
        house.stanza(2, &format!(r#"<iq type="result" id="{id}" to="{from}"/>"#));
    }
    for asker in [1, 3] {
        let answer = house.inbox(asker);
        assert_eq!(answer.len(), 1, "{asker}");
        assert_eq!(answer[0].attr("id"), Some("same"));
        assert_eq!(
            answer[0].attr("from"),
            Some(format!("{ROOM}/00000002").as_str())
        );
    }
    house.stanza(
        1,
        &format!(
            r#"<iq type="get" id="late" to="{ROOM}/{}"><ping xmlns="urn:xmpp:ping"/></iq>"#,
            nick(2)
        ),
    );
    house.input(Input::SessionEnded {
        session: session(2),
    });
    assert!(
        house
            .inbox(1)
            .iter()
            .any(|e| e.attr("type") == Some("error") && e.attr("id") == Some("late"))
    );
    assert!(house.meeting.main.is_free_of_requests());
}

impl Room {
    fn is_free_of_requests(&self) -> bool {
        self.pending.is_empty() && self.occupants.values().all(|o| o.asked.is_empty())
    }
}

#[test]
fn the_room_answers_for_itself() {
    let mut house = House::new(settings());
    house.join(1);
    house.join(2);
    house.quiet();
    let disco = format!(
        r#"<iq type="get" id="d" to="{ROOM}"><query xmlns="http://jabber.org/protocol/disco#info"/></iq>"#
    );
    house.stanza(9, &disco);
    assert_eq!(
        condition(&house.inbox(9)[0]),
        ("auth".into(), "forbidden".into())
    );
    house.stanza(1, &disco);
    let answer = house.inbox(1).remove(0);
    let form = answer
        .child("query", ns::DISCO_INFO)
        .unwrap()
        .child("x", ns::DATA_FORMS)
        .unwrap();
    assert_eq!(form.attr("type"), Some("result"));
    let value = |var: &str| {
        form.children()
            .find(|f| f.attr("var") == Some(var))
            .map(|f| f.child_named("value").unwrap().text())
    };
    assert_eq!(
        value("muc#roominfo_meetingId").unwrap(),
        house.meeting.meeting_id()
    );
    assert_eq!(
        value("muc#roominfo_created_timestamp").unwrap(),
        "1767225600000"
    );
    assert_eq!(value("muc#roominfo_isbreakout"), None);
    house.stanza(
        1,
        &format!(
            r#"<iq type="get" id="p" to="{ROOM}/{}"><ping xmlns="urn:xmpp:ping"/></iq>"#,
            nick(1)
        ),
    );
    let pong = house.inbox(1).remove(0);
    assert_eq!(
        (pong.attr("type"), pong.attr("id")),
        (Some("result"), Some("p"))
    );
    house.stanza(
        1,
        &format!(r#"<iq type="set" id="u" to="{ROOM}"><what xmlns="ever"/></iq>"#),
    );
    assert_eq!(condition(&house.inbox(1)[0]).1, "service-unavailable");
}

#[test]
fn the_focus_is_reached_and_speaks_from_its_occupant_address() {
    let mut house = House::new(settings());
    house.join(1);
    house.quiet();
    house.stanza(
        1,
        &format!(
            r#"<iq type="set" id="j" to="{ROOM}/focus"><jingle xmlns="urn:xmpp:jingle:1"/></iq>"#
        ),
    );
    assert_eq!(house.to_focus[0].0.as_str(), nick(1));
    house.input(Input::FocusIq {
        place: Place::Main,
        to: EndpointId::new(nick(1)).unwrap(),
        iq: Element::new("iq", ns::CLIENT)
            .with_attr("type", "set")
            .with_attr("id", "f1"),
    });
    assert_eq!(
        house.inbox(1)[0].to_xml(),
        format!(
            r#"<iq xmlns="jabber:client" type="set" id="f1" from="{ROOM}/focus" to="00000001-u@meet.jitsi/r1"/>"#
        )
    );
}
