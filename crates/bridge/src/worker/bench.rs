//! One worker as it handles a packet, without thread and sockets, in virtual time; and several, with
//! both.

mod crowd;

pub use crowd::{Crowd, Outcome};

use crate::channel::Channels;
use crate::limits::{Ceilings, EndpointLimits};
use crate::net::Wire;
use crate::worker::address::Owner;
use crate::worker::control::Next;
use crate::worker::timers::Timer;
use crate::worker::{Command, Peer, Shared, State};
use althing_bus::InProcess;
use althing_colibri::{ClientMessage, VideoConstraints};
use althing_control::{Allocate, BridgeRequest, SlotMode};
use althing_model::{
    ConferenceId, Encoding, EndpointId, FeedbackSources, MediaKinds, NodeId, Role, SeededEntropy,
    SourceDescription, SourceName, Ssrc, VideoType,
};
use althing_rtp::RtpHeader;
use althing_transport::{Certificate, Path, SRTP_OVERHEAD, SrtpProfile, Transport, fuzzing};
use quinn_udp::Transmit;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

const FEEDBACK: FeedbackSources = FeedbackSources {
    audio: Ssrc(1),
    video: Ssrc(2),
};

/// Steps until slots are open and buffers have their size: more than the history holds.
const WARM_UP: usize = 3000;

/// Takes everything at once, 64 datagrams together as Linux does.
#[derive(Debug)]
struct Nowhere;

impl Wire for Nowhere {
    fn max_segments(&self, _: SocketAddr) -> usize {
        64
    }

    fn send(&self, _: SocketAddr, _: &Transmit<'_>) -> io::Result<()> {
        Ok(())
    }
}

/// What is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Speech in datagrams of 100 bytes, 50 a second.
    Audio,
    /// A picture in datagrams of 1,200 bytes, 200 a second (about 2 Mbit/s).
    Video,
}

impl Kind {
    const fn datagram_bytes(self) -> usize {
        match self {
            Self::Audio => 100,
            Self::Video => 1200,
        }
    }

    const fn spacing(self) -> Duration {
        match self {
            Self::Audio => Duration::from_millis(20),
            Self::Video => Duration::from_millis(5),
        }
    }

    const fn ssrc(self) -> Ssrc {
        match self {
            Self::Audio => Ssrc(1000),
            Self::Video => Ssrc(2000),
        }
    }
}

/// The one who sends, at the far end of its path.
#[derive(Debug)]
pub struct Speaker {
    transport: Transport,
    kind: Kind,
    number: u32,
}

impl Speaker {
    const fn new(transport: Transport, kind: Kind) -> Self {
        Self {
            transport,
            kind,
            number: 0,
        }
    }

    /// Its next datagram, sealed.
    ///
    /// # Panics
    /// When sequence numbers have come round.
    pub fn datagram(&mut self) -> Vec<u8> {
        let [.., high, low] = self.number.to_be_bytes();
        // Video starts with a keyframe; what follows refers to it.
        let (payload_type, level, body) = match self.kind {
            Kind::Audio => (111, 40 + (low & 15), [0x78; 2]),
            Kind::Video => (100, 0, [0x10, u8::from(self.number > 0)]),
        };
        let header = RtpHeader {
            marker: false,
            payload_type,
            sequence: u16::from_be_bytes([high, low]),
            timestamp: self.number.wrapping_mul(960),
            ssrc: self.kind.ssrc(),
        };
        let mut datagram = vec![0x5a; self.kind.datagram_bytes() + SRTP_OVERHEAD];
        let transport_cc = [high, low];
        let audio: &[(u8, &[u8])] = &[(1, &[level]), (5, &transport_cc)];
        let video: &[(u8, &[u8])] = &[(3, &[1, 2, 3]), (5, &transport_cc)];
        let extensions = match self.kind {
            Kind::Audio => audio,
            Kind::Video => video,
        };
        let length = header
            .write(extensions, &mut datagram)
            .expect("a header fits into a datagram");
        datagram[length..length + 2].copy_from_slice(&body);
        // With its tag it is as large as said.
        let plain = self.kind.datagram_bytes() - 16;
        let sealed = self
            .transport
            .seal_rtp(&mut datagram, length, plain)
            .expect("each number is sealed once");
        datagram.truncate(sealed);
        self.number += 1;
        datagram
    }
}

/// One speaker and those who receive it, all with slots and with sources of their own, keys from
/// nowhere and no handshake. Timers of the conference fire as they would; those of connectivity
/// checks do not.
#[derive(Debug)]
pub struct Meeting {
    state: State,
    now: Instant,
    path: Path,
    spacing: Duration,
    _poll: mio::Poll,
}

impl Meeting {
    /// Everybody has joined and all buffers have their size.
    ///
    /// # Panics
    /// When the worker does not do what it is told, or the packet does not reach everybody.
    #[must_use]
    pub fn new(kind: Kind, receivers: usize) -> (Self, Speaker) {
        let (mut ours, transport, path) = fuzzing::connected(SrtpProfile::AeadAes128Gcm);
        let mut meeting = Self::empty(ours.last_activity(), path, kind.spacing());
        for index in 0..=receivers {
            meeting.join(index, ours);
            (ours, _, _) = fuzzing::connected(SrtpProfile::AeadAes128Gcm);
        }
        let speaker = meeting.state.by_ufrag.len();
        assert_eq!(speaker, receivers + 1, "everybody is in");
        let mut speaker = Speaker::new(transport, kind);
        meeting.now += Duration::from_secs(1);
        meeting.timeouts();
        for _ in 0..WARM_UP {
            meeting.step(&mut speaker.datagram());
        }
        let before = meeting.packets_sent();
        meeting.step(&mut speaker.datagram());
        let gained = meeting.packets_sent() - before;
        assert!(
            // The sender may have been told of its arrivals as well.
            (receivers as u64..receivers as u64 + 3).contains(&gained),
            "{gained} packets to {receivers} receivers"
        );
        (meeting, speaker)
    }

    fn empty(now: Instant, path: Path, spacing: Duration) -> Self {
        let poll = mio::Poll::new().expect("the system has epoll");
        let waker = mio::Waker::new(poll.registry(), mio::Token(0)).expect("and eventfd");
        let (spare, spare_out) = crossbeam_channel::bounded(1);
        let (ring, _) = crossbeam_channel::bounded(1);
        let (checks, _) = crossbeam_channel::bounded(1);
        let peer = Peer {
            ring,
            checks,
            waker: Arc::new(waker),
            spare,
        };
        let shared = Arc::new(Shared {
            node: NodeId::new("n1").expect("an id"),
            candidates: Vec::new(),
            certificate: Certificate::generate().expect("the crypto library makes certificates"),
            bus: Arc::new(InProcess::new()),
            channels: Arc::new(Channels::default()),
            peers: vec![peer],
            forwarding: althing_forwarding::Settings::default(),
            limits: EndpointLimits::default(),
            patience: crate::settings::Patience::default(),
            ceilings: Ceilings::new(&EndpointLimits::default()),
            gone: tokio::sync::mpsc::channel(1).0,
        });
        let entropy = Box::new(SeededEntropy::new(1));
        Self {
            state: State::new(0, shared, Arc::new(Nowhere), entropy, spare_out),
            now,
            path,
            spacing,
            _poll: poll,
        }
    }

    /// The first one's datagrams come by `path`; the others only receive.
    fn join(&mut self, index: usize, transport: Transport) {
        let conference = ConferenceId::new("c1").expect("an id");
        let endpoint = (index, transport, self.path);
        let arrives_by = (index == 0).then_some(self.path);
        join(&mut self.state, self.now, &conference, endpoint, arrives_by);
    }

    /// One datagram of the speaker arrives and goes out to everybody, into the send buffer and
    /// from there nowhere.
    pub fn step(&mut self, datagram: &mut [u8]) {
        self.now += self.spacing;
        self.timeouts();
        self.state.handle_datagram(self.now, self.path, datagram);
        self.state.finish_batch(self.now);
    }

    fn timeouts(&mut self) {
        timeouts(&mut self.state, self.now);
    }

    /// Datagrams that left the worker so far.
    #[must_use]
    pub const fn packets_sent(&self) -> u64 {
        self.state.queue.counters.packets
    }
}

/// An endpoint of this number, transport and path to it comes to a worker's one conference, sees
/// and hears everybody and has sources of its own. Datagrams may come from it.
fn join(
    state: &mut State,
    now: Instant,
    conference: &ConferenceId,
    (index, transport, path): (usize, Transport, Path),
    arrives_by: Option<Path>,
) -> (Allocate, Vec<SourceDescription>) {
    let id = EndpointId::new(format!("e{index}")).expect("an id");
    let request = Allocate {
        conference: conference.clone(),
        endpoint: id.clone(),
        role: Role::Participant,
        may_send: MediaKinds::ALL,
        receives_audio: true,
        receives_video: true,
        transport_cc: true,
        e2ee: false,
        slots: SlotMode::Rewriting,
        feedback: FEEDBACK,
        events_to: "focus.n1".to_owned(),
    };
    let (reply, _) = oneshot::channel();
    let command = Command::Control {
        request: Box::new(BridgeRequest::Allocate(request.clone())),
        number: number(index),
        reply,
    };
    assert_eq!(state.handle_command(now, command), Next::GoOn);
    state.finish_batch(now);

    let slot = state.conferences[0].by_id[&id];
    let endpoint = &mut state.endpoints[slot];
    endpoint.transport = transport;
    endpoint.path = Some(path);
    state.census.set_connected(endpoint, true);
    let key = endpoint.key;
    if let Some(path) = arrives_by {
        assert!(state.addresses.insert(path, Owner::Here(slot)));
    }
    let core = &mut state.conferences[0].core;
    core.connected(now, key, true);
    core.channel_opened(now, key);
    let want_all = ClientMessage::ReceiverVideoConstraints(VideoConstraints {
        last_n: Some(-1),
        ..VideoConstraints::default()
    });
    core.handle_message(now, key, want_all);
    let first = index as u32;
    let sources: Vec<_> = [("a0", Kind::Audio), ("v0", Kind::Video)]
        .map(|(suffix, kind)| source(&id, suffix, kind.ssrc().0 + first))
        .into();
    core.set_sources(now, key, sources.clone());
    state.touch_conference(0);
    state.finish_batch(now);
    (request, sources)
}

/// By which workers know an endpoint.
const fn number(index: usize) -> u64 {
    index as u64 + 1
}

/// What the conference wants done in time.
fn timeouts(state: &mut State, now: Instant) {
    while let Some((at, timer)) = state.timers.pop_due(now) {
        let Timer::Conference { slot, .. } = timer else {
            continue;
        };
        let conference = &mut state.conferences[slot];
        if conference.scheduled == Some(at) {
            conference.scheduled = None;
            state.conference_due(now, slot);
        }
    }
}

fn source(endpoint: &EndpointId, suffix: &str, ssrc: u32) -> SourceDescription {
    let name = SourceName::new(format!("{endpoint}-{suffix}")).expect("a name");
    SourceDescription {
        kind: name.kind(),
        name,
        video_type: VideoType::Camera,
        msid: String::new(),
        encodings: vec![Encoding {
            primary: Ssrc(ssrc),
            rtx: None,
        }],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_measured_packet_reaches_everybody() {
        for kind in [Kind::Audio, Kind::Video] {
            let (mut meeting, mut speaker) = Meeting::new(kind, 3);
            let before = meeting.packets_sent();
            for _ in 0..100 {
                let mut datagram = speaker.datagram();
                assert_eq!(datagram.len(), kind.datagram_bytes());
                meeting.step(&mut datagram);
            }
            assert!(meeting.packets_sent() - before >= 300);
        }
    }
}
