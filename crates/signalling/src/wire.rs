//! A connection in two halves, whichever way it came: a WebSocket, or a series of HTTP requests.

use crate::addresses::Visit;
use crate::metrics::Held;
use althing_xmpp::Element;
use axum::extract::ws::{Message, Utf8Bytes, WebSocket, close_code};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite;

/// No frame of any kind for this long: the client is gone.
const SILENCE: Duration = Duration::from_secs(30);
/// A client that says nothing for so long is pinged. Clients that ping by themselves do so every
/// 10 s; for them a ping of ours would say nothing new.
pub(crate) const PING_AFTER: Duration = Duration::from_secs(12);

/// How much gathers before it is written, in bytes.
pub(crate) const WRITE_BUFFER: usize = 2 * 1024;

/// A client's connection, with its place among all others.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) source: Source,
    pub(crate) sink: Sink,
    pub(crate) visit: Visit,
    pub(crate) held: Held,
}

impl Connection {
    pub(crate) fn websocket(socket: WebSocket, visit: Visit, held: Held) -> Self {
        let (sink, stream) = socket.split();
        Self {
            source: Source::WebSocket(Box::new(stream)),
            sink: Sink::WebSocket(Box::new(sink)),
            visit,
            held,
        }
    }
}

/// When the client of a connection was heard last: written by the half that reads, for both.
#[derive(Debug)]
pub(crate) struct Heard(Mutex<Instant>);

impl Heard {
    pub(crate) fn now() -> Self {
        Self(Mutex::new(Instant::now()))
    }

    pub(crate) fn set(&self, at: Instant) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = at;
    }

    pub(crate) fn at(&self) -> Instant {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What comes from a client.
#[derive(Debug)]
pub(crate) enum Incoming {
    /// A text frame.
    Frame(Utf8Bytes),
    /// An element that is no frame of its own, and its length in bytes.
    Element(Element, usize),
    /// A sign of life.
    Alive,
    /// Something else than text.
    Binary,
    /// What no client sends: too long, or not the protocol.
    Broken,
    /// Nothing comes any more.
    Ended(Ending),
}

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The browser leaves the page (close code 1001).
    Leaving,
    /// In any other way.
    Lost,
}

/// The half that is read.
#[derive(Debug)]
pub(crate) enum Source {
    WebSocket(Box<SplitStream<WebSocket>>),
    Bosh(mpsc::Receiver<(Element, usize)>),
}

impl Source {
    /// Loses nothing when dropped half-way.
    pub(crate) async fn next(&mut self) -> Incoming {
        match self {
            Self::WebSocket(stream) => match stream.next().await {
                None => Incoming::Ended(Ending::Lost),
                Some(Ok(Message::Text(text))) => Incoming::Frame(text),
                Some(Ok(Message::Binary(_))) => Incoming::Binary,
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => Incoming::Alive,
                Some(Ok(Message::Close(frame))) => match frame {
                    Some(frame) if frame.code == close_code::AWAY => {
                        Incoming::Ended(Ending::Leaving)
                    }
                    Some(_) | None => Incoming::Ended(Ending::Lost),
                },
                Some(Err(error)) => {
                    tracing::debug!(%error, "socket ended");
                    if is_loss(error) {
                        Incoming::Ended(Ending::Lost)
                    } else {
                        Incoming::Broken
                    }
                }
            },
            Self::Bosh(elements) => match elements.recv().await {
                Some((element, bytes)) => Incoming::Element(element, bytes),
                None => Incoming::Ended(Ending::Lost),
            },
        }
    }

    /// How long nothing may come before the client counts as gone; HTTP requests have a rule of
    /// their own.
    pub(crate) const fn silence(&self) -> Option<Duration> {
        match self {
            Self::WebSocket(_) => Some(SILENCE),
            Self::Bosh(_) => None,
        }
    }

    /// Whether a session on it may be gone on with on another one.
    pub(crate) const fn resumable(&self) -> bool {
        matches!(self, Self::WebSocket(_))
    }
}

/// Whether a socket's error is what happens to sockets rather than what a client does.
fn is_loss(error: axum::Error) -> bool {
    use tungstenite::error::ProtocolError;
    match error.into_inner().downcast::<tungstenite::Error>() {
        Ok(error) => matches!(
            *error,
            tungstenite::Error::Io(_)
                | tungstenite::Error::ConnectionClosed
                | tungstenite::Error::AlreadyClosed
                | tungstenite::Error::Protocol(ProtocolError::ResetWithoutClosingHandshake)
        ),
        Err(_) => false,
    }
}

/// Nobody takes what is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gone;

/// The half that is written.
#[derive(Debug)]
pub(crate) enum Sink {
    WebSocket(Box<SplitSink<WebSocket, Message>>),
    /// Frames for whichever request comes; waits while none does.
    Bosh(mpsc::Sender<String>),
}

impl Sink {
    /// Hands a frame over; it may wait for others unless [`Sink::flush`] is called.
    pub(crate) async fn feed(&mut self, frame: &str) -> Result<(), Gone> {
        match self {
            Self::WebSocket(sink) => {
                // The library's buffer doubles when it grows and never shrinks: what is long does not
                // go behind what waits.
                if frame.len() > WRITE_BUFFER {
                    sink.flush().await.map_err(|_| Gone)?;
                }
                sink.feed(Message::text(frame)).await.map_err(|_| Gone)
            }
            Self::Bosh(frames) => frames.send(frame.to_owned()).await.map_err(|_| Gone),
        }
    }

    pub(crate) async fn flush(&mut self) -> Result<(), Gone> {
        match self {
            Self::WebSocket(sink) => sink.flush().await.map_err(|_| Gone),
            Self::Bosh(_) => Ok(()),
        }
    }

    pub(crate) async fn send(&mut self, frame: &str) -> Result<(), Gone> {
        self.feed(frame).await?;
        self.flush().await
    }

    pub(crate) async fn ping(&mut self) -> Result<(), Gone> {
        match self {
            Self::WebSocket(sink) => sink
                .send(Message::Ping(bytes::Bytes::new()))
                .await
                .map_err(|_| Gone),
            Self::Bosh(_) => Ok(()),
        }
    }

    /// Says goodbye; a failure to do so changes nothing.
    pub(crate) async fn close(&mut self) {
        if let Self::WebSocket(sink) = self {
            sink.close().await.ok();
        }
    }
}
