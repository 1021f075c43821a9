//! One document over HTTP: bounded in size, followed nowhere else.

use crate::key::KeyError;
use futures_util::future::BoxFuture;
use reqwest::header::CACHE_CONTROL;
use reqwest::{Client, StatusCode};
use std::fmt;
use std::time::Duration;
use url::{Host, Url};

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fetched {
    Document {
        body: Vec<u8>,
        max_age: Option<Duration>,
    },
    /// The server knows that there is none.
    Missing,
}

/// Why nothing did; for the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FetchError {
    #[error("the server cannot be reached")]
    Unreachable,
    #[error("the answer broke off")]
    Broken,
    #[error("the server answered {0}")]
    Status(u16),
    #[error("the answer has more than {0} bytes")]
    TooLong(usize),
    #[error("there was no answer in time")]
    Late,
}

/// Whoever fetches; tests have their own.
pub(crate) trait Fetch: fmt::Debug + Send + Sync + 'static {
    /// The document there, of `limit` bytes at most.
    fn get(&self, url: Url, limit: usize) -> BoxFuture<'static, Result<Fetched, FetchError>>;
}

/// The real one.
#[derive(Debug)]
pub(crate) struct HttpFetch(Client);

impl HttpFetch {
    pub(crate) fn new() -> Result<Self, KeyError> {
        let client = althing_https::client().map_err(|e| KeyError::Client(e.to_string()))?;
        Ok(Self(client))
    }
}

impl Fetch for HttpFetch {
    fn get(&self, url: Url, limit: usize) -> BoxFuture<'static, Result<Fetched, FetchError>> {
        let request = self.0.get(url);
        Box::pin(async move {
            let mut response = request.send().await.map_err(|_| FetchError::Unreachable)?;
            match response.status() {
                StatusCode::OK => {}
                StatusCode::NOT_FOUND | StatusCode::GONE => return Ok(Fetched::Missing),
                other => return Err(FetchError::Status(other.as_u16())),
            }
            let max_age = response
                .headers()
                .get(CACHE_CONTROL)
                .and_then(|value| max_age(value.to_str().ok()?));
            let mut body = Vec::new();
            while let Some(chunk) = response.chunk().await.map_err(|_| FetchError::Broken)? {
                if body.len() + chunk.len() > limit {
                    return Err(FetchError::TooLong(limit));
                }
                body.extend_from_slice(&chunk);
            }
            Ok(Fetched::Document { body, max_age })
        })
    }
}

/// `max-age` of a Cache-Control header (RFC 9111 §5.2.2.1).
fn max_age(header: &str) -> Option<Duration> {
    header.split(',').find_map(|directive| {
        let (name, seconds) = directive.trim().split_once('=')?;
        name.eq_ignore_ascii_case("max-age").then(|| {
            seconds
                .trim_matches('"')
                .parse()
                .ok()
                .map(Duration::from_secs)
        })?
    })
}

/// Whether nobody on the way can put other keys in the place of these.
pub(crate) fn is_safe(url: &Url) -> bool {
    match (url.scheme(), url.host()) {
        ("https", Some(_)) => true,
        ("http", Some(Host::Domain(name))) => name == "localhost",
        ("http", Some(Host::Ipv4(address))) => address.is_loopback(),
        ("http", Some(Host::Ipv6(address))) => address.is_loopback(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn max_age_is_read_among_other_directives() {
        for (header, seconds) in [
            ("max-age=300", Some(300)),
            ("public, Max-Age=\"60\", must-revalidate", Some(60)),
            ("no-store", None),
            ("max-age=soon", None),
            ("s-maxage=5", None),
        ] {
            assert_eq!(max_age(header).map(|a| a.as_secs()), seconds, "{header}");
        }
    }

    #[test]
    fn plain_http_stays_on_this_machine() {
        for (url, safe) in [
            ("https://login.example/certs", true),
            ("http://localhost:8080/", true),
            ("http://127.0.0.1:1/", true),
            ("http://[::1]/", true),
            ("http://login.example/", false),
            ("http://localhost.example/", false),
            ("http://10.0.0.1/", false),
            ("ftp://localhost/", false),
        ] {
            assert_eq!(is_safe(&url.parse().unwrap()), safe, "{url}");
        }
    }
}
