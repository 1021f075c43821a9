//! The wire samples under `fixtures/stun`: published vectors and messages laid out by hand, none
//! made by the code under test.
//!
//! After a change here, `WRITE_FIXTURES=1 cargo test -p althing-transport --test fixtures` writes
//! them.

#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test may panic"
)]

use althing_transport::{DatagramKind, binding_ufrag, classify};
use aws_lc_rs::hmac;
use std::path::PathBuf;

/// RFC 5769 §2.1.
const REQUEST: &str = "
    0001 0058 2112a442 b7e7a701 bc34d686 fa87dfae
    8022 0010 5354554e 20746573 7420636c 69656e74
    0024 0004 6e0001ff
    8029 0008 932ff9b1 51263b36
    0006 0009 6576746a 3a683676 59202020
    0008 0014 9aeaa70c bfd8cb56 781ef2b5 b2d3f249 c1b571a2
    8028 0004 e57a3bcf";
/// RFC 5769 §2.2.
const RESPONSE: &str = "
    0101 003c 2112a442 b7e7a701 bc34d686 fa87dfae
    8022 000b 74657374 20766563 746f7220
    0020 0008 0001a147 e112a643
    0008 0014 2b91f599 fd9e90c3 8c7489f9 2af9ba53 f06be7d7
    8028 0004 c07d4c96";
/// RFC 5769 §2.3.
const RESPONSE_V6: &str = "
    0101 0048 2112a442 b7e7a701 bc34d686 fa87dfae
    8022 000b 74657374 20766563 746f7220
    0020 0014 0002a147 0113a9fa a5d3f179 bc25f4b5 bed2b9d9
    0008 0014 a382954e 4be67bf1 1784c97c 8292c275 bfe3ed41
    8028 0004 c8fb0b4c";
/// The password of all three.
const PASSWORD: &[u8] = b"VOkJxbRl1RmTxUk/WvJxBt";

/// A client asking a server for its address: nobody's user, nothing signed.
const BARE_REQUEST: &str = "0001 0000 2112a442 000102030405060708090a0b";
const BARE_RESPONSE: &str = "
    0101 000c 2112a442 000102030405060708090a0b
    0020 0008 0001a147 e112a643";
/// Somebody nominates without a password; two attributes of an unknown kind.
const UNSIGNED: &str = "
    0001 0038 2112a442 0c0d0e0f1011121314151617
    0006 0009 6576746a 3a683676 59000000
    802a 0008 0102030405060708
    0025 0000
    7fff 0004 00000000
    c057 0004 00000003
    8028 0004 00000000";
/// 487 Role Conflict.
const ROLE_CONFLICT: &str = "
    0111 0018 2112a442 b7e7a701 bc34d686 fa87dfae
    0009 0011 00000457 526f6c65 20436f6e 666c6963 74 000000";

/// The body of a first ClientHello as a browser sends it: version, random, no session, no cookie,
/// cipher suites, no compression, extensions: extended master secret, groups, point formats,
/// signature algorithms, use_srtp with three profiles.
const CLIENT_HELLO: &str = "
    fefd 5f1e07aa0b5c44d13e9a01f7c2b866103d7745e8a9bb0c1d2e3f405162738495 00 00
    0008 c02b c02f c00a 009c  01 00
    0032
    0017 0000  ff01 0001 00
    000a 0008 0006 001d 0017 0018  000b 0002 01 00
    000d 0008 0006 0403 0804 0401
    000e 0009 0006 0007 0008 0001 00";

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u32> = text.chars().filter_map(|c| c.to_digit(16)).collect();
    assert_eq!(digits.len() % 2, 0, "half a byte in {text}");
    digits
        .chunks(2)
        .map(|pair| (pair[0] << 4 | pair[1]) as u8)
        .collect()
}

/// One handshake message of type 1 in one record of epoch 0.
fn client_hello() -> Vec<u8> {
    let body = hex(CLIENT_HELLO);
    let length = (body.len() as u32).to_be_bytes();
    let mut message = vec![1];
    message.extend(&length[1..]);
    message.extend([0, 0, 0, 0, 0]);
    message.extend(&length[1..]);
    message.extend(body);
    let mut record = hex("16 feff 0000 000000000000");
    record.extend((message.len() as u16).to_be_bytes());
    record.extend(message);
    record
}

fn samples() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("request", hex(REQUEST)),
        ("response", hex(RESPONSE)),
        ("response-v6", hex(RESPONSE_V6)),
        ("bare-request", hex(BARE_REQUEST)),
        ("bare-response", hex(BARE_RESPONSE)),
        ("unsigned", hex(UNSIGNED)),
        ("role-conflict", hex(ROLE_CONFLICT)),
        ("client-hello", client_hello()),
    ]
}

#[test]
fn files_are_these_and_the_readme_names_each() {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/stun"));
    let samples = samples();
    if std::env::var_os("WRITE_FIXTURES").is_some() {
        for (name, bytes) in &samples {
            std::fs::write(folder.join(format!("{name}.bin")), bytes).unwrap();
        }
    }
    let readme = std::fs::read_to_string(folder.join("README.md")).unwrap();
    let found = std::fs::read_dir(&folder).unwrap().count();
    assert_eq!(found, samples.len() + 1, "a file that nothing describes");
    for (name, bytes) in &samples {
        let file = std::fs::read(folder.join(format!("{name}.bin"))).unwrap();
        assert_eq!(&file, bytes, "{name}");
        assert!(readme.contains(&format!("`{name}`")), "{name} in README.md");
    }
}

#[test]
fn each_is_recognised() {
    for (name, bytes) in samples() {
        let kind = match name {
            "client-hello" => DatagramKind::Dtls,
            _ => DatagramKind::Stun,
        };
        assert_eq!(classify(&bytes), kind, "{name}");
        let user = matches!(name, "request" | "unsigned").then_some("evtj");
        assert_eq!(binding_ufrag(&bytes), user, "{name}");
    }
}

/// The vectors were typed in: their signatures tell whether rightly.
#[test]
fn the_published_vectors_are_as_published() {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, PASSWORD);
    for text in [REQUEST, RESPONSE, RESPONSE_V6] {
        let mut message = hex(text);
        // Without the fingerprint, which the signature does not know of.
        message.truncate(message.len() - 8);
        let length = message.len() as u16 - 20;
        message[2..4].copy_from_slice(&length.to_be_bytes());
        let (signed, integrity) = message.split_at(message.len() - 24);
        hmac::verify(&key, signed, &integrity[4..]).unwrap();
    }
}
