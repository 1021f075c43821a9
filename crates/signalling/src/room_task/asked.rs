//! What whoever runs the server asks of a meeting, or has done in it.

use super::RoomTask;
use crate::requests::Ask;
use althing_control::rooms::{MAX_OCCUPANTS, RoomOccupant, RoomPerson, RoomReply, RoomSummary};
use althing_room::{Command, Place};
use tokio::sync::oneshot;

impl RoomTask {
    pub(super) fn asked(&mut self, ask: Ask, answer: oneshot::Sender<RoomReply>) {
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
}
