//! SRTP and SRTCP (RFC 3711, RFC 7714) with keys kept: a packet is sealed or opened where it lies.
//!
//! ```text
//!   keying material ──▶ keys ──▶ Cipher (one per direction: RTP key, RTCP key)
//!                                  ▲
//!   packet ──▶ SSRC ──▶ Sources ──▶ Window: index, replay   (sealing: no index twice)
//! ```

mod cipher;
mod keys;
mod sources;
#[cfg(test)]
mod tests;
mod window;

use crate::{DropReason, SealError};
use cipher::Cipher;
use keys::Master;
use sources::{MAX_RETIRED, MAX_RETIRED_OF_OURS, Sources};

/// What media is sealed with (RFC 5764 §4.1.2, RFC 7714 §14.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SrtpProfile {
    /// `AEAD_AES_256_GCM`.
    AeadAes256Gcm,
    /// `AEAD_AES_128_GCM`.
    AeadAes128Gcm,
    /// `AES128_CM_HMAC_SHA1_80`.
    Aes128CmSha1_80,
}

impl SrtpProfile {
    /// Every profile, best first.
    pub const ALL: &'static [Self] = &[
        Self::AeadAes256Gcm,
        Self::AeadAes128Gcm,
        Self::Aes128CmSha1_80,
    ];

    /// A label for metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AeadAes256Gcm => "aead_aes_256_gcm",
            Self::AeadAes128Gcm => "aead_aes_128_gcm",
            Self::Aes128CmSha1_80 => "aes128_cm_hmac_sha1_80",
        }
    }

    const fn key_length(self) -> usize {
        match self {
            Self::AeadAes256Gcm => 32,
            Self::AeadAes128Gcm | Self::Aes128CmSha1_80 => 16,
        }
    }

    const fn salt_length(self) -> usize {
        match self {
            Self::AeadAes256Gcm | Self::AeadAes128Gcm => 12,
            Self::Aes128CmSha1_80 => 14,
        }
    }

    pub(crate) const fn from_dtls(profile: dimpl::SrtpProfile) -> Option<Self> {
        match profile {
            dimpl::SrtpProfile::AEAD_AES_256_GCM => Some(Self::AeadAes256Gcm),
            dimpl::SrtpProfile::AEAD_AES_128_GCM => Some(Self::AeadAes128Gcm),
            dimpl::SrtpProfile::AES128_CM_SHA1_80 => Some(Self::Aes128CmSha1_80),
            _ => None,
        }
    }
}

/// The fixed RTP header, and the least an RTCP packet has in the clear.
const RTP_HEADER: usize = 12;
const RTCP_HEADER: usize = 8;
/// SRTCP packets one key may seal (RFC 3711 §9.2).
const MAX_RTCP_INDEX: u32 = 0x7fff_ffff;

/// How many of the keying material's two halves are ours (RFC 5764 §4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Client,
    Server,
}

/// The keys of a connection and what has been done with them.
#[derive(Debug)]
pub(crate) struct Srtp {
    profile: SrtpProfile,
    sealing: Cipher,
    opening: Cipher,
    sealed: Sources,
    opened: Sources,
    opened_rtcp: Sources,
    next_rtcp_index: u32,
}

impl Srtp {
    /// From the material that DTLS exports: client key, server key, client salt, server salt.
    /// `None` when it has not the length of the profile.
    pub(crate) fn new(profile: SrtpProfile, material: &[u8], ours: Side) -> Option<Self> {
        let (key, salt) = (profile.key_length(), profile.salt_length());
        if material.len() != 2 * (key + salt) {
            return None;
        }
        let (keys, salts) = material.split_at(2 * key);
        let (client_key, server_key) = keys.split_at(key);
        let (client_salt, server_salt) = salts.split_at(salt);
        let client = Cipher::new(profile, &Master::new(client_key, client_salt)?)?;
        let server = Cipher::new(profile, &Master::new(server_key, server_salt)?)?;
        let (sealing, opening) = match ours {
            Side::Client => (client, server),
            Side::Server => (server, client),
        };
        Some(Self {
            profile,
            sealing,
            opening,
            sealed: Sources::new(MAX_RETIRED_OF_OURS),
            opened: Sources::new(MAX_RETIRED),
            opened_rtcp: Sources::new(MAX_RETIRED),
            next_rtcp_index: 0,
        })
    }

    /// See [`Transport::is_worn_out`](crate::Transport::is_worn_out).
    pub(crate) fn is_worn_out(&self) -> bool {
        self.sealed.is_nearly_full()
    }

    pub(crate) const fn profile(&self) -> SrtpProfile {
        self.profile
    }

    /// See [`Transport::seal_rtp`](crate::Transport::seal_rtp).
    pub(crate) fn seal_rtp(
        &mut self,
        buffer: &mut [u8],
        header_len: usize,
        plain_len: usize,
    ) -> Result<usize, SealError> {
        let plain = buffer.get(..plain_len).ok_or(SealError::Malformed)?;
        let header = RtpHeader::parse(plain).ok_or(SealError::Malformed)?;
        if header.length != header_len {
            return Err(SealError::Malformed);
        }
        let length = plain_len + self.sealing.rtp_overhead();
        let packet = buffer.get_mut(..length).ok_or(SealError::NoRoom)?;
        let window = self
            .sealed
            .get_or_insert(header.ssrc)
            .ok_or(SealError::TooManySources)?;
        let index = window
            .unused(header.sequence)
            .ok_or(SealError::SequenceUsed)?;
        // Before sealing: whatever happens next, this index is never used again.
        window.mark(index);
        self.sealing
            .seal_rtp(packet, header_len, header.ssrc, index);
        Ok(length)
    }

    /// See [`Transport::seal_rtcp`](crate::Transport::seal_rtcp).
    pub(crate) fn seal_rtcp(
        &mut self,
        buffer: &mut [u8],
        plain_len: usize,
    ) -> Result<usize, SealError> {
        let ssrc = buffer
            .get(..plain_len)
            .and_then(rtcp_ssrc)
            .ok_or(SealError::Malformed)?;
        let length = plain_len + self.sealing.rtcp_overhead();
        let packet = buffer.get_mut(..length).ok_or(SealError::NoRoom)?;
        // One counter for all SSRCs: the nonce has both, and each SSRC sees it only grow.
        let index = self.next_rtcp_index;
        if index > MAX_RTCP_INDEX {
            return Err(SealError::KeyUsedUp);
        }
        self.next_rtcp_index += 1;
        self.sealing.seal_rtcp(packet, ssrc, index);
        Ok(length)
    }

    /// Opens an SRTP packet in place; returns the length of the plaintext packet. On an error the
    /// packet's contents are undefined.
    pub(crate) fn open_rtp(&mut self, packet: &mut [u8]) -> Result<usize, DropReason> {
        let header = RtpHeader::parse(packet).ok_or(DropReason::Malformed)?;
        if packet.len() < header.length + self.opening.rtp_overhead() {
            return Err(DropReason::Malformed);
        }
        let known = self.opened.get(header.ssrc);
        let index = match known {
            Some(slot) => self.opened.window(slot).unused(header.sequence),
            None => {
                let window = self.opened.fresh(header.ssrc).ok_or(TOO_MANY)?;
                window.unused(header.sequence)
            }
        };
        let index = index.ok_or(DropReason::Replayed)?;
        let length = self
            .opening
            .open_rtp(packet, header.length, header.ssrc, index)
            .ok_or(DropReason::Forged)?;
        self.opened.mark(header.ssrc, known, index);
        Ok(length)
    }

    /// Opens an SRTCP packet in place, likewise.
    pub(crate) fn open_rtcp(&mut self, packet: &mut [u8]) -> Result<usize, DropReason> {
        let ssrc = rtcp_ssrc(packet).ok_or(DropReason::Malformed)?;
        let index = self
            .opening
            .rtcp_index(packet)
            .ok_or(DropReason::Malformed)?;
        let index64 = u64::from(index);
        let known = self.opened_rtcp.get(ssrc);
        let new = match known {
            Some(slot) => self.opened_rtcp.window(slot).is_new(index64),
            None => self
                .opened_rtcp
                .fresh(ssrc)
                .ok_or(TOO_MANY)?
                .is_new(index64),
        };
        if !new {
            return Err(DropReason::Replayed);
        }
        let length = self
            .opening
            .open_rtcp(packet, ssrc, index)
            .ok_or(DropReason::Forged)?;
        self.opened_rtcp.mark(ssrc, known, index64);
        Ok(length)
    }
}

const TOO_MANY: DropReason = DropReason::TooManySources;

/// What sealing needs of an RTP header.
struct RtpHeader {
    length: usize,
    sequence: u16,
    ssrc: u32,
}

impl RtpHeader {
    fn parse(packet: &[u8]) -> Option<Self> {
        let fixed: &[u8; RTP_HEADER] = packet.first_chunk()?;
        if fixed[0] >> 6 != 2 {
            return None;
        }
        let mut length = RTP_HEADER + 4 * usize::from(fixed[0] & 0x0f);
        if fixed[0] & 0x10 != 0 {
            let [_, _, high, low] = *packet.get(length..)?.first_chunk()?;
            length += 4 + 4 * usize::from(u16::from_be_bytes([high, low]));
        }
        (length <= packet.len()).then_some(Self {
            length,
            sequence: u16::from_be_bytes([fixed[2], fixed[3]]),
            ssrc: u32::from_be_bytes([fixed[8], fixed[9], fixed[10], fixed[11]]),
        })
    }
}

fn rtcp_ssrc(packet: &[u8]) -> Option<u32> {
    let header: &[u8; RTCP_HEADER] = packet.first_chunk()?;
    (header[0] >> 6 == 2).then(|| u32::from_be_bytes([header[4], header[5], header[6], header[7]]))
}
