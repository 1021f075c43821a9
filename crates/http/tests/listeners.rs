//! The listeners over real loopback sockets: what a client, a proxy and an attacker see.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use althing_http::{
    CertificateStore, ClientConfig, Http, Limits, Listener, Metrics, Settings, StartError,
};
use althing_model::ClientInfo;
use axum::extract::WebSocketUpgrade;
use axum::routing::{get, post};
use axum::{Extension, Router};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;

#[derive(Debug, Default)]
struct Memory(Mutex<Option<Vec<u8>>>);

impl CertificateStore for Memory {
    fn load(&self) -> io::Result<Option<Vec<u8>>> {
        Ok(self.0.lock().unwrap().clone())
    }
    fn save(&self, content: &[u8]) -> io::Result<()> {
        *self.0.lock().unwrap() = Some(content.to_vec());
        Ok(())
    }
}

struct Bench {
    http: Http,
    certificate: Arc<Memory>,
}

/// A server on free ports, with one proxy network trusted; `change` has the last word.
fn start_with(change: impl FnOnce(&mut Settings), public: Router) -> Result<Bench, StartError> {
    let certificate = Arc::new(Memory::default());
    let mut registry = althing_telemetry::registry("1.2.3");
    let metrics = Metrics::register(&mut registry);
    let free: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let mut settings = Settings {
        plain: vec![free],
        tls: vec![free],
        admin: vec![free],
        trusted_proxies: vec!["127.0.0.0/8".parse().unwrap()],
        certificate: certificate.clone(),
        certificate_names: vec!["192.0.2.1".to_owned()],
        client: ClientConfig {
            domain: "meet.jitsi".into(),
            version: "1.2.3".into(),
            login_url: None,
            media: althing_model::MediaMode::All,
            redundant_audio: true,
        },
        metrics,
        registry: Arc::new(registry),
        health: Arc::new(()),
        rooms: Arc::new(()),
        limits: Limits::default(),
    };
    change(&mut settings);
    let admin = Router::new().route("/about/health", get(|| async { "well" }));
    Http::start(settings, public, admin).map(|http| Bench { http, certificate })
}

fn start() -> Bench {
    start_with(|_| {}, Router::new()).unwrap()
}

impl Bench {
    fn plain(&self) -> SocketAddr {
        self.http.addresses().plain[0]
    }

    async fn ask(&self, head: &str) -> String {
        ask(self.plain(), head).await
    }
}

/// Sends a request as it stands and reads all that comes back.
async fn ask(address: SocketAddr, request: &str) -> String {
    converse(TcpStream::connect(address).await.unwrap(), request).await
}

async fn converse(mut stream: impl AsyncRead + AsyncWrite + Unpin, request: &str) -> String {
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // The server may close before it has read all of a request that it refuses.
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

fn request(path: &str, host: &str, more: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n{more}Connection: close\r\n\r\n")
}

/// The `websocket` a client is told.
fn socket_of(config_js: &str) -> &str {
    let (_, rest) = config_js.split_once("\"websocket\":\"").unwrap();
    rest.split_once('"').unwrap().0
}

async fn over_tls(bench: &Bench, name: &str, request: &str) -> String {
    let pem = bench.certificate.load().unwrap().unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(&pem).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(bench.http.addresses().tls[0])
        .await
        .unwrap();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let stream = tokio_rustls::TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
        .unwrap();
    converse(stream, request).await
}

#[tokio::test]
async fn config_js_follows_the_address_that_was_opened() {
    let bench = start();
    let answer = bench
        .ask(&request("/config.js", "localhost:8000", ""))
        .await;
    assert_eq!(socket_of(&answer), "ws://localhost:8000/xmpp-websocket");
    assert!(answer.contains("\"domain\":\"meet.jitsi\""));
    assert!(answer.contains("access-control-allow-origin: *"));
    assert!(answer.contains("x-content-type-options: nosniff"));

    let answer = bench
        .ask(&request(
            "/acme/config.js?room=x",
            "127.0.0.1:8000",
            "X-Forwarded-Proto: https\r\nX-Forwarded-Host: meet.example\r\n\
             X-Forwarded-For: 198.51.100.7\r\n",
        ))
        .await;
    assert_eq!(socket_of(&answer), "wss://meet.example/acme/xmpp-websocket");

    let answer = over_tls(
        &bench,
        "localhost",
        &request("/config.js", "192.168.1.5:8443", ""),
    )
    .await;
    assert_eq!(socket_of(&answer), "wss://192.168.1.5:8443/xmpp-websocket");
}

#[tokio::test]
async fn the_certificate_is_good_for_localhost_and_the_machines_addresses() {
    let bench = start();
    for name in ["localhost", "127.0.0.1", "::1", "192.0.2.1"] {
        let answer = over_tls(&bench, name, &request("/health", "a", "")).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{name}: {answer}");
    }
}

#[tokio::test]
async fn forwarded_headers_of_strangers_change_nothing_and_are_counted() {
    let bench = start_with(|settings| settings.trusted_proxies.clear(), Router::new()).unwrap();
    let forged = "X-Forwarded-Proto: https\r\nX-Forwarded-Host: evil.example\r\n";
    let answer = bench.ask(&request("/config.js", "a:8000", forged)).await;
    assert_eq!(socket_of(&answer), "ws://a:8000/xmpp-websocket");
    let metrics = ask(
        bench.http.addresses().admin[0],
        &request("/metrics", "a", ""),
    )
    .await;
    assert!(metrics.contains("althing_http_forwarding_ignored_total 1\n"));
}

#[tokio::test]
async fn handlers_are_told_who_is_there() {
    let who = |Extension(client): Extension<ClientInfo>| async move {
        format!("{} {}", client.address, client.origin.http_url("/"))
    };
    let router = Router::new().route("/who", get(who));
    let bench = start_with(|_| {}, router).unwrap();
    let forwarded = "X-Forwarded-For: 1.1.1.1, 198.51.100.7\r\nX-Forwarded-Proto: https\r\n";
    let answer = bench.ask(&request("/who", "meet.example", forwarded)).await;
    assert!(
        answer.ends_with("198.51.100.7 https://meet.example/"),
        "{answer}"
    );
}

#[tokio::test]
async fn admin_pages_are_on_the_admin_listener_only() {
    let bench = start();
    let admin = bench.http.addresses().admin[0];
    for (path, text) in [
        ("/metrics", "althing_build_info"),
        ("/about/health", "well"),
    ] {
        let answer = ask(admin, &request(path, "a", "")).await;
        assert!(
            answer.starts_with("HTTP/1.1 200 ") && answer.contains(text),
            "{answer}"
        );
    }
    for path in [
        "/metrics",
        "/%6Detrics",
        "/about/health",
        "/colibri/stats",
        "/debug",
        "/debug/x",
    ] {
        let answer = bench.ask(&request(path, "a", "")).await;
        assert!(answer.starts_with("HTTP/1.1 404 "), "{path}: {answer}");
    }
    assert!(
        ask(admin, &request("/standup", "a", ""))
            .await
            .starts_with("HTTP/1.1 404 ")
    );
}

#[tokio::test]
async fn garbage_is_answered_and_closed() {
    let bench = start();
    for (request, status) in [
        (request("/", "a b", ""), "400"),
        (request("/", "a\"<x>", ""), "400"),
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), "400"),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n".to_owned(),
            "400",
        ),
        ("nonsense\r\n\r\n".to_owned(), "400"),
        (
            "\x16\x03\x01\x02\x00 what is this\r\n\r\n".to_owned(),
            "400",
        ),
        (
            request("/", "a", &format!("X: {}\r\n", "x".repeat(40_000))),
            "431",
        ),
        (request("/", "a", &"X: y\r\n".repeat(200)), "431"),
        (
            "POST /health HTTP/1.1\r\nHost: a\r\nContent-Length: 999999999\r\n\r\n".to_owned(),
            "413",
        ),
    ] {
        let answer = bench.ask(&request).await;
        let head = request.get(..40).unwrap_or(&request);
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{head:?}: {answer:?}"
        );
    }
}

#[tokio::test]
async fn a_long_body_without_a_length_is_cut_off() {
    let length = |body: bytes::Bytes| async move { body.len().to_string() };
    let router = Router::new().route("/length", post(length));
    let limits = Limits {
        body_bytes: 10,
        ..Limits::default()
    };
    let bench = start_with(|settings| settings.limits = limits, router).unwrap();
    for (chunk, status) in [("5\r\nabcde\r\n", "200"), ("b\r\nabcdefghijk\r\n", "413")] {
        let answer = bench
            .ask(&format!(
                "POST /length HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\
                 Connection: close\r\n\r\n{chunk}0\r\n\r\n"
            ))
            .await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{answer:?}"
        );
    }
}

#[tokio::test]
async fn a_client_that_never_finishes_its_request_is_dropped() {
    let limits = Limits {
        header_time: Duration::from_millis(50),
        handshake_time: Duration::from_millis(50),
        ..Limits::default()
    };
    let bench = start_with(|settings| settings.limits = limits, Router::new()).unwrap();
    // No answer, but an end, which is what `ask` waits for.
    assert_eq!(bench.ask("GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ").await, "");
    assert_eq!(ask(bench.http.addresses().tls[0], "").await, "");
}

#[tokio::test]
async fn one_more_connection_than_allowed_waits_for_its_turn() {
    let limits = Limits {
        connections: 1,
        ..Limits::default()
    };
    let bench = start_with(|settings| settings.limits = limits, Router::new()).unwrap();
    let mut first = TcpStream::connect(bench.plain()).await.unwrap();
    // Served, so that it holds the only place.
    first
        .write_all(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .unwrap();
    first.read_u8().await.unwrap();
    let health = request("/health", "a", "");
    let second = bench.ask(&health);
    tokio::pin!(second);
    // Another listener has its own places, and answering there takes longer than a served
    // connection would have taken here.
    let admin = ask(bench.http.addresses().admin[0], &health);
    tokio::select! {
        biased;
        _ = &mut second => panic!("there was no place"),
        admin = admin => assert!(admin.starts_with("HTTP/1.1 200 ")),
    }
    drop(first);
    assert!(second.await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn a_port_in_use_names_the_key_to_change() {
    let bench = start();
    let taken = bench.plain();
    for (listener, key) in [
        (Listener::Plain, "http.listen"),
        (Listener::Tls, "http.tls_listen"),
        (Listener::Admin, "http.admin_listen"),
    ] {
        let change = |settings: &mut Settings| match listener {
            Listener::Plain => settings.plain = vec![taken],
            Listener::Tls => settings.tls = vec![taken],
            Listener::Admin => settings.admin = vec![taken],
        };
        let error = start_with(change, Router::new()).err().unwrap().to_string();
        assert!(
            error.contains(&taken.to_string()) && error.contains(&format!("change {key}")),
            "{error}"
        );
    }
}

#[tokio::test]
async fn shutdown_ends_even_a_websocket_that_nobody_closes() {
    let forever = |upgrade: WebSocketUpgrade| async {
        upgrade.on_upgrade(|mut socket| async move { while socket.recv().await.is_some() {} })
    };
    let router = Router::new().route("/socket", get(forever));
    let bench = start_with(|_| {}, router).unwrap();
    let address = bench.plain();
    let (socket, _) = tokio_tungstenite::connect_async(format!("ws://{address}/socket"))
        .await
        .unwrap();
    // A connection that is kept alive but idle goes at once.
    let mut idle = TcpStream::connect(address).await.unwrap();
    idle.write_all(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .unwrap();
    idle.read_u8().await.unwrap();
    let started = Instant::now();
    bench.http.shutdown().await;
    assert!(started.elapsed() < Duration::from_secs(2));
    assert!(TcpStream::connect(address).await.is_err());
    let mut rest = Vec::new();
    idle.read_to_end(&mut rest).await.unwrap();
    drop(socket);
}

#[tokio::test]
async fn a_websocket_is_counted_while_it_is_open() {
    let echo = |upgrade: WebSocketUpgrade| async {
        upgrade.on_upgrade(|mut socket| async move { drop(socket.recv().await) })
    };
    let router = Router::new().route("/socket", get(echo));
    let bench = start_with(|_| {}, router).unwrap();
    bench.http.no_websockets().await;
    let url = format!("ws://{}/socket", bench.plain());
    let (mut socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
    let metrics = async || {
        let admin = bench.http.addresses().admin[0];
        ask(admin, &request("/metrics", "a", "")).await
    };
    assert!(metrics().await.contains("althing_http_websockets 1\n"));
    socket.close(None).await.unwrap();
    bench.http.no_websockets().await;
    assert!(metrics().await.contains("althing_http_websockets 0\n"));
}
