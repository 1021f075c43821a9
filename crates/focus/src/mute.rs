//! Moderators ask others to mute themselves; nobody unmutes others (protocol 4 §6).

use crate::focus::{Focus, Output};
use crate::member::Member;
use althing_model::{EndpointId, Role};
use althing_room::{Action, Actor, Medium};
use althing_xmpp::stanza::{Condition, payload, refuse, result_reply};
use althing_xmpp::{Element, Jid, ns};

/// Why nothing is muted.
struct Refused {
    condition: Condition,
    text: &'static str,
    /// The right that was missing.
    denied: Option<Action>,
}

const fn because(condition: Condition, text: &'static str) -> Refused {
    Refused {
        condition,
        text,
        denied: None,
    }
}

const fn denied(action: Action, text: &'static str) -> Refused {
    Refused {
        condition: Condition::NotAllowed,
        text,
        denied: Some(action),
    }
}

impl Focus {
    pub(crate) fn mute(&mut self, from: &EndpointId, stanza: &Element) {
        match self.check_mute(from, stanza) {
            Ok(order) => {
                self.reply(from, result_reply(stanza));
                if let Some((target, medium)) = order {
                    self.order_mute(Actor::Occupant(from.clone()), &target, medium);
                }
            }
            Err(refused) => {
                self.outputs.extend(refused.denied.map(Output::Denied));
                let reply = refuse(stanza, refused.condition, Some(refused.text));
                self.reply(from, reply);
            }
        }
    }

    /// Asks somebody to be muted, if it is still here. It is told in the address form that it uses
    /// itself; who runs the server speaks as the focus.
    pub(crate) fn order_mute(&mut self, by: Actor, id: &EndpointId, medium: Medium) {
        let Some(member) = self.members.get(id) else {
            return;
        };
        let room = &member.info.room;
        let actor = match &by {
            Actor::Occupant(actor) => actor.as_str(),
            Actor::Server(_) => althing_room::FOCUS,
        };
        let mute = Element::new("mute", medium.namespace())
            .with_attr("jid", format!("{room}/{id}"))
            .with_attr("actor", format!("{room}/{actor}"))
            .with_text("true");
        // Stock clients never answer it: nothing is remembered of it.
        let request = Element::new("iq", ns::CLIENT)
            .with_attr("type", "set")
            .with_attr("id", self.iq_id())
            .with_child(mute);
        self.reply(id, request);
        let id = id.clone();
        self.outputs.push_back(Output::Muted { by, id, medium });
    }

    /// Whom to ask to mute what, if it is somebody else.
    fn check_mute(
        &self,
        from: &EndpointId,
        stanza: &Element,
    ) -> Result<Option<(EndpointId, Medium)>, Refused> {
        let (mute, medium) = payload(stanza)
            .and_then(|p| Some((p, Medium::of_namespace(p.ns())?)))
            .ok_or(because(
                Condition::ServiceUnavailable,
                "no such kind of media",
            ))?;
        let on = match mute.text().trim() {
            "true" => true,
            "false" => false,
            _ => return Err(because(Condition::BadRequest, "mute is true or false")),
        };
        let target = mute
            .attr("jid")
            .and_then(|jid| Jid::parse(jid).ok())
            .and_then(|jid| EndpointId::new(jid.resource()?).ok())
            .ok_or(because(Condition::BadRequest, "whose media is not said"))?;
        let sender = self
            .members
            .get(from)
            .ok_or(because(Condition::ItemNotFound, "not in the conference"))?;
        if target == *from {
            if !on && !may_unmute(sender, mute.ns()) {
                return Err(denied(Action::Unmute, "a moderator has to approve it"));
            }
            return Ok(None);
        }
        if !on {
            return Err(denied(Action::Unmute, "nobody unmutes others"));
        }
        if sender.role != Role::Moderator {
            return Err(denied(Action::Mute, "only moderators mute others"));
        }
        if !self.members.contains_key(&target) {
            return Err(because(Condition::InternalServerError, "who left"));
        }
        Ok(Some((target, medium)))
    }
}

/// Whether what somebody wants to switch on would reach others (AV moderation, protocol 4 §7).
fn may_unmute(member: &Member, namespace: &str) -> bool {
    let forwarded = member.forwarded;
    member.role == Role::Moderator
        || match namespace {
            ns::JITMEET_AUDIO => forwarded.audio,
            ns::JITMEET_VIDEO => forwarded.video,
            _ => forwarded.share,
        }
}
