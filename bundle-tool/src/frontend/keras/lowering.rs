//! Lowers a network of layers to the graph.

use std::collections::HashMap;

use ekiben_runtime::ops::cast::Cast;
use ekiben_runtime::ops::expand::Expand;
use ekiben_runtime::ops::reshape::Reshape;
use ekiben_runtime::ops::slice::Slice;
use ekiben_runtime::ops::transpose::Transpose;
use ekiben_runtime::tensor::ShapeError;
use ekiben_runtime::{DType, Op, Shape, TensorSpec};
use serde_json::Value;

use super::config::{Call, Generation, Layer, Network, Point};
use super::hdf5::{Array, Elements};
use super::layers;
use crate::frontend::{Blocker, FrontendError};
use crate::graph::{ConstantError, Graph, GraphError, TensorId};

/// The most calls of layers that one model lowers to: models in models can be called many times.
const MAX_CALLS: usize = 100_000;
/// The most bytes that a tensor may take for each row.
pub(super) const MAX_TENSOR_BYTES: u64 = 1 << 31;

/// Why a layer is not lowered.
#[derive(Debug)]
pub(super) enum Stop {
    /// It cannot be compiled, for this reason.
    Refused(String),
    /// What it needs is not there for a reason that is told elsewhere.
    Blocked,
    /// The file is damaged.
    Error(FrontendError),
}

impl From<String> for Stop {
    fn from(reason: String) -> Self {
        Self::Refused(reason)
    }
}

impl From<&str> for Stop {
    fn from(reason: &str) -> Self {
        Self::Refused(reason.to_owned())
    }
}

impl From<GraphError> for Stop {
    fn from(error: GraphError) -> Self {
        Self::Refused(format!("{}: {}", error.operator, error.error))
    }
}

impl From<ConstantError> for Stop {
    fn from(error: ConstantError) -> Self {
        Self::Error(error.into())
    }
}

impl From<ShapeError> for Stop {
    fn from(error: ShapeError) -> Self {
        Self::Refused(error.to_string())
    }
}

/// What a tensor of the network is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flow {
    pub(super) tensor: TensorId,
    /// Some of its steps may be masked.
    pub(super) masked: bool,
}

/// A network on its way into the graph.
pub(super) struct Lowering<'g> {
    pub(super) graph: &'g mut Graph,
    pub(super) generation: Generation,
    /// Constants by the layer that they belong to, so that a shared layer has them once.
    constants: HashMap<(usize, String), TensorId>,
    pub(super) blockers: Vec<Blocker>,
    calls: usize,
}

/// The results of calls of layers by their places.
type Results = HashMap<(usize, usize), Option<Vec<Flow>>>;

impl<'g> Lowering<'g> {
    pub(super) fn new(graph: &'g mut Graph, generation: Generation) -> Self {
        Self { graph, generation, constants: HashMap::new(), blockers: Vec::new(), calls: 0 }
    }

    /// Lowers a network; `None` where something in it is blocked.
    pub(super) fn network(&mut self, network: &Network, inputs: &[Flow]) -> Result<Option<Vec<Flow>>, FrontendError> {
        if network.is_sequential {
            let mut flows = inputs.to_vec();
            for layer in network.layers.iter().filter(|layer| layer.class != "InputLayer") {
                match self.layer(layer, &flows, &[])? {
                    Some(results) => flows = results,
                    None => return Ok(None),
                }
            }
            return Ok(Some(flows));
        }
        let mut results = Results::new();
        if network.inputs.len() != inputs.len() {
            let reason = format!("a model of {} inputs is called with {}", network.inputs.len(), inputs.len());
            return Err(FrontendError::malformed("architecture", reason));
        }
        for (point, &flow) in network.inputs.iter().zip(inputs) {
            results.insert((point.layer, point.call), Some(vec![flow]));
        }
        for &output in &network.outputs {
            self.reach(network, output, &mut results)?;
        }
        let ends = network.outputs.iter().map(|point| flow(&results, point));
        Ok(ends.collect())
    }

    /// Lowers all that a result needs, and it.
    fn reach(&mut self, network: &Network, wanted: Point, results: &mut Results) -> Result<(), FrontendError> {
        let mut open = vec![(wanted.layer, wanted.call)];
        let mut entered = HashMap::new();
        while let Some(&(at, number)) = open.last() {
            if results.contains_key(&(at, number)) {
                open.pop();
                continue;
            }
            let layer = network.layers.get(at);
            let call = layer.and_then(|layer| layer.calls.get(number.checked_sub(layer.first_call)?));
            let (Some(layer), Some(call)) = (layer, call) else {
                let name = layer.map_or("?", |layer| layer.path.as_str());
                return Err(FrontendError::malformed(name, format!("there is no call {number} of this layer")));
            };
            let needed = || call.tensors.iter().chain(call.named.iter().flat_map(|(_, points)| points));
            if entered.insert((at, number), ()).is_none() {
                open.extend(needed().map(|point| (point.layer, point.call)));
                continue;
            }
            if needed().any(|point| !results.contains_key(&(point.layer, point.call))) {
                return Err(FrontendError::malformed(&layer.path, "layers call one another in a circle"));
            }
            let result = self.call(layer, call, results)?;
            results.insert((at, number), result);
            open.pop();
        }
        Ok(())
    }

    fn call(&mut self, layer: &Layer, call: &Call, results: &Results) -> Result<Option<Vec<Flow>>, FrontendError> {
        if let Some(reason) = &call.refused {
            self.block(layer, reason.clone());
            return Ok(None);
        }
        let flows: Option<Vec<Flow>> = call.tensors.iter().map(|point| flow(results, point)).collect();
        let mut named = Vec::new();
        for (name, points) in &call.named {
            match points.iter().map(|point| flow(results, point)).collect::<Option<Vec<_>>>() {
                Some(flows) => named.push((name.as_str(), flows)),
                None => return Ok(None),
            }
        }
        let Some(flows) = flows else { return Ok(None) };
        self.layer(layer, &flows, &named)
    }

    fn block(&mut self, layer: &Layer, reason: String) {
        let known = self.blockers.iter().any(|blocker| blocker.node == layer.path && blocker.reason == reason);
        if !known {
            self.blockers.push(Blocker { node: layer.path.clone(), operator: layer.class.clone(), reason });
        }
    }

    /// Lowers a call of a layer; `None` where it is blocked.
    pub(super) fn layer(
        &mut self,
        layer: &Layer,
        flows: &[Flow],
        named: &[(&str, Vec<Flow>)],
    ) -> Result<Option<Vec<Flow>>, FrontendError> {
        self.calls += 1;
        if self.calls > MAX_CALLS {
            return Err(FrontendError::malformed(
                &layer.path,
                format!("the model calls layers over {MAX_CALLS} times"),
            ));
        }
        if let Some(network) = &layer.network {
            return self.network(network, flows);
        }
        let mut site = Site { lowering: self, layer };
        match layers::lower(&mut site, flows, named) {
            Ok(results) => Ok(Some(results)),
            Err(Stop::Blocked) => Ok(None),
            Err(Stop::Error(error)) => Err(error),
            Err(Stop::Refused(reason)) => {
                self.block(layer, reason);
                Ok(None)
            }
        }
    }
}

fn flow(results: &Results, point: &Point) -> Option<Flow> {
    results.get(&(point.layer, point.call))?.as_ref()?.get(point.output).copied()
}

/// A layer on its way into the graph.
pub(super) struct Site<'s, 'g> {
    pub(super) lowering: &'s mut Lowering<'g>,
    pub(super) layer: &'s Layer,
}

impl Site<'_, '_> {
    pub(super) fn generation(&self) -> Generation {
        self.lowering.generation
    }

    pub(super) fn shape(&self, id: TensorId) -> Shape {
        self.lowering.graph.shape(id)
    }

    /// Lengths of one row.
    pub(super) fn dims(&self, id: TensorId) -> Vec<usize> {
        self.shape(id).factors().iter().map(|&length| length as usize).collect()
    }

    // What the layer's configuration says.

    pub(super) fn value(&self, key: &str) -> Option<&Value> {
        self.layer.config.get(key).filter(|value| !value.is_null())
    }

    pub(super) fn flag(&self, key: &str, usual: bool) -> bool {
        self.value(key).and_then(Value::as_bool).unwrap_or(usual)
    }

    pub(super) fn text(&self, key: &str) -> Option<&str> {
        self.value(key).and_then(Value::as_str)
    }

    pub(super) fn number(&self, key: &str, usual: f64) -> Result<f64, Stop> {
        match self.value(key) {
            None => Ok(usual),
            Some(value) => value.as_f64().ok_or_else(|| Stop::from(format!("{key} is {value}"))),
        }
    }

    /// A length or count above 0.
    pub(super) fn count(&self, key: &str) -> Result<Option<usize>, Stop> {
        let Some(value) = self.value(key) else { return Ok(None) };
        let count = value.as_u64().filter(|&count| count > 0 && count <= u64::from(u32::MAX));
        count.map(|count| Some(count as usize)).ok_or_else(|| format!("{key} is {value}").into())
    }

    /// `axes` counts: one for all, or a list.
    pub(super) fn counts(&self, key: &str, axes: usize, usual: Option<usize>) -> Result<Vec<usize>, Stop> {
        let Some(value) = self.value(key) else {
            return usual.map(|usual| vec![usual; axes]).ok_or_else(|| format!("{key} is not stated").into());
        };
        let count = |value: &Value| {
            value.as_u64().filter(|&count| count > 0 && count <= u64::from(u32::MAX)).map(|count| count as usize)
        };
        let read = match value {
            Value::Array(values) => values.iter().map(count).collect::<Option<Vec<_>>>(),
            value => count(value).map(|count| vec![count; axes]),
        };
        read.filter(|counts| counts.len() == axes).ok_or_else(|| format!("{key} is {value}").into())
    }

    /// An axis that may be counted from the end.
    pub(super) fn axis(&self, value: &Value, rank: usize) -> Result<usize, Stop> {
        let axis = value.as_i64().map(|axis| if axis < 0 { axis.saturating_add(rank as i64) } else { axis });
        let axis = axis.and_then(|axis| usize::try_from(axis).ok()).filter(|&axis| axis < rank);
        axis.ok_or_else(|| format!("there is no axis {value} of {rank}").into())
    }

    /// Refuses images whose channels stand before their pixels.
    pub(super) fn channels_last(&self) -> Result<(), Stop> {
        match self.text("data_format") {
            None | Some("channels_last") => Ok(()),
            Some(other) => Err(format!("data_format is {other:?}; channels_last is compiled").into()),
        }
    }

    // Weights.

    pub(super) fn weight(&self, role: &str) -> Result<&Array, Stop> {
        let missing =
            || Stop::Error(FrontendError::malformed(&self.layer.path, format!("its weight {role} is missing")));
        self.layer.weights.get(role).ok_or_else(missing)
    }

    /// The numbers of a weight that must have these lengths.
    pub(super) fn numbers(&self, role: &str, dims: &[usize]) -> Result<&[f32], Stop> {
        let array = self.weight(role)?;
        match &array.elements {
            Elements::Floats(floats) if array.dims == dims && floats.len() == dims.iter().product::<usize>() => {
                Ok(floats)
            }
            _ => {
                let reason = format!("its {role} has the lengths {:?}, {dims:?} are needed", array.dims);
                Err(Stop::Error(FrontendError::malformed(&self.layer.path, reason)))
            }
        }
    }

    /// A constant of the layer, made once.
    pub(super) fn constant(
        &mut self,
        role: &str,
        dims: &[usize],
        make: impl FnOnce(&Self) -> Result<Vec<f32>, Stop>,
    ) -> Result<TensorId, Stop> {
        let key = (self.layer.id, format!("{role}{dims:?}"));
        if let Some(&known) = self.lowering.constants.get(&key) {
            return Ok(known);
        }
        let values = make(self)?;
        let id = self.lowering.graph.add_constant(&format!("{}/{role}", self.layer.path), DType::F32, dims, &values)?;
        self.lowering.constants.insert(key, id);
        Ok(id)
    }

    /// A weight as it is, in other lengths.
    pub(super) fn stored(&mut self, role: &str, dims: &[usize], placed: &[usize]) -> Result<TensorId, Stop> {
        self.constant(role, placed, |site| site.numbers(role, dims).map(<[f32]>::to_vec))
    }

    /// A number that all elements meet.
    pub(super) fn scalar(&mut self, value: f64) -> Result<TensorId, Stop> {
        Ok(self.lowering.graph.add_constant("number", DType::F32, &[], &[value as f32])?)
    }

    /// A table of integers.
    pub(super) fn table(&mut self, dims: &[usize], values: &[i32]) -> Result<TensorId, Stop> {
        Ok(self.lowering.graph.add_constant(&self.layer.path, DType::I32, dims, values)?)
    }

    // Nodes.

    pub(super) fn add(&mut self, op: impl Into<Op>, inputs: &[TensorId]) -> Result<TensorId, Stop> {
        let id = self.lowering.graph.add(&self.layer.path, op, inputs)?;
        self.sized(id)
    }

    pub(super) fn add_optional(&mut self, op: impl Into<Op>, inputs: &[Option<TensorId>]) -> Result<TensorId, Stop> {
        let ids = self.lowering.graph.add_node(&self.layer.path, op, inputs, &[])?;
        self.sized(ids[0])
    }

    fn sized(&self, id: TensorId) -> Result<TensorId, Stop> {
        let bytes = self.lowering.graph.spec(id).shape.elements().and_then(|elements| elements.checked_mul(8));
        match bytes {
            Some(0..=MAX_TENSOR_BYTES) => Ok(id),
            _ => Err(format!("its result, {}, is too large", self.shape(id)).into()),
        }
    }

    pub(super) fn declared(&mut self, op: impl Into<Op>, input: TensorId, shape: Shape) -> Result<TensorId, Stop> {
        let spec = TensorSpec { shape, ..self.lowering.graph.spec(input) };
        let id = self.lowering.graph.add_declared(&self.layer.path, op, &[input], spec)?;
        self.sized(id)
    }

    /// The same elements with other lengths; the batch stays the first axis.
    pub(super) fn reshaped(&mut self, input: TensorId, dims: &[usize]) -> Result<TensorId, Stop> {
        let batch = self.shape(input).batch_axis();
        if batch.is_some_and(|axis| axis > 0) || batch.is_some() && dims.is_empty() {
            return Err("the batch is not the first axis".into());
        }
        let shape = Shape::new(dims, batch)?;
        if shape == self.shape(input) {
            return Ok(input);
        }
        self.declared(Reshape, input, shape)
    }

    pub(super) fn transposed(&mut self, input: TensorId, axes: &[usize]) -> Result<TensorId, Stop> {
        if axes.iter().enumerate().all(|(at, &axis)| at == axis) {
            return Ok(input);
        }
        let perm = ekiben_runtime::ops::transpose::Permutation::new(axes).ok_or("too many axes")?;
        self.add(Transpose { perm }, &[input])
    }

    /// Repeats axes of length 1.
    pub(super) fn expanded(&mut self, input: TensorId, dims: &[usize]) -> Result<TensorId, Stop> {
        let shape = Shape::new(dims, self.shape(input).batch_axis())?;
        self.declared(Expand, input, shape)
    }

    /// Parts of axes: start, step and length of each.
    pub(super) fn sliced(&mut self, input: TensorId, parts: &[[i64; 3]]) -> Result<TensorId, Stop> {
        let row = |at: usize| parts.iter().map(move |part| i32::try_from(part[at]).unwrap_or(i32::MAX));
        let values: Vec<i32> = (0..3).flat_map(row).collect();
        let table = self.table(&[3, parts.len()], &values)?;
        self.add(Slice, &[input, table])
    }

    /// The elements as single floats.
    pub(super) fn floats(&mut self, input: TensorId) -> Result<TensorId, Stop> {
        if self.lowering.graph.spec(input).dtype == DType::F32 {
            return Ok(input);
        }
        self.add(Cast { to: DType::F32 }, &[input])
    }
}
