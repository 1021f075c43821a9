//! The focus driven by arbitrary operations, for the fuzz target and for property tests.

use crate::member::Negotiation;
use crate::{BridgeFailure, Focus, Input, Limits, Output, Settings};
use althing_control::{
    Allocated, BridgeReply, BridgeRequest, ChannelAddress, Fingerprint, LocalTransport, RefusalCode,
};
use althing_model::{
    ConferenceId, EndpointId, Entropy as _, MediaKinds, MediaMode, NodeId, Now, Origin, Role,
    Secret, SeededEntropy, SessionId,
};
use althing_room::{Action, LeaveReason, OccupantInfo, PresenceFacts, RoomEvent};
use althing_xmpp::jingle::{Body, FEEDBACK_OWNER, Jingle, RawSources};
use althing_xmpp::{Element, Jid, ns, parse};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

/// A focus with a simulated room, bridge and clock around it.
#[derive(Debug)]
pub struct World {
    /// The focus under test.
    pub focus: Focus,
    /// The simulated time.
    pub now: Now,
    /// Its randomness.
    pub entropy: SeededEntropy,
    /// Requests the bridge has not answered.
    pub bridge: VecDeque<(u64, BridgeRequest)>,
    /// IQs sent to each occupant and not looked at.
    pub inboxes: BTreeMap<String, Vec<Element>>,
    /// The focus's presences.
    pub presences: Vec<Element>,
    /// What newcomers leave off.
    pub start_muted: althing_room::StartMuted,
    /// What it denied.
    pub denied: Vec<Action>,
    /// Whether it said that the conference is over.
    pub ended: bool,
    /// Ids of requests that wait for their one answer.
    waiting: BTreeMap<String, BTreeSet<String>>,
    /// What each client has in its SDP of others: session and SSRCs by owner.
    clients: BTreeMap<String, ClientSide>,
    /// How many source updates clients were told.
    told: usize,
    sessions: u64,
    requests: u64,
}

#[derive(Debug, Default)]
struct ClientSide {
    sid: String,
    remote: BTreeSet<(String, u32)>,
}

/// The conference all simulations are about.
#[must_use]
pub fn settings() -> Settings {
    Settings {
        jid: Jid::parse("focus@auth.meet.jitsi/focus").expect("an address"),
        version: "1".into(),
        conference: ConferenceId::new("c1").expect("an id"),
        bridge: NodeId::new("n1").expect("an id"),
        events_to: "focus.n1".into(),
        limits: Limits::default(),
        rewriting: true,
        json_sources: true,
        redundant_audio: true,
        media: MediaMode::All,
    }
}

impl World {
    /// An empty conference.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "a starting point only; the operations move the clock themselves"
        )]
        let now = Now {
            monotonic: Instant::now(),
            unix_millis: 1_767_225_600_000,
        };
        let mut entropy = SeededEntropy::new(11);
        let focus = Focus::new(settings, now, &mut entropy);
        let mut world = Self {
            focus,
            now,
            entropy,
            bridge: VecDeque::new(),
            inboxes: BTreeMap::new(),
            presences: Vec::new(),
            start_muted: althing_room::StartMuted::default(),
            denied: Vec::new(),
            ended: false,
            waiting: BTreeMap::new(),
            clients: BTreeMap::new(),
            told: 0,
            sessions: 0,
            requests: 0,
        };
        world.drain();
        world
    }

    /// Hands an input over and takes what comes of it.
    ///
    /// # Panics
    /// When an invariant of protocol 2 §20 is broken.
    pub fn input(&mut self, input: Input) {
        self.focus.handle(self.now, input, &mut self.entropy);
        self.drain();
        self.check();
    }

    fn drain(&mut self) {
        while let Some(output) = self.focus.poll() {
            match output {
                Output::ToOccupant { to, iq } => {
                    let id = iq.attr("id").unwrap_or_default().to_owned();
                    if matches!(iq.attr("type"), Some("result" | "error")) {
                        let answered = self
                            .waiting
                            .get_mut(to.as_str())
                            .is_some_and(|ids| ids.remove(&id));
                        assert!(answered, "a second answer to {id} of {to}");
                    }
                    self.client_hears(to.as_str(), &iq);
                    self.inboxes
                        .entry(to.as_str().to_owned())
                        .or_default()
                        .push(iq);
                }
                Output::Presence(presence) => self.presences.push(presence),
                Output::Bridge {
                    request_id,
                    request,
                    ..
                } => self.bridge.push_back((request_id, *request)),
                Output::Denied(action) => self.denied.push(action),
                Output::Muted { .. } => {}
                Output::End => {
                    assert!(!self.ended, "it ended twice");
                    self.ended = true;
                }
            }
        }
    }

    /// A client that does what stock clients do with Jingle from the focus.
    fn client_hears(&mut self, nick: &str, iq: &Element) {
        let Ok(jingle) = Jingle::parse(iq) else {
            return;
        };
        let client = self.clients.entry(nick.to_owned()).or_default();
        let owned = |raw: &RawSources| -> BTreeSet<(String, u32)> {
            raw.sources
                .iter()
                .filter_map(|s| Some((s.owner.clone()?, s.ssrc.0)))
                .filter(|(owner, _)| owner != FEEDBACK_OWNER)
                .collect()
        };
        match &jingle.body {
            Body::SessionInitiate(offer) => {
                client.sid = jingle.sid;
                client.remote = owned(&offer.sources);
                return;
            }
            Body::SessionTerminate(_) => {
                assert_eq!(
                    client.sid, jingle.sid,
                    "the end of a session {nick} has not"
                );
                client.remote.clear();
                return;
            }
            _ => assert_eq!(client.sid, jingle.sid, "a session {nick} has not"),
        }
        self.told += 1;
        match &jingle.body {
            Body::SourceAdd(raw) => {
                for source in owned(raw) {
                    assert!(source.0 != nick, "{nick} is told of its own source");
                    assert!(client.remote.insert(source), "{nick} is told twice");
                }
            }
            Body::SourceRemove(raw) => {
                for source in owned(raw) {
                    assert!(client.remote.remove(&source), "{nick} has no such source");
                }
            }
            other => panic!("the focus says {other:?}"),
        }
    }

    fn check(&self) {
        assert!(self.focus.sources.is_consistent());
        let mut sids = BTreeSet::new();
        for (id, member) in &self.focus.members {
            if let Some(jingling) = member.jingling() {
                assert!(sids.insert(jingling.sid.clone()), "a session id twice");
            }
            // What we think the client knows is what it knows.
            if let Some(jingling) = member.jingling() {
                let client = &self.clients[id.as_str()];
                assert_eq!(client.sid, jingling.sid);
                let signaled: BTreeSet<(String, u32)> = member
                    .signaled
                    .values()
                    .flat_map(|s| s.ssrcs().map(|ssrc| (s.name.owner().to_string(), ssrc.0)))
                    .collect();
                assert_eq!(client.remote, signaled, "what {id} knows");
            }
            // Nothing is published that is not reserved, and nothing without a session.
            for source in &member.published {
                assert!(matches!(member.negotiation, Negotiation::Active(_)));
                assert!(
                    source.ssrcs().all(|s| {
                        member.busy.is_some()
                            || self
                                .focus
                                .sources
                                .of(id)
                                .iter()
                                .any(|o| o.ssrcs().any(|x| x == s))
                    }),
                    "a published source of {id} is not in the map"
                );
            }
            // Requests are not forgotten: each waits in the inbox or at the bridge.
            let held = member.inbox.len() + usize::from(member.busy.is_some());
            let waiting = self.waiting.get(id.as_str()).map_or(0, BTreeSet::len);
            assert!(waiting <= held, "{waiting} of {id} wait, {held} are held");
        }
    }

    /// Lets time pass, waking the focus when it asked for it.
    ///
    /// # Panics
    /// When the focus asks to be woken for ever.
    pub fn pass(&mut self, by: Duration) {
        let until = self.now.after(by);
        for _ in 0..10_000 {
            let Some(due) = self.focus.next_timeout().filter(|t| *t <= until.monotonic) else {
                self.now = until;
                return;
            };
            let step = due.saturating_duration_since(self.now.monotonic);
            self.now = self.now.after(step);
            self.input(Input::Timer);
        }
        panic!("the focus does not sleep");
    }

    /// Somebody comes in, in the role given.
    ///
    /// # Panics
    /// When `nick` is not a nickname.
    pub fn join(&mut self, nick: &str, role: Role) {
        self.join_with(nick, role, PresenceFacts::default());
    }

    /// As [`World::join`], with what its presence says.
    ///
    /// # Panics
    /// When `nick` is not a nickname.
    pub fn join_with(&mut self, nick: &str, role: Role, presence: PresenceFacts) {
        self.sessions += 1;
        let info = OccupantInfo {
            forwarded: MediaKinds::ALL,
            start_muted: self.start_muted,
            identity: None,
            id: endpoint(nick),
            session: SessionId {
                node: NodeId::new("n1").expect("an id"),
                number: self.sessions,
            },
            jid: Jid::parse(&format!("{nick}@meet.jitsi/r{}", self.sessions)).expect("an address"),
            room: Jid::parse("r@muc.meet.jitsi").expect("an address"),
            origin: Origin {
                secure: true,
                authority: format!("{nick}.example"),
            },
            role,
            may_send: if role == Role::Visitor {
                MediaKinds::NONE
            } else {
                MediaKinds::ALL
            },
            presence,
        };
        self.input(Input::Room(RoomEvent::OccupantJoined(Box::new(info))));
    }

    /// Somebody's presence says this from now on.
    ///
    /// # Panics
    /// When `nick` is not a nickname.
    pub fn presence(&mut self, nick: &str, presence: PresenceFacts) {
        let id = endpoint(nick);
        self.input(Input::Room(RoomEvent::PresenceChanged { id, presence }));
    }

    /// Somebody leaves.
    pub fn leave(&mut self, nick: &str) {
        let session = SessionId {
            node: NodeId::new("n1").expect("an id"),
            number: 0,
        };
        self.waiting.remove(nick);
        self.clients.remove(nick);
        // By the presence alone a client drops what it has of the leaver, unless it expects the
        // bridge to map sources.
        for (other, client) in &mut self.clients {
            let drops = self
                .focus
                .members
                .get(other.as_str())
                .and_then(|m| m.features())
                .is_some_and(|f| !f.ssrc_rewriting);
            if drops {
                client.remote.retain(|(owner, _)| owner != nick);
            }
        }
        self.input(Input::Room(RoomEvent::OccupantLeft {
            id: endpoint(nick),
            session,
            reason: LeaveReason::Disconnected,
        }));
    }

    /// Answers the disco#info question to `nick`, if there is one.
    pub fn disclose(&mut self, nick: &str, features: &[&str]) {
        let Some(id) = self.inbox(nick).iter().find_map(|iq| {
            iq.child("query", ns::DISCO_INFO)?;
            iq.attr("id").map(str::to_owned)
        }) else {
            return;
        };
        let mut query = Element::new("query", ns::DISCO_INFO);
        for feature in features {
            query.push(Element::new("feature", ns::DISCO_INFO).with_attr("var", *feature));
        }
        let stanza = Element::new("iq", ns::CLIENT)
            .with_attr("type", "result")
            .with_attr("id", id)
            .with_child(query);
        self.input(Input::Iq {
            from: endpoint(nick),
            stanza,
        });
    }

    /// Sends a request of `nick`; the id it went under.
    pub fn request(&mut self, nick: &str, kind: &str, payload: Element) -> String {
        self.requests += 1;
        let id = format!("q{}", self.requests);
        if self.focus.members.contains_key(nick) {
            self.waiting
                .entry(nick.to_owned())
                .or_default()
                .insert(id.clone());
        }
        let stanza = Element::new("iq", ns::CLIENT)
            .with_attr("type", kind)
            .with_attr("id", id.as_str())
            .with_attr("from", format!("{nick}@meet.jitsi/r"))
            .with_attr("to", "r@muc.meet.jitsi/focus")
            .with_child(payload);
        self.input(Input::Iq {
            from: endpoint(nick),
            stanza,
        });
        id
    }

    /// Takes what was sent to `nick`.
    pub fn inbox(&mut self, nick: &str) -> Vec<Element> {
        self.inboxes.remove(nick).unwrap_or_default()
    }

    /// The bridge answers its oldest request as `answer` says; `false` when there is none.
    pub fn answer_bridge(
        &mut self,
        answer: impl FnOnce(&BridgeRequest) -> Result<BridgeReply, BridgeFailure>,
    ) -> bool {
        let Some((request_id, request)) = self.bridge.pop_front() else {
            return false;
        };
        let result = answer(&request);
        self.input(Input::Bridge { request_id, result });
        true
    }

    /// The bridge does everything it was asked; what that was.
    pub fn obey(&mut self) -> Vec<BridgeRequest> {
        let mut done = Vec::new();
        while self.answer_bridge(|request| {
            done.push(request.clone());
            Ok(obedient(request))
        }) {}
        done
    }
}

/// The answer of a bridge that does what it is asked.
#[must_use]
pub fn obedient(request: &BridgeRequest) -> BridgeReply {
    match request {
        BridgeRequest::Allocate(allocate) => BridgeReply::Allocated(Box::new(Allocated {
            node: NodeId::new("n1").expect("an id"),
            transport: LocalTransport {
                ufrag: "uf".into(),
                password: Secret::new("pw"),
                fingerprint: Fingerprint {
                    algorithm: "sha-256".into(),
                    value: "AB".into(),
                },
                candidates: Vec::new(),
            },
            channel: ChannelAddress {
                path: format!("/colibri-ws/n1/c1/{}", allocate.endpoint),
                password: Secret::new("cp"),
            },
        })),
        _ => BridgeReply::Done,
    }
}

fn endpoint(nick: &str) -> EndpointId {
    EndpointId::new(nick).expect("a nickname")
}

/// Runs the operations that `data` encodes, four bytes each, and checks the invariants of
/// protocol 2 §20 after each. One of them makes the rest of the input a document of an occupant.
///
/// # Panics
/// When the focus broke one of them: that is what a fuzzer looks for.
pub fn operations(data: &[u8]) -> usize {
    let mut world = World::new(settings());
    let mut present: BTreeSet<String> = BTreeSet::new();
    let mut rest = data;
    while let Some((&[what, who, how, more], after)) = rest.split_first_chunk::<4>() {
        rest = after;
        let nick = format!("n{}", who % 4);
        match what % 12 {
            0 if !world.ended => {
                if present.insert(nick.clone()) {
                    let role = if how == 0 {
                        Role::Visitor
                    } else {
                        Role::Participant
                    };
                    world.join(&nick, role);
                }
            }
            1 => {
                // Seldom the last one: that ends the conference, and the run.
                let leaves = if present.len() > 1 {
                    how < 160
                } else {
                    how == 0
                };
                if leaves && present.remove(&nick) {
                    world.leave(&nick);
                }
            }
            2 => {
                let features = [
                    ns::JINGLE_RTP_AUDIO,
                    ns::JINGLE_RTP_VIDEO,
                    ns::FEATURE_JSON_SOURCES,
                    ns::FEATURE_SSRC_REWRITING,
                ];
                world.disclose(&nick, &features[..usize::from(how % 5)]);
            }
            3..=5 => {
                world.answer_bridge(|request| match how % 24 {
                    0 => Err(BridgeFailure::NoResponder),
                    1 => Err(BridgeFailure::Deadline),
                    2 => Ok(BridgeReply::Refused {
                        code: RefusalCode::Invalid,
                        reason: String::new(),
                    }),
                    3 => Ok(BridgeReply::Refused {
                        code: RefusalCode::Unknown,
                        reason: String::new(),
                    }),
                    _ => Ok(obedient(request)),
                });
            }
            6 => world.pass(Duration::from_millis(u64::from(how) * u64::from(more))),
            7 if how & 1 == 0 => {
                let text = String::from_utf8_lossy(std::mem::take(&mut rest));
                if let Some(mut payload) = document(&text) {
                    let (sid, _) = session_of(&mut world, &nick, more);
                    payload.set_attr("sid", sid);
                    world.request(&nick, "set", payload);
                }
            }
            7 => {
                let text = String::from_utf8_lossy(&data[..data.len().min(64)]);
                let payload = Element::new("jingle", ns::JINGLE)
                    .with_attr("action", text.clone())
                    .with_attr("sid", text);
                world.request(&nick, "set", payload);
            }
            _ => {
                let (sid, bridge_session) = session_of(&mut world, &nick, more);
                let payload = jingle(how, more, &nick, &sid, &bridge_session);
                world.request(&nick, "set", payload);
            }
        }
        if world.ended {
            assert!(world.focus.member_count() == 0);
            return world.told;
        }
    }
    for nick in present {
        world.leave(&nick);
    }
    world.pass(Duration::from_secs(20));
    assert!(world.ended, "an empty conference ends");
    world.told
}

fn session_of(world: &mut World, nick: &str, more: u8) -> (String, String) {
    if more.is_multiple_of(16) {
        return (world.entropy.token(4), String::new());
    }
    world
        .focus
        .members
        .get(nick)
        .and_then(|m| m.jingling())
        .map_or_else(
            || ("none".to_owned(), String::new()),
            |j| (j.sid.clone(), j.bridge_session.clone()),
        )
}

/// A document, or what an IQ carries.
fn document(text: &str) -> Option<Element> {
    let element = parse(text, &althing_xmpp::Limits::default()).ok()?;
    if element.name() == "iq" {
        return element.children().next().cloned();
    }
    Some(element)
}

fn jingle(how: u8, more: u8, nick: &str, sid: &str, bridge_session: &str) -> Element {
    // Its own numbers, except for a few that others use as well.
    let base = if more < 240 {
        100 * u32::from(nick.as_bytes().last().copied().unwrap_or(0))
    } else {
        0
    };
    let ssrc = base + u32::from(more % 16) + 1;
    let (action, media, letter) = match how % 16 {
        0..4 => ("session-accept", "audio", 'a'),
        4..8 => ("source-add", "video", 'v'),
        8..10 => ("source-add", "audio", 'a'),
        10..12 => ("source-remove", "video", 'v'),
        12..14 => ("source-remove", "audio", 'a'),
        14 if more >= 32 => ("source-add", "audio", 'a'),
        _ => ("session-terminate", "audio", 'a'),
    };
    let restart = if how % 16 == 15 {
        format!(
            r#"<bridge-session xmlns="http://jitsi.org/protocol/focus" id="{bridge_session}" restart="true"/>"#
        )
    } else {
        String::new()
    };
    let text = format!(
        r#"<jingle xmlns="urn:xmpp:jingle:1" action="{action}" sid="{sid}"><content name="{media}"><description xmlns="urn:xmpp:jingle:apps:rtp:1" media="{media}"><source xmlns="urn:xmpp:jingle:apps:rtp:ssma:0" ssrc="{ssrc}" name="{nick}-{letter}{more}"><parameter name="msid" value="m{ssrc} {nick}"/></source></description><transport xmlns="urn:xmpp:jingle:transports:ice-udp:1" ufrag="u" pwd="p"><fingerprint xmlns="urn:xmpp:jingle:apps:dtls:0" hash="sha-256" setup="active">AB</fingerprint></transport></content>{restart}</jingle>"#
    );
    parse(&text, &althing_xmpp::Limits::default()).expect("a written element")
}
