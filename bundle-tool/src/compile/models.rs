//! Opens a bundle's models.

use ekiben_runtime::artifact::manifest::ModelProvenance;

use super::exports::{ExportFailure, ExportProblem};
use super::{CompileError, ModelError, Models};
use crate::bundle::{Bundle, BundleError, ModelFile, ModelFormat};
use crate::frontend::{self, FrontendError, InputLengths, Model, OpenNames, OpenOptions};
use crate::python::{Framework, Interpreter, convert, needs_conversion};
use crate::service::is_data;

/// Opens every model that a front-end reads; those that their own framework exports are left out. A service may hold others, and is refused when it calls them. `lengths` are for all of
/// them: each takes those that it has names for.
///
/// # Errors
/// [`CompileError::Models`] lists every model that cannot be read; [`CompileError::Lengths`] when none has a name that is given.
pub fn open_models(bundle: &Bundle, lengths: &InputLengths) -> Result<(Models, Vec<ModelProvenance>), CompileError> {
    open_converted(bundle, lengths, None)
}

/// The same, where models that their framework must convert first are converted by `interpreter`.
///
/// # Errors
/// Those of [`open_models`], and [`CompileError::Export`].
pub(super) fn open_converted(
    bundle: &Bundle,
    lengths: &InputLengths,
    interpreter: Option<&Interpreter>,
) -> Result<(Models, Vec<ModelProvenance>), CompileError> {
    let (mut models, mut provenance, mut errors) = (Models::new(), Vec::new(), Vec::new());
    let exported = |file: &ModelFile| Framework::of(file).is_some();
    // Look-up tables are no models.
    let reads = |file: &ModelFile| frontend::reads(file.format) && !is_data(file);
    let read = |file: &&ModelFile| !exported(file) && (bundle.entry.is_none() || reads(file));
    // What the inputs of an exported model are called, its exporter tells.
    if !lengths.is_empty() && !bundle.models.iter().any(exported) {
        lengths.check_names(&open_names(bundle.models.iter().filter(read))?)?;
    }
    for file in bundle.models.iter().filter(read) {
        let bytes = file.read()?;
        let mut stated = model_provenance(file, &bytes);
        let converted = interpreter.filter(|_| needs_conversion(file)).map(|interpreter| convert(interpreter, file));
        let converted = converted.transpose().map_err(|error| {
            let problem = ExportProblem::Export(error);
            CompileError::Export(Box::new(ExportFailure { model: file.describe(), problem }))
        })?;
        let opened = match &converted {
            Some(converted) => {
                stated.frameworks.extend(converted.packages.clone());
                frontend::open(
                    converted.format,
                    &converted.bytes,
                    &OpenOptions { lengths: lengths.clone(), ..OpenOptions::default() },
                )
            }
            None => open_model(file, &bytes, lengths),
        };
        provenance.push(stated);
        match opened {
            Ok(model) => drop(models.insert(file.tag(), model)),
            Err(error) => errors.push(ModelError { model: file.describe(), error }),
        }
    }
    if errors.is_empty() { Ok((models, provenance)) } else { Err(CompileError::Models(errors)) }
}

/// Opens one model, whose main file holds `bytes`.
pub(crate) fn open_model(
    file: &ModelFile,
    bytes: &[u8],
    lengths: &InputLengths,
) -> Result<Box<dyn Model>, FrontendError> {
    let beside = |path: &str| file.read_beside(path).map_err(|error| error.to_string());
    let class = file.options.get("model_class").and_then(|class| class.as_str());
    let name = file.main.rsplit('/').next();
    let options = OpenOptions { lengths: lengths.clone(), beside: Some(&beside), file: name, class };
    frontend::open(file.format, bytes, &options)
}

/// Names of all models that lengths can be given for.
fn open_names<'a>(models: impl Iterator<Item = &'a ModelFile>) -> Result<OpenNames, CompileError> {
    let mut names = OpenNames::default();
    for file in models {
        let error = |error| ModelError { model: file.describe(), error };
        names.extend(frontend::open_names(file.format, &file.read()?).map_err(error)?);
    }
    Ok(names)
}

/// BLAKE3 of a model: of its main file, which holds `bytes`, and of the files beside it that hold its weights, where there are any. What
/// cannot be read has no part in it.
pub(crate) fn model_digest(file: &ModelFile, bytes: &[u8]) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    hasher.update(bytes);
    let is_folder = matches!(file.format, ModelFormat::Hdf5 | ModelFormat::KerasJson);
    if is_folder || Framework::of(file) == Some(Framework::Tensorflow) {
        // A SavedModel is a folder, and a Keras model may be one.
        for name in file.files.iter().filter(|name| **name != file.main) {
            if let Ok(part) = file.read_file(name) {
                hasher.update(name.as_bytes()).update(&(part.len() as u64).to_le_bytes()).update(&part);
            }
        }
    }
    for path in frontend::files_beside(file.format, bytes).unwrap_or_default() {
        if let Ok(weights) = file.read_beside(&path) {
            hasher.update(&weights);
        }
    }
    hasher.finalize()
}

fn model_provenance(file: &ModelFile, bytes: &[u8]) -> ModelProvenance {
    ModelProvenance {
        name: file.tag(),
        format: frontend::format_name(file.format).to_owned(),
        frameworks: file.frameworks.clone(),
        blake3: model_digest(file, bytes).to_hex().to_string(),
    }
}

/// Format of a look-up table in an artifact's provenance.
pub(crate) const DATA: &str = "data";

/// Where the look-up tables of a service come from, which are constants of its APIs.
pub(super) fn data_provenance(bundle: &Bundle) -> Result<Vec<ModelProvenance>, BundleError> {
    let mut tables = Vec::new();
    if bundle.entry.is_some() {
        for file in bundle.models.iter().filter(|file| is_data(file)) {
            let bytes = file.read()?;
            tables.push(ModelProvenance { format: DATA.to_owned(), ..model_provenance(file, &bytes) });
        }
    }
    Ok(tables)
}
