//! Signalling under load: N occupants come into one room, stay, twenty raise a hand, all leave.
//! Once against Althing, once against Prosody with a plain MUC, which has no focus to feed.
//!
//! ```text
//!   cargo bench -p althing-load --bench signalling -- ALTHING [--sizes 100,300] [--json]
//! ```
//!
//! The server is kept on one processor and this program on another, where there are two. Every
//! occupant does what lib-jitsi-meet does up to CONFERENCE_JOINED, with a presence of about 1.5 kB,
//! and against Althing also answers discovery and accepts the offer; no ICE, no RTP.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a measuring program: it may stop where it stands, prints, and reads the clock"
)]

mod support;

use althing_model::{Encoding, MediaKind, Secret, SourceDescription, SourceName, Ssrc, VideoType};
use althing_xmpp::jingle::{Answer, AnswerTransport, Body, Jingle};
use althing_xmpp::login::{Login, Step};
use althing_xmpp::{Limits, parse};
use futures_util::{SinkExt, StreamExt};
use hdrhistogram::Histogram;
use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::Pid;
use std::cell::RefCell;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::rc::Rc;
use std::time::{Duration, Instant};
use support::server::Server;
use support::{abilities, acknowledgement};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

/// Everybody is to be in by then.
const RAMP: Duration = Duration::from_secs(24);
/// How long a join may take before it counts as failed.
const JOIN_LIMIT: Duration = Duration::from_secs(120);
/// How many raise a hand.
const HANDS: usize = 20;
/// How long the room stays together after the last one came.
const STAY: Duration = Duration::from_secs(3);
const DOMAIN: &str = "meet.jitsi";

type Socket = WebSocketStream<TcpStream>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Althing,
    Prosody,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Althing => "althing",
            Self::Prosody => "prosody",
        }
    }
}

/// A running server and where its signalling is.
struct Measured {
    kind: Kind,
    server: Server,
    address: SocketAddr,
}

impl Measured {
    fn althing(program: &Path) -> Self {
        let (server, address) = Server::start(
            program,
            true,
            |command, folder| {
                command.args(["serve", "--data"]).arg(folder.join("data"));
                command.args(["--http-listen", "127.0.0.1:0"]);
                command.args(["--http-tls-listen", "127.0.0.1:0"]);
                command.args(["--http-admin-listen", "127.0.0.1:0"]);
                command.args(["--media-port", "0", "--media-bind", "127.0.0.1"]);
                command.args(["--log-level", "warn"]);
            },
            |line| {
                let (_, rest) = line.split_once("http://")?;
                let port = rest.trim().trim_end_matches('/').rsplit(':').next()?;
                port.parse().ok()
            },
        );
        Self {
            kind: Kind::Althing,
            server,
            address: SocketAddr::from(([127, 0, 0, 1], address)),
        }
    }

    /// Plain rooms, anonymous users, no limits; the state of the room is in memory.
    fn prosody(program: &Path) -> Self {
        let port = free_port();
        let server = Server::start_quietly(program, true, |command, folder| {
            let file = folder.join("prosody.cfg.lua");
            std::fs::write(&file, Self::prosody_config(folder, port)).unwrap();
            command.arg("--config").arg(&file).stderr(Stdio::null());
        });
        Self {
            kind: Kind::Prosody,
            server,
            address: SocketAddr::from(([127, 0, 0, 1], port)),
        }
    }

    fn prosody_config(folder: &Path, port: u16) -> String {
        let data = folder.display();
        format!(
            r#"
data_path = "{data}"
pidfile = "{data}/prosody.pid"
log = {{ warn = "{data}/prosody.log" }}
network_backend = "epoll"
daemonize = false
interfaces = {{ "127.0.0.1" }}
c2s_ports = {{}}
s2s_ports = {{}}
http_ports = {{ {port} }}
https_ports = {{}}
http_interfaces = {{ "127.0.0.1" }}
consider_websocket_secure = true
c2s_require_encryption = false
modules_enabled = {{ "saslauth", "disco", "ping", "websocket", "external_services", "smacks" }}
modules_disabled = {{ "s2s", "offline" }}
run_as_root = true
VirtualHost "{DOMAIN}"
    authentication = "anonymous"
Component "muc.{DOMAIN}" "muc"
    muc_room_locking = false
    muc_room_default_public_jids = true
    restrict_room_creation = false
"#
        )
    }

    async fn ready(&self) {
        let until = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(self.address).await.is_err() {
            assert!(
                Instant::now() < until,
                "{} does not answer",
                self.kind.name()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

/// What one round came to.
#[derive(Default)]
struct Round {
    joined: usize,
    failed: usize,
    stanzas: u64,
    bytes: u64,
    joins: Option<Histogram<u64>>,
    hands: Option<Histogram<u64>>,
    accepted: usize,
}

struct Tally {
    round: RefCell<Round>,
    hands_at: RefCell<Option<Instant>>,
}

async fn round(kind: Kind, address: SocketAddr, size: usize) -> Round {
    let tally = Rc::new(Tally {
        round: RefCell::new(Round {
            joins: Some(Histogram::new(3).unwrap()),
            hands: Some(Histogram::new(3).unwrap()),
            ..Round::default()
        }),
        hands_at: RefCell::new(None),
    });
    let (phase, _) = watch::channel(Phase::Coming);
    let local = tokio::task::LocalSet::new();
    for number in 0..size {
        let tally = Rc::clone(&tally);
        let phase = phase.subscribe();
        let start = RAMP.mul_f64(number as f64 / size as f64);
        local.spawn_local(async move {
            tokio::time::sleep(start).await;
            let occupant = occupant(kind, address, number, phase, &tally);
            if let Err(why) = occupant.await {
                let mut round = tally.round.borrow_mut();
                if round.failed == 0 {
                    eprintln!("occupant {number}: {why}");
                }
                round.failed += 1;
            }
        });
    }
    let watcher = Rc::clone(&tally);
    local
        .run_until(async {
            let until = Instant::now() + RAMP + JOIN_LIMIT;
            loop {
                let (joined, failed) = {
                    let round = watcher.round.borrow();
                    (round.joined, round.failed)
                };
                if joined + failed >= size || Instant::now() > until {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            tokio::time::sleep(STAY).await;
            *watcher.hands_at.borrow_mut() = Some(Instant::now());
            phase.send_replace(Phase::Hands);
            tokio::time::sleep(STAY).await;
            phase.send_replace(Phase::Leaving);
        })
        .await;
    // Whoever does not get away is left behind with its socket.
    tokio::time::timeout(Duration::from_secs(60), local)
        .await
        .ok();
    tally.round.take()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Coming,
    Hands,
    Leaving,
}

type Failure = Box<dyn std::error::Error>;

struct Occupant<'a> {
    socket: Socket,
    tally: &'a Tally,
    /// Stanzas taken since stream management was switched on.
    taken: u32,
    managed: bool,
}

impl Occupant<'_> {
    async fn send(&mut self, frame: String) -> Result<(), Failure> {
        self.socket.send(Message::text(frame)).await?;
        Ok(())
    }

    async fn next(&mut self) -> Result<String, Failure> {
        loop {
            match self.socket.next().await {
                Some(Ok(Message::Text(text))) => {
                    let text = text.to_string();
                    {
                        let mut round = self.tally.round.borrow_mut();
                        round.stanzas += 1;
                        round.bytes += text.len() as u64;
                    }
                    if text.starts_with("<r ") {
                        let h = self.taken;
                        self.send(format!(r#"<a xmlns="urn:xmpp:sm:3" h="{h}"/>"#))
                            .await?;
                        continue;
                    }
                    if self.managed && !text.starts_with("<a ") {
                        self.taken = self.taken.wrapping_add(1);
                    }
                    return Ok(text);
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error.into()),
                None => return Err("the server closed the socket".into()),
            }
        }
    }
}

async fn occupant(
    kind: Kind,
    address: SocketAddr,
    number: usize,
    mut phase: watch::Receiver<Phase>,
    tally: &Tally,
) -> Result<(), Failure> {
    let began = Instant::now();
    let mut request = format!("ws://{address}/xmpp-websocket?room=hall").into_client_request()?;
    let headers = request.headers_mut();
    headers.insert("sec-websocket-protocol", "xmpp".parse()?);
    headers.insert("host", DOMAIN.parse()?);
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (socket, _) = tokio_tungstenite::client_async(request, stream).await?;
    let mut me = Occupant {
        socket,
        tally,
        taken: 0,
        managed: false,
    };
    let (mut login, first) = Login::start(DOMAIN);
    me.send(first).await?;
    let mut offers_management = false;
    let jid = loop {
        let frame = me.next().await?;
        offers_management |= frame.contains("urn:xmpp:sm:3");
        match login.handle_frame(&frame)? {
            Step::Send(frame) => me.send(frame).await?,
            Step::Wait => {}
            Step::Bound(jid) => break jid.as_str().to_owned(),
        }
    };
    if offers_management {
        me.send(r#"<enable xmlns="urn:xmpp:sm:3" resume="true"/>"#.to_owned())
            .await?;
        while !me.next().await?.starts_with("<enabled") {}
        me.managed = true;
        me.taken = 0;
    }
    let room = format!("hall@muc.{DOMAIN}");
    let nick: String = jid.chars().take(8).collect();
    let own = format!("{room}/{nick}");
    me.send(format!(r#"<iq xmlns="jabber:client" type="get" id="x1" to="{DOMAIN}"><services xmlns="urn:xmpp:extdisco:2"/></iq>"#)).await?;
    me.send(format!(r#"<iq xmlns="jabber:client" type="get" id="x2" to="{DOMAIN}"><query xmlns="http://jabber.org/protocol/disco#info"/></iq>"#)).await?;
    if kind == Kind::Althing {
        me.send(format!(r#"<iq xmlns="jabber:client" type="set" id="x3" to="focus.{DOMAIN}"><conference xmlns="http://jitsi.org/protocol/focus" room="{room}" machine-uid="m{number}"><property name="rtcstatsEnabled" value="false"/></conference></iq>"#)).await?;
        while !has(&me.next().await?, "id=\"x3\"") {}
    }
    me.send(presence(&own, number, false, true)).await?;
    let from = format!("from=\"{own}\"");
    let from_single = format!("from='{own}'");
    let deadline = tokio::time::Instant::now() + JOIN_LIMIT;
    loop {
        let frame = tokio::time::timeout_at(deadline, me.next()).await??;
        if frame.starts_with("<presence") && (frame.contains(&from) || frame.contains(&from_single))
        {
            if frame.contains("type=\"error\"") || frame.contains("type='error'") {
                return Err(format!("not let in: {frame}").into());
            }
            break;
        }
    }
    {
        let mut round = tally.round.borrow_mut();
        round.joined += 1;
        let micros = u64::try_from(began.elapsed().as_micros())?;
        round.joins.as_mut().unwrap().record(micros)?;
    }
    me.send(format!(r#"<iq xmlns="jabber:client" type="get" id="x4" to="{room}"><query xmlns="http://jabber.org/protocol/disco#info"/></iq>"#)).await?;
    let mut raised = false;
    let mut last_ping = tokio::time::Instant::now();
    loop {
        let now = *phase.borrow_and_update();
        match now {
            Phase::Hands if number < HANDS && !raised => {
                raised = true;
                me.send(presence(&own, number, true, false)).await?;
            }
            Phase::Leaving => break,
            Phase::Coming | Phase::Hands => {}
        }
        tokio::select! {
            frame = me.next() => {
                let frame = frame?;
                if frame.contains("raisedHand>1") && let Some(at) = *tally.hands_at.borrow() {
                    let micros = u64::try_from(at.elapsed().as_micros())?;
                    tally.round.borrow_mut().hands.as_mut().unwrap().record(micros)?;
                } else if frame.starts_with("<iq") {
                    answer(&mut me, &frame, &jid, number).await?;
                }
            }
            changed = phase.changed() => changed?,
            () = tokio::time::sleep_until(last_ping + Duration::from_secs(10)) => {
                last_ping = tokio::time::Instant::now();
                me.send(format!(r#"<iq xmlns="jabber:client" type="get" id="p" to="{DOMAIN}"><ping xmlns="urn:xmpp:ping"/></iq>"#)).await?;
            }
        }
    }
    me.send(format!(
        r#"<presence xmlns="jabber:client" type="unavailable" to="{own}"/>"#
    ))
    .await?;
    me.send(r#"<close xmlns="urn:ietf:params:xml:ns:xmpp-framing"/>"#.to_owned())
        .await?;
    while me.next().await.is_ok() {}
    Ok(())
}

fn has(frame: &str, attribute: &str) -> bool {
    frame.contains(attribute) || frame.contains(&attribute.replace('"', "'"))
}

/// Answers what the focus asks: what we can do, and its offer.
async fn answer(
    me: &mut Occupant<'_>,
    frame: &str,
    jid: &str,
    number: usize,
) -> Result<(), Failure> {
    let asks = frame.contains("type=\"get\"") || frame.contains("type=\"set\"");
    if !asks {
        return Ok(());
    }
    let iq = parse(frame, &Limits::default())?;
    let (id, from) = (
        iq.attr("id").unwrap_or_default(),
        iq.attr("from").unwrap_or_default(),
    );
    if frame.contains("disco#info") {
        return me.send(abilities(id, from, "load")).await;
    }
    me.send(acknowledgement(id, from)).await?;
    let Ok(Jingle {
        sid,
        body: Body::SessionInitiate(offer),
        ..
    }) = Jingle::parse(&iq)
    else {
        return Ok(());
    };
    let nick = &jid[..8];
    let ssrc = u32::try_from(number * 4 + 1)?;
    let source = |kind, suffix: &str, first, rtx| SourceDescription {
        name: SourceName::new(format!("{nick}-{suffix}")).unwrap(),
        kind,
        video_type: VideoType::Camera,
        msid: format!("{nick}-{suffix}-1 t"),
        encodings: vec![Encoding {
            primary: Ssrc(first),
            rtx,
        }],
    };
    let transport = AnswerTransport {
        ufrag: format!("u{number:06}"),
        password: Secret::new("p".repeat(24)),
        fingerprint: ("sha-256".to_owned(), ["AB"; 32].join(":")),
        candidates: Vec::new(),
    };
    let accept = Answer {
        sid: &sid,
        initiator: from,
        responder: jid,
        offer: &offer,
        transport: &transport,
        sources: &[
            source(MediaKind::Audio, "a0", ssrc, None),
            source(MediaKind::Video, "v0", ssrc + 1, Some(Ssrc(ssrc + 2))),
        ],
        initial_last_n: None,
    }
    .to_element()
    .to_xml();
    me.tally.round.borrow_mut().accepted += 1;
    me.send(format!(
        r#"<iq xmlns="jabber:client" type="set" id="j" to="{from}">{accept}</iq>"#
    ))
    .await
}

/// About 1.5 kB with what a room adds, in the shape of stock clients.
fn presence(own: &str, number: usize, hand: bool, join: bool) -> String {
    let nick = own.rsplit('/').next().unwrap_or_default();
    let muc = if join {
        r#"<x xmlns="http://jabber.org/protocol/muc"/>"#
    } else {
        ""
    };
    let hand = if hand { "1767225600000" } else { "" };
    let codecs = "av1,vp9,vp8,h264";
    format!(
        r#"<presence xmlns="jabber:client" to="{own}">{muc}<stats-id>Occupant-{number:04}-x7P</stats-id><c xmlns="http://jabber.org/protocol/caps" hash="sha-1" node="https://jitsi.org/jitsi-meet" ver="hL3vTKk9YpXHLAvbZ8BNFDcqJ0w="/><SourceInfo>{{&quot;{nick}-a0&quot;:{{&quot;muted&quot;:true}},&quot;{nick}-v0&quot;:{{&quot;muted&quot;:true,&quot;videoType&quot;:&quot;camera&quot;}}}}</SourceInfo><jitsi_participant_codecList>{codecs}</jitsi_participant_codecList><jitsi_participant_codecType>vp9</jitsi_participant_codecType><jitsi_participant_region>eu-central</jitsi_participant_region><jitsi_participant_raisedHand>{hand}</jitsi_participant_raisedHand><nick xmlns="http://jabber.org/protocol/nick">Occupant number {number}</nick><email>occupant-{number}@example.org</email><avatar-url>https://example.org/avatars/{number}/0123456789abcdef0123456789abcdef.png</avatar-url><userId>user-{number}-0123456789abcdef</userId><stat xmlns="" name="version" value="2.0.10532"/><features><feature var="https://jitsi.org/meet/e2ee"/><feature var="http://jitsi.org/remb"/><feature var="http://jitsi.org/tcc"/><feature var="http://jitsi.org/opus-red"/></features><jitsi_participant_transcription_language>en-US</jitsi_participant_transcription_language><jitsi_participant_e2ee.idKey.ed25519>Q0ZsYWtlS2V5MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODk</jitsi_participant_e2ee.idKey.ed25519><jitsi_participant_e2ee.idKey.curve25519>Q0ZsYWtlS2V5MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODk</jitsi_participant_e2ee.idKey.curve25519><jitsi_participant_localRecording>false</jitsi_participant_localRecording></presence>"#
    )
}

/// What a round cost the server.
struct Figures {
    kind: Kind,
    size: usize,
    round: Round,
    cpu: Duration,
    peak: u64,
    before: u64,
}

async fn measure(measured: &Measured, size: usize) -> Figures {
    measured.ready().await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let server = &measured.server;
    let (cpu, before) = (server.ticks(), server.memory("VmRSS:"));
    let round = round(measured.kind, measured.address, size).await;
    Figures {
        kind: measured.kind,
        size,
        round,
        cpu: server.ticks().saturating_sub(cpu),
        peak: server.memory("VmHWM:"),
        before,
    }
}

impl Figures {
    fn join(&self, quantile: f64) -> f64 {
        let joins = self.round.joins.as_ref().unwrap();
        joins.value_at_quantile(quantile) as f64 / 1e6
    }

    fn per_occupant(&self) -> u64 {
        self.peak.saturating_sub(self.before) / self.size as u64
    }

    fn print(&self) {
        let hands = self.round.hands.as_ref().unwrap();
        println!(
            "{:<8} {:>5}  joined {:>4}  failed {:>3}  join p50 {:>7.3} s  p99 {:>7.3} s  hand p99 {:>6.3} s  {:>9} frames  {:>6.1} MB  CPU {:>7.2} s  {:>5} kB each  accepted {}",
            self.kind.name(),
            self.size,
            self.round.joined,
            self.round.failed,
            self.join(0.5),
            self.join(0.99),
            hands.value_at_quantile(0.99) as f64 / 1e6,
            self.round.stanzas,
            self.round.bytes as f64 / 1e6,
            self.cpu.as_secs_f64(),
            self.per_occupant() / 1000,
            self.round.accepted,
        );
    }
}

fn main() {
    let mut sizes = vec![100, 300, 500, 1000];
    let (mut json, mut program) = (false, None);
    let mut prosody = Some(PathBuf::from("/usr/bin/prosody"));
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--json" => json = true,
            "--bench" => {}
            "--without-prosody" => prosody = None,
            "--sizes" => {
                let list = words.next().expect("--sizes N,N");
                sizes = list
                    .split(',')
                    .map(|n| n.parse().expect("a number"))
                    .collect();
            }
            path => program = Some(PathBuf::from(path)),
        }
    }
    let program = program.expect("the path of the program to measure");
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, most, most).unwrap();
    if std::thread::available_parallelism().map_or(1, |n| n.get()) >= 2 {
        let mut second = CpuSet::new();
        second.set(1).unwrap();
        sched_setaffinity(Pid::from_raw(0), &second).unwrap();
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let mut named = serde_json::Map::new();
    for size in sizes {
        let ours = runtime.block_on(measure(&Measured::althing(&program), size));
        ours.print();
        let mut put = |name: &str, value: f64| {
            named.insert(format!("{name}_{size}"), value.into());
        };
        put("join_p50_seconds", ours.join(0.5));
        put("join_p99_seconds", ours.join(0.99));
        put("cpu_seconds", ours.cpu.as_secs_f64());
        put("memory_bytes_per_occupant", ours.per_occupant() as f64);
        put("failed", ours.round.failed as f64);
        put("stanzas", ours.round.stanzas as f64);
        put("bytes", ours.round.bytes as f64);
        if let Some(prosody) = &prosody {
            let theirs = runtime.block_on(measure(&Measured::prosody(prosody), size));
            theirs.print();
            put("prosody_join_p99_seconds", theirs.join(0.99));
            put("prosody_cpu_seconds", theirs.cpu.as_secs_f64());
            put("prosody_failed", theirs.round.failed as f64);
            put(
                "cpu_ratio_prosody",
                ours.cpu.as_secs_f64() / theirs.cpu.as_secs_f64(),
            );
        }
    }
    if json {
        println!("{}", serde_json::Value::Object(named));
    }
}
