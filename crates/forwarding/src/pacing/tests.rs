use crate::{Conference, EndpointKey, EndpointSettings, Output, PacketSink, Settings, SlotMode};
use althing_colibri::{BridgeMessage, ClientMessage, VideoConstraints};
use althing_model::{
    Encoding, EndpointId, FeedbackSources, MediaKind, MediaKinds, Role, SourceDescription,
    SourceName, Ssrc, VideoType,
};
use althing_rtp::rtcp::TransportCcRecorder;
use althing_rtp::{RtpHeader, RtpPacket, seq};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

const BRIDGE: u32 = 2;
const AUDIO: u32 = 100;
const VIDEO: u32 = 102;

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

#[derive(Default)]
struct Sink {
    rtp: Vec<(EndpointKey, Vec<u8>)>,
    keyframe_requests: usize,
}

impl PacketSink for Sink {
    fn rtp(&mut self, to: EndpointKey, header: &[u8], payload: [&[u8]; 2]) {
        self.rtp
            .push((to, [header, payload[0], payload[1]].concat()));
    }
    fn rtcp(&mut self, _: EndpointKey, packet: &[u8]) {
        for item in althing_rtp::rtcp::Compound::new(packet) {
            self.keyframe_requests +=
                usize::from(matches!(item, Ok(althing_rtp::rtcp::Rtcp::Pli { .. })));
        }
    }
}

/// A packet as Bob got it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Got {
    at: Duration,
    ssrc: u32,
    sequence: u16,
    payload: Vec<u8>,
    size: usize,
}

/// Ann sends, Bob receives, over a path of no delay that carries everything.
struct Meeting {
    conference: Conference,
    start: Instant,
    now: Instant,
    ann: EndpointKey,
    bob: EndpointKey,
    sink: Sink,
    recorder: TransportCcRecorder,
    messages: Vec<BridgeMessage>,
    got: Vec<Got>,
    sequence: u16,
    audio: u16,
    /// Whether Bob reports.
    reports: bool,
}

impl Meeting {
    fn new() -> Self {
        let feedback = FeedbackSources {
            audio: Ssrc(1),
            video: Ssrc(BRIDGE),
        };
        let mut conference = Conference::new(Settings::default(), feedback, 7);
        let start = althing_testkit::epoch();
        let [ann, bob] = ["ann", "bob"].map(|id| {
            let settings = EndpointSettings {
                id: EndpointId::new(id).unwrap(),
                role: Role::Participant,
                may_send: MediaKinds::ALL,
                receives_audio: true,
                receives_video: true,
                slots: SlotMode::Plain,
            };
            let key = conference.add_endpoint(start, settings);
            conference.connected(start, key, true);
            conference.channel_opened(start, key);
            key
        });
        conference.set_transport_cc(start, bob, true);
        let constraints = VideoConstraints {
            last_n: Some(-1),
            ..VideoConstraints::default()
        };
        let wants = ClientMessage::ReceiverVideoConstraints(constraints);
        conference.handle_message(start, bob, wants);
        let sources = [("ann-a0", AUDIO), ("ann-v0", VIDEO)].map(|(name, ssrc)| {
            let name = SourceName::new(name).unwrap();
            SourceDescription {
                kind: name.kind(),
                video_type: VideoType::Camera,
                msid: String::new(),
                encodings: vec![Encoding {
                    primary: Ssrc(ssrc),
                    rtx: (name.kind() == MediaKind::Video).then_some(Ssrc(ssrc + 1)),
                }],
                name,
            }
        });
        conference.set_sources(start, ann, sources.into());
        let mut meeting = Self {
            conference,
            start,
            now: start,
            ann,
            bob,
            sink: Sink::default(),
            recorder: TransportCcRecorder::new(),
            messages: Vec::new(),
            got: Vec::new(),
            sequence: 0,
            audio: 0,
            reports: true,
        };
        meeting.drain();
        meeting
    }

    fn drain(&mut self) {
        while let Some(Output::Message { to, json }) = self.conference.poll() {
            if to == self.bob {
                self.messages.push(BridgeMessage::parse(&json).unwrap());
            }
        }
        let at = self.now - self.start;
        for (to, bytes) in std::mem::take(&mut self.sink.rtp) {
            assert_eq!(to, self.bob);
            let packet = RtpPacket::parse(&bytes).unwrap();
            if let Some(&[high, low]) = packet.extension(5) {
                self.recorder.record(u16::from_be_bytes([high, low]), at);
            }
            self.got.push(Got {
                at,
                ssrc: packet.ssrc().0,
                sequence: packet.sequence(),
                payload: packet.payload().to_vec(),
                size: bytes.len(),
            });
        }
    }

    /// Time passes, timers are served, Bob reports every 50 ms.
    fn pass(&mut self, by: Duration) {
        let end = self.now + by;
        while self.now < end {
            self.now += ms(1);
            if self
                .conference
                .next_timeout()
                .is_some_and(|at| at <= self.now)
            {
                self.conference.handle_timeout(self.now, &mut self.sink);
            }
            self.drain();
            if (self.now - self.start).as_millis().is_multiple_of(50) && self.reports {
                self.report();
            }
        }
    }

    fn report(&mut self) {
        while self.recorder.is_pending() {
            let mut bytes = Vec::new();
            self.recorder.build(&mut bytes, Ssrc(9), Ssrc(VIDEO));
            self.conference
                .handle_rtcp(self.now, self.bob, &bytes, &mut self.sink);
        }
        self.drain();
    }

    fn send(&mut self, payload_type: u8, ssrc: u32, sequence: u16, payload: &[u8]) {
        let mut bytes = vec![0; 64];
        let header = RtpHeader {
            marker: true,
            payload_type,
            sequence,
            timestamp: u32::from(sequence) * 3000,
            ssrc: Ssrc(ssrc),
        };
        let length = header.write(&[(1, &[30])], &mut bytes).unwrap();
        bytes.truncate(length);
        bytes.extend_from_slice(payload);
        self.conference
            .handle_rtp(self.now, self.ann, &bytes, &mut self.sink);
        self.drain();
    }

    fn audio(&mut self) {
        self.audio += 1;
        self.send(111, AUDIO, self.audio, &[7; 80]);
    }

    /// A frame of so many packets of 1,100 bytes.
    fn frame(&mut self, packets: usize, key: bool) {
        for i in 0..packets {
            self.sequence = self.sequence.wrapping_add(1);
            let mut payload = vec![(self.sequence % 251) as u8; 1100];
            let first = [0x90, 0x80, 0x80, 0, u8::from(!key || i > 0)];
            payload[..5].copy_from_slice(&first);
            payload[0] = if i == 0 { 0x90 } else { 0x80 };
            payload[5..15].copy_from_slice(&[0, 0, 0x9d, 1, 0x2a, 64, 1, 180, 0, 0]);
            let sequence = self.sequence;
            self.send(100, VIDEO, sequence, &payload);
        }
    }

    /// Audio and small frames for so many seconds.
    fn talk(&mut self, seconds: u64) {
        for i in 0..seconds * 50 {
            self.audio();
            if i % 2 == 0 {
                self.frame(2, false);
            }
            self.pass(ms(20));
        }
    }

    fn got_of(&self, ssrc: u32) -> Vec<&Got> {
        self.got.iter().filter(|g| g.ssrc == ssrc).collect()
    }

    fn estimate(&self) -> Option<u64> {
        self.conference.endpoint_counters(self.bob)?.estimate
    }
}

/// After a second of talking, in which Bob's path became known.
fn known() -> Meeting {
    let mut m = Meeting::new();
    m.frame(1, true);
    m.talk(1);
    assert!(m.estimate().is_some());
    m.got.clear();
    m
}

#[test]
fn an_estimate_begins_with_feedback_and_the_client_is_told_every_ten_seconds() {
    let mut m = Meeting::new();
    m.reports = false;
    m.frame(1, true);
    m.talk(2);
    assert_eq!(m.estimate(), None, "nothing was heard yet");
    m.reports = true;
    m.talk(21);
    let told: Vec<u64> = m
        .messages
        .iter()
        .filter_map(|message| match message {
            BridgeMessage::ConnectionStats {
                estimated_downlink_bandwidth,
            } => Some(*estimated_downlink_bandwidth),
            _ => None,
        })
        .collect();
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(told.iter().all(|rate| *rate > 400_000));
}

#[test]
fn a_keyframe_is_spread_over_fifty_milliseconds_and_audio_passes_it() {
    let mut m = known();
    m.frame(200, true);
    let at_once = m.got_of(VIDEO).len();
    assert!((8..60).contains(&at_once), "{at_once}");
    let begun = m.now - m.start;
    for _ in 0..3 {
        m.audio();
        let sent = m.got.last().unwrap();
        assert_eq!(
            (sent.ssrc, sent.at),
            (AUDIO, m.now - m.start),
            "audio does not wait"
        );
        m.pass(ms(20));
    }
    let got = m.got_of(VIDEO);
    assert_eq!(got.len(), 200);
    let last = got.last().unwrap().at - begun;
    assert!((ms(20)..=ms(55)).contains(&last), "{last:?}");
    for pair in got.windows(2) {
        assert_eq!(pair[1].sequence, pair[0].sequence.wrapping_add(1));
    }
    let mut ticks: BTreeMap<Duration, usize> = BTreeMap::new();
    for g in &got[at_once..] {
        *ticks.entry(g.at).or_default() += 1;
    }
    assert!(ticks.len() >= 5, "{ticks:?}");
    assert!(got.iter().all(|g| g.payload.len() == 1100));
    let values: Vec<u8> = got.iter().map(|g| g.payload[20]).collect();
    let first = m.sequence - 199;
    let expected: Vec<u8> = (0..200).map(|i| ((first + i) % 251) as u8).collect();
    assert_eq!(values, expected, "what waited is what was sent");
}

#[test]
fn when_no_more_can_wait_video_goes_on_with_the_next_keyframe_and_no_gap() {
    let mut m = known();
    m.frame(1, true);
    let before = m.got_of(VIDEO).last().unwrap().sequence;
    let asked = m.sink.keyframe_requests;
    m.frame(900, false);
    m.pass(ms(60));
    m.frame(3, false);
    assert!(m.sink.keyframe_requests > asked, "a keyframe is asked for");
    m.frame(2, true);
    m.frame(2, false);
    m.pass(ms(60));
    let sequences: Vec<u16> = m.got_of(VIDEO).iter().map(|g| g.sequence).collect();
    let after: Vec<u16> = sequences
        .into_iter()
        .filter(|s| seq::distance(before, *s) >= 0)
        .collect();
    assert!(after.len() < 400, "{}", after.len());
    for pair in after.windows(2) {
        assert_eq!(pair[1], pair[0].wrapping_add(1));
    }
    assert!(m.conference.endpoint_counters(m.bob).unwrap().paced_out > 500);
}

#[test]
fn whoever_does_not_take_part_is_not_held_back() {
    let mut m = Meeting::new();
    m.conference.set_transport_cc(m.now, m.bob, false);
    m.frame(1, true);
    m.talk(1);
    assert_eq!(m.estimate(), None);
    m.got.clear();
    m.frame(300, true);
    assert_eq!(m.got.len(), 300);
}

#[test]
fn what_waits_of_a_source_that_goes_is_forgotten() {
    let mut m = known();
    m.frame(200, true);
    let (now, ann) = (m.now, m.ann);
    let before = m.got.len();
    m.conference.set_sources(now, ann, Vec::new());
    m.pass(ms(100));
    assert_eq!(m.got.len(), before);
    assert!(m.conference.paced.is_empty());
}

#[test]
fn somebody_who_leaves_with_packets_waiting_takes_them_along() {
    let mut m = known();
    m.frame(200, true);
    m.conference.remove_endpoint(m.now, m.bob);
    let before = m.got.len();
    m.pass(ms(100));
    assert_eq!(m.got.len(), before);
    assert!(m.conference.estimating.is_empty() && m.conference.paced.is_empty());
}

#[test]
fn padding_proves_room_for_what_is_wanted() {
    let mut m = known();
    assert!(m.got_of(BRIDGE).is_empty());
    // Four megabits, of which two and a half are thought to fit.
    let mut begun = None;
    for i in 0..300 {
        m.frame(15, i % 15 == 0);
        m.audio();
        m.pass(ms(33));
        if m.estimate().unwrap() > 4_500_000 {
            begun.get_or_insert(i);
        }
    }
    assert!(begun.is_some_and(|i| i < 160), "{begun:?}");
    let after = m.estimate().unwrap();
    assert!(after <= 6_500_000, "{after}");
    let again = |g: &&Got| g.ssrc == BRIDGE || g.ssrc == VIDEO + 1;
    let padding: usize = m.got.iter().filter(again).map(|g| g.size).sum();
    assert!((5_000..80_000).contains(&padding), "{padding}");
    let video = m.got_of(VIDEO);
    for pair in video.windows(2) {
        assert_eq!(pair[1].sequence, pair[0].sequence.wrapping_add(1));
    }
    let last = m.got.iter().rposition(|g| again(&g)).unwrap();
    assert!(m.got[last].at < ms(8000), "what is wanted is proved");
    assert!(video.last().unwrap().at > ms(9800), "it is sent");
}

/// Otherwise a receiver asks for what never was, ten times each.
#[test]
fn padding_alone_is_numbered_without_gaps_whatever_else_pads() {
    let mut m = known();
    m.frame(15, true);
    m.pass(ms(100));
    let (index, now) = (m.bob.index(), m.now);
    for _ in 0..5 {
        assert!(m.conference.pad_with_packet(index, now, &mut m.sink));
        let endpoint = &mut m.conference.endpoints[index];
        endpoint.send_padding(Ssrc(BRIDGE), 100, now, &mut m.sink);
    }
    m.drain();
    let padding = m.got_of(BRIDGE);
    assert!(padding.len() >= 5);
    for pair in padding.windows(2) {
        assert_eq!(pair[1].sequence, pair[0].sequence.wrapping_add(1));
    }
}

#[test]
fn audio_is_taken_from_the_budget_of_video() {
    let mut m = known();
    m.talk(3);
    let endpoint = &m.conference.endpoints[m.bob.index()];
    let taken = m.estimate().unwrap() - endpoint.budget().unwrap();
    // 50 packets a second of 100 bytes and some.
    assert!((40_000..48_000).contains(&taken), "{taken}");
}
