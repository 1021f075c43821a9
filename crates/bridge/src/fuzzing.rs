//! What fuzzers drive; nothing else may use it.

pub use crate::worker::fuzzing::operations;
