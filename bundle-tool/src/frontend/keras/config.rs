//! The architecture of a model: Keras's JSON, as layers that know what they are called with.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::hdf5::Array;
use crate::frontend::FrontendError;

/// Which Keras wrote a model; layers differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Generation {
    /// Keras 2, which is a part of TensorFlow up to 2.15.
    Two,
    /// Keras 3.
    Three,
}

/// A layer of a network.
#[derive(Debug)]
pub(super) struct Layer {
    /// A number of its own among all layers of the model.
    pub(super) id: usize,
    pub(super) name: String,
    /// Where it is: names of the networks that it is in, and its own.
    pub(super) path: String,
    pub(super) class: String,
    pub(super) config: Map<String, Value>,
    /// What Keras 3 says the layer was built for.
    pub(super) build: Option<Value>,
    /// What it is called with, one for each time that its network calls it.
    pub(super) calls: Vec<Call>,
    /// The number of the first of them: a model in a model counts the call that made it.
    pub(super) first_call: usize,
    /// The layers that it wraps: that of `TimeDistributed`, forward and backward of `Bidirectional`.
    pub(super) wrapped: Vec<Layer>,
    /// The layers of a model in the model.
    pub(super) network: Option<Network>,
    /// Arrays by what they are: `kernel`, `query.kernel`.
    pub(super) weights: HashMap<String, Array>,
}

/// Layers that call one another.
#[derive(Debug)]
pub(super) struct Network {
    pub(super) layers: Vec<Layer>,
    pub(super) inputs: Vec<Point>,
    pub(super) outputs: Vec<Point>,
    /// Each layer is called with the one before it; inputs and outputs are not stated.
    pub(super) is_sequential: bool,
}

/// A result of a call of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Point {
    /// Position among the network's layers.
    pub(super) layer: usize,
    /// Which of its calls.
    pub(super) call: usize,
    /// Which of its results.
    pub(super) output: usize,
}

/// What a layer is called with.
#[derive(Debug, Default)]
pub(super) struct Call {
    /// Tensors by position, lists of them flattened.
    pub(super) tensors: Vec<Point>,
    /// Tensors by name.
    pub(super) named: Vec<(String, Vec<Point>)>,
    /// Why the call cannot be read.
    pub(super) refused: Option<String>,
}

/// The most layers of a model, those in layers among them.
const MAX_LAYERS: usize = 100_000;

fn damaged(path: &str, reason: impl std::fmt::Display) -> FrontendError {
    FrontendError::malformed(if path.is_empty() { "architecture" } else { path }, reason)
}

/// Reads architectures, numbering their layers.
#[derive(Default)]
pub(super) struct Reader {
    layers: usize,
}

/// The object of a key.
fn object<'v>(value: &'v Value, key: &str) -> Option<&'v Map<String, Value>> {
    value.get(key)?.as_object()
}

/// True for a module that holds layers of Keras's own.
fn is_of_keras(module: &str) -> bool {
    let package = module.split('.').next().unwrap_or_default();
    matches!(package, "" | "builtins" | "keras" | "tf_keras" | "tensorflow")
}

/// True for the class of a model of layers, rather than of a layer.
pub(super) fn is_network(class: &str) -> bool {
    matches!(class, "Sequential" | "Functional" | "Model")
}

impl Reader {
    /// Reads a layer, `{"class_name": …, "config": …}`, with the layers in it. `outer` is the path of the network that it is in.
    pub(super) fn layer(&mut self, value: &Value, outer: &str) -> Result<Layer, FrontendError> {
        let class = value.get("class_name").and_then(Value::as_str).unwrap_or_default();
        let config = match (value.get("config"), class) {
            (Some(Value::Object(config)), _) => config.clone(),
            // As Keras wrote it up to 2.2.2.
            (Some(layers @ Value::Array(_)), "Sequential") => Map::from_iter([("layers".to_owned(), layers.clone())]),
            _ => return Err(damaged(outer, format_args!("a layer of class {class:?} has no configuration"))),
        };
        let stated = value.get("name").or_else(|| config.get("name")).and_then(Value::as_str);
        let name = stated.unwrap_or(class).to_owned();
        let path = if outer.is_empty() { name.clone() } else { format!("{outer}/{name}") };
        let registered = value.get("registered_name").and_then(Value::as_str);
        let package = registered.and_then(|name| name.split_once('>')).map(|(package, _)| package);
        let custom = registered.filter(|_| package.is_some_and(|package| !matches!(package, "keras" | "Keras")));
        let module = value.get("module").and_then(Value::as_str).filter(|module| !is_of_keras(module));
        let class = match (custom, module) {
            (Some(custom), _) => custom.to_owned(),
            (None, Some(module)) => format!("{module}>{class}"),
            (None, None) => class.to_owned(),
        };
        self.layers += 1;
        if self.layers > MAX_LAYERS {
            return Err(damaged(outer, format_args!("the model has over {MAX_LAYERS} layers")));
        }
        let mut layer = Layer {
            id: self.layers,
            network: None,
            wrapped: Vec::new(),
            build: value.get("build_config").cloned(),
            calls: Vec::new(),
            first_call: 0,
            weights: HashMap::new(),
            name,
            path,
            class,
            config,
        };
        if is_network(&layer.class) && layer.config.contains_key("layers") {
            layer.network = Some(self.network(&layer)?);
        } else if let Some(inner) = layer.config.get("layer") {
            layer.wrapped = vec![self.layer(inner, &layer.path)?];
            if layer.class == "Bidirectional" {
                let other = layer.config.get("backward_layer").filter(|other| other.is_object());
                let mut backward = self.layer(other.unwrap_or(inner), &layer.path)?;
                if other.is_none() {
                    let forwards = backward.config.get("go_backwards").and_then(Value::as_bool).unwrap_or(false);
                    backward.config.insert("go_backwards".to_owned(), Value::Bool(!forwards));
                }
                layer.wrapped.push(backward);
            }
        }
        Ok(layer)
    }

    fn network(&mut self, outer: &Layer) -> Result<Network, FrontendError> {
        let path = outer.path.as_str();
        let listed = outer.config.get("layers").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let is_sequential = outer.class == "Sequential";
        let mut layers = Vec::new();
        for value in listed {
            layers.push(self.layer(value, path)?);
        }
        if is_sequential {
            return Ok(Network { layers, inputs: Vec::new(), outputs: Vec::new(), is_sequential });
        }
        let places: HashMap<&str, usize> =
            layers.iter().enumerate().map(|(at, layer)| (layer.name.as_str(), at)).collect();
        let mut calls = Vec::new();
        for value in listed {
            let nodes = value.get("inbound_nodes").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
            calls.push(nodes.iter().map(|node| call(node, &places)).collect::<Vec<_>>());
        }
        let ends = |key: &str| {
            let mut points = Vec::new();
            match outer.config.get(key).map(|value| ends(value, &places, &mut points)) {
                Some(Ok(())) if !points.is_empty() => Ok(points),
                Some(Err(reason)) => Err(damaged(path, format_args!("{key}: {reason}"))),
                _ => Err(damaged(path, format_args!("{key} are not stated"))),
            }
        };
        let (inputs, outputs) = (ends("input_layers")?, ends("output_layers")?);
        for ((layer, calls), value) in layers.iter_mut().zip(calls).zip(listed) {
            layer.calls = calls;
            layer.first_call = usize::from(layer.network.is_some() && counts_its_making(layer, value));
        }
        Ok(Network { layers, inputs, outputs, is_sequential })
    }
}

/// Whether a model in a model counts the call that made it: of Keras 2 each does, of Keras 3 those that are not sequential.
fn counts_its_making(layer: &Layer, value: &Value) -> bool {
    let first = value.get("inbound_nodes").and_then(|nodes| nodes.get(0));
    layer.class != "Sequential" || !first.is_some_and(Value::is_object)
}

/// `["name", call, output]`, where more may follow.
fn point(value: &Value, places: &HashMap<&str, usize>) -> Option<Result<Point, String>> {
    let [name, call, output, ..] = value.as_array()?.as_slice() else { return None };
    let (name, call, output) = (name.as_str()?, call.as_u64()? as usize, output.as_u64()? as usize);
    let layer = places.get(name).copied().ok_or_else(|| format!("there is no layer {name:?}"));
    Some(layer.map(|layer| Point { layer, call, output }))
}

/// The points of inputs or outputs: one, a list, or a map of them.
fn ends(value: &Value, places: &HashMap<&str, usize>, points: &mut Vec<Point>) -> Result<(), String> {
    if let Some(point) = point(value, places) {
        points.push(point?);
        return Ok(());
    }
    match value {
        Value::Array(parts) => parts.iter().try_for_each(|part| ends(part, places, points)),
        Value::Object(parts) => parts.values().try_for_each(|part| ends(part, places, points)),
        other => Err(format!("{other} is no result of a layer")),
    }
}

/// What a node says a layer is called with.
fn call(node: &Value, places: &HashMap<&str, usize>) -> Call {
    let mut call = Call::default();
    let read = match node {
        Value::Object(node) => third(node, places, &mut call),
        node => second(node, places, &mut call),
    };
    call.refused = read.err();
    call
}

/// Keras 2: `[["name", call, output, {keywords}], …]`, or one of these.
fn second(node: &Value, places: &HashMap<&str, usize>, call: &mut Call) -> Result<(), String> {
    let parts = node.as_array().ok_or("a call that is not a list")?;
    let single = parts.first().is_some_and(Value::is_string);
    for part in if single { std::slice::from_ref(node) } else { parts.as_slice() } {
        let point = point(part, places).ok_or("it is called with what is not a layer's result")?;
        call.tensors.push(point?);
        for (name, value) in part.get(3).and_then(Value::as_object).into_iter().flatten() {
            keyword(name, value, places, call)?;
        }
    }
    Ok(())
}

/// Keras 3: `{"args": […], "kwargs": {…}}`.
fn third(node: &Map<String, Value>, places: &HashMap<&str, usize>, call: &mut Call) -> Result<(), String> {
    for argument in node.get("args").and_then(Value::as_array).into_iter().flatten() {
        let mut points = Vec::new();
        tensors(argument, places, &mut points)?;
        call.tensors.extend(points);
    }
    for (name, value) in node.get("kwargs").and_then(Value::as_object).into_iter().flatten() {
        keyword(name, value, places, call)?;
    }
    Ok(())
}

/// The tensors of an argument of Keras 3: one, or lists of them.
fn tensors(value: &Value, places: &HashMap<&str, usize>, points: &mut Vec<Point>) -> Result<(), String> {
    let history = object(value, "config").and_then(|config| config.get("keras_history"));
    match (value, history) {
        (_, Some(history)) => {
            points.push(point(history, places).ok_or("a tensor without a history")??);
            Ok(())
        }
        (Value::Array(parts), _) => parts.iter().try_for_each(|part| tensors(part, places, points)),
        (Value::Null, _) => Ok(()),
        (other, _) => Err(format!("it is called with {other}")),
    }
}

/// An argument by name. What changes nothing when a model predicts is left out.
fn keyword(name: &str, value: &Value, places: &HashMap<&str, usize>, call: &mut Call) -> Result<(), String> {
    if value.is_null() || name == "training" && value.as_bool() != Some(true) {
        return Ok(());
    }
    if value.as_bool() == Some(false) && matches!(name, "use_causal_mask" | "return_attention_scores") {
        return Ok(());
    }
    let mut points = Vec::new();
    let read = match point(value, places) {
        Some(point) => point.map(|point| points.push(point)),
        None if value.is_object() => tensors(value, places, &mut points),
        None => ends(value, places, &mut points).or_else(|_| {
            points.clear();
            tensors(value, places, &mut points)
        }),
    };
    match read {
        Ok(()) => {
            call.named.push((name.to_owned(), points));
            Ok(())
        }
        Err(_) => Err(format!("it is called with {name}={value}")),
    }
}
