use crate::server::Listener;
use althing_telemetry::Registry;
use axum::http::StatusCode;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    listener: &'static str,
    status: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

/// What the door counts. Cheap to clone; clones count together.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    requests: Family<RequestLabels, Counter>,
    refused: Family<ReasonLabel, Counter>,
    pub(crate) connections: Gauge,
    pub(crate) websockets: Gauge,
    pub(crate) forwarding_ignored: Counter,
    pub(crate) certificate_expiry: Gauge,
}

impl Metrics {
    /// Fresh counters, registered.
    #[must_use]
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        let registry = registry.sub_registry_with_prefix("http");
        registry.register(
            "requests",
            "HTTP requests answered, by listener and class of status",
            metrics.requests.clone(),
        );
        registry.register(
            "refused",
            "Connections and requests refused at the door, by reason",
            metrics.refused.clone(),
        );
        registry.register(
            "connections",
            "TCP connections open, WebSockets included",
            metrics.connections.clone(),
        );
        registry.register("websockets", "WebSockets open", metrics.websockets.clone());
        registry.register(
            "forwarding_ignored",
            "Requests whose X-Forwarded headers came from nobody in http.trusted_proxies",
            metrics.forwarding_ignored.clone(),
        );
        registry.register(
            "certificate_expiry_timestamp_seconds",
            "When the certificate of the HTTPS listener ends, in seconds since 1970; 0 without one",
            metrics.certificate_expiry.clone(),
        );
        metrics
    }

    pub(crate) fn answered(&self, listener: Listener, status: StatusCode) {
        let status = match status.as_u16() {
            100..=199 => "1xx",
            200..=299 => "2xx",
            300..=399 => "3xx",
            400..=499 => "4xx",
            _ => "5xx",
        };
        let listener = listener.as_str();
        self.requests
            .get_or_create(&RequestLabels { listener, status })
            .inc();
    }

    pub(crate) fn refused(&self, reason: &'static str) {
        self.refused.get_or_create(&ReasonLabel { reason }).inc();
    }
}
