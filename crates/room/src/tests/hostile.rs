//! Clients that do not mean well: what they dress up, blow up, or say in others' names.

use super::*;
use serde_json::Value;

fn say(house: &mut House, from: u64, payload: &str) {
    house.stanza(
        from,
        &format!(r#"<message type="groupchat" to="{ROOM}" id="m">{payload}</message>"#),
    );
}

fn json(text: &str) -> String {
    format!(r#"<json-message xmlns="http://jitsi.org/jitmeet">{text}</json-message>"#)
}

fn house() -> House {
    let mut house = House::new(settings());
    for number in 1..=3 {
        house.join(number);
    }
    house.quiet();
    house
}

fn set(house: &mut House, from: u64, key: &str, data: &str) {
    let write = format!(r#"{{"key":"{key}","data":{data}}}"#);
    house.stanza(
        from,
        &format!(r#"<message to="metadata.meet.jitsi"><room_metadata xmlns="http://jitsi.org/jitmeet">{write}</room_metadata></message>"#),
    );
}

fn poll(house: &mut House, from: u64, text: &str) {
    let payload = json(text);
    house.stanza(
        from,
        &format!(r#"<message type="chat" id="c" to="polls.meet.jitsi">{payload}</message>"#),
    );
}

/// The messages with JSON in an inbox, with who they are from.
fn heard(house: &mut House, number: u64) -> Vec<(String, Value)> {
    house
        .inbox(number)
        .iter()
        .filter_map(|stanza| {
            let payload = stanza.child("json-message", ns::JITMEET)?;
            let value = serde_json::from_str(&payload.text()).unwrap();
            Some((stanza.attr("from").unwrap().to_owned(), value))
        })
        .collect()
}

#[test]
fn json_hides_nothing_in_elements() {
    // Clients read all text below the element, and of a name written twice the last.
    let mut house = house();
    let hidden = json(r#"{"type":"x"<i>,"type":"lobby-notify"</i>}"#);
    let split = json(r#"{"type":"x","to":"<i>y","type":"system_chat_message</i>"}"#);
    for payload in [hidden, split] {
        say(&mut house, 2, &payload);
        house.stanza(
            2,
            &format!(
                r#"<message type="chat" to="{ROOM}/{}" id="w">{payload}</message>"#,
                nick(1)
            ),
        );
        assert!(house.inboxes.is_empty(), "{payload}");
    }
    say(&mut house, 2, &json(r#"{"type":"x"}"#));
    assert_eq!(heard(&mut house, 1).len(), 1);
}

#[test]
fn words_of_another_namespace_are_none() {
    // Clients go by the name of the element.
    let mut house = house();
    set(
        &mut house,
        1,
        "permissions",
        r#"{"groupChatRestricted":true}"#,
    );
    house.quiet();
    for payload in [
        r#"<body xmlns="urn:x">hi</body>"#,
        r#"<like xmlns="urn:xmpp:reactions:0" id="m1"><reaction>A</reaction></like>"#,
        r#"<gone xmlns="urn:xmpp:message-retract:1" id="m1"/>"#,
        r#"<other xmlns="urn:xmpp:message-correct:0" id="m1"/>"#,
    ] {
        say(&mut house, 2, payload);
        assert!(house.inbox(1).is_empty(), "{payload}");
    }
}

#[test]
fn nobody_knocks_with_what_only_servers_say() {
    let mut house = house();
    house.stanza(1, &settings::form(&[("membersonly", "true")]));
    let lobby = "my%20room@lobby.meet.jitsi";
    for number in [1, 4] {
        let nick = nick(number);
        house.stanza(
            number,
            &format!(r#"<presence to="{lobby}/{nick}"><x xmlns="http://jabber.org/protocol/muc"/><nick xmlns="http://jabber.org/protocol/nick">Eve</nick></presence>"#),
        );
    }
    house.quiet();
    let whisper = |house: &mut House, payload: &str| {
        house.stanza(
            4,
            &format!(
                r#"<message type="chat" to="{lobby}/{}" id="w">{payload}</message>"#,
                nick(1)
            ),
        );
        house.stanza(
            4,
            &format!(r#"<message type="groupchat" to="{lobby}" id="w">{payload}</message>"#),
        );
    };
    for kind in ["lobby-notify", "breakout_rooms", "system_chat_message"] {
        whisper(&mut house, &json(&format!(r#"{{"type":"{kind}"}}"#)));
        assert!(house.inbox(1).is_empty(), "{kind}");
    }
    whisper(
        &mut house,
        &json(r#"{"type":"LOBBY_CHAT_MESSAGE","message":"hi"}"#),
    );
    assert_eq!(house.inbox(1).len(), 2);
}

const OLD_POLL: &str = r#"{"type":"new-poll","pollId":"p","senderId":"00000001","senderName":"Boss","question":"Q","answers":["Yes","No"]}"#;

#[test]
fn polls_kept_to_moderators_are_so_in_the_older_dialect() {
    let mut house = house();
    set(
        &mut house,
        1,
        "permissions",
        r#"{"pollCreationRestricted":true}"#,
    );
    house.quiet();
    for poll in [
        OLD_POLL.to_owned(),
        OLD_POLL.replace('"', "&amp;quot;"),
        // Longer than is kept.
        OLD_POLL.replace("\"Q\"", &format!("\"{}\"", "q".repeat(1_024))),
    ] {
        say(&mut house, 2, &json(&poll));
        assert_eq!(condition(&house.inbox(2)[0]).1, "not-allowed", "{poll}");
        assert!(house.inbox(3).is_empty(), "{poll}");
    }
    assert_eq!(house.denied()[0], Action::Poll);
    say(&mut house, 1, &json(OLD_POLL));
    assert!(!house.inbox(3).is_empty());
}

#[test]
fn nobody_votes_for_another_in_the_older_dialect() {
    let mut house = house();
    say(&mut house, 2, &json(OLD_POLL));
    for (from, poll) in heard(&mut house, 3) {
        assert!(from == "polls.meet.jitsi" || from.ends_with("/00000002"));
        assert_eq!(
            (&poll["senderId"], &poll["senderName"]),
            (&"00000002".into(), &"Ada".into())
        );
    }
    house.quiet();
    say(
        &mut house,
        3,
        &json(
            r#"{"type":"answer-poll","pollId":"p","voterId":"00000001","voterName":"Boss","answers":[true,false]}"#,
        ),
    );
    let told = heard(&mut house, 2);
    assert_eq!(told.len(), 1);
    assert_eq!(
        (&told[0].1["voterId"], &told[0].1["voterName"]),
        (&"00000003".into(), &"Ada".into())
    );
    // A vote for what nobody asked reaches nobody.
    house.quiet();
    say(
        &mut house,
        3,
        &json(r#"{"type":"answer-poll","pollId":"q","answers":[true]}"#),
    );
    assert!(house.inbox(2).is_empty());
}

/// Everybody is told at once what a newcomer is, and how long that is.
fn told_newcomer(house: &mut House, number: u64) -> usize {
    house.quiet();
    house.join(number);
    let of_polls = |e: &&Element| e.attr("from") == Some("polls.meet.jitsi");
    house
        .inbox(number)
        .iter()
        .filter(of_polls)
        .map(|e| e.to_xml().len())
        .sum()
}

#[test]
fn polls_do_not_grow_without_bound() {
    let mut house = house();
    // As long a name as a presence may hold.
    let name = "N".repeat(30_000);
    house.stanza(
        2,
        &format!(r#"<presence to="{ROOM}/{}"><nick xmlns="http://jabber.org/protocol/nick">{name}</nick></presence>"#, nick(2)),
    );
    let answers = vec!["\"\""; 200].join(",");
    let votes = vec!["true"; 200].join(",");
    for n in 0..20 {
        poll(
            &mut house,
            2,
            &format!(
                r#"{{"command":"new-poll","pollId":"{n}","question":"","answers":[{answers}]}}"#
            ),
        );
        poll(
            &mut house,
            2,
            &format!(r#"{{"command":"answer-poll","pollId":"{n}","answers":[{votes}]}}"#),
        );
    }
    let told = told_newcomer(&mut house, 4);
    assert!(told < 1024 * 1024, "{told}");
}

#[test]
fn a_name_is_only_so_long_where_others_repeat_it() {
    let mut house = house();
    let name = "N".repeat(30_000);
    house.stanza(
        2,
        &format!(r#"<presence to="{ROOM}/{}"><nick xmlns="http://jabber.org/protocol/nick">{name}</nick></presence>"#, nick(2)),
    );
    house.quiet();
    poll(
        &mut house,
        2,
        r#"{"command":"new-poll","pollId":"p","question":"Q","answers":["Yes"]}"#,
    );
    let told = heard(&mut house, 3);
    assert_eq!(told[0].1["senderName"].as_str().unwrap().len(), 200);
    say(&mut house, 2, "<body>hi</body>");
    house.quiet();
    house.join(4);
    let heard = house.inbox(4);
    let shown = heard
        .iter()
        .find_map(|e| e.child_named("display-name"))
        .unwrap();
    assert_eq!(shown.text().len(), 200);
}

#[test]
fn last_words_are_short_wherever_they_are_said() {
    let mut house = house();
    house.input(Input::SessionLeaves {
        session: session(2),
        status: Some("x".repeat(100_000)),
    });
    let farewell = &house.inbox(3)[0];
    assert_eq!(
        farewell.child("status", ns::CLIENT).unwrap().text().len(),
        1_000
    );
}

#[test]
fn only_who_may_record_says_so_in_the_metadata() {
    let mut house = house();
    let features = |allowed: &[&str]| {
        let list = allowed.iter().map(|name| ((*name).to_owned(), true));
        Arc::new(Identity {
            standing: althing_model::TokenStanding::Owner,
            features: Some(list.collect()),
            ..Identity::default()
        })
    };
    house.identities.insert(4, features(&["recording"]));
    house.identities.insert(5, features(&[]));
    house.join(4);
    house.join(5);
    let [record, transcribe] = ["isRecordingRequested", "isTranscribingEnabled"]
        .map(|flag| format!(r#"{{"{flag}":true}}"#));
    for (number, data, allowed) in [
        (2, &record, false),
        (5, &record, false),
        (5, &transcribe, false),
        (4, &transcribe, false),
        (4, &record, true),
        (1, &transcribe, true),
    ] {
        house.quiet();
        set(&mut house, number, "recording", data);
        assert_eq!(
            house.inbox(3).len(),
            usize::from(allowed),
            "{number} {data}"
        );
        assert_eq!(house.denied().is_empty(), allowed, "{number} {data}");
    }
    // What is on already is nobody's to take away who may not.
    house.quiet();
    set(&mut house, 5, "recording", "null");
    assert!(house.inbox(3).is_empty());
}

#[test]
fn who_comes_anew_in_its_own_place_stays_approved() {
    let mut house = house();
    let moderation = |house: &mut House, what: &str| {
        house.stanza(
            1,
            &format!(r#"<message to="avmoderation.meet.jitsi"><av_moderation {what} mediaType="audio"/></message>"#),
        );
    };
    moderation(&mut house, r#"enable="true""#);
    moderation(
        &mut house,
        &format!(r#"jidToWhitelist="{ROOM}/{}""#, nick(2)),
    );
    let sender = Sender {
        session: session(20),
        ..sender(2)
    };
    let stanza = format!(
        r#"<presence xmlns="jabber:client" to="{ROOM}/{}"><x xmlns="http://jabber.org/protocol/muc"/></presence>"#,
        nick(2)
    );
    let stanza = parse(&stanza, &Limits::default()).unwrap();
    house.quiet();
    house.input(Input::Stanza { sender, stanza });
    let forwarded = |house: &House| house.meeting.main.occupants[&*nick(2)].forwarded.audio;
    assert!(forwarded(&house));
    house.quiet();
    // What moderators are told next says so, too.
    moderation(
        &mut house,
        &format!(r#"jidToWhitelist="{ROOM}/{}""#, nick(3)),
    );
    let told = heard(&mut house, 1);
    let listed = told
        .iter()
        .find_map(|(_, json)| json["whitelists"]["audio"].as_array())
        .unwrap();
    assert_eq!(listed.len(), 3, "{listed:?}");
    assert!(forwarded(&house));
}
