use super::*;
use crate::element::{Element, Limits, Node, parse};
use crate::features::{ClientFeatures, SourceMode};
use crate::ns;
use althing_model::{
    Encoding, EndpointId, FeedbackSources, MediaKind, Secret, SourceDescription, SourceName, Ssrc,
    VideoType,
};

macro_rules! fixture {
    ($name:literal) => {
        include_str!(concat!("../../../../fixtures/jingle/", $name))
    };
}

/// Reads a fixture and drops the white space that is there for people.
fn read(xml: &str) -> Element {
    tidy(&parse(xml.trim(), &Limits::default()).unwrap())
}

fn tidy(element: &Element) -> Element {
    let mut out = Element::new(element.name().to_owned(), element.namespace());
    let mut attrs: Vec<_> = element.attrs().collect();
    attrs.sort_unstable();
    for (k, v) in attrs {
        out.set_attr(k.to_owned(), v);
    }
    for node in element.nodes() {
        match node {
            Node::Element(child) => out.push(tidy(child)),
            Node::Text(text) if text.trim().is_empty() => {}
            Node::Text(text) => out.push_text(text.as_str()),
        }
    }
    out
}

fn jingle(xml: &str) -> Jingle {
    Jingle::parse(&read(xml)).unwrap()
}

fn source(
    name: &str,
    video_type: VideoType,
    msid: &str,
    encodings: &[(u32, u32)],
) -> SourceDescription {
    let name = SourceName::new(name).unwrap();
    SourceDescription {
        kind: name.kind(),
        name,
        video_type,
        msid: msid.into(),
        encodings: encodings
            .iter()
            .map(|&(primary, rtx)| Encoding {
                primary: Ssrc(primary),
                rtx: (rtx != 0).then_some(Ssrc(rtx)),
            })
            .collect(),
    }
}

const FEEDBACK: FeedbackSources = FeedbackSources {
    audio: Ssrc(2_912_340_002),
    video: Ssrc(2_912_340_001),
};

const FINGERPRINT: &str = "3E:91:0A:5C:7F:22:D8:B4:19:66:E3:0D:9A:47:81:FC:2B:50:C7:38:AE:14:6F:95:D2:03:BB:78:4D:E9:11:60";

fn transport() -> OfferTransport {
    OfferTransport {
        ufrag: "7q1ba1j2k8v0xh".into(),
        password: Secret::new("3p0f9tq2c5v4n8r7m1z6w0kdye"),
        fingerprint: ("sha-256".into(), FINGERPRINT.into()),
        candidates: vec![
            Candidate {
                foundation: "1".into(),
                priority: 2_130_706_431,
                tcp: false,
                address: "192.0.2.10:10000".parse().unwrap(),
                kind: CandidateType::Host,
                related: None,
            },
            Candidate {
                foundation: "2".into(),
                priority: 1_694_498_815,
                tcp: false,
                address: "198.51.100.7:10000".parse().unwrap(),
                kind: CandidateType::ServerReflexive,
                related: Some("192.0.2.10:10000".parse().unwrap()),
            },
        ],
        web_socket: Some(
            "wss://meet.example/colibri-ws/s1/4c1f0f6d9c0f/a1b2c3d4?pwd=5jv2k8q1".into(),
        ),
    }
}

fn bridge_session() -> BridgeSession {
    BridgeSession {
        region: Some("eu-1".into()),
        ..BridgeSession::new("0f2a7c44-51d2-4b0e-9b13-7a6b1f1de111")
    }
}

const WEB: ClientFeatures = ClientFeatures {
    rtx: true,
    tcc: true,
    remb: true,
    json_sources: true,
    ssrc_rewriting: true,
    ..ClientFeatures::ASSUMED
};

fn others() -> Vec<SourceDescription> {
    let camera = "b2c3d4e5-video-0-1 7e11-1";
    vec![
        source(
            "b2c3d4e5-v0",
            VideoType::Camera,
            camera,
            &[(1_100_000_001, 1_100_000_002), (5, 6), (7, 8)],
        ),
        source(
            "b2c3d4e5-v1",
            VideoType::DesktopHighFps,
            "b2c3d4e5-video-1-1 9f22-1",
            &[(1_100_000_011, 1_100_000_012)],
        ),
        source(
            "b2c3d4e5-a0",
            VideoType::Camera,
            "b2c3d4e5-audio-0-1 5c33-1",
            &[(1_100_000_003, 0)],
        ),
    ]
}

fn offer(features: ClientFeatures, sources: &[SourceDescription]) -> Element {
    Offer {
        sid: "8kq2m0v1c7t5r",
        initiator: "focus@auth.meet.example/focus",
        features,
        transport: &transport(),
        bridge_session: &bridge_session(),
        feedback: FEEDBACK,
        sources,
    }
    .to_element()
}

fn json_of(jingle: &Element) -> Option<String> {
    jingle.child("json-message", ns::JITMEET).map(Element::text)
}

fn descriptions(jingle: &Element) -> Vec<&Element> {
    xml::contents(jingle)
        .map(|c| c.child("description", ns::JINGLE_RTP).unwrap())
        .collect()
}

#[test]
fn the_offer_to_a_web_client_is_the_documented_one() {
    let expected = read(fixture!("offer-rewriting.xml"));
    let written = offer(WEB, &others());
    assert_eq!(
        &tidy(&written),
        expected.child("jingle", ns::JINGLE).unwrap()
    );
    // Selectors of the main client look for a literal xmlns on each of these.
    let xml = written.to_xml();
    for tag in [
        "<group ",
        "<transport ",
        "<fingerprint ",
        "<rtp-hdrext ",
        "<extmap-allow-mixed ",
        "<rtcp-fb ",
        "<bridge-session ",
        "<web-socket ",
        "<json-message ",
    ] {
        assert!(xml.contains(tag), "{tag}");
        for (at, _) in xml.match_indices(tag) {
            assert!(xml[at + tag.len()..].starts_with("xmlns=\""), "{tag}");
        }
    }
    assert!(!xml.contains("xmlns:"));
}

#[test]
fn json_clients_get_everybody_in_the_offer() {
    let mut expected: serde_json::Value = serde_json::from_str(fixture!("sources.json")).unwrap();
    let features = ClientFeatures {
        ssrc_rewriting: false,
        ..WEB
    };
    let written = offer(features, &others());
    let text = json_of(&written).unwrap();
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&text).unwrap(),
        expected
    );
    assert!(
        text.starts_with(r#"{"sources":{"jvb":[[{"s":2912340001,"n":"jvb-v0","m":"mixedmslabel mixedlabelvideo0"}],[],[{"s":2912340002"#),
        "{text}"
    );
    // Somebody who takes no video hears of none.
    let features = ClientFeatures {
        video: false,
        ..features
    };
    let written = offer(features, &others());
    assert_eq!(descriptions(&written).len(), 1);
    let sources = expected["sources"].as_object_mut().unwrap();
    for arrays in sources.values_mut() {
        arrays[0] = serde_json::json!([]);
        arrays[1] = serde_json::json!([]);
    }
    let text = json_of(&written).unwrap();
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&text).unwrap(),
        expected
    );
}

#[test]
fn xml_clients_get_sources_with_owners_and_no_simulcast() {
    let features = ClientFeatures {
        json_sources: false,
        ssrc_rewriting: false,
        ..WEB
    };
    let written = offer(features, &others());
    assert_eq!(json_of(&written), None);
    let video = descriptions(&written)[1];
    let expected = read(fixture!("sources-xml.xml"));
    // The fixture shows the bridge's source and the camera; the screen follows in the offer.
    let sources: Vec<Element> = video
        .children()
        .filter(|c| c.ns() == ns::SSMA)
        .map(tidy)
        .collect();
    let expected: Vec<&Element> = expected.children().collect();
    for e in &expected {
        assert!(sources.contains(e), "{}", e.to_xml());
    }
    assert_eq!(sources.len(), 1 + 2 + 2 + 2);
    assert!(!written.to_xml().contains("SIM"));
    for name in ["source", "ssrc-group"] {
        let tag = format!("<{name} xmlns=\"{}\"", ns::SSMA);
        assert!(video.to_xml().contains(&tag));
    }
}

#[test]
fn what_a_client_cannot_do_is_not_offered() {
    let bare = offer(ClientFeatures::ASSUMED, &[]).to_xml();
    for absent in [
        "rtx",
        "transport-cc",
        "transport-wide-cc",
        "goog-remb",
        "\"data\"",
        "\"red\"",
        "sdes:mid",
    ] {
        assert!(!bare.contains(absent), "{absent}");
    }
    let remb = offer(
        ClientFeatures {
            remb: true,
            ..ClientFeatures::ASSUMED
        },
        &[],
    );
    assert!(remb.to_xml().contains("goog-remb"));
    assert!(!offer(WEB, &[]).to_xml().contains("goog-remb"));
}

/// Protocol 2 §4.2.
#[test]
fn redundant_audio_is_offered_before_opus_to_those_who_ask_and_read_json() {
    let red = ClientFeatures {
        opus_red: true,
        ..WEB
    };
    let payloads = |features| -> Vec<String> {
        let written = offer(features, &others());
        let types = descriptions(&written)[0]
            .children()
            .filter(|c| c.name() == "payload-type");
        types.map(Element::to_xml).collect()
    };
    let with = payloads(red);
    assert_eq!(
        with[0],
        r#"<payload-type xmlns="urn:xmpp:jingle:apps:rtp:1" id="112" name="red" clockrate="48000" channels="2"><parameter value="111/111"/></payload-type>"#
    );
    assert_eq!(with[1..], payloads(WEB));
    let xml_only = ClientFeatures {
        json_sources: false,
        ssrc_rewriting: false,
        ..red
    };
    assert_eq!(payloads(xml_only), payloads(WEB));
    // What is offered can be read again, and answered.
    let read =
        Jingle::parse(&parse(&offer(red, &[]).to_xml(), &Limits::default()).unwrap()).unwrap();
    let Body::SessionInitiate(read) = read.body else {
        panic!("{read:?}");
    };
    let audio = read.audio.unwrap();
    assert_eq!(audio.payload_types[0].id, 112);
    assert_eq!(
        audio.payload_types[0].parameters,
        [(String::new(), "111/111".to_owned())]
    );
}

#[test]
fn an_accept_tells_whether_it_takes_redundant_audio() {
    let accept = |payloads: &str, media: &str| {
        let text = format!(
            r#"<jingle xmlns="urn:xmpp:jingle:1" action="session-accept" sid="s"><content name="{media}"><description xmlns="urn:xmpp:jingle:apps:rtp:1" media="{media}">{payloads}</description></content></jingle>"#
        );
        match Jingle::parse(&read(&text)).unwrap().body {
            Body::SessionAccept(accept) => accept.redundant_audio,
            other => panic!("{other:?}"),
        }
    };
    // As browsers' answers come through the main client: a nameless parameter has an empty name.
    let red = r#"<payload-type id="112" name="red" clockrate="48000" channels="2"><parameter name="" value="111/111"/></payload-type>"#;
    let opus = r#"<payload-type id="111" name="opus" clockrate="48000" channels="2"/>"#;
    for (payloads, media, takes) in [
        (format!("{red}{opus}"), "audio", true),
        (opus.to_owned(), "audio", false),
        (red.replace("112", "63"), "audio", false),
        (red.replace("\"red\"", "\"ulpfec\""), "audio", false),
        (red.to_owned(), "video", false),
    ] {
        assert_eq!(accept(&payloads, media), takes, "{payloads}");
    }
}

#[test]
fn a_client_reads_the_offer_in_every_mode() {
    for features in [
        WEB,
        ClientFeatures {
            ssrc_rewriting: false,
            ..WEB
        },
        ClientFeatures {
            ssrc_rewriting: false,
            json_sources: false,
            ..WEB
        },
    ] {
        let read = Jingle::parse(
            &parse(&offer(features, &others()).to_xml(), &Limits::default()).unwrap(),
        )
        .unwrap();
        assert_eq!(read.sid, "8kq2m0v1c7t5r");
        assert_eq!(
            read.initiator.as_deref(),
            Some("focus@auth.meet.example/focus")
        );
        assert_eq!(read.bridge_session, Some(bridge_session()));
        let Body::SessionInitiate(offer) = read.body else {
            panic!("{:?}", read.body);
        };
        let transport = offer.transport.unwrap();
        assert_eq!(transport.ufrag.as_deref(), Some("7q1ba1j2k8v0xh"));
        assert_eq!(transport.candidates, self::transport().candidates);
        assert_eq!(transport.fingerprints[0].value, FINGERPRINT);
        assert_eq!(transport.fingerprints[0].setup, Some(Setup::ActPass));
        assert_eq!(transport.web_sockets.len(), 1);
        let video = offer.video.unwrap();
        let ids: Vec<u8> = video.payload_types.iter().map(|p| p.id).collect();
        assert_eq!(ids, [41, 100, 107, 101, 42, 96, 97, 99]);
        assert_eq!(
            video.extension(althing_model::profile::TRANSPORT_CC_URI),
            Some(5)
        );
        let mut names: Vec<String> = offer
            .sources
            .fold()
            .unwrap()
            .iter()
            .map(|s| s.name.to_string())
            .collect();
        names.sort_unstable();
        let expected: &[&str] = match features.source_mode() {
            SourceMode::Rewriting => &["jvb-a0", "jvb-v0"],
            SourceMode::Json | SourceMode::Xml => &[
                "b2c3d4e5-a0",
                "b2c3d4e5-v0",
                "b2c3d4e5-v1",
                "jvb-a0",
                "jvb-v0",
            ],
        };
        assert_eq!(names, expected);
        assert!(offer.sources.sources.iter().all(|s| s.owner.is_some()));
    }
}

#[test]
fn a_client_reads_the_minimum_offer() {
    let Body::SessionInitiate(offer) = jingle(fixture!("offer-minimum.xml")).body else {
        panic!();
    };
    assert_eq!(
        offer.audio.unwrap().payload_types[0].parameters,
        [("minptime".into(), "10".into())]
    );
    assert_eq!(offer.video.unwrap().payload_types[1].name, "rtx");
    assert_eq!(offer.sources.sources.len(), 2);
}

fn accept(xml: &str) -> Accept {
    match jingle(xml).body {
        Body::SessionAccept(accept) => accept,
        other => panic!("{other:?}"),
    }
}

#[test]
fn chromium_answers_with_simulcast() {
    let accept = accept(fixture!("accept-chromium.xml"));
    assert_eq!(accept.initial_last_n, Some(20));
    let transport = accept.transport.unwrap();
    assert_eq!(transport.ufrag.as_deref(), Some("Gj36"));
    assert_eq!(
        transport.password.unwrap().expose(),
        "mBjHDoDCnIn4vGu/MSdBTIk3"
    );
    assert_eq!(transport.fingerprints.len(), 1);
    assert_eq!(transport.fingerprints[0].setup, Some(Setup::Active));
    assert!(transport.candidates.is_empty());
    assert_eq!(accept.sources.sources.len(), 7);
    assert_eq!(accept.sources.groups.len(), 4);
    assert_eq!(
        accept.sources.fold().unwrap(),
        [
            source(
                "a1b2c3d4-a0",
                VideoType::Camera,
                "a1b2c3d4-audio-0-1 684225f1-1",
                &[(2_993_551_408, 0)]
            ),
            source(
                "a1b2c3d4-v0",
                VideoType::Camera,
                "a1b2c3d4-video-0-1 71cb3674-1",
                &[
                    (2_285_807_611, 181_925_713),
                    (1_301_929_153, 866_885_973),
                    (503_599_761, 1_861_293_072)
                ]
            ),
        ]
    );
}

#[test]
fn firefox_answers_in_its_own_order() {
    let accept = accept(fixture!("accept-firefox.xml"));
    let folded = accept.sources.fold().unwrap();
    assert_eq!(folded[1].encodings.len(), 3);
    assert_eq!(
        folded[1].first(),
        Encoding {
            primary: Ssrc(10),
            rtx: Some(Ssrc(11))
        }
    );
    let candidates = accept.transport.unwrap().candidates;
    assert_eq!(
        candidates.len(),
        2,
        "mDNS names and other components are passed over"
    );
    assert!(candidates[0].tcp);
    assert_eq!(
        candidates[1].related,
        Some("192.0.2.33:50944".parse().unwrap())
    );
}

#[test]
fn gst_meet_answers_without_simulcast_and_without_data() {
    let accept = accept(fixture!("accept-gst-meet.xml"));
    assert_eq!(
        accept.sources.fold().unwrap(),
        [
            source(
                "5f1c2d3e-a0",
                VideoType::Camera,
                "5f1c2d3e-audio-0-0 a",
                &[(771, 0)]
            ),
            source(
                "5f1c2d3e-v0",
                VideoType::Camera,
                "5f1c2d3e-video-0-0 v",
                &[(772, 773)]
            ),
        ]
    );
}

#[test]
fn somebody_without_devices_answers_without_sources() {
    let accept = accept(fixture!("accept-silent.xml"));
    assert!(accept.sources.is_empty());
    assert!(
        accept.transport.is_some(),
        "of the first content that has one"
    );
}

#[test]
fn sources_are_collected_from_wherever_they_stand() {
    let Body::SourceAdd(sources) = jingle(fixture!("source-add-merged.xml")).body else {
        panic!();
    };
    assert_eq!(
        sources.fold().unwrap(),
        [
            source("a1b2c3d4-v0", VideoType::Camera, "m a", &[(51, 0)]),
            source("a1b2c3d4-v1", VideoType::Desktop, "m b", &[(52, 53)]),
            source("a1b2c3d4-a0", VideoType::Camera, "m c", &[(54, 0)]),
        ]
    );
}

#[test]
fn a_screen_share_is_added_as_documented() {
    let expected = read(fixture!("source-add-client.xml"));
    let expected = expected.child("jingle", ns::JINGLE).unwrap();
    let Body::SourceAdd(raw) = Jingle::parse(expected).unwrap().body else {
        panic!();
    };
    let screen = source(
        "a1b2c3d4-v1",
        VideoType::Desktop,
        "a1b2c3d4-video-1-1 c0ffee11-1",
        &[(3_110_000_001, 3_110_000_002)],
    );
    assert_eq!(raw.fold().unwrap(), std::slice::from_ref(&screen));
    let written = client_source_update(
        Change::Add,
        "8kq2m0v1c7t5r",
        "standup@conference.meet.example/focus",
        &[screen],
    );
    assert_eq!(&tidy(&written), expected);
}

#[test]
fn the_focus_tells_of_sources_in_the_receivers_form() {
    let camera = &others()[..1];
    assert_eq!(
        source_update(Change::Add, "s", SourceMode::Rewriting, camera),
        None
    );
    assert_eq!(source_update(Change::Add, "s", SourceMode::Json, &[]), None);
    let written = source_update(Change::Add, "8kq2m0v1c7t5r", SourceMode::Json, camera).unwrap();
    let expected = read(fixture!("source-add-json.xml"));
    assert_eq!(
        &tidy(&written),
        expected.child("jingle", ns::JINGLE).unwrap()
    );
    for mode in [SourceMode::Json, SourceMode::Xml] {
        let written = source_update(Change::Remove, "s", mode, camera).unwrap();
        let Body::SourceRemove(raw) = Jingle::parse(&written).unwrap().body else {
            panic!();
        };
        assert_eq!(raw.sources[0].owner.as_deref(), Some("b2c3d4e5"));
        assert_eq!(raw.fold().unwrap(), [strip_simulcast(&camera[0])]);
    }
}

#[test]
fn ends_and_restarts_are_read_and_written() {
    let ended = jingle(fixture!("session-terminate-restart.xml"));
    let session = ended.bridge_session.unwrap();
    assert!(session.restart && !session.ice_restart);
    assert_eq!(session.id, bridge_session().id);
    assert_eq!(
        ended.body,
        Body::SessionTerminate(Terminate {
            reason: Some(Reason::ConnectivityError),
            text: Some("ICE FAILED".into()),
        })
    );
    assert_eq!(
        session_terminate("s1", Reason::Success, Some("moving")).to_xml(),
        r#"<jingle xmlns="urn:xmpp:jingle:1" action="session-terminate" sid="s1"><reason><success/><text>moving</text></reason></jingle>"#
    );
    let info = jingle(fixture!("session-info-ice-restart.xml"));
    assert!(info.bridge_session.unwrap().ice_restart);
    assert_eq!(info.body, Body::SessionInfo { ice_state: None });
}

#[test]
fn transports_come_alone_too() {
    let Body::TransportInfo(Some(transport)) = jingle(fixture!("transport-info.xml")).body else {
        panic!();
    };
    assert_eq!(transport.ice_generation, Some(1));
    let Body::TransportInfo(Some(transport)) = jingle(fixture!("p2p-transport-info.xml")).body
    else {
        panic!();
    };
    assert!(transport.candidates.is_empty());
}

#[test]
fn a_clients_answer_is_what_the_focus_reads() {
    let Body::SessionInitiate(offer) = Jingle::parse(&offer(WEB, &[])).unwrap().body else {
        panic!();
    };
    let sources = [
        source(
            "4a1f09c2-a0",
            VideoType::Camera,
            "4a1f09c2-audio-0-1 x",
            &[(9, 0)],
        ),
        source(
            "4a1f09c2-v0",
            VideoType::Camera,
            "4a1f09c2-video-0-1 y",
            &[(1, 2), (3, 4), (5, 6)],
        ),
    ];
    let answer = Answer {
        sid: "8kq2m0v1c7t5r",
        initiator: "standup@conference.meet.example/focus",
        responder: "4a1f09c2-x@meet.example/r",
        offer: &offer,
        transport: &AnswerTransport {
            ufrag: "Gj36".into(),
            password: Secret::new("mBjHDoDCnIn4vGu/MSdBTIk3"),
            fingerprint: ("sha-256".into(), FINGERPRINT.into()),
            candidates: Vec::new(),
        },
        sources: &sources,
        initial_last_n: Some(-1),
    };
    let xml = answer.to_element().to_xml();
    assert!(!xml.contains("ssrc-info"), "a client never names an owner");
    let accept = accept(&xml);
    assert_eq!(accept.sources.fold().unwrap(), sources);
    assert_eq!(accept.initial_last_n, Some(-1));
    let transport = accept.transport.unwrap();
    assert_eq!(transport.fingerprints[0].setup, Some(Setup::Active));
    assert_eq!(
        transport.password,
        Some(Secret::new("mBjHDoDCnIn4vGu/MSdBTIk3"))
    );
}

#[test]
fn msids_lose_what_clients_would_strip() {
    let odd = source("a-v0", VideoType::Camera, "{5b,1c}/+ \\x", &[(1, 0)]);
    for mode in [SourceMode::Json, SourceMode::Xml] {
        let written = source_update(Change::Add, "s", mode, std::slice::from_ref(&odd)).unwrap();
        let Body::SourceAdd(raw) = Jingle::parse(&written).unwrap().body else {
            panic!();
        };
        assert_eq!(raw.sources[0].msid.as_deref(), Some("5b1c x"));
    }
}

#[test]
fn what_is_no_jingle_is_refused() {
    for (xml, error) in [
        ("<iq xmlns='jabber:client'/>", JingleError::Missing),
        (
            "<jingle xmlns='urn:xmpp:jingle:1' sid='1'/>",
            JingleError::Action,
        ),
        (
            "<jingle xmlns='urn:xmpp:jingle:1' action='dance' sid='1'/>",
            JingleError::Action,
        ),
        (
            "<jingle xmlns='urn:xmpp:jingle:1' action='session-accept'/>",
            JingleError::Sid,
        ),
    ] {
        assert_eq!(Jingle::parse(&read(xml)), Err(error), "{xml}");
    }
    let add = |content: &str| {
        Jingle::parse(&read(&format!(
            "<jingle xmlns='urn:xmpp:jingle:1' action='source-add' sid='1'>{content}</jingle>"
        )))
    };
    let with_source = |content: &str, attributes: &str| {
        add(&format!(
            "<content name='{content}'><source xmlns='urn:xmpp:jingle:apps:rtp:ssma:0' {attributes}/></content>"
        ))
    };
    for bad in ["ssrc='0'", "ssrc='4294967296'", "ssrc='-1'", "ssrc='x'", ""] {
        assert!(
            matches!(with_source("audio", bad), Err(JingleError::Ssrc(_))),
            "{bad}"
        );
    }
    assert_eq!(
        with_source("data", "ssrc='1'"),
        Err(JingleError::Media("data".into()))
    );
    for bad in [
        "",
        "{",
        "{\"sources\":1}",
        "{\"sources\":{\"a\":1}}",
        "{\"sources\":{\"a\":[1]}}",
        "{\"sources\":{\"a\":[[],[[]]]}}",
    ] {
        let message =
            format!("<json-message xmlns='http://jitsi.org/jitmeet'>{bad}</json-message>");
        assert_eq!(add(&message), Err(JingleError::Json), "{bad}");
    }
    assert!(matches!(
        add(
            "<json-message xmlns='http://jitsi.org/jitmeet'>{\"sources\":{\"a\":[[{\"s\":0}]]}}</json-message>"
        ),
        Err(JingleError::Ssrc(_))
    ));
    assert!(
        add(
            "<json-message xmlns='http://jitsi.org/jitmeet'>{\"sources\":{\"a\":[]}}</json-message>"
        )
        .is_ok()
    );
    let unsupported = Jingle::parse(&read(
        "<jingle xmlns='urn:xmpp:jingle:1' action='content-modify' sid='1'/>",
    ));
    assert_eq!(
        unsupported.unwrap().body,
        Body::Unsupported("content-modify".into())
    );
}

fn raw(sources: &[(u32, &str, &str)], groups: &[(Semantics, &[u32])]) -> RawSources {
    RawSources {
        sources: sources
            .iter()
            .map(|&(ssrc, name, msid)| RawSource {
                ssrc: Ssrc(ssrc),
                media: MediaKind::Video,
                name: (!name.is_empty()).then(|| name.into()),
                msid: (!msid.is_empty()).then(|| msid.into()),
                video_type: None,
                owner: None,
            })
            .collect(),
        groups: groups
            .iter()
            .map(|&(semantics, ssrcs)| RawGroup {
                semantics,
                media: MediaKind::Video,
                ssrcs: ssrcs.iter().copied().map(Ssrc).collect(),
            })
            .collect(),
    }
}

#[test]
fn ssrcs_that_do_not_make_up_sources_are_told() {
    use Semantics::{Fid, Sim};
    let both: &[(u32, &str, &str)] = &[(1, "a-v0", "m"), (2, "a-v0", "m")];
    let three: &[(u32, &str, &str)] = &[(1, "a-v0", "m"), (2, "a-v0", "m"), (3, "a-v0", "m")];
    type Case<'a> = (
        &'a str,
        &'a [(u32, &'a str, &'a str)],
        &'a [(Semantics, &'a [u32])],
    );
    let cases: &[Case<'_>] = &[
        ("no name", &[(1, "", "m")][..], &[][..]),
        ("bad name", &[(1, "a", "m")], &[]),
        ("audio name", &[(1, "a-a0", "m")], &[]),
        ("no msid", &[(1, "a-v0", "")], &[]),
        (
            "two msids",
            &[(1, "a-v0", "m"), (2, "a-v0", "n")],
            &[(Fid, &[1, 2])],
        ),
        ("twice", &[(1, "a-v0", "m"), (1, "a-v0", "m")], &[]),
        ("group of strangers", both, &[(Fid, &[1, 9])]),
        (
            "group over sources",
            &[(1, "a-v0", "m"), (2, "a-v1", "n")],
            &[(Fid, &[1, 2])],
        ),
        ("FID of one", both, &[(Fid, &[1])]),
        ("FID of three", three, &[(Fid, &[1, 2, 3])]),
        ("FID with itself", both, &[(Fid, &[1, 1])]),
        ("FID in a circle", both, &[(Fid, &[1, 2]), (Fid, &[2, 1])]),
        ("FID in a chain", three, &[(Fid, &[1, 2]), (Fid, &[2, 3])]),
        (
            "two retransmissions",
            three,
            &[(Fid, &[1, 2]), (Fid, &[1, 3])],
        ),
        (
            "shared retransmissions",
            three,
            &[(Fid, &[1, 3]), (Fid, &[2, 3])],
        ),
        ("SIM of one SSRC twice", both, &[(Sim, &[1, 1])]),
        ("SIM twice", both, &[(Sim, &[1, 2]), (Sim, &[2, 1])]),
        (
            "SIM over retransmissions",
            both,
            &[(Sim, &[1, 2]), (Fid, &[1, 2])],
        ),
    ];
    for (what, sources, groups) in cases {
        assert!(raw(sources, groups).fold().is_err(), "{what}");
    }
    // Empty and repeated groups mean nothing; a loose primary is one more encoding.
    let folded = raw(three, &[(Sim, &[]), (Fid, &[1, 2]), (Fid, &[1, 2])])
        .fold()
        .unwrap();
    assert_eq!(
        folded,
        [source("a-v0", VideoType::Camera, "m", &[(1, 2), (3, 0)])]
    );
}

#[test]
fn sources_without_names_get_some() {
    use Semantics::Fid;
    let owner = EndpointId::new("e").unwrap();
    let mut nameless = raw(
        &[
            (1, "", "m a"),
            (2, "", "m a"),
            (3, "e-v0", "m b"),
            (4, "", "m c"),
        ],
        &[(Fid, &[1, 2])],
    );
    nameless.fill_names(&owner);
    assert_eq!(
        nameless.fold().unwrap(),
        [
            source("e-v1", VideoType::Camera, "m a", &[(1, 2)]),
            source("e-v0", VideoType::Camera, "m b", &[(3, 0)]),
            source("e-v2", VideoType::Camera, "m c", &[(4, 0)]),
        ]
    );
}

mod random {
    use super::*;
    use proptest::prelude::*;

    fn sources() -> impl Strategy<Value = Vec<SourceDescription>> {
        proptest::collection::vec(
            (
                any::<bool>(),
                proptest::collection::vec(any::<bool>(), 1..4),
                "[a-z0-9-]{1,8} [a-z0-9-]{1,8}",
                any::<bool>(),
            ),
            0..6,
        )
        .prop_map(|shapes| {
            let mut next = 0;
            let mut ssrc = || {
                next += 1;
                Ssrc(next)
            };
            shapes
                .into_iter()
                .enumerate()
                .map(|(index, (video, encodings, msid, desktop))| {
                    let letter = if video { 'v' } else { 'a' };
                    let mut out = source(
                        &format!("e{}-{letter}{index}", index / 2),
                        VideoType::Camera,
                        &msid,
                        &[],
                    );
                    if video && desktop {
                        out.video_type = VideoType::Desktop;
                    }
                    out.encodings = encodings
                        .into_iter()
                        .map(|rtx| Encoding {
                            primary: ssrc(),
                            rtx: rtx.then(&mut ssrc),
                        })
                        .collect();
                    out
                })
                .collect()
        })
    }

    proptest! {
        #[test]
        fn sources_fold_back_from_what_signals_them(sources in sources()) {
            prop_assert_eq!(RawSources::of(&sources).fold(), Ok(sources.clone()));
            let written = client_source_update(Change::Add, "s", "i", &sources);
            let Body::SourceAdd(raw) = Jingle::parse(&written).unwrap().body else { panic!() };
            let mut folded = raw.fold().unwrap();
            folded.sort_by(|a, b| a.name.cmp(&b.name));
            let mut expected = sources.clone();
            expected.sort_by(|a, b| a.name.cmp(&b.name));
            prop_assert_eq!(&folded, &expected);
            for mode in [SourceMode::Json, SourceMode::Xml] {
                let Some(written) = source_update(Change::Add, "s", mode, &sources) else { continue };
                let Body::SourceAdd(raw) = Jingle::parse(&written).unwrap().body else { panic!() };
                let mut folded = raw.fold().unwrap();
                folded.sort_by(|a, b| a.name.cmp(&b.name));
                let stripped: Vec<_> = expected.iter().map(strip_simulcast).collect();
                prop_assert_eq!(&folded, &stripped);
            }
        }
    }
}
