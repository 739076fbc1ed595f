//! Losses, as an inference computes them.

use ekiben_runtime::ops::negative_log_likelihood::{NegativeLogLikelihood, Reduction};
use ekiben_runtime::ops::softmax::Softmax;

use super::super::call::{Call, Lowered, Refusal, Value, one};
use crate::graph::TensorId;

fn likelihood(call: &mut Call<'_>, x: TensorId) -> Result<TensorId, Refusal> {
    let reduction = match call.attributes.string("reduction")?.unwrap_or("mean") {
        "none" => Reduction::None,
        "sum" => Reduction::Sum,
        "mean" => Reduction::Mean,
        other => return Err(Refusal(format!("attribute reduction is {other:?}"))),
    };
    let ignored = call.attributes.int("ignore_index")?;
    let mut inputs = vec![x, call.tensor(1)?];
    inputs.extend(call.optional(2)?);
    call.add(NegativeLogLikelihood { reduction, ignored }, &inputs)
}

pub(super) fn negative_log_likelihood(call: &mut Call<'_>) -> Lowered {
    let x = call.tensor(0)?;
    one(likelihood(call, x)?)
}

pub(super) fn softmax_cross_entropy(call: &mut Call<'_>) -> Lowered {
    let scores = call.tensor(0)?;
    if call.shape(scores).rank() < 2 {
        return Err("it needs two axes at least".into());
    }
    let logarithms = call.add(Softmax { axis: 1, log: true }, &[scores])?;
    let loss = likelihood(call, logarithms)?;
    Ok(vec![Value::Tensor(loss), Value::Tensor(logarithms)])
}
