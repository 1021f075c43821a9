//! Bodies of the fuzz targets, here so that they are always compiled. Every one reaches the core it
//! is named after with any input, and panics only when a promise is broken.

use crate::bosh::{self, Binding, BindingSettings};
use crate::element::{Element, Limits, Rendered, parse};
use crate::features::SourceMode;
use crate::framing;
use crate::jingle::{self, Body, Change, Jingle};
use crate::login::Login;
use crate::session::{self, AuthSuccess, Session, SessionSettings};
use crate::sm::{Bounds, Unacknowledged};
use crate::{conference, disco, extdisco, muc, ns};
use althing_model::{EndpointId, SeededEntropy};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// What is read can be written and reads back the same; no reader of stanzas panics on it.
pub fn xml(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let Ok(element) = parse(&text, &Limits::default()) else {
        return;
    };
    let written = element.to_xml();
    assert_reads_back(&written, &element);
    let mut spliced = parse(
        &Rendered::new(&element).with_to("<&\"'>"),
        &Limits::trusted(),
    )
    .expect("a rendered stanza is one element");
    assert_eq!(spliced.remove_attr("to").as_deref(), Some("<&\"'>"));
    let mut without = element.clone();
    without.remove_attr("to");
    assert_eq!(spliced, without);
    readers(&element);
}

/// Frames, separated by zero bytes or line feeds, drive a session. Unless they begin with an opening
/// frame of their own, a client that follows the rules logs in before them.
pub fn session(data: &[u8]) {
    let mut entropy = SeededEntropy::new(1);
    let mut session = Session::new(SessionSettings {
        stream_management: true,
        ..SessionSettings::new("meet.example")
    });
    let logged_in = !data.starts_with(b"<open");
    let mut first_frame = true;
    let mut unacknowledged = Unacknowledged::new(Bounds {
        stanzas: 8,
        bytes: 64,
    });
    for stanza in 0..8 {
        let _ = unacknowledged.send(stanza, 8);
    }
    let mut check = |session: &mut Session, frame: &str| {
        session.handle_frame(frame, &mut entropy);
        while let Some(output) = session.poll() {
            match output {
                session::Output::Frame(frame) | session::Output::Answer(frame) => {
                    parse(&frame, &Limits::trusted()).expect("every frame is one element");
                    assert!(!first_frame || frame.starts_with("<open "));
                    first_frame = false;
                }
                session::Output::Authenticate(_) => {
                    session.authenticated(Ok(AuthSuccess::default()), &mut entropy);
                }
                session::Output::Bound { jid } => assert!(jid.is_full()),
                session::Output::Resume { .. } => session.resume_refused(),
                session::Output::Enable { .. } => assert_eq!(session.received(), 0),
                session::Output::Acknowledged(handled) => {
                    if let Err(error) = unacknowledged.acknowledge(handled) {
                        session.handled_too_many(error);
                    }
                }
                session::Output::Stanza(stanza) => {
                    let jid = session.jid().map(ToString::to_string);
                    assert_eq!(stanza.attr("from"), jid.as_deref());
                    assert_eq!(stanza.ns(), ns::CLIENT);
                    readers(&stanza);
                }
                session::Output::Close(_) => assert!(session.is_closed()),
            }
        }
    };
    if logged_in {
        let open = framing::client_open_frame("meet.example");
        for frame in [
            open.as_str(),
            r#"<auth xmlns="urn:ietf:params:xml:ns:xmpp-sasl" mechanism="ANONYMOUS"/>"#,
            open.as_str(),
            r#"<iq xmlns="jabber:client" type="set" id="b"><bind xmlns="urn:ietf:params:xml:ns:xmpp-bind"/></iq>"#,
        ] {
            check(&mut session, frame);
        }
        assert!(session.jid().is_some());
    }
    let mut login = Login::start("meet.example").0;
    for frame in data.split(|byte| matches!(byte, 0 | b'\n')) {
        let frame = String::from_utf8_lossy(frame);
        check(&mut session, &frame);
        // The client's side meets the same strangers.
        drop(login.handle_frame(&frame));
    }
    let json = serde_json::to_string(&session).expect("a session is plain data");
    drop(serde_json::from_str::<Session>(&json));
}

/// BOSH requests, separated by zero bytes or line feeds: each is answered once at most, by one
/// element, and a repeated one like the first time.
#[expect(
    clippy::disallowed_methods,
    reason = "any beginning will do, and only a clock makes one"
)]
pub fn bosh(data: &[u8]) {
    let limits = Limits::default();
    let start = Instant::now();
    let settings = BindingSettings {
        wait: Duration::from_secs(60),
        inactivity: Duration::from_secs(60),
        domain: "meet.example".into(),
    };
    let mut binding: Option<Binding<usize>> = None;
    let mut open = BTreeSet::new();
    for (ticket, text) in data.split(|byte| matches!(byte, 0 | b'\n')).enumerate() {
        let Ok(body) = bosh::Body::parse(&String::from_utf8_lossy(text), &limits) else {
            continue;
        };
        let later = Duration::from_millis(body.wait.unwrap_or(0).min(100_000));
        let now = start.checked_add(later).expect("less than two minutes");
        let binding = match &mut binding {
            Some(binding) => binding,
            None => match Binding::new(settings.clone(), "s".into(), &body) {
                Ok(new) => binding.insert(new),
                Err(_) => continue,
            },
        };
        open.insert(ticket);
        binding.request(now, ticket, body);
        let mut frames = Vec::new();
        loop {
            while let Some(output) = binding.poll() {
                match output {
                    bosh::Output::Open(element) => frames.push(framing::open_frame(
                        element.attr("to").unwrap_or_default(),
                        "i",
                    )),
                    bosh::Output::Element(element) => frames.push(element.to_xml()),
                    bosh::Output::Answer { ticket, body } => {
                        assert!(open.remove(&ticket), "answered once, and asked before");
                        parse(&body, &Limits::trusted()).expect("every answer is one element");
                    }
                    bosh::Output::Ended => assert!(binding.is_ended()),
                }
            }
            match frames.pop() {
                Some(frame) => binding.send(frame),
                None => break,
            }
            binding.flush(now);
        }
        binding.handle_timeout(now);
        while let Some(output) = binding.poll() {
            if let bosh::Output::Answer { ticket, .. } = output {
                assert!(open.remove(&ticket), "answered once, and asked before");
            }
        }
        assert!(binding.next_timeout().is_none_or(|at| at > now));
    }
    if let Some(mut binding) = binding {
        binding.end(start);
        while let Some(output) = binding.poll() {
            if let bosh::Output::Answer { ticket, .. } = output {
                open.remove(&ticket);
            }
        }
        assert!(open.is_empty(), "nobody waits after the end");
    }
}

/// A Jingle request; input that is no XML is made into attributes, sources and JSON of one.
pub fn jingle(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let request = match parse(&text, &Limits::default()) {
        Ok(element) => element,
        Err(_) => skeleton(data),
    };
    drop(jingle::sid_of(&request).map(str::to_owned));
    let Ok(read) = Jingle::parse(&request) else {
        return;
    };
    let mut sources = match read.body {
        Body::SourceAdd(sources) | Body::SourceRemove(sources) => sources,
        Body::SessionAccept(accept) | Body::TransportAccept(accept) => accept.sources,
        Body::SessionInitiate(offer) => {
            answer(&offer);
            offer.sources
        }
        _ => return,
    };
    sources.fill_names(&EndpointId::new("4a1f09c2").expect("a constant nickname"));
    let Ok(folded) = sources.fold() else {
        return;
    };
    let again = jingle::RawSources::of(&folded).fold();
    assert_eq!(again.as_ref(), Ok(&folded), "sources fold back");
    for source in &folded {
        assert!(!source.encodings.is_empty());
    }
    for mode in [SourceMode::Json, SourceMode::Xml] {
        let Some(update) = jingle::source_update(Change::Add, "s", mode, &folded) else {
            continue;
        };
        let Ok(read) = Jingle::parse(&update) else {
            unreachable!("what we write can be read");
        };
        let Body::SourceAdd(sources) = read.body else {
            unreachable!("a source-add stays one");
        };
        let expected: usize = folded
            .iter()
            .map(|s| jingle::strip_simulcast(s).ssrcs().count())
            .fold(0, usize::saturating_add);
        assert_eq!(sources.sources.len(), expected);
    }
}

fn answer(offer: &jingle::RemoteOffer) {
    let transport = jingle::AnswerTransport {
        ufrag: "u".into(),
        password: althing_model::Secret::new("p"),
        fingerprint: ("sha-256".into(), "AB".into()),
        candidates: offer
            .transport
            .as_ref()
            .map(|t| t.candidates.clone())
            .unwrap_or_default(),
    };
    let answer = jingle::Answer {
        sid: "s",
        initiator: "r@m/focus",
        responder: "u@d/r",
        offer,
        transport: &transport,
        sources: &[],
        initial_last_n: None,
    };
    let written = answer.to_element();
    assert_reads_back(&written.to_xml(), &written);
    let read = Jingle::parse(&written).expect("our own answer can be read");
    assert!(matches!(read.body, Body::SessionAccept(_)));
}

/// A request made of arbitrary bytes: few SSRCs, so that they meet in groups.
fn skeleton(data: &[u8]) -> Element {
    let (head, tail) = data.split_at_checked(2).unwrap_or((data, &[]));
    let action = match head.first().map_or(0, |byte| byte % 6) {
        0 => "session-accept",
        1 => "source-remove",
        2 => "session-initiate",
        3 => "transport-info",
        _ => "source-add",
    };
    let mut jingle = Element::new("jingle", ns::JINGLE)
        .with_attr("action", action)
        .with_attr("sid", "s");
    if head.get(1).is_some_and(|byte| byte & 1 == 1) {
        let text = String::from_utf8_lossy(tail);
        return jingle
            .with_child(Element::new("json-message", ns::JITMEET).with_text(text.into_owned()));
    }
    let mut description = Element::new("description", ns::JINGLE_RTP).with_attr("media", "video");
    for chunk in tail.chunks(3) {
        let at = |index: usize| chunk.get(index).copied().unwrap_or_default();
        let ssrc = |byte: u8| (u32::from(byte % 16)).to_string();
        if at(0) & 1 == 0 {
            let letter = if at(2) & 64 == 0 { 'v' } else { 'a' };
            description.push(
                Element::new("source", ns::SSMA)
                    .with_attr("ssrc", ssrc(at(1)))
                    .with_attr_opt(
                        "name",
                        (at(2) & 128 == 0).then(|| format!("e-{letter}{}", at(2) % 4)),
                    )
                    .with_child(
                        Element::new("parameter", ns::SSMA)
                            .with_attr("name", "msid")
                            .with_attr("value", format!("m {}", at(2) % 4)),
                    ),
            );
        } else {
            let semantics = if at(0) & 2 == 0 { "FID" } else { "SIM" };
            let members = chunk
                .iter()
                .skip(1)
                .map(|byte| Element::new("source", ns::SSMA).with_attr("ssrc", ssrc(*byte)));
            description.push(
                Element::new("ssrc-group", ns::SSMA)
                    .with_attr("semantics", semantics)
                    .with_children(members),
            );
        }
    }
    jingle.push(
        Element::new("content", ns::JINGLE)
            .with_attr("name", "video")
            .with_child(description),
    );
    jingle
}

/// Every typed reader, for what it makes of an arbitrary stanza.
fn readers(stanza: &Element) {
    drop(Jingle::parse(stanza));
    if let Some(request) = conference::ConferenceRequest::read(stanza) {
        assert_reads_back(&request.to_element().to_xml(), &request.to_element());
    }
    if let Some(answer) = conference::ConferenceAnswer::read(stanza) {
        assert_reads_back(&answer.to_element().to_xml(), &answer.to_element());
    }
    if let Some(info) = disco::Info::read(stanza) {
        assert_eq!(disco::Info::read(&info.to_element()), Some(info));
    }
    drop(extdisco::read(stanza));
    drop(muc::Join::read(stanza));
    drop(muc::AdminItem::read_all(stanza));
    drop(muc::OwnerRequest::read(stanza));
    if let Some(user) = muc::UserX::read(stanza) {
        let presence = Element::new("presence", ns::CLIENT).with_child(user.to_element());
        assert_eq!(muc::UserX::read(&presence), Some(user));
    }
}

fn assert_reads_back(xml: &str, element: &Element) {
    assert_eq!(
        parse(xml, &Limits::trusted()).as_ref(),
        Ok(element),
        "{xml}"
    );
}

#[cfg(test)]
#[allow(
    clippy::cast_possible_truncation,
    reason = "the remainder is below a usize"
)]
mod tests {
    use althing_model::{Entropy as _, SeededEntropy};
    use proptest::prelude::*;

    const SAMPLES: &[&str] = &[
        include_str!("../../../fixtures/jingle/offer-rewriting.xml"),
        include_str!("../../../fixtures/jingle/offer-minimum.xml"),
        include_str!("../../../fixtures/jingle/accept-chromium.xml"),
        include_str!("../../../fixtures/jingle/accept-firefox.xml"),
        include_str!("../../../fixtures/jingle/accept-gst-meet.xml"),
        include_str!("../../../fixtures/jingle/source-add-json.xml"),
        include_str!("../../../fixtures/xmpp/presence-self.xml"),
        include_str!("../../../fixtures/xmpp/disco-info-room.xml"),
        include_str!("../../../fixtures/xmpp/conference-request.xml"),
    ];

    #[test]
    fn samples_and_what_is_left_of_them_break_no_promise() {
        for sample in SAMPLES {
            let sample = sample.trim().as_bytes();
            for cut in (0..sample.len()).step_by(97) {
                let mut data = sample.to_vec();
                data.remove(cut);
                super::xml(&data);
                super::jingle(&data);
            }
            super::xml(sample);
            super::jingle(sample);
            super::session(sample);
        }
        super::session(include_bytes!("../../../fixtures/xmpp/login.txt"));
        super::session(include_bytes!("../../../fixtures/xmpp/resume.txt"));
        super::bosh(include_bytes!("../../../fixtures/xmpp/bosh.txt"));
    }

    /// Cuts samples at tags, quotes and brackets, and puts the pieces together anew.
    #[test]
    fn spliced_samples_break_no_promise() {
        let rounds = 3_000;
        let mut entropy = SeededEntropy::new(5);
        let mut below = move |limit: usize| (entropy.next_u64() % limit.max(1) as u64) as usize;
        for _ in 0..rounds {
            let mut document = SAMPLES[below(SAMPLES.len())].trim().to_owned();
            for _ in 0..=below(6) {
                let other = SAMPLES[below(SAMPLES.len())].trim();
                let pieces: Vec<&str> = other.split_inclusive(['>', '"', '[', ',']).collect();
                let from = below(pieces.len());
                let piece = pieces[from..(from + 1 + below(4)).min(pieces.len())].concat();
                let mut places: Vec<usize> = document
                    .match_indices(['<', '"', '[', ','])
                    .map(|(at, _)| at)
                    .collect();
                places.push(document.len());
                let start = below(places.len());
                let end = (start + below(3)).min(places.len() - 1);
                match below(3) {
                    0 => document.replace_range(places[start]..places[end], ""),
                    1 => document.insert_str(places[start], &piece),
                    _ => document.replace_range(places[start]..places[end], &piece),
                }
            }
            super::xml(document.as_bytes());
            super::jingle(document.as_bytes());
            super::session(document.as_bytes());
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_break_no_promise(data in proptest::collection::vec(any::<u8>(), 0..80)) {
            super::xml(&data);
            super::session(&data);
            super::jingle(&data);
        }
    }
}
