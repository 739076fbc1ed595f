//! Models that their own framework turns into a form that is data: H2O's binary models into MOJOs.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::json;

use super::error::PythonError;
use super::export::ExportError;
use super::process::{Interpreter, Workplace};
use crate::bundle::{MODEL_LIMIT, ModelFile, ModelFormat};

const SCRIPT: &str = include_str!("convert_h2o.py");

/// A converted model: its bytes, their format, and versions of the packages that converted it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Converted {
    /// The converted file.
    pub bytes: Vec<u8>,
    /// Its format.
    pub format: ModelFormat,
    /// What converted it.
    pub packages: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Answer {
    model: String,
    packages: BTreeMap<String, String>,
}

/// Whether a model is read only after its framework has converted it.
pub fn needs_conversion(file: &ModelFile) -> bool {
    file.format == ModelFormat::H2oBinary
}

/// Has H2O, of the release that wrote it, convert the model in `file`.
///
/// # Errors
/// Those of the interpreter; an answer that is no MOJO.
pub fn convert(interpreter: &Interpreter, file: &ModelFile) -> Result<Converted, ExportError> {
    let mut folder = Workplace::new().map_err(PythonError::from)?;
    let name = file.main.rsplit('/').next().unwrap_or("model");
    let model = folder.give(&format!("model/{name}"), &file.read()?).map_err(PythonError::from)?;
    let answer = interpreter.run(&folder, SCRIPT, &json!({ "model": model }))?;
    let answer: Answer = serde_json::from_value(answer).map_err(|error| interpreter.unusable(error))?;
    let bytes = folder.take(&answer.model, MODEL_LIMIT).map_err(|reason| interpreter.unusable(reason))?;
    match ModelFormat::of(&bytes) {
        format @ ModelFormat::Mojo => Ok(Converted { bytes, format, packages: answer.packages }),
        _ => Err(interpreter.unusable("it is no MOJO").into()),
    }
}
