//! A packet that was sent, made once more out of the one shared history of its encoding.

use crate::conference::Payload;
use crate::frame_ids::PREFIX;
use crate::outlet::Past;
use crate::reader::Unread;
use crate::source::Source;
use althing_model::profile::extension;
use althing_rtp::HeaderTemplate;

/// As it was sent, but for its SSRC, its sequence number and what is numbered per transport.
#[derive(Debug)]
pub(crate) struct Again<'a> {
    pub(crate) header: HeaderTemplate,
    pub(crate) payload: Payload,
    pub(crate) body: &'a [u8],
    /// The first `replaced` bytes of this stand for as many of the body.
    pub(crate) prefix: [u8; PREFIX],
    pub(crate) replaced: usize,
}

impl Source {
    /// Makes a packet again; nothing if it is not kept, or was never part of what was sent.
    pub(crate) fn again(
        &self,
        past: Past,
        payloads: &[Option<Payload>; 128],
        transport_cc: Option<u8>,
    ) -> Option<Again<'_>> {
        let segment = past.segment;
        let incoming = self.incoming.get(usize::from(segment.view.encoding))?;
        let view = incoming.view_of(segment.view)?;
        let number = view.numbers.original(past.number)?;
        let kept = incoming.history.get(number)?;
        let mut header = HeaderTemplate::from_header(kept.header, transport_cc)?;
        let payload = payloads[usize::from(header.payload_type() & 0x7f)]?;
        let unread = Unread {
            codec: payload.codec,
            number,
            timestamp: header.timestamp(),
            marker: header.marker(),
            body: kept.payload,
            descriptor: header.extension(extension::DEPENDENCY_DESCRIPTOR),
            newest: false,
            encrypted: self.encrypted,
        };
        let facts = incoming.reader.reread(unread);
        let seen = view.seen(past.number, &facts, incoming.reader.top_spatial);
        header.set_timestamp(header.timestamp().wrapping_add(segment.timestamp_offset));
        header.set_marker(seen.marker);
        if segment.shift.renumbers_frames()
            && let Some((at, _)) = header.locate(extension::DEPENDENCY_DESCRIPTOR)
        {
            segment.shift.write(seen.ids, at, &mut header);
        }
        let mut prefix = [0; PREFIX];
        let replaced = segment.shift.prefix(seen.ids, kept.payload, &mut prefix);
        Some(Again {
            header,
            payload,
            body: kept.payload,
            prefix,
            replaced,
        })
    }
}
