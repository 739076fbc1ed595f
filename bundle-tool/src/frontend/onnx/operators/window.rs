//! Attributes of sliding windows, and images between ONNX's layout and ours.

use ekiben_runtime::DType;
use ekiben_runtime::ops::conv2d::{Window, WindowAxis};

use super::super::call::{Call, Refusal};
use crate::graph::TensorId;

/// Images with their channels last.
pub(super) struct Images {
    /// `[N, spatial axes…, C]`; the height is 1 where there is just one spatial axis and two are asked for.
    pub(super) tensor: TensorId,
    /// Lengths of the spatial axes.
    pub(super) lengths: Vec<usize>,
}

/// Lengths of the spatial axes of `[N, C, lengths…]`.
pub(super) fn spatial_lengths(call: &Call<'_>, x: TensorId) -> Result<Vec<usize>, Refusal> {
    let shape = call.shape(x);
    if shape.batch_axis().is_some_and(|axis| axis > 0) {
        return Err("it needs the batch on the first axis".into());
    }
    let lengths: Vec<usize> = shape.factors().iter().skip(2).map(|&dim| dim as usize).collect();
    if lengths.is_empty() {
        return Err(Refusal(format!(
            "an input of {} axes; it needs a batch, channels and a spatial axis",
            shape.rank()
        )));
    }
    Ok(lengths)
}

/// Moves the channels of `[N, C, lengths…]` last.
pub(super) fn channels_last(call: &mut Call<'_>, x: TensorId) -> Result<TensorId, Refusal> {
    let rank = call.shape(x).rank();
    let order: Vec<usize> = [0].into_iter().chain(2..rank).chain([1]).collect();
    call.transpose(x, &order)
}

/// The reverse of [`channels_last`].
pub(super) fn channels_second(call: &mut Call<'_>, y: TensorId) -> Result<TensorId, Refusal> {
    let rank = call.shape(y).rank();
    let order: Vec<usize> = [0, rank - 1].into_iter().chain(1..rank - 1).collect();
    call.transpose(y, &order)
}

/// Reads `[N, C, L]` or `[N, C, H, W]` as images of two axes.
pub(super) fn images(call: &mut Call<'_>, x: TensorId) -> Result<Images, Refusal> {
    let lengths = spatial_lengths(call, x)?;
    let last = channels_last(call, x)?;
    let shape = call.shape(last);
    let tensor = match *shape.factors() {
        [n, length, c] => call.reshape_to(last, &[n, 1, length, c].map(|dim| dim as usize), shape.batch_axis())?,
        _ => last,
    };
    Ok(Images { tensor, lengths })
}

/// The reverse of [`images`], for `spatial` axes.
pub(super) fn channels_first(call: &mut Call<'_>, y: TensorId, spatial: usize) -> Result<TensorId, Refusal> {
    if spatial == 2 {
        return channels_second(call, y);
    }
    let shape = call.shape(y);
    let dims = [0, 2, 3].map(|axis| shape.factor(axis).unwrap_or(1));
    let flat = call.reshape_to(y, &dims, shape.batch_axis())?;
    channels_second(call, flat)
}

/// How a window moves along one axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moves {
    /// Stride, dilation and padding.
    pub(super) window: WindowAxis,
    /// How far the last window of `ceil_mode` reaches beyond the padding.
    pub(super) beyond: u32,
}

impl Moves {
    /// The axis with what the last window reaches beyond the padding added to it.
    pub(super) fn reaching(&self) -> WindowAxis {
        WindowAxis { after: self.window.after.saturating_add(self.beyond), ..self.window }
    }
}

/// A list of `count` numbers, none of which is negative.
pub(super) fn list(call: &Call<'_>, name: &str, count: usize, default: i64) -> Result<Vec<u32>, Refusal> {
    let values = call.attributes.ints(name)?.map_or_else(|| vec![default; count], <[i64]>::to_vec);
    let numbers: Option<Vec<u32>> = values.iter().map(|&value| u32::try_from(value).ok()).collect();
    numbers.filter(|list| list.len() == count).ok_or_else(|| Refusal(format!("attribute {name} is {values:?}")))
}

/// Strides and dilations of a window over `axes` axes, 1 or more each.
pub(super) fn steps(call: &Call<'_>, axes: usize) -> Result<(Vec<u32>, Vec<u32>), Refusal> {
    let (strides, dilations) = (list(call, "strides", axes, 1)?, list(call, "dilations", axes, 1)?);
    if strides.contains(&0) || dilations.contains(&0) {
        return Err("a stride or a dilation is 0".into());
    }
    Ok((strides, dilations))
}

/// Reads `strides`, `dilations`, `pads` and `auto_pad` for a kernel on axes of `lengths`. `ceil` rounds the number of windows up.
pub(super) fn moves(call: &Call<'_>, lengths: &[usize], kernel: &[usize], ceil: bool) -> Result<Vec<Moves>, Refusal> {
    let axes = lengths.len();
    if kernel.len() != axes {
        return Err(Refusal(format!("a kernel of {} axes on {axes}", kernel.len())));
    }
    if kernel.contains(&0) {
        return Err("a kernel is 0".into());
    }
    let (strides, dilations) = steps(call, axes)?;
    let pads = list(call, "pads", 2 * axes, 0)?;
    let auto = call.attributes.string("auto_pad")?.unwrap_or("NOTSET");
    let mut all = Vec::new();
    for axis in 0..axes {
        let (stride, dilation) = (strides[axis], dilations[axis]);
        let span = (kernel[axis] as u64 - 1).saturating_mul(dilation.into()).saturating_add(1);
        let length = lengths[axis] as u64;
        let (before, after) = match auto {
            "NOTSET" => (pads[axis], pads[axes + axis]),
            "VALID" => (0, 0),
            "SAME_UPPER" | "SAME_LOWER" => same_pads(length, stride, span, auto == "SAME_UPPER")?,
            other => return Err(Refusal(format!("attribute auto_pad is {other:?}"))),
        };
        let window = WindowAxis { stride, dilation, before, after };
        let beyond = if ceil && !auto.starts_with("SAME") { beyond(&window, length, span)? } else { 0 };
        if beyond > 0 && auto == "VALID" {
            return Err(
                "attribute ceil_mode is 1 with auto_pad=VALID, where the specification and ONNX Runtime differ in the number of \
                 windows: state pads"
                    .into(),
            );
        }
        all.push(Moves { window, beyond });
    }
    Ok(all)
}

/// Padding that makes the output as long as the input over the stride, rounded up.
fn same_pads(length: u64, stride: u32, span: u64, upper: bool) -> Result<(u32, u32), Refusal> {
    let outputs = length.div_ceil(stride.into());
    let needed = (outputs.saturating_sub(1) * u64::from(stride)).saturating_add(span).saturating_sub(length);
    let needed = u32::try_from(needed).map_err(|_| "the kernel is too large")?;
    let (less, more) = (needed / 2, needed - needed / 2);
    Ok(if upper { (less, more) } else { (more, less) })
}

/// What one more window, which does not fit, reaches beyond the padding: 0 where it would start behind the input.
fn beyond(window: &WindowAxis, length: u64, span: u64) -> Result<u32, Refusal> {
    let start = length + u64::from(window.before);
    let steps =
        (start + u64::from(window.after)).checked_sub(span).ok_or("the kernel is larger than the padded input")?;
    let last = steps.next_multiple_of(window.stride.into());
    if last == steps || last >= start {
        return Ok(0);
    }
    u32::try_from(last - steps).map_err(|_| "the kernel is too large".into())
}

/// The window over one axis, the width, or two.
pub(super) fn window2d(moves: &[Moves]) -> Result<Window, Refusal> {
    match moves {
        [columns] => Ok(Window { rows: WindowAxis::DENSE, columns: columns.reaching() }),
        [rows, columns] => Ok(Window { rows: rows.reaching(), columns: columns.reaching() }),
        _ => Err("one or two spatial axes are supported".into()),
    }
}

/// A table of a window for the operators that take any number of axes.
pub(super) fn table(call: &mut Call<'_>, rows: &[&[u32]]) -> Result<TensorId, Refusal> {
    let values = rows.iter().flat_map(|row| row.iter()).map(|&value| i32::try_from(value));
    let values = values.collect::<Result<Vec<i32>, _>>().map_err(|_| "a length of the window is too large")?;
    let axes = rows.first().map_or(0, |row| row.len());
    call.constant(DType::I32, &[rows.len(), axes], &values)
}

/// Strides, dilations, padding before and after, and the reach beyond it, as rows of a [`table`].
pub(super) fn rows(moves: &[Moves]) -> [Vec<u32>; 5] {
    let row = |value: fn(&Moves) -> u32| moves.iter().map(value).collect();
    [
        row(|moves| moves.window.stride),
        row(|moves| moves.window.dilation),
        row(|moves| moves.window.before),
        row(|moves| moves.window.after),
        row(|moves| moves.beyond),
    ]
}

/// Lengths as numbers of a [`table`].
pub(super) fn numbers(lengths: &[usize]) -> Result<Vec<u32>, Refusal> {
    lengths
        .iter()
        .map(|&length| u32::try_from(length))
        .collect::<Result<_, _>>()
        .map_err(|_| "an axis is too long".into())
}

/// The attribute `kernel_shape`.
pub(super) fn kernel_shape(call: &Call<'_>) -> Result<Option<Vec<usize>>, Refusal> {
    let Some(kernel) = call.attributes.ints("kernel_shape")? else { return Ok(None) };
    let taps: Option<Vec<usize>> = kernel.iter().map(|&taps| usize::try_from(taps).ok()).collect();
    taps.map(Some).ok_or_else(|| Refusal(format!("attribute kernel_shape is {kernel:?}")))
}
