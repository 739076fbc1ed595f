//! Pooling over windows and over all spatial axes, and what undoes it.

use ekiben_runtime::kernels::reference::linear::{Target, range};
use ekiben_runtime::ops::binary::{Binary, BinaryKind};
use ekiben_runtime::ops::integer_binary::{Place, Real};
use ekiben_runtime::ops::integer_pool2d::IntegerPool2d;
use ekiben_runtime::ops::max_unpool::MaxUnpool;
use ekiben_runtime::ops::pool_nd::{PoolNd, PoolNdKind};
use ekiben_runtime::ops::pool2d::{Pool2d, PoolKind};
use ekiben_runtime::ops::reduce::{Reduce, ReduceKind};
use ekiben_runtime::ops::unary::{Unary, UnaryKind};
use ekiben_runtime::{DType, Shape, TensorSpec};

use super::super::call::{Call, Lowered, Refusal, Value, one};
use super::super::count::Count;
use super::window::{
    Moves, channels_first, images, kernel_shape, list, moves, numbers, rows, spatial_lengths, table, window2d,
};
use crate::graph::TensorId;

/// A pool's input, its kernel, and how that moves.
struct Pooling {
    x: TensorId,
    kernel: Vec<u32>,
    moves: Vec<Moves>,
}

fn pooling(call: &mut Call<'_>) -> Result<Pooling, Refusal> {
    let x = call.tensor(0)?;
    let kernel = kernel_shape(call)?.ok_or("attribute kernel_shape is missing")?;
    let ceil = call.attributes.flag("ceil_mode", false)?;
    let moves = moves(call, &spatial_lengths(call, x)?, &kernel, ceil)?;
    Ok(Pooling { x, kernel: numbers(&kernel)?, moves })
}

impl Pooling {
    /// True when an operator for images of two axes takes it.
    fn is_image(&self, call: &Call<'_>, kind: PoolKind) -> bool {
        let bytes = kind == PoolKind::Max && matches!(call.dtype(self.x), DType::I8 | DType::U8);
        self.kernel.len() <= 2 && (bytes || call.dtype(self.x) == DType::F32)
    }

    fn image(&self, call: &mut Call<'_>, kind: PoolKind) -> Lowered {
        let images = images(call, self.x)?;
        let kernel = match self.kernel[..] {
            [columns] => [1, columns],
            _ => [self.kernel[0], self.kernel[1]],
        };
        let (window, dtype) = (window2d(&self.moves)?, call.dtype(images.tensor));
        let result = match dtype {
            DType::I8 | DType::U8 => {
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

    /// Adds the operator that takes any number of axes; `outputs` are 1, or 2 for indices too.
    fn any(&self, call: &mut Call<'_>, op: PoolNd, outputs: usize) -> Lowered {
        let [strides, dilations, before, after, beyond] = rows(&self.moves);
        let table = table(call, &[&self.kernel, &strides, &dilations, &before, &after, &beyond])?;
        let shape = self.result(call)?;
        let spec = TensorSpec { shape, ..call.graph.spec(self.x) };
        let declared = [spec, TensorSpec::new(DType::I64, shape)];
        let results = call.add_node(op.into(), &[Some(self.x), Some(table)], &declared[..outputs])?;
        Ok(results.into_iter().map(Value::Tensor).collect())
    }

    fn result(&self, call: &Call<'_>) -> Result<Shape, Refusal> {
        let shape = call.shape(self.x);
        let mut dims: Vec<usize> = shape.factors().iter().map(|&dim| dim as usize).collect();
        for ((length, moves), &taps) in dims.iter_mut().skip(2).zip(&self.moves).zip(&self.kernel) {
            let positions = moves.reaching().output_length(*length, taps as usize);
            *length = positions.ok_or("the kernel is larger than the padded input")?;
        }
        Ok(Shape::new(&dims, shape.batch_axis())?)
    }
}

pub(super) fn max(call: &mut Call<'_>) -> Lowered {
    call.at_most_outputs(2)?;
    let columns_first = call.attributes.flag("storage_order", false)?;
    let pooling = pooling(call)?;
    let indices = call.outputs.get(1).copied().unwrap_or(false);
    if pooling.is_image(call, PoolKind::Max) && !indices {
        return pooling.image(call, PoolKind::Max);
    }
    let op = PoolNd { kind: PoolNdKind::Max, p: 1, columns_first };
    pooling.any(call, op, if indices { 2 } else { 1 })
}

pub(super) fn average(call: &mut Call<'_>) -> Lowered {
    let counted = call.attributes.flag("count_include_pad", false)?;
    let pooling = pooling(call)?;
    let overhangs = pooling.moves.iter().any(|moves| moves.beyond > 0);
    if pooling.is_image(call, PoolKind::Average) && !(counted && overhangs) {
        return pooling.image(call, if counted { PoolKind::AveragePadded } else { PoolKind::Average });
    }
    let kind = if counted { PoolNdKind::AveragePadded } else { PoolNdKind::Average };
    pooling.any(call, PoolNd { kind, p: 1, columns_first: false }, 1)
}

/// The power of a norm.
fn power(call: &Call<'_>) -> Result<u32, Refusal> {
    let p = call.attributes.int("p")?.unwrap_or(2);
    u32::try_from(p).ok().filter(|&p| p > 0).ok_or_else(|| Refusal(format!("attribute p is {p}; it must be 1 or more")))
}

pub(super) fn lp(call: &mut Call<'_>) -> Lowered {
    let p = power(call)?;
    let pooling = pooling(call)?;
    pooling.any(call, PoolNd { kind: PoolNdKind::Norm, p, columns_first: false }, 1)
}

pub(super) fn max_unpool(call: &mut Call<'_>) -> Lowered {
    let (x, indices) = (call.tensor(0)?, call.tensor(1)?);
    let shape = call.shape(x);
    let lengths = spatial_lengths(call, x)?;
    let axes = lengths.len();
    let kernel = kernel_shape(call)?.filter(|kernel| kernel.len() == axes);
    let kernel = numbers(&kernel.ok_or("attribute kernel_shape must have a length for each spatial axis")?)?;
    let (strides, pads) = (list(call, "strides", axes, 1)?, list(call, "pads", 2 * axes, 0)?);
    let mut from = Vec::new();
    for axis in 0..axes {
        let full = (lengths[axis] as u64).saturating_sub(1).saturating_mul(strides[axis].into());
        let full = full.saturating_add(kernel[axis].into());
        let length = full.checked_sub(u64::from(pads[axis]) + u64::from(pads[axes + axis]));
        let length = length.and_then(|length| u32::try_from(length).ok()).filter(|&length| length > 0);
        from.push(length.ok_or("the pads are larger than what is unpooled")?);
    }
    let mut to = from.clone();
    if call.has(2) {
        let stated = call.counts(2)?.values;
        if stated.len() != axes + 2 || (0..2).any(|axis| stated[axis] != Count::of_axis(&shape, axis)) {
            return Err("the output's shape is not one of the input's batch and channels".into());
        }
        for (to, stated) in to.iter_mut().zip(&stated[2..]) {
            let length = stated.number().and_then(|length| u32::try_from(length).ok());
            *to = length.ok_or_else(|| Refusal(format!("the output has an axis of length {stated}")))?;
        }
    }
    let table = table(call, &[&from, &to])?;
    one(call.add(MaxUnpool, &[x, indices, table])?)
}

/// The reduction of all spatial axes of a tensor of `rank` axes.
fn over_space(kind: ReduceKind, rank: usize) -> Result<Reduce, Refusal> {
    if rank < 3 {
        return Err("it needs a spatial axis".into());
    }
    Ok(Reduce { kind, axes: (2..rank).fold(0, |axes, axis| axes | 1u8 << axis), keep: true })
}

fn global(call: &mut Call<'_>, kind: ReduceKind) -> Lowered {
    let x = call.tensor(0)?;
    let op = over_space(kind, call.shape(x).rank())?;
    one(call.add(op, &[x])?)
}

pub(super) fn global_average(call: &mut Call<'_>) -> Lowered {
    global(call, ReduceKind::Mean)
}

pub(super) fn global_max(call: &mut Call<'_>) -> Lowered {
    global(call, ReduceKind::Max)
}

pub(super) fn global_lp(call: &mut Call<'_>) -> Lowered {
    let p = power(call)?;
    match p {
        1 => return global(call, ReduceKind::L1),
        2 => return global(call, ReduceKind::L2),
        _ => {}
    }
    let x = call.tensor(0)?;
    let op = over_space(ReduceKind::Sum, call.shape(x).rank())?;
    let size = call.add(Unary::of(UnaryKind::Abs), &[x])?;
    let power = call.floats_like(x, &[], &[p.into()])?;
    let raised = call.add(Binary { kind: BinaryKind::Pow }, &[size, power])?;
    let sum = call.add(op, &[raised])?;
    let root = call.floats_like(x, &[], &[1.0 / f64::from(p)])?;
    one(call.add(Binary { kind: BinaryKind::Pow }, &[sum, root])?)
}
