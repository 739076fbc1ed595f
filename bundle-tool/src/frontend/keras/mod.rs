//! Models of Keras 2 and 3, read as data: whole models in HDF5, an architecture in JSON with weights in HDF5, and `.keras` archives and folders.
//!
//! Layers are lowered straight to the runtime's operators, as they compute when a model predicts. The batch is the first axis of each input,
//! and symbolic where the model leaves it open. Python is never run: what needs it (`Lambda`, layers of the user's own) is refused by name.

mod activations;
mod config;
mod hdf5;
mod layers;
mod lowering;
mod weights;

use ekiben_runtime::ops::cast::Cast;
use ekiben_runtime::ops::reshape::Reshape;
use ekiben_runtime::{DType, Shape, TensorSpec};
use serde_json::Value;

use self::config::{Generation, Layer, Network, Reader};
use self::lowering::{Flow, Lowering, MAX_TENSOR_BYTES};
use super::lengths::Length;
use super::zipped::Files;
use super::{
    FrontendError, InputLengths, Model, ModelInput, NamedTensor, OpenNames, OpenOptions, OutputForm, ReadBeside,
};
use crate::graph::{Graph, TensorId};

/// Files of the format of `.keras`.
const CONFIG: &str = "config.json";
const METADATA: &str = "metadata.json";
const WEIGHTS: &str = "model.weights.h5";
/// What the name of an architecture ends with, and what that of its weights may end with instead.
const BESIDE: [(&str, &[&str]); 2] =
    [("_json.json", &["_weights.hdf5"]), (".json", &[".weights.h5", ".h5", ".hdf5", "_weights.h5", "_weights.hdf5"])];

/// A Keras model that can be lowered.
#[derive(Debug)]
pub struct KerasModel {
    root: Layer,
    generation: Generation,
    inputs: Vec<ModelInput>,
}

fn text(bytes: &[u8]) -> Result<Value, FrontendError> {
    serde_json::from_slice(bytes).map_err(|error| FrontendError::malformed("architecture", error))
}

fn damaged(reason: String) -> FrontendError {
    FrontendError::malformed("weights", reason)
}

/// Opens an HDF5 file: a whole model, or weights with `config.json` in the same folder.
///
/// # Errors
/// As [`KerasModel`]'s parts say: a damaged file, or every layer that is not compiled.
pub(super) fn open_hdf5(bytes: &[u8], options: &OpenOptions<'_>) -> Result<Box<dyn Model>, FrontendError> {
    let file = hdf5::File::open(bytes).map_err(damaged)?;
    let root = file.root().map_err(damaged)?;
    let attribute = |name: &str| root.attribute(name).map_err(damaged);
    let Some(config) = attribute("model_config")? else {
        let beside = options.beside.and_then(|beside| beside(CONFIG).ok());
        let config = beside.ok_or_else(|| {
            let reason = "the file has weights without the model's architecture. Save the model with `model.save`, or give \
                          the architecture's JSON file with the weights beside it";
            FrontendError::unsupported("file", "keras", reason)
        })?;
        let metadata = options.beside.and_then(|beside| beside(METADATA).ok());
        let (layer, generation) = architecture(&text(&config)?, version_in(metadata.as_deref()))?;
        return KerasModel::with_weights(layer, generation, bytes, &options.lengths);
    };
    let config = config.as_text().ok_or_else(|| damaged("model_config is no text".to_owned()))?;
    let version = attribute("keras_version")?;
    let (layer, generation) =
        architecture(&text(config.as_bytes())?, version.as_ref().and_then(hdf5::Array::as_text).map(str::to_owned))?;
    KerasModel::with_weights(layer, generation, bytes, &options.lengths)
}

/// Opens an architecture whose weights are in a file beside it.
///
/// # Errors
/// As [`open_hdf5`].
pub(super) fn open_architecture(bytes: &[u8], options: &OpenOptions<'_>) -> Result<Box<dyn Model>, FrontendError> {
    let (layer, generation) = architecture(&text(bytes)?, None)?;
    let name = options.file.unwrap_or(CONFIG);
    let stem = BESIDE.iter().find_map(|(end, others)| Some((name.strip_suffix(end)?, others)));
    let names = stem.into_iter().flat_map(|(stem, ends)| ends.iter().map(move |end| format!("{stem}{end}")));
    let names: Vec<String> = names.chain([WEIGHTS.to_owned()]).collect();
    let beside: Option<&ReadBeside<'_>> = options.beside;
    let found = names.iter().find_map(|name| beside?(name).ok());
    let weights = found.ok_or_else(|| {
        let reason = format!("the architecture's weights are not beside it: none of {} is there", names.join(", "));
        FrontendError::unsupported("file", "keras", reason)
    })?;
    KerasModel::with_weights(layer, generation, &weights, &options.lengths)
}

/// Opens a `.keras` archive.
///
/// # Errors
/// As [`open_hdf5`].
pub(super) fn open_archive(bytes: &[u8], options: &OpenOptions<'_>) -> Result<Box<dyn Model>, FrontendError> {
    let files = archive(bytes)?;
    let metadata = files.bytes(METADATA).ok();
    let (layer, generation) = architecture(&text(files.bytes(CONFIG)?)?, version_in(metadata))?;
    KerasModel::with_weights(layer, generation, files.bytes(WEIGHTS)?, &options.lengths)
}

fn archive(bytes: &[u8]) -> Result<Files, FrontendError> {
    Files::open(bytes, |name| name.starts_with("assets/"))
}

/// Inputs whose lengths the model leaves open.
///
/// # Errors
/// A damaged file.
pub(super) fn open_names(bytes: &[u8]) -> Result<OpenNames, FrontendError> {
    let config = if bytes.starts_with(b"PK") {
        archive(bytes)?.bytes(CONFIG)?.to_vec()
    } else if bytes.trim_ascii_start().starts_with(b"{") {
        bytes.to_vec()
    } else {
        let file = hdf5::File::open(bytes).map_err(damaged)?;
        let config = file.root().and_then(|root| root.attribute("model_config")).map_err(damaged)?;
        match config.as_ref().and_then(hdf5::Array::as_text) {
            Some(config) => config.as_bytes().to_vec(),
            None => return Ok(OpenNames::default()),
        }
    };
    let (layer, _) = architecture(&text(&config)?, None)?;
    let stated = stated_inputs(&layer)?;
    let open = stated.into_iter().filter(|input| input.lengths.iter().skip(1).any(Option::is_none));
    Ok(OpenNames { dims: Vec::new(), inputs: open.map(|input| input.name).collect() })
}

/// The version of Keras that the metadata of an archive tells.
fn version_in(metadata: Option<&[u8]>) -> Option<String> {
    let metadata: Value = serde_json::from_slice(metadata?).ok()?;
    metadata.get("keras_version").and_then(Value::as_str).map(str::to_owned)
}

/// Reads an architecture, and finds out whose it is.
fn architecture(config: &Value, version: Option<String>) -> Result<(Layer, Generation), FrontendError> {
    let stated = config.get("keras_version").and_then(Value::as_str).map(str::to_owned);
    let generation = match version.or(stated) {
        Some(version) if version.starts_with('3') => Generation::Three,
        Some(_) => Generation::Two,
        // Keras 3 renamed `batch_input_shape`.
        None if config.to_string().contains("\"batch_shape\"") => Generation::Three,
        None => Generation::Two,
    };
    let layer = Reader::default().layer(config, "")?;
    if layer.network.is_none() {
        let reason = "it is a class of the user's own. A Sequential or functional model is compiled";
        return Err(FrontendError::unsupported(&layer.name, &layer.class, reason));
    }
    Ok((layer, generation))
}

/// An input as the architecture states it.
struct Stated {
    name: String,
    dtype: DType,
    lengths: Vec<Option<usize>>,
}

/// What the layer that begins a network says of the input.
fn stated_input(layer: &Layer, network: &Layer) -> Result<Stated, FrontendError> {
    let wrong = |reason: String| FrontendError::unsupported(&layer.path, &layer.class, reason);
    let is_input = layer.class == "InputLayer";
    for key in ["sparse", "ragged"] {
        if layer.config.get(key).and_then(Value::as_bool) == Some(true) {
            return Err(wrong(format!("{key} inputs are not compiled")));
        }
    }
    let built = layer.build.as_ref().and_then(|build| build.get("input_shape"));
    let shape = ["batch_input_shape", "batch_shape"].into_iter().find_map(|key| layer.config.get(key));
    let shape = shape.or(network.config.get("build_input_shape").filter(|shape| shape.is_array())).or(built);
    let shape = shape.and_then(Value::as_array).ok_or_else(|| {
        wrong(
            "the shape of the model's input is not stated. Build the model before it is saved, with `Input(shape)`"
                .to_owned(),
        )
    })?;
    let lengths = shape.iter().map(|length| match length {
        Value::Null => Some(None),
        length => length.as_u64().filter(|&length| length > 0 && length < 1 << 31).map(|length| Some(length as usize)),
    });
    let lengths = lengths
        .collect::<Option<Vec<_>>>()
        .ok_or_else(|| wrong(format!("its shape is {}", Value::from(shape.clone()))))?;
    let named = layer.config.get("dtype").filter(|_| is_input);
    let named = named.and_then(|dtype| dtype.as_str().or_else(|| dtype.get("config")?.get("name")?.as_str()));
    let dtype = match named.unwrap_or("float32") {
        "float32" | "float16" | "bfloat16" | "mixed_float16" => DType::F32,
        "float64" => DType::F64,
        "int8" => DType::I8,
        "int16" => DType::I16,
        "int32" => DType::I32,
        "int64" => DType::I64,
        "uint8" => DType::U8,
        "bool" => DType::Bool,
        other => return Err(wrong(format!("inputs of {other} are not compiled"))),
    };
    let name = if is_input { layer.name.clone() } else { format!("{}_input", layer.name) };
    Ok(Stated { name, dtype, lengths })
}

fn stated_inputs(root: &Layer) -> Result<Vec<Stated>, FrontendError> {
    let missing = || FrontendError::malformed(&root.path, "the model has no layers");
    let network = root.network.as_ref().ok_or_else(missing)?;
    if network.is_sequential {
        let first = network.layers.first().ok_or_else(missing)?;
        if first.network.is_some() && !root.config.contains_key("build_input_shape") {
            return stated_inputs(first);
        }
        return Ok(vec![stated_input(first, root)?]);
    }
    let layers = network.inputs.iter().map(|point| network.layers.get(point.layer).ok_or_else(missing));
    layers.map(|layer| layer.and_then(|layer| stated_input(layer, layer))).collect()
}

/// The input with lengths that the user gives where the model leaves them open.
fn input(stated: Stated, lengths: &InputLengths) -> Result<ModelInput, FrontendError> {
    let given = lengths.shape(&stated.name);
    let refused = |reason: String| FrontendError::unsupported(format!("input {:?}", stated.name), "InputLayer", reason);
    if given.is_some_and(|given| given.len() != stated.lengths.len()) {
        return Err(refused(format!("it has {} axes", stated.lengths.len())));
    }
    let (mut dims, mut batch) = (Vec::new(), None);
    for (axis, stated_length) in stated.lengths.iter().enumerate() {
        let given = given.and_then(|given| given.get(axis)).copied();
        dims.push(match (*stated_length, given) {
            (Some(length), None) => length,
            (Some(length), Some(Length::Fixed(given))) if length == given as usize => length,
            (None, None | Some(Length::Batch)) if axis == 0 => {
                batch = Some(0);
                1
            }
            (None, Some(Length::Fixed(given))) => given as usize,
            (None, _) => {
                let spelt = |(axis, length): (usize, &Option<usize>)| match length {
                    Some(length) => length.to_string(),
                    None if axis == 0 => "N".to_owned(),
                    None => "LENGTH".to_owned(),
                };
                let shape: Vec<String> = stated.lengths.iter().enumerate().map(spelt).collect();
                let reason = format!(
                    "its axis {axis} has any length. Give one with --shape {}={}",
                    stated.name,
                    shape.join("x")
                );
                return Err(refused(reason));
            }
            (Some(length), _) => return Err(refused(format!("its axis {axis} has the length {length}"))),
        });
    }
    let shape = Shape::new(&dims, batch).map_err(|error| refused(error.to_string()))?;
    if shape.elements().and_then(|elements| elements.checked_mul(8)).is_none_or(|bytes| bytes > MAX_TENSOR_BYTES) {
        return Err(refused(format!("{shape} is too large")));
    }
    Ok(ModelInput::new(stated.name, TensorSpec::new(stated.dtype, shape)))
}

impl KerasModel {
    /// A model with the weights of an HDF5 file.
    fn with_weights(
        mut root: Layer,
        generation: Generation,
        weights: &[u8],
        lengths: &InputLengths,
    ) -> Result<Box<dyn Model>, FrontendError> {
        let mut blockers = Vec::new();
        layers::unknown(&root, &mut blockers);
        if !blockers.is_empty() {
            return Err(FrontendError::Unsupported(blockers));
        }
        let inputs = stated_inputs(&root)?.into_iter().map(|stated| input(stated, lengths));
        let inputs = inputs.collect::<Result<Vec<_>, _>>()?;
        let file = hdf5::File::open(weights).map_err(damaged)?;
        let group = file.root().map_err(damaged)?;
        let network = root.network.as_mut().ok_or_else(|| damaged("the model has no layers".to_owned()))?;
        match group.child("model_weights").map_err(damaged)? {
            Some(inner) => weights::from_layers(network, &inner)?,
            None if group.attribute("layer_names").map_err(damaged)?.is_some() => {
                weights::from_layers(network, &group)?
            }
            None if group.attribute("layer_names0").map_err(damaged)?.is_some() => {
                weights::from_layers(network, &group)?
            }
            None => weights::from_members(network, &group)?,
        }
        Ok(Box::new(Self { root, generation, inputs }))
    }

    fn network(&self) -> Result<&Network, FrontendError> {
        self.root.network.as_ref().ok_or_else(|| damaged("the model has no layers".to_owned()))
    }

    /// A tensor as the model's input, converted as Keras does: numbers of any type, and an axis of length 1 at the end or not.
    fn fitting(&self, graph: &mut Graph, given: TensorId, wanted: &ModelInput) -> Result<Flow, FrontendError> {
        let mut tensor = given;
        let spec = graph.spec(given);
        if spec.dtype != wanted.spec.dtype {
            tensor = graph.add(&wanted.name, Cast { to: wanted.spec.dtype }, &[tensor])?;
        }
        if graph.shape(tensor) != wanted.spec.shape {
            let (given, shape) = (graph.shape(tensor), wanted.spec.shape);
            let dims: Vec<usize> = shape.factors().iter().map(|&length| length as usize).collect();
            let one_more = given.rank().abs_diff(shape.rank()) == 1 && given.elements() == shape.elements();
            let fixed = shape.is_batched() && !given.is_batched() && given.rank() == shape.rank();
            if fixed && given.factors().get(1..) == shape.factors().get(1..) {
                return Ok(Flow { tensor, masked: false });
            }
            if !one_more || given.is_batched() != shape.is_batched() {
                let reason = format!("{} {shape} is needed, {} {given} is given", wanted.spec.dtype, spec.dtype);
                return Err(FrontendError::unsupported(format!("input {:?}", wanted.name), "predict", reason));
            }
            let shape = Shape::new(&dims, given.batch_axis()).map_err(|error| damaged(error.to_string()))?;
            tensor =
                graph.add_declared(&wanted.name, Reshape, &[tensor], TensorSpec { shape, ..graph.spec(tensor) })?;
        }
        Ok(Flow { tensor, masked: false })
    }

    /// Names of the results: those of the layers that give them.
    fn output_names(&self) -> Result<Vec<String>, FrontendError> {
        let network = self.network()?;
        if network.is_sequential {
            return Ok(vec![network.layers.last().map_or_else(String::new, |layer| layer.name.clone())]);
        }
        let mut names: Vec<String> = Vec::new();
        for point in &network.outputs {
            let layer = network.layers.get(point.layer).map_or("", |layer| layer.name.as_str());
            let again = names.iter().filter(|name| *name == layer || name.starts_with(&format!("{layer}_"))).count();
            let taken = names.iter().any(|name| name == layer);
            names.push(if taken { format!("{layer}_{again}") } else { layer.to_owned() });
        }
        Ok(names)
    }
}

impl Model for KerasModel {
    fn inputs(&self) -> Vec<ModelInput> {
        self.inputs.clone()
    }

    fn methods(&self) -> &[&'static str] {
        &["predict"]
    }

    fn form(&self) -> OutputForm {
        match self.network().map(|network| network.outputs.len()) {
            Ok(0 | 1) | Err(_) => OutputForm::Single,
            Ok(_) => OutputForm::Positions,
        }
    }

    fn call(&self, graph: &mut Graph, method: &str, inputs: &[TensorId]) -> Result<Vec<NamedTensor>, FrontendError> {
        if !matches!(method, "predict" | "call") {
            return Err(FrontendError::unsupported("model", method, "of a Keras model, predict is compiled"));
        }
        if inputs.len() != self.inputs.len() {
            let reason = format!("the model has {} inputs, {} are given", self.inputs.len(), inputs.len());
            return Err(FrontendError::unsupported("model", method, reason));
        }
        let mut flows = Vec::new();
        for (input, &given) in self.inputs.iter().zip(inputs) {
            flows.push(self.fitting(graph, given, input)?);
        }
        let network = self.network()?;
        let mut lowering = Lowering::new(graph, self.generation);
        let results = lowering.network(network, &flows)?;
        let blockers = lowering.blockers;
        match results {
            Some(results) if blockers.is_empty() => {
                let outputs = self.output_names()?.into_iter().zip(results);
                Ok(outputs.map(|(name, flow)| NamedTensor { name, tensor: flow.tensor }).collect())
            }
            _ => Err(FrontendError::Unsupported(blockers)),
        }
    }
}
