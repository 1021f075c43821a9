use crate::element::Element;
use crate::ns;
use althing_model::Secret;
use std::net::{IpAddr, SocketAddr};

/// A `<transport>` as read, in either direction.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Transport {
    /// ICE user name fragment.
    pub ufrag: Option<String>,
    /// ICE password.
    pub password: Option<Secret>,
    /// DTLS fingerprints.
    pub fingerprints: Vec<Fingerprint>,
    /// Candidates whose address is a literal; others (mDNS names) are passed over.
    pub candidates: Vec<Candidate>,
    /// Bridge channel URLs.
    pub web_sockets: Vec<String>,
    /// Which in-place ICE restart this belongs to, if any.
    pub ice_generation: Option<u32>,
}

/// A certificate fingerprint (RFC 8122) and the DTLS role offered with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprint {
    /// `sha-256`, …
    pub algorithm: String,
    /// Upper-case hex with colons.
    pub value: String,
    /// Who begins the handshake.
    pub setup: Option<Setup>,
}

/// Who begins the DTLS handshake (RFC 4145).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Setup {
    /// Either; the other side chooses.
    ActPass,
    /// The sender of this.
    Active,
    /// The receiver of this.
    Passive,
}

impl Setup {
    /// As written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ActPass => "actpass",
            Self::Active => "active",
            Self::Passive => "passive",
        }
    }

    /// As read.
    #[must_use]
    pub fn parse(value: &str) -> Option<Self> {
        match value {
            "actpass" => Some(Self::ActPass),
            "active" => Some(Self::Active),
            "passive" => Some(Self::Passive),
            _ => None,
        }
    }
}

/// One ICE candidate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// RFC 8445 §5.1.1.3.
    pub foundation: String,
    /// RFC 8445 §5.1.2.
    pub priority: u32,
    /// Over TCP rather than UDP.
    pub tcp: bool,
    /// Where to send to.
    pub address: SocketAddr,
    /// Where it comes from.
    pub kind: CandidateType,
    /// The base of a mapped candidate.
    pub related: Option<SocketAddr>,
}

/// Where a candidate comes from (RFC 8445 §5.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CandidateType {
    /// An interface.
    Host,
    /// Mapped by a NAT, as told by a server.
    ServerReflexive,
    /// Mapped by a NAT, as seen by a peer.
    PeerReflexive,
    /// A TURN server.
    Relayed,
}

impl CandidateType {
    /// As written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::ServerReflexive => "srflx",
            Self::PeerReflexive => "prflx",
            Self::Relayed => "relay",
        }
    }

    fn parse(value: &str) -> Option<Self> {
        match value {
            "host" => Some(Self::Host),
            "srflx" => Some(Self::ServerReflexive),
            "prflx" => Some(Self::PeerReflexive),
            "relay" => Some(Self::Relayed),
            _ => None,
        }
    }
}

impl Transport {
    /// Reads a `<transport>`.
    #[must_use]
    pub fn read(element: &Element) -> Self {
        let mut out = Self {
            ufrag: element.attr("ufrag").map(str::to_owned),
            password: element.attr("pwd").map(Secret::new),
            ice_generation: element.attr("ice-generation").and_then(|g| g.parse().ok()),
            ..Self::default()
        };
        for child in element.children() {
            match (child.name(), child.ns()) {
                ("fingerprint", ns::DTLS) => out.fingerprints.extend(read_fingerprint(child)),
                ("candidate", ns::ICE_UDP) => out.candidates.extend(read_candidate(child)),
                ("web-socket", ns::COLIBRI) => {
                    out.web_sockets.extend(child.attr("url").map(str::to_owned));
                }
                _ => {}
            }
        }
        out
    }

    /// The first transport of any content.
    #[must_use]
    pub fn first_of(jingle: &Element) -> Option<Self> {
        super::xml::contents(jingle)
            .find_map(|content| content.child("transport", ns::ICE_UDP))
            .map(Self::read)
    }
}

fn read_fingerprint(element: &Element) -> Option<Fingerprint> {
    Some(Fingerprint {
        algorithm: element.attr("hash")?.to_ascii_lowercase(),
        value: element.text().trim().to_ascii_uppercase(),
        setup: element.attr("setup").and_then(Setup::parse),
    })
}

fn read_candidate(element: &Element) -> Option<Candidate> {
    if element.attr("component").is_some_and(|c| c != "1") {
        return None;
    }
    let ip: IpAddr = element.attr("ip")?.parse().ok()?;
    let address = SocketAddr::new(ip, element.attr("port")?.parse().ok()?);
    let tcp = match element.attr("protocol")?.to_ascii_lowercase().as_str() {
        "udp" => false,
        "tcp" | "ssltcp" => true,
        _ => return None,
    };
    let related = || {
        let ip: IpAddr = element.attr("rel-addr")?.parse().ok()?;
        let port = element.attr("rel-port")?.parse().ok()?;
        Some(SocketAddr::new(ip, port))
    };
    Some(Candidate {
        foundation: element.attr("foundation").unwrap_or_default().to_owned(),
        priority: element.attr("priority")?.parse().ok()?,
        tcp,
        address,
        kind: CandidateType::parse(element.attr("type")?)?,
        related: related(),
    })
}

pub(super) fn write_fingerprint(fingerprint: &Fingerprint, required: Option<&str>) -> Element {
    Element::new("fingerprint", ns::DTLS)
        .with_attr("hash", fingerprint.algorithm.as_str())
        .with_attr_opt("required", required)
        .with_attr_opt("setup", fingerprint.setup.map(Setup::as_str))
        .with_text(fingerprint.value.as_str())
}

pub(super) fn write_candidate(candidate: &Candidate, id: String) -> Element {
    let mut out = Element::new("candidate", ns::ICE_UDP)
        .with_attr("component", "1")
        .with_attr("foundation", candidate.foundation.as_str())
        .with_attr("generation", "0")
        .with_attr("id", id)
        .with_attr("network", "0")
        .with_attr("priority", candidate.priority.to_string())
        .with_attr("protocol", if candidate.tcp { "tcp" } else { "udp" })
        .with_attr("type", candidate.kind.as_str())
        .with_attr("ip", candidate.address.ip().to_string())
        .with_attr("port", candidate.address.port().to_string());
    if let Some(related) = candidate.related {
        out.set_attr("rel-addr", related.ip().to_string());
        out.set_attr("rel-port", related.port().to_string());
    }
    if candidate.tcp {
        out.set_attr("tcptype", "passive");
    }
    out
}
