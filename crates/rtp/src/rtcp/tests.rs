use super::*;
use proptest::prelude::*;
use std::time::Duration;

const US: Ssrc = Ssrc(0x1111_1111);
const THEM: Ssrc = Ssrc(0x2222_2222);

const BLOCK: ReportBlock = ReportBlock {
    ssrc: THEM,
    fraction_lost: 64,
    cumulative_lost: -2,
    highest_sequence: 0x0001_0007,
    jitter: 12,
    last_sr: 0x3344_5566,
    delay_since_last_sr: 32_768,
};

fn one(bytes: &[u8]) -> Rtcp<'_> {
    let mut items = Compound::new(bytes);
    let first = items.next().expect("one packet").expect("readable");
    assert!(items.next().is_none());
    first
}

#[test]
fn a_receiver_report_on_the_wire() {
    let mut out = Vec::new();
    receiver_report(&mut out, US, &[BLOCK]);
    assert_eq!(
        out,
        [
            0x81, 201, 0, 7, 0x11, 0x11, 0x11, 0x11, 0x22, 0x22, 0x22, 0x22, 64, 0xff, 0xff, 0xfe,
            0, 1, 0, 7, 0, 0, 0, 12, 0x33, 0x44, 0x55, 0x66, 0, 0, 0x80, 0,
        ]
    );
    let Rtcp::ReceiverReport(r) = one(&out) else {
        panic!()
    };
    assert_eq!(r.sender, US);
    assert_eq!(r.blocks.collect::<Vec<_>>(), [BLOCK]);
}

#[test]
fn a_sender_report_survives() {
    let info = SenderInfo {
        ssrc: US,
        ntp: 0x1122_3344_5566_7788,
        rtp_timestamp: 9,
        packets: 10,
        octets: 11,
    };
    let mut out = Vec::new();
    sender_report(&mut out, &info, &[BLOCK, BLOCK]);
    let Rtcp::SenderReport(r) = one(&out) else {
        panic!()
    };
    assert_eq!(r.info, info);
    assert_eq!(info.ntp_middle(), 0x3344_5566);
    assert_eq!(r.blocks.count(), 2);
}

#[test]
fn more_blocks_than_fit_are_left_out() {
    let mut out = Vec::new();
    receiver_report(&mut out, US, &[BLOCK; 40]);
    let Rtcp::ReceiverReport(r) = one(&out) else {
        panic!()
    };
    assert_eq!(r.blocks.count(), 31);
}

#[test]
fn keyframe_requests_on_the_wire() {
    let mut out = Vec::new();
    pli(&mut out, US, THEM);
    assert_eq!(
        out,
        [
            0x81, 206, 0, 2, 0x11, 0x11, 0x11, 0x11, 0x22, 0x22, 0x22, 0x22
        ]
    );
    assert!(matches!(
        one(&out),
        Rtcp::Pli {
            sender: US,
            media: THEM
        }
    ));
    out.clear();
    fir(&mut out, US, THEM, 5);
    assert_eq!(out[..4], [0x84, 206, 0, 4]);
    let Rtcp::Fir(f) = one(&out) else { panic!() };
    assert_eq!(f.entries().collect::<Vec<_>>(), [(THEM, 5)]);
}

#[test]
fn a_compound_is_read_in_order() {
    let mut out = Vec::new();
    receiver_report(&mut out, US, &[]);
    sdes_cname(&mut out, US, "althing");
    bye(&mut out, THEM);
    let items: Vec<_> = Compound::new(&out).map(Result::unwrap).collect();
    assert!(matches!(
        items[..],
        [
            Rtcp::ReceiverReport(_),
            Rtcp::SourceDescription,
            Rtcp::Bye(_)
        ]
    ));
    let Rtcp::Bye(b) = items[2] else { panic!() };
    assert_eq!(b.ssrcs().collect::<Vec<_>>(), [THEM]);
    assert!(out.len().is_multiple_of(4));
}

#[test]
fn nacks_pack_sixteen_numbers_behind_the_first() {
    let missing = [65_533u16, 65_535, 0, 13, 14];
    let mut out = Vec::new();
    assert_eq!(nack(&mut out, US, THEM, &missing), 5);
    // 65533 with 65535 (+2), 0 (+3) and 13 (+16); then 14.
    assert_eq!(out[12..], [0xff, 0xfd, 0x80, 0x06, 0, 14, 0, 0]);
    let Rtcp::Nack(n) = one(&out) else { panic!() };
    assert_eq!(n.media, THEM);
    assert_eq!(n.sequences().collect::<Vec<_>>(), missing);
}

#[test]
fn a_nack_has_a_size_and_says_what_was_left_out() {
    let missing: Vec<u16> = (0..300).map(|i| i * 20).collect();
    let mut out = Vec::new();
    let taken = nack(&mut out, US, THEM, &missing);
    assert_eq!(taken, 248);
    assert!(out.len() <= 1004);
}

#[test]
fn remb_is_read() {
    let bytes = [
        0x8f, 206, 0, 5, 0, 0, 0, 1, 0, 0, 0, 0, b'R', b'E', b'M', b'B', 1, 0x0b, 0xd0, 0x90, 0, 0,
        0, 7,
    ];
    let Rtcp::Remb(r) = one(&bytes) else { panic!() };
    assert_eq!(r.bitrate, 0x3d090 << 2);
    assert_eq!(r.ssrcs().collect::<Vec<_>>(), [Ssrc(7)]);
}

#[test]
fn broken_compounds_end_with_one_error() {
    let mut good = Vec::new();
    pli(&mut good, US, THEM);
    for cut in 1..good.len() {
        let items: Vec<_> = Compound::new(&good[..cut]).collect();
        assert_eq!(items.len(), 1, "{cut}");
        assert!(items[0].is_err());
    }
    assert_eq!(Compound::new(&[]).count(), 0);
    // Thirty-one blocks promised, none there.
    assert!(
        Compound::new(&[0x9f, 201, 0, 1, 0, 0, 0, 1])
            .next()
            .unwrap()
            .is_err()
    );
    // Padding longer than the packet.
    assert!(
        Compound::new(&[0xa1, 206, 0, 2, 0, 0, 0, 1, 0, 0, 0, 99])
            .next()
            .unwrap()
            .is_err()
    );
}

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn statuses(bytes: &[u8]) -> Vec<(u16, Option<i64>)> {
    let Rtcp::TransportCc(f) = one(bytes) else {
        panic!()
    };
    f.statuses()
        .map(|s| (s.sequence, s.arrival_micros))
        .collect()
}

#[test]
fn feedback_on_the_wire() {
    let mut r = TransportCcRecorder::new();
    r.record(10, ms(130));
    r.record(11, ms(131));
    r.record(13, ms(140));
    let mut out = Vec::new();
    assert!(r.build(&mut out, US, THEM));
    assert_eq!(
        out,
        [
            0x8f, 205, 0, 6, 0x11, 0x11, 0x11, 0x11, 0x22, 0x22, 0x22, 0x22, // who, whom
            0, 10, 0, 4, // base, count
            0, 0, 2, 0, // 128 ms, first feedback
            0xb4, 0, // one bit each: 1101
            8, 4, 36, 0, 0, 0, // quarters of a millisecond, then padding
        ]
    );
    assert_eq!(
        statuses(&out),
        [
            (10, Some(130_000)),
            (11, Some(131_000)),
            (12, None),
            (13, Some(140_000))
        ]
    );
    assert!(!r.is_pending());
    assert!(!r.build(&mut out, US, THEM));
}

#[test]
fn reordering_within_a_feedback_gives_a_negative_delta() {
    let mut r = TransportCcRecorder::new();
    r.record(65_535, ms(64));
    r.record(1, ms(66));
    r.record(0, ms(70));
    let mut out = Vec::new();
    r.build(&mut out, US, THEM);
    assert_eq!(
        statuses(&out),
        [(65_535, Some(64_000)), (0, Some(70_000)), (1, Some(66_000))]
    );
}

#[test]
fn a_pause_needs_a_feedback_of_its_own() {
    let mut r = TransportCcRecorder::new();
    r.record(1, ms(0));
    r.record(2, ms(20_000));
    let mut out = Vec::new();
    assert!(r.build(&mut out, US, THEM));
    assert_eq!(statuses(&out), [(1, Some(0))]);
    assert!(r.is_pending());
    out.clear();
    assert!(r.build(&mut out, US, THEM));
    assert_eq!(statuses(&out), [(2, Some(20_000_000))]);
    let Rtcp::TransportCc(f) = one(&out) else {
        panic!()
    };
    assert_eq!(f.feedback_count, 1);
}

/// Each packet of a sender that counts down is late by a little.
#[test]
fn numbers_that_run_backwards_do_not_grow_a_feedback() {
    let mut recorder = TransportCcRecorder::new();
    for i in 0..500u16 {
        recorder.record(0u16.wrapping_sub(i.wrapping_mul(64)), Duration::ZERO);
    }
    let mut packets = 0;
    while recorder.is_pending() {
        recorder.build(&mut Vec::new(), Ssrc(1), Ssrc(2));
        packets += 1;
    }
    assert!(packets <= 8, "{packets} packets of feedback at once");
}

#[test]
fn a_packet_late_by_a_little_is_still_reported() {
    let mut r = TransportCcRecorder::new();
    r.record(5, ms(10));
    r.record(7, ms(12));
    let mut out = Vec::new();
    r.build(&mut out, US, THEM);
    r.record(6, ms(20));
    out.clear();
    r.build(&mut out, US, THEM);
    // What lies between was acknowledged before; a sender keeps that.
    assert_eq!(statuses(&out), [(6, Some(20_000)), (7, None)]);
}

#[test]
fn a_jump_in_numbers_starts_anew() {
    let mut r = TransportCcRecorder::new();
    r.record(5, ms(10));
    r.record(30_000, ms(12));
    let mut out = Vec::new();
    r.build(&mut out, US, THEM);
    assert_eq!(statuses(&out), [(30_000, Some(12_000))]);
}

proptest! {
    /// Whatever arrives, each packet is reported once, at its time, in packets that fit a datagram.
    #[test]
    fn feedback_tells_the_truth(
        start in any::<u16>(),
        steps in prop::collection::vec((1u16..12, 0u64..400_000), 1..1500),
    ) {
        let mut r = TransportCcRecorder::new();
        let (mut sequence, mut micros) = (start, 0u64);
        let mut truth = Vec::new();
        for (step, pause) in steps {
            sequence = sequence.wrapping_add(step);
            micros += pause;
            r.record(sequence, Duration::from_micros(micros));
            truth.push((sequence, (micros / 250 * 250) as i64));
            if truth.len() > 200 {
                break;
            }
        }
        let mut reported = Vec::new();
        let mut out = Vec::new();
        while r.is_pending() {
            out.clear();
            prop_assert!(r.build(&mut out, US, THEM));
            prop_assert!(out.len() <= 1200);
            reported.extend(
                statuses(&out).into_iter().filter_map(|(s, at)| Some((s, at?))),
            );
        }
        prop_assert_eq!(reported, truth);
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        crate::fuzzing::rtcp(&bytes);
    }
}
