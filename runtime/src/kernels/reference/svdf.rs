//! Singular value decomposition filters, which see the last inputs through a memory, as TFLite's reference kernels do them.

use super::conv2d::Clamp;
use super::fixed_point::{Factor, Stored};

/// Lengths of a layer.
#[derive(Clone, Copy, Debug)]
pub struct Lengths {
    /// Elements of an input row.
    pub input: usize,
    /// Filters: as many as units times the rank.
    pub filters: usize,
    /// Results that each filter remembers.
    pub memory: usize,
    /// Filters of a unit.
    pub rank: usize,
}

/// Each filter's memory moves by one place; `feature` of the input row and the filter's weights is put at its end.
fn remember<X, S: Copy>(
    lengths: Lengths,
    (input, features): (&[X], &[X]),
    (state, next): (&[S], &mut [S]),
    feature: impl Fn(&[X], &[X]) -> S,
) {
    if lengths.input == 0 || lengths.memory == 0 {
        return;
    }
    let rows = input.chunks_exact(lengths.input).flat_map(|row| (0..lengths.filters).map(move |filter| (row, filter)));
    let memories = state.chunks_exact(lengths.memory).zip(next.chunks_exact_mut(lengths.memory));
    for ((row, filter), (old, new)) in rows.zip(memories) {
        let weights = features.get(filter * lengths.input..).unwrap_or_default();
        let [places @ .., last] = new else { continue };
        for (place, &value) in places.iter_mut().zip(old.iter().skip(1)) {
            *place = value;
        }
        *last = feature(row, weights);
    }
}

/// Calls `put` with each result's place, its unit, and its filters' memories and weights over time.
fn each_result<S, O>(
    lengths: Lengths,
    (next, times): (&[S], &[S]),
    out: &mut [O],
    put: impl Fn(&mut O, usize, &[S], &[S]),
) {
    let units = lengths.filters.checked_div(lengths.rank).unwrap_or(0);
    let span = lengths.rank.saturating_mul(lengths.memory);
    if units == 0 || span == 0 {
        return;
    }
    for (index, (out, memory)) in out.iter_mut().zip(next.chunks_exact(span)).enumerate() {
        let unit = index % units;
        put(out, unit, memory, times.get(unit.saturating_mul(span)..).unwrap_or_default());
    }
}

/// `next`: each filter's memory moved by one place, with the product of input and feature weights at its end. `out[unit]`: the bias and
/// then, filter by filter, the product of its memory and its weights over time; clipped.
pub fn float(
    lengths: Lengths,
    clamp: Clamp,
    (input, features, times): (&[f32], &[f32], &[f32]),
    bias: Option<&[f32]>,
    (state, next): (&[f32], &mut [f32]),
    out: &mut [f32],
) {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).fold(0.0, |sum, (a, b)| sum + a * b);
    remember(lengths, (input, features), (state, next), dot);
    each_result(lengths, (next, times), out, |out, unit, memory, times| {
        let bias = bias.and_then(|bias| bias.get(unit)).copied().unwrap_or(0.0);
        let filters = memory.chunks_exact(lengths.memory).zip(times.chunks(lengths.memory));
        *out = clamp.apply(filters.fold(bias, |sum, (memory, times)| sum + dot(memory, times)));
    });
}

/// How sums of an integer layer are scaled.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scales {
    /// Stored value of real zero in the input.
    pub input_zero: i8,
    /// From sums over features to the memory.
    pub feature: Factor,
    /// From sums over time to the result.
    pub time: Factor,
    /// Stored value of real zero in the result.
    pub zero: i8,
}

/// As [`float`], in integers; sums wrap, factors round twice, memory and results saturate.
pub fn integer(
    lengths: Lengths,
    scales: Scales,
    (input, features): (&[i8], &[i8]),
    times: &[i16],
    bias: Option<&[i32]>,
    (state, next): (&[i16], &mut [i16]),
    out: &mut [i8],
) {
    remember(lengths, (input, features), (state, next), |input, features| {
        let sum = input.iter().zip(features).fold(0i32, |sum, (&x, &w)| {
            sum.wrapping_add((i32::from(x) - i32::from(scales.input_zero)).wrapping_mul(w.into()))
        });
        i16::saturate(scales.feature.apply(sum))
    });
    each_result(lengths, (next, times), out, |out, unit, memory, times| {
        let bias = bias.and_then(|bias| bias.get(unit)).copied().unwrap_or(0);
        let sum =
            memory.iter().zip(times).fold(bias, |sum, (&x, &w)| sum.wrapping_add(i32::from(x).wrapping_mul(w.into())));
        *out = i8::saturate(scales.time.apply(sum).wrapping_add(scales.zero.into()));
    });
}
