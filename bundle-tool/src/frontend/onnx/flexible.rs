//! `ai.onnx.preview::FlexAttention`: attention whose scores and weights may pass through bodies.
//!
//! Without bodies it is one step that holds a row of scores at a time. With them the scores are a tensor, which the bodies' nodes read; a pass
//! takes bodies that cap or add to the scores into one step again.

use ekiben_runtime::ops::attention::Attention;
use ekiben_runtime::ops::batch_mat_mul::BatchMatMul;
use ekiben_runtime::ops::cast::Cast;
use ekiben_runtime::ops::softmax::Softmax;
use ekiben_runtime::ops::unary::{Unary, UnaryKind};
use ekiben_runtime::{DType, TensorSpec};
use tract_onnx::pb::{GraphProto, NodeProto};

use super::attributes::Attributes;
use super::call::{Call, Lowered, Refusal, Value, one};
use super::control::{accepted, label};
use super::lowering::Lowering;
use super::operators::attention::{Headed, attend, plain, wide_softmax};
use crate::frontend::FrontendError;
use crate::graph::TensorId;

/// What the node's inputs and attributes say.
struct Stated<'a> {
    /// The type of the inputs; those of 16 bits are widened.
    dtype: DType,
    bodies: [Option<&'a GraphProto>; 2],
    op: Attention,
    operands: [Headed; 3],
}

pub(super) fn flexible<'a>(
    lowering: &mut Lowering<'a>,
    node: &'a NodeProto,
    name: &str,
    inputs: Vec<Option<Value>>,
) -> Result<Lowered, FrontendError> {
    let Stated { dtype, bodies: [score_body, weight_body], op, operands: [q, k, v] } =
        accepted!(stated(&mut lowering.call(name, inputs), node));
    if score_body.is_none() && weight_body.is_none() {
        let call = &mut lowering.call(name, Vec::new());
        let results = accepted!(attend(call, op, [q, k, v].map(|x| x.tensor), None, None, false));
        return Ok(cast(call, results[0], dtype).and_then(one));
    }
    let mut scores = accepted!(scores(&mut lowering.call(name, Vec::new()), &op, q, k));
    if let Some(body) = score_body {
        scores = accepted!(through(lowering, body, &label(node, "score_mod"), scores)?);
    }
    let mut weights = accepted!(lowering.call(name, Vec::new()).add(Softmax { axis: 3, log: false }, &[scores]));
    if let Some(body) = weight_body {
        weights = accepted!(through(lowering, body, &label(node, "prob_mod"), weights)?);
    }
    let call = &mut lowering.call(name, Vec::new());
    let result = accepted!(weighted(call, weights, q, v));
    Ok(cast(call, result, dtype).and_then(one))
}

fn cast(call: &mut Call<'_>, x: TensorId, to: DType) -> Result<TensorId, Refusal> {
    if call.dtype(x) == to { Ok(x) } else { call.add(Cast { to }, &[x]) }
}

fn stated<'a>(call: &mut Call<'_>, node: &'a NodeProto) -> Result<Stated<'a>, Refusal> {
    let attributes = Attributes::new(node)?;
    let bodies = [attributes.graph("score_mod")?, attributes.graph("prob_mod")?];
    let mut operands = Vec::new();
    let first = call.tensor(0)?;
    let dtype = call.dtype(first);
    let computed = if matches!(dtype, DType::F16 | DType::BF16) { DType::F32 } else { dtype };
    for index in 0..3 {
        let tensor = call.tensor(index)?;
        let tensor = cast(call, tensor, computed)?;
        if call.shape(tensor).rank() != 4 {
            return Err(Refusal(format!("input {index} must have four axes")));
        }
        operands.push(Headed::new(call, tensor, None, "heads")?);
    }
    let &[q, k, v] = operands.as_slice() else { return Err("its inputs are missing".into()) };
    let base = plain(&q, &k, &v);
    let scale = attributes.float("scale")?.map_or(base.scale, f64::from);
    let op = Attention { scale, wide: wide_softmax(&attributes, call.dtype(q.tensor))?, ..base };
    attributes.finish()?;
    Ok(Stated { dtype, bodies, op, operands: [q, k, v] })
}

/// The result of a body, which has the type and shape of what it is given.
fn through<'a>(
    lowering: &mut Lowering<'a>,
    body: &'a GraphProto,
    label: &str,
    x: TensorId,
) -> Result<Result<TensorId, Refusal>, FrontendError> {
    let results = accepted!(lowering.body(body, label, vec![Value::Tensor(x)])?);
    let [Value::Tensor(result)] = results.as_slice() else {
        return Ok(Err(Refusal(format!("{label} does not give one tensor"))));
    };
    let spec = |id: TensorId| (lowering.graph.spec(id).dtype, lowering.graph.shape(id));
    if spec(*result) != spec(x) {
        return Ok(Err(Refusal(format!("{label} changes the type or the shape"))));
    }
    Ok(Ok(*result))
}

/// `[B, H, rows, size]` as `[B, groups, H / groups, rows, size]`.
fn grouped(call: &mut Call<'_>, x: TensorId, groups: u32) -> Result<TensorId, Refusal> {
    let shape = call.shape(x);
    let &[batch, heads, rows, size] = shape.factors() else { return Err("four axes are needed".into()) };
    let dims = [batch, groups, heads / groups.max(1), rows, size].map(|dim| dim as usize);
    call.reshape_to(x, &dims, shape.batch_axis())
}

/// Scaled products of queries and keys, `[B, H, Q, K]`.
fn scores(call: &mut Call<'_>, op: &Attention, q: Headed, k: Headed) -> Result<TensorId, Refusal> {
    if k.heads == 0 || !q.heads.is_multiple_of(k.heads) {
        return Err("the heads of Q are not a multiple of those of K".into());
    }
    let (queries, keys) = (grouped(call, q.tensor, k.heads)?, grouped(call, k.tensor, k.heads)?);
    let keys = call.transpose(keys, &[0, 1, 2, 4, 3])?;
    let product = call.add(BatchMatMul, &[queries, keys])?;
    let scaled = call.add(Unary { kind: UnaryKind::Affine, alpha: op.scale, beta: 0.0 }, &[product])?;
    let to = if op.wide { DType::F64 } else { call.dtype(scaled) };
    let scaled = cast(call, scaled, to)?;
    let shape = call.shape(q.tensor).with_axis(3, k.rows(call), false)?;
    call.reshape(scaled, shape)
}

/// Values weighted, `[B, H, Q, V]`.
fn weighted(call: &mut Call<'_>, weights: TensorId, q: Headed, v: Headed) -> Result<TensorId, Refusal> {
    let dtype = call.dtype(v.tensor);
    let weights = cast(call, weights, dtype)?;
    let (weights, values) = (grouped(call, weights, v.heads)?, grouped(call, v.tensor, v.heads)?);
    let product = call.add(BatchMatMul, &[weights, values])?;
    let shape = call.shape(q.tensor).with_axis(3, v.size as usize, false)?;
    call.add_declared(ekiben_runtime::ops::reshape::Reshape, product, TensorSpec::new(dtype, shape))
}
