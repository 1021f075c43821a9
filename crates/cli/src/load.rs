//! `althing load`: headless occupants against a server, what they measured, and whether the
//! scenario's promises were kept.

mod arguments;
mod display;

use althing_load::{LoadSettings, Report};
use anyhow::{Result, bail};
use clap::ArgMatches;
use display::Display;
use tokio_util::sync::CancellationToken;

pub(crate) use arguments::command;

/// Two sockets and some spare for each occupant.
const DESCRIPTORS_EACH: u64 = 4;

/// Runs the scenario; fails when a promise is broken.
pub(crate) fn run(matches: &ArgMatches) -> Result<()> {
    let settings = arguments::settings(matches)?;
    let json = matches.get_flag("json");
    allow_descriptors(settings.everybody());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let report = runtime.block_on(measure(&settings));
    print(&report, json)?;
    let broken = report.promises.iter().filter(|p| !p.kept).count();
    if broken > 0 || report.promises.is_empty() {
        bail!(
            "{}",
            match (broken, &report.first_failure) {
                (0, Some(failure)) => failure.clone(),
                (1, _) => "a promise was broken".to_owned(),
                _ => format!("{broken} promises were broken"),
            }
        );
    }
    Ok(())
}

async fn measure(settings: &LoadSettings) -> Report {
    let stop = CancellationToken::new();
    let interrupted = stop.clone();
    let mut display = Display::default();
    tokio::select! {
        // The first Ctrl-C ends the run early, with its report.
        report = Box::pin(althing_load::run(settings, &stop, |p| display.show(&p))) => report,
        () = async { let _ = tokio::signal::ctrl_c().await; interrupted.cancel(); std::future::pending().await } => {
            unreachable!("waits for ever after cancelling")
        }
    }
}

/// Raises the soft limit on open files as far as it may go.
fn allow_descriptors(occupants: usize) {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let wanted = occupants as u64 * DESCRIPTORS_EACH + 64;
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && soft < wanted
    {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, wanted.min(hard), hard);
    }
}

#[expect(clippy::print_stdout, reason = "the report is this command's output")]
fn print(report: &Report, json: bool) -> Result<()> {
    print!("{}", report.to_text());
    if json {
        println!("{}", serde_json::to_string(report)?);
    }
    Ok(())
}
