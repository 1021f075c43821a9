use super::json;
use super::sources::{RawSources, strip_simulcast};
use super::xml::{self, Writer};
use crate::element::Element;
use crate::features::SourceMode;
use crate::ns;
use althing_model::{MediaKind, SourceDescription};

/// Whether sources come or go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Change {
    /// `source-add`.
    Add,
    /// `source-remove`.
    Remove,
}

impl Change {
    /// The action's name.
    #[must_use]
    pub const fn action(self) -> &'static str {
        match self {
            Self::Add => "source-add",
            Self::Remove => "source-remove",
        }
    }
}

/// The focus's `<jingle>` for sources that come or go, simulcast stripped. `None` when there is
/// nothing to say, which includes receivers whose sources the bridge maps.
#[must_use]
pub fn source_update(
    change: Change,
    sid: &str,
    mode: SourceMode,
    sources: &[SourceDescription],
) -> Option<Element> {
    if sources.is_empty() || mode == SourceMode::Rewriting {
        return None;
    }
    let sources: Vec<_> = sources.iter().map(strip_simulcast).collect();
    let mut jingle = Element::new("jingle", ns::JINGLE)
        .with_attr("action", change.action())
        .with_attr("sid", sid);
    if mode == SourceMode::Json {
        jingle.push(json::message(&sources));
    } else {
        let raw = RawSources::of(&sources);
        for content in contents(&raw, Writer::Server) {
            jingle.push(content.with_attr("creator", "initiator"));
        }
    }
    Some(jingle)
}

/// One bare content for each kind there is.
pub(super) fn contents(raw: &RawSources, writer: Writer) -> Vec<Element> {
    [MediaKind::Audio, MediaKind::Video]
        .into_iter()
        .filter(|kind| raw.sources.iter().any(|s| s.media == *kind))
        .map(|kind| {
            let mut description =
                Element::new("description", ns::JINGLE_RTP).with_attr("media", kind.as_str());
            xml::write(raw, kind, writer, &mut description);
            Element::new("content", ns::JINGLE)
                .with_attr("name", kind.as_str())
                .with_child(description)
        })
        .collect()
}

/// Why a Jingle session ends (XEP-0166 §7.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Busy elsewhere.
    Busy,
    /// Called off.
    Cancel,
    /// ICE failed.
    ConnectivityError,
    /// Not wanted.
    Decline,
    /// Alone for too long.
    Expired,
    /// Something went wrong inside.
    GeneralError,
    /// The conference is over.
    Gone,
    /// The offer came from somebody who is no known focus.
    SecurityError,
    /// All went well.
    Success,
    /// Waited for too long.
    Timeout,
    /// Anything else.
    Other,
}

impl Reason {
    /// The element's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Busy => "busy",
            Self::Cancel => "cancel",
            Self::ConnectivityError => "connectivity-error",
            Self::Decline => "decline",
            Self::Expired => "expired",
            Self::GeneralError | Self::Other => "general-error",
            Self::Gone => "gone",
            Self::SecurityError => "security-error",
            Self::Success => "success",
            Self::Timeout => "timeout",
        }
    }

    fn parse(name: &str) -> Self {
        match name {
            "busy" => Self::Busy,
            "cancel" => Self::Cancel,
            "connectivity-error" => Self::ConnectivityError,
            "decline" => Self::Decline,
            "expired" => Self::Expired,
            "general-error" => Self::GeneralError,
            "gone" => Self::Gone,
            "security-error" => Self::SecurityError,
            "success" => Self::Success,
            "timeout" => Self::Timeout,
            _ => Self::Other,
        }
    }
}

/// The `<reason>` of a session-terminate, as read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Terminate {
    /// The condition, if one was given.
    pub reason: Option<Reason>,
    /// Words for the log.
    pub text: Option<String>,
}

impl Terminate {
    pub(super) fn read(jingle: &Element) -> Self {
        let Some(reason) = jingle.child("reason", ns::JINGLE) else {
            return Self::default();
        };
        Self {
            reason: reason
                .children()
                .find(|c| c.name() != "text")
                .map(|c| Reason::parse(c.name())),
            text: reason.child_named("text").map(Element::text),
        }
    }
}

/// A session-terminate; the condition stands first in its `<reason>`.
#[must_use]
pub fn session_terminate(sid: &str, reason: Reason, text: Option<&str>) -> Element {
    let mut why =
        Element::new("reason", ns::JINGLE).with_child(Element::new(reason.as_str(), ns::JINGLE));
    if let Some(text) = text {
        why.push(Element::new("text", ns::JINGLE).with_text(text));
    }
    Element::new("jingle", ns::JINGLE)
        .with_attr("action", "session-terminate")
        .with_attr("sid", sid)
        .with_child(why)
}
