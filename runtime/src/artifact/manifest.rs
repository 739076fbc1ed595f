//! The manifest: what the service is, how its APIs take and give data, where the model came from.
//!
//! CBOR of the [`Manifest`] struct: maps with the field names as keys. Programs without feature `std` never read it; what
//! they need (names, shapes, classes) stands in the other sections.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

/// The largest nesting of a [`Returns`] template and of the CBOR that holds it.
pub const MAX_DEPTH: usize = 64;

/// What an artifact says about itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Name of the service or of the bare model.
    pub name: String,
    /// Version of the bento; empty for a bare model.
    pub version: String,
    /// What the artifact was compiled from.
    pub generation: Generation,
    /// The service's description.
    #[serde(default)]
    pub description: String,
    /// Labels of the bento.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Where the models came from and what compiled them.
    pub provenance: Provenance,
    /// APIs, in the plans' order.
    pub apis: Vec<Api>,
    /// What a server answers about the service. Artifacts for firmware have none.
    #[serde(default, skip_serializing_if = "Documents::is_empty")]
    pub documents: Documents,
}

/// What the bento's own server answers about the service, as JSON text; empty where it has nothing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Documents {
    /// Answer to `/docs.json`: OpenAPI 3.0.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub openapi: String,
    /// Answer to `/schema.json` (1.x).
    #[serde(skip_serializing_if = "String::is_empty")]
    pub schema: String,
    /// Answer to `/metadata` (0.13).
    #[serde(skip_serializing_if = "String::is_empty")]
    pub metadata: String,
}

impl Documents {
    /// True where there are none.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// The kind of input that was compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Generation {
    /// BentoML 0.13 bundle.
    V0_13,
    /// BentoML 1.x bento.
    V1,
    /// A model file without a service; answers as 1.x.
    Bare,
}

/// Where an artifact came from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    /// Name and version of the compiler.
    pub tool: String,
    /// Version of BentoML that built the bento; empty for a bare model.
    #[serde(default)]
    pub bentoml_version: String,
    /// Target profile.
    pub target: String,
    /// Lengths of named dimensions that the user gave, as `seq=64`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dims: Vec<String>,
    /// Shapes of inputs that the user gave, as `x=Nx3x96x96`; `N` is the batch.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shapes: Vec<String>,
    /// The models, and after them the look-up tables.
    pub models: Vec<ModelProvenance>,
    /// BLAKE3 over the names and contents of the service's Python files, in hexadecimal; empty where there are none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub sources: String,
}

/// Where one model came from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ModelProvenance {
    /// Artifact name or model tag.
    pub name: String,
    /// Format that was read: `sklearn`, `onnx`, `tflite`; `data` for a look-up table.
    pub format: String,
    /// Versions of the frameworks that made it, as far as the bento says.
    #[serde(default)]
    pub frameworks: BTreeMap<String, String>,
    /// BLAKE3 of the model file, in hexadecimal.
    pub blake3: String,
}

/// One API.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Api {
    /// Name.
    pub name: String,
    /// Route without a leading slash.
    pub route: String,
    /// Description.
    #[serde(default)]
    pub description: String,
    /// True when the API's function takes many inputs at once (0.13 `batch`, 1.x `batchable`).
    pub batch: bool,
    /// How input data becomes tensors.
    pub input: InputAdapter,
    /// How output tensors become an answer.
    pub returns: Returns,
    /// 0.13's `mb_max_batch_size`, 1.x's `max_batch_size`, where the bento says.
    #[serde(default)]
    pub max_batch_size: Option<u32>,
    /// 0.13's `mb_max_latency` in milliseconds, where the bento says.
    #[serde(default)]
    pub max_latency_ms: Option<u32>,
    /// Whether the answer is a text that is written as it is, and not as JSON: 1.x APIs that return `str`.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub is_text: bool,
    /// How the bento's own server receives requests and answers them.
    #[serde(default, skip_serializing_if = "Wire::is_empty")]
    pub wire: Wire,
}

/// What a server of the API must know besides the data itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Wire {
    /// Class of the input adapter (0.13) or descriptor (1.x services with runners): `DataframeInput`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub input: String,
    /// Class of the output adapter or descriptor: `JsonOutput`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub output: String,
    /// Media type of a streamed answer (1.x).
    #[serde(skip_serializing_if = "String::is_empty")]
    pub stream: String,
    /// Whether the API is a task (1.x), with routes to submit one and to get its result.
    #[serde(skip_serializing_if = "core::ops::Not::not")]
    pub task: bool,
    /// Whether the answer is a model of pydantic (1.x), whose JSON has no spaces.
    #[serde(skip_serializing_if = "core::ops::Not::not")]
    pub compact: bool,
}

impl Wire {
    /// True where nothing is known.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// How input data becomes tensors.
///
/// Every input of the API is filled by exactly one frame or array.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InputAdapter {
    /// 0.13's DataframeInput: the body is a table.
    Dataframe(Frame),
    /// A JSON object with one member per parameter: 1.x services and bare models.
    Parameters(Vec<Parameter>),
    /// The body is the value of the only parameter: 1.x services with a positional-only one.
    Value(Parameter),
    /// The body is one row of the only parameter, whose answer has no list around it: 0.13 adapters that hand over one value for
    /// each request.
    Row(Parameter),
    /// The body is the text itself of the only parameter, or of one row of it where it is a list with one item for each: 0.13's
    /// `StringInput`.
    Text(Parameter),
    /// The body is the only file of the parameters, or a form of several parts that has them by name; of one row, where they are lists with
    /// one item for each: 0.13's adapters of images and files.
    File {
        /// The parameters.
        parameters: Vec<Parameter>,
        /// Whether a request is one row, whose answer has no list around it.
        row: bool,
    },
}

impl InputAdapter {
    /// Whether a request is one row, whose answer has no list around it.
    pub fn is_row(&self) -> bool {
        match self {
            Self::Row(_) => true,
            Self::Text(parameter) => matches!(parameter.kind, ParameterKind::Records(_)),
            Self::File { row, .. } => *row,
            Self::Dataframe(_) | Self::Parameters(_) | Self::Value(_) => false,
        }
    }
}

/// A table whose columns become one tensor of shape `[N, columns]`, or one tensor each.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Frame {
    /// Declared orientation; where there is none, the body's form tells it.
    #[serde(default)]
    pub orient: Option<Orient>,
    /// Declared names of the columns, in the tensor's order; then a table is matched by name. Empty: by position.
    #[serde(default)]
    pub columns: Vec<String>,
    /// Whether a column that a table lacks is one of missing values: BentoML 1.x's tables with declared columns.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub fills: bool,
    /// Index of the API's input that holds all columns; of the first column's where they have one each.
    pub input: u32,
    /// Index of the API's input of each column: `[N]` of numbers or categories, or `[N, bytes]` of text. Empty where one input holds all. A
    /// column of categories whose table is empty is not read, and may be lacking.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<u32>,
}

/// How JSON spells a table (the names are pandas's).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Orient {
    /// `[{column: value, …}, …]`
    Records,
    /// `[[value, …], …]`
    Values,
    /// `{column: {row: value, …}, …}`
    Columns,
    /// `{row: {column: value, …}, …}`
    Index,
    /// `{"columns": […], "index": […], "data": [[value, …], …]}`
    Split,
}

impl Orient {
    /// All orientations.
    pub const ALL: [Self; 5] = [Self::Records, Self::Values, Self::Columns, Self::Index, Self::Split];

    /// The name that pandas gives it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Records => "records",
            Self::Values => "values",
            Self::Columns => "columns",
            Self::Index => "index",
            Self::Split => "split",
        }
    }

    /// The orientation with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|orient| orient.name() == name)
    }
}

/// A named parameter of a 1.x API.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Parameter {
    /// Name.
    pub name: String,
    /// Its type.
    pub kind: ParameterKind,
    /// The value, as JSON text, where the request has none. Without it the request must have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
}

/// Type of a parameter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ParameterKind {
    /// Nested lists of numbers.
    Array {
        /// Declared shape, -1 for any length; `None` when the service declares none.
        #[serde(default)]
        shape: Option<Vec<i64>>,
        /// Declared element type by its numpy name, if any; the tensor's own type rules the conversion.
        #[serde(default)]
        dtype: Option<String>,
        /// Index of the API's input.
        input: u32,
    },
    /// A table.
    Dataframe(Frame),
    /// One value.
    Scalar(Scalar),
    /// An object, of whose members these are read.
    Object(Vec<Parameter>),
    /// A list with one item for each row.
    Records(alloc::boxed::Box<ParameterKind>),
    /// One value that stands for a list of it alone.
    Single(alloc::boxed::Box<ParameterKind>),
    /// An image: a file of one of the usual formats.
    Image(super::image::Image),
    /// A sound: a file of RIFF WAVE.
    Sound(Sound),
}

/// How a sound becomes a signal: the mean of its channels, integers divided by their greatest magnitude.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sound {
    /// Index of the API's input: the samples of one sound on its last axis, float32.
    pub input: u32,
    /// Samples a second that a sound must have, where that is declared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<u32>,
    /// Whether a sound of another length is cut, or followed by silence.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub fits: bool,
}

/// One value of JSON, read as pydantic reads it into a field of this type where the service declares one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scalar {
    /// Its type.
    pub kind: ScalarKind,
    /// What it must hold to.
    #[serde(default, skip_serializing_if = "Limits::is_empty")]
    pub limits: Limits,
    /// Whether it may be `null`: NaN among floats, the least integer among integers.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub nullable: bool,
    /// Index of the API's input: without axes, or `[N]` inside of [`ParameterKind::Records`]; a text has the axis of its bytes
    /// besides.
    pub input: u32,
}

/// Type of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScalarKind {
    /// Any number, truth or text that the input's type holds.
    Any,
    /// A floating-point number.
    Number,
    /// An integer.
    Integer,
    /// A truth.
    Boolean,
    /// A text.
    Text,
}

/// What a value must hold to: the keywords of JSON Schema of these names.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Least value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub minimum: Option<f64>,
    /// Greatest value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maximum: Option<f64>,
    /// The value is above this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exclusive_minimum: Option<f64>,
    /// The value is below this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exclusive_maximum: Option<f64>,
    /// The value is a multiple of this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub multiple_of: Option<f64>,
    /// Least number of characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_length: Option<u32>,
    /// Greatest number of characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_length: Option<u32>,
    /// The only values, each as JSON text. Empty: any.
    #[serde(rename = "enum", skip_serializing_if = "Vec::is_empty")]
    pub one_of: Vec<String>,
}

impl Limits {
    /// True where every value holds.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// How output tensors become an answer: JSON with holes.
///
/// Elements are written as Python writes them: integers and booleans as they are, floats in the shortest decimal form of their value
/// as a 64-bit float, categories and texts as strings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Returns {
    /// An output, or the part of it at positions `at` of its leading axes, as nested lists; a number or string when no axis is
    /// left. Inside [`Returns::Rows`] the row's position comes before `at`.
    Output {
        /// Index of the API's output.
        output: u32,
        /// Positions on the leading axes.
        #[serde(default)]
        at: Vec<u32>,
    },
    /// A list with one item per position of the leading axis of the outputs that the item reads: what a loop over their rows
    /// (or over `zip` of several) makes. Inside another `Rows` it goes over the next axis of those outputs that have one;
    /// others keep their value. The shortest of the outputs ends the list; an item that reads no output stands once per
    /// row of the batch.
    Rows(alloc::boxed::Box<Returns>),
    /// An object; the keys keep their order.
    Object(Vec<(String, Returns)>),
    /// A list.
    List(Vec<Returns>),
    /// A data frame: one row per position of the columns' leading axis.
    Frame {
        /// Columns, in order.
        columns: Vec<FrameColumn>,
        /// Orientation of the JSON.
        orient: Orient,
        /// Most digits after the decimal point (pandas's `to_json` writes 10); `None` for all.
        #[serde(default)]
        digits: Option<u8>,
    },
    /// A constant: JSON text.
    Constant(String),
    /// A text put together.
    Text(Vec<TextPart>),
}

/// A part of a text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TextPart {
    /// As it is.
    Literal(String),
    /// A single value.
    Value {
        /// The value.
        value: Returns,
        /// How it is written.
        format: TextFormat,
    },
}

/// How a value is written in a text, as Python's format specifications say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TextFormat {
    /// As `str` writes it.
    Plain,
    /// `.2f`: with so many places after the decimal point.
    Fixed(u8),
    /// `.2%`: times a hundred, with so many places and a percent sign.
    Percent(u8),
}

/// A column of a returned data frame.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FrameColumn {
    /// Name.
    pub name: String,
    /// Index of the API's output.
    pub output: u32,
    /// Positions on the axes after the leading one; what is left must be one element per row.
    #[serde(default)]
    pub at: Vec<u32>,
}

impl Returns {
    /// A whole output.
    pub const fn output(output: u32) -> Self {
        Self::Output { output, at: Vec::new() }
    }

    /// The part of an output at positions `at` of its leading axes.
    pub fn item(output: u32, at: &[u32]) -> Self {
        Self::Output { output, at: at.to_vec() }
    }

    /// A list with `item` for every row.
    pub fn rows(item: Self) -> Self {
        Self::Rows(alloc::boxed::Box::new(item))
    }
}

/// Why a manifest cannot be read or written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestError(String);

impl core::fmt::Display for ManifestError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "manifest: {}", self.0)
    }
}

impl core::error::Error for ManifestError {}

impl Manifest {
    /// Reads the CBOR of a manifest section.
    ///
    /// # Errors
    /// [`ManifestError`] says what was not understood. Nesting is bounded.
    pub fn from_cbor(bytes: &[u8]) -> Result<Self, ManifestError> {
        ciborium::de::from_reader_with_recursion_limit(bytes, MAX_DEPTH * 2)
            .map_err(|error| ManifestError(alloc::format!("{error}")))
    }

    /// Writes the CBOR of the manifest section.
    ///
    /// # Errors
    /// [`ManifestError`] when a value cannot be represented.
    pub fn to_cbor(&self) -> Result<Vec<u8>, ManifestError> {
        let mut bytes = Vec::new();
        ciborium::into_writer(self, &mut bytes).map_err(|error| ManifestError(alloc::format!("{error}")))?;
        Ok(bytes)
    }

    /// The API with this name.
    pub fn api(&self, name: &str) -> Option<(usize, &Api)> {
        self.apis.iter().enumerate().find(|(_, api)| api.name == name)
    }
}
