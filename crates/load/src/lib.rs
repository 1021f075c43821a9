//! Load scenarios made of headless clients: who joins, for how long, what each heard and saw, and
//! what the server spent on it.
//!
//! ```text
//!   Scenario ──► LoadSettings ──► run ──┬─ bot-0 (speaks)  ─┐
//!                                       ├─ bot-1 (speaks)   ├──► Report: promises kept or broken,
//!                     /metrics ─────────┤ …                 │    figures (JSON: base units)
//!                                       └─ bot-N (listens) ─┘
//! ```
//!
//! Occupants are real: signalling, ICE, DTLS, SRTP, the bridge channel. Every packet names its
//! sender, number and time, so that loss, mixing and delay are counted, not estimated. Sender and
//! receiver share one clock, because they share one machine.

mod generator;
mod progress;
mod promise;
mod report;
mod run;
mod scenario;
mod server;
mod text;

pub use progress::{Live, Progress};
pub use promise::{Limits, Promise};
pub use report::{
    DelayReport, GeneratorReport, KindReport, MomentReport, PictureReport, Report, ServerMoment,
    ServerReport, ShareReport, TimesReport,
};
pub use run::run;
pub use scenario::{LoadSettings, Scenario, Share};
