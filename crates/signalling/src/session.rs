//! One session's task: both halves of its socket, from the handshake to the farewell.

use crate::Shared;
use crate::metrics::Held;
use crate::reader::Reader;
use crate::sessions::{Frames, Outbox, Outgoing};
use althing_model::{ClientInfo, SessionId};
use althing_xmpp::session::{Session, SessionSettings};
use axum::extract::ws::{Message, WebSocket};
use futures_util::stream::SplitSink;
use futures_util::{FutureExt, SinkExt, StreamExt};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::MissedTickBehavior;

/// How often a client is pinged.
const PING: Duration = Duration::from_secs(10);
/// How long the last frames may take to leave.
const FAREWELL: Duration = Duration::from_millis(500);

pub(crate) async fn run(shared: Arc<Shared>, info: ClientInfo, socket: WebSocket, held: Held) {
    let number = shared.sessions.next_number();
    let id = SessionId {
        node: shared.settings.node.clone(),
        number,
    };
    let (outbox, frames) = Outbox::new();
    shared.sessions.insert(number, outbox.clone());
    let mut settings = SessionSettings::new(shared.settings.domain.clone());
    settings.max_frame_bytes = shared.settings.max_frame_bytes;
    let session = Session::new(settings);
    let mut reader = Reader::new(Arc::clone(&shared), id, info, session, outbox.clone());
    let (sink, mut stream) = socket.split();
    // A fault of ours ends this session only, and its rooms still learn that it is gone.
    let noted = |outcome: std::thread::Result<()>| {
        if outcome.is_err() {
            shared.metrics.session_panics.inc();
            tracing::error!("session ended by a fault of ours");
        }
    };
    let writing = AssertUnwindSafe(write(&shared, sink, frames)).catch_unwind();
    let writer = writing.map(noted);
    tokio::pin!(writer);
    let reading = AssertUnwindSafe(reader.run(&mut stream)).catch_unwind();
    let writer_ended = tokio::select! {
        () = reading.map(noted) => false,
        () = &mut writer => true,
    };
    // From here on nothing reaches the client from rooms; they are told at once.
    shared.sessions.remove(number);
    if !writer_ended && !outbox.overflow.is_cancelled() {
        outbox.push(Outgoing::Close, &shared.metrics);
        let farewell = tokio::time::timeout(FAREWELL, &mut writer);
        tokio::join!(reader.leave(), async { farewell.await.is_ok() });
    } else {
        reader.leave().await;
    }
    drop(held);
}

async fn write(shared: &Shared, mut sink: SplitSink<WebSocket, Message>, mut frames: Frames) {
    let mut pings = tokio::time::interval(PING);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first tick is now, when a client such as gst-meet wants nothing but its stream.
    pings.tick().await;
    loop {
        let outgoing = tokio::select! {
            outgoing = frames.recv() => outgoing,
            _ = pings.tick() => {
                if sink.send(Message::Ping(bytes::Bytes::new())).await.is_err() {
                    return;
                }
                continue;
            }
        };
        let message = match outgoing {
            Some(Outgoing::Frame(frame)) => Message::text(frame),
            Some(Outgoing::Stanza(xml)) => {
                shared.metrics.stanzas_sent.inc();
                Message::text(&*xml)
            }
            Some(Outgoing::Close) | None => {
                // The socket is going away; a failure to say so changes nothing.
                sink.close().await.ok();
                return;
            }
        };
        // Many frames at once, as on joining a large room, leave in few writes.
        let sent = if frames.is_empty() {
            sink.send(message).await
        } else {
            sink.feed(message).await
        };
        if sent.is_err() {
            return;
        }
    }
}
