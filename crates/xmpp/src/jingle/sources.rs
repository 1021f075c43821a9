use althing_model::{
    Encoding, EndpointId, FeedbackSources, MediaKind, SourceDescription, SourceName, Ssrc,
    VideoType,
};
use std::collections::{HashMap, HashSet};

/// The owner of the bridge's own sources.
pub const FEEDBACK_OWNER: &str = "jvb";

/// What was signalled: SSRCs and how they are grouped, before anybody checked it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RawSources {
    /// In document order.
    pub sources: Vec<RawSource>,
    /// In document order; groups of unknown semantics are left out.
    pub groups: Vec<RawGroup>,
}

/// One signalled SSRC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawSource {
    /// Never zero.
    pub ssrc: Ssrc,
    /// Audio or video.
    pub media: MediaKind,
    /// The source it belongs to; not checked.
    pub name: Option<String>,
    /// `<stream id> <track id>`; not checked.
    pub msid: Option<String>,
    /// Absent for audio and when not told.
    pub video_type: Option<VideoType>,
    /// The endpoint id, or `jvb`; only the server tells.
    pub owner: Option<String>,
}

/// A group of SSRCs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawGroup {
    /// What the group means.
    pub semantics: Semantics,
    /// Audio or video.
    pub media: MediaKind,
    /// In the order that the semantics give a meaning.
    pub ssrcs: Vec<Ssrc>,
}

/// What an `ssrc-group` means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Semantics {
    /// Encodings of one source in ascending resolution.
    Sim,
    /// An SSRC and that of its retransmissions.
    Fid,
}

impl Semantics {
    /// As in XML.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sim => "SIM",
            Self::Fid => "FID",
        }
    }

    /// As read.
    #[must_use]
    pub fn parse(value: &str) -> Option<Self> {
        match value {
            "SIM" => Some(Self::Sim),
            "FID" => Some(Self::Fid),
            _ => None,
        }
    }
}

/// Why signalled SSRCs do not make up sources.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FoldError {
    /// An SSRC has no source name, or one that is none.
    #[error("SSRC {ssrc} has no valid source name")]
    Name {
        /// Which SSRC.
        ssrc: Ssrc,
    },
    /// The name says audio and the description video, or the other way round.
    #[error("source {name} is signalled as {}", media.as_str())]
    Media {
        /// The source.
        name: SourceName,
        /// Where it was.
        media: MediaKind,
    },
    /// The SSRCs of one source disagree on their msid, or have none.
    #[error("source {name} needs one msid")]
    Msid {
        /// The source.
        name: SourceName,
    },
    /// An SSRC stands twice.
    #[error("SSRC is already used: {0}")]
    Duplicate(Ssrc),
    /// A group of the wrong size, of SSRCs of more than one source, or that contradicts another.
    #[error("invalid {} group: {ssrcs:?}", semantics.as_str())]
    Group {
        /// Its semantics.
        semantics: Semantics,
        /// Its members.
        ssrcs: Vec<Ssrc>,
    },
}

impl RawSources {
    /// Whether nothing was signalled.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.sources.is_empty() && self.groups.is_empty()
    }

    /// What signals these descriptions whole: every SSRC, a SIM group for several encodings, an FID
    /// group for each with retransmissions.
    #[must_use]
    pub fn of<'a>(descriptions: impl IntoIterator<Item = &'a SourceDescription>) -> Self {
        let mut out = Self::default();
        for source in descriptions {
            out.add(source);
        }
        out
    }

    /// Names the SSRCs of clients that name none: one source for each msid, numbered after those
    /// that have a name.
    pub fn fill_names(&mut self, owner: &EndpointId) {
        let mut taken: HashSet<String> =
            self.sources.iter().filter_map(|s| s.name.clone()).collect();
        let mut given: HashMap<(MediaKind, Option<String>), String> = HashMap::new();
        // Counting on from the last number given, no number is tried twice.
        let (mut audio, mut video) = (0_u32.., 0_u32..);
        for source in self.sources.iter_mut().filter(|s| s.name.is_none()) {
            let (letter, numbers) = match source.media {
                MediaKind::Audio => ('a', &mut audio),
                MediaKind::Video => ('v', &mut video),
            };
            let name = given
                .entry((source.media, source.msid.clone()))
                .or_insert_with(|| {
                    numbers
                        .by_ref()
                        .map(|number| format!("{owner}-{letter}{number}"))
                        .find(|name| taken.insert(name.clone()))
                        .unwrap_or_default()
                });
            source.name = Some(name.clone());
        }
    }

    fn add(&mut self, source: &SourceDescription) {
        let owner = source.name.owner();
        self.sources.extend(source.ssrcs().map(|ssrc| RawSource {
            ssrc,
            media: source.kind,
            name: Some(source.name.as_str().to_owned()),
            msid: Some(source.msid.clone()),
            video_type: (source.kind == MediaKind::Video).then_some(source.video_type),
            owner: Some(owner.as_str().to_owned()),
        }));
        let mut group = |semantics, ssrcs| {
            self.groups.push(RawGroup {
                semantics,
                media: source.kind,
                ssrcs,
            });
        };
        if source.encodings.len() > 1 {
            group(
                Semantics::Sim,
                source.encodings.iter().map(|e| e.primary).collect(),
            );
        }
        for encoding in &source.encodings {
            if let Some(rtx) = encoding.rtx {
                group(Semantics::Fid, vec![encoding.primary, rtx]);
            }
        }
    }

    /// Folds SSRCs and groups into sources, in the order the names first appear: encodings in SIM
    /// order, each with the retransmissions its FID group names. Empty groups mean nothing.
    ///
    /// # Errors
    /// [`FoldError`] tells the first thing that does not fit; nothing is left out silently.
    pub fn fold(&self) -> Result<Vec<SourceDescription>, FoldError> {
        let mut names: Vec<SourceName> = Vec::new();
        let mut members: HashMap<SourceName, Vec<&RawSource>> = HashMap::new();
        let mut source_of: HashMap<Ssrc, SourceName> = HashMap::new();
        for raw in &self.sources {
            let name = raw
                .name
                .as_deref()
                .and_then(|n| SourceName::new(n).ok())
                .ok_or(FoldError::Name { ssrc: raw.ssrc })?;
            if name.kind() != raw.media {
                return Err(FoldError::Media {
                    name,
                    media: raw.media,
                });
            }
            if source_of.insert(raw.ssrc, name.clone()).is_some() {
                return Err(FoldError::Duplicate(raw.ssrc));
            }
            members
                .entry(name.clone())
                .or_insert_with(|| {
                    names.push(name);
                    Vec::new()
                })
                .push(raw);
        }
        let mut groups = Groups::default();
        for group in &self.groups {
            groups.add(group, &source_of)?;
        }
        names
            .into_iter()
            .map(|name| {
                let members = members.remove(&name).unwrap_or_default();
                groups.assemble(name, &members)
            })
            .collect()
    }
}

/// Groups as looked up while folding.
#[derive(Default)]
struct Groups {
    sim: HashMap<SourceName, Vec<Ssrc>>,
    rtx_of: HashMap<Ssrc, Ssrc>,
    rtx: HashSet<Ssrc>,
}

impl Groups {
    fn add(
        &mut self,
        group: &RawGroup,
        source_of: &HashMap<Ssrc, SourceName>,
    ) -> Result<(), FoldError> {
        let invalid = || FoldError::Group {
            semantics: group.semantics,
            ssrcs: group.ssrcs.clone(),
        };
        let Some(first) = group.ssrcs.first() else {
            return Ok(());
        };
        let name = source_of.get(first).ok_or_else(invalid)?;
        if group.ssrcs.iter().any(|s| source_of.get(s) != Some(name)) {
            return Err(invalid());
        }
        match (group.semantics, group.ssrcs.as_slice()) {
            (Semantics::Sim, ssrcs) => {
                let distinct: HashSet<_> = ssrcs.iter().collect();
                let known = self.sim.insert(name.clone(), ssrcs.to_vec());
                if distinct.len() != ssrcs.len() || known.is_some_and(|k| k != ssrcs) {
                    return Err(invalid());
                }
            }
            (Semantics::Fid, [primary, rtx]) if primary != rtx => {
                let known = self.rtx_of.insert(*primary, *rtx);
                let repeated = known == Some(*rtx);
                if !repeated && (known.is_some() || !self.rtx.insert(*rtx)) {
                    return Err(invalid());
                }
            }
            (Semantics::Fid, _) => return Err(invalid()),
        }
        Ok(())
    }

    fn assemble(
        &self,
        name: SourceName,
        members: &[&RawSource],
    ) -> Result<SourceDescription, FoldError> {
        let mut msids = members.iter().map(|m| m.msid.as_deref());
        let msid = match msids.next().flatten() {
            Some(msid) if !msid.is_empty() && msids.all(|m| m == Some(msid)) => msid.to_owned(),
            _ => return Err(FoldError::Msid { name }),
        };
        let simulcast = self.sim.get(&name).map_or(&[][..], Vec::as_slice);
        let alone = members
            .iter()
            .map(|m| m.ssrc)
            .filter(|ssrc| !simulcast.contains(ssrc) && !self.rtx.contains(ssrc));
        let encodings: Vec<Encoding> = simulcast
            .iter()
            .copied()
            .chain(alone)
            .map(|primary| Encoding {
                primary,
                rtx: self.rtx_of.get(&primary).copied(),
            })
            .collect();
        let described = encodings
            .iter()
            .map(|e| 1_usize.saturating_add(usize::from(e.rtx.is_some())))
            .fold(0, usize::saturating_add);
        // Groups that contradict one another leave SSRCs over, or use one as both.
        if described != members.len() || encodings.iter().any(|e| self.rtx.contains(&e.primary)) {
            return Err(FoldError::Group {
                semantics: Semantics::Fid,
                ssrcs: members.iter().map(|m| m.ssrc).collect(),
            });
        }
        Ok(SourceDescription {
            kind: name.kind(),
            name,
            video_type: members
                .iter()
                .find_map(|m| m.video_type)
                .unwrap_or(VideoType::Camera),
            msid,
            encodings,
        })
    }
}

/// The bridge's own sources, audio first. They are in every offer: without them a client's own
/// `m=` lines get tied to somebody else's media (protocol 2 §4.6).
#[must_use]
pub fn feedback_sources(feedback: FeedbackSources) -> [SourceDescription; 2] {
    let source = |name: &str, video_type, msid: &str, ssrc| {
        let name = SourceName::new(name).expect("a constant in the form of a source name");
        SourceDescription {
            kind: name.kind(),
            name,
            video_type,
            msid: msid.to_owned(),
            encodings: vec![Encoding {
                primary: ssrc,
                rtx: None,
            }],
        }
    };
    [
        source(
            "jvb-a0",
            VideoType::Camera,
            "mixedmslabel mixedlabelaudio0",
            feedback.audio,
        ),
        source(
            "jvb-v0",
            VideoType::None,
            "mixedmslabel mixedlabelvideo0",
            feedback.video,
        ),
    ]
}

/// The source as receivers are told of it: its first encoding alone, for clients drop whole groups
/// that do not fit (protocol 2 §5.4).
#[must_use]
pub fn strip_simulcast(source: &SourceDescription) -> SourceDescription {
    SourceDescription {
        encodings: source.encodings.first().copied().into_iter().collect(),
        ..source.clone()
    }
}

/// An msid without the characters clients strip when they copy it into SDP, which would otherwise
/// make two names of one.
#[must_use]
pub fn clean_msid(msid: &str) -> String {
    msid.chars()
        .filter(|c| !matches!(c, '\\' | '/' | '{' | ',' | '}' | '+'))
        .collect()
}

/// `videoType` as written; `None` when it is left out.
pub(super) const fn video_type_text(video_type: VideoType) -> Option<&'static str> {
    match video_type {
        VideoType::Camera => Some("camera"),
        VideoType::Desktop | VideoType::DesktopHighFps => Some("desktop"),
        VideoType::None | VideoType::Disabled => None,
    }
}

/// `videoType` as read.
pub(super) fn parse_video_type(text: &str) -> Option<VideoType> {
    match text {
        "camera" => Some(VideoType::Camera),
        "desktop" => Some(VideoType::Desktop),
        "desktop_high_fps" => Some(VideoType::DesktopHighFps),
        _ => None,
    }
}

/// A signalled SSRC: decimal, 1 to 2³²−1.
pub(super) fn parse_ssrc(text: &str) -> Option<Ssrc> {
    match text.trim().parse() {
        Ok(0) | Err(_) => None,
        Ok(ssrc) => Some(Ssrc(ssrc)),
    }
}
