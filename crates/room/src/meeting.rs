//! One meeting: its main room, its lobby, its breakout rooms, and the components that speak for
//! them. It routes each stanza to whom it is addressed, and carries what happens in one room to
//! the others.

use crate::breakout::Breakouts;
use crate::common::{Common, Turn};
pub use crate::component::Component;
use crate::event::{Actor, Deed, LeaveReason, RoomEvent};
pub use crate::exchange::{Action, Input, Outcome, Output, Place};
use crate::lobby::Lobby;
use crate::presence::last_words;
use crate::roles::Appointment;
use crate::room::{Room, Sender, Settings, Told};
use althing_model::{EndpointId, Entropy, MediaMode, Now, SessionId};
use althing_xmpp::{Element, Jid};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, VecDeque};
use std::time::Instant;

/// The version of [`Snapshot`]; a higher one is refused.
const SNAPSHOT_VERSION: u32 = 2;

/// Why an input was not acted upon; the sender of a stanza has been answered where an answer is
/// due.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The stanza is not addressed to this meeting.
    #[error("stanza for {0} reached the meeting in {1}")]
    Misrouted(String, String),
    /// The focus wrote to somebody who is not here, or in a room that is not there.
    #[error("no occupant {0} in the room")]
    NoOccupant(EndpointId),
    /// The room is not there.
    #[error("no such room in the meeting")]
    NoRoom,
    /// A snapshot written by a newer version.
    #[error("meeting snapshot has version {0}, this node reads {SNAPSHOT_VERSION}")]
    SnapshotVersion(u32),
}

/// A meeting's whole state, to be written out and read back.
#[derive(Debug, Serialize, Deserialize)]
pub struct Snapshot {
    version: u32,
    /// How old the meeting was.
    age_millis: u64,
    meeting: Meeting,
}

/// One meeting.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Meeting {
    pub(crate) settings: Settings,
    /// The zero of every time kept here; set anew when restored.
    #[serde(skip)]
    pub(crate) born: Option<Instant>,
    pub(crate) common: Common,
    pub(crate) main: Room,
    pub(crate) lobby: Lobby,
    pub(crate) breakouts: Breakouts,
    /// The rooms whose focus is there: somebody is in, or expected.
    pub(crate) focuses: BTreeSet<Place>,
    /// Guests may come: a host has been here, or none is asked for.
    pub(crate) opened: bool,
    pub(crate) speakers: crate::speakers::Speakers,
    pub(crate) term: crate::term::Term,
    /// When it ends if nobody has come back by then, in milliseconds since it was made.
    pub(crate) end_at: Option<u64>,
    /// When a moderator is elected if none has come by then, likewise.
    pub(crate) elect_at: Option<u64>,
    /// It is over: nothing it is told matters any more.
    pub(crate) ended: bool,
    #[serde(skip)]
    pub(crate) outputs: VecDeque<Output>,
    /// What happened and has not yet been looked at by the other parts of the meeting.
    #[serde(skip)]
    pub(crate) happened: VecDeque<(Place, RoomEvent)>,
    /// What moderators gave and has not yet been carried to every room.
    #[serde(skip)]
    pub(crate) appointments: VecDeque<Appointment>,
}

/// What an address below the domain is to a meeting.
enum Target {
    Room(Place, usize),
    Lobby,
    Component(Component),
}

impl Meeting {
    /// A meeting with nobody in it; its main room's focus occupant is there.
    #[must_use]
    pub fn new(settings: Settings, now: Now, entropy: &mut dyn Entropy) -> Self {
        let mut main = Room::new(settings.clone(), None, now, entropy);
        main.subject.clone_from(&settings.preset.subject);
        Self {
            common: Common::new(&settings),
            opened: !settings.hosts_only,
            settings,
            born: Some(now.monotonic),
            main,
            lobby: Lobby::default(),
            breakouts: Breakouts::default(),
            speakers: crate::speakers::Speakers::default(),
            term: crate::term::Term::default(),
            focuses: BTreeSet::new(),
            end_at: None,
            elect_at: None,
            ended: false,
            outputs: VecDeque::new(),
            happened: VecDeque::new(),
            appointments: VecDeque::new(),
        }
    }

    /// What of media it is for.
    #[must_use]
    pub const fn media(&self) -> MediaMode {
        self.settings.media
    }

    /// Takes one input; drain [`Meeting::poll`] afterwards.
    ///
    /// # Errors
    /// [`Error`] when the input was not for this meeting or names somebody who left; nothing
    /// changed.
    pub fn handle(
        &mut self,
        now: Now,
        input: Input,
        entropy: &mut dyn Entropy,
    ) -> Result<(), Error> {
        if self.ended {
            return Ok(());
        }
        let done = self.act(now, input, entropy);
        loop {
            if let Some(appointment) = self.appointments.pop_front() {
                self.appoint(now, &appointment, entropy);
            } else if let Some((place, event)) = self.happened.pop_front() {
                self.carry_over(now, &place, &event, entropy);
            } else {
                return done;
            }
        }
    }

    fn act(&mut self, now: Now, input: Input, entropy: &mut dyn Entropy) -> Result<(), Error> {
        match input {
            Input::Stanza { sender, stanza } => self.stanza(now, &sender, stanza, entropy),
            Input::SessionEnded { session } => {
                self.leave_everywhere(now, &session, &LeaveReason::Disconnected, entropy);
                Ok(())
            }
            Input::SessionLeaves { session, status } => {
                let status = status.as_deref().and_then(last_words);
                self.leave_everywhere(now, &session, &LeaveReason::Left(status), entropy);
                Ok(())
            }
            Input::Requested {
                request,
                place,
                authenticated,
            } => {
                let outcome = self.requested(now, &place, authenticated, entropy);
                self.outputs.push_back(Output::Answer { request, outcome });
                Ok(())
            }
            Input::FocusPresence { place, presence } => self
                .in_room(&place, now, entropy, |room, _| {
                    room.focus_presence(&presence);
                })
                .ok_or(Error::NoRoom),
            Input::FocusIq { place, to, iq } => self
                .in_room(&place, now, entropy, |room, _| room.focus_iq(&to, iq))
                .unwrap_or(Err(Error::NoRoom)),
            Input::FocusEnded { place } => {
                self.focus_ended(now, &place);
                Ok(())
            }
            Input::Destroy {
                reason,
                alternative,
            } => {
                self.destroy(now, &reason, alternative.as_ref(), entropy);
                Ok(())
            }
            Input::Command { by, command } => self.command(now, by, command, entropy),
            Input::Timer => {
                self.timer(now, entropy);
                Ok(())
            }
        }
    }

    /// The next thing to do, oldest first.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When the meeting wants [`Input::Timer`].
    #[must_use]
    pub fn next_timeout(&self) -> Option<Instant> {
        let own = [
            self.end_at,
            self.elect_at,
            self.term_timeout(),
            self.breakouts.next_timeout(),
        ];
        let rooms = self.places();
        let presences = rooms.iter().map(|place| self.room(place)?.next_timeout());
        let at = own
            .into_iter()
            .chain(presences)
            .flatten()
            .min()
            .filter(|_| !self.ended)?;
        Some(self.born? + std::time::Duration::from_millis(at))
    }

    /// How many occupants are in the main room and the breakouts, focuses not counted.
    #[must_use]
    pub fn occupant_count(&self) -> usize {
        self.main.occupant_count() + self.breakouts.occupant_count()
    }

    /// The meeting's id, a UUID.
    #[must_use]
    pub fn meeting_id(&self) -> &str {
        &self.main.meeting_id
    }

    /// The main room's canonical address.
    #[must_use]
    pub fn address(&self) -> &Jid {
        self.main.address()
    }

    /// How often a presence has been written out in the main room since the meeting was made or
    /// restored.
    #[must_use]
    pub const fn presence_renders(&self) -> u64 {
        self.main.renders
    }

    /// The whole state. Outputs not yet polled are not part of it: drain first.
    #[must_use]
    pub fn snapshot(&self, now: Now) -> Snapshot {
        Snapshot {
            version: SNAPSHOT_VERSION,
            age_millis: self.at(now),
            meeting: self.clone(),
        }
    }

    /// The meeting a snapshot was taken of; what was due in a second is due in a second.
    ///
    /// # Errors
    /// [`Error::SnapshotVersion`] when a newer version wrote it.
    pub fn restore(snapshot: Snapshot, now: Now) -> Result<Self, Error> {
        if snapshot.version > SNAPSHOT_VERSION {
            return Err(Error::SnapshotVersion(snapshot.version));
        }
        let mut meeting = snapshot.meeting;
        let age = std::time::Duration::from_millis(snapshot.age_millis);
        meeting.born = Some(now.monotonic.checked_sub(age).unwrap_or(now.monotonic));
        Ok(meeting)
    }

    /// Milliseconds since the meeting was made.
    pub(crate) fn at(&self, now: Now) -> u64 {
        let age = self
            .born
            .map(|born| now.monotonic.saturating_duration_since(born))
            .unwrap_or_default();
        u64::try_from(age.as_millis()).unwrap_or(u64::MAX)
    }

    pub(crate) fn room(&self, place: &Place) -> Option<&Room> {
        match place {
            Place::Main => Some(&self.main),
            Place::Breakout(id) => self.breakouts.room(id),
        }
    }

    /// Has a room do something, and takes up what came of it.
    pub(crate) fn in_room<R>(
        &mut self,
        place: &Place,
        now: Now,
        entropy: &mut dyn Entropy,
        deed: impl FnOnce(&mut Room, &mut Turn<'_>) -> R,
    ) -> Option<R> {
        let at = self.at(now);
        let moderated_elsewhere = self.is_moderated_beside(place);
        let room = match place {
            Place::Main => &mut self.main,
            Place::Breakout(id) => self.breakouts.room_mut(id)?,
        };
        let mut turn = Turn {
            now,
            at,
            moderated_elsewhere,
            moderates_as: None,
            common: &mut self.common,
            entropy,
        };
        let result = deed(room, &mut turn);
        while let Some(told) = room.outputs.pop_front() {
            let output = match told {
                Told::Send { to, xml } => Output::Send { to, xml },
                Told::ToFocus { from, stanza } => Output::ToFocus {
                    place: place.clone(),
                    from,
                    stanza,
                },
                Told::Denied(action) => Output::Denied(action),
                Told::Appointed(appointment) => {
                    self.appointments.push_back(appointment);
                    continue;
                }
                Told::Event(event) => {
                    self.happened.push_back((place.clone(), event.clone()));
                    Output::Event {
                        place: place.clone(),
                        event,
                    }
                }
            };
            self.outputs.push_back(output);
        }
        Some(result)
    }

    fn target(&self, to: &Jid) -> Option<Target> {
        if let Some(form) = self.settings.names.form_of(to) {
            return Some(Target::Room(Place::Main, form));
        }
        if to.bare() == self.settings.lobby {
            return Some(Target::Lobby);
        }
        let component = Component::of_host(to.domain(), &self.settings.domain)?;
        match (component, to.node()) {
            (Component::Breakout, Some(id)) => {
                Some(Target::Room(Place::Breakout(id.to_owned()), 0))
            }
            (_, None) => Some(Target::Component(component)),
            (_, Some(_)) => None,
        }
    }

    fn stanza(
        &mut self,
        now: Now,
        sender: &Sender,
        stanza: Element,
        entropy: &mut dyn Entropy,
    ) -> Result<(), Error> {
        let text = stanza.attr("to").unwrap_or_default();
        let to = Jid::parse(text).ok();
        let target = to.as_ref().and_then(|to| self.target(to));
        let (Some(to), Some(target)) = (to, target) else {
            return Err(Error::Misrouted(
                text.chars().take(200).collect(),
                self.address().to_string(),
            ));
        };
        match target {
            Target::Room(..) if self.lobby_invitation(now, sender, &to, &stanza, entropy) => {}
            Target::Room(place, form) => {
                if place == Place::Main && self.awaits_host(sender, &stanza) {
                    return Ok(());
                }
                if !self.before_stanza(now, &place, sender, &stanza, entropy) {
                    return Ok(());
                }
                let name = self.name_of(&place, &sender.session);
                let moderates_as = self.moderates_as(&sender.session);
                self.in_room(&place, now, entropy, |room, turn| {
                    turn.moderates_as = moderates_as;
                    room.stanza(turn, sender, &to, form, stanza);
                });
                if name != self.name_of(&place, &sender.session) {
                    self.lists_changed(now);
                }
            }
            Target::Lobby => self.lobby_stanza(now, sender, &to, &stanza, entropy),
            Target::Component(component) => {
                self.component_stanza(now, component, sender, &stanza, entropy);
            }
        }
        Ok(())
    }

    fn component_stanza(
        &mut self,
        now: Now,
        component: Component,
        sender: &Sender,
        stanza: &Element,
        entropy: &mut dyn Entropy,
    ) {
        if stanza.name() != "message" || stanza.attr("type") == Some("error") {
            return;
        }
        match component {
            Component::AvModeration => self.av_moderation_message(now, sender, stanza, entropy),
            Component::Breakout => self.breakout_message(now, sender, stanza, entropy),
            Component::EndConference => self.end_message(now, sender, stanza, entropy),
            Component::Metadata => self.metadata_message(now, sender, stanza, entropy),
            Component::Polls => self.polls_message(now, sender, stanza, entropy),
            Component::SpeakerStats => self.speaker_message(now, sender, stanza),
        }
    }

    /// What happened in one room, for the other parts of the meeting.
    fn carry_over(
        &mut self,
        now: Now,
        place: &Place,
        event: &RoomEvent,
        entropy: &mut dyn Entropy,
    ) {
        if let RoomEvent::OccupantJoined(info) = event {
            self.end_at = None;
            self.opened |= info.identity.is_some();
        }
        if std::mem::take(&mut self.common.untold) {
            self.push_metadata(now, entropy);
        }
        self.election_event(now, place, event, entropy);
        self.lobby_event(now, place, event, entropy);
        self.av_moderation_event(now, place, event, entropy);
        self.breakout_event(now, place, event, entropy);
        self.polls_event(now, place, event, entropy);
        self.speaker_event(now, place, event, entropy);
        self.term_event(now, place, event, entropy);
    }

    fn leave_everywhere(
        &mut self,
        now: Now,
        session: &SessionId,
        reason: &LeaveReason,
        entropy: &mut dyn Entropy,
    ) {
        self.lobby_leave(now, session, entropy);
        for place in self.places() {
            self.in_room(&place, now, entropy, |room, _| {
                room.leave_session(session, reason.clone());
            });
        }
    }

    /// The rooms there are: the main one, and breakouts that somebody has entered.
    pub(crate) fn places(&self) -> Vec<Place> {
        let breakouts = self.breakouts.awake().map(Place::Breakout);
        std::iter::once(Place::Main).chain(breakouts).collect()
    }

    fn requested(
        &mut self,
        now: Now,
        place: &Place,
        authenticated: bool,
        entropy: &mut dyn Entropy,
    ) -> Outcome {
        match place {
            Place::Main if !self.opened && !authenticated => return Outcome::NotAuthorized,
            Place::Main => {}
            Place::Breakout(id) if !self.breakouts.has(id) => return Outcome::NoRoom,
            // Who may come in is decided when it does.
            Place::Breakout(id) => self.wake_breakout(now, id, entropy),
        }
        self.end_at = None;
        self.focuses.insert(place.clone());
        self.outputs.push_back(Output::FocusWanted {
            place: place.clone(),
        });
        Outcome::Ready
    }

    fn focus_ended(&mut self, now: Now, place: &Place) {
        self.focuses.remove(place);
        if let Place::Breakout(id) = place {
            self.breakouts.sleep(id);
            let address = self.breakout_address(id);
            self.common.metadata.forget(&address);
        }
        if !self.focuses.is_empty() {
            return;
        }
        if self.awaits_first_host() {
            // Who waits in the lobby goes on waiting.
        } else if !self.breakouts.used() {
            self.finish();
        } else {
            // People on their way from one room to another are in none for a moment.
            self.end_at = Some(self.at(now) + crate::breakout::PATIENCE);
        }
    }

    fn timer(&mut self, now: Now, entropy: &mut dyn Entropy) {
        let at = self.at(now);
        self.election_timer(now, entropy);
        for place in self.places() {
            self.in_room(&place, now, entropy, |room, turn| room.timer(turn));
        }
        self.breakout_timer(now);
        if self.end_at.is_some_and(|end| end <= at) {
            self.finish();
        }
        self.term_timer(now, entropy);
    }

    /// The meeting is over.
    pub(crate) fn finish(&mut self) {
        self.lobby_close("The meeting has ended.", None);
        self.ended = true;
        self.end_at = None;
        self.outputs.push_back(Output::End);
    }

    /// The session by which somebody is in a room.
    #[must_use]
    pub fn session_of(&self, place: &Place, id: &EndpointId) -> Option<&SessionId> {
        self.room(place)?.occupants.get(id).map(|o| &o.session)
    }

    /// Which room a session is in, and as whom.
    pub(crate) fn whereabouts(&self, session: &SessionId) -> Option<(Place, EndpointId)> {
        self.places().into_iter().find_map(|place| {
            let id = self.room(&place)?.by_session.get(session)?.clone();
            Some((place, id))
        })
    }

    /// Sends one message of a component to some sessions.
    pub(crate) fn tell(&mut self, to: Vec<SessionId>, from: &str, json: &serde_json::Value) {
        if to.is_empty() {
            return;
        }
        let xml = crate::component::message(from, json, None).to_xml().into();
        self.outputs.push_back(Output::Send { to, xml });
    }

    /// Tells what a moderator did; no other part of the meeting makes anything of it.
    pub(crate) fn done(&mut self, place: Place, by: Actor, deed: Deed) {
        let event = RoomEvent::Done { by, deed };
        self.outputs.push_back(Output::Event { place, event });
    }

    /// Counts an attempt of somebody who may not.
    pub(crate) fn deny(&mut self, action: Action) {
        self.outputs.push_back(Output::Denied(action));
    }
}
