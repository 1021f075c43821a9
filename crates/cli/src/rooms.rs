//! What rooms begin with: the configured presets, their passwords read from where they lie.

use crate::auth;
use althing_config::{Hosts, Moderators, PasswordSource, RoomPreset};
use althing_model::Secret;
use althing_signalling::{Preset, RoomRule, StartMuted};
use anyhow::{Context as _, Result, bail};

/// What a client may be expected to send.
const MAX_PASSWORD_BYTES: usize = 256;

pub(crate) const fn moderators(configured: Moderators) -> althing_signalling::Moderators {
    match configured {
        Moderators::First => althing_signalling::Moderators::First,
        Moderators::Authenticated => althing_signalling::Moderators::Authenticated,
        Moderators::Everyone => althing_signalling::Moderators::Everyone,
    }
}

/// All presets, in their order.
pub(crate) fn rules(presets: &[RoomPreset]) -> Result<Vec<RoomRule>> {
    presets
        .iter()
        .map(|preset| rule(preset).with_context(|| format!("[[room]] {:?}", preset.pattern)))
        .collect()
}

fn rule(preset: &RoomPreset) -> Result<RoomRule> {
    Ok(RoomRule {
        pattern: preset.pattern.clone(),
        moderators: preset.moderators.map(moderators),
        hosts_only: preset.hosts.map(|hosts| hosts == Hosts::Authenticated),
        max_occupants: preset.max_occupants,
        media: preset.media,
        preset: Preset {
            password: preset.password.as_ref().map(password).transpose()?,
            lobby: preset.lobby,
            subject: preset.subject.clone(),
            start_muted: StartMuted {
                audio: preset.start_muted_audio,
                video: preset.start_muted_video,
            },
            start_muted_above: preset.start_muted_above,
            metadata: preset.metadata.clone(),
            no_guests: !preset.guests,
            max_duration: preset.max_duration,
        },
    })
}

fn password(source: &PasswordSource) -> Result<Secret> {
    match source {
        PasswordSource::Password(password) => Ok(password.clone()),
        PasswordSource::File(path) => {
            let text = auth::file(path)?;
            let password = text.trim_end();
            if password.is_empty() || password.len() > MAX_PASSWORD_BYTES {
                let path = path.display();
                bail!("{path} must hold a password of 1 to {MAX_PASSWORD_BYTES} bytes");
            }
            Ok(Secret::new(password))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_file(path: std::path::PathBuf) -> Result<Vec<RoomRule>> {
        rules(&[RoomPreset {
            pattern: "board-*".into(),
            password: Some(PasswordSource::File(path)),
            ..RoomPreset::default()
        }])
    }

    #[test]
    fn a_password_is_read_from_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        std::fs::write(&path, "hunter2\n").unwrap();
        let rules = with_file(path.clone()).unwrap();
        assert!(
            rules[0]
                .preset
                .password
                .as_ref()
                .unwrap()
                .matches("hunter2")
        );
        assert!(!format!("{rules:?}").contains("hunter2"));
        std::fs::write(&path, "\n").unwrap();
        let error = format!("{:#}", with_file(path).unwrap_err());
        assert!(
            error.contains("board-*") && error.contains("1 to 256 bytes"),
            "{error}"
        );
        let error = format!("{:#}", with_file(folder.path().join("none")).unwrap_err());
        assert!(error.contains("cannot read"), "{error}");
    }
}
