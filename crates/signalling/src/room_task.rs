//! One task for one meeting: it owns the meeting and the focus of each of its rooms, and carries
//! what they say to each other, to sessions and to the bridge.

use crate::clock::{self, OsEntropy};
use crate::directory::{RoomHandle, RoomKey};
use crate::metrics::Held;
use crate::notices::Teller;
use crate::requests::Ask;
use crate::{Shared, services};
use althing_bus::BusError;
use althing_control::rooms::{
    MAX_OCCUPANTS, RoomName, RoomOccupant, RoomPerson, RoomReply, RoomSummary,
};
use althing_control::{BridgeEvent, BridgeReply, BridgeRequest, EndpointState};
use althing_focus::{BridgeFailure, Focus};
use althing_model::{ConferenceId, Entropy as _, MediaKinds, NodeId, Now, SessionId};
use althing_room::{Command, Deed, Meeting, Outcome, Place, RoomEvent};
use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::{FuturesUnordered, StreamExt};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};
use tracing::Instrument;

/// How long a bridge may take to answer. The client gives up on its own request after 10 s.
const BRIDGE_DEADLINE: Duration = Duration::from_secs(4);
/// How long somebody may be away whose media are gone as well.
const SILENT_PATIENCE: Duration = Duration::from_secs(30);
/// How often those are looked after.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// What a meeting's task is told.
#[derive(Debug)]
pub(crate) enum RoomInput {
    /// Somebody is about to join.
    Requested {
        /// Which room of the meeting.
        place: Place,
        /// It has an accepted token.
        authenticated: bool,
        /// Where the answer goes.
        answer: oneshot::Sender<Outcome>,
    },
    /// From a session.
    Room(althing_room::Input),
    /// A bridge said something unasked.
    Bridge(BridgeEvent),
    /// Whoever runs the server asks, or wants something done.
    Asked {
        /// What.
        ask: Ask,
        /// Where the answer goes.
        answer: oneshot::Sender<RoomReply>,
    },
    /// A fault of ours.
    #[cfg(test)]
    Fault,
}

type Members = Arc<Mutex<BTreeSet<SessionId>>>;
type Conferences = Arc<Mutex<BTreeSet<ConferenceId>>>;

pub(crate) fn spawn(
    shared: Arc<Shared>,
    key: RoomKey,
    handle: RoomHandle,
    inputs: mpsc::Receiver<RoomInput>,
) {
    let now = clock::now();
    let settings = meeting_settings(&shared, &key, now);
    let meeting = Meeting::new(settings, now, &mut OsEntropy);
    let teller = Teller::new(&shared, key.name(), meeting.meeting_id());
    let span = tracing::info_span!(parent: None, "room", meeting = meeting.meeting_id());
    let tasks = shared.room_tasks.clone();
    tasks.spawn(
        async move {
            let members = Members::default();
            let conferences = Conferences::default();
            let held = Held::new(&shared.metrics.rooms);
            let task = RoomTask {
                shared: Arc::clone(&shared),
                handle: handle.clone(),
                meeting,
                focuses: BTreeMap::new(),
                inputs,
                answers: HashMap::new(),
                next_answer: 0,
                requests: FuturesUnordered::new(),
                members: Arc::clone(&members),
                conferences: Arc::clone(&conferences),
                silent: BTreeSet::new(),
                name: key.name(),
                teller,
                ended_for: Vec::new(),
                ended: false,
            };
            tracing::info!("room made");
            let ended = AssertUnwindSafe(task.run(&key)).catch_unwind().await;
            shared.directory.remove(&key, &handle);
            let conferences = std::mem::take(&mut *lock(&conferences));
            for conference in conferences {
                shared.directory.remove_conference(&conference);
                // Its focus is gone with the task, and nobody else would take its endpoints away.
                let expire = BridgeRequest::ExpireConference { conference };
                shared.bus.publish(
                    &althing_control::bridge_subject(&shared.settings.bridge),
                    althing_control::encode(&expire).into(),
                );
            }
            if ended.is_err() {
                // One meeting's fault ends that one: its clients are let go and join anew.
                shared.metrics.room_panics.inc();
                tracing::error!("room ended by a fault of ours");
                let numbers: Vec<u64> = lock(&members).iter().map(|s| s.number).collect();
                shared
                    .metrics
                    .occupants
                    .dec_by(numbers.len().try_into().unwrap_or(0));
                shared.sessions.abandon(numbers.into_iter());
            } else {
                tracing::info!("room ended");
            }
            drop(held);
        }
        .instrument(span),
    );
}

fn meeting_settings(shared: &Shared, key: &RoomKey, now: Now) -> althing_room::Settings {
    let settings = &shared.settings;
    let names = key.names(&settings.domain);
    let lobby = key.lobby(&settings.domain);
    let rule = settings.beginning(key, now.unix_millis);
    althing_room::Settings {
        // Every name of a room is short enough for an address below another service.
        lobby: lobby.unwrap_or_else(|| names.canonical().clone()),
        names,
        focus_jid: shared.focus_jid.clone(),
        max_occupants: rule.max_occupants.unwrap_or(settings.max_occupants),
        history_messages: 20,
        history_bytes: 512 * 1024,
        may_send: MediaKinds::ALL,
        domain: settings.domain.clone(),
        moderators: rule.moderators.unwrap_or(settings.moderators),
        hosts_only: settings.is_hosts_only(key),
        name_required: settings.name_required,
        preset: rule.preset,
    }
}

fn lock<T>(shared: &Arc<Mutex<T>>) -> std::sync::MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

type BridgeAnswer = (Place, ConferenceId, u64, Result<BridgeReply, BridgeFailure>);

/// One room's focus and the conference it holds.
struct Conference {
    focus: Focus,
    conference: ConferenceId,
}

struct RoomTask {
    shared: Arc<Shared>,
    handle: RoomHandle,
    meeting: Meeting,
    focuses: BTreeMap<Place, Conference>,
    inputs: mpsc::Receiver<RoomInput>,
    /// Who waits for the answer to a request for a conference.
    answers: HashMap<u64, oneshot::Sender<Outcome>>,
    next_answer: u64,
    requests: FuturesUnordered<BoxFuture<'static, BridgeAnswer>>,
    members: Members,
    conferences: Conferences,
    /// Sessions whose media are gone.
    silent: BTreeSet<SessionId>,
    /// The room's name, as people write it.
    name: RoomName,
    teller: Teller,
    /// Who waits to hear that the room is gone.
    ended_for: Vec<oneshot::Sender<RoomReply>>,
    ended: bool,
}

enum Wake {
    Input(Option<RoomInput>),
    Answer(BridgeAnswer),
    Timer,
    /// Somebody is without media: look whether it is away as well.
    Look,
    Stop,
}

impl RoomTask {
    async fn run(mut self, key: &RoomKey) {
        while !self.ended {
            match self.wait().await {
                Wake::Input(Some(input)) => self.input(input),
                Wake::Answer((place, conference, request_id, result)) => {
                    let current = self.focuses.get(&place).map(|held| &held.conference);
                    if current == Some(&conference) {
                        let answer = althing_focus::Input::Bridge { request_id, result };
                        self.focus_input(&place, answer);
                    }
                }
                Wake::Timer => self.timer(),
                Wake::Look => self.expire_silent(),
                Wake::Input(None) | Wake::Stop => break,
            }
            self.pump();
        }
        // Out of the directory first, so that nobody new finds it; then answer who already had.
        self.shared.directory.remove(key, &self.handle);
        for answer in std::mem::take(&mut self.ended_for) {
            answer.send(RoomReply::Done).ok();
        }
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
        let timeout = self
            .focuses
            .values()
            .map(|held| held.focus.next_timeout())
            .chain([self.meeting.next_timeout()])
            .flatten()
            .min();
        let timer = async {
            match timeout {
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        let look = async {
            if self.silent.is_empty() {
                std::future::pending::<()>().await;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        };
        tokio::select! {
            () = self.shared.stop_rooms.cancelled() => Wake::Stop,
            Some(answer) = self.requests.next() => Wake::Answer(answer),
            () = timer => Wake::Timer,
            () = look => Wake::Look,
            input = self.inputs.recv() => Wake::Input(input),
        }
    }

    fn input(&mut self, input: RoomInput) {
        match input {
            RoomInput::Requested {
                place,
                authenticated,
                answer,
            } => {
                let request = self.next_answer;
                self.next_answer += 1;
                self.answers.insert(request, answer);
                self.room_input(althing_room::Input::Requested {
                    request,
                    place,
                    authenticated,
                });
            }
            RoomInput::Bridge(event) => {
                let BridgeEvent::EndpointState { conference, .. } = &event;
                let place = self
                    .focuses
                    .iter()
                    .find(|(_, held)| held.conference == *conference)
                    .map(|(place, _)| place.clone());
                if let Some(place) = place {
                    self.note_media(&place, &event);
                    self.focus_input(&place, althing_focus::Input::BridgeEvent(event));
                }
            }
            RoomInput::Room(input) => self.room_input(input),
            RoomInput::Asked { ask, answer } => self.asked(ask, answer),
            #[cfg(test)]
            RoomInput::Fault => panic!("a fault made for a test"),
        }
    }

    fn asked(&mut self, ask: Ask, answer: oneshot::Sender<RoomReply>) {
        let command = |by, command| althing_room::Input::Command { by, command };
        let reply = match ask {
            Ask::Summary => self.describe(0),
            Ask::Details => self.describe(MAX_OCCUPANTS),
            Ask::End { reason, by } => {
                self.room_input(command(by, Command::End { reason }));
                // Said once nobody finds the room any more.
                self.ended_for.push(answer);
                return;
            }
            Ask::Remove { id, .. } | Ask::Mute { id, .. }
                if self.meeting.place_of(&id).is_none() =>
            {
                RoomReply::NoOccupant
            }
            Ask::Remove { id, reason, by } => {
                self.room_input(command(by, Command::Remove { id, reason }));
                RoomReply::Done
            }
            Ask::Mute { id, medium, by } => {
                if let Some(place) = self.meeting.place_of(&id) {
                    self.focus_input(&place, althing_focus::Input::Mute { by, id, medium });
                }
                RoomReply::Done
            }
        };
        // Who asked may have lost its patience.
        answer.send(reply).ok();
    }

    fn describe(&self, most: usize) -> RoomReply {
        let (locked, lobby) = self.meeting.lock();
        let occupants = self.meeting.occupants().take(most);
        RoomReply::Room {
            room: RoomSummary {
                room: self.name.clone(),
                meeting: self.meeting.meeting_id().to_owned(),
                made_millis: self.meeting.created_millis(),
                occupants: self.meeting.occupant_count(),
                locked,
                lobby,
            },
            occupants: occupants
                .map(|view| RoomOccupant {
                    who: RoomPerson {
                        session: self
                            .meeting
                            .session_of(&view.place, &view.id)
                            .map(ToString::to_string),
                        occupant: view.id,
                        user: view.user,
                        name: view.name,
                    },
                    role: view.role,
                    breakout: match view.place {
                        Place::Main => None,
                        Place::Breakout(id) => Some(id),
                    },
                })
                .collect(),
        }
    }

    /// Remembers whose media are gone, and forgets it when they are back.
    fn note_media(&mut self, place: &Place, event: &BridgeEvent) {
        let BridgeEvent::EndpointState {
            endpoint, state, ..
        } = event;
        let Some(session) = self.meeting.session_of(place, endpoint).cloned() else {
            return;
        };
        match state {
            EndpointState::Connected => self.silent.remove(&session),
            EndpointState::Failed | EndpointState::Expired => self.silent.insert(session),
        };
    }

    /// Who has been away for half a minute, and whose media are gone as well, does not come back
    /// (its session alone would be waited for twice as long).
    fn expire_silent(&self) {
        let now = clock::now().monotonic;
        let sessions = &self.shared.sessions;
        for session in &self.silent {
            let away = sessions.hibernating_since(session.number);
            if away.is_some_and(|since| now.saturating_duration_since(since) >= SILENT_PATIENCE) {
                sessions.expire(session.number);
            }
        }
    }

    /// Somebody's time has come; who it was is found by asking each.
    fn timer(&mut self) {
        let now = clock::now();
        let due = |at: Option<Instant>| at.is_some_and(|at| at <= now.monotonic);
        if due(self.meeting.next_timeout()) {
            self.room_input(althing_room::Input::Timer);
        }
        let places: Vec<Place> = self
            .focuses
            .iter()
            .filter(|(_, held)| due(held.focus.next_timeout()))
            .map(|(place, _)| place.clone())
            .collect();
        for place in places {
            self.focus_input(&place, althing_focus::Input::Timer);
        }
    }

    fn room_input(&mut self, input: althing_room::Input) {
        if let Err(error) = self.meeting.handle(clock::now(), input, &mut OsEntropy) {
            tracing::debug!(%error, "room input not acted upon");
        }
    }

    fn focus_input(&mut self, place: &Place, input: althing_focus::Input) {
        if let Some(held) = self.focuses.get_mut(place) {
            held.focus.handle(clock::now(), input, &mut OsEntropy);
        }
    }

    /// Carries outputs on until no core has any left. What a core said first goes first.
    fn pump(&mut self) {
        loop {
            if let Some(output) = self.meeting.poll() {
                self.room_output(output);
                continue;
            }
            let next = self.focuses.iter_mut().find_map(|(place, held)| {
                let output = held.focus.poll()?;
                Some((place.clone(), held.conference.clone(), output))
            });
            let Some((place, conference, output)) = next else {
                return;
            };
            self.focus_output(place, conference, output);
        }
    }

    fn room_output(&mut self, output: althing_room::Output) {
        match output {
            althing_room::Output::Send { to, xml } => self.deliver(to, &xml),
            althing_room::Output::Event { place, event } => {
                self.count(&event);
                self.teller.event(&place, &event);
                self.focus_input(&place, althing_focus::Input::Room(event));
            }
            althing_room::Output::ToFocus {
                place,
                from,
                stanza,
            } => self.focus_input(&place, althing_focus::Input::Iq { from, stanza }),
            althing_room::Output::FocusWanted { place } => {
                self.make_focus(&place);
                self.focus_input(&place, althing_focus::Input::Requested);
            }
            althing_room::Output::Answer { request, outcome } => {
                if let Some(answer) = self.answers.remove(&request) {
                    answer.send(outcome).ok();
                }
            }
            althing_room::Output::BreakoutMade { id } => {
                let handle = self.handle.clone();
                self.shared.directory.add_breakout(id, handle);
            }
            althing_room::Output::BreakoutGone { id } => {
                self.shared.directory.remove_breakout(&id);
            }
            althing_room::Output::Denied(action) => self.shared.metrics.deny(action),
            althing_room::Output::End => self.ended = true,
        }
    }

    fn make_focus(&mut self, place: &Place) {
        if self.focuses.contains_key(place) {
            return;
        }
        let settings = &self.shared.settings;
        let conference = ConferenceId::new(OsEntropy.token(20))
            .expect("letters and digits make a conference id");
        let focus = Focus::new(
            althing_focus::Settings {
                jid: self.shared.focus_jid.clone(),
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
            clock::now(),
            &mut OsEntropy,
        );
        tracing::info!(%conference, "conference made");
        lock(&self.conferences).insert(conference.clone());
        self.shared
            .directory
            .add_conference(conference.clone(), &self.handle);
        let held = Conference { focus, conference };
        self.focuses.insert(place.clone(), held);
    }

    fn count(&mut self, event: &RoomEvent) {
        match event {
            RoomEvent::OccupantJoined(info) => {
                lock(&self.members).insert(info.session.clone());
                self.shared.metrics.occupants.inc();
                tracing::info!(endpoint = %info.id, "occupant joined");
            }
            RoomEvent::OccupantLeft { id, session, .. } => {
                lock(&self.members).remove(session);
                self.silent.remove(session);
                self.shared.metrics.occupants.dec();
                tracing::info!(endpoint = %id, "occupant left");
            }
            RoomEvent::PresenceChanged { .. }
            | RoomEvent::RoleChanged { .. }
            | RoomEvent::ForwardedChanged { .. }
            | RoomEvent::LockChanged { .. }
            | RoomEvent::LobbyChanged { .. }
            | RoomEvent::LobbyKnock { .. }
            | RoomEvent::LobbyAdmitted { .. }
            | RoomEvent::LobbyDenied { .. }
            | RoomEvent::Done { .. } => {}
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

    fn focus_output(
        &mut self,
        place: Place,
        conference: ConferenceId,
        output: althing_focus::Output,
    ) {
        match output {
            althing_focus::Output::ToOccupant { to, iq } => {
                self.room_input(althing_room::Input::FocusIq { place, to, iq });
            }
            althing_focus::Output::Presence(presence) => {
                self.room_input(althing_room::Input::FocusPresence { place, presence });
            }
            althing_focus::Output::Bridge {
                request_id,
                node,
                request,
            } => self.ask_bridge(place, conference, request_id, &node, &request),
            althing_focus::Output::Muted { by, id, medium } => {
                let deed = Deed::Muted { id, medium };
                self.teller.event(&place, &RoomEvent::Done { by, deed });
            }
            althing_focus::Output::Denied(action) => self.shared.metrics.deny(action),
            althing_focus::Output::End => {
                self.focuses.remove(&place);
                lock(&self.conferences).remove(&conference);
                self.shared.directory.remove_conference(&conference);
                self.room_input(althing_room::Input::FocusEnded { place });
            }
        }
    }

    fn ask_bridge(
        &self,
        place: Place,
        conference: ConferenceId,
        request_id: u64,
        node: &NodeId,
        request: &BridgeRequest,
    ) {
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
                (place, conference, request_id, result)
            }
            .boxed(),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::{Asker, RoomKey, Target, request_room};
    use crate::sessions::Outbox;
    use crate::{Settings, Signalling};
    use althing_bus::{Bus as _, InProcess};
    use althing_model::Origin;
    use althing_room::Sender;
    use althing_xmpp::{Element, Jid, ns};

    const ASKER: Asker = Asker {
        address: std::net::IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1)),
        authenticated: false,
    };

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
                network: althing_room::Network([192, 0, 2, 1].into()),
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
            let handle = request_room(shared, Target::Room(key(room)), ASKER)
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
        let anew = request_room(shared, Target::Room(key("faulty@muc.meet.jitsi")), ASKER)
            .await
            .unwrap();
        assert!(!anew.inputs.is_closed());
        door.shutdown().await;
        assert_eq!(shared.metrics.rooms.get(), 0);
    }
}
