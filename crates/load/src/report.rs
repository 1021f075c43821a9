use althing_client::{ClientStats, KindStats};
use hdrhistogram::Histogram;
use serde::Serialize;
use std::time::Duration;

/// Delays of one kind of media, in seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct DelayReport {
    /// The median.
    pub p50_seconds: f64,
    /// The 99th percentile.
    pub p99_seconds: f64,
    /// The longest.
    pub max_seconds: f64,
}

impl DelayReport {
    fn of(histogram: &Histogram<u64>) -> Self {
        let seconds = |micros: u64| micros as f64 / 1e6;
        if histogram.is_empty() {
            return Self::default();
        }
        Self {
            p50_seconds: seconds(histogram.value_at_quantile(0.5)),
            p99_seconds: seconds(histogram.value_at_quantile(0.99)),
            max_seconds: seconds(histogram.max()),
        }
    }
}

/// One kind of media, all occupants together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct KindReport {
    /// Packet counts, summed.
    #[serde(flatten)]
    pub packets: KindStats,
    /// Lost of what should have arrived, 0 to 1.
    pub loss_ratio: f64,
    /// Senders heard by the occupant that heard fewest.
    pub fewest_senders: u64,
    /// From a sender's generator to the receivers' sockets.
    pub delay: DelayReport,
}

/// What a run measured. Field names are stable: scripts read them.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Report {
    /// Occupants asked for.
    pub occupants: usize,
    /// Occupants that got into the room.
    pub joined: usize,
    /// Occupants whose media connected.
    pub connected: usize,
    /// Occupants whose bridge channel was open at the end.
    pub channels_open: usize,
    /// Why the first one that failed did, if any did.
    pub first_failure: Option<String>,
    /// Connect to joined, median.
    pub join_p50_seconds: f64,
    /// Connect to joined, 99th percentile.
    pub join_p99_seconds: f64,
    /// Connect to media keys, median.
    pub media_p50_seconds: f64,
    /// Connect to media keys, 99th percentile.
    pub media_p99_seconds: f64,
    /// Microphones.
    pub audio: KindReport,
    /// Cameras.
    pub video: KindReport,
}

impl Report {
    /// Sums up what the occupants measured. `speakers` and `cameras` say which of them send, by
    /// index, so that nobody is expected to hear himself.
    #[must_use]
    pub fn of(occupants: usize, stats: &[ClientStats], first_failure: Option<String>) -> Self {
        let connected: Vec<Duration> = stats.iter().filter_map(|s| s.connected_after).collect();
        let joined: Vec<Duration> = stats.iter().map(|s| s.joined_after).collect();
        Self {
            occupants,
            joined: stats.len(),
            connected: connected.len(),
            channels_open: stats.iter().filter(|s| s.channel_open).count(),
            first_failure,
            join_p50_seconds: percentile(&joined, 0.5),
            join_p99_seconds: percentile(&joined, 0.99),
            media_p50_seconds: percentile(&connected, 0.5),
            media_p99_seconds: percentile(&connected, 0.99),
            audio: kind(stats, |s| (s.audio, &s.audio_delay)),
            video: kind(stats, |s| (s.video, &s.video_delay)),
        }
    }

    /// The report for a person.
    #[must_use]
    pub fn to_text(&self) -> String {
        let kind = |name: &str, k: &KindReport| {
            format!(
                "{name:<6} sent {:>8}  received {:>9}  lost {} ({:.3} %)  wrong {}  foreign {}  delay p50 {:.1} ms  p99 {:.1} ms\n",
                k.packets.sent,
                k.packets.received,
                k.packets.lost,
                k.loss_ratio * 100.0,
                k.packets.wrong,
                k.packets.foreign,
                k.delay.p50_seconds * 1e3,
                k.delay.p99_seconds * 1e3,
            )
        };
        format!(
            "joined {} of {}, media connected {}, bridge channels open {}\njoin   p50 {:.0} ms  p99 {:.0} ms; media p50 {:.0} ms  p99 {:.0} ms\n{}{}{}",
            self.joined,
            self.occupants,
            self.connected,
            self.channels_open,
            self.join_p50_seconds * 1e3,
            self.join_p99_seconds * 1e3,
            self.media_p50_seconds * 1e3,
            self.media_p99_seconds * 1e3,
            kind("audio", &self.audio),
            kind("video", &self.video),
            self.first_failure
                .as_ref()
                .map(|f| format!("first failure: {f}\n"))
                .unwrap_or_default(),
        )
    }
}

fn kind<'a>(
    stats: &'a [ClientStats],
    of: impl Fn(&'a ClientStats) -> (KindStats, &'a Histogram<u64>),
) -> KindReport {
    let mut report = KindReport {
        fewest_senders: u64::MAX,
        ..KindReport::default()
    };
    let mut delays: Option<Histogram<u64>> = None;
    for one in stats {
        let (packets, delay) = of(one);
        report.packets = report.packets.plus(packets);
        report.fewest_senders = report.fewest_senders.min(packets.senders);
        match &mut delays {
            Some(all) => all.add(delay).expect("all histograms have the same bounds"),
            None => delays = Some(delay.clone()),
        }
    }
    if stats.is_empty() {
        report.fewest_senders = 0;
    }
    let expected = report.packets.received + report.packets.lost;
    report.loss_ratio = if expected == 0 {
        0.0
    } else {
        report.packets.lost as f64 / expected as f64
    };
    report.delay = delays.as_ref().map(DelayReport::of).unwrap_or_default();
    report
}

/// In seconds; 0 of nothing.
fn percentile(durations: &[Duration], at: f64) -> f64 {
    let mut sorted = durations.to_vec();
    sorted.sort_unstable();
    let last = sorted.len().saturating_sub(1);
    sorted
        .get((at * last as f64).ceil() as usize)
        .map_or(0.0, Duration::as_secs_f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_what_was_measured() {
        let durations: Vec<Duration> = (1..=100).map(Duration::from_secs).collect();
        assert_eq!(percentile(&durations, 0.5), 51.0);
        assert_eq!(percentile(&durations, 0.99), 100.0);
        assert_eq!(percentile(&[], 0.5), 0.0);
    }

    #[test]
    fn an_empty_run_reports_zeros() {
        let report = Report::of(3, &[], Some("no server".to_owned()));
        assert_eq!((report.joined, report.audio.fewest_senders), (0, 0));
        assert!(report.to_text().contains("no server"));
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["audio"]["lost"], 0);
        assert_eq!(json["join_p99_seconds"], 0.0);
    }
}
