use althing_telemetry::Registry;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    code: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Dropped {
    reason: &'static str,
}

/// What the interface counts; `althing_api_*`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Metrics {
    requests: Family<Answered, Counter>,
    pub(crate) notices_lost: Counter,
    pub(crate) audit_lines: Counter,
    pub(crate) audit_lost: Counter,
    pub(crate) webhooks_delivered: Counter,
    pub(crate) webhook_attempts_failed: Counter,
    dropped: Family<Dropped, Counter>,
    pub(crate) webhooks_waiting: Gauge,
}

impl Metrics {
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        let corner = registry.sub_registry_with_prefix("api");
        corner.register(
            "requests",
            "Requests answered, by code of the error or ok",
            metrics.requests.clone(),
        );
        corner.register(
            "notices_lost",
            "Things that happened in rooms and were lost on the way to audit log and webhooks",
            metrics.notices_lost.clone(),
        );
        corner.register(
            "audit_lines",
            "Lines written into the audit log",
            metrics.audit_lines.clone(),
        );
        corner.register(
            "audit_lost",
            "Lines that could not be written into the audit log",
            metrics.audit_lost.clone(),
        );
        corner.register(
            "webhooks_delivered",
            "Deliveries that a webhook took",
            metrics.webhooks_delivered.clone(),
        );
        corner.register(
            "webhook_attempts_failed",
            "Attempts to deliver that failed; each delivery has six",
            metrics.webhook_attempts_failed.clone(),
        );
        corner.register(
            "webhooks_dropped",
            "Deliveries given up, by reason: queue full, every attempt failed, program ended",
            metrics.dropped.clone(),
        );
        corner.register(
            "webhooks_waiting",
            "Deliveries that wait now, in the queues of all webhooks",
            metrics.webhooks_waiting.clone(),
        );
        metrics
    }

    pub(crate) fn answered(&self, code: &'static str) {
        self.requests.get_or_create(&Answered { code }).inc();
    }

    pub(crate) fn dropped(&self, reason: &'static str) {
        self.dropped.get_or_create(&Dropped { reason }).inc();
    }

    #[cfg(test)]
    pub(crate) fn dropped_for(&self, reason: &'static str) -> u64 {
        self.dropped.get_or_create(&Dropped { reason }).get()
    }
}
