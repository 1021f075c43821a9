//! Who may log in: the configured keys read from where they lie, and the door's question answered.

use althing_config::{Auth, AuthKeySource, TokenRules};
use althing_identity::{KeySettings, KeySource, Rules, Verifier};
use althing_model::{Identity, Secret};
use althing_signalling::{Authenticator, Credentials, LoginRefused};
use anyhow::{Context as _, Result, bail};
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// No key is longer; a mistaken path may lead to anything.
const MAX_FILE_BYTES: u64 = 64 * 1024;
/// What HS256 is as strong as (RFC 7518 §3.2).
const ENOUGH_BYTES: usize = 32;

/// The keys, ready for use.
pub(crate) struct Keys {
    /// `None` when there are none: then everybody is a guest.
    pub verifier: Option<Arc<Verifier>>,
    /// What an operator should know.
    pub notes: Vec<String>,
}

/// Reads all keys that are configured.
pub(crate) fn keys(auth: &Auth) -> Result<Keys> {
    let mut named = Vec::new();
    if let Some(source) = &auth.secret {
        let name = match source {
            AuthKeySource::SecretFile(_) => "auth.secret_file",
            _ => "auth.secret",
        };
        named.push((name.to_owned(), key(source, Vec::new(), None)));
    }
    for (n, configured) in auth.keys.iter().enumerate() {
        let algorithms = configured
            .algorithms
            .iter()
            .map(|name| name.parse())
            .collect::<Result<Vec<_>, _>>()?;
        let read = key(&configured.source, algorithms, configured.kid.clone());
        named.push((format!("[[auth.key]] {}", n + 1), read));
    }
    let (mut names, mut settings, mut notes) = (Vec::new(), Vec::new(), Vec::new());
    for (name, key) in named {
        let key = key.with_context(|| name.clone())?;
        if matches!(&key.source, KeySource::Secret(s) if s.expose().len() < ENOUGH_BYTES) {
            notes.push(format!(
                "{name} is short: whoever has one token can try to guess it. {ENOUGH_BYTES} random \
                 characters are enough."
            ));
        }
        names.push(name);
        settings.push(key);
    }
    if settings.is_empty() {
        return Ok(Keys {
            verifier: None,
            notes,
        });
    }
    let verifier = Verifier::new(althing_identity::Settings {
        keys: settings,
        rules: rules(&auth.token),
    })
    .map_err(|error| {
        let name = names
            .get(error.number.saturating_sub(1))
            .cloned()
            .unwrap_or_default();
        anyhow::anyhow!("{name}: {}", error.source)
    })?;
    Ok(Keys {
        verifier: Some(Arc::new(verifier)),
        notes,
    })
}

fn rules(token: &TokenRules) -> Rules {
    Rules {
        issuers: token.issuers.clone(),
        audiences: token.audiences.clone(),
        clock_skew: token.clock_skew,
        require_exp: token.require_exp,
        require_room: token.require_room,
        verify_domain: token.verify_domain,
    }
}

fn key(
    source: &AuthKeySource,
    algorithms: Vec<althing_identity::Algorithm>,
    kid: Option<String>,
) -> Result<KeySettings> {
    let url = |text: &str| text.parse().with_context(|| text.to_owned());
    Ok(KeySettings {
        algorithms,
        kid,
        source: match source {
            AuthKeySource::Secret(secret) => KeySource::Secret(secret.clone()),
            AuthKeySource::SecretFile(path) => {
                KeySource::Secret(Secret::new(file(path)?.trim_end()))
            }
            AuthKeySource::Pem(pem) => KeySource::Pem(pem.clone()),
            AuthKeySource::PemFile(path) => KeySource::Pem(Secret::new(file(path)?)),
            AuthKeySource::Jwks(text) => KeySource::Jwks(url(text)?),
            AuthKeySource::Asap(text) => KeySource::KeyServer(url(text)?),
        },
    })
}

pub(crate) fn file(path: &Path) -> Result<String> {
    let cannot = || format!("cannot read {}", path.display());
    let length = std::fs::metadata(path).with_context(cannot)?.len();
    if length > MAX_FILE_BYTES {
        bail!("{} is too long to be a secret", path.display());
    }
    std::fs::read_to_string(path).with_context(cannot)
}

/// Seconds since 1970, as tokens count.
pub(crate) fn now() -> u64 {
    // A clock before 1970 makes every token one of the future.
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

/// Lets in whoever has a token that holds, and guests if they may.
#[derive(Debug)]
pub(crate) struct Doorkeeper {
    pub verifier: Arc<Verifier>,
    pub guests: bool,
}

impl Authenticator for Doorkeeper {
    fn authenticate(
        &self,
        credentials: Credentials,
    ) -> Pin<Box<dyn Future<Output = Result<Option<Identity>, LoginRefused>> + Send>> {
        let Some(token) = credentials.token else {
            let answer = if self.guests {
                Ok(None)
            } else {
                Err(refused("token required"))
            };
            return Box::pin(std::future::ready(answer));
        };
        let verifier = Arc::clone(&self.verifier);
        Box::pin(async move {
            verifier
                .verify(token.expose(), now())
                .await
                .map(Some)
                .map_err(|error| refused(&error.to_string()))
        })
    }
}

fn refused(text: &str) -> LoginRefused {
    LoginRefused {
        text: text.to_owned(),
    }
}
