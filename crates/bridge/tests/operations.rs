//! What operators see and switch: statistics, metrics, drain, debugging.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use althing_bus::{Bus, Subscription};
use althing_control::{BRIDGES, BridgeReply, BridgeStatus, decode};
use althing_model::MediaKind;
use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Instant;
use support::*;
use tokio::time::timeout;
use tower::ServiceExt;

/// The keys that exporters and dashboards read (protocol 5 §19.2), of those that we answer.
const KEYS: &[&str] = &[
    "bit_rate_download",
    "bit_rate_upload",
    "conferences",
    "current_timestamp",
    "drain",
    "dtls_failed_endpoints",
    "endpoints",
    "endpoints_disconnected",
    "endpoints_ice_failed",
    "endpoints_reconnected",
    "endpoints_sending_audio",
    "endpoints_sending_video",
    "endpoints_with_suspended_sources",
    "graceful_shutdown",
    "healthy",
    "inactive_endpoints",
    "largest_conference",
    "local_active_endpoints",
    "local_endpoints",
    "num_eps_oversending",
    "num_eps_no_msg_transport_after_delay",
    "packet_rate_download",
    "packet_rate_upload",
    "participants",
    "preemptive_kfr_sent",
    "preemptive_kfr_suppressed",
    "receive_only_endpoints",
    "relay_id",
    "shutting_down",
    "stress_level",
    "tcc_unmatched_feedback",
    "threads",
    "total_bytes_received",
    "total_bytes_sent",
    "total_colibri_web_socket_messages_received",
    "total_colibri_web_socket_messages_sent",
    "total_conference_seconds",
    "total_conferences_completed",
    "total_conferences_created",
    "total_dominant_speaker_changes",
    "total_ice_failed",
    "total_ice_succeeded",
    "total_packets_received",
    "total_packets_sent",
    "total_participants",
    "version",
];

async fn send(fixture: &Fixture, method: Method, path: &str) -> (StatusCode, Value) {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .body(Body::empty())
        .unwrap();
    let router = fixture.bridge.admin_router();
    let response = router.oneshot(request).await.unwrap();
    let status = response.status();
    let body = axum::body::to_bytes(response.into_body(), 1 << 20)
        .await
        .unwrap();
    (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
}

async fn status(said: &mut Subscription) -> BridgeStatus {
    let delivery = timeout(PATIENCE, said.next()).await.unwrap().unwrap();
    decode(&delivery.payload).unwrap()
}

#[tokio::test]
async fn statistics_have_the_names_that_exporters_read() {
    let mut fixture = Fixture::start(2).await;
    let mut ann = Peer::join_and_connect(&mut fixture, allocate("c1", "ann00001"), 1).await;
    let mut bob = Peer::join_and_connect(&mut fixture, allocate("c1", "bob00002"), 2).await;
    let mut change = update("c1", "ann00001");
    change.sources = Some(vec![source("ann00001", MediaKind::Audio, 1001, None)]);
    assert_eq!(fixture.update(change).await, BridgeReply::Done);
    ann.send_rtp(&audio_header(1001, 1, 20), &[5; 60]).await;
    bob.next_rtp(1001).await;
    let stats = fixture
        .stats_until(|stats| {
            stats["rtt_aggregate"].is_number() && stats["endpoints_sending_audio"] == 1
        })
        .await;
    for key in KEYS {
        let value = &stats[*key];
        assert!(
            value.is_u64() || value.is_f64() || value.is_boolean() || value.is_string(),
            "{key}: {value}"
        );
    }
    assert_eq!(stats["endpoints"], 2);
    assert_eq!(stats["receive_only_endpoints"], 1);
    assert_eq!(stats["total_ice_succeeded"], 2);
    assert_eq!(stats["healthy"], true);
    assert_eq!(stats["drain"], false);
    assert_eq!(stats["threads"], 2);
    let stress = stats["stress_level"].as_f64().unwrap();
    assert!((0.0..=2.0).contains(&stress), "{stress}");
    assert_eq!(
        send(&fixture, Method::GET, "/stats").await.0,
        StatusCode::OK
    );
    fixture.shutdown().await;
}

/// Names of the series on a page as people query them, without the parts of histograms.
fn series(page: &str) -> Vec<String> {
    page.lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
        .filter_map(|line| line.split_once(' '))
        .map(|(name, kind)| match kind {
            "counter" => format!("{name}_total"),
            _ => name.to_owned(),
        })
        .collect()
}

#[tokio::test]
async fn every_metric_has_one_name_a_help_sentence_and_a_place_in_the_manual() {
    let mut fixture = Fixture::start(1).await;
    let _ann = Peer::join_and_connect(&mut fixture, allocate("c1", "ann00001"), 1).await;
    fixture
        .stats_until(|stats| stats["rtt_aggregate"].is_number())
        .await;
    let page = fixture.metrics();
    let all = series(&page);
    let names: BTreeSet<&str> = all.iter().map(String::as_str).collect();
    assert_eq!(names.len(), all.len(), "a name is declared twice:\n{page}");
    let manual = include_str!("../../../docs/metrics.md");
    for name in &names {
        assert!(name.starts_with("bridge_"), "{name}");
        let help = format!("# HELP {} ", name.trim_end_matches("_total"));
        let sentence = page.lines().find_map(|line| line.strip_prefix(&help));
        assert!(
            sentence.is_some_and(|s| s.len() > 10),
            "{name}: {sentence:?}"
        );
        let entry = format!("`althing_{name}`");
        assert!(manual.contains(&entry), "{entry} is not in docs/metrics.md");
    }
    // And the manual promises nothing that is not there.
    let promised = manual
        .split('`')
        .filter_map(|word| word.strip_prefix("althing_"));
    for name in promised.filter(|name| name.starts_with("bridge_")) {
        assert!(
            names.contains(name),
            "docs/metrics.md has {name}, which is not there"
        );
    }
    for line in [
        "bridge_forwarding_delay_seconds_bucket{le=\"0.02\"}",
        "bridge_worker_stress{worker=\"0\"}",
        "bridge_packets_dropped_total{reason=\"over_bitrate\"} 0",
        "bridge_drain 0",
    ] {
        assert!(page.contains(line), "{line} is missing in\n{page}");
    }
    fixture.shutdown().await;
}

#[tokio::test]
async fn a_page_of_metrics_costs_the_same_with_a_hundred_conferences() {
    let fixture = Fixture::start(2).await;
    let measure = || {
        let started = Instant::now();
        let length = fixture.metrics().len();
        (started.elapsed(), length)
    };
    let (_, empty) = measure();
    for conference in 0..100 {
        for endpoint in 0..3 {
            let request = allocate(&format!("c{conference}"), &format!("ep{endpoint:06}"));
            fixture.allocate(request).await;
        }
    }
    let stats = fixture.stats().await;
    assert_eq!(stats["conferences"], 100);
    let best = (0..20).map(|_| measure()).min().unwrap();
    // Nothing in it grows but the digits.
    assert!(best.1 < empty + 1_000, "{} of {empty} bytes", best.1);
    assert!(best.0.as_millis() < 20, "{:?}", best.0);
    fixture.shutdown().await;
}

#[tokio::test]
async fn a_conference_can_be_looked_at_without_its_secrets() {
    let mut fixture = Fixture::start(1).await;
    let mut ann = Peer::join_and_connect(&mut fixture, allocate("c1", "ann00001"), 1).await;
    let mut bob = Peer::join_and_connect(&mut fixture, allocate("c1", "bob00002"), 2).await;
    let mut change = update("c1", "ann00001");
    change.sources = Some(vec![
        source("ann00001", MediaKind::Audio, 1001, None),
        source("ann00001", MediaKind::Video, 2001, Some(2002)),
    ]);
    assert_eq!(fixture.update(change).await, BridgeReply::Done);
    ann.send_rtp(&audio_header(1001, 1, 20), &[5; 60]).await;
    bob.next_rtp(1001).await;
    let (status, text) = fixture.admin("/debug/c1").await;
    assert_eq!(status, StatusCode::OK);
    let detail: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(detail["left_off"]["probing"], false);
    let sender = &detail["endpoints"]["ann00001"]["media"];
    let sources = sender["sources"].as_array().unwrap();
    let voice = sources.iter().find(|s| s["name"] == "ann00001-a0").unwrap();
    assert_eq!(
        (&voice["sending"], &voice["ssrcs"][0]),
        (&json!(true), &json!(1001))
    );
    let camera = sources.iter().find(|s| s["name"] == "ann00001-v0").unwrap();
    assert_eq!(camera["sending"], false);
    assert!(
        camera["layers"].as_array().is_some_and(|l| !l.is_empty()),
        "{camera}"
    );
    let receiver = &detail["endpoints"]["bob00002"]["media"];
    let slot = &receiver["slots"][0];
    assert_eq!(
        (&slot["source"], &slot["subscribed"]),
        (&json!("ann00001-a0"), &json!(true))
    );
    for peer in [&ann, &bob] {
        let channel = &peer.allocated.channel.password;
        let transport = &peer.allocated.transport;
        for secret in [
            channel.expose(),
            transport.password.expose(),
            &transport.ufrag,
        ] {
            assert!(!text.contains(secret), "a secret is in {text}");
        }
        assert!(
            !text.contains(&peer.local.port().to_string()),
            "an address is in {text}"
        );
    }
    fixture.shutdown().await;
}

#[tokio::test]
async fn a_drain_is_switched_over_http_and_told_at_once() {
    let fixture = Fixture::start(1).await;
    let mut said = fixture.bus.subscribe(BRIDGES);
    let ask = async |method: Method, path: &str| send(&fixture, method, path).await;
    let on = (StatusCode::OK, json!({ "drain": true }));
    let off = (StatusCode::OK, json!({ "drain": false }));
    assert_eq!(ask(Method::GET, "/colibri/drain").await, off);
    assert_eq!(ask(Method::POST, "/colibri/drain/enable").await, on);
    assert_eq!(ask(Method::GET, "/colibri/drain").await, on);
    while !status(&mut said).await.drain {}
    // Meetings go on, and may begin: it is for others to send them elsewhere.
    fixture.allocate(allocate("c1", "ann00001")).await;
    assert_eq!(
        fixture.admin("/about/health").await,
        (StatusCode::OK, "OK, draining".to_owned())
    );
    assert_eq!(fixture.stats().await["drain"], true);
    assert_eq!(ask(Method::POST, "/colibri/drain/disable").await, off);
    while status(&mut said).await.drain {}
    // A fetch does not switch.
    assert_eq!(
        ask(Method::GET, "/colibri/drain/enable").await.0,
        StatusCode::METHOD_NOT_ALLOWED
    );

    fixture.bridge.drain().for_good();
    let refused = (StatusCode::CONFLICT, json!({ "drain": true }));
    assert_eq!(ask(Method::POST, "/colibri/drain/disable").await, refused);
    fixture.shutdown().await;
}

#[tokio::test]
async fn what_the_bridge_says_of_itself_is_what_is_there() {
    let fixture = Fixture::start(1).await;
    let mut said = fixture.bus.subscribe(BRIDGES);
    fixture.allocate(allocate("c1", "ann00001")).await;
    let status = loop {
        let status = status(&mut said).await;
        if status.endpoints > 0 {
            break status;
        }
    };
    assert_eq!((status.node.as_str(), status.conferences), ("n1", 1));
    assert!(!status.drain && !status.overloaded);
    fixture.shutdown().await;
}
