use althing_room::Action;
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
    /// A new room, while no more are begun.
    Draining,
    /// Somebody new, while there is too much to do.
    Overloaded,
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
    /// The client may not log in.
    Token,
    /// As many sessions as one address may have.
    AddressSessions,
    /// More connections than one address may open.
    ConnectionRate,
    /// More joins than one address, or one session, may make.
    JoinRate,
    /// A session said so much that it had to wait.
    SessionStanzas,
    /// A session sent so many bytes that it had to wait.
    SessionBytes,
    /// The sessions of one address said so much that they had to wait.
    AddressStanzas,
    /// The sessions of one address sent so many bytes that they had to wait.
    AddressBytes,
    /// A lost connection whose session could not wait: too many do.
    Hibernating,
    /// A session to go on with that is not there.
    Resume,
    /// A BOSH request that makes no sense, or too many of them.
    Bosh,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Refused {
    reason: Reason,
}

/// What the door counts; `althing_signalling_*`.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    pub(crate) sessions: Gauge,
    pub(crate) hibernating: Gauge,
    pub(crate) resumed: Counter,
    pub(crate) rooms: Gauge,
    pub(crate) occupants: Gauge,
    pub(crate) stanzas_received: Counter,
    pub(crate) stanzas_sent: Counter,
    pub(crate) queue_overflows: Counter,
    pub(crate) bridge_requests_failed: Counter,
    pub(crate) room_panics: Counter,
    pub(crate) session_panics: Counter,
    refused: Family<Refused, Counter>,
    denied: Family<Denied, Counter>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Denied {
    action: &'static str,
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
            "Client connections now, WebSocket and BOSH",
            metrics.sessions.clone(),
        );
        corner.register(
            "hibernating",
            "Sessions now that wait for their clients to come back",
            metrics.hibernating.clone(),
        );
        corner.register(
            "resumed",
            "Sessions gone on with on another connection",
            metrics.resumed.clone(),
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
            "Sessions, frames and requests refused or made to wait, by reason",
            metrics.refused.clone(),
        );
        corner.register(
            "denied",
            "Attempts of somebody in a room to do what it may not, by action",
            metrics.denied.clone(),
        );
        corner.register_collector(Box::new(Tasks(vec![sessions.clone(), rooms.clone()])));
        metrics
    }

    pub(crate) fn deny(&self, action: Action) {
        let action = action.as_str();
        self.denied.get_or_create(&Denied { action }).inc();
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
