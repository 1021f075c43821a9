//! Hides packets from receivers by closing up the sequence numbers behind them.

use std::collections::VecDeque;

/// Later numbers are shifted down by the number of hidden ones before them.
#[derive(Debug, Default)]
pub(crate) struct Hidden {
    /// Number of a hidden packet, and how many are hidden up to and with it.
    marks: VecDeque<(u64, u64)>,
    total: u64,
    /// Marks were forgotten: what lies before the first of them has no known shift any more.
    trimmed: bool,
    highest: u64,
}

/// How many hidden packets are remembered for late ones.
const REMEMBERED: usize = 1000;

impl Hidden {
    /// Hides a packet. Too late if a newer one has been numbered already: the gap then stays.
    pub(crate) fn hide(&mut self, number: u64) -> bool {
        if number <= self.highest {
            return false;
        }
        self.highest = number;
        self.total += 1;
        self.marks.push_back((number, self.total));
        if self.marks.len() > REMEMBERED {
            self.marks.pop_front();
            self.trimmed = true;
        }
        true
    }

    /// The number receivers are to see; nothing for a packet too late to tell.
    pub(crate) fn number(&mut self, number: u64) -> Option<u64> {
        self.highest = self.highest.max(number);
        let last = self.marks.back().map_or(0, |m| m.0);
        if number > last {
            return Some(number - self.total);
        }
        let after = self.marks.partition_point(|m| m.0 < number);
        match after.checked_sub(1).and_then(|i| self.marks.get(i)) {
            Some((_, hidden)) => Some(number - hidden),
            None if self.trimmed => None,
            None => Some(number),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_close_up_behind_hidden_packets() {
        let mut h = Hidden::default();
        assert_eq!(h.number(100), Some(100));
        assert!(h.hide(101));
        assert!(h.hide(103));
        assert_eq!(h.number(104), Some(102));
        // The late one finds its own place.
        assert_eq!(h.number(102), Some(101));
        assert!(!h.hide(99), "a newer packet has its number already");
        assert_eq!(h.number(105), Some(103));
    }

    #[test]
    fn memory_is_bounded() {
        let mut h = Hidden::default();
        for n in 1..5000 {
            h.hide(n);
        }
        assert_eq!(h.marks.len(), REMEMBERED);
        assert_eq!(h.number(5), None);
        assert_eq!(h.number(5000), Some(1));
    }
}
