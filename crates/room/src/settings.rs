//! What owners may set: the configuration form (protocol 1 §15.2).

use crate::common::Turn;
use crate::iq::form_of;
use crate::occupant::Occupant;
use crate::render::status;
use crate::room::{Room, Sender};
use althing_model::EndpointId;
use althing_xmpp::stanza::{Condition, ErrorType, result_reply};
use althing_xmpp::{Element, ns};
use std::sync::Arc;

impl Room {
    /// The configuration form (protocol 1 §15.2). A field that stock clients look for is there only
    /// if it can be set: they tell their user that a missing one is not supported.
    pub(crate) fn owner_iq(
        &mut self,
        turn: &mut Turn<'_>,
        id: &EndpointId,
        sender: &Sender,
        stanza: &Element,
        query: &Element,
        get: bool,
    ) {
        if !self.occupants.get(id).is_some_and(Occupant::is_moderator) {
            return self.refuse_iq(
                sender,
                stanza,
                ErrorType::Auth,
                Condition::Forbidden,
                "only owners configure the room",
            );
        }
        if get {
            let form = form_of(
                "form",
                &[
                    ("FORM_TYPE", "http://jabber.org/protocol/muc#roomconfig"),
                    ("muc#roomconfig_whois", "anyone"),
                    ("muc#roominfo_meetingId", &self.meeting_id),
                ],
            );
            let query = Element::new("query", ns::MUC_OWNER).with_child(form);
            let reply = result_reply(stanza).with_child(query);
            return self.send(&sender.session, &reply);
        }
        let Some(form) = query.child("x", ns::DATA_FORMS) else {
            return self.refuse_iq(
                sender,
                stanza,
                ErrorType::Modify,
                Condition::BadRequest,
                "a configuration is a data form",
            );
        };
        let value = |name: &str| {
            form.children()
                .find(|f| f.attr("var") == Some(name))
                .and_then(|f| f.child("value", ns::DATA_FORMS))
                .map(Element::text)
                .unwrap_or_default()
        };
        let yes = |name: &str| matches!(value(name).as_str(), "1" | "true");
        if form.attr("type") == Some("cancel") {
            let reply = result_reply(stanza);
            return self.send(&sender.session, &reply);
        }
        if !value("muc#roomconfig_roomsecret").is_empty()
            || yes("muc#roomconfig_passwordprotectedroom")
            || yes("muc#roomconfig_membersonly")
        {
            return self.refuse_iq(
                sender,
                stanza,
                ErrorType::Cancel,
                Condition::FeatureNotImplemented,
                "this room cannot be locked",
            );
        }
        let reply = result_reply(stanza);
        self.send(&sender.session, &reply);
        let names = self.settings.names.clone();
        self.broadcast(None, |_, form| {
            let x = Element::new("x", ns::MUC_USER).with_child(
                Element::new("status", ns::MUC_USER)
                    .with_attr("code", status::CONFIGURATION_CHANGED.to_string()),
            );
            let message = Element::new("message", ns::CLIENT)
                .with_attr("type", "groupchat")
                .with_attr("from", names.bare(form).to_string())
                .with_child(x);
            Arc::from(message.to_xml())
        });
    }
}
