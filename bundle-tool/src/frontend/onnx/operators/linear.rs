//! Linear models of `ai.onnx.ml`.

use ekiben_runtime::DType;
use ekiben_runtime::ops::arg_reduce::ArgReduce;
use ekiben_runtime::ops::mat_mul::MatMul;

use super::super::call::{Call, Lowered, Refusal, Value, one};
use super::labels::{Labels, classes};
use super::post_transform::{PostTransform, SecondClass, is_above};
use super::scale::features;
use crate::graph::TensorId;

/// Features as rows: a list is one row.
pub(super) fn rows(call: &mut Call<'_>, wide: bool) -> Result<TensorId, Refusal> {
    let x = features(call, wide)?;
    let shape = call.shape(x);
    match shape.rank() {
        1 if !shape.is_batched() => call.reshape_to(x, &[1, shape.factors()[0] as usize], None),
        2 => Ok(x),
        rank => Err(Refusal(format!("an input of {rank} axes; rows of features are supported"))),
    }
}

/// `x * coefficients^T + intercepts` for `outputs` rows of coefficients.
fn scores(call: &mut Call<'_>, outputs: usize) -> Result<TensorId, Refusal> {
    let x = rows(call, false)?;
    let coefficients = call.attributes.floats("coefficients")?.ok_or("attribute coefficients is missing")?;
    let width = call.shape(x).factor(1).unwrap_or(0);
    if outputs == 0 || outputs.checked_mul(width) != Some(coefficients.len()) {
        let count = coefficients.len();
        return Err(Refusal(format!("{count} coefficients for {width} features and {outputs} outputs")));
    }
    let weights = call.constant(DType::F32, &[outputs, width], coefficients)?;
    let mut inputs = vec![x, weights];
    if let Some(intercepts) = call.attributes.floats("intercepts")?.filter(|intercepts| !intercepts.is_empty()) {
        if intercepts.len() != outputs {
            return Err(Refusal(format!("{} intercepts for {outputs} outputs", intercepts.len())));
        }
        inputs.push(call.constant(DType::F32, &[outputs], intercepts)?);
    }
    call.add(MatMul { transpose_b: true }, &inputs)
}

pub(super) fn regressor(call: &mut Call<'_>) -> Lowered {
    let targets = call.attributes.int("targets")?.unwrap_or(1);
    let targets = usize::try_from(targets).map_err(|_| "attribute targets must be 1 or more")?;
    let transform = PostTransform::read(call)?;
    let scores = scores(call, targets)?;
    match (targets, transform) {
        // One score has no others to be compared with: only PROBIT changes it.
        (1, PostTransform::Probit) | (2.., _) => one(transform.apply(call, scores)?),
        _ => one(scores),
    }
}

pub(super) fn classifier(call: &mut Call<'_>) -> Lowered {
    call.attributes.ignore(&["multi_class"]);
    let labels = classes(call, "classlabels_ints")?;
    let transform = PostTransform::read(call)?;
    let outputs = call.attributes.floats("intercepts")?.map_or(0, <[f32]>::len);
    let scores = scores(call, outputs)?;
    if outputs == 1 {
        let (labels, two) = match labels {
            two if two.len() == 2 => (two, true),
            Labels::Texts(_) => (Labels::Texts(vec!["0".to_owned(), "1".to_owned()]), false),
            _ => (Labels::Ints(vec![0, 1]), false),
        };
        let index = is_above(call, scores, 0.0)?;
        let label = labels.pick(call, index)?;
        let scores = match (transform, two) {
            (PostTransform::Probit, true) => return Err("PROBIT of one score for two classes is not supported".into()),
            (PostTransform::Probit, false) => transform.apply(call, scores)?,
            (_, true) => SecondClass::Complement.apply(call, scores)?,
            (_, false) => scores,
        };
        return Ok(vec![Value::Tensor(label), Value::Tensor(scores)]);
    }
    if labels.len() != outputs {
        return Err(Refusal(format!("{} labels for {outputs} scores", labels.len())));
    }
    let best = call.add(ArgReduce { axis: 1, smallest: false, last: false, keep: false, wide: false }, &[scores])?;
    let label = labels.pick(call, best)?;
    let scores = transform.apply(call, scores)?;
    Ok(vec![Value::Tensor(label), Value::Tensor(scores)])
}
