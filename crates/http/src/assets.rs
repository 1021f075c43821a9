//! The built web client's files, embedded at build time.

use axum::body::Body;
use axum::http::header::{self, HeaderMap, HeaderValue};
use axum::http::{Response, StatusCode};
use bytes::Bytes;

/// One file.
#[derive(Debug)]
pub(crate) struct Asset {
    /// From the root of the site, without a slash before it.
    pub path: &'static str,
    /// Differs when the content does.
    pub hash: u64,
    pub identity: &'static [u8],
    pub brotli: Option<&'static [u8]>,
    pub gzip: Option<&'static [u8]>,
}

/// The files of this build, sorted by path; none when it was built without the web client.
pub(crate) static EMBEDDED: &[Asset] = include!(concat!(env!("OUT_DIR"), "/web_assets.rs"));

/// The page that every room's address shows; it is not served by its own name.
pub(crate) const INDEX: &str = "index.html";

pub(crate) fn find(assets: &'static [Asset], path: &str) -> Option<&'static Asset> {
    assets
        .binary_search_by(|asset| asset.path.cmp(path))
        .ok()
        .and_then(|index| assets.get(index))
}

/// Whether the first segment of a path is a folder of files.
pub(crate) fn is_folder(assets: &[Asset], first: &str) -> bool {
    assets
        .iter()
        .any(|asset| asset.path.split_once('/').is_some_and(|(f, _)| f == first))
}

/// The bundler writes a hash of the content into the names of what it puts below `assets/`, as
/// `name-XXXXXXXX.ext`: such a file never changes.
fn is_immutable(path: &str) -> bool {
    let Some((stem, _)) = path
        .strip_prefix("assets/")
        .and_then(|name| name.rsplit('/').next())
        .and_then(|name| name.split_once('.'))
    else {
        return false;
    };
    // The hash itself may have dashes in it, so it is found by its length.
    let bytes = stem.as_bytes();
    bytes
        .len()
        .checked_sub(9)
        .and_then(|at| bytes.get(at))
        .is_some_and(|b| *b == b'-')
}

/// Whether the client takes `coding` (RFC 9110 §12.5.3), named or by `*`, with a weight above 0.
fn accepts(headers: &HeaderMap, coding: &str) -> bool {
    let mut wildcard = false;
    for item in headers
        .get_all(header::ACCEPT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
    {
        let mut parts = item.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let taken = !parts
            .filter_map(|parameter| parameter.strip_prefix("q="))
            .any(|weight| weight.parse::<f32>().is_ok_and(|weight| weight <= 0.0));
        if name.eq_ignore_ascii_case(coding) {
            return taken;
        }
        wildcard |= name == "*" && taken;
    }
    wildcard
}

impl Asset {
    /// The answer to a GET of this file.
    pub(crate) fn answer(&self, request: &HeaderMap) -> Response<Body> {
        let (coding, content) = match (self.brotli, self.gzip) {
            (Some(content), _) if accepts(request, "br") => (Some("br"), content),
            (_, Some(content)) if accepts(request, "gzip") => (Some("gzip"), content),
            _ => (None, self.identity),
        };
        let tag = format!("\"{:016x}{}\"", self.hash, coding.unwrap_or_default());
        let unchanged = request
            .get_all(header::IF_NONE_MATCH)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .any(|known| known.trim().trim_start_matches("W/") == tag);
        let mut answer = Response::new(if unchanged {
            Body::empty()
        } else {
            Body::from(Bytes::from_static(content))
        });
        if unchanged {
            *answer.status_mut() = StatusCode::NOT_MODIFIED;
        }
        let headers = answer.headers_mut();
        headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
        headers.insert(
            header::CACHE_CONTROL,
            HeaderValue::from_static(if is_immutable(self.path) {
                "public, max-age=31536000, immutable"
            } else {
                "no-cache"
            }),
        );
        if let Ok(tag) = HeaderValue::try_from(tag) {
            headers.insert(header::ETAG, tag);
        }
        if unchanged {
            return answer;
        }
        headers.insert(header::CONTENT_TYPE, media_type(self.path));
        if let Some(coding) = coding {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding));
        }
        answer
    }
}

fn media_type(path: &str) -> HeaderValue {
    let guess = mime_guess::from_path(path).first_or_octet_stream();
    let text = match guess.type_() {
        mime_guess::mime::TEXT => format!("{guess}; charset=utf-8"),
        _ => guess.to_string(),
    };
    HeaderValue::try_from(text)
        .unwrap_or_else(|_| HeaderValue::from_static("application/octet-stream"))
}

#[cfg(test)]
mod tests {
    use super::*;

    static SCRIPT: Asset = Asset {
        path: "assets/index-Ab_-12xZ.js",
        hash: 7,
        identity: b"plain",
        brotli: Some(b"br"),
        gzip: Some(b"gz"),
    };

    fn request(headers: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_static(value));
        }
        map
    }

    #[test]
    fn the_best_coding_that_is_taken_is_sent() {
        for (accept, coding) in [
            ("gzip, deflate, br", Some("br")),
            ("gzip", Some("gzip")),
            ("br;q=0, gzip;q=0.5", Some("gzip")),
            ("*", Some("br")),
            ("br;q=0, *;q=0", None),
            ("identity", None),
            ("", None),
        ] {
            let answer = SCRIPT.answer(&request(&[("accept-encoding", accept)]));
            let got = answer.headers().get(header::CONTENT_ENCODING);
            assert_eq!(got.map(|v| v.to_str().unwrap()), coding, "{accept}");
        }
    }

    #[test]
    fn a_known_file_is_not_sent_again() {
        let first = SCRIPT.answer(&request(&[]));
        assert_eq!(first.headers()[header::ETAG], "\"0000000000000007\"");
        for (known, status) in [
            ("\"0000000000000007\"", StatusCode::NOT_MODIFIED),
            ("\"x\", W/\"0000000000000007\"", StatusCode::NOT_MODIFIED),
            ("\"0000000000000008\"", StatusCode::OK),
        ] {
            let answer = SCRIPT.answer(&request(&[("if-none-match", known)]));
            assert_eq!(answer.status(), status, "{known}");
        }
    }

    #[test]
    fn only_hashed_names_are_kept_forever() {
        for (path, forever) in [
            ("assets/index-Ab_-12xZ.js", true),
            ("assets/chunk-B1g3dXyz.css", true),
            ("assets/logo.svg", false),
            ("favicon-12345678.ico", false),
            ("assets/-.js", false),
        ] {
            assert_eq!(is_immutable(path), forever, "{path}");
        }
    }

    #[test]
    fn scripts_and_wasm_have_their_types() {
        assert_eq!(media_type("a.js"), "text/javascript; charset=utf-8");
        assert_eq!(media_type("a.wasm"), "application/wasm");
        assert_eq!(media_type("a.unknown"), "application/octet-stream");
    }

    #[test]
    fn the_embedded_table_is_sorted() {
        assert!(EMBEDDED.is_sorted_by_key(|asset| asset.path));
    }
}
