//! `[[api.key]]` and `[[webhook]]`: lists of tables, read field by field; and `api.secret`.

use crate::auth::{filled, unknown};
use crate::file::Entry;
use crate::settings::{ApiKey, SecretSource, Settings, Webhook};
use crate::value::{self, Given, Refusal};
use althing_model::Secret;

/// Where the keys stand in a file.
pub(crate) const KEY_PATH: &str = "api.key";
/// Where the webhooks stand.
pub(crate) const WEBHOOK_PATH: &str = "webhook";
/// Each is compared with what every request brings.
const MAX_KEYS: usize = 64;
/// Each has a task and a queue of its own.
const MAX_WEBHOOKS: usize = 32;
/// The shortest secret, in bytes: shorter ones can be guessed.
const MIN_SECRET: usize = 16;
const MAX_NAME: usize = 64;
/// What the key of `api.secret` is called.
pub(crate) const FIRST_NAME: &str = "api";

/// What a table of `[[api.key]]` may hold, with the example file's line and explanation.
pub(crate) const KEY_FIELDS: &[(&str, &str, &str)] = &[
    (
        "name",
        "\"portal\"",
        "stands in the audit log for whoever used the key",
    ),
    ("secret", "\"…\"", "the key, or"),
    ("secret_file", "\"FILE\"", "a file that holds it"),
];

/// The same of `[[webhook]]`.
pub(crate) const WEBHOOK_FIELDS: &[(&str, &str, &str)] = &[
    ("url", "\"https://…\"", "where it is posted to"),
    (
        "secret",
        "\"…\"",
        "what it is signed with, 16 characters at least, or",
    ),
    ("secret_file", "\"FILE\"", "a file that holds it"),
    (
        "events",
        "[\"joined\"]",
        "which events; without it room_started, room_ended, joined, left, lobby_knock",
    ),
];

type Problems = Vec<(usize, String)>;

/// What `api.secret` and `api.secret_file` say: whichever was said last holds, and an empty one takes
/// back only its own kind.
pub(crate) fn put(settings: &mut Settings, source: SecretSource) -> Result<(), Refusal> {
    let kept = &mut settings.api.secret;
    let empty = match &source {
        SecretSource::Secret(secret) => secret.expose().is_empty(),
        SecretSource::File(path) => path.as_os_str().is_empty(),
    };
    if !empty {
        if let SecretSource::Secret(secret) = &source {
            long_enough(secret.expose())?;
        }
        *kept = Some(source);
    } else if kept
        .as_ref()
        .is_some_and(|k| std::mem::discriminant(k) == std::mem::discriminant(&source))
    {
        *kept = None;
    }
    Ok(())
}

fn long_enough(secret: &str) -> Result<&str, Refusal> {
    if secret.len() < MIN_SECRET {
        return Err(format!("must have {MIN_SECRET} characters at least"));
    }
    Ok(secret)
}

/// Reads every table of a list; what is wrong comes with its line.
fn tables<T>(
    path: &str,
    most: usize,
    line: usize,
    given: &Given,
    read: fn(usize, &[Entry]) -> Result<T, Problems>,
) -> Result<Vec<T>, Problems> {
    let tables = match given {
        Given::Tables(tables) => tables,
        Given::List(items) if items.is_empty() => return Ok(Vec::new()),
        _ => return Err(vec![(line, format!("write it as [[{path}]]"))]),
    };
    if tables.len() > most {
        let message = format!("there are more than {most} of [[{path}]]");
        return Err(vec![(line, message)]);
    }
    let mut all = Vec::new();
    let mut wrong = Vec::new();
    for (line, fields) in tables {
        match read(*line, fields) {
            Ok(one) => all.push(one),
            Err(problems) => wrong.extend(problems),
        }
    }
    if wrong.is_empty() {
        Ok(all)
    } else {
        Err(wrong)
    }
}

/// The keys of `[[api.key]]`.
pub(crate) fn keys(line: usize, given: &Given) -> Result<Vec<ApiKey>, Problems> {
    let keys = tables(KEY_PATH, MAX_KEYS, line, given, key)?;
    for (n, key) in keys.iter().enumerate() {
        let taken = key.name == FIRST_NAME || keys[..n].iter().any(|other| other.name == key.name);
        if taken {
            let message = format!(
                "{KEY_PATH}: there is another key of the name {:?}",
                key.name
            );
            return Err(vec![(line, message)]);
        }
    }
    Ok(keys)
}

/// The webhooks.
pub(crate) fn webhooks(line: usize, given: &Given) -> Result<Vec<Webhook>, Problems> {
    tables(WEBHOOK_PATH, MAX_WEBHOOKS, line, given, webhook)
}

/// Every field is read by `set`, which says what it does not take.
fn fields(
    path: &str,
    known: &[(&str, &str, &str)],
    fields: &[Entry],
    mut set: impl FnMut(&str, &Given) -> Result<bool, Refusal>,
) -> Result<(), Problems> {
    let mut wrong = Vec::new();
    for field in fields {
        match set(&field.path, &field.value) {
            Ok(true) => {}
            Ok(false) => wrong.push((field.line, unknown(path, known, &field.path))),
            Err(refusal) => wrong.push((field.line, format!("{path}: {} {refusal}", field.path))),
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong) }
}

fn source(name: &str, value: &Given) -> Result<SecretSource, Refusal> {
    if name == "secret" {
        let secret = long_enough(value.secret()?)?;
        return Ok(SecretSource::Secret(Secret::new(secret)));
    }
    Ok(SecretSource::File(filled(value.text()?)?.into()))
}

fn one_source(
    path: &str,
    line: usize,
    mut sources: Vec<SecretSource>,
) -> Result<SecretSource, Problems> {
    match (sources.pop(), sources.is_empty()) {
        (Some(source), true) => Ok(source),
        _ => {
            let message = format!("{path} needs exactly one of secret, secret_file");
            Err(vec![(line, message)])
        }
    }
}

fn key(line: usize, entries: &[Entry]) -> Result<ApiKey, Problems> {
    let (mut name, mut sources) = (None, Vec::new());
    fields(KEY_PATH, KEY_FIELDS, entries, |field, value| {
        match field {
            "name" => name = Some(key_name(value.text()?)?),
            "secret" | "secret_file" => sources.push(source(field, value)?),
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    let Some(name) = name else {
        return Err(vec![(line, format!("{KEY_PATH} needs a name"))]);
    };
    let source = one_source(KEY_PATH, line, sources)?;
    Ok(ApiKey { name, source })
}

fn key_name(text: &str) -> Result<String, Refusal> {
    let text = filled(text)?;
    if text.len() > MAX_NAME || text.chars().any(char::is_control) {
        return Err(format!("must have {MAX_NAME} bytes at most, on one line"));
    }
    Ok(text.to_owned())
}

fn webhook(line: usize, entries: &[Entry]) -> Result<Webhook, Problems> {
    let (mut url, mut sources, mut events) = (None, Vec::new(), None);
    fields(WEBHOOK_PATH, WEBHOOK_FIELDS, entries, |field, value| {
        match field {
            "url" => {
                let text = value.text()?;
                // As it was written: a slash at its end belongs to it.
                value::web_address(text)?;
                url = Some(text.to_owned());
            }
            "secret" | "secret_file" => sources.push(source(field, value)?),
            "events" => events = Some(value.list()?),
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    let Some(url) = url else {
        return Err(vec![(line, format!("{WEBHOOK_PATH} needs a url"))]);
    };
    let secret = one_source(WEBHOOK_PATH, line, sources)?;
    Ok(Webhook {
        url,
        secret,
        events,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Sources, load};
    use std::path::PathBuf;

    const SECRET: &str = "0123456789abcdef";

    fn read(text: &str) -> Result<Settings, String> {
        let file = Some((PathBuf::from("a.toml"), text.replace("SECRET", SECRET)));
        let sources = Sources {
            file,
            ..Sources::default()
        };
        load(&sources).map_err(|error| error.to_string())
    }

    #[test]
    fn keys_and_webhooks_are_read() {
        let settings = read(
            "[api]\nsecret = \"SECRET\"\n[[api.key]]\nname = \"portal\"\nsecret_file = \"f\"\n\
             [[webhook]]\nurl = \"https://a.b/hook/\"\nsecret = \"SECRET\"\n\
             events = [\"joined\"]\n[audit]\nenabled = false\n",
        )
        .unwrap();
        let secret = SecretSource::Secret(Secret::new(SECRET));
        assert_eq!(settings.api.secret, Some(secret.clone()));
        assert_eq!(
            settings.api.keys,
            [ApiKey {
                name: "portal".into(),
                source: SecretSource::File("f".into()),
            }]
        );
        assert_eq!(
            settings.webhooks,
            [Webhook {
                url: "https://a.b/hook/".into(),
                secret,
                events: Some(vec!["joined".into()]),
            }]
        );
        assert!(!settings.audit.enabled);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        for (text, said) in [
            (
                "[api]\nsecret = \"short\"\n",
                "a.toml:2: api.secret must have 16 characters at least",
            ),
            (
                "[[api.key]]\nsecret = \"SECRET\"\n",
                "a.toml:1: api.key needs a name",
            ),
            (
                "[[api.key]]\nname = \"a\"\nsecret = \"SECRET\"\nsecret_file = \"f\"\n",
                "a.toml:1: api.key needs exactly one of secret, secret_file",
            ),
            (
                "[[api.key]]\nname = \"api\"\nsecret = \"SECRET\"\n",
                "a.toml:1: api.key: there is another key of the name \"api\"",
            ),
            (
                "[[webhook]]\nsecret = \"SECRET\"\n",
                "a.toml:1: webhook needs a url",
            ),
            (
                "[[webhook]]\nurl = \"a.b\"\nsecret = \"SECRET\"\n",
                "a.toml:2: webhook: url must be an address such as \"https://meet.example\", not \
                 \"a.b\"",
            ),
            (
                "[[webhook]]\nurl = \"https://a.b\"\nsecret = \"SECRET\"\nevent = []\n",
                "a.toml:4: unknown key \"event\" in [[webhook]]; the nearest known one is \"events\"",
            ),
            (
                "[webhook]\nurl = \"https://a.b\"\n",
                "a.toml:2: url belongs in a list: write [[webhook]], not [webhook]",
            ),
            (
                "[api]\nkey = \"SECRET\"\n",
                "a.toml:2: write it as [[api.key]]",
            ),
        ] {
            assert_eq!(read(text).unwrap_err(), said, "{text}");
        }
    }
}
