//! Offers, answers and sources of two clients, in each of the three ways sources are told.

use crate::harness::{Client, House, ROOM};
use althing_control::BridgeRequest;
use althing_xmpp::jingle::{Body, Jingle};
use althing_xmpp::{Element, ns};

const COMMON: &[&str] = &[
    "urn:xmpp:jingle:apps:rtp:audio",
    "urn:xmpp:jingle:apps:rtp:video",
    "urn:ietf:rfc:4588",
    "http://jitsi.org/tcc",
];
const JSON: &str = "http://jitsi.org/json-encoded-sources";
const REWRITING: &str = "http://jitsi.org/ssrc-rewriting-1";

impl Client {
    /// Answers the focus's question what it can do, then acknowledges the offer; its session id
    /// and the offer.
    pub(crate) async fn offered(&mut self, extra: &[&str]) -> (String, Element) {
        loop {
            let element = self.expect().await;
            let (id, from) = (
                element.attr("id").unwrap_or_default().to_owned(),
                element.attr("from").unwrap_or_default().to_owned(),
            );
            if element.child("query", ns::DISCO_INFO).is_some() {
                let features: String = COMMON
                    .iter()
                    .chain(extra)
                    .map(|f| format!(r#"<feature var="{f}"/>"#))
                    .collect();
                self.send(format!(r#"<iq xmlns="jabber:client" type="result" id="{id}" to="{from}"><query xmlns="http://jabber.org/protocol/disco#info">{features}</query></iq>"#)).await;
            } else if let Some(jingle) = element.child("jingle", ns::JINGLE) {
                assert_eq!(jingle.attr("action"), Some("session-initiate"));
                assert_eq!(from, format!("{ROOM}/focus"));
                assert_eq!(element.attr("to"), Some(self.jid.as_str()));
                self.send(format!(
                    r#"<iq xmlns="jabber:client" type="result" id="{id}" to="{from}"/>"#
                ))
                .await;
                return (jingle.attr("sid").unwrap().to_owned(), element);
            }
        }
    }

    pub(crate) async fn jingle(&mut self, action: &str, sid: &str, contents: &str) -> Element {
        let payload = format!(
            r#"<jingle xmlns="urn:xmpp:jingle:1" action="{action}" sid="{sid}" initiator="{ROOM}/focus" responder="{}">{contents}</jingle>"#,
            self.jid
        );
        self.ask("set", Some(&format!("{ROOM}/focus")), &payload)
            .await
    }

    pub(crate) fn audio(&self, ssrc: u32) -> String {
        let nick = &self.nick;
        format!(
            r#"<content creator="responder" name="audio" senders="both"><description xmlns="urn:xmpp:jingle:apps:rtp:1" media="audio"><payload-type id="111" name="opus" clockrate="48000" channels="2"/><source xmlns="urn:xmpp:jingle:apps:rtp:ssma:0" ssrc="{ssrc}" name="{nick}-a0"><parameter name="msid" value="{nick}-audio-0-1 t{ssrc}"/></source></description><transport xmlns="urn:xmpp:jingle:transports:ice-udp:1" ufrag="Gj36" pwd="mBjHDoDCnIn4vGu"><fingerprint xmlns="urn:xmpp:jingle:apps:dtls:0" hash="sha-256" setup="active">26:D5</fingerprint></transport></content>"#
        )
    }

    pub(crate) fn share(&self, ssrc: u32) -> String {
        let nick = &self.nick;
        let rtx = ssrc + 1;
        format!(
            r#"<content name="video"><description xmlns="urn:xmpp:jingle:apps:rtp:1" media="video"><source xmlns="urn:xmpp:jingle:apps:rtp:ssma:0" ssrc="{ssrc}" name="{nick}-v1" videoType="desktop"><parameter name="msid" value="{nick}-video-1 s"/></source><source xmlns="urn:xmpp:jingle:apps:rtp:ssma:0" ssrc="{rtx}" name="{nick}-v1" videoType="desktop"><parameter name="msid" value="{nick}-video-1 s"/></source><ssrc-group xmlns="urn:xmpp:jingle:apps:rtp:ssma:0" semantics="FID"><source ssrc="{ssrc}"/><source ssrc="{rtx}"/></ssrc-group></description></content>"#
        )
    }

    /// Reads on to a source-add or source-remove: which, and of which SSRCs.
    pub(crate) async fn told(&mut self) -> (String, Vec<u32>) {
        let update = self
            .until(|e| {
                e.child("jingle", ns::JINGLE)
                    .and_then(|j| j.attr("action"))
                    .is_some_and(|a| a.starts_with("source-"))
            })
            .await;
        let action = update.child("jingle", ns::JINGLE).unwrap().attr("action");
        let action = action.unwrap().to_owned();
        match Jingle::parse(&update).unwrap().body {
            Body::SourceAdd(raw) | Body::SourceRemove(raw) => {
                (action, raw.sources.iter().map(|s| s.ssrc.0).collect())
            }
            other => panic!("{other:?}"),
        }
    }
}

async fn exchange(extra: &[&str], told: bool) {
    let house = House::start().await;
    let (mut ada, _) = house.joined(ROOM).await;
    let (mut bob, _) = house.joined(ROOM).await;
    let (ada_sid, offer) = ada.offered(extra).await;
    let (bob_sid, _) = bob.offered(extra).await;
    assert_ne!(ada_sid, bob_sid);
    let xml = offer.to_xml();
    assert!(
        xml.contains(r#"url="wss://door.example:8443/colibri-ws/n1/"#),
        "{xml}"
    );
    assert!(xml.contains("?pwd=channel-password"), "{xml}");
    assert!(xml.contains(r#"ip="192.0.2.10" port="10000""#), "{xml}");
    assert_eq!(xml.contains("json-message"), !extra.is_empty());

    let contents = ada.audio(1001);
    let accepted = ada.jingle("session-accept", &ada_sid, &contents).await;
    assert_eq!(
        accepted.attr("type"),
        Some("result"),
        "{}",
        accepted.to_xml()
    );
    assert_eq!(
        accepted.attr("from"),
        Some(format!("{ROOM}/focus").as_str())
    );
    let contents = bob.audio(2001);
    let accepted = bob.jingle("session-accept", &bob_sid, &contents).await;
    assert_eq!(accepted.attr("type"), Some("result"));
    if told {
        assert_eq!(ada.told().await, ("source-add".into(), vec![2001]));
        assert_eq!(bob.told().await, ("source-add".into(), vec![1001]));
    }
    let share = bob.share(2101);
    let added = bob.jingle("source-add", &bob_sid, &share).await;
    assert_eq!(added.attr("type"), Some("result"), "{}", added.to_xml());
    if told {
        assert_eq!(ada.told().await, ("source-add".into(), vec![2101, 2102]));
    }
    let stolen = ada.share(2101);
    let refused = ada.jingle("source-add", &ada_sid, &stolen).await;
    assert!(
        refused.to_xml().contains("bad-request"),
        "{}",
        refused.to_xml()
    );
    let removed = bob.jingle("source-remove", &bob_sid, &share).await;
    assert_eq!(removed.attr("type"), Some("result"));
    if told {
        assert_eq!(ada.told().await, ("source-remove".into(), vec![2101, 2102]));
    }
    let requests = house.requests.lock().unwrap().clone();
    let sent: Vec<usize> = requests
        .iter()
        .filter_map(|r| match r {
            BridgeRequest::Update(update) => update.sources.as_ref().map(Vec::len),
            _ => None,
        })
        .collect();
    assert_eq!(sent, [1, 1, 2, 1]);
}

#[tokio::test]
async fn sources_by_rewriting() {
    Box::pin(exchange(&[JSON, REWRITING], false)).await;
}

#[tokio::test]
async fn sources_as_json() {
    Box::pin(exchange(&[JSON], true)).await;
}

#[tokio::test]
async fn sources_as_xml() {
    Box::pin(exchange(&[], true)).await;
}

/// Stanzas of a session in an order that no client sends.
#[tokio::test]
async fn wrong_order_is_refused_and_harms_nobody() {
    let house = House::start().await;
    let (mut ada, _) = house.joined(ROOM).await;
    let share = ada.share(1);
    let early = ada.jingle("source-add", "none", &share).await;
    assert!(early.to_xml().contains("bad-request"));
    let (mut bob, _) = house.joined(ROOM).await;
    let (sid, _) = ada.offered(&[]).await;
    let unaccepted = ada.jingle("source-add", &sid, &share).await;
    assert!(unaccepted.to_xml().contains("bad-request"));
    let foreign = bob.share(9);
    let foreign = bob.jingle("session-accept", &sid, &foreign).await;
    assert!(foreign.to_xml().contains("bad-request"));
    let contents = ada.audio(1);
    let accepted = ada.jingle("session-accept", &sid, &contents).await;
    assert_eq!(accepted.attr("type"), Some("result"));
    let again = ada.jingle("session-accept", &sid, &contents).await;
    assert_eq!(again.attr("type"), Some("error"));
    let muted = ada
        .ask(
            "set",
            Some(&format!("{ROOM}/focus")),
            &format!(
                r#"<mute xmlns="http://jitsi.org/jitmeet/audio" jid="{ROOM}/{}">true</mute>"#,
                bob.nick
            ),
        )
        .await;
    assert_eq!(muted.attr("type"), Some("result"));
    let order = bob.until(|e| e.child_named("mute").is_some()).await;
    assert_eq!(order.attr("from"), Some(format!("{ROOM}/focus").as_str()));
}
