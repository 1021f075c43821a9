//! Whether there is room for more people, as the bridge says.

use crate::Shared;
use althing_bus::Subscription;
use althing_control::BridgeStatus;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What the bridge said last. Before it has said anything, everybody is welcome.
#[derive(Debug, Default)]
pub(crate) struct Admission {
    drain: AtomicBool,
    overloaded: AtomicBool,
}

impl Admission {
    /// New meetings should be held elsewhere.
    pub(crate) fn drains(&self) -> bool {
        self.drain.load(Ordering::Relaxed)
    }

    /// Nobody should come in for now, not even to where others are.
    pub(crate) fn is_overloaded(&self) -> bool {
        self.overloaded.load(Ordering::Relaxed)
    }

    fn note(&self, status: &BridgeStatus) {
        self.drain.store(status.drain, Ordering::Relaxed);
        self.overloaded.store(status.overloaded, Ordering::Relaxed);
    }
}

/// Listens to the bridge until the rooms end.
pub(crate) async fn listen(shared: Arc<Shared>, mut said: Subscription) {
    loop {
        let delivery = tokio::select! {
            delivery = said.next() => delivery,
            () = shared.stop_rooms.cancelled() => None,
        };
        let Some(delivery) = delivery else { return };
        match althing_control::decode::<BridgeStatus>(&delivery.payload) {
            Ok(status) if status.node == shared.settings.bridge => shared.admission.note(&status),
            // Another node's.
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "the state of a bridge cannot be read"),
        }
    }
}
