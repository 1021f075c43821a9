//! The wire samples under `fixtures/rtp`, byte by byte as RFCs and browsers have them, and what we
//! read in them. None is made by the code under test.
//!
//! After a change here, `WRITE_FIXTURES=1 cargo test -p althing-rtp --test fixtures` writes them.

#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test may panic"
)]

use althing_model::profile;
use althing_rtp::dependency::DependencyDescriptor;
use althing_rtp::rtcp::{Compound, Rtcp};
use althing_rtp::{RtpPacket, is_keyframe, rtx};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Sender report of 0x11223344, SDES with its CNAME.
const SENDER_REPORT: &str = "
    80 c8 0006  11223344  e6f3a1b2 40000000  0002bf20  00000321  0000f00d
    81 ca 0006  11223344  01 10 6a3c5f2e91d04b7788aa001122334455 00 00";
/// Receiver report with two blocks, the second with losses, and SDES.
const RECEIVER_REPORT: &str = "
    82 c9 000d  aabbccdd
    11223344  00 000000  00010042  00000017  a1b24000  00008000
    55667788  33 ffffe0  0003fffe  00000400  00000000  00000000
    81 ca 0003  aabbccdd  01 04 61627364 0000";
const EMPTY_REPORT: &str = "80 c9 0001 aabbccdd";
/// 0x0102 and the 1st, 3rd and 16th after it; then 0xffff and the one after it.
const NACK: &str = "81 cd 0004 aabbccdd 55667788 0102 8005 ffff 0001";
const PLI: &str = "81 ce 0002 aabbccdd 55667788";
const FIR: &str = "84 ce 0006 aabbccdd 00000000 55667788 07000000 55667789 08000000";
/// 2.5 Mbit/s for two SSRCs: 156,250 × 2^4.
const REMB: &str = "8f ce 0006 aabbccdd 00000000 52454d42 02 12625a 55667788 55667789";
/// A run of 3 small deltas; two-bit symbols: small, lost, large, lost, small, lost, lost; one-bit
/// symbols, of which 4 are reported on: two received, two lost.
const TRANSPORT_CC: &str = "
    8f cd 0008 aabbccdd 55667788  fffe 000e  000123 05
    2003  d210  b000
    04 08 00  ff  ff9c  10  20 08  00";
const BYE: &str = "81 cb 0003 11223344 06 6c656176 6564 00";
/// An extended report (RFC 3611) with a receiver reference time, and one of an application.
const OTHERS: &str = "
    80 cf 0004 aabbccdd 04 00 0002 e6f3a1b2 40000000
    81 cc 0003 aabbccdd 616c7468 00000001";
const PADDED: &str = "a1 ce 0003 aabbccdd 55667788 00000004";

const VP8_KEYFRAME: &str = "90 f0 9234 11 60  50 4200 9d012a 8002 6801 0047 0885 8588 8584 8802";
const VP8_DELTA: &str = "90 f0 9235 12 a0  31 0500 0012 1098 0018 2c58 6f98";
const VP8_CONTINUATION: &str = "80 80 35 0018 2c58 6f98 2c58 6f98";
/// Three spatial layers with resolutions, three pictures in the group.
const VP9_KEYFRAME: &str = "
    aa 9301 01 40  58 0140 00b4 0280 0168 0500 02d0  03 14 01 44 01 24 02
    82 4983 4200 27f0 1650 38 24";
const VP9_FLEXIBLE: &str = "f4 9302 52 03 08 86 0040 9262";
const VP9_DELTA: &str = "e5 15 33 41 86 0040 92";
const H264_PARAMETERS: &str = "
    78 0009 67 42c01f d9008068 00 0004 68 cb83cb  0005 65 b8400457";
const H264_FIRST: &str = "7c 85 b840 04 57 ff ff 0a 28";
const H264_LAST: &str = "7c 45 9f 31 22 10 80";
const H264_SLICE: &str = "41 9a 24 6c 41 2f fe d6";
const AV1_KEYFRAME: &str = "28 0a 0a 0b 00 00 00 24 c4 ff df 3f fe 32 10 30 00 88";
const AV1_DELTA: &str = "10 30 10 0a 60 18";
const OPUS: &str = "78 8b c1 40 97 55 01 e2 39 cd 02 1b 73 ad 9e 40 11 22 5c 08 d1 f3 6e 20 a7 b1";
const OPUS_SILENCE: &str = "d8 ff fe";

/// Start of a frame of template 0, number 1, structure of one spatial and three temporal layers:
/// offset 0, 3 targets; T0 T0 T1 T2 T2; what each is to each target; distances; 1 chain; 640×360.
const STRUCTURE: &str = "
    1 0 000000 0000000000000001  1 0 0 0 0
    000000 00010  00 01 01 00 11
    101010 101010 000110 000001 000001
    0  1 0011 0  1 0001 0  1 0000 0  1 0000 0
    01  0000 0100 0010 0001 0011
    1 0000001001111111 0000000101100111";
/// Template 2, number 3, with everything of its own: targets 0 and 1 active, indications,
/// distances 2 and 17, chain.
const CUSTOM: &str = "
    1 1 000010 0000000000000011  0 1 1 1 1
    011  00 01 10  01 0001  10 00010000  00  00000010";
const PLAIN: &str = "0 1 000011 0000000000000100";

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u32> = text.chars().filter_map(|c| c.to_digit(16)).collect();
    assert_eq!(digits.len() % 2, 0, "half a byte in {text}");
    digits
        .chunks(2)
        .map(|pair| (pair[0] << 4 | pair[1]) as u8)
        .collect()
}

fn bits(text: &str) -> Vec<u8> {
    let bits: Vec<u32> = text.chars().filter_map(|c| c.to_digit(2)).collect();
    bits.chunks(8)
        .map(|byte| {
            let value = byte.iter().fold(0, |value, bit| value << 1 | bit);
            (value << (8 - byte.len())) as u8
        })
        .collect()
}

/// The whole of RFC 8285: one-byte elements are `(id << 4 | length - 1)`, two-byte `id, length`.
fn extension(profile: &str, elements: &str) -> Vec<u8> {
    let mut elements = hex(elements);
    elements.resize(elements.len().next_multiple_of(4), 0);
    let words = (elements.len() / 4) as u16;
    [hex(profile), words.to_be_bytes().to_vec(), elements].concat()
}

/// As Chromium sends: level, send time, transport-wide number, mid.
fn audio_extensions(level: &str) -> Vec<u8> {
    extension(
        "bede",
        &format!("10 {level} 32 8a1f03 51 0102 a4 6d69645f61"),
    )
}

fn video_extensions() -> Vec<u8> {
    extension("bede", "32 8a2f44 51 0103 a0 31")
}

/// With the descriptor, too long for the one-byte form.
fn two_byte_extensions(descriptor: &[u8]) -> Vec<u8> {
    let descriptor: String = descriptor.iter().map(|b| format!("{b:02x}")).collect();
    let length = descriptor.len() / 2;
    extension(
        "1000",
        &format!("05 02 0104 0b {length:02x} {descriptor} 0e 00"),
    )
}

fn packet(first: u8, type_and_marker: u8, number: u16, extensions: &[u8], body: &str) -> Vec<u8> {
    let mut out = vec![first, type_and_marker];
    out.extend(number.to_be_bytes());
    out.extend(hex("0002bf20 55667788"));
    if first & 0x0f == 2 {
        out.extend(hex("00000007 00000008"));
    }
    out.extend_from_slice(extensions);
    out.extend(hex(body));
    out
}

fn rtp_packets() -> Vec<(&'static str, Vec<u8>)> {
    let video = video_extensions();
    let video = video.as_slice();
    let structure = two_byte_extensions(&bits(STRUCTURE));
    let custom = two_byte_extensions(&bits(CUSTOM));
    let rtx = format!("0102 {VP8_KEYFRAME}");
    let padding = "00".repeat(15) + "10";
    vec![
        (
            "opus",
            packet(0x90, 0x6f, 0x0100, &audio_extensions("85"), OPUS),
        ),
        (
            "opus-silence",
            packet(0x90, 0xef, 0x0101, &audio_extensions("7f"), OPUS_SILENCE),
        ),
        (
            "opus-sources",
            packet(0x92, 0x6f, 0x0102, &audio_extensions("30"), OPUS),
        ),
        (
            "opus-two-byte",
            packet(
                0x90,
                0x6f,
                0x0103,
                &extension("1000", "01 01 2a 00 14 00 05 02 0105"),
                OPUS,
            ),
        ),
        (
            "telephone-event",
            packet(0x80, 0xfe, 0x0104, &[], "05 0a 00a0"),
        ),
        (
            "vp8-keyframe",
            packet(0x90, 0x64, 0xfffe, video, VP8_KEYFRAME),
        ),
        ("vp8-delta", packet(0x90, 0xe4, 0xffff, video, VP8_DELTA)),
        (
            "vp8-continuation",
            packet(0x90, 0xe4, 0x0000, video, VP8_CONTINUATION),
        ),
        (
            "vp9-keyframe",
            packet(0x90, 0x65, 0x0010, video, VP9_KEYFRAME),
        ),
        (
            "vp9-flexible",
            packet(0x90, 0xe5, 0x0011, video, VP9_FLEXIBLE),
        ),
        ("vp9-delta", packet(0x80, 0xe5, 0x0012, &[], VP9_DELTA)),
        (
            "h264-parameters",
            packet(0x90, 0x6b, 0x0020, video, H264_PARAMETERS),
        ),
        ("h264-first", packet(0x90, 0x6b, 0x0021, video, H264_FIRST)),
        ("h264-last", packet(0x90, 0xeb, 0x0022, video, H264_LAST)),
        ("h264-slice", packet(0x90, 0xeb, 0x0023, video, H264_SLICE)),
        (
            "av1-keyframe",
            packet(0x90, 0x29, 0x0030, &structure, AV1_KEYFRAME),
        ),
        ("av1-custom", packet(0x90, 0xa9, 0x0031, &custom, AV1_DELTA)),
        ("av1-bare", packet(0x90, 0x29, 0x0032, video, AV1_KEYFRAME)),
        ("rtx-vp8", packet(0x90, 0x60, 0x0040, video, &rtx)),
        ("padding", packet(0xb0, 0x60, 0x0041, video, &padding)),
    ]
}

fn compounds() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("sender-report", hex(SENDER_REPORT)),
        ("receiver-report", hex(RECEIVER_REPORT)),
        ("nack", hex(&format!("{EMPTY_REPORT} {NACK}"))),
        ("pli", hex(&format!("{EMPTY_REPORT} {PLI}"))),
        ("fir", hex(&format!("{EMPTY_REPORT} {FIR}"))),
        ("remb", hex(&format!("{EMPTY_REPORT} {REMB}"))),
        ("transport-cc", hex(TRANSPORT_CC)),
        ("bye", hex(&format!("{EMPTY_REPORT} {BYE}"))),
        ("others", hex(&format!("{OTHERS} {PADDED}"))),
    ]
}

fn descriptors() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("structure", bits(STRUCTURE)),
        ("custom", bits(CUSTOM)),
        ("plain", bits(PLAIN)),
    ]
}

/// Every sample by its path below `fixtures/rtp`.
fn samples() -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    for (name, bytes) in rtp_packets() {
        let read = RtpPacket::parse(&bytes).unwrap();
        let is_video = ["vp8", "vp9", "h264"]
            .iter()
            .any(|codec| name.starts_with(codec));
        if is_video {
            all.insert(format!("payloads/{name}.bin"), read.payload().to_vec());
        }
        all.insert(format!("packets/{name}.bin"), bytes);
    }
    for (folder, list) in [("compounds", compounds()), ("descriptors", descriptors())] {
        for (name, bytes) in list {
            all.insert(format!("{folder}/{name}.bin"), bytes);
        }
    }
    all
}

fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/rtp"))
}

#[test]
fn files_are_these_and_the_readme_names_each() {
    let samples = samples();
    if std::env::var_os("WRITE_FIXTURES").is_some() {
        for (path, bytes) in &samples {
            let path = folder().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        }
    }
    let readme = std::fs::read_to_string(folder().join("README.md")).unwrap();
    let mut found = 0;
    for entry in std::fs::read_dir(folder()).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            found += std::fs::read_dir(entry.path()).unwrap().count();
        }
    }
    assert_eq!(found, samples.len(), "a file that nothing here describes");
    for (path, bytes) in &samples {
        assert_eq!(
            &std::fs::read(folder().join(path)).unwrap(),
            bytes,
            "{path}"
        );
        let name = path.rsplit('/').next().unwrap().trim_end_matches(".bin");
        assert!(readme.contains(&format!("`{name}`")), "{name} in README.md");
    }
}

#[test]
fn packets_are_read_as_what_they_are() {
    let mut read = Vec::new();
    for (name, bytes) in rtp_packets() {
        let packet = RtpPacket::parse(&bytes).unwrap();
        let (payload_type, is_rtx) = profile::payload_type(packet.payload_type()).unwrap();
        let ids: Vec<u8> = packet.extensions().map(|(id, _)| id).collect();
        let body = if is_rtx {
            rtx::unwrap(packet.payload()).map_or(&[][..], |(_, body)| body)
        } else {
            packet.payload()
        };
        let starts = is_keyframe(
            payload_type.codec,
            body,
            packet.extension(profile::extension::DEPENDENCY_DESCRIPTOR),
        );
        let start = if starts { "start" } else { "" };
        let line = format!(
            "{name}: {} {} {ids:?} {}+{} {start}",
            payload_type.name,
            packet.sequence(),
            packet.payload().len(),
            packet.padding(),
        );
        read.push(line.trim_end().to_owned());
    }
    let expected = "\
opus: opus 256 [1, 3, 5, 10] 26+0 start
opus-silence: opus 257 [1, 3, 5, 10] 3+0 start
opus-sources: opus 258 [1, 3, 5, 10] 26+0 start
opus-two-byte: opus 259 [1, 20, 5] 26+0 start
telephone-event: telephone-event 260 [] 4+0 start
vp8-keyframe: VP8 65534 [3, 5, 10] 26+0 start
vp8-delta: VP8 65535 [3, 5, 10] 19+0
vp8-continuation: VP8 0 [3, 5, 10] 13+0
vp9-keyframe: VP9 16 [3, 5, 10] 36+0 start
vp9-flexible: VP9 17 [3, 5, 10] 11+0
vp9-delta: VP9 18 [] 8+0
h264-parameters: H264 32 [3, 5, 10] 25+0 start
h264-first: H264 33 [3, 5, 10] 10+0 start
h264-last: H264 34 [3, 5, 10] 7+0
h264-slice: H264 35 [3, 5, 10] 8+0
av1-keyframe: AV1 48 [5, 11, 14] 18+0 start
av1-custom: AV1 49 [5, 11, 14] 6+0
av1-bare: AV1 50 [3, 5, 10] 18+0 start
rtx-vp8: VP8 64 [3, 5, 10] 28+0 start
padding: VP8 65 [3, 5, 10] 0+16";
    assert_eq!(read.join("\n"), expected);
}

#[test]
fn compounds_are_read_as_what_they_are() {
    let read: Vec<String> = compounds()
        .into_iter()
        .map(|(name, bytes)| {
            let items: Vec<String> = Compound::new(&bytes)
                .map(|item| describe(&item.unwrap()))
                .collect();
            format!("{name}: {}", items.join(", "))
        })
        .collect();
    let expected = "\
sender-report: sr 0, sdes
receiver-report: rr 2, sdes
nack: rr 0, nack [258, 259, 261, 274, 65535, 0]
pli: rr 0, pli 55667788
fir: rr 0, fir [(Ssrc(1432778632), 7), (Ssrc(1432778633), 8)]
remb: rr 0, remb 2500000 2
transport-cc: transport-cc 65534 [1, 3, 3, 66, -, 41, -, 45, -, -, 53, 55, -, -]
bye: rr 0, bye 1
others: other 207, other 204, pli 55667788";
    assert_eq!(read.join("\n"), expected);
}

fn describe(item: &Rtcp<'_>) -> String {
    match item {
        Rtcp::SenderReport(r) => format!("sr {}", r.blocks.count()),
        Rtcp::ReceiverReport(r) => format!("rr {}", r.blocks.count()),
        Rtcp::SourceDescription => "sdes".into(),
        Rtcp::Bye(b) => format!("bye {}", b.ssrcs().count()),
        Rtcp::Nack(n) => format!("nack {:?}", n.sequences().collect::<Vec<_>>()),
        Rtcp::TransportCc(t) => {
            // In milliseconds after the reference time, 64 ms each.
            let zero = i64::from(t.reference) * 64;
            let arrivals: Vec<String> = t
                .statuses()
                .map(|s| match s.arrival_micros {
                    Some(at) => (at / 1000 - zero).to_string(),
                    None => "-".into(),
                })
                .collect();
            format!("transport-cc {} [{}]", t.base, arrivals.join(", "))
        }
        Rtcp::Pli { media, .. } => format!("pli {:x}", media.0),
        Rtcp::Fir(f) => format!("fir {:?}", f.entries().collect::<Vec<_>>()),
        Rtcp::Remb(r) => format!("remb {} {}", r.bitrate, r.ssrcs().count()),
        Rtcp::Other { packet_type, .. } => format!("other {packet_type}"),
    }
}

#[test]
fn descriptors_are_read_as_what_they_are() {
    let first = DependencyDescriptor::parse(&bits(STRUCTURE), None).unwrap();
    let structure = first.structure.unwrap();
    assert_eq!((structure.decode_targets, structure.chains), (3, 1));
    assert_eq!(structure.resolutions, [(640, 360)]);
    let layers: Vec<_> = (0..3).map(|t| structure.layer_of(t).unwrap()).collect();
    assert_eq!(layers, [(0, 0), (0, 1), (0, 2)]);
    let custom = DependencyDescriptor::parse(&bits(CUSTOM), Some(&structure)).unwrap();
    assert_eq!(custom.active_decode_targets, Some(0b011));
    let frame = custom.frame.unwrap();
    assert_eq!(frame.frame_diffs, [2, 17]);
    assert_eq!(frame.chain_diffs, [2]);
    let plain = DependencyDescriptor::parse(&bits(PLAIN), Some(&structure)).unwrap();
    assert_eq!(plain.frame.unwrap().temporal_id, 2);
}
