//! Rooms as the bus knows them: asked, told of, planned.

use super::*;
use crate::directory::{Asker, NoRoom, RoomHandle, Target, request_room};
use crate::sessions::Outbox;
use crate::{Plans, Settings, Signalling};
use althing_bus::{Bus as _, InProcess};
use althing_control::rooms::{
    Departure, Happening, NOTICES, RoomActor, RoomName, RoomNotice, RoomPlan, rooms_subject,
};
use althing_model::{NodeId, Origin, SessionId};
use althing_room::{Network, Sender};
use althing_xmpp::{Element, Jid, ns};

const ASKER: Asker = Asker {
    address: std::net::IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1)),
    authenticated: true,
};

/// One room is planned for later.
#[derive(Debug)]
struct Later;

impl Plans for Later {
    fn plan(&self, room: &RoomName) -> Option<RoomPlan> {
        (room.name == "later").then(|| RoomPlan {
            opens_millis: Some(u64::MAX),
            ..RoomPlan::default()
        })
    }
}

struct House {
    door: Signalling,
    bus: InProcess,
    notices: Subscription,
    /// What is said to sessions is thrown away with these.
    outboxes: Vec<(Outbox, crate::sessions::Frames)>,
}

fn house() -> House {
    let bus = InProcess::new();
    let notices = bus.subscribe(NOTICES);
    let mut settings = Settings::new(NodeId::new("n1").unwrap(), "meet.jitsi");
    settings.plans = Arc::new(Later);
    let mut registry = althing_telemetry::registry("0");
    let door = Signalling::start(settings, Arc::new(bus.clone()), &mut registry).unwrap();
    House {
        door,
        bus,
        notices,
        outboxes: Vec::new(),
    }
}

fn name(room: &str) -> RoomName {
    RoomName {
        tenant: None,
        name: room.to_owned(),
    }
}

impl House {
    async fn room(&self, room: &str) -> Result<RoomHandle, NoRoom> {
        let key = RoomKey::of_name(&name(room), "meet.jitsi").unwrap();
        request_room(&self.door.shared, Target::Room(key), ASKER).await
    }

    /// Somebody comes in.
    async fn join(&mut self, number: u64, room: &str) {
        let (outbox, frames) = Outbox::new();
        self.door.shared.sessions.insert(number, outbox.clone());
        self.outboxes.push((outbox, frames));
        let handle = self.room(room).await.unwrap();
        let nick = Element::new("nick", ns::NICK).with_text(format!("Name {number}"));
        let stanza = Element::new("presence", ns::CLIENT)
            .with_attr("to", format!("{room}@muc.meet.jitsi/nick{number}"))
            .with_child(Element::new("x", ns::MUC))
            .with_child(nick);
        let sender = Sender {
            session: SessionId {
                node: NodeId::new("n1").unwrap(),
                number,
            },
            jid: Jid::parse(&format!("user{number}@meet.jitsi/r")).unwrap(),
            origin: Origin {
                secure: true,
                authority: "door.example".into(),
            },
            identity: None,
            network: Network([192, 0, 2, 1].into()),
        };
        let input = althing_room::Input::Stanza { sender, stanza };
        handle.inputs.send(RoomInput::Room(input)).await.unwrap();
    }

    async fn ask(&self, request: RoomRequest) -> RoomReply {
        let subject = rooms_subject(&self.door.shared.settings.node);
        let payload = althing_control::encode(&request).into();
        let answer = self.bus.request(&subject, payload, PATIENCE).await.unwrap();
        althing_control::decode(&answer).unwrap()
    }

    async fn names(&self, after: Option<RoomName>, limit: usize) -> (Vec<String>, bool) {
        match self.ask(RoomRequest::List { after, limit }).await {
            RoomReply::Rooms { rooms, last } => {
                let names = rooms.into_iter().map(|room| room.room.name);
                (names.collect(), last.is_some())
            }
            other => panic!("{other:?}"),
        }
    }

    async fn notice(&mut self) -> RoomNotice {
        let delivery = self.notices.next().await.unwrap();
        althing_control::decode(&delivery.payload).unwrap()
    }
}

#[tokio::test]
async fn rooms_are_listed_page_by_page_and_shown_with_who_is_in() {
    let mut house = house();
    assert_eq!(house.names(None, 10).await, (vec![], false));
    for (number, room) in [(1, "b"), (2, "c"), (3, "a"), (4, "a")] {
        house.join(number, room).await;
    }
    let texts = |names: &[&str]| names.iter().map(|&n| n.to_owned()).collect::<Vec<_>>();
    assert_eq!(house.names(None, 2).await, (texts(&["a", "b"]), true));
    assert_eq!(
        house.names(Some(name("b")), 2).await,
        (texts(&["c"]), false)
    );
    let RoomReply::Room { room, occupants } =
        house.ask(RoomRequest::Show { room: name("a") }).await
    else {
        panic!("there is a room a");
    };
    assert_eq!((room.occupants, room.locked, room.lobby), (2, false, false));
    let names: Vec<_> = occupants.iter().map(|o| o.who.name.as_deref()).collect();
    assert_eq!(names, [Some("Name 3"), Some("Name 4")]);
    let nowhere = house.ask(RoomRequest::Show { room: name("d") }).await;
    assert_eq!(nowhere, RoomReply::NoRoom);
}

#[tokio::test]
async fn what_is_done_from_outside_is_told_with_its_key_and_in_order() {
    let mut house = house();
    house.join(1, "a").await;
    house.join(2, "a").await;
    let occupant = EndpointId::new("nick2").unwrap();
    let mute = |occupant: &EndpointId| RoomRequest::Mute {
        room: name("a"),
        occupant: occupant.clone(),
        media: RoomMedium::Video,
        by: "ops".into(),
    };
    let nobody = EndpointId::new("nobody").unwrap();
    assert_eq!(house.ask(mute(&nobody)).await, RoomReply::NoOccupant);
    assert_eq!(house.ask(mute(&occupant)).await, RoomReply::Done);
    let remove = RoomRequest::Remove {
        room: name("a"),
        occupant: occupant.clone(),
        reason: None,
        by: "ops".into(),
    };
    assert_eq!(house.ask(remove.clone()).await, RoomReply::Done);
    assert_eq!(house.ask(remove).await, RoomReply::NoOccupant);
    let end = RoomRequest::End {
        room: name("a"),
        reason: None,
        by: "ops".into(),
    };
    assert_eq!(house.ask(end.clone()).await, RoomReply::Done);
    assert_eq!(house.ask(end).await, RoomReply::NoRoom);

    let mut seen = Vec::new();
    for number in 1..=9 {
        let notice = house.notice().await;
        assert_eq!((notice.number, &notice.room), (number, &name("a")));
        match &notice.what {
            Happening::Muted { whom, by, .. } | Happening::Kicked { whom, by, .. } => {
                assert_eq!(whom.occupant, occupant);
                assert_eq!(whom.name.as_deref(), Some("Name 2"));
                assert_eq!(whom.session.as_deref(), Some("n1/2"));
                assert_eq!(*by, RoomActor::Key("ops".into()));
            }
            Happening::Left { who, reason, .. } => {
                let kicked = who.occupant == occupant;
                let expected = if kicked {
                    Departure::Kicked
                } else {
                    Departure::RoomEnded
                };
                assert_eq!(*reason, expected);
            }
            _ => {}
        }
        seen.push(notice.what.name());
    }
    let expected = [
        "room_started",
        "joined",
        "joined",
        "muted",
        "kicked",
        "left",
        "ended_for_all",
        "left",
        "room_ended",
    ];
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn a_room_ended_by_a_fault_or_the_end_of_the_program_is_told_to_have_ended() {
    let mut house = house();
    house.join(1, "a").await;
    house.join(2, "b").await;
    let faulty = house.room("a").await.unwrap();
    faulty.inputs.send(RoomInput::Fault).await.unwrap();
    let mut ended = Vec::new();
    let mut stopped = false;
    while ended.len() < 2 {
        let notice = house.notice().await;
        if let Happening::RoomEnded { .. } = notice.what {
            ended.push(notice.room.name);
        }
        if !ended.is_empty() && !stopped {
            stopped = true;
            house.door.shutdown().await;
        }
    }
    assert_eq!(ended, ["a", "b"]);
}

#[tokio::test]
async fn nobody_opens_a_room_before_its_time() {
    let house = house();
    assert_eq!(
        house.room("later").await.unwrap_err(),
        NoRoom::NotAuthorized
    );
    assert!(house.room("now").await.is_ok());
}
