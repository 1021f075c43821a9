//! Every key: one entry of a table each, by section.

mod api;
mod auth;
mod endpoint;
mod general;
mod http;
mod limits;
mod log;
mod media;
mod rooms;

use crate::settings::{Hosts, Moderators, Settings};
use crate::value::{Given, Refusal};
use althing_model::MediaMode;

/// One configuration key.
#[derive(Debug)]
pub struct Key {
    /// Its section in the file, and its name there; no section is the top of the file.
    section: Option<&'static str>,
    name: &'static str,
    /// What stands for the value in a command's help, for instance `PORT`.
    pub value_name: &'static str,
    /// The default as a file would write it.
    pub default: &'static str,
    /// What it does, in sentences.
    pub doc: &'static str,
    pub(crate) set: fn(&mut Settings, &Given) -> Result<(), Refusal>,
}

impl Key {
    /// `http.listen`.
    #[must_use]
    pub fn path(&self) -> String {
        self.section
            .map_or_else(String::new, |section| format!("{section}."))
            + self.name
    }

    /// `ALTHING_HTTP_LISTEN`.
    #[must_use]
    pub fn variable(&self) -> String {
        format!(
            "{PREFIX}{}",
            self.path().replace('.', "_").to_ascii_uppercase()
        )
    }

    /// `http-listen`, of `--http-listen`.
    #[must_use]
    pub fn flag(&self) -> String {
        self.path().replace(['.', '_'], "-")
    }

    /// Whether its value is secret. Then it has no flag: everybody on a machine sees those.
    #[must_use]
    pub fn is_secret(&self) -> bool {
        self.name == "secret"
    }

    pub(crate) const fn section(&self) -> Option<&'static str> {
        self.section
    }

    pub(crate) const fn name(&self) -> &'static str {
        self.name
    }
}

/// What our environment variables begin with.
pub(crate) const PREFIX: &str = "ALTHING_";
/// The one variable that is no key: the file itself.
pub(crate) const FILE_VARIABLE: &str = "ALTHING_CONFIG";

/// Whether there is such a section.
pub(crate) fn is_section(name: &str) -> bool {
    keys().any(|key| key.section == Some(name))
}

/// The known name most like an unknown one, as `name_of` writes names (`http.listen`,
/// `ALTHING_HTTP_LISTEN`).
#[must_use]
pub fn nearest(unknown: &str, name_of: fn(&Key) -> String) -> String {
    let unknown = unknown.to_lowercase();
    // A key in the wrong section, or in none, should lead to its right place: the last part alone
    // counts too, but for less.
    let tail = |name: &str| name.rsplit('.').next().map(str::to_owned);
    let score = |name: &str| {
        let name = name.to_lowercase();
        let whole = strsim::jaro_winkler(&unknown, &name);
        let last = match (tail(&unknown), tail(&name)) {
            (Some(a), Some(b)) => strsim::jaro_winkler(&a, &b) * 0.95,
            _ => 0.0,
        };
        whole.max(last)
    };
    keys()
        .map(name_of)
        .max_by(|a, b| score(a).total_cmp(&score(b)))
        .unwrap_or_default()
}

pub(crate) fn positive(value: &Given, max: u32) -> Result<usize, Refusal> {
    match value.number(max)? {
        0 => Err("must be 1 at least".to_owned()),
        number => Ok(number as usize),
    }
}

/// The sections, in the order of the example file.
const SECTIONS: [&[Key]; 9] = [
    general::KEYS,
    http::KEYS,
    media::KEYS,
    log::KEYS,
    rooms::KEYS,
    limits::KEYS,
    endpoint::KEYS,
    auth::KEYS,
    api::KEYS,
];

/// Every key there is, in the order of the example file.
pub fn keys() -> impl Iterator<Item = &'static Key> {
    SECTIONS.into_iter().flatten()
}

fn rate(value: &Given, max: u32) -> Result<u32, Refusal> {
    match value.number(max)? {
        0 => Err("must be 1 at least".to_owned()),
        number => Ok(number),
    }
}

pub(crate) fn media_mode(value: &Given) -> Result<MediaMode, Refusal> {
    match value.text()? {
        "all" => Ok(MediaMode::All),
        "audio" => Ok(MediaMode::Audio),
        other => Err(format!("must be all or audio, not {other:?}")),
    }
}

pub(crate) fn hosts(value: &Given) -> Result<Hosts, Refusal> {
    match value.text()? {
        "everyone" => Ok(Hosts::Everyone),
        "authenticated" => Ok(Hosts::Authenticated),
        other => Err(format!(
            "must be \"everyone\" or \"authenticated\", not {other:?}"
        )),
    }
}

pub(crate) fn moderators(value: &Given) -> Result<Moderators, Refusal> {
    match value.text()? {
        "first" => Ok(Moderators::First),
        "authenticated" => Ok(Moderators::Authenticated),
        "everyone" => Ok(Moderators::Everyone),
        other => Err(format!(
            "must be \"first\", \"authenticated\" or \"everyone\", not {other:?}"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_are_unique_everywhere() {
        for name_of in [Key::path, Key::variable, Key::flag] {
            let names: HashSet<_> = keys().map(name_of).collect();
            assert_eq!(names.len(), keys().count());
        }
        for key in keys() {
            assert_ne!(key.variable(), FILE_VARIABLE);
        }
    }

    #[test]
    fn the_nearest_key_is_what_was_meant() {
        for (unknown, meant) in [
            ("http.lisen", "http.listen"),
            ("http.tls_port", "http.tls_listen"),
            ("port", "media.port"),
            ("media.advertize", "media.advertise"),
            ("trusted_proxy", "http.trusted_proxies"),
            ("rooms.max_ocupants", "rooms.max_occupants"),
            ("Domain", "domain"),
            ("logging.level", "log.level"),
            ("auth.token.issuer", "auth.token.issuers"),
            ("auth.moderator", "auth.moderators"),
        ] {
            assert_eq!(nearest(unknown, Key::path), meant, "{unknown}");
        }
        assert_eq!(
            nearest("ALTHING_MEDIA_PROT", Key::variable),
            "ALTHING_MEDIA_PORT"
        );
    }
}
