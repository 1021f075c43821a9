//! A bridge on a port of its own, and clients made of the same transport that speak to it over
//! real sockets.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "each test file uses a part of it, and a test may panic"
)]

use althing_bridge::{Bridge, Settings as BridgeSettings};
use althing_bus::{Bus, InProcess, Subscription};
use althing_control::{
    Allocate, Allocated, BridgeEvent, BridgeReply, BridgeRequest, EndpointState, Fingerprint,
    RemoteTransport, SlotMode, Update, bridge_subject, decode, encode,
};
use althing_model::{
    ConferenceId, Encoding, EndpointId, FeedbackSources, MediaKind, MediaKinds, NodeId, Role,
    SeededEntropy, SourceDescription, SourceName, Ssrc, VideoType,
};
use althing_transport::{
    Certificate, DtlsRole, IceCredentials, Output, Path, Received, RemoteParameters, SRTP_OVERHEAD,
    Settings, Transport, Via,
};
use axum::body::Body;
use axum::http::{Request, StatusCode};
use prometheus_client::registry::Registry;
use serde_json::Value;
use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, UdpSocket};
use tokio::task::JoinSet;
use tokio::time::{timeout, timeout_at};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};
use tower::ServiceExt;

/// Longer than anything here takes; a test that waits for so long has failed.
pub const PATIENCE: Duration = Duration::from_secs(10);
pub const EVENTS: &str = "focus.test";

pub type WebSocket = WebSocketStream<MaybeTlsStream<tokio::net::TcpStream>>;

pub struct Fixture {
    pub bus: Arc<InProcess>,
    pub bridge: Bridge,
    pub registry: Registry,
    pub events: Subscription,
    pub http: SocketAddr,
    pub node: NodeId,
    servers: JoinSet<()>,
}

impl Fixture {
    pub async fn start(workers: usize) -> Self {
        Self::start_with(|settings| settings.workers = workers).await
    }

    pub async fn start_with(choose: impl FnOnce(&mut BridgeSettings)) -> Self {
        let node = NodeId::new("n1").unwrap();
        let bus = Arc::new(InProcess::new());
        let events = bus.subscribe(EVENTS);
        let mut settings = BridgeSettings::new(node.clone());
        settings.port = 0;
        settings.bind = vec![IpAddr::from(Ipv4Addr::LOCALHOST)];
        choose(&mut settings);
        let mut registry = Registry::default();
        let bridge = Bridge::start(settings, bus.clone(), &mut registry).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let http = listener.local_addr().unwrap();
        let router = bridge.router();
        let mut servers = JoinSet::new();
        servers.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self {
            bus,
            bridge,
            registry,
            events,
            http,
            node,
            servers,
        }
    }

    pub async fn request(&self, request: &BridgeRequest) -> BridgeReply {
        let payload = encode(request).into();
        let subject = bridge_subject(&self.node);
        let reply = self.bus.request(&subject, payload, PATIENCE).await.unwrap();
        decode(&reply).unwrap()
    }

    pub async fn allocate(&self, request: Allocate) -> Allocated {
        match self.request(&BridgeRequest::Allocate(request)).await {
            BridgeReply::Allocated(allocated) => *allocated,
            other => panic!("not allocated: {other:?}"),
        }
    }

    pub async fn update(&self, update: Update) -> BridgeReply {
        self.request(&BridgeRequest::Update(update)).await
    }

    pub async fn expire(&self, conference: &str, endpoint: &str) -> BridgeReply {
        self.request(&BridgeRequest::Expire {
            conference: ConferenceId::new(conference).unwrap(),
            endpoint: EndpointId::new(endpoint).unwrap(),
        })
        .await
    }

    /// The next event of the bridge: whose, and what.
    pub async fn event(&mut self) -> (String, EndpointState) {
        let delivery = timeout(PATIENCE, self.events.next())
            .await
            .unwrap()
            .unwrap();
        let BridgeEvent::EndpointState {
            endpoint, state, ..
        } = decode(&delivery.payload).unwrap();
        (endpoint.to_string(), state)
    }

    pub async fn admin(&self, path: &str) -> (StatusCode, String) {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let response = self.bridge.admin_router().oneshot(request).await.unwrap();
        let status = response.status();
        let body = axum::body::to_bytes(response.into_body(), 1 << 20)
            .await
            .unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    pub async fn stats(&self) -> Value {
        // A worker's debug answer comes after everything it received before, counts included.
        self.admin("/debug").await;
        serde_json::from_str(&self.admin("/colibri/stats").await.1).unwrap()
    }

    /// Asks for the stats until `enough`: an event to wait for that arrives by no other way.
    pub async fn stats_until(&self, enough: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let stats = self.stats().await;
            if enough(&stats) {
                return stats;
            }
            assert!(Instant::now() < deadline, "never: {stats:#}");
            tokio::task::yield_now().await;
        }
    }

    pub async fn debug(&self, conference: &str) -> Value {
        let (status, body) = self.admin(&format!("/debug/{conference}")).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        serde_json::from_str(&body).unwrap()
    }

    pub fn metrics(&self) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).unwrap();
        text
    }

    pub fn url(&self, allocated: &Allocated) -> String {
        let channel = &allocated.channel;
        let (http, path) = (self.http, &channel.path);
        format!("ws://{http}{path}?pwd={}", channel.password.expose())
    }

    pub async fn channel(&self, allocated: &Allocated) -> WebSocket {
        let (socket, _) = tokio_tungstenite::connect_async(self.url(allocated))
            .await
            .unwrap();
        socket
    }

    /// Ends it all; returns the bus to look at afterwards.
    pub async fn shutdown(mut self) -> Arc<InProcess> {
        timeout(PATIENCE, self.bridge.shutdown()).await.unwrap();
        self.servers.shutdown().await;
        self.bus
    }
}

/// A frame's status when the upgrade is refused.
pub async fn refusal(url: &str) -> (u16, Option<Vec<u8>>) {
    match tokio_tungstenite::connect_async(url).await {
        Err(tokio_tungstenite::tungstenite::Error::Http(response)) => {
            (response.status().as_u16(), response.into_body())
        }
        other => panic!("not refused: {other:?}"),
    }
}

/// The next message of a bridge channel as JSON.
pub async fn next_message(socket: &mut WebSocket) -> Value {
    use futures_util::StreamExt;
    loop {
        match timeout(PATIENCE, socket.next()).await.unwrap() {
            Some(Ok(Message::Text(text))) => return serde_json::from_str(&text).unwrap(),
            Some(Ok(Message::Ping(_))) => {}
            other => panic!("no message: {other:?}"),
        }
    }
}

/// The next message of this class; others are passed over.
pub async fn message_of(socket: &mut WebSocket, class: &str) -> Value {
    loop {
        let message = next_message(socket).await;
        if message["colibriClass"] == class {
            return message;
        }
    }
}

/// Reads to the end: the code and the reason of the close frame.
pub async fn close_frame(socket: &mut WebSocket) -> (u16, String) {
    use futures_util::StreamExt;
    loop {
        match timeout(PATIENCE, socket.next()).await.unwrap() {
            Some(Ok(Message::Close(Some(frame)))) => {
                return (frame.code.into(), frame.reason.to_string());
            }
            Some(Ok(_)) => {}
            other => panic!("no close frame: {other:?}"),
        }
    }
}

pub async fn send_message(socket: &mut WebSocket, json: &str) {
    use futures_util::SinkExt;
    socket.send(Message::text(json)).await.unwrap();
}

pub fn allocate(conference: &str, endpoint: &str) -> Allocate {
    Allocate {
        conference: ConferenceId::new(conference).unwrap(),
        endpoint: EndpointId::new(endpoint).unwrap(),
        role: Role::Participant,
        may_send: MediaKinds::ALL,
        receives_audio: true,
        receives_video: true,
        transport_cc: false,
        e2ee: false,
        slots: SlotMode::Plain,
        feedback: FeedbackSources {
            audio: Ssrc(1),
            video: Ssrc(2),
        },
        events_to: EVENTS.to_owned(),
    }
}

pub fn update(conference: &str, endpoint: &str) -> Update {
    Update::new(
        ConferenceId::new(conference).unwrap(),
        EndpointId::new(endpoint).unwrap(),
    )
}

pub fn source(endpoint: &str, kind: MediaKind, ssrc: u32, rtx: Option<u32>) -> SourceDescription {
    let letter = if kind == MediaKind::Audio { 'a' } else { 'v' };
    SourceDescription {
        name: SourceName::new(format!("{endpoint}-{letter}0")).unwrap(),
        kind,
        video_type: VideoType::Camera,
        msid: format!("{endpoint}-{letter}0 track"),
        encodings: vec![Encoding {
            primary: Ssrc(ssrc),
            rtx: rtx.map(Ssrc),
        }],
    }
}

/// Somebody in the conference `c1`: connected, with a microphone on `ssrc`, a camera behind it, and a channel that has said hello.
pub async fn member(fixture: &mut Fixture, id: &str, ssrc: u32) -> (Peer, WebSocket) {
    let peer = Peer::join_and_connect(fixture, allocate("c1", id), u64::from(ssrc)).await;
    let mut change = update("c1", id);
    change.sources = Some(vec![
        source(id, MediaKind::Audio, ssrc, None),
        source(id, MediaKind::Video, ssrc + 1, Some(ssrc + 2)),
    ]);
    assert_eq!(fixture.update(change).await, BridgeReply::Done);
    let mut channel = fixture.channel(&peer.allocated).await;
    message_of(&mut channel, "ServerHello").await;
    (peer, channel)
}

/// A client's media side: one transport on one socket, driven by the test.
pub struct Peer {
    pub id: String,
    pub conference: String,
    pub transport: Transport,
    pub socket: UdpSocket,
    pub local: SocketAddr,
    pub allocated: Allocated,
    /// Decrypted RTP packets in order of arrival.
    pub received: VecDeque<Vec<u8>>,
    pub rtcp: VecDeque<Vec<u8>>,
}

impl Peer {
    /// Allocates an endpoint and tells the bridge our side.
    pub async fn join(fixture: &Fixture, request: Allocate, seed: u64) -> Self {
        let (id, conference) = (request.endpoint.to_string(), request.conference.to_string());
        let allocated = fixture.allocate(request).await;
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let local = socket.local_addr().unwrap();
        let certificate = Certificate::generate().unwrap();
        let credentials = IceCredentials::generate(&mut SeededEntropy::new(seed));
        let fingerprint = certificate.fingerprint();
        let now = Instant::now();
        let mut transport = Transport::new(
            Settings {
                credentials: credentials.clone(),
                certificate,
                controlling: false,
                dtls: DtlsRole::Client,
                tie_breaker: seed,
            },
            now,
        );
        transport.add_local(local);
        let theirs = &allocated.transport;
        transport
            .set_remote(
                now,
                RemoteParameters {
                    credentials: IceCredentials {
                        ufrag: theirs.ufrag.clone(),
                        password: theirs.password.clone(),
                    },
                    fingerprints: vec![
                        althing_transport::Fingerprint::parse(
                            &theirs.fingerprint.algorithm,
                            &theirs.fingerprint.value,
                        )
                        .unwrap(),
                    ],
                    candidates: theirs.candidates.iter().map(|c| c.address).collect(),
                },
            )
            .unwrap();
        let mut change = update(&conference, &id);
        change.transport = Some(RemoteTransport {
            ufrag: credentials.ufrag,
            password: credentials.password,
            fingerprints: vec![Fingerprint {
                algorithm: fingerprint.algorithm.to_string(),
                value: fingerprint.to_string(),
            }],
            candidates: Vec::new(),
        });
        assert_eq!(fixture.update(change).await, BridgeReply::Done);
        Self {
            id,
            conference,
            transport,
            socket,
            local,
            allocated,
            received: VecDeque::new(),
            rtcp: VecDeque::new(),
        }
    }

    pub async fn join_and_connect(fixture: &mut Fixture, request: Allocate, seed: u64) -> Self {
        let mut peer = Self::join(fixture, request, seed).await;
        peer.connect().await;
        assert_eq!(
            fixture.event().await,
            (peer.id.clone(), EndpointState::Connected)
        );
        peer
    }

    pub fn bridge_address(&self) -> SocketAddr {
        self.allocated.transport.candidates[0].address
    }

    pub async fn connect(&mut self) {
        self.drive(|peer| peer.transport.is_connected()).await;
    }

    /// Runs the transport until `done`.
    pub async fn drive(&mut self, done: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            self.drain().await;
            if done(self) {
                return;
            }
            assert!(Instant::now() < deadline, "{} waited in vain", self.id);
            self.step(deadline).await;
        }
    }

    /// Sends what the transport wants sent.
    pub async fn drain(&mut self) {
        while let Some(output) = self.transport.poll() {
            if let Output::Transmit { path, payload } = output {
                self.socket.send_to(&payload, path.remote).await.unwrap();
            }
        }
    }

    /// Takes in what has come, if that is soon.
    pub async fn take_one(&mut self) {
        self.drain().await;
        self.step(Instant::now() + Duration::from_millis(5)).await;
        self.drain().await;
    }

    /// Takes in one datagram, or lets the transport's timer fire.
    async fn step(&mut self, deadline: Instant) {
        let wake = self
            .transport
            .next_timeout()
            .unwrap_or(deadline)
            .min(deadline);
        let mut buffer = vec![0; 2048];
        match timeout_at(wake.into(), self.socket.recv_from(&mut buffer)).await {
            Ok(received) => {
                let (length, remote) = received.unwrap();
                let path = Path {
                    via: Via::Udp,
                    local: self.local,
                    remote,
                };
                let data = &mut buffer[..length];
                match self.transport.handle_datagram(Instant::now(), path, data) {
                    Received::Rtp(packet) => self.received.push_back(packet.to_vec()),
                    Received::Rtcp(packet) => self.rtcp.push_back(packet.to_vec()),
                    Received::Handled | Received::Dropped(_) => {}
                }
            }
            Err(_) => self.transport.handle_timeout(Instant::now()),
        }
    }

    /// Seals an RTP packet with a fixed header of twelve bytes and extensions as given.
    pub fn seal(&mut self, header: &[u8], payload: &[u8]) -> Vec<u8> {
        let plain_len = header.len() + payload.len();
        let mut packet = [header, payload].concat();
        packet.resize(plain_len + SRTP_OVERHEAD, 0);
        let length = self
            .transport
            .seal_rtp(&mut packet, header.len(), plain_len)
            .unwrap();
        packet.truncate(length);
        packet
    }

    pub async fn send_rtp(&mut self, header: &[u8], payload: &[u8]) -> Vec<u8> {
        let packet = self.seal(header, payload);
        self.send_raw(&packet).await;
        packet
    }

    pub async fn send_rtcp(&mut self, packet: &[u8]) {
        let mut buffer = packet.to_vec();
        buffer.resize(packet.len() + SRTP_OVERHEAD, 0);
        let length = self.transport.seal_rtcp(&mut buffer, packet.len()).unwrap();
        self.send_raw(&buffer[..length]).await;
    }

    pub async fn send_raw(&self, datagram: &[u8]) {
        let to = self
            .transport
            .path()
            .map_or_else(|| self.bridge_address(), |p| p.remote);
        self.socket.send_to(datagram, to).await.unwrap();
    }

    /// The next RTP packet of this SSRC.
    pub async fn next_rtp(&mut self, ssrc: u32) -> Vec<u8> {
        let matches = |packet: &Vec<u8>| packet[8..12] == ssrc.to_be_bytes();
        self.drive(|peer| peer.received.iter().any(matches)).await;
        let index = self.received.iter().position(matches).unwrap();
        self.received.remove(index).unwrap()
    }
}

/// An Opus packet's header with an audio level (RFC 6464) of −`level` dB, speech.
pub fn audio_header(ssrc: u32, sequence: u16, level: u8) -> Vec<u8> {
    let mut header = rtp_header(0x90, 111, ssrc, sequence, u32::from(sequence) * 960);
    // One-byte extensions (RFC 8285): id 1, one byte, padded to a word.
    header.extend_from_slice(&[0xbe, 0xde, 0, 1, 0x10, 0x80 | level, 0, 0]);
    header
}

/// A VP8 packet's header; `marker` on the last of a frame.
pub fn video_header(ssrc: u32, sequence: u16, timestamp: u32, marker: bool) -> Vec<u8> {
    let payload_type = if marker { 0x80 | 100 } else { 100 };
    rtp_header(0x80, payload_type, ssrc, sequence, timestamp)
}

/// A whole VP8 keyframe in one packet, `length` bytes long (RFC 7741 §4.2, §4.3).
pub fn vp8_keyframe(picture: u16, length: usize) -> Vec<u8> {
    let mut payload = vec![0x90, 0x80];
    payload.extend_from_slice(&(0x8000 | picture).to_be_bytes());
    // Frame tag of a key frame, start code, 320x180.
    payload.extend_from_slice(&[0x10, 0, 0, 0x9d, 0x01, 0x2a, 0x40, 0x01, 0xb4, 0x00]);
    payload.resize(length, 0x55);
    payload
}

fn rtp_header(first: u8, second: u8, ssrc: u32, sequence: u16, timestamp: u32) -> Vec<u8> {
    let mut header = vec![first, second];
    header.extend_from_slice(&sequence.to_be_bytes());
    header.extend_from_slice(&timestamp.to_be_bytes());
    header.extend_from_slice(&ssrc.to_be_bytes());
    header
}
