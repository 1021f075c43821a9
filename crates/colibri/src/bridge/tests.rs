use super::*;
use serde_json::json;

/// A wire sample, and what it means; what we write is the same JSON.
fn check(file: &str, expected: &BridgeMessage) {
    let path = format!(
        "{}/../../fixtures/colibri/{file}.json",
        env!("CARGO_MANIFEST_DIR")
    );
    let text = std::fs::read_to_string(&path).expect(file);
    assert_eq!(BridgeMessage::parse(&text).as_ref(), Ok(expected), "{file}");
    let written: Value = serde_json::from_str(&expected.to_json()).unwrap();
    let sample: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(written, sample, "{file}");
}

fn name(name: &str) -> SourceName {
    SourceName::new(name).unwrap()
}

fn id(id: &str) -> EndpointId {
    EndpointId::new(id).unwrap()
}

#[test]
fn samples_are_read_and_written() {
    use BridgeMessage as M;
    check("server-hello", &M::ServerHello { version: None });
    check(
        "server-hello-version",
        &M::ServerHello {
            version: Some("1.0.3".into()),
        },
    );
    check(
        "sender-source-constraints",
        &M::SenderSourceConstraints {
            source_name: name("ann00001-v0"),
            max_height: 360,
        },
    );
    check(
        "dominant-speaker",
        &M::DominantSpeakerEndpointChangeEvent {
            dominant_speaker: id("ann00001"),
            previous_speakers: vec![id("bob00002"), id("cat00003")],
            silence: false,
        },
    );
    check(
        "endpoint-connectivity-status",
        &M::EndpointConnectivityStatusChangeEvent {
            endpoint: id("bob00002"),
            active: false,
        },
    );
    check(
        "forwarded-sources",
        &M::ForwardedSources {
            sources: vec![name("ann00001-v0"), name("bob00002-v1")],
        },
    );
    check(
        "connection-stats",
        &M::ConnectionStats {
            estimated_downlink_bandwidth: 2_500_000,
        },
    );
    check(
        "synthetic-source-sending",
        &M::SyntheticSourceSendingChangeEvent {
            source_name: "ann00001-a0.hi".into(),
            sending: true,
            timestamp: 1_920_000,
        },
    );
}

#[test]
fn source_maps_are_read_and_written() {
    check(
        "video-sources-map",
        &BridgeMessage::VideoSourcesMap {
            mapped_sources: vec![
                VideoSlot {
                    source: name("ann00001-v0"),
                    owner: id("ann00001"),
                    ssrc: Ssrc(3_001_200_450),
                    rtx: Ssrc(3_001_200_451),
                    video_type: VideoType::Camera,
                    mid: Some("v0".into()),
                },
                VideoSlot {
                    source: name("bob00002-v1"),
                    owner: id("bob00002"),
                    ssrc: Ssrc(871_230_011),
                    rtx: Ssrc(871_230_012),
                    video_type: VideoType::Desktop,
                    mid: None,
                },
            ],
        },
    );
    check(
        "audio-sources-map",
        &BridgeMessage::AudioSourcesMap {
            mapped_sources: vec![AudioSlot {
                source: name("ann00001-a0"),
                owner: id("ann00001"),
                ssrc: Ssrc(551_200_777),
                mid: Some("a0".into()),
            }],
        },
    );
}

#[test]
fn relayed_messages_keep_their_members() {
    let mut message = EndpointMessage::new(
        "",
        json!({"name": "endpoint-reaction", "reactions": ["like"]}),
    );
    message.from = Some(id("ann00001"));
    check(
        "endpoint-message-relayed",
        &BridgeMessage::EndpointMessage(message),
    );
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../fixtures/colibri/endpoint-stats.json"
    );
    let text = std::fs::read_to_string(path).unwrap();
    let BridgeMessage::EndpointStats(stats) = BridgeMessage::parse(&text).unwrap() else {
        panic!("{text}")
    };
    assert_eq!(stats.rest["bitrate"]["video"]["upload"], 1160);
    check("endpoint-stats", &BridgeMessage::EndpointStats(stats));
}

#[test]
fn active_is_a_string_and_a_boolean_reads_as_false() {
    let m = BridgeMessage::EndpointConnectivityStatusChangeEvent {
        endpoint: id("a"),
        active: true,
    };
    assert_eq!(
        m.to_json(),
        r#"{"colibriClass":"EndpointConnectivityStatusChangeEvent","endpoint":"a","active":"true"}"#
    );
    let boolean =
        r#"{"colibriClass":"EndpointConnectivityStatusChangeEvent","endpoint":"a","active":true}"#;
    assert!(matches!(
        BridgeMessage::parse(boolean),
        Ok(BridgeMessage::EndpointConnectivityStatusChangeEvent { active: false, .. })
    ));
}

#[test]
fn an_unknown_class_is_no_error() {
    assert_eq!(
        BridgeMessage::parse(r#"{"colibriClass":"Hologram"}"#),
        Ok(BridgeMessage::Unknown {
            class: "Hologram".into()
        })
    );
    assert!(BridgeMessage::parse(r#"{"colibriClass":"ForwardedSources"}"#).is_err());
}
