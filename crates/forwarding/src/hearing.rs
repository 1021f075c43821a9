//! Which audio sources a receiver has slots for, and how it hears them.
//!
//! A rewriting receiver has a few audio slots, more than can be heard at once. They are made and
//! announced as sources are signalled, long before most of them are used; from then on a voice that
//! has no slot takes over the one that has been quiet longest. `docs/develop/audio.md` says why.

use crate::audience::{Class, FRESH_PACKETS};
use crate::conference::Conference;
use crate::endpoint::Endpoint;
use crate::outlet::Outlet;
use crate::settings::{EndpointKey, Hearing};
use crate::slots::POOL;
use crate::source::Subscriber;
use althing_colibri::AudioSubscription;
use althing_model::MediaKind;
use std::time::Instant;

/// Which sources a receiver wants to hear. Its lists are sorted: every source there is may be looked
/// for in them.
#[derive(Debug)]
pub(crate) struct Subscription {
    all: bool,
    include: Vec<String>,
    exclude: Vec<String>,
}

impl Subscription {
    fn wants(&self, source: &str) -> bool {
        !is_in(&self.exclude, source) && (self.all || is_in(&self.include, source))
    }

    /// Whether it names this very source, loud or not.
    fn asks_for(&self, source: &str) -> bool {
        is_in(&self.include, source)
    }
}

fn is_in(sorted: &[String], name: &str) -> bool {
    sorted.binary_search_by(|n| n.as_str().cmp(name)).is_ok()
}

impl From<AudioSubscription> for Subscription {
    fn from(said: AudioSubscription) -> Self {
        let AudioSubscription {
            all,
            mut include,
            mut exclude,
        } = said;
        include.sort_unstable();
        exclude.sort_unstable();
        Self {
            all,
            include,
            exclude,
        }
    }
}

impl Default for Subscription {
    fn default() -> Self {
        AudioSubscription::default().into()
    }
}

impl Endpoint {
    /// How it hears a source that is on this outlet of its own.
    fn class_of(&self, outlet: &Outlet) -> Class {
        if outlet.packets < FRESH_PACKETS {
            Class::Fresh
        } else if self.hearing == Hearing::All || self.audio.asks_for(outlet.name.as_str()) {
            Class::All
        } else {
            Class::Loudest
        }
    }

    /// How many audio slots it may have, where `few` do for most.
    pub(crate) fn audio_slots(&self, few: usize) -> usize {
        if self.hearing == Hearing::All || !self.audio.include.is_empty() {
            POOL
        } else {
            few.min(POOL)
        }
    }
}

impl Conference {
    /// Which sources the endpoint hears, where only the loudest are heard by others.
    pub fn set_hearing(&mut self, now: Instant, key: EndpointKey, hearing: Hearing) {
        self.enter(now);
        let Some(index) = self.index(key) else { return };
        self.endpoints[index].hearing = hearing;
        self.mark_dirty(index, true, false);
    }

    /// New microphones go to everybody without looking at the others again: a join in a large
    /// conference would otherwise cost its square.
    pub(crate) fn serve_new_audio(&mut self, now: Instant) {
        let mut new = std::mem::take(&mut self.new_audio);
        if !new.is_empty() {
            self.serve_audio(&new, now);
        }
        new.clear();
        self.new_audio = new;
    }

    /// Gives everybody who wants these sources a slot for them, if there can be one.
    pub(crate) fn serve_audio(&mut self, sources: &[usize], now: Instant) {
        for at in 0..self.order.len() {
            let index = self.order[at];
            // Others are about to be done whole.
            if !self.endpoints[index].dirty.audio {
                self.place_audio(index, sources, now);
                self.announce(index, now);
            }
        }
    }

    pub(crate) fn allocate_audio(&mut self, index: usize, now: Instant) {
        let endpoint = &mut self.endpoints[index];
        let mut moved = Vec::new();
        for (at, outlet) in endpoint.outlets.iter().enumerate() {
            let (MediaKind::Audio, true, Some(source)) =
                (outlet.kind, outlet.subscribed, outlet.source)
            else {
                continue;
            };
            moved.push((source, at));
        }
        for (source, at) in moved {
            let endpoint = &mut self.endpoints[index];
            let outlet = &mut endpoint.outlets[at];
            let wanted = endpoint.receives_audio
                && endpoint.connected
                && endpoint.audio.wants(outlet.name.as_str());
            if wanted {
                let subscriber = Subscriber {
                    endpoint: index,
                    outlet: at,
                };
                self.reclassify(source, subscriber);
            } else {
                outlet.subscribed = false;
                self.sources[source].unsubscribe(index);
            }
        }
        let all: Vec<usize> = self
            .order
            .iter()
            .flat_map(|owner| &self.endpoints[*owner].sources)
            .filter(|s| self.sources[**s].kind == MediaKind::Audio)
            .copied()
            .collect();
        self.place_audio(index, &all, now);
    }

    /// Gives those of `sources` that the receiver wants a slot and lets their packets flow.
    fn place_audio(&mut self, index: usize, sources: &[usize], now: Instant) {
        let endpoint = &self.endpoints[index];
        if !endpoint.receives_audio {
            return;
        }
        // Who has a slot keeps it; of the others, those who were heard last come first. Whoever was
        // asked for by name comes before anybody else.
        let origin = self.origin.unwrap_or(now);
        let age = |at: Option<Instant>| {
            at.map_or(0, |at| {
                let since = at.saturating_duration_since(origin).as_millis();
                u64::try_from(since).unwrap_or(u64::MAX - 1) + 1
            })
        };
        let mut wanted: Vec<(u64, usize)> = sources
            .iter()
            .map(|s| (&self.sources[*s], *s))
            .filter(|(s, _)| s.owner != endpoint.key && endpoint.audio.wants(s.name.as_str()))
            .map(|(s, i)| {
                let asked = endpoint.audio.asks_for(s.name.as_str());
                (
                    if asked {
                        u64::MAX
                    } else {
                        age(s.audience.passed_at)
                    },
                    i,
                )
            })
            .collect();
        wanted.sort_by_key(|(own, _)| std::cmp::Reverse(*own));
        let mut unserved = Vec::new();
        let (_, evicted) = self.placing(index, now, |endpoint, placing| {
            let all = placing.sources;
            // Lent, as long as its slots change.
            let audio = std::mem::take(&mut endpoint.audio);
            // Once somebody who was never heard finds no room, nobody behind does.
            let mut full = false;
            for &(own, source) in &wanted {
                if full && !endpoint.outlet_of.contains_key(&source) {
                    unserved.push(source);
                    continue;
                }
                // Only from somebody who has been quiet for a second more.
                let quieter = |o: &Outlet| {
                    let theirs = age(o.source.and_then(|s| all.get(s)?.audience.passed_at));
                    let asked = audio.asks_for(o.name.as_str());
                    (!asked && theirs + 1000 < own).then_some(theirs)
                };
                if !endpoint.place(source, placing, Some(&quieter)) {
                    unserved.push(source);
                    full = own == 0;
                }
            }
            endpoint.audio = audio;
        });
        for source in evicted.into_iter().chain(unserved) {
            self.sources[source].audience.unserved = true;
        }
        for (_, source) in wanted {
            self.subscribe_audio(index, source);
        }
    }

    fn subscribe_audio(&mut self, index: usize, source: usize) {
        let endpoint = &mut self.endpoints[index];
        let Some(&outlet) = endpoint.outlet_of.get(&source) else {
            return;
        };
        let o = &endpoint.outlets[outlet];
        if o.subscribed || !endpoint.connected {
            return;
        }
        let class = endpoint.class_of(o);
        let o = &mut endpoint.outlets[outlet];
        o.subscribed = true;
        o.class = class;
        o.resume();
        let track = self.sources[source].audience.track_mut(class);
        track.subscribers.push(Subscriber {
            endpoint: index,
            outlet,
        });
    }

    /// Moves a subscriber to the class it belongs to; its numbers go on without a gap.
    pub(crate) fn reclassify(&mut self, source: usize, subscriber: Subscriber) {
        let endpoint = &self.endpoints[subscriber.endpoint];
        let outlet = &endpoint.outlets[subscriber.outlet];
        let (before, after) = (outlet.class, endpoint.class_of(outlet));
        if before == after {
            return;
        }
        let audience = &mut self.sources[source].audience;
        let from = audience.track_mut(before);
        let hidden = from.numbers.hidden();
        from.subscribers.retain(|s| *s != subscriber);
        let to = audience.track_mut(after);
        to.subscribers.push(subscriber);
        let shift = to.numbers.hidden().wrapping_sub(hidden);
        let next = to.numbers.next();
        // What it holds may have been sent to this receiver already.
        audience.preroll.clear();
        let outlet = &mut self.endpoints[subscriber.endpoint].outlets[subscriber.outlet];
        outlet.class = after;
        outlet.renumber(shift, next);
    }
}
