//! The data directory: everything Althing keeps lies under it, and one process owns it.
//!
//! It is private (mode 0700), locked for as long as it is open, and its files appear whole or not
//! at all. What the files mean is their owners' business.
//!
//! ```text
//!   DataDir::open(path) ── mode 0700 ── lock ──► write(name, bytes)   temporary file, fsync, rename
//!                                       │        read(name)
//!                                       └─ held: "… is in use by process 4711"
//! ```

mod directory;

pub use directory::{DataDir, StoreError};
