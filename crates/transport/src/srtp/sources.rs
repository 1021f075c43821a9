use super::window::Window;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// Sources with a full window. Protocol 5 §3.
pub(super) const MAX_LIVE: usize = 1024;
/// Sources of which only the newest index is remembered, so that they can never use one twice.
pub(super) const MAX_RETIRED: usize = 16 * 1024;
/// Likewise where it is we who choose them: a day of people who come back once a second. 24 bytes
/// each, and only for those that there were.
pub(super) const MAX_RETIRED_OF_OURS: usize = 96 * 1024;
/// With so few left the keys are worn out: time enough to agree on others.
const SPARE: usize = 8 * 1024;

const RECENT: usize = 8;

type Map<V> = HashMap<u32, V, BuildHasherDefault<SsrcHasher>>;

/// The window of every SSRC. When there are too many, the one unused longest keeps only its
/// newest index and, if it comes back, begins behind that.
#[derive(Debug)]
pub(super) struct Sources {
    slots: Map<u32>,
    live: Vec<Source>,
    /// Where each of those was found last that share the low bits of an SSRC: most packets are of
    /// the few sources that send now, and need no search.
    recent: [u16; RECENT],
    retired: Map<u64>,
    max_retired: usize,
    clock: u64,
}

#[derive(Debug)]
struct Source {
    ssrc: u32,
    used: u64,
    window: Window,
}

impl Sources {
    pub(super) fn new(max_retired: usize) -> Self {
        Self {
            slots: Map::default(),
            live: Vec::new(),
            recent: [0; RECENT],
            retired: Map::default(),
            max_retired,
            clock: 0,
        }
    }

    /// There may soon be no more sources.
    pub(super) fn is_nearly_full(&self) -> bool {
        self.retired.len() + SPARE >= self.max_retired
    }

    /// Where the window of a source is, if it has one.
    pub(super) fn get(&self, ssrc: u32) -> Option<usize> {
        self.slots.get(&ssrc).map(|slot| *slot as usize)
    }

    pub(super) fn window(&self, slot: usize) -> &Window {
        &self.live[slot].window
    }

    /// The window a source without one would begin with; `None` if there may be no more sources.
    pub(super) fn fresh(&self, ssrc: u32) -> Option<Window> {
        if let Some(end) = self.retired.get(&ssrc) {
            return Some(Window::after(*end));
        }
        let full = self.live.len() >= MAX_LIVE && self.retired.len() >= self.max_retired;
        (!full).then(Window::default)
    }

    /// Marks an index as used; makes the window permanent if `slot` says that there is none yet.
    pub(super) fn mark(&mut self, ssrc: u32, slot: Option<usize>, index: u64) {
        let slot = match slot {
            Some(slot) => slot,
            None => match self.insert(ssrc) {
                Some(slot) => slot,
                None => return,
            },
        };
        self.touch(slot).mark(index);
    }

    /// The window of a source, made when there is none; `None` if there may be no more sources.
    pub(super) fn get_or_insert(&mut self, ssrc: u32) -> Option<&mut Window> {
        let recent = usize::from(self.recent[ssrc as usize % RECENT]);
        if self.live.get(recent).is_some_and(|s| s.ssrc == ssrc) {
            return Some(self.touch(recent));
        }
        let slot = match self.get(ssrc) {
            Some(slot) => slot,
            None => self.insert(ssrc)?,
        };
        self.recent[ssrc as usize % RECENT] = slot as u16;
        Some(self.touch(slot))
    }

    fn touch(&mut self, slot: usize) -> &mut Window {
        self.clock += 1;
        let source = &mut self.live[slot];
        source.used = self.clock;
        &mut source.window
    }

    fn insert(&mut self, ssrc: u32) -> Option<usize> {
        let window = self.fresh(ssrc)?;
        self.retired.remove(&ssrc);
        let source = Source {
            ssrc,
            used: self.clock,
            window,
        };
        let slot = if self.live.len() < MAX_LIVE {
            self.live.push(source);
            self.live.len() - 1
        } else {
            let (oldest, _) = self
                .live
                .iter()
                .enumerate()
                .min_by_key(|(_, source)| source.used)?;
            let gone = std::mem::replace(&mut self.live[oldest], source);
            self.slots.remove(&gone.ssrc);
            self.retired.insert(gone.ssrc, gone.window.end());
            oldest
        };
        self.slots.insert(ssrc, slot as u32);
        Some(slot)
    }
}

/// SSRCs reach a table only after authentication, and the tables are bounded, so that the hash
/// need not resist an attacker: one multiplication (Fibonacci hashing).
#[derive(Debug, Default)]
pub(super) struct SsrcHasher(u64);

impl Hasher for SsrcHasher {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u32(u32::from(*byte));
        }
    }

    fn write_u32(&mut self, value: u32) {
        let mixed = (self.0 ^ u64::from(value)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ (mixed >> 32);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_pushed_out_never_repeats_an_index() {
        let mut sources = Sources::new(MAX_RETIRED);
        sources.get_or_insert(7).unwrap().mark(100);
        for ssrc in 1000..1000 + MAX_LIVE as u32 {
            sources.get_or_insert(ssrc).unwrap().mark(1);
        }
        assert_eq!(sources.get(7), None);
        assert_eq!(sources.live.len(), MAX_LIVE);
        let window = sources.get_or_insert(7).unwrap();
        assert!(!window.is_new(100) && !window.is_new(99) && window.is_new(101));
    }

    #[test]
    fn sources_that_share_low_bits_keep_windows_of_their_own() {
        let mut sources = Sources::new(MAX_RETIRED);
        let ssrcs: Vec<u32> = (0..2 * MAX_LIVE as u32)
            .map(|i| i % 7 + i * RECENT as u32)
            .collect();
        for round in 0..3 {
            for ssrc in &ssrcs {
                let window = sources.get_or_insert(*ssrc).unwrap();
                assert_eq!(window.end(), round, "{ssrc}");
                window.mark(round);
            }
        }
    }

    #[test]
    fn there_is_an_end_to_new_sources() {
        let mut sources = Sources::new(MAX_RETIRED);
        let count = (MAX_LIVE + MAX_RETIRED) as u32;
        for ssrc in 0..count {
            assert_eq!(
                sources.is_nearly_full(),
                ssrc as usize >= MAX_LIVE + MAX_RETIRED - SPARE,
                "{ssrc}"
            );
            assert!(sources.get_or_insert(ssrc).is_some());
        }
        assert!(sources.get_or_insert(count).is_none());
        assert!(sources.fresh(count).is_none());
        assert!(sources.get_or_insert(count - 1).is_some(), "a live one");
        assert!(sources.get_or_insert(0).is_some(), "a retired one");
    }
}
