use althing_model::{Entropy, SeededEntropy};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// What a network does to datagrams; parts of a thousand for each.
#[derive(Debug, Clone, Copy)]
pub struct Weather {
    /// One way, always.
    pub delay: Duration,
    /// Up to this much more, so that datagrams overtake each other.
    pub jitter: Duration,
    /// Of a thousand, how many vanish.
    pub lost: u64,
    /// Of a thousand, how many come twice.
    pub doubled: u64,
    /// Of a thousand, how many have a byte changed.
    pub corrupted: u64,
}

impl Weather {
    /// 10 ms each way, nothing else.
    pub const FAIR: Self = Self {
        delay: Duration::from_millis(10),
        jitter: Duration::ZERO,
        lost: 0,
        doubled: 0,
        corrupted: 0,
    };

    /// A tenth lost, some doubled, some corrupted, overtaking within 30 ms.
    pub const FOUL: Self = Self {
        delay: Duration::from_millis(10),
        jitter: Duration::from_millis(30),
        lost: 100,
        doubled: 50,
        corrupted: 50,
    };
}

/// Datagrams on their way in virtual time. `A` says where to, and whatever else the receiver
/// wants to know. The same seed gives the same fate to the same datagrams.
#[derive(Debug)]
pub struct Network<A> {
    weather: Weather,
    entropy: SeededEntropy,
    under_way: BTreeMap<(Instant, u64), (A, Vec<u8>)>,
    sent: u64,
}

impl<A: Clone> Network<A> {
    /// An empty network.
    #[must_use]
    pub fn new(weather: Weather, seed: u64) -> Self {
        Self {
            weather,
            entropy: SeededEntropy::new(seed),
            under_way: BTreeMap::new(),
            sent: 0,
        }
    }

    /// From now on; what is under way is not affected.
    pub const fn set_weather(&mut self, weather: Weather) {
        self.weather = weather;
    }

    /// Puts a datagram on its way.
    pub fn send(&mut self, now: Instant, to: A, mut datagram: Vec<u8>) {
        if self.happens(self.weather.lost) {
            return;
        }
        if self.happens(self.weather.corrupted) && !datagram.is_empty() {
            let position = self.below(datagram.len() as u64) as usize;
            datagram[position] ^= 1 << self.below(8);
        }
        if self.happens(self.weather.doubled) {
            self.put(now, to.clone(), datagram.clone());
        }
        self.put(now, to, datagram);
    }

    /// When the next datagram arrives.
    #[must_use]
    pub fn next_arrival(&self) -> Option<Instant> {
        self.under_way.keys().next().map(|(at, _)| *at)
    }

    /// The next datagram that has arrived by `now`.
    pub fn receive(&mut self, now: Instant) -> Option<(A, Vec<u8>)> {
        let next = self.under_way.first_entry()?;
        (next.key().0 <= now).then(|| next.remove())
    }

    fn put(&mut self, now: Instant, to: A, datagram: Vec<u8>) {
        let jitter = self.weather.jitter.as_micros() as u64;
        let extra = Duration::from_micros(self.below(jitter + 1));
        self.sent += 1;
        let at = now + self.weather.delay + extra;
        self.under_way.insert((at, self.sent), (to, datagram));
    }

    fn happens(&mut self, of_a_thousand: u64) -> bool {
        self.below(1000) < of_a_thousand
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.entropy.next_u64() % limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::epoch;

    fn arrivals(weather: Weather, seed: u64) -> Vec<(Instant, Vec<u8>)> {
        let start = epoch();
        let mut network = Network::new(weather, seed);
        for number in 0..1000u16 {
            network.send(start, (), number.to_be_bytes().to_vec());
        }
        let mut out = Vec::new();
        while let Some(at) = network.next_arrival() {
            assert!(network.receive(at - Duration::from_nanos(1)).is_none());
            let (_, datagram) = network.receive(at).unwrap();
            out.push((at, datagram));
        }
        out
    }

    #[test]
    fn fair_weather_keeps_everything_in_order() {
        let out = arrivals(Weather::FAIR, 1);
        let expected: Vec<Vec<u8>> = (0..1000u16).map(|n| n.to_be_bytes().to_vec()).collect();
        assert_eq!(
            out.into_iter().map(|(_, d)| d).collect::<Vec<_>>(),
            expected
        );
    }

    #[test]
    fn foul_weather_does_what_it_says() {
        let out = arrivals(Weather::FOUL, 7);
        let first = out[0].0;
        assert!(out.len() > 850 && out.len() < 1000, "{}", out.len());
        assert!(
            out.iter()
                .any(|(at, _)| *at > first + Duration::from_millis(20))
        );
    }
}
