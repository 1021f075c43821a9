//! What `serve` prints when it is ready: for a person, so that the next step is a click.

use althing_http::Addresses;
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

/// Everything the announcement tells.
#[derive(Debug)]
pub(crate) struct Facts<'a> {
    pub http: &'a Addresses,
    /// Addresses of this machine that others can reach.
    pub machine: &'a [IpAddr],
    /// What clients are told to send media to.
    pub candidates: &'a [SocketAddr],
    pub data: &'a Path,
}

/// The announcement.
pub(crate) fn text(facts: &Facts<'_>) -> String {
    let mut text = format!("Althing {} is running.\n", crate::VERSION);
    let here: Vec<_> = plain_urls(facts).collect();
    if !here.is_empty() {
        text += "\nOn this machine, open\n";
        text += &lines(&here);
    }
    let elsewhere = tls_urls(facts);
    if !elsewhere.is_empty() {
        text += "\nOn phones and other computers, open (the browser warns once, since the \
                 certificate is self-signed)\n";
        text += &lines(&elsewhere);
    }
    text += "\nMedia, UDP\n";
    if facts.candidates.is_empty() {
        text += "  no address that a client could send to\n";
    } else {
        text += &lines(facts.candidates);
    }
    let admin: Vec<_> = facts
        .http
        .admin
        .iter()
        .map(|address| format!("http://{address}/metrics"))
        .collect();
    if !admin.is_empty() {
        text += "\nFor you alone\n";
        text += &lines(&admin);
    }
    // Writing to a string does not fail.
    let _ = write!(text, "\nData: {}\nCtrl-C ends it.\n", facts.data.display());
    text
}

fn lines<T: ToString>(items: &[T]) -> String {
    items
        .iter()
        .map(|item| format!("  {}\n", item.to_string()))
        .collect()
}

fn plain_urls<'a>(facts: &'a Facts<'_>) -> impl Iterator<Item = String> + 'a {
    facts.http.plain.iter().map(|address| {
        if address.ip().is_unspecified() {
            format!("http://localhost:{}/", address.port())
        } else {
            format!("http://{address}/")
        }
    })
}

fn tls_urls(facts: &Facts<'_>) -> Vec<String> {
    let mut urls = Vec::new();
    for address in &facts.http.tls {
        if !address.ip().is_unspecified() {
            urls.push(format!("https://{address}/"));
            continue;
        }
        // `[::]` takes both families, `0.0.0.0` only its own.
        let reached = facts
            .machine
            .iter()
            .filter(|machine| address.is_ipv6() || machine.is_ipv4())
            .map(|machine| format!("https://{}/", SocketAddr::new(*machine, address.port())));
        urls.extend(reached);
    }
    urls
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_names_every_url_and_candidate() {
        let http = Addresses {
            plain: vec!["[::]:8000".parse().unwrap()],
            tls: vec!["[::]:8443".parse().unwrap()],
            admin: vec!["127.0.0.1:8080".parse().unwrap()],
        };
        let text = text(&Facts {
            http: &http,
            machine: &["192.0.2.7".parse().unwrap(), "2001:db8::7".parse().unwrap()],
            candidates: &["192.0.2.7:10000".parse().unwrap()],
            data: Path::new("./data"),
        });
        for line in [
            "  http://localhost:8000/\n",
            "  https://192.0.2.7:8443/\n",
            "  https://[2001:db8::7]:8443/\n",
            "  192.0.2.7:10000\n",
            "  http://127.0.0.1:8080/metrics\n",
            "Data: ./data\n",
        ] {
            assert!(text.contains(line), "{line:?} is missing in\n{text}");
        }
    }

    #[test]
    fn an_ipv4_wildcard_reaches_no_ipv6_address() {
        let http = Addresses {
            tls: vec!["0.0.0.0:1".parse().unwrap(), "127.0.0.1:2".parse().unwrap()],
            ..Addresses::default()
        };
        let facts = Facts {
            http: &http,
            machine: &["192.0.2.7".parse().unwrap(), "2001:db8::7".parse().unwrap()],
            candidates: &[],
            data: Path::new("x"),
        };
        assert_eq!(
            tls_urls(&facts),
            ["https://192.0.2.7:1/", "https://127.0.0.1:2/"]
        );
    }
}
