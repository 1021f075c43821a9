//! What receivers and senders are told of the allocation: slots, forwarded sources, heights wanted.

use crate::conference::Conference;
use crate::endpoint::Channel;
use crate::relay::RelayMessage;
use crate::settings::SlotMode;
use althing_colibri::BridgeMessage;
use althing_model::{MediaKind, SourceName, Ssrc};
use std::time::Instant;

impl Conference {
    /// Tells a rewriting receiver of new and changed slots.
    pub(crate) fn announce(&mut self, index: usize, now: Instant) {
        let hold = self.settings.slot_hold;
        let endpoint = &mut self.endpoints[index];
        if endpoint.mode != SlotMode::Rewriting || endpoint.channel != Channel::Open {
            return;
        }
        // Of a slot that nobody is on any more nothing is said.
        let outlets = &endpoint.outlets;
        endpoint
            .renamed
            .retain(|(_, i)| outlets[*i].source.is_none());
        if std::mem::take(&mut endpoint.awaits_map) {
            self.mark_dirty(index, true, true);
        }
        let endpoint = &mut self.endpoints[index];
        let (mut video, mut audio) = (Vec::new(), Vec::new());
        for outlet in endpoint.outlets.iter_mut().filter(|o| o.changed) {
            let Some(source) = outlet.source else {
                continue;
            };
            outlet.announced(hold, now);
            let s = &self.sources[source];
            match outlet.kind {
                MediaKind::Video => video.push(althing_colibri::VideoSlot {
                    source: s.name.clone(),
                    owner: s.name.owner(),
                    ssrc: outlet.ssrc,
                    rtx: outlet.rtx.unwrap_or(Ssrc(0)),
                    video_type: s.video_type,
                    mid: None,
                }),
                MediaKind::Audio => audio.push(althing_colibri::AudioSlot {
                    source: s.name.clone(),
                    owner: s.name.owner(),
                    ssrc: outlet.ssrc,
                    mid: None,
                }),
            }
        }
        if !video.is_empty() {
            self.send(
                index,
                &BridgeMessage::VideoSourcesMap {
                    mapped_sources: video,
                },
            );
        }
        if !audio.is_empty() {
            self.send(
                index,
                &BridgeMessage::AudioSourcesMap {
                    mapped_sources: audio,
                },
            );
        }
    }

    /// Sends `ForwardedSources` if the set has changed, or `always`.
    pub(crate) fn tell_forwarded(&mut self, index: usize, always: bool) {
        let endpoint = &self.endpoints[index];
        let given = endpoint.wanted.iter().filter(|w| w.target.is_some());
        let names = given.map(|w| &self.sources[w.source].name);
        if !always && names.clone().eq(&endpoint.forwarded) {
            return;
        }
        let forwarded: Vec<SourceName> = names.cloned().collect();
        let mut sources = forwarded.clone();
        sources.sort_unstable();
        self.endpoints[index].forwarded = forwarded;
        self.send(index, &BridgeMessage::ForwardedSources { sources });
    }

    /// Tells owners how much of their sources is wanted, where that has changed.
    pub(crate) fn tell_senders(&mut self) {
        let mut touched = std::mem::take(&mut self.touched);
        touched.sort_unstable();
        touched.dedup();
        for source in touched.drain(..) {
            let Some(s) = self.sources.get_mut(source) else {
                continue;
            };
            let greatest = s.wants.greatest();
            if s.kind != MediaKind::Video || s.told == Some(greatest) {
                continue;
            }
            s.told = Some(greatest);
            self.tell_sender(source);
        }
        self.touched = touched;
    }

    pub(crate) fn tell_sender(&mut self, source: usize) {
        let s = &self.sources[source];
        let (source_name, max_height) = (s.name.clone(), s.wants.greatest());
        let owner = s.owner;
        if s.link.is_some() {
            let wanted = RelayMessage::Wanted {
                source: source_name,
                height: max_height,
            };
            self.relay_to_owner(owner, wanted);
            return;
        }
        let message = BridgeMessage::SenderSourceConstraints {
            source_name,
            max_height,
        };
        self.send(owner.index(), &message);
    }
}
