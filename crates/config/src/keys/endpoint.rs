//! What one client's media may cost.

use crate::keys::{Key, positive, rate};
use crate::value;

pub(super) const KEYS: &[Key] = &[
    Key {
        section: Some("endpoint"),
        name: "bit_rate",
        value_name: "RATE",
        default: "\"50M\"",
        doc: "How much media one client may send in the long run, in bits per second; of this and \
              the next three, two seconds' worth may come at once. What is beyond is dropped. A \
              shared 4K screen beside a camera is about 25M.",
        set: |s, v| value::bit_rate(v.text()?).map(|rate| s.endpoint.bit_rate = rate),
    },
    Key {
        section: Some("endpoint"),
        name: "audio_bit_rate",
        value_name: "RATE",
        default: "\"2500k\"",
        doc: "How much of it may be sound, which goes to everybody whatever their lines carry. The \
              best voice takes 510k, twice that with redundancy; the sound of a screen as much.",
        set: |s, v| value::bit_rate(v.text()?).map(|rate| s.endpoint.audio_bit_rate = rate),
    },
    Key {
        section: Some("endpoint"),
        name: "packets",
        value_name: "NUMBER",
        default: "10000",
        doc: "How many packets of media one client may send per second in the long run.",
        set: |s, v| rate(v, 1_000_000).map(|n| s.endpoint.packets = n),
    },
    Key {
        section: Some("endpoint"),
        name: "rtcp_packets",
        value_name: "NUMBER",
        default: "1000",
        doc: "How many reports and requests (RTCP) one client may send per second in the long run.",
        set: |s, v| rate(v, 1_000_000).map(|n| s.endpoint.rtcp_packets = n),
    },
    Key {
        section: Some("endpoint"),
        name: "sources",
        value_name: "NUMBER",
        default: "20",
        doc: "How many microphones, cameras and screens one client may send at once.",
        set: |s, v| positive(v, 1_000).map(|n| s.endpoint.sources = n),
    },
    Key {
        section: Some("endpoint"),
        name: "ssrcs",
        value_name: "NUMBER",
        default: "20",
        doc: "How many SSRCs, and how many groups of them, one client may have. A camera in three \
              resolutions has six.",
        set: |s, v| positive(v, 1_000).map(|n| s.endpoint.ssrcs = n),
    },
    Key {
        section: Some("endpoint"),
        name: "keyframe_requests",
        value_name: "NUMBER",
        default: "25",
        doc: "How many pictures one client may ask others to send anew (keyframes) per second in \
              the long run.",
        set: |s, v| rate(v, 100_000).map(|n| s.endpoint.keyframe_requests = n),
    },
    Key {
        section: Some("endpoint"),
        name: "messages",
        value_name: "NUMBER",
        default: "100",
        doc: "How many messages one client may send on its bridge channel per second in the long \
              run; a message counts once for each KiB of it.",
        set: |s, v| rate(v, 100_000).map(|n| s.endpoint.messages = n),
    },
];
