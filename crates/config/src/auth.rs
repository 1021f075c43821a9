//! `[[auth.key]]`: a list of tables, read field by field.

use crate::file::Entry;
use crate::settings::{AuthKey, AuthKeySource, Settings};
use crate::value::{self, Given, Refusal};
use althing_model::Secret;

/// Where the keys stand in a file.
pub(crate) const PATH: &str = "auth.key";
/// More than any set-up has; each one without a `kid` is tried on every token.
const MAX_KEYS: usize = 32;

/// What a table of `[[auth.key]]` may hold, with the example file's line and explanation.
pub(crate) const FIELDS: &[(&str, &str, &str)] = &[
    (
        "secret",
        "\"…\"",
        "a secret shared with whoever makes the tokens, or",
    ),
    ("secret_file", "\"FILE\"", "a file that holds it, or"),
    (
        "pem",
        "\"-----BEGIN …\"",
        "a public key or certificate (or a private key, to sign with \"althing token\"), or",
    ),
    ("pem_file", "\"FILE\"", "a file that holds it, or"),
    (
        "jwks_url",
        "\"https://…\"",
        "where a login server publishes its keys (JWKS, or {kid: certificate}), or",
    ),
    (
        "asap_url",
        "\"https://…\"",
        "a key server that has URL/SHA256(kid).pem for each key",
    ),
    (
        "algorithms",
        "[\"HS256\"]",
        "the only ones this key is good for: of HS256, HS384, HS512, RS256, RS384, RS512, ES256; \
         without it the first that fits",
    ),
    (
        "kid",
        "\"NAME\"",
        "the name by which a token must ask for this key; only for secret and PEM",
    ),
];

/// The algorithms there are, by family.
const ALGORITHMS: &[&str] = &[
    "HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "ES256",
];

/// What `auth.secret` and `auth.secret_file` say: whichever was said last holds, and an empty one
/// takes back only its own kind.
pub(crate) fn put(settings: &mut Settings, source: AuthKeySource) {
    let kept = &mut settings.auth.secret;
    let empty = match &source {
        AuthKeySource::Secret(secret) => secret.expose().is_empty(),
        AuthKeySource::SecretFile(path) => path.as_os_str().is_empty(),
        _ => false,
    };
    if !empty {
        *kept = Some(source);
    } else if kept
        .as_ref()
        .is_some_and(|k| std::mem::discriminant(k) == std::mem::discriminant(&source))
    {
        *kept = None;
    }
}

/// Reads every table; what is wrong comes with its line.
pub(crate) fn keys(line: usize, given: &Given) -> Result<Vec<AuthKey>, Vec<(usize, String)>> {
    let tables = match given {
        Given::Tables(tables) => tables,
        Given::List(items) if items.is_empty() => return Ok(Vec::new()),
        _ => return Err(vec![(line, format!("write it as [[{PATH}]]"))]),
    };
    if tables.len() > MAX_KEYS {
        return Err(vec![(
            line,
            format!("{PATH} has more than {MAX_KEYS} keys"),
        )]);
    }
    let mut keys = Vec::new();
    let mut wrong = Vec::new();
    for (line, fields) in tables {
        match key(*line, fields) {
            Ok(key) => keys.push(key),
            Err(problems) => wrong.extend(problems),
        }
    }
    if wrong.is_empty() {
        Ok(keys)
    } else {
        Err(wrong)
    }
}

#[derive(Default)]
struct Parts {
    algorithms: Vec<String>,
    kid: Option<String>,
    sources: Vec<AuthKeySource>,
}

fn key(line: usize, fields: &[Entry]) -> Result<AuthKey, Vec<(usize, String)>> {
    let mut parts = Parts::default();
    let mut wrong = Vec::new();
    for field in fields {
        if let Err(refusal) = set(&mut parts, &field.path, &field.value) {
            let message = if FIELDS.iter().any(|(name, ..)| *name == field.path) {
                format!("{PATH}: {} {refusal}", field.path)
            } else {
                refusal
            };
            wrong.push((field.line, message));
        }
    }
    if !wrong.is_empty() {
        return Err(wrong);
    }
    let mut sources = parts.sources.into_iter();
    let (Some(source), None) = (sources.next(), sources.next()) else {
        return Err(vec![(
            line,
            format!(
                "{PATH} needs exactly one of secret, secret_file, pem, pem_file, jwks_url, asap_url"
            ),
        )]);
    };
    if let Some(refusal) = unfit(&parts.algorithms, parts.kid.as_deref(), &source) {
        return Err(vec![(line, format!("{PATH}: {refusal}"))]);
    }
    Ok(AuthKey {
        algorithms: parts.algorithms,
        kid: parts.kid,
        source,
    })
}

fn set(parts: &mut Parts, name: &str, value: &Given) -> Result<(), Refusal> {
    let source = match name {
        "secret" => AuthKeySource::Secret(Secret::new(filled(value.secret()?)?)),
        "pem" => AuthKeySource::Pem(Secret::new(filled(value.secret()?)?)),
        "secret_file" => AuthKeySource::SecretFile(filled(value.text()?)?.into()),
        "pem_file" => AuthKeySource::PemFile(filled(value.text()?)?.into()),
        "jwks_url" => AuthKeySource::Jwks(value::web_address(value.text()?)?),
        "asap_url" => AuthKeySource::Asap(value::web_address(value.text()?)?),
        "kid" => {
            parts.kid = Some(filled(value.text()?)?.to_owned());
            return Ok(());
        }
        "algorithms" => {
            parts.algorithms = value.each(algorithm)?;
            if parts.algorithms.is_empty() {
                return Err("must name one at least".to_owned());
            }
            return Ok(());
        }
        unknown => {
            return Err(self::unknown(PATH, FIELDS, unknown));
        }
    };
    parts.sources.push(source);
    Ok(())
}

/// Names a field that no table of `[[path]]` has, and the one that was probably meant.
pub(crate) fn unknown(path: &str, fields: &[(&str, &str, &str)], unknown: &str) -> Refusal {
    let near = fields
        .iter()
        .map(|(name, ..)| *name)
        .max_by(|a, b| {
            strsim::jaro_winkler(unknown, a).total_cmp(&strsim::jaro_winkler(unknown, b))
        })
        .unwrap_or_default();
    format!("unknown key \"{unknown}\" in [[{path}]]; the nearest known one is \"{near}\"")
}

pub(crate) fn filled(text: &str) -> Result<&str, Refusal> {
    if text.trim().is_empty() {
        Err("must not be empty".to_owned())
    } else {
        Ok(text)
    }
}

fn algorithm(text: &str) -> Result<String, Refusal> {
    if ALGORITHMS.contains(&text) {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "must be of {}, not {text:?}",
            ALGORITHMS.join(", ")
        ))
    }
}

/// What can be said without opening files: a secret is no public key.
fn unfit(algorithms: &[String], kid: Option<&str>, source: &AuthKeySource) -> Option<Refusal> {
    let secret = matches!(
        source,
        AuthKeySource::Secret(_) | AuthKeySource::SecretFile(_)
    );
    let remote = matches!(source, AuthKeySource::Jwks(_) | AuthKeySource::Asap(_));
    if remote && kid.is_some() {
        return Some("kid is for a secret or PEM; tokens name a fetched key themselves".to_owned());
    }
    let wrong = algorithms
        .iter()
        .find(|name| name.starts_with("HS") != secret)?;
    Some(if secret {
        format!("{wrong} needs a PEM, jwks_url or asap_url, not a secret")
    } else {
        format!("{wrong} needs a secret, not a public key")
    })
}

#[cfg(test)]
mod tests;
