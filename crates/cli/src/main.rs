//! The `althing` program: reads what it is told, ties the shells together, and stops them again.
//!
//! ```text
//!   flags, ALTHING_*, file ──► config ──► settings of each shell
//!                                             │
//!   data directory ── http ──routers── signalling ══bus══ bridge
//!        (store)        └── registry (telemetry) ──┴────────┘
//! ```

mod announce;
mod arguments;
mod auth;
mod check;
mod entropy;
mod init;
mod load;
mod machine;
mod serve;
mod token;

use std::process::ExitCode;

/// Signalling makes many small, short-lived allocations on several threads, and a meeting's end
/// frees what other threads allocated. The C library's allocator keeps such memory in per-thread
/// arenas, where it stays resident from one meeting to the next; mimalloc gives it back to the
/// thread that asks next. It is compiled in: nothing is linked for it. It is built not to ask for
/// huge pages, see [`small_pages`].
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What a release calls itself.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Keeps the system from backing our memory with pages of 2 MiB, of which one used byte makes the
/// whole resident: with them the program takes twice the memory, and what a meeting leaves in use
/// here and there grows from round to round. Media is not slower without; docs/develop/benchmarks.md
/// has the figures.
fn small_pages() {
    // A system that knows no huge pages has none to keep away.
    nix::sys::prctl::set_thp_disable(true).ok();
}

/// Exit codes: 0 done, 1 it did not work (and stderr says why), 2 not understood.
fn main() -> ExitCode {
    small_pages();
    let matches = arguments::command().get_matches();
    let done = match matches.subcommand() {
        Some(("serve", matches)) => serve::serve(matches),
        Some(("check-config", matches)) => check::check_config(matches),
        Some(("token", matches)) => token::run(matches),
        Some(("init", matches)) => init::run(matches),
        Some(("load", matches)) => load::run(matches),
        // Clap has asked for a subcommand that is known.
        _ => Ok(()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            machine::complain(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}
