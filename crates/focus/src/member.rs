use crate::focus::Settings;
use althing_model::{MediaKinds, MediaMode, Role, SourceDescription, SourceName};
use althing_room::{Caps, OccupantInfo};
use althing_xmpp::Element;
use althing_xmpp::features::{ClientFeatures, SourceMode};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};

/// Milliseconds since the focus was made: a time that can be written down.
pub(crate) type At = u64;

/// An occupant as the focus sees it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Member {
    pub(crate) info: OccupantInfo,
    pub(crate) role: Role,
    pub(crate) may_send: MediaKinds,
    /// What of that reaches others now.
    pub(crate) forwarded: MediaKinds,
    pub(crate) discovery: Discovery,
    pub(crate) negotiation: Negotiation,
    /// The bridge has, or may have, an endpoint for it.
    pub(crate) allocated: bool,
    /// A request to the bridge whose answer is waited for, and what then.
    pub(crate) busy: Option<Busy>,
    /// Its requests that came meanwhile, in order.
    pub(crate) inbox: VecDeque<Element>,
    /// Sessions it had before, latest last.
    pub(crate) former: VecDeque<String>,
    /// Its sources that others may be told of: taken by the bridge.
    pub(crate) published: Vec<SourceDescription>,
    /// What its client has been told of others.
    pub(crate) signaled: BTreeMap<SourceName, SourceDescription>,
    /// When to tell it of changes.
    pub(crate) flush_at: Option<At>,
    /// When it asked for restarts, within the last minute.
    pub(crate) restarts: VecDeque<At>,
}

/// What is known of what the client can do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Discovery {
    /// It was asked under this id and has until then.
    Asked {
        id: String,
        caps: Option<Caps>,
        until: At,
    },
    Known(ClientFeatures),
}

impl Discovery {
    /// What it can do, as far as the room is for it.
    pub(crate) const fn known(mut features: ClientFeatures, media: MediaMode) -> Self {
        features.video = features.video && media.has_video();
        Self::Known(features)
    }
}

/// How far its media session is (protocol 2 §20).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Negotiation {
    /// No session, and one is due once it is not alone.
    Idle,
    /// The bridge was asked.
    Allocating { attempt: u32 },
    /// The bridge could not; to be asked again.
    Waiting { attempt: u32, until: At },
    /// Offered.
    Pending(Jingling),
    /// Accepted.
    Active(Jingling),
    /// Over until it comes anew.
    Ended,
}

/// A Jingle session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Jingling {
    pub(crate) sid: String,
    /// The id of our IQ that carried the offer.
    pub(crate) offer_id: String,
    /// Names the allocation toward the client.
    pub(crate) bridge_session: String,
}

/// What the member's answer from the bridge is for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Busy {
    Allocate,
    /// A request of the client that changes its sources, and what they were before.
    Change {
        request: Element,
        before: Vec<SourceDescription>,
        accept: bool,
    },
}

/// How many former sessions are remembered.
const MAX_FORMER: usize = 4;

impl Member {
    pub(crate) const fn features(&self) -> Option<ClientFeatures> {
        match &self.discovery {
            Discovery::Known(features) => Some(*features),
            Discovery::Asked { .. } => None,
        }
    }

    /// What it is told of remote sources by Jingle, if it is told so at all.
    pub(crate) fn mode(&self, settings: &Settings) -> Option<SourceMode> {
        self.features()
            .map(|f| effective(f, settings).source_mode())
    }

    pub(crate) const fn jingling(&self) -> Option<&Jingling> {
        match &self.negotiation {
            Negotiation::Pending(j) | Negotiation::Active(j) => Some(j),
            _ => None,
        }
    }

    /// Ends the session it has, if any, in our books.
    pub(crate) fn retire(&mut self, next: Negotiation) {
        if let Negotiation::Pending(old) | Negotiation::Active(old) =
            std::mem::replace(&mut self.negotiation, next)
        {
            self.former.push_back(old.sid);
            if self.former.len() > MAX_FORMER {
                self.former.pop_front();
            }
        }
        self.signaled.clear();
        self.flush_at = None;
    }
}

/// What the client can do, as far as we want it to.
pub(crate) const fn effective(mut features: ClientFeatures, settings: &Settings) -> ClientFeatures {
    features.ssrc_rewriting = features.ssrc_rewriting && settings.rewriting;
    features.json_sources = features.json_sources && settings.json_sources;
    features.opus_red = features.opus_red && settings.redundant_audio;
    features
}
