//! Which rooms there are on this node, and how their addresses are written.

use crate::makers::Makers;
use crate::metrics::Reason;
use crate::room_task::{self, RoomInput};
use crate::{Settings, Shared, clock};
use althing_bus::Subscription;
use althing_control::BridgeEvent;
use althing_model::{ConferenceId, Entropy as _};
use althing_room::RoomNames;
use althing_xmpp::Jid;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::mpsc;

/// How many inputs wait for one room before its senders wait.
const ROOM_QUEUE: usize = 1024;
/// The longest room name, in bytes, escapes included.
const MAX_ROOM_NAME: usize = 512;
/// What the two room services are called; both lead to the same rooms.
const SERVICES: [&str; 2] = ["muc", "conference"];

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
    /// A room service itself.
    RoomService,
    /// Nothing of rooms.
    Other,
}

impl RoomKey {
    /// Reads `name@muc.domain`, `name@conference.domain` and `name@muc.tenant.domain`.
    pub(crate) fn classify(jid: &Jid, domain: &str) -> Target {
        let Some(service) = jid
            .domain()
            .strip_suffix(domain)
            .and_then(|rest| rest.strip_suffix('.'))
        else {
            return Target::Other;
        };
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
            Some(name) if name.len() > MAX_ROOM_NAME => Target::Other,
            Some(name) => Target::Room(Self {
                tenant: tenant.map(str::to_owned),
                name: name.to_owned(),
            }),
        }
    }

    /// Every way this room's address may be written, the usual one first.
    fn names(&self, domain: &str) -> RoomNames {
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

/// The way to one room's task.
#[derive(Debug, Clone)]
pub(crate) struct RoomHandle {
    pub(crate) inputs: mpsc::Sender<RoomInput>,
    conference: ConferenceId,
}

#[derive(Debug)]
struct Tables {
    rooms: HashMap<RoomKey, RoomHandle>,
    conferences: HashMap<ConferenceId, mpsc::Sender<RoomInput>>,
    makers: Makers,
}

/// The rooms of this node.
#[derive(Debug)]
pub(crate) struct Directory {
    tables: Mutex<Tables>,
}

impl Directory {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self {
            tables: Mutex::new(Tables {
                rooms: HashMap::new(),
                conferences: HashMap::new(),
                makers: Makers::new(settings.rooms_per_second, settings.room_burst),
            }),
        }
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn find(&self, key: &RoomKey) -> Option<RoomHandle> {
        self.tables().rooms.get(key).cloned()
    }

    /// Takes a room out that has ended, unless another has taken its place.
    pub(crate) fn remove(&self, key: &RoomKey, conference: &ConferenceId) {
        let mut tables = self.tables();
        if tables
            .rooms
            .get(key)
            .is_some_and(|handle| handle.conference == *conference)
        {
            tables.rooms.remove(key);
        }
        tables.conferences.remove(conference);
    }
}

/// Why a room was not made: the server, or this client's address, has as many as it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooManyRooms;

/// The room of this name, made if need be, with the focus in it, and told that somebody is coming.
pub(crate) async fn request_room(
    shared: &Arc<Shared>,
    key: RoomKey,
    asked_by: IpAddr,
) -> Result<RoomHandle, TooManyRooms> {
    let handle = find_or_make(shared, key.clone(), asked_by)?;
    if handle.inputs.send(RoomInput::Requested).await.is_ok() {
        return Ok(handle);
    }
    // It ended between being found and being told; it is out of the directory by now.
    let handle = find_or_make(shared, key, asked_by)?;
    handle.inputs.send(RoomInput::Requested).await.ok();
    Ok(handle)
}

fn find_or_make(
    shared: &Arc<Shared>,
    key: RoomKey,
    asked_by: IpAddr,
) -> Result<RoomHandle, TooManyRooms> {
    let mut tables = shared.directory.tables();
    if let Some(handle) = tables.rooms.get(&key).filter(|h| !h.inputs.is_closed()) {
        return Ok(handle.clone());
    }
    if tables.rooms.len() >= shared.settings.max_rooms || shared.stop_rooms.is_cancelled() {
        shared.metrics.refuse(Reason::Rooms);
        return Err(TooManyRooms);
    }
    if !tables.makers.may_make(asked_by) {
        shared.metrics.refuse(Reason::RoomRate);
        return Err(TooManyRooms);
    }
    let conference = ConferenceId::new(clock::OsEntropy.token(20))
        .expect("letters and digits make a conference id");
    let (inputs, receiver) = mpsc::channel(ROOM_QUEUE);
    let handle = RoomHandle {
        inputs: inputs.clone(),
        conference: conference.clone(),
    };
    let names = key.names(&shared.settings.domain);
    tables.rooms.insert(key.clone(), handle.clone());
    tables.conferences.insert(conference.clone(), inputs);
    drop(tables);
    room_task::spawn(Arc::clone(shared), key, names, conference, receiver);
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
        let long = format!("{}@muc.meet.jitsi", "x".repeat(MAX_ROOM_NAME + 1));
        assert_eq!(classify(&long), Target::Other);
    }
}
