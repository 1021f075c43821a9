//! Decides which silent audio packets go no further (protocol 5 §7.2).

use std::time::Instant;

/// Consecutive silent packets that are forwarded.
const FORWARDED: u8 = 3;
/// The audio level of digital silence, in −dBov.
const SILENT: u8 = 127;

/// A sender muted by sending zeros.
#[derive(Debug, Default)]
pub(crate) struct Silence {
    run: u8,
    listening_until: Option<Instant>,
}

impl Silence {
    /// Whether a packet of this level (7 bits, −dBov) is to be forwarded.
    pub(crate) fn forwards(&mut self, level: Option<u8>, now: Instant) -> bool {
        if level != Some(SILENT) {
            self.run = 0;
            return true;
        }
        self.run = self.run.saturating_add(1).min(FORWARDED + 1);
        self.run <= FORWARDED || self.listening_until.is_some_and(|until| now < until)
    }

    /// Lets silence pass until then: a new slot that never hears a packet makes clients rebuild it
    /// (protocol 3 §7.3, hazard 5c).
    pub(crate) fn somebody_new_listens(&mut self, until: Instant) {
        self.listening_until = Some(until);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_silent_packets_pass() {
        let now = althing_testkit::epoch();
        let mut s = Silence::default();
        let forwarded: Vec<bool> = [127, 127, 127, 127, 127, 30, 127]
            .into_iter()
            .map(|l| s.forwards(Some(l), now))
            .collect();
        assert_eq!(forwarded, [true, true, true, false, false, true, true]);
        assert!(s.forwards(None, now), "without a level nothing is silence");
    }

    #[test]
    fn a_new_listener_hears_some_of_it() {
        let now = althing_testkit::epoch();
        let mut s = Silence::default();
        for _ in 0..10 {
            s.forwards(Some(127), now);
        }
        assert!(!s.forwards(Some(127), now));
        let until = now + std::time::Duration::from_millis(600);
        s.somebody_new_listens(until);
        assert!(s.forwards(Some(127), now));
        assert!(!s.forwards(Some(127), until));
    }
}
