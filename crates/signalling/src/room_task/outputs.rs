//! What the cores of a meeting say, carried to whom it is for: to each other, to sessions, to metrics.

use super::{RoomTask, lock};
use althing_model::{ConferenceId, SessionId};
use althing_room::{Deed, Place, RoomEvent};
use std::sync::Arc;

impl RoomTask {
    /// Carries outputs on until no core has any left. What a core said first goes first.
    pub(super) fn pump(&mut self) {
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

    pub(super) fn deliver(&self, to: Vec<SessionId>, xml: &Arc<str>) {
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
}
