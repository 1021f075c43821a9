//! Garbage at every door of the real program, while two people talk and notice nothing.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod program;

use futures_util::{SinkExt, StreamExt};
use program::talk::Talk;
use program::{Program, until};
use std::net::UdpSocket;
use std::time::Duration;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

const LIMIT: Duration = Duration::from_secs(15);

/// Numbers that look random and are the same each time.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.next() as u8).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn random_datagrams_are_dropped_and_never_answered() {
    let mut program = Program::start();
    let talk = Talk::begin(&program, "calm", true).await;
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(program.media).unwrap();
    let mut numbers = Numbers(7);
    for round in 0..4_000 {
        let length = 1 + (numbers.next() % 1400) as usize;
        let mut datagram = numbers.bytes(length);
        // Every door in turn: STUN, DTLS, RTP, RTCP, anything.
        match round % 5 {
            0 => datagram[0] = 0,
            1 => datagram[0] = 22,
            2 => datagram[0] = 0x80,
            3 if length > 1 => (datagram[0], datagram[1]) = (0x80, 200),
            _ => {}
        }
        if round % 10 == 0 {
            datagram.splice(0..0, stun_request(&mut numbers));
        }
        let _ = socket.send(&datagram);
    }
    until("the datagrams are counted", LIMIT, || {
        program
            .metrics()
            .iter()
            .filter(|(name, _)| name.starts_with("althing_bridge") && name.contains("drop"))
            .map(|(_, count)| count)
            .sum::<f64>()
            > 1_000.0
    })
    .await;
    socket.set_nonblocking(true).unwrap();
    let mut buffer = [0; 1500];
    assert!(
        socket.recv(&mut buffer).is_err(),
        "the port answered a stranger"
    );
    talk.goes_on().await;
    assert_eq!(talk.clients.each_ref().map(|c| c.stats().others), [1, 1]);
    talk.end().await;
    assert!(!program.has_ended());
}

/// A Binding request for nobody, with an integrity nobody signed.
fn stun_request(numbers: &mut Numbers) -> Vec<u8> {
    let mut message = vec![0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42];
    message.extend(numbers.bytes(12));
    let name = b"aaaaaaaaaaaa:bbbb";
    message.extend([0, 6, 0, name.len() as u8]);
    message.extend(name);
    message.extend([0, 0, 0]);
    message.extend([0, 8, 0, 20]);
    message.extend(numbers.bytes(20));
    let length = (message.len() - 20) as u16;
    message[2..4].copy_from_slice(&length.to_be_bytes());
    message
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_over_the_websocket_ends_that_socket_alone() {
    let mut program = Program::start();
    let talk = Talk::begin(&program, "calm", true).await;
    let url = program.url.as_str().replacen("http", "ws", 1) + "xmpp-websocket";
    let open =
        r#"<open xmlns="urn:ietf:params:xml:ns:xmpp-framing" to="meet.jitsi" version="1.0"/>"#;
    let huge = format!("<message>{}</message>", "a".repeat(1 << 20));
    let deep = "<a>".repeat(20_000);
    let cases: &[(&str, Vec<Message>)] = &[
        (
            "truncated XML",
            vec![
                Message::text(open),
                Message::text("<iq type='get'><query xmlns="),
            ],
        ),
        ("a megabyte", vec![Message::text(open), Message::text(huge)]),
        (
            "deep nesting",
            vec![Message::text(open), Message::text(deep)],
        ),
        (
            "a stanza before login",
            vec![
                Message::text(open),
                Message::text(r#"<iq xmlns="jabber:client" type="get" id="1"/>"#),
            ],
        ),
        ("no open", vec![Message::text("<presence/>")]),
        (
            "binary",
            vec![Message::text(open), Message::binary(vec![0, 159, 146, 150])],
        ),
        (
            "a document type",
            vec![Message::text(r#"<!DOCTYPE a [<!ENTITY b "c">]><open/>"#)],
        ),
        ("nothing", vec![Message::text("")]),
    ];
    for (what, frames) in cases {
        let mut request = url.as_str().into_client_request().unwrap();
        request
            .headers_mut()
            .insert("sec-websocket-protocol", "xmpp".parse().unwrap());
        let (mut socket, _) = tokio_tungstenite::connect_async(request).await.unwrap();
        for frame in frames {
            // The other side may have closed already: that is an answer too.
            let _ = socket.send(frame.clone()).await;
        }
        let ended = tokio::time::timeout(LIMIT, async {
            while let Some(Ok(_)) = socket.next().await {}
        })
        .await;
        assert!(ended.is_ok(), "{what}: the socket stayed open");
    }
    talk.goes_on().await;
    assert_eq!(talk.clients.each_ref().map(|c| c.stats().others), [1, 1]);
    talk.end().await;
    assert!(!program.has_ended());
}
