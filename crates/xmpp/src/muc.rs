//! Multi-user chat (XEP-0045) as rooms and clients use it (protocol 1 §13 to §17).

use crate::element::Element;
use crate::form::Form;
use crate::jid::Jid;
use crate::ns;

/// Status codes of XEP-0045 §15.6.2 that are used.
pub mod status {
    /// Everybody sees real addresses; on join.
    pub const NON_ANONYMOUS: u16 = 100;
    /// The room's configuration changed.
    pub const CONFIGURATION: u16 = 104;
    /// The presence is the receiver's own.
    pub const SELF: u16 = 110;
    /// The room was made by this join.
    pub const CREATED: u16 = 201;
    /// Banned.
    pub const BANNED: u16 = 301;
    /// Removed by a moderator.
    pub const KICKED: u16 = 307;
}

wire_names! {
    /// What somebody is to the room, whether in it or not.
    Affiliation {
        /// A moderator.
        Owner = "owner",
        /// Also a moderator.
        Admin = "admin",
        /// Let in where only members are.
        Member = "member",
        /// Nothing in particular.
        None = "none",
        /// Banned.
        Outcast = "outcast",
    }
}

wire_names! {
    /// What somebody may do while in the room.
    Role {
        /// Mute, remove, lock.
        Moderator = "moderator",
        /// Send and receive.
        Participant = "participant",
        /// Receive.
        Visitor = "visitor",
        /// Not there.
        None = "none",
    }
}

/// The `<x>` with which a client joins.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Join {
    /// Of the room.
    pub password: Option<String>,
    /// The machine id, when the conference request went over HTTP.
    pub billing_id: Option<String>,
}

impl std::fmt::Debug for Join {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Join")
            .field("has_password", &self.password.is_some())
            .finish_non_exhaustive()
    }
}

impl Join {
    /// Reads a join; `None` when the presence is no join.
    #[must_use]
    pub fn read(presence: &Element) -> Option<Self> {
        let x = presence.child("x", ns::MUC)?;
        Some(Self {
            password: x.child_named("password").map(Element::text),
            billing_id: x.child_named("billingid").map(Element::text),
        })
    }

    /// As the element of a presence.
    #[must_use]
    pub fn to_element(&self) -> Element {
        let mut x = Element::new("x", ns::MUC);
        for (name, text) in [
            ("password", &self.password),
            ("billingid", &self.billing_id),
        ] {
            if let Some(text) = text {
                x.push(Element::new(name, ns::MUC).with_text(text.as_str()));
            }
        }
        x
    }
}

/// The `<x>` in which the room tells about an occupant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserX {
    /// Of the occupant.
    pub affiliation: Affiliation,
    /// Of the occupant.
    pub role: Role,
    /// Its real full address; clients need it for everybody.
    pub jid: Option<Jid>,
    /// Nickname of who did it.
    pub actor: Option<String>,
    /// Why it was done.
    pub reason: Option<String>,
    /// [`status`] codes.
    pub statuses: Vec<u16>,
    /// The room is gone.
    pub destroyed: Option<Destroyed>,
}

/// Why a room is gone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Destroyed {
    /// A room to go to instead.
    pub alternative: Option<Jid>,
    /// Words for people.
    pub reason: Option<String>,
}

impl UserX {
    /// About an occupant that is there.
    #[must_use]
    pub const fn new(affiliation: Affiliation, role: Role, jid: Option<Jid>) -> Self {
        Self {
            affiliation,
            role,
            jid,
            actor: None,
            reason: None,
            statuses: Vec::new(),
            destroyed: None,
        }
    }

    /// With status codes.
    #[must_use]
    pub fn with_statuses(mut self, codes: &[u16]) -> Self {
        self.statuses.extend_from_slice(codes);
        self
    }

    /// Whether the presence is the receiver's own.
    #[must_use]
    pub fn is_self(&self) -> bool {
        self.statuses.contains(&status::SELF)
    }

    /// Reads what a room's presence says about its occupant.
    #[must_use]
    pub fn read(presence: &Element) -> Option<Self> {
        let x = presence.child("x", ns::MUC_USER)?;
        let item = x.child("item", ns::MUC_USER);
        let attribute = |key: &str| item.and_then(|i| i.attr(key));
        let reason = |e: &Element| e.child("reason", ns::MUC_USER).map(Element::text);
        Some(Self {
            affiliation: attribute("affiliation")
                .and_then(Affiliation::parse)
                .unwrap_or(Affiliation::None),
            role: attribute("role")
                .and_then(Role::parse)
                .unwrap_or(Role::None),
            jid: attribute("jid").and_then(|jid| Jid::parse(jid).ok()),
            actor: item
                .and_then(|i| i.child("actor", ns::MUC_USER))
                .and_then(|a| a.attr("nick"))
                .map(str::to_owned),
            reason: item.and_then(reason),
            statuses: x
                .children()
                .filter(|c| c.is("status", ns::MUC_USER))
                .filter_map(|c| c.attr("code")?.parse().ok())
                .collect(),
            destroyed: x.child("destroy", ns::MUC_USER).map(|destroy| Destroyed {
                alternative: destroy.attr("jid").and_then(|jid| Jid::parse(jid).ok()),
                reason: reason(destroy),
            }),
        })
    }

    /// As the element of a presence.
    #[must_use]
    pub fn to_element(&self) -> Element {
        let mut item = Element::new("item", ns::MUC_USER)
            .with_attr("affiliation", self.affiliation.as_str())
            .with_attr("role", self.role.as_str())
            .with_attr_opt("jid", self.jid.as_ref());
        if let Some(actor) = &self.actor {
            item.push(Element::new("actor", ns::MUC_USER).with_attr("nick", actor.as_str()));
        }
        let item = item.with_children(reason_element(self.reason.as_deref()));
        let mut x = Element::new("x", ns::MUC_USER).with_child(item);
        if let Some(destroyed) = &self.destroyed {
            x.push(
                Element::new("destroy", ns::MUC_USER)
                    .with_attr_opt("jid", destroyed.alternative.as_ref())
                    .with_children(reason_element(destroyed.reason.as_deref())),
            );
        }
        x.with_children(
            self.statuses.iter().map(|code| {
                Element::new("status", ns::MUC_USER).with_attr("code", code.to_string())
            }),
        )
    }
}

fn reason_element(reason: Option<&str>) -> Option<Element> {
    reason.map(|reason| Element::new("reason", ns::MUC_USER).with_text(reason))
}

/// One `<item>` of a `muc#admin` request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminItem {
    /// By nickname.
    pub nick: Option<String>,
    /// By address; not checked.
    pub jid: Option<String>,
    /// The new affiliation.
    pub affiliation: Option<Affiliation>,
    /// The new role; [`Role::None`] removes.
    pub role: Option<Role>,
    /// Why.
    pub reason: Option<String>,
}

impl AdminItem {
    /// Reads all items of a request; `None` when it is none.
    #[must_use]
    pub fn read_all(iq: &Element) -> Option<Vec<Self>> {
        let query = iq.child("query", ns::MUC_ADMIN)?;
        let text = |e: &Element, key: &str| e.attr(key).map(str::to_owned);
        Some(
            query
                .children()
                .filter(|c| c.is("item", ns::MUC_ADMIN))
                .map(|item| Self {
                    nick: text(item, "nick"),
                    jid: text(item, "jid"),
                    affiliation: item.attr("affiliation").and_then(Affiliation::parse),
                    role: item.attr("role").and_then(Role::parse),
                    reason: item.child("reason", ns::MUC_ADMIN).map(Element::text),
                })
                .collect(),
        )
    }

    /// The `<query>` of a request with these items.
    #[must_use]
    pub fn query(items: &[Self]) -> Element {
        let write = |item: &Self| {
            let mut out = Element::new("item", ns::MUC_ADMIN)
                .with_attr_opt("nick", item.nick.as_deref())
                .with_attr_opt("jid", item.jid.as_deref())
                .with_attr_opt("affiliation", item.affiliation.map(Affiliation::as_str))
                .with_attr_opt("role", item.role.map(Role::as_str));
            if let Some(reason) = &item.reason {
                out.push(Element::new("reason", ns::MUC_ADMIN).with_text(reason.as_str()));
            }
            out
        };
        Element::new("query", ns::MUC_ADMIN).with_children(items.iter().map(write))
    }
}

/// A `muc#owner` request: a submit is partial, what it does not name stays as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OwnerRequest {
    /// Asks for the form.
    Get,
    /// Sets these fields.
    Submit(Form),
}

impl OwnerRequest {
    /// Reads a request; `None` when it is none. A form inside a question means nothing.
    #[must_use]
    pub fn read(iq: &Element) -> Option<Self> {
        let query = iq.child("query", ns::MUC_OWNER)?;
        match iq.attr("type")? {
            "get" => Some(Self::Get),
            "set" => Form::read(query).map(Self::Submit),
            _ => None,
        }
    }
}

/// The `<query>` that answers a question for the configuration form.
#[must_use]
pub fn configuration(form: &Form) -> Element {
    Element::new("query", ns::MUC_OWNER).with_child(form.to_element("form"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joins_and_occupants_are_read_and_written_the_same() {
        let presence = fixture!("presence-join.xml");
        let join = Join::read(&presence).unwrap();
        assert_eq!(join.password.as_deref(), Some("s3cret"));
        assert_eq!(join.to_element(), *presence.child("x", ns::MUC).unwrap());
        assert!(!format!("{join:?}").contains("s3cret"));
        for presence in [
            fixture!("presence-self.xml"),
            fixture!("presence-kicked.xml"),
            fixture!("presence-destroyed.xml"),
        ] {
            let user = UserX::read(&presence).unwrap();
            assert_eq!(
                user.to_element(),
                *presence.child("x", ns::MUC_USER).unwrap()
            );
        }
        assert!(
            UserX::read(&fixture!("presence-self.xml"))
                .unwrap()
                .is_self()
        );
        let kicked = UserX::read(&fixture!("presence-kicked.xml")).unwrap();
        assert_eq!(kicked.actor.as_deref(), Some("ab12cd34"));
        assert!(kicked.statuses.contains(&status::KICKED));
    }

    #[test]
    fn owners_and_moderators_are_understood() {
        let iq = fixture!("admin-kick.xml");
        let items = AdminItem::read_all(&iq).unwrap();
        assert_eq!(items[0].role, Some(Role::None));
        assert_eq!(
            AdminItem::query(&items),
            *iq.child("query", ns::MUC_ADMIN).unwrap()
        );
        let Some(OwnerRequest::Submit(form)) = OwnerRequest::read(&fixture!("owner-submit.xml"))
        else {
            panic!();
        };
        assert_eq!(form.value("muc#roomconfig_roomsecret"), Some("s3cret"));
        assert_eq!(
            form.flag("muc#roomconfig_passwordprotectedroom"),
            Some(true)
        );
        assert_eq!(form.flag("muc#roomconfig_membersonly"), None);
    }
}
