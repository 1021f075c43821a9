use super::*;
use crate::testing::{EC, NOW, OTHER_RSA, RSA, SECRET, claims, header, named, token};
use crate::token::MAX_TOKEN_BYTES;
use althing_model::{RoomClaim, Secret, TokenStanding};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use std::time::Duration;

fn secret(algorithms: &[&str], kid: Option<&str>) -> KeySettings {
    KeySettings {
        algorithms: algorithms.iter().map(|a| a.parse().unwrap()).collect(),
        kid: kid.map(str::to_owned),
        source: KeySource::Secret(Secret::new(SECRET)),
    }
}

fn pem(text: &str, algorithms: &[&str], kid: Option<&str>) -> KeySettings {
    KeySettings {
        source: KeySource::Pem(Secret::new(text)),
        ..secret(algorithms, kid)
    }
}

fn verifier_of(keys: Vec<KeySettings>) -> Verifier {
    Verifier::new(Settings {
        keys,
        rules: Rules::default(),
    })
    .unwrap()
}

/// What comes of a token, as the client is told.
async fn said(verifier: &Verifier, token: &str) -> Result<Identity, String> {
    verifier.verify(token, NOW).await.map_err(|e| e.to_string())
}

#[tokio::test]
async fn every_algorithm_is_checked_by_its_key() {
    for (key, signing, algorithms) in [
        (
            secret(&["HS256", "HS384", "HS512"], None),
            SECRET,
            ["HS256", "HS384", "HS512"].as_slice(),
        ),
        (
            pem(&RSA.public, &["RS256", "RS384", "RS512"], None),
            &RSA.private,
            &["RS256", "RS384", "RS512"],
        ),
        (pem(&RSA.certificate, &[], None), &RSA.private, &["RS256"]),
        (pem(&RSA.private, &[], None), &RSA.private, &["RS256"]),
        (pem(&EC.public, &[], None), &EC.private, &["ES256"]),
        (
            pem(&EC.certificate, &["ES256"], None),
            &EC.private,
            &["ES256"],
        ),
    ] {
        let verifier = verifier_of(vec![key]);
        for algorithm in algorithms {
            let good = token(signing, header(algorithm), &claims());
            let identity = said(&verifier, &good).await.unwrap();
            assert_eq!(identity.rooms, RoomClaim::Named("lobby".into()));
            // One bit of the signature, and one of the claims.
            for at in [good.len() - 2, good.len() / 4 + 10] {
                let mut bad = good.clone().into_bytes();
                bad[at] = if bad[at] == b'A' { b'B' } else { b'A' };
                let bad = String::from_utf8(bad).unwrap();
                let refusal = said(&verifier, &bad).await.unwrap_err();
                assert!(
                    ["Invalid token", "bad token format"].contains(&refusal.as_str()),
                    "{algorithm}: {refusal}"
                );
            }
        }
    }
}

#[tokio::test]
async fn a_token_never_chooses_how_it_is_checked() {
    let by_rsa = verifier_of(vec![pem(&RSA.public, &["RS256"], None)]);
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let bare = |alg: &str| format!("{}.{}.", part(&header(alg)), part(&claims()));
    for (what, text, refusal) in [
        ("none", bare("none"), "invalid 'alg' claim"),
        ("None", bare("None"), "invalid 'alg' claim"),
        ("nothing signed", bare("RS256"), "Invalid token"),
        // The public key, which everybody has, taken for a secret: as text and as bytes.
        (
            "confusion",
            token(
                RSA.public.trim_start_matches('-'),
                header("HS256"),
                &claims(),
            ),
            "invalid 'alg' claim",
        ),
        (
            "another algorithm of the same kind",
            token(&RSA.private, header("RS512"), &claims()),
            "invalid 'alg' claim",
        ),
        (
            "another kind",
            token(&EC.private, header("ES256"), &claims()),
            "invalid 'alg' claim",
        ),
        (
            "another key",
            token(&OTHER_RSA.private, header("RS256"), &claims()),
            "Invalid token",
        ),
    ] {
        assert_eq!(said(&by_rsa, &text).await.unwrap_err(), refusal, "{what}");
    }
    // Not even where a secret is accepted beside the public key.
    let by_both = verifier_of(vec![
        pem(&RSA.public, &["RS256"], None),
        secret(&["HS256"], None),
    ]);
    let hmac_by_public = {
        let unsigned = crate::token::unsigned(&header("HS256"), &claims());
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, RSA.public.as_bytes());
        crate::token::signed(
            &unsigned,
            aws_lc_rs::hmac::sign(&key, unsigned.as_bytes()).as_ref(),
        )
    };
    assert_eq!(
        said(&by_both, &hmac_by_public).await.unwrap_err(),
        "Invalid token"
    );
}

#[tokio::test]
async fn what_is_no_token_is_told_apart() {
    let verifier = verifier_of(vec![secret(&["HS256"], None)]);
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let good = token(SECRET, header("HS256"), &claims());
    let signed = |header: Value| token(SECRET, header, &claims());
    let unsigned = |header: &str| format!("{}.{}.AA", part(header), part("{}"));
    for (text, refusal) in [
        (String::new(), "bad token format"),
        ("a.b".to_owned(), "bad token format"),
        (format!("{good}.x"), "bad token format"),
        (good.replace('.', " "), "bad token format"),
        (format!("{good}="), "bad token format"),
        (unsigned("[]"), "bad token format"),
        (unsigned("{"), "bad token format"),
        (unsigned(r#"{"typ":"JWT","alg":5}"#), "bad token format"),
        (
            unsigned(r#"{"typ":"JWT","alg":"HS256","alg":"none"}"#),
            "bad token format",
        ),
        (unsigned(r#"{"typ":"JWT"}"#), "'alg' claim is missing"),
        (signed(json!({ "alg": "HS256" })), "invalid 'typ' header"),
        (
            signed(json!({ "typ": "at+jwt", "alg": "HS256" })),
            "invalid 'typ' header",
        ),
        (
            signed(json!({ "typ": "JWT", "alg": "HS256", "crit": ["b64"], "b64": false })),
            "bad token format",
        ),
        (
            signed(named("HS256", &"k".repeat(300))),
            "could not obtain public key",
        ),
        ("a".repeat(MAX_TOKEN_BYTES + 1), "token is too long"),
        (
            format!(
                "{}.{}.AA",
                part(r#"{"typ":"JWT","alg":"HS256"}"#),
                part(&"[".repeat(4000))
            ),
            "bad token format",
        ),
    ] {
        let refused = said(&verifier, &text).await.unwrap_err();
        assert_eq!(refused, refusal, "{}", &text[..text.len().min(80)]);
    }
}

#[tokio::test]
async fn a_key_with_a_name_is_only_for_tokens_that_name_it() {
    let verifier = verifier_of(vec![
        secret(&["HS256"], Some("portal")),
        pem(&RSA.public, &["RS256"], Some("one")),
        pem(&OTHER_RSA.public, &["RS256"], Some("two")),
    ]);
    for (key, header, refusal) in [
        (SECRET, named("HS256", "portal"), None),
        (SECRET, header("HS256"), Some("'kid' claim is missing")),
        (
            SECRET,
            named("HS256", "Portal"),
            Some("could not obtain public key"),
        ),
        (&RSA.private, named("RS256", "one"), None),
        (&OTHER_RSA.private, named("RS256", "two"), None),
        (&RSA.private, named("RS256", "two"), Some("Invalid token")),
        (
            &RSA.private,
            named("RS256", "portal"),
            Some("could not obtain public key"),
        ),
    ] {
        let said = said(&verifier, &token(key, header.clone(), &claims())).await;
        assert_eq!(said.err().as_deref(), refusal, "{header}");
    }
    // One without a name does not ask.
    let nameless = verifier_of(vec![secret(&["HS256"], None)]);
    let text = token(SECRET, named("HS256", "whatever"), &claims());
    assert!(said(&nameless, &text).await.is_ok());
}

#[tokio::test]
async fn a_token_that_has_ended_is_not_taken_again() {
    let verifier = verifier_of(vec![secret(&["HS256"], None)]);
    let text = token(SECRET, header("HS256"), &claims());
    let end = NOW + 60;
    for (now, refusal) in [
        (NOW, None),
        (end + 29, None),
        (end + 30, Some(TokenError::Expired)),
        (end + 1_000_000, Some(TokenError::Expired)),
    ] {
        assert_eq!(verifier.verify(&text, now).await.err(), refusal, "{now}");
    }
}

#[test]
fn keys_that_cannot_be_used_are_refused_at_the_start() {
    let url = |text: &str| text.parse::<Url>().unwrap();
    let remote = |source| KeySettings {
        source,
        ..secret(&[], None)
    };
    for (key, text) in [
        (
            KeySettings {
                source: KeySource::Secret(Secret::new("")),
                ..secret(&[], None)
            },
            "key 2: the secret is empty",
        ),
        (
            pem("nothing", &[], None),
            "key 2: no public key, certificate or private key in PEM form was found",
        ),
        (
            pem(
                "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
                &[],
                None,
            ),
            "key 2: the key cannot be read: it must be RSA of 2048 to 8192 bits, or EC on P-256",
        ),
        (
            pem(&RSA.public, &["ES256"], None),
            "key 2: ES256 is not for an RSA key",
        ),
        (
            pem(&EC.private, &["ES256", "HS256"], None),
            "key 2: HS256 is not for an EC key",
        ),
        (
            secret(&["RS256"], None),
            "key 2: RS256 is not for a shared secret",
        ),
        (
            remote(KeySource::Jwks(url("http://login.example/certs"))),
            "key 2: http://login.example/certs must be https, or http on this machine",
        ),
        (
            KeySettings {
                algorithms: vec![Algorithm::Hs256],
                ..remote(KeySource::KeyServer(url("https://login.example")))
            },
            "key 2: HS256 is not for a fetched key",
        ),
    ] {
        let keys = vec![secret(&[], None), key];
        let error = Verifier::new(Settings {
            keys,
            rules: Rules::default(),
        })
        .unwrap_err();
        assert_eq!(error.to_string(), text);
    }
}

#[tokio::test]
async fn what_is_minted_is_accepted() {
    for key in [
        secret(&["HS384"], Some("mine")),
        pem(&RSA.private, &["RS512"], None),
        pem(&EC.private, &[], Some("ec")),
    ] {
        let verifier = Verifier::new(Settings {
            // A public key comes first, which cannot sign.
            keys: vec![pem(&OTHER_RSA.public, &["RS256"], Some("other")), key],
            rules: Rules {
                issuers: vec!["*".into(), "portal".into()],
                audiences: vec!["meet".into()],
                require_exp: true,
                verify_domain: true,
                ..Rules::default()
            },
        })
        .unwrap();
        let mut claims = Claims {
            room: "Standup".into(),
            name: Some("Ada".into()),
            user_id: Some("42".into()),
            email: Some("ada@example.org".into()),
            moderator: true,
            issued_at: NOW,
            lifetime: Duration::from_secs(7200),
        };
        let identity = said(&verifier, &verifier.mint(&claims).unwrap())
            .await
            .unwrap();
        assert_eq!(identity.name(), Some("Ada"));
        assert_eq!(identity.id(), Some("42"));
        assert_eq!(identity.standing, TokenStanding::Owner);
        assert_eq!(identity.rooms, RoomClaim::Named("standup".into()));
        assert_eq!(identity.tenant.as_deref(), Some("*"));
        claims.moderator = false;
        let token = verifier.mint(&claims).unwrap();
        let identity = said(&verifier, &token).await.unwrap();
        assert_eq!(identity.standing, TokenStanding::Member);
        assert_eq!(
            verifier.verify(&token, NOW + 7230).await,
            Err(TokenError::Expired)
        );
    }
    let verifier = verifier_of(vec![pem(&RSA.public, &[], None)]);
    assert_eq!(verifier.mint(&Claims::default()), Err(MintError::NoKey));
}
