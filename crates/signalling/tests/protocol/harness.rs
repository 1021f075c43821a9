use althing_bus::{Bus, InProcess};
use althing_control::{
    Allocated, BridgeReply, BridgeRequest, Candidate, CandidateType, ChannelAddress, Fingerprint,
    LocalTransport,
};
use althing_model::{ClientInfo, NodeId, Origin, Secret};
use althing_signalling::{Settings, Signalling};
use althing_telemetry::Registry;
use althing_xmpp::{Element, Jid, Limits, ns, parse};
use axum::Extension;
use axum::serve::ListenerExt;
use futures_util::{SinkExt, StreamExt};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};

pub(crate) const DOMAIN: &str = "meet.jitsi";
pub(crate) const ROOM: &str = "demo@muc.meet.jitsi";
/// Longer than anything takes; a test that waits this long has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running door with what it needs around it.
pub(crate) struct House {
    pub(crate) signalling: Arc<Signalling>,
    pub(crate) address: SocketAddr,
    pub(crate) requests: Arc<Mutex<Vec<BridgeRequest>>>,
    registry: Registry,
    _tasks: JoinSet<()>,
}

pub(crate) fn node() -> NodeId {
    NodeId::new("n1").unwrap()
}

/// An honest double: it hands out transports, keeps what it was asked, and carries no media.
fn answer(request: &BridgeRequest) -> BridgeReply {
    match request {
        BridgeRequest::Allocate(allocate) => BridgeReply::Allocated(Box::new(Allocated {
            node: node(),
            transport: LocalTransport {
                ufrag: "uf".into(),
                password: Secret::new("bridge-password-0123456789"),
                fingerprint: Fingerprint {
                    algorithm: "sha-256".into(),
                    value: ["AB"; 32].join(":"),
                },
                candidates: vec![Candidate {
                    foundation: "1".into(),
                    priority: 2_130_706_431,
                    address: "192.0.2.10:10000".parse().unwrap(),
                    kind: CandidateType::Host,
                    related: None,
                }],
            },
            channel: ChannelAddress {
                path: format!(
                    "/colibri-ws/n1/{}/{}",
                    allocate.conference, allocate.endpoint
                ),
                password: Secret::new("channel-password"),
            },
        })),
        _ => BridgeReply::Done,
    }
}

impl House {
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub(crate) async fn start_with(change: impl FnOnce(&mut Settings)) -> Self {
        let bus = InProcess::new();
        let mut tasks = JoinSet::new();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let mut asked = bus.subscribe(&althing_control::bridge_subject(&node()));
        let kept = Arc::clone(&requests);
        tasks.spawn(async move {
            while let Some(delivery) = asked.next().await {
                let request = althing_control::decode(&delivery.payload).unwrap();
                let reply = answer(&request);
                kept.lock().unwrap().push(request);
                if let Some(to) = delivery.reply {
                    to.send(althing_control::encode(&reply).into());
                }
            }
        });
        let mut registry = althing_telemetry::registry("0");
        let mut settings = Settings::new(node(), DOMAIN);
        change(&mut settings);
        let signalling =
            Arc::new(Signalling::start(settings, Arc::new(bus.clone()), &mut registry).unwrap());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let listener = listener.tap_io(|tcp| tcp.set_nodelay(true).unwrap());
        let info = ClientInfo {
            address: address.ip(),
            origin: Origin {
                secure: true,
                authority: "door.example:8443".into(),
            },
        };
        let app = signalling.router().layer(Extension(info));
        tasks.spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self {
            signalling,
            address,
            requests,
            registry,
            _tasks: tasks,
        }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("ws://{}{path}", self.address)
    }

    pub(crate) async fn socket(&self, path: &str) -> Socket {
        let mut request = self.url(path).into_client_request().unwrap();
        request
            .headers_mut()
            .insert("sec-websocket-protocol", "xmpp".parse().unwrap());
        let (ws, response) = connect_async_with_config(request, None, true)
            .await
            .unwrap();
        assert_eq!(response.headers()["sec-websocket-protocol"], "xmpp");
        Socket { ws, pings: 0 }
    }

    /// A bound client.
    pub(crate) async fn client(&self) -> Client {
        let mut socket = self.socket("/xmpp-websocket?room=demo").await;
        let jid = socket.log_in().await;
        Client::new(socket, jid)
    }

    /// A client whose stream is managed, in the room; what it heard is counted.
    pub(crate) async fn managed(&self, room: &str) -> Managed {
        let mut client = self.client().await;
        client
            .send(r#"<enable xmlns="urn:xmpp:sm:3" resume="true"/>"#)
            .await;
        let enabled = client.socket.frame().await.unwrap();
        assert!(enabled.contains(r#"resume="true" max="60""#), "{enabled}");
        let enabled = parse(&enabled, &Limits::default()).unwrap();
        assert!(enabled.is("enabled", ns::SM));
        let mut managed = Managed {
            id: enabled.attr("id").unwrap().to_owned(),
            heard: 0,
            sent: 0,
            client,
        };
        let conference = format!(
            r#"<iq xmlns="jabber:client" type="set" id="c1" to="focus.{DOMAIN}"><conference xmlns="http://jitsi.org/protocol/focus" room="{room}"/></iq>"#
        );
        managed.send(conference).await;
        managed.until(|e| e.attr("id") == Some("c1")).await;
        let join = managed.client.join_stanza(room);
        managed.send(join).await;
        managed.until(|e| e.child_named("subject").is_some()).await;
        managed
    }

    /// A new connection that wants to go on with a session; what it is answered.
    pub(crate) async fn resume(&self, query: &str, id: &str, heard: u32) -> (Socket, Element) {
        let mut socket = self.socket(&format!("/xmpp-websocket?{query}")).await;
        socket.authenticate().await;
        socket
            .send(format!(
                r#"<resume xmlns="urn:xmpp:sm:3" h="{heard}" previd="{id}"/>"#
            ))
            .await;
        let answer = socket.expect().await;
        (socket, answer)
    }

    /// A client that asked for the conference and joined, with everything up to the subject read.
    pub(crate) async fn joined(&self, room: &str) -> (Client, Vec<Element>) {
        let mut client = self.client().await;
        client.request_conference(room).await;
        let heard = client.join(room).await;
        (client, heard)
    }

    /// The value of a metric line, for instance `sessions`.
    pub(crate) fn metric(&self, name: &str) -> i64 {
        let page = althing_telemetry::encode(&self.registry);
        let line = format!("althing_signalling_{name} ");
        page.lines()
            .find_map(|l| l.strip_prefix(&line))
            .unwrap_or_else(|| panic!("{line} is missing in\n{page}"))
            .parse()
            .unwrap()
    }

    /// The value of a metric line with labels; none yet is 0.
    pub(crate) fn labelled(&self, name: &str) -> i64 {
        let page = althing_telemetry::encode(&self.registry);
        let line = format!("althing_signalling_{name} ");
        let value = page.lines().find_map(|l| l.strip_prefix(&line));
        value.map_or(0, |value| value.parse().unwrap())
    }

    /// Waits until the metric has the value; every change it waits for is caused by a task that is
    /// ready to run, so giving way to it is enough.
    pub(crate) async fn until_metric(&self, name: &str, value: i64) {
        let waited = tokio::time::timeout(PATIENCE, async {
            while self.metric(name) != value {
                tokio::task::yield_now().await;
            }
        });
        assert!(
            waited.await.is_ok(),
            "{name} is {}, expected {value}",
            self.metric(name)
        );
    }
}

pub(crate) struct Socket {
    pub(crate) ws: WebSocketStream<MaybeTlsStream<TcpStream>>,
    /// WebSocket pings seen while waiting for frames.
    pub(crate) pings: usize,
}

impl Socket {
    pub(crate) async fn send(&mut self, text: impl Into<String>) {
        self.ws.send(Message::text(text.into())).await.unwrap();
    }

    /// The next text frame; `None` when the socket is closed.
    pub(crate) async fn frame(&mut self) -> Option<String> {
        tokio::time::timeout(PATIENCE, async {
            loop {
                match self.ws.next().await {
                    Some(Ok(Message::Text(text))) => return Some(text.as_str().to_owned()),
                    Some(Ok(Message::Ping(_))) => self.pings += 1,
                    Some(Ok(Message::Pong(_))) => {}
                    Some(
                        Ok(Message::Close(_))
                        | Err(Error::ConnectionClosed | Error::Protocol(_) | Error::Io(_)),
                    )
                    | None => return None,
                    other => panic!("unexpected {other:?}"),
                }
            }
        })
        .await
        .expect("a frame in time")
    }

    pub(crate) async fn expect(&mut self) -> Element {
        let frame = self.frame().await.expect("a frame rather than the end");
        parse(&frame, &Limits::default()).unwrap_or_else(|e| panic!("{e}: {frame}"))
    }

    pub(crate) async fn open(&mut self) {
        self.send(format!(
            r#"<open xmlns="urn:ietf:params:xml:ns:xmpp-framing" to="{DOMAIN}" version="1.0"/>"#
        ))
        .await;
        let open = self.frame().await.unwrap();
        assert!(open.starts_with("<open "), "{open}");
        assert!(open.contains(r#"version="1.0""#), "{open}");
    }

    pub(crate) async fn log_in(&mut self) -> Jid {
        self.authenticate().await;
        self.bind().await
    }

    /// Up to the features after the login.
    pub(crate) async fn authenticate(&mut self) {
        self.open().await;
        let features = self.frame().await.unwrap();
        assert!(
            features.contains("<mechanism>ANONYMOUS</mechanism>"),
            "{features}"
        );
        self.send(r#"<auth xmlns="urn:ietf:params:xml:ns:xmpp-sasl" mechanism="ANONYMOUS"/>"#)
            .await;
        assert_eq!(
            self.frame().await.unwrap(),
            r#"<success xmlns="urn:ietf:params:xml:ns:xmpp-sasl"/>"#
        );
        self.open().await;
        let features = self.frame().await.unwrap();
        assert!(
            features.contains("urn:ietf:params:xml:ns:xmpp-bind"),
            "{features}"
        );
        assert!(
            features.contains(r#"<sm xmlns="urn:xmpp:sm:3"/>"#),
            "{features}"
        );
    }

    pub(crate) async fn bind(&mut self) -> Jid {
        self.send(r#"<iq type="set" id="_bind_auth_2" xmlns="jabber:client"><bind xmlns="urn:ietf:params:xml:ns:xmpp-bind"/></iq>"#).await;
        let bound = self.expect().await;
        assert_eq!(bound.attr("id"), Some("_bind_auth_2"));
        let jid = bound
            .child("bind", ns::BIND)
            .unwrap()
            .child("jid", ns::BIND)
            .unwrap()
            .text();
        Jid::parse(&jid).unwrap()
    }
}

pub(crate) struct Client {
    pub(crate) socket: Socket,
    pub(crate) jid: Jid,
    pub(crate) nick: String,
    ids: u64,
}

impl Client {
    /// Whoever is bound to this address.
    pub(crate) fn new(socket: Socket, jid: Jid) -> Self {
        Self {
            nick: jid.node().unwrap()[..8].to_owned(),
            jid,
            socket,
            ids: 0,
        }
    }

    pub(crate) async fn send(&mut self, text: impl Into<String>) {
        self.socket.send(text).await;
    }

    pub(crate) async fn expect(&mut self) -> Element {
        self.socket.expect().await
    }

    /// Sends an IQ and waits for its answer; what comes before it is kept in `skipped`.
    pub(crate) async fn ask(&mut self, kind: &str, to: Option<&str>, payload: &str) -> Element {
        self.ids += 1;
        let id = format!("q{}", self.ids);
        let to = to.map(|to| format!(r#" to="{to}""#)).unwrap_or_default();
        self.send(format!(
            r#"<iq xmlns="jabber:client" type="{kind}" id="{id}"{to}>{payload}</iq>"#
        ))
        .await;
        self.until(|e| e.name() == "iq" && e.attr("id") == Some(&id))
            .await
    }

    /// Reads on until a stanza fits, passing over others.
    pub(crate) async fn until(&mut self, fits: impl Fn(&Element) -> bool) -> Element {
        loop {
            let element = self.expect().await;
            if fits(&element) {
                return element;
            }
        }
    }

    pub(crate) async fn request_conference(&mut self, room: &str) -> Element {
        let payload = format!(
            r#"<conference xmlns="http://jitsi.org/protocol/focus" room="{room}" machine-uid="m1"><property name="rtcstatsEnabled" value="false"/></conference>"#
        );
        let reply = self
            .ask("set", Some(&format!("focus.{DOMAIN}")), &payload)
            .await;
        assert_eq!(reply.attr("type"), Some("result"), "{}", reply.to_xml());
        reply
    }

    pub(crate) fn join_stanza(&self, room: &str) -> String {
        format!(
            r#"<presence xmlns="jabber:client" to="{room}/{}"><x xmlns="http://jabber.org/protocol/muc"/><nick xmlns="http://jabber.org/protocol/nick">Ada</nick></presence>"#,
            self.nick
        )
    }

    /// Joins and reads up to the subject.
    pub(crate) async fn join(&mut self, room: &str) -> Vec<Element> {
        self.send(self.join_stanza(room)).await;
        let mut heard = Vec::new();
        loop {
            let element = self.expect().await;
            assert_ne!(element.attr("type"), Some("error"), "{}", element.to_xml());
            let last = element.child_named("subject").is_some();
            heard.push(element);
            if last {
                return heard;
            }
        }
    }
}

/// A client that counts stanzas (XEP-0198).
pub(crate) struct Managed {
    pub(crate) client: Client,
    pub(crate) id: String,
    pub(crate) heard: u32,
    pub(crate) sent: u32,
}

impl Managed {
    pub(crate) async fn send(&mut self, stanza: impl Into<String>) {
        self.sent += 1;
        self.client.send(stanza).await;
    }

    pub(crate) async fn say(&mut self, id: &str) {
        self.send(groupchat(id)).await;
    }

    /// The next stanza; requests for an acknowledgement are answered.
    pub(crate) async fn expect(&mut self) -> Element {
        loop {
            let element = self.client.expect().await;
            if element.ns() == ns::SM {
                if element.name() == "r" {
                    let heard = self.heard;
                    self.client
                        .send(format!(r#"<a xmlns="urn:xmpp:sm:3" h="{heard}"/>"#))
                        .await;
                }
                continue;
            }
            self.heard += 1;
            return element;
        }
    }

    pub(crate) async fn until(&mut self, fits: impl Fn(&Element) -> bool) -> Element {
        loop {
            let element = self.expect().await;
            if fits(&element) {
                return element;
            }
        }
    }

    /// Goes on by a connection that was resumed.
    pub(crate) fn on(&mut self, socket: Socket) -> Socket {
        std::mem::replace(&mut self.client.socket, socket)
    }
}

/// A message for everybody in [`ROOM`].
pub(crate) fn groupchat(id: &str) -> String {
    format!(
        r#"<message xmlns="jabber:client" type="groupchat" to="{ROOM}" id="{id}"><body>{id}</body></message>"#
    )
}

impl House {
    /// One HTTP request by hand: status, head, body.
    pub(crate) async fn http(&self, method: &str, path: &str, body: &str) -> (u16, String, String) {
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.raw_http(&head).await
    }

    /// A WebSocket handshake whose answer is looked at only.
    pub(crate) async fn upgrade(&self, path: &str) -> (u16, String, String) {
        let head = format!(
            "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: xmpp\r\n\r\n"
        );
        self.raw_http(&head).await
    }

    async fn raw_http(&self, request: &str) -> (u16, String, String) {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut bytes = Vec::new();
        while !bytes.windows(4).any(|w| w == b"\r\n\r\n") || request.contains("close") {
            if stream.read_buf(&mut bytes).await.unwrap() == 0 {
                break;
            }
        }
        let text = String::from_utf8(bytes).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, head.to_owned(), body.to_owned())
    }
}
