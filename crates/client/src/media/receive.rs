use super::Mapping;
use crate::packets::{self, Sender, Unreadable};
use crate::stats::Recorder;
use althing_model::profile::payload_type;
use althing_model::{MediaKind, Ssrc};
use althing_rtp::RtpPacket;
use std::collections::HashMap;

#[derive(Debug, Clone, Copy)]
struct Stream {
    owner: Sender,
    kind: MediaKind,
}

/// Judges what arrives.
#[derive(Debug, Default)]
pub(crate) struct Receiver {
    streams: HashMap<Ssrc, Stream>,
}

impl Receiver {
    pub(crate) fn map(&mut self, mappings: Vec<Mapping>) {
        for mapping in mappings {
            let stream = Stream {
                owner: mapping.owner,
                kind: mapping.kind,
            };
            self.streams.insert(mapping.ssrc, stream);
            if let Some(rtx) = mapping.rtx {
                self.streams.insert(rtx, stream);
            }
        }
    }

    pub(crate) fn rtp(&self, packet: &[u8], now_micros: u64, recorder: &mut Recorder) {
        let Ok(packet) = RtpPacket::parse(packet) else {
            return;
        };
        let Some((payload, retransmission)) = payload_type(packet.payload_type()) else {
            return;
        };
        let Some(stream) = self.streams.get(&packet.ssrc()) else {
            // Media on an SSRC nobody announced: a browser could not have played it.
            recorder
                .kind(if payload.clock_rate == 90_000 {
                    MediaKind::Video
                } else {
                    MediaKind::Audio
                })
                .wrong += 1;
            return;
        };
        let body = if retransmission {
            packet.payload().get(2..).unwrap_or_default()
        } else {
            packet.payload()
        };
        if body.is_empty() {
            return;
        }
        match packets::read(stream.kind, body) {
            Ok(marker) => recorder.arrived(&marker, Some(stream.owner), now_micros, retransmission),
            Err(Unreadable::Foreign) => recorder.kind(stream.kind).foreign += 1,
            Err(Unreadable::Corrupt) => recorder.kind(stream.kind).wrong += 1,
        }
    }
}
