//! AV moderation and metadata (protocol 4 §§7, 18) and polls (§13).

use super::*;
use serde_json::Value;

fn json(message: &Element) -> Value {
    let payload = message.child("json-message", ns::JITMEET).unwrap();
    serde_json::from_str(&payload.text()).unwrap()
}

/// The messages of one component in an inbox.
fn said(house: &mut House, to: u64, component: &str) -> Vec<Value> {
    let from = format!("{component}.meet.jitsi");
    house
        .inbox(to)
        .iter()
        .filter(|stanza| stanza.attr("from") == Some(&from))
        .map(json)
        .collect()
}

fn moderation(house: &mut House, from: u64, what: &str) {
    house.stanza(
        from,
        &format!(r#"<message to="avmoderation.meet.jitsi"><av_moderation {what}/></message>"#),
    );
}

fn forwarded(house: &House, number: u64) -> MediaKinds {
    house.meeting.main.occupants[&*nick(number)].forwarded
}

fn full_house() -> House {
    let mut house = House::new(settings());
    for number in 1..=3 {
        house.join(number);
    }
    house.quiet();
    house
}

#[test]
fn while_audio_is_moderated_only_the_approved_are_forwarded() {
    let mut house = full_house();
    moderation(&mut house, 1, r#"enable="true" mediaType="audio""#);
    for number in [2, 3] {
        assert!(!forwarded(&house, number).audio && forwarded(&house, number).video);
    }
    assert!(forwarded(&house, 1).audio);
    let inbox = house.inbox(2);
    let enabled = inbox.iter().find(|s| s.name() == "message").unwrap();
    assert_eq!(
        json(enabled),
        serde_json::json!({"type": "av_moderation", "room": ROOM, "enabled": true,
            "actor": format!("{ROOM}/00000001"), "mediaType": "audio"})
    );
    let mute = inbox.iter().find(|s| s.name() == "iq").unwrap();
    assert_eq!(mute.attr("from"), Some(&*format!("{ROOM}/focus")));
    let order = mute.child("mute", ns::JITMEET_AUDIO).unwrap();
    assert_eq!(
        (order.text().as_str(), order.attr("actor")),
        ("true", Some(&*format!("{ROOM}/00000001")))
    );
    // The moderator is not muted, and learns who is approved.
    let inbox = house.inbox(1);
    assert!(inbox.iter().all(|s| s.name() != "iq"));
    let lists: Vec<Value> = inbox
        .iter()
        .filter(|s| s.name() == "message")
        .map(json)
        .collect();
    assert!(
        lists.contains(&serde_json::json!({"type": "av_moderation", "room": ROOM,
        "whitelists": {"audio": [format!("{ROOM}/00000001")]}, "mediaType": "audio"})),
        "{lists:?}"
    );

    house.quiet();
    moderation(
        &mut house,
        1,
        &format!(r#"jidToWhitelist="{ROOM}/00000002" mediaType="audio""#),
    );
    assert!(forwarded(&house, 2).audio && !forwarded(&house, 3).audio);
    assert_eq!(
        said(&mut house, 2, "avmoderation"),
        [serde_json::json!({"type": "av_moderation",
        "room": ROOM, "approved": true, "mediaType": "audio"})]
    );
    assert!(house.inbox(3).is_empty());
    let changed = house
        .events
        .iter()
        .filter(|event| matches!(event, RoomEvent::ForwardedChanged { .. }));
    assert_eq!(
        changed.cloned().collect::<Vec<_>>(),
        [RoomEvent::ForwardedChanged {
            id: EndpointId::new("00000002").unwrap(),
            forwarded: MediaKinds::ALL
        }]
    );

    moderation(
        &mut house,
        1,
        &format!(r#"jidToBlacklist="{ROOM}/00000002" mediaType="audio""#),
    );
    assert!(!forwarded(&house, 2).audio);
    moderation(&mut house, 1, r#"enable="false" mediaType="audio""#);
    assert!(forwarded(&house, 2).audio && forwarded(&house, 3).audio);
}

#[test]
fn guests_moderate_nothing() {
    let mut house = full_house();
    moderation(&mut house, 2, r#"enable="true" mediaType="video""#);
    moderation(
        &mut house,
        2,
        &format!(r#"jidToWhitelist="{ROOM}/00000002" mediaType="video""#),
    );
    house.stanza(2, r#"<message to="metadata.meet.jitsi"><room_metadata xmlns="http://jitsi.org/jitmeet">{"key":"startMuted","data":{"audio":true}}</room_metadata></message>"#);
    assert!((1..=3).all(|number| house.inbox(number).is_empty()));
    assert!(house.events.is_empty());
    assert_eq!(
        house.denied(),
        [Action::AvModeration, Action::AvModeration, Action::Metadata]
    );
}

#[test]
fn newcomers_to_a_moderated_room_are_silent_and_know_why() {
    let mut house = full_house();
    moderation(&mut house, 1, r#"enable="true" mediaType="audio""#);
    house.quiet();
    house.join(4);
    assert!(!forwarded(&house, 4).audio);
    let inbox = house.inbox(4);
    // Metadata come before everything else: clients look at them as they join.
    assert_eq!(inbox[0].attr("from"), Some("metadata.meet.jitsi"));
    assert_eq!(json(&inbox[0])["metadata"]["startMuted"]["audio"], true);
    let RoomEvent::OccupantJoined(info) = &house.events[0] else {
        panic!()
    };
    assert!(!info.forwarded.audio);
    assert!(info.start_muted.audio && !info.start_muted.video);
    // Made a moderator, it is heard, and its rights go when the role goes.
    let grant = |affiliation| {
        format!(
            r#"<iq type="set" id="g" to="{ROOM}"><query xmlns="http://jabber.org/protocol/muc#admin"><item affiliation="{affiliation}" jid="00000004-u@meet.jitsi"/></query></iq>"#
        )
    };
    house.stanza(1, &grant("owner"));
    assert!(forwarded(&house, 4).audio);
    house.stanza(1, &grant("none"));
    assert!(!forwarded(&house, 4).audio);
    // Switched off, newcomers start as they did before.
    house.quiet();
    moderation(&mut house, 1, r#"enable="false" mediaType="audio""#);
    let told = said(&mut house, 2, "metadata");
    assert_eq!(told[0]["metadata"]["startMuted"]["audio"], false);
}

#[test]
fn an_invitation_to_speak_says_from_whom() {
    let mut house = full_house();
    moderation(
        &mut house,
        1,
        &format!(r#"jidToWhitelist="{ROOM}/00000003" mediaType="audio""#),
    );
    assert_eq!(
        said(&mut house, 3, "avmoderation"),
        [serde_json::json!({"type": "av_moderation", "room": ROOM,
        "approved": true, "mediaType": "audio", "from": format!("{ROOM}/00000001")})]
    );
    assert!(house.inbox(1).is_empty());
}

#[test]
fn metadata_are_sent_whole_at_every_change_but_the_servers_own_are_not_written() {
    let mut house = full_house();
    let write = |key: &str, data: &str| {
        format!(
            r#"<message to="metadata.meet.jitsi"><room_metadata xmlns="http://jitsi.org/jitmeet" room="{ROOM}">{{"key":"{key}","data":{data},"type":"room_metadata"}}</room_metadata></message>"#
        )
    };
    house.stanza(
        1,
        &write("whiteboard", r#"{"collabDetails":{"roomId":"a&amp;b"}}"#),
    );
    let told = said(&mut house, 3, "metadata");
    assert_eq!(
        told[0]["metadata"]["whiteboard"]["collabDetails"]["roomId"],
        "a&b"
    );
    // Nothing new, nothing said.
    house.quiet();
    house.stanza(
        1,
        &write("whiteboard", r#"{"collabDetails":{"roomId":"a&amp;b"}}"#),
    );
    house.stanza(1, &write("moderators", r#"["me"]"#));
    house.stanza(1, &write("long", &format!("\"{}\"", "x".repeat(40_000))));
    assert!(house.inbox(3).is_empty());
    house.stanza(1, &write("whiteboard", "null"));
    assert_eq!(
        said(&mut house, 3, "metadata")[0]["metadata"],
        serde_json::json!({})
    );
}

#[test]
fn nothing_of_it_outlasts_those_who_were_there() {
    let mut house = full_house();
    moderation(&mut house, 1, r#"enable="true" mediaType="audio""#);
    for number in 1..=3 {
        house.input(Input::SessionEnded {
            session: session(number),
        });
    }
    house.quiet();
    house.join(4);
    house.join(5);
    assert!(said(&mut house, 5, "avmoderation").is_empty());
    assert!(!house.meeting.common.metadata.start_muted().audio);
    assert!(forwarded(&house, 5).audio);
}

fn poll(house: &mut House, from: u64, json: &str) {
    house.stanza(from, &format!(r#"<message type="chat" id="c" to="polls.meet.jitsi"><json-message xmlns="http://jitsi.org/jitmeet">{json}</json-message></message>"#));
}

const NEW: &str = r#"{"type":"polls","command":"new-poll","pollId":"p1","question":"Lunch?","answers":[{"name":"Yes"},{"name":"No"}]}"#;

#[test]
fn votes_reach_everybody_and_newcomers_see_the_result() {
    let mut house = full_house();
    poll(&mut house, 1, NEW);
    assert_eq!(said(&mut house, 1, "polls")[0]["senderId"], "00000001");
    house.quiet();
    poll(
        &mut house,
        2,
        r#"{"type":"polls","command":"answer-poll","pollId":"p1","senderId":"00000003","answers":[true,false]}"#,
    );
    let vote = &said(&mut house, 3, "polls")[0];
    assert_eq!(
        (&vote["senderId"], &vote["senderName"]),
        (&"00000002".into(), &"Ada".into())
    );
    poll(
        &mut house,
        2,
        r#"{"type":"polls","command":"answer-poll","pollId":"p1","answers":[false,true]}"#,
    );
    house.quiet();
    house.join(4);
    let told = said(&mut house, 4, "polls");
    assert_eq!(told[0]["command"], "old-polls");
    assert_eq!(
        told[0]["polls"][0]["answers"],
        serde_json::json!([
        {"name": "Yes", "voters": []}, {"name": "No", "voters": [{"id": "00000002", "name": "Ada"}]}])
    );
}

#[test]
fn polls_that_make_no_sense_are_refused() {
    let mut house = full_house();
    poll(&mut house, 1, NEW);
    house.quiet();
    for json in [
        NEW,
        r#"{"command":"answer-poll","pollId":"p2","answers":[true]}"#,
        r#"{"command":"answer-poll","pollId":"p1","answers":[true]}"#,
        "{",
    ] {
        poll(&mut house, 2, json);
        let inbox = house.inbox(2);
        assert_eq!(
            condition(&inbox[0]),
            ("cancel".into(), "not-allowed".into()),
            "{json}"
        );
        assert!(house.inbox(3).is_empty());
    }
}

#[test]
fn polls_may_be_kept_to_moderators() {
    let mut house = full_house();
    house.stanza(1, r#"<message to="metadata.meet.jitsi"><room_metadata xmlns="http://jitsi.org/jitmeet">{"key":"permissions","data":{"pollCreationRestricted":true}}</room_metadata></message>"#);
    house.quiet();
    poll(&mut house, 2, NEW);
    assert_eq!(house.inbox(2).len(), 1);
    assert_eq!(house.denied(), [Action::Poll]);
    poll(&mut house, 1, NEW);
    assert_eq!(said(&mut house, 2, "polls").len(), 1);
}

#[test]
fn both_dialects_of_polls_meet_in_one_store() {
    let mut house = full_house();
    house.stanza(2, &format!(r#"<message type="groupchat" id="m" to="{ROOM}"><json-message xmlns="http://jitsi.org/jitmeet">{{"type":"new-poll","pollId":"old","question":"Tea?","answers":["Yes","No"]}}</json-message></message>"#));
    // Who speaks the newer one is told in it as well.
    assert_eq!(said(&mut house, 3, "polls")[0]["answers"][0]["name"], "Yes");
    assert!(said(&mut house, 2, "polls").is_empty());
    house.quiet();
    poll(
        &mut house,
        1,
        r#"{"command":"answer-poll","pollId":"old","answers":[true,false]}"#,
    );
    let inbox = house.inbox(2);
    assert_eq!(inbox.len(), 1);
    assert_eq!(
        (inbox[0].attr("type"), inbox[0].attr("from")),
        (Some("groupchat"), Some(&*format!("{ROOM}/00000001")))
    );
    assert_eq!(json(&inbox[0])["voterId"], "00000001");
}
