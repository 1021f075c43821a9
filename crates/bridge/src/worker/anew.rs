//! A bug that is not one conference's stops a whole media thread. Everybody on it is lost then, and
//! told so; the thread begins anew with nothing but what must not be forgotten.

use crate::counters::Count;
use crate::directory::Gone;
use crate::worker::State;
use althing_control::EndpointState;
use std::mem::take;
use std::panic::{AssertUnwindSafe, catch_unwind};

impl State {
    /// Says of everybody here that they are gone: to their focus, by their channel, and to the
    /// directory. Nothing else is touched, since nothing here can be trusted any more.
    pub(super) fn report_all_lost(&mut self) {
        let endpoints: Vec<usize> = self.endpoints.iter().map(|(slot, _)| slot).collect();
        for slot in endpoints {
            let endpoint = &self.endpoints[slot];
            endpoint.channel.end();
            // One whose conference is gone was reported with it.
            let Some(conference) = self.conferences.get(endpoint.conference) else {
                continue;
            };
            let channels = &self.shared.channels;
            channels.remove(&conference.id, &endpoint.id, &endpoint.channel);
            self.publish(slot, EndpointState::Lost);
            self.report_gone(slot);
        }
        for (_, conference) in &self.conferences {
            if conference.is_home {
                self.counters.one(Count::ConferencesEnded);
            }
            self.gone.push_back(Gone::Part {
                conference: conference.id.clone(),
                worker: self.index,
            });
        }
    }

    /// Takes the place of one that a bug has stopped: goes on with its counts and its numbers, with
    /// what the directory has yet to hear, and with the ways to other workers' endpoints.
    pub(super) fn succeed(&mut self, mut before: Self) {
        self.counters = take(&mut before.counters);
        self.queue.counters = before.queue.counters;
        self.last_generation = before.last_generation;
        self.gone = take(&mut before.gone);
        self.addresses = take(&mut before.addresses);
        self.addresses.forget_own();
        self.measures = before.measures;
        self.publish_census();
        // Whatever stopped it may do so again while it is taken apart.
        if catch_unwind(AssertUnwindSafe(|| drop(before))).is_err() {
            self.counters.one(Count::Panics);
        }
    }
}
