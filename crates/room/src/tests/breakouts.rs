//! Breakout rooms: commands, lists, moves, who may come in, how the meeting outlives its main room.

use super::{House, ROOM, codes, condition, item, nick, session, settings};
use crate::{Action, Input, LeaveReason, Meeting, Outcome, Output, Place, RoomEvent};
use althing_xmpp::{Element, ns};
use serde_json::Value;
use std::time::Duration;

const COMPONENT: &str = "breakout.meet.jitsi";

impl House {
    fn breakout(&mut self, from: u64, command: &str, attributes: &str) {
        self.stanza(
            from,
            &format!(r#"<message to="{COMPONENT}"><breakout_rooms type="features/breakout-rooms/{command}" {attributes}/></message>"#),
        );
    }

    /// A breakout made by that moderator: its address.
    fn made(&mut self, from: u64, subject: &str) -> String {
        self.breakout(from, "add", &format!(r#"subject="{subject}""#));
        let made = self.others.iter().rev().find_map(|output| match output {
            Output::BreakoutMade { id } => Some(id.clone()),
            _ => None,
        });
        format!("{}@{COMPONENT}", made.unwrap())
    }

    fn leave(&mut self, number: u64, room: &str) {
        let nick = nick(number);
        self.stanza(
            number,
            &format!(r#"<presence type="unavailable" to="{room}/{nick}"><status>switch_room</status></presence>"#),
        );
    }

    /// As clients do it: out of one, a request, into the other.
    fn switch(&mut self, number: u64, from: &str, to: &str) {
        self.leave(number, from);
        self.join_as(number, to, &nick(number));
    }

    pub(super) fn pass(&mut self, millis: u64) {
        self.now.monotonic += Duration::from_millis(millis);
        self.now.unix_millis += millis;
        let due = self.meeting.next_timeout();
        if due.is_some_and(|due| due <= self.now.monotonic) {
            self.input(Input::Timer);
        }
    }

    /// What components told somebody, by type.
    pub(super) fn told(&mut self, number: u64, kind: &str) -> Vec<Value> {
        let heard = self.inbox(number);
        let read = |message: &Element| {
            let payload = message.child("json-message", ns::JITMEET)?;
            serde_json::from_str::<Value>(&payload.text()).ok()
        };
        let mut told: Vec<Value> = heard.iter().filter_map(read).collect();
        told.retain(|json| json["type"] == kind);
        told
    }

    /// The last list somebody was told.
    fn list(&mut self, number: u64) -> Value {
        self.told(number, "breakout_rooms").pop().expect("a list")
    }

    fn focus_ended(&mut self, place: Place) {
        self.input(Input::FocusEnded { place });
    }

    fn ends(&self) -> usize {
        self.others.iter().filter(|o| **o == Output::End).count()
    }
}

fn place(address: &str) -> Place {
    Place::Breakout(address.split('@').next().unwrap().to_owned())
}

#[test]
fn everybody_is_told_once_what_changed_within_300_milliseconds() {
    let mut house = House::new(settings());
    house.join(1);
    house.join(2);
    house.quiet();
    let first = house.made(1, "Group 1");
    house.pass(100);
    let second = house.made(1, "");
    assert!(house.told(1, "breakout_rooms").is_empty());
    house.pass(199);
    assert!(house.told(2, "breakout_rooms").is_empty());
    house.pass(1);
    let heard = house.inbox(2);
    assert_eq!(heard.len(), 1);
    assert_eq!(heard[0].attr("from"), Some(COMPONENT));
    let list = house.list(1);
    assert_eq!(list["event"], "features/breakout-rooms/update");
    assert_eq!(list["roomCounter"], 2);
    let main = &list["rooms"]["my%20room"];
    assert_eq!(main["isMainRoom"], true);
    assert_eq!(main["jid"], ROOM);
    assert_eq!(main["id"], "my%20room");
    let ann = &main["participants"][format!("{ROOM}/{}", nick(1))];
    assert_eq!(ann["jid"], "00000001-u@meet.jitsi/r1");
    assert_eq!(ann["role"], "moderator");
    assert_eq!(ann["displayName"], "Ada");
    let id = first.split('@').next().unwrap();
    assert_eq!(list["rooms"][id]["name"], "Group 1");
    assert_eq!(list["rooms"][id]["jid"], first.as_str());
    assert_eq!(list["rooms"][id]["participants"], serde_json::json!({}));
    assert!(list["rooms"][id].get("isMainRoom").is_none());
    let id = second.split('@').next().unwrap();
    assert_eq!(list["rooms"][id]["name"], "Breakout room #2");
    assert_eq!(house.meeting.next_timeout(), None);

    // A name, a role, a newcomer, a leaver: each is a change.
    let renamed = format!(
        r#"<presence to="{ROOM}/{}"><nick xmlns="http://jabber.org/protocol/nick">Bob</nick></presence>"#,
        nick(2)
    );
    house.stanza(2, &renamed);
    house.pass(300);
    let list = house.list(1);
    let bob = format!("{ROOM}/{}", nick(2));
    assert_eq!(
        list["rooms"]["my%20room"]["participants"][&bob]["displayName"],
        "Bob"
    );
    house.stanza(2, &renamed);
    assert_eq!(house.meeting.next_timeout(), None);
    house.stanza(1, &format!(r#"<iq type="set" id="g" to="{ROOM}"><query xmlns="http://jabber.org/protocol/muc#admin"><item affiliation="owner" jid="00000002-u@meet.jitsi"/></query></iq>"#));
    house.pass(300);
    let list = house.list(1);
    assert_eq!(
        list["rooms"]["my%20room"]["participants"][&bob]["role"],
        "moderator"
    );
    house.leave(2, ROOM);
    house.pass(300);
    assert!(
        house.list(1)["rooms"]["my%20room"]["participants"]
            .get(&bob)
            .is_none()
    );
}

#[test]
fn a_meeting_without_breakouts_hears_nothing_of_them() {
    let mut house = House::new(settings());
    house.join(1);
    house.join(2);
    house.leave(2, ROOM);
    assert_eq!(house.meeting.next_timeout(), None);
}

#[test]
fn only_moderators_command_and_others_are_met_with_silence() {
    let mut house = House::new(settings());
    house.join(1);
    house.join(2);
    let room = house.made(1, "Group 1");
    house.pass(300);
    house.quiet();
    house.breakout(2, "add", r#"subject="Mine""#);
    house.breakout(2, "remove", &format!(r#"breakoutRoomJid="{room}""#));
    house.breakout(
        2,
        "rename",
        &format!(r#"breakoutRoomJid="{room}" subject="Mine""#),
    );
    house.breakout(
        2,
        "move-to-room",
        &format!(r#"participantJid="00000001-u@meet.jitsi/r1" roomJid="{room}""#),
    );
    assert_eq!(house.denied(), [Action::Breakout; 4]);
    // Who is in no room of the meeting is nobody.
    house.breakout(9, "add", r#"subject="Mine""#);
    assert!(house.inboxes.is_empty() && house.others.is_empty());
    assert_eq!(house.meeting.next_timeout(), None);
    // A moderator in a breakout may, too.
    house.switch(1, ROOM, &room);
    house.quiet();
    house.breakout(
        1,
        "rename",
        &format!(r#"breakoutRoomJid="{room}" subject="New""#),
    );
    let heard = house.inbox(1).remove(0);
    assert_eq!(heard.attr("from"), Some(room.as_str()));
    assert_eq!(heard.child_named("subject").unwrap().text(), "New");
    house.made(1, "Group 2");
    house.pass(300);
    let list = house.list(1);
    assert_eq!(
        list["rooms"][room.split('@').next().unwrap()]["name"],
        "New"
    );
    assert_eq!(list["rooms"].as_object().unwrap().len(), 3);
    assert!(house.denied().is_empty());
}

#[test]
fn there_is_an_end_to_rooms_and_to_names() {
    let mut house = House::new(settings());
    house.join(1);
    for _ in 0..150 {
        house.breakout(1, "add", &format!(r#"subject="{}""#, "ä".repeat(1000)));
    }
    let made = house
        .others
        .iter()
        .filter(|o| matches!(o, Output::BreakoutMade { .. }));
    assert_eq!(made.count(), 100);
    house.pass(600);
    let list = house.list(1);
    let rooms = list["rooms"].as_object().unwrap();
    assert_eq!(rooms.len(), 101);
    let names = rooms.values().filter(|room| room["isMainRoom"] != true);
    assert!(
        names
            .into_iter()
            .all(|room| room["name"].as_str().unwrap().chars().count() == 150)
    );
    for garbage in [
        r#"subject="x" breakoutRoomJid="nobody@breakout.meet.jitsi""#,
        r#"breakoutRoomJid="@@""#,
        r#"participantJid="x" roomJid="y""#,
        "",
    ] {
        for command in ["remove", "rename", "move-to-room", "explode"] {
            house.breakout(1, command, garbage);
        }
    }
    assert!(house.inbox(1).is_empty() && house.meeting.next_timeout().is_none());
}

#[test]
fn a_move_reaches_the_one_who_is_moved() {
    let mut house = House::new(settings());
    for number in 1..=3 {
        house.join(number);
    }
    let room = house.made(1, "Group 1");
    house.pass(300);
    house.quiet();
    let command = |who: &str, to: &str| format!(r#"participantJid="{who}" roomJid="{to}""#);
    house.breakout(
        1,
        "move-to-room",
        &command("00000002-u@meet.jitsi/r2", &room),
    );
    let told = house.told(2, "breakout_rooms");
    assert_eq!(
        told,
        [serde_json::json!({
            "type": "breakout_rooms",
            "event": "features/breakout-rooms/move-to-room",
            "roomJid": room,
        })]
    );
    // Not the bare address, not one who is not here, not to rooms of others.
    house.breakout(1, "move-to-room", &command("00000002-u@meet.jitsi", &room));
    house.breakout(
        1,
        "move-to-room",
        &command("00000009-u@meet.jitsi/r9", &room),
    );
    house.breakout(
        1,
        "move-to-room",
        &command("00000002-u@meet.jitsi/r2", "other@muc.meet.jitsi"),
    );
    let elsewhere = room.replace("breakout.", "muc.");
    house.breakout(
        1,
        "move-to-room",
        &command("00000002-u@meet.jitsi/r2", &elsewhere),
    );
    assert!(house.inboxes.is_empty());
    house.switch(2, ROOM, &room);
    house.quiet();
    house.breakout(
        1,
        "move-to-room",
        &command("00000002-u@meet.jitsi/r2", ROOM),
    );
    assert_eq!(house.told(2, "breakout_rooms")[0]["roomJid"], ROOM);
    assert!(house.inboxes.is_empty());
}

#[test]
fn a_breakout_is_a_room_of_its_own() {
    let mut house = House::new(settings());
    for number in 1..=3 {
        house.join(number);
    }
    let room = house.made(1, "Group 1");
    house.switch(1, ROOM, &room);
    let welcome = house.inbox(1);
    let own = welcome
        .iter()
        .rfind(|e| e.name() == "presence" && e.attr("from") == Some(&format!("{room}/{}", nick(1))))
        .unwrap();
    assert_eq!(codes(own), ["100", "110"]);
    assert_eq!(item(own).attr("role"), Some("moderator"));
    assert_eq!(
        welcome
            .last()
            .unwrap()
            .child_named("subject")
            .unwrap()
            .text(),
        "Group 1"
    );
    house.quiet();
    house.switch(3, ROOM, &room);
    // Nobody is elected there.
    let own = house.inbox(3);
    let own = own.iter().rfind(|e| e.name() == "presence").unwrap();
    assert_eq!(item(own).attr("role"), Some("participant"));
    house.quiet();
    house.stanza(
        3,
        &format!(r#"<message type="groupchat" to="{room}" id="m"><body>psst</body></message>"#),
    );
    assert_eq!(house.inbox(1).len(), 1);
    assert!(house.inbox(2).is_empty());
    house.input(Input::SessionEnded {
        session: session(1),
    });
    assert!(
        !house
            .events
            .iter()
            .any(|e| matches!(e, RoomEvent::RoleChanged { id, .. } if id.as_str() == nick(3)))
    );
    let ask = format!(
        r#"<iq type="get" id="d" to="{room}"><query xmlns="http://jabber.org/protocol/disco#info"/></iq>"#
    );
    house.quiet();
    house.stanza(3, &ask);
    let answer = house.inbox(3).remove(0);
    let form = answer.child("query", ns::DISCO_INFO).unwrap();
    let form = form.child("x", ns::DATA_FORMS).unwrap();
    let value = |var: &str| {
        let mut fields = form.children();
        let field = fields.find(|f| f.attr("var") == Some(var));
        field.map(|f| f.child_named("value").unwrap().text())
    };
    assert_eq!(value("muc#roominfo_isbreakout").unwrap(), "1");
    assert_eq!(value("muc#roominfo_breakout_main_room").unwrap(), ROOM);
    assert_ne!(
        value("muc#roominfo_meetingId").unwrap(),
        house.meeting.meeting_id()
    );
}

#[test]
fn who_was_not_let_into_the_meeting_stays_out_of_its_breakouts() {
    let mut house = House::new(settings());
    house.join(1);
    house.join(2);
    let room = house.made(1, "Group 1");
    house.quiet();
    house.join_as(9, &room, &nick(9));
    let refused = house.inbox(9).remove(0);
    assert_eq!(condition(&refused), ("cancel".into(), "not-allowed".into()));
    assert_eq!(
        refused.attr("from"),
        Some(format!("{room}/{}", nick(9)).as_str())
    );
    assert!(refused.child("x", ns::MUC).is_some());
    assert!(!refused.to_xml().contains("Room creation is restricted"));
    assert_eq!(house.meeting.places(), [Place::Main]);
    // Nor does anything else wake a breakout.
    house.stanza(9, &format!(r#"<iq type="get" id="q" to="{room}"><query xmlns="http://jabber.org/protocol/disco#info"/></iq>"#));
    assert_eq!(condition(&house.inbox(9)[0]).1, "item-not-found");
    house.stanza(
        9,
        &format!(r#"<message type="groupchat" to="{room}"><body>x</body></message>"#),
    );
    assert_eq!(condition(&house.inbox(9)[0]).1, "item-not-found");
    house.stanza(
        9,
        &format!(r#"<presence type="unavailable" to="{room}/x"/>"#),
    );
    assert!(house.inbox(9).is_empty());
    assert_eq!(house.meeting.places(), [Place::Main]);
    // Who has been in the main room may come; who was removed from it, not before it was in again.
    house.switch(2, ROOM, &room);
    assert_eq!(house.meeting.occupant_count(), 2);
    house.switch(2, &room, ROOM);
    house.stanza(1, &format!(r#"<iq type="set" id="k" to="{ROOM}"><query xmlns="http://jabber.org/protocol/muc#admin"><item nick="{}" role="none"/></query></iq>"#, nick(2)));
    house.quiet();
    house.join_as(2, &room, &nick(2));
    assert_eq!(condition(house.inbox(2).last().unwrap()).1, "not-allowed");
    house.join(2);
    house.switch(2, ROOM, &room);
    assert_eq!(house.meeting.places(), [Place::Main, place(&room)]);
}

#[test]
fn nobody_is_in_two_rooms_of_a_meeting() {
    let mut house = House::new(settings());
    house.join(1);
    house.join(2);
    let room = house.made(1, "Group 1");
    house.quiet();
    // Without having left the main room.
    house.join_as(2, &room, &nick(2));
    assert!(house.events.iter().any(|e| matches!(
        e,
        RoomEvent::OccupantLeft { session: gone, reason: LeaveReason::Replaced, .. } if *gone == session(2)
    )));
    let main = house.inbox(1);
    let gone = main
        .iter()
        .find(|e| e.attr("from") == Some(&format!("{ROOM}/{}", nick(2))));
    assert_eq!(gone.unwrap().attr("type"), Some("unavailable"));
    assert_eq!(house.meeting.occupant_count(), 2);
    house.join(2);
    assert_eq!(house.meeting.occupant_count(), 2);
    assert_eq!(
        house.meeting.whereabouts(&session(2)).unwrap().0,
        Place::Main
    );
}

#[test]
fn a_meeting_lasts_while_people_are_in_its_breakouts_and_five_seconds_more() {
    let mut house = House::new(settings());
    house.input(Input::Requested {
        request: 1,
        place: Place::Main,
        authenticated: false,
    });
    house.join(1);
    let room = house.made(1, "Group 1");
    let id = place(&room);
    // The only one there is leaves the main room on its way to a breakout.
    house.leave(1, ROOM);
    house.focus_ended(Place::Main);
    house.pass(2_000);
    house.input(Input::Requested {
        request: 2,
        place: id.clone(),
        authenticated: false,
    });
    assert!(house.others.contains(&Output::Answer {
        request: 2,
        outcome: Outcome::Ready
    }));
    assert!(
        house
            .others
            .contains(&Output::FocusWanted { place: id.clone() })
    );
    house.join_as(1, &room, &nick(1));
    house.pass(60_000);
    assert_eq!(house.ends(), 0);
    // Into the main room without a request: it gets a focus all the same.
    house.quiet();
    house.join(2);
    assert!(
        house
            .others
            .contains(&Output::FocusWanted { place: Place::Main })
    );
    house.leave(2, ROOM);
    house.focus_ended(Place::Main);
    house.quiet();
    house.leave(1, &room);
    house.focus_ended(id);
    assert_eq!(house.meeting.places(), [Place::Main]);
    house.pass(4_999);
    assert_eq!(house.ends(), 0);
    house.pass(1);
    assert_eq!(house.ends(), 1);
    assert_eq!(house.meeting.next_timeout(), None);
}

#[test]
fn who_is_in_a_breakout_that_is_closed_returns() {
    let mut house = House::new(settings());
    house.join(1);
    let room = house.made(1, "Group 1");
    house.switch(1, ROOM, &room);
    house.focus_ended(Place::Main);
    house.pass(300);
    house.quiet();
    house.breakout(1, "remove", &format!(r#"breakoutRoomJid="{room}""#));
    let own = house.inbox(1).remove(0);
    assert_eq!(own.attr("type"), Some("unavailable"));
    assert_eq!(
        own.attr("from"),
        Some(format!("{room}/{}", nick(1)).as_str())
    );
    assert_eq!(codes(&own), ["110"]);
    let destroy = own
        .child("x", ns::MUC_USER)
        .unwrap()
        .child("destroy", ns::MUC_USER);
    assert_eq!(destroy.unwrap().attr("jid"), Some(ROOM));
    let Place::Breakout(id) = place(&room) else {
        panic!()
    };
    assert!(house.others.contains(&Output::BreakoutGone { id }));
    // It was the last one: the meeting waits for those who return.
    house.focus_ended(place(&room));
    house.pass(3_000);
    assert_eq!(house.ends(), 0);
    house.join(1);
    house.pass(60_000);
    assert_eq!(house.ends(), 0);
    house.quiet();
    house.join_as(1, &room, &nick(1));
    assert_eq!(condition(&house.inbox(1)[0]).1, "not-allowed");
    assert_eq!(
        house.meeting.whereabouts(&session(1)).unwrap().0,
        Place::Main
    );
}

#[test]
fn a_meeting_with_breakouts_is_restored() {
    let mut house = House::new(settings());
    house.join(1);
    house.join(2);
    let room = house.made(1, "Group 1");
    house.switch(2, ROOM, &room);
    let text = serde_json::to_string(&house.meeting.snapshot(house.now)).unwrap();
    house.meeting = Meeting::restore(serde_json::from_str(&text).unwrap(), house.now).unwrap();
    assert_eq!(
        serde_json::to_string(&house.meeting.snapshot(house.now)).unwrap(),
        text
    );
    house.quiet();
    house.pass(300);
    let list = house.list(1);
    let id = room.split('@').next().unwrap();
    assert_eq!(
        list["rooms"][id]["participants"].as_object().unwrap().len(),
        1
    );
    house.switch(2, &room, ROOM);
    assert_eq!(house.meeting.occupant_count(), 2);
}

#[test]
fn a_large_meeting_gathers_changes_longer() {
    let mut house = House::new(settings());
    for number in 1..=200 {
        house.join(number);
    }
    house.made(1, "Group 1");
    house.quiet();
    house.pass(1_199);
    assert!(house.inbox(200).is_empty());
    house.pass(1);
    assert_eq!(house.told(200, "breakout_rooms").len(), 1);
}

#[test]
fn what_is_moderated_in_the_main_room_stays_so_while_everybody_is_in_breakouts() {
    let mut house = House::new(settings());
    house.join(1);
    house.join(2);
    house.stanza(1, r#"<message to="avmoderation.meet.jitsi"><av_moderation enable="true" mediaType="audio"/></message>"#);
    let group = house.made(1, "Group");
    for number in [2, 1] {
        house.switch(number, ROOM, &group);
    }
    house.quiet();
    for number in [1, 2] {
        house.switch(number, &group, ROOM);
    }
    assert!(!house.meeting.main.occupants[&*nick(2)].forwarded.audio);
    let told = house.told(2, "av_moderation");
    assert_eq!(told[0]["enabled"], true, "{told:?}");
}
