use crate::channel::{Channel, CloseReason, Outbox, Service};
use crate::worker::{ChannelEvent, Command};
use althing_colibri::{ClientMessage, MAX_MESSAGE_BYTES};
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, sleep_until, timeout};

/// A silent client is asked for a sign of life; browsers answer by themselves.
const PING_AFTER: Duration = Duration::from_secs(15);
/// No frame at all for this long: the connection is dead.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a client may take to answer our close.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// Messages written before the socket is flushed.
const WRITE_BATCH: usize = 32;
/// What a client may send at once, in seconds of what it may send in the long run.
const BURST_SECONDS: f64 = 2.0;
/// A message counts once for each of these many bytes it has begun: what one client may have
/// broadcast at once is far less than fills the outbox of another.
const MESSAGE_BYTES: usize = 1024;
const MAX_COST: f64 = MAX_MESSAGE_BYTES.div_ceil(MESSAGE_BYTES) as f64;

/// Serves one accepted socket until either side ends it.
pub(super) async fn run(websocket: WebSocket, channel: Arc<Channel>, service: Arc<Service>) {
    let counters = &service.channels.counters;
    let (mut sink, mut stream) = websocket.split();
    let Some(connected) = channel.connect() else {
        close(&mut sink, &mut stream, CloseReason::EndpointClosed).await;
        return;
    };
    counters.opened.fetch_add(1, Ordering::Relaxed);
    counters.sockets.fetch_add(1, Ordering::Relaxed);
    if connected.replaced {
        counters.replaced.fetch_add(1, Ordering::Relaxed);
    }
    let session = Session {
        channel: &channel,
        service: &service,
        generation: connected.generation,
        heard: Mutex::new(Instant::now()),
    };
    let reason = if session.tell(ChannelEvent::Opened) {
        let outbox = &connected.outbox;
        tokio::select! {
            // What we decided comes before what the client happens to do.
            biased;
            reason = outbox.ended() => Some(reason),
            reason = session.write(&mut sink, outbox) => reason,
            () = session.read(&mut stream) => None,
        }
    } else {
        Some(CloseReason::Unavailable)
    };
    if channel.disconnect(connected.generation) {
        session.tell(ChannelEvent::Closed);
    }
    match reason {
        Some(CloseReason::TooSlow) => counters.closed_too_slow.fetch_add(1, Ordering::Relaxed),
        Some(CloseReason::Idle) => counters.closed_idle.fetch_add(1, Ordering::Relaxed),
        _ => 0,
    };
    if let Some(reason) = reason {
        close(&mut sink, &mut stream, reason).await;
    }
    counters.sockets.fetch_sub(1, Ordering::Relaxed);
}

struct Session<'a> {
    channel: &'a Arc<Channel>,
    service: &'a Service,
    generation: u64,
    // When the client's last frame came.
    heard: Mutex<Instant>,
}

impl Session<'_> {
    /// Hands something to the endpoint's worker; `false` when it has no room.
    fn tell(&self, event: ChannelEvent) -> bool {
        let command = Command::Channel {
            endpoint: self.channel.endpoint,
            socket: self.generation,
            event,
        };
        self.service.workers[self.channel.worker]
            .send(command)
            .is_ok()
    }

    /// Takes in frames until the client closes or vanishes.
    async fn read(&self, stream: &mut SplitStream<WebSocket>) {
        let counters = &self.service.channels.counters;
        let mut allowance = Allowance::new(Instant::now(), self.service.messages_per_second);
        while let Some(Ok(frame)) = stream.next().await {
            let now = Instant::now();
            *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = now;
            match frame {
                Message::Text(text) => {
                    counters.received.fetch_add(1, Ordering::Relaxed);
                    if allowance.spend(now, text.len()) {
                        self.message(&text);
                    } else {
                        counters.overflowed.fetch_add(1, Ordering::Relaxed);
                    }
                }
                Message::Close(_) => return,
                Message::Binary(_) | Message::Ping(_) | Message::Pong(_) => {}
            }
        }
    }

    /// One bad message costs only itself.
    fn message(&self, text: &str) {
        let counters = &self.service.channels.counters;
        let parsed = if text.len() > MAX_MESSAGE_BYTES {
            None
        } else {
            ClientMessage::parse(text)
                .inspect_err(|error| tracing::debug!(%error, "bridge channel message refused"))
                .ok()
        };
        let Some(message) = parsed else {
            counters.malformed.fetch_add(1, Ordering::Relaxed);
            return;
        };
        let told = self.channel.ticket().is_some_and(|ticket| {
            self.tell(ChannelEvent::Message {
                message: Box::new(message),
                ticket,
            })
        });
        if !told {
            counters.overflowed.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Writes what waits, and pings when the client is silent. Returns why to close, or `None`
    /// when the socket broke.
    async fn write(
        &self,
        sink: &mut SplitSink<WebSocket, Message>,
        outbox: &Outbox,
    ) -> Option<CloseReason> {
        let mut pinged = Instant::now();
        loop {
            let heard = *self.heard.lock().unwrap_or_else(PoisonError::into_inner);
            let ping_at = heard.max(pinged) + PING_AFTER;
            let idle_at = heard + IDLE_TIMEOUT;
            let written = tokio::select! {
                taken = outbox.take(WRITE_BATCH) => match taken {
                    Ok(messages) => timeout(IDLE_TIMEOUT, self.write_all(sink, messages)).await,
                    Err(reason) => return Some(reason),
                },
                () = sleep_until(ping_at.min(idle_at)) => {
                    let now = Instant::now();
                    let heard = *self.heard.lock().unwrap_or_else(PoisonError::into_inner);
                    if now >= heard + IDLE_TIMEOUT {
                        return Some(CloseReason::Idle);
                    }
                    if now < heard.max(pinged) + PING_AFTER {
                        continue;
                    }
                    pinged = now;
                    timeout(IDLE_TIMEOUT, sink.send(Message::Ping("".into()))).await
                }
            };
            match written {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return None,
                Err(_) => return Some(CloseReason::TooSlow),
            }
        }
    }

    async fn write_all(
        &self,
        sink: &mut SplitSink<WebSocket, Message>,
        messages: Vec<Arc<str>>,
    ) -> Result<(), axum::Error> {
        let count = messages.len() as u64;
        for json in messages {
            sink.feed(Message::Text(Utf8Bytes::from(&*json))).await?;
        }
        sink.flush().await?;
        let counters = &self.service.channels.counters;
        counters.sent.fetch_add(count, Ordering::Relaxed);
        Ok(())
    }
}

/// Says why, then reads on for a moment: closing with unread bytes would reset the connection and
/// the client might never see our reason.
async fn close(
    sink: &mut SplitSink<WebSocket, Message>,
    stream: &mut SplitStream<WebSocket>,
    reason: CloseReason,
) {
    let (code, text) = reason.frame();
    let frame = Message::Close(Some(CloseFrame {
        code,
        reason: Utf8Bytes::from_static(text),
    }));
    let goodbye = async {
        if sink.send(frame).await.is_ok() {
            while let Some(Ok(_)) = stream.next().await {}
        }
    };
    // A client that does not answer is not waited for.
    timeout(CLOSE_TIMEOUT, goodbye).await.ok();
}

/// A token bucket.
struct Allowance {
    per_second: f64,
    tokens: f64,
    at: Instant,
}

impl Allowance {
    fn new(now: Instant, per_second: u32) -> Self {
        let per_second = f64::from(per_second);
        Self {
            per_second,
            tokens: per_second * BURST_SECONDS,
            at: now,
        }
    }

    fn spend(&mut self, now: Instant, bytes: usize) -> bool {
        let gained = (now - self.at).as_secs_f64() * self.per_second;
        // One that is as long as may be passes at any rate.
        let most = (self.per_second * BURST_SECONDS).max(MAX_COST);
        self.tokens = (self.tokens + gained).min(most);
        self.at = now;
        let cost = bytes.div_ceil(MESSAGE_BYTES).max(1) as f64;
        let allowed = self.tokens >= cost;
        if allowed {
            self.tokens -= cost;
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chatty_client_is_slowed_down() {
        let start = Instant::now();
        let mut allowance = Allowance::new(start, 100);
        let mut spent = |at, bytes| (0..300).filter(|_| allowance.spend(at, bytes)).count();
        assert_eq!(spent(start, 1024), 200);
        assert_eq!(spent(start + Duration::from_millis(500), 0), 50);
    }

    #[test]
    fn long_messages_of_one_client_do_not_fill_the_outboxes_of_all() {
        let start = Instant::now();
        let mut allowance = Allowance::new(start, 100);
        let spent = |_: &usize| allowance.spend(start, MAX_MESSAGE_BYTES);
        let messages = (0..300).filter(spent).count();
        assert!(messages >= 1 && messages * MAX_MESSAGE_BYTES <= 256 * 1024);
    }
}
