use super::keys::{Counter, Label, Master};
use super::{RTCP_HEADER, SrtpProfile};
use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use std::fmt;

const GCM_TAG: usize = 16;
const CM_TAG: usize = 10;
/// The word that ends or nearly ends an SRTCP packet: the E bit and the index.
const RTCP_WORD: usize = 4;
const ENCRYPTED: u32 = 1 << 31;

/// One direction's session keys, for RTP and for RTCP.
#[derive(Debug)]
pub(super) enum Cipher {
    Gcm(Gcm),
    Cm(Box<Cm>),
}

impl Cipher {
    /// `None` when the master key does not fit the profile.
    pub(super) fn new(profile: SrtpProfile, master: &Master) -> Option<Self> {
        Some(match profile {
            SrtpProfile::AeadAes256Gcm => Self::Gcm(Gcm {
                rtp: GcmKey::new(
                    &master.derive::<32>(Label::RtpKey),
                    master.derive(Label::RtpSalt),
                )?,
                rtcp: GcmKey::new(
                    &master.derive::<32>(Label::RtcpKey),
                    master.derive(Label::RtcpSalt),
                )?,
            }),
            SrtpProfile::AeadAes128Gcm => Self::Gcm(Gcm {
                rtp: GcmKey::new(
                    &master.derive::<16>(Label::RtpKey),
                    master.derive(Label::RtpSalt),
                )?,
                rtcp: GcmKey::new(
                    &master.derive::<16>(Label::RtcpKey),
                    master.derive(Label::RtcpSalt),
                )?,
            }),
            SrtpProfile::Aes128CmSha1_80 => Self::Cm(Box::new(Cm {
                rtp: CmKey::new(
                    &master.derive::<16>(Label::RtpKey),
                    &master.derive::<20>(Label::RtpAuthentication),
                    master.derive(Label::RtpSalt),
                )?,
                rtcp: CmKey::new(
                    &master.derive::<16>(Label::RtcpKey),
                    &master.derive::<20>(Label::RtcpAuthentication),
                    master.derive(Label::RtcpSalt),
                )?,
            })),
        })
    }

    /// What sealing adds to an RTP packet, in bytes.
    pub(super) const fn rtp_overhead(&self) -> usize {
        match self {
            Self::Gcm(_) => GCM_TAG,
            Self::Cm(_) => CM_TAG,
        }
    }

    /// What sealing adds to an RTCP packet, in bytes.
    pub(super) const fn rtcp_overhead(&self) -> usize {
        self.rtp_overhead() + RTCP_WORD
    }

    /// `packet` is header, plaintext, and room for the overhead.
    pub(super) fn seal_rtp(&self, packet: &mut [u8], header: usize, ssrc: u32, index: u64) {
        let (header, rest) = packet.split_at_mut(header);
        match self {
            Self::Gcm(gcm) => gcm.rtp.seal(rtp_block(ssrc, index), header, rest),
            Self::Cm(cm) => {
                let (text, _) = rest.split_at_mut(rest.len() - CM_TAG);
                cm.rtp.counter.apply(cm.rtp.block(ssrc, index), text);
                let (signed, tag) = packet.split_at_mut(packet.len() - CM_TAG);
                tag.copy_from_slice(&cm.rtp.tag(signed, rollover(index)));
            }
        }
    }

    /// Returns the length of header and plaintext, or `None` if it is forged.
    pub(super) fn open_rtp(
        &self,
        packet: &mut [u8],
        header: usize,
        ssrc: u32,
        index: u64,
    ) -> Option<usize> {
        let length = packet.len().checked_sub(self.rtp_overhead())?;
        match self {
            Self::Gcm(gcm) => {
                let (header, rest) = packet.split_at_mut_checked(header)?;
                gcm.rtp.open(rtp_block(ssrc, index), header, rest)?;
            }
            Self::Cm(cm) => {
                let (signed, tag) = packet.split_at_mut(length);
                cm.rtp.verify(signed, rollover(index), tag)?;
                let text = signed.get_mut(header..)?;
                cm.rtp.counter.apply(cm.rtp.block(ssrc, index), text);
            }
        }
        Some(length)
    }

    /// `packet` is the plaintext packet and room for the overhead.
    pub(super) fn seal_rtcp(&self, packet: &mut [u8], ssrc: u32, index: u32) {
        let word = (index | ENCRYPTED).to_be_bytes();
        match self {
            Self::Gcm(gcm) => {
                let (body, trailer) = packet.split_at_mut(packet.len() - RTCP_WORD);
                let (header, rest) = body.split_at_mut(RTCP_HEADER);
                gcm.rtcp
                    .seal(rtcp_block(ssrc, index), &rtcp_aad(header, word), rest);
                trailer.copy_from_slice(&word);
            }
            Self::Cm(cm) => {
                let (body, trailer) = packet.split_at_mut(packet.len() - CM_TAG - RTCP_WORD);
                let block = cm.rtcp.block(ssrc, u64::from(index));
                cm.rtcp.counter.apply(block, &mut body[RTCP_HEADER..]);
                let tag = cm.rtcp.tag(body, word);
                trailer[..RTCP_WORD].copy_from_slice(&word);
                trailer[RTCP_WORD..].copy_from_slice(&tag);
            }
        }
    }

    /// The index an SRTCP packet claims. `None` when it is too short, or says that it is not
    /// encrypted: nobody may choose that for us.
    pub(super) fn rtcp_index(&self, packet: &[u8]) -> Option<u32> {
        if packet.len() < RTCP_HEADER + self.rtcp_overhead() {
            return None;
        }
        let behind = match self {
            Self::Gcm(_) => 0,
            Self::Cm(_) => CM_TAG,
        };
        let (front, _) = packet.split_at_checked(packet.len() - behind)?;
        let word = u32::from_be_bytes(*front.last_chunk()?);
        (word & ENCRYPTED != 0).then_some(word & !ENCRYPTED)
    }

    /// Returns the length of the plaintext packet, or `None` if it is forged.
    pub(super) fn open_rtcp(&self, packet: &mut [u8], ssrc: u32, index: u32) -> Option<usize> {
        let length = packet.len().checked_sub(self.rtcp_overhead())?;
        let word = (index | ENCRYPTED).to_be_bytes();
        match self {
            Self::Gcm(gcm) => {
                let (body, _) = packet.split_at_mut(length + GCM_TAG);
                let (header, rest) = body.split_at_mut_checked(RTCP_HEADER)?;
                gcm.rtcp
                    .open(rtcp_block(ssrc, index), &rtcp_aad(header, word), rest)?;
            }
            Self::Cm(cm) => {
                let (body, trailer) = packet.split_at_mut(length);
                cm.rtcp.verify(body, word, &trailer[RTCP_WORD..])?;
                let block = cm.rtcp.block(ssrc, u64::from(index));
                cm.rtcp.counter.apply(block, body.get_mut(RTCP_HEADER..)?);
            }
        }
        Some(length)
    }
}

fn rollover(index: u64) -> [u8; 4] {
    ((index >> 16) as u32).to_be_bytes()
}

/// RFC 7714 §8.1: two zero bytes, SSRC, rollover counter, sequence number.
fn rtp_block(ssrc: u32, index: u64) -> [u8; 12] {
    let mut block = [0; 12];
    block[2..6].copy_from_slice(&ssrc.to_be_bytes());
    block[6..12].copy_from_slice(&index.to_be_bytes()[2..]);
    block
}

/// RFC 7714 §9.1: two zero bytes, SSRC, two zero bytes, index.
fn rtcp_block(ssrc: u32, index: u32) -> [u8; 12] {
    let mut block = [0; 12];
    block[2..6].copy_from_slice(&ssrc.to_be_bytes());
    block[8..12].copy_from_slice(&index.to_be_bytes());
    block
}

/// RFC 7714 §9.2: the header and the trailing word are authenticated, not encrypted.
fn rtcp_aad(header: &[u8], word: [u8; 4]) -> [u8; RTCP_HEADER + RTCP_WORD] {
    let mut aad = [0; RTCP_HEADER + RTCP_WORD];
    aad[..RTCP_HEADER].copy_from_slice(header);
    aad[RTCP_HEADER..].copy_from_slice(&word);
    aad
}

/// AEAD_AES_128_GCM or AEAD_AES_256_GCM.
#[derive(Debug)]
pub(super) struct Gcm {
    rtp: GcmKey,
    rtcp: GcmKey,
}

impl Gcm {
    #[cfg(test)]
    pub(super) const fn new(rtp: GcmKey, rtcp: GcmKey) -> Self {
        Self { rtp, rtcp }
    }
}

pub(super) struct GcmKey {
    key: LessSafeKey,
    salt: [u8; 12],
}

impl fmt::Debug for GcmKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GcmKey")
    }
}

impl GcmKey {
    pub(super) fn new(key: &[u8], salt: [u8; 12]) -> Option<Self> {
        let algorithm = match key.len() {
            16 => &AES_128_GCM,
            32 => &AES_256_GCM,
            _ => return None,
        };
        let key = LessSafeKey::new(UnboundKey::new(algorithm, key).ok()?);
        Some(Self { key, salt })
    }

    fn nonce(&self, mut block: [u8; 12]) -> Nonce {
        for (byte, salt) in block.iter_mut().zip(self.salt) {
            *byte ^= salt;
        }
        Nonce::assume_unique_for_key(block)
    }

    /// `rest` is the plaintext and room for the tag.
    fn seal(&self, block: [u8; 12], aad: &[u8], rest: &mut [u8]) {
        let (text, room) = rest.split_at_mut(rest.len() - GCM_TAG);
        let tag = self
            .key
            .seal_in_place_separate_tag(self.nonce(block), Aad::from(aad), text)
            .expect("a datagram is shorter than what GCM can seal");
        room.copy_from_slice(tag.as_ref());
    }

    /// `rest` is the ciphertext and its tag; the tag is compared in constant time.
    fn open(&self, block: [u8; 12], aad: &[u8], rest: &mut [u8]) -> Option<()> {
        self.key
            .open_in_place(self.nonce(block), Aad::from(aad), rest)
            .ok()
            .map(drop)
    }
}

/// AES128_CM_HMAC_SHA1_80.
#[derive(Debug)]
pub(super) struct Cm {
    rtp: CmKey,
    rtcp: CmKey,
}

impl Cm {
    #[cfg(test)]
    pub(super) const fn new(rtp: CmKey, rtcp: CmKey) -> Self {
        Self { rtp, rtcp }
    }
}

pub(super) struct CmKey {
    counter: Counter,
    authentication: hmac::Key,
    salt: [u8; 14],
}

impl fmt::Debug for CmKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CmKey")
    }
}

impl CmKey {
    pub(super) fn new(key: &[u8], authentication: &[u8], salt: [u8; 14]) -> Option<Self> {
        Some(Self {
            counter: Counter::new(key)?,
            authentication: hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, authentication),
            salt,
        })
    }

    /// RFC 3711 §4.1.1: salt, SSRC at byte 4 and index at byte 8, added; then the block counter.
    fn block(&self, ssrc: u32, index: u64) -> [u8; 16] {
        let mut block = [0; 16];
        block[4..8].copy_from_slice(&ssrc.to_be_bytes());
        block[8..14].copy_from_slice(&index.to_be_bytes()[2..]);
        for (byte, salt) in block.iter_mut().zip(self.salt) {
            *byte ^= salt;
        }
        block
    }

    /// Over the packet and four bytes more: the rollover counter, or SRTCP's word.
    fn tag(&self, signed: &[u8], more: [u8; 4]) -> [u8; CM_TAG] {
        let mut context = hmac::Context::with_key(&self.authentication);
        context.update(signed);
        context.update(&more);
        let full = context.sign();
        let mut tag = [0; CM_TAG];
        tag.copy_from_slice(&full.as_ref()[..CM_TAG]);
        tag
    }

    fn verify(&self, signed: &[u8], more: [u8; 4], tag: &[u8]) -> Option<()> {
        verify_slices_are_equal(&self.tag(signed, more), tag).ok()
    }
}
