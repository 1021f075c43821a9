//! The focus of each room of a meeting, and what it asks of the bridge that its conference is held on.

use super::{RoomTask, lock};
use crate::clock::{self, OsEntropy};
use althing_bus::BusError;
use althing_control::{BridgeReply, BridgeRequest};
use althing_focus::{BridgeFailure, Focus};
use althing_model::{ConferenceId, Entropy as _, NodeId};
use althing_room::Place;
use futures_util::future::FutureExt;
use std::time::Duration;

/// How long a bridge may take to answer. The client gives up on its own request after 10 s.
const BRIDGE_DEADLINE: Duration = Duration::from_secs(4);

/// To which room's focus, of which conference, an answer goes, and to which request.
pub(super) type BridgeAnswer = (Place, ConferenceId, u64, Result<BridgeReply, BridgeFailure>);

/// One room's focus and the conference it holds.
pub(super) struct Conference {
    pub(super) focus: Focus,
    pub(super) conference: ConferenceId,
}

impl RoomTask {
    pub(super) fn make_focus(&mut self, place: &Place) {
        if self.focuses.contains_key(place) {
            return;
        }
        let settings = &self.shared.settings;
        let conference = ConferenceId::new(OsEntropy.token(20))
            .expect("letters and digits make a conference id");
        let focus = Focus::new(
            althing_focus::Settings {
                jid: self.shared.focus_jid.clone(),
                version: settings.version.clone(),
                conference: conference.clone(),
                bridge: settings.bridge.clone(),
                events_to: althing_control::focus_subject(&settings.node),
                limits: althing_focus::Limits {
                    ssrcs: settings.max_ssrcs,
                    groups: settings.max_ssrc_groups,
                },
                rewriting: true,
                json_sources: true,
                redundant_audio: settings.redundant_audio,
                media: self.meeting.media(),
            },
            clock::now(),
            &mut OsEntropy,
        );
        tracing::info!(%conference, "conference made");
        lock(&self.conferences).insert(conference.clone());
        self.shared
            .directory
            .add_conference(conference.clone(), &self.handle);
        let held = Conference { focus, conference };
        self.focuses.insert(place.clone(), held);
    }

    pub(super) fn ask_bridge(
        &self,
        place: Place,
        conference: ConferenceId,
        request_id: u64,
        node: &NodeId,
        request: &BridgeRequest,
    ) {
        let subject = althing_control::bridge_subject(node);
        let payload = althing_control::encode(request).into();
        // Handed over by the call itself, so requests keep the order in which the focus made them.
        let answer = self.shared.bus.request(&subject, payload, BRIDGE_DEADLINE);
        let failed = self.shared.metrics.bridge_requests_failed.clone();
        self.requests.push(
            async move {
                let result = match answer.await {
                    Ok(bytes) => althing_control::decode::<BridgeReply>(&bytes).map_err(|error| {
                        tracing::warn!(%error, "a bridge's answer cannot be read");
                        BridgeFailure::Malformed
                    }),
                    Err(BusError::NoResponder) => Err(BridgeFailure::NoResponder),
                    Err(BusError::Deadline) => Err(BridgeFailure::Deadline),
                    Err(_) => Err(BridgeFailure::Overloaded),
                };
                if result.is_err() {
                    failed.inc();
                }
                (place, conference, request_id, result)
            }
            .boxed(),
        );
    }
}
