//! One source of the conference and who receives it.

use crate::EndpointKey;
use crate::audience::Audience;
use crate::hidden::Hidden;
use crate::history::History;
use crate::ingress::Ingress;
use crate::keyframes::Requests;
use crate::layers::{self, Layer};
use crate::missing::Missing;
use crate::silence::Silence;
use althing_model::{Encoding, MediaKind, SourceName, VideoType};
use std::collections::BTreeMap;

/// A receiver that gets the source's packets now, and the outlet they go to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
    pub(crate) ingress: Vec<Ingress>,
    /// Only those who want it and can be sent to.
    pub(crate) subscribers: Vec<Subscriber>,
    /// Grows when earlier sequence numbers lose their meaning.
    pub(crate) epoch: u32,
    /// Its packets were refused since the last one forwarded.
    pub(crate) interrupted: bool,
    pub(crate) hidden: Hidden,
    pub(crate) missing: Missing,
    /// It is in the conference's list of sources with missing packets.
    pub(crate) listed_missing: bool,
    pub(crate) history: History,
    pub(crate) requests: Requests,
    pub(crate) silence: Silence,
    /// Who hears it, if it is a microphone.
    pub(crate) audience: Audience,
    pub(crate) wants: Wants,
    pub(crate) layers: Vec<Layer>,
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
            ingress: Vec::new(),
            subscribers: Vec::new(),
            epoch: 0,
            interrupted: false,
            hidden: Hidden::default(),
            missing: Missing::default(),
            listed_missing: false,
            history: History::default(),
            requests: Requests::default(),
            silence: Silence::default(),
            audience: Audience::default(),
            wants: Wants::default(),
            layers: Vec::new(),
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
        self.ingress = encodings
            .iter()
            .map(|e| Ingress::new(e.primary, clock_rate))
            .collect();
        self.layers = layers::nominal(encodings.len());
        self.encodings = encodings;
        self.restart();
    }

    /// Receivers continue with the next packet that can begin a stream.
    pub(crate) fn restart(&mut self) {
        self.epoch = self.epoch.wrapping_add(1);
        self.hidden = Hidden::default();
        self.missing.clear();
        self.history.clear();
        self.interrupted = false;
        self.audience.restart();
    }

    pub(crate) fn unsubscribe(&mut self, endpoint: usize) {
        self.subscribers.retain(|s| s.endpoint != endpoint);
        self.audience.unsubscribe(endpoint);
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
