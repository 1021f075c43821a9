use crate::client_config::ClientConfig;
use crate::metrics::Metrics;
use althing_model::MediaMode;
use althing_telemetry::Registry;
use ipnet::IpNet;
use std::fmt::Debug;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// What is served where.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Plain HTTP. The address `[::]` takes IPv4 too.
    pub plain: Vec<SocketAddr>,
    /// HTTPS.
    pub tls: Vec<SocketAddr>,
    /// Metrics and debugging, plain HTTP.
    pub admin: Vec<SocketAddr>,
    /// Whose `X-Forwarded-*` headers are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Where the certificate for HTTPS is kept.
    pub certificate: Arc<dyn CertificateStore>,
    /// Host names and addresses to write into that certificate, besides `localhost`.
    pub certificate_names: Vec<String>,
    /// What `config.js` tells clients.
    pub client: ClientConfig,
    /// What is counted; register it before the registry is frozen.
    pub metrics: Metrics,
    /// What `/metrics` shows.
    pub registry: Arc<Registry>,
    /// What `/health` says.
    pub health: Arc<dyn Health>,
    /// What pages of rooms say of them.
    pub rooms: Arc<dyn Rooms>,
    /// Against clients that are slow or greedy.
    pub limits: Limits,
}

/// Knows whether people should be sent here.
pub trait Health: Debug + Send + Sync + 'static {
    /// What goes on here still, while new meetings should go elsewhere.
    fn draining(&self) -> Option<Draining>;
}

/// Always well.
impl Health for () {
    fn draining(&self) -> Option<Draining> {
        None
    }
}

/// Knows what is said of a room by its name, before anybody is in it.
pub trait Rooms: Debug + Send + Sync + 'static {
    /// What of media it is for, where that is not what rooms are for anyway. Both names are decoded
    /// and in lower case; asked with every page, so it must not wait.
    fn media(&self, tenant: Option<&str>, room: &str) -> Option<MediaMode>;
}

/// Nothing is said of any.
impl Rooms for () {
    fn media(&self, _: Option<&str>, _: &str) -> Option<MediaMode> {
        None
    }
}

/// What is waited for before the server ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Draining {
    /// Rooms that are open.
    pub rooms: u64,
    /// People in them.
    pub occupants: u64,
    /// When it ends all the same; `None` is never.
    pub time_left: Option<Duration>,
}

/// Keeps one file for us: a certificate with its key.
pub trait CertificateStore: Debug + Send + Sync + 'static {
    /// What was kept last, if anything.
    ///
    /// # Errors
    /// When it cannot be read.
    fn load(&self) -> io::Result<Option<Vec<u8>>>;
    /// Keeps this instead, readable by us alone.
    ///
    /// # Errors
    /// When it cannot be written; what was kept is then still there.
    fn save(&self, content: &[u8]) -> io::Result<()>;
}

/// Bounds on what one client, or all together, may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Connections of each kind of listener at once; further ones wait in the kernel's queue.
    pub connections: usize,
    /// Request line and headers together, in bytes. A token in a URL fits easily.
    pub header_bytes: usize,
    /// From the connection's opening, or the last answer, to the end of the next request's headers.
    pub header_time: Duration,
    /// A request's body, in bytes. Nothing we serve takes more than a short JSON document.
    pub body_bytes: usize,
    /// From a request's headers to its answer's.
    pub request_time: Duration,
    /// How long a client may refuse to take what we send, WebSockets included.
    pub stall_time: Duration,
    /// For the TLS handshake.
    pub handshake_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // A participant holds two or three.
            connections: 16_384,
            header_bytes: 32 * 1024,
            // Also how long an idle connection is kept, so not as short as it could be.
            header_time: Duration::from_secs(20),
            body_bytes: 256 * 1024,
            // A BOSH request is held for a minute.
            request_time: Duration::from_secs(75),
            stall_time: Duration::from_secs(30),
            handshake_time: Duration::from_secs(10),
        }
    }
}
