use serde::{Deserialize, Serialize};
use std::fmt;

/// A synchronisation source number (RFC 3550 §3); zero is never valid in Jitsi signalling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ssrc(pub u32);

impl fmt::Display for Ssrc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The two kinds of RTP media.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MediaKind {
    /// A microphone, or a share's sound.
    Audio,
    /// A camera or a screen share.
    Video,
}

impl MediaKind {
    /// `audio` or `video`, as in `m=` lines and Jingle content names.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Audio => "audio",
            Self::Video => "video",
        }
    }
}

/// What a video source shows; decides how it is allocated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VideoType {
    /// A camera.
    Camera,
    /// A screen at five frames a second or fewer.
    Desktop,
    /// A screen at more than five frames a second.
    DesktopHighFps,
    /// No track, or a muted one.
    None,
    /// Switched off.
    Disabled,
}

impl VideoType {
    /// Whether the source may be allocated at all.
    #[must_use]
    pub const fn is_enabled(self) -> bool {
        !matches!(self, Self::None | Self::Disabled)
    }

    /// Whether it is a screen.
    #[must_use]
    pub const fn is_desktop(self) -> bool {
        matches!(self, Self::Desktop | Self::DesktopHighFps)
    }
}

/// What somebody may do in a room. Held by occupant and endpoint, enforced at offer, source-add
/// and RTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// May mute, remove, lock.
    Moderator,
    /// May send and receive.
    Participant,
    /// Receives only.
    Visitor,
}

/// Which media somebody may send: a property of occupant and conference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MediaKinds {
    /// Microphones.
    pub audio: bool,
    /// Cameras.
    pub video: bool,
    /// Screen shares.
    pub share: bool,
}

impl MediaKinds {
    /// Everything.
    pub const ALL: Self = Self {
        audio: true,
        video: true,
        share: true,
    };
    /// Nothing, as for a visitor.
    pub const NONE: Self = Self {
        audio: false,
        video: false,
        share: false,
    };

    /// Whether a source of this kind and type may be sent.
    #[must_use]
    pub const fn permits(self, kind: MediaKind, video_type: VideoType) -> bool {
        match kind {
            MediaKind::Audio => self.audio,
            MediaKind::Video if video_type.is_desktop() => self.share,
            MediaKind::Video => self.video,
        }
    }

    /// What both sides permit.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self {
            audio: self.audio && other.audio,
            video: self.video && other.video,
            share: self.share && other.share,
        }
    }
}

/// What of media a room is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MediaMode {
    /// Microphones, cameras and screens.
    #[default]
    All,
    /// Microphones alone: an audio hall. There is no video at any level.
    Audio,
}

impl MediaMode {
    /// `all` or `audio`, as in configuration and metadata.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Audio => "audio",
        }
    }

    /// What occupants may send at most.
    #[must_use]
    pub const fn permits(self) -> MediaKinds {
        match self {
            Self::All => MediaKinds::ALL,
            Self::Audio => MediaKinds {
                audio: true,
                ..MediaKinds::NONE
            },
        }
    }

    /// Whether there are cameras and screens.
    #[must_use]
    pub const fn has_video(self) -> bool {
        matches!(self, Self::All)
    }
}

/// Bits per second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Bitrate(pub u64);

impl Bitrate {
    /// From kilobits per second.
    #[must_use]
    pub const fn kbps(kbps: u64) -> Self {
        Self(kbps * 1000)
    }
}
