//! An owned XML tree with resolved namespaces, its writer and its reader.
//!
//! Clients find extension elements by a literal `xmlns` attribute and by their bare tag name
//! (protocol 1 §6), so the writer declares a default namespace wherever an element's differs from
//! its parent's and never uses a prefix for an element.

mod parse;
#[cfg(test)]
mod tests;
mod write;

pub use parse::{Limits, ParseError, parse};
pub use write::Rendered;
pub(crate) use write::{escape_attribute, escape_text};

use crate::ns::Namespace;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;
use std::fmt;

/// An element: name, namespace, attributes in order, and children (elements and text) in order.
///
/// Attributes without a prefix and those of the `xml` prefix are held under their written name
/// (`id`, `xml:lang`); an attribute of any other namespace is held as `{namespace}name` and
/// written with a prefix of its own.
#[derive(Clone, PartialEq, Eq)]
pub struct Element {
    name: Cow<'static, str>,
    ns: Namespace,
    attrs: Vec<(Cow<'static, str>, String)>,
    nodes: Vec<Node>,
}

/// A child of an element.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// A child element.
    Element(Element),
    /// Character data, unescaped.
    Text(String),
}

impl Element {
    /// An element without attributes or children.
    #[must_use]
    pub fn new(name: impl Into<Cow<'static, str>>, ns: impl Into<Namespace>) -> Self {
        Self {
            name: name.into(),
            ns: ns.into(),
            attrs: Vec::new(),
            nodes: Vec::new(),
        }
    }

    /// With an attribute set.
    #[must_use]
    pub fn with_attr(
        mut self,
        key: impl Into<Cow<'static, str>>,
        value: impl Into<String>,
    ) -> Self {
        self.set_attr(key, value);
        self
    }

    /// With an attribute set if there is a value for it.
    #[must_use]
    pub fn with_attr_opt(
        self,
        key: impl Into<Cow<'static, str>>,
        value: Option<impl Into<String>>,
    ) -> Self {
        match value {
            Some(value) => self.with_attr(key, value),
            None => self,
        }
    }

    /// With one more child at the end.
    #[must_use]
    pub fn with_child(mut self, child: Self) -> Self {
        self.push(child);
        self
    }

    /// With more children at the end.
    #[must_use]
    pub fn with_children(mut self, children: impl IntoIterator<Item = Self>) -> Self {
        self.nodes.extend(children.into_iter().map(Node::Element));
        self
    }

    /// With text at the end.
    #[must_use]
    pub fn with_text(mut self, text: impl Into<String>) -> Self {
        self.push_text(text);
        self
    }

    /// The local name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The namespace name; empty for none.
    #[must_use]
    pub fn ns(&self) -> &str {
        self.ns.as_str()
    }

    /// The namespace in the form that is cheap to clone.
    #[must_use]
    pub const fn namespace(&self) -> &Namespace {
        &self.ns
    }

    /// Whether name and namespace are these.
    #[must_use]
    pub fn is(&self, name: &str, ns: &str) -> bool {
        self.name == name && self.ns.as_str() == ns
    }

    /// The value of an attribute.
    #[must_use]
    pub fn attr(&self, key: &str) -> Option<&str> {
        self.attrs
            .iter()
            .find_map(|(k, v)| (k == key).then_some(v.as_str()))
    }

    /// Sets an attribute, in its place if it was there, at the end if not.
    pub fn set_attr(&mut self, key: impl Into<Cow<'static, str>>, value: impl Into<String>) {
        let key = key.into();
        match self.attrs.iter_mut().find(|(k, _)| *k == key) {
            Some((_, old)) => *old = value.into(),
            None => self.attrs.push((key, value.into())),
        }
    }

    /// Takes an attribute away and returns its value.
    pub fn remove_attr(&mut self, key: &str) -> Option<String> {
        let position = self.attrs.iter().position(|(k, _)| k == key)?;
        Some(self.attrs.remove(position).1)
    }

    /// Attributes in order.
    pub fn attrs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.attrs.iter().map(|(k, v)| (k.as_ref(), v.as_str()))
    }

    /// The first child element of this name and namespace.
    #[must_use]
    pub fn child(&self, name: &str, ns: &str) -> Option<&Self> {
        self.children().find(|c| c.is(name, ns))
    }

    /// The first child element of this name, whatever its namespace.
    #[must_use]
    pub fn child_named(&self, name: &str) -> Option<&Self> {
        self.children().find(|c| c.name == name)
    }

    /// The first child element of this name and namespace, to change it.
    pub fn child_mut(&mut self, name: &str, ns: &str) -> Option<&mut Self> {
        self.nodes.iter_mut().find_map(|node| match node {
            Node::Element(e) if e.is(name, ns) => Some(e),
            _ => None,
        })
    }

    /// Child elements in order.
    pub fn children(&self) -> impl Iterator<Item = &Self> {
        self.nodes.iter().filter_map(|node| match node {
            Node::Element(e) => Some(e),
            Node::Text(_) => None,
        })
    }

    /// Children in order, text included.
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The element's own text, joined; without that of its children.
    #[must_use]
    pub fn text(&self) -> String {
        let mut out = String::new();
        for node in &self.nodes {
            if let Node::Text(text) = node {
                out.push_str(text);
            }
        }
        out
    }

    /// Adds a child element at the end.
    pub fn push(&mut self, child: Self) {
        self.nodes.push(Node::Element(child));
    }

    /// Adds text at the end; text next to text becomes one, empty text nothing.
    pub fn push_text(&mut self, text: impl Into<String>) {
        let text = text.into();
        if text.is_empty() {
            return;
        }
        match self.nodes.last_mut() {
            Some(Node::Text(last)) => last.push_str(&text),
            _ => self.nodes.push(Node::Text(text)),
        }
    }

    /// Keeps the child elements for which `keep` holds; text stays.
    pub fn retain(&mut self, mut keep: impl FnMut(&Self) -> bool) {
        self.nodes.retain(|node| match node {
            Node::Element(e) => keep(e),
            Node::Text(_) => true,
        });
    }
}

impl fmt::Debug for Element {
    /// The shape only: text and attribute values may be personal data or passwords.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{} xmlns={:?}", self.name, self.ns)?;
        for (key, _) in &self.attrs {
            write!(f, " {key}")?;
        }
        f.write_str(">")?;
        f.debug_list().entries(self.children()).finish()
    }
}

/// As its XML text, so that snapshots and messages between nodes can carry stanzas.
impl Serialize for Element {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_xml())
    }
}

impl<'de> Deserialize<'de> for Element {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let xml = Cow::<'de, str>::deserialize(deserializer)?;
        parse(&xml, &Limits::trusted()).map_err(serde::de::Error::custom)
    }
}
