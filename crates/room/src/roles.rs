//! Who moderates: by policy and token, by election, by appointment (protocol 4 §4). A role belongs
//! to a person and is the same in every room of the meeting.

use crate::common::{Common, Moderators, Person, Turn};
use crate::event::{Deed, LeaveReason, RoomEvent};
use crate::meeting::{Meeting, Output, Place};
use crate::occupant::{Affiliation, Features, Occupant};
use crate::room::{Room, Sender};
use althing_model::{EndpointId, Entropy, Identity, Now, Role, SessionId, TokenStanding};
use althing_xmpp::stanza::{Condition, ErrorType, error_reply};
use althing_xmpp::{Element, Jid, ns};
use std::collections::BTreeSet;
use std::sync::Arc;

/// What a moderator may do of whom nothing else was said (protocol 4 §3.2).
const MODERATOR_FEATURES: [&str; 8] = [
    "livestreaming",
    "recording",
    "transcription",
    "outbound-call",
    "create-polls",
    "send-groupchat",
    "send-private-message",
    "flip",
];

pub(crate) fn moderator_features() -> Features {
    MODERATOR_FEATURES
        .into_iter()
        .map(|name| (name.to_owned(), true))
        .collect()
}

/// A standing that a moderator gives to whoever has this address, wherever in the meeting it is.
#[derive(Debug, Clone)]
pub(crate) struct Appointment {
    pub(crate) by: SessionId,
    pub(crate) jid: Jid,
    pub(crate) affiliation: Affiliation,
}

impl Meeting {
    pub(crate) fn appoint(
        &mut self,
        now: Now,
        appointment: &Appointment,
        entropy: &mut dyn Entropy,
    ) {
        let Appointment {
            by,
            jid,
            affiliation,
        } = appointment;
        let actor = self.whereabouts(by).map(|(_, id)| id);
        let features = self
            .whereabouts(by)
            .and_then(|(place, id)| self.room(&place)?.occupants.get(&id))
            .map(|actor| match actor.features() {
                Some(features) => Arc::new(features.clone()),
                None => Arc::new(moderator_features()),
            });
        let places = self.places();
        let persons: BTreeSet<Person> = places
            .iter()
            .filter_map(|place| self.room(place))
            .flat_map(|room| room.occupants.values())
            .filter(|occupant| occupant.jid.bare() == *jid)
            .map(Occupant::person)
            .collect();
        if persons.is_empty() {
            // Somebody who is about to come: before a lobby opens, all present are made members, and
            // one of them may just be between two rooms.
            let person = Person::Address(jid.clone());
            if *affiliation == Affiliation::Member && !self.common.has_standing(&person) {
                self.common.give(person, Affiliation::Member);
            }
            return;
        }
        for place in places {
            self.in_room(&place, now, entropy, |room, turn| {
                let held: Vec<EndpointId> = room
                    .occupants
                    .values()
                    .filter(|occupant| persons.contains(&occupant.person()))
                    .map(|occupant| occupant.id.clone())
                    .collect();
                for id in held {
                    let was_moderator = room.is_moderator(&id);
                    room.appoint(turn, &id, *affiliation, features.clone());
                    if let Some(actor) = &actor {
                        match (was_moderator, room.is_moderator(&id)) {
                            (false, true) => room.done(actor, Deed::Granted { id }),
                            (true, false) => room.done(actor, Deed::Revoked { id }),
                            _ => {}
                        }
                    }
                }
            });
        }
    }

    /// What elections make of what happened in a room.
    pub(crate) fn election_event(
        &mut self,
        now: Now,
        place: &Place,
        event: &RoomEvent,
        entropy: &mut dyn Entropy,
    ) {
        match event {
            RoomEvent::OccupantLeft { reason, .. } => {
                if self.common.moderators != Moderators::First || self.is_moderated() {
                    return;
                }
                let moving = matches!(reason, LeaveReason::Left(Some(why)) if why == "switch_room");
                let first_absence = self.elect_at.is_none();
                if moving && first_absence && self.breakouts.used() {
                    // Between two rooms a moderator is in none for a moment.
                    self.elect_at = Some(self.at(now) + crate::breakout::PATIENCE);
                } else if first_absence || *place != Place::Main {
                    self.elect(now, true, entropy);
                }
            }
            RoomEvent::RoleChanged { role, .. } if *role != Role::Moderator => {
                self.elect(now, false, entropy);
            }
            _ => {}
        }
    }

    pub(crate) fn election_timer(&mut self, now: Now, entropy: &mut dyn Entropy) {
        let at = self.at(now);
        if self.elect_at.is_some_and(|due| due <= at) {
            self.elect_at = None;
            self.elect(now, true, entropy);
        }
    }

    /// Whether somebody is kept out until a host has come. It is told what makes stock clients ask
    /// for the conference again, and so show whom they wait for (protocol 1 §16).
    pub(crate) fn awaits_host(&mut self, sender: &Sender, stanza: &Element) -> bool {
        let joins = stanza.name() == "presence" && stanza.attr("type").is_none();
        if self.opened || !joins || sender.identity.is_some() {
            return false;
        }
        let text = Some("Room creation is restricted");
        let (condition, kind) = (Condition::NotAllowed, ErrorType::Cancel);
        let mut reply = error_reply(stanza, condition, kind, text, None);
        reply.push(Element::new("x", ns::MUC));
        self.outputs.push_back(Output::Send {
            to: vec![sender.session.clone()],
            xml: reply.to_xml().into(),
        });
        true
    }

    /// Whether a moderator is in another room than this one, or expected back from one.
    pub(crate) fn is_moderated_beside(&self, place: &Place) -> bool {
        if !self.breakouts.used() {
            return false;
        }
        let others = self.places().into_iter().filter(|other| other != place);
        let mut rooms = others.filter_map(|other| self.room(&other));
        self.elect_at.is_some() || rooms.any(Room::is_moderated)
    }

    /// As whom a session moderates some room of the meeting.
    pub(crate) fn moderates_as(&self, session: &SessionId) -> Option<EndpointId> {
        let (place, id) = self.whereabouts(session)?;
        let occupant = self.room(&place)?.occupants.get(&id)?;
        occupant.is_moderator().then_some(id)
    }

    /// Whether a moderator is in any room.
    fn is_moderated(&self) -> bool {
        self.places()
            .iter()
            .filter_map(|place| self.room(place))
            .any(Room::is_moderated)
    }

    fn elect(&mut self, now: Now, even_demoted: bool, entropy: &mut dyn Entropy) {
        if self.common.moderators == Moderators::First && !self.is_moderated() {
            self.in_room(&Place::Main, now, entropy, |room, turn| {
                room.elect(turn, even_demoted);
            });
        }
    }
}

impl Room {
    fn is_moderator(&self, id: &EndpointId) -> bool {
        self.occupants.get(id).is_some_and(Occupant::is_moderator)
    }

    pub(crate) fn is_moderated(&self) -> bool {
        self.occupants.values().any(Occupant::is_moderator)
    }

    /// The standing somebody arrives with.
    pub(crate) fn first_standing(&self, turn: &mut Turn<'_>, sender: &Sender) -> Affiliation {
        let person = Person::of_sender(sender);
        let standing = turn.common.standing(&person, sender.identity.as_deref());
        let electable = standing != Affiliation::Owner
            && self.elects(turn.common)
            && !turn.moderated_elsewhere
            && !is_token_member(sender.identity.as_deref())
            // Whoever was demoted waits for another, unless there is no other.
            && (self.occupants.is_empty() || !turn.common.is_demoted(&person))
            && !self.is_moderated();
        if electable {
            turn.common.give(person, Affiliation::Owner);
            return Affiliation::Owner;
        }
        standing
    }

    /// Whether a moderator is elected here when there is none.
    fn elects(&self, common: &Common) -> bool {
        common.moderators == Moderators::First && self.breakout_of.is_none()
    }

    /// The longest present occupant that is no visitor (protocol 1 §20.2); whom a moderator demoted
    /// only if there is nobody else.
    fn elect(&mut self, turn: &mut Turn<'_>, even_demoted: bool) {
        let elected = self
            .occupants
            .values()
            .filter(|o| !o.is_visitor() && !is_token_member(o.identity.as_deref()))
            .map(|o| (turn.common.is_demoted(&o.person()), o.order, &o.id))
            .filter(|(demoted, ..)| even_demoted || !demoted)
            .min()
            .map(|(.., id)| id.clone());
        if let Some(id) = elected {
            self.set_standing(turn, &id, Affiliation::Owner);
        }
    }

    /// A standing given by a moderator who may do `features`.
    fn appoint(
        &mut self,
        turn: &mut Turn<'_>,
        id: &EndpointId,
        affiliation: Affiliation,
        features: Option<Arc<Features>>,
    ) {
        let Some(occupant) = self.occupants.get(id) else {
            return;
        };
        // Who moderates already gains nothing by being appointed again.
        if affiliation == Affiliation::Owner && !occupant.is_moderator() {
            let person = occupant.person();
            turn.common.give_with(person, affiliation, features);
        }
        self.set_standing(turn, id, affiliation);
    }

    /// Changes affiliation and the role that follows from it, and tells everybody.
    pub(crate) fn set_standing(
        &mut self,
        turn: &mut Turn<'_>,
        id: &EndpointId,
        affiliation: Affiliation,
    ) {
        let Some(occupant) = self.occupants.get(id) else {
            return;
        };
        let role = match affiliation {
            Affiliation::Owner => Role::Moderator,
            Affiliation::Member | Affiliation::None if occupant.is_visitor() => Role::Visitor,
            Affiliation::Member | Affiliation::None => Role::Participant,
        };
        let may_send = self.may_send(role);
        let Some(occupant) = self.occupants.get_mut(id) else {
            return;
        };
        let person = occupant.person();
        turn.common.give(person.clone(), affiliation);
        let granted = turn.common.granted(&person);
        let role_changed = occupant.role != role;
        if !role_changed && occupant.affiliation == affiliation && occupant.granted == granted {
            return;
        }
        let has_features = |identity: &Identity| identity.features.is_some();
        occupant.misled |=
            occupant.granted.is_some() && occupant.identity.as_deref().is_some_and(has_features);
        occupant.granted = granted;
        occupant.affiliation = affiliation;
        occupant.role = role;
        occupant.may_send = may_send;
        self.announce(id);
        if role_changed {
            self.emit(RoomEvent::RoleChanged {
                id: id.clone(),
                role,
            });
        }
    }
}

/// Whether a token says that its holder is no moderator.
fn is_token_member(identity: Option<&Identity>) -> bool {
    identity.is_some_and(|i| i.standing == TokenStanding::Member)
}
