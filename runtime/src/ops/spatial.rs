//! What operators with windows over any number of axes share: the table of the window, and the rules for shapes.
//!
//! A table is an i32 constant `[rows, axes]` without negative values.

use super::{Inputs, OpError, Operands, Problem};
use crate::kernels::reference::spatial::{Lengths, MAX_SPATIAL};
use crate::kernels::reference::window::{MAX_PADDED, WindowAxis};
use crate::tensor::{DType, Shape, TensorSpec};

/// What a table holds, one list of lengths for each row.
pub(super) type Rows<const R: usize> = [Lengths; R];

fn rows<const R: usize>(axes: usize, at: impl Fn(usize) -> Option<i32>) -> Option<Rows<R>> {
    let mut rows = [Lengths::new([]); R];
    for (row, slot) in rows.iter_mut().enumerate() {
        let mut values = [0; MAX_SPATIAL];
        for (axis, value) in values.iter_mut().enumerate().take(axes) {
            *value = usize::try_from(at(row * axes + axis)?).ok()?;
        }
        *slot = Lengths::new(values.into_iter().take(axes));
    }
    Some(rows)
}

/// Input `index`: a constant table of `R` rows for `axes` axes.
pub(super) fn table<const R: usize>(inputs: &dyn Inputs, index: usize, axes: usize) -> Result<Rows<R>, OpError> {
    let needs = "a constant int32 table of the window, no value of which is negative";
    inputs.fixed(index, DType::I32, &[R, axes], needs)?;
    let operand = inputs.required(index)?;
    if operand.constant.is_none() {
        return Err(OpError::input(index, Problem::NotConstant, needs));
    }
    rows(axes, |at| operand.i32_at(at)).ok_or(OpError::input(index, Problem::Value, needs))
}

/// The table that [`table`] accepted, while the operator runs.
pub(super) fn running_table<const R: usize>(operands: &dyn Operands, index: usize) -> Result<Rows<R>, OpError> {
    let values = operands.slice::<i32>(index)?;
    let needs = "the table that was checked";
    rows(values.len() / R, |at| values.get(at).copied()).ok_or(OpError::input(index, Problem::Value, needs))
}

/// Windows from rows of strides, dilations, and padding before and after.
pub(super) fn windows([strides, dilations, before, after]: [&Lengths; 4]) -> [WindowAxis; MAX_SPATIAL] {
    let at = |row: &Lengths, axis: usize, default: u32| {
        row.get(axis).map_or(default, |&value| u32::try_from(value).unwrap_or(u32::MAX))
    };
    core::array::from_fn(|axis| WindowAxis {
        stride: at(strides, axis, 1),
        dilation: at(dilations, axis, 1),
        before: at(before, axis, 0),
        after: at(after, axis, 0),
    })
}

/// Checks that no value of a table's row is 0.
pub(super) fn positive(row: &Lengths, index: usize, needs: &'static str) -> Result<(), OpError> {
    if row.contains(&0) { Err(OpError::input(index, Problem::Value, needs)) } else { Ok(()) }
}

/// Positions of forward windows along each axis.
pub(super) fn forward_lengths(
    windows: &[WindowAxis; MAX_SPATIAL],
    input: &Lengths,
    kernel: &Lengths,
) -> Result<Lengths, OpError> {
    let misfit = OpError::attribute("window", "a kernel that fits into the padded input");
    if kernel.iter().fold(1u64, |taps, &length| taps.saturating_mul(length as u64)) > MAX_PADDED {
        return Err(misfit);
    }
    let mut output = [0; MAX_SPATIAL];
    for (((slot, window), &length), &taps) in output.iter_mut().zip(windows).zip(input.iter()).zip(kernel.iter()) {
        *slot = window.output_length(length, taps).ok_or(misfit)?;
    }
    Ok(Lengths::new(output.into_iter().take(input.len())))
}

/// Lengths of the axes from `first` up to `end`, none of which is 0 or the batch.
pub(super) fn spatial_lengths(index: usize, spec: &TensorSpec, first: usize, end: usize) -> Result<Lengths, OpError> {
    let factors = spec.shape.factors().get(first..end).filter(|axes| !axes.is_empty() && axes.len() <= MAX_SPATIAL);
    let factors = factors.ok_or(OpError::input(index, Problem::Rank, "one to six axes that a window slides over"))?;
    if spec.shape.batch_axis().is_some_and(|axis| (first..end).contains(&axis)) {
        return Err(OpError::input(index, Problem::Batch, "the batch on an axis that no window slides over"));
    }
    if factors.contains(&0) {
        return Err(OpError::input(index, Problem::Shape, "axes of one element or more"));
    }
    Ok(Lengths::new(factors.iter().map(|&length| length as usize)))
}

/// The shape with the axes from `first` on replaced by `lengths`, as many as there are, and one more by `last` where it is given.
pub(super) fn with_lengths(
    shape: &Shape,
    first: usize,
    lengths: &Lengths,
    last: Option<usize>,
) -> Result<Shape, OpError> {
    let mut dims = [0; crate::tensor::MAX_RANK];
    let kept = shape.factors().iter().take(first).map(|&dim| dim as usize);
    let mut rank = 0;
    for (slot, length) in dims.iter_mut().zip(kept.chain(lengths.iter().copied()).chain(last)) {
        *slot = length;
        rank += 1;
    }
    Ok(Shape::new(dims.get(..rank).unwrap_or_default(), shape.batch_axis())?)
}
