use super::*;
use crate::testing::NOW;
use serde_json::json;

fn read(rules: &Rules, claims: Value) -> Result<Identity, String> {
    let Value::Object(claims) = claims else {
        unreachable!("claims are an object");
    };
    rules.identity(&claims, NOW).map_err(|e| e.to_string())
}

/// The claims that every token has, and these.
#[expect(
    clippy::needless_pass_by_value,
    reason = "cases are written where they are used"
)]
fn with(more: Value) -> Value {
    let mut all = json!({ "iss": "portal", "aud": "jitsi", "room": "r" });
    for (name, value) in more.as_object().unwrap() {
        all[name] = value.clone();
    }
    all
}

#[test]
fn every_claim_is_checked() {
    let rules = Rules {
        issuers: vec!["portal".into(), "other".into()],
        audiences: vec!["jitsi".into()],
        ..Rules::default()
    };
    let strict = Rules {
        require_exp: true,
        verify_domain: true,
        ..rules.clone()
    };
    for (rules, claims, refusal) in [
        (&rules, with(json!({})), None),
        (
            &rules,
            json!({ "aud": "jitsi", "room": "r" }),
            Some("'iss' claim is missing"),
        ),
        (
            &rules,
            with(json!({ "iss": "stranger" })),
            Some("invalid 'iss' claim"),
        ),
        (
            &rules,
            with(json!({ "iss": ["portal"] })),
            Some("invalid 'iss' claim"),
        ),
        (&rules, with(json!({ "iss": "other" })), None),
        (
            &rules,
            json!({ "iss": "portal", "room": "r" }),
            Some("'aud' claim is missing"),
        ),
        (
            &rules,
            with(json!({ "aud": "other" })),
            Some("invalid 'aud' claim"),
        ),
        (
            &rules,
            with(json!({ "aud": 5 })),
            Some("invalid 'aud' claim"),
        ),
        (
            &rules,
            with(json!({ "aud": [] })),
            Some("invalid 'aud' claim"),
        ),
        (
            &rules,
            with(json!({ "aud": ["account", 7] })),
            Some("invalid 'aud' claim"),
        ),
        (&rules, with(json!({ "aud": ["account", "jitsi"] })), None),
        (
            &rules,
            json!({ "iss": "portal", "aud": "jitsi" }),
            Some("'room' claim is missing"),
        ),
        (
            &rules,
            with(json!({ "room": 5 })),
            Some("invalid 'room' claim"),
        ),
        (
            &rules,
            with(json!({ "room": "" })),
            Some("invalid 'room' claim"),
        ),
        (&rules, with(json!({ "exp": NOW - 29 })), None),
        (
            &rules,
            with(json!({ "exp": NOW - 30 })),
            Some("token is expired"),
        ),
        (
            &rules,
            with(json!({ "exp": 0.5 })),
            Some("token is expired"),
        ),
        (&rules, with(json!({ "exp": -1 })), Some("token is expired")),
        (
            &rules,
            with(json!({ "exp": (NOW + 60).to_string() })),
            Some("invalid 'exp' claim"),
        ),
        (
            &rules,
            with(json!({ "exp": null })),
            Some("invalid 'exp' claim"),
        ),
        (&rules, with(json!({ "nbf": NOW + 30 })), None),
        (
            &rules,
            with(json!({ "nbf": NOW + 31 })),
            Some("token is not valid yet"),
        ),
        (
            &rules,
            with(json!({ "nbf": true })),
            Some("invalid 'nbf' claim"),
        ),
        (
            &rules,
            with(json!({ "context": "x" })),
            Some("invalid 'context' claim"),
        ),
        (
            &rules,
            with(json!({ "context": { "user": [] } })),
            Some("invalid 'context' claim"),
        ),
        (
            &rules,
            with(json!({ "context": { "features": "all" } })),
            Some("invalid 'context' claim"),
        ),
        (
            &strict,
            with(json!({ "sub": "acme" })),
            Some("'exp' claim is missing"),
        ),
        (
            &strict,
            with(json!({ "exp": NOW + 9 })),
            Some("'sub' claim is missing"),
        ),
        (
            &strict,
            with(json!({ "exp": NOW + 9, "sub": 1 })),
            Some("invalid 'sub' claim"),
        ),
        (
            &strict,
            with(json!({ "exp": NOW + 9, "sub": "acme" })),
            None,
        ),
    ] {
        assert_eq!(
            read(rules, claims.clone()).err().as_deref(),
            refusal,
            "{claims}"
        );
    }
    // A star accepts any, but something has to be there.
    let any = Rules::default();
    assert!(read(&any, with(json!({ "iss": "x", "aud": "y" }))).is_ok());
    assert!(read(&any, json!({ "room": "r", "aud": "y" })).is_err());
}

#[test]
fn the_user_is_told_to_others_as_text() {
    let identity = read(
        &Rules::default(),
        with(json!({ "context": {
            "user": {
                "id": 42,
                "name": "Ada \u{0}\u{1f}Lovelace",
                "hidden-from-recorder": true,
                "roles": ["a", { "b": 1 }],
                "nothing": null,
                "<script>": "x",
                "1st": "x",
                "": "x",
                "lobby_bypass": "true",
            },
            "group": "acme",
            "features": { "recording": true, "livestreaming": "true", "flip": "false", "x": 1 },
        } })),
    )
    .unwrap();
    let user: Vec<_> = identity
        .user
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    assert_eq!(
        user,
        [
            ("hidden-from-recorder", "true"),
            ("id", "42"),
            ("lobby_bypass", "true"),
            ("name", "Ada Lovelace"),
            ("roles", r#"["a",{"b":1}]"#),
        ]
    );
    assert_eq!(identity.group.as_deref(), Some("acme"));
    assert!(identity.lobby_bypass);
    let features = identity.features.unwrap();
    let allowed: Vec<_> = features
        .iter()
        .filter(|(_, on)| **on)
        .map(|(n, _)| n.as_str())
        .collect();
    assert_eq!(allowed, ["livestreaming", "recording"]);
    assert_eq!(features.len(), 4);
}

#[test]
fn standing_follows_affiliation_and_moderator() {
    for (user, standing) in [
        (json!({}), TokenStanding::Unsaid),
        (json!({ "affiliation": "owner" }), TokenStanding::Owner),
        (json!({ "affiliation": "moderator" }), TokenStanding::Owner),
        (json!({ "affiliation": "teacher" }), TokenStanding::Owner),
        (json!({ "affiliation": "member" }), TokenStanding::Member),
        (json!({ "affiliation": "pupil" }), TokenStanding::Member),
        (json!({ "moderator": true }), TokenStanding::Owner),
        (json!({ "moderator": "true" }), TokenStanding::Owner),
        (json!({ "moderator": false }), TokenStanding::Member),
        (json!({ "moderator": "yes" }), TokenStanding::Member),
        (json!({ "moderator": 1 }), TokenStanding::Member),
        (
            json!({ "moderator": true, "affiliation": "member" }),
            TokenStanding::Owner,
        ),
        (
            json!({ "moderator": false, "affiliation": "owner" }),
            TokenStanding::Owner,
        ),
    ] {
        let claims = with(json!({ "context": { "user": user } }));
        let identity = read(&Rules::default(), claims.clone()).unwrap();
        assert_eq!(identity.standing, standing, "{claims}");
    }
}

#[test]
fn rooms_are_any_one_or_those_of_a_pattern() {
    let loose = Rules {
        require_room: false,
        ..Rules::default()
    };
    for (claims, rooms) in [
        (json!({ "room": "*" }), RoomClaim::Any),
        (
            json!({ "room": "StandUp" }),
            RoomClaim::Named("standup".into()),
        ),
        (
            json!({ "room": "[Acme]Room" }),
            RoomClaim::Named("[acme]room".into()),
        ),
        (
            json!({ "room": "^team-[A-Z]+$", "context": { "room": { "regex": true } } }),
            RoomClaim::Pattern("^team-[A-Z]+$".into()),
        ),
        (
            json!({ "room": "a.b", "context": { "room": { "regex": false } } }),
            RoomClaim::Named("a.b".into()),
        ),
    ] {
        assert_eq!(read(&loose, with(claims)).unwrap().rooms, rooms);
    }
    let none = json!({ "iss": "portal", "aud": "jitsi" });
    assert_eq!(read(&loose, none).unwrap().rooms, RoomClaim::Any);
}

#[test]
fn without_a_context_the_claims_of_a_login_server_count() {
    let loose = Rules {
        require_room: false,
        ..Rules::default()
    };
    let identity = read(
        &loose,
        json!({ "iss": "https://login.example/realms/r", "aud": ["account"], "sub": "7f3a",
            "preferred_username": "ada", "email": "ada@example.org",
            "picture": "https://login.example/ada.png" }),
    )
    .unwrap();
    assert_eq!(identity.id(), Some("7f3a"));
    assert_eq!(identity.name(), Some("ada"));
    assert_eq!(identity.user["avatar"], "https://login.example/ada.png");
    // Beside a room, `sub` is a domain, and everybody would be the same person.
    let jitsi = with(json!({ "sub": "meet.example", "user_id": "9" }));
    assert_eq!(read(&loose, jitsi).unwrap().id(), Some("9"));
    let jitsi = with(json!({ "sub": "meet.example" }));
    assert_eq!(read(&loose, jitsi).unwrap().id(), None);
    let visitor = with(json!({ "context": { "user": { "role": "visitor" } } }));
    assert!(read(&loose, visitor).unwrap().visitor);
}

#[test]
fn the_domain_is_looked_at_only_when_asked_for() {
    let claims = with(json!({ "sub": "ACME" }));
    assert_eq!(
        read(&Rules::default(), claims.clone()).unwrap().tenant,
        None
    );
    let verifying = Rules {
        verify_domain: true,
        ..Rules::default()
    };
    let identity = read(&verifying, claims).unwrap();
    assert_eq!(identity.tenant.as_deref(), Some("acme"));
}
