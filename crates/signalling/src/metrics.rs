use althing_telemetry::Registry;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeLabelSet, EncodeLabelValue, EncodeMetric,
};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use tokio_util::task::TaskTracker;

/// Why something was refused or ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(crate) enum Reason {
    /// The handshake did not offer the subprotocol `xmpp`.
    Subprotocol,
    /// As many sessions as allowed.
    Sessions,
    /// As many rooms as allowed.
    Rooms,
    /// As many rooms as one address may make.
    RoomRate,
    /// The client broke a rule of the stream.
    Stream,
    /// The client sent something else than text.
    Binary,
    /// The client was silent too long.
    Silent,
    /// The client did not log in in time.
    Login,
    /// A conference request that makes no sense.
    Request,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Refused {
    reason: Reason,
}

/// What the door counts; `althing_signalling_*`.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    pub(crate) sessions: Gauge,
    pub(crate) rooms: Gauge,
    pub(crate) occupants: Gauge,
    pub(crate) stanzas_received: Counter,
    pub(crate) stanzas_sent: Counter,
    pub(crate) queue_overflows: Counter,
    pub(crate) bridge_requests_failed: Counter,
    pub(crate) room_panics: Counter,
    pub(crate) session_panics: Counter,
    refused: Family<Refused, Counter>,
}

impl Metrics {
    pub(crate) fn register(
        registry: &mut Registry,
        sessions: &TaskTracker,
        rooms: &TaskTracker,
    ) -> Self {
        let metrics = Self::default();
        let corner = registry.sub_registry_with_prefix("signalling");
        corner.register(
            "sessions",
            "WebSocket sessions now",
            metrics.sessions.clone(),
        );
        corner.register("rooms", "Rooms now", metrics.rooms.clone());
        corner.register(
            "occupants",
            "Occupants of all rooms now, the focus not counted",
            metrics.occupants.clone(),
        );
        corner.register(
            "stanzas_received",
            "Stanzas received from clients",
            metrics.stanzas_received.clone(),
        );
        corner.register(
            "stanzas_sent",
            "Stanzas handed to the sockets of clients",
            metrics.stanzas_sent.clone(),
        );
        corner.register(
            "queue_overflows",
            "Sessions closed because they did not take their frames",
            metrics.queue_overflows.clone(),
        );
        corner.register(
            "bridge_requests_failed",
            "Requests to a bridge that had no usable answer",
            metrics.bridge_requests_failed.clone(),
        );
        corner.register(
            "room_panics",
            "Rooms that ended by a fault of ours",
            metrics.room_panics.clone(),
        );
        corner.register(
            "session_panics",
            "Sessions that ended by a fault of ours",
            metrics.session_panics.clone(),
        );
        corner.register(
            "refused",
            "Sessions, frames and requests refused, by reason",
            metrics.refused.clone(),
        );
        corner.register_collector(Box::new(Tasks(vec![sessions.clone(), rooms.clone()])));
        metrics
    }

    pub(crate) fn refuse(&self, reason: Reason) {
        self.refused.get_or_create(&Refused { reason }).inc();
    }
}

/// The live tasks, read when somebody looks.
#[derive(Debug)]
struct Tasks(Vec<TaskTracker>);

impl Collector for Tasks {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let tasks: usize = self.0.iter().map(TaskTracker::len).sum();
        let gauge = ConstGauge::new(i64::try_from(tasks).unwrap_or(i64::MAX));
        let metric = encoder.encode_descriptor(
            "tasks",
            "Live tasks: one for each session and room, and one for what bridges say",
            None,
            gauge.metric_type(),
        )?;
        gauge.encode(metric)
    }
}

/// Counts one up, and down again when dropped.
#[derive(Debug)]
pub(crate) struct Held(Gauge);

impl Held {
    pub(crate) fn new(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.dec();
    }
}
