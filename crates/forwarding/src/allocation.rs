//! Who chooses anew, and when; and of what a receiver wants, what its path carries.
//!
//! ```text
//!   wishes, sources, order ──► video ──► which sources, which slots ──┐
//!   bandwidth, layers ───────► layers ──────────────────────────────► allocator ──► targets
//!   microphones, subscription ► audio ──► which slots
//! ```
//!
//! Receivers with a reason stand in a queue, each once; a few of them are served in one go, so that
//! what concerns everybody does not keep packets waiting.

use crate::allocator::{self, AT_HAND, Candidate, Choice, Rules};
use crate::conference::Conference;
use crate::endpoint::Endpoint;
use crate::timers::Timer;
use crate::wishes::Wanted;
use smallvec::SmallVec;
use std::time::{Duration, Instant};

/// Receivers served in one go; the others follow when packets have been looked after.
const AT_ONCE: usize = 64;
/// Between two choices for one receiver, unless its wishes or the sources themselves change.
const PAUSE: Duration = Duration::from_millis(50);
/// After this long, chosen anew whatever has happened: rates are measured, and drift.
const AT_LATEST: Duration = Duration::from_secs(5);
/// The same where something gets less than was asked for: a rate that falls may make room.
const WHEN_SHORT: Duration = Duration::from_secs(1);
/// How long a source that somebody has just been given is not taken from him again for what it
/// takes: 0.4 s until a new slot opens, then a keyframe, and the second in which that one counts.
const BEGINNING: Duration = Duration::from_secs(2);
/// How long a better layer must have fitted, if only just.
const PATIENCE: Duration = Duration::from_secs(1);

/// What of a receiver's state is to be found anew.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Dirty {
    /// Which microphones it hears.
    pub(crate) audio: bool,
    /// Which sources it wants, and their slots.
    pub(crate) video: bool,
    /// Which layers of them.
    pub(crate) layers: bool,
    /// Whether it has heard of the newest sources.
    pub(crate) news: bool,
}

impl Dirty {
    pub(crate) const ALL: Self = Self {
        audio: true,
        video: true,
        layers: true,
        news: true,
    };
    const NONE: Self = Self {
        audio: false,
        video: false,
        layers: false,
        news: false,
    };
    pub(crate) const NEWS: Self = Self {
        news: true,
        ..Self::NONE
    };
    const LAYERS: Self = Self {
        layers: true,
        ..Self::NONE
    };
}

/// What the choice of layers has come to for one receiver.
#[derive(Debug, Default)]
pub(crate) struct Chosen {
    /// When it was last made.
    at: Option<Instant>,
    /// The budget it was made with.
    budget: Option<u64>,
    /// What all of it takes; bit/s.
    pub(crate) bitrate: u64,
    /// Sources that it wants and cannot have.
    pub(crate) suspended: usize,
    pub(crate) oversends: bool,
    /// What all of it would take were there no limit; bit/s.
    pub(crate) ideal: u64,
}

impl Chosen {
    /// Whether this budget differs enough from the last one to choose anew (protocol 5 §11.1).
    fn is_outdated(&self, budget: Option<u64>) -> bool {
        match (self.budget, budget) {
            (Some(before), Some(now)) => {
                let differs = before.abs_diff(now) as f64 > before as f64 * 0.15;
                // What is being sent does not fit any more.
                let overdrawn = now < before && self.bitrate as f64 > now as f64 * 1.05;
                differs || overdrawn && !self.oversends
            }
            (before, now) => before.is_some() != now.is_some(),
        }
    }
}

impl Conference {
    pub(crate) fn mark_dirty(&mut self, index: usize, audio: bool, video: bool) {
        let dirty = Dirty {
            audio,
            video,
            ..Dirty::NONE
        };
        self.mark(index, dirty);
    }

    pub(crate) fn mark_all_dirty(&mut self, audio: bool, video: bool) {
        if audio || video {
            for at in 0..self.order.len() {
                self.mark_dirty(self.order[at], audio, video);
            }
        }
    }

    /// A source became a screen, a camera or nothing: it is wanted otherwise than before.
    pub(crate) fn video_type_changed(&mut self, source: usize) {
        for at in 0..self.order.len() {
            let index = self.order[at];
            if self.endpoints[index].wants(source).is_some() || self.wishes_for(index, source) {
                self.mark_dirty(index, false, true);
            }
        }
    }

    /// There are more endpoints now, or fewer.
    pub(crate) fn size_changed(&mut self) {
        let last_n = self.last_n();
        if std::mem::replace(&mut self.applied_last_n, last_n) != last_n {
            self.mark_all_dirty(false, true);
        }
    }

    /// Those for whom it matters who comes first: the order of speakers has changed.
    pub(crate) fn mark_who_must_choose(&mut self) {
        for at in 0..self.order.len() {
            let index = self.order[at];
            let endpoint = &self.endpoints[index];
            if endpoint.left_out || endpoint.chosen.bitrate < endpoint.chosen.ideal {
                self.mark_dirty(index, false, true);
            }
        }
    }

    /// Layers of a source that the receiver wants came, went or changed.
    pub(crate) fn mark_layers(&mut self, index: usize) {
        self.mark(index, Dirty::LAYERS);
    }

    pub(crate) fn mark(&mut self, index: usize, what: Dirty) {
        let endpoint = self.endpoints.get_mut(index);
        // Of another part's endpoint there is nothing to choose here.
        let Some(endpoint) = endpoint.filter(|e| !e.is_remote()) else {
            return;
        };
        if !std::mem::replace(&mut endpoint.queued, true) {
            self.dirty.push_back(index);
        }
        endpoint.dirty.audio |= what.audio;
        endpoint.dirty.video |= what.video;
        endpoint.dirty.layers |= what.layers;
        endpoint.dirty.news |= what.news;
    }

    /// The receiver's bandwidth is estimated anew.
    pub(crate) fn bandwidth_changed(&mut self, index: usize) {
        let endpoint = &self.endpoints[index];
        if endpoint.chosen.is_outdated(endpoint.budget()) {
            self.mark_layers(index);
        }
    }

    /// Calls the receiver up again at this time, if nothing does before.
    pub(crate) fn call_up(&mut self, index: usize, at: Instant) {
        let endpoint = &mut self.endpoints[index];
        if endpoint.due.is_some_and(|due| due <= at) {
            return;
        }
        if let Some(due) = endpoint.due.replace(at) {
            self.due.remove(&(due, index));
        }
        self.due.insert((at, index));
        self.timers.arm(Timer::Allocation, at);
    }

    /// Marks whoever is due.
    pub(crate) fn wake_due(&mut self, now: Instant) {
        while let Some(&(at, index)) = self.due.first() {
            if at > now {
                self.timers.arm(Timer::Allocation, at);
                return;
            }
            self.due.pop_first();
            let endpoint = &mut self.endpoints[index];
            endpoint.due = None;
            if std::mem::take(&mut endpoint.awaits_slot) {
                self.mark_dirty(index, false, true);
            } else {
                self.mark_layers(index);
            }
        }
    }

    /// Chooses anew for receivers that have reason to; all reasons since the last time at once.
    pub(crate) fn allocate(&mut self) {
        let now = self.now();
        self.serve_new_audio(now);
        while self.may_serve > 0
            && let Some(index) = self.dirty.pop_front()
        {
            self.may_serve -= 1;
            if let Some(endpoint) = self.endpoints.get_mut(index) {
                endpoint.queued = false;
                self.serve(index, now);
            }
        }
        if self.dirty.is_empty() {
            self.news.clear();
        }
        self.tell_senders();
    }

    /// Chooses anew for this receiver what there is reason to.
    pub(crate) fn serve(&mut self, index: usize, now: Instant) {
        let mut dirty = std::mem::take(&mut self.endpoints[index].dirty);
        if dirty.news {
            let read = self.read_news(index);
            dirty.video |= read.wanted || read.missed;
            self.place_idle_video(index, &read.idle, now);
        }
        if dirty.video {
            self.find_wanted(index);
            self.place_video(index, now);
        }
        if dirty.audio {
            self.allocate_audio(index, now);
        }
        let chooses = dirty.video || dirty.layers && self.may_choose(index, now);
        if chooses {
            self.choose_layers(index, now);
        }
        if dirty.news || dirty.video || dirty.audio {
            self.announce(index, now);
        }
        if chooses {
            self.tell_forwarded(index, false);
        }
    }

    /// Some more receivers may be served.
    pub(crate) fn refill(&mut self) {
        self.may_serve = AT_ONCE;
    }

    /// Whether the last choice is old enough; if not, the receiver is called up when it is.
    fn may_choose(&mut self, index: usize, now: Instant) -> bool {
        let next = self.endpoints[index].chosen.at.map(|at| at + PAUSE);
        match next {
            Some(next) if now < next => {
                self.call_up(index, next);
                false
            }
            _ => true,
        }
    }

    /// Of everything the receiver wants, and has a slot for, the layers that its path carries.
    fn choose_layers(&mut self, index: usize, now: Instant) {
        let endpoint = &mut self.endpoints[index];
        let mut order: SmallVec<[usize; AT_HAND]> = (0..endpoint.wanted.len()).collect();
        order.sort_unstable_by_key(|at| endpoint.wanted[*at].rank);
        order.retain(|at| {
            endpoint
                .outlet_of
                .contains_key(&endpoint.wanted[*at].source)
        });
        let narrow = endpoint.downlink.is_narrow();
        let candidates: SmallVec<[Candidate<'_>; AT_HAND]> = order
            .iter()
            .map(|at| {
                let w = &endpoint.wanted[*at];
                let source = &self.sources[w.source];
                Candidate {
                    layers: source.layers(),
                    max_height: w.height,
                    on_stage: w.on_stage,
                    is_share: source.video_type.is_desktop(),
                    current: w.target,
                    waits: w.setbacks.waits(now),
                    eager: w.is_new || w.held_since.is_some_and(|at| now >= at + PATIENCE),
                    begins: !narrow && w.given_since.is_some_and(|at| now < at + BEGINNING),
                }
            })
            .collect();
        let budget = endpoint.budget();
        allocator::allocate(budget, &candidates, &Rules::DEFAULT, &mut self.choices);
        drop(candidates);
        let choices = std::mem::take(&mut self.choices);
        self.counters.allocations += 1;
        let is_short = choices.iter().any(|c| c.target_bitrate < c.ideal_bitrate);
        let mut next = now + if is_short { WHEN_SHORT } else { AT_LATEST };
        for (at, choice) in order.iter().zip(&choices) {
            let w = &mut endpoint.wanted[*at];
            let layers = self.sources[w.source].layers();
            w.setbacks.chosen(now, layers, w.target, choice.target);
            w.target = choice.target;
            let since = w.given_since.unwrap_or(now);
            w.given_since = choice.target.map(|_| since);
            w.is_new = false;
            w.held_since = choice.held_back.then(|| w.held_since.unwrap_or(now));
            if let Some(since) = w.held_since {
                // Not sooner than the pause, should it be overdue.
                let ready = w.setbacks.until().unwrap_or(now).max(since + PATIENCE);
                next = next.min(ready.max(now + PAUSE));
            }
        }
        endpoint.settle(&choices, budget, now);
        for w in &mut endpoint.wanted {
            if !endpoint.outlet_of.contains_key(&w.source) {
                w.target = None;
                w.given_since = None;
                w.is_new = true;
            }
        }
        let is_empty = order.is_empty();
        for (at, choice) in order.into_iter().zip(&choices) {
            let source = self.endpoints[index].wanted[at].source;
            self.set_target(index, source, choice.target);
        }
        self.choices = choices;
        if !is_empty {
            self.call_up(index, next);
        }
    }
}

impl Endpoint {
    /// What it wants of this source, if anything.
    pub(crate) fn wants(&self, source: usize) -> Option<&Wanted> {
        let at = self.wanted.binary_search_by_key(&source, |w| w.source);
        at.ok().map(|at| &self.wanted[at])
    }

    fn settle(&mut self, choices: &[Choice], budget: Option<u64>, now: Instant) {
        let ideal: u64 = choices.iter().map(|c| c.ideal_bitrate).sum();
        let bitrate = choices.iter().map(|c| c.target_bitrate).sum();
        self.chosen = Chosen {
            at: Some(now),
            budget,
            bitrate,
            suspended: choices.iter().filter(|c| c.target.is_none()).count(),
            oversends: choices.iter().any(|c| c.oversends),
            ideal,
        };
    }
}

#[cfg(test)]
mod tests;
