//! Which SSRC of a receiver carries which source (protocol 3 §7.3).
//!
//! A rewriting receiver has a pool of slots that only grows to its limit; a slot stays with its
//! source while that is there, waits in case the name returns, and is re-used by others then. It is
//! not given away within a second of being announced, since the client may still be adding it. And
//! no source comes to a slot while the client still shows it on another: it would not clear that.
//!
//! A plain receiver sees sources by their own SSRCs and has an outlet for each: as many as there can
//! be at once. The outlet of a source that ended is kept for its return, until another source needs
//! room; the one unused longest goes first, and only the numbers it had come to are kept. So whatever
//! comes and goes, an SSRC that returns goes on where it was, and nobody is kept out by those who
//! have gone. **And when full?** The source waits until another ends.

use crate::endpoint::Endpoint;
use crate::hash::{Keyed, SsrcMap};
use crate::outlet::Outlet;
use crate::settings::SlotMode;
use crate::source::Source;
use althing_model::{Entropy, MediaKind, SeededEntropy, Ssrc};
use slab::Slab;
use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

/// Slots per receiver and kind.
pub(crate) const POOL: usize = 50;
/// Video slots that are made before anybody looks: who looks at another source takes one of those
/// over, and it opens at once.
pub(crate) const READY: usize = 8;
/// Outlets of a plain receiver. As many SSRCs a transport seals for with a window for each
/// (protocol 5 §3).
const PLAIN: usize = 1024;
/// SSRCs without an outlet whose numbers are remembered: as many as a transport seals for under one
/// key. Beyond that it refuses new ones, and remembering more is of no use.
const ENDED: usize = 16 * 1024;
const SETTLED: Duration = Duration::from_secs(1);
/// Outlets that room is made for at once.
const OUTLETS_STEP: usize = 8;

/// Whether an outlet may be taken from its source; the least number goes first.
pub(crate) type Evictable<'a> = &'a dyn Fn(&Outlet) -> Option<u64>;

/// What placing sources needs of the conference.
pub(crate) struct Placing<'a> {
    pub(crate) sources: &'a Slab<Source>,
    pub(crate) fresh: Fresh<'a>,
    /// Grows with every placing, to tell what was wanted last.
    pub(crate) tick: u64,
    pub(crate) now: Instant,
    /// How many audio slots the receiver may have.
    pub(crate) audio_slots: usize,
    /// Sources that lost their slot.
    pub(crate) evicted: Vec<usize>,
    /// When to try again for the sources that got none.
    pub(crate) retry_at: Option<Instant>,
}

/// Where random numbers for outlets come from.
pub(crate) struct Fresh<'a> {
    pub(crate) entropy: &'a mut SeededEntropy,
    pub(crate) ssrcs: &'a mut BTreeSet<u32>,
}

impl Fresh<'_> {
    /// An SSRC that nobody uses, taken.
    fn ssrc(&mut self) -> Ssrc {
        loop {
            let candidate = self.entropy.ssrc();
            if self.ssrcs.insert(candidate.0) {
                return candidate;
            }
        }
    }

    /// Where sequence numbers begin: below half, so that a receiver that misses the first packets
    /// still guesses right.
    fn start(&mut self) -> u16 {
        (self.entropy.next_u64() & 0x3fff) as u16
    }
}

/// The last sequence numbers of SSRCs whose outlet went to others; the oldest are forgotten first.
#[derive(Debug)]
pub(crate) struct Ended {
    numbers: SsrcMap<u16>,
    order: VecDeque<u32>,
}

impl Ended {
    pub(crate) fn new(hash: Keyed) -> Self {
        Self {
            numbers: SsrcMap::with_hasher(hash),
            order: VecDeque::new(),
        }
    }

    fn remember(&mut self, ssrc: Ssrc, last: u16) {
        if self.numbers.insert(ssrc.0, last).is_some() {
            return;
        }
        self.order.push_back(ssrc.0);
        if self.order.len() > ENDED
            && let Some(oldest) = self.order.pop_front()
        {
            self.numbers.remove(&oldest);
        }
    }

    /// The last number it had; remembered still, in case its outlet goes unused.
    fn last(&self, ssrc: Ssrc) -> Option<u16> {
        self.numbers.get(&ssrc.0).copied()
    }
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
        let name = &placing.sources[source].name;
        if self.mode == SlotMode::Rewriting && outlet.known && outlet.name != *name {
            match self.renamed.iter().position(|(_, i)| *i == chosen) {
                Some(at) if self.renamed[at].0 == *name => {
                    self.renamed.swap_remove(at);
                }
                Some(_) => {}
                None => self.renamed.push((outlet.name.clone(), chosen)),
            }
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
        let settled = |o: &Outlet| {
            !o.known || placing.now.saturating_duration_since(o.known_since) >= SETTLED
        };
        if let Some((_, still)) = self.renamed.iter().find(|(shown, _)| shown == name) {
            let outlet = &self.outlets[*still];
            let may_have =
                outlet.source.is_none() || may_evict.is_some_and(|may| may(outlet).is_some());
            self.awaits_map |= !may_have;
            return may_have.then_some(*still);
        }
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
        let pool = match kind {
            MediaKind::Audio => placing.audio_slots,
            MediaKind::Video => POOL,
        };
        let victim = || {
            let evictable = may_evict?;
            self.outlets
                .iter()
                .enumerate()
                .filter(|(_, o)| o.kind == *kind && o.source.is_some())
                .filter_map(|(i, o)| Some((evictable(o)?, i)))
                .filter(|(_, i)| settled(&self.outlets[*i]))
                .min()
                .map(|(_, i)| i)
        };
        if *kind == MediaKind::Video
            && count >= READY
            && let Some(victim) = victim()
        {
            return Some(victim);
        }
        if count < pool {
            let (ssrc, start) = (placing.fresh.ssrc(), placing.fresh.start());
            let rtx = (*kind == MediaKind::Video).then(|| placing.fresh.ssrc());
            return Some(self.add_outlet(Outlet::new(
                *kind,
                ssrc,
                rtx,
                name.clone(),
                start,
                placing.now,
            )));
        }
        may_evict?;
        let victim = victim();
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
        match self.outlet_by_ssrc(encoding.primary) {
            Some((outlet, false)) if self.outlets[outlet].kind == *kind => {
                return self.outlets[outlet].source.is_none().then_some(outlet);
            }
            Some(_) => return None,
            None => {}
        }
        let room = if self.outlets.len() < PLAIN {
            None
        } else {
            Some(self.retire_outlet()?)
        };
        let rtx = encoding
            .rtx
            .filter(|rtx| self.outlet_by_ssrc(*rtx).is_none());
        let start = placing.fresh.start();
        let last = |ssrc| self.ended.last(ssrc).unwrap_or(start);
        let mut outlet = Outlet::new(
            *kind,
            encoding.primary,
            rtx,
            name.clone(),
            last(encoding.primary),
            placing.now,
        );
        if let Some(rtx) = rtx {
            outlet.continue_rtx(last(rtx));
        }
        Some(match room {
            None => self.add_outlet(outlet),
            Some(index) => {
                self.list_ssrcs(index, outlet.ssrc, outlet.rtx);
                self.outlets[index] = outlet;
                index
            }
        })
    }

    /// Takes the outlet from the source that ended longest ago, and remembers its numbers.
    fn retire_outlet(&mut self) -> Option<usize> {
        let (index, outlet) = self
            .outlets
            .iter()
            .enumerate()
            .filter(|(_, outlet)| outlet.source.is_none())
            .min_by_key(|(_, outlet)| outlet.touched)?;
        let (media, retransmissions) = outlet.last_numbers();
        let of_rtx = outlet.rtx.map(|rtx| (rtx, retransmissions));
        for (ssrc, last) in std::iter::once((outlet.ssrc, media)).chain(of_rtx) {
            self.ended.remember(ssrc, last);
            self.unlist_ssrc(ssrc);
        }
        Some(index)
    }

    fn add_outlet(&mut self, outlet: Outlet) -> usize {
        let index = self.outlets.len();
        self.list_ssrcs(index, outlet.ssrc, outlet.rtx);
        if index == self.outlets.capacity() {
            // Most outlets wait idle, in every endpoint: doubling would be dear.
            self.outlets.reserve_exact(OUTLETS_STEP.max(index / 4));
        }
        self.outlets.push(outlet);
        index
    }

    /// Whether a camera that nobody looks at gets a slot.
    pub(crate) fn has_idle_room(&self) -> bool {
        let mut count = 0;
        for outlet in self.outlets.iter().filter(|o| o.kind == MediaKind::Video) {
            if outlet.source.is_none() {
                return true;
            }
            count += 1;
        }
        count < READY
    }

    /// Takes the source off its outlet, which stays for others.
    pub(crate) fn unmap(&mut self, source: usize) {
        if let Some(outlet) = self.outlet_of.remove(&source) {
            let outlet = &mut self.outlets[outlet];
            outlet.unmap();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Conference, EndpointSettings, Settings};
    use althing_model::{
        Encoding, EndpointId, FeedbackSources, MediaKinds, Role, SourceDescription, SourceName,
        VideoType,
    };

    #[test]
    fn a_plain_receiver_takes_no_ssrcs_of_its_own() {
        let feedback = FeedbackSources {
            audio: Ssrc(1),
            video: Ssrc(2),
        };
        let mut conference = Conference::new(Settings::default(), feedback, 7);
        let now = althing_testkit::epoch();
        let [ann, _] = ["ann", "bob"].map(|id| {
            let settings = EndpointSettings {
                id: EndpointId::new(id).unwrap(),
                role: Role::Participant,
                may_send: MediaKinds::ALL,
                receives_audio: true,
                receives_video: true,
                slots: SlotMode::Plain,
            };
            let key = conference.add_endpoint(now, settings);
            conference.connected(now, key, true);
            key
        });
        for ssrc in 1000..1100 {
            let name = SourceName::new("ann-a0").unwrap();
            let source = SourceDescription {
                kind: MediaKind::Audio,
                name,
                video_type: VideoType::Camera,
                msid: String::new(),
                encodings: vec![Encoding {
                    primary: Ssrc(ssrc),
                    rtx: None,
                }],
            };
            conference.set_sources(now, ann, vec![source]);
            while conference.poll().is_some() {}
            assert_eq!(conference.ssrcs, BTreeSet::from([1, 2, ssrc]));
        }
    }

    #[test]
    fn the_oldest_numbers_are_forgotten_first() {
        let mut ended = Ended::new(Keyed(1));
        for ssrc in 0..=ENDED as u32 {
            ended.remember(Ssrc(ssrc), 7);
            ended.remember(Ssrc(ssrc), 8);
        }
        assert_eq!(ended.last(Ssrc(0)), None);
        assert_eq!(ended.last(Ssrc(1)), Some(8));
        assert_eq!(ended.last(Ssrc(ENDED as u32)), Some(8));
        assert_eq!((ended.numbers.len(), ended.order.len()), (ENDED, ENDED));
    }
}
