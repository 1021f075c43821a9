//! What each receiver wants, and what it gets: constraints and last-N (protocol 3 §5.2, §7.1).
//! Bandwidth does not enter yet; it will choose among the layers of the sources found here.

use crate::conference::Conference;
use crate::endpoint::Endpoint;
use crate::layers::LayerId;
use crate::outlet::Outlet;
use crate::settings::SlotMode;
use crate::slots::{Fresh, POOL, Placing};
use crate::timers::Timer;
use althing_colibri::{Constraint, VideoConstraints};
use althing_model::{MediaKind, SourceName};
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

impl Conference {
    /// The sources a receiver gets and their heights, the most wanted first.
    fn effective(&self, endpoint: &Endpoint) -> Vec<(usize, i32)> {
        let wishes = &endpoint.wishes;
        let limit = wishes.limit(self.settings.last_n);
        let mut taken: Vec<(usize, i32)> = Vec::new();
        if !endpoint.receives_video || limit == 0 {
            return taken;
        }
        let consider = |source: usize, taken: &mut Vec<(usize, i32)>| {
            let s = &self.sources[source];
            let height = wishes.height(&s.name);
            let wanted = height != 0
                && s.kind == MediaKind::Video
                && s.owner != endpoint.key
                && s.video_type.is_enabled();
            if wanted && taken.len() < limit && !taken.iter().any(|(t, _)| *t == source) {
                taken.push((source, height));
            }
        };
        for name in wishes.on_stage.iter().chain(&wishes.selected) {
            if let Some(&source) = self.names.get(name) {
                consider(source, &mut taken);
            }
        }
        if wishes.default_height == 0 {
            // Only what is named can be wanted: the others are not even looked at.
            let mut named: Vec<usize> = wishes
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
                consider(source, &mut taken);
            }
        } else {
            for &index in &self.order {
                for &source in &self.endpoints[index].sources {
                    consider(source, &mut taken);
                }
                if taken.len() == limit {
                    break;
                }
            }
        }
        taken
    }

    pub(crate) fn mark_dirty(&mut self, index: usize, audio: bool, video: bool) {
        let Some(endpoint) = self.endpoints.get_mut(index) else {
            return;
        };
        if !endpoint.dirty_audio && !endpoint.dirty_video {
            self.dirty.push(index);
        }
        endpoint.dirty_audio |= audio;
        endpoint.dirty_video |= video;
    }

    pub(crate) fn mark_all_dirty(&mut self, audio: bool, video: bool) {
        for at in 0..self.order.len() {
            self.mark_dirty(self.order[at], audio, video);
        }
    }

    /// Chooses anew for every receiver that has reason to; all reasons since the last time at once.
    pub(crate) fn allocate(&mut self) {
        let now = self.now();
        self.serve_new_audio(now);
        let mut dirty = std::mem::take(&mut self.dirty);
        for index in dirty.drain(..) {
            let Some(endpoint) = self.endpoints.get_mut(index) else {
                continue;
            };
            let audio = std::mem::take(&mut endpoint.dirty_audio);
            let video = std::mem::take(&mut endpoint.dirty_video);
            if video {
                self.allocate_video(index, now);
            }
            if audio {
                self.allocate_audio(index, now);
            }
            self.announce(index, now);
            if video {
                self.tell_forwarded(index, false);
            }
        }
        self.dirty = dirty;
        self.tell_senders();
    }

    fn allocate_video(&mut self, index: usize, now: Instant) {
        let effective = self.effective(&self.endpoints[index]);
        let endpoint = &mut self.endpoints[index];
        let mut sorted = effective.clone();
        sorted.sort_unstable();
        if sorted != endpoint.effective {
            for &(source, height) in &endpoint.effective {
                self.sources[source].wants.remove(height);
                self.touched.push(source);
            }
            for &(source, height) in &sorted {
                self.sources[source].wants.add(height);
                self.touched.push(source);
            }
            endpoint.effective = sorted;
        }
        // Whoever is no longer wanted stops before anybody else may take the slot.
        for outlet in &mut endpoint.outlets {
            let (MediaKind::Video, true, Some(source)) =
                (outlet.kind, outlet.subscribed, outlet.source)
            else {
                continue;
            };
            let wanted = endpoint
                .effective
                .binary_search_by_key(&source, |(s, _)| *s)
                .is_ok();
            if !wanted || !endpoint.connected {
                outlet.subscribed = false;
                self.sources[source].unsubscribe(index);
            }
        }
        self.tick += 1;
        let tick = self.tick;
        let (retry_at, _) = self.placing(index, now, |endpoint, placing| {
            for &(source, _) in &effective {
                if let Some(&outlet) = endpoint.outlet_of.get(&source) {
                    endpoint.outlets[outlet].touched = tick;
                }
            }
            let unwanted = |o: &Outlet| (o.touched != tick).then_some(o.touched);
            for &(source, _) in &effective {
                endpoint.place(source, placing, Some(&unwanted));
            }
        });
        if let Some(at) = retry_at {
            self.retries.push((at, index));
            self.timers.arm(Timer::Allocation, at);
        }
        self.place_idle_video(index, now);
        for (source, _) in effective {
            self.subscribe(index, source);
        }
    }

    /// While there is room, sources that nobody asked for get slots too, so that they are ready.
    fn place_idle_video(&mut self, index: usize, now: Instant) {
        let endpoint = &self.endpoints[index];
        if endpoint.mode != SlotMode::Rewriting || !endpoint.receives_video {
            return;
        }
        let mut idle = Vec::new();
        if endpoint.has_room(MediaKind::Video) {
            idle.extend(
                self.order
                    .iter()
                    .filter(|owner| **owner != index)
                    .flat_map(|owner| &self.endpoints[*owner].sources)
                    .filter(|s| self.sources[**s].kind == MediaKind::Video)
                    .filter(|s| !endpoint.outlet_of.contains_key(s))
                    .take(POOL)
                    .copied(),
            );
        }
        self.placing(index, now, |endpoint, placing| {
            for source in idle {
                if !endpoint.place(source, placing, None) {
                    break;
                }
            }
        });
    }

    /// Runs `place` with what it needs, and unsubscribes whoever lost a slot.
    pub(crate) fn placing(
        &mut self,
        index: usize,
        now: Instant,
        place: impl FnOnce(&mut Endpoint, &mut Placing<'_>),
    ) -> (Option<Instant>, Vec<usize>) {
        let Self {
            sources,
            endpoints,
            entropy,
            ssrcs,
            tick,
            settings,
            ..
        } = self;
        let mut placing = Placing {
            audio_slots: endpoints[index].audio_slots(settings.audio_slots),
            sources,
            fresh: Fresh { entropy, ssrcs },
            tick: *tick,
            now,
            evicted: Vec::new(),
            retry_at: None,
        };
        place(&mut endpoints[index], &mut placing);
        let (evicted, retry_at) = (placing.evicted, placing.retry_at);
        for &source in &evicted {
            sources[source].unsubscribe(index);
        }
        (retry_at, evicted)
    }

    fn subscribe(&mut self, index: usize, source: usize) {
        self.set_target(index, source, Some(LayerId::FIRST));
    }
}
