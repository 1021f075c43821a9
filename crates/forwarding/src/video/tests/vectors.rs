//! What must happen in named situations (protocol 5 §23).

use super::sender::{FrameId, Kind, Sender, read_trailer};
use super::{FRAME, Stage, layer};
use crate::layers::LayerId;
use althing_model::Ssrc;
use althing_rtp::RtpPacket;
use althing_rtp::rtcp::{self, Compound, Rtcp, SenderInfo};
use std::collections::BTreeSet;
use std::time::Duration;

const VP8: Kind = Kind::Vp8 { temporal: true };

/// A receiver at `from`, and keyframes of the encodings in this order, 40 ms apart, after its target
/// has become `to`. Returns which encodings' keyframes it got.
fn keyframes(from: u8, to: u8, order: [u8; 3]) -> (Stage, Vec<u8>) {
    let mut stage = Stage::new(VP8, 3, 1, 5);
    stage.target(0, Some(layer(from, 0, 2)));
    stage.frames(30);
    stage.target(0, Some(layer(to, 0, 2)));
    let before = stage.receivers[0].frames().len();
    for encoding in order {
        stage.sender.only_key(encoding);
        stage.now += Duration::from_millis(7);
        stage.frame();
    }
    let got = stage.receivers[0].frames()[before..]
        .iter()
        .filter(|id| stage.sender.frames[*id].key)
        .map(|id| id.0)
        .collect();
    (stage, got)
}

#[test]
fn v4_a_receiver_climbs_with_the_keyframes_as_they_come() {
    let (mut stage, got) = keyframes(0, 2, [0, 1, 2]);
    assert_eq!(got, [0, 1, 2]);
    let all = |e| BTreeSet::from([(e, 0, 0), (e, 0, 1), (e, 0, 2)]);
    assert_eq!(stage.gets(0, 12), all(2));
    stage.receivers[0].check_whole(&stage.sender);
    let (mut stage, got) = keyframes(0, 2, [2, 0, 1]);
    assert_eq!(got, [2]);
    assert_eq!(stage.gets(0, 12), all(2));
    stage.receivers[0].check_whole(&stage.sender);
}

#[test]
fn v4_a_keyframe_is_asked_for_once_in_200_ms_at_most_and_less_and_less_often() {
    let mut stage = Stage::new(VP8, 3, 1, 5);
    stage.target(0, Some(layer(0, 0, 2)));
    stage.frames(30);
    stage.target(0, Some(layer(2, 0, 2)));
    stage.sender.refuses_keys = true;
    let mut asked = Vec::new();
    let start = stage.now;
    for _ in 0..300 {
        let before = stage.keyframes_asked;
        stage.frame();
        if stage.keyframes_asked > before {
            assert_eq!(stage.keyframes_asked, before + 1);
            asked.push((stage.now - start).as_millis() as u64);
        }
    }
    let pauses: Vec<u64> = asked.windows(2).map(|w| w[1] - w[0]).collect();
    for (pause, at_least) in pauses.iter().zip([200, 400, 800, 2000, 2000, 2000, 2000]) {
        assert!((at_least..at_least + 70).contains(pause), "{pauses:?}");
    }
    assert_eq!(pauses.len(), 7);
}

#[test]
fn v5_going_down_it_gets_the_base_layer_until_the_keyframe() {
    let mut stage = Stage::new(VP8, 3, 1, 5);
    stage.target(0, Some(layer(2, 0, 2)));
    stage.frames(30);
    stage.target(0, Some(layer(0, 0, 2)));
    stage.sender.refuses_keys = true;
    stage.frame();
    assert_eq!(stage.gets(0, 16), BTreeSet::from([(2, 0, 0)]));
    stage.sender.refuses_keys = false;
    stage.sender.only_key(0);
    let down = BTreeSet::from([(0, 0, 0), (0, 0, 1), (0, 0, 2)]);
    assert_eq!(stage.gets(0, 16), down);
    stage.receivers[0].check_whole(&stage.sender);
}

#[test]
fn v6_a_frame_left_out_leaves_no_gap_and_a_lost_packet_does() {
    let mut stage = Stage::new(VP8, 1, 1, 5);
    stage.target(0, Some(layer(0, 0, 1)));
    let mut lost = BTreeSet::new();
    for i in 0..200 {
        stage.now += FRAME;
        for packet in stage.sender.pictures() {
            let id = read_trailer(RtpPacket::parse(&packet.bytes).unwrap().payload());
            let frame = &stage.sender.frames[&id.0];
            // Of every third frame with three packets or more, the second is lost.
            if i % 3 == 2 && frame.packets >= 3 && id.1 == 1 {
                lost.insert(id);
                continue;
            }
            stage.arrives(&packet.bytes);
        }
    }
    let left_out = |id: &&(FrameId, u8)| stage.sender.frames[&id.0].temporal == 2;
    let of_left_out = lost.iter().filter(left_out).count();
    let of_sent = lost.len() - of_left_out;
    assert!(of_left_out > 5 && of_sent > 5);
    assert_eq!(stage.receivers[0].missing().len(), of_sent);
    stage.receivers[0].check(&stage.sender, &lost);
}

#[test]
fn v7_what_is_lost_between_two_frames_fits_in_when_it_comes_after_all() {
    let mut stage = Stage::new(VP8, 1, 1, 9);
    stage.target(0, Some(layer(0, 0, 2)));
    stage.frames(24);
    stage.now += FRAME;
    let frame = stage.sender.pictures();
    stage.frames(2);
    let missing = stage.receivers[0].missing();
    assert_eq!(missing.len(), frame.len());
    let sent = stage.receivers[0].len();
    stage.asks_for_missing(0);
    assert_eq!(stage.receivers[0].len(), sent, "nobody has them yet");
    for packet in &frame {
        stage.arrives(&packet.bytes);
    }
    assert_eq!(stage.receivers[0].len(), sent + frame.len());
    stage.receivers[0].check_whole(&stage.sender);
}

fn report(encoding: u8, rtp_timestamp: u32, seconds: u64) -> Vec<u8> {
    let info = SenderInfo {
        ssrc: Ssrc(Sender::ssrc(encoding)),
        ntp: seconds << 32,
        rtp_timestamp,
        packets: 1,
        octets: 1,
    };
    let mut bytes = Vec::new();
    rtcp::sender_report(&mut bytes, &info, &[]);
    bytes
}

#[test]
fn v8_only_the_report_of_the_encoding_that_is_sent_goes_on() {
    let mut stage = Stage::new(VP8, 2, 1, 5);
    stage.target(0, Some(layer(1, 0, 2)));
    stage.frames(30);
    let at = stage.sender.tick * 3000;
    for encoding in [0, 1] {
        let bytes = report(encoding, stage.sender.timestamp(encoding, at), 9);
        stage
            .conference
            .handle_rtcp(stage.now, stage.ann, &bytes, &mut stage.sink);
    }
    let sent = std::mem::take(&mut stage.sink.rtcp);
    assert_eq!(sent.len(), 1);
    let Some(Ok(Rtcp::SenderReport(seen))) = Compound::new(&sent[0].1).next() else {
        panic!("{sent:?}")
    };
    assert_eq!(seen.info.rtp_timestamp, stage.receivers[0].last_timestamp());
}

#[test]
fn v15_an_upper_layer_of_vp9_waits_for_a_keyframe_and_the_marker_follows() {
    for key in [true, false] {
        let kind = Kind::Vp9 { key };
        let mut stage = Stage::new(kind, 1, 1, 5);
        stage.target(0, Some(layer(0, 0, 2)));
        stage.frames(30);
        let asked = stage.keyframes_asked;
        stage.target(0, Some(layer(0, 2, 2)));
        stage.frame();
        assert_eq!(stage.keyframes_asked, asked + 1);
        stage.frames(20);
        // Down at once where lower layers are always sent, else with a keyframe.
        let asked = stage.keyframes_asked;
        stage.target(0, Some(layer(0, 0, 2)));
        stage.frames(20);
        assert_eq!(stage.keyframes_asked - asked, usize::from(key), "{kind:?}");
        // The marker stands on the last packet of every picture, whatever layers it has.
        stage.receivers[0].check_whole(&stage.sender);
    }
}

#[test]
fn v16_templates_and_frame_numbers_of_the_next_encoding_go_on() {
    let mut stage = Stage::new(Kind::Av1Temporal, 2, 1, 5);
    stage.target(0, Some(layer(0, 0, 2)));
    stage.frames(30);
    stage.target(0, Some(layer(1, 0, 2)));
    stage.frames(30);
    // Both encodings have four templates from 0 on.
    let structures = stage.receivers[0].structures();
    assert_eq!(structures[0], (0, 4));
    assert_eq!(
        structures.last(),
        Some(&(4 * (structures.len() as u8 - 1), 4))
    );
    assert!(structures.len() > 1);
    stage.receivers[0].check_whole(&stage.sender);
}

#[test]
fn decode_targets_that_are_left_out_are_told_as_inactive() {
    // Targets in order: spatial layers, and of each three temporal ones.
    for (target, expected) in [
        (layer(0, 0, 1), 0b11),
        (layer(0, 1, 0), 0b1001),
        (layer(0, 2, 2), 0x1ff),
    ] {
        let mut stage = Stage::new(Kind::Av1 { key: false }, 1, 1, 5);
        stage.frames(2);
        stage.target(0, Some(target));
        stage.frames(30);
        let told = stage.receivers[0].active_targets();
        assert!(!told.is_empty());
        assert!(
            told.iter().all(|mask| *mask == expected),
            "{target:?} {told:?}"
        );
        stage.receivers[0].check_whole(&stage.sender);
    }
}

#[test]
fn v19_h264_is_one_stream_that_switches_at_keyframes() {
    let mut stage = Stage::new(Kind::H264, 3, 1, 5);
    for encoding in [0, 2, 1, 0] {
        stage.target(0, Some(layer(encoding, 0, 0)));
        stage.frames(30);
    }
    let frames = stage.receivers[0].frames();
    let switches: Vec<_> = frames.windows(2).filter(|w| w[0].0 != w[1].0).collect();
    assert!(switches.iter().all(|w| stage.sender.frames[&w[1]].key));
    let mut order: Vec<u8> = frames.iter().map(|f| f.0).collect();
    order.dedup();
    assert!(order.ends_with(&[1, 0]) && order.contains(&2), "{order:?}");
    stage.receivers[0].check_whole(&stage.sender);
}

#[test]
fn v20_the_height_of_a_portrait_picture_is_its_smaller_side() {
    let mut stage = Stage::new(VP8, 3, 1, 5);
    stage.target(0, Some(LayerId::all_of(0)));
    stage.frames(40);
    stage.conference.measure_layers(stage.now);
    let layers = stage.conference.sources[stage.source].layers();
    let seen: Vec<_> = layers
        .iter()
        .map(|l| (l.id.encoding, l.id.temporal, l.height, l.fps, l.active))
        .collect();
    let expected: Vec<_> = (0..3u8)
        .flat_map(|e| {
            let fps = [7.5, 15.0, 30.0].into_iter().zip(0u8..);
            fps.map(move |(fps, t)| (e, t, 180 << e, fps, true))
        })
        .collect();
    assert_eq!(seen, expected);
    for of_encoding in layers.chunks(3) {
        let rates: Vec<u64> = of_encoding.iter().map(|l| l.bitrate).collect();
        assert!(
            rates[0] > 0 && rates[0] < rates[1] && rates[1] < rates[2],
            "{rates:?}"
        );
    }
}

#[test]
fn a_layer_that_is_no_longer_sent_is_told_of() {
    let mut stage = Stage::new(VP8, 3, 1, 5);
    stage.target(0, Some(LayerId::all_of(0)));
    stage.frames(60);
    stage.conference.measure_layers(stage.now);
    let active = |stage: &Stage| {
        let layers = stage.conference.sources[stage.source].layers();
        layers.iter().map(|l| l.active).collect::<Vec<_>>()
    };
    assert_eq!(active(&stage), [true; 9]);
    stage.sender.silent = Some(2);
    stage.frames(60);
    stage.conference.dirty.clear();
    stage.conference.measure_layers(stage.now);
    assert_eq!(active(&stage)[..6], [true; 6]);
    assert_eq!(active(&stage)[6..], [false; 3]);
    // And a picture that stands still is not.
    stage.now += Duration::from_secs(5);
    stage.conference.measure_layers(stage.now);
    assert_eq!(active(&stage)[..6], [true; 6]);
}

#[test]
fn of_a_payload_encrypted_end_to_end_nothing_but_the_descriptor_is_read_or_changed() {
    // What looks like H.264 keyframes means nothing: the first encoding is all there is.
    let mut stage = Stage::new(Kind::H264, 3, 1, 5);
    stage.conference.set_e2ee(stage.now, stage.ann, true);
    stage.target(0, Some(layer(2, 0, 0)));
    let first = stage.gets(0, 30);
    assert_eq!(first, BTreeSet::from([(0, 0, 0)]));
    stage.receivers[0].check_whole(&stage.sender);
    // VP8 goes on to switch, by what its descriptor tells; what stands behind it is left alone.
    let mut stage = Stage::new(VP8, 3, 1, 5);
    stage.conference.set_e2ee(stage.now, stage.ann, true);
    for encoding in [0, 2, 1] {
        stage.target(0, Some(layer(encoding, 0, 2)));
        stage.frames(30);
    }
    stage.conference.measure_layers(stage.now);
    let layers = stage.conference.sources[stage.source].layers();
    assert!(
        layers.iter().all(|l| l.height == 180 << l.id.encoding),
        "{layers:?}"
    );
    stage.receivers[0].check_whole(&stage.sender);
    stage.receivers[0].check_bodies(&stage.sender);
}

#[test]
fn a_sender_that_changes_its_codec_goes_on_with_a_keyframe() {
    let mut stage = Stage::new(VP8, 2, 1, 5);
    stage.target(0, Some(layer(1, 0, 2)));
    stage.frames(30);
    let before = stage.receivers[0].len();
    stage.sender.kind = Kind::H264;
    stage.frames(3);
    assert_eq!(stage.receivers[0].len(), before, "no keyframe yet");
    stage.frames(30);
    assert!(stage.receivers[0].len() > before + 20);
    assert_eq!(stage.receivers[0].missing(), Vec::<u16>::new());
}
