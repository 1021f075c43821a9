//! What the packets of one encoding say about its layers, read once for all receivers.

use crate::frame_ids::FrameIds;
use althing_model::profile::Codec;
use althing_rtp::av1::Av1;
use althing_rtp::dependency::{
    DependencyStructure, DescriptorHead, FrameRelations, Indication, write_active_targets,
};
use althing_rtp::h264::{self, KeyUnits};
use althing_rtp::vp8::Vp8;
use althing_rtp::vp9::{Vp9, Vp9Structure};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Structures remembered: packets that come late belong to an older one.
const STRUCTURES: usize = 6;
/// The longest descriptor that an extension can hold.
const DESCRIPTOR: usize = 255;
/// Without a marked frame for so long, frames that may be climbed at are assumed not to be marked.
const UNMARKED: Duration = Duration::from_secs(3);

/// How to tell which layers a packet belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// Not at all, nor where a stream may begin.
    Blind,
    /// By its spatial and temporal layer.
    Layers,
    /// By the decode targets its dependency descriptor names.
    Targets,
}

/// Where a receiver may take up higher temporal layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Climb {
    No,
    /// Into the frame's own layer: it refers to the base layer only.
    Into,
    /// Into any layer above the frame's own.
    Above,
}

/// What matters about one packet.
#[derive(Debug, Clone, Copy)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "a packet's properties are independent of each other"
)]
pub(crate) struct Facts {
    pub(crate) layout: Layout,
    pub(crate) spatial: u8,
    pub(crate) temporal: u8,
    pub(crate) timestamp: u32,
    /// A receiver that has seen nothing may begin here.
    pub(crate) key: bool,
    /// It arrived in order and is the first of a picture, or of a frame that says by itself whether
    /// one may switch there: views may be changed here.
    pub(crate) opens: bool,
    /// First packet of its layer's frame.
    pub(crate) begins: bool,
    /// Last packet of its layer's frame.
    pub(crate) ends: bool,
    /// The sender marked it as the last of its picture.
    pub(crate) marker: bool,
    pub(crate) climb: Climb,
    /// Frames of upper spatial layers in the same picture may refer to it.
    pub(crate) referred_above: bool,
    /// Decode targets it is part of, and those one may switch to here.
    pub(crate) present: u32,
    pub(crate) switch: u32,
    /// Its descriptor says which decode targets are active.
    pub(crate) tells_active: bool,
    pub(crate) ids: FrameIds,
    /// The picture id in 64 bits, where views close them up.
    pub(crate) picture: Option<u64>,
}

impl Facts {
    const fn new(timestamp: u32, marker: bool, ids: FrameIds) -> Self {
        Self {
            layout: Layout::Layers,
            spatial: 0,
            temporal: 0,
            timestamp,
            key: false,
            opens: false,
            begins: false,
            ends: marker,
            marker,
            climb: Climb::No,
            referred_above: true,
            present: 0,
            switch: 0,
            tells_active: false,
            ids,
            picture: None,
        }
    }

    /// Whether both belong to one frame of one layer.
    pub(crate) fn same_frame(&self, other: &Self) -> bool {
        self.timestamp == other.timestamp && self.spatial == other.spatial
    }
}

/// A packet to be read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Unread<'a> {
    pub(crate) codec: Codec,
    pub(crate) number: u64,
    pub(crate) timestamp: u32,
    pub(crate) marker: bool,
    pub(crate) body: &'a [u8],
    pub(crate) descriptor: Option<&'a [u8]>,
    /// No packet of the encoding has a higher number.
    pub(crate) newest: bool,
    /// Its payload is encrypted end to end: only descriptors mean anything.
    pub(crate) encrypted: bool,
}

/// A packet's payload descriptor, where it has told something.
enum Descriptor {
    Vp8(Vp8),
    Vp9(Vp9),
    None,
}

/// One layer that an encoding has.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Shape {
    pub(crate) spatial: u8,
    pub(crate) temporal: u8,
    /// The smaller side in pixels, where known.
    pub(crate) height: Option<u32>,
    pub(crate) fps: f32,
    /// Its decode target, where layers are told by those.
    pub(crate) target: u8,
}

/// The state of reading one encoding.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    pub(crate) codec: Option<Codec>,
    pub(crate) layout: Option<Layout>,
    /// The last packet in order.
    newest: Option<(u64, Facts)>,
    /// Highest layers seen.
    pub(crate) top_temporal: u8,
    pub(crate) top_spatial: u8,
    heights: [Option<u32>; 8],
    picture: Option<u64>,
    /// Spatial layers of which since the last keyframe some frame was of no use to those above, one
    /// bit each.
    unshared: u8,
    /// When a frame was last marked as one to climb at; the first packet counts.
    climbed_at: Option<Instant>,
    /// With the number of the packet that brought each; ascending.
    structures: VecDeque<(u64, DependencyStructure)>,
    pub(crate) active: u32,
    unit: AccessUnit,
    /// The layers are not what they were when this was last taken.
    changed: bool,
}

/// The H.264 access unit being received.
#[derive(Debug, Default)]
struct AccessUnit {
    idr: bool,
    parameters: bool,
    /// The sender puts parameter sets before its keyframes.
    inline: bool,
}

impl Reader {
    /// Whether layers have come, gone or changed since the last call.
    pub(crate) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// The last packet in order before this one.
    pub(crate) fn before(&self) -> Option<(u64, Facts)> {
        self.newest
    }

    /// Reads a packet. It becomes the last one in order, if it is; see [`before`](Self::before).
    pub(crate) fn read(&mut self, packet: Unread<'_>, now: Instant) -> Facts {
        let relations = self.relations(&packet);
        let (mut facts, descriptor) = self.look(&packet, relations.as_ref());
        let next_picture = self
            .newest
            .is_none_or(|(_, before)| before.timestamp != packet.timestamp);
        let opens = packet.newest && next_picture;
        self.codec = Some(packet.codec);
        match descriptor {
            Descriptor::Vp8(d) => self.vp8(&packet, &mut facts, &d, now),
            Descriptor::Vp9(d) => self.vp9(&packet, &mut facts, &d, opens),
            Descriptor::None if facts.layout != Layout::Layers => {}
            Descriptor::None if packet.codec == Codec::H264 => {
                facts.begins = opens;
                self.h264(&packet, &mut facts, opens);
            }
            Descriptor::None => {
                facts.begins = opens;
                facts.key &= opens || !packet.newest;
            }
        }
        if self.layout != Some(facts.layout) && packet.newest {
            self.layout = Some(facts.layout);
            self.changed = true;
        }
        if let Some(Ok(r)) = relations {
            facts.key |= facts.layout == Layout::Layers && Self::is_key(&r);
            self.keep_structure(&packet, r);
        }
        // A descriptor says of each layer's frame by itself whether one may switch there.
        let each = facts.layout == Layout::Targets && packet.newest;
        facts.opens = (opens || each) && facts.begins;
        if packet.newest {
            self.newest = Some((packet.number, facts));
        }
        facts
    }

    /// Reads a packet again that was kept: to which layers it belongs, and its numbers.
    pub(crate) fn reread(&self, packet: &Unread<'_>) -> Facts {
        let relations = self.relations(packet);
        let mut facts = self.look(packet, relations.as_ref()).0;
        if let Some(Err(_)) = relations {
            // What would explain it has been forgotten.
            facts.present = 0;
        }
        facts
    }

    /// What a packet says by itself.
    fn look(
        &self,
        packet: &Unread<'_>,
        relations: Option<&Result<FrameRelations, DescriptorHead>>,
    ) -> (Facts, Descriptor) {
        let ids = FrameIds::of(packet.codec, packet.body, packet.descriptor);
        let mut facts = Facts::new(packet.timestamp, packet.marker, ids);
        if let Some(Ok(r)) = relations
            && let Some(s) = &r.structure
        {
            facts.ids.structure = Some((s.template_id_offset, s.templates.len() as u8));
        }
        let own_ids = ids.picture.is_some() || relations.is_none();
        match (packet.codec, relations) {
            (Codec::Vp8, _) if own_ids => {
                if let Ok(d) = Vp8::parse(packet.body) {
                    facts.temporal = d.temporal_id.unwrap_or(0);
                    facts.begins = d.start_of_partition && d.partition == 0;
                    facts.key = d.keyframe_start;
                    if let Some((id, true)) = d.picture_id {
                        let near = self.picture.unwrap_or_else(|| 1 << 32 | u64::from(id));
                        facts.picture = Some(extend_picture(near, id));
                    }
                    return (facts, Descriptor::Vp8(d));
                }
            }
            (Codec::Vp9, _) if own_ids => {
                if let Ok(d) = Vp9::parse(packet.body) {
                    if let Some(layer) = d.layer {
                        facts.spatial = layer.spatial_id;
                        facts.temporal = layer.temporal_id;
                        if layer.switching_point {
                            facts.climb = Climb::Above;
                        }
                    }
                    facts.begins = d.start_of_frame;
                    facts.ends = d.end_of_frame;
                    facts.referred_above = !d.not_a_reference;
                    return (facts, Descriptor::Vp9(d));
                }
            }
            (_, Some(relations)) => Self::targets(relations, &mut facts),
            (_, None) if packet.encrypted => {
                facts.layout = Layout::Blind;
                facts.key = true;
            }
            (Codec::Av1, None) => {
                facts.key = Av1::parse(packet.body).is_ok_and(|a| a.new_sequence);
            }
            _ => {}
        }
        (facts, Descriptor::None)
    }

    fn relations(&self, packet: &Unread<'_>) -> Option<Result<FrameRelations, DescriptorHead>> {
        let bytes = packet.descriptor?;
        let head = DescriptorHead::parse(bytes).ok()?;
        let current = self.structure(packet.number);
        Some(FrameRelations::parse(bytes, current).map_err(|_| head))
    }

    fn is_key(relations: &FrameRelations) -> bool {
        relations.head.start_of_frame && relations.structure.is_some() && !relations.depends
    }

    fn vp8(&mut self, packet: &Unread<'_>, facts: &mut Facts, d: &Vp8, now: Instant) {
        let marked = d.layer_sync && facts.temporal > 0;
        let climbed_at = self.climbed_at.get_or_insert(now);
        if marked || facts.key {
            *climbed_at = now;
        }
        let unmarked = now.saturating_duration_since(*climbed_at) >= UNMARKED;
        facts.climb = match facts.temporal {
            0 if unmarked => Climb::Above,
            _ if marked => Climb::Into,
            _ => Climb::No,
        };
        if packet.newest {
            self.picture = facts.picture.or(self.picture);
            self.see_temporal(facts.temporal);
            if let (Some((width, height)), false) = (d.resolution, packet.encrypted) {
                self.see_height(0, u32::from(width.min(height)));
            }
        }
    }

    fn vp9(&mut self, packet: &Unread<'_>, facts: &mut Facts, d: &Vp9, opens: bool) {
        facts.key = d.keyframe_start && (opens || facts.spatial == 0);
        if facts.key && packet.newest {
            self.unshared = 0;
        }
        self.unshared |= u8::from(!facts.referred_above) << (facts.spatial & 7);
        if packet.newest {
            self.see_temporal(facts.temporal);
            match &d.structure {
                Some(structure) => self.see_structure(structure),
                None if facts.spatial > self.top_spatial => {
                    self.top_spatial = facts.spatial;
                    self.changed = true;
                }
                None => {}
            }
        }
    }

    fn see_structure(&mut self, structure: &Vp9Structure) {
        let top = structure.spatial_layers.clamp(1, 8) - 1;
        self.changed |= top != self.top_spatial;
        self.top_spatial = top;
        if let Some(sizes) = structure.resolutions {
            for (spatial, (width, height)) in (0..=top).zip(sizes) {
                self.see_height(spatial, u32::from(width.min(height)));
            }
        }
    }

    /// A start is where parameter sets stand, and without any an IDR picture's first slice.
    fn h264(&mut self, packet: &Unread<'_>, facts: &mut Facts, opens: bool) {
        let unit = &mut self.unit;
        if opens {
            (unit.idr, unit.parameters) = (false, false);
        }
        let current = self
            .newest
            .is_none_or(|(_, before)| opens || before.timestamp == packet.timestamp);
        let found = KeyUnits::find(packet.body);
        if !current {
            return;
        }
        unit.inline |= found.parameters;
        facts.key = found.parameters && !unit.parameters || found.idr && !unit.idr && !unit.inline;
        unit.idr |= found.idr;
        unit.parameters |= found.parameters;
        if found.parameters
            && packet.newest
            && let Some((width, height)) = h264::resolution(packet.body)
        {
            self.see_height(0, u32::from(width.min(height)));
        }
    }

    fn targets(relations: &Result<FrameRelations, DescriptorHead>, facts: &mut Facts) {
        facts.layout = Layout::Targets;
        match relations {
            Ok(r) => {
                facts.spatial = r.spatial_id;
                facts.temporal = r.temporal_id;
                facts.begins = r.head.start_of_frame;
                facts.ends = r.head.end_of_frame;
                facts.present = r.present;
                facts.tells_active = r.active_decode_targets.is_some();
                facts.switch = if r.depends { r.switch } else { 0 };
                facts.key = Self::is_key(r);
            }
            // Its structure has not come yet, and may still: nobody should go without the packet.
            Err(head) => {
                facts.present = u32::MAX;
                facts.begins = head.start_of_frame;
                facts.ends = head.end_of_frame;
                facts.key = false;
            }
        }
    }

    fn keep_structure(&mut self, packet: &Unread<'_>, relations: FrameRelations) {
        let mut changed = false;
        if packet.newest
            && let Some(active) = relations.active_decode_targets
        {
            changed |= active != self.active;
            self.active = active;
        }
        if let Some(structure) = relations.structure {
            let after = |(number, _): &(u64, _)| *number < packet.number;
            let at = self.structures.partition_point(after);
            changed |= self.structures.back().is_none_or(|(_, s)| *s != structure);
            self.structures.insert(at, (packet.number, structure));
            if self.structures.len() > STRUCTURES {
                self.structures.pop_front();
            }
        }
        if changed && self.layout == Some(Layout::Targets) {
            self.see_targets();
        }
    }

    fn see_targets(&mut self) {
        let shapes = self.target_shapes();
        self.changed = true;
        if let Some(top) = shapes.last() {
            self.top_spatial = top.spatial;
            self.top_temporal = top.temporal;
        }
        for shape in shapes {
            if let Some(height) = shape.height {
                self.heights[usize::from(shape.spatial & 7)] = Some(height);
            }
        }
    }

    /// The structure that explains this packet.
    fn structure(&self, number: u64) -> Option<&DependencyStructure> {
        let after = self.structures.partition_point(|(n, _)| *n <= number);
        let (_, structure) = self.structures.get(after.checked_sub(1)?)?;
        Some(structure)
    }

    /// Whether whoever has an upper spatial layer has had everything of this one too.
    pub(crate) const fn is_shared(&self, spatial: u8) -> bool {
        self.unshared >> (spatial & 7) & 1 == 0
    }

    /// Whether some frame other than a keyframe lets one go from this decode target to that.
    pub(crate) fn can_switch(&self, from: u8, to: u8) -> bool {
        let Some((_, structure)) = self.structures.back() else {
            return false;
        };
        structure.templates.iter().any(|t| {
            let of = |target: u8| t.indications.get(usize::from(target));
            // Within the picture of a keyframe, frames refer back no further than to its first.
            t.frame_diffs.iter().any(|d| *d > t.spatial_id)
                && of(from).is_some_and(|i| *i != Indication::NotPresent)
                && of(to) == Some(&Indication::Switch)
        })
    }

    /// A packet's descriptor with these decode targets as the active ones.
    pub(crate) fn describe(
        &self,
        number: u64,
        descriptor: &[u8],
        active: u32,
    ) -> Option<([u8; DESCRIPTOR], usize)> {
        let mut out = [0; DESCRIPTOR];
        let current = self.structure(number);
        let length = write_active_targets(descriptor, current, active, &mut out).ok()?;
        Some((out, length))
    }

    fn see_temporal(&mut self, temporal: u8) {
        if temporal > self.top_temporal {
            self.top_temporal = temporal;
            self.changed = true;
        }
    }

    fn see_height(&mut self, spatial: u8, height: u32) {
        let known = &mut self.heights[usize::from(spatial & 7)];
        if height > 0 && *known != Some(height) {
            *known = Some(height);
            self.changed = true;
        }
    }

    /// The layers of the encoding, ascending; none before the first packet.
    pub(crate) fn shapes(&self) -> Vec<Shape> {
        match self.layout {
            None => Vec::new(),
            Some(Layout::Blind) => vec![Shape {
                spatial: 0,
                temporal: 0,
                height: None,
                fps: 30.0,
                target: 0,
            }],
            Some(Layout::Layers) => (0..=self.top_spatial)
                .flat_map(|spatial| (0..=self.top_temporal).map(move |t| (spatial, t)))
                .map(|(spatial, temporal)| Shape {
                    spatial,
                    temporal,
                    height: self.heights[usize::from(spatial & 7)],
                    fps: fps(temporal, self.top_temporal),
                    target: 0,
                })
                .collect(),
            Some(Layout::Targets) => self.target_shapes(),
        }
    }

    fn target_shapes(&self) -> Vec<Shape> {
        let Some((_, structure)) = self.structures.back() else {
            return Vec::new();
        };
        let top = structure.templates.iter().map(|t| t.temporal_id).max();
        let mut shapes: Vec<Shape> = (0..structure.decode_targets.min(32))
            .filter(|target| self.active >> target & 1 == 1)
            .filter_map(|target| {
                let (spatial, temporal) = structure.layer_of(target)?;
                let size = structure.resolutions.get(usize::from(spatial));
                Some(Shape {
                    spatial,
                    temporal,
                    height: size.map(|(width, height)| *width.min(height)),
                    fps: fps(temporal, top.unwrap_or(0)),
                    target,
                })
            })
            .collect();
        shapes.sort_by_key(|s| (s.spatial, s.temporal, s.target));
        shapes.dedup_by_key(|s| (s.spatial, s.temporal));
        shapes
    }
}

/// Each temporal layer doubles the rate.
fn fps(temporal: u8, top: u8) -> f32 {
    30.0 / f32::from(1u16 << top.saturating_sub(temporal).min(7))
}

/// The number nearest to `near` whose low 15 bits are `id`.
const fn extend_picture(near: u64, id: u16) -> u64 {
    let forward = (id as u64).wrapping_sub(near) & 0x7fff;
    if forward < 0x4000 {
        near.saturating_add(forward)
    } else {
        near.saturating_sub(0x8000 - forward)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_height_of_h264_is_that_of_its_parameter_sets() {
        let mut reader = Reader::default();
        let now = althing_testkit::epoch();
        let mut read = |number: u64, body: &[u8], newest| {
            let packet = Unread {
                codec: Codec::H264,
                number,
                timestamp: number as u32 * 3000,
                marker: true,
                body,
                descriptor: None,
                newest,
                encrypted: false,
            };
            reader.read(packet, now);
            let changed = reader.take_changed();
            (changed, reader.shapes()[0].height)
        };
        // Of a browser: 640x480, and 180x320, which is held upright.
        let large = [
            0x67, 0x42, 0xc0, 0x1e, 0x8c, 0x8d, 0x40, 0x50, 0x1e, 0xd3, 0x70, 0x10, 0xd0, 0x10,
            0x78, 0x44, 0x23, 0x50,
        ];
        let small = [
            0x67, 0x42, 0xc0, 0x0d, 0x8c, 0x8d, 0x41, 0x81, 0x4b, 0x3f, 0x37, 0x01, 0x0d, 0x01,
            0x07, 0x84, 0x42, 0x35,
        ];
        assert_eq!(read(1, &[0x41, 0x9a], true), (true, None));
        assert_eq!(read(2, &large, true), (true, Some(480)));
        assert_eq!(read(3, &[0x41, 0x9a], true), (false, Some(480)));
        assert_eq!(read(5, &small, true), (true, Some(180)));
        // One that comes late, or says nothing, changes nothing.
        assert_eq!(read(4, &large, false), (false, Some(180)));
        assert_eq!(read(6, &large[..6], true), (false, Some(180)));
    }

    #[test]
    fn picture_ids_extend_to_the_nearest() {
        let near = (1 << 32) | 0x7ffe;
        assert_eq!(extend_picture(near, 0x7fff), near + 1);
        assert_eq!(extend_picture(near, 1), near + 3);
        assert_eq!(extend_picture(near, 0x7ff0), near - 14);
        assert_eq!(extend_picture(near, 0x7ffe), near);
    }
}
