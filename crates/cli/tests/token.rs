//! Tokens from the command line: made, checked at the configuration, and taken over from others.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod program;

use futures_util::{SinkExt as _, StreamExt as _};
use program::Program;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};
use tempfile::TempDir;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

fn althing(directory: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_althing"))
        .args(arguments)
        .current_dir(directory)
        .env_clear()
        .output()
        .unwrap()
}

/// What it printed, on standard output and standard error, and whether it worked.
fn said(output: &Output) -> (String, String, bool) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (
        text(&output.stdout),
        text(&output.stderr),
        output.status.success(),
    )
}

fn with_files(files: &[(&str, &str)]) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, content) in files {
        std::fs::write(directory.path().join(name), content).unwrap();
    }
    directory
}

#[test]
fn a_token_is_printed_alone_and_the_link_beside_it() {
    let directory = with_files(&[
        ("jwt.secret", "0123456789abcdef0123456789abcdef\n"),
        (
            "a.toml",
            "[http]\npublic_url = \"https://meet.example\"\n[auth]\nsecret_file = \"jwt.secret\"\n",
        ),
    ]);
    let arguments = [
        "token",
        "--config",
        "a.toml",
        "--room",
        "Stand up",
        "--name",
        "Ada",
        "--moderator",
        "--for",
        "30m",
    ];
    let (out, err, done) = said(&althing(directory.path(), &arguments));
    assert!(done, "{err}");
    let token = out.trim_end();
    assert_eq!(token.split('.').count(), 3);
    assert_eq!(out.lines().count(), 1);
    assert_eq!(
        err,
        format!("open https://meet.example/Stand%20up?jwt={token}\n")
    );
}

#[test]
fn without_a_key_it_says_what_to_write() {
    let directory = with_files(&[]);
    let arguments = ["token", "--room", "a", "--name", "Ada"];
    let (out, err, done) = said(&althing(directory.path(), &arguments));
    assert!(!done);
    assert_eq!(out, "");
    assert!(err.contains("[auth]\n  secret = "), "{err}");
    for (arguments, part) in [
        (["token", "--room", "a/b", "--name=N"].as_slice(), "--room"),
        (
            &["token", "--room", "a", "--for", "5"],
            "its unit is missing",
        ),
        (
            &["token", "--room", "a", "--for", "0s"],
            "a second at least",
        ),
    ] {
        let (_, err, done) = said(&althing(directory.path(), arguments));
        assert!(!done && err.contains(part), "{err}");
    }
}

#[test]
fn the_configuration_is_checked_with_its_keys() {
    for (key, part) in [
        ("secret_file = \"nowhere\"", "cannot read nowhere"),
        ("secret_file = \"empty\"", "the secret is empty"),
        (
            "pem_file = \"empty\"",
            "no public key, certificate or private key",
        ),
        ("pem_file = \"broken.pem\"", "the key cannot be read"),
        ("jwks_url = \"http://login.example/\"", "must be https"),
    ] {
        let broken = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n";
        let config = format!("[[auth.key]]\n{key}\n");
        let directory = with_files(&[
            ("empty", " \n"),
            ("broken.pem", broken),
            ("a.toml", &config),
        ]);
        let (_, err, done) = said(&althing(
            directory.path(),
            &["check-config", "--config", "a.toml"],
        ));
        assert!(!done);
        assert!(
            err.contains("[[auth.key]] 1") && err.contains(part),
            "{err}"
        );
    }
    let directory = with_files(&[("a.toml", "[auth]\nsecret = \"short\"\n")]);
    let (out, err, done) = said(&althing(
        directory.path(),
        &["check-config", "--config", "a.toml"],
    ));
    assert!(done && out.contains("is fine"), "{err}");
    assert!(err.contains("auth.secret is short") && !err.contains("\"short\""));
}

const ENV: &str = "\
# of an installation
HTTP_PORT=8000
PUBLIC_URL=https://meet.example
JVB_ADVERTISE_IPS=203.0.113.7
ENABLE_AUTH=1
ENABLE_GUESTS=1
AUTH_TYPE=jwt
JWT_APP_ID=portal
JWT_APP_SECRET=\"0123456789abcdef0123456789abcdef\" # shared
JIBRI_RECORDER_PASSWORD=hunter2
";

#[test]
fn what_init_writes_passes_check_config_and_signs_tokens() {
    let directory = with_files(&[(".env", ENV)]);
    let run = |arguments: &[&str]| said(&althing(directory.path(), arguments));
    let (out, err, done) = run(&["init", "--from-env", ".env"]);
    assert!(done, "{err}");
    assert!(out.contains("JIBRI_RECORDER_PASSWORD: "), "{out}");
    assert!(!out.contains("hunter2") && !out.contains("0123456789"));
    let written = directory.path().join("althing.toml");
    let mode = std::fs::metadata(&written).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let text = std::fs::read_to_string(&written).unwrap();
    assert!(!text.contains("hunter2"));
    let (_, err, done) = run(&["check-config", "--config", "althing.toml"]);
    assert!(done, "{err}");
    let (_, err, done) = run(&[
        "token",
        "--config",
        "althing.toml",
        "--room",
        "a",
        "--name",
        "Ada",
        "--moderator",
    ]);
    assert!(done);
    assert!(err.starts_with("open https://meet.example/a?jwt="), "{err}");

    // Never over a file that is there, unless told to.
    std::fs::write(&written, "kept").unwrap();
    let (_, err, done) = run(&["init", "--from-env", ".env"]);
    assert!(!done && err.contains("--force"), "{err}");
    assert_eq!(std::fs::read_to_string(&written).unwrap(), "kept");
    let (_, err, done) = run(&["init", "--from-env", ".env", "--force"]);
    assert!(done, "{err}");
    assert_eq!(std::fs::read_to_string(&written).unwrap(), text);
    let mode = std::fs::metadata(&written).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let left: Vec<_> = std::fs::read_dir(directory.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left.len(), 2, "{left:?}");
}

#[test]
fn an_env_file_that_is_none_is_told_by_its_line() {
    let directory = with_files(&[(".env", "A=1\nB='2\n")]);
    let (_, err, done) = said(&althing(directory.path(), &["init", "--from-env", ".env"]));
    assert!(!done);
    assert!(err.contains(".env:2: this quote is not closed"), "{err}");
    assert!(!directory.path().join("althing.toml").exists());
}

/// What the door says to a login, with this behind the URL of the WebSocket.
async fn login(program: &Program, query: &str) -> String {
    let mut url = program.url.join("xmpp-websocket").unwrap();
    url.set_scheme("ws").unwrap();
    let mut request = format!("{url}?{query}").into_client_request().unwrap();
    request
        .headers_mut()
        .insert("sec-websocket-protocol", "xmpp".parse().unwrap());
    let (mut socket, _) = tokio_tungstenite::connect_async(request).await.unwrap();
    for frame in [
        "<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='meet.jitsi' version='1.0'/>",
        "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='ANONYMOUS'/>",
    ] {
        socket.send(Message::text(frame)).await.unwrap();
    }
    while let Some(frame) = socket.next().await {
        if let Message::Text(text) = frame.unwrap()
            && (text.starts_with("<success") || text.starts_with("<failure"))
        {
            return text.to_string();
        }
    }
    panic!("the door said nothing");
}

#[tokio::test]
async fn serve_lets_in_whoever_has_a_token_that_holds() {
    let directory = with_files(&[
        ("secret", "0123456789abcdef0123456789abcdef"),
        ("a.toml", "[auth]\nsecret_file = \"secret\"\n"),
        (
            "other.toml",
            "[auth]\nsecret = \"another secret, of somebody else\"\n",
        ),
    ]);
    let token = |config: &str| {
        let arguments = ["token", "--config", config, "--room", "a", "--name", "Ada"];
        said(&althing(directory.path(), &arguments))
            .0
            .trim_end()
            .to_owned()
    };
    let secret = directory.path().join("secret");
    let program = Program::start_with(&[
        "--auth-secret-file",
        secret.to_str().unwrap(),
        "--auth-guests",
        "false",
    ]);
    let refusal = |text: &str| {
        format!(
            "<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><not-allowed/><text>{text}</text></failure>"
        )
    };
    let good = token("a.toml");
    for (query, answer) in [
        ("room=a".to_owned(), refusal("token required")),
        ("room=a&token=x".to_owned(), refusal("bad token format")),
        (
            format!("room=a&token={}", token("other.toml")),
            refusal("Invalid token"),
        ),
    ] {
        let said = login(&program, &query).await.replace('"', "'");
        assert_eq!(said, answer, "{query}");
    }
    let said = login(&program, &format!("room=a&token={good}")).await;
    assert!(said.starts_with("<success"), "{said}");
}
