use super::*;
use crate::{ConfigError, Hosts, Moderators, Sources, load};
use std::path::PathBuf;

fn read(file: &str, environment: &[(&str, &str)]) -> Result<Settings, ConfigError> {
    load(&Sources {
        file: Some((PathBuf::from("a.toml"), file.to_owned())),
        environment: environment
            .iter()
            .map(|(k, v)| ((*k).into(), (*v).into()))
            .collect(),
        ..Sources::default()
    })
}

#[test]
fn every_kind_of_key_is_read() {
    let file = r#"
[auth]
hosts = "authenticated"
guests = false
moderators = "authenticated"
secret_file = "jwt.secret"

[auth.token]
issuers = ["portal"]
clock_skew = "5s"

[[auth.key]]
algorithms = ["HS256", "HS512"]
kid = "old"
secret = "0123456789abcdef0123456789abcdef"

[[auth.key]]
pem_file = "key.pem"

[[auth.key]]
jwks_url = "https://login.example/certs/"
algorithms = ["RS256", "ES256"]

[[auth.key]]
asap_url = "https://keys.example"
"#;
    let auth = read(file, &[]).unwrap().auth;
    assert_eq!(auth.hosts, Hosts::Authenticated);
    assert_eq!(auth.moderators, Moderators::Authenticated);
    assert!(!auth.guests);
    assert_eq!(auth.token.issuers, ["portal"]);
    assert_eq!(auth.token.audiences, ["*"]);
    assert_eq!(auth.token.clock_skew.as_secs(), 5);
    assert_eq!(
        auth.secret,
        Some(AuthKeySource::SecretFile("jwt.secret".into()))
    );
    let sources: Vec<_> = auth.keys.iter().map(|key| key.source.clone()).collect();
    assert_eq!(
        sources,
        [
            AuthKeySource::Secret(Secret::new("0123456789abcdef0123456789abcdef")),
            AuthKeySource::PemFile("key.pem".into()),
            AuthKeySource::Jwks("https://login.example/certs".into()),
            AuthKeySource::Asap("https://keys.example".into()),
        ]
    );
    assert_eq!(auth.keys[0].algorithms, ["HS256", "HS512"]);
    assert_eq!(auth.keys[0].kid.as_deref(), Some("old"));
    assert!(auth.keys[1].algorithms.is_empty());
}

#[test]
fn the_secret_may_come_from_the_environment() {
    let environment = [
        ("ALTHING_AUTH_SECRET", "from the environment"),
        ("ALTHING_AUTH_GUESTS", "false"),
        ("ALTHING_AUTH_TOKEN_ISSUERS", "a, b"),
    ];
    let auth = read("[auth]\nsecret_file = \"other\"\n", &environment)
        .unwrap()
        .auth;
    let expected = AuthKeySource::Secret(Secret::new("from the environment"));
    assert_eq!(auth.secret, Some(expected));
    assert_eq!(auth.token.issuers, ["a", "b"]);
    // An empty one is one that is not set.
    let auth = read(
        "[auth]\nsecret_file = \"other\"\n",
        &[("ALTHING_AUTH_SECRET", "")],
    )
    .unwrap()
    .auth;
    assert_eq!(auth.secret, Some(AuthKeySource::SecretFile("other".into())));
}

#[test]
fn what_is_wrong_is_told_with_its_line_and_without_the_secret() {
    for (file, text) in [
        (
            "[[auth.key]]\nsecret = \"s\"\nalgoritms = [\"HS256\"]\n",
            "a.toml:3: unknown key \"algoritms\" in [[auth.key]]; the nearest known one is \"algorithms\"",
        ),
        (
            "\n[[auth.key]]\nkid = \"a\"\n",
            "a.toml:2: auth.key needs exactly one of secret, secret_file, pem, pem_file, jwks_url, asap_url",
        ),
        (
            "[[auth.key]]\nsecret = \"s\"\npem_file = \"p\"\n",
            "a.toml:1: auth.key needs exactly one of secret, secret_file, pem, pem_file, jwks_url, asap_url",
        ),
        (
            "[[auth.key]]\nsecret = \"s\"\nalgorithms = [\"HS256\", \"RS256\"]\n",
            "a.toml:1: auth.key: RS256 needs a PEM, jwks_url or asap_url, not a secret",
        ),
        (
            "[[auth.key]]\njwks_url = \"https://a.b\"\nalgorithms = [\"HS256\"]\n",
            "a.toml:1: auth.key: HS256 needs a secret, not a public key",
        ),
        (
            "[[auth.key]]\npem_file = \"p\"\nalgorithms = [\"none\"]\n",
            "a.toml:3: auth.key: algorithms must be of HS256, HS384, HS512, RS256, RS384, RS512, ES256, not \"none\"",
        ),
        (
            "[[auth.key]]\nasap_url = \"https://a.b\"\nkid = \"x\"\n",
            "a.toml:1: auth.key: kid is for a secret or PEM; tokens name a fetched key themselves",
        ),
        (
            "[[auth.key]]\njwks_url = \"login.example\"\n",
            "a.toml:2: auth.key: jwks_url must be an address such as \"https://meet.example\", not \"login.example\"",
        ),
        (
            "[auth.key]\nsecret = \"s\"\n",
            "a.toml:2: secret belongs in a list: write [[auth.key]], not [auth.key]",
        ),
        (
            "[auth]\nkey = \"s\"\n",
            "a.toml:2: write it as [[auth.key]]",
        ),
        (
            "[auth]\nsecret = 4711\n",
            "a.toml:2: auth.secret must be text in quotes",
        ),
        (
            "[[auth.key]]\nsecret = 4711\n",
            "a.toml:2: auth.key: secret must be text in quotes",
        ),
        (
            "[auth]\nguests = \"no\"\nmoderators = \"host\"\n",
            "a.toml:2: auth.guests must be true or false, not \"no\"\n\
             a.toml:3: auth.moderators must be \"first\", \"authenticated\" or \"everyone\", not \"host\"",
        ),
        (
            "[auth.tokens]\nissuers = []\n",
            "a.toml:2: unknown key \"auth.tokens.issuers\"; the nearest known one is \"auth.token.issuers\"",
        ),
    ] {
        assert_eq!(read(file, &[]).unwrap_err().to_string(), text, "{file}");
    }
}

#[test]
fn asking_for_tokens_needs_a_key() {
    let error = read("[auth]\nhosts = \"authenticated\"\n", &[]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "a.toml:2: auth.hosts asks for people with a token, but there is no key to check one: set \
         auth.secret, auth.secret_file or [[auth.key]]"
    );
    assert!(read("[auth]\nhosts = \"authenticated\"\nsecret = \"s\"\n", &[]).is_ok());
}
