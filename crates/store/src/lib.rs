//! The data directory: everything Althing keeps lies under it, and one process owns it.
//!
//! It is private (mode 0700), locked for as long as it is open, and its files appear whole or not
//! at all. What must survive a restart and is not a file of its own lies in one embedded database
//! in it. What files and rows mean is their owners' business.
//!
//! ```text
//!   DataDir::open(path) ── mode 0700 ── lock ──► write(name, bytes)   temporary file, fsync, rename
//!                                       │        read(name)
//!                                       │        append(name)
//!                                       └─ held: "… is in use by process 4711"
//!
//!   Database::open(&data) ── schema newer than ours: refused ──► put, get, remove, all
//! ```

mod database;
mod directory;

pub use database::{Database, SCHEMA, Table};
pub use directory::{DataDir, StoreError};
