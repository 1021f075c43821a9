//! Everything a run measured, in base units under names that stay.

use crate::Promise;
use althing_client::{Delays, KindStats, Second, VideoStats};
use serde::Serialize;
use std::collections::BTreeMap;
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
    pub(crate) fn of(delays: &Delays) -> Self {
        Self {
            p50_seconds: delays.at(0.5).as_secs_f64(),
            p99_seconds: delays.at(0.99).as_secs_f64(),
            max_seconds: delays.longest().as_secs_f64(),
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
    /// Senders heard by the occupant that heard fewest, of those there at the end.
    pub fewest_senders: u64,
    /// From a sender's generator to the arrival at the receivers' sockets, in the stay.
    pub delay: DelayReport,
    /// The same while they joined.
    pub delay_joining: DelayReport,
}

/// What decoders would have made of the video, all occupants together.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct PictureReport {
    /// Frames that could be shown.
    pub frames: u64,
    /// Of these, keyframes.
    pub keyframes: u64,
    /// Changes to another encoding.
    pub switches: u64,
    /// Frames of which packets were lost.
    pub incomplete: u64,
    /// Whole frames that refer to one that is not there.
    pub undecodable: u64,
    /// Times the server did what no loss explains.
    pub violations: u64,
    /// Times a picture stood still for three times as long as usual, and 150 ms more at least.
    pub freezes: u64,
    /// How long pictures stood still in all.
    pub frozen_seconds: f64,
    /// How long one did at the longest.
    pub longest_freeze_seconds: f64,
    /// Of the time that each was watched, 0 to 1.
    pub frozen_ratio: f64,
    /// Frames shown, by height in pixels.
    pub frames_by_height: BTreeMap<u16, u64>,
}

impl PictureReport {
    /// `watched` is the time of all pictures together.
    pub(crate) fn of(stats: &VideoStats, watched: Duration) -> Self {
        let frozen_seconds = stats.frozen.as_secs_f64();
        Self {
            frames: stats.frames,
            keyframes: stats.keyframes,
            switches: stats.switches,
            incomplete: stats.incomplete,
            undecodable: stats.undecodable,
            violations: stats.violations,
            freezes: stats.freezes,
            frozen_seconds,
            longest_freeze_seconds: stats.longest_freeze.as_secs_f64(),
            frozen_ratio: ratio(frozen_seconds, watched.as_secs_f64()),
            frames_by_height: stats.heights.clone(),
        }
    }
}

/// How long something took, several times.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct TimesReport {
    /// How often.
    pub count: usize,
    /// The median.
    pub p50_seconds: f64,
    /// The 99th percentile.
    pub p99_seconds: f64,
    /// The longest.
    pub max_seconds: f64,
}

impl TimesReport {
    pub(crate) fn of(times: &[Duration]) -> Self {
        Self {
            count: times.len(),
            p50_seconds: percentile(times, 0.5),
            p99_seconds: percentile(times, 0.99),
            max_seconds: percentile(times, 1.0),
        }
    }
}

/// A screen share that began while everybody was there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct ShareReport {
    /// Who should see it.
    pub viewers: usize,
    /// Who did.
    pub seen: usize,
    /// From the click to the first picture, at those who saw it.
    pub shown: TimesReport,
    /// Delays of the sound until then.
    pub audio_before: DelayReport,
    /// And from then on.
    pub audio_after: DelayReport,
}

/// What the server spent, from the moment that everybody was there until the first left.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct ServerReport {
    /// Processor time.
    pub cpu_seconds: f64,
    /// Processors in use, on average.
    pub cores: f64,
    /// Processor time for each packet that reached an occupant.
    pub cpu_seconds_per_delivered_packet: f64,
    /// Processor time for each 10^9 bits sent on the media port.
    pub cpu_seconds_per_gigabit: f64,
    /// Processor time while they joined.
    pub join_cpu_seconds: f64,
    /// The same, for each who joined.
    pub join_cpu_seconds_per_occupant: f64,
    /// RTP packets that occupants received.
    pub delivered_packets: u64,
    /// RTP packets the server opened.
    pub rtp_packets_received: u64,
    /// RTP packets it sealed.
    pub rtp_packets_sent: u64,
    /// RTCP packets it opened.
    pub rtcp_packets_received: u64,
    /// On the media port.
    pub bytes_sent: u64,
    /// Packets sent again.
    pub retransmissions: u64,
    /// Keyframes it asked for.
    pub keyframe_requests_sent: u64,
    /// Resident at the end.
    pub memory_bytes: u64,
    /// What joining added, for each occupant.
    pub memory_bytes_per_occupant: u64,
    /// From the first quarter of the stay to the last, as a part of the first; of a stay of 20 s or
    /// more.
    pub memory_growth: Option<f64>,
    /// The greatest load of a media thread, by its own measure: at 1 it begins to leave things off.
    pub worst_stress: f64,
    /// How many steps it went in leaving things off: pictures first, newcomers last.
    pub worst_shedding: u64,
    /// From the first join to the end, by reason.
    pub packets_dropped: BTreeMap<String, u64>,
    /// From the first join to the end, by error.
    pub send_errors: BTreeMap<String, u64>,
    /// The stay in steps of a second, or longer ones of a long run; 600 at most.
    pub timeline: Vec<ServerMoment>,
}

/// The server in some seconds of a stay.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct ServerMoment {
    /// Since everybody was in.
    pub seconds: u64,
    /// Resident memory, the most.
    pub memory_bytes: u64,
    /// Processors it kept busy, the most.
    pub cores: f64,
    /// Of its busiest media thread, the most.
    pub stress: f64,
}

/// What this program took itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct GeneratorReport {
    /// Processor time in the stay.
    pub cpu_seconds: f64,
    /// Processors in use, on average.
    pub cores: f64,
    /// Processor time while they joined.
    pub join_cpu_seconds: f64,
    /// Resident at the end.
    pub memory_bytes: u64,
    /// Lost since this program was too slow to take them; they are in the losses too.
    pub packets_overflowed: u64,
    /// That the kernel would not send.
    pub packets_unsent: u64,
    /// Packets of sound that it did not make within a second of their time, and left out.
    pub packets_left_out: u64,
    /// Lost by a network that was asked for; of occupants that have left.
    pub packets_lost_on_purpose: u64,
}

/// Some seconds of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct MomentReport {
    /// Since the first join.
    pub seconds: u64,
    /// Audio packets received.
    pub audio_packets: u64,
    /// Of the worst second.
    pub audio_p99_seconds: f64,
    /// Video packets received.
    pub video_packets: u64,
    /// Of the worst second.
    pub video_p99_seconds: f64,
}

/// What a run measured. Field names are stable: scripts read them.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Report {
    /// The scenario's name.
    pub scenario: &'static str,
    /// Whether every promise was kept.
    pub kept: bool,
    /// What was promised, and what became of it.
    pub promises: Vec<Promise>,
    /// How long everybody stayed.
    pub stay_seconds: f64,
    /// Rooms at a time.
    pub rooms: usize,
    /// Occupants asked for, all rooms together.
    pub occupants: usize,
    /// Occupants that were there at the end.
    pub joined: usize,
    /// Joins tried, with those of people who came back.
    pub joins: usize,
    /// Joins that failed.
    pub failed_joins: usize,
    /// Sessions that ended by themselves.
    pub cut_off: usize,
    /// Occupants whose media connected, of those there at the end.
    pub connected: usize,
    /// Occupants whose bridge channel was open at the end.
    pub channels_open: usize,
    /// Why the first one that failed did, if any did.
    pub first_failure: Option<String>,
    /// Connect to joined, median.
    pub join_p50_seconds: f64,
    /// Connect to joined, 99th percentile.
    pub join_p99_seconds: f64,
    /// The first connect to the last joined, of the first round.
    pub join_all_seconds: f64,
    /// Connect to media keys, median.
    pub media_p50_seconds: f64,
    /// Connect to media keys, 99th percentile.
    pub media_p99_seconds: f64,
    /// Stanzas that occupants received.
    pub stanzas: u64,
    /// Their bytes.
    pub stanza_bytes: u64,
    /// Microphones.
    pub audio: KindReport,
    /// Cameras and screens.
    pub video: KindReport,
    /// What decoders would have made of the video.
    pub pictures: PictureReport,
    /// Speakers that somebody should have heard and did not, over everybody.
    pub unheard: u64,
    /// Cameras that somebody should have seen and did not, over everybody.
    pub unseen: u64,
    /// Packets that receivers asked for again.
    pub nacked: u64,
    /// Padding, and packets sent again that were there already.
    pub probes: u64,
    /// The share, where one began.
    pub share: Option<ShareReport>,
    /// From a broken connection to hearing again.
    pub back: Option<TimesReport>,
    /// The server's own figures, where its page was given.
    pub server: Option<ServerReport>,
    /// This program's.
    pub generator: GeneratorReport,
    /// How it went, 600 moments at most.
    pub timeline: Vec<MomentReport>,
}

/// More would make a long run's report a long read.
const MOST_MOMENTS: usize = 600;

/// Joins seconds together until there are few enough.
pub(crate) fn moments(seconds: &[Second]) -> Vec<MomentReport> {
    let start = seconds.first().map_or(0, |s| s.at);
    bundles(seconds, |part| {
        let worst = |of: fn(&Second) -> Duration| {
            let longest = part.iter().map(of).max();
            longest.unwrap_or_default().as_secs_f64()
        };
        MomentReport {
            seconds: part.first().map_or(0, |s| s.at - start),
            audio_packets: part.iter().map(|s| s.audio.packets).sum(),
            audio_p99_seconds: worst(|s| s.audio.p99),
            video_packets: part.iter().map(|s| s.video.packets).sum(),
            video_p99_seconds: worst(|s| s.video.p99),
        }
    })
}

/// As many bundles as a report has moments at most, each made one.
pub(crate) fn bundles<T, M>(all: &[T], joined: impl FnMut(&[T]) -> M) -> Vec<M> {
    let each = all.len().div_ceil(MOST_MOMENTS).max(1);
    all.chunks(each).map(joined).collect()
}

pub(crate) fn ratio(part: f64, all: f64) -> f64 {
    if all > 0.0 { part / all } else { 0.0 }
}

/// In seconds; 0 of nothing.
pub(crate) fn percentile(durations: &[Duration], at: f64) -> f64 {
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
    use althing_client::KindSecond;

    #[test]
    fn percentiles_are_of_what_was_measured() {
        let durations: Vec<Duration> = (1..=100).map(Duration::from_secs).collect();
        assert_eq!(percentile(&durations, 0.5), 51.0);
        assert_eq!(percentile(&durations, 0.99), 100.0);
        assert_eq!(percentile(&[], 0.5), 0.0);
    }

    #[test]
    fn a_long_run_has_as_many_moments_as_can_be_read_and_keeps_the_worst() {
        let seconds: Vec<Second> = (0..7_200_u64)
            .map(|at| Second {
                at: 1_000 + at,
                audio: KindSecond {
                    packets: 10,
                    p99: Duration::from_millis(if at == 5_000 { 900 } else { 1 }),
                    ..KindSecond::default()
                },
                video: KindSecond::default(),
            })
            .collect();
        let moments = moments(&seconds);
        assert_eq!(moments.len(), 600);
        assert_eq!(moments[1].seconds, 12);
        assert_eq!(moments.iter().map(|m| m.audio_packets).sum::<u64>(), 72_000);
        let worst = moments.iter().map(|m| m.audio_p99_seconds);
        assert_eq!(worst.fold(0.0, f64::max), 0.9);
    }

    #[test]
    fn an_empty_report_has_its_names() {
        let json = serde_json::to_value(Report::default()).unwrap();
        assert_eq!(json["audio"]["lost"], 0);
        assert_eq!(json["join_p99_seconds"], 0.0);
        assert_eq!(json["pictures"]["violations"], 0);
        assert!(json["server"].is_null());
    }
}
