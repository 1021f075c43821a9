//! Sockets: the one media port, once per worker and address.

mod lost;
mod receive;
mod send;
mod socket;
mod together;

pub(crate) use lost::{Inodes, lost};
pub(crate) use receive::{Arrivals, ReceiveBuffers};
pub(crate) use send::{SendQueue, Spot, Wire};
pub(crate) use socket::{Socket, bind_all};
