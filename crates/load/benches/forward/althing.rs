//! Meetings at Althing, joined as stock clients join: XMPP, Jingle, the bridge channel.

use crate::engine::{Agreed, Generator, SERVER};
use crate::flow::{Flow, Pattern};
use crate::support::server::Server;
use crate::support::{abilities, acknowledgement};
use althing_colibri::{ClientMessage, Constraint, VideoConstraints};
use althing_model::profile::extension;
use althing_model::{Encoding, Entropy, MediaKind, SourceDescription, SourceName, Ssrc, VideoType};
use althing_transport::{
    Certificate, DtlsRole, Fingerprint, IceCredentials, RemoteParameters, Settings,
};
use althing_xmpp::jingle::{Answer, AnswerTransport, Body, Jingle, RemoteOffer};
use althing_xmpp::login::{Login, Step};
use althing_xmpp::{Limits, parse};
use futures_util::{SinkExt, StreamExt};
use std::cell::Cell;
use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::task::AbortHandle;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

const DOMAIN: &str = "meet.jitsi";
const PING: Duration = Duration::from_secs(10);

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;
type Failure = Box<dyn std::error::Error>;

/// The system's.
pub(crate) struct Random;

impl Entropy for Random {
    fn next_u64(&mut self) -> u64 {
        getrandom::u64().unwrap()
    }
}

/// A server and where its signalling is.
pub(crate) struct Althing {
    pub(crate) server: Server,
    address: SocketAddr,
}

/// Who comes to a meeting.
#[derive(Clone, Copy)]
pub(crate) struct Crowd<'a> {
    pub(crate) room: &'a str,
    pub(crate) occupants: usize,
    /// The first of them send, each like this.
    pub(crate) senders: &'a [Pattern],
    /// How many of them have sources, a microphone and a camera each; at least those who send.
    pub(crate) signalling: usize,
    /// Without it they have microphones alone.
    pub(crate) cameras: bool,
    /// Between two who come.
    pub(crate) apart: Duration,
}

/// A meeting that everybody is in.
pub(crate) struct Meeting {
    pub(crate) group: usize,
    tasks: Vec<AbortHandle>,
}

impl Drop for Meeting {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

impl Althing {
    pub(crate) fn start(program: &Path, pinned: bool, more: &[&str]) -> Self {
        let (server, address) = Server::start(
            program,
            pinned,
            |command, folder| {
                command.args(["serve", "--data"]).arg(folder.join("data"));
                command.args(["--http-listen", &format!("{SERVER}:0")]);
                command.args(["--http-tls-listen", "127.0.0.1:0"]);
                command.args(["--http-admin-listen", "127.0.0.1:0"]);
                command.args(["--media-port", "0", "--media-bind", &SERVER.to_string()]);
                // What is measured is all of the work, also where there is too much of it.
                command.args(["--media-shed-load", "false"]);
                command.args(["--log-level", "warn"]).args(more);
            },
            |line| {
                let (_, rest) = line.split_once("http://")?;
                let address = rest.split(['/', ' ']).next()?;
                address
                    .parse::<SocketAddr>()
                    .ok()
                    .filter(|a| a.ip() == SERVER)
            },
        );
        Self { server, address }
    }

    /// Brings everybody in, one after the other, and waits until all are connected.
    pub(crate) async fn meet(
        &self,
        generator: &Generator,
        certificate: &Arc<Certificate>,
        crowd: Crowd<'_>,
    ) -> Meeting {
        let group = generator.lock().add_group();
        let mut tasks = Vec::new();
        let open = Rc::new(Cell::new(0));
        let mut first_peer = usize::MAX;
        let began = Instant::now();
        for number in 0..crowd.occupants {
            let ssrc = Random.ssrc();
            let (peer, _) = generator.lock().add_peer(group, ssrc);
            first_peer = first_peer.min(peer);
            let occupant = Occupant {
                generator: generator.clone(),
                certificate: Arc::clone(certificate),
                server: self.address,
                room: crowd.room.to_owned(),
                group,
                peer,
                ssrc,
                pattern: crowd.senders.get(number).copied(),
                signals: number < crowd.signalling.max(crowd.senders.len()),
                cameras: crowd.cameras,
                open: Rc::clone(&open),
            };
            let start = began + crowd.apart * u32::try_from(number).unwrap();
            let stays = tokio::task::spawn_local(async move {
                tokio::time::sleep_until(start.into()).await;
                if let Err(why) = occupant.stay().await {
                    eprintln!("occupant {number}: {why}");
                }
            });
            tasks.push(stays.abort_handle());
        }
        let limit =
            began + crowd.apart * u32::try_from(crowd.occupants).unwrap() + Duration::from_secs(60);
        loop {
            let connected = {
                let engine = generator.lock();
                let all = first_peer..first_peer + crowd.occupants;
                all.filter(|peer| engine.peer(*peer).connected.is_some())
                    .count()
            };
            if connected.min(open.get()) == crowd.occupants {
                break;
            }
            assert!(
                Instant::now() < limit,
                "{connected} of {} connected, {} channels open",
                crowd.occupants,
                open.get()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Meeting { group, tasks }
    }
}

struct Occupant {
    generator: Generator,
    certificate: Arc<Certificate>,
    server: SocketAddr,
    room: String,
    group: usize,
    peer: usize,
    ssrc: Ssrc,
    pattern: Option<Pattern>,
    signals: bool,
    cameras: bool,
    open: Rc<Cell<usize>>,
}

async fn open(url: &str, protocol: Option<&'static str>) -> Result<Socket, Failure> {
    let mut request = url.into_client_request()?;
    if let Some(protocol) = protocol {
        let headers = request.headers_mut();
        headers.insert("sec-websocket-protocol", protocol.parse()?);
    }
    let (socket, _) = tokio_tungstenite::connect_async_with_config(request, None, true).await?;
    Ok(socket)
}

async fn next(socket: &mut Socket) -> Result<String, Failure> {
    loop {
        match socket.next().await {
            Some(Ok(Message::Text(text))) => return Ok(text.to_string()),
            Some(Ok(_)) => {}
            Some(Err(error)) => return Err(error.into()),
            None => return Err("the server closed the socket".into()),
        }
    }
}

impl Occupant {
    /// Comes in, answers the offer, and stays.
    async fn stay(self) -> Result<(), Failure> {
        let url = format!("ws://{}/xmpp-websocket?room={}", self.server, self.room);
        let mut socket = open(&url, Some("xmpp")).await?;
        let (mut login, first) = Login::start(DOMAIN);
        socket.send(Message::text(first)).await?;
        let jid = loop {
            let frame = next(&mut socket).await?;
            match login.handle_frame(&frame)? {
                Step::Send(frame) => socket.send(Message::text(frame)).await?,
                Step::Wait => {}
                Step::Bound(jid) => break jid.as_str().to_owned(),
            }
        };
        let room = format!("{}@muc.{DOMAIN}", self.room);
        let nick: String = jid.chars().take(8).collect();
        socket.send(Message::text(format!(r#"<iq xmlns="jabber:client" type="set" id="c" to="focus.{DOMAIN}"><conference xmlns="http://jitsi.org/protocol/focus" room="{room}" machine-uid="m{}"/></iq>"#, self.peer))).await?;
        while !next(&mut socket).await?.starts_with("<iq") {}
        socket
            .send(Message::text(self.presence(&format!("{room}/{nick}"))))
            .await?;
        let mut channel: Option<Socket> = None;
        let mut ping = tokio::time::interval(PING);
        ping.tick().await;
        loop {
            tokio::select! {
                _ = ping.tick() => {
                    socket.send(Message::text(format!(r#"<iq xmlns="jabber:client" type="get" id="p" to="{DOMAIN}"><ping xmlns="urn:xmpp:ping"/></iq>"#))).await?;
                }
                frame = next(&mut socket) => {
                    let frame = frame?;
                    if frame.starts_with("<iq")
                        && let Some(url) = self.answer(&mut socket, &frame, &jid, &nick).await?
                    {
                        let mut opened = open(&url, None).await?;
                        let wanted = ClientMessage::ReceiverVideoConstraints(VideoConstraints {
                            last_n: Some(-1),
                            default_constraints: Some(Constraint::height(720)),
                            ..VideoConstraints::default()
                        });
                        opened.send(Message::text(wanted.to_json())).await?;
                        self.open.set(self.open.get() + 1);
                        channel = Some(opened);
                    }
                    if frame.contains("type=\"error\"") || frame.contains("type='error'") {
                        eprintln!("occupant of peer {}: {frame}", self.peer);
                    }
                }
                message = async { channel.as_mut().expect("checked").next().await }, if channel.is_some() => {
                    if !matches!(message, Some(Ok(_))) {
                        return Err("the bridge closed the channel".into());
                    }
                }
            }
        }
    }

    fn presence(&self, own: &str) -> String {
        let nick = own.rsplit('/').next().unwrap_or_default();
        let muted = self.pattern.is_none();
        let camera = match self.cameras {
            true => format!(
                r#",&quot;{nick}-v0&quot;:{{&quot;muted&quot;:{muted},&quot;videoType&quot;:&quot;camera&quot;}}"#
            ),
            false => String::new(),
        };
        format!(
            r#"<presence xmlns="jabber:client" to="{own}"><x xmlns="http://jabber.org/protocol/muc"/><stats-id>Peer-{peer}</stats-id><c xmlns="http://jabber.org/protocol/caps" hash="sha-1" node="https://althing.example/forward" ver="forward-1"/><SourceInfo>{{&quot;{nick}-a0&quot;:{{&quot;muted&quot;:{muted}}}{camera}}}</SourceInfo><jitsi_participant_codecList>vp8</jitsi_participant_codecList><nick xmlns="http://jabber.org/protocol/nick">Peer {peer}</nick></presence>"#,
            peer = self.peer
        )
    }

    /// Answers what the focus asks; the address of the bridge channel when it was an offer.
    async fn answer(
        &self,
        socket: &mut Socket,
        frame: &str,
        jid: &str,
        nick: &str,
    ) -> Result<Option<String>, Failure> {
        let iq = parse(frame, &Limits::default())?;
        let (id, from) = (
            iq.attr("id").unwrap_or_default(),
            iq.attr("from").unwrap_or_default(),
        );
        if !matches!(iq.attr("type"), Some("get" | "set")) {
            return Ok(None);
        }
        if frame.contains("disco#info") {
            socket
                .send(Message::text(abilities(id, from, "forward")))
                .await?;
            return Ok(None);
        }
        socket
            .send(Message::text(acknowledgement(id, from)))
            .await?;
        let Ok(Jingle {
            sid,
            body: Body::SessionInitiate(offer),
            ..
        }) = Jingle::parse(&iq)
        else {
            return Ok(None);
        };
        let (transport, sources) = self.connect(&offer, nick)?;
        let accept = Answer {
            sid: &sid,
            initiator: from,
            responder: jid,
            offer: &offer,
            transport: &transport,
            sources: &sources,
            initial_last_n: None,
        };
        let accept = accept.to_element().to_xml();
        socket
            .send(Message::text(format!(
                r#"<iq xmlns="jabber:client" type="set" id="j" to="{from}">{accept}</iq>"#
            )))
            .await?;
        let offered = offer.transport.as_ref().ok_or("no transport")?;
        let url = offered.web_sockets.first().ok_or("no bridge channel")?;
        // Its path, at the address that we know.
        let path = url.splitn(4, '/').nth(3).unwrap_or_default();
        Ok(Some(format!("ws://{}/{path}", self.server)))
    }

    /// Starts ICE, and the sources if we have any.
    fn connect(
        &self,
        offer: &RemoteOffer,
        nick: &str,
    ) -> Result<(AnswerTransport, Vec<SourceDescription>), Failure> {
        let transport = offer.transport.as_ref().ok_or("no transport")?;
        let (Some(ufrag), Some(password)) = (&transport.ufrag, &transport.password) else {
            return Err("no ICE credentials".into());
        };
        let remote = RemoteParameters {
            credentials: IceCredentials {
                ufrag: ufrag.clone(),
                password: password.clone(),
            },
            fingerprints: transport
                .fingerprints
                .iter()
                .filter_map(|f| Fingerprint::parse(&f.algorithm, &f.value).ok())
                .collect(),
            candidates: transport
                .candidates
                .iter()
                .filter(|c| !c.tcp)
                .map(|c| c.address)
                .collect(),
        };
        let credentials = IceCredentials::generate(&mut Random);
        let fingerprint = self.certificate.fingerprint();
        let answer = AnswerTransport {
            ufrag: credentials.ufrag.clone(),
            password: credentials.password.clone(),
            fingerprint: (
                fingerprint.algorithm.as_str().to_owned(),
                fingerprint.to_string(),
            ),
            candidates: Vec::new(),
        };
        let settings = Settings {
            credentials,
            certificate: Arc::clone(&self.certificate),
            controlling: false,
            dtls: DtlsRole::Client,
            tie_breaker: Random.next_u64(),
        };
        let source = |kind: MediaKind, suffix: &str, encoding| SourceDescription {
            name: SourceName::new(format!("{nick}-{suffix}")).unwrap(),
            kind,
            video_type: VideoType::Camera,
            msid: format!("{nick}-{}-0-1 t{}", kind.as_str(), self.peer),
            encodings: vec![encoding],
        };
        let mut sources = Vec::new();
        let (audio, video) = (self.ssrc, Random.ssrc());
        if self.signals {
            let audio = Encoding {
                primary: audio,
                rtx: None,
            };
            let video = Encoding {
                primary: video,
                rtx: Some(Random.ssrc()),
            };
            sources.push(source(MediaKind::Audio, "a0", audio));
            if self.cameras {
                sources.push(source(MediaKind::Video, "v0", video));
            }
        }
        let mut engine = self.generator.lock();
        let agreed = Agreed {
            transport_cc: Some(extension::TRANSPORT_CC),
            media: vec![100, 111],
        };
        engine.connect(self.peer, settings, remote, agreed);
        if let Some(pattern) = self.pattern {
            let ssrc = if pattern.video { video } else { audio };
            engine.add_flow(Flow::new(self.peer, self.group, pattern, ssrc));
        }
        Ok((answer, sources))
    }
}
