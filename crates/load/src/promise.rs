//! What a scenario promises, and whether it was so.

use crate::{LoadSettings, Report};
use serde::Serialize;
use std::time::Duration;

/// The limits a run is held to, beside what always holds: everybody joins, media connects, every
/// speaker is heard and every camera seen, no sound is lost on a perfect network, and nothing
/// arrives that is wrong.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Limits {
    /// Of the video packets, 0 to 1.
    pub lost_video: Option<f64>,
    /// 99 of 100 joins take this long at most.
    pub join_p99: Option<Duration>,
    /// 99 of 100 audio packets take this long at most.
    pub audio_p99: Option<Duration>,
    /// … and after the share begins, this much longer than before.
    pub audio_p99_rise: Option<Duration>,
    /// Everybody sees the share this soon.
    pub share_within: Option<Duration>,
    /// Who dropped out hears again this soon.
    pub back_within: Option<Duration>,
    /// Pictures stand still for this part of the time at most, 0 to 1.
    pub frozen: Option<f64>,
    /// Every height that a camera sends is seen by somebody.
    pub every_height: bool,
    /// The server drops nothing but encodings that nobody looks at, and what comes from those who
    /// have left.
    pub no_drops: bool,
    /// The server's memory grows by this part at most from the first quarter of the stay to the
    /// last.
    pub memory_growth: Option<f64>,
}

/// One promise and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Promise {
    /// What is promised.
    pub promise: String,
    /// What was found.
    pub found: String,
    /// Whether it was kept.
    pub kept: bool,
}

fn seconds(value: f64) -> String {
    if value < 1.0 {
        format!("{:.1} ms", value * 1e3)
    } else {
        format!("{value:.2} s")
    }
}

fn percent(ratio: f64) -> String {
    format!("{:.3} %", ratio * 100.0)
}

/// Holds a report against what was promised.
pub(crate) fn hold(settings: &LoadSettings, report: &Report) -> Vec<Promise> {
    let mut held = Held {
        settings,
        report,
        promises: Vec::new(),
    };
    held.people();
    if settings.media {
        held.sound();
        held.pictures();
        held.times();
        if settings.limits.no_drops {
            held.drops();
        }
    }
    held.promises
}

/// Reasons that are no fault of anybody's: encodings that nobody looks at, and what was under way
/// when its sender's endpoint was taken away.
const NO_FAULTS: [&str; 2] = ["other_encoding", "unknown_address"];

struct Held<'a> {
    settings: &'a LoadSettings,
    report: &'a Report,
    promises: Vec<Promise>,
}

impl Held<'_> {
    fn promise(&mut self, promise: impl Into<String>, found: impl Into<String>, kept: bool) {
        self.promises.push(Promise {
            promise: promise.into(),
            found: found.into(),
            kept,
        });
    }

    fn people(&mut self) {
        let (settings, report) = (self.settings, self.report);
        let all = report.joins;
        self.promise(
            "everybody joins",
            format!("{} of {all}", all - report.failed_joins),
            report.failed_joins == 0 && report.joined == report.occupants,
        );
        if let Some(limit) = settings.limits.join_p99 {
            self.promise(
                format!("99 of 100 join within {}", seconds(limit.as_secs_f64())),
                seconds(report.join_p99_seconds),
                report.join_p99_seconds <= limit.as_secs_f64(),
            );
        }
        self.promise(
            "nobody's session breaks off",
            format!("{}", report.cut_off),
            report.cut_off == 0,
        );
        if settings.media && settings.occupants > 1 {
            self.promise(
                "media of everybody connects",
                format!("{} of {}", report.connected, report.joined),
                report.connected == report.joined,
            );
        }
        let growth = report.server.as_ref().and_then(|s| s.memory_growth);
        if let (Some(limit), Some(growth)) = (settings.limits.memory_growth, growth) {
            self.promise(
                format!("the server's memory grows by {} at most", percent(limit)),
                percent(growth),
                growth <= limit,
            );
        }
    }

    fn drops(&mut self) {
        let Some(server) = &self.report.server else {
            return;
        };
        let counted = server.packets_dropped.iter().chain(&server.send_errors);
        let faults: Vec<String> = counted
            .filter(|(reason, _)| !NO_FAULTS.contains(&reason.as_str()))
            .map(|(reason, count)| format!("{count} {reason}"))
            .collect();
        self.promise(
            "the server drops nothing",
            match faults.as_slice() {
                [] => "nothing".to_owned(),
                faults => faults.join(", "),
            },
            faults.is_empty(),
        );
    }

    fn sound(&mut self) {
        let (settings, audio) = (self.settings, &self.report.audio);
        if settings.speakers == 0 || settings.occupants < 2 {
            return;
        }
        if settings.speakers <= LOUDEST {
            self.promise(
                "everybody hears every speaker",
                format!("{} not heard", self.report.unheard),
                self.report.unheard == 0,
            );
        }
        // Of more speakers the loudest few are passed on.
        let withheld = match settings.speakers {
            0..=LOUDEST => audio.packets.withheld,
            _ => 0,
        };
        let lost = audio.packets.lost + withheld;
        if settings.is_lossy() {
            let allowed = 1.5 * (settings.downlink.loss + settings.uplink.loss) + 0.01;
            self.promise(
                format!("{} of the sound is lost at most", percent(allowed)),
                percent(audio.loss_ratio),
                audio.loss_ratio <= allowed,
            );
        } else {
            self.promise(
                "no sound is lost",
                format!("{lost} of {} packets", audio.packets.received + lost),
                lost == 0 && audio.packets.received > 0,
            );
        }
        let wrong = audio.packets.wrong + audio.packets.duplicates;
        self.promise(
            "no sound is wrong or doubled",
            format!("{wrong} packets"),
            wrong == 0,
        );
    }

    fn pictures(&mut self) {
        let (settings, report) = (self.settings, self.report);
        let watched = settings.heights.iter().any(|h| *h != 0) || settings.stage_height.is_some();
        if settings.cameras == 0 || !watched || settings.occupants < 2 {
            return;
        }
        let (video, pictures) = (&report.video, &report.pictures);
        self.promise(
            "everybody sees every camera",
            format!("{} not seen", report.unseen),
            report.unseen == 0,
        );
        let wrong = video.packets.wrong + video.packets.duplicates;
        self.promise(
            "no picture is wrong or doubled",
            format!("{wrong} packets"),
            wrong == 0,
        );
        if !settings.is_lossy() {
            if let Some(limit) = settings.limits.lost_video {
                self.promise(
                    format!("{} of the video is lost at most", percent(limit)),
                    percent(video.loss_ratio),
                    video.loss_ratio <= limit,
                );
            }
            self.promise(
                "what is sent can be decoded",
                format!(
                    "{} frames cannot, {} breaks",
                    pictures.undecodable, pictures.violations
                ),
                pictures.violations == 0,
            );
        }
        if let Some(limit) = settings.limits.frozen {
            self.promise(
                format!(
                    "pictures stand still {} of the time at most",
                    percent(limit)
                ),
                percent(pictures.frozen_ratio),
                pictures.frozen_ratio <= limit,
            );
        }
        if settings.limits.every_height {
            let missing: Vec<String> = settings
                .video
                .encodings
                .iter()
                .filter(|e| settings.heights.contains(&e.height.into()))
                .filter(|e| !pictures.frames_by_height.contains_key(&e.height))
                .map(|e| e.height.to_string())
                .collect();
            self.promise(
                "every height asked for is seen",
                match missing.as_slice() {
                    [] => "all".to_owned(),
                    missing => format!("not {}", missing.join(", ")),
                },
                missing.is_empty(),
            );
        }
    }

    fn times(&mut self) {
        let (limits, report) = (&self.settings.limits, self.report);
        let p99 = report.audio.delay.p99_seconds;
        if let Some(limit) = limits.audio_p99 {
            self.promise(
                format!(
                    "99 of 100 sounds arrive within {}",
                    seconds(limit.as_secs_f64())
                ),
                seconds(p99),
                p99 <= limit.as_secs_f64(),
            );
        }
        if let (Some(limit), Some(share)) = (limits.audio_p99_rise, &report.share) {
            let rise = share.audio_after.p99_seconds - share.audio_before.p99_seconds;
            self.promise(
                format!(
                    "a share delays the sound (p99) by {} at most",
                    seconds(limit.as_secs_f64())
                ),
                format!(
                    "{} before, {} after",
                    seconds(share.audio_before.p99_seconds),
                    seconds(share.audio_after.p99_seconds)
                ),
                rise <= limit.as_secs_f64(),
            );
        }
        if let (Some(limit), Some(share)) = (limits.share_within, &report.share) {
            self.promise(
                format!(
                    "everybody sees the share within {}",
                    seconds(limit.as_secs_f64())
                ),
                format!(
                    "{} of {}, the last after {}",
                    share.seen,
                    share.viewers,
                    seconds(share.shown.max_seconds)
                ),
                share.seen == share.viewers && share.shown.max_seconds <= limit.as_secs_f64(),
            );
        }
        if let (Some(limit), Some(back)) = (limits.back_within, &report.back) {
            self.promise(
                format!(
                    "who drops out is back within {}",
                    seconds(limit.as_secs_f64())
                ),
                format!(
                    "{} times, {} at the longest",
                    back.count,
                    seconds(back.max_seconds)
                ),
                back.max_seconds <= limit.as_secs_f64(),
            );
        }
    }
}

/// Above so many open microphones the server may pass on the loudest only.
pub(crate) const LOUDEST: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DelayReport, ServerReport, ShareReport, TimesReport};

    fn settings() -> LoadSettings {
        LoadSettings::new("http://localhost".parse().unwrap())
    }

    fn good() -> Report {
        let mut report = Report {
            occupants: 10,
            joins: 10,
            joined: 10,
            connected: 10,
            ..Report::default()
        };
        report.audio.packets.received = 1_000;
        report
    }

    /// The promises broken when `change` is made to a good report.
    fn broken(settings: &LoadSettings, change: impl FnOnce(&mut Report)) -> Vec<String> {
        let mut report = good();
        change(&mut report);
        hold(settings, &report)
            .into_iter()
            .filter(|p| !p.kept)
            .map(|p| p.promise)
            .collect()
    }

    #[test]
    fn a_good_run_keeps_every_promise() {
        assert_eq!(broken(&settings(), |_| {}), Vec::<String>::new());
    }

    #[test]
    fn each_failure_breaks_its_own_promise() {
        let check = |change: fn(&mut Report), promise: &str| {
            assert_eq!(broken(&settings(), change), [promise]);
        };
        check(
            |r| {
                r.failed_joins = 1;
                r.joined = 9;
                r.connected = 9;
            },
            "everybody joins",
        );
        check(|r| r.connected = 9, "media of everybody connects");
        check(|r| r.cut_off = 1, "nobody's session breaks off");
        check(|r| r.unheard = 1, "everybody hears every speaker");
        check(|r| r.audio.packets.lost = 1, "no sound is lost");
        check(|r| r.audio.packets.withheld = 1, "no sound is lost");
        check(|r| r.audio.packets.received = 0, "no sound is lost");
        check(
            |r| r.audio.packets.wrong = 1,
            "no sound is wrong or doubled",
        );
    }

    #[test]
    fn of_many_speakers_some_may_be_withheld() {
        let mut settings = settings();
        settings.speakers = 11;
        assert!(broken(&settings, |r| r.audio.packets.withheld = 500).is_empty());
    }

    #[test]
    fn a_bad_network_may_lose_what_it_was_told_to() {
        let mut settings = settings();
        settings.downlink.loss = 0.02;
        assert!(broken(&settings, |r| r.audio.loss_ratio = 0.03).is_empty());
        assert_eq!(broken(&settings, |r| r.audio.loss_ratio = 0.05).len(), 1);
    }

    #[test]
    fn limits_are_held() {
        let mut settings = settings();
        settings.limits = Limits {
            join_p99: Some(Duration::from_secs(1)),
            audio_p99: Some(Duration::from_millis(20)),
            audio_p99_rise: Some(Duration::from_millis(10)),
            share_within: Some(Duration::from_secs(2)),
            back_within: Some(Duration::from_secs(10)),
            memory_growth: Some(0.1),
            no_drops: true,
            ..Limits::default()
        };
        let delay = |p99_seconds| DelayReport {
            p99_seconds,
            ..DelayReport::default()
        };
        let found = broken(&settings, |r| {
            r.join_p99_seconds = 2.0;
            r.audio.delay.p99_seconds = 0.03;
            r.share = Some(ShareReport {
                viewers: 9,
                seen: 8,
                audio_before: delay(0.001),
                audio_after: delay(0.02),
                ..ShareReport::default()
            });
            r.back = Some(TimesReport {
                count: 1,
                max_seconds: 11.0,
                ..TimesReport::default()
            });
            r.server = Some(ServerReport {
                memory_growth: Some(0.2),
                packets_dropped: [("other_encoding".to_owned(), 7), ("forged".to_owned(), 1)]
                    .into(),
                ..ServerReport::default()
            });
        });
        assert_eq!(found.len(), 7, "{found:?}");
    }

    #[test]
    fn cameras_must_be_seen_where_anybody_looks() {
        let mut settings = settings();
        settings.cameras = 2;
        assert_eq!(
            broken(&settings, |r| r.unseen = 1),
            ["everybody sees every camera"]
        );
        assert_eq!(
            broken(&settings, |r| r.pictures.violations = 1),
            ["what is sent can be decoded"]
        );
        settings.heights = vec![0];
        assert!(broken(&settings, |r| r.unseen = 1).is_empty());
    }
}
