//! A receiver that knows what was sent, and checks that what reaches it can be decoded.

use super::sender::{FrameId, Kind, Sender, read_trailer};
use althing_rtp::seq::{self, Extender};
use althing_rtp::vp8::Vp8;
use althing_rtp::vp9::Vp9;
use althing_rtp::{RtpPacket, rtx};
use std::collections::{BTreeMap, BTreeSet};

/// One packet of the source: encoding and its number.
type SourcePacket = (FrameId, u8);

#[derive(Debug, Clone, Copy)]
struct Seen {
    packet: SourcePacket,
    timestamp: u32,
    marker: bool,
    picture: Option<u16>,
    tl0: Option<u8>,
    /// Template id and frame number of the descriptor, and the offset and count of its structure.
    descriptor: Option<(u8, u16)>,
}

#[derive(Debug, Default)]
pub(super) struct Receiver {
    extender: Extender,
    packets: BTreeMap<u64, Seen>,
    got: BTreeSet<SourcePacket>,
    /// Structures as they came: offset, and how many templates.
    structures: Vec<(u8, u8)>,
    active_targets: Vec<u32>,
    payloads: BTreeMap<SourcePacket, Vec<u8>>,
}

impl Receiver {
    pub(super) fn media(&mut self, kind: Kind, packet: &RtpPacket<'_>) {
        let number = self.extender.extend(packet.sequence());
        self.take(kind, number, packet, packet.payload());
    }

    /// A retransmission: what it holds goes where its original sequence number says.
    pub(super) fn retransmission(&mut self, kind: Kind, packet: &RtpPacket<'_>) {
        let (sequence, body) = rtx::unwrap(packet.payload()).unwrap();
        let number = seq::extend(self.extender.highest().unwrap(), sequence);
        self.take(kind, number, packet, body);
    }

    fn take(&mut self, kind: Kind, number: u64, packet: &RtpPacket<'_>, payload: &[u8]) {
        let id = read_trailer(payload);
        let mut seen = Seen {
            packet: id,
            timestamp: packet.timestamp(),
            marker: packet.marker(),
            picture: None,
            tl0: None,
            descriptor: None,
        };
        match kind {
            Kind::Vp8 { .. } => {
                let d = Vp8::parse(payload).unwrap();
                seen.picture = d.picture_id.map(|p| p.0);
                seen.tl0 = d.tl0_index;
            }
            Kind::Vp9 { .. } => {
                let d = Vp9::parse(payload).unwrap();
                seen.picture = d.picture_id.map(|p| p.0);
                seen.tl0 = d.tl0_index;
            }
            Kind::Av1 { .. } | Kind::Av1Temporal => {
                let d = packet.extension(11).unwrap();
                seen.descriptor = Some((d[0] & 0x3f, u16::from_be_bytes([d[1], d[2]])));
                let structure = althing_rtp::dependency::DependencyDescriptor::parse(d, None);
                let structure = structure.ok();
                let active = structure.as_ref().and_then(|d| d.active_decode_targets);
                self.active_targets.extend(active);
                if let Some(s) = structure.and_then(|d| d.structure) {
                    let entry = (s.template_id_offset, s.templates.len() as u8);
                    if self.structures.last() != Some(&entry) {
                        self.structures.push(entry);
                    }
                    assert!(s.template(seen.descriptor.unwrap().0).is_some());
                }
            }
            Kind::H264 => {}
        }
        if let Some(before) = self.packets.insert(number, seen) {
            assert_eq!(before.packet, id, "two packets under number {number}");
        }
        self.got.insert(id);
        self.payloads.insert(id, payload.to_vec());
    }

    /// The numbers that are missing between the first and the last.
    pub(super) fn missing(&self) -> Vec<u16> {
        let (Some((first, _)), Some((last, _))) = (
            self.packets.first_key_value(),
            self.packets.last_key_value(),
        ) else {
            return Vec::new();
        };
        (*first..*last)
            .filter(|n| !self.packets.contains_key(n))
            .map(seq::truncate)
            .collect()
    }

    pub(super) fn len(&self) -> usize {
        self.packets.len()
    }

    pub(super) fn has_packet(&self, packet: SourcePacket) -> bool {
        self.got.contains(&packet)
    }

    pub(super) fn structures(&self) -> &[(u8, u8)] {
        &self.structures
    }

    /// What descriptors told of active decode targets.
    pub(super) fn active_targets(&self) -> &[u32] {
        &self.active_targets
    }

    pub(super) fn last_timestamp(&self) -> u32 {
        self.packets.values().next_back().unwrap().timestamp
    }

    /// Checks that what stands behind descriptors came as it was sent.
    pub(super) fn check_bodies(&self, sender: &Sender) {
        for (id, payload) in &self.payloads {
            assert!(payload.ends_with(&sender.bodies[id]));
        }
    }

    /// Frames of which the last packet has come, in order.
    pub(super) fn frames(&self) -> Vec<FrameId> {
        let mut frames: Vec<FrameId> = Vec::new();
        for seen in self.packets.values() {
            if frames.last() != Some(&seen.packet.0) {
                frames.push(seen.packet.0);
            }
        }
        frames
    }

    fn has(&self, sender: &Sender, id: FrameId) -> bool {
        let frame = &sender.frames[&id];
        (0..frame.packets).all(|part| self.got.contains(&(id, part)))
    }

    /// Checks everything that holds whatever was lost. `lost` says which packets never came to the
    /// bridge, or came late.
    pub(super) fn check(&self, sender: &Sender, lost: &BTreeSet<SourcePacket>) {
        let whole = |id: FrameId| {
            let frame = &sender.frames[&id];
            (0..frame.packets).all(|part| !lost.contains(&(id, part)))
        };
        // Only a keyframe of another encoding may come amid a frame, where encodings interleave.
        let all: Vec<FrameId> = self.packets.values().map(|seen| seen.packet.0).collect();
        let switches = all.windows(2).filter(|w| w[0].0 != w[1].0);
        let cut: BTreeSet<FrameId> = switches
            .filter(|_| !lost.is_empty())
            .map(|w| w[0])
            .collect();
        let mut before: Option<(u64, Seen)> = None;
        for (&number, &seen) in &self.packets {
            let frame = &sender.frames[&seen.packet.0];
            if let Some((at, last)) = before {
                let step = seq::timestamp_distance(last.timestamp, seen.timestamp);
                let same = (last.packet.0.0, last.packet.0.1) == (frame.id.0, frame.id.1);
                assert!(
                    if same { step == 0 } else { step > 0 },
                    "time goes by {step} from {last:?} to {seen:?}"
                );
                let gap = number - at - 1;
                let other = last.packet.0.0 != seen.packet.0.0;
                let between = lost
                    .iter()
                    .filter(|p| {
                        let after = p.0.0 == last.packet.0.0 && **p > last.packet;
                        let before = p.0.0 == seen.packet.0.0 && **p < seen.packet;
                        after && before || other && (after || before)
                    })
                    .count() as u64;
                assert!(
                    gap <= between,
                    "a gap of {gap}, lost {between}: {last:?} {seen:?}"
                );
                self.check_ids(sender, &last, &seen, lost);
            }
            before = Some((number, seen));
            for id in &frame.refs {
                if whole(*id) {
                    assert!(
                        self.has(sender, *id),
                        "{frame:?} refers to what did not come"
                    );
                }
            }
            if whole(frame.id) && !cut.contains(&frame.id) {
                assert!(self.has(sender, frame.id), "{frame:?} was cut");
            }
        }
    }

    fn check_ids(&self, sender: &Sender, last: &Seen, seen: &Seen, lost: &BTreeSet<SourcePacket>) {
        let (before, frame) = (
            &sender.frames[&last.packet.0],
            &sender.frames[&seen.packet.0],
        );
        let same = (before.id.0, before.id.1) == (frame.id.0, frame.id.1);
        let switched = before.id.0 != frame.id.0;
        // After a pause numbers go on from the last that was sent, be it lost.
        let goes_on = |step: u16, apart: u32| {
            let step = u32::from(step);
            let pause = frame.key && (step == 1 || !lost.is_empty() && (1..300).contains(&step));
            assert!(step == apart || pause, "{step} {apart} {last:?} {seen:?}");
        };
        if let (Some(a), Some(b)) = (last.picture, seen.picture) {
            let step = b.wrapping_sub(a) & 0x7fff;
            match sender.kind {
                _ if same => assert_eq!(step, 0),
                Kind::Vp8 { .. } if lost.is_empty() => assert_eq!(step, 1, "{last:?} {seen:?}"),
                Kind::Vp8 { .. } => assert!((1..300).contains(&step), "{last:?} {seen:?}"),
                _ if switched => goes_on(step, 1),
                // References are told as distances, but for a keyframe after a pause.
                _ => goes_on(step, frame.id.1 - before.id.1),
            }
        }
        if let (Some(a), Some(b), true) = (last.tl0, seen.tl0, lost.is_empty()) {
            let steps = u8::from(!same && frame.temporal == 0);
            assert_eq!(b.wrapping_sub(a), steps, "{before:?} {frame:?}");
        }
        if let (Some((_, a)), Some((_, b))) = (last.descriptor, seen.descriptor) {
            let step = b.wrapping_sub(a);
            if switched {
                goes_on(step, 1);
            } else {
                let spatial = u32::from(sender.kind.spatial());
                let place = |id: FrameId| id.1 * spatial + u32::from(id.2);
                goes_on(step, place(frame.id) - place(before.id));
            }
        }
    }

    /// Checks besides that nothing at all is missing: after a path that lost nothing.
    pub(super) fn check_whole(&self, sender: &Sender) {
        self.check(sender, &BTreeSet::new());
        assert_eq!(self.missing(), [0u16; 0]);
        let mut seen = self.packets.values().peekable();
        while let Some(packet) = seen.next() {
            let Some(next) = seen.peek() else { break };
            let ends = (packet.packet.0.0, packet.packet.0.1) != (next.packet.0.0, next.packet.0.1);
            assert_eq!(packet.marker, ends, "{packet:?} {next:?}");
        }
    }
}
