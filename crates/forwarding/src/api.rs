use althing_colibri::ClientMessage;
use althing_model::{EndpointId, FeedbackSources, MediaKinds, Role, SourceDescription};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How sources are presented to a receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlotMode {
    /// SSRC rewriting: a pool of SSRCs, announced on the bridge channel.
    Rewriting,
    /// Each source keeps the SSRC of its first encoding.
    Plain,
}

#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Settings {
    /// Number packets towards receivers for transport-wide congestion control.
    pub transport_cc: bool,
}

/// Names an endpoint of one conference: a slab index and a generation. A key of a removed endpoint
/// names nobody; calls with it do nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EndpointKey {
    index: u32,
    generation: u32,
}

impl EndpointKey {
    /// A small number, re-used after removal: for tables indexed by endpoint.
    #[must_use]
    pub const fn index(self) -> usize {
        self.index as usize
    }
}

#[derive(Debug, Clone)]
pub struct EndpointSettings {
    pub id: EndpointId,
    pub role: Role,
    pub may_send: MediaKinds,
    pub receives_audio: bool,
    pub receives_video: bool,
    pub slots: SlotMode,
}

pub trait PacketSink {
    /// One RTP packet: `header` then both halves of the payload. Seal and send, or drop.
    fn rtp(&mut self, to: EndpointKey, header: &[u8], payload: [&[u8]; 2]);
    /// One RTCP packet (possibly compound).
    fn rtcp(&mut self, to: EndpointKey, packet: &[u8]);
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// A bridge channel message. Dropped if the endpoint has no open channel.
    Message { to: EndpointKey, json: Arc<str> },
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConferenceCounters {
    pub rtp_received: u64,
    pub rtp_forwarded: u64,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct EndpointCounters {
    pub rtp_received: u64,
    pub rtp_sent: u64,
}

#[derive(Debug)]
pub struct Conference {}

impl Conference {
    #[must_use]
    pub fn new(settings: Settings, feedback: FeedbackSources, seed: u64) -> Self {
        Self {}
    }
    /// An endpoint of the same id is replaced.
    pub fn add_endpoint(&mut self, now: Instant, settings: EndpointSettings) -> EndpointKey {
        EndpointKey {
            index: 0,
            generation: 0,
        }
    }
    pub fn remove_endpoint(&mut self, now: Instant, key: EndpointKey) {}
    pub fn set_sources(&mut self, now: Instant, key: EndpointKey, sources: Vec<SourceDescription>) {
    }
    pub fn set_may_send(&mut self, now: Instant, key: EndpointKey, may_send: MediaKinds) {}
    /// `initial-last-n`: holds until the client says otherwise. Negative for no limit.
    pub fn set_last_n(&mut self, now: Instant, key: EndpointKey, last_n: i32) {}
    /// The transport is up or down: what is forwarded to it.
    pub fn connected(&mut self, now: Instant, key: EndpointKey, connected: bool) {}
    /// A round trip time measured elsewhere (ICE), used while RTCP has given none.
    pub fn set_rtt(&mut self, key: EndpointKey, rtt: Duration) {}
    /// The shell saw no sign of life for 8 s, or saw one again.
    pub fn set_active(&mut self, now: Instant, key: EndpointKey, active: bool) {}
    pub fn channel_opened(&mut self, now: Instant, key: EndpointKey) {}
    /// The last channel of the endpoint closed; new slots wait for the next one.
    pub fn channel_closed(&mut self, now: Instant, key: EndpointKey) {}
    pub fn handle_message(&mut self, now: Instant, key: EndpointKey, message: ClientMessage) {}
    /// A decrypted RTP packet.
    pub fn handle_rtp(
        &mut self,
        now: Instant,
        key: EndpointKey,
        packet: &[u8],
        sink: &mut impl PacketSink,
    ) {
    }
    /// A decrypted RTCP packet.
    pub fn handle_rtcp(
        &mut self,
        now: Instant,
        key: EndpointKey,
        packet: &[u8],
        sink: &mut impl PacketSink,
    ) {
    }
    pub fn handle_timeout(&mut self, now: Instant, sink: &mut impl PacketSink) {}
    #[must_use]
    pub fn next_timeout(&self) -> Option<Instant> {
        None
    }
    pub fn poll(&mut self) -> Option<Output> {
        None
    }
    #[must_use]
    pub fn counters(&self) -> ConferenceCounters {
        ConferenceCounters::default()
    }
    #[must_use]
    pub fn endpoint_counters(&self, key: EndpointKey) -> Option<EndpointCounters> {
        None
    }
}
