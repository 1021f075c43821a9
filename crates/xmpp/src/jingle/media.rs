use crate::element::Element;
use crate::ns;
use althing_model::MediaKind;

/// Payload types and header extensions of one content, as read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaDescription {
    /// Audio or video.
    pub media: MediaKind,
    /// In order of preference.
    pub payload_types: Vec<PayloadTypeOffer>,
    /// Header extensions.
    pub extensions: Vec<ExtensionOffer>,
}

/// One payload type, as read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PayloadTypeOffer {
    /// The number on the wire.
    pub id: u8,
    /// Encoding name.
    pub name: String,
    /// In Hz.
    pub clock_rate: u32,
    /// 1 when not told.
    pub channels: u8,
    /// `fmtp` parameters; a nameless one has an empty name.
    pub parameters: Vec<(String, String)>,
    /// Feedback: type and subtype.
    pub feedback: Vec<(String, Option<String>)>,
}

/// One header extension, as read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtensionOffer {
    /// The id on the wire.
    pub id: u8,
    /// What it is.
    pub uri: String,
}

impl MediaDescription {
    /// Reads a description; payload types and extensions that cannot be read are passed over.
    pub(super) fn read(description: &Element, media: MediaKind) -> Self {
        let mut out = Self {
            media,
            payload_types: Vec::new(),
            extensions: Vec::new(),
        };
        for child in description.children() {
            match (child.name(), child.ns()) {
                ("payload-type", ns::JINGLE_RTP) => out.payload_types.extend(read_payload(child)),
                ("rtp-hdrext", ns::RTP_HDREXT) => out.extensions.extend(read_extension(child)),
                _ => {}
            }
        }
        out
    }

    /// The extension of this URI, if there.
    #[must_use]
    pub fn extension(&self, uri: &str) -> Option<u8> {
        self.extensions
            .iter()
            .find_map(|e| (e.uri == uri).then_some(e.id))
    }

    pub(super) fn write_into(&self, description: &mut Element) {
        for payload in &self.payload_types {
            description.push(payload.to_element());
        }
        for extension in &self.extensions {
            description.push(write_extension(extension.id, &extension.uri));
        }
        description.push(Element::new("extmap-allow-mixed", ns::RTP_HDREXT));
        description.push(Element::new("rtcp-mux", ns::JINGLE_RTP));
    }
}

impl PayloadTypeOffer {
    pub(super) fn to_element(&self) -> Element {
        let mut out = Element::new("payload-type", ns::JINGLE_RTP)
            .with_attr("id", self.id.to_string())
            .with_attr("name", self.name.as_str())
            .with_attr("clockrate", self.clock_rate.to_string());
        if self.channels != 1 {
            out.set_attr("channels", self.channels.to_string());
        }
        for (name, value) in &self.parameters {
            out.push(
                Element::new("parameter", ns::JINGLE_RTP)
                    .with_attr_opt("name", Some(name.as_str()).filter(|n| !n.is_empty()))
                    .with_attr("value", value.as_str()),
            );
        }
        for (kind, subtype) in &self.feedback {
            out.push(
                Element::new("rtcp-fb", ns::RTCP_FB)
                    .with_attr("type", kind.as_str())
                    .with_attr_opt("subtype", subtype.as_deref()),
            );
        }
        out
    }
}

pub(super) fn write_extension(id: u8, uri: &str) -> Element {
    Element::new("rtp-hdrext", ns::RTP_HDREXT)
        .with_attr("id", id.to_string())
        .with_attr("uri", uri)
}

fn read_payload(element: &Element) -> Option<PayloadTypeOffer> {
    let text = |e: &Element, key: &str| e.attr(key).unwrap_or_default().to_owned();
    let id: u8 = element.attr("id")?.parse().ok()?;
    if id > 127 {
        return None;
    }
    Some(PayloadTypeOffer {
        id,
        name: element.attr("name")?.to_owned(),
        clock_rate: element.attr("clockrate")?.parse().ok()?,
        channels: element
            .attr("channels")
            .and_then(|c| c.parse().ok())
            .unwrap_or(1),
        parameters: element
            .children()
            .filter(|c| c.name() == "parameter")
            .map(|c| (text(c, "name"), text(c, "value")))
            .collect(),
        feedback: element
            .children()
            .filter(|c| c.is("rtcp-fb", ns::RTCP_FB))
            .map(|c| (text(c, "type"), c.attr("subtype").map(str::to_owned)))
            .collect(),
    })
}

fn read_extension(element: &Element) -> Option<ExtensionOffer> {
    Some(ExtensionOffer {
        id: element.attr("id")?.parse().ok()?,
        uri: element.attr("uri")?.to_owned(),
    })
}
