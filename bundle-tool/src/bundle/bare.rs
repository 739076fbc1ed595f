//! Bare model files: no service, no adapters, one model.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Map;

use super::api::ModelFile;
use super::error::BundleError;
use super::files::Files;
use super::format::ModelFormat;
use super::{Bundle, Generation, Provenance};

/// Opens a model file of a known `format`.
pub(super) fn open(path: &Path, format: ModelFormat) -> Result<Bundle, BundleError> {
    let files = Files::single(path)?;
    let main = files.list("")?.into_iter().next().unwrap_or_default();
    let name = main.split('.').next().filter(|stem| !stem.is_empty()).unwrap_or(&main).to_owned();
    let model = ModelFile {
        name: name.clone(),
        version: None,
        kind: String::new(),
        format,
        files: vec![main.clone()],
        main,
        options: Map::new(),
        labels: BTreeMap::new(),
        frameworks: BTreeMap::new(),
        store: files.clone(),
    };
    Ok(Bundle {
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
        files,
    })
}
