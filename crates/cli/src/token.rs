//! `althing token`: makes a token that this server accepts, and the link to open with it.

use crate::arguments::{config_file, load};
use crate::{auth, machine};
use althing_client::Url;
use althing_config::Settings;
use althing_identity::{Claims, MintError};
use anyhow::{Context as _, Result, bail};
use clap::{Arg, ArgAction, ArgMatches, Command};
use std::time::Duration;

pub(crate) fn command() -> Command {
    let text = |name: &'static str, value: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name(value).help(help)
    };
    Command::new("token")
        .about("Make a token (JWT) that lets somebody in, signed by the first key that can sign")
        .arg(config_file())
        .arg(
            text("room", "ROOM", "The room it opens; \"*\" is every room").required(true),
        )
        .arg(text("name", "NAME", "The holder's name, as others see it"))
        .arg(
            Arg::new("moderator")
                .long("moderator")
                .action(ArgAction::SetTrue)
                .help("Make the holder a moderator; without it they are none, whatever auth.moderators says"),
        )
        .arg(
            text("for", "TIME", "How long it is good for: 90s, 30m, 2h; a week (168h) at most")
                .default_value("2h"),
        )
        .arg(text("user-id", "ID", "An id that stays the same over several tokens"))
        .arg(text("email", "ADDRESS", "The holder's mail address; others see it"))
}

/// `althing token`.
pub(crate) fn run(matches: &ArgMatches) -> Result<()> {
    let settings = load(matches)?.settings;
    let text = |name: &str| matches.get_one::<String>(name).cloned();
    let room = text("room").unwrap_or_default();
    let claims = Claims {
        room: room.clone(),
        name: text("name"),
        user_id: text("user-id"),
        email: text("email"),
        moderator: matches.get_flag("moderator"),
        issued_at: auth::now(),
        lifetime: lifetime(&text("for").unwrap_or_default())?,
    };
    if room.trim().is_empty() || room.contains('/') {
        bail!("--room must be the name of a room, or \"*\"");
    }
    let verifier = auth::keys(&settings.auth)?.verifier;
    let minted = verifier.map_or(Err(MintError::NoKey), |verifier| verifier.mint(&claims));
    let token = match minted {
        Ok(token) => token,
        Err(MintError::NoKey) => bail!(NO_KEY),
        Err(error) => return Err(error.into()),
    };
    machine::say(&format!("{token}\n"))?;
    machine::remark(&link(&settings, &room, &token)?);
    Ok(())
}

const NO_KEY: &str = "no key can sign tokens. Write one into the configuration file:\n\n  \
    [auth]\n  secret = \"…\"     # what \"openssl rand -hex 32\" prints\n\n\
    or set auth.secret_file, ALTHING_AUTH_SECRET, or a private key as pem_file of an [[auth.key]]; \
    \"althing serve\" must be started anew with it";

fn lifetime(text: &str) -> Result<Duration> {
    let lifetime = althing_config::duration(text).map_err(|e| anyhow::anyhow!("--for {e}"))?;
    if lifetime.as_secs() == 0 {
        bail!("--for must be a second at least");
    }
    Ok(lifetime)
}

fn link(settings: &Settings, room: &str, token: &str) -> Result<String> {
    let Some(base) = settings.http.public_url.as_deref() else {
        return Ok(
            "open the room with ?jwt= and this token behind its address; \
             with http.public_url set, the whole link is printed here"
                .to_owned(),
        );
    };
    let mut url: Url = base
        .parse()
        .with_context(|| format!("http.public_url {base}"))?;
    if room == "*" {
        return Ok(format!(
            "open any room below {url} with ?jwt= and this token"
        ));
    }
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().push(room);
    }
    url.query_pairs_mut().append_pair("jwt", token);
    Ok(format!("open {url}"))
}
