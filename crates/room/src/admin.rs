//! What owners may do to others: remove, appoint.

use crate::common::Turn;
use crate::event::LeaveReason;
use crate::join::Farewell;
use crate::occupant::{Affiliation, Occupant};
use crate::render::status;
use crate::room::{Room, Sender};
use althing_model::EndpointId;
use althing_xmpp::stanza::{Condition, ErrorType, result_reply};
use althing_xmpp::{Element, Jid, ns};

/// How many items one `muc#admin` request may carry.
const MAX_ITEMS: usize = 1024;

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
    pub(crate) fn admin_iq(
        &mut self,
        turn: &mut Turn<'_>,
        id: &EndpointId,
        sender: &Sender,
        stanza: &Element,
        query: &Element,
    ) {
        match self.deeds(id, query) {
            Err((kind, condition, text)) => {
                self.refuse_iq(sender, stanza, kind, condition, text);
            }
            Ok(deeds) => {
                let reply = result_reply(stanza);
                self.send(&sender.session, &reply);
                for deed in deeds {
                    self.carry_out(turn, id, deed);
                }
            }
        }
    }

    fn deeds(&self, actor: &EndpointId, query: &Element) -> Result<Vec<Deed>, Refused> {
        if !self
            .occupants
            .get(actor)
            .is_some_and(Occupant::is_moderator)
        {
            return Err((
                ErrorType::Auth,
                Condition::Forbidden,
                "only owners may do that",
            ));
        }
        let items: Vec<&Element> = query
            .children()
            .filter(|c| c.is("item", ns::MUC_ADMIN))
            .collect();
        if items.is_empty() || items.len() > MAX_ITEMS {
            return Err((
                ErrorType::Modify,
                Condition::BadRequest,
                "a request has 1 to 1024 items",
            ));
        }
        items.into_iter().map(|item| self.deed(item)).collect()
    }

    fn deed(&self, item: &Element) -> Result<Deed, Refused> {
        let reason = item.child("reason", ns::MUC_ADMIN).map(Element::text);
        match (item.attr("role"), item.attr("affiliation")) {
            (Some("none"), None) => {
                let nick = item.attr("nick").unwrap_or_default();
                let id = self.occupants.get(nick).map(|o| o.id.clone()).ok_or((
                    ErrorType::Cancel,
                    Condition::ItemNotFound,
                    "no such occupant",
                ))?;
                Ok(Deed::Kick {
                    id,
                    reason: reason.filter(|r| !r.is_empty()),
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
                Ok(Deed::Affiliate { jid, affiliation })
            }
            _ => Err((
                ErrorType::Modify,
                Condition::BadRequest,
                "an item changes a role to none, or an affiliation",
            )),
        }
    }

    fn carry_out(&mut self, turn: &mut Turn<'_>, actor: &EndpointId, deed: Deed) {
        match deed {
            Deed::Kick { id, reason } => {
                let farewell = Farewell {
                    status_text: None,
                    codes: vec![status::KICKED],
                    actor: Some(actor.clone()),
                    reason,
                };
                if let Some(person) = self.occupants.get(&id).map(Occupant::person) {
                    turn.common.take_away(&person);
                }
                self.remove(turn, &id, &farewell, LeaveReason::Kicked);
            }
            Deed::Affiliate { jid, affiliation } => {
                let held: Vec<EndpointId> = self
                    .occupants
                    .values()
                    .filter(|o| o.jid.bare() == jid)
                    .map(|o| o.id.clone())
                    .collect();
                for id in held {
                    self.set_standing(turn, &id, affiliation);
                }
            }
        }
    }
}
