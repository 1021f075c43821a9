use super::*;
use crate::fetch::HttpFetch;
use crate::testing::{EC, NOW, OTHER_RSA, RSA, claims, named, token};
use futures_util::future::BoxFuture;
use serde_json::json;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// Answers as it was told, counting; then with its last answer for ever.
#[derive(Debug, Default)]
struct Script {
    answers: Mutex<VecDeque<Option<Result<Fetched, FetchError>>>>,
    asked: AtomicUsize,
    urls: Mutex<Vec<String>>,
}

impl Script {
    fn new(answers: impl IntoIterator<Item = Option<Result<Fetched, FetchError>>>) -> Arc<Self> {
        let script = Self::default();
        script.answers.lock().unwrap().extend(answers);
        Arc::new(script)
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

impl Fetch for Script {
    fn get(&self, url: Url, _limit: usize) -> BoxFuture<'static, Result<Fetched, FetchError>> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.urls.lock().unwrap().push(url.to_string());
        let mut answers = self.answers.lock().unwrap();
        let answer = if answers.len() > 1 {
            answers.pop_front().flatten()
        } else {
            answers.front().cloned().flatten()
        };
        Box::pin(async move {
            match answer {
                Some(answer) => answer,
                // Never.
                None => std::future::pending().await,
            }
        })
    }
}

fn remote(kind: Kind, script: &Arc<Script>) -> Arc<Remote> {
    let fetch: Arc<dyn Fetch> = Arc::clone(script) as Arc<dyn Fetch>;
    Arc::new(Remote::new(
        kind,
        "https://keys.example/below/".parse().unwrap(),
        vec![Algorithm::Rs256, Algorithm::Es256],
        fetch,
        TaskTracker::new(),
    ))
}

fn document(
    keys: &[serde_json::Value],
    max_age: Option<u64>,
) -> Option<Result<Fetched, FetchError>> {
    Some(Ok(Fetched::Document {
        body: json!({ "keys": keys }).to_string().into_bytes(),
        max_age: max_age.map(Duration::from_secs),
    }))
}

fn file(pem: &str) -> Option<Result<Fetched, FetchError>> {
    Some(Ok(Fetched::Document {
        body: pem.as_bytes().to_vec(),
        max_age: None,
    }))
}

const FAILS: Option<Result<Fetched, FetchError>> = Some(Err(FetchError::Unreachable));

async fn knows(remote: &Arc<Remote>, kid: &str) -> bool {
    !remote.find(kid, Algorithm::Rs256).await.is_empty()
}

async fn later(seconds: u64) {
    tokio::time::advance(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn a_document_is_fetched_anew_a_minute_before_it_ends() {
    let script = Script::new([document(&[RSA.rsa_jwk("a")], Some(600))]);
    let remote = remote(Kind::Document, &script);
    assert!(knows(&remote, "a").await);
    later(539).await;
    assert!(knows(&remote, "a").await);
    assert_eq!(script.asked(), 1);
    later(1).await;
    assert!(knows(&remote, "a").await);
    assert_eq!(script.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn without_an_age_it_is_kept_for_six_hours() {
    let script = Script::new([document(&[RSA.rsa_jwk("a")], None)]);
    let remote = remote(Kind::Document, &script);
    assert!(knows(&remote, "a").await);
    later(6 * 3600 - 1).await;
    assert!(knows(&remote, "a").await);
    assert_eq!(script.asked(), 1);
    later(1).await;
    assert!(knows(&remote, "a").await);
    assert_eq!(script.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn after_a_failure_it_is_tried_again_in_half_a_minute_and_old_keys_hold() {
    let script = Script::new([
        document(&[RSA.rsa_jwk("a")], Some(60)),
        FAILS,
        FAILS,
        document(&[OTHER_RSA.rsa_jwk("b")], Some(3600)),
    ]);
    let remote = remote(Kind::Document, &script);
    assert!(knows(&remote, "a").await);
    later(30).await;
    assert!(knows(&remote, "a").await);
    assert_eq!(script.asked(), 2);
    // Strangers with keys of their own do not make it ask more often.
    for _ in 0..10 {
        assert!(!knows(&remote, "stranger").await);
    }
    assert_eq!(script.asked(), 2);
    later(30).await;
    assert!(knows(&remote, "a").await);
    later(30).await;
    assert!(knows(&remote, "b").await);
    assert_eq!(script.asked(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_went_is_good_for_another_ninety_minutes() {
    let script = Script::new([
        document(&[RSA.rsa_jwk("old"), OTHER_RSA.rsa_jwk("kept")], Some(600)),
        document(&[OTHER_RSA.rsa_jwk("kept")], Some(36_000)),
    ]);
    let remote = remote(Kind::Document, &script);
    assert!(knows(&remote, "old").await);
    later(600).await;
    assert!(knows(&remote, "old").await);
    assert_eq!(script.asked(), 2);
    later(90 * 60 - 1).await;
    assert!(knows(&remote, "old").await);
    later(1).await;
    assert!(!knows(&remote, "old").await);
    assert!(knows(&remote, "kept").await);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_fails_for_long_loses_its_keys() {
    let script = Script::new([document(&[RSA.rsa_jwk("a")], Some(60)), FAILS]);
    let remote = remote(Kind::Document, &script);
    assert!(knows(&remote, "a").await);
    later(60).await;
    assert!(knows(&remote, "a").await);
    later(90 * 60).await;
    assert!(!knows(&remote, "a").await);
}

#[tokio::test(start_paused = true)]
async fn everybody_waits_for_one_fetch_and_not_for_ever() {
    let script = Script::new([None]);
    let remote = remote(Kind::Document, &script);
    let begun = Instant::now();
    let mut waiting = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let remote = Arc::clone(&remote);
        waiting.spawn(async move { knows(&remote, "a").await });
    }
    // One goes away without ending what the others wait for.
    let impatient = tokio::time::timeout(Duration::from_secs(1), knows(&remote, "a")).await;
    assert!(impatient.is_err());
    let known = waiting.join_all().await;
    assert_eq!(known, [false; 100]);
    assert_eq!(begun.elapsed(), DEADLINE);
    assert_eq!(script.asked(), 1);
    // And nobody waits again until it is time to try anew.
    assert!(!knows(&remote, "a").await);
    assert_eq!(begun.elapsed(), DEADLINE);
    assert_eq!(script.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_key_server_is_asked_for_the_hash_of_the_name() {
    let script = Script::new([file(&RSA.public)]);
    let remote = remote(Kind::Files, &script);
    assert!(knows(&remote, "../../etc/passwd?x=").await);
    assert!(knows(&remote, "../../etc/passwd?x=").await);
    let hash = sha256_hex("../../etc/passwd?x=");
    assert_eq!(hash.len(), 64);
    assert_eq!(
        *script.urls.lock().unwrap(),
        [format!("https://keys.example/below/{hash}.pem")]
    );
    // NIST's example, so that the name is the one that others use.
    assert_eq!(
        sha256_hex("abc"),
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    );
}

#[tokio::test(start_paused = true)]
async fn a_key_server_is_tried_three_times_but_a_clear_no_is_one() {
    let script = Script::new([FAILS, FAILS, file(&RSA.certificate)]);
    assert!(knows(&remote(Kind::Files, &script), "a").await);
    assert_eq!(script.asked(), 3);

    let script = Script::new([FAILS]);
    assert!(!knows(&remote(Kind::Files, &script), "a").await);
    assert_eq!(script.asked(), 3);

    let script = Script::new([Some(Ok(Fetched::Missing))]);
    let remote = remote(Kind::Files, &script);
    for _ in 0..5 {
        assert!(!knows(&remote, "a").await);
    }
    assert_eq!(script.asked(), 1);
    later(30).await;
    assert!(!knows(&remote, "a").await);
    assert_eq!(script.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_its_server_no_longer_has_is_gone_at_once() {
    let script = Script::new([file(&RSA.public), Some(Ok(Fetched::Missing))]);
    let remote = remote(Kind::Files, &script);
    assert!(knows(&remote, "a").await);
    later(3600).await;
    assert!(!knows(&remote, "a").await);
}

#[tokio::test(start_paused = true)]
async fn strangers_names_push_no_key_out_and_fill_no_memory() {
    let script = Script::new([file(&RSA.public), Some(Ok(Fetched::Missing))]);
    let remote = remote(Kind::Files, &script);
    assert!(knows(&remote, "real").await);
    for n in 0..MAX_SLOTS * 2 {
        assert!(!knows(&remote, &format!("stranger {n}")).await);
    }
    assert_eq!(remote.slots().len(), MAX_SLOTS);
    let asked = script.asked();
    assert!(knows(&remote, "real").await);
    assert_eq!(script.asked(), asked);
}

#[tokio::test(start_paused = true)]
async fn no_more_than_a_few_names_are_asked_for_at_once() {
    let script = Script::new([None]);
    let remote = remote(Kind::Files, &script);
    let mut waiting = tokio::task::JoinSet::new();
    for n in 0..100 {
        let remote = Arc::clone(&remote);
        waiting.spawn(async move { knows(&remote, &n.to_string()).await });
    }
    assert_eq!(waiting.join_all().await, [false; 100]);
    assert_eq!(script.asked(), MAX_FLIGHTS);
}

#[tokio::test(start_paused = true)]
async fn a_published_key_is_only_for_what_its_publisher_says() {
    let mut only_512 = RSA.rsa_jwk("a");
    only_512["alg"] = json!("RS512");
    let mut for_encryption = RSA.rsa_jwk("b");
    for_encryption["use"] = json!("enc");
    let keys = [
        only_512,
        for_encryption,
        json!({ "kty": "oct", "kid": "c", "k": "c2VjcmV0" }),
        json!({ "kty": "RSA", "kid": "d", "n": "AQAB", "e": "AQAB" }),
        json!({ "kty": "EC", "crv": "P-521", "kid": "e", "x": "AA", "y": "AA" }),
        json!("f"),
        EC.ec_jwk("ec"),
    ];
    let script = Script::new([document(&keys, None)]);
    let remote = remote(Kind::Document, &script);
    for kid in ["a", "b", "c", "d", "e", "f", "ec"] {
        assert!(!knows(&remote, kid).await, "{kid}");
    }
    assert_eq!(remote.find("a", Algorithm::Rs512).await.len(), 1);
    assert_eq!(remote.find("ec", Algorithm::Es256).await.len(), 1);
    assert_eq!(remote.find("ec", Algorithm::Hs256).await.len(), 0);
}

/// A key server on loopback that answers each connection with one text, then as `after` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum After {
    Close,
    Hang,
    /// Zeroes until the client has had enough.
    Flood,
}

async fn serve(answer: Vec<u8>, after: After) -> Url {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/keys", listener.local_addr().unwrap());
    TaskTracker::new().spawn(async move {
        let mut open = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(&answer).await;
            match after {
                After::Close => {}
                After::Hang => open.push(stream),
                After::Flood => {
                    let zeroes = vec![b' '; 64 * 1024];
                    // 100 MB, of which nobody takes more than one.
                    for _ in 0..1_600 {
                        if stream.write_all(&zeroes).await.is_err() {
                            break;
                        }
                    }
                }
            }
        }
    });
    url.parse().unwrap()
}

fn http(status: &str, headers: &str, body: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n{headers}\r\n{body}",
        body.len()
    )
    .into_bytes()
}

fn over_http(kind: Kind, url: Url) -> Arc<Remote> {
    Arc::new(
        Remote::new(
            kind,
            url,
            vec![Algorithm::Rs256],
            Arc::new(HttpFetch::new().unwrap()),
            TaskTracker::new(),
        )
        .with_deadline(Duration::from_secs(2)),
    )
}

#[tokio::test]
async fn keys_come_over_http_in_every_form() {
    let jwks = json!({ "keys": [RSA.rsa_jwk("a")] }).to_string();
    let certificates = json!({ "a": RSA.certificate, "b": "nonsense" }).to_string();
    for (kind, body) in [
        (Kind::Document, jwks.as_str()),
        (Kind::Document, &certificates),
        (Kind::Files, &RSA.public),
        (Kind::Files, &RSA.certificate),
    ] {
        let url = serve(
            http("200 OK", "Cache-Control: max-age=300\r\n", body),
            After::Close,
        )
        .await;
        let remote = over_http(kind, url);
        let text = token(&RSA.private, named("RS256", "a"), &claims());
        let token = crate::token::Token::read(&text).unwrap();
        let keys = remote.find("a", Algorithm::Rs256).await;
        assert_eq!(keys.len(), 1, "{body}");
        assert!(keys[0].verifies(token.algorithm, token.signed, &token.signature));
        assert!(!knows(&remote, "b").await || kind == Kind::Files);
    }
}

#[tokio::test]
async fn a_server_that_hangs_lies_or_floods_gives_no_key() {
    let jwks = json!({ "keys": [RSA.rsa_jwk("a")] }).to_string();
    let begun = Instant::now();
    for (what, answer, after) in [
        ("hangs before a word", Vec::new(), After::Hang),
        (
            "hangs in the middle",
            b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{\"keys\":[".to_vec(),
            After::Hang,
        ),
        ("closes", Vec::new(), After::Close),
        (
            "speaks another language",
            b"SSH-2.0-x\r\n".to_vec(),
            After::Close,
        ),
        ("says no", http("404 Not Found", "", &jwks), After::Close),
        ("fails", http("500 Oops", "", &jwks), After::Close),
        (
            "leads elsewhere",
            http("302 Found", "Location: http://127.0.0.1:1/\r\n", &jwks),
            After::Close,
        ),
        ("answers a page", http("200 OK", "", "<html>"), After::Close),
        (
            "answers no keys",
            http("200 OK", "", "{\"keys\":[]}"),
            After::Close,
        ),
        (
            "floods",
            b"HTTP/1.1 200 OK\r\nContent-Length: 104857600\r\n\r\n".to_vec(),
            After::Flood,
        ),
        (
            "floods without a length",
            b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n".to_vec(),
            After::Flood,
        ),
    ] {
        for kind in [Kind::Document, Kind::Files] {
            let remote = over_http(kind, serve(answer.clone(), after).await)
                .as_ref()
                .hurried();
            assert!(!knows(&remote, "a").await, "{what}");
        }
    }
    assert!(begun.elapsed() < Duration::from_secs(30));
}

impl Remote {
    /// The same with a deadline that a test can wait for.
    fn hurried(&self) -> Arc<Self> {
        Arc::new(
            Self::new(
                self.kind,
                self.url.clone(),
                self.algorithms.clone(),
                Arc::clone(&self.fetch),
                self.tasks.clone(),
            )
            .with_deadline(Duration::from_millis(300)),
        )
    }
}

#[tokio::test]
async fn a_whole_login_by_a_fetched_key() {
    let jwks = json!({ "keys": [OTHER_RSA.rsa_jwk("b"), RSA.rsa_jwk("a")] }).to_string();
    let url = serve(http("200 OK", "", &jwks), After::Close).await;
    let verifier = crate::Verifier::new(crate::Settings {
        keys: vec![crate::KeySettings {
            algorithms: vec![Algorithm::Rs256],
            kid: None,
            source: crate::KeySource::Jwks(url),
        }],
        rules: crate::Rules::default(),
    })
    .unwrap();
    for (header, key, refusal) in [
        (named("RS256", "a"), &RSA, None),
        (named("RS256", "b"), &OTHER_RSA, None),
        (named("RS256", "b"), &RSA, Some("Invalid token")),
        (
            named("RS256", "c"),
            &RSA,
            Some("could not obtain public key"),
        ),
        (
            crate::testing::header("RS256"),
            &RSA,
            Some("'kid' claim is missing"),
        ),
        (named("RS512", "a"), &RSA, Some("invalid 'alg' claim")),
    ] {
        let text = token(&key.private, header.clone(), &claims());
        let refused = verifier
            .verify(&text, NOW)
            .await
            .err()
            .map(|e| e.to_string());
        assert_eq!(refused.as_deref(), refusal, "{header}");
    }
}
