//! Powers in decibels.

use ekiben_runtime::ops::binary::{Binary, BinaryKind};
use ekiben_runtime::ops::reduce::{Reduce, ReduceKind};
use ekiben_runtime::ops::unary::{Unary, UnaryKind};

use super::AudioError;
use super::spectrum::with_number;
use crate::graph::{Graph, TensorId};

/// The power of 0 dB.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Reference {
    /// A number.
    Power(f64),
    /// The largest power.
    Largest,
}

/// How powers become decibels (librosa's `power_to_db`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Decibels {
    /// The power of 0 dB.
    pub reference: Reference,
    /// The smallest power, above 0: what is less counts as this (`amin`).
    pub least: f64,
    /// Decibels below the largest that count as this many (`top_db`).
    pub range: Option<f64>,
    /// The axes over which the largest is looked for: bit `i` for axis `i`, none of them the batch.
    pub axes: u8,
}

/// `10 log10(max(x, least)) - 10 log10(max(reference, least))`, not below the largest of it less `range`.
///
/// # Errors
/// Numbers out of range, or the batch among the axes.
pub fn decibels(graph: &mut Graph, power: TensorId, options: &Decibels) -> Result<TensorId, AudioError> {
    if options.least.is_nan()
        || options.least <= 0.0
        || options.range.is_some_and(|range| range.is_nan() || range < 0.0)
    {
        return Err(AudioError::option("`amin` must be above zero, and `top_db` not below"));
    }
    let level = |graph: &mut Graph, x: TensorId| {
        let x = with_number(graph, BinaryKind::Max, x, options.least)?;
        let logarithm = graph.add("decibels", Unary::of(UnaryKind::Log10), &[x])?;
        with_number(graph, BinaryKind::Mul, logarithm, 10.0)
    };
    let largest = |graph: &mut Graph, x: TensorId| {
        graph.add("largest", Reduce { kind: ReduceKind::Max, axes: options.axes, keep: true }, &[x])
    };
    let mut result = level(graph, power)?;
    match options.reference {
        Reference::Power(reference) => {
            let zero = 10.0 * reference.abs().max(options.least).log10();
            if zero != 0.0 {
                result = with_number(graph, BinaryKind::Sub, result, zero)?;
            }
        }
        Reference::Largest => {
            let reference = largest(graph, power)?;
            let zero = level(graph, reference)?;
            result = graph.add("decibels", Binary { kind: BinaryKind::Sub }, &[result, zero])?;
        }
    }
    let Some(range) = options.range else { return Ok(result) };
    let top = largest(graph, result)?;
    let floor = with_number(graph, BinaryKind::Sub, top, range)?;
    Ok(graph.add("decibels", Binary { kind: BinaryKind::Max }, &[result, floor])?)
}
