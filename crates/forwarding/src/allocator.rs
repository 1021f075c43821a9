//! Which layer of each source a receiver gets, given what it asked for and what its path carries
//! (protocol 5 §11.3, §11.4). Numbers in, numbers out: no conference, no clock, nothing kept.
//!
//! Sources come with the most wanted first. In rounds each is improved by a step, until nothing
//! more fits; whoever is on stage is brought to a good size first, and as long as it is not there
//! the others get nothing. Where we differ from the bridge whose behaviour this follows:
//!
//! - A screen share gets its native resolution first and frames per second after the others have
//!   something: text that is read, not motion that is watched.
//! - An upgrade is held back while it would only just fit ([`Candidate::eager`]): each costs a
//!   keyframe, and one that is taken back at once costs two.
//! - After an upgrade that did not last the next one waits ([`Candidate::waits`]), the longer the more
//!   often that happened, unless there is room for twice as much.
//! - A source on stage for which nothing at all fits does not keep the others dark.
//! - A source that has not sent yet takes nothing from the others.

use crate::layers::{Layer, LayerId};
use smallvec::SmallVec;

/// Sources of one receiver that are worked on without touching the heap: more than there are.
pub(crate) const AT_HAND: usize = 64;
/// Layers of one source that are looked at.
const MAX_LAYERS: usize = 32;
/// So many times what all of it takes, and nothing has to wait for earlier upgrades' sake.
const PLENTY: u64 = 2;
/// More than any sum of rates.
const UNLIMITED: i64 = i64::MAX / 4;

/// What an operator may choose, or a test.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    /// On stage, up to this height comes before anybody else gets anything; px.
    pub(crate) preferred_height: u32,
    /// From that height on, only layers of this rate are of use; frames per second.
    pub(crate) preferred_fps: f32,
    /// By how much a screen share on stage may exceed what the path carries; bit/s.
    pub(crate) oversend: u64,
    /// What must stay free after an upgrade that has not waited; percent.
    pub(crate) headroom: u64,
}

impl Rules {
    pub(crate) const DEFAULT: Self = Self {
        preferred_height: 360,
        preferred_fps: 30.0,
        oversend: 500_000,
        headroom: 10,
    };
}

/// A source that the receiver wants.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Candidate<'a> {
    /// Ascending by quality.
    pub(crate) layers: &'a [Layer],
    /// Smaller side in px, negative for no limit; never 0.
    pub(crate) max_height: i32,
    pub(crate) on_stage: bool,
    pub(crate) is_share: bool,
    /// What it gets now.
    pub(crate) current: Option<LayerId>,
    /// An upgrade may use the last bit: it has waited for long enough, or was just asked for.
    pub(crate) eager: bool,
    /// It was given a greater picture not long ago that did not last: no other one yet.
    pub(crate) waits: bool,
    /// Its first picture is on the way: what was measured is that picture and not its rate, and to
    /// stop it now would be to begin once more with another.
    pub(crate) begins: bool,
}

/// What one source gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Choice {
    /// Nothing: suspended.
    pub(crate) target: Option<LayerId>,
    /// What it would take if the path carried everything; bit/s.
    pub(crate) ideal_bitrate: u64,
    /// What it takes now; bit/s.
    pub(crate) target_bitrate: u64,
    /// It takes more than the path is thought to carry.
    pub(crate) oversends: bool,
    /// A better layer fits, but only just: it may have it when that has been so for a while.
    pub(crate) held_back: bool,
}

/// Chooses for one receiver; `out` gets one choice per candidate, in their order. `budget` is in
/// bit/s, or nothing where nothing limits.
pub(crate) fn allocate(
    budget: Option<u64>,
    candidates: &[Candidate<'_>],
    rules: &Rules,
    out: &mut Vec<Choice>,
) {
    let limit = budget.map_or(UNLIMITED, |b| i64::try_from(b).unwrap_or(UNLIMITED));
    let mut all: SmallVec<[Work<'_>; AT_HAND]> =
        candidates.iter().map(|c| Work::new(c, rules)).collect();
    solve(limit, &mut all, rules);
    if let Some(budget) = budget {
        let all_of_it: u64 = all.iter().map(|w| w.cost(w.target).unsigned_abs()).sum();
        let waiting = budget < all_of_it.saturating_mul(PLENTY);
        for w in &mut all {
            w.waits = waiting && w.candidate.waits;
        }
        if all.iter().any(|w| w.rises() && !w.may_rise()) {
            hold_back(limit, &mut all, rules);
        }
    }
    for w in &mut all {
        if w.candidate.begins && w.target.is_none() && w.current.is_some() {
            w.target = w.indices().next();
            w.take_free();
        }
    }
    let spent: i64 = all.iter().map(|w| w.cost(w.target)).sum();
    out.clear();
    out.extend(all.iter().enumerate().map(|(i, w)| Choice {
        target: w.target.map(|t| w.candidate.layers[t].id),
        ideal_bitrate: w.cost(w.last()).unsigned_abs(),
        target_bitrate: w.cost(w.target).unsigned_abs(),
        // Nobody else may.
        oversends: i == 0 && spent > limit,
        held_back: w.held_back,
    }));
}

/// Improves in rounds until nothing more fits; says what each gets in its `target`.
fn solve(limit: i64, all: &mut [Work<'_>], rules: &Rules) {
    let mut remaining = limit;
    let oversend = i64::try_from(rules.oversend).unwrap_or(0);
    for w in all.iter_mut() {
        w.target = None;
    }
    loop {
        let mut changed = false;
        for (i, w) in all.iter_mut().enumerate().filter(|(_, w)| w.measured) {
            let before = w.target;
            let may_oversend = if i == 0 { oversend } else { 0 };
            remaining -= w.improve(remaining, may_oversend);
            changed |= w.target != before;
            if w.candidate.on_stage && w.target.is_some() && w.target < w.preferred {
                break;
            }
        }
        if !changed {
            break;
        }
    }
    for w in all.iter_mut().filter(|w| !w.measured) {
        w.guess(remaining.max(0));
    }
}

/// Takes back upgrades that leave no headroom, unless they are overdue.
fn hold_back(limit: i64, all: &mut [Work<'_>], rules: &Rules) {
    let targets: SmallVec<[Option<usize>; AT_HAND]> = all.iter().map(|w| w.target).collect();
    let percent = i64::try_from(100 + rules.headroom).unwrap_or(100);
    solve(limit / percent * 100, all, rules);
    let mut held_back = false;
    for (w, &full) in all.iter_mut().zip(&targets) {
        let cautious = std::mem::replace(&mut w.target, full);
        let current = w.current;
        if !w.measured || w.may_rise() || full <= current {
            continue;
        }
        let held = if w.waits {
            w.best_as_high_as_now(full)
        } else {
            cautious.min(full).max(current)
        };
        if held < full && w.cost(held) <= w.cost(full) {
            w.target = held;
            w.held_back = true;
            held_back = true;
        }
    }
    if !held_back {
        return;
    }
    // What somebody was to give up for an upgrade that does not come yet need not be given up.
    let mut remaining = limit - all.iter().map(|w| w.cost(w.target)).sum::<i64>();
    for w in all
        .iter_mut()
        .filter(|w| w.measured && w.target < w.current)
    {
        let more = w.cost(w.current) - w.cost(w.target);
        if more <= remaining {
            remaining -= more;
            w.target = w.current;
        }
    }
}

/// One source while it is being worked on. Layers are meant by their index; a lesser one that does
/// not exist is nothing, which is less than the first.
#[derive(Debug)]
struct Work<'a> {
    candidate: &'a Candidate<'a>,
    /// Layers that may be chosen, a bit each.
    kept: u32,
    target: Option<usize>,
    /// The best of `kept` that is no better than what it gets now.
    current: Option<usize>,
    /// On stage, others wait until it is there.
    preferred: Option<usize>,
    /// Up to here it may exceed the limit.
    oversend: Option<usize>,
    /// Some layer is being sent, so that rates are known.
    measured: bool,
    /// No greater picture than now.
    waits: bool,
    held_back: bool,
}

impl<'a> Work<'a> {
    fn new(candidate: &'a Candidate<'a>, rules: &Rules) -> Self {
        let mut work = Self {
            candidate,
            kept: 0,
            target: None,
            current: None,
            preferred: None,
            oversend: None,
            measured: candidate.layers.iter().any(|l| l.active),
            waits: false,
            held_back: false,
        };
        if candidate.is_share {
            work.consider_share();
        } else {
            work.consider_camera(rules);
        }
        if let Some(current) = candidate.current {
            let at = candidate.layers.partition_point(|l| l.id <= current);
            work.current = work.indices().take_while(|i| *i < at).last();
        }
        work
    }

    /// All that are sent; before anything is sent, all.
    fn possible(&self) -> impl Iterator<Item = (usize, &'a Layer)> + use<'a> {
        let measured = self.measured;
        let layers = self.candidate.layers.iter().take(MAX_LAYERS);
        layers
            .enumerate()
            .filter(move |(_, l)| l.active || !measured)
    }

    fn fits(&self, layer: &Layer) -> bool {
        u32::try_from(self.candidate.max_height).map_or(true, |max| layer.height <= max)
    }

    fn consider_camera(&mut self, rules: &Rules) {
        let small = (1..=180).contains(&self.candidate.max_height);
        let (height, fps) = if small {
            (0, 0.0)
        } else {
            (rules.preferred_height, rules.preferred_fps)
        };
        let least = self.possible().map(|(_, l)| l.height).min().unwrap_or(0);
        let mut kept = 0;
        for (i, layer) in self.possible() {
            // Rates are measured, and the steps between them are twofold.
            let full = || {
                let same = self.possible().filter(|(_, l)| l.height == layer.height);
                let most = same.map(|(_, l)| l.fps).fold(0.0, f32::max);
                layer.fps >= most.min(fps) * 0.9
            };
            if layer.height == least || self.fits(layer) && (layer.height < height || full()) {
                kept |= 1 << i;
            }
        }
        self.kept = kept;
        let enough = height.max(least);
        self.preferred = self
            .indices()
            .rfind(|i| self.candidate.layers[*i].height <= enough);
    }

    fn consider_share(&mut self) {
        let least = self.possible().map(|(_, l)| l.height).min().unwrap_or(0);
        let any_fits = self.possible().any(|(_, l)| self.fits(l));
        for (i, layer) in self.possible() {
            if self.fits(layer) || !any_fits && layer.height == least {
                self.kept |= 1 << i;
            }
        }
        // In its native size; how often a second is another question.
        self.preferred = self.sharpest(UNLIMITED);
        if self.candidate.on_stage {
            self.oversend = self.preferred;
        }
    }

    fn indices(&self) -> impl DoubleEndedIterator<Item = usize> + use<> {
        let kept = self.kept;
        (0..MAX_LAYERS).filter(move |i| kept >> i & 1 == 1)
    }

    fn last(&self) -> Option<usize> {
        self.indices().next_back()
    }

    fn rate(&self, layer: usize) -> i64 {
        i64::try_from(self.candidate.layers[layer].bitrate).unwrap_or(UNLIMITED)
    }

    /// What this choice takes; bit/s.
    fn cost(&self, layer: Option<usize>) -> i64 {
        layer.map_or(0, |l| self.rate(l))
    }

    fn rises(&self) -> bool {
        self.measured && self.target > self.current
    }

    /// Without waiting.
    const fn may_rise(&self) -> bool {
        self.candidate.eager && !self.waits
    }

    /// Up to this layer, the best in the size it has now; the smallest size while it has none.
    fn best_as_high_as_now(&self, most: Option<usize>) -> Option<usize> {
        let size = |i: usize| self.candidate.layers[i].height;
        let now = size(self.current.or_else(|| self.indices().next())?);
        self.indices()
            .rfind(|i| Some(*i) <= most && size(*i) <= now)
            .max(self.current)
    }

    /// The cheapest layer of the greatest height that takes less than `max`.
    fn sharpest(&self, max: i64) -> Option<usize> {
        let key = |i: &usize| {
            let layer = &self.candidate.layers[*i];
            (layer.height, std::cmp::Reverse((layer.bitrate, *i)))
        };
        self.indices()
            .filter(|i| self.rate(*i) < max)
            .max_by_key(key)
    }

    /// One step up, if it fits into what remains. Returns what it takes more than before.
    fn improve(&mut self, remaining: i64, oversend: i64) -> i64 {
        let before = self.cost(self.target);
        let max = remaining + before;
        let height = |i: Option<usize>| i.map_or(0, |i| self.candidate.layers[i].height);
        let above = |i: &usize| Some(*i) > self.target;
        // Off stage a share waits until everybody has something.
        let may_sharpen =
            self.candidate.is_share && (self.candidate.on_stage || self.target.is_some());
        let sharper = self.sharpest(max);
        let next = if may_sharpen && height(sharper) > height(self.target) {
            sharper
        } else if self.candidate.on_stage && self.target.is_none() {
            self.indices()
                .rfind(|i| Some(*i) <= self.preferred && self.rate(*i) <= max)
        } else {
            self.indices().find(|i| above(i) && self.rate(*i) < max)
        };
        self.target = next.or(self.target);
        self.take_free();
        if oversend > 0 && self.target < self.oversend {
            let best = self.oversend;
            let found = self.indices().rfind(|i| {
                Some(*i) <= best && Some(*i) > self.target && self.rate(*i) <= max + oversend
            });
            self.target = found.or(self.target);
        }
        self.cost(self.target) - before
    }

    /// What is better and takes no more.
    fn take_free(&mut self) {
        if let Some(target) = self.target {
            let free = |i: &usize| *i > target && self.rate(*i) <= self.rate(target);
            self.target = self.indices().rfind(free).or(self.target);
        }
    }

    /// Nothing has been sent yet: the best that is likely to fit, so that a picture may come at
    /// once, and in any case the least.
    fn guess(&mut self, remaining: i64) {
        let likely = |i: &usize| usual_rate(self.candidate.layers[*i].height) <= remaining;
        self.target = self
            .indices()
            .rfind(likely)
            .or_else(|| self.indices().next());
    }
}

/// What browsers send at most in this height; bit/s.
const fn usual_rate(height: u32) -> i64 {
    match height {
        0..=180 => 200_000,
        181..=360 => 500_000,
        361..=720 => 1_500_000,
        _ => 2_500_000,
    }
}

#[cfg(test)]
mod tests;
