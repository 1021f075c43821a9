//! The door of the house: listeners, HTTPS, who a client is, the web client and its configuration.
//!
//! ```text
//!   TCP ── TLS? ── HTTP/1.1 ── door ──► ClientInfo ──► routers it was given (XMPP, bridge channel)
//!    │                         │                  └──► config.js, web client, /health
//!    │                         └─ X-Forwarded-* believed from trusted proxies only
//!    └─ bounded: connections, header size and time, body size, time to take what we send
//! ```
//!
//! Three kinds of listener: plain (for localhost and for a reverse proxy), TLS (with a certificate
//! made here), and admin, whose pages exist on no other. It does not know what it serves: it takes
//! routers. It keeps nothing itself: the program hands it a place for its certificate.

mod assets;
mod client_config;
mod connection;
mod door;
mod headers;
mod metrics;
mod place;
mod server;
mod settings;
mod site;
mod tls;

pub use client_config::ClientConfig;
pub use metrics::Metrics;
pub use server::{Addresses, Http, Listener, StartError};
pub use settings::{CertificateStore, Draining, Health, Limits, Rooms, Settings};
pub use tls::CertificateError;
