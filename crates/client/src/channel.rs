//! The bridge channel from the client's side: asks for video, learns which slot carries whom.

use crate::Watch;
use crate::hub::Teller;
use crate::media::{Command, Mapping};
use crate::stats::Recorder;
use crate::stream::open_socket;
use althing_colibri::{BridgeMessage, ClientMessage, Constraint, VideoConstraints};
use althing_model::{MediaKind, SourceName};
use futures_util::{SinkExt, StreamExt};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;
use tokio_util::sync::CancellationToken;

/// The first delay before opening a lost channel again; doubled up to a minute.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(60);

impl Watch {
    pub(crate) fn to_message(&self) -> ClientMessage {
        let on_stage: Vec<SourceName> = self
            .on_stage
            .iter()
            .filter_map(|name| SourceName::new(name.as_str()).ok())
            .collect();
        let constraints = on_stage
            .iter()
            .map(|name| (name.clone(), Constraint::height(self.stage_height)))
            .collect();
        ClientMessage::ReceiverVideoConstraints(VideoConstraints {
            last_n: Some(self.last_n.unwrap_or(match (self.height, on_stage.len()) {
                (0, 0) => 0,
                _ => -1,
            })),
            default_constraints: Some(Constraint::height(self.height)),
            constraints: Some(constraints),
            on_stage_sources: Some(on_stage),
            ..VideoConstraints::default()
        })
    }
}

/// Everything the channel's task owns.
pub(crate) struct Channel {
    pub(crate) url: String,
    pub(crate) accept_any_certificate: bool,
    pub(crate) watch: Watch,
    pub(crate) endpoint: String,
    pub(crate) media: Teller,
    pub(crate) recorder: Arc<Mutex<Recorder>>,
}

impl Channel {
    /// Keeps the channel open until told to stop. Messages wait while it is closed.
    pub(crate) async fn run(
        self,
        mut messages: mpsc::Receiver<ClientMessage>,
        stop: CancellationToken,
    ) {
        let mut retry = FIRST_RETRY;
        // Said again on each new socket.
        let mut wanted = self.watch.to_message();
        while !stop.is_cancelled() {
            let opened = tokio::select! {
                () = stop.cancelled() => return,
                opened = self.session(&mut wanted, &mut messages, &stop) => opened,
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
    async fn session(
        &self,
        wanted: &mut ClientMessage,
        messages: &mut mpsc::Receiver<ClientMessage>,
        stop: &CancellationToken,
    ) -> bool {
        let mut socket = match open_socket(&self.url, None, self.accept_any_certificate).await {
            Ok(socket) => socket,
            Err(error) => {
                tracing::debug!(%error, "the bridge channel did not open");
                return false;
            }
        };
        self.note(|r| r.channel_open = true);
        if socket.send(Message::text(wanted.to_json())).await.is_err() {
            return true;
        }
        loop {
            let message = tokio::select! {
                () = stop.cancelled() => {
                    let _ = socket.close(None).await;
                    return true;
                }
                Some(own) = messages.recv() => {
                    let sent = socket.send(Message::text(own.to_json())).await;
                    if matches!(own, ClientMessage::ReceiverVideoConstraints(_)) {
                        *wanted = own;
                    }
                    if sent.is_err() {
                        return true;
                    }
                    continue;
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
                    .map(|slot| {
                        let (name, owner) = (slot.source.as_str(), slot.owner.as_str());
                        Mapping::new(name, owner, MediaKind::Audio, slot.ssrc, None)
                    })
                    .collect(),
            ),
            BridgeMessage::VideoSourcesMap { mapped_sources } => Command::Map(
                mapped_sources
                    .iter()
                    .map(|slot| {
                        let (name, owner) = (slot.source.as_str(), slot.owner.as_str());
                        Mapping::new(name, owner, MediaKind::Video, slot.ssrc, Some(slot.rtx))
                    })
                    .collect(),
            ),
            BridgeMessage::ForwardedSources { sources } => {
                Command::Forwarded(sources.iter().map(|s| s.as_str().to_owned()).collect())
            }
            BridgeMessage::SenderSourceConstraints {
                source_name,
                max_height,
            } => {
                let own = source_name
                    .as_str()
                    .strip_prefix(&format!("{}-v", self.endpoint))
                    .and_then(|number| number.parse().ok());
                match own {
                    Some(number) => Command::Want(number, max_height),
                    None => return,
                }
            }
            _ => return,
        };
        self.media.tell(command).await;
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
