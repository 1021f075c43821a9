//! A room of Janus's videoroom, entered through its WebSocket interface with SDP of our own.

use crate::althing::Random;
use crate::engine::{Agreed, Generator, SERVER};
use crate::flow::{Flow, Pattern};
use crate::support::server::Server;
use althing_model::{Entropy, Secret, Ssrc};
use althing_transport::{
    Certificate, DtlsRole, Fingerprint, IceCredentials, RemoteParameters, Settings,
};
use futures_util::{FutureExt, SinkExt, StreamExt};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::task::AbortHandle;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

const ROOM: u64 = 1;
/// A session without a word for a minute is ended.
const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// For a connection to Janus to come about.
const PATIENCE: Duration = Duration::from_secs(20);
const TRANSPORT_CC: &str =
    "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01";

/// A room that everybody is in.
pub(crate) struct Janus {
    pub(crate) server: Server,
    pub(crate) group: usize,
    pub(crate) session: Session,
}

/// Keeps the session alive until dropped.
pub(crate) struct Session(AbortHandle);

impl Drop for Session {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Starts Janus with the configuration in `folder`.
fn start(program: &Path, folder: &Path) -> Server {
    let (server, ()) = Server::start(
        program,
        true,
        |command, temporary| {
            let configuration = temporary.join("janus");
            std::fs::create_dir(&configuration).unwrap();
            for file in std::fs::read_dir(folder).unwrap().flatten() {
                let text = std::fs::read_to_string(file.path()).unwrap();
                let text = text.replace("@ADDRESS@", &SERVER.to_string());
                std::fs::write(configuration.join(file.file_name()), text).unwrap();
            }
            command.arg("--configs-folder").arg(&configuration);
            command
                .arg("--config")
                .arg(configuration.join("janus.jcfg"));
        },
        |line| line.contains("Janus").then_some(()),
    );
    server
}

/// The interface of one session.
struct Api {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    session: u64,
    requests: u64,
}

impl Api {
    async fn connect() -> Self {
        let url = format!("ws://{SERVER}:8188");
        let until = Instant::now() + PATIENCE;
        let socket = loop {
            let mut request = url.as_str().into_client_request().unwrap();
            let protocol = "janus-protocol".parse().unwrap();
            request
                .headers_mut()
                .insert("sec-websocket-protocol", protocol);
            match tokio_tungstenite::connect_async(request).await {
                Ok((socket, _)) => break socket,
                Err(error) => assert!(Instant::now() < until, "Janus does not answer: {error}"),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        let mut api = Self {
            socket,
            session: 0,
            requests: 0,
        };
        let created = api.ask(json!({ "janus": "create" })).await;
        api.session = created["data"]["id"].as_u64().unwrap();
        api
    }

    /// Sends a request; returns the name of its transaction.
    async fn send(&mut self, mut request: Value) -> String {
        self.requests += 1;
        let transaction = self.requests.to_string();
        request["transaction"] = transaction.clone().into();
        if self.session != 0 {
            request["session_id"] = self.session.into();
        }
        self.socket
            .send(Message::text(request.to_string()))
            .await
            .unwrap();
        transaction
    }

    /// Says that we are still there. The answer is an acknowledgement and nothing else, and nobody
    /// waits for it: whoever asks next passes it over.
    async fn keep_alive(&mut self) {
        self.send(json!({ "janus": "keepalive" })).await;
        // What else came meanwhile is read, so that Janus never waits for room.
        while self
            .socket
            .next()
            .now_or_never()
            .is_some_and(|message| message.is_some())
        {}
    }

    /// Sends a request and waits for what it leads to, acknowledgements passed over.
    async fn ask(&mut self, request: Value) -> Value {
        let transaction = self.send(request.clone()).await;
        loop {
            let message = self.socket.next().await.expect("Janus stays").unwrap();
            let Message::Text(text) = message else {
                continue;
            };
            let answer: Value = serde_json::from_str(&text).unwrap();
            if answer["transaction"] != transaction.as_str() || answer["janus"] == "ack" {
                continue;
            }
            let refused =
                answer["janus"] == "error" || !answer["plugindata"]["data"]["error"].is_null();
            if std::env::var_os("FORWARD_ALOUD").is_some() {
                eprintln!("    {request}\n    {answer}");
            }
            assert!(!refused, "Janus refuses {request}: {answer}");
            return answer;
        }
    }

    async fn attach(&mut self) -> u64 {
        let answer = self
            .ask(json!({ "janus": "attach", "plugin": "janus.plugin.videoroom" }))
            .await;
        answer["data"]["id"].as_u64().unwrap()
    }

    async fn message(&mut self, handle: u64, body: Value, sdp: Option<(&str, String)>) -> Value {
        let mut request = json!({ "janus": "message", "handle_id": handle, "body": body });
        if let Some((kind, sdp)) = sdp {
            request["jsep"] = json!({ "type": kind, "sdp": sdp, "trickle": false });
        }
        self.ask(request).await
    }
}

/// Starts a server and a room, and brings in those who send and those who receive: `receivers`
/// subscribe to everybody who sends, the first of them being the senders, who leave themselves out.
pub(crate) async fn meet(
    program: &Path,
    folder: &Path,
    generator: &Generator,
    certificate: &Arc<Certificate>,
    senders: &[Pattern],
    receivers: usize,
    senders_receive: bool,
) -> Janus {
    let server = start(program, folder);
    let mut api = Api::connect().await;
    let group = generator.lock().add_group();
    let host = api.attach().await;
    let room = json!({
        "request": "create", "room": ROOM, "publishers": 1000, "videocodec": "vp8",
        "audiocodec": "opus", "transport_wide_cc_ext": true, "bitrate": 0, "fir_freq": 0,
    });
    api.message(host, room, None).await;
    let mut feeds = Vec::new();
    for pattern in senders {
        let handle = api.attach().await;
        let ours = Side::new(generator, certificate, group);
        let join = json!({ "request": "joinandconfigure", "room": ROOM, "ptype": "publisher" });
        let answer = api
            .message(handle, join, Some(("offer", ours.offer(*pattern))))
            .await;
        feeds.push(answer["plugindata"]["data"]["id"].as_u64().unwrap());
        ours.connect(true, answer["jsep"]["sdp"].as_str().unwrap());
        let flow = Flow::new(ours.peer, group, *pattern, ours.ssrc);
        generator.lock().add_flow(flow);
        connected(generator, ours.peer).await;
        published(&mut api, host, *feeds.last().unwrap()).await;
    }
    for receiver in 0..receivers {
        let handle = api.attach().await;
        let ours = Side::new(generator, certificate, group);
        let streams: Vec<Value> = feeds
            .iter()
            .enumerate()
            .filter(|(index, _)| !senders_receive || *index != receiver)
            .map(|(_, feed)| json!({ "feed": feed }))
            .collect();
        let join = json!({
            "request": "join", "room": ROOM, "ptype": "subscriber", "streams": streams,
        });
        let offer = api.message(handle, join, None).await;
        let offer = offer["jsep"]["sdp"].as_str().unwrap();
        ours.connect(false, offer);
        let start = json!({ "request": "start" });
        api.message(handle, start, Some(("answer", ours.answer(offer))))
            .await;
        connected(generator, ours.peer).await;
    }
    let task = tokio::task::spawn_local(async move {
        loop {
            tokio::time::sleep(KEEP_ALIVE).await;
            api.keep_alive().await;
        }
    });
    Janus {
        server,
        group,
        session: Session(task.abort_handle()),
    }
}

/// Until Janus, too, knows that a sender is connected: before, it has "no such feed".
async fn published(api: &mut Api, host: u64, feed: u64) {
    let until = Instant::now() + PATIENCE;
    loop {
        let list = json!({ "request": "listparticipants", "room": ROOM });
        let answer = api.message(host, list, None).await;
        let people = answer["plugindata"]["data"]["participants"].as_array();
        let mut people = people.into_iter().flatten();
        if people.any(|one| one["id"] == feed && one["publisher"] == true) {
            return;
        }
        assert!(Instant::now() < until, "no feed {feed} at Janus");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

async fn connected(generator: &Generator, peer: usize) {
    let until = Instant::now() + PATIENCE;
    while generator.lock().peer(peer).connected.is_none() {
        assert!(Instant::now() < until, "no media path to Janus");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Our side of one peer connection.
struct Side {
    generator: Generator,
    certificate: Arc<Certificate>,
    credentials: IceCredentials,
    peer: usize,
    local: SocketAddr,
    ssrc: Ssrc,
}

impl Side {
    fn new(generator: &Generator, certificate: &Arc<Certificate>, group: usize) -> Self {
        let ssrc = Random.ssrc();
        let (peer, local) = generator.lock().add_peer(group, ssrc);
        Self {
            generator: generator.clone(),
            certificate: Arc::clone(certificate),
            credentials: IceCredentials::generate(&mut Random),
            peer,
            local,
            ssrc,
        }
    }

    /// What every description begins with.
    fn session(&self, mids: &[&str]) -> String {
        format!(
            "v=0\r\no=- 1 1 IN IP4 {}\r\ns=-\r\nt=0 0\r\na=group:BUNDLE {}\r\na=msid-semantic: WMS *\r\n",
            self.local.ip(),
            mids.join(" ")
        )
    }

    fn transport(&self) -> String {
        let ip = self.local.ip();
        format!(
            "c=IN IP4 {ip}\r\na=rtcp-mux\r\na=ice-ufrag:{}\r\na=ice-pwd:{}\r\na=fingerprint:sha-256 {}\r\na=setup:active\r\na=candidate:1 1 udp 2130706431 {ip} {} typ host\r\na=end-of-candidates\r\n",
            self.credentials.ufrag,
            self.credentials.password.expose(),
            self.certificate.fingerprint(),
            self.local.port()
        )
    }

    fn offer(&self, pattern: Pattern) -> String {
        let (line, codec) = if pattern.video {
            (
                "video 9 UDP/TLS/RTP/SAVPF 100 96",
                "a=rtpmap:100 VP8/90000\r\na=rtcp-fb:100 nack\r\na=rtcp-fb:100 nack pli\r\na=rtcp-fb:100 ccm fir\r\na=rtcp-fb:100 transport-cc\r\na=rtpmap:96 rtx/90000\r\na=fmtp:96 apt=100\r\n",
            )
        } else {
            (
                "audio 9 UDP/TLS/RTP/SAVPF 111",
                "a=rtpmap:111 opus/48000/2\r\na=fmtp:111 minptime=10;useinbandfec=1\r\na=rtcp-fb:111 transport-cc\r\na=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level\r\n",
            )
        };
        let ssrc = self.ssrc.0;
        let transport = self.transport();
        format!(
            "{}m={line}\r\n{transport}a=mid:0\r\na=sendonly\r\na=extmap:5 {TRANSPORT_CC}\r\n{codec}a=ssrc:{ssrc} cname:p{peer}\r\na=ssrc:{ssrc} msid:p{peer} t{peer}\r\n",
            self.session(&["0"]),
            peer = self.peer
        )
    }

    /// Takes all that is offered.
    fn answer(&self, offer: &str) -> String {
        let mut mids = Vec::new();
        let mut media = String::new();
        for line in offer.lines() {
            let kept = ["a=rtpmap:", "a=fmtp:", "a=rtcp-fb:", "a=extmap:"];
            if let Some(mid) = line.strip_prefix("a=mid:") {
                mids.push(mid);
                media += &format!("{line}\r\na=recvonly\r\n");
            } else if line.starts_with("m=") {
                media += &format!("{line}\r\n{}", self.transport());
            } else if kept.iter().any(|prefix| line.starts_with(prefix)) {
                media += &format!("{line}\r\n");
            }
        }
        format!("{}{media}", self.session(&mids))
    }

    /// Starts ICE towards what `sdp` says.
    fn connect(&self, controlling: bool, sdp: &str) {
        let value = |name: &str| {
            let prefix = format!("a={name}:");
            sdp.lines()
                .find_map(|line| line.strip_prefix(prefix.as_str()))
        };
        let (algorithm, print) = value("fingerprint").unwrap().split_once(' ').unwrap();
        let remote = RemoteParameters {
            credentials: IceCredentials {
                ufrag: value("ice-ufrag").unwrap().to_owned(),
                password: Secret::new(value("ice-pwd").unwrap().to_owned()),
            },
            fingerprints: vec![Fingerprint::parse(algorithm, print).unwrap()],
            candidates: sdp
                .lines()
                .filter_map(|line| line.strip_prefix("a=candidate:"))
                .filter_map(|line| {
                    let words: Vec<&str> = line.split(' ').collect();
                    let udp = words.get(2)?.eq_ignore_ascii_case("udp");
                    let address = format!("{}:{}", words.get(4)?, words.get(5)?);
                    address.parse().ok().filter(|_| udp)
                })
                .collect(),
        };
        let settings = Settings {
            credentials: self.credentials.clone(),
            certificate: Arc::clone(&self.certificate),
            controlling,
            dtls: DtlsRole::Client,
            tie_breaker: Random.next_u64(),
        };
        let number = |prefix: &str, means: &str| {
            sdp.lines().find_map(|line| {
                let (number, what) = line.strip_prefix(prefix)?.split_once(' ')?;
                let number = number.split('/').next()?.parse::<u8>().ok()?;
                what.starts_with(means).then_some(number)
            })
        };
        let codecs = ["VP8/", "opus/"];
        let agreed = Agreed {
            transport_cc: number("a=extmap:", TRANSPORT_CC),
            media: codecs
                .iter()
                .filter_map(|codec| number("a=rtpmap:", codec))
                .collect(),
        };
        self.generator
            .lock()
            .connect(self.peer, settings, remote, agreed);
    }
}
