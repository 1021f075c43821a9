//! The one mapping of payload types and header extensions, used by every conference: the offer is
//! written from it, the bridge reads packets by it, and packets are forwarded without renumbering.
//!
//! The numbers are the ones Jitsi's focus offers by default (protocol 2 §4.2, §4.3).

use crate::MediaKind;

/// The codecs passed through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Codec {
    /// RFC 7587.
    Opus,
    /// RFC 4733; passed through.
    TelephoneEvent,
    /// AV1 RTP payload specification 1.0.
    Av1,
    /// RFC 7741.
    Vp8,
    /// RFC 6184, constrained baseline.
    H264,
    /// RFC 9628.
    Vp9,
}

/// One payload type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PayloadType {
    /// The number on the wire.
    pub number: u8,
    /// The codec.
    pub codec: Codec,
    /// `encoding name` of the `rtpmap`.
    pub name: &'static str,
    /// RTP clock, in Hz.
    pub clock_rate: u32,
    /// Audio channels; 1 for video.
    pub channels: u8,
    /// The payload type of its retransmissions, if any.
    pub rtx: Option<u8>,
    /// `fmtp` parameters, in order.
    pub parameters: &'static [(&'static str, &'static str)],
}

/// Audio payload types in offer order.
pub const AUDIO: &[PayloadType] = &[
    PayloadType {
        number: 111,
        codec: Codec::Opus,
        name: "opus",
        clock_rate: 48_000,
        channels: 2,
        rtx: None,
        parameters: &[("minptime", "10"), ("useinbandfec", "1")],
    },
    PayloadType {
        number: 126,
        codec: Codec::TelephoneEvent,
        name: "telephone-event",
        clock_rate: 8_000,
        channels: 1,
        rtx: None,
        parameters: &[],
    },
];

/// Redundant audio (RFC 2198): Opus frames with those before them. It stands before [`AUDIO`] where
/// it is offered, so that a browser sends it, and only those are offered it who ask for it.
pub const RED: PayloadType = PayloadType {
    number: 112,
    codec: Codec::Opus,
    name: "red",
    clock_rate: 48_000,
    channels: 2,
    rtx: None,
    // Without a name: the payload types of the newest frame and of those before it.
    parameters: &[("", "111/111")],
};

/// Video payload types in offer order, which is the browser's default preference.
pub const VIDEO: &[PayloadType] = &[
    PayloadType {
        number: 41,
        codec: Codec::Av1,
        name: "AV1",
        clock_rate: 90_000,
        channels: 1,
        rtx: Some(42),
        parameters: &[],
    },
    PayloadType {
        number: 100,
        codec: Codec::Vp8,
        name: "VP8",
        clock_rate: 90_000,
        channels: 1,
        rtx: Some(96),
        parameters: &[],
    },
    PayloadType {
        number: 107,
        codec: Codec::H264,
        name: "H264",
        clock_rate: 90_000,
        channels: 1,
        rtx: Some(99),
        // One parameter, literally: that is how the stock focus writes it and clients expect it.
        parameters: &[(
            "profile-level-id",
            "42e01f;level-asymmetry-allowed=1;packetization-mode=1;",
        )],
    },
    PayloadType {
        number: 101,
        codec: Codec::Vp9,
        name: "VP9",
        clock_rate: 90_000,
        channels: 1,
        rtx: Some(97),
        parameters: &[],
    },
];

/// The payload type with this number, whether media or retransmission; `true` when it is the
/// retransmission number.
#[must_use]
pub fn payload_type(number: u8) -> Option<(&'static PayloadType, bool)> {
    let all = std::iter::once(&RED).chain(AUDIO).chain(VIDEO);
    all.into_iter().find_map(|p| match p {
        p if p.number == number => Some((p, false)),
        p if p.rtx == Some(number) => Some((p, true)),
        _ => None,
    })
}

/// Header extension ids (RFC 8285).
pub mod extension {
    /// `urn:ietf:params:rtp-hdrext:ssrc-audio-level` (RFC 6464).
    pub const AUDIO_LEVEL: u8 = 1;
    /// `http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time`.
    pub const ABS_SEND_TIME: u8 = 3;
    /// Transport-wide congestion control, draft 01.
    pub const TRANSPORT_CC: u8 = 5;
    /// `urn:ietf:params:rtp-hdrext:sdes:mid` (RFC 9143).
    pub const MID: u8 = 10;
    /// The AV1 dependency descriptor.
    pub const DEPENDENCY_DESCRIPTOR: u8 = 11;
}

/// One offered header extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeaderExtension {
    /// The id on the wire.
    pub id: u8,
    /// What it is.
    pub uri: &'static str,
}

/// Audio level URI.
pub const AUDIO_LEVEL_URI: &str = "urn:ietf:params:rtp-hdrext:ssrc-audio-level";
/// Absolute send time URI.
pub const ABS_SEND_TIME_URI: &str = "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time";
/// Transport-wide congestion control URI.
pub const TRANSPORT_CC_URI: &str =
    "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01";
/// Dependency descriptor URI.
pub const DEPENDENCY_DESCRIPTOR_URI: &str =
    "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension";

const LEVEL: HeaderExtension = HeaderExtension {
    id: extension::AUDIO_LEVEL,
    uri: AUDIO_LEVEL_URI,
};
const SEND_TIME: HeaderExtension = HeaderExtension {
    id: extension::ABS_SEND_TIME,
    uri: ABS_SEND_TIME_URI,
};
const TCC: HeaderExtension = HeaderExtension {
    id: extension::TRANSPORT_CC,
    uri: TRANSPORT_CC_URI,
};
const DESCRIPTOR: HeaderExtension = HeaderExtension {
    id: extension::DEPENDENCY_DESCRIPTOR,
    uri: DEPENDENCY_DESCRIPTOR_URI,
};

/// The extensions offered for a kind of media, in offer order. `mid` is not offered: it would have
/// to be rewritten per receiver before it could help anyone (protocol 2 §4.3).
#[must_use]
pub const fn extensions(kind: MediaKind) -> &'static [HeaderExtension] {
    match kind {
        MediaKind::Audio => &[LEVEL, TCC],
        MediaKind::Video => &[DESCRIPTOR, SEND_TIME, TCC],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payload_numbers_are_unique() {
        let mut seen = std::collections::HashSet::new();
        for payload in std::iter::once(&RED).chain(AUDIO).chain(VIDEO) {
            assert!(seen.insert(payload.number), "{payload:?}");
            if let Some(rtx) = payload.rtx {
                assert!(seen.insert(rtx), "{payload:?}");
                assert_eq!(payload_type(rtx), Some((payload, true)));
            }
            assert_eq!(payload_type(payload.number), Some((payload, false)));
        }
        assert_eq!(payload_type(0), None);
    }
}
