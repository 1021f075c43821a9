//! The running bridge: sockets, worker threads, endpoints and the bridge channel.
mod bridge;
mod candidates;
mod settings;

pub use bridge::{Bridge, StartError};
pub use settings::{Advertise, AdvertiseError, MAX_WORKERS, Settings};
