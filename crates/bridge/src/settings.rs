use crate::limits::EndpointLimits;
use althing_model::NodeId;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

/// The most workers a bridge starts by itself, and the most an operator may ask for: eight threads
/// of fan-out fill a 10 Gbit/s card.
pub const MAX_WORKERS: usize = 8;

/// What a bridge is started with.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Our name in bridge-channel URLs and on the bus.
    pub node: NodeId,
    /// The one UDP port for all media; default 10000. Zero takes any free one.
    pub port: u16,
    /// The addresses to listen on; empty means every interface, IPv4 and, where there is one, IPv6.
    pub bind: Vec<IpAddr>,
    /// Addresses that a NAT in front of us maps onto ours. Only loopback addresses in here mean
    /// that nothing else is offered.
    pub advertise: Vec<Advertise>,
    /// Media threads; zero means one per core, up to [`MAX_WORKERS`].
    pub workers: usize,
    /// A conference with so many endpoints on its media thread puts newcomers on others; zero keeps
    /// every conference on one.
    pub split_above: usize,
    /// What one endpoint may send.
    pub limits: EndpointLimits,
    /// How long silence is borne.
    pub patience: Patience,
    /// What conferences begin with; what of it [`limits`](Self::limits) says too is taken from there.
    pub forwarding: althing_forwarding::Settings,
    /// Whether media threads with too much to do leave things off, and newcomers last.
    pub shed_load: bool,
}

impl Settings {
    /// The default settings of a node.
    #[must_use]
    pub fn new(node: NodeId) -> Self {
        Self {
            node,
            port: 10_000,
            bind: Vec::new(),
            advertise: Vec::new(),
            workers: 0,
            split_above: 40,
            limits: EndpointLimits::default(),
            patience: Patience::default(),
            forwarding: althing_forwarding::Settings::default(),
            shed_load: true,
        }
    }

    /// The settings of every conference.
    pub(crate) fn of_conferences(&self) -> althing_forwarding::Settings {
        let mut settings = self.forwarding.clone();
        settings.max_sources_per_endpoint = self.limits.sources;
        settings.keyframe_requests_per_second = self.limits.keyframe_requests_per_second;
        settings.audio_bits_per_second = self.limits.audio_bits_per_second;
        settings
    }

    /// How many workers to start on this machine.
    pub(crate) fn worker_count(&self) -> usize {
        let wanted = match self.workers {
            0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            workers => workers,
        };
        wanted.clamp(1, MAX_WORKERS)
    }
}

/// How long an endpoint may be silent: without anything from it that authenticates, media or checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// Until the others are told (protocol 5 §15).
    pub inactive_after: Duration,
    /// The same for a new endpoint, which has yet to find its way here.
    pub first_activity_within: Duration,
    /// Until it is removed; the focus is usually faster.
    pub expire_after: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            inactive_after: Duration::from_secs(8),
            first_activity_within: Duration::from_secs(15),
            expire_after: Duration::from_secs(60),
        }
    }
}

/// One address of `[media] advertise`: `IP`, or `IP:PORT` where the NAT changes the port too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Advertise {
    /// Where clients send to.
    pub ip: IpAddr,
    /// The port, if it differs from ours.
    pub port: Option<u16>,
}

/// Why a text is no [`Advertise`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is neither an IP address nor IP:PORT (IPv6 with a port: [IP]:PORT)")]
pub struct AdvertiseError(String);

impl FromStr for Advertise {
    type Err = AdvertiseError;

    fn from_str(text: &str) -> Result<Self, AdvertiseError> {
        let parsed = match text.parse::<IpAddr>() {
            Ok(ip) => Some(Self { ip, port: None }),
            Err(_) => text.parse::<SocketAddr>().ok().map(|address| Self {
                ip: address.ip(),
                port: Some(address.port()),
            }),
        };
        parsed
            .filter(|a| !a.ip.is_unspecified() && !a.ip.is_multicast() && a.port != Some(0))
            .ok_or_else(|| AdvertiseError(text.chars().take(60).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_advertised_address_may_have_a_port() {
        let parse = |text: &str| text.parse::<Advertise>();
        assert_eq!(
            parse("203.0.113.7"),
            Ok(Advertise {
                ip: "203.0.113.7".parse().unwrap(),
                port: None
            })
        );
        assert_eq!(
            parse("[2001:db8::1]:443"),
            Ok(Advertise {
                ip: "2001:db8::1".parse().unwrap(),
                port: Some(443)
            })
        );
        for bad in [
            "",
            "meet.example",
            "203.0.113.7:0",
            "0.0.0.0",
            "224.0.0.1",
            "1.2.3.4:x",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn there_is_always_a_worker_and_never_a_crowd() {
        let mut settings = Settings::new(NodeId::new("n1").unwrap());
        assert!((1..=MAX_WORKERS).contains(&settings.worker_count()));
        settings.workers = 1;
        assert_eq!(settings.worker_count(), 1);
        settings.workers = 1000;
        assert_eq!(settings.worker_count(), MAX_WORKERS);
    }
}
