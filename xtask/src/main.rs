//! House rules and generators, run as `cargo xtask NAME`.
//!
//! - `tidy`: dependency directions, single owners, what a core may not touch, file lengths.

mod tidy;

use std::path::PathBuf;

fn main() -> anyhow::Result<()> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .map(PathBuf::from)
        .ok_or_else(|| anyhow::anyhow!("xtask is not inside the workspace"))?;
    match std::env::args().nth(1).as_deref() {
        Some("tidy") => tidy::run(&root),
        Some(other) => anyhow::bail!("no task named '{other}': tidy"),
        None => anyhow::bail!("which task? tidy"),
    }
}
