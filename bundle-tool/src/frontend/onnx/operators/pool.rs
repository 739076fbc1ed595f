//! Pooling over one or two axes, and over all of them.

use ekiben_runtime::DType;
use ekiben_runtime::kernels::reference::linear::{Target, range};
use ekiben_runtime::ops::conv2d::Window;
use ekiben_runtime::ops::integer_binary::{Place, Real};
use ekiben_runtime::ops::integer_pool2d::IntegerPool2d;
use ekiben_runtime::ops::pool2d::{Pool2d, PoolKind};
use ekiben_runtime::ops::reduce::{Reduce, ReduceKind};

use super::super::call::{Call, Lowered, Refusal, one};
use super::window::{Images, channels_first, images, kernel_shape, sliding};

fn pool(call: &mut Call<'_>, images: &Images, kind: PoolKind, kernel: &[usize], window: Window) -> Lowered {
    let taps = |axis: usize| u32::try_from(kernel[axis]).map_err(|_| Refusal("the kernel is too large".to_owned()));
    let kernel = if kernel.len() == 1 { [1, taps(0)?] } else { [taps(0)?, taps(1)?] };
    let dtype = call.dtype(images.tensor);
    let result = match dtype {
        DType::I8 | DType::U8 if kind == PoolKind::Max => {
            // At any scale.
            let (low, high) = range(dtype);
            let target = Target { zero: 0, low: low as i16, high: high as i16 };
            let (input, place) = (Real { scale: 1.0, zero: 0 }, Place { scale: 1.0, target });
            call.add(IntegerPool2d { kind, kernel, window, input, dtype, place }, &[images.tensor])?
        }
        _ => call.add(Pool2d { kind, kernel, window }, &[images.tensor])?,
    };
    one(channels_first(call, result, images.lengths.len())?)
}

pub(super) fn max(call: &mut Call<'_>) -> Lowered {
    call.at_most_outputs(1)?;
    if call.attributes.int("storage_order")?.unwrap_or(0) != 0 {
        return Err("attribute storage_order must be 0".into());
    }
    let x = call.tensor(0)?;
    let kernel = kernel_shape(call)?.ok_or("attribute kernel_shape is missing")?;
    let images = images(call, x)?;
    let window = sliding(call, &images.lengths, &kernel)?.window;
    pool(call, &images, PoolKind::Max, &kernel, window)
}

pub(super) fn average(call: &mut Call<'_>) -> Lowered {
    let counted = call.attributes.flag("count_include_pad", false)?;
    let x = call.tensor(0)?;
    let kernel = kernel_shape(call)?.ok_or("attribute kernel_shape is missing")?;
    let images = images(call, x)?;
    let sliding = sliding(call, &images.lengths, &kernel)?;
    if counted && sliding.overhangs {
        return Err("count_include_pad=1 with a ceil_mode that adds windows is not supported".into());
    }
    let kind = if counted { PoolKind::AveragePadded } else { PoolKind::Average };
    pool(call, &images, kind, &kernel, sliding.window)
}

fn global(call: &mut Call<'_>, kind: ReduceKind) -> Lowered {
    let x = call.tensor(0)?;
    let rank = call.shape(x).rank();
    if rank < 3 {
        return Err("it needs a spatial axis".into());
    }
    let axes = (2..rank).fold(0, |axes, axis| axes | 1u8 << axis);
    one(call.add(Reduce { kind, axes, keep: true }, &[x])?)
}

pub(super) fn global_average(call: &mut Call<'_>) -> Lowered {
    global(call, ReduceKind::Mean)
}

pub(super) fn global_max(call: &mut Call<'_>) -> Lowered {
    global(call, ReduceKind::Max)
}
