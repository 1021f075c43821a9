//! How meetings end, and what is counted until then.

use super::{House, OTHER_FORM, ROOM, codes, item, nick, session, settings};
use crate::{Action, Input, LeaveReason, Meeting, Output, RoomEvent};
use althing_xmpp::{Element, Jid, ns};
use serde_json::{Value, json};

const END: &str = r#"<message to="endconference.meet.jitsi"><end_conference/></message>"#;

fn destroy(presence: &Element) -> &Element {
    assert_eq!(presence.attr("type"), Some("unavailable"));
    assert_eq!(codes(presence), ["110"]);
    let item = item(presence);
    assert_eq!(item.attr("affiliation"), Some("none"));
    assert_eq!(item.attr("role"), Some("none"));
    let x = presence.child("x", ns::MUC_USER).unwrap();
    x.child("destroy", ns::MUC_USER).unwrap()
}

#[test]
fn a_moderator_ends_the_meeting_for_all_wherever_they_are() {
    let mut house = House::new(settings());
    house.join(1);
    house.join_as(2, OTHER_FORM, &nick(2));
    house.join(3);
    house.stanza(1, r#"<message to="breakout.meet.jitsi"><breakout_rooms type="features/breakout-rooms/add" subject="G"/></message>"#);
    let id = house.others.iter().find_map(|o| match o {
        Output::BreakoutMade { id } => Some(id.clone()),
        _ => None,
    });
    let breakout = format!("{}@breakout.meet.jitsi", id.unwrap());
    house.join_as(3, &breakout, &nick(3));
    house.quiet();
    for stranger in [2, 3] {
        house.stanza(stranger, END);
    }
    house.stanza(9, END);
    assert_eq!(house.denied(), [Action::End; 2]);
    assert!(house.inboxes.is_empty() && house.events.is_empty());
    house.stanza(
        1,
        r#"<message to="endconference.meet.jitsi"><what/></message>"#,
    );
    assert!(house.inboxes.is_empty());

    house.stanza(1, END);
    for (number, room) in [(1, ROOM), (2, OTHER_FORM), (3, breakout.as_str())] {
        let heard = house.inbox(number);
        assert_eq!(heard.len(), 1, "{number}: its own, and no other's");
        let destroy = destroy(&heard[0]);
        assert_eq!(
            heard[0].attr("from"),
            Some(format!("{room}/{}", nick(number)).as_str())
        );
        assert_eq!(destroy.attr("jid"), None);
        let reason = destroy.child("reason", ns::MUC_USER).unwrap().text();
        assert_eq!(reason, "The meeting has been terminated");
    }
    let gone = |n: u64| {
        let mut events = house.events.iter();
        events.any(|e| matches!(e, RoomEvent::OccupantLeft { session: s, reason: LeaveReason::Destroyed, .. } if *s == session(n)))
    };
    assert!((1..=3).all(gone));
    assert_eq!(house.others, [Output::End]);
    assert_eq!(house.meeting.occupant_count(), 0);
    assert_eq!(house.meeting.next_timeout(), None);
    // It is over: nobody is told anything any more.
    house.quiet();
    house.join(4);
    house.stanza(1, END);
    house.input(Input::Timer);
    assert!(house.inboxes.is_empty() && house.others.is_empty() && house.events.is_empty());
}

#[test]
fn who_waits_in_the_lobby_hears_that_the_meeting_is_over() {
    let mut house = House::new(settings());
    house.join(1);
    house.stanza(1, &format!(r#"<iq type="set" id="l" to="{ROOM}"><query xmlns="http://jabber.org/protocol/muc#owner"><x xmlns="jabber:x:data" type="submit"><field var="muc#roomconfig_membersonly"><value>true</value></field></x></query></iq>"#));
    let lobby = "my%20room@lobby.meet.jitsi";
    house.join_as(2, lobby, &nick(2));
    house.quiet();
    house.stanza(1, END);
    let heard = house.inbox(2);
    assert_eq!(heard.len(), 1);
    let own = format!("{lobby}/{}", nick(2));
    assert_eq!(heard[0].attr("from"), Some(own.as_str()));
    let reason = destroy(&heard[0]).child_named("reason").unwrap().text();
    assert_eq!(reason, "The meeting has been terminated");
}

#[test]
fn a_moderator_in_a_breakout_ends_the_meeting_too() {
    let mut house = House::new(settings());
    house.join(1);
    house.join(2);
    house.stanza(1, r#"<message to="breakout.meet.jitsi"><breakout_rooms type="features/breakout-rooms/add" subject="G"/></message>"#);
    let id = house.others.iter().find_map(|o| match o {
        Output::BreakoutMade { id } => Some(id.clone()),
        _ => None,
    });
    house.join_as(1, &format!("{}@breakout.meet.jitsi", id.unwrap()), &nick(1));
    house.quiet();
    house.stanza(1, END);
    destroy(&house.inbox(1)[0]);
    destroy(&house.inbox(2)[0]);
}

#[test]
fn a_meeting_is_ended_from_outside_and_its_people_sent_elsewhere() {
    let mut house = House::new(settings());
    house.join(1);
    house.quiet();
    house.input(Input::Destroy {
        reason: "Time is up".into(),
        alternative: Some(Jid::parse("other@muc.meet.jitsi").unwrap()),
    });
    let heard = house.inbox(1);
    let destroy = destroy(&heard[0]);
    assert_eq!(destroy.attr("jid"), Some("other@muc.meet.jitsi"));
    assert_eq!(destroy.child_named("reason").unwrap().text(), "Time is up");
}

impl House {
    fn speaks(&mut self, from: u64, silence: bool) {
        self.stanza(
            from,
            &format!(r#"<message to="speakerstats.meet.jitsi"><speakerstats xmlns="http://jitsi.org/jitmeet" room="{ROOM}" silence="{silence}"/></message>"#),
        );
    }

    fn looks(&mut self, from: u64, face: &str) {
        self.stanza(
            from,
            &format!(r#"<message to="speakerstats.meet.jitsi"><faceLandmarks xmlns="http://jitsi.org/jitmeet" room="{ROOM}" faceExpression="{face}" timestamp="1767225600123" duration="3"/></message>"#),
        );
    }

    fn statistics(&mut self, newcomer: u64) -> Option<Value> {
        self.join(newcomer);
        self.told(newcomer, "speakerstats").pop()
    }
}

#[test]
fn a_newcomer_learns_who_spoke_how_long() {
    let mut house = House::new(settings());
    house.join(1);
    house.join(2);
    assert_eq!(house.statistics(3), None);
    house.speaks(1, false);
    house.pass(5_000);
    house.speaks(2, false);
    house.pass(300);
    // Not the one who is heard: that changes nothing.
    house.speaks(1, true);
    house.pass(200);
    let told = house.statistics(4).unwrap();
    assert_eq!(
        told,
        json!({ "type": "speakerstats", "users": {
            nick(1): { "displayName": "Ada", "totalDominantSpeakerTime": 5000, "faceLandmarks": [] },
            nick(2): { "displayName": "Ada", "totalDominantSpeakerTime": 500, "faceLandmarks": [] },
        }})
    );
    house.speaks(2, true);
    house.pass(10_000);
    house.speaks(1, false);
    house.pass(1_000);
    house.input(Input::SessionEnded {
        session: session(1),
    });
    house.pass(1_000);
    house.looks(2, "happy");
    house.looks(2, "&lt;script>");
    house.looks(2, &"x".repeat(100));
    house.speaks(9, false);
    let text = serde_json::to_string(&house.meeting.snapshot(house.now)).unwrap();
    house.meeting = Meeting::restore(serde_json::from_str(&text).unwrap(), house.now).unwrap();
    let told = house.statistics(5).unwrap();
    // Who left keeps its name and its time.
    assert_eq!(told["users"][nick(1)]["totalDominantSpeakerTime"], 6000);
    assert_eq!(told["users"][nick(1)]["displayName"], "Ada");
    assert_eq!(
        told["users"][nick(2)],
        json!({ "displayName": "Ada", "totalDominantSpeakerTime": 500, "faceLandmarks": [
            { "faceExpression": "happy", "timestamp": 1_767_225_600_123_u64, "duration": 3 },
        ]})
    );
    assert_eq!(told["users"].as_object().unwrap().len(), 2);
}

#[test]
fn statistics_do_not_grow_without_end() {
    let mut house = House::new(settings());
    house.join(1);
    house.speaks(1, false);
    house.pass(1_000);
    for _ in 0..1_100 {
        house.looks(1, "sad");
    }
    for number in 2..=1_101 {
        house.join(number);
        house.speaks(number, false);
        house.input(Input::SessionEnded {
            session: session(number),
        });
        house.inboxes.clear();
    }
    let told = house.statistics(5_000).unwrap();
    let users = told["users"].as_object().unwrap();
    assert_eq!(users.len(), 1_000);
    // The one who spoke longest is still there.
    assert_eq!(users[&nick(1)]["totalDominantSpeakerTime"], 1000);
    assert_eq!(
        users[&nick(1)]["faceLandmarks"].as_array().unwrap().len(),
        1_000
    );
}

#[test]
fn the_timer_starts_with_the_second_occupant() {
    let mut house = House::new(settings());
    house.join(1);
    house.pass(60_000);
    house.join(2);
    house.pass(60_000);
    house.join(3);
    house.quiet();
    house.stanza(3, &format!(r#"<iq type="get" id="d" to="{ROOM}"><query xmlns="http://jabber.org/protocol/disco#info"/></iq>"#));
    let answer = house.inbox(3).remove(0).to_xml();
    assert!(answer.contains("<value>1767225660000</value>"), "{answer}");
}

#[test]
fn shared_experiences_are_relayed_as_they_are() {
    let mut house = House::new(settings());
    house.join(1);
    house.join(2);
    house.quiet();
    let children = [
        r#"<follow-me filmstripVisible="true" tileViewEnabled="false" nextOnStage="bbbb2222" pinnedStageParticipants="[]" maxStageParticipants="1" sharedDocumentVisible="false" recorder="false"/>"#,
        r#"<shared-video state="playing" time="12.5" volume="50" muted="false" from="aaaa1111">https://video.example/a.mp4?x=1&amp;y=2</shared-video>"#,
        r#"<jitsi_participant_raisedHand>1767225600000</jitsi_participant_raisedHand>"#,
    ];
    house.stanza(
        1,
        &format!(
            r#"<presence to="{ROOM}/{}">{}</presence>"#,
            nick(1),
            children.concat()
        ),
    );
    let heard = house.inbox(2).remove(0).to_xml();
    for child in children {
        assert!(heard.contains(child), "{child} in {heard}");
    }
    // Late ones learn it, too.
    house.join(3);
    let welcome = house.inbox(3);
    assert!(
        welcome
            .iter()
            .any(|e| e.child_named("shared-video").is_some())
    );
    // What is not repeated is over.
    house.stanza(
        1,
        &format!(
            r#"<presence to="{ROOM}/{}"><follow-me off="true"/></presence>"#,
            nick(1)
        ),
    );
    let heard = house.inbox(2).pop().unwrap();
    assert!(heard.child_named("shared-video").is_none());
    assert_eq!(
        heard.child_named("follow-me").unwrap().attr("off"),
        Some("true")
    );
}

#[test]
fn a_whiteboard_is_metadata_and_passes_as_it_is_into_breakouts_too() {
    let mut house = House::new(settings());
    house.join(1);
    house.join(2);
    house.quiet();
    let board = json!({ "collabDetails": { "roomId": "r1", "roomKey": "k-&-1" }, "collabServerUrl": "https://x.example" });
    let write = json!({ "type": "room_metadata", "key": "whiteboard", "data": board });
    let text = write.to_string().replace('&', "&amp;");
    house.stanza(1, &format!(r#"<message to="metadata.meet.jitsi"><room_metadata xmlns="http://jitsi.org/jitmeet" room="{ROOM}">{text}</room_metadata></message>"#));
    let told = house.told(2, "room_metadata").remove(0);
    assert_eq!(told["metadata"]["whiteboard"], board);
    house.stanza(1, r#"<message to="breakout.meet.jitsi"><breakout_rooms type="features/breakout-rooms/add" subject="G"/></message>"#);
    let id = house.others.iter().find_map(|o| match o {
        Output::BreakoutMade { id } => Some(id.clone()),
        _ => None,
    });
    let id = id.unwrap();
    let breakout = format!("{id}@breakout.meet.jitsi");
    house.quiet();
    let written = |house: &House| house.meeting.common.metadata.written();
    let before = written(&house);
    house.join_as(2, &breakout, &nick(2));
    let welcome = house.inbox(2);
    // Before everything else, naming the room it is in now.
    let payload = welcome[0].child("json-message", ns::JITMEET).unwrap();
    assert_eq!(payload.attr("room"), Some(breakout.as_str()));
    let told: Value = serde_json::from_str(&payload.text()).unwrap();
    assert_eq!(told["metadata"]["whiteboard"], board);
    // Written out for those who know the room by this address, for as long as there is one.
    assert_eq!(written(&house), before + 1);
    house.join(2);
    let place = crate::Place::Breakout(id);
    house.input(Input::FocusEnded { place });
    assert_eq!(written(&house), before);
    house.join_as(2, &breakout, &nick(2));
    assert_eq!(written(&house), before + 1);
    house.stanza(1, &format!(r#"<message to="breakout.meet.jitsi"><breakout_rooms type="features/breakout-rooms/remove" breakoutRoomJid="{breakout}"/></message>"#));
    assert_eq!(written(&house), before);
}
