//! The log and the metrics: how a running Althing is watched from outside.
//!
//! Shells receive a `&mut Registry` when they start and register what they count; the program then
//! freezes it and `http` writes it out with [`encode`]. Names follow one rule:
//! `althing_<part>_<thing>_<unit>`, in base units (seconds, bytes), counters ending in `_total`
//! (the encoder adds that ending itself), labels from a small closed set: never a room, an
//! endpoint or an address.
//!
//! ```text
//!   shell ──register──► Registry ──encode──► GET /metrics      (admin listener)
//!   shell ──tracing───► subscriber ────────► stderr, text or JSON
//! ```
//!
//! It knows no room, endpoint or stanza: no domain crate is among its dependencies.

mod log;
mod metrics;
mod process;

pub use log::{LogError, LogFormat, LogSettings, start_log};
pub use metrics::{CONTENT_TYPE, encode, registry};
pub use prometheus_client::registry::{Registry, Unit};
