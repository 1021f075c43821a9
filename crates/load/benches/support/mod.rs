//! What measuring programs have in common: a server beside them, and what a client of it says.
#![allow(dead_code, reason = "each bench uses a part of it")]

pub(crate) mod server;

/// What stock clients say they can do (disco#info), as an answer to whoever asked.
pub(crate) fn abilities(id: &str, to: &str, name: &str) -> String {
    let features: String = [
        "urn:xmpp:jingle:1",
        "urn:xmpp:jingle:apps:rtp:1",
        "urn:xmpp:jingle:apps:rtp:audio",
        "urn:xmpp:jingle:apps:rtp:video",
        "urn:xmpp:jingle:transports:ice-udp:1",
        "urn:xmpp:jingle:apps:dtls:0",
        "urn:ietf:rfc:4588",
        "http://jitsi.org/tcc",
        "http://jitsi.org/source-name",
        "http://jitsi.org/receive-multiple-video-streams",
        "http://jitsi.org/ssrc-rewriting-1",
        "http://jitsi.org/json-encoded-sources",
    ]
    .iter()
    .map(|feature| format!(r#"<feature var="{feature}"/>"#))
    .collect();
    format!(
        r#"<iq xmlns="jabber:client" type="result" id="{id}" to="{to}"><query xmlns="http://jabber.org/protocol/disco#info"><identity category="client" type="web" name="{name}"/>{features}</query></iq>"#
    )
}

/// An answer without anything in it.
pub(crate) fn acknowledgement(id: &str, to: &str) -> String {
    format!(r#"<iq xmlns="jabber:client" type="result" id="{id}" to="{to}"/>"#)
}
