//! Sockets: the one media port, once per worker and address.

mod receive;
mod send;
mod socket;

pub(crate) use receive::ReceiveBuffers;
pub(crate) use send::{SendQueue, Spot, Wire};
pub(crate) use socket::{Socket, bind_all};
