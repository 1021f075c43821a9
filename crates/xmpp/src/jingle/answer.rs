//! The client's side: the answer to an offer, and its own sources coming and going.

use super::media::MediaDescription;
use super::offer::bundle;
use super::parse::RemoteOffer;
use super::sources::RawSources;
use super::transport::{Candidate, Fingerprint, Setup, write_candidate, write_fingerprint};
use super::update::{self, Change};
use super::xml::{self, Writer};
use crate::element::Element;
use crate::ns;
use althing_model::{Secret, SourceDescription};

/// A client's side of the transport.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnswerTransport {
    /// ICE user name fragment.
    pub ufrag: String,
    /// ICE password.
    pub password: Secret,
    /// Algorithm and value of the certificate's fingerprint.
    pub fingerprint: (String, String),
    /// May be empty: the bridge learns addresses from checks.
    pub candidates: Vec<Candidate>,
}

/// A session-accept.
#[derive(Debug, Clone, Copy)]
pub struct Answer<'a> {
    /// Of the offer.
    pub sid: &'a str,
    /// The address the offer came from.
    pub initiator: &'a str,
    /// Our own full address.
    pub responder: &'a str,
    /// What is answered; its payload types and extensions are accepted whole.
    pub offer: &'a RemoteOffer,
    /// Our side.
    pub transport: &'a AnswerTransport,
    /// What we send, simulcast and all.
    pub sources: &'a [SourceDescription],
    /// Where our last-n starts.
    pub initial_last_n: Option<i32>,
}

impl Answer<'_> {
    /// The `<jingle>` element.
    #[must_use]
    pub fn to_element(&self) -> Element {
        let offered = [&self.offer.audio, &self.offer.video];
        let mut jingle = Element::new("jingle", ns::JINGLE)
            .with_attr("action", "session-accept")
            .with_attr("sid", self.sid)
            .with_attr("initiator", self.initiator)
            .with_attr("responder", self.responder)
            .with_child(bundle(
                offered.iter().copied().flatten().map(|m| m.media.as_str()),
            ));
        let raw = RawSources::of(self.sources);
        for media in offered.into_iter().flatten() {
            jingle.push(self.content(media, &raw));
        }
        jingle
    }

    fn content(&self, media: &MediaDescription, raw: &RawSources) -> Element {
        let kind = media.media;
        let mut content = Element::new("content", ns::JINGLE)
            .with_attr("creator", "responder")
            .with_attr("name", kind.as_str())
            .with_attr("senders", "both");
        if let (althing_model::MediaKind::Video, Some(last_n)) = (kind, self.initial_last_n) {
            content.push(
                Element::new("initial-last-n", ns::COLIBRI2).with_attr("value", last_n.to_string()),
            );
        }
        let mut description =
            Element::new("description", ns::JINGLE_RTP).with_attr("media", kind.as_str());
        media.write_into(&mut description);
        xml::write(raw, kind, Writer::Client, &mut description);
        content.push(description);
        content.push(self.transport.to_element());
        content
    }
}

impl AnswerTransport {
    fn to_element(&self) -> Element {
        let (algorithm, value) = self.fingerprint.clone();
        let fingerprint = Fingerprint {
            algorithm,
            value,
            setup: Some(Setup::Active),
        };
        let mut out = Element::new("transport", ns::ICE_UDP)
            .with_attr("ufrag", self.ufrag.as_str())
            .with_attr("pwd", self.password.expose())
            .with_child(write_fingerprint(&fingerprint, None));
        for (candidate, number) in self.candidates.iter().zip(1_usize..) {
            out.push(write_candidate(candidate, format!("c{number}")));
        }
        out
    }
}

/// A client's `<jingle>` for its own sources that come or go, whole and without owner.
#[must_use]
pub fn client_source_update(
    change: Change,
    sid: &str,
    initiator: &str,
    sources: &[SourceDescription],
) -> Element {
    let raw = RawSources::of(sources);
    Element::new("jingle", ns::JINGLE)
        .with_attr("action", change.action())
        .with_attr("sid", sid)
        .with_attr("initiator", initiator)
        .with_children(update::contents(&raw, Writer::Client))
}
