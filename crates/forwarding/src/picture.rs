//! How a conference looks at a moment, for whoever runs the server. Nothing of it is needed to
//! forward a packet, and nothing in it is secret.

use crate::conference::Conference;
use crate::endpoint::{Channel, Endpoint};
use crate::layers::LayerId;
use crate::settings::{EndpointKey, SlotMode};
use crate::source::Source;
use althing_model::{MediaKind, SourceName, VideoType};
use serde::Serialize;
use std::time::{Duration, Instant};

/// Whose packets came within this is sending.
const SENDING: Duration = Duration::from_secs(2);

/// One endpoint, as a sender and as a receiver.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct EndpointPicture {
    /// Its bridge channel is open.
    pub channel_open: bool,
    /// It is served by SSRC rewriting.
    pub rewriting: bool,
    /// What it sends.
    pub sources: Vec<SourcePicture>,
    /// How many sources it wants to see; negative for all.
    pub last_n: i32,
    /// What it wants to see, the most wanted first.
    pub wanted: Vec<WantedPicture>,
    /// Video that it was told it is sent.
    pub forwarded: Vec<SourceName>,
    /// Its slots, used or not.
    pub slots: Vec<SlotPicture>,
    /// Sources that it wants and whose layers do not fit its path.
    pub suspended: usize,
    /// A shared screen takes more than its path is thought to carry.
    pub oversends: bool,
    /// What its path is thought to carry, in bit/s.
    pub estimate: Option<u64>,
    /// What arrives of what it is sent, in bit/s.
    pub acknowledged: Option<u64>,
    /// What all of it would take that it wants, in bit/s.
    pub ideal: u64,
}

/// One source of an endpoint.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct SourcePicture {
    /// `ab12cd34-v0`.
    pub name: SourceName,
    /// Camera or screen, if it is a picture.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub video_type: Option<VideoType>,
    /// Of its encodings, without those of retransmissions.
    pub ssrcs: Vec<u32>,
    /// Packets came within two seconds.
    pub sending: bool,
    /// Encrypted end to end.
    pub encrypted: bool,
    /// The height its owner was last told that anybody wants.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asked_height: Option<i32>,
    /// What receivers may be given of it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub layers: Vec<LayerPicture>,
}

/// One layer of a source.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LayerPicture {
    /// Encoding, spatial and temporal layer: `0/0/2`.
    pub id: String,
    /// The smaller side, in pixels.
    pub height: u32,
    /// Pictures a second.
    pub fps: f32,
    /// With what it depends on, in bit/s.
    pub bit_rate: u64,
    /// It is being sent.
    pub active: bool,
}

/// What a receiver wants of a source.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WantedPicture {
    /// Which.
    pub source: SourceName,
    /// How high at most; negative for no limit.
    pub height: i32,
    /// Shown large.
    pub on_stage: bool,
    /// The layer that was chosen; nothing while none fits.
    pub target: Option<String>,
}

/// One slot of a receiver.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SlotPicture {
    /// Audio or video.
    pub kind: MediaKind,
    /// As the receiver sees it.
    pub ssrc: u32,
    /// What is on it.
    pub source: Option<SourceName>,
    /// Packets of it go there.
    pub subscribed: bool,
    /// The receiver was told of it.
    pub known: bool,
    /// Packets sent on it.
    pub packets: u32,
}

/// How many endpoints do what at a moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Activity {
    /// Endpoints whose audio came within two seconds.
    pub sending_audio: usize,
    /// Endpoints whose video did.
    pub sending_video: usize,
    /// Endpoints of which neither did.
    pub receive_only: usize,
    /// Slots with a source on them.
    pub slots_used: usize,
    /// All slots.
    pub slots: usize,
    /// Video sent to receivers, by its height: up to 180, 360, 720 px, and more.
    pub pictures: [usize; 4],
    /// The most video sent to one receiver.
    pub most_pictures: usize,
    /// Endpoints with an estimate of their path, and the sum of the estimates in bit/s.
    pub estimates: usize,
    /// That sum.
    pub estimated: u64,
}

impl Conference {
    /// How an endpoint looks; nothing for one that is gone.
    #[must_use]
    pub fn picture(&self, now: Instant, key: EndpointKey) -> Option<EndpointPicture> {
        let endpoint = self.endpoint(key)?;
        let name = |source: usize| self.sources.get(source).map(|s| s.name.clone());
        let mut wanted: Vec<_> = endpoint.wanted.iter().collect();
        wanted.sort_by_key(|w| w.rank);
        Some(EndpointPicture {
            channel_open: endpoint.channel == Channel::Open,
            rewriting: endpoint.mode == SlotMode::Rewriting,
            sources: self.sources_of(endpoint).map(|s| s.picture(now)).collect(),
            last_n: endpoint.wishes.last_n,
            wanted: wanted
                .into_iter()
                .filter_map(|w| {
                    Some(WantedPicture {
                        source: name(w.source)?,
                        height: w.height,
                        on_stage: w.on_stage,
                        target: w.target.map(written),
                    })
                })
                .collect(),
            forwarded: endpoint.forwarded.clone(),
            slots: endpoint
                .outlets
                .iter()
                .map(|outlet| SlotPicture {
                    kind: outlet.kind,
                    ssrc: outlet.ssrc.0,
                    source: outlet.source.and_then(name),
                    subscribed: outlet.subscribed,
                    known: outlet.known,
                    packets: outlet.packets,
                })
                .collect(),
            suspended: endpoint.chosen.suspended,
            oversends: endpoint.chosen.oversends,
            estimate: endpoint.downlink.estimate(),
            acknowledged: endpoint.downlink.acknowledged(),
            ideal: endpoint.chosen.ideal,
        })
    }

    /// Looks at everybody whose part this is.
    #[must_use]
    pub fn activity(&self, now: Instant) -> Activity {
        let mut activity = Activity::default();
        for (_, endpoint) in self.endpoints.iter().filter(|(_, e)| !e.is_remote()) {
            let sends = |kind| {
                let mut sources = self.sources_of(endpoint);
                sources.any(|s| s.kind == kind && s.is_sending(now))
            };
            let (audio, video) = (sends(MediaKind::Audio), sends(MediaKind::Video));
            activity.sending_audio += usize::from(audio);
            activity.sending_video += usize::from(video);
            activity.receive_only += usize::from(!audio && !video);
            activity.slots += endpoint.outlets.len();
            let used = endpoint.outlets.iter().filter(|o| o.source.is_some());
            activity.slots_used += used.count();
            let mut pictures = 0;
            for wanted in &endpoint.wanted {
                let Some(target) = wanted.target else {
                    continue;
                };
                pictures += 1;
                let source = self.sources.get(wanted.source);
                let layer = source.and_then(|s| s.layers().iter().find(|l| l.id == target));
                let height = layer.map_or(0, |layer| layer.height);
                let step = [180, 360, 720].partition_point(|end| *end < height);
                activity.pictures[step] += 1;
            }
            activity.most_pictures = activity.most_pictures.max(pictures);
            if let Some(estimate) = endpoint.downlink.estimate() {
                activity.estimates += 1;
                activity.estimated += estimate;
            }
        }
        activity
    }

    fn sources_of<'a>(&'a self, endpoint: &'a Endpoint) -> impl Iterator<Item = &'a Source> {
        let sources = endpoint.sources.iter();
        sources.filter_map(|source| self.sources.get(*source))
    }
}

impl Source {
    fn is_sending(&self, now: Instant) -> bool {
        self.incoming.iter().any(|incoming| {
            let heard = incoming.ingress.heard_at();
            heard.is_some_and(|at| now.saturating_duration_since(at) < SENDING)
        })
    }

    fn picture(&self, now: Instant) -> SourcePicture {
        let is_video = self.kind == MediaKind::Video;
        SourcePicture {
            name: self.name.clone(),
            video_type: is_video.then_some(self.video_type),
            ssrcs: self.encodings.iter().map(|e| e.primary.0).collect(),
            sending: self.is_sending(now),
            encrypted: self.encrypted,
            asked_height: self.told,
            layers: if is_video {
                self.layers()
                    .iter()
                    .map(|layer| LayerPicture {
                        id: written(layer.id),
                        height: layer.height,
                        fps: layer.fps,
                        bit_rate: layer.bitrate,
                        active: layer.active,
                    })
                    .collect()
            } else {
                Vec::new()
            },
        }
    }
}

fn written(id: LayerId) -> String {
    format!("{}/{}/{}", id.encoding, id.spatial, id.temporal)
}
