//! The meeting from outside: stanzas in, stanzas out. What its modules share is here.

mod breakouts;
mod chat;
mod deeds;
mod end;
mod hostile;
mod lobby;
mod moderation;
mod operations;
mod presence;
mod requests;
mod roles;
mod settings;

use crate::{
    Action, Input, LeaveReason, Meeting, Moderators, Network, Output, Place, Preset, RoomEvent,
    RoomNames, Sender, Settings,
};
use althing_model::{
    EndpointId, Identity, MediaKinds, MediaMode, NodeId, Now, Origin, Role, SeededEntropy,
    SessionId,
};
use althing_xmpp::{Element, Jid, Limits, ns, parse};
use std::collections::BTreeMap;
use std::sync::Arc;
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
    /// Who has a token.
    identities: BTreeMap<u64, Arc<Identity>>,
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
        media: MediaMode::All,
        domain: "meet.jitsi".into(),
        lobby: Jid::parse("my%20room@lobby.meet.jitsi").unwrap(),
        moderators: Moderators::First,
        hosts_only: false,
        name_required: false,
        preset: Preset::default(),
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
        network: Network([192, 0, 2, 1].into()),
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
            identities: BTreeMap::new(),
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
                    let element = parse(&xml, &Limits::trusted()).unwrap();
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
            sender: Sender {
                identity: self.identities.get(&from).cloned(),
                ..sender(from)
            },
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
        self.others.clear();
    }

    /// What has been denied since this was asked last.
    fn denied(&mut self) -> Vec<Action> {
        let mut denied = Vec::new();
        self.others.retain(|output| match output {
            Output::Denied(action) => {
                denied.push(*action);
                false
            }
            _ => true,
        });
        denied
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
