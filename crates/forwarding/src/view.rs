//! Views: what a receiver sees of a source. A view is one encoding at one layer; which packets are
//! in it, and their numbers there, are found once for all its receivers.

use crate::closed_up::ClosedUp;
use crate::frame_ids::FrameIds;
use crate::layers::LayerId;
use crate::reader::{Climb, Facts, Layout, Reader};
use crate::source::Subscriber;

/// Names a view of a source. Numbers of another generation mean nothing in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ViewKey {
    pub(crate) encoding: u8,
    pub(crate) index: u8,
    pub(crate) generation: u32,
}

impl ViewKey {
    /// All of a source that has no layers.
    pub(crate) const fn whole(generation: u32) -> Self {
        Self {
            encoding: 0,
            index: 0,
            generation,
        }
    }
}

/// A packet as a view numbers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct InView {
    pub(crate) number: u64,
    pub(crate) ids: FrameIds,
    pub(crate) marker: bool,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) id: LayerId,
    /// The decode target that stands for the layer, where layers are told by those.
    target: u8,
    /// The decode targets within the layer, where that is not all of them, one bit each.
    within: Option<u32>,
    pub(crate) subscribers: Vec<Subscriber>,
    pub(crate) numbers: ClosedUp,
    pub(crate) pictures: ClosedUp,
}

impl View {
    pub(crate) fn new(id: LayerId) -> Self {
        Self {
            id,
            target: 0,
            within: None,
            subscribers: Vec::new(),
            numbers: ClosedUp::default(),
            pictures: ClosedUp::default(),
        }
    }

    /// Nothing numbered so far means anything any more.
    pub(crate) fn restart(&mut self) {
        self.numbers = ClosedUp::default();
        self.pictures = ClosedUp::default();
    }

    /// The encoding's layers have changed.
    pub(crate) fn aim(&mut self, reader: &Reader) {
        self.target = target_of(self.id, reader);
        let within = reader
            .shapes()
            .iter()
            .filter(|s| s.spatial <= self.id.spatial && s.temporal <= self.id.temporal)
            .fold(0, |mask, s| mask | 1 << s.target);
        let partial = reader.layout == Some(Layout::Targets) && within != reader.active;
        self.within = Some(within).filter(|mask| partial && *mask != 0);
    }

    /// The decode targets that receivers here are to take for active, where the packet's descriptor
    /// tells of others.
    pub(crate) fn active_targets(&self, facts: &Facts) -> Option<u32> {
        self.within.filter(|_| facts.tells_active)
    }

    /// Whether the packet belongs to it; `top` is the highest spatial layer there is.
    pub(crate) fn contains(&self, facts: &Facts, top: u8) -> bool {
        match facts.layout {
            Layout::Blind => true,
            Layout::Targets => facts.present >> self.target & 1 == 1,
            Layout::Layers => {
                let spatial = self.id.spatial.min(top);
                facts.temporal <= self.id.temporal
                    && (facts.spatial == spatial || facts.spatial < spatial && facts.referred_above)
            }
        }
    }

    /// Packets between these two were lost. Those that were of frames left out leave no gap.
    pub(crate) fn lost_between(&mut self, before: (u64, Facts), now: (u64, &Facts), top: u8) {
        let ((from, before), (to, facts)) = (before, now);
        let (was_in, is_in) = (self.contains(&before, top), self.contains(facts, top));
        let adjacent = match (before.picture, facts.picture) {
            (Some(a), Some(b)) => b == a + 1 || a == b,
            _ => before.same_frame(facts),
        };
        if !was_in && !is_in && adjacent {
            self.numbers.leave_out(from + 1, to);
            return;
        }
        if !was_in && !before.ends {
            self.numbers.leave_out(from + 1, (from + 2).min(to));
        }
        if !is_in && !facts.begins {
            self.numbers.leave_out(to - 1, to);
        }
    }

    /// Gives the packet its numbers here; nothing if it is not part of the view.
    pub(crate) fn number(&mut self, number: u64, facts: &Facts, top: u8) -> Option<InView> {
        if !self.contains(facts, top) {
            self.numbers.leave_out(number, number + 1);
            if let Some(picture) = facts.picture {
                self.pictures.leave_out(picture, picture + 1);
            }
            return None;
        }
        let number = self.numbers.number(number)?;
        if let Some(picture) = facts.picture {
            self.pictures.number(picture);
        }
        Some(self.seen(number, facts, top))
    }

    /// The packet as it is seen here, under its number in the view.
    pub(crate) fn seen(&self, number: u64, facts: &Facts, top: u8) -> InView {
        let mut ids = facts.ids;
        if let (Some(picture), Some((at, _))) = (facts.picture, ids.picture) {
            let closed = self.closed_picture(picture);
            ids.moved = closed != picture;
            ids.picture = Some((at, (closed & 0x7fff) as u16));
        }
        InView {
            number,
            ids,
            marker: facts.marker || facts.ends && self.is_top(facts, top),
        }
    }

    /// The picture id as closed up, whether or not it is part of the view.
    pub(crate) fn closed_picture(&self, picture: u64) -> u64 {
        self.pictures
            .peek(picture)
            .unwrap_or_else(|| picture.saturating_sub(self.pictures.total()))
    }

    /// Whether the packet is of the highest spatial layer in the view.
    fn is_top(&self, facts: &Facts, top: u8) -> bool {
        facts.spatial >= self.id.spatial.min(top)
    }

    /// Where a receiver of this view that wants `goal`, of the same encoding, may go at this packet.
    fn step(&self, goal: LayerId, facts: &Facts, reader: &Reader) -> LayerId {
        let here = self.id;
        if facts.key {
            return goal;
        }
        if !facts.opens {
            return here;
        }
        match facts.layout {
            Layout::Blind => goal,
            Layout::Targets => {
                let target = target_of(goal, reader);
                let both = facts.present >> self.target & facts.switch >> target & 1 == 1;
                if both || target == self.target {
                    goal
                } else {
                    here
                }
            }
            Layout::Layers => {
                let mut next = here;
                let top = reader.top_spatial;
                let (from, to) = (here.spatial.min(top), goal.spatial.min(top));
                if to == from || to < from && reader.is_shared(to) {
                    next.spatial = goal.spatial;
                }
                next.temporal = temporal_step(here.temporal, goal.temporal, facts, reader);
                next
            }
        }
    }
}

fn temporal_step(here: u8, goal: u8, facts: &Facts, reader: &Reader) -> u8 {
    if goal <= here || here >= reader.top_temporal {
        return goal;
    }
    match facts.climb {
        Climb::Above if facts.temporal <= here => goal,
        // One layer at a time: the next one up may refer to frames of those between.
        Climb::Into if facts.temporal == here + 1 => {
            if facts.temporal >= reader.top_temporal {
                goal
            } else {
                facts.temporal
            }
        }
        _ => here,
    }
}

/// The decode target that comes nearest to a layer from below.
fn target_of(id: LayerId, reader: &Reader) -> u8 {
    if reader.layout != Some(Layout::Targets) {
        return 0;
    }
    let shapes = reader.shapes();
    shapes
        .iter()
        .rev()
        .find(|s| s.spatial <= id.spatial && s.temporal <= id.temporal)
        .or_else(|| shapes.first())
        .map_or(0, |s| s.target)
}

/// Where a receiver goes at a packet of `encoding`. `here` is the view it is in, if any, and
/// `wanted` what it is to have in the end (protocol 5 §10.3).
pub(crate) fn next(
    here: Option<&View>,
    wanted: LayerId,
    encoding: u8,
    facts: &Facts,
    reader: &Reader,
) -> Option<LayerId> {
    let entry = if encoding == wanted.encoding {
        wanted
    } else {
        LayerId::all_of(encoding)
    };
    match here {
        None => (facts.key && encoding <= wanted.encoding).then_some(entry),
        Some(view) if view.id.encoding == encoding => {
            let goal = if wanted.encoding < encoding {
                // About to go down: the base layer alone until then.
                LayerId {
                    temporal: 0,
                    ..view.id
                }
            } else {
                entry
            };
            let next = view.step(goal, facts, reader);
            (next != view.id).then_some(next)
        }
        Some(view) => {
            let from = view.id.encoding;
            let climbs = from < encoding && encoding <= wanted.encoding;
            let descends = encoding <= wanted.encoding && wanted.encoding < from;
            (facts.key && (climbs || descends)).then_some(entry)
        }
    }
}

/// Whether a receiver needs a keyframe to get what it wants.
pub(crate) fn needs_keyframe(here: Option<&View>, wanted: LayerId, reader: &Reader) -> bool {
    let Some(view) = here else {
        return true;
    };
    if view.id.encoding != wanted.encoding {
        return true;
    }
    match reader.layout {
        Some(Layout::Targets) => {
            let target = target_of(wanted, reader);
            target != view.target && !reader.can_switch(view.target, target)
        }
        Some(Layout::Layers) => {
            let top = reader.top_spatial;
            let (from, to) = (view.id.spatial.min(top), wanted.spatial.min(top));
            to > from || to < from && !reader.is_shared(to)
        }
        Some(Layout::Blind) | None => false,
    }
}
