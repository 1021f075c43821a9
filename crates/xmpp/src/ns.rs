//! Namespaces, one constant each, and the interned form in which an element holds its own.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

macro_rules! namespaces {
    ($($(#[$doc:meta])* $name:ident = $value:literal;)*) => {
        $($(#[$doc])* pub const $name: &str = $value;)*

        /// The constant equal to `value`, so that a parsed element need not own its namespace.
        fn known(value: &str) -> Option<&'static str> {
            match value {
                $($value => Some($name),)*
                _ => None,
            }
        }
    };
}

namespaces! {
    /// No namespace at all.
    NONE = "";
    /// Feature: reads that policy from the room's metadata.
    FEATURE_START_MUTED_METADATA = "http://jitsi.org/start-muted-room-metadata";
    /// Feature: breakout rooms can be renamed.
    BREAKOUT_RENAME = "http://jitsi.org/protocol/breakout_rooms#rename";
    /// Stanzas (RFC 6120).
    CLIENT = "jabber:client";
    /// `<stream:features>`, `<stream:error>`.
    STREAMS = "http://etherx.jabber.org/streams";
    /// WebSocket framing (RFC 7395).
    FRAMING = "urn:ietf:params:xml:ns:xmpp-framing";
    /// SASL (RFC 6120 §6).
    SASL = "urn:ietf:params:xml:ns:xmpp-sasl";
    /// Resource binding (RFC 6120 §7).
    BIND = "urn:ietf:params:xml:ns:xmpp-bind";
    /// The session request of RFC 3921, long obsolete.
    SESSION = "urn:ietf:params:xml:ns:xmpp-session";
    /// Stanza error conditions.
    STANZAS = "urn:ietf:params:xml:ns:xmpp-stanzas";
    /// Stream error conditions.
    STREAM_ERRORS = "urn:ietf:params:xml:ns:xmpp-streams";
    /// Stream management (XEP-0198).
    SM = "urn:xmpp:sm:3";
    /// The reserved `xml` prefix.
    XML = "http://www.w3.org/XML/1998/namespace";
    /// The reserved `xmlns` prefix.
    XMLNS = "http://www.w3.org/2000/xmlns/";
    /// BOSH (XEP-0124).
    HTTPBIND = "http://jabber.org/protocol/httpbind";
    /// XMPP over BOSH (XEP-0206).
    XBOSH = "urn:xmpp:xbosh";
    /// XEP-0199.
    PING = "urn:xmpp:ping";
    /// XEP-0030.
    DISCO_INFO = "http://jabber.org/protocol/disco#info";
    /// XEP-0030.
    DISCO_ITEMS = "http://jabber.org/protocol/disco#items";
    /// XEP-0115.
    CAPS = "http://jabber.org/protocol/caps";
    /// XEP-0390.
    CAPS2 = "urn:xmpp:caps";
    /// XEP-0215, current.
    EXTDISCO_2 = "urn:xmpp:extdisco:2";
    /// XEP-0215, older.
    EXTDISCO_1 = "urn:xmpp:extdisco:1";
    /// XEP-0004.
    DATA_FORMS = "jabber:x:data";
    /// XEP-0203.
    DELAY = "urn:xmpp:delay";
    /// XEP-0334.
    HINTS = "urn:xmpp:hints";
    /// XEP-0359.
    STANZA_ID = "urn:xmpp:sid:0";
    /// XEP-0172, display names.
    NICK = "http://jabber.org/protocol/nick";
    /// XEP-0045, joining.
    MUC = "http://jabber.org/protocol/muc";
    /// XEP-0045, what the room says.
    MUC_USER = "http://jabber.org/protocol/muc#user";
    /// XEP-0045, roles and affiliations.
    MUC_ADMIN = "http://jabber.org/protocol/muc#admin";
    /// XEP-0045, room configuration.
    MUC_OWNER = "http://jabber.org/protocol/muc#owner";
    /// XEP-0045, `FORM_TYPE` of room information.
    MUC_ROOMINFO = "http://jabber.org/protocol/muc#roominfo";
    /// XEP-0045, `FORM_TYPE` of room configuration.
    MUC_ROOMCONFIG = "http://jabber.org/protocol/muc#roomconfig";
    /// XEP-0424.
    RETRACT = "urn:xmpp:message-retract:1";
    /// XEP-0425.
    MODERATE = "urn:xmpp:message-moderate:1";
    /// XEP-0422.
    FASTEN = "urn:xmpp:fasten:0";
    /// XEP-0444.
    REACTIONS = "urn:xmpp:reactions:0";
    /// XEP-0461.
    REPLY = "urn:xmpp:reply:0";
    /// XEP-0428.
    FALLBACK = "urn:xmpp:fallback:0";
    /// XEP-0308.
    CORRECT = "urn:xmpp:message-correct:0";
    /// XEP-0166.
    JINGLE = "urn:xmpp:jingle:1";
    /// Jingle's own error conditions.
    JINGLE_ERRORS = "urn:xmpp:jingle:errors:1";
    /// XEP-0167.
    JINGLE_RTP = "urn:xmpp:jingle:apps:rtp:1";
    /// Caps feature: the client takes audio.
    JINGLE_RTP_AUDIO = "urn:xmpp:jingle:apps:rtp:audio";
    /// Caps feature: the client takes video.
    JINGLE_RTP_VIDEO = "urn:xmpp:jingle:apps:rtp:video";
    /// XEP-0293.
    RTCP_FB = "urn:xmpp:jingle:apps:rtp:rtcp-fb:0";
    /// XEP-0294.
    RTP_HDREXT = "urn:xmpp:jingle:apps:rtp:rtp-hdrext:0";
    /// XEP-0339.
    SSMA = "urn:xmpp:jingle:apps:rtp:ssma:0";
    /// XEP-0176.
    ICE_UDP = "urn:xmpp:jingle:transports:ice-udp:1";
    /// XEP-0320.
    DTLS = "urn:xmpp:jingle:apps:dtls:0";
    /// XEP-0343.
    DTLS_SCTP = "urn:xmpp:jingle:transports:dtls-sctp:1";
    /// XEP-0338.
    GROUPING = "urn:xmpp:jingle:apps:grouping:0";
    /// Caps feature: RTX (RFC 4588).
    RFC4588 = "urn:ietf:rfc:4588";
    /// `json-message`, `ssrc-info` and much else.
    JITMEET = "http://jitsi.org/jitmeet";
    /// Mute requests for audio.
    JITMEET_AUDIO = "http://jitsi.org/jitmeet/audio";
    /// Mute requests for video.
    JITMEET_VIDEO = "http://jitsi.org/jitmeet/video";
    /// Mute requests for screen shares.
    JITMEET_DESKTOP = "http://jitsi.org/jitmeet/desktop";
    /// Start-muted policy.
    START_MUTED = "http://jitsi.org/jitmeet/start-muted";
    /// Shared document address.
    ETHERPAD = "http://jitsi.org/jitmeet/etherpad";
    /// Conference request, `bridge-session`, `conference-properties`.
    FOCUS = "http://jitsi.org/protocol/focus";
    /// `web-socket` in a transport.
    COLIBRI = "http://jitsi.org/protocol/colibri";
    /// `initial-last-n`.
    COLIBRI2 = "jitsi:colibri2";
    /// `traceparent`.
    OPENTELEMETRY = "jitsi:opentelemetry";
    /// Region and similar presence children.
    JITSI_MEET = "http://jitsi.org/jitsi-meet";
    /// Display names of history messages.
    DISPLAY_NAME = "http://jitsi.org/protocol/display-name";
    /// Recording and streaming.
    JIBRI = "http://jitsi.org/protocol/jibri";
    /// Caps feature: remote sources as JSON.
    FEATURE_JSON_SOURCES = "http://jitsi.org/json-encoded-sources";
    /// Caps feature: the bridge maps sources onto a fixed set of SSRCs.
    FEATURE_SSRC_REWRITING = "http://jitsi.org/ssrc-rewriting-1";
    /// Caps feature: transport-wide congestion control.
    FEATURE_TCC = "http://jitsi.org/tcc";
    /// Caps feature: receiver-estimated bandwidth.
    FEATURE_REMB = "http://jitsi.org/remb";
    /// Caps feature: redundant audio.
    FEATURE_OPUS_RED = "http://jitsi.org/opus-red";
    /// Caps feature: the client understands visitors.
    FEATURE_VISITORS = "http://jitsi.org/visitors-1";
    /// Caps feature: end-to-end encryption.
    FEATURE_E2EE = "https://jitsi.org/meet/e2ee";
}

/// A namespace as an element holds it: one of the constants, or shared text. Cloning is cheap.
#[derive(Clone)]
pub struct Namespace(Repr);

#[derive(Clone)]
enum Repr {
    Known(&'static str),
    Other(Arc<str>),
}

impl Namespace {
    /// From text that need not outlive the call.
    #[must_use]
    pub fn intern(value: &str) -> Self {
        Self(known(value).map_or_else(|| Repr::Other(value.into()), Repr::Known))
    }

    /// The namespace name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Repr::Known(value) => value,
            Repr::Other(value) => value,
        }
    }
}

impl From<&'static str> for Namespace {
    fn from(value: &'static str) -> Self {
        Self(Repr::Known(value))
    }
}

impl From<String> for Namespace {
    fn from(value: String) -> Self {
        Self::intern(&value)
    }
}

impl From<&Self> for Namespace {
    fn from(value: &Self) -> Self {
        value.clone()
    }
}

impl Deref for Namespace {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl PartialEq for Namespace {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Namespace {}

impl fmt::Debug for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}
