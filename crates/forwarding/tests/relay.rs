//! A conference of two parts: what one has of the other's endpoints, and what it says of them.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use althing_colibri::BridgeMessage;
use althing_forwarding::{EndpointKey, Link, Links, RelayMessage, SlotMode};
use althing_model::{MediaKinds, Ssrc};
use althing_rtp::rtcp::{self, Compound, Rtcp, SenderInfo};
use common::{Room, WANT_ALL, audio_map, name, opus, video_map, vp8, wanted};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// Two parts in one time, with a link between them that carries what it is given.
struct Parts {
    rooms: [Room; 2],
    keys: [BTreeMap<String, EndpointKey>; 2],
    /// What crossed, by the part that it came from.
    crossed: [Vec<RelayMessage>; 2],
    packets: [usize; 2],
}

fn link(part: usize) -> Link {
    Link::new(part).unwrap()
}

impl Parts {
    fn new() -> Self {
        let mut parts = Self {
            rooms: [Room::new(), Room::new()],
            keys: [BTreeMap::new(), BTreeMap::new()],
            crossed: [Vec::new(), Vec::new()],
            packets: [0; 2],
        };
        for part in 0..2 {
            let room = &mut parts.rooms[part];
            room.conference.add_link(room.now, link(1 - part));
        }
        parts
    }

    /// A local endpoint here is a remote one there.
    fn join(&mut self, part: usize, id: &str) -> EndpointKey {
        let key = self.rooms[part].join(id, SlotMode::Rewriting);
        let remote = self.rooms[1 - part].join_remote(id, link(part));
        self.keys[part].insert(id.to_owned(), key);
        self.keys[1 - part].insert(id.to_owned(), remote);
        self.cross();
        key
    }

    fn signal(&mut self, id: &str, base: u32, names: &[&str]) {
        for part in [0, 1] {
            self.rooms[part].signal(self.keys[part][id], base, names);
        }
        self.cross();
    }

    fn leave(&mut self, id: &str) {
        for part in [0, 1] {
            let key = self.keys[part].remove(id).unwrap();
            self.rooms[part].leave(key);
        }
        self.cross();
    }

    /// Lets both links deliver until nothing is on its way.
    fn cross(&mut self) {
        loop {
            let mut busy = false;
            for from in [0, 1] {
                let [a, b] = &mut self.rooms;
                let (here, there) = if from == 0 { (a, b) } else { (b, a) };
                for (to, is_rtp, sent) in std::mem::take(&mut here.sink.relayed) {
                    assert_eq!(to, Links::from_iter([link(1 - from)]));
                    let key = self.keys[1 - from][here.id(sent.to)];
                    self.packets[from] += 1;
                    if is_rtp {
                        there.rtp(key, &sent.bytes);
                    } else {
                        there.rtcp(key, &sent.bytes);
                    }
                    busy = true;
                }
                for (to, about, message) in std::mem::take(&mut here.relays) {
                    assert!(to.contains(link(1 - from)));
                    self.crossed[from].push(message.clone());
                    let Some(key) = self.keys[1 - from].get(here.id(about)) else {
                        continue;
                    };
                    let now = there.now;
                    there
                        .conference
                        .handle_relay(now, link(from), *key, message, &mut there.sink);
                    there.drain();
                    busy = true;
                }
            }
            if !busy {
                return;
            }
        }
    }

    fn pass_ms(&mut self, ms: u64) {
        for room in &mut self.rooms {
            room.pass_ms(ms);
        }
        self.cross();
    }

    fn rtp(&mut self, part: usize, id: &str, packet: &[u8]) {
        self.rooms[part].rtp(self.keys[part][id], packet);
        self.cross();
    }

    fn say(&mut self, part: usize, id: &str, json: &str) {
        self.rooms[part].say(self.keys[part][id], json);
        self.cross();
    }

    fn heard(&mut self, part: usize, id: &str) -> Vec<BridgeMessage> {
        self.rooms[part].heard(self.keys[part][id])
    }

    fn sent(&mut self, part: usize, id: &str) -> usize {
        self.rooms[part].sent_to(self.keys[part][id]).len()
    }
}

/// Ann sends here, and bob there.
fn meeting() -> Parts {
    let mut parts = Parts::new();
    parts.join(0, "ann");
    parts.join(1, "bob");
    parts.signal("ann", 1000, &["a0", "v0"]);
    parts.signal("bob", 2000, &["a0", "v0"]);
    parts.pass_ms(1000);
    parts
}

fn keyframes(parts: &mut Parts, part: usize) -> Vec<u32> {
    let asked = parts.rooms[part].plis();
    asked.into_iter().map(|(_, ssrc)| ssrc).collect()
}

#[test]
fn speech_crosses_both_ways_on_slots_of_the_receiver() {
    let mut parts = meeting();
    for (part, id, other, ssrc) in [(0, "ann", "bob", 1000), (1, "bob", "ann", 2000)] {
        let map = audio_map(&parts.heard(1 - part, other));
        let slot = map[&format!("{id}-a0")];
        for i in 0..10u16 {
            parts.rtp(part, id, &opus(ssrc, i, u32::from(i) * 960, 30));
        }
        let key = parts.keys[1 - part][other];
        let sent = parts.rooms[1 - part].sent_to(key);
        assert_eq!(sent.len(), 10);
        assert!(sent.iter().all(|s| s.rtp().ssrc().0 == slot));
        // Nobody sees their own voice, and nothing goes on from where it came.
        assert_eq!(parts.sent(part, id), 0);
        assert_eq!(parts.packets[part], 10);
    }
}

#[test]
fn video_crosses_while_somebody_there_wants_it() {
    let mut parts = meeting();
    parts.rtp(0, "ann", &vp8(1002, 1, 0, true));
    assert_eq!(parts.packets[0], 0, "nobody has asked");
    parts.say(1, "bob", WANT_ALL);
    let told = wanted(&parts.heard(0, "ann"));
    assert_eq!(told.last(), Some(&("ann-v0".to_owned(), 180)));
    // The first packet finds bob in need of a keyframe, which is asked of ann's part, and by it.
    parts.rtp(0, "ann", &vp8(1002, 2, 3000, false));
    assert_eq!(keyframes(&mut parts, 0), [1002]);
    assert_eq!(keyframes(&mut parts, 1), [0; 0]);
    let slot = video_map(&parts.heard(1, "bob"))["ann-v0"].0;
    for i in 3..6u16 {
        parts.rtp(0, "ann", &vp8(1002, i, u32::from(i) * 3000, i == 3));
    }
    let key = parts.keys[1]["bob"];
    let sent = parts.rooms[1].sent_to(key);
    assert_eq!(sent.len(), 3);
    assert!(sent.iter().all(|s| s.rtp().ssrc().0 == slot));

    let nothing = r#"{"colibriClass":"ReceiverVideoConstraints","lastN":0}"#;
    parts.say(1, "bob", nothing);
    assert_eq!(
        wanted(&parts.heard(0, "ann")),
        [("ann-v0".to_owned(), 0)],
        "nobody looks any more"
    );
    let before = parts.packets[0];
    parts.rtp(0, "ann", &vp8(1002, 6, 18_000, false));
    assert_eq!(parts.packets[0], before);
}

#[test]
fn a_sender_hears_the_greatest_height_of_all_parts() {
    let mut parts = meeting();
    parts.join(0, "cyd");
    let want = |height: i32| {
        let default = format!(r#"{{"maxHeight":{height}}}"#);
        let class = r#""colibriClass":"ReceiverVideoConstraints""#;
        format!(r#"{{{class},"lastN":-1,"defaultConstraints":{default}}}"#)
    };
    parts.heard(0, "ann");
    let last = |parts: &mut Parts| {
        let told = wanted(&parts.heard(0, "ann"));
        told.last().map(|(_, height)| *height)
    };
    parts.say(0, "cyd", &want(180));
    assert_eq!(last(&mut parts), Some(180));
    parts.say(1, "bob", &want(720));
    assert_eq!(last(&mut parts), Some(720));
    parts.say(0, "cyd", &want(360));
    assert_eq!(last(&mut parts), None, "the greatest is the same");
    parts.say(1, "bob", &want(-1));
    assert_eq!(last(&mut parts), Some(-1));
    parts.leave("bob");
    assert_eq!(last(&mut parts), Some(360));
    // The same again, when the whole part goes.
    parts.join(1, "dan");
    parts.say(1, "dan", &want(720));
    assert_eq!(last(&mut parts), Some(720));
    let room = &mut parts.rooms[0];
    room.conference.remove_link(room.now, link(1));
    room.drain();
    assert_eq!(last(&mut parts), Some(360));
}

#[test]
fn a_remote_sender_is_told_nothing_of_its_packets() {
    let mut parts = meeting();
    parts.say(1, "bob", WANT_ALL);
    parts.rooms[1].sink.rtcp.clear();
    for i in 0..60u16 {
        // With gaps, and with numbers of congestion control.
        if i % 7 != 3 {
            let packet = vp8(1002, i, u32::from(i) * 3000, i == 0);
            parts.rtp(0, "ann", &packet);
            let number = i.to_be_bytes();
            let ext: &[(u8, &[u8])] = &[(1, &[30]), (5, &number)];
            let packet = common::packet(111, 1000, i, u32::from(i) * 960, ext, b"speech");
            parts.rtp(0, "ann", &packet);
        }
        parts.pass_ms(20);
    }
    let mut kinds = BTreeMap::new();
    for (part, room) in parts.rooms.iter_mut().enumerate() {
        for sent in std::mem::take(&mut room.sink.rtcp) {
            assert_eq!(room.id(sent.to), if part == 0 { "ann" } else { "bob" });
            for item in Compound::new(&sent.bytes) {
                let kind = match item.unwrap() {
                    Rtcp::Nack(_) => "nack",
                    Rtcp::ReceiverReport(_) => "report",
                    Rtcp::TransportCc(_) => "feedback",
                    Rtcp::Pli { .. } => "keyframe",
                    _ => "other",
                };
                *kinds.entry((part, kind)).or_insert(0) += 1;
            }
        }
    }
    let seen: Vec<_> = kinds.keys().copied().collect();
    assert_eq!(seen, [(0, "feedback"), (0, "nack"), (0, "report")]);
    let activity = parts.rooms[1].conference.activity(parts.rooms[1].now);
    assert_eq!((activity.sending_audio, activity.receive_only), (0, 1));
}

#[test]
fn a_packet_that_is_refused_or_known_does_not_cross() {
    let mut parts = meeting();
    let packet = opus(1000, 1, 0, 30);
    parts.rtp(0, "ann", &packet);
    parts.rtp(0, "ann", &packet);
    assert_eq!(parts.packets[0], 1, "a duplicate");
    parts.rtp(0, "ann", &opus(9999, 2, 0, 30));
    assert_eq!(parts.packets[0], 1, "of no source");
    let key = parts.keys[0]["ann"];
    let room = &mut parts.rooms[0];
    room.conference
        .set_may_send(room.now, key, MediaKinds::NONE);
    parts.rtp(0, "ann", &opus(1000, 3, 0, 30));
    assert_eq!(parts.packets[0], 1, "muted by a moderator");
    // And were it let through there, it would stop here.
    assert_eq!(parts.sent(1, "bob"), 1);
    let key = parts.keys[1]["ann"];
    let room = &mut parts.rooms[1];
    room.conference
        .set_may_send(room.now, key, MediaKinds::NONE);
    room.rtp(key, &opus(1000, 4, 0, 30));
    assert_eq!(parts.sent(1, "bob"), 0);
}

#[test]
fn a_retransmission_crosses_as_it_came() {
    let mut parts = meeting();
    parts.say(1, "bob", WANT_ALL);
    parts.rtp(0, "ann", &vp8(1002, 1, 0, true));
    parts.rtp(0, "ann", &vp8(1002, 3, 6000, false));
    let lost = vp8(1002, 2, 3000, false);
    let body = [&2u16.to_be_bytes()[..], &lost[12..]].concat();
    let again = common::packet(100, 1003, 77, 3000, &[], &body);
    let before = parts.packets[0];
    parts.rtp(0, "ann", &again);
    // The payload type is not that of a retransmission: refused, and not passed on.
    assert_eq!(parts.packets[0], before);
    let rtx = althing_model::profile::VIDEO
        .iter()
        .find(|p| p.number == 100)
        .and_then(|p| p.rtx)
        .unwrap();
    let again = common::packet(rtx, 1003, 77, 3000, &[], &body);
    parts.rtp(0, "ann", &again);
    assert_eq!(parts.packets[0], before + 1);
    assert_eq!(parts.sent(1, "bob"), 3);
}

#[test]
fn messages_cross_once_and_reach_whom_they_are_for() {
    let mut parts = meeting();
    for id in ["cyd", "dan"] {
        parts.join(1, id);
    }
    let said = |messages: Vec<BridgeMessage>| {
        let said = messages.into_iter().filter_map(|m| match m {
            BridgeMessage::EndpointMessage(m) => Some((m.from.unwrap().to_string(), m.to)),
            _ => None,
        });
        said.collect::<Vec<_>>()
    };
    parts.crossed = [Vec::new(), Vec::new()];
    let all = r#"{"colibriClass":"EndpointMessage","to":"","msgPayload":{"a":1}}"#;
    parts.say(0, "ann", all);
    assert_eq!(parts.crossed[0].len(), 1);
    for id in ["bob", "cyd", "dan"] {
        let from_ann = [("ann".to_owned(), String::new())];
        assert_eq!(said(parts.heard(1, id)), from_ann, "{id}");
    }
    assert_eq!(said(parts.heard(0, "ann")), []);
    let one = r#"{"colibriClass":"EndpointMessage","to":"cyd","msgPayload":{"a":1}}"#;
    parts.say(0, "ann", one);
    assert_eq!(parts.crossed[0].len(), 2);
    assert_eq!(said(parts.heard(1, "cyd")).len(), 1);
    assert_eq!(said(parts.heard(1, "bob")), []);
    // Among those of one part nothing crosses.
    parts.say(1, "bob", one);
    assert_eq!(said(parts.heard(1, "cyd")).len(), 1);
    assert_eq!(parts.crossed[1].len(), 0);

    let stats = r#"{"colibriClass":"EndpointStats","bitrate":1}"#;
    parts.say(0, "ann", stats);
    for id in ["bob", "cyd", "dan"] {
        let heard = parts.heard(1, id);
        let stats = |m: &BridgeMessage| matches!(m, BridgeMessage::EndpointStats(_));
        assert_eq!(heard.iter().filter(|m| stats(m)).count(), 1, "{id}");
    }
}

#[test]
fn whether_somebody_is_there_is_known_everywhere() {
    let mut parts = meeting();
    let set = |parts: &mut Parts, active| {
        let key = parts.keys[0]["ann"];
        let room = &mut parts.rooms[0];
        room.conference.set_active(room.now, key, active);
        room.drain();
        parts.cross();
    };
    let told = |messages: Vec<BridgeMessage>| {
        let told = messages.into_iter().filter_map(|m| match m {
            BridgeMessage::EndpointConnectivityStatusChangeEvent { active, .. } => Some(active),
            _ => None,
        });
        told.collect::<Vec<_>>()
    };
    set(&mut parts, false);
    assert_eq!(told(parts.heard(1, "bob")), [false]);
    // Whoever comes later hears it, too.
    let eve = parts.join(1, "eve");
    assert_eq!(told(parts.rooms[1].heard(eve)), [false]);
    set(&mut parts, true);
    assert_eq!(told(parts.heard(1, "bob")), [true]);
}

#[test]
fn a_sender_report_crosses_and_keeps_its_clock() {
    let mut parts = meeting();
    for i in 0..10u16 {
        parts.rtp(0, "ann", &opus(1000, i, u32::from(i) * 960, 30));
    }
    parts.rooms[1].sink.rtcp.clear();
    let info = SenderInfo {
        ssrc: Ssrc(1000),
        ntp: 0x0123_4567_89ab_cdef,
        rtp_timestamp: 9600,
        packets: 10,
        octets: 100,
    };
    let mut report = Vec::new();
    rtcp::sender_report(&mut report, &info, &[]);
    let key = parts.keys[0]["ann"];
    parts.rooms[0].rtcp(key, &report);
    parts.cross();
    let reports: Vec<u64> = parts.rooms[1]
        .sink
        .rtcp
        .iter()
        .flat_map(|sent| Compound::new(&sent.bytes))
        .filter_map(|item| match item.unwrap() {
            Rtcp::SenderReport(report) => Some(report.info.ntp),
            _ => None,
        })
        .collect();
    assert_eq!(reports, [info.ntp]);
}

#[test]
fn a_part_that_begins_anew_is_told_everything_again() {
    let mut parts = meeting();
    parts.say(1, "bob", WANT_ALL);
    let screen =
        r#"{"colibriClass":"SourceVideoTypeMessage","sourceName":"ann-v0","videoType":"desktop"}"#;
    parts.say(0, "ann", screen);
    let early =
        r#"{"colibriClass":"SourceVideoTypeMessage","sourceName":"ann-v1","videoType":"desktop"}"#;
    parts.say(0, "ann", early);
    let key = parts.keys[0]["ann"];
    let room = &mut parts.rooms[0];
    room.conference.set_active(room.now, key, false);
    room.drain();
    parts.cross();
    for part in [0, 1] {
        parts.crossed = [Vec::new(), Vec::new()];
        let room = &mut parts.rooms[part];
        room.conference.say_again(room.now, link(1 - part));
        room.drain();
        parts.cross();
        let said = std::mem::take(&mut parts.crossed[part]);
        let desktop = |source| RelayMessage::VideoType {
            source: name(source),
            video_type: althing_model::VideoType::Desktop,
        };
        let wanted = |source, height| RelayMessage::Wanted {
            source: name(source),
            height,
        };
        if part == 0 {
            let expected = [
                desktop("ann-v0"),
                RelayMessage::Active(false),
                desktop("ann-v1"),
                wanted("bob-v0", 0),
            ];
            assert_eq!(said, expected);
        } else {
            assert_eq!(said, [wanted("ann-v0", 180)]);
        }
    }
}

#[test]
fn what_only_the_own_part_may_say_is_not_believed_of_others() {
    let mut parts = meeting();
    let ann = parts.keys[1]["ann"];
    let bob = parts.keys[1]["bob"];
    let room = &mut parts.rooms[1];
    room.conference.add_link(room.now, link(5));
    let screen = RelayMessage::VideoType {
        source: name("ann-v0"),
        video_type: althing_model::VideoType::Desktop,
    };
    let wanted = RelayMessage::Wanted {
        source: name("ann-v0"),
        height: 720,
    };
    for (key, message) in [
        (ann, RelayMessage::Active(false)),
        (bob, RelayMessage::Active(false)),
        (ann, screen),
        // Of a source that is another's.
        (bob, wanted.clone()),
        (ann, wanted),
    ] {
        let now = room.now;
        room.conference
            .handle_relay(now, link(5), key, message, &mut room.sink);
        room.drain();
    }
    let heard = parts.heard(1, "bob");
    let status = |m: &BridgeMessage| {
        matches!(
            m,
            BridgeMessage::EndpointConnectivityStatusChangeEvent { .. }
                | BridgeMessage::SenderSourceConstraints { .. }
        )
    };
    assert!(!heard.iter().any(|m| status(m) && m != &sender_zero()));
}

/// What bob was told before.
fn sender_zero() -> BridgeMessage {
    BridgeMessage::SenderSourceConstraints {
        source_name: name("bob-v0"),
        max_height: 0,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever receivers want in whichever order, a sender is asked for the greatest of it, and its
    /// picture crosses exactly while somebody on the other side wants it.
    #[test]
    fn wishes_of_all_parts_agree_with_what_crosses(
        steps in prop::collection::vec((0usize..4, prop::sample::select(vec![-1i32, 0, 180, 720])), 1..20)
    ) {
        let mut parts = meeting();
        let people = [(0, "cyd"), (0, "dan"), (1, "eve"), (1, "fay")];
        for (part, id) in people {
            parts.join(part, id);
        }
        let mut heights = [0; 4];
        for (i, (who, height)) in steps.into_iter().enumerate() {
            let (part, id) = people[who];
            heights[who] = height;
            let json = format!(
                r#"{{"colibriClass":"ReceiverVideoConstraints","lastN":-1,"defaultConstraints":{{"maxHeight":{height}}}}}"#
            );
            parts.say(part, id, &json);
            let before = parts.packets[0];
            let number = i as u16 + 1;
            parts.rtp(0, "ann", &vp8(1002, number, u32::from(number) * 3000, true));
            let crossed = parts.packets[0] - before;
            prop_assert_eq!(crossed, usize::from(heights[2] != 0 || heights[3] != 0));
            let greatest = if heights.contains(&-1) { -1 } else { *heights.iter().max().unwrap() };
            let ann = parts.keys[0]["ann"];
            let room = &parts.rooms[0];
            let picture = room.conference.picture(room.now, ann).unwrap();
            let asked = picture.sources.iter().find_map(|s| s.asked_height);
            prop_assert_eq!(asked, Some(greatest));
        }
    }
}
