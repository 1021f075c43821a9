use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use std::time::Instant;

/// Reads the process's own figures from the kernel at the moment they are asked for, so that they
/// cost nothing while nobody looks.
#[derive(Debug)]
pub(crate) struct ProcessCollector {
    started: Instant,
}

impl Default for ProcessCollector {
    fn default() -> Self {
        Self {
            started: Instant::now(),
        }
    }
}

/// A field of `/proc/self/status` by its name, the number only; `VmRSS` is in kibibytes.
fn status_field(status: &str, name: &str) -> Option<i64> {
    status
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?
        .split_whitespace()
        .next()?
        .parse()
        .ok()
}

fn cpu_seconds() -> Option<f64> {
    let usage = getrusage(UsageWho::RUSAGE_SELF).ok()?;
    let microseconds =
        usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    // A microsecond count stays exact in an f64 for 285 years.
    Some(microseconds as f64 / 1e6)
}

impl Collector for ProcessCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let mut gauge = |name: &str, help: &str, value: f64| {
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)
        };
        gauge(
            "process_uptime_seconds",
            "Time since the program started.",
            self.started.elapsed().as_secs_f64(),
        )?;
        // Where /proc is not mounted the figure is left out rather than reported as zero.
        if let Ok(status) = std::fs::read_to_string("/proc/self/status") {
            if let Some(kibibytes) = status_field(&status, "VmRSS") {
                gauge(
                    "process_resident_memory_bytes",
                    "Memory in use that is held in RAM.",
                    (kibibytes * 1024) as f64,
                )?;
            }
            if let Some(threads) = status_field(&status, "Threads") {
                gauge("process_threads", "Threads running.", threads as f64)?;
            }
        }
        if let Ok(entries) = std::fs::read_dir("/proc/self/fd") {
            // One of them is the directory that is being read.
            let open = entries.count().saturating_sub(1);
            gauge(
                "process_open_fds",
                "File descriptors open.",
                u32::try_from(open).unwrap_or(u32::MAX).into(),
            )?;
        }
        if let Some(seconds) = cpu_seconds() {
            let counter = ConstCounter::new(seconds);
            counter.encode(encoder.encode_descriptor(
                "process_cpu_seconds",
                "Processor time used, in user and kernel mode.",
                None,
                MetricType::Counter,
            )?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_fields_are_found_by_their_whole_name() {
        let status = "Name:\talthing\nVmRSSX:\t1 kB\nVmRSS:\t   2048 kB\nThreads:\t9\n";
        assert_eq!(status_field(status, "VmRSS"), Some(2048));
        assert_eq!(status_field(status, "Threads"), Some(9));
        assert_eq!(status_field(status, "VmSwap"), None);
    }

    #[test]
    fn this_process_has_used_processor_time() {
        assert!(cpu_seconds().is_some_and(|s| s >= 0.0));
    }
}
