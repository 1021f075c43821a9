//! A worker that has a part of a conference.

use super::*;
use crate::directory::{Member, link};
use althing_forwarding::{Links, RelayMessage};
use althing_model::{Encoding, SourceDescription, SourceName, VideoType};

fn conference(at: usize) -> ConferenceId {
    let mut names = (0..).map(|n| ConferenceId::new(format!("c{n}")).unwrap());
    names.find(|id| owner(id, 2) == at).unwrap()
}

fn member(number: u64) -> Member {
    let id = EndpointId::new(format!("far{number}")).unwrap();
    let camera = SourceDescription {
        name: SourceName::new(format!("{id}-v0")).unwrap(),
        kind: althing_model::MediaKind::Video,
        video_type: VideoType::Camera,
        msid: String::new(),
        encodings: vec![Encoding {
            primary: Ssrc(10_000 + number as u32),
            rtx: None,
        }],
    };
    Member {
        id,
        number,
        link: link(1),
        role: Role::Participant,
        may_send: MediaKinds::ALL,
        e2ee: false,
        sources: vec![camera],
    }
}

fn open(members: Vec<Member>) -> PartCommand {
    PartCommand::Open {
        feedback: FeedbackSources {
            audio: Ssrc(1),
            video: Ssrc(2),
        },
        links: Links::from_iter([link(1)]),
        members,
    }
}

impl Bench {
    fn part(&mut self, conference: &ConferenceId, command: PartCommand) {
        self.command(Command::Part {
            conference: conference.clone(),
            command: Box::new(command),
        });
    }

    /// What worker 1 is told.
    fn heard(&mut self) -> Vec<Handover> {
        let mut heard = Vec::new();
        loop {
            let before = heard.len();
            heard.extend(self.rings[1].try_iter());
            if heard.len() == before {
                return heard;
            }
            self.pass(Duration::from_millis(5));
        }
    }
}

#[test]
fn a_full_ring_loses_no_word() {
    let mut bench = Bench::new(2);
    let id = conference(0);
    // The ring has room for two; there is much to say.
    bench.part(&id, open((1..=50).map(member).collect()));
    bench.allocate(id.as_str(), "ann00001");
    assert!(bench.rings[1].is_full());
    assert!(bench.state.next_timeout().is_some());
    let wanted = |heard: &[Handover]| -> Vec<(u64, i32)> {
        let mut wanted: Vec<_> = heard
            .iter()
            .filter_map(|message| match message {
                Handover::Relay {
                    number,
                    message: RelayMessage::Wanted { height, .. },
                    ..
                } => Some((*number, *height)),
                _ => None,
            })
            .collect();
        wanted.sort_unstable();
        wanted
    };
    let heard = bench.heard();
    let listening = |m: &Handover| matches!(m, Handover::Listening { from: 0, .. });
    assert_eq!(heard.iter().filter(|m| listening(m)).count(), 1);
    let none: Vec<_> = (1..=50).map(|number| (number, 0)).collect();
    assert_eq!(wanted(&heard), none);
    // The other side begins to listen, and hears all of it again.
    let listens = Handover::Listening {
        from: 1,
        conference: id,
    };
    bench.state.handle_handover(bench.now, listens);
    bench.finish_batch();
    let heard = bench.heard();
    assert_eq!(wanted(&heard), none);
    assert_eq!(bench.count(Count::HandoversDropped), 0);
}

#[test]
fn a_part_is_counted_at_its_home_and_ends_when_it_is_told() {
    let mut bench = Bench::new(2);
    let away = conference(1);
    bench.part(&away, open(vec![member(101), member(102)]));
    bench.allocate(away.as_str(), "ann00001");
    assert_eq!(bench.count(Count::Conferences), 0);
    assert_eq!(bench.count(Count::ConferencesCreated), 0);
    assert_eq!(bench.count(Count::LargestConference), 0);
    assert_eq!(bench.count(Count::Endpoints), 1);
    bench.request(BridgeRequest::Expire {
        conference: away.clone(),
        endpoint: EndpointId::new("ann00001").unwrap(),
    });
    bench.pass(Duration::from_secs(120));
    assert_eq!(bench.state.conferences.len(), 1);
    bench.part(&away, PartCommand::Close);
    bench.assert_empty();
    assert_eq!(bench.count(Count::ConferencesEnded), 0);

    let home = conference(0);
    bench.part(&home, open(vec![member(103), member(104)]));
    assert_eq!(bench.count(Count::Conferences), 1);
    assert_eq!(bench.count(Count::LargestConference), 2);
    bench.pass(Duration::from_secs(120));
    assert_eq!(bench.count(Count::Conferences), 1, "others are in it");
    for number in [103, 104] {
        bench.part(&home, PartCommand::Left(number));
    }
    bench.pass(Duration::from_secs(19));
    assert_eq!(bench.count(Count::Conferences), 1);
    bench.pass(Duration::from_secs(2));
    bench.assert_empty();
    assert_eq!(bench.count(Count::ConferencesEnded), 1);
    bench.heard();
    assert_eq!(bench.state.next_timeout(), None);
}

#[test]
fn what_comes_for_somebody_who_left_finds_nobody() {
    let mut bench = Bench::new(2);
    let id = conference(0);
    bench.part(&id, open(vec![member(7)]));
    let packet = |number| Handover::Packet {
        from: 1,
        number,
        kind: PacketKind::Rtp,
        data: vec![0x80, 100, 0, 1, 0, 0, 0, 0, 0, 0, 0, 7],
    };
    bench.state.handle_handover(bench.now, packet(7));
    assert_eq!(bench.count(Count::RelayedUnknown), 0);
    bench.part(&id, PartCommand::Left(7));
    bench.state.handle_handover(bench.now, packet(7));
    bench.state.handle_handover(bench.now, packet(8));
    assert_eq!(bench.count(Count::RelayedUnknown), 2);
    let message = RelayMessage::Active(false);
    let relay = Handover::Relay {
        from: 1,
        number: 7,
        message,
    };
    bench.state.handle_handover(bench.now, relay);
    bench.finish_batch();
}

#[test]
fn counts_are_kept_whatever_parts_come_and_go() {
    let mut bench = Bench::new(2);
    let mut random = SeededEntropy::new(3);
    let conferences = [conference(0), conference(1)];
    for number in 100_000..103_000 {
        let mut pick = |n: u64| random.next_u64() % n;
        let id = conferences[pick(2) as usize].clone();
        let endpoint = EndpointId::new(format!("ep{}", pick(5))).unwrap();
        match pick(16) {
            0..=3 => drop(bench.allocate(id.as_str(), endpoint.as_str())),
            4 | 5 => {
                bench.request(BridgeRequest::Expire {
                    conference: id,
                    endpoint,
                });
            }
            6 | 7 => bench.part(&id, open(vec![member(number)])),
            8 | 9 => bench.part(&id, PartCommand::Joined(member(number))),
            10 | 11 => {
                let mut known: Vec<u64> = bench.state.numbers.keys().copied().collect();
                known.sort_unstable();
                let known = known.into_iter().rfind(|n| *n >= 100_000);
                if let Some(number) = known {
                    let (slot, _) = bench.state.numbers[&number];
                    let id = bench.state.conferences[slot].id.clone();
                    bench.part(&id, PartCommand::Left(number));
                }
            }
            12 => bench.part(&id, PartCommand::Unlink(link(1))),
            13 => bench.part(&id, PartCommand::Close),
            14 => bench.command(Command::Panic(id)),
            _ => bench.pass(Duration::from_secs(15)),
        }
        bench.heard();
        while bench.gone.try_recv().is_ok() {}
        let here: usize = bench
            .state
            .conferences
            .iter()
            .map(|(_, c)| c.by_id.len() + c.remotes)
            .sum();
        assert_eq!(bench.state.numbers.len(), here);
    }
    for id in &conferences {
        bench.part(id, PartCommand::Close);
    }
    bench.assert_empty();
    assert_eq!(bench.state.numbers.len(), 0);
}
