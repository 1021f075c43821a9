use crate::address::{FOCUS, RoomNames};
use crate::common::{Moderators, Turn};
use crate::event::{Actor, Deed, RoomEvent};
use crate::history::History;
use crate::meeting::{Action, Error};
use crate::moderation::AvModeration;
use crate::occupant::Occupant;
use crate::polls::Polls;
use crate::preset::Preset;
use crate::roles::Appointment;
use althing_model::{EndpointId, Entropy, Identity, MediaMode, Now, Origin, SessionId};
use althing_xmpp::{Element, Jid};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;

/// What a meeting is told when it is made.
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
    /// What of media it is for.
    #[serde(default)]
    pub media: MediaMode,
    /// The XMPP domain; components answer below it, for instance `polls.meet.jitsi`.
    pub domain: String,
    /// The bare address of its lobby room.
    pub lobby: Jid,
    /// Who becomes a moderator.
    pub moderators: Moderators,
    /// The room opens for guests only once somebody with a token has come.
    pub hosts_only: bool,
    /// Nobody asks to be let in from the lobby without a name.
    pub name_required: bool,
    /// What the room begins with.
    pub preset: Preset,
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
    /// Where it comes from.
    pub network: Network,
}

/// The network of a client: its IPv4 address, or the upper 64 bits of its IPv6 address. Personal
/// data, so not printed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Network(pub IpAddr);

impl std::fmt::Debug for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Network(…)")
    }
}

/// What one room wants done.
#[derive(Debug, Clone)]
pub(crate) enum Told {
    /// One stanza for some sessions, the same bytes for each.
    Send { to: Vec<SessionId>, xml: Arc<str> },
    /// Something happened.
    Event(RoomEvent),
    /// An IQ that an occupant sent to `room/focus`, request or answer.
    ToFocus { from: EndpointId, stanza: Element },
    /// Somebody tried what it may not.
    Denied(Action),
    /// A moderator gives a standing to somebody, wherever in the meeting that is.
    Appointed(Appointment),
}

/// One room of a meeting: the main one, or a breakout.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Room {
    pub(crate) settings: Settings,
    /// Of a breakout: the address of the main room, in its usual form.
    pub(crate) breakout_of: Option<Jid>,
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
    pub(crate) moderation: AvModeration,
    pub(crate) polls: Polls,
    /// Whose changed presences others are still to be told of, and when.
    pub(crate) due: BTreeSet<(u64, EndpointId)>,
    pub(crate) pending: BTreeMap<u64, crate::iq::Pending>,
    pub(crate) next_pending: u64,
    /// How often a presence was written out, for the promise in the crate's doc.
    #[serde(skip)]
    pub(crate) renders: u64,
    #[serde(skip)]
    pub(crate) outputs: VecDeque<Told>,
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
    pub(crate) fn new(
        settings: Settings,
        breakout_of: Option<Jid>,
        now: Now,
        entropy: &mut dyn Entropy,
    ) -> Self {
        Self {
            settings,
            breakout_of,
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
            moderation: AvModeration::default(),
            polls: Polls::default(),
            due: BTreeSet::new(),
            pending: BTreeMap::new(),
            next_pending: 0,
            renders: 0,
            outputs: VecDeque::new(),
        }
    }

    /// How many occupants are in, the focus not counted.
    pub(crate) fn occupant_count(&self) -> usize {
        self.occupants.len()
    }

    /// The canonical address.
    pub(crate) fn address(&self) -> &Jid {
        self.settings.names.canonical()
    }

    /// Takes a stanza for this room or an occupant of it, written in the given address form.
    pub(crate) fn stanza(
        &mut self,
        turn: &mut Turn<'_>,
        sender: &Sender,
        to: &Jid,
        form: usize,
        mut stanza: Element,
    ) {
        // Whatever the client wrote there, it is this session that speaks.
        stanza.set_attr("from", sender.jid.to_string());
        match stanza.name() {
            "presence" => self.presence(turn, sender, to, form, &stanza),
            "message" => self.message(turn, sender, to, &stanza),
            "iq" => self.iq(turn, sender, to, form, stanza),
            _ => {}
        }
    }

    pub(crate) fn occupant_of(&self, session: &SessionId) -> Option<&Occupant> {
        self.occupants.get(self.by_session.get(session)?)
    }

    pub(crate) fn send(&mut self, to: &SessionId, element: &Element) {
        self.send_text(vec![to.clone()], Arc::from(element.to_xml()));
    }

    pub(crate) fn send_text(&mut self, to: Vec<SessionId>, xml: Arc<str>) {
        if !to.is_empty() {
            self.outputs.push_back(Told::Send { to, xml });
        }
    }

    /// Counts an attempt of somebody who may not.
    pub(crate) fn deny(&mut self, action: Action) {
        self.outputs.push_back(Told::Denied(action));
    }

    pub(crate) fn emit(&mut self, event: RoomEvent) {
        self.outputs.push_back(Told::Event(event));
    }

    /// Tells what a moderator did.
    pub(crate) fn done(&mut self, by: &EndpointId, deed: Deed) {
        let by = Actor::Occupant(by.clone());
        self.emit(RoomEvent::Done { by, deed });
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

    pub(crate) fn focus_presence(&mut self, presence: &Element) {
        self.focus_payload = presence.children().cloned().collect();
        self.focus_rendered.clear();
        self.broadcast(None, Self::rendered_focus);
    }

    pub(crate) fn focus_iq(&mut self, to: &EndpointId, mut iq: Element) -> Result<(), Error> {
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
