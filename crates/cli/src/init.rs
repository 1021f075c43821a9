//! `althing init`: a configuration file from the `.env` of a docker-jitsi-meet installation.
//!
//! ```text
//!   .env ──environment──► variables ──translation──► settings, and what was left out with the reason
//!                                                        │
//!                                    read back by config ┴──► althing.toml, 0600 if it has secrets
//! ```

mod document;
mod environment;
mod reasons;
mod translation;

use crate::entropy::OsEntropy;
use crate::machine;
use althing_config::Sources;
use anyhow::{Context as _, Result, bail};
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use std::fs::OpenOptions;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// No installation's file is longer; a mistaken path may lead to anything.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

pub(crate) fn command() -> Command {
    Command::new("init")
        .about("Write a configuration file from the .env of a docker-jitsi-meet installation")
        .arg(
            Arg::new("from-env")
                .long("from-env")
                .value_name("FILE")
                .required(true)
                .value_parser(value_parser!(PathBuf))
                .help("The .env file; what is not taken over is listed with the reason"),
        )
        .arg(
            Arg::new("output")
                .long("output")
                .value_name("FILE")
                .default_value("althing.toml")
                .value_parser(value_parser!(PathBuf))
                .help("The file to write"),
        )
        .arg(
            Arg::new("force")
                .long("force")
                .action(ArgAction::SetTrue)
                .help("Replace the file if it is there already"),
        )
}

/// `althing init`.
pub(crate) fn run(matches: &ArgMatches) -> Result<()> {
    let path = |name: &str| {
        matches
            .get_one::<PathBuf>(name)
            .cloned()
            .unwrap_or_default()
    };
    let (source, output) = (path("from-env"), path("output"));
    let text = read(&source)?;
    let variables = environment::read(&text)
        .map_err(|error| anyhow::anyhow!("{}:{error}", source.display()))?;
    let translated = translation::translate(&variables, &mut OsEntropy);
    let document = document::write(&translated, &source);
    // Before it is written: a file that "serve" refuses helps nobody.
    althing_config::load(&Sources {
        file: Some((output.clone(), document.clone())),
        ..Sources::default()
    })
    .context("these settings do not go together")?;
    write(
        &output,
        &document,
        translated.has_secrets(),
        matches.get_flag("force"),
    )?;
    machine::say(&document::summary(&translated, &output))
}

fn read(path: &Path) -> Result<String> {
    let cannot = || format!("cannot read {}", path.display());
    if std::fs::metadata(path).with_context(cannot)?.len() > MAX_FILE_BYTES {
        bail!("{} is too long to be an .env file", path.display());
    }
    std::fs::read_to_string(path).with_context(cannot)
}

/// Whole or not at all, and readable by others only without secrets.
fn write(path: &Path, text: &str, secret: bool, replace: bool) -> Result<()> {
    let cannot = || format!("cannot write {}", path.display());
    let mode = if secret { 0o600 } else { 0o644 };
    let create = |path: &Path| {
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(path)
            .and_then(|mut file| {
                file.write_all(text.as_bytes())
                    .and_then(|()| file.sync_all())
            })
    };
    if !replace {
        return match create(path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => bail!(
                "{} is there already; --force replaces it, --output writes another",
                path.display()
            ),
            other => other.with_context(cannot),
        };
    }
    let mut temporary = path.to_owned().into_os_string();
    temporary.push(format!(".{}.new", std::process::id()));
    let temporary = PathBuf::from(temporary);
    create(&temporary).with_context(cannot)?;
    std::fs::rename(&temporary, path).with_context(|| {
        // Best effort: the error to tell is the first one.
        let _ = std::fs::remove_file(&temporary);
        cannot()
    })
}
