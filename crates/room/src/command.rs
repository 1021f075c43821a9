//! What whoever runs the server sees of a meeting, and does to it: the same as moderators do, and
//! told in the same way, but in nobody's name.

use crate::admin::MAX_REASON;
use crate::end;
use crate::event::{Actor, Deed};
use crate::meeting::{Error, Meeting, Place};
use crate::occupant::Occupant;
use althing_model::{EndpointId, Entropy, Now, Role};
use serde::{Deserialize, Serialize};

/// What may be done to a meeting from outside. Muting is the focus's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Ends it for all.
    End {
        /// What people read; a sentence of ours without it.
        reason: Option<String>,
    },
    /// Removes somebody, in whichever room of the meeting it is.
    Remove {
        /// Whom.
        id: EndpointId,
        /// What it reads.
        reason: Option<String>,
    },
}

/// Somebody in a meeting, as seen from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OccupantView {
    /// In which room.
    pub place: Place,
    /// The nickname.
    pub id: EndpointId,
    /// The display name.
    pub name: Option<String>,
    /// The id in its token.
    pub user: Option<String>,
    /// Its role.
    pub role: Role,
}

impl OccupantView {
    fn of(place: &Place, occupant: &Occupant) -> Self {
        let identity = occupant.identity.as_deref();
        Self {
            place: place.clone(),
            id: occupant.id.clone(),
            name: occupant.facts.name.clone(),
            user: identity
                .and_then(|identity| identity.id())
                .map(str::to_owned),
            role: occupant.role,
        }
    }
}

impl Meeting {
    pub(crate) fn command(
        &mut self,
        now: Now,
        by: String,
        command: Command,
        entropy: &mut dyn Entropy,
    ) -> Result<(), Error> {
        let by = Actor::Server(by);
        let cut = |reason: Option<String>| {
            reason
                .map(|text| text.chars().take(MAX_REASON).collect::<String>())
                .filter(|text| !text.is_empty())
        };
        match command {
            Command::End { reason } => {
                let reason = cut(reason).unwrap_or_else(|| end::REASON.to_owned());
                self.done(Place::Main, by, Deed::Ended);
                self.destroy(now, &reason, None, entropy);
                Ok(())
            }
            Command::Remove { id, reason } => {
                let place = self
                    .place_of(&id)
                    .ok_or_else(|| Error::NoOccupant(id.clone()))?;
                let reason = cut(reason);
                self.in_room(&place, now, entropy, |room, turn| {
                    room.kick(turn, &by, &id, reason);
                });
                Ok(())
            }
        }
    }

    /// Which room of the meeting somebody is in.
    #[must_use]
    pub fn place_of(&self, id: &EndpointId) -> Option<Place> {
        let mut places = self.places().into_iter();
        places.find(|place| {
            self.room(place)
                .is_some_and(|r| r.occupants.contains_key(id))
        })
    }

    /// Everybody in any of its rooms.
    pub fn occupants(&self) -> impl Iterator<Item = OccupantView> {
        self.places().into_iter().flat_map(move |place| {
            let occupants = self
                .room(&place)
                .into_iter()
                .flat_map(|r| r.occupants.values());
            let views: Vec<_> = occupants.map(|o| OccupantView::of(&place, o)).collect();
            views
        })
    }

    /// When it was made, in milliseconds since 1970.
    #[must_use]
    pub const fn created_millis(&self) -> u64 {
        self.main.created_millis
    }

    /// Whether a password is asked, and whether newcomers wait in the lobby.
    #[must_use]
    pub const fn lock(&self) -> (bool, bool) {
        (self.common.password.is_some(), self.common.members_only)
    }
}
