//! AV moderation (protocol 4 §7): while it is on for a kind of media, only moderators and those
//! they approved are heard or seen. What it says is enforced where packets are forwarded.

use crate::address::FOCUS;
use crate::event::{Deed, RoomEvent};
use crate::meeting::{Action, Component, Meeting, Place};
use crate::occupant::Occupant;
use crate::room::{Room, Sender};
use althing_model::{EndpointId, Entropy, MediaKinds, Now, SessionId};
use althing_xmpp::{Element, Jid, ns};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;

/// How many may be approved for one kind of media.
const MAX_APPROVED: usize = 5_000;

/// A kind of media as AV moderation tells them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Medium {
    /// The microphone.
    Audio,
    /// The camera.
    Video,
    /// A shared screen.
    Desktop,
}

impl Medium {
    const ALL: [Self; 3] = [Self::Audio, Self::Video, Self::Desktop];

    /// How the protocol names it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Audio => "audio",
            Self::Video => "video",
            Self::Desktop => "desktop",
        }
    }

    /// What a request of this namespace would mute.
    #[must_use]
    pub fn of_namespace(namespace: &str) -> Option<Self> {
        let mut all = Self::ALL.into_iter();
        all.find(|medium| medium.namespace() == namespace)
    }

    /// The namespace of requests to mute it.
    #[must_use]
    pub const fn namespace(self) -> &'static str {
        match self {
            Self::Audio => ns::JITMEET_AUDIO,
            Self::Video => ns::JITMEET_VIDEO,
            Self::Desktop => ns::JITMEET_DESKTOP,
        }
    }

    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|m| m.as_str() == name)
    }
}

/// What is moderated in one room.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct AvModeration {
    media: [Moderated; 3],
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Moderated {
    /// Who switched it on, while it is.
    actor: Option<EndpointId>,
    /// Who was approved, in order.
    approved: Vec<EndpointId>,
    /// Whether newcomers started muted before it was switched on.
    muted_before: bool,
}

impl AvModeration {
    const fn of(&self, medium: Medium) -> &Moderated {
        &self.media[medium as usize]
    }

    const fn of_mut(&mut self, medium: Medium) -> &mut Moderated {
        &mut self.media[medium as usize]
    }

    /// What of this occupant's media reaches others.
    pub(crate) fn forwarded(&self, id: &EndpointId, moderator: bool) -> MediaKinds {
        let passes = |medium| {
            let moderated = self.of(medium);
            moderated.actor.is_none() || moderator || moderated.approved.contains(id)
        };
        MediaKinds {
            audio: passes(Medium::Audio),
            video: passes(Medium::Video),
            share: passes(Medium::Desktop),
        }
    }
}

enum Command {
    Enable(bool),
    Approve(EndpointId),
    Reject(EndpointId),
}

impl Command {
    fn read(payload: &Element) -> Option<(Self, Medium)> {
        let medium = Medium::named(payload.attr("mediaType")?)?;
        let whom = |name| {
            let jid = Jid::parse(payload.attr(name)?).ok()?;
            EndpointId::new(jid.resource()?).ok()
        };
        let command = if let Some(enable) = payload.attr("enable") {
            Self::Enable(enable == "true")
        } else if let Some(id) = whom("jidToWhitelist") {
            Self::Approve(id)
        } else {
            Self::Reject(whom("jidToBlacklist")?)
        };
        Some((command, medium))
    }
}

impl Meeting {
    /// A command to `avmoderation.<domain>`; silence to those who may not.
    pub(crate) fn av_moderation_message(
        &mut self,
        now: Now,
        sender: &Sender,
        stanza: &Element,
        entropy: &mut dyn Entropy,
    ) {
        let Some((command, medium)) = stanza
            .children()
            .find(|child| child.name() == "av_moderation")
            .and_then(Command::read)
        else {
            return;
        };
        let Some((place, actor)) = self.whereabouts(&sender.session) else {
            return;
        };
        let moderator = self
            .room(&place)
            .and_then(|room| room.occupants.get(&actor))
            .is_some_and(Occupant::is_moderator);
        if !moderator {
            return self.deny(Action::AvModeration);
        }
        let switched = self.in_room(&place, now, entropy, |room, _| match command {
            Command::Enable(on) => room.switch_moderation(medium, on, &actor),
            Command::Approve(id) => {
                room.approve(medium, &actor, &id);
                false
            }
            Command::Reject(id) => {
                room.reject(medium, &actor, &id);
                false
            }
        });
        if switched == Some(true) && place == Place::Main {
            self.start_muted_with_moderation(now, medium, entropy);
        }
    }

    /// Newcomers start muted while their microphones are moderated, as they did before once they
    /// are not.
    fn start_muted_with_moderation(&mut self, now: Now, medium: Medium, entropy: &mut dyn Entropy) {
        let mut muted = self.common.metadata.start_muted();
        let flag = match medium {
            Medium::Audio => &mut muted.audio,
            Medium::Video => &mut muted.video,
            Medium::Desktop => return,
        };
        let moderated = self.main.moderation.of_mut(medium);
        if moderated.actor.is_some() {
            moderated.muted_before = *flag;
            *flag = true;
        } else {
            *flag = moderated.muted_before;
        }
        if self.common.metadata.set_start_muted(muted) {
            self.push_metadata(now, entropy);
        }
    }

    /// Newcomers and new moderators learn what is moderated.
    pub(crate) fn av_moderation_event(
        &mut self,
        now: Now,
        place: &Place,
        event: &RoomEvent,
        entropy: &mut dyn Entropy,
    ) {
        self.in_room(place, now, entropy, |room, _| match event {
            RoomEvent::OccupantJoined(info) => room.tell_moderation(&info.id),
            RoomEvent::RoleChanged { id, .. } => room.moderation_after_role(id),
            RoomEvent::OccupantLeft { id, .. } => room.moderation_forgets(id),
            _ => {}
        });
        // Who is in a breakout comes back to what was decided here; a breakout is gone with its last.
        let deserted = self.main.occupants.is_empty() && !self.breakouts.used();
        if *place == Place::Main && deserted {
            self.end_moderation(now, entropy);
        }
    }

    /// Nobody is there whom it was for.
    fn end_moderation(&mut self, now: Now, entropy: &mut dyn Entropy) {
        for medium in Medium::ALL {
            if self.main.moderation.of_mut(medium).actor.take().is_some() {
                self.start_muted_with_moderation(now, medium, entropy);
            }
        }
        self.main.moderation = AvModeration::default();
    }
}

impl Room {
    /// Whether it was switched at all.
    fn switch_moderation(&mut self, medium: Medium, on: bool, actor: &EndpointId) -> bool {
        let moderators: Vec<EndpointId> = self
            .occupants
            .values()
            .filter(|o| o.is_moderator())
            .map(|o| o.id.clone())
            .collect();
        let moderated = self.moderation.of_mut(medium);
        if moderated.actor.is_some() == on {
            return false;
        }
        moderated.actor = on.then(|| actor.clone());
        moderated.approved = if on { moderators } else { Vec::new() };
        self.tell_form(
            |_| true,
            |room, form| {
                let actor = room.settings.names.occupant_of(form, actor);
                json!({ "enabled": on, "actor": actor, "mediaType": medium.as_str() })
            },
        );
        if on {
            self.tell_approved(medium, None, false);
            self.mute_all(medium, actor);
        }
        self.forward_anew();
        self.done(actor, Deed::ModerationSwitched { medium, on });
        true
    }

    /// Asks everybody but moderators to mute, in the name of who switched it on.
    fn mute_all(&mut self, medium: Medium, actor: &EndpointId) {
        for form in 0..self.settings.names.count() {
            let to: Vec<SessionId> = self
                .occupants
                .values()
                .filter(|o| o.form == form && !o.is_moderator())
                .map(|o| o.session.clone())
                .collect();
            let names = &self.settings.names;
            let mute = Element::new("mute", medium.namespace())
                .with_attr("actor", names.occupant_of(form, actor))
                .with_text("true");
            let iq = Element::new("iq", ns::CLIENT)
                .with_attr("type", "set")
                .with_attr("id", format!("av-{}", medium.as_str()))
                .with_attr("from", names.occupant(form, FOCUS))
                .with_child(mute);
            self.send_text(to, iq.to_xml().into());
        }
    }

    fn approve(&mut self, medium: Medium, actor: &EndpointId, id: &EndpointId) {
        if !self.occupants.contains_key(id) {
            return;
        }
        let moderated = self.moderation.of_mut(medium);
        let on = moderated.actor.is_some();
        if on {
            if !moderated.approved.contains(id) && moderated.approved.len() < MAX_APPROVED {
                moderated.approved.push(id.clone());
            }
            self.tell_approved(medium, None, false);
        }
        // While nothing is moderated it is an invitation to speak, and says from whom.
        self.tell_form(
            |o| o.id == *id,
            |room, form| {
                let mut json = json!({ "approved": true, "mediaType": medium.as_str() });
                if !on {
                    json["from"] = room.settings.names.occupant_of(form, actor).into();
                }
                json
            },
        );
        self.forward_anew();
        let id = id.clone();
        self.done(actor, Deed::Approved { id, medium });
    }

    fn reject(&mut self, medium: Medium, actor: &EndpointId, id: &EndpointId) {
        let moderated = self.moderation.of_mut(medium);
        if moderated.actor.is_none() {
            return;
        }
        moderated.approved.retain(|other| other != id);
        self.tell_approved(medium, None, true);
        self.tell_form(
            |o| o.id == *id,
            |_, _| json!({ "removed": true, "mediaType": medium.as_str() }),
        );
        self.forward_anew();
        let id = id.clone();
        self.done(actor, Deed::Rejected { id, medium });
    }

    /// Tells moderators, or one of them, who is approved: always the whole list.
    fn tell_approved(&mut self, medium: Medium, only: Option<&EndpointId>, removed: bool) {
        let approved = self.moderation.of(medium).approved.clone();
        self.tell_form(
            |o| o.is_moderator() && only.is_none_or(|only| o.id == *only),
            |room, form| {
                let names = &room.settings.names;
                let list: Vec<String> = approved
                    .iter()
                    .map(|id| names.occupant_of(form, id))
                    .collect();
                let mut whitelists = serde_json::Map::new();
                if !list.is_empty() {
                    whitelists.insert(medium.as_str().to_owned(), list.into());
                }
                let mut json = json!({ "whitelists": whitelists, "mediaType": medium.as_str() });
                if removed {
                    json["removed"] = true.into();
                }
                json
            },
        );
    }

    /// What a newcomer learns.
    fn tell_moderation(&mut self, id: &EndpointId) {
        let moderator = self.occupants.get(id).is_some_and(Occupant::is_moderator);
        for medium in Medium::ALL {
            let Some(actor) = self.moderation.of(medium).actor.clone() else {
                continue;
            };
            self.tell_form(
                |o| o.id == *id,
                |room, form| {
                    let actor = room.settings.names.occupant_of(form, &actor);
                    json!({ "enabled": true, "actor": actor, "mediaType": medium.as_str() })
                },
            );
            if moderator {
                self.tell_approved(medium, Some(id), false);
            }
        }
    }

    fn moderation_after_role(&mut self, id: &EndpointId) {
        let moderator = self.occupants.get(id).is_some_and(Occupant::is_moderator);
        for medium in Medium::ALL {
            let moderated = self.moderation.of_mut(medium);
            if moderated.actor.is_none() {
                continue;
            }
            // Who was a moderator keeps nothing of it.
            moderated.approved.retain(|other| other != id);
            if moderator {
                moderated.approved.push(id.clone());
            }
            self.tell_approved(medium, None, false);
        }
        self.forward_anew();
    }

    fn moderation_forgets(&mut self, id: &EndpointId) {
        if self.occupants.contains_key(id) {
            // It has come anew in its own place.
            return;
        }
        for moderated in &mut self.moderation.media {
            moderated.approved.retain(|other| other != id);
        }
    }

    /// Tells the focus of everybody whose media are let through differently from now on.
    fn forward_anew(&mut self) {
        let mut changed = Vec::new();
        for occupant in self.occupants.values_mut() {
            let forwarded = self
                .moderation
                .forwarded(&occupant.id, occupant.is_moderator());
            if occupant.forwarded != forwarded {
                occupant.forwarded = forwarded;
                changed.push((occupant.id.clone(), forwarded));
            }
        }
        for (id, forwarded) in changed {
            self.emit(RoomEvent::ForwardedChanged { id, forwarded });
        }
    }

    /// Sends a message of the component to those who are meant, written once per address form.
    fn tell_form(
        &mut self,
        meant: impl Fn(&Occupant) -> bool,
        write: impl Fn(&Self, usize) -> Value,
    ) {
        let from = Component::AvModeration.address(&self.settings.domain);
        for form in 0..self.settings.names.count() {
            let to: Vec<SessionId> = self
                .occupants
                .values()
                .filter(|o| o.form == form && meant(o))
                .map(|o| o.session.clone())
                .collect();
            if to.is_empty() {
                continue;
            }
            let mut json = write(self, form);
            json["type"] = "av_moderation".into();
            json["room"] = self.settings.names.bare(form).to_string().into();
            let text: Arc<str> = crate::component::message(&from, &json, None)
                .to_xml()
                .into();
            self.send_text(to, text);
        }
    }
}
