use althing_transport::Path;
use std::collections::HashMap;
use std::collections::hash_map;
use std::time::{Duration, Instant};

/// Who has shown signs of life within this time keeps the path that its media goes by. Whoever can
/// write a false sender into a datagram could have any check of its own come from there.
pub(super) const IN_USE: Duration = Duration::from_secs(8);

/// More entries than this are refused: two paths for each of 50,000 endpoints.
const MAX_ADDRESSES: usize = 100_000;

/// Whose datagrams come by a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    /// The endpoint in this slot of ours.
    Here(usize),
    /// Another worker.
    Worker(usize),
}

/// The address table: one look per datagram. An entry is made when a check with valid integrity
/// has come by the path, and goes with its endpoint.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    // Keyed with random numbers of this process, so that nobody can choose colliding addresses.
    map: HashMap<Path, Entry>,
}

#[derive(Debug)]
struct Entry {
    owner: Owner,
    /// When another worker last said that it is the path's owner.
    said: Option<Instant>,
}

impl Addresses {
    pub(super) fn get(&self, path: &Path) -> Option<Owner> {
        self.map.get(path).map(|entry| entry.owner)
    }

    /// Whether another worker has lately said that it owns the path; with each check, it does.
    pub(super) fn is_claimed(&self, path: &Path, now: Instant) -> bool {
        let said = self.map.get(path).and_then(|entry| entry.said);
        said.is_some_and(|at| now.saturating_duration_since(at) < IN_USE)
    }

    /// Another worker says that the path is its own.
    pub(super) fn learn(&mut self, path: Path, worker: usize, now: Instant) {
        let owner = Owner::Worker(worker);
        let is_new = self.get(&path) != Some(owner);
        if is_new && (self.is_claimed(&path, now) || !self.insert(path, owner)) {
            return;
        }
        if let Some(entry) = self.map.get_mut(&path) {
            entry.said = Some(now);
        }
    }

    /// Makes or replaces an entry; `false` when there is no room.
    pub(super) fn insert(&mut self, path: Path, owner: Owner) -> bool {
        let full = self.map.len() >= MAX_ADDRESSES;
        let entry = Entry { owner, said: None };
        match self.map.entry(path) {
            hash_map::Entry::Occupied(mut known) => {
                known.insert(entry);
                true
            }
            hash_map::Entry::Vacant(_) if full => false,
            hash_map::Entry::Vacant(vacant) => {
                vacant.insert(entry);
                true
            }
        }
    }

    /// Removes the entry if it is still `owner`'s.
    pub(super) fn remove(&mut self, path: &Path, owner: Owner) {
        if self.get(path) == Some(owner) {
            self.map.remove(path);
        }
    }

    /// Keeps the ways to other workers' endpoints only.
    pub(super) fn forget_own(&mut self) {
        self.map
            .retain(|_, entry| matches!(entry.owner, Owner::Worker(_)));
    }

    /// Gives back the room of entries that are gone.
    pub(super) fn shrink(&mut self) {
        self.map.shrink_to_fit();
    }

    pub(super) fn len(&self) -> usize {
        self.map.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use althing_transport::Via;

    #[test]
    fn an_entry_is_removed_by_its_owner_only() {
        let path = Path {
            via: Via::Udp,
            local: "192.0.2.1:10000".parse().unwrap(),
            remote: "198.51.100.1:4000".parse().unwrap(),
        };
        let mut addresses = Addresses::default();
        assert!(addresses.insert(path, Owner::Here(1)));
        assert!(addresses.insert(path, Owner::Here(2)));
        addresses.remove(&path, Owner::Here(1));
        assert_eq!(addresses.get(&path), Some(Owner::Here(2)));
        addresses.remove(&path, Owner::Here(2));
        assert_eq!(addresses.len(), 0);
    }
}
