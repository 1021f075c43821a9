//! How much each receiver's path carries, found out from transport-cc feedback (protocol 5 §12.2;
//! docs/develop/congestion.md says which algorithm this is and where it differs).
//!
//! ```text
//!  packets out ─► SentPackets ◄─ feedback
//!                     │ results
//!      ┌──────────────┼───────────────┬────────────┐
//!      ▼              ▼               ▼            ▼
//!   Groups ─► Trendline    Throughput    LossBased   Measurements ◄─┐
//!              │ usage        │ acked       │           │ rate      │ clusters
//!              └───► Aimd ◄───┴─────────────┼───────────┘           │
//!                      └──── min ◄──────────┘                       │
//!                             │ estimate ───────────► Probing ──────┘
//! ```
//!
//! Everything in here is arithmetic on its arguments: no clock, no I/O, no knowledge of sources.

mod aimd;
mod alr;
mod burst;
mod capacity;
mod delay;
mod downlink;
mod estimator;
mod groups;
mod loss;
mod measured;
mod pacer;
mod probing;
mod sent;
mod throughput;
mod trendline;

pub(crate) use downlink::{Downlink, ESTIMATION, Waiting};
pub(crate) use estimator::Estimator;
pub(crate) use pacer::{Full, TICK};
pub(crate) use sent::{PacketResult, SentPackets};

/// What is assumed of a path before anything is known, in bit/s.
pub(crate) const FIRST_RATE: u64 = 2_500_000;
/// The least estimate, in bit/s.
pub(crate) const MIN_RATE: u64 = 30_000;
/// The greatest estimate, in bit/s.
pub(crate) const MAX_RATE: u64 = 20_000_000;
