//! Logistic function and hyperbolic tangent of int16, as TFLite's reference kernels do it: the logistic function at multiples of
//! 1/24 is tabulated, both are interpolated from it.

/// Entries of the table: nearly `65536 / (1 + exp(-i / 24))`.
pub const ENTRIES: usize = 256;

/// Which function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sigmoid {
    /// `1 / (1 + exp(-x))`.
    Logistic,
    /// `tanh(x)`.
    Tanh,
}

/// An element of the input in 24ths, with 9 (logistic function) or 8 bits (tangent) after the point:
/// `(x * multiplier + 2^(shift - 1)) >> shift`.
fn position(x: i16, multiplier: i32, shift: u32) -> i32 {
    let round = if shift > 0 { 1i32.wrapping_shl(shift - 1) } else { 0 };
    i32::from(x).wrapping_mul(multiplier).wrapping_add(round) >> shift.min(31)
}

/// Interpolates the table at a position with `bits` after the point; `end` beyond it.
fn interpolate(table: &[u16], position: u32, bits: u32, end: i32) -> i32 {
    let index = (position >> bits) as usize;
    let (Some(&low), Some(&high)) = (table.get(index), table.get(index.saturating_add(1))) else { return end };
    let (low, high) = (i32::from(low), i32::from(high));
    (low << bits) + (position & ((1 << bits) - 1)) as i32 * (high - low)
}

fn logistic(table: &[u16], x: i32) -> i16 {
    let result = interpolate(table, x.unsigned_abs(), 9, 0x7FFF << 10);
    let result = if x >= 0 { result + (1 << 9) } else { (1 << 25) - result + (1 << 9) - 1 };
    (result >> 10) as i16
}

fn tanh(table: &[u16], x: i32) -> i16 {
    let result = interpolate(table, x.unsigned_abs(), 8, 0xFFFF << 8);
    let result = if x >= 0 { result - (1 << 23) + (1 << 7) } else { (1 << 23) - result + (1 << 7) - 1 };
    (result >> 8) as i16
}

/// Each value becomes the function of `value * multiplier / 2^shift` 24ths, scaled by 2^15.
pub fn sigmoid(kind: Sigmoid, (multiplier, shift): (i32, u32), table: &[u16], values: &mut [i16]) {
    for value in values {
        let x = position(*value, multiplier, shift);
        *value = match kind {
            Sigmoid::Logistic => logistic(table, x),
            Sigmoid::Tanh => tanh(table, x),
        };
    }
}
