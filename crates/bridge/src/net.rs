//! Sockets: the one media port, once per worker and address.

mod receive;
mod send;
mod socket;

pub(crate) use receive::{MAX_DATAGRAM, ReceiveBuffers};
pub(crate) use send::{SendCounters, SendQueue, Spot, Wire};
pub(crate) use socket::{Socket, bind_all};
