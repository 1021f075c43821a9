//! One session's task, from its address to its end: it outlives the connections of a client that
//! manages its stream (XEP-0198).
//!
//! ```text
//!   Newcomer ──▶ connected ──closed, broken rule──▶ farewell ──▶ its rooms are told
//!                 ▲     │ lost                                     ▲
//!            claim│     ▼                                          │ 60 s, expired, too much kept
//!                hibernating ──────────────────────────────────────┘
//! ```

use crate::Shared;
use crate::handshake::{FAREWELL, Newcomer};
use crate::metrics::{Held, Reason};
use crate::reader::{End, Reader};
use crate::resume::{CLAIMS, Claim};
use crate::sessions::{Frames, Managed, Outbox, Outgoing};
use crate::wire::{Connection, Ending, Gone, Heard, PING_AFTER, Sink};
use althing_model::SessionId;
use althing_xmpp::session::Output;
use althing_xmpp::sm::{self, Ask};
use futures_util::FutureExt;
use futures_util::future::FusedFuture;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

/// How long a session waits whose page was left: a new page makes a new session, and the old one
/// is to be gone within two seconds.
const LEAVING: Duration = Duration::from_millis(1_500);

pub(crate) async fn run(shared: Arc<Shared>, newcomer: Newcomer) {
    let number = shared.sessions.next_number();
    let id = SessionId {
        node: shared.settings.node.clone(),
        number,
    };
    let (outbox, frames) = Outbox::new();
    shared.sessions.insert(number, outbox.clone());
    let managed = Managed::default();
    let (claim, claims) = mpsc::channel(CLAIMS);
    let connection = newcomer.connection;
    let mut actor = Actor {
        reader: Reader::new(
            Arc::clone(&shared),
            id,
            newcomer.info,
            newcomer.identity,
            newcomer.jid,
            newcomer.session,
            outbox.clone(),
            managed.clone(),
            claim,
        ),
        shared: Arc::clone(&shared),
        outbox,
        frames,
        managed,
        claims,
    };
    // A fault of ours ends this session only, and its rooms still learn that it is gone.
    let lived = AssertUnwindSafe(actor.live(number, connection)).catch_unwind();
    if Box::pin(lived).await.is_err() {
        shared.metrics.session_panics.inc();
        tracing::error!("session ended by a fault of ours");
    }
    shared.sessions.remove(number);
    actor.reader.leave().await;
    // Whoever still wants to go on with it is told that it is not there.
    actor.claims.close();
    while let Ok(claim) = actor.claims.try_recv() {
        claim.refused.send(claim.connection).ok();
    }
}

struct Actor {
    shared: Arc<Shared>,
    reader: Reader,
    outbox: Outbox,
    frames: Frames,
    managed: Managed,
    claims: mpsc::Receiver<Box<Claim>>,
}

impl Actor {
    async fn live(&mut self, number: u64, first: Connection) {
        let mut connection = first;
        let mut again = Vec::new();
        while let Some(claim) = self.serve(number, connection, again).await {
            match self.accept(claim).await {
                Some(taken) => (connection, again) = taken,
                None => return,
            }
        }
    }

    /// Carries one connection to its end; whatever takes its place, if anything does in time.
    async fn serve(
        &mut self,
        number: u64,
        connection: Connection,
        again: Vec<Arc<str>>,
    ) -> Option<Box<Claim>> {
        let Connection {
            mut source,
            sink,
            visit,
            held,
        } = connection;
        let lost = CancellationToken::new();
        let heard = Heard::now();
        let writing = write(
            &self.shared,
            sink,
            &heard,
            &mut self.frames,
            &self.outbox,
            &self.managed,
            again,
        );
        let mut writing = Box::pin(writing.map(|_| lost.cancel()).fuse());
        let end = {
            let reading = self
                .reader
                .run(&mut source, &visit, &mut self.claims, &lost, &heard);
            tokio::pin!(reading);
            tokio::select! {
                end = &mut reading => end,
                // What it is doing is finished first: it has been counted as received.
                () = &mut writing => reading.await,
            }
        };
        let (since, ending) = match end {
            End::GivenUp => return None,
            End::Claimed(claim) => return Some(claim),
            End::Closed => {
                // From here on nothing reaches the client from rooms; they are told at once.
                self.shared.sessions.remove(number);
                self.outbox.push(Outgoing::Close, &self.shared.metrics);
                let farewell = async {
                    if !writing.is_terminated() {
                        tokio::time::timeout(FAREWELL, writing).await.ok();
                    }
                };
                tokio::join!(self.reader.leave(), farewell);
                return None;
            }
            End::Lost { since, ending } => (since, ending),
        };
        // Neither socket nor place is held any longer.
        drop((source, writing, held));
        if !self.reader.is_resumable() {
            return None;
        }
        let Some(_asleep) = visit.hibernate() else {
            self.shared.metrics.refuse(Reason::Hibernating);
            return None;
        };
        drop(visit);
        hibernate(&self.shared, &self.outbox, &mut self.claims, since, ending).await
    }

    /// Takes a connection, and what is to be said on it first.
    async fn accept(&mut self, claim: Box<Claim>) -> Option<(Connection, Vec<Arc<str>>)> {
        let Claim {
            mut connection,
            info,
            identity,
            handled,
            refused,
        } = *claim;
        drop(refused);
        match self.managed.resume(handled) {
            Ok(kept) => {
                let resumed = self.reader.resume(info, identity);
                self.outbox.push(Outgoing::Anew, &self.shared.metrics);
                self.shared.metrics.resumed.inc();
                tracing::debug!(again = kept.len(), "session resumed");
                let again = std::iter::once(resumed.into()).chain(kept).collect();
                Some((connection, again))
            }
            Err(error) => {
                // What it has is not known: nobody could go on from there.
                self.shared.metrics.refuse(Reason::Stream);
                let session = self.reader.session_mut();
                session.handled_too_many(error);
                let frames: Vec<String> = std::iter::from_fn(|| session.poll())
                    .filter_map(|output| match output {
                        Output::Frame(frame) => Some(frame),
                        _ => None,
                    })
                    .collect();
                let farewell = async {
                    for frame in frames {
                        connection.sink.send(&frame).await?;
                    }
                    connection.sink.close().await;
                    Ok::<(), Gone>(())
                };
                tokio::time::timeout(FAREWELL, farewell).await.ok();
                None
            }
        }
    }
}

/// Waits for the client to come back.
async fn hibernate(
    shared: &Shared,
    outbox: &Outbox,
    claims: &mut mpsc::Receiver<Box<Claim>>,
    since: Instant,
    ending: Ending,
) -> Option<Box<Claim>> {
    let patience = match ending {
        Ending::Leaving => LEAVING.min(shared.settings.resume_time),
        Ending::Lost => shared.settings.resume_time,
    };
    let _counted = Held::new(&shared.metrics.hibernating);
    tracing::debug!(?ending, "session hibernates");
    outbox.hibernate(Some(since.into_std()));
    let claim = tokio::select! {
        biased;
        () = outbox.overflow.cancelled() => None,
        () = shared.stop_sessions.cancelled() => None,
        claim = claims.recv() => claim,
        () = sleep_until(since + patience) => None,
    };
    outbox.hibernate(None);
    // It may have been given up in the very moment.
    match claim {
        Some(claim) if outbox.overflow.is_cancelled() => {
            claim.refused.send(claim.connection).ok();
            None
        }
        claim => claim,
    }
}

/// The writing half: what waits for the client, after what it is to be told `again`.
async fn write(
    shared: &Shared,
    mut sink: Sink,
    heard: &Heard,
    frames: &mut Frames,
    outbox: &Outbox,
    managed: &Managed,
    again: Vec<Arc<str>>,
) -> Result<(), Gone> {
    let mut pinged = heard.at();
    // Frames that wait since before are for the connection that is no more; stanzas are not.
    let mut stale = !again.is_empty();
    for frame in again {
        sink.feed(&frame).await?;
    }
    sink.flush().await?;
    loop {
        let outgoing = tokio::select! {
            outgoing = frames.recv() => outgoing,
            () = sleep_until(heard.at().max(pinged) + PING_AFTER) => {
                // It may have spoken meanwhile.
                if heard.at().max(pinged).elapsed() >= PING_AFTER {
                    pinged = Instant::now();
                    sink.ping().await?;
                }
                continue;
            }
        };
        match outgoing {
            Some(Outgoing::Frame(_) | Outgoing::Enabled(_)) if stale => continue,
            Some(Outgoing::Frame(frame)) => sink.feed(&frame).await?,
            Some(Outgoing::Enabled(frame)) => {
                sink.feed(&frame).await?;
                managed.start();
            }
            Some(Outgoing::Anew) => stale = false,
            Some(Outgoing::Stanza(xml)) => {
                let Ok(ask) = managed.send(&xml) else {
                    shared.metrics.queue_overflows.inc();
                    outbox.overflow.cancel();
                    return Err(Gone);
                };
                shared.metrics.stanzas_sent.inc();
                sink.feed(&xml).await?;
                if ask == Ask::Now {
                    sink.feed(sm::REQUEST).await?;
                }
            }
            Some(Outgoing::Close) | None => {
                sink.close().await;
                return Ok(());
            }
        }
        // Many frames at once, as on joining a large room, leave in few writes.
        if frames.is_empty() {
            sink.flush().await?;
        }
    }
}
