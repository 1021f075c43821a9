//! The two spellings of a video type: lower case from clients, upper case in source maps.

use althing_model::VideoType;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serializer};

pub(crate) const fn lower(value: VideoType) -> &'static str {
    match value {
        VideoType::Camera => "camera",
        VideoType::Desktop => "desktop",
        VideoType::DesktopHighFps => "desktop_high_fps",
        VideoType::None => "none",
        VideoType::Disabled => "disabled",
    }
}

const fn upper(value: VideoType) -> &'static str {
    match value {
        VideoType::Camera => "CAMERA",
        VideoType::Desktop => "DESKTOP",
        VideoType::DesktopHighFps => "DESKTOP_HIGH_FPS",
        VideoType::None => "NONE",
        VideoType::Disabled => "DISABLED",
    }
}

/// Any case, as the stock bridge reads it.
pub(crate) fn parse(text: &str) -> Option<VideoType> {
    [
        VideoType::Camera,
        VideoType::Desktop,
        VideoType::DesktopHighFps,
        VideoType::None,
        VideoType::Disabled,
    ]
    .into_iter()
    .find(|v| lower(*v).eq_ignore_ascii_case(text))
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<VideoType, D::Error> {
    let text = String::deserialize(from)?;
    parse(&text).ok_or_else(|| D::Error::custom(format!("{text:?} is no video type")))
}

// Serde hands a serialiser its field by reference.
#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature is serde's"
)]
pub(crate) fn serialize<S: Serializer>(value: &VideoType, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(lower(*value))
}

pub(crate) mod upper_case {
    pub(crate) use super::deserialize;
    use super::{Serializer, VideoType, upper};

    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "the signature is serde's"
    )]
    pub(crate) fn serialize<S: Serializer>(value: &VideoType, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(upper(*value))
    }
}
