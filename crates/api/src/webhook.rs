//! Webhooks: what happens in rooms, posted as JSON to whoever was configured.
//!
//! Each webhook has a queue and a task of its own, so that one that is slow holds up no other. What
//! happened first is delivered first: while one delivery is tried again, those after it wait. An answer
//! of 2xx within 10 s is a delivery; redirects are not followed.

use crate::metrics::Metrics;
use crate::{StartError, Webhook, clock};
use althing_model::{Entropy as _, Secret};
use aws_lc_rs::hmac;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, StatusCode};
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::fmt::{Debug, Write as _};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use url::Url;

/// How many deliveries wait for one webhook.
const QUEUE: usize = 1_024;
/// How long an answer may take.
const DEADLINE: Duration = Duration::from_secs(10);
/// How long until it is tried again, each time.
const PAUSES: [Duration; 5] = [
    Duration::from_secs(1),
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_secs(120),
    Duration::from_secs(600),
];
/// `t=<seconds since 1970>,v1=<hex of HMAC-SHA-256 over "<t>.<body>">`.
const SIGNATURE: &str = "Althing-Signature";
/// The delivery's id, the same each time it is tried.
const DELIVERY: &str = "Althing-Delivery";

/// Why something was not delivered; for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PostError {
    #[error("it cannot be reached")]
    Unreachable,
    #[error("it answered {0}")]
    Status(u16),
    #[error("it did not answer in time")]
    Late,
}

/// What is posted.
#[derive(Debug, Clone)]
pub(crate) struct Post {
    pub(crate) url: Url,
    pub(crate) delivery: String,
    pub(crate) signature: String,
    pub(crate) body: Bytes,
}

/// Whoever posts; tests have their own.
pub(crate) trait Poster: Debug + Send + Sync + 'static {
    /// Done when the receiver has taken it.
    fn post(&self, post: Post) -> BoxFuture<'static, Result<(), PostError>>;
}

/// The real one.
#[derive(Debug)]
struct HttpPoster(Client);

impl HttpPoster {
    fn new() -> Result<Self, StartError> {
        let client = althing_https::client().map_err(|e| StartError::Client(e.to_string()))?;
        Ok(Self(client))
    }
}

impl Poster for HttpPoster {
    fn post(&self, post: Post) -> BoxFuture<'static, Result<(), PostError>> {
        let request = self
            .0
            .post(post.url)
            .header(CONTENT_TYPE, "application/json")
            .header(SIGNATURE, post.signature)
            .header(DELIVERY, post.delivery)
            .body(post.body);
        Box::pin(async move {
            // What it says besides is not read.
            let response = request.send().await.map_err(|_| PostError::Unreachable)?;
            match response.status() {
                status if status.is_success() => Ok(()),
                other => Err(PostError::Status(StatusCode::as_u16(&other))),
            }
        })
    }
}

/// A webhook, ready to start.
#[derive(Debug)]
pub(crate) struct Hook {
    url: Url,
    secret: Secret,
    events: BTreeSet<String>,
    poster: Arc<dyn Poster>,
}

/// Every webhook, all with one client.
pub(crate) fn prepare(webhooks: &[Webhook]) -> Result<Vec<Hook>, StartError> {
    if webhooks.is_empty() {
        return Ok(Vec::new());
    }
    let poster: Arc<dyn Poster> = Arc::new(HttpPoster::new()?);
    webhooks
        .iter()
        .map(|webhook| Hook::new(webhook, Arc::clone(&poster)))
        .collect()
}

/// Something to be delivered.
#[derive(Debug)]
struct Delivery {
    id: String,
    body: Bytes,
}

/// Where what happens goes for one webhook.
#[derive(Debug)]
pub(crate) struct Sender {
    events: BTreeSet<String>,
    deliveries: mpsc::Sender<Delivery>,
    metrics: Metrics,
}

impl Sender {
    /// Something happened; those who did not ask for it are not told.
    pub(crate) fn tell(&self, event: &str, what: &Map<String, Value>) {
        if !self.events.contains(event) {
            return;
        }
        let id = clock::OsEntropy.uuid();
        let mut body = what.clone();
        body.insert("id".to_owned(), id.clone().into());
        let body = Value::Object(body).to_string().into();
        self.metrics.webhooks_waiting.inc();
        if self.deliveries.try_send(Delivery { id, body }).is_err() {
            self.metrics.webhooks_waiting.dec();
            self.metrics.dropped("full");
            // The queue says often enough that it is full by what it tries in vain.
            tracing::debug!("a webhook's queue is full");
        }
    }
}

/// What became of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Delivered,
    GivenUp(&'static str),
}

impl Hook {
    pub(crate) fn new(webhook: &Webhook, poster: Arc<dyn Poster>) -> Result<Self, StartError> {
        let url = Url::parse(&webhook.url)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
            .ok_or_else(|| StartError::Url(webhook.url.clone()))?;
        Ok(Self {
            url,
            secret: webhook.secret.clone(),
            events: webhook.events.iter().cloned().collect(),
            poster,
        })
    }

    pub(crate) fn start(
        self,
        tasks: &TaskTracker,
        stop: &CancellationToken,
        give_up: &CancellationToken,
        metrics: &Metrics,
    ) -> Sender {
        let (deliveries, queue) = mpsc::channel(QUEUE);
        let sender = Sender {
            events: self.events.clone(),
            deliveries,
            metrics: metrics.clone(),
        };
        tasks.spawn(self.run(queue, stop.clone(), give_up.clone(), metrics.clone()));
        sender
    }

    async fn run(
        self,
        mut queue: mpsc::Receiver<Delivery>,
        stop: CancellationToken,
        give_up: CancellationToken,
        metrics: Metrics,
    ) {
        while let Some(delivery) = queue.recv().await {
            let outcome = tokio::select! {
                biased;
                () = give_up.cancelled() => Outcome::GivenUp("ended"),
                outcome = self.deliver(&delivery, &stop, &metrics) => outcome,
            };
            metrics.webhooks_waiting.dec();
            match outcome {
                Outcome::Delivered => {
                    metrics.webhooks_delivered.inc();
                }
                Outcome::GivenUp(reason) => {
                    metrics.dropped(reason);
                    tracing::error!(reason, host = self.host(), "a webhook was not told");
                }
            }
        }
    }

    /// Tries until it is taken; with the program about to end, once.
    async fn deliver(
        &self,
        delivery: &Delivery,
        stop: &CancellationToken,
        metrics: &Metrics,
    ) -> Outcome {
        for pause in PAUSES.into_iter().map(Some).chain([None]) {
            match self.attempt(delivery).await {
                Ok(()) => return Outcome::Delivered,
                Err(error) => {
                    metrics.webhook_attempts_failed.inc();
                    tracing::warn!(%error, host = self.host(), "a webhook did not take a delivery");
                }
            }
            let Some(pause) = pause else { break };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = stop.cancelled() => return Outcome::GivenUp("ended"),
            }
        }
        Outcome::GivenUp("failed")
    }

    async fn attempt(&self, delivery: &Delivery) -> Result<(), PostError> {
        let post = Post {
            url: self.url.clone(),
            delivery: delivery.id.clone(),
            signature: signature(&self.secret, clock::now_millis() / 1_000, &delivery.body),
            body: delivery.body.clone(),
        };
        tokio::time::timeout(DEADLINE, self.poster.post(post))
            .await
            .unwrap_or(Err(PostError::Late))
    }

    /// What the log may say of the address, whose path may be secret.
    fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }
}

fn signature(secret: &Secret, unix_seconds: u64, body: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes());
    let mut context = hmac::Context::with_key(&key);
    context.update(unix_seconds.to_string().as_bytes());
    context.update(b".");
    context.update(body);
    let mut text = format!("t={unix_seconds},v1=");
    for byte in context.sign().as_ref() {
        // Text takes whatever is written into it.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests;
