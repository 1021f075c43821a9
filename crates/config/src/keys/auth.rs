//! Who may come in, and as what.

use crate::auth;
use crate::keys::{Key, hosts, moderators};
use crate::settings::AuthKeySource;
use crate::value;
use althing_model::Secret;
use std::time::Duration;

pub(super) const KEYS: &[Key] = &[
    Key {
        section: Some("auth"),
        name: "hosts",
        value_name: "WHO",
        default: "\"everyone\"",
        doc: "Who may open a room that nobody is in: \"everyone\", or \"authenticated\", which is \
              people with a token (JWT); guests then wait until one of them is there.",
        set: |s, v| {
            s.auth.hosts = hosts(v)?;
            Ok(())
        },
    },
    Key {
        section: Some("auth"),
        name: "guests",
        value_name: "BOOL",
        default: "true",
        doc: "Whether people without a token may come in at all.",
        set: |s, v| v.flag().map(|guests| s.auth.guests = guests),
    },
    Key {
        section: Some("auth"),
        name: "moderators",
        value_name: "WHO",
        default: "\"first\"",
        doc: "Who becomes a moderator, unless a token says it of its holder: \"first\", whoever is \
              first in the room, and when they leave the next; \"authenticated\", everybody with \
              a token; \"everyone\".",
        set: |s, v| {
            s.auth.moderators = moderators(v)?;
            Ok(())
        },
    },
    Key {
        section: Some("auth"),
        name: "login_url",
        value_name: "URL",
        default: "\"\"",
        doc: "Where clients send people to log in; that page brings them back with a token \
              (tokenAuthUrl in config.js). {room}, {state} and {code_challenge} are filled in by \
              the client.",
        set: |s, v| {
            s.auth.login_url = match v.optional()? {
                Some(text) => value::web_address(text).map(|_| Some(text.to_owned()))?,
                None => None,
            };
            Ok(())
        },
    },
    Key {
        section: Some("auth"),
        name: "secret",
        value_name: "SECRET",
        default: "\"\"",
        doc: "The secret that tokens are signed with (HS256), shared with whoever makes them; long \
              and random, such as \"openssl rand -hex 32\" prints. For other keys see \
              [[auth.key]] below.",
        set: |s, v| {
            let secret = Secret::new(v.secret()?);
            auth::put(s, AuthKeySource::Secret(secret));
            Ok(())
        },
    },
    Key {
        section: Some("auth"),
        name: "secret_file",
        value_name: "FILE",
        default: "\"\"",
        doc: "A file that holds the secret instead; white space at its end does not count.",
        set: |s, v| {
            auth::put(s, AuthKeySource::SecretFile(v.text()?.into()));
            Ok(())
        },
    },
    Key {
        section: Some("auth.token"),
        name: "issuers",
        value_name: "NAMES",
        default: "[\"*\"]",
        doc: "Whose tokens are accepted: the claim \"iss\" must be one of these. \"*\" is any.",
        set: |s, v| v.list().map(|all| s.auth.token.issuers = all),
    },
    Key {
        section: Some("auth.token"),
        name: "audiences",
        value_name: "NAMES",
        default: "[\"*\"]",
        doc: "For whom accepted tokens are: the claim \"aud\" must be, or hold, one of these. \"*\" \
              is any. When a login server signs tokens for other programs too, name yours here, or \
              each of those tokens opens your rooms.",
        set: |s, v| v.list().map(|all| s.auth.token.audiences = all),
    },
    Key {
        section: Some("auth.token"),
        name: "clock_skew",
        value_name: "TIME",
        default: "\"30s\"",
        doc: "How far the clock of whoever makes tokens may differ from this one; 10m at most.",
        set: |s, v| {
            let skew = value::duration(v.text()?)?;
            if skew > Duration::from_secs(600) {
                return Err("must be 10m at most".to_owned());
            }
            s.auth.token.clock_skew = skew;
            Ok(())
        },
    },
    Key {
        section: Some("auth.token"),
        name: "require_exp",
        value_name: "BOOL",
        default: "false",
        doc: "Whether a token without an end (claim \"exp\") is refused.",
        set: |s, v| v.flag().map(|required| s.auth.token.require_exp = required),
    },
    Key {
        section: Some("auth.token"),
        name: "require_room",
        value_name: "BOOL",
        default: "true",
        doc: "Whether a token that names no room (claim \"room\") is refused. When off, such a token \
              opens every room, as those of a login server do.",
        set: |s, v| {
            v.flag()
                .map(|required| s.auth.token.require_room = required)
        },
    },
    Key {
        section: Some("auth.token"),
        name: "verify_domain",
        value_name: "BOOL",
        default: "false",
        doc: "Whether the claim \"sub\" must be the tenant of the room, or the domain for a room \
              without one; \"*\" is any.",
        set: |s, v| v.flag().map(|verify| s.auth.token.verify_domain = verify),
    },
];
