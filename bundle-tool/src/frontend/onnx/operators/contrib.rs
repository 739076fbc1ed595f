//! Operators of `com.microsoft` that ONNX Runtime's optimizers put in the place of parts of a graph, but for attention.

use ekiben_runtime::DType;
use ekiben_runtime::ops::batch_mat_mul::BatchMatMul;
use ekiben_runtime::ops::binary::{Binary, BinaryKind};
use ekiben_runtime::ops::cast::Cast;
use ekiben_runtime::ops::compare::{Compare, CompareKind};
use ekiben_runtime::ops::gather::Gather;
use ekiben_runtime::ops::mat_mul::MatMul;
use ekiben_runtime::ops::reduce::{Reduce, ReduceKind};
use ekiben_runtime::ops::unary::{Unary, UnaryKind};

use super::super::call::{Call, Lowered, Refusal, Value, one};
use super::indexing::{Part, take};
use super::normalization::{NormInputs, normalised};
use super::{Lower, contrib_attention, contrib_group_query, convolution, dense, elementwise};
use crate::graph::TensorId;

/// How an operator is lowered.
pub(super) fn find(name: &str) -> Option<Lower> {
    Some(match name {
        "Attention" => contrib_attention::attention,
        "BiasAdd" => bias_add,
        "BiasGelu" | "Gelu" => |call| activated(call, Unary::of(UnaryKind::Gelu)),
        "BiasSplitGelu" => bias_split_gelu,
        "EmbedLayerNormalization" => embed_layer_norm,
        "FastGelu" => |call| activated(call, Unary::of(UnaryKind::GeluTanh)),
        "FusedConv" => |call| with_activation(call, convolution::conv),
        "FusedGemm" => |call| with_activation(call, dense::gemm),
        "FusedMatMul" | "TransposeMatMul" => fused_mat_mul,
        "FusedMatMulActivation" => |call| with_activation(call, fused_mat_mul),
        "GroupQueryAttention" => contrib_group_query::attention,
        "MultiHeadAttention" => contrib_attention::multi_head,
        "NhwcConv" => nhwc_conv,
        "NhwcFusedConv" => |call| with_activation(call, nhwc_conv),
        "QuickGelu" => |call| {
            let alpha = call.attributes.float("alpha")?.unwrap_or(1.702);
            let x = call.tensor(0)?;
            one(call.add(elementwise::swish(alpha), &[x])?)
        },
        "RotaryEmbedding" => contrib_attention::rotary,
        "SkipLayerNormalization" => |call| skip_norm(call, false),
        "SkipSimplifiedLayerNormalization" => |call| skip_norm(call, true),
        _ => return None,
    })
}

fn sum(call: &mut Call<'_>, a: TensorId, b: Option<TensorId>) -> Result<TensorId, Refusal> {
    match b {
        Some(b) => call.add(Binary { kind: BinaryKind::Add }, &[a, b]),
        None => Ok(a),
    }
}

/// A function of the sum of the first input and, if it is there, the second.
fn activated(call: &mut Call<'_>, function: Unary) -> Lowered {
    let (x, bias) = (call.tensor(0)?, call.optional(1)?);
    let x = sum(call, x, bias)?;
    one(call.add(function, &[x])?)
}

fn bias_add(call: &mut Call<'_>) -> Lowered {
    let (x, bias, skip) = (call.tensor(0)?, call.tensor(1)?, call.tensor(2)?);
    let x = sum(call, x, Some(bias))?;
    one(sum(call, x, Some(skip))?)
}

/// The left half times Gelu of the right half, of the sum of both inputs.
fn bias_split_gelu(call: &mut Call<'_>) -> Lowered {
    let (x, bias) = (call.tensor(0)?, call.tensor(1)?);
    let x = sum(call, x, Some(bias))?;
    let mut parts = Part::whole(&call.shape(x));
    let last = parts.last_mut().filter(|part| part.length % 2 == 0).ok_or("its last axis must be of even length")?;
    last.length /= 2;
    let left = take(call, x, &parts)?;
    if let Some(last) = parts.last_mut() {
        last.start = last.length;
    }
    let right = take(call, x, &parts)?;
    let right = call.add(Unary::of(UnaryKind::Gelu), &[right])?;
    one(call.add(Binary { kind: BinaryKind::Mul }, &[left, right])?)
}

/// The operator that `function` lowers, then input 3 added, if the operator has one, and the function that `activation` names.
fn with_activation(call: &mut Call<'_>, function: Lower) -> Lowered {
    let name = call.attributes.string("activation")?.unwrap_or("");
    let stated = call.attributes.floats("activation_params")?.map(<[f32]>::to_vec);
    let mut parameters =
        [stated.as_ref().and_then(|stated| stated.first()).copied(), stated.and_then(|stated| stated.get(1).copied())];
    for (slot, name) in parameters.iter_mut().zip(["activation_alpha", "activation_beta"]) {
        *slot = call.attributes.float(name)?.or(*slot);
    }
    // Functions with a third parameter or an axis are not among those below.
    call.attributes.ignore(&["activation_gamma", "activation_axis"]);
    let or = |index: usize, default: f32| f64::from(parameters[index].unwrap_or(default));
    let op = match name {
        "" => None,
        "Relu" => Some(Unary::of(UnaryKind::Relu)),
        "Sigmoid" => Some(Unary::of(UnaryKind::Sigmoid)),
        "Tanh" => Some(Unary::of(UnaryKind::Tanh)),
        "LeakyRelu" => Some(Unary { kind: UnaryKind::LeakyRelu, alpha: or(0, 0.01), beta: 0.0 }),
        "Clip" => Some(Unary { kind: UnaryKind::Clip, alpha: or(0, f32::MIN), beta: or(1, f32::MAX) }),
        "HardSigmoid" => Some(Unary { kind: UnaryKind::HardSigmoid, alpha: or(0, 0.2), beta: or(1, 0.5) }),
        other => return Err(Refusal(format!("attribute activation is {other:?}"))),
    };
    let residual = call.optional(3)?;
    let Some(Value::Tensor(result)) = function(call)?.into_iter().next() else {
        return Err("it has no result".into());
    };
    let result = sum(call, result, residual)?;
    one(op.map_or(Ok(result), |op| call.add(op, &[result]))?)
}

/// A convolution of `[N, H, W, C]`.
fn nhwc_conv(call: &mut Call<'_>) -> Lowered {
    let x = call.tensor(0)?;
    let rank = call.shape(x).rank();
    if rank < 3 {
        return Err("it needs three axes at least".into());
    }
    let to_first: Vec<usize> = [0, rank - 1].into_iter().chain(1..rank - 1).collect();
    let to_last: Vec<usize> = std::iter::once(0).chain(2..rank).chain([1]).collect();
    call.inputs[0] = Some(Value::Tensor(call.transpose(x, &to_first)?));
    let Some(Value::Tensor(result)) = convolution::conv(call)?.into_iter().next() else {
        return Err("it has no result".into());
    };
    one(call.transpose(result, &to_last)?)
}

/// An operand of [`fused_mat_mul`] with its axes where a product needs them.
fn operand(call: &mut Call<'_>, index: usize, [swap, rotate]: [&str; 2]) -> Result<(TensorId, bool), Refusal> {
    let x = call.tensor(index)?;
    let rank = call.shape(x).rank();
    // A list has nothing to swap.
    let (swapped, rotated) = (call.attributes.flag(swap, false)? && rank > 1, call.attributes.flag(rotate, false)?);
    if !rotated {
        return Ok((x, swapped));
    }
    if rank < 3 {
        return Err(Refusal(format!("attribute {rotate} needs three axes at least")));
    }
    let order: Vec<usize> = (1..rank - 1).chain([0, rank - 1]).collect();
    Ok((call.transpose(x, &order)?, swapped))
}

/// `alpha * A * B`, of which either may have its last two axes swapped.
fn fused_mat_mul(call: &mut Call<'_>) -> Lowered {
    let alpha = call.attributes.float("alpha")?.unwrap_or(1.0);
    let (mut a, swap_a) = operand(call, 0, ["transA", "transBatchA"])?;
    let (mut b, swap_b) = operand(call, 1, ["transB", "transBatchB"])?;
    if call.shape(a).rank() < 2 || call.shape(b).rank() < 2 {
        return Err("it needs two matrices".into());
    }
    let swapped = |call: &mut Call<'_>, x: TensorId| {
        let mut order: Vec<usize> = (0..call.shape(x).rank()).collect();
        order.reverse();
        let rest = order.split_off(2);
        call.transpose(x, &rest.into_iter().rev().chain(order).collect::<Vec<_>>())
    };
    if swap_a {
        a = swapped(call, a)?;
    }
    let shared = call.shape(b).rank() == 2 && !call.shape(b).is_batched();
    if swap_b && !shared {
        b = swapped(call, b)?;
    }
    let product = match shared {
        true => call.add(MatMul { transpose_b: swap_b }, &[a, b])?,
        false => call.add(BatchMatMul, &[a, b])?,
    };
    one(dense::scaled(call, product, alpha)?)
}

/// Normalises the sum of input, skip and bias.
fn skip_norm(call: &mut Call<'_>, root_mean_square: bool) -> Lowered {
    let epsilon = call.attributes.float("epsilon")?.unwrap_or(1e-12).into();
    let (x, skip, scale) = (call.tensor(0)?, call.tensor(1)?, call.tensor(2)?);
    let (shift, bias) = match root_mean_square {
        true => (None, call.optional(3)?),
        false => (call.optional(3)?, call.optional(4)?),
    };
    let all = sum(call, x, Some(skip))?;
    let all = sum(call, all, bias)?;
    if call.shape(all) != call.shape(x) {
        return Err("input 1 does not broadcast to input 0".into());
    }
    let (axis, dtype) = (call.shape(all).rank().saturating_sub(1), call.dtype(all));
    let inputs = NormInputs { x: all, scale: Some(scale), bias: shift, epsilon };
    let wanted = |index: usize| call.outputs.get(index).copied().unwrap_or(false);
    if wanted(1) || wanted(2) {
        return Err("outputs mean and inv_std_var are for training only".into());
    }
    let result = normalised(call, inputs, axis, dtype, root_mean_square, 0)?[0];
    Ok(vec![Value::Tensor(result), Value::Blocked, Value::Blocked, Value::Tensor(all)])
}

/// The sum of the embeddings of words, positions and segments, normalised.
fn embed_layer_norm(call: &mut Call<'_>) -> Lowered {
    let epsilon = call.attributes.float("epsilon")?.unwrap_or(1e-12).into();
    call.attributes.ignore(&["mask_index_type"]);
    let (ids, segments) = (call.tensor(0)?, call.optional(1)?);
    let (words, positions, kinds) = (call.tensor(2)?, call.tensor(3)?, call.optional(4)?);
    let (scale, bias, mask) = (call.tensor(5)?, call.tensor(6)?, call.optional(7)?);
    let length = call.shape(ids).factor(1).ok_or("input_ids must have two axes")?;
    let words = call.add(Gather { axis: 0 }, &[words, ids])?;
    let places = match call.optional(8)? {
        Some(places) => call.add(Gather { axis: 0 }, &[positions, places])?,
        None => {
            let mut parts = Part::whole(&call.shape(positions));
            let rows = parts.first_mut().filter(|rows| rows.length >= length as i64);
            rows.ok_or("input 3 has fewer positions than input 0")?.length = length as i64;
            take(call, positions, &parts)?
        }
    };
    let embedded = sum(call, words, Some(places))?;
    let kinds = match (segments, kinds) {
        (Some(segments), Some(kinds)) => Some(call.add(Gather { axis: 0 }, &[kinds, segments])?),
        (None, None) => None,
        _ => return Err("segment_ids and segment_embedding must be given together".into()),
    };
    let all = sum(call, embedded, kinds)?;
    let (axis, dtype) = (call.shape(all).rank().saturating_sub(1), call.dtype(all));
    let inputs = NormInputs { x: all, scale: Some(scale), bias: Some(bias), epsilon };
    let result = normalised(call, inputs, axis, dtype, false, 0)?[0];
    let wanted = |index: usize| call.outputs.get(index).copied().unwrap_or(false);
    let count = match (wanted(1), mask) {
        (false, _) => Value::Blocked,
        (true, Some(mask)) => Value::Tensor(ones(call, mask)?),
        (true, None) => return Err("output mask_index needs the input mask".into()),
    };
    Ok(vec![Value::Tensor(result), count, Value::Tensor(all)])
}

/// How many elements of each row are 1.
fn ones(call: &mut Call<'_>, mask: TensorId) -> Result<TensorId, Refusal> {
    let one = match call.dtype(mask) {
        DType::I64 => call.constant(DType::I64, &[], &[1i64])?,
        _ => call.constant(DType::I32, &[], &[1i32])?,
    };
    let equal = call.add(Compare { kind: CompareKind::Equal }, &[mask, one])?;
    let counted = call.add(Cast { to: DType::I32 }, &[equal])?;
    call.add(Reduce { kind: ReduceKind::Sum, axes: 1 << 1, keep: false }, &[counted])
}
