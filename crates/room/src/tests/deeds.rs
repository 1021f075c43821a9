//! What is told of moderators' deeds, and what whoever runs the server does.

use super::*;
use crate::{Actor, Command, Deed, Error, Medium};

fn id(number: u64) -> EndpointId {
    EndpointId::new(nick(number)).unwrap()
}

/// What was done since this was asked last, by whom.
fn deeds(house: &mut House) -> Vec<(Actor, Deed)> {
    let events = std::mem::take(&mut house.events);
    let done = events.into_iter().filter_map(|event| match event {
        RoomEvent::Done { by, deed } => Some((by, deed)),
        _ => None,
    });
    done.collect()
}

/// The first, a moderator, and another.
fn two() -> House {
    let mut house = House::new(settings());
    house.join(1);
    house.join(2);
    house.quiet();
    house
}

#[test]
fn each_deed_of_a_moderator_is_told_with_who_did_it_to_whom() {
    let (first, second) = (id(1), id(2));
    let whom = second.clone();
    let admin = r#"<iq type="set" id="a" to="ROOM"><query xmlns="http://jabber.org/protocol/muc#admin">ITEM</query></iq>"#;
    let moderation = r#"<message to="avmoderation.meet.jitsi"><av_moderation WHAT mediaType="audio"/></message>"#;
    let breakout = r#"<message to="breakout.meet.jitsi"><breakout_rooms WHAT/></message>"#;
    for (stanza, expected) in [
        (
            admin.replace("ITEM", &format!(r#"<item jid="{}" affiliation="owner"/>"#, sender(2).jid.bare())),
            Deed::Granted { id: whom.clone() },
        ),
        (
            moderation.replace("WHAT", r#"enable="true""#),
            Deed::ModerationSwitched { medium: Medium::Audio, on: true },
        ),
        (
            moderation.replace("WHAT", &format!(r#"jidToWhitelist="{ROOM}/{whom}""#)),
            Deed::Approved { id: whom.clone(), medium: Medium::Audio },
        ),
        (
            moderation.replace("WHAT", &format!(r#"jidToBlacklist="{ROOM}/{whom}""#)),
            Deed::Rejected { id: whom.clone(), medium: Medium::Audio },
        ),
        (
            format!(r#"<message type="groupchat" to="{ROOM}"><subject>Daily</subject></message>"#),
            Deed::SubjectChanged,
        ),
        (
            r#"<message to="metadata.meet.jitsi"><room_metadata xmlns="http://jitsi.org/jitmeet">{"key":"notes","data":1}</room_metadata></message>"#.to_owned(),
            Deed::MetadataChanged { key: "notes".into() },
        ),
        (
            admin.replace("ITEM", &format!(r#"<item jid="{}" affiliation="member"/>"#, sender(2).jid.bare())),
            Deed::Revoked { id: whom.clone() },
        ),
        (
            admin.replace("ITEM", &format!(r#"<item nick="{whom}" role="none"><reason>go</reason></item>"#)),
            Deed::Kicked { id: whom, reason: Some("go".into()) },
        ),
        (
            r#"<message to="endconference.meet.jitsi"><end_conference/></message>"#.to_owned(),
            Deed::Ended,
        ),
    ] {
        let stanza = stanza.replace("ROOM", ROOM);
        house_does(&stanza, &first, expected);
    }
    fn house_does(stanza: &str, by: &EndpointId, expected: Deed) {
        let mut house = two();
        // What has to be there before.
        if matches!(expected, Deed::Rejected { .. } | Deed::Approved { .. }) {
            house.stanza(1, r#"<message to="avmoderation.meet.jitsi"><av_moderation enable="true" mediaType="audio"/></message>"#);
        }
        if matches!(expected, Deed::Revoked { .. }) {
            let jid = sender(2).jid.bare();
            house.stanza(1, &format!(r#"<iq type="set" id="a" to="{ROOM}"><query xmlns="http://jabber.org/protocol/muc#admin"><item jid="{jid}" affiliation="owner"/></query></iq>"#));
        }
        deeds(&mut house);
        // Nobody else does it.
        let other = matches!(expected, Deed::Revoked { .. });
        if !other {
            house.stanza(2, stanza);
            assert_eq!(deeds(&mut house), [], "{stanza}");
        }
        house.stanza(1, stanza);
        let actor = Actor::Occupant(by.clone());
        assert_eq!(deeds(&mut house), [(actor, expected)], "{stanza}");
    }
    // Breakout rooms are made, named, entered and taken away.
    let mut house = two();
    let add = r#"type="features/breakout-rooms/add" subject="One""#;
    house.stanza(1, &breakout.replace("WHAT", add));
    let made = deeds(&mut house);
    let [(Actor::Occupant(by), Deed::BreakoutMade { room, name })] = &made[..] else {
        panic!("{made:?}");
    };
    assert_eq!((by, name.as_str()), (&first, "One"));
    let address = format!("{room}@breakout.meet.jitsi");
    // Renamed to what it is called already is no deed.
    let rename = format!(
        r#"type="features/breakout-rooms/rename" breakoutRoomJid="{address}" subject="Two""#
    );
    let renamed = Deed::BreakoutRenamed {
        room: room.clone(),
        name: "Two".into(),
    };
    for told in [vec![(Actor::Occupant(first.clone()), renamed)], vec![]] {
        house.stanza(1, &breakout.replace("WHAT", &rename));
        assert_eq!(deeds(&mut house), told);
    }
    let jid = sender(2).jid;
    let go = format!(
        r#"type="features/breakout-rooms/move-to-room" participantJid="{jid}" roomJid="{address}""#
    );
    house.stanza(1, &breakout.replace("WHAT", &go));
    let moved = Deed::Moved {
        id: second,
        to: Some(room.clone()),
    };
    assert_eq!(deeds(&mut house), [(Actor::Occupant(first.clone()), moved)]);
    let remove = format!(r#"type="features/breakout-rooms/remove" breakoutRoomJid="{address}""#);
    house.stanza(1, &breakout.replace("WHAT", &remove));
    let gone = Deed::BreakoutGone { room: room.clone() };
    assert_eq!(deeds(&mut house), [(Actor::Occupant(first), gone)]);
}

#[test]
fn whoever_runs_the_server_removes_people_in_nobodys_name() {
    let mut house = two();
    let command = |id| Input::Command {
        by: "ops".into(),
        command: Command::Remove {
            id,
            reason: Some("go".into()),
        },
    };
    house.input(command(id(2)));
    let kicked = Deed::Kicked {
        id: id(2),
        reason: Some("go".into()),
    };
    assert_eq!(deeds(&mut house), [(Actor::Server("ops".into()), kicked)]);
    for number in [1, 2] {
        let inbox = house.inbox(number);
        let presence = inbox
            .iter()
            .find(|s| s.attr("type") == Some("unavailable"))
            .unwrap();
        assert!(codes(presence).contains(&"307"));
        let item = item(presence);
        assert!(item.child("actor", ns::MUC_USER).is_none());
        assert_eq!(item.child("reason", ns::MUC_USER).unwrap().text(), "go");
    }
    let error = house
        .meeting
        .handle(house.now, command(id(2)), &mut house.entropy);
    assert_eq!(error, Err(Error::NoOccupant(id(2))));
    assert_eq!(house.meeting.occupants().count(), 1);
}

#[test]
fn whoever_runs_the_server_ends_a_meeting_and_says_why() {
    let mut house = two();
    let command = Command::End {
        reason: Some("closing time".into()),
    };
    house.input(Input::Command {
        by: "ops".into(),
        command,
    });
    let ended = (Actor::Server("ops".into()), Deed::Ended);
    assert_eq!(deeds(&mut house), [ended]);
    assert!(house.others.contains(&Output::End));
    for number in [1, 2] {
        let inbox = house.inbox(number);
        let destroy = inbox
            .iter()
            .find_map(|s| s.child("x", ns::MUC_USER)?.child("destroy", ns::MUC_USER));
        let reason = destroy.unwrap().child("reason", ns::MUC_USER).unwrap();
        assert_eq!(reason.text(), "closing time");
    }
}

#[test]
fn a_new_name_is_told() {
    let mut house = two();
    house.stanza(2, &format!(r#"<presence to="{ROOM}/{}"><nick xmlns="http://jabber.org/protocol/nick"> Bo </nick></presence>"#, nick(2)));
    let named = house.events.iter().find_map(|event| match event {
        RoomEvent::PresenceChanged { presence, .. } => presence.name.clone(),
        _ => None,
    });
    assert_eq!(named.as_deref(), Some("Bo"));
    let views: Vec<_> = house
        .meeting
        .occupants()
        .map(|o| (o.id, o.name, o.role))
        .collect();
    let expected = [
        (id(1), Some("Ada".to_owned()), Role::Moderator),
        (id(2), Some("Bo".to_owned()), Role::Participant),
    ];
    assert_eq!(views, expected);
}
