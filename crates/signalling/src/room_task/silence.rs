//! Who has gone without a word: their media are gone, and their session waits for them.

use super::RoomTask;
use crate::clock;
use althing_control::{BridgeEvent, EndpointState};
use althing_room::Place;
use std::time::Duration;

/// How long somebody may be away whose media are gone as well.
const SILENT_PATIENCE: Duration = Duration::from_secs(30);
/// How often those are looked after.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(2);

impl RoomTask {
    /// Remembers whose media are gone, and forgets it when they are back.
    pub(super) fn note_media(&mut self, place: &Place, event: &BridgeEvent) {
        let BridgeEvent::EndpointState {
            endpoint, state, ..
        } = event;
        let Some(session) = self.meeting.session_of(place, endpoint).cloned() else {
            return;
        };
        match state {
            EndpointState::Connected => self.silent.remove(&session),
            EndpointState::Failed | EndpointState::Expired | EndpointState::Lost => {
                self.silent.insert(session)
            }
            // Its media go on.
            EndpointState::WornOut => false,
        };
    }

    /// Who has been away for half a minute, and whose media are gone as well, does not come back
    /// (its session alone would be waited for twice as long).
    pub(super) fn expire_silent(&self) {
        let now = clock::now().monotonic;
        let sessions = &self.shared.sessions;
        for session in &self.silent {
            let away = sessions.hibernating_since(session.number);
            if away.is_some_and(|since| now.saturating_duration_since(since) >= SILENT_PATIENCE) {
                sessions.expire(session.number);
            }
        }
    }
}
