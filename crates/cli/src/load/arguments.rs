//! The flags of `althing load`. What is not said comes from the scenario.

use althing_client::{EncodingSettings, Network, Url};
use althing_load::{LoadSettings, Scenario};
use anyhow::{Context as _, Result, bail};
use clap::builder::PossibleValuesParser;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use std::time::Duration;

fn number(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name)
        .long(name)
        .value_name("N")
        .value_parser(value_parser!(usize))
        .help(help)
}

fn decimal(name: &'static str, unit: &'static str, help: &'static str) -> Arg {
    Arg::new(name)
        .long(name)
        .value_name(unit)
        .value_parser(value_parser!(f64))
        .allow_negative_numbers(true)
        .help(help)
}

fn text(name: &'static str, value: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name(value).help(help)
}

fn switch(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name)
        .long(name)
        .action(ArgAction::SetTrue)
        .help(help)
}

fn scenarios() -> String {
    let mut text = String::from("Scenarios:\n");
    for scenario in Scenario::ALL {
        text.push_str(&format!("  {:<11} {}\n", scenario.name(), scenario.about()));
    }
    text.push_str(
        "\nSizes follow from the number of processors; any of them can be set. The exit code is 0\n\
         when every promise of the scenario was kept. docs/develop/benchmarks.md says what the\n\
         figures mean.",
    );
    text
}

pub(crate) fn command() -> Command {
    let names = Scenario::ALL.map(Scenario::name);
    let place = "Where";
    let size = "Size (the scenario has its own)";
    let network = "A bad network, for every occupant";
    Command::new("load")
        .about("Let headless occupants meet, and measure what they hear and see")
        .after_help(scenarios())
        .arg(
            Arg::new("scenario")
                .long("scenario")
                .value_name("NAME")
                .default_value(Scenario::Meeting.name())
                .value_parser(PossibleValuesParser::new(names))
                .hide_possible_values(true)
                .help("What happens; see below"),
        )
        .arg(switch(
            "json",
            "Print one JSON object, in base units, as the last line",
        ))
        .next_help_heading(place)
        .args([
            text("url", "URL", "The server, as a browser would open it")
                .default_value("http://localhost:8000"),
            text("room", "NAME", "The room they meet in").default_value("load"),
            text("domain", "NAME", "The server's XMPP domain").default_value("meet.jitsi"),
            switch(
                "insecure",
                "Believe any TLS certificate, for instance the self-signed one",
            ),
            text(
                "metrics",
                "URL",
                "The server's metrics, for its costs: http://127.0.0.1:8080/metrics",
            ),
        ])
        .next_help_heading(size)
        .args([
            number("occupants", "Occupants in each room, named bot-0, bot-1, …"),
            number(
                "rooms",
                "Rooms; with more than one, -0, -1, … is added to the name",
            ),
            number("seconds", "How long everybody stays once all have joined"),
            decimal("rate", "N", "Joins per second"),
            number("speakers", "How many of each room send audio"),
            number("audio-kbps", "What a voice takes, in kbit/s; 11 at least"),
            number("video", "How many of each room send video"),
            text(
                "encodings",
                "LINES:KBPS,…",
                "What a camera sends, for instance 180:200,360:500,720:1500",
            ),
            number("fps", "Frames per second of a camera"),
            text(
                "height",
                "PIXELS,…",
                "Pixels asked of every video source, in turn by occupant; 0 for no video",
            ),
            number("stage-height", "Pixels asked of the source on stage"),
            number("share-kbps", "What the shared screen takes, in kbit/s"),
            decimal(
                "share-at",
                "PART",
                "When the share begins, as a part of the stay: 0.5 is half-way",
            ),
            decimal(
                "change-every",
                "SECONDS",
                "Everybody asks for another height",
            ),
            decimal("keyframes-every", "SECONDS", "Everybody asks for keyframes"),
            decimal(
                "break-every",
                "SECONDS",
                "Somebody's connections break, and he comes back",
            ),
            decimal(
                "room-lasts",
                "SECONDS",
                "A room ends, and its people meet in a new one",
            ),
            switch("no-media", "Signalling alone: no ICE, no DTLS, no packets"),
            number("threads", "Media threads of this program").default_value("1"),
        ])
        .next_help_heading(network)
        .args([
            decimal("loss", "PERCENT", "Lost of what is sent to an occupant"),
            decimal("uplink-loss", "PERCENT", "Lost of what an occupant sends"),
            number("delay", "Milliseconds added, each way"),
            number("jitter", "Milliseconds added at most, at random, each way"),
            decimal("reorder", "PERCENT", "Overtaken by what was sent later"),
            number("bandwidth", "What an occupant can receive, in kbit/s"),
            number("queue", "Milliseconds that wait for bandwidth at most").default_value("200"),
            number("seed", "Equal seeds lose the same packets").default_value("1"),
        ])
}

/// Puts what was said in place of what the scenario has.
pub(super) fn settings(matches: &ArgMatches) -> Result<LoadSettings> {
    let said = |name: &str| matches.get_one::<String>(name);
    let number = |name: &str| matches.get_one::<usize>(name).copied();
    let decimal = |name: &str| matches.get_one::<f64>(name).copied();
    let url = |name: &str| -> Result<Option<Url>> {
        said(name)
            .map(|text| {
                text.parse()
                    .with_context(|| format!("--{name} {text} is not a URL"))
            })
            .transpose()
    };
    let scenario = said("scenario")
        .and_then(|name| Scenario::find(name))
        .context("--scenario is none of those known")?;
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let address = url("url")?.context("--url is missing")?;
    let mut settings = LoadSettings::of(scenario, address, processors);
    settings.metrics = url("metrics")?;
    if settings
        .metrics
        .as_ref()
        .is_some_and(|url| url.scheme() != "http")
    {
        bail!("--metrics must begin with http: the admin listener speaks nothing else");
    }
    let everybody = |count: usize, of: usize| count == of;
    let (all_speak, all_send) = (
        everybody(settings.speakers, settings.occupants),
        everybody(settings.cameras, settings.occupants),
    );
    put(&mut settings.room, said("room").cloned());
    put(&mut settings.domain, said("domain").cloned());
    put(&mut settings.occupants, number("occupants"));
    put(&mut settings.rooms, number("rooms"));
    put(&mut settings.threads, number("threads"));
    // Where everybody sends, more people mean more senders.
    if all_speak {
        settings.speakers = settings.occupants;
    }
    if all_send {
        settings.cameras = settings.occupants;
    }
    put(&mut settings.speakers, number("speakers"));
    put(&mut settings.cameras, number("video"));
    settings.speakers = settings.speakers.min(settings.occupants);
    settings.cameras = settings.cameras.min(settings.occupants);
    put(&mut settings.joins_per_second, decimal("rate"));
    put(
        &mut settings.stay,
        number("seconds").map(|n| Duration::from_secs(n as u64)),
    );
    put(&mut settings.audio_bitrate, kbps(number("audio-kbps"))?);
    if let Some(text) = said("encodings") {
        settings.video.encodings = encodings(text)?;
    }
    if let Some(fps) = number("fps") {
        settings.video.frame_rate = u32::try_from(fps.clamp(1, 60))?;
    }
    if let Some(text) = said("height") {
        settings.heights = heights(text)?;
    }
    if let Some(height) = number("stage-height") {
        settings.stage_height = Some(i32::try_from(height).context("--stage-height is too large")?);
    }
    if let Some(share) = &mut settings.share {
        put(&mut share.at, decimal("share-at"));
        if let Some(bitrate) = kbps(number("share-kbps"))? {
            for encoding in &mut share.video.encodings {
                encoding.bitrate = bitrate;
            }
        }
    }
    let every = |name: &str| -> Result<Option<Duration>> {
        match decimal(name) {
            Some(seconds) if seconds > 0.0 && seconds < 1e6 => {
                Ok(Some(Duration::from_secs_f64(seconds)))
            }
            Some(seconds) => bail!("--{name} {seconds} is no time to wait"),
            None => Ok(None),
        }
    };
    put_some(&mut settings.change_every, every("change-every")?);
    put_some(&mut settings.keyframes_every, every("keyframes-every")?);
    put_some(&mut settings.break_every, every("break-every")?);
    put_some(&mut settings.room_lasts, every("room-lasts")?);
    settings.media = !matches.get_flag("no-media");
    settings.accept_any_certificate = matches.get_flag("insecure");
    networks(matches, &mut settings)?;
    check(matches, &settings)?;
    Ok(settings)
}

fn put<T>(field: &mut T, said: Option<T>) {
    if let Some(said) = said {
        *field = said;
    }
}

fn put_some<T>(field: &mut Option<T>, said: Option<T>) {
    if said.is_some() {
        *field = said;
    }
}

fn kbps(kilobits: Option<usize>) -> Result<Option<u32>> {
    kilobits
        .map(|k| u32::try_from(k * 1_000).context("that many kbit/s are too many"))
        .transpose()
}

fn encodings(text: &str) -> Result<Vec<EncodingSettings>> {
    let wrong = || format!("--encodings {text} is not LINES:KBPS,…");
    let encodings = text
        .split(',')
        .map(|part| {
            let (height, kilobits) = part.split_once(':').with_context(wrong)?;
            let kilobits: u32 = kilobits.parse().with_context(wrong)?;
            Ok(EncodingSettings {
                height: height.parse().with_context(wrong)?,
                bitrate: kilobits.checked_mul(1_000).with_context(wrong)?,
            })
        })
        .collect::<Result<Vec<_>>>()?;
    if encodings.is_empty() || encodings.len() > 3 {
        bail!("--encodings takes one to three");
    }
    Ok(encodings)
}

fn heights(text: &str) -> Result<Vec<i32>> {
    text.split(',')
        .map(|height| {
            let wrong = || format!("--height {text} is not PIXELS,…");
            height.trim().parse().with_context(wrong)
        })
        .collect()
}

fn networks(matches: &ArgMatches, settings: &mut LoadSettings) -> Result<()> {
    let part = |name: &str| -> Result<f64> {
        let percent = matches.get_one::<f64>(name).copied().unwrap_or(0.0);
        if !(0.0..=100.0).contains(&percent) {
            bail!("--{name} {percent} is no percentage");
        }
        Ok(percent / 100.0)
    };
    let millis = |name: &str| {
        let millis = matches.get_one::<usize>(name).copied().unwrap_or(0);
        // A minute is longer than anybody waits, and what waits is kept in memory.
        Duration::from_millis(millis.min(60_000) as u64)
    };
    let seed = matches.get_one::<usize>("seed").copied().unwrap_or(1) as u64;
    let each_way = Network {
        delay: millis("delay"),
        jitter: millis("jitter"),
        reordered: part("reorder")?,
        queue: millis("queue"),
        seed,
        ..Network::default()
    };
    settings.downlink = Network {
        loss: part("loss")?,
        bandwidth: matches
            .get_one::<usize>("bandwidth")
            .map(|kilobits| *kilobits as u64 * 1_000),
        ..each_way
    };
    settings.uplink = Network {
        loss: part("uplink-loss")?,
        ..each_way
    };
    Ok(())
}

fn check(matches: &ArgMatches, settings: &LoadSettings) -> Result<()> {
    if settings.occupants == 0 || settings.rooms == 0 {
        bail!("--occupants and --rooms must be 1 at least");
    }
    if !(settings.joins_per_second > 0.0 && settings.joins_per_second <= 1e5) {
        bail!("--rate must be above 0");
    }
    for flag in ["share-at", "share-kbps"] {
        let given = matches.value_source(flag) == Some(ValueSource::CommandLine);
        if given && settings.share.is_none() {
            bail!("--{flag}: nobody shares a screen in this scenario");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(flags: &[&str]) -> Result<LoadSettings> {
        let words = std::iter::once(&"load").chain(flags);
        settings(&command().try_get_matches_from(words)?)
    }

    #[test]
    fn a_scenario_has_sizes_and_flags_change_them() {
        let hall = parse(&["--scenario", "hall", "--occupants", "7", "--speakers", "2"]).unwrap();
        assert_eq!((hall.occupants, hall.speakers), (7, 2));
        assert_eq!(hall.heights, [0]);
        let star = parse(&["--scenario", "star", "--occupants", "4"]).unwrap();
        assert_eq!((star.speakers, star.cameras), (4, 4));
        let stream = parse(&["--scenario", "stream", "--height", "180,720"]).unwrap();
        assert_eq!(stream.heights, [180, 720]);
        assert_eq!(stream.video.encodings.len(), 3);
    }

    #[test]
    fn a_network_is_as_bad_as_asked_for() {
        let bad = parse(&["--loss", "2.5", "--delay", "40", "--bandwidth", "1000"]).unwrap();
        assert_eq!(bad.downlink.loss, 0.025);
        assert_eq!(bad.downlink.bandwidth, Some(1_000_000));
        assert_eq!(bad.uplink.delay, Duration::from_millis(40));
        assert_eq!((bad.uplink.loss, bad.uplink.bandwidth), (0.0, None));
        assert!(bad.is_lossy() && !parse(&[]).unwrap().is_lossy());
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_its_flag() {
        for flags in [
            &["--encodings", "180"][..],
            &["--encodings", "1:1,2:2,3:3,4:4"],
            &["--height", "much"],
            &["--loss", "101"],
            &["--occupants", "0"],
            &["--rate", "0"],
            &["--share-at", "0.5"],
            &["--metrics", "https://localhost/metrics"],
            &["--change-every", "-1"],
        ] {
            let error = parse(flags).expect_err("refused").to_string();
            let flag = flags[0].trim_start_matches("--");
            assert!(error.contains(flag), "{flags:?}: {error}");
        }
        assert!(parse(&["--scenario", "flood"]).is_err());
    }

    #[test]
    fn help_names_every_scenario() {
        let help = command().render_help().to_string();
        for scenario in Scenario::ALL {
            assert!(help.contains(scenario.name()), "{help}");
        }
    }
}
