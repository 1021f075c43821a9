//! One accepted connection, before and after it becomes a WebSocket: it can be ended from outside,
//! it counts while it is open, and it does not wait forever for a peer that takes nothing.

use crate::metrics::Metrics;
use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::Sleep;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tokio_util::task::task_tracker::TaskTrackerToken;

/// What a connection holds for as long as it is open, whoever owns it by then.
#[derive(Debug)]
pub(crate) struct Presence {
    metrics: Metrics,
    websockets: watch::Sender<usize>,
    is_websocket: AtomicBool,
    _permit: OwnedSemaphorePermit,
    _open: TaskTrackerToken,
}

impl Presence {
    pub(crate) fn new(
        metrics: Metrics,
        websockets: watch::Sender<usize>,
        permit: OwnedSemaphorePermit,
        open: TaskTrackerToken,
    ) -> Self {
        metrics.connections.inc();
        Self {
            metrics,
            websockets,
            is_websocket: AtomicBool::new(false),
            _permit: permit,
            _open: open,
        }
    }

    /// The connection was switched to another protocol.
    pub(crate) fn upgraded(&self) {
        if !self.is_websocket.swap(true, Ordering::Relaxed) {
            self.metrics.websockets.inc();
            self.websockets.send_modify(|open| *open += 1);
        }
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.metrics.connections.dec();
        if *self.is_websocket.get_mut() {
            self.metrics.websockets.dec();
            self.websockets.send_modify(|open| *open -= 1);
        }
    }
}

/// The stream of a connection.
#[derive(Debug)]
pub(crate) struct Guarded<S> {
    stream: S,
    aborted: Pin<Box<WaitForCancellationFutureOwned>>,
    stall_time: Duration,
    /// Runs while the peer takes nothing of what we have to send.
    stalled: Option<Pin<Box<Sleep>>>,
    _presence: Arc<Presence>,
}

impl<S> Guarded<S> {
    pub(crate) fn new(
        stream: S,
        abort: CancellationToken,
        stall_time: Duration,
        presence: Arc<Presence>,
    ) -> Self {
        Self {
            stream,
            aborted: Box::pin(abort.cancelled_owned()),
            stall_time,
            stalled: None,
            _presence: presence,
        }
    }

    fn check_aborted(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        match self.aborted.as_mut().poll(cx) {
            Poll::Ready(()) => Err(io::ErrorKind::ConnectionAborted.into()),
            Poll::Pending => Ok(()),
        }
    }

    /// Passes on the outcome of a write, and gives up when there was none for too long.
    fn watched<T>(
        &mut self,
        cx: &mut Context<'_>,
        outcome: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.stalled = None;
            return outcome;
        }
        let stall_time = self.stall_time;
        let stalled = self
            .stalled
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(stall_time)));
        match stalled.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check_aborted(cx)?;
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check_aborted(cx)?;
        let outcome = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.watched(cx, outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check_aborted(cx)?;
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.watched(cx, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check_aborted(cx)?;
        let outcome = Pin::new(&mut self.stream).poll_flush(cx);
        self.watched(cx, outcome)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check_aborted(cx)?;
        let outcome = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.watched(cx, outcome)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::sync::Semaphore;
    use tokio_util::task::TaskTracker;

    struct Bench {
        metrics: Metrics,
        websockets: watch::Sender<usize>,
        permits: Arc<Semaphore>,
        tracker: TaskTracker,
        abort: CancellationToken,
    }

    impl Bench {
        fn new() -> Self {
            Self {
                metrics: Metrics::default(),
                websockets: watch::Sender::new(0),
                permits: Arc::new(Semaphore::new(1)),
                tracker: TaskTracker::new(),
                abort: CancellationToken::new(),
            }
        }

        fn guard<S>(&self, stream: S) -> (Guarded<S>, Arc<Presence>) {
            let presence = Arc::new(Presence::new(
                self.metrics.clone(),
                self.websockets.clone(),
                Arc::clone(&self.permits).try_acquire_owned().unwrap(),
                self.tracker.token(),
            ));
            let guarded = Guarded::new(
                stream,
                self.abort.clone(),
                Duration::from_secs(30),
                Arc::clone(&presence),
            );
            (guarded, presence)
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_takes_nothing_is_given_up() {
        let bench = Bench::new();
        let (ours, mut theirs) = tokio::io::duplex(4);
        let (mut guarded, _presence) = bench.guard(ours);
        let started = tokio::time::Instant::now();
        let error = guarded.write_all(b"more than four").await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(started.elapsed(), Duration::from_secs(30));
        // What it takes after all, counts as progress.
        let mut taken = [0; 4];
        theirs.read_exact(&mut taken).await.unwrap();
        guarded.write_all(b"more").await.unwrap();
    }

    #[tokio::test]
    async fn an_open_connection_can_be_ended_from_outside() {
        let bench = Bench::new();
        let (ours, _theirs) = tokio::io::duplex(4);
        let (mut guarded, presence) = bench.guard(ours);
        presence.upgraded();
        presence.upgraded();
        drop(presence);
        assert_eq!(*bench.websockets.borrow(), 1);
        assert_eq!(bench.metrics.connections.get(), 1);
        let mut buffer = [0; 1];
        let (read, ()) = tokio::join!(guarded.read(&mut buffer), async { bench.abort.cancel() });
        assert_eq!(read.unwrap_err().kind(), io::ErrorKind::ConnectionAborted);
        drop(guarded);
        assert_eq!(*bench.websockets.borrow(), 0);
        assert_eq!(bench.metrics.connections.get(), 0);
        assert_eq!(bench.permits.available_permits(), 1);
        bench.tracker.close();
        bench.tracker.wait().await;
    }
}
