//! Before the end: new meetings go elsewhere, and those that are here may be waited for.

use althing_bridge::Drain;
use althing_http::{Draining, Health};
use althing_signalling::{Census, Signalling};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// How often the log says what is still waited for.
const SAY_EVERY: Duration = Duration::from_secs(60);

/// What `/health` is answered from.
#[derive(Debug)]
pub(crate) struct Wait {
    drain: Drain,
    signalling: Signalling,
    until: OnceLock<Instant>,
}

impl Wait {
    pub(crate) const fn new(drain: Drain, signalling: Signalling) -> Self {
        Self {
            drain,
            signalling,
            until: OnceLock::new(),
        }
    }

    /// Begins no more meetings, and waits until the last one is over, or for so long.
    pub(crate) async fn meetings_over(&self, patience: Duration) {
        let now = Instant::now();
        let until = *self.until.get_or_init(|| now + patience);
        self.drain.for_good();
        let Census { rooms, occupants } = self.signalling.census();
        tracing::info!(
            rooms,
            occupants,
            timeout_seconds = patience.as_secs(),
            "draining: no new meetings, waiting for those that go on"
        );
        let say = async {
            let mut ticks = tokio::time::interval(SAY_EVERY);
            ticks.tick().await;
            loop {
                ticks.tick().await;
                let Census { rooms, occupants } = self.signalling.census();
                let left = until.saturating_duration_since(Instant::now()).as_secs();
                tracing::info!(rooms, occupants, seconds_left = left, "draining");
            }
        };
        tokio::select! {
            () = self.signalling.no_rooms() => tracing::info!("drained"),
            () = tokio::time::sleep_until(until.into()) => {
                let Census { rooms, occupants } = self.signalling.census();
                tracing::warn!(rooms, occupants, "drain timeout is over while people meet");
            }
            () = say => {}
        }
    }
}

impl Health for Wait {
    fn draining(&self) -> Option<Draining> {
        if !self.drain.is_on() {
            return None;
        }
        let Census { rooms, occupants } = self.signalling.census();
        let left = |until: &Instant| until.saturating_duration_since(Instant::now());
        Some(Draining {
            rooms,
            occupants,
            time_left: self.until.get().map(left),
        })
    }
}
