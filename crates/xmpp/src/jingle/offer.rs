use super::json;
use super::media::{PayloadTypeOffer, write_extension};
use super::parse::BridgeSession;
use super::sources::{RawSources, feedback_sources, strip_simulcast};
use super::transport::{Candidate, Fingerprint, Setup, write_candidate, write_fingerprint};
use super::xml::{self, Writer};
use crate::element::Element;
use crate::features::{ClientFeatures, SourceMode};
use crate::ns;
use althing_model::profile::{self, Codec, PayloadType};
use althing_model::{FeedbackSources, MediaKind, Secret, SourceDescription};

/// The bridge's side of the transport, as written into every content of an offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfferTransport {
    /// ICE user name fragment.
    pub ufrag: String,
    /// ICE password.
    pub password: Secret,
    /// Algorithm and value of the bridge's certificate fingerprint. Its role is always open:
    /// clients begin the handshake.
    pub fingerprint: (String, String),
    /// All of them: clients ignore what comes later.
    pub candidates: Vec<Candidate>,
    /// The one URL of the bridge channel.
    pub web_socket: Option<String>,
}

/// A session-initiate from the focus (protocol 2 §4). `data` is never offered, so every client uses
/// the bridge channel's WebSocket.
#[derive(Debug, Clone, Copy)]
pub struct Offer<'a> {
    /// New for each offer.
    pub sid: &'a str,
    /// The focus's real full address.
    pub initiator: &'a str,
    /// Of the receiver; they decide contents, payload types, extensions and source mode.
    pub features: ClientFeatures,
    /// The same in every content.
    pub transport: &'a OfferTransport,
    /// What the client names when it wants to restart.
    pub bridge_session: &'a BridgeSession,
    /// The bridge's own sources.
    pub feedback: FeedbackSources,
    /// Everybody else's; not used when the bridge maps them. Simulcast is stripped here.
    pub sources: &'a [SourceDescription],
}

impl Offer<'_> {
    /// The `<jingle>` element.
    #[must_use]
    pub fn to_element(&self) -> Element {
        let mode = self.features.source_mode();
        let kinds = self.kinds();
        let sources = self.signalled(mode, &kinds);
        let mut jingle = Element::new("jingle", ns::JINGLE)
            .with_attr("action", "session-initiate")
            .with_attr("sid", self.sid)
            .with_attr("initiator", self.initiator);
        for &media in &kinds {
            jingle.push(self.content(media, mode, &sources));
        }
        jingle.push(bundle(kinds.iter().map(|k| k.as_str())));
        jingle.push(self.bridge_session.to_element());
        if mode != SourceMode::Xml {
            jingle.push(json::message(&sources));
        }
        jingle
    }

    /// What the receiver knows after this offer, the bridge's own sources included.
    #[must_use]
    pub fn signalled_sources(&self) -> Vec<SourceDescription> {
        self.signalled(self.features.source_mode(), &self.kinds())
    }

    fn kinds(&self) -> Vec<MediaKind> {
        let audio = self.features.audio.then_some(MediaKind::Audio);
        let video = self.features.video.then_some(MediaKind::Video);
        audio.into_iter().chain(video).collect()
    }

    fn signalled(&self, mode: SourceMode, kinds: &[MediaKind]) -> Vec<SourceDescription> {
        let others = match mode {
            SourceMode::Rewriting => &[],
            SourceMode::Json | SourceMode::Xml => self.sources,
        };
        feedback_sources(self.feedback)
            .iter()
            .chain(others)
            .filter(|s| kinds.contains(&s.kind))
            .map(strip_simulcast)
            .collect()
    }

    fn content(
        &self,
        media: MediaKind,
        mode: SourceMode,
        sources: &[SourceDescription],
    ) -> Element {
        let mut description =
            Element::new("description", ns::JINGLE_RTP).with_attr("media", media.as_str());
        match media {
            MediaKind::Audio => {
                description.set_attr("maxptime", "60");
                // Its nameless parameter is more than gst-meet can read, which takes XML only.
                if self.features.opus_red && mode != SourceMode::Xml {
                    description.push(plain(&profile::RED).to_element());
                }
                for payload in profile::AUDIO {
                    description.push(self.audio_payload(payload).to_element());
                }
            }
            MediaKind::Video => {
                for payload in profile::VIDEO {
                    description.push(self.video_payload(payload).to_element());
                }
                if self.features.rtx {
                    for payload in retransmissions() {
                        description.push(payload.to_element());
                    }
                }
            }
        }
        for extension in profile::extensions(media) {
            if extension.uri != profile::TRANSPORT_CC_URI || self.features.tcc {
                description.push(write_extension(extension.id, extension.uri));
            }
        }
        description.push(Element::new("extmap-allow-mixed", ns::RTP_HDREXT));
        description.push(Element::new("rtcp-mux", ns::JINGLE_RTP));
        if mode == SourceMode::Xml {
            let raw = RawSources::of(sources);
            xml::write(&raw, media, Writer::Server, &mut description);
        }
        Element::new("content", ns::JINGLE)
            .with_attr("creator", "initiator")
            .with_attr("name", media.as_str())
            .with_attr("senders", "both")
            .with_child(description)
            .with_child(self.transport.to_element(media))
    }

    fn audio_payload(&self, payload: &PayloadType) -> PayloadTypeOffer {
        let mut out = plain(payload);
        if payload.codec == Codec::Opus && self.features.tcc {
            out.feedback.push(("transport-cc".into(), None));
        }
        out
    }

    fn video_payload(&self, payload: &PayloadType) -> PayloadTypeOffer {
        let mut out = plain(payload);
        out.feedback = loss_feedback();
        if self.features.tcc {
            out.feedback.push(("transport-cc".into(), None));
        } else if self.features.remb {
            out.feedback.push(("goog-remb".into(), None));
        }
        out
    }
}

fn plain(payload: &PayloadType) -> PayloadTypeOffer {
    PayloadTypeOffer {
        id: payload.number,
        name: payload.name.to_owned(),
        clock_rate: payload.clock_rate,
        channels: payload.channels,
        parameters: payload
            .parameters
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        feedback: Vec::new(),
    }
}

fn loss_feedback() -> Vec<(String, Option<String>)> {
    vec![
        ("ccm".into(), Some("fir".into())),
        ("nack".into(), None),
        ("nack".into(), Some("pli".into())),
    ]
}

/// The `rtx` payload types in the stock order, by number. The one of H.264 has no feedback there.
fn retransmissions() -> Vec<PayloadTypeOffer> {
    let mut out: Vec<PayloadTypeOffer> = profile::VIDEO
        .iter()
        .filter_map(|payload| {
            Some(PayloadTypeOffer {
                id: payload.rtx?,
                name: "rtx".into(),
                clock_rate: payload.clock_rate,
                channels: 1,
                parameters: vec![("apt".into(), payload.number.to_string())],
                feedback: match payload.codec {
                    Codec::H264 => Vec::new(),
                    _ => loss_feedback(),
                },
            })
        })
        .collect();
    out.sort_by_key(|payload| payload.id);
    out
}

pub(super) fn bundle<'a>(names: impl Iterator<Item = &'a str>) -> Element {
    Element::new("group", ns::GROUPING)
        .with_attr("semantics", "BUNDLE")
        .with_children(
            names.map(|name| Element::new("content", ns::GROUPING).with_attr("name", name)),
        )
}

impl OfferTransport {
    fn to_element(&self, media: MediaKind) -> Element {
        let mut out = Element::new("transport", ns::ICE_UDP)
            .with_attr("ufrag", self.ufrag.as_str())
            .with_attr("pwd", self.password.expose());
        if let Some(url) = &self.web_socket {
            out.push(Element::new("web-socket", ns::COLIBRI).with_attr("url", url.as_str()));
        }
        out.push(Element::new("rtcp-mux", ns::ICE_UDP));
        let (algorithm, value) = self.fingerprint.clone();
        let fingerprint = Fingerprint {
            algorithm,
            value,
            setup: Some(Setup::ActPass),
        };
        out.push(write_fingerprint(&fingerprint, Some("false")));
        let letter = match media {
            MediaKind::Audio => 'a',
            MediaKind::Video => 'b',
        };
        for (candidate, number) in self.candidates.iter().zip(1_usize..) {
            out.push(write_candidate(candidate, format!("c{number}{letter}")));
        }
        out
    }
}
