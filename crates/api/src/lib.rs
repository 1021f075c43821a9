//! The server interface.
