//! One endpoint: as a sender, and as a receiver.

use crate::again::REPAIRS;
use crate::allocation::{Chosen, Dirty};
use crate::bucket::Bucket;
use crate::congestion::Downlink;
use crate::hash::{IndexMap, Keyed, SsrcMap};
use crate::hearing::Subscription;
use crate::outlet::Outlet;
use crate::relay::Link;
use crate::settings::{EndpointCounters, EndpointKey, EndpointSettings, Hearing, SlotMode};
use crate::slots::Ended;
use crate::speakers::Speaker;
use crate::wishes::{Wanted, Wishes};
use althing_model::{EndpointId, MediaKind, MediaKinds, Role, SourceName, Ssrc, VideoType};
use althing_rtp::rtcp::TransportCcRecorder;
use std::time::{Duration, Instant};

/// Where an SSRC of a sender leads.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Route {
    pub(crate) source: usize,
    pub(crate) encoding: usize,
    pub(crate) is_rtx: bool,
}

/// What an SSRC towards a receiver is.
#[derive(Debug, Clone, Copy)]
struct OfSsrc {
    outlet: u32,
    is_rtx: bool,
}

/// Whether the bridge channel can carry a message now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Channel {
    Closed,
    Open,
}

/// The most video types kept for sources that are not signalled yet.
const MAX_EARLY_TYPES: usize = 16;

#[derive(Debug)]
pub(crate) struct Endpoint {
    pub(crate) key: EndpointKey,
    pub(crate) id: EndpointId,
    pub(crate) role: Role,
    /// The part that it is local to, if that is another.
    pub(crate) link: Option<Link>,
    pub(crate) may_send: MediaKinds,
    pub(crate) receives_audio: bool,
    pub(crate) receives_video: bool,
    pub(crate) mode: SlotMode,
    pub(crate) connected: bool,
    pub(crate) active: bool,
    pub(crate) channel: Channel,
    pub(crate) rtt: Option<Duration>,
    /// The round trip time came from RTCP, and ICE's is of no more use.
    pub(crate) rtt_measured: bool,
    pub(crate) counters: EndpointCounters,

    // As a sender.
    /// Its payloads are encrypted end to end.
    pub(crate) e2ee: bool,
    pub(crate) sources: Vec<usize>,
    pub(crate) routes: SsrcMap<Route>,
    early_types: Vec<(SourceName, VideoType)>,
    pub(crate) speaker: Speaker,
    pub(crate) recorder: TransportCcRecorder,
    pub(crate) recorded_ssrc: Ssrc,
    pub(crate) relayed: Bucket,
    pub(crate) steering: Bucket,
    pub(crate) asking: Bucket,
    /// Bytes of audio; see `media`.
    pub(crate) voicing: Bucket,

    // As a receiver.
    /// Bytes that it is sent again; see `again`.
    pub(crate) repairs: Bucket,
    pub(crate) wishes: Wishes,
    pub(crate) audio: Subscription,
    pub(crate) hearing: Hearing,
    /// The sources it wants, by source index.
    pub(crate) wanted: Vec<Wanted>,
    /// More than it may have; who comes first matters.
    pub(crate) left_out: bool,
    pub(crate) chosen: Chosen,
    pub(crate) forwarded: Vec<SourceName>,
    pub(crate) outlets: Vec<Outlet>,
    pub(crate) outlet_of: IndexMap<usize>,
    /// Outlets that got another source while the receiver could not be told, and what it still
    /// shows on them.
    pub(crate) renamed: Vec<(SourceName, usize)>,
    /// Outlet by SSRC, and whether that is its retransmission SSRC. Kept as long as the outlet: an
    /// SSRC does not return in another meaning while anybody may remember it.
    by_ssrc: SsrcMap<OfSsrc>,
    /// Numbers of SSRCs that had outlets once.
    pub(crate) ended: Ended,
    pub(crate) downlink: Downlink,
    /// It negotiated redundant audio.
    pub(crate) takes_red: bool,
    /// Greater for who was dominant later; 0 for never.
    pub(crate) spoke: u64,
    /// What of the above is to be found anew.
    pub(crate) dirty: Dirty,
    /// It stands in the conference's queue of those.
    pub(crate) queued: bool,
    /// How far it has read of the sources that came.
    pub(crate) news_read: u64,
    /// When it is to be looked at again.
    pub(crate) due: Option<Instant>,
    /// Some source found no slot, since the client still shows it on one that others have.
    pub(crate) awaits_map: bool,
    /// Some source found no slot, but may later.
    pub(crate) awaits_slot: bool,
}

impl Endpoint {
    pub(crate) fn new(key: EndpointKey, settings: EndpointSettings, hash: Keyed) -> Self {
        Self {
            key,
            id: settings.id,
            role: settings.role,
            link: None,
            may_send: settings.may_send,
            receives_audio: settings.receives_audio,
            receives_video: settings.receives_video,
            mode: settings.slots,
            connected: false,
            active: true,
            channel: Channel::Closed,
            rtt: None,
            rtt_measured: false,
            counters: EndpointCounters::default(),
            e2ee: false,
            sources: Vec::new(),
            routes: SsrcMap::with_hasher(hash),
            early_types: Vec::new(),
            speaker: Speaker::default(),
            recorder: TransportCcRecorder::new(),
            recorded_ssrc: Ssrc(0),
            relayed: Bucket::new(100, 200),
            // A client says ten times a second what it wants to see, at most.
            steering: Bucket::new(30, 100),
            // Its owner says how much.
            asking: Bucket::new(1, 1),
            voicing: Bucket::new(1, 1),
            repairs: Bucket::new(REPAIRS, 2 * REPAIRS),
            wishes: Wishes::default(),
            audio: Subscription::default(),
            hearing: Hearing::Loudest,
            wanted: Vec::new(),
            left_out: false,
            chosen: Chosen::default(),
            forwarded: Vec::new(),
            outlets: Vec::new(),
            outlet_of: IndexMap::with_hasher(hash),
            by_ssrc: SsrcMap::with_hasher(hash),
            ended: Ended::new(hash),
            downlink: Downlink::new(),
            takes_red: false,
            spoke: 0,
            dirty: Dirty::default(),
            renamed: Vec::new(),
            queued: false,
            news_read: 0,
            due: None,
            awaits_map: false,
            awaits_slot: false,
        }
    }

    /// The outlet of an SSRC, and whether it is the one of its retransmissions.
    pub(crate) fn outlet_by_ssrc(&self, ssrc: Ssrc) -> Option<(usize, bool)> {
        let of = self.by_ssrc.get(&ssrc.0)?;
        Some((of.outlet as usize, of.is_rtx))
    }

    /// The outlet that sends media, not retransmissions, on an SSRC.
    pub(crate) fn media_outlet(&self, ssrc: Ssrc) -> Option<usize> {
        let (outlet, is_rtx) = self.outlet_by_ssrc(ssrc)?;
        (!is_rtx).then_some(outlet)
    }

    /// An outlet has these SSRCs from now on.
    pub(crate) fn list_ssrcs(&mut self, outlet: usize, media: Ssrc, rtx: Option<Ssrc>) {
        let outlet = u32::try_from(outlet).expect("outlets are counted in thousands at most");
        let of = |is_rtx| OfSsrc { outlet, is_rtx };
        self.by_ssrc.insert(media.0, of(false));
        if let Some(rtx) = rtx {
            self.by_ssrc.insert(rtx.0, of(true));
        }
    }

    /// Nothing is sent on it any more.
    pub(crate) fn unlist_ssrc(&mut self, ssrc: Ssrc) {
        self.by_ssrc.remove(&ssrc.0);
    }

    /// What its path carries of video; bit/s.
    pub(crate) fn budget(&self) -> Option<u64> {
        self.downlink.budget()
    }

    /// What all of it would take that the receiver wants: probing for more is of no use; bit/s.
    pub(crate) const fn probe_goal(&self) -> u64 {
        self.chosen.ideal
    }

    pub(crate) fn is_visitor(&self) -> bool {
        self.role == Role::Visitor
    }

    pub(crate) fn may_send(&self, kind: MediaKind, video_type: VideoType) -> bool {
        !self.is_visitor() && self.may_send.permits(kind, video_type)
    }

    /// Remembers the type of a source that is not signalled yet.
    pub(crate) fn set_early_type(&mut self, name: SourceName, video_type: VideoType) {
        self.early_types.retain(|(n, _)| *n != name);
        if self.early_types.len() == MAX_EARLY_TYPES {
            self.early_types.remove(0);
        }
        self.early_types.push((name, video_type));
    }

    pub(crate) fn early_types(&self) -> impl Iterator<Item = &(SourceName, VideoType)> {
        self.early_types.iter()
    }

    pub(crate) fn take_early_type(&mut self, name: &SourceName) -> Option<VideoType> {
        let at = self.early_types.iter().position(|(n, _)| n == name)?;
        Some(self.early_types.remove(at).1)
    }
}
