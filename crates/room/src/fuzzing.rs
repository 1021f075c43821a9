//! A whole meeting driven by arbitrary operations, for the fuzz target and for property tests:
//! people of every standing join, leave, moderate, knock and move while the clock goes on and
//! snapshots are taken. What comes of each is checked against the model in `fuzzing/model.rs`, which knows only what goes
//! in and out, and against the meeting's own state.

mod model;

use crate::preset::Preset;
use crate::room::{Network, Room};
use crate::{Input, Meeting, Moderators, Output, Place, RoomNames, Sender, Settings};
use althing_model::{
    EndpointId, Identity, MediaMode, NodeId, Now, Origin, Secret, SeededEntropy, SessionId,
    TokenStanding,
};
use althing_xmpp::{Element, Jid, Limits, ns, parse};
use model::{Deed, Model};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How many sessions there are.
const SESSIONS: u8 = 12;
/// How many people they belong to: some have two.
const PEOPLE: u8 = 8;
/// What moderators set, and some say.
const PASSWORD: &str = "secret";

/// How many operations of one input are carried out: many inputs find more than long ones.
const MAX_OPERATIONS: usize = 1_000;
/// Ends come rarely, or no meeting would last: for values up to this one.
const RARELY: u8 = 30;

/// What clients send. `ROOM` is one of the meeting's rooms, `HERE` the one the sender is in,
/// `LOBBY` the lobby, `BREAKOUT` a breakout; `NICK` is the sender and `OTHER` somebody.
const STANZAS: &[&str] = &[
    // Coming and going; repeated, or nobody would be there for all the rest.
    r#"<presence to="ROOM/NICK"><x xmlns="http://jabber.org/protocol/muc"/><nick xmlns="http://jabber.org/protocol/nick">A</nick></presence>"#,
    r#"<presence to="ROOM/NICK"><x xmlns="http://jabber.org/protocol/muc"/><nick xmlns="http://jabber.org/protocol/nick">B</nick></presence>"#,
    r#"<presence to="ROOM/NICK"><x xmlns="http://jabber.org/protocol/muc"/></presence>"#,
    r#"<presence to="ROOM/NICK"><x xmlns="http://jabber.org/protocol/muc"><password>secret</password></x></presence>"#,
    r#"<presence to="ROOM/NICK"><x xmlns="http://jabber.org/protocol/muc"><password>guess</password></x></presence>"#,
    r#"<presence to="BREAKOUT/NICK"><x xmlns="http://jabber.org/protocol/muc"/></presence>"#,
    r#"<presence to="ROOM/OTHER"><x xmlns="http://jabber.org/protocol/muc"/></presence>"#,
    r#"<presence to="HERE/NICK"><SourceInfo>{}</SourceInfo><x xmlns="http://jabber.org/protocol/muc#user"/></presence>"#,
    r#"<presence type="unavailable" to="HERE/NICK"><status>bye</status></presence>"#,
    r#"<presence type="unavailable" to="HERE/NICK"><status>switch_room</status></presence>"#,
    // Talk.
    r#"<message type="groupchat" to="HERE" id="m1"><body>hi</body></message>"#,
    r#"<message type="groupchat" to="HERE"><subject>s</subject></message>"#,
    r#"<message type="chat" to="HERE/OTHER"><body>psst</body></message>"#,
    r#"<message type="groupchat" to="ROOM" id="m1"><body>hi</body></message>"#,
    r#"<message type="groupchat" to="HERE" id="m2"><retract xmlns="urn:xmpp:message-retract:1" id="m1"/><body>gone</body></message>"#,
    r#"<message type="groupchat" to="HERE" id="m3"><apply-to xmlns="urn:xmpp:fasten:0" id="m1"><moderated xmlns="urn:xmpp:message-moderate:1"><retract xmlns="urn:xmpp:message-retract:1"/></moderated></apply-to></message>"#,
    r#"<message type="groupchat" to="HERE" id="m4"><replace xmlns="urn:xmpp:message-correct:0" id="m1"/><body>ho</body></message>"#,
    r#"<message type="groupchat" to="HERE" id="m5"><reactions xmlns="urn:xmpp:reactions:0" id="m1"><reaction>A</reaction></reactions></message>"#,
    r#"<message type="chat" to="HERE/OTHER" id="m6"><json-message xmlns="http://jitsi.org/jitmeet">{"type":"olm","olm":{}}</json-message></message>"#,
    r#"<message type="groupchat" to="HERE" id="m7"><json-message xmlns="http://jitsi.org/jitmeet">{"type":"lobby-notify"}</json-message></message>"#,
    r#"<message to="metadata.meet.jitsi"><room_metadata xmlns="http://jitsi.org/jitmeet" room="HERE">{"key":"permissions","data":{"groupChatRestricted":true}}</room_metadata></message>"#,
    r#"<iq type="set" id="mu" to="HERE/focus"><mute xmlns="http://jitsi.org/jitmeet/audio" jid="HERE/OTHER">true</mute></iq>"#,
    r#"<iq type="set" id="re" to="HERE/focus"><jibri xmlns="http://jitsi.org/protocol/jibri" action="start" recording_mode="file"/></iq>"#,
    r#"<iq type="set" id="di" to="HERE/focus"><dial xmlns="urn:xmpp:rayo:1" to="+49" from="f"/></iq>"#,
    r#"<iq type="set" id="mo" to="HERE"><query xmlns="http://jabber.org/protocol/muc#admin"><item affiliation="owner" jid="OTHER@meet.jitsi"/><item affiliation="none" jid="NICK@meet.jitsi"/></query></iq>"#,
    r#"<iq type="set" id="kb" to="BREAKOUT"><query xmlns="http://jabber.org/protocol/muc#admin"><item nick="OTHER" role="none"/></query></iq>"#,
    // Requests.
    r#"<iq type="get" id="q" to="HERE/OTHER"><ping xmlns="urn:xmpp:ping"/></iq>"#,
    r#"<iq type="result" id="r0" to="HERE/OTHER"/>"#,
    r#"<iq type="result" id="r1" to="HERE/OTHER"/>"#,
    r#"<iq type="get" id="d" to="ROOM"><query xmlns="http://jabber.org/protocol/disco#info"/></iq>"#,
    r#"<iq type="get" id="o" to="HERE"><query xmlns="http://jabber.org/protocol/muc#owner"/></iq>"#,
    r#"<iq type="set" id="j" to="HERE/focus"><jingle xmlns="urn:xmpp:jingle:1"/></iq>"#,
    // What moderators do.
    r#"<iq type="set" id="k" to="HERE"><query xmlns="http://jabber.org/protocol/muc#admin"><item nick="OTHER" role="none"/></query></iq>"#,
    r#"<iq type="set" id="g" to="HERE"><query xmlns="http://jabber.org/protocol/muc#admin"><item affiliation="owner" jid="OTHER@meet.jitsi"/></query></iq>"#,
    r#"<iq type="set" id="n" to="HERE"><query xmlns="http://jabber.org/protocol/muc#admin"><item affiliation="none" jid="OTHER@meet.jitsi"/></query></iq>"#,
    r#"<iq type="set" id="b" to="HERE"><query xmlns="http://jabber.org/protocol/muc#admin"><item affiliation="member" jid="OTHER@meet.jitsi"/></query></iq>"#,
    r#"<iq type="set" id="s" to="HERE"><query xmlns="http://jabber.org/protocol/muc#owner"><x xmlns="jabber:x:data" type="submit"><field var="muc#roomconfig_roomsecret"><value>secret</value></field><field var="muc#roomconfig_passwordprotectedroom"><value>1</value></field></x></query></iq>"#,
    r#"<iq type="set" id="u" to="HERE"><query xmlns="http://jabber.org/protocol/muc#owner"><x xmlns="jabber:x:data" type="submit"><field var="muc#roomconfig_roomsecret"><value/></field><field var="muc#roomconfig_passwordprotectedroom"><value>0</value></field></x></query></iq>"#,
    r#"<iq type="set" id="l" to="HERE"><query xmlns="http://jabber.org/protocol/muc#owner"><x xmlns="jabber:x:data" type="submit"><field var="muc#roomconfig_membersonly"><value>true</value></field></x></query></iq>"#,
    r#"<iq type="set" id="f" to="HERE"><query xmlns="http://jabber.org/protocol/muc#owner"><x xmlns="jabber:x:data" type="submit"><field var="muc#roomconfig_membersonly"><value>false</value></field></x></query></iq>"#,
    // The lobby.
    r#"<presence to="LOBBY/NICK"><x xmlns="http://jabber.org/protocol/muc"/><nick xmlns="http://jabber.org/protocol/nick">A</nick></presence>"#,
    r#"<presence to="LOBBY/NICK"><x xmlns="http://jabber.org/protocol/muc"/></presence>"#,
    r#"<presence type="unavailable" to="LOBBY/NICK"/>"#,
    r#"<message type="groupchat" to="LOBBY" id="w"><body>let me in</body></message>"#,
    r#"<message type="chat" to="LOBBY/OTHER"><body>who are you</body></message>"#,
    r#"<message to="ROOM"><x xmlns="http://jabber.org/protocol/muc#user"><invite to="OTHER@meet.jitsi"/></x></message>"#,
    r#"<message to="ROOM"><x xmlns="http://jabber.org/protocol/muc#user"><invite to="FULL"/></x></message>"#,
    r#"<iq type="set" id="a" to="ROOM"><query xmlns="http://jabber.org/protocol/muc#admin"><item affiliation="member" jid="OTHER@meet.jitsi"/></query></iq>"#,
    r#"<iq type="set" id="y" to="LOBBY"><query xmlns="http://jabber.org/protocol/muc#admin"><item nick="OTHER" role="none"/></query></iq>"#,
    // Components.
    r#"<message to="avmoderation.meet.jitsi"><av_moderation enable="true" mediaType="audio"/></message>"#,
    r#"<message to="avmoderation.meet.jitsi"><av_moderation enable="false" mediaType="audio"/></message>"#,
    r#"<message to="avmoderation.meet.jitsi"><av_moderation mediaType="audio" jidToWhitelist="HERE/OTHER"/></message>"#,
    r#"<message to="avmoderation.meet.jitsi"><av_moderation mediaType="audio" jidToBlacklist="HERE/OTHER"/></message>"#,
    r#"<message to="metadata.meet.jitsi"><room_metadata xmlns="http://jitsi.org/jitmeet" room="HERE">{"key":"startMuted","data":{"audio":true}}</room_metadata></message>"#,
    r#"<message to="metadata.meet.jitsi"><room_metadata xmlns="http://jitsi.org/jitmeet" room="HERE">{"key":"k","data":null}</room_metadata></message>"#,
    r#"<message to="polls.meet.jitsi"><json-message xmlns="http://jitsi.org/jitmeet">{"type":"polls","command":"new-poll","pollId":"p","question":"q","answers":[{"name":"a"},{"name":"b"}]}</json-message></message>"#,
    r#"<message to="polls.meet.jitsi"><json-message xmlns="http://jitsi.org/jitmeet">{"type":"polls","command":"answer-poll","pollId":"p","answers":[true,false]}</json-message></message>"#,
    r#"<message to="speakerstats.meet.jitsi"><speakerstats xmlns="http://jitsi.org/jitmeet" room="HERE" silence="false"/></message>"#,
    r#"<message to="speakerstats.meet.jitsi"><faceLandmarks xmlns="http://jitsi.org/jitmeet" room="HERE" faceExpression="happy" duration="1"/></message>"#,
    r#"<message to="endconference.meet.jitsi"><end_conference/></message>"#,
    // Breakouts.
    r#"<message to="breakout.meet.jitsi"><breakout_rooms type="features/breakout-rooms/add" subject="G"/></message>"#,
    r#"<message to="breakout.meet.jitsi"><breakout_rooms type="features/breakout-rooms/add" subject="H"/></message>"#,
    r#"<message to="breakout.meet.jitsi"><breakout_rooms type="features/breakout-rooms/remove" breakoutRoomJid="BREAKOUT"/></message>"#,
    r#"<message to="breakout.meet.jitsi"><breakout_rooms type="features/breakout-rooms/rename" breakoutRoomJid="BREAKOUT" subject="I"/></message>"#,
    r#"<message to="breakout.meet.jitsi"><breakout_rooms type="features/breakout-rooms/move-to-room" participantJid="FULL" roomJid="BREAKOUT"/></message>"#,
    r#"<message to="breakout.meet.jitsi"><breakout_rooms type="features/breakout-rooms/move-to-room" participantJid="FULL" roomJid="ROOM"/></message>"#,
];

/// The operations beside stanzas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Special {
    SessionEnded,
    SessionLeaves,
    FocusPresence,
    FocusIq,
    FocusEnded,
    Requested,
    Wait,
    Snapshot,
    Destroy,
    Document,
}

const SPECIALS: [Special; 12] = [
    Special::SessionEnded,
    Special::SessionLeaves,
    Special::FocusPresence,
    Special::FocusIq,
    Special::FocusEnded,
    Special::FocusEnded,
    Special::Requested,
    Special::Wait,
    Special::Wait,
    Special::Snapshot,
    Special::Destroy,
    Special::Document,
];

/// How many operations there are. The last makes the rest of the input a stanza.
pub const OPERATIONS: usize = STANZAS.len() + SPECIALS.len();

/// Runs the operations that `data` encodes, three bytes each after one that chooses the settings,
/// and checks after each that the meeting kept its promises.
///
/// # Panics
/// When it did not: that is what a fuzzer looks for.
pub fn operations(data: &[u8]) {
    let Some((&choice, mut rest)) = data.split_first() else {
        return;
    };
    let mut world = World::new(choice);
    for _ in 0..MAX_OPERATIONS {
        let Some((&[what, who, whom], after)) = rest.split_first_chunk::<3>() else {
            return;
        };
        rest = after;
        if !world.operation(usize::from(what) % OPERATIONS, who, whom, &mut rest) {
            return;
        }
        world.check();
    }
}

struct World {
    settings: Settings,
    meeting: Meeting,
    model: Model,
    now: Now,
    entropy: SeededEntropy,
    /// The breakouts there are or were, the latest ones.
    breakouts: Vec<String>,
    /// The rooms whose focus is there.
    focuses: BTreeSet<Place>,
    ended: bool,
}

impl World {
    fn new(choice: u8) -> Self {
        let settings = settings(choice);
        let mut entropy = SeededEntropy::new(1);
        #[expect(
            clippy::disallowed_methods,
            reason = "a starting point only; the operations move the clock themselves"
        )]
        let now = Now {
            monotonic: Instant::now(),
            unix_millis: 0,
        };
        Self {
            meeting: Meeting::new(settings.clone(), now, &mut entropy),
            model: Model::new(&settings),
            settings,
            now,
            entropy,
            breakouts: Vec::new(),
            focuses: BTreeSet::new(),
            ended: false,
        }
    }

    /// Whether there is anything left to do.
    fn operation(&mut self, what: usize, who: u8, whom: u8, rest: &mut &[u8]) -> bool {
        if self.ended {
            // A new meeting in the room of the old one.
            self.meeting = Meeting::new(self.settings.clone(), self.now, &mut self.entropy);
            self.model = Model::new(&self.settings);
            self.breakouts.clear();
            self.focuses.clear();
            self.ended = false;
        }
        let special = match what.checked_sub(STANZAS.len()) {
            None => {
                self.written_stanza(STANZAS[what], who, whom);
                return true;
            }
            Some(index) => SPECIALS[index],
        };
        let sender = sender(who % SESSIONS);
        let session = sender.session.clone();
        let place = self.some_place(whom);
        match special {
            Special::Document => {
                let text = String::from_utf8_lossy(std::mem::take(rest));
                let Ok(stanza) = parse(&text, &Limits::default()) else {
                    return false;
                };
                self.stanza(&sender, &stanza);
            }
            Special::SessionEnded => {
                self.input(
                    Deed::Gone(&session),
                    Input::SessionEnded {
                        session: session.clone(),
                    },
                );
            }
            Special::SessionLeaves => {
                let status = whom.is_multiple_of(2).then(|| "switch_room".to_owned());
                let input = Input::SessionLeaves {
                    session: session.clone(),
                    status,
                };
                self.input(Deed::Gone(&session), input);
            }
            Special::FocusPresence => {
                let presence = Element::new("presence", ns::CLIENT);
                self.input(Deed::Server, Input::FocusPresence { place, presence });
            }
            Special::FocusIq => {
                let to = EndpointId::new(nick(whom % PEOPLE)).expect("a nickname");
                let iq = Element::new("iq", ns::CLIENT);
                self.input(Deed::Server, Input::FocusIq { place, to, iq });
            }
            Special::FocusEnded => {
                // It does so only where nobody is.
                if self.model.is_empty(&self.address(&place)) && self.focuses.remove(&place) {
                    self.input(Deed::Server, Input::FocusEnded { place });
                }
            }
            Special::Requested => {
                let authenticated = sender.identity.is_some();
                let input = Input::Requested {
                    request: 1,
                    place,
                    authenticated,
                };
                self.input(Deed::Server, input);
            }
            Special::Wait => self.wait(
                [1, 100, 300, 300, 1_000, 1_000, 5_000, 60_000, 3_600_000][usize::from(whom % 9)],
            ),
            Special::Snapshot => self.restart(),
            Special::Destroy if whom > RARELY => {}
            Special::Destroy => {
                let input = Input::Destroy {
                    reason: "over".into(),
                    alternative: None,
                };
                self.input(Deed::Server, input);
            }
        }
        true
    }

    /// A stanza of the list by somebody whom it mostly makes sense for.
    fn written_stanza(&mut self, text: &str, who: u8, whom: u8) {
        if text.contains("end_conference") && whom > RARELY {
            return;
        }
        let moderates = [
            "muc#admin",
            "muc#owner",
            "avmod",
            "breakout_rooms",
            "invite",
            "end_conf",
        ];
        let number = if moderates.iter().any(|part| text.contains(part)) && !whom.is_multiple_of(4)
        {
            self.model.some_moderator(who).unwrap_or(who % SESSIONS)
        } else {
            who % SESSIONS
        };
        let strange = self.model.room_of(&sender(number).session).is_none();
        let text = if strange && text.contains("HERE") && !whom.is_multiple_of(4) {
            STANZAS[0]
        } else {
            text
        };
        let text = self.written(text, number, who, whom);
        let stanza = parse(&text, &Limits::default()).expect("a written stanza");
        self.stanza(&sender(number), &stanza);
    }

    /// A stanza of the list with its places and people.
    fn written(&self, text: &str, number: u8, who: u8, whom: u8) -> String {
        let own = nick(number % PEOPLE);
        let breakout = match self.breakouts.len() {
            0 => "none@breakout.meet.jitsi".to_owned(),
            count => breakout_address(&self.breakouts[usize::from(whom >> 4) % count]),
        };
        let room = match who / SESSIONS % 4 {
            0 => "r@conference.meet.jitsi".to_owned(),
            1 => breakout.clone(),
            _ => "r@muc.meet.jitsi".to_owned(),
        };
        let here = self.model.room_of(&sender(number).session);
        let here = here.unwrap_or_else(|| room.clone());
        let full = sender(whom % SESSIONS).jid.to_string();
        text.replace("HERE", &here)
            .replace("ROOM", &room)
            .replace("BREAKOUT", &breakout)
            .replace("LOBBY", "r@lobby.meet.jitsi")
            .replace("NICK", &own)
            .replace("FULL", &full)
            .replace("OTHER", &nick(whom % PEOPLE))
            .replacen(' ', " xmlns=\"jabber:client\" ", 1)
    }

    fn some_place(&self, whom: u8) -> Place {
        match self.breakouts.len() {
            0 => Place::Main,
            count if whom & 0x80 != 0 => {
                Place::Breakout(self.breakouts[usize::from(whom >> 3) % count].clone())
            }
            _ => Place::Main,
        }
    }

    fn address(&self, place: &Place) -> String {
        match place {
            Place::Main => self.settings.names.canonical().to_string(),
            Place::Breakout(id) => breakout_address(id),
        }
    }

    fn stanza(&mut self, sender: &Sender, stanza: &Element) {
        let deed = Deed::Stanza(sender, stanza);
        let input = Input::Stanza {
            sender: sender.clone(),
            stanza: stanza.clone(),
        };
        self.input(deed, input);
    }

    fn wait(&mut self, millis: u64) {
        let until = self.now.monotonic + Duration::from_millis(millis);
        // As often as somebody who asks for timers without end may be served.
        for _ in 0..10_000 {
            match self.meeting.next_timeout() {
                Some(due) if due <= until && !self.ended => {
                    self.now.monotonic = due.max(self.now.monotonic);
                    self.input(Deed::Server, Input::Timer);
                }
                _ => {
                    self.now.monotonic = until;
                    self.now.unix_millis += millis;
                    return;
                }
            }
        }
        panic!("a timer that is never done");
    }

    fn restart(&mut self) {
        let shown = format!("{:?}", self.meeting);
        assert!(
            !shown.contains(&format!("{PASSWORD:?}")),
            "a password is shown"
        );
        let text = serde_json::to_string(&self.meeting.snapshot(self.now)).expect("plain data");
        let snapshot = serde_json::from_str(&text).expect("what was written can be read");
        self.meeting = Meeting::restore(snapshot, self.now).expect("its own version");
        let again = serde_json::to_string(&self.meeting.snapshot(self.now)).expect("plain data");
        assert_eq!(text, again, "nothing is lost");
    }

    fn input(&mut self, deed: Deed<'_>, input: Input) {
        // A refusal is a fine outcome; a broken promise is not.
        self.meeting.handle(self.now, input, &mut self.entropy).ok();
        self.model.begin(deed);
        while let Some(output) = self.meeting.poll() {
            assert!(!self.ended, "after its end a meeting says {output:?}");
            match &output {
                Output::FocusWanted { place } => {
                    self.focuses.insert(place.clone());
                }
                Output::BreakoutMade { id } => self.breakouts.push(id.clone()),
                Output::End => self.ended = true,
                _ => {}
            }
            self.model.output(&output);
        }
        self.model.finish(self.ended);
    }

    fn check(&self) {
        let mut inside = BTreeMap::new();
        for place in self.meeting.places() {
            let room = self.meeting.room(&place).expect("a room that is awake");
            check_room(room);
            if let Place::Breakout(id) = &place {
                assert!(self.model.has_breakout(id), "a room without a name");
                assert!(self.focuses.contains(&place), "a room that nothing ends");
            }
            for session in room.by_session.keys() {
                let twice = inside.insert(session.clone(), self.address(&place));
                assert_eq!(twice, None, "in two rooms");
            }
        }
        assert_eq!(inside, self.model.inside(), "who is in");
        let used = !self.focuses.is_empty()
            || self.meeting.next_timeout().is_some()
            || self.meeting.awaits_first_host();
        assert!(
            used || self.ended || !self.model.began(),
            "a meeting that nothing ends"
        );
    }
}

fn settings(choice: u8) -> Settings {
    let names = RoomNames::new(vec![
        Jid::parse("r@muc.meet.jitsi").expect("an address"),
        Jid::parse("r@conference.meet.jitsi").expect("an address"),
    ]);
    Settings {
        names,
        focus_jid: Jid::parse("focus@auth.meet.jitsi/focus").expect("an address"),
        max_occupants: 5,
        history_messages: 4,
        history_bytes: 1000,
        media: MediaMode::All,
        domain: "meet.jitsi".into(),
        lobby: Jid::parse("r@lobby.meet.jitsi").expect("an address"),
        moderators: match choice % 4 {
            0 => Moderators::Authenticated,
            1 => Moderators::Everyone,
            _ => Moderators::First,
        },
        hosts_only: choice & 0x30 == 0x30,
        name_required: choice & 0x40 != 0,
        preset: Preset {
            lobby: choice & 0x04 != 0,
            password: (choice & 0x08 != 0).then(|| Secret::new(PASSWORD)),
            max_duration: (choice & 0x80 != 0).then_some(Duration::from_secs(7_200)),
            ..Preset::default()
        },
    }
}

fn breakout_address(id: &str) -> String {
    format!("{id}@breakout.meet.jitsi")
}

fn nick(person: u8) -> String {
    format!("n{person}")
}

/// Sessions of the same person share its bare address and its token.
fn sender(number: u8) -> Sender {
    let person = number % PEOPLE;
    let standing = match person {
        5 => Some(TokenStanding::Owner),
        6 => Some(TokenStanding::Member),
        7 => Some(TokenStanding::Unsaid),
        _ => None,
    };
    let identity = standing.map(|standing| {
        Arc::new(Identity {
            user: BTreeMap::from([("id".to_owned(), format!("u{person}"))]),
            standing,
            ..Identity::default()
        })
    });
    Sender {
        session: SessionId {
            node: NodeId::new("n1").expect("a node id"),
            number: u64::from(number),
        },
        jid: Jid::parse(&format!("n{person}@meet.jitsi/{number}")).expect("an address"),
        origin: Origin {
            secure: false,
            authority: "localhost".into(),
        },
        identity,
        network: Network([192, 0, 2, number].into()),
    }
}

fn check_room(room: &Room) {
    assert_eq!(room.occupants.len(), room.by_session.len());
    for (session, id) in &room.by_session {
        assert_eq!(&room.occupants[id].session, session);
    }
    for occupant in room.occupants.values() {
        let owner = occupant.affiliation == crate::Affiliation::Owner;
        assert_eq!(owner, occupant.is_moderator(), "an owner moderates");
        for pending in &occupant.asked {
            assert!(room.pending.contains_key(pending));
        }
    }
}
