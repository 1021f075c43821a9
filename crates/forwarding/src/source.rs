//! One source of the conference and who receives it.

use crate::EndpointKey;
use crate::audience::Audience;
use crate::incoming::Incoming;
use crate::keyframes::Requests;
use crate::layers::{self, Layer};
use crate::relay::{Link, Links};
use crate::silence::Silence;
use crate::view::{View, ViewKey};
use althing_model::{Encoding, MediaKind, SourceName, VideoType};
use smallvec::SmallVec;
use std::collections::BTreeMap;
use std::time::Instant;

/// A receiver that gets the source's packets now, and the outlet they go to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Subscriber {
    pub(crate) endpoint: usize,
    pub(crate) outlet: usize,
}

#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) owner: EndpointKey,
    pub(crate) name: SourceName,
    pub(crate) kind: MediaKind,
    /// As signalled; what it may be sent as.
    pub(crate) signalled_type: VideoType,
    /// As last said on the bridge channel; how it is allocated.
    pub(crate) video_type: VideoType,
    pub(crate) encodings: Vec<Encoding>,
    /// One per encoding.
    pub(crate) incoming: Vec<Incoming>,
    /// Of video: those who are not yet in the view they want, be they in another one or in none.
    pub(crate) unsettled: Vec<Subscriber>,
    /// Its packets were refused since the last one forwarded.
    pub(crate) interrupted: bool,
    /// The owner's payloads are encrypted end to end.
    pub(crate) encrypted: bool,
    pub(crate) requests: Requests,
    /// No receiver may ask for a keyframe before.
    pub(crate) next_ask: Option<Instant>,
    pub(crate) silence: Silence,
    /// Who hears it, if it is a microphone.
    pub(crate) audience: Audience,
    pub(crate) wants: Wants,
    /// The part that its owner is local to, if that is another.
    pub(crate) link: Option<Link>,
    /// Heights wanted in other parts; they are counted in `wants` too.
    pub(crate) wanted_by: SmallVec<[(Link, i32); 1]>,
    /// Of video: the parts that want it, and so get its packets.
    pub(crate) relayed: Links,
    pub(crate) layers: Vec<Layer>,
    /// The layers are not what receivers chose among.
    pub(crate) reshaped: bool,
    /// It is in the conference's list of sources that are measured.
    pub(crate) measured: bool,
    /// The owner was told this.
    pub(crate) told: Option<i32>,
}

impl Source {
    pub(crate) fn new(
        owner: EndpointKey,
        description: althing_model::SourceDescription,
        video_type: VideoType,
    ) -> Self {
        let mut source = Self {
            owner,
            name: description.name,
            kind: description.kind,
            signalled_type: description.video_type,
            video_type,
            encodings: Vec::new(),
            incoming: Vec::new(),
            unsettled: Vec::new(),
            interrupted: false,
            encrypted: false,
            requests: Requests::default(),
            next_ask: None,
            silence: Silence::default(),
            audience: Audience::default(),
            wants: Wants::default(),
            link: None,
            wanted_by: SmallVec::new(),
            relayed: Links::NONE,
            layers: Vec::new(),
            reshaped: false,
            measured: false,
            told: None,
        };
        source.set_encodings(description.encodings);
        source
    }

    /// New SSRCs: nothing of the old ones can be continued.
    pub(crate) fn set_encodings(&mut self, encodings: Vec<Encoding>) {
        let clock_rate = match self.kind {
            MediaKind::Audio => 48_000,
            MediaKind::Video => 90_000,
        };
        self.restart();
        let generation = self.generation();
        self.incoming = encodings
            .iter()
            .map(|e| Incoming::new(e.primary, clock_rate, generation))
            .collect();
        self.layers = layers::nominal(encodings.len());
        self.encodings = encodings;
    }

    /// One that no view has had.
    fn generation(&self) -> u32 {
        let highest = self.incoming.iter().map(|i| i.generation).max();
        highest.map_or(0, |g| g.wrapping_add(1))
    }

    /// Receivers continue with the next packet that can begin a stream.
    pub(crate) fn restart(&mut self) {
        self.interrupted = false;
        for encoding in 0..self.incoming.len() {
            self.restart_encoding(encoding);
        }
    }

    /// The same for those who get this encoding.
    pub(crate) fn restart_encoding(&mut self, encoding: usize) {
        let left = self.incoming[encoding].restart();
        if !left.is_empty() {
            // A sender can begin anew with every other packet: looking for each among all would be
            // the square of the room.
            self.unsettled.extend(left);
            self.unsettled.sort_unstable();
            self.unsettled.dedup();
            self.next_ask = None;
        }
        if encoding == 0 {
            self.audience.restart();
        }
        self.reshape();
    }

    /// What grows when earlier sequence numbers lose their meaning: of a microphone.
    pub(crate) fn epoch(&self) -> u32 {
        self.incoming.first().map_or(0, |i| i.generation)
    }

    /// The view of this name, if its numbers still mean something.
    pub(crate) fn view(&self, key: ViewKey) -> Option<&View> {
        self.incoming.get(usize::from(key.encoding))?.view_of(key)
    }

    pub(crate) fn unsettle(&mut self, subscriber: Subscriber) {
        if !self.unsettled.contains(&subscriber) {
            self.unsettled.push(subscriber);
        }
        self.next_ask = None;
    }

    /// A timestamp of an encoding as it would have been in a view; nothing if that cannot be told.
    pub(crate) fn timestamp_on(&self, view: ViewKey, encoding: usize, own: u32) -> Option<u32> {
        let before = self.incoming.get(usize::from(view.encoding))?;
        if before.generation != view.generation {
            None
        } else if usize::from(view.encoding) == encoding {
            Some(own)
        } else {
            self.incoming[encoding].timestamp_on(before, own)
        }
    }

    /// Whether lost packets of an encoding matter to anybody, here or in another part.
    pub(crate) fn is_wanted(&self, encoding: usize) -> bool {
        !self.relayed.is_empty()
            || !self.unsettled.is_empty()
            || self.incoming[encoding].is_subscribed()
    }

    pub(crate) fn is_subscribed(&self) -> bool {
        !self.unsettled.is_empty() || self.incoming.iter().any(Incoming::is_subscribed)
    }

    pub(crate) fn unsubscribe(&mut self, endpoint: usize) {
        self.audience.unsubscribe(endpoint);
        self.unsettled.retain(|s| s.endpoint != endpoint);
        for incoming in &mut self.incoming {
            incoming.unsubscribe(endpoint);
        }
    }
}

/// The heights receivers want of a source, counted, so that the greatest is at hand.
#[derive(Debug, Default)]
pub(crate) struct Wants {
    /// No limit is the greatest.
    counts: BTreeMap<u32, u32>,
}

impl Wants {
    const fn rank(height: i32) -> u32 {
        if height < 0 { u32::MAX } else { height as u32 }
    }

    pub(crate) fn add(&mut self, height: i32) {
        *self.counts.entry(Self::rank(height)).or_default() += 1;
    }

    pub(crate) fn remove(&mut self, height: i32) {
        if let Some(count) = self.counts.get_mut(&Self::rank(height)) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&Self::rank(height));
            }
        }
    }

    /// −1 for no limit, 0 when nobody wants it.
    pub(crate) fn greatest(&self) -> i32 {
        match self.counts.last_key_value() {
            None => 0,
            Some((&rank, _)) => i32::try_from(rank).unwrap_or(-1),
        }
    }
}
