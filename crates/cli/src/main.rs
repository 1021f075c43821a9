//! The althing program.
fn main() {}
