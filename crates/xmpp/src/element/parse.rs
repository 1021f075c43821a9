use super::Element;
use crate::ns::{self, Namespace};
use rxml::{Parse as _, RawEvent, RawParser, RawQName, WithOptions as _};
use std::borrow::Cow;

/// How many times [`Limits::bytes`] the namespaces of one document may take when every element and
/// attribute that needs its own is given it, as we write them: clients' documents stay far below 1.
const MAX_EXPANSION: usize = 2;

/// What one document may cost. The defaults fit the largest stanzas clients send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the document; 256 KiB by default, as the stock server.
    pub bytes: usize,
    /// Elements inside one another; 64 by default.
    pub depth: usize,
    /// Elements in all; 20,000 by default.
    pub elements: usize,
    /// Attributes of one element, namespace declarations included, and declarations in scope; 64
    /// by default.
    pub attributes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bytes: 256 * 1024,
            depth: 64,
            elements: 20_000,
            attributes: 64,
        }
    }
}

impl Limits {
    /// For what we wrote ourselves, such as snapshots: escaping may have made longer what came in
    /// within the limits.
    #[must_use]
    pub const fn trusted() -> Self {
        Self {
            bytes: usize::MAX,
            depth: 1024,
            elements: usize::MAX,
            attributes: usize::MAX,
        }
    }
}

/// Why a document was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Longer than [`Limits::bytes`].
    #[error("document of {0} bytes is too long")]
    TooLong(usize),
    /// Deeper than [`Limits::depth`].
    #[error("elements are nested too deep")]
    TooDeep,
    /// More elements than [`Limits::elements`].
    #[error("too many elements")]
    TooManyElements,
    /// More attributes or declarations than [`Limits::attributes`].
    #[error("too many attributes")]
    TooManyAttributes,
    /// Declared once and used often, its namespaces would be far longer written out than read.
    #[error("too much is said by namespace prefixes")]
    TooMuchByPrefix,
    /// XML declaration, DTD, processing instruction or comment.
    #[error("{0} not allowed")]
    Restricted(&'static str),
    /// A prefix that no declaration in scope binds, or a reserved namespace.
    #[error("namespace prefix {0:?} is not bound")]
    UnboundPrefix(String),
    /// The same attribute twice.
    #[error("attribute {0:?} is there twice")]
    DuplicateAttribute(String),
    /// Not well-formed XML.
    #[error("not well-formed: {0}")]
    NotWellFormed(String),
    /// Nothing but an element may stand in a frame.
    #[error("not exactly one element")]
    NotOneElement,
}

/// Reads exactly one element, which must begin with the first byte.
///
/// # Errors
/// [`ParseError`] tells the first thing wrong.
pub fn parse(xml: &str, limits: &Limits) -> Result<Element, ParseError> {
    if xml.len() > limits.bytes {
        return Err(ParseError::TooLong(xml.len()));
    }
    if !xml.starts_with('<') {
        return Err(ParseError::NotOneElement);
    }
    let options = rxml::Options {
        // The parser reserves this much at once, and no token is longer than the document.
        max_token_length: xml.len(),
        ..rxml::Options::default()
    };
    let mut parser = RawParser::with_options(options);
    let mut input = xml.as_bytes();
    let mut builder = Builder::new(limits);
    while let Some(event) = parser.parse(&mut input, true).map_err(|e| refuse(&e))? {
        builder.event(event)?;
    }
    builder.root.ok_or(ParseError::NotOneElement)
}

fn refuse(error: &rxml::error::EndOrError) -> ParseError {
    match error {
        rxml::error::EndOrError::Error(rxml::Error::RestrictedXml(what)) => {
            ParseError::Restricted(what)
        }
        rxml::error::EndOrError::Error(other) => ParseError::NotWellFormed(other.to_string()),
        rxml::error::EndOrError::NeedMoreData => ParseError::NotOneElement,
    }
}

struct Builder<'a> {
    limits: &'a Limits,
    /// Open elements, outermost first.
    open: Vec<Element>,
    /// The element whose head is being read.
    head: Option<(RawQName, Vec<(RawQName, String)>)>,
    /// Declarations in scope: prefix, namespace, and how many elements were open around it.
    scope: Vec<(Option<String>, Namespace, usize)>,
    elements: usize,
    /// Bytes of namespaces that were written out so far, see [`MAX_EXPANSION`].
    expanded: usize,
    root: Option<Element>,
}

impl<'a> Builder<'a> {
    const fn new(limits: &'a Limits) -> Self {
        Self {
            limits,
            open: Vec::new(),
            head: None,
            scope: Vec::new(),
            elements: 0,
            expanded: 0,
            root: None,
        }
    }

    fn event(&mut self, event: RawEvent) -> Result<(), ParseError> {
        match event {
            RawEvent::XmlDeclaration(..) => return Err(ParseError::Restricted("XML declaration")),
            RawEvent::ElementHeadOpen(_, name) => {
                self.elements = self.elements.saturating_add(1);
                if self.elements > self.limits.elements {
                    return Err(ParseError::TooManyElements);
                }
                if self.open.len() >= self.limits.depth {
                    return Err(ParseError::TooDeep);
                }
                self.head = Some((name, Vec::new()));
            }
            RawEvent::Attribute(_, name, value) => self.attribute(name, value)?,
            RawEvent::ElementHeadClose(_) => self.open_element()?,
            RawEvent::ElementFoot(_) => self.close_element(),
            RawEvent::Text(_, text) => {
                if let Some(parent) = self.open.last_mut() {
                    parent.push_text(text);
                }
            }
        }
        Ok(())
    }

    fn attribute(&mut self, name: RawQName, value: String) -> Result<(), ParseError> {
        let depth = self.open.len();
        let Some((_, attributes)) = &mut self.head else {
            return Ok(());
        };
        let declared = match &name {
            (None, local) if local.as_str() == "xmlns" => Some(None),
            (Some(prefix), local) if prefix.as_str() == "xmlns" => {
                Some(Some(local.as_str().to_owned()))
            }
            _ => None,
        };
        if let Some(prefix) = declared {
            if self
                .scope
                .iter()
                .any(|(p, _, d)| *d == depth && *p == prefix)
            {
                return Err(ParseError::DuplicateAttribute(format!(
                    "xmlns:{}",
                    prefix.unwrap_or_default()
                )));
            }
            if self.scope.len() >= self.limits.attributes {
                return Err(ParseError::TooManyAttributes);
            }
            self.scope.push((prefix, Namespace::intern(&value), depth));
        } else {
            if attributes.len() >= self.limits.attributes {
                return Err(ParseError::TooManyAttributes);
            }
            attributes.push((name, value));
        }
        Ok(())
    }

    fn open_element(&mut self) -> Result<(), ParseError> {
        let Some(((prefix, local), attributes)) = self.head.take() else {
            return Ok(());
        };
        let ns = self.resolve(prefix.as_ref().map(rxml::NcName::as_str))?;
        if matches!(ns.as_str(), ns::XML | ns::XMLNS) {
            return Err(ParseError::UnboundPrefix(ns.as_str().to_owned()));
        }
        if self
            .open
            .last()
            .is_none_or(|parent| parent.ns() != ns.as_str())
        {
            self.expand(&ns)?;
        }
        let mut element = Element::new(String::from(local), ns);
        element.attrs.reserve(attributes.len());
        for ((prefix, local), value) in attributes {
            let key: Cow<'static, str> = match prefix {
                None => String::from(local).into(),
                Some(prefix) if prefix.as_str() == "xml" => {
                    format!("xml:{}", local.as_str()).into()
                }
                Some(prefix) => {
                    let ns = self.resolve(Some(prefix.as_str()))?;
                    self.expand(&ns)?;
                    format!("{{{}}}{}", ns.as_str(), local.as_str()).into()
                }
            };
            if element.attr(&key).is_some() {
                return Err(ParseError::DuplicateAttribute(key.into_owned()));
            }
            element.attrs.push((key, value));
        }
        self.open.push(element);
        Ok(())
    }

    fn expand(&mut self, ns: &Namespace) -> Result<(), ParseError> {
        self.expanded = self.expanded.saturating_add(ns.as_str().len());
        if self.expanded > self.limits.bytes.saturating_mul(MAX_EXPANSION) {
            return Err(ParseError::TooMuchByPrefix);
        }
        Ok(())
    }

    fn close_element(&mut self) {
        let Some(element) = self.open.pop() else {
            return;
        };
        let depth = self.open.len();
        while self.scope.last().is_some_and(|(_, _, d)| *d >= depth) {
            self.scope.pop();
        }
        match self.open.last_mut() {
            Some(parent) => parent.push(element),
            None => self.root = Some(element),
        }
    }

    fn resolve(&self, prefix: Option<&str>) -> Result<Namespace, ParseError> {
        if prefix == Some("xml") {
            return Ok(ns::XML.into());
        }
        let bound = self
            .scope
            .iter()
            .rev()
            .find(|(p, ..)| p.as_deref() == prefix);
        match (bound, prefix) {
            (Some((_, ns, _)), _) => Ok(ns.clone()),
            (None, None) => Ok(ns::NONE.into()),
            (None, Some(prefix)) => Err(ParseError::UnboundPrefix(prefix.to_owned())),
        }
    }
}
