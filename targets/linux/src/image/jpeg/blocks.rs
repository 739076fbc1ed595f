//! The coefficients of one block in one scan: all at once, or some bits of some of them.

use super::huffman::{Bits, Table};

/// Natural positions of coefficients in the order of a file.
pub(super) const NATURAL: [u8; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21,
    28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54,
    47, 55, 62, 63,
];

/// Positions past the last are the last one.
fn natural(position: usize) -> usize {
    NATURAL[position.min(63)].into()
}

/// The coefficients that a scan is about, and their bits.
#[derive(Clone, Copy)]
pub(super) struct Band {
    pub(super) first: usize,
    pub(super) last: usize,
    /// Whether these bits follow others.
    pub(super) refines: bool,
    /// Bits that are still to come below these.
    pub(super) low: u32,
}

/// A whole block: the difference of its mean from the one before, and runs of zeros before every other coefficient.
pub(super) fn whole(bits: &mut Bits<'_>, dc: &Table, ac: &Table, mean: &mut i32, block: &mut [i16; 64]) {
    let size = bits.symbol(dc).min(16);
    *mean = mean.wrapping_add(bits.signed(size.into()));
    block[0] = *mean as i16;
    let mut position = 1;
    while position < 64 {
        let symbol = bits.symbol(ac);
        let (run, size) = (usize::from(symbol >> 4), u32::from(symbol & 15));
        if size > 0 {
            position += run;
            block[natural(position)] = bits.signed(size) as i16;
        } else if run == 15 {
            position += 15;
        } else {
            return;
        }
        position += 1;
    }
}

/// The upper bits of a block's mean.
pub(super) fn mean_first(bits: &mut Bits<'_>, dc: &Table, mean: &mut i32, low: u32, block: &mut [i16; 64]) {
    let size = bits.symbol(dc).min(16);
    *mean = mean.wrapping_add(bits.signed(size.into()));
    block[0] = mean.wrapping_shl(low) as i16;
}

/// One more bit of a block's mean.
pub(super) fn mean_refined(bits: &mut Bits<'_>, low: u32, block: &mut [i16; 64]) {
    if bits.bit() {
        block[0] |= 1_i16.wrapping_shl(low);
    }
}

/// The upper bits of a band of coefficients. `blocks_to_skip` counts the blocks whose band is known to be zero.
pub(super) fn band_first(bits: &mut Bits<'_>, ac: &Table, band: Band, blocks_to_skip: &mut u32, block: &mut [i16; 64]) {
    if *blocks_to_skip > 0 {
        *blocks_to_skip -= 1;
        return;
    }
    let mut position = band.first;
    while position <= band.last {
        let symbol = bits.symbol(ac);
        let (run, size) = (symbol >> 4, u32::from(symbol & 15));
        if size > 0 {
            position += usize::from(run);
            block[natural(position)] = bits.signed(size).wrapping_shl(band.low) as i16;
        } else if run == 15 {
            position += 15;
        } else {
            *blocks_to_skip = (1 << run) + bits.number(run.into()) as u32 - 1;
            return;
        }
        position += 1;
    }
}

/// One more bit of a band: of the coefficients that are not zero, and those that become so.
pub(super) fn band_refined(
    bits: &mut Bits<'_>,
    ac: &Table,
    band: Band,
    blocks_to_skip: &mut u32,
    block: &mut [i16; 64],
) {
    let step = 1_i16.wrapping_shl(band.low);
    let mut position = band.first;
    while *blocks_to_skip == 0 && position <= band.last {
        let symbol = bits.symbol(ac);
        let run = symbol >> 4;
        let mut new = 0;
        if symbol & 15 != 0 {
            new = if bits.bit() { step } else { step.wrapping_neg() };
        } else if run < 15 {
            *blocks_to_skip = (1 << run) + bits.number(run.into()) as u32;
            break;
        }
        position = refine(bits, band, step, position, Some(run.into()), block);
        if new != 0 {
            block[natural(position)] = new;
        }
        position += 1;
    }
    if *blocks_to_skip > 0 {
        refine(bits, band, step, position, None, block);
        *blocks_to_skip -= 1;
    }
}

/// Gives the coefficients from a position on that are not zero their next bit, past so many zeros (all without a
/// number), and returns the position of the zero after those.
fn refine(
    bits: &mut Bits<'_>,
    band: Band,
    step: i16,
    mut position: usize,
    mut zeros: Option<u32>,
    block: &mut [i16; 64],
) -> usize {
    while position <= band.last {
        let coefficient = &mut block[natural(position)];
        if *coefficient != 0 {
            if bits.bit() && *coefficient & step == 0 {
                *coefficient = coefficient.wrapping_add(if *coefficient >= 0 { step } else { step.wrapping_neg() });
            }
        } else if let Some(left) = zeros {
            if left == 0 {
                return position;
            }
            zeros = Some(left - 1);
        }
        position += 1;
    }
    position
}
