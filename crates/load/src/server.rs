//! What the server says about itself on its `/metrics` page.

use crate::report::bundles;
use crate::{ServerMoment, ServerReport};
use althing_client::Url;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// More than any page of ours.
const MOST_BYTES: u64 = 4 * 1024 * 1024;
const PATIENCE: Duration = Duration::from_secs(5);

const CPU: &str = "althing_process_cpu_seconds_total";
/// Buffers and histories have their size so long after what fills them began.
const SETTLING: Duration = Duration::from_secs(5);
const MEMORY: &str = "althing_process_resident_memory_bytes";

/// Every sample of a page, with its labels in the name.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Metrics(BTreeMap<String, f64>);

impl Metrics {
    /// Reads the text format of Prometheus; what is no sample is passed over.
    pub(crate) fn parse(page: &str) -> Self {
        let samples = page
            .lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| {
                let (name, value) = line.trim_end().rsplit_once(' ')?;
                Some((name.to_owned(), value.parse().ok()?))
            });
        Self(samples.collect())
    }

    fn get(&self, name: &str) -> Option<f64> {
        self.0.get(name).copied()
    }

    /// The label's values and the samples of a family with one label.
    fn family(&self, name: &str) -> impl Iterator<Item = (String, f64)> {
        self.0.iter().filter_map(move |(sample, value)| {
            let labels = sample.strip_prefix(name)?.strip_prefix('{')?;
            let value_of = labels.split('"').nth(1)?;
            Some((value_of.to_owned(), *value))
        })
    }

    pub(crate) fn cpu(&self) -> Option<f64> {
        self.get(CPU)
    }

    pub(crate) fn memory(&self) -> Option<f64> {
        self.get(MEMORY)
    }

    /// The worst of a family with one label.
    fn worst(&self, name: &str) -> f64 {
        self.family(name)
            .map(|(_, value)| value)
            .fold(0.0, f64::max)
    }

    /// Whether there is what a report needs.
    pub(crate) fn is_ours(&self) -> bool {
        self.cpu().is_some()
    }
}

/// Fetches the page.
pub(crate) async fn fetch(url: &Url) -> Result<Metrics, String> {
    let page = tokio::time::timeout(PATIENCE, get(url))
        .await
        .map_err(|_| format!("{url} did not answer within {PATIENCE:?}"))?
        .map_err(|error| format!("{url}: {error}"))?;
    let metrics = Metrics::parse(&body(&page).ok_or_else(|| format!("{url} is not such a page"))?);
    if metrics.is_ours() {
        Ok(metrics)
    } else {
        Err(format!("{url} has no {CPU}: is it the admin listener's?"))
    }
}

async fn get(url: &Url) -> std::io::Result<String> {
    let host = url.host_str().unwrap_or_default();
    let port = url.port_or_known_default().unwrap_or(80);
    let address = (host.trim_matches(['[', ']']), port);
    let mut stream = TcpStream::connect(address).await?;
    let request = format!(
        "GET {} HTTP/1.0\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n",
        url.path()
    );
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.take(MOST_BYTES).read_to_string(&mut answer).await?;
    Ok(answer)
}

/// The body of a good answer, put together if it came in chunks.
fn body(answer: &str) -> Option<String> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let mut lines = head.lines();
    let status = lines.next()?.split(' ').nth(1)?;
    if status != "200" {
        return None;
    }
    let chunked = lines.any(|line| {
        let line = line.to_ascii_lowercase();
        line.starts_with("transfer-encoding:") && line.contains("chunked")
    });
    if !chunked {
        return Some(body.to_owned());
    }
    let mut whole = String::new();
    let mut rest = body;
    loop {
        let (size, after) = rest.split_once("\r\n")?;
        let size = usize::from_str_radix(size.split(';').next()?.trim(), 16).ok()?;
        if size == 0 {
            return Some(whole);
        }
        whole.push_str(after.get(..size)?);
        rest = after.get(size..)?.strip_prefix("\r\n")?;
    }
}

/// The samples of one run.
#[derive(Debug, Clone, Default)]
pub(crate) struct Samples {
    /// Before the first joined.
    pub(crate) before: Metrics,
    /// When everybody was in.
    pub(crate) steady: Metrics,
    /// Before the first left.
    pub(crate) after: Metrics,
    /// About each second of the stay.
    moments: Vec<ServerMoment>,
    /// Seconds into the stay at which the last planned change of what is sent was over.
    settled: u64,
    stress: f64,
    shedding: f64,
}

impl Samples {
    /// Takes in what the server said `after` the stay began; since it said so last, it took
    /// `cores`.
    pub(crate) fn note(&mut self, after: Duration, metrics: &Metrics, cores: f64) {
        let stress = metrics.worst("althing_bridge_worker_stress");
        if let Some(memory) = metrics.memory() {
            self.moments.push(ServerMoment {
                seconds: after.as_secs(),
                memory_bytes: memory as u64,
                cores,
                stress,
            });
        }
        self.stress = self.stress.max(stress);
        self.shedding = self
            .shedding
            .max(metrics.worst("althing_bridge_worker_shedding"));
    }

    /// What is sent from now on is more than before; memory that this takes is no growth.
    pub(crate) fn changed(&mut self, after: Duration) {
        self.settled = (after + SETTLING).as_secs();
    }

    /// `delivered` are the packets that occupants received in the stay of `seconds`.
    pub(crate) fn report(&self, delivered: u64, seconds: f64, joined: usize) -> ServerReport {
        let over = |name: &str| {
            let (from, to) = (self.steady.get(name), self.after.get(name));
            (to.unwrap_or(0.0) - from.unwrap_or(0.0)).max(0.0)
        };
        let cpu = over(CPU);
        let gigabits = over("althing_bridge_bytes_sent_total") * 8.0 / 1e9;
        let part = |of: f64, all: f64| if all > 0.0 { of / all } else { 0.0 };
        let join_cpu = self.steady.cpu().unwrap_or(0.0) - self.before.cpu().unwrap_or(0.0);
        let memory = |metrics: &Metrics| metrics.memory().unwrap_or(0.0);
        let grown = (memory(&self.steady) - memory(&self.before)).max(0.0);
        let dropped = |family: &str| -> BTreeMap<String, u64> {
            let before: BTreeMap<String, f64> = self.before.family(family).collect();
            self.after
                .family(family)
                .map(|(reason, count)| {
                    let earlier = before.get(&reason).copied().unwrap_or(0.0);
                    (reason, (count - earlier).max(0.0) as u64)
                })
                .filter(|(_, count)| *count > 0)
                .collect()
        };
        ServerReport {
            cpu_seconds: cpu,
            cores: part(cpu, seconds),
            cpu_seconds_per_delivered_packet: part(cpu, delivered as f64),
            cpu_seconds_per_gigabit: part(cpu, gigabits),
            join_cpu_seconds: join_cpu.max(0.0),
            join_cpu_seconds_per_occupant: part(join_cpu.max(0.0), joined as f64),
            delivered_packets: delivered,
            rtp_packets_received: over("althing_bridge_rtp_packets_received_total") as u64,
            rtp_packets_sent: over("althing_bridge_rtp_packets_sent_total") as u64,
            rtcp_packets_received: over("althing_bridge_rtcp_packets_received_total") as u64,
            bytes_sent: over("althing_bridge_bytes_sent_total") as u64,
            retransmissions: over("althing_bridge_retransmissions_total") as u64,
            keyframe_requests_sent: over("althing_bridge_keyframe_requests_sent_total") as u64,
            memory_bytes: memory(&self.after) as u64,
            memory_bytes_per_occupant: part(grown, joined as f64) as u64,
            memory_growth: growth(&self.moments, self.settled),
            worst_stress: self.stress,
            worst_shedding: self.shedding as u64,
            packets_dropped: dropped("althing_bridge_packets_dropped_total"),
            send_errors: dropped("althing_bridge_send_errors_total"),
            timeline: bundles(&self.moments, worst),
        }
    }
}

/// Several moments as one: the greatest of each.
fn worst(part: &[ServerMoment]) -> ServerMoment {
    let most = |of: fn(&ServerMoment) -> f64| part.iter().map(of).fold(0.0, f64::max);
    ServerMoment {
        seconds: part.first().map_or(0, |m| m.seconds),
        memory_bytes: part.iter().map(|m| m.memory_bytes).max().unwrap_or(0),
        cores: most(|m| m.cores),
        stress: most(|m| m.stress),
    }
}

/// By how much the mean memory of the last quarter is above that of the first, both of the time
/// from `settled` on; nothing of a short series.
fn growth(moments: &[ServerMoment], settled: u64) -> Option<f64> {
    const SHORTEST: usize = 20;
    let moments = &moments[moments.partition_point(|m| m.seconds < settled)..];
    if moments.len() < SHORTEST {
        return None;
    }
    let quarter = moments.len() / 4;
    let mean = |part: &[ServerMoment]| {
        part.iter().map(|m| m.memory_bytes as f64).sum::<f64>() / part.len() as f64
    };
    let (first, last) = (
        mean(&moments[..quarter]),
        mean(&moments[moments.len() - quarter..]),
    );
    (first > 0.0).then(|| last / first - 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "# HELP x y\n\
        althing_process_cpu_seconds_total 12.5\n\
        althing_process_resident_memory_bytes 1000000\n\
        althing_bridge_bytes_sent_total 0\n\
        althing_bridge_packets_dropped_total{reason=\"no_path\"} 3\n\
        # EOF\n";

    fn later() -> Metrics {
        Metrics::parse(
            &PAGE
                .replace("12.5", "14.5")
                .replace("bytes_sent_total 0", "bytes_sent_total 250000000")
                .replace("} 3", "} 10"),
        )
    }

    #[test]
    fn costs_are_shares_of_what_was_spent_in_the_stay() {
        let start = Metrics::parse(PAGE);
        let samples = Samples {
            before: start.clone(),
            steady: start,
            after: later(),
            ..Samples::default()
        };
        let report = samples.report(1_000_000, 4.0, 10);
        assert_eq!(report.cpu_seconds, 2.0);
        assert_eq!(report.cores, 0.5);
        assert_eq!(report.cpu_seconds_per_delivered_packet, 2e-6);
        assert_eq!(report.cpu_seconds_per_gigabit, 1.0);
        assert_eq!(report.packets_dropped["no_path"], 7);
        assert_eq!(report.memory_growth, None);
    }

    #[test]
    fn the_worst_of_all_threads_and_seconds_is_kept() {
        let mut samples = Samples::default();
        for (at, one, two) in [(1, 0.1, 0.7), (2, 0.3, 0.2)] {
            let page = format!(
                "althing_process_resident_memory_bytes 5000\n\
                 althing_bridge_worker_stress{{worker=\"0\"}} {one}\n\
                 althing_bridge_worker_stress{{worker=\"1\"}} {two}\n"
            );
            samples.note(Duration::from_secs(at), &Metrics::parse(&page), 0.5);
        }
        let report = samples.report(0, 1.0, 1);
        assert_eq!(report.worst_stress, 0.7);
        let last = report.timeline.last().unwrap();
        assert_eq!((last.seconds, last.memory_bytes), (2, 5_000));
        assert_eq!((last.cores, last.stress), (0.5, 0.3));
    }

    #[test]
    fn a_page_comes_whole_or_in_chunks() {
        let whole = format!("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{PAGE}");
        assert!(Metrics::parse(&body(&whole).unwrap()).is_ours());
        let (one, two) = PAGE.split_at(30);
        let chunks = format!(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{one}\r\n{:X}\r\n{two}\r\n0\r\n\r\n",
            one.len(),
            two.len()
        );
        assert_eq!(body(&chunks).as_deref(), Some(PAGE));
        assert_eq!(body("HTTP/1.1 404 Not Found\r\n\r\n"), None);
        assert_eq!(body("nonsense"), None);
    }

    #[test]
    fn growth_compares_the_ends_of_a_stay() {
        let moment = |memory_bytes| ServerMoment {
            memory_bytes,
            ..ServerMoment::default()
        };
        let flat = vec![moment(100); 40];
        assert_eq!(growth(&flat, 0), Some(0.0));
        let rising: Vec<_> = (0..40).map(|n| moment(100 + n)).collect();
        assert!(growth(&rising, 0).unwrap() > 0.2);
        assert_eq!(growth(&flat[..10], 0), None);
        // A share begins in the tenth second.
        let step: Vec<_> = (0..40)
            .map(|seconds| ServerMoment {
                seconds,
                ..moment(if seconds < 10 { 50 } else { 100 })
            })
            .collect();
        assert!(growth(&step, 0).unwrap() > 0.9);
        assert_eq!(growth(&step, 10), Some(0.0));
    }
}
