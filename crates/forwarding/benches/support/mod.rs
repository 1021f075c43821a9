//! What the benches make their conferences of.
#![allow(dead_code, reason = "each bench uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a bench may panic")]

use althing_colibri::{ClientMessage, VideoConstraints};
use althing_forwarding::{
    Conference, EndpointKey, EndpointSettings, PacketSink, Settings, SlotMode,
};
use althing_model::{
    Encoding, EndpointId, FeedbackSources, MediaKinds, Role, SourceDescription, SourceName, Ssrc,
    VideoType,
};
use divan::black_box;
use std::time::Instant;

/// Takes packets and looks at them just enough to keep the compiler from dropping them.
#[derive(Default)]
pub(crate) struct Null {
    pub(crate) sent: u64,
}

impl PacketSink for Null {
    fn rtp(&mut self, _: EndpointKey, header: &[u8], payload: [&[u8]; 2]) {
        black_box((header, payload));
        self.sent += 1;
    }
    fn rtcp(&mut self, _: EndpointKey, packet: &[u8]) {
        black_box(packet);
    }
}

pub(crate) fn conference() -> Conference {
    let feedback = FeedbackSources {
        audio: Ssrc(1),
        video: Ssrc(2),
    };
    Conference::new(Settings::default(), feedback, 1)
}

/// Somebody who may send and receive everything, on slots.
pub(crate) fn member(id: &str) -> EndpointSettings {
    EndpointSettings {
        id: EndpointId::new(id).unwrap(),
        role: Role::Participant,
        may_send: MediaKinds::ALL,
        receives_audio: true,
        receives_video: true,
        slots: SlotMode::Rewriting,
    }
}

/// Brings somebody in: connected, with a bridge channel.
pub(crate) fn enter(to: &mut Conference, now: Instant, settings: EndpointSettings) -> EndpointKey {
    let key = to.add_endpoint(now, settings);
    to.connected(now, key, true);
    to.channel_opened(now, key);
    key
}

/// Wants to see all there is.
pub(crate) fn want_all() -> ClientMessage {
    ClientMessage::ReceiverVideoConstraints(VideoConstraints {
        last_n: Some(-1),
        ..VideoConstraints::default()
    })
}

/// Does what is due by now.
pub(crate) fn catch_up(of: &mut Conference, now: Instant, sink: &mut impl PacketSink) {
    if of.next_timeout().is_some_and(|at| at <= now) {
        of.handle_timeout(now, sink);
    }
}

/// `ID-SUFFIX` in one encoding, without retransmission.
pub(crate) fn single(id: &str, suffix: &str, ssrc: u32) -> SourceDescription {
    described(id, suffix, vec![(ssrc, None)])
}

/// `ID-SUFFIX` as a client sends it: a microphone in one encoding, a camera in three with
/// retransmission, numbered from `ssrc` on.
pub(crate) fn full(id: &str, suffix: &str, ssrc: u32) -> SourceDescription {
    let encodings = match suffix.starts_with('v') {
        true => (0..3)
            .map(|e| (ssrc + 2 * e, Some(ssrc + 2 * e + 1)))
            .collect(),
        false => vec![(ssrc, None)],
    };
    described(id, suffix, encodings)
}

/// `ID-SUFFIX` in encodings of these SSRCs, each with that of its retransmissions.
pub(crate) fn described(
    id: &str,
    suffix: &str,
    encodings: Vec<(u32, Option<u32>)>,
) -> SourceDescription {
    let name = SourceName::new(format!("{id}-{suffix}")).unwrap();
    let encoding = |(primary, rtx): (u32, Option<u32>)| Encoding {
        primary: Ssrc(primary),
        rtx: rtx.map(Ssrc),
    };
    SourceDescription {
        kind: name.kind(),
        name,
        video_type: VideoType::Camera,
        msid: String::new(),
        encodings: encodings.into_iter().map(encoding).collect(),
    }
}
