//! Which SSRCs belong to whom: checked before anything changes, then changed whole.

use crate::error::Refusal;
use crate::focus::Limits;
use althing_model::{EndpointId, FeedbackSources, MediaKind, MediaKinds, SourceDescription, Ssrc};
use althing_xmpp::jingle::{RawGroup, RawSources, Semantics};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashSet};

/// The longest msid, in bytes.
const MAX_MSID: usize = 256;

/// The sources of everybody, told to others or about to be.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct SourceMap {
    feedback: FeedbackSources,
    sets: BTreeMap<EndpointId, Vec<SourceDescription>>,
    /// Every SSRC in use, for the question that is asked most.
    owners: BTreeMap<Ssrc, EndpointId>,
}

impl SourceMap {
    pub(crate) const fn new(feedback: FeedbackSources) -> Self {
        Self {
            feedback,
            sets: BTreeMap::new(),
            owners: BTreeMap::new(),
        }
    }

    pub(crate) fn of(&self, owner: &EndpointId) -> &[SourceDescription] {
        self.sets.get(owner).map_or(&[], Vec::as_slice)
    }

    /// Puts `set` in place of everything `owner` has; it was checked before.
    pub(crate) fn replace(&mut self, owner: &EndpointId, set: Vec<SourceDescription>) {
        for old in self.sets.remove(owner).unwrap_or_default() {
            for ssrc in old.ssrcs() {
                self.owners.remove(&ssrc);
            }
        }
        for ssrc in set.iter().flat_map(SourceDescription::ssrcs) {
            self.owners.insert(ssrc, owner.clone());
        }
        if !set.is_empty() {
            self.sets.insert(owner.clone(), set);
        }
    }

    /// The whole set `owner` would have after adding `raw` (protocol 2 §7.1).
    pub(crate) fn with_added(
        &self,
        owner: &EndpointId,
        may_send: MediaKinds,
        raw: &RawSources,
        limits: Limits,
    ) -> Result<Vec<SourceDescription>, Refusal> {
        if may_send == MediaKinds::NONE && !raw.sources.is_empty() {
            return Err(Refusal::Visitor);
        }
        // Each is an SSRC; so many that they cannot all be had are not even looked at.
        if raw.sources.len() > limits.ssrcs {
            return Err(Refusal::SsrcLimit(limits.ssrcs));
        }
        for ssrc in raw.sources.iter().map(|s| s.ssrc) {
            let ours = ssrc == self.feedback.audio || ssrc == self.feedback.video;
            if ours || self.owners.contains_key(&ssrc) {
                return Err(Refusal::SsrcUsed(ssrc));
            }
        }
        let added = raw.fold()?;
        let mut set = self.of(owner).to_vec();
        for source in &added {
            if !source.name.belongs_to(owner) {
                return Err(Refusal::ForeignName(source.name.clone()));
            }
            if set.iter().any(|s| s.name == source.name) {
                return Err(Refusal::NameUsed(source.name.clone()));
            }
            if !may_send.permits(source.kind, source.video_type) {
                return Err(Refusal::MayNotSend(source.name.clone()));
            }
            if source.msid.len() > MAX_MSID {
                return Err(Refusal::MsidLength);
            }
            self.check_msid(owner, &set, source)?;
            set.push(source.clone());
        }
        check_limits(&set, limits)?;
        Ok(set)
    }

    /// Audio and video of one endpoint may share an msid; nothing else may. One made of its own id is
    /// its own, whoever else has taken it.
    fn check_msid(
        &self,
        owner: &EndpointId,
        set: &[SourceDescription],
        source: &SourceDescription,
    ) -> Result<(), Refusal> {
        let own = set
            .iter()
            .any(|s| s.kind == source.kind && s.msid == source.msid);
        let is_own = namesake(&source.msid) == Some(owner.as_str());
        let others = !is_own
            && self
                .sets
                .iter()
                .filter(|(id, _)| *id != owner)
                .flat_map(|(_, set)| set)
                .any(|s| s.msid == source.msid);
        if own || others {
            return Err(Refusal::MsidUsed(source.msid.clone()));
        }
        Ok(())
    }

    /// The whole set `owner` would have after removing `raw`, matched by SSRC alone
    /// (protocol 2 §7.2).
    pub(crate) fn with_removed(
        &self,
        owner: &EndpointId,
        raw: &RawSources,
    ) -> Result<Vec<SourceDescription>, Refusal> {
        let gone: HashSet<Ssrc> = raw.sources.iter().map(|s| s.ssrc).collect();
        if let Some(foreign) = gone.iter().find(|s| self.owners.get(s) != Some(owner)) {
            return Err(Refusal::NotOwned(*foreign));
        }
        let set = self.of(owner);
        if !raw.groups.iter().all(|g| has_group(set, g)) {
            return Err(Refusal::NoSuchGroup);
        }
        let left = set.iter().filter_map(|source| {
            let mut source = source.clone();
            source.encodings.retain(|e| !gone.contains(&e.primary));
            for encoding in &mut source.encodings {
                encoding.rtx = encoding.rtx.filter(|rtx| !gone.contains(rtx));
            }
            (!source.encodings.is_empty()).then_some(source)
        });
        Ok(left.collect())
    }

    /// The invariant that tests and the fuzzer assert: the index says what the sets say.
    pub(crate) fn is_consistent(&self) -> bool {
        let listed: BTreeMap<Ssrc, EndpointId> = self
            .sets
            .iter()
            .flat_map(|(id, set)| set.iter().map(move |s| (id, s)))
            .flat_map(|(id, s)| s.ssrcs().map(move |ssrc| (ssrc, id.clone())))
            .collect();
        let count: usize = self
            .sets
            .values()
            .flatten()
            .map(|s| s.ssrcs().count())
            .sum();
        listed == self.owners && count == self.owners.len()
    }
}

/// Whose id an msid begins with, as clients make them: `<id>-audio-0-1 …`.
pub(crate) fn namesake(msid: &str) -> Option<&str> {
    msid.split_once('-').map(|(id, _)| id)
}

fn check_limits(set: &[SourceDescription], limits: Limits) -> Result<(), Refusal> {
    let ssrcs: usize = set.iter().map(|s| s.ssrcs().count()).sum();
    if ssrcs > limits.ssrcs {
        return Err(Refusal::SsrcLimit(limits.ssrcs));
    }
    let groups: usize = set
        .iter()
        .map(|s| {
            let fid = s.encodings.iter().filter(|e| e.rtx.is_some()).count();
            fid + usize::from(s.encodings.len() > 1)
        })
        .sum();
    if groups > limits.groups {
        return Err(Refusal::GroupLimit(limits.groups));
    }
    Ok(())
}

fn has_group(set: &[SourceDescription], group: &RawGroup) -> bool {
    match (group.semantics, group.ssrcs.as_slice()) {
        (_, []) => true,
        (Semantics::Fid, [primary, rtx]) => set
            .iter()
            .flat_map(|s| &s.encodings)
            .any(|e| e.primary == *primary && e.rtx == Some(*rtx)),
        (Semantics::Fid, _) => false,
        (Semantics::Sim, ssrcs) => set.iter().any(|s| {
            s.kind == MediaKind::Video && s.encodings.iter().map(|e| &e.primary).eq(ssrcs)
        }),
    }
}
