//! What a room begins with, each time anew: settings that survive its meetings.

use crate::metadata::{Metadata, StartMuted};
use althing_model::Secret;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::time::Duration;

/// What a room begins with; moderators may change all but the last two.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Preset {
    /// Must be said by whoever is no member.
    pub password: Option<Secret>,
    /// The lobby is on from the start.
    pub lobby: bool,
    /// The name people see.
    pub subject: Option<String>,
    /// What newcomers leave off.
    pub start_muted: StartMuted,
    /// They leave their microphone off from when more than this many are there.
    #[serde(default)]
    pub start_muted_above: Option<usize>,
    /// Further metadata (protocol 4 §18); what only the server writes is left out.
    pub metadata: Map<String, Value>,
    /// Nobody without a token comes in.
    pub no_guests: bool,
    /// How long a meeting lasts at most, from when the first one comes.
    pub max_duration: Option<Duration>,
}

impl Preset {
    pub(crate) fn write(&self, metadata: &mut Metadata) {
        for (key, value) in &self.metadata {
            metadata.preset(key, value);
        }
        if self.start_muted != StartMuted::default() {
            metadata.set_start_muted(self.start_muted);
        }
        if self.lobby {
            metadata.set("lobbyEnabled", Value::Bool(true));
        }
    }
}
