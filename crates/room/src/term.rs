//! How long a meeting may last (protocol 4 §8.5): clients show the time that is left, and at its end
//! everybody is told why it is over.

use crate::event::RoomEvent;
use crate::meeting::{Meeting, Place};
use althing_model::{EndpointId, Entropy, Now};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::sync::Arc;

/// How long before the end everybody is told once more, in milliseconds.
const WARNINGS: [u64; 2] = [300_000, 60_000];

/// A meeting's time, from when its first occupant came.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct Term {
    /// In milliseconds since the meeting was made.
    began: Option<u64>,
    /// How many warnings are over.
    warned: usize,
}

impl Meeting {
    fn longest(&self) -> Option<u64> {
        let longest = self.settings.preset.max_duration?;
        u64::try_from(longest.as_millis()).ok()
    }

    /// When the next warning, or the end, is due; in milliseconds since the meeting was made.
    pub(crate) fn term_timeout(&self) -> Option<u64> {
        let end = self.term.began?.saturating_add(self.longest()?);
        let warning = WARNINGS.get(self.term.warned);
        Some(warning.map_or(end, |before| end.saturating_sub(*before)))
    }

    pub(crate) fn term_timer(&mut self, now: Now, entropy: &mut dyn Entropy) {
        let at = self.at(now);
        while !self.ended && self.term_timeout().is_some_and(|due| due <= at) {
            if self.term.warned < WARNINGS.len() {
                self.term.warned += 1;
                for place in self.places() {
                    self.tell_time(now, &place, None, entropy);
                }
            } else {
                let reason = "The meeting has lasted for its longest time.";
                self.destroy(now, reason, None, entropy);
            }
        }
    }

    /// Tells whoever comes in how much time is left.
    pub(crate) fn term_event(
        &mut self,
        now: Now,
        place: &Place,
        event: &RoomEvent,
        entropy: &mut dyn Entropy,
    ) {
        let (Some(longest), RoomEvent::OccupantJoined(info)) = (self.longest(), event) else {
            return;
        };
        if self.term.began.is_none() {
            self.term.began = Some(self.at(now));
            // What is over before it begins is nobody told of.
            let over = WARNINGS.iter().filter(|before| **before >= longest);
            self.term.warned = over.count();
        }
        self.tell_time(now, place, Some(&info.id), entropy);
    }

    fn tell_time(
        &mut self,
        now: Now,
        place: &Place,
        to: Option<&EndpointId>,
        entropy: &mut dyn Entropy,
    ) {
        let (Some(longest), Some(began)) = (self.longest(), self.term.began) else {
            return;
        };
        let elapsed = self.at(now).saturating_sub(began);
        let json = json!({
            "type": "time_restricted",
            "durationSeconds": longest / 1000,
            "elapsedSeconds": elapsed / 1000,
        });
        self.in_room(place, now, entropy, |room, _| {
            let names = room.settings.names.clone();
            let write = |form| {
                let from = names.bare(form).to_string();
                Arc::from(crate::component::message(&from, &json, None).to_xml())
            };
            match to.and_then(|id| room.occupants.get(id)) {
                Some(one) => {
                    let (session, form) = (one.session.clone(), one.form);
                    room.send_text(vec![session], write(form));
                }
                None if to.is_some() => {}
                None => room.broadcast(None, |_, form| write(form)),
            }
        });
    }
}
