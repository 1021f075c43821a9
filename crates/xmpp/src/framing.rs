//! XMPP over WebSocket (RFC 7395): the frames that are not stanzas, byte for byte as stock clients
//! recognise them (protocol 1 §4).

use crate::element::{Element, ParseError, escape_attribute, escape_text};
use crate::ns;

/// The only spelling of a close frame that stock clients recognise.
pub const CLOSE: &str = r#"<close xmlns="urn:ietf:params:xml:ns:xmpp-framing" />"#;

/// Login succeeded.
pub const SUCCESS: &str = r#"<success xmlns="urn:ietf:params:xml:ns:xmpp-sasl"/>"#;

/// The server's stream start. Stock clients test that their first frame begins with `<open `.
#[must_use]
pub fn open_frame(from: &str, id: &str) -> String {
    let mut out = String::from(r#"<open xmlns="urn:ietf:params:xml:ns:xmpp-framing" from=""#);
    escape_attribute(from, &mut out);
    out.push_str("\" id=\"");
    escape_attribute(id, &mut out);
    out.push_str(r#"" version="1.0" xml:lang="en"/>"#);
    out
}

/// The client's stream start.
#[must_use]
pub fn client_open_frame(to: &str) -> String {
    let mut out = String::from(r#"<open xmlns="urn:ietf:params:xml:ns:xmpp-framing" to=""#);
    escape_attribute(to, &mut out);
    out.push_str(r#"" version="1.0"/>"#);
    out
}

/// What may be done before login: the names of SASL mechanisms.
#[must_use]
pub fn features_before_auth(mechanisms: &[&str]) -> String {
    let mut out = String::from(
        r#"<stream:features xmlns:stream="http://etherx.jabber.org/streams"><mechanisms xmlns="urn:ietf:params:xml:ns:xmpp-sasl">"#,
    );
    for mechanism in mechanisms {
        out.push_str("<mechanism>");
        escape_text(mechanism, &mut out);
        out.push_str("</mechanism>");
    }
    out.push_str("</mechanisms></stream:features>");
    out
}

/// What may be done after login: binding, and stream management where a session may outlive its
/// connection. Binding is there on a stream that will be resumed, too: stock clients insist.
#[must_use]
pub const fn features_after_auth(stream_management: bool) -> &'static str {
    if stream_management {
        r#"<stream:features xmlns:stream="http://etherx.jabber.org/streams"><bind xmlns="urn:ietf:params:xml:ns:xmpp-bind"/><sm xmlns="urn:xmpp:sm:3"/></stream:features>"#
    } else {
        r#"<stream:features xmlns:stream="http://etherx.jabber.org/streams"><bind xmlns="urn:ietf:params:xml:ns:xmpp-bind"/></stream:features>"#
    }
}

/// Login failed. The main client takes the text from the raw frame with a strict pattern
/// (protocol 1 §7.2), so its shape is fixed.
#[must_use]
pub fn sasl_failure(condition: SaslCondition, text: Option<&str>) -> String {
    let mut out = String::from("<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><");
    out.push_str(condition.as_str());
    out.push_str("/>");
    if let Some(text) = text {
        out.push_str("<text>");
        escape_text(text, &mut out);
        out.push_str("</text>");
    }
    out.push_str("</failure>");
    out
}

/// A stream error. It makes clients forget how to resume, so it is sent only when they must not.
#[must_use]
pub fn stream_error(condition: StreamCondition) -> String {
    format!(
        r#"<stream:error xmlns:stream="http://etherx.jabber.org/streams"><{} xmlns="urn:ietf:params:xml:ns:xmpp-streams"/></stream:error>"#,
        condition.as_str()
    )
}

/// The stream error for a client that acknowledges what it was never sent (XEP-0198 §6).
#[must_use]
pub fn handled_too_many(handled: u32, sent: u32) -> String {
    format!(
        r#"<stream:error xmlns:stream="http://etherx.jabber.org/streams"><undefined-condition xmlns="urn:ietf:params:xml:ns:xmpp-streams"/><handled-count-too-high xmlns="urn:xmpp:sm:3" h="{handled}" send-count="{sent}"/></stream:error>"#
    )
}

/// Whether a frame starts a stream.
#[must_use]
pub fn is_open(frame: &Element) -> bool {
    frame.is("open", ns::FRAMING)
}

/// Whether a frame ends a stream.
#[must_use]
pub fn is_close(frame: &Element) -> bool {
    frame.is("close", ns::FRAMING)
}

wire_names! {
    /// Why a login failed (RFC 6120 §6.5).
    SaslCondition {
        /// The client gave up.
        Aborted = "aborted",
        /// The data could not be decoded.
        IncorrectEncoding = "incorrect-encoding",
        /// No such mechanism here.
        InvalidMechanism = "invalid-mechanism",
        /// The request makes no sense.
        MalformedRequest = "malformed-request",
        /// Refused with a reason; how the main client expects token errors.
        NotAllowed = "not-allowed",
        /// Wrong name or password.
        NotAuthorized = "not-authorized",
        /// Our fault.
        TemporaryAuthFailure = "temporary-auth-failure",
    }
}

wire_names! {
    /// Why a stream ended (RFC 6120 §4.9.3).
    StreamCondition {
        /// Not what we expect here.
        BadFormat = "bad-format",
        /// A prefix is not bound.
        BadNamespacePrefix = "bad-namespace-prefix",
        /// Replaced by another session.
        Conflict = "conflict",
        /// Silent for too long.
        ConnectionTimeout = "connection-timeout",
        /// Not our domain.
        HostUnknown = "host-unknown",
        /// `to` is missing.
        ImproperAddressing = "improper-addressing",
        /// Our fault.
        InternalServerError = "internal-server-error",
        /// The sender claims to be somebody else.
        InvalidFrom = "invalid-from",
        /// Known name, wrong namespace.
        InvalidNamespace = "invalid-namespace",
        /// Stanza before login or binding.
        NotAuthorized = "not-authorized",
        /// Not well-formed XML.
        NotWellFormed = "not-well-formed",
        /// Too long, too deep, too many attempts.
        PolicyViolation = "policy-violation",
        /// Out of something.
        ResourceConstraint = "resource-constraint",
        /// Comment, DTD, processing instruction.
        RestrictedXml = "restricted-xml",
        /// We are going down.
        SystemShutdown = "system-shutdown",
        /// See the application's own child.
        UndefinedCondition = "undefined-condition",
        /// An element we do not know at this level.
        UnsupportedStanzaType = "unsupported-stanza-type",
        /// Not version 1.0.
        UnsupportedVersion = "unsupported-version",
    }
}

impl StreamCondition {
    /// What a frame that cannot be read ends the stream with.
    #[must_use]
    pub const fn of(error: &ParseError) -> Self {
        match error {
            ParseError::TooLong(_)
            | ParseError::TooDeep
            | ParseError::TooManyElements
            | ParseError::TooManyAttributes
            | ParseError::TooMuchByPrefix => Self::PolicyViolation,
            ParseError::Restricted(_) => Self::RestrictedXml,
            ParseError::UnboundPrefix(_) => Self::BadNamespacePrefix,
            ParseError::DuplicateAttribute(_)
            | ParseError::NotWellFormed(_)
            | ParseError::NotOneElement => Self::NotWellFormed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::element::{Limits, parse};

    #[test]
    fn frames_are_byte_exact() {
        assert_eq!(
            open_frame("meet.example", "s1"),
            r#"<open xmlns="urn:ietf:params:xml:ns:xmpp-framing" from="meet.example" id="s1" version="1.0" xml:lang="en"/>"#
        );
        assert_eq!(
            features_before_auth(&["ANONYMOUS"]),
            r#"<stream:features xmlns:stream="http://etherx.jabber.org/streams"><mechanisms xmlns="urn:ietf:params:xml:ns:xmpp-sasl"><mechanism>ANONYMOUS</mechanism></mechanisms></stream:features>"#
        );
        assert_eq!(
            sasl_failure(SaslCondition::NotAllowed, Some("token required")),
            "<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><not-allowed/><text>token required</text></failure>"
        );
        assert_eq!(
            stream_error(StreamCondition::Conflict),
            r#"<stream:error xmlns:stream="http://etherx.jabber.org/streams"><conflict xmlns="urn:ietf:params:xml:ns:xmpp-streams"/></stream:error>"#
        );
    }

    #[test]
    fn every_frame_is_one_element() {
        for frame in [
            CLOSE,
            SUCCESS,
            features_after_auth(false),
            features_after_auth(true),
            &handled_too_many(7, 3),
            &open_frame("a<b", "\""),
            &client_open_frame("meet.example"),
            &features_before_auth(&["A", "B"]),
            &sasl_failure(SaslCondition::NotAuthorized, None),
            &stream_error(StreamCondition::InvalidFrom),
        ] {
            parse(frame, &Limits::default()).unwrap();
        }
        assert!(is_close(&parse(CLOSE, &Limits::default()).unwrap()));
        assert!(is_open(
            &parse(&client_open_frame("d"), &Limits::default()).unwrap()
        ));
    }
}
