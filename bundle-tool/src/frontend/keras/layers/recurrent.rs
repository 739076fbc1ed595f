//! `SimpleRNN`, `GRU` and `LSTM`.

use ekiben_runtime::kernels::reference::recurrent::{Activation, Cell, CellKind};
use ekiben_runtime::ops::recurrent::{Direction, NO_ACTIVATION, Recurrent, Wanted};

use super::super::activations;
use super::super::config::Generation;
use super::super::lowering::{Flow, Site, Stop};
use crate::graph::TensorId;

/// What a layer's configuration makes of a cell.
struct Plan {
    cell: Cell,
    hidden: usize,
    /// Where each gate of the operator stands among Keras's.
    gates: &'static [usize],
}

/// A function of the configuration, for a gate.
fn function(site: &Site<'_, '_>, key: &str, usual: &str) -> Result<Activation, Stop> {
    let value = site.value(key);
    let name = match value {
        // `None` is no function at all.
        None if site.layer.config.contains_key(key) => "linear",
        None => usual,
        Some(value) => activations::name(value).ok_or_else(|| format!("{key} is {value}"))?,
    };
    let function = activations::function(name, site.generation());
    let function = function.ok_or_else(|| format!("{key} is {name}, which is not compiled in a cell"))?;
    Ok(Activation { kind: function.kind, alpha: function.alpha as f32, beta: function.beta as f32 })
}

fn plan(site: &Site<'_, '_>) -> Result<Plan, Stop> {
    let kind = match site.layer.class.as_str() {
        "LSTM" => CellKind::Lstm,
        "GRU" => CellKind::Gru,
        _ => CellKind::Rnn,
    };
    let gates: &'static [usize] = match kind {
        CellKind::Lstm => &[0, 3, 1, 2],
        CellKind::Gru => &[0, 1, 2],
        CellKind::Rnn => &[0],
    };
    for key in ["stateful", "time_major"] {
        if site.flag(key, false) {
            return Err(format!("{key} is not compiled").into());
        }
    }
    let inner = function(site, "activation", "tanh")?;
    let outer = if kind == CellKind::Rnn { NO_ACTIVATION } else { function(site, "recurrent_activation", "sigmoid")? };
    let activations = match kind {
        CellKind::Rnn => [inner, NO_ACTIVATION, NO_ACTIVATION],
        CellKind::Gru => [outer, inner, NO_ACTIVATION],
        CellKind::Lstm => [outer, inner, inner],
    };
    let usual = site.generation() == Generation::Three || site.layer.config.contains_key("reset_after");
    let cell = Cell {
        kind,
        linear_before_reset: kind == CellKind::Gru && site.flag("reset_after", usual),
        input_forget: false,
        clip: f32::INFINITY,
        cell_clip: f32::INFINITY,
        activations,
    };
    Ok(Plan { cell, hidden: site.count("units")?.ok_or("units is not stated")?, gates })
}

/// A stored matrix `[rows, gates * hidden]` as the operator takes it: gates in its order, each `[hidden, rows]`.
fn turned(stored: &[f32], rows: usize, plan: &Plan) -> Vec<f32> {
    let (hidden, columns) = (plan.hidden, plan.hidden * plan.gates.len());
    let mut out = Vec::with_capacity(stored.len());
    for &gate in plan.gates {
        for unit in 0..hidden {
            out.extend((0..rows).map(|row| stored[row * columns + gate * hidden + unit]));
        }
    }
    out
}

/// The biases of the input's product and of the state's.
fn biases(site: &Site<'_, '_>, plan: &Plan) -> Result<Vec<f32>, Stop> {
    let width = plan.hidden.checked_mul(plan.gates.len()).ok_or("too many units")?;
    let both = plan.cell.linear_before_reset;
    let stored = if both { site.numbers("bias", &[2, width])? } else { site.numbers("bias", &[width])? };
    let (input, state) = stored.split_at(width);
    let mut out = turned(input, 1, plan);
    out.extend(if both { turned(state, 1, plan) } else { vec![0.0; width] });
    Ok(out)
}

/// Lowers a layer that reads `[batch, steps, inputs]`; states before the first step may follow, by position or by name.
pub(super) fn layer(
    site: &mut Site<'_, '_>,
    tensors: &[TensorId],
    named: &[(&str, Vec<Flow>)],
) -> Result<Vec<TensorId>, Stop> {
    let plan = plan(site)?;
    let (&x, given) = tensors.split_first().ok_or("it is called without tensors")?;
    let mut states = given.to_vec();
    for (name, flows) in named {
        if *name != "initial_state" || !states.is_empty() {
            return Err(format!("it is called with {name}, which is not compiled").into());
        }
        states = flows.iter().map(|flow| flow.tensor).collect();
    }
    let &[first, _, width] = site.dims(x).as_slice() else {
        return Err(format!("the input has the shape {}", site.shape(x)).into());
    };
    let (hidden, gates) = (plan.hidden, plan.gates.len());
    let columns = hidden.checked_mul(gates).ok_or("too many units")?;
    let kernel = site.constant("kernel", &[1, columns, width], |site| {
        Ok(turned(site.numbers("kernel", &[width, columns])?, width, &plan))
    })?;
    let recurrent = site.constant("recurrent_kernel", &[1, columns, hidden], |site| {
        Ok(turned(site.numbers("recurrent_kernel", &[hidden, columns])?, hidden, &plan))
    })?;
    let mut inputs = vec![Some(x), Some(kernel), Some(recurrent), None, None, None, None];
    if site.flag("use_bias", true) {
        inputs[3] = Some(site.constant("bias", &[1, 2 * columns], |site| biases(site, &plan))?);
    }
    let lstm = plan.cell.kind == CellKind::Lstm;
    if !states.is_empty() && states.len() != if lstm { 2 } else { 1 } {
        return Err(format!("it is called with {} states", states.len()).into());
    }
    for (slot, state) in inputs[5..].iter_mut().zip(states) {
        let state = site.floats(state)?;
        *slot = Some(site.reshaped(state, &[first, 1, hidden])?);
    }
    run(site, &plan, &inputs, first)
}

fn run(site: &mut Site<'_, '_>, plan: &Plan, inputs: &[Option<TensorId>], first: usize) -> Result<Vec<TensorId>, Stop> {
    let lstm = plan.cell.kind == CellKind::Lstm;
    let (sequences, with_state) = (site.flag("return_sequences", false), site.flag("return_state", false));
    let backwards = site.flag("go_backwards", false);
    let wanted = Wanted { y: sequences, y_h: !sequences || with_state, y_c: with_state && lstm };
    let op = Recurrent {
        cell: plan.cell,
        backward: [NO_ACTIVATION; 3],
        direction: if backwards { Direction::Reverse } else { Direction::Forward },
        batch_first: true,
        wanted,
    };
    let used = inputs.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
    let name = site.layer.path.clone();
    let mut raw = site.lowering.graph.add_node(&name, op, &inputs[..used], &[])?.into_iter();
    let mut results = Vec::new();
    if sequences {
        let y = raw.next().ok_or(Stop::Blocked)?;
        let steps = site.dims(y)[1];
        let y = site.reshaped(y, &[first, steps, plan.hidden])?;
        // The operator leaves each step where it was; Keras gives them in the order in which they were taken.
        let turn = [[0, 1, first as i64], [steps as i64 - 1, -1, steps as i64], [0, 1, plan.hidden as i64]];
        results.push(if backwards { site.sliced(y, &turn)? } else { y });
    }
    for state in raw {
        results.push(site.reshaped(state, &[first, plan.hidden])?);
    }
    if !sequences && with_state {
        // The last output is the state, and both are given.
        results.insert(0, results[0]);
    }
    Ok(results)
}
