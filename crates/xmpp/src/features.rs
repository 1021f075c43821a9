//! What a client says it can do, in disco#info answers and in presence.

use crate::element::Element;
use crate::ns;
use serde::{Deserialize, Serialize};

/// The features that change what the focus does (protocol 2 §2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ClientFeatures {
    /// Takes audio.
    pub audio: bool,
    /// Takes video.
    pub video: bool,
    /// Takes retransmissions (RFC 4588).
    pub rtx: bool,
    /// Transport-wide congestion control.
    pub tcc: bool,
    /// Receiver-estimated bandwidth; used only without `tcc`.
    pub remb: bool,
    /// Reads remote sources as JSON.
    pub json_sources: bool,
    /// Lets the bridge map sources onto a fixed set of SSRCs.
    pub ssrc_rewriting: bool,
    /// Understands visitors.
    pub visitors: bool,
    /// Reads from the room's metadata that newcomers start muted.
    #[serde(default)]
    pub start_muted_metadata: bool,
    /// Sends and takes redundant audio (RFC 2198).
    #[serde(default)]
    pub opus_red: bool,
}

impl ClientFeatures {
    /// What is assumed of a client that did not answer.
    pub const ASSUMED: Self = Self {
        audio: true,
        video: true,
        ..Self::NONE
    };

    /// Nothing at all.
    pub const NONE: Self = Self {
        audio: false,
        video: false,
        rtx: false,
        tcc: false,
        remb: false,
        json_sources: false,
        ssrc_rewriting: false,
        visitors: false,
        start_muted_metadata: false,
        opus_red: false,
    };

    /// From feature strings; unknown ones are passed over.
    #[must_use]
    pub fn from_vars<'a>(vars: impl IntoIterator<Item = &'a str>) -> Self {
        let mut out = Self::NONE;
        for var in vars {
            match var {
                ns::JINGLE_RTP_AUDIO => out.audio = true,
                ns::JINGLE_RTP_VIDEO => out.video = true,
                ns::RFC4588 => out.rtx = true,
                ns::FEATURE_TCC => out.tcc = true,
                ns::FEATURE_REMB => out.remb = true,
                ns::FEATURE_JSON_SOURCES => out.json_sources = true,
                ns::FEATURE_SSRC_REWRITING => out.ssrc_rewriting = true,
                ns::FEATURE_VISITORS => out.visitors = true,
                ns::FEATURE_OPUS_RED => out.opus_red = true,
                ns::FEATURE_START_MUTED_METADATA => out.start_muted_metadata = true,
                _ => {}
            }
        }
        out
    }

    /// From the `<query>` of a disco#info answer, or from any other element whose `<feature>`
    /// children have a `var`.
    #[must_use]
    pub fn from_query(query: &Element) -> Self {
        Self::from_vars(
            query
                .children()
                .filter(|c| c.name() == "feature")
                .filter_map(|c| c.attr("var")),
        )
    }

    /// How this client is told of remote sources.
    #[must_use]
    pub const fn source_mode(self) -> SourceMode {
        if self.ssrc_rewriting {
            SourceMode::Rewriting
        } else if self.json_sources {
            SourceMode::Json
        } else {
            SourceMode::Xml
        }
    }
}

/// How a client is told of remote sources (end of protocol 2 §2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceMode {
    /// Not by Jingle: the bridge maps them. The offer has the bridge's own as JSON.
    Rewriting,
    /// As JSON text.
    Json,
    /// As elements of a description.
    Xml,
}

/// A XEP-0115 `<c>` of a presence.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Caps {
    /// Who made the client.
    pub node: String,
    /// Hash of its features.
    pub ver: String,
}

impl Caps {
    /// Reads the caps of a presence.
    #[must_use]
    pub fn of(presence: &Element) -> Option<Self> {
        let c = presence.child("c", ns::CAPS)?;
        Some(Self {
            node: c.attr("node")?.to_owned(),
            ver: c.attr("ver")?.to_owned(),
        })
    }

    /// The `node` of the disco#info question about these caps.
    #[must_use]
    pub fn disco_node(&self) -> String {
        format!("{}#{}", self.node, self.ver)
    }

    /// As the element of a presence.
    #[must_use]
    pub fn to_element(&self) -> Element {
        Element::new("c", ns::CAPS)
            .with_attr("hash", "sha-1")
            .with_attr("node", self.node.as_str())
            .with_attr("ver", self.ver.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mode_follows_the_features() {
        for (vars, mode) in [
            (
                &[ns::FEATURE_JSON_SOURCES, ns::FEATURE_SSRC_REWRITING][..],
                SourceMode::Rewriting,
            ),
            (&[ns::FEATURE_JSON_SOURCES], SourceMode::Json),
            (&["http://jitsi.org/whatever"], SourceMode::Xml),
        ] {
            assert_eq!(
                ClientFeatures::from_vars(vars.iter().copied()).source_mode(),
                mode
            );
        }
        assert_eq!(ClientFeatures::ASSUMED.source_mode(), SourceMode::Xml);
    }
}
