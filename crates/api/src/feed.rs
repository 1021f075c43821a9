//! What happens in rooms, sorted to those who want to know of it.

use crate::audit;
use crate::clock;
use crate::metrics::Metrics;
use crate::webhook;
use althing_bus::{Delivery, Subscription};
use althing_control::rooms::RoomNotice;
use althing_model::NodeId;
use futures_util::FutureExt as _;
use serde_json::{Map, Value};
use std::collections::HashMap;
use tokio_util::sync::CancellationToken;

/// Everybody who wants to know.
#[derive(Debug)]
pub(crate) struct Feed {
    pub(crate) audit: Option<audit::Sender>,
    /// Whether the audit log has who was there, too.
    pub(crate) attendance: bool,
    pub(crate) hooks: Vec<webhook::Sender>,
    pub(crate) metrics: Metrics,
}

impl Feed {
    /// Until `stop`, and then what has been told by then.
    pub(crate) async fn run(self, mut notices: Subscription, stop: CancellationToken) {
        let mut numbers = HashMap::new();
        loop {
            let delivery = tokio::select! {
                biased;
                delivery = notices.next() => delivery,
                () = stop.cancelled() => None,
            };
            let Some(delivery) = delivery else { break };
            self.take(&delivery, &mut numbers);
        }
        while let Some(Some(delivery)) = notices.next().now_or_never() {
            self.take(&delivery, &mut numbers);
        }
    }

    fn take(&self, delivery: &Delivery, numbers: &mut HashMap<NodeId, u64>) {
        let notice = match althing_control::decode::<RoomNotice>(&delivery.payload) {
            Ok(notice) => notice,
            Err(error) => return tracing::warn!(%error, "what happened in a room cannot be read"),
        };
        let last = numbers.entry(notice.node.clone()).or_insert(0);
        let lost = notice.number.saturating_sub(*last).saturating_sub(1);
        *last = notice.number;
        if lost > 0 {
            self.metrics.notices_lost.inc_by(lost);
            tracing::error!(lost, "what happened in rooms was lost to a full queue");
            if let Some(audit) = &self.audit {
                audit.lost(lost);
            }
        }
        let what = written(&notice);
        for hook in &self.hooks {
            hook.tell(notice.what.name(), &what);
        }
        if let Some(audit) = &self.audit
            && (self.attendance || notice.what.is_moderation())
        {
            audit.line(notice.at_millis, &what);
        }
    }
}

/// A notice as it is written outside: without the numbers of the bus, its time for people.
fn written(notice: &RoomNotice) -> Map<String, Value> {
    let mut map = match serde_json::to_value(notice) {
        Ok(Value::Object(map)) => map,
        // A notice is an object with names for keys.
        Ok(_) | Err(_) => Map::new(),
    };
    for inside in ["node", "number", "at_millis"] {
        map.remove(inside);
    }
    map.insert("at".to_owned(), clock::written(notice.at_millis).into());
    map
}

#[cfg(test)]
mod tests;
