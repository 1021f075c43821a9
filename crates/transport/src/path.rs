use is::Protocol;
use std::fmt;
use std::net::SocketAddr;

/// What carries a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Via {
    /// Plain UDP.
    Udp,
    /// ICE-TCP (RFC 6544), framed by RFC 4571 outside of this crate.
    Tcp,
    /// Our own TURN relay; `local` is then the relayed address.
    Turn,
}

impl Via {
    /// The agent tells candidates apart by protocol; a relayed path wears the otherwise unused
    /// TLS tag, so that it can never be taken for a UDP path between the same two addresses.
    pub(crate) const fn to_protocol(self) -> Protocol {
        match self {
            Self::Udp => Protocol::Udp,
            Self::Tcp => Protocol::Tcp,
            Self::Turn => Protocol::Tls,
        }
    }

    pub(crate) const fn from_protocol(protocol: Protocol) -> Self {
        match protocol {
            Protocol::Udp => Self::Udp,
            Protocol::Tcp | Protocol::SslTcp => Self::Tcp,
            Protocol::Tls => Self::Turn,
        }
    }
}

/// Where a datagram came from and where it arrived, or the reverse: demultiplexing keys on all
/// three parts, never on the remote address alone. An IPv4 address is written as one, never mapped
/// into IPv6: the other side is told how we see it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Path {
    /// What carries it.
    pub via: Via,
    /// Our address, as seen by our own machine; never a wildcard.
    pub local: SocketAddr,
    /// The other side's address, as seen by our machine.
    pub remote: SocketAddr,
}

/// Addresses are personal data and do not print; the carrier and the address family do.
impl fmt::Debug for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let family = if self.remote.is_ipv6() {
            "IPv6"
        } else {
            "IPv4"
        };
        write!(f, "Path({:?}, {family})", self.via)
    }
}
