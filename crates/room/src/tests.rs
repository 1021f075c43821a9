use crate::room::Room;
use crate::{
    Input, LeaveReason, Meeting, Moderators, Output, Place, RoomEvent, RoomNames, Sender, Settings,
};
use althing_model::{EndpointId, MediaKinds, NodeId, Now, Origin, Role, SeededEntropy, SessionId};
use althing_xmpp::{Element, Jid, Limits, ns, parse};
use std::collections::BTreeMap;
use std::time::Instant;

const ROOM: &str = "my%20room@muc.meet.jitsi";
const OTHER_FORM: &str = "my%20room@conference.meet.jitsi";

struct House {
    meeting: Meeting,
    now: Now,
    entropy: SeededEntropy,
    events: Vec<RoomEvent>,
    to_focus: Vec<(EndpointId, Element)>,
    others: Vec<Output>,
    inboxes: BTreeMap<u64, Vec<Element>>,
}

fn settings() -> Settings {
    Settings {
        names: RoomNames::new(vec![
            Jid::parse(ROOM).unwrap(),
            Jid::parse(OTHER_FORM).unwrap(),
        ]),
        focus_jid: Jid::parse("focus@auth.meet.jitsi/focus").unwrap(),
        max_occupants: 500,
        history_messages: 20,
        history_bytes: 100_000,
        may_send: MediaKinds::ALL,
        domain: "meet.jitsi".into(),
        lobby: Jid::parse("my%20room@lobby.meet.jitsi").unwrap(),
        moderators: Moderators::First,
        hosts_only: false,
    }
}

fn session(number: u64) -> SessionId {
    SessionId {
        node: NodeId::new("n1").unwrap(),
        number,
    }
}

fn sender(number: u64) -> Sender {
    Sender {
        session: session(number),
        jid: Jid::parse(&format!("{number:08x}-u@meet.jitsi/r{number}")).unwrap(),
        origin: Origin {
            secure: true,
            authority: "meet.example".into(),
        },
        identity: None,
    }
}

fn nick(number: u64) -> String {
    format!("{number:08x}")
}

impl House {
    fn new(settings: Settings) -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "a starting point only; the room has no timers"
        )]
        let now = Now {
            monotonic: Instant::now(),
            unix_millis: 1_767_225_600_000,
        };
        let mut entropy = SeededEntropy::new(7);
        let meeting = Meeting::new(settings, now, &mut entropy);
        let mut house = Self {
            meeting,
            now,
            entropy,
            events: Vec::new(),
            to_focus: Vec::new(),
            others: Vec::new(),
            inboxes: BTreeMap::new(),
        };
        let presence = parse(
            r#"<presence xmlns="jabber:client"><versions xmlns="http://jitsi.org/jitmeet"/></presence>"#,
            &Limits::default(),
        )
        .unwrap();
        house.input(Input::FocusPresence {
            place: Place::Main,
            presence,
        });
        house
    }

    fn input(&mut self, input: Input) {
        self.meeting
            .handle(self.now, input, &mut self.entropy)
            .unwrap();
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.meeting.poll() {
            match output {
                Output::Send { to, xml } => {
                    let element = parse(&xml, &Limits::default()).unwrap();
                    for session in to {
                        self.inboxes
                            .entry(session.number)
                            .or_default()
                            .push(element.clone());
                    }
                }
                Output::Event { event, .. } => self.events.push(event),
                Output::ToFocus { from, stanza, .. } => self.to_focus.push((from, stanza)),
                other => self.others.push(other),
            }
        }
    }

    /// Sends a stanza written without the client namespace.
    fn stanza(&mut self, from: u64, text: &str) {
        let text = text.replacen(' ', " xmlns=\"jabber:client\" ", 1);
        let stanza = parse(&text, &Limits::default()).unwrap();
        self.input(Input::Stanza {
            sender: sender(from),
            stanza,
        });
    }

    fn join(&mut self, number: u64) {
        self.join_as(number, ROOM, &nick(number));
    }

    fn join_as(&mut self, number: u64, room: &str, nick: &str) {
        self.stanza(
            number,
            &format!(
                r#"<presence to="{room}/{nick}"><x xmlns="http://jabber.org/protocol/muc"/><identity><user><id>fake</id></user></identity><c xmlns="http://jabber.org/protocol/caps" hash="sha-1" node="https://jitsi.org/jitsi-meet" ver="v{number}"/><SourceInfo>{{}}</SourceInfo><x xmlns="http://jabber.org/protocol/muc#user"><item role="moderator"/></x><nick xmlns="http://jabber.org/protocol/nick">Ada</nick></presence>"#
            ),
        );
    }

    fn inbox(&mut self, number: u64) -> Vec<Element> {
        self.inboxes.remove(&number).unwrap_or_default()
    }

    fn quiet(&mut self) {
        self.inboxes.clear();
        self.events.clear();
    }
}

fn item(presence: &Element) -> &Element {
    presence
        .child("x", ns::MUC_USER)
        .unwrap()
        .child("item", ns::MUC_USER)
        .unwrap()
}

fn codes(presence: &Element) -> Vec<&str> {
    presence
        .child("x", ns::MUC_USER)
        .unwrap()
        .children()
        .filter(|c| c.name() == "status")
        .map(|c| c.attr("code").unwrap())
        .collect()
}

fn condition(stanza: &Element) -> (String, String) {
    assert_eq!(stanza.attr("type"), Some("error"), "{}", stanza.to_xml());
    let error = stanza.child("error", ns::CLIENT).unwrap();
    (
        error.attr("type").unwrap().to_owned(),
        error.children().next().unwrap().name().to_owned(),
    )
}

#[test]
fn a_newcomer_hears_others_then_itself_then_the_subject() {
    let mut house = House::new(settings());
    house.join(1);
    house.quiet();
    house.join(2);
    let heard = house.inbox(2);
    let from: Vec<_> = heard.iter().map(|e| e.attr("from").unwrap()).collect();
    assert_eq!(
        from,
        [
            &format!("{ROOM}/focus"),
            &format!("{ROOM}/00000001"),
            &format!("{ROOM}/00000002"),
            ROOM
        ]
    );
    assert_eq!(
        item(&heard[0]).attr("jid"),
        Some("focus@auth.meet.jitsi/focus")
    );
    assert_eq!(item(&heard[0]).attr("affiliation"), Some("owner"));
    assert_eq!(
        item(&heard[1]).attr("jid"),
        Some("00000001-u@meet.jitsi/r1")
    );
    assert_eq!(item(&heard[1]).attr("role"), Some("moderator"));
    assert_eq!(codes(&heard[1]), [""; 0]);
    assert_eq!(item(&heard[2]).attr("role"), Some("participant"));
    assert_eq!(codes(&heard[2]), ["100", "110"]);
    assert_eq!(
        heard[3].to_xml(),
        format!(
            r#"<message xmlns="jabber:client" type="groupchat" from="{ROOM}"><subject/></message>"#
        )
    );
    let others = house.inbox(1);
    assert_eq!(others.len(), 1);
    assert_eq!(codes(&others[0]), [""; 0]);
}

#[test]
fn what_only_the_server_may_say_is_taken_out_of_presences() {
    let mut house = House::new(settings());
    house.join(1);
    let own = house.inbox(1).remove(1);
    assert!(own.child("x", ns::MUC).is_none());
    assert!(own.child_named("identity").is_none());
    assert_eq!(own.children().filter(|c| c.name() == "x").count(), 1);
    assert!(own.child_named("SourceInfo").is_some());
    assert_eq!(own.attr("type"), None);
    // The first occupant moderates from its first presence on, and learns what that permits.
    assert_eq!(item(&own).attr("role"), Some("moderator"));
    assert!(own.child("permissions", ns::JITMEET).is_some());
}

#[test]
fn a_presence_change_is_rendered_twice_in_a_large_room() {
    let mut house = House::new(settings());
    for number in 1..=200 {
        house.join(number);
    }
    house.quiet();
    let before = house.meeting.presence_renders();
    house.stanza(
        5,
        &format!(
            r#"<presence to="{ROOM}/{}"><SourceInfo>new</SourceInfo></presence>"#,
            nick(5)
        ),
    );
    assert_eq!(house.meeting.presence_renders() - before, 2);
    for number in 1..=200 {
        let heard = house.inbox(number);
        assert_eq!(heard.len(), 1, "{number}");
        assert_eq!(codes(&heard[0]).is_empty(), number != 5);
        // A full replacement: what is not repeated is gone.
        assert!(heard[0].child("nick", ns::NICK).is_none());
    }
}

#[test]
fn each_client_sees_the_address_form_it_used() {
    let mut house = House::new(settings());
    house.join(1);
    house.join_as(2, OTHER_FORM, &nick(2));
    let first = house.inbox(1);
    assert!(
        first
            .iter()
            .all(|e| e.attr("from").unwrap().starts_with(ROOM))
    );
    let second = house.inbox(2);
    assert_eq!(second.len(), 4);
    assert!(
        second
            .iter()
            .all(|e| e.attr("from").unwrap().starts_with(OTHER_FORM))
    );
    house.stanza(
        1,
        &format!(r#"<message type="groupchat" to="{ROOM}" id="a"><body>x</body></message>"#),
    );
    assert_eq!(
        house.inbox(2)[0].attr("from"),
        Some(format!("{OTHER_FORM}/00000001").as_str())
    );
}

#[test]
fn one_with_a_very_long_presence_does_not_keep_newcomers_out() {
    let mut house = House::new(settings());
    house.join(1);
    house.join(2);
    house.quiet();
    // Short as it comes in, long as it would go out.
    let name = "&amp;".repeat(7_000);
    let presence = format!(
        r#"<presence to="{ROOM}/{}"><nick xmlns="http://jabber.org/protocol/nick">{name}</nick></presence>"#,
        nick(1)
    );
    house.stanza(1, &presence);
    let refused = house.inbox(1).pop().unwrap();
    assert_eq!(
        condition(&refused),
        ("modify".into(), "policy-violation".into())
    );
    assert!(house.inbox(2).is_empty() && house.events.is_empty());
    house.join(3);
    let welcome: usize = house.inbox(3).iter().map(|e| e.to_xml().len()).sum();
    assert!(welcome < 10_000, "{welcome}");
}

#[test]
fn joins_are_refused_in_the_forms_clients_know() {
    let mut house = House::new(Settings {
        max_occupants: 1,
        ..settings()
    });
    house.join(1);
    let refused = |house: &mut House, number: u64, nick: &str| {
        house.join_as(number, ROOM, nick);
        let error = house.inbox(number).pop().unwrap();
        assert_eq!(error.attr("from"), Some(format!("{ROOM}/{nick}").as_str()));
        assert!(error.child("x", ns::MUC).is_some());
        let (kind, condition) = condition(&error);
        format!("{kind}/{condition}")
    };
    assert_eq!(refused(&mut house, 2, "a-b"), "cancel/not-allowed");
    assert_eq!(refused(&mut house, 2, "focus"), "cancel/conflict");
    assert_eq!(refused(&mut house, 2, "jvb"), "cancel/conflict");
    assert_eq!(refused(&mut house, 2, &nick(1)), "cancel/conflict");
    assert_eq!(
        refused(&mut house, 2, &nick(2)),
        "cancel/service-unavailable"
    );
    assert_eq!(refused(&mut house, 1, "other"), "cancel/not-allowed");
    house.stanza(3, &format!(r#"<presence to="{ROOM}/{}"/>"#, nick(3)));
    let error = house.inbox(3).pop().unwrap();
    assert_eq!(condition(&error).1, "item-not-found");
    assert_eq!(house.meeting.occupant_count(), 1);
}

#[test]
fn the_same_person_replaces_its_former_session() {
    let mut house = House::new(settings());
    house.join(1);
    house.quiet();
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
    assert_eq!(codes(&house.inbox(1)[0]), ["110"]);
    assert!(house.meeting.main.by_session.contains_key(&session(9))
            && !house.meeting.main.by_session.contains_key(&session(1)));
    assert!(matches!(
        house.events.as_slice(),
        [
            RoomEvent::OccupantLeft {
                reason: LeaveReason::Replaced,
                ..
            },
            RoomEvent::OccupantJoined(_)
        ]
    ));
}

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
fn locking_is_refused_rather_than_pretended() {
    let mut house = House::new(settings());
    house.join(1);
    house.join(2);
    house.quiet();
    let set = |fields: &str| {
        format!(
            r#"<iq type="set" id="o" to="{ROOM}"><query xmlns="http://jabber.org/protocol/muc#owner"><x xmlns="jabber:x:data" type="submit">{fields}</x></query></iq>"#
        )
    };
    let whois = r#"<field var="muc#roomconfig_whois"><value>anyone</value></field>"#;
    house.stanza(2, &set(whois));
    assert_eq!(condition(&house.inbox(2)[0]).1, "forbidden");
    house.stanza(
        1,
        &set(r#"<field var="muc#roomconfig_roomsecret"><value>x</value></field>"#),
    );
    assert_eq!(condition(&house.inbox(1)[0]).1, "feature-not-implemented");
    house.stanza(1, &set(whois));
    let heard = house.inbox(1);
    assert_eq!(heard[0].attr("type"), Some("result"));
    assert_eq!(codes(&heard[1]), ["104"]);
    house.stanza(1, &format!(r#"<iq type="get" id="o" to="{ROOM}"><query xmlns="http://jabber.org/protocol/muc#owner"/></iq>"#));
    let form = house.inbox(1).remove(0).to_xml();
    assert!(
        form.contains("muc#roomconfig_whois") && !form.contains("roomsecret"),
        "{form}"
    );
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

#[test]
fn a_restored_room_goes_on() {
    let mut house = House::new(settings());
    house.join(1);
    house.join(2);
    house.stanza(
        1,
        &format!(
            r#"<message type="groupchat" to="{ROOM}" id="m1"><body>a &lt; b</body></message>"#
        ),
    );
    let text = serde_json::to_string(&house.meeting.snapshot(house.now)).unwrap();
    house.meeting = Meeting::restore(serde_json::from_str(&text).unwrap(), house.now).unwrap();
    assert_eq!(serde_json::to_string(&house.meeting.snapshot(house.now)).unwrap(), text);
    house.quiet();
    house.join(3);
    let heard = house.inbox(3);
    assert_eq!(heard.len(), 6);
    assert_eq!(heard[4].child_named("body").unwrap().text(), "a < b");
    assert_eq!(house.inbox(1).len(), 1);
}

#[test]
fn presence_facts_reach_the_focus() {
    let mut house = House::new(settings());
    house.join(1);
    let RoomEvent::OccupantJoined(info) = &house.events[0] else {
        panic!("{:?}", house.events);
    };
    assert_eq!(info.presence.caps.as_ref().unwrap().ver, "v1");
    assert_eq!(info.role, Role::Moderator);
    assert_eq!(info.may_send, MediaKinds::ALL);
    assert_eq!(info.room.to_string(), ROOM);
    house.events.clear();
    house.stanza(
        1,
        &format!(
            r#"<presence to="{ROOM}/{}"><features><feature var="f"/></features></presence>"#,
            nick(1)
        ),
    );
    assert!(
        matches!(&house.events[..], [RoomEvent::PresenceChanged { presence, .. }] if presence.features.contains("f"))
    );
}

proptest::proptest! {
    #[test]
    fn any_sequence_of_operations_leaves_the_room_consistent(
        mut data in proptest::collection::vec(proptest::arbitrary::any::<u8>(), 0..900)
    ) {
        // The operation that takes the rest of the data for a document would end most runs early.
        for operation in data.chunks_exact_mut(3) {
            if operation[0] % 21 == 20 {
                operation[0] -= 1;
            }
        }
        crate::fuzzing::operations(&data);
    }
}
