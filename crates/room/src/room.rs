use crate::address::{FOCUS, RoomNames};
use crate::event::{LeaveReason, RoomEvent};
use crate::message::History;
use crate::occupant::Occupant;
use althing_model::{EndpointId, Entropy, Identity, MediaKinds, Now, Origin, SessionId};
use althing_xmpp::{Element, Jid};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

/// The version of [`Snapshot`]; a higher one is refused.
const SNAPSHOT_VERSION: u32 = 1;

/// What a room is told when it is made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// The addresses it answers to.
    pub names: RoomNames,
    /// The full real JID of the focus occupant, `focus@auth.<domain>/focus`.
    pub focus_jid: Jid,
    /// How many occupants fit in, the focus not counted.
    pub max_occupants: usize,
    /// How many messages a newcomer is told.
    pub history_messages: usize,
    /// How many bytes of messages are kept for newcomers at most.
    pub history_bytes: usize,
    /// What occupants of this room may send at most.
    pub may_send: MediaKinds,
}

/// Who sent a stanza.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sender {
    /// The session.
    pub session: SessionId,
    /// Its full JID.
    pub jid: Jid,
    /// How it reached us.
    pub origin: Origin,
    /// Who it is by its token; nobody in particular without one.
    pub identity: Option<Arc<Identity>>,
}

/// What a room is told.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Input {
    /// A stanza addressed to the room or to an occupant of it.
    Stanza {
        /// From whom.
        sender: Sender,
        /// The stanza, with its `to`.
        stanza: Element,
    },
    /// A session is gone without a word.
    SessionEnded {
        /// Which one.
        session: SessionId,
    },
    /// A session leaves wherever it is (`<presence type="unavailable"/>` without `to`).
    SessionLeaves {
        /// Which one.
        session: SessionId,
        /// The text of `<status>`.
        status: Option<String>,
    },
    /// The focus occupant's presence from now on: a `<presence>` whose children count.
    FocusPresence(Element),
    /// An IQ of the focus occupant for an occupant; the room writes the addresses.
    FocusIq {
        /// For whom.
        to: EndpointId,
        /// The IQ with its id and type.
        iq: Element,
    },
}

/// What a room wants done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Output {
    /// One stanza for some sessions, the same bytes for each.
    Send {
        /// For whom.
        to: Vec<SessionId>,
        /// The stanza.
        #[serde(with = "shared_text")]
        xml: Arc<str>,
    },
    /// Something happened.
    Event(RoomEvent),
    /// An IQ that an occupant sent to `room/focus`, request or answer.
    ToFocus {
        /// Who sent it.
        from: EndpointId,
        /// The IQ.
        stanza: Element,
    },
}

mod shared_text {
    use super::Arc;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(text: &Arc<str>, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(text)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Arc<str>, D::Error> {
        String::deserialize(from).map(Arc::from)
    }
}

/// Why an input was not acted upon; the sender of a stanza has been answered where an answer is
/// due.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The stanza is not addressed to this room.
    #[error("stanza for {0} reached the room {1}")]
    Misrouted(String, String),
    /// The focus wrote to somebody who is not here.
    #[error("no occupant {0} in the room")]
    NoOccupant(EndpointId),
    /// A snapshot written by a newer version.
    #[error("room snapshot has version {0}, this node reads {SNAPSHOT_VERSION}")]
    SnapshotVersion(u32),
}

/// A room's whole state, to be written out and read back.
#[derive(Debug, Serialize, Deserialize)]
pub struct Snapshot {
    version: u32,
    room: Room,
}

/// One room.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Room {
    pub(crate) settings: Settings,
    pub(crate) meeting_id: String,
    pub(crate) created_millis: u64,
    /// When the second occupant came: the start of the call timer.
    pub(crate) started_millis: Option<u64>,
    pub(crate) focus_payload: Vec<Element>,
    #[serde(skip)]
    pub(crate) focus_rendered: Vec<Option<Arc<str>>>,
    pub(crate) occupants: BTreeMap<EndpointId, Occupant>,
    #[serde(with = "session_index")]
    pub(crate) by_session: BTreeMap<SessionId, EndpointId>,
    pub(crate) arrivals: u64,
    pub(crate) history: History,
    pub(crate) subject: Option<String>,
    pub(crate) pending: BTreeMap<u64, crate::iq::Pending>,
    pub(crate) next_pending: u64,
    /// How often a presence was written out, for the promise in the crate's doc.
    #[serde(skip)]
    pub(crate) renders: u64,
    #[serde(skip)]
    pub(crate) outputs: VecDeque<Output>,
}

mod session_index {
    use super::{BTreeMap, EndpointId, SessionId};
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(
        map: &BTreeMap<SessionId, EndpointId>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.collect_seq(map.iter())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<BTreeMap<SessionId, EndpointId>, D::Error> {
        Vec::<(SessionId, EndpointId)>::deserialize(from).map(|list| list.into_iter().collect())
    }
}

impl Room {
    /// An empty room with its focus occupant in it.
    #[must_use]
    pub fn new(settings: Settings, now: Now, entropy: &mut dyn Entropy) -> Self {
        Self {
            settings,
            meeting_id: entropy.uuid(),
            created_millis: now.unix_millis,
            started_millis: None,
            focus_payload: Vec::new(),
            focus_rendered: Vec::new(),
            occupants: BTreeMap::new(),
            by_session: BTreeMap::new(),
            arrivals: 0,
            history: History::default(),
            subject: None,
            pending: BTreeMap::new(),
            next_pending: 0,
            renders: 0,
            outputs: VecDeque::new(),
        }
    }

    /// Takes one input; drain [`Room::poll`] afterwards.
    ///
    /// # Errors
    /// [`Error`] when the input was not for this room or names somebody who left; nothing changed.
    pub fn handle(
        &mut self,
        now: Now,
        input: Input,
        entropy: &mut dyn Entropy,
    ) -> Result<(), Error> {
        match input {
            Input::Stanza { sender, stanza } => self.stanza(now, &sender, stanza, entropy),
            Input::SessionEnded { session } => {
                self.leave_session(&session, LeaveReason::Disconnected);
                Ok(())
            }
            Input::SessionLeaves { session, status } => {
                self.leave_session(&session, LeaveReason::Left(status));
                Ok(())
            }
            Input::FocusPresence(presence) => {
                self.focus_presence(&presence);
                Ok(())
            }
            Input::FocusIq { to, iq } => self.focus_iq(&to, iq),
        }
    }

    /// The next thing to do, oldest first.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When the room wants a timer input: never, so far; what it waits for is bounded by number.
    #[must_use]
    pub const fn next_timeout(&self) -> Option<Instant> {
        None
    }

    /// How many occupants are in, the focus not counted.
    #[must_use]
    pub fn occupant_count(&self) -> usize {
        self.occupants.len()
    }

    /// Whether this session is in the room.
    #[must_use]
    pub fn has_session(&self, session: &SessionId) -> bool {
        self.by_session.contains_key(session)
    }

    /// The meeting's id, a UUID.
    #[must_use]
    pub fn meeting_id(&self) -> &str {
        &self.meeting_id
    }

    /// The canonical address.
    #[must_use]
    pub fn address(&self) -> &Jid {
        self.settings.names.canonical()
    }

    /// How often a presence has been written out since the room was made or restored.
    #[must_use]
    pub const fn presence_renders(&self) -> u64 {
        self.renders
    }

    /// The whole state. Outputs not yet polled are not part of it: drain first.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            version: SNAPSHOT_VERSION,
            room: self.clone(),
        }
    }

    /// The room a snapshot was taken of.
    ///
    /// # Errors
    /// [`Error::SnapshotVersion`] when a newer version wrote it.
    pub fn restore(snapshot: Snapshot) -> Result<Self, Error> {
        if snapshot.version > SNAPSHOT_VERSION {
            return Err(Error::SnapshotVersion(snapshot.version));
        }
        Ok(snapshot.room)
    }

    fn stanza(
        &mut self,
        now: Now,
        sender: &Sender,
        mut stanza: Element,
        entropy: &mut dyn Entropy,
    ) -> Result<(), Error> {
        let text = stanza.attr("to").unwrap_or_default();
        let target = Jid::parse(text).ok();
        let Some((to, form)) = target
            .and_then(|to| Some((self.settings.names.form_of(&to)?, to)).map(|(f, t)| (t, f)))
        else {
            return Err(Error::Misrouted(
                text.chars().take(200).collect(),
                self.address().to_string(),
            ));
        };
        // Whatever the client wrote there, it is this session that speaks.
        stanza.set_attr("from", sender.jid.to_string());
        match stanza.name() {
            "presence" => self.presence(now, sender, &to, form, &stanza),
            "message" => self.message(now, sender, &to, &stanza, entropy),
            "iq" => self.iq(sender, &to, form, stanza),
            _ => {}
        }
        Ok(())
    }

    pub(crate) fn occupant_of(&self, session: &SessionId) -> Option<&Occupant> {
        self.occupants.get(self.by_session.get(session)?)
    }

    pub(crate) fn send(&mut self, to: &SessionId, element: &Element) {
        self.send_text(vec![to.clone()], Arc::from(element.to_xml()));
    }

    pub(crate) fn send_text(&mut self, to: Vec<SessionId>, xml: Arc<str>) {
        if !to.is_empty() {
            self.outputs.push_back(Output::Send { to, xml });
        }
    }

    pub(crate) fn emit(&mut self, event: RoomEvent) {
        self.outputs.push_back(Output::Event(event));
    }

    /// Sends one stanza per address form in use to everybody but `except`; `write` is called once
    /// per form.
    pub(crate) fn broadcast(
        &mut self,
        except: Option<&SessionId>,
        mut write: impl FnMut(&mut Self, usize) -> Arc<str>,
    ) {
        for form in 0..self.settings.names.count() {
            let to: Vec<SessionId> = self
                .occupants
                .values()
                .filter(|o| o.form == form && Some(&o.session) != except)
                .map(|o| o.session.clone())
                .collect();
            if !to.is_empty() {
                let xml = write(self, form);
                self.send_text(to, xml);
            }
        }
    }

    fn focus_presence(&mut self, presence: &Element) {
        self.focus_payload = presence.children().cloned().collect();
        self.focus_rendered.clear();
        self.broadcast(None, Self::rendered_focus);
    }

    fn focus_iq(&mut self, to: &EndpointId, mut iq: Element) -> Result<(), Error> {
        let occupant = self
            .occupants
            .get(to)
            .ok_or_else(|| Error::NoOccupant(to.clone()))?;
        iq.set_attr("from", self.settings.names.occupant(occupant.form, FOCUS));
        iq.set_attr("to", occupant.jid.to_string());
        let session = occupant.session.clone();
        self.send(&session, &iq);
        Ok(())
    }
}
