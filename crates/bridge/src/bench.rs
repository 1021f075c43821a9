//! Doors for the benchmark of the packet path; nothing else may use them.

pub use crate::worker::bench::{Crowd, Kind, Meeting, Outcome, Speaker};
