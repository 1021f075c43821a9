//! What clients say on the bridge channel.

use crate::conference::Conference;
use crate::relay::{Links, RelayMessage};
use crate::settings::{EndpointKey, Output};
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
                endpoint.audio = subscription.into();
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

    pub(crate) fn video_type(&mut self, index: usize, name: SourceName, video_type: VideoType) {
        let endpoint = &mut self.endpoints[index];
        if !name.belongs_to(&endpoint.id) {
            self.counters.messages_dropped += 1;
            return;
        }
        self.relay(index, || RelayMessage::VideoType {
            source: name.clone(),
            video_type,
        });
        let Some(&source) = self.names.get(&name) else {
            self.endpoints[index].set_early_type(name, video_type);
            return;
        };
        let before = std::mem::replace(&mut self.sources[source].video_type, video_type);
        if before != video_type {
            self.video_type_changed(source);
        }
    }

    /// For others: our own, and once for each part that has any it is meant for.
    pub(crate) fn relay_message(&mut self, index: usize, message: EndpointMessage) {
        let endpoint = &self.endpoints[index];
        if endpoint.is_visitor() {
            self.counters.messages_dropped += 1;
            return;
        }
        let broadcast = message.is_broadcast();
        let to = self.endpoint_by_id(&message.to);
        if let Some(to) = to.filter(|to| !broadcast && self.endpoints[*to].is_remote()) {
            self.relay_elsewhere(index, to, message);
            return;
        }
        if broadcast {
            self.relay(index, || RelayMessage::Message(Box::new(message.clone())));
        }
        let endpoint = &self.endpoints[index];
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

    /// To an endpoint of another part, by the link to that alone.
    fn relay_elsewhere(&mut self, index: usize, to: usize, message: EndpointMessage) {
        let (from, link) = (&self.endpoints[index], self.endpoints[to].link);
        let link = link.filter(|link| self.links.contains(*link));
        match link.filter(|_| !from.is_remote()) {
            Some(link) => self.outputs.push_back(Output::Relay {
                to: Links::from_iter([link]),
                about: from.key,
                message: RelayMessage::Message(Box::new(message)),
            }),
            None => self.counters.messages_dropped += 1,
        }
    }

    pub(crate) fn relay_stats(&mut self, index: usize, stats: EndpointStats) {
        let endpoint = &self.endpoints[index];
        if endpoint.is_visitor() {
            self.counters.messages_dropped += 1;
            return;
        }
        self.relay(index, || RelayMessage::Stats(Box::new(stats.clone())));
        let endpoint = &self.endpoints[index];
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
                sources.iter().any(|s| e.wants(*s).is_some())
                    || names
                        .iter()
                        .any(|n| wishes.on_stage.contains(n) || wishes.selected.contains(n))
            };
            i != index && (everybody || looks())
        });
    }
}
