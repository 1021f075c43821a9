//! What was given for a key, and how it is understood.

use crate::file::Entry;
use crate::settings::{Advertise, Rate};
use ipnet::IpNet;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

/// A value before it is understood. Environment and flags only know text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Given {
    /// A string, or anything from the environment or a flag.
    Text(String),
    /// A number in a file.
    Integer(i64),
    /// A list in a file, its numbers written out.
    List(Vec<String>),
    /// `true` or `false` in a file.
    Bool(bool),
    /// A list of tables in a file, each with its line.
    Tables(Vec<(usize, Vec<Entry>)>),
    /// Something no key takes: its TOML type.
    Other(&'static str),
}

/// Why a value is refused: the end of the sentence "KEY …".
pub(crate) type Refusal = String;

fn expected(what: &str, got: &str) -> Refusal {
    format!("must be {what}, not {got}")
}

impl Given {
    /// How a sentence calls what is there, when a key does not take its kind.
    fn kind(&self) -> String {
        match self {
            Self::Text(text) => format!("{text:?}"),
            Self::Integer(number) => number.to_string(),
            Self::List(_) => "a list".to_owned(),
            Self::Bool(_) => "a boolean".to_owned(),
            Self::Tables(_) => "a list of tables".to_owned(),
            Self::Other(kind) => format!("a {kind}"),
        }
    }

    pub(crate) fn flag(&self) -> Result<bool, Refusal> {
        match self {
            Self::Bool(value) => Ok(*value),
            Self::Text(text) => match text.trim() {
                "true" => Ok(true),
                "false" => Ok(false),
                _ => Err(expected("true or false", &self.kind())),
            },
            _ => Err(expected("true or false", &self.kind())),
        }
    }

    /// Text that no message repeats.
    pub(crate) fn secret(&self) -> Result<&str, Refusal> {
        match self {
            Self::Text(text) => Ok(text),
            _ => Err("must be text in quotes".to_owned()),
        }
    }

    /// Text, none if it is empty.
    pub(crate) fn optional(&self) -> Result<Option<&str>, Refusal> {
        self.text().map(|text| Some(text).filter(|t| !t.is_empty()))
    }

    pub(crate) fn text(&self) -> Result<&str, Refusal> {
        match self {
            Self::Text(text) => Ok(text),
            _ => Err(expected("text in quotes", &self.kind())),
        }
    }

    /// A whole number from `0` to `max`.
    pub(crate) fn number(&self, max: u32) -> Result<u32, Refusal> {
        let what = format!("a whole number from 0 to {max}");
        let number = match self {
            Self::Integer(number) => *number,
            Self::Text(text) => text
                .trim()
                .parse()
                .map_err(|_| expected(&what, &format!("{text:?}")))?,
            _ => return Err(expected(&what, &self.kind())),
        };
        u32::try_from(number)
            .ok()
            .filter(|n| *n <= max)
            .ok_or_else(|| expected(&what, &number.to_string()))
    }

    /// A list; outside a file its items are separated by commas, and no text is no item.
    pub(crate) fn list(&self) -> Result<Vec<String>, Refusal> {
        match self {
            Self::Text(text) => Ok(text
                .split(',')
                .map(str::trim)
                .filter(|item| !item.is_empty())
                .map(str::to_owned)
                .collect()),
            Self::Integer(number) => Ok(vec![number.to_string()]),
            Self::List(items) => Ok(items.clone()),
            _ => Err(expected("a list", &self.kind())),
        }
    }

    pub(crate) fn each<T>(&self, read: fn(&str) -> Result<T, Refusal>) -> Result<Vec<T>, Refusal> {
        self.list()?.iter().map(|item| read(item)).collect()
    }
}

/// `[50, 2000]`: so much a second in the long run, so much at once.
pub(crate) fn rate(given: &Given) -> Result<Rate, Refusal> {
    let wrong = || {
        let what = "two whole numbers of 1 at least, such as [50, 2000]: per second, and at once";
        match given {
            Given::List(items) => expected(what, &format!("[{}]", items.join(", "))),
            other => expected(what, &other.kind()),
        }
    };
    let numbers: Option<Vec<u32>> = given
        .list()
        .map_err(|_| wrong())?
        .iter()
        .map(|item| item.parse().ok().filter(|n| *n > 0))
        .collect();
    match numbers.as_deref() {
        Some([per_second, at_once]) => Ok(Rate::new(*per_second, *at_once)),
        _ => Err(wrong()),
    }
}

/// `["30:16", "100:9"]`: how many from so many on.
pub(crate) fn last_n(given: &Given) -> Result<BTreeMap<usize, u32>, Refusal> {
    let mut sizes = BTreeMap::new();
    for item in given.list()? {
        let wrong = || expected("SIZE:NUMBER, such as \"30:16\"", &format!("{item:?}"));
        let (size, number) = item.split_once(':').ok_or_else(wrong)?;
        let size: u32 = size.trim().parse().map_err(|_| wrong())?;
        let number: u32 = number.trim().parse().map_err(|_| wrong())?;
        if size == 0 || size > 100_000 || number > 10_000 {
            return Err(wrong());
        }
        if sizes.insert(size as usize, number).is_some() {
            return Err(format!("has {size} people twice"));
        }
    }
    Ok(sizes)
}

/// A time as every setting has it: `0s`, `500ms`, `90s`, `5m`, `2h`; at most a week, which is longer
/// than any meeting.
///
/// # Errors
/// The end of a sentence that begins with what the time is for.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || {
        expected(
            "a time such as \"0s\", \"90s\", \"5m\" or \"2h\"",
            &format!("{text:?}"),
        )
    };
    let split = text
        .find(|c: char| !c.is_ascii_digit())
        .ok_or_else(|| wrong() + ": its unit is missing")?;
    let (number, unit) = text.split_at(split);
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let milliseconds: u64 = match unit.trim() {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(wrong()),
    };
    let duration = Duration::from_millis(number.checked_mul(milliseconds).ok_or_else(wrong)?);
    if duration > Duration::from_secs(7 * 24 * 3600) {
        return Err("must be a week at most".to_owned());
    }
    Ok(duration)
}

/// Bits per second: `800k`, `50M`, `2G`, or all digits.
pub(crate) fn bit_rate(text: &str) -> Result<u64, Refusal> {
    let wrong = || {
        expected(
            "bits per second such as \"800k\" or \"50M\"",
            &format!("{text:?}"),
        )
    };
    let text = text.trim();
    let split = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let bits = match unit.trim() {
        "" => 1,
        "k" => 1_000,
        "M" => 1_000_000,
        "G" => 1_000_000_000,
        _ => return Err(wrong()),
    };
    let rate = number.checked_mul(bits).ok_or_else(wrong)?;
    // Less than one voice, or more than any line.
    if !(64_000..=100_000_000_000).contains(&rate) {
        return Err("must be 64k at least, and 100G at most".to_owned());
    }
    Ok(rate)
}

/// `8000` and `:8000` (every interface), `127.0.0.1:8000`, `[::1]:8000`.
pub(crate) fn listen(text: &str) -> Result<SocketAddr, Refusal> {
    let port_only = text.strip_prefix(':').unwrap_or(text);
    if let Ok(port) = port_only.parse() {
        return Ok(SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port));
    }
    text.parse().map_err(|_| {
        expected(
            "addresses with a port such as \"127.0.0.1:8000\" or \"[::]:8000\", or a port alone",
            &format!("{text:?}"),
        )
    })
}

/// An address, or a network in CIDR form.
pub(crate) fn network(text: &str) -> Result<IpNet, Refusal> {
    text.parse::<IpAddr>()
        .map(IpNet::from)
        .or_else(|_| text.parse::<IpNet>().map(|n| n.trunc()))
        .map_err(|_| {
            expected(
                "addresses or networks such as \"192.0.2.7\" or \"10.0.0.0/8\"",
                &format!("{text:?}"),
            )
        })
}

/// An address of the web: `https://meet.example`. Without its slash at the end.
pub(crate) fn web_address(text: &str) -> Result<String, Refusal> {
    let rest = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"));
    let plain = |c: char| c.is_ascii_graphic() && !matches!(c, '"' | '<' | '>' | '\\');
    match rest {
        Some(rest) if !rest.is_empty() && !rest.starts_with('/') && text.chars().all(plain) => {
            Ok(text.trim_end_matches('/').to_owned())
        }
        _ => Err(expected(
            "an address such as \"https://meet.example\"",
            &format!("{text:?}"),
        )),
    }
}

pub(crate) fn address(text: &str) -> Result<IpAddr, Refusal> {
    text.parse()
        .map_err(|_| expected("addresses such as \"192.0.2.7\"", &format!("{text:?}")))
}

/// `198.51.100.7`, `198.51.100.7:20000`, `2001:db8::7`, `[2001:db8::7]:20000`.
pub(crate) fn advertise(text: &str) -> Result<Advertise, Refusal> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return refuse_unspecified(address).map(|address| Advertise {
            address,
            port: None,
        });
    }
    let both: SocketAddr = text.parse().map_err(|_| {
        expected(
            "addresses such as \"198.51.100.7\" or \"198.51.100.7:20000\" (names are not looked up)",
            &format!("{text:?}"),
        )
    })?;
    if both.port() == 0 {
        return Err(format!("needs a port other than 0 in {text:?}"));
    }
    refuse_unspecified(both.ip()).map(|address| Advertise {
        address,
        port: Some(both.port()),
    })
}

fn refuse_unspecified(address: IpAddr) -> Result<IpAddr, Refusal> {
    if address.is_unspecified() || address.is_multicast() {
        return Err(format!("cannot be {address}: no client can send there"));
    }
    Ok(address)
}

/// A DNS-like name of at least two labels, lower case (RFC 7622 §3.2 without internationalisation).
pub(crate) fn domain(text: &str) -> Result<String, Refusal> {
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    if text.len() <= 200 && text.split('.').count() >= 2 && text.split('.').all(label) {
        Ok(text.to_owned())
    } else {
        Err(expected(
            "a lower-case name such as \"meet.jitsi\"",
            &format!("{text:?}"),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_need_a_unit() {
        for (text, milliseconds) in [
            ("0s", 0),
            ("500ms", 500),
            ("5m", 300_000),
            ("2h", 7_200_000),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(milliseconds)));
        }
        for text in ["", "5", "s", "-1s", "1d", "99999999999999999999h", "1000h"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_rate_is_two_numbers() {
        let both = Rate::new(50, 2_000);
        let list = |items: &[&str]| Given::List(items.iter().map(ToString::to_string).collect());
        assert_eq!(rate(&list(&["50", "2000"])), Ok(both));
        assert_eq!(rate(&Given::Text("50, 2000".to_owned())), Ok(both));
        for wrong in [
            list(&[]),
            list(&["50"]),
            list(&["50", "0"]),
            list(&["50", "2000", "1"]),
            list(&["-1", "5"]),
            Given::Integer(50),
            Given::Text("50/s".to_owned()),
            Given::Bool(true),
        ] {
            let refusal = rate(&wrong).unwrap_err();
            assert!(refusal.contains("such as [50, 2000]"), "{refusal}");
        }
    }

    #[test]
    fn sizes_are_given_with_how_many() {
        let list = |items: &[&str]| Given::List(items.iter().map(|i| (*i).to_owned()).collect());
        assert_eq!(last_n(&list(&[])), Ok(BTreeMap::new()));
        assert_eq!(
            last_n(&list(&["100:9", "30 : 16", "500:0"])),
            Ok([(30, 16), (100, 9), (500, 0)].into())
        );
        for wrong in [
            "", "30", "30:", ":9", "0:9", "-1:9", "30:-1", "30:9:9", "1e9:1",
        ] {
            let refusal = last_n(&list(&[wrong])).unwrap_err();
            assert!(refusal.contains("such as \"30:16\""), "{refusal}");
        }
        assert_eq!(
            last_n(&list(&["30:9", "30:8"])),
            Err("has 30 people twice".to_owned())
        );
        // From the environment or a flag.
        assert_eq!(
            last_n(&Given::Text("30:16, 100:9".into())).unwrap().len(),
            2
        );
    }

    #[test]
    fn bit_rates_have_the_units_of_providers() {
        for (text, bits) in [
            ("50M", 50_000_000),
            ("800 k", 800_000),
            ("64000", 64_000),
            ("2G", 2_000_000_000),
        ] {
            assert_eq!(bit_rate(text), Ok(bits));
        }
        for text in [
            "",
            "M",
            "50Mbit",
            "-1M",
            "63k",
            "0",
            "101G",
            "99999999999999999999G",
        ] {
            assert!(bit_rate(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_port_alone_is_every_interface() {
        for text in ["8000", ":8000", "[::]:8000"] {
            assert_eq!(listen(text).unwrap().to_string(), "[::]:8000");
        }
        assert_eq!(listen("127.0.0.1:0").unwrap().port(), 0);
        for text in ["", "localhost:80", "127.0.0.1", "70000"] {
            assert!(listen(text).is_err(), "{text}");
        }
    }

    #[test]
    fn advertised_addresses_may_have_a_port() {
        let check = |text: &str, port| {
            assert_eq!(advertise(text).unwrap().port, port, "{text}");
        };
        check("198.51.100.7", None);
        check("198.51.100.7:20000", Some(20_000));
        check("2001:db8::7", None);
        check("[2001:db8::7]:20000", Some(20_000));
        for text in [
            "",
            "0.0.0.0",
            "::",
            "1.2.3.4:0",
            "meet.example",
            "224.0.0.1",
        ] {
            assert!(advertise(text).is_err(), "{text}");
        }
    }

    #[test]
    fn networks_are_addresses_or_cidr() {
        assert_eq!(network("127.0.0.1").unwrap().to_string(), "127.0.0.1/32");
        assert_eq!(network("10.1.2.3/8").unwrap().to_string(), "10.0.0.0/8");
        assert_eq!(network("fd00::/8").unwrap().to_string(), "fd00::/8");
        assert!(network("10.0.0.0/33").is_err());
    }

    #[test]
    fn domains_are_lower_case_names() {
        assert!(domain("meet.jitsi").is_ok());
        for text in [
            "",
            "meet",
            "Meet.jitsi",
            "a..b",
            "-a.b",
            "a b.c",
            "meet.jitsi:80",
        ] {
            assert!(domain(text).is_err(), "{text}");
        }
    }
}
