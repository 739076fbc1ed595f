//! Recurrent layers.

use ekiben_runtime::kernels::reference::recurrent::{Activation, Cell, CellKind};
use ekiben_runtime::kernels::reference::unary::UnaryKind;
use ekiben_runtime::ops::cast::Cast;
use ekiben_runtime::ops::recurrent::{Direction, NO_ACTIVATION, Recurrent, Wanted};
use ekiben_runtime::{DType, Op};

use super::super::call::{Call, Lowered, Refusal, Value};
use crate::graph::TensorId;

pub(super) fn rnn(call: &mut Call<'_>) -> Lowered {
    layer(call, CellKind::Rnn)
}

pub(super) fn gru(call: &mut Call<'_>) -> Lowered {
    layer(call, CellKind::Gru)
}

pub(super) fn lstm(call: &mut Call<'_>) -> Lowered {
    layer(call, CellKind::Lstm)
}

/// A function by its name in lower case, and the parameters that it takes with their defaults; `None` for a parameter that must be
/// given, because the specification and ONNX Runtime differ.
struct Function {
    name: &'static str,
    kind: UnaryKind,
    alpha: Option<Option<f32>>,
    beta: Option<Option<f32>>,
}

const fn function(name: &'static str, kind: UnaryKind) -> Function {
    Function { name, kind, alpha: None, beta: None }
}

const FUNCTIONS: [Function; 11] = [
    Function { alpha: Some(None), beta: Some(None), ..function("affine", UnaryKind::Affine) },
    Function { alpha: Some(Some(1.0)), ..function("elu", UnaryKind::Elu) },
    Function { alpha: Some(Some(0.2)), beta: Some(Some(0.5)), ..function("hardsigmoid", UnaryKind::HardSigmoid) },
    Function { alpha: Some(Some(0.01)), ..function("leakyrelu", UnaryKind::LeakyRelu) },
    function("relu", UnaryKind::Relu),
    Function { alpha: Some(None), beta: Some(None), ..function("scaledtanh", UnaryKind::ScaledTanh) },
    function("sigmoid", UnaryKind::Sigmoid),
    function("softplus", UnaryKind::Softplus),
    function("softsign", UnaryKind::Softsign),
    function("tanh", UnaryKind::Tanh),
    Function { alpha: Some(None), ..function("thresholdedrelu", UnaryKind::ThresholdedRelu) },
];

/// Parameters in the order of the functions that take one.
struct Parameters<'a> {
    name: &'static str,
    left: std::slice::Iter<'a, f32>,
}

impl Parameters<'_> {
    fn next(&mut self, function: &Function, default: Option<Option<f32>>) -> Result<f32, Refusal> {
        let Some(default) = default else { return Ok(0.0) };
        let value = self.left.next().copied().or(default);
        value.ok_or_else(|| {
            Refusal(format!("attribute {} lacks a value for the activation {}", self.name, function.name))
        })
    }

    fn finish(&self) -> Result<(), Refusal> {
        match self.left.len() {
            0 => Ok(()),
            left => Err(Refusal(format!("attribute {} has {left} values that no activation takes", self.name))),
        }
    }
}

/// The activations of both directions.
fn activations(call: &Call<'_>, kind: CellKind, directions: usize) -> Result<[[Activation; 3]; 2], Refusal> {
    let count = kind.activations();
    let names = call.attributes.strings("activations")?;
    let usual: &[&str] = match kind {
        CellKind::Rnn => &["Tanh"],
        CellKind::Gru => &["Sigmoid", "Tanh"],
        CellKind::Lstm => &["Sigmoid", "Tanh", "Tanh"],
    };
    let names = names.unwrap_or_else(|| usual.repeat(directions));
    if names.len() != count * directions {
        return Err(Refusal(format!(
            "attribute activations has {} names, {} are needed",
            names.len(),
            count * directions
        )));
    }
    let parameters = |name| {
        let values = call.attributes.floats(name)?.unwrap_or_default();
        Ok::<_, Refusal>(Parameters { name, left: values.iter() })
    };
    let (mut alphas, mut betas) = (parameters("activation_alpha")?, parameters("activation_beta")?);
    let mut activations = [[NO_ACTIVATION; 3]; 2];
    for (position, name) in names.iter().enumerate() {
        let function = FUNCTIONS.iter().find(|function| function.name.eq_ignore_ascii_case(name));
        let function = function.ok_or_else(|| Refusal(format!("attribute activations: {name:?} is not known")))?;
        let (alpha, beta) = (alphas.next(function, function.alpha)?, betas.next(function, function.beta)?);
        activations[position / count][position % count] = Activation { kind: function.kind, alpha, beta };
    }
    alphas.finish()?;
    betas.finish()?;
    Ok(activations)
}

/// Reads the attributes of a layer.
fn attributes(call: &Call<'_>, kind: CellKind) -> Result<Recurrent, Refusal> {
    let direction = match call.attributes.string("direction")?.unwrap_or("forward") {
        "forward" => Direction::Forward,
        "reverse" => Direction::Reverse,
        "bidirectional" => Direction::Both,
        other => return Err(Refusal(format!("attribute direction is {other:?}"))),
    };
    let directions = if direction == Direction::Both { 2 } else { 1 };
    let [forward, backward] = activations(call, kind, directions)?;
    let clip = call.attributes.float("clip")?.unwrap_or(f32::INFINITY);
    if clip.is_nan() || clip < 0.0 {
        return Err(Refusal(format!("attribute clip is {clip}")));
    }
    let flag = |name, of| if kind == of { call.attributes.flag(name, false) } else { Ok(false) };
    let cell = Cell {
        kind,
        linear_before_reset: flag("linear_before_reset", CellKind::Gru)?,
        input_forget: flag("input_forget", CellKind::Lstm)?,
        clip,
        cell_clip: f32::INFINITY,
        activations: forward,
    };
    let batch_first = call.attributes.flag("layout", false)?;
    let wanted = |index: usize| call.outputs.get(index).copied().unwrap_or(false);
    let wanted = Wanted { y: wanted(0), y_h: wanted(1), y_c: wanted(2) };
    Ok(Recurrent { cell, backward, direction, batch_first, wanted })
}

fn layer(call: &mut Call<'_>, kind: CellKind) -> Lowered {
    let layer = attributes(call, kind)?;
    call.at_most_outputs(if kind == CellKind::Lstm { 3 } else { 2 })?;
    let mut inputs = Vec::new();
    for index in 0..call.inputs.len() {
        inputs.push(call.optional(index)?);
    }
    let (Some(Some(x)), Some(Some(r))) = (inputs.first().copied(), inputs.get(2).copied()) else {
        return Err("inputs X, W and R must be there".into());
    };
    check(call, x, r, layer.batch_first)?;
    // Stated lengths of whole sequences, and states of zeros, say nothing.
    let steps = call.shape(x).factor(usize::from(layer.batch_first)).unwrap_or(0) as i64;
    for (index, nothing) in [(4, steps), (5, 0), (6, 0)] {
        if let Some(slot) = inputs.get_mut(index)
            && slot.is_some_and(|id| call.filled_with(id, nothing as f64))
        {
            *slot = None;
        }
    }
    let dtype = call.dtype(x);
    let wide = if matches!(dtype, DType::F16 | DType::BF16) { DType::F32 } else { dtype };
    for (index, slot) in inputs.iter_mut().enumerate().filter(|&(index, _)| index != 4) {
        if let Some(id) = slot.filter(|&id| call.dtype(id) == dtype && dtype != wide) {
            *slot = Some(
                call.add(Cast { to: wide }, &[id]).map_err(|Refusal(why)| Refusal(format!("input {index}: {why}")))?,
            );
        }
    }
    let Wanted { y, y_h, y_c } = layer.wanted;
    if !(y || y_h || y_c) {
        return Ok(Vec::new());
    }
    let mut results = call.add_node(Op::from(layer), &inputs, &[])?.into_iter().peekable();
    let mut values = Vec::new();
    for wanted in [y, y_h, y_c] {
        values.push(match results.next_if(|_| wanted) {
            Some(result) if wide != dtype => Value::Tensor(call.add(Cast { to: dtype }, &[result])?),
            Some(result) => Value::Tensor(result),
            None => Value::Blocked,
        });
    }
    Ok(values)
}

/// Refuses what the operator's own message would not explain.
fn check(call: &Call<'_>, x: TensorId, r: TensorId, batch_first: bool) -> Result<(), Refusal> {
    let shape = call.shape(x);
    if shape.is_batch(usize::from(batch_first)) {
        return Err(
            "its steps are the batch. Give their number with --dim or --shape, and N for the axis of the sequences"
                .into(),
        );
    }
    let stated = call.attributes.int("hidden_size")?;
    let hidden = call.shape(r).factor(2).map(|hidden| hidden as i64);
    match (stated, hidden) {
        (Some(stated), Some(hidden)) if stated != hidden => {
            Err(Refusal(format!("attribute hidden_size is {stated}, and R is for {hidden}")))
        }
        _ => Ok(()),
    }
}
