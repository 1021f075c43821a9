/// How far behind the newest packet an older one may still come, in packets.
pub(super) const WINDOW: u64 = 1024;
const WORDS: usize = (WINDOW / 64) as usize;

/// Which indices of one source were used: the newest, and a bit for each of the 1,024 up to it
/// (RFC 3711 §3.3.2). An index is the rollover counter and the sequence number in one.
#[derive(Debug, Clone, Default)]
pub(super) struct Window {
    /// One past the newest index; zero before the first.
    end: u64,
    /// Bit `index % 1024`; bits outside the window are stale.
    used: [u64; WORDS],
}

impl Window {
    /// A window that takes only what is newer than the newest of another (its `end`).
    pub(super) fn after(end: u64) -> Self {
        Self {
            end,
            used: [u64::MAX; WORDS],
        }
    }

    pub(super) const fn end(&self) -> u64 {
        self.end
    }

    /// The index closest to the newest one that ends in `sequence` (RFC 3711 §3.3.1); `None` if
    /// that would lie before the beginning.
    fn index_of(&self, sequence: u16) -> Option<u64> {
        let Some(newest) = self.end.checked_sub(1) else {
            return Some(u64::from(sequence));
        };
        let distance = sequence.wrapping_sub(newest as u16).cast_signed();
        newest.checked_add_signed(i64::from(distance))
    }

    /// Whether `index` is certainly unused: newer than all, or in the window and not marked.
    pub(super) const fn is_new(&self, index: u64) -> bool {
        if index >= self.end {
            return true;
        }
        if self.end - index > WINDOW {
            return false;
        }
        let (word, bit) = position(index);
        self.used[word] & bit == 0
    }

    /// The index of a sequence number, if it is new.
    pub(super) fn unused(&self, sequence: u16) -> Option<u64> {
        self.index_of(sequence).filter(|index| self.is_new(*index))
    }

    pub(super) fn mark(&mut self, index: u64) {
        if index >= self.end {
            if index - self.end >= WINDOW {
                self.used = [0; WORDS];
            } else {
                for skipped in self.end..index {
                    let (word, bit) = position(skipped);
                    self.used[word] &= !bit;
                }
            }
            self.end = index + 1;
        }
        let (word, bit) = position(index);
        self.used[word] |= bit;
    }
}

const fn position(index: u64) -> (usize, u64) {
    (((index / 64) as usize) % WORDS, 1 << (index % 64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_index_follows_the_sequence_number_over_the_edge() {
        let mut window = Window::default();
        assert_eq!(window.index_of(65_000), Some(65_000));
        window.mark(65_535);
        for (sequence, index) in [(65_534, 65_534), (0, 65_536), (5, 65_541), (40_000, 40_000)] {
            assert_eq!(window.index_of(sequence), Some(index));
        }
        let mut early = Window::default();
        early.mark(3);
        assert_eq!(early.index_of(65_535), None, "before the beginning");
    }

    #[test]
    fn a_revived_window_takes_only_newer() {
        let window = Window::after(5000);
        assert!(!window.is_new(4999));
        assert!(!window.is_new(4500));
        assert!(window.is_new(5000));
    }

    proptest! {
        #[test]
        fn no_index_is_taken_twice(steps in prop::collection::vec(-1500i64..3000, 1..400)) {
            let mut window = Window::default();
            let mut taken = BTreeSet::new();
            let mut newest = 10_000i64;
            for step in steps {
                let index = (newest + step).max(0) as u64;
                if window.is_new(index) {
                    prop_assert!(taken.insert(index));
                    window.mark(index);
                    newest = newest.max(index as i64);
                } else {
                    let old = newest as u64 >= index + WINDOW;
                    prop_assert!(old || taken.contains(&index));
                }
            }
        }
    }
}
