//! What owners may set: the configuration form (protocol 1 §15.2).
//!
//! A form that is sent in changes what it names and leaves the rest. Lobby and password belong to
//! the whole meeting, and are set in its main room.

use crate::common::Turn;
use crate::event::RoomEvent;
use crate::meeting::Action;
use crate::occupant::Occupant;
use crate::render::status;
use crate::room::{Room, Sender};
use althing_model::{EndpointId, Secret};
use althing_xmpp::stanza::{Condition, ErrorType, result_reply};
use althing_xmpp::{Element, ns};
use std::sync::Arc;

const FORM: &str = "http://jabber.org/protocol/muc#roomconfig";
const PASSWORD: &str = "muc#roomconfig_roomsecret";
const IS_LOCKED: &str = "muc#roomconfig_passwordprotectedroom";
const MEMBERS_ONLY: &str = "muc#roomconfig_membersonly";
/// The longest password, in bytes.
const MAX_PASSWORD: usize = 256;

/// What a form changes.
#[derive(Debug, PartialEq, Eq)]
struct Changes {
    /// `Some(None)` takes the password away.
    password: Option<Option<Secret>>,
    members_only: Option<bool>,
}

impl Changes {
    fn read(form: &Element) -> Result<Self, &'static str> {
        let field = |name: &str| {
            let field = form.children().find(|f| f.attr("var") == Some(name))?;
            let value = field.child("value", ns::DATA_FORMS);
            Some(value.map(Element::text).unwrap_or_default())
        };
        let flag = |name: &str| match field(name).as_deref().map(str::trim) {
            None => Ok(None),
            Some("1" | "true") => Ok(Some(true)),
            Some("0" | "false" | "") => Ok(Some(false)),
            Some(_) => Err("yes is 1 or true, no is 0 or false"),
        };
        let password = match (field(PASSWORD), flag(IS_LOCKED)?) {
            (_, Some(false)) => Some(None),
            // Without a word of it a locked room keeps its password.
            (None, _) => None,
            (Some(text), locked) if text.is_empty() => (locked.is_none()).then_some(None),
            (Some(text), _) if text.len() > MAX_PASSWORD => {
                return Err("a password has 256 bytes at most");
            }
            (Some(text), _) => Some(Some(Secret::new(text))),
        };
        Ok(Self {
            password,
            members_only: flag(MEMBERS_ONLY)?,
        })
    }
}

impl Room {
    /// A field that stock clients look for is there only if it can be set: they tell their user that
    /// a missing one is not supported.
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
            self.deny(Action::Configure);
            return self.refuse_iq(
                sender,
                stanza,
                ErrorType::Auth,
                Condition::Forbidden,
                "only owners configure the room",
            );
        }
        if get {
            let query = Element::new("query", ns::MUC_OWNER).with_child(self.form(turn));
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
        if form.attr("type") == Some("cancel") {
            let reply = result_reply(stanza);
            return self.send(&sender.session, &reply);
        }
        let changes = match Changes::read(form) {
            Ok(changes) => changes,
            Err(text) => {
                let (kind, condition) = (ErrorType::Modify, Condition::BadRequest);
                return self.refuse_iq(sender, stanza, kind, condition, text);
            }
        };
        let changes_lock = changes.password.is_some() || changes.members_only.is_some();
        if self.breakout_of.is_some() && changes_lock {
            return self.refuse_iq(
                sender,
                stanza,
                ErrorType::Cancel,
                Condition::NotAllowed,
                "the main room is locked, not its breakouts",
            );
        }
        let reply = result_reply(stanza);
        self.send(&sender.session, &reply);
        self.change(turn, id, changes);
    }

    /// The form to fill in; nobody is told the password.
    fn form(&self, turn: &Turn<'_>) -> Element {
        let yes = |yes: bool| if yes { "1" } else { "0" };
        let mut fields = vec![
            ("FORM_TYPE", "hidden", FORM),
            ("muc#roomconfig_whois", "list-single", "anyone"),
            ("muc#roominfo_meetingId", "text-single", &self.meeting_id),
        ];
        if self.breakout_of.is_none() {
            let common = &turn.common;
            fields.push((PASSWORD, "text-private", ""));
            fields.push((IS_LOCKED, "boolean", yes(common.password.is_some())));
            fields.push((MEMBERS_ONLY, "boolean", yes(common.members_only)));
        }
        let mut form = Element::new("x", ns::DATA_FORMS).with_attr("type", "form");
        for (name, kind, value) in fields {
            let value = Element::new("value", ns::DATA_FORMS).with_text(value);
            form.push(
                Element::new("field", ns::DATA_FORMS)
                    .with_attr("var", name)
                    .with_attr("type", kind)
                    .with_child(value),
            );
        }
        form
    }

    fn change(&mut self, turn: &mut Turn<'_>, by: &EndpointId, changes: Changes) {
        let common = &mut *turn.common;
        let mut events = Vec::new();
        if let Some(password) = changes.password
            && common.password != password
        {
            events.push(RoomEvent::LockChanged {
                by: by.clone(),
                locked: password.is_some(),
            });
            common.password = password;
        }
        if let Some(open) = changes.members_only
            && common.members_only != open
        {
            events.push(RoomEvent::LobbyChanged {
                by: by.clone(),
                open,
            });
            common.members_only = open;
        }
        self.tell_configuration_changed();
        for event in events {
            self.emit(event);
        }
    }

    /// Clients ask for the room's information again.
    fn tell_configuration_changed(&mut self) {
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
