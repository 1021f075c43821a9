//! Which cameras have slots at which receivers: those that are wanted, and, while there is room, the
//! others before anybody looks.

use crate::allocation::Dirty;
use crate::allocator::AT_HAND;
use crate::conference::Conference;
use crate::endpoint::Endpoint;
use crate::outlet::Outlet;
use crate::settings::SlotMode;
use crate::slots::{Fresh, Placing, READY};
use althing_model::MediaKind;
use smallvec::SmallVec;
use std::collections::VecDeque;
use std::time::Instant;

/// New sources that are remembered for receivers that have not heard of them.
const REMEMBERED: usize = 256;

/// Sources that came, or that look for a slot, in order; each receiver knows how far it has read.
/// So what everybody is to hear of costs nothing for sources that they have heard of before: a
/// join in a large conference would otherwise cost its square.
#[derive(Debug, Default)]
pub(crate) struct News {
    sources: VecDeque<Option<usize>>,
    /// The number of the first.
    start: u64,
}

impl News {
    fn end(&self) -> u64 {
        self.start + self.sources.len() as u64
    }

    fn add(&mut self, source: usize) {
        if self.sources.len() == REMEMBERED {
            self.sources.pop_front();
            self.start += 1;
        }
        self.sources.push_back(Some(source));
    }

    /// The source is gone, and its index will be another's.
    pub(crate) fn forget(&mut self, source: usize) {
        for s in self.sources.iter_mut().filter(|s| **s == Some(source)) {
            *s = None;
        }
    }

    /// Everybody has read it.
    pub(crate) fn clear(&mut self) {
        self.start = self.end();
        self.sources.clear();
    }

    /// What came since this number; nothing if that is not known any more.
    fn since(&self, number: u64) -> Option<impl Iterator<Item = usize>> {
        let skip = usize::try_from(number.checked_sub(self.start)?).ok()?;
        Some(self.sources.iter().skip(skip).copied().flatten())
    }
}

impl Conference {
    /// Tells everybody of a source that is new, or needs a slot now.
    pub(crate) fn offer(&mut self, source: usize) {
        self.news.add(source);
        for at in 0..self.order.len() {
            self.mark(self.order[at], Dirty::NEWS);
        }
    }

    /// Sorts what has come since the receiver last looked.
    pub(crate) fn read_news(&mut self, index: usize) -> Read {
        let mut read = Read::default();
        let endpoint = &self.endpoints[index];
        match self.news.since(endpoint.news_read) {
            Some(news) => {
                for source in news {
                    if self.wishes_for(index, source) {
                        read.wanted = true;
                    } else {
                        read.idle.push(source);
                    }
                }
            }
            None => read.missed = true,
        }
        self.endpoints[index].news_read = self.news.end();
        read
    }

    /// Slots for what the receiver wants, and then for the rest.
    pub(crate) fn place_video(&mut self, index: usize, now: Instant) {
        self.tick += 1;
        let tick = self.tick;
        let (retry_at, _) = self.placing(index, now, |endpoint, placing| {
            let mut order: SmallVec<[(usize, usize); AT_HAND]> =
                endpoint.wanted.iter().map(|w| (w.rank, w.source)).collect();
            order.sort_unstable();
            for (_, source) in &order {
                if let Some(&outlet) = endpoint.outlet_of.get(source) {
                    endpoint.outlets[outlet].touched = tick;
                }
            }
            let unwanted = |o: &Outlet| (o.touched != tick).then_some(o.touched);
            for (_, source) in order {
                endpoint.place(source, placing, Some(&unwanted));
            }
        });
        if let Some(at) = retry_at {
            self.endpoints[index].awaits_slot = true;
            self.call_up(index, at);
        }
        // While there is room, sources that nobody asked for get slots too, so that they are ready.
        let endpoint = &self.endpoints[index];
        if endpoint.mode != SlotMode::Rewriting || !endpoint.has_idle_room() {
            return;
        }
        let idle: SmallVec<[usize; AT_HAND]> = self
            .order
            .iter()
            .filter(|owner| **owner != index)
            .flat_map(|owner| &self.endpoints[*owner].sources)
            .filter(|s| self.sources[**s].kind == MediaKind::Video)
            .filter(|s| !endpoint.outlet_of.contains_key(s))
            .take(READY)
            .copied()
            .collect();
        self.place_idle_video(index, &idle, now);
    }

    /// Slots for sources that the receiver does not want now.
    pub(crate) fn place_idle_video(&mut self, index: usize, sources: &[usize], now: Instant) {
        let endpoint = &self.endpoints[index];
        if endpoint.mode != SlotMode::Rewriting || !endpoint.receives_video {
            return;
        }
        let key = endpoint.key;
        self.placing(index, now, |endpoint, placing| {
            for &source in sources {
                if !endpoint.has_idle_room() {
                    break;
                }
                if placing.sources[source].owner != key && !endpoint.place(source, placing, None) {
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
        let Placing {
            evicted, retry_at, ..
        } = placing;
        for &source in &evicted {
            self.sources[source].unsubscribe(index);
        }
        (retry_at, evicted)
    }
}

/// What a receiver has read in the news.
#[derive(Debug, Default)]
pub(crate) struct Read {
    /// New cameras that it does not want.
    pub(crate) idle: SmallVec<[usize; 8]>,
    /// There are cameras that it may want.
    pub(crate) wanted: bool,
    /// It has been away for too long.
    pub(crate) missed: bool,
}
