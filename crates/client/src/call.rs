//! One Jingle session: from the focus's offer to media on a hub and a bridge channel.

use crate::channel::Channel;
use crate::hub::MediaHandle;
use crate::media::{Command, Mapping, MediaSettings, Sending, Video};
use crate::stats::Recorder;
use crate::{ClientSettings, Flood, VideoSettings, Watch, packets};
use althing_colibri::{ClientMessage, SourceVideoType};
use althing_model::{Encoding, Entropy, MediaKind, SourceDescription, SourceName, VideoType};
use althing_transport::{
    Certificate, DtlsRole, Fingerprint, IceCredentials, RemoteParameters, Settings,
};
use althing_xmpp::Element;
use althing_xmpp::jingle::{
    Answer, AnswerTransport, Change, RawSources, RemoteOffer, Transport, client_source_update,
};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Instant;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Messages of ours on their way to the bridge channel.
const MESSAGES: usize = 32;

/// Who we are in the room.
pub(crate) struct Own<'a> {
    pub(crate) endpoint: &'a str,
    pub(crate) jid: &'a str,
    pub(crate) focus: &'a str,
    pub(crate) recorder: &'a Arc<Mutex<Recorder>>,
    pub(crate) started: Instant,
    pub(crate) tasks: &'a TaskTracker,
    pub(crate) watch: &'a Watch,
}

/// A session under way; dropping it ends its tasks.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) sid: String,
    /// Nothing of an occupant without media.
    media: Option<MediaHandle>,
    channel: Option<mpsc::Sender<ClientMessage>>,
    stop: CancellationToken,
}

impl Drop for Call {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Call {
    /// Takes an offer: the call, and the `<jingle>` that accepts it.
    pub(crate) fn accept(
        settings: &ClientSettings,
        own: &Own<'_>,
        sid: String,
        offer: &RemoteOffer,
        entropy: &mut dyn Entropy,
    ) -> Result<(Self, Element), String> {
        let transport = offer
            .transport
            .as_ref()
            .ok_or("the offer has no transport")?;
        let remote = remote_parameters(transport)?;
        let certificate = match &settings.hub {
            Some(hub) => hub.certificate(),
            None => Certificate::generate(),
        }
        .map_err(|e| e.to_string())?;
        let credentials = IceCredentials::generate(entropy);
        let fingerprint = certificate.fingerprint();
        let answer_transport = AnswerTransport {
            ufrag: credentials.ufrag.clone(),
            password: credentials.password.clone(),
            fingerprint: (
                fingerprint.algorithm.as_str().to_owned(),
                fingerprint.to_string(),
            ),
            candidates: Vec::new(),
        };
        let sources = own_sources(settings, own.endpoint, entropy)?;
        let transport_settings = Settings {
            credentials,
            certificate,
            controlling: false,
            dtls: DtlsRole::Client,
            tie_breaker: entropy.next_u64(),
        };
        let stop = CancellationToken::new();
        let mut call = Self {
            sid,
            media: None,
            channel: None,
            stop: stop.clone(),
        };
        if let Some(hub) = settings.hub.as_ref().filter(|_| settings.media) {
            let media_settings = MediaSettings {
                transport: transport_settings,
                remote,
                sending: sending(settings, own.endpoint, &sources),
                recorder: Arc::clone(own.recorder),
                started: own.started,
            };
            let (downlink, uplink) = (settings.downlink.clone(), settings.uplink.clone());
            let media = hub
                .join(media_settings, downlink, uplink)
                .map_err(|e| e.to_string())?;
            if let Some(url) = transport.web_sockets.first() {
                let (messages, queue) = mpsc::channel(MESSAGES);
                let channel = Channel {
                    url: url.clone(),
                    accept_any_certificate: settings.accept_any_certificate,
                    watch: own.watch.clone(),
                    endpoint: own.endpoint.to_owned(),
                    media: media.teller(),
                    recorder: Arc::clone(own.recorder),
                };
                own.tasks.spawn(channel.run(queue, stop));
                call.channel = Some(messages);
            }
            call.media = Some(media);
        }
        let accept = Answer {
            sid: &call.sid,
            initiator: own.focus,
            responder: own.jid,
            offer,
            transport: &answer_transport,
            sources: &sources,
            initial_last_n: None,
        }
        .to_element();
        call.map(&offer.sources);
        Ok((call, accept))
    }

    /// Notes signalled sources of others (the modes without rewriting), and the bridge's own.
    pub(crate) fn map(&self, sources: &RawSources) {
        let mappings = mappings(sources);
        if !mappings.is_empty() {
            self.tell(Command::Map(mappings));
        }
    }

    fn tell(&self, command: Command) {
        if let Some(media) = &self.media
            && !media.try_tell(command)
        {
            tracing::warn!("the media threads are too busy; figures of some will be wrong");
        }
    }

    /// Asks for other video than before.
    pub(crate) fn watch(&self, watch: &Watch) {
        self.message(watch.to_message());
    }

    pub(crate) fn ask_keyframes(&self) {
        self.tell(Command::AskKeyframes);
    }

    pub(crate) fn flood(&self, flood: Flood) {
        self.tell(Command::Flood(flood));
    }

    fn message(&self, message: ClientMessage) {
        if let Some(channel) = &self.channel
            && channel.try_send(message).is_err()
        {
            tracing::warn!("the bridge channel is too busy for a message of ours");
        }
    }

    /// Begins to send one more picture; the `<jingle>` that says so.
    pub(crate) fn show(
        &self,
        name: SourceName,
        number: u8,
        settings: VideoSettings,
        initiator: &str,
        entropy: &mut dyn Entropy,
    ) -> Element {
        let source = video_source(name.clone(), &settings, entropy);
        let add = client_source_update(
            Change::Add,
            &self.sid,
            initiator,
            std::slice::from_ref(&source),
        );
        self.message(ClientMessage::SourceVideoTypeMessage(SourceVideoType {
            source_name: name,
            video_type: source.video_type,
        }));
        self.tell(Command::Show(Video {
            number,
            settings,
            encodings: source.encodings,
        }));
        add
    }

    /// Stops without a word, as a network does that breaks.
    pub(crate) fn cut(&self) {
        if let Some(media) = &self.media {
            media.cut();
        }
    }
}

fn remote_parameters(transport: &Transport) -> Result<RemoteParameters, String> {
    let (Some(ufrag), Some(password)) = (&transport.ufrag, &transport.password) else {
        return Err("the offer has no ICE credentials".to_owned());
    };
    let fingerprints: Vec<Fingerprint> = transport
        .fingerprints
        .iter()
        .filter_map(|f| Fingerprint::parse(&f.algorithm, &f.value).ok())
        .collect();
    let candidates: Vec<SocketAddr> = transport
        .candidates
        .iter()
        .filter(|c| !c.tcp)
        .map(|c| c.address)
        .collect();
    Ok(RemoteParameters {
        credentials: IceCredentials {
            ufrag: ufrag.clone(),
            password: password.clone(),
        },
        fingerprints,
        candidates,
    })
}

fn own_sources(
    settings: &ClientSettings,
    endpoint: &str,
    entropy: &mut dyn Entropy,
) -> Result<Vec<SourceDescription>, String> {
    let mut sources = Vec::new();
    let name = |suffix| SourceName::new(format!("{endpoint}-{suffix}")).map_err(|e| e.to_string());
    if settings.send_audio {
        sources.push(SourceDescription {
            name: name("a0")?,
            kind: MediaKind::Audio,
            video_type: VideoType::Camera,
            msid: format!("{endpoint}-audio-0-1 {}", entropy.token(8)),
            encodings: vec![Encoding {
                primary: entropy.ssrc(),
                rtx: None,
            }],
        });
    }
    if settings.send_video {
        sources.push(video_source(name("v0")?, &settings.video, entropy));
    }
    Ok(sources)
}

fn video_source(
    name: SourceName,
    settings: &VideoSettings,
    entropy: &mut dyn Entropy,
) -> SourceDescription {
    SourceDescription {
        kind: MediaKind::Video,
        video_type: match (settings.is_screen, settings.frame_rate) {
            (false, _) => VideoType::Camera,
            (true, 0..=5) => VideoType::Desktop,
            (true, _) => VideoType::DesktopHighFps,
        },
        msid: format!("{name}-video-0-1 {}", entropy.token(8)),
        name,
        encodings: settings
            .encodings
            .iter()
            .map(|_| Encoding {
                primary: entropy.ssrc(),
                rtx: Some(entropy.ssrc()),
            })
            .collect(),
    }
}

fn sending(settings: &ClientSettings, endpoint: &str, sources: &[SourceDescription]) -> Sending {
    let of = |kind| sources.iter().find(|s| s.kind == kind);
    Sending {
        sender: packets::sender(endpoint),
        audio: of(MediaKind::Audio).map(|s| (s.first().primary, settings.audio_bitrate)),
        videos: of(MediaKind::Video)
            .map(|source| Video {
                number: 0,
                settings: settings.video.clone(),
                encodings: source.encodings.clone(),
            })
            .into_iter()
            .collect(),
    }
}

fn mappings(sources: &RawSources) -> Vec<Mapping> {
    let Ok(described) = sources.fold() else {
        return Vec::new();
    };
    described
        .iter()
        .map(|source| {
            let first = source.first();
            let owner = source.name.owner();
            Mapping::new(
                source.name.as_str(),
                owner.as_str(),
                source.kind,
                first.primary,
                first.rtx,
            )
        })
        .collect()
}
