use crate::caps::CapsCache;
use crate::error::{BridgeFailure, Error};
use crate::member::{At, Discovery, Member, Negotiation};
use crate::sources::SourceMap;
use althing_control::{BridgeEvent, BridgeReply, BridgeRequest, Update};
use althing_model::{
    ConferenceId, EndpointId, Entropy, FeedbackSources, MediaKinds, MediaMode, NodeId, Now, Role,
};
use althing_room::{Action, Actor, Medium, OccupantInfo, PresenceFacts, RoomEvent};
use althing_xmpp::features::ClientFeatures;
use althing_xmpp::stanza::{Condition, IqType, payload, refuse, result_reply};
use althing_xmpp::{Element, Jid, ns};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

/// The version of [`Snapshot`]; a higher one is refused.
const SNAPSHOT_VERSION: u32 = 1;
/// How long the room waits for who asked for it.
const INITIAL_TIMEOUT: At = 15_000;
/// How long the last one left keeps its media session.
const SINGLE_TIMEOUT: At = 20_000;
/// How long a client may take to say what it can do.
const DISCOVERY_TIMEOUT: At = 5_000;
/// How many occupants make a conference.
pub(crate) const MIN_MEMBERS: usize = 2;

/// How much one occupant may signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// SSRCs of one occupant; 20 are three simulcast videos and two microphones.
    pub ssrcs: usize,
    /// SSRC groups of one occupant.
    pub groups: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            ssrcs: 20,
            groups: 20,
        }
    }
}

/// What a focus is told when it is made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// Its own full real JID, `focus@auth.<domain>/focus`.
    pub jid: Jid,
    /// What it says its version is.
    pub version: String,
    /// The id of the meeting on bridges.
    pub conference: ConferenceId,
    /// The bridge to use.
    pub bridge: NodeId,
    /// The bus subject that bridge events shall go to.
    pub events_to: String,
    /// How much one occupant may signal.
    pub limits: Limits,
    /// Whether clients that can are served by SSRC rewriting.
    pub rewriting: bool,
    /// Whether clients that can are told of sources as JSON.
    pub json_sources: bool,
    /// Whether clients that can are offered redundant audio (RFC 2198).
    #[serde(default)]
    pub redundant_audio: bool,
    /// What of media the room is for: without video nobody is offered any, whatever they take.
    #[serde(default)]
    pub media: MediaMode,
}

/// What a focus is told.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Input {
    /// Somebody asked for the conference and is about to join.
    Requested,
    /// Something happened in the room.
    Room(RoomEvent),
    /// An occupant's IQ to `room/focus`, request or answer.
    Iq {
        /// Who.
        from: EndpointId,
        /// The IQ.
        stanza: Element,
    },
    /// A bridge answered, or did not.
    Bridge {
        /// The number of the request.
        request_id: u64,
        /// What came back.
        result: Result<BridgeReply, BridgeFailure>,
    },
    /// Whoever runs the server asks somebody to be muted.
    Mute {
        /// The name of the key it came with.
        by: String,
        /// Whom.
        id: EndpointId,
        /// What.
        medium: Medium,
    },
    /// A bridge says something unasked.
    BridgeEvent(BridgeEvent),
    /// The time asked for by [`Focus::next_timeout`] has come.
    Timer,
}

/// What a focus wants done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Output {
    /// An IQ for an occupant; the room writes `from` and `to`.
    ToOccupant {
        /// Who.
        to: EndpointId,
        /// The IQ.
        iq: Element,
    },
    /// The focus occupant's presence from now on.
    Presence(Element),
    /// A request to a bridge.
    Bridge {
        /// Comes back with the answer.
        request_id: u64,
        /// Which bridge.
        node: NodeId,
        /// What is asked.
        request: Box<BridgeRequest>,
    },
    /// Somebody was asked to be muted.
    Muted {
        /// By whom.
        by: Actor,
        /// Whom.
        id: EndpointId,
        /// What.
        medium: Medium,
    },
    /// Somebody tried what it may not.
    Denied(Action),
    /// The conference is over: the room may go.
    End,
}

/// A focus's whole state, to be written out and read back.
#[derive(Debug, Serialize, Deserialize)]
pub struct Snapshot {
    version: u32,
    /// How old the focus was.
    age_millis: At,
    focus: Focus,
}

/// The focus of one room.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Focus {
    pub(crate) settings: Settings,
    pub(crate) feedback: FeedbackSources,
    created_millis: u64,
    /// The zero of every [`At`]; set anew when restored.
    #[serde(skip)]
    born: Option<Instant>,
    pub(crate) members: BTreeMap<EndpointId, Member>,
    pub(crate) sources: SourceMap,
    pub(crate) caps: CapsCache,
    /// Whose answer a request waits for.
    pub(crate) requests: BTreeMap<u64, EndpointId>,
    pub(crate) next_request: u64,
    pub(crate) next_iq: u64,
    /// Until when somebody is expected who has not come.
    expected_until: Option<At>,
    /// When the only one left loses its session.
    pub(crate) single_until: Option<At>,
    pub(crate) bridge_used: bool,
    pub(crate) bridge_missing: bool,
    ended: bool,
    #[serde(skip)]
    pub(crate) outputs: VecDeque<Output>,
}

impl Focus {
    /// The focus of a new room. Its first output is its presence.
    #[must_use]
    pub fn new(settings: Settings, now: Now, entropy: &mut dyn Entropy) -> Self {
        let audio = entropy.ssrc();
        let mut video = entropy.ssrc();
        while video == audio {
            video = entropy.ssrc();
        }
        let feedback = FeedbackSources { audio, video };
        let mut focus = Self {
            settings,
            feedback,
            created_millis: now.unix_millis,
            born: Some(now.monotonic),
            members: BTreeMap::new(),
            sources: SourceMap::new(feedback),
            caps: CapsCache::default(),
            requests: BTreeMap::new(),
            next_request: 0,
            next_iq: 0,
            expected_until: Some(INITIAL_TIMEOUT),
            single_until: None,
            bridge_used: false,
            bridge_missing: false,
            ended: false,
            outputs: VecDeque::new(),
        };
        focus.announce();
        focus
    }

    /// Takes one input; drain [`Focus::poll`] afterwards.
    pub fn handle(&mut self, now: Now, input: Input, entropy: &mut dyn Entropy) {
        let at = self.at(now.monotonic);
        match input {
            Input::Requested => self.expected_until = Some(at + INITIAL_TIMEOUT),
            Input::Room(event) => self.room_event(at, event),
            Input::Iq { from, stanza } => self.iq(at, &from, stanza),
            Input::Bridge { request_id, result } => {
                self.bridge_answer(at, request_id, result, entropy);
            }
            Input::Mute { by, id, medium } => self.order_mute(Actor::Server(by), &id, medium),
            Input::BridgeEvent(event) => self.bridge_event(at, &event),
            Input::Timer => {}
        }
        self.timers(at);
        self.flush(at);
        self.end_if_deserted(at);
    }

    /// The next thing to do, oldest first.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When an [`Input::Timer`] is wanted.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Instant> {
        let members = self.members.values().flat_map(|m| {
            let discovery = match &m.discovery {
                Discovery::Asked { until, .. } => Some(*until),
                Discovery::Known(_) => None,
            };
            let waiting = match &m.negotiation {
                Negotiation::Waiting { until, .. } => Some(*until),
                _ => None,
            };
            [discovery, waiting, m.flush_at]
        });
        let expected = self.expected_until.filter(|_| self.members.is_empty());
        let at = members
            .chain([self.single_until, expected])
            .flatten()
            .min()
            .filter(|_| !self.ended)?;
        Some(self.born? + Duration::from_millis(at))
    }

    /// The whole state. Outputs not yet polled are not part of it: drain first.
    #[must_use]
    pub fn snapshot(&self, now: Now) -> Snapshot {
        Snapshot {
            version: SNAPSHOT_VERSION,
            age_millis: self.at(now.monotonic),
            focus: self.clone(),
        }
    }

    /// The focus a snapshot was taken of, as old as it was then.
    ///
    /// # Errors
    /// [`Error::SnapshotVersion`] when a newer version wrote it.
    pub fn restore(snapshot: Snapshot, now: Now) -> Result<Self, Error> {
        if snapshot.version > SNAPSHOT_VERSION {
            return Err(Error::SnapshotVersion(snapshot.version));
        }
        let mut focus = snapshot.focus;
        let age = Duration::from_millis(snapshot.age_millis);
        // A machine that has run for less time than the meeting counts from its own start.
        focus.born = Some(now.monotonic.checked_sub(age).unwrap_or(now.monotonic));
        Ok(focus)
    }

    fn at(&self, now: Instant) -> At {
        let age = self
            .born
            .map_or(Duration::ZERO, |born| now.saturating_duration_since(born));
        At::try_from(age.as_millis()).unwrap_or(At::MAX)
    }

    fn room_event(&mut self, at: At, event: RoomEvent) {
        match event {
            RoomEvent::OccupantJoined(info) => self.joined(at, *info),
            RoomEvent::PresenceChanged { id, presence } => self.presence_changed(at, &id, presence),
            RoomEvent::RoleChanged { id, role } => {
                if let Some(member) = self.members.get_mut(&id) {
                    member.role = role;
                }
            }
            RoomEvent::ForwardedChanged { id, forwarded } => self.forwarded_changed(&id, forwarded),
            RoomEvent::OccupantLeft { id, .. } => self.left(at, &id),
            RoomEvent::LockChanged { .. }
            | RoomEvent::LobbyChanged { .. }
            | RoomEvent::LobbyKnock { .. }
            | RoomEvent::LobbyAdmitted { .. }
            | RoomEvent::LobbyDenied { .. }
            | RoomEvent::Done { .. } => {}
        }
    }

    /// The bridge drops what others are not to get; what is signalled stays as it is.
    fn forwarded_changed(&mut self, id: &EndpointId, forwarded: MediaKinds) {
        let Some(member) = self.members.get_mut(id) else {
            return;
        };
        member.forwarded = forwarded;
        let may_send = member.may_send.and(forwarded);
        if member.allocated {
            self.ask(BridgeRequest::Update(Update {
                may_send: Some(may_send),
                ..self.update(id)
            }));
        }
    }

    fn joined(&mut self, at: At, info: OccupantInfo) {
        self.expected_until = None;
        let id = info.id.clone();
        let discovery = self.discover(at, &id, &info.presence);
        let member = Member {
            role: info.role,
            may_send: info.may_send.and(self.settings.media.permits()),
            forwarded: info.forwarded,
            info,
            discovery,
            negotiation: Negotiation::Idle,
            allocated: false,
            busy: None,
            inbox: VecDeque::new(),
            former: VecDeque::new(),
            published: Vec::new(),
            signaled: BTreeMap::new(),
            flush_at: None,
            restarts: VecDeque::new(),
        };
        self.members.insert(id, member);
        if self.members.len() >= MIN_MEMBERS {
            self.single_until = None;
        }
        self.invite_all();
    }

    /// Looks up what a client can do, or asks it.
    fn discover(&mut self, at: At, id: &EndpointId, facts: &PresenceFacts) -> Discovery {
        if let Some(features) = facts.caps.as_ref().and_then(|caps| self.caps.get(caps)) {
            return Discovery::known(features, self.settings.media);
        }
        let iq_id = self.iq_id();
        let mut query = Element::new("query", ns::DISCO_INFO);
        if let Some(caps) = &facts.caps {
            query.set_attr("node", format!("{}#{}", caps.node, caps.ver));
        }
        let iq = Element::new("iq", ns::CLIENT)
            .with_attr("type", "get")
            .with_attr("id", iq_id.as_str())
            .with_child(query);
        self.outputs
            .push_back(Output::ToOccupant { to: id.clone(), iq });
        Discovery::Asked {
            id: iq_id,
            caps: facts.caps.clone(),
            until: at + DISCOVERY_TIMEOUT,
        }
    }

    /// New caps matter only before the offer: an offer is not changed by them.
    fn presence_changed(&mut self, at: At, id: &EndpointId, presence: PresenceFacts) {
        let Some(member) = self.members.get(id) else {
            return;
        };
        let new_caps = member.info.presence.caps != presence.caps;
        let unoffered = member.negotiation == Negotiation::Idle;
        if new_caps && unoffered {
            let discovery = self.discover(at, id, &presence);
            if let Some(member) = self.members.get_mut(id) {
                member.discovery = discovery;
            }
        }
        if let Some(member) = self.members.get_mut(id) {
            let e2ee = presence.e2ee;
            let was = std::mem::replace(&mut member.info.presence, presence);
            if member.allocated && was.e2ee != e2ee {
                self.ask(BridgeRequest::Update(Update {
                    e2ee: Some(e2ee),
                    ..self.update(id)
                }));
            }
        }
        self.invite_all();
    }

    fn left(&mut self, at: At, id: &EndpointId) {
        let Some(gone) = self.members.remove(id) else {
            return;
        };
        self.requests.retain(|_, member| member != id);
        self.sources.replace(id, Vec::new());
        if gone.allocated {
            self.expire(id);
        }
        self.forget_sources_of_leaver(at, &gone);
        if self.members.len() == 1 {
            self.single_until = Some(at + SINGLE_TIMEOUT);
        }
    }

    fn iq(&mut self, at: At, from: &EndpointId, stanza: Element) {
        match IqType::of(&stanza) {
            Some(IqType::Result | IqType::Error) => self.answer(at, from, &stanza),
            Some(IqType::Get | IqType::Set) => self.request(at, from, stanza),
            None => {}
        }
    }

    /// Whoever has left meanwhile cannot be answered.
    fn request(&mut self, at: At, from: &EndpointId, stanza: Element) {
        if !self.members.contains_key(from) {
            return;
        }
        let set = IqType::of(&stanza) == Some(IqType::Set);
        let reply = match payload(&stanza) {
            Some(p) if set && p.is("jingle", ns::JINGLE) => {
                return self.jingle(at, from, stanza);
            }
            Some(p) if set && p.name() == "mute" => return self.mute(from, &stanza),
            Some(p) if set && p.is("jibri", ns::JIBRI) => return self.record(from, &stanza),
            Some(p) if !set && p.is("ping", ns::PING) => result_reply(&stanza),
            Some(p) if !set && p.is("query", ns::DISCO_INFO) => {
                result_reply(&stanza).with_child(information())
            }
            _ => refuse(&stanza, Condition::ServiceUnavailable, None),
        };
        self.reply(from, reply);
    }

    /// An answer to one of our own IQs.
    fn answer(&mut self, at: At, from: &EndpointId, stanza: &Element) {
        let Some(member) = self.members.get_mut(from) else {
            return;
        };
        let id = stanza.attr("id").unwrap_or_default();
        let failed = IqType::of(stanza) == Some(IqType::Error);
        if let Discovery::Asked {
            id: asked, caps, ..
        } = &member.discovery
            && asked == id
        {
            let caps = caps.clone();
            let query = stanza.child("query", ns::DISCO_INFO).filter(|_| !failed);
            let features = query.map_or(ClientFeatures::ASSUMED, ClientFeatures::from_query);
            member.discovery = Discovery::known(features, self.settings.media);
            if let (Some(caps), Some(query)) = (caps, query) {
                self.caps.learn(&caps, query);
            }
            self.invite_all();
        } else if failed
            && let Negotiation::Pending(jingling) = &member.negotiation
            && jingling.offer_id == id
        {
            self.give_up(at, from);
        }
    }

    fn timers(&mut self, at: At) {
        let mut invite = false;
        let media = self.settings.media;
        for member in self.members.values_mut() {
            if let Discovery::Asked { until, .. } = &member.discovery
                && *until <= at
            {
                member.discovery = Discovery::known(ClientFeatures::ASSUMED, media);
                invite = true;
            }
        }
        if invite {
            self.invite_all();
        }
        let due: Vec<EndpointId> = self
            .members
            .iter()
            .filter(
                |(_, m)| matches!(m.negotiation, Negotiation::Waiting { until, .. } if until <= at),
            )
            .map(|(id, _)| id.clone())
            .collect();
        for id in due {
            self.allocate_again(&id);
        }
        if self.single_until.is_some_and(|until| until <= at) {
            self.single_until = None;
            self.dismiss_the_last(at);
        }
    }

    fn end_if_deserted(&mut self, at: At) {
        let expected = self.expected_until.is_some_and(|until| until > at);
        if self.ended || !self.members.is_empty() || expected {
            return;
        }
        self.ended = true;
        if self.bridge_used {
            self.ask(BridgeRequest::ExpireConference {
                conference: self.settings.conference.clone(),
            });
        }
        self.outputs.push_back(Output::End);
    }

    pub(crate) fn iq_id(&mut self) -> String {
        let id = format!("f{}", self.next_iq);
        self.next_iq += 1;
        id
    }

    pub(crate) fn reply(&mut self, to: &EndpointId, iq: Element) {
        self.outputs
            .push_back(Output::ToOccupant { to: to.clone(), iq });
    }

    /// Sends a `<jingle>` of ours; the id it went under.
    pub(crate) fn send_jingle(&mut self, to: &EndpointId, jingle: Element) -> String {
        let id = self.iq_id();
        let iq = Element::new("iq", ns::CLIENT)
            .with_attr("type", "set")
            .with_attr("id", id.as_str())
            .with_child(jingle);
        self.outputs
            .push_back(Output::ToOccupant { to: to.clone(), iq });
        id
    }

    /// Asks the bridge; the number of the request.
    pub(crate) fn ask(&mut self, request: BridgeRequest) -> u64 {
        let request_id = self.next_request;
        self.next_request += 1;
        self.outputs.push_back(Output::Bridge {
            request_id,
            node: self.settings.bridge.clone(),
            request: Box::new(request),
        });
        request_id
    }

    /// Tells the bridge to forget an endpoint; its answer is not waited for.
    pub(crate) fn expire(&mut self, endpoint: &EndpointId) {
        self.ask(BridgeRequest::Expire {
            conference: self.settings.conference.clone(),
            endpoint: endpoint.clone(),
        });
    }

    /// Our presence (protocol 1 §19).
    pub(crate) fn announce(&mut self) {
        let component = Element::new("component", ns::JITMEET)
            .with_attr("name", "focus")
            .with_text(self.settings.version.as_str());
        let mut properties = Element::new("conference-properties", ns::FOCUS);
        let bridges = if self.bridge_used && !self.bridge_missing {
            "1"
        } else {
            "0"
        };
        for (key, value) in [
            ("created-ms", self.created_millis.to_string().as_str()),
            ("support-terminate-restart", "true"),
            ("bridge-count", bridges),
        ] {
            properties.push(
                Element::new("property", ns::FOCUS)
                    .with_attr("key", key)
                    .with_attr("value", value),
            );
        }
        let mut presence = Element::new("presence", ns::CLIENT)
            .with_child(Element::new("versions", ns::JITMEET).with_child(component))
            .with_child(properties);
        if self.bridge_missing {
            presence.push(Element::new("bridgeNotAvailable", ns::FOCUS));
        }
        self.outputs.push_back(Output::Presence(presence));
    }

    pub(crate) fn is_moderator(&self, id: &EndpointId) -> bool {
        self.members
            .get(id)
            .is_some_and(|m| m.role == Role::Moderator)
    }

    /// How many occupants there are.
    #[must_use]
    pub fn member_count(&self) -> usize {
        self.members.len()
    }
}

fn information() -> Element {
    let mut query = Element::new("query", ns::DISCO_INFO).with_child(
        Element::new("identity", ns::DISCO_INFO)
            .with_attr("category", "client")
            .with_attr("type", "bot")
            .with_attr("name", "focus"),
    );
    for feature in [ns::DISCO_INFO, ns::JINGLE, ns::PING] {
        query.push(Element::new("feature", ns::DISCO_INFO).with_attr("var", feature));
    }
    query
}
