//! Entry points for fuzzers: each reads everything there is to read.

use crate::dependency::{DependencyDescriptor, FrameRelations, Indication, write_active_targets};
use crate::rtcp::{Compound, Rtcp, TransportCcRecorder};
use crate::{ExtensionRules, HeaderTemplate, RtpPacket};
use crate::{h264, rtx};
use althing_model::Ssrc;
use std::collections::BTreeMap;
use std::time::Duration;

/// An RTP packet, and the header made of it.
///
/// # Panics
/// When a header we wrote cannot be read, which is a bug here.
pub fn packet(data: &[u8]) {
    let Ok(packet) = RtpPacket::parse(data) else {
        return;
    };
    let length = packet
        .header()
        .len()
        .saturating_add(packet.payload().len())
        .saturating_add(usize::from(packet.padding()));
    assert_eq!(length, data.len());
    let _ = rtx::unwrap(packet.payload());
    for transport_cc in [None, Some(5), Some(77)] {
        let rules = ExtensionRules {
            keep: &[1, 11, 13, 40],
            transport_cc,
        };
        let mut template = HeaderTemplate::new(&packet, rules);
        template.set_ssrc(Ssrc(1));
        template.set_transport_cc(7);
        let header = RtpPacket::parse(template.bytes()).expect("our own header");
        assert_eq!(header.header().len(), template.bytes().len());
        assert_eq!(header.sequence(), packet.sequence());
        for (id, value) in header.extensions() {
            assert!(rules.keep.contains(&id) || rules.transport_cc == Some(id));
            assert!(value.len() <= 255);
        }
        assert!(HeaderTemplate::from_header(template.bytes(), transport_cc).is_some());
    }
}

/// An RTCP compound with everything in it; then the same bytes as arrivals to be reported.
pub fn rtcp(data: &[u8]) {
    arrivals(data);
    for item in Compound::new(data).flatten() {
        match item {
            Rtcp::SenderReport(r) => drop(r.blocks.count()),
            Rtcp::ReceiverReport(r) => drop(r.blocks.count()),
            Rtcp::Bye(b) => drop(b.ssrcs().count()),
            Rtcp::Nack(n) => drop(n.sequences().count()),
            Rtcp::Fir(f) => drop(f.entries().count()),
            Rtcp::Remb(r) => drop(r.ssrcs().count()),
            Rtcp::TransportCc(t) => drop(t.statuses().count()),
            Rtcp::Pli { .. } | Rtcp::SourceDescription | Rtcp::Other { .. } => {}
        }
    }
}

/// Three bytes each: a transport-wide number, and the milliseconds since the last arrival. What is
/// reported to the sender is what arrived.
fn arrivals(data: &[u8]) {
    let mut recorder = TransportCcRecorder::new();
    let mut at = Duration::from_secs(1);
    let mut arrived: BTreeMap<u16, Vec<Duration>> = BTreeMap::new();
    for chunk in data.chunks(48) {
        for arrival in chunk.as_chunks::<3>().0 {
            let [high, low, millis] = *arrival;
            let sequence = u16::from_be_bytes([high, low]);
            at = at.saturating_add(Duration::from_millis(u64::from(millis)));
            recorder.record(sequence, at);
            arrived.entry(sequence).or_default().push(at);
        }
        while recorder.is_pending() {
            let mut packet = Vec::new();
            if !recorder.build(&mut packet, Ssrc(1), Ssrc(2)) {
                break;
            }
            assert!(packet.len() <= 1200, "a feedback of {} bytes", packet.len());
            for item in Compound::new(&packet) {
                let Ok(Rtcp::TransportCc(feedback)) = item else {
                    unreachable!("our own feedback can be read");
                };
                for status in feedback.statuses() {
                    let Some(micros) = status.arrival_micros else {
                        continue;
                    };
                    let times = arrived.get(&status.sequence);
                    let known = times.is_some_and(|all| {
                        all.iter()
                            .any(|t| t.as_micros() == micros.cast_unsigned().into())
                    });
                    assert!(known, "{status:?} never arrived");
                }
            }
        }
    }
}

/// A VP8 payload.
///
/// # Panics
/// When a descriptor ends beyond its payload, which is a bug here.
pub fn vp8(data: &[u8]) {
    if let Ok(d) = crate::vp8::Vp8::parse(data) {
        assert!(d.payload_offset <= data.len());
    }
}

/// A VP9 payload.
///
/// # Panics
/// When a descriptor ends beyond its payload, which is a bug here.
pub fn vp9(data: &[u8]) {
    if let Ok(d) = crate::vp9::Vp9::parse(data) {
        assert!(d.payload_offset <= data.len());
    }
}

/// An H.264 payload.
///
/// # Panics
/// When a size is read where no keyframe begins, or is nothing, which is a bug here.
pub fn h264(data: &[u8]) {
    let is_start = h264::is_keyframe_start(data);
    if let Some((width, height)) = h264::resolution(data) {
        assert!(is_start && width > 0 && height > 0);
    }
}

/// Two dependency descriptors, the second read with the structure of the first. The first byte
/// says where the second begins.
pub fn dependency(data: &[u8]) {
    let Some((&at, rest)) = data.split_first() else {
        return;
    };
    let first = DependencyDescriptor::parse(data, None).ok();
    let current = first.and_then(|d| d.structure);
    let (one, two) = rest
        .split_at_checked(usize::from(at))
        .unwrap_or((rest, &[]));
    let structure = DependencyDescriptor::parse(one, current.as_ref())
        .ok()
        .and_then(|d| d.structure)
        .or(current);
    if let Some(s) = &structure {
        for target in 0..s.decode_targets {
            let _ = s.layer_of(target);
        }
    }
    let whole = DependencyDescriptor::parse(two, structure.as_ref());
    let brief = FrameRelations::parse(two, structure.as_ref());
    // What is read in brief is what is read in full.
    if let (Ok(whole), Ok(brief)) = (&whole, &brief)
        && let Some(frame) = &whole.frame
    {
        assert_eq!(
            (frame.spatial_id, frame.temporal_id),
            (brief.spatial_id, brief.temporal_id)
        );
        assert_eq!(frame.frame_diffs.is_empty(), !brief.depends);
        let bits = |which: fn(&Indication) -> bool| {
            let mut mask = 0u32;
            for (i, _) in (0u32..).zip(&frame.indications).filter(|(_, x)| which(x)) {
                mask |= 1u32.wrapping_shl(i);
            }
            mask
        };
        assert_eq!(bits(|i| *i != Indication::NotPresent), brief.present);
        assert_eq!(bits(|i| *i == Indication::Switch), brief.switch);
        assert_eq!(whole.active_decode_targets, brief.active_decode_targets);
        // And with other active targets it says the same but for those.
        let mut out = [0; 600];
        let length = write_active_targets(two, structure.as_ref(), 1, &mut out)
            .expect("what was read can be written");
        let written = out.get(..length).unwrap_or_default();
        let again = DependencyDescriptor::parse(written, structure.as_ref())
            .expect("what was written can be read");
        assert_eq!(again.active_decode_targets, Some(1));
        assert_eq!(
            (again.head.frame_number, again.frame, again.structure),
            (
                whole.head.frame_number,
                whole.frame.clone(),
                whole.structure.clone()
            )
        );
    }
}
