//! The end of the real program while people meet: who is waited for, who is refused, what is told.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod program;

use althing_client::Client;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use program::{Program, until};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(20);
/// What the program promises when it is told a second time.
const PROMISE: Duration = Duration::from_secs(2);

fn tell(program: &Program, signal: Signal) {
    kill(Pid::from_raw(program.pid().cast_signed()), signal).unwrap();
}

async fn ask(request: reqwest::RequestBuilder) -> (u16, Value) {
    let answer = request.send().await.unwrap();
    let status = answer.status().as_u16();
    (status, answer.json().await.unwrap_or(Value::Null))
}

/// A listener's addresses, and somebody to ask them.
struct Asker {
    client: reqwest::Client,
    public: String,
    admin: String,
}

impl Asker {
    fn new(program: &Program) -> Self {
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        provider.install_default().ok();
        Self {
            client: reqwest::Client::new(),
            public: program.url.to_string(),
            admin: format!("http://{}/", program.admin),
        }
    }

    async fn health(&self) -> (u16, Value) {
        ask(self.client.get(format!("{}health", self.public))).await
    }

    async fn full_health(&self) -> (u16, Value) {
        ask(self.client.get(format!("{}health", self.admin))).await
    }

    async fn drain(&self, what: &str) -> (u16, Value) {
        ask(self
            .client
            .post(format!("{}colibri/drain/{what}", self.admin)))
        .await
    }

    /// What a client is told that asks for a new room, once the rooms have heard of the drain.
    async fn refused(&self) -> (u16, String) {
        let mut number = 0;
        loop {
            number += 1;
            let answer = self.room(&format!("other{number}")).await;
            if answer.0 != 200 {
                return answer;
            }
        }
    }

    /// What a client is told that asks for a room.
    async fn room(&self, room: &str) -> (u16, String) {
        let answer = self
            .client
            .post(format!("{}conference-request/v1", self.public))
            .body(json!({ "room": format!("{room}@muc.meet.jitsi") }).to_string())
            .send()
            .await
            .unwrap();
        let status = answer.status().as_u16();
        (status, answer.text().await.unwrap())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_waits_for_the_meeting_refuses_others_and_ends_with_its_last_guest() {
    let mut program = Program::start_with(&["--drain-timeout", "1h"]);
    let asker = Asker::new(&program);
    let ann = Client::join(program.client("standup", "Ann"))
        .await
        .unwrap();
    assert_eq!(asker.health().await, (200, json!({ "status": "ok" })));
    tell(&program, Signal::SIGTERM);
    let mut health = (0, Value::Null);
    while health.0 != 503 {
        health = asker.health().await;
    }
    // Nobody but the operator is told how much goes on.
    assert_eq!(health.1, json!({ "status": "draining" }));
    let (status, full) = asker.full_health().await;
    assert_eq!(
        (status, &full["rooms"], &full["occupants"]),
        (503, &json!(1), &json!(1))
    );
    assert!(
        full["seconds_left"]
            .as_u64()
            .is_some_and(|s| (3_500..=3_600).contains(&s)),
        "{full}"
    );
    assert!(program.admin_get("/about/health").ends_with("OK, draining"));
    // The meeting goes on and grows; another does not begin.
    let bo = Client::join(program.client("standup", "Bo")).await.unwrap();
    let (status, text) = asker.refused().await;
    assert_eq!(status, 503, "{text}");
    assert!(text.contains("about to restart"), "{text}");
    // There is no way back from a signal.
    assert_eq!(
        asker.drain("disable").await,
        (409, json!({ "drain": true }))
    );
    assert!(!program.has_ended());
    ann.leave().await;
    bo.leave().await;
    until("the program ends with its last guest", LIMIT, || {
        program.has_ended()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_a_drain_in_time() {
    for second in [Signal::SIGTERM, Signal::SIGINT] {
        let mut program = Program::start_with(&["--drain-timeout", "1h"]);
        let asker = Asker::new(&program);
        let ann = Client::join(program.client("standup", "Ann"))
            .await
            .unwrap();
        tell(&program, Signal::SIGTERM);
        while asker.health().await.0 != 503 {}
        let started = Instant::now();
        tell(&program, second);
        until("the program ends", LIMIT, || program.has_ended()).await;
        // It is looked for every 50 ms.
        assert!(
            started.elapsed() < PROMISE + Duration::from_millis(100),
            "{second}"
        );
        drop(ann);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_without_meetings_and_one_that_is_over_end_the_program() {
    let mut empty = Program::start_with(&["--drain-timeout", "1h"]);
    tell(&empty, Signal::SIGTERM);
    until("nobody is waited for", LIMIT, || empty.has_ended()).await;
    let mut patient = Program::start_with(&["--drain-timeout", "300ms"]);
    let ann = Client::join(patient.client("standup", "Ann"))
        .await
        .unwrap();
    tell(&patient, Signal::SIGTERM);
    until("patience is over", LIMIT, || patient.has_ended()).await;
    drop(ann);
}

#[tokio::test(flavor = "multi_thread")]
async fn unless_told_otherwise_sigterm_waits_a_minute() {
    let mut program = Program::start();
    let asker = Asker::new(&program);
    let ann = Client::join(program.client("standup", "Ann"))
        .await
        .unwrap();
    tell(&program, Signal::SIGTERM);
    while asker.health().await.0 != 503 {}
    let (_, full) = asker.full_health().await;
    assert!(
        full["seconds_left"]
            .as_u64()
            .is_some_and(|s| (1..=60).contains(&s)),
        "{full}"
    );
    ann.leave().await;
    until("the meeting was all it waited for", LIMIT, || {
        program.has_ended()
    })
    .await;
    let mut hasty = Program::start_with(&["--drain-timeout", "0s"]);
    let bo = Client::join(hasty.client("standup", "Bo")).await.unwrap();
    let told = Instant::now();
    tell(&hasty, Signal::SIGTERM);
    until("nobody is waited for", LIMIT, || hasty.has_ended()).await;
    assert!(told.elapsed() < PROMISE + Duration::from_millis(100));
    drop(bo);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_switches_a_drain_on_and_off() {
    let program = Program::start_with(&[]);
    let asker = Asker::new(&program);
    let ann = Client::join(program.client("standup", "Ann"))
        .await
        .unwrap();
    assert_eq!(asker.drain("enable").await, (200, json!({ "drain": true })));
    assert_eq!(asker.health().await.0, 503);
    assert_eq!(asker.full_health().await.1["seconds_left"], Value::Null);
    let refused = asker.refused().await;
    assert_eq!(refused.0, 503, "{}", refused.1);
    assert_eq!(asker.room("standup").await.0, 200);
    assert_eq!(program.metrics()["althing_bridge_drain"], 1.0);
    assert_eq!(
        asker.drain("disable").await,
        (200, json!({ "drain": false }))
    );
    assert_eq!(asker.health().await.0, 200);
    while asker.room("third").await.0 != 200 {}
    ann.leave().await;
}
