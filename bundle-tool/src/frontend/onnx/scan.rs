//! `Scan`: a body over the parts of tensors along an axis, unrolled.

use tract_onnx::pb::{GraphProto, NodeProto};

use super::attributes::Attributes;
use super::call::{Call, Lowered, Refusal, Value};
use super::control::{accepted, label, stacked, states};
use super::lowering::Lowering;
use super::operators::{Part, take};
use crate::frontend::FrontendError;
use crate::graph::TensorId;

/// From this version on there is no batch, and axes can be chosen.
const WITHOUT_BATCH: i64 = 9;

/// What the attributes of a node say.
struct Plan<'a> {
    body: &'a GraphProto,
    /// Inputs of the body that are states; all others are scanned.
    states: usize,
    /// For each scanned input its axis, and whether it is taken from the end.
    inputs: Vec<(i64, bool)>,
    /// For each scanned output likewise.
    outputs: Vec<(i64, bool)>,
}

impl<'a> Plan<'a> {
    fn read(node: &'a NodeProto, version: i64) -> Result<Self, Refusal> {
        let attributes = Attributes::new(node)?;
        let body = attributes.graph("body")?.ok_or("attribute body is missing")?;
        let count = attributes.int("num_scan_inputs")?.and_then(|count| usize::try_from(count).ok());
        let count = count.filter(|&count| count > 0 && count <= body.input.len());
        let count = count.ok_or("attribute num_scan_inputs does not fit the body")?;
        let states = body.input.len() - count;
        let results = body.output.len().checked_sub(states).ok_or("its body has too few outputs")?;
        let list = |name: &str, length: usize| {
            let values = attributes.ints(name)?.map_or_else(|| vec![0; length], <[i64]>::to_vec);
            if values.len() == length {
                Ok(values)
            } else {
                Err(Refusal(format!("attribute {name} has {} values, not {length}", values.len())))
            }
        };
        let parts = |axes: &str, directions: &str, length: usize| {
            let directions = list(directions, length)?;
            let pairs = list(axes, length)?.into_iter().zip(directions.into_iter().map(|direction| direction != 0));
            Ok::<Vec<_>, Refusal>(pairs.collect())
        };
        let (inputs, outputs) = if version < WITHOUT_BATCH {
            let backwards = list("directions", count)?.into_iter().map(|direction| (0, direction != 0));
            (backwards.collect(), vec![(0, false); results])
        } else {
            (
                parts("scan_input_axes", "scan_input_directions", count)?,
                parts("scan_output_axes", "scan_output_directions", results)?,
            )
        };
        attributes.finish()?;
        Ok(Self { body, states, inputs, outputs })
    }

    /// The axis of each scanned tensor, and their common length.
    fn steps(&self, call: &Call<'_>, scanned: &[TensorId]) -> Result<(Vec<usize>, i64), Refusal> {
        let mut axes = Vec::new();
        let mut steps = None;
        for (&id, &(axis, _)) in scanned.iter().zip(&self.inputs) {
            let shape = call.shape(id);
            let axis = call.axis(axis, shape.rank())?;
            if shape.is_batch(axis) {
                return Err("it scans the batch, whose length is not known. Give it with --dim or --shape".into());
            }
            let length = shape.factor(axis).unwrap_or(0) as i64;
            if steps.replace(length).is_some_and(|before| before != length) {
                return Err("its scanned inputs have different lengths".into());
            }
            axes.push(axis);
        }
        Ok((axes, steps.unwrap_or(0)))
    }
}

/// One part of a tensor along an axis, without that axis.
fn part(call: &mut Call<'_>, id: TensorId, axis: usize, index: i64) -> Result<TensorId, Refusal> {
    let shape = call.shape(id);
    let mut parts = Part::whole(&shape);
    if let Some(part) = parts.get_mut(axis) {
        *part = Part { start: index, step: 1, length: 1 };
    }
    let taken = take(call, id, &parts)?;
    let mut dims: Vec<usize> = shape.factors().iter().map(|&dim| dim as usize).collect();
    dims.remove(axis);
    let batch = shape.batch_axis().map(|batch| batch - usize::from(batch > axis));
    call.reshape_to(taken, &dims, batch)
}

fn tensors(call: &mut Call<'_>, values: &[Value]) -> Result<Vec<TensorId>, Refusal> {
    call.inputs = values.iter().cloned().map(Some).collect();
    (0..values.len()).map(|index| call.tensor(index)).collect()
}

pub(super) fn scan<'a>(
    lowering: &mut Lowering<'a>,
    node: &'a NodeProto,
    name: &str,
    inputs: Vec<Option<Value>>,
) -> Result<Lowered, FrontendError> {
    let version = lowering.call(name, Vec::new()).version;
    let plan = accepted!(Plan::read(node, version));
    let batched = version < WITHOUT_BATCH;
    if batched && inputs.first().is_some_and(Option::is_some) {
        return Ok(Err("input sequence_lens is not supported: take whole sequences".into()));
    }
    let given = accepted!(states(inputs.get(usize::from(batched)..).unwrap_or_default()));
    if given.len() != plan.body.input.len() {
        return Ok(Err(Refusal(format!("it has {} inputs and its body {}", given.len(), plan.body.input.len()))));
    }
    if !batched {
        return one_sequence(lowering, node, name, &plan, given);
    }
    sequences(lowering, node, name, &plan, &given)
}

/// Version 8: the first axis of every tensor holds sequences that are scanned one by one.
fn sequences<'a>(
    lowering: &mut Lowering<'a>,
    node: &'a NodeProto,
    name: &str,
    plan: &Plan<'a>,
    given: &[Value],
) -> Result<Lowered, FrontendError> {
    let call = &mut lowering.call(name, Vec::new());
    let given = accepted!(tensors(call, given));
    let rows: Vec<_> = given.iter().map(|&id| (call.shape(id).factor(0), call.shape(id).is_batch(0))).collect();
    let rows = match rows[..] {
        [(Some(first), false), ..] if rows.iter().all(|&row| row == (Some(first), false)) => first,
        _ => return Ok(Err("its sequences must be a known number. Give it with --dim or --shape".into())),
    };
    let mut results: Vec<Vec<Value>> = vec![Vec::new(); plan.body.output.len()];
    for row in 0..rows {
        let call = &mut lowering.call(name, Vec::new());
        let parts = given.iter().map(|&id| part(call, id, 0, row as i64).map(Value::Tensor));
        let parts = accepted!(parts.collect::<Result<Vec<_>, _>>());
        let values = accepted!(one_sequence(lowering, node, name, plan, parts)?);
        results.iter_mut().zip(values).for_each(|(list, value)| list.push(value));
    }
    let call = &mut lowering.call(name, Vec::new());
    let lists = results.into_iter().zip(&plan.body.output);
    Ok(lists.map(|(values, info)| stacked(call, values, 0, info)).collect())
}

fn one_sequence<'a>(
    lowering: &mut Lowering<'a>,
    node: &'a NodeProto,
    name: &str,
    plan: &Plan<'a>,
    mut given: Vec<Value>,
) -> Result<Lowered, FrontendError> {
    let scanned = given.split_off(plan.states);
    let call = &mut lowering.call(name, Vec::new());
    let scanned = accepted!(tensors(call, &scanned));
    let (axes, steps) = accepted!(plan.steps(call, &scanned));
    let mut results: Vec<Vec<Value>> = vec![Vec::new(); plan.outputs.len()];
    let blockers = lowering.blockers.len();
    for step in 0..steps {
        let call = &mut lowering.call(name, Vec::new());
        for ((&id, &axis), &(_, backwards)) in scanned.iter().zip(&axes).zip(&plan.inputs) {
            let index = if backwards { steps - 1 - step } else { step };
            given.push(Value::Tensor(accepted!(part(call, id, axis, index))));
        }
        let values = accepted!(lowering.body(plan.body, &label(node, &step.to_string()), given)?);
        let mut values = values.into_iter();
        given = values.by_ref().take(plan.states).collect();
        results.iter_mut().zip(values).for_each(|(list, value)| list.push(value));
        if lowering.blockers.len() > blockers {
            return Ok(Ok(Vec::new()));
        }
    }
    let call = &mut lowering.call(name, Vec::new());
    let infos = plan.body.output.get(plan.states..).unwrap_or_default();
    for ((mut values, &(axis, backwards)), info) in results.into_iter().zip(&plan.outputs).zip(infos) {
        if backwards {
            values.reverse();
        }
        given.push(accepted!(stacked(call, values, axis, info)));
    }
    Ok(Ok(given))
}
