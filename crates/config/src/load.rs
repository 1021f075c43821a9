use crate::api;
use crate::auth;
use crate::file;
use crate::keys::{FILE_VARIABLE, Key, PREFIX, is_section, keys, nearest};
use crate::room;
use crate::settings::{Hosts, Moderators, RoomPreset, Settings};
use crate::value::Given;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};

/// Where settings come from, all handed in; the later field wins over the earlier.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// A file's name, for messages, and its text.
    pub file: Option<(PathBuf, String)>,
    /// The whole environment; only `ALTHING_…` is looked at.
    pub environment: Vec<(OsString, OsString)>,
    /// Flags given, each with the key's [`Key::path`] and its text.
    pub flags: Vec<(String, String)>,
}

/// Where something is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Where {
    /// In the file, at a line counted from 1.
    File(PathBuf, usize),
    /// In an environment variable.
    Variable(String),
    /// In a flag, written without its dashes.
    Flag(String),
}

impl fmt::Display for Where {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path, line) => write!(f, "{}:{line}", path.display()),
            Self::Variable(name) => f.write_str(name),
            Self::Flag(name) => write!(f, "--{name}"),
        }
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where.
    pub place: Where,
    /// What, and what to do about it.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)
    }
}

/// Everything that is wrong, so that it can be put right in one go. Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// In the order of the sources.
    pub problems: Vec<Problem>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, problem) in self.problems.iter().enumerate() {
            if n > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

impl Sources {
    /// The file named by the environment, for when no flag names one.
    #[must_use]
    pub fn file_of_environment(environment: &[(OsString, OsString)]) -> Option<PathBuf> {
        environment
            .iter()
            .find(|(name, value)| name == FILE_VARIABLE && !value.is_empty())
            .map(|(_, value)| PathBuf::from(value))
    }
}

/// Reads all sources over the defaults.
///
/// # Errors
/// [`ConfigError`] with every problem found: unknown keys with the nearest known one, and values
/// that are not understood.
pub fn load(sources: &Sources) -> Result<Settings, ConfigError> {
    let mut loader = Loader {
        settings: Settings::default(),
        problems: Vec::new(),
        places: BTreeMap::new(),
    };
    if let Some((path, text)) = &sources.file {
        loader.file(path, text);
    }
    loader.environment(&sources.environment);
    for (path, text) in &sources.flags {
        loader.flag(path, text);
    }
    if loader.problems.is_empty() {
        loader.somebody_must_get_in();
        loader.voices_must_have_slots();
    }
    if loader.problems.is_empty() {
        Ok(loader.settings)
    } else {
        Err(ConfigError {
            problems: loader.problems,
        })
    }
}

struct Loader {
    settings: Settings,
    problems: Vec<Problem>,
    /// Where each key was set last.
    places: BTreeMap<String, Where>,
}

impl Loader {
    fn problem(&mut self, place: Where, message: String) {
        self.problems.push(Problem { place, message });
    }

    fn set(&mut self, key: &Key, value: &Given, place: Where) {
        if let Err(refusal) = (key.set)(&mut self.settings, value) {
            self.problem(place, format!("{} {refusal}", key.path()));
        } else {
            self.places.insert(key.path(), place);
        }
    }

    /// Settings that ask for tokens make no sense without a key to check one.
    fn somebody_must_get_in(&mut self) {
        let auth = &self.settings.auth;
        if auth.secret.is_some() || !auth.keys.is_empty() {
            return;
        }
        let asks = [
            ("auth.guests", !auth.guests),
            ("auth.hosts", auth.hosts == Hosts::Authenticated),
            (
                "auth.moderators",
                auth.moderators == Moderators::Authenticated,
            ),
            (
                room::PATH,
                self.settings.presets.iter().any(asks_for_tokens),
            ),
        ];
        for (path, asks) in asks {
            if asks && let Some(place) = self.places.get(path).cloned() {
                self.problem(
                    place,
                    format!(
                        "{path} asks for people with a token, but there is no key to check one: \
                         set auth.secret, auth.secret_file or [[auth.key]]"
                    ),
                );
            }
        }
    }

    /// With fewer slots than voices at once somebody would not be heard.
    fn voices_must_have_slots(&mut self) {
        let media = &self.settings.media;
        let needed = match media.loudest_count {
            0 => return,
            count => 2 * count + 1,
        };
        if media.audio_slots >= needed {
            return;
        }
        let message = format!(
            "media.audio_slots must be {needed} at least for a media.loudest_count of {}, not {}",
            media.loudest_count, media.audio_slots
        );
        let set = ["media.audio_slots", "media.loudest_count"];
        if let Some(place) = set.iter().find_map(|path| self.places.get(*path).cloned()) {
            self.problem(place, message);
        }
    }

    /// A list of tables, read.
    fn list<T>(
        &mut self,
        path: &Path,
        read: Result<Vec<T>, Vec<(usize, String)>>,
        place: fn(&mut Settings) -> &mut Vec<T>,
    ) {
        match read {
            Ok(list) => *place(&mut self.settings) = list,
            Err(problems) => {
                for (line, message) in problems {
                    self.problem(Where::File(path.to_owned(), line), message);
                }
            }
        }
    }

    fn auth_keys(&mut self, path: &Path, line: usize, value: &Given) {
        match auth::keys(line, value) {
            Ok(keys) => self.settings.auth.keys = keys,
            Err(problems) => {
                for (line, message) in problems {
                    self.problem(Where::File(path.to_owned(), line), message);
                }
            }
        }
    }

    fn presets(&mut self, path: &Path, line: usize, value: &Given) {
        match room::presets(line, value) {
            Ok(presets) => {
                self.settings.presets = presets;
                let place = Where::File(path.to_owned(), line);
                self.places.insert(room::PATH.to_owned(), place);
            }
            Err(problems) => {
                for (line, message) in problems {
                    self.problem(Where::File(path.to_owned(), line), message);
                }
            }
        }
    }

    fn file(&mut self, path: &Path, text: &str) {
        let entries = match file::entries(text, is_section) {
            Ok(entries) => entries,
            Err(error) => {
                let place = Where::File(path.to_owned(), error.line);
                return self.problem(place, format!("this is not TOML: {}", error.message));
            }
        };
        for entry in entries {
            let place = Where::File(path.to_owned(), entry.line);
            if let Some(key) = keys().find(|key| key.path() == entry.path) {
                self.set(key, &entry.value, place);
            } else if entry.path == auth::PATH {
                self.auth_keys(path, entry.line, &entry.value);
            } else if entry.path == room::PATH {
                self.presets(path, entry.line, &entry.value);
            } else if entry.path == api::KEY_PATH {
                let keys = api::keys(entry.line, &entry.value);
                self.list(path, keys, |settings| &mut settings.api.keys);
            } else if entry.path == api::WEBHOOK_PATH {
                let webhooks = api::webhooks(entry.line, &entry.value);
                self.list(path, webhooks, |settings| &mut settings.webhooks);
            } else if let Some((list, field)) = of_list(&entry.path) {
                self.problem(
                    place,
                    format!("{field} belongs in a list: write [[{list}]], not [{list}]"),
                );
            } else if is_section(&entry.path) {
                self.problem(
                    place,
                    format!("{0} is a section: write it as [{0}]", entry.path),
                );
            } else {
                self.problem(
                    place,
                    format!(
                        "unknown key \"{}\"; the nearest known one is \"{}\"",
                        entry.path,
                        nearest(&entry.path, Key::path)
                    ),
                );
            }
        }
    }

    fn environment(&mut self, environment: &[(OsString, OsString)]) {
        let mut ours: Vec<_> = environment
            .iter()
            .filter(|(name, _)| name.as_encoded_bytes().starts_with(PREFIX.as_bytes()))
            .filter(|(name, _)| name != FILE_VARIABLE)
            .collect();
        ours.sort();
        for (name, value) in ours {
            self.variable(name, value);
        }
    }

    fn variable(&mut self, name: &OsStr, value: &OsStr) {
        let place = Where::Variable(name.to_string_lossy().into_owned());
        let Some(key) = keys().find(|key| name == key.variable().as_str()) else {
            let near = nearest(&name.to_string_lossy(), Key::variable);
            return self.problem(
                place,
                format!("unknown variable; the nearest known one is {near}"),
            );
        };
        match value.to_str() {
            Some(text) => self.set(key, &Given::Text(text.to_owned()), place),
            None => self.problem(place, "is not valid UTF-8".to_owned()),
        }
    }

    fn flag(&mut self, path: &str, text: &str) {
        match keys().find(|key| key.path() == path) {
            Some(key) => self.set(key, &Given::Text(text.to_owned()), Where::Flag(key.flag())),
            None => self.problem(
                Where::Flag(path.to_owned()),
                format!(
                    "unknown flag; the nearest known one is --{}",
                    nearest(path, Key::flag)
                ),
            ),
        }
    }
}

fn asks_for_tokens(preset: &RoomPreset) -> bool {
    !preset.guests
        || preset.hosts == Some(Hosts::Authenticated)
        || preset.moderators == Some(Moderators::Authenticated)
}

/// A field of a list of tables that was written as one table.
fn of_list(path: &str) -> Option<(&'static str, &str)> {
    let lists = [auth::PATH, room::PATH, api::KEY_PATH, api::WEBHOOK_PATH];
    lists.into_iter().find_map(|list| {
        let field = path.strip_prefix(list)?.strip_prefix('.')?;
        Some((list, field))
    })
}

#[cfg(test)]
mod tests;
