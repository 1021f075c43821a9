//! BOSH over real HTTP (protocol 1 §5).

use crate::harness::{DOMAIN, House, ROOM, groupchat};
use althing_xmpp::{Element, Limits, ns, parse};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

const CREATE: &str = r#"to="meet.jitsi" xml:lang="en" wait="60" hold="1" content="text/xml; charset=utf-8" ver="1.6" xmpp:version="1.0""#;
const PING: &str =
    r#"<iq xmlns="jabber:client" type="get" id="p1"><ping xmlns="urn:xmpp:ping"/></iq>"#;

fn body(rid: u64, sid: Option<&str>, attributes: &str, payload: &str) -> String {
    let sid = sid
        .map(|sid| format!(r#" sid="{sid}""#))
        .unwrap_or_default();
    format!(
        r#"<body xmlns="http://jabber.org/protocol/httpbind" xmlns:xmpp="urn:xmpp:xbosh" rid="{rid}"{sid} {attributes}>{payload}</body>"#
    )
}

/// A client by HTTP requests, one after the other.
struct Bosh<'a> {
    house: &'a House,
    path: String,
    sid: String,
    rid: u64,
    waiting: std::collections::VecDeque<Element>,
}

impl<'a> Bosh<'a> {
    async fn create(house: &'a House, path: &str) -> Self {
        let mut bosh = Self {
            house,
            path: path.to_owned(),
            sid: String::new(),
            rid: 1_573_741_820,
            waiting: std::collections::VecDeque::new(),
        };
        let first = body(bosh.rid, None, CREATE, "");
        let answer = bosh.post(&first).await;
        for (name, value) in [
            ("wait", "60"),
            ("hold", "1"),
            ("requests", "2"),
            ("inactivity", "60"),
            ("polling", "5"),
            ("ver", "1.6"),
            ("from", DOMAIN),
            ("secure", "true"),
            ("{urn:xmpp:xbosh}version", "1.0"),
        ] {
            assert_eq!(answer.attr(name), Some(value), "{name}");
        }
        assert!(answer.attr("authid").is_some_and(|id| id.len() > 10));
        bosh.sid = answer.attr("sid").unwrap().to_owned();
        let features = answer.child("features", ns::STREAMS).unwrap();
        assert!(features.to_xml().contains("ANONYMOUS"));
        bosh
    }

    async fn bound(house: &'a House, path: &str) -> Self {
        let mut bosh = Self::create(house, path).await;
        let answer = bosh
            .ask(
                "",
                r#"<auth xmlns="urn:ietf:params:xml:ns:xmpp-sasl" mechanism="ANONYMOUS"/>"#,
            )
            .await;
        assert!(
            answer.child("success", ns::SASL).is_some(),
            "{}",
            answer.to_xml()
        );
        let answer = bosh.ask(r#"xmpp:restart="true" to="meet.jitsi""#, "").await;
        let features = answer.child("features", ns::STREAMS).unwrap();
        assert!(features.child("bind", ns::BIND).is_some());
        assert!(features.child("sm", ns::SM).is_none(), "not on BOSH");
        let answer = bosh
            .ask("", r#"<iq type="set" id="_bind_auth_2" xmlns="jabber:client"><bind xmlns="urn:ietf:params:xml:ns:xmpp-bind"/></iq>"#)
            .await;
        assert!(answer.child("iq", ns::CLIENT).is_some());
        bosh
    }

    async fn post(&self, text: &str) -> Element {
        let (status, head, text) = self.house.http("POST", &self.path, text).await;
        assert_eq!(status, 200);
        let head = head.to_ascii_lowercase();
        assert!(
            head.contains("content-type: text/xml; charset=utf-8"),
            "{head}"
        );
        assert!(head.contains("access-control-allow-origin: *"), "{head}");
        let answer = parse(&text, &Limits::trusted()).unwrap_or_else(|e| panic!("{e}: {text}"));
        assert!(answer.is("body", ns::HTTPBIND));
        answer
    }

    fn next(&mut self, attributes: &str, payload: &str) -> String {
        self.rid += 1;
        body(self.rid, Some(&self.sid), attributes, payload)
    }

    async fn ask(&mut self, attributes: &str, payload: &str) -> Element {
        let request = self.next(attributes, payload);
        self.post(&request).await
    }

    /// Reads on, by empty requests, until an element fits.
    async fn until(&mut self, fits: impl Fn(&Element) -> bool) -> Element {
        loop {
            while let Some(element) = self.waiting.pop_front() {
                if fits(&element) {
                    return element;
                }
            }
            let answer = self.ask("", "").await;
            assert_eq!(answer.attr("type"), None, "{}", answer.to_xml());
            self.waiting.extend(answer.children().cloned());
        }
    }

    async fn say(&mut self, payload: &str) {
        let answer = self.ask("", payload).await;
        self.waiting.extend(answer.children().cloned());
    }

    async fn join(&mut self) {
        self.say(&format!(
            r#"<iq xmlns="jabber:client" type="set" id="c1" to="focus.{DOMAIN}"><conference xmlns="http://jitsi.org/protocol/focus" room="{ROOM}"/></iq>"#
        ))
        .await;
        self.until(|e| e.attr("id") == Some("c1")).await;
        self.say(&format!(
            r#"<presence xmlns="jabber:client" to="{ROOM}/b0b0b0b0"><x xmlns="http://jabber.org/protocol/muc"/></presence>"#
        ))
        .await;
        self.until(|e| e.child_named("subject").is_some()).await;
    }
}

#[tokio::test]
async fn a_client_joins_talks_and_leaves_by_bosh() {
    let house = House::start().await;
    let (mut witness, _) = house.joined(ROOM).await;
    for path in ["/http-bind?room=demo", "/acme/http-bind"] {
        let mut bob = Bosh::bound(&house, path).await;
        bob.join().await;
        bob.say(&groupchat("from bosh")).await;
        bob.until(|e| e.attr("id") == Some("from bosh")).await;
        witness.until(|e| e.attr("id") == Some("from bosh")).await;
        // A held request is answered the moment there is something.
        let request = bob.next("", "");
        let (answer, ()) = tokio::join!(bob.post(&request), witness.send(groupchat("to bosh")));
        assert!(answer.to_xml().contains("to bosh"), "{}", answer.to_xml());
        // The page is left: everything in one request, as a beacon.
        let bye = bob.next(
            r#"type="terminate""#,
            r#"<presence xmlns="jabber:client" type="unavailable"/>"#,
        );
        let answer = bob.post(&bye).await;
        assert_eq!(answer.attr("type"), Some("terminate"));
        witness
            .until(|e| {
                e.attr("type") == Some("unavailable")
                    && e.attr("from").is_some_and(|f| f.ends_with("b0b0b0b0"))
            })
            .await;
        let answer = bob.ask("", PING).await;
        assert_eq!(answer.attr("condition"), Some("item-not-found"));
    }
    house.until_metric("sessions", 1).await;
}

#[tokio::test]
async fn a_lost_answer_is_given_again_and_nothing_is_done_twice() {
    let house = House::start().await;
    let mut bob = Bosh::bound(&house, "/http-bind").await;
    bob.join().await;
    let request = bob.next("", &groupchat("once"));
    let first = bob.post(&request).await;
    assert!(first.to_xml().contains("once"));
    for _ in 0..3 {
        assert_eq!(bob.post(&request).await, first);
    }
    let answer = bob.ask("", PING).await;
    assert!(!answer.to_xml().contains("once"), "{}", answer.to_xml());
    // Two requests in the wrong order.
    let second = bob.next("", &groupchat("second"));
    let third = bob.next("", &groupchat("third"));
    let (a, b) = tokio::join!(bob.post(&third), bob.post(&second));
    let both = format!("{}{}", b.to_xml(), a.to_xml());
    bob.waiting = b.children().chain(a.children()).cloned().collect();
    let heard = bob.until(|e| e.name() == "message").await;
    assert_eq!(heard.attr("id"), Some("second"), "{both}");
    bob.until(|e| e.attr("id") == Some("third")).await;
    // Far beyond the window.
    bob.rid += 10;
    let answer = bob.ask("", "").await;
    assert_eq!(answer.attr("condition"), Some("item-not-found"));
    house.until_metric("sessions", 0).await;
    house.until_metric("occupants", 0).await;
}

#[tokio::test]
async fn an_empty_request_is_held_for_a_minute_and_a_silent_client_is_gone_after_another() {
    let house = House::start().await;
    let mut bob = Bosh::bound(&house, "/http-bind").await;
    tokio::time::pause();
    let started = Instant::now();
    let answer = bob.ask("", "").await;
    let waited = started.elapsed().as_secs_f64();
    assert!((59.0..61.0).contains(&waited), "{waited}");
    assert_eq!(answer.children().count(), 0);
    assert_eq!(answer.attr("type"), None);
    tokio::time::resume();
    let (mut witness, _) = house.joined(ROOM).await;
    bob.join().await;
    tokio::time::pause();
    let started = Instant::now();
    witness
        .until(|e| e.attr("type") == Some("unavailable"))
        .await;
    let waited = started.elapsed().as_secs_f64();
    assert!((59.0..61.0).contains(&waited), "{waited}");
}

/// Its connection ends while a request is held: the minute begins then, not when that request's ends.
#[tokio::test]
async fn a_client_that_lets_go_of_its_request_is_gone_after_a_minute() {
    let house = House::start().await;
    let (mut witness, _) = house.joined(ROOM).await;
    let mut bob = Bosh::bound(&house, "/http-bind").await;
    bob.join().await;
    let held = bob.next("", "");
    let mut stream = tokio::net::TcpStream::connect(house.address).await.unwrap();
    let request = format!(
        "POST /http-bind HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{held}",
        held.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    // It is held now: somebody else's word is told on it.
    witness.send(groupchat("now")).await;
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
    let held = bob.next("", "");
    let request = format!(
        "POST /http-bind HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{held}",
        held.len()
    );
    let mut second = tokio::net::TcpStream::connect(house.address).await.unwrap();
    second.write_all(request.as_bytes()).await.unwrap();
    drop((stream, second));
    tokio::time::pause();
    let started = Instant::now();
    witness
        .until(|e| e.attr("type") == Some("unavailable"))
        .await;
    let waited = started.elapsed().as_secs_f64();
    assert!((59.0..70.0).contains(&waited), "{waited}");
}

#[tokio::test]
async fn requests_that_make_no_sense_are_told_so() {
    let house = House::start().await;
    let bob = Bosh::create(&house, "/http-bind").await;
    for (text, condition) in [
        (String::new(), "bad-request"),
        ("<body".to_owned(), "bad-request"),
        (PING.to_owned(), "bad-request"),
        (body(1, None, "", ""), "improper-addressing"),
        (body(1, Some("nobody"), "", ""), "item-not-found"),
        (body(1, Some("ü"), "", ""), "item-not-found"),
        (
            body(1, Some(&bob.sid[..bob.sid.len() - 1]), "", ""),
            "item-not-found",
        ),
        (
            body(1, None, r#"to="other.example""#, ""),
            "remote-stream-error",
        ),
    ] {
        let answer = bob.post(&text).await;
        assert_eq!(answer.attr("type"), Some("terminate"), "{text}");
        assert_eq!(answer.attr("condition"), Some(condition), "{text}");
    }
    // What breaks the stream's rules ends it, and the error is told.
    let mut bob = Bosh::bound(&house, "/http-bind").await;
    let answer = bob.ask("", r#"<whatever xmlns="x"/>"#).await;
    assert_eq!(answer.attr("condition"), Some("remote-stream-error"));
    let error = answer.child("error", ns::STREAMS).unwrap();
    assert!(error.to_xml().contains("unsupported-stanza-type"));
    // Longer than any stanza.
    let long = body(1, None, CREATE, &"x".repeat(300_000));
    let (status, ..) = house.http("POST", "/http-bind", &long).await;
    assert_eq!(status, 413);
    for path in ["/http-bind", "/acme/http-bind", "/acme/xmpp-websocket"] {
        let (status, head, _) = house.http("OPTIONS", path, "").await;
        assert_eq!(status, 204);
        assert!(head.contains("access-control-allow-origin: *"), "{head}");
        let (status, head, _) = house.http("GET", path, "").await;
        assert_eq!(status, 200);
        assert!(head.contains("access-control-allow-origin: *"), "{head}");
    }
    assert!(house.metric(r#"refused_total{reason="Bosh"}"#) >= 8);
    house.until_metric("sessions", 1).await;
}

#[tokio::test]
async fn the_server_goes_down_with_a_word() {
    let house = House::start().await;
    let mut bob = Bosh::bound(&house, "/http-bind").await;
    let request = bob.next("", "");
    let (answer, ()) = tokio::join!(bob.post(&request), async {
        house.until_metric("sessions", 1).await;
        house.signalling.shutdown().await;
    });
    assert_eq!(answer.attr("type"), Some("terminate"));
    assert!(
        answer.to_xml().contains("system-shutdown"),
        "{}",
        answer.to_xml()
    );
    for name in ["sessions", "tasks"] {
        house.until_metric(name, 0).await;
    }
}
