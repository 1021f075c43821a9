//! One task for one meeting: it owns the meeting and the focus of each of its rooms, and carries
//! what they say to each other, to sessions and to the bridge.

mod asked;
mod conferences;
mod outputs;
mod silence;

use self::conferences::{BridgeAnswer, Conference};
use self::silence::LOOK_EVERY;
use crate::clock::{self, OsEntropy};
use crate::directory::{RoomHandle, RoomKey};
use crate::metrics::Held;
use crate::notices::Teller;
use crate::requests::Ask;
use crate::{Shared, services};
use althing_control::rooms::{RoomName, RoomReply};
use althing_control::{BridgeEvent, BridgeRequest};
use althing_model::{ConferenceId, Now, SessionId};
use althing_room::{Meeting, Outcome, Place};
use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::{FuturesUnordered, StreamExt};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use tokio::sync::{mpsc, oneshot};
use tracing::Instrument;

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
        media: settings.media_of(&rule),
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
}

#[cfg(test)]
mod tests;
