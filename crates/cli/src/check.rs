use crate::arguments::load;
use crate::machine::{remark, say};
use althing_model::NodeId;
use anyhow::Result;
use clap::ArgMatches;

/// `althing check-config`.
pub(crate) fn check_config(matches: &ArgMatches) -> Result<()> {
    if matches.get_flag("example") {
        return say(&althing_config::example());
    }
    let loaded = load(matches)?;
    for note in crate::auth::keys(&loaded.settings.auth)?.notes {
        remark(&note);
    }
    crate::rooms::rules(&loaded.settings.presets)?;
    crate::api::settings(&loaded.settings, NodeId::new("check")?)?;
    say(&match loaded.file {
        Some(file) => format!("{}: the configuration is fine\n", file.display()),
        None => "no file given; the environment is fine\n".to_owned(),
    })
}
