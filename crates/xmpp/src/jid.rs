use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// The longest part of an address, in bytes (RFC 7622 §3).
const MAX_PART: usize = 1023;

/// An XMPP address, bare (`node@domain`, `domain`) or full (with `/resource`). Node and domain are
/// lower-cased, so addresses compare by their text. Cloning is cheap.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Jid {
    text: Arc<str>,
    /// Length of the node; `None` without one.
    node: Option<usize>,
    /// Length of the text before the slash; `None` without a resource.
    bare: Option<usize>,
}

/// Why a text is not an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JidError {
    /// A part is there but has no characters.
    #[error("a part of the address is empty")]
    Empty,
    /// A part is longer than 1,023 bytes.
    #[error("a part of the address is too long")]
    TooLong,
    /// A part has a character it must not have.
    #[error("character {0:?} may not stand in the address")]
    Character(char),
}

impl Jid {
    /// Reads an address.
    ///
    /// # Errors
    /// [`JidError`] when it is none.
    pub fn parse(text: &str) -> Result<Self, JidError> {
        let (bare, resource) = match text.split_once('/') {
            Some((bare, resource)) => (bare, Some(resource)),
            None => (text, None),
        };
        let (node, domain) = match bare.split_once('@') {
            Some((node, domain)) => (Some(node), domain),
            None => (None, bare),
        };
        Self::from_parts(node, domain, resource)
    }

    /// Puts an address together from its parts.
    ///
    /// # Errors
    /// [`JidError`] when a part is not valid.
    pub fn from_parts(
        node: Option<&str>,
        domain: &str,
        resource: Option<&str>,
    ) -> Result<Self, JidError> {
        let forbidden = |c: char| {
            c.is_whitespace()
                || c.is_control()
                || matches!(c, '"' | '&' | '\'' | '/' | ':' | '<' | '>' | '@')
        };
        // An address of a host may carry a port or be an IPv6 literal.
        let forbidden_in_domain = |c: char| c != ':' && forbidden(c);
        if let Some(node) = node {
            check(node, forbidden)?;
        }
        check(domain, forbidden_in_domain)?;
        if let Some(resource) = resource {
            check(resource, char::is_control)?;
        }
        let mut text = String::with_capacity(64);
        if let Some(node) = node {
            push_lower(node, &mut text);
            text.push('@');
        }
        let node = node.map(|_| text.len().saturating_sub(1));
        push_lower(domain, &mut text);
        let bare = resource.map(|resource| {
            let bare = text.len();
            text.push('/');
            text.push_str(resource);
            bare
        });
        Ok(Self {
            text: text.into(),
            node,
            bare,
        })
    }

    /// The whole text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Before the `@`.
    #[must_use]
    pub fn node(&self) -> Option<&str> {
        self.node.and_then(|end| self.text.get(..end))
    }

    /// Between `@` and `/`.
    #[must_use]
    pub fn domain(&self) -> &str {
        let start = self.node.map_or(0, |end| end.saturating_add(1));
        self.bare_str().get(start..).unwrap_or_default()
    }

    /// After the `/`.
    #[must_use]
    pub fn resource(&self) -> Option<&str> {
        self.bare
            .and_then(|end| self.text.get(end.saturating_add(1)..))
    }

    /// The text without the resource.
    #[must_use]
    pub fn bare_str(&self) -> &str {
        match self.bare {
            Some(end) => self.text.get(..end).unwrap_or_default(),
            None => &self.text,
        }
    }

    /// The address without its resource.
    #[must_use]
    pub fn bare(&self) -> Self {
        if self.bare.is_none() {
            return self.clone();
        }
        Self {
            text: self.bare_str().into(),
            node: self.node,
            bare: None,
        }
    }

    /// The address with another resource.
    ///
    /// # Errors
    /// [`JidError`] when `resource` cannot be one.
    pub fn with_resource(&self, resource: &str) -> Result<Self, JidError> {
        Self::from_parts(self.node(), self.domain(), Some(resource))
    }

    /// Whether it has a resource.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.bare.is_some()
    }
}

fn check(part: &str, forbidden: impl Fn(char) -> bool) -> Result<(), JidError> {
    if part.is_empty() {
        return Err(JidError::Empty);
    }
    if part.len() > MAX_PART {
        return Err(JidError::TooLong);
    }
    match part.chars().find(|c| forbidden(*c)) {
        Some(c) => Err(JidError::Character(c)),
        None => Ok(()),
    }
}

fn push_lower(part: &str, out: &mut String) {
    if part
        .bytes()
        .all(|b| b.is_ascii() && !b.is_ascii_uppercase())
    {
        out.push_str(part);
    } else {
        out.push_str(&part.to_lowercase());
    }
}

impl PartialEq for Jid {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Jid {}

impl PartialOrd for Jid {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Jid {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.text.cmp(&other.text)
    }
}

impl std::hash::Hash for Jid {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

impl fmt::Display for Jid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Jid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::str::FromStr for Jid {
    type Err = JidError;

    fn from_str(text: &str) -> Result<Self, JidError> {
        Self::parse(text)
    }
}

impl TryFrom<String> for Jid {
    type Error = JidError;

    fn try_from(text: String) -> Result<Self, JidError> {
        Self::parse(&text)
    }
}

impl From<Jid> for String {
    fn from(jid: Jid) -> Self {
        jid.text.as_ref().to_owned()
    }
}

impl From<&Jid> for String {
    fn from(jid: &Jid) -> Self {
        jid.text.as_ref().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_come_apart_and_together() {
        for (text, node, domain, resource) in [
            ("meet.jitsi", None, "meet.jitsi", None),
            ("a@meet.jitsi", Some("a"), "meet.jitsi", None),
            (
                "my%20room@muc.meet.jitsi/4a1f09c2",
                Some("my%20room"),
                "muc.meet.jitsi",
                Some("4a1f09c2"),
            ),
            ("meet.jitsi/a@b/c", None, "meet.jitsi", Some("a@b/c")),
        ] {
            let jid = Jid::parse(text).unwrap();
            assert_eq!(
                (jid.node(), jid.domain(), jid.resource()),
                (node, domain, resource)
            );
            assert_eq!(jid.to_string(), text);
            assert!(!jid.bare().is_full());
            assert_eq!(jid.bare().bare(), jid.bare());
            let json = serde_json::to_string(&jid).unwrap();
            assert_eq!(serde_json::from_str::<Jid>(&json).unwrap(), jid);
        }
    }

    #[test]
    fn node_and_domain_ignore_case_and_the_resource_does_not() {
        assert_eq!(Jid::parse("A@B/C").unwrap().as_str(), "a@b/C");
        assert_eq!(Jid::parse("ÄÖ@B").unwrap().as_str(), "äö@b");
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for bad in [
            "",
            "@",
            "a@",
            "@b",
            "a@b/",
            "/c",
            "a b@c",
            "a@b@c",
            "a@b/\u{7}",
            "a@<",
        ] {
            assert!(Jid::parse(bad).is_err(), "{bad}");
        }
        assert_eq!(Jid::parse(&"a".repeat(1024)), Err(JidError::TooLong));
    }
}
