//! Packets in, packets out.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use althing_forwarding::SlotMode::{Plain, Rewriting};
use althing_rtp::rtcp;
use common::*;

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
    rtcp::nack(
        &mut nack,
        althing_model::Ssrc(9),
        althing_model::Ssrc(ssrc),
        &[lost.sequence()],
    );
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
