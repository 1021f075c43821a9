//! The bridge's metrics, read from what workers and sockets count when the page is asked for.

use crate::channel::Service;
use crate::counters::{Count, Counters, DELAY_STEPS};
use crate::watch::Figures;
use crate::worker::SIZE_STEPS;
use althing_transport::DropReason;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

/// Writes the bridge's metrics. Holds the bridge weakly: the page may outlive it.
#[derive(Debug)]
pub(crate) struct BridgeCollector(Weak<Service>);

/// One metric without labels.
type Plain = (&'static str, &'static str, Count);

const COUNTERS: &[Plain] = &[
    (
        "packets_received",
        "Datagrams received on the media port",
        Count::PacketsReceived,
    ),
    (
        "bytes_received",
        "Bytes of datagrams received",
        Count::BytesReceived,
    ),
    ("packets_sent", "Datagrams sent", Count::PacketsSent),
    ("bytes_sent", "Bytes of datagrams sent", Count::BytesSent),
    (
        "rtp_packets_received",
        "RTP packets opened",
        Count::RtpReceived,
    ),
    (
        "rtcp_packets_received",
        "RTCP packets opened",
        Count::RtcpReceived,
    ),
    (
        "rtp_packets_sent",
        "RTP packets sealed for a receiver",
        Count::RtpSent,
    ),
    (
        "rtcp_packets_sent",
        "RTCP packets sealed for a receiver",
        Count::RtcpSent,
    ),
    (
        "receive_errors",
        "Failed receive calls",
        Count::ReceiveErrors,
    ),
    (
        "handovers",
        "Datagrams passed to the worker that owns them",
        Count::Handovers,
    ),
    (
        "handovers_dropped",
        "Messages for another worker that had no room",
        Count::HandoversDropped,
    ),
    (
        "handover_checks_dropped",
        "First connectivity checks for another worker that had no room",
        Count::HandoverChecksDropped,
    ),
    (
        "relayed_packets",
        "Packets passed to other media threads that have a part of their conference",
        Count::Relayed,
    ),
    (
        "relayed_packets_unknown",
        "Packets of endpoints that the other media thread did not know, or no longer",
        Count::RelayedUnknown,
    ),
    (
        "conferences_created",
        "Conferences created",
        Count::ConferencesCreated,
    ),
    (
        "conferences_ended",
        "Conferences ended",
        Count::ConferencesEnded,
    ),
    (
        "endpoints_created",
        "Endpoints created",
        Count::EndpointsCreated,
    ),
    (
        "endpoints_expired",
        "Endpoints removed for want of a sign of life",
        Count::EndpointsExpired,
    ),
    (
        "endpoints_disconnected",
        "Times an endpoint fell silent",
        Count::EndpointsDisconnected,
    ),
    (
        "endpoints_reconnected",
        "Times a silent endpoint was heard again",
        Count::EndpointsReconnected,
    ),
    (
        "transports_connected",
        "Endpoints whose ICE and DTLS came up",
        Count::TransportsConnected,
    ),
    (
        "endpoints_without_channel",
        "Endpoints that had no bridge channel half a minute after they connected",
        Count::EndpointsWithoutChannel,
    ),
    (
        "endpoints_worn_out",
        "Endpoints to be made anew because their keys have sealed enough sources",
        Count::EndpointsWornOut,
    ),
    (
        "endpoints_refused",
        "Newcomers refused while there was too much to do",
        Count::EndpointsRefused,
    ),
    (
        "dominant_speaker_changes",
        "Times somebody else became the dominant speaker",
        Count::DominantSpeakerChanges,
    ),
    (
        "sources_refused",
        "Sources not taken: foreign name, SSRC in use, or too many",
        Count::SourcesRefused,
    ),
    (
        "rtp_packets_hidden",
        "RTP packets of padding or silence that nobody needs",
        Count::MediaHidden,
    ),
    (
        "rtp_packets_unranked",
        "RTP packets of audio that was not among the loudest",
        Count::MediaUnranked,
    ),
    (
        "preemptive_keyframe_requests",
        "Keyframes asked for because somebody began to speak",
        Count::PreemptiveKeyframes,
    ),
    (
        "keyframe_requests_received",
        "Keyframe requests of receivers, as far as they were taken",
        Count::KeyframeRequestsReceived,
    ),
    (
        "keyframe_requests_refused",
        "Keyframe requests of receivers beyond what one may ask",
        Count::KeyframeRequestsRefused,
    ),
    (
        "allocations",
        "Times layers were chosen for a receiver",
        Count::Allocations,
    ),
    (
        "padding_bytes",
        "Bytes of padding sent to find out what paths carry",
        Count::PaddingBytes,
    ),
    (
        "unmatched_feedback",
        "Numbers in transport-wide feedback that were never sent, or too long ago",
        Count::UnmatchedFeedback,
    ),
    ("panics", "Bugs that ended a conference", Count::Panics),
    (
        "worker_restarts",
        "Bugs that ended all conferences of a media thread, which began anew",
        Count::WorkerRestarts,
    ),
    (
        "keyframe_requests_sent",
        "Keyframe requests sent to senders",
        Count::KeyframeRequestsSent,
    ),
    (
        "nacks_sent",
        "Packets asked for again at senders",
        Count::NacksSent,
    ),
    (
        "retransmissions",
        "RTX packets sent to receivers",
        Count::Retransmissions,
    ),
];

const GAUGES: &[Plain] = &[
    ("conferences", "Conferences now", Count::Conferences),
    ("endpoints", "Endpoints now", Count::Endpoints),
    (
        "endpoints_connected",
        "Endpoints whose ICE and DTLS are up now",
        Count::EndpointsConnected,
    ),
    (
        "endpoints_inactive",
        "Endpoints without a sign of life now",
        Count::EndpointsInactive,
    ),
    (
        "addresses",
        "Entries of the address tables",
        Count::Addresses,
    ),
];

const SEND_ERRORS: &[(&str, Count)] = &[
    ("would_block", Count::SendWouldBlock),
    ("no_buffers", Count::SendNoBuffers),
    ("too_large", Count::SendTooLarge),
    ("unreachable", Count::SendUnreachable),
    ("other", Count::SendOther),
];

const FAILURES: &[(&str, Count)] = &[
    ("ice", Count::TransportsFailedIce),
    ("dtls", Count::TransportsFailedDtls),
];

/// Drops outside of a transport; the transport has reasons of its own.
pub(crate) const DROPS: &[(&str, Count)] = &[
    ("unknown_address", Count::DroppedUnknownAddress),
    ("unknown_ufrag", Count::DroppedUnknownUfrag),
    ("unroutable", Count::DroppedUnroutable),
    ("no_path", Count::DroppedNoPath),
    ("not_sealed", Count::DroppedUnsealed),
    ("over_bitrate", Count::DroppedOverBitrate),
    ("over_packet_rate", Count::DroppedOverPackets),
    ("over_rtcp_rate", Count::DroppedOverRtcp),
    ("over_check_rate", Count::DroppedOverChecks),
    ("media_malformed", Count::MediaMalformed),
    ("unknown_payload_type", Count::MediaUnknownPayloadType),
    ("unknown_ssrc", Count::MediaUnknownSsrc),
    ("forbidden", Count::MediaForbidden),
    ("over_audio_rate", Count::MediaOverAudio),
    ("over_repair_rate", Count::OverRepairs),
    ("duplicate", Count::MediaDuplicate),
    ("other_encoding", Count::MediaOtherEncoding),
];

impl BridgeCollector {
    /// Puts the metrics on `registry`, as `bridge_…`.
    pub(crate) fn register(service: &Arc<Service>, registry: &mut Registry) {
        registry
            .sub_registry_with_prefix("bridge")
            .register_collector(Box::new(Self(Arc::downgrade(service))));
    }
}

/// The counts of all workers together.
pub(crate) fn totals(service: &Service) -> Counters {
    let mut totals = Counters::default();
    for worker in &service.workers {
        totals.merge(&worker.counters.read());
    }
    totals
}

impl Collector for BridgeCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let Some(service) = self.0.upgrade() else {
            return Ok(());
        };
        let totals = totals(&service);
        for (name, help, count) in COUNTERS {
            counter(&mut encoder, name, help, totals.get(*count))?;
        }
        for (name, help, count) in GAUGES {
            gauge(&mut encoder, name, help, totals.get(*count))?;
        }
        let alive = service.workers.iter().filter(|w| w.is_alive()).count();
        gauge(&mut encoder, "workers", "Media threads alive", alive as u64)?;

        let rows = |list: &'static [(&str, Count)]| {
            let totals = &totals;
            list.iter()
                .map(|(label, count)| (*label, totals.get(*count)))
        };
        let by_transport = DropReason::ALL
            .iter()
            .map(|reason| (reason.as_str(), totals.drops(*reason)));
        let drops: Vec<_> = rows(DROPS).chain(by_transport).collect();
        let help = "Packets dropped, by reason";
        family(&mut encoder, "packets_dropped", help, "reason", drops)?;
        let help = "Packets the system would not send, by error";
        family(
            &mut encoder,
            "send_errors",
            help,
            "error",
            rows(SEND_ERRORS),
        )?;
        let help = "Endpoints whose transport failed, by part";
        family(
            &mut encoder,
            "transports_failed",
            help,
            "part",
            rows(FAILURES),
        )?;
        encode_work(&mut encoder, &service, &totals)?;
        self.encode_channels(&mut encoder, &service, &totals)
    }
}

/// How much there is to do, how long it takes, and what is left off.
fn encode_work(
    encoder: &mut DescriptorEncoder<'_>,
    service: &Service,
    totals: &Counters,
) -> Result<(), fmt::Error> {
    let figures = service.figures();
    decimal(
        encoder,
        "stress",
        "Load of the busiest media thread, 1 is the limit of what is done well",
        figures.stress(),
    )?;
    let help = "Load of each media thread, 1 is the limit of what is done well";
    let mut family = encoder.encode_descriptor("worker_stress", help, None, MetricType::Gauge)?;
    for (index, worker) in figures.workers.iter().enumerate() {
        let labels = [("worker", index.to_string())];
        ConstGauge::new(worker.stress).encode(family.encode_family(&labels)?)?;
    }
    let help = "Steps taken to leave things off, by media thread: 0 nothing, 1 probing, 2 to 5 \
                pictures, 6 and 7 their height, 8 newcomers";
    let mut family = encoder.encode_descriptor("worker_shedding", help, None, MetricType::Gauge)?;
    for (index, worker) in figures.workers.iter().enumerate() {
        let labels = [("worker", index.to_string())];
        let step = i64::try_from(worker.step).unwrap_or(i64::MAX);
        ConstGauge::new(step).encode(family.encode_family(&labels)?)?;
    }
    let help = "Time each media thread has worked";
    let unit = Some(&Unit::Seconds);
    let mut family = encoder.encode_descriptor("worker_busy", help, unit, MetricType::Counter)?;
    for (index, worker) in service.workers.iter().enumerate() {
        let labels = [("worker", index.to_string())];
        let busy = worker.counters.read().get(Count::BusyMicroseconds);
        ConstCounter::new(busy as f64 / 1e6).encode(family.encode_family(&labels)?)?;
    }
    let help = "Newcomers are refused because no media thread has room for them";
    gauge(encoder, "overloaded", help, figures.is_overloaded().into())?;
    let help = "New meetings should go elsewhere";
    gauge(encoder, "drain", help, service.drain.is_on().into())?;
    counter(
        encoder,
        "receive_buffer_drops",
        "Datagrams that did not fit into a socket's buffer",
        figures.lost(),
    )?;
    let help = "Length of the conferences that have ended";
    let ended = totals.get(Count::ConferenceMicroseconds) as f64 / 1e6;
    ConstCounter::new(ended).encode(encoder.encode_descriptor(
        "conference",
        help,
        Some(&Unit::Seconds),
        MetricType::Counter,
    )?)?;
    encode_survey(encoder, &figures)?;
    if let Some(rtt) = figures.survey.average_rtt() {
        let help = "Average round trip time of the endpoints";
        ConstGauge::new(rtt.as_secs_f64()).encode(encoder.encode_descriptor(
            "rtt",
            help,
            Some(&Unit::Seconds),
            MetricType::Gauge,
        )?)?;
    }
    let steps = DELAY_STEPS.iter().map(Duration::as_secs_f64);
    histogram(
        encoder,
        "forwarding_delay",
        "From a datagram's arrival at this machine to the end of the turn in which what it caused \
         was given to the system",
        Some(&Unit::Seconds),
        totals.get(Count::DelayMicroseconds) as f64 / 1e6,
        (steps, totals.delays()),
    )?;
    histogram(
        encoder,
        "conference_endpoints",
        "Conferences now, by how many endpoints they have",
        None,
        figures.survey.endpoints as f64,
        (SIZE_STEPS.iter().map(|n| *n as f64), &figures.survey.sizes),
    )
}

impl BridgeCollector {
    fn encode_channels(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        service: &Service,
        totals: &Counters,
    ) -> Result<(), fmt::Error> {
        let counters = &service.channels.counters;
        let read = |value: &AtomicU64| value.load(Ordering::Relaxed);
        let help = "Bridge channel sockets open now";
        gauge(encoder, "channel_sockets", help, read(&counters.sockets))?;
        let rows: [(&str, &str, &AtomicU64); 5] = [
            (
                "channel_sockets_opened",
                "Bridge channel sockets accepted",
                &counters.opened,
            ),
            (
                "channel_sockets_replaced",
                "Sockets that took another's place",
                &counters.replaced,
            ),
            (
                "channel_sockets_refused",
                "Requests for a channel refused",
                &counters.refused,
            ),
            (
                "channel_messages_received",
                "Bridge channel messages received",
                &counters.received,
            ),
            (
                "channel_messages_sent",
                "Bridge channel messages sent",
                &counters.sent,
            ),
        ];
        for (name, help, value) in rows {
            counter(encoder, name, help, read(value))?;
        }
        let dropped = [
            ("malformed", read(&counters.malformed)),
            ("overflow", read(&counters.overflowed)),
            ("refused", totals.get(Count::ChannelMessagesRefused)),
        ];
        let help = "Bridge channel messages dropped, by reason";
        family(encoder, "channel_messages_dropped", help, "reason", dropped)?;
        let closed = [
            ("too_slow", read(&counters.closed_too_slow)),
            ("idle", read(&counters.closed_idle)),
        ];
        let help = "Bridge channel sockets closed for cause";
        family(encoder, "channel_sockets_closed", help, "cause", closed)
    }
}

fn counter(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    value: u64,
) -> Result<(), fmt::Error> {
    let metric = ConstCounter::new(value);
    metric.encode(encoder.encode_descriptor(name, help, None, MetricType::Counter)?)
}

fn gauge(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    value: u64,
) -> Result<(), fmt::Error> {
    let metric = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
    metric.encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)
}

/// What a look at everybody gave.
fn encode_survey(encoder: &mut DescriptorEncoder<'_>, figures: &Figures) -> Result<(), fmt::Error> {
    let survey = &figures.survey;
    for (name, help, value) in [
        (
            "endpoints_sending_audio",
            "Endpoints whose audio came within two seconds",
            survey.sending_audio,
        ),
        (
            "endpoints_sending_video",
            "Endpoints whose video came within two seconds",
            survey.sending_video,
        ),
        (
            "endpoints_receive_only",
            "Endpoints that have sent neither for two seconds",
            survey.receive_only,
        ),
        (
            "endpoints_channel_missing",
            "Connected endpoints without a bridge channel now",
            survey.without_channel,
        ),
        (
            "endpoints_with_suspended_sources",
            "Receivers whose path does not carry all that they want",
            survey.with_suspended,
        ),
        (
            "endpoints_oversending",
            "Receivers whose screen share takes more than their path is thought to carry",
            survey.oversending,
        ),
        (
            "suspended_sources",
            "Sources that receivers want and their paths do not carry",
            survey.suspended,
        ),
        ("slots", "Slots of all receivers", survey.slots),
        (
            "slots_used",
            "Slots of all receivers with a source on them",
            survey.slots_used,
        ),
        (
            "estimated_receivers",
            "Receivers whose path is estimated",
            survey.estimates,
        ),
        (
            "estimated_bits_per_second",
            "What these paths are thought to carry together",
            survey.estimated,
        ),
    ] {
        gauge(encoder, name, help, value)?;
    }
    let help = "Video sent to receivers now, by its height in pixels";
    let mut family = encoder.encode_descriptor("forwarded_video", help, None, MetricType::Gauge)?;
    let heights = ["180", "360", "720", "more"];
    for (height, count) in heights.into_iter().zip(survey.pictures) {
        let labels = [("height", height)];
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        ConstGauge::new(count).encode(family.encode_family(&labels)?)?;
    }
    let help = "Part of the packets lost on the way from clients (in) and to them (out), as streams \
                report it";
    let mut family = encoder.encode_descriptor("loss_ratio", help, None, MetricType::Gauge)?;
    let ways = [
        ("in", figures.loss.incoming),
        ("out", figures.loss.outgoing),
    ];
    for (way, loss) in ways {
        if let Some(loss) = loss {
            let labels = [("way", way)];
            ConstGauge::new(loss).encode(family.encode_family(&labels)?)?;
        }
    }
    Ok(())
}

fn decimal(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    value: f64,
) -> Result<(), fmt::Error> {
    let metric = ConstGauge::new(value);
    metric.encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)
}

/// `counts` has one more entry than there are steps, for what is beyond them.
fn histogram(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    unit: Option<&Unit>,
    sum: f64,
    (steps, counts): (impl Iterator<Item = f64>, &[u64]),
) -> Result<(), fmt::Error> {
    let ends = steps.chain([f64::INFINITY]);
    let buckets: Vec<(f64, u64)> = ends.zip(counts.iter().copied()).collect();
    encoder
        .encode_descriptor(name, help, unit, MetricType::Histogram)?
        .encode_histogram::<[(&str, &str); 0]>(sum, counts.iter().sum(), &buckets, None)
}

fn family(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    label: &'static str,
    rows: impl IntoIterator<Item = (&'static str, u64)>,
) -> Result<(), fmt::Error> {
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    for (value, count) in rows {
        let labels = [(label, value)];
        ConstCounter::new(count).encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}
