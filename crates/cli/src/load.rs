//! `althing load`: headless occupants against a server, and what they measured.

use althing_client::Url;
use althing_load::{LoadSettings, Progress, Report};
use anyhow::{Context as _, Result, bail};
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Two sockets and some spare for each occupant.
const DESCRIPTORS_EACH: u64 = 4;

pub(crate) fn command() -> Command {
    let number = |name: &'static str, default: &'static str, help: &'static str| {
        Arg::new(name)
            .long(name)
            .value_name("N")
            .default_value(default)
            .value_parser(value_parser!(usize))
            .help(help)
    };
    Command::new("load")
        .about("Let headless occupants meet, and measure what they hear")
        .arg(
            Arg::new("url")
                .long("url")
                .value_name("URL")
                .default_value("http://localhost:8000")
                .help("The server, as a browser would open it"),
        )
        .arg(
            Arg::new("room")
                .long("room")
                .value_name("NAME")
                .default_value("load")
                .help("The room they meet in"),
        )
        .arg(
            Arg::new("domain")
                .long("domain")
                .value_name("NAME")
                .default_value("meet.jitsi")
                .help("The server's XMPP domain"),
        )
        .arg(number(
            "occupants",
            "10",
            "Occupants in each room, named bot-0, bot-1, …",
        ))
        .arg(number(
            "rooms",
            "1",
            "Rooms; with more than one, -0, -1, … is added to the name",
        ))
        .arg(number(
            "seconds",
            "30",
            "How long everybody stays once all have joined",
        ))
        .arg(number("speakers", "3", "How many of each room send audio"))
        .arg(number("video", "0", "How many of each room send video"))
        .arg(number(
            "height",
            "180",
            "Pixels asked of every video source; 0 for no video",
        ))
        .arg(
            Arg::new("rate")
                .long("rate")
                .value_name("N")
                .default_value("25")
                .value_parser(value_parser!(f64))
                .help("Joins per second"),
        )
        .arg(
            Arg::new("insecure")
                .long("insecure")
                .action(ArgAction::SetTrue)
                .help("Believe any TLS certificate, for instance the self-signed one"),
        )
        .arg(
            Arg::new("json")
                .long("json")
                .action(ArgAction::SetTrue)
                .help("Print one JSON object, in base units, as the last line"),
        )
}

/// Runs the scenario; fails when somebody could not join.
pub(crate) fn run(matches: &ArgMatches) -> Result<()> {
    let settings = settings(matches)?;
    let json = matches.get_flag("json");
    allow_descriptors(settings.occupants * settings.rooms);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let report = runtime.block_on(measure(&settings));
    print(&report, json)?;
    if report.joined < report.occupants {
        bail!("{} of {} occupants joined", report.joined, report.occupants);
    }
    Ok(())
}

async fn measure(settings: &LoadSettings) -> Report {
    let stop = CancellationToken::new();
    let interrupted = stop.clone();
    let mut line = Line::default();
    tokio::select! {
        // The first Ctrl-C ends the run early, with its report.
        report = althing_load::run(settings, &stop, |progress| line.show(progress)) => report,
        () = async { let _ = tokio::signal::ctrl_c().await; interrupted.cancel(); std::future::pending().await } => {
            unreachable!("waits for ever after cancelling")
        }
    }
}

fn settings(matches: &ArgMatches) -> Result<LoadSettings> {
    let text = |name: &str| {
        matches
            .get_one::<String>(name)
            .expect("it has a default")
            .clone()
    };
    let number = |name: &str| *matches.get_one::<usize>(name).expect("it has a default");
    let url = text("url");
    let url: Url = url
        .parse()
        .with_context(|| format!("--url {url} is not a URL"))?;
    if number("occupants") == 0 || number("rooms") == 0 {
        bail!("--occupants and --rooms must be 1 at least");
    }
    Ok(LoadSettings {
        url,
        domain: text("domain"),
        room: text("room"),
        occupants: number("occupants"),
        rooms: number("rooms"),
        stay: Duration::from_secs(number("seconds") as u64),
        speakers: number("speakers"),
        cameras: number("video"),
        receive_height: i32::try_from(number("height")).context("--height is too large")?,
        joins_per_second: *matches.get_one::<f64>("rate").expect("it has a default"),
        accept_any_certificate: matches.get_flag("insecure"),
    })
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
    if json {
        println!("{}", serde_json::to_string(report)?);
    } else {
        print!("{}", report.to_text());
    }
    Ok(())
}

/// One line of progress on a terminal; nothing elsewhere.
#[derive(Default)]
struct Line {
    last: String,
}

impl Line {
    fn show(&mut self, progress: Progress) {
        let mut out = std::io::stderr();
        if !out.is_terminal() {
            return;
        }
        let text = match progress {
            Progress::Joining { joined, failed: 0 } => format!("joining: {joined} in the room"),
            Progress::Joining { joined, failed } => {
                format!("joining: {joined} in the room, {failed} failed")
            }
            Progress::Staying { left } => format!("staying: {} s left", left.as_secs()),
            Progress::Leaving => "leaving".to_owned(),
        };
        if text != self.last {
            let end = if progress == Progress::Leaving {
                "\n"
            } else {
                ""
            };
            let _ = write!(out, "\r{text:<50}{end}");
            let _ = out.flush();
            self.last = text;
        }
    }
}
