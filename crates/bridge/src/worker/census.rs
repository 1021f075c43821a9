//! How many there are of whom, kept while they come, go and change: nobody is walked to be counted.

use crate::counters::Count;
use crate::worker::State;
use crate::worker::endpoint::{Conference, Endpoint};
use std::collections::BTreeMap;

/// Counts of a worker's endpoints and conferences. Whoever changes what is counted does it here.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Census {
    connected: u64,
    inactive: u64,
    // Parts of conferences that are counted elsewhere.
    parts: u64,
    // How many conferences have how many endpoints, those without any left out.
    sizes: BTreeMap<usize, usize>,
}

impl Census {
    pub(super) fn set_connected(&mut self, endpoint: &mut Endpoint, connected: bool) {
        self.connected -= u64::from(endpoint.connected);
        self.connected += u64::from(connected);
        endpoint.connected = connected;
    }

    pub(super) fn set_active(&mut self, endpoint: &mut Endpoint, active: bool) {
        self.inactive -= u64::from(!endpoint.active);
        self.inactive += u64::from(!active);
        endpoint.active = active;
    }

    /// The endpoint is gone. One that comes is active and not connected, and needs no word.
    pub(super) fn left(&mut self, endpoint: &Endpoint) {
        self.connected -= u64::from(endpoint.connected);
        self.inactive -= u64::from(!endpoint.active);
    }

    /// A conference began here.
    pub(super) fn began(&mut self, conference: &Conference) {
        self.parts += u64::from(!conference.is_home);
    }

    /// It ended, after everybody had left.
    pub(super) fn ended(&mut self, conference: &Conference) {
        self.parts -= u64::from(!conference.is_home);
    }

    /// Somebody came or left, here or in another part.
    pub(super) fn resized(&mut self, conference: &mut Conference) {
        let size = conference.size();
        let before = std::mem::replace(&mut conference.counted_size, size);
        if let Some(count) = self.sizes.get_mut(&before) {
            *count -= 1;
            if *count == 0 {
                self.sizes.remove(&before);
            }
        }
        if size > 0 {
            *self.sizes.entry(size).or_default() += 1;
        }
    }

    fn largest(&self) -> usize {
        self.sizes.last_key_value().map_or(0, |(size, _)| *size)
    }
}

impl State {
    /// Brings the present-state counts up to date; called when somebody comes, goes or changes.
    pub(super) fn publish_census(&mut self) {
        let (census, counters) = (&self.census, &mut self.counters);
        counters.set(Count::Endpoints, self.endpoints.len() as u64);
        counters.set(
            Count::Conferences,
            self.conferences.len() as u64 - census.parts,
        );
        counters.set(Count::EndpointsConnected, census.connected);
        counters.set(Count::EndpointsInactive, census.inactive);
        counters.set(Count::LargestConference, census.largest() as u64);
    }

    /// The same, counted one by one.
    #[cfg(test)]
    pub(super) fn count_all(&self) -> Census {
        let mut census = Census::default();
        for (_, endpoint) in &self.endpoints {
            census.connected += u64::from(endpoint.connected);
            census.inactive += u64::from(!endpoint.active);
        }
        for (_, conference) in &self.conferences {
            census.parts += u64::from(!conference.is_home);
            if conference.size() > 0 {
                *census.sizes.entry(conference.size()).or_default() += 1;
            }
        }
        census
    }
}
