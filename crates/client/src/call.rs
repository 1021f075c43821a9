//! One Jingle session: from the focus's offer to a running media task and bridge channel.

use crate::channel::Channel;
use crate::media::{self, Command, Mapping, Media, Sending};
use crate::stats::Recorder;
use crate::{ClientSettings, packets};
use althing_model::{Encoding, Entropy, MediaKind, SourceDescription, SourceName, VideoType};
use althing_transport::{
    Certificate, DtlsRole, Fingerprint, IceCredentials, RemoteParameters, Settings,
};
use althing_xmpp::Element;
use althing_xmpp::jingle::{Answer, AnswerTransport, RawSources, RemoteOffer, Transport};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Instant;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Mappings in flight to the media task.
const COMMANDS: usize = 256;

/// Who we are in the room.
pub(crate) struct Own<'a> {
    pub(crate) endpoint: &'a str,
    pub(crate) jid: &'a str,
    pub(crate) focus: &'a str,
    pub(crate) recorder: &'a Arc<Mutex<Recorder>>,
    pub(crate) started: Instant,
    pub(crate) tasks: &'a TaskTracker,
}

/// A session under way; dropping it ends its tasks.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) sid: String,
    media: mpsc::Sender<Command>,
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
        let certificate = Certificate::generate().map_err(|e| e.to_string())?;
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
        let first = |kind| {
            sources
                .iter()
                .find(|s| s.kind == kind)
                .map(SourceDescription::first)
        };
        let sending = Sending {
            audio: first(MediaKind::Audio).map(|e| e.primary),
            video: first(MediaKind::Video).and_then(|e| Some((e.primary, e.rtx?))),
            sender: packets::sender(own.endpoint),
        };
        let settings_of_transport = Settings {
            credentials,
            certificate,
            controlling: false,
            dtls: DtlsRole::Client,
            tie_breaker: entropy.next_u64(),
        };
        let media = Media::bind(
            settings_of_transport,
            &remote.candidates,
            sending,
            Arc::clone(own.recorder),
            own.started,
        )
        .map_err(|e| e.to_string())?;
        let (commands, queue) = mpsc::channel(COMMANDS);
        let stop = CancellationToken::new();
        own.tasks.spawn(media.run(queue, stop.clone()));
        commands
            .try_send(Command::Remote(remote))
            .map_err(|e| e.to_string())?;

        if let Some(url) = transport.web_sockets.first() {
            let channel = Channel {
                url: url.clone(),
                accept_any_certificate: settings.accept_any_certificate,
                receive_height: settings.receive_height,
                own_video: settings.send_video.then(|| format!("{}-v0", own.endpoint)),
                media: commands.clone(),
                recorder: Arc::clone(own.recorder),
            };
            own.tasks.spawn(channel.run(stop.clone()));
        }
        let accept = Answer {
            sid: &sid,
            initiator: own.focus,
            responder: own.jid,
            offer,
            transport: &answer_transport,
            sources: &sources,
            initial_last_n: None,
        }
        .to_element();
        let call = Self {
            sid,
            media: commands,
            stop,
        };
        call.map(&offer.sources);
        Ok((call, accept))
    }

    /// Notes signalled sources of others (the modes without rewriting).
    pub(crate) fn map(&self, sources: &RawSources) {
        let mappings = mappings(sources);
        if !mappings.is_empty() && self.media.try_send(Command::Map(mappings)).is_err() {
            tracing::warn!(
                "too many source changes at once; media of some will be counted as wrong"
            );
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
    for (wanted, kind, suffix) in [
        (settings.send_audio, MediaKind::Audio, "a0"),
        (settings.send_video, MediaKind::Video, "v0"),
    ] {
        if wanted {
            sources.push(SourceDescription {
                name: SourceName::new(format!("{endpoint}-{suffix}")).map_err(|e| e.to_string())?,
                kind,
                video_type: VideoType::Camera,
                msid: format!("{endpoint}-{}-0-1 {}", kind.as_str(), entropy.token(8)),
                encodings: vec![Encoding {
                    primary: entropy.ssrc(),
                    rtx: (kind == MediaKind::Video).then(|| entropy.ssrc()),
                }],
            });
        }
    }
    Ok(sources)
}

fn mappings(sources: &RawSources) -> Vec<Mapping> {
    let Ok(described) = sources.fold() else {
        return Vec::new();
    };
    described
        .iter()
        .filter(|source| source.name.owner().as_str() != "jvb")
        .map(|source| Mapping {
            ssrc: source.first().primary,
            rtx: source.first().rtx,
            owner: media::owner_of(source.name.owner().as_str()),
            kind: source.kind,
        })
        .collect()
}
