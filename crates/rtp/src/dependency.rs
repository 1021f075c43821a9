//! The AV1 dependency descriptor header extension (AV1 RTP payload specification 1.0, annex A).
//! Other codecs carry it too.

use crate::RtpError;
use crate::bits::{BitReader, BitWriter};

const WHAT: &str = "dependency descriptor";
/// Template ids have six bits.
const MAX_TEMPLATES: usize = 64;

/// The three bytes every descriptor begins with, and whether it brings a structure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DescriptorHead {
    /// First packet of a frame.
    pub start_of_frame: bool,
    /// Last packet of a frame.
    pub end_of_frame: bool,
    /// Which template, 0 to 63, still with the structure's offset.
    pub template_id: u8,
    /// Counts frames.
    pub frame_number: u16,
    /// A structure is attached: the frame is a keyframe.
    pub has_structure: bool,
}

impl DescriptorHead {
    /// Reads no further than the flags.
    ///
    /// # Errors
    /// [`RtpError::Truncated`] when fewer than three bytes are there.
    pub fn parse(bytes: &[u8]) -> Result<Self, RtpError> {
        let ([b0, n0, n1], rest) = bytes
            .split_first_chunk::<3>()
            .ok_or(RtpError::Truncated(WHAT))?;
        Ok(Self {
            start_of_frame: b0 & 0x80 != 0,
            end_of_frame: b0 & 0x40 != 0,
            template_id: b0 & 0x3f,
            frame_number: u16::from_be_bytes([*n0, *n1]),
            has_structure: rest.first().is_some_and(|b| b & 0x80 != 0),
        })
    }
}

/// How a frame relates to a decode target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Indication {
    /// No part of it.
    NotPresent,
    /// May be left out.
    Discardable,
    /// One may switch to the target here.
    Switch,
    /// Must be there.
    Required,
}

impl Indication {
    const fn from_bits(bits: u8) -> Self {
        match bits & 3 {
            0 => Self::NotPresent,
            1 => Self::Discardable,
            2 => Self::Switch,
            _ => Self::Required,
        }
    }
}

/// One template of a structure.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Template {
    /// Spatial layer.
    pub spatial_id: u8,
    /// Temporal layer.
    pub temporal_id: u8,
    /// One per decode target.
    pub indications: Vec<Indication>,
    /// Distances to the frames referred to, 1 to 16 each.
    pub frame_diffs: Vec<u8>,
    /// Distance to the previous frame of each chain.
    pub chain_diffs: Vec<u8>,
}

/// A template dependency structure: holds until the next one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DependencyStructure {
    /// Subtracted from template ids, modulo 64.
    pub template_id_offset: u8,
    /// Decode targets, 1 to 32.
    pub decode_targets: u8,
    /// In order of their ids.
    pub templates: Vec<Template>,
    /// Chains, 0 to 32.
    pub chains: u8,
    /// The chain that protects each decode target; empty without chains.
    pub protected_by: Vec<u8>,
    /// Width and height per spatial layer, if given.
    pub resolutions: Vec<(u32, u32)>,
}

impl DependencyStructure {
    /// The template with this id as it stands in a descriptor.
    #[must_use]
    pub fn template(&self, template_id: u8) -> Option<&Template> {
        let index = template_id
            .wrapping_add(64)
            .wrapping_sub(self.template_id_offset)
            % 64;
        self.templates.get(usize::from(index))
    }

    /// Spatial and temporal layer of a decode target: the greatest of its templates.
    #[must_use]
    pub fn layer_of(&self, decode_target: u8) -> Option<(u8, u8)> {
        self.templates
            .iter()
            .filter(|t| {
                t.indications
                    .get(usize::from(decode_target))
                    .is_some_and(|i| *i != Indication::NotPresent)
            })
            .map(|t| (t.spatial_id, t.temporal_id))
            .reduce(|a, b| (a.0.max(b.0), a.1.max(b.1)))
    }
}

/// A whole descriptor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DependencyDescriptor {
    /// Its first three bytes.
    pub head: DescriptorHead,
    /// The structure it brings.
    pub structure: Option<DependencyStructure>,
    /// Active decode targets, one bit each: as written, or all with a new structure.
    pub active_decode_targets: Option<u32>,
    /// The frame's own relations, where a structure explains its template.
    pub frame: Option<Template>,
}

impl DependencyDescriptor {
    /// Reads a descriptor; `current` is the structure last received on the stream.
    ///
    /// # Errors
    /// [`RtpError`] when it is cut short, contradicts itself, or needs a structure that is not
    /// there.
    pub fn parse(bytes: &[u8], current: Option<&DependencyStructure>) -> Result<Self, RtpError> {
        let head = DescriptorHead::parse(bytes)?;
        let rest = bytes.get(3..).unwrap_or_default();
        if rest.is_empty() {
            return Ok(Self {
                head,
                structure: None,
                active_decode_targets: None,
                frame: current.and_then(|s| s.template(head.template_id)).cloned(),
            });
        }
        let mut r = BitReader::new(rest, WHAT);
        let Flags {
            structure: has_structure,
            active_mask: has_mask,
            custom_indications,
            custom_frame_diffs,
            custom_chains,
        } = Flags::read(&mut r)?;
        let structure = if has_structure {
            Some(read_structure(&mut r)?)
        } else {
            None
        };
        let s = structure
            .as_ref()
            .or(current)
            .ok_or(RtpError::Invalid(WHAT))?;
        let targets = u32::from(s.decode_targets);
        let active_decode_targets = if has_mask {
            Some(r.bits(targets)?)
        } else if has_structure {
            Some(all_targets(targets))
        } else {
            None
        };
        let mut frame = s
            .template(head.template_id)
            .cloned()
            .ok_or(RtpError::Invalid(WHAT))?;
        if custom_indications {
            frame.indications = read_list(targets, || Ok(Indication::from_bits(r.small(2)?)))?;
        }
        if custom_frame_diffs {
            frame.frame_diffs.clear();
            loop {
                let size = r.small(2)?;
                if size == 0 {
                    break;
                }
                let diff = r.bits(u32::from(size).saturating_mul(4))?;
                // Twelve bits are possible, but nothing refers back further than a byte tells.
                let diff = u8::try_from(diff.saturating_add(1)).unwrap_or(u8::MAX);
                frame.frame_diffs.push(diff);
            }
        }
        if custom_chains {
            frame.chain_diffs = read_list(u32::from(s.chains), || r.small(8))?;
        }
        Ok(Self {
            head,
            active_decode_targets,
            frame: Some(frame),
            structure,
        })
    }
}

/// What one packet's descriptor says about its frame, read without allocating unless it brings a
/// structure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrameRelations {
    /// The descriptor's first three bytes.
    pub head: DescriptorHead,
    /// The structure it brings.
    pub structure: Option<DependencyStructure>,
    /// Active decode targets, one bit each: as written, or all with a new structure.
    pub active_decode_targets: Option<u32>,
    /// Spatial layer.
    pub spatial_id: u8,
    /// Temporal layer.
    pub temporal_id: u8,
    /// Decode targets that the frame is a part of, one bit each.
    pub present: u32,
    /// Decode targets that one may switch to at the frame, one bit each.
    pub switch: u32,
    /// It refers to other frames.
    pub depends: bool,
}

impl FrameRelations {
    /// Reads a descriptor; `current` is the structure last received on the stream.
    ///
    /// # Errors
    /// [`RtpError`] when it is cut short, contradicts itself, or needs a structure that is not
    /// there.
    pub fn parse(bytes: &[u8], current: Option<&DependencyStructure>) -> Result<Self, RtpError> {
        let head = DescriptorHead::parse(bytes)?;
        let mut r = BitReader::new(bytes.get(3..).unwrap_or_default(), WHAT);
        let flags = if bytes.len() > 3 {
            Flags::read(&mut r)?
        } else {
            Flags::default()
        };
        let structure = if flags.structure {
            Some(read_structure(&mut r)?)
        } else {
            None
        };
        let s = structure
            .as_ref()
            .or(current)
            .ok_or(RtpError::Invalid(WHAT))?;
        let targets = u32::from(s.decode_targets);
        let active_decode_targets = if flags.active_mask {
            Some(r.bits(targets)?)
        } else if flags.structure {
            Some(all_targets(targets))
        } else {
            None
        };
        let template = s
            .template(head.template_id)
            .ok_or(RtpError::Invalid(WHAT))?;
        let (mut present, mut switch) = (0u32, 0u32);
        for target in 0..targets {
            let indication = if flags.custom_indications {
                Indication::from_bits(r.small(2)?)
            } else {
                let index = usize::try_from(target).unwrap_or(usize::MAX);
                *template
                    .indications
                    .get(index)
                    .ok_or(RtpError::Invalid(WHAT))?
            };
            let bit = 1u32.wrapping_shl(target);
            present |= if indication == Indication::NotPresent {
                0
            } else {
                bit
            };
            switch |= if indication == Indication::Switch {
                bit
            } else {
                0
            };
        }
        let depends = if flags.custom_frame_diffs {
            r.small(2)? != 0
        } else {
            !template.frame_diffs.is_empty()
        };
        let (spatial_id, temporal_id) = (template.spatial_id, template.temporal_id);
        Ok(Self {
            head,
            active_decode_targets,
            spatial_id,
            temporal_id,
            present,
            switch,
            depends,
            structure,
        })
    }
}

/// Writes a descriptor anew to the start of `out`, with these decode targets as the active ones;
/// returns its length. It may grow by up to six bytes. `current` is the structure that explains it.
///
/// # Errors
/// [`RtpError`] when it cannot be read, or does not fit.
pub fn write_active_targets(
    bytes: &[u8],
    current: Option<&DependencyStructure>,
    active: u32,
    out: &mut [u8],
) -> Result<usize, RtpError> {
    let (head, rest) = bytes.split_at_checked(3).ok_or(RtpError::Truncated(WHAT))?;
    let mut r = BitReader::new(rest, WHAT);
    let flags = if rest.is_empty() {
        Flags::default()
    } else {
        Flags::read(&mut r)?
    };
    let structure_from = r.position();
    let structure = if flags.structure {
        Some(read_structure(&mut r)?)
    } else {
        None
    };
    let structure_to = r.position();
    let s = structure
        .as_ref()
        .or(current)
        .ok_or(RtpError::Invalid(WHAT))?;
    let targets = u32::from(s.decode_targets);
    if flags.active_mask {
        r.bits(targets)?;
    }
    let custom_from = r.position();
    if flags.custom_indications {
        for _ in 0..targets {
            r.bits(2)?;
        }
    }
    if flags.custom_frame_diffs {
        loop {
            let size = r.bits(2)?;
            if size == 0 {
                break;
            }
            r.bits(size.saturating_mul(4))?;
        }
    }
    if flags.custom_chains {
        for _ in 0..s.chains {
            r.bits(8)?;
        }
    }
    let custom_to = r.position();
    let (out_head, out_rest) = out.split_at_mut_checked(3).ok_or(RtpError::NoRoom)?;
    out_head.copy_from_slice(head);
    let mut w = BitWriter::new(out_rest);
    w.flag(flags.structure)?;
    w.flag(true)?;
    w.flag(flags.custom_indications)?;
    w.flag(flags.custom_frame_diffs)?;
    w.flag(flags.custom_chains)?;
    w.copy(rest, structure_from, structure_to)?;
    w.bits(targets, active)?;
    w.copy(rest, custom_from, custom_to)?;
    Ok(w.len().saturating_add(3))
}

/// The flags behind the three bytes.
#[derive(Debug, Clone, Copy, Default)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "they are five flags on the wire"
)]
struct Flags {
    structure: bool,
    active_mask: bool,
    custom_indications: bool,
    custom_frame_diffs: bool,
    custom_chains: bool,
}

impl Flags {
    fn read(r: &mut BitReader<'_>) -> Result<Self, RtpError> {
        Ok(Self {
            structure: r.flag()?,
            active_mask: r.flag()?,
            custom_indications: r.flag()?,
            custom_frame_diffs: r.flag()?,
            custom_chains: r.flag()?,
        })
    }
}

/// One bit for each of so many targets, 1 to 32.
const fn all_targets(targets: u32) -> u32 {
    u32::MAX.wrapping_shr(32u32.saturating_sub(targets))
}

fn read_list<T>(
    count: u32,
    mut one: impl FnMut() -> Result<T, RtpError>,
) -> Result<Vec<T>, RtpError> {
    (0..count).map(|_| one()).collect()
}

fn read_structure(r: &mut BitReader<'_>) -> Result<DependencyStructure, RtpError> {
    let template_id_offset = r.small(6)?;
    let decode_targets = r.small(5)?.saturating_add(1);
    let mut templates = read_layers(r)?;
    for template in &mut templates {
        template.indications = read_list(u32::from(decode_targets), || {
            Ok(Indication::from_bits(r.small(2)?))
        })?;
    }
    for template in &mut templates {
        while r.flag()? {
            template.frame_diffs.push(r.small(4)?.saturating_add(1));
        }
    }
    let small = |n: u32| u8::try_from(n).unwrap_or(u8::MAX);
    let chains = small(r.non_symmetric(u32::from(decode_targets).saturating_add(1))?);
    let mut protected_by = Vec::new();
    if chains > 0 {
        protected_by = read_list(u32::from(decode_targets), || {
            r.non_symmetric(u32::from(chains)).map(small)
        })?;
        for template in &mut templates {
            template.chain_diffs = read_list(u32::from(chains), || r.small(4))?;
        }
    }
    let mut resolutions = Vec::new();
    if r.flag()? {
        let spatial = templates.iter().map(|t| t.spatial_id).max().unwrap_or(0);
        resolutions = read_list(u32::from(spatial).saturating_add(1), || {
            Ok((r.bits(16)?.saturating_add(1), r.bits(16)?.saturating_add(1)))
        })?;
    }
    Ok(DependencyStructure {
        template_id_offset,
        decode_targets,
        templates,
        chains,
        protected_by,
        resolutions,
    })
}

fn read_layers(r: &mut BitReader<'_>) -> Result<Vec<Template>, RtpError> {
    let mut templates = Vec::new();
    let (mut spatial_id, mut temporal_id) = (0u8, 0u8);
    loop {
        if templates.len() == MAX_TEMPLATES {
            return Err(RtpError::Invalid(WHAT));
        }
        templates.push(Template {
            spatial_id,
            temporal_id,
            ..Template::default()
        });
        match r.small(2)? {
            0 => {}
            1 => temporal_id = temporal_id.saturating_add(1),
            2 => {
                temporal_id = 0;
                spatial_id = spatial_id.saturating_add(1);
            }
            _ => return Ok(templates),
        }
    }
}

#[cfg(test)]
mod tests;
