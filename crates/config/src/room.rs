//! `[[room]]`: what rooms begin with, by their names; a list of tables, read field by field.

use crate::auth::{self, filled};
use crate::file::Entry;
use crate::keys;
use crate::settings::{PasswordSource, RoomPreset};
use crate::value::{self, Given, Refusal};
use althing_model::Secret;
use std::time::Duration;

/// Where they stand in a file.
pub(crate) const PATH: &str = "room";
/// Each new room is compared with all of them.
const MAX_PRESETS: usize = 1_000;
const MAX_PATTERN: usize = 200;
const MAX_PASSWORD: usize = 256;
const MAX_SUBJECT: usize = 500;
const MAX_METADATA: usize = 16 * 1024;

/// What a table of `[[room]]` may hold, with the example file's line and explanation.
pub(crate) const FIELDS: &[(&str, &str, &str)] = &[
    (
        "pattern",
        "\"board-*\"",
        "the rooms, by name: * is anything, ? one character; \"[school]board-*\" are those of one \
         tenant",
    ),
    (
        "password",
        "\"…\"",
        "must be said by whoever a moderator did not let in, or",
    ),
    ("password_file", "\"FILE\"", "a file that holds it"),
    (
        "lobby",
        "true",
        "newcomers wait until a moderator lets them in",
    ),
    ("max_occupants", "20", "how many people fit in"),
    ("subject", "\"The board\"", "the name people see"),
    (
        "start_muted",
        "[\"audio\"]",
        "what newcomers leave off until they switch it on: audio, video",
    ),
    (
        "start_muted_above",
        "10",
        "when more than this many are there, newcomers leave their microphone off",
    ),
    ("media", "\"audio\"", "as media.mode, for these rooms"),
    (
        "max_duration",
        "\"2h\"",
        "when a meeting ends at the latest",
    ),
    (
        "hosts",
        "\"authenticated\"",
        "as auth.hosts, for these rooms",
    ),
    ("guests", "false", "as auth.guests, for these rooms"),
    (
        "moderators",
        "\"everyone\"",
        "as auth.moderators, for these rooms",
    ),
    (
        "metadata",
        "'{\"key\": …}'",
        "further metadata that clients understand, as JSON",
    ),
];

/// Reads every table; what is wrong comes with its line.
pub(crate) fn presets(line: usize, given: &Given) -> Result<Vec<RoomPreset>, Vec<(usize, String)>> {
    let tables = match given {
        Given::Tables(tables) => tables,
        Given::List(items) if items.is_empty() => return Ok(Vec::new()),
        _ => return Err(vec![(line, format!("write it as [[{PATH}]]"))]),
    };
    if tables.len() > MAX_PRESETS {
        let message = format!("there are more than {MAX_PRESETS} of [[{PATH}]]");
        return Err(vec![(line, message)]);
    }
    let mut presets = Vec::new();
    let mut wrong = Vec::new();
    for (line, fields) in tables {
        match preset(*line, fields) {
            Ok(preset) => presets.push(preset),
            Err(problems) => wrong.extend(problems),
        }
    }
    if wrong.is_empty() {
        Ok(presets)
    } else {
        Err(wrong)
    }
}

fn preset(line: usize, fields: &[Entry]) -> Result<RoomPreset, Vec<(usize, String)>> {
    let mut preset = RoomPreset::default();
    let mut wrong = Vec::new();
    for field in fields {
        if let Err(refusal) = set(&mut preset, &field.path, &field.value) {
            let known = FIELDS.iter().any(|(name, ..)| *name == field.path);
            let message = if known {
                format!("{PATH}: {} {refusal}", field.path)
            } else {
                refusal
            };
            wrong.push((field.line, message));
        }
    }
    let passwords = fields
        .iter()
        .filter(|field| field.path.starts_with("password"));
    if wrong.is_empty() && preset.pattern.is_empty() {
        wrong.push((line, format!("{PATH} needs a pattern")));
    } else if wrong.is_empty() && passwords.count() > 1 {
        let message = format!("{PATH} needs one of password and password_file, not both");
        wrong.push((line, message));
    }
    if wrong.is_empty() {
        Ok(preset)
    } else {
        Err(wrong)
    }
}

fn set(preset: &mut RoomPreset, name: &str, value: &Given) -> Result<(), Refusal> {
    match name {
        "pattern" => preset.pattern = pattern(value.text()?)?,
        "password" => {
            let password = filled(value.secret()?)?;
            if password.len() > MAX_PASSWORD {
                return Err(format!("must have {MAX_PASSWORD} bytes at most"));
            }
            preset.password = Some(PasswordSource::Password(Secret::new(password)));
        }
        "password_file" => {
            preset.password = Some(PasswordSource::File(filled(value.text()?)?.into()));
        }
        "lobby" => preset.lobby = value.flag()?,
        "max_occupants" => preset.max_occupants = Some(keys::positive(value, 100_000)?),
        "subject" => preset.subject = Some(short(value.text()?, MAX_SUBJECT)?),
        "start_muted" => {
            (preset.start_muted_audio, preset.start_muted_video) = (false, false);
            for medium in value.list()? {
                match medium.as_str() {
                    "audio" => preset.start_muted_audio = true,
                    "video" => preset.start_muted_video = true,
                    other => return Err(format!("must be of audio, video, not {other:?}")),
                }
            }
        }
        "start_muted_above" => {
            preset.start_muted_above = Some(value.number(100_000)? as usize);
        }
        "media" => preset.media = Some(keys::media_mode(value)?),
        "max_duration" => {
            let longest = value::duration(value.text()?)?;
            if longest < Duration::from_secs(60) {
                return Err("must be 1m at least".to_owned());
            }
            preset.max_duration = Some(longest);
        }
        "hosts" => preset.hosts = Some(keys::hosts(value)?),
        "guests" => preset.guests = value.flag()?,
        "moderators" => preset.moderators = Some(keys::moderators(value)?),
        "metadata" => preset.metadata = metadata(value.text()?)?,
        unknown => return Err(auth::unknown(PATH, FIELDS, unknown)),
    }
    Ok(())
}

/// Room names are in lower case, whatever people type.
fn pattern(text: &str) -> Result<String, Refusal> {
    let text = filled(text)?.trim().to_lowercase();
    if text.len() > MAX_PATTERN {
        return Err(format!("must have {MAX_PATTERN} bytes at most"));
    }
    if text.contains(['/', '@', '"']) {
        return Err(format!(
            "must be like a room's name, such as \"board-*\", not {text:?}"
        ));
    }
    Ok(text)
}

fn short(text: &str, longest: usize) -> Result<String, Refusal> {
    if text.chars().count() > longest {
        return Err(format!("must have {longest} characters at most"));
    }
    Ok(text.to_owned())
}

fn metadata(text: &str) -> Result<serde_json::Map<String, serde_json::Value>, Refusal> {
    if text.len() > MAX_METADATA {
        return Err(format!("must have {MAX_METADATA} bytes at most"));
    }
    serde_json::from_str(text).map_err(|error| format!("must be a JSON object: {error}"))
}

#[cfg(test)]
mod tests;
