//! Attributes of sliding windows, and images between ONNX's layout and ours.

use ekiben_runtime::ops::conv2d::{Window, WindowAxis};

use super::super::call::{Call, Refusal};
use crate::graph::TensorId;

/// One or two spatial axes in NHWC, of which the height is 1 when there is just one.
pub(super) struct Images {
    /// `[N, H, W, C]`.
    pub(super) tensor: TensorId,
    /// Lengths of the spatial axes.
    pub(super) lengths: Vec<usize>,
}

/// Reads `[N, C, L]` or `[N, C, H, W]`.
pub(super) fn images(call: &mut Call<'_>, x: TensorId) -> Result<Images, Refusal> {
    let shape = call.shape(x);
    let dims: Vec<usize> = shape.factors().iter().map(|&dim| dim as usize).collect();
    if shape.batch_axis().is_some_and(|axis| axis > 0) {
        return Err("it needs the batch on the first axis".into());
    }
    match dims[..] {
        [n, c, length] => {
            let moved = call.transpose(x, &[0, 2, 1])?;
            let tensor = call.reshape_to(moved, &[n, 1, length, c], shape.batch_axis())?;
            Ok(Images { tensor, lengths: vec![length] })
        }
        [_, _, height, width] => Ok(Images { tensor: call.transpose(x, &[0, 2, 3, 1])?, lengths: vec![height, width] }),
        _ => Err(Refusal(format!("an input of {} axes; one or two spatial axes are supported", dims.len()))),
    }
}

/// The reverse of [`images`], for `spatial` axes.
pub(super) fn channels_first(call: &mut Call<'_>, y: TensorId, spatial: usize) -> Result<TensorId, Refusal> {
    if spatial == 2 {
        return call.transpose(y, &[0, 3, 1, 2]);
    }
    let shape = call.shape(y);
    let dims = [0, 2, 3].map(|axis| shape.factor(axis).unwrap_or(1));
    let flat = call.reshape_to(y, &dims, shape.batch_axis())?;
    call.transpose(flat, &[0, 2, 1])
}

/// How a window moves, and what `ceil_mode` adds.
pub(super) struct Sliding {
    /// The window; an absent height is dense.
    pub(super) window: Window,
    /// True when some window reaches beyond the padding.
    pub(super) overhangs: bool,
}

/// Reads `strides`, `dilations`, `pads`, `auto_pad` and `ceil_mode` for a kernel on axes of `lengths`.
pub(super) fn sliding(call: &Call<'_>, lengths: &[usize], kernel: &[usize]) -> Result<Sliding, Refusal> {
    let axes = lengths.len();
    if kernel.len() != axes {
        return Err(Refusal(format!("a kernel of {} axes on {axes}", kernel.len())));
    }
    let list = |name: &str, count: usize, default: i64| -> Result<Vec<u32>, Refusal> {
        let values = call.attributes.ints(name)?.map_or_else(|| vec![default; count], <[i64]>::to_vec);
        let numbers: Option<Vec<u32>> = values.iter().map(|&value| u32::try_from(value).ok()).collect();
        numbers.filter(|list| list.len() == count).ok_or_else(|| Refusal(format!("attribute {name} is {values:?}")))
    };
    let (strides, dilations) = (list("strides", axes, 1)?, list("dilations", axes, 1)?);
    let pads = list("pads", 2 * axes, 0)?;
    let auto = call.attributes.string("auto_pad")?.unwrap_or("NOTSET");
    let ceil = call.attributes.has("ceil_mode") && call.attributes.flag("ceil_mode", false)?;
    let mut windows = Vec::new();
    let mut overhangs = false;
    for axis in 0..axes {
        let (stride, dilation) = (strides[axis], dilations[axis]);
        if stride == 0 || dilation == 0 || kernel[axis] == 0 {
            return Err("a stride, a dilation or a kernel is 0".into());
        }
        let span = (kernel[axis] as u64 - 1).saturating_mul(dilation.into()).saturating_add(1);
        let length = lengths[axis] as u64;
        let (before, mut after) = match auto {
            "NOTSET" => (pads[axis], pads[axes + axis]),
            "VALID" => (0, 0),
            "SAME_UPPER" | "SAME_LOWER" => {
                let outputs = length.div_ceil(stride.into());
                let needed =
                    (outputs.saturating_sub(1) * u64::from(stride)).saturating_add(span).saturating_sub(length);
                let needed = u32::try_from(needed).map_err(|_| "the kernel is too large")?;
                let (less, more) = (needed / 2, needed - needed / 2);
                if auto == "SAME_UPPER" { (less, more) } else { (more, less) }
            }
            other => return Err(Refusal(format!("attribute auto_pad is {other:?}"))),
        };
        if ceil {
            let padded = length + u64::from(before) + u64::from(after);
            let steps = padded.checked_sub(span).ok_or("the kernel is larger than the padded input")?;
            let stride = u64::from(stride);
            let last = steps.div_ceil(stride) * stride;
            // The last window starts inside the input or the padding before it.
            if last > steps && last < length + u64::from(before) {
                after += u32::try_from(last - steps).map_err(|_| "the kernel is too large")?;
                overhangs = true;
            }
        }
        windows.push(WindowAxis { stride, dilation, before, after });
    }
    let window = match windows[..] {
        [columns] => Window { rows: WindowAxis::DENSE, columns },
        [rows, columns] => Window { rows, columns },
        _ => return Err("one or two spatial axes are supported".into()),
    };
    Ok(Sliding { window, overhangs })
}

/// The attribute `kernel_shape`.
pub(super) fn kernel_shape(call: &Call<'_>) -> Result<Option<Vec<usize>>, Refusal> {
    let Some(kernel) = call.attributes.ints("kernel_shape")? else { return Ok(None) };
    let taps: Option<Vec<usize>> = kernel.iter().map(|&taps| usize::try_from(taps).ok()).collect();
    taps.map(Some).ok_or_else(|| Refusal(format!("attribute kernel_shape is {kernel:?}")))
}
