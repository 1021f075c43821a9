//! What receivers say of their paths, and what follows (protocol 5 §12.3).

use crate::conference::Conference;
use crate::congestion::ESTIMATION;
use crate::endpoint::Endpoint;
use crate::settings::EndpointKey;
use crate::timers::Timer;
use althing_colibri::BridgeMessage;
use althing_model::MediaKind;
use althing_rtp::HeaderTemplate;
use althing_rtp::rtcp::TransportCc;
use std::time::Instant;

impl Conference {
    /// Whether the endpoint takes part in transport-wide congestion control as a receiver: the
    /// packets sent to it are numbered, its feedback limits what it is sent, and bursts are spread.
    /// Not so at first; whoever does not take part is sent what it asks for, without limit.
    pub fn set_transport_cc(&mut self, now: Instant, key: EndpointKey, takes_part: bool) {
        self.enter(now);
        let allowed = self.settings.transport_cc;
        if let Some(endpoint) = self.endpoint_mut(key) {
            let takes_part = takes_part && allowed && endpoint.receives_video;
            endpoint.downlink.set_negotiated(takes_part);
        }
    }

    /// A feedback of a receiver.
    pub(crate) fn transport_feedback(
        &mut self,
        index: usize,
        feedback: &TransportCc<'_>,
        now: Instant,
    ) {
        let downlink = &mut self.endpoints[index].downlink;
        self.counters.unmatched_feedback += downlink.feedback(now, feedback, &mut self.results);
    }

    /// Looks at every estimate there is.
    pub(crate) fn estimate_all(&mut self, now: Instant) {
        let mut estimating = std::mem::take(&mut self.estimating);
        estimating.retain(|&index| {
            let Some(endpoint) = self.endpoints.get_mut(index) else {
                return false;
            };
            let goal = if self.limits.without_probing {
                endpoint.chosen.bitrate
            } else {
                endpoint.probe_goal()
            };
            let wanted = (!endpoint.wanted.is_empty()).then_some(goal);
            let due = endpoint.downlink.tick(now, wanted);
            if due.probe {
                self.timers.arm(Timer::Pacing, now);
                if !std::mem::replace(&mut endpoint.downlink.listed, true) {
                    self.paced.push(index);
                }
            }
            if let Some(estimate) = due.told {
                let message = BridgeMessage::ConnectionStats {
                    estimated_downlink_bandwidth: estimate,
                };
                self.send(index, &message);
            }
            self.bandwidth_changed(index);
            !due.idle
        });
        self.estimating = estimating;
        if !self.estimating.is_empty() {
            self.timers.arm(Timer::Estimation, now + ESTIMATION);
        }
    }
}

impl Endpoint {
    /// A packet leaves: numbers it, where there is a place for the number. `size` is that of the
    /// whole packet.
    pub(crate) fn leaves(
        &mut self,
        kind: MediaKind,
        header: &mut HeaderTemplate,
        size: usize,
        now: Instant,
    ) {
        if !header.has_transport_cc() {
            return;
        }
        header.set_transport_cc(self.downlink.number(now, size));
        if kind == MediaKind::Audio {
            self.downlink.audio_sent(size);
        }
    }
}
