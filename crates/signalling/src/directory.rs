//! Which rooms there are on this node, and how their addresses are written.

use crate::clock;
use crate::makers::Makers;
use crate::metrics::Reason;
use crate::room_task::{self, RoomInput};
use crate::{Settings, Shared};
use althing_bus::Subscription;
use althing_control::BridgeEvent;
use althing_control::rooms::RoomName;
use althing_model::{ConferenceId, MediaMode};
use althing_room::{Component, Outcome, Place, RoomNames};
use althing_xmpp::Jid;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use std::borrow::Cow;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{mpsc, oneshot, watch};

/// How many inputs wait for one room before its senders wait.
const ROOM_QUEUE: usize = 1024;
/// The longest room name, in bytes, escapes included.
const MAX_ROOM_NAME: usize = 512;
/// What clients escape in a room's name: all that their `encodeURIComponent` does.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'!')
    .remove(b'~')
    .remove(b'*')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')');
/// What has one spelling only when it is escaped, and all that may be escaped or not beside it.
const SPELT_OUT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');
/// The same in what is escaped already.
const SPELT_OUT_BUT_ESCAPES: &AsciiSet = &SPELT_OUT.remove(b'%');
/// What the two room services are called; both lead to the same rooms.
const SERVICES: [&str; 2] = ["muc", "conference"];
/// Where lobby rooms are.
const LOBBY: &str = "lobby";

/// One room, whichever way its address is written.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct RoomKey {
    tenant: Option<String>,
    name: String,
}

/// What an address below the domain is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// A room or an occupant of it.
    Room(RoomKey),
    /// The lobby of a room, or somebody in it.
    Lobby(RoomKey),
    /// A breakout room or an occupant of it, by the local part of the address.
    Breakout(String),
    /// Who speaks for meetings.
    Component(Component),
    /// A room service itself.
    RoomService,
    /// Nothing of rooms.
    Other,
}

impl RoomKey {
    /// Reads `name@muc.domain`, `name@conference.domain`, `name@muc.tenant.domain`,
    /// `name@lobby.domain`, `[tenant]name@lobby.domain` and the components' addresses.
    pub(crate) fn classify(jid: &Jid, domain: &str) -> Target {
        match Component::of_host(jid.domain(), domain) {
            Some(Component::Breakout) => {
                return match jid.node() {
                    Some(id) => Target::Breakout(id.to_owned()),
                    None => Target::Component(Component::Breakout),
                };
            }
            Some(component) if jid.node().is_none() => return Target::Component(component),
            Some(_) => return Target::Other,
            None => {}
        }
        let Some(service) = jid
            .domain()
            .strip_suffix(domain)
            .and_then(|rest| rest.strip_suffix('.'))
        else {
            return Target::Other;
        };
        if service == LOBBY {
            return jid.node().map_or(Target::RoomService, Self::of_lobby);
        }
        let (kind, tenant) = match service.split_once('.') {
            Some((kind, tenant)) => (kind, Some(tenant)),
            None => (service, None),
        };
        let tenant_is_fine = tenant.is_none_or(|t| !t.is_empty() && !t.contains('.'));
        if !SERVICES.contains(&kind) || !tenant_is_fine {
            return Target::Other;
        }
        match jid.node() {
            None => Target::RoomService,
            Some(name) if name.len() > MAX_ROOM_NAME || !is_spelt(name) => Target::Other,
            Some(name) => Target::Room(Self {
                tenant: tenant.map(str::to_owned),
                name: name.to_owned(),
            }),
        }
    }

    /// The room whose lobby has this local part.
    fn of_lobby(node: &str) -> Target {
        if node.len() > MAX_ROOM_NAME {
            return Target::Other;
        }
        let tenanted = node.strip_prefix('[').and_then(|rest| rest.split_once(']'));
        let (tenant, name) = tenanted.map_or((None, node), |(tenant, name)| (Some(tenant), name));
        if !is_spelt(name) {
            return Target::Other;
        }
        Target::Lobby(Self {
            tenant: tenant.map(str::to_owned),
            name: name.to_owned(),
        })
    }

    /// The address of its lobby.
    pub(crate) fn lobby(&self, domain: &str) -> Option<Jid> {
        let node = match &self.tenant {
            Some(tenant) => format!("[{tenant}]{}", self.name),
            None => self.name.clone(),
        };
        Jid::from_parts(Some(&node), &format!("{LOBBY}.{domain}"), None).ok()
    }

    /// The room that people know by this name, as clients write it into addresses.
    pub(crate) fn of_name(room: &RoomName, domain: &str) -> Option<Self> {
        let node = utf8_percent_encode(&room.name.trim().to_lowercase(), ESCAPED)
            .to_string()
            .to_lowercase();
        let host = match &room.tenant {
            Some(tenant) => format!("muc.{}.{domain}", tenant.to_lowercase().replace('.', "_")),
            None => format!("muc.{domain}"),
        };
        let address = Jid::from_parts(Some(&node), &host, None).ok()?;
        match Self::classify(&address, domain) {
            Target::Room(key) => Some(key),
            _ => None,
        }
    }

    /// The name people know it by.
    pub(crate) fn name(&self) -> RoomName {
        RoomName {
            tenant: self.tenant.clone(),
            name: self.decoded_name().into_owned(),
        }
    }

    /// The tenant it belongs to, as addresses have it.
    pub(crate) fn tenant(&self) -> Option<&str> {
        self.tenant.as_deref()
    }

    /// Its name as people write it.
    pub(crate) fn decoded_name(&self) -> Cow<'_, str> {
        percent_decode_str(&self.name).decode_utf8_lossy()
    }

    /// Every way this room's address may be written, the usual one first.
    pub(crate) fn names(&self, domain: &str) -> RoomNames {
        let forms = SERVICES
            .iter()
            .filter_map(|service| {
                let host = match &self.tenant {
                    Some(tenant) => format!("{service}.{tenant}.{domain}"),
                    None => format!("{service}.{domain}"),
                };
                Jid::from_parts(Some(&self.name), &host, None).ok()
            })
            .collect();
        RoomNames::new(forms)
    }
}

/// Whether a room's name is written in a way that clients write it. `%64emo` would be a room beside
/// `demo` that people could not tell from it, and that operators could not name.
fn is_spelt(name: &str) -> bool {
    let Ok(decoded) = percent_decode_str(name).decode_utf8() else {
        return false;
    };
    let usual = utf8_percent_encode(&decoded.to_lowercase(), SPELT_OUT)
        .to_string()
        .to_lowercase();
    let given = utf8_percent_encode(name, SPELT_OUT_BUT_ESCAPES).to_string();
    usual == given.to_lowercase()
}

/// The way to one room's task.
#[derive(Debug, Clone)]
pub(crate) struct RoomHandle {
    pub(crate) inputs: mpsc::Sender<RoomInput>,
    /// What of media it is for.
    pub(crate) media: MediaMode,
    /// Tells this meeting from one that was in the same room before.
    meeting: u64,
}

#[derive(Debug)]
struct Tables {
    rooms: HashMap<RoomKey, RoomHandle>,
    breakouts: HashMap<String, RoomHandle>,
    next_meeting: u64,
    conferences: HashMap<ConferenceId, mpsc::Sender<RoomInput>>,
    makers: Makers,
}

/// The rooms of this node.
#[derive(Debug)]
pub(crate) struct Directory {
    tables: Mutex<Tables>,
    // How many rooms there are; changed while the tables are held.
    open: watch::Sender<usize>,
}

impl Directory {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self {
            tables: Mutex::new(Tables {
                rooms: HashMap::new(),
                breakouts: HashMap::new(),
                next_meeting: 0,
                conferences: HashMap::new(),
                makers: Makers::new(settings.rooms_per_second, settings.room_burst),
            }),
            open: watch::Sender::new(0),
        }
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn rooms(&self) -> usize {
        *self.open.borrow()
    }

    /// Waits until there is no room.
    pub(crate) async fn no_rooms(&self) {
        let mut open = self.open.subscribe();
        // It fails when we are gone, and then there is none.
        let _ = open.wait_for(|rooms| *rooms == 0).await;
    }

    pub(crate) fn find(&self, key: &RoomKey) -> Option<RoomHandle> {
        self.tables().rooms.get(key).cloned()
    }

    /// Rooms by name, those after one of them; and the last of those given, if there are more.
    pub(crate) fn page(
        &self,
        after: Option<&RoomName>,
        limit: usize,
    ) -> (Vec<RoomHandle>, Option<RoomName>) {
        let tables = self.tables();
        let mut rooms: Vec<_> = tables
            .rooms
            .iter()
            .map(|(key, handle)| (key.name(), handle))
            .filter(|(name, _)| after.is_none_or(|after| name > after))
            .collect();
        rooms.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        let more = rooms.len() > limit;
        rooms.truncate(limit);
        let last = rooms.last().map(|(name, _)| name.clone());
        let handles = rooms.into_iter().map(|(_, handle)| handle.clone());
        (handles.collect(), last.filter(|_| more))
    }

    /// The meeting that a breakout room belongs to.
    pub(crate) fn find_breakout(&self, id: &str) -> Option<RoomHandle> {
        self.tables().breakouts.get(id).cloned()
    }

    /// From now on this breakout room leads to that meeting.
    pub(crate) fn add_breakout(&self, id: String, handle: RoomHandle) {
        self.tables().breakouts.insert(id, handle);
    }

    pub(crate) fn remove_breakout(&self, id: &str) {
        self.tables().breakouts.remove(id);
    }

    /// What bridges say of this conference goes to that meeting.
    pub(crate) fn add_conference(&self, conference: ConferenceId, handle: &RoomHandle) {
        self.tables()
            .conferences
            .insert(conference, handle.inputs.clone());
    }

    pub(crate) fn remove_conference(&self, conference: &ConferenceId) {
        self.tables().conferences.remove(conference);
    }

    /// Takes a meeting out that has ended, unless another has taken its place.
    pub(crate) fn remove(&self, key: &RoomKey, meeting: &RoomHandle) {
        let mut tables = self.tables();
        if tables
            .rooms
            .get(key)
            .is_some_and(|handle| handle.meeting == meeting.meeting)
        {
            tables.rooms.remove(key);
            self.open.send_replace(tables.rooms.len());
        }
        tables
            .breakouts
            .retain(|_, handle| handle.meeting != meeting.meeting);
    }
}

/// Why there is no room for who asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoRoom {
    /// The server, or this client's address, has as many as it may.
    TooMany,
    /// The server is about to end, and begins no more meetings.
    Draining,
    /// The server has too much to do to take anybody in.
    Overloaded,
    /// A guest waits for a host.
    NotAuthorized,
    /// A breakout room that is not there.
    Unknown,
}

/// Who asks for a conference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Asker {
    pub(crate) address: IpAddr,
    /// It has an accepted token.
    pub(crate) authenticated: bool,
}

/// The room at this address, made if need be, with the focus in it, and told that somebody is
/// coming.
pub(crate) async fn request_room(
    shared: &Arc<Shared>,
    target: Target,
    asker: Asker,
) -> Result<RoomHandle, NoRoom> {
    let (key, place) = match target {
        // Whoever goes to a breakout room is here already.
        Target::Room(_) if shared.admission.is_overloaded() => {
            shared.metrics.refuse(Reason::Overloaded);
            return Err(NoRoom::Overloaded);
        }
        Target::Room(key) => (Some(key), Place::Main),
        Target::Breakout(id) => (None, Place::Breakout(id)),
        Target::Lobby(_) | Target::RoomService | Target::Component(_) | Target::Other => {
            return Err(NoRoom::Unknown);
        }
    };
    // A meeting may end between being found and being told; it is out of the directory by then.
    for _ in 0..2 {
        let handle = match (&key, &place) {
            (Some(key), _) => find_or_make(shared, key, asker)?,
            (None, Place::Breakout(id)) => {
                let found = shared.directory.find_breakout(id);
                found.ok_or(NoRoom::Unknown)?
            }
            (None, Place::Main) => return Err(NoRoom::Unknown),
        };
        let (answer, answered) = oneshot::channel();
        let input = RoomInput::Requested {
            place: place.clone(),
            authenticated: asker.authenticated,
            answer,
        };
        if handle.inputs.send(input).await.is_err() {
            continue;
        }
        match answered.await {
            Ok(Outcome::Ready) => return Ok(handle),
            Ok(Outcome::NotAuthorized) => return Err(NoRoom::NotAuthorized),
            Ok(Outcome::NoRoom) => return Err(NoRoom::Unknown),
            Err(_) => {}
        }
    }
    Err(NoRoom::Unknown)
}

fn find_or_make(shared: &Arc<Shared>, key: &RoomKey, asker: Asker) -> Result<RoomHandle, NoRoom> {
    let mut tables = shared.directory.tables();
    if let Some(handle) = tables.rooms.get(key).filter(|h| !h.inputs.is_closed()) {
        return Ok(handle.clone());
    }
    let later = shared.settings.opens_later(key, clock::now().unix_millis);
    if later || (shared.settings.is_hosts_only(key) && !asker.authenticated) {
        return Err(NoRoom::NotAuthorized);
    }
    if shared.admission.drains() {
        shared.metrics.refuse(Reason::Draining);
        return Err(NoRoom::Draining);
    }
    if tables.rooms.len() >= shared.settings.max_rooms || shared.stop_rooms.is_cancelled() {
        shared.metrics.refuse(Reason::Rooms);
        return Err(NoRoom::TooMany);
    }
    if !tables.makers.may_make(asker.address) {
        shared.metrics.refuse(Reason::RoomRate);
        return Err(NoRoom::TooMany);
    }
    let (inputs, receiver) = mpsc::channel(ROOM_QUEUE);
    let settings = &shared.settings;
    let handle = RoomHandle {
        inputs,
        media: settings.media_of(&settings.beginning(key, clock::now().unix_millis)),
        meeting: tables.next_meeting,
    };
    tables.next_meeting += 1;
    tables.rooms.insert(key.clone(), handle.clone());
    shared.directory.open.send_replace(tables.rooms.len());
    drop(tables);
    room_task::spawn(Arc::clone(shared), key.clone(), handle.clone(), receiver);
    Ok(handle)
}

/// Hands what bridges say unasked to the room concerned, until the rooms end.
pub(crate) async fn bridge_events(shared: Arc<Shared>, mut events: Subscription) {
    loop {
        let delivery = tokio::select! {
            delivery = events.next() => delivery,
            () = shared.stop_rooms.cancelled() => None,
        };
        let Some(delivery) = delivery else { return };
        match althing_control::decode::<BridgeEvent>(&delivery.payload) {
            Ok(event) => {
                let BridgeEvent::EndpointState { conference, .. } = &event;
                let conference = conference.clone();
                let room = shared
                    .directory
                    .tables()
                    .conferences
                    .get(&conference)
                    .cloned();
                // A full room queue loses the event: the focus learns the state from its next
                // request at the latest, and waiting here would hold up all other rooms.
                if let Some(room) = room
                    && room.try_send(RoomInput::Bridge(event)).is_err()
                {
                    tracing::debug!(%conference, "a bridge event was not taken");
                }
            }
            Err(error) => tracing::warn!(%error, "a bridge event cannot be read"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classify(text: &str) -> Target {
        RoomKey::classify(&Jid::parse(text).unwrap(), "meet.jitsi")
    }

    #[test]
    fn a_name_leads_to_the_room_of_its_link() {
        let named = |tenant: Option<&str>, name: &str| {
            let room = RoomName {
                tenant: tenant.map(str::to_owned),
                name: name.to_owned(),
            };
            RoomKey::of_name(&room, "meet.jitsi").map(Target::Room)
        };
        for (tenant, name, address) in [
            (None, "Demo", "demo@muc.meet.jitsi"),
            (None, "My Room", "my%20room@muc.meet.jitsi"),
            (None, "Größe", "gr%c3%b6%c3%9fe@muc.meet.jitsi"),
            (Some("Acme.Corp"), "a/b", "a%2fb@muc.acme_corp.meet.jitsi"),
        ] {
            assert_eq!(named(tenant, name), Some(classify(address)), "{name}");
        }
        assert_eq!(named(None, ""), None);
        assert_eq!(named(Some("a b"), "demo"), None);
    }

    #[test]
    fn both_services_lead_to_one_room_and_tenants_to_others() {
        let room = classify("demo@muc.meet.jitsi/nick");
        assert_eq!(room, classify("Demo@conference.meet.jitsi"));
        assert_ne!(room, classify("demo@muc.acme.meet.jitsi"));
        assert_eq!(
            classify("demo@muc.acme.meet.jitsi"),
            classify("demo@conference.acme.meet.jitsi")
        );
        assert_eq!(classify("muc.meet.jitsi"), Target::RoomService);
        for other in [
            "meet.jitsi",
            "u@meet.jitsi/r",
            "focus@auth.meet.jitsi",
            "demo@muc.a.b.meet.jitsi",
            "demo@muc.meet.jitsi.example",
            "demo@xmuc.meet.jitsi",
            "demo@muc.xmeet.jitsi",
        ] {
            assert_eq!(classify(other), Target::Other, "{other}");
        }
        for disguised in ["%64emo", "demo%", "%zz", "%ff", "%c3%84rger", "a%2Db"] {
            for service in ["muc", "conference", "muc.acme", "lobby"] {
                let address = format!("{disguised}@{service}.meet.jitsi");
                assert_eq!(classify(&address), Target::Other, "{address}");
            }
        }
        for usual in ["a%20b", "%c3%a4rger", "ärger", "a!b", "it%27s", "a-b_c.d~e"] {
            let address = format!("{usual}@muc.meet.jitsi");
            assert!(matches!(classify(&address), Target::Room(_)), "{address}");
        }
        let long = format!("{}@muc.meet.jitsi", "x".repeat(MAX_ROOM_NAME + 1));
        assert_eq!(classify(&long), Target::Other);
    }
}
