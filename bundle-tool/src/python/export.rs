//! Models exported by their own framework: ONNX or TFLite, with the framework's answers to sample inputs.

use std::collections::BTreeMap;

use ekiben_runtime::artifact::golden::fill;
use ekiben_runtime::{DType, Shape, TensorSpec};
use serde::Deserialize;
use serde_json::{Value, json};

use super::error::PythonError;
use super::framework::Framework;
use super::process::{Interpreter, Workplace};
use crate::bundle::{Bundle, BundleError, MODEL_LIMIT, ModelFile, ModelFormat};
use crate::frontend::lengths::Length;
use crate::frontend::{self, FrontendError, InputLengths, Model, ModelInput, NamedTensor, OpenOptions, OutputForm};
use crate::graph::{AlignedBytes, Graph, TensorId};

/// Seed of the first input of the first sample; the next input's is one more, the next sample's [`SEED_STEP`] more.
const FIRST_SEED: u64 = 0xE1B0_0000;
const SEED_STEP: u64 = 64;
/// Rows of each sample, and the range of its floats. Integers are 0 or 1, which every table of codes has.
const SAMPLES: [(u32, (f64, f64)); 4] = [(1, (0.0, 1.0)), (3, (-1.0, 1.0)), (1, (0.0, 8.0)), (2, (-3.0, 3.0))];
const INTEGERS: (f64, f64) = (0.0, 1.0);
/// The most inputs and outputs of a model, and so the seeds that a sample takes.
const MOST_TENSORS: usize = SEED_STEP as usize;

/// Why a model is not exported.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// The interpreter has no answer.
    #[error(transparent)]
    Python(#[from] PythonError),
    /// The bento's files cannot be read.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// What the framework exported cannot be lowered.
    #[error("what {framework} exported as {format}: {error}")]
    Frontend {
        /// The framework.
        framework: &'static str,
        /// The exported format.
        format: &'static str,
        /// Why.
        error: FrontendError,
    },
}

/// An exported model.
pub struct Export {
    /// The model as a service calls it.
    pub model: ExportedModel,
    /// The exported file.
    pub bytes: Vec<u8>,
    /// Its format: ONNX or TFLite.
    pub format: ModelFormat,
    /// Versions of the packages that exported it.
    pub packages: BTreeMap<String, String>,
    /// The framework's answers.
    pub samples: Vec<Sample>,
}

/// Inputs with the framework's answers to them.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Rows of the batch.
    pub rows: u32,
    /// Seed and range of each input, in the model's order, as [`fill`] takes them.
    pub inputs: Vec<(u64, f64, f64)>,
    /// Elements of each output, in the model's order.
    pub outputs: Vec<Vec<u8>>,
}

impl Sample {
    /// The elements of the inputs for tensors of these types and shapes.
    pub fn values(&self, specs: &[TensorSpec]) -> Vec<AlignedBytes> {
        let values = self.inputs.iter().zip(specs).map(|(&(seed, low, high), spec)| {
            let rows = if spec.shape.is_batched() { u64::from(self.rows) } else { 1 };
            let elements = spec.shape.elements().unwrap_or(0).saturating_mul(rows);
            let bytes = spec.dtype.bytes(elements).and_then(|bytes| usize::try_from(bytes).ok());
            let mut tensor = AlignedBytes::zeroed(bytes.unwrap_or(0));
            fill(seed, low, high, spec.dtype, tensor.as_mut_slice());
            tensor
        });
        values.collect()
    }
}

#[derive(Deserialize)]
struct Answer {
    format: String,
    model: String,
    packages: BTreeMap<String, String>,
    inputs: Vec<AnsweredInput>,
    outputs: Vec<String>,
    form: String,
    #[serde(default)]
    places: Option<Vec<usize>>,
    #[serde(default)]
    output_places: Option<Vec<usize>>,
    #[serde(default)]
    vocabulary: Vec<String>,
    samples: Vec<AnsweredSample>,
}

#[derive(Deserialize)]
struct AnsweredInput {
    name: String,
    dtype: String,
    shape: Vec<i64>,
}

#[derive(Deserialize)]
struct AnsweredSample {
    sample: usize,
    outputs: Vec<AnsweredTensor>,
}

#[derive(Deserialize)]
struct AnsweredTensor {
    dtype: String,
    shape: Vec<usize>,
    file: String,
}

/// Has the framework export the model in `file`. `inputs` are types and shapes that the service calls it with, where they are known; `lengths`
/// are those of the command line, which go before.
///
/// # Errors
/// See [`ExportError`].
pub fn export(
    interpreter: &Interpreter,
    bundle: &Bundle,
    file: &ModelFile,
    framework: Framework,
    inputs: Option<&[TensorSpec]>,
    lengths: &InputLengths,
) -> Result<Export, ExportError> {
    let mut folder = Workplace::new().map_err(PythonError::from)?;
    let model = give_model(&mut folder, file, framework)?;
    let sources = give_sources(&mut folder, bundle)?;
    let shapes: BTreeMap<&str, Vec<i64>> =
        lengths.shapes().map(|(name, lengths)| (name, lengths_of(lengths))).collect();
    let request = json!({
        "framework": framework.package(),
        "model": model,
        "sources": sources,
        "inputs": inputs.filter(|_| shapes.is_empty()).map(|specs| specs.iter().map(input_of).collect::<Vec<_>>()),
        "shapes": shapes,
        "samples": SAMPLES.iter().zip(0..).map(|((rows, floats), at)| json!({
            "rows": rows, "seed": FIRST_SEED + at * SEED_STEP, "float": floats, "integer": INTEGERS,
        })).collect::<Vec<_>>(),
    });
    let answer = interpreter.run(&folder, &framework.script(), &request)?;
    let answer: Answer = serde_json::from_value(answer).map_err(|error| interpreter.unusable(error))?;
    read(interpreter, &folder, framework, answer)
}

/// A length of the command line as numpy spells it.
fn lengths_of(lengths: &[Length]) -> Vec<i64> {
    let length = |length: &Length| match length {
        Length::Batch => -1,
        Length::Fixed(length) => i64::from(*length),
    };
    lengths.iter().map(length).collect()
}

fn input_of(spec: &TensorSpec) -> Value {
    let factors = spec.shape.factors().iter().enumerate();
    let shape: Vec<i64> =
        factors.map(|(axis, &length)| if spec.shape.is_batch(axis) { -1 } else { i64::from(length) }).collect();
    json!({ "dtype": spec.dtype.name(), "shape": shape })
}

/// Copies the model's files; gives the path that the framework opens: the file, or the folder of a SavedModel.
fn give_model(folder: &mut Workplace, file: &ModelFile, framework: Framework) -> Result<Value, ExportError> {
    let (parent, main) = file.main.rsplit_once('/').unwrap_or(("", &file.main));
    for name in &file.files {
        let relative = if parent.is_empty() {
            Some(name.as_str())
        } else {
            name.strip_prefix(parent).and_then(|rest| rest.strip_prefix('/'))
        };
        if let Some(relative) = relative {
            folder.give(&format!("model/{relative}"), &file.read_file(name)?).map_err(PythonError::from)?;
        }
    }
    let whole = folder.input().join("model");
    Ok(json!(if framework == Framework::Tensorflow { whole } else { whole.join(main) }))
}

/// Copies the service's Python files; gives the folders in which modules are looked for.
fn give_sources(folder: &mut Workplace, bundle: &Bundle) -> Result<Value, ExportError> {
    let root = bundle.source_root();
    let under = if root.is_empty() { "sources".to_owned() } else { format!("sources/{root}") };
    for name in &bundle.sources {
        folder.give(&format!("{under}/{name}"), bundle.read_source(name)?.as_bytes()).map_err(PythonError::from)?;
    }
    Ok(json!([folder.input().join("sources"), folder.input().join(under)]))
}

/// Reads what the exporter wrote.
fn read(
    interpreter: &Interpreter,
    folder: &Workplace,
    framework: Framework,
    answer: Answer,
) -> Result<Export, ExportError> {
    let unusable = |reason: String| ExportError::Python(interpreter.unusable(reason));
    let format = match answer.format.as_str() {
        "onnx" => ModelFormat::Onnx,
        "tflite" => ModelFormat::Tflite,
        other => return Err(unusable(format!("the format {other:?} is neither onnx nor tflite"))),
    };
    if answer.inputs.len().max(answer.outputs.len()) > MOST_TENSORS {
        return Err(unusable(format!("more than {MOST_TENSORS} inputs or outputs")));
    }
    let bytes = folder.take(&answer.model, MODEL_LIMIT).map_err(unusable)?;
    let frontend = |error| ExportError::Frontend {
        framework: framework.name(),
        format: if format == ModelFormat::Onnx { "ONNX" } else { "TFLite" },
        error,
    };
    let inner = frontend::open(format, &bytes, &OpenOptions::default()).map_err(frontend)?;
    let model = ExportedModel::new(inner, &answer).map_err(frontend)?;
    model.check_inputs(&answer.inputs).map_err(unusable)?;
    let mut samples = Vec::new();
    for sample in &answer.samples {
        samples.push(read_sample(folder, &answer, sample).map_err(unusable)?);
    }
    Ok(Export { model, bytes, format, packages: answer.packages, samples })
}

fn read_sample(folder: &Workplace, answer: &Answer, sample: &AnsweredSample) -> Result<Sample, String> {
    let Some((rows, floats)) = SAMPLES.get(sample.sample) else {
        return Err("a sample that was not asked for".to_owned());
    };
    if sample.outputs.len() != answer.outputs.len() {
        return Err(format!("{} outputs of a sample instead of {}", sample.outputs.len(), answer.outputs.len()));
    }
    let mut outputs = Vec::new();
    for output in &sample.outputs {
        let dtype = DType::from_name(&output.dtype).ok_or_else(|| format!("outputs of {}", output.dtype))?;
        let elements = output.shape.iter().try_fold(1_u64, |product, &length| product.checked_mul(length as u64));
        let size = elements.and_then(|elements| dtype.bytes(elements)).ok_or("an output without a size")?;
        let bytes = folder.take(&output.file, size)?;
        if bytes.len() as u64 != size {
            return Err(format!("{} has {} bytes, its shape {size}", output.file, bytes.len()));
        }
        outputs.push(bytes);
    }
    let seed = FIRST_SEED + sample.sample as u64 * SEED_STEP;
    let inputs = answer.inputs.iter().zip(0..).map(|(input, at)| {
        let is_float = DType::from_name(&input.dtype).is_some_and(DType::is_float);
        let (low, high) = if is_float { *floats } else { INTEGERS };
        (seed + at, low, high)
    });
    Ok(Sample { rows: *rows, inputs: inputs.collect(), outputs })
}

/// A model that its framework exported, with the framework's own names and order of inputs and outputs.
pub struct ExportedModel {
    inner: Box<dyn Model>,
    /// Names of the inputs, and of each the place among the inner model's.
    inputs: Vec<(String, usize)>,
    /// Names of the outputs, and of each the place among the inner model's.
    outputs: Vec<(String, usize)>,
    form: OutputForm,
    vocabulary: Vec<String>,
}

impl ExportedModel {
    fn new(inner: Box<dyn Model>, answer: &Answer) -> Result<Self, FrontendError> {
        let own: Vec<String> = inner.inputs().into_iter().map(|input| input.name).collect();
        let names: Vec<&str> = answer.inputs.iter().map(|input| input.name.as_str()).collect();
        let inputs = paired(&names, &own, answer.places.as_deref()).ok_or_else(|| {
            FrontendError::malformed("inputs", format!("{} are expected, it has {}", names.join(", "), own.join(", ")))
        })?;
        let mut graph = Graph::new();
        let ids: Vec<TensorId> = inner.inputs().iter().map(|input| graph.add_input(&input.name, input.spec)).collect();
        let method = inner.methods().first().copied().unwrap_or_default();
        let own: Vec<String> = inner.call(&mut graph, method, &ids)?.into_iter().map(|output| output.name).collect();
        let names: Vec<&str> = answer.outputs.iter().map(String::as_str).collect();
        let outputs = paired(&names, &own, answer.output_places.as_deref()).ok_or_else(|| {
            FrontendError::malformed("outputs", format!("{} are expected, it has {}", names.join(", "), own.join(", ")))
        })?;
        let form = match answer.form.as_str() {
            "tensor" => OutputForm::Single,
            "dict" => OutputForm::Names,
            _ => OutputForm::Positions,
        };
        Ok(Self { inner, inputs, outputs, form, vocabulary: answer.vocabulary.clone() })
    }

    /// That inputs have the types that samples were made of, and no more lengths that are open.
    fn check_inputs(&self, stated: &[AnsweredInput]) -> Result<(), String> {
        for (input, stated) in self.inputs().iter().zip(stated) {
            let shape: Option<Vec<usize>> = stated
                .shape
                .iter()
                .map(|&length| if length < 0 { Some(1) } else { usize::try_from(length).ok() })
                .collect();
            let batch = stated.shape.iter().position(|&length| length < 0);
            let shape = shape.and_then(|shape| Shape::new(&shape, batch).ok());
            if DType::from_name(&stated.dtype) != Some(input.spec.dtype) || shape != Some(input.spec.shape) {
                return Err(format!(
                    "the input {} was exported as {} {} instead of {} {:?}",
                    stated.name, input.spec.dtype, input.spec.shape, stated.dtype, stated.shape
                ));
            }
        }
        Ok(())
    }
}

/// Each of `names` with its place among `own`: by name, or else where `places` says, or in order where there is only one.
fn paired(names: &[&str], own: &[String], places: Option<&[usize]>) -> Option<Vec<(String, usize)>> {
    if names.len() != own.len() {
        return None;
    }
    let by_name = |name: &&str| own.iter().position(|own| own == name);
    let by_place = |place: usize| places?.iter().position(|&stated| stated == place);
    let found: Option<Vec<usize>> = names.iter().map(by_name).collect();
    let found = found
        .or_else(|| (names.len() == 1).then(|| vec![0]))
        .or_else(|| (0..names.len()).map(by_place).collect::<Option<Vec<usize>>>())?;
    let each_once = (0..own.len()).all(|place| found.contains(&place));
    each_once.then(|| names.iter().map(|name| (*name).to_owned()).zip(found).collect())
}

impl Model for ExportedModel {
    fn inputs(&self) -> Vec<ModelInput> {
        let own = self.inner.inputs();
        let inputs = self
            .inputs
            .iter()
            .filter_map(|(name, place)| Some(ModelInput { name: name.clone(), ..own.get(*place)?.clone() }));
        inputs.collect()
    }

    fn methods(&self) -> &[&'static str] {
        &["call"]
    }

    fn call(&self, graph: &mut Graph, _: &str, inputs: &[TensorId]) -> Result<Vec<NamedTensor>, FrontendError> {
        let mut ordered = inputs.to_vec();
        for (&given, (_, place)) in inputs.iter().zip(&self.inputs) {
            if let Some(slot) = ordered.get_mut(*place) {
                *slot = given;
            }
        }
        let method = self.inner.methods().first().copied().unwrap_or_default();
        let outputs = self.inner.call(graph, method, &ordered)?;
        let named = self.outputs.iter().map(|(name, place)| {
            let output =
                outputs.get(*place).ok_or_else(|| FrontendError::malformed(name.clone(), "the output is not there"))?;
            Ok(NamedTensor { name: name.clone(), tensor: output.tensor })
        });
        named.collect()
    }

    fn form(&self) -> OutputForm {
        self.form
    }

    fn vocabulary(&self) -> &[String] {
        &self.vocabulary
    }
}
