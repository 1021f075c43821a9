//! What the clients of one address may cost together. A whole school may stand behind one, so each
//! bound is far above what a room full of people does, and far below what one machine could.

use crate::Settings;
use crate::bucket::Bucket;
use crate::metrics::{Metrics, Reason};
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Below this many addresses nobody looks for those that can be forgotten.
const FEW: usize = 1024;

/// Whoever has one IPv6 address has the 64 bits below it as well.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.into(),
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & (!0 << 64)).into(),
    }
}

/// All addresses that clients come from.
#[derive(Debug)]
pub(crate) struct Addresses {
    limits: Limits,
    table: Mutex<Table>,
    hibernating: Arc<AtomicUsize>,
}

#[derive(Debug)]
struct Table {
    addresses: HashMap<IpAddr, Arc<Address>>,
    /// How many addresses make it worth looking.
    tidy_at: usize,
}

#[derive(Debug, Clone, Copy)]
struct Limits {
    sessions: usize,
    hibernating: usize,
    hibernating_in_all: usize,
    connections: (u32, u32),
    joins: (u32, u32),
    stanzas: (u32, u32),
    bytes: (u32, u32),
}

#[derive(Debug)]
struct Address {
    limits: Limits,
    sessions: AtomicUsize,
    hibernating: AtomicUsize,
    rates: Mutex<Rates>,
}

#[derive(Debug)]
struct Rates {
    connections: Bucket,
    joins: Bucket,
    stanzas: Bucket,
    bytes: Bucket,
}

impl Rates {
    fn new(limits: &Limits) -> Self {
        let bucket = |(rate, burst)| Bucket::new(rate, burst);
        Self {
            connections: bucket(limits.connections),
            joins: bucket(limits.joins),
            stanzas: bucket(limits.stanzas),
            bytes: bucket(limits.bytes),
        }
    }

    fn are_full(&self) -> bool {
        let Self {
            connections,
            joins,
            stanzas,
            bytes,
        } = self;
        [connections, joins, stanzas, bytes]
            .iter()
            .all(|bucket| bucket.is_full())
    }
}

impl Address {
    fn rates(&self) -> MutexGuard<'_, Rates> {
        self.rates.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Addresses {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self {
            limits: Limits {
                sessions: settings.sessions_per_address,
                hibernating: settings.hibernating_per_address,
                hibernating_in_all: settings.max_hibernating,
                connections: (settings.connections_per_second, settings.connection_burst),
                joins: (settings.joins_per_second, settings.join_burst),
                stanzas: (
                    settings.address_stanzas_per_second,
                    settings.address_stanza_burst,
                ),
                bytes: (
                    settings.address_bytes_per_second,
                    settings.address_byte_burst,
                ),
            },
            table: Mutex::new(Table {
                addresses: HashMap::new(),
                tidy_at: FEW,
            }),
            hibernating: Arc::default(),
        }
    }

    fn address(&self, address: IpAddr) -> Arc<Address> {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        if table.addresses.len() >= table.tidy_at {
            table
                .addresses
                .retain(|_, address| Arc::strong_count(address) > 1 || !address.rates().are_full());
            table.tidy_at = FEW.max(table.addresses.len() * 2);
        }
        let limits = self.limits;
        Arc::clone(table.addresses.entry(network(address)).or_insert_with(|| {
            Arc::new(Address {
                limits,
                sessions: AtomicUsize::new(0),
                hibernating: AtomicUsize::new(0),
                rates: Mutex::new(Rates::new(&limits)),
            })
        }))
    }

    /// One more connection from this address.
    ///
    /// # Errors
    /// Why not.
    pub(crate) fn visit(&self, address: IpAddr) -> Result<Visit, Reason> {
        let address = self.address(address);
        if !address.rates().connections.try_take() {
            return Err(Reason::ConnectionRate);
        }
        let visit = Visit {
            address,
            hibernating: Arc::clone(&self.hibernating),
            hibernating_in_all: self.limits.hibernating_in_all,
        };
        // Counted first, so that two at once do not both see the last place free.
        let before = visit.address.sessions.fetch_add(1, Ordering::Relaxed);
        if before >= self.limits.sessions {
            return Err(Reason::AddressSessions);
        }
        Ok(visit)
    }
}

/// One connection from an address, for as long as it lasts.
#[derive(Debug)]
pub(crate) struct Visit {
    address: Arc<Address>,
    hibernating: Arc<AtomicUsize>,
    hibernating_in_all: usize,
}

impl Visit {
    /// How long to wait before a frame of so many stanzas and bytes is taken; counted when it does.
    pub(crate) fn take(&self, stanzas: u32, bytes: u32, metrics: &Metrics) -> Option<Duration> {
        let (stanzas, bytes) = {
            let mut rates = self.address.rates();
            (rates.stanzas.take(stanzas), rates.bytes.take(bytes))
        };
        for (wait, reason) in [
            (stanzas, Reason::AddressStanzas),
            (bytes, Reason::AddressBytes),
        ] {
            if wait.is_some() {
                metrics.refuse(reason);
            }
        }
        stanzas.max(bytes)
    }

    /// Whether one more may join a room.
    pub(crate) fn may_join(&self) -> bool {
        self.address.rates().joins.try_take()
    }

    /// The connection is lost, and its session waits for another; `None` when too many do.
    pub(crate) fn hibernate(&self) -> Option<Hibernation> {
        let hibernation = Hibernation {
            address: Arc::clone(&self.address),
            in_all: Arc::clone(&self.hibernating),
        };
        let here = hibernation
            .address
            .hibernating
            .fetch_add(1, Ordering::Relaxed);
        let all = hibernation.in_all.fetch_add(1, Ordering::Relaxed);
        let fits = here < self.address.limits.hibernating && all < self.hibernating_in_all;
        fits.then_some(hibernation)
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.address.sessions.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One session that waits for its client to come back.
#[derive(Debug)]
pub(crate) struct Hibernation {
    address: Arc<Address>,
    in_all: Arc<AtomicUsize>,
}

impl Drop for Hibernation {
    fn drop(&mut self) {
        self.address.hibernating.fetch_sub(1, Ordering::Relaxed);
        self.in_all.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use althing_model::NodeId;

    fn addresses(change: impl FnOnce(&mut Settings)) -> Addresses {
        let mut settings = Settings::new(NodeId::new("n1").unwrap(), "meet.jitsi");
        change(&mut settings);
        Addresses::new(&settings)
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn five_hundred_from_one_address_join_within_a_minute() {
        let addresses = addresses(|_| {});
        let metrics = Metrics::default();
        let mut visits = Vec::new();
        for _ in 0..500 {
            let visit = addresses.visit(ip("192.0.2.1")).unwrap();
            assert!(visit.may_join());
            // All that a browser says up to joining, and a 1.5 kB presence.
            assert_eq!(visit.take(12, 8_000, &metrics), None);
            visits.push(visit);
        }
        // The line breaks: all of them may come back.
        let asleep: Vec<_> = visits.iter().map(|v| v.hibernate().unwrap()).collect();
        assert_eq!(asleep.len(), 500);
    }

    #[tokio::test(start_paused = true)]
    async fn each_network_has_its_own_bounds_and_gets_its_places_back() {
        let addresses = addresses(|settings| {
            settings.sessions_per_address = 2;
            settings.connection_burst = 4;
            settings.connections_per_second = 1;
            settings.hibernating_per_address = 1;
            settings.max_hibernating = 2;
            settings.join_burst = 1;
        });
        let visit = |text| addresses.visit(ip(text));
        let first = visit("2001:db8::1").unwrap();
        let second = visit("2001:db8::2").unwrap();
        assert_eq!(visit("2001:db8::3").unwrap_err(), Reason::AddressSessions);
        assert!(first.may_join());
        assert!(!second.may_join());
        let other = visit("2001:db8:0:1::1").unwrap();
        assert!(other.may_join());
        // Asleep: one for each address, two in all.
        let asleep = first.hibernate().unwrap();
        assert!(second.hibernate().is_none());
        let _other_asleep = other.hibernate().unwrap();
        let third = visit("192.0.2.1").unwrap();
        assert!(third.hibernate().is_none());
        drop(asleep);
        assert!(third.hibernate().is_some());
        drop(first);
        let _again = visit("2001:db8::4").unwrap();
        drop(second);
        assert_eq!(visit("2001:db8::5").unwrap_err(), Reason::ConnectionRate);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(visit("2001:db8::5").is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn too_much_of_one_address_is_slowed_down_and_counted() {
        let addresses = addresses(|settings| {
            settings.address_stanza_burst = 10;
            settings.address_stanzas_per_second = 10;
            settings.address_byte_burst = 1_000;
            settings.address_bytes_per_second = 100;
        });
        let metrics = Metrics::default();
        let one = addresses.visit(ip("192.0.2.1")).unwrap();
        let another = addresses.visit(ip("192.0.2.1")).unwrap();
        assert_eq!(one.take(10, 500, &metrics), None);
        assert_eq!(
            another.take(1, 500, &metrics),
            Some(Duration::from_millis(100))
        );
        assert_eq!(one.take(0, 200, &metrics), Some(Duration::from_secs(2)));
    }

    #[tokio::test(start_paused = true)]
    async fn addresses_are_forgotten_when_nobody_is_there() {
        let addresses = addresses(|_| {});
        let stays = addresses.visit(ip("198.51.100.1")).unwrap();
        for n in 0..10_000_u32 {
            tokio::time::advance(Duration::from_millis(20)).await;
            drop(addresses.visit(IpAddr::V4(n.into())));
        }
        let table = addresses.table.lock().unwrap();
        assert!(table.addresses.len() <= 2 * FEW);
        assert!(table.addresses.contains_key(&ip("198.51.100.1")));
        drop(stays);
    }
}
