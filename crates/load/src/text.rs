//! A report as a person reads it.

use crate::report::{DelayReport, KindReport, Report};
use std::fmt::Write as _;

fn ms(seconds: f64) -> String {
    format!("{:.1} ms", seconds * 1e3)
}

fn delay(delay: &DelayReport) -> String {
    format!(
        "p50 {}  p99 {}  max {}",
        ms(delay.p50_seconds),
        ms(delay.p99_seconds),
        ms(delay.max_seconds)
    )
}

fn kind(out: &mut String, name: &str, kind: &KindReport) {
    let p = &kind.packets;
    if p.sent + p.received + p.wrong + p.foreign == 0 {
        return;
    }
    line(
        out,
        name,
        &format!("{} sent, {} received", p.sent, p.received),
    );
    let mut faults = format!("{} lost ({:.3} %)", p.lost, kind.loss_ratio * 100.0);
    for (count, what) in [
        (p.recovered, "sent again"),
        (p.withheld, "not passed on"),
        (p.duplicates, "doubled"),
        (p.wrong, "wrong"),
        (p.early, "around a change"),
        (p.foreign, "not ours"),
    ] {
        if count > 0 {
            let _ = write!(faults, ", {count} {what}");
        }
    }
    line(out, "", &faults);
    line(out, "", &format!("delay {}", delay(&kind.delay)));
    let joining = format!("while joining {}", delay(&kind.delay_joining));
    line(out, "", &joining);
}

fn line(out: &mut String, name: &str, text: &str) {
    // Writing to a string does not fail.
    let _ = writeln!(out, "  {name:<10} {text}");
}

fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

impl Report {
    /// The report for a person.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut out = String::new();
        let _ = writeln!(out, "{}, {:.0} s", self.scenario, self.stay_seconds);
        self.people(&mut out);
        kind(&mut out, "sound", &self.audio);
        kind(&mut out, "video", &self.video);
        self.pictures_text(&mut out);
        self.events(&mut out);
        self.costs(&mut out);
        if let Some(failure) = &self.first_failure {
            line(&mut out, "failure", failure);
        }
        let _ = writeln!(out);
        for promise in &self.promises {
            let verdict = if promise.kept { "kept  " } else { "BROKEN" };
            let _ = writeln!(out, "  {verdict} {}: {}", promise.promise, promise.found);
        }
        out
    }

    fn people(&self, out: &mut String) {
        let mut people = format!(
            "{} of {} there at the end, media of {}, bridge channels of {}",
            self.joined, self.occupants, self.connected, self.channels_open
        );
        if self.rooms > 1 {
            let _ = write!(people, "; {} rooms", self.rooms);
        }
        line(out, "occupants", &people);
        line(
            out,
            "joining",
            &format!(
                "{} joins, {} failed, the first round in {:.1} s",
                self.joins, self.failed_joins, self.join_all_seconds
            ),
        );
        line(
            out,
            "",
            &format!(
                "in the room p50 {}  p99 {}; media p50 {}  p99 {}",
                ms(self.join_p50_seconds),
                ms(self.join_p99_seconds),
                ms(self.media_p50_seconds),
                ms(self.media_p99_seconds)
            ),
        );
        line(
            out,
            "signalling",
            &format!(
                "{} stanzas received, {}",
                self.stanzas,
                megabytes(self.stanza_bytes)
            ),
        );
    }

    fn pictures_text(&self, out: &mut String) {
        let p = &self.pictures;
        if p.frames + p.undecodable + p.incomplete + p.violations == 0 {
            return;
        }
        let heights: Vec<String> = p
            .frames_by_height
            .iter()
            .map(|(height, frames)| format!("{frames} of {height}p"))
            .collect();
        line(
            out,
            "pictures",
            &format!("{} frames shown: {}", p.frames, heights.join(", ")),
        );
        line(
            out,
            "",
            &format!(
                "{} keyframes, {} switches, {} incomplete, {} undecodable, {} breaks of the rules",
                p.keyframes, p.switches, p.incomplete, p.undecodable, p.violations
            ),
        );
        line(
            out,
            "",
            &format!(
                "{} freezes, {:.1} s in all ({:.2} %), {:.1} s the longest",
                p.freezes,
                p.frozen_seconds,
                p.frozen_ratio * 100.0,
                p.longest_freeze_seconds
            ),
        );
    }

    fn events(&self, out: &mut String) {
        if let Some(share) = &self.share {
            line(
                out,
                "share",
                &format!(
                    "seen by {} of {}, p50 {}  max {}",
                    share.seen,
                    share.viewers,
                    ms(share.shown.p50_seconds),
                    ms(share.shown.max_seconds)
                ),
            );
            line(
                out,
                "",
                &format!("sound before: {}", delay(&share.audio_before)),
            );
            line(
                out,
                "",
                &format!("sound after:  {}", delay(&share.audio_after)),
            );
        }
        if let Some(back) = &self.back {
            line(
                out,
                "back",
                &format!(
                    "{} came back, p50 {}  max {}",
                    back.count,
                    ms(back.p50_seconds),
                    ms(back.max_seconds)
                ),
            );
        }
    }

    fn costs(&self, out: &mut String) {
        if let Some(server) = &self.server {
            line(
                out,
                "server",
                &format!(
                    "{:.2} cores; {:.2} µs per delivered packet, {:.2} s per Gbit",
                    server.cores,
                    server.cpu_seconds_per_delivered_packet * 1e6,
                    server.cpu_seconds_per_gigabit
                ),
            );
            let mut memory = format!(
                "{} resident, {:.1} kB per occupant",
                megabytes(server.memory_bytes),
                server.memory_bytes_per_occupant as f64 / 1e3
            );
            if let Some(growth) = server.memory_growth {
                let _ = write!(memory, ", {:+.1} % in the stay", growth * 100.0);
            }
            line(out, "", &memory);
            line(
                out,
                "",
                &format!(
                    "{:.2} ms of processor time per join",
                    server.join_cpu_seconds_per_occupant * 1e3
                ),
            );
            if server.worst_shedding > 0 {
                let text = format!(
                    "overloaded: it left things off, step {} (stress {:.2})",
                    server.worst_shedding, server.worst_stress
                );
                line(out, "", &text);
            }
            let reasons = server.packets_dropped.iter().chain(&server.send_errors);
            let dropped: Vec<String> = reasons
                .map(|(reason, count)| format!("{count} {reason}"))
                .collect();
            if !dropped.is_empty() {
                line(out, "", &format!("dropped: {}", dropped.join(", ")));
            }
        }
        let generator = &self.generator;
        let mut text = format!(
            "{:.2} cores, {} resident",
            generator.cores,
            megabytes(generator.memory_bytes)
        );
        if generator.packets_overflowed > 0 {
            let _ = write!(
                text,
                "; {} packets lost here, since it was too slow",
                generator.packets_overflowed
            );
        }
        if generator.packets_left_out > 0 {
            let _ = write!(
                text,
                "; {} packets of sound not made in time, and never sent",
                generator.packets_left_out
            );
        }
        line(out, "generator", &text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Promise;

    #[test]
    fn what_matters_is_there_and_what_did_not_happen_is_not() {
        let mut report = Report {
            scenario: "hall",
            first_failure: Some("no server".to_owned()),
            ..Report::default()
        };
        report.audio.packets.received = 5;
        report.promises = vec![Promise {
            promise: "no sound is lost".to_owned(),
            found: "3 of 8 packets".to_owned(),
            kept: false,
        }];
        let text = report.to_text();
        for part in [
            "hall",
            "no server",
            "5 received",
            "BROKEN no sound is lost: 3 of 8",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        for part in ["video", "share", "server", "pictures"] {
            assert!(!text.contains(&format!("  {part} ")), "{part}: {text}");
        }
    }
}
