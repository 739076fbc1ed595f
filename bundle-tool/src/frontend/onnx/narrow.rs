//! Floats of 16 bits are a storage format: operators compute in f32 and round once, at their results.
//!
//! Operators that only move elements, or that have types of their own to choose, see the tensors as they are.

use ekiben_runtime::DType;
use ekiben_runtime::ops::cast::Cast;
use tract_onnx::pb::NodeProto;

use super::call::{Call, Refusal, Value};

/// Operators that take 16-bit floats themselves. Those with weights read them as they are stored.
const OWN: [&str; 45] = [
    "BitCast",
    "Cast",
    "CastLike",
    "Concat",
    "ConcatFromSequence",
    "Constant",
    "ConstantOfShape",
    "Conv",
    "DepthToSpace",
    "DequantizeLinear",
    "Expand",
    "EyeLike",
    "Flatten",
    "Gather",
    "GatherElements",
    "GatherND",
    "Gemm",
    "GRU",
    "Identity",
    "If",
    "Loop",
    "LSTM",
    "MatMul",
    "MatMulNBits",
    "Pad",
    "QuantizeLinear",
    "Range",
    "Reshape",
    "ReverseSequence",
    "RNN",
    "Scan",
    "SequenceAt",
    "SequenceConstruct",
    "SequenceInsert",
    "Shape",
    "Size",
    "Slice",
    "SpaceToDepth",
    "Split",
    "SplitToSequence",
    "Squeeze",
    "Tile",
    "Transpose",
    "Unsqueeze",
    "Where",
];

/// Constants up to this many bytes are widened while the model is compiled; larger ones stay as they are in the artifact.
const MAX_WIDENED: u64 = 16 << 10;

/// The most axes of the images of a convolution that reads stored weights.
const MAX_OWN_CONV: usize = 4;

fn is_narrow(dtype: DType) -> bool {
    matches!(dtype, DType::F16 | DType::BF16)
}

/// Widens the inputs of a node, and tells the type to which its results are rounded.
pub(super) fn widen(call: &mut Call<'_>, node: &NodeProto) -> Result<Option<DType>, Refusal> {
    let volumes = node.op_type == "Conv"
        && call.inputs.first().is_some_and(|input| match input {
            Some(Value::Tensor(x)) => call.shape(*x).rank() > MAX_OWN_CONV,
            _ => false,
        });
    if OWN.contains(&node.op_type.as_str()) && !volumes {
        return Ok(None);
    }
    let mut narrow = None;
    for index in 0..call.inputs.len() {
        let Some(Value::Tensor(input)) = call.inputs[index] else { continue };
        let from = call.dtype(input);
        if is_narrow(from) {
            narrow = narrow.or(Some(from));
            let stored = call.graph.tensor(input).constant.is_some();
            let large = call.graph.spec(input).bytes().is_none_or(|bytes| bytes > MAX_WIDENED);
            let wide = match stored && large {
                true => call.graph.add(&call.name, Cast { to: DType::F32 }, &[input])?,
                false => call.add(Cast { to: DType::F32 }, &[input])?,
            };
            call.inputs[index] = Some(Value::Tensor(wide));
        }
    }
    Ok(narrow)
}

/// Rounds the results of a node whose inputs were widened. Statistics of a normalisation stay f32, as ONNX's `stash_type` asks.
pub(super) fn restore(
    call: &mut Call<'_>,
    node: &NodeProto,
    narrow: Option<DType>,
    mut results: Vec<Value>,
) -> Result<Vec<Value>, Refusal> {
    let Some(to) = narrow else { return Ok(results) };
    let rounded = if node.op_type.ends_with("LayerNormalization") { 1 } else { results.len() };
    for result in results.iter_mut().take(rounded) {
        if let Value::Tensor(wide) = *result
            && call.dtype(wide) == DType::F32
        {
            *result = Value::Tensor(call.add(Cast { to }, &[wide])?);
        }
    }
    Ok(results)
}
