use super::*;
use axum::http::HeaderValue;

const PROXY: &str = "10.0.0.2:40000";
const STRANGER: &str = "203.0.113.9:40000";

/// Resolves a plain HTTP request from `peer`; 10/8 and the loopback are trusted.
fn seen(peer: &str, headers: &[(&'static str, &str)]) -> Result<Resolved, BadHost> {
    seen_over(peer, false, headers)
}

fn seen_over(
    peer: &str,
    secure: bool,
    headers: &[(&'static str, &str)],
) -> Result<Resolved, BadHost> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(*name, HeaderValue::from_str(value).unwrap());
    }
    let trusted = ["10.0.0.0/8", "127.0.0.0/8", "::1/128"].map(|net| net.parse().unwrap());
    resolve(
        &trusted,
        Arrival {
            peer: peer.parse().unwrap(),
            local: "127.0.0.1:8000".parse().unwrap(),
            secure,
        },
        Head {
            uri: &Uri::from_static("/"),
            version: Version::HTTP_11,
            headers: &map,
        },
    )
}

/// `address origin`, with a mark when forwarding headers were ignored.
fn check(peer: &str, headers: &[(&'static str, &str)], expected: &str) {
    let resolved = seen(peer, headers).unwrap();
    let mark = if resolved.forwarding_ignored {
        " ignored"
    } else {
        ""
    };
    let client = resolved.client;
    let got = format!("{} {}{mark}", client.address, client.origin.http_url(""));
    assert_eq!(got, expected, "{headers:?}");
}

#[test]
fn without_forwarding_the_connection_tells() {
    check(
        STRANGER,
        &[("host", "Meet.Example:8000")],
        "203.0.113.9 http://meet.example:8000",
    );
    check(
        "[::ffff:203.0.113.9]:1",
        &[("host", "meet.example:80")],
        "203.0.113.9 http://meet.example",
    );
    let tls = seen_over(STRANGER, true, &[("host", "meet.example:443")]).unwrap();
    assert_eq!(tls.client.origin.http_url("/x"), "https://meet.example/x");
}

#[test]
fn a_trusted_proxy_is_believed() {
    check(
        PROXY,
        &[
            ("host", "127.0.0.1:8000"),
            ("x-forwarded-for", "198.51.100.7"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "meet.example"),
        ],
        "198.51.100.7 https://meet.example",
    );
    // The usual nginx lines: Host passed on, no X-Forwarded-Host.
    check(
        PROXY,
        &[
            ("host", "meet.example"),
            ("x-forwarded-for", "198.51.100.7"),
            ("x-forwarded-proto", "https"),
        ],
        "198.51.100.7 https://meet.example",
    );
}

#[test]
fn anybody_else_is_not() {
    check(
        STRANGER,
        &[
            ("host", "meet.example"),
            ("x-forwarded-for", "127.0.0.1"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "evil.example"),
        ],
        "203.0.113.9 http://meet.example ignored",
    );
}

#[test]
fn what_the_client_wrote_before_its_proxy_is_not_believed() {
    // The client claimed 1.1.1.1; the proxy appended where it really came from.
    check(
        PROXY,
        &[
            ("host", "meet.example"),
            ("x-forwarded-for", "1.1.1.1, 198.51.100.7"),
        ],
        "198.51.100.7 http://meet.example",
    );
    // Two proxies of ours, in two header lines; the inner one is plain behind the outer's TLS.
    check(
        PROXY,
        &[
            ("host", "meet.example"),
            ("x-forwarded-for", "1.1.1.1, 198.51.100.7"),
            ("x-forwarded-for", "10.9.9.9"),
            ("x-forwarded-proto", "gopher, https, http"),
            ("x-forwarded-host", "evil.example, meet.example, inner"),
        ],
        "198.51.100.7 https://meet.example",
    );
}

#[test]
fn forwarded_addresses_come_in_several_spellings() {
    for (text, address) in [
        ("198.51.100.7:5000", "198.51.100.7"),
        ("[2001:db8::1]:5000", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("2001:db8::1", "2001:db8::1"),
        ("::ffff:198.51.100.7", "198.51.100.7"),
        // Not an address: the last that is known for certain is the proxy.
        ("unknown", "10.0.0.2"),
        ("1.1.1.1, <script>", "10.0.0.2"),
        ("", "10.0.0.2"),
    ] {
        let headers = [("host", "a"), ("x-forwarded-for", text)];
        check(PROXY, &headers, &format!("{address} http://a"));
    }
}

#[test]
fn hosts_that_cannot_be_are_refused() {
    for host in [
        "",
        ".",
        ":80",
        "a b",
        "a/b",
        "a\"b",
        "<script>",
        "a:b",
        "a:0",
        "a:99999",
        "a:80:80",
        "[::1",
        "[zz]",
        "::1",
        "[::1]x",
        "user@host",
        "a..b",
        "a%20b",
        &"a".repeat(300),
    ] {
        assert_eq!(seen(STRANGER, &[("host", host)]), Err(BadHost), "{host:?}");
        let forwarded = [("host", "ok"), ("x-forwarded-host", host)];
        // An empty one counts as none.
        if !host.is_empty() {
            assert_eq!(seen(PROXY, &forwarded), Err(BadHost), "{host:?}");
        }
    }
    assert_eq!(seen(STRANGER, &[]), Err(BadHost));
    assert_eq!(
        seen(STRANGER, &[("host", "a"), ("host", "b")]),
        Err(BadHost)
    );
}

#[test]
fn hosts_are_written_one_way() {
    for (host, authority) in [
        ("LOCALHOST:8000", "localhost:8000"),
        ("meet.example.", "meet.example"),
        ("meet.example.:8443", "meet.example:8443"),
        ("[0:0::1]:8000", "[::1]:8000"),
        ("[2001:DB8::1]", "[2001:db8::1]"),
        ("192.0.2.1:80", "192.0.2.1"),
        ("a_b", "a_b"),
        ("a:", "a"),
    ] {
        let resolved = seen(STRANGER, &[("host", host)]).unwrap();
        assert_eq!(resolved.client.origin.authority, authority);
    }
}

#[test]
fn http_1_0_may_leave_the_host_out() {
    let resolved = resolve(
        &[],
        Arrival {
            peer: STRANGER.parse().unwrap(),
            local: "[::1]:8000".parse().unwrap(),
            secure: false,
        },
        Head {
            uri: &Uri::from_static("/health"),
            version: Version::HTTP_10,
            headers: &HeaderMap::new(),
        },
    );
    assert_eq!(
        resolved.unwrap().client.origin.authority,
        "[::1]:8000".to_owned()
    );
}
