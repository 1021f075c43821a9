//! A bad network between an occupant and its socket: loss, delay, reordering, too little bandwidth.

use althing_transport::Path;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

/// What happens to the datagrams of one direction. The default is a perfect network, which costs
/// nothing.
#[derive(Debug, Clone, PartialEq)]
pub struct Network {
    /// This share of the datagrams is lost, 0 to 1.
    pub loss: f64,
    /// Every datagram takes this much longer.
    pub delay: Duration,
    /// … and up to this much more, evenly spread; the order stays.
    pub jitter: Duration,
    /// This share comes late by `jitter` and 10 ms, so that others overtake it; 0 to 1.
    pub reordered: f64,
    /// In bit/s; what comes faster waits.
    pub bandwidth: Option<u64>,
    /// A datagram that would wait longer than this is lost. For `bandwidth`.
    pub queue: Duration,
    /// Equal seeds lose the same datagrams. Occupants add a number of their own.
    pub seed: u64,
}

impl Default for Network {
    fn default() -> Self {
        Self {
            loss: 0.0,
            delay: Duration::ZERO,
            jitter: Duration::ZERO,
            reordered: 0.0,
            bandwidth: None,
            queue: Duration::from_millis(200),
            seed: 0,
        }
    }
}

impl Network {
    /// Whether nothing happens to datagrams.
    #[must_use]
    pub fn is_perfect(&self) -> bool {
        self.loss <= 0.0
            && self.delay.is_zero()
            && self.jitter.is_zero()
            && self.reordered <= 0.0
            && self.bandwidth.is_none()
    }
}

/// What waits in one direction of one occupant, in bytes; more is lost.
const MOST_BYTES: usize = 4 * 1024 * 1024;

/// A reordered datagram is late by this beside the jitter.
const OVERTAKEN: Duration = Duration::from_millis(10);

/// One direction of one occupant's network.
#[derive(Debug)]
pub(super) struct Link {
    network: Network,
    random: u64,
    /// When the bottleneck has sent what came so far.
    free_at: Instant,
    /// The latest time that a datagram in order leaves.
    last: Instant,
    waiting: BinaryHeap<Reverse<Waiting>>,
    bytes: usize,
    count: u64,
    lost: u64,
}

#[derive(Debug)]
struct Waiting {
    at: Instant,
    order: u64,
    path: Path,
    datagram: Vec<u8>,
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.order) == (other.at, other.order)
    }
}
impl Eq for Waiting {}
impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

impl Link {
    /// Nothing where the network is perfect.
    pub(super) fn new(network: &Network, salt: u64, now: Instant) -> Option<Self> {
        (!network.is_perfect()).then(|| Self {
            random: network.seed ^ salt.wrapping_mul(0x9e37_79b9_7f4a_7c15),
            network: network.clone(),
            free_at: now,
            last: now,
            waiting: BinaryHeap::new(),
            bytes: 0,
            count: 0,
            lost: 0,
        })
    }

    /// SplitMix64, as a number from 0 up to 1.
    fn draw(&mut self) -> f64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) as f64 / u64::MAX as f64
    }

    /// Sends a datagram on its way.
    pub(super) fn offer(&mut self, now: Instant, path: Path, datagram: &[u8]) {
        // Always as many draws, so that one setting does not change what another does.
        let (lost, spread, late) = (self.draw(), self.draw(), self.draw());
        let mut at = now;
        if let Some(bandwidth) = self.network.bandwidth {
            let begins = self.free_at.max(now);
            if begins.saturating_duration_since(now) > self.network.queue {
                self.lost += 1;
                return;
            }
            let bits = datagram.len() as f64 * 8.0;
            self.free_at = begins + Duration::from_secs_f64(bits / bandwidth.max(1) as f64);
            at = self.free_at;
        }
        if lost < self.network.loss || self.bytes + datagram.len() > MOST_BYTES {
            self.lost += 1;
            return;
        }
        at += self.network.delay + self.network.jitter.mul_f64(spread);
        if late < self.network.reordered {
            at += self.network.jitter + OVERTAKEN;
        } else {
            at = at.max(self.last);
            self.last = at;
        }
        self.bytes += datagram.len();
        self.count += 1;
        self.waiting.push(Reverse(Waiting {
            at,
            order: self.count,
            path,
            datagram: datagram.to_vec(),
        }));
    }

    pub(super) fn next_at(&self) -> Option<Instant> {
        self.waiting.peek().map(|Reverse(waiting)| waiting.at)
    }

    /// The next datagram that has arrived.
    pub(super) fn take(&mut self, now: Instant) -> Option<(Path, Vec<u8>)> {
        if self.next_at()? > now {
            return None;
        }
        let Reverse(waiting) = self.waiting.pop()?;
        self.bytes -= waiting.datagram.len();
        Some((waiting.path, waiting.datagram))
    }

    /// How many were lost here.
    pub(super) const fn lost(&self) -> u64 {
        self.lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use althing_transport::Via;

    fn path() -> Path {
        Path {
            via: Via::Udp,
            local: ([127, 0, 0, 2], 5000).into(),
            remote: ([127, 0, 0, 1], 10_000).into(),
        }
    }

    /// Offers one datagram of 125 bytes each millisecond; what came, as (number, milliseconds
    /// after it was sent).
    fn carry(network: &Network, count: u16) -> Vec<(u16, u128)> {
        let start = Instant::now();
        let mut link = Link::new(network, 1, start).expect("not perfect");
        let sent = |number: u16| start + Duration::from_millis(number.into());
        for number in 0..count {
            let mut datagram = [0; 125];
            datagram[..2].copy_from_slice(&number.to_be_bytes());
            link.offer(sent(number), path(), &datagram);
        }
        let mut arrived = Vec::new();
        while let Some(at) = link.next_at() {
            let (_, datagram) = link.take(at).expect("it is due");
            let number = u16::from_be_bytes([datagram[0], datagram[1]]);
            arrived.push((number, at.duration_since(sent(number)).as_millis()));
        }
        assert_eq!(link.lost() as usize + arrived.len(), usize::from(count));
        assert_eq!(link.bytes, 0);
        arrived
    }

    #[test]
    fn a_perfect_network_is_none() {
        assert!(Link::new(&Network::default(), 1, Instant::now()).is_none());
    }

    #[test]
    fn loss_is_the_share_asked_for_and_the_same_each_time() {
        let network = Network {
            loss: 0.1,
            seed: 7,
            ..Network::default()
        };
        let arrived = carry(&network, 2_000);
        assert!((1_750..1_850).contains(&arrived.len()), "{}", arrived.len());
        assert_eq!(arrived, carry(&network, 2_000));
    }

    #[test]
    fn delay_and_jitter_keep_the_order() {
        let network = Network {
            delay: Duration::from_millis(50),
            jitter: Duration::from_millis(20),
            ..Network::default()
        };
        let arrived = carry(&network, 500);
        assert!(arrived.is_sorted_by_key(|(number, _)| *number));
        assert!(
            arrived.iter().all(|(_, late)| (50..=70).contains(late)),
            "{arrived:?}"
        );
    }

    #[test]
    fn reordering_is_seen() {
        let network = Network {
            reordered: 0.05,
            ..Network::default()
        };
        let arrived = carry(&network, 1_000);
        let overtaken = arrived.windows(2).filter(|w| w[0].0 > w[1].0).count();
        assert!((20..80).contains(&overtaken), "{overtaken}");
    }

    #[test]
    fn a_bottleneck_delays_then_drops() {
        // 1,000 bits a millisecond come, 500 can go: the queue is full after 40 ms.
        let network = Network {
            bandwidth: Some(500_000),
            queue: Duration::from_millis(40),
            ..Network::default()
        };
        let arrived = carry(&network, 400);
        assert!((200..=245).contains(&arrived.len()), "{}", arrived.len());
        assert!(arrived.iter().all(|(_, late)| *late <= 43), "{arrived:?}");
    }
}
