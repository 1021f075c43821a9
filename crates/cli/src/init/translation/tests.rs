use super::super::{document, environment};
use super::*;
use althing_config::{AuthKeySource, Hosts, Moderators, Settings};
use althing_model::{Secret, SeededEntropy};
use std::path::Path;

fn translated(env: &str) -> Translated {
    let variables = environment::read(env).unwrap();
    translate(&variables, &mut SeededEntropy::new(1))
}

/// The settings that "serve" would read, and what was left.
fn read(env: &str) -> (Settings, BTreeMap<String, String>) {
    let translated = translated(env);
    let text = document::write(&translated, Path::new(".env"));
    let settings = althing_config::load(&althing_config::Sources {
        file: Some(("althing.toml".into(), text.clone())),
        ..Default::default()
    })
    .unwrap_or_else(|error| panic!("{error}\n{text}"));
    (settings, translated.left.into_iter().collect())
}

#[test]
fn an_installation_with_tokens_keeps_its_meaning() {
    let (settings, left) = read(
        r#"
# docker-jitsi-meet
CONFIG=~/.jitsi-meet-cfg
HTTP_PORT=8100
HTTPS_PORT=127.0.0.1:8543
TZ=UTC
PUBLIC_URL=https://meet.example.org
JVB_PORT=20000
JVB_ADVERTISE_IPS=198.51.100.7,198.51.100.8#20001,2001:db8::7#20001
XMPP_DOMAIN=meet.jitsi
MAX_PARTICIPANTS="50"
ENABLE_AUTH=1
ENABLE_GUESTS=1
AUTH_TYPE=jwt
JWT_APP_ID=portal
JWT_APP_SECRET='s3cret "with" $quotes\'
JWT_ACCEPTED_AUDIENCES=jitsi,meet
JWT_ENABLE_DOMAIN_VERIFICATION=true
TOKEN_AUTH_URL=https://login.example.org/oidc/auth?state={state}
JICOFO_AUTH_PASSWORD=abc
JVB_AUTH_PASSWORD=
LDAP_URL=ldap://x
ENABLE_LOBBY=1
"#,
    );
    assert_eq!(settings.http.listen[0].to_string(), "[::]:8100");
    assert_eq!(settings.http.tls_listen[0].to_string(), "127.0.0.1:8543");
    assert_eq!(
        settings.http.public_url.as_deref(),
        Some("https://meet.example.org")
    );
    assert_eq!(settings.media.port, 20_000);
    let advertised: Vec<_> = settings
        .media
        .advertise
        .iter()
        .map(|a| (a.address.to_string(), a.port))
        .collect();
    assert_eq!(
        advertised,
        [
            ("198.51.100.7".to_owned(), None),
            ("198.51.100.8".to_owned(), Some(20_001)),
            ("2001:db8::7".to_owned(), Some(20_001)),
        ]
    );
    assert_eq!(settings.rooms.max_occupants, 50);
    let auth = settings.auth;
    assert_eq!(auth.hosts, Hosts::Authenticated);
    assert_eq!(auth.moderators, Moderators::Authenticated);
    assert!(auth.guests);
    assert_eq!(auth.token.issuers, ["portal"]);
    assert_eq!(auth.token.audiences, ["jitsi", "meet"]);
    assert!(auth.token.verify_domain);
    let secret = AuthKeySource::Secret(Secret::new("s3cret \"with\" $quotes\\"));
    assert_eq!(auth.secret, Some(secret));
    assert_eq!(
        auth.login_url.as_deref(),
        Some("https://login.example.org/oidc/auth?state={state}")
    );
    let names: Vec<_> = left.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "CONFIG",
            "ENABLE_LOBBY",
            "JICOFO_AUTH_PASSWORD",
            "LDAP_URL",
            "TZ"
        ]
    );
}

#[test]
fn key_servers_and_other_algorithms_are_keys_of_their_own() {
    let (settings, left) = read(
        "ENABLE_AUTH=true\nAUTH_TYPE=token\nJWT_APP_ID=a\nJWT_APP_SECRET=x\nJWT_SIGN_TYPE=HS512\n\
         JWT_ASAP_KEYSERVER=https://keys.example/\nJWT_ACCEPTED_ISSUERS=*\n",
    );
    assert_eq!(left, BTreeMap::new());
    let keys = settings.auth.keys;
    assert_eq!(keys[0].source, AuthKeySource::Secret(Secret::new("x")));
    assert_eq!(keys[0].algorithms, ["HS512"]);
    assert_eq!(
        keys[1].source,
        AuthKeySource::Asap("https://keys.example".into())
    );
    assert_eq!(keys[1].algorithms, ["RS256"]);
    assert_eq!(settings.auth.token.issuers, ["*"]);
    assert!(!settings.auth.guests);
}

#[test]
fn without_login_nothing_is_asked_for() {
    let (settings, left) =
        read("ENABLE_AUTH=0\nAUTH_TYPE=\nENABLE_GUESTS=1\nJWT_APP_SECRET=x\nENABLE_AUTO_OWNER=0\n");
    assert_eq!(settings, Settings::default());
    assert_eq!(left["JWT_APP_SECRET"], "ENABLE_AUTH is off");
    assert_eq!(left["ENABLE_GUESTS"], "ENABLE_AUTH is off");
    assert!(left["ENABLE_AUTO_OWNER"].contains("auth.moderators"));
}

#[test]
fn accounts_that_there_are_not_leave_the_door_closed() {
    for env in [
        "ENABLE_AUTH=1\nENABLE_GUESTS=1\nAUTH_TYPE=internal\n",
        "ENABLE_AUTH=1\nENABLE_GUESTS=1\n",
        "ENABLE_AUTH=1\nENABLE_GUESTS=1\nAUTH_TYPE=ldap\nJWT_APP_SECRET=unused\n",
        "ENABLE_AUTH=1\nENABLE_GUESTS=1\nAUTH_TYPE=jwt\n",
        "ENABLE_AUTH=1\nENABLE_GUESTS=1\nAUTH_TYPE=jwt\nJWT_ASAP_KEYSERVER=http://keys.example/\n",
        "ENABLE_AUTH=1\nENABLE_GUESTS=1\nAUTH_TYPE=jwt\nJWT_APP_SECRET=$NOWHERE\n",
    ] {
        let (settings, _) = read(env);
        assert_eq!(settings.auth.hosts, Hosts::Authenticated, "{env}");
        let Some(AuthKeySource::Secret(secret)) = settings.auth.secret else {
            panic!("{env}");
        };
        assert_eq!(secret.expose().len(), 52);
        let translated = translated(env);
        assert_eq!(translated.notes.len(), 1);
        assert!(translated.has_secrets());
    }
}

#[test]
fn what_cannot_be_taken_says_why_and_shows_no_secret() {
    let (_, left) = read(
        "ENABLE_AUTH=1\nAUTH_TYPE=jwt\nJWT_APP_SECRET=x\nJWT_SIGN_TYPE=RS256\nENABLE_AUTO_OWNER=1\n",
    );
    assert_eq!(left.len(), 2);
    assert_eq!(left["JWT_SIGN_TYPE"], "there is no key of that kind");
    let translated = translated(
        "HTTP_PORT=eighty\nJVB_PORT=99999\nXMPP_DOMAIN=meet\nMAX_PARTICIPANTS=0\nLOG_LEVEL=info\n\
         DOCKER_HOST_ADDRESS=meet.example\nENABLE_AUTH=1\nAUTH_TYPE=jwt\nJWT_APP_SECRET=hidden-word\n\
         TOKEN_AUTH_URL=https://login.example/realms/r/protocol/openid-connect/auth\n",
    );
    let left: BTreeMap<_, _> = translated.left.iter().cloned().collect();
    for (name, part) in [
        ("HTTP_PORT", "http.listen must be addresses"),
        ("JVB_PORT", "media.port must be a whole number"),
        ("XMPP_DOMAIN", "domain must be a lower-case name"),
        ("MAX_PARTICIPANTS", "rooms.max_occupants must be 1 at least"),
        ("DOCKER_HOST_ADDRESS", "media.advertise must be addresses"),
        ("TOKEN_AUTH_URL", "adapter"),
    ] {
        assert!(left[name].contains(part), "{name}: {}", left[name]);
    }
    assert_eq!(left.len(), 6);
    assert!(!document::summary(&translated, Path::new("o")).contains("hidden-word"));
}
