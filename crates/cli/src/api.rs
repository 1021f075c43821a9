//! The interface for other programs: its settings, and where it keeps things.

use crate::auth;
use althing_api::{Audit, EVENTS, Key, Storage, USUAL_EVENTS, Webhook};
use althing_config::SecretSource;
use althing_control::rooms::{RoomName, RoomPlan};
use althing_model::{NodeId, Secret};
use althing_signalling::Plans;
use althing_store::{DataDir, Database, StoreError, Table};
use anyhow::{Context as _, Result, bail};
use std::fs::File;
use std::io;
use std::sync::Arc;

/// What `api.secret` is called in the audit log.
const FIRST_NAME: &str = "api";
/// Shorter ones can be guessed.
const MIN_SECRET: usize = 16;

/// All that the configuration says, secrets read from where they lie.
pub(crate) fn settings(
    settings: &althing_config::Settings,
    node: NodeId,
) -> Result<althing_api::Settings> {
    let mut keys = Vec::new();
    if let Some(source) = &settings.api.secret {
        keys.push(key(FIRST_NAME, source).context("api.secret_file")?);
    }
    for configured in &settings.api.keys {
        let name = &configured.name;
        keys.push(key(name, &configured.source).with_context(|| format!("[[api.key]] {name:?}"))?);
    }
    let webhooks = settings.webhooks.iter().map(|configured| {
        webhook(configured).with_context(|| format!("[[webhook]] {:?}", configured.url))
    });
    Ok(althing_api::Settings {
        node,
        keys,
        webhooks: webhooks.collect::<Result<_>>()?,
        audit: match (settings.audit.enabled, settings.audit.attendance) {
            (false, _) => Audit::Off,
            (true, false) => Audit::Moderation,
            (true, true) => Audit::Attendance,
        },
    })
}

fn key(name: &str, source: &SecretSource) -> Result<Key> {
    Ok(Key {
        name: name.to_owned(),
        secret: secret(source)?,
    })
}

fn webhook(configured: &althing_config::Webhook) -> Result<Webhook> {
    let usual = || USUAL_EVENTS.iter().map(|&event| event.to_owned()).collect();
    let events: Vec<String> = configured.events.clone().unwrap_or_else(usual);
    if let Some(unknown) = events.iter().find(|e| !EVENTS.contains(&e.as_str())) {
        bail!(
            "there is no event {unknown:?}; there are {}",
            EVENTS.join(", ")
        );
    }
    Ok(Webhook {
        url: configured.url.clone(),
        secret: secret(&configured.secret)?,
        events,
    })
}

fn secret(source: &SecretSource) -> Result<Secret> {
    match source {
        SecretSource::Secret(secret) => Ok(secret.clone()),
        SecretSource::File(path) => {
            let text = auth::file(path)?;
            let secret = text.trim_end();
            if secret.len() < MIN_SECRET {
                let path = path.display();
                bail!("{path} must hold a secret of {MIN_SECRET} characters at least");
            }
            Ok(Secret::new(secret))
        }
    }
}

/// Keeps what the interface keeps in the data directory.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) data: Arc<DataDir>,
    pub(crate) database: Database,
}

fn io(error: StoreError) -> io::Error {
    io::Error::other(error)
}

impl Storage for Kept {
    fn plans(&self) -> io::Result<Vec<(String, Vec<u8>)>> {
        self.database.all(Table::PlannedRooms).map_err(io)
    }

    fn put_plan(&self, key: &str, plan: &[u8]) -> io::Result<()> {
        self.database
            .put(Table::PlannedRooms, key, plan)
            .map_err(io)
    }

    fn remove_plan(&self, key: &str) -> io::Result<()> {
        let removed = self.database.remove(Table::PlannedRooms, key);
        removed.map(|_| ()).map_err(io)
    }

    fn audit_file(&self, month: &str) -> io::Result<File> {
        self.data
            .append(&format!("audit/{month}.jsonl"))
            .map_err(io)
    }
}

/// Tells the rooms what was planned.
#[derive(Debug)]
pub(crate) struct Planned(pub(crate) althing_api::Plans);

impl Plans for Planned {
    fn plan(&self, room: &RoomName) -> Option<RoomPlan> {
        self.0.find(room)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(file: &str) -> Result<althing_api::Settings> {
        let configured = althing_config::load(&althing_config::Sources {
            file: Some(("a.toml".into(), file.to_owned())),
            ..althing_config::Sources::default()
        })?;
        settings(&configured, NodeId::new("n1")?)
    }

    #[test]
    fn secrets_are_read_from_their_files_and_events_are_known_ones() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        std::fs::write(&path, "0123456789abcdef\n").unwrap();
        let key = format!("[api]\nsecret_file = {path:?}\n");
        let loaded = with(&key).unwrap();
        assert_eq!(loaded.keys[0].name, "api");
        assert!(loaded.keys[0].secret.matches("0123456789abcdef"));
        std::fs::write(&path, "short\n").unwrap();
        let error = format!("{:#}", with(&key).unwrap_err());
        assert!(error.contains("16 characters at least"), "{error}");

        let hook = |events: &str| {
            with(&format!(
                "[[webhook]]\nurl = \"https://a.b\"\nsecret = \"0123456789abcdef\"\n{events}"
            ))
        };
        assert_eq!(hook("").unwrap().webhooks[0].events, USUAL_EVENTS);
        assert_eq!(
            hook("events = [\"kicked\"]\n").unwrap().webhooks[0].events,
            ["kicked"]
        );
        let error = format!("{:#}", hook("events = [\"kikced\"]\n").unwrap_err());
        assert!(
            error.contains("kikced") && error.contains("kicked"),
            "{error}"
        );
    }
}
