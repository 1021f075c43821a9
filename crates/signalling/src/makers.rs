//! Who made how many rooms of late. A room waits 15 s for whoever asked for it, so without this one
//! client could hold every room that the server has.

use crate::addresses::network;
use crate::bucket::Bucket;
use std::collections::HashMap;
use std::net::IpAddr;

/// Below this many addresses nobody looks for those that can be forgotten.
const FEW: usize = 1024;

#[derive(Debug)]
pub(crate) struct Makers {
    per_second: u32,
    burst: u32,
    buckets: HashMap<IpAddr, Bucket>,
    /// How many addresses make it worth looking.
    tidy_at: usize,
}

impl Makers {
    pub(crate) fn new(per_second: u32, burst: u32) -> Self {
        Self {
            per_second,
            burst,
            buckets: HashMap::new(),
            tidy_at: FEW,
        }
    }

    /// Whether a client at this address may make one more room now; counts it if so.
    pub(crate) fn may_make(&mut self, address: IpAddr) -> bool {
        if self.buckets.len() >= self.tidy_at {
            self.buckets.retain(|_, bucket| !bucket.is_full());
            self.tidy_at = FEW.max(self.buckets.len() * 2);
        }
        let (per_second, burst) = (self.per_second, self.burst);
        self.buckets
            .entry(network(address))
            .or_insert_with(|| Bucket::new(per_second, burst))
            .try_take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn may(makers: &mut Makers, address: &str) -> bool {
        makers.may_make(address.parse().unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn each_network_has_a_burst_of_its_own() {
        let mut makers = Makers::new(1, 2);
        for (address, allowed) in [
            ("192.0.2.1", true),
            ("::ffff:192.0.2.1", true),
            ("192.0.2.1", false),
            ("192.0.2.2", true),
            ("2001:db8::1", true),
            ("2001:db8::2", true),
            ("2001:db8::3", false),
            ("2001:db8:0:1::3", true),
        ] {
            assert_eq!(may(&mut makers, address), allowed, "{address}");
        }
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(may(&mut makers, "192.0.2.1"));
        assert!(!may(&mut makers, "192.0.2.1"));
    }

    #[tokio::test(start_paused = true)]
    async fn addresses_are_forgotten_when_they_have_been_quiet() {
        let mut makers = Makers::new(1, 1);
        for n in 0..10_000_u32 {
            tokio::time::advance(Duration::from_millis(10)).await;
            assert!(makers.may_make(IpAddr::V4(n.into())));
        }
        assert!(makers.buckets.len() <= 2 * FEW);
    }
}
