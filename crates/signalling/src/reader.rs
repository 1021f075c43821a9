//! The reading half of a bound session: frames in, stanzas to whoever they are for.

use crate::addresses::{Visit, network};
use crate::bucket::Bucket;
use crate::clock::OsEntropy;
use crate::directory::{self, RoomHandle, RoomKey, Target};
use crate::metrics::{Metrics, Reason};
use crate::resume::Claim;
use crate::room_task::RoomInput;
use crate::sessions::{Managed, Outbox, Outgoing};
use crate::wire::{Ending, Heard, Incoming, Source};
use crate::{Settings, Shared, services};
use althing_model::{ClientInfo, Identity, SessionId};
use althing_room::{Component, Network, Sender};
use althing_xmpp::framing::StreamCondition;
use althing_xmpp::session::{CloseReason, Output, Session};
use althing_xmpp::sm::{self, Ask};
use althing_xmpp::stanza::{Condition, IqType, Kind, refuse};
use althing_xmpp::{Element, Jid, ns};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How many rooms one session may be in.
const MAX_ROOMS: usize = 16;
/// What a stanza for everybody in a room counts in addition.
const BROADCAST_TOKENS: u32 = 3;

/// A room as a session knows it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum RoomName {
    Room(RoomKey),
    Lobby(RoomKey),
    Breakout(String),
}

impl RoomName {
    fn of(jid: &Jid, domain: &str) -> Option<Self> {
        match RoomKey::classify(jid, domain) {
            Target::Room(key) => Some(Self::Room(key)),
            Target::Lobby(key) => Some(Self::Lobby(key)),
            Target::Breakout(id) => Some(Self::Breakout(id)),
            Target::RoomService | Target::Component(_) | Target::Other => None,
        }
    }
}

/// What one session may do, how fast.
#[derive(Debug)]
struct Rates {
    stanzas: Bucket,
    bytes: Bucket,
    joins: Bucket,
}

impl Rates {
    fn new(settings: &Settings) -> Self {
        Self {
            stanzas: Bucket::new(settings.stanzas_per_second, settings.stanza_burst),
            bytes: Bucket::new(settings.bytes_per_second, settings.byte_burst),
            joins: Bucket::new(
                settings.session_joins_per_second,
                settings.session_join_burst,
            ),
        }
    }

    /// How long to wait before a frame of so many bytes is taken; counted when it does.
    fn take(&mut self, bytes: u32, metrics: &Metrics) -> Option<Duration> {
        let (stanzas, bytes) = (self.stanzas.take(1), self.bytes.take(bytes));
        for (wait, reason) in [
            (stanzas, Reason::SessionStanzas),
            (bytes, Reason::SessionBytes),
        ] {
            if wait.is_some() {
                metrics.refuse(reason);
            }
        }
        stanzas.max(bytes)
    }
}

/// Why nothing is read any more.
#[derive(Debug)]
pub(crate) enum End {
    /// The stream has ended; what waits for the client is still sent.
    Closed,
    /// The client does not take what waits for it, or is let go.
    GivenUp,
    /// The connection is gone, and the client was heard of last at that moment.
    Lost { since: Instant, ending: Ending },
    /// The client has another connection.
    Claimed(Box<Claim>),
}

pub(crate) struct Reader {
    shared: Arc<Shared>,
    id: SessionId,
    info: ClientInfo,
    session: Session,
    jid: Jid,
    outbox: Outbox,
    managed: Managed,
    claim: mpsc::Sender<Box<Claim>>,
    /// By what the client may go on with this session.
    resumption: Option<String>,
    rooms: HashMap<RoomName, RoomHandle>,
    /// The room it came into last.
    latest: Option<RoomName>,
    /// Who it is by its token.
    identity: Option<Arc<Identity>>,
    rates: Rates,
}

impl Reader {
    #[expect(clippy::too_many_arguments, reason = "all that a session is made of")]
    pub(crate) fn new(
        shared: Arc<Shared>,
        id: SessionId,
        info: ClientInfo,
        identity: Option<Arc<Identity>>,
        jid: Jid,
        session: Session,
        outbox: Outbox,
        managed: Managed,
        claim: mpsc::Sender<Box<Claim>>,
    ) -> Self {
        let rates = Rates::new(&shared.settings);
        Self {
            shared,
            id,
            info,
            session,
            jid,
            outbox,
            managed,
            claim,
            resumption: None,
            rooms: HashMap::new(),
            latest: None,
            identity,
            rates,
        }
    }

    /// Reads until the stream or the connection ends. What was read is acted on to its end.
    pub(crate) async fn run(
        &mut self,
        source: &mut Source,
        visit: &Visit,
        claims: &mut mpsc::Receiver<Box<Claim>>,
        lost: &CancellationToken,
        heard: &Heard,
    ) -> End {
        let silence = source.silence();
        while !self.session.is_closed() {
            let silent = async {
                match silence {
                    Some(silence) => tokio::time::sleep_until(heard.at() + silence).await,
                    None => std::future::pending().await,
                }
            };
            let incoming = tokio::select! {
                biased;
                () = self.shared.stop_sessions.cancelled() => {
                    self.end(StreamCondition::SystemShutdown);
                    return End::Closed;
                }
                () = self.outbox.overflow.cancelled() => return End::GivenUp,
                Some(claim) = claims.recv() => return End::Claimed(claim),
                incoming = source.next() => incoming,
                () = lost.cancelled() => Incoming::Ended(Ending::Lost),
                () = silent => {
                    self.shared.metrics.refuse(Reason::Silent);
                    if self.is_resumable() {
                        return End::Lost { since: heard.at(), ending: Ending::Lost };
                    }
                    self.end(StreamCondition::ConnectionTimeout);
                    return End::Closed;
                }
            };
            heard.set(Instant::now());
            match incoming {
                Incoming::Frame(text) => {
                    self.wait(visit, text.len()).await;
                    self.session.handle_frame(text.as_str(), &mut OsEntropy);
                    self.carry_out(visit).await;
                }
                Incoming::Element(element, bytes) => {
                    self.wait(visit, bytes).await;
                    self.session.handle_element(element, &mut OsEntropy);
                    self.carry_out(visit).await;
                }
                Incoming::Alive => {}
                Incoming::Binary => {
                    self.shared.metrics.refuse(Reason::Binary);
                    self.end(StreamCondition::BadFormat);
                }
                Incoming::Broken => {
                    self.shared.metrics.refuse(Reason::Stream);
                    self.end(StreamCondition::PolicyViolation);
                }
                Incoming::Ended(ending) => {
                    return End::Lost {
                        since: heard.at(),
                        ending,
                    };
                }
            }
        }
        End::Closed
    }

    /// Tells every room that the session is gone, and forgets its id.
    pub(crate) async fn leave(&mut self) {
        if let Some(id) = self.resumption.take() {
            self.shared.resumable.withdraw(&id);
        }
        for room in std::mem::take(&mut self.rooms).into_values() {
            let input = althing_room::Input::SessionEnded {
                session: self.id.clone(),
            };
            // A room that has ended meanwhile has no occupants to take out.
            room.inputs.send(RoomInput::Room(input)).await.ok();
        }
    }

    /// Whether the client knows an id to go on by when its connection is gone.
    pub(crate) fn is_resumable(&self) -> bool {
        self.resumption.is_some() && self.managed.is_started() && !self.session.is_closed()
    }

    /// Goes on for a client that has come back, perhaps from elsewhere and with a newer token; what
    /// it is told first.
    pub(crate) fn resume(&mut self, info: ClientInfo, identity: Option<Arc<Identity>>) -> String {
        let id = self.resumption.as_deref().unwrap_or_default();
        self.shared.resumable.identify(id, identity.clone());
        self.info = info;
        self.identity = identity;
        sm::resumed(id, self.session.received())
    }

    pub(crate) const fn session_mut(&mut self) -> &mut Session {
        &mut self.session
    }

    fn end(&mut self, condition: StreamCondition) {
        self.session.end(condition, &mut OsEntropy);
        while let Some(output) = self.session.poll() {
            if let Output::Frame(frame) = output {
                self.push(Outgoing::Frame(frame));
            }
        }
    }

    fn push(&self, outgoing: Outgoing) {
        self.outbox.push(outgoing, &self.shared.metrics);
    }

    fn answer(&self, stanza: &Element) {
        self.push(Outgoing::Stanza(stanza.to_xml().into()));
    }

    /// Not reading is the refusal of too much: the client's own socket fills up.
    async fn wait(&mut self, visit: &Visit, bytes: usize) {
        let metrics = &self.shared.metrics;
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let wait = self
            .rates
            .take(bytes, metrics)
            .max(visit.take(1, bytes, metrics));
        if let Some(wait) = wait {
            tokio::time::sleep(wait).await;
        }
    }

    /// Does what the session wants done.
    async fn carry_out(&mut self, visit: &Visit) {
        while let Some(output) = self.session.poll() {
            match output {
                Output::Frame(frame) => self.push(Outgoing::Frame(frame)),
                Output::Answer(stanza) => self.push(Outgoing::Stanza(stanza.into())),
                Output::Enable { resume } => self.enable(resume),
                Output::Acknowledged(handled) => match self.managed.acknowledge(handled) {
                    Ok(Ask::Now) => self.push(Outgoing::Frame(sm::REQUEST.to_owned())),
                    Ok(Ask::No) => {}
                    Err(error) => self.session.handled_too_many(error),
                },
                Output::Stanza(stanza) => {
                    self.shared.metrics.stanzas_received.inc();
                    tracing::debug!(
                        stanza = stanza.name(),
                        kind = stanza.attr("type"),
                        "received"
                    );
                    self.stanza(stanza, visit).await;
                }
                Output::Close(reason) => {
                    if let CloseReason::Error(condition) = reason {
                        self.shared.metrics.refuse(Reason::Stream);
                        tracing::debug!(condition = condition.as_str(), "stream error");
                    }
                }
                // Of handshakes only.
                Output::Authenticate(_) | Output::Bound { .. } | Output::Resume { .. } => {}
            }
        }
    }

    /// The client wants its stream managed.
    fn enable(&mut self, resume: bool) {
        if resume {
            self.resumption = Some(self.shared.resumable.issue(
                self.jid.node().unwrap_or_default().to_owned(),
                self.identity.clone(),
                self.claim.clone(),
                self.outbox.overflow.clone(),
            ));
        }
        let seconds = self.shared.settings.resume_time.as_secs();
        let enabled = sm::enabled(self.resumption.as_deref().map(|id| (id, seconds)));
        self.push(Outgoing::Enabled(enabled));
    }

    async fn stanza(&mut self, stanza: Element, visit: &Visit) {
        let domain = self.shared.settings.domain.as_str();
        let to = match stanza.attr("to").map(Jid::parse) {
            None => None,
            Some(Ok(to)) => Some(to),
            Some(Err(_)) => return,
        };
        let Some(to) = to else {
            return self.for_domain(stanza).await;
        };
        match RoomKey::classify(&to, domain) {
            Target::Room(key) => self.for_room(RoomName::Room(key), stanza, visit).await,
            Target::Lobby(key) => self.for_room(RoomName::Lobby(key), stanza, visit).await,
            Target::Breakout(id) => self.for_room(RoomName::Breakout(id), stanza, visit).await,
            Target::Component(component) => self.for_component(component, stanza).await,
            Target::RoomService => {
                let name_required = self.shared.settings.name_required;
                self.answer_request(&stanza, |stanza| {
                    services::room_service_iq(stanza, domain, name_required)
                });
            }
            Target::Other if to.node().is_none() && to.domain() == domain => {
                self.for_domain(stanza).await;
            }
            Target::Other if self.is_focus(&to) => self.for_focus(&stanza).await,
            Target::Other => self.answer_request(&stanza, services::unavailable),
        }
    }

    /// `focus.<domain>`, or the focus's own address with or without resource.
    fn is_focus(&self, to: &Jid) -> bool {
        let proxy = to.node().is_none()
            && to.domain().strip_prefix("focus.") == Some(self.shared.settings.domain.as_str());
        proxy || to.bare() == self.shared.focus_jid.bare()
    }

    fn answer_request(&self, stanza: &Element, answer: impl FnOnce(&Element) -> Element) {
        if IqType::of(stanza).is_some_and(IqType::is_request) {
            self.answer(&answer(stanza));
        }
    }

    async fn for_domain(&mut self, stanza: Element) {
        match Kind::of(&stanza) {
            Some(Kind::Iq) => {
                let settings = &self.shared.settings;
                self.answer_request(&stanza, |stanza| {
                    services::domain_iq(stanza, &settings.domain, settings.name_required)
                });
            }
            Some(Kind::Presence) if stanza.attr("type") == Some("unavailable") => {
                let status = stanza.child("status", ns::CLIENT).map(Element::text);
                for (_, room) in std::mem::take(&mut self.rooms) {
                    let input = althing_room::Input::SessionLeaves {
                        session: self.id.clone(),
                        status: status.clone(),
                    };
                    room.inputs.send(RoomInput::Room(input)).await.ok();
                }
            }
            Some(Kind::Presence | Kind::Message) | None => {}
        }
    }

    async fn for_focus(&self, stanza: &Element) {
        let Some(payload) = services::conference_payload(stanza) else {
            return self.answer_request(stanza, services::unavailable);
        };
        let domain = &self.shared.settings.domain;
        let request = match services::conference_request(payload.attr("room"), domain) {
            Ok(request) => request,
            Err(text) => {
                self.shared.metrics.refuse(Reason::Request);
                return self.answer(&refuse(stanza, Condition::BadRequest, Some(text)));
            }
        };
        let asker = directory::Asker {
            address: self.info.address,
            authenticated: self.identity.is_some(),
        };
        let made = directory::request_room(&self.shared, request.target, asker).await;
        let reply = match made {
            Ok(room) => services::conference_ready(
                stanza,
                &request.room,
                &self.shared.focus_jid,
                room.media,
            ),
            Err(why) => services::conference_refused(stanza, why),
        };
        self.answer(&reply);
    }

    /// A message to a component goes to the meeting that the session is in, the one it came into
    /// last if there are several; an IQ asks the component about itself.
    async fn for_component(&self, component: Component, stanza: Element) {
        if Kind::of(&stanza) == Some(Kind::Iq) {
            let domain = self.shared.settings.domain.clone();
            return self.answer_request(&stanza, |stanza| {
                services::component_iq(stanza, component, &domain)
            });
        }
        let named = stanza
            .children()
            .find_map(|child| child.attr("room"))
            .and_then(|room| Jid::parse(room).ok())
            .and_then(|room| RoomName::of(&room, &self.shared.settings.domain));
        let room = match named {
            Some(name) => self.rooms.get(&name),
            None => self.latest.as_ref().and_then(|name| self.rooms.get(name)),
        };
        let Some(room) = room.cloned() else { return };
        let input = althing_room::Input::Stanza {
            sender: self.sender(),
            stanza,
        };
        room.inputs.send(RoomInput::Room(input)).await.ok();
    }

    fn sender(&self) -> Sender {
        Sender {
            session: self.id.clone(),
            jid: self.jid.clone(),
            origin: self.info.origin.clone(),
            identity: self.identity.clone(),
            network: Network(network(self.info.address)),
        }
    }

    async fn for_room(&mut self, key: RoomName, stanza: Element, visit: &Visit) {
        self.rooms.retain(|_, room| !room.inputs.is_closed());
        let known = self.rooms.get(&key).cloned();
        let kind = Kind::of(&stanza);
        let presence = kind == Some(Kind::Presence);
        let joins = presence && stanza.attr("type").is_none();
        let leaves = presence && stanza.attr("type") == Some("unavailable");
        if kind != Some(Kind::Iq) {
            self.rates.stanzas.take(BROADCAST_TOKENS);
        }
        let room = match known {
            Some(room) => Some(room),
            None if joins && self.rooms.len() >= MAX_ROOMS => {
                let refusal = refuse(
                    &stanza,
                    Condition::ResourceConstraint,
                    Some("a session is in 16 rooms at most"),
                );
                return self.answer(&refusal);
            }
            None if joins && !(self.rates.joins.try_take() && visit.may_join()) => {
                self.shared.metrics.refuse(Reason::JoinRate);
                let text = Some("too many rooms are joined from here");
                return self.answer(&refuse(&stanza, Condition::ResourceConstraint, text));
            }
            None => match &key {
                RoomName::Room(key) | RoomName::Lobby(key) => self.shared.directory.find(key),
                RoomName::Breakout(id) => self.shared.directory.find_breakout(id),
            },
        };
        let Some(room) = room else {
            if let Some(refusal) = services::no_such_room(&stanza) {
                self.answer(&refusal);
            }
            return;
        };
        if joins {
            // Components speak of meetings, which nobody is in who waits in a lobby.
            if !matches!(key, RoomName::Lobby(_)) {
                self.latest = Some(key.clone());
            }
            self.rooms.insert(key, room.clone());
        } else if leaves {
            self.rooms.remove(&key);
        }
        let input = althing_room::Input::Stanza {
            sender: self.sender(),
            stanza,
        };
        if let Err(unsent) = room.inputs.send(RoomInput::Room(input)).await
            && let RoomInput::Room(althing_room::Input::Stanza { stanza, .. }) = unsent.0
            && let Some(refusal) = services::no_such_room(&stanza)
        {
            self.answer(&refusal);
        }
    }
}
