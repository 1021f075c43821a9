//! What a worker does when it is told to: endpoints and conferences come and go.

use crate::channel::{Channel, PASSWORD_LENGTH};
use crate::counters::Count;
use crate::directory::Gone;
use crate::limits::Spent;
use crate::net::Spot;
use crate::stress::Measures;
use crate::worker::endpoint::{Conference, Endpoint, Traffic};
use crate::worker::{ChannelEvent, Command, EndpointRef, State, owner, ufrag_prefix};
use althing_control::{
    Allocate, Allocated, BridgeReply, BridgeRequest, ChannelAddress, EndpointState, Fingerprint,
    LocalTransport, RefusalCode, RemoteTransport, SlotMode, Update,
};
use althing_forwarding::{EndpointSettings, Limits};
use althing_model::{ConferenceId, EndpointId, FeedbackSources, Secret};
use althing_transport::{
    DtlsRole, IceCredentials, RemoteParameters, Settings as TransportSettings, Transport,
};
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

/// More endpoints than this on one worker could not be served anyway.
const MAX_ENDPOINTS: usize = 20_000;
/// Fingerprints beyond the hash algorithms there are make no sense.
const MAX_FINGERPRINTS: usize = 8;
/// Characters after the worker's letter; five random bits each.
const UFRAG_LENGTH: usize = 11;
const ICE_PASSWORD_LENGTH: usize = 26;

/// Whether a worker goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    GoOn,
    Stop,
    /// As if the system had given up the thread.
    #[cfg(test)]
    Fail,
}

type Refusal = (RefusalCode, String);

impl State {
    pub(super) fn handle_command(&mut self, now: Instant, command: Command) -> Next {
        match command {
            Command::Control {
                request,
                number,
                reply,
            } => {
                let answer =
                    self.handle_request(now, *request, number)
                        .unwrap_or_else(|(code, reason)| {
                            tracing::debug!(?code, reason, "bridge request refused");
                            BridgeReply::Refused { code, reason }
                        });
                // Whoever asked may have given up.
                reply.send(answer).ok();
            }
            Command::Part {
                conference,
                command,
            } => self.handle_part(now, &conference, *command),
            Command::Channel {
                endpoint,
                socket,
                event,
            } => self.handle_channel(now, endpoint, socket, event),
            Command::Debug { conference, reply } => {
                // Likewise.
                reply.send(self.debug(now, conference.as_ref())).ok();
            }
            Command::Shed(measures) => self.shed(now, measures),
            Command::Survey => self.surveyed = Some(self.survey(now)),
            Command::Stop => {
                self.end_all(now);
                return Next::Stop;
            }
            #[cfg(test)]
            Command::Die(crate::worker::Death::OfABug) => panic!("on purpose"),
            #[cfg(test)]
            Command::Die(crate::worker::Death::ForGood) => return Next::Fail,
            #[cfg(test)]
            Command::Panic(id) => {
                if let Some(conference) = self.by_id.get(&id).copied() {
                    self.guarded(now, conference, |_| panic!("on purpose"));
                }
            }
        }
        Next::GoOn
    }

    fn handle_request(
        &mut self,
        now: Instant,
        request: BridgeRequest,
        number: u64,
    ) -> Result<BridgeReply, Refusal> {
        match request {
            BridgeRequest::Allocate(request) => self.allocate(now, request, number),
            BridgeRequest::Update(update) => self.update(now, update),
            BridgeRequest::Expire {
                conference,
                endpoint,
            } => {
                if let Ok(slot) = self.find(&conference, &endpoint) {
                    tracing::info!(%conference, %endpoint, "endpoint removed by focus");
                    self.remove_endpoint(now, slot);
                }
                Ok(BridgeReply::Done)
            }
            BridgeRequest::ExpireConference { conference } => {
                if let Some(slot) = self.by_id.get(&conference).copied() {
                    self.end_conference(now, slot);
                }
                Ok(BridgeReply::Done)
            }
        }
    }

    fn allocate(
        &mut self,
        now: Instant,
        request: Allocate,
        number: u64,
    ) -> Result<BridgeReply, Refusal> {
        if self.endpoints.len() >= MAX_ENDPOINTS {
            let reason = format!("this worker has {MAX_ENDPOINTS} endpoints already");
            return Err((RefusalCode::Unavailable, reason));
        }
        match self.find(&request.conference, &request.endpoint) {
            // Who was here costs no more than before.
            Ok(older) => self.remove_endpoint(now, older),
            Err(_) if !self.measures.admits => {
                self.counters.one(Count::EndpointsRefused);
                let reason = "media is overloaded, no newcomers are taken".to_owned();
                return Err((RefusalCode::Overloaded, reason));
            }
            Err(_) => {}
        }
        let conference = match self.by_id.get(&request.conference) {
            Some(slot) => *slot,
            None => self.create_conference(now, &request.conference, request.feedback),
        };
        self.guarded(now, conference, |state| {
            let allocated = state.create_endpoint(now, conference, request, number);
            BridgeReply::Allocated(Box::new(allocated))
        })
        .ok_or_else(|| {
            let reason = "the conference was ended by a bug".to_owned();
            (RefusalCode::Unavailable, reason)
        })
    }

    pub(super) fn create_conference(
        &mut self,
        now: Instant,
        id: &ConferenceId,
        feedback: FeedbackSources,
    ) -> usize {
        let is_home = owner(id, self.shared.peers.len()) == self.index;
        if is_home {
            tracing::info!(conference = %id, worker = self.index, "conference created");
            self.counters.one(Count::ConferencesCreated);
        } else {
            tracing::info!(conference = %id, worker = self.index, "conference has a part here too");
        }
        let settings = self.shared.forwarding.clone();
        let seed = self.entropy.next_u64();
        let generation = self.next_generation();
        let slot = self.conferences.insert(Conference {
            id: id.clone(),
            generation,
            core: althing_forwarding::Conference::new(settings, feedback, seed),
            members: Vec::new(),
            by_id: HashMap::new(),
            is_home,
            remotes: 0,
            numbers: Vec::new(),
            created: now,
            empty_since: is_home.then_some(now),
            counted_size: 0,
            counted: althing_forwarding::ConferenceCounters::default(),
            touched: false,
            scheduled: None,
        });
        self.conferences[slot]
            .core
            .set_limits(now, limits(self.measures));
        self.census.began(&self.conferences[slot]);
        self.by_id.insert(id.clone(), slot);
        slot
    }

    fn create_endpoint(
        &mut self,
        now: Instant,
        conference: usize,
        request: Allocate,
        number: u64,
    ) -> Allocated {
        let credentials = self.new_credentials();
        let channel_password = Secret::new(self.entropy.token(PASSWORD_LENGTH));
        let transport = Transport::new(
            TransportSettings {
                credentials: credentials.clone(),
                certificate: self.shared.certificate.clone(),
                controlling: true,
                dtls: DtlsRole::Server,
                tie_breaker: self.entropy.next_u64(),
            },
            now,
        );
        let key = self.conferences[conference].core.add_endpoint(
            now,
            EndpointSettings {
                id: request.endpoint.clone(),
                role: request.role,
                may_send: request.may_send,
                receives_audio: request.receives_audio,
                receives_video: request.receives_video,
                slots: match request.slots {
                    SlotMode::Rewriting => althing_forwarding::SlotMode::Rewriting,
                    SlotMode::Plain => althing_forwarding::SlotMode::Plain,
                },
            },
        );
        let core = &mut self.conferences[conference].core;
        core.set_transport_cc(now, key, request.transport_cc);
        core.set_e2ee(now, key, request.e2ee);
        let generation = self.next_generation();
        let entry = self.endpoints.vacant_entry();
        let slot = entry.key();
        let reference = EndpointRef { slot, generation };
        let channel = Arc::new(Channel::new(
            channel_password.clone(),
            self.index,
            reference,
        ));
        entry.insert(Endpoint {
            id: request.endpoint.clone(),
            reference,
            number,
            conference,
            key,
            transport,
            path: None,
            paths: Vec::new(),
            ufrag: credentials.ufrag.as_str().into(),
            channel: channel.clone(),
            events_to: request.events_to.into(),
            created: now,
            connected: false,
            active: true,
            failed: None,
            rtt: None,
            spot: Spot::default(),
            traffic: Traffic::default(),
            spent: Spent::default(),
            patience: self.shared.patience,
            channel_due: None,
            worn_out: false,
            touched: false,
            scheduled: None,
        });
        self.by_ufrag
            .insert(credentials.ufrag.as_str().into(), slot);
        let members = &mut self.conferences[conference];
        members.enter(request.endpoint.clone(), key, slot);
        members.set_number(key, number);
        self.numbers.insert(number, (conference, key));
        self.census.resized(members);
        tracing::info!(conference = %request.conference, endpoint = %request.endpoint, "endpoint created");
        self.counters.one(Count::EndpointsCreated);
        self.touch_endpoint(slot);
        self.touch_conference(conference);
        self.publish_census();

        let node = &self.shared.node;
        let path = format!(
            "/colibri-ws/{node}/{}/{}",
            request.conference, request.endpoint
        );
        self.shared
            .channels
            .insert(request.conference, request.endpoint, channel);
        let fingerprint = self.shared.certificate.fingerprint();
        Allocated {
            node: node.clone(),
            transport: LocalTransport {
                ufrag: credentials.ufrag,
                password: credentials.password,
                fingerprint: Fingerprint {
                    algorithm: fingerprint.algorithm.to_string(),
                    value: fingerprint.to_string(),
                },
                candidates: self.shared.candidates.clone(),
            },
            channel: ChannelAddress {
                path,
                password: channel_password,
            },
        }
    }

    fn new_credentials(&mut self) -> IceCredentials {
        loop {
            let mut ufrag = String::from(ufrag_prefix(self.index));
            ufrag.push_str(&self.entropy.token(UFRAG_LENGTH));
            if !self.by_ufrag.contains_key(ufrag.as_str()) {
                return IceCredentials {
                    ufrag,
                    password: Secret::new(self.entropy.token(ICE_PASSWORD_LENGTH)),
                };
            }
        }
    }

    fn update(&mut self, now: Instant, update: Update) -> Result<BridgeReply, Refusal> {
        let slot = self.find(&update.conference, &update.endpoint)?;
        let remote = update.transport.map(remote_parameters).transpose()?;
        if let Some(sources) = &update.sources
            && let Some(empty) = sources.iter().find(|source| source.encodings.is_empty())
        {
            let reason = format!("source {} has no encoding", empty.name);
            return Err((RefusalCode::Invalid, reason));
        }
        if let Some(sources) = &update.sources {
            let encodings = sources.iter().flat_map(|source| &source.encodings);
            let ssrcs: usize = encodings.map(|e| 1 + usize::from(e.rtx.is_some())).sum();
            let most = self.shared.limits.ssrcs;
            if ssrcs > most {
                let reason = format!("{ssrcs} SSRCs, and {most} is the most");
                return Err((RefusalCode::Invalid, reason));
            }
        }
        let conference = self.endpoints[slot].conference;
        let result = self.guarded(now, conference, |state| {
            let endpoint = &mut state.endpoints[slot];
            // The only part that may yet be refused comes first.
            if let Some(remote) = remote {
                endpoint
                    .transport
                    .set_remote(now, remote)
                    .map_err(|error| (RefusalCode::Invalid, error.to_string()))?;
            }
            let key = endpoint.key;
            let core = &mut state.conferences[conference].core;
            if let Some(may_send) = update.may_send {
                core.set_may_send(now, key, may_send);
            }
            // Before its sources: not one packet of theirs is read otherwise.
            if let Some(e2ee) = update.e2ee {
                core.set_e2ee(now, key, e2ee);
            }
            if let Some(takes) = update.redundant_audio {
                core.set_redundant_audio(now, key, takes);
            }
            if let Some(last_n) = update.initial_last_n {
                core.set_last_n(now, key, last_n);
            }
            if let Some(sources) = update.sources {
                core.set_sources(now, key, sources);
            }
            state.touch_endpoint(slot);
            state.touch_conference(conference);
            Ok(BridgeReply::Done)
        });
        result.unwrap_or_else(|| {
            let reason = "the conference was ended by a bug".to_owned();
            Err((RefusalCode::Unavailable, reason))
        })
    }

    fn handle_channel(
        &mut self,
        now: Instant,
        reference: EndpointRef,
        socket: u64,
        event: ChannelEvent,
    ) {
        let endpoint = self.endpoints.get(reference.slot);
        let Some(endpoint) = endpoint.filter(|e| e.reference == reference) else {
            return;
        };
        let (conference, key) = (endpoint.conference, endpoint.key);
        let channel = endpoint.channel.clone();
        self.guarded(now, conference, |state| {
            let core = &mut state.conferences[conference].core;
            match event {
                ChannelEvent::Opened => {
                    if channel.greet(socket) {
                        core.channel_opened(now, key);
                    }
                }
                ChannelEvent::Message { message, ticket } => {
                    if channel.is_current(socket) {
                        core.handle_message(now, key, *message);
                    }
                    drop(ticket);
                }
                ChannelEvent::Closed => {
                    if !channel.has_socket() {
                        core.channel_closed(now, key);
                    }
                }
            }
            state.touch_conference(conference);
        });
    }

    /// From now on this is left off.
    fn shed(&mut self, now: Instant, measures: Measures) {
        self.measures = measures;
        let conferences: Vec<usize> = self.conferences.iter().map(|(slot, _)| slot).collect();
        for slot in conferences {
            self.guarded(now, slot, |state| {
                state.conferences[slot]
                    .core
                    .set_limits(now, limits(measures));
                state.touch_conference(slot);
            });
        }
    }

    fn find(&self, conference: &ConferenceId, endpoint: &EndpointId) -> Result<usize, Refusal> {
        let unknown = |what: String| (RefusalCode::Unknown, what);
        let slot = self
            .by_id
            .get(conference)
            .ok_or_else(|| unknown(format!("no conference {conference}")))?;
        self.conferences[*slot]
            .by_id
            .get(endpoint)
            .copied()
            .ok_or_else(|| unknown(format!("no endpoint {endpoint} in {conference}")))
    }

    /// Removes an endpoint and everything that leads to it.
    pub(super) fn remove_endpoint(&mut self, now: Instant, slot: usize) {
        let endpoint = self.detach(now, slot);
        if let Some(conference) = self.conferences.get_mut(endpoint.conference) {
            conference.leave(now, &endpoint.id, endpoint.key, slot);
            self.census.resized(conference);
            conference.core.remove_endpoint(now, endpoint.key);
            self.touch_conference(endpoint.conference);
        }
        self.publish_census();
    }

    /// Removes an endpoint from everything but its conference.
    fn detach(&mut self, now: Instant, slot: usize) -> Endpoint {
        let mut endpoint = self.endpoints.remove(slot);
        self.census.left(&endpoint);
        self.numbers.remove(&endpoint.number);
        self.by_ufrag.remove(&endpoint.ufrag);
        for bound in std::mem::take(&mut endpoint.paths) {
            self.unbind(slot, bound);
        }
        endpoint.channel.end();
        if let Some(conference) = self.conferences.get(endpoint.conference) {
            let channels = &self.shared.channels;
            channels.remove(&conference.id, &endpoint.id, &endpoint.channel);
        }
        endpoint.transport.close(now);
        while let Some(output) = endpoint.transport.poll() {
            if let althing_transport::Output::Transmit { path, payload } = output {
                self.queue.push(path, &payload);
            }
        }
        endpoint
    }

    /// Ends a conference and everyone in it.
    pub(super) fn end_conference(&mut self, now: Instant, slot: usize) {
        let Some(conference) = self.conferences.get_mut(slot) else {
            return;
        };
        let members: Vec<usize> = conference.by_id.drain().map(|(_, member)| member).collect();
        conference.remotes = 0;
        self.census.resized(conference);
        for member in members {
            self.detach(now, member);
        }
        let conference = self.conferences.remove(slot);
        self.by_id.remove(&conference.id);
        self.forget_numbers(&conference);
        self.census.ended(&conference);
        let lasted = now.saturating_duration_since(conference.created);
        self.counters
            .take_over(&conference.counted, &conference.counts());
        if conference.is_home {
            self.counters
                .add(Count::ConferenceMicroseconds, lasted.as_micros() as u64);
            self.counters.one(Count::ConferencesEnded);
        }
        self.publish_census();
        let seconds = lasted.as_secs();
        tracing::info!(conference = %conference.id, seconds, "conference ended");
    }

    /// Ends a conference that cannot be trusted any more: whatever panicked may do so again while
    /// it is taken apart.
    pub(super) fn abandon_conference(&mut self, now: Instant, slot: usize) {
        let Some(conference) = self.conferences.get_mut(slot) else {
            return;
        };
        let members: Vec<usize> = conference.by_id.drain().map(|(_, member)| member).collect();
        conference.remotes = 0;
        self.census.resized(conference);
        for member in members {
            if self.endpoints.contains(member) {
                self.publish(member, EndpointState::Lost);
                self.report_gone(member);
                if catch_unwind(AssertUnwindSafe(|| drop(self.detach(now, member)))).is_err() {
                    self.counters.one(Count::Panics);
                    if let Some(endpoint) = self.endpoints.try_remove(member) {
                        self.census.left(&endpoint);
                    }
                }
            }
        }
        if let Some(conference) = self.conferences.try_remove(slot) {
            self.by_id.remove(&conference.id);
            self.forget_numbers(&conference);
            self.census.ended(&conference);
            if conference.is_home {
                self.counters.one(Count::ConferencesEnded);
            }
            let gone = Gone::Part {
                conference: conference.id.clone(),
                worker: self.index,
            };
            self.gone.push_back(gone);
            if catch_unwind(AssertUnwindSafe(|| drop(conference))).is_err() {
                self.counters.one(Count::Panics);
            }
        }
        self.publish_census();
    }

    fn end_all(&mut self, now: Instant) {
        let conferences: Vec<usize> = self.conferences.iter().map(|(slot, _)| slot).collect();
        for slot in conferences {
            self.guarded(now, slot, |state| state.end_conference(now, slot));
        }
    }
}

/// What a conference leaves off.
const fn limits(measures: Measures) -> Limits {
    Limits {
        last_n: measures.last_n,
        max_height: measures.max_height,
        without_probing: !measures.probing,
    }
}

/// Checks what the client signalled before anything is changed.
fn remote_parameters(remote: RemoteTransport) -> Result<RemoteParameters, Refusal> {
    let invalid = |reason: String| (RefusalCode::Invalid, reason);
    if remote.fingerprints.is_empty() || remote.fingerprints.len() > MAX_FINGERPRINTS {
        let count = remote.fingerprints.len();
        return Err(invalid(format!("{count} certificate fingerprints")));
    }
    let mut fingerprints = Vec::with_capacity(remote.fingerprints.len());
    for fingerprint in &remote.fingerprints {
        let parsed =
            althing_transport::Fingerprint::parse(&fingerprint.algorithm, &fingerprint.value)
                .map_err(|error| invalid(error.to_string()))?;
        fingerprints.push(parsed);
    }
    Ok(RemoteParameters {
        credentials: IceCredentials {
            ufrag: remote.ufrag,
            password: remote.password,
        },
        fingerprints,
        candidates: remote.candidates,
    })
}
