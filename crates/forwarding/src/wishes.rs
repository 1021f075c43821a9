//! What each receiver asked for, and which sources at which heights that makes (protocol 3 §5.2,
//! §7.1). What of it the path can carry is decided in `allocation`.

use crate::allocator::AT_HAND;
use crate::conference::Conference;
use crate::layers::LayerId;
use crate::setbacks::Setbacks;
use crate::settings::Limits;
use crate::slots::POOL;
use althing_colibri::{Constraint, VideoConstraints};
use althing_model::{MediaKind, SourceName};
use smallvec::SmallVec;
use std::collections::BTreeMap;
use std::time::Instant;

/// The height that holds for a client whose first message names no default.
const FIRST_DEFAULT: i32 = 180;

/// What a receiver has asked for; survives its channel.
#[derive(Debug)]
pub(crate) struct Wishes {
    pub(crate) last_n: i32,
    pub(crate) on_stage: Vec<SourceName>,
    pub(crate) selected: Vec<SourceName>,
    default_height: i32,
    constraints: BTreeMap<SourceName, Constraint>,
    heard: bool,
}

impl Default for Wishes {
    /// Before the first message: no video.
    fn default() -> Self {
        Self {
            last_n: -1,
            on_stage: Vec::new(),
            selected: Vec::new(),
            default_height: 0,
            constraints: BTreeMap::new(),
            heard: false,
        }
    }
}

impl Wishes {
    /// Takes over what the message says; absent parts stay.
    pub(crate) fn apply(&mut self, message: VideoConstraints) {
        if !std::mem::replace(&mut self.heard, true) {
            self.default_height = FIRST_DEFAULT;
        }
        if let Some(last_n) = message.last_n {
            self.last_n = last_n;
        }
        if let Some(sources) = message.on_stage_sources {
            self.on_stage = sources;
        }
        if let Some(sources) = message.selected_sources {
            self.selected = sources;
        }
        if let Some(default) = message.default_constraints {
            self.default_height = default.effective_height();
        }
        if let Some(constraints) = message.constraints {
            self.constraints = constraints;
        }
    }

    pub(crate) fn height(&self, source: &SourceName) -> i32 {
        self.constraints
            .get(source)
            .map_or(self.default_height, |c| c.effective_height())
    }

    /// How many sources at most, given the bridge's own limit.
    fn limit(&self, bridge: Option<u32>) -> usize {
        let own = usize::try_from(self.last_n).unwrap_or(POOL);
        let bridge = bridge.map_or(POOL, |n| n as usize);
        own.min(bridge).min(POOL)
    }
}

/// One source that a receiver wants now, and what it gets of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    pub(crate) source: usize,
    /// Never 0; negative for no limit.
    pub(crate) height: i32,
    pub(crate) on_stage: bool,
    /// 0 for the most wanted.
    pub(crate) rank: usize,
    pub(crate) target: Option<LayerId>,
    /// The receiver has just asked for it, or for more of it.
    pub(crate) is_new: bool,
    /// Since when a better layer would fit, but only just.
    pub(crate) held_since: Option<Instant>,
    /// Since when it gets anything of it.
    pub(crate) given_since: Option<Instant>,
    /// What became of greater pictures that it was given.
    pub(crate) setbacks: Setbacks,
}

impl Conference {
    /// How many video sources a receiver gets at most, whatever it asks for.
    pub(crate) fn last_n(&self) -> Option<u32> {
        let size = self.order.len();
        let by_size = &self.settings.last_n_by_size;
        let of_size = by_size.range(..=size).next_back().map(|(_, n)| *n);
        [self.settings.last_n, of_size, self.limits.last_n]
            .into_iter()
            .flatten()
            .min()
    }

    /// The height at which a receiver wants this source; 0 if it does not.
    fn effective_height(&self, index: usize, source: usize) -> i32 {
        let endpoint = &self.endpoints[index];
        let s = &self.sources[source];
        if s.kind != MediaKind::Video || s.owner == endpoint.key || !s.video_type.is_enabled() {
            return 0;
        }
        self.limits
            .cap(endpoint.wishes.height(&s.name), s.video_type)
    }

    /// Whether the receiver would take this source, were there room for all.
    pub(crate) fn wishes_for(&self, index: usize, source: usize) -> bool {
        self.endpoints[index].receives_video && self.effective_height(index, source) != 0
    }

    /// The sources that the receiver gets if the path carries them, the most wanted first. Returns
    /// whether somebody was left out for want of room.
    fn pick(&self, index: usize, taken: &mut Vec<Wanted>) -> bool {
        let endpoint = &self.endpoints[index];
        let wishes = &endpoint.wishes;
        let limit = wishes.limit(self.last_n());
        if !endpoint.receives_video || limit == 0 {
            return false;
        }
        let mut left_out = false;
        let mut consider = |source: usize, on_stage: bool, taken: &mut Vec<Wanted>| {
            let height = self.effective_height(index, source);
            if height == 0 || taken.iter().any(|w| w.source == source) {
                return;
            }
            if taken.len() == limit {
                left_out = true;
                return;
            }
            taken.push(Wanted {
                source,
                height,
                on_stage,
                rank: taken.len(),
                target: None,
                is_new: true,
                held_since: None,
                given_since: None,
                setbacks: Setbacks::default(),
            });
        };
        for (list, on_stage) in [(&wishes.on_stage, true), (&wishes.selected, false)] {
            for name in list {
                if let Some(&source) = self.names.get(name) {
                    consider(source, on_stage, taken);
                }
            }
        }
        if wishes.default_height == 0 {
            // Only what is named can be wanted: the others are not even looked at.
            let mut named: SmallVec<[usize; AT_HAND]> = wishes
                .constraints
                .keys()
                .filter_map(|n| self.names.get(n).copied())
                .collect();
            named.sort_by_key(|s| {
                let owner = self.sources[*s].owner;
                let spoke = self.endpoint(owner).map_or(0, |e| e.spoke);
                (std::cmp::Reverse(spoke), owner.generation)
            });
            for source in named {
                consider(source, false, taken);
            }
        } else {
            for &owner in &self.order {
                for &source in &self.endpoints[owner].sources {
                    consider(source, false, taken);
                }
                if taken.len() == limit {
                    break;
                }
            }
        }
        left_out || taken.len() == limit
    }

    /// Finds anew which sources the receiver wants. Those it no longer wants stop.
    pub(crate) fn find_wanted(&mut self, index: usize) {
        let mut before = std::mem::take(&mut self.spare_wanted);
        before.clear();
        let is_short = self.pick(index, &mut before);
        let endpoint = &mut self.endpoints[index];
        endpoint.left_out = is_short;
        std::mem::swap(&mut before, &mut endpoint.wanted);
        let wanted = &mut endpoint.wanted;
        wanted.sort_unstable_by_key(|w| w.source);
        for w in wanted.iter_mut() {
            let old = before.binary_search_by_key(&w.source, |b| b.source);
            let old = old.ok().map(|at| before[at]);
            if let Some(old) = old {
                w.target = old.target;
                w.held_since = old.held_since;
                w.given_since = old.given_since;
                if w.height == old.height {
                    w.setbacks = old.setbacks;
                }
                let greater = |new: i32, old: i32| old >= 0 && (new < 0 || new > old);
                w.is_new =
                    old.is_new || greater(w.height, old.height) || w.on_stage && !old.on_stage;
            }
            if old.map(|o| o.height) != Some(w.height) {
                self.sources[w.source].wants.add(w.height);
                self.touched.push(w.source);
            }
        }
        for old in &before {
            let new = endpoint.wants(old.source);
            if new.map(|w| w.height) != Some(old.height) {
                self.sources[old.source].wants.remove(old.height);
                self.touched.push(old.source);
            }
        }
        before.retain(|old| endpoint.wants(old.source).is_none());
        for old in &before {
            self.set_target(index, old.source, None);
        }
        self.spare_wanted = before;
    }

    /// Caps for all receivers, from now on; for shedding load (protocol 5 §18).
    pub fn set_limits(&mut self, now: Instant, limits: Limits) {
        self.enter(now);
        if std::mem::replace(&mut self.limits, limits) != limits {
            self.applied_last_n = self.last_n();
            self.mark_all_dirty(false, true);
        }
    }
}
