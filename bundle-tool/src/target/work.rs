//! How much an artifact computes.

use ekiben_runtime::artifact::plans::{ApiRecord, StepRecord};
use ekiben_runtime::bytes::Reader;
use ekiben_runtime::{Artifact, Op, Shape};

/// Multiply-accumulates of convolutions, matrix products and recurrent layers for one row of an API. Cheaper operators count as nothing.
pub(super) fn multiply_accumulates(artifact: &Artifact<'_>, api: &ApiRecord) -> u64 {
    let plans = artifact.plans();
    let first = api.first_step as usize;
    let steps = (first..first.saturating_add(api.steps as usize)).filter_map(|index| plans.step(index));
    steps.map(|step| of_step(artifact, &step).unwrap_or(0)).fold(0, u64::saturating_add)
}

fn of_step(artifact: &Artifact<'_>, step: &StepRecord) -> Option<u64> {
    let op = Op::parse(step.tag, &mut Reader::new(artifact.plans().attributes(step)?))?.ok()?;
    let shape = |operand: usize| -> Option<Shape> {
        let index = (step.first_operand as usize).checked_add(operand)?;
        let tensor = artifact.plans().operand(index)??;
        Some(artifact.tensors().get(tensor as usize)?.spec.shape)
    };
    let inputs = usize::from(step.inputs);
    let output = shape(inputs)?.elements()?;
    // Every element of the result takes as many products as a filter, or a column, has weights.
    let each = match op {
        Op::Conv2d(_) | Op::QuantizedConv2d(_) | Op::HybridConv2d(_) => product(shape(1)?.factors().get(1..)?),
        Op::DepthwiseConv2d(_) | Op::QuantizedDepthwiseConv2d(_) | Op::HybridDepthwiseConv2d(_) => {
            product(shape(1)?.factors().get(..3)?)
        }
        Op::MatMul(_) | Op::BatchMatMul(_) | Op::QuantizedFullyConnected(_) | Op::HybridFullyConnected(_) => {
            product(shape(0)?.factors().last_chunk::<1>()?)
        }
        _ => return None,
    };
    output.checked_mul(each)
}

fn product(lengths: &[u32]) -> u64 {
    lengths.iter().map(|&length| u64::from(length)).fold(1, u64::saturating_mul)
}
