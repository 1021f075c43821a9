//! Which addresses are offered to clients, and with what priority (RFC 8445 §5.1).

use crate::Advertise;
use althing_control::{Candidate, CandidateType};
use std::net::{IpAddr, SocketAddr};

/// More would only make clients try longer.
const MAX_CANDIDATES: usize = 32;

/// The candidates of a bridge that listens on `bound` (wildcards included), on a machine with the
/// addresses `interfaces`. Ordered by falling priority.
pub(crate) fn candidates(
    bound: &[SocketAddr],
    interfaces: &[IpAddr],
    advertise: &[Advertise],
) -> Vec<Candidate> {
    let hosts = hosts(bound, interfaces);
    let port = bound.first().map_or(0, SocketAddr::port);
    let advertised: Vec<SocketAddr> = advertise
        .iter()
        .map(|a| SocketAddr::new(a.ip, a.port.unwrap_or(port)))
        .collect();
    let only_loopback = !advertised.is_empty() && advertised.iter().all(|a| a.ip().is_loopback());

    let mut list = List::default();
    if !only_loopback {
        // What the operator names keeps its place on a machine with ever so many interfaces.
        let room = MAX_CANDIDATES.saturating_sub(advertised.len());
        for host in hosts.iter().take(room) {
            list.push(*host, CandidateType::Host, None);
        }
    }
    for address in advertised {
        let reachable_as_is =
            hosts.contains(&address) || (address.ip().is_loopback() && listens_on(bound, address));
        if reachable_as_is {
            list.push(address, CandidateType::Host, None);
        } else {
            let related = hosts
                .iter()
                .find(|host| host.is_ipv4() == address.is_ipv4())
                .or_else(|| hosts.first())
                .copied();
            list.push(address, CandidateType::ServerReflexive, related);
        }
    }
    list.candidates
}

/// The addresses clients may reach without a NAT: global before local, loopback and link-local
/// ones only where the operator bound them or there is nothing else.
fn hosts(bound: &[SocketAddr], interfaces: &[IpAddr]) -> Vec<SocketAddr> {
    let mut explicit = Vec::new();
    let mut found = Vec::new();
    let mut fallback = Vec::new();
    for socket in bound {
        if !socket.ip().is_unspecified() {
            explicit.push(*socket);
            continue;
        }
        for ip in interfaces {
            let address = SocketAddr::new(*ip, socket.port());
            if ip.is_ipv4() != socket.is_ipv4() || ip.is_unspecified() || ip.is_multicast() {
                continue;
            }
            if is_narrow(*ip) {
                // A link-local IPv6 address means nothing without its interface.
                if ip.is_ipv4() || ip.is_loopback() {
                    fallback.push(address);
                }
            } else {
                found.push(address);
            }
        }
    }
    explicit.append(&mut found);
    let mut hosts = if explicit.is_empty() {
        fallback
    } else {
        explicit
    };
    hosts.sort_by_key(|address| is_private(address.ip()));
    hosts
}

fn listens_on(bound: &[SocketAddr], address: SocketAddr) -> bool {
    bound.iter().any(|socket| {
        socket.port() == address.port()
            && (socket.ip() == address.ip()
                || (socket.ip().is_unspecified() && socket.is_ipv4() == address.is_ipv4()))
    })
}

fn is_narrow(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unicast_link_local(),
    }
}

fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_private(),
        IpAddr::V6(ip) => ip.is_unique_local(),
    }
}

#[derive(Default)]
struct List {
    candidates: Vec<Candidate>,
    // Foundation by type and base: candidates alike in both freeze and thaw together (§5.1.1.3).
    foundations: Vec<(CandidateType, Option<IpAddr>)>,
}

impl List {
    fn push(&mut self, address: SocketAddr, kind: CandidateType, related: Option<SocketAddr>) {
        let known = self.candidates.iter().any(|c| c.address == address);
        if known || self.candidates.len() >= MAX_CANDIDATES {
            return;
        }
        let base = (kind, Some(related.unwrap_or(address).ip()));
        let foundation = match self.foundations.iter().position(|known| *known == base) {
            Some(index) => index,
            None => {
                self.foundations.push(base);
                self.foundations.len() - 1
            }
        };
        let type_preference: u32 = match kind {
            CandidateType::Host => 126,
            CandidateType::ServerReflexive => 100,
        };
        // Unique per candidate (§5.1.2.1), falling in the order of the list.
        let position = u32::try_from(self.candidates.len()).unwrap_or(u32::MAX);
        let local_preference = 65_535 - 256 * position.min(255);
        const RTP_COMPONENT: u32 = 1;
        self.candidates.push(Candidate {
            foundation: (foundation + 1).to_string(),
            priority: (type_preference << 24) + (local_preference << 8) + (256 - RTP_COMPONENT),
            address,
            kind,
            related,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(list: &[&str]) -> Vec<SocketAddr> {
        list.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[track_caller]
    fn check(bound: &[&str], interfaces: &[&str], advertise: &[&str], expected: &[&str]) {
        let interfaces: Vec<IpAddr> = interfaces.iter().map(|ip| ip.parse().unwrap()).collect();
        let advertise: Vec<Advertise> = advertise.iter().map(|a| a.parse().unwrap()).collect();
        let list = candidates(&addresses(bound), &interfaces, &advertise);
        let shown: Vec<String> = list
            .iter()
            .map(|c| {
                let kind = match c.kind {
                    CandidateType::Host => "host",
                    CandidateType::ServerReflexive => "srflx",
                };
                format!("{} {kind}", c.address)
            })
            .collect();
        assert_eq!(shown, expected);
        for pair in list.windows(2) {
            assert!(pair[0].priority > pair[1].priority);
        }
    }

    const WILDCARDS: &[&str] = &["0.0.0.0:10000", "[::]:10000"];

    #[test]
    fn many_interfaces_do_not_push_out_what_is_advertised() {
        let interfaces: Vec<IpAddr> = (0..40).map(|n| IpAddr::from([10, 0, n, 2])).collect();
        let advertise = ["203.0.113.7".parse().unwrap()];
        let list = candidates(&addresses(WILDCARDS), &interfaces, &advertise);
        assert_eq!(list.len(), MAX_CANDIDATES);
        assert!(
            list.iter()
                .any(|c| c.address.to_string() == "203.0.113.7:10000")
        );
    }

    #[test]
    fn candidates_follow_interfaces_and_configuration() {
        check(
            WILDCARDS,
            &["127.0.0.1", "192.168.1.5", "::1", "fe80::1", "2001:db8::5"],
            &[],
            &["[2001:db8::5]:10000 host", "192.168.1.5:10000 host"],
        );
        check(
            WILDCARDS,
            &["127.0.0.1", "::1"],
            &[],
            &["127.0.0.1:10000 host", "[::1]:10000 host"],
        );
        check(
            WILDCARDS,
            &["127.0.0.1", "10.0.0.2"],
            &["203.0.113.7", "203.0.113.7:443"],
            &[
                "10.0.0.2:10000 host",
                "203.0.113.7:10000 srflx",
                "203.0.113.7:443 srflx",
            ],
        );
        check(
            WILDCARDS,
            &["127.0.0.1", "10.0.0.2"],
            &["127.0.0.1"],
            &["127.0.0.1:10000 host"],
        );
        check(
            WILDCARDS,
            &["127.0.0.1", "198.51.100.3"],
            &["198.51.100.3"],
            &["198.51.100.3:10000 host"],
        );
        check(
            &["127.0.0.1:9"],
            &["127.0.0.1", "10.0.0.2"],
            &[],
            &["127.0.0.1:9 host"],
        );
        check(&["0.0.0.0:9"], &["::1", "2001:db8::5"], &[], &[]);
    }

    #[test]
    fn foundations_tell_bases_apart() {
        let list = candidates(
            &addresses(&["0.0.0.0:10000"]),
            &["10.0.0.2".parse().unwrap(), "10.0.0.3".parse().unwrap()],
            &[
                "203.0.113.7".parse().unwrap(),
                "203.0.113.8".parse().unwrap(),
            ],
        );
        let foundations: Vec<&str> = list.iter().map(|c| c.foundation.as_str()).collect();
        assert_eq!(foundations, ["1", "2", "3", "3"]);
        assert_eq!(list[0].priority, 2_130_706_431);
        assert_eq!(list[2].related, Some(list[0].address));
    }
}
