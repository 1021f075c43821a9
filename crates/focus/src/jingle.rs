//! What clients ask by Jingle, one request of a member at a time, in order (protocol 2 §§6–8, 11).

use crate::error::Refusal;
use crate::focus::Focus;
use crate::invite::Taken;
use crate::member::{At, Busy, Jingling, Member, Negotiation};
use crate::sources::namesake;
use althing_control::{BridgeRequest, Fingerprint, RemoteTransport, Update};
use althing_model::{EndpointId, SourceDescription};
use althing_xmpp::Element;
use althing_xmpp::jingle::{Accept, Body, BridgeSession, Jingle, RawSources, Transport, sid_of};
use althing_xmpp::stanza::{refuse, result_reply};

/// How many requests of one member wait while the bridge is asked.
const MAX_INBOX: usize = 64;
/// Restarts of one member: so far apart at least, so many in a minute at most.
const RESTART_INTERVAL: At = 5_000;
const RESTARTS_PER_MINUTE: usize = 5;

impl Focus {
    pub(crate) fn jingle(&mut self, at: At, from: &EndpointId, stanza: Element) {
        let Some(member) = self.members.get_mut(from) else {
            return;
        };
        if member.busy.is_none() {
            return self.perform(at, from, &stanza);
        }
        if member.inbox.len() >= MAX_INBOX {
            return self.refuse(from, &stanza, &Refusal::TooMany);
        }
        member.inbox.push_back(stanza);
    }

    /// Takes up what came while the bridge was asked.
    pub(crate) fn work_off(&mut self, at: At, id: &EndpointId) {
        while let Some(stanza) = self
            .members
            .get_mut(id)
            .filter(|m| m.busy.is_none())
            .and_then(|m| m.inbox.pop_front())
        {
            self.perform(at, id, &stanza);
        }
    }

    pub(crate) fn refuse(&mut self, to: &EndpointId, stanza: &Element, why: &Refusal) {
        let reply = refuse(stanza, why.condition(), Some(&why.to_string()));
        self.reply(to, reply);
    }

    fn accept_reply(&mut self, to: &EndpointId, stanza: &Element) {
        self.reply(to, result_reply(stanza));
    }

    fn perform(&mut self, at: At, from: &EndpointId, stanza: &Element) {
        if let Err(refusal) = self.try_perform(at, from, stanza) {
            self.refuse(from, stanza, &refusal);
        }
    }

    /// The request is answered, or will be, when this is `Ok`.
    fn try_perform(&mut self, at: At, from: &EndpointId, stanza: &Element) -> Result<(), Refusal> {
        let Some(member) = self.members.get(from) else {
            return Ok(());
        };
        let session = find_session(member, sid_of(stanza));
        let jingle = match Jingle::parse(stanza) {
            Ok(jingle) => jingle,
            Err(error) => {
                // An accept that cannot be read ends the session like one that is not valid.
                let accepts = stanza
                    .child("jingle", althing_xmpp::ns::JINGLE)
                    .and_then(|j| j.attr("action"))
                    == Some("session-accept");
                if accepts && session.is_ok() {
                    self.end_session(from, Negotiation::Ended);
                }
                return Err(error.into());
            }
        };
        let accepts = matches!(
            jingle.body,
            Body::SessionAccept(_) | Body::TransportAccept(_)
        );
        let session = session.map_err(|lost| match lost {
            Lost::Unknown => Refusal::UnknownSession,
            Lost::Ended => Refusal::SessionEnded,
            Lost::Former if accepts => Refusal::Replaced,
            Lost::Former => Refusal::NoLongerActive,
        })?;
        match jingle.body {
            Body::SessionAccept(mut accept) | Body::TransportAccept(mut accept) => {
                // Released gst-meet names no sources.
                accept.sources.fill_names(from);
                self.session_accept(from, stanza, accept)
            }
            Body::SourceAdd(mut raw) => {
                raw.fill_names(from);
                self.source_add(from, stanza, &raw)
            }
            Body::SourceRemove(raw) => self.source_remove(from, stanza, &raw),
            Body::TransportInfo(None) => Err(Refusal::MissingTransport),
            // Candidates are learnt from checks; in-place restarts are declined when asked for.
            Body::TransportInfo(Some(_)) | Body::TransportReject => {
                self.accept_reply(from, stanza);
                Ok(())
            }
            Body::SessionInfo { ice_state } => {
                let named = jingle.bridge_session.as_ref();
                self.session_info(at, from, stanza, &session, ice_state.as_deref(), named)
            }
            Body::SessionTerminate(_) => {
                let named = jingle.bridge_session.as_ref();
                self.session_terminate(at, from, stanza, &session, named)
            }
            Body::SessionInitiate(_) | Body::Unsupported(_) => Err(Refusal::Unsupported),
        }
    }

    /// Protocol 2 §6.3.
    fn session_accept(
        &mut self,
        from: &EndpointId,
        stanza: &Element,
        accept: Accept,
    ) -> Result<(), Refusal> {
        let Some(member) = self.members.get(from) else {
            return Ok(());
        };
        if !matches!(member.negotiation, Negotiation::Pending(_)) {
            return Err(Refusal::AcceptedBefore);
        }
        let checked = self
            .with_added(from, member, &accept.sources)
            .and_then(|set| Ok((set, remote_transport(accept.transport)?)));
        match checked {
            Ok((set, transport)) => {
                let update = Update {
                    transport: Some(transport),
                    initial_last_n: accept.initial_last_n,
                    redundant_audio: Some(accept.redundant_audio),
                    ..self.update(from)
                };
                self.change(from, stanza, set, update, true);
                Ok(())
            }
            Err(refusal) => {
                self.end_session(from, Negotiation::Ended);
                Err(refusal)
            }
        }
    }

    fn source_add(
        &mut self,
        from: &EndpointId,
        stanza: &Element,
        raw: &RawSources,
    ) -> Result<(), Refusal> {
        let Some(member) = self.members.get(from) else {
            return Ok(());
        };
        if raw.sources.is_empty() {
            self.accept_reply(from, stanza);
            return Ok(());
        }
        if !matches!(member.negotiation, Negotiation::Active(_)) {
            return Err(Refusal::NotAccepted);
        }
        let set = self.with_added(from, member, raw)?;
        let update = self.update(from);
        self.change(from, stanza, set, update, false);
        Ok(())
    }

    /// What somebody would send; nothing that is made of the id of another who is here, and who would
    /// be refused it then.
    fn with_added(
        &self,
        from: &EndpointId,
        member: &Member,
        raw: &RawSources,
    ) -> Result<Vec<SourceDescription>, Refusal> {
        let limits = self.settings.limits;
        let set = self
            .sources
            .with_added(from, member.may_send, raw, limits)?;
        let borrowed = set.iter().find(|source| {
            let whose = namesake(&source.msid);
            whose.is_some_and(|id| id != from.as_str() && self.members.contains_key(id))
        });
        match borrowed {
            Some(source) => Err(Refusal::MsidUsed(source.msid.clone())),
            None => Ok(set),
        }
    }

    fn source_remove(
        &mut self,
        from: &EndpointId,
        stanza: &Element,
        raw: &RawSources,
    ) -> Result<(), Refusal> {
        if raw.sources.is_empty() {
            self.accept_reply(from, stanza);
            return Ok(());
        }
        let set = self.sources.with_removed(from, raw)?;
        let update = self.update(from);
        self.change(from, stanza, set, update, false);
        Ok(())
    }

    pub(crate) fn update(&self, endpoint: &EndpointId) -> Update {
        Update::new(self.settings.conference.clone(), endpoint.clone())
    }

    /// Takes the SSRCs, so that nobody else gets them meanwhile, and asks the bridge.
    fn change(
        &mut self,
        id: &EndpointId,
        stanza: &Element,
        set: Vec<SourceDescription>,
        mut update: Update,
        accept: bool,
    ) {
        let before = self.sources.of(id).to_vec();
        self.sources.replace(id, set.clone());
        update.sources = Some(set);
        let number = self.ask(BridgeRequest::Update(update));
        self.requests.insert(number, id.clone());
        if let Some(member) = self.members.get_mut(id) {
            member.busy = Some(Busy::Change {
                request: stanza.clone(),
                before,
                accept,
            });
        }
    }

    /// The bridge has, or has not, taken a change.
    pub(crate) fn change_answered(
        &mut self,
        at: At,
        id: &EndpointId,
        request: &Element,
        before: Vec<SourceDescription>,
        accept: bool,
        taken: Taken,
    ) {
        match taken {
            Taken::Yes => {
                let set = self.sources.of(id).to_vec();
                let Some(member) = self.members.get_mut(id) else {
                    return;
                };
                member.published = set;
                if accept && let Negotiation::Pending(jingling) = &member.negotiation {
                    member.negotiation = Negotiation::Active(jingling.clone());
                    // What changed while the offer was out.
                    member.flush_at = Some(at);
                }
                self.accept_reply(id, request);
                self.sources_changed(at, id);
            }
            Taken::Invalid => {
                self.sources.replace(id, before);
                if accept {
                    self.end_session(id, Negotiation::Ended);
                }
                let why = Refusal::Bridge("the parameters make no sense");
                self.refuse(id, request, &why);
            }
            Taken::Lost => {
                // The client did nothing wrong: it is answered, and gets a session that works.
                self.sources.replace(id, before);
                self.accept_reply(id, request);
                self.reinvite(id);
                self.sources_changed(at, id);
            }
        }
    }

    fn session_info(
        &mut self,
        at: At,
        from: &EndpointId,
        stanza: &Element,
        session: &Jingling,
        ice_state: Option<&str>,
        named: Option<&BridgeSession>,
    ) -> Result<(), Refusal> {
        if named.is_some_and(|n| n.ice_restart) {
            return Err(Refusal::NoIceRestart);
        }
        self.accept_reply(from, stanza);
        let current = named.is_some_and(|n| n.id == session.bridge_session);
        if ice_state == Some("failed") && current && self.may_restart(at, from) {
            self.reinvite(from);
            self.sources_changed(at, from);
        }
        Ok(())
    }

    /// Protocol 2 §11.1: the answer goes out before a new offer, or the client loses the offer.
    fn session_terminate(
        &mut self,
        at: At,
        from: &EndpointId,
        stanza: &Element,
        session: &Jingling,
        named: Option<&BridgeSession>,
    ) -> Result<(), Refusal> {
        let stale = named.filter(|n| n.id != session.bridge_session);
        let restart = named.is_some_and(|n| n.restart);
        self.end_session(from, Negotiation::Ended);
        self.sources_changed(at, from);
        if let Some(stale) = stale {
            return Err(Refusal::StaleBridgeSession(
                stale.id.chars().take(64).collect(),
            ));
        }
        if restart && !self.may_restart(at, from) {
            return Err(Refusal::RateLimited);
        }
        self.accept_reply(from, stanza);
        if restart && let Some(member) = self.members.get_mut(from) {
            member.negotiation = Negotiation::Idle;
            self.invite_all();
        }
        Ok(())
    }

    pub(crate) fn may_restart(&mut self, at: At, id: &EndpointId) -> bool {
        let Some(member) = self.members.get_mut(id) else {
            return false;
        };
        member.restarts.retain(|then| then + 60_000 > at);
        let soon = member
            .restarts
            .back()
            .is_some_and(|last| last + RESTART_INTERVAL > at);
        if soon || member.restarts.len() >= RESTARTS_PER_MINUTE {
            return false;
        }
        member.restarts.push_back(at);
        true
    }
}

/// Why a session id is of no use.
enum Lost {
    Unknown,
    /// It had a session and has none now.
    Ended,
    /// A newer one has taken its place.
    Former,
}

/// The member's own session of this id: somebody else's is as unknown as any.
fn find_session(member: &Member, sid: Option<&str>) -> Result<Jingling, Lost> {
    let sid = sid.unwrap_or_default();
    match member.jingling() {
        Some(current) if current.sid == sid => Ok(current.clone()),
        _ if member.former.iter().any(|former| former == sid) => {
            Err(if member.negotiation == Negotiation::Ended {
                Lost::Ended
            } else {
                Lost::Former
            })
        }
        _ => Err(Lost::Unknown),
    }
}

fn remote_transport(transport: Option<Transport>) -> Result<RemoteTransport, Refusal> {
    let transport = transport.ok_or(Refusal::MissingTransport)?;
    let (Some(ufrag), Some(password)) = (transport.ufrag, transport.password) else {
        return Err(Refusal::MissingTransport);
    };
    if transport.fingerprints.is_empty() {
        return Err(Refusal::MissingTransport);
    }
    Ok(RemoteTransport {
        ufrag,
        password,
        fingerprints: transport
            .fingerprints
            .into_iter()
            .map(|f| Fingerprint {
                algorithm: f.algorithm,
                value: f.value,
            })
            .collect(),
        candidates: transport
            .candidates
            .iter()
            .filter(|c| !c.tcp)
            .map(|c| c.address)
            .collect(),
    })
}
