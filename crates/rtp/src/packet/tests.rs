use super::*;
use crate::{ExtensionRules, HeaderTemplate, RtpHeader};
use proptest::prelude::*;

const HEADER: RtpHeader = RtpHeader {
    marker: true,
    payload_type: 111,
    sequence: 0xfffe,
    timestamp: 0x0102_0304,
    ssrc: Ssrc(0xdead_beef),
};

fn packet(extensions: &[(u8, &[u8])], payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 400];
    let length = HEADER.write(extensions, &mut bytes).unwrap();
    bytes.truncate(length);
    bytes.extend_from_slice(payload);
    bytes
}

#[test]
fn the_fixed_header_is_read() {
    let bytes = [
        0x80, 0xef, 0xff, 0xfe, 1, 2, 3, 4, 0xde, 0xad, 0xbe, 0xef, 7, 8,
    ];
    assert_eq!(packet(&[], &[7, 8]), bytes);
    let p = RtpPacket::parse(&bytes).unwrap();
    assert!(p.marker());
    assert_eq!(
        (p.payload_type(), p.sequence(), p.timestamp(), p.ssrc()),
        (111, 0xfffe, 0x0102_0304, Ssrc(0xdead_beef))
    );
    assert_eq!((p.header(), p.payload()), (&bytes[..12], &[7u8, 8][..]));
}

#[test]
fn one_byte_extensions_with_padding_between() {
    let mut bytes = vec![0x90, 111, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3];
    // Audio level on 1, a zero, transport-cc on 5, another zero: two words.
    bytes.extend([
        0xbe, 0xde, 0, 2, 0x10, 0x9e, 0, 0x51, 0xab, 0xcd, 0, 0, 0xff,
    ]);
    let p = RtpPacket::parse(&bytes).unwrap();
    assert_eq!(p.extension(1), Some(&[0x9e][..]));
    assert_eq!(p.extension(5), Some(&[0xab, 0xcd][..]));
    assert_eq!(p.extension(3), None);
    assert_eq!(p.payload(), [0xff]);
}

#[test]
fn id_fifteen_ends_a_one_byte_block() {
    let mut bytes = vec![0x90, 111, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3];
    bytes.extend([0xbe, 0xde, 0, 1, 0xf0, 1, 0x10, 2]);
    let p = RtpPacket::parse(&bytes).unwrap();
    assert_eq!(p.extensions().count(), 0);
}

#[test]
fn two_byte_extensions_may_be_empty_or_long() {
    let long = [9u8; 40];
    let bytes = packet(&[(1, &[3]), (11, &long), (200, &[])], &[1]);
    assert_eq!(&bytes[12..14], [0x10, 0x00]);
    let p = RtpPacket::parse(&bytes).unwrap();
    let found: Vec<_> = p.extensions().collect();
    assert_eq!(found, [(1, &[3][..]), (11, &long[..]), (200, &[][..])]);
    assert_eq!(p.payload(), [1]);
}

#[test]
fn an_unknown_extension_profile_has_no_elements() {
    let mut bytes = vec![0x90, 111, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3];
    bytes.extend([0x12, 0x34, 0, 1, 0x10, 2, 3, 4, 5]);
    let p = RtpPacket::parse(&bytes).unwrap();
    assert_eq!(p.extensions().count(), 0);
    assert_eq!(p.payload(), [5]);
}

#[test]
fn csrcs_are_skipped_and_padding_is_cut() {
    let mut bytes = vec![0xa1, 111, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3];
    bytes.extend([0, 0, 0, 9, 0xaa, 0xbb, 0, 0, 3]);
    let p = RtpPacket::parse(&bytes).unwrap();
    assert_eq!((p.payload(), p.padding()), (&[0xaa, 0xbb][..], 3));
    // Nothing but padding.
    let bytes = [0xa0, 111, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 2];
    let p = RtpPacket::parse(&bytes).unwrap();
    assert_eq!((p.payload(), p.padding()), (&[][..], 2));
}

#[test]
fn lengths_beyond_the_end_are_errors() {
    let good = packet(&[(1, &[1]), (11, &[2; 20])], &[]);
    for n in 0..good.len() {
        assert!(RtpPacket::parse(&good[..n]).is_err(), "{n}");
    }
    for (bad, what) in [
        (vec![0x40; 12], "version 1"),
        (vec![0x8f; 12], "15 CSRCs in nothing"),
        ([&[0xa0][..], &[0; 11], &[0]].concat(), "padding of none"),
        (
            [&[0xa0][..], &[0; 11], &[5]].concat(),
            "padding beyond the start",
        ),
        ([&[0xa0][..], &[0; 11]].concat(), "padding without a byte"),
    ] {
        assert!(RtpPacket::parse(&bad).is_err(), "{what}");
    }
}

#[test]
fn a_template_keeps_only_what_may_be_seen() {
    let descriptor = [7u8; 30];
    let bytes = packet(
        &[
            (1, &[0x9e]),
            (3, &[1, 2, 3]),
            (5, &[0xaa, 0xbb]),
            (10, b"0"),
            (11, &descriptor),
        ],
        &[1, 2, 3],
    );
    let p = RtpPacket::parse(&bytes).unwrap();
    let rules = |transport_cc| ExtensionRules {
        keep: &[1, 11],
        transport_cc,
    };
    let t = HeaderTemplate::new(&p, rules(None));
    let seen = RtpPacket::parse(t.bytes()).unwrap();
    let found: Vec<_> = seen.extensions().collect();
    assert_eq!(found, [(1, &[0x9e][..]), (11, &descriptor[..])]);
    assert!(!t.has_transport_cc());

    let mut t = HeaderTemplate::new(&p, rules(Some(5)));
    t.set_payload_type(96);
    t.set_sequence(7);
    t.set_timestamp(8);
    t.set_ssrc(Ssrc(9));
    t.set_transport_cc(0x1234);
    let seen = RtpPacket::parse(t.bytes()).unwrap();
    assert!(seen.marker());
    assert_eq!(
        (
            seen.payload_type(),
            seen.sequence(),
            seen.timestamp(),
            seen.ssrc()
        ),
        (96, 7, 8, Ssrc(9))
    );
    assert_eq!(seen.extension(5), Some(&[0x12, 0x34][..]));
    assert_eq!(seen.extension(11), Some(&descriptor[..]));
}

#[test]
fn a_packet_without_extensions_stays_without() {
    let bytes = packet(&[(5, &[1, 2])], &[1]);
    let p = RtpPacket::parse(&bytes).unwrap();
    let rules = ExtensionRules {
        keep: &[1],
        transport_cc: None,
    };
    assert_eq!(HeaderTemplate::new(&p, rules).bytes().len(), 12);
}

#[test]
fn a_kept_header_is_a_template_again() {
    for (level, transport_cc) in [(&[1u8][..], Some(5)), (&[1; 20], Some(5)), (&[1], None)] {
        let bytes = packet(&[(1, level)], &[]);
        let p = RtpPacket::parse(&bytes).unwrap();
        let rules = ExtensionRules {
            keep: &[1],
            transport_cc,
        };
        let kept = HeaderTemplate::new(&p, rules);
        let mut again = HeaderTemplate::from_header(kept.bytes(), transport_cc).unwrap();
        assert_eq!(again.bytes(), kept.bytes());
        assert_eq!(again.has_transport_cc(), transport_cc.is_some());
        again.set_transport_cc(0x4321);
        let seen = RtpPacket::parse(again.bytes()).unwrap();
        assert_eq!(seen.extension(5), transport_cc.map(|_| &[0x43u8, 0x21][..]));
        assert_eq!(seen.extension(1), Some(level));
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        extensions in prop::collection::vec((1u8..=255, prop::collection::vec(any::<u8>(), 0..40)), 0..6),
        payload in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let list: Vec<(u8, &[u8])> = extensions.iter().map(|(i, v)| (*i, &v[..])).collect();
        let bytes = packet(&list, &payload);
        let p = RtpPacket::parse(&bytes).unwrap();
        let found: Vec<_> = p.extensions().collect();
        prop_assert_eq!(found, list);
        prop_assert_eq!(p.payload(), &payload[..]);
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        crate::fuzzing::packet(&bytes);
    }
}
