use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// How a client reached us: resolved once where a connection enters, then handed on as a value.
/// Every URL given to that client is built from it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Origin {
    /// `https` (and `wss`) rather than `http` (and `ws`).
    pub secure: bool,
    /// Host and, unless it is the scheme's default, port; for instance `meet.example:8443`.
    pub authority: String,
}

impl Origin {
    /// An `http` or `https` URL of this origin; `path` begins with a slash.
    #[must_use]
    pub fn http_url(&self, path: &str) -> String {
        format!(
            "http{}://{}{path}",
            if self.secure { "s" } else { "" },
            self.authority
        )
    }

    /// A `ws` or `wss` URL of this origin; `path` begins with a slash.
    #[must_use]
    pub fn websocket_url(&self, path: &str) -> String {
        format!(
            "ws{}://{}{path}",
            if self.secure { "s" } else { "" },
            self.authority
        )
    }
}

/// Who is at the other end of an HTTP request or WebSocket: what the door found out, forwarded
/// headers of trusted proxies included.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientInfo {
    /// The client's address; personal data, so not printed.
    pub address: IpAddr,
    /// How it reached us.
    pub origin: Origin,
}

impl std::fmt::Debug for ClientInfo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientInfo")
            .field("origin", &self.origin)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_follow_the_scheme() {
        let origin = Origin {
            secure: true,
            authority: "meet.example:8443".into(),
        };
        assert_eq!(
            origin.http_url("/config.js"),
            "https://meet.example:8443/config.js"
        );
        assert_eq!(origin.websocket_url("/x"), "wss://meet.example:8443/x");
        let plain = Origin {
            secure: false,
            authority: "localhost:8000".into(),
        };
        assert_eq!(plain.websocket_url("/x"), "ws://localhost:8000/x");
    }
}
