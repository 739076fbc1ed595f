//! Linear quantization, and operators on quantized tensors.
//!
//! QLinear operators follow ONNX Runtime: products of `stored - zero` are summed in int32 with the bias, the sum is multiplied in f32 by
//! `x scale * w scale / y scale` (in this order), rounded half to even, moved by the zero point and clipped.

use ekiben_runtime::DType;
use ekiben_runtime::kernels::reference::linear::{Target, integer_at, range};
use ekiben_runtime::ops::Op;
use ekiben_runtime::ops::binary::{Binary, BinaryKind};
use ekiben_runtime::ops::byte_map::ByteMap;
use ekiben_runtime::ops::cast::Cast;
use ekiben_runtime::ops::dynamic_quantize::DynamicQuantize;
use ekiben_runtime::ops::integer::Outcome;
use ekiben_runtime::ops::integer_conv2d::IntegerConv2d;
use ekiben_runtime::ops::integer_depthwise_conv2d::IntegerDepthwiseConv2d;
use ekiben_runtime::ops::integer_mat_mul::IntegerMatMul;
use ekiben_runtime::ops::linear_dequantize::LinearDequantize;
use ekiben_runtime::ops::linear_quantize::LinearQuantize;

use super::super::call::{Call, Lowered, Refusal, Value, one};
use super::super::tensor;
use super::convolution::{Convolution, convolution};
use super::small_codes;
use super::window::channels_first;
use crate::graph::TensorId;

/// Axis and block size of scales. One scale needs neither.
fn parts(call: &mut Call<'_>, x: TensorId, scale: TensorId) -> Result<(u8, u32), Refusal> {
    let axis = call.attributes.int("axis")?.unwrap_or(1);
    let block = call.attributes.int("block_size")?.unwrap_or(0);
    let block = u32::try_from(block).map_err(|_| Refusal(format!("attribute block_size is {block}")))?;
    if block == 0 && call.shape(scale).elements() == Some(1) {
        return Ok((0, 0));
    }
    Ok((call.axis(axis, call.shape(x).rank())? as u8, block))
}

/// One element as a scalar, anything else as it is.
pub(super) fn scalar(call: &mut Call<'_>, id: TensorId) -> Result<TensorId, Refusal> {
    let shape = call.shape(id);
    if shape.elements() == Some(1) && !shape.is_batched() { call.reshape_to(id, &[], None) } else { Ok(id) }
}

/// A tensor as a list of its elements.
pub(super) fn list(call: &mut Call<'_>, id: TensorId) -> Result<TensorId, Refusal> {
    let shape = call.shape(id);
    let count = shape.elements().filter(|_| !shape.is_batched()).and_then(|count| usize::try_from(count).ok());
    call.reshape_to(id, &[count.ok_or("a scale or zero point depends on the batch")?], None)
}

/// The element type that attribute `name` states, unless it is absent or 0.
fn stated_dtype(call: &Call<'_>, name: &str) -> Result<Option<DType>, Refusal> {
    match call.attributes.int(name)?.unwrap_or(0) {
        0 => Ok(None),
        number => Ok(Some(tensor::dtype(i32::try_from(number).unwrap_or(-1))?)),
    }
}

pub(super) fn quantize_linear(call: &mut Call<'_>) -> Lowered {
    let saturate = call.attributes.flag("saturate", true)?;
    let (x, mut scale, zero) = (call.tensor(0)?, call.tensor(1)?, call.optional(2)?);
    let (axis, block) = parts(call, x, scale)?;
    let stated = stated_dtype(call, "output_dtype")?;
    let dtype = match (zero, stated) {
        (None, stated) => stated.unwrap_or(DType::U8),
        (Some(zero), None) => call.dtype(zero),
        (Some(zero), Some(stated)) if call.dtype(zero) == stated => stated,
        (Some(zero), Some(stated)) => {
            return Err(Refusal(format!("output_dtype is {stated}, the zero point is {}", call.dtype(zero))));
        }
    };
    let precision = stated_dtype(call, "precision")?.unwrap_or(call.dtype(scale));
    if dtype.is_small_float() {
        return small_codes::quantize_float(call, [x, scale], zero, (axis, block), (dtype, saturate));
    }
    scale = scalar(call, scale)?;
    if small_codes::is_two_bits(dtype) {
        let zero = zero.map(|zero| scalar(call, zero)).transpose()?;
        return small_codes::quantize_two_bits(call, [x, scale], zero, dtype, |dtype| LinearQuantize {
            dtype,
            precision,
            axis,
            block,
        });
    }
    let mut inputs = vec![x, scale];
    if let Some(zero) = zero {
        inputs.push(scalar(call, zero)?);
    }
    one(call.add(LinearQuantize { dtype, precision, axis, block }, &inputs)?)
}

pub(super) fn dequantize_linear(call: &mut Call<'_>) -> Lowered {
    let (x, scale, zero) = (call.tensor(0)?, call.tensor(1)?, call.optional(2)?);
    let (axis, block) = parts(call, x, scale)?;
    let dtype = stated_dtype(call, "output_dtype")?.unwrap_or(call.dtype(scale));
    if call.dtype(x).is_small_float() {
        return small_codes::dequantize_float(call, [x, scale], zero, (axis, block), dtype);
    }
    let two_bits = small_codes::is_two_bits(call.dtype(x));
    let x = if two_bits { small_codes::to_i8(call, x)? } else { x };
    let zero = zero.map(|zero| if two_bits { small_codes::to_i8(call, zero) } else { Ok(zero) }).transpose()?;
    let mut inputs = vec![x, scalar(call, scale)?];
    if let Some(zero) = zero {
        inputs.push(scalar(call, zero)?);
    }
    one(call.add(LinearDequantize { dtype, axis, block }, &inputs)?)
}

pub(super) fn dynamic_quantize_linear(call: &mut Call<'_>) -> Lowered {
    let x = call.tensor(0)?;
    let outputs = call.add_node(DynamicQuantize.into(), &[Some(x)], &[])?;
    Ok(outputs.into_iter().map(Value::Tensor).collect())
}

/// Zero points as an attribute where they are one known number, else as a list.
pub(super) struct Zero {
    known: i16,
    list: Option<TensorId>,
}

impl Zero {
    pub(super) fn of(call: &mut Call<'_>, id: Option<TensorId>) -> Result<Self, Refusal> {
        let Some(id) = id else { return Ok(Self { known: 0, list: None }) };
        match known(call, id).as_deref() {
            Some(&[value]) => Ok(Self { known: value as i16, list: None }),
            _ => Ok(Self { known: 0, list: Some(list(call, id)?) }),
        }
    }
}

/// The elements of a constant of integers of at most 32 bits.
fn known(call: &Call<'_>, id: TensorId) -> Option<Vec<i32>> {
    let tensor = call.graph.tensor(id);
    let bytes = tensor.constant.as_ref()?.as_slice();
    let count = tensor.spec.shape.elements().filter(|_| tensor.spec.dtype.is_integer())?;
    Some((0..count as usize).map(|index| integer_at(tensor.spec.dtype, bytes, index)).collect())
}

/// Where 8-bit results of `y_scale` and `y_zero` go; `None` when the zero point is not known.
fn outcome(call: &Call<'_>, y_zero: TensorId) -> Result<Option<Outcome>, Refusal> {
    let dtype = call.dtype(y_zero);
    if !matches!(dtype, DType::I8 | DType::U8) {
        return Err(Refusal(format!("results of {dtype} are not supported, int8 and uint8 are")));
    }
    let (low, high) = range(dtype);
    Ok(match known(call, y_zero).as_deref() {
        Some(&[zero]) => {
            let target = Target { zero: zero as i16, low: low as i16, high: high as i16 };
            Some(Outcome { dtype, target })
        }
        _ => None,
    })
}

/// Scale and zero point of a result.
pub(super) struct Scaled {
    /// `x scale * w scale / y scale`, which broadcasts to the result.
    pub(super) multiplier: TensorId,
    pub(super) zero: TensorId,
}

/// A scale in f32.
pub(super) fn scale(call: &mut Call<'_>, index: usize) -> Result<TensorId, Refusal> {
    let scale = call.tensor(index)?;
    match call.dtype(scale) {
        DType::F32 => Ok(scale),
        _ => call.add(Cast { to: DType::F32 }, &[scale]),
    }
}

impl Scaled {
    /// Reads the scales and the result's zero point at these inputs.
    fn read(call: &mut Call<'_>, factors: [usize; 2], y: usize) -> Result<Self, Refusal> {
        Ok(Self { multiplier: Self::multiplier(call, factors, Some(y))?, zero: call.tensor(y + 1)? })
    }

    /// The product of the factors' scales, over the result's if it has one.
    pub(super) fn multiplier(call: &mut Call<'_>, [x, w]: [usize; 2], y: Option<usize>) -> Result<TensorId, Refusal> {
        let (x, w) = (scale(call, x)?, scale(call, w)?);
        let factors = [scalar(call, x)?, scalar(call, w)?];
        let product = call.add(Binary { kind: BinaryKind::Mul }, &factors)?;
        let Some(y) = y else { return Ok(product) };
        let y = scale(call, y)?;
        let y = scalar(call, y)?;
        call.add(Binary { kind: BinaryKind::Div }, &[product, y])
    }
}

/// A product of integers: how its operator is made from the left input's zero point and the outcome, and its operands.
pub(super) struct Product<'a> {
    pub(super) op: &'a dyn Fn(i16, Outcome) -> Op,
    pub(super) factors: [TensorId; 2],
    pub(super) left_zero: Zero,
    pub(super) right_zeros: Option<TensorId>,
    pub(super) bias: Option<TensorId>,
}

impl Product<'_> {
    pub(super) fn add(
        self,
        call: &mut Call<'_>,
        outcome: Outcome,
        multipliers: Option<TensorId>,
    ) -> Result<TensorId, Refusal> {
        let op = (self.op)(self.left_zero.known, outcome);
        let [left, right] = self.factors.map(Some);
        let mut inputs = vec![left, right, self.bias, multipliers, self.right_zeros, self.left_zero.list];
        while inputs.last().is_some_and(Option::is_none) {
            inputs.pop();
        }
        Ok(call.add_node(op, &inputs, &[])?[0])
    }

    /// The product as 8-bit integers. What depends on scales of rows or on zero points that are not known is computed after the sums.
    pub(super) fn requantized(self, call: &mut Call<'_>, scaled: &Scaled) -> Result<TensorId, Refusal> {
        let stated = outcome(call, scaled.zero)?;
        let shape = call.shape(scaled.multiplier);
        if let (Some(outcome), true) = (stated, shape.rank() <= 1) {
            let multipliers = list(call, scaled.multiplier)?;
            return self.add(call, outcome, Some(multipliers));
        }
        let dtype = call.dtype(scaled.zero);
        let sums = self.add(call, Outcome::SUMS, None)?;
        let sums = call.add(Cast { to: DType::F32 }, &[sums])?;
        let steps = call.add(Binary { kind: BinaryKind::Mul }, &[sums, scaled.multiplier])?;
        let (unit, zero) = (call.constant(DType::F32, &[], &[1f32])?, scalar(call, scaled.zero)?);
        call.add(LinearQuantize { dtype, precision: DType::F32, axis: 0, block: 0 }, &[steps, unit, zero])
    }
}

/// Zero points as a list, unless all are known to be 0.
pub(super) fn nonzero(call: &mut Call<'_>, zeros: Option<TensorId>) -> Result<Option<TensorId>, Refusal> {
    let zeros = zeros.filter(|&zeros| known(call, zeros).is_none_or(|zeros| zeros.iter().any(|&zero| zero != 0)));
    zeros.map(|zeros| list(call, zeros)).transpose()
}

/// Filters or weights and their zero points as int8.
fn signed(
    call: &mut Call<'_>,
    weights: TensorId,
    zeros: Option<TensorId>,
) -> Result<(TensorId, Option<TensorId>), Refusal> {
    if call.dtype(weights) != DType::U8 {
        return Ok((weights, nonzero(call, zeros)?));
    }
    let table: Vec<i8> = (0..=255u8).map(|byte| (byte ^ 0x80) as i8).collect();
    let table = call.constant(DType::I8, &[256], &table)?;
    let weights = call.add(ByteMap, &[weights, table])?;
    let zeros = match zeros {
        Some(zeros) => {
            let zeros = list(call, zeros)?;
            call.add(ByteMap, &[zeros, table])?
        }
        None => call.constant(DType::I8, &[1], &[-128i8])?,
    };
    Ok((weights, Some(zeros)))
}

/// A convolution of `x` with filters at input `filters`, whose zero points are at input `zeros`.
fn integer_conv(
    call: &mut Call<'_>,
    [x_zero, filters, zeros]: [usize; 3],
    bias: Option<TensorId>,
    scaled: Option<&Scaled>,
) -> Lowered {
    let (x, filters, zeros) = (call.tensor(0)?, call.tensor(filters)?, call.optional(zeros)?);
    let left_zero = call.optional(x_zero)?;
    let left_zero = Zero::of(call, left_zero)?;
    let (filters, right_zeros) = signed(call, filters, zeros)?;
    let Convolution { images, filters, window, groups, depthwise, spatial } = convolution(call, x, filters)?;
    let op = |input_zero, outcome| match depthwise {
        true => IntegerDepthwiseConv2d { window, input_zero, outcome }.into(),
        false => IntegerConv2d { window, groups, input_zero, outcome }.into(),
    };
    let product = Product { op: &op, factors: [images, filters], left_zero, right_zeros, bias };
    let result = match scaled {
        Some(scaled) => product.requantized(call, scaled)?,
        None => product.add(call, Outcome::SUMS, None)?,
    };
    one(channels_first(call, result, spatial)?)
}

pub(super) fn conv_integer(call: &mut Call<'_>) -> Lowered {
    integer_conv(call, [2, 1, 3], None, None)
}

pub(super) fn qlinear_conv(call: &mut Call<'_>) -> Lowered {
    let scaled = Scaled::read(call, [1, 4], 6)?;
    let bias = call.optional(8)?;
    integer_conv(call, [2, 3, 5], bias, Some(&scaled))
}

/// A matrix product of inputs `a` and `b` with their zero points.
fn integer_mat_mul(
    call: &mut Call<'_>,
    [a, a_zero]: [usize; 2],
    [b, b_zero]: [usize; 2],
    scaled: Option<&Scaled>,
) -> Lowered {
    let (a, mut b) = (call.tensor(a)?, call.tensor(b)?);
    let (a_zero, b_zero) = (call.optional(a_zero)?, call.optional(b_zero)?);
    let left_zero = Zero::of(call, a_zero)?;
    let right_zeros = nonzero(call, b_zero)?;
    let transpose_b = call.graph.tensor(b).constant.is_some() && call.shape(b).rank() == 2;
    if transpose_b {
        b = call.transpose(b, &[1, 0])?;
    }
    let op = |input_zero, outcome| IntegerMatMul { transpose_b, input_zero, outcome }.into();
    let product = Product { op: &op, factors: [a, b], left_zero, right_zeros, bias: None };
    one(match scaled {
        Some(scaled) => product.requantized(call, scaled)?,
        None => product.add(call, Outcome::SUMS, None)?,
    })
}

pub(super) fn mat_mul_integer(call: &mut Call<'_>) -> Lowered {
    integer_mat_mul(call, [0, 2], [1, 3], None)
}

pub(super) fn qlinear_mat_mul(call: &mut Call<'_>) -> Lowered {
    // Scales of rows of the left factor stand in a column of their own: [M, 1].
    let (a, column) = (call.tensor(0)?, call.tensor(1)?);
    let (rank, rows) = (call.shape(a).rank(), call.shape(column));
    let of_rows = rows.rank() == 1 && rows.elements() > Some(1);
    if of_rows && rank >= 2 {
        let column = call.reshape_to(column, &[rows.factor(0).unwrap_or(1), 1], None)?;
        call.inputs[1] = Some(Value::Tensor(column));
    }
    let scaled = Scaled::read(call, [1, 4], 6)?;
    integer_mat_mul(call, [0, 2], [3, 5], Some(&scaled))
}
