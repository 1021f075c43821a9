//! The command line. The flags of `serve` are the keys of the configuration, every one.

use althing_config::{Settings, Sources, keys};
use anyhow::{Context as _, Result};
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use std::ffi::OsString;
use std::path::PathBuf;

pub(crate) fn command() -> Command {
    Command::new("althing")
        .version(crate::VERSION)
        .about("A self-hosted server for video meetings")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(
            Command::new("serve")
                .about("Start the server; no configuration is needed")
                .arg(config_file())
                .args(keys().filter(|key| !key.is_secret()).map(|key| {
                    Arg::new(key.path())
                        .long(key.flag())
                        .value_name(key.value_name)
                        .allow_hyphen_values(true)
                        .help(format!(
                            "{} [default: {}] [env: {}]",
                            key.doc,
                            key.default,
                            key.variable()
                        ))
                })),
        )
        .subcommand(
            Command::new("check-config")
                .about("Read the configuration, say what is wrong with it, and exit")
                .arg(config_file())
                .arg(
                    Arg::new("example")
                        .long("example")
                        .action(ArgAction::SetTrue)
                        .help("Print an example file with every key instead"),
                ),
        )
        .subcommand(crate::token::command())
        .subcommand(crate::init::command())
        .subcommand(crate::load::command())
}

pub(crate) fn config_file() -> Arg {
    Arg::new("config")
        .long("config")
        .value_name("FILE")
        .value_parser(value_parser!(PathBuf))
        .help("Configuration file (TOML) [env: ALTHING_CONFIG]")
}

/// What was configured, and by which file.
pub(crate) struct Loaded {
    pub settings: Settings,
    pub file: Option<PathBuf>,
}

/// Reads file, environment and flags.
pub(crate) fn load(matches: &ArgMatches) -> Result<Loaded> {
    let environment: Vec<(OsString, OsString)> = std::env::vars_os().collect();
    let file = matches
        .get_one::<PathBuf>("config")
        .cloned()
        .or_else(|| Sources::file_of_environment(&environment));
    let text = match &file {
        Some(path) => Some((
            path.clone(),
            std::fs::read_to_string(path)
                .with_context(|| format!("cannot read {}", path.display()))?,
        )),
        None => None,
    };
    let flags = keys()
        .filter_map(|key| {
            let path = key.path();
            // Only `serve` has them.
            let given = matches.try_get_one::<String>(&path).ok()??.clone();
            Some((path, given))
        })
        .collect();
    let settings = althing_config::load(&Sources {
        file: text,
        environment,
        flags,
    })?;
    crate::serve::log_settings(&settings.log)
        .check()
        .context("log.level")?;
    Ok(Loaded { settings, file })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        command().debug_assert();
    }

    #[test]
    fn flags_reach_the_settings() {
        let load_flags = |flags: &[&str]| {
            let all = ["althing", "serve"].iter().chain(flags);
            let matches = command().try_get_matches_from(all).unwrap();
            load(matches.subcommand_matches("serve").unwrap()).map(|loaded| loaded.settings)
        };
        let settings = load_flags(&[
            "--media-port",
            "0",
            "--http-listen",
            "127.0.0.1:0",
            "--drain-timeout=5s",
        ])
        .unwrap();
        assert_eq!(settings.media.port, 0);
        assert_eq!(settings.http.listen.len(), 1);
        assert_eq!(settings.drain_timeout.as_secs(), 5);
        let error = load_flags(&["--media-port", "-1"]).err().unwrap();
        assert_eq!(
            error.to_string(),
            "--media-port: media.port must be a whole number from 0 to 65535, not -1"
        );
        let error = load_flags(&["--log-level", "althing=loud"]).err().unwrap();
        assert!(format!("{error:#}").starts_with("log.level: "), "{error:#}");
    }
}
