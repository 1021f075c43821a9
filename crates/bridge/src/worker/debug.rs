//! What the operator may look at: a picture of one worker, without addresses or secrets.

use crate::worker::State;
use crate::worker::endpoint::{Conference, Endpoint};
use althing_forwarding::{ConferenceCounters, EndpointCounters};
use althing_model::ConferenceId;
use serde_json::{Value, json};
use std::time::Instant;

impl State {
    /// All conferences whose home is here in short, or the part of one that is here in full (null
    /// when there is none).
    pub(super) fn debug(&self, now: Instant, conference: Option<&ConferenceId>) -> Value {
        match conference {
            None => self
                .conferences
                .iter()
                .filter(|(_, conference)| conference.is_home)
                .map(|(_, conference)| self.summary(now, conference))
                .collect(),
            Some(id) => match self.by_id.get(id) {
                Some(slot) => self.detail(now, &self.conferences[*slot]),
                None => Value::Null,
            },
        }
    }

    fn summary(&self, now: Instant, conference: &Conference) -> Value {
        json!({
            "conference": conference.id,
            "worker": self.index,
            "age_seconds": now.saturating_duration_since(conference.created).as_secs(),
            "endpoints": conference.by_id.len() + conference.remotes,
        })
    }

    fn detail(&self, now: Instant, conference: &Conference) -> Value {
        let mut detail = self.summary(now, conference);
        let mut endpoints = serde_json::Map::new();
        for (id, slot) in &conference.by_id {
            let endpoint = &self.endpoints[*slot];
            let mut detail = endpoint_detail(now, conference, endpoint);
            detail["worker"] = self.index.into();
            endpoints.insert(id.to_string(), detail);
        }
        detail["endpoints"] = Value::Object(endpoints);
        detail["counters"] = conference_counters(&conference.core.counters());
        detail["dominant_speaker"] = json!(conference.core.dominant_speaker());
        detail["loudest_only"] = conference.core.forwards_loudest_only().into();
        detail["left_off"] = json!({
            "probing": !self.measures.probing,
            "last_n": self.measures.last_n,
            "max_height": self.measures.max_height,
        });
        detail
    }
}

fn endpoint_detail(now: Instant, conference: &Conference, endpoint: &Endpoint) -> Value {
    let stats = endpoint.transport.stats();
    let silence = now.saturating_duration_since(endpoint.transport.last_activity());
    let path = endpoint.path.map(|path| {
        json!({
            "via": format!("{:?}", path.via).to_lowercase(),
            "family": if path.remote.is_ipv6() { "ipv6" } else { "ipv4" },
        })
    });
    let forwarding = conference.core.endpoint_counters(endpoint.key);
    json!({
        "age_seconds": now.saturating_duration_since(endpoint.created).as_secs(),
        "connected": endpoint.connected,
        "active": endpoint.active,
        "failed": endpoint.failed.map(|reason| reason.as_str()),
        "silence_seconds": silence.as_secs_f64(),
        "channel_open": endpoint.channel.has_socket(),
        "path": path,
        "paths": endpoint.paths.len(),
        "handed_over_by": endpoint.paths.iter().find_map(|bound| bound.arrives_at),
        "rtt_seconds": endpoint.rtt.map(|rtt| rtt.as_secs_f64()),
        "srtp_profile": stats.profile.map(|profile| format!("{profile:?}")),
        "packets_received": endpoint.traffic.packets_received,
        "bytes_received": endpoint.traffic.bytes_received,
        "packets_sent": endpoint.traffic.packets_sent,
        "bytes_sent": endpoint.traffic.bytes_sent,
        "packets_not_sealed": endpoint.traffic.not_sealed,
        "datagrams_dropped": stats.drops.total(),
        "packets_over_limits": endpoint.traffic.over,
        "forwarding": forwarding.as_ref().map(forwarded),
        "media": conference.core.picture(now, endpoint.key),
    })
}

/// The core's sums about one endpoint.
fn forwarded(counters: &EndpointCounters) -> Value {
    json!({
        "rtp_received": counters.rtp_received,
        "rtp_received_bytes": counters.rtp_received_bytes,
        "rtp_sent": counters.rtp_sent,
        "rtp_sent_bytes": counters.rtp_sent_bytes,
        "retransmitted": counters.retransmitted,
        "paced_out": counters.paced_out,
        "rtt_seconds": counters.rtt.map(|rtt| rtt.as_secs_f64()),
    })
}

/// The core's sums about a conference.
fn conference_counters(counters: &ConferenceCounters) -> Value {
    json!({
        "rtp_received": counters.rtp_received,
        "rtp_sent": counters.rtp_sent,
        "retransmitted": counters.retransmitted,
        "malformed": counters.malformed,
        "unknown_payload_type": counters.unknown_payload_type,
        "unknown_ssrc": counters.unknown_ssrc,
        "forbidden": counters.forbidden,
        "over_audio": counters.over_audio,
        "over_repairs": counters.over_repairs,
        "duplicate": counters.duplicate,
        "other_encoding": counters.other_encoding,
        "hidden": counters.hidden,
        "unranked": counters.unranked,
        "allocations": counters.allocations,
        "padding_bytes": counters.padding,
        "unmatched_feedback": counters.unmatched_feedback,
        "keyframe_requests": counters.keyframe_requests,
        "keyframe_requests_received": counters.keyframe_requests_received,
        "keyframe_requests_refused": counters.keyframe_requests_refused,
        "preemptive_keyframes": counters.preemptive_keyframes,
        "nacked": counters.nacked,
        "messages_dropped": counters.messages_dropped,
        "sources_refused": counters.sources_refused,
        "dominant_speaker_changes": counters.dominant_speaker_changes,
    })
}
