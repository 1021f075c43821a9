//! The interface for other programs, asked over HTTP while people meet.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod program;

use althing_client::Client;
use aws_lc_rs::hmac;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use program::{Program, until};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;
use tokio_util::task::TaskTracker;

const LIMIT: Duration = Duration::from_secs(20);
const KEY: &str = "0123456789abcdef-ops";
const OTHER: &str = "0123456789abcdef-portal";
const HOOK: &str = "0123456789abcdef-hook";

fn configured(more: &str) -> (TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("althing.toml");
    let text = format!(
        "[api]\nsecret = \"{KEY}\"\n[[api.key]]\nname = \"portal\"\nsecret = \"{OTHER}\"\n{more}"
    );
    std::fs::write(&path, text).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (folder, path)
}

/// Asks, and holds every answer against the document.
struct Asker {
    base: String,
    client: reqwest::Client,
    document: Value,
    /// Which operations were asked successfully, and with which statuses any were answered.
    seen: BTreeSet<String>,
    statuses: BTreeSet<u16>,
}

impl Asker {
    async fn new(program: &Program) -> Self {
        let base = format!("{}api/v1", program.url);
        // Whichever test is first.
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        provider.install_default().ok();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let answer = client
            .get(format!("{base}/openapi.json"))
            .send()
            .await
            .unwrap();
        let document = answer.json().await.unwrap();
        Self {
            base,
            client,
            document,
            seen: BTreeSet::new(),
            statuses: BTreeSet::new(),
        }
    }

    /// The operations there are, as `GET /rooms`.
    fn operations(&self) -> BTreeSet<String> {
        let paths = self.document["paths"].as_object().unwrap();
        let named = paths.iter().flat_map(|(path, methods)| {
            let methods = methods.as_object().unwrap().keys();
            methods.map(move |method| format!("{} {path}", method.to_uppercase()))
        });
        named.collect()
    }

    fn fits(&self, schema: &Value, value: &Value, what: &str) {
        let mut whole = schema.clone();
        whole["components"] = self.document["components"].clone();
        let validator = jsonschema::draft202012::options()
            .should_validate_formats(true)
            .build(&whole)
            .unwrap();
        let wrong: Vec<_> = validator
            .iter_errors(value)
            .map(|e| e.to_string())
            .collect();
        assert!(wrong.is_empty(), "{what}: {wrong:?} in {value}");
    }

    /// Asks by an operation's name in the document, its parameters filled in, what stands after them
    /// added.
    async fn ask(
        &mut self,
        key: Option<&str>,
        operation: &str,
        parameters: &[(&str, &str)],
        more: &str,
        body: Option<Value>,
    ) -> (StatusCode, Value) {
        let (method, template) = operation.split_once(' ').unwrap();
        let described = self.document["paths"][template][method.to_lowercase()].clone();
        assert!(described.is_object(), "{operation}");
        let mut path = template.to_owned();
        for (name, value) in parameters {
            path = path.replace(&format!("{{{name}}}"), value);
        }
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = self
            .client
            .request(method, format!("{}{path}{more}", self.base));
        if let Some(key) = key {
            request = request.bearer_auth(key);
        }
        if let Some(body) = &body {
            request = request.json(body);
        }
        let answer = request.send().await.unwrap();
        let status = answer.status();
        let what = format!("{operation} {status}");
        assert_eq!(answer.headers()["cache-control"], "no-store", "{what}");
        let bytes = answer.bytes().await.unwrap();
        let content = match &described["responses"][status.as_str()] {
            Value::Null => panic!("{what} is not in the document: {bytes:?}"),
            described => &described["content"]["application/json"]["schema"],
        };
        let value = if content.is_null() {
            assert!(bytes.is_empty(), "{what}: {bytes:?}");
            Value::Null
        } else {
            let value = serde_json::from_slice(&bytes).unwrap();
            self.fits(content, &value, &what);
            value
        };
        if status.is_success() {
            if let Some(body) = &body {
                let schema = &described["requestBody"]["content"]["application/json"]["schema"];
                self.fits(schema, body, operation);
            }
            self.seen.insert(operation.to_owned());
        }
        self.statuses.insert(status.as_u16());
        (status, value)
    }

    async fn get(&mut self, operation: &str, parameters: &[(&str, &str)]) -> Value {
        let (status, value) = self.ask(Some(KEY), operation, parameters, "", None).await;
        assert_eq!(status, StatusCode::OK, "{value}");
        value
    }

    async fn code(&mut self, operation: &str, parameters: &[(&str, &str)], more: &str) -> Value {
        let body =
            (operation.starts_with("PUT") || operation.starts_with("POST")).then(|| json!({}));
        let asked = self.ask(Some(KEY), operation, parameters, more, body);
        asked.await.1["code"].clone()
    }
}

/// Reads the audit log; lines that are no JSON are skipped.
fn audit(data: &Path) -> Vec<Value> {
    let Ok(files) = std::fs::read_dir(data.join("audit")) else {
        return Vec::new();
    };
    let texts = files.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap());
    let text: String = texts.collect();
    text.lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect()
}

fn events(lines: &[Value]) -> Vec<&str> {
    lines
        .iter()
        .map(|line| line["event"].as_str().unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_of_the_document_is_answered_as_it_says() {
    let (_folder, config) = configured("[audit]\nattendance = true\n");
    let program = Program::start_with(&["--config", &config]);
    let mut asker = Asker::new(&program).await;

    // Nobody without a key gets further than the document.
    for operation in asker.operations() {
        let nowhere = [("room", "standup"), ("occupant", "ab12cd34")];
        for key in [None, Some("0123456789abcdef-wrong")] {
            let (status, value) = asker.ask(key, &operation, &nowhere, "", None).await;
            if operation == "GET /openapi.json" {
                assert_eq!(status, StatusCode::OK);
            } else {
                assert_eq!(status, StatusCode::UNAUTHORIZED, "{operation}");
                assert_eq!(value["code"], "unauthorized");
            }
        }
    }
    // What is not there is said to be so.
    let nowhere = [("room", "standup"), ("occupant", "ab12cd34")];
    let one = "/rooms/{room}/occupants/{occupant}";
    for (operation, code) in [
        ("GET /rooms/{room}", "no_such_room"),
        ("DELETE /rooms/{room}", "no_such_room"),
        (&*format!("DELETE {one}"), "no_such_room"),
        (&*format!("POST {one}/mute"), "invalid"),
        ("GET /planned-rooms/{room}", "not_planned"),
        ("DELETE /planned-rooms/{room}", "not_planned"),
    ] {
        assert_eq!(
            asker.code(operation, &nowhere, "").await,
            code,
            "{operation}"
        );
        let strange = asker.code(operation, &nowhere, "?tenent=a").await;
        assert_eq!(strange, "invalid", "{operation}");
    }
    assert_eq!(asker.code("GET /rooms", &[], "?limit=0").await, "invalid");

    // A room is planned for two, by somebody else's key.
    let standup = [("room", "R%C3%89union")];
    let plan = json!({
        "lobby": false, "max_occupants": 2, "start_muted": ["audio"], "subject": "Daily",
        "max_duration_seconds": 3600, "opens_at": "2026-01-01T00:00:00+01:00",
        "expires_at": "2126-01-01T00:00:00Z",
    });
    let planning = "PUT /planned-rooms/{room}";
    for status in [StatusCode::CREATED, StatusCode::OK] {
        let asked = asker.ask(Some(OTHER), planning, &standup, "", Some(plan.clone()));
        let (answered, value) = asked.await;
        assert_eq!(answered, status, "{value}");
        assert_eq!(value["name"], "réunion");
        assert_eq!(value["opens_at"], "2025-12-31T23:00:00Z");
    }
    let planned = asker.get("GET /planned-rooms", &[]).await;
    assert_eq!(planned["planned_rooms"][0]["max_occupants"], 2);
    let shown = asker.get("GET /planned-rooms/{room}", &standup).await;
    assert_eq!(shown["has_password"], false);
    let long = json!({ "subject": "x".repeat(70_000) });
    let asked = asker.ask(Some(KEY), planning, &standup, "", Some(long));
    assert_eq!(asked.await.0, StatusCode::PAYLOAD_TOO_LARGE);

    // Two come in; for a third there is no place.
    let ada = Client::join(program.client("RÉunion", "Ada"))
        .await
        .unwrap();
    let bo = Client::join(program.client("RÉunion", "Bo")).await.unwrap();
    assert!(Client::join(program.client("RÉunion", "Cy")).await.is_err());
    let rooms = asker.get("GET /rooms", &[]).await;
    assert_eq!(rooms["rooms"][0]["name"], "réunion");
    assert_eq!(rooms["rooms"][0]["occupant_count"], 2);
    let room = asker.get("GET /rooms/{room}", &standup).await;
    let of = |name: &str| {
        let all = room["occupants"].as_array().unwrap();
        all.iter().find(|o| o["name"] == name).unwrap().clone()
    };
    assert_eq!(of("Ada")["role"], "moderator");
    let (ada_id, bo_id) = (of("Ada")["id"].clone(), of("Bo")["id"].clone());
    let at_bo = [standup[0], ("occupant", bo_id.as_str().unwrap())];
    let at_nobody = [standup[0], ("occupant", "nobody")];
    let at_no_id = [standup[0], ("occupant", "no-id")];
    for nobody in [&at_nobody, &at_no_id] {
        let code = asker.code(&format!("DELETE {one}"), nobody, "").await;
        assert_eq!(code, "no_such_occupant");
    }

    let muting = format!("POST {one}/mute");
    let body = Some(json!({ "media": "audio" }));
    let (status, _) = asker.ask(Some(KEY), &muting, &at_bo, "", body).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    let removing = format!("DELETE {one}");
    let (status, _) = asker
        .ask(Some(KEY), &removing, &at_bo, "?reason=go", None)
        .await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    until("the other is gone", LIMIT, || ada.stats().others == 0).await;
    let ending = "DELETE /rooms/{room}";
    let (status, _) = asker
        .ask(Some(OTHER), ending, &standup, "?reason=over", None)
        .await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    let gone = asker.code("GET /rooms/{room}", &standup, "").await;
    assert_eq!(gone, "no_such_room");
    let forgetting = "DELETE /planned-rooms/{room}";
    let (status, _) = asker.ask(Some(KEY), forgetting, &standup, "", None).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    drop((ada, bo));

    assert_eq!(asker.seen, asker.operations());
    assert_eq!(asker.statuses, [200, 201, 204, 400, 401, 404, 413].into());

    // All of it was written down, with who did it.
    let data = program.data();
    until("the audit log has it all", LIMIT, || {
        events(&audit(data.path())).contains(&"plan_forgotten")
    })
    .await;
    let lines = audit(data.path());
    let line = |event: &str| {
        let found = lines.iter().find(|line| line["event"] == event);
        found
            .unwrap_or_else(|| panic!("{event}: {lines:?}"))
            .clone()
    };
    for event in [
        "planned",
        "room_started",
        "joined",
        "muted",
        "left",
        "room_ended",
    ] {
        line(event);
    }
    assert_eq!(line("kicked")["by"], json!({ "key": "api" }));
    assert_eq!(line("kicked")["whom"]["name"], "Bo");
    assert_eq!(line("kicked")["whom"]["occupant"], bo_id);
    assert_eq!(line("kicked")["reason"], "go");
    assert_eq!(line("ended_for_all")["by"], json!({ "key": "portal" }));
    assert_eq!(line("joined")["who"]["occupant"], ada_id);
    assert_eq!(line("planned")["by"], json!({ "key": "portal" }));
    for file in std::fs::read_dir(data.path().join("audit")).unwrap() {
        let mode = file.unwrap().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    let metrics = program.metrics();
    assert_eq!(metrics["althing_api_notices_lost_total"], 0.0);
    assert_eq!(metrics["althing_api_audit_lost_total"], 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_survives_a_kill_and_without_a_key_there_is_no_interface() {
    let (_folder, config) = configured("");
    let program = Program::start_with(&["--config", &config]);
    let data = program.data();
    let mut asker = Asker::new(&program).await;
    let room = [("room", "board")];
    let plan = Some(json!({ "password": "hunter2" }));
    let planning = "PUT /planned-rooms/{room}";
    let (status, _) = asker
        .ask(Some(KEY), planning, &room, "?tenant=Acme", plan)
        .await;
    assert_eq!(status, StatusCode::CREATED);
    // Killed, not asked to end.
    drop(program);

    let program = Program::start_in(Arc::clone(&data), &["--config", &config]);
    let mut asker = Asker::new(&program).await;
    let planned = asker.get("GET /planned-rooms", &[]).await;
    let expected = json!({ "name": "board", "tenant": "acme", "has_password": true });
    assert_eq!(planned["planned_rooms"], json!([expected]));
    // The admin listener has it too, with the same keys; a wrong path and method are said to be so.
    let admin = format!("http://{}/api/v1", program.admin);
    for (method, path, key, status) in [
        (Method::GET, "/rooms", KEY, StatusCode::OK),
        (Method::GET, "/rooms", "wrong", StatusCode::UNAUTHORIZED),
        (Method::GET, "/roms", KEY, StatusCode::NOT_FOUND),
        (Method::POST, "/rooms", KEY, StatusCode::METHOD_NOT_ALLOWED),
    ] {
        let request = asker.client.request(method, format!("{admin}{path}"));
        let answer = request.bearer_auth(key).send().await.unwrap();
        assert_eq!(answer.status(), status, "{path}");
        let value: Value = answer.json().await.unwrap();
        assert_eq!(value["code"].is_string(), !status.is_success(), "{path}");
    }
    drop(program);

    let program = Program::start_in(data, &[]);
    let answer = asker.client.get(format!("{}api/v1/rooms", program.url));
    assert_eq!(answer.send().await.unwrap().status(), StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_end_of_the_program_ends_is_written_down_too() {
    let (_folder, config) = configured("[audit]\nattendance = true\n");
    let mut program = Program::start_with(&["--config", &config, "--drain-timeout", "0s"]);
    let data = program.data();
    let ada = Client::join(program.client("standup", "Ada"))
        .await
        .unwrap();
    let pid = Pid::from_raw(i32::try_from(program.pid()).unwrap());
    kill(pid, Signal::SIGTERM).unwrap();
    until("it ends", LIMIT, || program.has_ended()).await;
    let lines = audit(data.path());
    assert_eq!(
        events(&lines),
        ["room_started", "joined", "left", "room_ended"]
    );
    assert_eq!(lines[2]["who"]["name"], "Ada");
    drop(ada);
}

/// One request as a receiver saw it.
#[derive(Debug)]
struct Received {
    signature: String,
    delivery: String,
    body: String,
}

/// A receiver of webhooks on loopback that refuses the first one; what it got.
async fn receive(listener: TcpListener, received: Arc<Mutex<Vec<Received>>>) {
    while let Ok((stream, _)) = listener.accept().await {
        let mut stream = BufReader::new(stream);
        let (mut signature, mut delivery, mut length) = (String::new(), String::new(), 0);
        loop {
            let mut line = String::new();
            stream.read_line(&mut line).await.unwrap();
            let Some((name, value)) = line.trim().split_once(": ") else {
                match line.trim() {
                    "" => break,
                    _ => continue,
                }
            };
            match name.to_lowercase().as_str() {
                "althing-signature" => signature = value.to_owned(),
                "althing-delivery" => delivery = value.to_owned(),
                "content-length" => length = value.parse().unwrap(),
                _ => {}
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.unwrap();
        let refused = {
            let mut received = received.lock().unwrap();
            received.push(Received {
                signature,
                delivery,
                body: String::from_utf8(body).unwrap(),
            });
            received.len() == 1
        };
        let status = if refused { "500 Not Yet" } else { "204 Taken" };
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        // The program may have ended meanwhile.
        stream.get_mut().write_all(answer.as_bytes()).await.ok();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn webhooks_are_signed_and_come_again_in_order() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let received = Arc::<Mutex<Vec<Received>>>::default();
    let receiver = TaskTracker::new().spawn(receive(listener, Arc::clone(&received)));
    let (_folder, config) = configured(&format!(
        "[[webhook]]\nurl = \"http://{address}/hook/\"\nsecret = \"{HOOK}\"\n"
    ));
    let program = Program::start_with(&["--config", &config]);
    let ada = Client::join(program.client("standup", "Ada"))
        .await
        .unwrap();
    ada.leave().await;
    until("everything arrives", LIMIT, || {
        received.lock().unwrap().len() >= 5
    })
    .await;
    receiver.abort();

    let received = received.lock().unwrap();
    let body = |r: &Received| serde_json::from_str::<Value>(&r.body).unwrap();
    let bodies: Vec<Value> = received.iter().map(body).collect();
    assert_eq!(
        events(&bodies),
        [
            "room_started",
            "room_started",
            "joined",
            "left",
            "room_ended"
        ]
    );
    assert_eq!(received[0].delivery, received[1].delivery);
    assert_eq!(bodies[0]["id"], received[0].delivery.as_str());
    assert_eq!(bodies[2]["who"]["name"], "Ada");
    assert_eq!(bodies[2]["room"]["name"], "standup");
    assert_eq!(bodies[2]["meeting"], bodies[4]["meeting"]);
    let key = hmac::Key::new(hmac::HMAC_SHA256, HOOK.as_bytes());
    for one in received.iter() {
        let (time, hex) = one.signature.split_once(",v1=").unwrap();
        let time = time.strip_prefix("t=").unwrap();
        let signed = hmac::sign(&key, format!("{time}.{}", one.body).as_bytes());
        let computed: String = signed.as_ref().iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(hex, computed);
    }
    // Attendance is not written down unless asked for.
    assert!(audit(program.data().path()).is_empty());
}
