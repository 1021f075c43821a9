//! Moderators ask others to mute themselves (protocol 2 §12.2).

use crate::focus::Focus;
use althing_model::EndpointId;
use althing_xmpp::stanza::{Condition, payload, refuse, result_reply};
use althing_xmpp::{Element, Jid, ns};

impl Focus {
    pub(crate) fn mute(&mut self, from: &EndpointId, stanza: &Element) {
        let reply = match self.check_mute(from, stanza) {
            Ok((victim, request)) => {
                self.reply(from, result_reply(stanza));
                return self.reply(&victim, request);
            }
            Err((condition, text)) => refuse(stanza, condition, Some(text)),
        };
        self.reply(from, reply);
    }

    fn check_mute(
        &mut self,
        from: &EndpointId,
        stanza: &Element,
    ) -> Result<(EndpointId, Element), (Condition, &'static str)> {
        let mute = payload(stanza)
            .filter(|p| {
                [ns::JITMEET_AUDIO, ns::JITMEET_VIDEO, ns::JITMEET_DESKTOP].contains(&p.ns())
            })
            .ok_or((Condition::ServiceUnavailable, "no such kind of media"))?;
        let on = match mute.text().trim() {
            "true" => true,
            "false" => false,
            _ => return Err((Condition::BadRequest, "mute is true or false")),
        };
        let victim = mute
            .attr("jid")
            .and_then(|jid| Jid::parse(jid).ok())
            .and_then(|jid| EndpointId::new(jid.resource()?).ok())
            .ok_or((Condition::BadRequest, "whose media is not said"))?;
        if victim != *from {
            if !self.is_moderator(from) {
                return Err((Condition::NotAllowed, "only moderators mute others"));
            }
            if !on {
                return Err((Condition::NotAllowed, "nobody unmutes others"));
            }
        }
        let namespace = mute.namespace().clone();
        let room = self
            .members
            .get(&victim)
            .map(|m| m.info.room.clone())
            .ok_or((Condition::ItemNotFound, "no such occupant"))?;
        // The victim is told in the address form that it uses itself.
        let order = Element::new("mute", &namespace)
            .with_attr("jid", format!("{room}/{victim}"))
            .with_attr("actor", format!("{room}/{from}"))
            .with_text(if on { "true" } else { "false" });
        let request = Element::new("iq", ns::CLIENT)
            .with_attr("type", "set")
            .with_attr("id", self.iq_id())
            .with_child(order);
        Ok((victim, request))
    }
}
