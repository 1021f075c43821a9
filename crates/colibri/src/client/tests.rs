use super::*;
use serde_json::json;

/// A wire sample, and what it means; what we write means the same.
fn check(file: &str, expected: &ClientMessage) {
    let path = format!(
        "{}/../../fixtures/colibri/{file}.json",
        env!("CARGO_MANIFEST_DIR")
    );
    let text = std::fs::read_to_string(&path).expect(file);
    assert_eq!(ClientMessage::parse(&text).as_ref(), Ok(expected), "{file}");
    assert_eq!(
        ClientMessage::parse(&expected.to_json()).as_ref(),
        Ok(expected),
        "{file} written and read"
    );
}

fn name(name: &str) -> SourceName {
    SourceName::new(name).unwrap()
}

fn heights(list: &[(&str, i32)]) -> Option<BTreeMap<SourceName, Constraint>> {
    Some(
        list.iter()
            .map(|(n, h)| (name(n), Constraint::height(*h)))
            .collect(),
    )
}

#[test]
fn samples_are_read_and_written() {
    use ClientMessage as M;
    check("client-hello", &M::ClientHello);
    check("last-n-changed-event", &M::LastNChangedEvent { last_n: 5 });
    check(
        "video-type-message",
        &M::VideoTypeMessage {
            video_type: VideoType::Camera,
        },
    );
    check(
        "source-video-type-message",
        &M::SourceVideoTypeMessage(SourceVideoType {
            source_name: name("bob00002-v1"),
            video_type: VideoType::Desktop,
        }),
    );
    check(
        "receiver-audio-subscription",
        &M::ReceiverAudioSubscription(AudioSubscription {
            all: true,
            include: vec!["ann00001-a0.hi".into()],
            exclude: vec!["ann00001-a0".into()],
        }),
    );
    check(
        "receiver-audio-subscription-legacy",
        &M::ReceiverAudioSubscription(AudioSubscription {
            all: true,
            include: vec![],
            exclude: vec!["ann00001-a0".into()],
        }),
    );
    check(
        "endpoint-message-unicast",
        &M::EndpointMessage(EndpointMessage::new(
            "bob00002",
            json!({"type": "e2e-ping-request", "id": 3}),
        )),
    );
    check(
        "unknown-class",
        &M::Unknown {
            class: "Hologram".into(),
        },
    );
}

#[test]
fn constraint_samples_are_read_and_written() {
    let check = |file, m| check(file, &ClientMessage::ReceiverVideoConstraints(m));
    check(
        "receiver-video-constraints-first",
        VideoConstraints {
            last_n: Some(-1),
            assumed_bandwidth_bps: Some(-1),
            ..VideoConstraints::default()
        },
    );
    check(
        "receiver-video-constraints-stage",
        VideoConstraints {
            last_n: Some(25),
            on_stage_sources: Some(vec![name("ann00001-v0")]),
            selected_sources: Some(vec![]),
            default_constraints: Some(Constraint::height(0)),
            constraints: heights(&[
                ("ann00001-v0", 720),
                ("bob00002-v0", 180),
                ("cat00003-v0", 180),
            ]),
            assumed_bandwidth_bps: None,
        },
    );
    check(
        "receiver-video-constraints-tiles",
        VideoConstraints {
            last_n: Some(25),
            on_stage_sources: Some(vec![]),
            selected_sources: Some(vec![name("bob00002-v1")]),
            default_constraints: Some(Constraint::height(0)),
            constraints: heights(&[
                ("ann00001-v0", 360),
                ("bob00002-v0", 360),
                ("bob00002-v1", 2160),
            ]),
            assumed_bandwidth_bps: None,
        },
    );
    check(
        "receiver-video-constraints-audio-only",
        VideoConstraints {
            last_n: Some(0),
            on_stage_sources: Some(vec![]),
            selected_sources: Some(vec![]),
            default_constraints: Some(Constraint::height(0)),
            constraints: heights(&[]),
            assumed_bandwidth_bps: None,
        },
    );
    // Nulls for absent, a whole number with a fraction, a field of old.
    check(
        "receiver-video-constraints-gst-meet",
        VideoConstraints {
            on_stage_sources: Some(vec![name("ann00001-v0")]),
            default_constraints: Some(Constraint::height(180)),
            ..VideoConstraints::default()
        },
    );
}

#[test]
fn what_we_write_is_what_clients_write() {
    let m = ClientMessage::ReceiverVideoConstraints(VideoConstraints {
        last_n: Some(2),
        constraints: heights(&[("a-v0", 360)]),
        ..VideoConstraints::default()
    });
    assert_eq!(
        m.to_json(),
        r#"{"colibriClass":"ReceiverVideoConstraints","lastN":2,"constraints":{"a-v0":{"maxHeight":360}}}"#
    );
    assert_eq!(
        ClientMessage::ClientHello.to_json(),
        r#"{"colibriClass":"ClientHello"}"#
    );
}

#[test]
fn a_senders_from_is_read_but_kept_apart() {
    let m = ClientMessage::parse(
        r#"{"colibriClass":"EndpointMessage","to":"","from":"evil","msgPayload":{"x":1},"foo":2}"#,
    )
    .unwrap();
    let ClientMessage::EndpointMessage(m) = m else {
        panic!("{m:?}")
    };
    assert!(m.is_broadcast());
    assert_eq!(m.from.unwrap().as_str(), "evil");
    assert_eq!(m.rest["foo"], 2);
}

#[test]
fn harmful_messages_are_dropped_whole() {
    for bad in [
        "",
        "[]",
        "{}",
        r#"{"colibriClass":7}"#,
        r#"{"colibriClass":"ReceiverVideoConstraints","constraints":{"a-v0":{"maxHeight":-7}}}"#,
        r#"{"colibriClass":"ReceiverVideoConstraints","defaultConstraints":{"maxHeight":-5}}"#,
        r#"{"colibriClass":"ReceiverVideoConstraints","defaultConstraints":{"maxHeight":1.5}}"#,
        r#"{"colibriClass":"ReceiverVideoConstraints","defaultConstraints":{"maxHeight":9999999999}}"#,
        r#"{"colibriClass":"ReceiverVideoConstraints","lastN":"2"}"#,
        r#"{"colibriClass":"LastNChangedEvent"}"#,
        r#"{"colibriClass":"SourceVideoTypeMessage","sourceName":"a-v0","videoType":"hologram"}"#,
        r#"{"colibriClass":"SourceVideoTypeMessage","sourceName":"a/v0","videoType":"camera"}"#,
        r#"{"colibriClass":"EndpointMessage","msgPayload":{}}"#,
        r#"{"colibriClass":"ReceiverAudioSubscription","mode":"Sometimes"}"#,
    ] {
        assert!(ClientMessage::parse(bad).is_err(), "{bad}");
    }
    let long = format!(
        r#"{{"colibriClass":"EndpointMessage","to":"","msgPayload":"{}"}}"#,
        "x".repeat(MAX_MESSAGE_BYTES)
    );
    assert_eq!(
        ClientMessage::parse(&long),
        Err(ParseError::TooLong(long.len()))
    );
    let deep = format!(
        r#"{{"colibriClass":"EndpointMessage","to":"","msgPayload":{}1{}}}"#,
        "[".repeat(20_000),
        "]".repeat(20_000)
    );
    assert!(ClientMessage::parse(&deep).is_err());
}

#[test]
fn differences_that_do_no_harm_are_read_over() {
    for (text, expected) in [
        (
            r#"{"colibriClass":"SourceVideoTypeMessage","sourceName":"a-v0","videoType":"DESKTOP_HIGH_FPS","extra":[]}"#,
            ClientMessage::SourceVideoTypeMessage(SourceVideoType {
                source_name: name("a-v0"),
                video_type: VideoType::DesktopHighFps,
            }),
        ),
        (
            r#"{"colibriClass":"LastNChangedEvent","lastN":-5}"#,
            ClientMessage::LastNChangedEvent { last_n: -1 },
        ),
        (
            r#"{"colibriClass":"ReceiverVideoConstraints","constraints":{"no name":{"maxHeight":1}}}"#,
            ClientMessage::ReceiverVideoConstraints(VideoConstraints {
                constraints: heights(&[]),
                ..VideoConstraints::default()
            }),
        ),
    ] {
        assert_eq!(ClientMessage::parse(text), Ok(expected), "{text}");
    }
}

#[test]
fn a_frame_rate_of_zero_means_nothing_is_wanted() {
    let c: Constraint = serde_json::from_str(r#"{"maxHeight":720,"maxFrameRate":0}"#).unwrap();
    assert_eq!(c.effective_height(), 0);
    assert_eq!(Constraint::height(720).effective_height(), 720);
}

#[test]
fn subscriptions_decide_by_name() {
    let s = AudioSubscription {
        all: false,
        include: vec!["a".into(), "b".into()],
        exclude: vec!["b".into()],
    };
    assert!(s.wants("a"));
    assert!(!s.wants("b"), "exclude beats include");
    assert!(!s.wants("c"));
    assert!(AudioSubscription::default().wants("c"));
}
