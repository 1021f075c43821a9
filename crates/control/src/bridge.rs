use althing_model::{
    ConferenceId, EndpointId, FeedbackSources, MediaKinds, NodeId, Role, Secret, SourceDescription,
};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// What a focus asks of a bridge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BridgeRequest {
    /// Make an endpoint (and its conference, if new). Answered by [`BridgeReply::Allocated`].
    Allocate(Allocate),
    /// Change an endpoint. Answered by [`BridgeReply::Done`].
    Update(Update),
    /// Remove an endpoint. Answered by [`BridgeReply::Done`], also when it is already gone.
    Expire {
        /// The conference it is in.
        conference: ConferenceId,
        /// Which one.
        endpoint: EndpointId,
    },
    /// Remove a conference with everything in it. Answered by [`BridgeReply::Done`].
    ExpireConference {
        /// Which one.
        conference: ConferenceId,
    },
}

/// A new endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allocate {
    /// The conference; made on first use.
    pub conference: ConferenceId,
    /// The endpoint. An existing one of this id is replaced.
    pub endpoint: EndpointId,
    /// What it is.
    pub role: Role,
    /// What it may send; anything else is dropped at RTP.
    pub may_send: MediaKinds,
    /// Which kinds it was offered and so may be sent (protocol 2 §2).
    pub receives_audio: bool,
    /// Likewise.
    pub receives_video: bool,
    /// It takes part in transport-wide congestion control: what it reports of its path is kept to.
    /// Others are sent what they ask for, without limit.
    #[serde(default)]
    pub transport_cc: bool,
    /// Its payloads are encrypted end to end: nothing but their descriptors is read.
    #[serde(default)]
    pub e2ee: bool,
    /// How remote sources reach it.
    pub slots: SlotMode,
    /// The bridge's own sources in this conference; constant for its life.
    pub feedback: FeedbackSources,
    /// The bus subject that [`BridgeEvent`]s of this endpoint go to.
    pub events_to: String,
}

/// How sources are presented to a receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SlotMode {
    /// SSRC rewriting: a fixed pool of SSRCs, announced on the bridge channel (protocol 2 §9).
    Rewriting,
    /// Each source keeps the SSRC of its first encoding.
    Plain,
}

/// A change to an endpoint; absent parts stay as they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Update {
    /// The conference.
    pub conference: ConferenceId,
    /// The endpoint.
    pub endpoint: EndpointId,
    /// The client's side of the transport, from session-accept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transport: Option<RemoteTransport>,
    /// The complete new set of its sources.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sources: Option<Vec<SourceDescription>>,
    /// `initial-last-n` of its session-accept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initial_last_n: Option<i32>,
    /// What it may send from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub may_send: Option<MediaKinds>,
    /// Whether its payloads are encrypted end to end from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub e2ee: Option<bool>,
    /// Whether its session-accept takes redundant audio (RFC 2198): if so it is sent such packets as
    /// they come, else the newest frame of each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redundant_audio: Option<bool>,
}

impl Update {
    /// A change of nothing yet.
    #[must_use]
    pub const fn new(conference: ConferenceId, endpoint: EndpointId) -> Self {
        Self {
            conference,
            endpoint,
            transport: None,
            sources: None,
            initial_last_n: None,
            may_send: None,
            e2ee: None,
            redundant_audio: None,
        }
    }
}

/// A certificate fingerprint (RFC 8122): algorithm such as `sha-256`, value as upper-case hex with
/// colons.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// `sha-256`, `sha-384`, …
    pub algorithm: String,
    /// `AB:CD:…`.
    pub value: String,
}

/// The client's transport parameters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoteTransport {
    /// ICE user name fragment.
    pub ufrag: String,
    /// ICE password.
    pub password: Secret,
    /// At least one.
    pub fingerprints: Vec<Fingerprint>,
    /// Usually empty: the bridge learns addresses from checks.
    #[serde(default)]
    pub candidates: Vec<SocketAddr>,
}

/// The bridge's transport parameters for one endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocalTransport {
    /// ICE user name fragment.
    pub ufrag: String,
    /// ICE password.
    pub password: Secret,
    /// Of the bridge's DTLS certificate.
    pub fingerprint: Fingerprint,
    /// All of them; nothing is trickled.
    pub candidates: Vec<Candidate>,
}

/// One ICE candidate of the bridge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    /// RFC 8445 §5.1.1.3.
    pub foundation: String,
    /// RFC 8445 §5.1.2.
    pub priority: u32,
    /// Where clients send to.
    pub address: SocketAddr,
    /// Host, or mapped by a NAT in front of us.
    pub kind: CandidateType,
    /// The local address behind a mapped one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub related: Option<SocketAddr>,
}

/// The types of candidate a bridge has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CandidateType {
    /// Bound by us.
    Host,
    /// Mapped onto us (`[media] advertise`).
    ServerReflexive,
}

/// Where the endpoint's bridge channel is; the focus puts the client's own origin before it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelAddress {
    /// `/colibri-ws/<node>/<conference>/<endpoint>`.
    pub path: String,
    /// The `pwd` parameter, valid for the endpoint's life.
    pub password: Secret,
}

/// A bridge's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BridgeReply {
    /// The endpoint is there.
    Allocated(Box<Allocated>),
    /// The change was made.
    Done,
    /// Nothing was changed.
    Refused {
        /// For programs.
        code: RefusalCode,
        /// For the log.
        reason: String,
    },
}

/// A new endpoint's parameters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allocated {
    /// Which bridge.
    pub node: NodeId,
    /// ICE and DTLS.
    pub transport: LocalTransport,
    /// The bridge channel.
    pub channel: ChannelAddress,
}

/// Why a bridge refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusalCode {
    /// No such conference or endpoint.
    Unknown,
    /// The request makes no sense (for instance a fingerprint that is none).
    Invalid,
    /// Limits reached or shutting down.
    Unavailable,
    /// So much to do that newcomers would cost everybody else. Others go on; try again later.
    Overloaded,
}

/// What a bridge tells the focus unasked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BridgeEvent {
    /// An endpoint's transport changed state.
    EndpointState {
        /// The conference.
        conference: ConferenceId,
        /// The endpoint.
        endpoint: EndpointId,
        /// The new state.
        state: EndpointState,
    },
}

/// Transport states of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndpointState {
    /// ICE and DTLS are up.
    Connected,
    /// ICE or DTLS failed for good.
    Failed,
    /// The bridge removed it: no sign of life for its time-out.
    Expired,
    /// A bug of the bridge ended it: it wants to be made anew.
    Lost,
    /// Its keys have sealed almost as many sources as they may in their life: it wants to be made
    /// anew, and goes on until then.
    WornOut,
}

/// What a bridge says about itself on [`BRIDGES`](crate::BRIDGES): every five seconds, and at once
/// when it begins or ceases to refuse somebody. Who has heard nothing for some of these times takes
/// the bridge for gone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BridgeStatus {
    /// Which bridge.
    pub node: NodeId,
    /// How much there is to do, as a part of what can be done well: 1 is the limit, and more is too
    /// much. That of its busiest media thread.
    pub stress: f64,
    /// New meetings should go elsewhere; those that are here go on.
    pub drain: bool,
    /// Newcomers are refused, because no media thread can take any.
    pub overloaded: bool,
    /// Conferences now.
    pub conferences: u64,
    /// Endpoints now.
    pub endpoints: u64,
}
