//! The names Jitsi's operators and their dashboards know (protocol 5 §19.2), as far as we can answer
//! them truthfully. What is not here is not known: a zero would be a lie. `docs/operate.md` lists both.

use crate::channel::Service;
use crate::counters::Count;
use crate::metrics::{DROPS, totals};
use crate::worker::SIZE_STEPS;
use althing_transport::DropReason;
use serde_json::{Map, Value};
use std::sync::atomic::Ordering;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Names that stand for one count each.
const COUNTS: &[(&str, Count)] = &[
    ("conferences", Count::Conferences),
    ("largest_conference", Count::LargestConference),
    ("endpoints", Count::Endpoints),
    ("participants", Count::Endpoints),
    ("local_endpoints", Count::Endpoints),
    ("inactive_endpoints", Count::EndpointsInactive),
    ("endpoints_disconnected", Count::EndpointsDisconnected),
    ("endpoints_reconnected", Count::EndpointsReconnected),
    (
        "num_eps_no_msg_transport_after_delay",
        Count::EndpointsWithoutChannel,
    ),
    ("total_conferences_created", Count::ConferencesCreated),
    ("total_conferences_completed", Count::ConferencesEnded),
    ("total_participants", Count::EndpointsCreated),
    ("total_packets_received", Count::PacketsReceived),
    ("total_packets_sent", Count::PacketsSent),
    ("total_bytes_received", Count::BytesReceived),
    ("total_bytes_sent", Count::BytesSent),
    ("total_ice_succeeded", Count::TransportsConnected),
    ("total_ice_failed", Count::TransportsFailedIce),
    ("endpoints_ice_failed", Count::TransportsFailedIce),
    ("dtls_failed_endpoints", Count::TransportsFailedDtls),
    (
        "total_dominant_speaker_changes",
        Count::DominantSpeakerChanges,
    ),
    ("tcc_unmatched_feedback", Count::UnmatchedFeedback),
    ("preemptive_kfr_sent", Count::PreemptiveKeyframes),
    (
        "preemptive_kfr_suppressed",
        Count::PreemptiveKeyframesSuppressed,
    ),
];

/// Everything known, flat, as exporters read it.
pub(crate) fn stats(service: &Service, started: Instant, reachable: bool) -> Value {
    let totals = totals(service);
    let mut stats: Map<String, Value> = COUNTS
        .iter()
        .map(|(name, count)| ((*name).to_owned(), totals.get(*count).into()))
        .collect();
    let mut put = |name: &str, value: Value| stats.insert(name.to_owned(), value);

    let active = totals.get(Count::Endpoints) - totals.get(Count::EndpointsInactive);
    put("local_active_endpoints", active.into());
    let seconds = totals.get(Count::ConferenceMicroseconds) / 1_000_000;
    put("total_conference_seconds", seconds.into());

    let channels = &service.channels.counters;
    for (name, counter) in [
        (
            "total_colibri_web_socket_messages_received",
            &channels.received,
        ),
        ("total_colibri_web_socket_messages_sent", &channels.sent),
        ("colibri_web_sockets", &channels.sockets),
    ] {
        put(name, counter.load(Ordering::Relaxed).into());
    }

    let figures = service.figures();
    let rates = figures.rates;
    for (name, value) in [
        // Kilobits a second, and packets.
        ("bit_rate_download", rates.bits_received / 1000.0),
        ("bit_rate_upload", rates.bits_sent / 1000.0),
        ("packet_rate_download", rates.packets_received),
        ("packet_rate_upload", rates.packets_sent),
    ] {
        put(name, (value.round() as u64).into());
    }
    put("stress_level", figures.stress().into());
    put("overloaded", figures.is_overloaded().into());

    let alive = service.workers.iter().filter(|w| w.is_alive()).count();
    let draining = service.drain.is_on();
    put("drain", draining.into());
    // A drain is all there is of it.
    put("graceful_shutdown", draining.into());
    put("shutting_down", false.into());
    let healthy = reachable && alive == service.workers.len();
    put("healthy", healthy.into());
    put("threads", alive.into());
    put("relay_id", service.node.as_str().into());
    put("version", env!("CARGO_PKG_VERSION").into());
    put("uptime_seconds", started.elapsed().as_secs().into());
    if let Ok(now) = SystemTime::now().duration_since(UNIX_EPOCH) {
        // As a Videobridge writes it, in UTC.
        put("current_timestamp", timestamp(now.as_secs()).into());
    }

    let survey = &figures.survey;
    for (name, count) in [
        ("endpoints_sending_audio", survey.sending_audio),
        ("endpoints_sending_video", survey.sending_video),
        ("receive_only_endpoints", survey.receive_only),
        ("endpoints_with_suspended_sources", survey.with_suspended),
        ("num_eps_oversending", survey.oversending),
    ] {
        put(name, count.into());
    }
    let loss = figures.loss;
    for (name, part) in [
        ("incoming_loss", loss.incoming),
        ("outgoing_loss", loss.outgoing),
        ("overall_loss", loss.overall()),
    ] {
        if let Some(part) = part {
            put(name, part.into());
        }
    }
    if let Some(rtt) = figures.survey.average_rtt() {
        put("rtt_aggregate", milliseconds(rtt).into());
    }
    put("conference_sizes", sizes(&figures.survey.sizes));
    put("packets_dropped", dropped(&totals));
    Value::Object(stats)
}

fn milliseconds(time: std::time::Duration) -> f64 {
    (time.as_secs_f64() * 10_000.0).round() / 10.0
}

/// How many conferences have so many endpoints at most, the last entry all that are larger.
fn sizes(sizes: &[u64]) -> Value {
    let mut counted: Map<String, Value> = Map::new();
    for (index, count) in sizes.iter().enumerate() {
        let key = SIZE_STEPS
            .get(index)
            .map_or_else(|| "more".to_owned(), ToString::to_string);
        counted.insert(key, (*count).into());
    }
    Value::Object(counted)
}

fn dropped(totals: &crate::counters::Counters) -> Value {
    let ours = DROPS
        .iter()
        .map(|(reason, count)| ((*reason).to_owned(), totals.get(*count).into()));
    let transports = DropReason::ALL
        .iter()
        .map(|reason| (reason.as_str().to_owned(), totals.drops(*reason).into()));
    Value::Object(ours.chain(transports).collect())
}

/// `2026-01-31 23:59:59.000`, of seconds since 1970 (the calendar after H. Hinnant).
fn timestamp(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}.000",
        rest / 3600,
        rest / 60 % 60,
        rest % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_written_as_a_date() {
        for (seconds, text) in [
            (0, "1970-01-01 00:00:00.000"),
            (951_782_399, "2000-02-28 23:59:59.000"),
            (951_782_400, "2000-02-29 00:00:00.000"),
            (1_767_225_600, "2026-01-01 00:00:00.000"),
            (4_107_542_399, "2100-02-28 23:59:59.000"),
        ] {
            assert_eq!(timestamp(seconds), text);
        }
    }

    #[test]
    fn sizes_are_named_by_their_upper_ends() {
        let named = sizes(&[1, 2, 0, 0, 0, 0, 0, 0, 9]);
        assert_eq!(
            (&named["1"], &named["2"], &named["more"]),
            (&1.into(), &2.into(), &9.into())
        );
    }
}
