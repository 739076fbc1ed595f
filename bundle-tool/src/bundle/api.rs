//! What a bento declares about its APIs and models.

use std::borrow::Cow;
use std::collections::BTreeMap;

use ekiben_runtime::artifact::manifest::Wire;
use serde_json::{Map, Value};

use super::error::BundleError;
use super::files::{self, Files, MODEL_LIMIT};
use super::format::ModelFormat;

/// One API of a service.
#[derive(Debug, Clone, PartialEq)]
pub struct ApiDecl {
    /// The API's name, which is the method's name.
    pub name: String,
    /// The HTTP path, without a slash at its start.
    pub route: String,
    /// The documentation text, if any.
    pub docs: Option<String>,
    /// How data goes in and out, by generation.
    pub interface: Interface,
}

/// How data goes into and out of an API.
#[derive(Debug, Clone, PartialEq)]
pub enum Interface {
    /// BentoML 0.13: adapters.
    V0_13 {
        /// Makes the method's argument of a request.
        input: InputAdapter,
        /// Makes a response of what the method returns.
        output: OutputAdapter,
        /// Whether the method takes many inputs at once.
        batch: bool,
        /// Inputs that the server may put in one batch.
        max_batch_size: u32,
        /// Milliseconds that a request may wait for others.
        max_latency_ms: u32,
    },
    /// BentoML 1.x: named, typed parameters.
    V1 {
        /// Whether the server may put many requests in one call.
        batchable: bool,
        /// The parameters in declaration order.
        parameters: Vec<Parameter>,
        /// Whether the request's body is the only parameter's value, and not an object of named ones.
        root_input: bool,
        /// What is returned.
        output: ValueSchema,
        /// Media type of a streamed response; `None` when the response is one value.
        stream: Option<String>,
        /// Whether the API is a task, called through `submit`, `status` and `get`.
        is_task: bool,
    },
    /// BentoML 1.x with runners: one descriptor in and one out. The body is the only parameter's value.
    Runners {
        /// The only parameter, without a name. What the source alone tells (types, shapes, columns) is not in it.
        input: Parameter,
        /// What is returned.
        output: ValueSchema,
        /// The classes of the input's and the output's descriptor.
        classes: (String, String),
        /// Whether arrays of another shape are refused instead of reshaped.
        fixed_shape: bool,
    },
}

impl Interface {
    /// What a server of the API must know besides the data itself.
    pub(crate) fn wire(&self) -> Wire {
        match self {
            Self::V0_13 { input, output, .. } => {
                Wire { input: input.class().to_owned(), output: output.class().to_owned(), ..Wire::default() }
            }
            Self::V1 { output, stream, is_task, .. } => Wire {
                stream: stream.clone().unwrap_or_default(),
                task: *is_task,
                compact: matches!(output, ValueSchema::Object(_)),
                ..Wire::default()
            },
            Self::Runners { classes: (input, output), .. } => {
                Wire { input: input.clone(), output: output.clone(), ..Wire::default() }
            }
        }
    }
}

impl InputAdapter {
    /// Name of its class.
    pub(crate) fn class(&self) -> &str {
        match self {
            Self::Dataframe { .. } => "DataframeInput",
            Self::Json => "JsonInput",
            Self::Text => "StringInput",
            Self::TfTensor => "TfTensorInput",
            Self::Image(_) => "ImageInput",
            Self::MultiImage { .. } => "MultiImageInput",
            Self::AnnotatedImage(_) => "AnnotatedImageInput",
            Self::File => "FileInput",
            Self::MultiFile { .. } => "MultiFileInput",
            Self::Other { class, .. } => class,
        }
    }
}

impl OutputAdapter {
    /// Name of its class.
    pub(crate) fn class(&self) -> &str {
        match self {
            Self::Default => "DefaultOutput",
            Self::Json => "JsonOutput",
            Self::Dataframe { .. } => "DataframeOutput",
            Self::TfTensor => "TfTensorOutput",
            Self::Other { class, .. } => class,
        }
    }
}

/// An input adapter of BentoML 0.13 with what `bentoml.yml` says about it. Column order of `DataframeInput(columns=…)`
/// and other arguments that are not recorded there are in the service's source.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum InputAdapter {
    /// `DataframeInput`: JSON in pandas orients, or CSV.
    Dataframe {
        /// Declared orient; `None` lets the adapter guess.
        orient: Option<String>,
        /// `frame` or `series`.
        typ: String,
        /// Declared dtypes by column name (or position, in decimal).
        dtype: Vec<(String, String)>,
    },
    /// `JsonInput`.
    Json,
    /// `StringInput`.
    Text,
    /// `TfTensorInput`.
    TfTensor,
    /// `ImageInput`: one image.
    Image(ImageOptions),
    /// `MultiImageInput`: named images.
    MultiImage {
        /// The form fields, in the order of the method's parameters.
        names: Vec<String>,
        /// Decoding.
        image: ImageOptions,
    },
    /// `AnnotatedImageInput`: an image and a JSON annotation.
    AnnotatedImage(ImageOptions),
    /// `FileInput`: one file's bytes.
    File,
    /// `MultiFileInput`: named files.
    MultiFile {
        /// The form fields, in the order of the method's parameters.
        names: Vec<String>,
    },
    /// Any other class.
    Other {
        /// Its name.
        class: String,
        /// Its configuration.
        config: Map<String, Value>,
    },
}

/// How an image adapter decodes.
#[derive(Debug, Clone, PartialEq)]
pub struct ImageOptions {
    /// Accepted file extensions, sorted.
    pub formats: Vec<String>,
    /// Pillow's mode: `RGB`, `L`, …
    pub pilmode: String,
}

/// An output adapter of BentoML 0.13.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum OutputAdapter {
    /// `DefaultOutput`: by the type of the returned value.
    Default,
    /// `JsonOutput`.
    Json,
    /// `DataframeOutput`.
    Dataframe {
        /// pandas orient.
        orient: String,
    },
    /// `TfTensorOutput`.
    TfTensor,
    /// Any other class.
    Other {
        /// Its name.
        class: String,
        /// Its configuration.
        config: Map<String, Value>,
    },
}

/// One parameter of a 1.x API.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    /// Its name in the request and in the method; empty for a root input, whose name is only in the source.
    pub name: String,
    /// Its type.
    pub schema: ValueSchema,
    /// Whether a request must have it.
    pub required: bool,
    /// Its value when absent.
    pub default: Option<Value>,
    /// The declaration as the bento has it, with constraints (`minimum`, …) and texts.
    pub declared: Value,
}

/// The type of a 1.x parameter or result.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum ValueSchema {
    /// An array of numbers.
    Tensor {
        /// `numpy-array`, `tf-tensor` or `torch-tensor`.
        format: String,
        /// numpy's name of the element type, if declared.
        dtype: Option<String>,
        /// Dimensions, -1 where free, if declared.
        shape: Option<Vec<i64>>,
    },
    /// A pandas frame.
    Dataframe {
        /// `records` or `columns`.
        orient: String,
        /// Column names in order, if declared.
        columns: Option<Vec<String>>,
    },
    /// A pandas series.
    Series,
    /// An uploaded file.
    File {
        /// `image`, `binary`, … if declared.
        format: Option<String>,
        /// MIME type, if declared.
        content_type: Option<String>,
        /// Whether the method gets a Pillow image.
        pil: bool,
    },
    /// A floating-point number.
    Number,
    /// An integer.
    Integer,
    /// A boolean.
    Boolean,
    /// A text.
    Text,
    /// Nothing.
    Null,
    /// A list.
    List(Box<ValueSchema>),
    /// An object with these members: a pydantic model.
    Object(Vec<Parameter>),
    /// Anything; its declaration is in [`Parameter::declared`].
    Any,
}

/// One model of a bento, or a bare model file.
#[derive(Debug, Clone)]
pub struct ModelFile {
    /// Artifact name (0.13), model name (1.x) or file stem (bare).
    pub name: String,
    /// Model version (1.x).
    pub version: Option<String>,
    /// Artifact class (`SklearnModelArtifact`), module (`bentoml.sklearn`) or, for a bare file, the empty string.
    pub kind: String,
    /// What the main file is, by content.
    pub format: ModelFormat,
    /// The file that holds the model, relative to the files of the bento.
    pub main: String,
    /// All files of the model, the main one among them.
    pub files: Vec<String>,
    /// Options (1.x) as declared.
    pub options: Map<String, Value>,
    /// Names of the methods that its signatures list (1.x): those of its runner.
    pub methods: Vec<String>,
    /// Labels (1.x) as text.
    pub labels: BTreeMap<String, String>,
    /// Versions of the frameworks that made it, by package.
    pub frameworks: BTreeMap<String, String>,
    /// Where its files are: in the bento, or in a model store beside it.
    pub(super) store: Files,
}

impl ModelFile {
    /// The name as BentoML writes it: `name:version`, or just the name.
    pub fn tag(&self) -> String {
        match &self.version {
            Some(version) => format!("{}:{version}", self.name),
            None => self.name.clone(),
        }
    }

    /// The bytes of the main file.
    pub fn read(&self) -> Result<Cow<'_, [u8]>, BundleError> {
        self.store.read(&self.main, MODEL_LIMIT)
    }

    /// The bytes of any of [`ModelFile::files`].
    pub fn read_file(&self, name: &str) -> Result<Cow<'_, [u8]>, BundleError> {
        self.store.read(name, MODEL_LIMIT)
    }

    /// The bytes of a file in the folder of the main file or below it, by its path relative to that folder.
    ///
    /// # Errors
    /// A path or a link that leads out of the bento (of a bare model: its folder), or a file that cannot be read.
    pub fn read_beside(&self, path: &str) -> Result<Vec<u8>, BundleError> {
        let folder = self.main.rsplit_once('/').map_or("", |(folder, _)| folder);
        let path =
            files::normal_name(path).map_err(|reason| BundleError::UnsafeName { name: path.to_owned(), reason })?;
        let path = if folder.is_empty() { path } else { format!("{folder}/{path}") };
        Ok(self.store.with_folder()?.read(&path, MODEL_LIMIT)?.into_owned())
    }

    /// How messages call the main file.
    pub fn describe(&self) -> String {
        self.store.describe(&self.main)
    }
}
