use crate::algorithm::{Algorithm, Family};
use crate::claims::Rules;
use crate::error::TokenError;
use crate::fetch::{Fetch, HttpFetch, is_safe};
use crate::key::{KeyError, KeySettings, KeySource, LocalKey};
use crate::mint::{Claims, MintError};
use crate::remote::{Kind, Remote};
use crate::token::Token;
use althing_model::Identity;
use futures_util::future::join_all;
use std::sync::Arc;
use tokio_util::task::TaskTracker;
use url::Url;

/// Which tokens are accepted.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Keys, tried in this order; the first that can sign is the one that mints.
    pub keys: Vec<KeySettings>,
    /// What a token has to say.
    pub rules: Rules,
}

/// Checks tokens; cheap to share behind an `Arc`.
#[derive(Debug)]
pub struct Verifier {
    keys: Vec<Key>,
    rules: Rules,
}

#[derive(Debug)]
enum Key {
    Local(LocalKey),
    Remote(Arc<Remote>),
}

impl Key {
    fn algorithms(&self) -> &[Algorithm] {
        match self {
            Self::Local(key) => &key.algorithms,
            Self::Remote(remote) => &remote.algorithms,
        }
    }
}

/// Which key cannot be used, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("key {number}: {source}")]
pub struct SettingsError {
    /// Counted from 1.
    pub number: usize,
    /// Why.
    pub source: KeyError,
}

impl Verifier {
    /// Reads every key; nothing is fetched before it is asked for.
    ///
    /// # Errors
    /// [`SettingsError`] for the first key that cannot be used.
    pub fn new(settings: Settings) -> Result<Self, SettingsError> {
        let mut fetching = Fetching::default();
        let keys = settings
            .keys
            .into_iter()
            .enumerate()
            .map(|(n, key)| {
                fetching.key(key).map_err(|source| SettingsError {
                    number: n + 1,
                    source,
                })
            })
            .collect::<Result<_, _>>()?;
        Ok(Self {
            keys,
            rules: settings.rules,
        })
    }

    /// Who the holder of a token is, at `now` in seconds since 1970. Takes 5 s at most, when a
    /// key server does not answer.
    ///
    /// # Errors
    /// [`TokenError`], whose text is for the client.
    pub async fn verify(&self, token: &str, now: u64) -> Result<Identity, TokenError> {
        let token = Token::read(token)?;
        self.check_signature(&token).await?;
        self.rules.identity(&token.claims, now)
    }

    /// A token by the first key that can sign, which [`Self::verify`] accepts.
    ///
    /// # Errors
    /// [`MintError`].
    pub fn mint(&self, claims: &Claims) -> Result<String, MintError> {
        let key = self
            .keys
            .iter()
            .find_map(|key| match key {
                Key::Local(key) if key.can_sign() => Some(key),
                _ => None,
            })
            .ok_or(MintError::NoKey)?;
        claims.sign(key, &self.rules)
    }

    async fn check_signature(&self, token: &Token<'_>) -> Result<(), TokenError> {
        let (remotes, mut failure) = match self.try_locals(token)? {
            Tried::Fits => return Ok(()),
            Tried::Not { remotes, failure } => (remotes, failure),
        };
        let Some(kid) = token.kid.as_deref() else {
            return Err(failure.into());
        };
        // All at once, so that two servers that hang take no longer than one.
        let found = join_all(remotes.iter().map(|r| r.find(kid, token.algorithm))).await;
        for keys in found {
            let verifies = keys
                .iter()
                .any(|key| key.verifies(token.algorithm, token.signed, &token.signature));
            if verifies {
                return Ok(());
            }
            failure = failure.max(if keys.is_empty() {
                Failure::KeyUnknown
            } else {
                Failure::Signature
            });
        }
        Err(failure.into())
    }

    /// The keys that are here; those that are not are told for later.
    fn try_locals(&self, token: &Token<'_>) -> Result<Tried, TokenError> {
        let fits = |key: &&Key| key.algorithms().contains(&token.algorithm);
        if !self.keys.iter().any(|key| fits(&key)) {
            return Err(TokenError::Algorithm);
        }
        // What came nearest is what the holder is told.
        let mut failure = Failure::KidMissing;
        let mut remotes = Vec::new();
        for key in self.keys.iter().filter(fits) {
            match key {
                Key::Remote(remote) => remotes.push(Arc::clone(remote)),
                Key::Local(key) => match try_local(key, token) {
                    Ok(()) => return Ok(Tried::Fits),
                    Err(tried) => failure = failure.max(tried),
                },
            }
        }
        Ok(Tried::Not { remotes, failure })
    }
}

/// What the keys that are here say of a signature.
enum Tried {
    Fits,
    Not {
        remotes: Vec<Arc<Remote>>,
        failure: Failure,
    },
}

/// A key that has a name is only for tokens that name it.
fn try_local(key: &LocalKey, token: &Token<'_>) -> Result<(), Failure> {
    match (&key.kid, &token.kid) {
        (Some(_), None) => return Err(Failure::KidMissing),
        (Some(own), Some(named)) if own != named => return Err(Failure::KeyUnknown),
        _ => {}
    }
    if key
        .material
        .verifies(token.algorithm, token.signed, &token.signature)
    {
        Ok(())
    } else {
        Err(Failure::Signature)
    }
}

/// In the order of how near a token came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Failure {
    KidMissing,
    KeyUnknown,
    Signature,
}

impl From<Failure> for TokenError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::KidMissing => Self::KidMissing,
            Failure::KeyUnknown => Self::Key,
            Failure::Signature => Self::Signature,
        }
    }
}

/// What fetched keys share.
#[derive(Default)]
struct Fetching {
    tasks: TaskTracker,
    /// Made for the first key that needs it: it reads the machine's certificates.
    http: Option<Arc<dyn Fetch>>,
}

impl Fetching {
    fn key(&mut self, settings: KeySettings) -> Result<Key, KeyError> {
        let KeySettings {
            algorithms,
            kid,
            source,
        } = settings;
        match source {
            KeySource::Secret(secret) => LocalKey::secret(secret, algorithms, kid).map(Key::Local),
            KeySource::Pem(pem) => LocalKey::pem(pem.expose(), algorithms, kid).map(Key::Local),
            KeySource::Jwks(url) => self.remote(Kind::Document, url, algorithms),
            KeySource::KeyServer(url) => self.remote(Kind::Files, url, algorithms),
        }
    }

    fn remote(
        &mut self,
        kind: Kind,
        url: Url,
        mut algorithms: Vec<Algorithm>,
    ) -> Result<Key, KeyError> {
        if !is_safe(&url) {
            return Err(KeyError::Insecure(url.to_string()));
        }
        if algorithms.is_empty() {
            algorithms.push(Algorithm::Rs256);
        }
        if let Some(algorithm) = algorithms.iter().find(|a| a.family() == Family::Hmac) {
            return Err(KeyError::Unfit {
                algorithm: *algorithm,
                kind: "a fetched key",
            });
        }
        let http = match &self.http {
            Some(http) => Arc::clone(http),
            None => {
                let http: Arc<dyn Fetch> = Arc::new(HttpFetch::new()?);
                Arc::clone(self.http.insert(http))
            }
        };
        let remote = Remote::new(kind, url, algorithms, http, self.tasks.clone());
        Ok(Key::Remote(Arc::new(remote)))
    }
}

#[cfg(test)]
mod tests;
