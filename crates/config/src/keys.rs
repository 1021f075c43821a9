use crate::api;
use crate::auth;
use crate::settings::{AuthKeySource, Hosts, LogFormat, Moderators, SecretSource, Settings};
use crate::value::{self, Given, Refusal};
use althing_model::{MediaMode, Secret};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

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
    KEYS.iter().any(|key| key.section == Some(name))
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
    KEYS.iter()
        .map(name_of)
        .max_by(|a, b| score(a).total_cmp(&score(b)))
        .unwrap_or_default()
}

/// Shorter, and a train in a tunnel is gone; longer, and those who are gone stay in everybody's view.
const RESUME_TIMES: RangeInclusive<Duration> = Duration::from_secs(5)..=Duration::from_secs(600);

pub(crate) fn positive(value: &Given, max: u32) -> Result<usize, Refusal> {
    match value.number(max)? {
        0 => Err("must be 1 at least".to_owned()),
        number => Ok(number as usize),
    }
}

/// Every key there is, in the order of the example file.
pub const KEYS: &[Key] = &[
    Key {
        section: None,
        name: "domain",
        value_name: "NAME",
        default: "\"meet.jitsi\"",
        doc: "The XMPP domain that clients are told. It is a name inside the protocol and has \
              nothing to do with the address people open, so there is seldom a reason to change it.",
        set: |s, v| value::domain(v.text()?).map(|domain| s.domain = domain),
    },
    Key {
        section: None,
        name: "data",
        value_name: "DIR",
        default: "\"\"",
        doc: "The directory everything is kept in; nothing is written elsewhere. It is made \
              private (mode 0700), and one process at a time may use it. Empty is $STATE_DIRECTORY \
              (set by systemd), else ./data.",
        set: |s, v| {
            let text = v.text()?;
            s.data = (!text.is_empty()).then(|| PathBuf::from(text));
            Ok(())
        },
    },
    Key {
        section: None,
        name: "drain_timeout",
        value_name: "TIME",
        default: "\"0s\"",
        doc: "After SIGTERM, how long to wait for meetings to end before ending all the same; new \
              meetings are refused meanwhile. A second signal ends the wait; so does Ctrl-C. At 0s \
              SIGTERM ends meetings at once, and people come back by themselves when Althing does.",
        set: |s, v| value::duration(v.text()?).map(|time| s.drain_timeout = time),
    },
    Key {
        section: Some("http"),
        name: "listen",
        value_name: "ADDRESSES",
        default: "[\"[::]:8000\"]",
        doc: "Where plain HTTP is served: for a reverse proxy that does HTTPS, and for \
              http://localhost. \"[::]\" is every interface, IPv4 and IPv6. An empty list turns it \
              off.",
        set: |s, v| v.each(value::listen).map(|all| s.http.listen = all),
    },
    Key {
        section: Some("http"),
        name: "tls_listen",
        value_name: "ADDRESSES",
        default: "[\"[::]:8443\"]",
        doc: "Where HTTPS is served with a certificate that Althing makes for itself: browsers \
              warn once, but give camera and microphone only to HTTPS (or localhost). An empty \
              list turns it off.",
        set: |s, v| v.each(value::listen).map(|all| s.http.tls_listen = all),
    },
    Key {
        section: Some("http"),
        name: "admin_listen",
        value_name: "ADDRESSES",
        default: "[\"127.0.0.1:8080\"]",
        doc: "Where /metrics, /about, /colibri and /debug are served, over plain HTTP. They ask \
              for no password: keep this private. An empty list turns it off.",
        set: |s, v| v.each(value::listen).map(|all| s.http.admin_listen = all),
    },
    Key {
        section: Some("http"),
        name: "trusted_proxies",
        value_name: "NETWORKS",
        default: "[\"127.0.0.0/8\", \"::1/128\"]",
        doc: "Addresses and networks of the reverse proxies in front of Althing. Only they are \
              believed when they say by X-Forwarded-For, X-Forwarded-Proto and X-Forwarded-Host \
              who the client is and which address it opened.",
        set: |s, v| {
            v.each(value::network)
                .map(|all| s.http.trusted_proxies = all)
        },
    },
    Key {
        section: Some("http"),
        name: "public_url",
        value_name: "URL",
        default: "\"\"",
        doc: "The address people open, such as \"https://meet.example\", for links that Althing \
              prints. Nothing else depends on it: clients are told the address they opened.",
        set: |s, v| {
            s.http.public_url = v.optional()?.map(value::web_address).transpose()?;
            Ok(())
        },
    },
    Key {
        section: Some("media"),
        name: "port",
        value_name: "PORT",
        default: "10000",
        doc: "The one UDP port for audio and video; clients must reach it. 0 lets the operating \
              system choose.",
        set: |s, v| {
            let number = v.number(u16::MAX.into())?;
            s.media.port = u16::try_from(number).map_err(|e| e.to_string())?;
            Ok(())
        },
    },
    Key {
        section: Some("media"),
        name: "bind",
        value_name: "ADDRESSES",
        default: "[]",
        doc: "Local addresses to use for media. Empty is every interface.",
        set: |s, v| v.each(value::address).map(|all| s.media.bind = all),
    },
    Key {
        section: Some("media"),
        name: "advertise",
        value_name: "ADDRESSES",
        default: "[]",
        doc: "Addresses to tell clients besides the local ones, when a router passes them on to \
              this machine (DNAT): \"198.51.100.7\", or \"198.51.100.7:20000\" when its port \
              differs.",
        set: |s, v| v.each(value::advertise).map(|all| s.media.advertise = all),
    },
    Key {
        section: Some("media"),
        name: "workers",
        value_name: "NUMBER",
        default: "0",
        doc: "Threads that forward media, 8 at most. 0 is one for each processor.",
        set: |s, v| v.number(8).map(|n| s.media.workers = n as usize),
    },
    Key {
        section: Some("media"),
        name: "split_above",
        value_name: "NUMBER",
        default: "40",
        doc: "So many people of one meeting are served by one thread that forwards media; further ones \
              go to the thread that has fewest people, so that a large meeting uses all processors. \
              0 keeps every meeting on one thread.",
        set: |s, v| v.number(100_000).map(|n| s.media.split_above = n as usize),
    },
    Key {
        section: Some("media"),
        name: "mode",
        value_name: "MODE",
        default: "\"all\"",
        doc: "What rooms are for: all, or audio. In an audio hall there are no cameras and no screens \
              at any level, and who comes into one of more than ten people listens first. A room's \
              own section, or its plan, may say otherwise.",
        set: |s, v| media_mode(v).map(|mode| s.media.mode = mode),
    },
    Key {
        section: Some("media"),
        name: "redundant_audio",
        value_name: "BOOL",
        default: "true",
        doc: "Whether clients that can send each piece of sound twice (RED): a lost packet is then \
              made up for by the next, and sound takes about twice the bits. Others are sent it once.",
        set: |s, v| v.flag().map(|red| s.media.redundant_audio = red),
    },
    Key {
        section: Some("media"),
        name: "shed_load",
        value_name: "BOOL",
        default: "true",
        doc: "Whether a thread that forwards media and has too much to do sends people fewer and \
              smaller pictures, and refuses newcomers last; sound is never touched. Off, everybody \
              loses something of everything.",
        set: |s, v| v.flag().map(|shed| s.media.shed_load = shed),
    },
    Key {
        section: Some("log"),
        name: "level",
        value_name: "LEVEL",
        default: "\"info\"",
        doc: "What is logged: error, warn, info or debug; or by part, such as \
              \"info,althing_signalling=debug\".",
        set: |s, v| {
            let text = v.text()?;
            if text.trim().is_empty() {
                return Err("must not be empty".to_owned());
            }
            s.log.level = text.to_owned();
            Ok(())
        },
    },
    Key {
        section: Some("log"),
        name: "format",
        value_name: "FORMAT",
        default: "\"text\"",
        doc: "How a log line is written: \"text\" for people, \"json\" for a log collector.",
        set: |s, v| {
            s.log.format = match v.text()? {
                "text" => LogFormat::Text,
                "json" => LogFormat::Json,
                other => return Err(format!("must be \"text\" or \"json\", not {other:?}")),
            };
            Ok(())
        },
    },
    Key {
        section: Some("rooms"),
        name: "max_occupants",
        value_name: "NUMBER",
        default: "1000",
        doc: "How many people fit in one room.",
        set: |s, v| positive(v, 100_000).map(|n| s.rooms.max_occupants = n),
    },
    Key {
        section: Some("rooms"),
        name: "max_rooms",
        value_name: "NUMBER",
        default: "10000",
        doc: "How many rooms may be open at once.",
        set: |s, v| positive(v, 1_000_000).map(|n| s.rooms.max_rooms = n),
    },
    Key {
        section: Some("rooms"),
        name: "max_sessions",
        value_name: "NUMBER",
        default: "20000",
        doc: "How many clients may be connected at once, in all rooms together.",
        set: |s, v| positive(v, 1_000_000).map(|n| s.rooms.max_sessions = n),
    },
    Key {
        section: Some("rooms"),
        name: "lobby_names",
        value_name: "BOOL",
        default: "true",
        doc: "Whether whoever asks to be let in from a lobby has to say a name.",
        set: |s, v| v.flag().map(|required| s.rooms.lobby_names = required),
    },
    Key {
        section: Some("limits"),
        name: "resume_time",
        value_name: "TIME",
        default: "\"60s\"",
        doc: "How long somebody who lost the connection is waited for, in their place, before the \
              others see them go: 5s to 10m.",
        set: |s, v| {
            let time = value::duration(v.text()?)?;
            if !RESUME_TIMES.contains(&time) {
                return Err("must be 5s to 10m".to_owned());
            }
            s.limits.resume_time = time;
            Ok(())
        },
    },
    Key {
        section: Some("limits"),
        name: "waiting",
        value_name: "NUMBER",
        default: "5000",
        doc: "How many may be waited for at once, in all; whoever loses the connection beyond that \
              is gone at once.",
        set: |s, v| positive(v, 1_000_000).map(|n| s.limits.waiting = n),
    },
    Key {
        section: Some("limits"),
        name: "address_waiting",
        value_name: "NUMBER",
        default: "2000",
        doc: "How many of them may come from one address. An address here and below is one of IPv4, \
              or a /64 of IPv6; whole schools stand behind one.",
        set: |s, v| positive(v, 1_000_000).map(|n| s.limits.address_waiting = n),
    },
    Key {
        section: Some("limits"),
        name: "address_connections",
        value_name: "NUMBER",
        default: "5000",
        doc: "How many connections one address may have at once.",
        set: |s, v| positive(v, 1_000_000).map(|n| s.limits.address_connections = n),
    },
    Key {
        section: Some("limits"),
        name: "address_opened",
        value_name: "RATE",
        default: "[50, 5000]",
        doc: "How many connections one address may open: per second in the long run, and at once.",
        set: |s, v| value::rate(v).map(|rate| s.limits.address_opened = rate),
    },
    Key {
        section: Some("limits"),
        name: "address_joins",
        value_name: "RATE",
        default: "[50, 2000]",
        doc: "How often one address may join rooms: per second in the long run, and at once.",
        set: |s, v| value::rate(v).map(|rate| s.limits.address_joins = rate),
    },
    Key {
        section: Some("limits"),
        name: "address_rooms",
        value_name: "RATE",
        default: "[20, 1000]",
        doc: "How many rooms one address may make: per second in the long run, and at once.",
        set: |s, v| value::rate(v).map(|rate| s.limits.address_rooms = rate),
    },
    Key {
        section: Some("limits"),
        name: "address_stanzas",
        value_name: "RATE",
        default: "[10000, 100000]",
        doc: "How many stanzas one address may send: per second in the long run, and at once. One \
              that sends more is read more slowly.",
        set: |s, v| value::rate(v).map(|rate| s.limits.address_stanzas = rate),
    },
    Key {
        section: Some("limits"),
        name: "address_bytes",
        value_name: "RATE",
        default: "[20971520, 209715200]",
        doc: "How many bytes one address may send: per second in the long run, and at once. One that \
              sends more is read more slowly.",
        set: |s, v| value::rate(v).map(|rate| s.limits.address_bytes = rate),
    },
    Key {
        section: Some("endpoint"),
        name: "bit_rate",
        value_name: "RATE",
        default: "\"50M\"",
        doc: "How much media one client may send in the long run, in bits per second; of this and \
              the next two, two seconds' worth may come at once. What is beyond is dropped. A \
              shared 4K screen beside a camera is about 25M.",
        set: |s, v| value::bit_rate(v.text()?).map(|rate| s.endpoint.bit_rate = rate),
    },
    Key {
        section: Some("endpoint"),
        name: "packets",
        value_name: "NUMBER",
        default: "10000",
        doc: "How many packets of media one client may send per second in the long run.",
        set: |s, v| rate(v, 1_000_000).map(|n| s.endpoint.packets = n),
    },
    Key {
        section: Some("endpoint"),
        name: "rtcp_packets",
        value_name: "NUMBER",
        default: "1000",
        doc: "How many reports and requests (RTCP) one client may send per second in the long run.",
        set: |s, v| rate(v, 1_000_000).map(|n| s.endpoint.rtcp_packets = n),
    },
    Key {
        section: Some("endpoint"),
        name: "sources",
        value_name: "NUMBER",
        default: "20",
        doc: "How many microphones, cameras and screens one client may send at once.",
        set: |s, v| positive(v, 1_000).map(|n| s.endpoint.sources = n),
    },
    Key {
        section: Some("endpoint"),
        name: "ssrcs",
        value_name: "NUMBER",
        default: "20",
        doc: "How many SSRCs, and how many groups of them, one client may have. A camera in three \
              resolutions has six.",
        set: |s, v| positive(v, 1_000).map(|n| s.endpoint.ssrcs = n),
    },
    Key {
        section: Some("endpoint"),
        name: "keyframe_requests",
        value_name: "NUMBER",
        default: "25",
        doc: "How many pictures one client may ask others to send anew (keyframes) per second in \
              the long run.",
        set: |s, v| rate(v, 100_000).map(|n| s.endpoint.keyframe_requests = n),
    },
    Key {
        section: Some("endpoint"),
        name: "messages",
        value_name: "NUMBER",
        default: "100",
        doc: "How many messages one client may send on its bridge channel per second in the long \
              run; a message counts once for each KiB of it.",
        set: |s, v| rate(v, 100_000).map(|n| s.endpoint.messages = n),
    },
    Key {
        section: Some("auth"),
        name: "hosts",
        value_name: "WHO",
        default: "\"everyone\"",
        doc: "Who may open a room that nobody is in: \"everyone\", or \"authenticated\", which is \
              people with a token (JWT); guests then wait until one of them is there.",
        set: |s, v| {
            s.auth.hosts = hosts(v)?;
            Ok(())
        },
    },
    Key {
        section: Some("auth"),
        name: "guests",
        value_name: "BOOL",
        default: "true",
        doc: "Whether people without a token may come in at all.",
        set: |s, v| v.flag().map(|guests| s.auth.guests = guests),
    },
    Key {
        section: Some("auth"),
        name: "moderators",
        value_name: "WHO",
        default: "\"first\"",
        doc: "Who becomes a moderator, unless a token says it of its holder: \"first\", whoever is \
              first in the room, and when they leave the next; \"authenticated\", everybody with \
              a token; \"everyone\".",
        set: |s, v| {
            s.auth.moderators = moderators(v)?;
            Ok(())
        },
    },
    Key {
        section: Some("auth"),
        name: "login_url",
        value_name: "URL",
        default: "\"\"",
        doc: "Where clients send people to log in; that page brings them back with a token \
              (tokenAuthUrl in config.js). {room}, {state} and {code_challenge} are filled in by \
              the client.",
        set: |s, v| {
            s.auth.login_url = match v.optional()? {
                Some(text) => value::web_address(text).map(|_| Some(text.to_owned()))?,
                None => None,
            };
            Ok(())
        },
    },
    Key {
        section: Some("auth"),
        name: "secret",
        value_name: "SECRET",
        default: "\"\"",
        doc: "The secret that tokens are signed with (HS256), shared with whoever makes them; long \
              and random, such as \"openssl rand -hex 32\" prints. For other keys see \
              [[auth.key]] below.",
        set: |s, v| {
            let secret = Secret::new(v.secret()?);
            auth::put(s, AuthKeySource::Secret(secret));
            Ok(())
        },
    },
    Key {
        section: Some("auth"),
        name: "secret_file",
        value_name: "FILE",
        default: "\"\"",
        doc: "A file that holds the secret instead; white space at its end does not count.",
        set: |s, v| {
            auth::put(s, AuthKeySource::SecretFile(v.text()?.into()));
            Ok(())
        },
    },
    Key {
        section: Some("auth.token"),
        name: "issuers",
        value_name: "NAMES",
        default: "[\"*\"]",
        doc: "Whose tokens are accepted: the claim \"iss\" must be one of these. \"*\" is any.",
        set: |s, v| v.list().map(|all| s.auth.token.issuers = all),
    },
    Key {
        section: Some("auth.token"),
        name: "audiences",
        value_name: "NAMES",
        default: "[\"*\"]",
        doc: "For whom accepted tokens are: the claim \"aud\" must be, or hold, one of these. \"*\" \
              is any. When a login server signs tokens for other programs too, name yours here, or \
              each of those tokens opens your rooms.",
        set: |s, v| v.list().map(|all| s.auth.token.audiences = all),
    },
    Key {
        section: Some("auth.token"),
        name: "clock_skew",
        value_name: "TIME",
        default: "\"30s\"",
        doc: "How far the clock of whoever makes tokens may differ from this one; 10m at most.",
        set: |s, v| {
            let skew = value::duration(v.text()?)?;
            if skew > Duration::from_secs(600) {
                return Err("must be 10m at most".to_owned());
            }
            s.auth.token.clock_skew = skew;
            Ok(())
        },
    },
    Key {
        section: Some("auth.token"),
        name: "require_exp",
        value_name: "BOOL",
        default: "false",
        doc: "Whether a token without an end (claim \"exp\") is refused.",
        set: |s, v| v.flag().map(|required| s.auth.token.require_exp = required),
    },
    Key {
        section: Some("auth.token"),
        name: "require_room",
        value_name: "BOOL",
        default: "true",
        doc: "Whether a token that names no room (claim \"room\") is refused. When off, such a token \
              opens every room, as those of a login server do.",
        set: |s, v| {
            v.flag()
                .map(|required| s.auth.token.require_room = required)
        },
    },
    Key {
        section: Some("auth.token"),
        name: "verify_domain",
        value_name: "BOOL",
        default: "false",
        doc: "Whether the claim \"sub\" must be the tenant of the room, or the domain for a room \
              without one; \"*\" is any.",
        set: |s, v| v.flag().map(|verify| s.auth.token.verify_domain = verify),
    },
    Key {
        section: Some("api"),
        name: "secret",
        value_name: "SECRET",
        default: "\"\"",
        doc: "The key of the interface for other programs below /api/v1, on all listeners: whoever \
              has it sees and ends every room. 16 characters at least, such as \"openssl rand -hex \
              32\" prints. Without a key there is no such interface.",
        set: |s, v| api::put(s, SecretSource::Secret(Secret::new(v.secret()?))),
    },
    Key {
        section: Some("api"),
        name: "secret_file",
        value_name: "FILE",
        default: "\"\"",
        doc: "A file that holds the key instead; white space at its end does not count.",
        set: |s, v| api::put(s, SecretSource::File(v.text()?.into())),
    },
    Key {
        section: Some("audit"),
        name: "enabled",
        value_name: "BOOL",
        default: "true",
        doc: "Whether what moderators and keys of the interface do is written down, with the names \
              of whom they do it to: audit/YEAR-MONTH.jsonl in the data directory. Nothing is ever \
              deleted there but by you.",
        set: |s, v| v.flag().map(|enabled| s.audit.enabled = enabled),
    },
    Key {
        section: Some("audit"),
        name: "attendance",
        value_name: "BOOL",
        default: "false",
        doc: "Whether it is also written down there who came, knocked and left, and when.",
        set: |s, v| v.flag().map(|attendance| s.audit.attendance = attendance),
    },
];

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
            let names: HashSet<_> = KEYS.iter().map(name_of).collect();
            assert_eq!(names.len(), KEYS.len());
        }
        for key in KEYS {
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
