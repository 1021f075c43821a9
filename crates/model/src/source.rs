use crate::{MediaKind, SourceName, Ssrc, VideoType};
use serde::{Deserialize, Serialize};

/// One encoding of a source: what simulcast sends several of. An encoding has layers (spatial,
/// temporal), but those are found in its packets, not in signalling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Encoding {
    /// The SSRC the media is sent on.
    pub primary: Ssrc,
    /// The SSRC of its retransmissions (RFC 4588), if it has one.
    pub rtx: Option<Ssrc>,
}

/// One camera, microphone or screen as signalled: a source and its ordered encodings (low to
/// high). Never empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceDescription {
    /// `<endpoint>-a0`, `<endpoint>-v0`, …
    pub name: SourceName,
    /// Audio or video.
    pub kind: MediaKind,
    /// Camera or screen; [`VideoType::Camera`] for audio, where it means nothing.
    pub video_type: VideoType,
    /// `<stream id> <track id>`, shared by all SSRCs of the source. Opaque.
    pub msid: String,
    /// In ascending resolution; one unless the source is simulcast.
    pub encodings: Vec<Encoding>,
}

impl SourceDescription {
    /// Every SSRC of the source: primaries, then their retransmission SSRCs, per encoding.
    pub fn ssrcs(&self) -> impl Iterator<Item = Ssrc> + '_ {
        self.encodings
            .iter()
            .flat_map(|e| std::iter::once(e.primary).chain(e.rtx))
    }

    /// The encoding receivers are told of: simulcast is stripped towards them.
    #[must_use]
    pub fn first(&self) -> Encoding {
        *self
            .encodings
            .first()
            .expect("a source has at least one encoding")
    }
}

/// The bridge's own two sources, constant for a conference: RTCP is sent from them, and they keep
/// a client's first `m=` lines from being tied to somebody else's media.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeedbackSources {
    /// `jvb-a0`.
    pub audio: Ssrc,
    /// `jvb-v0`.
    pub video: Ssrc,
}
