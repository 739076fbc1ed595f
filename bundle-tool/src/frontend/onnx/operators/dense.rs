//! Matrix products.

use ekiben_runtime::ops::batch_mat_mul::BatchMatMul;
use ekiben_runtime::ops::binary::{Binary, BinaryKind};
use ekiben_runtime::ops::mat_mul::MatMul;
use ekiben_runtime::ops::unary::{Unary, UnaryKind};

use super::super::call::{Call, Lowered, Refusal, one};
use super::super::count::Count;
use super::shape::shape_of_counts;
use crate::graph::TensorId;

/// `alpha * A * B + beta * C`, with A and B transposed where the attributes say.
pub(super) fn gemm(call: &mut Call<'_>) -> Lowered {
    let alpha = call.attributes.float("alpha")?.unwrap_or(1.0);
    let beta = call.attributes.float("beta")?.unwrap_or(1.0);
    let transpose_a = call.attributes.flag("transA", false)?;
    let transpose_b = call.attributes.flag("transB", false)?;
    let (mut a, b, c) = (call.tensor(0)?, call.tensor(1)?, call.optional(2)?);
    if call.shape(a).rank() != 2 || call.shape(b).rank() != 2 {
        return Err("it needs two matrices".into());
    }
    // 16-bit floats are summed in float32, the matrix as it is stored.
    let dtype = call.dtype(a);
    a = call.widened(a)?;
    let c = c.map(|c| call.widened(c)).transpose()?;
    if transpose_a {
        a = call.transpose(a, &[1, 0])?;
    }
    let width = call.shape(b).factors()[if transpose_b { 0 } else { 1 }] as usize;
    let bias = match c {
        Some(c) if alpha == 1.0 && beta == 1.0 => row(call, c, width)?,
        _ => None,
    };
    if let Some(bias) = bias {
        let result = call.add(MatMul { transpose_b }, &[a, b, bias])?;
        return one(call.cast(result, dtype)?);
    }
    let mut result = call.add(MatMul { transpose_b }, &[a, b])?;
    result = scaled(call, result, alpha)?;
    if let Some(c) = c.filter(|_| beta != 0.0) {
        let c = scaled(call, c, beta)?;
        let product = call.shape(result);
        result = call.add(Binary { kind: BinaryKind::Add }, &[result, c])?;
        if call.shape(result) != product {
            return Err("input 2 does not broadcast to the product".into());
        }
    }
    one(call.cast(result, dtype)?)
}

/// The tensor as `[width]`, when it is one row of that many fixed elements.
fn row(call: &mut Call<'_>, c: TensorId, width: usize) -> Result<Option<TensorId>, Refusal> {
    let shape = call.shape(c);
    let is_row = shape.elements() == Some(width as u64)
        && !shape.is_batched()
        && shape.factors().last().is_some_and(|&last| last as usize == width);
    if is_row { call.reshape_to(c, &[width], None).map(Some) } else { Ok(None) }
}

/// `factor * x`.
pub(super) fn scaled(call: &mut Call<'_>, x: TensorId, factor: f32) -> Result<TensorId, Refusal> {
    if factor == 1.0 {
        return Ok(x);
    }
    call.add(Unary { kind: UnaryKind::Affine, alpha: factor.into(), beta: 0.0 }, &[x])
}

/// numpy's `matmul`: lists become matrices of one row or column, leading axes broadcast.
pub(super) fn mat_mul(call: &mut Call<'_>) -> Lowered {
    let (mut a, mut b) = (call.tensor(0)?, call.tensor(1)?);
    let (shape_a, shape_b) = (call.shape(a), call.shape(b));
    if shape_a.rank() == 0 || shape_b.rank() == 0 {
        return Err("it needs one axis at least".into());
    }
    let (row, column) = (shape_a.rank() == 1, shape_b.rank() == 1);
    if row {
        a = call.reshape_to(a, &[1, shape_a.factors()[0] as usize], shape_a.batch_axis().map(|_| 1))?;
    }
    if column {
        b = call.reshape_to(b, &[shape_b.factors()[0] as usize, 1], shape_b.batch_axis())?;
    }
    let shared = call.shape(b).rank() == 2 && !call.shape(b).is_batched();
    // 16-bit floats are summed in float32, a shared matrix as it is stored.
    let dtype = call.dtype(a);
    a = call.widened(a)?;
    let product = if shared {
        call.add(MatMul { transpose_b: false }, &[a, b])?
    } else {
        b = call.widened(b)?;
        call.add(BatchMatMul, &[a, b])?
    };
    let product = call.cast(product, dtype)?;
    let shape = call.shape(product);
    let rank = shape.rank();
    let kept = (0..rank).filter(|&axis| !(row && axis + 2 == rank || column && axis + 1 == rank));
    let shape = shape_of_counts(&kept.map(|axis| Count::of_axis(&shape, axis)).collect::<Vec<_>>())?;
    one(call.reshape(product, shape)?)
}
