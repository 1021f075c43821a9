use super::{Element, Node};
use std::sync::Arc;

impl Element {
    /// The element as a document of its own.
    #[must_use]
    pub fn to_xml(&self) -> String {
        let mut out = String::with_capacity(256);
        self.write_inside(&mut out, "");
        out
    }

    /// Appends the element to a document being written inside an element of namespace
    /// `parent_ns`, which is what decides whether it needs an `xmlns`.
    pub fn write_inside(&self, out: &mut String, parent_ns: &str) {
        self.write_head(out, parent_ns, |_| true);
        self.write_tail(out);
    }

    fn write_head(&self, out: &mut String, parent_ns: &str, keep: impl Fn(&str) -> bool) {
        out.push('<');
        out.push_str(&self.name);
        if self.ns() != parent_ns {
            out.push_str(" xmlns=\"");
            escape_attribute(self.ns(), out);
            out.push('"');
        }
        for (index, (key, value)) in self.attrs.iter().enumerate() {
            if !keep(key) {
                continue;
            }
            out.push(' ');
            match key.strip_prefix('{').and_then(|rest| rest.rsplit_once('}')) {
                Some((ns, local)) => {
                    let prefix = format!("a{index}");
                    out.push_str("xmlns:");
                    out.push_str(&prefix);
                    out.push_str("=\"");
                    escape_attribute(ns, out);
                    out.push_str("\" ");
                    out.push_str(&prefix);
                    out.push(':');
                    out.push_str(local);
                }
                None => out.push_str(key),
            }
            out.push_str("=\"");
            escape_attribute(value, out);
            out.push('"');
        }
    }

    fn write_tail(&self, out: &mut String) {
        if self.nodes.is_empty() {
            out.push_str("/>");
            return;
        }
        out.push('>');
        for node in &self.nodes {
            match node {
                Node::Element(child) => child.write_inside(out, self.ns()),
                Node::Text(text) => escape_text(text, out),
            }
        }
        out.push_str("</");
        out.push_str(&self.name);
        out.push('>');
    }
}

/// A stanza written once without `to`, for many receivers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    xml: Arc<str>,
    /// Where in `xml` a `to` attribute can be put: a char boundary right after the element's name.
    splice_at: usize,
}

impl Rendered {
    /// Writes `stanza`, leaving out its `to` if it has one.
    #[must_use]
    pub fn new(stanza: &Element) -> Self {
        let mut xml = String::with_capacity(1024);
        stanza.write_head(&mut xml, "", |key| key != "to");
        stanza.write_tail(&mut xml);
        Self {
            xml: xml.into(),
            splice_at: stanza.name.len().saturating_add(1),
        }
    }

    /// The stanza without `to`: the same allocation for every receiver.
    #[must_use]
    pub const fn xml(&self) -> &Arc<str> {
        &self.xml
    }

    /// The stanza with `to` put in.
    #[must_use]
    pub fn with_to(&self, to: &str) -> String {
        let mut out =
            String::with_capacity(self.xml.len().saturating_add(to.len()).saturating_add(16));
        let (head, tail) = self
            .xml
            .split_at_checked(self.splice_at)
            .unwrap_or((&self.xml, ""));
        out.push_str(head);
        out.push_str(" to=\"");
        escape_attribute(to, &mut out);
        out.push('"');
        out.push_str(tail);
        out
    }
}

/// Appends `text` as character data.
pub(crate) fn escape_text(text: &str, out: &mut String) {
    escape(text, out, |byte| match byte {
        b'&' => Some("&amp;"),
        b'<' => Some("&lt;"),
        b'>' => Some("&gt;"),
        b'\r' => Some("&#13;"),
        b'\t' | b'\n' => None,
        0..0x20 => Some("\u{fffd}"),
        _ => None,
    });
}

/// Appends `value` for use between quotation marks of either kind.
pub(crate) fn escape_attribute(value: &str, out: &mut String) {
    escape(value, out, |byte| match byte {
        b'&' => Some("&amp;"),
        b'<' => Some("&lt;"),
        b'>' => Some("&gt;"),
        b'"' => Some("&quot;"),
        b'\'' => Some("&apos;"),
        b'\r' => Some("&#13;"),
        b'\n' => Some("&#10;"),
        b'\t' => Some("&#9;"),
        0..0x20 => Some("\u{fffd}"),
        _ => None,
    });
}

/// Characters that XML cannot carry at all become U+FFFD: a display name must not break a frame.
fn escape(text: &str, out: &mut String, special: impl Fn(u8) -> Option<&'static str>) {
    let mut rest = text;
    while let Some((at, length, replacement)) = next_special(rest, &special) {
        let (clean, tail) = rest.split_at_checked(at).unwrap_or((rest, ""));
        out.push_str(clean);
        out.push_str(replacement);
        rest = tail.get(length..).unwrap_or("");
    }
    out.push_str(rest);
}

fn next_special(
    text: &str,
    special: &impl Fn(u8) -> Option<&'static str>,
) -> Option<(usize, usize, &'static str)> {
    let bytes = text.as_bytes();
    bytes.iter().enumerate().find_map(|(at, &byte)| {
        if let Some(replacement) = special(byte) {
            return Some((at, 1, replacement));
        }
        // U+FFFE and U+FFFF are EF BF BE and EF BF BF.
        let noncharacter =
            byte == 0xef && matches!(bytes.get(at..), Some([0xef, 0xbf, 0xbe | 0xbf, ..]));
        noncharacter.then_some((at, 3, "\u{fffd}"))
    })
}
