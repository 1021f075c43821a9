//! What one endpoint may do, what is left off when there is too much to do, and what is told.

use super::*;
use crate::stress::Measures;
use althing_model::{Encoding, MediaKind, SourceDescription, SourceName, VideoType};
use althing_transport::fuzzing;

/// Another end of the endpoint's path, and whatever it sends.
pub(super) struct Client {
    transport: althing_transport::Transport,
    pub(super) path: Path,
    sequence: u16,
}

impl Client {
    pub(super) fn packet(&mut self, ssrc: u32) -> Vec<u8> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut packet = vec![0x80, 111];
        packet.extend_from_slice(&self.sequence.to_be_bytes());
        packet.extend_from_slice(&[0; 4]);
        packet.extend_from_slice(&ssrc.to_be_bytes());
        packet.extend_from_slice(&[7; 40]);
        let plain = packet.len();
        packet.resize(plain + althing_transport::SRTP_OVERHEAD, 0);
        let sealed = self.transport.seal_rtp(&mut packet, 12, plain).unwrap();
        packet.truncate(sealed);
        packet
    }
}

impl Bench {
    /// An endpoint with keys and a path.
    pub(super) fn connect(&mut self, conference: &str, endpoint: &str) -> Client {
        self.allocate(conference, endpoint);
        let (ours, theirs, path) = fuzzing::connected(SrtpProfile::AeadAes128Gcm);
        let slot = self.slot(conference, endpoint);
        let state = &mut self.state;
        state.endpoints[slot].transport = ours;
        assert!(state.addresses.insert(path, address::Owner::Here(slot)));
        let profile = SrtpProfile::AeadAes128Gcm;
        state.transport_event(self.now, slot, Event::Connected { profile });
        self.finish_batch();
        Client {
            transport: theirs,
            path,
            sequence: 0,
        }
    }

    pub(super) fn slot(&self, conference: &str, endpoint: &str) -> usize {
        let conference = self.state.by_id[&ConferenceId::new(conference).unwrap()];
        self.state.conferences[conference].by_id[&EndpointId::new(endpoint).unwrap()]
    }

    fn update(&mut self, endpoint: &str, sources: Vec<SourceDescription>) -> BridgeReply {
        self.request(BridgeRequest::Update(althing_control::Update {
            sources: Some(sources),
            ..althing_control::Update::new(
                ConferenceId::new("c1").unwrap(),
                EndpointId::new(endpoint).unwrap(),
            )
        }))
    }
}

fn video(endpoint: &str, index: u32, ssrcs: u32) -> SourceDescription {
    SourceDescription {
        name: SourceName::new(format!("{endpoint}-v{index}")).unwrap(),
        kind: MediaKind::Video,
        video_type: VideoType::Camera,
        msid: String::new(),
        encodings: (0..ssrcs)
            .map(|ssrc| Encoding {
                primary: Ssrc(1_000 * (index + 1) + ssrc),
                rtx: None,
            })
            .collect(),
    }
}

#[test]
fn a_flood_is_dropped_before_it_costs_anything_and_is_forgiven() {
    let mut bench = Bench::new(1);
    let mut ann = bench.connect("c1", "ann00001");
    let packet = ann.packet(5);
    for _ in 0..25_000 {
        bench
            .state
            .handle_datagram(bench.now, ann.path, &mut packet.clone());
    }
    bench.finish_batch();
    // The burst of two seconds; all but the first are replays.
    assert_eq!(bench.count(Count::RtpReceived), 1);
    assert_eq!(bench.count(Count::DroppedOverPackets), 5_000);
    let slot = bench.slot("c1", "ann00001");
    assert_eq!(bench.state.endpoints[slot].traffic.over, 5_000);
    bench.now += Duration::from_secs(1);
    let packet = ann.packet(5);
    bench.datagram(ann.path, &packet);
    assert_eq!(bench.count(Count::RtpReceived), 2);
    // Whose SSRC that is, nobody has said.
    assert_eq!(bench.count(Count::MediaUnknownSsrc), 2);
}

#[test]
fn more_ssrcs_than_may_be_are_refused_and_nothing_changes() {
    let mut bench = Bench::new(1);
    bench.allocate("c1", "ann00001");
    let five = (0..5).map(|i| video("ann00001", i, 4)).collect();
    assert_eq!(bench.update("ann00001", five), BridgeReply::Done);
    let six: Vec<_> = (0..6).map(|i| video("ann00001", i, 4)).collect();
    match bench.update("ann00001", six) {
        BridgeReply::Refused { code, reason } => {
            assert_eq!(code, althing_control::RefusalCode::Invalid);
            assert_eq!(reason, "24 SSRCs, and 20 is the most");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn newcomers_are_refused_while_there_is_too_much_to_do_and_others_may_come_back() {
    let mut bench = Bench::new(1);
    bench.allocate("c1", "ann00001");
    bench.command(Command::Shed(Measures {
        admits: false,
        ..Measures::NONE
    }));
    for conference in ["c1", "c2"] {
        match bench.request(wanted(conference, "bob00002")) {
            BridgeReply::Refused { code, .. } => {
                assert_eq!(code, althing_control::RefusalCode::Overloaded);
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(bench.count(Count::EndpointsRefused), 2);
    // What else is left off holds for conferences that are here and that come.
    bench.command(Command::Shed(Measures {
        last_n: Some(4),
        probing: false,
        ..Measures::NONE
    }));
    bench.allocate("c3", "eve00003");
    for conference in ["c1", "c3"] {
        let id = ConferenceId::new(conference).unwrap();
        let detail = bench.state.debug(bench.now, Some(&id));
        assert_eq!(detail["left_off"]["last_n"], 4, "{detail}");
        assert_eq!(detail["left_off"]["probing"], true, "{detail}");
    }
    let expire = BridgeRequest::ExpireConference {
        conference: ConferenceId::new("c3").unwrap(),
    };
    assert_eq!(bench.request(expire), BridgeReply::Done);
    assert_eq!(bench.count(Count::ConferencesCreated), 2);
    // Who is here may begin anew.
    bench.allocate("c1", "ann00001");
    bench.command(Command::Shed(Measures::NONE));
    bench.allocate("c1", "bob00002");
    assert_eq!(bench.state.endpoints.len(), 2);
}

#[test]
fn who_has_no_channel_after_half_a_minute_is_counted_once() {
    let mut bench = Bench::new(1);
    bench.allocate("c1", "ann00001");
    let slot = bench.slot("c1", "ann00001");
    let profile = SrtpProfile::AeadAes128Gcm;
    bench
        .state
        .transport_event(bench.now, slot, Event::Connected { profile });
    bench.state.touch_endpoint(slot);
    bench.finish_batch();
    bench.pass(Duration::from_millis(29_900));
    assert_eq!(bench.count(Count::EndpointsWithoutChannel), 0);
    bench.pass(Duration::from_millis(200));
    assert_eq!(bench.count(Count::EndpointsWithoutChannel), 1);
    bench.pass(Duration::from_secs(10));
    assert_eq!(bench.count(Count::EndpointsWithoutChannel), 1);
    assert_eq!(bench.state.survey(bench.now).without_channel, 1);
}

#[test]
fn an_endpoint_whose_keys_are_worn_out_asks_for_others_in_time() {
    let mut bench = Bench::new(1);
    let client = bench.connect("c1", "ann00001");
    assert_eq!(
        bench.event(),
        Some(("ann00001".to_owned(), EndpointState::Connected))
    );
    let slot = bench.slot("c1", "ann00001");
    let mut sealed = 0;
    let mut packet = vec![0x80, 111, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0];
    packet.resize(12 + 20 + althing_transport::SRTP_OVERHEAD, 0);
    let mut seal = |bench: &mut Bench| {
        sealed += 1_u32;
        packet[8..12].copy_from_slice(&sealed.to_be_bytes());
        let transport = &mut bench.state.endpoints[slot].transport;
        transport.seal_rtp(&mut packet.clone(), 12, 32)
    };
    while !bench.state.endpoints[slot].transport.is_worn_out() {
        seal(&mut bench).unwrap();
    }
    bench.state.touch_endpoint(slot);
    bench.finish_batch();
    assert_eq!(
        bench.event(),
        Some(("ann00001".to_owned(), EndpointState::WornOut))
    );
    // Said once; and thousands of sources more find room until the focus has acted.
    for _ in 0..5_000 {
        seal(&mut bench).unwrap();
    }
    bench.state.touch_endpoint(slot);
    bench.finish_batch();
    assert_eq!(bench.event(), None);
    assert_eq!(bench.count(Count::EndpointsWornOut), 1);
    assert!(sealed > 80_000, "{sealed}");
    drop(client);
}

#[test]
fn everybody_is_looked_at_and_counted() {
    let mut bench = Bench::new(1);
    for (conference, endpoints) in [("c1", 1), ("c2", 3), ("c3", 9)] {
        for index in 0..endpoints {
            bench.allocate(conference, &format!("ep{index:06}"));
        }
    }
    let slot = bench.slot("c2", "ep000000");
    bench.state.endpoints[slot].rtt = Some(Duration::from_millis(30));
    let slot = bench.slot("c3", "ep000000");
    bench.state.endpoints[slot].rtt = Some(Duration::from_millis(50));
    bench.command(Command::Survey);
    let survey = bench.state.surveyed.take().unwrap();
    assert_eq!(survey.endpoints, 13);
    assert_eq!(survey.sizes, [1, 0, 1, 0, 1, 0, 0, 0, 0]);
    assert_eq!(survey.average_rtt(), Some(Duration::from_millis(40)));
}
