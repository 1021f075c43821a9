//! Listeners and proxies.

use crate::keys::Key;
use crate::value;

pub(super) const KEYS: &[Key] = &[
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
];
