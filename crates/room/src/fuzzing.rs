//! The room driven by arbitrary operations, for the fuzz target and for property tests.

use crate::room::Room;
use crate::{
    Input, Meeting, Moderators, Network, Output, Place, Preset, RoomNames, Sender, Settings,
};
use althing_model::{EndpointId, MediaKinds, NodeId, Now, Origin, SeededEntropy, SessionId};
use althing_xmpp::{Element, Jid, Limits, ns, parse};
use std::time::Instant;

const STANZAS: &[&str] = &[
    r#"<presence to="ROOM/NICK"><x xmlns="http://jabber.org/protocol/muc"/><nick xmlns="http://jabber.org/protocol/nick">A</nick></presence>"#,
    r#"<presence to="ROOM/NICK"><SourceInfo>{}</SourceInfo><x xmlns="http://jabber.org/protocol/muc#user"/></presence>"#,
    r#"<presence type="unavailable" to="ROOM/NICK"><status>bye</status></presence>"#,
    r#"<message type="groupchat" to="ROOM" id="m1"><body>hi</body></message>"#,
    r#"<message type="groupchat" to="ROOM"><subject>s</subject></message>"#,
    r#"<message type="chat" to="ROOM/OTHER"><body>psst</body></message>"#,
    r#"<iq type="get" id="q" to="ROOM/OTHER"><ping xmlns="urn:xmpp:ping"/></iq>"#,
    r#"<iq type="result" id="r0" to="ROOM/OTHER"/>"#,
    r#"<iq type="result" id="r1" to="ROOM/OTHER"/>"#,
    r#"<iq type="set" id="k" to="ROOM"><query xmlns="http://jabber.org/protocol/muc#admin"><item nick="OTHER" role="none"/></query></iq>"#,
    r#"<iq type="set" id="g" to="ROOM"><query xmlns="http://jabber.org/protocol/muc#admin"><item affiliation="owner" jid="OTHER@meet.jitsi"/></query></iq>"#,
    r#"<iq type="set" id="n" to="ROOM"><query xmlns="http://jabber.org/protocol/muc#admin"><item affiliation="none" jid="OTHER@meet.jitsi"/></query></iq>"#,
    r#"<iq type="get" id="d" to="ROOM"><query xmlns="http://jabber.org/protocol/disco#info"/></iq>"#,
    r#"<iq type="get" id="o" to="ROOM"><query xmlns="http://jabber.org/protocol/muc#owner"/></iq>"#,
    r#"<iq type="set" id="j" to="ROOM/focus"><jingle xmlns="urn:xmpp:jingle:1"/></iq>"#,
];

/// Runs the operations that `data` encodes, three bytes each, on one room, and checks after each
/// that the room is consistent. One of them makes the rest of the input a stanza.
///
/// # Panics
/// When the room broke a promise: that is what a fuzzer looks for.
pub fn operations(data: &[u8]) {
    let names = RoomNames::new(vec![
        Jid::parse("r@muc.meet.jitsi").expect("an address"),
        Jid::parse("r@conference.meet.jitsi").expect("an address"),
    ]);
    let settings = Settings {
        names,
        focus_jid: Jid::parse("focus@auth.meet.jitsi/focus").expect("an address"),
        max_occupants: 5,
        history_messages: 4,
        history_bytes: 1000,
        may_send: MediaKinds::ALL,
        domain: "meet.jitsi".into(),
        lobby: Jid::parse("r@lobby.meet.jitsi").expect("an address"),
        moderators: Moderators::First,
        hosts_only: false,
        name_required: false,
        preset: Preset::default(),
    };
    let mut entropy = SeededEntropy::new(1);
    #[expect(
        clippy::disallowed_methods,
        reason = "a starting point only; the operations move the clock themselves"
    )]
    let now = Now {
        monotonic: Instant::now(),
        unix_millis: 0,
    };
    let mut meeting = Meeting::new(settings, now, &mut entropy);
    let mut rest = data;
    while let Some((&[what, who, whom], after)) = rest.split_first_chunk::<3>() {
        rest = after;
        let session = SessionId {
            node: NodeId::new("n1").expect("a node id"),
            number: u64::from(who % 8),
        };
        let input = match usize::from(what % 21) {
            20 => {
                let text = String::from_utf8_lossy(std::mem::take(&mut rest));
                let Ok(stanza) = parse(&text, &Limits::default()) else {
                    return;
                };
                Input::Stanza {
                    sender: sender(session, who),
                    stanza,
                }
            }
            17 => Input::SessionEnded { session },
            18 => Input::FocusPresence {
                place: Place::Main,
                presence: Element::new("presence", ns::CLIENT),
            },
            19 => Input::FocusIq {
                place: Place::Main,
                to: EndpointId::new(format!("n{}", whom % 8)).expect("a nickname"),
                iq: Element::new("iq", ns::CLIENT),
            },
            index => {
                let form = if who & 0x80 == 0 { "muc" } else { "conference" };
                let text = STANZAS[index % STANZAS.len()]
                    .replace("ROOM", &format!("r@{form}.meet.jitsi"))
                    .replace("NICK", &format!("n{}", who % 8))
                    .replace("OTHER", &format!("n{}", whom % 8))
                    .replacen(' ', " xmlns=\"jabber:client\" ", 1);
                let stanza = parse(&text, &Limits::default()).expect("a written stanza");
                Input::Stanza {
                    sender: sender(session, who),
                    stanza,
                }
            }
        };
        // A refusal is a fine outcome; a panic or an inconsistent room is not.
        meeting.handle(now, input, &mut entropy).ok();
        check(&mut meeting);
    }
}

fn sender(session: SessionId, who: u8) -> Sender {
    Sender {
        session,
        // Two sessions of one person in eight.
        jid: Jid::parse(&format!("n{}@meet.jitsi/{}", who % 8, who / 8)).expect("an address"),
        origin: Origin {
            secure: false,
            authority: "localhost".into(),
        },
        identity: None,
        network: Network([192, 0, 2, who % 3].into()),
    }
}

fn check(meeting: &mut Meeting) {
    while let Some(output) = meeting.poll() {
        if let Output::Send { to, xml } = output {
            assert!(!to.is_empty(), "nobody is sent {xml}");
            parse(&xml, &Limits::default()).expect("what is sent can be read");
        }
    }
    for place in meeting.places() {
        check_room(meeting.room(&place).expect("a room that is awake"));
    }
}

fn check_room(room: &Room) {
    assert_eq!(room.occupants.len(), room.by_session.len());
    for (session, id) in &room.by_session {
        assert_eq!(&room.occupants[id].session, session);
    }
    if !room.occupants.is_empty() {
        assert!(
            room.occupants
                .values()
                .any(crate::occupant::Occupant::is_moderator)
                || room
                    .occupants
                    .values()
                    .all(|o| o.affiliation != crate::Affiliation::Owner),
            "an owner moderates"
        );
    }
    for pending in room.occupants.values().flat_map(|o| &o.asked) {
        assert!(room.pending.contains_key(pending));
    }
}
