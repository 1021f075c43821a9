//! What clients say on the bridge channel, and who speaks.

use crate::conference::Conference;
use crate::settings::EndpointKey;
use crate::speakers;
use crate::timers::Timer;
use althing_colibri::{BridgeMessage, ClientMessage, EndpointMessage, EndpointStats};
use althing_model::{SourceName, VideoType};
use std::time::Instant;

impl Conference {
    /// A message of the endpoint's bridge channel.
    pub fn handle_message(&mut self, now: Instant, key: EndpointKey, message: ClientMessage) {
        self.enter(now);
        let Some(index) = self.index(key) else { return };
        let endpoint = &mut self.endpoints[index];
        let bucket = match message {
            ClientMessage::EndpointMessage(_) | ClientMessage::EndpointStats(_) => {
                &mut endpoint.relayed
            }
            _ => &mut endpoint.steering,
        };
        if !bucket.take(now) {
            self.counters.messages_dropped += 1;
            return;
        }
        match message {
            ClientMessage::ClientHello => {
                self.send(index, &BridgeMessage::ServerHello { version: None });
            }
            ClientMessage::ReceiverVideoConstraints(constraints) => {
                endpoint.wishes.apply(constraints);
                self.mark_dirty(index, false, true);
            }
            ClientMessage::LastNChangedEvent { last_n } => {
                endpoint.wishes.last_n = last_n;
                self.mark_dirty(index, false, true);
            }
            ClientMessage::ReceiverAudioSubscription(subscription) => {
                endpoint.audio = subscription;
                self.mark_dirty(index, true, false);
            }
            ClientMessage::SourceVideoTypeMessage(m) => {
                self.video_type(index, m.source_name, m.video_type);
            }
            ClientMessage::VideoTypeMessage { video_type } => {
                if let Ok(name) = SourceName::new(format!("{}-v0", endpoint.id)) {
                    self.video_type(index, name, video_type);
                }
            }
            ClientMessage::EndpointMessage(m) => self.relay_message(index, m),
            ClientMessage::EndpointStats(m) => self.relay_stats(index, m),
            ClientMessage::Unknown { .. } => {}
        }
    }

    fn video_type(&mut self, index: usize, name: SourceName, video_type: VideoType) {
        let endpoint = &mut self.endpoints[index];
        if !name.belongs_to(&endpoint.id) {
            self.counters.messages_dropped += 1;
            return;
        }
        let Some(&source) = self.names.get(&name) else {
            endpoint.set_early_type(name, video_type);
            return;
        };
        let source = &mut self.sources[source];
        if std::mem::replace(&mut source.video_type, video_type) != video_type {
            self.mark_all_dirty(false, true);
        }
    }

    fn relay_message(&mut self, index: usize, message: EndpointMessage) {
        let endpoint = &self.endpoints[index];
        if endpoint.is_visitor() {
            self.counters.messages_dropped += 1;
            return;
        }
        let broadcast = message.is_broadcast();
        let to = self.endpoint_by_id(&message.to);
        let message = BridgeMessage::EndpointMessage(EndpointMessage {
            from: Some(endpoint.id.clone()),
            ..message
        });
        match to {
            _ if broadcast => self.broadcast(&message, |i, _| i != index),
            Some(to) => self.send(to, &message),
            None => self.counters.messages_dropped += 1,
        }
    }

    fn relay_stats(&mut self, index: usize, stats: EndpointStats) {
        let endpoint = &self.endpoints[index];
        if endpoint.is_visitor() {
            self.counters.messages_dropped += 1;
            return;
        }
        let everybody = self.endpoints.len() <= self.settings.stats_filter_threshold
            || self.dominant == Some(index)
            || self.recent.contains(&index);
        let sources = endpoint.sources.clone();
        let names: Vec<SourceName> = sources
            .iter()
            .map(|s| self.sources[*s].name.clone())
            .collect();
        let message = BridgeMessage::EndpointStats(EndpointStats {
            from: Some(endpoint.id.clone()),
            ..stats
        });
        self.broadcast(&message, |i, e| {
            let looks = || {
                let wishes = &e.wishes;
                sources
                    .iter()
                    .any(|s| e.effective.binary_search_by_key(s, |(k, _)| *k).is_ok())
                    || names
                        .iter()
                        .any(|n| wishes.on_stage.contains(n) || wishes.selected.contains(n))
            };
            i != index && (everybody || looks())
        });
    }

    /// An audio packet of the endpoint had this level, 0 (silent) to 127.
    pub(crate) fn heard(&mut self, index: usize, level: u8, now: Instant) {
        self.endpoints[index].speaker.heard(level, now);
        self.last_level = Some(now);
        if !self.timers.is_armed(Timer::Speakers) {
            self.timers.arm(Timer::Speakers, now + speakers::INTERVAL);
        }
    }

    pub(crate) fn find_dominant(&mut self, now: Instant) {
        let levels_come = self
            .last_level
            .is_some_and(|at| now.saturating_duration_since(at) < speakers::IDLE);
        if levels_come {
            self.timers.arm(Timer::Speakers, now + speakers::INTERVAL);
        }
        let candidates = self
            .endpoints
            .iter_mut()
            .filter(|(_, e)| !e.is_visitor())
            .map(|(i, e)| (i, &mut e.speaker));
        let winner = speakers::decide(self.dominant, candidates, now);
        if winner.is_none() || winner == self.dominant {
            return;
        }
        let before = std::mem::replace(&mut self.dominant, winner);
        self.recent.retain(|i| Some(*i) != winner);
        if let Some(before) = before {
            self.recent.insert(0, before);
            self.recent.truncate(speakers::RECENT);
        }
        if let Some(index) = winner {
            self.speeches += 1;
            self.endpoints[index].spoke = self.speeches;
            self.order.retain(|i| *i != index);
            self.order.insert(0, index);
        }
        self.counters.dominant_speaker_changes += 1;
        self.tell_dominant();
        self.mark_all_dirty(false, true);
    }

    pub(crate) fn dominant_message(&self) -> Option<BridgeMessage> {
        let id = |i: usize| self.endpoints[i].id.clone();
        Some(BridgeMessage::DominantSpeakerEndpointChangeEvent {
            dominant_speaker: id(self.dominant?),
            previous_speakers: self.recent.iter().map(|i| id(*i)).collect(),
            silence: false,
        })
    }

    pub(crate) fn tell_dominant(&mut self) {
        if let Some(message) = self.dominant_message() {
            self.broadcast(&message, |_, _| true);
        }
    }
}
