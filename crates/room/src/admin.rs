//! What owners may do to others: remove, appoint.

use crate::address::FOCUS;
use crate::common::{Moderators, Turn};
use crate::event::{self, Actor, LeaveReason, RoomEvent};
use crate::join::Farewell;
use crate::meeting::Action;
use crate::occupant::{Affiliation, Occupant};
use crate::render::status;
use crate::roles::Appointment;
use crate::room::{Room, Sender, Told};
use althing_model::EndpointId;
use althing_xmpp::stanza::{Condition, ErrorType, result_reply};
use althing_xmpp::{Element, Jid, ns};

/// How many items one `muc#admin` request may carry.
const MAX_ITEMS: usize = 1024;

/// How many letters the reason of a removal may have.
pub(crate) const MAX_REASON: usize = 1_000;

#[derive(Debug, PartialEq, Eq)]
enum Deed {
    Kick {
        id: EndpointId,
        reason: Option<String>,
    },
    Affiliate {
        jid: Jid,
        affiliation: Affiliation,
    },
}

type Refused = (ErrorType, Condition, &'static str);

impl Room {
    /// Removing and appointing (protocol 1 §15.3): all items are checked before the first is done.
    /// `id` is the sender's in this room, if it is in.
    pub(crate) fn admin_iq(
        &mut self,
        turn: &mut Turn<'_>,
        id: Option<&EndpointId>,
        sender: &Sender,
        stanza: &Element,
        query: &Element,
    ) {
        let actor = match id {
            Some(id) => self
                .occupants
                .get(id)
                .is_some_and(Occupant::is_moderator)
                .then(|| id.clone()),
            // Who moderates the main room moderates its breakouts, present or not.
            None => turn
                .moderates_as
                .clone()
                .filter(|_| self.breakout_of.is_some()),
        };
        match self.deeds(turn, actor.as_ref(), query) {
            Err((action, (kind, condition, text))) => {
                if let Some(action) = action {
                    self.deny(action);
                }
                self.refuse_iq(sender, stanza, kind, condition, text);
            }
            Ok((actor, deeds)) => {
                let reply = result_reply(stanza);
                self.send(&sender.session, &reply);
                for deed in deeds {
                    self.carry_out(turn, &actor, sender, deed);
                }
            }
        }
    }

    /// What is to be done by whom; or why nothing is, and which right was missing for it.
    fn deeds(
        &self,
        turn: &Turn<'_>,
        actor: Option<&EndpointId>,
        query: &Element,
    ) -> Result<(EndpointId, Vec<Deed>), (Option<Action>, Refused)> {
        let items: Vec<&Element> = query
            .children()
            .filter(|c| c.is("item", ns::MUC_ADMIN))
            .collect();
        let Some(actor) = actor else {
            let action = items.first().map_or(Action::Grant, |item| right_for(item));
            let refused = (
                ErrorType::Auth,
                Condition::Forbidden,
                "only owners may do that",
            );
            return Err((Some(action), refused));
        };
        if items.is_empty() || items.len() > MAX_ITEMS {
            let refused = (
                ErrorType::Modify,
                Condition::BadRequest,
                "a request has 1 to 1024 items",
            );
            return Err((None, refused));
        }
        let demotes = |item: &Element| {
            let affiliation = item.attr("affiliation");
            affiliation.is_some_and(|name| ["none", "member", "outcast"].contains(&name))
        };
        if turn.common.moderators == Moderators::Everyone && items.iter().any(|item| demotes(item))
        {
            let refused = (
                ErrorType::Auth,
                Condition::Forbidden,
                "everybody moderates here",
            );
            return Err((Some(Action::Revoke), refused));
        }
        let deeds = items.into_iter().map(|item| {
            self.deed(item).map_err(|refused| {
                let action = (refused.1 == Condition::NotAllowed).then(|| right_for(item));
                (action, refused)
            })
        });
        Ok((actor.clone(), deeds.collect::<Result<_, _>>()?))
    }

    fn deed(&self, item: &Element) -> Result<Deed, Refused> {
        let reason = item.child("reason", ns::MUC_ADMIN).map(Element::text);
        match (item.attr("role"), item.attr("affiliation")) {
            (Some("none"), None) => {
                let nick = item.attr("nick").unwrap_or_default();
                if nick == FOCUS {
                    return Err((ErrorType::Cancel, Condition::NotAllowed, "the focus stays"));
                }
                let id = self.occupants.get(nick).map(|o| o.id.clone()).ok_or((
                    ErrorType::Cancel,
                    Condition::ItemNotFound,
                    "no such occupant",
                ))?;
                Ok(Deed::Kick {
                    id,
                    reason: reason
                        .map(|reason| reason.chars().take(MAX_REASON).collect::<String>())
                        .filter(|reason| !reason.is_empty()),
                })
            }
            (None, Some(name)) => {
                let affiliation = match name {
                    "owner" => Affiliation::Owner,
                    "member" => Affiliation::Member,
                    "none" => Affiliation::None,
                    _ => {
                        return Err((
                            ErrorType::Cancel,
                            Condition::FeatureNotImplemented,
                            "this affiliation is not supported",
                        ));
                    }
                };
                let jid = item
                    .attr("jid")
                    .and_then(|text| Jid::parse(text).ok())
                    .filter(|jid| !jid.is_full())
                    .ok_or((
                        ErrorType::Modify,
                        Condition::JidMalformed,
                        "an affiliation is given to a bare address",
                    ))?;
                if jid == self.settings.focus_jid.bare() {
                    return Err((
                        ErrorType::Cancel,
                        Condition::NotAllowed,
                        "the focus stays an owner",
                    ));
                }
                Ok(Deed::Affiliate { jid, affiliation })
            }
            _ => Err((
                ErrorType::Modify,
                Condition::BadRequest,
                "an item changes a role to none, or an affiliation",
            )),
        }
    }

    fn carry_out(&mut self, turn: &mut Turn<'_>, actor: &EndpointId, sender: &Sender, deed: Deed) {
        match deed {
            Deed::Kick { id, reason } => {
                self.kick(turn, &Actor::Occupant(actor.clone()), &id, reason);
            }
            Deed::Affiliate { jid, affiliation } => {
                self.outputs.push_back(Told::Appointed(Appointment {
                    by: sender.session.clone(),
                    jid,
                    affiliation,
                }));
            }
        }
    }
}

impl Room {
    /// Removes somebody, who is no member of the meeting any more.
    pub(crate) fn kick(
        &mut self,
        turn: &mut Turn<'_>,
        by: &Actor,
        id: &EndpointId,
        reason: Option<String>,
    ) {
        let Some(person) = self.occupants.get(id).map(Occupant::person) else {
            return;
        };
        turn.common.take_away(&person);
        self.emit(RoomEvent::Done {
            by: by.clone(),
            deed: event::Deed::Kicked {
                id: id.clone(),
                reason: reason.clone(),
            },
        });
        let farewell = Farewell {
            status_text: None,
            codes: vec![status::KICKED],
            actor: match by {
                Actor::Occupant(id) => Some(id.clone()),
                Actor::Server(_) => None,
            },
            reason,
        };
        self.remove(id, &farewell, LeaveReason::Kicked);
    }
}

/// Which right an item needs.
fn right_for(item: &Element) -> Action {
    match (item.attr("role"), item.attr("affiliation")) {
        (Some(_), _) => Action::Kick,
        (None, Some("owner")) => Action::Grant,
        (None, _) => Action::Revoke,
    }
}
