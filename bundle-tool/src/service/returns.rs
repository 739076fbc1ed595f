//! What an API's function returns, as a template over the graph's outputs.

use ekiben_runtime::artifact::manifest::{FrameColumn, Orient, Returns, TextPart};
use ekiben_runtime::ops::reshape::Reshape;
use ekiben_runtime::{DType, Op};

use super::evaluate::{Array, Evaluator, Frame, Index, LoopId, Place, Stop, Value};
use super::library;
use crate::bundle::{ApiDecl, Interface, OutputAdapter, ValueSchema};
use crate::graph::TensorId;

/// Digits after the decimal point that pandas's `to_json` writes.
const PANDAS_DIGITS: u8 = 10;
/// Values in values of a template.
const MAX_DEPTH: usize = 32;

/// The template of `value`, which the function of an API returns; its tensors become outputs of the graph.
pub(super) fn template(
    evaluator: &mut Evaluator<'_, '_>,
    declared: &ApiDecl,
    value: &Value<'_>,
    place: Place,
) -> Result<Returns, Stop> {
    let batch = !matches!(declared.interface, Interface::V0_13 { batch: false, .. });
    let mut writer = Writer { evaluator, place, batch };
    match &declared.interface {
        Interface::V0_13 { output, .. } => writer.by_adapter(output, value),
        Interface::V1 { output, .. } => match value {
            Value::Frame(frame) => writer.by_schema(output, frame),
            other => writer.value(other, &[], 0),
        },
        Interface::Runners { output, classes, .. } => writer.by_descriptor(&classes.1, output, value),
    }
}

/// The template of a value that a declaration answers.
pub(super) fn declared(evaluator: &mut Evaluator<'_, '_>, value: &Value<'_>, place: Place) -> Result<Returns, Stop> {
    let mut writer = Writer { evaluator, place, batch: true };
    match value {
        Value::Frame(frame) => writer.by_schema(&ValueSchema::Any, frame),
        other => writer.value(other, &[], 0),
    }
}

struct Writer<'w, 'e, 'a> {
    evaluator: &'w mut Evaluator<'e, 'a>,
    place: Place,
    /// Whether the function answers many requests at once.
    batch: bool,
}

impl Writer<'_, '_, '_> {
    fn fail<T>(&self, problem: impl Into<String>) -> Result<T, Stop> {
        self.evaluator.fail(self.place, format!("what this API returns: {}", problem.into()))
    }

    /// What an output adapter of 0.13 writes.
    fn by_adapter(&mut self, adapter: &OutputAdapter, value: &Value<'_>) -> Result<Returns, Stop> {
        let (orient, frame_only) = match adapter {
            OutputAdapter::Default => (Orient::Records, false),
            OutputAdapter::Json => return self.per_row(value),
            OutputAdapter::Dataframe { orient } => match Orient::from_name(orient) {
                Some(orient) => (orient, true),
                None => return self.fail(format!("the orientation {orient:?} is not one of pandas's")),
            },
            _ => return self.fail("this output adapter is not compiled"),
        };
        match value {
            Value::Frame(frame) => {
                let columns = library::columns(self.evaluator, frame, self.place)?;
                Ok(Returns::Frame { columns: self.columns(&columns)?, orient, digits: Some(PANDAS_DIGITS) })
            }
            other if frame_only => self.fail(format!("a DataframeOutput writes a frame, not {}", other.describe())),
            other => self.per_row(other),
        }
    }

    /// What a descriptor of a service with runners writes.
    fn by_descriptor(&mut self, class: &str, schema: &ValueSchema, value: &Value<'_>) -> Result<Returns, Stop> {
        match (class, schema, value) {
            ("NumpyNdarray", ValueSchema::Tensor { dtype, shape, .. }, Value::Array(array)) if !array.python => {
                let axes = array.axes(&self.evaluator.graph).len();
                if shape.as_ref().is_some_and(|shape| shape.len() != axes) {
                    return self.fail("its descriptor declares another number of axes. Reshape it in the API");
                }
                match dtype.as_deref().map(DType::from_name) {
                    None => self.value(value, &[], 0),
                    Some(Some(to)) => {
                        let array = self.same_kind(array, to)?;
                        self.value(&Value::Array(array), &[], 0)
                    }
                    Some(None) => self.fail("the type that its descriptor declares is not compiled"),
                }
            }
            ("NumpyNdarray", ..) => {
                self.fail(format!("its descriptor writes arrays of numpy, not {}", value.describe()))
            }
            ("PandasDataFrame", ValueSchema::Dataframe { orient, .. }, Value::Frame(frame)) => {
                let Some(orient) = Orient::from_name(orient) else {
                    return self.fail(format!("the orientation {orient:?} is not one of pandas's"));
                };
                let columns = library::columns(self.evaluator, frame, self.place)?;
                Ok(Returns::Frame { columns: self.columns(&columns)?, orient, digits: Some(PANDAS_DIGITS) })
            }
            ("JSON" | "Text", ..) => self.value(value, &[], 0),
            _ => self.fail(format!("{} with the descriptor {class} is not compiled", value.describe())),
        }
    }

    /// The array in the type that its descriptor declares, where numpy converts to it within a kind; else as it is.
    fn same_kind(&mut self, array: &Array, to: DType) -> Result<Array, Stop> {
        let from = array.dtype(&self.evaluator.graph);
        let converts = from.is_float() && to.is_float() || from.is_integer() && (to.is_integer() || to.is_float());
        if from == to || !converts {
            return Ok(array.clone());
        }
        Ok(array.with_tensor(self.evaluator.cast(array.tensor, to, self.place)?))
    }

    /// A value that 0.13 takes apart into the answers of the requests in a batch: one item for each row.
    fn per_row(&mut self, value: &Value<'_>) -> Result<Returns, Stop> {
        let extent = match value {
            Value::Array(array) => {
                let axes = array.axes(&self.evaluator.graph);
                axes.first().map(|&axis| array.extent(&self.evaluator.graph, axis))
            }
            Value::Rows(id, _) => self.evaluator.loops.get(*id).copied(),
            _ => None,
        };
        match extent {
            Some((1, true)) => self.value(value, &[], 0),
            // One value for one request.
            _ if !self.batch => self.value(value, &[], 0),
            _ => self.fail(format!(
                "a list or array with one item for each row of the request is needed, not {}",
                value.describe()
            )),
        }
    }

    /// A frame that a 1.x API returns.
    fn by_schema(&mut self, schema: &ValueSchema, frame: &Frame) -> Result<Returns, Stop> {
        let columns = library::columns(self.evaluator, frame, self.place)?;
        let by_columns = matches!(schema, ValueSchema::Dataframe { orient, .. } if orient == "columns");
        if !by_columns {
            return Ok(Returns::Frame { columns: self.columns(&columns)?, orient: Orient::Records, digits: None });
        }
        // BentoML 1.x writes lists here, where pandas would write objects.
        let mut members = Vec::new();
        for (name, array) in &columns {
            members.push((name.clone(), self.array(array, &[])?));
        }
        Ok(Returns::Object(members))
    }

    fn columns(&mut self, columns: &[(String, Array)]) -> Result<Vec<FrameColumn>, Stop> {
        let mut written = Vec::new();
        for (name, array) in columns {
            let mut indices = array.indices.iter();
            let leading = indices.next().copied().unwrap_or(Index::All);
            let at: Option<Vec<u32>> = indices
                .map(|index| match index {
                    Index::At(at) => Some(*at),
                    _ => None,
                })
                .collect();
            let one = array.axes(&self.evaluator.graph).len() == 1;
            let Some(at) = at.filter(|_| one && leading == Index::All) else {
                return self.fail(format!("the column `{name}` has not one element for each row"));
            };
            written.push(FrameColumn { name: name.clone(), output: self.output(array, Some(name))?, at });
        }
        if written.is_empty() {
            return self.fail("a frame without columns is not compiled");
        }
        Ok(written)
    }

    /// The template of a value inside of the loops `within`.
    fn value(&mut self, value: &Value<'_>, within: &[LoopId], depth: usize) -> Result<Returns, Stop> {
        if depth > MAX_DEPTH {
            return self.fail(format!("values are nested more than {MAX_DEPTH} levels deep"));
        }
        Ok(match value {
            Value::None => Returns::Constant("null".to_owned()),
            Value::Bool(value) => Returns::Constant(value.to_string()),
            Value::Int(value) => Returns::Constant(value.to_string()),
            Value::Float(value) if value.is_finite() => Returns::Constant(serde_json::Value::from(*value).to_string()),
            Value::Text(text) => Returns::Constant(serde_json::Value::from(&**text).to_string()),
            Value::List(items) | Value::Tuple(items) => {
                let items = items.iter().map(|item| self.value(item, within, depth + 1)).collect::<Result<_, _>>()?;
                Returns::List(items)
            }
            Value::Dict(items) | Value::Record(items) => {
                let mut members = Vec::new();
                for (key, item) in items.iter() {
                    let Some(key) = json_key(key) else {
                        return self.fail(format!("a dict with {} as a key is not compiled", key.describe()));
                    };
                    if let Value::Array(array) = item {
                        self.name(array, &key);
                    }
                    members.push((key, self.value(item, within, depth + 1)?));
                }
                Returns::Object(members)
            }
            Value::Rows(id, item) => {
                let inner: Vec<LoopId> = within.iter().copied().chain([*id]).collect();
                Returns::rows(self.value(item, &inner, depth + 1)?)
            }
            Value::Array(array) => self.array(array, within)?,
            Value::Format(pieces) => {
                let mut parts = Vec::new();
                for (piece, format) in pieces.iter() {
                    parts.push(match piece {
                        Value::Text(text) => TextPart::Literal(text.to_string()),
                        piece => TextPart::Value { value: self.value(piece, within, depth + 1)?, format: *format },
                    });
                }
                Returns::Text(parts)
            }
            Value::Frame(_) => return self.fail("a frame inside of another value is not compiled. Use `to_dict`"),
            other => return self.fail(format!("{} is not an answer", other.describe())),
        })
    }

    /// The template of a part of a tensor inside of the loops `within`.
    ///
    /// A template consumes a tensor's axes from the first on: first the rows of the loops around it, then lists, then positions.
    fn array(&mut self, array: &Array, within: &[LoopId]) -> Result<Returns, Stop> {
        let mut indices = &array.indices[..];
        while let [rest @ .., Index::All] = indices {
            indices = rest;
        }
        let loops: Vec<LoopId> =
            indices.iter().map_while(|index| if let Index::Loop(id) = index { Some(*id) } else { None }).collect();
        let rest = &indices[loops.len()..];
        let lists = rest.iter().take_while(|index| **index == Index::All).count();
        let at: Option<Vec<u32>> =
            rest[lists..].iter().map(|index| if let Index::At(at) = index { Some(*at) } else { None }).collect();
        let rank = self.evaluator.graph.shape(array.tensor).rank();
        let outer_row = within.starts_with(&loops) && loops.len() == rank;
        let Some(at) = at.filter(|_| loops == within || outer_row) else {
            return self.fail("this part of an array, inside of these loops, is not compiled. Return it another way");
        };
        let mut returns = Returns::item(self.output(array, None)?, &at);
        for _ in 0..lists {
            returns = Returns::rows(returns);
        }
        Ok(returns)
    }

    /// The index of the graph's output that holds an array's tensor.
    fn output(&mut self, array: &Array, name: Option<&str>) -> Result<u32, Stop> {
        if array.assumed {
            return self.fail("whether these are integers or floats depends on the request. Convert with `astype`");
        }
        if self.is_partly_known(array.tensor) {
            return self
                .fail("a text of the request is not handed back; only the texts that it is compared with are known");
        }
        let tensor = self.computed(array.tensor)?;
        let known = self.evaluator.graph.outputs().iter().position(|output| *output == tensor);
        let index = known.unwrap_or_else(|| {
            self.evaluator.graph.add_output(tensor);
            self.evaluator.graph.outputs().len() - 1
        });
        if let Some(name) = name {
            self.name(array, name);
        }
        Ok(index as u32)
    }

    /// Whether a tensor holds texts of the request, of which only those are known that something compares them with.
    fn is_partly_known(&self, tensor: TensorId) -> bool {
        let graph = &self.evaluator.graph;
        let mut pending = vec![tensor];
        while let Some(tensor) = pending.pop() {
            if graph.spec(tensor).dtype != DType::Category {
                continue;
            }
            if graph.inputs().contains(&tensor) {
                return true;
            }
            // These hand elements on; what else gives texts makes them of a table that holds them all.
            if let Some(node) = graph.producer(tensor)
                && matches!(
                    node.op,
                    Op::Reshape(_)
                        | Op::Expand(_)
                        | Op::Gather(_)
                        | Op::Select(_)
                        | Op::Concat(_)
                        | Op::MapCategories(_)
                )
            {
                pending.extend(node.inputs.iter().flatten());
            }
        }
        false
    }

    /// A tensor that is computed: an input or a constant is copied, so that it can be an output.
    fn computed(&mut self, tensor: TensorId) -> Result<TensorId, Stop> {
        let graph = &mut self.evaluator.graph;
        if graph.nodes().iter().any(|node| node.outputs.contains(&tensor)) {
            return Ok(tensor);
        }
        let spec = graph.spec(tensor);
        let added = graph.add_declared("copy", Reshape, &[tensor], spec);
        self.evaluator.added(added, self.place)
    }

    /// Calls a computed tensor what the answer calls it.
    fn name(&mut self, array: &Array, name: &str) {
        if !self.evaluator.graph.inputs().contains(&array.tensor) {
            self.evaluator.graph.rename(array.tensor, name);
        }
    }
}

/// A dict's key as Python's `json` writes it.
fn json_key(key: &Value<'_>) -> Option<String> {
    match key {
        Value::Text(text) => Some(text.to_string()),
        Value::Int(value) => Some(value.to_string()),
        Value::Bool(value) => Some(value.to_string()),
        Value::None => Some("null".to_owned()),
        _ => None,
    }
}
