//! Packets grouped by the bursts they were sent in, and how one group's way differed from the
//! last's: the raw signal of a growing queue.

use std::time::{Duration, Instant};

/// Packets sent within this belong together.
const SEND_BURST: Duration = Duration::from_millis(5);
/// Packets that arrive this close after each other, having been held up, belong together too.
const ARRIVAL_BURST: i64 = 5_000;
const MAX_ARRIVAL_BURST: i64 = 100_000;
/// The receiver's clock jumped if its steps exceed ours by this.
const CLOCK_JUMP: i64 = 3_000_000;
const MAX_REORDERED: u8 = 3;

/// How far two groups following each other were apart.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Delta {
    /// When sent, in milliseconds.
    pub(crate) sent: f64,
    /// When they arrived, in milliseconds.
    pub(crate) arrived: f64,
}

#[derive(Debug, Clone, Copy)]
struct Group {
    first_sent: Instant,
    last_sent: Instant,
    first_arrival: i64,
    last_arrival: i64,
    /// When we learnt of it.
    heard: Instant,
}

/// Builds groups out of packets in sending order.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    current: Option<Group>,
    previous: Option<Group>,
    reordered: u8,
}

impl Groups {
    /// A packet that arrived; a delta when it shows that a group before it is complete.
    pub(crate) fn packet(&mut self, sent: Instant, arrival: i64, now: Instant) -> Option<Delta> {
        let fresh = Group {
            first_sent: sent,
            last_sent: sent,
            first_arrival: arrival,
            last_arrival: arrival,
            heard: now,
        };
        let Some(current) = &mut self.current else {
            self.current = Some(fresh);
            return None;
        };
        if sent < current.first_sent {
            return None;
        }
        if current.takes(sent, arrival) {
            current.last_sent = current.last_sent.max(sent);
            current.last_arrival = current.last_arrival.max(arrival);
            current.heard = now;
            return None;
        }
        let complete = *current;
        let delta = match self.previous {
            Some(previous) => {
                let arrived = complete.last_arrival - previous.last_arrival;
                let heard = complete.heard.saturating_duration_since(previous.heard);
                if arrived - (heard.as_micros() as i64) >= CLOCK_JUMP {
                    *self = Self::default();
                    return None;
                }
                if arrived < 0 {
                    self.reordered += 1;
                    if self.reordered >= MAX_REORDERED {
                        *self = Self::default();
                    }
                    return None;
                }
                self.reordered = 0;
                let sent = complete
                    .last_sent
                    .saturating_duration_since(previous.last_sent);
                Some(Delta {
                    sent: sent.as_secs_f64() * 1e3,
                    arrived: arrived as f64 / 1e3,
                })
            }
            None => None,
        };
        self.previous = Some(complete);
        self.current = Some(fresh);
        delta
    }
}

impl Group {
    fn takes(&self, sent: Instant, arrival: i64) -> bool {
        if sent.saturating_duration_since(self.first_sent) <= SEND_BURST {
            return true;
        }
        let since = arrival - self.last_arrival;
        let sent_since = sent.saturating_duration_since(self.last_sent).as_micros() as i64;
        // Nearer to each other than they were sent: both waited, and were let go together.
        since < sent_since
            && since <= ARRIVAL_BURST
            && arrival - self.first_arrival < MAX_ARRIVAL_BURST
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds (sent, arrived) in milliseconds.
    fn deltas(packets: &[(u64, i64)]) -> Vec<(f64, f64)> {
        let start = althing_testkit::epoch();
        let mut groups = Groups::default();
        packets
            .iter()
            .filter_map(|&(sent, arrived)| {
                let sent = start + Duration::from_millis(sent);
                groups.packet(sent, arrived * 1000, sent)
            })
            .map(|d| (d.sent, d.arrived))
            .collect()
    }

    #[test]
    fn a_burst_is_one_group() {
        let bursts = [
            (0, 50),
            (2, 52),
            (5, 55),
            (20, 70),
            (22, 76),
            (40, 90),
            (60, 110),
        ];
        assert_eq!(deltas(&bursts), [(17.0, 21.0), (18.0, 14.0)]);
    }

    #[test]
    fn packets_let_go_together_are_one_group() {
        // Sent every 10 ms, held for a while, then they come at once.
        let held = [
            (0, 50),
            (10, 60),
            (20, 100),
            (30, 101),
            (40, 102),
            (50, 112),
            (60, 122),
        ];
        assert_eq!(deltas(&held), [(10.0, 10.0), (30.0, 42.0), (10.0, 10.0)]);
    }

    #[test]
    fn packets_that_overtake_are_left_out() {
        let start = althing_testkit::epoch();
        let mut groups = Groups::default();
        let at = |ms| start + Duration::from_millis(ms);
        for (sent, arrived) in [(0, 0), (20, 20), (10, 21), (40, 40)] {
            let delta = groups.packet(at(sent), arrived * 1000, at(sent));
            if sent == 40 {
                assert_eq!(
                    delta,
                    Some(Delta {
                        sent: 20.0,
                        arrived: 20.0
                    })
                );
            }
        }
    }

    #[test]
    fn a_jump_of_the_receivers_clock_starts_anew() {
        let jump = [
            (0, 0),
            (20, 20),
            (40, 9000),
            (60, 9020),
            (80, 9040),
            (100, 9060),
        ];
        assert_eq!(deltas(&jump), [(20.0, 20.0), (20.0, 20.0)][..1]);
    }
}
