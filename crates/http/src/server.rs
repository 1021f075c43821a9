//! Listeners, connections, and the end of both.

use crate::assets;
use crate::connection::{Guarded, Presence};
use crate::door::{self, Arrival, Head};
use crate::headers;
use crate::metrics::Metrics;
use crate::settings::{Limits, Settings};
use crate::site::Site;
use crate::tls::{self, CertificateError, Certificates};
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderValue, Request, Response, StatusCode, header};
use axum::response::IntoResponse as _;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use ipnet::IpNet;
use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

/// After this, what has not ended by itself is cut off; the whole program has 2 s.
const GRACE: Duration = Duration::from_millis(1_200);
/// How often the certificate's end is looked at.
const RENEWAL_CHECK: Duration = Duration::from_secs(12 * 3600);
/// Pause after the system refused to accept, for instance for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// "Address family not supported" on Linux; the standard library has no kind for it.
const EAFNOSUPPORT: i32 = 97;
/// A warning that any request can cause is written once in this time.
const WARN_EVERY: Duration = Duration::from_secs(60);

/// The kinds of listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Listener {
    /// Plain HTTP for the public.
    Plain,
    /// HTTPS for the public.
    Tls,
    /// Metrics and debugging.
    Admin,
}

impl Listener {
    /// A word for metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Tls => "tls",
            Self::Admin => "admin",
        }
    }

    /// The configuration key that decides where it listens.
    #[must_use]
    pub const fn key(self) -> &'static str {
        match self {
            Self::Plain => "http.listen",
            Self::Tls => "http.tls_listen",
            Self::Admin => "http.admin_listen",
        }
    }
}

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why nothing was started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address cannot be listened on, most often since something else has it.
    #[error("cannot listen on {address} ({key}): {source}; change {key}, or stop what uses it",
        key = listener.key())]
    Listen {
        /// Which kind.
        listener: Listener,
        /// Which address.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// There is no certificate for HTTPS.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
}

/// Where is listened, with the ports that the operating system chose for 0.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Addresses {
    /// Plain HTTP.
    pub plain: Vec<SocketAddr>,
    /// HTTPS.
    pub tls: Vec<SocketAddr>,
    /// Metrics and debugging.
    pub admin: Vec<SocketAddr>,
}

/// The running listeners. Dropping it ends them at once; [`Http::shutdown`] does it in order.
#[derive(Debug)]
pub struct Http {
    addresses: Addresses,
    stop: CancellationToken,
    abort: CancellationToken,
    tasks: TaskTracker,
    websockets: watch::Receiver<usize>,
}

/// What every connection of one kind of listener shares.
struct Shared {
    listener: Listener,
    router: Router,
    trusted: Vec<IpNet>,
    limits: Limits,
    metrics: Metrics,
    tls: Option<TlsAcceptor>,
    permits: Arc<Semaphore>,
    tasks: TaskTracker,
    stop: CancellationToken,
    abort: CancellationToken,
    websockets: watch::Sender<usize>,
    warned: Mutex<Option<Instant>>,
}

impl Http {
    /// Binds every address and starts to serve; `public` and `admin` bring further routes, whose
    /// requests carry an `Extension<ClientInfo>`.
    ///
    /// To be called on a tokio runtime.
    ///
    /// # Errors
    /// [`StartError`]; nothing is then served.
    ///
    /// # Panics
    /// When `public` or `admin` has a route of ours, or a fallback.
    pub fn start(settings: Settings, public: Router, admin: Router) -> Result<Self, StartError> {
        let bound = |listener, addresses: &[SocketAddr]| {
            addresses
                .iter()
                .map(|address| {
                    bind(*address).map_err(|source| StartError::Listen {
                        listener,
                        address: *address,
                        source,
                    })
                })
                .collect::<Result<Vec<_>, _>>()
        };
        let plain = bound(Listener::Plain, &settings.plain)?;
        let tls = bound(Listener::Tls, &settings.tls)?;
        let admin_listeners = bound(Listener::Admin, &settings.admin)?;
        let certificates = if tls.is_empty() {
            None
        } else {
            Some(Arc::new(Certificates::open(
                Arc::clone(&settings.certificate),
                &settings.certificate_names,
                settings.metrics.clone(),
                SystemTime::now(),
            )?))
        };
        let acceptor = match &certificates {
            Some(certificates) => Some(TlsAcceptor::from(tls::server_config(Arc::clone(
                certificates,
            ))?)),
            None => None,
        };

        let (stop, abort) = (CancellationToken::new(), CancellationToken::new());
        let tasks = TaskTracker::new();
        let (websockets, open) = watch::channel(0);
        let site = Arc::new(Site {
            client: settings.client,
            assets: assets::EMBEDDED,
            registry: settings.registry,
            stopping: stop.clone(),
            health: settings.health,
            rooms: settings.rooms,
            body_limit: settings.limits.body_bytes,
        });
        let public = site.public(public);
        let shared = |listener, router, tls| {
            Arc::new(Shared {
                listener,
                router,
                trusted: settings.trusted_proxies.clone(),
                limits: settings.limits,
                metrics: settings.metrics.clone(),
                tls,
                permits: Arc::new(Semaphore::new(settings.limits.connections)),
                tasks: tasks.clone(),
                stop: stop.clone(),
                abort: abort.clone(),
                websockets: websockets.clone(),
                warned: Mutex::new(None),
            })
        };
        let kinds = [
            (shared(Listener::Plain, public.clone(), None), plain),
            (shared(Listener::Tls, public, acceptor), tls),
            (
                shared(Listener::Admin, site.admin(admin), None),
                admin_listeners,
            ),
        ];
        let mut addresses = Addresses::default();
        for (shared, listeners) in kinds {
            let known = match shared.listener {
                Listener::Plain => &mut addresses.plain,
                Listener::Tls => &mut addresses.tls,
                Listener::Admin => &mut addresses.admin,
            };
            for (address, listener) in listeners {
                known.push(address);
                tasks.spawn(Arc::clone(&shared).accept(listener));
            }
        }
        if let Some(certificates) = certificates {
            tasks.spawn(renew(certificates, stop.clone()));
        }
        Ok(Self {
            addresses,
            stop,
            abort,
            tasks,
            websockets: open,
        })
    }

    /// Where is listened.
    #[must_use]
    pub const fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// Waits until no WebSocket is open; at once when there is none.
    pub async fn no_websockets(&self) {
        let mut open = self.websockets.clone();
        // An error means that the listeners are gone, and their WebSockets with them.
        let _ = open.wait_for(|open| *open == 0).await;
    }

    /// Stops listening, lets requests and WebSockets end, and after 1.2 s ends them. Whoever owns
    /// the WebSockets should be closing them meanwhile.
    pub async fn shutdown(self) {
        self.stop.cancel();
        self.tasks.close();
        if tokio::time::timeout(GRACE, self.tasks.wait())
            .await
            .is_err()
        {
            tracing::debug!("connections were still open and are cut off");
            self.abort.cancel();
            self.tasks.wait().await;
        }
    }
}

impl Drop for Http {
    fn drop(&mut self) {
        self.stop.cancel();
        self.abort.cancel();
    }
}

/// `[::]` takes IPv4 connections too; where there is no IPv6 at all, `0.0.0.0` is what was meant.
fn bind(address: SocketAddr) -> io::Result<(SocketAddr, TcpListener)> {
    let without_ipv6 = |error: &io::Error| {
        matches!(
            error.kind(),
            io::ErrorKind::AddrNotAvailable | io::ErrorKind::Unsupported
        ) || error.raw_os_error() == Some(EAFNOSUPPORT)
    };
    let listener = match std::net::TcpListener::bind(address) {
        Err(error) if address.ip() == IpAddr::from([0u16; 8]) && without_ipv6(&error) => {
            std::net::TcpListener::bind((Ipv4Addr::UNSPECIFIED, address.port()))
        }
        outcome => outcome,
    }?;
    listener.set_nonblocking(true)?;
    Ok((listener.local_addr()?, TcpListener::from_std(listener)?))
}

async fn renew(certificates: Arc<Certificates>, stop: CancellationToken) {
    let mut checks = tokio::time::interval(RENEWAL_CHECK);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = checks.tick() => {}
        }
        if let Err(error) = certificates.renew(SystemTime::now()) {
            tracing::error!(%error, "certificate for HTTPS could not be renewed");
        }
    }
}

impl Shared {
    async fn accept(self: Arc<Self>, listener: TcpListener) {
        loop {
            let permit = tokio::select! {
                () = self.stop.cancelled() => return,
                permit = Arc::clone(&self.permits).acquire_owned() => permit,
            };
            // The semaphore is never closed.
            let Ok(permit) = permit else { return };
            let accepted = tokio::select! {
                () = self.stop.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => {
                    let presence = Arc::new(Presence::new(
                        self.metrics.clone(),
                        self.websockets.clone(),
                        permit,
                        self.tasks.token(),
                    ));
                    self.tasks
                        .spawn(Arc::clone(&self).serve(stream, peer, presence));
                }
                Err(error) => {
                    self.metrics.refused("accept");
                    if self.may_warn() {
                        tracing::error!(%error, listener = %self.listener, "connections cannot be accepted");
                    }
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn serve(self: Arc<Self>, stream: TcpStream, peer: SocketAddr, presence: Arc<Presence>) {
        let Ok(local) = stream.local_addr() else {
            return;
        };
        // Signalling is small messages that somebody waits for.
        let _ = stream.set_nodelay(true);
        let arrival = Arrival {
            peer,
            local,
            secure: self.tls.is_some(),
        };
        let stream = Guarded::new(
            stream,
            self.abort.clone(),
            self.limits.stall_time,
            Arc::clone(&presence),
        );
        match &self.tls {
            None => Arc::clone(&self).converse(stream, arrival, presence).await,
            Some(acceptor) => {
                let handshake =
                    tokio::time::timeout(self.limits.handshake_time, acceptor.accept(stream));
                let stream = tokio::select! {
                    () = self.stop.cancelled() => return,
                    handshake = handshake => handshake,
                };
                match stream {
                    Ok(Ok(stream)) => Arc::clone(&self).converse(stream, arrival, presence).await,
                    Ok(Err(_)) | Err(_) => self.metrics.refused("tls"),
                }
            }
        }
    }

    /// Speaks HTTP until the client leaves, the server stops, or the connection turns into a
    /// WebSocket and is its handler's.
    async fn converse<S>(self: Arc<Self>, stream: S, arrival: Arrival, presence: Arc<Presence>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let shared = Arc::clone(&self);
        let service = service_fn(move |request| {
            let (shared, presence) = (Arc::clone(&shared), Arc::clone(&presence));
            async move {
                let answer = shared.answer(arrival, request).await;
                if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
                    presence.upgraded();
                }
                Ok::<_, Infallible>(answer)
            }
        });
        let mut http = hyper::server::conn::http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(self.limits.header_time)
            .max_header_size(self.limits.header_bytes);
        let connection = http
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        tokio::pin!(connection);
        let outcome = tokio::select! {
            outcome = connection.as_mut() => outcome,
            () = self.stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = outcome {
            if error.is_timeout() {
                self.metrics.refused("header_time");
            } else if error.is_parse() || error.is_parse_too_large() {
                self.metrics.refused("malformed");
            }
            tracing::trace!(%error, listener = %self.listener, "connection ended");
        }
    }

    async fn answer(&self, arrival: Arrival, request: Request<Incoming>) -> Response<Body> {
        let mut answer = match self.admit(arrival, request) {
            Ok(request) => {
                let answered = self.router.clone().oneshot(request);
                match tokio::time::timeout(self.limits.request_time, answered).await {
                    Ok(Ok(answer)) => answer,
                    Err(_) => {
                        self.metrics.refused("request_time");
                        StatusCode::REQUEST_TIMEOUT.into_response()
                    }
                }
            }
            Err(status) => {
                // The rest of the request is not read.
                let close = (header::CONNECTION, HeaderValue::from_static("close"));
                (status, [close]).into_response()
            }
        };
        headers::common(answer.headers_mut());
        self.metrics.answered(self.listener, answer.status());
        answer
    }

    /// The request with its client found out, or the status it is refused with.
    fn admit(
        &self,
        arrival: Arrival,
        mut request: Request<Incoming>,
    ) -> Result<Request<Incoming>, StatusCode> {
        let head = Head {
            uri: request.uri(),
            version: request.version(),
            headers: request.headers(),
        };
        let resolved = door::resolve(&self.trusted, arrival, head).map_err(|_| {
            self.metrics.refused("host");
            StatusCode::BAD_REQUEST
        })?;
        if resolved.forwarding_ignored {
            self.metrics.forwarding_ignored.inc();
            self.warn_of_forwarding(arrival.peer.ip().to_canonical());
        }
        let too_long = request
            .headers()
            .get(header::CONTENT_LENGTH)
            .and_then(|value| value.to_str().ok()?.parse::<u64>().ok())
            .is_some_and(|length| length > self.limits.body_bytes as u64);
        if too_long {
            self.metrics.refused("body_bytes");
            return Err(StatusCode::PAYLOAD_TOO_LARGE);
        }
        request.extensions_mut().insert(resolved.client);
        Ok(request)
    }

    fn warn_of_forwarding(&self, peer: IpAddr) {
        if !self.may_warn() {
            return;
        }
        // An address in a private network is a machine of the operator's, who needs to know which;
        // any other is somebody's.
        let private = match peer {
            IpAddr::V4(v4) => v4.is_private() || v4.is_loopback() || v4.is_link_local(),
            IpAddr::V6(v6) => {
                v6.is_unique_local() || v6.is_loopback() || v6.is_unicast_link_local()
            }
        };
        let peer = if private {
            peer.to_string()
        } else {
            "a public address".to_owned()
        };
        tracing::warn!(
            %peer,
            key = "http.trusted_proxies",
            "forwarded headers ignored: if this is a reverse proxy of yours, add it to the key"
        );
    }

    fn may_warn(&self) -> bool {
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let due = warned.is_none_or(|last| now.duration_since(last) >= WARN_EVERY);
        if due {
            *warned = Some(now);
        }
        due
    }
}
