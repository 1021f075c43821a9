//! What goes into a conference and comes out of it.

use crate::relay::{Links, RelayMessage};
use althing_model::{EndpointId, MediaKinds, Role, VideoType};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// How sources are presented to a receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlotMode {
    /// SSRC rewriting: a pool of SSRCs, announced on the bridge channel (protocol 3 §7.3).
    Rewriting,
    /// Each source keeps the SSRC of its first encoding.
    Plain,
}

/// What an operator may choose.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Settings {
    /// Number packets towards receivers that take part in transport-wide congestion control, and
    /// keep to what they report. Off: everybody is sent what it asks for, without limit.
    pub transport_cc: bool,
    /// At most this many video sources per receiver, whatever it asks for; nothing for no limit.
    pub last_n: Option<u32>,
    /// The same for conferences of at least so many endpoints; the greatest size that is reached
    /// counts.
    pub last_n_by_size: BTreeMap<usize, u32>,
    /// How long the first packet on a brand-new SSRC waits after the map was handed out: a browser
    /// that has not yet added the SSRC may bind it to the wrong line for ever.
    pub slot_hold: Duration,
    /// In conferences with more endpoints than this, `EndpointStats` reach only those who look.
    pub stats_filter_threshold: usize,
    /// When only the loudest are forwarded; nothing for never.
    pub loudest: Option<Loudest>,
    /// How many audio slots a receiver with rewriting has, at most 50: more than can be heard at
    /// once, so that a voice finds one that has long been quiet.
    pub audio_slots: usize,
    /// Sources beyond this are not taken from one endpoint.
    pub max_sources_per_endpoint: usize,
    /// Keyframe requests beyond this are not taken from one endpoint, in the long run; four
    /// seconds' worth may come at once.
    pub keyframe_requests_per_second: u32,
    /// Audio that one endpoint may send in the long run, in bit/s; two seconds' worth may come at
    /// once. No path limits audio, so whatever is let in goes to everybody.
    pub audio_bits_per_second: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            transport_cc: true,
            last_n: None,
            last_n_by_size: BTreeMap::new(),
            slot_hold: Duration::from_millis(400),
            stats_filter_threshold: 20,
            loudest: Some(Loudest::default()),
            audio_slots: 20,
            max_sources_per_endpoint: 20,
            keyframe_requests_per_second: 25,
            // The best that Opus can do is 510 kbit/s: a microphone and a screen's sound at that, and
            // everything twice for redundancy.
            audio_bits_per_second: 2_500_000,
        }
    }
}

/// In large conferences receivers are sent the loudest sources only (protocol 5 §7.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Loudest {
    /// While more sources than this are unmuted.
    pub above: usize,
    /// This many sources, and the dominant speaker. For moments more may be heard: who has just
    /// been outdone, and who has just begun to speak.
    pub count: usize,
}

impl Default for Loudest {
    fn default() -> Self {
        Self {
            above: 10,
            count: 3,
        }
    }
}

/// Which sources an endpoint hears where only the loudest are forwarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hearing {
    /// The loudest, the dominant speaker, and what it asks for by name.
    Loudest,
    /// Every source: whoever records or transcribes.
    All,
}

/// What receivers are kept to while the machine has too much to do (protocol 5 §18).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// At most this many video sources per receiver; nothing for no limit.
    pub last_n: Option<u32>,
    /// No camera is forwarded, or asked for, taller than this; px of the smaller side. Screens
    /// stay as they are: smaller, they could not be read.
    pub max_height: Option<u32>,
    /// Nothing is sent only to find out what a path could carry.
    pub without_probing: bool,
}

impl Limits {
    /// The height that remains of a wish; negative for no limit.
    pub(crate) fn cap(self, height: i32, video_type: VideoType) -> i32 {
        match self.max_height.map(i32::try_from) {
            Some(Ok(max)) if !video_type.is_desktop() && (height < 0 || height > max) => max,
            _ => height,
        }
    }
}

/// How the receivers of a conference fare at this moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Allocated {
    /// Video sources that somebody wants and whose path does not carry them, summed over receivers.
    pub suspended_sources: usize,
    /// Receivers with such sources.
    pub endpoints_with_suspended_sources: usize,
    /// Receivers whose screen share on stage takes more than their path is thought to carry.
    pub endpoints_oversending: usize,
}

/// Names an endpoint of one conference. A key of a removed endpoint names nobody; calls with it do
/// nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EndpointKey {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

impl EndpointKey {
    /// A small number, re-used after removal: for tables indexed by endpoint.
    #[must_use]
    pub const fn index(self) -> usize {
        self.index as usize
    }
}

/// A new endpoint.
#[derive(Debug, Clone)]
pub struct EndpointSettings {
    /// Its id; one of the same id is replaced.
    pub id: EndpointId,
    /// A visitor sends nothing.
    pub role: Role,
    /// What it may send; anything else is dropped at RTP.
    pub may_send: MediaKinds,
    /// It was offered audio.
    pub receives_audio: bool,
    /// It was offered video.
    pub receives_video: bool,
    /// How remote sources reach it.
    pub slots: SlotMode,
}

/// Takes packets to be sealed and sent.
pub trait PacketSink {
    /// One RTP packet: `header`, then both halves of the payload.
    fn rtp(&mut self, to: EndpointKey, header: &[u8], payload: [&[u8]; 2]);
    /// One RTCP packet, possibly compound.
    fn rtcp(&mut self, to: EndpointKey, packet: &[u8]);
    /// One RTP packet of `from`, as it came, for the parts behind these links.
    fn relay_rtp(&mut self, _from: EndpointKey, _to: Links, _packet: &[u8]) {}
    /// Likewise a sender report.
    fn relay_rtcp(&mut self, _from: EndpointKey, _to: Links, _packet: &[u8]) {}
}

/// What a conference wants done, apart from packets.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// A bridge channel message; dropped if the endpoint has no open channel.
    Message {
        /// Whose channel.
        to: EndpointKey,
        /// The text frame; shared by all receivers of a broadcast.
        json: Arc<str>,
    },
    /// For other parts of the conference; must arrive there, or a newer one of the same meaning.
    Relay {
        /// Which parts.
        to: Links,
        /// The endpoint that it is about, one of ours or one of theirs.
        about: EndpointKey,
        /// What is said.
        message: RelayMessage,
    },
}

/// Sums over the life of a conference.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConferenceCounters {
    /// RTP packets handed in.
    pub rtp_received: u64,
    /// RTP packets handed to the sink, retransmissions included.
    pub rtp_sent: u64,
    /// Retransmissions handed to the sink.
    pub retransmitted: u64,
    /// RTP packets that could not be read.
    pub malformed: u64,
    /// RTP packets of a payload type that is not ours.
    pub unknown_payload_type: u64,
    /// RTP packets of an SSRC that the endpoint has not signalled.
    pub unknown_ssrc: u64,
    /// RTP packets that role or media kinds forbid.
    pub forbidden: u64,
    /// Audio packets beyond what one endpoint may send.
    pub over_audio: u64,
    /// Retransmissions beyond what one endpoint may ask for.
    pub over_repairs: u64,
    /// RTP packets seen before, or too old to tell.
    pub duplicate: u64,
    /// RTP packets of encodings other than the first.
    pub other_encoding: u64,
    /// Padding and silence, hidden from receivers.
    pub hidden: u64,
    /// Audio packets of sources that were not among the loudest.
    pub unranked: u64,
    /// How often layers were chosen for a receiver.
    pub allocations: u64,
    /// Bytes of padding sent to probe paths.
    pub padding: u64,
    /// Numbers in transport-wide feedback that were never sent, or too long ago.
    pub unmatched_feedback: u64,
    /// Keyframe requests sent to senders.
    pub keyframe_requests: u64,
    /// Keyframe requests of receivers, as far as they were taken.
    pub keyframe_requests_received: u64,
    /// Keyframe requests of receivers beyond their rate.
    pub keyframe_requests_refused: u64,
    /// Reports on what arrives from senders, one for each stream and half second.
    pub loss_reports_in: u64,
    /// The losses in them, in 1/256 each.
    pub loss_in: u64,
    /// Reports of receivers on what arrives from us.
    pub loss_reports_out: u64,
    /// The losses in them, in 1/256 each.
    pub loss_out: u64,
    /// Sequence numbers asked of senders again.
    pub nacked: u64,
    /// Bridge channel messages dropped for their rate or their sender.
    pub messages_dropped: u64,
    /// Sources not taken: foreign name, SSRC in use, or too many.
    pub sources_refused: u64,
    /// Changes of the dominant speaker.
    pub dominant_speaker_changes: u64,
    /// Keyframes asked of a new dominant speaker before receivers asked.
    pub preemptive_keyframes: u64,
    /// Those not asked for, since nobody has a camera on stage.
    pub preemptive_keyframes_suppressed: u64,
}

/// Sums over the life of an endpoint.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct EndpointCounters {
    /// RTP packets that came from it.
    pub rtp_received: u64,
    /// Their bytes.
    pub rtp_received_bytes: u64,
    /// RTP packets for it handed to the sink.
    pub rtp_sent: u64,
    /// Their bytes.
    pub rtp_sent_bytes: u64,
    /// Of these, retransmissions.
    pub retransmitted: u64,
    /// Packets dropped because more waited for it than may.
    pub paced_out: u64,
    /// What its path is thought to carry, in bit/s; nothing for those who do not say what arrives.
    pub estimate: Option<u64>,
    /// What arrives of what it is sent, in bit/s; likewise.
    pub acknowledged: Option<u64>,
    /// The last round trip time known.
    pub rtt: Option<Duration>,
}
