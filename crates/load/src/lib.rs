//! Load scenarios made of headless clients: who joins, for how long, and what each heard.
//!
//! ```text
//!   LoadSettings ──► run ──┬─ bot-0 (speaks)  ─┐
//!                          ├─ bot-1 (speaks)   ├──► Report (JSON: base units)
//!                          └─ bot-N (listens) ─┘
//! ```
//!
//! Occupants are real: signalling, ICE, DTLS, SRTP, the bridge channel. Every packet names its
//! sender, number and time, so that loss, mixing and delay are counted, not estimated. Sender and
//! receiver share one clock, because they share one process.

mod report;
mod run;

pub use report::{DelayReport, KindReport, Report};
pub use run::{LoadSettings, Progress, run};
