//! When to ask for a keyframe: a limit per source, and a growing pause per requester.

use std::time::{Duration, Instant};

/// Between two requests to one source, whoever asks.
const SOURCE_INTERVAL: Duration = Duration::from_millis(200);
/// Between two requests of one receiver with no keyframe between; the last one repeats.
const PAUSES: [Duration; 4] = [
    Duration::from_millis(200),
    Duration::from_millis(400),
    Duration::from_millis(800),
    Duration::from_secs(2),
];

/// One receiver's wish for keyframes of one source.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Requester {
    asked: usize,
    next_at: Option<Instant>,
}

impl Requester {
    pub(crate) const NEW: Self = Self {
        asked: 0,
        next_at: None,
    };

    pub(crate) fn may_ask(&self, now: Instant) -> bool {
        self.next_at.is_none_or(|at| now >= at)
    }

    /// When it may ask again, if it has asked.
    pub(crate) const fn next_at(&self) -> Option<Instant> {
        self.next_at
    }

    pub(crate) fn asked(&mut self, now: Instant) {
        self.next_at = Some(now + PAUSES[self.asked.min(PAUSES.len() - 1)]);
        self.asked += 1;
    }

    /// A keyframe reached it.
    #[inline]
    pub(crate) fn satisfied(&mut self) {
        if self.asked != 0 {
            *self = Self::default();
        }
    }
}

/// All requests for one source.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Requests {
    last: Option<Instant>,
    /// Somebody asked within the interval.
    waiting: bool,
}

impl Requests {
    pub(crate) fn ready(&self, now: Instant) -> bool {
        self.last
            .is_none_or(|at| now.saturating_duration_since(at) >= SOURCE_INTERVAL)
    }

    /// Somebody wants a keyframe; true if the sender is to be asked now.
    pub(crate) fn request(&mut self, now: Instant) -> bool {
        if self.ready(now) {
            self.last = Some(now);
            self.waiting = false;
            return true;
        }
        self.waiting = true;
        false
    }

    /// Called with every packet of the source; true if the sender is to be asked now.
    pub(crate) fn due(&mut self, now: Instant) -> bool {
        self.waiting && self.request(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_requests_in_a_second_ask_thrice() {
        let start = althing_testkit::epoch();
        let (mut requester, mut requests) = (Requester::default(), Requests::default());
        let asked = (0..10)
            .filter(|i| {
                let now = start + Duration::from_millis(100 * i);
                requester.may_ask(now) && {
                    requester.asked(now);
                    requests.request(now)
                }
            })
            .count();
        assert_eq!(asked, 3);
    }

    #[test]
    fn a_request_within_the_interval_waits() {
        let start = althing_testkit::epoch();
        let mut requests = Requests::default();
        assert!(requests.request(start));
        assert!(!requests.request(start + Duration::from_millis(50)));
        assert!(!requests.due(start + Duration::from_millis(199)));
        assert!(requests.due(start + Duration::from_millis(200)));
        assert!(!requests.due(start + Duration::from_millis(900)));
    }
}
