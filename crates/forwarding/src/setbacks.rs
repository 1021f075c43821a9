//! Upgrades that did not last. A path may seem to carry a greater picture until that is sent: its
//! keyframe fills a queue, the estimate falls, and the picture with it. Tried again at once, that
//! goes on for ever; so each try waits longer than the one before.

use crate::layers::{Layer, LayerId};
use std::time::{Duration, Instant};

/// A picture that stays for so long has lasted.
const LASTING: Duration = Duration::from_secs(10);
/// The wait after the first setback; each further one doubles it, up to sixteen times.
const FIRST_WAIT: Duration = Duration::from_secs(2);
const DOUBLINGS: u32 = 4;

/// Of one source, for one receiver.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Setbacks {
    /// When it was given a greater picture that has not lasted yet.
    rose: Option<Instant>,
    /// How often that was taken back.
    count: u32,
    until: Option<Instant>,
}

impl Setbacks {
    /// Whether a greater picture is not to be tried yet.
    pub(crate) fn waits(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| now < until)
    }

    /// Until when it waits, or waited.
    pub(crate) const fn until(&self) -> Option<Instant> {
        self.until
    }

    /// What it got `before` is now `after`; `layers` are those of the source.
    pub(crate) fn chosen(
        &mut self,
        now: Instant,
        layers: &[Layer],
        before: Option<LayerId>,
        after: Option<LayerId>,
    ) {
        let picture = |id: Option<LayerId>| id.map(|id| (id.encoding, id.spatial));
        let lasted = |since: &Instant| now.saturating_duration_since(*since) >= LASTING;
        if self.rose.as_ref().is_some_and(lasted) {
            *self = Self::default();
        }
        if picture(after) > picture(before) {
            // The first picture of all is a guess, and no upgrade.
            self.rose = before.map(|_| now);
        } else if picture(after) < picture(before) {
            // A sender that stops a layer by itself says nothing of the path.
            let is_sent = layers.iter().any(|l| Some(l.id) == before && l.active);
            if self.rose.take().is_some() && is_sent {
                self.until = Some(now + FIRST_WAIT * (1 << self.count));
                self.count = (self.count + 1).min(DOUBLINGS);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layers() -> [Layer; 2] {
        [0, 1].map(|encoding| Layer {
            id: LayerId {
                encoding,
                spatial: 0,
                temporal: 0,
            },
            height: 180 << encoding,
            fps: 30.0,
            bitrate: 100_000,
            active: true,
        })
    }

    #[test]
    fn each_setback_makes_the_next_try_wait_twice_as_long() {
        let mut setbacks = Setbacks::default();
        let layers = layers();
        let [low, high] = [&layers[0], &layers[1]].map(|l| Some(l.id));
        let mut now = althing_testkit::epoch();
        let mut waits = Vec::new();
        for _ in 0..7 {
            assert!(!setbacks.waits(now));
            setbacks.chosen(now, &layers, low, high);
            now += Duration::from_millis(1500);
            setbacks.chosen(now, &layers, high, low);
            let until = setbacks.until().unwrap();
            waits.push((until - now).as_secs());
            now = until;
        }
        assert_eq!(waits, [2, 4, 8, 16, 32, 32, 32]);
        // One that lasts makes good for all of them.
        setbacks.chosen(now, &layers, low, high);
        now += LASTING;
        setbacks.chosen(now, &layers, high, high);
        setbacks.chosen(now, &layers, high, low);
        assert!(!setbacks.waits(now));
    }

    #[test]
    fn what_the_sender_stops_is_no_setback() {
        let mut setbacks = Setbacks::default();
        let mut layers = layers();
        let [low, high] = [&layers[0], &layers[1]].map(|l| Some(l.id));
        let now = althing_testkit::epoch();
        setbacks.chosen(now, &layers, low, high);
        layers[1].active = false;
        setbacks.chosen(now, &layers, high, low);
        assert!(!setbacks.waits(now));
    }
}
