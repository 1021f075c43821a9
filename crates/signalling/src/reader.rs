//! The reading half of a session: frames in, stanzas to whoever they are for.

use crate::bucket::Bucket;
use crate::clock::OsEntropy;
use crate::directory::{self, RoomHandle, RoomKey, Target};
use crate::metrics::Reason;
use crate::room_task::RoomInput;
use crate::sessions::{Outbox, Outgoing};
use crate::{Shared, services};
use althing_model::{ClientInfo, Identity, SessionId};
use althing_room::{Component, Sender};
use althing_xmpp::framing::StreamCondition;
use althing_xmpp::session::{AuthRequest, AuthSuccess, CloseReason, Output, Session};
use althing_xmpp::stanza::{Condition, IqType, Kind, refuse};
use althing_xmpp::{Element, Jid, ns};
use axum::extract::ws::{Message, WebSocket};
use futures_util::StreamExt;
use futures_util::stream::SplitStream;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// No frame of any kind for this long: the client is gone. It is pinged every 10 s.
const SILENCE: Duration = Duration::from_secs(30);
/// A client that has no address by then is let go.
const LOGIN: Duration = Duration::from_secs(30);
/// How many rooms one session may be in.
const MAX_ROOMS: usize = 16;
/// A frame counts as one stanza for each so many bytes begun: what it costs to read, to keep and to
/// pass on grows with them.
const BYTES_PER_TOKEN: usize = 4096;
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

pub(crate) struct Reader {
    shared: Arc<Shared>,
    id: SessionId,
    info: ClientInfo,
    session: Session,
    jid: Option<Jid>,
    outbox: Outbox,
    rooms: HashMap<RoomName, RoomHandle>,
    /// The room it came into last.
    latest: Option<RoomName>,
    /// Who it is by its token.
    identity: Option<Arc<Identity>>,
    bucket: Bucket,
}

impl Reader {
    pub(crate) fn new(
        shared: Arc<Shared>,
        id: SessionId,
        info: ClientInfo,
        session: Session,
        outbox: Outbox,
    ) -> Self {
        let bucket = Bucket::new(
            shared.settings.stanzas_per_second,
            shared.settings.stanza_burst,
        );
        Self {
            shared,
            id,
            info,
            session,
            jid: None,
            outbox,
            rooms: HashMap::new(),
            latest: None,
            identity: None,
            bucket,
        }
    }

    /// Reads until the stream or the socket ends.
    pub(crate) async fn run(&mut self, socket: &mut SplitStream<WebSocket>) {
        let login = Instant::now() + LOGIN;
        while !self.session.is_closed() {
            let mut deadline = Instant::now() + SILENCE;
            if self.jid.is_none() {
                deadline = deadline.min(login);
            }
            let message = tokio::select! {
                message = tokio::time::timeout_at(deadline, socket.next()) => message,
                () = self.shared.stop_sessions.cancelled() => {
                    return self.end(StreamCondition::SystemShutdown);
                }
                () = self.outbox.overflow.cancelled() => return,
            };
            match message {
                Err(_) if self.jid.is_none() => {
                    self.shared.metrics.refuse(Reason::Login);
                    return self.end(StreamCondition::ConnectionTimeout);
                }
                Err(_) => {
                    self.shared.metrics.refuse(Reason::Silent);
                    return self.end(StreamCondition::ConnectionTimeout);
                }
                Ok(None | Some(Ok(Message::Close(_)))) => return,
                Ok(Some(Err(error))) => {
                    // Too long, or not WebSocket at all; a lost connection ends here as well.
                    tracing::debug!(%error, "socket ended");
                    self.shared.metrics.refuse(Reason::Stream);
                    return self.end(StreamCondition::PolicyViolation);
                }
                Ok(Some(Ok(Message::Text(text)))) => self.frame(text.as_str()).await,
                Ok(Some(Ok(Message::Binary(_)))) => {
                    self.shared.metrics.refuse(Reason::Binary);
                    return self.end(StreamCondition::BadFormat);
                }
                Ok(Some(Ok(Message::Ping(_) | Message::Pong(_)))) => {}
            }
        }
    }

    /// Tells every room that the session is gone.
    pub(crate) async fn leave(self) {
        for room in self.rooms.into_values() {
            let input = althing_room::Input::SessionEnded {
                session: self.id.clone(),
            };
            // A room that has ended meanwhile has no occupants to take out.
            room.inputs.send(RoomInput::Room(input)).await.ok();
        }
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

    async fn frame(&mut self, text: &str) {
        let tokens = 1 + text.len() / BYTES_PER_TOKEN;
        if let Some(wait) = self.bucket.take(tokens.try_into().unwrap_or(u32::MAX)) {
            // Not reading is the refusal: the client's own socket fills up.
            tokio::time::sleep(wait).await;
        }
        self.session.handle_frame(text, &mut OsEntropy);
        while let Some(output) = self.session.poll() {
            match output {
                Output::Frame(frame) => self.push(Outgoing::Frame(frame)),
                Output::Answer(stanza) => self.push(Outgoing::Stanza(stanza.into())),
                // Not offered here.
                Output::Enable { .. } | Output::Acknowledged(_) => {}
                Output::Resume { .. } => self.session.resume_refused(),
                Output::Authenticate(AuthRequest::Anonymous) => self
                    .session
                    .authenticated(Ok(AuthSuccess::default()), &mut OsEntropy),
                Output::Bound { jid } => {
                    self.jid = Some(jid);
                    tracing::debug!("session bound");
                }
                Output::Stanza(stanza) => {
                    self.shared.metrics.stanzas_received.inc();
                    tracing::debug!(
                        stanza = stanza.name(),
                        kind = stanza.attr("type"),
                        "received"
                    );
                    self.stanza(stanza).await;
                }
                Output::Close(reason) => {
                    if let CloseReason::Error(condition) = reason {
                        self.shared.metrics.refuse(Reason::Stream);
                        tracing::debug!(condition = condition.as_str(), "stream error");
                    }
                }
            }
        }
    }

    async fn stanza(&mut self, stanza: Element) {
        let Some(jid) = self.jid.clone() else { return };
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
            Target::Room(key) => self.for_room(RoomName::Room(key), jid, stanza).await,
            Target::Lobby(key) => self.for_room(RoomName::Lobby(key), jid, stanza).await,
            Target::Breakout(id) => self.for_room(RoomName::Breakout(id), jid, stanza).await,
            Target::Component(component) => self.for_component(component, jid, stanza).await,
            Target::RoomService => self.answer_request(&stanza, services::room_service_iq),
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
                let domain = self.shared.settings.domain.clone();
                self.answer_request(&stanza, |stanza| services::domain_iq(stanza, &domain));
            },
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
            Ok(_) => services::conference_ready(stanza, &request.room, &self.shared.focus_jid),
            Err(why) => services::conference_refused(stanza, why),
        };
        self.answer(&reply);
    }

    /// A message to a component goes to the meeting that the session is in, the one it came into
    /// last if there are several; an IQ asks the component about itself.
    async fn for_component(&mut self, component: Component, jid: Jid, stanza: Element) {
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
            sender: self.sender(jid),
            stanza,
        };
        room.inputs.send(RoomInput::Room(input)).await.ok();
    }

    fn sender(&self, jid: Jid) -> Sender {
        Sender {
            session: self.id.clone(),
            jid,
            origin: self.info.origin.clone(),
            identity: self.identity.clone(),
        }
    }

    async fn for_room(&mut self, key: RoomName, jid: Jid, stanza: Element) {
        self.rooms.retain(|_, room| !room.inputs.is_closed());
        let known = self.rooms.get(&key).cloned();
        let kind = Kind::of(&stanza);
        let presence = kind == Some(Kind::Presence);
        let joins = presence && stanza.attr("type").is_none();
        let leaves = presence && stanza.attr("type") == Some("unavailable");
        if kind != Some(Kind::Iq) {
            self.bucket.take(BROADCAST_TOKENS);
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
            sender: self.sender(jid),
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
