//! The bridge channel from the client's side: asks for video, learns which slot carries whom.

use crate::media::{self, Command, Mapping};
use crate::stats::Recorder;
use crate::stream::open_socket;
use althing_colibri::{BridgeMessage, ClientMessage, Constraint, VideoConstraints};
use althing_model::MediaKind;
use futures_util::{SinkExt, StreamExt};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;
use tokio_util::sync::CancellationToken;

/// The first delay before opening a lost channel again; doubled up to a minute.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(60);

/// Everything the channel's task owns.
pub(crate) struct Channel {
    pub(crate) url: String,
    pub(crate) accept_any_certificate: bool,
    pub(crate) receive_height: i32,
    pub(crate) own_video: Option<String>,
    pub(crate) media: mpsc::Sender<Command>,
    pub(crate) recorder: Arc<Mutex<Recorder>>,
}

impl Channel {
    /// Keeps the channel open until told to stop.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let mut retry = FIRST_RETRY;
        while !stop.is_cancelled() {
            let opened = tokio::select! {
                () = stop.cancelled() => return,
                opened = self.session(&stop) => opened,
            };
            self.note(|r| r.channel_open = false);
            retry = if opened {
                FIRST_RETRY
            } else {
                (retry * 2).min(LONGEST_RETRY)
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(retry) => {}
            }
        }
    }

    /// One socket's life; whether it ever opened.
    async fn session(&self, stop: &CancellationToken) -> bool {
        let mut socket = match open_socket(&self.url, None, self.accept_any_certificate).await {
            Ok(socket) => socket,
            Err(error) => {
                tracing::debug!(%error, "the bridge channel did not open");
                return false;
            }
        };
        self.note(|r| r.channel_open = true);
        let wanted = ClientMessage::ReceiverVideoConstraints(VideoConstraints {
            last_n: Some(if self.receive_height == 0 { 0 } else { -1 }),
            default_constraints: Some(Constraint::height(self.receive_height)),
            ..VideoConstraints::default()
        });
        if socket.send(Message::text(wanted.to_json())).await.is_err() {
            return true;
        }
        loop {
            let message = tokio::select! {
                () = stop.cancelled() => {
                    let _ = socket.close(None).await;
                    return true;
                }
                message = socket.next() => message,
            };
            match message {
                Some(Ok(Message::Text(text))) => match BridgeMessage::parse(text.as_str()) {
                    Ok(message) => self.message(message).await,
                    Err(error) => tracing::debug!(%error, "bridge message not understood"),
                },
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return true,
            }
        }
    }

    async fn message(&self, message: BridgeMessage) {
        self.note(|r| r.channel_messages += 1);
        let command = match message {
            BridgeMessage::AudioSourcesMap { mapped_sources } => Command::Map(
                mapped_sources
                    .iter()
                    .map(|slot| Mapping {
                        ssrc: slot.ssrc,
                        rtx: None,
                        owner: media::owner_of(slot.owner.as_str()),
                        kind: MediaKind::Audio,
                    })
                    .collect(),
            ),
            BridgeMessage::VideoSourcesMap { mapped_sources } => Command::Map(
                mapped_sources
                    .iter()
                    .map(|slot| Mapping {
                        ssrc: slot.ssrc,
                        rtx: Some(slot.rtx),
                        owner: media::owner_of(slot.owner.as_str()),
                        kind: MediaKind::Video,
                    })
                    .collect(),
            ),
            BridgeMessage::SenderSourceConstraints {
                source_name,
                max_height,
            } if self.own_video.as_deref() == Some(source_name.as_str()) => {
                Command::WantVideo(max_height != 0)
            }
            _ => return,
        };
        // A full queue is waited for: see `Command`.
        let _ = self.media.send(command).await;
    }

    fn note(&self, change: impl FnOnce(&mut Recorder)) {
        change(
            &mut self
                .recorder
                .lock()
                .expect("no holder of the recorder panics"),
        );
    }
}
