use crate::Settings;
use crate::admin;
use crate::candidates::candidates;
use crate::channel::{self, Channels, Service};
use crate::control;
use crate::drain::Drain;
use crate::limits::Ceilings;
use crate::metrics::BridgeCollector;
use crate::net::bind_all;
use crate::watch::{Shedding, watch};
use crate::worker::{self, Command, MAX_GONE, Shared, WorkerHandle, WorkerParts};
use althing_bus::Bus;
use althing_transport::Certificate;
use axum::Router;
use prometheus_client::registry::Registry;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Instant;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Why a bridge could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The media port is taken, or the address is not ours.
    #[error("cannot listen for media on UDP {address}: {source}")]
    Bind {
        /// What was asked for.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The addresses of this machine could not be read.
    #[error("cannot list network interfaces: {0}")]
    Interfaces(io::Error),
    /// No thread or no descriptor: the system is out of something.
    #[error("cannot start media worker: {0}")]
    Worker(io::Error),
    /// The DTLS certificate could not be made.
    #[error("cannot make a DTLS certificate: {0}")]
    Certificate(#[from] althing_transport::Error),
}

/// A running bridge. Dropped without [`shutdown`](Self::shutdown) it ends as well, but nobody
/// waits for it.
#[derive(Debug)]
pub struct Bridge {
    candidates: Vec<SocketAddr>,
    service: Arc<Service>,
    threads: Vec<JoinHandle<()>>,
    stop: CancellationToken,
    started: Instant,
}

impl Bridge {
    /// Binds the media sockets, starts the workers and answers on the bus. Must be called inside a
    /// tokio runtime.
    ///
    /// # Errors
    /// [`StartError`] when the port is taken or the system refuses something.
    pub fn start(
        settings: Settings,
        bus: Arc<dyn Bus>,
        registry: &mut Registry,
    ) -> Result<Self, StartError> {
        let certificate = Certificate::generate()?;
        let sockets = bind_all(settings.port, &settings.bind, settings.worker_count())?;
        let bound: Vec<SocketAddr> = sockets
            .first()
            .into_iter()
            .flatten()
            .map(|socket| socket.bound)
            .collect();
        let interfaces: Vec<_> = if_addrs::get_if_addrs()
            .map_err(StartError::Interfaces)?
            .iter()
            .map(if_addrs::Interface::ip)
            .collect();
        let candidates = candidates(&bound, &interfaces, &settings.advertise);

        let parts = sockets
            .into_iter()
            .map(WorkerParts::new)
            .collect::<Result<Vec<_>, _>>()?;
        let sockets = parts.iter().map(WorkerParts::inodes).collect();
        let workers: Vec<WorkerHandle> = parts.iter().map(|part| part.handle.clone()).collect();
        let channels = Arc::new(Channels::default());
        let (gone_sender, gone) = mpsc::channel(MAX_GONE);
        let shared = Arc::new(Shared {
            node: settings.node.clone(),
            candidates: candidates.clone(),
            certificate,
            bus: bus.clone(),
            channels: channels.clone(),
            peers: parts.iter().map(|part| part.peer.clone()).collect(),
            forwarding: settings.of_conferences(),
            limits: settings.limits,
            patience: settings.patience,
            ceilings: Ceilings::new(&settings.limits),
            gone: gone_sender,
        });
        let service = Arc::new(Service {
            node: settings.node,
            channels,
            workers,
            tasks: TaskTracker::new(),
            messages_per_second: settings.limits.messages_per_second,
            drain: Drain::default(),
            figures: Mutex::default(),
        });
        let mut bridge = Self {
            candidates: candidates.iter().map(|c| c.address).collect(),
            service: service.clone(),
            threads: Vec::with_capacity(parts.len()),
            stop: CancellationToken::new(),
            started: Instant::now(),
        };
        for (index, part) in parts.into_iter().enumerate() {
            // On failure dropping `bridge` ends those that run already.
            let thread = worker::start(index, part, shared.clone())?;
            bridge.threads.push(thread);
        }
        // Subscribed before we return, so that no request of whoever started us is too early.
        let requests = bus.subscribe(&althing_control::bridge_subject(&service.node));
        service.tasks.spawn(control::serve(
            requests,
            gone,
            service.clone(),
            settings.split_above,
            bridge.stop.clone(),
        ));
        let shedding = if settings.shed_load {
            Shedding::On
        } else {
            Shedding::Off
        };
        let stop = bridge.stop.clone();
        service
            .tasks
            .spawn(watch(service.clone(), bus, sockets, shedding, stop));
        BridgeCollector::register(&service, registry);
        tracing::info!(
            workers = bridge.threads.len(),
            port = bound.first().map(SocketAddr::port),
            candidates = ?bridge.candidates,
            "bridge started"
        );
        Ok(bridge)
    }

    /// The addresses offered to clients, best first.
    #[must_use]
    pub fn candidates(&self) -> Vec<SocketAddr> {
        self.candidates.clone()
    }

    /// Whether new meetings should go elsewhere: the switch that `/colibri/drain/…` turns too.
    #[must_use]
    pub fn drain(&self) -> Drain {
        self.service.drain.clone()
    }

    /// The public routes: `/colibri-ws/…`.
    pub fn router(&self) -> Router {
        channel::router(self.service.clone())
    }

    /// The operator's routes: `/about/health`, `/about/version`, `/colibri/stats` and `/stats`,
    /// `/colibri/drain`, `/colibri/drain/enable` and `/disable`, `/debug` and `/debug/{conference}`.
    pub fn admin_router(&self) -> Router {
        admin::router(
            self.service.clone(),
            self.started,
            !self.candidates.is_empty(),
        )
    }

    /// Ends every endpoint, closes the sockets and waits for threads and tasks; about a second at
    /// most, which clients have to answer the closing of their channels.
    pub async fn shutdown(mut self) {
        self.stop.cancel();
        let threads = std::mem::take(&mut self.threads);
        let workers = self.service.workers.clone();
        let joined = tokio::task::spawn_blocking(move || {
            for worker in &workers {
                worker.tell(Command::Stop);
            }
            for thread in threads {
                if thread.join().is_err() {
                    tracing::error!("a media worker had died of a bug");
                }
            }
        });
        if joined.await.is_err() {
            tracing::error!("media workers could not be waited for");
        }
        // A worker that died of a bug has left its channels open.
        self.service.channels.end_all();
        self.service.tasks.close();
        self.service.tasks.wait().await;
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        self.stop.cancel();
        if !self.threads.is_empty() {
            for worker in &self.service.workers {
                worker.tell(Command::Stop);
            }
        }
    }
}

#[cfg(test)]
mod tests;
