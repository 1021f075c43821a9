//! Telling members of each other's sources: what a client has been told, what it should know, and
//! the difference between the two (protocol 2 §8).

use crate::focus::Focus;
use crate::member::{At, Member, Negotiation};
use althing_model::{EndpointId, SourceDescription, SourceName};
use althing_xmpp::features::{ClientFeatures, SourceMode};
use althing_xmpp::jingle::{Change, source_update, strip_simulcast};
use std::collections::BTreeMap;

/// How long changes are gathered: the more members, the longer (protocol 2 §8.4).
const DELAYS: [(usize, At); 2] = [(100, 1_000), (50, 500)];

type Sources = BTreeMap<SourceName, SourceDescription>;

impl Focus {
    fn source_mode(&self, member: &Member) -> Option<SourceMode> {
        member.mode(&self.settings)
    }

    /// Somebody's published sources are not what they were: others are to be told.
    pub(crate) fn sources_changed(&mut self, at: At, whose: &EndpointId) {
        let delay = DELAYS
            .iter()
            .find(|(members, _)| self.members.len() >= *members)
            .map_or(0, |(_, delay)| *delay);
        for (id, member) in &mut self.members {
            if id != whose && member.flush_at.is_none() {
                member.flush_at = Some(at + delay);
            }
        }
    }

    /// A leaver's sources go with its presence: clients drop them by themselves and are told
    /// nothing, except those that would have had them mapped by the bridge (protocol 2 §8.5).
    pub(crate) fn forget_sources_of_leaver(&mut self, at: At, gone: &Member) {
        for member in self.members.values_mut() {
            let tells_itself = member.features().is_some_and(|f| !f.ssrc_rewriting);
            if tells_itself {
                member
                    .signaled
                    .retain(|name, _| !name.belongs_to(&gone.info.id));
            }
        }
        self.sources_changed(at, &gone.info.id);
    }

    /// Tells everybody whose time has come.
    pub(crate) fn flush(&mut self, at: At) {
        let due: Vec<EndpointId> = self
            .members
            .iter()
            .filter(|(_, m)| m.flush_at.is_some_and(|flush| flush <= at))
            .map(|(id, _)| id.clone())
            .collect();
        for id in due {
            self.flush_one(&id);
        }
    }

    fn flush_one(&mut self, id: &EndpointId) {
        let Some(member) = self.members.get(id) else {
            return;
        };
        let mode = self.source_mode(member);
        let features = member.features();
        let active = match &member.negotiation {
            Negotiation::Active(jingling) => Some(jingling.sid.clone()),
            _ => None,
        };
        let wanted = match (mode, features) {
            (Some(SourceMode::Json | SourceMode::Xml), Some(features)) if active.is_some() => {
                self.wanted(id, features)
            }
            _ => Sources::new(),
        };
        let Some(member) = self.members.get_mut(id) else {
            return;
        };
        member.flush_at = None;
        let (Some(sid), Some(mode)) = (active, mode) else {
            return;
        };
        // A source whose SSRCs changed goes and comes again.
        let gone = difference(&member.signaled, &wanted);
        let come = difference(&wanted, &member.signaled);
        member.signaled = wanted;
        for (change, sources) in [(Change::Remove, gone), (Change::Add, come)] {
            if let Some(jingle) = source_update(change, &sid, mode, &sources) {
                self.send_jingle(id, jingle);
            }
        }
    }

    /// What this member should know of others.
    fn wanted(&self, id: &EndpointId, features: ClientFeatures) -> Sources {
        self.published_by_others(id)
            .iter()
            .filter(|s| match s.kind {
                althing_model::MediaKind::Audio => features.audio,
                althing_model::MediaKind::Video => features.video,
            })
            .map(|s| (s.name.clone(), strip_simulcast(s)))
            .collect()
    }
}

fn difference(of: &Sources, without: &Sources) -> Vec<SourceDescription> {
    of.iter()
        .filter(|(name, source)| without.get(*name) != Some(*source))
        .map(|(_, source)| source.clone())
        .collect()
}
