//! What a path without a route of its own means: a room's page, or nothing.

use percent_encoding::percent_decode_str;

/// Names no room and no tenant can have, since they are addresses of ours (or of the server we
/// replace, whose bookmarks and monitors should meet a 404 and not a meeting).
const RESERVED: &[&str] = &[
    ".well-known",
    "about",
    "api",
    "assets",
    "colibri",
    "colibri-ws",
    "conference-request",
    "config.js",
    "css",
    "debug",
    "external_api.js",
    "favicon.ico",
    "favicon.svg",
    "fonts",
    "health",
    "http-bind",
    "images",
    "index.html",
    "interface_config.js",
    "lang",
    "libs",
    "manifest.json",
    "manifest.webmanifest",
    "metrics",
    "oidc",
    "pwa-worker.js",
    "robots.txt",
    "room-size",
    "sounds",
    "static",
    "stats",
    "sw.js",
    "xmpp-websocket",
];

/// Longer paths name nothing.
const MAX_PATH: usize = 1024;
/// A room below its tenant, whose name may have a few parts.
const MAX_SEGMENTS: usize = 5;
/// What a path means.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// The page of the web client, where no room is named.
    Page,
    /// That of a room.
    Room(Seat),
    /// The same without the slash at the end.
    Redirect(String),
    /// Nothing.
    Nothing,
}

/// Which room a path names: decoded and in lower case.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Seat {
    /// All that stands before the room, joined as its clients join it.
    pub(crate) tenant: Option<String>,
    pub(crate) room: String,
}

/// Reads a request's path; `is_asset_folder` knows the first segments of the web client's files.
pub(crate) fn classify(path: &str, is_asset_folder: impl Fn(&str) -> bool) -> Place {
    let Some(rest) = path.strip_prefix('/').filter(|_| path.len() <= MAX_PATH) else {
        return Place::Nothing;
    };
    if rest.is_empty() {
        return Place::Page;
    }
    let (rest, slash) = rest
        .strip_suffix('/')
        .map_or((rest, false), |rest| (rest, true));
    // An empty segment is refused here, so a redirect never begins with two slashes, which a
    // browser would take for another host.
    let Some(segments) = rest.split('/').map(segment).collect::<Option<Vec<_>>>() else {
        return Place::Nothing;
    };
    // Pages that are no rooms live below "-", which is therefore no room.
    if segments.first().is_some_and(|first| first == "-") {
        return if segments.len() > 1 || slash {
            Place::Page
        } else {
            Place::Nothing
        };
    }
    let reserved = |name: &String| name == "-" || RESERVED.contains(&name.as_str());
    if segments.iter().any(reserved) || segments.first().is_some_and(|s| is_asset_folder(s)) {
        return Place::Nothing;
    }
    // What stands before the room is its tenant. One that cannot be is nothing, rather than the
    // room of that name that has no tenant.
    let Some((room, tenants)) = segments.split_last() else {
        return Place::Nothing;
    };
    if segments.len() > MAX_SEGMENTS || tenants.iter().any(|name| tenant(name).is_none()) {
        return Place::Nothing;
    }
    if slash {
        return Place::Redirect(format!("/{rest}"));
    }
    Place::Room(Seat {
        tenant: Some(tenants.join("-")).filter(|tenant| !tenant.is_empty()),
        room: room.clone(),
    })
}

/// One segment, decoded and in lower case; `None` when it could not be one of a room's path.
fn segment(raw: &str) -> Option<String> {
    let decoded = percent_decode_str(raw).decode_utf8().ok()?;
    let lower = decoded.trim().to_lowercase();
    let possible = !lower.is_empty()
        && lower != "."
        && lower != ".."
        && !lower
            .chars()
            .any(|c| c.is_control() || matches!(c, '/' | '\\'));
    possible.then_some(lower)
}

/// A tenant as its clients write it, if its name can stand in a URL and in an XMPP domain.
fn tenant(decoded: &str) -> Option<String> {
    let name = decoded.replace('.', "_");
    let possible = (1..=63).contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_'));
    possible.then_some(name)
}

/// The tenant of `/{tenant}/config.js`, already decoded; `None` when it cannot be one.
pub(crate) fn tenant_segment(raw: &str) -> Option<String> {
    let lower = raw.to_lowercase();
    if lower == "-" || RESERVED.contains(&lower.as_str()) {
        return None;
    }
    tenant(&lower)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(path: &str) -> Place {
        classify(path, |first| first == "wasm")
    }

    #[test]
    fn rooms_and_tenants_have_pages() {
        for path in ["/", "/-/test", "/-/"] {
            assert_eq!(place(path), Place::Page, "{path}");
        }
        for (path, tenant, room) in [
            ("/standup", None, "standup"),
            ("/My%20Room", None, "my room"),
            ("/%D0%B9", None, "й"),
            ("/a.b", None, "a.b"),
            ("/Acme.Corp/standup", Some("acme.corp"), "standup"),
            ("/a/b/standup", Some("a-b"), "standup"),
        ] {
            let seat = Seat {
                tenant: tenant.map(str::to_owned),
                room: room.to_owned(),
            };
            assert_eq!(place(path), Place::Room(seat), "{path}");
        }
    }

    #[test]
    fn reserved_names_have_none_however_they_are_written() {
        for path in [
            "/metrics",
            "/Metrics",
            "/%6detrics",
            "/metrics/",
            "/metrics%20",
            "/metrics/x",
            "/about/health",
            "/debug/x/y",
            "/colibri/stats",
            "/tenant/config.js",
            "/tenant/metrics",
            "/index.html",
            "/wasm/gone.wasm",
            "/-",
            "/x/-",
        ] {
            assert_eq!(place(path), Place::Nothing, "{path}");
        }
    }

    #[test]
    fn impossible_paths_have_none() {
        for path in [
            "",
            "*",
            "//evil.example",
            "//evil.example/",
            "/a//b",
            "/..",
            "/../etc/passwd",
            "/%2e%2e/x",
            "/a%2Fb",
            "/a%5Cb",
            "/a%00",
            "/%ff",
            "/a/b/c/d/e/f",
            "/%D0%B9/standup",
            "/a%20b/standup",
            &format!("/{}", "a".repeat(2000)),
        ] {
            assert_eq!(place(path), Place::Nothing, "{path}");
        }
    }

    #[test]
    fn a_slash_at_the_end_is_taken_away() {
        assert_eq!(place("/standup/"), Place::Redirect("/standup".into()));
        assert_eq!(
            place("/t/My%20Room/"),
            Place::Redirect("/t/My%20Room".into())
        );
    }
}
