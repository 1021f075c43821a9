//! Which SSRC of a receiver carries which source (protocol 3 §7.3).
//!
//! A rewriting receiver has a pool of slots that only grows to its limit; a slot stays with its
//! source while that is there, waits in case the name returns, and is re-used by others then. It is
//! not given away within a second of its creation, since the client may still be adding it. A plain
//! receiver has one outlet per SSRC, for ever.

use crate::endpoint::Endpoint;
use crate::outlet::Outlet;
use crate::settings::SlotMode;
use crate::source::Source;
use althing_model::{MediaKind, Ssrc};
use slab::Slab;
use std::time::{Duration, Instant};

/// Slots per receiver and kind.
pub(crate) const POOL: usize = 50;
/// Outlets of a plain receiver over its life; a client that makes more SSRCs gets no more.
const PLAIN: usize = 1024;
const SETTLED: Duration = Duration::from_secs(1);

/// Whether an outlet may be taken from its source; the least number goes first.
pub(crate) type Evictable<'a> = &'a dyn Fn(&Outlet) -> Option<u64>;

/// What placing sources needs of the conference.
pub(crate) struct Placing<'a> {
    pub(crate) sources: &'a Slab<Source>,
    /// A random SSRC that nobody uses, and a random start of sequence numbers.
    pub(crate) fresh: &'a mut dyn FnMut() -> (Ssrc, u16),
    /// Grows with every placing, to tell what was wanted last.
    pub(crate) tick: u64,
    pub(crate) now: Instant,
    /// Sources that lost their slot.
    pub(crate) evicted: Vec<usize>,
    /// When to try again for the sources that got none.
    pub(crate) retry_at: Option<Instant>,
}

impl Endpoint {
    /// Gives the source an outlet, if it can have one; `may_evict` says whose slot it may take.
    pub(crate) fn place(
        &mut self,
        source: usize,
        placing: &mut Placing<'_>,
        may_evict: Option<Evictable<'_>>,
    ) -> bool {
        if let Some(&outlet) = self.outlet_of.get(&source) {
            self.outlets[outlet].touched = placing.tick;
            return true;
        }
        let chosen = match self.mode {
            SlotMode::Plain => self.plain_outlet(source, placing),
            SlotMode::Rewriting => self.slot(source, placing, may_evict),
        };
        let Some(chosen) = chosen else { return false };
        let outlet = &mut self.outlets[chosen];
        if let Some(before) = outlet.source {
            self.outlet_of.remove(&before);
            placing.evicted.push(before);
            outlet.subscribed = false;
        }
        outlet.map(source, placing.sources[source].name.clone());
        outlet.touched = placing.tick;
        if self.mode == SlotMode::Plain {
            // Nothing is announced: the focus has told of the SSRC.
            outlet.changed = false;
            outlet.gate = crate::outlet::Gate::Waiting;
        }
        self.outlet_of.insert(source, chosen);
        true
    }

    fn slot(
        &mut self,
        source: usize,
        placing: &mut Placing<'_>,
        may_evict: Option<Evictable<'_>>,
    ) -> Option<usize> {
        let Source { kind, name, .. } = &placing.sources[source];
        let settled = |o: &Outlet| placing.now.saturating_duration_since(o.created) >= SETTLED;
        let mut count = 0;
        let mut free = None;
        for (i, outlet) in self.outlets.iter().enumerate() {
            if outlet.kind != *kind {
                continue;
            }
            count += 1;
            if outlet.source.is_none() {
                // The client still shows this name on it.
                if outlet.name == *name {
                    return Some(i);
                }
                if free.is_none() && settled(outlet) {
                    free = Some(i);
                }
            }
        }
        if free.is_some() {
            return free;
        }
        if count < POOL {
            let (ssrc, start) = (placing.fresh)();
            let rtx = (*kind == MediaKind::Video).then(|| (placing.fresh)().0);
            return Some(self.add_outlet(Outlet::new(
                *kind,
                ssrc,
                rtx,
                name.clone(),
                start,
                placing.now,
            )));
        }
        let evictable = may_evict?;
        let victim = self
            .outlets
            .iter()
            .enumerate()
            .filter(|(_, o)| o.kind == *kind && o.source.is_some())
            .filter_map(|(i, o)| Some((evictable(o)?, i)))
            .filter(|(_, i)| settled(&self.outlets[*i]))
            .min()
            .map(|(_, i)| i);
        if victim.is_none() {
            let at = placing.now + SETTLED;
            placing.retry_at = Some(placing.retry_at.map_or(at, |t| t.min(at)));
        }
        victim
    }

    fn plain_outlet(&mut self, source: usize, placing: &mut Placing<'_>) -> Option<usize> {
        let Source {
            kind,
            name,
            encodings,
            ..
        } = &placing.sources[source];
        let encoding = encodings.first()?;
        match self.by_ssrc.get(&encoding.primary.0) {
            Some(&(outlet, false)) if self.outlets[outlet].kind == *kind => {
                return self.outlets[outlet].source.is_none().then_some(outlet);
            }
            Some(_) => return None,
            None => {}
        }
        if self.outlets.len() >= PLAIN {
            return None;
        }
        let rtx = encoding
            .rtx
            .filter(|rtx| !self.by_ssrc.contains_key(&rtx.0));
        let (_, start) = (placing.fresh)();
        Some(self.add_outlet(Outlet::new(
            *kind,
            encoding.primary,
            rtx,
            name.clone(),
            start,
            placing.now,
        )))
    }

    fn add_outlet(&mut self, outlet: Outlet) -> usize {
        let index = self.outlets.len();
        self.by_ssrc.insert(outlet.ssrc.0, (index, false));
        if let Some(rtx) = outlet.rtx {
            self.by_ssrc.insert(rtx.0, (index, true));
        }
        self.outlets.push(outlet);
        index
    }

    /// Whether another source of this kind could get a slot without anybody losing one.
    pub(crate) fn has_room(&self, kind: MediaKind) -> bool {
        let mut count = 0;
        for outlet in self.outlets.iter().filter(|o| o.kind == kind) {
            if outlet.source.is_none() {
                return true;
            }
            count += 1;
        }
        count < POOL
    }

    /// Takes the source off its outlet, which stays for others.
    pub(crate) fn unmap(&mut self, source: usize) {
        if let Some(outlet) = self.outlet_of.remove(&source) {
            let outlet = &mut self.outlets[outlet];
            outlet.source = None;
            outlet.subscribed = false;
            outlet.changed = false;
        }
    }
}
