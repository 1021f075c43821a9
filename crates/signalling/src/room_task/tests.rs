use super::RoomInput;
use crate::directory::{Asker, RoomKey, Target, request_room};
use crate::sessions::Outbox;
use crate::{Settings, Signalling};
use althing_bus::{Bus as _, InProcess};
use althing_control::BridgeRequest;
use althing_model::{NodeId, Origin, SessionId};
use althing_room::Sender;
use althing_xmpp::{Element, Jid, ns};
use std::sync::Arc;

const ASKER: Asker = Asker {
    address: std::net::IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1)),
    authenticated: false,
};

fn key(room: &str) -> RoomKey {
    match RoomKey::classify(&Jid::parse(room).unwrap(), "meet.jitsi") {
        Target::Room(key) => key,
        other => panic!("{other:?}"),
    }
}

fn join(number: u64, room: &str) -> RoomInput {
    let node = NodeId::new("n1").unwrap();
    let stanza = Element::new("presence", ns::CLIENT)
        .with_attr("to", format!("{room}/nick{number}"))
        .with_child(Element::new("x", ns::MUC));
    RoomInput::Room(althing_room::Input::Stanza {
        sender: Sender {
            session: SessionId { node, number },
            jid: Jid::parse(&format!("user{number}@meet.jitsi/r")).unwrap(),
            origin: Origin {
                secure: true,
                authority: "door.example".into(),
            },
            identity: None,
            network: althing_room::Network([192, 0, 2, 1].into()),
        },
        stanza,
    })
}

#[tokio::test]
async fn a_fault_in_one_room_ends_it_alone_and_is_counted() {
    let bus = InProcess::new();
    let node = NodeId::new("n1").unwrap();
    let mut bridge = bus.subscribe(&althing_control::bridge_subject(&node));
    let door = Signalling::start(
        Settings::new(node, "meet.jitsi"),
        Arc::new(bus),
        &mut althing_telemetry::registry("0"),
    )
    .unwrap();
    let shared = &door.shared;
    let mut inboxes = Vec::new();
    let mut rooms = Vec::new();
    for (number, room) in [(0, "faulty@muc.meet.jitsi"), (1, "sound@muc.meet.jitsi")] {
        let (outbox, mut frames) = Outbox::new();
        shared.sessions.insert(number, outbox.clone());
        let handle = request_room(shared, Target::Room(key(room)), ASKER)
            .await
            .unwrap();
        handle.inputs.send(join(number, room)).await.unwrap();
        assert!(frames.recv().await.is_some());
        inboxes.push((outbox, frames));
        rooms.push(handle);
    }
    rooms[0].inputs.send(RoomInput::Fault).await.unwrap();
    // The bridge takes away what the room had there.
    let asked = bridge.next().await.unwrap();
    let asked: BridgeRequest = althing_control::decode(&asked.payload).unwrap();
    assert!(
        matches!(asked, BridgeRequest::ExpireConference { .. }),
        "{asked:?}"
    );
    // Its occupants are let go; those of the other room are not.
    inboxes[0].0.overflow.cancelled().await;
    assert!(!inboxes[1].0.overflow.is_cancelled());
    assert!(
        shared
            .directory
            .find(&key("faulty@muc.meet.jitsi"))
            .is_none()
    );
    assert!(
        shared
            .directory
            .find(&key("sound@muc.meet.jitsi"))
            .is_some()
    );
    assert_eq!(shared.metrics.room_panics.get(), 1);
    assert_eq!(shared.metrics.occupants.get(), 1);
    // A new one takes its place.
    let anew = request_room(shared, Target::Room(key("faulty@muc.meet.jitsi")), ASKER)
        .await
        .unwrap();
    assert!(!anew.inputs.is_closed());
    door.shutdown().await;
    assert_eq!(shared.metrics.rooms.get(), 0);
}
