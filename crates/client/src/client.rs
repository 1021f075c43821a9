use crate::occupant::{Occupant, Request};
use crate::stats::Recorder;
use crate::stream::Stream;
use crate::{ClientSettings, ClientStats, Error, Flood, Hub, VideoSettings, Watch};
use althing_model::Entropy;
use althing_xmpp::Element;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How many of the caller's requests wait to be carried out.
const REQUESTS: usize = 32;

/// The operating system's random numbers.
#[derive(Debug)]
struct OsEntropy;

impl Entropy for OsEntropy {
    fn next_u64(&mut self) -> u64 {
        getrandom::u64().expect("checked when the client was made")
    }
}

/// A part of [`ClientStats`] that costs nothing to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Brief {
    /// RTP packets received.
    pub packets: u64,
    /// Bytes of their payloads.
    pub bytes: u64,
    /// Audio packets lost.
    pub audio_lost: u64,
    /// Video packets lost.
    pub video_lost: u64,
    /// Times a picture stood still.
    pub freezes: u64,
    /// Media is connected, or was.
    pub connected: bool,
    /// Somebody was heard.
    pub heard: bool,
    /// The session ended without our doing.
    pub cut_off: bool,
}

/// One occupant without a browser. [`Client::leave`] waits until it has said goodbye; dropping it
/// does not wait, and [`Client::cut`] says nothing.
#[derive(Debug)]
pub struct Client {
    recorder: Arc<Mutex<Recorder>>,
    joined_after: Duration,
    stop: CancellationToken,
    tasks: TaskTracker,
    address: String,
    requests: mpsc::Sender<Request>,
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
    pub async fn join(mut settings: ClientSettings) -> Result<Self, Error> {
        getrandom::u64().map_err(|_| Error::Entropy)?;
        if settings.hub.is_none() && settings.media {
            settings.hub = Some(Hub::start(1).map_err(Error::Media)?);
        }
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
        let (requests, queue) = mpsc::channel(REQUESTS);
        tasks.spawn(occupant.run(queue, stop.clone()));
        tasks.close();
        Ok(Self {
            recorder,
            joined_after,
            stop,
            tasks,
            address,
            requests,
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
        self.request(Request::Stanza(stanza)).await
    }

    async fn request(&self, request: Request) -> Result<(), Error> {
        self.requests
            .send(request)
            .await
            .map_err(|_| Error::Closed { reason: None })
    }

    /// Its endpoint's id: the name it has in the room.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        self.address.rsplit('/').next().unwrap_or_default()
    }

    /// Asks for other video than before.
    ///
    /// # Errors
    /// [`Error::Closed`] when the connection is gone.
    pub async fn watch(&self, watch: Watch) -> Result<(), Error> {
        self.request(Request::Watch(watch)).await
    }

    /// Begins to send one more picture, as a person who shares a screen. The first is called `v1`
    /// beside a camera, `v0` without.
    ///
    /// # Errors
    /// [`Error::Closed`] when the connection is gone.
    pub async fn show(&self, video: VideoSettings) -> Result<(), Error> {
        self.request(Request::Show(video)).await
    }

    /// Asks for keyframes of everything it sees.
    ///
    /// # Errors
    /// [`Error::Closed`] when the connection is gone.
    pub async fn ask_keyframes(&self) -> Result<(), Error> {
        self.request(Request::AskKeyframes).await
    }

    /// Breaks every connection without a word, as a network does.
    pub async fn cut(self) {
        // An error means that it is cut already.
        let _ = self.request(Request::Cut).await;
        self.tasks.wait().await;
    }

    /// Sends what no honest client does, as soon as media is connected. For tests of servers.
    ///
    /// # Errors
    /// [`Error::Closed`] when the connection is gone.
    pub async fn flood(&self, flood: Flood) -> Result<(), Error> {
        self.request(Request::Flood(flood)).await
    }

    /// The few figures that a display wants often.
    #[must_use]
    pub fn brief(&self) -> Brief {
        let recorder = self
            .recorder
            .lock()
            .expect("no holder of the recorder panics");
        Brief {
            packets: recorder.packets,
            bytes: recorder.bytes,
            audio_lost: recorder.audio.lost,
            video_lost: recorder.video.lost,
            freezes: recorder.pictures.freezes,
            connected: recorder.connected_after.is_some(),
            heard: recorder.has_heard(),
            cut_off: recorder.cut_off,
        }
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
