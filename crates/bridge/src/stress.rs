//! How much a worker has to do, and what it leaves off when that is too much.
//!
//! ```text
//!   counters ── once a second ──► Load ──► stress, smoothed ──► Ladder ──► Measures
//!                                                                  0 nothing
//!                                                                  1 no probing
//!                                                                  2 fewer pictures each
//!                                                                  3 smaller pictures
//!                                                                  4 no newcomers
//! ```
//!
//! Load is what people notice: datagrams that wait, and datagrams that are lost for want of room.
//! How long the thread works says how near that is. What the processor does besides us counts only
//! where it makes us late. Nothing here touches audio.

use crate::counters::{Count, Counters};
use std::time::{Duration, Instant};

/// A thread that works for this part of the time is at its limit: bursts need the rest.
const BUSY_LIMIT: f64 = 0.8;
/// A datagram later than this is heard as a gap sooner or later. One of the steps of delays.
const LATE: Duration = Duration::from_millis(20);
/// This part of all datagrams may be late.
const LATE_LIMIT: f64 = 0.05;
/// This part may be lost for want of room, in either direction.
const LOST_LIMIT: f64 = 0.01;
/// Fewer datagrams in a second say nothing about load.
const MIN_DATAGRAMS: u64 = 300;
/// One measure alone counts no more than this, so that a second of trouble is soon forgotten.
const MOST: f64 = 2.0;
/// How much of a new reading is believed at once: more of a worse one than of a better one.
const RISE: f64 = 0.5;
const FALL: f64 = 0.25;

/// What one worker did in about a second.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Load {
    /// The part of the time that the thread worked.
    pub(crate) busy: f64,
    /// The part of the datagrams that were late.
    pub(crate) late: f64,
    /// The part of what was sent that the system did not take.
    pub(crate) unsent: f64,
    /// The part of what arrived that did not fit into the socket.
    pub(crate) unreceived: f64,
}

impl Load {
    /// From what a worker counted in `time`, how long it worked of it, and what its sockets lost.
    pub(crate) fn of(counted: &Counters, busy: Duration, lost: u64, time: Duration) -> Self {
        let part = |part: u64, rest: u64| match part + rest {
            0 => 0.0,
            all if all < MIN_DATAGRAMS => 0.0,
            all => part as f64 / all as f64,
        };
        let get = |count| counted.get(count);
        let (all, late) = counted.later_than(LATE);
        Self {
            busy: (busy.as_secs_f64() / time.as_secs_f64().max(0.001)).min(1.0),
            late: part(late, all - late),
            unsent: part(
                get(Count::SendWouldBlock) + get(Count::SendNoBuffers),
                get(Count::PacketsSent),
            ),
            unreceived: part(lost, get(Count::PacketsReceived)),
        }
    }

    /// 1 is the limit of what is done well.
    pub(crate) fn stress(self) -> f64 {
        [
            self.busy / BUSY_LIMIT,
            self.late / LATE_LIMIT,
            self.unsent / LOST_LIMIT,
            self.unreceived / LOST_LIMIT,
        ]
        .into_iter()
        .fold(0.0, f64::max)
        .min(MOST)
    }
}

/// What is left off on one worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Measures {
    /// Whether receivers are sent more than they need, to find out what they could take.
    pub(crate) probing: bool,
    /// At most this many pictures for each receiver.
    pub(crate) last_n: Option<u32>,
    /// None of them higher than this, in pixels.
    pub(crate) max_height: Option<u32>,
    /// Whether there is room for newcomers.
    pub(crate) admits: bool,
}

impl Measures {
    pub(crate) const NONE: Self = Self {
        probing: true,
        last_n: None,
        max_height: None,
        admits: true,
    };

    const fn no_probing() -> Self {
        Self {
            probing: false,
            ..Self::NONE
        }
    }

    const fn fewer(last_n: u32) -> Self {
        Self {
            last_n: Some(last_n),
            ..Self::no_probing()
        }
    }

    const fn smaller(max_height: u32) -> Self {
        Self {
            max_height: Some(max_height),
            ..Self::fewer(2)
        }
    }

    /// Whether this would change anything where no receiver gets more than `pictures`.
    fn matters(self, before: Self, pictures: u32) -> bool {
        let fewer = self.last_n != before.last_n && self.last_n.is_some_and(|n| n < pictures);
        let smaller = self.max_height != before.max_height && pictures > 0;
        fewer || smaller || self.probing != before.probing || self.admits != before.admits
    }
}

/// In the order of protocol 5 §18.
const STEPS: [Measures; 9] = [
    Measures::NONE,
    Measures::no_probing(),
    Measures::fewer(16),
    Measures::fewer(8),
    Measures::fewer(4),
    Measures::fewer(2),
    Measures::smaller(360),
    Measures::smaller(180),
    Measures {
        admits: false,
        ..Measures::smaller(180)
    },
];

/// Above this something is left off.
const TOO_MUCH: f64 = 1.0;
/// Above this it is done twice as fast.
const FAR_TOO_MUCH: f64 = 1.5;
/// Below this it is taken back: what the last step saved must not bring us back over the limit.
const WELL: f64 = 0.7;
/// A step has shown by then what it does.
const CLIMB_AFTER: Duration = Duration::from_secs(2);
const CLIMB_FAST_AFTER: Duration = Duration::from_secs(1);
/// So long it has to be well before a step is taken back.
const DESCEND_AFTER: Duration = Duration::from_secs(10);

/// How stressed one worker is, and what it leaves off for that.
#[derive(Debug, Default)]
pub(crate) struct Ladder {
    stress: f64,
    step: usize,
    /// Since when the present step has to prove itself.
    stepped_at: Option<Instant>,
    /// Since when the stress is above the limit, and since when it is well below.
    too_much_since: Option<Instant>,
    well_since: Option<Instant>,
}

impl Ladder {
    /// Takes what a second was like; `pictures` is the most video that any receiver may get.
    pub(crate) fn handle_load(&mut self, now: Instant, load: Load, pictures: u32) {
        let reading = load.stress();
        let believed = if reading > self.stress { RISE } else { FALL };
        self.stress += (reading - self.stress) * believed;
        self.too_much_since = since(self.too_much_since, now, self.stress >= TOO_MUCH);
        self.well_since = since(self.well_since, now, self.stress < WELL);
        if self.may_climb(now) {
            self.climb(now, pictures);
        } else if self.may_descend(now) {
            self.step -= 1;
            self.stepped_at = Some(now);
        }
    }

    /// 0 is idle, 1 the limit of what is done well.
    pub(crate) const fn stress(&self) -> f64 {
        self.stress
    }

    /// How far up it is; 0 is nothing left off.
    pub(crate) const fn step(&self) -> usize {
        self.step
    }

    pub(crate) const fn measures(&self) -> Measures {
        STEPS[self.step]
    }

    fn may_climb(&self, now: Instant) -> bool {
        let pause = if self.stress >= FAR_TOO_MUCH {
            CLIMB_FAST_AFTER
        } else {
            CLIMB_AFTER
        };
        self.step + 1 < STEPS.len()
            && self
                .too_much_since
                .is_some_and(|at| now >= at + CLIMB_FAST_AFTER)
            && self.stepped_at.is_none_or(|at| now >= at + pause)
    }

    /// One step up, passing over those that would save nothing here: a room without video comes to
    /// the last one at once.
    fn climb(&mut self, now: Instant, pictures: u32) {
        let before = STEPS[self.step];
        let last = STEPS.len() - 1;
        self.step = (self.step + 1..last)
            .find(|step| STEPS[*step].matters(before, pictures))
            .unwrap_or(last);
        self.stepped_at = Some(now);
    }

    fn may_descend(&self, now: Instant) -> bool {
        self.step > 0
            && self.well_since.is_some_and(|at| now >= at + DESCEND_AFTER)
            && self.stepped_at.is_none_or(|at| now >= at + DESCEND_AFTER)
    }
}

/// Since when something holds, if it does.
fn since(before: Option<Instant>, now: Instant, holds: bool) -> Option<Instant> {
    holds.then(|| before.unwrap_or(now))
}

#[cfg(test)]
mod tests;
