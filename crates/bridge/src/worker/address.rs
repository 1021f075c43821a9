use althing_transport::Path;
use std::collections::HashMap;
use std::collections::hash_map::Entry;

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
    map: HashMap<Path, Owner>,
}

impl Addresses {
    pub(super) fn get(&self, path: &Path) -> Option<Owner> {
        self.map.get(path).copied()
    }

    /// Makes or replaces an entry; `false` when there is no room.
    pub(super) fn insert(&mut self, path: Path, owner: Owner) -> bool {
        let full = self.map.len() >= MAX_ADDRESSES;
        match self.map.entry(path) {
            Entry::Occupied(mut entry) => {
                entry.insert(owner);
                true
            }
            Entry::Vacant(_) if full => false,
            Entry::Vacant(entry) => {
                entry.insert(owner);
                true
            }
        }
    }

    /// Removes the entry if it is still `owner`'s.
    pub(super) fn remove(&mut self, path: &Path, owner: Owner) {
        if self.map.get(path) == Some(&owner) {
            self.map.remove(path);
        }
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
