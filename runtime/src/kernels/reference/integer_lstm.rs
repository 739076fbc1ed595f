//! An LSTM of int8 weights and states with an int16 cell state, as TFLite's reference kernel does it.
//!
//! Numbers of 16 bits are written `Qm`: `m` bits before the binary point and 15 - m after it. Exponentials and quotients are gemmlowp's.

use super::fixed_point::{Factor, Stored, rounding_shift};

/// 1 in Q0, nearly.
const ONE: i32 = i16::MAX as i32;

/// exp(-2^k) in Q0 for k from -2 to 4.
const EXP_OF_MINUS_POWERS: [i32; 7] = [25_520, 19_875, 12_055, 4_435, 600, 11, 0];

fn narrow(x: i32) -> i32 {
    i16::saturate(x).into()
}

/// `a * b / 2^15`, rounded to the nearest, halves away from zero; both of 16 bits.
fn high_mul(a: i32, b: i32) -> i32 {
    let product = a.wrapping_mul(b);
    let nudge = if product >= 0 { 1 << 14 } else { 1 - (1 << 14) };
    narrow((product.wrapping_add(nudge)) / (1 << 15))
}

/// exp of a Q0 number from -1/4 (included) to 0: a Taylor expansion around -1/8.
fn exp_of_small(a: i32) -> i32 {
    const EXP_OF_MINUS_EIGHTH: i32 = 28_918;
    const THIRD: i32 = 10_923;
    let x = a + (1 << 12);
    let x2 = high_mul(x, x);
    let x3 = high_mul(x2, x);
    let x4 = high_mul(x2, x2);
    let higher = high_mul(rounding_shift(x4, 2) + x3, THIRD) + x2;
    narrow(EXP_OF_MINUS_EIGHTH + high_mul(EXP_OF_MINUS_EIGHTH, x + rounding_shift(higher, 1)))
}

/// exp of a number with `bits` before the point, 2 to 5, that is not positive, in Q0.
fn exp_of_negative(a: i32, bits: u32) -> i32 {
    let quarter = 1i32 << (13 - bits);
    if a == 0 {
        return ONE;
    }
    let small = (a & (quarter - 1)) - quarter;
    let rest = small - a;
    let powers = EXP_OF_MINUS_POWERS.iter().enumerate().take(bits as usize + 2);
    powers.fold(exp_of_small(narrow(small << bits)), |exp, (bit, &factor)| {
        if rest & (quarter << bit) == 0 { exp } else { high_mul(exp, factor) }
    })
}

/// 2 / (1 + a) of a Q0 number from 0 to 1, in Q2: three steps of Newton's iteration.
fn two_over_one_plus(a: i32) -> i32 {
    const FORTY_EIGHT_17THS: i32 = 23_130;
    const MINUS_THIRTY_TWO_17THS: i32 = -15_420;
    let half_denominator = (a + ONE + 1) / 2;
    let mut x = FORTY_EIGHT_17THS + high_mul(half_denominator, MINUS_THIRTY_TWO_17THS);
    for _ in 0..3 {
        let error = (1 << 13) - high_mul(half_denominator, x);
        x += narrow(high_mul(x, error) << 2);
    }
    narrow(x)
}

/// `1 / (1 + exp(-x))` of a Q3 number, in Q0.
fn logistic(x: i32) -> i32 {
    if x == 0 {
        return 1 << 14;
    }
    let positive = narrow(two_over_one_plus(exp_of_negative(-x.abs(), 3)) << 1);
    if x > 0 { positive } else { ONE - positive }
}

/// `tanh(x)` of a number with `bits` before the point, 1 to 4, in Q0.
fn tanh(x: i32, bits: u32) -> i32 {
    if x == 0 {
        return 0;
    }
    let exp = exp_of_negative(-x.abs(), bits + 1);
    let positive = narrow((two_over_one_plus(exp) - (1 << 13)) << 2);
    if x > 0 { positive } else { -positive }
}

/// The weights of a layer: gates input, forget, cell, output.
#[derive(Clone, Copy, Debug)]
pub struct Weights<'a> {
    /// For the input: rows of all gates.
    pub input: &'a [i8],
    /// For the hidden state.
    pub recurrent: &'a [i8],
    /// Added to the products with the input, and to those with the hidden state; their zero points are in it.
    pub biases: [&'a [i32]; 2],
    /// Multipliers and shifts to Q3: four for products with the input, four for those with the hidden state.
    pub factors: [&'a [i32]; 2],
}

/// What a layer depends on besides its weights.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cell {
    /// Bits of the cell state before the point, 1 to 4.
    pub cell_bits: u8,
    /// Bound of the cell state; 0 for none.
    pub cell_clip: i16,
    /// From a product of two Q0 numbers to the hidden state.
    pub hidden: Factor,
    /// Stored value of real zero in the hidden state.
    pub hidden_zero: i8,
}

impl Weights<'_> {
    /// A gate before its activation, in Q3.
    fn gate(&self, gate: usize, row: usize, x: &[i8], h: &[i8]) -> i32 {
        let sides = [(self.input, x), (self.recurrent, h)];
        let parts = sides.iter().zip(self.biases).enumerate().map(|(side, ((weights, values), bias))| {
            let weights = weights.get(row.saturating_mul(values.len())..).unwrap_or_default();
            let bias = bias.get(row).copied().unwrap_or(0);
            let sum = weights
                .iter()
                .zip(values.iter())
                .fold(bias, |sum, (&w, &x)| sum.wrapping_add(i32::from(w) * i32::from(x)));
            let pick = |list: &[i32]| list.get(side * 4 + gate).copied().unwrap_or(0);
            Factor { multiplier: pick(self.factors[0]), shift: pick(self.factors[1]) }.apply(sum)
        });
        parts.fold(0i32, |sum, part| narrow(sum.saturating_add(part)))
    }
}

/// One step of one sequence: `x` and the hidden state `h` before it give the hidden state `out` after it; `c` is the cell state.
///
/// `c' = clip(f * c + i * tanh(gate c))`, `h' = o * tanh(c')`; sums saturate, products round to the nearest.
pub fn step(cell: &Cell, weights: &Weights<'_>, x: &[i8], h: &[i8], c: &mut [i16], out: &mut [i8]) {
    let (hidden, bits) = (c.len(), u32::from(cell.cell_bits.clamp(1, 4)));
    for (index, (c, out)) in c.iter_mut().zip(out).enumerate() {
        let gate = |gate: usize| weights.gate(gate, gate.saturating_mul(hidden).saturating_add(index), x, h);
        let (i, f, o) = (logistic(gate(0)), logistic(gate(1)), logistic(gate(3)));
        let new = tanh(gate(2), 3);
        let kept = rounding_shift(f * i32::from(*c), 15);
        let mut next = narrow(kept + rounding_shift(i * new, 15 + bits));
        if cell.cell_clip > 0 {
            next = next.clamp(-i32::from(cell.cell_clip), cell.cell_clip.into());
        }
        *c = next as i16;
        let product = cell.hidden.apply(o * tanh(next, bits));
        *out = i8::saturate(product.saturating_add(cell.hidden_zero.into()));
    }
}
