//! Breakout rooms and the end for all, over WebSockets and with the bridge watched.

use crate::harness::{Client, DOMAIN, House, ROOM};
use althing_control::BridgeRequest;
use althing_model::ConferenceId;
use althing_xmpp::{Element, ns};
use serde_json::Value;

const FEATURES: &[&str] = &[
    "urn:xmpp:jingle:apps:rtp:audio",
    "urn:xmpp:jingle:apps:rtp:video",
    "urn:ietf:rfc:4588",
    "http://jitsi.org/tcc",
];
const END: &str = r#"<message xmlns="jabber:client" to="endconference.meet.jitsi"><end_conference xmlns="jabber:client"/></message>"#;

impl Client {
    async fn breakout(&mut self, command: &str, attributes: &str) {
        self.send(format!(r#"<message xmlns="jabber:client" to="breakout.{DOMAIN}"><breakout_rooms type="features/breakout-rooms/{command}" {attributes}/></message>"#)).await;
    }

    /// Reads on to a message of the breakout component for this event.
    async fn breakout_event(&mut self, event: &str) -> Value {
        loop {
            let message = self.until(|e| e.name() == "message").await;
            if message.attr("from") != Some("breakout.meet.jitsi") {
                continue;
            }
            let payload = message.child("json-message", ns::JITMEET).unwrap();
            let json: Value = serde_json::from_str(&payload.text()).unwrap();
            assert_eq!(json["type"], "breakout_rooms");
            if json["event"] == format!("features/breakout-rooms/{event}") {
                return json;
            }
        }
    }

    /// Makes a breakout and waits for the list that names it: its address.
    async fn make_breakout(&mut self, subject: &str) -> String {
        self.breakout("add", &format!(r#"subject="{subject}""#))
            .await;
        loop {
            let list = self.breakout_event("update").await;
            let rooms = list["rooms"].as_object().unwrap();
            if let Some(room) = rooms.values().find(|room| room["name"] == subject) {
                return room["jid"].as_str().unwrap().to_owned();
            }
        }
    }

    async fn leave(&mut self, room: &str) {
        let nick = self.nick.clone();
        self.send(format!(r#"<presence xmlns="jabber:client" type="unavailable" to="{room}/{nick}"><status>switch_room</status></presence>"#)).await;
        let own = format!("{room}/{nick}");
        self.until(|e| e.attr("type") == Some("unavailable") && e.attr("from") == Some(&own))
            .await;
    }

    /// As stock clients go from one room of a meeting to another.
    async fn switch(&mut self, from: &str, to: &str) -> Vec<Element> {
        self.leave(from).await;
        self.request_conference(to).await;
        self.join(to).await
    }

    /// Answers the focus's questions until it offers.
    async fn offered_in(&mut self, room: &str) {
        loop {
            let element = self.until(|e| e.name() == "iq").await;
            let (id, from) = (
                element.attr("id").unwrap_or_default().to_owned(),
                element.attr("from").unwrap_or_default().to_owned(),
            );
            let answer = if element.child("query", ns::DISCO_INFO).is_some() {
                let features: String = FEATURES
                    .iter()
                    .map(|f| format!(r#"<feature var="{f}"/>"#))
                    .collect();
                format!(
                    r#"<query xmlns="http://jabber.org/protocol/disco#info">{features}</query>"#
                )
            } else {
                String::new()
            };
            self.send(format!(
                r#"<iq xmlns="jabber:client" type="result" id="{id}" to="{from}">{answer}</iq>"#
            ))
            .await;
            let action = element
                .child("jingle", ns::JINGLE)
                .map(|j| j.attr("action"));
            if action == Some(Some("session-initiate")) && from == format!("{room}/focus") {
                return;
            }
        }
    }
}

impl House {
    /// The conferences in which the bridge was asked for endpoints of this name, in order.
    fn conferences_of(&self, endpoint: &str) -> Vec<ConferenceId> {
        let requests = self.requests.lock().unwrap();
        let allocated = requests.iter().filter_map(|request| match request {
            BridgeRequest::Allocate(allocate) if allocate.endpoint.as_str() == endpoint => {
                Some(allocate.conference.clone())
            }
            _ => None,
        });
        allocated.collect()
    }

    async fn until_expired(&self, conference: &ConferenceId) {
        let expired = || {
            let requests = self.requests.lock().unwrap();
            requests.iter().any(|request| {
                matches!(request, BridgeRequest::ExpireConference { conference: c } if c == conference)
            })
        };
        let waited = tokio::time::timeout(std::time::Duration::from_secs(60), async {
            while !expired() {
                tokio::task::yield_now().await;
            }
        });
        assert!(waited.await.is_ok(), "{conference} has not expired");
    }
}

#[tokio::test]
async fn a_breakout_has_a_conference_of_its_own_and_the_meeting_outlives_its_main_room() {
    let house = House::start().await;
    let (mut ada, _) = house.joined(ROOM).await;
    let (mut bob, _) = house.joined(ROOM).await;
    ada.offered_in(ROOM).await;
    bob.offered_in(ROOM).await;
    let main = house.conferences_of(&ada.nick).remove(0);
    let breakout = ada.make_breakout("Group 1").await;

    ada.breakout(
        "move-to-room",
        &format!(r#"participantJid="{}" roomJid="{breakout}""#, bob.jid),
    )
    .await;
    let order = bob.breakout_event("move-to-room").await;
    assert_eq!(order["roomJid"], breakout.as_str());
    let welcome = bob.switch(ROOM, &breakout).await;
    let subject = welcome.last().unwrap().child_named("subject").unwrap();
    assert_eq!(subject.text(), "Group 1");
    let seen = ada.breakout_event("update").await;
    assert!(seen["rooms"]["demo"]["participants"].is_object());
    ada.switch(ROOM, &breakout).await;
    bob.offered_in(&breakout).await;
    ada.offered_in(&breakout).await;
    let apart = house.conferences_of(&ada.nick).pop().unwrap();
    assert_ne!(main, apart);
    assert_eq!(
        house.conferences_of(&bob.nick),
        [main.clone(), apart.clone()]
    );
    // Nobody is in the main room, whose conference ends; the meeting does not.
    house.until_expired(&main).await;
    assert_eq!(house.metric("rooms"), 1);
    assert_eq!(house.metric("occupants"), 2);
    // Both go back, the moderator as such, to a new conference.
    bob.switch(&breakout, ROOM).await;
    let welcome = ada.switch(&breakout, ROOM).await;
    let own = format!("{ROOM}/{}", ada.nick);
    let own = welcome
        .iter()
        .find(|e| e.attr("from") == Some(&own))
        .unwrap();
    assert!(
        own.to_xml().contains(r#"role="moderator""#),
        "{}",
        own.to_xml()
    );
    ada.offered_in(ROOM).await;
    let again = house.conferences_of(&ada.nick).pop().unwrap();
    assert!(again != main && again != apart);
    house.until_expired(&apart).await;
    assert_eq!(house.metric("rooms"), 1);
}

#[tokio::test]
async fn a_breakout_that_is_closed_sends_its_people_back() {
    let house = House::start().await;
    let (mut ada, _) = house.joined(ROOM).await;
    let (mut bob, _) = house.joined(ROOM).await;
    let breakout = ada.make_breakout("Group 1").await;
    bob.switch(ROOM, &breakout).await;
    ada.breakout(
        "rename",
        &format!(r#"breakoutRoomJid="{breakout}" subject="Later""#),
    )
    .await;
    let subject = bob.until(|e| e.child_named("subject").is_some()).await;
    assert_eq!(subject.child_named("subject").unwrap().text(), "Later");
    ada.breakout("remove", &format!(r#"breakoutRoomJid="{breakout}""#))
        .await;
    let own = format!("{breakout}/{}", bob.nick);
    let gone = bob.until(|e| e.attr("from") == Some(&own)).await.to_xml();
    assert!(
        gone.contains(&format!(r#"<destroy jid="{ROOM}">"#)),
        "{gone}"
    );
    bob.request_conference(ROOM).await;
    bob.join(ROOM).await;
    // Its address leads nowhere any more.
    let payload = format!(
        r#"<conference xmlns="http://jitsi.org/protocol/focus" room="{breakout}" machine-uid="m"/>"#
    );
    let refused = bob.ask("set", Some("focus.meet.jitsi"), &payload).await;
    assert_eq!(refused.attr("type"), Some("error"));
    let body = format!(r#"{{"room":"{breakout}","properties":{{}}}}"#);
    let (status, ..) = house.http("POST", "/conference-request/v1", &body).await;
    assert_eq!(status, 404);
    bob.send(bob.join_stanza(&breakout)).await;
    let refused = bob.until(|e| e.attr("type") == Some("error")).await;
    assert!(
        refused.to_xml().contains("<not-allowed"),
        "{}",
        refused.to_xml()
    );
    assert_eq!(house.metric("occupants"), 2);
}

#[tokio::test]
async fn strangers_do_not_get_into_breakouts_and_guests_do_not_command() {
    let house = House::start().await;
    let (mut ada, _) = house.joined(ROOM).await;
    let (mut bob, _) = house.joined(ROOM).await;
    let breakout = ada.make_breakout("Group 1").await;
    // The request is answered, over HTTP as well; who comes in is decided at the door.
    let body = format!(r#"{{"room":"{breakout}","properties":{{}}}}"#);
    let (status, _, body) = house.http("POST", "/conference-request/v1", &body).await;
    assert_eq!(status, 200, "{body}");
    assert!(body.contains(r#""ready":true"#), "{body}");
    let mut eve = house.client().await;
    eve.request_conference(&breakout).await;
    eve.send(eve.join_stanza(&breakout)).await;
    let refused = eve.expect().await;
    let own = format!("{breakout}/{}", eve.nick);
    assert_eq!(refused.attr("from"), Some(own.as_str()));
    let error = refused.child("error", ns::CLIENT).unwrap();
    assert_eq!(error.attr("type"), Some("cancel"));
    assert_eq!(error.children().next().unwrap().name(), "not-allowed");

    bob.breakout("add", r#"subject="Mine""#).await;
    bob.breakout("remove", &format!(r#"breakoutRoomJid="{breakout}""#))
        .await;
    bob.breakout(
        "move-to-room",
        &format!(r#"participantJid="{}" roomJid="{breakout}""#, ada.jid),
    )
    .await;
    bob.send(END).await;
    bob.ask("get", Some(ROOM), r#"<ping xmlns="urn:xmpp:ping"/>"#)
        .await;
    assert_eq!(house.denied("breakout"), 3);
    assert_eq!(house.denied("end"), 1);
    // Nothing changed for anyone.
    assert_eq!(house.metric("occupants"), 2);
    let next = ada.make_breakout("Group 2").await;
    assert_ne!(next, breakout);
}

impl House {
    fn denied(&self, action: &str) -> i64 {
        self.metric(&format!(r#"denied_total{{action="{action}"}}"#))
    }
}

#[tokio::test]
async fn the_end_for_all_reaches_main_room_and_breakouts_and_the_name_is_free_at_once() {
    let house = House::start().await;
    let (mut ada, _) = house.joined(ROOM).await;
    let (mut bob, _) = house.joined(ROOM).await;
    let (mut cleo, _) = house.joined(ROOM).await;
    ada.offered_in(ROOM).await;
    let breakout = ada.make_breakout("Group 1").await;
    bob.switch(ROOM, &breakout).await;
    let conference = house.conferences_of(&ada.nick).remove(0);
    ada.send(END).await;
    for (client, room) in [
        (&mut ada, ROOM),
        (&mut bob, breakout.as_str()),
        (&mut cleo, ROOM),
    ] {
        let gone = client
            .until(|e| e.name() == "presence" && e.to_xml().contains("<destroy>"))
            .await;
        assert_eq!(
            gone.attr("from"),
            Some(format!("{room}/{}", client.nick).as_str())
        );
        assert_eq!(gone.attr("to"), Some(client.jid.as_str()));
        let xml = gone.to_xml();
        assert!(
            xml.contains("<reason>The meeting has been terminated</reason>"),
            "{xml}"
        );
        assert!(xml.contains(r#"<status code="110"/>"#), "{xml}");
    }
    // The same address again, by one who was there and one who was not: a new meeting.
    bob.request_conference(ROOM).await;
    let welcome = bob.join(ROOM).await;
    let own = format!("{ROOM}/{}", bob.nick);
    let own = welcome
        .iter()
        .find(|e| e.attr("from") == Some(&own))
        .unwrap();
    assert!(own.to_xml().contains(r#"role="moderator""#));
    house.until_expired(&conference).await;
    house.until_metric("occupants", 1).await;
    house.until_metric("rooms", 1).await;
    let refused = bob
        .ask(
            "set",
            Some("focus.meet.jitsi"),
            &format!(r#"<conference xmlns="http://jitsi.org/protocol/focus" room="{breakout}" machine-uid="m"/>"#),
        )
        .await;
    assert_eq!(refused.attr("type"), Some("error"));
}
