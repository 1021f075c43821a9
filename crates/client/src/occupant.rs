//! The signalling half of an occupant: into the room, then answering whatever the room says.

use crate::call::{Call, Own};
use crate::media::unix_micros;
use crate::packets::{self, Sender};
use crate::stats::Recorder;
use crate::stream::{Incoming, Stream, refused};
use crate::{ClientSettings, Error, Flood, SignallingMode, VideoSettings, Watch};
use althing_model::{Entropy, SourceName};
use althing_xmpp::jingle::{Body, Jingle};
use althing_xmpp::stanza::{self, Condition};
use althing_xmpp::{Element, ns};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// As stock clients do.
const PING_EVERY: Duration = Duration::from_secs(10);
/// What our capabilities are filed under.
const CAPS_NODE: &str = "https://althing.example/client";

/// What a browser leaves as it is (`encodeURIComponent`).
const KEPT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'!')
    .remove(b'~')
    .remove(b'*')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')');

/// A room's name as typed, as the local part of its address.
fn localpart(room: &str) -> String {
    utf8_percent_encode(&room.to_lowercase(), KEPT)
        .to_string()
        .to_lowercase()
}

/// What the client's owner asks of the occupant.
#[derive(Debug)]
pub(crate) enum Request {
    Stanza(Element),
    Watch(Watch),
    Show(VideoSettings),
    AskKeyframes,
    Flood(Flood),
    Cut,
}

/// An occupant in a room.
pub(crate) struct Occupant {
    settings: ClientSettings,
    stream: Stream,
    room: String,
    endpoint: String,
    recorder: Arc<Mutex<Recorder>>,
    started: Instant,
    tasks: TaskTracker,
    /// Eight bytes each: in a room of a thousand everybody knows everybody.
    others: HashSet<Sender>,
    call: Option<Call>,
    watch: Watch,
    /// Pictures beside the camera: their numbers and what they are.
    shown: Vec<(u8, VideoSettings)>,
    entropy: Box<dyn Entropy + Send>,
}

impl Occupant {
    /// Asks for the conference, joins, and waits for our own presence.
    pub(crate) async fn join(
        settings: ClientSettings,
        mut stream: Stream,
        started: Instant,
        tasks: TaskTracker,
        entropy: Box<dyn Entropy + Send>,
    ) -> Result<Self, Error> {
        let domain = settings.domain.clone();
        let room = format!("{}@muc.{domain}", localpart(&settings.room));
        let jid = stream.jid().as_str().to_owned();
        let endpoint = jid.split('-').next().unwrap_or_default().to_owned();

        let conference = Element::new("conference", ns::FOCUS)
            .with_attr("room", room.as_str())
            .with_attr("machine-uid", format!("headless-{endpoint}"));
        stream
            .request(
                "asking for the conference",
                Some(&format!("focus.{domain}")),
                "set",
                conference,
            )
            .await?;

        let since = u64::try_from(started.elapsed().as_micros()).unwrap_or(0);
        let recorder = Recorder::new(
            packets::sender(&endpoint),
            unix_micros().saturating_sub(since),
        );
        let recorder = Arc::new(Mutex::new(recorder));
        let watch = Watch {
            height: settings.receive_height,
            ..Watch::default()
        };
        let mut occupant = Self {
            watch,
            shown: Vec::new(),
            settings,
            stream,
            room,
            endpoint,
            recorder,
            started,
            tasks,
            others: HashSet::new(),
            call: None,
            entropy,
        };
        let presence = occupant.join_presence();
        occupant.stream.send(&presence).await?;
        let own = format!("{}/{}", occupant.room, occupant.endpoint);
        loop {
            match occupant.stream.next(&own).await? {
                Incoming::Presence { from, kind } => occupant.presence(&from, kind.as_deref()),
                Incoming::Stanza(stanza) => {
                    if stanza.name() == "presence" && stanza.attr("from") == Some(own.as_str()) {
                        return match stanza.attr("type") {
                            None => Ok(occupant),
                            _ => Err(refused("joining the room", &stanza)),
                        };
                    }
                    occupant.handle(&stanza).await?;
                }
            }
        }
    }

    pub(crate) fn recorder(&self) -> Arc<Mutex<Recorder>> {
        Arc::clone(&self.recorder)
    }

    /// Our address in the room.
    pub(crate) fn address(&self) -> String {
        format!("{}/{}", self.room, self.endpoint)
    }

    /// What a joining client sends.
    fn join_presence(&self) -> Element {
        let mut presence = self.presence_stanza();
        presence.push(Element::new("x", ns::MUC));
        presence
    }

    /// About 1.5 kB on the wire with what the room adds, as stock clients send.
    fn presence_stanza(&self) -> Element {
        let muted = |sends: bool| if sends { "false" } else { "true" };
        let shown: String = (self.shown.iter())
            .map(|(number, video)| {
                let kind = if video.is_screen { "desktop" } else { "camera" };
                format!(
                    r#","{}-v{number}":{{"muted":false,"videoType":"{kind}"}}"#,
                    self.endpoint
                )
            })
            .collect();
        let camera = format!(
            r#","{}-v0":{{"muted":{},"videoType":"camera"}}"#,
            self.endpoint,
            muted(self.settings.send_video)
        );
        // A screen alone takes the camera's place.
        let camera = match self.shown.first() {
            Some((0, _)) => String::new(),
            _ => camera,
        };
        let source_info = format!(
            r#"{{"{}-a0":{{"muted":{}}}{camera}{shown}}}"#,
            self.endpoint,
            muted(self.settings.send_audio),
        );
        let text =
            |name: &'static str, text: String| Element::new(name, ns::CLIENT).with_text(text);
        stanza::presence(
            None,
            None,
            Some(&format!("{}/{}", self.room, self.endpoint)),
        )
        .with_child(text("stats-id", format!("Headless-{}", self.endpoint)))
        .with_child(
            Element::new("c", ns::CAPS)
                .with_attr("hash", "sha-1")
                .with_attr("node", CAPS_NODE)
                .with_attr("ver", self.caps_ver()),
        )
        .with_child(text("SourceInfo", source_info))
        .with_child(text("jitsi_participant_codecList", "vp8".to_owned()))
        .with_child(Element::new("nick", ns::NICK).with_text(self.settings.name.clone()))
    }

    const fn caps_ver(&self) -> &'static str {
        match self.settings.mode {
            SignallingMode::Rewriting => "rewriting-1",
            SignallingMode::Json => "json-1",
            SignallingMode::Xml => "xml-1",
        }
    }

    /// Answers until told to stop or until the connection ends.
    pub(crate) async fn run(
        mut self,
        mut requests: mpsc::Receiver<Request>,
        stop: CancellationToken,
    ) {
        let mut ping = tokio::time::interval(PING_EVERY);
        ping.tick().await;
        let own = self.address();
        let ended = loop {
            let step = tokio::select! {
                () = stop.cancelled() => break Ok(()),
                _ = ping.tick() => self.ping().await,
                Some(request) = requests.recv() => match request {
                    Request::Cut => {
                        // The sockets close when they are dropped, and nobody says a word.
                        if let Some(call) = &self.call {
                            call.cut();
                        }
                        return;
                    }
                    request => self.request(request).await,
                },
                incoming = self.stream.next(&own) => match incoming {
                    Ok(incoming) => self.incoming(incoming).await,
                    Err(error) => Err(error),
                },
            };
            if let Err(error) = step {
                break Err(error);
            }
        };
        self.call = None;
        match ended {
            Ok(()) => {
                if let Err(error) = self.stream.close().await {
                    tracing::debug!(%error, "leaving");
                }
            }
            Err(error) => {
                tracing::warn!(%error, "an occupant's connection ended");
                self.note(|r| r.cut_off = true);
            }
        }
    }

    fn note(&self, change: impl FnOnce(&mut Recorder)) {
        change(
            &mut self
                .recorder
                .lock()
                .expect("no holder of the recorder panics"),
        );
    }

    async fn incoming(&mut self, incoming: Incoming) -> Result<(), Error> {
        let (stanzas, bytes) = self.stream.received;
        self.note(|r| (r.stanzas, r.stanza_bytes) = (stanzas, bytes));
        match incoming {
            Incoming::Presence { from, kind } => {
                self.presence(&from, kind.as_deref());
                Ok(())
            }
            Incoming::Stanza(stanza) => self.handle(&stanza).await,
        }
    }

    async fn request(&mut self, request: Request) -> Result<(), Error> {
        match request {
            Request::Stanza(stanza) => self.stream.send(&stanza).await,
            Request::Watch(watch) => {
                if let Some(call) = &self.call {
                    call.watch(&watch);
                }
                self.watch = watch;
                Ok(())
            }
            Request::AskKeyframes => {
                if let Some(call) = &self.call {
                    call.ask_keyframes();
                }
                Ok(())
            }
            Request::Flood(flood) => {
                if let Some(call) = &self.call {
                    call.flood(flood);
                }
                Ok(())
            }
            Request::Show(video) => self.show(video).await,
            Request::Cut => Ok(()),
        }
    }

    /// One more picture of ours, as a person begins to share a screen.
    async fn show(&mut self, video: VideoSettings) -> Result<(), Error> {
        let before = self.shown.last().map(|(number, _)| *number);
        let number = match before {
            Some(last) => last.saturating_add(1),
            None => u8::from(self.settings.send_video),
        };
        let Ok(name) = SourceName::new(format!("{}-v{number}", self.endpoint)) else {
            return Ok(());
        };
        self.shown.push((number, video.clone()));
        let presence = self.presence_stanza();
        self.stream.send(&presence).await?;
        let Some(call) = &self.call else {
            tracing::warn!("nothing to show a picture in: nobody else is here");
            return Ok(());
        };
        let focus = format!("{}/focus", self.room);
        let jingle = call.show(name, number, video, &focus, &mut *self.entropy);
        let id = self.stream.id();
        let iq = stanza::iq(stanza::IqType::Set, &id, None, Some(&focus)).with_child(jingle);
        self.stream.send(&iq).await
    }

    async fn ping(&mut self) -> Result<(), Error> {
        let id = self.stream.id();
        let ping = stanza::iq(stanza::IqType::Get, &id, None, Some(&self.settings.domain))
            .with_child(Element::new("ping", ns::PING));
        self.stream.send(&ping).await
    }

    async fn handle(&mut self, stanza: &Element) -> Result<(), Error> {
        match stanza.name() {
            "presence" => {
                if let Some(from) = stanza.attr("from") {
                    self.presence(from, stanza.attr("type"));
                }
                Ok(())
            }
            "iq" if matches!(stanza.attr("type"), Some("get" | "set")) => self.iq(stanza).await,
            "iq" => {
                if stanza.attr("type") == Some("error") {
                    let error = stanza::StanzaError::of(stanza);
                    tracing::warn!(?error, "a request was refused");
                    self.note(|r| r.refused += 1);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn presence(&mut self, from: &str, kind: Option<&str>) {
        let Some(nick) = from
            .strip_prefix(self.room.as_str())
            .and_then(|rest| rest.strip_prefix('/'))
        else {
            return;
        };
        if nick == "focus" || nick == self.endpoint {
            return;
        }
        match kind {
            None => {
                self.others.insert(packets::sender(nick));
            }
            Some("unavailable") => {
                self.others.remove(&packets::sender(nick));
            }
            Some(_) => {}
        }
        let others = self.others.len();
        self.note(|r| r.others = others);
    }

    async fn iq(&mut self, iq: &Element) -> Result<(), Error> {
        let Some(payload) = stanza::payload(iq) else {
            return self
                .stream
                .send(&stanza::refuse(iq, Condition::BadRequest, None))
                .await;
        };
        if payload.is("query", ns::DISCO_INFO) {
            let answer = stanza::result_reply(iq).with_child(self.features(payload.attr("node")));
            return self.stream.send(&answer).await;
        }
        if payload.is("jingle", ns::JINGLE) {
            return self.jingle(iq).await;
        }
        self.stream
            .send(&stanza::refuse(iq, Condition::ServiceUnavailable, None))
            .await
    }

    fn features(&self, node: Option<&str>) -> Element {
        let mut features = vec![
            ns::DISCO_INFO,
            ns::JINGLE,
            ns::JINGLE_RTP,
            ns::JINGLE_RTP_AUDIO,
            ns::JINGLE_RTP_VIDEO,
            ns::ICE_UDP,
            ns::DTLS,
            ns::RFC4588,
            ns::FEATURE_TCC,
        ];
        if self.settings.mode != SignallingMode::Xml {
            features.push(ns::FEATURE_JSON_SOURCES);
        }
        if self.settings.mode == SignallingMode::Rewriting {
            features.push(ns::FEATURE_SSRC_REWRITING);
        }
        Element::new("query", ns::DISCO_INFO)
            .with_attr_opt("node", node)
            .with_child(
                Element::new("identity", ns::DISCO_INFO)
                    .with_attr("category", "client")
                    .with_attr("type", "bot")
                    .with_attr("name", "althing headless client"),
            )
            .with_children(
                features
                    .into_iter()
                    .map(|var| Element::new("feature", ns::DISCO_INFO).with_attr("var", var)),
            )
    }

    async fn jingle(&mut self, iq: &Element) -> Result<(), Error> {
        let from = iq.attr("from").unwrap_or_default().to_owned();
        if from != format!("{}/focus", self.room) {
            return self
                .stream
                .send(&stanza::refuse(iq, Condition::ServiceUnavailable, None))
                .await;
        }
        let jingle = match Jingle::parse(iq) {
            Ok(jingle) => jingle,
            Err(error) => {
                tracing::warn!(%error, "an offer or change cannot be read");
                return self
                    .stream
                    .send(&stanza::refuse(iq, error.condition(), None))
                    .await;
            }
        };
        // As stock clients do: acknowledged first, acted on afterwards.
        self.stream.send(&stanza::result_reply(iq)).await?;
        match jingle.body {
            Body::SessionInitiate(offer) => {
                let jid = self.stream.jid().as_str().to_owned();
                let own = Own {
                    endpoint: &self.endpoint,
                    jid: &jid,
                    focus: &from,
                    recorder: &self.recorder,
                    started: self.started,
                    tasks: &self.tasks,
                    watch: &self.watch,
                };
                match Call::accept(&self.settings, &own, jingle.sid, &offer, &mut *self.entropy) {
                    Ok((call, accept)) => {
                        self.call = Some(call);
                        let id = self.stream.id();
                        let iq = stanza::iq(stanza::IqType::Set, &id, None, Some(&from))
                            .with_child(accept);
                        self.stream.send(&iq).await?;
                    }
                    Err(reason) => tracing::warn!(reason, "the offer cannot be accepted"),
                }
            }
            Body::SourceAdd(sources) => {
                if let Some(call) = &self.call {
                    call.map(&sources);
                }
            }
            Body::SessionTerminate(_)
                if self
                    .call
                    .as_ref()
                    .is_some_and(|call| call.sid == jingle.sid) =>
            {
                self.call = None;
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rooms_name_is_written_as_a_browser_writes_it() {
        for (typed, written) in [
            ("My Room", "my%20room"),
            ("a+b", "a%2bb"),
            ("Ärger", "%c3%a4rger"),
            ("it's-me_(1)", "it's-me_(1)"),
        ] {
            assert_eq!(localpart(typed), written);
        }
    }
}
