//! Front-ends: each reads one model format and lowers it to the [graph](crate::graph).

pub mod catboost;
pub mod categories;
pub mod forest;
pub mod h2o;
pub mod keras;
pub mod lengths;
pub mod lightgbm;
pub mod onnx;
pub mod pickle;
mod rows;
pub mod sklearn;
pub mod tflite;
pub mod xgboost;
mod zipped;

pub use lengths::{InputLengths, LengthsError, OpenNames};

use std::borrow::Cow;

use ekiben_runtime::TensorSpec;

use crate::bundle::ModelFormat;
use crate::graph::{Graph, TensorId};

/// A model that a service's code can call.
///
/// A front-end reads the whole model when it is opened, and lowers it as often as it is called.
pub trait Model {
    /// What the model takes, in order. The batch, where there is one, is the symbolic axis.
    fn inputs(&self) -> Vec<ModelInput>;

    /// Methods that [`Model::call`] knows, the usual one first: `predict`, `predict_proba`, `transform`, … for scikit-learn,
    /// `run` for formats that have just one.
    fn methods(&self) -> &[&'static str];

    /// Appends what `method` computes to `graph`, reading `inputs` (as many as [`Model::inputs`] states, in its order), and
    /// returns the results in the model's order.
    ///
    /// # Errors
    /// [`FrontendError::Unsupported`] lists everything that stands in the way at once.
    fn call(&self, graph: &mut Graph, method: &str, inputs: &[TensorId]) -> Result<Vec<NamedTensor>, FrontendError>;

    /// True when the inputs are the columns of one table, one input for each column in order: `[N]` of float64 (NaN where a value is missing),
    /// `[N]` of categories, or `[N, bytes]` of text. A category is one of the texts that the model knows, `""` standing for a missing value,
    /// or [`DType::UNKNOWN_CATEGORY`](ekiben_runtime::DType::UNKNOWN_CATEGORY) for any other text.
    fn takes_columns(&self) -> bool {
        false
    }

    /// How the source's own call gives the outputs.
    fn form(&self) -> OutputForm {
        OutputForm::Positions
    }

    /// The texts that stand for classes, in the order of their numbers, where the model's file has them beside the network.
    fn vocabulary(&self) -> &[String] {
        &[]
    }

    /// The keys of an output that is a list of maps in the source, one per row (ONNX's `ZipMap`): what the columns of its tensor
    /// stand for. `None` for any other output.
    fn keys(&self, _output: &str) -> Option<Vec<Key>> {
        None
    }
}

/// How a call gives outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputForm {
    /// The only one, as it is.
    Single,
    /// By their positions.
    Positions,
    /// By their names.
    Names,
}

/// A key of a map that a model gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    /// An integer label.
    Int(i64),
    /// A text label.
    Text(String),
}

/// What a front-end is given besides the model's bytes.
#[derive(Default)]
pub struct OpenOptions<'a> {
    /// Lengths that the file leaves open.
    pub lengths: InputLengths,
    /// Reads a file of the model's folder; absent where there is no folder.
    pub beside: Option<&'a ReadBeside<'a>>,
    /// The name of the file in its folder.
    pub file: Option<&'a str>,
    /// The class that the bento loads the file as, where several can: `XGBClassifier`, `Booster`.
    pub class: Option<&'a str>,
}

/// Reads a file by its path relative to the model's folder, which it must not leave.
pub type ReadBeside<'a> = dyn Fn(&str) -> Result<Vec<u8>, String> + 'a;

/// Reads one model format.
type Open = fn(&[u8], &OpenOptions<'_>) -> Result<Box<dyn Model>, FrontendError>;

/// The front-end for a format, with the name that a manifest gives the format.
fn frontend(format: ModelFormat) -> (&'static str, Option<Open>) {
    match format {
        ModelFormat::Onnx => ("onnx", Some(onnx::open_with)),
        ModelFormat::Tflite => ("tflite", Some(|bytes, _| tflite::open(bytes))),
        ModelFormat::Pickle | ModelFormat::Compressed => ("sklearn", Some(sklearn::open_with)),
        ModelFormat::Catboost => ("catboost", Some(|bytes, _| catboost::open(bytes))),
        ModelFormat::XgboostBinary => ("xgboost", Some(xgboost::open_binary)),
        ModelFormat::Ubjson => ("xgboost", Some(xgboost::open_ubjson)),
        ModelFormat::Json => ("xgboost", Some(xgboost::open_json)),
        ModelFormat::LightgbmText => ("lightgbm", Some(|bytes, _| lightgbm::open(bytes))),
        ModelFormat::Hdf5 => ("keras", Some(keras::open_hdf5)),
        ModelFormat::Keras => ("keras", Some(keras::open_archive)),
        ModelFormat::KerasJson => ("keras", Some(keras::open_architecture)),
        ModelFormat::Mojo => ("h2o", Some(|bytes, _| h2o::open(bytes))),
        ModelFormat::H2oBinary => ("h2o", Some(|bytes, _| h2o::refuse_binary(bytes))),
        ModelFormat::Zip => ("zip", None),
        ModelFormat::Torch => ("torch", None),
        ModelFormat::SavedModel => ("tensorflow", None),
        ModelFormat::Unknown => ("unknown", None),
    }
}

/// True when a front-end reads the format.
pub fn reads(format: ModelFormat) -> bool {
    frontend(format).1.is_some()
}

/// Name of the format, for manifests and messages.
pub fn format_name(format: ModelFormat) -> &'static str {
    frontend(format).0
}

/// Opens a model file.
///
/// # Errors
/// [`FrontendError`] when the file is damaged, or its format or something in it is not supported.
pub fn open(format: ModelFormat, bytes: &[u8], options: &OpenOptions<'_>) -> Result<Box<dyn Model>, FrontendError> {
    match frontend(format) {
        (_, Some(open)) => open(bytes, options),
        (name, None) => Err(FrontendError::unsupported(
            "file",
            name,
            "this format is not read. Export the model as ONNX or TFLite, or give a scikit-learn pickle",
        )),
    }
}

/// Names that [`OpenOptions::lengths`] may give lengths for.
///
/// # Errors
/// [`FrontendError`] when the file is damaged.
pub fn open_names(format: ModelFormat, bytes: &[u8]) -> Result<OpenNames, FrontendError> {
    match format {
        ModelFormat::Onnx => onnx::open_names(bytes),
        ModelFormat::Pickle | ModelFormat::Compressed => sklearn::open_names(bytes),
        ModelFormat::Hdf5 | ModelFormat::Keras | ModelFormat::KerasJson => keras::open_names(bytes),
        _ => Ok(OpenNames::default()),
    }
}

/// Files of a model's folder that hold its weights, relative to it.
///
/// # Errors
/// [`FrontendError`] when the file is damaged.
pub fn files_beside(format: ModelFormat, bytes: &[u8]) -> Result<Vec<String>, FrontendError> {
    match format {
        ModelFormat::Onnx => onnx::files_beside(bytes),
        _ => Ok(Vec::new()),
    }
}

/// The bytes of a model file with what it keeps in files beside it; as they are where there are none.
///
/// # Errors
/// [`FrontendError`] when a file is damaged or cannot be read.
pub fn self_contained<'a>(
    format: ModelFormat,
    bytes: Cow<'a, [u8]>,
    beside: &ReadBeside<'_>,
) -> Result<Cow<'a, [u8]>, FrontendError> {
    if files_beside(format, &bytes)?.is_empty() {
        return Ok(bytes);
    }
    onnx::self_contained(&bytes, beside).map(Cow::Owned)
}

/// What a model takes.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelInput {
    /// Name in the model.
    pub name: String,
    /// Type and shape. A category has no table yet: [`Model::call`] gives the tensor the one of the texts that the model knows.
    pub spec: TensorSpec,
    /// Names of the columns of a matrix `[N, columns]`; empty where the model does not say.
    pub columns: Vec<String>,
}

impl ModelInput {
    /// An input whose columns have no names.
    pub fn new(name: impl Into<String>, spec: TensorSpec) -> Self {
        Self { name: name.into(), spec, columns: Vec::new() }
    }
}

/// What a model gives.
#[derive(Clone, Debug, PartialEq)]
pub struct NamedTensor {
    /// Name in the model.
    pub name: String,
    /// The tensor, in the graph that the model was lowered to.
    pub tensor: TensorId,
}

/// Something in a model that cannot be compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocker {
    /// The node or the path inside the model: `conv1/Conv`, `steps[1].estimators_[0]`.
    pub node: String,
    /// The operator or class: `Conv`, `sklearn.svm._classes.SVC`.
    pub operator: String,
    /// Why, and what would work.
    pub reason: String,
}

impl std::fmt::Display for Blocker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({}): {}", self.node, self.operator, self.reason)
    }
}

/// Why a model cannot be read or lowered.
#[derive(Debug, thiserror::Error)]
pub enum FrontendError {
    /// The model uses what this version does not support: everything that stands in the way.
    #[error("unsupported:{}", list(.0))]
    Unsupported(Vec<Blocker>),
    /// The file is damaged, or not what it should be.
    #[error("{path}: {reason}")]
    Malformed {
        /// The part of the file.
        path: String,
        /// What was needed and what was found.
        reason: String,
    },
    /// Lengths given for the model's inputs contradict it.
    #[error(transparent)]
    Lengths(#[from] LengthsError),
    /// A pickle is refused.
    #[error(transparent)]
    Pickle(#[from] pickle::PickleError),
}

fn list(blockers: &[Blocker]) -> String {
    blockers.iter().map(|blocker| format!("\n  {blocker}")).collect()
}

impl FrontendError {
    /// One thing that stands in the way.
    pub fn unsupported(node: impl Into<String>, operator: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Unsupported(vec![Blocker { node: node.into(), operator: operator.into(), reason: reason.into() }])
    }

    /// A damaged part.
    pub fn malformed(path: impl Into<String>, reason: impl std::fmt::Display) -> Self {
        Self::Malformed { path: path.into(), reason: reason.to_string() }
    }
}

impl From<pickle::AccessError> for FrontendError {
    fn from(error: pickle::AccessError) -> Self {
        Self::malformed(error.path, format_args!("expected {}, found {}", error.expected, error.found))
    }
}

impl From<crate::graph::GraphError> for FrontendError {
    fn from(error: crate::graph::GraphError) -> Self {
        Self::unsupported(error.node, error.operator, error.error.to_string())
    }
}

impl From<crate::graph::ConstantError> for FrontendError {
    fn from(error: crate::graph::ConstantError) -> Self {
        Self::malformed(error.name.clone(), error)
    }
}
