use crate::arguments::load;
use crate::machine::{remark, say};
use althing_config::Limits;
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
    say(&limits(&loaded.settings.limits))?;
    say(&match loaded.file {
        Some(file) => format!("{}: the configuration is fine\n", file.display()),
        None => "no file given; the environment is fine\n".to_owned(),
    })
}

/// What clients may do, as it holds now: whoever is refused something asks for these.
fn limits(limits: &Limits) -> String {
    let mut text = format!(
        "[limits]\nresume_time = \"{}ms\"\nwaiting = {}\naddress_waiting = {}\naddress_connections = {}\n",
        limits.resume_time.as_millis(),
        limits.waiting,
        limits.address_waiting,
        limits.address_connections
    );
    for (name, rate) in [
        ("opened", limits.address_opened),
        ("joins", limits.address_joins),
        ("rooms", limits.address_rooms),
        ("stanzas", limits.address_stanzas),
        ("bytes", limits.address_bytes),
    ] {
        text += &format!("address_{name} = [{}, {}]\n", rate.per_second, rate.at_once);
    }
    text
}
