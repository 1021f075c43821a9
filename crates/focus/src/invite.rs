//! From nothing to an offer: whom to invite, what the bridge says, what is offered.

use crate::error::{BridgeFailure, Refusal};
use crate::focus::{Focus, MIN_MEMBERS};
use crate::member::{At, Busy, Jingling, Negotiation, effective};
use althing_control::{
    Allocate, Allocated, BridgeEvent, BridgeReply, BridgeRequest, Candidate, CandidateType,
    EndpointState, RefusalCode, SlotMode,
};
use althing_model::{EndpointId, Entropy, SourceDescription};
use althing_room::StartMuted;
use althing_xmpp::Element;
use althing_xmpp::features::SourceMode;
use althing_xmpp::jingle::{self, BridgeSession, Offer, OfferTransport, Reason};
use althing_xmpp::ns;

/// The longest pause between two attempts to get a bridge.
const MAX_PAUSE: At = 30_000;
/// After so many failures in a row the room is told that there is no bridge, which clients take as
/// the end of the meeting.
const PATIENCE: u32 = 4;

impl Focus {
    /// Invites whoever has no session and could have one.
    pub(crate) fn invite_all(&mut self) {
        if self.members.len() < MIN_MEMBERS {
            return;
        }
        let due: Vec<EndpointId> = self
            .members
            .iter()
            .filter(|(_, m)| {
                m.negotiation == Negotiation::Idle
                    && m.busy.is_none()
                    && m.features().is_some_and(|f| f.audio || f.video)
            })
            .map(|(id, _)| id.clone())
            .collect();
        for id in due {
            self.allocate(&id, 1);
        }
    }

    pub(crate) fn allocate_again(&mut self, id: &EndpointId) {
        let Some(member) = self.members.get_mut(id) else {
            return;
        };
        if let Negotiation::Waiting { attempt, .. } = member.negotiation {
            if self.members.len() >= MIN_MEMBERS {
                self.allocate(id, attempt + 1);
            } else if let Some(member) = self.members.get_mut(id) {
                member.negotiation = Negotiation::Idle;
            }
        }
    }

    pub(crate) fn allocate(&mut self, id: &EndpointId, attempt: u32) {
        let Some(member) = self.members.get_mut(id) else {
            return;
        };
        let Some(features) = member.features() else {
            return;
        };
        let features = effective(features, &self.settings);
        member.negotiation = Negotiation::Allocating { attempt };
        member.allocated = true;
        member.busy = Some(Busy::Allocate);
        let request = Allocate {
            conference: self.settings.conference.clone(),
            endpoint: id.clone(),
            role: member.role,
            may_send: member.may_send.and(member.forwarded),
            receives_audio: features.audio,
            receives_video: features.video,
            // Gateways and gst-meet, which know no JSON, are sent what they ask for.
            transport_cc: features.tcc && features.rtx && features.source_mode() != SourceMode::Xml,
            e2ee: member.info.presence.e2ee,
            slots: match features.source_mode() {
                SourceMode::Rewriting => SlotMode::Rewriting,
                SourceMode::Json | SourceMode::Xml => SlotMode::Plain,
            },
            feedback: self.feedback,
            events_to: self.settings.events_to.clone(),
        };
        let number = self.ask(BridgeRequest::Allocate(request));
        self.requests.insert(number, id.clone());
    }

    pub(crate) fn bridge_answer(
        &mut self,
        at: At,
        request_id: u64,
        result: Result<BridgeReply, BridgeFailure>,
        entropy: &mut dyn Entropy,
    ) {
        // An answer nobody waits for is that to an expiry, or its member has left.
        let Some(id) = self.requests.remove(&request_id) else {
            return;
        };
        let Some(busy) = self.members.get_mut(&id).and_then(|m| m.busy.take()) else {
            return;
        };
        match busy {
            Busy::Allocate => match result {
                Ok(BridgeReply::Allocated(allocated)) => self.allocated(&id, &allocated, entropy),
                Ok(BridgeReply::Refused {
                    code: RefusalCode::Overloaded,
                    ..
                }) => {
                    self.try_later(at, &id);
                }
                Ok(BridgeReply::Done | BridgeReply::Refused { .. }) | Err(_) => {
                    self.not_allocated(at, &id);
                }
            },
            Busy::Change {
                request,
                before,
                accept,
            } => {
                let outcome = match result {
                    Ok(BridgeReply::Done) => Taken::Yes,
                    Ok(BridgeReply::Refused {
                        code: RefusalCode::Invalid,
                        ..
                    }) => Taken::Invalid,
                    Ok(BridgeReply::Refused { .. } | BridgeReply::Allocated(_)) | Err(_) => {
                        Taken::Lost
                    }
                };
                self.change_answered(at, &id, &request, before, accept, outcome);
            }
        }
        self.work_off(at, &id);
    }

    /// What bridges say unasked. Endpoints that failed or expired are asked for anew by their
    /// clients (protocol 2 §20); one that is gone is also noticed by the next update. Who was lost
    /// is invited again as often as they might ask for it: a bug may not keep us busy.
    pub(crate) fn bridge_event(&mut self, at: At, event: &BridgeEvent) {
        let BridgeEvent::EndpointState {
            endpoint, state, ..
        } = event;
        let negotiated = self
            .members
            .get(endpoint)
            .is_some_and(|m| m.allocated && m.jingling().is_some());
        let again = match state {
            EndpointState::WornOut => negotiated,
            EndpointState::Lost => negotiated && self.may_restart(at, endpoint),
            EndpointState::Connected | EndpointState::Failed | EndpointState::Expired => false,
        };
        if again {
            self.reinvite(endpoint);
        }
    }

    /// There is no bridge for this member. Everybody is told in the end, since without one there is
    /// no meeting.
    fn not_allocated(&mut self, at: At, id: &EndpointId) {
        let attempt = self.try_later(at, id);
        if attempt.is_some_and(|a| a >= PATIENCE) && !self.bridge_missing {
            self.bridge_missing = true;
            self.announce();
        }
    }

    /// The next attempt comes after a pause; says which attempt this was. A bridge that has too
    /// much to do serves those who are there, and nobody is told of anything.
    fn try_later(&mut self, at: At, id: &EndpointId) -> Option<u32> {
        let member = self.members.get_mut(id)?;
        let Negotiation::Allocating { attempt } = member.negotiation else {
            return None;
        };
        let pause = (1_000 << attempt.saturating_sub(1).min(5)).min(MAX_PAUSE);
        member.negotiation = Negotiation::Waiting {
            attempt,
            until: at + pause,
        };
        Some(attempt)
    }

    fn allocated(&mut self, id: &EndpointId, allocated: &Allocated, entropy: &mut dyn Entropy) {
        if self.bridge_missing || !self.bridge_used {
            self.bridge_missing = false;
            self.bridge_used = true;
            self.announce();
        }
        if self.members.len() < MIN_MEMBERS {
            // The others left while the bridge was asked.
            if let Some(member) = self.members.get_mut(id) {
                member.negotiation = Negotiation::Idle;
                member.allocated = false;
            }
            return self.expire(id);
        }
        self.offer(id, allocated, entropy);
    }

    fn offer(&mut self, id: &EndpointId, allocated: &Allocated, entropy: &mut dyn Entropy) {
        let others = self.published_by_others(id);
        let Some(member) = self.members.get(id) else {
            return;
        };
        let Some(features) = member.features() else {
            return;
        };
        let mut features = effective(features, &self.settings);
        // Encrypted end to end, nobody can cut the newest frame out of it for those who take none.
        features.opus_red &= !member.info.presence.e2ee;
        let channel = &allocated.channel;
        let path = format!("{}?pwd={}", channel.path, channel.password.expose());
        let transport = OfferTransport {
            ufrag: allocated.transport.ufrag.clone(),
            password: allocated.transport.password.clone(),
            fingerprint: (
                allocated.transport.fingerprint.algorithm.clone(),
                allocated.transport.fingerprint.value.clone(),
            ),
            candidates: allocated.transport.candidates.iter().map(written).collect(),
            web_socket: Some(member.info.origin.websocket_url(&path)),
        };
        let sid = entropy.token(13);
        let bridge_session = BridgeSession {
            id: entropy.uuid(),
            ..BridgeSession::default()
        };
        let offer = Offer {
            sid: &sid,
            initiator: self.settings.jid.as_str(),
            features,
            transport: &transport,
            bridge_session: &bridge_session,
            feedback: self.feedback,
            sources: &others,
        };
        let mut jingle = offer.to_element();
        if member.former.is_empty()
            && !features.start_muted_metadata
            && let Some(start_muted) = start_muted(member.info.start_muted)
        {
            jingle.push(start_muted);
        }
        let signaled = offer
            .signalled_sources()
            .into_iter()
            .filter(|s| s.name.owner().as_str() != jingle::FEEDBACK_OWNER)
            .map(|s| (s.name.clone(), s))
            .collect();
        let offer_id = self.send_jingle(id, jingle);
        if let Some(member) = self.members.get_mut(id) {
            member.signaled = signaled;
            member.negotiation = Negotiation::Pending(Jingling {
                sid,
                offer_id,
                bridge_session: bridge_session.id,
            });
        }
    }

    pub(crate) fn published_by_others(&self, id: &EndpointId) -> Vec<SourceDescription> {
        self.members
            .iter()
            .filter(|(other, _)| *other != id)
            .flat_map(|(_, m)| m.published.iter().cloned())
            .collect()
    }

    /// The session of whoever is left alone ends; a new offer comes with the next newcomer.
    pub(crate) fn dismiss_the_last(&mut self, at: At) {
        let Some(id) = self.members.keys().next().cloned() else {
            return;
        };
        if self.members.len() > 1 {
            return;
        }
        let Some(sid) = self
            .members
            .get(&id)
            .and_then(|m| m.jingling())
            .map(|j| j.sid.clone())
        else {
            return;
        };
        let terminate =
            jingle::session_terminate(&sid, Reason::Expired, Some("Idle session timeout"));
        self.send_jingle(&id, terminate);
        self.end_session(&id, Negotiation::Idle);
        self.work_off(at, &id);
    }

    /// Takes a member's session, sources and endpoint away; the client has been, or will be, told.
    pub(crate) fn end_session(&mut self, id: &EndpointId, next: Negotiation) {
        let Some(member) = self.members.get_mut(id) else {
            return;
        };
        member.retire(next);
        member.published.clear();
        let unanswered = member.busy.take();
        let allocated = std::mem::take(&mut member.allocated);
        self.requests.retain(|_, waiting| waiting != id);
        self.sources.replace(id, Vec::new());
        if allocated {
            self.expire(id);
        }
        if let Some(Busy::Change { request, .. }) = unanswered {
            self.refuse(id, &request, &Refusal::SessionEnded);
        }
    }

    /// The client refused our offer.
    pub(crate) fn give_up(&mut self, at: At, id: &EndpointId) {
        self.end_session(id, Negotiation::Ended);
        self.work_off(at, id);
    }

    /// Ends the session and begins another: what old and new clients alike understand
    /// (protocol 2 §11.2).
    pub(crate) fn reinvite(&mut self, id: &EndpointId) {
        let sid = self
            .members
            .get(id)
            .and_then(|m| m.jingling())
            .map(|j| j.sid.clone());
        if let Some(sid) = sid {
            let terminate = jingle::session_terminate(&sid, Reason::Success, Some("moving"));
            self.send_jingle(id, terminate);
        }
        self.end_session(id, Negotiation::Idle);
        self.invite_all();
    }
}

/// What became of a change at the bridge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taken {
    Yes,
    /// The client's parameters make no sense.
    Invalid,
    /// The endpoint is gone, or the bridge does not answer.
    Lost,
}

/// Tells a client that does not read the room's metadata what to leave off.
fn start_muted(muted: StartMuted) -> Option<Element> {
    let word = |muted: bool| if muted { "true" } else { "false" };
    (muted != StartMuted::default()).then(|| {
        Element::new("startmuted", ns::START_MUTED)
            .with_attr("audio", word(muted.audio))
            .with_attr("video", word(muted.video))
    })
}

fn written(candidate: &Candidate) -> jingle::Candidate {
    jingle::Candidate {
        foundation: candidate.foundation.clone(),
        priority: candidate.priority,
        tcp: false,
        address: candidate.address,
        kind: match candidate.kind {
            CandidateType::Host => jingle::CandidateType::Host,
            CandidateType::ServerReflexive => jingle::CandidateType::ServerReflexive,
        },
        related: candidate.related,
    }
}
