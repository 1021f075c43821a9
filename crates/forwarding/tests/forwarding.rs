//! Packets in, packets out.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use althing_forwarding::SlotMode::{Plain, Rewriting};
use althing_forwarding::{EndpointKey, Settings};
use althing_model::{Encoding, MediaKinds, Role, Ssrc};
use althing_rtp::rtcp::{self, Compound, Rtcp, SenderInfo};
use common::*;
use std::time::Duration;

#[test]
fn audio_and_video_reach_a_plain_receiver() {
    let mut room = Room::new();
    let ann = room.join("ann", Plain);
    let bob = room.join("bob", Plain);
    room.signal(ann, 100, &["a0", "v0"]);
    room.say(bob, WANT_ALL);
    room.rtp(ann, &opus(100, 1, 960, 30));
    room.rtp(ann, &vp8(102, 1, 3000, false));
    room.rtp(ann, &vp8(102, 2, 6000, true));
    room.rtp(ann, &vp8(102, 3, 9000, false));
    let sent = room.sent();
    assert!(sent.iter().all(|s| s.to == bob));
    let seen: Vec<_> = sent
        .iter()
        .map(|s| {
            (
                s.rtp().ssrc().0,
                s.rtp().timestamp(),
                s.rtp().payload_type(),
            )
        })
        .collect();
    assert_eq!(seen, [(100, 960, 111), (102, 6000, 100), (102, 9000, 100)]);
    assert_eq!(room.plis(), [(ann, 102)]);
}

#[test]
fn a_rewriting_receiver_is_told_first_and_spared_early_packets() {
    let mut room = Room::new();
    let ann = room.join("ann", Rewriting);
    let bob = room.join("bob", Rewriting);
    room.say(bob, WANT_ALL);
    room.signal(ann, 100, &["a0", "v0"]);
    let told = room.heard(bob);
    let audio = audio_map(&told)["ann-a0"];
    let (video, _) = video_map(&told)["ann-v0"];
    room.rtp(ann, &opus(100, 1, 960, 30));
    room.rtp(ann, &vp8(102, 1, 3000, true));
    assert_eq!(room.sent(), []);
    room.pass_ms(401);
    room.rtp(ann, &opus(100, 2, 1920, 30));
    room.rtp(ann, &vp8(102, 2, 6000, false));
    assert_eq!(room.plis(), [(ann, 102)]);
    room.rtp(ann, &vp8(102, 3, 9000, true));
    let sent = room.sent_to(bob);
    let ssrcs: Vec<u32> = sent.iter().map(|s| s.rtp().ssrc().0).collect();
    assert_eq!(ssrcs, [audio, video]);
}

#[test]
fn a_nack_is_answered_on_the_retransmission_ssrc() {
    let mut room = Room::new();
    let ann = room.join("ann", Rewriting);
    let bob = room.join("bob", Rewriting);
    room.say(bob, WANT_ALL);
    room.signal(ann, 100, &["v0"]);
    let (ssrc, rtx) = video_map(&room.heard(bob))["ann-v0"];
    room.pass_ms(401);
    for i in 0..5 {
        room.rtp(ann, &vp8(100, 10 + i, 3000 * u32::from(i), i == 0));
    }
    let sent = room.sent_to(bob);
    let lost = sent[2].rtp();
    let mut nack = Vec::new();
    rtcp::nack(&mut nack, Ssrc(9), Ssrc(ssrc), &[lost.sequence()]);
    room.rtcp(bob, &nack);
    room.rtcp(bob, &nack);
    let again = room.sent_to(bob);
    assert_eq!(
        again.len(),
        1,
        "a second NACK within the round trip is too early"
    );
    let again = again[0].rtp();
    assert_eq!((again.ssrc().0, again.payload_type()), (rtx, 96));
    assert_eq!(again.timestamp(), lost.timestamp());
    let (original, body) = althing_rtp::rtx::unwrap(again.payload()).unwrap();
    assert_eq!((original, body), (lost.sequence(), lost.payload()));
}

/// Ann sends a camera and a microphone to Bob, whose slots are open.
struct Pair {
    room: Room,
    ann: EndpointKey,
    bob: EndpointKey,
    audio: u32,
    video: u32,
    rtx: u32,
}

fn pair() -> Pair {
    let mut room = Room::new();
    let ann = room.join("ann", Rewriting);
    let bob = room.join("bob", Rewriting);
    room.say(bob, WANT_ALL);
    room.signal(ann, 100, &["a0", "v0"]);
    let heard = room.heard(bob);
    let audio = audio_map(&heard)["ann-a0"];
    let (video, rtx) = video_map(&heard)["ann-v0"];
    room.pass_ms(500);
    room.plis();
    Pair {
        room,
        ann,
        bob,
        audio,
        video,
        rtx,
    }
}

#[test]
fn what_the_sender_put_in_extensions_does_not_leak() {
    let mut p = pair();
    let extensions: &[(u8, &[u8])] = &[
        (1, &[30]),
        (3, &[1, 2, 3]),
        (5, &[0, 1]),
        (10, b"0"),
        (4, b"hi"),
    ];
    p.room
        .rtp(p.ann, &packet(111, 100, 1, 960, extensions, &[1, 2]));
    let sent = p.room.sent_to(p.bob);
    let seen: Vec<_> = sent[0].rtp().extensions().map(|(id, _)| id).collect();
    assert_eq!(seen, [1]);
}

#[test]
fn what_was_not_signalled_or_is_not_allowed_is_dropped_and_counted() {
    let mut room = Room::new();
    let ann = room.add_with(
        "ann",
        Plain,
        Role::Participant,
        MediaKinds {
            video: false,
            ..MediaKinds::ALL
        },
    );
    let vic = room.add_with("vic", Plain, Role::Visitor, MediaKinds::ALL);
    let bob = room.join("bob", Plain);
    room.say(bob, WANT_ALL);
    room.signal(ann, 100, &["a0", "v0"]);
    room.signal(vic, 200, &["a0"]);
    room.rtp(ann, &opus(999, 1, 0, 30)); // unknown SSRC
    room.rtp(ann, &packet(77, 100, 1, 0, &[], &[1])); // unknown payload type
    room.rtp(ann, &packet(100, 100, 1, 0, &[], &[0x10, 0])); // video on an audio source
    room.rtp(ann, &vp8(102, 1, 0, true)); // forbidden
    room.rtp(vic, &opus(200, 1, 0, 30)); // a visitor's source was never taken
    room.rtp(ann, &[0x80, 111]); // no packet
    assert_eq!(room.sent(), []);
    let c = room.conference.counters();
    assert_eq!(
        (
            c.unknown_ssrc,
            c.unknown_payload_type,
            c.forbidden,
            c.malformed
        ),
        (2, 2, 1, 1)
    );
    assert_eq!(c.sources_refused, 1);
    room.conference.set_may_send(room.now, ann, MediaKinds::ALL);
    room.rtp(ann, &vp8(102, 2, 3000, true));
    assert_eq!(room.sent_to(bob).len(), 1);
}

#[test]
fn only_the_first_encoding_goes_on() {
    let mut room = Room::new();
    let ann = room.join("ann", Plain);
    let bob = room.join("bob", Plain);
    room.say(bob, WANT_ALL);
    let mut simulcast = source("ann", "v0", 100);
    simulcast.encodings.push(Encoding {
        primary: Ssrc(110),
        rtx: Some(Ssrc(111)),
    });
    room.conference.set_sources(room.now, ann, vec![simulcast]);
    room.drain();
    room.rtp(ann, &vp8(100, 1, 0, true));
    room.rtp(ann, &vp8(110, 1, 0, true));
    let sent = room.sent_to(bob);
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].rtp().ssrc().0, 100);
    assert_eq!(room.conference.counters().other_encoding, 1);
}

#[test]
fn a_senders_retransmission_becomes_the_original_and_twice_is_once() {
    let mut p = pair();
    p.room.rtp(p.ann, &vp8(102, 10, 0, true));
    p.room.rtp(p.ann, &vp8(102, 12, 6000, false));
    let lost = vp8(102, 11, 3000, false);
    let body = &lost[12..];
    let again = packet(
        96,
        103,
        500,
        3000,
        &[],
        &[&11u16.to_be_bytes()[..], body].concat(),
    );
    p.room.rtp(p.ann, &again);
    p.room.rtp(p.ann, &lost);
    let sent = p.room.sent_to(p.bob);
    let first = sent[0].rtp().sequence();
    let seen: Vec<_> = sent
        .iter()
        .map(|s| {
            let r = s.rtp();
            (
                r.sequence().wrapping_sub(first),
                r.payload_type(),
                r.ssrc().0,
            )
        })
        .collect();
    let v = p.video;
    assert_eq!(seen, [(0, 100, v), (2, 100, v), (1, 100, v)]);
    assert_eq!(sent[2].rtp().payload(), body);
    assert_eq!(p.room.conference.counters().duplicate, 1);
}

fn nacks(room: &mut Room) -> Vec<Vec<u16>> {
    let mut found = Vec::new();
    for sent in std::mem::take(&mut room.sink.rtcp) {
        for item in Compound::new(&sent.bytes) {
            if let Rtcp::Nack(n) = item.unwrap() {
                found.push(n.sequences().collect());
            }
        }
    }
    found
}

#[test]
fn missing_packets_are_asked_for_at_once_and_again() {
    let mut p = pair();
    p.room.conference.set_rtt(p.ann, Duration::from_millis(40));
    p.room.rtp(p.ann, &vp8(102, 10, 0, true));
    p.room.rtp(p.ann, &vp8(102, 13, 9000, false));
    assert_eq!(nacks(&mut p.room), [[11, 12]]);
    p.room.pass_ms(39);
    assert_eq!(nacks(&mut p.room).len(), 0);
    p.room.rtp(p.ann, &vp8(102, 11, 3000, false));
    p.room.pass_ms(1);
    assert_eq!(nacks(&mut p.room), [[12]]);
    p.room.pass_ms(3000);
    assert_eq!(nacks(&mut p.room).len(), 8, "ten tries in all");
    // A keyframe makes older packets needless.
    p.room.rtp(p.ann, &vp8(102, 15, 12_000, false));
    p.room.rtp(p.ann, &vp8(102, 16, 15_000, true));
    nacks(&mut p.room);
    p.room.pass_ms(100);
    assert_eq!(nacks(&mut p.room).len(), 0);
}

#[test]
fn transport_feedback_and_reports_go_to_the_sender() {
    let mut p = pair();
    for i in 0..3u16 {
        let number = i.to_be_bytes();
        p.room.rtp(
            p.ann,
            &packet(111, 100, i, 960, &[(1, &[30]), (5, &number)], &[1]),
        );
    }
    p.room.pass_ms(1000);
    let (mut feedback, mut reports) = (Vec::new(), Vec::new());
    for sent in std::mem::take(&mut p.room.sink.rtcp) {
        assert_eq!(sent.to, p.ann);
        for item in Compound::new(&sent.bytes) {
            match item.unwrap() {
                Rtcp::TransportCc(f) => {
                    assert_eq!(f.sender, FEEDBACK.video);
                    feedback.extend(f.statuses().map(|s| s.sequence));
                }
                Rtcp::ReceiverReport(r) => reports.extend(r.blocks.map(|b| b.ssrc.0)),
                other => panic!("{other:?}"),
            }
        }
    }
    assert_eq!(feedback, [0, 1, 2]);
    assert_eq!(reports, [100]);
}

#[test]
fn sender_reports_follow_the_rewriting_and_measure_the_way() {
    let mut p = pair();
    // Nothing was sent on the slot yet.
    let info = SenderInfo {
        ssrc: Ssrc(102),
        ntp: 0x1122_3344_5566_7788,
        rtp_timestamp: 90_000,
        packets: 7,
        octets: 8,
    };
    let mut report = Vec::new();
    rtcp::sender_report(&mut report, &info, &[]);
    p.room.rtcp(p.ann, &report);
    assert_eq!(p.room.sink.rtcp, []);
    p.room.rtp(p.ann, &vp8(102, 10, 90_000, true));
    let video = p.room.sent_to(p.bob);
    p.room.rtcp(p.ann, &report);
    let sent = p.room.sink.rtcp.remove(0);
    assert_eq!(sent.to, p.bob);
    let Some(Ok(Rtcp::SenderReport(seen))) = Compound::new(&sent.bytes).next() else {
        panic!("{sent:?}")
    };
    assert_eq!(seen.info.ssrc.0, p.video);
    assert_eq!(seen.info.ntp, info.ntp);
    assert_eq!(seen.info.rtp_timestamp, video[0].rtp().timestamp());
    assert_eq!(seen.info.packets, 1);
    assert_eq!(seen.info.octets as usize, video[0].rtp().payload().len());

    p.room.pass_ms(130);
    let block = rtcp::ReportBlock {
        ssrc: Ssrc(p.video),
        fraction_lost: 0,
        cumulative_lost: 0,
        highest_sequence: 0,
        jitter: 0,
        last_sr: info.ntp_middle(),
        delay_since_last_sr: 65_536 / 10,
    };
    let mut back = Vec::new();
    rtcp::receiver_report(&mut back, Ssrc(1), &[block]);
    p.room.rtcp(p.bob, &back);
    let rtt = p.room.conference.endpoint_counters(p.bob).unwrap().rtt;
    assert_eq!(rtt.unwrap().as_millis(), 30);
}

#[test]
fn silence_is_closed_up() {
    let mut p = pair();
    // The first packets of a slot pass, be they silence.
    let levels = [30, 30, 30, 30, 30, 127, 127, 127, 127, 127, 30];
    for (i, level) in levels.into_iter().enumerate() {
        let i = i as u16;
        p.room.rtp(p.ann, &opus(100, i, 960 * u32::from(i), level));
    }
    let sent = p.room.sent_to(p.bob).split_off(5);
    let first = sent[0].rtp().sequence();
    let seen: Vec<_> = sent
        .iter()
        .map(|s| (s.rtp().sequence() - first, s.rtp().timestamp() / 960))
        .collect();
    assert_eq!(seen, [(0, 5), (1, 6), (2, 7), (3, 10)]);
    assert!(sent.iter().all(|s| s.rtp().ssrc().0 == p.audio));
}

#[test]
fn padding_is_hidden() {
    let mut p = pair();
    p.room.rtp(p.ann, &vp8(102, 10, 0, true));
    let mut padding = packet(100, 102, 11, 0, &[], &[0, 0, 3]);
    padding[0] |= 0x20;
    p.room.rtp(p.ann, &padding);
    p.room.rtp(p.ann, &vp8(102, 12, 3000, false));
    let sent = p.room.sent_to(p.bob);
    assert_eq!(sent.len(), 2);
    assert_eq!(sent[1].rtp().sequence() - sent[0].rtp().sequence(), 1);
    // What the receiver misses is still found under its new number.
    let mut nack = Vec::new();
    rtcp::nack(
        &mut nack,
        Ssrc(9),
        Ssrc(p.video),
        &[sent[1].rtp().sequence()],
    );
    p.room.rtcp(p.bob, &nack);
    let again = p.room.sent_to(p.bob);
    assert_eq!(again[0].rtp().ssrc().0, p.rtx);
    assert_eq!(&again[0].rtp().payload()[2..], sent[1].rtp().payload());
}

#[test]
fn a_receivers_keyframe_requests_are_gathered_and_limited() {
    let mut p = pair();
    p.room.rtp(p.ann, &vp8(102, 10, 0, true));
    p.room.plis();
    let mut pli = Vec::new();
    rtcp::pli(&mut pli, Ssrc(9), Ssrc(p.video));
    let mut asked = 0;
    for _ in 0..10 {
        p.room.rtcp(p.bob, &pli);
        asked += p.room.plis().len();
        p.room.pass_ms(100);
    }
    assert_eq!(asked, 3);
    // A keyframe satisfies; the next request is heard at once.
    p.room.rtp(p.ann, &vp8(102, 11, 3000, true));
    p.room.rtcp(p.bob, &pli);
    assert_eq!(p.room.plis(), [(p.ann, 102)]);
}

#[test]
fn a_freed_slot_serves_the_next_source_without_a_new_ssrc() {
    let mut p = pair();
    p.room.pass_ms(1000);
    p.room.rtp(p.ann, &vp8(102, 10, 90_000, true));
    let before = p.room.sent_to(p.bob);
    p.room.leave(p.ann);
    let cat = p.room.join("cat", Rewriting);
    p.room.signal(cat, 500, &["a0", "v0"]);
    let heard = p.room.heard(p.bob);
    assert_eq!(video_map(&heard)["cat-v0"], (p.video, p.rtx));
    assert_eq!(audio_map(&heard)["cat-a0"], p.audio);
    p.room.pass_ms(20);
    p.room.rtp(cat, &vp8(502, 7, 5, false));
    assert_eq!(p.room.sent_to(p.bob), [], "waits for a keyframe");
    p.room.rtp(cat, &vp8(502, 8, 5, true));
    let after = p.room.sent_to(p.bob);
    assert_eq!(
        after[0].rtp().sequence(),
        before[0].rtp().sequence().wrapping_add(1)
    );
    assert_eq!(
        after[0].rtp().timestamp() - before[0].rtp().timestamp(),
        3000,
        "one frame at least"
    );
    // A retransmission carries the numbers of this mapping.
    let mut nack = Vec::new();
    let missed = after[0].rtp().sequence();
    rtcp::nack(&mut nack, Ssrc(9), Ssrc(p.video), &[missed]);
    p.room.rtcp(p.bob, &nack);
    let again = p.room.sent_to(p.bob);
    assert_eq!(again[0].rtp().timestamp(), after[0].rtp().timestamp());
    assert_eq!(again[0].rtp().payload()[..2], missed.to_be_bytes());
}

#[test]
fn a_young_slot_is_not_given_away() {
    let mut p = pair();
    p.room.leave(p.ann);
    let cat = p.room.join("cat", Rewriting);
    p.room.signal(cat, 500, &["v0"]);
    let (ssrc, _) = video_map(&p.room.heard(p.bob))["cat-v0"];
    assert_ne!(ssrc, p.video, "the client may still be adding it");
}

#[test]
fn a_source_that_returns_finds_its_slot() {
    let mut p = pair();
    p.room.rtp(p.ann, &vp8(102, 10, 0, true));
    let before = p.room.sent_to(p.bob)[0].rtp().sequence();
    // Muted by removal, and back with other SSRCs, at once.
    p.room.signal(p.ann, 100, &["a0"]);
    p.room.signal(p.ann, 700, &["a0", "v0"]);
    assert_eq!(video_map(&p.room.heard(p.bob))["ann-v0"], (p.video, p.rtx));
    p.room.rtp(p.ann, &vp8(702, 60_000, 77, true));
    let after = p.room.sent_to(p.bob);
    assert_eq!(after[0].rtp().sequence(), before.wrapping_add(1));
}

#[test]
fn changed_ssrcs_restart_in_place_on_a_keyframe() {
    let mut p = pair();
    p.room.rtp(p.ann, &vp8(102, 10, 0, true));
    let before = p.room.sent_to(p.bob)[0].rtp().sequence();
    p.room.signal(p.ann, 700, &["a0", "v0"]);
    p.room.rtp(p.ann, &vp8(702, 60_000, 77, false));
    assert_eq!(p.room.sent_to(p.bob), []);
    p.room.rtp(p.ann, &vp8(702, 60_001, 77, true));
    let after = p.room.sent_to(p.bob);
    assert_eq!(after[0].rtp().sequence(), before.wrapping_add(1));
    assert_eq!(after[0].rtp().ssrc().0, p.video);
    assert_eq!(
        video_map(&p.room.heard(p.bob)).len(),
        0,
        "the slot did not change"
    );
}

#[test]
fn a_plain_receiver_never_sees_a_number_twice_though_the_source_comes_back() {
    let mut room = Room::new();
    let ann = room.join("ann", Plain);
    let bob = room.join("bob", Plain);
    room.say(bob, WANT_ALL);
    room.signal(ann, 100, &["v0"]);
    room.rtp(ann, &vp8(100, 10, 0, true));
    let before = room.sent_to(bob)[0].rtp().sequence();
    room.signal(ann, 100, &[]);
    room.signal(ann, 100, &["v0"]);
    room.rtp(ann, &vp8(100, 3, 0, true));
    assert_eq!(
        room.sent_to(bob)[0].rtp().sequence(),
        before.wrapping_add(1)
    );
}

#[test]
fn a_plain_receiver_hears_everybody_however_many_came_and_went_before() {
    let mut room = Room::new();
    let ann = room.join("ann", Plain);
    let bob = room.join("bob", Plain);
    room.say(bob, WANT_ALL);
    for round in 0..3000 {
        let base = 1000 + 10 * round;
        room.signal(ann, base, &["a0", "v0"]);
        room.rtp(ann, &opus(base, 7, 960, 30));
        room.rtp(ann, &vp8(base + 2, 7, 3000, true));
        let heard: Vec<u32> = room.sent_to(bob).iter().map(|s| s.rtp().ssrc().0).collect();
        assert_eq!(heard, [base, base + 2], "round {round}");
        room.signal(ann, base, &[]);
        room.pass_ms(20);
    }
}

#[test]
fn an_ssrc_that_returns_after_a_thousand_others_goes_on_where_it_was() {
    let mut room = Room::new();
    let ann = room.join("ann", Plain);
    let bob = room.join("bob", Plain);
    room.say(bob, WANT_ALL);
    let send = |room: &mut Room, number: u16| {
        room.signal(ann, 100, &["v0"]);
        room.rtp(ann, &vp8(100, number, 3000 * u32::from(number), true));
        let lost = room.sent_to(bob)[0].rtp().sequence();
        let mut nack = Vec::new();
        rtcp::nack(&mut nack, Ssrc(9), Ssrc(100), &[lost]);
        room.rtcp(bob, &nack);
        let again = room.sent_to(bob)[0].rtp().sequence();
        room.rtp(
            ann,
            &vp8(100, number + 1, 3000 * u32::from(number) + 3000, false),
        );
        let last = room.sent_to(bob)[0].rtp().sequence();
        room.signal(ann, 100, &[]);
        (last, again)
    };
    let (media, rtx) = send(&mut room, 10);
    for other in 0..1100 {
        room.signal(ann, 1000 + 2 * other, &["v0"]);
        room.signal(ann, 1000, &[]);
    }
    let (media_after, rtx_after) = send(&mut room, 3);
    assert_eq!(media_after, media.wrapping_add(2));
    assert_eq!(rtx_after, rtx.wrapping_add(1));
}

#[test]
fn more_sources_than_a_plain_receiver_has_room_for_wait_until_others_end() {
    let mut settings = Settings::default();
    settings.max_sources_per_endpoint = 1100;
    settings.loudest = None;
    let mut room = Room::with(settings);
    let ann = room.join("ann", Plain);
    let bob = room.join("bob", Plain);
    let names: Vec<String> = (0..1025).map(|i| format!("a{i}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    room.signal(ann, 10_000, &names);
    let hears = |room: &mut Room, ssrc: u32, number: u16| {
        room.rtp(ann, &opus(ssrc, number, 960, 30));
        !room.sent_to(bob).is_empty()
    };
    let ssrcs: Vec<u32> = (0..1025).map(|i| 10_000 + 2 * i).collect();
    let waiting: Vec<u32> = ssrcs
        .iter()
        .copied()
        .filter(|ssrc| !hears(&mut room, *ssrc, 1))
        .collect();
    assert_eq!(waiting, [10_000 + 2 * 1024]);
    // Another ends.
    let last = 10_000 + 2 * 1024;
    let mut fewer: Vec<_> = names.iter().zip(&ssrcs).collect();
    fewer.remove(17);
    let sources = fewer.iter().map(|(n, s)| source("ann", n, **s)).collect();
    room.conference.set_sources(room.now, ann, sources);
    room.drain();
    assert!(hears(&mut room, last, 2));
    assert!(hears(&mut room, 10_000, 2));
}

#[test]
fn disconnected_receivers_cost_nothing_and_come_back_on_a_keyframe() {
    let mut p = pair();
    p.room.rtp(p.ann, &vp8(102, 10, 0, true));
    p.room.conference.connected(p.room.now, p.bob, false);
    p.room.drain();
    p.room.sent();
    p.room.rtp(p.ann, &vp8(102, 11, 3000, false));
    assert_eq!(p.room.sent(), []);
    p.room.conference.connected(p.room.now, p.bob, true);
    p.room.drain();
    p.room.rtp(p.ann, &vp8(102, 12, 6000, false));
    assert_eq!(p.room.sent_to(p.bob), []);
    assert_eq!(p.room.plis(), [(p.ann, 102)]);
    p.room.rtp(p.ann, &vp8(102, 13, 9000, true));
    assert_eq!(p.room.sent_to(p.bob).len(), 1);
}

#[test]
fn a_voice_without_a_slot_takes_one_from_the_quiet() {
    let mut room = Room::new();
    let bob = room.join("bob", Rewriting);
    let mut others = Vec::new();
    for i in 0..52u32 {
        let key = room.join(&format!("e{i}"), Rewriting);
        room.signal(key, 1000 + 10 * i, &["a0"]);
        others.push((key, 1000 + 10 * i));
    }
    let before = audio_map(&room.heard(bob));
    assert_eq!(before.len(), 20);
    room.pass_ms(5000);
    let (key, ssrc) = others[51];
    room.rtp(key, &opus(ssrc, 1, 0, 20));
    let heard = audio_map(&room.heard(bob));
    assert_eq!(heard.keys().collect::<Vec<_>>(), ["e51-a0"]);
    let sent = room.sent_to(bob);
    assert_eq!(sent[0].rtp().ssrc().0, heard["e51-a0"]);
}

#[test]
fn transport_numbers_are_for_those_who_take_part_and_see_video() {
    let mut room = Room::new();
    let [ann, bob, cat] = ["ann", "bob", "cat"].map(|id| room.join(id, Plain));
    for key in [bob, cat] {
        room.say(key, WANT_ALL);
    }
    room.conference.set_transport_cc(room.now, bob, true);
    room.signal(ann, 100, &["a0", "v0"]);
    room.rtp(ann, &opus(100, 1, 960, 30));
    assert_eq!(room.sent().len(), 2);
    room.rtp(ann, &vp8(102, 1, 3000, true));
    room.rtp(ann, &opus(100, 2, 1920, 30));
    let numbers: Vec<_> = room
        .sent()
        .iter()
        .map(|s| (s.to == bob, s.rtp().extension(5).map(<[u8]>::to_vec)))
        .collect();
    let [first, second] = [[0, 1], [0, 2]].map(|n| (true, Some(n.to_vec())));
    let without = (false, None);
    assert_eq!(numbers, [first, without.clone(), second, without]);
}

#[test]
fn redundant_audio_is_passed_on_to_those_who_take_it() {
    let mut room = Room::new();
    let [ann, bob, cat] = ["ann", "bob", "cat"].map(|id| room.join(id, Plain));
    room.conference.set_redundant_audio(room.now, bob, true);
    room.signal(ann, 100, &["a0"]);
    // The last frame again, and the new one.
    let body = [0x80 | 111, 0x0f, 0x00, 2, 111, 1, 1, 9, 9, 9];
    room.rtp(ann, &packet(112, 100, 7, 960, &[(1, &[30])], &body));
    let broken = [0x80 | 111, 0x0f, 0x00, 200, 111, 1];
    room.rtp(ann, &packet(112, 100, 8, 1920, &[(1, &[30])], &broken));
    room.rtp(ann, &packet(111, 100, 9, 2880, &[(1, &[30])], &[8, 8]));
    let seen: Vec<_> = room
        .sent()
        .iter()
        .map(|s| {
            let packet = s.rtp();
            assert_eq!(packet.extension(1), Some(&[30][..]), "the level as usual");
            (s.to, packet.payload_type(), packet.payload().to_vec())
        })
        .collect();
    let to = |key| -> Vec<_> {
        let own = seen.iter().filter(|(to, ..)| *to == key);
        own.map(|(_, number, body)| (*number, body.as_slice()))
            .collect()
    };
    assert_eq!(to(bob), [(112, &body[..]), (112, &broken), (111, &[8, 8])]);
    assert_eq!(to(cat), [(111, &[9, 9, 9][..]), (111, &[8, 8])]);
    // Encrypted end to end nothing in it can be told apart: it goes whole, or not at all.
    room.conference.set_e2ee(room.now, ann, true);
    room.rtp(ann, &packet(112, 100, 10, 3840, &[(1, &[30])], &body));
    let sent = room.sent();
    assert_eq!(sent.len(), 1);
    assert_eq!((sent[0].to, sent[0].rtp().payload()), (bob, &body[..]));
}

#[test]
fn a_key_of_somebody_gone_does_nothing() {
    let mut p = pair();
    p.room.leave(p.ann);
    let cat = p.room.join("cat", Rewriting);
    assert_eq!(cat.index(), p.ann.index(), "the place was taken again");
    p.room.signal(cat, 100, &["a0"]);
    p.room.pass_ms(500);
    p.room.rtp(p.ann, &opus(100, 1, 0, 30));
    assert_eq!(p.room.sent(), []);
    assert_eq!(p.room.conference.endpoint_counters(p.ann), None);
}

#[test]
fn what_comes_and_goes_before_anybody_looks_is_forgotten() {
    let mut p = pair();
    let sources = vec![source("bob", "a0", 800), source("bob", "v0", 802)];
    let (now, c) = (p.room.now, &mut p.room.conference);
    c.set_sources(now, p.bob, sources.clone());
    c.set_sources(now, p.bob, Vec::new());
    c.set_sources(now, p.bob, sources);
    c.remove_endpoint(now, p.bob);
    c.handle_timeout(now, &mut p.room.sink);
    p.room.drain();
    let heard = p.room.heard(p.ann);
    assert_eq!((video_map(&heard).len(), audio_map(&heard).len()), (0, 0));
}
