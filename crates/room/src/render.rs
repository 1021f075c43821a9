//! Writing presences: the broadcast copy, the occupant's own, the last one.

use crate::address::FOCUS;
use crate::occupant::{Affiliation, Features, Occupant, role_name};
use crate::roles::moderator_features;
use crate::room::Room;
use althing_model::{EndpointId, Identity};
use althing_xmpp::{Element, ns};
use std::borrow::Cow;
use std::sync::Arc;

/// Status codes of XEP-0045 that we use.
pub(crate) mod status {
    pub(crate) const NON_ANONYMOUS: u16 = 100;
    pub(crate) const CONFIGURATION_CHANGED: u16 = 104;
    pub(crate) const SELF: u16 = 110;
    pub(crate) const KICKED: u16 = 307;
}

pub(crate) fn muc_user(item: Element, codes: &[u16]) -> Element {
    let mut x = Element::new("x", ns::MUC_USER).with_child(item);
    for code in codes {
        x.push(Element::new("status", ns::MUC_USER).with_attr("code", code.to_string()));
    }
    x
}

/// Who somebody is by its token (protocol 1 §14.4).
fn identity_element(identity: &Identity) -> Element {
    let mut user = Element::new("user", ns::CLIENT);
    for (name, value) in &identity.user {
        user.push(Element::new(name.clone(), ns::CLIENT).with_text(value.as_str()));
    }
    let mut element = Element::new("identity", ns::CLIENT).with_child(user);
    if let Some(group) = &identity.group {
        element.push(Element::new("group", ns::CLIENT).with_text(group.as_str()));
    }
    element
}

/// What the occupant's own client is told that it may do, in place of what it knew
/// (protocol 4 §3.2); nothing while what it knows from its token holds.
fn permissions(occupant: &Occupant) -> Option<Cow<'_, Features>> {
    let of_token = occupant
        .identity
        .as_deref()
        .and_then(|i| i.features.as_ref());
    match (&occupant.granted, of_token) {
        (Some(granted), _) => Some(Cow::Borrowed(granted.as_ref())),
        (None, Some(features)) => occupant.misled.then_some(Cow::Borrowed(features)),
        (None, None) => occupant
            .is_moderator()
            .then(|| Cow::Owned(moderator_features())),
    }
}

fn item(occupant: &Occupant) -> Element {
    Element::new("item", ns::MUC_USER)
        .with_attr("affiliation", occupant.affiliation.as_str())
        .with_attr("role", role_name(occupant.role))
        .with_attr("jid", occupant.jid.to_string())
}

impl Room {
    /// The copy everybody else gets, shared; without `to`.
    pub(crate) fn rendered(&mut self, id: &EndpointId, form: usize) -> Option<Arc<str>> {
        let occupant = self.occupants.get(id)?;
        if let Some(Some(text)) = occupant.rendered.get(form) {
            return Some(Arc::clone(text));
        }
        let text: Arc<str> = self.write_presence(occupant, form, &[], false).into();
        self.renders += 1;
        let forms = self.settings.names.count();
        let occupant = self.occupants.get_mut(id)?;
        occupant.rendered.resize(forms, None);
        occupant.rendered[form] = Some(Arc::clone(&text));
        Some(text)
    }

    /// The copy the occupant itself gets.
    pub(crate) fn rendered_own(&mut self, id: &EndpointId, codes: &[u16]) -> Option<Arc<str>> {
        let occupant = self.occupants.get(id)?;
        let text = self.write_presence(occupant, occupant.form, codes, true);
        self.renders += 1;
        Some(text.into())
    }

    fn write_presence(&self, occupant: &Occupant, form: usize, codes: &[u16], own: bool) -> String {
        let mut presence = Element::new("presence", ns::CLIENT)
            .with_attr("from", self.settings.names.occupant_of(form, &occupant.id));
        if own {
            presence.set_attr("to", occupant.jid.to_string());
        }
        if let Some(identity) = &occupant.identity {
            presence.push(identity_element(identity));
        }
        presence.push(muc_user(item(occupant), codes));
        if let Some(features) = own.then(|| permissions(occupant)).flatten() {
            let mut permissions = Element::new("permissions", ns::JITMEET);
            for (name, allowed) in features.as_ref() {
                permissions.push(
                    Element::new("p", ns::JITMEET)
                        .with_attr("name", name.as_str())
                        .with_attr("val", allowed.to_string()),
                );
            }
            presence.push(permissions);
        }
        let mut text = presence.to_xml();
        // Its own words come first, as it wrote them. No address of ours has a `>` in it.
        if let Some(head) = text.find('>') {
            text.insert_str(head + 1, &occupant.shown.xml);
        }
        text
    }

    /// The focus occupant's presence, shared.
    pub(crate) fn rendered_focus(&mut self, form: usize) -> Arc<str> {
        if let Some(Some(text)) = self.focus_rendered.get(form) {
            return Arc::clone(text);
        }
        let mut presence = Element::new("presence", ns::CLIENT)
            .with_attr("from", self.settings.names.occupant(form, FOCUS));
        for child in &self.focus_payload {
            presence.push(child.clone());
        }
        let item = Element::new("item", ns::MUC_USER)
            .with_attr("affiliation", Affiliation::Owner.as_str())
            .with_attr("role", "moderator")
            .with_attr("jid", self.settings.focus_jid.to_string());
        presence.push(muc_user(item, &[]));
        let text: Arc<str> = presence.to_xml().into();
        self.renders += 1;
        self.focus_rendered
            .resize(self.settings.names.count(), None);
        self.focus_rendered[form] = Some(Arc::clone(&text));
        text
    }

    /// Tells everybody an occupant's presence, and the occupant its own.
    pub(crate) fn announce(&mut self, id: &EndpointId) {
        let Some(occupant) = self.occupants.get_mut(id) else {
            return;
        };
        occupant.rendered.clear();
        let session = occupant.session.clone();
        self.announce_to_others(id);
        if let Some(own) = self.rendered_own(id, &[status::SELF]) {
            self.send_text(vec![session], own);
        }
    }

    pub(crate) fn announce_to_others(&mut self, id: &EndpointId) {
        let Some(occupant) = self.occupants.get(id) else {
            return;
        };
        let session = occupant.session.clone();
        self.broadcast(Some(&session), |room, form| {
            room.rendered(id, form).unwrap_or_else(|| Arc::from(""))
        });
    }
}
