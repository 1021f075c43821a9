//! What this program itself took, so that nobody mistakes its limits for the server's.

use crate::GeneratorReport;
use althing_client::HubCounts;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;

/// Processor time of this process so far, in seconds.
pub(crate) fn cpu() -> f64 {
    getrusage(UsageWho::RUSAGE_SELF).map_or(0.0, |usage| {
        let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
        micros as f64 / 1e6
    })
}

/// A field of `/proc/self/status` in bytes; 0 where there is none.
fn memory(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))
        .and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok())
        .map_or(0, |kibibytes| kibibytes * 1024)
}

/// So many seconds of processor time were spent in the stay of `seconds`, and on joining.
pub(crate) fn report(
    (cpu_seconds, join_cpu_seconds): (f64, f64),
    seconds: f64,
    counts: HubCounts,
    left_out: u64,
) -> GeneratorReport {
    GeneratorReport {
        cpu_seconds,
        cores: if seconds > 0.0 {
            cpu_seconds / seconds
        } else {
            0.0
        },
        join_cpu_seconds,
        memory_bytes: memory("VmRSS"),
        packets_overflowed: counts.overflowed,
        packets_unsent: counts.unsent,
        packets_left_out: left_out,
        packets_lost_on_purpose: counts.lost_by_links,
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn this_process_takes_something() {
        assert!(super::cpu() > 0.0);
        assert!(super::memory("VmRSS") > 1_000_000);
    }
}
