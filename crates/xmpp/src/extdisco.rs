//! External services (XEP-0215): where STUN and TURN are. Version 1 differs in its namespace only.

use crate::element::Element;
use crate::ns;
use althing_model::Secret;

/// Which version was asked for, and is to be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Version {
    /// `urn:xmpp:extdisco:1`.
    One,
    /// `urn:xmpp:extdisco:2`.
    Two,
}

impl Version {
    const fn ns(self) -> &'static str {
        match self {
            Self::One => ns::EXTDISCO_1,
            Self::Two => ns::EXTDISCO_2,
        }
    }
}

/// One service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// `stun`, `turn` or `turns`.
    pub kind: String,
    /// Name or address.
    pub host: String,
    /// The default of the kind when absent.
    pub port: Option<u16>,
    /// `udp` or `tcp`.
    pub transport: Option<String>,
    /// For TURN.
    pub credentials: Option<Credentials>,
}

/// What a TURN server asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// `<unix expiry>` or `<unix expiry>:<name>` with a shared secret.
    pub username: String,
    /// Goes with it.
    pub password: Secret,
    /// When they end, as a date; text.
    pub expires: Option<String>,
}

/// The version of a question for services; `None` when the IQ is none.
#[must_use]
pub fn asked(iq: &Element) -> Option<Version> {
    [Version::Two, Version::One]
        .into_iter()
        .find(|version| iq.child("services", version.ns()).is_some())
}

/// The `<services>` of a question.
#[must_use]
pub fn question(version: Version) -> Element {
    Element::new("services", version.ns())
}

/// The `<services>` of an answer; empty is fine.
#[must_use]
pub fn answer(version: Version, services: &[Service]) -> Element {
    let write = |service: &Service| {
        let mut out = Element::new("service", version.ns())
            .with_attr("type", service.kind.as_str())
            .with_attr("host", service.host.as_str())
            .with_attr_opt("port", service.port.map(|port| port.to_string()))
            .with_attr_opt("transport", service.transport.as_deref());
        if let Some(credentials) = &service.credentials {
            out.set_attr("username", credentials.username.as_str());
            out.set_attr("password", credentials.password.expose());
            if let Some(expires) = &credentials.expires {
                out.set_attr("expires", expires.as_str());
            }
            out.set_attr("restricted", "1");
        }
        out
    };
    Element::new("services", version.ns()).with_children(services.iter().map(write))
}

/// Reads an answer; services without type or host are passed over.
#[must_use]
pub fn read(iq: &Element) -> Option<Vec<Service>> {
    let services = iq.child("services", asked(iq)?.ns())?;
    let text = |e: &Element, key: &str| e.attr(key).map(str::to_owned);
    Some(
        services
            .children()
            .filter(|c| c.name() == "service")
            .filter_map(|c| {
                Some(Service {
                    kind: text(c, "type")?,
                    host: text(c, "host")?,
                    port: c.attr("port").and_then(|port| port.parse().ok()),
                    transport: text(c, "transport"),
                    credentials: c.attr("username").zip(c.attr("password")).map(
                        |(username, password)| Credentials {
                            username: username.to_owned(),
                            password: Secret::new(password),
                            expires: text(c, "expires"),
                        },
                    ),
                })
            })
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::element::{Limits, parse};

    #[test]
    fn services_are_read_and_written_the_same() {
        let iq = parse(
            include_str!("../../../fixtures/xmpp/services.xml").trim(),
            &Limits::default(),
        )
        .unwrap();
        assert_eq!(asked(&iq), Some(Version::Two));
        let services = read(&iq).unwrap();
        assert_eq!(services.len(), 2);
        assert_eq!(
            answer(Version::Two, &services),
            *iq.child("services", ns::EXTDISCO_2).unwrap()
        );
        assert!(!format!("{services:?}").contains("c2Vj"));
        assert_eq!(
            answer(Version::One, &[]).to_xml(),
            r#"<services xmlns="urn:xmpp:extdisco:1"/>"#
        );
    }
}
