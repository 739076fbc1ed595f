//! Bare model files: no service, no adapters, one model.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Map;

use super::api::ModelFile;
use super::error::BundleError;
use super::files::Files;
use super::format::ModelFormat;
use super::{Bundle, Generation, Provenance};

/// The file that makes a folder a SavedModel.
pub(super) const SAVED_MODEL: &str = "saved_model.pb";

/// The files of an unpacked `.keras` archive.
pub(super) const KERAS_WEIGHTS: &str = "model.weights.h5";
pub(super) const KERAS_CONFIG: &str = "config.json";

/// Opens a folder as an unpacked `.keras` archive; it is called by the folder's name.
pub(super) fn keras(files: Files) -> Result<Bundle, BundleError> {
    let folder = Path::new(files.label()).file_name().and_then(|name| name.to_str());
    let name = folder.unwrap_or("keras").to_owned();
    let names = files.list("")?;
    Ok(bundle(files, name, KERAS_WEIGHTS.to_owned(), names, ModelFormat::Hdf5))
}

/// Opens a folder as TensorFlow's SavedModel; it is called by the folder's name.
pub(super) fn saved_model(files: Files) -> Result<Bundle, BundleError> {
    let folder = Path::new(files.label()).file_name().and_then(|name| name.to_str());
    let name = folder.unwrap_or("saved_model").to_owned();
    let names = files.list("")?;
    Ok(bundle(files, name, SAVED_MODEL.to_owned(), names, ModelFormat::SavedModel))
}

/// Opens a model file of a known `format`.
pub(super) fn open(path: &Path, format: ModelFormat) -> Result<Bundle, BundleError> {
    let files = Files::single(path)?;
    let main = files.list("")?.into_iter().next().unwrap_or_default();
    let name = main.split('.').next().filter(|stem| !stem.is_empty()).unwrap_or(&main).to_owned();
    Ok(bundle(files, name, main.clone(), vec![main], format))
}

/// The bundle of one model.
fn bundle(files: Files, name: String, main: String, names: Vec<String>, format: ModelFormat) -> Bundle {
    let model = ModelFile {
        name: name.clone(),
        version: None,
        kind: String::new(),
        format,
        files: names,
        main,
        options: Map::new(),
        methods: Vec::new(),
        labels: BTreeMap::new(),
        frameworks: BTreeMap::new(),
        store: files.clone(),
    };
    Bundle {
        generation: Generation::Bare,
        service: name,
        version: None,
        entry: None,
        apis: Vec::new(),
        models: vec![model],
        sources: Vec::new(),
        provenance: Provenance::default(),
        schema: None,
        source_root: String::new(),
        folder: None,
        files,
    }
}
