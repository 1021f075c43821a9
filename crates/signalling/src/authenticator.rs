//! Who may log in: the question this door asks, and what it hands over with it.

use althing_model::{Identity, Secret};
use axum::http::{HeaderMap, header};
use futures_util::future::BoxFuture;
use std::fmt::Debug;

/// Decides who may log in; whoever checks tokens implements it.
pub trait Authenticator: Debug + Send + Sync + 'static {
    /// Who comes with these credentials; `None` is a guest without a token, where those are let in.
    ///
    /// Answered within 10 s, or the client is told to try again.
    ///
    /// # Errors
    /// [`LoginRefused`] with what the client is told.
    fn authenticate(
        &self,
        credentials: Credentials,
    ) -> BoxFuture<'static, Result<Option<Identity>, LoginRefused>>;
}

/// What a client brings to log in with.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Credentials {
    /// `token` of the URL it connects to, else its Bearer header.
    pub token: Option<Secret>,
}

/// A login that is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("login refused: {text}")]
pub struct LoginRefused {
    /// For the person, in `<not-allowed/><text>`; never a secret in it.
    pub text: String,
}

/// Lets everybody in, as a guest.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Everybody;

impl Authenticator for Everybody {
    fn authenticate(
        &self,
        _: Credentials,
    ) -> BoxFuture<'static, Result<Option<Identity>, LoginRefused>> {
        Box::pin(std::future::ready(Ok(None)))
    }
}

/// What a client says before its first frame (protocol 1 §3). Its secrets are in no log, and neither
/// is the URL they came in.
#[derive(Debug, Clone, Default)]
pub(crate) struct Hello {
    pub(crate) credentials: Credentials,
    /// The id of the session it would go on with.
    pub(crate) previous: Option<Secret>,
}

impl Hello {
    pub(crate) fn read(query: Option<&str>, headers: &HeaderMap) -> Self {
        let token = parameter(query, "token").or_else(|| bearer(headers));
        Self {
            credentials: Credentials {
                token: token.map(Secret::new),
            },
            previous: parameter(query, "previd").map(Secret::new),
        }
    }
}

/// The first value there is. Only `&` divides: a client is known to write `?room=x?room=x&token=T`.
fn parameter(query: Option<&str>, name: &str) -> Option<String> {
    query?
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .find(|(key, value)| *key == name && !value.is_empty())
        .map(|(_, value)| value.to_owned())
}

fn bearer(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then(|| token.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_found_wherever_clients_put_it() {
        for (query, header, token, previous) in [
            (None, None, None, None),
            (Some("room=x"), None, None, None),
            (Some("room=x&token=T"), None, Some("T"), None),
            (
                Some("token=T&room=x&previd=a-b_c"),
                None,
                Some("T"),
                Some("a-b_c"),
            ),
            // As one client builds it: two question marks.
            (
                Some("room=x?room=x&token=a.b-c_d"),
                None,
                Some("a.b-c_d"),
                None,
            ),
            (Some("room=x&token="), Some("Bearer H"), Some("H"), None),
            (Some("room=x&token=T"), Some("Bearer H"), Some("T"), None),
            (None, Some("bearer  H "), Some("H"), None),
            (None, Some("Basic H"), None, None),
            (None, Some("Bearer"), None, None),
            (Some("mytoken=T&xprevid=P"), None, None, None),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(header) = header {
                headers.insert(header::AUTHORIZATION, header.parse().unwrap());
            }
            let hello = Hello::read(query, &headers);
            assert_eq!(
                hello.credentials.token.as_ref().map(Secret::expose),
                token,
                "{query:?} {header:?}"
            );
            assert_eq!(hello.previous.as_ref().map(Secret::expose), previous);
            let printed = format!("{hello:?}");
            assert!(!printed.contains("a.b-c_d"), "{printed}");
        }
    }
}
