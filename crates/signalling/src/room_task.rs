//! One task for one room: it owns the room and its focus and carries what they say to each other,
//! to sessions and to the bridge.

use crate::clock::{self, OsEntropy};
use crate::directory::RoomKey;
use crate::metrics::Held;
use crate::{Shared, services};
use althing_bus::BusError;
use althing_control::{BridgeEvent, BridgeReply, BridgeRequest};
use althing_focus::{BridgeFailure, Focus};
use althing_model::{ConferenceId, MediaKinds, NodeId, SessionId};
use althing_room::{Room, RoomEvent, RoomNames};
use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::{FuturesUnordered, StreamExt};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tracing::Instrument;

/// How long a bridge may take to answer. The client gives up on its own request after 10 s.
const BRIDGE_DEADLINE: Duration = Duration::from_secs(4);

/// What a room's task is told.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum RoomInput {
    /// Somebody is about to join.
    Requested,
    /// From a session.
    Room(althing_room::Input),
    /// A bridge said something unasked.
    Bridge(BridgeEvent),
    /// A fault of ours.
    #[cfg(test)]
    Fault,
}

type Members = Arc<Mutex<BTreeSet<SessionId>>>;

pub(crate) fn spawn(
    shared: Arc<Shared>,
    key: RoomKey,
    names: RoomNames,
    conference: ConferenceId,
    inputs: mpsc::Receiver<RoomInput>,
) {
    let span = tracing::info_span!(parent: None, "room", %conference);
    let tasks = shared.room_tasks.clone();
    tasks.spawn(
        async move {
            let members = Members::default();
            let held = Held::new(&shared.metrics.rooms);
            let task = RoomTask::new(&shared, names, &conference, inputs, Arc::clone(&members));
            tracing::info!("room made");
            let ended = AssertUnwindSafe(task.run(&key, &conference))
                .catch_unwind()
                .await;
            shared.directory.remove(&key, &conference);
            if ended.is_err() {
                // One room's fault ends that room: its clients are let go and join anew.
                shared.metrics.room_panics.inc();
                tracing::error!("room ended by a fault of ours");
                let numbers: Vec<u64> = lock(&members).iter().map(|s| s.number).collect();
                shared
                    .metrics
                    .occupants
                    .dec_by(numbers.len().try_into().unwrap_or(0));
                shared.sessions.abandon(numbers.into_iter());
                // The focus is gone with its room: nobody else would take its endpoints away.
                let expire = BridgeRequest::ExpireConference { conference };
                shared.bus.publish(
                    &althing_control::bridge_subject(&shared.settings.bridge),
                    althing_control::encode(&expire).into(),
                );
            } else {
                tracing::info!("room ended");
            }
            drop(held);
        }
        .instrument(span),
    );
}

fn lock(members: &Members) -> std::sync::MutexGuard<'_, BTreeSet<SessionId>> {
    members.lock().unwrap_or_else(PoisonError::into_inner)
}

type BridgeAnswer = (u64, Result<BridgeReply, BridgeFailure>);

struct RoomTask {
    shared: Arc<Shared>,
    room: Room,
    focus: Focus,
    inputs: mpsc::Receiver<RoomInput>,
    requests: FuturesUnordered<BoxFuture<'static, BridgeAnswer>>,
    members: Members,
    ended: bool,
}

enum Wake {
    Input(Option<RoomInput>),
    Answer(BridgeAnswer),
    Timer,
    Stop,
}

impl RoomTask {
    fn new(
        shared: &Arc<Shared>,
        names: RoomNames,
        conference: &ConferenceId,
        inputs: mpsc::Receiver<RoomInput>,
        members: Members,
    ) -> Self {
        let settings = &shared.settings;
        let now = clock::now();
        let room = Room::new(
            althing_room::Settings {
                names,
                focus_jid: shared.focus_jid.clone(),
                max_occupants: settings.max_occupants,
                history_messages: 20,
                history_bytes: 512 * 1024,
                may_send: MediaKinds::ALL,
            },
            now,
            &mut OsEntropy,
        );
        let focus = Focus::new(
            althing_focus::Settings {
                jid: shared.focus_jid.clone(),
                version: settings.version.clone(),
                conference: conference.clone(),
                bridge: settings.bridge.clone(),
                events_to: althing_control::focus_subject(&settings.node),
                limits: althing_focus::Limits {
                    ssrcs: settings.max_ssrcs,
                    groups: settings.max_ssrc_groups,
                },
                rewriting: true,
                json_sources: true,
            },
            now,
            &mut OsEntropy,
        );
        Self {
            shared: Arc::clone(shared),
            room,
            focus,
            inputs,
            requests: FuturesUnordered::new(),
            members,
            ended: false,
        }
    }

    async fn run(mut self, key: &RoomKey, conference: &ConferenceId) {
        self.pump();
        while !self.ended {
            match self.wait().await {
                Wake::Input(Some(input)) => self.input(input),
                Wake::Answer((request_id, result)) => {
                    self.focus_input(althing_focus::Input::Bridge { request_id, result });
                }
                Wake::Timer => self.focus_input(althing_focus::Input::Timer),
                Wake::Input(None) | Wake::Stop => break,
            }
            self.pump();
        }
        // Out of the directory first, so that nobody new finds it; then answer who already had.
        self.shared.directory.remove(key, conference);
        self.inputs.close();
        while let Some(input) = self.inputs.recv().await {
            if let RoomInput::Room(althing_room::Input::Stanza { sender, stanza }) = input
                && let Some(refusal) = services::no_such_room(&stanza)
            {
                let xml = Arc::from(refusal.to_xml());
                self.deliver(vec![sender.session], &xml);
            }
        }
        let left = std::mem::take(&mut *lock(&self.members)).len();
        self.shared
            .metrics
            .occupants
            .dec_by(left.try_into().unwrap_or(0));
    }

    async fn wait(&mut self) -> Wake {
        let timeout = earliest(self.room.next_timeout(), self.focus.next_timeout());
        let timer = async {
            match timeout {
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.shared.stop_rooms.cancelled() => Wake::Stop,
            Some(answer) = self.requests.next() => Wake::Answer(answer),
            () = timer => Wake::Timer,
            input = self.inputs.recv() => Wake::Input(input),
        }
    }

    fn input(&mut self, input: RoomInput) {
        match input {
            RoomInput::Requested => self.focus_input(althing_focus::Input::Requested),
            RoomInput::Bridge(event) => {
                self.focus_input(althing_focus::Input::BridgeEvent(event));
            }
            RoomInput::Room(input) => self.room_input(input),
            #[cfg(test)]
            RoomInput::Fault => panic!("a fault made for a test"),
        }
    }

    fn room_input(&mut self, input: althing_room::Input) {
        if let Err(error) = self.room.handle(clock::now(), input, &mut OsEntropy) {
            tracing::debug!(%error, "room input not acted upon");
        }
    }

    fn focus_input(&mut self, input: althing_focus::Input) {
        self.focus.handle(clock::now(), input, &mut OsEntropy);
    }

    /// Carries outputs on until neither core has any left. What a core said first goes first.
    fn pump(&mut self) {
        loop {
            if let Some(output) = self.room.poll() {
                self.room_output(output);
            } else if let Some(output) = self.focus.poll() {
                self.focus_output(output);
            } else {
                return;
            }
        }
    }

    fn room_output(&mut self, output: althing_room::Output) {
        match output {
            althing_room::Output::Send { to, xml } => self.deliver(to, &xml),
            althing_room::Output::Event(event) => {
                self.count(&event);
                self.focus_input(althing_focus::Input::Room(event));
            }
            althing_room::Output::ToFocus { from, stanza } => {
                self.focus_input(althing_focus::Input::Iq { from, stanza });
            }
        }
    }

    fn count(&self, event: &RoomEvent) {
        match event {
            RoomEvent::OccupantJoined(info) => {
                lock(&self.members).insert(info.session.clone());
                self.shared.metrics.occupants.inc();
                tracing::info!(endpoint = %info.id, "occupant joined");
            }
            RoomEvent::OccupantLeft { id, session, .. } => {
                lock(&self.members).remove(session);
                self.shared.metrics.occupants.dec();
                tracing::info!(endpoint = %id, "occupant left");
            }
            RoomEvent::PresenceChanged { .. } | RoomEvent::RoleChanged { .. } => {}
        }
    }

    fn deliver(&self, to: Vec<SessionId>, xml: &Arc<str>) {
        let shared = &self.shared;
        let here = to
            .into_iter()
            .filter(|session| session.node == shared.settings.node)
            .map(|session| session.number);
        shared.sessions.deliver(here, xml, &shared.metrics);
    }

    fn focus_output(&mut self, output: althing_focus::Output) {
        match output {
            althing_focus::Output::ToOccupant { to, iq } => {
                self.room_input(althing_room::Input::FocusIq { to, iq });
            }
            althing_focus::Output::Presence(presence) => {
                self.room_input(althing_room::Input::FocusPresence(presence));
            }
            althing_focus::Output::Bridge {
                request_id,
                node,
                request,
            } => self.ask_bridge(request_id, &node, &request),
            althing_focus::Output::End => self.ended = true,
        }
    }

    fn ask_bridge(&self, request_id: u64, node: &NodeId, request: &BridgeRequest) {
        let subject = althing_control::bridge_subject(node);
        let payload = althing_control::encode(request).into();
        // Handed over by the call itself, so requests keep the order in which the focus made them.
        let answer = self.shared.bus.request(&subject, payload, BRIDGE_DEADLINE);
        let failed = self.shared.metrics.bridge_requests_failed.clone();
        self.requests.push(
            async move {
                let result = match answer.await {
                    Ok(bytes) => althing_control::decode::<BridgeReply>(&bytes).map_err(|error| {
                        tracing::warn!(%error, "a bridge's answer cannot be read");
                        BridgeFailure::Malformed
                    }),
                    Err(BusError::NoResponder) => Err(BridgeFailure::NoResponder),
                    Err(BusError::Deadline) => Err(BridgeFailure::Deadline),
                    Err(_) => Err(BridgeFailure::Overloaded),
                };
                if result.is_err() {
                    failed.inc();
                }
                (request_id, result)
            }
            .boxed(),
        );
    }
}

fn earliest(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::{RoomKey, Target, request_room};
    use crate::sessions::Outbox;
    use crate::{Settings, Signalling};
    use althing_bus::{Bus as _, InProcess};
    use althing_model::Origin;
    use althing_room::Sender;
    use althing_xmpp::{Element, Jid, ns};

    fn key(room: &str) -> RoomKey {
        match RoomKey::classify(&Jid::parse(room).unwrap(), "meet.jitsi") {
            Target::Room(key) => key,
            other => panic!("{other:?}"),
        }
    }

    fn join(number: u64, room: &str) -> RoomInput {
        let node = NodeId::new("n1").unwrap();
        let stanza = Element::new("presence", ns::CLIENT)
            .with_attr("to", format!("{room}/nick{number}"))
            .with_child(Element::new("x", ns::MUC));
        RoomInput::Room(althing_room::Input::Stanza {
            sender: Sender {
                session: SessionId { node, number },
                jid: Jid::parse(&format!("user{number}@meet.jitsi/r")).unwrap(),
                origin: Origin {
                    secure: true,
                    authority: "door.example".into(),
                },
                identity: None,
            },
            stanza,
        })
    }

    #[tokio::test]
    async fn a_fault_in_one_room_ends_it_alone_and_is_counted() {
        let bus = InProcess::new();
        let node = NodeId::new("n1").unwrap();
        let mut bridge = bus.subscribe(&althing_control::bridge_subject(&node));
        let door = Signalling::start(
            Settings::new(node, "meet.jitsi"),
            Arc::new(bus),
            &mut althing_telemetry::registry("0"),
        )
        .unwrap();
        let shared = &door.shared;
        let mut inboxes = Vec::new();
        let mut rooms = Vec::new();
        for (number, room) in [(0, "faulty@muc.meet.jitsi"), (1, "sound@muc.meet.jitsi")] {
            let (outbox, mut frames) = Outbox::new();
            shared.sessions.insert(number, outbox.clone());
            let handle = request_room(shared, key(room), [192, 0, 2, 1].into())
                .await
                .unwrap();
            handle.inputs.send(join(number, room)).await.unwrap();
            assert!(frames.recv().await.is_some());
            inboxes.push((outbox, frames));
            rooms.push(handle);
        }
        rooms[0].inputs.send(RoomInput::Fault).await.unwrap();
        // The bridge takes away what the room had there.
        let asked = bridge.next().await.unwrap();
        let asked: BridgeRequest = althing_control::decode(&asked.payload).unwrap();
        assert!(
            matches!(asked, BridgeRequest::ExpireConference { .. }),
            "{asked:?}"
        );
        // Its occupants are let go; those of the other room are not.
        inboxes[0].0.overflow.cancelled().await;
        assert!(!inboxes[1].0.overflow.is_cancelled());
        assert!(
            shared
                .directory
                .find(&key("faulty@muc.meet.jitsi"))
                .is_none()
        );
        assert!(
            shared
                .directory
                .find(&key("sound@muc.meet.jitsi"))
                .is_some()
        );
        assert_eq!(shared.metrics.room_panics.get(), 1);
        assert_eq!(shared.metrics.occupants.get(), 1);
        // A new one takes its place.
        let anew = request_room(shared, key("faulty@muc.meet.jitsi"), [192, 0, 2, 1].into())
            .await
            .unwrap();
        assert!(!anew.inputs.is_closed());
        door.shutdown().await;
        assert_eq!(shared.metrics.rooms.get(), 0);
    }
}
