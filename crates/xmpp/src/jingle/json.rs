//! Sources as JSON text (protocol 2 §5.3): written strictly, read leniently.

use super::parse::JingleError;
use super::sources::{RawGroup, RawSource, RawSources, Semantics, clean_msid};
use crate::element::Element;
use crate::ns;
use althing_model::{EndpointId, MediaKind, SourceDescription, Ssrc, VideoType};
use serde::ser::{SerializeMap as _, SerializeSeq as _};
use serde::{Serialize, Serializer};
use serde_json::Value;

/// The `<json-message>` for these sources.
pub(super) fn message(sources: &[SourceDescription]) -> Element {
    let text = serde_json::to_string(&Message {
        sources: ByOwner(sources),
    })
    .expect("maps with text keys, numbers and texts serialise");
    Element::new("json-message", ns::JITMEET).with_text(text)
}

#[derive(Serialize)]
struct Message<'a> {
    sources: ByOwner<'a>,
}

struct ByOwner<'a>(&'a [SourceDescription]);

impl Serialize for ByOwner<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut owners: Vec<EndpointId> = Vec::new();
        let mut groups: Vec<Vec<&SourceDescription>> = Vec::new();
        let mut index = std::collections::HashMap::new();
        for source in self.0 {
            let owner = source.name.owner();
            let at = *index.entry(owner.clone()).or_insert_with(|| {
                owners.push(owner);
                groups.push(Vec::new());
                groups.len().saturating_sub(1)
            });
            if let Some(group) = groups.get_mut(at) {
                group.push(source);
            }
        }
        let mut map = serializer.serialize_map(Some(owners.len()))?;
        for (owner, sources) in owners.iter().zip(&groups) {
            map.serialize_entry(owner.as_str(), &OwnerArrays(sources))?;
        }
        map.end()
    }
}

/// `[videoSources, videoGroups, audioSources, audioGroups?]`.
struct OwnerArrays<'a>(&'a [&'a SourceDescription]);

impl Serialize for OwnerArrays<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let of = |kind| RawSources::of(self.0.iter().copied().filter(|s| s.kind == kind));
        let (video, audio) = (of(MediaKind::Video), of(MediaKind::Audio));
        let mut array = serializer.serialize_seq(None)?;
        array.serialize_element(&compact(&video.sources))?;
        array.serialize_element(&compact_groups(&video.groups))?;
        array.serialize_element(&compact(&audio.sources))?;
        if !audio.groups.is_empty() {
            array.serialize_element(&compact_groups(&audio.groups))?;
        }
        array.end()
    }
}

#[derive(Serialize)]
struct CompactSource<'a> {
    s: Ssrc,
    #[serde(skip_serializing_if = "Option::is_none")]
    n: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    m: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    v: Option<&'static str>,
}

fn compact(sources: &[RawSource]) -> Vec<CompactSource<'_>> {
    sources
        .iter()
        .map(|source| CompactSource {
            s: source.ssrc,
            n: source.name.as_deref(),
            m: source.msid.as_deref().map(clean_msid),
            v: source
                .video_type
                .is_some_and(VideoType::is_desktop)
                .then_some("d"),
        })
        .collect()
}

fn compact_groups(groups: &[RawGroup]) -> Vec<Vec<Value>> {
    groups
        .iter()
        .map(|group| {
            let letter = match group.semantics {
                Semantics::Fid => "f",
                Semantics::Sim => "s",
            };
            std::iter::once(Value::from(letter))
                .chain(group.ssrcs.iter().map(|ssrc| Value::from(ssrc.0)))
                .collect()
        })
        .collect()
}

/// Reads the text of a `<json-message>`; text that is not about sources is passed over.
pub(super) fn read(text: &str, out: &mut RawSources) -> Result<(), JingleError> {
    let value: Value = serde_json::from_str(text).map_err(|_| JingleError::Json)?;
    let Some(owners) = value.get("sources") else {
        return Ok(());
    };
    for (owner, arrays) in owners.as_object().ok_or(JingleError::Json)? {
        let arrays = arrays.as_array().ok_or(JingleError::Json)?;
        let array = |at: usize| match arrays.get(at) {
            None | Some(Value::Null) => Ok(&[][..]),
            Some(Value::Array(items)) => Ok(items.as_slice()),
            Some(_) => Err(JingleError::Json),
        };
        for (media, sources, groups) in [
            (MediaKind::Video, array(0)?, array(1)?),
            (MediaKind::Audio, array(2)?, array(3)?),
        ] {
            for source in sources {
                out.sources.push(read_source(owner, media, source)?);
            }
            for group in groups {
                out.groups.extend(read_group(media, group)?);
            }
        }
    }
    Ok(())
}

fn read_source(owner: &str, media: MediaKind, value: &Value) -> Result<RawSource, JingleError> {
    let text = |key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
    Ok(RawSource {
        ssrc: read_ssrc(value.get("s").unwrap_or(&Value::Null))?,
        media,
        name: text("n"),
        msid: text("m"),
        video_type: (media == MediaKind::Video).then(|| match value.get("v") {
            Some(Value::String(v)) if v == "d" => VideoType::Desktop,
            _ => VideoType::Camera,
        }),
        owner: Some(owner.to_owned()),
    })
}

/// `None` for semantics that are not known.
fn read_group(media: MediaKind, value: &Value) -> Result<Option<RawGroup>, JingleError> {
    let Some((letter, ssrcs)) = value.as_array().and_then(|items| items.split_first()) else {
        return Err(JingleError::Json);
    };
    let semantics = match letter.as_str() {
        Some("f") => Semantics::Fid,
        Some("s") => Semantics::Sim,
        _ => return Ok(None),
    };
    Ok(Some(RawGroup {
        semantics,
        media,
        ssrcs: ssrcs.iter().map(read_ssrc).collect::<Result<_, _>>()?,
    }))
}

fn read_ssrc(value: &Value) -> Result<Ssrc, JingleError> {
    value
        .as_u64()
        .and_then(|ssrc| u32::try_from(ssrc).ok())
        .filter(|ssrc| *ssrc != 0)
        .map(Ssrc)
        .ok_or_else(|| JingleError::invalid_ssrc(&value.to_string()))
}
