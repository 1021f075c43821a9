//! The door over real WebSockets, with a bridge that only allocates at the other end of the bus.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod bosh;
mod breakouts;
mod garbage;
mod halls;
mod harness;
mod join;
mod life;
mod limits;
mod lobby;
mod media;
mod moderation;
mod resume;
