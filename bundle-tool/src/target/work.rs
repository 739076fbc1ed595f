//! How much an artifact computes.

use ekiben_runtime::artifact::plans::{ApiRecord, StepRecord};
use ekiben_runtime::bytes::Reader;
use ekiben_runtime::ops::conv_nd::{ConvNd, Direction};
use ekiben_runtime::{Artifact, Op, Shape};

/// Multiply-accumulates of convolutions, matrix products, recurrent layers and attention for one row of an API. Other operators count as
/// nothing.
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
    let (input, output) = (shape(0)?.elements()?, shape(usize::from(step.inputs))?.elements()?);
    // Of the output: every element takes as many products as a filter, or a column, has weights.
    Some(match op {
        Op::Conv2d(_)
        | Op::QuantizedConv2d(_)
        | Op::QuantizedConv2dAdd(_)
        | Op::HybridConv2d(_)
        | Op::IntegerConv2d(_)
        | Op::WideConv2d(_)
        | Op::DeformConv(_) => output.checked_mul(product(shape(1)?.factors().get(1..)?))?,
        Op::DepthwiseConv2d(_)
        | Op::QuantizedDepthwiseConv2d(_)
        | Op::HybridDepthwiseConv2d(_)
        | Op::IntegerDepthwiseConv2d(_) => output.checked_mul(product(shape(1)?.factors().get(..3)?))?,
        Op::MatMul(_)
        | Op::BatchMatMul(_)
        | Op::QuantizedFullyConnected(_)
        | Op::HybridFullyConnected(_)
        | Op::WideFullyConnected(_)
        | Op::IntegerMatMul(_)
        | Op::QuantizedBatchMatMul(_) => output.checked_mul(product(shape(0)?.factors().last_chunk::<1>()?))?,
        Op::ConvNd(ConvNd { direction: Direction::Forward, .. }) => {
            output.checked_mul(product(shape(1)?.factors().get(1..)?))?
        }
        // Of the input: every element meets each filter of its group once.
        Op::ConvNd(ConvNd { groups, .. }) => {
            let weights = shape(1)?.elements()?.checked_div(product(shape(1)?.factors().last_chunk::<1>()?))?;
            input.checked_mul(weights)?.checked_div(groups.into())?
        }
        Op::TransposeConv2d(_) | Op::QuantizedTransposeConv2d(_) => {
            input.checked_mul(product(shape(1)?.factors().get(..3)?))?
        }
        // Each step of each sequence meets all weights.
        Op::Recurrent(_) => {
            let rows = input.checked_div(product(shape(0)?.factors().last_chunk::<1>()?))?;
            rows.checked_mul(shape(1)?.elements()?.checked_add(shape(2)?.elements()?)?)?
        }
        // Each query meets each key, and each value.
        Op::Attention(attention) => {
            let keys = shape(1)?.factors().iter().rev().nth(1).copied()?;
            let each = u64::from(attention.size) + u64::from(attention.value_size);
            output.checked_div(attention.value_size.into())?.checked_mul(keys.into())?.checked_mul(each)?
        }
        _ => 0,
    })
}

fn product(lengths: &[u32]) -> u64 {
    lengths.iter().map(|&length| u64::from(length)).fold(1, u64::saturating_mul)
}
