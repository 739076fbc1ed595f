//! Quantized operators of `com.microsoft`, as ONNX Runtime's quantizer and optimizer write them.
//!
//! QLinear operators other than products become DequantizeLinear, the float operator and QuantizeLinear: that is what they compute, and
//! where the scales are known a pass turns the three into one operator on integers.

use ekiben_runtime::ops::binary::{Binary, BinaryKind};
use ekiben_runtime::ops::block_mat_mul::BlockMatMul;
use ekiben_runtime::ops::cast::Cast;
use ekiben_runtime::ops::dynamic_quantize::DynamicQuantize;
use ekiben_runtime::ops::integer::Outcome;
use ekiben_runtime::ops::integer_mat_mul::IntegerMatMul;
use ekiben_runtime::ops::linear_dequantize::LinearDequantize;
use ekiben_runtime::ops::linear_quantize::LinearQuantize;
use ekiben_runtime::ops::unary::{Unary, UnaryKind};
use ekiben_runtime::{DType, Shape, TensorSpec};

use super::super::call::{Call, Lowered, Refusal, Value, one};
use super::quantization::{Product, Scaled, Zero, list, nonzero, scalar, scale};
use super::{Lower, arithmetic, elementwise, layout, logic, normalization, pool, quantization};
use crate::graph::TensorId;

/// How a quantized operator of `com.microsoft` is lowered.
pub(super) fn find(name: &str) -> Option<Lower> {
    Some(match name {
        "DequantizeLinear" => quantization::dequantize_linear,
        "DynamicQuantizeMatMul" => dynamic_quantize_mat_mul,
        "MatMulIntegerToFloat" => mat_mul_integer_to_float,
        "MatMulNBits" => mat_mul_n_bits,
        "QGemm" => gemm,
        "QLinearAdd" => |call| pair(call, "Add"),
        "QLinearAveragePool" => |call| spatial(call, pool::average),
        "QLinearConcat" => concat,
        "QLinearConv" => quantization::qlinear_conv,
        "QLinearGlobalAveragePool" => |call| spatial(call, pool::global_average),
        "QLinearLeakyRelu" => |call| single(call, "LeakyRelu"),
        "QLinearMul" => |call| pair(call, "Mul"),
        "QLinearSigmoid" => |call| single(call, "Sigmoid"),
        "QLinearSoftmax" => softmax,
        "QLinearWhere" => choose,
        "QuantizeLinear" => quantization::quantize_linear,
        _ => return None,
    })
}

/// The numbers of a tensor with one scale and zero point, at three inputs from `index` on.
fn numbers(call: &mut Call<'_>, index: usize) -> Result<TensorId, Refusal> {
    let (x, scale, zero) = (call.tensor(index)?, scale(call, index + 1)?, call.optional(index + 2)?);
    let mut inputs = vec![x, scalar(call, scale)?];
    if let Some(zero) = zero {
        inputs.push(scalar(call, zero)?);
    }
    call.add(LinearDequantize { dtype: DType::F32, axis: 0, block: 0 }, &inputs)
}

/// The result of a float operator on these inputs.
fn apply(call: &mut Call<'_>, lower: Lower, inputs: &[TensorId]) -> Result<TensorId, Refusal> {
    call.inputs = inputs.iter().map(|&id| Some(Value::Tensor(id))).collect();
    match lower(call)?.first() {
        Some(&Value::Tensor(id)) => Ok(id),
        _ => Err("it has no result".into()),
    }
}

/// A float operator between dequantized inputs and a result quantized with `y`'s scale and zero point.
fn between(call: &mut Call<'_>, lower: Lower, inputs: &[TensorId], y: [Option<TensorId>; 2]) -> Lowered {
    let [Some(scale), zero] = y else { return Err("the result's scale is missing".into()) };
    let result = apply(call, lower, inputs)?;
    let mut inputs = vec![result, scalar(call, scale)?];
    let mut dtype = DType::U8;
    if let Some(zero) = zero {
        dtype = call.dtype(zero);
        inputs.push(scalar(call, zero)?);
    }
    one(call.add(LinearQuantize { dtype, precision: DType::F32, axis: 0, block: 0 }, &inputs)?)
}

/// Scale and zero point of the result, from input `index` on.
fn result(call: &mut Call<'_>, index: usize) -> Result<[Option<TensorId>; 2], Refusal> {
    Ok([Some(scale(call, index)?), call.optional(index + 1)?])
}

fn elementwise(name: &str) -> Result<Lower, Refusal> {
    let found = elementwise::find(name).or_else(|| arithmetic::find(name));
    found.ok_or_else(|| Refusal(format!("{name} is not supported")))
}

fn single(call: &mut Call<'_>, name: &str) -> Lowered {
    let (x, y) = (numbers(call, 0)?, result(call, 3)?);
    between(call, elementwise(name)?, &[x], y)
}

fn pair(call: &mut Call<'_>, name: &str) -> Lowered {
    let (a, b, y) = (numbers(call, 0)?, numbers(call, 3)?, result(call, 6)?);
    between(call, elementwise(name)?, &[a, b], y)
}

/// A pool, whose channels may be the last axis.
fn spatial(call: &mut Call<'_>, lower: Lower) -> Lowered {
    let last = call.attributes.flag("channels_last", false)?;
    let (mut x, y) = (numbers(call, 0)?, result(call, 3)?);
    let rank = call.shape(x).rank();
    if !last || rank < 3 {
        return between(call, lower, &[x], y);
    }
    let mut to_first = vec![0, rank - 1];
    to_first.extend(1..rank - 1);
    let mut to_last = vec![0];
    to_last.extend(2..rank);
    to_last.push(1);
    x = call.transpose(x, &to_first)?;
    let Some(&Value::Tensor(pooled)) = between(call, lower, &[x], y)?.first() else {
        return Err("it has no result".into());
    };
    one(call.transpose(pooled, &to_last)?)
}

fn softmax(call: &mut Call<'_>) -> Lowered {
    call.version = call.attributes.int("opset")?.ok_or("attribute opset is missing")?;
    let (x, y) = (numbers(call, 0)?, result(call, 3)?);
    between(call, normalization::softmax, &[x], y)
}

fn concat(call: &mut Call<'_>) -> Lowered {
    let y = result(call, 0)?;
    let starts = (2..call.inputs.len()).step_by(3);
    let parts = starts.map(|start| numbers(call, start)).collect::<Result<Vec<_>, _>>()?;
    between(call, layout::concat, &parts, y)
}

fn choose(call: &mut Call<'_>) -> Lowered {
    let condition = call.tensor(0)?;
    let (a, b, y) = (numbers(call, 1)?, numbers(call, 4)?, result(call, 7)?);
    let lower = logic::find("Where").ok_or("it is not supported")?;
    between(call, lower, &[condition, a, b], y)
}

/// The right matrix of a product, and whether it is `[C, K]`.
fn right(call: &mut Call<'_>, b: TensorId, transposed: bool) -> Result<(TensorId, bool), Refusal> {
    let known = call.graph.tensor(b).constant.is_some() && call.shape(b).rank() == 2;
    match (known, transposed) {
        (true, false) => Ok((call.transpose(b, &[1, 0])?, true)),
        _ => Ok((b, transposed)),
    }
}

/// `alpha * A * B + C` in integers, requantized, or as floats where the result has no scale.
fn gemm(call: &mut Call<'_>) -> Lowered {
    let alpha = call.attributes.float("alpha")?.unwrap_or(1.0);
    let transpose_a = call.attributes.flag("transA", false)?;
    let transpose_b = call.attributes.flag("transB", false)?;
    let (mut a, b) = (call.tensor(0)?, call.tensor(3)?);
    if call.shape(a).rank() != 2 || call.shape(b).rank() != 2 {
        return Err("it needs two matrices".into());
    }
    if transpose_a {
        a = call.transpose(a, &[1, 0])?;
    }
    let (b, transpose_b) = right(call, b, transpose_b)?;
    let bias = match call.optional(6)? {
        Some(bias) => Some(list(call, bias)?),
        None => None,
    };
    let zeros = [call.optional(2)?, call.optional(5)?];
    let op = |input_zero, outcome| IntegerMatMul { transpose_b, input_zero, outcome }.into();
    let left_zero = Zero::of(call, zeros[0])?;
    let product = Product { op: &op, factors: [a, b], left_zero, right_zeros: nonzero(call, zeros[1])?, bias };
    let step = if call.has(7) { Some(7) } else { None };
    let mut multiplier = Scaled::multiplier(call, [1, 4], step)?;
    if alpha != 1.0 {
        multiplier = call.add(Unary { kind: UnaryKind::Affine, alpha: alpha.into(), beta: 0.0 }, &[multiplier])?;
    }
    match call.optional(8)? {
        Some(zero) if step.is_some() => one(product.requantized(call, &Scaled { multiplier, zero })?),
        _ if step.is_some() => Err("a result with a scale needs a zero point".into()),
        _ => {
            let multipliers = list(call, multiplier)?;
            one(product.add(call, Outcome::NUMBERS, Some(multipliers))?)
        }
    }
}

/// A matrix product of integers as floats, and a float bias.
struct ToFloat {
    factors: [TensorId; 2],
    scales: [TensorId; 2],
    zeros: [Option<TensorId>; 2],
    bias: Option<TensorId>,
}

impl ToFloat {
    fn lower(self, call: &mut Call<'_>) -> Lowered {
        let [a, b] = self.factors;
        let (b, transpose_b) = right(call, b, false)?;
        let scales = [scalar(call, self.scales[0])?, scalar(call, self.scales[1])?];
        let multiplier = call.add(Binary { kind: BinaryKind::Mul }, &scales)?;
        let multipliers = list(call, multiplier)?;
        let left_zero = Zero::of(call, self.zeros[0])?;
        let right_zeros = nonzero(call, self.zeros[1])?;
        let op = |input_zero, outcome| IntegerMatMul { transpose_b, input_zero, outcome }.into();
        let product = Product { op: &op, factors: [a, b], left_zero, right_zeros, bias: self.bias };
        one(product.add(call, Outcome::NUMBERS, Some(multipliers))?)
    }
}

fn mat_mul_integer_to_float(call: &mut Call<'_>) -> Lowered {
    let factors = [call.tensor(0)?, call.tensor(1)?];
    let scales = [scale(call, 2)?, scale(call, 3)?];
    let zeros = [call.optional(4)?, call.optional(5)?];
    ToFloat { factors, scales, zeros, bias: call.optional(6)? }.lower(call)
}

fn dynamic_quantize_mat_mul(call: &mut Call<'_>) -> Lowered {
    let mut a = call.tensor(0)?;
    if call.dtype(a) != DType::F32 {
        a = call.add(Cast { to: DType::F32 }, &[a])?;
    }
    let (b, b_scale) = (call.tensor(1)?, scale(call, 2)?);
    let (b_zero, bias) = (call.optional(3)?, call.optional(4)?);
    let quantized = call.add_node(DynamicQuantize.into(), &[Some(a)], &[])?;
    let [a, a_scale, a_zero] = [quantized[0], quantized[1], quantized[2]];
    ToFloat { factors: [a, b], scales: [a_scale, b_scale], zeros: [Some(a_zero), b_zero], bias }.lower(call)
}

/// Rows times a matrix of integers of 4 or 8 bits in blocks, which stays as it is stored.
fn mat_mul_n_bits(call: &mut Call<'_>) -> Lowered {
    // How exact the sums of others may be; here they are in float32.
    call.attributes.ignore(&["accuracy_level"]);
    let size = |call: &Call<'_>, name: &str| -> Result<usize, Refusal> {
        let value = call.attributes.int(name)?.and_then(|value| usize::try_from(value).ok());
        value.filter(|&value| value > 0).ok_or_else(|| Refusal(format!("attribute {name} must be 1 or more")))
    };
    let (k, units, block) = (size(call, "K")?, size(call, "N")?, size(call, "block_size")?);
    let bits = call.attributes.int("bits")?.unwrap_or(4);
    let dtype = match bits {
        4 => DType::U4,
        8 => DType::U8,
        other => return Err(Refusal(format!("attribute bits is {other}; 4 and 8 are supported"))),
    };
    if call.has(4) {
        return Err("input 4 (g_idx) is not supported".into());
    }
    let mut a = call.tensor(0)?;
    let result_type = call.dtype(a);
    a = call.widened(a)?;
    let blocks = k.div_ceil(block);
    let weights = packed(call, 1, dtype, [units, blocks.saturating_mul(block)])?;
    let scales = call.tensor(2)?;
    let scales = call.reshape_to(scales, &[units, blocks], None)?;
    let per_byte = 8 / dtype.bits() as usize;
    let zeros = match call.has(3) {
        true => Some(packed(call, 3, dtype, [units, blocks.next_multiple_of(per_byte)])?),
        false => None,
    };
    let bias = match call.optional(5)? {
        Some(bias) => Some(call.widened(bias)?),
        None => None,
    };
    let block = u32::try_from(block).map_err(|_| "attribute block_size is too large")?;
    let op = BlockMatMul { block, zero: 1 << (bits - 1) };
    let result = call.add_node(op.into(), &[Some(a), Some(weights), Some(scales), zeros, bias], &[])?[0];
    one(call.cast(result, result_type)?)
}

/// A known input of bytes as a matrix of elements of `dtype`, which has whole bytes in each row.
fn packed(call: &mut Call<'_>, index: usize, dtype: DType, dims: [usize; 2]) -> Result<TensorId, Refusal> {
    let id = call.tensor(index)?;
    let tensor = call.graph.tensor(id);
    let Some(bytes) = tensor.constant.clone().filter(|_| tensor.spec.dtype == DType::U8) else {
        return Err(Refusal(format!("input {index} must be a constant of type uint8")));
    };
    let spec = TensorSpec::new(dtype, Shape::fixed(&dims)?);
    Ok(call.graph.add_shared_constant(&call.name, spec, bytes)?)
}
