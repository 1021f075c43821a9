//! Whether we send so much less than we might that the estimate cannot grow by what we send.

use std::time::{Duration, Instant};

/// Of the estimate, what counts as using it.
const USED: f64 = 0.80;
const WINDOW: Duration = Duration::from_millis(500);
/// Of the budget of a window: above, little is sent; below, much.
const START: f64 = 0.40;
const STOP: f64 = -0.60;

/// A budget that fills with time and that sending takes from.
#[derive(Debug, Default)]
pub(crate) struct Alr {
    /// In bytes.
    level: f64,
    last: Option<(Instant, u64)>,
    since: Option<Instant>,
    /// When it ended last.
    pub(crate) ended: Option<Instant>,
}

impl Alr {
    /// Given the estimate (bit/s) and all bytes sent so far.
    pub(crate) fn update(&mut self, now: Instant, estimate: u64, sent: u64) {
        let (before, sent_before) = *self.last.get_or_insert((now, sent));
        self.last = Some((now, sent));
        let rate = USED * estimate as f64 / 8.0;
        let full = rate * WINDOW.as_secs_f64();
        let since = now.saturating_duration_since(before).as_secs_f64();
        let used = sent.saturating_sub(sent_before) as f64;
        self.level = (self.level.min(full) + rate * since - used).clamp(-full, full);
        if self.since.is_none() && self.level > START * full {
            self.since = Some(now);
        } else if self.since.is_some() && self.level < STOP * full {
            self.since = None;
            self.ended = Some(now);
        }
    }

    /// Since when, while it lasts.
    pub(crate) const fn since(&self) -> Option<Instant> {
        self.since
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends at this share of 1 Mbit/s for two seconds.
    fn run(alr: &mut Alr, start: Instant, sent: &mut u64, share: f64) -> Option<Duration> {
        for i in 0..80 {
            let now = start + Duration::from_millis(25 * i);
            *sent += (share * 125_000.0 * 0.025) as u64;
            let before = alr.since().is_some();
            alr.update(now, 1_000_000, *sent);
            if alr.since().is_some() != before {
                return Some(now - start);
            }
        }
        None
    }

    #[test]
    fn little_sending_starts_it_and_full_sending_ends_it() {
        let start = althing_testkit::epoch();
        let (mut alr, mut sent) = (Alr::default(), 0);
        assert_eq!(run(&mut alr, start, &mut sent, 0.79), None);
        let after = run(&mut alr, start + Duration::from_secs(2), &mut sent, 0.2);
        assert!(alr.since().is_some());
        assert!(
            after.is_some_and(|t| t < Duration::from_millis(400)),
            "{after:?}"
        );
        let after = run(&mut alr, start + Duration::from_secs(4), &mut sent, 1.2);
        assert!(alr.since().is_none() && alr.ended.is_some());
        assert!(
            after.is_some_and(|t| t < Duration::from_millis(1800)),
            "{after:?}"
        );
    }
}
