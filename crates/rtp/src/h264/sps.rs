//! The size of the pictures, from a sequence parameter set (H.264 §7.3.2.1.1).

use crate::RtpError;
use crate::bits::BitReader;

/// More of a parameter set is not looked at: the size stands before everything that is long, and
/// scaling lists that cannot be written shorter fit.
const MOST: usize = 256;
/// Wider or higher pictures do not exist (§A.3).
const LARGEST: u32 = 16_384;
/// Profiles whose parameter sets say what their samples are.
const HIGH: [u8; 13] = [100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135];
const WHAT: &str = "H.264 sequence parameter set";

/// Width and height in pixels of what is shown, from the unit without its first byte.
pub(super) fn resolution(unit: &[u8]) -> Result<(u16, u16), RtpError> {
    let mut plain = [0; MOST];
    let length = unescape(unit, &mut plain);
    let mut bits = BitReader::new(plain.get(..length).unwrap_or_default(), WHAT);
    let profile = bits.small(8)?;
    // Constraints and level.
    bits.bits(16)?;
    bits.exp_golomb()?;
    // 4:2:0 unless it is said.
    let (mut chroma, mut apart) = (1, false);
    if HIGH.contains(&profile) {
        chroma = bits.exp_golomb()?;
        if chroma == 3 {
            apart = bits.flag()?;
        }
        bits.exp_golomb()?;
        bits.exp_golomb()?;
        bits.flag()?;
        if bits.flag()? {
            for list in 0..if chroma == 3 { 12 } else { 8 } {
                if bits.flag()? {
                    scaling_list(&mut bits, if list < 6 { 16 } else { 64 })?;
                }
            }
        }
    }
    bits.exp_golomb()?;
    match bits.exp_golomb()? {
        0 => {
            bits.exp_golomb()?;
        }
        1 => {
            bits.flag()?;
            bits.exp_golomb()?;
            bits.exp_golomb()?;
            // Each takes a bit at least: there are no more than there are bits.
            for _ in 0..bits.exp_golomb()?.min(255) {
                bits.exp_golomb()?;
            }
        }
        _ => {}
    }
    bits.exp_golomb()?;
    bits.flag()?;
    let columns = bits.exp_golomb()?.saturating_add(1);
    let rows = bits.exp_golomb()?.saturating_add(1);
    // Of fields there are two to a frame.
    let fields = if bits.flag()? { 1 } else { 2 };
    if fields == 2 {
        bits.flag()?;
    }
    bits.flag()?;
    let (mut cut_across, mut cut_down) = (0, 0);
    if bits.flag()? {
        let [left, right, top, bottom] = [
            bits.exp_golomb()?,
            bits.exp_golomb()?,
            bits.exp_golomb()?,
            bits.exp_golomb()?,
        ];
        // Cuts are counted in samples of colour, where there are some (table 6-1).
        let across: u32 = if !apart && matches!(chroma, 1 | 2) {
            2
        } else {
            1
        };
        let down = if !apart && chroma == 1 { 2 } else { 1 };
        cut_across = left.saturating_add(right).saturating_mul(across);
        cut_down = top
            .saturating_add(bottom)
            .saturating_mul(fields)
            .saturating_mul(down);
    }
    let width = columns.saturating_mul(16).saturating_sub(cut_across);
    let height = rows
        .saturating_mul(16)
        .saturating_mul(fields)
        .saturating_sub(cut_down);
    match (u16::try_from(width), u16::try_from(height)) {
        (Ok(w @ 1..), Ok(h @ 1..)) if width.max(height) <= LARGEST => Ok((w, h)),
        _ => Err(RtpError::Invalid(WHAT)),
    }
}

/// Passes over a list (§7.3.2.1.1.1): after a step to zero the rest is not written.
fn scaling_list(bits: &mut BitReader<'_>, size: u32) -> Result<(), RtpError> {
    let mut last = 8u8;
    for _ in 0..size {
        // Of the signed step only what is left of it in eight bits matters.
        let step = bits.exp_golomb()?;
        let half = step.div_ceil(2).to_le_bytes()[0];
        last = if step % 2 == 1 {
            last.wrapping_add(half)
        } else {
            last.wrapping_sub(half)
        };
        if last == 0 {
            return Ok(());
        }
    }
    Ok(())
}

/// Leaves out what keeps a unit from looking like a start code (§7.4.1); returns the length.
fn unescape(unit: &[u8], out: &mut [u8]) -> usize {
    let mut zeros = 0u8;
    let mut length = 0usize;
    for byte in unit {
        if zeros >= 2 && *byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if *byte == 0 {
            zeros.saturating_add(1)
        } else {
            0
        };
        let Some(place) = out.get_mut(length) else {
            break;
        };
        *place = *byte;
        length = length.saturating_add(1);
    }
    length
}
