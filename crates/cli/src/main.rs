//! The `althing` program: reads what it is told, ties the shells together, and stops them again.
//!
//! ```text
//!   flags, ALTHING_*, file ──► config ──► settings of each shell
//!                                             │
//!   data directory ── http ──routers── api ══bus══ signalling ══bus══ bridge
//!        (store)        └── registry (telemetry) ──┴────────┘
//! ```

mod announce;
mod api;
mod arguments;
mod auth;
mod check;
mod drain;
mod entropy;
mod init;
mod load;
mod machine;
mod rooms;
mod serve;
mod token;

use std::process::ExitCode;

/// Signalling makes many small, short-lived allocations on several threads, and every meeting goes
/// to one media thread, the next perhaps to another. Allocators that keep freed memory per thread (the
/// C library's, mimalloc) so hold as much as the largest meeting took once for every thread. jemalloc
/// is built (`.cargo/config.toml`) with one arena for all, small caches per thread, and a thread of its
/// own that gives back to the system what is unused for a second: after a meeting of 50 the program
/// has 20 MB resident, and after the next, on whatever thread, 20 MB. Media allocates nothing per
/// packet, so the one arena has no queue. It is compiled in: nothing is linked for it.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// What a release calls itself.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Keeps the system from backing our memory with pages of 2 MiB, as some do for everybody: one byte
/// in use makes the whole of such a page resident. With them a meeting of 50 left 55 MB, not 25.
/// Media is no faster with them (docs/develop/benchmarks.md).
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
