use std::time::Instant;

/// Why a conference wants to be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Timer {
    /// Receivers whose sources are to be chosen anew.
    Allocation,
    /// Missing packets to be asked for again.
    Missing,
    /// Transport-cc feedback to senders.
    Feedback,
    /// Receiver reports to senders.
    Reports,
    /// The dominant speaker.
    Speakers,
    /// A keyframe of who has just become dominant.
    Preemptive,
    /// What layers send.
    Layers,
    /// What receivers' paths carry.
    Estimation,
    /// Packets that wait to leave, and probes.
    Pacing,
}

impl Timer {
    pub(crate) const ALL: [Self; 9] = [
        Self::Allocation,
        Self::Missing,
        Self::Feedback,
        Self::Reports,
        Self::Speakers,
        Self::Preemptive,
        Self::Layers,
        Self::Estimation,
        Self::Pacing,
    ];
}

/// When each is next due.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    due: [Option<Instant>; Timer::ALL.len()],
}

impl Timers {
    /// Due at `at`, or earlier if it was.
    pub(crate) fn arm(&mut self, timer: Timer, at: Instant) {
        let slot = &mut self.due[timer as usize];
        *slot = Some(slot.map_or(at, |old| old.min(at)));
    }

    pub(crate) fn is_armed(&self, timer: Timer) -> bool {
        self.due[timer as usize].is_some()
    }

    /// Whether it is due; if so it is disarmed.
    pub(crate) fn take(&mut self, timer: Timer, now: Instant) -> bool {
        let slot = &mut self.due[timer as usize];
        let due = slot.is_some_and(|at| at <= now);
        if due {
            *slot = None;
        }
        due
    }

    pub(crate) fn next(&self) -> Option<Instant> {
        self.due.iter().flatten().min().copied()
    }
}
