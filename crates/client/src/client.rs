use crate::occupant::Occupant;
use crate::stats::Recorder;
use crate::stream::Stream;
use crate::{ClientSettings, ClientStats, Error};
use althing_model::Entropy;
use althing_xmpp::Element;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How many stanzas of the caller's wait to be sent.
const STANZAS: usize = 32;

/// The operating system's random numbers.
#[derive(Debug)]
struct OsEntropy;

impl Entropy for OsEntropy {
    fn next_u64(&mut self) -> u64 {
        getrandom::u64().expect("checked when the client was made")
    }
}

/// One occupant without a browser. Dropping it cuts its connections; [`Client::leave`] says goodbye.
#[derive(Debug)]
pub struct Client {
    recorder: Arc<Mutex<Recorder>>,
    joined_after: Duration,
    stop: CancellationToken,
    tasks: TaskTracker,
    address: String,
    stanzas: mpsc::Sender<Element>,
}

impl Drop for Client {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Client {
    /// Joins a room; returns once the room says that we are in it. Media follows by itself as soon
    /// as somebody else is there.
    ///
    /// # Errors
    /// [`Error`] when the server cannot be reached, refuses, or takes longer than
    /// [`ClientSettings::join_timeout`].
    pub async fn join(settings: ClientSettings) -> Result<Self, Error> {
        getrandom::u64().map_err(|_| Error::Entropy)?;
        let limit = settings.join_timeout;
        let started = Instant::now();
        let tasks = TaskTracker::new();
        let joining = async {
            let stream = Stream::connect(&settings).await?;
            Occupant::join(
                settings,
                stream,
                started,
                tasks.clone(),
                Box::new(OsEntropy),
            )
            .await
        };
        let occupant = tokio::time::timeout(limit, joining)
            .await
            .map_err(|_| Error::Timeout(limit))??;
        let joined_after = started.elapsed();
        let recorder = occupant.recorder();
        let address = occupant.address();
        let stop = CancellationToken::new();
        let (stanzas, queue) = mpsc::channel(STANZAS);
        tasks.spawn(occupant.run(queue, stop.clone()));
        tasks.close();
        Ok(Self {
            recorder,
            joined_after,
            stop,
            tasks,
            address,
            stanzas,
        })
    }

    /// Its address in the room, `room@service/nick`.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Sends a stanza of the caller's own making, for instance what a moderator would; its answer,
    /// if any, is not waited for. Waits while 32 others are on their way.
    ///
    /// # Errors
    /// [`Error::Closed`] when the connection is gone.
    pub async fn send(&self, stanza: Element) -> Result<(), Error> {
        self.stanzas
            .send(stanza)
            .await
            .map_err(|_| Error::Closed { reason: None })
    }

    /// What was measured so far.
    #[must_use]
    pub fn stats(&self) -> ClientStats {
        self.recorder
            .lock()
            .expect("no holder of the recorder panics")
            .snapshot(self.joined_after)
    }

    /// Leaves the room and waits for every task to end.
    pub async fn leave(self) {
        self.stop.cancel();
        if tokio::time::timeout(Duration::from_secs(5), self.tasks.wait())
            .await
            .is_err()
        {
            tracing::warn!("leaving took too long; connections are cut");
        }
    }
}
