//! Stanzas: what kind an element is, and answers to it.

use crate::element::Element;
use crate::ns;

/// The three kinds of stanza.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A question or its answer.
    Iq,
    /// Something said.
    Message,
    /// Somebody's state.
    Presence,
}

impl Kind {
    /// The kind of a stanza; `None` for anything else, a foreign namespace included.
    #[must_use]
    pub fn of(element: &Element) -> Option<Self> {
        if element.ns() != ns::CLIENT {
            return None;
        }
        match element.name() {
            "iq" => Some(Self::Iq),
            "message" => Some(Self::Message),
            "presence" => Some(Self::Presence),
            _ => None,
        }
    }
}

/// The `type` of an `<iq>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IqType {
    /// Asks for information.
    Get,
    /// Asks for a change.
    Set,
    /// Answers.
    Result,
    /// Refuses.
    Error,
}

impl IqType {
    /// As written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Set => "set",
            Self::Result => "result",
            Self::Error => "error",
        }
    }

    /// As read.
    #[must_use]
    pub fn parse(value: &str) -> Option<Self> {
        match value {
            "get" => Some(Self::Get),
            "set" => Some(Self::Set),
            "result" => Some(Self::Result),
            "error" => Some(Self::Error),
            _ => None,
        }
    }

    /// The type of an `<iq>`; `None` for anything else or an unknown type.
    #[must_use]
    pub fn of(element: &Element) -> Option<Self> {
        match Kind::of(element)? {
            Kind::Iq => Self::parse(element.attr("type")?),
            Kind::Message | Kind::Presence => None,
        }
    }

    /// Whether it needs an answer.
    #[must_use]
    pub const fn is_request(self) -> bool {
        matches!(self, Self::Get | Self::Set)
    }
}

/// An `<iq>` without payload.
#[must_use]
pub fn iq(kind: IqType, id: &str, from: Option<&str>, to: Option<&str>) -> Element {
    Element::new("iq", ns::CLIENT)
        .with_attr("type", kind.as_str())
        .with_attr("id", id)
        .with_attr_opt("from", from)
        .with_attr_opt("to", to)
}

/// An empty `<message>`; `kind` is its `type`, if it shall have one.
#[must_use]
pub fn message(kind: Option<&str>, from: Option<&str>, to: Option<&str>) -> Element {
    Element::new("message", ns::CLIENT)
        .with_attr_opt("type", kind)
        .with_attr_opt("from", from)
        .with_attr_opt("to", to)
}

/// An empty `<presence>`. Available presence has no `type` at all (protocol 1 §6).
#[must_use]
pub fn presence(kind: Option<&str>, from: Option<&str>, to: Option<&str>) -> Element {
    Element::new("presence", ns::CLIENT)
        .with_attr_opt("type", kind)
        .with_attr_opt("from", from)
        .with_attr_opt("to", to)
}

/// The first child element of an IQ: what is asked or answered.
#[must_use]
pub fn payload(iq: &Element) -> Option<&Element> {
    iq.children().next()
}

/// The answer of type `result` to an IQ: same id, `from` and `to` swapped, no payload.
#[must_use]
pub fn result_reply(request: &Element) -> Element {
    reply(request, "result")
}

/// The refusal of any stanza, shaped as protocol 1 §6.8: same name and id, `from` and `to` swapped,
/// the condition first inside `<error>`, then the text, then the application's own child.
#[must_use]
pub fn error_reply(
    request: &Element,
    condition: Condition,
    kind: ErrorType,
    text: Option<&str>,
    application: Option<Element>,
) -> Element {
    reply(request, "error").with_child(error(condition, kind, text, application))
}

/// As [`error_reply`], with the type RFC 6120 §8.3.3 recommends for the condition.
#[must_use]
pub fn refuse(request: &Element, condition: Condition, text: Option<&str>) -> Element {
    error_reply(request, condition, condition.usual_type(), text, None)
}

fn reply(request: &Element, kind: &'static str) -> Element {
    Element::new(request.name().to_owned(), request.namespace())
        .with_attr("type", kind)
        .with_attr_opt("id", request.attr("id"))
        .with_attr_opt("from", request.attr("to"))
        .with_attr_opt("to", request.attr("from"))
}

/// An `<error>` element.
#[must_use]
pub fn error(
    condition: Condition,
    kind: ErrorType,
    text: Option<&str>,
    application: Option<Element>,
) -> Element {
    let mut error = Element::new("error", ns::CLIENT)
        .with_attr("type", kind.as_str())
        .with_child(Element::new(condition.as_str(), ns::STANZAS));
    if let Some(text) = text {
        error.push(Element::new("text", ns::STANZAS).with_text(text));
    }
    if let Some(application) = application {
        error.push(application);
    }
    error
}

/// An `<error>` as read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StanzaError {
    /// [`Condition::UndefinedCondition`] when none was recognised.
    pub condition: Condition,
    /// What to do about it, if it said.
    pub kind: Option<ErrorType>,
    /// Words for people.
    pub text: Option<String>,
}

impl StanzaError {
    /// Reads the `<error>` of a stanza of type `error`.
    #[must_use]
    pub fn of(stanza: &Element) -> Option<Self> {
        let error = stanza.child("error", ns::CLIENT)?;
        Some(Self {
            condition: error
                .children()
                .filter(|c| c.ns() == ns::STANZAS)
                .find_map(|c| Condition::parse(c.name()))
                .unwrap_or(Condition::UndefinedCondition),
            kind: error.attr("type").and_then(ErrorType::parse),
            text: error.child("text", ns::STANZAS).map(Element::text),
        })
    }
}

/// What the sender of a refused stanza may do (RFC 6120 §8.3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorType {
    /// Try again after logging in.
    Auth,
    /// Do not try again.
    Cancel,
    /// It was only a warning.
    Continue,
    /// Try again with other content.
    Modify,
    /// Try again later.
    Wait,
}

impl ErrorType {
    /// As written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::Cancel => "cancel",
            Self::Continue => "continue",
            Self::Modify => "modify",
            Self::Wait => "wait",
        }
    }

    /// As read.
    #[must_use]
    pub fn parse(value: &str) -> Option<Self> {
        match value {
            "auth" => Some(Self::Auth),
            "cancel" => Some(Self::Cancel),
            "continue" => Some(Self::Continue),
            "modify" => Some(Self::Modify),
            "wait" => Some(Self::Wait),
            _ => None,
        }
    }
}

macro_rules! conditions {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $kind:ident;)*) => {
        /// The conditions of RFC 6120 §8.3.3.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Condition {
            $($(#[$doc])* $name,)*
        }

        impl Condition {
            /// The element's name.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// By the element's name.
            #[must_use]
            pub fn parse(name: &str) -> Option<Self> {
                match name { $($text => Some(Self::$name),)* _ => None }
            }

            /// The type usually sent with it.
            #[must_use]
            pub const fn usual_type(self) -> ErrorType {
                match self { $(Self::$name => ErrorType::$kind,)* }
            }
        }
    };
}

conditions! {
    /// Malformed.
    BadRequest = "bad-request", Modify;
    /// The name is taken.
    Conflict = "conflict", Cancel;
    /// Not done here.
    FeatureNotImplemented = "feature-not-implemented", Cancel;
    /// The sender may not.
    Forbidden = "forbidden", Auth;
    /// No longer at this address.
    Gone = "gone", Cancel;
    /// Our fault.
    InternalServerError = "internal-server-error", Cancel;
    /// No such thing.
    ItemNotFound = "item-not-found", Cancel;
    /// That is no address.
    JidMalformed = "jid-malformed", Modify;
    /// Against our rules.
    NotAcceptable = "not-acceptable", Modify;
    /// Nobody may.
    NotAllowed = "not-allowed", Cancel;
    /// Log in first.
    NotAuthorized = "not-authorized", Auth;
    /// Too much.
    PolicyViolation = "policy-violation", Modify;
    /// Not there at the moment.
    RecipientUnavailable = "recipient-unavailable", Wait;
    /// Somewhere else.
    Redirect = "redirect", Modify;
    /// Members only.
    RegistrationRequired = "registration-required", Auth;
    /// No such domain.
    RemoteServerNotFound = "remote-server-not-found", Cancel;
    /// The other domain is slow.
    RemoteServerTimeout = "remote-server-timeout", Wait;
    /// Out of something.
    ResourceConstraint = "resource-constraint", Wait;
    /// Nobody there does that.
    ServiceUnavailable = "service-unavailable", Cancel;
    /// Ask for a subscription first.
    SubscriptionRequired = "subscription-required", Auth;
    /// See the application's own child.
    UndefinedCondition = "undefined-condition", Cancel;
    /// Not now.
    UnexpectedRequest = "unexpected-request", Wait;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::element::{Limits, parse};

    #[test]
    fn a_refusal_has_the_condition_first_and_its_own_namespaces() {
        let request = parse(
            r#"<iq xmlns="jabber:client" type="get" id="i&lt;1" from="a@b/c" to="d"><q xmlns="x"/></iq>"#,
            &Limits::default(),
        )
        .unwrap();
        let reply = error_reply(
            &request,
            Condition::ItemNotFound,
            ErrorType::Cancel,
            Some("no such thing"),
            Some(Element::new("session-invalid", ns::FOCUS)),
        );
        assert_eq!(
            reply.to_xml(),
            r#"<iq xmlns="jabber:client" type="error" id="i&lt;1" from="d" to="a@b/c"><error type="cancel"><item-not-found xmlns="urn:ietf:params:xml:ns:xmpp-stanzas"/><text xmlns="urn:ietf:params:xml:ns:xmpp-stanzas">no such thing</text><session-invalid xmlns="http://jitsi.org/protocol/focus"/></error></iq>"#
        );
        assert_eq!(
            StanzaError::of(&reply),
            Some(StanzaError {
                condition: Condition::ItemNotFound,
                kind: Some(ErrorType::Cancel),
                text: Some("no such thing".into()),
            })
        );
    }
}
