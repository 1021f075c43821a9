//! Sources as elements of a description (protocol 2 §4.9, §8).

use super::parse::JingleError;
use super::sources::{
    RawGroup, RawSource, RawSources, Semantics, clean_msid, parse_ssrc, parse_video_type,
    video_type_text,
};
use crate::element::Element;
use crate::ns;
use althing_model::MediaKind;

/// Who writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Writer {
    /// The server names each source's owner.
    Server,
    /// A client never does.
    Client,
}

/// Appends the sources of one kind, then their groups.
pub(super) fn write(raw: &RawSources, media: MediaKind, writer: Writer, parent: &mut Element) {
    for source in raw.sources.iter().filter(|s| s.media == media) {
        parent.push(write_source(source, writer));
    }
    for group in raw.groups.iter().filter(|g| g.media == media) {
        let members = group
            .ssrcs
            .iter()
            .map(|ssrc| Element::new("source", ns::SSMA).with_attr("ssrc", ssrc.to_string()));
        parent.push(
            Element::new("ssrc-group", ns::SSMA)
                .with_attr("semantics", group.semantics.as_str())
                .with_children(members),
        );
    }
}

fn write_source(source: &RawSource, writer: Writer) -> Element {
    let mut out = Element::new("source", ns::SSMA)
        .with_attr("ssrc", source.ssrc.to_string())
        .with_attr_opt("name", source.name.as_deref())
        .with_attr_opt("videoType", source.video_type.and_then(video_type_text));
    if let (Writer::Server, Some(owner)) = (writer, &source.owner) {
        out.push(Element::new("ssrc-info", ns::JITMEET).with_attr("owner", owner.as_str()));
    }
    if let Some(msid) = &source.msid {
        out.push(
            Element::new("parameter", ns::JINGLE_RTP)
                .with_attr("name", "msid")
                .with_attr("value", clean_msid(msid)),
        );
    }
    out
}

/// Collects the sources of every content, under its description or directly under it.
pub(super) fn read(jingle: &Element, out: &mut RawSources) -> Result<(), JingleError> {
    for content in contents(jingle) {
        let description = content.child("description", ns::JINGLE_RTP);
        let places = description.into_iter().chain([content]);
        let elements = places
            .flat_map(Element::children)
            .filter(|e| e.ns() == ns::SSMA);
        for element in elements {
            let media = media_of(content)?;
            match element.name() {
                "source" => out.sources.push(read_source(element, media)?),
                "ssrc-group" => out.groups.extend(read_group(element, media)?),
                _ => {}
            }
        }
    }
    Ok(())
}

/// The contents of a jingle element.
pub(super) fn contents(jingle: &Element) -> impl Iterator<Item = &Element> {
    jingle.children().filter(|c| c.is("content", ns::JINGLE))
}

/// The kind of a content: what its description says, else its name.
pub(super) fn media_of(content: &Element) -> Result<MediaKind, JingleError> {
    let text = content
        .child("description", ns::JINGLE_RTP)
        .and_then(|d| d.attr("media"))
        .or_else(|| content.attr("name"))
        .unwrap_or_default();
    match text {
        "audio" => Ok(MediaKind::Audio),
        "video" => Ok(MediaKind::Video),
        other => Err(JingleError::unknown_media(other)),
    }
}

fn read_source(element: &Element, media: MediaKind) -> Result<RawSource, JingleError> {
    Ok(RawSource {
        ssrc: read_ssrc(element)?,
        media,
        name: element.attr("name").map(str::to_owned),
        msid: element
            .children()
            // Some put it into one namespace, some into the other.
            .find(|c| c.name() == "parameter" && c.attr("name") == Some("msid"))
            .and_then(|c| c.attr("value"))
            .map(str::to_owned),
        video_type: match media {
            MediaKind::Audio => None,
            MediaKind::Video => element.attr("videoType").and_then(parse_video_type),
        },
        owner: element
            .child("ssrc-info", ns::JITMEET)
            .and_then(|c| c.attr("owner"))
            .map(str::to_owned),
    })
}

/// `None` for semantics that are not known.
fn read_group(element: &Element, media: MediaKind) -> Result<Option<RawGroup>, JingleError> {
    let Some(semantics) = element.attr("semantics").and_then(Semantics::parse) else {
        return Ok(None);
    };
    let ssrcs = element
        .children()
        .filter(|c| c.is("source", ns::SSMA))
        .map(read_ssrc)
        .collect::<Result<_, _>>()?;
    Ok(Some(RawGroup {
        semantics,
        media,
        ssrcs,
    }))
}

fn read_ssrc(element: &Element) -> Result<althing_model::Ssrc, JingleError> {
    let text = element.attr("ssrc").unwrap_or_default();
    parse_ssrc(text).ok_or_else(|| JingleError::invalid_ssrc(text))
}
