//! A media thread that dies under people who meet, over loopback sockets.

use crate::support::*;
use crate::worker::{Command, Death};
use althing_control::{BridgeReply, BridgeRequest, EndpointState, RefusalCode};
use axum::http::StatusCode;
use serde_json::Value;

const C: &str = "c1";

/// Two workers, and a conference that has somebody on each.
struct Stage {
    fixture: Fixture,
    ann: Peer,
    bob: Peer,
    ann_channel: WebSocket,
    bob_channel: WebSocket,
    number: u16,
}

impl Stage {
    async fn new() -> Self {
        let mut fixture = Fixture::start_with(|settings| {
            settings.workers = 2;
            settings.split_above = 1;
        })
        .await;
        let (ann, ann_channel) = member(&mut fixture, "ann00001", 1001).await;
        let (bob, bob_channel) = member(&mut fixture, "bob00002", 2001).await;
        let mut stage = Self {
            fixture,
            ann,
            bob,
            ann_channel,
            bob_channel,
            number: 0,
        };
        stage.bob_hears_ann().await;
        stage
    }

    async fn bob_hears_ann(&mut self) {
        self.bob.received.clear();
        while !(self.bob.received.iter()).any(|packet| packet[8..12] == 1001u32.to_be_bytes()) {
            self.number += 1;
            let header = audio_header(1001, self.number, 20);
            self.ann.send_rtp(&header, &[0x5a; 80]).await;
            self.ann.drain().await;
            self.bob.take_one().await;
        }
    }

    async fn worker_of(&self, id: &str) -> usize {
        let detail = self.fixture.debug(C).await;
        let worker = detail["endpoints"][id]["worker"].as_u64().unwrap();
        usize::try_from(worker).unwrap()
    }

    fn kill(&self, worker: usize, death: Death) {
        self.fixture.bridge.service.workers[worker].tell(Command::Die(death));
    }

    fn metric(&self, name: &str) -> u64 {
        let page = self.fixture.metrics();
        let line = page.lines().find(|line| line.starts_with(name)).unwrap();
        line.rsplit(' ').next().unwrap().parse().unwrap()
    }
}

/// Both ways round: the worker that dies is the conference's home, or it is not.
#[tokio::test]
async fn a_thread_that_a_bug_stops_begins_anew_and_its_people_come_back() {
    for victim in ["ann00001", "bob00002"] {
        let mut stage = Box::pin(Stage::new()).await;
        let worker = stage.worker_of(victim).await;
        stage.kill(worker, Death::OfABug);
        if victim == "bob00002" {
            std::mem::swap(&mut stage.ann_channel, &mut stage.bob_channel);
        }
        let [channel, other] = [&mut stage.ann_channel, &mut stage.bob_channel];
        // The focus hears of it and invites again, the client sees its channel end.
        let lost = (victim.to_owned(), EndpointState::Lost);
        assert_eq!(stage.fixture.event().await, lost);
        assert_eq!(close_frame(channel).await.0, 1001);
        // Who is on the other worker still has theirs.
        send_message(other, r#"{"colibriClass":"ClientHello"}"#).await;
        message_of(other, "ServerHello").await;
        let alone = |stats: &Value| stats["endpoints"] == 1 && stats["largest_conference"] == 1;
        stage.fixture.stats_until(alone).await;
        let health = stage.fixture.admin("/about/health").await;
        assert_eq!(health, (StatusCode::OK, "OK".to_owned()));
        assert_eq!(stage.metric("bridge_worker_restarts_total"), 1);
        assert_eq!(stage.metric("bridge_workers "), 2);
        let ssrc = if victim == "ann00001" { 1001 } else { 2001 };
        let (again, _channel) = member(&mut stage.fixture, victim, ssrc).await;
        match victim {
            "ann00001" => (stage.ann, stage.number) = (again, 0),
            _ => stage.bob = again,
        }
        stage.bob_hears_ann().await;
        assert_eq!(stage.fixture.stats().await["largest_conference"], 2);
        stage.fixture.shutdown().await;
    }
}

#[tokio::test]
async fn a_thread_that_has_ended_for_good_is_said_so_and_the_others_go_on() {
    let mut stage = Box::pin(Stage::new()).await;
    // The home's own: nothing begins there any more, and the room is not lost.
    let worker = stage.worker_of("ann00001").await;
    stage.kill(worker, Death::ForGood);
    let lost = ("ann00001".to_owned(), EndpointState::Lost);
    assert_eq!(stage.fixture.event().await, lost);
    assert_eq!(close_frame(&mut stage.ann_channel).await.0, 1001);
    let (status, text) = stage.fixture.admin("/about/health").await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(text.contains("ended for good"), "{text}");
    let alone = |stats: &Value| stats["endpoints"] == 1 && stats["healthy"] == false;
    stage.fixture.stats_until(alone).await;
    assert_eq!(stage.metric("bridge_workers "), 1);
    // Ann comes back to the worker that is left, and so does everybody else, whatever their room.
    let (again, _channel) = member(&mut stage.fixture, "ann00001", 1001).await;
    (stage.ann, stage.number) = (again, 0);
    stage.bob_hears_ann().await;
    for room in ["r1", "r2", "r3", "r4"] {
        for id in ["cyd00003", "dan00004"] {
            let request = BridgeRequest::Allocate(allocate(room, id));
            let reply = stage.fixture.request(&request).await;
            assert!(matches!(reply, BridgeReply::Allocated(_)), "{reply:?}");
        }
    }
    stage.fixture.shutdown().await;
}

#[tokio::test]
async fn without_another_thread_newcomers_are_refused() {
    let fixture = Fixture::start(1).await;
    fixture.allocate(allocate(C, "ann00001")).await;
    fixture.bridge.service.workers[0].tell(Command::Die(Death::ForGood));
    let request = BridgeRequest::Allocate(allocate(C, "bob00002"));
    let reply = fixture.request(&request).await;
    let is_refused = matches!(
        reply,
        BridgeReply::Refused {
            code: RefusalCode::Unavailable,
            ..
        }
    );
    assert!(is_refused, "{reply:?}");
    fixture.shutdown().await;
}
