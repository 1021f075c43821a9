//! Who is there, and by which address did they come: decided once, from the connection and, when
//! a trusted proxy made it, from what that proxy says.

use althing_model::{ClientInfo, Origin};
use axum::http::header::{HOST, HeaderMap, HeaderName};
use axum::http::{Uri, Version};
use ipnet::IpNet;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// More hops than any sane chain of proxies has; what lies beyond is not looked at.
const MAX_HOPS: usize = 32;

/// What the connection itself tells.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arrival {
    pub peer: SocketAddr,
    pub local: SocketAddr,
    /// Whether the connection is TLS.
    pub secure: bool,
}

/// The head of a request, as far as the door reads it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Head<'a> {
    pub uri: &'a Uri,
    pub version: Version,
    pub headers: &'a HeaderMap,
}

/// What was found out.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Resolved {
    pub client: ClientInfo,
    /// The peer sent forwarding headers, and is not one that may.
    pub forwarding_ignored: bool,
}

/// The request names no host, several, or no possible one: answered 400 (RFC 9112 §3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BadHost;

/// Resolves a request's client and origin.
pub(crate) fn resolve(
    trusted: &[IpNet],
    arrival: Arrival,
    head: Head<'_>,
) -> Result<Resolved, BadHost> {
    let peer = arrival.peer.ip().to_canonical();
    let is_trusted = |address: &IpAddr| trusted.iter().any(|net| net.contains(address));
    let headers = head.headers;
    let forwards = [&FORWARDED_FOR, &FORWARDED_PROTO, &FORWARDED_HOST]
        .iter()
        .any(|name| headers.contains_key(*name));

    let mut address = peer;
    let mut secure = arrival.secure;
    let mut host = None;
    let believed = is_trusted(&peer);
    if believed && forwards {
        // Each proxy appends whom it was called by, so the list is read from its end for as long
        // as the writers are trusted: the first other address is the client, whatever stands
        // before it was written by the client itself.
        let mut hops = 1;
        for entry in list(headers, &FORWARDED_FOR).rev().take(MAX_HOPS) {
            let Some(next) = forwarded_address(entry) else {
                break;
            };
            address = next;
            if !is_trusted(&next) {
                break;
            }
            hops += 1;
        }
        if let Some(proto) = by_trusted(headers, &FORWARDED_PROTO, hops) {
            match proto.to_ascii_lowercase().as_str() {
                "https" | "wss" => secure = true,
                "http" | "ws" => secure = false,
                _ => {}
            }
        }
        host = by_trusted(headers, &FORWARDED_HOST, hops);
    }
    let authority = match host {
        Some(host) => authority(host, secure).ok_or(BadHost)?,
        None => requested_authority(arrival, head, secure)?,
    };
    Ok(Resolved {
        client: ClientInfo {
            address,
            origin: Origin { secure, authority },
        },
        forwarding_ignored: forwards && !believed,
    })
}

/// The items of a comma-separated header that may come in several lines, in order.
fn list<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl DoubleEndedIterator<Item = &'a str> {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|item| !item.is_empty())
}

/// The oldest item that one of `hops` trusted proxies wrote, if each wrote one; a single item was
/// written by the outermost.
fn by_trusted<'a>(headers: &'a HeaderMap, name: &HeaderName, hops: usize) -> Option<&'a str> {
    list(headers, name).rev().take(hops).last()
}

/// An item of `X-Forwarded-For`; some proxies add the port.
fn forwarded_address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']'));
    bare.unwrap_or(text)
        .parse::<IpAddr>()
        .or_else(|_| text.parse::<SocketAddr>().map(|both| both.ip()))
        .ok()
        .map(|address| address.to_canonical())
}

fn requested_authority(arrival: Arrival, head: Head<'_>, secure: bool) -> Result<String, BadHost> {
    let mut hosts = head.headers.get_all(HOST).iter();
    let header = match (hosts.next(), hosts.next()) {
        (_, Some(_)) => return Err(BadHost),
        (header, None) => header,
    };
    // A request line with a whole URL overrides the header (RFC 9112 §3.2.2).
    if let Some(requested) = head.uri.authority() {
        return authority(requested.as_str(), secure).ok_or(BadHost);
    }
    match header {
        Some(value) => {
            let text = value.to_str().map_err(|_| BadHost)?;
            authority(text, secure).ok_or(BadHost)
        }
        // The health checks of some load balancers still speak HTTP/1.0 without it.
        None if head.version == Version::HTTP_10 => {
            authority(&arrival.local.to_string(), secure).ok_or(BadHost)
        }
        None => Err(BadHost),
    }
}

/// `host[:port]` in lower case, without the scheme's default port; `None` when it is neither a
/// name, an IPv4 address nor a bracketed IPv6 address.
fn authority(text: &str, secure: bool) -> Option<String> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (inner, after) = rest.split_once(']')?;
            let address: Ipv6Addr = inner.parse().ok()?;
            let port = match after {
                "" => None,
                after => Some(after.strip_prefix(':')?),
            };
            (format!("[{address}]"), port)
        }
        None => {
            let (host, port) = text
                .split_once(':')
                .map_or((text, None), |(host, port)| (host, Some(port)));
            let host = host.strip_suffix('.').unwrap_or(host);
            let fits = host.len() <= 253 && host.split('.').all(is_label);
            (fits.then(|| host.to_ascii_lowercase())?, port)
        }
    };
    let default = if secure { 443 } else { 80 };
    let port = match port {
        None | Some("") => None,
        Some(port) if port.len() <= 5 && port.bytes().all(|b| b.is_ascii_digit()) => {
            Some(port.parse::<u16>().ok().filter(|p| *p != 0)?)
        }
        Some(_) => return None,
    };
    Some(match port {
        Some(port) if port != default => format!("{host}:{port}"),
        Some(_) | None => host,
    })
}

/// A label of a host name. The underscore is not allowed there, but names in container networks
/// have it.
fn is_label(label: &str) -> bool {
    !label.is_empty()
        && label.len() <= 63
        && label
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

#[cfg(test)]
mod tests;
