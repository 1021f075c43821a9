//! Audio halls: no video in the offer, none taken, and whoever asks is told beforehand.

use crate::harness::{House, ROOM};
use althing_control::BridgeRequest;
use althing_control::rooms::{RoomName, RoomPlan};
use althing_model::MediaMode;
use althing_signalling::{Plans, RoomRule, Settings};
use althing_xmpp::{Element, ns};

/// What the answer to a request for the room says of its media.
fn announced(answer: &Element) -> Option<String> {
    let conference = answer.child("conference", ns::FOCUS)?;
    let property = conference
        .children()
        .find(|p| p.attr("name") == Some("media"))?;
    property.attr("value").map(str::to_owned)
}

fn is_hall(welcome: &[Element]) -> bool {
    let mut metadata = welcome
        .iter()
        .filter(|e| e.child_named("json-message").is_some());
    metadata.any(|e| e.to_xml().contains(r#""media":"audio""#))
}

/// Two people meet in a hall, and one of them tries to be seen.
async fn nobody_is_seen(settings: impl FnOnce(&mut Settings)) {
    let house = House::start_with(settings).await;
    let mut ada = house.client().await;
    let ready = ada.request_conference(ROOM).await;
    assert_eq!(announced(&ready).as_deref(), Some("audio"));
    assert!(is_hall(&ada.join(ROOM).await));
    let (mut bob, welcome) = house.joined(ROOM).await;
    assert!(is_hall(&welcome));

    let (ada_sid, offer) = ada.offered(&[]).await;
    let (bob_sid, _) = bob.offered(&[]).await;
    let xml = offer.to_xml();
    assert!(
        xml.contains(r#"media="audio""#) && !xml.contains("video"),
        "{xml}"
    );
    let contents = ada.audio(1001);
    let accepted = ada.jingle("session-accept", &ada_sid, &contents).await;
    assert_eq!(accepted.attr("type"), Some("result"));
    let contents = bob.audio(2001);
    bob.jingle("session-accept", &bob_sid, &contents).await;
    assert_eq!(ada.told().await, ("source-add".into(), vec![2001]));

    let share = bob.share(2101);
    let refused = bob.jingle("source-add", &bob_sid, &share).await;
    assert!(
        refused.to_xml().contains("forbidden"),
        "{}",
        refused.to_xml()
    );
    // The session goes on; and the bridge never heard of a picture.
    let silent = bob.audio(2001);
    let removed = bob.jingle("source-remove", &bob_sid, &silent).await;
    assert_eq!(removed.attr("type"), Some("result"));
    assert_eq!(ada.told().await, ("source-remove".into(), vec![2001]));
    for request in house.requests.lock().unwrap().iter() {
        match request {
            BridgeRequest::Allocate(allocate) => {
                let may = allocate.may_send;
                assert!(may.audio && !may.video && !may.share);
                assert!(allocate.receives_audio && !allocate.receives_video);
            }
            BridgeRequest::Update(update) => {
                let sources = update.sources.iter().flatten();
                assert!(
                    sources
                        .flat_map(|s| s.ssrcs())
                        .all(|s| s.0 == 1001 || s.0 == 2001)
                );
            }
            _ => {}
        }
    }
}

#[tokio::test]
async fn by_server() {
    Box::pin(nobody_is_seen(|settings| settings.media = MediaMode::Audio)).await;
}

#[tokio::test]
async fn by_the_name_of_the_room() {
    Box::pin(nobody_is_seen(|settings| {
        settings.presets = vec![RoomRule {
            pattern: "*".into(),
            media: Some(MediaMode::Audio),
            ..RoomRule::default()
        }];
    }))
    .await;
}

/// Every room is planned as a hall.
#[derive(Debug)]
struct Halls;

impl Plans for Halls {
    fn plan(&self, _: &RoomName) -> Option<RoomPlan> {
        Some(RoomPlan {
            media: Some(MediaMode::Audio),
            ..RoomPlan::default()
        })
    }
}

#[tokio::test]
async fn by_plan() {
    Box::pin(nobody_is_seen(|settings| {
        settings.plans = std::sync::Arc::new(Halls)
    }))
    .await;
}

#[tokio::test]
async fn a_room_may_be_for_everything_where_others_are_halls() {
    let house = House::start_with(|settings| {
        settings.media = MediaMode::Audio;
        settings.presets = vec![RoomRule {
            pattern: "*".into(),
            media: Some(MediaMode::All),
            ..RoomRule::default()
        }];
    })
    .await;
    let mut ada = house.client().await;
    let ready = ada.request_conference(ROOM).await;
    assert_eq!(announced(&ready).as_deref(), Some("all"));
    assert!(!is_hall(&ada.join(ROOM).await));
    let _bob = house.joined(ROOM).await;
    let (_, offer) = ada.offered(&[]).await;
    assert!(offer.to_xml().contains(r#"media="video""#));
}

#[tokio::test]
async fn over_http_the_answer_says_so_as_well() {
    let house = House::start_with(|settings| settings.media = MediaMode::Audio).await;
    let body = format!(r#"{{"room":"{ROOM}"}}"#);
    let (status, _, answer) = house.http("POST", "/conference-request/v1", &body).await;
    assert_eq!(status, 200);
    assert!(answer.contains(r#""media":"audio""#), "{answer}");
}

#[tokio::test]
async fn who_comes_into_a_large_hall_listens_first() {
    let house = House::start_with(|settings| settings.media = MediaMode::Audio).await;
    let starts_muted = |welcome: &[Element]| {
        let mut all = welcome.iter().map(Element::to_xml);
        all.any(|xml| xml.contains(r#""startMuted":{"audio":true"#))
    };
    let mut people = Vec::new();
    for number in 1..=11 {
        let (client, welcome) = house.joined(ROOM).await;
        assert_eq!(starts_muted(&welcome), number == 11, "{number}");
        people.push(client);
    }
}
