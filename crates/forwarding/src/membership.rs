//! Which sources there are: signalled, changed, gone.

use crate::conference::Conference;
use crate::endpoint::Route;
use crate::settings::{EndpointKey, SlotMode};
use crate::source::Source;
use althing_model::{MediaKind, SourceDescription};
use std::time::Instant;

impl Conference {
    /// The complete new set of an endpoint's sources. Foreign names, SSRCs that somebody else uses
    /// and sources beyond the limit are left out and counted. A source whose SSRCs changed keeps
    /// its slots; its receivers continue with the next keyframe.
    pub fn set_sources(&mut self, now: Instant, key: EndpointKey, sources: Vec<SourceDescription>) {
        self.enter(now);
        let Some(index) = self.index(key) else { return };
        let endpoint = &self.endpoints[index];
        let mut list: Vec<SourceDescription> = Vec::new();
        for source in sources {
            let fits = !endpoint.is_visitor()
                && source.name.belongs_to(&endpoint.id)
                && source.name.kind() == source.kind
                && !source.encodings.is_empty()
                && list.len() < self.settings.max_sources_per_endpoint
                && list.iter().all(|s| s.name != source.name);
            if fits {
                list.push(source);
            } else {
                self.counters.sources_refused += 1;
            }
        }
        for old in endpoint.sources.clone() {
            if !list.iter().any(|s| s.name == self.sources[old].name) {
                self.remove_source(old);
            }
        }
        // Before anybody takes them: sources may change places.
        for description in &list {
            if let Some(source) = self.names.get(&description.name).copied()
                && self.sources[source].encodings != description.encodings
            {
                self.release_ssrcs(source);
            }
        }
        for description in list {
            let known = self.names.get(&description.name).copied();
            if let Some(source) = known {
                let s = &mut self.sources[source];
                if s.signalled_type != description.video_type {
                    s.signalled_type = description.video_type;
                    s.video_type = description.video_type;
                    self.video_type_changed(source);
                }
                if self.sources[source].encodings == description.encodings {
                    continue;
                }
            }
            if description
                .ssrcs()
                .any(|s| s.0 == 0 || self.ssrcs.contains(&s.0))
            {
                self.counters.sources_refused += 1;
                if let Some(source) = known {
                    self.remove_source(source);
                }
                continue;
            }
            let source = match known {
                Some(source) => {
                    self.replace_encodings(source, description);
                    source
                }
                None => self.add_source(index, description),
            };
            self.claim_ssrcs(index, source);
            match self.sources[source].kind {
                MediaKind::Audio => self.new_audio.push(source),
                MediaKind::Video => self.offer(source),
            }
        }
    }

    fn add_source(&mut self, index: usize, description: SourceDescription) -> usize {
        let endpoint = &mut self.endpoints[index];
        let video_type = endpoint
            .take_early_type(&description.name)
            .unwrap_or(description.video_type);
        let name = description.name.clone();
        let mut new = Source::new(endpoint.key, description, video_type);
        new.encrypted = endpoint.e2ee;
        new.link = endpoint.link;
        let source = self.sources.insert(new);
        endpoint.sources.push(source);
        self.names.insert(name, source);
        self.touched.push(source);
        source
    }

    fn replace_encodings(&mut self, source: usize, description: SourceDescription) {
        self.sources[source].set_encodings(description.encodings);
        // A plain receiver knows the source by its SSRC: that is another outlet now.
        let plain: Vec<usize> = self
            .endpoints
            .iter()
            .filter(|(_, e)| e.mode == SlotMode::Plain && e.outlet_of.contains_key(&source))
            .map(|(i, _)| i)
            .collect();
        for receiver in plain {
            self.endpoints[receiver].unmap(source);
            self.sources[source].unsubscribe(receiver);
        }
    }

    fn claim_ssrcs(&mut self, index: usize, source: usize) {
        let routes = &mut self.endpoints[index].routes;
        for (encoding, e) in self.sources[source].encodings.iter().enumerate() {
            for (ssrc, is_rtx) in
                std::iter::once((e.primary, false)).chain(e.rtx.map(|rtx| (rtx, true)))
            {
                self.ssrcs.insert(ssrc.0);
                let route = Route {
                    source,
                    encoding,
                    is_rtx,
                };
                routes.insert(ssrc.0, route);
            }
        }
    }

    /// From now on others may have them.
    fn release_ssrcs(&mut self, source: usize) {
        let s = &mut self.sources[source];
        let routes = &mut self.endpoints[s.owner.index()].routes;
        for ssrc in std::mem::take(&mut s.encodings)
            .iter()
            .flat_map(|e| std::iter::once(e.primary).chain(e.rtx))
        {
            self.ssrcs.remove(&ssrc.0);
            routes.remove(&ssrc.0);
        }
    }

    pub(crate) fn remove_source(&mut self, source: usize) {
        self.release_ssrcs(source);
        let s = self.sources.remove(source);
        self.names.remove(&s.name);
        self.missing.retain(|(i, _)| *i != source);
        for &index in &self.paced {
            if let Some(endpoint) = self.endpoints.get_mut(index) {
                let pacer = &mut endpoint.downlink.pacer;
                pacer.discard(|w| w.source as usize == source);
            }
        }
        self.measured.retain(|i| *i != source);
        self.reporting.retain(|(i, _)| *i != source);
        self.touched.retain(|i| *i != source);
        self.new_audio.retain(|i| *i != source);
        self.ranking.forget(source);
        if s.kind == MediaKind::Audio {
            // Whose voice found no slot may look again.
            self.freed_audio += 1;
        }
        if self.preemptive == Some(source) {
            self.preemptive = None;
        }
        self.news.forget(source);
        if let Some(owner) = self.endpoints.get_mut(s.owner.index()) {
            owner.sources.retain(|i| *i != source);
        }
        let mut losers = std::mem::take(&mut self.spare_indices);
        for (index, endpoint) in &mut self.endpoints {
            endpoint.unmap(source);
            if let Ok(at) = endpoint.wanted.binary_search_by_key(&source, |w| w.source) {
                endpoint.wanted.remove(at);
                losers.push(index);
            }
        }
        // Whatever it took, of places or of bandwidth, others may have.
        for index in losers.drain(..) {
            self.mark_dirty(index, false, true);
        }
        self.spare_indices = losers;
    }
}
