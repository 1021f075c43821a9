//! Published vectors, and what an endpoint must never do.

use super::cipher::{Cm, CmKey, Gcm, GcmKey};
use super::keys::{Counter, Label, Master};
use super::*;

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

/// RFC 3711 appendix B.3.
#[test]
fn session_keys_are_derived_as_published() {
    let master = Master::new(
        &hex("E1F97A0D3E018BE0D64FA32C06DE4139"),
        &hex("0EC675AD498AFEEBB6960B3AABE6"),
    )
    .unwrap();
    assert_eq!(
        master.derive::<16>(Label::RtpKey).to_vec(),
        hex("C61E7A93744F39EE10734AFE3FF7A087")
    );
    assert_eq!(
        master.derive::<14>(Label::RtpSalt).to_vec(),
        hex("30CBBC08863D8C85D49DB34A9AE1")
    );
    assert_eq!(
        master.derive::<94>(Label::RtpAuthentication).to_vec(),
        hex(
            "CEBE321F6FF7716B6FD4AB49AF256A156D38BAA48F0A0ACF3C34E2359E6CDBCE\
             E049646C43D9327AD175578EF72270986371C10C9A369AC2F94A8C5FBCDDDC25\
             6D6E919A48B610EF17C2041E474035766B68642C59BBFC2F34DB60DBDFB2"
        )
    );
}

/// RFC 6188 section 7.3.
#[test]
fn session_keys_of_256_bits_are_derived_as_published() {
    let master = Master::new(
        &hex("f0f04914b513f2763a1b1fa130f10e2998f6f6e43e4309d1e622a0e332b9f1b6"),
        &hex("3b04803de51ee7c96423ab5b78d2"),
    )
    .unwrap();
    assert_eq!(
        master.derive::<32>(Label::RtpKey).to_vec(),
        hex("5ba1064e30ec51613cad926c5a28ef731ec7fb397f70a960653caf06554cd8c4")
    );
    assert_eq!(
        master.derive::<14>(Label::RtpSalt).to_vec(),
        hex("fa31791685ca444a9e07c6c64e93")
    );
}

/// RFC 3711 appendix B.2.
#[test]
fn the_key_stream_is_as_published() {
    let counter = Counter::new(&hex("2B7E151628AED2A6ABF7158809CF4F3C")).unwrap();
    let block = hex("F0F1F2F3F4F5F6F7F8F9FAFBFCFD0000").try_into().unwrap();
    let mut stream = [0; 48];
    counter.apply(block, &mut stream);
    assert_eq!(
        stream.to_vec(),
        hex("E03EAD0935C95E80E166B16DD92B4EB4\
             D23513162B02D0F72A43A2FE4A5F97AB\
             41E95B3BB0A2E8DD477901E4FCA894C0")
    );
}

const GALLIA: &str = "8040f17b 8041f8d3 5501a0b2 \
    47616c6c 69612065 7374206f 6d6e6973 20646976 69736120 696e2070 61727465 73207472 6573";

fn gcm(key: &str) -> Cipher {
    let salt = hex("51756964 2070726f 2071756f").try_into().unwrap();
    let key = || GcmKey::new(&hex(key), salt).unwrap();
    Cipher::Gcm(Gcm::new(key(), key()))
}

/// RFC 7714 sections 16.1 and 16.2.
#[test]
fn gcm_seals_and_opens_rtp_as_published() {
    for (key, sealed) in [
        (
            "000102030405060708090a0b0c0d0e0f",
            "8040f17b 8041f8d3 5501a0b2 f24de3a3 fb34de6c acba861c 9d7e4bca be633bd5 \
             0d294e6f 42a5f47a 51c7d19b 36de3adf 8833899d 7f27beb1 6a9152cf 765ee439 0cce",
        ),
        (
            "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
            "8040f17b 8041f8d3 5501a0b2 32b1de78 a822fe12 ef9f78fa 332e33aa b1801238 \
             9a58e2f3 b50b2a02 76ffae0f 1ba63799 b87b7aa3 db36dfff d6b0f9bb 7878d7a7 6c13",
        ),
    ] {
        let cipher = gcm(key);
        let plain = hex(GALLIA);
        let mut packet = plain.clone();
        packet.resize(plain.len() + cipher.rtp_overhead(), 0);
        cipher.seal_rtp(&mut packet, 12, 0x5501_a0b2, 0xf17b);
        assert_eq!(packet, hex(sealed));
        let length = cipher.open_rtp(&mut packet, 12, 0x5501_a0b2, 0xf17b);
        assert_eq!(length, Some(plain.len()));
        assert_eq!(packet[..plain.len()], plain);
    }
}

/// RFC 7714 section 17.1.
#[test]
fn gcm_seals_and_opens_rtcp_as_published() {
    let cipher = gcm("000102030405060708090a0b0c0d0e0f");
    let plain = hex(
        "81c8000d 4d617273 4e545031 4e545032 52545020 0000042a 0000e930 \
                     4c756e61 deadbeef deadbeef deadbeef deadbeef deadbeef",
    );
    let mut packet = plain.clone();
    packet.resize(plain.len() + cipher.rtcp_overhead(), 0);
    cipher.seal_rtcp(&mut packet, 0x4d61_7273, 0x5d4);
    assert_eq!(
        packet,
        hex(
            "81c8000d 4d617273 63e94885 dcdab67c a727d766 2f6b7e99 7ff5c0f7 6c06f32d \
             c676a5f1 730d6fda 4ce09b46 86303ded 0bb9275b c84aa458 96cf4d2f c5abf872 \
             45d9eade 800005d4"
        )
    );
    assert_eq!(cipher.rtcp_index(&packet), Some(0x5d4));
    let length = cipher.open_rtcp(&mut packet, 0x4d61_7273, 0x5d4);
    assert_eq!(length, Some(plain.len()));
    assert_eq!(packet[..plain.len()], plain);
}

/// RFC 3711's own master key, with the packets that implementations test each other by.
#[test]
fn counter_mode_seals_and_opens_as_the_field_does() {
    let master = Master::new(
        &hex("e1f97a0d3e018be0d64fa32c06de4139"),
        &hex("0ec675ad498afeebb6960b3aabe6"),
    )
    .unwrap();
    let cipher = Cipher::new(SrtpProfile::Aes128CmSha1_80, &master).unwrap();
    let mut plain = hex("800f1234 decafbad cafebabe");
    plain.extend([0xab; 16]);
    let mut packet = plain.clone();
    packet.resize(plain.len() + cipher.rtp_overhead(), 0);
    cipher.seal_rtp(&mut packet, 12, 0xcafe_babe, 0x1234);
    assert_eq!(
        packet,
        hex(
            "800f1234 decafbad cafebabe 4e55dc4c e79978d8 8ca4d215 949d2402 \
             b78d6acc 99ea179b 8dbb"
        )
    );
    assert_eq!(
        cipher.open_rtp(&mut packet, 12, 0xcafe_babe, 0x1234),
        Some(28)
    );
    assert_eq!(packet[..28], plain);
    let mut rtcp = hex("81c8000b cafebabe");
    rtcp.extend([0xab; 16]);
    let plain = rtcp.clone();
    rtcp.resize(plain.len() + cipher.rtcp_overhead(), 0);
    cipher.seal_rtcp(&mut rtcp, 0xcafe_babe, 1);
    assert_eq!(
        rtcp,
        hex(
            "81c8000b cafebabe 7128035b e487b9bd bef89041 f977a5a8 80000001 \
             993e08cd 54d6c1230798"
        )
    );
    assert_eq!(cipher.rtcp_index(&rtcp), Some(1));
    assert_eq!(cipher.open_rtcp(&mut rtcp, 0xcafe_babe, 1), Some(24));
    assert_eq!(rtcp[..24], plain);
}

fn pair(profile: SrtpProfile) -> (Srtp, Srtp) {
    let length = 2 * (profile.key_length() + profile.salt_length());
    let material: Vec<u8> = (0..length as u8).collect();
    let make = |side| Srtp::new(profile, &material, side).unwrap();
    (make(Side::Client), make(Side::Server))
}

fn packet(sequence: u16, ssrc: u32) -> Vec<u8> {
    let mut packet = vec![0x80, 111];
    packet.extend(sequence.to_be_bytes());
    packet.extend([0; 4]);
    packet.extend(ssrc.to_be_bytes());
    packet.extend(sequence.to_be_bytes().repeat(20));
    packet
}

fn sealed(srtp: &mut Srtp, sequence: u16, ssrc: u32) -> Result<Vec<u8>, SealError> {
    let mut buffer = packet(sequence, ssrc);
    let plain = buffer.len();
    buffer.resize(plain + crate::SRTP_OVERHEAD, 0);
    let length = srtp.seal_rtp(&mut buffer, 12, plain)?;
    buffer.truncate(length);
    Ok(buffer)
}

#[test]
fn material_of_another_length_is_refused() {
    for profile in SrtpProfile::ALL {
        for length in [0, 10, 55, 57, 87, 89] {
            assert!(Srtp::new(*profile, &vec![0; length], Side::Client).is_none());
        }
    }
}

#[test]
fn the_rollover_counter_is_followed_over_two_turns() {
    for profile in SrtpProfile::ALL {
        let (mut here, mut there) = pair(*profile);
        let mut sequence = 60_000u16;
        // Every tenth packet only, out of order in pairs.
        for _ in 0..9_000 {
            let first = sealed(&mut here, sequence, 1).unwrap();
            let second = sealed(&mut here, sequence.wrapping_add(10), 1).unwrap();
            for (mut datagram, number) in [(second, sequence.wrapping_add(10)), (first, sequence)] {
                let length = there.open_rtp(&mut datagram).unwrap();
                assert_eq!(datagram[..length], packet(number, 1));
            }
            sequence = sequence.wrapping_add(20);
        }
        let last = there
            .opened
            .get(1)
            .map(|slot| there.opened.window(slot).end());
        assert!(last.unwrap() > 2 << 16);
    }
}

#[test]
fn nothing_is_opened_twice_nor_when_changed() {
    for profile in SrtpProfile::ALL {
        let (mut here, mut there) = pair(*profile);
        let datagram = sealed(&mut here, 7, 1).unwrap();
        for position in 0..datagram.len() {
            let mut changed = datagram.clone();
            changed[position] ^= 0x01;
            assert!(there.open_rtp(&mut changed).is_err(), "byte {position}");
        }
        for end in 0..datagram.len() {
            assert!(there.open_rtp(&mut datagram[..end].to_vec()).is_err());
        }
        assert_eq!(there.opened.get(1), None, "nothing authentic, no context");
        assert!(there.open_rtp(&mut datagram.clone()).is_ok());
        assert_eq!(
            there.open_rtp(&mut datagram.clone()),
            Err(DropReason::Replayed)
        );
        // Our own packets, sent back.
        assert_eq!(
            here.open_rtp(&mut datagram.clone()),
            Err(DropReason::Forged)
        );

        let mut report = vec![0x80, 201, 0, 1, 0, 0, 0, 1];
        report.resize(8 + crate::SRTP_OVERHEAD, 0);
        let length = here.seal_rtcp(&mut report, 8).unwrap();
        report.truncate(length);
        for position in 0..report.len() {
            let mut changed = report.clone();
            changed[position] ^= 0x80;
            assert!(there.open_rtcp(&mut changed).is_err(), "byte {position}");
        }
        for end in 0..report.len() {
            assert!(there.open_rtcp(&mut report[..end].to_vec()).is_err());
        }
        assert_eq!(there.open_rtcp(&mut report.clone()), Ok(8));
        assert_eq!(
            there.open_rtcp(&mut report.clone()),
            Err(DropReason::Replayed)
        );
    }
}

#[test]
fn no_sequence_number_is_sealed_twice() {
    let (mut here, _) = pair(SrtpProfile::AeadAes256Gcm);
    assert!(sealed(&mut here, 5000, 1).is_ok());
    assert_eq!(sealed(&mut here, 5000, 1), Err(SealError::SequenceUsed));
    assert!(sealed(&mut here, 4990, 1).is_ok(), "late is not twice");
    assert_eq!(sealed(&mut here, 4990, 1), Err(SealError::SequenceUsed));
    assert_eq!(
        sealed(&mut here, 3000, 1),
        Err(SealError::SequenceUsed),
        "too old to tell"
    );
    assert!(sealed(&mut here, 5000, 2).is_ok(), "another source");
    // All the way round: the same number, another rollover counter.
    for step in 1..=8u16 {
        assert!(sealed(&mut here, 5000u16.wrapping_add(step.wrapping_mul(8192)), 1).is_ok());
    }
}

#[test]
fn a_packet_that_cannot_be_sealed_is_left_alone() {
    let (mut here, _) = pair(SrtpProfile::AeadAes256Gcm);
    let plain = packet(1, 1);
    let mut tight = plain.clone();
    tight.resize(plain.len() + 15, 0);
    let before = tight.clone();
    assert_eq!(
        here.seal_rtp(&mut tight, 12, plain.len()),
        Err(SealError::NoRoom)
    );
    assert_eq!(here.seal_rtp(&mut tight, 12, 11), Err(SealError::Malformed));
    assert_eq!(
        here.seal_rtp(&mut tight, 16, plain.len()),
        Err(SealError::Malformed)
    );
    assert_eq!(
        here.seal_rtp(&mut tight, 12, 10_000),
        Err(SealError::Malformed)
    );
    assert_eq!(here.seal_rtcp(&mut tight, 7), Err(SealError::Malformed));
    assert_eq!(here.seal_rtcp(&mut tight[..12], 12), Err(SealError::NoRoom));
    assert_eq!(tight, before);
    here.next_rtcp_index = MAX_RTCP_INDEX + 1;
    tight.resize(200, 0);
    assert_eq!(here.seal_rtcp(&mut tight, 60), Err(SealError::KeyUsedUp));
}

#[test]
fn extensions_and_csrcs_stay_in_the_clear() {
    let (mut here, mut there) = pair(SrtpProfile::AeadAes128Gcm);
    let mut buffer = packet(1, 1);
    buffer.truncate(12);
    buffer[0] = 0x92;
    buffer.extend([1; 8]);
    buffer.extend([0xbe, 0xde, 0, 1, 0x10, 0xff, 0, 0]);
    let header = buffer.len();
    buffer.extend([9; 30]);
    let plain = buffer.clone();
    buffer.resize(plain.len() + crate::SRTP_OVERHEAD, 0);
    let length = here.seal_rtp(&mut buffer, header, plain.len()).unwrap();
    assert_eq!(buffer[..header], plain[..header]);
    let opened = there.open_rtp(&mut buffer[..length]).unwrap();
    assert_eq!(buffer[..opened], plain);
}

#[test]
fn counter_mode_keys_fit_their_struct() {
    // The vectors above go through Cipher::new; this one pins the published session keys.
    let key = CmKey::new(
        &hex("C61E7A93744F39EE10734AFE3FF7A087"),
        &hex("CEBE321F6FF7716B6FD4AB49AF256A156D38BAA4"),
        hex("30CBBC08863D8C85D49DB34A9AE1").try_into().unwrap(),
    )
    .unwrap();
    let rtcp = CmKey::new(&[0; 16], &[0; 20], [0; 14]).unwrap();
    let cipher = Cipher::Cm(Box::new(Cm::new(key, rtcp)));
    let mut datagram = hex(
        "800f1234 decafbad cafebabe 4e55dc4c e79978d8 8ca4d215 949d2402 \
                            b78d6acc 99ea179b 8dbb",
    );
    assert_eq!(
        cipher.open_rtp(&mut datagram, 12, 0xcafe_babe, 0x1234),
        Some(28)
    );
}
